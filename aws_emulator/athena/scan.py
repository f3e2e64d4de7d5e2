# ruff: noqa: S608 - names are quoted, texts are literals, conditions are translated
"""Tables as relations of DuckDB: files in S3, read as the SerDe of the table reads them.

Files whose name, or whose folder's, begins with ``_`` or ``.`` are not data, nor are empty ones
(https://docs.aws.amazon.com/athena/latest/ug/tables-location-format.html, other-notable-limitations.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aws_emulator import core, s3, s3_files
from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.types import BIGINT, INTEGER, VARCHAR, AthenaType, athena_type, duckdb_type, quoted
from aws_emulator.iam import permissions as iam

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from aws_emulator.athena.partitions import Partition
    from aws_emulator.core import Json
    from aws_emulator.iam.callers import Caller

Connection: TypeAlias = Any
"""A connection of DuckDB."""

PARQUET: Final = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
_LAZY: Final = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
_OPEN_CSV: Final = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
_JSON: Final = ("org.apache.hive.hcatalog.data.JsonSerDe", "org.openx.data.jsonserde.JsonSerDe")
_PATH: Final = '"path$"'
_SMALL: Final = ("TINYINT", "UTINYINT", "SMALLINT", "USMALLINT", "INTEGER")
_STORED_AS: Final = {
    "boolean": ("BOOLEAN",),
    **dict.fromkeys(("tinyint", "smallint", "integer"), _SMALL),
    "bigint": (*_SMALL, "UINTEGER", "BIGINT"),
    "varchar": ("VARCHAR", "BLOB"),
    "timestamp": ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"),
}
"""Types (as DuckDB calls them) in which Parquet can hold a column of a type; others only in their own.

Trino's reader takes the same (ParquetPageSourceFactory); what newer versions take besides is refused.
"""
_INTEGERS: Final = ("tinyint", "smallint", "integer", "bigint")
_FORMS: Final = {
    **dict.fromkeys(_INTEGERS, "translate({0}, '0123456789', '') IN ('', '-')"),
    **dict.fromkeys(("real", "double", "decimal"), "translate({0}, '0123456789+-.eE', '') IN ('', 'NaN')"),
    "boolean": "lower({0}) IN ('true', 'false')",
    "date": "translate({0}, '0123456789', '') = '--'",
    "timestamp": "translate({0}, '0123456789', '') IN ('-- ::', '-- ::.')",
}
"""Texts that Hive's parsers and DuckDB's casts read alike, by the type."""


@dataclass(frozen=True)
class File:
    """An object of S3 and the file with its content."""

    uri: str
    path: str
    size: int
    values: tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Who reads files: the caller, or the role of a registered location.

    Attributes:
        who: The principal; everything is checked with its own permissions for S3 and KMS.
    """

    who: Caller

    def require(self, bucket: str, key: str, record: Json) -> None:
        """Check that an object may be read.

        Raises:
            QueryError: Not with the principal's permissions for S3 or for the key (PERMISSION_DENIED).
        """
        if not s3.may_read(self.who, bucket, key, record):
            raise _denied(f"s3://{bucket}/{key}")

    def listed(self, location: str) -> dict[str, Json]:
        """Return the records of the objects below a location that can hold data, by key.

        Raises:
            QueryError: The bucket is not there (HIVE_FILESYSTEM_ERROR), or listing is not allowed.
        """
        bucket, prefix = split_uri(location)
        found = s3_files.objects(bucket)
        if found is None:
            raise QueryError("HIVE_FILESYSTEM_ERROR", f"The specified bucket does not exist: {location}")
        with core.as_account(self.who.account):
            arn = f"arn:aws:s3:::{bucket}"
            if not iam.is_allowed(self.who.access_key, "s3:ListBucket", arn, {"s3:prefix": prefix}):
                raise _denied(location)
        return {
            key: record
            for key, record in sorted(found.items())
            if key.startswith(prefix) and record["size"] and not _is_hidden(key[len(prefix) :])
        }

    def folders(self, location: str) -> list[str]:
        """Return the folders of the objects below a location, those that hold only folders included."""
        bucket, _, found = *split_uri(location), set()
        for key in self.listed(location.rpartition("/")[0] + "/"):
            parts = key.split("/")[:-1]
            found |= {f"s3://{bucket}/{'/'.join(parts[:depth])}" for depth in range(1, len(parts) + 1)}
        return sorted(found)

    def files(self, partitions: Iterable[Partition]) -> list[File]:
        """Return the files of partitions.

        Raises:
            QueryError: The principal is not allowed to read one of them (PERMISSION_DENIED).
        """
        found = []
        for values, location in partitions:
            bucket, _ = split_uri(location)
            for key, record in self.listed(location).items():
                self.require(bucket, key, record)
                path = s3_files.file_of(bucket, key, record)
                found.append(File(f"s3://{bucket}/{key}", str(path), record["size"], values))
        return found


def split_uri(location: str) -> tuple[str, str]:
    """Return bucket and prefix of a location; the prefix ends with a slash unless it is empty."""
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    return bucket, f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""


def _denied(uri: str) -> QueryError:
    return QueryError("PERMISSION_DENIED", f"Permission denied on S3 path: {uri}")


def _is_hidden(path: str) -> bool:
    return path.endswith("/") or any(part.startswith(("_", ".")) for part in path.split("/"))


# ---- relations ------------------------------------------------------------------------------------------------------


def literal(text: str | None) -> str:
    """Return a text as DuckDB's literal."""
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def _raise(name: str, message: str) -> str:
    # The form in which `errors.from_duckdb` finds name and message.
    quoted_once = message.replace("'", "\\'")
    return f"error({literal(f'TRINO {name}: {quoted_once}')})"


def relation(con: Connection, table: Json, files: Sequence[File]) -> str:
    """Return a SELECT of all columns of a table from files, partition keys last.

    Raises:
        NotEmulated: The SerDe, or what the table asks of it, is not known here.
    """
    columns, keys = (
        {column["Name"].lower(): athena_type(column["Type"]) for column in listed}
        for listed in (table["StorageDescriptor"]["Columns"], table.get("PartitionKeys", []))
    )
    if not files:
        every = {**columns, **keys}.items()
        empty = ", ".join(f"NULL::{duckdb_type(type_)} AS {quoted(name)}" for name, type_ in every)
        return f"SELECT {empty} WHERE false"
    source, shown = _source(con, table, columns, files)
    shown |= {name: f"CAST(p.k{i} AS {duckdb_type(type_)})" for i, (name, type_) in enumerate(keys.items())}
    rows = ", ".join(f"({', '.join(map(literal, (file.path, *file.values)))})" for file in files)
    names = ", ".join(["path", *(f"k{i}" for i in range(len(keys)))])
    joined = f" JOIN (VALUES {rows}) p({names}) ON f.{_PATH} = p.path" if keys else ""
    select = ", ".join(f"{expression} AS {quoted(name)}" for name, expression in shown.items())
    return f"SELECT {select} FROM {source} f{joined}"


def _source(
    con: Connection, table: Json, columns: dict[str, AthenaType], files: Sequence[File]
) -> tuple[str, dict[str, str]]:
    """Return what reads files, and the columns as expressions of it."""
    serde = table["StorageDescriptor"].get("SerdeInfo", {})
    library, given = serde.get("SerializationLibrary", ""), serde.get("Parameters") or {}
    listed = f"[{', '.join(literal(file.path) for file in files)}]"
    paths = f"{listed}, filename = {literal(_PATH.strip(chr(34)))}"
    if library == PARQUET:
        return f"read_parquet({paths}, union_by_name = true, hive_partitioning = false)", _parquet(con, columns, files)
    if bad := [file.uri for file in files if file.path.endswith((".bz2", ".zst", ".lz4", ".snappy", ".deflate"))]:
        raise NotEmulated(f"the compression of {bad[0]}")
    if library in _JSON:
        return _json(con, listed, paths, given, columns)
    if library == _LAZY:
        delimiter = given.get("field.delim", given.get("serialization.format", "\x01"))
        delimiter = {"1": "\x01", "\\t": "\t"}.get(delimiter, delimiter)
        quote, null = "", given.get("serialization.null.format", "\\N")
    elif library == _OPEN_CSV:
        delimiter, quote, null = given.get("separatorChar", ","), given.get("quoteChar", '"'), "\x03"
    else:
        raise NotEmulated(f"SerDe {library!r}")
    if "escape.delim" in given or given.get("escapeChar", "\\") not in {"\\", quote}:
        raise NotEmulated(f"escaping in {given}")
    skipped = int(table.get("Parameters", {}).get("skip.header.line.count", "0"))
    options = f"auto_detect = false, header = false, skip = {skipped}, strict_mode = false, null_padding = true"
    options += f", delim = {literal(delimiter)}, quote = {literal(quote)}, escape = {literal(quote)}"
    fields = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(columns)))
    options += f", nullstr = {literal(null)}, columns = {{{fields}}}"
    convert = _lazy if library == _LAZY else _open_csv
    shown = {name: convert(f"f.c{i}", type_) for i, (name, type_) in enumerate(columns.items())}
    return f"read_csv({paths}, {options})", shown


def _lazy(text: str, type_: AthenaType, otherwise: str = "NULL") -> str:
    """Return a text as LazySimpleSerDe reads it: what is not a value of the type is NULL.

    Forms such as ``1.5`` for an int, which Hive's parsers and DuckDB's casts read in different ways, are refused.
    https://docs.aws.amazon.com/athena/latest/ug/lazy-simple-serde.html
    """
    if type_ == VARCHAR:
        return text
    if type_.name not in _FORMS:
        raise NotEmulated(f"type {type_} in a text file")
    cast = f"TRY_CAST({text} AS {duckdb_type(type_)})"
    strange = _raise("NOT_EMULATED", f"this form of a value of type {type_} in a text file")
    strange = otherwise if type_.name == "boolean" else strange
    good = f"WHEN {_FORMS[type_.name].format(text)} THEN {cast} ELSE {strange}"
    return f"CASE WHEN {text} IS NULL THEN NULL WHEN {cast} IS NULL THEN {otherwise} {good} END"


def _open_csv(text: str, type_: AthenaType) -> str:
    """Return a text as OpenCSVSerde reads it: dates and times are numbers, and an empty text is no number.

    https://docs.aws.amazon.com/athena/latest/ug/csv-serde.html
    """
    if type_ == VARCHAR:
        strange = _raise("NOT_EMULATED", "a backslash or the end of a line within a field of OpenCSVSerde")
        return f"CASE WHEN contains({text}, '\\') OR contains({text}, chr(10)) THEN {strange} ELSE {text} END"
    if type_.name not in {"boolean", "integer", "bigint", "double", "date", "timestamp"}:
        raise NotEmulated(f"type {type_} with OpenCSVSerde")
    bad = _raise("HIVE_BAD_DATA", f"Error parsing field value for type {type_}")
    number = _lazy(text, {"date": INTEGER, "timestamp": BIGINT}.get(type_.name, type_), bad)
    return {"date": f"DATE '1970-01-01' + {number}", "timestamp": f"make_timestamp({number} * 1000)"}.get(
        type_.name, number
    )


def _json(
    con: Connection, listed: str, paths: str, given: Json, columns: dict[str, AthenaType]
) -> tuple[str, dict[str, str]]:
    """Return what reads JSON lines; numbers come as texts, because DuckDB would round ``1.5`` for an int."""
    if given.keys() - {"serialization.format", "paths", "case.insensitive"}:
        raise NotEmulated(f"SerDe properties {sorted(given)} of a JSON table")
    if nested := [name for name, type_ in columns.items() if "row" in str(type_) or "map" in str(type_)]:
        raise NotEmulated(f"column {nested[0]} of a nested type in a JSON table")
    keys = f"SELECT DISTINCT unnest(json_keys(json)) FROM read_json_objects({listed}, format = 'newline_delimited')"
    for (key,) in con.execute(keys).fetchall():
        if key != key.lower() and key.lower() in columns:
            raise NotEmulated(f"key {key!r} with capital letters in a JSON table")
    shown, types = {}, {}
    for name, type_ in columns.items():
        types[name] = duckdb_type(type_) if type_.items else "VARCHAR"
        bad = _raise("HIVE_BAD_DATA", f"Error parsing a JSON value as {type_}")
        shown[name] = f"f.{quoted(name)}" if type_.items else _lazy(f"f.{quoted(name)}", type_, bad)
    fields = ", ".join(f"{literal(name)}: {literal(type_)}" for name, type_ in types.items())
    return f"read_json({paths}, format = 'newline_delimited', columns = {{{fields}}})", shown


def _parquet(con: Connection, columns: dict[str, AthenaType], files: Sequence[File]) -> dict[str, str]:
    """Return columns of Parquet files by name; one that a file stores as another type fails when it is read."""
    uris, stored, strange = {file.path: file.uri for file in files}, dict[str, set[str]](), dict[str, str]()
    for path, name, physical, logical in _top_level(con, list(uris)):
        type_ = columns.get(name)
        own = (duckdb_type(type_).replace('"', ""),) if type_ else ()
        if type_ and logical not in _STORED_AS.get(type_.name, own):
            where = f"Field {name}'s type {physical} in parquet file {uris[path]}"
            strange[name] = f"{where} is incompatible with type {type_} defined in table schema"
        stored.setdefault(name, set()).add(logical)
    shown = {}
    for name, type_ in columns.items():
        column, kinds = f"f.{quoted(name)}" if name in stored else "NULL", stored.get(name, set())
        if name in strange or kinds == {"VARCHAR", "BLOB"}:
            column = _raise("HIVE_BAD_DATA", strange.get(name, f"Field {name} is text in some files only"))
        elif type_ == VARCHAR and kinds == {"BLOB"}:
            column = f"decode({column})"
        shown[name] = f"CAST({column} AS {duckdb_type(type_)})"
    return shown


def _top_level(con: Connection, paths: list[str]) -> Iterable[tuple[str, str, str, str]]:
    """Yield path, name, physical and logical type of the columns of Parquet files, without what is inside of them."""
    rows = con.execute(
        "SELECT file_name, lower(name), coalesce(type, 'group'), coalesce(duckdb_type, ''), coalesce(num_children, 0) "
        "FROM parquet_schema(?)",
        [paths],
    ).fetchall()
    inside: list[int] = []
    for path, name, physical, logical, children in rows:
        while inside and inside[-1] == 0:
            inside.pop()
        if inside:
            inside[-1] -= 1
        if len(inside) == 1:
            yield path, name, physical, logical
        if children:
            inside.append(children)


def is_parquet(table: Json) -> bool:
    """Return whether the files of a table are Parquet."""
    return bool(table["StorageDescriptor"].get("SerdeInfo", {}).get("SerializationLibrary") == PARQUET)


def scanned(con: Connection, files: Sequence[File], used: Collection[str] | None) -> int:
    """Return the bytes of the column chunks in Parquet files that a query reads, by the names that it mentions.

    Args:
        con: The connection.
        files: The files.
        used: The names. None: all columns.
    """
    if not files:
        return 0
    chunks = con.execute(
        "SELECT lower(split_part(path_in_schema, ', ', 1)), sum(total_compressed_size)::BIGINT "
        "FROM parquet_metadata(?) GROUP BY 1",
        [[file.path for file in files]],
    ).fetchall()
    return sum(size for name, size in chunks if used is None or name in used)
