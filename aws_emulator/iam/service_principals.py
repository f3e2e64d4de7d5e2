"""Which AWS services put ``aws:SourceAccount`` and ``aws:SourceArn`` into requests of their own, with sources.

A condition on a key that is not in the request refuses the service for good, and AWS has no list of who sends what. So
each row names a document that shows the condition for this service, or a case in which it was seen to fail. True: the
key is sent. False: it is not. None: no source says; a policy can use ``…IfExists`` there, right in either case.

The emulator and ``tests/proofs/test_service_principals.py`` read the same rows. Nothing is imported from MiniStack, so
both environments can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ACCOUNT: Final = "aws:SourceAccount"
ARN: Final = "aws:SourceArn"


@dataclass(frozen=True, kw_only=True)
class Sends:
    """Which keys a service sends.

    Attributes:
        account: Whether it sends ``aws:SourceAccount``; None where that is not known.
        arn: Whether it sends ``aws:SourceArn``; None where that is not known.
        source: Where that is documented or was seen.
    """

    account: bool | None
    arn: bool | None
    source: str

    def says(self, key: str) -> bool | None:
        """Return whether a key is sent, None where that is not known; keys are not case-sensitive."""
        return self.account if key.lower() == ACCOUNT.lower() else self.arn

    def requests(self, account: str, arn: str | None) -> Iterator[Mapping[str, str]]:
        """Yield the keys of every request that the service can make for a resource, in lower case.

        Args:
            account: 12-digit id of the account for whose resource the service works.
            arn: ARN of that resource. None: the caller does not know it, so it is not sent.
        """
        given = {ACCOUNT: account} | ({ARN: arn} if arn else {})
        yield {key.lower(): value for key, value in given.items() if self.says(key)}
        if any(self.says(key) is None for key in given):
            yield {key.lower(): value for key, value in given.items() if self.says(key) is not False}


ASSUMING: Final[Mapping[str, Sends]] = {
    "apigateway.amazonaws.com": Sends(
        account=False,
        arn=None,
        # Every request was answered 500 until the condition on the role of an integration was dropped.
        source="https://github.com/aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws/pull/479",
    ),
    "cloudformation.amazonaws.com": Sends(
        account=True, arn=None, source="https://github.com/aws/aws-cdk/pull/28342 (execution role of the bootstrap)"
    ),
    "codebuild.amazonaws.com": Sends(
        account=True,
        arn=True,
        source="https://docs.aws.amazon.com/codebuild/latest/userguide/setting-up-service-role.html",
    ),
    "codepipeline.amazonaws.com": Sends(
        account=True,
        arn=None,
        source="https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html (trust policy)",
    ),
    "events.amazonaws.com": Sends(
        account=True,
        arn=True,
        source="https://docs.aws.amazon.com/eventbridge/latest/userguide/policy-keys-eventbridge.html (rules)",
    ),
    "lakeformation.amazonaws.com": Sends(
        account=None,
        arn=None,
        source="https://docs.aws.amazon.com/lake-formation/latest/dg/registration-role.html (no condition)",
    ),
    "lambda.amazonaws.com": Sends(
        account=None,
        arn=None,
        source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html (no condition)",
    ),
    "s3.amazonaws.com": Sends(
        account=None,
        arn=None,
        source="https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html "
        "(live replication, no condition)",
    ),
    "sagemaker.amazonaws.com": Sends(
        account=True,
        arn=True,
        source="https://docs.aws.amazon.com/sagemaker/latest/dg/security-confused-deputy-prevention.html",
    ),
    "scheduler.amazonaws.com": Sends(
        account=True,
        arn=True,
        source="https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html",
    ),
    "servicecatalog.amazonaws.com": Sends(
        account=None,
        arn=None,
        source="https://docs.aws.amazon.com/servicecatalog/latest/adminguide/constraints-launch.html (no condition)",
    ),
}
"""Services that assume roles of ours, and what they send with ``sts:AssumeRole``."""

_BUS_POLICIES: Final = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html"
_TOPIC_KEYS: Final = "https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html"

CALLING: Final[Mapping[tuple[str, str], Sends]] = {
    ("cloudwatch.amazonaws.com", "sns"): Sends(
        account=True,
        arn=True,
        source="https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html",
    ),
    ("cloudwatch.amazonaws.com", "kms of sns"): Sends(account=True, arn=True, source=f"{_TOPIC_KEYS} (step 3)"),
    ("events.amazonaws.com", "sqs"): Sends(
        # The account: CDK's SqsQueue target demands it of encrypted queues, by default in new apps since 2.51.
        account=True,
        arn=True,
        source=f"{_BUS_POLICIES}#eb-sqs-permissions",
    ),
    ("events.amazonaws.com", "lambda"): Sends(account=None, arn=True, source=f"{_BUS_POLICIES}#eb-lambda-permissions"),
    ("events.amazonaws.com", "sns"): Sends(
        account=False, arn=False, source=f"{_BUS_POLICIES}#eb-sns-permissions (no conditions)"
    ),
    ("events.amazonaws.com", "kms of sns"): Sends(
        account=False, arn=False, source=f"{_TOPIC_KEYS} (not supported for EventBridge-to-encrypted topics)"
    ),
    ("events.amazonaws.com", "kms of sqs"): Sends(
        account=True,
        arn=None,
        source="https://github.com/aws/aws-cdk/blob/main/packages/aws-cdk-lib/cx-api/FEATURE_FLAGS.md "
        "(@aws-cdk/aws-events:eventsTargetQueueSameAccount)",
    ),
    ("logging.s3.amazonaws.com", "s3"): Sends(
        account=True,
        arn=True,
        source="https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html",
    ),
    ("logs", "kms"): Sends(
        account=None,  # policies name the log group by the encryption context
        arn=None,
        source="https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html",
    ),
}
"""Services that call resources of ours, and what they send, by service and by what they call.

``kms of sns`` is the key of a topic: the service that publishes asks KMS itself. ``logs`` stands for the principals of
all regions.
"""
