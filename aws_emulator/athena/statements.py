"""What statements do: UNLOAD, CREATE TABLE AS, views, and other changes of the catalog.

The catalog is changed through Glue in the name of the caller, so IAM and Lake Formation decide about it there.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import re
from typing import TYPE_CHECKING, Final

from aws_emulator import core, inside
from aws_emulator.athena import binding, engine, scan, translation
from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.executions import cancel
from aws_emulator.athena.results import Finish, Job, column_info, metadata, select
from aws_emulator.athena.types import BIGINT, quoted
from aws_emulator.clock import clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aws_emulator.core import Json
    from aws_emulator.iam.callers import Caller

_UNLOAD: Final = re.compile(r"UNLOAD\s*\((.*)\)\s*TO\s*'(s3://[^']+)'\s*WITH\s*\((.*)\)", re.IGNORECASE | re.DOTALL)
_CTAS: Final = re.compile(
    r"CREATE\s+TABLE\s+(IF\s+NOT\s+EXISTS\s+)?(\S+)\s+(?:WITH\s*\((.*?)\)\s*)?AS\s+(\(?\s*(?:SELECT|WITH|VALUES)\b.*)",
    re.IGNORECASE | re.DOTALL,
)
_VIEW: Final = re.compile(r"CREATE\s+(OR\s+REPLACE\s+)?VIEW\s+(\S+)\s+AS\s+(.*)", re.IGNORECASE | re.DOTALL)
_NAMED: Final = re.compile(r"(?:DROP\s+(?:TABLE|VIEW)|MSCK\s+REPAIR\s+TABLE)\s+(IF\s+EXISTS\s+)?(\S+)", re.IGNORECASE)
_QUERIES: Final = {
    "SELECT": None,
    "UNLOAD": (_UNLOAD, 1),
    "CREATE_TABLE_AS_SELECT": (_CTAS, 4),
    "CREATE_VIEW": (_VIEW, 3),
}
_COMPRESSION: Final = {"GZIP": "gzip", "SNAPPY": "snappy", "ZSTD": "zstd", "NONE": "uncompressed"}
_UNWRITABLE: Final = ("interval", "json", "time", "unknown")
_MOST_PARTITIONS: Final = 100
_FILE_SIZE: Final = "16MB"
_OF_THE_ENGINE: Final = {"enable_external_file_cache": "false", "memory_limit": "'140MB'", "threads": "2"}
_OF_A_QUERY: Final = {
    "default_null_order": "'nulls_last'",
    "enable_progress_bar": "false",
    "partitioned_write_flush_threshold": "16384",
    "TimeZone": "'UTC'",
}
"""Settings of DuckDB with which ten million rows are written in less than 400 MB; what exceeds it goes to disk."""


def check(sub: str, statement: str) -> None:
    """Parse the query of a statement: one with a mistake is not started.

    Raises:
        QueryError: It cannot be parsed.
    """
    if sub in _QUERIES:
        translation.parse(_query_of(sub, statement))


def _query_of(sub: str, statement: str) -> str:
    form = _QUERIES[sub]
    if form is None:
        return statement
    match = form[0].fullmatch(statement)
    if match is None:
        raise QueryError("SYNTAX_ERROR", f"Not understood here as {sub}: {statement[:100]}")
    return match[form[1]]


@functools.cache
def _database() -> scan.Connection:
    """Return the one database, with the functions of Athena: all queries together keep to its limits."""
    con = engine.connect()
    for name, value in {**_OF_THE_ENGINE, "temp_directory": scan.literal(str(_folder("tmp")))}.items():
        con.execute(f"SET {name} = {value}")
    return con


def _folder(name: str) -> Path:
    return core.organization().work_dir / "athena" / name


@contextlib.contextmanager
def _connected(query: Json) -> Iterator[scan.Connection]:
    """Connect with views of its own for a query, until it ends or has read everything (`Job.close`)."""
    con, name = _database().cursor(), f"q{clock.uuid().replace('-', '')}"
    con.execute(f"ATTACH ':memory:' AS {name}; SET search_path = '{name}.main,memory.main'")
    for setting, value in _OF_A_QUERY.items():
        con.execute(f"SET SESSION {setting} = {value}")
    query["connection"] = con
    try:
        yield con
    finally:
        query.pop("connection")
        con.close()
        _database().cursor().execute(f"DETACH {name}")


def execute(query: Json, who: Caller, statement: str) -> None:
    """Do what a statement says, for a caller; results and numbers go into the record of the query.

    Raises:
        QueryError: The query fails.
    """
    sub, folder = query["SubstatementType"], _folder(query["QueryExecutionId"])
    job = Job(query, who)
    if sub not in _QUERIES:
        return _change(job, sub, statement)
    folder.mkdir(parents=True)
    with _connected(query) as con:
        tree = translation.parse(_query_of(sub, statement))
        bound = binding.bind(con, tree, who, job.database)
        query["Statistics"]["DataScannedInBytes"] = bound.scanned
        if query["cutoff"] and bound.scanned > query["cutoff"]:
            query["Statistics"]["DataScannedInBytes"] = query["cutoff"]
            cancel(query, "Bytes scanned limit was exceeded")
            return None
        done = {"SELECT": select, "UNLOAD": _unload, "CREATE_TABLE_AS_SELECT": _create_table_as, "CREATE_VIEW": _view}
        finish = done[sub](job, con, bound.query, folder, statement)
    return finish()


# ---- written files --------------------------------------------------------------------------------------------------


def _options(text: str) -> dict[str, str]:
    """Return the properties of a statement by name, as they are written."""
    found = dict(re.findall(r"(\w+)\s*=\s*('[^']*'|ARRAY\s*\[[^\]]*\]|\d+)", text, re.IGNORECASE))
    return {name.lower(): value.strip("'") for name, value in found.items()}


def _unload(job: Job, con: scan.Connection, query: translation.Query, folder: Path, statement: str) -> Finish:
    """Write the rows as Parquet below a location that is empty, or, with partitions, beside what is there.

    https://docs.aws.amazon.com/athena/latest/ug/unload.html
    """
    match = _UNLOAD.fullmatch(statement)
    options = _options(match[3] if match else "")
    if known := options.keys() - {"format", "compression", "partitioned_by"}:
        raise NotEmulated(f"property {sorted(known)[0]!r} of UNLOAD")
    return _written(job, con, query, folder, str(match and match[2]), options)


def _written(  # noqa: PLR0917 - what is written, and how
    job: Job,
    con: scan.Connection,
    query: translation.Query,
    folder: Path,
    location: str,
    options: dict[str, str],
) -> Finish:
    """Write the rows of a query into files, which are put below a location when the query is finished."""
    if options.get("format", "").upper() != "PARQUET":
        raise NotEmulated(f"format {options.get('format')!r} of written files: use PARQUET")
    compression = options.get("compression", options.get("write_compression", "GZIP")).upper()
    if compression not in _COMPRESSION:
        raise NotEmulated(f"compression {compression!r} of written files")
    columns = [name.lower() for name, _ in query.columns]
    keys = [key.lower() for key in re.findall(r"'([^']+)'", options.get("partitioned_by", ""))]
    _check_columns(query, columns, keys)
    reader = scan.Reader(who=job.who)
    if not keys and reader.listed(location):
        raise QueryError(
            "HIVE_PATH_ALREADY_EXISTS",
            f"Target directory for table '{job.database}.{job.query['QueryExecutionId']}' already exists: {location}. "
            f"You may need to manually clean the data at location '{job.query['folder']}' before retrying. Athena "
            "will not delete data in your account.",
        )
    parted = f", PARTITION_BY ({', '.join(map(quoted, keys))})" if keys else ""
    to = folder / "out"
    form = f"FORMAT parquet, COMPRESSION {_COMPRESSION[compression]}, FILE_SIZE_BYTES '{_FILE_SIZE}'{parted}"
    con.execute("SET SESSION preserve_insertion_order = false")
    counted = con.execute(f"COPY ({query.sql}) TO {scan.literal(str(to))} ({form})").fetchone()
    files = sorted(path for path in to.rglob("*.parquet") if counted[0])
    if len({path.parent for path in files}) > _MOST_PARTITIONS:
        text = f"Exceeded limit of {_MOST_PARTITIONS} open writers for partitions/buckets"
        raise QueryError("HIVE_TOO_MANY_OPEN_PARTITIONS", text)

    def finish() -> None:
        id_, stamp, uris = job.query["QueryExecutionId"], clock.shown(form="%Y%m%d_%H%M%S"), []
        for number, path in enumerate(files):
            name = f"{stamp}_{number:05}_{id_[:8]}_{clock.uuid()}"
            uris.append("/".join([location.rstrip("/"), *path.relative_to(to).parts[:-1], name]))
            job.put(uris[-1], path, owner=False)
            path.unlink()
        manifest, info = f"{job.query['folder']}/{id_}-manifest.csv", [column_info("rows", BIGINT)]
        job.put(manifest, "".join(f"{uri}\n" for uri in uris).encode())
        job.put(f"{job.results}.metadata", metadata(id_, info))
        job.query["Statistics"]["DataManifestLocation"] = manifest
        job.query |= {"columns": info, "count": counted[0]}

    return finish


def _check_columns(query: translation.Query, columns: list[str], keys: list[str]) -> None:
    """Check that a table or files can have the columns of a query.

    Raises:
        QueryError: A name is missing or twice there, a type cannot be written, or keys are not the last columns.
    """
    for position, name in enumerate(columns):
        if name == f"_col{position}":  # as `translation` calls columns without a name
            raise QueryError("MISSING_COLUMN_NAME", f"line 1:1: Column name not specified at position {position + 1}")
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise QueryError("DUPLICATE_COLUMN_NAME", f"line 1:1: Column name '{twice[0]}' specified more than once")
    for name, type_ in query.columns:
        if type_.name == "unknown":
            raise QueryError(
                "COLUMN_TYPE_UNKNOWN", f"line 1:1: Column type is unknown at position {columns.index(name) + 1}"
            )
        if re.search(rf"\b({'|'.join(_UNWRITABLE)})\b|with time zone", str(type_)):
            raise QueryError("NOT_SUPPORTED", f"Unsupported Hive type: {type_}")
    if keys == columns:
        raise QueryError("INVALID_TABLE_PROPERTY", "Table contains only partition columns")
    if keys != columns[len(columns) - len(keys) :]:
        raise QueryError("HIVE_COLUMN_ORDER_MISMATCH", "Partition keys must be the last columns in the table and in "
                         f"the same order as the table properties: {keys}")  # fmt: skip


_HIVE_TYPES: Final = {"integer": "int", "varchar": "string", "real": "float", "varbinary": "binary"}


def _create_table_as(job: Job, con: scan.Connection, query: translation.Query, folder: Path, statement: str) -> Finish:
    """Write the rows, and make the table of them; of nested types and partitions only what UNLOAD needs is here."""
    match = _CTAS.fullmatch(statement)
    database, table = job.place(match[2] if match else "")
    options = {"format": "PARQUET", **_options((match and match[3]) or "")}
    if known := options.keys() - {"format", "external_location", "write_compression", "parquet_compression"}:
        raise NotEmulated(f"property {sorted(known)[0]!r} of CREATE TABLE AS")
    if any(type_.items for _, type_ in query.columns):
        raise NotEmulated("CREATE TABLE AS with columns of nested types")
    options["compression"] = options.get("write_compression", options.get("parquet_compression", "GZIP"))
    location = options.get("external_location", job.results)
    put_files = _written(job, con, query, folder, location, options)
    hive = [{"Name": name, "Type": _HIVE_TYPES.get(type_.name, str(type_))} for name, type_ in query.columns]
    formats = "org.apache.hadoop.hive.ql.io.parquet.MapredParquet"
    storage = {"Columns": hive, "Location": location, "SerdeInfo": {"SerializationLibrary": scan.PARQUET}}
    storage |= {"InputFormat": f"{formats}InputFormat", "OutputFormat": f"{formats}OutputFormat"}
    made = {"Name": table, "TableType": "EXTERNAL_TABLE", "StorageDescriptor": storage, "PartitionKeys": []}

    def finish() -> None:
        put_files()
        job.glue("create_table", DatabaseName=database, TableInput={**made, "Parameters": {"EXTERNAL": "TRUE"}})

    return finish


# ---- the catalog ----------------------------------------------------------------------------------------------------


def _view(job: Job, _con: scan.Connection, query: translation.Query, _folder: Path, statement: str) -> Finish:
    """Keep a view as Presto does: its query and columns in a comment of the table's text."""
    match = _VIEW.fullmatch(statement)
    replace, name, text = match.groups() if match else (None, "", "")
    database, view = job.place(name)
    columns = [{"name": name, "type": str(type_)} for name, type_ in query.columns]
    content = {"originalSql": text, "catalog": "awsdatacatalog", "schema": job.database, "columns": columns}
    encoded = base64.b64encode(json.dumps(content).encode()).decode()
    hive = [{"Name": name, "Type": _HIVE_TYPES.get(type_.name, str(type_))} for name, type_ in query.columns]
    made = {"Name": view, "TableType": "VIRTUAL_VIEW", "StorageDescriptor": {"Columns": hive}, "PartitionKeys": []}
    made |= {"ViewOriginalText": f"/* Presto View: {encoded} */", "ViewExpandedText": "/* Presto View */"}
    made["Parameters"] = {"presto_view": "true", "comment": "Presto View"}

    def finish() -> None:
        try:
            job.glue("create_table", DatabaseName=database, TableInput=made)
        except QueryError as error:
            if error.name != "AlreadyExistsException" or not replace:
                raise
            job.glue("update_table", DatabaseName=database, TableInput=made)

    return finish


def _change(job: Job, sub: str, statement: str) -> None:
    """Change the catalog as the caller; files stay."""
    if sub == "CREATE_TABLE":
        ddl = inside.athena.parse_ddl(statement)
        if ddl is None or ddl.iceberg or not ddl.location:
            raise NotEmulated("this form of CREATE EXTERNAL TABLE")
        with contextlib.suppress(QueryError) if ddl.if_not_exists else contextlib.nullcontext():
            made = inside.athena.create_table_input(ddl)
            job.glue("create_table", DatabaseName=(ddl.database or job.database).lower(), TableInput=made)
    elif (match := _NAMED.fullmatch(statement)) is None:
        raise NotEmulated(f"this form of {sub}")
    elif sub == "MSCK_REPAIR_TABLE":
        _repair(job, *job.place(match[2]))
    else:
        database, table = job.place(match[2])
        try:
            job.glue("delete_table", DatabaseName=database, Name=table)
        except QueryError as error:
            if error.name != "EntityNotFoundException" or not match[1]:
                raise
    job.put(job.results, b"")
    job.query["columns"] = []


def _repair(job: Job, database: str, name: str) -> None:
    """Register the folders that are named like partitions (https://docs.aws.amazon.com/athena/latest/ug/msck-repair-table.html)."""
    table = job.glue("get_table", DatabaseName=database, Name=name)["Table"]
    location, keys = table["StorageDescriptor"]["Location"].rstrip("/"), table["PartitionKeys"]
    known = {
        tuple(p["Values"]) for p in job.glue("get_partitions", DatabaseName=database, TableName=name)["Partitions"]
    }
    pattern = re.escape(location) + "".join(f"/{re.escape(key['Name'])}=([^/]+)" for key in keys)
    for folder in scan.Reader(who=job.who).folders(f"{location}/"):
        match = re.fullmatch(pattern, folder)
        if match and match.groups() not in known:
            storage = {**table["StorageDescriptor"], "Location": folder}
            made = [{"Values": list(match.groups()), "StorageDescriptor": storage}]
            job.glue("batch_create_partition", DatabaseName=database, TableName=name, PartitionInputList=made)
