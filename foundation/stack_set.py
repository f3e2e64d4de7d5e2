"""Rolls one template out to every account of an organisational unit, those that join later included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import aws_cloudformation as cfn
from aws_cdk import aws_servicecatalog as sc

if TYPE_CHECKING:
    from aws_cdk import Stack

_TOLERATED: Final = 3
"""Accounts that may fail in one operation. A percentage would be none of a few accounts: it is rounded down."""


def roll_out(stack: Stack, template: sc.ProductStack, *, name: str, description: str, unit_id: str) -> None:
    """Add a service-managed StackSet that brings a template to the accounts of a unit, in the region of the stack.

    An account that leaves the unit keeps its instance: what people and models there use needs it. A few accounts may
    fail without stopping the others or the pipeline, which names them when it checks what is published
    (`pipeline.baselines`).

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
            failure_tolerance_count=_TOLERATED,
            concurrency_mode="SOFT_FAILURE_TOLERANCE",  # otherwise at most one more account at once than may fail
        ),
        stack_instances_group=[
            cfn.CfnStackSet.StackInstancesProperty(
                deployment_targets=cfn.CfnStackSet.DeploymentTargetsProperty(organizational_unit_ids=[unit_id]),
                regions=[stack.region],
            )
        ],
    )
