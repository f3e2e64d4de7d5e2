"""The workload baseline as it lands in an account, and the StackSet that brings it there."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App
from cdk_nag import AwsSolutionsChecks

from foundation.baseline_version import BASELINE_VERSION
from foundation.boundary import document
from foundation.launch_policy import released_templates
from foundation.settings import SAMPLE, HubSettings
from foundation.workload_baseline import WorkloadBaselineStack
from lambdas.bundling import asset_key, bundles
from lambdas.data_permissions.ledger import LEASE_S, RESERVE_S
from pipeline.synthesis import synthesise
from products.catalog import PRODUCTS
from products.shared import names
from tests.policy import Launch, allows
from tests.products.launches import CATALOG

ACCOUNT = "444455556666"
HOME, AWAY = "eu-west-1", "eu-central-1"
LINK = names.link_database("777788889999", HOME, "lake")
GRANTING = ("CreateLakeFormationOptIn", "DeleteLakeFormationOptIn", "GrantPermissions", "RevokePermissions")
_GRANTS = [f"lakeformation:{action}" for action in (*GRANTING, "BatchGrantPermissions", "BatchRevokePermissions")]
_PUT = "lakeformation:PutDataLakeSettings"
ROOT = Path(__file__).resolve().parents[2]


class Baseline:
    """The hub's stack with the StackSet, synthesised once."""

    def __init__(self, outdir: Path) -> None:
        context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
        app = App(context=context, outdir=str(outdir), tree_metadata=False, analytics_reporting=False)
        self.settings = HubSettings.parse({**SAMPLE, "regions": [HOME, AWAY]})
        self.stack = WorkloadBaselineStack(app, "WorkloadBaseline", settings=self.settings, region=HOME)
        self.findings = [
            violation.rule_name for violation in AwsSolutionsChecks().validate_scope(self.stack).violations
        ]
        self.assembly = app.synth()
        (self.template_file,) = outdir.glob("*.product.template.json")
        self.template: dict[str, Any] = json.loads(self.template_file.read_text(encoding="utf-8"))
        hub_file = outdir / "WorkloadBaseline.template.json"
        self.hub_template: dict[str, Any] = json.loads(hub_file.read_text(encoding="utf-8"))

    def landed(self, region: str = HOME, partition: str = "aws") -> Launch:
        return Launch(self.template, {}, account=ACCOUNT, region=region, partition=partition)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    return Baseline(tmp_path_factory.mktemp("baseline"))


def statements(landed: Launch, function: str) -> list[Any]:
    """Statements of the role of a function, by the function's name."""
    functions = landed.template["Resources"]
    (role,) = (
        functions[i]["Properties"]["Role"]["Fn::GetAtt"][0]
        for i, p in landed.resources("AWS::Lambda::Function").items()
        if p["FunctionName"] == function
    )
    return landed.roles()[role]


def rule_of(landed: Launch, source: str) -> dict[str, Any]:
    """The one rule for events of a source."""
    (rule,) = (r for r in landed.resources("AWS::Events::Rule").values() if r["EventPattern"]["source"] == [source])
    return rule


# ---- the StackSet ----


def test_every_account_of_the_workloads_ou_gets_the_baseline_also_later(baseline: Baseline) -> None:
    (stack_set,) = baseline.hub_template["Resources"].values()
    properties = stack_set["Properties"]
    assert stack_set["Type"] == "AWS::CloudFormation::StackSet"
    assert properties["PermissionModel"] == "SERVICE_MANAGED"
    assert properties["CallAs"] == "DELEGATED_ADMIN"
    assert properties["AutoDeployment"]["Enabled"] is True
    (group,) = properties["StackInstancesGroup"]
    assert group["DeploymentTargets"] == {"OrganizationalUnitIds": [baseline.settings.workloads_ou_id]}
    assert group["Regions"] == [HOME]
    assert properties["Capabilities"] == ["CAPABILITY_NAMED_IAM"]


def test_the_template_is_an_asset_that_the_stackset_points_to(baseline: Baseline) -> None:
    (stack_set,) = baseline.hub_template["Resources"].values()
    url = json.dumps(stack_set["Properties"]["TemplateURL"])
    assets = json.loads((Path(baseline.assembly.directory) / "WorkloadBaseline.assets.json").read_text())["files"]
    (key,) = (
        destination["objectKey"]
        for asset in assets.values()
        if asset["source"]["path"] == baseline.template_file.name
        for destination in asset["destinations"].values()
    )
    assert key in url
    assert baseline.template_file.stat().st_size < 460_800, "the largest template a StackSet takes by URL"


def test_the_template_is_no_stack_of_its_own_in_the_hub(baseline: Baseline) -> None:
    assert [stack.stack_name for stack in baseline.assembly.stacks] == ["ml-platform-workload-baseline"]


def test_there_is_no_unacknowledged_finding(baseline: Baseline) -> None:
    assert baseline.findings == []


def test_two_syntheses_give_the_same_bytes(baseline: Baseline, tmp_path: Path) -> None:
    again = Baseline(tmp_path)
    assert again.template_file.read_bytes() == baseline.template_file.read_bytes()


# ---- the contract ----


def test_the_contract_is_written_down_in_every_region(baseline: Baseline) -> None:
    for region in (HOME, AWAY):
        parameters = baseline.landed(region).resources("AWS::SSM::Parameter").values()
        values = {properties["Name"]: properties["Value"] for properties in parameters}
        assert values == {
            "/ml-platform/v1/hub-account-id": SAMPLE["account_id"],
            "/ml-platform/v1/artifact-bucket": f"ml-platform-artifacts-{SAMPLE['account_id']}-{region}",
            "/ml-platform/v1/boundary-arn": f"arn:aws:iam::{ACCOUNT}:policy/ml-platform-boundary",
            "/ml-platform/v1/baseline-version": BASELINE_VERSION,
        }


def test_the_functions_of_the_contract_run_the_bundled_code(baseline: Baseline) -> None:
    functions = {
        properties["FunctionName"]: properties
        for properties in baseline.landed().resources("AWS::Lambda::Function").values()
    }
    expected = {
        names.SEED_CHECKIN_FUNCTION: "lambdas.seed_checkin.handler.lambda_handler",
        names.SEED_CHECKIN_COMPLETION_FUNCTION: "lambdas.seed_checkin.completion.lambda_handler",
        names.BUCKET_EMPTIER_FUNCTION: "lambdas.bucket_emptier.handler.lambda_handler",
        names.ENABLE_PROJECTS_FUNCTION: "lambdas.enable_projects.handler.lambda_handler",
        names.PREFLIGHT_FUNCTION: "lambdas.preflight.handler.lambda_handler",
        names.DATA_PERMISSIONS_FUNCTION: "lambdas.data_permissions.handler.lambda_handler",
        names.DATA_LAKE_ADMINISTRATOR_FUNCTION: "lambdas.data_permissions.administrator.lambda_handler",
    }
    assert {name: properties["Handler"] for name, properties in functions.items()} == expected
    for properties in functions.values():
        folder = properties["Handler"].split(".")[1]
        assert properties["Code"] == {
            "S3Bucket": f"ml-platform-artifacts-{SAMPLE['account_id']}-{HOME}",
            "S3Key": asset_key(folder),
        }
        assert (
            f"{properties['Handler'].replace('.lambda_handler', '').replace('.', '/')}.py".encode() in bundles()[folder]
        )


def test_no_function_is_lost_without_a_trace(baseline: Baseline) -> None:
    landed = baseline.landed()
    resources = landed.resources()
    configured = landed.resources("AWS::Lambda::EventInvokeConfig").values()
    assert len(configured) == len(landed.resources("AWS::Lambda::Function"))
    for properties in configured:
        assert (properties["MaximumRetryAttempts"], properties["MaximumEventAgeInSeconds"]) == (2, 3600)
    queue_arn = f"arn:aws:sqs:{HOME}:{ACCOUNT}:ml-platform-baseline-dead-letters"
    for name, properties in landed.resources("AWS::Lambda::Function").items():
        assert properties["DeadLetterConfig"]["TargetArn"] == queue_arn, name
        assert properties["Timeout"] > 3, "not the default"
        assert allows(statements(landed, properties["FunctionName"]), "sqs:SendMessage", queue_arn)
    assert any(p.get("MetricName") == "ApproximateNumberOfMessagesVisible" for p in resources.values())


def test_every_end_of_a_check_in_reaches_its_completion(baseline: Baseline) -> None:
    landed = baseline.landed()
    rule = rule_of(landed, "aws.codebuild")
    assert rule["EventPattern"] == {
        "source": ["aws.codebuild"],
        "detail-type": ["CodeBuild Build State Change"],
        "detail": {
            "project-name": [names.SEED_CHECKIN_BUILD],
            "build-status": ["SUCCEEDED", "FAILED", "FAULT", "STOPPED", "TIMED_OUT"],
        },
    }
    (permission,) = landed.resources("AWS::Lambda::Permission").values()
    assert permission["Principal"] == "events.amazonaws.com"


def test_a_claim_outlasts_the_function_that_holds_it(baseline: Baseline) -> None:
    from lambdas.shared.requests import LEASE_S  # noqa: PLC0415 - imports boto3, which the synthesis does without

    (completion,) = (
        properties
        for properties in baseline.landed().resources("AWS::Lambda::Function").values()
        if properties["FunctionName"] == names.SEED_CHECKIN_COMPLETION_FUNCTION
    )
    assert completion["Timeout"] <= LEASE_S


def test_the_check_in_ends_before_cloudformation_stops_waiting(baseline: Baseline) -> None:
    (project,) = baseline.landed().resources("AWS::CodeBuild::Project").values()
    assert project["TimeoutInMinutes"] + project["QueuedTimeoutInMinutes"] < 30, "ServiceTimeout of Custom::SeedCode"
    assert project["Source"]["BuildSpec"] == (ROOT / "foundation" / "seed_checkin_buildspec.yml").read_text()


def test_iam_has_no_regions_so_its_names_are_made_at_home_only(baseline: Baseline) -> None:
    named = ("AWS::IAM::ManagedPolicy",)
    assert len(baseline.landed(HOME).resources(*named)) >= 2
    assert baseline.landed(AWAY).resources(*named) == {}
    launch_roles = [p for p in baseline.landed(HOME).resources("AWS::IAM::Role").values() if "RoleName" in p]
    assert [role["RoleName"] for role in launch_roles] == ["ml-platform-launch"]
    assert not any("RoleName" in p for p in baseline.landed(AWAY).resources("AWS::IAM::Role").values())
    assert len(baseline.landed(AWAY).resources("AWS::Lambda::Function")) == 7


def test_the_launch_role_is_for_service_catalog_only(baseline: Baseline) -> None:
    (role,) = (p for p in baseline.landed().resources("AWS::IAM::Role").values() if "RoleName" in p)
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "servicecatalog.amazonaws.com"}
    assert len(role["ManagedPolicyArns"]) <= 10


def test_the_template_works_in_every_partition(baseline: Baseline) -> None:
    assert "arn:aws:" not in baseline.template_file.read_text(encoding="utf-8")
    for policy in baseline.landed(partition="aws-cn").resources("AWS::IAM::ManagedPolicy").values():
        assert "arn:aws:" not in json.dumps(policy)


# ---- least privilege ----


def test_roles_of_the_baseline_are_below_its_path(baseline: Baseline) -> None:
    roles = [p for p in baseline.landed().resources("AWS::IAM::Role").values() if "RoleName" not in p]
    assert {role["Path"] for role in roles} == {names.BASELINE_ROLE_PATH}
    assert not any(role.get("ManagedPolicyArns") for role in roles)


def test_every_log_is_encrypted_and_kept_for_a_year(baseline: Baseline) -> None:
    groups = baseline.landed().resources("AWS::Logs::LogGroup").values()
    assert len(groups) == 8
    assert all(group["RetentionInDays"] == 365 and group["KmsKeyId"] for group in groups)


def test_the_emptier_reaches_product_buckets_of_its_account_and_region_only(baseline: Baseline) -> None:
    allowed = statements(baseline.landed(), names.BUCKET_EMPTIER_FUNCTION)
    assert allows(allowed, "s3:DeleteObjectVersion", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-{HOME}/model.tar.gz")
    for bucket in ("payroll", f"mlp-p-abc-{ACCOUNT}-{AWAY}", f"mlp-p-abc-111111111111-{HOME}"):
        assert not allows(allowed, "s3:DeleteObjectVersion", f"arn:aws:s3:::{bucket}/model.tar.gz")
    assert not allows(allowed, "s3:DeleteBucket", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-{HOME}")
    assert not allows(allowed, "s3:GetObject", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-{HOME}/model.tar.gz")


def test_enabling_projects_may_write_one_parameter(baseline: Baseline) -> None:
    allowed = statements(baseline.landed(), names.ENABLE_PROJECTS_FUNCTION)
    prefix = f"arn:aws:ssm:{HOME}:{ACCOUNT}:parameter/ml-platform/v1"
    assert allows(allowed, "ssm:PutParameter", f"{prefix}/connection-arn")
    assert not allows(allowed, "ssm:PutParameter", f"{prefix}/boundary-arn")


def test_the_preflight_only_reads(baseline: Baseline) -> None:
    actions = {
        action
        for statement in statements(baseline.landed(), names.PREFLIGHT_FUNCTION)
        if statement.get("Sid") not in ("WriteLog", "KeepDeadLetters", "UseKey")
        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
    }
    writing = {action for action in actions if not action.split(":")[1].startswith(("Describe", "List", "Get"))}
    assert writing == {"lambda:InvokeFunction"}  # which looks at data of a lake for it
    allowed = statements(baseline.landed(), names.PREFLIGHT_FUNCTION)
    functions = f"arn:aws:lambda:{HOME}:{ACCOUNT}:function"
    assert allows(allowed, "lambda:InvokeFunction", f"{functions}:{names.DATA_PERMISSIONS_FUNCTION}")
    assert not allows(allowed, "lambda:InvokeFunction", f"{functions}:{names.DATA_LAKE_ADMINISTRATOR_FUNCTION}")


# Which operations a function calls is written in its modules; the names below are those of the API.
CALLS = {
    names.SEED_CHECKIN_FUNCTION: (
        ("codeconnections:GetConnection", f"arn:aws:codeconnections:{HOME}:{ACCOUNT}:connection/1"),
        ("codeconnections:GetHost", f"arn:aws:codeconnections:{HOME}:{ACCOUNT}:host/1"),
        ("codebuild:StartBuild", f"arn:aws:codebuild:{HOME}:{ACCOUNT}:project/ml-platform-seed-checkin"),
    ),
    names.SEED_CHECKIN_COMPLETION_FUNCTION: (
        ("codebuild:BatchGetBuilds", f"arn:aws:codebuild:{HOME}:{ACCOUNT}:project/ml-platform-seed-checkin"),
    ),
    names.BUCKET_EMPTIER_FUNCTION: (
        ("s3:ListBucketVersions", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-{HOME}"),
        ("s3:ListBucketMultipartUploads", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-{HOME}"),
        ("s3:AbortMultipartUpload", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-{HOME}/big"),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{HOME}:{ACCOUNT}:function:ml-platform-bucket-emptier"),
    ),
    names.ENABLE_PROJECTS_FUNCTION: (
        ("sagemaker:EnableSagemakerServicecatalogPortfolio", "*"),
        ("servicecatalog:ListAcceptedPortfolioShares", "*"),
        ("servicecatalog:AssociatePrincipalWithPortfolio", f"arn:aws:catalog:{HOME}:999988887777:portfolio/port-1"),
        ("servicecatalog:DisassociatePrincipalFromPortfolio", f"arn:aws:catalog:{HOME}:999988887777:portfolio/port-1"),
        ("ssm:GetParameter", f"arn:aws:ssm:{HOME}:{ACCOUNT}:parameter/ml-platform/v1/connection-arn"),
        ("ssm:DeleteParameter", f"arn:aws:ssm:{HOME}:{ACCOUNT}:parameter/ml-platform/v1/connection-arn"),
    ),
    names.PREFLIGHT_FUNCTION: (
        ("cloudformation:DescribeStacks", f"arn:aws:cloudformation:{HOME}:{ACCOUNT}:stack/SC-{ACCOUNT}-pp-abc/1"),
        ("ec2:DescribeVpcs", "*"),
        ("ec2:DescribeVpcAttribute", f"arn:aws:ec2:{HOME}:{ACCOUNT}:vpc/vpc-1"),
        ("ec2:DescribeSubnets", "*"),
        ("ec2:DescribeRouteTables", "*"),
        ("ec2:DescribeVpcEndpoints", "*"),
        ("sso:ListInstances", "*"),
        ("sagemaker:ListDomains", "*"),
        ("codeconnections:GetConnection", f"arn:aws:codeconnections:{HOME}:{ACCOUNT}:connection/1"),
        ("kms:DescribeKey", f"arn:aws:kms:{HOME}:777788889999:key/1"),
    ),
    names.DATA_PERMISSIONS_FUNCTION: (
        *((f"lakeformation:{action}", "*") for action in GRANTING),
        ("lakeformation:ListPermissions", "*"),
        ("lakeformation:ListLakeFormationOptIns", "*"),
        ("ram:GetResourceShareInvitations", "*"),
        ("glue:GetTable", f"arn:aws:glue:{HOME}:777788889999:table/lake/loans"),
        ("glue:GetDatabase", f"arn:aws:glue:{HOME}:{ACCOUNT}:database/default"),
        ("glue:CreateDatabase", f"arn:aws:glue:{HOME}:{ACCOUNT}:database/{LINK}"),
        ("glue:DeleteDatabase", f"arn:aws:glue:{HOME}:{ACCOUNT}:table/{LINK}/*"),
        ("sagemaker:ListProjects", "*"),
        ("sagemaker:DescribeProject", f"arn:aws:sagemaker:{HOME}:{ACCOUNT}:project/claims"),
        ("sagemaker:ListTags", f"arn:aws:sagemaker:{HOME}:{ACCOUNT}:project/claims"),
        ("iam:ListRoleTags", f"arn:aws:iam::{ACCOUNT}:role/ml-platform/project/SC-{ACCOUNT}-pp-abc-Role"),
    ),
    names.DATA_LAKE_ADMINISTRATOR_FUNCTION: (
        ("lakeformation:GetDataLakeSettings", "*"),
        ("lakeformation:PutDataLakeSettings", "*"),
    ),
}


@pytest.mark.parametrize("function", sorted(CALLS))
def test_a_function_may_do_what_it_calls(baseline: Baseline, function: str) -> None:
    allowed = statements(baseline.landed(), function)
    assert [action for action, resource in CALLS[function] if not allows(allowed, action, resource)] == []


def test_one_function_grants_data_and_cannot_make_administrators(baseline: Baseline) -> None:
    """A data lake administrator may grant everything to everybody: no other role of the account is one."""
    landed = baseline.landed()
    (grants,) = (role for role, allowed in landed.roles().items() if any(allows(allowed, a, "*") for a in _GRANTS))
    (administers,) = (role for role, allowed in landed.roles().items() if allows(allowed, _PUT, "*"))
    assert grants != administers
    assert statements(landed, names.DATA_PERMISSIONS_FUNCTION) == landed.roles()[grants]
    assert statements(landed, names.DATA_LAKE_ADMINISTRATOR_FUNCTION) == landed.roles()[administers]
    (administrator,) = landed.resources("Custom::DataLakeAdministrator").values()
    assert administrator["RoleArn"].endswith(grants)


def test_links_are_made_and_deleted_by_their_names_only(baseline: Baseline) -> None:
    allowed = statements(baseline.landed(), names.DATA_PERMISSIONS_FUNCTION)
    for action in ("glue:CreateDatabase", "glue:DeleteDatabase"):
        assert not allows(allowed, action, f"arn:aws:glue:{HOME}:{ACCOUNT}:database/sales")
        assert not allows(allowed, action, f"arn:aws:glue:{HOME}:777788889999:database/{LINK}")


def test_data_permissions_change_one_after_the_other(baseline: Baseline) -> None:
    """A turn ends by itself after the function that took it."""
    functions = baseline.landed().resources("AWS::Lambda::Function").values()
    (timeout,) = (f["Timeout"] for f in functions if f["FunctionName"] == names.DATA_PERMISSIONS_FUNCTION)
    assert RESERVE_S < timeout < LEASE_S


def test_the_check_in_reads_seed_code_and_no_other_object(baseline: Baseline) -> None:
    landed = baseline.landed()
    (project,) = landed.template["Resources"][_build(landed)]["Properties"]["ServiceRole"]["Fn::GetAtt"][:1]
    allowed = landed.roles()[project]
    bucket = f"arn:aws:s3:::ml-platform-artifacts-{SAMPLE['account_id']}-{HOME}"
    assert allows(allowed, "s3:GetObject", f"{bucket}/assets/{'a' * 64}.zip")
    assert not allows(allowed, "s3:GetObject", f"{bucket}/releases/train-s3/1.0.0/template.json")
    assert allows(allowed, "codeconnections:UseConnection", f"arn:aws:codeconnections:{HOME}:{ACCOUNT}:connection/1")


def _build(landed: Launch) -> str:
    (logical_id,) = landed.resources("AWS::CodeBuild::Project")
    return logical_id


# ---- the central registry ----


def test_decisions_about_models_are_forwarded_to_the_hub_of_the_same_region(baseline: Baseline) -> None:
    for region in (HOME, AWAY):
        rule = rule_of(baseline.landed(region), "aws.sagemaker")
        assert rule["EventPattern"] == {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Model Package State Change"],
            "detail": {"ModelApprovalStatus": ["Approved", "Rejected"]},
        }
        assert "EventBusName" not in rule, "services put their events on the default bus"
        (target,) = rule["Targets"]
        assert target["Arn"] == f"arn:aws:events:{region}:{SAMPLE['account_id']}:event-bus/ml-platform"


def test_the_role_of_the_rule_puts_events_on_the_hubs_bus_and_does_nothing_else(baseline: Baseline) -> None:
    landed = baseline.landed()
    (target,) = rule_of(landed, "aws.sagemaker")["Targets"]
    (role,) = (i for i in landed.resources("AWS::IAM::Role") if landed.attribute(i, "Arn") == target["RoleArn"])
    (statement,) = landed.roles()[role]
    assert statement["Effect"] == "Allow"
    assert (statement["Action"], statement["Resource"]) == ("events:PutEvents", target["Arn"])
    (trust,) = landed.resources("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_a_decision_that_does_not_reach_the_hub_is_kept_and_raises_an_alarm(baseline: Baseline) -> None:
    landed = baseline.landed()
    (target,) = rule_of(landed, "aws.sagemaker")["Targets"]
    name = "ml-platform-undelivered-decisions"
    assert target["DeadLetterConfig"] == {"Arn": f"arn:aws:sqs:{HOME}:{ACCOUNT}:{name}"}
    (queue,) = (q for q in landed.resources("AWS::SQS::Queue").values() if q["QueueName"] == name)
    assert queue["MessageRetentionPeriod"] == 14 * 86_400
    (policy,) = (p for p in landed.resources("AWS::SQS::QueuePolicy").values() if p["Queues"] == [name])
    (allowed,) = (s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow")
    assert (allowed["Principal"], allowed["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    (key,) = landed.resources("AWS::KMS::Key").values()
    of_events = [s for s in key["KeyPolicy"]["Statement"] if s["Principal"] == {"Service": "events.amazonaws.com"}]
    source = {"aws:SourceAccount": ACCOUNT}
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert allows(of_events, action, "*", **source)
        assert not allows(of_events, action, "*", **{"aws:SourceAccount": SAMPLE["account_id"]})
    alarms = landed.resources("AWS::CloudWatch::Alarm").values()
    assert {"Name": "QueueName", "Value": f"{name}.QueueName"} in [d for alarm in alarms for d in alarm["Dimensions"]]


def test_each_account_decides_on_its_own_key(baseline: Baseline) -> None:
    """KMS makes no key whose policy keeps its maker from changing it (API reference, CreateKey)."""
    (key,) = baseline.landed().resources("AWS::KMS::Key").values()
    (own,) = (s for s in key["KeyPolicy"]["Statement"] if s["Action"] == "kms:*")
    assert own["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def test_alarms_that_ring_are_told_to_the_hub(baseline: Baseline) -> None:
    for region in (HOME, AWAY):
        rule = rule_of(baseline.landed(region), "aws.cloudwatch")
        assert rule["EventPattern"]["detail"] == {
            "alarmName": [{"prefix": "ml-platform-"}, {"prefix": "mlp-"}],
            "state": {"value": ["ALARM"]},
        }
        (target,) = rule["Targets"]
        assert target["Arn"] == f"arn:aws:events:{region}:{SAMPLE['account_id']}:event-bus/ml-platform"
        assert target["DeadLetterConfig"]["Arn"].endswith(":ml-platform-undelivered-alarms")


# ---- products fit in ----


def test_every_action_that_a_product_grants_is_inside_the_boundary() -> None:
    ceiling = [
        action.lower()
        for statement in document(catalog=CATALOG)["Statement"]
        if statement["Effect"] == "Allow"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]
    templates = [json.loads(path.read_text(encoding="utf-8")) for path in released_templates()]
    templates += [synthesise(product) for product in PRODUCTS]
    granted = {
        action
        for template in templates
        for resource in template["Resources"].values()
        for policy in _identity_policies(resource)
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    # Released roles got tokens of connections, for which no condition says which repository they open.
    withdrawn = {"codeconnections:GetConnectionToken", "codestar-connections:GetConnectionToken"}
    assert len(granted) > 50
    assert withdrawn <= granted
    granted -= withdrawn
    assert {a for a in granted if not any(fnmatchcase(a.lower(), pattern) for pattern in ceiling)} == set()


def _identity_policies(resource: dict[str, Any]) -> list[dict[str, Any]]:
    properties = resource.get("Properties", {})
    if resource["Type"] == "AWS::IAM::Role":
        return [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        return [properties["PolicyDocument"]]
    return []
