"""Lambda: code of a bucket in another account, and errors of functions behind custom resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation import custom_resource

from aws_emulator import core, inside
from aws_emulator.iam import permissions as iam
from aws_emulator.inside import replaces
from aws_emulator.s3 import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_emulator.core import Json

Result: TypeAlias = Any
"""What MiniStack knows about an invocation."""


@replaces(inside.lambda_svc, "fetch_code_from_s3")
def _fetch_code(_original: object, bucket: str, key: str, version_id: str | None = None) -> bytes:
    """Read a function's code as the account that creates the function.

    MiniStack looks in that account's own buckets only, and creates the function without code when there is nothing.

    Raises:
        ValueError: The object does not exist or the account is not allowed to read it, in the wording of Lambda.
    """
    owner = inside.s3.bucket_owner_account(bucket)
    object_arn = f"arn:aws:s3:::{bucket}/{key}"
    failed = "Error occurred while GetObject. S3 Error Code:"
    if owner is None:
        raise ValueError(f"{failed} NoSuchBucket. S3 Error Message: The specified bucket does not exist: {bucket}")
    if owner != get_account_id():
        encrypted_with = key_of(bucket, owner)
        through_s3 = {"kms:ViaService": f"s3.{get_region()}.amazonaws.com"}
        if not iam.is_allowed(get_account_id(), "s3:GetObject", object_arn) or (
            encrypted_with and not iam.is_allowed(get_account_id(), "kms:Decrypt", encrypted_with, through_s3)
        ):
            raise ValueError(f"{failed} AccessDenied. S3 Error Message: Access Denied: {object_arn}")
    with core.as_account(owner):
        content: bytes | None = inside.s3.get_object_data(bucket, key, version_id=version_id)
    if content is None:
        raise ValueError(f"{failed} NoSuchKey. S3 Error Message: The specified key does not exist: {object_arn}")
    return content


@replaces(inside.lambda_svc, "execute_function_with_config_scope")
def _execute(original: Callable[[Json, Json], Result], function: Json, event: Json) -> Result:
    """Fail a custom resource at once when its function ends with an error.

    On AWS the function is invoked twice more, minutes later, and the stack waits until ``ServiceTimeout``. Here
    that would be a long wait, and the reason would be lost.
    """
    result = original(function, event)
    url = event.get("ResponseURL") if isinstance(event, dict) else None
    if url and isinstance(result, dict) and result.get("error"):
        reason = f"The function ended with an error and no answer: {result.get('body') or result.get('log')}"
        answer = {"Status": "FAILED", "Reason": reason[:1000]}
        token = url.rsplit("/", 1)[1]
        if not (inside.custom_resource.pending.get(token) or {}).get("result"):
            custom_resource.deliver_response(token, answer)
    return result
