"""What another data source takes: five files by hand and one edited line; everything else follows.

``portfolio new`` writes a product like train-s3, whose source these files replace; it is released, and the rehearsal
walks with it from the launch to drift in production.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from pipeline.git import export_working_tree
from rehearsal.organization import ROOT

pytestmark = pytest.mark.prove

FILES: Final = Path(__file__).with_name("table_source")
BY_HAND: Final = {
    "product.py.txt": "products/train_table/product.py",
    "answers.toml": "products/train_table/answers.toml",
    "data_source.py.txt": "seed-code/layers/source-table/ml_pipelines/data_source.py",
    "data.yaml": "seed-code/layers/source-table/data.yaml",
    "test_data_source.py.txt": "seed-code/layers/source-table/tests/pipeline/test_data_source.py",
}
"""Each file here, and where an engineer would write it."""

EDITED_LINE: Final = ("- `DataUri`:", "- `Table`: Table of the data lake, e.g. `subscribers`.\n")
"""Beginning of the one line of the README that has to change, and what takes its place."""

ENVIRONMENTS: Final = (".venv", ".venv-rehearsal", ".venv-seed", ".venv-deployment", "node_modules", ".tools")


class Checkout:
    """A copy of this repository to work in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        export_working_tree(ROOT, root)
        for environment in ENVIRONMENTS:
            (root / environment).symlink_to(ROOT / environment)
        with (root / ".gitignore").open("a", encoding="utf-8") as ignored:
            ignored.writelines(f"{environment}\n" for environment in ENVIRONMENTS)  # links are no folders to git
        self.git("init", "-q", "-b", "main")
        self.commit("As it is")

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
        return self.run("git", *identity, *arguments)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "-q", "-m", message)

    def python(self, *arguments: str) -> str:
        """Run Python with the code of the copy, not with that which is installed."""
        return self.run(sys.executable, *arguments)

    def portfolio(self, *arguments: str) -> str:
        return self.python("-c", "from pipeline.cli import portfolio; portfolio()", *arguments)

    def run(self, *command: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(self.root), "GIT_CONFIG_GLOBAL": os.devnull}
        run = subprocess.run(
            command,
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert run.returncode == 0, f"{' '.join(command)}\n{run.stdout[-6000:]}\n{run.stderr[-6000:]}"
        return run.stdout


def test_a_source_is_five_files_by_hand_and_the_rehearsal_walks_with_it(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "catalog")
    checkout.portfolio("new", "train-table", "--like", "train-s3", "--title", "Train on a table")
    checkout.commit("Begin a product")
    assert {path.name for path in FILES.iterdir()} == BY_HAND.keys()
    assert len(BY_HAND) <= 5
    for name, target in BY_HAND.items():
        assert (checkout.root / target).is_file(), "portfolio new wrote a first version of it"
        (checkout.root / target).write_bytes((FILES / name).read_bytes())
    readme = checkout.root / "products/train_table/README.md"
    lines = readme.read_text(encoding="utf-8").splitlines(keepends=True)
    edited = [EDITED_LINE[1] if line.startswith(EDITED_LINE[0]) else line for line in lines]
    assert sum(new != old for new, old in zip(edited, lines, strict=True)) == 1
    readme.write_text("".join(edited), encoding="utf-8")
    assert checkout.git("diff", "--name-only").split() == sorted([*BY_HAND.values(), "products/train_table/README.md"])
    checkout.commit("Train on tables of the data lake")

    checkout.python("-m", "ruff", "check", "--quiet", ".")
    checkout.python("-m", "ruff", "format", "--check", "--quiet", ".")
    checkout.python(
        "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-m", "not prove", "-k", "train-table or train_table",
        "tests/products", "tests/portfolios",
    )  # fmt: skip
    checkout.portfolio("release", "train-table", "1.0.0", "-m", "Trains on a table of the data lake.")
    checkout.commit("Release train-table 1.0.0")
    checkout.portfolio("verify")

    walked = checkout.python("-m", "rehearsal", "--product", "train-table", "--yes", "--work", str(tmp_path / "work"))
    assert "Train on a table" in walked
    assert "The rehearsal succeeded" in walked
