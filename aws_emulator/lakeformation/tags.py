"""LF-tags: their keys and values, and what has them.

Pages below https://docs.aws.amazon.com/lake-formation/latest/dg/: TBAC-creating-tags, TBAC-assigning-tags,
lf-tag-considerations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ministack.core.responses import get_account_id

from aws_emulator.bridge import overlay
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam.callers import caller
from aws_emulator.lakeformation.decision import Resource
from aws_emulator.lakeformation.grants import alone
from aws_emulator.lakeformation.store import lake
from aws_emulator.lakeformation.structures import invalid, require_columns, resource_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_emulator.lakeformation.decision import Path

_LONGEST: Final = 50
_DENIED: Final = "Insufficient Lake Formation permission(s): Required {} on LF-Tag"


def _require(permission: str, resource: Resource) -> None:
    """Check that the caller is an administrator or was granted something on a tag, or on the catalog."""
    who, found = caller(), lake()
    if resource.path[0] == who.account and found.is_administrator(who.arn, who.account):
        return
    granted = found.granted(resource.path[0], found.me(who.arn))
    if not any(permission in held and found.covers(own, resource) for own, held in granted):
        raise ServiceError("AccessDeniedException", _DENIED.format(permission.title()))


def _named(request: Json) -> tuple[str, str]:
    return request.get("CatalogId") or get_account_id(), request["TagKey"].lower()


def _values(values: Iterable[str]) -> list[str]:
    found = list(dict.fromkeys(value.lower() for value in values))
    if any(len(value) > _LONGEST for value in found):
        raise invalid(f"Keys and values of LF-Tags have at most {_LONGEST} characters.")
    return found


def _known(key: tuple[str, str]) -> list[str]:
    if key not in lake().tag_values:
        raise ServiceError("EntityNotFoundException", f"Tag key does not exist: {key[1]}")
    return lake().tag_values[key]


@overlay("lakeformation", "CreateLFTag")
def create_tag(request: Json) -> Json:
    """Create a tag; everything is granted on it to whoever creates it."""
    key = _named(request)
    _require("CREATE_LF_TAG", Resource("CATALOG", key[:1]))
    if key in lake().tag_values:
        raise ServiceError("AlreadyExistsException", f"Tag key already exists: {key[1]}")
    lake().tag_values[key] = values = _values([key[1], *request["TagValues"]])[key[1] not in request["TagValues"] :]
    everything = dict.fromkeys(("ALTER", "ASSOCIATE", "DESCRIBE", "DROP", "GRANT_WITH_LF_TAG_EXPRESSION"), True)
    lake().grants[key[0], caller().arn, Resource("TAG", key, tuple(sorted(values)))] = everything
    return {}


@overlay("lakeformation", "UpdateLFTag")
def update_tag(request: Json) -> Json:
    """Add and remove values."""
    key = _named(request)
    values = _known(key)
    _require("ALTER", Resource("TAG", key, tuple(values)))
    gone = set(_values(request.get("TagValuesToDelete") or ()))
    in_use = {t[key[1]] for path, t in lake().tags.items() if path[0] == key[0] and key[1] in t} & gone
    if in_use or gone - set(values):
        raise invalid(f"Values are in use or do not exist: {sorted(in_use or gone - set(values))}")
    kept = [value for value in values if value not in gone]
    lake().tag_values[key] = _values([*kept, *(request.get("TagValuesToAdd") or ())])
    return {}


@overlay("lakeformation", "DeleteLFTag")
def delete_tag(request: Json) -> Json:
    """Delete a tag; what had it has it no more."""
    key = _named(request)
    _require("DROP", Resource("TAG", key, tuple(_known(key))))
    del lake().tag_values[key]
    for path, tags in lake().tags.items():
        if path[0] == key[0]:
            tags.pop(key[1], None)
    return {}


def _shown(key: Path) -> Json:
    return {"CatalogId": key[0], "TagKey": key[1], "TagValues": lake().tag_values[key]}


@overlay("lakeformation", "GetLFTag")
def _get(request: Json) -> Json:
    key = _named(request)
    _require("DESCRIBE", Resource("TAG", key, tuple(_known(key))))
    return _shown(key)


@overlay("lakeformation", "ListLFTags")
def _list(request: Json) -> Json:
    account, who, found = request.get("CatalogId") or get_account_id(), caller(), lake()
    administers = found.is_administrator(who.arn, account)
    mine = [own for own, _ in found.granted(account, found.me(who.arn) | found.names(who.account))]
    keys = [key for key in sorted(found.tag_values) if key[0] == account]
    return {"LFTags": [_shown(key) for key in keys if administers or any(own.path == key for own in mine)]}


def _paths(request: Json) -> list[Path]:
    """Return the databases, tables or columns that a request names, which the caller may change."""
    who, found = caller(), lake()
    resource = resource_of(request["Resource"], get_account_id())
    path = resource.path
    if resource.kind not in {"DATABASE", "TABLE", "COLUMNS"} or path[-1] == "*":
        raise invalid("LF-Tags are for databases, tables and columns.")
    if path not in (found.databases if len(path) == 2 else found.tables):
        raise ServiceError("EntityNotFoundException", f"Not found: {path[-1]}")
    owns = path[0] == who.account  # lf-tag-considerations: only in the account that owns it
    if not owns or not (found.is_administrator(who.arn, who.account) or found.permits(who.arn, "ALTER", path)):
        raise ServiceError("AccessDeniedException", "Insufficient Lake Formation permission(s) on the resource.")
    if resource.kind != "COLUMNS":
        return [path]
    require_columns(path, resource.detail[0] or ())
    return [(*path, column) for column in resource.detail[0] or ()]


def _tag(request: Json, *, adds: bool) -> Json:
    failures, paths = [], _paths(request)
    with alone(Resource("TABLE", paths[0])):
        for pair in request["LFTags"]:
            key, (value, *more) = _named(pair), _values(pair["TagValues"])
            try:
                if more or value not in _known(key):
                    raise ServiceError("EntityNotFoundException", f"Tag value does not exist: {key[1]} {value}")
                _require("ASSOCIATE", Resource("TAG", key, (value,)))
                for path in paths:
                    tags = lake().tags.setdefault(path, {})
                    tags |= {key[1]: value}
                    if not adds:
                        del tags[key[1]]
            except ServiceError as error:
                detail = {"ErrorCode": error.code, "ErrorMessage": error.message}
                failures.append({"LFTag": pair, "Error": detail})
    return {"Failures": failures}


@overlay("lakeformation", "AddLFTagsToResource")
def add_tags(request: Json) -> Json:
    """Give a resource tags; one value of a key takes the place of another."""
    return _tag(request, adds=True)


@overlay("lakeformation", "RemoveLFTagsFromResource")
def remove_tags(request: Json) -> Json:
    """Take tags away from a resource."""
    return _tag(request, adds=False)


@overlay("lakeformation", "GetResourceLFTags")
def _of_resource(request: Json) -> Json:
    found, who = lake(), caller()
    path = resource_of(request["Resource"], get_account_id()).path
    if not found.permits(who.arn, "DESCRIBE", path):
        raise ServiceError("AccessDeniedException", "Insufficient Lake Formation permission(s) on the resource.")
    assigned = request.get("ShowAssignedLFTags")

    def of(place: Path) -> list[Json]:
        tags = found.tags.get(place, {}) if assigned else found.tags_of(place)
        return [{"CatalogId": path[0], "TagKey": key, "TagValues": [value]} for key, value in sorted(tags.items())]

    shown: Json = {"LFTagOnDatabase": of(path[:2])}
    if len(path) == 3:
        columns = [{"Name": name, "LFTags": of((*path, name))} for name in sorted(found.columns(path))]
        shown |= {"LFTagsOnTable": of(path), "LFTagsOnColumns": [column for column in columns if column["LFTags"]]}
    return shown
