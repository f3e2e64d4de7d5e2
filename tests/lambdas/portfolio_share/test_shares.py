"""Custom::PortfolioShare, from the request of CloudFormation to its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import EndpointConnectionError

from lambdas.portfolio_share import handler
from lambdas.shared.custom_resource import NOT_CREATED
from tests.lambdas.portfolio_share.world import (
    ACCOUNTS,
    HUB,
    OTHER_OU,
    OU,
    PORTFOLIO,
    Context,
    World,
    client_error,
    share_properties,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARE_ID = f"{PORTFOLIO}/{OU}"
SHARED = {"SharePrincipals": True, "ShareTagOptions": True}

OPERATIONS = (
    "CreatePortfolioShare",
    "UpdatePortfolioShare",
    "DeletePortfolioShare",
    "DescribePortfolioShareStatus",
    "DescribePortfolioShares",
)
ERRORS = (
    client_error("ThrottlingException", "slow down"),
    client_error("ResourceNotFoundException", "no such portfolio"),
    client_error("OperationNotSupportedException", "not allowed"),
    EndpointConnectionError(endpoint_url="https://servicecatalog"),
    TypeError("a bug"),
)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World.start(monkeypatch)
    yield world
    world.stop()


def test_creating_shares_the_portfolio_with_the_unit_and_answers_when_every_account_has_it(world: World) -> None:
    world.catalog.statuses = ["NOT_STARTED", "IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]
    (answer,) = world.request("Create")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", SHARE_ID)
    assert world.catalog.shares == {OU: SHARED}


def test_a_share_that_is_complete_at_once_is_answered_without_the_queue(world: World) -> None:
    before = world.catalog.now
    (answer,) = world.request("Create")
    assert answer["Status"] == "SUCCESS"
    assert world.catalog.now == before


def test_accounts_that_were_not_reached_are_reported_one_by_one_with_their_reason(world: World) -> None:
    world.catalog.statuses = ["IN_PROGRESS", "COMPLETED_WITH_ERRORS"]
    (answer,) = world.request("Create")
    assert answer["Status"] == "FAILED"
    assert f"{ACCOUNTS[1]}: InvalidState The account is suspended." in answer["Reason"]
    assert "1 account(s) were reached" in answer["Reason"]
    # The share exists: the answer names it, so that the rollback removes it.
    assert answer["PhysicalResourceId"] == SHARE_ID
    world.catalog.statuses = ["COMPLETED"]
    (removed,) = world.request("Delete", PhysicalResourceId=SHARE_ID)
    assert removed["Status"] == "SUCCESS"
    assert world.catalog.shares == {}


@pytest.mark.parametrize("code", ["OperationNotSupportedException", "AccessDeniedException"])
def test_a_hub_that_is_not_delegated_administrator_is_told_the_commands_to_run(world: World, code: str) -> None:
    world.catalog.failures["CreatePortfolioShare"] = client_error(code, "not in this account")
    (answer,) = world.request("Create")
    assert answer["Status"] == "FAILED"
    assert answer["PhysicalResourceId"] == NOT_CREATED
    assert "aws servicecatalog enable-aws-organizations-access" in answer["Reason"]
    command = (
        f"aws organizations register-delegated-administrator --account-id {HUB} "
        f"--service-principal servicecatalog.amazonaws.com"
    )
    assert command in answer["Reason"]
    # Nothing was shared, and unsharing would be refused as well: the rollback must not need it.
    (removed,) = world.request("Delete", PhysicalResourceId=NOT_CREATED)
    assert removed["Status"] == "SUCCESS"
    assert "DeletePortfolioShare" not in world.catalog.calls


def test_options_are_updated_in_place(world: World) -> None:
    world.catalog.shares = {OTHER_OU: SHARED, OU: SHARED}
    world.catalog.statuses = ["IN_PROGRESS", "COMPLETED"]
    (answer,) = world.request(
        "Update", PhysicalResourceId=SHARE_ID, ResourceProperties=share_properties(tag_options=False)
    )
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", SHARE_ID)
    assert world.catalog.shares[OU] == {"SharePrincipals": True, "ShareTagOptions": False}
    assert "CreatePortfolioShare" not in world.catalog.calls


def test_an_update_that_changes_nothing_calls_nothing(world: World) -> None:
    world.catalog.shares = {OU: SHARED}
    (answer,) = world.request("Update", PhysicalResourceId=SHARE_ID, OldResourceProperties=share_properties())
    assert answer["Status"] == "SUCCESS"
    assert world.catalog.calls == ["DescribePortfolioShares"]


def test_an_update_restores_a_share_that_somebody_removed(world: World) -> None:
    (answer,) = world.request("Update", PhysicalResourceId=SHARE_ID)
    assert answer["Status"] == "SUCCESS"
    assert world.catalog.shares == {OU: SHARED}


def test_a_share_left_over_with_other_options_gets_the_wanted_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It becomes visible only after CreatePortfolioShare, which leaves it as it is.
    leftover = {"SharePrincipals": False, "ShareTagOptions": False}
    create = world.catalog.create_portfolio_share
    monkeypatch.setattr(
        world.catalog,
        "create_portfolio_share",
        lambda **r: (world.catalog.shares.update({OU: leftover}), create(**r))[1],
    )
    world.catalog.statuses = ["IN_PROGRESS", "COMPLETED"]
    (answer,) = world.request("Create")
    assert answer["Status"] == "SUCCESS"
    assert world.catalog.shares == {OU: SHARED}


def test_moving_to_another_unit_shares_with_the_new_one_before_the_old_one_is_removed(world: World) -> None:
    world.catalog.shares = {OU: SHARED}
    world.catalog.statuses = ["IN_PROGRESS", "COMPLETED"]
    (moved,) = world.request("Update", PhysicalResourceId=SHARE_ID, ResourceProperties=share_properties(OTHER_OU))
    assert moved["Status"] == "SUCCESS"
    assert set(world.catalog.shares) == {OU, OTHER_OU}, "there must be no moment without a share"
    # Another physical id is a replacement: CloudFormation asks to delete the former one once the update is complete.
    assert moved["PhysicalResourceId"] == f"{PORTFOLIO}/{OTHER_OU}"
    (removed,) = world.request("Delete", PhysicalResourceId=SHARE_ID, ResourceProperties=share_properties(OTHER_OU))
    assert removed["Status"] == "SUCCESS"
    assert set(world.catalog.shares) == {OTHER_OU}


def test_a_refused_move_leaves_the_former_share(world: World) -> None:
    world.catalog.shares = {OU: SHARED}
    world.catalog.failures["CreatePortfolioShare"] = client_error("InvalidParametersException", "no such unit")
    (answer,) = world.request("Update", PhysicalResourceId=SHARE_ID, ResourceProperties=share_properties(OTHER_OU))
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", SHARE_ID)
    assert world.catalog.shares == {OU: SHARED}


def test_deleting_unshares_and_waits_until_the_accounts_lost_it(world: World) -> None:
    world.catalog.shares = {OU: SHARED}
    world.catalog.statuses = ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]
    (answer,) = world.request("Delete", PhysicalResourceId=SHARE_ID)
    assert answer["Status"] == "SUCCESS"
    assert world.catalog.shares == {}
    assert world.catalog.calls.count("DescribePortfolioShareStatus") == 3


def test_deleting_what_is_gone_already_succeeds(world: World) -> None:
    (answer,) = world.request("Delete", PhysicalResourceId=SHARE_ID)
    assert answer["Status"] == "SUCCESS"


def test_an_operation_waits_for_the_one_before_it(world: World) -> None:
    world.catalog.statuses = ["IN_PROGRESS", "IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]
    node = {"Type": "ORGANIZATIONAL_UNIT", "Value": OU}
    world.catalog.create_portfolio_share(PortfolioId=PORTFOLIO, OrganizationNode=node, **SHARED)
    (answer,) = world.request(
        "Update", PhysicalResourceId=SHARE_ID, ResourceProperties=share_properties(principals=False)
    )
    assert answer["Status"] == "SUCCESS"
    assert world.catalog.shares[OU]["SharePrincipals"] is False


@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
@pytest.mark.parametrize("busy", [False, True], ids=["in progress", "never taken up"])
def test_an_operation_that_never_ends_is_answered_before_cloudformation_gives_up(
    world: World, kind: str, busy: bool
) -> None:
    world.catalog.shares = {} if kind == "Create" else {OU: SHARED}
    world.catalog.statuses = ["IN_PROGRESS"]
    if busy:
        for operation in ("CreatePortfolioShare", "UpdatePortfolioShare", "DeletePortfolioShare"):
            world.catalog.failures[operation] = client_error("InvalidStateException", "in progress")
    start = world.catalog.now
    wanted = share_properties(principals=False)
    (answer,) = world.request(kind, PhysicalResourceId=SHARE_ID, ResourceProperties=wanted)
    assert answer["Status"] == "FAILED"
    assert "after 40 minutes" in answer["Reason"]
    assert world.catalog.now - start <= 41 * 60


@pytest.mark.parametrize("status", ["NOT_STARTED", "IN_PROGRESS", "COMPLETED", "COMPLETED_WITH_ERRORS", "ERROR", "NEW"])
@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
@pytest.mark.parametrize("invocations", [1, 2])
def test_every_status_ends_in_exactly_one_answer(world: World, status: str, kind: str, invocations: int) -> None:
    world.catalog.shares = {} if kind == "Create" else {OU: SHARED}
    world.catalog.statuses = ["IN_PROGRESS", status]
    answers = world.request(
        kind,
        invocations=invocations,
        PhysicalResourceId=SHARE_ID,
        ResourceProperties=share_properties(principals=False),
    )
    assert len(answers) == 1
    assert (answers[0]["Status"] == "FAILED") is (status != "COMPLETED")


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__ + str(e)[-12:])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
def test_every_failing_call_ends_in_exactly_one_answer(
    world: World, kind: str, operation: str, error: Exception
) -> None:
    world.catalog.shares = {} if kind == "Create" else {OU: SHARED}
    world.catalog.statuses = ["IN_PROGRESS", "COMPLETED"]
    world.catalog.failures[operation] = error
    physical_id = None if kind == "Create" else SHARE_ID
    answers = world.request(kind, PhysicalResourceId=physical_id, ResourceProperties=share_properties(principals=False))
    assert len(answers) == 1
    gone = kind == "Delete" and "ResourceNotFoundException" in str(error) and operation == "DeletePortfolioShare"
    if operation in world.catalog.calls and not gone:
        assert answers[0]["Status"] == "FAILED"
        assert str(error)[-8:].rstrip('"') in answers[0]["Reason"]
        if kind == "Create":
            started = "CreatePortfolioShare" in world.catalog.calls and operation != "CreatePortfolioShare"
            assert answers[0]["PhysicalResourceId"] == (SHARE_ID if started else NOT_CREATED)
    else:
        assert answers[0]["Status"] == "SUCCESS"


def test_a_queue_that_fails_ends_in_an_answer_that_names_the_share(world: World) -> None:
    world.catalog.statuses = ["IN_PROGRESS"]
    world.queue.failure = client_error("AccessDenied", "no permission to send")
    (answer,) = world.request("Create")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", SHARE_ID)


def test_a_repeated_request_adds_no_second_chain_of_messages(world: World) -> None:
    world.catalog.statuses = [*["IN_PROGRESS"] * 6, "COMPLETED"]
    answers = world.request("Create", invocations=3)
    assert len(answers) == 1
    assert world.catalog.status == "COMPLETED"


def test_a_message_delivered_twice_before_the_end_is_answered_once(world: World) -> None:
    world.deliveries = 2
    world.catalog.statuses = [*["IN_PROGRESS"] * 7, "COMPLETED"]
    answers = world.request("Create")
    assert {a["Status"] for a in answers} == {"SUCCESS"}
    assert len({str(a) for a in answers}) == 1, "CloudFormation takes the first; a repetition must not say otherwise"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PortfolioId", None), ("OrganizationalUnitId", ""), ("SharePrincipals", "yes"), ("ShareTagOptions", None)],
)
def test_a_wrong_property_is_named_with_its_value(world: World, name: str, value: str | None) -> None:
    properties = {k: v for k, v in {**share_properties(), name: value}.items() if v is not None}
    (answer,) = world.request("Create", ResourceProperties=properties)
    assert answer["Status"] == "FAILED"
    assert name in answer["Reason"]
    assert repr(value) in answer["Reason"]


def test_a_type_that_is_not_for_this_function_is_refused(world: World) -> None:
    (answer,) = world.request("Create", ResourceType="Custom::Something")
    assert answer["Status"] == "FAILED"
    assert "Custom::Something" in answer["Reason"]


def test_an_invocation_by_something_else_is_an_error(world: World) -> None:
    with pytest.raises(ValueError, match="not a request of CloudFormation"):
        handler.lambda_handler({"detail": {}}, Context())
    assert world.answers == []
