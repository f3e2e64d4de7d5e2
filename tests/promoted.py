"""What promotion writes down about a package of the hub, for tests that register one without a promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.model_promotion import packages

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_record(s3: Any, bucket: str, package: str, request: Mapping[str, Any]) -> None:  # noqa: ANN401 (a client)
    """Write the record of a package, with every file that is in the registry's bucket now.

    Args:
        s3: S3 client of the hub.
        bucket: The registry's bucket.
        package: ARN of the package.
        request: The request that registered it.
    """
    arn = packages.PackageArn.parse(package)
    assert arn
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    copied = [
        packages.Copied(
            source="",
            target=f"s3://{bucket}/{entry['Key']}",
            size=entry["Size"],
            checksum="",
            etag="",
            target_etag=entry["ETag"].strip('"'),
        )
        for page in pages
        for entry in page.get("Contents", [])
    ]
    text = packages.promoted_text(package, request, copied, "sha256:" + "0" * 64)
    s3.put_object(Bucket=bucket, Key=packages.promoted_key(arn), Body=text.encode())
