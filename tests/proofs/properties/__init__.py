"""Every property, by the part of the platform that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.proofs.properties import (
    boundaries,
    deployments,
    development,
    governed_data,
    hub,
    launching,
    outsiders,
    platform,
)

if TYPE_CHECKING:
    from tests.proofs.properties.vocabulary import Property

PARTS: Final = (boundaries, deployments, hub, development, launching, platform, governed_data, outsiders)
PROPERTIES: Final[dict[str, Property]] = {prop.says: prop for part in PARTS for prop in part.PROPERTIES}
