"""CAST as Trino does it: from which type to which, and DuckDB's expression for it."""

from __future__ import annotations

from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.signatures import Typed
from aws_emulator.athena.types import AthenaType, duckdb_type, quoted

PLAIN = "CAST({0} AS {t})"
NOT_ZERO = "({0} <> 0)"
CASTS = {
    "integer": dict.fromkeys(("integer", "decimal", "real", "double", "varchar"), PLAIN) | {"boolean": NOT_ZERO},
    "decimal": dict.fromkeys(("integer", "decimal", "real", "double", "varchar"), PLAIN) | {"boolean": NOT_ZERO},
    "double": {
        "integer": "CAST(round({0}) AS {t})", "decimal": PLAIN, "real": PLAIN, "double": PLAIN, "boolean": NOT_ZERO,
        "varchar": "double_text({0})",
    },
    "real": {"integer": "CAST(round({0}) AS {t})", "double": PLAIN, "real": PLAIN, "boolean": NOT_ZERO},
    "boolean": dict.fromkeys(("integer", "decimal", "real", "double", "varchar", "boolean"), PLAIN),
    "varchar": {
        "varchar": "{0}", "char": "{0}", "integer": "CAST(integer_or_fail({0}) AS {t})",
        "boolean": "CAST(boolean_or_fail({0}) AS BOOLEAN)",
        "real": "CAST(double_or_fail({0}) AS {t})", "double": "CAST(double_or_fail({0}) AS {t})",
        "decimal": "CAST(double_or_fail({0}) AS {t})", "date": "CAST(date_or_fail({0}) AS DATE)",
        "timestamp": "CAST(timestamp_or_fail({0}) AS TIMESTAMP)",
    },
    "date": {"date": "{0}", "timestamp": PLAIN, "timestamp with time zone": PLAIN, "varchar": PLAIN},
    "timestamp": {"timestamp": "{0}", "date": PLAIN, "timestamp with time zone": PLAIN, "varchar": "stamp_text({0})"},
    "timestamp with time zone": {
        "timestamp": PLAIN, "date": PLAIN, "varchar": "stamp_text(CAST({0} AS TIMESTAMP)) || ' UTC'",
    },
    "varbinary": {"varbinary": "{0}"},
    "json": {
        "json": "{0}", "varchar": "json_text({0})", "integer": "CAST(integer_or_fail(json_text({0})) AS {t})",
        "double": "CAST(double_or_fail(json_text({0})) AS DOUBLE)",
        "boolean": "CAST(boolean_or_fail(json_text({0})) AS BOOLEAN)",
    },
}  # fmt: skip
"""DuckDB's expression by kind of the value and kind of the type asked for."""
NEVER = {("date", k) for k in ("integer", "decimal", "real", "double", "boolean")}
NEVER |= {(k, t) for k in ("integer", "decimal", "real", "double", "boolean") for t in ("date", "timestamp")}
NEVER |= {("timestamp", k) for k in ("integer", "decimal", "real", "double", "boolean")}
"""Casts that Trino refuses too."""


def cast(value: Typed, to: AthenaType) -> Typed:
    """Return a value cast to a type.

    Raises:
        QueryError: Trino has no such cast (TYPE_MISMATCH).
        NotEmulated: The emulator has none.
    """
    given = value.type
    if given.name == "unknown":
        return Typed(f"CAST(NULL AS {duckdb_type(to)})", to)
    if (given.kind, to.kind) in NEVER:
        raise QueryError("TYPE_MISMATCH", f"Cannot cast {given} to {to}")
    if given.name == to.name and len(given.items) == len(to.items) > 0:
        return Typed(_inside(value, to), to)
    if to.name == "json":
        return Typed(_to_json(value), to)
    template = CASTS.get(given.kind, {}).get(to.kind)
    if template is None:
        raise NotEmulated(f"cast of {given} to {to}")
    sql = template.replace("{0}", value.sql).replace("{t}", duckdb_type(to))
    if to.name == "char":
        return Typed(f"rpad({sql}, {(to.numbers or (1,))[0]}, ' ')", to)
    if to.name == "varchar" and to.numbers:
        sql = f"{'substring_of' if given.name == 'varchar' else 'fitting_or_fail'}({sql}, 1, {to.numbers[0]})"
    return Typed(sql, AthenaType("varchar") if to.name == "varchar" else to)


def _to_json(value: Typed) -> str:
    leaf = value.type
    while leaf.name in ("array", "map") and (leaf.name == "array" or leaf.items[0].name == "varchar"):
        leaf = leaf.items[-1]
    if leaf.kind not in ("integer", "varchar", "boolean", "date", "json", "unknown"):
        raise NotEmulated(f"cast of {value.type} to json")
    return f"to_json({value.sql})"


def _inside(value: Typed, to: AthenaType) -> str:
    if to.name == "array":
        inner = cast(Typed("item", value.type.items[0]), to.items[0])
        return value.sql if inner.sql == "item" else f"list_transform({value.sql}, lambda item: {inner.sql})"
    if to.name == "row":
        parts = [
            cast(Typed(f"struct_extract({value.sql}, {quoted(value.type.field(i))[1:-1]!r})", given), wanted)
            for i, (given, wanted) in enumerate(zip(value.type.items, to.items, strict=True))
        ]
        return "struct_pack(" + ", ".join(f"{quoted(to.field(i))} := {p.sql}" for i, p in enumerate(parts)) + ")"
    raise NotEmulated(f"cast of {value.type} to {to}")
