"""Which IAM allow statements of a template got wider than those of the template before it."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_LONGEST: Final = 200  # characters of a resource or condition that a sentence shows
_IDENTITY_POLICIES: Final = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy")


@dataclass(frozen=True)
class Grant:
    """One thing that a statement allows or denies: one principal, one action, one resource.

    Attributes:
        subject: Whom or what it is attached to, e.g. ``Role`` or ``Bucket (resource policy)``.
        effect: ``Allow`` or ``Deny``.
        principal: Principal of a resource or trust policy; empty in an identity policy.
        action: An action, possibly with wildcards; ``not …`` from a NotAction.
        resource: A resource with references spelt ``${LogicalId.Attribute}``; ``not …`` from a NotResource.
        conditions: Conditions that must all hold, each as ``operator key values``.
    """

    subject: str
    effect: str
    principal: str
    action: str
    resource: str
    conditions: frozenset[str]

    def covers(self, other: Grant) -> bool:
        """Return whether everything that `other` lets through, this grant lets through as well."""
        return (
            self.subject == other.subject
            and self.effect == other.effect
            and _covers(self.principal, other.principal)
            and _covers(self.action.lower(), other.action.lower())  # IAM does not tell their case apart
            and _covers(self.resource, other.resource)
            and self.conditions <= other.conditions
        )


def wider(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each permission that `after` gives and `before` did not, sorted.

    Statements are taken apart into single grants, so neither their order nor the policy that holds them matters. Looked
    at are identity policies (by the roles they are attached to), trust policies, managed policy ARNs, permissions
    boundaries and every resource policy (buckets, keys, queues, topics, model package groups, …).
    """
    old, new = list(grants(before)), list(grants(after))
    sentences = {
        *_sentences(_not_covered(_effect(new, "Allow"), by=_effect(old, "Allow")), "may now"),
        # A denial that went away, or denies less, lets more through - unless what it was attached to went with it.
        *_sentences(
            (
                grant
                for grant in _not_covered(_effect(old, "Deny"), by=_effect(new, "Deny"))
                if _is_alive(grant.subject, after)
            ),
            "is no longer denied",
        ),
        *_attached(before, after),
    }
    return tuple(sorted(sentences))


def grants(template: Mapping[str, Any]) -> Iterator[Grant]:
    """Yield every grant of every policy in a template."""
    for logical_id, resource in template.get("Resources", {}).items():
        properties = resource.get("Properties", {})
        for subject, document in _documents(logical_id, resource.get("Type", ""), properties):
            for statement in _statements(document["Statement"]):
                yield from _grants(subject, statement)


def text(value: object) -> str:
    """Return a template value as one line: references as ``${LogicalId.Attribute}``, other functions as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((function, argument),) = value.items()
        if function in ("Ref", "Fn::GetAtt"):
            return f"${{{argument if isinstance(argument, str) else '.'.join(map(text, argument))}}}"
        if function == "Fn::Join" and isinstance(argument, list) and isinstance(argument[1], list):
            return str(argument[0]).join(map(text, argument[1]))
        if function == "Fn::Sub":
            template, variables = argument if isinstance(argument, list) else (argument, {})
            return re.sub(r"\$\{(\w+)\}", lambda m: text(variables.get(m[1], {"Ref": m[1]})), template)
        if function.startswith("Fn::"):
            return f"${json.dumps(value, sort_keys=True, separators=(',', ':'))}"
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _documents(logical_id: str, kind: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the policy documents of a resource, each with the name of what it is attached to."""
    if kind in _IDENTITY_POLICIES:
        attached = [*properties.get("Roles", ()), *properties.get("Users", ()), *properties.get("Groups", ())]
        attached += [properties["RoleName"]] if "RoleName" in properties else []
        for subject in [_name(target) for target in attached] or [logical_id]:
            for document in _find_documents(properties):
                yield subject, document
    elif kind == "AWS::IAM::Role":
        for document in _find_documents({key: properties[key] for key in properties if key == "Policies"}):
            yield logical_id, document
        for document in _find_documents(properties.get("AssumeRolePolicyDocument")):
            yield f"{logical_id} (trust policy)", document
    else:
        # AWS::S3::BucketPolicy and its kin name what they protect; a key or a group holds its policy itself.
        protected = properties.get("Bucket") if kind == "AWS::S3::BucketPolicy" else None
        for document in _find_documents(properties):
            yield f"{_name(protected) if protected else logical_id} (resource policy)", document


def _find_documents(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("Statement"), dict | list):
            yield value
            return
        for child in value.values():
            yield from _find_documents(child)
    elif isinstance(value, list):
        for child in value:
            yield from _find_documents(child)


def _statements(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield the statements of a policy; of one that depends on a condition, both forms."""
    for statement in _listed(value):
        if isinstance(statement, dict) and "Effect" in statement:
            yield statement
        elif isinstance(statement, dict) and "Fn::If" in statement:
            yield from _statements(statement["Fn::If"][1:])


def _grants(subject: str, statement: Mapping[str, Any]) -> Iterator[Grant]:
    conditions = frozenset(
        f"{operator} {key} {' | '.join(sorted(map(text, _listed(values))))}"
        for operator, tests in statement.get("Condition", {}).items()
        for key, values in tests.items()
    )
    for principal, action, resource in itertools.product(
        _principals(statement), _either(statement, "Action"), _either(statement, "Resource") or [""]
    ):
        yield Grant(subject, statement.get("Effect", ""), principal, action, resource, conditions)


def _either(statement: Mapping[str, Any], element: str) -> list[str]:
    """Return the values of ``Action`` or ``Resource``, or of its negation as one value."""
    if f"Not{element}" in statement:
        return [f"not {', '.join(sorted(map(text, _listed(statement[f'Not{element}']))))}"]
    return [text(value) for value in _listed(statement.get(element, []))]


def _principals(statement: Mapping[str, Any]) -> list[str]:
    if "NotPrincipal" in statement:
        return [f"not {json.dumps(statement['NotPrincipal'], sort_keys=True)}"]
    principal = statement.get("Principal")
    if principal is None:
        return [""]
    if not isinstance(principal, dict):
        return ["*"]
    named = [(kind, text(name)) for kind, names in principal.items() for name in _listed(names)]
    # {"AWS": "*"} means everybody, exactly as "*" does.
    return ["*" if (kind, name) == ("AWS", "*") else f"{kind} {name}" for kind, name in named]


def _listed(value: list[Any] | object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _name(target: object) -> str:
    """Return the logical id in a reference such as ``{"Ref": "Role"}``, else the text of the value."""
    return re.sub(r"^\$\{([^}.]+)(\.[^}]*)?\}$", r"\1", text(target))


def _covers(pattern: str, value: str) -> bool:
    if pattern in (value, "*"):
        return True
    if pattern.startswith("not ") or value.startswith("not "):
        return False  # set arithmetic on negations is not worth its errors: a changed negation is reported
    # "?" must not be taken to cover a "*" in the value.
    expression = "".join({"*": ".*", "?": "[^*]"}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(expression, value) is not None


def _effect(grants_: Iterable[Grant], effect: str) -> list[Grant]:
    return [grant for grant in grants_ if grant.effect == effect]


def _not_covered(candidates: Iterable[Grant], *, by: list[Grant]) -> list[Grant]:
    exact = set(by)
    return [grant for grant in candidates if grant not in exact and not any(other.covers(grant) for other in by)]


def _sentences(grants_: Iterable[Grant], verb: str) -> Iterator[str]:
    """Say grants that differ only in their action in one sentence."""
    grouped: dict[tuple[str, str, str, frozenset[str]], set[str]] = {}
    for grant in grants_:
        grouped.setdefault((grant.subject, grant.principal, grant.resource, grant.conditions), set()).add(grant.action)
    for (subject, principal, resource, conditions), actions in grouped.items():
        where = f" on {_short(resource)}" if resource else ""
        when = f" if {_short(' and '.join(sorted(conditions)))}" if conditions else ""
        listed = ", ".join(sorted(actions))
        if verb == "may now":
            who = f"{subject}: {principal} may now" if principal else f"{subject} may now"
            yield f"{who} {listed}{where}{when}"
        else:
            to = f" to {principal}" if principal else ""
            yield f"{subject}: {listed}{where}{when} {verb}{to}"


def _short(text_: str) -> str:
    return text_ if len(text_) <= _LONGEST else f"{text_[:_LONGEST]} …"


def _attached(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences for managed policies that were attached, and for boundaries that were removed or exchanged."""
    for logical_id, resource in after.get("Resources", {}).items():
        if resource.get("Type") != "AWS::IAM::Role":
            continue
        new = resource.get("Properties", {})
        old = before.get("Resources", {}).get(logical_id, {}).get("Properties", {})
        known = set(map(text, old.get("ManagedPolicyArns", ())))
        for arn in sorted(set(map(text, new.get("ManagedPolicyArns", ()))) - known):
            yield f"{logical_id} now has the managed policy {arn}"
        boundary, old_boundary = new.get("PermissionsBoundary"), old.get("PermissionsBoundary")
        if old_boundary is not None and boundary != old_boundary:
            now = f"is now {text(boundary)}" if boundary is not None else "was removed"
            yield f"the permissions boundary of {logical_id} {now}"


def _is_alive(subject: str, template: Mapping[str, Any]) -> bool:
    logical_id = subject.split(" (", 1)[0]
    return "${" in logical_id or logical_id in template.get("Resources", {})
