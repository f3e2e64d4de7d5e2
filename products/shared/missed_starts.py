"""The queue that keeps starts of a project's pipeline which EventBridge could not deliver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs

from products.shared import names, template

if TYPE_CHECKING:
    from constructs import Construct


def missed_starts(scope: Construct, id_: str) -> sqs.Queue:
    """Add the dead-letter queue of a project's rules, which keeps a start for two weeks.

    Only rules of the same project may write to it.
    """
    queue = sqs.Queue(
        scope,
        id_,
        queue_name=template.sub(names.project_resource("missed-starts")),
        # SQS' own key: EventBridge writes here, and a customer key would need a grant to the service for nothing.
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        retention_period=cdk.Duration.days(14),
        enforce_ssl=True,
    )
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            sid="KeepMissedStarts",
            principals=[iam.ServicePrincipal("events.amazonaws.com")],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={
                "ArnLike": {
                    "aws:SourceArn": template.sub(template.arn("events", f"rule/{names.project_resource('*')}"))
                }
            },
        )
    )
    template.acknowledge(
        queue,
        {
            "AwsSolutions-SQS3": "It is a dead-letter queue itself.",
            "CKV_AWS_27": "It is encrypted by SQS (SqsManagedSseEnabled), which the rule overlooks.",
        },
    )
    return queue
