"""``python -m rehearsal``: walk the path of a model through an emulated organisation and write a report."""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
from pathlib import Path
from typing import Final

from rehearsal import data_set
from rehearsal.console import Terminal
from rehearsal.journey import rehearse, training_products
from rehearsal.organization import ROOT, RehearsalError

_ALL: Final = "all"
"""Walks with every training product, one after the other."""


def main() -> int:
    """Read the command line, rehearse, and return the exit code: 0 when every step succeeded."""
    parser = argparse.ArgumentParser(prog="make rehearse", description=__doc__)
    parser.add_argument("--data", type=Path, help="CSV or Parquet file, or a folder of them. Default: generated data")
    parser.add_argument("--label", help="name of the column to predict. Needed with --data")
    parser.add_argument("--product", default="train-s3", help="training product, or all of them. Default: train-s3")
    parser.add_argument(
        "--faults", action="store_true", help="inject faults into the promotion: its result must be the same"
    )
    parser.add_argument("--yes", action="store_true", help="approve production without asking at the terminal")
    parser.add_argument("--work", type=Path, default=ROOT / "build/rehearsal", help="where everything is written")
    arguments = parser.parse_args()
    training = training_products()
    if arguments.product not in {*training, _ALL}:
        known = ", ".join((*training, _ALL))
        parser.error(f"PRODUCT={arguments.product} is not a released training product; choose one of: {known}")
    if arguments.product == _ALL and arguments.faults:
        parser.error(f"FAULTS=1 with PRODUCT={_ALL}: the registry is compared after one model; choose one product")
    if arguments.data and not arguments.label:
        parser.error(f"DATA={arguments.data} has no LABEL: name the column to predict, e.g. LABEL=fraud")
    if arguments.label and not arguments.data:
        parser.error(f"LABEL={arguments.label} has no DATA: name the file it is in, e.g. DATA=claims.csv")
    if arguments.data and not arguments.data.exists():
        parser.error(f"DATA={arguments.data}: there is no such file or folder below {Path.cwd()}")
    if arguments.data:
        try:
            data_set.read(arguments.data, arguments.label)
        except RehearsalError as err:
            parser.error(f"DATA={arguments.data}: {err}")
    work = arguments.work.resolve()
    work.parent.mkdir(parents=True, exist_ok=True)
    # A killed process releases the lock, so that the next rehearsal never waits for a dead one.
    with work.with_name(f".{work.name}.lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            parser.error(f"another rehearsal is writing to {work}: wait for it, or choose another folder with --work")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        # A shell without job control starts background commands with SIGINT ignored, and Python would leave it so.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            terminal = Terminal()
            return rehearse(
                work,
                data=arguments.data,
                label=arguments.label,
                products=training if arguments.product == _ALL else (arguments.product,),
                faults=arguments.faults,
                interactive=sys.stdin.isatty() and terminal.console.is_terminal and not arguments.yes,
                terminal=terminal,
            )
        except KeyboardInterrupt:
            print(f"Interrupted. Everything was stopped; its files are in {work}.")
            return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
