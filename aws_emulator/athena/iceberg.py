# ruff: noqa: S608 - names are quoted, texts are literals, conditions are translated
"""Iceberg tables: PyIceberg says which files a snapshot has, DuckDB reads them by the ids of their fields.

https://docs.aws.amazon.com/athena/latest/ug/querying-iceberg-table-data.html and
querying-iceberg-time-travel-and-version-travel-queries.html. PyIceberg is imported when the first query needs it.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from aws_emulator import s3_files
from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.scan import File, Reader, literal
from aws_emulator.athena.types import athena_type, duckdb_type, quoted

if TYPE_CHECKING:
    from aws_emulator.core import Json
    from aws_emulator.lakeformation.access import Access

_TYPES: Final = {"long": "BIGINT", "int": "INTEGER", "string": "VARCHAR", "binary": "BLOB", "float": "FLOAT"}


def is_iceberg(table: Json) -> bool:
    """Return whether a table of Glue is one of Iceberg."""
    return str(table.get("Parameters", {}).get("table_type", "")).upper() == "ICEBERG"


def current(found: Access) -> Access:
    """Return what may be read without columns of the past, which Iceberg's writers keep in Glue as not current."""
    storage = found.glue["StorageDescriptor"]
    columns = [c for c in storage["Columns"] if c.get("Parameters", {}).get("iceberg.field.current") != "false"]
    kept, names = {**found.glue, "StorageDescriptor": {**storage, "Columns": columns}}, {c["Name"] for c in columns}
    return replace(found, glue=kept, columns=tuple(name for name in found.columns if name in names))


def relation(reader: Reader, table: Json, version: tuple[str, int] | None) -> tuple[str, list[File]]:
    """Return a SELECT of the columns of a snapshot, and its files.

    Args:
        reader: Who reads.
        table: Record of the table in Glue.
        version: ``("VERSION", snapshot id)`` or ``("TIMESTAMP", milliseconds since 1970)``. Default: the newest.

    Raises:
        QueryError: There is no such snapshot (ICEBERG_… as Trino), or a file cannot be read.
        NotEmulated: The snapshot has deleted rows, or other columns than the table.
    """
    location = table["Parameters"]["metadata_location"]
    found = _opened(reader, location)
    snapshot = found.current_snapshot()
    if version:
        kind, number = version
        snapshot = found.snapshot_by_id(number) if kind == "VERSION" else found.snapshot_as_of_timestamp(number)
        if snapshot is None:
            raise QueryError("INVALID_ARGUMENTS", f"No version history table {table['Name']} at or before {number}")
    columns = {column["Name"]: athena_type(column["Type"]) for column in table["StorageDescriptor"]["Columns"]}
    names = ", ".join(f"NULL::{duckdb_type(type_)} AS {quoted(name)}" for name, type_ in columns.items())
    if snapshot is None:
        return f"SELECT {names} WHERE false", []
    scan = found.scan(snapshot_id=snapshot.snapshot_id)
    tasks, fields = list(scan.plan_files()), scan.projection().fields
    if [field.name for field in fields] != list(columns):
        raise NotEmulated(f"a snapshot of {table['Name']} with other columns than the table")
    if any(task.delete_files for task in tasks):
        raise NotEmulated(f"deleted rows in a snapshot of {table['Name']}")
    kept = []
    for field in fields:
        kind, type_ = str(field.field_type), duckdb_type(columns[field.name])
        if _TYPES.get(kind, kind.upper().replace(" ", "")) != type_:
            raise NotEmulated(f"column {field.name}, which is {kind} in Iceberg and {type_} in Glue")
        kept.append(f"{field.field_id}: {{name: {literal(field.name)}, type: {literal(type_)}, default_value: NULL}}")
    files = [_file(reader, task.file.file_path) for task in tasks]
    if not files:
        return f"SELECT {names} WHERE false", []
    source = f"read_parquet([{', '.join(literal(file.path) for file in files)}], schema = MAP {{{', '.join(kept)}}})"
    return f"SELECT {', '.join(map(_shown, columns, columns.values()))} FROM {source}", files


def _shown(name: str, type_: object) -> str:
    """Return a column; times with microseconds, which Athena would show, are refused when they are read."""
    column = quoted(name)
    if str(type_) != "timestamp":
        return column
    refusal = "error('TRINO NOT_EMULATED: microseconds in a timestamp of an Iceberg table')"
    return f"CASE WHEN microsecond({column}) % 1000 = 0 THEN {column} ELSE {refusal} END AS {column}"


def _file(reader: Reader, uri: str) -> File:
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    record = (s3_files.objects(bucket) or {}).get(key)
    if record is None:
        raise QueryError("ICEBERG_CANNOT_OPEN_SPLIT", f"Error opening Iceberg split {uri}")
    reader.require(bucket, key, record)
    return File(uri, str(s3_files.file_of(bucket, key, record)), record["size"], ())


def _opened(reader: Reader, location: str) -> Any:  # noqa: ANN401 - a table of PyIceberg
    base = importlib.import_module("pyiceberg.io").FileIO
    local = importlib.import_module("pyiceberg.io.pyarrow").PyArrowFileIO()

    class Objects(base):  # type: ignore[misc, valid-type] # PyIceberg is in another environment
        """Files of the emulated S3, for the reader."""

        def new_input(self, location: str) -> object:
            return local.new_input(_file(reader, location).path)

        def new_output(self, location: str) -> object:
            raise NotEmulated(f"writing {location} of an Iceberg table")

        def delete(self, location: object) -> None:
            raise NotEmulated(f"deleting {location} of an Iceberg table")

    objects = Objects()
    metadata = importlib.import_module("pyiceberg.serializers").FromInputFile.table_metadata(
        objects.new_input(location)
    )
    catalog = importlib.import_module("pyiceberg.catalog.noop").NoopCatalog("glue")
    return importlib.import_module("pyiceberg.table").Table(("table",), metadata, location, objects, catalog)
