"""What the jobs of a batch run share: where things are, who does which part, and how a run ends in failure."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# The code of the monitors lies beside this one, in the repository as in the job.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "monitor"))

from monitoring.results import MonitorError
from monitoring.storage import Storage

OUTPUT = Path("/opt/ml/output")
RESOURCES = Path("/opt/ml/config/resourceconfig.json")
MOST_MESSAGE_CHARACTERS = 1024  # ExitMessage of DescribeProcessingJob
RETRIES = Config(retries={"mode": "standard", "max_attempts": 8})
ROWS_PER_PART = 20_000


class RunError(Exception):
    """The run must not go on; the message says why and what to do."""


@dataclass(frozen=True)
class Job:
    """One job of a run on one of its instances.

    Attributes:
        settings: Settings of the stage, see ``deployment/batch.py``.
        options: What the pipeline says about this run.
        session: Makes clients of AWS.
        host: Name of this instance.
        hosts: Names of all instances of the job, sorted.
    """

    settings: dict[str, Any]
    options: argparse.Namespace
    session: Any
    host: str
    hosts: tuple[str, ...]

    @property
    def storage(self) -> Storage:
        """The stage's bucket."""
        return self.open(self.settings["bucket"])

    @property
    def work(self) -> str:
        """Prefix of what the run needs in between, and of rows that were set aside."""
        return f"batch/{self.options.run}/"

    @property
    def result(self) -> str:
        """Prefix of the predictions."""
        return f"batch/run={self.options.run}/"

    def open(self, bucket: str) -> Storage:
        """Return a bucket."""
        return Storage(self.session.client("s3", config=RETRIES), bucket)

    def owns(self, number: int) -> bool:
        """Tell whether a part, known by a number that all instances agree on, is this instance's."""
        return self.hosts[number % len(self.hosts)] == self.host


def main(work: Callable[[Job], None], description: str | None) -> None:
    """Run a job; an error in the data ends it with one plain message instead of a traceback."""
    try:
        try:
            work(_job(description))
        except ClientError as err:
            raise RunError(
                f"{err} The input has to be below input.uri of environments.yaml, in the region of the stage, and its "
                f"bucket (and key, if it has one of its own) must let the role mlp-...-monitor of the stage read."
            ) from err
    except (RunError, MonitorError) as err:
        if OUTPUT.is_dir() and os.access(OUTPUT, os.W_OK):
            (OUTPUT / "message").write_text(str(err)[:MOST_MESSAGE_CHARACTERS], encoding="utf-8")
        sys.exit(f"ERROR: {err}")


def _job(description: str | None, arguments: Sequence[str] | None = None) -> Job:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--settings", type=Path, required=True, help="file, or folder of the one file, with settings")
    parser.add_argument("--run", required=True, help="id of the run")
    parser.add_argument("--started", required=True, help="start of the run, ISO 8601")
    parser.add_argument("--input", required=True, help="s3://bucket/prefix/ with the records")
    parser.add_argument("--object", default="all", help="key of the one new object, or all")
    parser.add_argument("--max-bad-percent", type=float, required=True, help="most rows that may be set aside")
    parser.add_argument("--monitors", choices=["on", "off"], default="on", help="whether to compare with the baselines")
    options = parser.parse_args(arguments)
    (path,) = options.settings.glob("*.json") if options.settings.is_dir() else [options.settings]
    settings = json.loads(path.read_text(encoding="utf-8"))
    session = boto3.Session(region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"))
    place = Path(os.environ.get("SM_RESOURCE_CONFIG", RESOURCES))
    found = json.loads(place.read_text()) if place.is_file() else {"current_host": "algo-1", "hosts": ["algo-1"]}
    return Job(settings, options, session, found["current_host"], tuple(sorted(found["hosts"])))


class Parts:
    """Writes JSON lines into numbered objects of limited length.

    Args:
        storage: Bucket.
        prefix: Prefix of the objects.
        host: Name of this instance, part of their names.
        rows: Most lines of an object.
    """

    def __init__(self, storage: Storage, prefix: str, host: str, *, rows: int = ROWS_PER_PART) -> None:
        self._storage, self._prefix, self._host, self._rows = storage, prefix, host, rows
        self._lines: list[str] = []
        self.keys: list[str] = []
        self.count = 0

    def add(self, row: dict[str, Any]) -> None:
        """Add a line."""
        self._lines.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
        self.count += 1
        if len(self._lines) == self._rows:
            self.close()

    def close(self) -> None:
        """Write what is left."""
        if self._lines:
            key = f"{self._prefix}part-{self._host}-{len(self.keys):05d}.jsonl"
            self._storage.put(key, "\n".join(self._lines) + "\n", "application/jsonlines")
            self.keys.append(key)
            self._lines = []


def json_lines(storage: Storage, key: str) -> Iterator[Any]:
    """Yield the values of an object of JSON lines; empty lines do not count."""
    for line in storage.lines(key):
        if line.strip():
            yield json.loads(line)


def module(name: str) -> Any:
    """Return a module of the model's own code, once the model is loaded."""
    return importlib.import_module(name)
