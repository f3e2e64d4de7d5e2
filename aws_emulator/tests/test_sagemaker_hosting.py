"""SageMaker's hosting: endpoints really answer, updates are blue/green, and refusals are SageMaker's."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, DEV2, REGION, AwsClient, Option, eventually
from aws_emulator.tests.serving_model import container, put_archives

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

BUCKET: Final = "hosting-models"
ALARMS: Final = f"arn:aws:cloudwatch:{REGION}:{DEV}:alarm:"


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> AwsClient:
    """A client as root of the account, in which the archives are."""
    return put_archives(cloud, DEV, BUCKET)


@pytest.fixture(scope="module")
def role(cloud: Cloud, s3: AwsClient) -> str:
    """Execution role of the models: it reads archives and writes captured data."""
    del s3
    return cloud.role(
        DEV,
        "endpoint-role",
        [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/models/*"},
            {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/capture/*"},
            {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": f"{ALARMS}too-*"},
        ],
    )


@pytest.fixture(scope="module")
def sagemaker(cloud: Cloud, role: str) -> AwsClient:
    """A client as root of the account, in which the models ``double``, ``triple`` and ``broken`` exist."""
    client = cloud.client("sagemaker", DEV)
    for name in ("double", "triple", "broken"):
        data = f"s3://{BUCKET}/models/{name}.tar.gz"
        client.create_model(ModelName=name, PrimaryContainer=container(data), ExecutionRoleArn=role)
    return client


def variant(model: str, name: str = "AllTraffic", **more: Option) -> dict[str, Any]:
    settings = {"InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    return {"VariantName": name, "ModelName": model, **settings, **more}


def settled(sagemaker: AwsClient, name: str) -> dict[str, Any]:
    """Wait until an endpoint is not changing, and return its description."""

    def description() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
        return None if found["EndpointStatus"] in {"Creating", "Updating"} else found

    return eventually(description, timeout_s=60)


def deploy(sagemaker: AwsClient, name: str, *variants: dict[str, Any], **config: Option) -> dict[str, Any]:
    """Create an endpoint of its own configuration, wait for it, and return its description."""
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **config)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return settled(sagemaker, name)


def ask(cloud: Cloud, name: str, body: str = "1,2", **options: Option) -> dict[str, Any]:
    options = {"ContentType": "text/csv", "Accept": "text/csv", **options}
    answer = cloud.client("sagemaker-runtime", DEV).invoke_endpoint(EndpointName=name, Body=body, **options)
    return {**answer, "Body": answer["Body"].read().decode()}


def refusal(call: Option, **request: Option) -> tuple[str, str]:
    """Return code and message of the error with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def endpoint(sagemaker: AwsClient) -> str:
    """An endpoint that doubles."""
    assert deploy(sagemaker, "doubles", variant("double"))["EndpointStatus"] == "InService"
    return "doubles"


# ---- invocation -----------------------------------------------------------------------------------------------------


def test_an_endpoint_answers_with_the_archives_own_code(cloud: Cloud, endpoint: str) -> None:
    answer = ask(cloud, endpoint, "1,2\n10,20\n", CustomAttributes="trace=7")

    assert answer["Body"] == "6\n60\n"
    assert answer["ContentType"] == "text/csv"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["CustomAttributes"] == "trace=7"
    assert json.loads(ask(cloud, endpoint, "[1, 2]", ContentType="application/json", Accept="*/*")["Body"])[
        "predictions"
    ] == [6.0]


@pytest.mark.parametrize(
    ("body", "status", "reason"), [("1,x", 400, "no number"), ("0", 500, "the model cannot do zero")]
)
def test_an_error_of_the_model_is_a_model_error_with_the_original_status(
    cloud: Cloud, endpoint: str, body: str, status: int, reason: str
) -> None:
    """HTTP 424 with OriginalStatusCode and OriginalMessage: API reference of InvokeEndpoint, ModelError.

    The inference toolkit answers errors of its own class with their status and every other one with 500.
    """
    with pytest.raises(ClientError) as caught:
        ask(cloud, endpoint, body)

    error: dict[str, Any] = {**caught.value.response}
    assert error["Error"]["Code"] == "ModelError"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert error["OriginalStatusCode"] == status
    assert reason in error["OriginalMessage"]
    assert error["LogStreamArn"].endswith(f"log-group:/aws/sagemaker/Endpoints/{endpoint}")


def test_an_unknown_endpoint_or_variant_is_a_validation_error(cloud: Cloud, endpoint: str) -> None:
    runtime = cloud.client("sagemaker-runtime", DEV)

    code, message = refusal(runtime.invoke_endpoint, EndpointName="nobody", Body=b"1")
    assert (code, message) == ("ValidationError", f"Endpoint nobody of account {DEV} not found.")
    code, _ = refusal(runtime.invoke_endpoint, EndpointName=endpoint, Body=b"1", TargetVariant="other")
    assert code == "ValidationError"


def test_invoking_needs_permission_for_this_endpoint(cloud: Cloud, endpoint: str) -> None:
    """Resource of sagemaker:InvokeEndpoint is the endpoint: Service Authorization Reference."""
    arn = f"arn:aws:sagemaker:{REGION}:{DEV}:endpoint"
    for name, allowed in (("mine", endpoint), ("other", "something-else")):
        statement = {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": f"{arn}/{allowed}"}
        credentials = cloud.assume(cloud.role(DEV, f"invoker-{name}", [statement]))
        runtime = cloud.client("sagemaker-runtime", DEV, credentials)
        # A body of JSON lines is not a request of the control plane.
        request = {"EndpointName": endpoint, "Body": b'{"a": 1}\n{"a": 2}\n', "ContentType": "application/jsonlines"}
        code, _ = refusal(runtime.invoke_endpoint, **request)
        assert code == ("ModelError" if name == "mine" else "AccessDeniedException")


def test_another_account_has_other_endpoints(cloud: Cloud, endpoint: str) -> None:
    code, message = refusal(cloud.client("sagemaker-runtime", DEV2).invoke_endpoint, EndpointName=endpoint, Body=b"1")
    assert (code, message) == ("ValidationError", f"Endpoint {endpoint} of account {DEV2} not found.")


def test_variants_share_the_traffic_by_weight(cloud: Cloud, sagemaker: AwsClient) -> None:
    deploy(
        sagemaker,
        "weighted",
        variant("double", "Two", InitialVariantWeight=3),
        variant("triple", "Three", InitialVariantWeight=1),
    )

    answers = [ask(cloud, "weighted")["InvokedProductionVariant"] for _ in range(8)]

    assert sorted(answers) == ["Three"] * 2 + ["Two"] * 6
    assert ask(cloud, "weighted", TargetVariant="Three")["Body"] == "9\n"


# ---- data capture and shadows ---------------------------------------------------------------------------------------


def captured(s3: AwsClient, prefix: str, count: int) -> list[dict[str, Any]]:
    """Wait until so many records are below a prefix, and return them with their keys."""

    def records() -> list[dict[str, Any]] | None:
        keys = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]
        lines = [
            {"key": key, **json.loads(line)}
            for key in keys
            for line in s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().splitlines()
        ]
        return lines if len(lines) >= count else None

    return eventually(records)


def capture_config(percent: int = 100) -> dict[str, Any]:
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": percent,
        "DestinationS3Uri": f"s3://{BUCKET}/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }


def test_a_shadow_variant_gets_a_copy_and_both_are_captured(cloud: Cloud, sagemaker: AwsClient, s3: AwsClient) -> None:
    """Form of keys and records: developer guide, "Capture data from real-time endpoint"."""
    deploy(
        sagemaker,
        "shadowed",
        variant("double", "Live"),
        ShadowProductionVariants=[variant("triple", "Shadow")],
        DataCaptureConfig=capture_config(),
    )

    answer = ask(cloud, "shadowed", InferenceId="row-1")
    assert (answer["Body"], answer["InvokedProductionVariant"]) == ("6\n", "Live")

    for name, value in (("Live", "6\n"), ("Shadow", "9\n")):
        (record,) = captured(s3, f"capture/shadowed/{name}/", 1)
        year, month, day, hour, file = record["key"].removeprefix(f"capture/shadowed/{name}/").split("/")
        assert (len(year), len(month), len(day), len(hour), file[-6:]) == (4, 2, 2, 2, ".jsonl")
        sent, answered = record["captureData"]["endpointInput"], record["captureData"]["endpointOutput"]
        assert sent == {"observedContentType": "text/csv", "mode": "INPUT", "data": "1,2", "encoding": "CSV"}
        assert (answered["mode"], answered["data"], answered["encoding"]) == ("OUTPUT", value, "CSV")
        assert record["eventMetadata"]["inferenceId"] == "row-1"
        assert record["eventVersion"] == "0"


def test_capture_takes_its_share_and_encodes_unlisted_types_in_base64(
    cloud: Cloud, sagemaker: AwsClient, s3: AwsClient
) -> None:
    """Without a listed content type data is encoded in base64: API reference, CaptureContentTypeHeader."""
    deploy(sagemaker, "sampled", variant("double"), DataCaptureConfig=capture_config(25))

    for _ in range(8):
        ask(cloud, "sampled", "[1, 2]", ContentType="application/json")

    records = captured(s3, "capture/sampled/", 2)
    assert len(records) == 2
    sent = records[0]["captureData"]["endpointInput"]
    assert (base64.b64decode(sent["data"]), sent["encoding"]) == (b"[1, 2]", "BASE64")


# ---- changes --------------------------------------------------------------------------------------------------------


def test_an_update_moves_the_traffic_and_a_broken_one_leaves_it(cloud: Cloud, sagemaker: AwsClient) -> None:
    """Blue/green: traffic moves when the new fleet is healthy, else the old fleet goes on (deployment guardrails)."""
    deploy(sagemaker, "moves", variant("double"))
    for name in ("triple", "broken"):
        sagemaker.create_endpoint_config(EndpointConfigName=f"moves-{name}", ProductionVariants=[variant(name)])

    sagemaker.update_endpoint(EndpointName="moves", EndpointConfigName="moves-triple")
    assert settled(sagemaker, "moves")["EndpointConfigName"] == "moves-triple"
    assert ask(cloud, "moves")["Body"] == "9\n"

    sagemaker.update_endpoint(EndpointName="moves", EndpointConfigName="moves-broken")
    after = settled(sagemaker, "moves")
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "moves-triple")
    assert "did not pass the ping health check" in after["FailureReason"]
    assert ask(cloud, "moves")["Body"] == "9\n"


def alarm(cloud: Cloud, name: str) -> AwsClient:
    """Make an alarm and return a client of CloudWatch."""
    cloudwatch = cloud.client("cloudwatch", DEV)
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="ModelLatency",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    return cloudwatch


def guardrails(alarm_name: str) -> dict[str, Any]:
    """Return a DeploymentConfig that rolls back when an alarm rings."""
    shift = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    return {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": shift},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm_name}]},
    }


def test_a_ringing_alarm_rolls_an_update_back(cloud: Cloud, sagemaker: AwsClient) -> None:
    """AutoRollbackConfiguration: developer guide, "Auto-Rollback Configuration and Monitoring"."""
    deploy(sagemaker, "alarmed", variant("double"))
    sagemaker.create_endpoint_config(EndpointConfigName="alarmed-triple", ProductionVariants=[variant("triple")])
    cloudwatch = alarm(cloud, "too-slow")
    cloudwatch.set_alarm_state(AlarmName="too-slow", StateValue="ALARM", StateReason="test")

    update = {"EndpointName": "alarmed", "EndpointConfigName": "alarmed-triple"}
    sagemaker.update_endpoint(**update, DeploymentConfig=guardrails("too-slow"))
    after = settled(sagemaker, "alarmed")

    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "alarmed")
    assert "too-slow" in after["FailureReason"]

    # The role of the models is allowed to describe alarms named too-*, the caller of the update none.
    alarm(cloud, "another")
    sagemaker.update_endpoint(**update, DeploymentConfig=guardrails("another"))
    assert f"cloudwatch:DescribeAlarms on resource: {ALARMS}another" in settled(sagemaker, "alarmed")["FailureReason"]
    place = f"arn:aws:sagemaker:{REGION}:{DEV}"
    statement = {
        "Effect": "Allow",
        "Action": "sagemaker:UpdateEndpoint",
        "Resource": [f"{place}:endpoint/alarmed", f"{place}:endpoint-config/alarmed-triple"],
    }
    client = cloud.client("sagemaker", DEV, cloud.assume(cloud.role(DEV, "an-updater", [statement])))
    code, message = refusal(client.update_endpoint, **update, DeploymentConfig=guardrails("too-slow"))
    assert (code, "cloudwatch:DescribeAlarms" in message) == ("AccessDeniedException", True)


def test_an_update_with_guardrails_keeps_the_variants(cloud: Cloud, sagemaker: AwsClient) -> None:
    """Also the shadows: developer guide, "Exclusions" of deployment guardrails."""
    alarm(cloud, "too-many")
    deploy(sagemaker, "kept", variant("double"))
    sagemaker.create_endpoint_config(
        EndpointConfigName="kept-shadow",
        ProductionVariants=[variant("double")],
        ShadowProductionVariants=[variant("triple", name="shadow")],
    )
    update = {"EndpointName": "kept", "EndpointConfigName": "kept-shadow"}
    _, message = refusal(sagemaker.update_endpoint, **update, DeploymentConfig=guardrails("too-many"))
    assert "must have the same variant names as the old one: AllTraffic, not AllTraffic, shadow" in message

    sagemaker.update_endpoint(**update)
    assert settled(sagemaker, "kept")["EndpointConfigName"] == "kept-shadow"


def test_a_first_endpoint_that_does_not_load_is_failed_with_the_reason(cloud: Cloud, sagemaker: AwsClient) -> None:
    failed = deploy(sagemaker, "fails", variant("broken"))

    assert failed["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in failed["FailureReason"]
    logs = cloud.client("logs", DEV)
    events = logs.filter_log_events(logGroupName="/aws/sagemaker/Endpoints/fails")["events"]
    assert any("could not convert string to float: 'not a number'" in event["message"] for event in events)
    code, message = refusal(sagemaker.update_endpoint, EndpointName="fails", EndpointConfigName="fails")
    assert (code, "Cannot update failed endpoint" in message) == ("ValidationException", True)
    sagemaker.delete_endpoint(EndpointName="fails")
    assert "Could not find endpoint" in refusal(sagemaker.describe_endpoint, EndpointName="fails")[1]


def test_state_changes_reach_the_bus(cloud: Cloud, sagemaker: AwsClient) -> None:
    """Events of endpoints, with their statuses in capitals: developer guide, "Events that SageMaker AI sends"."""
    events, sqs = cloud.client("events", DEV), cloud.client("sqs", DEV)
    queue = cloud.queue(DEV, "endpoint-events")
    pattern = {"source": ["aws.sagemaker"], "detail": {"EndpointName": ["announced"]}}
    events.put_rule(Name="endpoint-events", EventPattern=json.dumps(pattern))
    target = {"Id": "queue", "Arn": f"arn:aws:sqs:{REGION}:{DEV}:endpoint-events"}
    events.put_targets(Rule="endpoint-events", Targets=[target])

    deploy(sagemaker, "announced", variant("double"))
    sagemaker.delete_endpoint(EndpointName="announced")

    def statuses() -> list[str] | None:
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", [])
        seen = [json.loads(message["Body"])["detail"]["EndpointStatus"] for message in found]
        return sorted(seen) if len(seen) == 3 else None

    assert eventually(statuses) == ["CREATING", "DELETING", "IN_SERVICE"]


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_a_model_needs_a_role_that_reads_its_data_and_may_be_passed(cloud: Cloud, role: str, s3: AwsClient) -> None:
    del s3
    root = cloud.client("sagemaker", DEV)
    elsewhere = container(f"s3://{BUCKET}/elsewhere/model.tar.gz")
    request = {"ModelName": "unreadable", "PrimaryContainer": elsewhere, "ExecutionRoleArn": role}
    code, message = refusal(root.create_model, **request)
    assert code == "ValidationException"
    assert message.startswith(f"Could not access model data at s3://{BUCKET}/elsewhere/model.tar.gz.")
    assert "s3:GetObject" in message

    statement = {"Effect": "Allow", "Action": "sagemaker:CreateModel", "Resource": "*"}
    passes_nothing = cloud.assume(cloud.role(DEV, "passes-nothing", [statement]))
    readable = request | {"PrimaryContainer": container(f"s3://{BUCKET}/models/double.tar.gz")}
    code, message = refusal(cloud.client("sagemaker", DEV, passes_nothing).create_model, **readable)
    assert (code, "iam:PassRole" in message) == ("AccessDeniedException", True)


def test_names_are_checked_and_unique(sagemaker: AwsClient, role: str) -> None:
    data = container(f"s3://{BUCKET}/models/double.tar.gz")
    request = {"PrimaryContainer": data, "ExecutionRoleArn": role}
    assert "already existing model" in refusal(sagemaker.create_model, ModelName="double", **request)[1]
    assert "less than or equal to 63" in refusal(sagemaker.create_model, ModelName="m" * 64, **request)[1]
    code, message = refusal(
        sagemaker.create_endpoint_config, EndpointConfigName="c", ProductionVariants=[variant("nobody")]
    )
    assert (code, "Could not find model" in message) == ("ValidationException", True)


@pytest.mark.parametrize(
    ("config", "excluded"),
    [
        ({"DataCaptureConfig": capture_config()}, "data capture"),
        ({"ShadowProductionVariants": [variant("triple", "Shadow")]}, "shadow variants"),
        ({"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}, "VPC"),
    ],
)
def test_a_serverless_endpoint_excludes(sagemaker: AwsClient, config: dict[str, Any], excluded: str) -> None:
    """Developer guide, "Deploy models with Amazon SageMaker Serverless Inference", feature exclusions."""
    serverless = {
        "VariantName": "AllTraffic",
        "ModelName": "double",
        "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
    }
    code, message = refusal(
        sagemaker.create_endpoint_config, EndpointConfigName="less", ProductionVariants=[serverless], **config
    )
    assert (code, excluded in message) == ("ValidationException", True)


def test_creating_an_endpoint_is_authorised_for_its_configuration_too(cloud: Cloud, sagemaker: AwsClient) -> None:
    """CreateEndpoint has two resources, endpoint and endpoint-config: Service Authorization Reference."""
    sagemaker.create_endpoint_config(EndpointConfigName="guarded", ProductionVariants=[variant("double")])
    statement = {
        "Effect": "Allow",
        "Action": "sagemaker:CreateEndpoint",
        "Resource": f"arn:aws:sagemaker:{REGION}:{DEV}:endpoint/*",
    }
    client = cloud.client("sagemaker", DEV, cloud.assume(cloud.role(DEV, "half-a-creator", [statement])))
    code, message = refusal(client.create_endpoint, EndpointName="guarded", EndpointConfigName="guarded")
    assert (code, "endpoint-config/guarded" in message) == ("AccessDeniedException", True)


def test_tags_of_an_endpoint_decide(cloud: Cloud, sagemaker: AwsClient) -> None:
    deploy(sagemaker, "tagged", variant("double"))
    arn = sagemaker.describe_endpoint(EndpointName="tagged")["EndpointArn"]
    condition = {"StringEquals": {"aws:ResourceTag/ml-platform-deployment": "p-1-test"}}
    statement = {"Effect": "Allow", "Action": "sagemaker:DeleteEndpoint", "Resource": "*", "Condition": condition}
    client = cloud.client("sagemaker", DEV, cloud.assume(cloud.role(DEV, "tag-deleter", [statement])))
    assert refusal(client.delete_endpoint, EndpointName="tagged")[0] == "AccessDeniedException"

    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "ml-platform-deployment", "Value": "p-1-test"}])

    client.delete_endpoint(EndpointName="tagged")
