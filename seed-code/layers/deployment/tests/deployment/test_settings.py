from __future__ import annotations

from pathlib import Path

import pytest

from deployment import local, settings
from deployment.errors import DeploymentError
from deployment.settings import read_build, read_environments

SCHEMA = {
    "type": settings.choice("instance", "serverless"),
    "instances": settings.whole_number(1, 10),
    "percent": settings.number(0, 100),
    "replica": settings.text(r"[a-z-]+", example="my-bucket", optional=True),
    "vpc": settings.section({"subnets": settings.texts(r"subnet-\w+", example="subnet-1")}),
    "api": settings.flag(),
}
GOOD = """
test: {type: "${KIND}", instances: 1, percent: 0.5, replica: null, vpc: {subnets: []}, api: false}
prod: {type: instance, instances: "${COUNT}", percent: 5, replica: "${REPLICA}", vpc: {subnets: [subnet-1]}, api: true}
"""
CHOICES = {"KIND": "serverless", "COUNT": "3", "REPLICA": ""}


def read(folder: Path, text: str, choices: dict[str, str] = CHOICES, **more: object) -> object:
    path = folder / "environments.yaml"
    path.write_text(text)
    return read_environments(path, choices, SCHEMA, **more)


def test_choices_made_at_launch_fill_in_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == {
        "test": {
            "type": "serverless",
            "instances": 1,
            "percent": 0.5,
            "replica": None,
            "vpc": {"subnets": ()},
            "api": False,
        },
        "prod": {
            "type": "instance",
            "instances": 3,
            "percent": 5.0,
            "replica": None,
            "vpc": {"subnets": ("subnet-1",)},
            "api": True,
        },
    }


@pytest.mark.parametrize("stage", ["test", "prod"])
def test_no_section_stands_in_for_a_missing_one(tmp_path: Path, stage: str) -> None:
    lines = [line for line in GOOD.splitlines() if not line.startswith(stage)]
    with pytest.raises(DeploymentError, match=rf"environments\.yaml cannot be used:\n- the section {stage} is missing"):
        read(tmp_path, "\n".join(lines))


def test_all_errors_come_at_once_with_key_value_and_remedy(tmp_path: Path) -> None:
    text = """
test: {type: big, instances: 0, percent: lots, vpc: {subnets: subnet-1, zones: 2}, api: maybe, replicas: a}
prod: {type: "${KIMD}", instances: 1.5, percent: 101, replica: UPPER, vpc: none, api: null}
preprod: {}
"""
    with pytest.raises(DeploymentError) as raised:
        read(tmp_path, text)
    message = str(raised.value)
    for line in (
        "- preprod is not a stage; there are test and prod. Did you mean prod?",
        "- test.type is 'big'; it must be instance or serverless.",
        "- test.instances is 0; it must be a whole number from 1 to 10.",
        "- test.percent is 'lots'; it must be a number from 0 to 100.",
        "- test.vpc.subnets is 'subnet-1'; it must be a list of at most 100, e.g. [subnet-1].",
        "- test.vpc.zones is not a setting. Known: subnets.",
        "- test.api is 'maybe'; it must be true or false.",
        "- test.replicas is not a setting. Did you mean replica?",
        "- test.replica is missing; write null if there is none.",
        "- prod.type: ${KIMD} is not a choice made for this project, so '${KIMD}' has no meaning. Did you mean KIND?",
        "- prod.instances is 1.5; it must be a whole number from 1 to 10.",
        "- prod.percent is 101; it must be a number from 0 to 100.",
        "- prod.replica is 'UPPER'; it must look like my-bucket.",
        "- prod.vpc is 'none'; it must be a group of settings (subnets).",
        "- prod.api has no value, and needs one: it must be true or false.",
    ):
        assert line in message
    assert message.count("\n- ") == 15


@pytest.mark.parametrize(
    ("value", "message"),
    [("", "test.percent has no value, and needs one: it must be a number"), ("2024-01-01", "it must be a number")],
)
def test_a_number_that_is_empty_or_a_date_is_named(tmp_path: Path, value: str, message: str) -> None:
    text = f"test:\n  percent: {value}\nprod: {{}}\n"
    with pytest.raises(DeploymentError, match=message):
        read(tmp_path, text)


def test_settings_that_do_not_go_together_are_refused_by_stage(tmp_path: Path) -> None:
    def refuse(stage: str, values: object) -> list[str]:
        return ["no API before a serverless endpoint."] if stage == "test" else []

    with pytest.raises(DeploymentError, match=r"- test: no API before a serverless endpoint\."):
        read(tmp_path, GOOD, refuse=refuse)


@pytest.mark.parametrize(
    ("text", "message"), [("- a", "must have the sections test and prod"), ("a: [", "is not valid YAML")]
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"environments\.yaml is missing"):
        read_environments(tmp_path / "environments.yaml", {}, SCHEMA)


def test_every_variable_that_is_missing_or_wrong_is_named_at_once() -> None:
    variables = {**local.VARIABLES, "PROJECT_ID": "p-UPPER", "PROD_ACCOUNT_ID": "12", "HUB_REGION": "", "STAGE": "dev"}
    del variables["KMS_KEY_ARN"]
    with pytest.raises(DeploymentError) as raised:
        read_build(variables)
    for text in (
        "PROJECT_ID is 'p-UPPER'",
        "PROD_ACCOUNT_ID is '12'",
        "STAGE is 'dev'",
        "HUB_REGION is not set",
        "KMS_KEY_ARN is not set",
    ):
        assert text in str(raised.value)


def test_the_longest_names_fit() -> None:
    build = read_build(local.VARIABLES)
    assert len(build.project_name) == 32
    assert len(build.project_id) == 16
    for stage in ("test", "prod"):
        assert len(build.endpoint(stage)) <= 63
        assert len(build.bucket(stage)) <= 63
        assert len(f"mlp-{build.tag(stage)}-replication") <= 64


def test_stages_in_one_account_and_region_share_no_name() -> None:
    same = {"PROD_ACCOUNT_ID": local.VARIABLES["TEST_ACCOUNT_ID"], "PROD_REGION": local.VARIABLES["TEST_REGION"]}
    build = read_build({**local.VARIABLES, **same})
    for name in (build.bucket, build.stack, build.base_stack, build.endpoint, build.tag):
        assert name("test") != name("prod")
    assert build.role_arn("test", "endpoint") != build.role_arn("prod", "endpoint")
