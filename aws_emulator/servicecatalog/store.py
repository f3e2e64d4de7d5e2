"""What Service Catalog remembers: portfolios, products, versions, shares, constraints; and who may see what."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ministack.core.responses import get_account_id, get_region

from aws_emulator import core
from aws_emulator.clock import clock, random_id
from aws_emulator.core import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_emulator.iam.callers import Caller


def catalog_arn(kind: str, identifier: str, account: str, region: str) -> str:
    """Return the ARN of a portfolio, product or provisioned product (its service name is ``catalog``).

    Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsservicecatalog.html
    """
    service = "servicecatalog" if kind == "stack" else "catalog"
    return f"arn:aws:{service}:{region}:{account}:{kind}/{identifier}"


@dataclass(kw_only=True)
class Artifact:
    """One version of a product. The template is Service Catalog's own copy, made when the version was created."""

    id: str
    name: str
    description: str
    template_url: str
    template: str
    created_time: float
    active: bool = True
    guidance: str = "DEFAULT"


@dataclass(kw_only=True)
class Product:
    """A product in the account that owns it; `details` are its optional texts by the API's field names."""

    id: str
    account: str
    region: str
    name: str
    owner: str
    details: dict[str, str]
    tags: dict[str, str]
    created_time: float
    artifacts: list[Artifact] = field(default_factory=list)

    @property
    def arn(self) -> str:
        """ARN of the product."""
        return catalog_arn("product", self.id, self.account, self.region)


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A principal associated with a portfolio, in the owning account or locally in an account it is shared with."""

    account: str
    arn: str
    type: str

    def covers(self, arn: str) -> bool:
        """Whether a role, user or group is this principal or has a name that fits the pattern.

        Source: PrincipalARN in https://docs.aws.amazon.com/servicecatalog/latest/dg/API_AssociatePrincipalWithPortfolio.html:
        no account id in the pattern, ``*`` matches any characters including ``/``, ``?`` zero or one.
        """
        if self.type == "IAM":
            return arn == self.arn
        expression = re.escape(self.arn).replace(r"\*", ".*").replace(r"\?", ".?")
        return re.fullmatch(expression, re.sub(r"(:iam::)\d{12}:", r"\1:", arn)) is not None


@dataclass(kw_only=True)
class Share:
    """A share with an organization node."""

    node_type: str
    node: str
    share_principals: bool
    share_tag_options: bool

    def accounts(self) -> tuple[str, ...]:
        """Accounts that see the portfolio through this share."""
        return node_accounts(self.node_type, self.node)


@dataclass(kw_only=True)
class Constraint:
    """A constraint on a product in a portfolio; `parameters` is JSON text as the caller gave it."""

    id: str
    account: str
    type: str
    portfolio: str
    product: str
    description: str
    parameters: str


@dataclass(kw_only=True)
class TagOption:
    """A tag key with one allowed value."""

    id: str
    account: str
    region: str
    key: str
    value: str
    active: bool = True


@dataclass(kw_only=True)
class Portfolio:
    """A portfolio in the account that owns it."""

    id: str
    account: str
    region: str
    name: str
    provider: str
    description: str
    tags: dict[str, str]
    created_time: float
    products: list[str] = field(default_factory=list)
    principals: list[Principal] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)

    @property
    def arn(self) -> str:
        """ARN of the portfolio."""
        return catalog_arn("portfolio", self.id, self.account, self.region)

    def shares_with(self, account: str) -> list[Share]:
        """Shares through which an account sees this portfolio; empty for its owner."""
        return [] if account == self.account else [share for share in self.shares if account in share.accounts()]

    def is_visible_in(self, account: str) -> bool:
        """Whether the portfolio is the account's own or imported into it."""
        return account == self.account or bool(self.shares_with(account))

    def principals_in(self, account: str) -> list[Principal]:
        """Principals that count in an account: its own associations, and shared name patterns.

        Source: https://docs.aws.amazon.com/servicecatalog/latest/adminguide/catalogs_portfolios_sharing_how-to-share.html
        (principal name sharing).
        """
        local = [principal for principal in self.principals if principal.account == account]
        if not any(share.share_principals for share in self.shares_with(account)):
            return local
        shared = [p for p in self.principals if p.account == self.account and p.type == "IAM_PATTERN"]
        return local + shared


@dataclass(kw_only=True)
class ShareOperation:
    """A change of shares that is under way until `ready_at` and takes effect then."""

    token: str
    portfolio: str
    node: str
    ready_at: float
    apply: Callable[[], None]
    applied: bool = False


PORTFOLIOS: Final[dict[str, Portfolio]] = {}
PRODUCTS: Final[dict[str, Product]] = {}
CONSTRAINTS: Final[dict[str, Constraint]] = {}
TAG_OPTIONS: Final[dict[str, TagOption]] = {}
TAG_OPTION_LINKS: Final[list[tuple[str, str]]] = []
"""Pairs of a portfolio's or product's id and a TagOption's id."""
SHARE_OPERATIONS: Final[dict[str, ShareOperation]] = {}


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
            raise ServiceError("ResourceNotFoundException", f"Organizational unit {node} not found.") from error
    return (node,)


def settle_shares() -> None:
    """Let the share operations whose time has come take effect."""
    for operation in SHARE_OPERATIONS.values():
        if not operation.applied and operation.ready_at <= clock.now():
            operation.apply()
            operation.applied = True


def begin_share_operation(portfolio: Portfolio, node: str, apply: Callable[[], None]) -> ShareOperation:
    """Start a change of shares and return it; as on AWS it takes effect later, here after `share_seconds`."""
    operation = ShareOperation(
        token=f"share-{random_id()}",
        portfolio=portfolio.id,
        node=node,
        ready_at=clock.now() + core.organization().share_seconds,
        apply=apply,
    )
    SHARE_OPERATIONS[operation.token] = operation
    return operation


# ---- finding things as the current account sees them ----------------------------------------------------------------


def own_portfolio(portfolio_id: str) -> Portfolio:
    """Return a portfolio that the current account owns.

    Raises:
        ServiceError: There is none with this id.
    """
    portfolio = PORTFOLIOS.get(portfolio_id)
    if portfolio is None or (portfolio.account, portfolio.region) != (get_account_id(), get_region()):
        raise ServiceError("ResourceNotFoundException", f"Portfolio {portfolio_id} not found.")
    return portfolio


def visible_portfolios() -> list[Portfolio]:
    """Return the portfolios that are the current account's own or imported into it."""
    settle_shares()
    account, region = get_account_id(), get_region()
    return [p for p in PORTFOLIOS.values() if p.region == region and p.is_visible_in(account)]


def visible_portfolio(portfolio_id: str) -> Portfolio:
    """Return a portfolio that the current account owns or has imported.

    Raises:
        ServiceError: There is none with this id.
    """
    for portfolio in visible_portfolios():
        if portfolio.id == portfolio_id:
            return portfolio
    raise ServiceError("ResourceNotFoundException", f"Portfolio {portfolio_id} not found.")


def own_product(product_id: str) -> Product:
    """Return a product that the current account owns.

    Raises:
        ServiceError: There is none with this id.
    """
    product = PRODUCTS.get(product_id)
    if product is None or (product.account, product.region) != (get_account_id(), get_region()):
        raise ServiceError("ResourceNotFoundException", f"Product {product_id} not found.")
    return product


def admin_product(product_id: str | None, name: str | None) -> Product:
    """Return a product, by id or name, that the current account owns or sees in an imported portfolio.

    Raises:
        ServiceError: There is none.
    """
    imported = {product for portfolio in visible_portfolios() for product in portfolio.products}
    account, region = get_account_id(), get_region()
    for product in PRODUCTS.values():
        if product.region != region or not (product.account == account or product.id in imported):
            continue
        if product.id == product_id or (product_id is None and product.name == name):
            return product
    raise ServiceError("ResourceNotFoundException", f"Product {product_id or name} not found.")


def launch_paths(product_id: str, who: Caller) -> list[Portfolio]:
    """Return the portfolios through which a principal may launch a product: those it is associated with."""
    return [
        portfolio
        for portfolio in visible_portfolios()
        if product_id in portfolio.products and any(p.covers(who.arn) for p in portfolio.principals_in(who.account))
    ]


def reachable_product(product_id: str | None, name: str | None, who: Caller) -> Product:
    """Return a product, by id or name, that a principal has access to.

    Raises:
        ServiceError: There is none.
    """
    for product in PRODUCTS.values():
        wanted = product.id == product_id or (product_id is None and product.name == name)
        if wanted and launch_paths(product.id, who):
            return product
    raise ServiceError("ResourceNotFoundException", f"No launch paths found for resource: {product_id or name}")


def artifact_of(product: Product, artifact_id: str | None, name: str | None) -> Artifact:
    """Return a version of a product by id or name.

    Raises:
        ServiceError: There is none.
    """
    for artifact in product.artifacts:
        if artifact.id == artifact_id or (artifact_id is None and artifact.name == name):
            return artifact
    raise ServiceError(
        "ResourceNotFoundException",
        f"Provisioning artifact {artifact_id or name} not found for product {product.id}.",
    )


def active_artifact(product: Product, artifact_id: str | None, name: str | None) -> Artifact:
    """Return a version that end users may launch.

    Inactive versions "are invisible to end users", who "cannot launch or update a provisioned product from an inactive
    provisioning artifact": https://docs.aws.amazon.com/servicecatalog/latest/dg/API_UpdateProvisioningArtifact.html

    Raises:
        ServiceError: There is none, or it is inactive.
    """
    artifact = artifact_of(product, artifact_id, name)
    if not artifact.active:
        raise ServiceError(
            "ResourceNotFoundException",
            f"Provisioning artifact {artifact_id or name} not found for product {product.id}.",
        )
    return artifact


def tag_options(product: Product, portfolio: Portfolio, account: str) -> dict[str, list[str]]:
    """Return the allowed values per tag key when an account launches a product; no value means that two sets conflict.

    A key that both the product and the portfolio restrict keeps the values common to both. TagOptions of an imported
    portfolio count when they are shared (``ShareTagOptions``).
    Source: https://docs.aws.amazon.com/servicecatalog/latest/adminguide/tagoptions.html
    """
    if account != portfolio.account and not any(share.share_tag_options for share in portfolio.shares_with(account)):
        return {}
    allowed: dict[str, list[str]] = {}
    for resource in (portfolio.id, product.id):
        values: dict[str, list[str]] = {}
        for resource_id, option_id in TAG_OPTION_LINKS:
            option = TAG_OPTIONS[option_id]
            if resource_id == resource and option.active:
                values.setdefault(option.key, []).append(option.value)
        for key, found in values.items():
            allowed[key] = [value for value in allowed[key] if value in found] if key in allowed else found
    return allowed
