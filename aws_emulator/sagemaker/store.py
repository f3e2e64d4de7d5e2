"""What the parts of SageMaker share here: tables, tags, and who made something."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from aws_emulator.bridge import overlay
from aws_emulator.iam.callers import authorize, caller
from aws_emulator.records import Table, tag_list, tag_map, tags_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_emulator.core import Json

SERVICE: Final = "sagemaker"
PRINCIPAL: Final = "sagemaker.amazonaws.com"


table: Final = functools.partial(Table, service=SERVICE)
"""Makes a table of SageMaker's."""


def authorize_tags(operation: str, arn: str, tags: Sequence[Json] | None) -> None:
    """Check that the caller can tag a resource while it is created (Service Authorization Reference, AddTags).

    Args:
        operation: What creates it, e.g. ``CreateTrainingJob``.
        arn: The resource.
        tags: Its tags; without any there is nothing to check.

    Raises:
        ServiceError: The caller is not allowed to.
    """
    if tags:
        keys: dict[str, Any] = {f"aws:RequestTag/{key}": value for key, value in tag_map(tags).items()}
        keys |= {"aws:TagKeys": list(tag_map(tags)), "sagemaker:TaggingAction": operation}
        authorize("sagemaker:AddTags", arn, context=keys)


@overlay(SERVICE, "AddTags")
def add_tags(request: Json) -> Json:
    """Add tags to a resource."""
    tags = tags_of(request["ResourceArn"])
    tags.update(tag_map(request["Tags"]))
    return {"Tags": tag_list(tags)}


@overlay(SERVICE, "ListTags")
def list_tags(request: Json) -> Json:
    """List the tags of a resource."""
    return {"Tags": tag_list(tags_of(request["ResourceArn"]))}


def user_context() -> Json:
    """Return the caller as the API shows who made or changed something."""
    who = caller()
    return {"IamIdentity": {"Arn": who.session_arn, "PrincipalId": who.session_arn.rsplit("/", 1)[-1]}}
