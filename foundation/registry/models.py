"""What promoted models consist of: artifacts and images, which deployment accounts read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from aws_cdk import Aws, RemovalPolicy
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam

from foundation.buckets import decrypt_through_s3, lasting_bucket, lasting_key
from lambdas.model_promotion.names import PACKAGES_PREFIX
from products.shared import names
from products.shared.findings import acknowledge

if TYPE_CHECKING:
    from aws_cdk import Stack
    from aws_cdk import aws_s3 as s3

Condition: TypeAlias = "dict[str, dict[str, str | list[str]]]"


class ModelStore:
    """Bucket and repository of promoted models; both outlive the stack.

    Args:
        stack: The stack, to which everything is added.
        access_logs: Takes the access logs of the bucket.
        readers: Condition that a caller is a deployment account.

    Attributes:
        key: Encrypts both.
        bucket: Artifacts.
        images: Copied images.
    """

    def __init__(self, stack: Stack, *, access_logs: s3.IBucket, readers: Condition) -> None:
        self.key = lasting_key(stack, "ModelsKey", "Artifacts and images of promoted models")
        self.bucket = self._model_bucket(stack, access_logs, readers)
        self.images = self._image_repository(stack, readers)

    def _model_bucket(self, stack: Stack, access_logs: s3.IBucket, accounts: Condition) -> s3.Bucket:
        bucket = lasting_bucket(
            stack,
            "Models",
            name=names.registry_bucket(stack.account, stack.region),
            key=self.key,
            access_logs=access_logs,
            access_logs_prefix="models/",
        )
        # Only the deploy role, whose own policy opens the group of its session: all other roles of a deployment account
        # belong to a stage, which has copies in a bucket of its own, or to the account's owner.
        deploy_role = f"arn:{Aws.PARTITION}:iam::*:role/{names.DEPLOY_ROLE}"
        readers: Condition = {
            **accounts,
            "ArnLike": {"aws:PrincipalArn": deploy_role},
        }
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="DeploymentAccountsReadModels",
                actions=["s3:GetObject", "s3:GetObjectVersion"],
                principals=[iam.AnyPrincipal()],
                resources=[bucket.arn_for_objects(f"{PACKAGES_PREFIX}*")],
                conditions=readers,
            )
        )
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                # Baselines and samples are folders; and a missing file shall be known as missing, not as forbidden.
                sid="DeploymentAccountsListModels",
                actions=["s3:ListBucket"],
                principals=[iam.AnyPrincipal()],
                resources=[bucket.bucket_arn],
                conditions={**readers, "StringLike": {"s3:prefix": f"{PACKAGES_PREFIX}*"}},
            )
        )
        decrypt_through_s3(self.key, sid="DeploymentAccountsDecryptThroughS3", condition=readers)
        return bucket

    def _image_repository(self, stack: Stack, accounts: Condition) -> ecr.Repository:
        repository = ecr.Repository(
            stack,
            "Images",
            repository_name=names.MODEL_REPOSITORY,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            encryption=ecr.RepositoryEncryption.KMS,
            encryption_key=self.key,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        repository.add_to_resource_policy(
            iam.PolicyStatement(
                sid="DeploymentAccountsPull",
                actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                principals=[iam.AnyPrincipal()],
                conditions=accounts,
            )
        )
        acknowledge(
            repository,
            {"AwsSolutions-ECR1": "The star stands for principals of the deployment OU: a condition names it."},
        )
        return repository
