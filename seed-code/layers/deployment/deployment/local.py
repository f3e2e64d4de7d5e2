"""What stands for the project and its model when a change is checked on one's own machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deployment.errors import DeploymentError

# Names as long as they can be, so that what works here works in every project.
VARIABLES = {
    "PROJECT_NAME": "a-project-name-of-32-characters1",
    "PROJECT_ID": "p-abcdefghijklmn",
    "MODEL_PACKAGE_GROUP": "churn-p-abc123-111122223333",
    "PIPELINE_NAME": "mlp-p-abcdefghijklmn-deploy",
    "PIPELINE_EXECUTION_ID": "12345678-1234-1234-1234-123456789012",
    "ARTIFACT_BUCKET": "mlp-p-abcdefghijklmn-111122223333-ap-southeast-1",
    "KMS_KEY_ARN": "arn:aws:kms:ap-southeast-1:111122223333:key/11111111-2222-3333-4444-555555555555",
    "HUB_ACCOUNT_ID": "111122223333",
    "HUB_REGION": "ap-southeast-1",
    "HUB_BUS_ARN": "arn:aws:events:ap-southeast-1:111122223333:event-bus/ml-platform",
    "CONSOLE_HOST": "ap-southeast-1.console.aws.amazon.com",
    "COST_CENTER": "4711",
    "TEST_ACCOUNT_ID": "222233334444",
    "TEST_REGION": "ap-southeast-1",
    "PROD_ACCOUNT_ID": "333344445555",
    "PROD_REGION": "ap-southeast-1",
}

_GROUP = "churn-p-abc123-111122223333"
_REGISTRY = f"s3://ml-platform-registry-111122223333-ap-southeast-1/packages/{_GROUP}/7-20261120T101500Z"


def _file(name: str) -> dict[str, str]:
    return {"ContentType": "application/json", "S3Uri": f"{_REGISTRY}/baseline/{name}"}


# It may be served on any machine: which ones a model is registered for, `make check PACKAGE=file` knows.
PACKAGE: dict[str, Any] = {
    "ModelPackageArn": "arn:aws:sagemaker:ap-southeast-1:111122223333:model-package/churn-p-abc123-111122223333/7",
    "ModelPackageGroupName": "churn-p-abc123-111122223333",
    "ModelPackageVersion": 7,
    "ModelPackageDescription": "Predicts churned",
    "ModelApprovalStatus": "Approved",
    "InferenceSpecification": {
        "Containers": [
            {
                "Image": "121021644041.dkr.ecr.ap-southeast-1.amazonaws.com/sagemaker-xgboost:3.2-0",
                "ModelDataUrl": f"{_REGISTRY}/model.tar.gz",
                "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
            }
        ],
        "SupportedContentTypes": ["text/csv", "application/json", "application/jsonlines"],
        "SupportedResponseMIMETypes": ["text/csv", "application/json", "application/jsonlines"],
    },
    "DriftCheckBaselines": {
        "ModelQuality": {
            "Statistics": {"ContentType": "application/json", "S3Uri": f"{_REGISTRY}/evaluation/evaluation.json"},
            "Constraints": _file("model_quality_constraints.json"),
        },
        "ModelDataQuality": {"Statistics": _file("statistics.json"), "Constraints": _file("constraints.json")},
        "Explainability": {"Constraints": _file("analysis.json")},
    },
    "SamplePayloadUrl": f"{_REGISTRY}/samples/payload.tar.gz",
    "CustomerMetadataProperties": {
        "label": "churned",
        "problem_type": "binary",
        "metric": "auc",
        "metric_value": "0.87",
        "samples": f"{_REGISTRY}/samples",
        "source_digest": "sha256:" + "0" * 64,
    },
}


def choices(root: Path) -> dict[str, str]:
    """Return the choices for the check: choices.env, with lines ``NAME=value``.

    Raises:
        DeploymentError: A line has another form.
    """
    path = root / "choices.env"
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else [], 1):
        if line.strip() and not line.startswith("#"):
            name, equals, value = line.partition("=")
            if not equals or not name.isidentifier():
                raise DeploymentError(f"{path.name}, line {number}: {line!r} is not of the form NAME=value.")
            found[name] = value
    return found
