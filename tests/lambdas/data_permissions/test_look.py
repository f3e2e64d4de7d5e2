"""What keeps a product from data, in words that name the account and the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lambdas.data_permissions import handler
from lambdas.preflight import handler as preflight
from tests.lambdas.aws import answering, client_error
from tests.lambdas.cloudformation import AnswerBox, Context
from tests.lambdas.data_permissions.account import ACCOUNT, OWNER, PROJECT, TABLE, Account
from tests.lambdas.data_permissions.test_data_permissions import ACCESS, LINK, OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = {"Database": LINK, "Table": "loans", "Columns": ["age", "age"], "ProjectId": PROJECT, "Location": ""}
SHARED = {"CatalogId": OWNER, "TargetDatabase": "lake", "Tables": ["loans"], "Columns": []}
UNSEEN = client_error("EntityNotFoundException")


def table(**other: object) -> dict[str, Any]:
    place = {"Location": "s3://lake/loans", "Columns": [{"Name": "age"}, {"Name": "income"}]}
    described = {"StorageDescriptor": place, "PartitionKeys": [{"Name": "year"}], "IsRegisteredWithLakeFormation": True}
    return {"glue:GetTable": {"Table": {**described, **other}}}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """An account in which data-access has opened the table for the project, and nothing is missing."""
    monkeypatch.setenv("ACCOUNT_ID", ACCOUNT)
    monkeypatch.setenv("LEDGER_TABLE", TABLE)
    account = Account()
    with AnswerBox() as box, answering(account.answers()):
        handler.lambda_handler(box.event("Create", ACCESS, OPEN), Context())
    yield {
        **account.answers(),
        **table(),
        "lakeformation:ListPermissions": client_error("AccessDeniedException"),
        "ram:GetResourceShareInvitations": {"resourceShareInvitations": []},
    }


def look(answers: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    with answering(answers):
        seen = handler.lambda_handler({"Look": wanted}, Context())
    assert seen is not None
    return seen


@pytest.mark.parametrize("wanted", [WANTED, SHARED, SHARED | {"Tables": ["*"]}], ids=["linked", "shared", "all tables"])
def test_nothing_is_said_when_nothing_is_missing(answers: dict[str, Any], wanted: dict[str, Any]) -> None:
    seen = look(
        answers | {"glue:GetDatabase": answers["glue:GetDatabase"] if "Table" in wanted else {"Database": {}}}, wanted
    )
    assert seen == {"CatalogId": OWNER, "TargetDatabase": "lake", "Problems": []}


OPEN_TO_ALL = {
    "PrincipalResourcePermissions": [{"Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"}}]
}
INVITED = {
    "resourceShareInvitations": [
        {"senderAccountId": OWNER, "status": "PENDING", "resourceShareInvitationArn": "arn:aws:ram:::invitation"}
    ]
}


@pytest.mark.parametrize(
    ("account", "wanted", "said"),
    [
        ({}, {"Database": "nowhere"}, f"'nowhere' does not exist in account {ACCOUNT}: enter the output DatabaseName"),
        ({}, {"Database": "default"}, "is not a link to a shared database"),
        ({}, {"ProjectId": "p-other"}, "no data-access product of this account and Region names the project"),
        ({}, {"Table": "salaries"}, "Choose one of these tables"),
        ({}, {"Columns": ["age", "name"]}, "no columns name; it shows age, income, year"),
        (
            {"glue:GetTable": UNSEEN},
            {},
            f"in account {OWNER} the data steward runs aws lakeformation grant-permissions",
        ),
        (
            {"glue:GetTable": UNSEEN, "ram:GetResourceShareInvitations": INVITED},
            {},
            f"in account {ACCOUNT} run aws ram accept-resource-share-invitation",
        ),
        (
            table(IsRegisteredWithLakeFormation=False),
            {},
            f"s3://lake/loans of table lake.loans is not registered with Lake Formation: in account {OWNER} run",
        ),
        ({"lakeformation:ListPermissions": OPEN_TO_ALL}, {}, "IAM_ALLOWED_PRINCIPALS still has table lake.loans"),
        ({}, {"Location": "s3://pond/"}, "are at s3://lake/loans/, not below s3://pond/"),
        ({"glue:GetTable": UNSEEN}, {"Location": "s3://lake/"}, "or this account may not see it"),
    ],
)
def test_the_missing_step_is_named_with_account_and_command(
    answers: dict[str, Any], account: dict[str, Any], wanted: dict[str, Any], said: str
) -> None:
    (problem,) = look(answers | account, WANTED | wanted)["Problems"]
    assert said in problem


def test_a_view_has_no_location_to_register(answers: dict[str, Any]) -> None:
    view = table(TableType="VIRTUAL_VIEW", IsRegisteredWithLakeFormation=False)
    assert look(answers | view, WANTED)["Problems"] == []


def test_files_outside_of_lake_formation_need_no_permission_of_it(answers: dict[str, Any]) -> None:
    wanted = WANTED | {"Database": "default", "Location": "s3://lake/loans/", "ProjectId": "p-other"}
    assert look(answers, wanted) == {"CatalogId": ACCOUNT, "TargetDatabase": "default", "Problems": []}


def test_a_database_that_is_not_shared_is_named(answers: dict[str, Any]) -> None:
    (problem,) = look(answers | {"glue:GetDatabase": UNSEEN}, SHARED | {"Tables": ["*"]})["Problems"]
    assert f"Database lake does not exist in account {OWNER}, or is not shared with account {ACCOUNT}" in problem


# ---- Custom::Preflight asks for it ----


class Payload:
    def __init__(self, text: str) -> None:
        self._text = text

    def read(self) -> bytes:
        return self._text.encode()


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ({"Payload": Payload('{"CatalogId": "1", "TargetDatabase": "lake", "Problems": []}')}, "SUCCESS", ""),
        ({"Payload": Payload('{"CatalogId": "1", "TargetDatabase": "lake", "Problems": ["No."]}')}, "FAILED", "No."),
        ({"Payload": Payload("it broke"), "FunctionError": "Unhandled"}, "FAILED", "could not be looked at: What is"),
        (client_error("ResourceNotFoundException"), "FAILED", "could not be looked at"),
    ],
)
def test_preflight_passes_on_what_is_seen(
    monkeypatch: pytest.MonkeyPatch, box: AnswerBox, answer: dict[str, Any] | Exception, status: str, said: str
) -> None:
    monkeypatch.setenv("DATA_FUNCTION", "ml-platform-data-permissions")
    properties = {"Checks": ["data"], **WANTED}
    with answering({"lambda:Invoke": answer}):
        preflight.lambda_handler(box.event("Create", "Custom::Preflight", properties), Context())
    assert box.only["Status"] == status
    assert said in box.only.get("Reason", "")
    if status == "SUCCESS":
        assert box.only["Data"] == {"CatalogId": "1", "TargetDatabase": "lake"}


def test_going_back_is_not_stopped_by_data_that_cannot_be_seen(monkeypatch: pytest.MonkeyPatch, box: AnswerBox) -> None:
    monkeypatch.setenv("DATA_FUNCTION", "ml-platform-data-permissions")
    properties = {"Checks": ["data"], **WANTED}
    answers: dict[str, Any] = {
        "lambda:Invoke": client_error("ServiceException"),
        "cloudformation:DescribeStacks": {"Stacks": [{"StackStatus": "UPDATE_ROLLBACK_IN_PROGRESS"}]},
    }
    with answering(answers):
        preflight.lambda_handler(box.event("Update", "Custom::Preflight", properties), Context())
    assert box.only["Status"] == "SUCCESS"
    assert box.only["Data"] == {"CatalogId": "111122223333", "TargetDatabase": LINK}


@pytest.mark.parametrize(("code", "status"), [("AccessDeniedException", "FAILED"), ("", "SUCCESS")])
def test_a_key_that_this_account_may_not_use_is_named(box: AnswerBox, code: str, status: str) -> None:
    arn = f"arn:aws:kms:eu-west-1:{OWNER}:key/1"
    answers: dict[str, Any] = {"kms:DescribeKey": client_error(code) if code else {"KeyMetadata": {}}}
    with answering(answers):
        preflight.lambda_handler(
            box.event("Create", "Custom::Preflight", {"Checks": ["data-key"], "DataKeyArn": arn}), Context()
        )
    assert box.only["Status"] == status
    if code:
        assert f"in account {OWNER} allow this account kms:Decrypt and kms:DescribeKey" in box.only["Reason"]
