"""Publishing, starting and running the pipeline against an API server that stands for AWS, over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from .generated import ROOT, Repository, without_local_pipelines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.seed

REGION = "eu-west-1"
NAME = "churn-p-abc123"
KEY = f"arn:aws:kms:{REGION}:123456789012:key/11111111-2222-3333-4444-555555555555"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
BUILD = {
    "PROJECT_NAME": "churn",
    "PROJECT_ID": "p-abc123",
    "PIPELINE_NAME": NAME,
    "MODEL_PACKAGE_GROUP": NAME,
    "ARTIFACT_BUCKET": "artifacts",
    "KMS_KEY_ARN": KEY,
    "PIPELINE_ROLE_ARN": "arn:aws:iam::123456789012:role/churn",
    "DATA_URI": "s3://lake/churn/",
    "LABEL": "churned",
    "PROBLEM_TYPE": "auto",
    "CODEBUILD_RESOLVED_SOURCE_VERSION": "0123456789abcdef0123456789abcdef01234567",
}


class Aws:
    """Clients of the API server."""

    def __init__(self, endpoint: str) -> None:
        self.environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}
        session = boto3.Session("test", "test", region_name=REGION)
        self.s3: Any = session.client("s3", endpoint_url=endpoint)
        self.sagemaker: Any = session.client("sagemaker", endpoint_url=endpoint)


@pytest.fixture(scope="module")
def aws(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """An account with the buckets and the model package group of a project, and the made-up sample as its data."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    server = subprocess.Popen(
        [str(ROOT / ".venv-rehearsal/bin/python"), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_port(port)
        account = Aws(f"http://127.0.0.1:{port}")
        for bucket in ("lake", "artifacts"):
            account.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        account.sagemaker.create_model_package_group(ModelPackageGroupName=NAME)
        sample = tmp_path_factory.mktemp("sample") / "customers.csv"
        made = repository.run(
            "-c",
            f"from pathlib import Path; from ml_pipelines import sample; sample.write(Path({str(sample)!r}), 1200)",
        )
        assert made.returncode == 0, made.stderr
        account.s3.upload_file(str(sample), "lake", "churn/customers.csv")
        yield account
    finally:
        server.terminate()
        server.wait()


def await_port(port: int) -> None:
    """Wait until a server listens."""
    end = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end, "the API server did not start"
        time.sleep(0.1)


def publish(checkout: Repository, aws: Aws, *options: str, **environment: str) -> str:
    """Publish the pipeline as the build does and return what was printed."""
    run = checkout.run("-m", "ml_pipelines", "upsert", *options, **aws.environment, **BUILD, **environment)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_publishing_twice_updates_and_changes_nothing_also_without_the_local_runner(
    repository: Repository, other_checkout: Repository, aws: Aws, tmp_path: Path
) -> None:
    publish(repository, aws)
    first = aws.sagemaker.describe_pipeline(PipelineName=NAME)["PipelineDefinition"]
    printed = publish(other_checkout, aws, "--start", **without_local_pipelines(tmp_path))
    assert aws.sagemaker.describe_pipeline(PipelineName=NAME)["PipelineDefinition"] == first
    (execution,) = aws.sagemaker.list_pipeline_executions(PipelineName=NAME)["PipelineExecutionSummaries"]
    assert execution["PipelineExecutionArn"] in printed
    code = [item for item in aws.s3.list_objects_v2(Bucket="artifacts")["Contents"] if "sourcedir" in item["Key"]]
    assert len(code) == 3
    assert all(aws.s3.head_object(Bucket="artifacts", Key=item["Key"])["SSEKMSKeyId"] == KEY for item in code)


def test_starting_without_data_says_where_it_should_be(repository: Repository, aws: Aws) -> None:
    environment = {**aws.environment, **BUILD, "DATA_URI": "s3://lake/nothing/"}
    run = repository.run("-m", "ml_pipelines", "start", **environment)
    assert run.returncode == 1
    assert "ERROR: There are no files at s3://lake/nothing/" in run.stderr


def execute(repository: Repository, aws: Aws, work: Path, execution: str) -> list[dict[str, Any]]:
    """Run the published definition against the account and return the events."""
    work.mkdir()
    definition = aws.sagemaker.describe_pipeline(PipelineName=NAME)["PipelineDefinition"]
    (work / "definition.json").write_text(definition)
    arn = f"arn:aws:sagemaker:{REGION}:123456789012:pipeline/{NAME}/execution/{execution}"
    run = repository.run(
        *("-m", "local_pipelines.runner", "--aws", "--definition", str(work / "definition.json")),
        *("--pipeline-name", NAME, "--execution-arn", arn, "--parameters", '{"DataVersion": "1"}'),
        *("--work", str(work / "jobs"), "--events", str(work / "events.jsonl")),
        **aws.environment,
    )
    events: list[dict[str, Any]] = [json.loads(line) for line in (work / "events.jsonl").read_text().splitlines()]
    assert run.returncode == (0 if events[-1]["execution"] == "Succeeded" else 1), run.stdout + run.stderr
    return events


def test_a_definition_runs_on_s3_and_ends_in_the_registry(repository: Repository, aws: Aws, tmp_path: Path) -> None:
    publish(repository, aws)
    events = execute(repository, aws, tmp_path / "first", "first0000001")
    assert events[-1] == {"execution": "Succeeded"}, events[-2:]
    (registered,) = [event for event in events if event.get("type") == "RegisterModel" and "properties" in event]
    arn = registered["metadata"]["RegisterModel"]["Arn"]
    package = aws.sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ModelPackageGroupName"] == NAME
    (container,) = package["InferenceSpecification"]["Containers"]
    bucket, key = container["ModelDataUrl"].removeprefix("s3://").split("/", 1)
    assert aws.s3.head_object(Bucket=bucket, Key=key)["SSEKMSKeyId"] == KEY
    report = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].removeprefix("s3://artifacts/")
    gate = json.load(aws.s3.get_object(Bucket="artifacts", Key=report)["Body"])["gate"]
    assert gate["champion_value"] is None

    # Once approved, it is what the next model has to match: the same data and code reach the same value.
    aws.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    events = execute(repository, aws, tmp_path / "second", "second000002")
    (evaluated,) = [event for event in events if event.get("step") == "Evaluate" and "properties" in event]
    uri = evaluated["properties"]["ProcessingOutputConfig"]["Outputs"]["evaluation"]["S3Output"]["S3Uri"]
    body = aws.s3.get_object(Bucket="artifacts", Key=f"{uri.removeprefix('s3://artifacts/')}/evaluation.json")["Body"]
    assert json.load(body)["gate"]["champion_value"] == pytest.approx(gate["value"])


def test_what_s3_refuses_fails_the_step_with_the_reason(repository: Repository, aws: Aws, tmp_path: Path) -> None:
    publish(repository, aws)
    definition = json.loads(aws.sagemaker.describe_pipeline(PipelineName=NAME)["PipelineDefinition"])
    definition["Parameters"][0]["DefaultValue"] = "s3://no-such-bucket/data/"
    (tmp_path / "definition.json").write_text(json.dumps(definition))
    run = repository.run(
        *("-m", "local_pipelines.runner", "--aws", "--definition", str(tmp_path / "definition.json")),
        *("--pipeline-name", NAME, "--execution-arn", f"arn:aws:sagemaker:{REGION}:1:pipeline/x/execution/y"),
        *("--parameters", '{"DataVersion": "1"}', "--work", str(tmp_path / "jobs")),
        **aws.environment,
    )
    assert run.returncode == 1
    assert "Step Validate failed: cannot list s3://no-such-bucket/data/" in run.stderr
