"""``make bench``: how long synth and the steps of the rehearsal take; medians over several runs.

Absolute seconds say as much about the machine as about the code, so each figure is also a share of its run. With a base
(``make bench BASE=<revision>``) another revision is measured in the same runs, alternating with this one, and the table
has the ratio: on a machine that others use, only that says anything.
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
from typing import Final, TypeAlias

from rehearsal.organization import ROOT

Figures: TypeAlias = "dict[str, list[float]]"
"""Seconds of every counted run, by what took them."""

_WIDTH: Final = 42
_REHEARSAL: Final = "rehearsal"

ENVIRONMENTS: Final = {
    ".venv": ("pyproject.toml", "uv.lock"),
    ".venv-rehearsal": ("pyproject.toml", "uv.lock"),
    ".venv-seed": ("seed-code/layers/project/pyproject.toml", "seed-code/layers/project/uv.lock"),
    ".venv-deployment": ("seed-code/layers/deployment/pyproject.toml", "seed-code/layers/deployment/uv.lock"),
    "node_modules": ("package.json", "package-lock.json"),
}
"""Environments, and the files that say what is in them."""


def check_out(revision: str, folder: Path) -> None:
    """Make a clone of a revision that can rehearse.

    It shares the environments whose files are the same here, and gets others of its own.

    Args:
        revision: Anything that git knows here, e.g. ``main`` or ``HEAD~3``.
        folder: A folder that does not exist.

    Raises:
        SystemExit: Git does not know the revision, or an environment cannot be installed.
    """
    _must("git", "clone", "--quiet", "--no-checkout", str(ROOT), str(folder))
    commit = _must("git", "-C", str(ROOT), "rev-parse", "--verify", f"{revision}^{{commit}}").strip()
    _must("git", "-C", str(folder), "checkout", "--quiet", "--detach", commit)
    (folder / ".tools").symlink_to((ROOT / ".tools").resolve())  # builds of the rehearsal install with it
    own = []
    for environment, files in ENVIRONMENTS.items():
        if any(_content(folder / file) != _content(ROOT / file) for file in files):
            own.append(f"{environment}/.ready")
        elif environment == ".venv":
            _share_venv(folder)
        else:
            (folder / environment).symlink_to((ROOT / environment).resolve())
    if own:
        _must("make", "--silent", "-C", str(folder), *own)


def _share_venv(folder: Path) -> None:
    """Give a clone a ``.venv`` with the packages of this one's, but with the clone in place of this repository."""
    mine, its = ROOT / ".venv", folder / ".venv"
    _must(str(mine / "bin/python"), "-m", "venv", "--without-pip", "--symlinks", str(its))
    (packages,) = mine.glob("lib/python*/site-packages")
    # Files with paths in the shared folder are not read, so that this repository does not come in by its own.
    (its / packages.relative_to(mine) / "base.pth").write_text(f"{folder}\n{packages}\n", encoding="utf-8")
    for program in (mine / "bin").iterdir():
        copy = its / "bin" / program.name
        if not copy.exists():
            copy.write_bytes(program.read_bytes().replace(bytes(mine), bytes(its)))
            copy.chmod(0o755)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def _must(*command: str, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed, nothing was measured:\n{done.stdout}{done.stderr}")
    return done.stdout


def measure(root: Path, work: Path, figures: Figures) -> None:
    """Run synth and the rehearsal of a working tree once and add how long they took.

    Raises:
        SystemExit: One failed; its output is the message.
    """
    python = root / ".venv/bin/python"
    path = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"PATH": path, "CDK_OUTDIR": str(work / "cdk.out")}
    rehearse = ("-m", "rehearsal", "--yes", "--work", str(work / "rehearsal"))
    for name, arguments in (("synth of the app", ("app.py",)), (_REHEARSAL, rehearse)):
        begin = time.perf_counter()
        _must(str(python), *arguments, cwd=root, environment=environment)
        figures.setdefault(name, []).append(time.perf_counter() - begin)
    report = json.loads((work / "rehearsal/report.json").read_text(encoding="utf-8"))
    for step in report["steps"]:
        figures.setdefault(f"  {step['name']}", []).append(step["seconds"])


def table(figures: Figures, base: Figures | None = None) -> str:
    """Return the medians as text: seconds, share of the rehearsal, range; with a base its seconds and the ratio."""
    whole = statistics.median(figures[_REHEARSAL])
    head = f"{'median of ' + str(len(figures[_REHEARSAL])) + ' runs':<{_WIDTH}} seconds   share"
    lines = [head + ("      base  ratio   min..max" if base else "   min..max")]
    for name, values in figures.items():
        median = statistics.median(values)
        compared = ""
        if base:
            known = statistics.median(base[name]) if name in base else None
            compared = f"  {known:8.2f}  {median / known:5.2f}" if known else f"  {'-':>8}  {'-':>5}"
        spread = f"{min(values):.2f}..{max(values):.2f}"
        lines.append(f"{name:<{_WIDTH}} {median:7.2f}   {median / whole:5.0%}{compared}   {spread}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each; default 3")
    parser.add_argument("--base", metavar="REVISION", help="measure this revision alternately and print the ratio")
    arguments = parser.parse_args()
    figures: Figures = {}
    base: Figures | None = {} if arguments.base else None
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "base"
        if base is not None:
            print(f"checking out {arguments.base}", file=sys.stderr)
            check_out(arguments.base, other)
        for run in range(1, arguments.runs + 1):
            print(f"run {run} of {arguments.runs}", file=sys.stderr)
            turns = [(ROOT, figures)] + ([(other, base)] if base is not None else [])
            for root, found in turns if run % 2 else reversed(turns):  # what a machine does meanwhile hits both
                with tempfile.TemporaryDirectory() as work:
                    measure(root, Path(work), found)
    print(table(figures, base))


if __name__ == "__main__":
    main()
