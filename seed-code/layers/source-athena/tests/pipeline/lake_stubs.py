"""Stand-ins for the clients of Glue, Athena, S3 and SageMaker, as far as the step Query calls them."""

from __future__ import annotations

import datetime
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

OWNER = "777788889999"
COLUMNS = {
    "loan_id": "bigint",
    "customer_id": "int",
    "income": "double",
    "amount": "decimal(10,2)",
    "grade": "char(2)",
    "opened": "date",
    "seen": "timestamp with time zone",
    "region": "string",
    "defaulted": "boolean",
}
NOW = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)


def error(code: str, operation: str = "Call") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "as the service says"}}, operation)


class Pages:
    """A paginator with one page."""

    def __init__(self, page: dict[str, Any]) -> None:
        self._page = page

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [self._page]


class Catalog:
    """A catalog with one table behind a link."""

    def __init__(
        self,
        *,
        columns: dict[str, str] | None = None,
        hidden: Sequence[str] = (),
        partitions: Sequence[str] = (),
        parameters: dict[str, str] | None = None,
        version: str = "3",
        kind: str = "EXTERNAL_TABLE",
        fails: dict[str, str] | None = None,
    ) -> None:
        self.fails = fails or {}
        self._columns = {**COLUMNS, **(columns or {})}
        self.hidden = list(hidden)
        self._partitions, self._parameters, self._version, self._kind = partitions, parameters, version, kind

    def get_database(self, *, Name: str) -> dict[str, Any]:  # noqa: N803
        self._check("get_database")
        return {"Database": {"Name": Name, "TargetDatabase": {"CatalogId": OWNER, "DatabaseName": "credit_risk"}}}

    def get_table(self, *, DatabaseName: str, Name: str, CatalogId: str) -> dict[str, Any]:  # noqa: N803
        self._check("get_table")
        assert (DatabaseName, CatalogId) == ("credit_risk", OWNER), "the link is followed"
        columns = [{"Name": n, "Type": t} for n, t in self._columns.items() if n not in self.hidden]
        keys = [{"Name": "day", "Type": "date"}] if self._partitions else []
        return {
            "Table": {
                "Name": Name,
                "CatalogId": OWNER,
                "VersionId": self._version,
                "TableType": self._kind,
                "StorageDescriptor": {"Columns": columns},
                "PartitionKeys": keys,
                "Parameters": self._parameters or {},
            }
        }

    def get_paginator(self, operation: str) -> Pages:
        assert operation == "get_partitions"
        return Pages({"Partitions": [{"Values": [day], "CreationTime": NOW} for day in self._partitions]})

    def _check(self, operation: str) -> None:
        if operation in self.fails:
            raise error(self.fails[operation], operation)


class Buckets:
    """S3 with the objects of one bucket."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.written: dict[str, datetime.datetime] = {}
        self.tags: dict[str, list[dict[str, str]]] = {}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        assert Bucket == "artifacts"
        self.objects[Key] = Body
        self.written[Key] = NOW

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        if Key not in self.objects:
            raise error("NoSuchKey")
        return {"Body": io.BytesIO(self.objects[Key])}

    def delete_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803
        del self.objects[Key]

    def put_object_tagging(self, *, Bucket: str, Key: str, Tagging: dict[str, Any]) -> None:  # noqa: N803
        self.tags[Key] = Tagging["TagSet"]

    def get_paginator(self, operation: str) -> Buckets:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        for key in sorted(key for key in self.objects if key.startswith(Prefix)):
            yield {"Contents": [{"Key": key, "LastModified": self.written[key]}]}


class Engine:
    """Athena: carries out what it is told to, or fails as it is told to.

    Args:
        bucket: Where it writes.
        files: Names of the files of each UNLOAD.
        ends: How the queries end, one after the other; ``SUCCEEDED`` after these.
    """

    def __init__(
        self, bucket: Buckets, *, files: Sequence[str] = ("a", "b"), ends: Sequence[dict[str, Any]] = ()
    ) -> None:
        self._bucket, self._files, self._ends = bucket, files, list(ends)
        self.started: dict[str, dict[str, Any]] = {}
        self._asked: dict[str, int] = {}

    def start_query_execution(self, **request: Any) -> dict[str, str]:
        token = request["ClientRequestToken"]
        assert 32 <= len(token) <= 128
        query_id = hashlib.sha256(token.encode()).hexdigest()[:8]
        if query_id not in self.started:
            self.started[query_id] = request
            self._carry_out(query_id, request["QueryString"])
        return {"QueryExecutionId": query_id}

    def _carry_out(self, query_id: str, statement: str) -> None:
        end = self._ends.pop(0) if self._ends else {"State": "SUCCEEDED"}
        self.started[query_id]["end"] = end
        found = re.search(r"TO '(s3://artifacts/([^']+))'", statement)
        assert found
        for name in self._files if end["State"] == "SUCCEEDED" else self._files[:1]:
            self._bucket.put_object(Bucket="artifacts", Key=f"{found[2]}{name}", Body=b"parquet")
        if end["State"] == "SUCCEEDED":
            lines = "".join(f"{found[1]}{name}\n" for name in self._files)
            self._bucket.put_object(Bucket="artifacts", Key=f"athena/{query_id}-manifest.csv", Body=lines.encode())
            self._bucket.put_object(Bucket="artifacts", Key=f"athena/{query_id}.metadata", Body=b"")

    def get_query_execution(self, *, QueryExecutionId: str) -> dict[str, Any]:  # noqa: N803
        request = self.started[QueryExecutionId]
        self._asked[QueryExecutionId] = asked = self._asked.get(QueryExecutionId, 0) + 1
        end = request["end"] if asked > 1 else {"State": "QUEUED"}
        found: dict[str, Any] = {
            "Status": end,
            "Statistics": {"DataScannedInBytes": 10_485_760},
            "EngineVersion": {"EffectiveEngineVersion": "Athena engine version 3"},
            "ResultConfiguration": {"OutputLocation": f"s3://artifacts/athena/{QueryExecutionId}"},
        }
        if end["State"] == "SUCCEEDED":
            found["Statistics"]["DataManifestLocation"] = f"s3://artifacts/athena/{QueryExecutionId}-manifest.csv"
        return {"QueryExecution": found}


class Registry:
    """SageMaker with the manifests that registered models name."""

    def __init__(self, *manifests: str) -> None:
        self._manifests = manifests

    def get_paginator(self, operation: str) -> Pages:
        assert operation == "list_model_packages"
        return Pages({"ModelPackageSummaryList": [{"ModelPackageArn": str(n)} for n in range(len(self._manifests))]})

    def describe_model_package(self, *, ModelPackageName: str) -> dict[str, Any]:  # noqa: N803
        return {"CustomerMetadataProperties": {"data_manifest": self._manifests[int(ModelPackageName)]}}
