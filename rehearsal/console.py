"""What the person at the terminal sees: one line per step, and that something is going on while it lasts."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.status import Status


@dataclass(frozen=True)
class Line:
    """Where a step stands: its number among all, the account in which it happens, what it is."""

    number: int
    total: int
    account: str
    title: str


@dataclass
class Terminal:
    """Prints steps; on a terminal the running one shows a spinner, its seconds and what it is waiting for."""

    console: Console = field(default_factory=lambda: Console(file=sys.stdout, highlight=False, soft_wrap=True))
    _status: Status | None = field(default=None, repr=False)

    @contextmanager
    def running(self, line: Line) -> Iterator[Callable[[str], None]]:
        """Show a step while it runs; the yielded function says what it is doing at the moment."""
        start = time.monotonic()
        if not self.console.is_terminal:
            yield lambda _doing: None
            return
        with self.console.status(_heading(line), spinner="dots") as status:
            self._status = status

            def doing(what: str) -> None:
                status.update(_heading(line) + Text(f"· {what} · {time.monotonic() - start:.0f} s", style="dim"))

            try:
                yield doing
            finally:
                self._status = None

    def ask(self, question: str, facts: Sequence[str]) -> bool:
        """Show what there is to know, ask until the answer is yes or no, and return it. No default: think first."""
        if self._status:
            self._status.stop()
        self.console.print()
        for fact in facts:
            self.console.print(Text(f"    {fact}"))
        answer = ""
        while answer not in {"yes", "no"}:
            self.console.print(Text(f"    {question} [yes/no] ", style="bold"), end="")
            answer = self.console.input().strip().lower()
            answer = {"y": "yes", "n": "no"}.get(answer, answer)
        if self._status:
            self._status.start()
        return answer == "yes"

    def finished(self, line: Line, seconds: float, detail: str, *, ok: bool) -> None:
        """Print the line of a step that is over; a failed one is followed by its cause."""
        outcome = Text(detail) if ok else Text("FAILED", style="bold red")
        self.console.print(_heading(line) + Text(f"{seconds:6.1f} s  ", style="green") + outcome)
        if not ok:
            self.console.print(Text(detail))

    def say(self, text: str) -> None:
        """Print a line of its own."""
        self.console.print(Text(text))


def _heading(line: Line) -> Text:
    return Text.assemble(
        (f"[{line.number:>2}/{line.total}] ", "dim"), (f"{line.account:<11}", "cyan"), (f"{line.title:<37} ", "bold")
    )
