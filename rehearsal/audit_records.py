"""The audit trail of the hub, as an authorised person reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lambdas.model_promotion.names import AUDIT_PREFIX
from products.shared import names
from rehearsal.organization import HUB, REGION

if TYPE_CHECKING:
    from rehearsal.organization import Credentials
    from rehearsal.world import World


def audit_records(world: World, who: Credentials) -> list[dict[str, Any]]:
    """Return all records of decisions about models."""
    place = f"s3://{names.audit_bucket(HUB, REGION)}/{AUDIT_PREFIX}"
    return [json.loads(world.read(who, uri)) for uri in world.uris(who, place)]
