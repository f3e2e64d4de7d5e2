"""Where a pipeline run by `local_pipelines.runner` keeps what would be in S3: a local folder, or S3 itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit


class StoreError(Exception):
    """Objects cannot be listed, read or written; the message says which and why."""


class Store(Protocol):
    """Objects addressed by ``s3://`` URIs."""

    def list(self, uri: str) -> list[str]:
        """Return the URIs of the object at a URI, or of all objects below it, sorted."""

    def download(self, uri: str, target: Path) -> None:
        """Write one object into a file."""

    def upload(self, files: Iterable[tuple[Path, str]], kms_key_id: str | None = None) -> None:
        """Store files, each under its URI."""

    def read(self, uri: str) -> bytes:
        """Return one object."""


class FolderStore:
    """A folder that stands for S3: ``s3://bucket/key`` is the file ``<folder>/bucket/key``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, uri: str) -> Path:
        """Return the file or folder of a URI."""
        bucket, key = split_uri(uri)
        return self._folder / bucket / key

    def list(self, uri: str) -> list[str]:
        """Return the URIs of the object at a URI, or of all objects below it, sorted."""
        path = self.path(uri)
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        return [f"s3://{file.relative_to(self._folder).as_posix()}" for file in files]

    def download(self, uri: str, target: Path) -> None:
        """Write one object into a file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.path(uri), target)

    def upload(self, files: Iterable[tuple[Path, str]], kms_key_id: str | None = None) -> None:
        """Store files, each under its URI; a folder on this machine is not encrypted."""
        for source, uri in files:
            target = self.path(uri)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def read(self, uri: str) -> bytes:
        """Return one object."""
        try:
            return self.path(uri).read_bytes()
        except FileNotFoundError as err:
            raise StoreError(f"nothing at {uri} ({self.path(uri)})") from err


class S3Store:
    """S3, with the credentials and the endpoint of the environment."""

    def __init__(self, client: Any, *, threads: int = 8) -> None:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        self._client = client
        self._threads = threads
        self._errors = (Boto3Error, BotoCoreError, ClientError)

    def list(self, uri: str) -> list[str]:
        """Return the URIs of the object at a URI, or of all objects below it, sorted."""
        bucket, key = split_uri(uri)
        folder = key if key.endswith("/") or not key else f"{key}/"
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            keys = sorted(item["Key"] for page in pages for item in page.get("Contents", []))
        except self._errors as err:
            raise StoreError(f"cannot list {uri}: {err}") from err
        # The console marks folders with empty objects whose key ends in a slash.
        return [f"s3://{bucket}/{k}" for k in keys if (k == key or k.startswith(folder)) and not k.endswith("/")]

    def download(self, uri: str, target: Path) -> None:
        """Write one object into a file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._client.download_file(*split_uri(uri), str(target))
        except self._errors as err:
            raise StoreError(f"cannot read {uri}: {err}") from err

    def upload(self, files: Iterable[tuple[Path, str]], kms_key_id: str | None = None) -> None:
        """Store files, each under its URI, encrypted with the given key or as the bucket is configured."""
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else None

        def put(item: tuple[Path, str]) -> None:
            try:
                self._client.upload_file(str(item[0]), *split_uri(item[1]), ExtraArgs=extra)
            except self._errors as err:
                raise StoreError(f"cannot write {item[1]}: {err}") from err

        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(put, files))  # the list makes an exception of a thread come up here

    def read(self, uri: str) -> bytes:
        """Return one object."""
        bucket, key = split_uri(uri)
        try:
            return bytes(self._client.get_object(Bucket=bucket, Key=key)["Body"].read())
        except self._errors as err:
            raise StoreError(f"cannot read {uri}: {err}") from err


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``.

    Raises:
        ValueError: The URI is of another form.
    """
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise ValueError(f"{uri!r} is not of the form s3://bucket/key")
    return parts.netloc, parts.path.removeprefix("/")
