"""``make bench``: how long synth and the steps of the rehearsal take; medians over several runs.

Absolute seconds say as much about the machine as about the code, so each figure is also a share of its run: compare
shares, or two checkouts on one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from rehearsal.organization import ROOT

_WIDTH: Final = 42


def seconds_of(command: list[str], environment: dict[str, str]) -> float:
    """Return the wall time of a command that must succeed, in seconds.

    Raises:
        SystemExit: The command failed; its output is the message.
    """
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed, nothing was measured:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each; default 3")
    runs = parser.parse_args().runs
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for run in range(1, runs + 1):
            print(f"run {run} of {runs}", file=sys.stderr)
            environment = os.environ | {"PATH": path, "CDK_OUTDIR": str(work / "cdk.out")}
            figures.setdefault("synth of the app", []).append(seconds_of([sys.executable, "app.py"], environment))
            rehearse = [sys.executable, "-m", "rehearsal", "--work", str(work / "rehearsal")]
            figures.setdefault("rehearsal", []).append(seconds_of(rehearse, environment))
            report = json.loads((work / "rehearsal/report.json").read_text(encoding="utf-8"))
            for step in report["steps"]:
                figures.setdefault(f"  {step['name']}", []).append(step["seconds"])
    whole = statistics.median(figures["rehearsal"])
    print(f"{'median of ' + str(runs) + ' runs':<{_WIDTH}} seconds   share   min..max")
    for name, values in figures.items():
        median = statistics.median(values)
        spread = f"{min(values):.2f}..{max(values):.2f}"
        print(f"{name:<{_WIDTH}} {median:7.2f}  {median / whole:5.0%}   {spread}")


if __name__ == "__main__":
    main()
