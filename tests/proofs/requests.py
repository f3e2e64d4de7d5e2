"""A request with open parts, and IAM's decision on it as a formula.

The action is known, the resource is an ARN of one kind whose last part is open, and so is every condition key that is
not settled by who asks for what. Each "text matches pattern" is a truth value; which of them go together is what
`words` says.

Two readings, because not everything can be decided. Read *widely*, whatever is not understood (numeric operators, two
unknown texts in one pattern) holds in an allow and does not hold in a denial; under a negation it is the other way
round. What is refused widely is refused. Read *narrowly* it is the reverse: what is allowed narrowly is allowed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import z3

from tests.policy import allows
from tests.proofs.logic import Formula, all_of, any_of, implied, negated, unknown
from tests.proofs.model import listed
from tests.proofs.reference import WITHOUT_RESOURCE, carried, is_multivalued
from tests.proofs.variables import Text, Variable, like
from tests.proofs.words import ANYTHING, Pattern, some, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.proofs.model import Actor, Organisation, Statement, World
    from tests.proofs.reference import Kind

SLOTS: Final = 4
"""Values that a key with several values may have at once; no policy here asks for more than three different ones."""

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_LETTER: Final = re.compile(r"[A-Za-z](?![^{]*\})")
"""A letter outside of a variable."""
_NAME: Final = "/:"  # what the name of a role cannot hold
_PATH_AND_NAME: Final = ":"

Slot = tuple[Formula, Text]
"""Whether a condition key has a value, and which."""


class Request:
    """A request of a principal for an action on one kind of resource.

    Args:
        organisation: Where.
        actor: Who asks.
        action: E.g. ``s3:GetObject``.
        kind: Kind of resource.
        owner: Account of the resource.
        region: Region of the request.
        wide: Reading, see the module.
        closed: Whether a resource of another account of the organisation that has no policy in the world admits nobody.
            Default: it may admit anybody, because others may have made it.
    """

    def __init__(
        self,
        organisation: Organisation,
        actor: Actor,
        action: str,
        kind: Kind,
        *,
        owner: str,
        region: str,
        wide: bool,
        closed: bool = False,
    ) -> None:
        self.closed = closed
        self.organisation = organisation
        self.actor, self.action, self.kind, self.wide = actor, action, kind.name, wide
        self.owner = owner if kind.arn != WITHOUT_RESOURCE else actor.account
        self.region = region
        self.laws: list[Formula] = []
        self._keys: dict[str, tuple[str, list[Slot]]] = {}
        self._variables: list[Variable] = []
        self.head: list[str] = []
        self.tail: Text = "*"
        if kind.arn != WITHOUT_RESOURCE:
            _, _, service, region_, account, rest = kind.arn.split(":", 5)
            place = region if region_ else ""
            self.head = ["arn", "aws", service, place, owner if "$" in account else account]
            self.tail = self._variable("resource", _shape(service, kind.name, rest))

    # ---- what is asked ----

    @property
    def service(self) -> str:
        """Service of the resource, as in its ARN; empty when the action has no resource level."""
        return self.head[2] if self.head else ""

    def _variable(self, name: str, shape: Pattern = ANYTHING) -> Variable:
        self._variables.append(Variable(name, shape))
        return self._variables[-1]

    def slots(self, key: str) -> list[Slot]:
        """Return the values that a condition key may have; one for most keys."""
        low = key.lower()
        if low not in self._keys:
            self._keys[low] = (key, self._values(low))
            if low.startswith("aws:requesttag/"):
                self._bind_tag(low, key.split("/", 1)[1])
        return self._keys[low][1]

    def _values(self, key: str) -> list[Slot]:
        known = self._known(key)
        if known is not None:
            return known
        count = SLOTS if is_multivalued(key) else 1
        return [(unknown(f"{key}#{i}?"), self._variable(f"{key}#{i}")) for i in range(count)]

    def _known(self, key: str) -> list[Slot] | None:
        """Return what a key is when it follows from who asks, or from whose resource it is."""
        actor, paths = self.actor, self.organisation.paths
        if key.startswith("aws:principaltag/") and actor.tags is not None:
            tags = {name.lower(): value for name, value in actor.tags.items()}
            name = key.split("/", 1)[1]
            return [(True, tags[name])] if name in tags else []
        if key == "aws:principalarn" and actor.made:
            return [
                (
                    True,
                    self._variable(key, (*tokens(actor.arn), *some(_PATH_AND_NAME if actor.tags is None else _NAME))),
                )
            ]
        session = {name.lower(): value for name, value in actor.session.items()}
        known: dict[str, list[Slot]] = {
            "aws:principalaccount": [(True, actor.account)],
            "aws:principalarn": [(True, actor.arn)],
            "aws:principalisawsservice": [(True, "false")],
            "aws:principaltype": [(True, "AssumedRole")],
            "aws:principalorgid": [(True, self.organisation.id)] if actor.account in paths else [],
            "aws:principalorgpaths": [(True, paths[actor.account])] if actor.account in paths else [],
            "aws:requestedregion": [(True, self.region)],
            "aws:resourceaccount": [(True, self.owner)],
            "s3:resourceaccount": [(True, self.owner)],
            "aws:resourceorgid": [(True, self.organisation.id)] if self.owner in paths else [],
            "aws:resourceorgpaths": [(True, paths[self.owner])] if self.owner in paths else [],
            "aws:securetransport": [(True, "true")],
            "kms:calleraccount": [(True, actor.account)],
            # Only a service that calls by itself sends them.
            "aws:sourceaccount": [],
            "aws:sourcearn": [],
            "aws:sourceorgid": [],
            "aws:sourceorgpaths": [],
            **{name: [(True, value)] for name, value in session.items()},
        }
        return known.get(key)

    def _bind_tag(self, low: str, tag: str) -> None:
        """A tag that a request sets is among the tag keys that it sets."""
        names = self.slots("aws:TagKeys")
        tags = sum(key.startswith("aws:requesttag/") for key in self._keys)
        if tags >= len(names):
            raise AssertionError(f"{self.action}: {tags} tags in a request, but only {len(names)} slots for their keys")
        has_value = any_of(there for there, _ in self._keys[low][1])
        self.laws.append(implied(has_value, any_of(all_of((there, like(text, tag))) for there, text in names)))

    def has(self, key: str) -> Formula:
        """Return whether a condition key is in the request."""
        return any_of(there for there, _ in self.slots(key))

    def is_like(self, key: str, *globs: str) -> Formula:
        """Return whether a condition key is in the request with a value like one of some globs."""
        return any_of(all_of((there, like(text, glob))) for there, text in self.slots(key) for glob in globs)

    def is_other(self, key: str, *globs: str) -> Formula:
        """Return whether a condition key is in the request with a value like none of some globs."""
        return any_of(
            all_of((there, *(negated(like(text, glob)) for glob in globs))) for there, text in self.slots(key)
        )

    def named(self, *globs: str) -> Formula:
        """Return whether the last part of the resource's ARN is like one of some globs."""
        return any_of(like(self.tail, glob) for glob in globs)

    # ---- patterns ----

    def _match(self, pattern: str, text: Text, *, over: bool, excluded: str = "") -> Formula:
        """Return whether a text matches a pattern that may hold policy variables.

        Args:
            pattern: The pattern.
            text: The text.
            over: What to say when that cannot be decided.
            excluded: Characters for which wildcards do not stand.
        """
        filled, conditions = "", list[Formula]()
        for i, part in enumerate(_VARIABLE.split(pattern)):
            if i % 2 == 0 or part in "*?$":
                filled += part  # ${*} is a literal star; as a wildcard it is only ever wider
                if i % 2 and not over:
                    return False
                continue
            slots = self.slots(part.split(",")[0].strip())
            if len(slots) != 1:  # a variable without a value matches nothing; with several values it is not allowed
                return False
            there, value = slots[0]
            if isinstance(value, Variable):  # two unknowns side by side are left open
                if not over:
                    return False
                value = "*"
            conditions.append(there)
            filled += value
        return all_of((*conditions, like(text, filled, excluded)))

    def _names_resource(self, pattern: object, *, over: bool) -> Formula:
        if not isinstance(pattern, str):  # an intrinsic function that nobody resolved
            return over
        if pattern == "*" or not self.head:
            return pattern == "*"
        parts = pattern.split(":", 5)
        if len(parts) < 6:
            return over and parts[-1].endswith("*")
        head = (
            self._match(p, text, over=over)
            for p, text in zip(parts[:5], self.head, strict=True)
            if p not in ("*", text)
        )
        return all_of((*head, self._match(parts[5], self.tail, over=over)))

    # ---- conditions ----

    def _holds(self, operator: str, key: str, expected: object, *, over: bool) -> Formula:
        quantifier, _, plain = operator.rpartition(":")
        base = plain.removesuffix("IfExists")
        wanted = [str(v).lower() if isinstance(v, bool) else v for v in listed(expected)]
        present = self.has(key)
        if plain == "Null":
            return negated(present) if wanted == ["true"] else present
        negative, kind = "Not" in base, base.replace("Not", "")
        if kind not in ("StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike", "Bool"):
            return over
        each = [
            (there, any_of(self._value_matches(kind, v, text, over=over != negative) for v in wanted))
            for there, text in self.slots(key)
        ]
        if negative:
            each = [(there, negated(found)) for there, found in each]
        if quantifier == "ForAllValues":
            return all_of(implied(there, found) for there, found in each)
        if negative and not quantifier:
            return all_of(implied(there, found) for there, found in each)
        some_value = any_of(all_of((there, found)) for there, found in each)
        return any_of((some_value, negated(present))) if plain.endswith("IfExists") else some_value

    def _value_matches(self, kind: str, pattern: object, text: Text, *, over: bool) -> Formula:
        if not isinstance(pattern, str):
            return over
        if kind in ("StringEquals", "Bool") and re.search(r"[*?]", _VARIABLE.sub("", pattern)):
            # No glob, but equal to it in the wide reading; values with stars are rare.
            return over and self._match(pattern, text, over=over)
        if kind == "StringEqualsIgnoreCase" and over:
            pattern = _LETTER.sub("?", pattern)  # this spelling surely, at most all of its length
        # Wildcards of ARN operators end at a colon: taken so only where that makes the reading right.
        excluded = ":" if kind.startswith("Arn") and not over else ""
        return self._match(pattern, text, over=over, excluded=excluded)

    def _applies(self, statement: Statement, *, over: bool, whole: bool = False) -> Formula:
        """Return whether a statement applies.

        Args:
            statement: The statement.
            over: What to say when that cannot be decided.
            whole: Whether the policy's resource is known to be meant, whatever the statement says (keys, trust).
        """
        if not names_action(statement, self.action):
            return False
        if whole:
            resource: Formula = True
        elif "NotResource" in statement:
            named = any_of(self._names_resource(r, over=not over) for r in listed(statement["NotResource"]))
            resource = negated(named)
        else:
            resource = any_of(self._names_resource(r, over=over) for r in listed(statement.get("Resource", "*")))
        if resource is False:
            return False
        conditions = (
            self._holds(operator, key, expected, over=over)
            for operator, body in (statement.get("Condition") or {}).items()
            for key, expected in body.items()
        )
        return all_of((resource, *conditions))

    # ---- IAM ----

    def may_apply(self, statement: Statement) -> Formula:
        """Return whether a statement may apply, whatever its effect."""
        return self._applies(statement, over=True, whole="Resource" not in statement and "NotResource" not in statement)

    def surely_applies(self, statement: Statement) -> bool:
        """Return whether a denial applies whatever the open parts of the request are."""
        return self._applies(statement, over=False) is True

    def is_allowed(self, world: World, *, of: Actor | None = None, wide: bool | None = None) -> Formula:
        """Return whether IAM allows the request.

        Args:
            world: Whose resource policies decide as well.
            of: Principal whose policies decide. Default: the one who asks.
            wide: Reading. Default: that of the request.
        """
        up = self.wide if wide is None else wide
        down = not up
        denials, mine = self._by_itself(of or self.actor, up=up)
        if denials is True:
            return False
        granted, direct, modelled, refused = self._by_resource(world, up=up, down=down)
        if self.owner == self.actor.account:
            # A resource policy that names a principal passes its identity policy by, though not always its boundary.
            core = any_of((mine, *(direct if up else ())))
            if self.action.startswith(("sts:Assume", "sts:TagSession", "sts:SetSourceIdentity")):
                core = all_of((mine, any_of((*granted, all_of((up and not self.closed, negated(any_of(modelled))))))))
        else:
            open_ = (up and not self.closed) or self.owner not in self.organisation.paths
            elsewhere = all_of((open_, negated(any_of(modelled))))
            core = all_of((mine, any_of((*granted, elsewhere))))
        return all_of((core, negated(any_of((denials, *refused)))))

    def is_allowed_by_itself(self, *, of: Actor, wide: bool) -> Formula:
        """Return whether the policies of a principal allow the request, whatever those of the resource say."""
        denials, mine = self._by_itself(of, up=wide)
        return all_of((mine, negated(denials)))

    def _by_itself(self, actor: Actor, *, up: bool) -> tuple[Formula, Formula]:
        """Return what a principal's own policies refuse, and what all of them allow."""
        own = actor.policies()
        denials = any_of(self._applies(s, over=not up) for policy in own for s in policy if s["Effect"] == "Deny")
        if denials is True:
            return True, False
        mine = all_of(any_of(self._applies(s, over=up) for s in policy if s["Effect"] == "Allow") for policy in own)
        return denials, mine

    def _by_resource(
        self, world: World, *, up: bool, down: bool
    ) -> tuple[list[Formula], list[Formula], list[Formula], list[Formula]]:
        """Return what resource policies grant, grant to the principal by name, speak about at all, and refuse."""
        granted, direct, modelled, refused = list[Formula](), list[Formula](), list[Formula](), list[Formula]()
        if not self.head:
            return granted, direct, modelled, refused
        for policy in world.policies_of(self.owner, self.service):
            whole = policy.protects is not None
            here = self._names_resource(policy.protects, over=up) if whole else True
            for statement in policy.statements:
                target = here
                if not whole:
                    target = any_of(self._names_resource(r, over=up) for r in listed(statement.get("Resource", "*")))
                if target is False:
                    continue
                modelled.append(target)
                who = addressed(statement, self.actor)
                if not who:
                    continue
                denies = statement["Effect"] == "Deny"
                found = all_of((here, self._applies(statement, over=down if denies else up, whole=whole)))
                if denies:
                    refused.append(found)
                    continue
                granted.append(found)
                if who == "principal":
                    direct.append(found)
        return granted, direct, modelled, refused

    # ---- what is found ----

    def constraints(self) -> Iterator[Formula]:
        """Yield what holds of every request: how texts and patterns, tags and tag keys go together."""
        yield from self.laws
        for variable in self._variables:
            yield from variable.constraints()

    def realistic(self) -> Iterator[Formula]:
        """Yield that keys of a service that this request cannot carry are absent."""
        for low, (_, slots) in self._keys.items():
            plain = low.partition("/")[0]
            tagged = plain == "aws:resourcetag" and self.service in ("iam", "kms", "s3", "sagemaker")
            of_request = not plain.startswith("aws:") or plain in ("aws:requesttag", "aws:resourcetag", "aws:tagkeys")
            if of_request and plain not in carried(self.action) and not tagged and self.service != "apigateway":
                yield from (negated(there) for there, _ in slots if not isinstance(there, bool))

    def concrete(self, model: z3.ModelRef) -> Witness:
        """Return the request that a solution describes."""

        def text(value: Text) -> str:
            return value.text(model) if isinstance(value, Variable) else value

        def is_there(there: Formula) -> bool:
            return there if isinstance(there, bool) else z3.is_true(model.eval(there, model_completion=True))

        context: dict[str, str | list[str]] = {}
        for low, (key, slots) in self._keys.items():
            values = [text(value) for there, value in slots if is_there(there)]
            if values:
                context[key] = values if is_multivalued(low) else values[0]
        resource = ":".join([*self.head, text(self.tail)]) if self.head else "*"
        return Witness(self.actor, self.action, resource, context)


class Witness:
    """A request that a principal may make, against a property.

    Args:
        actor: Who asks.
        action: The action.
        resource: ARN, or ``*``.
        context: Condition keys.
    """

    def __init__(self, actor: Actor, action: str, resource: str, context: Mapping[str, str | list[str]]) -> None:
        self.actor, self.action, self.resource, self.context = actor, action, resource, context

    def is_replayed(self) -> bool:
        """Return whether the evaluator of all other tests agrees that the principal's policies allow the request."""
        return all(allows(policy, self.action, self.resource, **self.context) for policy in self.actor.policies())

    def __str__(self) -> str:
        dull = ("aws:principalorg", "aws:resourceorg", "aws:securetransport", "aws:principalaccount")
        context = {k: v for k, v in self.context.items() if not k.lower().startswith(dull)}
        return f"{self.actor.name}: {self.action} on {self.resource} with {context}"


@lru_cache(None)
def _shape(service: str, kind: str, rest: str) -> Pattern:
    """Return what the last part of an ARN of a kind looks like."""
    narrow = (
        ":" if service == "logs" else "/" if service in ("sagemaker", "kms") or kind in ("bucket", "object") else ""
    )
    found: list[Pattern] = []
    for i, part in enumerate(_VARIABLE.split(rest)):
        found.append(tokens(part) if i % 2 == 0 else some("" if part == "ObjectName" else narrow))
    return tuple(token for pattern in found for token in pattern)


@lru_cache(None)
def _named(globs: tuple[str, ...], action: str) -> bool:
    patterns = (re.escape(glob.lower()).replace(r"\*", ".*").replace(r"\?", ".") for glob in globs)
    return any(re.fullmatch(pattern, action.lower()) for pattern in patterns)


def names_action(statement: Statement, action: str) -> bool:
    """Return whether a statement is about an action."""
    if "NotAction" in statement:
        return not _named(tuple(listed(statement["NotAction"])), action)
    return _named(tuple(listed(statement["Action"])), action)


def addressed(statement: Statement, actor: Actor) -> str:
    """Return how a statement of a resource policy means a principal: ``principal``, ``account`` or not at all."""
    element = statement.get("Principal")
    names = listed(element.get("AWS", [])) if isinstance(element, dict) else [element]
    if "*" in names or actor.arn in names:
        return "principal"
    meant = {actor.account, f"arn:aws:iam::{actor.account}:root"}
    return "account" if any(isinstance(name, str) and name in meant for name in names) else ""
