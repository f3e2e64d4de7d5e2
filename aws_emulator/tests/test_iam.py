"""Permissions: the organisation's condition keys, resources of bridged services, boundaries, encrypted objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, DEV2, HUB, ORGANIZATION_ID, OUTSIDER, REGION, WORKLOADS_PATH

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

BUCKET = "shared-with-workloads"


def allow(action: str | list[str], resource: str, **condition: dict[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


@pytest.fixture(scope="module")
def shared(cloud: Cloud) -> str:
    """A bucket of the hub as the hub's artifact bucket is: KMS key, readable by the path of the workloads unit only."""
    kms, s3 = cloud.client("kms", HUB), cloud.client("s3", HUB)
    organization = {
        "StringEquals": {"aws:PrincipalOrgID": ORGANIZATION_ID},
        "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": f"{WORKLOADS_PATH}*"},
    }
    through_s3 = {"StringEquals": {**organization["StringEquals"], "kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
    key_policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"}, "Action": "kms:*", "Resource": "*"},
            {
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": "kms:Decrypt",
                "Resource": "*",
                "Condition": {**organization, **through_s3},
            },
        ],
    }
    key: str = kms.create_key(Policy=json.dumps(key_policy))["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/shared", TargetKeyId=key)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [default]})
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{BUCKET}/releases/*",
                "Condition": organization,
            },
            {
                "Effect": "Deny",
                "Principal": {"AWS": "*"},
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }
    s3.put_public_access_block(
        Bucket=BUCKET,
        PublicAccessBlockConfiguration=dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        ),
    )
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    for name in ("releases/a.json", "private/a.json"):
        assert s3.put_object(Bucket=BUCKET, Key=name, Body=b"{}")["SSEKMSKeyId"] == key
    return key


READ = allow("s3:GetObject", f"arn:aws:s3:::{BUCKET}/*")
DECRYPT = allow("kms:Decrypt", f"arn:aws:kms:{REGION}:{HUB}:key/*")


def reads(cloud: Cloud, role: str, key: str) -> bool:
    try:
        cloud.client("s3", role.split(":")[4], cloud.assume(role)).get_object(Bucket=BUCKET, Key=key)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied"
        return False
    return True


def test_accounts_below_the_unit_read_what_its_path_may_read_and_nothing_else(cloud: Cloud, shared: str) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html (PrincipalOrgPaths)."""
    member = cloud.role(DEV, "reader", [READ, DECRYPT])

    assert reads(cloud, member, "releases/a.json")
    assert not reads(cloud, member, "private/a.json")
    assert not reads(cloud, cloud.role(OUTSIDER, "reader", [READ, DECRYPT]), "releases/a.json")


def test_reading_and_writing_encrypted_objects_needs_the_key(cloud: Cloud, shared: str) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html."""
    assert not reads(cloud, cloud.role(DEV, "reader-without-key", [READ]), "releases/a.json")

    write = allow("s3:PutObject", f"arn:aws:s3:::{BUCKET}/*")
    by_alias = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/shared"}}
    generate = allow("kms:GenerateDataKey", f"arn:aws:kms:{REGION}:{HUB}:key/*", **by_alias)
    with_key = cloud.role(HUB, "writer", [write, generate])
    without_key = cloud.role(HUB, "writer-without-key", [write])
    cloud.client("s3", HUB, cloud.assume(with_key)).put_object(Bucket=BUCKET, Key="releases/b", Body=b"b")
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        cloud.client("s3", HUB, cloud.assume(without_key)).put_object(Bucket=BUCKET, Key="releases/c", Body=b"c")
    keys = [entry["Key"] for entry in cloud.client("s3", HUB).list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert "releases/b" in keys
    assert "releases/c" not in keys


def test_an_object_is_never_overwritten_when_the_writer_says_so(cloud: Cloud, shared: str) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html."""
    s3 = cloud.client("s3", HUB)
    first = {"Bucket": BUCKET, "Key": "assets/x.zip", "Body": b"one", "IfNoneMatch": "*", "ChecksumAlgorithm": "SHA256"}
    s3.put_object(**first)

    with pytest.raises(ClientError) as refused:
        s3.put_object(**{**first, "Body": b"two"})

    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    head = s3.head_object(Bucket=BUCKET, Key="assets/x.zip", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"]


@pytest.mark.parametrize(
    ("operation", "request_", "allowed", "resource"),
    [
        (
            "describe_model_package_group",
            {"ModelPackageGroupName": "g"},
            "DescribeModelPackageGroup",
            "model-package-group/g",
        ),
        ("list_model_packages", {"ModelPackageGroupName": "g"}, "ListModelPackages", "model-package/g/*"),
        ("create_model_package", {"ModelPackageGroupName": "g"}, "CreateModelPackage", "model-package/g/*"),
        ("describe_pipeline", {"PipelineName": "p"}, "DescribePipeline", "pipeline/p"),
    ],
)
def test_sagemaker_actions_are_checked_against_the_resource_of_the_authorization_reference(
    cloud: Cloud, operation: str, request_: dict[str, str], allowed: str, resource: str
) -> None:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html."""
    arn = f"arn:aws:sagemaker:{REGION}:{DEV}:{resource}"

    def outcome(name: str, statement: dict[str, Any]) -> str:
        role = cloud.role(DEV, name, [statement])
        try:
            getattr(cloud.client("sagemaker", DEV, cloud.assume(role)), operation)(**request_)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "done"

    assert outcome(f"may-{operation}", allow(f"sagemaker:{allowed}", arn)) != "AccessDeniedException"
    elsewhere = arn.replace(resource.split("/")[1], "other")
    assert outcome(f"no-{operation}", allow(f"sagemaker:{allowed}", elsewhere)) == "AccessDeniedException"


def test_registering_is_not_approving(cloud: Cloud) -> None:
    """The condition key sagemaker:ModelApprovalStatus is the status in the request."""
    pending = {"StringEquals": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}}
    packages = f"arn:aws:sagemaker:{REGION}:{DEV}:model-package/approval/*"
    role = cloud.role(DEV, "registrar", [allow("sagemaker:CreateModelPackage", packages, **pending)])
    cloud.client("sagemaker", DEV).create_model_package_group(ModelPackageGroupName="approval")
    registrar = cloud.client("sagemaker", DEV, cloud.assume(role))
    request = {"ModelPackageGroupName": "approval"}

    registrar.create_model_package(**request, ModelApprovalStatus="PendingManualApproval")
    with pytest.raises(ClientError, match="not authorized"):
        registrar.create_model_package(**request, ModelApprovalStatus="Approved")


def test_metrics_go_into_the_namespaces_that_a_policy_names(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/iam-cw-condition-keys-namespace.html."""
    only = {"StringEquals": {"cloudwatch:namespace": "models"}}
    role = cloud.role(DEV, "measures", [allow("cloudwatch:PutMetricData", "*", **only)])
    client = cloud.client("cloudwatch", DEV, cloud.assume(role))
    data = [{"MetricName": "m", "Value": 1.0}]

    client.put_metric_data(Namespace="models", MetricData=data)
    with pytest.raises(ClientError, match="not authorized"):
        client.put_metric_data(Namespace="others", MetricData=data)


def test_a_boundary_limits_what_a_role_may_do(cloud: Cloud) -> None:
    document = {"Version": "2012-10-17", "Statement": [allow("ssm:GetParameter", "*")]}
    boundary = cloud.client("iam", DEV).create_policy(PolicyName="limit", PolicyDocument=json.dumps(document))[
        "Policy"
    ]["Arn"]
    role = cloud.role(DEV, "bounded", [allow("ssm:*", "*")], PermissionsBoundary=boundary)
    cloud.client("ssm", DEV).put_parameter(Name="/bounded", Value="x", Type="String")
    ssm = cloud.client("ssm", DEV, cloud.assume(role))

    assert ssm.get_parameter(Name="/bounded")["Parameter"]["Value"] == "x"
    with pytest.raises(ClientError, match="not authorized"):
        ssm.put_parameter(Name="/bounded", Value="y", Type="String", Overwrite=True)


def test_a_role_is_assumed_only_by_whom_it_trusts(cloud: Cloud) -> None:
    role = cloud.role(DEV, "trusting-its-account", [allow("s3:*", "*")])
    assume = allow("sts:AssumeRole", role)
    stranger = cloud.role(DEV2, "stranger", [assume])

    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.client("sts", DEV2, cloud.assume(stranger)).assume_role(RoleArn=role, RoleSessionName="session")


def test_tags_of_a_project_decide_about_its_builds(cloud: Cloud) -> None:
    codebuild = cloud.client("codebuild", DEV)
    for name, team in (("tagged-a", "a"), ("tagged-b", "b")):
        codebuild.create_project(
            name=name,
            serviceRole=cloud.role(DEV, f"role-{name}", [allow("logs:*", "*")]),
            source={"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {build: {commands: [echo]}}"},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
            tags=[{"key": "team", "value": team}],
        )
    condition = {"StringEquals": {"aws:ResourceTag/team": "a"}}
    role = cloud.role(DEV, "team-a", [allow("codebuild:StartBuild", "*", **condition)])
    client = cloud.client("codebuild", DEV, cloud.assume(role))

    client.start_build(projectName="tagged-a")
    with pytest.raises(ClientError, match="not authorized"):
        client.start_build(projectName="tagged-b")


def test_a_request_carries_only_the_keys_that_the_reference_lists_for_its_action(cloud: Cloud) -> None:
    group = f"arn:aws:sagemaker:{REGION}:{DEV}:model-package-group/keys"
    cloud.client("sagemaker", DEV).create_model_package_group(ModelPackageGroupName="keys")
    tagged = {"StringEquals": {"aws:RequestTag/team": "a"}}
    role = cloud.role(DEV, "keys", [allow(["sagemaker:AddTags", "sagemaker:ListTags"], group, **tagged)])
    sagemaker = cloud.client("sagemaker", DEV, cloud.assume(role))

    sagemaker.add_tags(ResourceArn=group, Tags=[{"Key": "team", "Value": "a"}])
    with pytest.raises(ClientError, match="not authorized to perform: sagemaker:ListTags"):
        sagemaker.list_tags(ResourceArn=group)
