"""The SageMaker SDK as this project uses it, with what version 3.27.0 gets wrong put right.

Import this module before any other part of ``sagemaker``. Each repair has a test in tests/test_sdk.py that shows what
it is for; when a newer SDK passes the test without the repair, the repair can go.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3

if boto3.Session().region_name is None:
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"  # importing sagemaker.mlops without any region raises NoRegionError
# Otherwise the SDK asks IAM what the role of the jobs may do, which the role of a build need not be allowed to know.
os.environ.setdefault("SAGEMAKER_VALIDATE_ROLE", "false")

import sagemaker.core.processing as _processing
import sagemaker.core.workflow.utilities as _utilities
import sagemaker.mlops.workflow.steps as _steps
import sagemaker.train.model_trainer as _model_trainer
from sagemaker.core.config.config_manager import SageMakerConfig
from sagemaker.core.shapes import ProcessingInput, Unassigned
from sagemaker.core.utils.utils import serialize
from sagemaker.core.workflow.pipeline_context import PipelineSession

# The SDK sends usage data to AWS unless told otherwise.
_NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


def pipeline_session(boto_session: boto3.Session, bucket: str) -> PipelineSession:
    """Return a session of the SDK that defines pipelines and keeps its files in the given bucket."""
    session = PipelineSession(boto_session=boto_session, default_bucket=bucket, sagemaker_config=_NO_TELEMETRY)
    # Otherwise the first use lists all buckets of the account, and creates this one where it is missing: two
    # permissions that the build of a project should not have.
    session._default_bucket = bucket
    return session


def digest(*paths: Path | str, extra: str = "") -> str:
    """Return 16 characters that depend on the names and contents of files only, not on where they are or how old.

    Args:
        paths: Files and folders; names within a folder count, the path of the folder does not.
        extra: Anything else on which the digest depends.
    """
    sha = hashlib.sha256(extra.encode())
    for path in map(Path, paths):
        files = sorted(source_files(path)) if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            content = file.read_bytes() if file.is_file() else b""
            sha.update(f"{name}\0{len(content)}\0".encode() + content)
    return sha.hexdigest()[:16]


def source_files(folder: Path) -> list[Path]:
    """Return the files of a folder without what Python and tools leave there."""
    return [path for path in folder.rglob("*") if path.is_file() and not is_left_over(path.relative_to(folder))]


def is_left_over(path: Path) -> bool:
    """Return whether a file was left by Python or a tool and is not source code."""
    return path.suffix == ".pyc" or any(part == "__pycache__" or part.startswith(".") for part in path.parts)


def quiet() -> None:
    """Silence the SDK's running commentary; what matters comes as an exception."""
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore", module="sagemaker")
    warnings.filterwarnings("ignore", message="Running within a PipelineSession")


@contextlib.contextmanager
def pinned_names(name: str) -> Iterator[None]:
    """Within this context, a `ModelTrainer` uploads its code below ``<base job name>/<name>``.

    The second part is a time stamp otherwise: the definition changes with every build, and the step cache never hits.
    """
    original = _model_trainer._get_unique_name
    _model_trainer._get_unique_name = lambda *_, **__: name
    try:
        yield
    finally:
        _model_trainer._get_unique_name = original


def _keep_dataset_definition() -> None:
    """Make Athena and Redshift inputs reach the request; 3.27.0 drops them without a word."""
    original = _processing._processing_input_to_request_dict

    def repaired(item: ProcessingInput) -> dict[str, Any]:
        request: dict[str, Any] = original(item)
        given = item.dataset_definition
        if "DatasetDefinition" not in request and not isinstance(given, (type(None), Unassigned)):
            request["DatasetDefinition"] = serialize(given)
        return request

    _processing._processing_input_to_request_dict = repaired


def _hash_contents_only() -> None:
    """Make the code hash of a step the same in every checkout; in 3.27.0 the path of the folder is part of it."""
    _utilities.hash_files_or_dirs = lambda paths: digest(*paths)


def _validate_configuration_once() -> None:
    """Validate the configuration of the SDK once; 3.27.0 does it 65 times for one pipeline, for four seconds."""
    original = SageMakerConfig.validate_sagemaker_config
    valid: set[str] = set()

    def repaired(sagemaker_config: Any = None) -> None:
        text = json.dumps(sagemaker_config, sort_keys=True, default=str)
        if text not in valid:
            original(sagemaker_config)
            valid.add(text)

    SageMakerConfig.validate_sagemaker_config = staticmethod(repaired)


def _ask_for_a_name_without_a_session() -> None:
    """Let processing steps look up a method's name on its class; 3.27.0 makes a local session for it, every time."""
    local_client = _steps.LocalSagemakerClient
    _steps.LocalSagemakerClient = lambda: local_client


_keep_dataset_definition()
_ask_for_a_name_without_a_session()
_hash_contents_only()
_validate_configuration_once()
