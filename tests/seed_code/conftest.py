"""Generated repositories and a trained model, made once for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .generated import DEPLOYING, Repository
from .trained import AwsServer, train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .trained import TrainedModel


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The repository of a train-s3 project, as a data scientist gets it."""
    return Repository(tmp_path_factory.mktemp("generated") / "project")


@pytest.fixture(scope="session")
def model(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A trained model; its files are read only."""
    return train(repository, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def aws() -> Iterator[AwsServer]:
    """A server in place of AWS; what a test makes in it has names of its own."""
    server = AwsServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def other_checkout(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The same repository in another folder."""
    return Repository(tmp_path_factory.mktemp("somewhere else") / "deep" / "checkout")


@pytest.fixture(scope="session", params=DEPLOYING)
def deploying_repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The repository of a project that deploys, as an ML engineer gets it."""
    return Repository(tmp_path_factory.mktemp("deploying") / "project", request.param)
