"""What statements do: SELECT with the files of its results, and UNLOAD.

https://docs.aws.amazon.com/athena/latest/ug/querying-finding-output-files.html and unload.html
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote

from botocore.exceptions import ClientError

from aws_emulator import core, inside
from aws_emulator.athena import binding, engine, scan, translation, values
from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.types import BIGINT, AthenaType, quoted
from aws_emulator.athena.workgroups import cancel
from aws_emulator.clock import clock
from aws_emulator.core import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from aws_emulator.athena.scan import Connection
    from aws_emulator.core import Json
    from aws_emulator.iam.callers import Caller

Finish: TypeAlias = "Callable[[], None]"
"""What a statement does once everything is read and DuckDB's memory is free: it sends files."""
_UNLOAD: Final = re.compile(r"UNLOAD\s*\((.*)\)\s*TO\s*'(s3://[^']+)'\s*WITH\s*\((.*)\)", re.IGNORECASE | re.DOTALL)
_COMPRESSION: Final = {"GZIP": "gzip", "SNAPPY": "snappy", "ZSTD": "zstd", "NONE": "uncompressed"}
_ENCRYPTION: Final = {"SSE_S3": "AES256", "SSE_KMS": "aws:kms"}
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
_PRECISION: Final = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19, "real": 17, "double": 17, "timestamp": 3}
_LONGEST: Final = {"varchar": 2_147_483_647, "varbinary": 1_073_741_824}


_starting: Final = clock.lock()


def parts(statement: str) -> tuple[binding.Tree, tuple[str, ...]]:
    """Return the parsed query of a statement, and of UNLOAD its location and its properties.

    Raises:
        QueryError: It cannot be parsed: such a statement is not started.
    """
    match = _UNLOAD.fullmatch(statement)
    text, *rest = match.groups() if match else (statement,)
    return translation.parse(text), tuple(rest)


def _folder(name: str) -> Path:
    return core.organization().work_dir / "athena" / name


@functools.cache
def _database() -> Connection:
    """Return the one database, with the functions of Athena: all queries together keep to its limits."""
    con = engine.connect()
    for name, value in {**_OF_THE_ENGINE, "temp_directory": scan.literal(str(_folder("tmp")))}.items():
        con.execute(f"SET {name} = {value}")
    return con


@contextlib.contextmanager
def _connected(query: Json) -> Iterator[Connection]:
    """Connect with views of its own for a query, until everything is read."""
    with _starting:  # two queries can be the first one
        database = _database()
    con, name = database.cursor(), f"q{clock.random_id(32)}"
    con.execute(f"ATTACH ':memory:' AS {name}; SET search_path = '{name}.main,memory.main'")
    for setting, value in _OF_A_QUERY.items():
        con.execute(f"SET SESSION {setting} = {value}")
    query["connection"] = con
    try:
        yield con
    finally:
        query.pop("connection")
        con.close()
        database.cursor().execute(f"DETACH {name}")


def execute(query: Json, who: Caller, tree: binding.Tree, rest: Sequence[str]) -> None:
    """Do what a statement says, for a caller; results and numbers go into the record of the query.

    Args:
        query: Its record.
        who: The caller.
        tree: As of `parts`; it is changed.
        rest: As of `parts`.

    Raises:
        QueryError: The query fails.
    """
    folder = _folder(query["QueryExecutionId"])
    folder.mkdir(parents=True)
    with _connected(query) as con:
        database = query["QueryExecutionContext"].get("Database", "default").lower()
        translated, scanned = binding.bind(con, tree, who, database)
        query["Statistics"]["DataScannedInBytes"] = scanned
        if query["cutoff"] and scanned > query["cutoff"]:
            query["Statistics"]["DataScannedInBytes"] = query["cutoff"]
            cancel(query, "Bytes scanned limit was exceeded")
            return
        job = _Job(query, who, folder)
        finish = _unload(job, con, translated, *rest) if rest else _select(job, con, translated)
    finish()


class _Job:
    """A query, and what it writes in the name of its caller, with the caller's own session."""

    def __init__(self, query: Json, who: Caller, folder: Path) -> None:
        self.query, self.who, self.folder = query, who, folder
        session = inside.sts.sessions.get(who.access_key)
        keys = session and Credentials(
            access_key=who.access_key, secret_key=session["SecretAccessKey"], token=session["SessionToken"]
        )
        self.s3 = core.client("s3", credentials=keys)

    def put(self, uri: str, content: bytes | Path, *, owner: bool = True) -> None:
        """Write an object, encrypted as the results of the query are.

        Args:
            uri: Where.
            content: What, or a file with it.
            owner: Whether the bucket has to belong to whom the results' has to (ExpectedBucketOwner).

        Raises:
            QueryError: The caller is not allowed to, or the query was cancelled.
        """
        results = self.query["ResultConfiguration"]
        encryption = results.get("EncryptionConfiguration", {})
        more = {"ServerSideEncryption": _ENCRYPTION[encryption["EncryptionOption"]]} if encryption else {}
        more |= {"SSEKMSKeyId": encryption["KmsKey"]} if "KmsKey" in encryption else {}
        if owner and "ExpectedBucketOwner" in results:
            more["ExpectedBucketOwner"] = results["ExpectedBucketOwner"]
        bucket, key = uri.removeprefix("s3://").split("/", 1)
        if self.query["Status"]["State"] == "CANCELLED":
            raise QueryError("USER_CANCELED", "Query was canceled")
        with contextlib.ExitStack() as stack:
            body = content if isinstance(content, bytes) else stack.enter_context(content.open("rb"))
            try:
                self.s3.put_object(Bucket=bucket, Key=key, Body=body, **more)
            except ClientError as error:
                raise QueryError(
                    "PERMISSION_DENIED",
                    f"Access denied when writing output to url: {uri} . Please ensure you are allowed to access the S3 "
                    "bucket. If you are encrypting query results with KMS key, please ensure you are allowed to access "
                    f"your KMS key. {error.response['Error']['Message']}",
                ) from error


def _column_info(name: str, type_: AthenaType) -> Json:
    known = {"CatalogName": "hive", "SchemaName": "", "TableName": "", "Nullable": "UNKNOWN"}
    precision, scale = (*type_.numbers, 0)[:2] if type_.numbers else ({**_PRECISION, **_LONGEST}.get(type_.name, 0), 0)
    shown = {"Name": name, "Label": name, "Type": "float" if type_.name == "real" else type_.name}
    return {
        **known,
        **shown,
        "Precision": precision,
        "Scale": scale,
        "CaseSensitive": type_.name in {"varchar", "char"},
    }


def _select(job: _Job, con: Connection, query: translation.Query) -> Finish:
    """Write rows as CSV, every value in quotation marks and NULL as nothing, and as JSON for GetQueryResults."""
    con.execute(query.sql)
    shown, rows = job.folder / "results.csv", job.folder / "rows.jsonl"
    types = [type_ for _, type_ in query.columns]
    with shown.open("w", encoding="utf-8", newline="") as csv, rows.open("w", encoding="utf-8") as lines:

        def write(texts: Sequence[str | None]) -> None:
            csv.write(",".join("" if text is None else '"' + text.replace('"', '""') + '"' for text in texts) + "\n")
            lines.write(json.dumps(texts) + "\n")

        write([name for name, _ in query.columns])
        while found := con.fetchmany(10_000):
            for row in found:
                write([values.text(value, type_) for value, type_ in zip(row, types, strict=True)])

    def finish() -> None:
        job.put(job.query["ResultConfiguration"]["OutputLocation"], shown)
        job.query |= {"rows": rows, "columns": [_column_info(*column) for column in query.columns], "count": 0}

    return finish


def _unload(job: _Job, con: Connection, query: translation.Query, location: str, properties: str) -> Finish:
    """Write rows as Parquet below a location that is empty or, with partitions, beside what is there."""
    given = re.findall(r"(\w+)\s*=\s*('[^']*'|ARRAY\s*\[[^\]]*\]|\d+)", properties, re.IGNORECASE)
    options = {name.lower(): value.strip("'") for name, value in given}
    compression = options.pop("compression", "GZIP").upper()
    keys = [key.lower() for key in re.findall(r"'([^']+)'", options.pop("partitioned_by", ""))]
    if options != {"format": options.get("format")} or options["format"].upper() != "PARQUET":
        raise NotEmulated(f"UNLOAD with {options}: use format PARQUET, compression, partitioned_by")
    if compression not in _COMPRESSION:
        raise NotEmulated(f"compression {compression!r} of UNLOAD")
    _check_columns(query, keys)
    if not keys and scan.Reader(who=job.who).listed(location):
        raise QueryError(
            "HIVE_PATH_ALREADY_EXISTS",
            f"Target directory for table '{job.query['QueryExecutionId']}' already exists: {location}. You may need to "
            f"manually clean the data at location '{job.query['folder']}' before retrying. Athena will not delete data "
            "in your account.",
        )
    to, parted = job.folder / "out", f", PARTITION_BY ({', '.join(map(quoted, keys))})" if keys else ""
    form = f"FORMAT parquet, COMPRESSION {_COMPRESSION[compression]}, FILE_SIZE_BYTES '{_FILE_SIZE}'{parted}"
    con.execute("SET SESSION preserve_insertion_order = false")
    (count,) = con.execute(f"COPY ({query.sql}) TO {scan.literal(str(to))} ({form})").fetchone()
    files = sorted(path for path in to.rglob("*.parquet") if count)
    if len({path.parent for path in files}) > _MOST_PARTITIONS:
        text = f"Exceeded limit of {_MOST_PARTITIONS} open writers for partitions/buckets"
        raise QueryError("HIVE_TOO_MANY_OPEN_PARTITIONS", text)

    def finish() -> None:
        id_, stamp, uris = job.query["QueryExecutionId"], clock.shown(form="%Y%m%d_%H%M%S"), []
        for number, path in enumerate(files):
            name = f"{stamp}_{number:05}_{id_[:8]}_{clock.uuid()}"
            uris.append("/".join([location.rstrip("/"), *map(_as_hive, path.relative_to(to).parts[:-1]), name]))
            job.put(uris[-1], path, owner=False)
            path.unlink()
        manifest = f"{job.query['folder']}/{id_}-manifest.csv"
        job.put(manifest, "".join(f"{uri}\n" for uri in uris).encode())
        job.query["Statistics"]["DataManifestLocation"] = manifest
        job.query |= {"columns": [_column_info("rows", BIGINT)], "count": count}

    return finish


def _as_hive(folder: str) -> str:
    """Return the folder of a partition as Hive writes its value; DuckDB escapes more (``FileUtils.escapePathName``)."""
    key, _, value = folder.partition("=")
    return f"{key}=" + re.sub(r"[\x00-\x1f\x7f\"#%'*/:=?\\{}\[\]^]", lambda m: f"%{ord(m[0]):02X}", unquote(value))


def _check_columns(query: translation.Query, keys: list[str]) -> None:
    """Check that files can have the columns of a query.

    Raises:
        QueryError: A name is missing or twice there, a type cannot be written, or keys are not the last columns.
    """
    columns = [name.lower() for name, _ in query.columns]
    for position, (name, (_, type_)) in enumerate(zip(columns, query.columns, strict=True)):
        if name == f"_col{position}":  # as `translation` calls columns without a name
            raise QueryError("MISSING_COLUMN_NAME", f"line 1:1: Column name not specified at position {position + 1}")
        if name in columns[:position]:
            raise QueryError("DUPLICATE_COLUMN_NAME", f"line 1:1: Column name '{name}' specified more than once")
        if type_.name == "unknown":
            raise QueryError("COLUMN_TYPE_UNKNOWN", f"line 1:1: Column type is unknown at position {position + 1}")
        if re.search(r"\b(interval|json|time|unknown)\b|with time zone", str(type_)):
            raise QueryError("NOT_SUPPORTED", f"Unsupported Hive type: {type_}")
    if keys == columns:
        raise QueryError("INVALID_TABLE_PROPERTY", "Table contains only partition columns")
    if keys != columns[len(columns) - len(keys) :]:
        words = "Partition keys must be the last columns in the table and in the same order as the table properties"
        raise QueryError("HIVE_COLUMN_ORDER_MISMATCH", f"{words}: {keys}")
