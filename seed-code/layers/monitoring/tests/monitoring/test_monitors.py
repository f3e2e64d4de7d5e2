from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment import copying, local, monitors, packages, render
from deployment.context import Context
from deployment.errors import DeploymentError
from deployment.settings import read_build, read_environments, section

ROOT = Path(__file__).resolve().parents[2]
SETTINGS: dict[str, Any] = {
    "enabled": True,
    "schedule": "cron(20 6 * * ? *)",
    "window_hours": 24,
    "min_records": 100,
    "max_records": 50000,
    "instance_type": "ml.m5.large",
    "data_quality": {"enabled": True},
    "model_quality": {"enabled": True, "lookback_hours": 168},
    "bias": {
        "enabled": True,
        "facets": [{"name": "country", "values": ["PT"]}, {"name": "age", "above": 60}],
        "positive": None,
        "max_dppl": 0.1,
        "min_di": 0.8,
        "max_dar": 0.1,
        "max_rd": 0.1,
    },
    "explainability": {"enabled": True, "min_ndcg": 0.9},
}


def read(folder: Path, **changes: Any) -> Any:
    """Return the settings of both stages as environments.yaml gives them."""
    path = folder / "environments.yaml"
    content = {"monitors": SETTINGS | changes}
    path.write_text(yaml.safe_dump({"test": content, "prod": content}))
    schema = {"monitors": section(monitors.SCHEMA)}
    return read_environments(path, {}, schema, lambda stage, settings: monitors.refuse(settings["monitors"]))


def make(folder: Path, **changes: Any) -> Context:
    return Context(read_build(local.VARIABLES), read(folder, **changes), root=ROOT)


def package(**changes: Any) -> packages.ModelPackage:
    return packages.parse(local.PACKAGE | changes)


def test_settings_that_are_right_are_read(tmp_path: Path) -> None:
    assert read(tmp_path)["prod"]["monitors"] == SETTINGS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "daily"}, r"monitors\.schedule is 'daily'; it must look like cron\(20 6 \* \* \? \*\)"),
        ({"schedule": "rate(1 hours)"}, r"monitors\.schedule is 'rate\(1 hours\)'; it must look like"),
        ({"schedule": "cron(20 6 * * * *)"}, r"monitors\.schedule is 'cron\(20 6 \* \* \* \*\)'; it must look like"),
        ({"schedule": "rate(2 days)"}, r"nobody would look at the hours in between"),
        ({"min_records": 200, "max_records": 150}, r"no monitor would ever come to a verdict"),
        ({"instance_type": "m5.large"}, r"monitors\.instance_type is 'm5\.large'; it must look like ml\.m5\.large"),
        (
            {"bias": SETTINGS["bias"] | {"facets": ["country"]}},
            r"monitors\.bias\.facets is \['country'\]; it must be a",
        ),
        (
            {"bias": SETTINGS["bias"] | {"facets": [{"name": "a", "above": "b"}]}},
            r"each with the values, or the number",
        ),
        (
            {"bias": SETTINGS["bias"] | {"max_dppl": 2}},
            r"monitors\.bias\.max_dppl is 2; it must be a number from 0 to 1",
        ),
        ({"explainability": {"enabled": True}}, r"monitors\.explainability\.min_ndcg is missing"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        read(tmp_path, **changes)


def rendered(context: Context, stage: str) -> render.Rendered:
    build = context.build
    located = copying.located(package(), build.bucket(stage))
    values = {
        "ProjectName": build.project_name,
        "ProjectId": build.project_id,
        "Stage": stage,
        "CostCenter": build.cost_center,
        **monitors.parameters(context, stage, located),
    }
    return render.render("monitor", render.load(ROOT / "templates" / "monitor.yaml"), values, [])


def definition(result: render.Rendered) -> dict[str, Any]:
    """Return the definition of the pipeline with everything filled in."""
    text = result.template["Resources"]["MonitorPipeline"]["Properties"]["PipelineDefinition"]
    known = {"AWS::Partition": "aws", "AWS::AccountId": "222233334444", "AWS::Region": "eu-west-1"}
    body = text["PipelineDefinitionBody"]["Fn::Sub"]
    filled = re.sub(r"\$\{([\w:]+)\}", lambda name: {**known, **result.parameters}[name[1]], body)
    content: dict[str, Any] = json.loads(filled)
    return content


def test_the_pipeline_runs_the_job_of_this_repository_with_its_settings(tmp_path: Path) -> None:
    context = make(tmp_path)
    (step,) = definition(rendered(context, "prod"))["Steps"]
    arguments = step["Arguments"]
    sources = {entry["InputName"]: entry["S3Input"] for entry in arguments["ProcessingInputs"]}
    located = copying.located(package(), context.build.bucket("prod"))
    prefix = f"s3://{context.build.bucket('prod')}/"
    code, files = copying.code_files(ROOT / "jobs" / "monitor")
    assert sources["code"]["S3Uri"] == prefix + code
    script = arguments["AppSpecification"]["ContainerEntrypoint"][1]
    assert code + script.removeprefix(sources["code"]["LocalPath"] + "/") in files
    assert arguments["AppSpecification"]["ImageUri"] == located.containers[0].image
    assert {"Key": "ml-platform-deployment", "Value": "p-abcdefghijklmn-prod"} in arguments["Tags"]
    for entry in [*arguments["AppSpecification"]["ContainerArguments"], prefix]:
        assert not isinstance(entry, str) or len(entry) <= 256


def test_the_job_learns_where_model_and_baselines_are(tmp_path: Path) -> None:
    context = make(tmp_path)
    located = copying.located(package(), context.build.bucket("prod"))
    settings = monitors.job_settings(context, "prod", located)
    assert settings["endpoint"] == "a-project-name-of-32-characters1-p-abcdefghijklmn-prod"
    assert settings["model"] == f"packages/{package().key}/model-0/model.tar.gz"
    assert settings["baselines"]["constraints.json"] == (
        f"packages/{package().key}/baseline/ModelDataQuality/Constraints/constraints.json"
    )
    assert set(settings["baselines"]) == set(monitors.BASELINES.values())
    assert settings["bias"]["facets"][1] == {"name": "age", "above": 60}


def test_other_settings_are_another_file(tmp_path: Path) -> None:
    located = copying.located(package(), "bucket")
    first, second = (
        monitors.parameters(make(tmp_path, window_hours=hours), "prod", located)["MonitorSettings"]
        for hours in (24, 48)
    )
    assert first != second


def test_monitors_that_are_off_do_not_run(tmp_path: Path) -> None:
    assert rendered(make(tmp_path, enabled=False), "test").parameters["MonitorState"] == "DISABLED"


def test_a_model_of_several_containers_is_refused_unless_monitors_are_off(tmp_path: Path) -> None:
    containers = local.PACKAGE["InferenceSpecification"]["Containers"] * 2
    located = copying.located(package(InferenceSpecification={"Containers": containers}), "bucket")
    with pytest.raises(DeploymentError, match=r"`enabled: false` below monitors"):
        monitors.parameters(make(tmp_path), "prod", located)
    assert monitors.parameters(make(tmp_path, enabled=False), "prod", located)["MonitorState"] == "DISABLED"


def test_code_and_settings_are_put_where_the_pipeline_looks(tmp_path: Path) -> None:
    environments = read(tmp_path)
    root = tmp_path / "repository"
    (root / "jobs").mkdir(parents=True)
    (root / "jobs" / "monitor").symlink_to(ROOT / "jobs" / "monitor")
    context = Context(read_build(local.VARIABLES), environments, root=root)
    context.package = package()
    files = monitors.files(context, "prod")
    values = monitors.parameters(context, "prod", copying.located(package(), context.build.bucket("prod")))
    prefix = f"s3://{context.build.bucket('prod')}/"
    assert values["MonitorSettings"].removeprefix(prefix) in files
    assert values["MonitorCode"].removeprefix(prefix) + "monitor.py" in files
