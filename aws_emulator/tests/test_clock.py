"""Time, waiting, threads and random ids of the emulator come from its clock, and from nowhere else."""

from __future__ import annotations

import ast
import contextvars
from pathlib import Path

import pytest

import aws_emulator.clock
from aws_emulator.clock import Clock

PACKAGE = Path(aws_emulator.clock.__file__).parent
OWN_PROCESSES = {"serving.py", "sitecustomize.py"}
"""Scripts that run in a process of their own, with an interpreter that does not have the emulator."""
MODULES = {"concurrent", "multiprocessing", "random", "sched", "secrets", "threading", "time", "uuid"}
CALLS = {"now", "utcnow", "today", "sleep", "to_thread", "call_later", "run_in_executor", "fromtimestamp"}


def uses(text: str) -> set[str]:
    """Return what a module uses of time, waiting, threads and chance without asking the clock."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in MODULES}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.add(str(node.module))
        elif isinstance(node, ast.Attribute) and node.attr in CALLS:
            owner = ast.unparse(node.value)
            if owner.split(".")[-1] != "clock":
                found.add(f"{owner}.{node.attr}")
    return found


def test_only_the_clock_knows_time_threads_and_chance() -> None:
    sources = (path for path in PACKAGE.rglob("*.py") if "tests" not in path.parts)
    modules = [path for path in sources if path.name not in {*OWN_PROCESSES, "clock.py"}]
    assert {path.name: found for path in modules if (found := uses(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from threading import Thread",
        "import concurrent.futures",
        "from uuid import uuid4",
        "datetime.datetime.now(datetime.UTC)",
        "await asyncio.sleep(1)",
        "asyncio.to_thread(work)",
    ],
)
def test_what_goes_round_the_clock_is_found(text: str) -> None:
    assert uses(text)


def test_what_is_started_keeps_the_account_of_the_request() -> None:
    clock, account = Clock(), contextvars.ContextVar("account", default="nobody's")
    seen: list[str] = []
    account.set("111111111111")
    done = clock.event()

    def look() -> None:
        seen.append(account.get())
        done.set()

    clock.start(look)
    account.set("222222222222")
    assert done.wait(10)
    assert clock.all_at_once([account.get, account.get]) == ["222222222222"] * 2
    assert seen == ["111111111111"]


def test_what_runs_at_once_has_ended_when_the_first_failure_is_raised() -> None:
    clock, ended = Clock(), []

    def fail() -> None:
        raise ValueError("first")

    def work() -> None:
        clock.sleep(0.05)
        ended.append(True)

    with pytest.raises(ValueError, match="first"):
        clock.all_at_once([fail, work])
    assert ended == [True]


def test_times_are_shown_in_utc() -> None:
    assert Clock().shown(0) == "1970-01-01T00:00:00Z"
