"""Settings of the functions' boto3 clients: a hanging call must not use up the time in which to answer."""

from __future__ import annotations

from typing import Final

from botocore.config import Config

CONFIG: Final = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4})
"""For ``boto3.client(…, config=CONFIG)``: at most about 50 seconds per call, throttling and network errors repeated."""
