"""One emulated organisation for all tests of it: started once, on a free port, in a folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aws_emulator.tests.athena_lake import Lake, stand_up
from aws_emulator.tests.harness import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aws_emulator.tests.harness import Cloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The running organisation."""
    with running(tmp_path_factory.mktemp("cloud")) as organization:
        yield organization


@pytest.fixture(scope="session")
def lake(cloud: Cloud) -> Lake:
    """A small lake, and the root of its account, who asks."""
    return stand_up(cloud)
