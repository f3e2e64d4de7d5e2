"""The hub's artifact bucket: released templates and archives, as the accounts of the workloads OU read them.

Accounts of the deployment OU read archives only: the code of their baseline's functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import RemovalPolicy, aws_iam, aws_kms

from foundation.buckets import access_log_bucket, decrypt_through_s3, lasting_bucket, members
from foundation.hub_stack import HubStack
from lambdas.shared.artifact_bucket import ASSETS_PREFIX, RELEASES_PREFIX
from products.shared import names

if TYPE_CHECKING:
    from constructs import Construct

    from foundation.settings import HubSettings

_ASSETS: Final = f"{ASSETS_PREFIX}*"
_READABLE: Final = (f"{RELEASES_PREFIX}*", _ASSETS)


class ArtifactsStack(HubStack):
    """Versioned, KMS-encrypted bucket that the accounts below the workloads and deployment OUs may read, and no others.

    Both bucket and key outlive the stack: a product launched from a release needs its files for as long as it lives.

    Args:
        settings: Settings of the hub.
        region: Region of the hub.

    Attributes:
        bucket_name: Name of the bucket, known without deploying (`names.artifact_bucket`).
        bucket: The bucket.
        key: Its key, with the alias `names.ARTIFACT_KEY_ALIAS`.
    """

    def __init__(self, scope: Construct, id_: str, *, settings: HubSettings, region: str) -> None:
        super().__init__(
            scope,
            id_,
            settings=settings,
            region=region,
            name="ml-platform-artifacts",
            description="released templates and archives",
        )
        self.bucket_name = names.artifact_bucket(self.account, self.region)
        organization = members(settings, f"{settings.workloads_ou_path}*")
        self.key = aws_kms.Key(
            self,
            "Key",
            alias=names.ARTIFACT_KEY_ALIAS,
            description="Released templates and archives of the ML platform",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        deployments = members(settings, list(settings.deployment_ou_paths))
        decrypt_through_s3(self.key, sid="WorkloadAccountsDecryptThroughS3", condition=organization)
        decrypt_through_s3(self.key, sid="DeploymentAccountsDecryptThroughS3", condition=deployments)
        self.access_logs = access_log_bucket(self, "AccessLogs")
        self.bucket = lasting_bucket(self, "Bucket", name=self.bucket_name, key=self.key, access_logs=self.access_logs)
        self.bucket.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="WorkloadAccountsReadReleases",
                actions=["s3:GetObject"],
                principals=[aws_iam.AnyPrincipal()],
                resources=[self.bucket.arn_for_objects(prefix) for prefix in _READABLE],
                conditions=organization,
            )
        )
        self.bucket.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="DeploymentAccountsReadFunctions",
                actions=["s3:GetObject"],
                principals=[aws_iam.AnyPrincipal()],
                resources=[self.bucket.arn_for_objects(_ASSETS)],
                conditions=deployments,
            )
        )
