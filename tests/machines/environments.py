"""What the environments are made with: the pinned uv, and the Pythons that they resolve for."""

from __future__ import annotations

import importlib.util
import os
from typing import Final

from pipeline.synthesis import ROOT

UV: Final = os.environ.get("UV", str(ROOT / ".tools/uv"))

_spec = importlib.util.spec_from_file_location("bootstrap", ROOT / ".ci/bootstrap.py")
assert _spec is not None
assert _spec.loader is not None
bootstrap = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bootstrap)

PYTHONS: Final[tuple[str, ...]] = bootstrap.PYTHONS
