"""A governed lake of one account, and roles of three accounts that look at it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import (
    DEV,
    HUB,
    MANAGEMENT,
    ORGANIZATION_ID,
    OUTSIDER,
    WORKLOADS_OU,
    eventually,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aws_emulator.tests.harness import AwsClient, Cloud

UNIT = f"arn:aws:organizations::{MANAGEMENT}:ou/{ORGANIZATION_ID}/{WORKLOADS_OU}"
COLUMNS = [{"Name": "id", "Type": "bigint"}, {"Name": "risk", "Type": "string"}, {"Name": "score", "Type": "double"}]
LOANS = {"Table": {"CatalogId": HUB, "DatabaseName": "lake", "Name": "loans"}}
SERDE = {
    "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
    "Parameters": {"field.delim": ","},
}
ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def principal(arn: str) -> dict[str, str]:
    return {"DataLakePrincipalIdentifier": arn}


def some_columns(*names: str) -> dict[str, Any]:
    return {"TableWithColumns": {**LOANS["Table"], "ColumnNames": list(names)}}


def table(name: str, **more: object) -> dict[str, Any]:
    storage = {"Columns": COLUMNS, "Location": f"s3://lake/{name.lower()}", "SerdeInfo": SERDE}
    return {"Name": name, "StorageDescriptor": storage, "PartitionKeys": [{"Name": "day", "Type": "string"}], **more}


@dataclass
class Lake:
    """A governed lake of HUB, seen from three accounts.

    Attributes:
        cloud: The organisation.
        roles: ARNs by name.
        clients: Those that were asked for already.
    """

    cloud: Cloud
    roles: dict[str, str]
    clients: dict[tuple[str, str], AwsClient] = field(default_factory=dict)

    def client(self, service: str, who: str) -> AwsClient:
        """Return a client as a role."""
        arn = self.roles[who]
        if (service, who) not in self.clients:
            self.clients[service, who] = self.cloud.client(service, arn.split(":")[4], self.cloud.assume(arn))
        return self.clients[service, who]

    def grant(self, by: str, to: str, resource: dict[str, Any], *permissions: str, option: bool = False) -> None:
        """Grant permissions to a role, or to whatever else is named."""
        self.client("lakeformation", by).grant_permissions(
            Principal=principal(self.roles.get(to, to)),
            Resource=resource,
            Permissions=list(permissions),
            PermissionsWithGrantOption=list(permissions) if option else [],
        )

    def revoke(self, by: str, to: str, resource: dict[str, Any], *permissions: str) -> None:
        """Revoke permissions."""
        named = principal(self.roles.get(to, to))
        self.client("lakeformation", by).revoke_permissions(
            Principal=named, Resource=resource, Permissions=list(permissions)
        )

    def location_role(self, name: str) -> str:
        """Create the role of a location: it reads the lake, and only Lake Formation assumes it."""
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "lakeformation.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam = self.cloud.client("iam", HUB)
        arn: str = iam.create_role(RoleName=name, Path="/lake/", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        reads = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"]}
        resources = {"Resource": ["arn:aws:s3:::lake", "arn:aws:s3:::lake/*"]}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [reads | resources]})
        iam.put_role_policy(RoleName=name, PolicyName="Reads", PolicyDocument=policy)
        return arn

    def query(self, who: str, sql: str) -> dict[str, Any]:
        """Run a query and return it when it has ended."""
        athena = self.client("athena", who)
        place = {"OutputLocation": "s3://asked/results/"}
        started = athena.start_query_execution(QueryString=sql, ResultConfiguration=place)

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = athena.get_query_execution(**started_id)["QueryExecution"]
            return None if found["Status"]["State"] in {"QUEUED", "RUNNING"} else found

        started_id = {"QueryExecutionId": started["QueryExecutionId"]}
        return eventually(ended)

    def ask(self, who: str, sql: str) -> list[list[str | None]]:
        """Return the rows of a query."""
        query = self.query(who, sql)
        assert query["Status"]["State"] == "SUCCEEDED", query["Status"]
        return self.rows(who, query)

    def rows(self, who: str, query: dict[str, Any]) -> list[list[str | None]]:
        """Return the rows of a query that succeeded."""
        id_ = query["QueryExecutionId"]
        rows = self.client("athena", who).get_query_results(QueryExecutionId=id_)["ResultSet"]["Rows"]
        return [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows[1:]]

    def failure(self, who: str, sql: str) -> str:
        """Return why a query fails."""
        status = self.query(who, sql)["Status"]
        assert status["State"] == "FAILED", status
        return str(status["StateChangeReason"])

    def sees(self, who: str, database: str = "lake", name: str = "loans") -> list[str]:
        """Return the columns that a role sees of a table; none when it sees no table."""
        try:
            found = self.client("glue", who).get_table(DatabaseName=database, Name=name)["Table"]
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDeniedException"
            return []
        return [column["Name"] for column in found["StorageDescriptor"]["Columns"]]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The lake: a steward administers it in HUB, an administrator in DEV, another one outside of the organisation."""
    with running(tmp_path_factory.mktemp("lake")) as cloud:
        names = {HUB: ("steward", "analyst", "maker"), DEV: ("admin", "reader", "other"), OUTSIDER: ("far", "stranger")}
        roles = {name: cloud.role(a, name, [ALL], Path="/lake/") for a, found in names.items() for name in found}
        lake = Lake(cloud, roles)
        for name in ("steward", "admin", "far"):
            settings = {"DataLakeAdmins": [principal(roles[name])], "Parameters": {"CROSS_ACCOUNT_VERSION": "4"}}
            lake.client("lakeformation", name).put_data_lake_settings(DataLakeSettings=settings)
        glue = lake.client("glue", "steward")
        glue.create_database(DatabaseInput={"Name": "Lake"})
        glue.create_table(DatabaseName="lake", TableInput=table("Loans"))
        place = {"Columns": COLUMNS, "Location": "s3://lake/loans/day=1", "SerdeInfo": SERDE}
        first = [{"Values": ["1"], "StorageDescriptor": place}]
        glue.batch_create_partition(DatabaseName="lake", TableName="loans", PartitionInputList=first)
        target = {"CatalogId": HUB, "DatabaseName": "lake"}
        lake.client("glue", "admin").create_database(DatabaseInput={"Name": "link", "TargetDatabase": target})
        lake.client("glue", "far").create_database(DatabaseInput={"Name": "link", "TargetDatabase": target})
        yield lake


@pytest.fixture
def lake(started: Lake) -> Iterator[Lake]:
    """The lake, with nothing granted on the table and the link but to those who made them."""
    yield started
    for by in ("admin", "far", "steward"):
        client = started.client("lakeformation", by)
        for entry in client.list_permissions(MaxResults=100)["PrincipalResourcePermissions"]:
            grantee = entry["Principal"]["DataLakePrincipalIdentifier"]
            is_own = grantee == started.roles[by] or entry["Permissions"] == ["CREATE_DATABASE"]
            is_received = by != "steward" and "AdditionalDetails" in entry
            if not is_own and not is_received:
                kept = {key: entry[key] for key in ("Principal", "Resource", "Permissions")}
                client.revoke_permissions(**kept)


def refusal(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])
