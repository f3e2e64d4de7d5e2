"""What is synthesised and released does not depend on the Python, nor on the order in which it hashes."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.synthesis import ROOT
from tests.machines.environments import PYTHONS, UV

if TYPE_CHECKING:
    from collections.abc import Iterator


def other_pythons() -> Iterator[str]:
    """Yield the interpreters of this machine of the versions that fit, but for the running one; pyenv's too."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/*/bin")
    path = os.pathsep.join((*map(str, sorted(versions)), os.environ["PATH"]))
    for version in PYTHONS:
        if version != f"{sys.version_info.major}.{sys.version_info.minor}":
            find = [UV, "python", "find", "--system", "--no-python-downloads", version]
            found = subprocess.run(
                find, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
            )
            if found.returncode == 0:
                yield found.stdout.strip()


def installed(python: str, folder: Path) -> str:
    """Install what synthesis needs for an interpreter into `folder`, and return the interpreter there."""
    command = [UV, "sync", "--quiet", "--frozen", "--no-default-groups", "--python", python]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder)}, check=True)
    return str(folder / "bin" / "python")


def digests(python: str, seed: str) -> str:
    """Return the digests as `python` makes them, with a seed for the hashes of texts."""
    path = os.pathsep.join((str(Path(python).parent), os.environ["PATH"]))  # with the environment's node
    environment = {**os.environ, "PATH": path, "PYTHONHASHSEED": seed}
    command = [python, "-m", "tests.machines.digests"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{python}: {done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.prove
def test_every_python_and_every_order_of_hashes_makes_the_same_bytes(tmp_path: Path) -> None:
    others = [installed(python, tmp_path / str(number)) for number, python in enumerate(other_pythons())]
    pythons = [sys.executable, *(others or [sys.executable])]
    with ThreadPoolExecutor(max_workers=2) as pool:
        first, *rest = pool.map(digests, pythons, (str(seed) for seed, _ in enumerate(pythons)))
    assert len(first.splitlines()) > 30
    assert [made for made in rest if made != first] == []
