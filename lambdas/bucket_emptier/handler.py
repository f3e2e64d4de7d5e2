"""Custom::BucketContents: empties a product's bucket when the product is deleted, so that the bucket can be."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from lambdas.bucket_emptier import core, successor
from lambdas.bucket_emptier.bucket import Bucket
from lambdas.bucket_emptier.environment import EmptierEnvironment
from lambdas.shared.custom_resource import LambdaContext, Request, Success, respond

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

_ROUNDS: Final = "RoundsBefore"
"""Key added to CloudFormation's event when a run hands over: how many runs there were before."""


def lambda_handler(event: Mapping[str, object], context: LambdaContext) -> None:
    """Answer a request of CloudFormation, or hand it over when the bucket holds more than one run can remove."""
    respond(event, context, lambda request: carry_out(request, event, context))


def carry_out(request: Request, event: Mapping[str, object], context: LambdaContext) -> Success | None:
    """Carry out one request; None means that another run has taken over.

    Raises:
        CustomResourceError: The bucket is not a product's, or cannot be emptied.
    """
    name = request.text("BucketName")
    account_id, region = EmptierEnvironment.read().account_id, os.environ["AWS_REGION"]
    core.require_platform_bucket(name, account_id=account_id, region=region)
    if request.kind != "Delete":
        return Success(physical_id=name)
    bucket = Bucket(name, account_id)
    while bucket.remove_some():
        if context.get_remaining_time_in_millis() < core.HAND_OVER_S * 1000:
            rounds = int(str(event.get(_ROUNDS, 0))) + 1
            core.require_another_round(name, rounds)
            successor.start(context.invoked_function_arn, {**event, _ROUNDS: rounds})
            logger.info("bucket %s holds more; run %d takes over", name, rounds + 1)
            return None
    return Success(physical_id=name)
