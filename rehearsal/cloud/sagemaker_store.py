"""What the parts of SageMaker share here: tags, pages of lists, and who made something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rehearsal.cloud import core
from rehearsal.cloud.callers import authorize, caller
from rehearsal.cloud.core import Json, Records, ServiceError, overlay

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVICE: Final = "sagemaker"
PAGE: Final = 10
"""Items of a list page unless the request says otherwise, as the API reference documents for most lists."""

_KINDS: Final = (
    "domain",
    "user-profile",
    "model-package-group",
    "model-package",
    "model-card",
    "pipeline",
    "project",
    "model",
    "endpoint-config",
    "endpoint",
    "transform-job",
    "processing-job",
    "training-job",
)
"""Resource types kept here; the others moto keeps, tags included."""

_tags: Final = Records()


def authorize_tags(operation: str, arn: str, tags: Sequence[Json] | None) -> None:
    """Check that the caller may tag a resource while it is created (Service Authorization Reference, AddTags).

    Args:
        operation: What creates it, e.g. ``CreateTrainingJob``.
        arn: The resource.
        tags: Its tags; without any there is nothing to check.

    Raises:
        ServiceError: The caller may not.
    """
    if tags:
        keys = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}
        authorize(
            "sagemaker:AddTags",
            arn,
            context={**keys, "aws:TagKeys": [tag["Key"] for tag in tags], "sagemaker:TaggingAction": operation},
        )


def set_tags(arn: str, tags: Sequence[Json] | None) -> None:
    """Give a new resource its tags."""
    _tags[arn] = {tag["Key"]: tag["Value"] for tag in tags or []}


def drop_tags(arn: str) -> None:
    """Forget the tags of a deleted resource."""
    _tags.pop(arn, None)


def tags_of(arn: str) -> dict[str, str]:
    """Return the tags of a resource that is kept here."""
    return dict(_tags.get(arn) or {})


def change_tags(arn: str, old: Json, new: Json) -> None:
    """Change the tags that a template gives a resource; tags from elsewhere stay."""
    tags = _tags[arn]
    for tag in old.get("Tags", []):
        tags.pop(tag["Key"], None)
    tags.update({tag["Key"]: tag["Value"] for tag in new.get("Tags", [])})


def _is_here(arn: str) -> bool:
    """Whether the tags of a resource are kept here; one of a type kept here that does not exist is an error."""
    if arn not in _tags and arn.split(":", 5)[-1].partition("/")[0] in _KINDS:
        raise not_found("Resource", arn)
    return arn in _tags


def _listed(arn: str) -> list[Json]:
    return [{"Key": key, "Value": value} for key, value in _tags[arn].items()]


@overlay(SERVICE, "AddTags")
def add_tags(request: Json) -> Json:
    """Add tags to a resource."""
    arn = request["ResourceArn"]
    if not _is_here(arn):
        return core.moto(SERVICE, "AddTags", request)
    _tags[arn].update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
    return {"Tags": _listed(arn)}


@overlay(SERVICE, "ListTags")
def list_tags(request: Json) -> Json:
    """List the tags of a resource."""
    arn = request["ResourceArn"]
    if not _is_here(arn):
        return core.moto(SERVICE, "ListTags", request)
    return page(request, "Tags", _listed(arn), size=50)


@overlay(SERVICE, "DeleteTags")
def delete_tags(request: Json) -> Json:
    """Remove tags from a resource."""
    arn = request["ResourceArn"]
    if not _is_here(arn):
        return core.moto(SERVICE, "DeleteTags", request)
    for key in request["TagKeys"]:
        _tags[arn].pop(key, None)
    return {}


def page(request: Json, key: str, items: list[Json], *, size: int = PAGE) -> Json:
    """Return one page of a list; the token is the position of the next item."""
    size = int(request.get("MaxResults") or size)
    start = int(request.get("NextToken") or 0)
    response: Json = {key: items[start : start + size]}
    if start + size < len(items):
        response["NextToken"] = str(start + size)
    return response


def sort(request: Json, items: list[Json], fields: dict[str, str], *, order: str = "Ascending") -> list[Json]:
    """Return items in the order a request asks for.

    Args:
        request: With ``SortBy`` and ``SortOrder``, both optional.
        items: What to sort.
        fields: Field of an item by value of ``SortBy``; the first one is the default.
        order: Default of ``SortOrder``.
    """
    by = fields[request.get("SortBy") or next(iter(fields))]
    descending = request.get("SortOrder", order) == "Descending"
    return sorted(items, key=lambda item: item[by], reverse=descending)


def user_context() -> Json:
    """Return the caller as the API shows who made or changed something."""
    who = caller()
    return {"IamIdentity": {"Arn": who.session_arn, "PrincipalId": who.session_arn.rsplit("/", 1)[-1]}}


def not_found(kind: str, arn: str) -> ServiceError:
    """Return the error with which the model registry answers for what is not there."""
    return ServiceError("ValidationException", f"{kind} {arn} does not exist.")
