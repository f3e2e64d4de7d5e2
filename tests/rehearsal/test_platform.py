"""Tests that share the platform share a worker."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ON_THE_PLATFORM


def test_modules_that_use_the_platform_are_given_to_one_worker() -> None:
    modules = Path(__file__).parent.glob("test_*.py")
    using = {path.name for path in modules if re.search(r"\(\s*platform: World", path.read_text("utf-8"))}
    assert {f"tests/rehearsal/{name}" for name in using} == ON_THE_PLATFORM
