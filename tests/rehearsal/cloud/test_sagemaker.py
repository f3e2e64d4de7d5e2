"""SageMaker: domains and profiles, the model registry with its policies, approvals and events, and permissions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, HUB, OUTSIDER, REGION, AwsClient, eventually
from foundation.organization import PERMISSION_SETS

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

CONTAINERS: Final = [
    {"Image": "1.dkr.ecr.eu-west-1.amazonaws.com/xgboost:3", "ModelDataUrl": "s3://models/model.tar.gz"}
]
SPECIFICATION: Final = {
    "Containers": CONTAINERS,
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}


@pytest.fixture(scope="module")
def sagemaker(cloud: Cloud) -> AwsClient:
    """A client as root of the dev account."""
    return cloud.client("sagemaker", DEV)


def group(sagemaker: AwsClient, name: str) -> str:
    """Create a model package group and return its name."""
    sagemaker.create_model_package_group(ModelPackageGroupName=name)
    return name


def register(sagemaker: AwsClient, name: str, **fields: Any) -> str:  # noqa: ANN401 - fields of CreateModelPackage
    """Register a version and return its ARN."""
    arn: str = sagemaker.create_model_package(
        ModelPackageGroupName=name, InferenceSpecification=SPECIFICATION, **fields
    )["ModelPackageArn"]
    return arn


def code_of(error: ClientError) -> str:
    """Return the code of an error."""
    return str(error.response["Error"]["Code"])


# ---- registry -------------------------------------------------------------------------------------------------------


def test_a_version_keeps_every_field_and_waits_for_approval(sagemaker: AwsClient) -> None:
    fields: dict[str, Any] = {
        "ModelPackageDescription": "first",
        "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://m/e.json"}}},
        "DriftCheckBaselines": {"ModelQuality": {"Statistics": {"ContentType": "text/csv", "S3Uri": "s3://m/d.csv"}}},
        "CustomerMetadataProperties": {"owner": "claims"},
        "ModelCard": {"ModelCardContent": '{"intended_uses": {}}', "ModelCardStatus": "Draft"},
        "ModelLifeCycle": {"Stage": "Development", "StageStatus": "Trained"},
        "SourceUri": "s3://models/source",
        "SkipModelValidation": "All",
        "SamplePayloadUrl": "s3://models/sample.csv",
        "MetadataProperties": {"CommitId": "abc"},
    }
    arn = register(sagemaker, group(sagemaker, "whole"), **fields, Tags=[{"Key": "team", "Value": "claims"}])

    described = sagemaker.describe_model_package(ModelPackageName=arn)

    assert {key: described[key] for key in fields} == fields
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert described["InferenceSpecification"]["Containers"] == CONTAINERS
    assert (described["ModelPackageVersion"], described["ModelPackageGroupName"]) == (1, "whole")
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "claims"}]


def test_an_update_changes_only_what_it_names(sagemaker: AwsClient) -> None:
    arn = register(sagemaker, group(sagemaker, "updated"), CustomerMetadataProperties={"a": "1", "b": "2"})
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good")

    sagemaker.update_model_package(
        ModelPackageArn=arn, CustomerMetadataProperties={"b": "3"}, CustomerMetadataPropertiesToRemove=["a"]
    )

    described = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (described["ModelApprovalStatus"], described["ApprovalDescription"]) == ("Approved", "good")
    assert described["CustomerMetadataProperties"] == {"b": "3"}


def test_versions_are_listed_by_status_in_order_and_in_pages(sagemaker: AwsClient) -> None:
    name = group(sagemaker, "listed")
    arns = [register(sagemaker, name) for _ in range(12)]
    for arn in arns[3:5]:
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")

    approved = sagemaker.list_model_packages(
        ModelPackageGroupName=name, ModelApprovalStatus="Approved", SortBy="CreationTime", SortOrder="Descending"
    )
    first = sagemaker.list_model_packages(ModelPackageGroupName=name)
    second = sagemaker.list_model_packages(ModelPackageGroupName=name, NextToken=first["NextToken"])

    found = [package["ModelPackageArn"] for package in approved["ModelPackageSummaryList"]]
    assert found == [arns[4], arns[3]]
    listed = first["ModelPackageSummaryList"] + second["ModelPackageSummaryList"]
    assert [package["ModelPackageArn"] for package in listed] == arns
    assert "NextToken" not in second


def test_the_same_client_token_registers_once(sagemaker: AwsClient) -> None:
    name = group(sagemaker, "token")

    assert register(sagemaker, name, ClientToken="once") == register(sagemaker, name, ClientToken="once")
    assert len(sagemaker.list_model_packages(ModelPackageGroupName=name)["ModelPackageSummaryList"]) == 1


def test_a_group_is_deleted_when_it_is_empty_and_version_numbers_are_not_reused(sagemaker: AwsClient) -> None:
    name = group(sagemaker, "emptied")
    first = register(sagemaker, name)
    with pytest.raises(sagemaker.exceptions.ConflictException, match="still contains Model Packages"):
        sagemaker.delete_model_package_group(ModelPackageGroupName=name)

    sagemaker.delete_model_package(ModelPackageName=first)
    second = register(sagemaker, name)
    assert second.endswith("/2")
    sagemaker.delete_model_package(ModelPackageName=second)
    sagemaker.delete_model_package_group(ModelPackageGroupName=name)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=name)


def test_names_are_checked_as_the_service_does(sagemaker: AwsClient) -> None:
    with pytest.raises(ClientError, match="length less than or equal to 63"):
        sagemaker.create_model_package_group(ModelPackageGroupName="x" * 64)
    with pytest.raises(ClientError, match="regular expression pattern"):
        sagemaker.create_model_package_group(ModelPackageGroupName="not a name")


def test_another_account_reads_a_group_by_its_policy_and_may_not_approve(cloud: Cloud, sagemaker: AwsClient) -> None:
    name = group(sagemaker, "shared")
    arn = register(sagemaker, name)
    hub, outsider = cloud.client("sagemaker", HUB), cloud.client("sagemaker", OUTSIDER)
    with pytest.raises(ClientError, match="no resource-based policy allows"):
        hub.describe_model_package(ModelPackageName=arn)

    group_arn = f"arn:aws:sagemaker:{REGION}:{DEV}:model-package-group/{name}"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"},
                "Action": ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"],
                "Resource": [group_arn, f"arn:aws:sagemaker:{REGION}:{DEV}:model-package/{name}/*"],
            }
        ],
    }
    sagemaker.put_model_package_group_policy(ModelPackageGroupName=name, ResourcePolicy=json.dumps(policy))

    assert hub.describe_model_package(ModelPackageName=arn)["ModelPackageArn"] == arn
    assert len(hub.list_model_packages(ModelPackageGroupName=group_arn)["ModelPackageSummaryList"]) == 1
    with pytest.raises(ClientError) as refused:
        hub.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert code_of(refused.value) == "AccessDeniedException"
    with pytest.raises(ClientError) as refused:
        outsider.describe_model_package(ModelPackageName=arn)
    assert code_of(refused.value) == "AccessDeniedException"
    role = cloud.role(HUB, "reads-nothing", [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}])
    with pytest.raises(ClientError) as refused:
        cloud.client("sagemaker", HUB, cloud.assume(role)).describe_model_package(ModelPackageName=arn)
    assert code_of(refused.value) == "AccessDeniedException"


def test_an_approval_may_carry_another_model_but_by_the_policy_of_ml_engineers_no_other_origin(
    cloud: Cloud, sagemaker: AwsClient
) -> None:
    arn = register(sagemaker, group(sagemaker, "swapped"))
    policy = json.loads((PERMISSION_SETS / "ml-engineer.json").read_text(encoding="utf-8"))
    engineer = cloud.client("sagemaker", DEV, cloud.assume(cloud.role(DEV, "ml-engineer", policy["Statement"])))
    container = {"Image": f"{HUB}.dkr.ecr.{REGION}.amazonaws.com/x:1", "ModelDataUrl": "s3://elsewhere/other.tar.gz"}
    approval: dict[str, Any] = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"}
    for more in (
        {"CustomerMetadataProperties": {"source_digest": "sha256:forged"}},
        {"CustomerMetadataProperties": {"ticket": "4711", "source_package": "arn:of-another"}},
        {"CustomerMetadataPropertiesToRemove": ["source_digest"]},
    ):
        with pytest.raises(ClientError) as refused:
            engineer.update_model_package(**approval, **more)
        assert code_of(refused.value) == "AccessDeniedException"
    engineer.update_model_package(**approval, InferenceSpecification={"Containers": [container]})
    described = sagemaker.describe_model_package(ModelPackageName=arn)
    assert described["ModelApprovalStatus"] == "Approved"
    assert described["InferenceSpecification"]["Containers"] == [container]


def test_a_package_with_a_key_of_its_own_is_decrypted_for_whoever_may_use_the_key_through_sagemaker(
    cloud: Cloud, sagemaker: AwsClient
) -> None:
    key = cloud.client("kms", DEV).create_key()["KeyMetadata"]["Arn"]
    name = group(sagemaker, "encrypted")
    arn = sagemaker.create_model_package(ModelPackageGroupName=name, SecurityConfig={"KmsKeyId": key})[
        "ModelPackageArn"
    ]
    describes = {"Effect": "Allow", "Action": "sagemaker:DescribeModelPackage", "Resource": "*"}

    def decrypts(service: str) -> dict[str, Any]:
        through = {"StringEquals": {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}}
        return {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key, "Condition": through}

    def reader(role: str, *statements: dict[str, Any]) -> AwsClient:
        return cloud.client("sagemaker", DEV, cloud.assume(cloud.role(DEV, role, [describes, *statements])))

    for role, statements in (("no-key", []), ("key-by-s3", [decrypts("s3")])):
        with pytest.raises(ClientError, match="kms:Decrypt") as refused:
            reader(role, *statements).describe_model_package(ModelPackageName=arn)
        assert code_of(refused.value) == "AccessDeniedException"
    assert reader("key", decrypts("sagemaker")).describe_model_package(ModelPackageName=arn)["ModelPackageArn"] == arn


def test_who_registers_cannot_approve_and_who_approves_can(cloud: Cloud, sagemaker: AwsClient) -> None:
    name = group(sagemaker, "decided")
    packages = f"arn:aws:sagemaker:{REGION}:{DEV}:model-package/{name}/*"
    pending = {"StringEquals": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}}
    scientist = cloud.role(
        DEV,
        "registers",
        [{"Effect": "Allow", "Action": "sagemaker:CreateModelPackage", "Resource": packages, "Condition": pending}],
    )
    decided = {"StringEquals": {"sagemaker:ModelApprovalStatus": ["Approved", "Rejected"]}}
    lead = cloud.role(
        DEV,
        "approves",
        [{"Effect": "Allow", "Action": "sagemaker:UpdateModelPackage", "Resource": packages, "Condition": decided}],
    )
    as_scientist = cloud.client("sagemaker", DEV, cloud.assume(scientist))
    arn = register(as_scientist, name, ModelApprovalStatus="PendingManualApproval")

    with pytest.raises(ClientError) as refused:
        register(as_scientist, name, ModelApprovalStatus="Approved")
    assert code_of(refused.value) == "AccessDeniedException"
    with pytest.raises(ClientError) as refused:
        as_scientist.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert code_of(refused.value) == "AccessDeniedException"
    cloud.client("sagemaker", DEV, cloud.assume(lead)).update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved"
    )
    assert sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "Approved"


def test_registering_and_deciding_put_events_on_the_default_bus(cloud: Cloud, sagemaker: AwsClient) -> None:
    events, sqs = cloud.client("events", DEV), cloud.client("sqs", DEV)
    url = cloud.queue(DEV, "model-events")
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": ["announced"]},
    }
    events.put_rule(Name="model-events", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="model-events", Targets=[{"Id": "queue", "Arn": queue}])

    arn = register(sagemaker, group(sagemaker, "announced"))
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")

    got: list[dict[str, Any]] = []

    def both() -> bool:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        got.extend(json.loads(message["Body"]) for message in messages)
        return len(got) == 2

    eventually(both)
    details = [event["detail"] for event in got]
    assert sorted(detail["ModelApprovalStatus"] for detail in details) == ["PendingManualApproval", "Rejected"]
    assert {event["account"] for event in got} == {DEV}
    assert got[0]["resources"] == [arn]
    assert details[0]["ModelPackageVersion"] == 1
    assert details[0]["CreationTime"].endswith("Z")


# ---- groups by CloudFormation ---------------------------------------------------------------------------------------


def group_template(name: str, action: str) -> dict[str, Any]:
    """Return a template with one group whose policy lets the hub do one thing."""
    arn = f"arn:aws:sagemaker:{REGION}:{DEV}:model-package-group/{name}"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"},
        "Action": action,
        "Resource": arn,
    }
    properties = {
        "ModelPackageGroupName": name,
        "ModelPackageGroupPolicy": {"Version": "2012-10-17", "Statement": [statement]},
    }
    return {
        "Resources": {"Group": {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": properties}},
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Group", "ModelPackageGroupArn"]}}},
    }


def test_a_group_of_a_stack_follows_its_template_and_is_not_deleted_with_models_in_it(
    cloud: Cloud, sagemaker: AwsClient
) -> None:
    name, stack = "stacked", "GroupStack"
    tags = [{"Key": "owner", "Value": "claims"}]
    created = cloud.deploy(DEV, stack, group_template(name, "sagemaker:DescribeModelPackageGroup"), Tags=tags)
    arn = created["Outputs"][0]["OutputValue"]
    tagged = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    assert tagged["owner"] == "claims"

    cloud.deploy(DEV, stack, group_template(name, "sagemaker:ListModelPackages"))
    hub = cloud.client("sagemaker", HUB)
    hub.list_model_packages(ModelPackageGroupName=arn)
    with pytest.raises(ClientError, match="no resource-based policy allows"):
        hub.describe_model_package_group(ModelPackageGroupName=arn)

    package = register(sagemaker, name)
    cloudformation = cloud.client("cloudformation", DEV)
    cloudformation.delete_stack(StackName=created["StackId"])
    assert cloud.settled(DEV, created["StackId"])["StackStatus"] == "DELETE_FAILED"
    assert any("still contains Model Packages" in reason for reason in cloud.failures(DEV, created["StackId"]))
    sagemaker.delete_model_package(ModelPackageName=package)
    cloudformation.delete_stack(StackName=created["StackId"])
    assert cloud.settled(DEV, created["StackId"])["StackStatus"] == "DELETE_COMPLETE"


# ---- domains --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(cloud: Cloud) -> dict[str, str]:
    """A VPC with a subnet and a security group."""
    ec2 = cloud.client("ec2", DEV)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    security = ec2.create_security_group(GroupName="studio", Description="Studio", VpcId=vpc)["GroupId"]
    return {"vpc": vpc, "subnet": subnet, "security": security}


def domain_template(role: str, network: dict[str, str], minutes: str) -> dict[str, Any]:
    """Return a template with a domain and one user profile."""
    idle = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": minutes}
    return {
        "Resources": {
            "Domain": {
                "Type": "AWS::SageMaker::Domain",
                "Properties": {
                    "DomainName": "stacked",
                    "AuthMode": "IAM",
                    "AppNetworkAccessType": "VpcOnly",
                    "VpcId": network["vpc"],
                    "SubnetIds": [network["subnet"]],
                    "DefaultUserSettings": {
                        "ExecutionRole": role,
                        "SecurityGroups": [network["security"]],
                        "JupyterLabAppSettings": {"AppLifecycleManagement": {"IdleSettings": idle}},
                    },
                },
            },
            "Profile": {
                "Type": "AWS::SageMaker::UserProfile",
                "Properties": {
                    "DomainId": {"Ref": "Domain"},
                    "UserProfileName": "ana",
                    "UserSettings": {"ExecutionRole": role},
                },
            },
        },
        "Outputs": {
            "DomainId": {"Value": {"Ref": "Domain"}},
            "DomainArn": {"Value": {"Fn::GetAtt": ["Domain", "DomainArn"]}},
            "Url": {"Value": {"Fn::GetAtt": ["Domain", "Url"]}},
        },
    }


def test_a_domain_of_a_stack_is_updated_in_place_and_deleted_after_its_profiles(
    cloud: Cloud, sagemaker: AwsClient, network: dict[str, str]
) -> None:
    role = cloud.role(DEV, "studio", [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}])
    created = cloud.deploy(DEV, "DomainStack", domain_template(role, network, "60"))
    assert created["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "DomainStack")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in created["Outputs"]}
    domain_id = outputs["DomainId"]
    described = sagemaker.describe_domain(DomainId=domain_id)
    assert (described["Status"], described["AppNetworkAccessType"]) == ("InService", "VpcOnly")
    assert sagemaker.describe_user_profile(DomainId=domain_id, UserProfileName="ana")["Status"] == "InService"
    link = sagemaker.create_presigned_domain_url(DomainId=domain_id, UserProfileName="ana")["AuthorizedUrl"]
    assert link.startswith(outputs["Url"])
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="UserProfile"):
        sagemaker.delete_domain(DomainId=domain_id)

    updated = cloud.deploy(DEV, "DomainStack", domain_template(role, network, "90"))

    assert updated["StackStatus"] == "UPDATE_COMPLETE", cloud.failures(DEV, "DomainStack")
    settings = sagemaker.describe_domain(DomainId=domain_id)["DefaultUserSettings"]
    idle = settings["JupyterLabAppSettings"]["AppLifecycleManagement"]["IdleSettings"]
    assert idle["IdleTimeoutInMinutes"] == 90
    cloud.client("cloudformation", DEV).delete_stack(StackName=created["StackId"])
    assert cloud.settled(DEV, created["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_domain(DomainId=domain_id)


def test_a_domain_needs_a_usable_network_and_role(cloud: Cloud, sagemaker: AwsClient, network: dict[str, str]) -> None:
    role = cloud.role(DEV, "studio-two", [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}])
    request = {"DomainName": "wrong", "AuthMode": "IAM", "VpcId": network["vpc"], "SubnetIds": [network["subnet"]]}
    with pytest.raises(ClientError, match="SecurityGroups are required"):
        sagemaker.create_domain(**request, AppNetworkAccessType="VpcOnly", DefaultUserSettings={"ExecutionRole": role})
    with pytest.raises(ClientError, match="subnet"):
        sagemaker.create_domain(
            **{**request, "SubnetIds": ["subnet-00000000"]}, DefaultUserSettings={"ExecutionRole": role}
        )
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.create_domain(
            **request, DefaultUserSettings={"ExecutionRole": f"arn:aws:iam::{DEV}:role/nobody-knows-it"}
        )


def test_passing_a_role_to_a_domain_needs_the_permission_to_pass_it(
    cloud: Cloud, sagemaker: AwsClient, network: dict[str, str]
) -> None:
    role = cloud.role(DEV, "studio-three", [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}])
    creates = cloud.role(
        DEV, "creates-domains", [{"Effect": "Allow", "Action": "sagemaker:CreateDomain", "Resource": "*"}]
    )
    with pytest.raises(ClientError, match="iam:PassRole") as refused:
        cloud.client("sagemaker", DEV, cloud.assume(creates)).create_domain(
            DomainName="unpassed",
            AuthMode="IAM",
            VpcId=network["vpc"],
            SubnetIds=[network["subnet"]],
            DefaultUserSettings={"ExecutionRole": role},
        )
    assert code_of(refused.value) == "AccessDeniedException"


def test_projects_are_switched_on_per_account(cloud: Cloud) -> None:
    outsider = cloud.client("sagemaker", OUTSIDER)
    assert outsider.get_sagemaker_servicecatalog_portfolio_status()["Status"] == "Disabled"
    outsider.enable_sagemaker_servicecatalog_portfolio()
    assert outsider.get_sagemaker_servicecatalog_portfolio_status()["Status"] == "Enabled"
    assert cloud.client("sagemaker", HUB).get_sagemaker_servicecatalog_portfolio_status()["Status"] == "Disabled"
