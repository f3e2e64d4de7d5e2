"""LF-tags: their keys and values, and what has them. Here only data lake administrators change them.

Pages below https://docs.aws.amazon.com/lake-formation/latest/dg/: TBAC-creating-tags, TBAC-assigning-tags,
lf-tag-considerations.
"""

from __future__ import annotations

from typing import Final

from aws_emulator.bridge import overlay
from aws_emulator.core import Json, ServiceError
from aws_emulator.lakeformation.grants import require_administrator
from aws_emulator.lakeformation.store import lake
from aws_emulator.lakeformation.structures import invalid, require_columns, resource_of

_LONGEST: Final = 50


@overlay("lakeformation", "CreateLFTag")
def _create(request: Json) -> Json:
    key = (require_administrator().account, request["TagKey"].lower())
    values = list(dict.fromkeys(value.lower() for value in request["TagValues"]))
    if key in lake().tag_values:
        raise ServiceError("AlreadyExistsException", f"Tag key already exists: {key[1]}")
    if max(map(len, (key[1], *values))) > _LONGEST:
        raise invalid(f"Keys and values of LF-Tags have at most {_LONGEST} characters.")
    lake().tag_values[key] = values
    return {}


def _assign(operation: str, *, adds: bool) -> None:
    """Give a database, table or columns tags, or take them away: one value of a key takes the place of another."""

    @overlay("lakeformation", operation)
    def answer(request: Json) -> Json:
        who, found, failures = require_administrator(), lake(), []
        resource = resource_of(request["Resource"], who.account)
        path, columns = resource.path, (resource.detail[0] or ()) if resource.kind == "COLUMNS" else ()
        if path not in (found.databases if len(path) == 2 else found.tables) or path[0] != who.account:
            raise ServiceError("EntityNotFoundException", f"Not found in this account: {path[-1]}")
        if columns:
            require_columns(path, columns)
        for pair in request["LFTags"]:
            key, value = pair["TagKey"].lower(), pair["TagValues"][0].lower()
            if value not in found.tag_values.get((who.account, key), ()):
                detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": f"No such tag: {key} {value}"}
                failures.append({"LFTag": pair, "Error": detail})
                continue
            for place in [(*path, column) for column in columns] or [path]:
                tags = {name: own for name, own in found.tags.get(place, {}).items() if name != key}
                found.tags[place] = tags | ({key: value} if adds else {})
        return {"Failures": failures}


_assign("AddLFTagsToResource", adds=True)
_assign("RemoveLFTagsFromResource", adds=False)
