"""Launches of the products with ordinary and with the longest values, as tests evaluate them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.policy import Launch

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB = "444455556666"
SSM = {
    "/ml-platform/v1/boundary-arn": "arn:aws:iam::111122223333:policy/ml-platform-boundary",
    "/ml-platform/v1/hub-account-id": HUB,
    "/ml-platform/v1/artifact-bucket": f"ml-platform-artifacts-{HUB}-eu-west-1",
}
CONNECTION = "arn:aws:codeconnections:eu-west-1:111122223333:connection/0a1b2c3d-0000-4000-8000-000000000001"

DOMAIN = {
    "DomainName": "claims-lab",
    "VpcId": "vpc-1",
    "SubnetIds": "subnet-1,subnet-2",
    "CostCenter": "ml-1000",
    "Owner": "claims-analytics",
}
TRAIN = {
    "SageMakerProjectName": "churn",
    "SageMakerProjectId": "p-aaaaaaaaaaaa",
    "DataUri": "s3://sales-lake/churn/2026/",
    "Label": "churned",
    "Repository": "acme-ml/churn",
    "ConnectionArn": CONNECTION,
    "CostCenter": "ml-1000",
}
ORDINARY: Mapping[str, Mapping[str, str]] = {"sagemaker-domain": DOMAIN, "train-s3": TRAIN}
LONGEST: Mapping[str, Mapping[str, str]] = {
    "sagemaker-domain": DOMAIN | {"DomainName": "d" * 20},
    "train-s3": TRAIN | {"SageMakerProjectName": "n" * 32, "SageMakerProjectId": "p-" + "a" * 14},
}
LONGEST_REGION = "ap-southeast-1"


def launch(template: Mapping[str, Any], parameters: Mapping[str, str], **overrides: Any) -> Launch:  # noqa: ANN401
    """Return a launch with the parameters of this account's SSM."""
    return Launch(template, parameters, ssm=SSM, **overrides)
