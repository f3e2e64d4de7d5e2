"""Unloaded files live as long as the step cache may need them, and as long as a registered model names them.

What nobody needs any more gets a tag, and a rule of the bucket deletes what carries it.
"""

import datetime
from typing import Any

from lake.engine import split_uri

TAG = {"Key": "ml-retired", "Value": "true"}
MARGIN_DAYS = 2
"""An execution that begins when the cache is about to expire still reads the files for a while."""


def retire(
    s3: Any,
    sagemaker: Any,
    *,
    bucket: str,
    prefix: str,
    group: str,
    keep_days: int,
    current: str,
    now: datetime.datetime | None = None,
) -> list[str]:
    """Tag what was unloaded for earlier trainings and is not needed any more, and return its folders.

    Args:
        s3: Client of S3.
        sagemaker: Client of SageMaker.
        bucket: Bucket of the project.
        prefix: Prefix of unloaded data; below it are folders ``<digest>/<token>/``.
        group: Model package group whose models name manifests.
        keep_days: Days for which the step cache answers.
        current: Folder that was just written, as a key.
        now: The time. Default: the clock's.
    """
    moment = now or datetime.datetime.now(datetime.UTC)
    folders: dict[str, list[tuple[str, datetime.datetime]]] = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            parts = item["Key"].removeprefix(prefix).split("/")
            if len(parts) > 2:
                folder = f"{prefix}{parts[0]}/{parts[1]}/"
                folders.setdefault(folder, []).append((item["Key"], item["LastModified"]))
    limit = moment - datetime.timedelta(days=keep_days + MARGIN_DAYS)
    old = {
        folder
        for folder, objects in folders.items()
        if folder != current and max(written for _, written in objects) < limit
    }
    if old:
        old -= _named(sagemaker, group, bucket)
    for folder in sorted(old):
        for key, _ in folders[folder]:
            s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [TAG]})
    return sorted(old)


def _named(sagemaker: Any, group: str, bucket: str) -> set[str]:
    """Return the folders that registered models name, whatever became of their approval."""
    found = set()
    for page in sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group):
        for package in page.get("ModelPackageSummaryList", []):
            described = sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])
            manifest = (described.get("CustomerMetadataProperties") or {}).get("data_manifest", "")
            its_bucket, key = split_uri(manifest)
            if its_bucket == bucket:
                found.add(key.rpartition("/")[0] + "/")
    return found
