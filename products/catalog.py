"""Every product of the catalog; adding one means adding its class here."""

from __future__ import annotations

from typing import Final

from products.data_access.product import DataAccessProduct
from products.deploy_batch.product import DeployBatchProduct
from products.deploy_realtime.product import DeployRealtimeProduct
from products.sagemaker_domain.product import SageMakerDomainProduct
from products.train_athena.product import TrainAthenaProduct
from products.train_s3.product import TrainS3Product

PRODUCTS: Final = (
    DataAccessProduct,
    DeployBatchProduct,
    DeployRealtimeProduct,
    SageMakerDomainProduct,
    TrainAthenaProduct,
    TrainS3Product,
)
"""Classes of all products. Each has a ``SPEC`` and the constructor ``(scope, id)``."""
