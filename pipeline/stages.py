"""What the pipeline deploys in each region of the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Environment, Stage, Tags

from foundation.artifacts import ArtifactsStack
from foundation.deployment_baseline import DeploymentBaselineStack
from foundation.hub_baseline import HubBaselineStack
from foundation.registry.stack import RegistryStack
from foundation.workload_baseline import WorkloadBaselineStack
from portfolios.stack import PortfoliosStack
from products.shared import names

if TYPE_CHECKING:
    from constructs import Construct

    from foundation.settings import HubSettings
    from products.releases import Catalog


class FoundationStage(Stage):
    """What releases need before they can be published, and accounts before they can launch them.

    Args:
        region: Region to deploy to.
        settings: Settings of the hub.

    Attributes:
        artifacts: Bucket of the releases.
        registry: The central model registry; its function's code comes from the bucket, once it is filled.
        baseline: The StackSet with what accounts need; its functions' code comes from the bucket as well.
        deployment_baseline: The StackSet with what accounts need to which models are deployed.
        hub_baseline: What the hub itself needs, so that deployment products can be launched in it.
    """

    def __init__(self, scope: Construct, id_: str, *, region: str, settings: HubSettings) -> None:
        super().__init__(scope, id_, env=Environment(account=settings.account_id, region=region))
        self.artifacts = ArtifactsStack(self, "Artifacts", settings=settings, region=region)
        self.registry = RegistryStack(self, "Registry", settings=settings, region=region)
        self.baseline = WorkloadBaselineStack(self, "WorkloadBaseline", settings=settings, region=region)
        self.deployment_baseline = DeploymentBaselineStack(self, "DeploymentBaseline", settings=settings, region=region)
        self.hub_baseline = HubBaselineStack(self, "HubBaseline", settings=settings, region=region)
        for stack in (self.registry, self.baseline, self.deployment_baseline, self.hub_baseline):
            stack.add_stack_dependency(self.artifacts, "the code of its functions comes from the bucket")
        self.baseline.add_stack_dependency(self.registry, "its rule forwards events to the bus of the registry")
        self.hub_baseline.add_stack_dependency(self.registry, "deployment projects need both")
        tag_resources(self, settings)


class PortfoliosStage(Stage):
    """The portfolios with every released version of their products.

    Args:
        region: Region to deploy to.
        settings: Settings of the hub.
        catalog: The released products.

    Attributes:
        portfolios: The portfolios.
    """

    def __init__(self, scope: Construct, id_: str, *, region: str, settings: HubSettings, catalog: Catalog) -> None:
        environment = Environment(account=settings.account_id, region=region)
        super().__init__(scope, id_, env=environment)
        self.portfolios = PortfoliosStack(
            self,
            "Portfolios",
            catalog=catalog,
            workloads_ou_id=settings.workloads_ou_id,
            principals=settings.principals,
            notification_emails=settings.notification_emails,
            support_email=settings.support.email,
            support_url=settings.support.url,
            env=environment,
            tags=settings.tags,
        )
        tag_resources(self, settings)


def tag_resources(scope: Construct, settings: HubSettings) -> None:
    """Put the hub's tags on every resource below `scope` that can carry tags, and mark its keys as the platform's.

    Ids of keys are generated, so this mark is what keeps the launch role of the hub from them. A baseline has its own
    value of the tag, which is closer to its keys and therefore wins.
    """
    Tags.of(scope).add(names.COMPONENT_TAG, names.HUB_COMPONENT, include_resource_types=["AWS::KMS::Key"])
    for key, value in settings.tags.items():
        Tags.of(scope).add(key, value)
