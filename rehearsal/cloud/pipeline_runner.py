"""The seed code's pipeline runner with one kind of step more: ``Transform``, a job of the emulated SageMaker.

Started as a script with the seed code's Python and its runner on the path; takes the arguments of the runner. The job
is created and watched with the credentials of the pipeline's role, as SageMaker Pipelines does, and runs as the role of
its model: https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-access.html
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Run: TypeAlias = Any
"""What the steps of an execution share: a class of the runner."""
Result: TypeAlias = tuple[dict[str, Any], dict[str, Any], str]
"""Properties of a step, its metadata, and a word about it."""

# Not a package of the environment that checks this file: the seed code is data to this repository.
_runner: Final[Any] = importlib.import_module("ml_pipelines.runner")
_RUNNING: Final = ("InProgress", "Stopping")


def _transform(step: Mapping[str, Any], request: dict[str, Any], run: Run) -> Result:
    """Start a transform job and wait for its end."""
    sagemaker = boto3.client("sagemaker", region_name=run.execution.region)
    name = run.job_name(step["Name"])
    try:
        arn = sagemaker.create_transform_job(**{**request, "TransformJobName": name})["TransformJobArn"]
        while (job := sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] in _RUNNING:
            time.sleep(0.2)
    except ClientError as error:
        raise _runner.StepFailedError(str(error)) from error
    if job["TransformJobStatus"] != "Completed":
        raise _runner.StepFailedError(job.get("FailureReason", job["TransformJobStatus"]))
    described = {key: value for key, value in job.items() if key != "ResponseMetadata"}
    properties = {key: str(value) if key.endswith("Time") else value for key, value in described.items()}
    return properties, {"TransformJob": {"Arn": arn}}, request["TransformOutput"]["S3OutputPath"]


def _add_transform() -> None:
    """Add the step to those that the runner knows."""
    known: Callable[[Any], dict[str, Callable[..., Result]]] = _runner.PipelineRunner._actions
    _runner.PipelineRunner._actions = lambda runner: {**known(runner), "Transform": _transform}


if __name__ == "__main__":
    _add_transform()
    sys.exit(_runner.main())
