"""CloudFormation's types of Lake Formation and of Glue's catalog.

What a property changes follows from the schemas. Sources for the rest:
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_LakeFormation.html (MutationType).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ministack.core.responses import get_account_id

from aws_emulator import bridge
from aws_emulator.cloudformation.resources import physical_name, resource_type
from aws_emulator.core import Json, ServiceError
from aws_emulator.shapes import request_of

if TYPE_CHECKING:
    from collections.abc import Callable


def _lake(operation: str, properties: Json) -> Json:
    request = request_of("lakeformation", operation, {"CatalogId": properties.get("Catalog"), **properties})
    answer = bridge.call(
        "lakeformation", operation, {key: value for key, value in request.items() if value is not None}
    )
    if answer.get("Failures"):
        detail = answer["Failures"][0]["Error"]
        raise ServiceError(detail["ErrorCode"], detail["ErrorMessage"])
    return answer


def _plain(name: str, create: str, delete: str, *, update: str = "", made: Callable[[Json], Json]) -> None:
    """Register a type whose properties are those of its operations."""

    def created(properties: Json, _logical_id: str, _stack: str) -> Json:
        _lake(create, properties)
        return made(properties)

    def updated(_ref: str, _old: Json, new: Json) -> Json:
        _lake(update, new)
        return made(new)

    changed = updated if update else None
    resource_type(name, create=created, update=changed, delete=lambda _ref, properties: _lake(delete, properties))


def _settings(properties: Json, *, adds: bool = True) -> Json:
    """Put settings: with MutationType APPEND, and when the resource is deleted, those of others stay."""
    before = _lake("GetDataLakeSettings", {})["DataLakeSettings"]
    given = {key: value for key, value in properties.items() if key not in {"Admins", "MutationType"}}
    named = properties.get("Admins") or []
    others = [principal for principal in before["DataLakeAdmins"] if principal not in named]
    replaces = adds and properties.get("MutationType", "REPLACE") == "REPLACE"
    administrators = [*(() if replaces else others), *(named if adds else ())]
    settings = {**({} if replaces else before), **(given if adds else {}), "DataLakeAdmins": administrators}
    _lake("PutDataLakeSettings", {"DataLakeSettings": settings})
    return {"Id": get_account_id()}


resource_type(
    "AWS::LakeFormation::DataLakeSettings",
    create=lambda properties, _logical_id, _stack: _settings(properties),
    update=lambda _ref, _old, new: _settings(new),
    delete=lambda _ref, properties: _settings(properties, adds=False),
)


def _update_tag(_ref: str, old: Json, new: Json) -> Json:
    added = [value for value in new["TagValues"] if value not in old["TagValues"]]
    removed = [value for value in old["TagValues"] if value not in new["TagValues"]]
    _lake("UpdateLFTag", {**new, "TagValuesToAdd": added or None, "TagValuesToDelete": removed or None})
    return {}


resource_type(
    "AWS::LakeFormation::Tag",
    create=lambda properties, _logical_id, _stack: _lake("CreateLFTag", properties),
    update=_update_tag,
    delete=lambda _ref, properties: _lake("DeleteLFTag", properties),
)


def _identified(*names: str) -> Callable[[Json], Json]:
    """Return what makes an identifier of properties."""
    return lambda properties: {f"{name}Identifier": json.dumps(properties[name], sort_keys=True) for name in names}


_plain(
    "AWS::LakeFormation::Resource",
    "RegisterResource",
    "DeregisterResource",
    update="UpdateResource",
    made=lambda properties: {"Id": properties["ResourceArn"]},
)
_plain(
    "AWS::LakeFormation::PrincipalPermissions",
    "GrantPermissions",
    "RevokePermissions",
    made=_identified("Principal", "Resource"),
)
_plain(
    "AWS::LakeFormation::TagAssociation",
    "AddLFTagsToResource",
    "RemoveLFTagsFromResource",
    made=lambda p: {**_identified("Resource")(p), "TagsIdentifier": json.dumps(p["LFTags"], sort_keys=True)},
)
resource_type(
    "AWS::LakeFormation::DataCellsFilter",
    create=lambda properties, _logical_id, _stack: _lake("CreateDataCellsFilter", {"TableData": properties}),
    delete=lambda _ref, properties: _lake("DeleteDataCellsFilter", properties),
)


def _catalog_type(noun: str) -> None:
    """Register a type of Glue: its name is in its input, in a property of its own, or generated."""
    name, given, within = f"{noun}Name" if noun == "Database" else "Name", f"{noun}Input", ("CatalogId", "DatabaseName")

    def glue(operation: str, properties: Json, key: str, logical_id: str = "", stack: str = "") -> Json:
        if properties.get("OpenTableFormatInput"):
            raise ServiceError("InvalidInputException", "OpenTableFormatInput is not emulated.")
        chosen = properties.get(name) or properties[given].get("Name")
        chosen = chosen or physical_name({}, "", logical_id, stack, limit=255).lower()
        named = {key: chosen, given: {**properties[given], "Name": chosen}}
        request = {member: properties[member] for member in within if member in properties} | named
        bridge.call("glue", operation, request_of("glue", operation, request))
        return {name: chosen}

    resource_type(
        f"AWS::Glue::{noun}",
        create=lambda properties, logical_id, stack: glue(f"Create{noun}", properties, "Name", logical_id, stack),
        update=lambda ref, _old, new: glue(f"Update{noun}", {**new, name: ref}, "Name"),
        delete=lambda ref, properties: glue(f"Delete{noun}", {**properties, name: ref}, "Name"),
    )


_catalog_type("Database")
_catalog_type("Table")
