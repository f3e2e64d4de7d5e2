"""No request of these principals, whatever names and tags they choose, does that: proven for every property.

How it is decided, and what it does not cover: ``docs/proofs.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.proofs import verdicts
from tests.proofs.properties import PARTS, PROPERTIES
from tests.proofs.world import world

if TYPE_CHECKING:
    from types import ModuleType

    from tests.proofs.properties.vocabulary import Property

every_part = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__.rpartition(".")[2])


def broken(properties: list[Property]) -> list[str]:
    """Return which properties have another verdict than they should, each with what shows it."""
    found = []
    for prop in properties:
        outcome = prop.decide(world())
        if outcome.verdict != verdicts.wanted(prop):
            found.append(f"{outcome.verdict}: {prop.says}: {outcome.witness or outcome.open[:3]}")
        elif outcome.witness:
            assert outcome.witness.is_replayed(), f"tests/policy.py refuses what refutes {prop.says!r}"
    return found


@every_part
def test_what_differs_from_the_committed_verdicts_is_proven(part: ModuleType) -> None:
    different = [prop for prop in part.PROPERTIES if not verdicts.is_known(prop, world())]
    assert broken(different) == [], (
        f"a principal may do what it must not: narrow the policy. If the statement is wrong, correct it in "
        f"{part.__name__}. Then run {verdicts.REFRESH!r}."
    )


@pytest.mark.prove
@every_part
def test_everything_is_proven(part: ModuleType) -> None:
    assert broken(list(part.PROPERTIES)) == []


@pytest.mark.prove
def test_the_committed_verdicts_are_those_of_todays_policies() -> None:
    wanted = {
        says: {"digest": verdicts.digest(prop, world()), "verdict": verdicts.wanted(prop)}
        for says, prop in PROPERTIES.items()
    }
    assert verdicts.committed() == wanted, f"run {verdicts.REFRESH!r} and commit tests/proofs/verdicts.json"


def test_no_statement_is_made_twice_and_none_is_about_nobody() -> None:
    assert len(PROPERTIES) == sum(len(part.PROPERTIES) for part in PARTS)
    assert [prop.says for prop in PROPERTIES.values() if not list(prop.who(world())) or not prop.actions()] == []
