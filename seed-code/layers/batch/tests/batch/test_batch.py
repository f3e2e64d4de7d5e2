from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment import batch, batch_check, copying, local, packages, render, steps
from deployment.context import Context
from deployment.errors import DeploymentError
from deployment.settings import read_build, read_environments

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Path(__file__).with_name("settings")
CHOICES = local.choices(SETTINGS)


def read(path: Path, **choices: str) -> Mapping[str, Mapping[str, Any]]:
    return read_environments(path, {**CHOICES, **choices}, steps.SCHEMA, steps.refuse)


def make(**choices: str) -> Context:
    environments = read(SETTINGS / "environments.yaml", **choices)
    return Context(read_build({**local.VARIABLES, **CHOICES, **choices}), environments, root=ROOT)


def package(**changes: Any) -> packages.ModelPackage:
    return packages.parse(local.PACKAGE | changes)


def parameters(context: Context, stage: str = "prod", **changes: Any) -> dict[str, str]:
    return batch.parameters(context, stage, copying.located(package(**changes), context.build.bucket(stage)))


def definition(context: Context, stage: str) -> dict[str, Any]:
    """Return the definition of the pipeline with everything filled in."""
    build = context.build
    values = {"ProjectName": build.project_name, "ProjectId": build.project_id, "Stage": stage, "CostCenter": "4711"}
    values |= parameters(context, stage)
    template = render.load(ROOT / "templates" / "batch.yaml")
    result = render.render("batch", template, values, [{"Image": "image"}])
    known = {"AWS::Partition": "aws", "AWS::AccountId": "1", "AWS::Region": "r", "Model.ModelName": "model"}
    body = result.template["Resources"]["Pipeline"]["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"]
    filled = re.sub(r"\$\{([\w:.]+)\}", lambda name: {**known, **result.parameters}[name[1]], body["Fn::Sub"])
    content: dict[str, Any] = json.loads(filled)
    return content


def test_four_steps_follow_each_other_and_their_jobs_carry_the_tag_of_the_stage() -> None:
    found = definition(make(), "prod")["Steps"]
    order = [("Check", None), ("Transform", ["Check"]), ("Join", ["Transform"]), ("Verify", ["Join"])]
    assert [(step["Name"], step.get("DependsOn")) for step in found] == order
    tag = {"Key": "ml-platform-deployment", "Value": "p-abcdefghijklmn-prod"}
    assert all(tag in step["Arguments"]["Tags"] for step in found)


def test_work_is_shared_by_the_instances_and_counted_by_one() -> None:
    check, transform, join, verify = (
        step["Arguments"] for step in definition(make(INSTANCE_COUNT="7"), "prod")["Steps"]
    )
    counts = [job["ProcessingResources"]["ClusterConfig"]["InstanceCount"] for job in (check, join, verify)]
    assert counts == [7, 7, 1]
    assert transform["TransformResources"] == {"InstanceType": "ml.m5.xlarge", "InstanceCount": 7}


def test_the_scripts_of_the_steps_are_among_the_code() -> None:
    context = make()
    prefix, files = copying.code_files(ROOT / "jobs" / "batch")
    for step in definition(context, "prod")["Steps"]:
        if step["Type"] == "Processing":
            script = step["Arguments"]["AppSpecification"]["ContainerEntrypoint"][1]
            assert prefix + script.removeprefix("/opt/ml/processing/input/batch/") in files


@pytest.mark.parametrize(
    ("choices", "states"),
    [
        ({"TRIGGER": "schedule"}, ("ENABLED", "DISABLED")),
        ({"TRIGGER": "new-data", "NEW_DATA_SUFFIX": "_SUCCESS"}, ("DISABLED", "ENABLED")),
        ({"TRIGGER": "new-data", "SCHEDULE": ""}, ("DISABLED", "ENABLED")),
    ],
)
def test_one_trigger_is_on(choices: dict[str, str], states: tuple[str, str]) -> None:
    values = parameters(make(**choices))
    assert (values["ScheduleState"], values["NewDataState"]) == states


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"INPUT_URI_PROD": "lake/churn"}, r"prod\.input\.uri is 'lake/churn'; it must look like s3://lake/churn/"),
        ({"INPUT_URI_PROD": "s3://lake/"}, r"a whole bucket: a run would read everything in it"),
        ({"INPUT_URI_PROD": 's3://lake/a"b/'}, r"must look like s3://lake/churn/"),
        ({"INPUT_URI_PROD": "s3://lake/churn"}, r"must look like s3://lake/churn/"),
        ({"TRIGGER": "sometimes"}, r"prod\.start\.trigger is 'sometimes'; it must be schedule or new-data"),
        ({"SCHEDULE": ""}, r"start\.trigger is schedule, but start\.schedule is empty"),
        ({"NEW_DATA_SUFFIX": "_SUCCESS"}, r"means something for trigger new-data only"),
        ({"MAX_BAD_PERCENT": "101"}, r"max_bad_percent is '101'; it must be a number from 0 to 100"),
        ({"INSTANCE_COUNT": "0"}, r"prod\.jobs\.count is '0'; it must be a whole number from 1 to 100"),
    ],
)
def test_settings_that_cannot_be_used_are_named(choices: dict[str, str], message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        read(SETTINGS / "environments.yaml", **choices)


def test_a_missing_stage_is_no_copy_of_the_other(tmp_path: Path) -> None:
    content = yaml.safe_load((SETTINGS / "environments.yaml").read_text())
    del content["test"]
    (tmp_path / "environments.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DeploymentError, match="the section test is missing"):
        read(tmp_path / "environments.yaml")


def test_the_made_up_model_runs_on_any_machine() -> None:
    assert parameters(make(INSTANCE_TYPE="ml.c5.large"))["TransformInstanceType"] == "ml.c5.large"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SupportedContentTypes": ["text/csv"]}, r"does not say that it takes and answers application/jsonlines"),
        ({"SupportedTransformInstanceTypes": ["ml.c5.large"]}, r"transform\.type is ml\.m5\.xlarge.*ml\.c5\.large"),
        ({"Containers": [{"Image": "1.dkr"}]}, r"is not one container with one model archive"),
    ],
)
def test_a_model_that_batch_runs_cannot_use_is_refused(changes: dict[str, Any], message: str) -> None:
    specification = local.PACKAGE["InferenceSpecification"] | changes
    with pytest.raises(DeploymentError, match=message):
        parameters(make(), InferenceSpecification=specification)


RECORDS = [{"plan": "basic", "active": "true", "note": "two\nlines"}, {"plan": "", "active": "false", "note": "x"}]


def test_test_records_are_one_line_each_and_bad_rows_come_last() -> None:
    text, bad = batch_check._csv(RECORDS, bad_rows=True)
    assert text.splitlines() == ["plan,active,note", "basic,true,two lines", ",false,x", "cut off", "one,one,one,one"]
    assert bad == [4, 5]
    assert batch_check._csv(RECORDS, bad_rows=False)[1] == []


@pytest.mark.parametrize(
    ("predicted", "agrees"),
    [
        ({"score": 0.5, "label": "yes"}, True),
        ({"score": 0.5 + 1e-9, "label": "yes"}, True),
        ({"score": 0.6, "label": "yes"}, False),
        ({"score": 0.5, "label": "no"}, False),
        ({}, False),
    ],
)
def test_predictions_are_compared_by_value(predicted: dict[str, Any], agrees: bool) -> None:
    expected = [{"score": 0.5, "label": "yes"}]
    different = batch_check._different(expected, {2: predicted} if predicted else {}, 1e-6)
    assert (different == []) is agrees


def test_probabilities_are_compared_one_by_one() -> None:
    expected = [{"label": "b", "probabilities": {"a": 0.25, "b": 0.75}}]
    assert batch_check._different(expected, {2: expected[0]}, 0) == []
    other = {"label": "b", "probabilities": {"a": 0.3, "b": 0.7}}
    assert len(batch_check._different(expected, {2: other}, 0.01)) == 1
