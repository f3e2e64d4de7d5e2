"""What all proofs share: everything that has permissions, gathered once per process."""

from __future__ import annotations

import pytest

from tests.proofs.gathered import Gathered, gather


@pytest.fixture(scope="session")
def gathered() -> Gathered:
    """Every template and policy of the platform; see `tests.proofs.gathered`."""
    return gather()
