"""S3: whoever reads or writes an object encrypted with a customer key needs permission for the key as well.

MiniStack stores what a bucket says about encryption but never asks KMS, so a missing ``kms:Decrypt`` goes unnoticed.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html#require-sse-kms (permissions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import kms, s3

from rehearsal.cloud import core, iam

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rehearsal.cloud.core import Json, Reply

_ALGORITHM: Final = "x-amz-server-side-encryption"
_KEY: Final = "x-amz-server-side-encryption-aws-kms-key-id"
_SUBRESOURCES: Final = ("acl", "tagging", "retention", "legal-hold", "attributes")
_DENIED: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>User: {caller} is not authorized '
    "to perform: {action} on resource: {key} because neither an identity-based policy nor the key policy allows it"
    "</Message></Error>"
)


def _key_record(key: str, account: str) -> Json | None:
    with core.as_account(key.split(":")[4] if key.startswith("arn:") else account):
        found: Json | None = kms._resolve_key(key)
        return found


@dataclass(frozen=True)
class _Caller:
    access_key: str
    account: str
    arn: str


def _caller() -> _Caller:
    account = get_account_id()
    verified = iam_evaluator._verified_key.get()  # empty for the root of an account
    return _Caller(verified or account, account, iam_evaluator.caller_arn())


def _denied(caller: _Caller, action: str, key: str, owner: str) -> Reply | None:
    """Return the refusal when the caller may not use the key of a bucket owner's object, else None."""
    record = _key_record(key, owner)
    arn = record["Arn"] if record else key
    context = {"kms:ViaService": f"s3.{get_region()}.amazonaws.com", "kms:CallerAccount": caller.account}
    with core.as_account(caller.account):
        if record and iam.may(caller.access_key, action, arn, context | _aliases(record, owner)):
            return None
    body = _DENIED.format(caller=caller.arn, action=action, key=arn)
    return 403, {"Content-Type": "application/xml"}, body.encode()


def _aliases(record: Json, account: str) -> dict[str, Any]:
    with core.as_account(account):
        names = [arn.split(":", 5)[5] for arn, key in kms._aliases.items() if key == record["KeyId"]]
    return {"kms:ResourceAliases": names}


def _customer_key(bucket: str, owner: str, headers: Mapping[str, str]) -> str | None:
    """Return the customer key that the headers of an object name, else the bucket's default, or None."""
    if headers.get(_ALGORITHM):
        return headers.get(_KEY) if headers[_ALGORITHM] == "aws:kms" else None
    with core.as_account(owner):
        defaults: dict[str, str] = s3._bucket_default_sse_headers(bucket)
    return defaults.get(_KEY) if defaults.get(_ALGORITHM) == "aws:kms" else None


def _refused_write(
    caller: _Caller, method: str, bucket: str, headers: Mapping[str, str], query: Mapping[str, Any]
) -> Reply | None:
    owner = s3._bucket_owner_account(bucket)
    creates = method == "PUT" or (method == "POST" and "uploads" in query)
    completes = method == "POST" and "uploadId" in query
    if owner is None or not (creates or completes) or any(name in query for name in _SUBRESOURCES):
        return None
    key = _customer_key(bucket, owner, headers)
    if key is None:
        return None
    # Parts of an upload are decrypted again when they are put together.
    return _denied(caller, "kms:Decrypt" if completes else "kms:GenerateDataKey", key, owner)


def _install_handler() -> None:
    original = app.SERVICE_HANDLERS["s3"]

    async def handler(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Reply:
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        caller = _caller()  # before MiniStack goes on as the owner of the bucket
        if key and (refused := _refused_write(caller, method, bucket, headers, query)):
            return refused
        answer: Reply = await original(method, path, headers, body, query)
        if method == "GET" and key and answer[0] < 300 and not any(name in query for name in _SUBRESOURCES):
            owner = s3._bucket_owner_account(bucket)
            given = {name.lower(): value for name, value in answer[1].items()}
            # What the object says about its key, or else what its bucket says: MiniStack answers AES256 for an object
            # that was encrypted by the bucket's default.
            used = given.get(_KEY) or (_customer_key(bucket, owner, {}) if owner else None)
            if owner and used:
                return _denied(caller, "kms:Decrypt", used, owner) or answer
        return answer

    app.SERVICE_HANDLERS["s3"] = handler


def key_of(bucket: str, owner: str) -> str | None:
    """Return the ARN of the customer key with which a bucket encrypts by default, or None."""
    key = _customer_key(bucket, owner, {})
    record = _key_record(key, owner) if key else None
    return str(record["Arn"]) if record else None


def _bucket_policy(resource_arn: str) -> tuple[str, str] | None:
    """Return the policy of a bucket and its owner, whoever that is."""
    bucket = resource_arn.removeprefix("arn:aws:s3:::").split("/", 1)[0]
    owner = s3._bucket_owner_account(bucket)
    return (s3._bucket_policies.get_scoped(owner, None, bucket) or "", owner) if owner else None


def _install_key_policies() -> None:
    """Find the policy of a key of another account: MiniStack looks only in the caller's."""

    def policy(resource_arn: str) -> tuple[str, str] | None:
        owner = resource_arn.split(":")[4]
        record = _key_record(resource_arn, owner)
        return (record.get("Policy") or "", owner) if record else None

    kms.key_policy_for_arn = policy


def install() -> None:
    """Ask for the permission to use a key."""
    iam.POLICIES["s3"] = _bucket_policy
    _install_key_policies()
    _install_handler()
