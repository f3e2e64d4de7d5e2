"""Runs Python programs in forks of one process, which has imported what takes each of them seconds to import.

Started by `tests.seed_code.warm` in the environment of the programs. Standard input has one call per line, as JSON;
standard output answers each with the exit status.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any


def _become(call: dict[str, Any]) -> None:
    """Turn this process into the program of a call: its files, environment, arguments and folder of modules."""
    files = Path(call["files"])
    for number, name, flags in ((0, "in", os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
        os.dup2(os.open(files / name, flags), number)
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - the program's, for as long as it runs
    os.environ.clear()
    os.environ.update(call["environment"])
    sys.argv = [call["program"], *call["arguments"]]
    sys.path[0] = call["modules"]
    runpy.run_path(call["program"], run_name="__main__")


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            _become(json.loads(line))
            sys.exit()
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer
