"""CAST as Trino does it: from which type to which, and DuckDB's expression for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.signatures import Typed, casts
from aws_emulator.athena.types import VARCHAR, AthenaType, duckdb_type, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    if given.name == to.name and len(given.items) == len(to.items) > 0:
        return Typed(_inside(value, to), to)
    if given.name == "json" and to.items and _jsonable(to, read=True):
        return Typed(f"CAST({value.sql} AS {duckdb_type(to)})", to)
    if to.name == "json" and _jsonable(given):
        return Typed(f"to_json({value.sql})", to)
    template = casts().get((given.kind, to.kind))
    if template is None:
        raise NotEmulated(f"cast of {given} to {to}")
    if template == "!":
        raise QueryError("TYPE_MISMATCH", f"Cannot cast {given} to {to}")
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


def _jsonable(t: AthenaType, *, read: bool = False) -> bool:
    """Return whether DuckDB writes a type as JSON, or reads it, as Trino does."""
    if t.name == "row":
        return not read and all(t.fields) and all(_jsonable(item, read=read) for item in t.items)
    if t.items:
        return t.items[0].name in ("varchar", t.items[-1].name) and _jsonable(t.items[-1], read=read)
    return t.kind in ("integer", "varchar", "boolean", "json", *(() if read else ("date",)))


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
