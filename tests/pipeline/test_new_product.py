"""``portfolio new``: a product that starts as a copy of another one and passes every check as it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from pipeline.cli import portfolio
from pipeline.new_product import NewProductError, create
from products.answers import read_answers
from products.shared import seed_code
from tests.pipeline.product_repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LEFT_OUT = shutil.ignore_patterns("releases", "__pycache__", ".venv", ".pytest_cache", "build")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The files that the command reads and writes, as they are here."""
    for folder in ("products", "portfolios", "seed-code", "lambdas"):  # the last for ruff: a package of ours
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=_LEFT_OUT)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def files(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}


def test_a_training_product_gets_a_source_of_its_own_and_shares_the_rest(repository: Path) -> None:
    before = contents(repository)
    made = create(repository, "train-table", like="train-s3", title="Train on a table")
    assert made.layers == {"source-table": "source-s3"}
    assert set(files(repository)) - set(before) == {path.as_posix() for path in made.made}
    changed = {name for name, content in before.items() if (repository / name).read_bytes() != content}
    assert changed == {path.as_posix() for path in made.changed} == {"products/catalog.py", "portfolios/catalog.py"}
    code = (repository / "products/train_table/product.py").read_text()
    assert "class TrainTableProduct(TrainingProject)" in code
    assert 'id="train-table"' in code
    assert 'title="Train on a table"' in code
    assert "train-s3" not in code
    assert "s3_uri" in code, "only names of the product are replaced"
    root = repository / "seed-code"
    assert seed_code.layers("train-table", root=root) == ["project", "settings", "source-table", "tabular"]
    assert seed_code.assemble("train-table", root=root) == seed_code.assemble("train-s3", root=root)
    assert read_answers(repository / "products/train_table") == read_answers(repository / "products/train_s3")
    catalog = (repository / "products/catalog.py").read_text()
    assert catalog.index("TrainS3Product") < catalog.index("TrainTableProduct")
    assert 'products=("train-s3", "train-table", "train-athena")' in (repository / "portfolios/catalog.py").read_text()


@pytest.mark.parametrize("like", ["sagemaker-domain", "train-s3", "deploy-realtime", "deploy-batch"])
def test_what_is_written_needs_no_formatting_and_no_fix(repository: Path, like: str) -> None:
    create(repository, "another-one-of-these", like=like, title="Another one")
    for command in (["check", "--quiet"], ["format", "--check", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "products", "portfolios"], cwd=repository, check=True)


@pytest.mark.parametrize(
    ("product", "like", "title", "problem"),
    [
        ("Train", "train-s3", "Train", "'Train' is not a product id: use lower-case words with hyphens"),
        (
            "train-table",
            "train-nothing",
            "Train",
            "no product 'train-nothing' to start from. There are: data-access, deploy-batch",
        ),
        ("train-s3", "train-s3", "Train", "products/train_s3 exists already"),
        ("train-table", "train-s3", " ", "is not a title"),
        ("train-table", "train-s3", 'Say "train"', "is not a title"),
        ("train-table", "train-unoffered", "Train", "offers train-unoffered in no portfolio"),
    ],
)
def test_nothing_is_written_when_something_is_wrong(
    repository: Path, product: str, like: str, title: str, problem: str
) -> None:
    shutil.copytree(repository / "products/train_s3", repository / "products/train_unoffered")
    before = contents(repository)
    with pytest.raises(NewProductError, match=problem):
        create(repository, product, like=like, title=title)
    assert contents(repository) == before


def test_the_command_lists_what_it_wrote_and_what_a_person_edits_next(repository: Path) -> None:
    arguments = ["--root", str(repository), "new", "train-table", "--like", "train-s3", "--title", "Train on a table"]
    run = CliRunner().invoke(portfolio, arguments)
    assert run.exit_code == 0, run.output
    assert "train-table: 10 files written, 2 files changed" in run.output
    assert "  + seed-code/layers/source-table/data.yaml\n" in run.output
    assert "Edit next:\n  products/train_table/product.py: " in run.output
    again = CliRunner().invoke(portfolio, arguments)
    assert (again.exit_code, again.output) == (
        1,
        "Error: products/train_table exists already: choose another id, or remove it.\n",
    )
