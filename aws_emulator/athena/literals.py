"""Literals, and arguments that have to be literals: patterns, formats, units and paths, rewritten for DuckDB."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from aws_emulator.athena import types
from aws_emulator.athena.errors import NotEmulated, QueryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_emulator.athena.types import AthenaType

MYSQL = {f"%{letter}": f"%{letter}" for letter in "abdefHIjmpSYy%"}
MYSQL |= {"%c": "%-m", "%e": "%-d", "%h": "%I", "%i": "%M", "%k": "%-H", "%l": "%-I", "%M": "%B", "%s": "%S"}
MYSQL |= {"%v": "%V", "%x": "%G", "%W": "%A", "%r": "%I:%M:%S %p", "%T": "%H:%M:%S"}
"""https://trino.io/docs/current/functions/datetime.html#mysql-date-functions"""
JODA = {
    "yyyy": "%Y", "YYYY": "%Y", "y": "%-Y", "MM": "%m", "M": "%-m", "MMM": "%b", "MMMM": "%B", "dd": "%d", "d": "%-d",
    "HH": "%H", "H": "%-H", "hh": "%I", "h": "%-I", "mm": "%M", "m": "%-M", "ss": "%S", "s": "%-S", "SSS": "%g",
    "a": "%p", "EEE": "%a", "EEEE": "%A", "DDD": "%j",
}  # fmt: skip
"""https://www.joda.org/joda-time/apidocs/org/joda/time/format/DateTimeFormat.html"""
LACKING = ("%D", "%U", "%u", "%V", "%w", "%X")
"""MySQL's letters that Trino lacks too; any other letter without a meaning stands for itself."""
UNITS = ("millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year")
ONLY_JAVA = re.compile(r"\(\?[=!<>]|\\[1-9GZk]|[*+?}]\+|&&|\\p\{(?!L|N)")
"""Parts of Java's regular expressions that RE2 lacks or reads in another way."""


def quote(text: str) -> str:
    """Return a text as a literal of DuckDB."""
    return "'" + text.replace("'", "''") + "'"


def number(text: str) -> tuple[str, AthenaType]:
    """Return a number as a literal of DuckDB, with its type: ``1`` integer, ``1.5`` decimal(2,1), ``1e0`` double."""
    if re.fullmatch(r"\d+", text):
        if int(text) >= 2**63:
            raise QueryError("INVALID_LITERAL", f"Invalid numeric literal: {text}")
        return text, types.INTEGER if int(text) < 2**31 else types.BIGINT
    if re.fullmatch(r"(\d+\.?\d*|\.\d+)[eE][+-]?\d+", text):
        return f"CAST({float(text)!r} AS DOUBLE)", types.DOUBLE
    sql, t = decimal_literal(text)
    return sql, replace(t, bare=1 if re.fullmatch(r"(0|[1-9]\d{0,6})\.(0|\d{0,8}[1-9])", text) else 2)


def decimal_literal(text: str) -> tuple[str, AthenaType]:
    """Return a decimal with as many digits as are written (functions/decimal.html#decimal-literals)."""
    if not (parts := re.fullmatch(r"\s*[+-]?(?=\.?\d)(\d*)\.?(\d*)\s*", text)) or len(parts[1] + parts[2]) > 38:
        raise QueryError("INVALID_LITERAL", f"Invalid decimal literal: {text}")
    t = types.decimal(max(1, len(parts[1]) + len(parts[2])), len(parts[2]))
    return f"CAST('{text}' AS {types.duckdb_type(t)})", t


def interval(text: str, unit: str, end: str) -> tuple[str, AthenaType, str | None]:
    """Return ``INTERVAL 'text' unit [TO end]``, its type, and ``time`` if it is not of whole days."""
    months = {("YEAR", ""): r"(\d+)", ("MONTH", ""): r"()(\d+)", ("YEAR", "MONTH"): r"(\d+)-(\d+)"}.get((unit, end))
    days = {
        ("DAY", ""): r"(\d+)()()()()", ("HOUR", ""): r"()(\d+)()()()", ("MINUTE", ""): r"()()(\d+)()()",
        ("SECOND", ""): r"()()()(\d+)(\.\d+)?", ("DAY", "SECOND"): r"(\d+) (\d+):(\d+):(\d+)(\.\d+)?",
    }.get((unit, end))  # fmt: skip
    sign, found = (-1 if text.startswith("-") else 1), re.fullmatch(months or days or "(?!)", text.lstrip("+-"))
    if not (months or days):
        raise NotEmulated(f"INTERVAL {text!r} {unit} {end}")
    if not found:
        raise QueryError("INVALID_LITERAL", f"Invalid INTERVAL {unit} value: {text}")
    parts = [float(part or 0) for part in found.groups()]
    if months:
        return f"to_months({sign * round(parts[0] * 12 + sum(parts[1:]))})", types.MONTHS, None
    millis = sign * round(sum(n * f for n, f in zip(parts, (86_400_000, 3_600_000, 60_000, 1000, 1000), strict=True)))
    return f"to_milliseconds({millis})", types.DAYS, "time" if millis % 86_400_000 else None


def _pattern(text: str) -> str:
    if ONLY_JAVA.search(text):
        raise NotEmulated(f"regular expression {text!r}, which uses what RE2 lacks")
    return quote(text)


def replacement(text: str, groups: int) -> str:
    """Return Java's replacement as RE2's: the number after a dollar is as long as there are so many groups."""

    def piece(found: re.Match[str]) -> str:
        if found[2] is not None or found[0][0] != "$":
            return (found[2] or found[0]).replace("\\", "\\\\")
        numbers = [int(found[1][: i + 1]) for i in range(len(found[1] or ""))]
        used = max((i for i, number in enumerate(numbers) if number <= min(groups, 9)), default=-1)
        if used < 0:
            raise NotEmulated(f"replacement {text!r} with a group that is not numbered 0 to {min(groups, 9)}")
        return f"\\{numbers[used]}{found[1][used + 1 :]}"

    return quote(re.sub(r"\$(\d*)|\\(.)|\\", piece, text))


def _format(pieces: str, known: dict[str, str], text: str) -> str:
    out = []
    for piece in (found[0] for found in re.finditer(pieces, text, re.S)):
        if piece in LACKING or (piece not in known and known is JODA and (piece == "'" or piece.isalpha())):
            raise NotEmulated(f"{piece!r} in the format {text!r}")
        out.append(known.get(piece, piece.removeprefix("%")))
    return quote("".join(out))


def _parsed(text: str) -> str:
    if re.search("%[vxjacDrT]", text):
        raise NotEmulated(f"date_parse with the format {text!r}")
    return _format(r"%.|[^%]", MYSQL, text)


def _unit(allowed: tuple[str, ...], text: str) -> str:
    if text.lower() not in allowed:
        raise QueryError("INVALID_FUNCTION_ARGUMENT", f"'{text}' is not one of {', '.join(allowed)}")
    return quote(text.lower())


def _path(text: str) -> str:
    if not re.fullmatch(r"\$(\.(?!\d+(\W|$))\w+|\[\d+\]|\[\"[^\"\\]+\"\])*", text):
        raise NotEmulated(f"JSON path {text!r}")
    return quote(re.sub(r"\.(\w+)", r'."\1"', re.sub(r"\[(\"[^\"]+\")\]", r".\1", text)))


def _zone(text: str) -> str:
    if text != "UTC":
        raise NotEmulated(f"time zone {text!r}: only UTC is emulated")
    return quote(text)


def _divider(text: str) -> str:
    if re.search(text, ""):
        raise NotEmulated(f"regexp_split by {text!r}, which matches nothing at all")
    return _pattern(text)


LITERALS: dict[str, Callable[[str], str]] = {
    ":pattern": _pattern,
    ":divider": _divider,
    ":mysql": partial(_format, r"%.|[^%]", MYSQL),
    ":parsed": _parsed,
    ":joda": partial(_format, r"([A-Za-z])\1*|.", JODA),
    ":unit": partial(_unit, UNITS),
    ":dateunit": partial(_unit, UNITS[4:]),
    ":path": _path,
    ":zone": _zone,
    ":index": lambda text: quote(f"$[{int(text)}]" if int(text) >= 0 else f"$[#{int(text)}]"),
    ":places": lambda text: decimal_literal(format(Decimal(1).scaleb(-int(text)), "f"))[0],
    ":integer": lambda text: str(int(text)),
}
"""Kinds of literals in ``functions.txt``, with what makes DuckDB's literal of Athena's text."""
