"""A small model archive for tests of hosting and batch transform: the sum of a row, times a factor."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Final

from aws_emulator.tests.harness import REGION

if TYPE_CHECKING:
    from aws_emulator.tests.harness import AwsClient, Cloud

INFERENCE: Final = """
import json, os, sys
from pathlib import Path

from sagemaker_inference.errors import BaseInferenceToolkitError


class BadRequestError(ValueError, BaseInferenceToolkitError):
    def __init__(self, message):
        BaseInferenceToolkitError.__init__(self, 400, message, "Bad Request")


def model_fn(model_dir):
    return float((Path(model_dir) / "factor.txt").read_text())


def input_fn(body, content_type):
    text = body.decode() if isinstance(body, bytes) else body
    if content_type == "application/json":
        return [json.loads(text)]
    if content_type != "text/csv":
        raise BadRequestError(f"content type {content_type} is not supported")
    try:
        return [[float(cell) for cell in line.split(",")] for line in text.splitlines()]
    except ValueError as error:
        raise BadRequestError(f"no number: {error}") from error


def predict_fn(rows, model):
    if rows == [[0.0]]:
        raise RuntimeError("the model cannot do zero")
    return [sum(row) * model for row in rows]


def output_fn(values, accept):
    if accept == "application/json":
        return json.dumps({"predictions": values, "submit": os.environ["SAGEMAKER_SUBMIT_DIRECTORY"]})
    return "".join(f"{value:g}\\n" for value in values)
"""


def archive(factor: str = "2", *, inference: str = INFERENCE) -> bytes:
    """Return a model archive: ``factor.txt`` and ``code/inference.py``."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, text in {"factor.txt": factor, "code/inference.py": inference}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def container(uri: str) -> dict[str, object]:
    """Return the container of a model whose archive is at a URI, as the seed code registers it."""
    return {
        "Image": f"111111111111.dkr.ecr.{REGION}.amazonaws.com/xgboost:3",
        "ModelDataUrl": uri,
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
    }


def put_archives(cloud: Cloud, account: str, bucket: str) -> AwsClient:
    """Make a bucket with archives that double, triple and do not load, and return a client of S3."""
    s3 = cloud.client("s3", account)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name, factor in {"double": "2", "triple": "3", "broken": "not a number"}.items():
        s3.put_object(Bucket=bucket, Key=f"models/{name}.tar.gz", Body=archive(factor))
    return s3
