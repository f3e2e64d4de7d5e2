"""The runner of ``local_pipelines`` with jobs of the emulated SageMaker, and one kind of step more: ``Transform``.

Started as a script with the seed code's Python and the runner on the path; takes the arguments of the runner. Jobs are
created with the credentials of the pipeline's role, as SageMaker Pipelines does:
https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-access.html. Processing and training then happen here,
which is why their role has to be the pipeline's; a transform job happens in the emulator, as the role of its model.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Run: TypeAlias = Any
"""What the steps of an execution share: a class of the runner."""
Result: TypeAlias = tuple[dict[str, Any], dict[str, Any], str]
"""Properties of a step, its metadata, and a short text about it."""

# Not a package of the environment that checks this file: the seed code is data to this repository.
_runner: Final[Any] = importlib.import_module("local_pipelines.runner")
_RUNNING: Final = ("InProgress", "Stopping")


def _client(run: Run) -> Any:  # noqa: ANN401 - a client of boto3 has no type of its own
    # Hyperparameters and variables of a definition can be numbers; the service converts them to text.
    return boto3.client("sagemaker", region_name=run.execution.region, config=Config(parameter_validation=False))


def _created(kind: str, action: Callable[..., Result]) -> Callable[..., Result]:
    """Return an action of the runner that first creates the job, which can be refused."""

    def run_job(step: Mapping[str, Any], request: dict[str, Any], run: Run) -> Result:
        role, pipeline_role = request.get("RoleArn"), os.environ["PIPELINE_ROLE_ARN"]
        if role and role != pipeline_role:
            raise _runner.StepFailedError(f"jobs run as the pipeline's role here, {pipeline_role}, and not as {role}")
        create = getattr(_client(run), f"create_{kind.lower()}_job")
        try:
            create(**{**request, f"{kind}JobName": run.job_name(step["Name"])})
        except ClientError as error:
            raise _runner.StepFailedError(str(error)) from error
        return action(step, request, run)

    return run_job


def _transform(step: Mapping[str, Any], request: dict[str, Any], run: Run) -> Result:
    """Start a transform job and wait for its end."""
    sagemaker = _client(run)
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


def _extend_runner() -> None:
    """Add the step to those that the runner knows, and let the others create their jobs."""
    known: Callable[[Any], dict[str, Callable[..., Result]]] = _runner.PipelineRunner._actions

    def actions(runner: Any) -> dict[str, Callable[..., Result]]:  # noqa: ANN401 - a class of the runner
        found = known(runner)
        jobs = {kind: _created(kind, found[kind]) for kind in ("Processing", "Training")}
        return {**found, **jobs, "Transform": _transform}

    _runner.PipelineRunner._actions = actions


if __name__ == "__main__":
    _extend_runner()
    sys.exit(_runner.main())
