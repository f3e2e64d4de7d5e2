"""The emulator alone, as the README says: nobody hands it anything but the example's configuration."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import boto3
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(__file__).resolve().parents[1]
PYTHON = PACKAGE.parent / ".venv-rehearsal/bin/python"
DEV = "222222222222"
QUEUE = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})

AwsClient: TypeAlias = Any
Connect: TypeAlias = "Callable[..., AwsClient]"

pytestmark = pytest.mark.rehearsal


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    """Start the organisation of the README's example; returns what makes clients of it."""
    folder = tmp_path_factory.mktemp("alone")
    (example,) = re.findall(r"```json\n(.*?)```", (PACKAGE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {"port": port, "work_dir": str(folder), "git_root": str(folder / "git"), "python": str(PYTHON)}
    config = folder / "organization.json"
    config.write_text(json.dumps(json.loads(example) | places), encoding="utf-8")
    command = [str(PYTHON), "-m", "aws_emulator", str(config)]
    with subprocess.Popen(
        command, cwd=PACKAGE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        endpoint = json.loads(process.stdout.readline())["endpoint"]

        def client(service: str, keys: dict[str, str] | None = None) -> AwsClient:
            keys = keys or {"AccessKeyId": DEV, "SecretAccessKey": "test"}
            return boto3.client(
                service,
                endpoint_url=endpoint,
                region_name="eu-west-1",
                aws_access_key_id=keys["AccessKeyId"],
                aws_secret_access_key=keys["SecretAccessKey"],
                aws_session_token=keys.get("SessionToken"),
            )

        yield client
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def created(cloudformation: AwsClient, stack: str) -> str:
    cloudformation.create_stack(StackName=stack, TemplateBody=QUEUE)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        status: str = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        if not status.endswith("IN_PROGRESS"):
            return status
        time.sleep(0.05)
    pytest.fail(f"{stack} is still in progress")


def test_the_root_of_an_account_makes_a_stack(connect: Connect) -> None:
    assert created(connect("cloudformation"), "by-root") == "CREATE_COMPLETE"


def test_others_make_none_until_somebody_says_what_types_ask_for(connect: Connect) -> None:
    iam = connect("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="maker", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]
    statement = {"Effect": "Allow", "Action": ["cloudformation:*", "sqs:*"], "Resource": "*"}
    iam.put_role_policy(RoleName="maker", PolicyName="all", PolicyDocument=json.dumps({"Statement": [statement]}))
    session = connect("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="test")["Credentials"]
    cloudformation = connect("cloudformation", session)
    assert created(cloudformation, "by-others") == "ROLLBACK_COMPLETE"
    events = cloudformation.describe_stack_events(StackName="by-others")["StackEvents"]
    assert any("no permissions are known for AWS::SQS::Queue" in str(e.get("ResourceStatusReason")) for e in events)


def test_what_is_not_emulated_is_refused_by_name(connect: Connect) -> None:
    with pytest.raises(ClientError, match="sagemaker:ListExperiments is not emulated here"):
        connect("sagemaker").list_experiments()


def test_no_pipeline_runs_without_a_runner(connect: Connect) -> None:
    iam, sagemaker = connect("iam"), connect("sagemaker")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="pipelines", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]
    definition = json.dumps({"Version": "2020-12-01", "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {}}]})
    sagemaker.create_pipeline(PipelineName="idle", RoleArn=role["Arn"], PipelineDefinition=definition)
    with pytest.raises(ClientError, match="name a pipeline_runner"):
        sagemaker.start_pipeline_execution(PipelineName="idle")
