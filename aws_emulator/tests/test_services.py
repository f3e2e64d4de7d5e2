"""Lambda, EC2 and EventBridge: what MiniStack leaves out and our templates rely on."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from aws_emulator.tests.harness import DEV, DEV2, HUB, ORGANIZATION_ID, REGION, WORKLOADS_PATH, eventually

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

CODE_BUCKET = "code-of-the-hub"


def trust(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def function(key: str, **properties: object) -> dict[str, Any]:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust("lambda")}}
    code = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "handler.run",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"S3Bucket": CODE_BUCKET, "S3Key": key},
            **properties,
        },
    }
    return {"Resources": {"Role": role, "Function": code}}


@pytest.fixture(scope="module")
def code(cloud: Cloud) -> None:
    """A bucket of the hub with functions that the accounts of the workloads unit may read."""
    s3 = cloud.client("s3", HUB)
    s3.create_bucket(Bucket=CODE_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{CODE_BUCKET}/assets/*",
        "Condition": {
            "StringEquals": {"aws:PrincipalOrgID": ORGANIZATION_ID},
            "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": f"{WORKLOADS_PATH}*"},
        },
    }
    s3.put_bucket_policy(Bucket=CODE_BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "handler.py",
            "import boto3\n"
            "def run(event, context):\n"
            "    if event.get('RequestType'): raise ValueError('no such luck')\n"
            "    return boto3.client('sts').get_caller_identity()['Arn']\n",
        )
    for key in ("assets/a.zip", "private/a.zip"):
        s3.put_object(Bucket=CODE_BUCKET, Key=key, Body=buffer.getvalue())


@pytest.mark.usefixtures("code")
def test_a_function_takes_its_code_from_a_bucket_of_another_account_and_runs_as_its_role(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCode.html: the bucket can be in another account."""
    stack = cloud.deploy(DEV, "function", function("assets/a.zip", FunctionName="from-the-hub"))

    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "function")
    answer = cloud.client("lambda", DEV).invoke(FunctionName="from-the-hub")
    identity = json.loads(answer["Payload"].read())
    assert identity.startswith(f"arn:aws:sts::{DEV}:assumed-role/")
    assert identity.endswith("/from-the-hub")


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize(("key", "error"), [("assets/missing.zip", "NoSuchKey"), ("private/a.zip", "AccessDenied")])
def test_a_function_without_readable_code_fails_the_stack(cloud: Cloud, key: str, error: str) -> None:
    name = f"code-{error.lower()}"

    stack = cloud.deploy(DEV, name, function(key))

    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any(error in reason for reason in cloud.failures(DEV, name))


@pytest.mark.usefixtures("code")
def test_a_custom_resource_whose_function_raises_fails_with_the_error_instead_of_hanging(cloud: Cloud) -> None:
    template = function("assets/a.zip")
    properties = {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}, "ServiceTimeout": "60"}
    template["Resources"]["Thing"] = {"Type": "Custom::Thing", "Properties": properties}

    stack = cloud.deploy(DEV, "raising", template)

    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any("no such luck" in reason for reason in cloud.failures(DEV, "raising"))


def test_rules_of_a_security_group_come_and_go_as_resources(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2", DEV2)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    group = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "jobs", "VpcId": vpc}}
    itself = {"Fn::GetAtt": ["Group", "GroupId"]}
    rule = {
        "Type": "AWS::EC2::SecurityGroupIngress",
        "Properties": {
            "GroupId": itself,
            "IpProtocol": "tcp",
            "FromPort": 0,
            "ToPort": 65535,
            "SourceSecurityGroupId": itself,
        },
    }
    output = {"Group": {"Value": itself}}

    stack = cloud.deploy(DEV2, "group", {"Resources": {"Group": group, "Rule": rule}, "Outputs": output})

    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV2, "group")
    group_id = stack["Outputs"][0]["OutputValue"]

    def ingress() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0][
            "IpPermissions"
        ]
        return found

    (permission,) = ingress()
    assert permission["UserIdGroupPairs"][0]["GroupId"] == group_id
    cloud.deploy(DEV2, "group", {"Resources": {"Group": group}, "Outputs": output})
    assert ingress() == []


def test_new_objects_start_a_pipeline_through_a_rule_with_its_role(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html and eb-targets (CodePipeline)."""
    s3, events = cloud.client("s3", DEV2), cloud.client("events", DEV2)
    s3.create_bucket(Bucket="lake-of-dev-two", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_notification_configuration(
        Bucket="lake-of-dev-two", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    arn = f"arn:aws:codepipeline:{REGION}:{DEV2}:triggered"
    start = {"Effect": "Allow", "Action": "codepipeline:StartPipelineExecution", "Resource": arn}
    allowed, refused = cloud.role(DEV2, "may-start", [start]), cloud.role(DEV2, "may-not-start", [])
    stack = cloud.deploy(DEV2, "triggered", {"Resources": pipeline("triggered")})
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV2, "triggered")
    queue = cloud.queue(DEV2, "missed")
    for role, prefix in ((allowed, "good"), (refused, "bad")):
        detail = {"bucket": {"name": ["lake-of-dev-two"]}, "object": {"key": [{"wildcard": f"{prefix}/*_SUCCESS"}]}}
        pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail}
        events.put_rule(Name=prefix, EventPattern=json.dumps(pattern))
        dead_letters = {"Arn": f"arn:aws:sqs:{REGION}:{DEV2}:missed"}
        target = {"Id": "pipeline", "Arn": arn, "RoleArn": role, "DeadLetterConfig": dead_letters}
        events.put_targets(Rule=prefix, Targets=[target])

    for key in ("good/part.csv", "good/_SUCCESS", "bad/_SUCCESS"):
        s3.put_object(Bucket="lake-of-dev-two", Key=key, Body=b"x")

    def started() -> list[str]:
        found = cloud.client("codepipeline", DEV2).list_pipeline_executions(pipelineName="triggered")
        return [entry["trigger"]["triggerType"] for entry in found["pipelineExecutionSummaries"]]

    eventually(lambda: started() == ["CloudWatchEvent", "CreatePipeline"])
    (missed,) = eventually(
        lambda: cloud.client("sqs", DEV2).receive_message(QueueUrl=queue, MessageAttributeNames=["All"]).get("Messages")
    )
    assert "not authorized" in missed["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]


def test_queues_and_their_keys_decide_whether_a_rule_reaches_them(cloud: Cloud) -> None:
    """EventBridge user guide, "Resource-based policies"; SQS developer guide, "Key management"."""
    kms, events = cloud.client("kms", DEV2), cloud.client("events", DEV2)
    rule = f"arn:aws:events:{REGION}:{DEV2}:rule/decided"
    of_rule, of_another = ({"ArnEquals": {"aws:SourceArn": arn}} for arn in (rule, f"{rule}-otherwise"))
    let_in = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Resource": "*"}
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{DEV2}:root"}, "Action": "kms:*", "Resource": "*"}
    keys = {}
    for action in ("kms:Decrypt", "kms:*"):
        policy = json.dumps({"Version": "2012-10-17", "Statement": [root, {**let_in, "Action": action}]})
        keys[action] = kms.create_key(Policy=policy)["KeyMetadata"]["Arn"]
    urls = {
        "rejected": cloud.queue(DEV2, "rejected"),
        "open": cloud.queue(DEV2, "open", of_rule, KmsMasterKeyId=keys["kms:*"]),
        "closed": cloud.queue(DEV2, "closed", of_another),
        "locked": cloud.queue(DEV2, "locked", of_rule, KmsMasterKeyId=keys["kms:Decrypt"]),
    }
    place = f"arn:aws:sqs:{REGION}:{DEV2}"
    targets = [
        {"Id": name, "Arn": f"{place}:{name}", "DeadLetterConfig": {"Arn": f"{place}:rejected"}}
        for name in urls
        if name != "rejected"
    ]
    events.put_rule(Name="decided", EventPattern=json.dumps({"source": ["decided"]}))
    events.put_targets(Rule="decided", Targets=targets)
    events.put_events(Entries=[{"Source": "decided", "DetailType": "Decided", "Detail": "{}"}])

    reasons: dict[str, str] = {}

    def both() -> bool:
        found = cloud.client("sqs", DEV2).receive_message(QueueUrl=urls["rejected"], MessageAttributeNames=["All"])
        for message in found.get("Messages", []):
            said = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
            reasons[said["TARGET_ARN"].rsplit(":", 1)[1]] = said["ERROR_MESSAGE"]
        return len(reasons) == 2

    eventually(lambda: both() or None)
    assert "events.amazonaws.com sqs:SendMessage" in reasons["closed"]
    assert "events.amazonaws.com kms:GenerateDataKey" in reasons["locked"]
    assert cloud.client("sqs", DEV2).receive_message(QueueUrl=urls["open"])["Messages"]


def pipeline(name: str) -> dict[str, Any]:
    """A pipeline that fails at its source, because its connection does not exist: enough to see it start."""
    source = {
        "Name": "Source",
        "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "CodeStarSourceConnection", "Version": "1"},
        "Configuration": {"ConnectionArn": "arn:aws:none:::x", "FullRepositoryId": "a/b", "BranchName": "main"},
        "OutputArtifacts": [{"Name": "Source"}],
    }
    return {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust("codepipeline")}},
        "Pipeline": {
            "Type": "AWS::CodePipeline::Pipeline",
            "Properties": {
                "Name": name,
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "ArtifactStore": {"Type": "S3", "Location": "nowhere"},
                "Stages": [{"Name": "Source", "Actions": [source]}],
            },
        },
    }
