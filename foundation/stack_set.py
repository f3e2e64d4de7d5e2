"""Rolls one template out to every account of an organisational unit, those that join later included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_cloudformation as cfn
from aws_cdk import aws_servicecatalog as sc

if TYPE_CHECKING:
    from aws_cdk import Stack


def roll_out(stack: Stack, template: sc.ProductStack, *, name: str, description: str, unit_id: str) -> None:
    """Add a service-managed StackSet that brings a template to the accounts of a unit, in the region of the stack.

    An account that leaves the unit keeps its instance: what people and models there use needs it.

    Args:
        stack: Stack of the hub in one region.
        template: What every account gets.
        name: Name of the StackSet.
        description: What the accounts have then.
        unit_id: Organisational unit, e.g. ``ou-ab12-workload1``.
    """
    cfn.CfnStackSet(
        stack,
        "StackSet",
        stack_set_name=name,
        description=description,
        permission_model="SERVICE_MANAGED",
        call_as="DELEGATED_ADMIN",
        template_url=sc.CloudFormationTemplate.from_product_stack(template).bind(stack).http_url,
        capabilities=["CAPABILITY_NAMED_IAM"],
        auto_deployment=cfn.CfnStackSet.AutoDeploymentProperty(enabled=True, retain_stacks_on_account_removal=True),
        managed_execution={"Active": True},
        operation_preferences=cfn.CfnStackSet.OperationPreferencesProperty(
            region_concurrency_type="SEQUENTIAL",
            region_order=[stack.region],
            max_concurrent_percentage=25,
            failure_tolerance_percentage=10,
        ),
        stack_instances_group=[
            cfn.CfnStackSet.StackInstancesProperty(
                deployment_targets=cfn.CfnStackSet.DeploymentTargetsProperty(organizational_unit_ids=[unit_id]),
                regions=[stack.region],
            )
        ],
    )
