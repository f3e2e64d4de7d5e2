"""What a query may do in the name of its caller, and the files of its results."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botocore.exceptions import ClientError

from aws_emulator import core, inside
from aws_emulator.athena import values
from aws_emulator.athena.errors import QueryError
from aws_emulator.core import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from aws_emulator.athena.scan import Connection
    from aws_emulator.athena.translation import Query
    from aws_emulator.athena.types import AthenaType
    from aws_emulator.core import AwsClient, Json
    from aws_emulator.iam.callers import Caller

_ENCRYPTION: Final = {"SSE_S3": "AES256", "SSE_KMS": "aws:kms"}
_PRECISION: Final = {
    "bigint": 19,
    "double": 17,
    "integer": 10,
    "real": 17,
    "smallint": 5,
    "timestamp": 3,
    "tinyint": 3,
    "varbinary": 1_073_741_824,
    "varchar": 2_147_483_647,
}
"""What Athena says of a type, besides of decimals and texts of a length."""

Finish: TypeAlias = "Callable[[], None]"
"""What a statement does once everything is read and DuckDB's memory is free: sends files, changes the catalog."""


class Job:
    """A query, and what it may do in the name of its caller."""

    def __init__(self, query: Json, who: Caller) -> None:
        self.query = query
        self.results = query["ResultConfiguration"]["OutputLocation"]
        self.database = query["QueryExecutionContext"].get("Database", "default").lower()
        session = inside.sts.sessions.get(who.access_key)  # that of the caller, with its tags and its policies
        keys = session and Credentials(
            access_key=who.access_key, secret_key=session["SecretAccessKey"], token=session["SessionToken"]
        )
        self.s3: AwsClient = core.client("s3", credentials=keys)
        self.catalog: AwsClient = core.client("glue", credentials=keys)
        self.who = who

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

    def glue(self, operation: str, **request: Any) -> Json:  # noqa: ANN401 - members of a request
        """Call Glue as the caller."""
        try:
            answer: Json = getattr(self.catalog, operation)(**request)
        except ClientError as error:
            code, message = (error.response["Error"][part] for part in ("Code", "Message"))
            raise QueryError("PERMISSION_DENIED" if code == "AccessDeniedException" else code, message) from error
        return answer

    def place(self, name: str) -> tuple[str, str]:
        """Return database and table of a name in a statement."""
        parts = [part.strip('`"').lower() for part in name.split(".")]
        return (parts[-2] if len(parts) > 1 else self.database), parts[-1]


def column_info(name: str, type_: AthenaType) -> Json:
    """Return what GetQueryResults says of a column."""
    base = {"real": "float"}.get(type_.name, type_.name)
    precision, scale = (*type_.numbers, 0, 0)[:2] if type_.numbers else (_PRECISION.get(type_.name, 0), 0)
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": name,
        "Label": name,
        "Type": base,
        "Precision": precision,
        "Scale": scale,
        "Nullable": "UNKNOWN",
        "CaseSensitive": type_.name in {"varchar", "char"},
    }


def select(job: Job, con: Connection, query: Query, folder: Path, _statement: str) -> Finish:
    """Write rows as CSV: every value in quotation marks, NULL as nothing; and once more as JSON, for GetQueryResults.

    The form of the file is in aws_emulator/athena/executions.py's source; ``.metadata`` is not for people to read
    (https://docs.aws.amazon.com/athena/latest/ug/querying-finding-output-files.html).
    """
    columns = [column_info(name, type_) for name, type_ in query.columns]
    con.execute(query.sql)
    shown, rows = folder / "results.csv", folder / "rows.jsonl"
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
        job.put(job.results, shown)
        job.put(f"{job.results}.metadata", metadata(job.query["QueryExecutionId"], columns))
        job.query |= {"rows": rows, "columns": columns, "count": 0}

    return finish


def metadata(id_: str, columns: Iterable[Json]) -> bytes:
    """Return what JDBC drivers read beside a result: protobuf, with the numbers of burtcorp's AthenaMetaDataParser."""

    def number(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)

    def field(at: int, value: str | bytes | int) -> bytes:
        if isinstance(value, int):
            return number(at << 3) + number(value)
        content = value.encode() if isinstance(value, str) else value
        return number(at << 3 | 2) + number(len(content)) + content

    found = field(1, id_)
    for column in columns:
        texts = ((1, "CatalogName"), (4, "Name"), (5, "Label"), (6, "Type"), (7, "Precision"), (8, "Scale"))
        inner = b"".join(field(at, column[name]) for at, name in texts if column[name])
        found += field(4, inner + field(9, 3) + (field(10, 1) if column["CaseSensitive"] else b""))
    return found
