"""Compare what Service Catalog holds in the hub with what the repository says: the last step of the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from pipeline.paging import pages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from portfolios.catalog import PortfolioSpec
    from products.releases import Catalog, Release, ReleasedProduct


PERMISSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "*": ("ListConstraintsForPortfolio", "ListPortfolios", "SearchProductsAsAdmin"),
    "portfolio/*": ("DescribePortfolioShares", "ListPrincipalsForPortfolio"),
    "product/*": ("ListProvisioningArtifacts",),
}
"""What the check calls, by the resource part of the ARN; those under ``*`` have no resource level."""


class ServiceCatalogClient(Protocol):
    """What the check asks of a boto3 client for Service Catalog, besides the operations given to `pages` by name."""

    def list_provisioning_artifacts(self, **request: object) -> dict[str, Any]:
        """List the versions of a product."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One version of one product in one portfolio, as the repository wants it.

    Attributes:
        portfolio: Portfolio id.
        product: Product id.
        version: The version.
        wanted: ``supported``, ``deprecated`` or ``hidden``.
        is_right: Whether the account agrees in all respects.
    """

    portfolio: str
    product: str
    version: str
    wanted: str
    is_right: bool


@dataclass(frozen=True, kw_only=True)
class Published:
    """Outcome of the comparison.

    Attributes:
        rows: Every version that the account should hold.
        deviations: A sentence for each difference; empty when all is as it should be.
    """

    rows: tuple[Row, ...]
    deviations: tuple[str, ...]


def check_published(
    client: ServiceCatalogClient, catalog: Catalog, portfolios: Iterable[PortfolioSpec], *, ou_id: str
) -> Published:
    """Look at every portfolio in the hub account.

    Args:
        client: Client for Service Catalog in the hub account and the region to check; it only lists and describes.
        catalog: The releases.
        portfolios: The portfolios that should exist.
        ou_id: The organisational unit that those which are shared should be shared with.
    """
    by_title: dict[str, list[str]] = {}
    for found in pages(client, "list_portfolios", "PortfolioDetails", PageSize=100):
        by_title.setdefault(found["DisplayName"], []).append(found["Id"])
    rows: list[Row] = []
    deviations: list[str] = []
    for portfolio in portfolios:
        products = [catalog.products[id_] for id_ in portfolio.products if id_ in catalog.products]
        ids = by_title.get(portfolio.title, [])
        if len(ids) != 1:
            there_are = f"there are {len(ids)} with that name ({', '.join(ids)})" if ids else "it does not exist"
            deviations.append(
                f"Portfolio {portfolio.title!r}: {there_are}, so nobody can rely on it. "
                f"The stack Portfolios of this region makes exactly one."
            )
            rows += [_row(portfolio, release, is_right=False) for product in products for release in product.versions]
            continue
        deviations += _sharing(client, portfolio, ids[0], ou_id)
        deviations += _principals(client, portfolio, ids[0])
        views = _views(client, ids[0])
        for product in products:
            wrong = list(_product(client, portfolio, ids[0], product, views))
            wrong_versions = {version for version, _ in wrong}
            deviations += [sentence for _, sentence in wrong]
            rows += [
                _row(portfolio, release, is_right=not wrong_versions & {None, str(release.version)})
                for release in product.versions
            ]
    return Published(rows=tuple(rows), deviations=tuple(deviations))


def _row(portfolio: PortfolioSpec, release: Release, *, is_right: bool) -> Row:
    wanted = "hidden" if not release.active else "supported" if release.guidance == "DEFAULT" else "deprecated"
    return Row(
        portfolio=portfolio.id,
        product=release.product,
        version=str(release.version),
        wanted=wanted,
        is_right=is_right,
    )


def _sharing(client: ServiceCatalogClient, portfolio: PortfolioSpec, portfolio_id: str, ou_id: str) -> Iterator[str]:
    name = f"Portfolio {portfolio.title!r}"
    found = pages(
        client,
        "describe_portfolio_shares",
        "PortfolioShareDetails",
        PortfolioId=portfolio_id,
        Type="ORGANIZATIONAL_UNIT",
        PageSize=100,
    )
    if not portfolio.shared:
        for share in found:
            yield (
                f"{name} is shared with {share['PrincipalId']}, but it is for the hub alone: its products cannot be "
                f"launched there. Find out who shared it, and take the share back."
            )
        return
    # The recipient is given as an id, or as an ARN that ends in it.
    shares = [share for share in found if share["PrincipalId"].rsplit("/", 1)[-1] == ou_id]
    if not shares:
        yield (
            f"{name} is not shared with {ou_id}, so no account there sees it. See the events of the portfolio share "
            f"in the stack Portfolios; the hub must be a delegated administrator of Service Catalog."
        )
    for share in shares:
        if not share.get("Accepted", False):
            yield f"{name} is shared with {ou_id} but not accepted: accounts there do not see it."
        if not share.get("SharePrincipals", False):
            yield (
                f"{name} is shared with {ou_id} without its principals: people there see it only once their roles were "
                f"added in each account."
            )
        if not share.get("ShareTagOptions", False):
            yield f"{name} is shared with {ou_id} without its TagOptions: what is launched from it is not tagged."


def _principals(client: ServiceCatalogClient, portfolio: PortfolioSpec, portfolio_id: str) -> Iterator[str]:
    if not pages(client, "list_principals_for_portfolio", "Principals", PortfolioId=portfolio_id, PageSize=20):
        yield (
            f"Portfolio {portfolio.title!r} has no principals, so nobody can launch from it. Its personas are in "
            f"portfolios/catalog.py."
        )


def _views(client: ServiceCatalogClient, portfolio_id: str) -> dict[str, str]:
    """Return the products of a portfolio: name to id."""
    found = pages(client, "search_products_as_admin", "ProductViewDetails", PortfolioId=portfolio_id, PageSize=20)
    return {view["ProductViewSummary"]["Name"]: view["ProductViewSummary"]["ProductId"] for view in found}


def _product(
    client: ServiceCatalogClient,
    portfolio: PortfolioSpec,
    portfolio_id: str,
    product: ReleasedProduct,
    views: Mapping[str, str],
) -> Iterator[tuple[str | None, str]]:
    """Yield what is wrong with a product in a portfolio: the version concerned (None: all of them) and a sentence."""
    name = f"Product {product.title!r} in portfolio {portfolio.title!r}"
    product_id = views.get(product.title)
    if product_id is None:
        there = ", ".join(map(repr, sorted(views))) or "nothing"
        yield None, f"{name}: it is not in the portfolio, which holds {there}. The stack Portfolios puts it there."
        return
    constraints = pages(
        client,
        "list_constraints_for_portfolio",
        "ConstraintDetails",
        PortfolioId=portfolio_id,
        ProductId=product_id,
        PageSize=20,
    )
    if not any(constraint["Type"] == "LAUNCH" for constraint in constraints):
        problem = "it has no launch constraint, so a launch would use the permissions of the person and fail"
        yield None, f"{name}: {problem}. The stack Portfolios adds one."
    artifacts: dict[str, list[Mapping[str, Any]]] = {}
    for artifact in client.list_provisioning_artifacts(ProductId=product_id)["ProvisioningArtifactDetails"]:
        artifacts.setdefault(artifact["Name"], []).append(artifact)
    for release in product.versions:
        version = str(release.version)
        for sentence in _version(release, artifacts.pop(version, [])):
            yield version, f"{name}, version {version}: {sentence}"
    for foreign in sorted(artifacts):
        yield foreign, f"{name}: version {foreign} is not a release of this repository. Find out who added it."


def _version(release: Release, found: list[Mapping[str, Any]]) -> Iterator[str]:
    if len(found) != 1:
        ids = ", ".join(artifact["Id"] for artifact in found)
        yield f"it exists {len(found)} times ({ids})." if found else "it does not exist."
        return
    (artifact,) = found
    is_active, guidance = artifact.get("Active", True), artifact.get("Guidance", "DEFAULT")
    if is_active != release.active:
        yield (
            "it is hidden from users, but the repository supports it."
            if release.active
            else f"users still see it, but the repository hides it: {release.reason}"
        )
    if guidance != release.guidance:
        yield f"its guidance is {guidance}, but the repository says {release.guidance}."
