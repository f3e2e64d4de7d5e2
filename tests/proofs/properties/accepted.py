"""Properties that do not hold, each with the reason why that is accepted; one that holds fails the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCEPTED: Final[Mapping[str, str]] = {}
"""None today."""
