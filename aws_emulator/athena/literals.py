"""Arguments that have to be literals: patterns, formats, units and paths, rewritten for DuckDB."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aws_emulator.athena.errors import NotEmulated, QueryError

if TYPE_CHECKING:
    from collections.abc import Callable

MYSQL = {
    "%a": "%a", "%b": "%b", "%c": "%-m", "%d": "%d", "%e": "%-d", "%f": "%f",
    "%H": "%H", "%h": "%I", "%I": "%I", "%i": "%M",
    "%j": "%j", "%k": "%-H", "%l": "%-I",
    "%M": "%B", "%m": "%m", "%p": "%p", "%r": "%I:%M:%S %p", "%S": "%S", "%s": "%S",
    "%T": "%H:%M:%S", "%W": "%A", "%Y": "%Y", "%y": "%y", "%%": "%%",
}  # fmt: skip
"""https://trino.io/docs/current/functions/datetime.html#mysql-date-functions"""
JODA = {
    "yyyy": "%Y", "y": "%-Y", "MM": "%m", "M": "%-m", "MMM": "%b", "MMMM": "%B", "dd": "%d", "d": "%-d", "HH": "%H",
    "H": "%-H", "hh": "%I", "h": "%-I", "mm": "%M", "m": "%-M", "ss": "%S", "s": "%-S", "SSS": "%g",
    "a": "%p", "EEE": "%a",
    "EEEE": "%A", "DDD": "%j",
}  # fmt: skip
"""https://www.joda.org/joda-time/apidocs/org/joda/time/format/DateTimeFormat.html"""
UNITS = ("millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year")
ONLY_JAVA = re.compile(r"\(\?[=!<>]|\\[1-9GZk]|[*+?}]\+|&&|\\p\{(?!L|N)")


def quote(text: str) -> str:
    """Return a text as a literal of DuckDB."""
    return "'" + text.replace("'", "''") + "'"


def _pattern(text: str) -> str:
    if ONLY_JAVA.search(text):
        raise NotEmulated(f"regular expression {text!r}, which uses what RE2 lacks")
    return quote(text)


def _replacement(text: str) -> str:
    if re.search(r"\$(?!\d)|\$\d\d|\\(?!\$|\\)", text):
        raise NotEmulated(f"replacement {text!r} with names or escapes")
    return quote(re.sub(r"\$(\d)", r"\\\1", re.sub(r"\\(.)", lambda m: "\\\\" if m[1] == "\\" else m[1], text)))


def _format(pieces: str, known: dict[str, str], text: str) -> str:
    out = []
    for piece in (found[0] for found in re.finditer(pieces, text, re.S)):
        if piece not in known and (piece[0] == "%" or piece.isalpha() or piece[0] == "'"):
            raise NotEmulated(f"{piece!r} in the format {text!r}")
        out.append(known.get(piece, piece.replace("%", "%%")))
    return quote("".join(out))


def _unit(text: str) -> str:
    if text.lower() not in UNITS:
        raise QueryError("INVALID_FUNCTION_ARGUMENT", f"'{text}' is not a valid unit of time")
    return quote(text.lower())


def _path(text: str) -> str:
    if not re.fullmatch(r"\$(\.\w+|\[\d+\]|\[\"[^\"\\]+\"\])*", text):
        raise NotEmulated(f"JSON path {text!r}")
    return quote(re.sub(r"\[(\"[^\"]+\")\]", r".\1", text))


def _integer(text: str) -> str:
    return str(int(text))


LITERALS: dict[str, Callable[[str], str]] = {
    ":pattern": _pattern,
    ":replacement": _replacement,
    ":mysql": lambda text: _format(r"%.|[^%]", MYSQL, text),
    ":joda": lambda text: _format(r"(([A-Za-z])\2*|.)", JODA, text),
    ":unit": _unit,
    ":path": _path,
    ":integer": _integer,
}
"""Kinds of literals in ``functions.txt``, with what makes DuckDB's literal of Athena's text."""
