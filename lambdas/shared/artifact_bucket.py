"""What is where in the hub's artifact bucket."""

from __future__ import annotations

import re
from typing import Final

RELEASES_PREFIX: Final = "releases/"
"""Released templates: ``releases/<product>/<version>/template.json``."""

ASSETS_PREFIX: Final = "assets/"
"""Archives, named by their digests: seed code, and the code of functions."""

ARCHIVE_KEY: Final = re.compile(rf"{ASSETS_PREFIX}(?P<digest>[0-9a-f]{{64}})\.zip")
"""Key of an archive; templates refer to archives by it."""


def archive_key(sha256: str) -> str:
    """Return the key of an archive; `ARCHIVE_KEY` matches it."""
    return f"{ASSETS_PREFIX}{sha256}.zip"
