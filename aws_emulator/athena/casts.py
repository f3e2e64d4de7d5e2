"""CAST as Trino does it: from which type to which, and DuckDB's expression for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.signatures import Typed
from aws_emulator.athena.types import JSON, VARCHAR, AthenaType, duckdb_type, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    "interval day to second": {"varchar": "days_text({0})"},
    "interval year to month": {"varchar": "months_text({0})"},
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
    fewer = to.name == "decimal" and to.numbers[1:] < given.numbers[1:]
    if (given.bare and fewer) or (given.bare > 1 and to.name in ("decimal", "varchar", "json")):
        raise NotEmulated(f"the text or the last digits of {value.sql}")
    if (given.kind, to.kind) in NEVER:
        raise QueryError("TYPE_MISMATCH", f"Cannot cast {given} to {to}")
    if given.name == to.name and len(given.items) == len(to.items) > 0:
        return Typed(_inside(value, to), to)
    if given.name == "json" and to.items:
        return Typed(_from_json(value.sql, to), to)
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


def formatted(values: Sequence[Typed]) -> Typed:
    """Return ``format('…', …)`` of Java, with ``%s`` and ``%d``: position and width, nothing else."""
    text, used, out = values[0].literal, 0, []
    if values[0].type != VARCHAR or text is None or not re.fullmatch(r"([^%]|%%|%(\d+\$)?-?([1-9]\d*)?[sd])*", text):
        raise NotEmulated(f"format({values[0].sql}, …)")
    for piece in re.finditer(r"%(?:(\d+)\$)?(-?)(\d*)([sd%])|[^%]+", text):
        if piece[4] in (None, "%"):
            out.append(f"'{(piece[0] if piece[4] is None else '%').replace(chr(39), chr(39) * 2)}'")
            continue
        used += not piece[1]
        index = int(piece[1] or used)
        if index >= len(values) or (piece[4] == "d" and values[index].type.kind != "integer"):
            raise QueryError("INVALID_FUNCTION_ARGUMENT", f"Invalid format string: {text}")
        shown = f"coalesce({cast(values[index], VARCHAR).sql}, 'null')"
        pad = f"repeat(' ', {piece[3]} - length({shown}))" if piece[3] else ""
        out.append(" || ".join([shown, pad] if piece[2] else [pad, shown]) if pad else shown)
    return Typed(f"({' || '.join(out)})", VARCHAR)


def _to_json(value: Typed) -> str:
    if value.type.name == "decimal":
        return f"CAST(CAST({value.sql} AS VARCHAR) AS JSON)"
    leaf = value.type
    if leaf.name == "row" and all(leaf.fields):
        inner = (_to_json(Typed("", item)) for item in leaf.items)  # refuses what it cannot write
        return f"to_json({value.sql})" if list(inner) and "decimal" not in {item.name for item in leaf.items} else ""
    while leaf.name in ("array", "map") and (leaf.name == "array" or leaf.items[0].name == "varchar"):
        leaf = leaf.items[-1]
    if leaf.kind not in ("integer", "varchar", "boolean", "date", "json", "unknown"):
        raise NotEmulated(f"cast of {value.type} to json")
    return f"to_json({value.sql})"


def _from_json(sql: str, to: AthenaType) -> str:
    if to.name == "array":
        inner = cast(Typed("item", JSON), to.items[0])
        return f"list_transform(json_extract(json_of_type({sql}, 'ARRAY', ''), '$[*]'), lambda item: {inner.sql})"
    if to.name == "map" and to.items[0].name == "varchar":
        inner = cast(Typed(f"""json_extract({sql}, '$."' || key || '"')""", JSON), to.items[1])
        pair = f"lambda key: struct_pack(k := key, v := {inner.sql})"
        return f"map_from_entries(list_transform(json_keys(json_of_type({sql}, 'OBJECT', '')), {pair}))"
    if to.name == "row":
        parts = []
        for i, item in enumerate(to.items):
            path = f"CASE WHEN json_type({sql}) = 'ARRAY' THEN '$[{i}]' ELSE '$.\"{to.fields[i]}\"' END"
            found = f"json_extract({sql}, {path})"
            parts.append(f"{quoted(to.field(i))} := {cast(Typed(found, JSON), item).sql}")
        return f"CASE WHEN json_of_type({sql}, 'ARRAY', 'OBJECT') IS NOT NULL THEN struct_pack({', '.join(parts)}) END"
    raise NotEmulated(f"cast of json to {to}")


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
