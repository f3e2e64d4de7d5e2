"""The generated repository, and the environment in which its code runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from products.shared import seed_code

ROOT = Path(__file__).resolve().parents[2]
SEED_PYTHON = ROOT / ".venv-seed" / "bin" / "python"


class Repository:
    """A generated repository on disk.

    Attributes:
        folder: Where it is.
    """

    def __init__(self, folder: Path) -> None:
        seed_code.write("train-s3", folder)
        self.folder = folder

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python of the seed environment in the repository, with nothing of this process' AWS settings."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
        return subprocess.run(
            [str(SEED_PYTHON), *command],
            cwd=self.folder,
            env={**clean, "AWS_EC2_METADATA_DISABLED": "true", **environment},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The repository of a train-s3 project, as a data scientist gets it."""
    return Repository(tmp_path_factory.mktemp("generated") / "project")


@pytest.fixture(scope="session")
def other_checkout(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The same repository in another folder."""
    return Repository(tmp_path_factory.mktemp("somewhere else") / "deep" / "checkout")
