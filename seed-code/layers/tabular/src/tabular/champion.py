"""The last approved model of the registry: the only module that calls AWS."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tabular.errors import ConfigError

NOT_FOUND = frozenset({"ResourceNotFound", "ResourceNotFoundException"})


def download_champion(group: str, folder: Path) -> tuple[str, Path] | None:
    """Download the archive of the latest approved model package of a group.

    Args:
        group: Name or ARN of the model package group.
        folder: Where to put ``model.tar.gz``.

    Returns:
        ARN of the package and path of the archive; None when the group is missing or holds no approved package.

    Raises:
        ConfigError: The registry or the archive cannot be read.
    """
    # Imported here so that an evaluation without registry needs no AWS library.
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    session = boto3.Session(region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"))
    try:
        client = session.client("sagemaker")
        arn = _latest_approved(client, group)
        if arn is None:
            return None
        bucket, key = _archive_location(client.describe_model_package(ModelPackageName=arn), arn)
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / "model.tar.gz"
        session.client("s3").download_file(bucket, key, str(archive))
    except (BotoCoreError, ClientError) as err:
        raise ConfigError(
            f"The approved model of group {group!r} cannot be read, so the new one cannot be compared with it: {err} "
            f"The role of this job needs sagemaker:ListModelPackages, sagemaker:DescribeModelPackage, and s3:GetObject "
            f"and kms:Decrypt for the archive."
        ) from err
    return arn, archive


def _latest_approved(client: Any, group: str) -> str | None:
    """Return the ARN of the newest approved package of a group."""
    from botocore.exceptions import ClientError

    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved", SortBy="CreationTime", SortOrder="Descending"
    )
    try:
        # A page may be empty although later ones are not: the service filters after it has cut the pages.
        return next((package["ModelPackageArn"] for page in pages for package in page["ModelPackageSummaryList"]), None)
    except ClientError as err:
        error = err.response["Error"]
        if error["Code"] in NOT_FOUND or "does not exist" in error["Message"]:
            return None
        raise


def _archive_location(package: dict[str, Any], arn: str) -> tuple[str, str]:
    """Return bucket and key of the model archive of a package."""
    container = package["InferenceSpecification"]["Containers"][0]
    uri = container.get("ModelDataUrl") or container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri", "")
    location = urlsplit(uri)
    if location.scheme != "s3" or not location.path.strip("/"):
        raise ConfigError(f"{arn} names no model archive in S3, but {uri!r}.")
    return location.netloc, location.path.lstrip("/")
