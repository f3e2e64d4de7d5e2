"""Encrypted queues, those for what could not be delivered, and the alarm that rings when messages wait in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from products.shared.findings import acknowledge

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms
    from constructs import Construct

_KEPT: Final = Duration.days(14)  # the longest that SQS keeps a message


def encrypted_queue(
    scope: Construct,
    id_: str,
    *,
    key: kms.IKey,
    name: str | None = None,
    visibility: Duration | None = None,
    dead_letters: sqs.DeadLetterQueue | None = None,
) -> sqs.Queue:
    """Return a queue under a key, reached with TLS only, that keeps messages for two weeks.

    Args:
        scope: Where to add it.
        id_: Construct id.
        key: Encrypts the messages.
        name: Its name. Default: CloudFormation makes one up.
        visibility: How long a message that is worked on is hidden. Default: 30 seconds, as SQS has it.
        dead_letters: Where messages go after how many tries. Default: nowhere.
    """
    return sqs.Queue(
        scope,
        id_,
        queue_name=name,
        encryption=sqs.QueueEncryption.KMS,
        encryption_master_key=key,
        enforce_ssl=True,
        visibility_timeout=visibility,
        retention_period=_KEPT,
        dead_letter_queue=dead_letters,
    )


def dead_letter_queue(scope: Construct, id_: str, *, key: kms.IKey, of: str, name: str | None = None) -> sqs.Queue:
    """Return an `encrypted_queue` for what something could not deliver.

    Args:
        scope: Where to add it.
        id_: Construct id.
        key: Encrypts the messages.
        of: What it is the dead-letter queue of, e.g. ``the rule``.
        name: Its name. Default: CloudFormation makes one up.
    """
    queue = encrypted_queue(scope, id_, key=key, name=name)
    acknowledge(queue, {"AwsSolutions-SQS3": f"This is the dead-letter queue of {of}."})
    return queue


def ring_when(
    scope: Construct,
    id_: str,
    metric: cloudwatch.IMetric,
    *,
    description: str,
    name: str | None = None,
    reaches: float = 1,
) -> cloudwatch.Alarm:
    """Return an alarm that rings as soon as a metric of a queue reaches a value, and is quiet without figures.

    Args:
        scope: Where to add it.
        id_: Construct id.
        metric: `waiting` or `oldest` of a queue.
        description: What it means and what to do.
        name: Its name. Default: CloudFormation makes one up.
        reaches: The value. Default: 1.
    """
    return cloudwatch.Alarm(
        scope,
        id_,
        alarm_name=name,
        alarm_description=description,
        metric=metric,
        threshold=reaches,
        evaluation_periods=1,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )


def waiting(queue: sqs.IQueue) -> cloudwatch.Metric:
    """Return the number of messages in a queue, as `ring_when` takes it."""
    return queue.metric_approximate_number_of_messages_visible(period=Duration.minutes(1), statistic="Maximum")


def oldest(queue: sqs.IQueue) -> cloudwatch.Metric:
    """Return the age of the oldest message in a queue, in seconds, as `ring_when` takes it."""
    return queue.metric_approximate_age_of_oldest_message(period=Duration.minutes(1), statistic="Maximum")
