"""Publishes the portfolios: every released version of their products, who may launch them, and the shares to the OU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aws_cdk import (
    Annotations,
    Aws,
    CfnOutput,
    CustomResource,
    Duration,
    Stack,
    aws_cloudwatch,
    aws_cloudwatch_actions,
    aws_iam,
    aws_lambda_event_sources,
    aws_sqs,
)
from aws_cdk import aws_servicecatalog as sc
from constructs import Construct

from portfolios.catalog import PORTFOLIOS, PROVIDER, PortfolioSpec
from products.shared import names
from products.shared.alerts import AlertTopic
from products.shared.findings import acknowledge
from products.shared.functions import PlatformFunction, add_function, platform_logs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import Environment

    from products.releases import Catalog, ReleasedProduct

LOOK_AGAIN: Final = Duration.seconds(10)
"""How long a share that goes on waits until it is looked at again."""

_SERVICE_TIMEOUT = Duration.minutes(45)  # more than lambdas.portfolio_share.core.DEADLINE_S, after which it answers


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


class CatalogPublisher(Construct):
    """The function behind ``Custom::PortfolioShare`` and ``Custom::ProductVersions``, its queue and its alarms.

    Args:
        alert_emails: Who hears when an answer to CloudFormation could not be delivered.

    Attributes:
        function: The function.
    """

    def __init__(self, scope: Construct, id_: str, *, alert_emails: Sequence[str]) -> None:
        super().__init__(scope, id_)
        stack = Stack.of(self)
        lost = aws_sqs.Queue(
            self,
            "LostTasks",
            fifo=True,
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        tasks = aws_sqs.Queue(
            self,
            "Tasks",
            fifo=True,
            delivery_delay=LOOK_AGAIN,
            visibility_timeout=Duration.minutes(12),  # six times the function's timeout, as Lambda asks for
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            dead_letter_queue=aws_sqs.DeadLetterQueue(queue=lost, max_receive_count=3),
        )
        logs = platform_logs(self, "Logs", lines="portfolios and accounts")
        for queue in (lost, tasks):
            acknowledge(
                queue, {"CKV_AWS_27": "It is encrypted by SQS (SqsManagedSseEnabled), which the rule overlooks."}
            )
        role = aws_iam.Role(self, "Role", assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"))
        logs.grant_write(role)
        self.function = add_function(
            self,
            "Function",
            PlatformFunction(
                folder="portfolio_share",
                purpose="Shares portfolios with the workloads OU and sets guidance of product versions",
                timeout_s=120,
                hands_on=True,  # a long share; DEADLINE_S in lambdas/portfolio_share/core.py ends it
                environment={"HUB_ACCOUNT_ID": stack.account, "QUEUE_URL": tasks.queue_url},
            ),
            artifact_bucket=names.artifact_bucket(stack.account, stack.region),
            role=role,
            log_group=logs,
            findings={
                "CKV_AWS_116": "CloudFormation waits for its answer and fails the stack without one; its queue keeps "
                "what was lost.",
                "CKV_AWS_173": "Its environment names a queue and an account; Lambda encrypts it with its own key.",
            },
        )
        tasks.grant_send_messages(role)
        self.function.add_event_source(aws_lambda_event_sources.SqsEventSource(tasks, batch_size=1))
        self._allow_service_catalog(role)
        self.permissions = role.node.find_child("DefaultPolicy")

        alerts = AlertTopic(self, "Alerts", emails=alert_emails)
        action = aws_cloudwatch_actions.SnsAction(alerts.topic)
        for alarm_id, metric, what in (
            (
                "LostTasksAlarm",
                lost.metric_approximate_number_of_messages_visible(),
                "A task was given up after 3 tries",
            ),
            ("ErrorsAlarm", self.function.metric_errors(), "An answer to CloudFormation could not be delivered"),
        ):
            metric.create_alarm(
                self,
                alarm_id,
                alarm_description=f"{what}: a stack of the catalog waits until its ServiceTimeout.",
                threshold=1,
                evaluation_periods=1,
                treat_missing_data=aws_cloudwatch.TreatMissingData.NOT_BREACHING,
            ).add_alarm_action(action)

    def _allow_service_catalog(self, role: aws_iam.Role) -> None:
        stack = Stack.of(self)
        arn = f"arn:{Aws.PARTITION}:catalog:{stack.region}:{stack.account}"
        shares = ("CreatePortfolioShare", "UpdatePortfolioShare", "DeletePortfolioShare", "DescribePortfolioShares")
        versions = ("ListProvisioningArtifacts", "UpdateProvisioningArtifact")
        for actions, resource in (
            (shares, f"{arn}:portfolio/*"),
            (versions, f"{arn}:product/*"),
            (("DescribePortfolioShareStatus",), "*"),  # has no resource level; its token names the portfolio
        ):
            role.add_to_policy(
                aws_iam.PolicyStatement(actions=[f"servicecatalog:{a}" for a in actions], resources=[resource])
            )
        catalog = f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:catalog:{stack.region}:{stack.account}"
        acknowledge(
            role,
            {
                f"{catalog}:portfolio/*]": (
                    "CloudFormation removes a portfolio's share after the portfolio left the template, when a policy "
                    "that names portfolios no longer names it. The hub's portfolios in this region are the catalog's."
                ),
                f"{catalog}:product/*]": (
                    "As for portfolios. The two actions read versions and set their guidance and visibility, no more."
                ),
                "AwsSolutions-IAM5[Resource::*]": (
                    "Only DescribePortfolioShareStatus, which has no resource level (service authorization reference)."
                ),
            },
        )

    def custom_resource(
        self, scope: Construct, id_: str, resource_type: str, properties: Mapping[str, Any]
    ) -> CustomResource:
        """Return a custom resource of this function, created once the function may do its work."""
        resource = CustomResource(
            scope,
            id_,
            resource_type=resource_type,
            service_token=self.function.function_arn,
            service_timeout=_SERVICE_TIMEOUT,
            properties=properties,
        )
        resource.node.add_dependency(self.permissions)
        return resource


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


def role_patterns(portfolio: PortfolioSpec, principals: Sequence[str]) -> list[str]:
    """Return the patterns of role names that may launch from a portfolio: its personas', then the hub's own.

    E.g. ``ml-platform/persona/data-scientist/*``; the star of IAM_PATTERN also matches slashes.
    """
    personas = [f"{names.persona_role_path(persona).strip('/')}/*" for persona in portfolio.personas]
    return list(dict.fromkeys([*personas, *principals]))


def construct_id(name: str) -> str:
    """Return a PascalCase construct id, e.g. ``TrainS3`` for ``train-s3``."""
    words = "".join(c if c.isalnum() else " " for c in name.replace("*", " any ").replace("?", " one "))
    return "".join(word[:1].upper() + word[1:] for word in words.split())


def _tag_options(scope: Construct, portfolios: Sequence[PortfolioSpec]) -> dict[tuple[str, str], sc.CfnTagOption]:
    """Create each TagOption once: key and value identify it in an account, whatever portfolio uses it."""
    pairs = dict.fromkeys((k, v) for p in portfolios for k, values in p.tag_options.items() for v in values)
    return {
        (key, value): sc.CfnTagOption(
            scope, f"TagOption{construct_id(key)}{construct_id(value)}", key=key, value=value, active=True
        )
        for key, value in pairs
    }
