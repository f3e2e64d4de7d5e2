"""``python -m rehearsal``: walk the way of a model through an emulated organisation and write a report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rehearsal.console import Terminal
from rehearsal.journey import rehearse
from rehearsal.organization import ROOT


def main() -> int:
    """Read the command line, rehearse, and return the exit code: 0 when every step succeeded."""
    parser = argparse.ArgumentParser(prog="make rehearse", description=__doc__)
    parser.add_argument("--data", type=Path, help="CSV or Parquet file, or a folder of them. Default: generated data")
    parser.add_argument("--label", help="name of the column to predict. Needed with --data")
    parser.add_argument("--work", type=Path, default=ROOT / "build/rehearsal", help="where everything is written")
    arguments = parser.parse_args()
    if arguments.data and not arguments.label:
        parser.error(f"DATA={arguments.data} has no LABEL: name the column to predict, e.g. LABEL=fraud")
    if arguments.label and not arguments.data:
        parser.error(f"LABEL={arguments.label} has no DATA: name the file it is in, e.g. DATA=claims.csv")
    if arguments.data and not arguments.data.exists():
        parser.error(f"DATA={arguments.data}: there is no such file or folder below {Path.cwd()}")
    return rehearse(arguments.work.resolve(), data=arguments.data, label=arguments.label, terminal=Terminal())


if __name__ == "__main__":
    sys.exit(main())
