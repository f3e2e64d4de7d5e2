"""The automata against brute force, and the formula against the evaluator of all other tests."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from fnmatch import fnmatchcase

import pytest
import z3

from tests.proofs.logic import negated
from tests.proofs.model import listed
from tests.proofs.reference import expand, kinds
from tests.proofs.requests import Request
from tests.proofs.variables import Variable
from tests.proofs.words import tokens, words
from tests.proofs.world import REGION, world

GLOBS = ("*", "a*", "*a", "a?", "?b*", "*ab*", "b", "a*b*a", "", "?", "*?a", "ab/*", "a:*")


def test_every_combination_of_patterns_that_some_text_matches_is_found_and_no_other() -> None:
    rng = random.Random(1)  # noqa: S311
    texts = ["".join(letters) for length in range(6) for letters in itertools.product("ab/:c", repeat=length)]
    for _ in range(60):
        chosen = rng.sample(GLOBS, 4)
        by_hand = {frozenset(i for i, glob in enumerate(chosen) if fnmatchcase(text, glob)) for text in texts}
        found = words(tokens("*"), tuple(tokens(glob) for glob in chosen))
        assert {word.matched for word in found} == by_hand, chosen
        for word in found:
            assert word.matched == frozenset(i for i, glob in enumerate(chosen) if fnmatchcase(word.text, glob))


def test_a_word_stays_within_its_shape_and_wildcards_do_not_stand_for_what_they_exclude() -> None:
    shape = (*tokens("key/"), *tokens("?", "/"), *tokens("*", "/"))
    found = words(shape, (tokens("key/*", ":"), tokens("*/b")))
    assert all(word.text.startswith("key/") and word.text.count("/") == 1 for word in found)
    assert {word.matched for word in found} == {frozenset({0}), frozenset({0, 1}), frozenset()}


def agreement(tries: int, seed: int) -> Counter[bool]:
    """Ask for random requests that the formula allows or refuses, and count how often the evaluator says the same."""
    rng = random.Random(seed)  # noqa: S311
    here, found = world(), Counter[bool]()
    actors = [actor for actor in here.actors.values() if actor.identity and actor.tags is not None]
    while found.total() < tries:
        actor = rng.choice(actors)
        patterns = [a for policy in actor.policies() for s in policy for a in listed(s["Action"]) if a != "*"]
        action = rng.choice(expand(rng.choice(patterns)))
        allowed = rng.random() < 0.5
        # What a proof refuses has to be refused, what a refutation admits has to be admitted.
        kind = rng.choice(kinds(action))
        request = Request(here.organisation, actor, action, kind, owner=actor.account, region=REGION, wide=not allowed)
        formula = request.is_allowed(here.without_resource_policies())
        solver = z3.SolverFor("QF_FD")
        solver.set("random_seed", rng.randrange(10**6))
        solver.add(formula if allowed else negated(formula), *request.constraints(), *request.realistic())
        if solver.check() == z3.sat:
            found[request.concrete(solver.model()).is_replayed() == allowed] += 1
    return found


def test_formula_and_evaluator_agree_on_some_requests() -> None:
    assert agreement(20, seed=1)[False] == 0


@pytest.mark.prove
def test_formula_and_evaluator_agree_on_many_requests() -> None:
    assert agreement(3000, seed=2)[False] == 0


def test_the_truth_values_of_a_text_are_those_of_one_word() -> None:
    variable = Variable("name")
    first, second = variable.like("mlp-*"), variable.like("*-prod")
    solver = z3.SolverFor("QF_FD")
    solver.add(first, second, *variable.constraints())
    assert solver.check() == z3.sat
    assert variable.text(solver.model()) == "mlp-prod"
