"""Makes the hub's model registry agree with decisions on models in the development accounts.

Invoked with messages of a queue; each holds an EventBridge event. A message that failed is delivered again, and after
the queue's number of receives goes to the dead-letter queue; the others of its batch are done.
"""

from __future__ import annotations

import json
import logging
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from lambdas.model_promotion import decisions, deployments, errors, names, promotion
from lambdas.model_promotion.artifacts import Artifacts
from lambdas.model_promotion.audit import Audit
from lambdas.model_promotion.cards import Cards
from lambdas.model_promotion.environment import PromotionEnvironment
from lambdas.model_promotion.images import Images
from lambdas.model_promotion.ledger import Ledger
from lambdas.model_promotion.registry import Registry
from lambdas.model_promotion.requeue import Queue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambdas.shared.custom_resource import LambdaContext

logger = logging.getLogger(__name__)
logging.getLogger().setLevel(logging.INFO)

_BUSY_S: Final = 60


class Deadline:
    """The end of the present invocation, known to services that live longer than it."""

    context: LambdaContext

    def remaining_s(self) -> float:
        """Return the seconds left."""
        return self.context.get_remaining_time_in_millis() / 1000


_deadline: Final = Deadline()


@cache
def services() -> promotion.Services:
    """Return what the function uses, from its environment; made once per execution environment."""
    environment = PromotionEnvironment.read()
    hub, bucket, key_arn = environment.hub_account_id, environment.artifact_bucket, environment.artifact_key_arn
    readers = [account for account in environment.reader_account_ids.split(",") if account]
    return promotion.Services(
        hub_account=hub,
        bucket=bucket,
        registry=Registry(readers),
        artifacts=Artifacts(bucket, hub, key_arn, _deadline.remaining_s),
        images=Images(hub, environment.registry_repository, _deadline.remaining_s),
        cards=Cards(),
        audit=Audit(environment.audit_bucket, hub),
        ledger=Ledger(bucket, hub, key_arn),
        pipelines=deployments.Pipelines(),
        remaining_s=_deadline.remaining_s,
    )


@cache
def queue() -> Queue:
    """Return the queue that feeds the function; made once per execution environment."""
    return Queue(PromotionEnvironment.read().queue_url)


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, list[dict[str, str]]]:
    """Handle a batch of messages and return those that failed."""
    _deadline.context = context
    return handle_batch(event["Records"], services(), queue())


def handle_batch(
    messages: list[Mapping[str, Any]], use: promotion.Services, source: Queue
) -> dict[str, list[dict[str, str]]]:
    """Handle messages one after the other; one that fails does not concern the others."""
    failed = [message["messageId"] for message in messages if not _is_done(message, use, source)]
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}


def _is_done(message: Mapping[str, Any], use: promotion.Services, source: Queue) -> bool:
    """Handle a message; False means that it has to be delivered again."""
    try:
        try:
            _handle(message, use)
        except errors.OutOfTimeError as err:
            logger.info("out of time, goes on in the next invocation: %s", err)
            source.again(message, delay_s=0)
        except errors.BusyError as err:
            logger.info("busy: %s", err)
            source.again(message, delay_s=_BUSY_S)
    except Exception:
        logger.exception("message %s failed", message["messageId"])
        _put_off(message, source)
        return False
    return True


def _handle(message: Mapping[str, Any], use: promotion.Services) -> None:
    event = json.loads(message["body"])
    if event.get("source") == names.APPROVAL_SOURCE:
        approval = deployments.Approval.parse(event)
        logger.info("%s: %s", approval.text, promotion.note_approval(approval, use))
        return
    notice = decisions.Notice.parse(event)
    if notice is None:
        logger.info("message %s is about a package without a group: not promoted", message["messageId"])
        return
    logger.info("%s: %s", notice.package.text, promotion.handle(notice, use))


def _put_off(message: Mapping[str, Any], source: Queue) -> None:
    try:
        source.later(message)
    except Exception:
        logger.exception("message %s comes again when its visibility time-out ends", message["messageId"])
