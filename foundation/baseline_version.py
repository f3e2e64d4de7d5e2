"""Which baseline this repository rolls out; apart from it, so that commands need not import the CDK."""

from __future__ import annotations

from typing import Final

BASELINE_VERSION: Final = "1.1.0"
"""Version of the baselines: raised in the second place when products may need what is new in them.

What a release needs is the least version that has it (`products.shared.custom_resources.SINCE`). 1.0.0 are the
baselines that wrote no version; 1.1.0 brought data of a lake.
"""
