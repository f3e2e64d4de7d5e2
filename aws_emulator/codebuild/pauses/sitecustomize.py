"""Short pauses for builds: Python imports this file at start.

A build that asks every few seconds whether a stack is complete does so because that takes minutes on AWS. Here it takes
a moment, and the rest would be waiting.
"""

import time
from typing import SupportsIndex

_real = time.sleep
_TIMES_SHORTER = 20


def _shorter(seconds: float | SupportsIndex, /) -> None:
    """Pause for a part of the time."""
    _real(float(seconds) / _TIMES_SHORTER)


time.sleep = _shorter
