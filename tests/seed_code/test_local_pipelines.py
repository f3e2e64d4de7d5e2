"""What runs pipelines on one machine: a wheel in the repository of a project, made from ``seed-code/runner``."""

from __future__ import annotations

import io
import shlex
import subprocess
import zipfile
from typing import TYPE_CHECKING, Final

import pytest

from aws_emulator.codebuild import environments
from products.shared import seed_code
from tests.machines.environments import UV

from .generated import ROOT, SEED_PYTHON, Repository, without_local_pipelines

if TYPE_CHECKING:
    from pathlib import Path

SOURCE: Final = ROOT / "seed-code/runner"
LAYER: Final = ROOT / "seed-code/layers/project"
BUILD: Final = (
    ".tools/uv build --wheel --no-create-gitignore --out-dir seed-code/layers/project/vendor seed-code/runner"
)
LOCK: Final = ".tools/uv lock --project seed-code/layers/project --upgrade-package local-pipelines"

JOBS: Final = """
import importlib, sys
from pathlib import Path
sys.path.insert(0, "src")
for path in Path("src").rglob("*.py"):
    importlib.import_module(".".join(path.relative_to("src").with_suffix("").parts).removesuffix(".__init__"))
"""


def vendored(files: dict[str, bytes]) -> tuple[str, bytes]:
    """Return name and content of the wheel among the files of a repository."""
    (wheel,) = ((path, content) for path, content in files.items() if path.startswith("vendor/"))
    return wheel


def entries(wheel: bytes) -> dict[str, tuple[bytes, int]]:
    """Return content and mode of the files in a wheel by name; how they are compressed depends on the machine."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return {entry.filename: (archive.read(entry), entry.external_attr) for entry in archive.infolist()}


@pytest.mark.seed
def test_its_own_tests_pass() -> None:
    run = subprocess.run(
        [str(SEED_PYTHON), "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert "passed" in run.stdout


def test_the_wheel_is_what_its_source_makes(tmp_path: Path) -> None:
    command = [str(tmp_path) if word == f"{LAYER.relative_to(ROOT)}/vendor" else word for word in shlex.split(BUILD)]
    done = subprocess.run([UV, *command[1:], "--offline"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = tmp_path.iterdir()
    path, content = vendored(seed_code.assemble("train-s3"))
    assert (f"vendor/{made.name}", entries(made.read_bytes())) == (path, entries(content)), (
        f"{path} of the layer is not what seed-code/runner makes: repositories would get another runner than the one "
        f"that is tested. Run: {BUILD} && {LOCK}"
    )
    guide = (ROOT / "seed-code/README.md").read_text(encoding="utf-8")
    assert BUILD in guide.replace(" \\\n    ", " ")
    assert LOCK in guide


def test_a_wheel_that_was_released_keeps_its_content_or_gets_another_version() -> None:
    path, content = vendored(seed_code.assemble("train-s3"))
    for archive in ROOT.glob("products/*/releases/*/seed-code.zip"):
        with zipfile.ZipFile(archive) as released:
            if path in released.namelist():
                assert entries(released.read(path)) == entries(content), (
                    f"{archive.parent.relative_to(ROOT)} has another {path}: two repositories would call different "
                    "runners by one name. Raise the version in seed-code/runner/pyproject.toml, and the path of the "
                    "wheel in seed-code/layers/project/pyproject.toml."
                )


@pytest.mark.seed
def test_what_runs_in_jobs_and_at_the_endpoint_does_not_import_it(repository: Repository, tmp_path: Path) -> None:
    run = repository.run("-c", JOBS, **without_local_pipelines(tmp_path))
    assert run.returncode == 0, run.stderr


@pytest.mark.seed
@pytest.mark.parametrize("command", ["local", "definition"])
def test_where_it_is_missing_one_sentence_says_what_to_do(repository: Repository, tmp_path: Path, command: str) -> None:
    run = repository.run("-m", "ml_pipelines", command, **without_local_pipelines(tmp_path))
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr == (
        "ERROR: The package local-pipelines, which replaces AWS on this machine, is not installed, so no pipeline "
        "can run here: install it from vendor/ with `uv sync` and repeat the command, or use `make local`.\n"
    )


def synchronize(repository: Repository, environment: Path) -> subprocess.CompletedProcess[str]:
    """Install what a repository locks into an environment that has all packages from the index."""
    python = environments.lend(repository.folder / "uv.lock", {str(LAYER / "uv.lock"): str(SEED_PYTHON)}, environment)
    assert python is not None
    command = [UV, "sync", "--frozen", "--offline", "--project", str(repository.folder)]
    variables = {"UV_PROJECT_ENVIRONMENT": str(environment), "HOME": str(environment.parent), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.seed
def test_it_is_installed_from_the_repository_and_only_as_it_was_locked(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    done = synchronize(repository, tmp_path / "as it is")
    assert done.returncode == 0, done.stderr
    (wheel,) = (repository.folder / "vendor").iterdir()
    (changed,) = (line for line in done.stderr.splitlines() if line.startswith((" +", " -", " ~")))
    assert changed == f" + local-pipelines==1.1.0 (from {wheel.as_uri()})"
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("local_pipelines/__main__.py", "print('not what was locked')")
    done = synchronize(repository, tmp_path / "swapped")
    assert done.returncode != 0
    assert "Hash mismatch" in done.stderr
    assert not list(tmp_path.glob("swapped/lib/*/site-packages/local_pipelines*"))


def test_only_developers_install_it() -> None:
    command = [UV, "export", "--quiet", "--frozen", "--offline", "--no-hashes", "--project", str(LAYER)]
    every, without_dev = (
        subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for more in ((), ("--no-dev",))
    )
    assert "local_pipelines" in every
    assert "local_pipelines" not in without_dev
