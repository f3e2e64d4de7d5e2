"""The central model registry: who may send events, who may read and write models, who may approve, what is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from foundation.registry.audit_trail import AUDIT_COLUMNS
from lambdas.bundling import asset_key
from lambdas.model_promotion.audit import Verdict
from lambdas.model_promotion.decisions import Decision
from lambdas.model_promotion.names import AUDIT_PREFIX
from lambdas.model_promotion.packages import Copied, PackageArn, promoted_key
from tests.hub import ACCOUNT, DEPLOYMENT_ACCOUNTS, DEPLOYMENT_OU, ORGANIZATION, OU_PATH, REGION, hub_assembly
from tests.policy import Launch, allows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.policy import Statement

DEV: Final = "543210987654"
BUS: Final = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/ml-platform"
MODELS: Final = f"ml-platform-registry-{ACCOUNT}-{REGION}"
AUDIT: Final = f"ml-platform-audit-{ACCOUNT}-{REGION}"
ARTIFACT: Final = f"arn:aws:s3:::{MODELS}/packages/churn-p-1-{DEV}/7/model.tar.gz"
RECORD: Final = f"arn:aws:s3:::{AUDIT}/decisions/year=2026/month=05/day=01/1.json"
DEPLOYMENT_PATH: Final = f"{ORGANIZATION}/r-te01/ou-te01-parent01/{DEPLOYMENT_OU}/ou-te01-product1/"
MODEL_EVENT: Final = {"events:source": "aws.sagemaker", "events:detail-type": "SageMaker Model Package State Change"}
ALARM_EVENT: Final = {"events:source": "aws.cloudwatch", "events:detail-type": "CloudWatch Alarm State Change"}
DRIFT_EVENT: Final = {"events:source": "ml-platform", "events:detail-type": "Model drift detected"}


@pytest.fixture(scope="module")
def registry() -> Launch:
    template = hub_assembly().templates["ml-platform-registry"]
    return Launch(template, {"BootstrapVersion": "30"}, account=ACCOUNT, region=REGION)


def of_anyone(statements: list[Statement]) -> list[Statement]:
    """Return the statements that apply to a principal of another account."""
    return [s for s in statements if s["Principal"] in ({"AWS": "*"}, "*")]


def bucket(registry: Launch, name: str) -> Mapping[str, Any]:
    (found,) = (b for b in registry.resources("AWS::S3::Bucket").values() if b.get("BucketName") == name)
    return found


def bucket_policy(registry: Launch, name: str) -> list[Statement]:
    (policy,) = (p for p in registry.resources("AWS::S3::BucketPolicy").values() if p["Bucket"] == name)
    return list(policy["PolicyDocument"]["Statement"])


def key_policy(registry: Launch, purpose: str) -> list[Statement]:
    (key,) = (k for k in registry.resources("AWS::KMS::Key").values() if purpose in k["Description"])
    return list(key["KeyPolicy"]["Statement"])


def promotion(registry: Launch) -> list[Statement]:
    """Return the statements of the function's role."""
    (function,) = registry.resources("AWS::Lambda::Function").values()
    (role,) = (i for i in registry.resources("AWS::IAM::Role") if registry.attribute(i, "Arn") == function["Role"])
    return registry.roles()[role]


def queue(registry: Launch, logical_id: str) -> Mapping[str, Any]:
    (found,) = (q for i, q in registry.resources("AWS::SQS::Queue").items() if i.startswith(logical_id))
    return found


def member(path: str, organization: str = ORGANIZATION) -> dict[str, str | list[str]]:
    return {
        "aws:PrincipalOrgID": organization,
        "aws:PrincipalOrgPaths": [path],
        "aws:SecureTransport": "true",
        "kms:ViaService": f"s3.{REGION}.amazonaws.com",
    }


STRANGERS: Final = [
    pytest.param(f"{ORGANIZATION}/r-te01/", ORGANIZATION, id="the root"),
    pytest.param(f"{ORGANIZATION}/r-te01/ou-te01-somebody/", ORGANIZATION, id="another unit"),
    pytest.param(OU_PATH.replace("workload1", "workload10"), ORGANIZATION, id="a unit with a similar id"),
    pytest.param(f"{ORGANIZATION}/r-te01/{DEPLOYMENT_OU}0/", ORGANIZATION, id="a unit with an id that begins alike"),
    pytest.param(OU_PATH, "o-somebodyelse", id="the workloads unit's path in another organisation"),
    pytest.param(DEPLOYMENT_PATH, "o-somebodyelse", id="the deployment unit's path in another organisation"),
]


# ---- who may put events ----


def put_events(registry: Launch, path: str, organization: str = ORGANIZATION, **event: str) -> bool:
    return allows(of_bus(registry), "events:PutEvents", BUS, **member(path, organization), **event)


def of_bus(registry: Launch) -> list[Statement]:
    policies = registry.resources("AWS::Events::EventBusPolicy").values()
    assert {policy["EventBusName"] for policy in policies} == {"ml-platform"}
    # The bus refers to its own ARN, which Launch makes up for types that it does not know.
    return [policy["Statement"] | {"Resource": BUS} for policy in policies]


@pytest.mark.parametrize("path", [OU_PATH, f"{OU_PATH}ou-te01-teamteam/"], ids=["the unit", "a unit below it"])
def test_accounts_below_the_workloads_unit_forward_what_happens_to_their_models(registry: Launch, path: str) -> None:
    assert put_events(registry, path, **MODEL_EVENT)


@pytest.mark.parametrize(("path", "organization"), [*STRANGERS, (DEPLOYMENT_PATH, ORGANIZATION)])
def test_nobody_else_puts_events(registry: Launch, path: str, organization: str) -> None:
    assert not put_events(registry, path, organization, **MODEL_EVENT)


def test_accounts_below_the_deployment_unit_report_drift(registry: Launch) -> None:
    assert put_events(registry, DEPLOYMENT_PATH, **DRIFT_EVENT)


@pytest.mark.parametrize(("path", "organization"), [*STRANGERS, (OU_PATH, ORGANIZATION)])
def test_nobody_else_reports_drift(registry: Launch, path: str, organization: str) -> None:
    assert not put_events(registry, path, organization, **DRIFT_EVENT)


@pytest.mark.parametrize("path", [OU_PATH, DEPLOYMENT_PATH], ids=["workloads", "deployment"])
def test_accounts_of_both_units_report_alarms(registry: Launch, path: str) -> None:
    assert put_events(registry, path, **ALARM_EVENT)
    assert not put_events(registry, path, "o-somebodyelse", **ALARM_EVENT)


def test_the_bus_takes_no_other_events(registry: Launch) -> None:
    assert not put_events(registry, OU_PATH, **{**MODEL_EVENT, "events:source": "made.up"})
    assert not put_events(registry, OU_PATH, **{**MODEL_EVENT, "events:detail-type": "SageMaker Pipeline Execution"})


@pytest.mark.parametrize("action", ["events:PutRule", "events:PutTargets", "events:DeleteEventBus"])
def test_putting_events_is_all_that_others_do_with_the_bus(registry: Launch, action: str) -> None:
    for path, event in ((OU_PATH, MODEL_EVENT), (DEPLOYMENT_PATH, DRIFT_EVENT)):
        assert not allows(of_bus(registry), action, BUS, **member(path), **event)


# ---- from the bus to the function ----


def test_decisions_of_the_workload_accounts_and_of_the_hub_itself_reach_the_queue(registry: Launch) -> None:
    rules = [
        r for r in registry.resources("AWS::Events::Rule").values() if "aws.sagemaker" in r["EventPattern"]["source"]
    ]
    assert sorted(rule.get("EventBusName", "default") for rule in rules) == ["default", "ml-platform"]
    for rule in rules:
        assert rule["EventPattern"] == {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Model Package State Change"],
            "detail": {"ModelApprovalStatus": ["Approved", "Rejected"]},
        }
        (target,) = rule["Targets"]
        assert ":sqs:" in target["Arn"]
        assert target["DeadLetterConfig"]["Arn"] != target["Arn"]


def test_answers_of_governance_officers_reach_the_queue(registry: Launch) -> None:
    (rule,) = (
        r
        for r in registry.resources("AWS::Events::Rule").values()
        if r["EventPattern"]["source"] == ["aws.codepipeline"]
    )
    assert "EventBusName" not in rule, "the account's default bus"
    assert rule["EventPattern"]["detail"] == {
        "pipeline": [{"prefix": "mlp-p-"}],
        "stage": ["Approve"],
        "state": ["SUCCEEDED", "FAILED"],
        "type": {"category": ["Approval"]},
    }
    (target,) = rule["Targets"]
    (decisions,) = (i for i in registry.resources("AWS::SQS::Queue") if i.startswith("Decisions"))
    assert target["Arn"] == registry.attribute(decisions, "Arn")
    pipeline = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:mlp-p-1-deploy"
    assert allows(promotion(registry), "codepipeline:ListActionExecutions", pipeline)
    assert not allows(promotion(registry), "codepipeline:PutApprovalResult", f"{pipeline}/Approve/GovernanceApproval")


def test_drift_is_told_to_people_in_words(registry: Launch) -> None:
    (rule,) = (
        r for r in registry.resources("AWS::Events::Rule").values() if r["EventPattern"]["source"] == ["ml-platform"]
    )
    assert rule["EventBusName"] == "ml-platform"
    assert rule["EventPattern"]["detail-type"] == ["Model drift detected"]
    (target,) = rule["Targets"]
    (topic,) = (i for i, t in registry.resources("AWS::SNS::Topic").items() if t.get("TopicName"))
    assert registry.resources("AWS::SNS::Topic")[topic]["TopicName"] == "ml-platform-model-drift"
    assert target["Arn"] == registry.ref(topic)
    text = target["InputTransformer"]["InputTemplate"]
    for told in ("endpoint", "stage", "package", "results", "report"):
        assert f"$.detail.{told}" in target["InputTransformer"]["InputPathsMap"].values()
    assert "train the model again" in text
    assert target["DeadLetterConfig"]


def test_alarms_of_other_accounts_are_told_to_people_in_words(registry: Launch) -> None:
    (rule,) = (
        r for r in registry.resources("AWS::Events::Rule").values() if r["EventPattern"]["source"] == ["aws.cloudwatch"]
    )
    assert rule["EventBusName"] == "ml-platform"
    (target,) = rule["Targets"]
    told = set(target["InputTransformer"]["InputPathsMap"].values())
    assert told >= {"$.account", "$.detail.alarmName", "$.detail.configuration.description", "$.detail.state.reason"}
    assert target["DeadLetterConfig"]


def test_bursts_wait_in_the_queue_and_what_fails_is_tried_again_then_kept(registry: Launch) -> None:
    (function,) = registry.resources("AWS::Lambda::Function").values()
    decisions, lost = queue(registry, "Decisions"), queue(registry, "Lost")
    assert function["Timeout"] == 900
    assert decisions["VisibilityTimeout"] >= 6 * function["Timeout"]
    assert decisions["RedrivePolicy"]["maxReceiveCount"] > 1
    assert lost["MessageRetentionPeriod"] == decisions["MessageRetentionPeriod"] == 14 * 86_400
    (mapping,) = registry.resources("AWS::Lambda::EventSourceMapping").values()
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"]["MaximumConcurrency"] == 10


@pytest.mark.parametrize("logical_id", ["Decisions", "Lost"])
def test_queues_are_encrypted_and_take_tls_only(registry: Launch, logical_id: str) -> None:
    assert queue(registry, logical_id)["KmsMasterKeyId"]
    (policy,) = (p for i, p in registry.resources("AWS::SQS::QueuePolicy").items() if i.startswith(logical_id))
    denied = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
    assert [s["Condition"] for s in denied] == [{"Bool": {"aws:SecureTransport": "false"}}]


def test_events_are_encrypted_into_the_queue_by_eventbridge_of_the_hub_only(registry: Launch) -> None:
    of_events = [
        s
        for s in key_policy(registry, "wait for the promotion")
        if s["Principal"] == {"Service": "events.amazonaws.com"}
    ]
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert allows(of_events, action, "*", **{"aws:SourceAccount": ACCOUNT})
        assert not allows(of_events, action, "*", **{"aws:SourceAccount": DEV})


def test_people_hear_of_lost_and_of_late_decisions(registry: Launch) -> None:
    alarms = registry.resources("AWS::CloudWatch::Alarm").values()
    assert sorted((a["MetricName"], a["Threshold"]) for a in alarms) == [
        ("ApproximateAgeOfOldestMessage", 3600),
        ("ApproximateNumberOfMessagesVisible", 1),
        ("ApproximateNumberOfMessagesVisible", 1),
    ]
    assert all(len(alarm["AlarmActions"]) == 1 for alarm in alarms)
    subscribed = [s["Endpoint"] for s in registry.resources("AWS::SNS::Subscription").values()]
    assert sorted(subscribed) == sorted(["platform@tests.invalid", "second@tests.invalid"] * 2)


def test_the_function_runs_the_bundled_code_and_knows_what_belongs_to_it(registry: Launch) -> None:
    (function,) = registry.resources("AWS::Lambda::Function").values()
    assert function["FunctionName"] == "ml-platform-model-promotion"
    assert function["Handler"] == "lambdas.model_promotion.handler.lambda_handler"
    assert function["Code"] == {
        "S3Bucket": f"ml-platform-artifacts-{ACCOUNT}-{REGION}",
        "S3Key": asset_key("model_promotion"),
    }
    variables = function["Environment"]["Variables"]
    (queue_id,) = (i for i in registry.resources("AWS::SQS::Queue") if i.startswith("Decisions"))
    assert variables.pop("ARTIFACT_KEY_ARN").startswith(f"arn:aws:kms:{REGION}:{ACCOUNT}:key/")
    assert variables.pop("QUEUE_URL") == registry.ref(queue_id)
    assert variables.pop("REGISTRY_REPOSITORY") == registry.ref(_only(registry, "AWS::ECR::Repository"))
    assert variables == {
        "ARTIFACT_BUCKET": MODELS,
        "AUDIT_BUCKET": AUDIT,
        "HUB_ACCOUNT_ID": ACCOUNT,
        "READER_ACCOUNT_IDS": ",".join(DEPLOYMENT_ACCOUNTS),
    }
    (role,) = (r for r in registry.resources("AWS::IAM::Role").values() if r.get("Path"))
    assert role["Path"] == "/ml-platform/hub/", "the path that released products admit"


# ---- who may read ----


def test_accounts_of_the_deployment_unit_read_models(registry: Launch) -> None:
    reader = member(DEPLOYMENT_PATH) | {
        "aws:PrincipalArn": f"arn:aws:iam::{DEPLOYMENT_ACCOUNTS[0]}:role/ml-platform-deploy"
    }
    everywhere = {"s3:prefix": f"packages/churn-p-1-{DEV}/"}
    statements, bucket_arn = of_anyone(bucket_policy(registry, MODELS)), f"arn:aws:s3:::{MODELS}"
    assert allows(statements, "s3:GetObject", ARTIFACT, **reader)
    assert allows(statements, "s3:ListBucket", bucket_arn, **reader, **everywhere)
    assert not allows(statements, "s3:ListBucket", bucket_arn, **reader)
    for role in (
        "ml-platform/deployment/mlp-p-1-prod-execution",
        "admin",
        "x/ml-platform-deploy",
        "ml-platform-deploy2",
    ):
        other = reader | {"aws:PrincipalArn": f"arn:aws:iam::{DEPLOYMENT_ACCOUNTS[0]}:role/{role}"}
        assert not allows(statements, "s3:GetObject", ARTIFACT, **other)
        assert not allows(statements, "s3:ListBucket", bucket_arn, **other, **everywhere)
        assert not allows(of_anyone(key_policy(registry, "Artifacts")), "kms:Decrypt", "*", **other)
    assert allows(of_anyone(key_policy(registry, "Artifacts")), "kms:Decrypt", "*", **reader)
    images = registry.template["Resources"][_only(registry, "AWS::ECR::Repository")]
    pulls = registry.value(images["Properties"]["RepositoryPolicyText"])["Statement"]
    for action in ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"):
        assert allows([{**s, "Resource": "*"} for s in pulls], action, "*", **reader)
        assert not allows([{**s, "Resource": "*"} for s in pulls], action, "*", **member(OU_PATH))
    assert not allows([{**s, "Resource": "*"} for s in pulls], "ecr:PutImage", "*", **reader)


@pytest.mark.parametrize(("path", "organization"), [*STRANGERS, (OU_PATH, ORGANIZATION)])
def test_nobody_else_reads_models(registry: Launch, path: str, organization: str) -> None:
    stranger = member(path, organization)
    assert not allows(of_anyone(bucket_policy(registry, MODELS)), "s3:GetObject", ARTIFACT, **stranger)
    assert not allows(of_anyone(bucket_policy(registry, MODELS)), "s3:ListBucket", f"arn:aws:s3:::{MODELS}", **stranger)
    assert not allows(of_anyone(key_policy(registry, "Artifacts")), "kms:Decrypt", "*", **stranger)


def test_readers_see_models_but_not_how_far_their_promotion_has_come_and_change_nothing(registry: Launch) -> None:
    statements = of_anyone(bucket_policy(registry, MODELS))
    reader = member(DEPLOYMENT_PATH) | {
        "aws:PrincipalArn": f"arn:aws:iam::{DEPLOYMENT_ACCOUNTS[0]}:role/ml-platform-deploy"
    }
    for prefix in ("promotions", "promoted"):
        assert not allows(
            statements, "s3:GetObject", f"arn:aws:s3:::{MODELS}/{prefix}/churn-p-1-{DEV}/1.json", **reader
        )
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"):
        assert not allows(statements, action, ARTIFACT, **reader)


def test_the_key_decrypts_for_readers_only_through_s3(registry: Launch) -> None:
    directly = member(DEPLOYMENT_PATH) | {"kms:ViaService": f"lambda.{REGION}.amazonaws.com"}
    assert not allows(of_anyone(key_policy(registry, "Artifacts")), "kms:Decrypt", "*", **directly)


@pytest.mark.parametrize("name", [MODELS, AUDIT])
def test_buckets_are_versioned_encrypted_private_logged_and_stay(registry: Launch, name: str) -> None:
    found = bucket(registry, name)
    assert found["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = found["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert set(found["PublicAccessBlockConfiguration"].values()) == {True}
    assert found["LoggingConfiguration"]["DestinationBucketName"]
    (lifecycle,) = found["LifecycleConfiguration"]["Rules"]
    assert set(lifecycle) == {"AbortIncompleteMultipartUpload", "Status"}, "nothing in it expires"
    plain = member(DEPLOYMENT_PATH) | {"aws:SecureTransport": "false"}
    assert not allows(
        of_anyone(bucket_policy(registry, name)), "s3:GetObject", f"arn:aws:s3:::{name}/packages/1", **plain
    )
    (logical_id,) = (i for i, b in registry.resources("AWS::S3::Bucket").items() if b.get("BucketName") == name)
    assert registry.template["Resources"][logical_id]["DeletionPolicy"] == "RetainExceptOnCreate"


def test_copied_images_are_scanned_and_never_replaced(registry: Launch) -> None:
    repository = registry.resources("AWS::ECR::Repository")[_only(registry, "AWS::ECR::Repository")]
    assert repository["RepositoryName"] == "ml-platform-models"
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert repository["EncryptionConfiguration"]["EncryptionType"] == "KMS"


# ---- who may write and approve ----


def test_the_function_may_register_and_reject_but_never_approve(registry: Launch) -> None:
    statements = promotion(registry)
    package = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package/churn-p-1-{DEV}/1"
    for action in ("sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"):
        assert allows(statements, action, package)
        for status in ("PendingManualApproval", "Rejected"):
            assert allows(statements, action, package, **{"sagemaker:ModelApprovalStatus": status})
        assert not allows(statements, action, package, **{"sagemaker:ModelApprovalStatus": "Approved"})


def test_no_other_principal_of_the_stack_touches_the_registry(registry: Launch) -> None:
    others = [s for role, found in registry.roles().items() if found != promotion(registry) for s in found]
    assert not any("sagemaker:" in json.dumps(s) for s in others)


def test_the_function_changes_nothing_in_other_accounts(registry: Launch) -> None:
    statements = promotion(registry)
    theirs = f"arn:aws:sagemaker:{REGION}:{DEV}:model-package/churn-p-1/1"
    assert allows(statements, "sagemaker:DescribeModelPackage", theirs)
    assert not allows(statements, "sagemaker:UpdateModelPackage", theirs)
    assert not allows(statements, "sagemaker:CreateModelPackage", theirs)
    artifact = f"arn:aws:s3:::mlp-p-1-{DEV}-{REGION}/model.tar.gz"
    assert allows(statements, "s3:GetObject", artifact)
    assert not allows(statements, "s3:PutObject", artifact)
    assert not allows(statements, "s3:GetObject", "arn:aws:s3:::payroll/salaries.csv")
    image = f"arn:aws:ecr:{REGION}:{DEV}:repository/mlp-p-1-scoring"
    assert allows(statements, "ecr:BatchGetImage", image)
    assert not allows(statements, "ecr:PutImage", image)
    assert not allows(statements, "ecr:BatchGetImage", f"arn:aws:ecr:{REGION}:{DEV}:repository/team")


def test_the_function_reads_nothing_of_projects_in_the_hub_itself(registry: Launch) -> None:
    for region in (REGION, "us-east-1"):
        theirs = f"arn:aws:s3:::mlp-p-1-{ACCOUNT}-{region}"
        assert not allows(promotion(registry), "s3:ListBucket", theirs, **{"s3:prefix": ""})
        assert not allows(promotion(registry), "s3:GetObject", f"{theirs}/mlp-p-1-deploy/SourceArti/x")


def test_the_function_uses_keys_of_other_accounts_only_through_s3(registry: Launch) -> None:
    theirs = f"arn:aws:kms:{REGION}:{DEV}:key/1"
    s3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    assert allows(promotion(registry), "kms:Decrypt", theirs, **s3)
    assert not allows(promotion(registry), "kms:Decrypt", theirs)
    assert not allows(promotion(registry), "kms:GenerateDataKey", theirs, **s3)


def test_the_function_writes_where_models_and_its_progress_belong(registry: Launch) -> None:
    statements = promotion(registry)
    assert allows(statements, "s3:PutObject", ARTIFACT)
    hub_package = PackageArn.parse(f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package/churn-p-1-{DEV}/7")
    assert hub_package
    assert allows(statements, "s3:PutObject", f"arn:aws:s3:::{MODELS}/{promoted_key(hub_package)}")
    assert allows(statements, "s3:PutObject", f"arn:aws:s3:::{MODELS}/promotions/churn-p-1-{DEV}/7.json")
    assert not allows(statements, "s3:PutObject", f"arn:aws:s3:::{MODELS}/elsewhere")
    assert not allows(statements, "s3:DeleteObject", ARTIFACT)


# ---- the audit trail ----


def test_records_can_be_added_but_neither_read_changed_nor_removed_by_the_function(registry: Launch) -> None:
    statements = promotion(registry)
    assert allows(statements, "s3:PutObject", RECORD)
    for action in (
        "s3:GetObject",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:BypassGovernanceRetention",
        "s3:PutObjectRetention",
    ):
        assert not allows(statements, action, RECORD)


def test_records_are_locked_for_seven_years(registry: Launch) -> None:
    found = bucket(registry, AUDIT)
    assert found["ObjectLockEnabled"] is True
    assert found["ObjectLockConfiguration"]["Rule"] == {"DefaultRetention": {"Days": 7 * 365, "Mode": "GOVERNANCE"}}


def test_nobody_outside_the_hub_reads_records(registry: Launch) -> None:
    for path in (DEPLOYMENT_PATH, OU_PATH):
        assert not allows(of_anyone(bucket_policy(registry, AUDIT)), "s3:GetObject", RECORD, **member(path))
        assert not allows(of_anyone(key_policy(registry, "Records")), "kms:Decrypt", "*", **member(path))


def test_athena_finds_the_records_without_registering_partitions(registry: Launch) -> None:
    (table,) = registry.resources("AWS::Glue::Table").values()
    described = table["TableInput"]
    assert (table["DatabaseName"], described["Name"]) == ("ml_platform", "decisions")
    parameters = described["Parameters"]
    assert parameters["projection.enabled"] == "true"
    location = parameters["storage.location.template"]
    assert location.startswith(described["StorageDescriptor"]["Location"])
    for key in described["PartitionKeys"]:
        name = key["Name"]
        assert parameters[f"projection.{name}.type"] == "integer"
        digits = int(parameters.get(f"projection.{name}.digits", "4"))
        location = location.replace(f"${{{name}}}", {"year": "2026", "month": "5", "day": "1"}[name].zfill(digits))
    assert f"{location}1.json" == RECORD.replace("arn:aws:s3:::", "s3://")


def test_the_columns_are_the_fields_that_the_function_writes() -> None:
    copied = Copied(source="s3://a/b", target="s3://c/d", size=1, checksum="SHA256:=", etag="1")
    decision = Decision(status="Approved", who="lena", when=1777629600.0, reason="better")
    verdict = Verdict(
        place="development",
        decision=decision,
        account=DEV,
        package="theirs",
        hub_package="ours",
        digest="0",
        artifacts=[copied],
    )
    written = json.loads(verdict.line)
    assert set(written) == set(AUDIT_COLUMNS)
    (artifact,) = written["artifacts"]
    struct = AUDIT_COLUMNS["artifacts"].removeprefix("array<struct<").removesuffix(">>")
    assert {field.split(":")[0] for field in struct.split(",")} == set(artifact)
    assert f"s3://{AUDIT}/{verdict.key}".startswith(f"s3://{AUDIT}/{AUDIT_PREFIX}year=2026/month=05/day=01/")


def _only(registry: Launch, type_: str) -> str:
    (logical_id,) = registry.resources(type_)
    return logical_id
