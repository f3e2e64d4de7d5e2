from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deployment import stacks
from deployment.errors import DeploymentError
from deployment.stacks import Stack
from deployment.targets import Target

from .conftest import NOW, Aws, Bucket, RefusedError

NAME = "mlp-p-1-test"
ARN = f"arn:aws:cloudformation:eu-west-1:222233334444:stack/{NAME}/1"
ROLE = "arn:aws:iam::222233334444:role/ml-platform/deployment/mlp-p-1-test-execution"
STACK = Stack(name=NAME, template="{}", parameters={"Stage": "test"}, tags={"CostCenter": "1"}, role_arn=ROLE)


class CloudFormation:
    """One stack that goes through given statuses, one per request that asks for it."""

    def __init__(self, aws: Aws, *, status: str | None = None, then: tuple[str, ...] = ("CREATE_COMPLETE",)) -> None:
        self.status = status
        self._then: Iterator[str] = iter(then)
        self.change_set: dict[str, Any] = {"Status": "CREATE_COMPLETE"}
        self.events: list[dict[str, Any]] = []
        self.findings: list[dict[str, Any]] | None = None
        self._token = ""
        self._watched = False
        for name in (
            "DescribeStacks",
            "DescribeStackEvents",
            "CreateChangeSet",
            "DescribeChangeSet",
            "DeleteChangeSet",
            "DescribeEvents",
            "ExecuteChangeSet",
            "DeleteStack",
        ):
            aws.answers["cloudformation", name] = getattr(self, name)

    def DescribeStacks(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if self._watched:
            self.status = next(self._then, self.status)
        if self.status is None:
            raise RefusedError("ValidationError", f"Stack with id {given['StackName']} does not exist")
        outputs = [{"OutputKey": "KeyArn", "OutputValue": "key"}]
        stack = {"StackName": NAME, "StackId": ARN, "CreationTime": NOW, "StackStatus": self.status, "Outputs": outputs}
        return {"Stacks": [stack]}

    def DescribeStackEvents(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        events = [{"ClientRequestToken": self._token, **event} for event in self.events]
        older = {**event(0, "EARLIER", "CREATE_FAILED", "of an earlier attempt"), "ClientRequestToken": "another"}
        return {"StackEvents": [*events[::-1], older]}

    def CreateChangeSet(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"Id": f"arn:aws:cloudformation:eu-west-1:222233334444:changeSet/{given['ChangeSetName']}/1"}

    def DescribeChangeSet(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"ChangeSetId": given["ChangeSetName"], "StackId": ARN, **self.change_set}

    def DescribeEvents(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if self.findings is None:
            raise RefusedError("AccessDenied", "not authorized to perform: cloudformation:DescribeEvents")
        return {"OperationEvents": self.findings}

    def DeleteChangeSet(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {}

    def ExecuteChangeSet(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._token = given["ClientRequestToken"]
        self._watched = True
        return {}

    def DeleteStack(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._watched = True
        return {}


def event(number: int, resource: str, status: str, reason: str = "") -> dict[str, Any]:
    """Return an event of a stack."""
    return {
        "StackId": ARN,
        "EventId": str(number),
        "StackName": NAME,
        "LogicalResourceId": resource,
        "PhysicalResourceId": ARN if resource == NAME else resource,
        "ResourceType": "AWS::SageMaker::Endpoint",
        "Timestamp": NOW,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def apply(target: Target, stack: Stack = STACK) -> dict[str, str]:
    return stacks.apply(target, stack, pause=lambda seconds: None)


def test_a_new_stack_is_created_with_role_tags_and_parameters(aws: Aws, target: Target) -> None:
    CloudFormation(aws, then=("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"))
    assert apply(target) == {"KeyArn": "key"}
    (request,) = aws.called("CreateChangeSet")
    assert request["ChangeSetType"] == "CREATE"
    assert request["RoleARN"] == ROLE
    assert request["Tags"] == [{"Key": "CostCenter", "Value": "1"}]
    assert request["Parameters"] == [{"ParameterKey": "Stage", "ParameterValue": "test"}]
    assert request["TemplateBody"] == "{}"


def test_events_are_printed_as_they_happen(aws: Aws, target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = CloudFormation(aws, then=("CREATE_IN_PROGRESS", "CREATE_COMPLETE"))
    cloud.events = [event(1, "Model", "CREATE_IN_PROGRESS"), event(2, "Model", "CREATE_COMPLETE")]
    apply(target)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["CREATE_IN_PROGRESS", "Model"], ["CREATE_COMPLETE", "Model"]]


def test_a_stack_that_is_there_is_updated(aws: Aws, target: Target) -> None:
    CloudFormation(aws, status="UPDATE_ROLLBACK_COMPLETE", then=("UPDATE_COMPLETE",))
    apply(target)
    assert aws.called("CreateChangeSet")[0]["ChangeSetType"] == "UPDATE"


@pytest.mark.parametrize(
    "reason",
    [
        "The submitted information didn't contain changes. Submit different information to create a change set.",
        "No updates are to be performed.",
    ],
)
def test_an_update_without_changes_is_a_success(aws: Aws, target: Target, reason: str) -> None:
    cloud = CloudFormation(aws, status="CREATE_COMPLETE")
    cloud.change_set = {"Status": "FAILED", "StatusReason": reason}
    assert apply(target) == {"KeyArn": "key"}
    assert aws.called("ExecuteChangeSet") == []
    assert len(aws.called("DeleteChangeSet")) == 1


def test_a_refused_change_set_says_why_and_leaves_nothing(aws: Aws, target: Target) -> None:
    cloud = CloudFormation(aws, status="CREATE_COMPLETE")
    cloud.change_set = {"Status": "FAILED", "StatusReason": "Parameters: [Stage] do not exist"}
    with pytest.raises(DeploymentError, match=r"refuses.*stack mlp-p-1-test.*\[Stage\] do not exist"):
        apply(target)
    assert len(aws.called("DeleteChangeSet")) == 1


CHECK = "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]."


def finding(resource: str, reason: str, mode: str = "FAIL") -> dict[str, Any]:
    """Return what the validation of a change set found."""
    return {
        "EventType": "VALIDATION_ERROR",
        "LogicalResourceId": resource,
        "ResourceType": "AWS::S3::Bucket",
        "ValidationFailureMode": mode,
        "ValidationStatus": "FAILED",
        "ValidationStatusReason": reason,
    }


def test_a_change_set_that_is_not_valid_names_the_resources(aws: Aws, target: Target) -> None:
    cloud = CloudFormation(aws, status="CREATE_COMPLETE")
    cloud.change_set = {"Status": "FAILED", "StatusReason": CHECK}
    cloud.findings = [finding("Bucket", "it already exists"), finding("Old", "it is not empty", "WARN")]
    with pytest.raises(DeploymentError, match=r"\n- Bucket \(AWS::S3::Bucket\): it already exists$"):
        apply(target)
    assert [name for _, name, _ in aws.calls][-2:] == ["DescribeEvents", "DeleteChangeSet"]


def test_a_role_that_may_not_ask_for_more_leaves_it_at_the_failed_check(aws: Aws, target: Target) -> None:
    cloud = CloudFormation(aws, status="CREATE_COMPLETE")
    cloud.change_set = {"Status": "FAILED", "StatusReason": CHECK}
    with pytest.raises(DeploymentError, match="ResourceExistenceCheck"):
        apply(target)
    assert len(aws.called("DeleteChangeSet")) == 1


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"])
def test_what_a_failed_creation_left_is_deleted_first(aws: Aws, target: Target, status: str) -> None:
    CloudFormation(aws, status=status, then=("DELETE_IN_PROGRESS", "DELETE_COMPLETE", "CREATE_COMPLETE"))
    apply(target)
    assert aws.called("DeleteStack") == [{"StackName": ARN, "RoleARN": ROLE}]
    assert aws.called("CreateChangeSet")[0]["ChangeSetType"] == "CREATE"


def test_a_leftover_that_cannot_be_deleted_is_reported(aws: Aws, target: Target) -> None:
    CloudFormation(aws, status="ROLLBACK_COMPLETE", then=("DELETE_IN_PROGRESS", "DELETE_FAILED"))
    with pytest.raises(DeploymentError, match="could not be deleted"):
        apply(target)
    assert aws.called("CreateChangeSet") == []


def test_a_change_set_that_nobody_executed_does_not_stand_in_the_way(aws: Aws, target: Target) -> None:
    CloudFormation(aws, status="REVIEW_IN_PROGRESS")
    apply(target)
    assert aws.called("CreateChangeSet")[0]["ChangeSetType"] == "CREATE"


def test_a_change_under_way_is_waited_for(aws: Aws, target: Target) -> None:
    cloud = CloudFormation(aws, status="UPDATE_IN_PROGRESS")

    def pause(seconds: float) -> None:
        if cloud.status == "UPDATE_IN_PROGRESS":
            cloud.status = "UPDATE_COMPLETE"

    stacks.apply(target, STACK, pause=pause)
    assert aws.called("CreateChangeSet")[0]["ChangeSetType"] == "UPDATE"


def test_a_rollback_fails_with_the_first_reasons(aws: Aws, target: Target) -> None:
    cloud = CloudFormation(aws, status="CREATE_COMPLETE", then=("UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"))
    cloud.events = [
        event(1, "Endpoint", "UPDATE_FAILED", "Alarm mlp-p-1-test-latency went off during deployment"),
        event(2, "Alarm", "UPDATE_FAILED", "Resource update cancelled"),
        event(3, NAME, "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed"),
    ]
    with pytest.raises(DeploymentError) as raised:
        apply(target)
    text = str(raised.value)
    assert "ended UPDATE_ROLLBACK_COMPLETE" in text
    assert "- Endpoint (AWS::SageMaker::Endpoint): Alarm mlp-p-1-test-latency went off during deployment" in text
    assert "cancelled" not in text
    assert "EARLIER" not in text
    assert "What was there before has been restored." in text


def test_a_failed_creation_says_that_nothing_is_left(aws: Aws, target: Target) -> None:
    cloud = CloudFormation(aws, then=("CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE"))
    cloud.events = [event(1, "Endpoint", "CREATE_FAILED", "no such image")]
    with pytest.raises(DeploymentError, match=r"no such image\nNothing of it is left"):
        apply(target)


def test_a_stack_that_takes_no_changes_is_explained(aws: Aws, target: Target) -> None:
    CloudFormation(aws, status="UPDATE_ROLLBACK_FAILED")
    with pytest.raises(DeploymentError, match=r"UPDATE_ROLLBACK_FAILED.*Continue update rollback"):
        apply(target)


def test_a_role_that_is_not_known_yet_is_tried_again(aws: Aws, target: Target) -> None:
    cloud = CloudFormation(aws)
    refusals = iter([True, True, False])

    def create(given: dict[str, Any]) -> dict[str, Any]:
        if next(refusals):
            raise RefusedError("ValidationError", f"Role {ROLE} is invalid or cannot be assumed")
        return cloud.CreateChangeSet(given)

    aws.answers["cloudformation", "CreateChangeSet"] = create
    assert apply(target) == {"KeyArn": "key"}
    assert len(aws.called("CreateChangeSet")) == 3


def test_other_refusals_are_not_tried_again(aws: Aws, target: Target) -> None:
    CloudFormation(aws)

    def create(given: dict[str, Any]) -> dict[str, Any]:
        raise RefusedError("ValidationError", "Template format error")

    aws.answers["cloudformation", "CreateChangeSet"] = create
    with pytest.raises(target.client("cloudformation").exceptions.ClientError, match="Template format error"):
        apply(target)
    assert len(aws.called("CreateChangeSet")) == 1


def test_a_long_template_goes_through_the_bucket(aws: Aws, target: Target) -> None:
    CloudFormation(aws)
    store = Bucket()
    aws.answers |= store.answers
    long = "{" + " " * stacks.INLINE_MAX + "}"
    apply(target, Stack(name=NAME, template=long, parameters={}, tags={}, bucket="mlp-p-1-test-b", key_arn="key"))
    (request,) = aws.called("CreateChangeSet")
    ((bucket, key),) = store.objects
    assert request["TemplateURL"] == f"https://{bucket}.s3.{target.region}.amazonaws.com/{key}"
    assert "TemplateBody" not in request


def test_a_long_template_without_a_bucket_is_refused(aws: Aws, target: Target) -> None:
    CloudFormation(aws)
    with pytest.raises(DeploymentError, match="has 51,202 bytes; without a bucket CloudFormation takes 51,200"):
        apply(target, Stack(name=NAME, template="{" + " " * 51_200 + "}", parameters={}, tags={}))


def test_outputs_of_a_stack_that_is_not_there_are_explained(aws: Aws, target: Target) -> None:
    CloudFormation(aws)
    with pytest.raises(DeploymentError, match=r"nothing has been deployed there\. Run the step `deploy`"):
        stacks.outputs(target, NAME)
