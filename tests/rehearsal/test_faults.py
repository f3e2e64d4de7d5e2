"""The promotion with every fault that can happen on AWS: its result is the same as without faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from products.shared import names
from rehearsal import deployment_steps, fault_steps, journey
from rehearsal.organization import HUB, REGION, Credentials, Organization, RehearsalError
from rehearsal.world import World

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.rehearsal, pytest.mark.prove]

INTERRUPTED = {
    "SageMaker.CreateModelCard",
    "SageMaker.CreateModelPackage",
    "SageMaker.CreateModelPackageGroup",
    "SageMaker.DescribeModelPackage",
    "SageMaker.PutModelPackageGroupPolicy",
    "SageMaker.UpdateModelPackage",
    "s3 GET",
    "s3 HEAD",
    "s3 PUT",
}


def test_the_registry_holds_the_same_whatever_happens_to_the_promotion(tmp_path: Path) -> None:
    world = World(tmp_path, Organization(tmp_path / "cloud", faults=True), None, None)
    try:
        for run in journey.steps_before(deployment_steps.deploy_to_test):
            run(world)
        fault_steps.compare_registry(world)

        survived = world.facts.faults
        calls = survived["calls_interrupted"]
        assert survived["crashes"] == len(calls) > 40, "each call of the promotion once"
        assert {" ".join(call.split()[: 2 if call.startswith("s3") else 1]) for call in calls} >= INTERRUPTED
        assert min(survived[kind] for kind in ("throttled", "duplicates", "out_of_order")) > 0

        stray = {"Bucket": names.registry_bucket(HUB, REGION), "Key": "packages/stray"}
        world.client("s3", Credentials.administrator(HUB)).put_object(**stray, Body=b"left over")
        with pytest.raises(RehearsalError, match="packages/stray belongs to no package"):
            fault_steps.compare_registry(world)
    finally:
        world.close()
