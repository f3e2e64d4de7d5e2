"""S3: what the registry bucket says about packages: how far a promotion has come, and what it made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.exceptions import ClientError

from lambdas.model_promotion.errors import BusyError
from lambdas.model_promotion.names import PROGRESS_PREFIX
from lambdas.model_promotion.packages import PackageArn, promoted_key
from lambdas.model_promotion.progress import Record
from lambdas.shared.clients import CONFIG

_LOST: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
"""S3's answers to a conditional write that came second:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A record as it was read or written.

    Attributes:
        key: Key without the prefix of records.
        record: The record.
        etag: ETag of that version, the condition for writing the next one; None if there is no record yet.
    """

    key: str
    record: Record
    etag: str | None


class Ledger:
    """Records of the registry bucket: of promotions below ``promotions/``, of packages of the hub below ``promoted/``.

    Args:
        bucket: The registry bucket.
        account: Account that has to own it.
        key_arn: Its KMS key.
    """

    def __init__(self, bucket: str, account: str, key_arn: str) -> None:
        self._place = {"Bucket": bucket, "ExpectedBucketOwner": account}
        self._properties = {
            "ContentType": "application/json",
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": key_arn,
            "BucketKeyEnabled": True,
        }
        self._client: Any = boto3.client("s3", config=CONFIG)

    def read(self, key: str, source: str) -> Entry:
        """Return the record of a package; an empty one if there is none."""
        try:
            answer = self._client.get_object(**self._place, Key=_object(key))
        except ClientError as err:
            if err.response["Error"]["Code"] != "NoSuchKey":
                raise
            return Entry(key=key, record=Record(source=source), etag=None)
        return Entry(key=key, record=Record.read(answer["Body"].read().decode()), etag=answer["ETag"])

    def write(self, entry: Entry, record: Record) -> Entry:
        """Replace a record and return the new entry.

        Raises:
            BusyError: Somebody else has written it since `entry` was read.
        """
        condition = {"IfNoneMatch": "*"} if entry.etag is None else {"IfMatch": entry.etag}
        try:
            answer = self._client.put_object(
                **self._place,
                Key=_object(entry.key),
                Body=record.text.encode(),
                **self._properties,
                **condition,
            )
        except ClientError as err:
            if err.response["Error"]["Code"] in _LOST:
                raise BusyError(f"another invocation has changed the record of {record.source}") from err
            raise
        return Entry(key=entry.key, record=record, etag=answer["ETag"])

    def publish(self, package: PackageArn, text: str) -> None:
        """Write what a package of the hub was promoted as (`packages.promoted_text`); again does no harm."""
        self._client.put_object(**self._place, Key=promoted_key(package), Body=text.encode(), **self._properties)

    def digest(self, package: PackageArn) -> str:
        """Return the digest of what a package of the hub was promoted as, or an empty text if there is no record."""
        try:
            answer = self._client.get_object(**self._place, Key=promoted_key(package))
        except ClientError as err:
            if err.response["Error"]["Code"] != "NoSuchKey":
                raise
            return ""
        record = json.loads(answer["Body"].read())
        return str(record["digest"]) if record["package"] == package.text else ""


def _object(key: str) -> str:
    return f"{PROGRESS_PREFIX}{key}.json"
