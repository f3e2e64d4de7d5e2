"""How what products make is named."""

from __future__ import annotations

from typing import Final

PRODUCT_PREFIX: Final = "mlp-"
"""Prefix of every named resource that a product makes, so that roles can be scoped to it."""
