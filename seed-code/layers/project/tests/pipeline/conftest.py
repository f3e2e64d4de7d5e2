"""Fixtures of the pipeline's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import test_data_source

from ml_pipelines.config import ProjectConfig, for_aws

BUILD = {
    "PROJECT_NAME": "churn",
    "PROJECT_ID": "p-abc123",
    "PIPELINE_NAME": "churn-p-abc123",
    "MODEL_PACKAGE_GROUP": "churn-p-abc123",
    "ARTIFACT_BUCKET": "artifacts",
    "KMS_KEY_ARN": "arn:aws:kms:eu-west-1:111111111111:key/1234",
    "PIPELINE_ROLE_ARN": "arn:aws:iam::111111111111:role/churn",
    **test_data_source.BUILD,
    "LABEL": "churned",
    "PROBLEM_TYPE": "auto",
    "CODEBUILD_RESOLVED_SOURCE_VERSION": "0123456789abcdef0123456789abcdef01234567",
}


@pytest.fixture
def build() -> dict[str, str]:
    """Variables of the project's build."""
    return dict(BUILD)


@pytest.fixture(scope="session")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config.yaml that decides nothing: tests hold for whatever a project's own files say."""
    path = tmp_path_factory.mktemp("settings") / "config.yaml"
    path.touch()
    return path


@pytest.fixture(scope="session")
def config(undecided: Path) -> ProjectConfig:
    """The configuration of a project in its account."""
    return for_aws(undecided, BUILD)


@pytest.fixture(scope="session")
def definition(config: ProjectConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The definition of the pipeline, as SageMaker gets it."""
    return define(config, tmp_path_factory.mktemp("store"))


def define(config: ProjectConfig, store: Path) -> dict[str, Any]:
    """Return the definition of a configuration."""
    from local_pipelines.offline import offline_session

    from ml_pipelines import sdk
    from ml_pipelines.pipeline import definition as build_definition

    sdk.quiet()
    session = sdk.pipeline_session(offline_session(store, region="eu-west-1"), config.bucket)
    found: dict[str, Any] = json.loads(build_definition(config, session))
    return found
