"""Two stages in one account of the emulated organisation, with the deploy role and the boundary that accounts get."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from aws_emulator.tests.harness import DEV, HUB, REGION, SHORT_PAUSES, Cloud, eventually
from foundation import deploy_role, deployment_boundary
from foundation.policy_documents import documents
from products.shared import names
from tests.promoted import write_record
from tests.rehearsal.cloud.harness import running

from .generated import ROOT, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.rehearsal

PROJECT = "p-abc123"
GROUP = f"churn-p-1-{DEV}"
REGISTRY = f"{names.PREFIX}-registry-{HUB}-{REGION}"
REPORTS = f"mlp-{PROJECT}-{HUB}-{REGION}"
EVERYTHING = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]


def bucket(stage: str) -> str:
    return f"mlp-{PROJECT}-{stage}-{DEV}-{REGION}"


def filled(document: Mapping[str, Any]) -> str:
    """Return a policy of the baseline as CloudFormation writes it into the account."""
    text = json.dumps(document)
    values = {"Partition": "aws", "AccountId": DEV, "Region": REGION, "URLSuffix": "amazonaws.com"}
    for name, value in values.items():
        text = text.replace(f"${{AWS::{name}}}", value)
    return text.replace("${!", "${")


class Organisation:
    """A hub with an approved package, and an account that takes deployments.

    Attributes:
        cloud: The emulator.
        package: Its ARN.
    """

    def __init__(self, cloud: Cloud, repository: Repository) -> None:
        self.cloud = cloud
        self._repository = repository
        self._prepare_account()
        self.package = self._register()
        self._roles = {
            stage: cloud.role(
                HUB,
                f"mlp-{PROJECT}-{stage}",
                EVERYTHING,
                Path=names.PROJECT_ROLE_PATH,
                Tags=[
                    {"Key": names.DEPLOYMENT_TAG, "Value": f"{PROJECT}-{stage}"},
                    {"Key": names.GROUP_TAG, "Value": GROUP},
                ],
            )
            for stage in names.STAGES
        }

    def run(self, step: str, stage: str, **variables: str) -> str:
        """Run a step as the build of a stage does and return what it printed, errors included."""
        keys = self.cloud.assume(self._roles[stage])
        choices = (self._repository.folder / "choices.env").read_text().splitlines()
        environment = {
            **dict(line.split("=", 1) for line in choices if line and not line.startswith("#")),
            **SHORT_PAUSES,
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["SessionToken"],
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "PROJECT_NAME": "churn",
            "PROJECT_ID": PROJECT,
            "MODEL_PACKAGE_GROUP": GROUP,
            "PIPELINE_NAME": f"mlp-{PROJECT}-deploy",
            "PIPELINE_EXECUTION_ID": "execution",
            "ARTIFACT_BUCKET": REPORTS,
            "KMS_KEY_ARN": f"arn:aws:kms:{REGION}:{HUB}:key/1",
            "HUB_ACCOUNT_ID": HUB,
            "HUB_REGION": REGION,
            "HUB_BUS_ARN": f"arn:aws:events:{REGION}:{HUB}:event-bus/ml-platform",
            "CONSOLE_HOST": "console.aws.amazon.com",
            "COST_CENTER": "4711",
            **{f"{name.upper()}_ACCOUNT_ID": DEV for name in names.STAGES},
            **{f"{name.upper()}_REGION": REGION for name in names.STAGES},
            "STAGE": stage,
            **({} if step == "render" else {"PACKAGE_ARN": self.package}),
            **variables,
        }
        run = self._repository.run("-m", "deployment", step, **environment)
        assert "Traceback" not in run.stderr, run.stderr
        return f"{run.stdout}{run.stderr}exit status {run.returncode}"

    def stacks(self) -> dict[str, str]:
        """Return the status of every stack of the account by name."""
        found = self.cloud.client("cloudformation", DEV).describe_stacks()["Stacks"]
        return {stack["StackName"]: stack["StackStatus"] for stack in found}

    def keys(self, stage: str) -> set[str]:
        """Return the keys in a stage's bucket."""
        answer = self.cloud.client("s3", DEV).list_objects_v2(Bucket=bucket(stage))
        return {entry["Key"] for entry in answer.get("Contents", [])}

    def delete(self, stack: str) -> None:
        """Delete a stack and wait until it is gone."""
        client = self.cloud.client("cloudformation", DEV)
        client.delete_stack(StackName=stack)
        eventually(lambda: stack not in self.stacks() or None, timeout_s=60)

    def _prepare_account(self) -> None:
        """Give the account what the deployment baseline gives it."""
        iam = self.cloud.client("iam", DEV)
        boundary = filled(deployment_boundary.document(HUB))
        iam.create_policy(PolicyName=names.DEPLOYMENT_BOUNDARY_POLICY, PolicyDocument=boundary)
        iam.create_role(RoleName=names.DEPLOY_ROLE, AssumeRolePolicyDocument=filled(deploy_role.trust(HUB)))
        for number, document in enumerate(documents(deploy_role.statements(HUB, regions=[REGION]))):
            iam.put_role_policy(RoleName=names.DEPLOY_ROLE, PolicyName=str(number), PolicyDocument=filled(document))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("lambdas/__init__.py", "")
            for folder in ("bucket_emptier", "shared"):
                for path in (ROOT / "lambdas" / folder).glob("*.py"):
                    zipped.write(path, str(path.relative_to(ROOT)))
        self.cloud.client("lambda", DEV).create_function(
            FunctionName=names.BUCKET_EMPTIER_FUNCTION,
            Runtime="python3.13",
            Role=self.cloud.role(DEV, "emptier", EVERYTHING),
            Handler="lambdas.bucket_emptier.handler.lambda_handler",
            Code={"ZipFile": archive.getvalue()},
            Timeout=60,
            Environment={"Variables": {"ACCOUNT_ID": DEV}},
        )

    def _register(self) -> str:
        """Put an approved package into the hub's registry and return its ARN."""
        s3 = self.cloud.client("s3", HUB)
        for name in (REGISTRY, REPORTS):
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        readers = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"},
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{REGISTRY}", f"arn:aws:s3:::{REGISTRY}/*"],
        }
        s3.put_bucket_policy(Bucket=REGISTRY, Policy=json.dumps({"Version": "2012-10-17", "Statement": [readers]}))
        printed = self._repository.run(
            "-c", "import json; from deployment import local; print(json.dumps(local.PACKAGE))"
        )
        text = re.sub(r"s3://[a-z0-9-]+/packages/[^/]+/", f"s3://{REGISTRY}/packages/{GROUP}/", printed.stdout)
        text = text.replace("121021644041.dkr.ecr.ap-southeast-1", f"141502667606.dkr.ecr.{REGION}")
        package = json.loads(text)
        samples = package["CustomerMetadataProperties"]["samples"]
        for uri in {*re.findall(r's3://[^"]+', text), f"{samples}/records.jsonl"} - {samples}:
            s3.put_object(Bucket=REGISTRY, Key=uri.split("/", 3)[3], Body=b"{}")
        sagemaker = self.cloud.client("sagemaker", HUB)
        sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        accepted = (
            "ModelPackageDescription",
            "ModelApprovalStatus",
            "InferenceSpecification",
            "DriftCheckBaselines",
            "SamplePayloadUrl",
            "CustomerMetadataProperties",
        )
        request = {name: package[name] for name in accepted}
        created = sagemaker.create_model_package(ModelPackageGroupName=GROUP, **request)
        write_record(s3, REGISTRY, created["ModelPackageArn"], request)
        return str(created["ModelPackageArn"])


@pytest.fixture(scope="module")
def organisation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organisation]:
    """The emulated organisation with a repository that deploys batch jobs, which need no server of a model."""
    folder: Path = tmp_path_factory.mktemp("organisation")
    for name in list(os.environ):
        assert not name.startswith("AWS_ENDPOINT_URL")
    with running(folder) as cloud:
        yield Organisation(cloud, Repository(folder / "repository", "deploy-batch"))


@pytest.fixture(scope="module")
def deployed(organisation: Organisation) -> Organisation:
    """Both stages deployed into one account."""
    printed = organisation.run("render", "test")
    assert printed.endswith("exit status 0"), printed
    for stage in names.STAGES:
        printed = organisation.run("deploy", stage)
        assert printed.endswith("exit status 0"), printed
    return organisation


def test_both_stages_stand_in_one_account_with_the_permissions_of_the_baseline(deployed: Organisation) -> None:
    stacks = {f"mlp-{PROJECT}-{stage}{part}" for stage in names.STAGES for part in ("", "-base")}
    assert {name: status for name, status in deployed.stacks().items() if name in stacks} == dict.fromkeys(
        stacks, "CREATE_COMPLETE"
    )
    for stage in names.STAGES:
        keys = deployed.keys(stage)
        assert any(re.fullmatch(r"packages/[0-9a-f]{12}/model-0/model\.tar\.gz", key) for key in keys)
        assert any(key.endswith("/samples/records.jsonl") for key in keys)


def test_deploying_the_same_again_changes_nothing(deployed: Organisation) -> None:
    printed = deployed.run("deploy", "test")
    assert printed.count("nothing to change") == 2
    assert printed.endswith("exit status 0")


def test_a_package_of_another_group_is_not_deployed(deployed: Organisation) -> None:
    printed = deployed.run("deploy", "prod", PACKAGE_ARN=deployed.package.replace(GROUP, f"{GROUP}-2"))
    assert f"which is not a version in arn:aws:sagemaker:{REGION}:{HUB}:model-package-group/{GROUP}," in printed
    assert printed.endswith("exit status 1")


def test_a_build_of_one_stage_cannot_enter_the_other(deployed: Organisation) -> None:
    printed = deployed.run("deploy", "test", STAGE="prod")
    assert f"Stage prod: role {names.DEPLOY_ROLE} of account {DEV} cannot be assumed" in printed
    assert printed.endswith("exit status 1")


def test_a_withdrawn_approval_stops_the_deployment(deployed: Organisation) -> None:
    sagemaker = deployed.cloud.client("sagemaker", HUB)
    change = {"ModelPackageArn": deployed.package}
    sagemaker.update_model_package(**change, ModelApprovalStatus="Rejected", ApprovalDescription="wrong data")
    try:
        printed = deployed.run("deploy", "prod")
    finally:
        sagemaker.update_model_package(**change, ModelApprovalStatus="Approved")
    assert "is no longer approved: it is Rejected" in printed
    assert "(wrong data)" in printed
    assert printed.endswith("exit status 1")


def test_a_model_that_is_swapped_while_it_is_approved_reaches_neither_stage(deployed: Organisation) -> None:
    """SageMaker takes another inference specification in the call that approves."""
    sagemaker, s3 = (deployed.cloud.client(service, HUB) for service in ("sagemaker", "s3"))
    described = sagemaker.describe_model_package(ModelPackageName=deployed.package)["InferenceSpecification"]
    (container,) = described["Containers"]
    bucket_name, key = container["ModelDataUrl"][5:].split("/", 1)
    other = f"{key.rsplit('/', 1)[0]}/other.tar.gz"
    s3.put_object(Bucket=bucket_name, Key=other, Body=b"not what was promoted")
    swapped = {**container, "ModelDataUrl": f"s3://{bucket_name}/{other}"}

    def approve(chosen: dict[str, Any]) -> None:
        specification = {**described, "Containers": [chosen]}
        sagemaker.update_model_package(
            ModelPackageArn=deployed.package, ModelApprovalStatus="Approved", InferenceSpecification=specification
        )

    before = {stage: deployed.keys(stage) for stage in names.STAGES}
    approve(swapped)
    try:
        printed = [deployed.run("render", "test"), *(deployed.run("deploy", stage) for stage in names.STAGES)]
    finally:
        approve(container)
    for text in printed:
        assert "is no longer what was promoted: containers differ" in text
        assert text.endswith("exit status 1")
    s3.put_object(Bucket=bucket_name, Key=key, Body=b"other bytes in its place")
    for text in (deployed.run("render", "test"), deployed.run("deploy", "prod")):
        assert f"{key} (1 in all) is another file" in text
        assert text.endswith("exit status 1")
    assert {stage: deployed.keys(stage) for stage in names.STAGES} == before


def test_removing_one_stage_leaves_nothing_of_it_and_all_of_the_other(deployed: Organisation) -> None:
    before = deployed.keys("prod")
    deployed.delete(f"mlp-{PROJECT}-test")
    deployed.delete(f"mlp-{PROJECT}-test-base")
    buckets = {entry["Name"] for entry in deployed.cloud.client("s3", DEV).list_buckets()["Buckets"]}
    assert bucket("test") not in buckets
    roles = [role["RoleName"] for role in deployed.cloud.client("iam", DEV).list_roles()["Roles"]]
    assert not [name for name in roles if name.startswith(f"mlp-{PROJECT}-test-")]
    assert deployed.keys("prod") == before
    assert deployed.stacks()[f"mlp-{PROJECT}-prod"] == "CREATE_COMPLETE"
