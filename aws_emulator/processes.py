"""Child processes that never outlive the emulator, even when it is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ministack.core.responses import get_region

from aws_emulator import core
from aws_emulator.clock import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

# Reads "+<group>" and "-<group>" lines. The end of its input means that the emulator is gone, however it ended.
_KEEPER: Final = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""

Option: TypeAlias = Any
"""Whatever `subprocess.Popen` takes."""

_lock: Final = clock.lock()
_groups: Final[set[int]] = set()
_keeper: subprocess.Popen[bytes] | None = None


def _report(sign: str, group: int) -> None:
    global _keeper  # noqa: PLW0603 - started with the first child
    with _lock:
        if _keeper is None:
            _keeper = subprocess.Popen(
                [sys.executable, "-S", "-c", _KEEPER], stdin=subprocess.PIPE, start_new_session=True
            )
        (_groups.add if sign == "+" else _groups.discard)(group)
        if _keeper.stdin:
            _keeper.stdin.write(f"{sign}{group}\n".encode())
            _keeper.stdin.flush()


def sdk_environment() -> dict[str, str]:
    """Return variables for a process that uses an AWS SDK, in the region of the request; without credentials."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    return {
        **kept,
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_ENDPOINT_URL": core.organization().endpoint,
        "AWS_DEFAULT_REGION": get_region(),
        "AWS_REGION": get_region(),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def start(command: Sequence[str], **options: Option) -> subprocess.Popen[Any]:
    """Start a process in a group of its own.

    Args:
        command: Program and arguments.
        **options: Further arguments of `subprocess.Popen`.
    """
    process: subprocess.Popen[Any] = subprocess.Popen(list(command), process_group=0, **options)
    _report("+", process.pid)
    return process


def finish(process: subprocess.Popen[Any]) -> int:
    """Wait for a process to end, end what it left behind, and return its exit status."""
    status = process.wait()
    kill(process)
    return status


def kill(process: subprocess.Popen[Any]) -> None:
    """End a process and everything in its group now."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _report("-", process.pid)


def kill_all() -> None:
    """End every process that still runs; called when the emulator ends."""
    for group in list(_groups):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
