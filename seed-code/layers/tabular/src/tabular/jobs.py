"""What all job scripts have in common: their folders, and how they end."""

import argparse
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tabular.errors import ConfigError, DataError

PROCESSING_BASE = "/opt/ml/processing"
MOST_MESSAGE_CHARACTERS = 1024  # SageMaker cuts FailureReason and ExitMessage there


Item, Result = TypeVar("Item"), TypeVar("Result")
CORES = 2  # more threads would only hold more memory


class Folders:
    """Input and output folders of a processing job.

    Args:
        base: Folder that holds ``input`` and ``output``.
    """

    def __init__(self, base: Path) -> None:
        self._base = base

    def input(self, name: str) -> Path:
        """Return the folder of an input; it need not exist, an instance may get no file at all."""
        return self._base / "input" / name

    def output(self, name: str) -> Path:
        """Return the folder of an output, created if need be."""
        folder = self._base / "output" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def processing_arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the argument that every processing script takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--base",
        type=Path,
        default=Path(os.environ.get("SM_PROCESSING_BASE", PROCESSING_BASE)),
        help="folder with input/ and output/; default: $SM_PROCESSING_BASE, else %(default)s",
    )
    return parser


RESOURCES = Path("/opt/ml/config/resourceconfig.json")


def current_host() -> str:
    """Return the name of this instance within its job, ``algo-1`` outside SageMaker."""
    return os.environ.get("SM_CURRENT_HOST") or _resources().get("current_host", "algo-1")


def hosts() -> list[str]:
    """Return the names of all instances of the job."""
    found: list[str] = json.loads(os.environ.get("SM_HOSTS", "[]")) or _resources().get("hosts", [])
    return found or [current_host()]


def _resources() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(RESOURCES.read_text()) if RESOURCES.is_file() else {}
    return content


def run(main: Callable[[], None]) -> None:
    """Run a job script; an error in data or configuration ends it with one plain message instead of a traceback."""
    try:
        main()
    except (ConfigError, DataError) as err:
        _report_failure(str(err))
        sys.exit(f"ERROR: {err}")


def mapped(function: Callable[[Item], Result], items: Iterator[Item]) -> Iterator[Result]:
    """Yield what a function makes of each item, in their order, while threads work on the next ones.

    What compiled code does, it does at the same time; few items are in memory at once.
    """
    with ThreadPoolExecutor(CORES) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > CORES:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def write_json(path: Path, content: object, *, for_people: bool = True) -> None:
    """Write JSON; NaN and infinity, which JSON does not know, are refused.

    Args:
        path: The file.
        content: What it holds.
        for_people: With a line for every value. That takes Python ten times as long, which is felt with many columns.
    """
    text = json.dumps(content, indent=2 if for_people else None, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _report_failure(message: str) -> None:
    """Leave the message where SageMaker looks for the reason of a failed job: training, then processing jobs."""
    for name in ("failure", "message"):
        output = Path("/opt/ml/output")
        if output.is_dir() and os.access(output, os.W_OK):
            (output / name).write_text(message[:MOST_MESSAGE_CHARACTERS], encoding="utf-8")
