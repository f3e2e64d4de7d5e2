"""Templates of products, synthesised once per test run."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_cdk import aws_servicecatalog as servicecatalog


@pytest.fixture(scope="session")
def synth_product() -> Callable[[type[servicecatalog.ProductStack]], dict[str, Any]]:
    """Return a function that gives the template of a product as a release would hold it."""
    from pipeline.synthesis import synthesise  # noqa: PLC0415  # loading CDK takes seconds that other tests need not pay

    return cache(synthesise)
