"""CloudFormation: what our templates rely on, resource by resource and never only by the status of a stack."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import (
    DEV,
    DEV2,
    HUB,
    LARGE_OU,
    MANAGEMENT,
    NINE,
    OUTSIDER,
    REGION,
    WORKLOADS_OU,
    eventually,
)

if TYPE_CHECKING:
    from aws_emulator.tests.harness import AwsClient, Cloud

pytestmark = pytest.mark.rehearsal


def template(resources: dict[str, Any], **sections: object) -> dict[str, Any]:
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources, **sections}


def parameter(name: str, value: object, **attributes: object) -> dict[str, Any]:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Name": name, "Type": "String", "Value": value}, **attributes}


def value_of(cloud: Cloud, account: str, name: str) -> str | None:
    try:
        return str(cloud.client("ssm", account).get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError:
        return None


def exists(cloud: Cloud, account: str, stack: str) -> bool:
    try:
        return bool(cloud.client("cloudformation", account).describe_stacks(StackName=stack)["Stacks"])
    except ClientError:
        return False


def test_conditions_see_pseudo_parameters_and_functions(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-conditions.html."""
    conditions = {
        "InRegion": {"Fn::Equals": [{"Ref": "AWS::Region"}, REGION]},
        "InAccount": {"Fn::Equals": [{"Fn::Sub": "${AWS::AccountId}/x"}, f"{DEV}/x"]},
        "Joined": {"Fn::Equals": [{"Fn::Join": ["-", [{"Ref": "AWS::Partition"}, {"Ref": "Name"}]]}, "aws-n"]},
        "Mapped": {"Fn::Equals": [{"Fn::FindInMap": ["Map", {"Ref": "AWS::Region"}, "Key"]}, "found"]},
        "Elsewhere": {"Fn::Not": [{"Condition": "InRegion"}]},
    }
    body = template(
        {name: parameter(f"/conditions/{name}", "x", Condition=name) for name in conditions},
        Conditions=conditions,
        Parameters={"Name": {"Type": "String", "Default": "n"}},
        Mappings={"Map": {REGION: {"Key": "found"}}},
    )

    stack = cloud.deploy(DEV, "conditions", body)

    assert stack["StackStatus"] == "CREATE_COMPLETE"
    created = {name for name in conditions if value_of(cloud, DEV, f"/conditions/{name}")}
    assert created == {"InRegion", "InAccount", "Joined", "Mapped"}


def test_dynamic_references_and_parameters_of_type_ssm_are_resolved(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-ssm.html."""
    ssm = cloud.client("ssm", DEV)
    ssm.put_parameter(Name="/contract/bucket", Value="artifacts", Type="String")
    ec2 = cloud.client("ec2", DEV)
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.8.{i}.0/24")["Subnet"]["SubnetId"] for i in range(2)]
    ssm.put_parameter(Name="/contract/subnets", Value=",".join(subnets), Type="StringList")
    body = template(
        {
            "Reference": parameter("/resolved/reference", "s3://{{resolve:ssm:/contract/bucket}}/x"),
            "Sub": parameter(
                "/resolved/sub", {"Fn::Sub": "arn:${AWS::Partition}:s3:::{{resolve:ssm:/contract/bucket}}"}
            ),
            "List": parameter("/resolved/list", {"Fn::Select": [1, {"Ref": "Subnets"}]}),
            "Scalar": parameter("/resolved/scalar", {"Ref": "Bucket"}),
        },
        Parameters={
            "Subnets": {
                "Type": "AWS::SSM::Parameter::Value<List<AWS::EC2::Subnet::Id>>",
                "Default": "/contract/subnets",
            },
            "Bucket": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/contract/bucket"},
        },
        Outputs={"Bucket": {"Value": {"Ref": "Bucket"}}},
    )

    stack = cloud.deploy(DEV, "references", body)

    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "references")
    assert value_of(cloud, DEV, "/resolved/reference") == "s3://artifacts/x"
    assert value_of(cloud, DEV, "/resolved/sub") == "arn:aws:s3:::artifacts"
    assert value_of(cloud, DEV, "/resolved/list") == subnets[1]
    assert value_of(cloud, DEV, "/resolved/scalar") == "artifacts"
    assert stack["Outputs"][0]["OutputValue"] == "artifacts"


TYPED: dict[str, Any] = {
    "Parameters": {"Vpc": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::VPC::Id>", "Default": "/network/vpc"}},
    "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
}
_LOOK_UP = {
    "ssm:GetParameters": f"arn:aws:ssm:{REGION}:{DEV}:parameter/network/vpc",
    "ec2:DescribeVpcs": "*",
}


@pytest.mark.parametrize("without", _LOOK_UP)
def test_a_typed_parameter_is_looked_up_with_the_rights_of_the_caller(cloud: Cloud, without: str) -> None:
    vpc = cloud.client("ec2", DEV).create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    cloud.client("ssm", DEV).put_parameter(Name="/network/vpc", Value=vpc, Type="String", Overwrite=True)
    stack = without.partition(":")[0]

    def allowed(*actions: str) -> AwsClient:
        statements: list[dict[str, Any]] = [
            {"Effect": "Allow", "Action": ["cloudformation:*", "iam:GetRole", "sns:*"], "Resource": "*"},
            *({"Effect": "Allow", "Action": action, "Resource": _LOOK_UP[action]} for action in actions),
        ]
        role = cloud.role(DEV, f"deploys-{stack}-{len(actions)}", statements)
        return cloud.client("cloudformation", DEV, cloud.assume(role))

    with pytest.raises(ClientError, match=f"not authorized to perform: {without}"):
        allowed(*(set(_LOOK_UP) - {without})).create_stack(StackName=f"typed-{stack}", TemplateBody=json.dumps(TYPED))
    allowed(*_LOOK_UP).create_stack(StackName=f"typed-{stack}", TemplateBody=json.dumps(TYPED))
    assert cloud.settled(DEV, f"typed-{stack}")["StackStatus"] == "CREATE_COMPLETE"


def test_a_typed_parameter_names_what_exists(cloud: Cloud) -> None:
    by_id = {**TYPED, "Parameters": {"Vpc": {"Type": "AWS::EC2::VPC::Id"}}}
    with pytest.raises(ClientError, match="parameter value vpc-404 for parameter name Vpc does not exist"):
        cloud.client("cloudformation", DEV).create_stack(
            StackName="typed-nowhere",
            TemplateBody=json.dumps(by_id),
            Parameters=[{"ParameterKey": "Vpc", "ParameterValue": "vpc-404"}],
        )


def test_a_violated_rule_refuses_the_stack_with_its_description(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html."""
    body = template(
        {"P": parameter("/rules/p", "x")},
        Parameters={"Mode": {"Type": "String", "Default": "bad"}},
        Rules={
            "Good": {
                "Assertions": [
                    {"Assert": {"Fn::Contains": [["good"], {"Ref": "Mode"}]}, "AssertDescription": "Mode must be good."}
                ]
            }
        },
    )

    with pytest.raises(ClientError, match="Mode must be good"):
        cloud.deploy(DEV, "rules", body)

    assert value_of(cloud, DEV, "/rules/p") is None


ANSWERING = """
import json, os, threading, urllib.request
import boto3
def answer(event, status="SUCCESS", **more):
    body = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    body |= {"Status": status, "PhysicalResourceId": event.get("PhysicalResourceId", "thing"), **more}
    urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], json.dumps(body).encode(), method="PUT"))
def begin(event, context):
    name = event["ResourceProperties"].get("Fail")
    if name: return answer(event, "FAILED", Reason=name)
    boto3.client("lambda").invoke(FunctionName="answers-later", InvocationType="Event", Payload=json.dumps(event))
def later(event, context):
    import time
    time.sleep(0.5)
    answer(event, Data={"Kind": event["RequestType"], "Given": event["ResourceProperties"].get("Value", "")})
"""


def functions() -> dict[str, Any]:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    invoke = {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": {"Fn::Sub": "arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:function:answers-later"},
    }
    resources: dict[str, Any] = {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": trust,
                "Policies": [{"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": [invoke]}}],
            },
        },
    }
    for logical_id, name, handler in (("Begin", "answers", "begin"), ("Later", "answers-later", "later")):
        resources[logical_id] = {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": name,
                "Runtime": "python3.13",
                "Handler": f"index.{handler}",
                "Timeout": 30,
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Code": {"ZipFile": ANSWERING},
            },
        }
    return template(resources)


@pytest.fixture(scope="module")
def answers(cloud: Cloud) -> str:
    """ARN of a function behind a custom resource that another function answers later."""
    stack = cloud.deploy(DEV, "answers", functions())
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "answers")
    return f"arn:aws:lambda:{REGION}:{DEV}:function:answers"


def custom(arn: str, **properties: object) -> dict[str, Any]:
    return {"Type": "Custom::Thing", "Properties": {"ServiceToken": arn, "ServiceTimeout": "5", **properties}}


def test_a_stack_waits_for_the_answer_of_a_custom_resource_on_create_and_update(cloud: Cloud, answers: str) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html."""

    def body(value: str) -> dict[str, Any]:
        got = {
            "Fn::Join": [":", [{"Fn::GetAtt": ["Thing", "Kind"]}, {"Fn::GetAtt": ["Thing", "Given"]}, {"Ref": "Thing"}]]
        }
        return template({"Thing": custom(answers, Value=value), "Got": parameter("/custom/got", got)})

    started = time.monotonic()
    stack = cloud.deploy(DEV, "custom", body("one"))
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "custom")
    assert time.monotonic() - started > 0.5
    assert value_of(cloud, DEV, "/custom/got") == "Create:one:thing"

    stack = cloud.deploy(DEV, "custom", body("two"))
    assert stack["StackStatus"] == "UPDATE_COMPLETE", cloud.failures(DEV, "custom")
    assert value_of(cloud, DEV, "/custom/got") == "Update:two:thing"


def test_a_failed_custom_resource_rolls_back_with_its_reason(cloud: Cloud, answers: str) -> None:
    resources = {
        "Before": parameter("/failing/before", "x"),
        "Kept": parameter("/failing/kept", "x", DeletionPolicy="Retain"),
        "Thing": {**custom(answers, Fail="the repository is missing"), "DependsOn": ["Before", "Kept"]},
    }

    stack = cloud.deploy(DEV, "failing", template(resources))

    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any("the repository is missing" in reason for reason in cloud.failures(DEV, "failing"))
    assert value_of(cloud, DEV, "/failing/before") is None
    assert value_of(cloud, DEV, "/failing/kept") == "x"


def test_an_update_of_a_bridged_type_changes_it_in_place_or_replaces_it(cloud: Cloud) -> None:
    def body(name: str, team: str) -> dict[str, Any]:
        properties = {"ConnectionName": name, "ProviderType": "GitHub", "Tags": [{"Key": "team", "Value": team}]}
        resources = {
            "Connection": {"Type": "AWS::CodeConnections::Connection", "Properties": properties},
            "Arn": parameter("/connection/arn", {"Ref": "Connection"}),
        }
        return template(resources)

    connections = cloud.client("codeconnections", DEV2)

    def listed() -> list[str]:
        return [entry["ConnectionArn"] for entry in connections.list_connections()["Connections"]]

    cloud.deploy(DEV2, "connection", body("one", "a"))
    (first,) = listed()
    cloud.deploy(DEV2, "connection", body("one", "b"))
    assert listed() == [first]
    assert connections.list_tags_for_resource(ResourceArn=first)["Tags"] == [{"Key": "team", "Value": "b"}]

    cloud.deploy(DEV2, "connection", body("two", "b"))
    (second,) = listed()
    assert second != first
    assert value_of(cloud, DEV2, "/connection/arn") == second

    cloud.client("cloudformation", DEV2).delete_stack(StackName="connection")
    assert eventually(lambda: listed() == [])


def stack_set(name: str, value: str, **properties: object) -> dict[str, Any]:
    inner = template(
        {
            "P": parameter("/stackset/value", {"Ref": "Value"}),
            "Account": parameter("/stackset/account", {"Ref": "AWS::AccountId"}),
        },
        Parameters={"Value": {"Type": "String"}},
    )
    return {
        "Type": "AWS::CloudFormation::StackSet",
        "Properties": {
            "StackSetName": name,
            "PermissionModel": "SERVICE_MANAGED",
            "CallAs": "DELEGATED_ADMIN",
            "AutoDeployment": {"Enabled": True, "RetainStacksOnAccountRemoval": False},
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "TemplateBody": json.dumps(inner),
            "Parameters": [{"ParameterKey": "Value", "ParameterValue": value}],
            "StackInstancesGroup": [
                {"DeploymentTargets": {"OrganizationalUnitIds": [WORKLOADS_OU]}, "Regions": [REGION]}
            ],
            **properties,
        },
    }


def test_a_service_managed_stack_set_deploys_updates_and_deletes_in_every_account_of_the_unit(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stacksets-orgs-associate-stackset-with-org.html."""
    stack = cloud.deploy(HUB, "baseline", template({"Set": stack_set("baseline", "one")}))
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(HUB, "baseline")
    assert [value_of(cloud, account, "/stackset/account") for account in (DEV, DEV2)] == [DEV, DEV2]
    assert value_of(cloud, HUB, "/stackset/account") is None

    stack = cloud.deploy(HUB, "baseline", template({"Set": stack_set("baseline", "two")}))
    assert stack["StackStatus"] == "UPDATE_COMPLETE", cloud.failures(HUB, "baseline")
    assert [value_of(cloud, account, "/stackset/value") for account in (DEV, DEV2)] == ["two", "two"]

    cloud.client("cloudformation", HUB).delete_stack(StackName="baseline")
    assert eventually(lambda: value_of(cloud, DEV, "/stackset/value") is None)
    assert eventually(lambda: value_of(cloud, DEV2, "/stackset/value") is None)


def test_a_stack_set_fails_with_the_account_and_the_reason(cloud: Cloud) -> None:
    broken = {"Broken": custom(f"arn:aws:lambda:{REGION}:{DEV}:function:missing")}

    stack = cloud.deploy(
        HUB,
        "broken-set",
        template({"Set": stack_set("broken", "x", TemplateBody=json.dumps(template(broken)), Parameters=[])}),
    )

    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any(
        DEV in reason and "Broken" in reason and "missing" in reason for reason in cloud.failures(HUB, "broken-set")
    )
    assert not [
        summary
        for summary in cloud.client("cloudformation", DEV).list_stacks()["StackSummaries"]
        if "broken" in summary["StackName"] and summary["StackStatus"] != "DELETE_COMPLETE"
    ]


def with_a_broken_account(name: str, accounts: int, broken: str = NINE[0], **preferences: int) -> dict[str, Any]:
    """A stack set for some accounts of the large unit, whose template fails in one of them."""
    inner = template(
        {
            "Broken": {**custom(f"arn:aws:lambda:{REGION}:{broken}:function:missing"), "Condition": "IsBroken"},
            "Fine": parameter(f"/{name}/fine", {"Ref": "AWS::AccountId"}),
        },
        Conditions={"IsBroken": {"Fn::Equals": [{"Ref": "AWS::AccountId"}, broken]}},
    )
    targets = {"OrganizationalUnitIds": [LARGE_OU], "AccountFilterType": "INTERSECTION", "Accounts": NINE[:accounts]}
    return template(
        {
            "Set": stack_set(
                name,
                "x",
                TemplateBody=json.dumps(inner),
                Parameters=[],
                OperationPreferences=preferences,
                StackInstancesGroup=[{"DeploymentTargets": targets, "Regions": [REGION]}],
            )
        }
    )


@pytest.mark.parametrize("accounts", [1, 2, 9])
def test_one_broken_account_of_few_fails_a_stack_set_unless_a_number_of_accounts_may_fail(
    cloud: Cloud, accounts: int
) -> None:
    """A percentage is rounded down, here to none.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackSetOperationPreferences.html
    """
    strict, tolerant = f"strict-{accounts}", f"tolerant-{accounts}"
    stack = cloud.deploy(HUB, strict, with_a_broken_account(strict, accounts, FailureTolerancePercentage=10))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"

    stack = cloud.deploy(HUB, tolerant, with_a_broken_account(tolerant, accounts, FailureToleranceCount=3))
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(HUB, tolerant)
    client = cloud.client("cloudformation", HUB)
    listed = client.list_stack_instances(StackSetName=tolerant, CallAs="DELEGATED_ADMIN")["Summaries"]
    statuses = {found["Account"]: found["StackInstanceStatus"]["DetailedStatus"] for found in listed}
    assert statuses == dict.fromkeys(NINE[:accounts], "SUCCEEDED") | {NINE[0]: "FAILED"}
    assert value_of(cloud, NINE[0], f"/{tolerant}/fine") is None

    corrected = with_a_broken_account(tolerant, accounts, OUTSIDER, FailureToleranceCount=3)
    assert cloud.deploy(HUB, tolerant, corrected)["StackStatus"] == "UPDATE_COMPLETE"
    assert value_of(cloud, NINE[0], f"/{tolerant}/fine") == NINE[0], "the next operation brings what is missing"


def test_a_stack_set_is_listed_by_its_arn_in_the_management_account(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStackSet.html (CallAs)."""
    assert cloud.deploy(HUB, "listed", template({"Set": stack_set("listed", "x")}))["StackStatus"] == "CREATE_COMPLETE"
    request = {"StackSetName": "listed", "CallAs": "DELEGATED_ADMIN"}
    for account, may in ((MANAGEMENT, True), (HUB, False)):
        arn = f"arn:aws:cloudformation:{REGION}:{account}:stackset/listed:*"
        statement = {"Effect": "Allow", "Action": "cloudformation:ListStackInstances", "Resource": arn}
        client = cloud.client("cloudformation", HUB, cloud.assume(cloud.role(HUB, f"lists-{account}", [statement])))
        if may:
            assert len(client.list_stack_instances(**request)["Summaries"]) == 2
        else:
            with pytest.raises(ClientError, match="not authorized to perform: cloudformation:ListStackInstances"):
                client.list_stack_instances(**request)
    cloud.client("cloudformation", HUB).delete_stack(StackName="listed")


def test_only_a_delegated_administrator_may_call_as_one(cloud: Cloud) -> None:
    stack = cloud.deploy(DEV, "not-delegated", template({"Set": stack_set("not-delegated", "x")}))

    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any("not a delegated administrator" in reason for reason in cloud.failures(DEV, "not-delegated"))


def test_one_template_makes_a_stack_in_each_region_and_none_takes_what_the_other_has(cloud: Cloud) -> None:
    """Generated names are unique, also of IAM, which has no regions; the library of TagOptions is one per region.

    Sources: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html and
    https://docs.aws.amazon.com/general/latest/gr/servicecatalog.html (a regional service).
    """
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    resources: dict[str, Any] = {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": [trust]}}},
        "Log": {"Type": "AWS::Logs::LogGroup", "Properties": {}},
        "Option": {"Type": "AWS::ServiceCatalog::TagOption", "Properties": {"Key": "twice", "Value": "1"}},
    }
    made: list[dict[str, str]] = []
    for region in (REGION, "eu-central-1"):
        stacks, logs = (cloud.client(service, HUB, region=region) for service in ("cloudformation", "logs"))
        for operation in ("create", "update"):
            resources["Log"]["Properties"]["RetentionInDays"] = 1 if operation == "create" else 7
            change = stacks.create_stack if operation == "create" else stacks.update_stack
            change(StackName="twice", TemplateBody=json.dumps(template(resources)), Capabilities=["CAPABILITY_IAM"])
            stacks.get_waiter(f"stack_{operation}_complete").wait(StackName="twice", WaiterConfig={"Delay": 0.1})
        found = stacks.describe_stack_resources(StackName="twice")["StackResources"]
        made.append({resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found})
        (group,) = logs.describe_log_groups(logGroupNamePrefix="twice-Log-")["logGroups"]
        assert (group["logGroupName"], group["retentionInDays"]) == (made[-1]["Log"], 7)
    home, away = made
    assert not set(home.values()) & set(away.values())


def test_event_bus_policies_are_set_and_removed(cloud: Cloud) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "events:PutEvents", "Resource": "*"}
    policy = {"Type": "AWS::Events::EventBusPolicy", "Properties": {"StatementId": "Workloads", "Statement": statement}}
    events = cloud.client("events", HUB)

    cloud.deploy(HUB, "bus", template({"Policy": policy}))
    (found,) = json.loads(events.describe_event_bus()["Policy"])["Statement"]
    assert found["Sid"] == "Workloads"

    cloud.client("cloudformation", HUB).delete_stack(StackName="bus")
    assert eventually(lambda: not json.loads(events.describe_event_bus().get("Policy", "{}")).get("Statement"))


# ---- names and second tries -----------------------------------------------------------------------------------------


def role(name: str) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"RoleName": name, "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}},
    }


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        (role("claimed-twice"), "EntityAlreadyExists"),
        ({"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "claimed-twice"}}, "AlreadyExists"),
        ({"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "claimed-twice"}}, "AlreadyExists"),
        ({"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "claimed-twice"}}, "AlreadyExists"),
        (parameter("/claimed/twice", "x"), "AlreadyExists"),
        (
            {
                "Type": "AWS::CodeConnections::Connection",
                "Properties": {"ConnectionName": "claimed-twice", "ProviderType": "GitHub"},
            },
            "AlreadyExists",
        ),
    ],
    ids=lambda value: value["Type"] if isinstance(value, dict) else "",
)
def test_a_second_stack_cannot_have_a_name_that_another_one_has(
    cloud: Cloud, resource: dict[str, Any], error: str
) -> None:
    """https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-test-contract.html."""
    name = resource["Type"].replace("::", "-")
    first = cloud.deploy(OUTSIDER, f"first-{name}", template({"Named": resource}))
    assert first["StackStatus"] == "CREATE_COMPLETE", cloud.failures(OUTSIDER, f"first-{name}")

    second = cloud.deploy(OUTSIDER, f"second-{name}", template({"Named": resource}))

    assert second["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any(error in reason and "laimed" in reason for reason in cloud.failures(OUTSIDER, f"second-{name}"))
    again = cloud.deploy(
        OUTSIDER, f"first-{name}", template({"Named": resource, "More": parameter(f"/more/{name}", "x")})
    )
    assert again["StackStatus"] == "UPDATE_COMPLETE", "its own name is not in its way"


@pytest.mark.parametrize("kept", ["Retain", "RetainExceptOnCreate"])
def test_a_first_deployment_that_failed_is_deleted_and_repeated_unless_something_was_retained(
    cloud: Cloud, answers: str, kept: str
) -> None:
    """CREATE_UPDATE "fails if the stack is in a failed state" (CodePipeline), so the stack is deleted first.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
    """
    name, bucket = f"first-try-{kept}".lower(), {"BucketName": f"first-try-{kept}".lower()}

    def body(fail: str) -> dict[str, Any]:
        thing = custom(answers, **({"Fail": fail} if fail else {}))
        resources = {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": bucket, "DeletionPolicy": kept}}
        return template({**resources, "Thing": {**thing, "DependsOn": "Bucket"}})

    cloudformation = cloud.client("cloudformation", DEV)
    assert cloud.deploy(DEV, name, body("a quota is reached"))["StackStatus"] == "ROLLBACK_COMPLETE"
    for operation, words in (("update_stack", "ROLLBACK_COMPLETE state"), ("create_stack", "already exists")):
        with pytest.raises(ClientError, match=words):
            getattr(cloudformation, operation)(StackName=name, TemplateBody=json.dumps(body("")))
    cloudformation.delete_stack(StackName=name)
    assert eventually(lambda: not exists(cloud, DEV, name))

    again = cloud.deploy(DEV, name, body(""))

    assert again["StackStatus"] == ("CREATE_COMPLETE" if kept == "RetainExceptOnCreate" else "ROLLBACK_COMPLETE")
