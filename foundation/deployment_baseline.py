"""The deployment baseline: what every account of the deployment OU has before a model is deployed to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, CfnCondition, Fn, RemovalPolicy, Tags
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_servicecatalog as sc

from foundation.baseline import Baseline
from foundation.custom_resources import add_bucket_emptier
from foundation.deploy_role import DeployRole
from foundation.deployment_boundary import DeploymentBoundary
from foundation.forwarding import forward_alarms
from foundation.stack_set import RollOutStack
from products.shared import names
from products.shared.findings import acknowledge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from constructs import Construct


class DeploymentBaselineTemplate(sc.ProductStack):
    """Template of the StackSet; the same for every account.

    Args:
        hub_account_id: Account of the hub, 12 digits.
        home_region: Region in which the resources of IAM are made, which has no regions itself.
        regions: Regions of the hub, in which models are registered.
    """

    def __init__(
        self, scope: Construct, id_: str, *, hub_account_id: str, home_region: str, regions: Iterable[str]
    ) -> None:
        super().__init__(scope, id_, description="ML platform: what an account needs before models are deployed to it")
        at_home = CfnCondition(self, "AtHome", expression=Fn.condition_equals(Aws.REGION, home_region))
        DeploymentBoundary(self, "Boundary", hub_account_id=hub_account_id, condition=at_home)
        DeployRole(self, "Deploy", hub_account_id=hub_account_id, regions=regions, condition=at_home)
        baseline = Baseline(self, hub_account_id=hub_account_id)
        add_bucket_emptier(baseline)
        forward_alarms(baseline)
        self._let_apis_write_logs()
        Tags.of(self).add(names.COMPONENT_TAG, names.BASELINE_COMPONENT)

    def _let_apis_write_logs(self) -> None:
        """Set the one role per account and region with which API Gateway writes the logs of every REST API."""
        policy = "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
        role = iam.Role(
            self,
            "ApiLogsRole",
            path=names.BASELINE_ROLE_PATH,
            description="Lets API Gateway write the logs of the APIs in front of endpoints.",
            assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(policy)],
        )
        acknowledge(
            role,
            {
                f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{policy}]": (
                    "API Gateway refuses a role without the rights of this policy (developer guide, set-up-logging)."
                )
            },
        )
        account = apigateway.CfnAccount(self, "ApiLogs", cloud_watch_role_arn=role.role_arn)
        # The setting has no resource of its own that could be deleted; a new baseline overwrites it.
        account.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)


class DeploymentBaselineStack(RollOutStack):
    """Rolls the deployment baseline out to the deployment OU; so a stage can live in the hub's regions only."""

    NAME = "ml-platform-deployment-baseline"
    PURPOSE = "rolls the deployment baseline out to the accounts of the deployment OU"
    STACK_SET = names.DEPLOYMENT_STACK_SET
    GIVES = "What every account of the deployment OU has before a model is deployed to it."

    @property
    def unit_id(self) -> str:
        """The deployment OU."""
        return self.settings.deployment_ou_id

    def make_template(self, id_: str) -> DeploymentBaselineTemplate:
        """Return the deployment baseline."""
        hub = self.settings
        return DeploymentBaselineTemplate(
            self, id_, hub_account_id=hub.account_id, home_region=hub.home_region, regions=hub.regions
        )
