"""What CloudFormation asks its principal for, as the configuration says (`Organization.permissions`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from aws_emulator import core

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_emulator.cloudformation.stack_arns import Resource
    from aws_emulator.core import Json

Value: TypeAlias = Any


@dataclass(frozen=True, kw_only=True)
class NotAsked:
    """Permissions that a schema names and CloudFormation does not ask for.

    Attributes:
        actions: Patterns of actions.
        types: Resource types; none for all.
        unless: Properties with which it is asked for after all.
        unless_removed: Properties with which it is asked for when an update takes them away.
    """

    actions: tuple[str, ...]
    types: tuple[str, ...]
    unless: tuple[str, ...]
    unless_removed: tuple[str, ...]

    def applies(self, action: str, resource: Resource, before: Json) -> bool:
        """Return whether CloudFormation does not ask for an action on a resource, which had other properties before."""
        if (self.types and resource.type not in self.types) or not any(fnmatchcase(action, a) for a in self.actions):
            return False
        after = resource.properties
        return not any(_has(found, path) for found in (after, before) for path in self.unless) and not any(
            _has(before, path) and not _has(after, path) for path in self.unless_removed
        )


@dataclass(frozen=True, kw_only=True)
class Table:
    """What types ask for.

    Attributes:
        asked: Actions by type and by what happens to the resource: create, read, update, delete.
        exceptions: What of them is not asked for.
        without_resource: Actions that are asked for without a resource, although the reference lists some.
        looked_up: Action with which a parameter is looked up, by the type that it names.
    """

    asked: Mapping[str, Mapping[str, Sequence[str]]]
    exceptions: Sequence[NotAsked]
    without_resource: frozenset[str]
    looked_up: Mapping[str, str]


@cache
def table() -> Table | None:
    """Return the table that was handed over; None if none was."""
    path = core.organization().permissions
    if path is None:
        return None
    raw = json.loads(path.read_text())
    rows = (
        NotAsked(**{key: tuple(row[key]) for key in ("actions", "types", "unless", "unless_removed")})
        for row in raw["exceptions"]
    )
    return Table(
        asked=raw["asked"],
        exceptions=tuple(rows),
        without_resource=frozenset(raw["without_resource"]),
        looked_up=raw["looked_up"],
    )


def _has(properties: Json, path: str) -> bool:
    found: Value = properties
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found not in (None, False, [], {})
