"""Which accounts lack the baseline: a few may fail without stopping the pipeline, and here they are named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK_SETS: Final = (names.WORKLOAD_STACK_SET, names.DEPLOYMENT_STACK_SET)

PERMISSION: Final = "cloudformation:ListStackInstances"
"""What the check calls, on the StackSets."""

_FINE: Final = frozenset({"SUCCEEDED", "PENDING", "RUNNING", "SKIPPED_SUSPENDED_ACCOUNT"})
"""Detailed statuses of an instance that nobody has to do anything about (StackInstanceComprehensiveStatus, API)."""


class CloudFormationClient(Protocol):
    """What the check asks of a boto3 client for CloudFormation."""

    meta: Any
    """What boto3 says about the client, e.g. its region."""

    def get_paginator(self, operation: str, /) -> Any:  # noqa: ANN401 (boto3 makes the classes of paginators)
        """Return the pages of an operation."""


def missing_baselines(client: CloudFormationClient) -> Iterator[str]:
    """Yield a sentence for every account whose baseline could not be brought up to date in the region of the client.

    Args:
        client: Client for CloudFormation in the hub account and the region to check; it only lists.
    """
    region = client.meta.region_name
    pages = client.get_paginator("list_stack_instances")
    for name in STACK_SETS:
        for page in pages.paginate(StackSetName=name, CallAs="DELEGATED_ADMIN", StackInstanceRegion=region):
            for instance in page["Summaries"]:
                status = instance.get("StackInstanceStatus", {}).get("DetailedStatus", "SUCCEEDED")
                if status not in _FINE:
                    yield (
                        f"Account {instance['Account']}, {region}: {name} is {status}, so products may not work there "
                        f"as released: {instance.get('StatusReason', 'no reason was given')}. Correct it there, then "
                        f"release the change again."
                    )
