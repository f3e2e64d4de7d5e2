"""Objects of S3 as files: large ones are kept on disk instead of in memory, others once somebody wants to read a file.

A file holds one version of an object and never changes, so whoever reads it sees what was there when it began.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from aws_emulator import core, inside
from aws_emulator.clock import clock
from aws_emulator.inside import replaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_emulator.core import Json

_LARGE: Final = 1024 * 1024
"""Objects of so many bytes are kept on disk."""


def objects(bucket: str) -> Json | None:
    """Return the records of the objects of a bucket by key, whoever owns it; None if there is no such bucket."""
    owner = inside.s3.bucket_owner_account(bucket)
    if owner is None:
        return None
    with core.as_account(owner):
        found: Json = inside.s3.buckets[bucket]["objects"]
    return found


def file_of(bucket: str, key: str, record: Json) -> Path:
    """Return a file with the content of an object, whose name ends like its key (``.gz``)."""
    if "file" not in record:
        folder = core.organization().work_dir / "objects"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{clock.uuid()}{PurePosixPath(key).suffix}"
        file.write_bytes(record["body"])
        with core.as_account(inside.s3.bucket_owner_account(bucket)):
            versions = inside.s3.object_versions.get((bucket, key)) or []
        for kept in (record, *(version for version in versions if version.get("data") is record["body"])):
            kept["file"] = file
            kept["body" if kept is record else "data"] = None
    return Path(record["file"])


@replaces(inside.s3, "record_object_version")
def _written(  # noqa: PLR0917 - MiniStack's signature
    write: Callable[..., str | None], bucket: str, key: str, before: Json | None, record: Json, content: bytes
) -> str | None:
    version = write(bucket, key, before, record, content)
    if len(content) >= _LARGE:
        file_of(bucket, key, record)
    return version


@replaces(inside.s3, "read_body")
def _read(read: Callable[..., bytes], bucket: str, key: str, record: Json) -> bytes:
    return Path(record["file"]).read_bytes() if "file" in record else read(bucket, key, record)


@replaces(inside.s3, "version_body")
def _read_version(read: Callable[..., bytes], bucket: Json, name: str, key: str, version: Json) -> bytes:
    return Path(version["file"]).read_bytes() if "file" in version else read(bucket, name, key, version)
