"""The emulated organisation with the permissions and the pipeline runner of this platform."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aws_emulator.tests import harness
from rehearsal import caller_permissions
from rehearsal.organization import PIPELINE_RUNNER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def running(folder: Path, **settings: str) -> Iterator[harness.Cloud]:
    """Run the organisation in a folder, with further settings of its configuration."""
    permissions = folder / "permissions.json"
    caller_permissions.write(permissions)
    more = {
        "permissions": str(permissions),
        "pipeline_runner": str(PIPELINE_RUNNER),
        "pythonpath": str(harness.ROOT / "seed-code/runner/src"),
        **settings,
    }
    with harness.running(folder, more) as cloud:
        yield cloud
