"""Which installed environment serves a build, and that nothing which a build does reaches it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aws_emulator.codebuild import environments

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n'
CARRIED = """
[[package]]
name = "carried-one"
version = "1.0.0"
source = { path = "vendor/carried_one-1.0.0-py3-none-any.whl" }
wheels = [{ filename = "carried_one-1.0.0-py3-none-any.whl", hash = "sha256:11" }]
"""
PINNED = """
[[package]]
name = "pinned"
version = "2.0.0"
source = { registry = "https://pypi.org/simple" }
wheels = [{ url = "https://files/pinned-2.0.0-py3-none-any.whl", hash = "sha256:22", size = 7 }]
"""
PROJECT = """
[[package]]
name = "project"
version = "0.1.0"
source = { virtual = "." }
dependencies = [{ name = "pinned" }]

[package.dev-dependencies]
dev = [{ name = "carried-one" }]
"""
LOCK = HEAD + CARRIED + PINNED + PROJECT
"""What the installed environment was made from."""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An environment with one package from an index and one that its repository carried."""
    folder = tmp_path / "installed"
    site = folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    for name in ("pinned-2.0.0", "carried_one-1.0.0"):
        package = name.partition("-")[0]
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").write_text("")
        (site / f"{name}.dist-info").mkdir()
        record = f"{package}/__init__.py,,\n{name}.dist-info/RECORD,,\n"
        (site / f"{name}.dist-info" / "RECORD").write_text(record)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    (tmp_path / "installed.lock").write_text(LOCK)
    return folder


def lend(tmp_path: Path, installed: Path, lock: str) -> Path | None:
    (tmp_path / "uv.lock").write_text(lock)
    interpreters = {str(tmp_path / "installed.lock"): str(installed / "bin" / "python")}
    return environments.lend(tmp_path / "uv.lock", interpreters, tmp_path / "environment")


@pytest.mark.parametrize(
    "lock",
    [
        LOCK,
        LOCK.replace("sha256:11", "sha256:12"),
        HEAD + PINNED + PROJECT.replace('{ name = "carried-one" }', ""),
        LOCK.replace(", size = 7", "").replace("//files/", "//mirror/").replace("revision = 3", "revision = 2"),
    ],
    ids=["the same", "another wheel of its own", "no wheel of its own", "another mirror"],
)
def test_a_build_gets_the_packages_that_it_locks_and_not_what_others_carry(
    tmp_path: Path, installed: Path, lock: str
) -> None:
    python = lend(tmp_path, installed, lock)
    assert python == tmp_path / "environment" / "bin" / "python"
    look = "import sys, pinned; from importlib.util import find_spec; print(sys.prefix, find_spec('carried_one'))"
    found = subprocess.run([str(python), "-c", look], capture_output=True, text=True, check=True).stdout
    assert found == f"{tmp_path / 'environment'} None\n"


@pytest.mark.parametrize(
    "lock",
    [
        LOCK.replace("2.0.0", "2.0.1"),
        LOCK.replace("sha256:22", "sha256:23"),
        LOCK.replace("pypi.org", "elsewhere.example"),
        LOCK.replace(">=3.11", ">=3.12"),
        LOCK.replace('dependencies = [{ name = "pinned" }]', "dependencies = []"),
        LOCK + PINNED.replace('"pinned"', '"another"'),
        HEAD + CARRIED + PROJECT.replace('{ name = "pinned" }', ""),
        "version = ",
    ],
    ids=["version", "content", "index", "Python", "not installed", "one more", "one less", "not a lock file"],
)
def test_a_build_that_locks_anything_else_installs_it(tmp_path: Path, installed: Path, lock: str) -> None:
    assert lend(tmp_path, installed, lock) is None
    assert not (tmp_path / "environment").exists()


def test_a_repository_without_a_lock_file_gets_nothing(tmp_path: Path) -> None:
    assert environments.lend(tmp_path / "uv.lock", {}, tmp_path / "environment") is None
