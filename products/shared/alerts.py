"""Where the hub tells people that something needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import RemovalPolicy, aws_iam, aws_kms, aws_sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence


class AlertTopic(Construct):
    """Encrypted SNS topic that mails what EventBridge rules and CloudWatch alarms of this account report.

    Args:
        emails: Addresses that are subscribed; each has to confirm once.
        name: Name of the topic. Default: CloudFormation's choice.

    Attributes:
        topic: The topic.
    """

    def __init__(self, scope: Construct, id_: str, *, emails: Sequence[str], name: str | None = None) -> None:
        super().__init__(scope, id_)
        key = aws_kms.Key(
            self,
            "Key",
            description="Messages about failures in the ML platform's hub",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.DESTROY,  # it protects messages in transit only
        )
        self.topic = aws_sns.Topic(self, "Topic", topic_name=name, master_key=key, enforce_ssl=True)
        # Both services encrypt as themselves, so the key must know them:
        # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
        for service in ("events", "cloudwatch"):
            principal = aws_iam.ServicePrincipal(f"{service}.amazonaws.com")
            key.grant(principal, "kms:Decrypt", "kms:GenerateDataKey*")
            self.topic.grant_publish(principal)
        for email in emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))
