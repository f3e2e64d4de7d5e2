"""Batch predictions and monitors as deployed: the rendered stacks in an emulated account, and real runs."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from aws_emulator.tests import harness
from products.shared import seed_code
from tests.promoted import write_record
from tests.rehearsal.cloud.harness import running

from .generated import ROOT
from .trained import subscribers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .trained import TrainedModel

pytestmark = [pytest.mark.seed, pytest.mark.rehearsal]

ACCOUNT: Final = harness.DEV
GROUP: Final = "churn-222233334444"
TAG: Final = "p-abc123-test"
PACKAGE: Final = f"arn:aws:sagemaker:{harness.REGION}:{ACCOUNT}:model-package/{GROUP}/1"
BUCKET: Final = f"mlp-{TAG}-{ACCOUNT}-{harness.REGION}"
REGISTRY: Final = f"ml-platform-registry-{ACCOUNT}-{harness.REGION}"
BUS: Final = f"arn:aws:events:{harness.REGION}:{ACCOUNT}:event-bus/ml-platform"
IMAGE: Final = f"141502667606.dkr.ecr.{harness.REGION}.amazonaws.com/sagemaker-xgboost:3.2-0"

_STEPS: Final = """
import json, os, sys, time
from pathlib import Path
import boto3
from deployment import batch, cli, common_steps, copying, monitors, render, steps
from deployment.context import Context
from deployment.targets import Target

what, work = sys.argv[1:]
context = cli.make_context(os.environ)
session = boto3.Session()
target = Target("test", os.environ["TEST_ACCOUNT_ID"], os.environ["TEST_REGION"], session)
build = context.build
context = Context(build, context.environments, root=context.root, session=session, assume=lambda *_, **__: target)
if what == "render":
    common_steps.render_package(context, context.package, batch.TEMPLATE, batch.parameters)
elif what == "files":
    bucket = build.bucket("test")
    copying.copy_package(context.package, target, bucket, key_arn=work, source_region=build.hub_region)
    copying.put(target, bucket, batch.files(context, "test"), key_arn=work)
elif what == "monitors":
    settings = json.loads(work)
    watched = Context(build, {"test": {"monitors": settings}}, root=context.root, session=session)
    bucket = build.bucket("test")
    located = copying.located(context.package, bucket)
    values = common_steps.common_parameters(context, "test", located) | monitors.parameters(watched, "test", located)
    template = render.load(context.root / "templates" / "monitor.yaml")
    render.render("monitor", template, values, []).write(context.rendered / "test")
    key = target.client("kms").describe_key(KeyId="alias/mlp-p-abc123-test-data")["KeyMetadata"]["Arn"]
    copying.put(target, bucket, monitors.files(watched, "test"), key_arn=key)
else:
    steps.STEPS[what](context, pause=lambda seconds: time.sleep(seconds / 20))
"""


@dataclass(frozen=True)
class Deployment:
    """A deployed stage and the repository that deployed it."""

    cloud: harness.Cloud
    folder: Path

    def client(self, service: str) -> harness.AwsClient:
        return self.cloud.client(service, ACCOUNT)

    def step(self, what: str, argument: str = "") -> subprocess.CompletedProcess[str]:
        """Run part of a step in the repository."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
        build = {
            "PROJECT_NAME": "churn",
            "PROJECT_ID": "p-abc123",
            "MODEL_PACKAGE_GROUP": GROUP,
            "PACKAGE_ARN": PACKAGE,
            "PIPELINE_NAME": "mlp-p-abc123-deploy",
            "PIPELINE_EXECUTION_ID": "12345678-1234-1234-1234-123456789012",
            "ARTIFACT_BUCKET": "project",
            "KMS_KEY_ARN": f"arn:aws:kms:{harness.REGION}:{ACCOUNT}:alias/aws/s3",
            "HUB_ACCOUNT_ID": ACCOUNT,
            "HUB_REGION": harness.REGION,
            "HUB_BUS_ARN": BUS,
            "CONSOLE_HOST": "console.aws.amazon.com",
            "COST_CENTER": "4711",
            "STAGE": "test",
            "INPUT_URI_TEST": "s3://lake/churn/",
            "INPUT_URI_PROD": "s3://lake/churn/",
            "TRIGGER": "new-data",
            "SCHEDULE": "rate(1 day)",
            "NEW_DATA_SUFFIX": "",
            "INSTANCE_TYPE": "ml.m5.large",
            "INSTANCE_COUNT": "2",
            "MAX_BAD_PERCENT": "1",
        }
        for stage in ("TEST", "PROD"):
            build |= {f"{stage}_ACCOUNT_ID": ACCOUNT, f"{stage}_REGION": harness.REGION}
        key = self.client("kms").describe_key(KeyId="alias/project")["KeyMetadata"]["Arn"]
        return subprocess.run(
            [str(ROOT / ".venv-deployment/bin/python"), "-c", _STEPS, what, argument],
            cwd=self.folder,
            env={
                **clean,
                **build,
                "KMS_KEY_ARN": key,
                "AWS_ACCESS_KEY_ID": ACCOUNT,
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": harness.REGION,
                "AWS_ENDPOINT_URL": self.cloud.endpoint,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def done(self, what: str, argument: str = "") -> str:
        """Run part of a step, which has to succeed, and return what it printed."""
        run = self.step(what, argument)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def deploy(self, name: str, stack: str) -> dict[str, str]:
        """Deploy a rendered template and return the outputs."""
        template, parameters = (
            json.loads((self.folder / f"rendered/test/{name}.{kind}.json").read_text())
            for kind in ("template", "parameters")
        )
        template["Resources"].pop("BucketContents", None)  # its function belongs to the account
        description = self.cloud.deploy(
            ACCOUNT,
            stack,
            template,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        assert description["StackStatus"] == "CREATE_COMPLETE", self.cloud.failures(ACCOUNT, stack)
        return {entry["OutputKey"]: entry["OutputValue"] for entry in description.get("Outputs", [])}


@pytest.fixture(scope="module")
def deployment(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("batch") / "project"
    seed_code.write("deploy-batch", folder)
    with running(tmp_path_factory.mktemp("cloud"), python=str(ROOT / ".venv-seed/bin/python")) as cloud:
        deployed = Deployment(cloud, folder)
        s3, kms, iam = (deployed.client(service) for service in ("s3", "kms", "iam"))
        for bucket in (REGISTRY, "lake", "project"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": harness.REGION})
        s3.put_bucket_notification_configuration(
            Bucket="lake", NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        kms.create_alias(AliasName="alias/project", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        iam.create_policy(
            PolicyName="ml-platform-deployment-boundary",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
        )
        deployed.client("events").create_event_bus(Name="ml-platform")
        for path in (model.folder / "model.tar.gz", *(model.folder / "baseline").iterdir()):
            s3.upload_file(str(path), REGISTRY, f"7/{path.name}")
        for path in (model.folder / "samples").iterdir():
            s3.upload_file(str(path), REGISTRY, f"7/samples/{path.name}")
        register(deployed.client("sagemaker"), s3)
        deployed.done("render")
        outputs = deployed.deploy("base", f"mlp-{TAG}-base")
        deployed.done("files", outputs["KeyArn"])
        deployed.deploy("batch", f"mlp-{TAG}")
        yield deployed


def register(sagemaker: harness.AwsClient, s3: harness.AwsClient) -> None:
    """Register the model as approved."""
    sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)

    def file(name: str) -> dict[str, str]:
        return {"ContentType": "application/json", "S3Uri": f"s3://{REGISTRY}/7/{name}"}

    types = ["text/csv", "application/json", "application/jsonlines"]
    request = {
        "InferenceSpecification": {
            "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{REGISTRY}/7/model.tar.gz"}],
            "SupportedContentTypes": types,
            "SupportedResponseMIMETypes": types,
        },
        "DriftCheckBaselines": {
            "ModelDataQuality": {"Statistics": file("statistics.json"), "Constraints": file("constraints.json")},
            "Explainability": {"Constraints": file("analysis.json")},
        },
        "CustomerMetadataProperties": {"samples": f"s3://{REGISTRY}/7/samples"},
    }
    package = sagemaker.create_model_package(ModelPackageGroupName=GROUP, ModelApprovalStatus="Approved", **request)
    assert package["ModelPackageArn"] == PACKAGE
    write_record(s3, REGISTRY, PACKAGE, request)


def test_the_batch_test_runs_the_pipeline_and_reports(deployment: Deployment) -> None:
    printed = deployment.done("batch-test")
    assert "Passed: 200 predictions of 202 rows" in printed
    assert "0 different from training, 2 bad rows set aside" in printed
    variables = (deployment.folder / "variables.env").read_text()
    assert "SUMMARY='Passed: 200 predictions" in variables
    assert "batch-test-test.html" in variables
    key = "reports/12345678-1234-1234-1234-123456789012/batch-test-test.json"
    report = json.load(deployment.client("s3").get_object(Bucket="project", Key=key)["Body"])
    assert report["passed"] is True
    assert [check["passed"] for check in report["checks"]] == [True, True, True]
    assert report["manifest"]["reasons"] == {"1 fields instead of 9": 1, "10 fields instead of 9": 1}


def test_new_data_starts_a_run_for_the_new_object(deployment: Deployment) -> None:
    s3 = deployment.client("s3")
    fields = [name for name in subscribers(1, seed=31)[0] if name != "churned"]
    rows = [",".join(record[name] for name in fields) for record in subscribers(150, seed=31)]
    s3.put_object(Bucket="lake", Key="churn/2026-05-04.csv", Body="\n".join([",".join(fields), *rows]).encode())
    sagemaker = deployment.client("sagemaker")

    def manifest() -> dict[str, Any] | None:
        runs = sagemaker.list_pipeline_executions(PipelineName=f"mlp-{TAG}-batch")["PipelineExecutionSummaries"]
        for run in runs:
            steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=run["PipelineExecutionArn"])
            assert not any("FailureReason" in step for step in steps["PipelineExecutionSteps"]), steps
            place = f"batch/run={run['PipelineExecutionArn'].rsplit('/', 1)[-1]}/"
            found = s3.list_objects_v2(Bucket=BUCKET, Prefix=place).get("Contents", [])
            if any(item["Key"] == f"{place}_SUCCESS" for item in found):
                content: dict[str, Any] = json.load(s3.get_object(Bucket=BUCKET, Key=f"{place}_manifest.json")["Body"])
                if content["object"] == "churn/2026-05-04.csv":
                    return content
        return None

    content = harness.eventually(manifest, timeout_s=120)
    assert (content["rows"], content["predictions"], content["rejected"]) == (150, 150, 0)
    assert content["monitors"].startswith(f"s3://{BUCKET}/monitoring/churn-{TAG}/run=")


def failure(deployment: Deployment, uri: str) -> tuple[str, str]:
    """Start a run that fails and return its ARN and the reason of its first step."""
    sagemaker = deployment.client("sagemaker")
    arn: str = sagemaker.start_pipeline_execution(
        PipelineName=f"mlp-{TAG}-batch", PipelineParameters=[{"Name": "Input", "Value": uri}]
    )["PipelineExecutionArn"]

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return found if found["PipelineExecutionStatus"] == "Failed" else None

    harness.eventually(ended, timeout_s=60)
    (step,) = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
    assert step["StepName"] == "Check"
    return arn, step["FailureReason"]


def test_a_failed_run_says_why_and_rings(deployment: Deployment) -> None:
    arn, reason = failure(deployment, "s3://lake/churn/nothing/")
    assert "There are no rows in 0 files at s3://lake/churn/nothing/" in reason
    sqs = deployment.client("sqs")
    url = sqs.get_queue_url(QueueName=f"mlp-{TAG}-batch-failures")["QueueUrl"]

    def told() -> bool:
        return any(arn in message["Body"] for message in sqs.receive_message(QueueUrl=url).get("Messages", []))

    harness.eventually(told)


def test_a_run_reads_the_input_of_its_stage_only(deployment: Deployment) -> None:
    _, reason = failure(deployment, f"s3://{REGISTRY}/7/")
    assert "AccessDenied" in reason
    assert "The input has to be below input.uri of environments.yaml" in reason


MONITORS: Final[dict[str, Any]] = {
    "enabled": True,
    "schedule": "cron(20 6 * * ? *)",
    "window_hours": 24,
    "min_records": 100,
    "max_records": 5000,
    "instance_type": "ml.m5.large",
    "data_quality": {"enabled": True},
    "model_quality": {"enabled": True, "lookback_hours": 24},
    "bias": {"enabled": False, "facets": []},
    "explainability": {"enabled": True, "min_ndcg": 0.9},
}


def test_the_monitors_of_an_endpoint_run_with_the_rights_of_their_role(deployment: Deployment) -> None:
    deployment.done("monitors", json.dumps(MONITORS))
    deployment.deploy("monitor", f"mlp-{TAG}-monitors")
    records = [{**record, "plan": "platinum"} for record in subscribers(150, seed=32)]
    lines = [
        {
            "captureData": {
                "endpointInput": {
                    "observedContentType": "application/json",
                    "mode": "INPUT",
                    "data": json.dumps({name: value for name, value in record.items() if name != "churned"}),
                    "encoding": "JSON",
                }
            },
            "eventMetadata": {"eventId": str(number), "inferenceTime": "2026-05-04T05:10:00Z"},
            "eventVersion": "0",
        }
        for number, record in enumerate(records)
    ]
    endpoint = f"churn-{TAG}"
    s3, sagemaker = deployment.client("s3"), deployment.client("sagemaker")
    key = f"capture/{endpoint}/main/2026/05/04/05/10-00-000-0a1b.jsonl"
    s3.put_object(Bucket=BUCKET, Key=key, Body="".join(json.dumps(line) + "\n" for line in lines).encode())
    arn = sagemaker.start_pipeline_execution(
        PipelineName=f"mlp-{TAG}-monitor", PipelineParameters=[{"Name": "End", "Value": "2026-05-04T06:00:00Z"}]
    )["PipelineExecutionArn"]

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return None if found["PipelineExecutionStatus"] == "Executing" else found

    end = harness.eventually(ended, timeout_s=60)
    assert end["PipelineExecutionStatus"] == "Succeeded", end
    folder = f"monitoring/{endpoint}/2026/05/04/05"
    report = json.load(s3.get_object(Bucket=BUCKET, Key=f"{folder}/report.json")["Body"])
    quality = report["monitors"][0]
    assert (quality["monitor"], quality["verdict"]) == ("data-quality", "violations")
    assert json.load(s3.get_object(Bucket=BUCKET, Key=f"{folder}/event.json")["Body"])["state"] == "sent"


def test_other_predictions_than_in_training_stop_the_deployment(deployment: Deployment) -> None:
    s3 = deployment.client("s3")
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="packages/")["Contents"]
    (key,) = [item["Key"] for item in listed if item["Key"].endswith("samples/expected.jsonl")]
    good = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    first, *others = good.decode().splitlines()
    wrong = json.dumps({**json.loads(first), "expected": {"score": 2.0, "label": "1"}})
    s3.put_object(Bucket=BUCKET, Key=key, Body="\n".join([wrong, *others]).encode())
    run = deployment.step("smoke-test")
    s3.put_object(Bucket=BUCKET, Key=key, Body=good)
    assert run.returncode != 0
    assert "Predictions equal those of training: 199 of 200 within 1e-06" in run.stderr
    assert "is deployed all the same, and runs start with it. To go back: reject the package" in run.stderr
    assert "SUMMARY='FAILED: 200 predictions of 200 rows" in (deployment.folder / "variables.env").read_text()


def test_a_withdrawn_approval_stops_the_test(deployment: Deployment) -> None:
    sagemaker = deployment.client("sagemaker")
    sagemaker.update_model_package(ModelPackageArn=PACKAGE, ModelApprovalStatus="Rejected")
    run = deployment.step("batch-test")
    sagemaker.update_model_package(ModelPackageArn=PACKAGE, ModelApprovalStatus="Approved")
    assert run.returncode != 0
    assert "is no longer approved: it is Rejected" in run.stderr
