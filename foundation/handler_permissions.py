"""What CloudFormation needs in order to create, read, update and delete a resource type, from its published schema.

The schemas, and a list of all IAM actions with the resources they work on, come with cfn-lint. Its files are read
directly: importing cfn-lint takes two seconds, which every synthesis would pay.
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SCHEMA_REGION: Final = "us-east-1"  # has every resource type

Phase: TypeAlias = Literal["create", "read", "update", "delete"]
"""What CloudFormation does to a resource: a handler of its type."""

PHASES: Final[tuple[Phase, ...]] = ("create", "read", "update", "delete")

_WITHOUT_HANDLERS: Final[Mapping[str, Mapping[Phase, tuple[str, ...]]]] = {
    "AWS::CodeBuild::Project": {
        "create": ("codebuild:CreateProject", "iam:PassRole"),
        "read": ("codebuild:BatchGetProjects",),
        "update": ("codebuild:UpdateProject", "iam:PassRole"),
        "delete": ("codebuild:DeleteProject",),
    },
}
"""Types whose schema lists no handlers (older than the registry): operations of their API, from botocore's model."""


class SchemaError(Exception):
    """A resource type has no usable schema."""


def resource_types(templates: Iterable[Path]) -> frozenset[str]:
    """Return the AWS resource types in template files, without CDK's own marker and custom resources."""
    return frozenset(
        resource["Type"]
        for path in templates
        for resource in json.loads(path.read_text(encoding="utf-8"))["Resources"].values()
        if resource["Type"].startswith("AWS::") and resource["Type"] != "AWS::CDK::Metadata"
    )


def handler_permissions(resource_type: str) -> frozenset[str]:
    """Return the actions that CloudFormation's handlers of a type call in the name of whoever launches.

    Raises:
        SchemaError: cfn-lint knows no such type, or its schema lists no permissions.
    """
    return frozenset().union(*handlers(resource_type).values())


@cache
def handlers(resource_type: str) -> Mapping[Phase, frozenset[str]]:
    """Return the actions that CloudFormation calls for whoever launches, by handler, in the schema's spelling.

    Raises:
        SchemaError: cfn-lint knows no such type, or its schema lists no permissions.
    """
    if resource_type in _WITHOUT_HANDLERS:
        listed = _WITHOUT_HANDLERS[resource_type]
        return {phase: frozenset(listed.get(phase, ())) for phase in PHASES}
    found = schema(resource_type).get("handlers", {})
    actions = {phase: frozenset(found.get(phase, {}).get("permissions", ())) for phase in PHASES}
    if not any(actions.values()):
        raise SchemaError(
            f"the schema of {resource_type!r} lists no permissions: add the operations that CloudFormation calls "
            f"for it to _WITHOUT_HANDLERS in {Path(__file__).name}."
        )
    return actions


def tag_permissions(resource_type: str) -> frozenset[str]:
    """Return the actions that a type needs for its tags, in the schema's spelling; stacks tag their resources.

    Raises:
        SchemaError: cfn-lint knows no such type.
    """
    tagging = schema(resource_type).get("tagging")
    if not isinstance(tagging, dict) or not tagging.get("taggable", True):
        return frozenset()
    return frozenset(tagging.get("permissions", ()))


def schema(resource_type: str) -> Mapping[str, Any]:
    """Return CloudFormation's schema of a type.

    Raises:
        SchemaError: cfn-lint knows no such type.
    """
    file = _read("schemas/providers", _SCHEMA_REGION).get(resource_type)
    if file is None:
        raise SchemaError(
            f"cfn-lint has no schema for {resource_type!r}, so nobody can say which permissions it needs. Check the "
            f"name; for a new type raise cfn-lint in pyproject.toml."
        )
    return _read("schemas/resources", file)


_NO_RESOURCE_LEVEL: Final = frozenset(
    {"sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe"}
)
"""Actions of which cfn-lint's list names a topic, and the service authorization reference no kind of resource
("Actions, resources, and condition keys for Amazon SNS")."""


def resource_kinds(action: str) -> frozenset[str] | None:
    """Return the kinds of resources an action can be limited to, in lower case; empty when it has no resource level.

    Args:
        action: E.g. ``iam:CreateRole``.

    Returns:
        The kinds, e.g. ``{"role"}``; None when IAM knows no such action.
    """
    if action in _NO_RESOURCE_LEVEL:
        return frozenset()
    service, _, name = action.partition(":")
    found = _read("AdditionalSpecs", "Policies").get(service, {}).get("Actions", {}).get(name.lower())
    return None if found is None else frozenset(kind.lower() for kind in found.get("Resources", ()))


@cache
def _read(folder: str, name: str) -> dict[str, Any]:
    spec = importlib.util.find_spec("cfnlint")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise SchemaError("cfn-lint is not installed: run `make check`, which installs it from uv.lock.")
    path = Path(spec.submodule_search_locations[0]) / "data" / folder / f"{name}.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
