"""Types of Athena: their names in Glue and Hive, in Trino's SQL and in DuckDB, and what is coerced to what."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from aws_emulator.athena.errors import NotEmulated, QueryError

INTEGERS = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}
"""Whole numbers, narrow ones first, with the digits of the decimal that holds them."""
HIVE = {"int": "integer", "string": "varchar", "binary": "varbinary", "float": "real", "struct": "row"}
"""Names of Glue and Hive that Trino's SQL writes in another way."""
DUCKDB = {
    "boolean": "BOOLEAN", "tinyint": "TINYINT", "smallint": "SMALLINT", "integer": "INTEGER", "bigint": "BIGINT",
    "real": "FLOAT", "double": "DOUBLE", "varchar": "VARCHAR", "char": "VARCHAR", "varbinary": "BLOB", "date": "DATE",
    "timestamp": "TIMESTAMP", "timestamp with time zone": "TIMESTAMPTZ", "json": "JSON", "unknown": "INTEGER",
    "interval day to second": "INTERVAL", "interval year to month": "INTERVAL",
}  # fmt: skip
WIDENS = {("date", "timestamp"), ("date", "timestamp with time zone"), ("timestamp", "timestamp with time zone")}
WIDENS |= {(narrow, wide) for narrow in (*INTEGERS, "decimal", "real") for wide in ("real", "double")}
WIDENS |= {(a, b) for i, a in enumerate(INTEGERS) for b in list(INTEGERS)[i + 1 :]}
"""What Trino coerces without being asked (``TypeCoercion``), besides decimals and what holds other types."""


@dataclass(frozen=True)
class AthenaType:
    """One type by Trino's name.

    Args:
        name: ``integer``, ``varchar``, ``decimal``, ``array``, ``row``, ….
        numbers: Precision and scale of a decimal, length of a char or varchar.
        items: Types of the elements of an array, of key and value of a map, of the fields of a row.
        fields: Names of the fields of a row; an empty text for a field without a name.
        bare: How far a decimal comes from a literal like ``1.5``, which Trino's tests read as a decimal, and of which a
            measurement on Athena says double: 1 if both give the same text, 2 if they do not, 0 if it does not.
    """

    name: str
    numbers: tuple[int, ...] = ()
    items: tuple[AthenaType, ...] = ()
    fields: tuple[str, ...] = ()
    bare: int = field(default=0, compare=False)

    def __str__(self) -> str:
        inner = [f"{field} {item}".strip() for field, item in zip(self.fields, self.items, strict=False)]
        inner = inner or [*map(str, self.numbers), *map(str, self.items)]
        return f"{self.name}({','.join(inner)})" if inner else self.name

    @property
    def kind(self) -> str:
        """The name, but ``integer`` for whole numbers of any size."""
        return "integer" if self.name in INTEGERS else self.name

    def field(self, index: int) -> str:
        """The name of a field of a row in DuckDB and in Athena's text: ``field0`` if it has none."""
        return self.fields[index] or f"field{index}"


BOOLEAN, INTEGER, BIGINT, DOUBLE = map(AthenaType, ("boolean", "integer", "bigint", "double"))
VARCHAR, VARBINARY, JSON, UNKNOWN = map(AthenaType, ("varchar", "varbinary", "json", "unknown"))
DATE, TIMESTAMP, ZONED = map(AthenaType, ("date", "timestamp", "timestamp with time zone"))
DAYS, MONTHS = map(AthenaType, ("interval day to second", "interval year to month"))


def decimal(precision: int, scale: int) -> AthenaType:
    """Return a decimal; a precision beyond 38 is held at 38, as Trino does for results."""
    return AthenaType("decimal", (min(38, precision), scale))


def array(item: AthenaType) -> AthenaType:
    """Return the type of arrays of a type."""
    return AthenaType("array", items=(item,))


def row(fields: list[tuple[str, AthenaType]]) -> AthenaType:
    """Return the type of rows with these names and types of fields."""
    return AthenaType("row", items=tuple(t for _, t in fields), fields=tuple(name for name, _ in fields))


def split(text: str) -> list[str]:
    """Divide a text at the commas that are not inside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "(<") - (letter in ")>")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def athena_type(text: str) -> AthenaType:
    """Return the type that Glue, Hive or Trino's SQL writes like this, e.g. ``struct<a:int>`` or ``row(a integer)``.

    Raises:
        QueryError: No such type (TYPE_NOT_FOUND).
        NotEmulated: The emulator has no such type.
    """
    found = re.fullmatch(r"\s*([a-z_]+)\s*(?:[(<](.*)[)>])?(\s+with time zone|)\s*", text.lower(), re.S)
    name, inner = (HIVE.get(found[1], found[1]), split(found[2] or "")) if found else (text.lower(), [])
    if found and name == "timestamp":
        return ZONED if found[3] else TIMESTAMP
    if name in ("array", "map") and len(inner) == (1 if name == "array" else 2):
        return AthenaType(name, items=tuple(map(athena_type, inner)))
    if name == "row" and inner:
        named = [re.fullmatch(r'(?:"?(\w+)"?(?:\s*:\s*|\s+(?!with\b)))?(.+)', part, re.S) for part in inner]
        return row([(m[1] or "", athena_type(m[2])) for m in named if m])
    if name == "decimal" and not inner:  # decimal(10,0) to Hive, decimal(38,0) to Trino
        raise NotEmulated("type decimal without precision and scale")
    if name == "decimal" and len(inner) < 3 and all(part.isdecimal() for part in inner):
        precision, scale = (*map(int, inner), 0)[:2]
        if not 0 <= scale <= precision <= 38:
            raise QueryError("INVALID_FUNCTION_ARGUMENT", f"DECIMAL precision must be in range [1, 38]: {text}")
        return AthenaType(name, (precision, scale))
    if name in ("varchar", "char") and all(part.isdecimal() for part in inner):
        return AthenaType(name, tuple(map(int, inner)))
    if name in DUCKDB and not inner:
        return AthenaType(name)
    if re.match(r"time|ipaddress|uuid|hyperloglog|[qt]digest|geometry|p4hyperloglog", name):
        raise NotEmulated(f"type {text}")
    raise QueryError("TYPE_NOT_FOUND", f"Unknown type: {text}")


def duckdb_type(given: AthenaType | str) -> str:
    """Return DuckDB's type for one of Athena's, or for Glue's text of it."""
    t = athena_type(given) if isinstance(given, str) else given
    if t.name == "decimal":
        return f"DECIMAL({t.numbers[0]},{t.numbers[1]})"
    inner = [duckdb_type(item) for item in t.items]
    if t.name == "row":
        return f"STRUCT({', '.join(f'{quoted(t.field(i))} {item}' for i, item in enumerate(inner))})"
    return f"{inner[0]}[]" if t.name == "array" else f"MAP({', '.join(inner)})" if inner else DUCKDB[t.name]


def unsure(t: AthenaType) -> bool:
    """Return whether the text of a value depends on how Athena reads literals like ``1.5``."""
    return t.bare > 1 or any(map(unsure, t.items))


def quoted(name: str) -> str:
    """Return a name as an identifier of DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def digits(t: AthenaType) -> tuple[int, int]:
    """Return precision and scale of a decimal, or of the decimal that holds a whole number."""
    return (t.numbers[0], t.numbers[1]) if t.name == "decimal" else (INTEGERS[t.name], 0)


def common(a: AthenaType, b: AthenaType) -> AthenaType | None:
    """Return the type to which Trino brings values of two types, or None if there is none (``TypeCoercion``)."""
    if a == b or "unknown" in (a.name, b.name):
        return a if b.name == "unknown" or a.bare > b.bare else b
    if a.name == b.name == "varchar":
        return VARCHAR
    if {a.kind, b.kind} <= {"integer", "decimal"} and "decimal" in (a.name, b.name):
        (p, s), (q, r) = digits(a), digits(b)
        return replace(decimal(max(p - s, q - r) + max(s, r), max(s, r)), bare=2 if a.bare or b.bare else 0)
    if a.name == b.name and len(a.items) == len(b.items) > 0:
        items = [common(x, y) for x, y in zip(a.items, b.items, strict=True)]
        fields = tuple(x if x == y else "" for x, y in zip(a.fields, b.fields, strict=True))
        return None if None in items else AthenaType(a.name, items=tuple(i for i in items if i), fields=fields)
    return b if (a.name, b.name) in WIDENS else a if (b.name, a.name) in WIDENS else None
