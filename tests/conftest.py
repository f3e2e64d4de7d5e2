"""What all tests share: templates of products, synthesised once per test run, and the order of the modules."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_cdk import aws_servicecatalog as servicecatalog
    from xdist.remote import Producer

# The CDK starts `node`, which is installed beside this interpreter: machines need not have another, nor PATH name it.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


ON_THE_PLATFORM = {
    f"tests/rehearsal/test_{name}.py"
    for name in (
        "contract", "data_access", "lifecycle", "pipeline_builds", "training_products", "update_from_first_release",
    )
}  # fmt: skip
"""Modules that use the fixture `platform` of tests/rehearsal."""


class OnePlatform(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each worker whole modules, and to one of them all that live on the platform of tests/rehearsal.

    The platform takes some 20 seconds to deploy, and each worker would deploy its own.
    """

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return "the platform" if scope in ON_THE_PLATFORM else scope


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OnePlatform:
    """Say how tests are divided between workers."""
    return OnePlatform(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put modules that take long first: at the end, no worker waits long for another one."""
    long = {item.path for item in items if any(item.get_closest_marker(name) for name in ("rehearsal", "seed"))}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def synth_product() -> Callable[[type[servicecatalog.ProductStack]], dict[str, Any]]:
    """Return a function that gives the template of a product as a release would hold it."""
    from pipeline.synthesis import synthesise  # noqa: PLC0415  # loading CDK takes seconds that other tests need not pay

    return cache(synthesise)
