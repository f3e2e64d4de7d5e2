"""Builds of a source in S3, started by hand and by a one-time schedule, in the environment that their lock file names.

Sources: https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html and
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, LOCK, PYTHON, REGION, eventually
from products.shared.deployment.shadow import COMPARE, NEVER_OVERRIDDEN, STARTED_WITH

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

BUCKET = "sources-of-builds"
PROJECT_ARN = f"arn:aws:codebuild:{REGION}:{DEV}:project/compare"
UNIVERSAL = "arn:aws:scheduler:::aws-sdk:codebuild:startBuild"
BUILDSPEC = """
version: 0.2
env: {exported-variables: [STEP, PREFIX, TARGET]}
phases:
  build:
    commands:
      - export PREFIX="$(python3 -c 'import sys; print(sys.prefix)')" TARGET="$UV_PROJECT_ENVIRONMENT"
"""


def allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


@pytest.fixture(scope="module", autouse=True)
def compare(cloud: Cloud) -> None:
    """A project of a pipeline, and two zip files with sources."""
    s3 = cloud.client("s3", DEV)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name, lock in (("locked", LOCK), ("other", b"version = 2\n")):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("buildspec.yml", BUILDSPEC)
            archive.writestr("uv.lock", lock)
        s3.put_object(Bucket=BUCKET, Key=f"{name}.zip", Body=content.getvalue())
    logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    may = [allow(logs, "*"), allow(["s3:GetObject"], f"arn:aws:s3:::{BUCKET}/*")]
    cloud.client("codebuild", DEV).create_project(
        name="compare",
        serviceRole=cloud.role(DEV, "compare", may),
        source={"type": "CODEPIPELINE"},
        artifacts={"type": "CODEPIPELINE"},
        environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
    )


def overrides(source: str) -> dict[str, Any]:
    return {
        "projectName": "compare",
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": f"{BUCKET}/{source}.zip",
        "artifactsOverride": {"type": "NO_ARTIFACTS"},
        "environmentVariablesOverride": [{"name": "STEP", "value": "compare", "type": "PLAINTEXT"}],
    }


def finished(cloud: Cloud, build_id: str) -> dict[str, Any] | None:
    (found,) = cloud.client("codebuild", DEV).batch_get_builds(ids=[build_id])["builds"]
    return dict(found) if found["buildComplete"] else None


def exported(cloud: Cloud, source: str) -> dict[str, str]:
    build = cloud.client("codebuild", DEV).start_build(**overrides(source))["build"]["id"]
    done = eventually(lambda: finished(cloud, build))
    assert done["buildStatus"] == "SUCCEEDED", done["phases"]
    return {variable["name"]: variable["value"] for variable in done["exportedEnvironmentVariables"]}


def test_a_build_uses_the_environment_that_was_installed_from_its_lock_file(cloud: Cloud) -> None:
    locked, other = exported(cloud, "locked"), exported(cloud, "other")
    assert locked["STEP"] == "compare"
    assert locked["PREFIX"] == locked["TARGET"] != sys.prefix
    assert str(cloud.work_dir) in locked["TARGET"]
    assert other["PREFIX"] == str(PYTHON.parent.parent)
    assert str(cloud.work_dir) in other["TARGET"]


def test_a_project_of_a_pipeline_is_started_by_hand_only_with_another_source(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="Invalid source: the type CODEPIPELINE"):
        cloud.client("codebuild", DEV).start_build(projectName="compare")


def schedule(cloud: Cloud, name: str, role: str, **more: Any) -> None:  # noqa: ANN401 (boto3)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    cloud.client("scheduler", DEV).create_schedule(
        Name=name,
        ScheduleExpression=f"at({soon:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={"Arn": UNIVERSAL, "RoleArn": role, "Input": json.dumps(overrides("locked"))} | more,
    )


def scheduled_builds(cloud: Cloud, role: str) -> list[str]:
    client = cloud.client("codebuild", DEV)
    ids = client.list_builds_for_project(projectName="compare")["ids"]
    return [b["id"] for b in client.batch_get_builds(ids=ids)["builds"] if b["initiator"] == f"{role}/schedule"]


def test_a_one_time_schedule_starts_a_build_as_its_role_and_is_gone(cloud: Cloud) -> None:
    role = cloud.role(DEV, "starts-builds", [allow(["codebuild:StartBuild"], PROJECT_ARN)])

    schedule(cloud, "compare-later", role)

    client = cloud.client("scheduler", DEV)
    assert client.get_schedule(Name="compare-later")["Target"]["Arn"] == UNIVERSAL
    (build,) = eventually(lambda: scheduled_builds(cloud, "starts-builds"))
    assert eventually(lambda: finished(cloud, build))["buildStatus"] == "SUCCEEDED"
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.get_schedule(Name="compare-later")


def test_what_a_start_overrides_is_known_to_policies(cloud: Cloud) -> None:
    """With the conditions under which the schedules of deployment projects start the build of production."""
    may = allow(["codebuild:StartBuild"], PROJECT_ARN) | {
        "Condition": {
            "StringLike": {"codebuild:source.location": f"{BUCKET}/locked*"},
            "StringEquals": {"codebuild:environment.environmentVariables/STEP.value": COMPARE},
            "ForAllValues:StringEquals": {"codebuild:environment.environmentVariables.name": [*STARTED_WITH]},
            "Null": {f"codebuild:{key}": "true" for key in NEVER_OVERRIDDEN},
        }
    }
    client = cloud.client("codebuild", DEV, cloud.assume(cloud.role(DEV, "starts-comparisons", [may])))
    usual = overrides("locked")
    attempts: list[dict[str, Any]] = [
        overrides("other"),
        {"projectName": "compare"},
        usual | {"environmentVariablesOverride": [{"name": "STEP", "value": "deploy"}]},
        usual | {"environmentVariablesOverride": [*usual["environmentVariablesOverride"], {"name": "X", "value": "y"}]},
        usual | {"artifactsOverride": {"type": "S3", "location": "bucket-of-an-attacker"}},
        usual | {"buildspecOverride": "version: 0.2"},
        usual | {"imageOverride": "attacker/image"},
        usual | {"privilegedModeOverride": True},
        usual | {"serviceRoleOverride": cloud.role(DEV, "another", [])},
        usual | {"secondarySourcesOverride": [{"type": "S3", "location": "x/y.zip", "sourceIdentifier": "z"}]},
    ]
    for attempt in attempts:
        with pytest.raises(ClientError, match="not authorized to perform: codebuild:StartBuild"):
            client.start_build(**attempt)
    build = client.start_build(**usual)["build"]["id"]
    assert eventually(lambda: finished(cloud, build))["buildStatus"] == "SUCCEEDED"


def test_a_schedule_whose_role_may_not_start_the_build_ends_in_its_dead_letter_queue(cloud: Cloud) -> None:
    url, arn = cloud.queue(DEV, "missed"), f"arn:aws:sqs:{REGION}:{DEV}:missed"
    sqs, role = cloud.client("sqs", DEV), cloud.role(DEV, "starts-nothing", [allow(["sqs:SendMessage"], arn)])

    schedule(cloud, "in-vain", role, DeadLetterConfig={"Arn": arn})

    options = {"QueueUrl": url, "MessageAttributeNames": ["All"]}
    (message,) = eventually(lambda: sqs.receive_message(**options).get("Messages"))
    assert (
        "not authorized to perform: codebuild:StartBuild"
        in message["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
    )
    assert scheduled_builds(cloud, "starts-nothing") == []


def test_a_schedule_is_refused_when_its_role_cannot_be_had(cloud: Cloud) -> None:
    role = cloud.role(DEV, "no-passing", [allow(["scheduler:CreateSchedule"], "*")])
    other = cloud.role(DEV, "starts-others", [allow(["codebuild:StartBuild"], "*")])
    client = cloud.client("scheduler", DEV, cloud.assume(role))
    request = {
        "Name": "refused",
        "ScheduleExpression": "at(2099-01-01T00:00:00)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": UNIVERSAL, "RoleArn": other, "Input": "{}"},
    }
    with pytest.raises(ClientError, match="not authorized to perform: iam:PassRole"):
        client.create_schedule(**request)
    with pytest.raises(ClientError, match="is not a supported service ARN"):
        cloud.client("scheduler", DEV).create_schedule(
            **request | {"Target": {"Arn": UNIVERSAL.replace("startBuild", "listBuilds"), "RoleArn": other}}
        )
