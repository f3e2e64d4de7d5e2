"""What the promotion of a model needs between accounts: events, copies, queues, locked records, model cards."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, DEV2, HUB, ORGANIZATION_ID, REGION, WORKLOADS_PATH, eventually

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

BUS = f"arn:aws:events:{REGION}:{HUB}:event-bus/ml-platform"
MEMBERS = {
    "StringEquals": {"aws:PrincipalOrgID": ORGANIZATION_ID},
    "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": f"{WORKLOADS_PATH}*"},
}


def allow(action: str | list[str], resource: str | list[str], **more: object) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


# ---- events ----


def bus_template(**condition: object) -> dict[str, Any]:
    """A bus, its policy, and a queue for all events of the accounts that are allowed to put some."""
    bus = {"Type": "AWS::Events::EventBus", "Properties": {"Name": "ml-platform"}}
    statement = allow("events:PutEvents", BUS, Principal="*", Condition=condition)
    policy = {"EventBusName": {"Ref": "Bus"}, "StatementId": "Members", "Statement": statement}
    sends = allow("sqs:SendMessage", "*", Principal={"Service": "events.amazonaws.com"})
    rule = {
        "EventBusName": {"Ref": "Bus"},
        "EventPattern": {"source": ["aws.sagemaker"], "account": [DEV]},
        "Targets": [{"Id": "queue", "Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}],
    }
    return {
        "Resources": {
            "Bus": bus,
            "Policy": {"Type": "AWS::Events::EventBusPolicy", "Properties": policy},
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "of-the-hub"}},
            "QueuePolicy": {
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {"Queues": [{"Ref": "Queue"}], "PolicyDocument": json.loads(document(sends))},
            },
            "Rule": {"Type": "AWS::Events::Rule", "Properties": rule},
        }
    }


def forward(cloud: Cloud, account: str, role: str) -> None:
    """Forward what happens to models of an account to the hub; what does not get there goes to a queue."""
    queue = f"arn:aws:sqs:{REGION}:{account}:undelivered"
    cloud.queue(account, "undelivered")
    events = cloud.client("events", account)
    events.put_rule(Name="forward", EventPattern=json.dumps({"source": ["aws.sagemaker"]}))
    target = {"Id": "hub", "Arn": BUS, "RoleArn": role, "DeadLetterConfig": {"Arn": queue}}
    events.put_targets(Rule="forward", Targets=[target])


def register(cloud: Cloud, account: str, group: str) -> str:
    sagemaker = cloud.client("sagemaker", account)
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    arn: str = sagemaker.create_model_package(ModelPackageGroupName=group)["ModelPackageArn"]
    return arn


def message(cloud: Cloud, account: str, queue: str) -> dict[str, Any]:
    """Wait for a message and take it."""
    sqs = cloud.client("sqs", account)
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    (found,) = eventually(lambda: sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages"))
    sqs.delete_message(QueueUrl=url, ReceiptHandle=found["ReceiptHandle"])
    return dict(found)


def test_a_rule_forwards_events_to_a_bus_of_another_account_if_role_and_bus_allow_it(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html, eb-event-bus-perms.html."""
    stack = cloud.deploy(HUB, "bus", bus_template(**MEMBERS))
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(HUB, "bus")
    put = allow("events:PutEvents", BUS)
    forward(cloud, DEV, cloud.role(DEV, "puts-events", [put]))

    arn = register(cloud, DEV, "forwarded")

    event = json.loads(message(cloud, HUB, "of-the-hub")["Body"])
    assert event["resources"] == [arn]
    assert (event["account"], event["region"]) == (DEV, REGION), "those in which it happened"
    assert event["detail"]["ModelApprovalStatus"] == "PendingManualApproval"

    # A role without the permission, and a bus whose policy does not admit the account (or this kind of event).
    forward(cloud, DEV2, cloud.role(DEV2, "puts-none", []))
    register(cloud, DEV2, "untold")
    kept = message(cloud, DEV2, "undelivered")
    assert "not authorized to perform events:PutEvents" in kept["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
    assert json.loads(kept["Body"])["detail"]["ModelPackageGroupName"] == "untold"

    only = {"ForAllValues:StringEquals": {"events:source": "aws.codebuild"}}
    cloud.deploy(HUB, "bus", bus_template(**MEMBERS, **only))
    register(cloud, DEV, "refused")
    kept = message(cloud, DEV, "undelivered")
    assert json.loads(kept["Body"])["detail"]["ModelPackageGroupName"] == "refused"

    cloud.client("cloudformation", HUB).delete_stack(StackName="bus")
    eventually(lambda: "ml-platform" not in str(cloud.client("events", HUB).list_event_buses()["EventBuses"]))
    register(cloud, DEV, "nowhere")
    kept = message(cloud, DEV, "undelivered")
    assert "does not exist" in kept["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]


def test_an_event_is_put_on_a_bus_of_another_account_that_lets_the_caller_in(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html (EventBusName)."""
    template = json.loads(
        json.dumps(bus_template(**MEMBERS)).replace("ml-platform", "reports").replace("of-the", "to-the")
    )
    template["Resources"]["Rule"]["Properties"]["EventPattern"] = {"source": ["monitor"], "account": [DEV]}
    stack = cloud.deploy(HUB, "reports-bus", template)
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(HUB, "reports-bus")
    bus = BUS.replace("ml-platform", "reports")
    entry = {"Source": "monitor", "DetailType": "Drift", "Detail": json.dumps({"size": 3}), "EventBusName": bus}
    reporter = cloud.role(DEV, "reporter", [allow("events:PutEvents", bus)])

    answer = cloud.client("events", DEV, cloud.assume(reporter)).put_events(Entries=[entry])

    assert answer["FailedEntryCount"] == 0
    received = json.loads(message(cloud, HUB, "to-the-hub")["Body"])
    assert (received["account"], received["detail"]) == (DEV, {"size": 3})
    stranger = cloud.role("999999999999", "reporter", [allow("events:PutEvents", bus)])
    for role in (stranger, cloud.role(DEV, "no-reporter", [allow("events:PutEvents", BUS)])):
        with pytest.raises(ClientError, match="not authorized to perform: events:PutEvents"):
            cloud.client("events", role.split(":")[4], cloud.assume(role)).put_events(Entries=[entry])


# ---- copies ----


@pytest.fixture(scope="module")
def source(cloud: Cloud) -> str:
    """A bucket of dev with a key of its own, both readable by the hub, that holds `open/model`, and `closed/model`."""
    kms, s3 = cloud.client("kms", DEV), cloud.client("s3", DEV)
    hub = {"AWS": f"arn:aws:iam::{HUB}:root"}
    own = allow("kms:*", "*", Principal={"AWS": f"arn:aws:iam::{DEV}:root"})
    through_s3 = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
    policy = document(own, allow("kms:Decrypt", "*", Principal=hub, Condition=through_s3))
    key: str = kms.create_key(Policy=policy)["KeyMetadata"]["Arn"]
    bucket = "models-of-dev"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [default]})
    reads = allow(["s3:GetObject", "s3:GetObjectVersion"], f"arn:aws:s3:::{bucket}/open/*", Principal=hub)
    s3.put_bucket_policy(Bucket=bucket, Policy=document(reads))
    for name in ("open/model", "closed/model"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"first")
        s3.put_object(Bucket=bucket, Key=name, Body=b"0123456789")
    return bucket


@pytest.fixture(scope="module")
def target(cloud: Cloud) -> str:
    """A bucket of the hub."""
    bucket = "models-of-the-hub"
    cloud.client("s3", HUB).create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    return bucket


def copier(cloud: Cloud, name: str, source: str, target: str, *more: dict[str, Any]) -> Any:  # noqa: ANN401 (boto3)
    """An S3 client of the hub whose own policies allow to read all of the source bucket, and to write."""
    reads = allow(["s3:GetObject", "s3:GetObjectVersion"], f"arn:aws:s3:::{source}/*")
    writes = allow(["s3:GetObject", "s3:PutObject"], f"arn:aws:s3:::{target}/*")
    return cloud.client("s3", HUB, cloud.assume(cloud.role(HUB, name, [reads, writes, *more])))


DECRYPT = allow("kms:Decrypt", f"arn:aws:kms:{REGION}:{DEV}:key/*")


def test_objects_of_another_account_are_copied_whole_in_parts_and_by_version(
    cloud: Cloud, source: str, target: str
) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html and API_UploadPartCopy.html."""
    s3 = copier(cloud, "copies", source, target, DECRYPT)
    from_ = {"Bucket": source, "Key": "open/model"}

    s3.copy_object(Bucket=target, Key="whole", CopySource=from_)
    assert s3.get_object(Bucket=target, Key="whole")["Body"].read() == b"0123456789"

    versions = cloud.client("s3", DEV).list_object_versions(Bucket=source, Prefix="open/")["Versions"]
    (older,) = (v["VersionId"] for v in versions if not v["IsLatest"])
    s3.copy_object(Bucket=target, Key="older", CopySource={**from_, "VersionId": older})
    assert s3.get_object(Bucket=target, Key="older")["Body"].read() == b"first"

    upload = s3.create_multipart_upload(Bucket=target, Key="parts")["UploadId"]
    place = {"Bucket": target, "Key": "parts", "UploadId": upload}
    part = s3.upload_part_copy(**place, PartNumber=1, CopySource=from_, CopySourceRange="bytes=2-5")["CopyPartResult"]
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert s3.get_object(Bucket=target, Key="parts")["Body"].read() == b"2345"
    assert cloud.client("s3", DEV).get_object(Bucket=source, Key="open/model")["Body"].read() == b"0123456789"


@pytest.mark.parametrize(
    ("name", "key", "more", "denied"),
    [
        ("copies-without-the-owners-leave", "closed/model", [DECRYPT], "s3:GetObject"),
        ("copies-without-key", "open/model", [], "kms:Decrypt"),
    ],
)
def test_a_copy_needs_permission_of_both_accounts_for_object_and_key(  # noqa: PLR0917 - parameters and fixtures
    cloud: Cloud, source: str, target: str, name: str, key: str, more: list[dict[str, Any]], denied: str
) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-walkthroughs-managing-access-example2.html."""
    s3 = copier(cloud, name, source, target, *more)
    with pytest.raises(ClientError, match=denied):
        s3.copy_object(Bucket=target, Key="denied", CopySource={"Bucket": source, "Key": key})
    place = {"Bucket": target, "Key": "denied"}
    upload = s3.create_multipart_upload(**place)["UploadId"]
    with pytest.raises(ClientError, match=denied):
        s3.upload_part_copy(**place, UploadId=upload, PartNumber=1, CopySource={"Bucket": source, "Key": key})


def test_asking_for_the_checksum_of_an_encrypted_object_takes_its_key(cloud: Cloud, source: str, target: str) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html (ChecksumMode)."""
    with_key = copier(cloud, "looks-with-key", source, target, DECRYPT)
    without_key = copier(cloud, "looks-without-key", source, target)
    for s3 in (with_key, without_key):
        assert s3.head_object(Bucket=source, Key="open/model")["ContentLength"] == 10
    with_key.head_object(Bucket=source, Key="open/model", ChecksumMode="ENABLED")
    with pytest.raises(ClientError, match="403"):
        without_key.head_object(Bucket=source, Key="open/model", ChecksumMode="ENABLED")


# ---- queues, locked records, model cards ----


def test_a_bucket_of_another_owner_than_the_request_names_is_neither_read_nor_copied_from(
    cloud: Cloud, source: str, target: str
) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html."""
    theirs, ours = cloud.client("s3", DEV), cloud.client("s3", HUB)
    theirs.put_object(Bucket=source, Key="owned", Body=b"1")
    assert theirs.head_object(Bucket=source, Key="owned", ExpectedBucketOwner=DEV)["ContentLength"] == 1
    copy = {"Bucket": target, "Key": "owned", "CopySource": {"Bucket": source, "Key": "owned"}}
    with pytest.raises(ClientError, match="403"):
        theirs.head_object(Bucket=source, Key="owned", ExpectedBucketOwner=DEV2)
    with pytest.raises(ClientError, match="AccessDenied"):
        theirs.list_objects_v2(Bucket=source, ExpectedBucketOwner=HUB)
    with pytest.raises(ClientError, match="AccessDenied"):
        ours.copy_object(**copy, ExpectedBucketOwner=DEV)
    with pytest.raises(ClientError, match="AccessDenied"):
        ours.copy_object(**copy, ExpectedBucketOwner=HUB, ExpectedSourceBucketOwner=DEV2)


def test_of_a_batch_only_the_failed_messages_come_again_and_end_in_the_dead_letter_queue(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html (partial batch responses)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "handler.py",
            "def run(event, context):\n"
            "    bad = [m['messageId'] for m in event['Records'] if m['body'] == 'bad']\n"
            "    return {'batchItemFailures': [{'itemIdentifier': i} for i in bad]}\n",
        )
    s3 = cloud.client("s3", HUB)
    s3.create_bucket(Bucket="code-of-consumers", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="code-of-consumers", Key="a.zip", Body=buffer.getvalue())
    consume = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    function = {
        "Runtime": "python3.13",
        "Handler": "handler.run",
        "Role": cloud.role(HUB, "consumer", [allow(consume, "*")]),
        "Code": {"S3Bucket": "code-of-consumers", "S3Key": "a.zip"},
    }
    lost = {"deadLetterTargetArn": {"Fn::GetAtt": ["Lost", "Arn"]}, "maxReceiveCount": 2}
    mapping = {
        "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]},
        "FunctionName": {"Ref": "Function"},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 2},
    }
    queue = {"QueueName": "consumed", "VisibilityTimeout": 3, "RedrivePolicy": lost}
    template = {
        "Resources": {
            "Lost": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "lost"}},
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": queue},
            "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
            "Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping},
        }
    }
    stack = cloud.deploy(HUB, "consumer", template)
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(HUB, "consumer")
    sqs = cloud.client("sqs", HUB)
    url = sqs.get_queue_url(QueueName="consumed")["QueueUrl"]
    entries = [{"Id": body, "MessageBody": body} for body in ("good", "bad", "fine")]

    sqs.send_message_batch(QueueUrl=url, Entries=entries)

    assert message(cloud, HUB, "lost")["Body"] == "bad"
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"]
    assert [attributes[name] for name in counts] == ["0", "0"]


def test_a_version_of_a_locked_bucket_stays_until_its_retention_ends(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html (governance mode, default retention)."""
    lock = {
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}},
    }
    properties = {
        "BucketName": "audit-of-the-hub",
        "VersioningConfiguration": {"Status": "Enabled"},
        "ObjectLockEnabled": True,
        "ObjectLockConfiguration": lock,
    }
    template = {"Resources": {"Audit": {"Type": "AWS::S3::Bucket", "Properties": properties}}}
    stack = cloud.deploy(HUB, "audit", template)
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(HUB, "audit")
    s3 = cloud.client("s3", HUB)

    version = s3.put_object(Bucket="audit-of-the-hub", Key="record", Body=b"{}")["VersionId"]

    retention = s3.get_object_retention(Bucket="audit-of-the-hub", Key="record", VersionId=version)["Retention"]
    assert retention["Mode"] == "GOVERNANCE"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket="audit-of-the-hub", Key="record", VersionId=version)


def test_a_model_card_has_a_version_for_every_update_and_permissions_of_its_own(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateModelCard.html."""
    actions = ["CreateModelCard", "DescribeModelCard", "UpdateModelCard"]
    cards = f"arn:aws:sagemaker:{REGION}:{HUB}:model-card/churn-*"
    role = cloud.role(HUB, "writes-cards", [allow([f"sagemaker:{a}" for a in actions], cards)])
    sagemaker = cloud.client("sagemaker", HUB, cloud.assume(role))

    sagemaker.create_model_card(ModelCardName="churn-1", Content='{"a": 1}', ModelCardStatus="Draft")
    sagemaker.update_model_card(ModelCardName="churn-1", Content='{"a": 2}')

    newest = sagemaker.describe_model_card(ModelCardName="churn-1")
    assert (newest["ModelCardVersion"], newest["Content"], newest["ModelCardStatus"]) == (2, '{"a": 2}', "Draft")
    first = sagemaker.describe_model_card(ModelCardName="churn-1", ModelCardVersion=1)
    assert first["Content"] == '{"a": 1}'
    with pytest.raises(ClientError, match="single call"):
        sagemaker.update_model_card(ModelCardName="churn-1", Content="{}", ModelCardStatus="Approved")
    sagemaker.update_model_card(ModelCardName="churn-1", ModelCardStatus="Approved")
    newest = sagemaker.describe_model_card(ModelCardName="churn-1")
    assert (newest["ModelCardVersion"], newest["ModelCardStatus"]) == (2, "Approved")
    with pytest.raises(ClientError, match="ConflictException"):
        sagemaker.create_model_card(ModelCardName="churn-1", Content="{}", ModelCardStatus="Draft")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        sagemaker.describe_model_card(ModelCardName="churn-2")
    with pytest.raises(ClientError, match="AccessDenied"):
        sagemaker.create_model_card(ModelCardName="fraud-1", Content="{}", ModelCardStatus="Draft")
