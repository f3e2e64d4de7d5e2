"""A walk through the stages: what was created, what was checked, what is left."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.organization.settings import Organization

T = TypeVar("T")
State = Literal["holds", "does not hold", "not asked"]


class WalkError(Exception):
    """A stage cannot go on; the message says why and what to look at."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Outcome of one check.

    Attributes:
        belief: Id of the belief in docs/unproven.md.
        state: Whether it holds; ``not asked`` where only AWS can tell and this is the emulator.
        evidence: What was seen.
    """

    belief: str
    state: State
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the walk.

    Attributes:
        name: e.g. ``domain``.
        creates: What it creates, for the person who pays.
        costs: What that costs, roughly.
        deletes: What is deleted at the end, and what stays.
        run: Does it.
    """

    name: str
    creates: str
    costs: str
    deletes: str
    run: Callable[[Walk], None]


@dataclass
class Ledger:
    """What was created and not yet deleted, in a file: an interrupted walk can be cleaned up later.

    Attributes:
        path: A JSON file; it exists as long as something is left.
    """

    path: Path

    def entries(self) -> list[dict[str, str]]:
        """Return what is left, in the order in which it was created."""
        found: list[dict[str, str]] = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else []
        return found

    def add(self, kind: str, **what: str) -> None:
        """Note something before it is created, so that nothing is ever created without a note."""
        self._write([*self.entries(), {"kind": kind, **what}])

    def drop(self, entry: dict[str, str]) -> None:
        """Forget what is gone."""
        self._write([other for other in self.entries() if other != entry])

    def _write(self, entries: list[dict[str, str]]) -> None:
        if not entries:
            self.path.unlink(missing_ok=True)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(entries, indent=1), encoding="utf-8")
        partial.replace(self.path)


@dataclass
class Walk:
    """One walk through an organisation.

    Attributes:
        organization: Where.
        ledger: What was created.
        name: Part of every name that the walk makes up, at most 12 characters.
        say: Tells the person what happens.
        results: Outcomes of checks.
        seconds: Duration of each stage that ran, in seconds.
        facts: What later stages need of earlier ones.
        stopped: Why the walk ended early; empty when it did not.
    """

    organization: Organization
    ledger: Ledger
    name: str
    say: Callable[[str], None] = print
    results: list[Result] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    stopped: str = ""

    def check(self, belief: str, look: Callable[[], str], *, only_on_aws: bool = False) -> None:
        """Ask whether a belief holds.

        Args:
            belief: Its id in docs/unproven.md.
            look: Returns what was seen, or raises `WalkError` with what was seen instead.
            only_on_aws: An emulator cannot tell.
        """
        if only_on_aws and not self.organization.is_aws:
            self.results.append(Result(belief=belief, state="not asked", evidence="this is the emulator"))
            return
        try:
            result = Result(belief=belief, state="holds", evidence=look())
        except WalkError as err:
            result = Result(belief=belief, state="does not hold", evidence=str(err))
        self.results.append(result)
        self.say(f"    {result.state}: {belief}: {result.evidence}")

    def wait(self, look: Callable[[], T | None], *, until: str, timeout_s: float) -> T:
        """Look again and again until there is something.

        Raises:
            WalkError: There was nothing within `timeout_s` seconds.
        """
        end = time.monotonic() + timeout_s
        while True:
            found = look()
            if found is not None:
                return found
            if time.monotonic() > end:
                raise WalkError(f"{until}: not within {timeout_s / 60:.0f} minutes")
            time.sleep(self.organization.poll_s)

    def through(self, stages: Iterator[Stage]) -> None:
        """Run stages in order; the first that cannot go on ends the walk, and the report says so."""
        for stage in stages:
            self.say(f"{stage.name}: {stage.creates}")
            begin = time.monotonic()
            try:
                stage.run(self)
            except Exception as err:
                self.stopped = f"{stage.name}: {err}"
                self.say(f"  stopped: {self.stopped}")
                if not isinstance(err, WalkError):
                    self.say(traceback.format_exc())
                return
            finally:
                self.seconds[stage.name] = time.monotonic() - begin
