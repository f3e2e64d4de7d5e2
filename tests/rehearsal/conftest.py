"""The platform of the rehearsal, deployed once for all tests that live on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from rehearsal import domain_steps, journey, training_steps
from rehearsal.organization import Organization
from rehearsal.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS: Final = 1000
"""Rows of generated data."""


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything before the first project: catalog published, domain launched, Git connected, all data in place."""
    work = tmp_path_factory.mktemp("platform")
    world = World(work, Organization(work / "cloud"), None, None, rows=ROWS)
    done = []
    try:
        for product in journey.training_products():
            for run in journey.steps_before(training_steps.create_project, product=product):
                if run not in done:
                    done.append(run)
                    run(world)
        domain_steps.open_studio(world)
        yield world
    finally:
        world.close()
