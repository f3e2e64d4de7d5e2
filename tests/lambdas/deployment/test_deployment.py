"""Custom::Deployment from CloudFormation's event to its answer, with every fault on the way."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from moto import mock_aws

from lambdas.deployment import completion, core, handler
from lambdas.deployment.deploying import DeployingBuilds
from lambdas.deployment.targets import Targets
from lambdas.shared.builds import Builds
from lambdas.shared.custom_resource import NOT_CREATED, AnswerError
from lambdas.shared.delegation import NotYetError
from lambdas.shared.requests import LEASE_S, Requests
from products.shared import names
from tests.lambdas.aws import answering, client_error
from tests.lambdas.cloudformation import AnswerBox, Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lambdas.aws import Answers

TYPE: Final = "Custom::Deployment"
TABLE: Final = "requests"
PROJECT: Final = "ml-platform-deployment-teardown"
BUILD_ID: Final = f"{PROJECT}:6f1c"
PROPERTIES: Final = {
    "ProjectId": "p-abc123",
    "Stage": "prod",
    "AccountId": "444455556666",
    "Region": "eu-west-1",
}
PHYSICAL_ID: Final = "p-abc123-prod/444455556666/eu-west-1"
HERE, ELSEWHERE = "eu-west-1", "eu-central-1"
"""Regions of the hub: the function's own, and the other one."""
ROLE: Final = "arn:aws:iam::444455556666:role/ml-platform-deploy"
LOG: Final = "https://console.aws.amazon.com/log"


class Hub:
    """The hub with a real (emulated) memory of requests, a deployment account, and builds that end as the test says."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.builds: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self.deploying: dict[str, str] = {}
        self.stopped: list[str] = []
        self.projects: set[tuple[str, str]] = set()
        self.stacks: set[str] = set()
        self.ends("SUCCEEDED", TEARDOWN_STATUS="ok")
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self._real_call = type(dynamodb)._make_api_call  # calls of the table go on to moto
        self._dynamodb = dynamodb

    def table(self, operation: str) -> Callable[[dict[str, Any]], Any]:
        return lambda parameters: self._real_call(self._dynamodb, operation, parameters)

    def answers(self, **others: Any) -> Answers:  # noqa: ANN401 - answers of any shape
        return {
            "sts:AssumeRole": {
                "Credentials": {"AccessKeyId": "A", "SecretAccessKey": "S", "SessionToken": "T", "Expiration": "later"}
            },
            "lambda:GetFunctionConfiguration": {"FunctionName": names.BUCKET_EMPTIER_FUNCTION},
            "codebuild:BatchGetProjects": lambda p: self._projects(p, HERE),
            f"codebuild:BatchGetProjects@{ELSEWHERE}": lambda p: self._projects(p, ELSEWHERE),
            "cloudformation:DescribeStacks": self._stack,
            "codebuild:ListBuildsForProject": lambda _: {"ids": list(self.deploying)},
            "codebuild:StopBuild": self._stop,
            "codebuild:StartBuild": self._start,
            "codebuild:BatchGetBuilds": lambda p: {"builds": [self._describe(i) for i in p["ids"]]},
            **{
                f"dynamodb:{operation}": self.table(operation)
                for operation in ("PutItem", "GetItem", "UpdateItem", "DeleteItem")
            },
            **{name.replace("_", ":"): answer for name, answer in others.items()},
        }

    def _start(self, parameters: dict[str, Any]) -> dict[str, Any]:
        assert parameters["projectName"] == PROJECT
        token = parameters["idempotencyToken"]
        if token not in self.tokens:
            self.tokens[token] = f"{BUILD_ID}{len(self.tokens) or ''}"
            self.builds[self.tokens[token]] = {
                v["name"]: v["value"] for v in parameters["environmentVariablesOverride"]
            }
        return {"build": {"id": self.tokens[token]}}

    def _projects(self, parameters: dict[str, Any], region: str) -> dict[str, Any]:
        return {"projects": [{"name": n} for n in parameters["names"] if (region, n) in self.projects]}

    def _stack(self, parameters: dict[str, Any]) -> dict[str, Any]:
        name = parameters["StackName"]
        if name not in self.stacks:
            raise client_error("ValidationError", "DescribeStacks", f"Stack with id {name} does not exist")
        return {"Stacks": [{"StackName": name}]}

    def _stop(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self.stopped.append(parameters["id"])
        return {}

    def _describe(self, build_id: str) -> dict[str, Any]:
        if build_id in self.deploying:
            return {"id": build_id, "buildStatus": self.deploying[build_id]}
        variables = [{"name": n, "value": v} for n, v in self.builds.get(build_id, {}).items()]
        return {"id": build_id, "environment": {"environmentVariables": variables}, **self.build}

    def ends(self, status: str, *, phase: str = "", message: str = "", **exported: str) -> None:
        self.build: dict[str, Any] = {
            "buildStatus": status,
            "exportedEnvironmentVariables": [{"name": n, "value": v} for n, v in exported.items()],
            "phases": [
                {"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED"},
                *([{"phaseType": phase, "phaseStatus": status, "contexts": [{"message": message}]}] if phase else []),
            ],
            "logs": {"deepLink": LOG},
        }


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with mock_aws():
        hub = Hub()
        requests = Requests(TABLE, load=core.load_pending, clock=lambda: hub.now)
        builds = Builds(PROJECT)
        starting = handler.Services(
            partition="aws",
            regions=frozenset({"eu-west-1", "eu-central-1"}),
            builds=builds,
            deploying=DeployingBuilds(),
            requests=requests,
            targets=Targets("aws"),
        )
        monkeypatch.setattr(handler, "services", lambda: starting)
        monkeypatch.setattr(completion, "services", lambda: completion.Services(builds=builds, requests=requests))
        yield hub


def ended(build_id: str = BUILD_ID) -> dict[str, Any]:
    """An event as EventBridge delivers it (recorded shape, shortened)."""
    return {
        "source": "aws.codebuild",
        "detail-type": "CodeBuild Build State Change",
        "detail": {
            "build-status": "SUCCEEDED",
            "project-name": PROJECT,
            "build-id": f"arn:aws:codebuild:eu-west-1:111122223333:build/{build_id}",
        },
    }


def delete(hub: Hub, box: AnswerBox) -> dict[str, str]:
    """Delete the resource and let its build end; returns the build's variables."""
    with answering(hub.answers()):
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
        build_id = list(hub.builds)[-1]
        completion.lambda_handler(ended(build_id), Context())
    return hub.builds[build_id]


# ---- at launch ----


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_stage_whose_account_is_ready_is_accepted(hub: Hub, box: AnswerBox, kind: str) -> None:
    with answering(hub.answers()) as calls:
        handler.lambda_handler(box.event(kind, TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
    assert box.only["Status"] == "SUCCESS"
    assert box.only["PhysicalResourceId"] == PHYSICAL_ID
    (assumed,) = calls.of("sts:AssumeRole")
    assert assumed["RoleArn"] == ROLE
    assert assumed["Tags"] == [{"Key": "ml-platform-deployment", "Value": "p-abc123-prod"}]
    assert hub.builds == {}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ProjectId", "p-xyz", "the project id from p-abc123 to p-xyz"),
        ("Stage", "test", "the stage from prod to test"),
        ("AccountId", "777788889999", "the account of prod from 444455556666 to 777788889999"),
        ("Region", "eu-central-1", "the Region of prod from eu-west-1 to eu-central-1"),
    ],
)
def test_an_update_to_another_place_is_refused_before_anything_is_touched(
    hub: Hub, box: AnswerBox, name: str, value: str, told: str
) -> None:
    """With another physical id CloudFormation would take the live stage down in the clean-up of the same update."""
    moved = PROPERTIES | {name: value}
    with answering(hub.answers()) as calls:
        event = box.event("Update", TYPE, moved, old_properties=PROPERTIES, physical_id=PHYSICAL_ID)
        handler.lambda_handler(event, Context())
    assert calls.operations == []
    assert (box.only["Status"], box.only["PhysicalResourceId"]) == ("FAILED", PHYSICAL_ID)
    assert f"An update cannot change {told}:" in box.only["Reason"]
    with answering(hub.answers()):  # CloudFormation's roll-back
        back = box.event("Update", TYPE, PROPERTIES, old_properties=moved, physical_id=PHYSICAL_ID)
        handler.lambda_handler(back, Context())
    assert box.answers[-1]["Status"] == "SUCCESS"


def test_all_parts_of_the_physical_id_are_compared() -> None:
    assert {field.name for field in fields(core.Stage)} == {"project_id", "stage", "account_id", "region"}


# ---- one project per id ----


def test_the_id_of_a_project_in_another_region_of_the_hub_cannot_be_used_again(hub: Hub, box: AnswerBox) -> None:
    """The attack: launch with the id of another project in another region, terminate, and its production is gone."""
    hub.projects = {(HERE, "mlp-p-abc123-prod"), (ELSEWHERE, "mlp-p-abc123-prod")}
    with answering(hub.answers()) as calls:
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
        assert calls.operations == ["codebuild:BatchGetProjects"], "nothing in the account is looked at"
        refused = box.only
        assert (refused["Status"], refused["PhysicalResourceId"]) == ("FAILED", NOT_CREATED)
        assert "was launched in region eu-central-1 of the hub" in refused["Reason"]
        # CloudFormation rolls back, or the attacker terminates: nothing is taken down.
        event = box.event("Delete", TYPE, PROPERTIES, physical_id=refused["PhysicalResourceId"])
        handler.lambda_handler(event, Context())
    assert box.answers[-1]["Status"] == "SUCCESS"
    assert hub.builds == {}


def test_the_owner_of_the_id_is_not_in_the_way_of_itself_nor_are_other_ids(hub: Hub, box: AnswerBox) -> None:
    hub.projects = {(HERE, "mlp-p-abc123-prod"), (ELSEWHERE, "mlp-p-abc1234-prod"), (ELSEWHERE, "mlp-p-abc123-test")}
    with answering(hub.answers()):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
    assert box.only["Status"] == "SUCCESS"


def test_of_two_projects_with_one_id_from_before_nobody_takes_the_stage_down(hub: Hub, box: AnswerBox) -> None:
    hub.projects = {(HERE, "mlp-p-abc123-prod"), (ELSEWHERE, "mlp-p-abc123-prod")}
    hub.deploying = {"mlp-p-abc123-prod:2": "IN_PROGRESS"}
    with answering(hub.answers()):
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
    assert (box.only["Status"], box.only["PhysicalResourceId"]) == ("FAILED", PHYSICAL_ID)
    assert "nothing was taken down" in box.only["Reason"]
    assert (hub.builds, hub.stopped) == ({}, [])
    hub.projects.remove((ELSEWHERE, "mlp-p-abc123-prod"))
    delete(hub, box)
    assert box.answers[-1]["Status"] == "SUCCESS"


@pytest.mark.parametrize("stacks", [{"mlp-p-abc123-prod-base"}, {"mlp-p-abc123-prod", "mlp-p-abc123-prod-base"}])
def test_a_stage_that_its_project_left_behind_is_not_taken_over(hub: Hub, box: AnswerBox, stacks: set[str]) -> None:
    hub.stacks = stacks | {"mlp-p-abc123-test"}
    with answering(hub.answers()):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
        assert (box.only["Status"], box.only["PhysicalResourceId"]) == ("FAILED", NOT_CREATED)
        assert f"has {' and '.join(sorted(stacks))} already" in box.only["Reason"]
        handler.lambda_handler(box.event("Update", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
    assert box.answers[-1]["Status"] == "SUCCESS", "its own project is updated while it is deployed"


def test_an_account_without_the_baseline_is_told_at_launch(hub: Hub, box: AnswerBox) -> None:
    refused = client_error("AccessDenied", "AssumeRole", "not authorized to perform sts:AssumeRole")
    with answering(hub.answers(sts_AssumeRole=refused)):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
    assert box.only["Status"] == "FAILED"
    assert box.only["PhysicalResourceId"] == NOT_CREATED
    assert "Account 444455556666 does not let the platform in" in box.only["Reason"]
    assert "below the deployment OU" in box.only["Reason"]
    assert "not authorized to perform sts:AssumeRole" in box.only["Reason"]


def test_a_region_in_which_the_baseline_has_not_arrived_is_told_at_launch(hub: Hub, box: AnswerBox) -> None:
    missing = client_error("ResourceNotFoundException", "GetFunctionConfiguration")
    with answering(hub.answers(lambda_GetFunctionConfiguration=missing)):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
    assert box.only["Status"] == "FAILED"
    assert "no function ml-platform-bucket-emptier in account 444455556666, region eu-west-1" in box.only["Reason"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ProjectId", "p-abc-prod", "p- and up to 14"),
        ("ProjectId", "p-*", "p- and up to 14"),
        ("ProjectId", "p-abcdefghijklmno", "p- and up to 14"),
        ("Stage", "dev", "test or prod"),
        ("AccountId", "4444", "12 digits"),
        ("Region", "us-east-1", "a region of the hub (eu-central-1, eu-west-1)"),
    ],
)
def test_a_stage_that_cannot_exist_is_refused_without_touching_an_account(
    hub: Hub, box: AnswerBox, name: str, value: str, told: str
) -> None:
    with answering(hub.answers()) as calls:
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES | {name: value}), Context())
    assert calls.operations == []
    assert f"{name} is {value!r}" in box.only["Reason"]
    assert told in box.only["Reason"]


def test_every_wrong_property_is_named_in_one_answer(hub: Hub, box: AnswerBox) -> None:
    with answering(hub.answers()):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES | {"Stage": "x", "AccountId": "y"}), Context())
    assert "Stage is" in box.only["Reason"]
    assert "AccountId is" in box.only["Reason"]


# ---- when the project is deleted ----


def test_a_deletion_is_answered_when_the_teardown_has_ended_and_not_before(hub: Hub, box: AnswerBox) -> None:
    with answering(hub.answers()):
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
        assert box.requests == 0, "nobody answers before the stacks are gone"
        completion.lambda_handler(ended(), Context())
    assert box.only["Status"] == "SUCCESS"
    assert box.only["PhysicalResourceId"] == PHYSICAL_ID


def test_the_teardown_gets_the_stage_that_was_created_whatever_the_properties_say_now(hub: Hub, box: AnswerBox) -> None:
    variables = delete(hub, box)
    assert len(variables.pop("REQUEST_ID")) == 36
    assert variables == {"ROLE_ARN": ROLE, "TAG": "p-abc123-prod", "TARGET_REGION": "eu-west-1"}
    with answering(hub.answers()):
        other = PROPERTIES | {"AccountId": "777788889999"}
        handler.lambda_handler(box.event("Delete", TYPE, other, physical_id=PHYSICAL_ID), Context())
    assert list(hub.builds.values())[-1]["ROLE_ARN"] == ROLE


def test_what_was_never_created_is_deleted_without_looking(hub: Hub, box: AnswerBox) -> None:
    with answering(hub.answers()) as calls:
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=NOT_CREATED), Context())
    assert calls.operations == []
    assert box.only["Status"] == "SUCCESS"


def test_builds_that_still_deploy_the_stage_are_stopped_first(hub: Hub, box: AnswerBox) -> None:
    hub.deploying = {"mlp-p-abc123-prod:2": "IN_PROGRESS", "mlp-p-abc123-prod:1": "SUCCEEDED"}
    with answering(hub.answers()) as calls:
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
    assert hub.stopped == ["mlp-p-abc123-prod:2"]
    assert calls.of("codebuild:ListBuildsForProject")[0]["projectName"] == "mlp-p-abc123-prod"
    assert calls.operations.index("codebuild:StopBuild") < calls.operations.index("codebuild:StartBuild")


def test_the_stages_build_project_may_be_gone_already(hub: Hub, box: AnswerBox) -> None:
    gone = client_error("ResourceNotFoundException", "ListBuildsForProject")
    with answering(hub.answers(codebuild_ListBuildsForProject=gone)):
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
        completion.lambda_handler(ended(), Context())
    assert box.only["Status"] == "SUCCESS"


def test_an_account_that_is_gone_fails_the_deletion_at_once_and_says_how_to_keep_what_is_there(
    hub: Hub, box: AnswerBox
) -> None:
    refused = client_error("AccessDenied", "AssumeRole", "not authorized to perform sts:AssumeRole")
    with answering(hub.answers(sts_AssumeRole=refused)):
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
    assert hub.builds == {}
    assert box.only["Status"] == "FAILED"
    assert box.only["PhysicalResourceId"] == PHYSICAL_ID
    assert "mlp-p-abc123-prod and mlp-p-abc123-prod-base in region eu-west-1 were not deleted" in box.only["Reason"]
    assert "Terminate with the option to retain resources" in box.only["Reason"]


def test_a_foreign_physical_id_deletes_nothing(hub: Hub, box: AnswerBox) -> None:
    for physical_id in ("p-abc123-prod", "p-x-y-prod/444455556666/eu-west-1", "p-abc123-prod/444455556666/eu-west-1;x"):
        with answering(hub.answers()) as calls:
            handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=physical_id), Context())
        assert calls.operations == []
        assert f"{physical_id!r} is not the id of a stage" in box.answers[-1]["Reason"]


@pytest.mark.parametrize(
    ("exported", "told"),
    [
        (
            {"TEARDOWN_STATUS": "failed", "TEARDOWN_REASON": "stack mlp-p-abc123-prod is DELETE_FAILED: Bucket."},
            "region eu-west-1: stack mlp-p-abc123-prod is DELETE_FAILED: Bucket. Fix that, then delete again",
        ),
        ({"TEARDOWN_STATUS": "unreachable", "TEARDOWN_REASON": "AccessDenied"}, "does not let the platform in"),
        ({}, "failed"),
    ],
)
def test_what_the_teardown_could_not_remove_is_told_with_what_to_do(
    hub: Hub, box: AnswerBox, exported: dict[str, str], told: str
) -> None:
    hub.ends("SUCCEEDED", **exported)
    delete(hub, box)
    assert box.only["Status"] == "FAILED"
    assert box.only["PhysicalResourceId"] == PHYSICAL_ID
    assert told in box.only["Reason"]
    assert LOG in box.only["Reason"]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("FAILED", "failed in phase BUILD (exit status 1)"),
        ("FAULT", "CodeBuild could not run the build"),
        ("STOPPED", "was stopped by somebody"),
        ("TIMED_OUT", "took too long in phase BUILD"),
    ],
)
def test_a_build_that_does_not_end_well_tells_phase_and_log(hub: Hub, box: AnswerBox, status: str, told: str) -> None:
    hub.ends(status, phase="BUILD", message="exit status 1")
    delete(hub, box)
    assert box.only["Status"] == "FAILED"
    assert told in box.only["Reason"]
    assert LOG in box.only["Reason"]


# ---- duplicates, order, crashes ----


def test_an_event_delivered_twice_starts_one_teardown_and_gives_one_answer(hub: Hub, box: AnswerBox) -> None:
    event = box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID)
    with answering(hub.answers()):
        handler.lambda_handler(event, Context())
        handler.lambda_handler(event, Context())
        completion.lambda_handler(ended(), Context())
        completion.lambda_handler(ended(), Context())
        handler.lambda_handler(event, Context())
    assert len(hub.builds) == 1
    assert box.only["Status"] == "SUCCESS"


def test_the_end_of_a_teardown_may_be_reported_before_its_start_is_noted(hub: Hub, box: AnswerBox) -> None:
    def start_and_end(parameters: dict[str, Any]) -> dict[str, Any]:
        started = hub._start(parameters)
        completion.lambda_handler(ended(started["build"]["id"]), Context())
        return started

    with answering(hub.answers(codebuild_StartBuild=start_and_end)):
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
    assert box.only["Status"] == "SUCCESS"


def test_a_teardown_that_still_runs_is_asked_about_again(hub: Hub, box: AnswerBox) -> None:
    with answering(hub.answers()):
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
        hub.ends("IN_PROGRESS")
        with pytest.raises(NotYetError, match="still in progress"):
            completion.lambda_handler(ended(), Context())
    assert box.requests == 0


def test_a_build_that_nobody_waits_for_is_ignored(hub: Hub, box: AnswerBox) -> None:
    hub.builds[BUILD_ID] = {}
    with answering(hub.answers()):
        completion.lambda_handler(ended(), Context())
    assert box.requests == 0


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("index", range(9))
@pytest.mark.parametrize("kind", ["Create", "Delete"])
def test_whichever_call_of_the_request_fails_there_is_exactly_one_answer(
    hub: Hub, box: AnswerBox, kind: str, index: int, after: bool
) -> None:
    hub.deploying = {"mlp-p-abc123-prod:2": "IN_PROGRESS"}
    event = box.event(kind, TYPE, PROPERTIES, physical_id=PHYSICAL_ID)
    with answering(hub.answers(), failing=index, after=after):
        handler.lambda_handler(event, Context())
    with answering(hub.answers()):
        for build_id in hub.builds:  # a build may have started although the call that started it failed
            completion.lambda_handler(ended(build_id), Context())
    assert len(box.answers) == 1


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("outcome", ["ok", "failed"])
def test_whichever_call_of_the_completion_fails_lambdas_repetition_answers(
    hub: Hub, box: AnswerBox, outcome: str, index: int, after: bool
) -> None:
    hub.ends("SUCCEEDED", TEARDOWN_STATUS=outcome)
    with answering(hub.answers()):
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
    for attempt in range(3):  # Lambda's own: one invocation and two retries, a minute and more apart
        try:
            with answering(hub.answers(), failing=index if attempt == 0 else None, after=after):
                completion.lambda_handler(ended(), Context())
        except (NotYetError, type(client_error("x"))):
            hub.now += LEASE_S
        else:
            break
    assert {answer["Status"] for answer in box.answers} == {"SUCCESS" if outcome == "ok" else "FAILED"}
    # Only a crash between the answer and its note repeats the answer, word for word; CloudFormation takes the first.
    assert len(box.answers) in (1, 2)
    assert all(answer == box.answers[0] for answer in box.answers)


def test_the_generated_faults_cover_every_call(hub: Hub, box: AnswerBox) -> None:
    hub.deploying = {"mlp-p-abc123-prod:2": "IN_PROGRESS"}
    with answering(hub.answers()) as calls:
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
    assert calls.operations == [
        "codebuild:BatchGetProjects",
        "codebuild:ListBuildsForProject",
        "codebuild:BatchGetBuilds",
        "codebuild:StopBuild",
        "sts:AssumeRole",
        "dynamodb:PutItem",
        "codebuild:StartBuild",
        "dynamodb:UpdateItem",
    ]
    with answering(hub.answers()) as calls:
        completion.lambda_handler(ended(), Context())
    assert calls.operations == ["codebuild:BatchGetBuilds", "dynamodb:UpdateItem", "dynamodb:UpdateItem"]


def test_an_answer_that_cannot_be_delivered_is_tried_again_by_lambda(hub: Hub, box: AnswerBox) -> None:
    with answering(hub.answers()):
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
        box.statuses += [500, 500, 500, 500]
        with pytest.raises(AnswerError):
            completion.lambda_handler(ended(), Context())
        hub.now += LEASE_S
        completion.lambda_handler(ended(), Context())
    assert box.only["Status"] == "SUCCESS"


# ---- agreements ----


def test_the_function_and_the_platform_use_the_same_names() -> None:
    assert f"^{core._PROJECT_ID.pattern}$" == names.PROJECT_ID_PATTERN


def test_the_functions_find_their_services_in_the_environment_of_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_PROJECT", "a-project")
    monkeypatch.setenv("REQUESTS_TABLE", "a-table")
    monkeypatch.setenv("PARTITION", "aws-cn")
    monkeypatch.setenv("REGIONS", "cn-north-1,cn-northwest-1")
    handler.services.cache_clear()
    completion.services.cache_clear()
    made = handler.services()
    assert made.regions == {"cn-north-1", "cn-northwest-1"}
    stage = core.stage_of(PHYSICAL_ID)
    credentials = {"Credentials": {"AccessKeyId": "A", "SecretAccessKey": "S", "SessionToken": "T"}}
    with answering({"sts:AssumeRole": credentials, "codebuild:BatchGetBuilds": {"builds": []}}) as calls:
        made.targets.require_reachable(stage, leaving=True)
        completion.services().builds.outcome("b")
    assert calls.of("sts:AssumeRole")[0]["RoleArn"] == "arn:aws-cn:iam::444455556666:role/ml-platform-deploy"
    handler.services.cache_clear()
    completion.services.cache_clear()
