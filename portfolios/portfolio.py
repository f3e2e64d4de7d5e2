"""One product with its versions, and one portfolio with its products, people and share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, CfnOutput, Stack
from aws_cdk import aws_servicecatalog as sc
from constructs import Construct

from portfolios.catalog import PROVIDER
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portfolios.catalog import PortfolioSpec
    from portfolios.publisher import CatalogPublisher
    from products.releases import ReleasedProduct


class Product(Construct):
    """A Service Catalog product with all its released versions.

    Service Catalog matches versions by template URL and name. Both follow from the release alone, so that adding a
    version leaves the ids of the others as they are; ``ReplaceProvisioningArtifacts`` would give every one a new id.

    Args:
        product: The released product.
        support_email: Address that users write to.
        support_url: Page that users open.
        product_tags: Tags on the product.
        publisher: Sets what CloudFormation cannot: guidance and visibility.

    Attributes:
        resource: The product.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        product: ReleasedProduct,
        support_email: str,
        support_url: str,
        product_tags: Mapping[str, str],
        publisher: CatalogPublisher,
    ) -> None:
        super().__init__(scope, id_)
        stack = Stack.of(self)
        bucket = names.artifact_bucket(stack.account, stack.region)
        self.resource = sc.CfnCloudFormationProduct(
            self,
            "Product",
            name=product.title,
            owner=PROVIDER,
            description=product.summary,
            support_description=f"Questions and problems: {support_url}",
            support_email=support_email,
            support_url=support_url,
            replace_provisioning_artifacts=False,
            provisioning_artifact_parameters=[
                sc.CfnCloudFormationProduct.ProvisioningArtifactPropertiesProperty(
                    name=str(release.version),
                    description=release.description,
                    type="CLOUD_FORMATION_TEMPLATE",
                    info={
                        "LoadTemplateFromURL": (
                            f"https://{bucket}.s3.{stack.region}.{Aws.URL_SUFFIX}/{release.template_key}"
                        )
                    },
                )
                for release in product.versions
            ],
        )
        for key, value in product_tags.items():
            self.resource.tags.set_tag(key, value)
        publisher.custom_resource(
            self,
            "Versions",
            "Custom::ProductVersions",
            {
                "ProductId": self.resource.ref,
                "Versions": [
                    {
                        "Name": str(release.version),
                        "Guidance": release.guidance,
                        "Active": str(release.active).lower(),
                    }
                    for release in product.versions
                ],
            },
        )


class Portfolio(Construct):
    """A portfolio: its products, who may launch them with which role, and the share to an OU.

    Args:
        spec: What the portfolio is.
        products: Its products by id.
        role_patterns: Patterns of role names, with path, that may launch, in the hub and every account it is shared
            with.
        tag_options: Its TagOptions.
        ou_id: Unit it is shared with. None: it stays in the hub.
        publisher: Shares it.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        spec: PortfolioSpec,
        products: Mapping[str, Product],
        role_patterns: Sequence[str],
        tag_options: Sequence[sc.CfnTagOption],
        ou_id: str | None,
        publisher: CatalogPublisher,
    ) -> None:
        super().__init__(scope, id_)
        portfolio = sc.CfnPortfolio(
            self, "Portfolio", display_name=spec.title, provider_name=PROVIDER, description=spec.description
        )
        contents: list[Construct] = []
        for product_id, product in products.items():
            association = sc.CfnPortfolioProductAssociation(
                self, f"{construct_id(product_id)}Product", portfolio_id=portfolio.ref, product_id=product.resource.ref
            )
            constraint = sc.CfnLaunchRoleConstraint(
                self,
                f"{construct_id(product_id)}LaunchRole",
                portfolio_id=portfolio.ref,
                product_id=product.resource.ref,
                local_role_name=names.LAUNCH_ROLE,
                description="Launches with the role that the baseline creates in every account",
            )
            constraint.node.add_dependency(association)
            contents += [association, constraint]
        for pattern in role_patterns:
            contents.append(
                sc.CfnPortfolioPrincipalAssociation(
                    self,
                    f"Principal{construct_id(pattern)}",
                    portfolio_id=portfolio.ref,
                    principal_arn=f"arn:{Aws.PARTITION}:iam:::role/{pattern}",
                    principal_type="IAM_PATTERN",
                )
            )
        for option in tag_options:
            contents.append(
                sc.CfnTagOptionAssociation(
                    self,
                    f"Tag{construct_id(option.key)}{construct_id(option.value)}",
                    tag_option_id=option.ref,
                    resource_id=portfolio.ref,
                )
            )
        if ou_id is not None:
            share = publisher.custom_resource(
                self,
                "Share",
                "Custom::PortfolioShare",
                {
                    "PortfolioId": portfolio.ref,
                    "OrganizationalUnitId": ou_id,
                    "SharePrincipals": "true",
                    "ShareTagOptions": "true",
                },
            )
            share.node.add_dependency(*contents)  # nobody sees a portfolio that is half filled
        CfnOutput(Stack.of(self), f"{id_}PortfolioId", value=portfolio.ref, description=spec.title)


def construct_id(name: str) -> str:
    """Return a PascalCase construct id, e.g. ``TrainS3`` for ``train-s3``."""
    words = "".join(c if c.isalnum() else " " for c in name.replace("*", " any ").replace("?", " one "))
    return "".join(word[:1].upper() + word[1:] for word in words.split())
