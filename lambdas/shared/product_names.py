"""Names on which functions agree with products and baselines.

`products.shared.names` has them, too, says what they mean, and has all the others.
"""

from __future__ import annotations

from typing import Final

PRODUCT_PREFIX: Final = "mlp-"
"""Prefix of every named resource that a product makes, so that roles can be scoped to it."""

BASE_STACK_SUFFIX: Final = "-base"
"""End of the name of a stage's first stack, with bucket, key and roles: ``mlp-p-abc123-prod-base``."""

STAGES: Final = ("test", "prod")

DEPLOY_ROLE: Final = "ml-platform-deploy"
DEPLOYMENT_TAG: Final = "ml-platform-deployment"
BUCKET_EMPTIER_FUNCTION: Final = "ml-platform-bucket-emptier"

SEED_BRANCHES: Final = "ml-platform/"
"""Beginning of the branches on which new versions of the seed code are offered, e.g. ``ml-platform/1.4.0``."""
