"""Names on which functions agree with products and baselines.

`products.shared.names` has them, too, says what they mean, and has all the others.
"""

from __future__ import annotations

import hashlib
from typing import Final

PRODUCT_PREFIX: Final = "mlp-"
"""Prefix of every named resource that a product makes, so that roles can be scoped to it."""

PROJECT_ID: Final = "p-[a-z0-9]{1,14}"
"""Pattern of project ids as SageMaker makes them, no longer than every derived name allows."""

PROJECT_ROLE_PATH: Final = "/ml-platform/project/"
PERSONA_ROLE_PATH: Final = "/ml-platform/persona/"
"""Paths of the roles of projects, and of those of people, which have a folder for each persona."""

BASE_STACK_SUFFIX: Final = "-base"
"""End of the name of a stage's first stack, with bucket, key and roles: ``mlp-p-abc123-prod-base``."""

STAGES: Final = ("test", "prod")

DEPLOY_ROLE: Final = "ml-platform-deploy"
DEPLOYMENT_TAG: Final = "ml-platform-deployment"
BUCKET_EMPTIER_FUNCTION: Final = "ml-platform-bucket-emptier"

SEED_BRANCHES: Final = "ml-platform/"
"""Beginning of the branches on which new versions of the seed code are offered, e.g. ``ml-platform/1.4.0``."""


def link_database(catalog_id: str, region: str, database: str) -> str:
    """Return the name of the resource link to a database, e.g. ``credit_risk_0a1b2c3d``.

    It depends on everything that the link names, because changing the target of a link changes the target itself (Lake
    Formation developer guide, "How resource links are handled in AWS Glue APIs"): another target is another link.

    Args:
        catalog_id: Account that owns the database.
        region: Region of the database.
        database: Its name there.
    """
    digest = hashlib.sha256(f"{catalog_id}/{region}/{database}".encode()).hexdigest()
    return f"{database}_{digest[:8]}"
