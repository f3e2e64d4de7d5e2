"""A Python of the seed code's environment that starts programs without importing their libraries again."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .generated import SEED_PYTHON

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIBRARIES = ("boto3", "pandas", "xgboost")
_SETTINGS = {
    "OMP_NUM_THREADS": "1",  # a process with threads must not fork
    "OPENBLAS_NUM_THREADS": "1",
    "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",  # or macOS ends a fork that uses its frameworks
}


class WarmPython:
    """Runs each program in a process of its own, forked from one that has imported the libraries.

    Warnings are errors in the programs.
    """

    def __init__(self) -> None:
        self._files = Path(tempfile.mkdtemp(prefix="warm-python-"))
        self._process = subprocess.Popen(
            [str(SEED_PYTHON), "-W", "error", str(Path(__file__).with_name("forks.py")), *_LIBRARIES],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        program: Path | str,
        *arguments: str,
        modules: Path | None = None,
        environment: Mapping[str, str] | None = None,
        text: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run a program, with nothing of this process' AWS settings.

        Args:
            program: The script, or Python code.
            arguments: Its arguments.
            modules: Folder of the modules that it imports. Default: the script's.
            environment: More environment variables. Default: none.
            text: What it reads from standard input. Default: nothing.
        """
        files = {"in": text, "out": "", "err": "", "program.py": program if isinstance(program, str) else ""}
        for name, content in files.items():
            (self._files / name).write_text(content, encoding="utf-8")
        script = self._files / "program.py" if isinstance(program, str) else program
        call = {
            "files": str(self._files),
            "environment": {**_environment(), **(environment or {})},
            "program": str(script),
            "arguments": arguments,
            "modules": str(modules or script.parent),
        }
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        status = self._process.stdout.readline()
        assert status, "the process that forks has ended"
        out, err = ((self._files / name).read_text(encoding="utf-8") for name in ("out", "err"))
        return subprocess.CompletedProcess([str(script), *arguments], int(status), out, err)

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()
        shutil.rmtree(self._files)


@cache
def warm_python() -> WarmPython:
    """Return the one of this test run."""
    python = WarmPython()
    atexit.register(python.stop)
    return python


def _environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
    return clean | _SETTINGS
