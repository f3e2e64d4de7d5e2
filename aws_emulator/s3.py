"""S3: permissions for the keys of encrypted objects, and copies out of buckets of other accounts.

Reading or writing an object encrypted with a customer key takes permission for the key as well. MiniStack stores
what a bucket says about encryption but never asks KMS, so a missing ``kms:Decrypt`` goes unnoticed.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html#require-sse-kms (permissions).

Policies know the tags of a bucket only after its owner switched that on with PutBucketAbac; from then on
PutBucketTagging is refused, and TagResource of S3 Control sets tags.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/buckets-tagging-enable-abac.html.

CopyObject and UploadPartCopy read their source as the caller, whoever owns it. MiniStack looks for it in the account of
the destination only. Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html (permissions).

A request can name the accounts that have to own the buckets; MiniStack ignores that.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

from ministack import app
from ministack.core.responses import get_account_id, get_region
from ministack.services import kms

from aws_emulator import core, inside
from aws_emulator.cloudformation.resources import completes
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import caller
from aws_emulator.inside import replaces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from aws_emulator.core import Json, Reply
    from aws_emulator.iam.callers import Caller

_ALGORITHM: Final = "x-amz-server-side-encryption"
_KEY: Final = "x-amz-server-side-encryption-aws-kms-key-id"
_SUBRESOURCES: Final = ("acl", "tagging", "retention", "legal-hold", "attributes")
_DENIED: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>User: {caller} is not authorized '
    "to perform: {action} on resource: {key} because neither an identity-based policy nor the key policy allows it"
    "</Message></Error>"
)


def _xml(status: int, text: str = "") -> Reply:
    return status, {"Content-Type": "application/xml"}, text.encode()  # MiniStack adds headers to the dictionary


def _key_record(key: str, account: str) -> Json | None:
    with core.as_account(key.split(":")[4] if key.startswith("arn:") else account):
        found: Json | None = inside.kms.resolve_key(key)
        return found


def _denied(who: Caller, action: str, key: str, owner: str) -> Reply | None:
    """Return the refusal when the caller is not allowed to use the key of a bucket owner's object, else None."""
    record = _key_record(key, owner)
    arn = record["Arn"] if record else key
    context = {"kms:ViaService": f"s3.{get_region()}.amazonaws.com", "kms:CallerAccount": who.account}
    with core.as_account(who.account):
        if record and iam.is_allowed(who.access_key, action, arn, context | _aliases(record, owner)):
            return None
    return _xml(403, _DENIED.format(caller=who.session_arn, action=action, key=arn))


def _aliases(record: Json, account: str) -> dict[str, Any]:
    with core.as_account(account):
        names = [arn.split(":", 5)[5] for arn, key in inside.kms.aliases.items() if key == record["KeyId"]]
    return {"kms:ResourceAliases": names}


def _customer_key(bucket: str, owner: str, headers: Mapping[str, str]) -> str | None:
    """Return the customer key that the headers of an object name, else the bucket's default, or None."""
    if headers.get(_ALGORITHM):
        return headers.get(_KEY) if headers[_ALGORITHM] == "aws:kms" else None
    with core.as_account(owner):
        defaults: dict[str, str] = inside.s3.bucket_default_sse_headers(bucket)
    return defaults.get(_KEY) if defaults.get(_ALGORITHM) == "aws:kms" else None


def _refused_owner(bucket: str, source: str | None, headers: Mapping[str, str]) -> Reply | None:
    """Return the refusal when a bucket belongs to another account than the request says, else None."""
    for name, header in ((bucket, "x-amz-expected-bucket-owner"), (source, "x-amz-source-expected-bucket-owner")):
        owner = inside.s3.bucket_owner_account(name) if name else None
        if owner is not None and headers.get(header, owner) != owner:
            text = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            return _xml(403, text)
    return None


def _refused_write(
    who: Caller, method: str, bucket: str, headers: Mapping[str, str], query: Mapping[str, Any]
) -> Reply | None:
    owner = inside.s3.bucket_owner_account(bucket)
    creates = method == "PUT" or (method == "POST" and "uploads" in query)
    completes = method == "POST" and "uploadId" in query
    if owner is None or not (creates or completes) or any(name in query for name in _SUBRESOURCES):
        return None
    key = _customer_key(bucket, owner, headers)
    if key is None:
        return None
    # Parts of an upload are decrypted again when they are put together.
    return _denied(who, "kms:Decrypt" if completes else "kms:GenerateDataKey", key, owner)


@dataclass(frozen=True)
class _Source:
    """What a copy reads: an object, perhaps a version of it, in the bucket of an account."""

    bucket: str
    key: str
    version: str | None
    owner: str | None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> _Source | None:
        path, _, query = headers.get("x-amz-copy-source", "").lstrip("/").partition("?")
        bucket, _, key = unquote(path).partition("/")
        if not key:
            return None
        version = parse_qs(query).get("versionId", [None])[0]
        return cls(bucket, key, version, inside.s3.bucket_owner_account(bucket))


def _refused_source(who: Caller, source: _Source) -> Reply | None:
    """Return the refusal when the caller is not allowed to read the source of a copy, by the owner's policies too."""
    if source.owner is None:
        return None  # the copy fails because there is no such bucket
    action = "s3:GetObjectVersion" if source.version else "s3:GetObject"
    arn = f"arn:aws:s3:::{source.bucket}/{source.key}"
    with core.as_account(who.account):
        if not iam.is_allowed(who.access_key, action, arn):
            return _xml(403, _DENIED.format(caller=who.session_arn, action=action, key=arn))
    key = _customer_key(source.bucket, source.owner, {})
    return _denied(who, "kms:Decrypt", key, source.owner) if key else None


@contextlib.contextmanager
def _source_at_hand(headers: Mapping[str, str]) -> Iterator[None]:
    """Let MiniStack find the source of a copy that belongs to another account in the current one, for this copy."""
    source, here = _Source.of(headers), get_account_id()
    if source is None or source.owner in (None, here):
        yield
        return
    place = (source.bucket, source.key)
    with core.as_account(str(source.owner)):
        bucket, versions = inside.s3.buckets.get(source.bucket), inside.s3.object_versions.get(place)
    inside.s3.buckets[source.bucket] = bucket
    if versions is not None:
        inside.s3.object_versions[place] = versions
    try:
        yield
    finally:
        del inside.s3.buckets[source.bucket]
        inside.s3.object_versions.pop(place, None)


@replaces(inside.s3, "upload_part_copy")
@replaces(inside.s3, "copy_object")
def _copy(copy: Callable[..., Reply], bucket: str, key: str, *rest: Mapping[str, Any]) -> Reply:
    with _source_at_hand(rest[-1]):  # the headers
        return copy(bucket, key, *rest)


_abac: Final[dict[tuple[str, str], str]] = {}
"""Whether policies know the tags of a bucket, by its owner and name; Disabled where it is not listed."""


def _attributes(method: str, bucket: str, body: bytes, query: Mapping[str, Any]) -> Reply | None:
    """Answer Get- and PutBucketAbac, and refuse what a bucket with ABAC no longer takes; None is for MiniStack."""
    place = (inside.s3.bucket_owner_account(bucket) or "", bucket)
    if "abac" in query and place[0]:
        if method == "PUT":
            _abac[place] = re.findall(rb"<Status>(Enabled|Disabled)</Status>", body)[0].decode()
            return _xml(200)
        status = _abac.get(place, "Disabled")
        return _xml(200, f"<AbacStatus><Status>{status}</Status></AbacStatus>")
    if "tagging" in query and method != "GET" and _abac.get(place) == "Enabled":
        message = "ABAC is enabled: use TagResource or UntagResource"
        return _xml(400, f"<Error><Code>InvalidRequest</Code><Message>{message}</Message></Error>")
    return None


def _tags(resource_arn: str) -> dict[str, str]:
    """Return the tags of a bucket that policies know, for the bucket and for its objects."""
    bucket = resource_arn.removeprefix("arn:aws:s3:::").split("/", 1)[0]
    owner = inside.s3.bucket_owner_account(bucket)
    if owner is None or _abac.get((owner, bucket)) != "Enabled":
        return {}
    with core.as_account(owner):
        return dict(inside.s3.bucket_tags.get(bucket, {}))


@replaces(app.SERVICE_HANDLERS, "s3")
async def _handle(  # noqa: PLR0917 - MiniStack's signature
    handle: Callable[..., Awaitable[Reply]],
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    query: Mapping[str, Any],
) -> Reply:
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    who = caller()  # before MiniStack goes on as the owner of the bucket
    source = _Source.of(headers) if method == "PUT" else None
    if refused := _refused_owner(bucket, source.bucket if source else None, headers):
        return refused
    if key and (refused := _refused_write(who, method, bucket, headers, query)):
        return refused
    if not key and (answered := _attributes(method, bucket, body, query)):
        return answered
    if source and (refused := _refused_source(who, source)):
        return refused
    answer = await handle(method, path, headers, body, query)
    # Asking for the checksum of an encrypted object takes the key too (HeadObject, API reference).
    reads = method == "GET" or (method == "HEAD" and headers.get("x-amz-checksum-mode", "").upper() == "ENABLED")
    if reads and key and answer[0] < 300 and not any(name in query for name in _SUBRESOURCES):
        owner = inside.s3.bucket_owner_account(bucket)
        given = {name.lower(): value for name, value in answer[1].items()}
        # What the object says about its key, or else what its bucket says: MiniStack answers AES256 for an object
        # that was encrypted by the bucket's default.
        used = given.get(_KEY) or (_customer_key(bucket, owner, {}) if owner else None)
        if owner and used:
            return _denied(who, "kms:Decrypt", used, owner) or answer
    return answer


def may_read(who: Caller, bucket: str, key: str, record: Json) -> bool:
    """Return whether a principal may read an object, and use the key with which it is encrypted.

    Args:
        who: The principal, whoever makes the request.
        bucket: A bucket that is there.
        key: Key of the object.
        record: MiniStack's record of the object.
    """
    with core.as_account(who.account):
        if not iam.is_allowed(who.access_key, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}"):
            return False
    owner = str(inside.s3.bucket_owner_account(bucket))
    used = _customer_key(bucket, owner, record.get("preserved_headers", {}))
    return used is None or _denied(who, "kms:Decrypt", used, owner) is None


def key_of(bucket: str, owner: str) -> str | None:
    """Return the ARN of the customer key with which a bucket encrypts by default, or None."""
    key = _customer_key(bucket, owner, {})
    record = _key_record(key, owner) if key else None
    return str(record["Arn"]) if record else None


def _bucket_policy(resource_arn: str) -> tuple[str, str] | None:
    """Return the policy of a bucket and its owner, whoever that is."""
    bucket = resource_arn.removeprefix("arn:aws:s3:::").split("/", 1)[0]
    owner = inside.s3.bucket_owner_account(bucket)
    return (inside.s3.bucket_policies.get_scoped(owner, None, bucket) or "", owner) if owner else None


@replaces(kms, "key_policy_for_arn")
def _key_policy(_original: object, resource_arn: str) -> tuple[str, str] | None:
    """Find the policy of a key of another account: MiniStack looks only in the caller's."""
    owner = resource_arn.split(":")[4]
    record = _key_record(resource_arn, owner)
    return (record.get("Policy") or "", owner) if record else None


@completes("AWS::S3::Bucket")
def _lock_objects(bucket: str, properties: Json) -> None:
    """Lock the objects of a bucket whose template says so (ObjectLockConfiguration).

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
    """
    if str(properties.get("ObjectLockEnabled", "")).lower() == "true":
        retention = properties.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention")
        numbers = {unit: int(retention[unit]) for unit in ("Days", "Years") if unit in retention} if retention else {}
        default = {"Mode": retention["Mode"], **numbers} if retention else None
        inside.s3.bucket_object_lock[bucket] = {"enabled": True, "default_retention": default}


iam.POLICIES["s3"] = _bucket_policy
iam.TAGS["s3"] = _tags
inside.iam_actions.S3_BUCKET_QUERY_ACTIONS["abac"] = {"GET": "GetBucketAbac", "PUT": "PutBucketAbac"}
