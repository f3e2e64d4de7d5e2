"""The data set of a rehearsal, read as the product's jobs read it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from rehearsal.organization import ROOT, RehearsalError

if TYPE_CHECKING:
    from pathlib import Path

_READ: Final = """
import json, sys
from pathlib import Path
from tabular.errors import DataError
from tabular.files import data_files, read_chunks, read_header

given, label = Path(sys.argv[1]), sys.argv[2]
try:
    base = given if given.is_dir() else given.parent
    files = {path.relative_to(base).as_posix(): path for path in (data_files(given) if given.is_dir() else [given])}
    columns = {name: read_header(path, name, known=[label]) for name, path in files.items()}
    rows = sum(len(chunk) for name, path in files.items() for chunk in read_chunks(path, name))
    print(json.dumps({"columns": columns, "rows": rows}))
except DataError as err:
    print(json.dumps({"problem": str(err)}))
"""


@dataclass(frozen=True)
class DataSet:
    """A file or folder with data.

    Attributes:
        files: Every file by its path below the data set; names may repeat in different folders.
        rows: Rows of all tables.
    """

    files: dict[str, Path]
    rows: int


@cache
def read(given: Path, label: str) -> DataSet:
    """Read a data set with the reader of the training projects, once: it is checked before the walk and landed in it.

    Args:
        given: CSV or Parquet file, or a folder of them.
        label: Column to predict.

    Raises:
        RehearsalError: A file cannot be read, there is none, or one lacks the label; the message says which.
    """
    python = ROOT / ".venv-seed/bin/python"
    found = subprocess.run(
        [str(python), "-c", _READ, str(given), label],
        env={"PYTHONPATH": str(ROOT / "seed-code/layers/tabular/src")},
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
        check=True,
    )
    result = json.loads(found.stdout)
    if "problem" in result:
        raise RehearsalError(result["problem"])
    if not result["columns"]:
        raise RehearsalError(f"there is no CSV or Parquet file with content below {given}")
    for name, columns in result["columns"].items():
        if label not in columns:
            raise RehearsalError(f"{name} has no column LABEL={label}; it has: {', '.join(columns)}")
    return DataSet(files_of(given), result["rows"])


def files_of(given: Path) -> dict[str, Path]:
    """Return a file, or all files below a folder, by their paths below it."""
    base = given if given.is_dir() else given.parent
    files = sorted(path for path in given.rglob("*") if path.is_file()) if given.is_dir() else [given]
    return {path.relative_to(base).as_posix(): path for path in files}


def folder_of(given: Path) -> str:
    """Return the S3 folder of a data set: its own name, in characters that every form and build takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", given.resolve().stem).strip("-.") or "data"
