"""Rolls one template out to every account of an organisational unit, those that join later included."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final

from aws_cdk import aws_cloudformation as cfn
from aws_cdk import aws_servicecatalog as sc

from foundation.hub_stack import HubStack

if TYPE_CHECKING:
    from constructs import Construct

    from foundation.settings import HubSettings

_TOLERATED: Final = 3
"""Accounts that may fail in one operation. A percentage would be none of a few accounts: it is rounded down."""


class RollOutStack(HubStack):
    """A service-managed StackSet that brings a template to the accounts of a unit, in one region of the hub.

    There is one in each region, because code and templates come from that region's artifact bucket. An account that
    leaves the unit keeps its instance: what people and models there use needs it. A few accounts may fail without
    stopping the others or the pipeline, which names them when it checks what is published (`pipeline.baselines`).

    A subclass says what is rolled out and where.

    Args:
        settings: Settings of the hub.
        region: Region of the hub.

    Attributes:
        template: What every account gets.
    """

    NAME: ClassVar[str]
    """Name of the stack in the hub."""
    PURPOSE: ClassVar[str]
    """What the stack is there for, in a few words."""
    STACK_SET: ClassVar[str]
    """Name of the StackSet."""
    GIVES: ClassVar[str]
    """What the accounts have then."""

    def __init__(self, scope: Construct, id_: str, *, settings: HubSettings, region: str) -> None:
        super().__init__(scope, id_, settings=settings, region=region, name=self.NAME, description=self.PURPOSE)
        self.template = self.make_template("Template")
        cfn.CfnStackSet(
            self,
            "StackSet",
            stack_set_name=self.STACK_SET,
            description=self.GIVES,
            permission_model="SERVICE_MANAGED",
            call_as="DELEGATED_ADMIN",
            template_url=sc.CloudFormationTemplate.from_product_stack(self.template).bind(self).http_url,
            capabilities=["CAPABILITY_NAMED_IAM"],
            auto_deployment=cfn.CfnStackSet.AutoDeploymentProperty(enabled=True, retain_stacks_on_account_removal=True),
            managed_execution={"Active": True},
            operation_preferences=cfn.CfnStackSet.OperationPreferencesProperty(
                region_concurrency_type="SEQUENTIAL",
                region_order=[region],
                max_concurrent_percentage=25,
                failure_tolerance_count=_TOLERATED,
                concurrency_mode="SOFT_FAILURE_TOLERANCE",  # otherwise at most one more at once than may fail
            ),
            stack_instances_group=[
                cfn.CfnStackSet.StackInstancesProperty(
                    deployment_targets=cfn.CfnStackSet.DeploymentTargetsProperty(
                        organizational_unit_ids=[self.unit_id]
                    ),
                    regions=[region],
                )
            ],
        )

    @property
    @abstractmethod
    def unit_id(self) -> str:
        """Organisational unit whose accounts get the template, e.g. ``ou-ab12-workload1``."""

    @abstractmethod
    def make_template(self, id_: str) -> sc.ProductStack:
        """Return what every account gets."""
