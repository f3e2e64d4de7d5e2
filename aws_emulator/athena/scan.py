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
from aws_emulator.athena.types import AthenaType, athena_type, duckdb_type, quoted
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
_STORED_AS: Final = {
    "boolean": ("BOOLEAN",),
    "tinyint": ("INT32",),
    "smallint": ("INT32",),
    "integer": ("INT32",),
    "bigint": ("INT64", "INT32"),
    "real": ("FLOAT",),
    "double": ("DOUBLE",),
    "decimal": ("INT32", "INT64", "FIXED_LEN_BYTE_ARRAY", "BYTE_ARRAY"),
    "varchar": ("BYTE_ARRAY",),
    "varbinary": ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"),
    "date": ("INT32",),
    "timestamp": ("INT64", "INT96"),
}
"""Types of Parquet in which a column of a type can be stored, as Trino's reader checks it (ParquetPageSourceFactory).

What a newer version takes besides, such as FLOAT for double, is refused."""


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
    storage, keys = table["StorageDescriptor"], table.get("PartitionKeys", [])
    columns = {column["Name"].lower(): athena_type(column["Type"]) for column in storage["Columns"]}
    types = [duckdb_type(key["Type"]) for key in keys]
    names = [key["Name"].lower() for key in keys]
    if not files:
        empty = [*((name, duckdb_type(type_)) for name, type_ in columns.items()), *zip(names, types, strict=True)]
        return f"SELECT {', '.join(f'NULL::{type_} AS {quoted(name)}' for name, type_ in empty)} WHERE false"
    source, shown = _source(con, table, columns, files)
    shown += [f"CAST(p.k{i} AS {t}) AS {quoted(n)}" for i, (n, t) in enumerate(zip(names, types, strict=True))]
    if not keys:
        return f"SELECT {', '.join(shown)} FROM {source} f"
    rows = ", ".join(f"({', '.join(map(literal, (file.path, *file.values)))})" for file in files)
    numbered = "".join(f", k{i}" for i in range(len(keys)))
    return f"SELECT {', '.join(shown)} FROM {source} f JOIN (VALUES {rows}) p(path{numbered}) ON f.filename = p.path"


def _source(
    con: Connection, table: Json, columns: dict[str, AthenaType], files: Sequence[File]
) -> tuple[str, list[str]]:
    """Return what reads files, and the columns as expressions of it."""
    serde = table["StorageDescriptor"].get("SerdeInfo", {})
    library, given = serde.get("SerializationLibrary", ""), serde.get("Parameters") or {}
    paths = f"[{', '.join(literal(file.path) for file in files)}], filename = true"
    if library == PARQUET:
        return f"read_parquet({paths}, union_by_name = true, hive_partitioning = false)", _parquet(con, columns, files)
    if bad := sorted(file.uri for file in files if file.path.endswith((".bz2", ".zst", ".lz4", ".snappy", ".deflate"))):
        raise NotEmulated(f"the compression of {bad[0]}")
    if library in _JSON:
        return _json(con, paths, given, columns)
    if library not in {_LAZY, _OPEN_CSV}:
        raise NotEmulated(f"SerDe {library!r}")
    skipped = int(table.get("Parameters", {}).get("skip.header.line.count", "0"))
    fields = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(columns)))
    options = f"auto_detect = false, header = false, skip = {skipped}, strict_mode = false, null_padding = true"
    if library == _OPEN_CSV:
        delimiter, quote, null = given.get("separatorChar", ","), given.get("quoteChar", '"'), "\x03"
        if given.get("escapeChar", "\\") not in {"\\", quote}:
            raise NotEmulated(f"escapeChar {given['escapeChar']!r} of OpenCSVSerde")
        convert = _open_csv
    else:
        delimiter, quote = given.get("field.delim", given.get("serialization.format", "\x01")), ""
        delimiter, null = (
            {"1": "\x01", "\\t": "\t"}.get(delimiter, delimiter),
            given.get("serialization.null.format", "\\N"),
        )
        if "escape.delim" in given:
            raise NotEmulated("escape.delim of LazySimpleSerDe")
        convert = _lazy
    options += f", delim = {literal(delimiter)}, quote = {literal(quote)}, escape = {literal(quote)}"
    shown = [f"{convert(f'f.c{i}', type_)} AS {quoted(name)}" for i, (name, type_) in enumerate(columns.items())]
    return f"read_csv({paths}, {options}, nullstr = {literal(null)}, columns = {{{fields}}})", shown


def _lazy(text: str, type_: AthenaType) -> str:
    """Return a text as LazySimpleSerDe reads it: what is not a value of the type is NULL.

    Hive's parsers and DuckDB's casts differ in forms such as ``1.5`` for an int; those are refused, not guessed.
    https://docs.aws.amazon.com/athena/latest/ug/lazy-simple-serde.html
    """
    cast = f"TRY_CAST({text} AS {duckdb_type(type_)})"
    digits = f"translate({text}, '0123456789', '')"
    plain = {
        "boolean": f"lower({text}) IN ('true', 'false')",
        **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), f"{digits} IN ('', '-')"),
        **dict.fromkeys(("real", "double", "decimal"), f"translate({text}, '0123456789+-.eE', '') IN ('', 'NaN')"),
        "date": f"{digits} = '--'",
        "timestamp": f"{digits} IN ('-- ::', '-- ::.')",
    }
    if type_.name == "varchar" and not type_.numbers:
        return text
    if type_.name not in plain:
        raise NotEmulated(f"type {type_} in a text file")
    strange = _raise("NOT_EMULATED", f"this form of a value of type {type_} in a text file")
    if type_.name == "boolean":
        strange = "NULL"
    return f"CASE WHEN {cast} IS NULL THEN NULL WHEN {plain[type_.name]} THEN {cast} ELSE {strange} END"


def _open_csv(text: str, type_: AthenaType) -> str:
    """Return a text as OpenCSVSerde reads it: dates and times are numbers, and an empty text is no number.

    https://docs.aws.amazon.com/athena/latest/ug/csv-serde.html
    """
    escaped = _raise("NOT_EMULATED", "a backslash in a file of OpenCSVSerde")
    if type_.name == "varchar" and not type_.numbers:
        return f"CASE WHEN contains({text}, '\\') THEN {escaped} ELSE {text} END"
    bad = _raise("HIVE_BAD_DATA", f"Error parsing field value for type {type_}")
    number = {"date": "INTEGER", "timestamp": "BIGINT", "boolean": "BOOLEAN", "double": "DOUBLE"}
    number |= {"integer": "INTEGER", "bigint": "BIGINT"}
    if type_.name not in number:
        raise NotEmulated(f"type {type_} with OpenCSVSerde")
    allowed = "+-.eE" if type_.name == "double" else "-"
    good = (
        f"lower({text}) IN ('true', 'false')"
        if type_.name == "boolean"
        else f"translate({text}, '0123456789{allowed}', '') = ''"
    )
    cast = f"TRY_CAST({text} AS {number[type_.name]})"
    value = {"date": f"(DATE '1970-01-01' + {cast})", "timestamp": f"make_timestamp({cast} * 1000)"}.get(
        type_.name, cast
    )
    return f"CASE WHEN {text} IS NULL THEN NULL WHEN {good} AND {cast} IS NOT NULL THEN {value} ELSE {bad} END"


def _json(con: Connection, paths: str, given: Json, columns: dict[str, AthenaType]) -> tuple[str, list[str]]:
    """Return what reads JSON lines; numbers come as texts, because DuckDB would round ``1.5`` for an int."""
    if {key for key in given if key not in {"serialization.format", "paths", "case.insensitive"}}:
        raise NotEmulated(f"SerDe properties {sorted(given)} of a JSON table")
    if nested := [name for name, type_ in columns.items() if "row" in str(type_) or "map" in str(type_)]:
        raise NotEmulated(f"column {nested[0]} of a nested type in a JSON table")
    keys = f"SELECT DISTINCT unnest(json_keys(json)) FROM read_json_objects({paths}, format = 'newline_delimited')"
    capital = [key for (key,) in con.execute(keys).fetchall() if key != key.lower() and key.lower() in columns]
    if capital:
        raise NotEmulated(f"key {capital[0]!r} with capital letters in a JSON table")
    types = {name: duckdb_type(type_) if type_.items else "VARCHAR" for name, type_ in columns.items()}
    fields = ", ".join(f"{literal(name)}: {literal(type_)}" for name, type_ in types.items())
    shown = [
        f"{f'f.{quoted(name)}' if type_.items else _json_value(f'f.{quoted(name)}', type_)} AS {quoted(name)}"
        for name, type_ in columns.items()
    ]
    return f"read_json({paths}, format = 'newline_delimited', columns = {{{fields}}})", shown


def _json_value(text: str, type_: AthenaType) -> str:
    if type_.name == "varchar" and not type_.numbers:
        return text
    value = _lazy(text, type_)
    bad = _raise("HIVE_BAD_DATA", f"Error parsing a JSON value as {type_}")
    return f"CASE WHEN {text} IS NOT NULL AND ({value}) IS NULL THEN {bad} ELSE {value} END"


def _parquet(con: Connection, columns: dict[str, AthenaType], files: Sequence[File]) -> list[str]:
    """Return columns of Parquet files by name; one that a file stores as another type fails when it is read."""
    uris, stored = {file.path: file.uri for file in files}, dict[str, set[tuple[str, str]]]()
    strange: dict[str, str] = {}
    for path, name, physical, logical in _top_level(con, list(uris)):
        if (type_ := columns.get(name)) is None:
            continue
        stored.setdefault(name, set()).add((physical, logical))
        fits = (
            physical in _STORED_AS.get(type_.name, ())
            if not type_.items
            else logical.lower() == duckdb_type(type_).replace('"', "").lower()
        )
        if not fits:
            where = f"Field {name}'s type {physical} in parquet file {uris[path]}"
            strange.setdefault(name, f"{where} is incompatible with type {type_} defined in table schema")
    shown = []
    for name, type_ in columns.items():
        column, target = f"f.{quoted(name)}", duckdb_type(type_)
        kinds = {pair[1] for pair in stored.get(name, ())}
        if name in strange:
            column = _raise("HIVE_BAD_DATA", strange[name])
        elif name not in stored:
            column = "NULL"
        elif target == "VARCHAR" and "BLOB" in kinds:
            column = f"decode({column})" if kinds == {"BLOB"} else _raise("NOT_EMULATED", "texts and bytes in files")
        shown.append(
            f"CAST({column} AS {target}) AS {quoted(name)}" if kinds != {target} else f"{column} AS {quoted(name)}"
        )
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


def scanned(con: Connection, table: Json, files: Sequence[File], used: Collection[str] | None) -> int:
    """Return an estimate of the bytes that a query reads: the chunks of its columns in Parquet, else whole files.

    Args:
        con: The connection.
        table: Record of the table in Glue.
        files: Its files.
        used: Names that the query mentions. None: all columns.
    """
    if table["StorageDescriptor"].get("SerdeInfo", {}).get("SerializationLibrary") != PARQUET or not files:
        return sum(file.size for file in files)
    chunks = con.execute(
        "SELECT lower(split_part(path_in_schema, ', ', 1)), sum(total_compressed_size)::BIGINT "
        "FROM parquet_metadata(?) GROUP BY 1",
        [[file.path for file in files]],
    ).fetchall()
    return sum(size for name, size in chunks if used is None or name in used)
