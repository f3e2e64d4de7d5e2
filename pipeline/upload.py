"""Bring released files and Lambda zips into the hub's artifact bucket: added, never overwritten, never deleted."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from botocore.exceptions import ClientError

from lambdas.shared.artifact_bucket import RELEASES_PREFIX, archive_key
from products.releases import TEMPLATE, ReleaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Set

    from products.releases import Catalog

Outcome = Literal["uploaded", "present"]
WORKERS: Final = 16
_ATTEMPTS: Final = 5
_TYPES: Final = {".json": "application/json", ".zip": "application/zip"}


class S3Client(Protocol):
    """What uploads ask of a boto3 client for S3."""

    def head_object(self, **request: object) -> dict[str, Any]:
        """Describe an object."""

    def get_object(self, **request: object) -> dict[str, Any]:
        """Read an object."""

    def put_object(self, **request: object) -> dict[str, Any]:
        """Write an object."""

    def list_objects_v2(self, **request: object) -> dict[str, Any]:
        """List objects, up to 1,000 at a time."""


class UploadError(ReleaseError):
    """The bucket holds a release that this repository does not, or not with these bytes, or it refuses access."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One object to be in the artifact bucket.

    Attributes:
        key: Its key.
        content: Its bytes.
        what: What it is, for messages, e.g. ``train-s3 1.0.0 template.json``.
    """

    key: str
    content: bytes
    what: str

    @property
    def sha256(self) -> bytes:
        """Digest of the content, 32 bytes."""
        return hashlib.sha256(self.content).digest()


def uploads(catalog: Catalog, lambda_zips: Mapping[str, bytes]) -> tuple[Upload, ...]:
    """Return every object that accounts need, each once, sorted by key.

    Args:
        catalog: The released files; hidden versions included, because what was launched from them still updates.
        lambda_zips: Zips of the workload baseline's functions by name.

    Raises:
        UploadError: A released file is not what its record says.
    """
    found: dict[str, Upload] = {}
    for release in catalog.releases():
        for file in release.files.values():
            content = file.path.read_bytes() if file.path.is_file() else b""
            what = f"{release.product} {release.version} {file.name}"
            if hashlib.sha256(content).hexdigest() != file.sha256:
                raise UploadError(
                    f"{file.path} is not what was released, so nothing was uploaded. See `portfolio verify`."
                )
            found[file.key] = Upload(key=file.key, content=content, what=what)
    for name, content in lambda_zips.items():
        key = archive_key(hashlib.sha256(content).hexdigest())
        found[key] = Upload(key=key, content=content, what=f"function {name}")
    return tuple(found[key] for key in sorted(found))


def upload_all(
    client: S3Client, bucket: str, wanted: Iterable[Upload], *, done: Callable[[], None] = lambda: None
) -> dict[str, Outcome]:
    """Put every object that is missing into the bucket, in parallel; the bucket's default encryption applies.

    Args:
        client: Client of the hub account in the bucket's region, for at least `WORKERS` connections. It may read
            (``s3:GetObject``), list (``s3:ListBucket``) and put.
        bucket: The artifact bucket.
        wanted: The objects.
        done: Called in this thread after each object.

    Returns:
        What happened, by key.

    Raises:
        UploadError: Another object has the key of a released file, a release of the bucket is not among `wanted`, or S3
            refuses. All other objects were still tried.
    """
    outcomes: dict[str, Outcome] = {}
    listed = tuple(wanted)
    problems = _vanished(client, bucket, {upload.key for upload in listed})
    with ThreadPoolExecutor(WORKERS) as pool:
        running = {pool.submit(_upload, client, bucket, upload): upload for upload in listed}
        for future in as_completed(running):
            upload = running[future]
            try:
                outcomes[upload.key] = future.result()
            except UploadError as err:
                problems.append(str(err))
            except ClientError as err:
                problems.append(
                    f"S3 refuses {upload.what} (s3://{bucket}/{upload.key}): {err}. Check that the bucket exists in "
                    f"this account and region, and that you may read, list and write it and use its key."
                )
            done()
    if problems:
        raise UploadError("\n".join(sorted(problems)))
    return {key: outcomes[key] for key in sorted(outcomes)}


def _vanished(client: S3Client, bucket: str, wanted: Set[str]) -> list[str]:
    """Return a sentence for each published release that is not wanted any more.

    The bucket remembers what was published, which no comparison of two commits can be sure of: a push has many commits,
    and a run that failed is followed by one that starts from the failed commit.
    """
    found: list[str] = []
    request: dict[str, object] = {"Bucket": bucket, "Prefix": RELEASES_PREFIX}
    while True:
        try:
            page = client.list_objects_v2(**request)
        except ClientError as err:
            raise UploadError(
                f"S3 refuses to list s3://{bucket}, so nothing was uploaded: {err}. Check that the bucket exists in "
                f"this account and region, and that you may list it."
            ) from err
        found += [
            f"s3://{bucket}/{entry['Key']} is published, but this repository has no such release. Accounts that "
            f"launched it rely on it: restore its folder from git; `portfolio retire` is how a version ends."
            for entry in page.get("Contents", ())
            if entry["Key"] not in wanted
        ]
        if not page.get("IsTruncated"):
            return found
        request["ContinuationToken"] = page["NextContinuationToken"]


def _upload(client: S3Client, bucket: str, upload: Upload) -> Outcome:
    """Put one object unless it is there; asking first spares sending every release again in every run."""
    for attempt in range(_ATTEMPTS):
        existing = _existing_sha256(client, bucket, upload.key)
        if existing == upload.sha256:
            return "present"
        if existing is not None:
            raise UploadError(
                f"s3://{bucket}/{upload.key} is not {upload.what} as released: SHA-256 {existing.hex()} instead of "
                f"{upload.sha256.hex()}. Released objects are never overwritten, because accounts rely on them. Find "
                f"out who wrote it; to restore it, delete that object version so that the one below it shows again."
            )
        try:
            client.put_object(
                Bucket=bucket,
                Key=upload.key,
                Body=upload.content,
                IfNoneMatch="*",
                ChecksumSHA256=base64.b64encode(upload.sha256).decode(),
                ContentType=_TYPES[".json" if upload.key.endswith(TEMPLATE) else ".zip"],
            )
        except ClientError as err:
            # 412: it has appeared meanwhile; 409: somebody is writing it right now. Both times, look again.
            raced = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (409, 412)
            if not raced or attempt == _ATTEMPTS - 1:
                raise
        else:
            return "uploaded"
    raise AssertionError("unreachable: the last attempt returns or raises")


def _existing_sha256(client: S3Client, bucket: str, key: str) -> bytes | None:
    """Return the digest of the object of that key, or None when there is none."""
    try:
        head = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError as err:
        if err.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            return None  # also when the bucket itself is missing, which the put then says
        raise
    checksum = head.get("ChecksumSHA256", "")
    if checksum and "-" not in checksum:  # "-" marks a checksum of checksums, of an object that was sent in parts
        return base64.b64decode(checksum)
    return hashlib.sha256(client.get_object(Bucket=bucket, Key=key)["Body"].read()).digest()
