"""CloudFormation acts in the name of its caller, or of the role that a stack was given."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, DEV2, HUB, MANAGEMENT, REGION, ROOT, WORKLOADS_OU, eventually

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud, Option

pytestmark = pytest.mark.rehearsal

QUEUES = [
    *("sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueueTags"),
    *("sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:UntagQueue"),
]
ROLES = [
    *("iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetRole", "iam:GetRolePolicy"),
    *("iam:ListAttachedRolePolicies", "iam:ListRolePolicies", "iam:PutRolePolicy", "iam:TagRole", "iam:UntagRole"),
]
STACKS = {"Effect": "Allow", "Action": "cloudformation:*", "Resource": "*"}


def allow(actions: list[str] | str, resource: str, **condition: object) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def queue(name: str, **properties: object) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, **properties}}


def bounded_role(name: str, boundary: str | None = None, /, **properties: Option) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"}, "Action": "sts:AssumeRole"}
    made = {"RoleName": name, "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": made | ({"PermissionsBoundary": boundary} if boundary else {}) | properties,
    }


def template(**resources: object) -> dict[str, Any]:
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def service_role(cloud: Cloud, name: str, *statements: dict[str, Any], account: str = DEV) -> str:
    """Make a role that CloudFormation assumes, and return its ARN."""
    trust = {"Effect": "Allow", "Principal": {"Service": "cloudformation.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = cloud.client("iam", account)
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
    return arn


def exists(cloud: Cloud, name: str) -> bool:
    try:
        cloud.client("sqs", DEV).get_queue_url(QueueName=name)
    except ClientError:
        return False
    return True


def test_a_stack_has_what_its_service_role_may_make_and_nothing_else(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html."""
    role = service_role(cloud, "makes-own-queues", allow(QUEUES, f"arn:aws:sqs:{REGION}:{DEV}:own-*"))

    made = cloud.deploy(DEV, "own", template(Queue=queue("own-queue")), RoleARN=role)
    refused = cloud.deploy(
        DEV,
        "foreign",
        template(First=queue("own-first"), Queue=queue("foreign-queue") | {"DependsOn": "First"}),
        RoleARN=role,
    )

    assert made["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "own")
    assert refused["StackStatus"] == "ROLLBACK_COMPLETE"
    (reason,) = cloud.failures(DEV, "foreign")
    assert (
        f"User: arn:aws:sts::{DEV}:assumed-role/makes-own-queues/AWSCloudFormation is not authorized to perform: "
        f"sqs:CreateQueue on resource: arn:aws:sqs:{REGION}:{DEV}:foreign-queue because no identity-based policy "
        "allows the sqs:CreateQueue action" in reason
    )
    assert [exists(cloud, name) for name in ("own-queue", "own-first", "foreign-queue")] == [True, False, False]


def test_updates_and_deletions_are_decided_too(cloud: Cloud) -> None:
    own = f"arn:aws:sqs:{REGION}:{DEV}:kept-*"
    role = service_role(cloud, "only-creates", allow([a for a in QUEUES if "Set" not in a and "Delete" not in a], own))
    cloud.deploy(DEV, "kept", template(Queue=queue("kept-queue")), RoleARN=role)

    updated = cloud.deploy(DEV, "kept", template(Queue=queue("kept-queue", DelaySeconds=5)), RoleARN=role)
    cloud.client("cloudformation", DEV).delete_stack(StackName="kept")

    assert updated["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.settled(DEV, "kept")["StackStatus"] == "DELETE_FAILED"
    assert "sqs:DeleteQueue" in str(cloud.failures(DEV, "kept"))
    assert exists(cloud, "kept-queue")


def test_without_a_service_role_the_callers_session_decides_and_says_through_whom_it_asks(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html (aws:CalledVia)."""
    via = {"ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}}
    role = cloud.role(DEV, "through-stacks-only", [STACKS, allow(QUEUES, "*", **via)])
    session = cloud.assume(role)
    body = json.dumps(template(Queue=queue("through-a-stack")))

    cloud.client("cloudformation", DEV, session).create_stack(StackName="through", TemplateBody=body)

    assert cloud.settled(DEV, "through")["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "through")
    with pytest.raises(ClientError, match="sqs:CreateQueue"):
        cloud.client("sqs", DEV, session).create_queue(QueueName="directly")
    same = service_role(cloud, "not-called-via", allow(QUEUES, "*", **via))  # a service role is not a forwarded session
    assert cloud.deploy(DEV, "not-via", template(Queue=queue("q")), RoleARN=same)["StackStatus"] == "ROLLBACK_COMPLETE"


def test_tags_of_resource_and_stack_are_those_of_the_request(cloud: Cloud) -> None:
    make = allow(["iam:CreateRole", "iam:TagRole"], "*", StringEquals={"aws:RequestTag/stage": "test"})
    change = allow(
        [action for action in ROLES if action not in ("iam:CreateRole", "iam:TagRole")],
        "*",
        StringEqualsIfExists={"aws:ResourceTag/stage": "test"},
    )
    role = service_role(cloud, "tags-for-test", make, change)

    own, of_stack, none = (
        cloud.deploy(
            DEV, f"tagged-{number}", template(Role=bounded_role(f"tagged-{number}", **tags)), RoleARN=role, **o
        )
        for number, (tags, o) in enumerate(
            [
                ({"Tags": [{"Key": "stage", "Value": "test"}]}, {}),
                ({}, {"Tags": [{"Key": "stage", "Value": "test"}]}),
                ({"Tags": [{"Key": "stage", "Value": "prod"}]}, {}),
            ]
        )
    )

    assert own["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "tagged-0")
    assert of_stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "tagged-1")
    assert none["StackStatus"] == "ROLLBACK_COMPLETE"


def test_every_type_that_takes_tags_gets_those_of_its_stack(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-resource-tags.html."""
    properties = {"ConnectionName": "tagged", "ProviderType": "GitHub"}
    connection = {"Type": "AWS::CodeConnections::Connection", "Properties": properties}

    cloud.deploy(DEV, "tagging", template(Connection=connection), Tags=[{"Key": "stage", "Value": "test"}])

    connections = cloud.client("codeconnections", DEV)
    (arn,) = [
        c["ConnectionArn"] for c in connections.list_connections()["Connections"] if c["ConnectionName"] == "tagged"
    ]
    assert connections.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "stage", "Value": "test"}]


def test_roles_are_made_with_the_boundary_only_and_passed_to_their_service_only(cloud: Cloud) -> None:
    deny = {"Version": "2012-10-17", "Statement": [allow("sqs:ListQueues", "*")]}
    iam = cloud.client("iam", DEV)
    boundary = iam.create_policy(PolicyName="limit-of-stacks", PolicyDocument=json.dumps(deny))["Policy"]["Arn"]
    within = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    role = service_role(
        cloud,
        "makes-limited-roles",
        allow(["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy"], "*", **within),
        allow(ROLES[1:2] + ROLES[3:7] + ROLES[8:], "*"),
        allow("iam:PassRole", "*", StringEquals={"iam:PassedToService": "events.amazonaws.com"}),
        allow(
            ["events:DeleteRule", "events:DescribeRule", "events:ListTagsForResource", "events:ListTargetsByRule"], "*"
        ),
        allow(["events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:TagResource"], "*"),
        allow(["codebuild:BatchGetProjects", "codebuild:CreateProject", "codebuild:DeleteProject"], "*"),
    )
    everything = {"PolicyName": "all", "PolicyDocument": {"Statement": [allow("*", "*")]}}
    limited = bounded_role("limited-by-stack", boundary, Policies=[everything])
    passed = {"Fn::GetAtt": ["Limited", "Arn"]}
    target = {"Id": "t", "Arn": f"arn:aws:events:{REGION}:{DEV}:event-bus/other", "RoleArn": passed}
    rule = {"Type": "AWS::Events::Rule", "Properties": {"ScheduleExpression": "rate(1 day)", "Targets": [target]}}
    project = {
        "Type": "AWS::CodeBuild::Project",
        "Properties": {
            "ServiceRole": passed,
            "Artifacts": {"Type": "NO_ARTIFACTS"},
            "Environment": {"ComputeType": "BUILD_GENERAL1_SMALL", "Image": "x", "Type": "LINUX_CONTAINER"},
            "Source": {"Type": "NO_SOURCE", "BuildSpec": "version: 0.2"},
        },
    }

    made = cloud.deploy(DEV, "limited", template(Limited=limited, Rule=rule), RoleARN=role)
    free = cloud.deploy(DEV, "free", template(Role=bounded_role("free")), RoleARN=role)
    to_builds = cloud.deploy(
        DEV,
        "to-builds",
        template(Limited=bounded_role("limited-by-stack-too", boundary), Project=project),
        RoleARN=role,
    )

    assert made["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "limited")
    assert free["StackStatus"] == to_builds["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "iam:PassRole" in cloud.failures(DEV, "to-builds")[0]
    # The boundary holds for what a stack made, too.
    session = cloud.assume(f"arn:aws:iam::{DEV}:role/limited-by-stack")
    with pytest.raises(ClientError, match="sqs:CreateQueue"):
        cloud.client("sqs", DEV, session).create_queue(QueueName="beyond")


def test_a_connection_is_passed_under_the_prefix_of_its_arn(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/dtconsole/latest/userguide/rename.html; the schema knows the old prefix only."""
    takes = ["codepipeline:*", "codestar-connections:*", "iam:GetRole", "iam:PassRole"]
    role = service_role(cloud, "passes-old-connections", allow(takes, "*"))
    connection = f"arn:aws:codeconnections:{REGION}:{DEV}:connection/1"
    source = {
        "Name": "Source",
        "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "CodeStarSourceConnection", "Version": "1"},
        "Configuration": {"ConnectionArn": connection, "FullRepositoryId": "a/b", "BranchName": "main"},
        "OutputArtifacts": [{"Name": "source"}],
    }
    properties = {
        "RoleArn": role,
        "ArtifactStore": {"Type": "S3", "Location": "artifacts"},
        "Stages": [{"Name": "Source", "Actions": [source]}],
    }
    pipeline = {"Type": "AWS::CodePipeline::Pipeline", "Properties": properties}

    assert cloud.deploy(DEV, "connected", template(Pipeline=pipeline), RoleARN=role)["StackStatus"] == (
        "ROLLBACK_COMPLETE"
    )
    (reason,) = cloud.failures(DEV, "connected")
    assert f"codeconnections:PassConnection on resource: {connection}" in reason
    assert "codepipeline:" not in reason


def test_parameters_are_read_with_the_permissions_of_the_role(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-ssm.html."""
    cloud.client("ssm", DEV).put_parameter(Name="/secret/delay", Value="5", Type="String")
    role = service_role(cloud, "reads-nothing", allow(QUEUES, "*"))
    body = template(Queue=queue("delayed", DelaySeconds="{{resolve:ssm:/secret/delay}}"))

    assert cloud.deploy(DEV, "delayed", body, RoleARN=role)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert (
        f"ssm:GetParameters on resource: arn:aws:ssm:{REGION}:{DEV}:parameter/secret/delay"
        in (cloud.failures(DEV, "delayed")[0])
    )


def key(account: str) -> dict[str, Any]:
    own = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"}
    return {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Version": "2012-10-17", "Statement": [own]}}}


def stack_set(name: str, body: dict[str, Any]) -> dict[str, Any]:
    targets = {"DeploymentTargets": {"OrganizationalUnitIds": [WORKLOADS_OU]}, "Regions": [REGION]}
    properties = {
        "StackSetName": name,
        "PermissionModel": "SERVICE_MANAGED",
        "CallAs": "DELEGATED_ADMIN",
        "TemplateBody": json.dumps(body),
        "StackInstancesGroup": [targets],
    }
    return {"Type": "AWS::CloudFormation::StackSet", "Properties": properties}


def test_a_key_whose_policy_forgets_its_account_cannot_be_made_by_anybody_there(cloud: Cloud) -> None:
    """Whoever makes a key must be able to change its policy.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html (Policy). The template of a StackSet that
    names the account of the hub instead of its own is of this kind, although StackSets is allowed everything there.
    """
    of_the_hub = cloud.deploy(HUB, "key-of-the-hub", template(Set=stack_set("key-of-the-hub", template(Key=key(HUB)))))
    own = template(Key=key("${AWS::AccountId}"))
    own["Resources"]["Key"]["Properties"]["KeyPolicy"]["Statement"][0]["Principal"] = {
        "AWS": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}
    }
    of_each = cloud.deploy(HUB, "key-of-each", template(Set=stack_set("key-of-each", own)))

    assert of_the_hub["StackStatus"] == "ROLLBACK_COMPLETE"
    (reason,) = cloud.failures(HUB, "key-of-the-hub")
    assert "assumed-role/stacksets-exec-" in reason
    assert "kms:PutKeyPolicy" in reason
    assert of_each["StackStatus"] == "CREATE_COMPLETE", cloud.failures(HUB, "key-of-each")
    for account in (DEV, DEV2):
        assert len(cloud.client("kms", account).list_keys()["Keys"]) >= 1


def test_stack_sets_are_those_of_the_management_account(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStackSet.html (CallAs)."""
    actions = [
        *("CreateStackInstances", "DeleteStackInstances", "DeleteStackSet", "DescribeStackInstance"),
        *("DescribeStackSet", "DescribeStackSetOperation", "ListStackInstances", "ListStackSetOperationResults"),
        *("TagResource", "UntagResource"),
    ]
    made = allow(["cloudformation:CreateStackSet", "cloudformation:GetTemplateSummary"], "*")
    body = template(Set=stack_set("authorised", template(Queue=queue("of-a-set"))))

    def deploy(name: str, account: str) -> str:
        arn = f"arn:aws:cloudformation:*:{account}:stackset/*"
        target = "arn:aws:cloudformation:*:*:stackset-target/*"
        on = [f"cloudformation:{action}" for action in actions]
        types = "arn:aws:cloudformation:*:*:type/resource/*"
        role = service_role(cloud, name, made, *(allow(on, a) for a in (arn, target, types)), account=HUB)
        return str(cloud.deploy(HUB, name, body, RoleARN=role)["StackStatus"])

    assert deploy("sets-of-the-hub", HUB) == "ROLLBACK_COMPLETE"
    assert "cloudformation:CreateStackInstances" in cloud.failures(HUB, "sets-of-the-hub")[0]
    assert deploy("sets-of-the-organisation", MANAGEMENT) == "CREATE_COMPLETE", cloud.failures(
        HUB, "sets-of-the-organisation"
    )
    cloud.client("cloudformation", HUB).delete_stack(StackName="sets-of-the-organisation")
    assert eventually(lambda: not exists(cloud, "of-a-set"))


# ---- known fault: deploy-realtime 1.0.0 could not register a scalable target -----------------------------------------


def execution_policies(base: str) -> list[dict[str, Any]]:
    """Return the statements of a stage's execution role in a text of base.yaml, with this account's names."""
    from cfnlint.decode import cfn_yaml  # noqa: PLC0415 - slow to import, and only this test reads YAML

    role = json.loads(json.dumps(cfn_yaml.loads(base)))["Resources"]["ExecutionRole"]["Properties"]
    values = {"ProjectName": "churn", "ProjectId": "p-scaled", "Stage": "prod", "Partition": "aws", "AccountId": DEV}
    values |= {"Region": REGION, "Bucket.Arn": "arn:aws:s3:::b"}

    def resolved(node: Any) -> Any:  # noqa: ANN401 - JSON of any shape
        if isinstance(node, dict) and "Fn::Sub" in node:
            text = node["Fn::Sub"].replace("${AWS::", "${")
            for name, value in values.items():
                text = text.replace("${" + name + "}", value)
            return text
        if isinstance(node, dict) and "Fn::GetAtt" in node:
            return "arn:aws:kms:eu-west-1:222222222222:key/1"
        if isinstance(node, dict):
            return {key: resolved(value) for key, value in node.items()}
        return [resolved(value) for value in node] if isinstance(node, list) else node

    found = resolved(role["Policies"])
    return [statement for policy in found for statement in policy["PolicyDocument"]["Statement"]]


def scalable_target() -> dict[str, Any]:
    return {
        "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
        "Properties": {
            "MinCapacity": 1,
            "MaxCapacity": 2,
            "ResourceId": "endpoint/churn-p-scaled-prod/variant/AllTraffic",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
            "ServiceNamespace": "sagemaker",
            "Tags": [{"Key": "ml-platform-deployment", "Value": "p-scaled-prod"}],
        },
    }


def test_scaling_of_deploy_realtime_1_0_0_is_refused(cloud: Cloud) -> None:
    """TagResource has no key ``service-namespace`` (service authorization reference), under which 1.0.0 granted it."""
    with zipfile.ZipFile(ROOT / "products/deploy_realtime/releases/1.0.0/seed-code.zip") as archive:
        base = io.TextIOWrapper(archive.open("templates/base.yaml"), encoding="utf-8").read()
    role = service_role(cloud, "mlp-p-scaled-prod-execution", *execution_policies(base))

    assert cloud.deploy(DEV, "scaling", template(Target=scalable_target()), RoleARN=role)["StackStatus"] == (
        "ROLLBACK_COMPLETE"
    )
    (reason,) = cloud.failures(DEV, "scaling")
    assert "application-autoscaling:TagResource" in reason
    assert "application-autoscaling:RegisterScalableTarget" not in reason
