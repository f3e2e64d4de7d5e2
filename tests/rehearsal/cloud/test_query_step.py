"""The step Query of a generated repository against the emulated Athena, with the role that the product makes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from aws_emulator.tests.harness import DEV, REGION
from products.shared import names
from products.train_athena.product import TrainAthenaProduct
from tests.products.launches import ORDINARY, launch, network
from tests.seed_code.generated import Repository

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aws_emulator.tests.harness import Cloud

pytestmark = [pytest.mark.rehearsal, pytest.mark.seed]

BUCKET: Final = f"mlp-p-query-{DEV}-{REGION}"
LAKE: Final = "lake-of-the-query"
WORK_GROUP: Final = "mlp-p-query-athena"
ROWS: Final = 600
Setting: TypeAlias = "str | list[str]"

# What SageMaker would run, and then a look at the files of the manifest with the code that Prepare divides with.
_JOB: Final = """
import io, json, sys
from pathlib import Path
import boto3
from ml_pipelines import data_source
import query
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from tabular.division import divide
from tabular.config import Splits
from tabular.schema import KEY, Column, Schema
from lake.errors import LakeError

settings, output = json.loads(sys.argv[1]), Path(sys.argv[2])
session = boto3.Session()
given = {"DATA_VERSION": "1", "INSTANCES": "64"}
try:
    query.main(query.Clients(session), settings, given, sys.argv[3], output)
except LakeError as err:
    sys.exit(f"ERROR: {err}")
prefix, *names = json.loads((output / "manifest.json").read_text())
bucket, _, folder = prefix["prefix"].removeprefix("s3://").partition("/")
s3, found, wrong = session.client("s3"), [], 0
for name in names:
    body = s3.get_object(Bucket=bucket, Key=folder + name)["Body"].read()
    table = pq.read_table(io.BytesIO(body))
    keys = {"customer_id": table["customer_id"].combine_chunks()}
    column = Column("customer_id", "number", KEY, whole=True)
    schema = Schema("defaulted", "binary", ("0", "1"), (1, 1), (column,), 1, 0, ())
    splits = divide(keys, schema, Splits(0.7, 0.15, 0.15), 0)
    wrong += int((splits != name.split("/")[0].removeprefix("ml_split=")).sum())
    found += table.to_pylist()
print(json.dumps({"rows": found, "wrong": wrong, "names": names}, default=str), file=sys.stderr)
"""


@dataclass(frozen=True)
class Job:
    """The step, as the role of the project.

    Attributes:
        repository: The generated repository.
        environment: Credentials and endpoint.
        folder: Where it leaves its output.
    """

    repository: Repository
    environment: dict[str, str]
    folder: Path

    def run(self, execution: str, **settings: Setting) -> tuple[dict[str, Any], dict[str, Any]]:
        """Run it and return its report, and what the files of its manifest hold."""
        ran = self._start(execution, settings)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        report: dict[str, Any] = json.loads((self.folder / "query.json").read_text(encoding="utf-8"))
        held: dict[str, Any] = json.loads(ran.stderr.splitlines()[-1])
        return report, held

    def refused(self, **settings: Setting) -> str:
        """Run it and return the words with which it ended."""
        ran = self._start("refused", settings)
        assert ran.returncode == 1, ran.stdout + ran.stderr
        return ran.stderr

    def _start(self, execution: str, settings: Mapping[str, Setting]) -> subprocess.CompletedProcess[str]:
        every = {
            "database": "query_risk",
            "table": "loans",
            "label": "defaulted",
            "bucket": BUCKET,
            "work_group": WORK_GROUP,
            "model_package_group": "credit-p-query",
            "cache_days": 30,
            **settings,
        }
        return self.repository.run("-c", _JOB, json.dumps(every), str(self.folder), execution, **self.environment)


@pytest.fixture(scope="module")
def job(cloud: Cloud, synth_product: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A project for a table of this account whose files its role reads itself, and the table."""
    s3, glue = cloud.client("s3", DEV), cloud.client("glue", DEV)
    for bucket in (BUCKET, LAKE):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    lines = "".join(f"{n},{n // 2 - 100},{n * 1.5},region-{n % 3},{n % 2}\n" for n in range(ROWS))
    s3.put_object(Bucket=LAKE, Key="risk/loans/day=2026-01-01/part-0.csv", Body=lines.encode())
    s3.put_object(Bucket=LAKE, Key="risk/loans/day=2026-01-02/part-0.csv", Body=lines.encode())
    glue.create_database(DatabaseInput={"Name": "query_risk"})
    form = {
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "SerdeInfo": {
            "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
            "Parameters": {"field.delim": ","},
        },
    }
    columns = {"loan_id": "bigint", "customer_id": "int", "amount": "double", "region": "string", "defaulted": "int"}
    listed = [{"Name": name, "Type": type_} for name, type_ in columns.items()]
    place = f"s3://{LAKE}/risk/loans/"
    glue.create_table(
        DatabaseName="query_risk",
        TableInput={
            "Name": "loans",
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [{"Name": "day", "Type": "date"}],
            "StorageDescriptor": {**form, "Columns": listed, "Location": place},
        },
    )
    days = ("2026-01-01", "2026-01-02")
    glue.batch_create_partition(
        DatabaseName="query_risk",
        TableName="loans",
        PartitionInputList=[
            {"Values": [day], "StorageDescriptor": {**form, "Columns": listed, "Location": f"{place}day={day}/"}}
            for day in days
        ],
    )
    answers = {"SageMakerProjectId": "p-query", "Database": "query_risk", "Location": place}
    found = {**network(DEV, REGION, vpc_only=False), "CatalogId": DEV, "TargetDatabase": "query_risk"}
    project = launch(
        synth_product(TrainAthenaProduct),
        {**ORDINARY["train-athena"], **answers},
        found=found,
        account=DEV,
        region=REGION,
    )
    (group,) = project.resources("AWS::Athena::WorkGroup").values()
    made = dict(group["WorkGroupConfiguration"])
    key = cloud.client("kms", DEV).create_key()["KeyMetadata"]["Arn"]
    made["ResultConfiguration"]["EncryptionConfiguration"]["KmsKey"] = key
    made["BytesScannedCutoffPerQuery"] = int(made["BytesScannedCutoffPerQuery"])
    cloud.client("athena", DEV).create_work_group(Name=group["Name"], Configuration=made)
    (logical_id,) = [
        role
        for role, properties in project.resources("AWS::IAM::Role").items()
        if "pipeline" in properties["Description"] and "jobs" in properties["Description"]
    ]
    its_key = project.attribute(
        next(id_ for id_, one in project.template["Resources"].items() if one["Type"] == "AWS::KMS::Key"), "Arn"
    )
    statements = json.loads(json.dumps([dict(s) for s in project.roles()[logical_id]]).replace(its_key, key))
    arn = cloud.role(DEV, project.physical_id(logical_id), statements, Path=names.PROJECT_ROLE_PATH)
    credentials = cloud.assume(arn)
    return Job(
        Repository(tmp_path_factory.mktemp("query") / "project", "train-athena"),
        {
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": credentials["SessionToken"],
        },
        tmp_path_factory.mktemp("query-output"),
    )


def test_athena_selects_casts_and_divides_and_only_files_of_the_manifest_count(cloud: Cloud, job: Job) -> None:
    report, held = job.run(
        "s3://x/first",
        record_key=["customer_id"],
        where="region <> 'region-1' AND amount > 30",
        partitions="day=2026-01-02..2026-01-09",
    )
    expected = [n for n in range(ROWS) if n % 3 != 1 and n * 1.5 > 30]
    assert sorted(row["loan_id"] for row in held["rows"]) == expected
    assert {row["region"] for row in held["rows"]} == {"region-0", "region-2"}
    assert {row["day"] for row in held["rows"]} == {"2026-01-02"}
    assert held["wrong"] == 0
    assert {name.split("/")[0] for name in held["names"]} == {f"ml_split={s}" for s in ("train", "validation", "test")}
    assert report["divided"] is True
    assert int(report["scanned_bytes"]) > 0
    assert report["instances"] == len(held["names"]) < 64
    s3 = cloud.client("s3", DEV)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="athena/")
    again, _ = job.run(
        "s3://x/first",
        record_key=["customer_id"],
        where="region <> 'region-1' AND amount > 30",
        partitions="day=2026-01-02..2026-01-09",
    )
    assert again["query_id"] == report["query_id"]


def test_what_the_catalog_and_athena_refuse_is_said_in_words(job: Job) -> None:
    assert "has no column income that this project may see" in job.refused(columns=["income"])
    assert "either where names another column" in job.refused(where="income > 1")
    assert "may not see table salaries of database query_risk" in job.refused(table="salaries")
    assert "found no row in query_risk.loans" in job.refused(where="amount < 0")
    assert "TYPE_MISMATCH" in job.refused(where="amount = 'much'")
