"""The hub baseline: the contract of workload accounts in the hub, for the products that deploy models."""

from __future__ import annotations

from typing import Any, Final

import pytest

from foundation.baseline_version import BASELINE_VERSION
from foundation.launch_scopes import HUB
from lambdas.bundling import asset_key
from products.shared import names
from tests.hub import (
    ACCOUNT,
    CONNECTION,
    OTHER_REGION,
    REGION,
    SETTINGS,
    Assembly,
    connected_assembly,
    hub_assembly,
)
from tests.policy import Launch, allows

STACK: Final = "ml-platform-hub-baseline"
TOPIC: Final = "AWS::SNS::Topic"


@pytest.fixture(scope="module")
def two_regions() -> Assembly:
    return connected_assembly()


def landed(assembly: Assembly, region: str = REGION) -> Launch:
    template = assembly.templates[STACK if region == REGION else f"{STACK} in {region}"]
    return Launch(template, {"BootstrapVersion": "30"}, account=ACCOUNT, region=region, stack=STACK)


@pytest.fixture(scope="module")
def hub() -> Launch:
    return landed(hub_assembly())


def values(hub: Launch) -> dict[str, Any]:
    return {p["Name"]: p["Value"] for p in hub.resources("AWS::SSM::Parameter").values()}


def statements(hub: Launch, function: str) -> list[Any]:
    """Statements of the role of a function, by the function's name."""
    (logical_id,) = (i for i, p in hub.resources("AWS::Lambda::Function").items() if p["FunctionName"] == function)
    return hub.roles()[hub.template["Resources"][logical_id]["Properties"]["Role"]["Fn::GetAtt"][0]]


# ---- the contract ----


def test_the_hub_has_the_contract_of_a_workload_account(hub: Launch) -> None:
    assert values(hub) == {
        "/ml-platform/v1/hub-account-id": ACCOUNT,
        "/ml-platform/v1/artifact-bucket": f"ml-platform-artifacts-{ACCOUNT}-{REGION}",
        "/ml-platform/v1/boundary-arn": f"arn:aws:iam::{ACCOUNT}:policy/ml-platform-boundary",
        "/ml-platform/v1/baseline-version": BASELINE_VERSION,
    }


def test_the_connection_of_the_settings_is_offered_to_deployment_projects(two_regions: Assembly) -> None:
    for region in (REGION, OTHER_REGION):
        assert values(landed(two_regions, region))["/ml-platform/v1/connection-arn"] == CONNECTION


def test_iam_has_no_regions_so_its_names_are_made_at_home_only(two_regions: Assembly) -> None:
    home, away = landed(two_regions), landed(two_regions, OTHER_REGION)
    policies = [p["ManagedPolicyName"] for p in home.resources("AWS::IAM::ManagedPolicy").values()]
    assert policies.count("ml-platform-boundary") == 1
    assert names.LAUNCH_ROLE in [p.get("RoleName") for p in home.resources("AWS::IAM::Role").values()]
    assert away.resources("AWS::IAM::ManagedPolicy") == {}
    at_home = {p["RoleName"] for p in home.resources("AWS::IAM::Role").values() if "RoleName" in p}
    assert not at_home & {p.get("RoleName") for p in away.resources("AWS::IAM::Role").values()}


def test_every_function_that_a_launch_may_invoke_is_there_with_the_bundled_code(hub: Launch) -> None:
    functions = {p["FunctionName"]: p for p in hub.resources("AWS::Lambda::Function").values()}
    assert set(HUB.functions) <= set(functions)
    for properties in functions.values():
        folder = properties["Handler"].split(".")[1]
        assert properties["Code"] == {
            "S3Bucket": f"ml-platform-artifacts-{ACCOUNT}-{REGION}",
            "S3Key": asset_key(folder),
        }


def test_the_registrys_rule_is_the_only_one_that_forwards_decisions(hub: Launch) -> None:
    sources = [source for r in hub.resources("AWS::Events::Rule").values() for source in r["EventPattern"]["source"]]
    assert "aws.sagemaker" not in sources


def test_projects_are_not_enabled_by_a_domain_in_the_hub(hub: Launch) -> None:
    functions = [p["FunctionName"] for p in hub.resources("AWS::Lambda::Function").values()]
    assert names.ENABLE_PROJECTS_FUNCTION not in functions


# ---- nothing is lost ----


def test_what_no_function_could_deal_with_is_kept_and_mailed(hub: Launch) -> None:
    queue = "ml-platform-baseline-dead-letters"
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
    functions = hub.resources("AWS::Lambda::Function")
    assert len(hub.resources("AWS::Lambda::EventInvokeConfig")) == len(functions)
    for properties in functions.values():
        assert properties["DeadLetterConfig"]["TargetArn"] == arn
        assert allows(statements(hub, properties["FunctionName"]), "sqs:SendMessage", arn)
    (alarm,) = (p for p in hub.resources("AWS::CloudWatch::Alarm").values() if p.get("AlarmName") == queue)
    (topic,) = hub.resources(TOPIC)
    assert alarm["AlarmActions"] == [hub.physical_id(topic)]
    subscriptions = hub.resources("AWS::SNS::Subscription").values()
    assert {s["Endpoint"] for s in subscriptions} == set(SETTINGS["notification_emails"])


# ---- who may do what ----


def test_only_service_catalog_launches_and_with_the_role_of_deployment_products(hub: Launch) -> None:
    (logical_id,) = (i for i, p in hub.resources("AWS::IAM::Role").items() if p.get("RoleName") == names.LAUNCH_ROLE)
    role = hub.resources("AWS::IAM::Role")[logical_id]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "servicecatalog.amazonaws.com"}
    policies = [
        p["PolicyDocument"]["Statement"]
        for i, p in hub.resources("AWS::IAM::ManagedPolicy").items()
        if hub.physical_id(i) in role["ManagedPolicyArns"]
    ]
    assert len(policies) == len(role["ManagedPolicyArns"]) <= 10
    allowed = [statement for policy in policies for statement in policy]
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{names.DEPLOYMENT_FUNCTION}"
    assert allows(allowed, "lambda:InvokeFunction", function)
    assert allows(allowed, "codepipeline:CreatePipeline", f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:mlp-p-abc-deploy")
    for action, resource in (
        ("codepipeline:UpdatePipeline", f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:ml-platform-catalog"),
        ("sagemaker:CreateDomain", f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:domain/d-1"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/{names.DEPLOY_ROLE}"),
        ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/ml-platform/hub/ml-platform-registry-Promotion"),
    ):
        assert not allows(allowed, action, resource), action


def test_functions_and_builds_of_the_baseline_have_roles_below_its_path(hub: Launch) -> None:
    roles = {i: p for i, p in hub.resources("AWS::IAM::Role").items() if p.get("RoleName") != names.LAUNCH_ROLE}
    assert {role["Path"] for role in roles.values()} == {names.BASELINE_ROLE_PATH}
    for role in roles.values():
        assert not role.get("ManagedPolicyArns")
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert set(trust["Principal"]) == {"Service"}, "services only, nobody's account"


def test_the_emptier_empties_buckets_of_projects_and_none_of_the_hub(hub: Launch) -> None:
    allowed = statements(hub, names.BUCKET_EMPTIER_FUNCTION)
    assert allows(allowed, "s3:DeleteObjectVersion", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-{REGION}/reports/1.html")
    for bucket in (
        names.artifact_bucket(ACCOUNT, REGION),
        names.registry_bucket(ACCOUNT, REGION),
        names.audit_bucket(ACCOUNT, REGION),
    ):
        for action in ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"):
            assert not allows(allowed, action, f"arn:aws:s3:::{bucket}/anything")


def test_the_check_in_reads_seed_code_of_the_hubs_own_bucket(hub: Launch) -> None:
    (build,) = (p for p in hub.resources("AWS::CodeBuild::Project").values() if p["Name"] == names.SEED_CHECKIN_BUILD)
    (role,) = (i for i in hub.resources("AWS::IAM::Role") if hub.attribute(i, "Arn") == build["ServiceRole"])
    bucket = f"arn:aws:s3:::{names.artifact_bucket(ACCOUNT, REGION)}"
    assert allows(hub.roles()[role], "s3:GetObject", f"{bucket}/assets/{'a' * 64}.zip")
    assert not allows(hub.roles()[role], "s3:GetObject", f"{bucket}/releases/deploy-realtime/1.0.0/template.json")
    assert not allows(hub.roles()[role], "s3:PutObject", f"{bucket}/assets/{'a' * 64}.zip")


def test_everything_of_the_baseline_is_told_from_what_products_make_by_its_tag(hub: Launch) -> None:
    for kind in ("AWS::KMS::Key", "AWS::DynamoDB::Table", "AWS::Lambda::Function"):
        for properties in hub.resources(kind).values():
            assert {"Key": "ml-platform:component", "Value": "baseline"} in properties["Tags"]


def test_the_template_works_in_every_partition() -> None:
    template = hub_assembly().templates[STACK]
    chinese = Launch(template, {"BootstrapVersion": "30"}, account=ACCOUNT, region="cn-north-1", partition="aws-cn")
    for kind in ("AWS::IAM::ManagedPolicy", "AWS::IAM::Role"):
        for properties in chinese.resources(kind).values():
            assert "arn:aws:" not in str(properties)
