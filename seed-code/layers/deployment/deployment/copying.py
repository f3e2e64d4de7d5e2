"""Copies from the hub's registry into a stage's bucket, on the side of S3, so that a stage needs nothing of the hub.

Keys below ``packages/<12 hex of the package>/``: ``model-<number>/…`` for each container, ``baseline/…`` with the
package's baselines by ``<group>/<kind>/<file>``, ``samples/…`` and ``payload/…``.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from deployment.errors import DeploymentError
from deployment.packages import ModelPackage
from deployment.targets import CONFIG, Target

# CopyObject takes 5 GB at most; above this size boto3 copies in parts, up to 10,000 of them.
_TRANSFER = TransferConfig(multipart_threshold=256 * 2**20, multipart_chunksize=256 * 2**20, max_concurrency=16)
_MARK = "source"
"""Metadata of a copy: what it is a copy of, with ETag and size."""


def located(package: ModelPackage, bucket: str) -> ModelPackage:
    """Return a package whose URIs name the copies in a stage's bucket; nothing is copied."""
    moves = dict(_moves(package, bucket))
    return replace(
        package,
        containers=tuple(
            replace(container, model_data=moves[container.model_data] if container.model_data else None)
            for container in package.containers
        ),
        metrics={},
        baselines={name: moves[uri] for name, uri in package.baselines.items()},
        samples=moves[package.samples] if package.samples else None,
        payload=moves[package.payload] if package.payload else None,
    )


def copy_package(
    package: ModelPackage, target: Target, bucket: str, *, key_arn: str, source_region: str
) -> ModelPackage:
    """Copy what a stage needs of a package into its bucket and return the package with the new URIs.

    What is there already, the same in size and ETag of the original, is not copied again.

    Args:
        package: The package in the hub's registry, as it was promoted (`packages.as_promoted`).
        target: Where the stage lives; its session may read the registry bucket.
        bucket: The stage's bucket.
        key_arn: Key of that bucket.
        source_region: Region of the registry's bucket.

    Raises:
        DeploymentError: Something that the package names is not there, or is not what was promoted.
    """
    s3 = target.client("s3")
    source_client = target.session.client("s3", region_name=source_region, config=CONFIG)
    for source, destination in _moves(package, bucket):
        source_bucket, key = split(source)
        for entry in _promoted_objects(source_client, package, source):
            rest = entry["Key"][len(key) :]
            _copy(s3, source_client, source_bucket, entry, bucket, split(destination)[1] + rest, key_arn)
    return located(package, bucket)


def require_files(s3: Any, package: ModelPackage) -> None:
    """Check that every file and folder of a package is there, and what was promoted; nothing is copied.

    Args:
        s3: S3 client that may read the registry's bucket.
        package: The package in the hub's registry, as it was promoted (`packages.as_promoted`).

    Raises:
        DeploymentError: Something is not.
    """
    for source, _ in _moves(package, "nowhere"):
        _promoted_objects(s3, package, source)


def put(target: Target, bucket: str, files: Mapping[str, Path | bytes], *, key_arn: str) -> None:
    """Put files of this repository into a stage's bucket; what is there with the same content stays.

    Args:
        target: Where the stage lives.
        bucket: The stage's bucket.
        files: Content, or where it is, by key.
        key_arn: Key of the bucket.
    """
    s3 = target.client("s3")
    for key, source in files.items():
        content = source.read_bytes() if isinstance(source, Path) else source
        mark = f"sha256:{hashlib.sha256(content).hexdigest()}"
        head = _head(s3, bucket, key)
        if head is not None and head.get("Metadata", {}).get(_MARK) == mark:
            continue
        s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=content,
            ContentType=mimetypes.guess_type(key)[0] or "application/octet-stream",
            Metadata={_MARK: mark},
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=key_arn,
        )


def code_files(folder: Path) -> tuple[str, dict[str, Path]]:
    """Return the key prefix ``code/<digest>/`` for a folder with code of jobs, and its files by key.

    The digest depends on names and contents only: unchanged code keeps its place.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
    )
    sha = hashlib.sha256()
    for path in found:
        content = path.read_bytes()
        sha.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    prefix = f"code/{sha.hexdigest()[:12]}/"
    return prefix, {prefix + path.relative_to(folder).as_posix(): path for path in found}


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``.

    Raises:
        DeploymentError: It is not such a URI.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not key:
        raise DeploymentError(
            f"{uri!r} is not a place in S3 (s3://bucket/key), so it can be neither copied nor served."
        )
    return bucket, key


def _moves(package: ModelPackage, bucket: str) -> Iterator[tuple[str, str]]:
    """Yield every file and prefix of a package with its place in a stage's bucket."""
    root = f"s3://{bucket}/packages/{package.key}"
    for number, container in enumerate(package.containers):
        if container.model_data:
            end = _name(container.model_data) if container.compressed else ""
            yield container.model_data, f"{root}/model-{number}/{end}"
    for name, uri in package.baselines.items():
        yield uri, f"{root}/baseline/{name}/{_name(uri)}"
    if package.samples:
        slash = "/" if package.samples.endswith("/") else ""
        yield package.samples, f"{root}/samples{slash}"
    if package.payload:
        yield package.payload, f"{root}/payload/{_name(package.payload)}"


def _name(uri: str) -> str:
    return uri.rstrip("/").rsplit("/", 1)[-1]


def _objects(s3: Any, bucket: str, key: str) -> Iterator[dict[str, Any]]:
    """Yield the object of a key, or all below it if it is a prefix."""
    if not key.endswith("/"):
        head = _head(s3, bucket, key)
        if head is not None:
            yield {"Key": key, "Size": head["ContentLength"], "ETag": head["ETag"]}
            return
    prefix = key if key.endswith("/") else f"{key}/"
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            if not entry["Key"].endswith("/"):
                yield entry


def _promoted_objects(s3: Any, package: ModelPackage, source: str) -> list[dict[str, Any]]:
    """Return the objects of a file or folder of a package, each of which has to be promotion's copy, and none missing.

    A place outside the package's own files has none in the record, so that a package cannot lead a stage to the models
    of other groups.
    """
    bucket, key = split(source)
    objects = list(_objects(s3, bucket, key))
    if not objects:
        raise DeploymentError(
            f"{source} of {package.arn} is not there any more, so the model cannot be deployed completely. "
            f"Approve a package whose files exist."
        )
    found = {f"s3://{bucket}/{entry['Key']}": (entry["Size"], entry["ETag"].strip('"')) for entry in objects}
    folder = source.rstrip("/") + "/"
    promoted = {uri: mark for uri, mark in package.objects.items() if uri == source or uri.startswith(folder)}
    if found != promoted:
        differing = sorted(uri for uri in found.keys() | promoted.keys() if found.get(uri) != promoted.get(uri))
        raise DeploymentError(
            f"{source} of {package.arn} is not what was promoted: {', '.join(differing[:5])} "
            f"({len(differing)} in all) is another file, is missing, or does not belong to the model. It is not "
            f"deployed. Have the model registered and approved anew in development."
        )
    return objects


def _copy(s3: Any, source_client: Any, source_bucket: str, entry: Any, bucket: str, key: str, key_arn: str) -> None:
    mark = hashlib.sha256(
        f"{source_bucket}/{entry['Key']} {entry['Size']} {entry['ETag'].strip(chr(34))}".encode()
    ).hexdigest()
    present = _head(s3, bucket, key)
    same_size = present is not None and present["ContentLength"] == entry["Size"]
    if present is not None and same_size and present.get("Metadata", {}).get(_MARK) == mark:
        return
    s3.copy(
        {"Bucket": source_bucket, "Key": entry["Key"]},
        bucket,
        key,
        SourceClient=source_client,
        Config=_TRANSFER,
        ExtraArgs={
            "Metadata": {_MARK: mark},
            "MetadataDirective": "REPLACE",
            "TaggingDirective": "REPLACE",  # tags of the original are not read, which would need one more permission
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": key_arn,
        },
    )
    size = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
    if size != entry["Size"]:
        raise DeploymentError(
            f"s3://{bucket}/{key} has {size} bytes, its original s3://{source_bucket}/{entry['Key']} {entry['Size']}: "
            f"the original changed while it was copied. Start the pipeline again."
        )


def _head(s3: Any, bucket: str, key: str) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as err:
        if err.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return None
        raise
    return answer
