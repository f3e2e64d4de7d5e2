# ruff: noqa: S608 - the statements are those of the tests
"""A small lake for tests of Athena: tables in S3 and Glue, roles that may and may not, and how to ask."""

from __future__ import annotations

import base64
import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from aws_emulator.tests.harness import DEV, REGION, Cloud

if TYPE_CHECKING:
    from collections.abc import Mapping

BUCKET = "lake-of-tests"
DATABASE = "risk"
PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
LAZY = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
JSON = "org.openx.data.jsonserde.JsonSerDe"
Rows: TypeAlias = "list[list[str | None]]"
CATALOG = {
    "Effect": "Allow",
    "Action": ["glue:Get*", "glue:BatchGetPartition", "lakeformation:GetDataAccess"],
    "Resource": "*",
}
ATHENA = {"Effect": "Allow", "Action": "athena:*", "Resource": f"arn:aws:athena:{REGION}:{DEV}:workgroup/*"}
RESULTS = {
    "Effect": "Allow",
    "Action": ["s3:GetBucketLocation", "s3:PutObject", "s3:GetObject"],
    "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/results/*", f"arn:aws:s3:::{BUCKET}/out/*"],
}
DATA = {
    "Effect": "Allow",
    "Action": ["s3:GetObject", "s3:ListBucket"],
    "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
}


@dataclass(frozen=True)
class Lake:
    """The lake of an account, and somebody who asks.

    Attributes:
        cloud: The organisation.
        credentials: Of who asks. Default: the root of the account.
    """

    cloud: Cloud
    credentials: dict[str, str] | None = None

    def client(self, service: str) -> Any:  # noqa: ANN401 - a client
        """Return a client of who asks."""
        return self.cloud.client(service, DEV, self.credentials)

    def as_role(self, *statements: Mapping[str, Any]) -> Lake:
        """Return the lake for a new role with these permissions."""
        arn = self.cloud.role(DEV, f"asks-{uuid.uuid4().hex[:8]}", [dict(statement) for statement in statements])
        return Lake(self.cloud, self.cloud.assume(arn))

    def start(self, sql: str, **request: Any) -> str:  # noqa: ANN401 - members of the request
        """Start a query and return its id."""
        given = {
            "ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/results/"},
            "QueryExecutionContext": {"Database": DATABASE},
            "ClientRequestToken": str(uuid.uuid4()),
            **request,
        }
        return str(self.client("athena").start_query_execution(QueryString=sql, **given)["QueryExecutionId"])

    def ended(self, id_: str) -> dict[str, Any]:
        """Return a query once it has ended."""
        athena, deadline = self.client("athena"), time.monotonic() + 30
        while True:
            query: dict[str, Any] = athena.get_query_execution(QueryExecutionId=id_)["QueryExecution"]
            if query["Status"]["State"] not in {"QUEUED", "RUNNING"} or time.monotonic() > deadline:
                return query
            time.sleep(0.01)

    def run(self, sql: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - members of the request
        """Run a query and return it; it must succeed."""
        query = self.ended(self.start(sql, **request))
        assert query["Status"]["State"] == "SUCCEEDED", query["Status"]
        return query

    def ask(self, sql: str, **request: Any) -> Rows:  # noqa: ANN401 - members of the request
        """Return the rows of a SELECT."""
        return self.rows(self.run(sql, **request)["QueryExecutionId"])[1:]

    def rows(self, id_: str, **request: Any) -> Rows:  # noqa: ANN401 - members of the request
        """Return a page of results, on the first one with the names of the columns."""
        found = self.client("athena").get_query_results(QueryExecutionId=id_, **request)["ResultSet"]["Rows"]
        return [[cell.get("VarCharValue") for cell in row["Data"]] for row in found]

    def failure(self, sql: str, **request: Any) -> str:  # noqa: ANN401 - members of the request
        """Return why a query fails."""
        status = self.ended(self.start(sql, **request))["Status"]
        assert status["State"] == "FAILED", status
        return str(status["StateChangeReason"])

    def put(self, key: str, content: str | bytes) -> None:
        """Write an object of the lake."""
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)

    def text(self, uri: str) -> str:
        """Return the content of an object as text."""
        bucket, key = uri.removeprefix("s3://").split("/", 1)
        return str(self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())

    def keys(self, prefix: str) -> list[str]:
        """Return the keys below a prefix."""
        return [o["Key"] for o in self.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]

    def table(  # noqa: PLR0917 - what a table of Glue says
        self,
        name: str,
        columns: Mapping[str, str],
        serde: str = PARQUET,
        keys: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        serde_properties: Mapping[str, str] | None = None,
        location: str | None = None,
    ) -> None:
        """Create a table; its files are below its name unless another location is given."""
        storage = {
            "Columns": [{"Name": column, "Type": type_} for column, type_ in columns.items()],
            "Location": f"s3://{BUCKET}/{location or name}/",
            "SerdeInfo": {"SerializationLibrary": serde, "Parameters": dict(serde_properties or {})},
        }
        partition_keys = [{"Name": key, "Type": type_} for key, type_ in (keys or {}).items()]
        given = {"StorageDescriptor": storage, "PartitionKeys": partition_keys, "Parameters": dict(properties or {})}
        given |= {"Name": name, "TableType": "EXTERNAL_TABLE"}
        self.client("glue").create_table(DatabaseName=DATABASE, TableInput=given)

    def partition(self, table: str, *values: str, location: str) -> None:
        """Register a partition of a table."""
        glue = self.client("glue")
        storage = glue.get_table(DatabaseName=DATABASE, Name=table)["Table"]["StorageDescriptor"]
        given = {"Values": list(values), "StorageDescriptor": {**storage, "Location": f"s3://{BUCKET}/{location}"}}
        glue.create_partition(DatabaseName=DATABASE, TableName=table, PartitionInput=given)

    def view(self, name: str, sql: str, *columns: str) -> None:
        """Create a view as Athena keeps it in Glue."""
        shown = [{"name": column, "type": "bigint"} for column in columns]
        content = {"originalSql": sql, "catalog": "awsdatacatalog", "schema": DATABASE, "columns": shown}
        text = f"/* Presto View: {base64.b64encode(json.dumps(content).encode()).decode()} */"
        storage = {"Columns": [{"Name": column, "Type": "bigint"} for column in columns]}
        given = {"Name": name, "TableType": "VIRTUAL_VIEW", "ViewOriginalText": text, "StorageDescriptor": storage}
        self.client("glue").create_table(DatabaseName=DATABASE, TableInput={**given, "PartitionKeys": []})

    def parquet(self, prefix: str, select: str, compression: str = "SNAPPY") -> None:
        """Write rows as Parquet, as UNLOAD does."""
        self.run(f"UNLOAD ({select}) TO 's3://{BUCKET}/{prefix}/' WITH (format='PARQUET', compression='{compression}')")


def stand_up(cloud: Cloud) -> Lake:
    """Make the lake: loans of two days in Parquet, registered and projected, as text and as JSON."""
    lake = Lake(cloud)
    lake.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    lake.client("glue").create_database(DatabaseInput={"Name": DATABASE})
    columns = {"id": "bigint", "region": "string", "amount": "bigint"}
    rows = ", ".join(f"(BIGINT '{i}', 'r{i % 2}', BIGINT '{i * 10}')" for i in range(5))
    for name, properties in (
        ("loans", {}),
        ("projected", {"dt.type": "date", "dt.range": "2025-12-30,NOW", "dt.format": "yyyy-MM-dd"}),
        ("injected", {"dt.type": "injected"}),
    ):
        found = {f"projection.{key}": value for key, value in properties.items()}
        enabled = {"projection.enabled": "true"} if found else {}
        lake.table(name, columns, keys={"dt": "string"}, properties={**found, **enabled}, location="loans")
    for day in ("2026-01-01", "2026-01-02"):
        lake.parquet(f"loans/dt={day}", f"SELECT * FROM (VALUES {rows}) t(id, region, amount)")
        lake.partition("loans", day, location=f"loans/dt={day}")
    return lake


def allowed(actions: list[str], *resources: str) -> dict[str, Any]:
    """Return a statement that allows actions on resources."""
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}
