"""Publishes the portfolios: every released version of their products, who may launch them, and the shares to the OU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Annotations, Stack
from aws_cdk import aws_servicecatalog as sc

from portfolios.catalog import PORTFOLIOS
from portfolios.portfolio import Portfolio, Product, construct_id
from portfolios.publisher import CatalogPublisher
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import Environment
    from constructs import Construct

    from portfolios.catalog import PortfolioSpec
    from products.releases import Catalog


class PortfoliosStack(Stack):
    """The portfolios of the catalog in one region of the hub.

    Args:
        catalog: The released products. A portfolio's product without a release is left out until it has one.
        workloads_ou_id: Unit that portfolios are shared with, e.g. ``ou-ab12-workload1``.
        principals: For each portfolio id, patterns of role names (with path, without account) that may launch from it
            in addition to the roles of its personas.
        notification_emails: Who hears when an answer to CloudFormation could not be delivered.
        support_email: Address that Service Catalog shows with every product.
        support_url: Page that Service Catalog shows with every product.
        portfolios: The portfolios. Default: those of `portfolios.catalog`.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        catalog: Catalog,
        workloads_ou_id: str,
        principals: Mapping[str, Sequence[str]],
        notification_emails: Sequence[str],
        support_email: str,
        support_url: str,
        env: Environment,
        portfolios: Sequence[PortfolioSpec] = PORTFOLIOS,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            scope,
            id_,
            env=env,
            stack_name="ml-platform-portfolios",
            tags=tags,
            description="ML platform: Service Catalog portfolios",
        )
        publisher = CatalogPublisher(self, "Publisher", alert_emails=notification_emails)
        products: dict[str, Product] = {}
        for portfolio in portfolios:
            for product_id in portfolio.products:
                released = catalog.products.get(product_id)
                if released is None:
                    Annotations.of(self).add_info(f"{product_id} has no release yet, so it is not published.")
                elif product_id not in products:
                    tags_of_all = {
                        k: v for p in portfolios if product_id in p.products for k, v in p.product_tags.items()
                    }
                    products[product_id] = Product(
                        self,
                        construct_id(product_id),
                        product=released,
                        support_email=support_email,
                        support_url=support_url,
                        product_tags=tags_of_all,
                        publisher=publisher,
                    )
        tag_options = _tag_options(self, portfolios)
        for portfolio in portfolios:
            Portfolio(
                self,
                construct_id(portfolio.id),
                spec=portfolio,
                products={p: products[p] for p in portfolio.products if p in products},
                role_patterns=role_patterns(portfolio, principals.get(portfolio.id, ())),
                tag_options=[tag_options[k, v] for k, values in portfolio.tag_options.items() for v in values],
                ou_id=workloads_ou_id if portfolio.shared else None,
                publisher=publisher,
            )


def role_patterns(portfolio: PortfolioSpec, principals: Sequence[str]) -> list[str]:
    """Return the patterns of role names that may launch from a portfolio: its personas', then the hub's own.

    E.g. ``ml-platform/persona/data-scientist/*``; the star of IAM_PATTERN also matches slashes.
    """
    personas = [f"{names.persona_role_path(persona).strip('/')}/*" for persona in portfolio.personas]
    return list(dict.fromkeys([*personas, *principals]))


def _tag_options(scope: Construct, portfolios: Sequence[PortfolioSpec]) -> dict[tuple[str, str], sc.CfnTagOption]:
    """Create each TagOption once: key and value identify it in an account, whatever portfolio uses it."""
    pairs = dict.fromkeys((k, v) for p in portfolios for k, values in p.tag_options.items() for v in values)
    return {
        (key, value): sc.CfnTagOption(
            scope, f"TagOption{construct_id(key)}{construct_id(value)}", key=key, value=value, active=True
        )
        for key, value in pairs
    }
