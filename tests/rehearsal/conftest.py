"""The platform of the rehearsal, deployed once for all tests that live on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rehearsal import deployment_steps, journey
from rehearsal.organization import Organization

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.journey import World


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything before the first project: catalog published, domain launched, Git connected, data and hub ready."""
    work = tmp_path_factory.mktemp("platform")
    world = journey.World(work, Organization(work / "cloud"), None, None)
    steps = [step.run for step in journey.STEPS]
    try:
        for run in steps[: steps.index(journey.create_project)]:
            run(world)
        journey.open_studio(world)
        deployment_steps.prepare_hub(world)
        yield world
    finally:
        world.close()
