"""Generated repositories, and the environments in which their code runs."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

from products.shared import seed_code

ROOT = Path(__file__).resolve().parents[2]
SEED_PYTHON = ROOT / ".venv-seed" / "bin" / "python"
DEPLOYMENT_PYTHON = ROOT / ".venv-deployment" / "bin" / "python"
SETTINGS_FILES = ("config.yaml", "data.yaml", "environments.yaml", "choices.env")
"""What the people of a project edit."""
DEPLOYING = ("deploy-batch", "deploy-realtime")
"""Templates of the repositories that deploy; all others train."""


_WITHOUT_LOCAL_PIPELINES = """
import sys

class Refuse:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "local_pipelines":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse)
"""


def without_local_pipelines(folder: Path) -> dict[str, str]:
    """Return variables with which Python does not find ``local_pipelines``, as where only the jobs' packages are."""
    (folder / "sitecustomize.py").write_text(_WITHOUT_LOCAL_PIPELINES, encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


class Repository:
    """A generated repository on disk.

    Attributes:
        folder: Where it is.
        template: What it was made from.
        archive: Seed code of a released version. Default: today's.
    """

    def __init__(self, folder: Path, template: str = "train-s3", *, archive: Path | None = None) -> None:
        if archive:
            with zipfile.ZipFile(archive) as released:
                released.extractall(folder)
        else:
            seed_code.write(template, folder)
        self.folder = folder
        self.template = template
        self._python = DEPLOYMENT_PYTHON if template in DEPLOYING else SEED_PYTHON

    def spoil_settings(self) -> None:
        """Make every file with settings one that nobody can read: what then still works does not depend on them."""
        for name in SETTINGS_FILES:
            if (path := self.folder / name).exists():
                path.write_text("{ nobody : can [ read this\n", encoding="utf-8")

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python of the repository's environment in it, with nothing of this process' AWS settings."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
        return subprocess.run(
            [str(self._python), *command],
            cwd=self.folder,
            env={**clean, "AWS_EC2_METADATA_DISABLED": "true", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
