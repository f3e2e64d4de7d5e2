"""Operators between two values, with the types and errors that Trino gives them."""

from __future__ import annotations

from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.signatures import Typed
from aws_emulator.athena.types import (
    BOOLEAN,
    DATE,
    DAYS,
    DOUBLE,
    MONTHS,
    TIMESTAMP,
    AthenaType,
    common,
    decimal,
    digits,
    duckdb_type,
)

NUMERIC = ("integer", "decimal", "real", "double")
EXACT = ("integer", "decimal")
INTERVALS = (DAYS.name, MONTHS.name)
INFINITE = "CAST('inf' AS DOUBLE)"


def mismatch(a: Typed, operator: str, b: Typed) -> QueryError:
    """Return the error for an operator that does not exist between two types."""
    if "char" in (a.type.name, b.type.name):
        return NotEmulated(f"{operator} between {a.type} and {b.type}")
    return QueryError("TYPE_MISMATCH", f"Cannot apply operator: {a.type} {operator} {b.type}")


def compare(a: Typed, operator: str, b: Typed) -> Typed:
    """Return ``a = b`` and its like. NaN is not equal to, less or greater than anything; for DuckDB it is greatest."""
    met = common(a.type, b.type)
    if met is None:
        raise mismatch(a, operator, b)
    if not (a.type.kind in EXACT and b.type.kind in EXACT):
        a, b = a.to(met), b.to(met)
    sql = f"({a.sql} {operator} {b.sql})"
    if met.name in ("double", "real"):
        risky = b if operator in ("<", "<=") else a
        if operator == "<>" and a.literal is None and b.literal is None:
            return Typed(f"({a.sql} <> {b.sql} OR NOT {a.sql} <= {INFINITE})", BOOLEAN)
        other = b if risky is a else a
        if operator in ("=", "<>") and other.literal is not None:
            return Typed(sql, BOOLEAN)
        if risky.literal is None:
            return Typed(f"({a.sql} {operator} {b.sql} AND {risky.sql} <= {INFINITE})", BOOLEAN)
    return Typed(sql, BOOLEAN)


def calculate(a: Typed, operator: str, b: Typed) -> Typed:
    """Return ``a + b`` and its like."""
    if a.type.name == "unknown" or b.type.name == "unknown":
        known = b.type if a.type.name == "unknown" else a.type
        a, b = (Typed(f"CAST(NULL AS {duckdb_type(known)})", known) if x.type.name == "unknown" else x for x in (a, b))
    if a.type.kind not in NUMERIC or b.type.kind not in NUMERIC:
        return _times(a, operator, b)
    met = common(a.type, b.type)
    if met is None:
        raise mismatch(a, operator, b)
    if met.name == "decimal":
        return _decimals(a, operator, b)
    a, b = a.to(met), b.to(met)
    if met.kind == "integer":
        return Typed(f"({a.sql} {'//' if operator == '/' else operator} {b.sql})", met)
    return Typed(
        f"CAST({a.sql} {operator} {b.sql} AS FLOAT)" if met.name == "real" else f"({a.sql} {operator} {b.sql})", met
    )


def _decimals(a: Typed, operator: str, b: Typed) -> Typed:
    """Return what https://trino.io/docs/current/functions/decimal.html#binary-arithmetic-decimal-operators says."""
    (p, s), (q, r) = digits(a.type), digits(b.type)
    wide = max(s, r)
    if operator == "/":
        return quotient(a, b, decimal(p + r + max(0, r - s), wide))
    result = {
        "*": decimal(p + q, s + r),
        "%": decimal(min(p - s, q - r) + wide, wide),
    }.get(operator, decimal(max(p - s, q - r) + wide + 1, wide))
    if result.numbers[1] > 38:
        raise QueryError(
            "INVALID_FUNCTION_ARGUMENT", f"DECIMAL scale must be in range [0, precision ({result.numbers[1]})]"
        )
    a, b = a.to(decimal(p, s)), b.to(decimal(q, r))
    if operator == "%":
        whole = f"{unscaled(a, wide)} % {unscaled(b, wide)}"
        return scaled(whole, result)
    return Typed(f"CAST({a.sql} {operator} {b.sql} AS {duckdb_type(result)})", result)


def unscaled(x: Typed, places: int) -> str:
    """Return ``x * 10^places`` as a HUGEINT."""
    _, s = digits(x.type)
    return f"CAST(CAST({x.sql} AS DECIMAL(38,{s})) * CAST(1{'0' * places} AS DECIMAL(38,0)) AS HUGEINT)"


def scaled(whole: str, t: AthenaType) -> Typed:
    """Return a HUGEINT divided by ten to the scale of a decimal."""
    s = t.numbers[1]
    unit = f" * CAST('{'0.' + '0' * (s - 1) + '1' if s else '1'}' AS DECIMAL({s + 1},{s}))"
    return Typed(f"CAST(CAST({whole} AS DECIMAL(38,0)){unit} AS {duckdb_type(t)})", t)


def quotient(a: Typed, b: Typed, result: AthenaType) -> Typed:
    """Return the quotient of two exact numbers as a decimal, rounded half up; whole numbers all the way."""
    _, r = digits(b.type)
    return scaled(f"decimal_quotient({unscaled(a, result.numbers[1] + r)}, {unscaled(b, r)})", result)


def _times(a: Typed, operator: str, b: Typed) -> Typed:
    """Return what dates, times and intervals give (https://trino.io/docs/current/functions/datetime.html)."""
    if operator == "+" and a.type.name in INTERVALS and b.type.name not in INTERVALS:
        a, b = b, a
    kinds = (a.type.name, b.type.name)
    if operator in "+-" and b.type.name in INTERVALS:
        if kinds[0] == "date" and b.literal == "time":
            raise QueryError("INVALID_FUNCTION_ARGUMENT", "Cannot add hour, minutes or seconds to a date")
        if kinds[0] in ("date", "timestamp", "timestamp with time zone", kinds[1]):
            sql = f"({a.sql} {operator} {b.sql})"
            return Typed(f"CAST({sql} AS DATE)" if a.type == DATE else sql, a.type)
    if operator == "-" and kinds[0] == kinds[1] and kinds[0] in ("date", "timestamp", "timestamp with time zone"):
        a, b = (Typed(f"CAST({x.sql} AS TIMESTAMP)", TIMESTAMP) if x.type == DATE else x for x in (a, b))
        return Typed(f"({a.sql} - {b.sql})", DAYS)
    if operator == "*" and b.type.name in INTERVALS and a.type.kind in NUMERIC:
        a, b = b, a
    if operator in "*/" and a.type.name in INTERVALS and b.type.kind == "integer" and operator == "*":
        return Typed(f"({a.sql} * {b.sql})", a.type)
    if a.type == DOUBLE or "unknown" in kinds:
        raise NotEmulated(f"{a.type} {operator} {b.type}")
    raise mismatch(a, operator, b)
