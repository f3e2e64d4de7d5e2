"""Which properties name a resource, and where that name is unique: derived from CloudFormation's schemas.

CloudFormation refuses a second creator of a name by it, and tests can hold templates against it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from aws_emulator.schemas import paths

if TYPE_CHECKING:
    from collections.abc import Mapping

Scope: TypeAlias = Literal["region", "account", "world"]

_UNNAMED: Final = frozenset(
    {
        "AWS::IAM::Policy",  # its name is unique within each role that it is put into, and CDK takes it from there
    }
)
"""Types with a name that need not be unique."""

_BY_HAND: Final[Mapping[str, tuple[str, ...]]] = {
    # Named within what they belong to, which their schemas do not count as part of the name.
    "AWS::ApiGateway::RequestValidator": ("Name", "RestApiId"),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ("PolicyName", "ScalingTargetId"),
    # CreateTagOption refuses a pair that exists; the schema has a generated id only.
    "AWS::ServiceCatalog::TagOption": ("Key", "Value"),
}
"""Types whose schema does not show what names them."""

_GLOBAL: Final[Mapping[str, Scope]] = {"AWS::IAM::": "account", "AWS::S3::Bucket": "world"}
"""Beginnings of types whose ARNs have no Region (service authorization reference, resource types)."""


@cache
def naming_properties(resource_type: str) -> tuple[str, ...]:
    """Return the properties that together name a resource; empty when AWS names it.

    A primary identifier that a template may set is the name. Where AWS generates the identifier, the name is a property
    that cannot be changed and is called one: ``QueueName``, or ``Name`` itself.

    Args:
        resource_type: e.g. ``AWS::IAM::Role``.

    Raises:
        SchemaError: cfn-lint knows no such type.
    """
    if resource_type in _BY_HAND:
        return _BY_HAND[resource_type]
    if resource_type in _UNNAMED:
        return ()
    identifier = paths(resource_type, "primaryIdentifier")
    if identifier and not set(paths(resource_type, "readOnlyProperties")) & set(identifier):
        return tuple(sorted(identifier))
    fixed = paths(resource_type, "createOnlyProperties")
    own = resource_type.rsplit("::", 1)[1]
    return tuple(name for name in fixed if name == "Name" or (name.endswith("Name") and own.endswith(name[:-4])))


def claimed_name(resource_type: str, properties: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the name that a resource claims; None when AWS makes one up.

    Args:
        resource_type: e.g. ``AWS::IAM::Role``.
        properties: Its properties, resolved.
    """
    naming = naming_properties(resource_type)
    if not naming or any(not isinstance(properties.get(name), str) for name in naming):
        return None
    return tuple(properties[name] for name in naming)


def scope_of_names(resource_type: str) -> Scope:
    """Return where the name of a type is unique: in a Region of an account, in the account, or in the world."""
    return next((scope for prefix, scope in _GLOBAL.items() if resource_type.startswith(prefix)), "region")
