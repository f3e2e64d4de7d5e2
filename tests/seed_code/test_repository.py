"""The generated repository as a whole: complete, clean, independent of this one, and working."""

from __future__ import annotations

import ast
import io
import itertools
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from products.shared import seed_code

from .generated import ROOT, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DISTRIBUTIONS = {"pyyaml": "yaml", "scikit-learn": "sklearn", "xgboost-cpu": "xgboost"}
COMES_WITH_SDK = {"boto3", "botocore", "jsonschema"}
WALKS = "tests/pipeline/test_local.py"
ONLY_IN_THE_IMAGE = {"sagemaker_inference"}
every_training = pytest.mark.parametrize("template", ["train-athena", "train-s3"])


@pytest.fixture
def athena(tmp_path: Path) -> Repository:
    """The repository of a train-athena project."""
    return Repository(tmp_path, "train-athena")


@pytest.mark.seed
def test_its_own_slow_tests_pass_whatever_its_settings_say(tmp_path: Path) -> None:
    """The quick ones run in the builds of projects, in tests/rehearsal, with the settings that a project has."""
    assert own_tests_in_halves(tmp_path, "-m", "slow") > 190


@pytest.mark.seed
@pytest.mark.prove
def test_its_own_quick_tests_pass_whatever_its_settings_say(tmp_path: Path) -> None:
    assert own_tests_in_halves(tmp_path, "-m", "not slow") > 500


def own_tests_in_halves(folder: Path, *options: str) -> int:
    """Run tests of a repository with spoilt settings, half of them at the same time as the others."""
    repository = Repository(folder)
    repository.spoil_settings()
    halves = (["tests/pipeline", f"--ignore={WALKS}"], ["tests", "--ignore=tests/pipeline"])
    with ThreadPoolExecutor() as pool:
        return sum(pool.map(lambda half: own_tests(repository, *half, *options), halves))


@pytest.mark.seed
@pytest.mark.prove
def test_all_tests_of_the_pipeline_pass_with_a_source_that_queries(athena: Repository) -> None:
    athena.spoil_settings()
    assert own_tests(athena, "tests/pipeline") > 190


@pytest.mark.seed
@pytest.mark.prove
def test_its_own_walks_through_whole_pipelines_pass_whatever_its_settings_say(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.spoil_settings()
    assert own_tests(repository, WALKS) > 10


def own_tests(repository: Repository, *options: str) -> int:
    """Run tests of the repository, and return how many passed."""
    run = repository.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *options)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    found = re.search(r"(\d+) passed", run.stdout)
    assert found
    return int(found.group(1))


def test_its_style_is_clean(repository: Repository, athena: Repository) -> None:
    ruff = [str(ROOT / ".venv" / "bin" / "ruff")]
    for command, checked in itertools.product((["check"], ["format", "--check"]), (repository, athena)):
        arguments = [*ruff, *command, "--no-cache", "."]
        run = subprocess.run(arguments, cwd=checked.folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.seed
@pytest.mark.prove
def test_two_checkouts_give_the_same_definition_to_the_byte(repository: Repository, other_checkout: Repository) -> None:
    first, second = (
        checkout.run("-m", "ml_pipelines", "definition", "--label", "fraud")
        for checkout in (repository, other_checkout)
    )
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert len(json.loads(first.stdout)["Steps"]) == 5


def imported(source: str) -> Iterator[str]:
    """Yield the top-level names of everything that Python code imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.split(".")[0]


def texts(template: str) -> dict[str, str]:
    """Return the text files of a repository, and those in its wheels."""
    found: dict[str, str] = {}
    for path, content in seed_code.assemble(template).items():
        if path.endswith(".whl"):
            with zipfile.ZipFile(io.BytesIO(content)) as wheel:
                found |= {f"{path}/{name}": wheel.read(name).decode() for name in wheel.namelist()}
        else:
            found[path] = content.decode()
    return found


@every_training
def test_it_imports_nothing_that_it_does_not_bring_or_install(template: str) -> None:
    files = texts(template)
    project = tomllib.loads(files["pyproject.toml"])
    listed = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[=<>; ]", requirement)[0] for requirement in listed}
    installed = {DISTRIBUTIONS.get(name, name) for name in names} | COMES_WITH_SDK | ONLY_IN_THE_IMAGE
    own = {path.split("/")[-2] if path.endswith("__init__.py") else path.split("/")[-1][:-3] for path in files}
    for path, content in files.items():
        if path.endswith(".py"):
            foreign = set(imported(content)) - installed - own - sys.stdlib_module_names
            assert not foreign, f"{path} imports {foreign}"


@every_training
def test_it_says_nothing_of_the_repository_it_comes_from(template: str) -> None:
    for path, content in texts(template).items():
        if path != "uv.lock":
            found = re.findall(r"ml-platform|portfolio|seed-code|products/|rehears|MiniStack|moto\b", content)
            assert not found, f"{path} mentions {found}"


def test_it_is_complete() -> None:
    files = set(seed_code.assemble("train-s3"))
    assert files >= {
        ".gitignore",
        "Makefile",
        "README.md",
        "buildspec.yml",
        "config.yaml",
        "data.yaml",
        "docs/data.md",
        "ml_pipelines/data_source.py",
        "ml_pipelines/pipeline.py",
        "notebooks/explore.ipynb",
        "pyproject.toml",
        "requirements-build.txt",
        "src/evaluate.py",
        "src/inference.py",
        "src/prepare.py",
        "src/tabular/config.py",
        "src/train.py",
        "src/validate.py",
        "uv.lock",
        "vendor/local_pipelines-1.1.0-py3-none-any.whl",
    }


@pytest.mark.seed
def test_a_setting_that_is_left_out_means_what_the_file_shows(repository: Repository) -> None:
    code = """
import yaml
from ml_pipelines.config import JobConfig, Machines
values = yaml.safe_load(open("config.yaml"))
machines = {key: tuple(value) if isinstance(value, list) else value for key, value in values.pop("pipeline").items()}
assert Machines(**machines) == Machines(), machines
shown = JobConfig.from_dict(values | {"label": "a", "problem_type": "auto"})
assert shown == JobConfig.from_dict({"label": "a"}), shown
assert set(values) == set(shown.to_dict()), set(values) ^ set(shown.to_dict())
"""
    run = repository.run("-c", code)
    assert run.returncode == 0, run.stderr
