"""SageMaker pipelines: an execution really runs its definition, as the pipeline's role, and reports how it went."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, REGION, AwsClient, eventually

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

GROUP: Final = "gated"


def definition(group: str = GROUP) -> str:
    """Return a definition that registers a model when the score is high enough, and fails otherwise."""
    score = {"Get": "Parameters.Score"}
    register = {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {"ModelPackageGroupName": group, "SourceUri": "s3://models/archive"},
    }
    fail = {
        "Name": "Refuse",
        "Type": "Fail",
        "Arguments": {"ErrorMessage": {"Std:Join": {"On": " ", "Values": ["the score is only", score]}}},
    }
    gate = {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "GreaterThanOrEqualTo", "LeftValue": score, "RightValue": 0.8}],
            "IfSteps": [register],
            "ElseSteps": [fail],
        },
    }
    parameters = [
        {"Name": "Score", "Type": "Float", "DefaultValue": 0.9},
        {"Name": "Note", "Type": "String"},
    ]
    return json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters, "Steps": [gate]})


@pytest.fixture(scope="module")
def sagemaker(cloud: Cloud) -> AwsClient:
    """A client as root of the dev account, in which the group exists."""
    client = cloud.client("sagemaker", DEV)
    client.create_model_package_group(ModelPackageGroupName=GROUP)
    return client


@pytest.fixture(scope="module")
def role(cloud: Cloud) -> str:
    """A pipeline's role, which is allowed to register models in the group."""
    packages = f"arn:aws:sagemaker:{REGION}:{DEV}:model-package/{GROUP}/*"
    actions = ["sagemaker:CreateModelPackage", "sagemaker:AddTags"]
    return cloud.role(DEV, "pipeline-role", [{"Effect": "Allow", "Action": actions, "Resource": packages}])


def pipeline(sagemaker: AwsClient, name: str, role: str, text: str | None = None) -> str:
    """Create a pipeline and return its ARN."""
    arn: str = sagemaker.create_pipeline(
        PipelineName=name, PipelineDefinition=text or definition(), RoleArn=role, ClientRequestToken=name.ljust(32, "x")
    )["PipelineArn"]
    return arn


def start(sagemaker: AwsClient, name: str, **parameters: str) -> str:
    """Start an execution and return its ARN."""
    given = [{"Name": key, "Value": value} for key, value in {"Note": "test", **parameters}.items()]
    arn: str = sagemaker.start_pipeline_execution(PipelineName=name, PipelineParameters=given)["PipelineExecutionArn"]
    return arn


def ended(sagemaker: AwsClient, arn: str) -> dict[str, Any]:
    """Wait until an execution has ended and return its description."""

    def description() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return None if found["PipelineExecutionStatus"] in {"Executing", "Stopping"} else found

    return eventually(description, timeout_s=30)


def test_an_execution_runs_the_definition_and_registers_the_model(
    cloud: Cloud, sagemaker: AwsClient, role: str
) -> None:
    arn = pipeline(sagemaker, "registers", role)
    execution = start(sagemaker, "registers", Score="0.85")
    assert execution.startswith(f"{arn}/execution/")

    done = ended(sagemaker, execution)

    assert done["PipelineExecutionStatus"] == "Succeeded", done
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution, SortOrder="Ascending")
    by_name = {step["StepName"]: step for step in steps["PipelineExecutionSteps"]}
    assert list(by_name) == ["Gate", "Register"]
    assert by_name["Gate"]["Metadata"]["Condition"]["Outcome"] == "True"
    package = by_name["Register"]["Metadata"]["RegisterModel"]["Arn"]
    described = sagemaker.describe_model_package(ModelPackageName=package)
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert described["CreatedBy"]["IamIdentity"]["Arn"].startswith(f"arn:aws:sts::{DEV}:assumed-role/pipeline-role/")


def test_a_failing_step_fails_the_execution_with_its_reason(sagemaker: AwsClient, role: str) -> None:
    pipeline(sagemaker, "refuses", role)
    execution = start(sagemaker, "refuses", Score="0.5")

    done = ended(sagemaker, execution)

    assert done["PipelineExecutionStatus"] == "Failed"
    assert "the score is only 0.5" in done["FailureReason"]
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
    assert [(step["StepName"], step["StepStatus"]) for step in steps] == [("Refuse", "Failed"), ("Gate", "Succeeded")]
    (summary,) = sagemaker.list_pipeline_executions(PipelineName="refuses")["PipelineExecutionSummaries"]
    assert summary["PipelineExecutionStatus"] == "Failed"


def test_an_execution_has_the_permissions_of_the_pipelines_role_and_no_others(sagemaker: AwsClient, role: str) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="of-somebody-else")
    pipeline(sagemaker, "trespasses", role, definition("of-somebody-else"))

    done = ended(sagemaker, start(sagemaker, "trespasses"))

    assert done["PipelineExecutionStatus"] == "Failed"
    assert "not authorized to perform: sagemaker:CreateModelPackage" in done["FailureReason"]


def test_an_execution_is_announced_on_the_default_bus(cloud: Cloud, sagemaker: AwsClient, role: str) -> None:
    events, sqs = cloud.client("events", DEV), cloud.client("sqs", DEV)
    arn = pipeline(sagemaker, "announces", role)
    url = cloud.queue(DEV, "execution-events")
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Building Pipeline Execution Status Change"],
        "detail": {"pipelineArn": [arn]},
    }
    events.put_rule(Name="execution-events", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="execution-events", Targets=[{"Id": "queue", "Arn": queue}])

    execution = start(sagemaker, "announces")

    got: list[dict[str, Any]] = []

    def both() -> bool:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        got.extend(json.loads(message["Body"]) for message in messages)
        return len(got) == 2

    eventually(both, timeout_s=30)
    details = sorted((event["detail"] for event in got), key=lambda detail: "executionEndTime" in detail)
    assert [detail["currentPipelineExecutionStatus"] for detail in details] == ["Executing", "Succeeded"]
    assert details[1]["previousPipelineExecutionStatus"] == "Executing"
    assert got[0]["resources"] == [arn, execution]


def test_a_token_starts_one_execution(sagemaker: AwsClient, role: str) -> None:
    pipeline(sagemaker, "starts-once", role)
    request = {
        "PipelineName": "starts-once",
        "PipelineParameters": [{"Name": "Note", "Value": "once"}],
        "ClientRequestToken": "t" * 32,
    }
    first = sagemaker.start_pipeline_execution(**request)["PipelineExecutionArn"]

    assert sagemaker.start_pipeline_execution(**request)["PipelineExecutionArn"] == first
    assert len(sagemaker.list_pipeline_executions(PipelineName="starts-once")["PipelineExecutionSummaries"]) == 1
    ended(sagemaker, first)


def test_parameters_have_to_be_declared_and_given(sagemaker: AwsClient, role: str) -> None:
    pipeline(sagemaker, "declares", role)
    with pytest.raises(ClientError, match=r"unknown are \['Typo'\]"):
        start(sagemaker, "declares", Typo="1")
    with pytest.raises(ClientError, match=r"without value are \['Note'\]"):
        sagemaker.start_pipeline_execution(PipelineName="declares")


def test_a_pipeline_is_updated_and_deleted(sagemaker: AwsClient, role: str) -> None:
    pipeline(sagemaker, "changes", role)
    with pytest.raises(ClientError, match="names must be unique"):
        sagemaker.create_pipeline(
            PipelineName="changes", PipelineDefinition=definition(), RoleArn=role, ClientRequestToken="o" * 32
        )
    sagemaker.update_pipeline(PipelineName="changes", PipelineDefinition=definition("other"))
    assert sagemaker.describe_pipeline(PipelineName="changes")["PipelineDefinition"] == definition("other")
    with pytest.raises(ClientError, match="Unable to parse pipeline definition"):
        sagemaker.update_pipeline(PipelineName="changes", PipelineDefinition="{")
    sagemaker.delete_pipeline(PipelineName="changes", ClientRequestToken="d" * 32)
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_pipeline(PipelineName="changes")


def test_a_role_is_passed_to_a_pipeline_only_by_who_may_pass_it(cloud: Cloud, role: str) -> None:
    creates = {"Effect": "Allow", "Action": ["sagemaker:CreatePipeline", "sagemaker:DescribePipeline"], "Resource": "*"}
    passes = {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": role,
        "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    }
    without = cloud.client("sagemaker", DEV, cloud.assume(cloud.role(DEV, "creates-pipelines", [creates])))
    allowed = cloud.client("sagemaker", DEV, cloud.assume(cloud.role(DEV, "passes-roles", [creates, passes])))

    with pytest.raises(ClientError, match="iam:PassRole"):
        pipeline(without, "passed", role)
    pipeline(allowed, "passed", role)
    assert allowed.describe_pipeline(PipelineName="passed")["RoleArn"] == role
