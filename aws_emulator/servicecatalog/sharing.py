"""Sharing Service Catalog's portfolios with nodes of the organisation."""

from __future__ import annotations

from ministack.core.responses import get_account_id

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.core import Json, ServiceError
from aws_emulator.servicecatalog import store
from aws_emulator.servicecatalog.store import PORTFOLIOS, SERVICE


def _require_organization_admin() -> None:
    """Check that the current account is allowed to share with organization nodes.

    Sharing with them is for the management account and delegated administrators; the error is the one that the API
    reference lists: https://docs.aws.amazon.com/servicecatalog/latest/dg/API_CreatePortfolioShare.html
    """
    organization, account = core.organization(), get_account_id()
    if account != organization.management_account and account not in organization.delegated_administrators:
        raise ServiceError(
            "OperationNotSupportedException",
            f"Account {account} is neither the management account of the organization nor a delegated administrator "
            "of AWS Service Catalog.",
        )


def _node(request: Json) -> tuple[str, str]:
    """Return type and value of the node a request names."""
    given = request.get("OrganizationNode")
    if bool(given) == bool(request.get("AccountId")):
        raise ServiceError("InvalidParametersException", "Give either AccountId or OrganizationNode.")
    if not given:
        raise ServiceError(
            "InvalidParametersException", "Sharing with an account that has to accept is not emulated here."
        )
    _require_organization_admin()
    return given["Type"], given["Value"]


def _find(portfolio: Json, node: tuple[str, str]) -> Json | None:
    return next((share for share in portfolio["shares"] if (share["Type"], share["PrincipalId"]) == node), None)


def _changing(portfolio: Json, node: tuple[str, str]) -> Json:
    """Return a share that can be changed; not while an operation on it is under way (API reference)."""
    under_way = {
        (operation["PortfolioId"], operation["OrganizationNodeValue"])
        for operation in store.share_operations().values()
        if operation["Status"] == "IN_PROGRESS"
    }
    if (portfolio["Id"], node[1]) in under_way:
        raise ServiceError("InvalidStateException", f"An operation on the share with {node[1]} is in progress.")
    share = _find(portfolio, node)
    if share is None:
        raise ServiceError("ResourceNotFoundException", f"Portfolio {portfolio['Id']} is not shared with {node[1]}.")
    return share


@overlay(SERVICE, "CreatePortfolioShare")
def create_portfolio_share(request: Json) -> Json:
    """Share a portfolio with an organization node, asynchronously: the answer is a token.

    A share that exists already is left as it is, without an error (API reference).
    """
    portfolio, node = PORTFOLIOS.own(request["PortfolioId"]), _node(request)
    if request.get("SharePrincipals") and node[0] not in ("ORGANIZATION", "ORGANIZATIONAL_UNIT"):
        raise ServiceError(
            "InvalidParametersException", "SharePrincipals needs a node of type ORGANIZATION or ORGANIZATIONAL_UNIT."
        )
    store.node_accounts(*node)
    options = {key: request.get(key, False) for key in ("SharePrincipals", "ShareTagOptions")}

    def apply() -> None:
        if _find(portfolio, node) is None:
            portfolio["shares"].append({"Type": node[0], "PrincipalId": node[1], "Accepted": True, **options})

    return store.begin_share_operation(portfolio, node[1], apply)


@overlay(SERVICE, "UpdatePortfolioShare")
def update_portfolio_share(request: Json) -> Json:
    """Change the options of a share."""
    portfolio, node = PORTFOLIOS.own(request["PortfolioId"]), _node(request)
    share = _changing(portfolio, node)
    options: Json = {key: request[key] for key in ("SharePrincipals", "ShareTagOptions") if key in request}
    return store.begin_share_operation(portfolio, node[1], lambda: share.update(options))


@overlay(SERVICE, "DeletePortfolioShare")
def delete_portfolio_share(request: Json) -> Json:
    """Stop sharing a portfolio."""
    portfolio, node = PORTFOLIOS.own(request["PortfolioId"]), _node(request)
    share = _changing(portfolio, node)
    return store.begin_share_operation(portfolio, node[1], lambda: portfolio["shares"].remove(share))


@overlay(SERVICE, "DescribePortfolioShareStatus")
def describe_portfolio_share_status(request: Json) -> Json:
    """Describe how far a share operation is."""
    _require_organization_admin()
    operation = store.share_operations().get(request["PortfolioShareToken"])
    if operation is None:
        raise store.missing(f"Share token {request['PortfolioShareToken']}")
    portfolio, done = PORTFOLIOS.own(operation["PortfolioId"]), operation["Status"] == "COMPLETED"
    accounts = [account for account in core.organization().accounts if store.shares_with(portfolio, account)]
    return {**operation, "ShareDetails": {"SuccessfulShares": accounts if done else [], "ShareErrors": []}}


@overlay(SERVICE, "DescribePortfolioShares")
def describe_portfolio_shares(request: Json) -> Json:
    """List the shares of one type."""
    portfolio = PORTFOLIOS.own(request["PortfolioId"])
    store.share_operations()
    wanted = {"ORGANIZATION_MEMBER_ACCOUNT": "ACCOUNT"}.get(request["Type"], request["Type"])
    shares = [{**share, "Type": request["Type"]} for share in portfolio["shares"] if share["Type"] == wanted]
    return {"PortfolioShareDetails": shares}


@overlay(SERVICE, "ListAcceptedPortfolioShares")
def list_accepted_portfolio_shares(request: Json) -> Json:
    """List imported portfolios: those shared through the organization; accepting others is not emulated."""
    imported = request.get("PortfolioShareType", "IMPORTED") == "AWS_ORGANIZATIONS"
    found = [p for p in store.visible_portfolios() if imported and p["account"] != get_account_id()]
    return {"PortfolioDetails": found}
