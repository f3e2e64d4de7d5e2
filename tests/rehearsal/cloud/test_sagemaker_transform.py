"""Batch transform, alone and as a step of a pipeline beside processing jobs written by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, REGION, AwsClient, Option, eventually
from aws_emulator.tests.serving_model import container, put_archives

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

BUCKET: Final = "transform-data"
OBJECTS: Final = f"arn:aws:s3:::{BUCKET}/*"


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> AwsClient:
    """A client as root of the account, in which archives and input are."""
    client = put_archives(cloud, DEV, BUCKET)
    files = {"good/a.csv": "1,2\n3,4\n", "good/sub/b.csv": "5,6\n", "bad/a.csv": "1,x\n", "bad/b.csv": "7\n"}
    for key, text in files.items():
        client.put_object(Bucket=BUCKET, Key=f"in/{key}", Body=text.encode())
    return client


@pytest.fixture(scope="module")
def sagemaker(cloud: Cloud, s3: AwsClient) -> AwsClient:
    """A client as root of the account, in which the model ``adds`` exists, whose role reads and writes the bucket."""
    del s3
    statements: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": OBJECTS},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"},
    ]
    role = cloud.role(DEV, "transform-model-role", statements)
    client = cloud.client("sagemaker", DEV)
    data = container(f"s3://{BUCKET}/models/double.tar.gz")
    client.create_model(ModelName="adds", PrimaryContainer=data, ExecutionRoleArn=role)
    return client


def request(source: str, target: str, **more: Option) -> dict[str, Any]:
    """Return the arguments of a transform job but its name."""
    place = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/in/{source}"}}
    return {
        "ModelName": "adds",
        "TransformInput": {"DataSource": place, "ContentType": "text/csv", "SplitType": "Line"},
        "TransformOutput": {
            "S3OutputPath": f"s3://{BUCKET}/out/{target}",
            "Accept": "text/csv",
            "AssembleWith": "Line",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **more,
    }


def run(sagemaker: AwsClient, name: str, **arguments: Option) -> dict[str, Any]:
    """Run a transform job and return its description."""
    sagemaker.create_transform_job(TransformJobName=name, **arguments)

    def description() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_transform_job(TransformJobName=name)
        return None if found["TransformJobStatus"] in {"InProgress", "Stopping"} else found

    return eventually(description, timeout_s=60)


def written(s3: AwsClient, prefix: str) -> dict[str, str]:
    """Return the texts of the objects below a prefix, by their key behind it."""
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {
        o["Key"].removeprefix(prefix): s3.get_object(Bucket=BUCKET, Key=o["Key"])["Body"].read().decode() for o in found
    }


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_every_object_gets_an_output_beside_its_name(sagemaker: AwsClient, s3: AwsClient, strategy: str) -> None:
    """``<input>.out`` below the output path: API reference, TransformOutput."""
    done = run(sagemaker, f"good-{strategy}", **request("good/", strategy, BatchStrategy=strategy))

    assert done["TransformJobStatus"] == "Completed", done
    assert written(s3, f"out/{strategy}/") == {"a.csv.out": "6\n14\n", "sub/b.csv.out": "22\n"}


def test_a_bad_record_fails_the_job_and_spares_the_other_files(
    cloud: Cloud, sagemaker: AwsClient, s3: AwsClient
) -> None:
    """No output for a file with a bad record, the others are still processed: developer guide, "Batch transform"."""
    done = run(sagemaker, "bad", **request("bad/", "bad"))

    assert done["TransformJobStatus"] == "Failed"
    assert done["FailureReason"] == "ClientError: See job logs for more information"
    assert written(s3, "out/bad/") == {"b.csv.out": "14\n"}
    events = cloud.client("logs", DEV).filter_log_events(logGroupName="/aws/sagemaker/TransformJobs")["events"]
    assert any("in/bad/a.csv: ClientError: 400. Message: no number" in event["message"] for event in events)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"MaxPayloadInMB": 60, "MaxConcurrentTransforms": 2}, "must not exceed 100 MB"),
        ({"ModelName": "nobody"}, "Could not find model"),
    ],
)
def test_a_job_that_cannot_run_is_refused(sagemaker: AwsClient, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason):
        sagemaker.create_transform_job(TransformJobName="refused", **request("good/", "no", **more))


def test_a_record_longer_than_the_payload_fails_the_job(cloud: Cloud, sagemaker: AwsClient, s3: AwsClient) -> None:
    """Exceeding MaxPayloadInMB is an error: developer guide, "Troubleshooting" of batch transform."""
    s3.put_object(Bucket=BUCKET, Key="in/long/a.csv", Body=b"1," * 600_000)

    done = run(sagemaker, "long", **request("long/", "long", MaxPayloadInMB=1))

    assert done["TransformJobStatus"] == "Failed"
    events = cloud.client("logs", DEV).filter_log_events(logGroupName="/aws/sagemaker/TransformJobs")["events"]
    assert any("Too much data for max payload size" in event["message"] for event in events)


# ---- steps of a pipeline --------------------------------------------------------------------------------------------

SCRIPT: Final = """
import json, os
from pathlib import Path

import boto3

rows = [line for file in sorted(Path("/opt/ml/processing/input/scores").rglob("*.out")) for line in file.open()]
who = boto3.client("sts", region_name=os.environ["AWS_REGION"]).get_caller_identity()["Arn"]
target = Path("/opt/ml/processing/output/report/report.json")
target.write_text(json.dumps({"rows": [float(row) for row in rows], "who": who, "note": os.environ["NOTE"]}))
"""


def definition(source: str, role: str) -> str:
    """Return a definition written by hand: a transform step, and a processing job that reads what it wrote."""
    place = "/opt/ml/processing"
    local = {"S3DataType": "S3Prefix", "S3InputMode": "File"}
    score = {"Name": "Score", "Type": "Transform", "Arguments": request(source, "pipeline")}
    check = {
        "Name": "Check",
        "Type": "Processing",
        "Arguments": {
            "ProcessingResources": {
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
            },
            "AppSpecification": {
                "ImageUri": "image",
                "ContainerEntrypoint": ["python3", f"{place}/input/code/check.py"],
            },
            "ProcessingInputs": [
                {
                    "InputName": "code",
                    "S3Input": {**local, "S3Uri": f"s3://{BUCKET}/code/1/", "LocalPath": f"{place}/input/code"},
                },
                {
                    "InputName": "scores",
                    "S3Input": {
                        **local,
                        "S3Uri": {"Get": "Steps.Score.TransformOutput.S3OutputPath"},
                        "LocalPath": f"{place}/input/scores",
                    },
                },
            ],
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "report",
                        "S3Output": {
                            "S3Uri": f"s3://{BUCKET}/report/1",
                            "LocalPath": f"{place}/output/report",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
            "RoleArn": role,
            "Tags": [{"Key": "ml-platform-deployment", "Value": "p-1-test"}],
            "Environment": {"NOTE": {"Get": "Parameters.Note"}},
        },
    }
    parameters = [{"Name": "Note", "Type": "String", "DefaultValue": "by hand"}]
    return json.dumps({"Version": "2020-12-01", "Parameters": parameters, "Steps": [check, score]})


def execute(sagemaker: AwsClient, name: str, role: str, text: str) -> dict[str, Any]:
    """Create a pipeline, run it, and return the description of the execution."""
    sagemaker.create_pipeline(
        PipelineName=name, PipelineDefinition=text, RoleArn=role, ClientRequestToken=name.ljust(32, "x")
    )
    arn = sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]

    def description() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return None if found["PipelineExecutionStatus"] == "Executing" else found

    return eventually(description, timeout_s=90)


def test_a_pipeline_scores_and_checks_as_its_role(cloud: Cloud, sagemaker: AwsClient, s3: AwsClient) -> None:
    s3.put_object(Bucket=BUCKET, Key="code/1/check.py", Body=SCRIPT.encode())
    jobs = f"arn:aws:sagemaker:{REGION}:{DEV}:transform-job/*"
    tagged = {"StringEquals": {"aws:RequestTag/ml-platform-deployment": "p-1-test"}}
    itself = f"arn:aws:iam::{DEV}:role/batch-pipeline"
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Action": ["sagemaker:AddTags", "sagemaker:CreateProcessingJob"],
            "Resource": "*",
            "Condition": tagged,
        },
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": itself},
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": OBJECTS},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"},
        {
            "Effect": "Allow",
            "Action": ["sagemaker:CreateTransformJob", "sagemaker:DescribeTransformJob"],
            "Resource": jobs,
        },
    ]
    role = cloud.role(DEV, "batch-pipeline", statements)

    done = execute(sagemaker, "scores", role, definition("good/", role))

    assert done["PipelineExecutionStatus"] == "Succeeded", done
    steps = sagemaker.list_pipeline_execution_steps(
        PipelineExecutionArn=done["PipelineExecutionArn"], SortOrder="Ascending"
    )["PipelineExecutionSteps"]
    assert [step["StepName"] for step in steps] == ["Score", "Check"]
    assert ":transform-job/pipelines-" in steps[0]["Metadata"]["TransformJob"]["Arn"]
    report = json.loads(written(s3, "report/1/")["report.json"])
    assert report["rows"] == [6, 14, 22]
    assert report["note"] == "by hand"
    assert report["who"].startswith(f"arn:aws:sts::{DEV}:assumed-role/batch-pipeline/")
    (job,) = sagemaker.list_processing_jobs(NameContains="-Check-")["ProcessingJobSummaries"]
    assert job["ProcessingJobStatus"] == "Completed"
    assert job["ProcessingJobArn"] == steps[1]["Metadata"]["ProcessingJob"]["Arn"]


def test_a_pipeline_whose_role_may_not_transform_fails_with_the_reason(cloud: Cloud, sagemaker: AwsClient) -> None:
    """A pipeline's role creates the jobs of its steps: developer guide, "IAM Access Management" of pipelines."""
    role = cloud.role(DEV, "powerless-pipeline", [])

    done = execute(sagemaker, "powerless", role, definition("good/", role))

    assert done["PipelineExecutionStatus"] == "Failed"
    assert "sagemaker:CreateTransformJob" in done["FailureReason"]


def test_a_job_needs_the_permission_to_pass_its_role(cloud: Cloud, sagemaker: AwsClient) -> None:
    """Developer guide, "IAM Access Management" of pipelines: the pipeline's role passes the role of its jobs."""
    allow = {"Effect": "Allow", "Action": ["sagemaker:AddTags", "sagemaker:CreateProcessingJob"], "Resource": "*"}
    role = cloud.role(DEV, "passes-no-role", [allow])
    steps = json.loads(definition("good/", role))["Steps"]
    check = {key: value for key, value in steps[0].items() if key != "DependsOn"}
    check["Arguments"] = {**check["Arguments"], "ProcessingInputs": [], "Environment": {}}

    done = execute(sagemaker, "unpassed", role, json.dumps({"Version": "2020-12-01", "Steps": [check]}))

    assert done["PipelineExecutionStatus"] == "Failed"
    assert "iam:PassRole" in done["FailureReason"]
