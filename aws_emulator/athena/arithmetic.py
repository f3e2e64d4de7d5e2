"""Operators between two values, with the types and errors that Trino gives them."""

from __future__ import annotations

from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.signatures import Typed
from aws_emulator.athena.types import BOOLEAN, DOUBLE, UNKNOWN, AthenaType, common, decimal, digits, duckdb_type

EXACT = ("integer", "decimal")
BARE = "arithmetic with a literal like 1.5, a decimal to Trino and a double as measured: write 1.5e0 or DECIMAL '1.5'"
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
    if met.items and (met.name != "array" or met.items[0].items):
        raise NotEmulated(f"{met} {operator} {met}")
    if met.name == "array":
        a, b = (Typed(f"without_nulls({x.sql})", met) for x in (a, b))
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
    """Return ``a + b`` and its like for two numbers."""
    met = common(a.type, b.type) or DOUBLE
    if met.name == "unknown":
        raise NotEmulated(f"NULL {operator} NULL")
    if met.name == "decimal":
        a, b = (x.to(met) if x.type == UNKNOWN else x for x in (a, b))
        return _decimals(a, b, operator)
    a, b = a.to(met), b.to(met)
    sql = f"({a.sql} {'//' if operator == '/' and met.kind == 'integer' else operator} {b.sql})"
    return Typed(f"CAST({sql} AS FLOAT)" if met.name == "real" else sql, met)


def _decimals(a: Typed, b: Typed, operator: str) -> Typed:
    """Return what https://trino.io/docs/current/functions/decimal.html#binary-arithmetic-decimal-operators says."""
    if a.type.bare or b.type.bare:
        raise NotEmulated(BARE)
    (p, s), (q, r) = digits(a.type), digits(b.type)
    wide = max(s, r)
    if operator == "/":
        return quotient(a, b, decimal(p + r + max(0, r - s), wide))
    whole = {"*": p - s + q - r, "%": min(p - s, q - r)}.get(operator, max(p - s, q - r) + 1)
    result = decimal(whole + (s + r if operator == "*" else wide), s + r if operator == "*" else wide)
    if result.numbers[1] > 38:
        raise QueryError("INVALID_FUNCTION_ARGUMENT", f"DECIMAL scale must be at most 38: {result.numbers[1]}")
    a, b = a.to(decimal(p, s)), b.to(decimal(q, r))
    if operator == "%":
        return scaled(f"{unscaled(a, wide)} % {unscaled(b, wide)}", result)
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
