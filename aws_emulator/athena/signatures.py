"""Which of Trino's functions a call means, with which types, and how DuckDB is asked for it (``functions.txt``)."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from aws_emulator.athena import types

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aws_emulator.athena.types import AthenaType

LINE = re.compile(r"(?:(agg|win|op) )?(\w+)\((.*?)\) ([\w:, ()]+?)(?: = (.+))?")
VARIABLES = {
    "M": {"date", "timestamp", "timestamp with time zone"}, "I": set(types.INTEGERS),
    "N": {*types.INTEGERS, "decimal", "real", "double"},
}  # fmt: skip
"""Types that a variable may stand for, where it is not any."""
DECIMALS: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "same": lambda p, s: (p, s),
    "average": lambda p, s: (p, s),
    "sum": lambda _, s: (38, s),
    "wider": lambda p, s: (p + 1, s),
    "whole": lambda p, s: (p - s + min(s, 1), 0),
    "cut": lambda p, s: (max(1, p - s), 0),
    "sign": lambda *_: (1, 0),
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
        alike = self.type != types.UNKNOWN and types.duckdb_type(self.type) == types.duckdb_type(wanted)
        sql = self.sql if alike or self.type == wanted else f"CAST({self.sql} AS {types.duckdb_type(wanted)})"
        return Typed(sql, wanted, self.literal)


@dataclass(frozen=True)
class Signature:
    """One line of ``functions.txt``."""

    kind: str
    name: str
    parameters: tuple[str, ...]
    result: str
    template: str

    def takes(self, count: int) -> tuple[str, ...] | None:
        """Return the parameters for a number of arguments, or None if it takes another number."""
        if not self.parameters or not self.parameters[-1].endswith("..."):
            return self.parameters if count == len(self.parameters) else None
        more = count - len(self.parameters) + 1
        return (*self.parameters[:-1], *[self.parameters[-1].removesuffix("...")] * more) if more > 0 else None

    def written(self, args: Sequence[str], extras: dict[str, str]) -> str:
        """Return DuckDB's expression for arguments in DuckDB's SQL."""
        lists = {"*": ", ".join(args), ">": ", ".join(args[1:]), "|": " || ".join(args)}
        lists["null"] = " OR ".join(f"{arg} IS NULL" for arg in args)

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return match[0][0]
            if name[0].isdecimal() and name[1:]:  # the parameters and the body of a lambda of two
                parts = re.fullmatch(r"lambda (.+?), (.+?): (.+)", args[int(name[0])], re.S)
                return parts["xyb".index(name[1]) + 1] if parts else ""
            return args[int(name)] if name.isdecimal() else lists[name] if name in lists else extras.get(name, "")

        return re.sub(r"\{\{|\}\}|\{(\w+|[*|>])\}", value, self.template)


@dataclass
class Bindings:
    """What the variables of a signature stand for in one call."""

    types: dict[str, AthenaType] = field(default_factory=dict)
    digits: tuple[int, int] | None = None

    def matches(self, parameter: str, given: AthenaType, *, exact: bool) -> bool:  # noqa: PLR0911 - one form a return
        """Return whether a value of a type can be given, binding the variables."""
        if parameter == "_":
            return True
        if len(parameter) == 1:
            bound = self.types.get(parameter, given)
            met = types.common(bound, given) if not exact or bound == given else None
            if met is None or met.name not in VARIABLES.get(parameter, {met.name}):
                return False
            self.types[parameter] = met
            return True
        if parameter == "decimal(p,s)":
            if given.name == "decimal" or (not exact and given.name in types.INTEGERS):
                self.digits = self.digits or types.digits(given)
                return True
            return False
        if holder := re.fullmatch(r"(array|map|row)\((.+)\)", parameter):
            inner = types.split(holder[2])
            items = (types.UNKNOWN,) * len(inner) if given == types.UNKNOWN and not exact else given.items
            return (given.name == holder[1] or given == types.UNKNOWN) and len(items) == len(inner) and all(
                self.matches(p, item, exact=exact) for p, item in zip(inner, items, strict=True)
            )  # fmt: skip
        wanted = plain(parameter)
        return given.name == wanted.name or (not exact and types.common(given, wanted) == wanted)

    def filled(self, parameter: str) -> AthenaType:
        """Return the type of a parameter or result with its variables replaced."""
        if parameter.startswith("decimal"):
            return types.decimal(*DECIMALS[parameter.partition(":")[2] or "same"](*(self.digits or (38, 0))))
        if len(parameter) == 1:
            return self.types.get(parameter, types.UNKNOWN)
        if holder := re.fullmatch(r"(array|map|row)\((.+)\)", parameter):
            items = tuple(self.filled(part) for part in types.split(holder[2]))
            return types.AthenaType(holder[1], (), items, ("",) * len(items) if holder[1] == "row" else ())
        return plain(parameter)


@cache
def plain(text: str) -> AthenaType:
    """Return a type without variables."""
    return types.athena_type(text)


@cache
def lines(kind: str) -> list[str]:
    """Return the lines of ``functions.txt`` that begin with a word, without it; without a word: all other lines."""
    text = Path(__file__).with_name("functions.txt").read_text(encoding="utf-8")
    found = re.findall(rf"^{kind} (.+)$" if kind else r"^(?!#|cast |syntax |reads |known )(.+)$", text, re.M)
    return [str(line) for line in found]


@cache
def signatures() -> dict[str, list[Signature]]:
    """Return what is known of each function, by its name."""
    found = defaultdict(list)
    for line in lines(""):
        kind, name, given, result, template = LINE.fullmatch(line).groups()  # type: ignore[union-attr] # or it is no signature
        parameters = tuple(types.split(given))
        found[name].append(Signature(kind or "", name, parameters, result, template or f"{name}({{*}})"))
    return dict(found)


@cache
def casts() -> dict[tuple[str, str], str]:
    """Return DuckDB's expression for a cast, by the kinds of the value and of the wanted type."""
    rows = [re.fullmatch(r"(.+)\((.+?)\) = (.+)", line).groups() for line in lines("cast")]  # type: ignore[union-attr]
    return {(given, wanted): template for wanted, kinds, template in rows for given in types.split(kinds)}
