"""Log groups of builds, encrypted with the key of their project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from products.shared import template

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms
    from constructs import Construct

KEEP_DAYS = 90


def encrypted_log_group(scope: Construct, id_: str, *, name: str, key: kms.Key, sid: str) -> logs.CfnLogGroup:
    """Add a log group that is kept for `KEEP_DAYS` days and goes with its project.

    Args:
        scope: Where to add it.
        id_: Id of the construct.
        name: Name of the log group, as text for ``Fn::Sub``.
        key: Key of the project; its policy lets CloudWatch Logs use it for this log group and no other.
        sid: Id of that statement, unique in the policy.
    """
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid=sid,
            principals=[iam.ServicePrincipal(f"logs.{cdk.Aws.REGION}.amazonaws.com")],
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
            resources=["*"],  # in a key policy: this key
            conditions={
                "ArnEquals": {
                    "kms:EncryptionContext:aws:logs:arn": template.sub(template.arn("logs", f"log-group:{name}"))
                }
            },
        )
    )
    log_group = logs.CfnLogGroup(
        scope, id_, log_group_name=template.sub(name), retention_in_days=KEEP_DAYS, kms_key_id=key.key_arn
    )
    log_group.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
    return log_group
