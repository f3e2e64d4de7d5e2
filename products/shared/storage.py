"""Key and bucket of a project: everything that its jobs write, readable by the hub, gone when the project goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from products.shared import custom_resources, names, template

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOURCE_DAYS = 30
_REPLACED_DAYS = 90


def private_bucket(
    scope: Construct,
    id_: str,
    *,
    name: str,
    key: kms.IKey,
    removal_policy: cdk.RemovalPolicy,
    access_logs: str,
    lifecycle_rules: Sequence[s3.LifecycleRule] = (),
) -> s3.Bucket:
    """Return a versioned bucket under a customer key that takes TLS only and is never public.

    Replaced versions go after `_REPLACED_DAYS` days, uploads that nobody finished after a week.

    Args:
        scope: Where it belongs.
        id_: Construct id.
        name: Name of the bucket; may hold intrinsic functions.
        key: Encrypts every object.
        removal_policy: What becomes of it when the stack is deleted.
        access_logs: Why it has no server access logs, to go on after "server access logs".
        lifecycle_rules: More rules. Default: none.
    """
    bucket = s3.Bucket(
        scope,
        id_,
        bucket_name=name,
        encryption=s3.BucketEncryption.KMS,
        encryption_key=key,
        bucket_key_enabled=True,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        versioned=True,
        removal_policy=removal_policy,
        lifecycle_rules=[
            s3.LifecycleRule(
                id="ReplacedVersions",
                noncurrent_version_expiration=cdk.Duration.days(_REPLACED_DAYS),
                abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
            ),
            *lifecycle_rules,
        ],
    )
    reason = (
        "Reads of objects are recorded where the organisation's trail has data events (docs/setup.md); "
        f"server access logs {access_logs}."
    )
    template.acknowledge(bucket, dict.fromkeys(("AwsSolutions-S1", "CKV_AWS_18"), reason))
    return bucket


class ProjectStorage(Construct):
    """KMS key and artifact bucket of one project.

    The bucket takes TLS only and is emptied on deletion.

    Args:
        hub_reads: Let roles of the hub below `names.HUB_ROLE_PATH` read it, because promotion copies approved models
            from here. Default: True. Nobody else outside the account may, and with False nobody at all.

    Attributes:
        key: Key of the bucket, the volumes of jobs and the build log.
        bucket: Artifact bucket.
        contents: Custom resource that empties the bucket. What writes to the bucket depends on it, so that on
            termination the writers are gone before it is emptied.
    """

    def __init__(self, scope: Construct, id_: str, *, hub_reads: bool = True) -> None:
        super().__init__(scope, id_)
        self.key = kms.Key(
            self,
            "Key",
            description=template.sub("Artifacts of SageMaker project ${SageMakerProjectName} (${SageMakerProjectId})"),
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.bucket = private_bucket(
            self,
            "Bucket",
            name=template.sub(names.PROJECT_BUCKET),
            key=self.key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            # CodePipeline keeps its archives below the first 20 characters of its name, which this prefix is.
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="SourceArchives",
                    prefix=template.sub(names.PROJECT_RESOURCE_PREFIX + "${SageMakerProjectId}"),
                    expiration=cdk.Duration.days(_SOURCE_DAYS),
                )
            ],
            access_logs="would need one more bucket per project that outlives it",
        )
        if hub_reads:
            self._let_the_hub_read()
        self.contents = custom_resources.bucket_contents(self, self.bucket.bucket_name)

    def _let_the_hub_read(self) -> None:
        # Everything that copying a model takes, pinned versions and attributes of large objects included: a released
        # template cannot be widened for a promotion that is written later.
        hub = iam.ArnPrincipal(template.sub(template.hub_principal()))
        roles = {"ArnLike": {"aws:PrincipalArn": template.sub(template.hub_roles())}}
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="HubReads",
                principals=[hub],
                actions=["kms:Decrypt"],
                resources=["*"],  # in a key policy: this key
                # Any Region, because a hub that copies from another one may be seen from either.
                conditions={**roles, "StringLike": {"kms:ViaService": f"s3.*.{cdk.Aws.URL_SUFFIX}"}},
            )
        )
        self.bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="HubReadsObjects",
                principals=[hub],
                actions=[
                    "s3:GetObject",
                    "s3:GetObjectAttributes",
                    "s3:GetObjectTagging",
                    "s3:GetObjectVersion",
                    "s3:GetObjectVersionAttributes",
                    "s3:GetObjectVersionTagging",
                ],
                resources=[self.bucket.arn_for_objects("*")],
                conditions=roles,
            )
        )
        self.bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="HubListsObjects",
                principals=[hub],
                actions=["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions"],
                resources=[self.bucket.bucket_arn],
                conditions=roles,
            )
        )
