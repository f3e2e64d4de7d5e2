"""Values as Athena writes them into results (``VarCharValue`` of GetQueryResults)."""

from __future__ import annotations

import datetime
import decimal
import math
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_emulator.athena.types import AthenaType

Value = Any
"""What DuckDB's Python gives for a cell."""


def double_text(x: float) -> str:
    """Return the text that Java, and so Trino, gives a double: ``3.0``, ``1.0E10``, ``1.5E-5``."""
    if math.isnan(x) or math.isinf(x):
        return "NaN" if math.isnan(x) else ("Infinity" if x > 0 else "-Infinity")
    if x == 0 or 1e-3 <= abs(x) < 1e7:
        return repr(x) if "e" not in repr(x) else format(decimal.Decimal(repr(x)), "f")
    digits, exponent = format(decimal.Decimal(repr(x)).normalize(), "e").split("e")
    return f"{digits if '.' in digits else digits + '.0'}E{int(exponent)}"


def real_text(x: float) -> str:
    """Return the text of a REAL: the shortest digits that read back to the same 32 bits."""
    single = (t for n in range(1, 10) if array("f", [float(t := f"{x:.{n}g}")])[0] == x)
    return double_text(float(next(single, x)))


def interval_text(value: Value, name: str) -> str:
    """Return ``2 03:00:00.000`` for days to seconds, ``3-5`` for years and months."""
    if name == "interval year to month":
        months = int(value.days // 30) if isinstance(value, datetime.timedelta) else int(value)
        return f"{'-' if months < 0 else ''}{abs(months) // 12}-{abs(months) % 12}"
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    sign, millis = ("-" if micros < 0 else ""), abs(micros) // 1000
    days, rest = divmod(millis, 86_400_000)
    hours, minutes, seconds = rest // 3_600_000, rest // 60_000 % 60, rest // 1000 % 60
    return f"{sign}{days} {hours:02d}:{minutes:02d}:{seconds:02d}.{millis % 1000:03d}"


def text(value: Value, athena_type: AthenaType) -> str | None:  # noqa: PLR0911 - one form a type
    """Return a value that DuckDB's Python gave for a column of this type; None is a missing value."""
    t = athena_type
    if value is None:
        return None
    if t.name == "boolean":
        return str(value).lower()
    if t.name in ("double", "real"):
        return double_text(value) if t.name == "double" else real_text(value)
    if t.name == "decimal":
        return format(value, "f")
    if t.name in ("timestamp", "timestamp with time zone"):
        stamp = f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}"
        return stamp + (" UTC" if t.name != "timestamp" else "")
    if t.name.startswith("interval"):
        return interval_text(value, t.name)
    if t.name == "varbinary":
        return " ".join(f"{byte:02x}" for byte in value)
    if t.name == "char" and t.numbers:
        return str(value).ljust(t.numbers[0])
    if t.name == "array":
        return "[" + ", ".join(_inner(item, t.items[0]) for item in value) + "]"
    if t.name == "map":
        return "{" + ", ".join(f"{_inner(k, t.items[0])}={_inner(v, t.items[1])}" for k, v in value.items()) + "}"
    if t.name == "row":
        held = list(value.values()) if isinstance(value, dict) else list(value)
        return "{" + ", ".join(f"{t.field(i)}={_inner(v, t.items[i])}" for i, v in enumerate(held)) + "}"
    return str(value)


def _inner(value: Value, t: AthenaType) -> str:
    found = text(value, t)
    return "null" if found is None else found
