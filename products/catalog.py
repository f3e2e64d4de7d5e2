"""Every product of the catalog; adding one means adding its class here."""

from __future__ import annotations

from typing import Final

from products.sagemaker_domain.product import SageMakerDomainProduct
from products.train_s3.product import TrainS3Product

PRODUCTS: Final = (SageMakerDomainProduct, TrainS3Product)
"""Classes of all products. Each has a ``SPEC`` and the constructor ``(scope, id)``."""
