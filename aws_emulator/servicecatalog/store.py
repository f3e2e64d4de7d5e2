"""What Service Catalog remembers: portfolios, products, versions, constraints; and what is visible to whom.

Records have the members that the API shows of them; names in lower case are what it does not show.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ministack.core.responses import get_account_id, get_region

from aws_emulator import core
from aws_emulator.clock import clock, random_id
from aws_emulator.core import Json, ServiceError
from aws_emulator.records import tag_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aws_emulator.iam.callers import Caller

Value: TypeAlias = Any
"""A value of a member."""
SERVICE: Final = "servicecatalog"


def missing(what: str) -> ServiceError:
    """Return the error about something that is not there, or not to be seen."""
    return ServiceError("ResourceNotFoundException", f"{what} not found.")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of records.

    Attributes:
        noun: What errors call one of them.
        prefix: How its ids begin.
        records: The records of all accounts and regions, by id.
    """

    noun: str
    prefix: str
    records: dict[str, Json] = field(default_factory=dict)

    def make(self, request: Json, **members: Value) -> Json:
        """Keep a new record of the current account: the members of its request and others."""
        record = {
            **request,
            "Id": f"{self.prefix}-{random_id()}",
            "CreatedTime": clock.now(),
            "account": get_account_id(),
            "region": get_region(),
            "tags": tag_map(request.get("Tags")),
            **members,
        }
        self.records[record["Id"]] = record
        return record

    def mine(self) -> list[Json]:
        """Return the records of the current account and region."""
        here = (get_account_id(), get_region())
        return [record for record in list(self.records.values()) if (record["account"], record["region"]) == here]

    def own(self, record_id: str) -> Json:
        """Return a record of the current account and region.

        Raises:
            ServiceError: There is none with this id.
        """
        for record in self.mine():
            if record["Id"] == record_id:
                return record
        raise missing(f"{self.noun} {record_id}")


PORTFOLIOS: Final = Kind(noun="Portfolio", prefix="port")
"""Under ``products`` are the ids of those in it; ``principals`` are associated with it; ``shares`` are its shares."""
PRODUCTS: Final = Kind(noun="Product", prefix="prod")
"""Under ``versions`` are its provisioning artifacts, each with its ``template`` and the ``url`` that it came from."""
CONSTRAINTS: Final = Kind(noun="Constraint", prefix="cons")
TAG_OPTIONS: Final = Kind(noun="TagOption", prefix="tag")
TAG_OPTION_LINKS: Final[list[tuple[str, str]]] = []
"""Pairs of a portfolio's or product's id and a TagOption's id."""
_share_operations: Final[dict[str, Json]] = {}
"""Changes of shares by token: under way until ``ready``, when ``apply`` is called."""


def arn_of(kind: str, record: Json, identifier: str = "", *, service: str = "catalog") -> str:
    """Return the ARN of a portfolio, product or, with its own service name, provisioned product.

    Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsservicecatalog.html
    """
    return f"arn:aws:{service}:{record['region']}:{record['account']}:{kind}/{identifier or record['Id']}"


def change(record: Json, request: Json) -> None:
    """Change the members and tags of a record that an update names."""
    record.update(request)
    for key in record.pop("RemoveTags", []):
        record["tags"].pop(key, None)
    record["tags"].update(tag_map(record.pop("AddTags", None)))


def pick(records: Iterable[Json], record_id: str | None, name: str | None) -> Json | None:
    """Return the record with an id or, where none is given, with a name; None if there is none."""
    wanted = ("Name", name) if record_id is None else ("Id", record_id)
    return next((record for record in records if record[wanted[0]] == wanted[1]), None)


# ---- shares ---------------------------------------------------------------------------------------------------------


def node_accounts(node_type: str, node: str) -> tuple[str, ...]:
    """Return the accounts of an organization node.

    Raises:
        ServiceError: The organisation has no such node.
    """
    organization = core.organization()
    if node_type == "ORGANIZATION":
        if node.rsplit("/", 1)[-1] != organization.organization_id:
            raise ServiceError("InvalidParametersException", f"Organization {node} is not the caller's organization.")
        return tuple(organization.accounts)
    if node_type == "ORGANIZATIONAL_UNIT":
        try:
            return organization.accounts_in(node.rsplit("/", 1)[-1])
        except ServiceError as error:
            raise missing(f"Organizational unit {node}") from error
    return (node,)


def begin_share_operation(portfolio: Json, node: str, apply: Callable[[], None]) -> Json:
    """Start a change of shares and return it; as on AWS it takes effect later, here after `share_seconds`."""
    operation = {
        "PortfolioShareToken": f"share-{random_id()}",
        "PortfolioId": portfolio["Id"],
        "OrganizationNodeValue": node,
        "Status": "IN_PROGRESS",
        "ready": clock.now() + core.organization().share_seconds,
        "apply": apply,
    }
    _share_operations[operation["PortfolioShareToken"]] = operation
    return operation


def share_operations() -> dict[str, Json]:
    """Return the changes of shares by token, after those whose time has come have taken effect."""
    for operation in _share_operations.values():
        if operation["Status"] == "IN_PROGRESS" and operation["ready"] <= clock.now():
            operation["apply"]()
            operation["Status"] = "COMPLETED"
    return _share_operations


def shares_with(portfolio: Json, account: str) -> list[Json]:
    """Return the shares through which an account sees a portfolio; none for its owner."""
    shares = [] if account == portfolio["account"] else portfolio["shares"]
    return [share for share in shares if account in node_accounts(share["Type"], share["PrincipalId"])]


# ---- who sees what --------------------------------------------------------------------------------------------------


def covers(principal: Json, arn: str) -> bool:
    """Return whether a role, user or group is a principal of a portfolio or has a name that fits its pattern.

    Source: PrincipalARN in https://docs.aws.amazon.com/servicecatalog/latest/dg/API_AssociatePrincipalWithPortfolio.html:
    no account id in the pattern, ``*`` matches any characters including ``/``, ``?`` zero or one.
    """
    if principal["PrincipalType"] == "IAM":
        return bool(arn == principal["PrincipalARN"])
    expression = re.escape(principal["PrincipalARN"]).replace(r"\*", ".*").replace(r"\?", ".?")
    return re.fullmatch(expression, re.sub(r"(:iam::)\d{12}:", r"\1:", arn)) is not None


def principals_in(portfolio: Json, account: str) -> list[Json]:
    """Return the principals that count in an account: its own associations, and shared name patterns.

    Source: https://docs.aws.amazon.com/servicecatalog/latest/adminguide/catalogs_portfolios_sharing_how-to-share.html
    (principal name sharing).
    """
    shared = any(share["SharePrincipals"] for share in shares_with(portfolio, account))
    return [
        principal
        for principal in portfolio["principals"]
        if principal["account"] == account
        or (shared and (principal["account"], principal["PrincipalType"]) == (portfolio["account"], "IAM_PATTERN"))
    ]


def visible_portfolios() -> list[Json]:
    """Return the portfolios that are the current account's own or imported into it."""
    share_operations()
    account, here = get_account_id(), [p for p in PORTFOLIOS.records.values() if p["region"] == get_region()]
    return [portfolio for portfolio in here if account == portfolio["account"] or shares_with(portfolio, account)]


def visible_portfolio(portfolio_id: str) -> Json:
    """Return a portfolio that the current account owns or has imported.

    Raises:
        ServiceError: There is none with this id.
    """
    found = pick(visible_portfolios(), portfolio_id, None)
    if found is None:
        raise missing(f"Portfolio {portfolio_id}")
    return found


def visible_product(product_id: str) -> Json:
    """Return a product that the current account owns or sees in an imported portfolio.

    Raises:
        ServiceError: There is none with this id.
    """
    imported = {product for portfolio in visible_portfolios() for product in portfolio["products"]}
    found = pick((*PRODUCTS.mine(), *(PRODUCTS.records[product] for product in imported)), product_id, None)
    if found is None:
        raise missing(f"Product {product_id}")
    return found


def launch_paths(product_id: str, who: Caller) -> list[Json]:
    """Return the portfolios through which a principal is allowed to launch a product: those it is associated with."""
    return [
        portfolio
        for portfolio in visible_portfolios()
        if product_id in portfolio["products"]
        and any(covers(principal, who.arn) for principal in principals_in(portfolio, who.account))
    ]


def reachable_product(product_id: str | None, name: str | None, who: Caller) -> Json:
    """Return a product, by id or name, that a principal has access to.

    Raises:
        ServiceError: There is none.
    """
    reachable = (product for product in PRODUCTS.records.values() if launch_paths(product["Id"], who))
    found = pick(reachable, product_id, name)
    if found is None:
        raise ServiceError("ResourceNotFoundException", f"No launch paths found for resource: {product_id or name}")
    return found


def version_of(product: Json, version_id: str | None, name: str | None, *, active: bool = False) -> Json:
    """Return a version of a product by id or name.

    Inactive versions "are invisible to end users", who "cannot launch or update a provisioned product from an inactive
    provisioning artifact": https://docs.aws.amazon.com/servicecatalog/latest/dg/API_UpdateProvisioningArtifact.html

    Args:
        product: The product.
        version_id: Id of the version.
        name: Name of the version, where no id is given.
        active: Whether it is for an end user.

    Raises:
        ServiceError: There is none.
    """
    found = pick(product["versions"], version_id, name)
    if found is None or (active and not found["Active"]):
        raise missing(f"Provisioning artifact {version_id or name} for product {product['Id']}")
    return found


def constraints_of(portfolio: Json, product_id: str) -> list[Json]:
    """Return the constraints of a product in a portfolio."""
    place = (portfolio["Id"], product_id)
    return [c for c in CONSTRAINTS.records.values() if (c["PortfolioId"], c["ProductId"]) == place]


def tag_options(product: Json, portfolio: Json, account: str) -> dict[str, list[str]]:
    """Return the allowed values per tag key when an account launches a product; no value means that two sets conflict.

    A key that both the product and the portfolio restrict keeps the values common to both. TagOptions of an imported
    portfolio count when they are shared (``ShareTagOptions``).
    Source: https://docs.aws.amazon.com/servicecatalog/latest/adminguide/tagoptions.html
    """
    if account != portfolio["account"] and not any(s["ShareTagOptions"] for s in shares_with(portfolio, account)):
        return {}
    allowed: dict[str, list[str]] = {}
    for resource in (portfolio["Id"], product["Id"]):
        values: dict[str, list[str]] = {}
        for option in (TAG_OPTIONS.records[option_id] for linked, option_id in TAG_OPTION_LINKS if linked == resource):
            if option["Active"]:
                values.setdefault(option["Key"], []).append(option["Value"])
        for key, found in values.items():
            allowed[key] = [value for value in allowed[key] if value in found] if key in allowed else found
    return allowed
