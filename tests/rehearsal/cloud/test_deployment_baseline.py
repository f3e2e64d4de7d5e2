"""The deployment baseline in the emulated organisation: two stages of one project side by side in one account."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from aws_cdk import App, Environment, Stack
from botocore.exceptions import ClientError
from cfnlint.decode import cfn_yaml

from aws_emulator.tests.harness import DEV, DEV2, HUB, REGION, ROOT, SESSION, AwsClient, Cloud, eventually
from foundation.deployment_baseline import DeploymentBaselineTemplate
from foundation.deployment_teardown import TEARDOWN_BUILD
from lambdas.deployment import handler
from lambdas.shared.custom_resource import NOT_CREATED
from products.shared import names
from tests.lambdas.cloudformation import AnswerBox, Context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROJECT: Final = "p-abc"
GROUP, OTHER_GROUP = "churn-p-1-222222222222", "churn-p-12-222222222222"
DEPLOY_ROLE: Final = f"arn:aws:iam::{DEV}:role/{names.DEPLOY_ROLE}"


def baseline(outdir: Path) -> dict[str, Any]:
    """The part of the baseline that decides who is allowed what; the function's code is in no bucket here."""
    app = App(outdir=str(outdir), tree_metadata=False, analytics_reporting=False)
    stack = Stack(app, "Hub", env=Environment(account=HUB, region=REGION))
    DeploymentBaselineTemplate(stack, "Template", hub_account_id=HUB, home_region=REGION, regions=[REGION])
    app.synth()
    (file,) = outdir.glob("*.product.template.json")
    template: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    template["Resources"] = {
        logical_id: resource
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::ManagedPolicy" or resource["Properties"].get("RoleName")
    }
    return template


@cache
def first_stack() -> str:
    """The first stack of a stage as its repository has it, without the custom resource."""
    path = ROOT / "seed-code/layers/deployment/templates/base.yaml"
    template = json.loads(json.dumps(cfn_yaml.load(str(path))))
    del template["Resources"]["BucketContents"]
    return json.dumps(template)


def tags(tag: str, group: str | None = None) -> list[dict[str, str]]:
    of_group = [] if group is None else [{"Key": names.GROUP_TAG, "Value": group}]
    return [{"Key": names.DEPLOYMENT_TAG, "Value": tag}, *of_group]


@dataclass(frozen=True)
class Builds:
    """The hub's builds of two stages, and the account to which both deploy."""

    cloud: Cloud

    def role(self, tag: str) -> dict[str, str]:
        """Make the role of a stage's builds and return its credentials."""
        statement = {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": DEPLOY_ROLE}
        arn = self.cloud.role(HUB, f"mlp-{tag}", [statement], Path=names.PROJECT_ROLE_PATH, Tags=tags(tag, GROUP))
        return self.cloud.assume(arn)

    def enter(self, credentials: dict[str, str], tag: str, group: str | None = GROUP) -> dict[str, str]:
        """Return credentials of the deploy role, tagged for a stage and a group of models."""
        sts = self.cloud.client("sts", HUB, credentials)
        answer = sts.assume_role(RoleArn=DEPLOY_ROLE, RoleSessionName="deployment", Tags=tags(tag, group))
        session: dict[str, str] = answer["Credentials"]
        return session

    def deploy(self, session: dict[str, str], stage: str) -> dict[str, Any]:
        """Make the first stack of a stage with the permissions of a session."""
        values = {
            "ProjectName": "churn",
            "ProjectId": PROJECT,
            "Stage": stage,
            "HubBusArn": f"arn:aws:events:{REGION}:{HUB}:event-bus/ml-platform",
            "ReplicaBucket": "",
            "ReplicaKeyArn": "",
        }
        name = f"mlp-{PROJECT}-{stage}-base"
        self.cloud.client("cloudformation", DEV, session).create_stack(
            StackName=name,
            TemplateBody=first_stack(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Tags=tags(f"{PROJECT}-{stage}"),
        )
        return self.cloud.settled(DEV, name)


def refused(call: Callable[[], object]) -> bool:
    """Whether AWS says that the caller is not allowed."""
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")


def test_two_stages_in_one_account_come_stay_apart_and_go(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = cloud.deploy(DEV, "deployment-baseline", baseline(tmp_path))
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "deployment-baseline")
    builds = Builds(cloud)
    of_test, of_prod = builds.role(f"{PROJECT}-test"), builds.role(f"{PROJECT}-prod")
    assert refused(lambda: builds.enter(of_test, f"{PROJECT}-prod"))
    assert refused(lambda: builds.enter(of_prod, f"{PROJECT}-test"))
    sessions = {"test": builds.enter(of_test, f"{PROJECT}-test"), "prod": builds.enter(of_prod, f"{PROJECT}-prod")}
    for stage, session in sessions.items():
        assert builds.deploy(session, stage)["StackStatus"] == "CREATE_COMPLETE", cloud.failures(
            DEV, f"mlp-{PROJECT}-{stage}-base"
        )

    def mine(service: str) -> AwsClient:
        return cloud.client(service, DEV, sessions["test"])

    own, their = (f"mlp-{PROJECT}-{stage}-{DEV}-{REGION}" for stage in ("test", "prod"))
    mine("s3").put_object(Bucket=own, Key="packages/x", Body=b"1")
    assert refused(lambda: mine("s3").put_object(Bucket=their, Key="packages/x", Body=b"1"))
    assert refused(lambda: mine("cloudformation").delete_stack(StackName=f"mlp-{PROJECT}-prod-base"))
    resources = cloud.client("cloudformation", DEV).describe_stack_resources(StackName=f"mlp-{PROJECT}-prod-base")
    (key,) = (r["PhysicalResourceId"] for r in resources["StackResources"] if r["ResourceType"] == "AWS::KMS::Key")
    mark = [{"TagKey": names.DEPLOYMENT_TAG, "TagValue": f"{PROJECT}-test"}]
    assert refused(lambda: mine("kms").tag_resource(KeyId=key, Tags=mark))
    assert refused(lambda: mine("kms").schedule_key_deletion(KeyId=key))
    bare = {"RoleName": f"mlp-{PROJECT}-test-x", "Path": names.DEPLOYMENT_ROLE_PATH, "AssumeRolePolicyDocument": "{}"}
    assert refused(lambda: mine("iam").create_role(**bare, Tags=tags(f"{PROJECT}-test")))

    for group in (None, OTHER_GROUP):
        assert refused(partial(builds.enter, of_test, f"{PROJECT}-test", group))
    session_reads_models_of_its_group_only(cloud, sessions["test"])
    outsider_stays_in_the_stage_that_made_its_role(cloud, sessions["test"], own, their)
    with AnswerBox() as box, monkeypatch.context() as environment:
        second_project_with_the_id_is_refused(cloud, box, environment)
    mine("s3").delete_object(Bucket=own, Key="packages/x")
    versions = cloud.client("s3", DEV).list_object_versions(Bucket=own)
    for version in [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]:
        cloud.client("s3", DEV).delete_object(Bucket=own, Key=version["Key"], VersionId=version["VersionId"])
    assert teardown(cloud, f"{PROJECT}-test") == {"TEARDOWN_STATUS": "ok", "TEARDOWN_REASON": ""}
    remaining = [s["StackName"] for s in cloud.client("cloudformation", DEV).describe_stacks()["Stacks"]]
    assert f"mlp-{PROJECT}-test-base" not in remaining
    assert f"mlp-{PROJECT}-prod-base" in remaining


def session_reads_models_of_its_group_only(cloud: Cloud, session: dict[str, str]) -> None:
    """The hub lets the deploy role of every account read all models; the session's tag says which it is about."""
    bucket, hub = names.registry_bucket(HUB, REGION), cloud.client("s3", HUB)
    hub.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    readers = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"},
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    hub.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [readers]}))
    s3 = cloud.client("s3", DEV, session)
    for group in (GROUP, OTHER_GROUP):
        hub.put_object(Bucket=bucket, Key=f"packages/{group}/1/model.tar.gz", Body=b"1")
    assert s3.get_object(Bucket=bucket, Key=f"packages/{GROUP}/1/model.tar.gz")["Body"].read() == b"1"
    assert s3.list_objects_v2(Bucket=bucket, Prefix=f"packages/{GROUP}/1/")["KeyCount"] == 1
    assert refused(partial(s3.get_object, Bucket=bucket, Key=f"packages/{OTHER_GROUP}/1/model.tar.gz"))
    for prefix in (f"packages/{OTHER_GROUP}/", "packages/", ""):
        assert refused(partial(s3.list_objects_v2, Bucket=bucket, Prefix=prefix))


def outsider_stays_in_the_stage_that_made_its_role(cloud: Cloud, session: dict[str, str], own: str, their: str) -> None:
    """A build makes a role that trusts another account and is allowed everything; its user chooses session tags."""
    iam = cloud.client("iam", DEV, session)
    name = f"mlp-{PROJECT}-test-way-in"
    outside = {"AWS": f"arn:aws:iam::{DEV2}:root"}
    trust = {"Effect": "Allow", "Principal": outside, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    way_in: str = iam.create_role(
        RoleName=name,
        Path=names.DEPLOYMENT_ROLE_PATH,
        PermissionsBoundary=f"arn:aws:iam::{DEV}:policy/{names.DEPLOYMENT_BOUNDARY_POLICY}",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}),
        Tags=tags(f"{PROJECT}-test"),
    )["Role"]["Arn"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": everything})
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy)
    entering = cloud.assume(cloud.role(DEV2, "outsider", [everything]))
    records = "records-of-another-team"
    owner = cloud.client("s3", DEV)
    for bucket, key in ((their, "packages/x"), (records, "x.csv")):
        if bucket == records:
            owner.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        owner.put_object(Bucket=bucket, Key=key, Body=b"1")

    def as_(*claimed: str) -> AwsClient:
        sts = cloud.client("sts", DEV2, entering)
        chosen = [{"Key": names.DEPLOYMENT_TAG, "Value": tag} for tag in claimed]
        answer = sts.assume_role(RoleArn=way_in, RoleSessionName="attack", Tags=chosen)
        return cloud.client("s3", DEV, answer["Credentials"])

    assert as_().get_object(Bucket=own, Key="packages/x")["Body"].read() == b"1"
    for tag in (f"{PROJECT}-prod", "p", PROJECT, f"{PROJECT}-test-{PROJECT}-prod"):
        for bucket, key in ((own, "packages/x"), (their, "packages/x"), (records, "x.csv")):
            assert refused(partial(as_(tag).get_object, Bucket=bucket, Key=key)), (tag, bucket)
    assert refused(lambda: as_().get_object(Bucket=their, Key="packages/x"))

    assert refused(lambda: as_().get_object(Bucket=records, Key="x.csv"))
    shared = [{"Key": names.SHARED_WITH_TAG, "Value": f"p-other-prod {PROJECT}-test"}]
    owner.put_bucket_tagging(Bucket=records, Tagging={"TagSet": shared})
    assert refused(lambda: as_().get_object(Bucket=records, Key="x.csv")), "tags do not count before PutBucketAbac"
    owner.put_bucket_abac(Bucket=records, AbacStatus={"Status": "Enabled"})
    assert as_().get_object(Bucket=records, Key="x.csv")["Body"].read() == b"1"
    assert refused(lambda: as_().put_object(Bucket=records, Key="y.csv", Body=b"1"))
    owner.delete_object(Bucket=their, Key="packages/x")
    iam.delete_role_policy(RoleName=name, PolicyName="all")
    iam.delete_role(RoleName=name)


def second_project_with_the_id_is_refused(cloud: Cloud, box: AnswerBox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function of Custom::Deployment itself, in a hub of two regions: its id is taken in the other one."""
    away = "eu-central-1"
    stage = {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": DEPLOY_ROLE}
    looks = {
        "Effect": "Allow",
        "Action": "codebuild:BatchGetProjects",
        "Resource": f"arn:aws:codebuild:{away}:{HUB}:project/mlp-p-*-prod",
    }
    name = f"{names.DEPLOYMENT_FUNCTION}-check-{REGION}"
    keys = cloud.assume(cloud.role(HUB, name, [stage, looks], Path=names.BASELINE_ROLE_PATH))
    settings = {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
        "PARTITION": "aws",
        "REGIONS": f"{REGION},{away}",
        "BUILD_PROJECT": "none",
        "REQUESTS_TABLE": "none",
    }
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it would keep the credentials of an earlier test
    handler.services.cache_clear()
    builds = SESSION.client(
        "codebuild",
        endpoint_url=cloud.endpoint,
        region_name=away,
        aws_access_key_id=HUB,
        aws_secret_access_key="test",
    )

    def create(project: str) -> str:
        properties = {"ProjectId": project, "Stage": "prod", "AccountId": DEV, "Region": REGION}
        handler.lambda_handler(box.event("Create", "Custom::Deployment", properties), Context())
        answer = box.answers[-1]
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", NOT_CREATED)
        return str(answer["Reason"])

    builds.create_project(
        name="mlp-p-taken-prod",
        serviceRole=cloud.role(HUB, "builds-away", []),
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
    )
    assert f"was launched in region {away} of the hub" in create("p-taken")
    # An id that does not exist gets as far as the account, which has no function here.
    assert f"no function {names.BUCKET_EMPTIER_FUNCTION}" in create("p-free")
    handler.services.cache_clear()


def teardown(cloud: Cloud, tag: str) -> dict[str, str]:
    """Run the hub's build that takes a stage down, and return what it exports."""
    statement = {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": DEPLOY_ROLE}
    logs = {
        "Effect": "Allow",
        "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": f"arn:aws:logs:{REGION}:{HUB}:log-group:/aws/codebuild/{TEARDOWN_BUILD}:*",
    }
    role = cloud.role(HUB, f"{TEARDOWN_BUILD}-{REGION}", [statement, logs], Path=names.BASELINE_ROLE_PATH)
    codebuild = cloud.client("codebuild", HUB)
    codebuild.create_project(
        name=TEARDOWN_BUILD,
        serviceRole=role,
        artifacts={"type": "NO_ARTIFACTS"},
        source={
            "type": "NO_SOURCE",
            "buildspec": (ROOT / "foundation/deployment_teardown_buildspec.yml").read_text(encoding="utf-8"),
        },
        environment={
            "type": "LINUX_CONTAINER",
            "computeType": "BUILD_GENERAL1_SMALL",
            "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
        },
    )
    variables = {"ROLE_ARN": DEPLOY_ROLE, "TAG": tag, "TARGET_REGION": REGION, "REQUEST_ID": "1", "POLL_S": "0.2"}
    started = codebuild.start_build(
        projectName=TEARDOWN_BUILD,
        environmentVariablesOverride=[{"name": name, "value": value} for name, value in variables.items()],
    )["build"]["id"]

    def ended() -> dict[str, Any] | None:
        (build,) = codebuild.batch_get_builds(ids=[started])["builds"]
        return dict(build) if build["buildComplete"] else None

    build = eventually(ended, timeout_s=60)
    assert build["buildStatus"] == "SUCCEEDED", [p.get("contexts") for p in build["phases"]]
    return {variable["name"]: variable["value"] for variable in build["exportedEnvironmentVariables"]}
