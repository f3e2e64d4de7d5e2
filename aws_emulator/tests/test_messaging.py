"""Queues and topics: the keys of what is encrypted, and functions that feed themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, REGION, eventually

if TYPE_CHECKING:
    from aws_emulator.tests.harness import AwsClient, Cloud

pytestmark = pytest.mark.rehearsal

KEY_RIGHTS = ("kms:GenerateDataKey", "kms:Decrypt")
ROUNDS = """
import boto3, json, os

def handler(event, context):
    for record in event["Records"]:
        left = json.loads(record["body"])
        sqs = boto3.client("sqs", endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))
        if left:
            sqs.send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=json.dumps(left - 1))
        else:
            boto3.client("ssm", endpoint_url=os.environ.get("AWS_ENDPOINT_URL")).put_parameter(
                Name=os.environ["DONE"], Type="String", Value="done")
"""


def key(cloud: Cloud, *services: str) -> str:
    """Create a key that the account's policies decide about, and which services may use to send."""
    account = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"}, "Action": "kms:*", "Resource": "*"}
    statements = [account] + [
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": list(KEY_RIGHTS), "Resource": "*"}
        for service in services
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return str(cloud.client("kms", DEV).create_key(Policy=policy)["KeyMetadata"]["Arn"])


def bodies(sqs: AwsClient, url: str) -> list[str]:
    return [message["Body"] for message in sqs.receive_message(QueueUrl=url).get("Messages", [])]


@pytest.mark.parametrize("missing", [None, *KEY_RIGHTS])
def test_who_sends_to_an_encrypted_queue_or_topic_needs_both_rights_on_its_key(
    cloud: Cloud, missing: str | None
) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html."""
    key_arn, name = key(cloud), f"encrypted-{(missing or 'none').replace(':', '-')}"
    url = cloud.queue(DEV, name, KmsMasterKeyId=key_arn)
    topic = cloud.client("sns", DEV).create_topic(Name=name, Attributes={"KmsMasterKeyId": key_arn})["TopicArn"]
    rights = [action for action in KEY_RIGHTS if action != missing]
    role = cloud.role(
        DEV,
        name,
        [
            {"Effect": "Allow", "Action": ["sqs:SendMessage", "sns:Publish"], "Resource": "*"},
            {"Effect": "Allow", "Action": rights, "Resource": key_arn},
        ],
    )
    producer = cloud.assume(role)
    sqs, sns = (cloud.client(service, DEV, producer) for service in ("sqs", "sns"))
    if missing is None:
        sqs.send_message(QueueUrl=url, MessageBody="x")
        sns.publish(TopicArn=topic, Message="x")
        return
    with pytest.raises(ClientError, match=f"not authorized to perform: {missing}"):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    with pytest.raises(ClientError, match=f"not authorized to perform: {missing}"):
        sns.publish(TopicArn=topic, Message="x")


def test_a_topic_reaches_an_encrypted_queue_only_if_somebody_knows_what_it_sends_to_the_key(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/sns/latest/dg/sns-enable-encryption-for-topic-sqs-queue-subscriptions.html."""
    sns, sqs = cloud.client("sns", DEV), cloud.client("sqs", DEV)
    topic = sns.create_topic(Name="to-queues")["TopicArn"]
    urls = {
        "plain": cloud.queue(DEV, "topic-to-plain"),
        "encrypted": cloud.queue(DEV, "topic-to-encrypted", KmsMasterKeyId=key(cloud)),
    }
    for name in urls:
        endpoint = f"arn:aws:sqs:{REGION}:{DEV}:topic-to-{name}"
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=endpoint)

    sns.publish(TopicArn=topic, Message="x")

    assert eventually(lambda: bodies(sqs, urls["plain"]))
    assert bodies(sqs, urls["encrypted"]) == []


@pytest.mark.parametrize("declared", ["Terminate", "Allow"])
def test_a_function_invokes_itself_more_than_sixteen_times_only_if_it_declares_the_loop(
    cloud: Cloud, declared: str
) -> None:
    """As a share does that needs 20 looks, and a promotion that hands itself on: with a message to its own queue.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    name = f"rounds-{declared.lower()}"
    stack = cloud.deploy(DEV, name, _invoking_itself(name, declared))
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, name)
    url = next(output["OutputValue"] for output in stack["Outputs"])

    cloud.client("sqs", DEV).send_message(QueueUrl=url, MessageBody="19")

    def done() -> bool:
        return bool(cloud.client("ssm", DEV).get_parameters(Names=[f"/rounds/{name}"])["Parameters"])

    if declared == "Allow":
        assert eventually(done, timeout_s=30)
    else:
        log = cloud.work_dir / "cloud.log"
        assert eventually(lambda: f"Lambda stopped {name}" in log.read_text(), timeout_s=30)
        assert not done()


def _invoking_itself(name: str, declared: str) -> dict[str, Any]:
    queue_arn = {"Fn::GetAtt": ["Queue", "Arn"]}
    rights = ["sqs:*", "ssm:PutParameter", "logs:*"]
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": rights, "Resource": "*"}]}
    return {
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 60}},
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
                    "Policies": [{"PolicyName": "Own", "PolicyDocument": policy}],
                },
            },
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "FunctionName": name,
                    "Runtime": "python3.13",
                    "Handler": "index.handler",
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                    "Code": {"ZipFile": ROUNDS},
                    "RecursiveLoop": declared,
                    "Environment": {"Variables": {"QUEUE_URL": {"Ref": "Queue"}, "DONE": f"/rounds/{name}"}},
                },
            },
            "Source": {
                "Type": "AWS::Lambda::EventSourceMapping",
                "Properties": {"EventSourceArn": queue_arn, "FunctionName": {"Ref": "Function"}, "BatchSize": 1},
            },
        },
        "Outputs": {"Url": {"Value": {"Ref": "Queue"}}},
    }
