"""The step Query of a generated repository against the emulated Athena, with the role that the product makes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from aws_emulator.tests.harness import DEV, REGION
from products.shared import names
from products.train_athena.product import TrainAthenaProduct
from tests.products.launches import ORDINARY, launch, network
from tests.seed_code.generated import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aws_emulator.tests.harness import Cloud

pytestmark = [pytest.mark.rehearsal, pytest.mark.seed]

BUCKET: Final = f"mlp-p-query-{DEV}-{REGION}"
LAKE: Final = "lake-of-the-query"
WORK_GROUP: Final = "mlp-p-query-athena"
ROWS: Final = 600

# What SageMaker would run, and then a look at the files of the manifest with the code that Prepare divides with.
_JOB: Final = """
import io, json, sys
from pathlib import Path
import boto3
from ml_pipelines import data_source
import query
import pyarrow as pa, pyarrow.parquet as pq
from tabular.division import divide
from tabular.config import Splits
from tabular.schema import KEY, Column, Schema
from lake.errors import LakeError

output, clients = Path(sys.argv[1]), query.Clients(boto3.Session())

def held():
    prefix, *names = json.loads((output / "manifest.json").read_text())
    bucket, _, folder = prefix["prefix"].removeprefix("s3://").partition("/")
    rows, wrong = [], 0
    for name in names:
        table = pq.read_table(io.BytesIO(clients.s3.get_object(Bucket=bucket, Key=folder + name)["Body"].read()))
        column = Column("customer_id", "number", KEY, whole=True)
        schema = Schema("defaulted", "binary", ("0", "1"), (1, 1), (column,), 1, 0, ())
        splits = divide({"customer_id": table["customer_id"].combine_chunks()}, schema, Splits(0.7, 0.15, 0.15), 0)
        wrong += int((splits != name.split("/")[0].removeprefix("ml_split=")).sum())
        rows += table.to_pylist()
    return {"rows": rows, "wrong": wrong, "names": names}

found = []
for settings in json.loads(sys.argv[2]):
    try:
        query.main(clients, settings, {"DATA_VERSION": "1", "INSTANCES": "64"}, "s3://x/" + settings["table"], output)
        found.append({"report": json.loads((output / "query.json").read_text()), **held()})
    except LakeError as err:
        found.append({"refused": str(err)})
print("FOUND", json.dumps(found, default=str))
"""


# Runs the first two steps of the pipeline as they are published, with the step cache, and says how each was done.
_PIPELINE: Final = """
import json, shutil, sys
from pathlib import Path
import boto3
from local_pipelines.cache import StepCache
from local_pipelines.offline import offline_session
from local_pipelines.runner import Execution, PipelineRunner
from local_pipelines.sandbox import Sandbox
from local_pipelines.stores import S3Store
from ml_pipelines import sdk
from ml_pipelines.config import for_aws
from ml_pipelines.pipeline import definition

work, build, number = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
(work / "config.yaml").write_text("min_rows: 10")
config, s3 = for_aws(work / "config.yaml", build), boto3.client("s3")
sdk.quiet()
code = work / f"code-{number}"
made = json.loads(definition(config, sdk.pipeline_session(offline_session(code, region="eu-west-1"), config.bucket)))
for file in (path for path in code.rglob("*") if path.is_file()):
    s3.upload_file(str(file), config.bucket, file.as_posix().split(config.bucket + "/", 1)[1])
made["Steps"] = [step for step in made["Steps"] if step["Name"] in ("Query", "Validate")]
done = {}
runner = PipelineRunner(
    store=S3Store(s3), sandbox=Sandbox(work / "tools", aws=True), register=str, work=work / number,
    cache=StepCache(work / "cache"), on_event=lambda e: done.update({e["step"]: e["detail"]} if "detail" in e else {}),
)
version = config.source.version(boto3.Session(), {})
arn = f"arn:aws:sagemaker:eu-west-1:222222222222:pipeline/credit/execution/run{number}"
outcome = runner.run(made, Execution("credit", arn, {"DataVersion": version}))
print("FOUND", json.dumps({"done": done, "failed": outcome.failure_reason}))
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

    def pipeline(self, number: int) -> dict[str, str]:
        """Run the beginning of the pipeline, and return how each step was done."""
        build = {
            "PIPELINE_NAME": "credit",
            "MODEL_PACKAGE_GROUP": "credit",
            "ARTIFACT_BUCKET": BUCKET,
            "PIPELINE_ROLE_ARN": f"arn:aws:iam::{DEV}:role/credit",
            "DATA_DATABASE": "query_risk",
            "DATA_TABLE": "loans",
            "DATA_WORK_GROUP": WORK_GROUP,
            "LABEL": "defaulted",
        }
        ran = self.repository.run("-c", _PIPELINE, str(self.folder), json.dumps(build), str(number), **self.environment)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        found = json.loads(ran.stdout.rpartition("FOUND ")[2])
        assert found["failed"] == ""
        done: dict[str, str] = found["done"]
        return done

    def run(self, *settings: Mapping[str, str | list[str]]) -> list[dict[str, Any]]:
        """Run it with one settings after the other; return reports and what the manifests list, or the refusals."""
        usual = {
            "database": "query_risk",
            "table": "loans",
            "label": "defaulted",
            "bucket": BUCKET,
            "work_group": WORK_GROUP,
            "model_package_group": "credit-p-query",
            "cache_days": 30,
        }
        every = json.dumps([{**usual, **one} for one in settings])
        ran = self.repository.run("-c", _JOB, str(self.folder), every, **self.environment)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        found: list[dict[str, Any]] = json.loads(ran.stdout.rpartition("FOUND ")[2])
        return found


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


def test_athena_selects_casts_and_divides_only_files_of_the_manifest_count_and_refusals_are_in_words(
    cloud: Cloud, job: Job
) -> None:
    asked: dict[str, str | list[str]] = {
        "record_key": ["customer_id"],
        "where": "region <> 'region-1' AND amount > 30",
        "partitions": "day=2026-01-02..2026-01-09",
    }
    refused: dict[str, dict[str, str | list[str]]] = {
        "has no column income that this project may see": {"columns": ["income"]},
        "either where names another column": {"where": "income > 1"},
        "may not see table salaries of database query_risk": {"table": "salaries"},
        "found no row in query_risk.loans": {"where": "amount < 0"},
        "TYPE_MISMATCH": {"where": "amount = 'much'"},
    }
    first, again, *others = job.run(asked, asked, *refused.values())
    expected = [n for n in range(ROWS) if n % 3 != 1 and n * 1.5 > 30]
    assert sorted(row["loan_id"] for row in first["rows"]) == expected
    assert {row["region"] for row in first["rows"]} == {"region-0", "region-2"}
    assert {row["day"] for row in first["rows"]} == {"2026-01-02"}
    assert first["wrong"] == 0
    assert {name.split("/")[0] for name in first["names"]} == {f"ml_split={s}" for s in ("train", "validation", "test")}
    report = first["report"]
    assert report["divided"] is True
    assert int(report["scanned_bytes"]) > 0
    assert report["instances"] == len(first["names"]) < 64
    assert "Contents" not in cloud.client("s3", DEV).list_objects_v2(Bucket=BUCKET, Prefix="athena/")
    assert again["report"]["query_id"] == report["query_id"]
    for words, found in zip(refused, others, strict=True):
        assert words in found["refused"]


@pytest.mark.prove
def test_an_unchanged_table_is_answered_from_the_cache_and_other_code_of_validate_goes_on_from_the_query(
    cloud: Cloud, job: Job
) -> None:
    runs, cached = "1 instance", "from the cache"
    assert job.pipeline(1) == {"Query": runs, "Validate": runs}
    assert job.pipeline(2) == {"Query": cached, "Validate": cached}
    script = job.repository.folder / "src" / "validate.py"
    script.write_text(script.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    assert job.pipeline(3) == {"Query": cached, "Validate": runs}
    glue = cloud.client("glue", DEV)
    known = glue.get_partition(DatabaseName="query_risk", TableName="loans", PartitionValues=["2026-01-02"])[
        "Partition"
    ]
    glue.batch_create_partition(
        DatabaseName="query_risk",
        TableName="loans",
        PartitionInputList=[{"Values": ["2026-01-03"], "StorageDescriptor": known["StorageDescriptor"]}],
    )
    assert job.pipeline(4) == {"Query": runs, "Validate": runs}
