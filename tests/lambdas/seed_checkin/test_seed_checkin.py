"""Custom::SeedCode from CloudFormation's event to its answer, with every fault on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from lambdas.seed_checkin import completion, handler
from lambdas.seed_checkin.connections import Connections
from lambdas.seed_checkin.ledger import Ledger
from lambdas.shared.builds import Builds
from lambdas.shared.custom_resource import NOT_CREATED, AnswerError
from lambdas.shared.delegation import NotYetError
from lambdas.shared.requests import LEASE_S
from tests.lambdas.aws import answering, client_error
from tests.lambdas.cloudformation import AnswerBox, Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lambdas.aws import Answers

TYPE = "Custom::SeedCode"
TABLE = "ledger"
BUCKET = "ml-platform-artifacts-999988887777-eu-west-1"
CONNECTION_ID = "0a1b2c3d-0000-4000-8000-000000000001"
CONNECTION = f"arn:aws:codeconnections:eu-west-1:111122223333:connection/{CONNECTION_ID}"
PHYSICAL_ID = f"{CONNECTION_ID}/data-science/churn"
BUILD_ID = "ml-platform-seed-checkin:6f1c"
PROPERTIES = {
    "ConnectionArn": CONNECTION,
    "Repository": "data-science/churn",
    "Branch": "main",
    "AssetBucket": BUCKET,
    "AssetKey": f"assets/{'a' * 64}.zip",
    "Version": "1.0.0",
    "ProjectName": "churn",
    "ProjectId": "p-abc123",
}
NEW_VERSION = PROPERTIES | {"AssetKey": f"assets/{'b' * 64}.zip", "Version": "1.1.0"}
ATTRIBUTES = {"RepositoryUrl": "https://github.com/data-science/churn", "Branch": "main", "CommitId": "c0ffee"}


class Account:
    """An account with a real (emulated) ledger, a connection, and builds that end as the test says."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.status = "AVAILABLE"
        self.builds: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self.connection: dict[str, Any] = {"ProviderType": "GitHub"}
        self.build: dict[str, Any] = {
            "buildStatus": "SUCCEEDED",
            "exportedEnvironmentVariables": [
                {"name": "CHECKIN_STATUS", "value": "ok"},
                {"name": "COMMIT_ID", "value": "c0ffee"},
            ],
        }
        self.table: dict[str, dict[str, Any]] = {}
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self._real_call = type(dynamodb)._make_api_call  # the ledger's calls go on to moto
        self._dynamodb = dynamodb

    def ledger(self, operation: str) -> Any:  # noqa: ANN401 - a stub of boto3
        return lambda parameters: self._real_call(self._dynamodb, operation, parameters)

    def answers(self) -> Answers:
        return {
            "codeconnections:GetConnection": lambda _: {
                "Connection": {"ConnectionStatus": self.status, **self.connection}
            },
            "codeconnections:GetHost": {"ProviderEndpoint": "https://git.example.com"},
            "codebuild:StartBuild": self._start,
            "codebuild:BatchGetBuilds": lambda p: {"builds": [self._describe(p["ids"][0])]},
            **{
                f"dynamodb:{operation}": self.ledger(operation)
                for operation in ("PutItem", "GetItem", "UpdateItem", "DeleteItem")
            },
        }

    def _start(self, parameters: dict[str, Any]) -> dict[str, Any]:
        token = parameters["idempotencyToken"]
        if token not in self.tokens:
            self.tokens[token] = f"{BUILD_ID}{len(self.tokens) or ''}"
            self.builds[self.tokens[token]] = {
                v["name"]: v["value"] for v in parameters["environmentVariablesOverride"]
            }
        return {"build": {"id": self.tokens[token]}}

    def _describe(self, build_id: str) -> dict[str, Any]:
        variables = [{"name": n, "value": v} for n, v in self.builds.get(build_id, {}).items()]
        return {"id": build_id, "environment": {"environmentVariables": variables}, **self.build}

    def ends(self, status: str, *, phase: str = "", message: str = "", **exported: str) -> None:
        self.build = {
            "buildStatus": status,
            "exportedEnvironmentVariables": [{"name": n, "value": v} for n, v in exported.items()],
            "phases": [
                {"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED"},
                *([{"phaseType": phase, "phaseStatus": status, "contexts": [{"message": message}]}] if phase else []),
            ],
            "logs": {"deepLink": "https://console.aws.amazon.com/log"},
        }


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with mock_aws():
        account = Account()
        ledger = Ledger(TABLE, clock=lambda: account.now)
        builds = Builds("ml-platform-seed-checkin")
        starting = handler.Services(
            artifact_bucket=BUCKET,
            url_suffix="amazonaws.com",
            builds=builds,
            connections=Connections(),
            ledger=ledger,
        )
        monkeypatch.setattr(handler, "services", lambda: starting)
        monkeypatch.setattr(completion, "services", lambda: completion.Services(builds=builds, ledger=ledger))
        yield account


def ended(build_id: str = BUILD_ID, status: str = "SUCCEEDED") -> dict[str, Any]:
    """An event as EventBridge delivers it (recorded shape, shortened)."""
    return {
        "version": "0",
        "source": "aws.codebuild",
        "detail-type": "CodeBuild Build State Change",
        "account": "111122223333",
        "region": "eu-west-1",
        "resources": [f"arn:aws:codebuild:eu-west-1:111122223333:build/{build_id}"],
        "detail": {
            "build-status": status,
            "project-name": "ml-platform-seed-checkin",
            "build-id": f"arn:aws:codebuild:eu-west-1:111122223333:build/{build_id}",
        },
    }


def launch(account: Account, box: AnswerBox, kind: str = "Create", **event: Any) -> dict[str, str]:  # noqa: ANN401
    """Send a request and let its build end; returns the build's variables."""
    with answering(account.answers()):
        handler.lambda_handler(box.event(kind, TYPE, **({"properties": PROPERTIES} | event)), Context())
        build_id = list(account.builds)[-1]
        completion.lambda_handler(ended(build_id), Context())
    return account.builds[build_id]


# ---- the way that goes well ----


def test_create_starts_a_build_and_its_end_answers(account: Account, box: AnswerBox) -> None:
    with answering(account.answers()):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
        assert box.requests == 0, "nobody answers before the build has ended"
        completion.lambda_handler(ended(), Context())
    assert box.only["Status"] == "SUCCESS"
    assert box.only["PhysicalResourceId"] == PHYSICAL_ID
    assert box.only["Data"] == ATTRIBUTES


def test_the_build_gets_everything_it_needs_and_no_more(account: Account, box: AnswerBox) -> None:
    variables = launch(account, box)
    assert len(variables.pop("REQUEST_ID")) == 36
    assert variables == {
        "MODE": "create",
        "GIT_URL": f"https://codeconnections.eu-west-1.amazonaws.com/git-http/111122223333/eu-west-1/{CONNECTION_ID}"
        "/data-science/churn.git",
        "BRANCH": "main",
        "UPDATE_BRANCH": "ml-platform/1.0.0",
        "ASSET_BUCKET": BUCKET,
        "ASSET_KEY": f"assets/{'a' * 64}.zip",
        "DIGEST": "a" * 64,
        "FORMER_DIGEST": "",
        "VERSION": "1.0.0",
        "PROJECT_NAME": "churn",
        "PROJECT_ID": "p-abc123",
    }


def test_update_returns_the_same_attributes_and_id_as_create(account: Account, box: AnswerBox) -> None:
    launch(account, box)
    variables = launch(
        account, box, "Update", properties=NEW_VERSION, old_properties=PROPERTIES, physical_id=PHYSICAL_ID
    )
    assert variables["MODE"] == "update"
    assert variables["FORMER_DIGEST"] == "a" * 64
    created, updated = box.answers
    assert updated["Status"] == "SUCCESS"
    assert updated["Data"].keys() == created["Data"].keys()
    assert updated["PhysicalResourceId"] == created["PhysicalResourceId"]


def test_update_to_the_same_seed_code_is_answered_without_a_build_or_the_connection(
    account: Account, box: AnswerBox
) -> None:
    launch(account, box)
    renamed = PROPERTIES | {"ProjectName": "other"}
    with answering(account.answers()) as calls:
        event = box.event("Update", TYPE, renamed, old_properties=PROPERTIES, physical_id=PHYSICAL_ID)
        handler.lambda_handler(event, Context())
    assert calls.operations == ["dynamodb:GetItem"]
    assert box.answers[-1]["Status"] == "SUCCESS"
    assert box.answers[-1]["Data"] == ATTRIBUTES


def test_update_of_the_branch_alone_returns_the_new_branch(account: Account, box: AnswerBox) -> None:
    launch(account, box)
    with answering(account.answers()):
        event = box.event("Update", TYPE, PROPERTIES | {"Branch": "trunk"}, old_properties=PROPERTIES)
        handler.lambda_handler(event, Context())
    assert box.answers[-1]["Data"] == ATTRIBUTES | {"Branch": "trunk"}


def test_update_without_memory_of_the_last_check_in_asks_a_build_which_finds_it_done(
    account: Account, box: AnswerBox
) -> None:
    variables = launch(account, box, "Update", properties=PROPERTIES, old_properties=PROPERTIES)
    assert variables["MODE"] == "update"
    assert box.only["Data"] == ATTRIBUTES


def test_a_move_to_another_repository_seeds_that_one_anew(account: Account, box: AnswerBox) -> None:
    launch(account, box)
    moved = NEW_VERSION | {"Repository": "data-science/churn-2"}
    variables = launch(account, box, "Update", properties=moved, old_properties=PROPERTIES, physical_id=PHYSICAL_ID)
    assert variables["MODE"] == "create"
    assert box.answers[-1]["PhysicalResourceId"] == f"{CONNECTION_ID}/data-science/churn-2"


def test_delete_answers_at_once_and_touches_nothing_but_its_memory(account: Account, box: AnswerBox) -> None:
    launch(account, box)
    with answering(account.answers()) as calls:
        handler.lambda_handler(box.event("Delete", TYPE, PROPERTIES, physical_id=PHYSICAL_ID), Context())
    assert calls.operations == ["dynamodb:DeleteItem"]
    assert box.answers[-1]["Status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        ({"ProviderType": "GitLab"}, "https://gitlab.com/data-science/churn"),
        ({"ProviderType": "Bitbucket"}, "https://bitbucket.org/data-science/churn"),
        ({"ProviderType": "GitHubEnterpriseServer", "HostArn": "arn:h"}, "https://git.example.com/data-science/churn"),
        (
            {"ProviderType": "SomethingNew"},
            (
                "https://codeconnections.eu-west-1.amazonaws.com/git-http/111122223333/eu-west-1/"
                f"{CONNECTION_ID}/data-science/churn.git"
            ),
        ),
    ],
)
def test_people_get_the_address_at_their_repository_host(
    account: Account, box: AnswerBox, connection: dict[str, str], url: str
) -> None:
    account.connection = connection
    launch(account, box)
    assert box.only["Data"]["RepositoryUrl"] == url


# ---- what a person has to fix ----


@pytest.mark.parametrize(
    ("exported", "told"),
    [
        ({"CHECKIN_STATUS": "repository-missing"}, "Create it (empty, without README or licence)"),
        ({"CHECKIN_STATUS": "not-empty"}, "is not empty"),
        ({"CHECKIN_STATUS": "other-project"}, "belongs to another project, whose id its seed code names"),
        ({"CHECKIN_STATUS": "push-refused"}, "refused the push to main. Allow the connection's app to write"),
        ({"CHECKIN_STATUS": "branch-taken"}, "already has a branch ml-platform/1.0.0"),
        ({"CHECKIN_STATUS": "archive-missing"}, "tell the platform team"),
        ({"CHECKIN_STATUS": "digest-mismatch"}, "does not have the SHA-256 of its name"),
        ({}, "failed"),
    ],
)
def test_an_outcome_of_the_check_in_tells_what_to_do(
    account: Account, box: AnswerBox, exported: dict[str, str], told: str
) -> None:
    account.ends("SUCCEEDED", CHECKIN_REASON="remote: no such thing", **exported)
    launch(account, box)
    assert box.only["Status"] == "FAILED"
    assert told in box.only["Reason"]
    assert "remote: no such thing" in box.only["Reason"]
    assert "https://console.aws.amazon.com/log" in box.only["Reason"]
    assert box.only["PhysicalResourceId"] == NOT_CREATED


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("FAILED", "failed in phase BUILD (exit status 1)"),
        ("FAULT", "CodeBuild could not run the build"),
        ("STOPPED", "was stopped by somebody"),
        ("TIMED_OUT", "took too long in phase BUILD"),
    ],
)
def test_a_build_that_does_not_end_well_tells_phase_and_log(
    account: Account, box: AnswerBox, status: str, told: str
) -> None:
    account.ends(status, phase="BUILD", message="exit status 1")
    launch(account, box)
    assert box.only["Status"] == "FAILED"
    assert told in box.only["Reason"]
    assert "https://console.aws.amazon.com/log" in box.only["Reason"]


def test_a_refused_push_of_an_update_names_the_update_branch_and_keeps_the_id(account: Account, box: AnswerBox) -> None:
    account.ends("SUCCEEDED", CHECKIN_STATUS="push-refused")
    launch(account, box, "Update", properties=NEW_VERSION, old_properties=PROPERTIES, physical_id=PHYSICAL_ID)
    assert "refused the push to ml-platform/1.1.0" in box.only["Reason"]
    assert box.only["PhysicalResourceId"] == PHYSICAL_ID


def test_a_pending_connection_is_told_at_once_with_what_to_click(account: Account, box: AnswerBox) -> None:
    account.status = "PENDING"
    with answering(account.answers()) as calls:
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
    assert "codebuild:StartBuild" not in calls.operations
    assert "Update pending connection" in box.only["Reason"]


def test_a_broken_or_missing_connection_is_told(account: Account, box: AnswerBox) -> None:
    account.status = "ERROR"
    missing = client_error("ResourceNotFoundException")
    with answering(account.answers()):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
    with answering({**account.answers(), "codeconnections:GetConnection": missing}):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
    broken, gone = (answer["Reason"] for answer in box.answers)
    assert "has the status ERROR" in broken
    assert "does not exist" in gone


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Repository", "churn"),
        ("Repository", "a/b.git"),
        ("Repository", "../../etc"),
        ("Repository", "a/$(id)"),
        ("Repository", "-a/b"),
        ("Branch", "-f"),
        ("Branch", "a..b"),
        ("Branch", "a b"),
        ("Branch", "x;id"),
        ("Branch", "ml-platform/1.0.0"),
        ("Branch", "x.lock"),
        ("Branch", "x" * 101),
        ("ConnectionArn", "arn:aws:s3:::bucket"),
        ("AssetBucket", "somebody-elses-bucket"),
        ("AssetKey", "assets/../secret.zip"),
        ("Version", "1.0.0\nEvil: yes"),
        ("ProjectName", "a\nb"),
        ("ProjectId", "$(id)"),
    ],
)
def test_a_property_that_could_mean_something_else_to_git_or_a_shell_is_refused(
    account: Account, box: AnswerBox, name: str, value: str
) -> None:
    with answering(account.answers()) as calls:
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES | {name: value}), Context())
    assert calls.operations == []
    assert box.only["Status"] == "FAILED"
    assert f"{name} is {value!r}" in box.only["Reason"]


def test_every_wrong_property_is_named_in_one_answer(account: Account, box: AnswerBox) -> None:
    with answering(account.answers()):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES | {"Branch": "-f", "Version": "x"}), Context())
    assert "Branch is" in box.only["Reason"]
    assert "Version is" in box.only["Reason"]


# ---- duplicates, order, crashes ----


def test_an_event_delivered_twice_starts_one_build_and_gives_one_answer(account: Account, box: AnswerBox) -> None:
    event = box.event("Create", TYPE, PROPERTIES)
    with answering(account.answers()):
        handler.lambda_handler(event, Context())
        handler.lambda_handler(event, Context())
        completion.lambda_handler(ended(), Context())
        completion.lambda_handler(ended(), Context())
        handler.lambda_handler(event, Context())
    assert len(account.builds) == 1
    assert box.only["Status"] == "SUCCESS"


def test_the_end_of_a_build_may_be_reported_before_the_start_is_noted(account: Account, box: AnswerBox) -> None:
    def start_and_end(parameters: dict[str, Any]) -> dict[str, Any]:
        started = account._start(parameters)
        completion.lambda_handler(ended(started["build"]["id"]), Context())
        return started

    with answering({**account.answers(), "codebuild:StartBuild": start_and_end}):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
    assert box.only["Status"] == "SUCCESS"


def test_a_build_that_still_runs_is_asked_about_again(account: Account, box: AnswerBox) -> None:
    with answering(account.answers()):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
        account.ends("IN_PROGRESS")
        with pytest.raises(NotYetError, match="still in progress"):
            completion.lambda_handler(ended(), Context())
    assert box.requests == 0


def test_a_build_that_nobody_waits_for_is_ignored(account: Account, box: AnswerBox) -> None:
    account.builds[BUILD_ID] = {}
    with answering(account.answers()):
        completion.lambda_handler(ended(), Context())
    account.builds[BUILD_ID] = {"REQUEST_ID": "of a request that is long forgotten"}
    with answering(account.answers()):
        completion.lambda_handler(ended(), Context())
    with answering({**account.answers(), "codebuild:BatchGetBuilds": {"builds": []}}):
        completion.lambda_handler(ended(), Context())
    assert box.requests == 0


def test_while_one_invocation_answers_another_waits_its_turn(account: Account, box: AnswerBox) -> None:
    event = box.event("Create", TYPE, PROPERTIES)
    with answering(account.answers()):
        handler.lambda_handler(event, Context())
        Ledger(TABLE, clock=lambda: account.now).claim(event["RequestId"])
        with pytest.raises(NotYetError, match="another invocation"):
            completion.lambda_handler(ended(), Context())
        account.now += LEASE_S
        completion.lambda_handler(ended(), Context())
    assert box.only["Status"] == "SUCCESS"


def test_an_answer_that_cannot_be_delivered_is_tried_again_by_lambda(account: Account, box: AnswerBox) -> None:
    with answering(account.answers()):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
        box.statuses += [500, 500, 500, 500]
        with pytest.raises(AnswerError):
            completion.lambda_handler(ended(), Context())
        account.now += LEASE_S
        completion.lambda_handler(ended(), Context())
    assert box.only["Status"] == "SUCCESS"


def calls_of(account: Account, run: Any) -> int:  # noqa: ANN401 - the part of the way that is counted
    with answering(account.answers()) as calls:
        run()
    return len(calls)


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
def test_whichever_call_of_the_start_fails_there_is_exactly_one_answer(
    account: Account, box: AnswerBox, kind: str, index: int, after: bool
) -> None:
    properties = NEW_VERSION if kind == "Update" else PROPERTIES
    event = box.event(kind, TYPE, properties, old_properties=PROPERTIES, physical_id=PHYSICAL_ID)
    with answering(account.answers(), failing=index, after=after):
        handler.lambda_handler(event, Context())
    with answering(account.answers()):
        for build_id in account.builds:  # a build may have started although the call that started it failed
            completion.lambda_handler(ended(build_id), Context())
    assert len(box.answers) == 1


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("outcome", ["ok", "not-empty"])
def test_whichever_call_of_the_completion_fails_lambdas_repetition_answers(
    account: Account, box: AnswerBox, outcome: str, index: int, after: bool
) -> None:
    account.ends("SUCCEEDED", CHECKIN_STATUS=outcome, COMMIT_ID="c0ffee")
    with answering(account.answers()):
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
    attempts = 0
    for _ in range(3):  # Lambda's own: one invocation and two retries, a minute and more apart
        try:
            with answering(account.answers(), failing=index if attempts == 0 else None, after=after):
                attempts += 1
                completion.lambda_handler(ended(), Context())
        except (NotYetError, type(client_error("x"))):
            account.now += LEASE_S
        else:
            break
    assert {answer["Status"] for answer in box.answers} == {"SUCCESS" if outcome == "ok" else "FAILED"}
    # Only a crash between the answer and its note repeats the answer, word for word; CloudFormation takes the first.
    assert len(box.answers) in (1, 2)
    assert all(answer == box.answers[0] for answer in box.answers)
    with answering(account.answers()):
        completion.lambda_handler(ended(), Context())
    assert len(box.answers) <= 2


def test_the_generated_faults_cover_every_call(account: Account, box: AnswerBox) -> None:
    event = box.event("Create", TYPE, PROPERTIES)
    assert calls_of(account, lambda: handler.lambda_handler(event, Context())) == 4
    assert calls_of(account, lambda: completion.lambda_handler(ended(), Context())) == 4


def test_the_functions_find_their_services_in_the_environment_of_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTIFACT_BUCKET", BUCKET)
    monkeypatch.setenv("BUILD_PROJECT", "a-project")
    monkeypatch.setenv("LEDGER_TABLE", "a-table")
    monkeypatch.setenv("URL_SUFFIX", "amazonaws.com.cn")
    handler.services.cache_clear()
    completion.services.cache_clear()
    made = handler.services()
    assert (made.artifact_bucket, made.url_suffix) == (BUCKET, "amazonaws.com.cn")
    with answering(
        {"codebuild:StartBuild": {"build": {"id": "b"}}, "codebuild:BatchGetBuilds": {"builds": []}}
    ) as calls:
        made.builds.start({}, token="t")
        completion.services().builds.outcome("b")
    assert calls.of("codebuild:StartBuild")[0]["projectName"] == "a-project"
    handler.services.cache_clear()
    completion.services.cache_clear()
