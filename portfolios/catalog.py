"""Which product is in which portfolio, and who may launch from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class PortfolioSpec:
    """One portfolio of the catalog.

    Attributes:
        id: Kebab-case id for settings and the command line, e.g. ``ml-admin``; never changes.
        title: Name shown in Service Catalog, at most 100 characters.
        description: Shown with the portfolio, at most 2,000 characters.
        products: Ids of its products in the order of the console.
        personas: Personas (`products.shared.names.PERSONAS`) whose roles may launch from it, in every account it is
            shared with.
        tag_options: Tags that Service Catalog sets on everything launched from it. With one value a tag is set without
            asking; with several the person must choose, which ``CreateProject`` of SageMaker cannot.
        product_tags: Tags on its products themselves. Default: none.
        shared: Whether it is shared with the workloads OU. One that is not is for people in the hub itself. Default:
            shared.
    """

    id: str
    title: str
    description: str
    products: tuple[str, ...]
    personas: tuple[str, ...]
    tag_options: Mapping[str, tuple[str, ...]]
    product_tags: Mapping[str, str] = field(default_factory=dict)
    shared: bool = True


STUDIO_VISIBILITY: Final = "sagemaker:studio-visibility"
"""Tag with which SageMaker Studio finds the products that it offers as project templates (value ``true``)."""

PROVIDER: Final = "ML platform team"
"""Owner of the portfolios and products, as Service Catalog shows it (at most 50 characters)."""

PORTFOLIOS: Final = (
    PortfolioSpec(
        id="ml-admin",
        title="ML Admin",
        description="What lead data scientists set up for a team: Studio domains and access to data.",
        products=("sagemaker-domain", "data-access"),
        personas=(names.LEAD,),
        tag_options={names.PORTFOLIO_TAG: ("ml-admin",)},
    ),
    PortfolioSpec(
        id="sagemaker-projects",
        title="SageMaker Projects",
        description="Projects that data scientists create in SageMaker Studio: a repository with a whole ML workflow.",
        products=("train-s3", "train-athena"),
        personas=(names.DATA_SCIENTIST,),
        tag_options={names.PORTFOLIO_TAG: ("sagemaker-projects",)},
        product_tags={STUDIO_VISIBILITY: "true"},
    ),
    PortfolioSpec(
        id="ml-deployment",
        title="ML Deployment",
        description="Projects of ML engineers: bring a model of the central registry to test and to production.",
        products=("deploy-realtime", "deploy-batch"),
        personas=(names.ML_ENGINEER,),
        tag_options={names.PORTFOLIO_TAG: ("ml-deployment",)},
        product_tags={STUDIO_VISIBILITY: "true"},
        shared=False,
    ),
)


def products_of_the_hub() -> frozenset[str]:
    """Return the ids of the products that are launched in the hub only: no portfolio that is shared holds them."""
    elsewhere = {product for portfolio in PORTFOLIOS if portfolio.shared for product in portfolio.products}
    return frozenset(p for portfolio in PORTFOLIOS for p in portfolio.products if p not in elsewhere)
