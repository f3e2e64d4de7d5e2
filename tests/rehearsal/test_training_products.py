"""Every training product, from a project to a registered model, in the organisation that other tests use too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rehearsal import journey, training_steps

if TYPE_CHECKING:
    from rehearsal.world import World

pytestmark = pytest.mark.rehearsal


@pytest.mark.parametrize("product", journey.training_products())
def test_a_training_product_registers_a_model(platform: World, product: str) -> None:
    world = platform.turn_to(product)
    until_project = journey.steps_before(training_steps.create_project, product=product)
    for run in journey.steps_before(training_steps.try_to_approve, product=product)[len(until_project) :]:
        run(world)
    assert world.facts.model_package["ModelApprovalStatus"] == "PendingManualApproval"
    assert world.facts.evaluation["gate"]["value"] > world.facts.evaluation["gate"]["baseline"]
