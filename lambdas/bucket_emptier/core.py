"""Which buckets may be emptied, and when to hand over to another run."""

from __future__ import annotations

import re
from typing import Final

from lambdas.shared.custom_resource import CustomResourceError
from lambdas.shared.product_names import PRODUCT_PREFIX

MAX_ROUNDS: Final = 4
"""Runs of 15 minutes each: CloudFormation waits for a custom resource for one hour at most (ServiceTimeout)."""

HAND_OVER_S: Final = 60
"""Seconds left of a run at which the next one is started: enough for the batch in hand and the hand-over itself."""


def require_platform_bucket(name: str, *, account_id: str, region: str) -> None:
    """Check that a bucket belongs to a product in this account and region.

    Raises:
        CustomResourceError: It does not, by its name.
    """
    if not re.fullmatch(rf"{PRODUCT_PREFIX}[a-z0-9-]+-{account_id}-{region}", name):
        raise CustomResourceError(
            f"Bucket {name!r} is not a bucket of a product ({PRODUCT_PREFIX}…-{account_id}-{region}), and only those "
            f"are emptied. Name the bucket as docs/architecture.md says, or empty it yourself."
        )


def require_another_round(name: str, rounds: int) -> None:
    """Check that one more run makes sense.

    Raises:
        CustomResourceError: CloudFormation would no longer wait for its answer.
    """
    if rounds >= MAX_ROUNDS:
        raise CustomResourceError(
            f"Bucket {name} still holds objects after {rounds} runs of 15 minutes. What was removed stays removed: "
            f"delete the stack (terminate the product) again to go on, or add a lifecycle rule that expires all "
            f"versions, wait a day, and delete it then."
        )
