"""CodePipeline: started by its creation and by pushes, with the permissions of its role.

Sources: https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodestarConnectionSource.html and
…/action-reference-CodeBuild.html.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from aws_emulator.codeconnections.handshake import complete_handshake
from aws_emulator.tests.harness import DEV, REGION, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

BUILDSPEC = """
version: 0.2
env: {exported-variables: [COMMIT, SAID]}
phases:
  build:
    commands:
      - export COMMIT=$CODEBUILD_RESOLVED_SOURCE_VERSION SAID="$(sh say.sh) $GREETING $MESSAGE"
"""
LOGS = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]


def commit(folder: Path, message: str, **files: str) -> str:
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    identity = {
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@x",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@x",
    }

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env={"PATH": os.environ["PATH"], **identity}
        ).stdout.strip()

    git("add", "--all")
    git("commit", "--quiet", "--message", message)
    git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    return git("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def checkout(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the repository team/app."""
    folder = tmp_path_factory.mktemp("checkout")
    bare = cloud.git_root / "team/app.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(bare), str(folder)], check=True, capture_output=True)
    return folder


def role(service: str, *statements: dict[str, Any]) -> dict[str, Any]:
    principal = {"Service": f"{service}.amazonaws.com"}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
            },
            "Policies": [{"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": [*statements]}}],
        },
    }


def allow(actions: list[str], resource: str | dict[str, Any]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def template(connection: str, *, may_use_connection: bool = True) -> dict[str, Any]:
    objects = {"Fn::Sub": "${Artifacts.Arn}/*"}
    source = {
        "Name": "Source",
        "Namespace": "Source",
        "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "CodeStarSourceConnection", "Version": "1"},
        "Configuration": {"ConnectionArn": connection, "FullRepositoryId": "team/app", "BranchName": "main"},
        "OutputArtifacts": [{"Name": "Source"}],
    }
    variables = '[{"name": "MESSAGE", "value": "#{Source.CommitMessage}", "type": "PLAINTEXT"}]'
    build = {
        "Name": "Build",
        "ActionTypeId": {"Category": "Build", "Owner": "AWS", "Provider": "CodeBuild", "Version": "1"},
        "Configuration": {"ProjectName": {"Ref": "Project"}, "EnvironmentVariables": variables},
        "InputArtifacts": [{"Name": "Source"}],
    }
    use = allow(["codeconnections:UseConnection"], connection if may_use_connection else "arn:aws:none:::x")
    start = allow(["codebuild:StartBuild", "codebuild:BatchGetBuilds"], {"Fn::GetAtt": ["Project", "Arn"]})
    return {
        "Resources": {
            "Artifacts": {"Type": "AWS::S3::Bucket"},
            "BuildRole": role("codebuild", allow(LOGS, "*"), allow(["s3:GetObject"], objects)),
            "PipelineRole": role("codepipeline", use, start, allow(["s3:PutObject"], objects)),
            "Project": {
                "Type": "AWS::CodeBuild::Project",
                "Properties": {
                    "ServiceRole": {"Fn::GetAtt": ["BuildRole", "Arn"]},
                    "Artifacts": {"Type": "CODEPIPELINE"},
                    "Source": {"Type": "CODEPIPELINE"},
                    "Environment": {
                        "Type": "LINUX_CONTAINER",
                        "ComputeType": "BUILD_GENERAL1_SMALL",
                        "Image": "aws/codebuild/standard:7.0",
                        "EnvironmentVariables": [{"Name": "GREETING", "Value": "hello"}],
                    },
                },
            },
            "Pipeline": {
                "Type": "AWS::CodePipeline::Pipeline",
                "Properties": {
                    "RoleArn": {"Fn::GetAtt": ["PipelineRole", "Arn"]},
                    "ArtifactStore": {"Type": "S3", "Location": {"Ref": "Artifacts"}},
                    "Stages": [{"Name": "Source", "Actions": [source]}, {"Name": "Build", "Actions": [build]}],
                    "Tags": [{"Key": "team", "Value": "a"}],
                },
            },
        },
        "Outputs": {"Pipeline": {"Value": {"Ref": "Pipeline"}}},
    }


@pytest.fixture(scope="module")
def connection(cloud: Cloud) -> str:
    """ARN of a connection whose handshake is complete."""
    arn: str = cloud.client("codeconnections", DEV).create_connection(ConnectionName="app", ProviderType="GitHub")[
        "ConnectionArn"
    ]
    credentials = boto3.session.Session(aws_access_key_id=DEV, aws_secret_access_key="test").get_credentials()
    assert credentials
    complete_handshake(cloud.endpoint, REGION, credentials, arn)
    return arn


def executions(cloud: Cloud, name: str) -> list[dict[str, Any]]:
    client = cloud.client("codepipeline", DEV)
    found: list[dict[str, Any]] = client.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
    return found


def ended(cloud: Cloud, name: str, count: int) -> dict[str, Any]:
    """Wait for the given number of executions and return the newest one."""

    def newest() -> dict[str, Any] | None:
        found = executions(cloud, name)
        return found[0] if len(found) >= count and found[0]["status"] != "InProgress" else None

    return eventually(newest, timeout_s=30)


def actions(cloud: Cloud, name: str, execution: dict[str, Any]) -> dict[str, Any]:
    details = cloud.client("codepipeline", DEV).list_action_executions(
        pipelineName=name, filter={"pipelineExecutionId": execution["pipelineExecutionId"]}
    )["actionExecutionDetails"]
    return {detail["actionName"]: detail for detail in details}


def test_creation_and_pushes_build_the_head_of_the_branch(cloud: Cloud, checkout: Path, connection: str) -> None:
    first = commit(checkout, "first", buildspec__yml=BUILDSPEC, say__sh="echo one")

    stack = cloud.deploy(DEV, "delivery", template(connection))

    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "delivery")
    name = stack["Outputs"][0]["OutputValue"]
    execution = ended(cloud, name, 1)
    ran = actions(cloud, name, execution)
    assert execution["status"] == "Succeeded", ran
    assert execution["trigger"]["triggerType"] == "CreatePipeline"
    assert ran["Source"]["output"]["outputVariables"]["CommitId"] == first
    assert ran["Build"]["output"]["outputVariables"] == {"COMMIT": first, "SAID": "one hello first"}

    second = commit(checkout, "second", say__sh="echo two")
    execution = ended(cloud, name, 2)
    assert execution["trigger"]["triggerType"] == "WebhookV2"
    assert actions(cloud, name, execution)["Build"]["output"]["outputVariables"]["COMMIT"] == second

    cloud.client("codepipeline", DEV).start_pipeline_execution(name=name)
    assert ended(cloud, name, 3)["status"] == "Succeeded"
    state = cloud.client("codepipeline", DEV).get_pipeline_state(name=name)
    assert [stage["latestExecution"]["status"] for stage in state["stageStates"]] == ["Succeeded", "Succeeded"]


def test_a_failed_build_fails_the_execution_with_the_command(cloud: Cloud, checkout: Path, connection: str) -> None:
    commit(checkout, "broken", say__sh="echo one", buildspec__yml="version: 0.2\nphases: {build: {commands: [exit 7]}}")

    stack = cloud.deploy(DEV, "failing-delivery", template(connection))

    name = stack["Outputs"][0]["OutputValue"]
    execution = ended(cloud, name, 1)
    assert execution["status"] == "Failed"
    error = actions(cloud, name, execution)["Build"]["output"]["executionResult"]["errorDetails"]
    assert error["code"] == "JobFailed"
    assert "exit 7" in error["message"]


def test_the_source_needs_permission_to_use_the_connection(cloud: Cloud, checkout: Path, connection: str) -> None:
    stack = cloud.deploy(DEV, "refused-delivery", template(connection, may_use_connection=False))

    name = stack["Outputs"][0]["OutputValue"]
    execution = ended(cloud, name, 1)
    assert execution["status"] == "Failed"
    error = actions(cloud, name, execution)["Source"]["output"]["executionResult"]["errorDetails"]
    assert error["code"] == "PermissionError"
    assert "Unable to use Connection" in error["message"]
