"""The steps of a real-time deployment, run as builds run them, against the emulated organisation."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest

from aws_emulator.codeconnections.handshake import complete_handshake
from aws_emulator.tests.harness import DEV, HUB, REGION, ROOT, SHORT_PAUSES, Cloud, eventually
from aws_emulator.tests.test_codepipeline import allow, commit, role
from products.shared import seed_code
from tests.promoted import write_record
from tests.rehearsal.cloud.harness import running
from tests.rehearsal.cloud.test_deployment_baseline import GROUP, PROJECT, Builds, baseline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.rehearsal

REGISTRY: Final = f"ml-platform-registry-{HUB}-{REGION}"
REPORTS: Final = f"mlp-{PROJECT}-{HUB}-{REGION}"
EXECUTION: Final = "11111111-2222-3333-4444-555555555555"
PYTHON: Final = ROOT / ".venv-deployment" / "bin" / "python"
SCHEDULES: Final = {
    "SCHEDULE_GROUP": f"mlp-{PROJECT}-shadow",
    "SCHEDULE_ROLE_ARN": f"arn:aws:iam::{HUB}:role/schedules",
    "MISSED_STARTS_ARN": f"arn:aws:sqs:{REGION}:{HUB}:missed",
}
CHOICES: Final = {
    "ENDPOINT_TYPE": "instance",
    "INSTANCE_TYPE": "ml.m5.large",
    "INSTANCE_COUNT": "2",
    "MAX_INSTANCE_COUNT": "4",
    "TRAFFIC_POLICY": "canary",
    "MAX_LATENCY_MS": "500",
    "MAX_ERROR_PERCENT": "1",
    "CAPTURE_PERCENT": "100",
    "CAPTURE_REPLICA_BUCKET": "",
    "CAPTURE_REPLICA_KEY_ARN": "",
    "SHADOW_HOURS": "24",
    "API_AUTH": "none",
    "API_USER_POOL_ARN": "",
    **SCHEDULES,
}
INFERENCE: Final = """
import csv, io, json
from pathlib import Path

from sagemaker_inference.errors import BaseInferenceToolkitError


class BadRequestError(ValueError, BaseInferenceToolkitError):
    def __init__(self, message):
        BaseInferenceToolkitError.__init__(self, 400, message, "Bad Request")


def model_fn(model_dir):
    return float((Path(model_dir) / "oldest.txt").read_text())


def input_fn(body, content_type):
    text = body.decode() if isinstance(body, bytes) else body
    try:
        if content_type == "application/json":
            content = json.loads(text)
            return [float(record["age"]) for record in (content if isinstance(content, list) else [content])]
        if content_type == "text/csv":
            header, *rows = list(csv.reader(io.StringIO(text)))
            if rows and all(len(row) == len(header) for row in rows):
                return [float(row[header.index("age")]) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise BadRequestError(str(error))
    raise BadRequestError("this cannot be read")


def predict_fn(ages, oldest):
    return [{"score": age / oldest, "label": "yes" if age >= oldest / 2 else "no"} for age in ages]


def output_fn(answers, accept):
    if accept == "text/csv":
        return "".join(f"{answer['score']},{answer['label']}\\n" for answer in answers)
    return json.dumps({"predictions": answers})
"""


def archive(oldest: float) -> bytes:
    """Return the archive of a model whose score is the age in relation to the oldest."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, text in {"oldest.txt": str(oldest), "code/inference.py": INFERENCE}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def samples(oldest: float) -> dict[str, str]:
    """Return held-out records with what a model answers to them."""
    ages = range(20, 80, 2)
    answers = [{"score": age / oldest, "label": "yes" if age >= oldest / 2 else "no"} for age in ages]
    return {
        "records.csv": "age\n" + "".join(f"{age}\n" for age in ages),
        "records.jsonl": "".join(json.dumps({"age": age}) + "\n" for age in ages),
        "expected.jsonl": "".join(json.dumps({"expected": a, "actual": a["label"]}) + "\n" for a in answers),
    }


def package(uri: str, *, image: str) -> dict[str, Any]:
    """Return what is registered about a model: its archive and its samples are below a URI."""
    types = ["text/csv", "application/json"]
    variables = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    container = {"Image": image, "ModelDataUrl": f"{uri}/model.tar.gz", "Environment": variables}
    return {
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": types,
            "SupportedResponseMIMETypes": types,
        },
        "CustomerMetadataProperties": {"samples": f"{uri}/samples", "metric": "auc", "metric_value": "0.87"},
    }


class Project:
    """A deployment project of the hub whose two stages are in one account."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        self.execution = EXECUTION
        self._package: dict[str, str] = {}
        self.folder = folder / "repository"
        seed_code.write("deploy-realtime", self.folder)
        # The function behind the custom resource is not deployed here.
        base = self.folder / "templates" / "base.yaml"
        text, count = re.subn(r"\n  BucketContents:\n(    .*\n)+", "\n", base.read_text())
        assert count == 1
        base.write_text(text)
        settings = self.folder / "environments.yaml"
        settings.write_text(settings.read_text().replace("min_requests: 100", "min_requests: 10"))
        stack = cloud.deploy(DEV, "realtime-baseline", baseline(folder))
        assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "realtime-baseline")
        builds = Builds(cloud)
        self._roles = {stage: builds.role(f"{PROJECT}-{stage}") for stage in ("test", "prod")}
        s3 = cloud.client("s3", HUB)
        for bucket in (REGISTRY, REPORTS):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        reader = {"Effect": "Allow", "Principal": {"AWS": DEV}, "Action": ["s3:GetObject", "s3:ListBucket"]}
        resources = [f"arn:aws:s3:::{REGISTRY}", f"arn:aws:s3:::{REGISTRY}/*"]
        s3.put_bucket_policy(
            Bucket=REGISTRY,
            Policy=json.dumps({"Version": "2012-10-17", "Statement": [{**reader, "Resource": resources}]}),
        )
        self.key = cloud.client("kms", HUB).create_key()["KeyMetadata"]["Arn"]
        cloud.client("sagemaker", HUB).create_model_package_group(ModelPackageGroupName=GROUP)
        cloud.client("scheduler", HUB).create_schedule_group(Name=SCHEDULES["SCHEDULE_GROUP"])
        cloud.role(HUB, "schedules", [])
        statements = [
            {"Effect": "Allow", "Action": actions, "Resource": "*"}
            for actions in (
                ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
                ["kms:GenerateDataKey", "kms:Decrypt"],
                ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"],
                ["scheduler:CreateSchedule", "iam:PassRole"],
                ["codepipeline:GetPipelineState", "codepipeline:PutApprovalResult"],
            )
        ]
        for stage in ("test", "prod"):
            cloud.client("iam", HUB).put_role_policy(
                RoleName=f"mlp-{PROJECT}-{stage}",
                PolicyName="Hub",
                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
            )

    def register(self, version: int, oldest: float, *, expected: float | None = None) -> None:
        """Approve a model in the hub's registry."""
        s3, prefix = self.cloud.client("s3", HUB), f"packages/{GROUP}/{version}"
        s3.put_object(Bucket=REGISTRY, Key=f"{prefix}/model.tar.gz", Body=archive(oldest))
        for name, text in samples(expected or oldest).items():
            s3.put_object(Bucket=REGISTRY, Key=f"{prefix}/samples/{name}", Body=text.encode())
        uri = f"s3://{REGISTRY}/{prefix}"
        request = package(uri, image=f"{HUB}.dkr.ecr.{REGION}.amazonaws.com/xgboost:3")
        arn = self.cloud.client("sagemaker", HUB).create_model_package(
            ModelPackageGroupName=GROUP, ModelApprovalStatus="Approved", **request
        )["ModelPackageArn"]
        write_record(s3, REGISTRY, arn, request)

    def step(self, name: str, stage: str) -> subprocess.CompletedProcess[str]:
        """Run a step as the build of a stage runs it."""
        credentials = self._roles[stage]
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PYTEST_"))}
        return subprocess.run(
            [str(PYTHON), "-m", "deployment", name],
            cwd=self.folder,
            env={
                **clean,
                **SHORT_PAUSES,
                "AWS_ENDPOINT_URL": self.cloud.endpoint,
                "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
                "AWS_SESSION_TOKEN": credentials["SessionToken"],
                "AWS_REGION": REGION,
                "PROJECT_NAME": "churn",
                "PROJECT_ID": PROJECT,
                "MODEL_PACKAGE_GROUP": GROUP,
                "PIPELINE_NAME": f"mlp-{PROJECT}-deploy",
                "ARTIFACT_BUCKET": REPORTS,
                "KMS_KEY_ARN": self.key,
                "HUB_ACCOUNT_ID": HUB,
                "HUB_REGION": REGION,
                "HUB_BUS_ARN": f"arn:aws:events:{REGION}:{HUB}:event-bus/ml-platform",
                "CONSOLE_HOST": "console.aws.amazon.com",
                "COST_CENTER": "4711",
                **{f"{of}_{key}": value for of in ("TEST", "PROD") for key, value in self._place.items()},
                **CHOICES,
                "STAGE": stage,
                "PIPELINE_EXECUTION_ID": self.execution,
                **self._package,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def _place(self) -> dict[str, str]:
        return {"ACCOUNT_ID": DEV, "REGION": REGION}

    def choose(self) -> None:
        """Render, as the pipeline does first; later steps are about the package that was chosen."""
        self._package = {}
        self.succeed("render", "test")
        (chosen,) = re.findall(r"^PACKAGE_ARN=(\S+)$", (self.folder / "variables.env").read_text(), re.MULTILINE)
        self._package = {"PACKAGE_ARN": chosen}

    def succeed(self, name: str, stage: str) -> str:
        """Run a step that must succeed, and return what it printed."""
        run = self.step(name, stage)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def ask(self, stage: str, age: int) -> dict[str, Any]:
        """Ask the endpoint of a stage for one prediction."""
        runtime = self.cloud.client("sagemaker-runtime", DEV)
        answer = runtime.invoke_endpoint(
            EndpointName=f"churn-{PROJECT}-{stage}",
            Body=json.dumps({"age": age}),
            ContentType="application/json",
            Accept="application/json",
        )
        (found,) = json.loads(answer["Body"].read())["predictions"]
        return dict(found)

    def variants(self, stage: str) -> set[str]:
        """Return the names of the variants of a stage's endpoint."""
        found = self.cloud.client("sagemaker", DEV).describe_endpoint(EndpointName=f"churn-{PROJECT}-{stage}")
        return {
            variant["VariantName"]
            for kind in ("ProductionVariants", "ShadowProductionVariants")
            for variant in found.get(kind) or []
        }

    def captured(self, variant: str) -> int:
        """Return how many answers of a variant in prod have been captured."""
        s3, bucket = self.cloud.client("s3", DEV), f"mlp-{PROJECT}-prod-{DEV}-{REGION}"
        found = s3.list_objects_v2(Bucket=bucket, Prefix=f"capture/churn-{PROJECT}-prod/{variant}/").get("Contents", [])
        bodies = (s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in found)
        return sum(body.count(b"\n") for body in bodies)

    def wait_for_period(self, folder: Path) -> None:
        """Start a pipeline that waits for the end of a shadow period; later steps belong to its execution."""
        self.execution = period_of_pipeline(self.cloud, folder)

    def answered(self) -> dict[str, Any]:
        """Return what the approval of the period was answered."""
        client = self.cloud.client("codepipeline", HUB)
        stages = client.get_pipeline_state(name=f"mlp-{PROJECT}-deploy")["stageStates"]
        (action,) = next(stage for stage in stages if stage["stageName"] == "Shadow")["actionStates"]
        found: dict[str, Any] = action["latestExecution"]
        return found


def period_of_pipeline(cloud: Cloud, folder: Path) -> str:
    """Start a pipeline whose second stage is the approval of a shadow period, and return its execution."""
    bare, checkout = cloud.git_root / "team/deployment.git", folder / "checkout"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(bare), str(checkout)], check=True, capture_output=True)
    commit(checkout, "anything", README__md="anything")
    connections = cloud.client("codeconnections", HUB)
    connection = connections.create_connection(ConnectionName="deployment", ProviderType="GitHub")["ConnectionArn"]
    credentials = boto3.session.Session(aws_access_key_id=HUB, aws_secret_access_key="test").get_credentials()
    assert credentials
    complete_handshake(cloud.endpoint, REGION, credentials, connection)
    name = f"mlp-{PROJECT}-deploy"
    source = {
        "ConnectionArn": connection,
        "FullRepositoryId": "team/deployment",
        "BranchName": "main",
        "DetectChanges": "false",
    }
    stages = {
        "Source": ("Source", "Source", "CodeStarSourceConnection", source, [{"Name": "Source"}]),
        "Shadow": ("Period", "Approval", "Manual", {}, []),
    }
    objects = allow(["s3:PutObject"], f"arn:aws:s3:::{REPORTS}/*")
    resources = {
        "Role": role("codepipeline", allow(["codeconnections:UseConnection"], connection), objects),
        "Pipeline": {
            "Type": "AWS::CodePipeline::Pipeline",
            "Properties": {
                "Name": name,
                "PipelineType": "V2",
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "ArtifactStore": {"Type": "S3", "Location": REPORTS},
                "Stages": [
                    {
                        "Name": stage,
                        "Actions": [
                            {
                                "Name": action,
                                "ActionTypeId": {
                                    "Category": kind,
                                    "Owner": "AWS",
                                    "Provider": provider,
                                    "Version": "1",
                                },
                                "Configuration": configuration,
                                "OutputArtifacts": artifacts,
                            }
                        ],
                    }
                    for stage, (action, kind, provider, configuration, artifacts) in stages.items()
                ],
            },
        },
    }
    stack = cloud.deploy(HUB, "period-pipeline", {"Resources": resources})
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(HUB, "period-pipeline")
    client = cloud.client("codepipeline", HUB)

    def waiting() -> str | None:
        state = client.get_pipeline_state(name=name)["stageStates"][1]
        latest = state["actionStates"][0].get("latestExecution", {})
        return str(state["latestExecution"]["pipelineExecutionId"]) if latest.get("token") else None

    return eventually(waiting, timeout_s=30)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An organisation of its own: the accounts get a baseline, of which there can be one only."""
    with running(tmp_path_factory.mktemp("cloud")) as organization:
        yield organization


@pytest.fixture(scope="module")
def project(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project; its tests go on where the one before ended."""
    return Project(cloud, tmp_path_factory.mktemp("project"))


@pytest.mark.prove
def test_a_model_goes_to_test_and_prod_and_the_next_one_is_its_shadow(cloud: Cloud, project: Project) -> None:
    project.register(1, 100)
    project.choose()
    project.succeed("deploy", "test")
    project.succeed("endpoint-test", "test")
    project.succeed("deploy", "prod")
    assert project.ask("prod", 50) == {"score": 0.5, "label": "yes"}
    assert eventually(lambda: project.captured("main"))

    project.register(2, 90, expected=100)
    project.choose()
    project.succeed("deploy", "test")
    failed = project.step("endpoint-test", "test")
    assert failed.returncode == 1
    assert "answers are those of training" in failed.stderr

    assert "the comparison starts at" in project.succeed("shadow", "prod")
    (schedule,) = cloud.client("scheduler", HUB).list_schedules(GroupName=SCHEDULES["SCHEDULE_GROUP"])["Schedules"]
    assert schedule["Name"] == f"mlp-{PROJECT}-{EXECUTION}"
    assert project.ask("prod", 50)["score"] == 0.5
    assert eventually(lambda: project.captured("shadow"))
    project.succeed("deploy", "prod")
    assert project.ask("prod", 45) == {"score": 0.5, "label": "yes"}
    assert project.variants("prod") == {"main"}


@pytest.mark.prove
def test_a_shadow_that_decides_alike_is_approved_by_the_comparison_and_takes_over(project: Project) -> None:
    project.register(3, 91)
    project.choose()
    project.wait_for_period(project.folder.parent)
    project.succeed("shadow", "prod")
    assert project.variants("prod") == {"main", "shadow"}
    before = {name: project.captured(name) for name in ("main", "shadow")}
    for age in range(20, 44):
        project.ask("prod", age)
    assert eventually(lambda: all(project.captured(name) - before[name] == 24 for name in before))
    assert "The new model may take over: 24 requests" in project.succeed("compare", "prod")
    answer = eventually(lambda: found if (found := project.answered())["status"] != "InProgress" else None)
    assert answer["status"] == "Succeeded"
    project.succeed("deploy", "prod")
    assert project.ask("prod", 91) == {"score": 1.0, "label": "yes"}
    assert project.variants("prod") == {"main"}
