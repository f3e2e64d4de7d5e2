"""Custom::EnableProjects: people of a domain may create projects, and the first domain decides on the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lambdas.enable_projects import handler
from tests.lambdas.aws import answering, client_error
from tests.lambdas.cloudformation import AnswerBox, Context

if TYPE_CHECKING:
    from tests.lambdas.aws import Calls

TYPE = "Custom::EnableProjects"
PARAMETER = "/ml-platform/v1/connection-arn"
LEAD = "arn:aws:iam::111122223333:role/ml-platform/persona/lead-data-scientist/lead"
SCIENTIST = "arn:aws:iam::111122223333:role/ml-platform/persona/data-scientist/scientist"
OURS = "arn:aws:codeconnections:eu-west-1:111122223333:connection/ours"
OTHER = "arn:aws:codeconnections:eu-west-1:111122223333:connection/other"
PROPERTIES = {"DomainName": "team-a", "ConnectionArn": OURS, "PersonaRoleArns": [LEAD, SCIENTIST]}


class Account:
    """Service Catalog, SageMaker and the parameter, as far as the function uses them."""

    def __init__(self) -> None:
        self.connection: str | None = None
        self.associated: set[str] = set()
        self.enabled = False
        self.portfolios = [("port-other", "ML Admin"), ("port-1", "SageMaker Projects")]

    def answers(self) -> dict[str, Any]:
        return {
            "sagemaker:EnableSagemakerServicecatalogPortfolio": self._enable,
            "servicecatalog:ListAcceptedPortfolioShares": self._list,
            "servicecatalog:AssociatePrincipalWithPortfolio": self._associate,
            "servicecatalog:DisassociatePrincipalFromPortfolio": self._disassociate,
            "ssm:GetParameter": self._get,
            "ssm:PutParameter": self._put,
            "ssm:DeleteParameter": self._delete,
        }

    def _enable(self, _: dict[str, Any]) -> dict[str, Any]:
        self.enabled = True
        return {}

    def _list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        assert parameters["PortfolioShareType"] == "AWS_ORGANIZATIONS"
        page = int(parameters.get("PageToken", 0))  # one portfolio per page
        details = [{"Id": i, "DisplayName": n} for i, n in self.portfolios[page : page + 1]]
        more = {"NextPageToken": str(page + 1)} if page + 1 < len(self.portfolios) else {}
        return {"PortfolioDetails": details, **more}

    def _associate(self, parameters: dict[str, Any]) -> dict[str, Any]:
        assert (parameters["PortfolioId"], parameters["PrincipalType"]) == ("port-1", "IAM")
        self.associated.add(parameters["PrincipalARN"])
        return {}

    def _disassociate(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if parameters["PrincipalARN"] not in self.associated:
            raise client_error("ResourceNotFoundException")
        self.associated.remove(parameters["PrincipalARN"])
        return {}

    def _get(self, parameters: dict[str, Any]) -> dict[str, Any]:
        assert parameters["Name"] == PARAMETER
        if self.connection is None:
            raise client_error("ParameterNotFound")
        return {"Parameter": {"Value": self.connection}}

    def _put(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if self.connection is not None and not parameters.get("Overwrite"):
            raise client_error("ParameterAlreadyExists")
        self.connection = parameters["Value"]
        return {}

    def _delete(self, _: dict[str, Any]) -> dict[str, Any]:
        if self.connection is None:
            raise client_error("ParameterNotFound")
        self.connection = None
        return {}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setenv("PORTFOLIO_NAME", "SageMaker Projects")
    monkeypatch.setenv("CONNECTION_PARAMETER", PARAMETER)
    return Account()


def send(
    account: Account,
    box: AnswerBox,
    kind: str,
    properties: dict[str, Any] | None = None,
    *,
    old: dict[str, Any] | None = None,
    failing: int | None = None,
) -> Calls:
    event = box.event(kind, TYPE, properties or PROPERTIES, old_properties=old, physical_id="enable-projects/team-a")
    with answering(account.answers(), failing=failing) as calls:
        handler.lambda_handler(event, Context())
    return calls


def test_create_enables_projects_associates_the_personas_and_sets_the_connection(
    account: Account, box: AnswerBox
) -> None:
    send(account, box, "Create")
    assert box.only["Status"] == "SUCCESS"
    assert box.only["PhysicalResourceId"] == "enable-projects/team-a"
    assert account.enabled
    assert account.associated == {LEAD, SCIENTIST}
    assert account.connection == OURS


def test_the_first_domain_decides_on_the_connection(account: Account, box: AnswerBox) -> None:
    account.connection = OTHER
    send(account, box, "Create")
    assert box.only["Status"] == "SUCCESS"
    assert account.connection == OTHER


def test_creating_again_changes_nothing(account: Account, box: AnswerBox) -> None:
    send(account, box, "Create")
    send(account, box, "Create")
    assert [answer["Status"] for answer in box.answers] == ["SUCCESS", "SUCCESS"]
    assert account.associated == {LEAD, SCIENTIST}


def test_an_update_follows_the_list_of_roles_and_keeps_the_id(account: Account, box: AnswerBox) -> None:
    send(account, box, "Create")
    send(account, box, "Update", PROPERTIES | {"DomainName": "b", "PersonaRoleArns": [SCIENTIST]}, old=PROPERTIES)
    assert account.associated == {SCIENTIST}
    assert box.answers[-1]["PhysicalResourceId"] == "enable-projects/team-a"


@pytest.mark.parametrize(
    ("current", "expected"),
    [(OURS, OTHER), (None, OTHER), ("chosen-by-an-administrator", "chosen-by-an-administrator")],
)
def test_an_update_of_the_connection_replaces_its_own_only(
    account: Account, box: AnswerBox, current: str | None, expected: str
) -> None:
    account.connection = current
    send(account, box, "Update", PROPERTIES | {"ConnectionArn": OTHER}, old=PROPERTIES)
    assert account.connection == expected


def test_delete_takes_back_what_was_given_and_leaves_projects_enabled(account: Account, box: AnswerBox) -> None:
    send(account, box, "Create")
    calls = send(account, box, "Delete")
    assert account.associated == set()
    assert account.connection is None
    assert account.enabled
    assert "sagemaker:EnableSagemakerServicecatalogPortfolio" not in calls.operations


def test_delete_leaves_another_domains_connection_alone(account: Account, box: AnswerBox) -> None:
    account.connection = OTHER
    send(account, box, "Delete")
    assert box.only["Status"] == "SUCCESS"
    assert account.connection == OTHER


def test_deleting_again_or_after_the_share_has_ended_succeeds(account: Account, box: AnswerBox) -> None:
    send(account, box, "Delete")
    account.portfolios = []
    send(account, box, "Delete")
    assert [answer["Status"] for answer in box.answers] == ["SUCCESS", "SUCCESS"]


def test_an_account_without_the_portfolio_is_told_whom_to_ask(account: Account, box: AnswerBox) -> None:
    account.portfolios = [("port-other", "ML Admin")]
    send(account, box, "Create")
    assert box.only["Status"] == "FAILED"
    assert "'SageMaker Projects' is not shared with this account" in box.only["Reason"]


def test_two_portfolios_of_the_name_are_not_guessed_between(account: Account, box: AnswerBox) -> None:
    account.portfolios = [("port-1", "SageMaker Projects"), ("port-2", "SageMaker Projects")]
    send(account, box, "Create")
    assert "port-1, port-2" in box.only["Reason"]


@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
@pytest.mark.parametrize("index", range(7))
def test_whichever_call_fails_there_is_exactly_one_answer(
    account: Account, box: AnswerBox, kind: str, index: int
) -> None:
    account.associated = {LEAD, SCIENTIST}
    account.connection = OURS
    properties = PROPERTIES | {"PersonaRoleArns": [LEAD], "ConnectionArn": OTHER} if kind == "Update" else PROPERTIES
    calls = send(account, box, kind, properties, old=PROPERTIES, failing=index)
    assert len(box.answers) == 1
    assert box.only["Status"] == ("FAILED" if index < len(calls) else "SUCCESS")
