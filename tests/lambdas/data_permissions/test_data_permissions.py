"""Custom::DataAccess and Custom::ProjectDataAccess: who gets which data, who keeps them, and who gets none."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lambdas.data_permissions import handler
from lambdas.shared.product_names import link_database
from tests.lambdas.aws import answering, client_error
from tests.lambdas.cloudformation import AnswerBox, Context
from tests.lambdas.data_permissions.account import ACCOUNT, OWNER, PROJECT, TABLE, Account

if TYPE_CHECKING:
    from tests.lambdas.aws import Calls

ACCESS, ASK = "Custom::DataAccess", "Custom::ProjectDataAccess"
ANA = f"arn:aws:iam::{ACCOUNT}:role/ml-platform/persona/data-scientist/ana"
JOBS = f"arn:aws:iam::{ACCOUNT}:role/ml-platform/project/SC-{ACCOUNT}-pp-abc-JobsRole"
LINK = link_database(OWNER, "eu-west-1", "lake")
LOANS = json.dumps({"Table": {"CatalogId": OWNER, "DatabaseName": "lake", "Name": "loans"}}, sort_keys=True)
OPEN = {
    "CatalogId": OWNER,
    "TargetDatabase": "lake",
    "Tables": ["loans"],
    "Columns": [],
    "DataCellsFilter": "",
    "TagExpression": [],
    "Personas": [ANA],
    "Projects": [PROJECT],
    "ProjectTag": "",
    "Hybrid": "false",
}
WANTED = {"ProjectId": PROJECT, "Database": LINK, "Table": "loans", "Columns": [], "Roles": [JOBS], "Location": ""}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setenv("ACCOUNT_ID", ACCOUNT)
    monkeypatch.setenv("LEDGER_TABLE", TABLE)
    monkeypatch.setattr(handler, "sleep", lambda _seconds: None)
    return Account()


class Sender:
    """CloudFormation, which asks for resources and remembers what it asked for."""

    def __init__(self, account: Account, box: AnswerBox) -> None:
        self.account = account
        self.box = box
        self.calls: Calls
        self._properties: dict[str, dict[str, Any]] = {}

    def event(self, kind: str, type_: str, properties: dict[str, Any], logical_id: str) -> dict[str, Any]:
        old = self._properties.get(logical_id, properties)
        event = self.box.event(kind, type_, properties, old_properties=old)
        return {**event, "LogicalResourceId": logical_id}

    def send(self, event: dict[str, Any], *, failing: int | None = None, after: bool = False) -> dict[str, Any]:
        with answering(self.account.answers(), failing=failing, after=after) as self.calls:
            handler.lambda_handler(event, Context())
        return self.box.answers[-1]

    def __call__(self, kind: str, type_: str, properties: dict[str, Any], *, id_: str = "One") -> dict[str, Any]:
        answer = self.send(self.event(kind, type_, properties, id_))
        self._properties[id_] = properties
        return answer

    def fine(self, kind: str, type_: str, properties: dict[str, Any], *, id_: str = "One") -> dict[str, Any]:
        answer = self(kind, type_, properties, id_=id_)
        assert answer["Status"] == "SUCCESS", answer["Reason"]
        return answer

    def refused(self, kind: str, type_: str, properties: dict[str, Any], *, id_: str = "One") -> str:
        answer = self(kind, type_, properties, id_=id_)
        assert answer["Status"] == "FAILED"
        return str(answer["Reason"])


@pytest.fixture
def cloudformation(account: Account, box: AnswerBox) -> Sender:
    return Sender(account, box)


# ---- what is granted ----


def test_a_persona_gets_the_tables_the_link_and_what_athena_wants(account: Account, cloudformation: Sender) -> None:
    answer = cloudformation.fine("Create", ACCESS, OPEN)
    assert answer["Data"] == {"Database": LINK}
    assert account.links[LINK] == {"CatalogId": OWNER, "DatabaseName": "lake", "Region": "eu-west-1"}
    databases = [
        json.dumps({"Database": {"CatalogId": ACCOUNT, "Name": name}}, sort_keys=True) for name in (LINK, "default")
    ]
    assert account.granted == {
        (ANA, LOANS): {"SELECT", "DESCRIBE"},
        **{(ANA, database): {"DESCRIBE"} for database in databases},
    }
    assert not account.opted_in


def test_no_grant_carries_the_right_to_grant(cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN)
    assert all(
        "PermissionsWithGrantOption" not in call for call in cloudformation.calls.of("lakeformation:GrantPermissions")
    )


@pytest.mark.parametrize(
    ("form", "granted"),
    [
        ({"Tables": ["*"]}, {'{"Table": {"CatalogId": "%s", "DatabaseName": "lake", "TableWildcard": {}}}': "DS"}),
        ({"Columns": ["age", "income"]}, {f"{LOANS}#age": "S", f"{LOANS}#income": "S"}),
        (
            {"DataCellsFilter": "released"},
            {
                '{"DataCellsFilter": {"DatabaseName": "lake", "Name": "released", "TableCatalogId": "%s", '
                '"TableName": "loans"}}': "S"
            },
        ),
        (
            {"Tables": [], "TagExpression": ["area=risk|fraud", "class=public"]},
            {
                '{"LFTagPolicy": {"CatalogId": "%s", "Expression": [{"TagKey": "area", "TagValues": ["risk", "fraud"]}'
                f', {{"TagKey": "class", "TagValues": ["public"]}}], "ResourceType": "{kind}"}}}}': permissions
                for kind, permissions in (("TABLE", "DS"), ("DATABASE", "D"))
            },
        ),
    ],
    ids=["every table", "columns", "data cells filter", "tags"],
)
def test_a_persona_gets_what_the_form_says(
    account: Account, cloudformation: Sender, form: dict[str, Any], granted: dict[str, str]
) -> None:
    cloudformation.fine("Create", ACCESS, OPEN | form)
    letters = {"S": "SELECT", "D": "DESCRIBE"}
    assert account.of(ANA) == {
        resource.replace("%s", OWNER): {letters[letter] for letter in permissions}
        for resource, permissions in granted.items()
    }


def test_hybrid_opts_the_roles_in_and_ends_it(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN | {"Hybrid": "true"})
    assert account.opted_in == {(ANA, LOANS)}
    cloudformation.fine("Update", ACCESS, OPEN)
    assert not account.opted_in
    assert account.of(ANA)


def test_a_project_gets_nothing_before_it_asks(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN)
    assert not account.of(JOBS)
    answer = cloudformation.fine("Create", ASK, WANTED, id_="Ask")
    assert account.of(JOBS) == {LOANS: {"SELECT", "DESCRIBE"}}
    assert answer["Data"] == {"CatalogId": OWNER, "TargetDatabase": "lake", "TargetTable": "loans"}


def test_a_project_gets_the_columns_that_it_asks_for_and_no_others(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN | {"Columns": ["age", "income", "label"]})
    cloudformation.fine("Create", ASK, WANTED | {"Columns": ["age", "label"]}, id_="Ask")
    assert account.of(JOBS) == {f"{LOANS}#age": {"SELECT"}, f"{LOANS}#label": {"SELECT"}}
    cloudformation.fine("Update", ASK, WANTED | {"Columns": ["income"]}, id_="Ask")
    assert account.of(JOBS) == {f"{LOANS}#income": {"SELECT"}}
    cloudformation.fine("Update", ASK, WANTED, id_="Ask")
    assert set(account.of(JOBS)) == {f"{LOANS}#{column}" for column in ("age", "income", "label")}


def test_a_project_is_named_by_its_tag(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN | {"Projects": [], "ProjectTag": "data=credit risk"})
    assert "no data-access product" in cloudformation.refused("Create", ASK, WANTED, id_="Ask")
    account.project_tags = {"data": "credit risk"}
    cloudformation.fine("Create", ASK, WANTED, id_="Other")
    assert account.of(JOBS)


def test_a_table_that_lake_formation_does_not_govern_needs_no_permission(
    account: Account, cloudformation: Sender
) -> None:
    cloudformation.fine("Create", ACCESS, OPEN)
    cloudformation.fine("Create", ASK, WANTED, id_="Ask")
    answer = cloudformation.fine("Update", ASK, WANTED | {"Location": "s3://lake/loans/"}, id_="Ask")
    assert not account.of(JOBS)
    assert answer["Data"] == {"CatalogId": ACCOUNT, "TargetDatabase": LINK, "TargetTable": "loans"}


def test_a_data_cells_filter_is_passed_on_whole(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN | {"DataCellsFilter": "released"})
    cloudformation.fine("Create", ASK, WANTED | {"Columns": ["age"]}, id_="Ask")
    ((resource, permissions),) = account.of(JOBS).items()
    assert '"Name": "released"' in resource
    assert permissions == {"SELECT"}


# ---- what is refused ----


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"Personas": [f"arn:aws:iam::{ACCOUNT}:role/admin"]}, "below /ml-platform/persona/"),
        ({"Personas": [ANA.replace(ACCOUNT, OWNER)]}, f"not a role of account {ACCOUNT}"),
        ({"Personas": [f"arn:aws:iam::{ACCOUNT}:role/ml-platform/baseline/function"]}, "granted to no others"),
        ({"Personas": [JOBS]}, "below /ml-platform/persona/"),
        ({"Personas": ["IAM_ALLOWED_PRINCIPALS"]}, "granted to no others"),
        ({"Personas": [OWNER]}, "granted to no others"),
        ({"Personas": [f"{ANA}/../../admin"]}, "granted to no others"),
        ({"Personas": [f"arn:aws:iam::{ACCOUNT}:user/ml-platform/persona/ana"]}, "granted to no others"),
        ({"Personas": [], "Projects": []}, "Nobody is named"),
        ({"Tables": []}, "either tables"),
        ({"TagExpression": ["area=risk"]}, "either tables"),
        ({"Tables": ["*"], "Columns": ["age"]}, "belong to named tables"),
        ({"Columns": ["age"], "DataCellsFilter": "released"}, "has its own columns"),
        ({"Tables": ["loans*"]}, "not a table"),
        ({"CatalogId": "somebody"}, "12 digits"),
        ({"Projects": ["claims"]}, "id of a project"),
    ],
)
def test_what_does_not_fit_is_refused_in_words_and_grants_nothing(
    account: Account, cloudformation: Sender, form: dict[str, Any], said: str
) -> None:
    assert said in cloudformation.refused("Create", ACCESS, OPEN | form)
    assert not account.granted


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ({"Table": "salaries"}, "gives it loans. Choose one of these tables"),
        ({"Columns": ["income", "name"]}, "may not read the columns name"),
        ({"Database": "other_00000000"}, "no data-access product"),
        ({"ProjectId": "p-other"}, "There is no SageMaker project with the id p-other"),
        ({"Roles": [ANA]}, "below /ml-platform/project/"),
        ({"Roles": [JOBS.replace(ACCOUNT, OWNER)]}, f"not a role of account {ACCOUNT}"),
    ],
)
def test_a_project_that_is_not_entitled_is_refused_in_words(
    account: Account, cloudformation: Sender, ask: dict[str, Any], said: str
) -> None:
    cloudformation.fine("Create", ACCESS, OPEN | {"Columns": ["age", "income"]})
    assert said in cloudformation.refused("Create", ASK, WANTED | ask, id_="Ask")
    assert not account.of(JOBS)


def test_another_stack_cannot_ask_in_the_name_of_a_project(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN)
    account.provisioned = "pp-other"
    assert "is not the one of project" in cloudformation.refused("Create", ASK, WANTED, id_="Ask")
    account.provisioned = None
    cloudformation.fine("Create", ASK, WANTED, id_="Ask")  # SageMaker has not noted the product yet
    account.project = {**(account.project or {}), "ProjectStatus": "CreateCompleted"}
    assert "is not the one of project" in cloudformation.refused("Update", ASK, WANTED, id_="Ask")


def test_a_role_of_another_project_gets_nothing(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN)
    account.role_tags = {"sagemaker:project-id": "p-other"}
    assert "is not tagged as a role of project" in cloudformation.refused("Create", ASK, WANTED, id_="Ask")
    assert not account.of(JOBS)


def test_a_table_that_is_not_shared_is_refused_with_the_command_for_the_owner(
    account: Account, cloudformation: Sender
) -> None:
    account.refused = {LOANS}
    reason = cloudformation.refused("Create", ACCESS, OPEN)
    assert f"the data steward shares it from account {OWNER} with grant option" in reason
    assert "Insufficient Lake Formation permission(s)" in reason
    event = cloudformation.event("Delete", ACCESS, OPEN, "One") | {"PhysicalResourceId": handler.FAILED}
    assert cloudformation.send(event)["Status"] == "SUCCESS"
    assert not any(account.granted.values())
    assert account.links == {"default": None}


def test_a_database_of_the_name_of_the_link_is_not_taken_for_it(account: Account, cloudformation: Sender) -> None:
    account.links[LINK] = None
    assert "is not a link to 'lake'" in cloudformation.refused("Create", ACCESS, OPEN)
    cloudformation.fine("Delete", ACCESS, OPEN)
    assert LINK in account.links


def test_an_unknown_resource_type_is_refused(cloudformation: Sender) -> None:
    assert "not Custom::Else" in cloudformation.refused("Create", "Custom::Else", OPEN)


# ---- who keeps what ----


def test_deletion_revokes_and_removes_the_link(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN | {"Hybrid": "true"})
    cloudformation.fine("Create", ASK, WANTED, id_="Ask")
    cloudformation.fine("Delete", ASK, WANTED, id_="Ask")
    cloudformation.fine("Delete", ACCESS, OPEN)
    assert not any(account.granted.values())
    assert not account.opted_in
    assert account.links == {"default": None}
    assert {kind for kind, _ in account.items} == {"request", "latest"}


def test_deleting_one_of_two_equal_products_leaves_the_other_one_everything(
    account: Account, cloudformation: Sender
) -> None:
    cloudformation.fine("Create", ACCESS, OPEN, id_="One")
    cloudformation.fine("Create", ACCESS, OPEN, id_="Two")
    cloudformation.fine("Create", ASK, WANTED, id_="Ask")
    granted = {key: set(value) for key, value in account.granted.items()}
    cloudformation.fine("Delete", ACCESS, OPEN, id_="One")
    assert "lakeformation:RevokePermissions" not in cloudformation.calls.operations
    assert account.granted == granted
    assert LINK in account.links
    cloudformation.fine("Delete", ACCESS, OPEN, id_="Two")
    assert not any(account.granted.values())


def test_columns_that_another_product_gives_stay(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN | {"Columns": ["age", "income"]}, id_="One")
    cloudformation.fine("Create", ACCESS, OPEN | {"Columns": ["income", "label"]}, id_="Two")
    cloudformation.fine("Delete", ACCESS, OPEN, id_="One")
    assert set(account.of(ANA)) == {f"{LOANS}#income", f"{LOANS}#label"}


def test_a_whole_table_and_columns_of_it_do_not_get_in_each_others_way(
    account: Account, cloudformation: Sender
) -> None:
    cloudformation.fine("Create", ACCESS, OPEN | {"Columns": ["age"]}, id_="Columns")
    cloudformation.fine("Create", ACCESS, OPEN, id_="Whole")
    assert account.of(ANA) == {LOANS: {"SELECT", "DESCRIBE"}}
    cloudformation.fine("Delete", ACCESS, OPEN, id_="Whole")
    assert account.of(ANA) == {f"{LOANS}#age": {"SELECT"}}
    cloudformation.fine("Delete", ACCESS, OPEN, id_="Columns")
    assert not account.of(ANA)


def test_a_project_loses_what_data_access_takes_back_and_gets_it_back(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN)
    cloudformation.fine("Create", ASK, WANTED, id_="Ask")
    cloudformation.fine("Update", ACCESS, OPEN | {"Projects": []})
    assert not account.of(JOBS)
    assert account.of(ANA)
    cloudformation.fine("Update", ACCESS, OPEN | {"Columns": ["age"]})
    assert account.of(JOBS) == {f"{LOANS}#age": {"SELECT"}}
    cloudformation.fine("Delete", ACCESS, OPEN)
    assert not account.of(JOBS)
    cloudformation.fine("Create", ACCESS, OPEN, id_="Again")
    assert account.of(JOBS) == {LOANS: {"SELECT", "DESCRIBE"}}


def test_an_update_to_another_database_is_another_link(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN)
    answer = cloudformation.fine("Update", ACCESS, OPEN | {"TargetDatabase": "pond"})
    assert answer["Data"]["Database"] == link_database(OWNER, "eu-west-1", "pond")
    assert set(account.links) == {"default", answer["Data"]["Database"]}
    assert all('"pond"' in resource for resource in account.of(ANA))


def test_going_back_to_what_a_project_asked_for_is_never_refused(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN | {"Columns": ["age", "income"]})
    cloudformation.fine("Create", ASK, WANTED | {"Columns": ["age"]}, id_="Ask")
    cloudformation.fine("Update", ASK, WANTED | {"Columns": ["income"]}, id_="Ask")
    cloudformation.fine("Update", ACCESS, OPEN | {"Columns": ["income"]})
    cloudformation.fine("Update", ASK, WANTED | {"Columns": ["age"]}, id_="Ask")  # the rollback of the update before
    assert not account.of(JOBS)
    assert "columns" in cloudformation.refused("Update", ASK, WANTED | {"Columns": ["name"]}, id_="Ask")


def test_the_physical_id_never_changes(cloudformation: Sender) -> None:
    ids = [
        cloudformation.fine(kind, ACCESS, OPEN | form)["PhysicalResourceId"]
        for kind, form in (("Create", {}), ("Update", {"TargetDatabase": "pond"}), ("Delete", {}))
    ]
    assert len(set(ids)) == 1


def test_what_is_gone_already_does_not_hinder_a_deletion(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN)
    account.granted[ANA, LOANS] = {"SELECT"}  # DESCRIBE was revoked by hand
    del account.links[LINK]
    cloudformation.fine("Delete", ACCESS, OPEN)
    assert not any(account.granted.values())


def test_a_table_that_was_deleted_does_not_hinder_a_deletion(account: Account, cloudformation: Sender) -> None:
    cloudformation.fine("Create", ACCESS, OPEN)
    gone = client_error("EntityNotFoundException")
    answers = account.answers() | {"lakeformation:RevokePermissions": gone, "lakeformation:ListPermissions": gone}
    with answering(answers):
        handler.lambda_handler(cloudformation.event("Delete", ACCESS, OPEN, "One"), Context())
    assert cloudformation.box.answers[-1]["Status"] == "SUCCESS"


# ---- faults ----


def test_collisions_with_others_are_waited_for(account: Account, cloudformation: Sender) -> None:
    account.busy = 5
    cloudformation.fine("Create", ACCESS, OPEN)
    account.busy = 100
    assert "ConcurrentModificationException" in cloudformation.refused("Update", ACCESS, OPEN)


@pytest.mark.parametrize("after", [False, True], ids=["before it took effect", "after it took effect"])
@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
def test_after_any_call_failed_the_same_request_or_the_way_back_puts_everything_right(
    account: Account, cloudformation: Sender, kind: str, *, after: bool
) -> None:
    """Every call in turn; then CloudFormation's next step, with a project that depends on the outcome."""
    first = OPEN | {"Hybrid": "true"}
    other = OPEN | {"TargetDatabase": "pond", "Columns": ["age"]}
    wanted = {"Create": first, "Update": other, "Delete": first}[kind]

    def stand_up() -> tuple[Account, Sender]:
        fresh, sender = Account(), Sender(account, cloudformation.box)
        sender.account = fresh
        if kind != "Create":
            sender.fine("Create", ACCESS, first)
            sender.fine("Create", ASK, WANTED, id_="Ask")
        return fresh, sender

    expected, sender = stand_up()
    sender.fine(kind, ACCESS, wanted)
    count, index = len(sender.calls), 0
    assert count > 10
    while index < count:
        fresh, sender = stand_up()
        event = sender.event(kind, ACCESS, wanted, "One")
        sender.send(event, failing=index, after=after)
        fresh.items.pop(("lock", "lock"), None)  # what became of the call that gives it back; it ends by itself
        assert sender.send(event)["Status"] == "SUCCESS"
        has = {key: value for key, value in fresh.granted.items() if value}
        assert has == {key: value for key, value in expected.granted.items() if value}
        assert (fresh.opted_in, fresh.links) == (expected.opted_in, expected.links)
        if kind == "Create":
            fresh, sender = stand_up()
            answer = sender.send(sender.event(kind, ACCESS, wanted, "One"), failing=index, after=after)
            fresh.items.pop(("lock", "lock"), None)
            delete = sender.event("Delete", ACCESS, wanted, "One")
            sender.send(delete | {"PhysicalResourceId": answer["PhysicalResourceId"]})
            assert not any(fresh.granted.values())
            assert not fresh.opted_in
            assert fresh.links == {"default": None}
        index += 1


def test_an_event_that_comes_again_too_late_changes_nothing(account: Account, cloudformation: Sender) -> None:
    create = cloudformation.event("Create", ACCESS, OPEN, "One")
    cloudformation.send(create)
    cloudformation.send(create)  # at once: the same again
    cloudformation.fine("Delete", ACCESS, OPEN)
    cloudformation.send(create)
    assert not any(account.granted.values())
    assert account.links == {"default": None}


def test_changes_wait_for_their_turn(account: Account, box: AnswerBox, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender(account, box)
    account.items["lock", "lock"] = {"Until": {"N": "99999999999"}}
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            del account.items["lock", "lock"]

    monkeypatch.setattr(handler, "sleep", sleep)
    sender.fine("Create", ACCESS, OPEN)
    assert len(waited) == 3


def test_a_turn_that_does_not_come_is_an_answer_in_words(account: Account, box: AnswerBox) -> None:
    account.items["lock", "lock"] = {"Until": {"N": "99999999999"}}
    with answering(account.answers()):
        handler.lambda_handler(Sender(account, box).event("Create", ACCESS, OPEN, "One"), Context(120, 61, 59, 58))
    assert "was not begun: try again" in box.only["Reason"]


def test_concurrent_products_and_deletions_end_as_if_one_came_after_the_other(
    account: Account, box: AnswerBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six products for the same table; five of them are deleted while three are launched; then all are deleted."""
    monkeypatch.setattr(handler, "sleep", lambda _: threading.Event().wait(0.002))
    sender = Sender(account, box)

    def at_once(events: list[dict[str, Any]]) -> None:
        threads = [threading.Thread(target=handler.lambda_handler, args=(event, Context())) for event in events]
        with answering(account.answers()):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    at_once([sender.event("Create", ACCESS, OPEN, f"P{number}") for number in range(6)])
    deleted = [sender.event("Delete", ACCESS, OPEN, f"P{number}") for number in range(5)]
    at_once([*deleted, *(sender.event("Create", ACCESS, OPEN, f"Q{number}") for number in range(3))])
    assert {answer["Status"] for answer in box.answers} == {"SUCCESS"}
    assert account.of(ANA) == {LOANS: {"SELECT", "DESCRIBE"}}
    at_once([sender.event("Delete", ACCESS, OPEN, id_) for id_ in ("P5", "Q0", "Q1", "Q2")])
    assert not any(account.granted.values())
    assert account.links == {"default": None}
