"""SageMaker's model registry: packages of other accounts, groups and packages of the hub."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import ClientError

from lambdas.model_promotion import contents, packages
from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SKEW_S: Final = 300
"""Seconds by which SageMaker's clock may be behind this one's."""


class Registry:
    """The hub's registry, and what other accounts let the hub read of theirs.

    Args:
        readers: Deployment accounts that may read the hub's groups.
    """

    def __init__(self, readers: Sequence[str]) -> None:
        self._readers = readers
        self._client: Any = boto3.client("sagemaker", config=CONFIG)

    def describe(self, arn: str) -> dict[str, Any] | None:
        """Return a package, or None if it does not exist (any more).

        Raises:
            PromotionError: It is encrypted with a KMS key of its own, which nobody in the hub may use.
        """
        try:
            answer: dict[str, Any] = self._client.describe_model_package(ModelPackageName=arn)
        except ClientError as err:
            if _is_missing(err):
                return None
            if err.response["Error"]["Code"].startswith("AccessDenied") and "kms:" in str(err):
                raise contents.own_key_refused(arn) from err
            raise
        if "SecurityConfig" in answer:
            raise contents.own_key_refused(arn)
        answer.pop("ResponseMetadata", None)
        return answer

    def carried(self, package: Mapping[str, Any]) -> dict[str, Any]:
        """Return what CreateModelPackage takes of a described package."""
        operation = self._client.meta.service_model.operation_model("CreateModelPackage")
        return contents.carried(package, operation.input_shape)

    def ensure_group(self, arn: str, description: str, tags: Mapping[str, str]) -> None:
        """Create a group unless it exists, and give it the policy and the tags it has to have."""
        name = arn.rsplit("/", 1)[-1]
        entries = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
        try:
            self._client.create_model_package_group(
                ModelPackageGroupName=name, ModelPackageGroupDescription=description, Tags=entries
            )
        except ClientError as err:
            if not _says(err, "already exists"):
                raise
            if entries:
                self._client.add_tags(ResourceArn=arn, Tags=entries)
        if self._readers:
            policy = packages.group_policy(arn, self._readers)
            self._client.put_model_package_group_policy(ModelPackageGroupName=name, ResourcePolicy=policy)

    def create(self, request: Mapping[str, Any]) -> str:
        """Register a package and return its ARN; the same request with the same token registers it once."""
        return str(self._client.create_model_package(**request)["ModelPackageArn"])

    def find(self, group: str, folder: str, since: float) -> str | None:
        """Return the copy that an attempt made and could not note, or None.

        Its artifacts are in a folder that no other package has. Only packages of the group that came into being since
        the first attempt are looked at, so the number of calls does not grow with the group.

        Args:
            group: The hub's group.
            folder: What `packages.folder` returned for the original.
            since: Unix time of the first attempt.
        """
        after = datetime.fromtimestamp(since - _SKEW_S, UTC)
        pages = self._client.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=group, CreationTimeAfter=after, SortBy="CreationTime", SortOrder="Ascending"
        )
        try:
            arns = [str(entry["ModelPackageArn"]) for page in pages for entry in page["ModelPackageSummaryList"]]
        except ClientError as err:
            if _is_missing(err):
                return None  # not even the group was created
            raise
        for arn in arns:
            package = self.describe(arn)
            if package and contents.is_copy_of(package, folder):
                return arn
        return None

    def update(self, arn: str, changes: Mapping[str, Any]) -> None:
        """Change a package of the hub."""
        self._client.update_model_package(ModelPackageArn=arn, **changes)


def _is_missing(err: ClientError) -> bool:
    """Return whether SageMaker says that a package or group does not exist; throttling never reads like this."""
    return _says(err, "does not exist")


def _says(err: ClientError, text: str) -> bool:
    error = err.response["Error"]
    return error["Code"] in ("ValidationException", "ResourceNotFound") and text in error.get("Message", "").lower()
