"""CodePipeline: stages, approvals, variables between actions, stopping, superseding, and its events.

Sources: https://docs.aws.amazon.com/codepipeline/latest/userguide/approvals.html, …/reference-variables.html,
…/concepts-how-it-works.html and …/detect-state-changes-cloudwatch-events.html.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from aws_emulator.codeconnections.handshake import complete_handshake
from aws_emulator.tests.harness import DEV, REGION, eventually
from aws_emulator.tests.test_codepipeline import LOGS, allow, commit, role

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

BUILDSPEC = """
version: 0.2
env: {exported-variables: [PACKAGE, SUMMARY]}
phases:
  build:
    commands:
      - sh step.sh
      - export PACKAGE="package 7" SUMMARY="$STEP of $SUBJECT"
"""
STEP = """
set -e
"""
NAME = "deliver-model"
APPROVAL = {"pipelineName": NAME, "stageName": "Approve", "actionName": "Governance"}
APPROVAL_ARN = f"arn:aws:codepipeline:{REGION}:{DEV}:{NAME}/Approve/Governance"


def build(name: str, step: str, source: str, *, order: int = 1, **more: object) -> dict[str, Any]:
    variables = [
        {"name": "STEP", "value": step},
        {"name": "SUBJECT", "value": "#{Render.PACKAGE}" if step != "render" else "nothing"},
        {"name": "EXECUTION", "value": "#{codepipeline.PipelineExecutionId}"},
    ]
    return {
        "Name": name,
        "RunOrder": order,
        "ActionTypeId": {"Category": "Build", "Owner": "AWS", "Provider": "CodeBuild", "Version": "1"},
        "Configuration": {"ProjectName": {"Ref": "Project"}, "EnvironmentVariables": json.dumps(variables)},
        "InputArtifacts": [{"Name": source}],
        **more,
    }


def approval(**more: object) -> dict[str, Any]:
    return {
        "Name": "Governance",
        "ActionTypeId": {"Category": "Approval", "Owner": "AWS", "Provider": "Manual", "Version": "1"},
        "Configuration": {
            "NotificationArn": {"Ref": "Topic"},
            "CustomData": "#{Render.PACKAGE}: #{Test.SUMMARY}",
            "ExternalEntityLink": "https://example.com/#{codepipeline.PipelineExecutionId}",
        },
        **more,
    }


def template(connection: str, repository: str, *, name: str, timeout: int | None = None) -> dict[str, Any]:
    objects = {"Fn::Sub": "${Artifacts.Arn}/*"}
    source = {
        "Name": "Source",
        "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "CodeStarSourceConnection", "Version": "1"},
        "Configuration": {
            "ConnectionArn": connection,
            "FullRepositoryId": repository,
            "BranchName": "main",
            "DetectChanges": "false",
        },
        "OutputArtifacts": [{"Name": "Source"}],
    }
    start = allow(["codebuild:StartBuild", "codebuild:BatchGetBuilds"], {"Fn::GetAtt": ["Project", "Arn"]})
    pipeline_role = role(
        "codepipeline",
        allow(["codeconnections:UseConnection"], connection),
        start,
        allow(["s3:PutObject"], objects),
        allow(["sns:Publish"], {"Ref": "Topic"}),
    )
    rendered = build("Render", "render", "Source", Namespace="Render")
    tests = [
        build("Check", "check", "Source", order=2, Namespace="Test"),
        build("Deploy", "deploy", "Source", order=1),
    ]
    asked = approval(TimeoutInMinutes=timeout) if timeout else approval()
    stages = [("Source", [source]), ("Render", [rendered]), ("Test", tests), ("Approve", [asked])]
    stages.append(("Prod", [build("Deploy", "prod", "Source")]))
    return {
        "Resources": {
            "Artifacts": {"Type": "AWS::S3::Bucket"},
            "Topic": {"Type": "AWS::SNS::Topic"},
            "BuildRole": role("codebuild", allow(LOGS, "*"), allow(["s3:GetObject", "s3:PutObject"], objects)),
            "PipelineRole": pipeline_role,
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
                    },
                },
            },
            "Pipeline": {
                "Type": "AWS::CodePipeline::Pipeline",
                "Properties": {
                    "Name": name,
                    "PipelineType": "V2",
                    "RoleArn": {"Fn::GetAtt": ["PipelineRole", "Arn"]},
                    "ArtifactStore": {"Type": "S3", "Location": {"Ref": "Artifacts"}},
                    "Stages": [{"Name": stage, "Actions": actions} for stage, actions in stages],
                },
            },
        },
        "Outputs": {"Topic": {"Value": {"Ref": "Topic"}}},
    }


@pytest.fixture(scope="module")
def connection(cloud: Cloud) -> str:
    """ARN of a connection whose handshake is complete."""
    arn: str = cloud.client("codeconnections", DEV).create_connection(ConnectionName="models", ProviderType="GitHub")[
        "ConnectionArn"
    ]
    credentials = boto3.session.Session(aws_access_key_id=DEV, aws_secret_access_key="test").get_credentials()
    assert credentials
    complete_handshake(cloud.endpoint, REGION, credentials, arn)
    return arn


@pytest.fixture(scope="module")
def repository(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A repository with the steps."""
    folder: Path = tmp_path_factory.mktemp("checkout")
    bare = cloud.git_root / "team/models.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(bare), str(folder)], check=True, capture_output=True)
    commit(folder, "steps", buildspec__yml=BUILDSPEC, step__sh=STEP)
    return "team/models"


def queue(cloud: Cloud, name: str) -> tuple[str, str]:
    """Create a queue that takes messages of topics and rules of the account, and return its URL and ARN."""
    return cloud.queue(DEV, name), f"arn:aws:sqs:{REGION}:{DEV}:{name}"


def received(cloud: Cloud, url: str) -> list[dict[str, Any]]:
    """Take the messages that are in a queue."""
    sqs, bodies = cloud.client("sqs", DEV), []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            bodies.append(json.loads(message["Body"]))
    return bodies


@pytest.fixture(scope="module")
def events(cloud: Cloud) -> str:
    """URL of a queue with all events of CodePipeline."""
    url, arn = queue(cloud, "pipeline-events")
    client = cloud.client("events", DEV)
    client.put_rule(Name="pipelines", EventPattern=json.dumps({"source": ["aws.codepipeline"]}))
    client.put_targets(Rule="pipelines", Targets=[{"Id": "queue", "Arn": arn}])
    return url


@pytest.fixture(scope="module")
def pipeline(cloud: Cloud, connection: str, repository: str, events: str) -> str:
    """The pipeline, whose first execution waits for approval; returns the URL of a queue behind its topic."""
    stack = cloud.deploy(DEV, "delivery-of-models", template(connection, repository, name=NAME))
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "delivery-of-models")
    url, arn = queue(cloud, "approvals")
    cloud.client("sns", DEV).subscribe(TopicArn=stack["Outputs"][0]["OutputValue"], Protocol="sqs", Endpoint=arn)
    return url


def asked(cloud: Cloud, *, not_in: str = "", name: str = NAME) -> dict[str, Any]:
    """Wait until an execution waits for approval, and return the state of the stage."""

    def waiting() -> dict[str, Any] | None:
        stages = cloud.client("codepipeline", DEV).get_pipeline_state(name=name)["stageStates"]
        (stage,) = (s for s in stages if s["stageName"] == "Approve")
        token = stage["actionStates"][0].get("latestExecution", {}).get("token")
        return stage if token and stage["latestExecution"]["pipelineExecutionId"] != not_in else None

    return eventually(waiting, timeout_s=30)


def answer(client: Any, token: str, status: str, summary: str, name: str = NAME) -> None:  # noqa: ANN401 (boto3 client)
    client.put_approval_result(
        **APPROVAL | {"pipelineName": name}, token=token, result={"status": status, "summary": summary}
    )


def ended(cloud: Cloud, execution: str, name: str = NAME) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = cloud.client("codepipeline", DEV).get_pipeline_execution(
            pipelineName=name, pipelineExecutionId=execution
        )["pipelineExecution"]
        return found if found["status"] not in {"InProgress", "Stopping"} else None

    return eventually(look, timeout_s=30)


def actions(cloud: Cloud, execution: str, name: str = NAME) -> dict[str, dict[str, Any]]:
    details = cloud.client("codepipeline", DEV).list_action_executions(
        pipelineName=name, filter={"pipelineExecutionId": execution}
    )["actionExecutionDetails"]
    return {f"{detail['stageName']}/{detail['actionName']}": detail for detail in reversed(details)}


def start(cloud: Cloud, name: str = NAME) -> str:
    execution: str = cloud.client("codepipeline", DEV).start_pipeline_execution(name=name)["pipelineExecutionId"]
    return execution


def test_an_approval_is_asked_for_with_what_the_builds_found_out_and_given_by_whom_iam_lets(
    cloud: Cloud, pipeline: str, events: str
) -> None:
    first = asked(cloud)["latestExecution"]["pipelineExecutionId"]
    # The topic may have got its subscriber only after that: what follows looks at the second execution.
    answer(
        cloud.client("codepipeline", DEV), asked(cloud)["actionStates"][0]["latestExecution"]["token"], "Rejected", ""
    )
    assert ended(cloud, first)["status"] == "Failed"
    received(cloud, events)
    execution = start(cloud)
    token = asked(cloud, not_in=first)["actionStates"][0]["latestExecution"]["token"]

    notification = eventually(lambda: next((n for n in received(cloud, pipeline) if execution in n["Message"]), None))
    assert notification["Subject"] == f"APPROVAL NEEDED: AWS CodePipeline {NAME} for action Governance"
    message = json.loads(notification["Message"])
    assert message["region"] == REGION
    request = message["approval"]
    assert (request["pipelineName"], request["stageName"], request["actionName"]) == (NAME, "Approve", "Governance")
    assert request["token"] == token
    assert request["customData"] == "package 7: check of package 7"
    assert request["externalEntityLink"] == f"https://example.com/{execution}"
    assert request["approvalReviewLink"].endswith(f"#/view/{NAME}/Approve/Governance/approve/{token}")

    stranger = cloud.role(
        DEV, "approves-elsewhere", [allow(["codepipeline:*"], APPROVAL_ARN.replace("Approve", "Other"))]
    )
    with pytest.raises(ClientError, match="not authorized to perform: codepipeline:PutApprovalResult"):
        answer(cloud.client("codepipeline", DEV, cloud.assume(stranger)), token, "Approved", "let me")
    officer = cloud.role(DEV, "officer", [allow(["codepipeline:PutApprovalResult"], APPROVAL_ARN)])
    client = cloud.client("codepipeline", DEV, cloud.assume(officer))
    answer(client, token, "Approved", "Report read.")
    with pytest.raises(ClientError, match="ApprovalAlreadyCompletedException"):
        answer(client, token, "Rejected", "changed my mind")
    with pytest.raises(ClientError, match="InvalidApprovalTokenException"):
        answer(client, token.replace(token[0], "0" if token[0] != "0" else "1"), "Approved", "")

    assert ended(cloud, execution)["status"] == "Succeeded"
    done = actions(cloud, execution)
    assert list(done) == [
        "Source/Source",
        "Render/Render",
        "Test/Deploy",
        "Test/Check",
        "Approve/Governance",
        "Prod/Deploy",
    ]
    approved = done["Approve/Governance"]
    assert approved["updatedBy"] == f"arn:aws:sts::{DEV}:assumed-role/officer/test"
    assert approved["output"]["executionResult"]["externalExecutionSummary"] == "Report read."
    assert done["Render/Render"]["output"]["outputVariables"]["PACKAGE"] == "package 7"
    assert done["Prod/Deploy"]["input"]["inputArtifacts"][0]["name"] == "Source"

    reported = eventually(lambda: _reported(cloud, events, execution))
    assert [reported[0], reported[-1]] == ["Pipeline STARTED", "Pipeline SUCCEEDED"]
    for entry in ("Stage Test STARTED", "Action Approve/Governance SUCCEEDED", "Stage Prod SUCCEEDED"):
        assert entry in reported


def _reported(cloud: Cloud, url: str, execution: str, seen: list[str] | None = None) -> list[str]:
    """Return what was reported about an execution, once its end was."""
    reported = seen if seen is not None else _REPORTED.setdefault(execution, [])
    for event in received(cloud, url):
        detail = event["detail"]
        if detail["execution-id"] != execution:
            continue
        place = "/".join(detail[key] for key in ("stage", "action") if key in detail)
        reported.append(" ".join(filter(None, [event["detail-type"].split()[1], place, detail["state"]])))
        assert event["resources"] == [f"arn:aws:codepipeline:{REGION}:{DEV}:{detail['pipeline']}"]
        if "action" in detail:
            assert set(detail["type"]) == {"owner", "category", "provider", "version"}
    last = reported[-1] if reported else ""
    return reported if last.startswith("Pipeline S") and last != "Pipeline STARTED" else []


_REPORTED: dict[str, list[str]] = {}


def test_a_rejection_fails_the_execution_and_nothing_after_it_happens(cloud: Cloud, pipeline: str) -> None:
    execution = start(cloud)
    token = eventually(lambda: _token(cloud, execution), timeout_s=30)

    answer(cloud.client("codepipeline", DEV), token, "Rejected", "Scores differ too much.")

    assert ended(cloud, execution)["status"] == "Failed"
    done = actions(cloud, execution)
    assert done["Approve/Governance"]["status"] == "Failed"
    assert (
        done["Approve/Governance"]["output"]["executionResult"]["externalExecutionSummary"] == "Scores differ too much."
    )
    assert "Prod/Deploy" not in done


def _token(cloud: Cloud, execution: str, name: str = NAME) -> str | None:
    stages = cloud.client("codepipeline", DEV).get_pipeline_state(name=name)["stageStates"]
    (stage,) = (s for s in stages if s["stageName"] == "Approve")
    if stage.get("latestExecution", {}).get("pipelineExecutionId") != execution:
        return None
    token: str | None = stage["actionStates"][0].get("latestExecution", {}).get("token")
    return token


def test_an_execution_is_stopped_without_waiting_for_its_approval(cloud: Cloud, pipeline: str) -> None:
    """https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_StopPipelineExecution.html."""
    client = cloud.client("codepipeline", DEV)
    execution = start(cloud)
    eventually(lambda: _token(cloud, execution), timeout_s=30)
    which = {"pipelineName": NAME, "pipelineExecutionId": execution}

    client.stop_pipeline_execution(**which, abandon=True, reason="Nothing is approved.")

    found = ended(cloud, execution)
    assert (found["status"], found["statusSummary"]) == ("Stopped", "Nothing is approved.")
    assert actions(cloud, execution)["Approve/Governance"]["status"] == "Abandoned"
    summary = client.list_pipeline_executions(pipelineName=NAME)["pipelineExecutionSummaries"][0]
    assert summary["stopTrigger"] == {"reason": "Nothing is approved."}
    with pytest.raises(ClientError, match="PipelineExecutionNotStoppableException"):
        client.stop_pipeline_execution(**which, abandon=True)


def test_a_newer_execution_supersedes_the_one_that_waits_in_front_of_a_stage(cloud: Cloud, pipeline: str) -> None:
    """https://docs.aws.amazon.com/codepipeline/latest/userguide/concepts-how-it-works.html (rules 1 to 3)."""
    client = cloud.client("codepipeline", DEV)
    first = start(cloud)
    token = eventually(lambda: _token(cloud, first), timeout_s=30)
    second = start(cloud)
    eventually(lambda: _waits(cloud, second), timeout_s=30)

    third = start(cloud)

    assert ended(cloud, second)["status"] == "Superseded"
    answer(client, token, "Rejected", "")
    answer(client, eventually(lambda: _token(cloud, third), timeout_s=30), "Rejected", "")
    assert ended(cloud, third)["status"] == "Failed"


def _waits(cloud: Cloud, execution: str) -> bool:
    stages = cloud.client("codepipeline", DEV).get_pipeline_state(name=NAME)["stageStates"]
    (stage,) = (s for s in stages if s["stageName"] == "Approve")
    return execution in {inbound["pipelineExecutionId"] for inbound in stage.get("inboundExecutions", [])}


def test_an_approval_that_nobody_gives_in_time_fails(cloud: Cloud, connection: str, repository: str) -> None:
    cloud.deploy(DEV, "short-time", template(connection, repository, name="short-time", timeout=5))
    (first,) = cloud.client("codepipeline", DEV).list_pipeline_executions(pipelineName="short-time")[
        "pipelineExecutionSummaries"
    ]
    execution = first["pipelineExecutionId"]

    assert ended(cloud, execution, "short-time")["status"] == "Failed"

    failed = actions(cloud, execution, "short-time")["Approve/Governance"]
    assert "not answered within 5 minutes" in failed["output"]["executionResult"]["errorDetails"]["message"]
    assert "updatedBy" not in failed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            lambda t: t.update(CustomData="#{Render.VERSION}"), "names the variable #{Render.VERSION}", id="unknown"
        ),
        pytest.param(
            lambda t: t.update(CustomData="#{Test.SUMMARY}" * 63), "CustomData has 1134 characters", id="long"
        ),
    ],
)
def test_an_approval_with_unusable_values_fails_with_the_reason(  # noqa: PLR0917 - fixtures and parameters
    cloud: Cloud,
    connection: str,
    repository: str,
    change: Callable[[dict[str, Any]], None],
    reason: str,
    request: pytest.FixtureRequest,
) -> None:
    name = f"values-{request.node.callspec.id}"
    content = template(connection, repository, name=name)
    change(content["Resources"]["Pipeline"]["Properties"]["Stages"][3]["Actions"][0]["Configuration"])
    cloud.deploy(DEV, name, content)
    (first,) = cloud.client("codepipeline", DEV).list_pipeline_executions(pipelineName=name)[
        "pipelineExecutionSummaries"
    ]

    assert ended(cloud, first["pipelineExecutionId"], name)["status"] == "Failed"

    failed = actions(cloud, first["pipelineExecutionId"], name)["Approve/Governance"]
    assert reason in failed["output"]["executionResult"]["errorDetails"]["message"]


def test_a_rule_starts_a_pipeline_with_its_own_role(cloud: Cloud, pipeline: str) -> None:
    arn = f"arn:aws:codepipeline:{REGION}:{DEV}:{NAME}"
    starter = cloud.role(DEV, "rule-starts", [allow(["codepipeline:StartPipelineExecution"], arn)])
    client = cloud.client("events", DEV)
    rule = client.put_rule(Name="approved-in-hub", EventPattern=json.dumps({"source": ["team.registry"]}))["RuleArn"]
    client.put_targets(Rule="approved-in-hub", Targets=[{"Id": "pipeline", "Arn": arn, "RoleArn": starter}])

    client.put_events(Entries=[{"Source": "team.registry", "DetailType": "approved", "Detail": "{}"}])

    def started() -> dict[str, Any] | None:
        newest: dict[str, Any] = cloud.client("codepipeline", DEV).list_pipeline_executions(pipelineName=NAME)[
            "pipelineExecutionSummaries"
        ][0]
        return newest if newest["trigger"]["triggerType"] == "CloudWatchEvent" else None

    execution = eventually(started)
    assert execution["trigger"]["triggerDetail"] == rule
    cloud.client("codepipeline", DEV).stop_pipeline_execution(
        pipelineName=NAME, pipelineExecutionId=execution["pipelineExecutionId"], abandon=True
    )
