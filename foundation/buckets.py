"""What the hub's buckets have in common: they outlive their stack, and only accounts of the organisation read them.

They do not outlive a first deployment that fails: their names would be taken when it is repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Duration, RemovalPolicy, Stack, aws_iam, aws_kms, aws_s3

from products.shared.findings import acknowledge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constructs import Construct

    from foundation.settings import HubSettings

_ACCESS_LOG_DAYS: Final = 365


def access_log_bucket(scope: Construct, id_: str) -> aws_s3.Bucket:
    """Return a bucket that takes the access logs of others and forgets them after a year."""
    bucket = aws_s3.Bucket(
        scope,
        id_,
        encryption=aws_s3.BucketEncryption.S3_MANAGED,  # S3's log delivery does not take customer keys
        enforce_ssl=True,
        block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
        lifecycle_rules=[aws_s3.LifecycleRule(expiration=Duration.days(_ACCESS_LOG_DAYS))],
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    )
    acknowledge(
        bucket,
        {
            "CKV_AWS_18": "It takes the access logs of other buckets; logs of its own would never end.",
            "CKV_AWS_21": "S3 writes each log once, under a name of its own.",
        },
    )
    return bucket


def lasting_bucket(
    scope: Construct,
    id_: str,
    *,
    name: str,
    key: aws_kms.IKey,
    access_logs: aws_s3.IBucket,
    access_logs_prefix: str | None = None,
    object_lock: aws_s3.ObjectLockRetention | None = None,
) -> aws_s3.Bucket:
    """Return a versioned bucket under a customer key, reached with TLS only, that stays when its stack is deleted.

    Args:
        scope: Where the bucket belongs.
        id_: Construct id.
        name: Name of the bucket, which other accounts know.
        key: Encrypts every object.
        access_logs: Takes the access logs.
        access_logs_prefix: Keys of the logs begin with it. Default: none.
        object_lock: Default retention of every object. Default: objects are not locked.
    """
    return aws_s3.Bucket(
        scope,
        id_,
        bucket_name=name,
        encryption=aws_s3.BucketEncryption.KMS,
        encryption_key=key,
        bucket_key_enabled=True,
        versioned=True,
        enforce_ssl=True,
        block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        server_access_logs_bucket=access_logs,
        server_access_logs_prefix=access_logs_prefix,
        # An upload or copy that ended half way is resumed by a later try; after a week there is none.
        lifecycle_rules=[aws_s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(7))],
        object_lock_default_retention=object_lock,
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    )


def lasting_key(scope: Construct, id_: str, description: str) -> aws_kms.Key:
    """Return a key that stays with what it encrypts when its stack is deleted."""
    return aws_kms.Key(
        scope,
        id_,
        description=description,
        enable_key_rotation=True,
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    )


def members(settings: HubSettings, paths: str | list[str]) -> dict[str, dict[str, str | list[str]]]:
    """Return the condition that a caller belongs to the organisation, below one of the paths (with their wildcards)."""
    return {
        "StringEquals": {"aws:PrincipalOrgID": settings.organization_id},
        "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": paths},
    }


def decrypt_through_s3(key: aws_kms.Key, *, sid: str, condition: Mapping[str, Mapping[str, str | list[str]]]) -> None:
    """Let callers who meet the condition (`members`) decrypt with the key, by way of S3 in its region and no other."""
    stack = Stack.of(key)
    acknowledge(key, {"CKV_AWS_33": "Whoever asks must belong to the organisation and come through S3: conditions."})
    through = {"kms:ViaService": f"s3.{stack.region}.{stack.url_suffix}"}
    key.add_to_resource_policy(
        aws_iam.PolicyStatement(
            sid=sid,
            actions=["kms:Decrypt"],
            principals=[aws_iam.AnyPrincipal()],
            resources=["*"],  # in a key policy: this key
            conditions={**condition, "StringEquals": {**condition["StringEquals"], **through}},
        )
    )
