"""Policies made worse on purpose, to see whether the properties notice.

A mutant drops a condition of an allow, widens a resource, or removes a denial: everywhere in turn, in identity
policies, boundaries and resource policies. It is harmful if some principal may then make a request that was refused
before. Half of the mutants, chosen by a hash of their description, was never looked at while properties were written.

Run as ``.venv/bin/python -m tests.proofs.mutants [A|B]``; it prints what was missed in half A only.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from tests.proofs.logic import all_of, negated
from tests.proofs.model import ResourcePolicy, World, listed
from tests.proofs.properties import PROPERTIES
from tests.proofs.properties.accepted import ACCEPTED
from tests.proofs.reference import expand, service_actions
from tests.proofs.requests import addressed, names_action
from tests.proofs.solver import Question, search
from tests.proofs.world import ATTACKER, DEPLOYMENT, DEV, HUB, OWN_STAGE, REGION, VICTIM, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.proofs.logic import Formula
    from tests.proofs.model import Actor, Statement, Statements
    from tests.proofs.properties.vocabulary import Property
    from tests.proofs.requests import Request
    from tests.proofs.solver import Outcome

Half = Literal["A", "B"]
Fate = Literal["caught", "missed", "harmless", "undecided"]
WANTED: Final = 0.80
"""Share of the harmful mutants of half A, against which properties are written, that has to be caught."""
GAP: Final = 0.05
"""How much smaller the share may be in half B, which nobody looks at."""

_SERVICES_OF_EVERYTHING: Final = ("s3", "sagemaker", "kms", "sqs", "events", "logs", "iam")


@dataclass(frozen=True, kw_only=True, eq=False)
class Mutant:
    """One change for the worse.

    Attributes:
        where: Whose policy.
        what: What was changed.
        before: The statement.
        after: What stands in its place; None when it was removed.
        actors: Names of the principals whose policy it is; empty for a resource policy.
        world: The world with the change.
    """

    where: str
    what: str
    before: Statement
    after: Statement | None
    actors: frozenset[str]
    world: Callable[[], World]

    @property
    def kind(self) -> str:
        """Return the kind of change."""
        return "denial" if self.after is None else self.what.partition(" ")[0]

    @property
    def half(self) -> Half:
        """Return the half to which it belongs."""
        return "A" if hashlib.sha256(f"{self.where}: {self.what}".encode()).digest()[0] % 2 else "B"


# ---- making them ---------------------------------------------------------------------------------------------------


def _worse(statement: Statement) -> Iterator[tuple[str, Statement | None]]:
    """Yield what can be made worse about a statement."""
    if statement["Effect"] == "Deny":
        yield f"denial of {_short(statement)} removed", None
        return
    conditions = statement.get("Condition") or {}
    for operator, body in conditions.items():
        for key in body:
            rest = {op: {k: v for k, v in b.items() if (op, k) != (operator, key)} for op, b in conditions.items()}
            yield f"condition {operator} {key} of {_short(statement)} dropped", {**statement, "Condition": rest}
    resources = listed(statement.get("Resource", []))
    for i, resource in enumerate(resources):
        wide = ":".join([*resource.split(":")[:5], "*"]) if isinstance(resource, str) else resource
        if resource not in ("*", wide):
            widened = [*resources[:i], wide, *resources[i + 1 :]]
            yield f"resource {resource} of {_short(statement)} widened", {**statement, "Resource": widened}
    if "NotResource" in statement:
        rest = {key: value for key, value in statement.items() if key != "NotResource"}
        yield f"resource exceptions of {_short(statement)} dropped", {**rest, "Resource": "*"}


def _short(statement: Statement) -> str:
    actions = listed(statement.get("Action", statement.get("NotAction")))
    return f"{actions[0]} and {len(actions) - 1} more" if len(actions) > 1 else str(actions[0])


def _replaced(policy: Statements, index: int, after: Statement | None) -> Statements:
    return (*policy[:index], *((after,) if after else ()), *policy[index + 1 :])


def mutants(base: World) -> Iterator[Mutant]:
    """Yield every mutant of the world."""
    for where, side, actors in _policies(base):
        policy: Statements = getattr(actors[0], side)
        for index, before in enumerate(policy):
            for what, after in _worse(before):
                changed = _replaced(policy, index, after)
                yield Mutant(
                    where=where,
                    what=what,
                    before=before,
                    after=after,
                    actors=frozenset(actor.name for actor in actors),
                    world=lambda actors=actors, side=side, changed=changed: base.changed(  # type: ignore[misc]
                        replace(actor, **{side: changed}) for actor in actors
                    ),
                )
    for number, hanging in enumerate(base.resource_policies):
        if _is_twin(hanging):
            continue
        for index, before in enumerate(hanging.statements):
            for what, after in _worse(before):
                if what.startswith("resource"):
                    continue  # a resource policy reaches nothing but what it hangs on
                yield Mutant(
                    where=f"{hanging.service} policy of {hanging.protects or listed(before.get('Resource', '*'))[0]}",
                    what=what,
                    before=before,
                    after=after,
                    actors=frozenset(),
                    world=lambda n=number, p=hanging, i=index, a=after: _with_policy(base, n, p, i, a),  # type: ignore[misc]
                )


def _with_policy(base: World, number: int, policy: ResourcePolicy, index: int, after: Statement | None) -> World:
    changed = replace(policy, statements=_replaced(policy.statements, index, after))
    policies = (*base.resource_policies[:number], changed, *base.resource_policies[number + 1 :])
    return replace(base, resource_policies=policies)


def _policies(base: World) -> Iterator[tuple[str, str, list[Actor]]]:
    """Yield whose policy, which of theirs, and the principals that share it; of what is there many times only one."""
    own = [
        actor
        for actor in base.actors.values()
        if actor.labels & {"platform", "permission-set", "bootstrap", ATTACKER, OWN_STAGE}
        and not actor.made
        and "DeployRole" not in actor.labels
        and "deploy-session" not in actor.labels
    ]
    for account in (HUB, DEV, DEPLOYMENT):
        made = base.having("made-role", OWN_STAGE) if account == DEPLOYMENT else []
        made += [actor for actor in base.having("bounded") if actor.account == account]
        bounded = [*made, *(actor for actor in own if actor.account == account and actor.boundary)]
        yield f"boundary in {account}", "boundary", bounded
    yield "deploy role", "identity", base.having("deploy-session")
    for actor in own:
        yield actor.name, "identity", [actor]


def _is_twin(policy: ResourcePolicy) -> bool:
    """Return whether a resource policy is that of the attacker, whose victim has the same one."""
    text = f"{policy.protects} {listed(policy.statements[0].get('Resource', ''))[0]}"
    return ATTACKER in text or f"{VICTIM}-test" in text


# ---- judging them --------------------------------------------------------------------------------------------------


def judge(mutant: Mutant, base: World) -> tuple[Fate, str]:
    """Return what becomes of a mutant, and the property that caught it or the request that was missed."""
    changed = mutant.world()
    undecided = ""
    for prop in PROPERTIES.values():
        if prop.says in ACCEPTED:
            continue
        outcome = _ask(prop, mutant, changed)
        if outcome is not None and outcome.verdict == "refuted":
            return "caught", prop.says
        if outcome is not None and outcome.verdict == "undecided":
            undecided = prop.says
    if undecided:
        return "undecided", undecided
    harm = _harm(mutant, base, changed)
    if harm.verdict == "undecided":
        return "undecided", harm.open[0]
    return ("missed", str(harm.witness)) if harm.verdict == "refuted" else ("harmless", "")


@lru_cache(None)
def _both_about(may: tuple[str, ...], globs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(action for action in expand(*may) if names_action({"Action": [*globs]}, action))


def _ask(prop: Property, mutant: Mutant, changed: World) -> Outcome | None:
    """Return what a property says of requests that the changed statement is about, or None if there are none."""
    actions = _both_about(prop.may, tuple(listed(mutant.before["Action"])))
    if not actions:
        return None
    question = prop.question(changed)
    actors = [actor for actor in question.actors if not mutant.actors or actor.name in mutant.actors]
    if not actors:
        return None

    def where(request: Request) -> Formula:
        return all_of(part(request) for part in (lambda r: r.may_apply(mutant.after or mutant.before), prop.where))

    return search(changed, replace(question, actors=actors, actions=actions, where=where))


def _harm(mutant: Mutant, base: World, changed: World) -> Outcome:
    """Return a request that is allowed now and was refused before."""
    names: Iterable[str] = mutant.actors or [
        actor.name
        for actor in base.actors.values()
        if VICTIM not in actor.labels and addressed(mutant.before, actor)  # a service's own requests are no actor's
    ]
    services = {str(a).partition(":")[0] for a in listed(mutant.before["Action"]) if a != "*"}
    actions = [
        action
        for service in sorted(services) or _SERVICES_OF_EVERYTHING
        for action in service_actions(service)
        if names_action(mutant.before, action)
    ]

    def where(request: Request) -> Formula:
        def new(_: Request) -> Formula:
            before = replace(base.actors[request.actor.name], tags=request.actor.tags)
            refused = negated(request.is_allowed(base, of=before, wide=not request.wide))
            if not mutant.actors or not request.wide:
                return refused
            # What a principal's own policies allowed already is not new, whatever the resource's policy says.
            return all_of((refused, negated(request.is_allowed_by_itself(of=before, wide=False))))

        return all_of(part(request) for part in (lambda r: r.may_apply(mutant.after or mutant.before), new))

    question = Question(
        actors=[changed.actors[name] for name in sorted(names)],
        actions=actions,
        where=where,
        owners=(HUB, DEV, DEPLOYMENT),
        region=REGION,
        closed=not mutant.actors,
    )
    return search(changed, question)


def tally(half: Half) -> tuple[Counter[tuple[str, Fate]], list[str]]:
    """Return how many mutants of a half met which fate, by kind, and those that were missed or undecided."""
    base = world()
    counts, open_ = Counter[tuple[str, Fate]](), list[str]()
    for mutant in mutants(base):
        if mutant.half != half:
            continue
        fate, why = judge(mutant, base)
        counts[mutant.kind, fate] += 1
        if fate in ("missed", "undecided"):
            open_.append(f"{fate}: {mutant.where}: {mutant.what}: {why}")
    return counts, open_


def share(counts: Counter[tuple[str, Fate]]) -> float:
    """Return the share of the harmful mutants that was caught; undecided ones count neither way."""
    caught = sum(n for (_, fate), n in counts.items() if fate == "caught")
    missed = sum(n for (_, fate), n in counts.items() if fate == "missed")
    return caught / (caught + missed)


def main(arguments: list[str]) -> None:
    """Print the figures, and for half A what was missed."""
    for half in ("A", "B"):
        if arguments and half not in arguments:
            continue
        start = time.process_time()
        counts, open_ = tally(half)
        fates = {fate: sum(n for (_, f), n in counts.items() if f == fate) for fate in {f for _, f in counts}}
        sys.stdout.write(f"half {half}: {share(counts):.1%} caught, {fates}, {time.process_time() - start:.0f} s\n")
        sys.stdout.writelines(f"  {kind} {fate}: {n}\n" for (kind, fate), n in sorted(counts.items()))
        sys.stdout.writelines(f"  {line}\n" for line in open_ if half == "A")


if __name__ == "__main__":
    main(sys.argv[1:])
