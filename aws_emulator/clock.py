"""Time, waiting, threads and random ids of the emulator: all of them come from one object, `clock`.

To make time stand still, run jobs one after the other, or repeat the same ids in every run, there is one place to
change. A test keeps the rest of the package off `time`, `threading` and the like.
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import secrets
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Condition: TypeAlias = threading.Condition
Event: TypeAlias = threading.Event
Lock: TypeAlias = threading.Lock
Pool: TypeAlias = ThreadPoolExecutor
T = TypeVar("T")

ISO: Final = "%Y-%m-%dT%H:%M:%SZ"


class Clock:
    """The clock and scheduler. What it starts keeps account and region of the request, and never holds up the end."""

    condition = threading.Condition
    event = threading.Event
    lock = threading.Lock
    lock_again = threading.RLock
    """A lock that the thread which holds it can take again."""

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return a time in seconds that never goes back, for deadlines."""
        return time.monotonic()

    def moment(self, seconds: float | None = None) -> datetime.datetime:
        """Return a time in UTC.

        Args:
            seconds: Since 1970. Default: now.
        """
        return datetime.datetime.fromtimestamp(self.now() if seconds is None else seconds, datetime.UTC)

    def shown(self, seconds: float | None = None, form: str = ISO) -> str:
        """Return a time in UTC as text; the arguments are those of `moment` and `strftime`."""
        return self.moment(seconds).strftime(form)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def start(self, function: Callable[..., object], *arguments: object) -> None:
        """Run a function on a thread of its own."""
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(function, *arguments), daemon=True, name=_name(function)).start()

    def start_later(self, seconds: float, function: Callable[..., object], *arguments: object) -> None:
        """Run a function on a thread of its own after some time."""
        timer = threading.Timer(seconds, contextvars.copy_context().run, (function, *arguments))
        timer.daemon = True
        timer.start()

    def all_at_once(self, functions: Sequence[Callable[[], T]]) -> list[T]:
        """Run functions at the same time, wait for all of them, and return their results.

        Raises:
            Exception: What the first of them that failed raised, when all of them have ended.
        """
        with ThreadPoolExecutor(max(1, len(functions))) as pool:
            waiting = [pool.submit(contextvars.copy_context().run, function) for function in functions]
        return [future.result() for future in waiting]

    def pool(self, threads: int) -> Pool:
        """Return threads for what there is a lot of."""
        return ThreadPoolExecutor(threads)

    def submit(self, pool: Pool, function: Callable[..., object], *arguments: object) -> None:
        """Run a function on one of the threads of a pool."""
        pool.submit(contextvars.copy_context().run, function, *arguments)

    async def off_loop(self, function: Callable[..., T], *arguments: Any, pool: Pool | None = None) -> T:  # noqa: ANN401
        """Run a function that waits off the event loop, and return its result.

        Args:
            function: What to run.
            *arguments: Its arguments.
            pool: On whose threads. Default: those of the loop.
        """
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(pool, lambda: run(function, *arguments))

    def random_id(self, length: int = 13) -> str:
        """Return a random lower-case hexadecimal id."""
        return secrets.token_hex((length + 1) // 2)[:length]

    def uuid(self) -> str:
        """Return a random UUID."""
        return str(uuid.uuid4())


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__name__", "background")


clock: Final = Clock()
random_id: Final = clock.random_id
