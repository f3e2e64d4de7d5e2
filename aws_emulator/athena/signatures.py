"""Which of Trino's functions a call means, with which types, and how DuckDB is asked for it (``functions.txt``)."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from aws_emulator.athena.types import (
    INTEGERS,
    UNKNOWN,
    AthenaType,
    array,
    athena_type,
    common,
    decimal,
    duckdb_type,
    same,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LINE = re.compile(r"(?:(agg|win) )?(\w+)\((.*?)\) ([\w:, ()]+?)(?: = (.+))?")
NUMBERS = {*INTEGERS, "decimal", "real", "double"}
RESULTS: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "same": lambda p, s: (p, s),
    "sum": lambda p, s: (38, s),
    "wider": lambda p, s: (p + 1, s),
    "whole": lambda p, s: (p - s + min(s, 1), 0),
    "cut": lambda p, s: (max(1, p - s), 0),
    "sign": lambda p, s: (1, 0),
}
"""Precision and scale of results, from those of the first decimal."""


@dataclass(frozen=True)
class Typed:
    """An expression in DuckDB's SQL with its Trino type.

    Args:
        sql: DuckDB's expression.
        type: Type of its value.
        literal: The text, if it is a literal of a text or a number.
    """

    sql: str
    type: AthenaType
    literal: str | None = None

    def to(self, wanted: AthenaType) -> Typed:
        """Return it coerced to a type that Trino coerces its own to."""
        if self.type == wanted or (same(self.type, wanted) and self.type.name == wanted.name != "row"):
            return Typed(self.sql, wanted, self.literal)
        return Typed(f"CAST({self.sql} AS {duckdb_type(wanted)})", wanted, self.literal)


@dataclass(frozen=True)
class Signature:
    """One line of ``functions.txt``."""

    kind: str
    name: str
    parameters: tuple[str, ...]
    result: str
    template: str

    @property
    def endless(self) -> bool:
        """Whether the last parameter may be repeated."""
        return bool(self.parameters) and self.parameters[-1].endswith("...")

    def takes(self, count: int) -> tuple[str, ...] | None:
        """Return the parameters for a number of arguments, or None if it takes another number."""
        if not self.endless:
            return self.parameters if count == len(self.parameters) else None
        more = count - len(self.parameters) + 1
        return (*self.parameters[:-1], *[self.parameters[-1].removesuffix("...")] * more) if more > 0 else None


@dataclass
class Bindings:
    """What the variables of a signature stand for in one call."""

    types: dict[str, AthenaType] = field(default_factory=dict)
    digits: tuple[int, int] | None = None

    def matches(self, parameter: str, given: AthenaType, *, exact: bool) -> bool:
        """Return whether a value of a type can be given, binding the variables."""
        if re.fullmatch(r"[A-Z]", parameter):
            bound = self.types.get(parameter, given)
            met = given if exact and bound == given else None if exact else common(bound, given)
            allowed = NUMBERS if parameter == "N" else set(INTEGERS) if parameter == "I" else None
            if met is None or (allowed and met.name not in allowed):
                return False
            self.types[parameter] = met
            return True
        if parameter == "decimal(p,s)":
            if given.name == "decimal" or (not exact and given.name in INTEGERS):
                self.digits = self.digits or given.numbers or (INTEGERS[given.name], 0)  # type: ignore[assignment]
                return True
            return False
        if holder := re.fullmatch(r"(array|map)\((.+)\)", parameter):
            inner = split(holder[2])
            items = (
                given.items
                if given.name == holder[1]
                else (UNKNOWN,) * len(inner)
                if given == UNKNOWN and not exact
                else ()
            )
            return len(items) == len(inner) and all(
                self.matches(p, i, exact=exact) for p, i in zip(inner, items, strict=True)
            )
        wanted = _plain(parameter)
        return given.name == wanted.name or (not exact and common(given, wanted) == wanted)

    def filled(self, parameter: str) -> AthenaType:
        """Return the type of a parameter or result with its variables replaced."""
        if parameter.startswith("decimal"):
            p, s = self.digits or (38, 0)
            return decimal(*RESULTS[parameter.partition(":")[2] or "same"](p, s))
        if re.fullmatch(r"[A-Z]", parameter):
            return self.types.get(parameter, UNKNOWN)
        if holder := re.fullmatch(r"(array|map)\((.+)\)", parameter):
            items = tuple(self.filled(part) for part in split(holder[2]))
            return array(items[0]) if holder[1] == "array" else AthenaType("map", items=items)
        return _plain(parameter)


@cache
def _plain(text: str) -> AthenaType:
    return athena_type(text)


@cache
def signatures() -> dict[str, list[Signature]]:
    """Return the lines of ``functions.txt`` by the function's name."""
    found = defaultdict(list)
    for line in Path(__file__).with_name("functions.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            parts = LINE.fullmatch(line)
            if not parts:
                raise ValueError(f"functions.txt: {line!r} is not `name(types) result = expression`. Fix the line.")
            kind, name, parameters, result, template = parts.groups()
            found[name].append(
                Signature(kind or "", name, tuple(split(parameters)), result, template or f"{name}({{*}})")
            )
    return dict(found)
