"""Types of Athena: their names in Glue and Hive, in Trino's SQL and in DuckDB, and what is coerced to what."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aws_emulator.athena.errors import NotEmulated, QueryError


@dataclass(frozen=True)
class AthenaType:
    """One type by Trino's name.

    Args:
        name: ``integer``, ``varchar``, ``decimal``, ``array``, ``row``, ….
        numbers: Precision and scale of a decimal, length of a char or varchar.
        items: Types of the elements of an array, of key and value of a map, of the fields of a row.
        fields: Names of the fields of a row; an empty text for a field without a name.
    """

    name: str
    numbers: tuple[int, ...] = ()
    items: tuple[AthenaType, ...] = ()
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        inner = [str(number) for number in self.numbers] + [str(item) for item in self.items]
        if self.name == "row":
            inner = [f"{field} {item}".strip() for field, item in zip(self.fields, self.items, strict=True)]
        return f"{self.name}({','.join(inner)})" if inner else self.name

    @property
    def kind(self) -> str:
        """The name, but ``integer`` for whole numbers of any size."""
        return "integer" if self.name in INTEGERS else self.name


def _types(*names: str) -> tuple[AthenaType, ...]:
    return tuple(AthenaType(name) for name in names)


BOOLEAN, INTEGER, BIGINT, REAL, DOUBLE, VARCHAR, VARBINARY, DATE, TIMESTAMP, UNKNOWN, JSON = _types(
    "boolean", "integer", "bigint", "real", "double", "varchar", "varbinary", "date", "timestamp", "unknown", "json"
)
DAYS, MONTHS = _types("interval day to second", "interval year to month")
ZONED = AthenaType("timestamp with time zone")
INTEGERS = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}
"""Whole numbers, narrow ones first, with the digits of the decimal that holds them."""
HIVE = {
    "int": "integer",
    "string": "varchar",
    "binary": "varbinary",
    "float": "real",
    "struct": "row",
    "text": "varchar",
}
"""Names of Glue and Hive that Trino's SQL writes in another way."""
DUCKDB = {
    "boolean": "BOOLEAN", "tinyint": "TINYINT", "smallint": "SMALLINT", "integer": "INTEGER", "bigint": "BIGINT",
    "real": "FLOAT", "double": "DOUBLE", "varchar": "VARCHAR", "char": "VARCHAR", "varbinary": "BLOB", "date": "DATE",
    "timestamp": "TIMESTAMP", "timestamp with time zone": "TIMESTAMPTZ", "json": "JSON", "unknown": "INTEGER",
    "interval day to second": "INTERVAL", "interval year to month": "INTERVAL",
}  # fmt: skip
WIDENS = {
    ("date", "timestamp"),
    ("date", ZONED.name),
    ("timestamp", ZONED.name),
    ("char", "varchar"),
    ("real", "double"),
}
WIDENS |= {(narrow, wide) for narrow in (*INTEGERS, "decimal") for wide in ("real", "double")}
WIDENS |= {(a, b) for i, a in enumerate(INTEGERS) for b in list(INTEGERS)[i + 1 :]}
"""What Trino coerces without being asked (``TypeCoercion``), besides decimals and what holds other types."""


def decimal(precision: int, scale: int) -> AthenaType:
    """Return a decimal; a precision beyond 38 is held at 38, as Trino does for results."""
    return AthenaType("decimal", (min(38, precision), scale))


def array(item: AthenaType) -> AthenaType:
    """Return the type of arrays of a type."""
    return AthenaType("array", items=(item,))


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


def athena_type(text: str) -> AthenaType:  # noqa: PLR0911 - one form a return
    """Return the type that Glue, Hive or Trino's SQL writes like this, e.g. ``struct<a:int>`` or ``row(a integer)``.

    Raises:
        QueryError: No such type (TYPE_NOT_FOUND).
        NotEmulated: The emulator has no such type.
    """
    found = re.fullmatch(
        r"\s*([a-z_]+)\s*(?:[(<](.*)[)>])?(\s+with time zone|\s+without time zone)?\s*", text.lower(), re.S
    )
    if not found:
        return AthenaType(text.lower()) if text.lower() in (DAYS.name, MONTHS.name) else _unknown(text)
    name, inner, zone = HIVE.get(found[1], found[1]), split(found[2] or ""), found[3] or ""
    if name == "timestamp":
        return ZONED if "with time" in zone else TIMESTAMP
    if name in ("array", "map") and len(inner) == 1 + (name == "map"):
        return AthenaType(name, items=tuple(map(athena_type, inner)))
    if name == "row" and inner:
        named = [
            re.fullmatch(r'"?([\w ]+?)"?\s*:\s*(.+)|"?(\w+)"?\s+(?!with\b)(.+)|(.+)', part, re.S) for part in inner
        ]
        fields = [(m[1] or m[3] or "", m[2] or m[4] or m[5]) for m in named if m]
        return AthenaType("row", items=tuple(athena_type(t) for _, t in fields), fields=tuple(n for n, _ in fields))
    if name == "decimal":
        return (
            decimal(*([int(part) for part in inner] + [38 if not inner else 0, 0][len(inner) :])[:2])
            if inner
            else decimal(38, 0)
        )
    if name in ("varchar", "char"):
        return AthenaType(name, tuple(int(part) for part in inner))
    return AthenaType(name) if name in DUCKDB and not inner else _unknown(text)


def _unknown(text: str) -> AthenaType:
    if re.match(r"time|ipaddress|uuid|hyperloglog|qdigest|tdigest|geometry|p4hyperloglog", text.strip().lower()):
        raise NotEmulated(f"type {text}")
    raise QueryError("TYPE_NOT_FOUND", f"Unknown type: {text}")


def duckdb_type(given: AthenaType | str) -> str:
    """Return DuckDB's type for one of Athena's, or for Glue's text of it."""
    t = athena_type(given) if isinstance(given, str) else given
    if t.name == "decimal":
        return f"DECIMAL({t.numbers[0]},{t.numbers[1]})"
    if t.name == "array":
        return f"{duckdb_type(t.items[0])}[]"
    if t.name == "map":
        return f"MAP({duckdb_type(t.items[0])}, {duckdb_type(t.items[1])})"
    if t.name == "row":
        return (
            f"STRUCT({', '.join(f'{quoted(field_name(t, i))} {duckdb_type(item)}' for i, item in enumerate(t.items))})"
        )
    return DUCKDB[t.name]


def field_name(row: AthenaType, index: int) -> str:
    """Return the name of a field of a row in DuckDB and in Athena's text: ``field0`` if it has none."""
    return row.fields[index] or f"field{index}"


def quoted(name: str) -> str:
    """Return a name as an identifier of DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def common(a: AthenaType, b: AthenaType) -> AthenaType | None:  # noqa: PLR0911 - one rule a return
    """Return the type to which Trino brings values of two types, or None if there is none (``TypeCoercion``)."""
    if a == b or b.name == "unknown":
        return a
    if a.name == "unknown":
        return b
    if a.name == b.name == "varchar":
        return VARCHAR
    if {a.kind, b.kind} <= {"integer", "decimal"} and "decimal" in (a.name, b.name):
        (p, s), (q, r) = digits(a), digits(b)
        return decimal(max(p - s, q - r) + max(s, r), max(s, r))
    if a.name == b.name and len(a.items) == len(b.items) > 0:
        items = [common(x, y) for x, y in zip(a.items, b.items, strict=True)]
        fields = tuple(x if x == y else "" for x, y in zip(a.fields, b.fields, strict=True))
        return None if None in items else AthenaType(a.name, items=tuple(i for i in items if i), fields=fields)
    if (a.name, b.name) in WIDENS:
        return b
    return a if (b.name, a.name) in WIDENS else None


def digits(t: AthenaType) -> tuple[int, int]:
    """Return precision and scale of a decimal, or of the decimal that holds a whole number."""
    return (t.numbers[0], t.numbers[1]) if t.name == "decimal" else (INTEGERS[t.name], 0)


def same(a: AthenaType, b: AthenaType) -> bool:
    """Return whether values of two types are held alike in DuckDB, so that no cast is needed."""
    return duckdb_type(a) == duckdb_type(b) and a.name != "unknown"
