"""Policies that the organisation's administrators put in place by hand (docs/setup.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PERMISSION_SETS: Final = Path(__file__).with_name("permission_sets")
"""Policies of people, one file per permission set of Identity Center, e.g. ``ml-engineer.json``."""

RESOURCE_CONTROL_POLICIES: Final = Path(__file__).with_name("resource_control_policies")
"""Policies of whole accounts."""
