"""The search for a request that breaks a property.

Every request of the property's kind is asked for in the wide reading (`requests`): when none is found, the property is
proven. A request that is found has to be found again in the narrow reading, with no condition key that its action does
not carry; only then is the property refuted, and otherwise it is undecided. Z3 decides over truth values alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import z3

from tests.proofs.logic import Formula, all_of
from tests.proofs.reference import WITHOUT_RESOURCE, Kind, kinds
from tests.proofs.requests import Request, Witness, addressed, names_action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proofs.model import Actor, World

Verdict = Literal["proven", "refuted", "undecided"]
Where = Callable[[Request], Formula]
"""Which requests a property is about; ``False`` for those of a kind that it is not about."""


@dataclass
class Outcome:
    """What a search found.

    Attributes:
        verdict: The verdict.
        queries: Requests that were decided.
        witness: A request that breaks the property.
        open: Requests that are undecided.
    """

    verdict: Verdict = "proven"
    queries: int = 0
    witness: Witness | None = None
    open: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Question:
    """Whether some principals may make some requests.

    Attributes:
        actors: The principals.
        actions: The actions.
        where: Which requests.
        owners: Accounts of the resources. Default: that of whoever asks.
        kinds: Kinds of resources. Default: all.
        region: Region of the requests.
        closed: Whether resources without a policy in the world admit nobody of another account, see `Request`.
    """

    actors: Iterable[Actor]
    actions: Sequence[str]
    where: Where
    region: str
    owners: Sequence[str] = ()
    kinds: Sequence[str] = ()
    closed: bool = False


def search(world: World, question: Question) -> Outcome:
    """Return whether no such request is allowed, or one that is."""
    outcome = Outcome()
    for actor in question.actors:
        for variant in _variants(actor):
            if _is_locked_out(world, variant, question.region):
                continue
            _search_actor(world, variant, question, outcome)
            if outcome.verdict == "refuted":
                return outcome
    return outcome


def _search_actor(world: World, actor: Actor, question: Question, outcome: Outcome) -> None:
    decided: set[object] = set()
    for action in question.actions:
        for kind, owner in _places(actor, action, question):
            signature = _signature(world, actor, action, kind, owner)
            if signature is None or signature in decided:
                continue
            outcome.queries += 1
            wide, narrow = (
                Request(
                    world.organisation,
                    actor,
                    action,
                    kind,
                    owner=owner,
                    region=question.region,
                    wide=reading,
                    closed=question.closed,
                )
                for reading in (True, False)
            )
            if _solve(world, wide, question.where) is None:
                decided.add(signature)
                continue
            model = _solve(world, narrow, question.where)
            if model is not None:
                outcome.verdict, outcome.witness = "refuted", narrow.concrete(model)
                return
            outcome.verdict = "undecided"
            tag = f" as {dict(actor.tags)}" if actor.made and actor.tags else ""
            outcome.open.append(f"{actor.name}{tag}: {action} on {kind.name or '*'} of {owner}")


def _variants(actor: Actor) -> Iterator[Actor]:
    """Yield a principal once for every session tag to try."""
    if not actor.session_tags or actor.tags is None:
        yield actor
        return
    (tag,) = actor.tags
    for value in actor.session_tags:
        yield replace(actor, tags={tag: value})


def _is_locked_out(world: World, actor: Actor, region: str) -> bool:
    """Return whether a denial of everything surely applies to a made role, whatever it asks for."""
    if not actor.made:
        return False
    kind = Kind("", WITHOUT_RESOURCE)
    probe = Request(
        world.organisation, actor, "sts:GetCallerIdentity", kind, owner=actor.account, region=region, wide=True
    )
    everything = [
        s
        for policy in actor.policies()
        for s in policy
        if s["Effect"] == "Deny" and s.get("Action") == s.get("Resource") == "*"
    ]
    return any(probe.surely_applies(statement) for statement in everything)


def _places(actor: Actor, action: str, question: Question) -> Iterator[tuple[Kind, str]]:
    for kind in kinds(action):
        if question.kinds and kind.name not in question.kinds:
            continue
        if kind.arn == WITHOUT_RESOURCE or kind.arn.split(":")[2] == "apigateway":  # whose ARNs name no account
            yield kind, actor.account
            continue
        for owner in question.owners or (actor.account,):
            yield kind, owner


def _signature(world: World, actor: Actor, action: str, kind: Kind, owner: str) -> object:
    """Return what the decision depends on besides open texts, or None when nothing grants the action.

    Two actions that the same statements name, on the same kind of resource, are decided alike.
    """
    own = tuple(tuple(i for i, s in enumerate(policy) if names_action(s, action)) for policy in actor.policies())
    service = kind.arn.split(":")[2] if kind.arn != WITHOUT_RESOURCE else ""
    theirs = tuple(
        (i, j)
        for i, policy in enumerate(world.policies_of(owner, service))
        for j, s in enumerate(policy.statements)
        if names_action(s, action) and addressed(s, actor)
    )
    granted = all(
        any(policy[i]["Effect"] == "Allow" for i in hits) for policy, hits in zip(actor.policies(), own, strict=True)
    )
    if not granted and not (
        owner == actor.account
        and any(
            statement["Effect"] == "Allow" and addressed(statement, actor) == "principal"
            for i, j in theirs
            for statement in [world.policies_of(owner, service)[i].statements[j]]
        )
    ):
        return None
    return (kind, owner, action.partition(":")[0], own, theirs)


def _solve(world: World, request: Request, where: Where) -> z3.ModelRef | None:
    """Return a solution: a request that the property is about and that is allowed."""
    wanted = where(request)
    if wanted is False:
        return None
    formula = all_of((request.is_allowed(world), wanted))
    if formula is False:
        return None
    solver = z3.SolverFor("QF_FD")
    if formula is not True:
        solver.add(formula)
    solver.add(*request.constraints(), *(() if request.wide else request.realistic()))
    return solver.model() if solver.check() == z3.sat else None
