"""Objects of the stage's bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO

from botocore.exceptions import ClientError

BLOCK_BYTES = 8 << 20
MISSING = frozenset({"NoSuchKey", "404", "NotFound"})


class Storage:
    """A bucket, read and written by key.

    Args:
        client: S3 client.
        bucket: Name of the bucket. New objects get the bucket's own encryption.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys below a prefix in their order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", []):
                yield item["Key"]

    def folders(self, prefix: str) -> list[str]:
        """Return the prefixes one level below a prefix, each with its slash at the end."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        return [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]

    def body(self, key: str) -> Any:
        """Return the content of an object as a binary stream."""
        return self._client.get_object(Bucket=self.bucket, Key=key)["Body"]

    def blocks(self, key: str) -> Iterator[list[bytes]]:
        """Yield the lines of an object that are not empty, some megabytes at a time."""
        body, rest = self.body(key), b""
        while data := body.read(BLOCK_BYTES):
            whole, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield [line for line in whole.split(b"\n") if line.strip()]
        if rest.strip():
            yield [rest]

    def lines(self, key: str) -> Iterator[bytes]:
        """Yield the lines of an object without holding all of it."""
        yield from self.body(key).iter_lines(chunk_size=1 << 16)

    def download(self, key: str, target: BinaryIO) -> bool:
        """Copy an object into a file; False when there is none."""
        try:
            self._client.download_fileobj(self.bucket, key, target)
        except ClientError as err:
            if err.response["Error"]["Code"] in MISSING:
                return False
            raise
        return True

    def json(self, key: str) -> Any:
        """Return the content of a JSON object, None when there is none."""
        try:
            return json.load(self.body(key))
        except ClientError as err:
            if err.response["Error"]["Code"] in MISSING:
                return None
            raise

    def put_if(self, key: str, content: str, etag: str | None) -> str:
        """Write a JSON object only if it still is the version with this ETag (None: only if there is none yet).

        Returns:
            The ETag of what was written.

        Raises:
            ClientError: ``PreconditionFailed`` or ``ConditionalRequestConflict``: somebody else was quicker.
        """
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        answer = self._client.put_object(
            Bucket=self.bucket, Key=key, Body=content.encode(), ContentType="application/json", **condition
        )
        return str(answer["ETag"])

    def versioned(self, key: str) -> tuple[Any, str, datetime]:
        """Return content, ETag and time of the last change of a JSON object."""
        answer = self._client.get_object(Bucket=self.bucket, Key=key)
        return json.load(answer["Body"]), answer["ETag"], answer["LastModified"]

    def put(self, key: str, content: str, content_type: str) -> None:
        """Write a text object."""
        self._client.put_object(Bucket=self.bucket, Key=key, Body=content.encode(), ContentType=content_type)
