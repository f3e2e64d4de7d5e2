"""S3: copies of artifacts of any size, made on the server side, in parallel, resumed after a crash, and verified.

Limits (10,000 parts, 5 MiB to 5 GiB each, the last may be smaller; CopyObject up to 5 GiB):
https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
Checksums: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lambdas.model_promotion.contents import Location, Reference
from lambdas.model_promotion.errors import OutOfTimeError, PromotionError
from lambdas.model_promotion.packages import Copied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MIB: Final = 1024**2
PART_SIZE: Final = 256 * MIB
"""Bytes of a part, and of the largest object that is copied in one call. At 10 MB/s, which is slow for S3, a part takes
27 seconds: little is lost when the time is up, and 50 GB are 187 calls."""
PARTS_MAX: Final = 10_000
PART_MIN: Final = 5 * MIB
PART_MAX: Final = 5 * 1024 * MIB
COPY_MAX: Final = 5 * 1024 * MIB

WORKERS: Final = 32
_RESERVED_S: Final = 90
"""Seconds before the end of the invocation in which no further part is begun."""
_CONFIG: Final = Config(
    connect_timeout=3,
    read_timeout=150,  # S3 answers when a part is copied, not before
    retries={"mode": "standard", "total_max_attempts": 5},
    max_pool_connections=WORKERS,
)
_ALGORITHMS: Final = ("CRC64NVME", "CRC32", "CRC32C", "SHA256", "SHA1")
_CRCS: Final = frozenset({"CRC64NVME", "CRC32", "CRC32C"})
_ETAG_ENTRY: Final = "source-etag"
_CHECKSUM_ENTRY: Final = "source-checksum"
"""User metadata of a copy: the checksum that it was to have; ``none`` if the original has none that a copy can have."""
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})


@dataclass(frozen=True, kw_only=True)
class Part:
    """A range of an object.

    Attributes:
        number: From 1.
        first: First byte.
        last: Last byte, inclusive.
    """

    number: int
    first: int
    last: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.last - self.first + 1


def uniform_parts(size: int) -> list[Part]:
    """Return the parts in which an object of `size` bytes is copied: equal ones, but for the last."""
    step = max(PART_SIZE, math.ceil(size / PARTS_MAX / MIB) * MIB)
    return parts_of([min(step, size - first) for first in range(0, size, step)])


def parts_of(sizes: Sequence[int]) -> list[Part]:
    """Return consecutive parts of the given sizes."""
    parts, first = [], 0
    for number, size in enumerate(sizes, start=1):
        parts.append(Part(number=number, first=first, last=first + size - 1))
        first += size
    return parts


@dataclass(frozen=True, kw_only=True)
class Original:
    """An object to copy, as it is now.

    Attributes:
        location: Where it is.
        size: Bytes.
        etag: Its ETag, without quotes.
        modified: Unix time of its last change.
        algorithm: Algorithm of its checksum, or empty.
        checksum: Its checksum (base64; with ``-<parts>`` if it is one over the checksums of parts), or empty.
        composite: Whether the checksum is one over the checksums of parts.
        content_type: Its content type.
        metadata: Its user metadata.
        owner: Account that has to own the bucket.
    """

    location: Location
    owner: str
    size: int
    etag: str
    modified: float
    algorithm: str
    checksum: str
    composite: bool
    content_type: str
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, location: Location, head: Mapping[str, Any], *, owner: str) -> Original:
        """Read the answer of HeadObject with checksums."""
        algorithm = next((name for name in _ALGORITHMS if head.get(f"Checksum{name}")), "")
        return cls(
            location=location,
            owner=owner,
            size=int(head["ContentLength"]),
            etag=str(head["ETag"]).strip('"'),
            modified=head["LastModified"].timestamp(),
            algorithm=algorithm,
            checksum=str(head[f"Checksum{algorithm}"]) if algorithm else "",
            composite=head.get("ChecksumType") == "COMPOSITE",
            content_type=str(head.get("ContentType", "binary/octet-stream")),
            metadata=head.get("Metadata", {}),
        )


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """How an object is copied: in these parts, or in one call; and whether its checksum has to come out the same."""

    parts: Sequence[Part]
    keeps_checksum: bool


class Artifacts:
    """Copies artifacts into the registry bucket.

    Every request names the account that has to own the bucket, so that S3 refuses a bucket which somebody else made
    under the expected name (https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html).

    Args:
        bucket: The registry bucket.
        account: Account of the registry bucket.
        key_arn: KMS key of the copies.
        remaining_s: Seconds left of this invocation.
        workers: Parts copied at a time.
    """

    def __init__(
        self, bucket: str, account: str, key_arn: str, remaining_s: Callable[[], float], *, workers: int = WORKERS
    ) -> None:
        self._account = account
        self._sse = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_arn, "BucketKeyEnabled": True}
        self._remaining_s = remaining_s
        self._workers = workers
        self._client: Any = boto3.client("s3", config=_CONFIG)

    def copy(self, reference: Reference, target: Location, *, owner: str) -> list[Copied]:
        """Copy an object, or all objects below a prefix; an empty list if an optional artifact is not there.

        Args:
            reference: What the package names.
            target: Where the copy goes.
            owner: Account that has to own the original's bucket.

        Raises:
            PromotionError: It is not there, or not what was registered.
            OutOfTimeError: The rest has to wait for the next invocation.
        """
        place = reference.location
        head = None if place.key.endswith("/") else self._head(place, owner)
        if head is not None:
            original = Original.of(place, head, owner=owner)
            if reference.etag and reference.etag != original.etag:
                raise PromotionError(
                    f"{place.uri} has the ETag {original.etag}, and had {reference.etag} when the package was "
                    f"registered: it was replaced since, so what was approved no longer exists. Register it anew."
                )
            return [self._copy_object(original, target)]
        prefix = place.key.rstrip("/") + "/"
        keys = [key for key in self._keys(place.bucket, prefix, owner) if not key.endswith("/")]
        if not keys and reference.required:
            raise PromotionError(
                f"{place.uri} is named by the package and does not exist: the package is of no use without it, so it "
                f"is not promoted. Put it back, or register the model again, and approve it again."
            )
        return [
            self._copy_listed(
                Location(bucket=place.bucket, key=key),
                Location(bucket=target.bucket, key=target.key.rstrip("/") + "/" + key.removeprefix(prefix)),
                owner,
            )
            for key in keys
        ]

    def _keys(self, bucket: str, prefix: str, owner: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, ExpectedBucketOwner=owner):
            for entry in page.get("Contents", ()):
                yield str(entry["Key"])

    def _copy_listed(self, place: Location, target: Location, owner: str) -> Copied:
        head = self._head(place, owner)
        if head is None:
            raise PromotionError(f"{place.uri} disappeared while it was being copied. Approve the package again.")
        return self._copy_object(Original.of(place, head, owner=owner), target)

    def _copy_object(self, original: Original, target: Location) -> Copied:
        done = self._verified(original, target)
        if done is not None:
            return done
        self._check_time()
        plan = self._plan(original)
        if plan.parts:
            self._copy_parts(original, target, plan)
        else:
            self._client.copy_object(
                **self._at(target),
                **_source(original),
                **self._properties(original, plan),
                MetadataDirective="REPLACE",
                TaggingDirective="REPLACE",
                **({"ChecksumAlgorithm": original.algorithm} if plan.keeps_checksum else {}),
            )
        done = self._verified(original, target)
        if done is None:
            raise PromotionError(
                f"the copy of {original.location.uri} at {target.uri} differs from it in size or checksum: it is not "
                f"used, and copied again at the next delivery."
            )
        return done

    def _plan(self, original: Original) -> _Plan:
        """Return how to copy an object so that the copy has the same checksum, where there is one.

        A checksum over the checksums of parts comes out equal if the parts are equal: they become those of the
        original. SHA checksums of whole objects exist only for objects that were not written in parts.
        """
        if original.composite:
            sizes = self._sizes_of_parts(original)
            if sizes and sum(sizes) == original.size and min(sizes[:-1], default=PART_MIN) >= PART_MIN:
                return _Plan(parts=parts_of(sizes), keeps_checksum=True)
        keeps = bool(original.checksum) and not original.composite
        whole_only = keeps and original.algorithm not in _CRCS
        if original.size <= (COPY_MAX if whole_only else PART_SIZE):
            return _Plan(parts=[], keeps_checksum=keeps)
        return _Plan(parts=uniform_parts(original.size), keeps_checksum=keeps)

    def _sizes_of_parts(self, original: Original) -> list[int]:
        """Return the sizes of the parts that an object was written in, or nothing if S3 does not say."""
        sizes: list[int] = []
        marker: dict[str, int] = {}
        while True:
            found = self._client.get_object_attributes(
                Bucket=original.location.bucket,
                Key=original.location.key,
                ExpectedBucketOwner=original.owner,
                ObjectAttributes=["ObjectParts"],
                MaxParts=1000,
                **marker,
            ).get("ObjectParts", {})
            sizes += [int(part["Size"]) for part in found.get("Parts", ())]
            if not found.get("IsTruncated"):
                return sizes
            marker = {"PartNumberMarker": int(found["NextPartNumberMarker"])}

    def _copy_parts(self, original: Original, target: Location, plan: _Plan) -> None:
        parts = plan.parts
        upload, done = self._unfinished(original, target, parts)
        if upload is None:
            kind = "COMPOSITE" if original.composite else "FULL_OBJECT"
            checksum = {"ChecksumAlgorithm": original.algorithm, "ChecksumType": kind} if plan.keeps_checksum else {}
            upload = str(
                self._client.create_multipart_upload(
                    **self._at(target), **self._properties(original, plan), **checksum
                )["UploadId"]
            )

        def copy(part: Part) -> tuple[int, Mapping[str, Any]] | None:
            if self._remaining_s() < _RESERVED_S:
                return None
            answer = self._client.upload_part_copy(
                **self._at(target),
                UploadId=upload,
                PartNumber=part.number,
                CopySourceRange=f"bytes={part.first}-{part.last}",
                **_source(original),
            )
            return part.number, answer["CopyPartResult"]

        with ThreadPoolExecutor(self._workers) as pool:
            copied = list(pool.map(copy, [part for part in parts if part.number not in done]))
        finished = dict(done) | dict(entry for entry in copied if entry is not None)
        if len(finished) < len(parts):
            raise OutOfTimeError(f"{original.location.uri}: {len(finished)} of {len(parts)} parts are copied")
        self._client.complete_multipart_upload(
            **self._at(target),
            UploadId=upload,
            MultipartUpload={"Parts": [_completed(number, finished[number]) for number in sorted(finished)]},
        )

    def _unfinished(
        self, original: Original, target: Location, parts: Sequence[Part]
    ) -> tuple[str | None, dict[int, Mapping[str, Any]]]:
        """Return the upload that an earlier attempt left behind and its parts, by number."""
        listed = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=target.bucket, Prefix=target.key, ExpectedBucketOwner=self._account
        )
        uploads = [entry for page in listed for entry in page.get("Uploads", ()) if entry["Key"] == target.key]
        usable = [entry for entry in uploads if entry["Initiated"].timestamp() >= original.modified]
        for entry in uploads:
            if entry not in usable[:1]:  # begun for other contents of the original, or by an attempt that was cut short
                self._client.abort_multipart_upload(**self._at(target), UploadId=entry["UploadId"])
        if not usable:
            return None, {}
        upload = str(usable[0]["UploadId"])
        sizes = {part.number: part.size for part in parts}
        pages = self._client.get_paginator("list_parts").paginate(**self._at(target), UploadId=upload)
        entries = [entry for page in pages for entry in page.get("Parts", ())]
        done = {int(entry["PartNumber"]): entry for entry in entries}
        return upload, {number: entry for number, entry in done.items() if entry["Size"] == sizes.get(number)}

    def _verified(self, original: Original, target: Location) -> Copied | None:
        """Return the copy if it is there, of the present original, and equal in size and checksum."""
        head = self._head(target, self._account)
        if head is None:
            return None
        entries = head.get("Metadata", {})
        expected = entries.get(_CHECKSUM_ENTRY, "none")
        checksum = f"{original.algorithm}:{original.checksum}" if original.checksum else "none"
        same_original = entries.get(_ETAG_ENTRY) == original.etag and expected in (checksum, "none")
        if not same_original or int(head["ContentLength"]) != original.size:
            return None
        if expected != "none" and head.get(f"Checksum{original.algorithm}") != original.checksum:
            return None
        return Copied(
            source=original.location.uri,
            target=target.uri,
            size=original.size,
            checksum="" if expected == "none" else expected,
            etag=original.etag,
            target_etag=str(head["ETag"]).strip('"'),
        )

    def _at(self, target: Location) -> dict[str, str]:
        """Return a place in the registry bucket as parameters."""
        return {"Bucket": target.bucket, "Key": target.key, "ExpectedBucketOwner": self._account}

    def _head(self, place: Location, owner: str) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = self._client.head_object(
                Bucket=place.bucket, Key=place.key, ChecksumMode="ENABLED", ExpectedBucketOwner=owner
            )
        except ClientError as err:
            if err.response["Error"]["Code"] in _ABSENT:
                return None
            raise
        return answer

    def _check_time(self) -> None:
        if self._remaining_s() < _RESERVED_S:
            raise OutOfTimeError("artifacts are left to copy")

    def _properties(self, original: Original, plan: _Plan) -> dict[str, Any]:
        checksum = f"{original.algorithm}:{original.checksum}" if plan.keeps_checksum else "none"
        return {
            "ContentType": original.content_type,
            "Metadata": {**original.metadata, _ETAG_ENTRY: original.etag, _CHECKSUM_ENTRY: checksum},
            **self._sse,
        }


def _source(original: Original) -> dict[str, Any]:
    """Return what names the original in a copy, and refuses one that has changed."""
    return {
        "ExpectedSourceBucketOwner": original.owner,
        "CopySource": {"Bucket": original.location.bucket, "Key": original.location.key},
        "CopySourceIfMatch": f'"{original.etag}"',
    }


def _completed(number: int, part: Mapping[str, Any]) -> dict[str, Any]:
    checksums = {f"Checksum{name}": part[f"Checksum{name}"] for name in _ALGORITHMS if part.get(f"Checksum{name}")}
    return {"PartNumber": number, "ETag": part["ETag"], **checksums}
