"""Patterns of values that several functions check."""

from __future__ import annotations

import re
from typing import Final

CONNECTION_ARN: Final = re.compile(
    r"arn:[a-z0-9-]+:(?:codeconnections|codestar-connections):(?P<region>[a-z0-9-]+):(?P<account>\d{12})"
    r":connection/(?P<id>[0-9a-f-]{36})"
)
"""ARN of a CodeConnection; connections from before the service was renamed keep codestar-connections in theirs."""

REPOSITORY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_.][A-Za-z0-9._-]*){1,5}(?<!\.git)")
"""``owner/name``; GitLab's groups may nest, hence more than one slash."""
