"""CloudFormation's schemas of resource types, in the copy that cfn-lint ships as data."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

from aws_emulator.reference import data

_REGION: Final = "us-east-1"
"""A region that has every type."""
_REF: Final = {"AWS::ApplicationAutoScaling::ScalingPolicy": ("Arn",), "AWS::Glue::Table": ("Name",)}
"""Types whose ``Ref`` is not their primary identifier (template reference, return values)."""


class SchemaError(Exception):
    """There is no schema of a type."""


@cache
def _files() -> dict[str, str]:
    found: dict[str, str] = json.loads(data("cfnlint", f"data/schemas/providers/{_REGION}.json"))
    return found


@cache
def schema(type_: str) -> dict[str, Any]:
    """Return the schema of a type.

    Raises:
        SchemaError: cfn-lint knows none.
    """
    if type_ not in _files():
        raise SchemaError(f"cfn-lint has no schema of {type_!r}: for a new type raise its version.")
    found: dict[str, Any] = json.loads(data("cfnlint", f"data/schemas/resources/{_files()[type_]}.json"))
    return found


@cache
def paths(type_: str, kind: str) -> tuple[str, ...]:
    """Return properties of a type, nested ones with slashes.

    Args:
        type_: e.g. ``AWS::IAM::Role``.
        kind: ``createOnlyProperties``, ``primaryIdentifier`` or ``readOnlyProperties``.

    Raises:
        SchemaError: cfn-lint knows no such type.
    """
    return tuple(path.removeprefix("/properties/") for path in schema(type_).get(kind, ()))


def identifier(type_: str) -> tuple[str, ...]:
    """Return the properties that ``Ref`` consists of."""
    return _REF.get(type_) or paths(type_, "primaryIdentifier")


def tag_property(type_: str) -> str | None:
    """Return the property with the tags of a type; None for one whose resources have none."""
    tagging = schema(type_).get("tagging")
    if isinstance(tagging, dict):
        return str(tagging["tagProperty"]).rsplit("/", 1)[-1] if tagging.get("taggable") else None
    return "Tags" if "Tags" in schema(type_)["properties"] else None
