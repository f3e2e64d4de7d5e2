"""What a policy says that AWS's Service Authorization Reference contradicts.

A statement is compared with `aws_emulator.reference`: whether its actions exist, whether their requests carry the
keys of its conditions, and whether they work on its resources; the policies of one role together, whether what an
action asks for besides is granted and can be used. Nothing here knows what a policy is for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from aws_emulator import reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.proofs.gathered import Policy, Statement

_ON_ALL_KINDS: Final = frozenset(
    f"cloudformation:{operation}"
    for operation in ("CreateStackInstances", "DeleteStackInstances", "UpdateStackInstances", "UpdateStackSet")
)
"""Actions of which one request is checked against resources of every kind that the reference lists: the StackSet, its
targets and the types in its template (aws-solutions/mlops-workload-orchestrator grants all of them for it)."""


@dataclass(frozen=True, order=True)
class Contradiction:
    """One contradiction.

    Attributes:
        where: Place of the policy.
        action: The action, as the reference spells it, or as the policy does if it is unknown.
        what: What does not hold.
    """

    where: str
    action: str
    what: str


def contradictions(policy: Policy) -> set[Contradiction]:
    """Return everything in a policy that the reference contradicts."""
    found = {
        Contradiction(policy.where, action, what)
        for statement in policy.statements
        for action, what in (*unknown(statement), *conditions(statement), *resources(statement))
    }
    if policy.kind == "identity":
        found |= {Contradiction(policy.where, action, what) for action, what in together(policy.statements)}
    return found


def unknown(statement: Statement) -> Iterator[tuple[str, str]]:
    """Yield actions that do not exist."""
    for name in _listed(statement.get("Action", statement.get("NotAction"))):
        if name != "*" and not reference.actions(name):
            yield name, "there is no such action"


def conditions(statement: Statement) -> Iterator[tuple[str, str]]:
    """Yield conditions on keys that no request carries: never met, never denying, always denying, no protection."""
    named = [name for name in _listed(statement.get("Action", [])) if name != "*"]
    allows = statement["Effect"] == "Allow"
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            lacking = [name for name in named if not any(reference.carries(a, key) for a in reference.actions(name))]
            needs_key = _needs_key(operator, values)
            if allows and not needs_key and len(lacking) < len(named):
                continue  # for some of the actions it protects something
            for name in lacking:
                effect = {
                    (True, True): "is never met",
                    (True, False): "protects nothing",
                    (False, True): "never denies",
                    (False, False): "always denies",
                }[allows, needs_key]
                yield _known(name), f"condition {operator} {key} {effect}: no request carries the key"


def _needs_key(operator: str, values: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether a condition cannot hold without its key."""
    if operator == "Null":
        return str(_listed(values)[0]).lower() == "false"
    plain = operator.rpartition(":")[2]
    return not (
        plain.endswith("IfExists") or plain.startswith(("StringNot", "ArnNot")) or operator.startswith("ForAllValues:")
    )


def resources(statement: Statement) -> Iterator[tuple[str, str]]:
    """Yield actions that work on none of a statement's resources, and resources on which none of its actions works."""
    patterns = _listed(statement.get("Resource", "*"))
    if "*" in patterns:
        return
    named = _listed(statement.get("Action", []))
    for name in named:
        expanded = reference.actions(name)
        if expanded and not any(_fits_kind(pattern, action) for pattern in patterns for action in expanded):
            kinds = sorted({kind for action in expanded for kind in reference.kinds(action)})
            works_on = f"the action works on {', '.join(kinds)}" if kinds else "the action has no resource level"
            yield _known(name), f"resource {patterns[0]}: {works_on}"
    idle = [p for p in patterns if not any(_fits_kind(p, a) for name in named for a in reference.actions(name))]
    if "*" not in named and len(idle) < len(patterns):
        for pattern in idle:
            yield _known(named[0]), f"resource {pattern}: none of the statement's actions works on it"


_OF_ONE_ARN: Final = ("ListTagsForResource", "TagResource", "UntagResource")
"""Actions whose request names one resource by its ARN, of whichever kind, although the reference lists all as required.

E.g. athena:TagResource (Athena API reference): ResourceARN of a work group, a data catalog or a capacity reservation.
"""


def together(statements: Sequence[Statement]) -> Iterator[tuple[str, str]]:
    """Yield what an action of a role needs besides and the role has not, or can never use."""
    granted: dict[str, list[Statement]] = {}
    for statement in statements:
        if statement["Effect"] == "Allow":
            for name in _listed(statement.get("Action", [])):
                for action in reference.actions(name):
                    granted.setdefault(action, []).append(statement)
    written = {_known(name) for s in statements for name in _listed(s.get("Action", [])) if "*" not in name}
    for action in sorted(written & set(granted)):
        patterns = [pattern for s in granted[action] for pattern in _listed(s.get("Resource", "*"))]
        kinds = reference.kinds(action)
        asked = sorted(kinds if action in _ON_ALL_KINDS else reference.required_kinds(action) & set(kinds))
        if action.partition(":")[2] in _OF_ONE_ARN and any(fits(p, kinds[kind]) for p in patterns for kind in asked):
            asked = []
        for kind in asked:
            if not any(pattern == "*" or fits(pattern, kinds[kind]) for pattern in patterns):
                yield action, f"a request is also checked against a {kind}, which no resource covers"
        for other in sorted(reference.dependent(action)):
            known = reference.canonical(other)
            if known is None:
                continue
            usable = [s for s in granted.get(known, ()) if not _is_impossible(s, known)]
            if not usable:
                lack = "can never be used" if known in granted else "is not granted"
                yield action, f"depends on {known}, which {lack}"


def _is_impossible(statement: Statement, action: str) -> bool:
    return any(
        _needs_key(operator, values) and not reference.carries(action, key)
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def is_usable(statement: Mapping[str, Any], action: str) -> bool:
    """Return whether an allow statement can ever let an action through, as far as keys and kinds of resources go."""
    patterns = _listed(statement.get("Resource", "*"))
    return not _is_impossible(statement, action) and (
        "*" in patterns or any(_fits_kind(pattern, action) for pattern in patterns)
    )


def _fits_kind(pattern: str, action: str) -> bool:
    return any(fits(pattern, form) for form in reference.kinds(action).values())


@cache
def fits(pattern: str, form: str) -> bool:
    """Return whether some ARN of a form matches a pattern.

    Args:
        pattern: Of a policy; variables stand for anything.
        form: Of the reference, e.g. ``arn:${Partition}:iam::${Account}:role/${RoleNameWithPath}``.
    """
    wanted, shape = (re.sub(r"\$\{[^}]*\}", "*", text) for text in (pattern, form))
    if wanted == "*":
        return True
    # A star of a policy may stand for colons too, but those of an ARN's first five parts are always there.
    parts, fields = wanted.split(":", 5), shape.split(":", 5)
    if len(parts) < 6 or len(fields) < 6:
        return False
    # Some ARNs have a region or an account that the form leaves out, or the other way round.
    return all(not a or not b or _meet(a, b) for a, b in zip(parts, fields, strict=True))


@cache
def _meet(one: str, other: str) -> bool:
    """Whether some text matches both of two globs."""
    if not one or not other:
        return not (one + other).strip("*")
    if "*" in (one[0], other[0]):
        glob, rest = (one, other) if one[0] == "*" else (other, one)
        return _meet(glob[1:], rest) or _meet(glob, rest[1:])
    return (one[0] == other[0] or "?" in (one[0], other[0])) and _meet(one[1:], other[1:])


def _known(name: str) -> str:
    return reference.canonical(name) or name


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, list) else [value]
