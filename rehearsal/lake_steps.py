"""The data lake of the governance account: its tables, and what the steward shares of them and takes back."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, Final

from products.shared import names
from rehearsal import data_set
from rehearsal.cloud_assembly import wait_for_stack
from rehearsal.organization import (
    GOVERNANCE,
    MANAGEMENT,
    ORGANIZATION_ID,
    REGION,
    ROOT,
    WORKLOADS_OU,
    Credentials,
    RehearsalError,
)
from rehearsal.organization_steps import STEWARD_ROLE

if TYPE_CHECKING:
    from rehearsal.world import World

BUCKET: Final = f"data-lake-{GOVERNANCE}-{REGION}"
DATABASE: Final = "credit_risk"
FILTER: Final = "released"
PROJECT_TAG: Final = ("data-domain", "credit-risk")
"""Tag of the SageMaker projects for which the lead asks."""

_WORKLOADS: Final = f"arn:aws:organizations::{MANAGEMENT}:ou/{ORGANIZATION_ID}/{WORKLOADS_OU}"
_EVERYBODY: Final = "IAM_ALLOWED_PRINCIPALS"


def lake_files(function: str, **arguments: object) -> dict[str, Any]:
    """Call a function of `rehearsal.lake_files` with the seed code's Python.

    Raises:
        RehearsalError: What it was given cannot be a table of the lake; the message says why.
    """
    done = subprocess.run(
        [str(ROOT / ".venv-seed/bin/python"), "-m", "rehearsal.lake_files", function, json.dumps(arguments)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "seed-code/layers/tabular/src"), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RehearsalError(f"rehearsal.lake_files {function} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    if "problem" in found:
        raise RehearsalError(found["problem"])
    return found


def build_lake(world: World) -> str:
    """Make the tables, and have Lake Formation read their files, as the owner of the data platform."""
    owner, folder = Credentials.administrator(GOVERNANCE), world.work / "data" / "lake"
    own = world.data and str(world.data.resolve())
    lake = lake_files("write", folder=str(folder), rows=world.rows, data=own, label=world.label)
    s3, glue = world.client("s3", owner), world.client("glue", owner)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    key = world.client("kms", owner).create_key(Description="Data lake")["KeyMetadata"]["Arn"]
    glue.create_database(DatabaseInput={"Name": DATABASE, "LocationUri": f"s3://{BUCKET}/{DATABASE}/"})
    for table, described in lake["tables"].items():
        partitions: dict[str, list[str]] = {}
        for name, path in data_set.files_of(folder / table).items():
            at = f"{DATABASE}/{table}/{name}"
            s3.upload_file(str(path), BUCKET, at, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key})
            if described["keys"]:
                value = name.partition("/")[0].partition("=")[2]
                partitions[f"s3://{BUCKET}/{at.rpartition('/')[0]}/"] = [value]
        glue.create_table(
            DatabaseName=DATABASE,
            TableInput={
                "Name": table,
                "TableType": "EXTERNAL_TABLE",
                "Parameters": {"classification": "parquet"},
                "PartitionKeys": _columns(described["keys"]),
                "StorageDescriptor": _storage(described["columns"], f"s3://{BUCKET}/{DATABASE}/{table}/"),
            },
        )
        if partitions:
            glue.batch_create_partition(
                DatabaseName=DATABASE,
                TableName=table,
                PartitionInputList=[
                    {"Values": values, "StorageDescriptor": _storage(described["columns"], location)}
                    for location, values in partitions.items()
                ],
            )
    _register_location(world, owner, key)
    world.lake = lake
    rows, other = lake["tables"][lake["table"]]["rows"], lake["withheld"]["table"]
    return f"{DATABASE}: {lake['table']} with {rows:,} rows, and {other}, in s3://{BUCKET}/"


def _register_location(world: World, owner: Credentials, key: str) -> None:
    """Have Lake Formation read the files with a role of its own, as docs/governed-data.md says."""
    cloudformation, stack = world.client("cloudformation", owner), "data-lake-credit-risk"
    answers = {"Name": "credit-risk", "BucketName": BUCKET, "Prefix": DATABASE, "KeyArn": key}
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=(ROOT / "foundation/organization/data-lake-location.json").read_text(encoding="utf-8"),
        Parameters=[{"ParameterKey": name, "ParameterValue": answer} for name, answer in answers.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    wait_for_stack(stack, cloudformation, doing=world.doing)


def _columns(types: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Type": type_} for name, type_ in types.items()]


def _storage(columns: dict[str, str], location: str) -> dict[str, Any]:
    formats = "org.apache.hadoop.hive.ql.io.parquet"
    return {
        "Columns": _columns(columns),
        "Location": location,
        "InputFormat": f"{formats}.MapredParquetInputFormat",
        "OutputFormat": f"{formats}.MapredParquetOutputFormat",
        "SerdeInfo": {"SerializationLibrary": f"{formats}.serde.ParquetHiveSerDe"},
    }


# ---- the steward ----------------------------------------------------------------------------------------------------


def share(world: World) -> str:
    """Let Lake Formation decide about the database, and share some rows and columns of one table, as the steward."""
    formation, lake = world.client("lakeformation", world.steward), world.lake
    me = f"arn:aws:iam::{GOVERNANCE}:role/{STEWARD_ROLE}"
    settings = formation.get_data_lake_settings()["DataLakeSettings"]
    settings |= {
        "DataLakeAdmins": [*settings.get("DataLakeAdmins", []), {"DataLakePrincipalIdentifier": me}],
        "CreateDatabaseDefaultPermissions": [],
        "CreateTableDefaultPermissions": [],
        "Parameters": settings.get("Parameters", {}) | {"CROSS_ACCOUNT_VERSION": "4"},
    }
    formation.put_data_lake_settings(DataLakeSettings=settings)
    tables = [{"Table": {"DatabaseName": DATABASE, "Name": table}} for table in lake["tables"]]
    for resource in (*tables, {"Database": {"Name": DATABASE}}):
        formation.revoke_permissions(
            Principal={"DataLakePrincipalIdentifier": _EVERYBODY}, Resource=resource, Permissions=["ALL"]
        )
    columns = [*lake["columns"], *({lake["withheld"]["key"]} - {*lake["columns"]})]
    formation.create_data_cells_filter(
        TableData={
            "TableCatalogId": GOVERNANCE,
            "DatabaseName": DATABASE,
            "TableName": lake["table"],
            "Name": FILTER,
            "RowFilter": {"FilterExpression": lake["filter"]},
            "ColumnNames": columns,
        }
    )
    formation.grant_permissions(**_grant(lake["table"]))
    world.known |= {
        "lake-account": GOVERNANCE,
        "lake-database": DATABASE,
        "lake-table": lake["table"],
        "lake-filter": FILTER,
        "lake-columns": "" if world.data is None else ",".join(lake["columns"]),
        "lake-label": lake["label"],
        "lake-key": lake["key"],
        "link": names.link_database(GOVERNANCE, REGION, DATABASE),
        "project-tag": "=".join(PROJECT_TAG),
    }
    withheld = lake["withheld"]
    return (
        f"{lake['table']} shared with the workloads unit where {lake['filter']}, without {withheld['column']}; "
        f"{withheld['table']} not at all"
    )


def _grant(table: str) -> dict[str, Any]:
    """Return what the workloads unit is granted, for itself and for its administrators to pass on."""
    cells = {"TableCatalogId": GOVERNANCE, "DatabaseName": DATABASE, "TableName": table, "Name": FILTER}
    return {
        "Principal": {"DataLakePrincipalIdentifier": _WORKLOADS},
        "Resource": {"DataCellsFilter": cells},
        "Permissions": ["SELECT"],
        "PermissionsWithGrantOption": ["SELECT"],
    }


def shared(world: World) -> list[dict[str, str]]:
    """Return what somebody outside of the account was granted, as the steward sees it."""
    cells, found = f"rows where {world.lake['filter']}, columns {', '.join(world.lake['columns'])}", []
    for entry in world.client("lakeformation", world.steward).list_permissions()["PrincipalResourcePermissions"]:
        who, may = entry["Principal"]["DataLakePrincipalIdentifier"], ", ".join(entry["Permissions"])
        if who != _EVERYBODY and GOVERNANCE not in who:
            ((kind, resource),) = entry["Resource"].items()
            place = ".".join(str(part) for part in resource.values())
            passed_on = ", and pass it on" if entry["PermissionsWithGrantOption"] else ""
            found.append({"who": who.rsplit(":", 1)[1], "may": f"{may}{passed_on}", "on": f"{kind} {place}: {cells}"})
    return found


def take_back(world: World) -> None:
    """Revoke what was shared, as the steward."""
    world.client("lakeformation", world.steward).revoke_permissions(**_grant(world.lake["table"]))
