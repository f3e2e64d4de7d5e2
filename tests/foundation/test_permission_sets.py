"""The permission sets of people: what people of each kind may do with them, and what they may not."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from foundation.handler_permissions import resource_kinds
from foundation.organization import PERMISSION_SETS
from lambdas.model_promotion.decisions import Decision
from lambdas.model_promotion.names import DIGEST_KEY, FOLDER_KEY, SOURCE_KEY
from products.shared import names
from tests.policy import allows

SETS: Final = sorted(path.stem for path in PERMISSION_SETS.glob("*.json"))

HUB: Final = "111122223333"
OTHER: Final = "444455556666"
PLACE: Final = f"eu-west-1:{HUB}"
PACKAGE: Final = f"arn:aws:sagemaker:{PLACE}:model-package/churn-p-abc-{OTHER}/1"
PIPELINE: Final = f"arn:aws:codepipeline:{PLACE}:mlp-p-abc-deploy"
GOVERNANCE: Final = f"{PIPELINE}/Approve/GovernanceApproval"
REPORT: Final = f"arn:aws:s3:::mlp-p-abc-{HUB}-eu-west-1/reports/1/test.html"
REGISTRY: Final = f"arn:aws:s3:::{names.registry_bucket(HUB, 'eu-west-1')}"
AUDIT: Final = f"arn:aws:s3:::{names.audit_bucket(HUB, 'eu-west-1')}"
KEY: Final = f"arn:aws:kms:{PLACE}:key/1"
PRODUCT: Final = f"arn:aws:catalog:{PLACE}:product/prod-1"

OWN: Final = {"aws:PrincipalAccount": HUB, "aws:ResourceAccount": HUB, "aws:RequestedRegion": "eu-west-1"}
FOREIGN: Final = {"aws:PrincipalAccount": HUB, "aws:ResourceAccount": OTHER}
BY_S3: Final = {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}


def statements(permission_set: str) -> list[dict[str, Any]]:
    document = json.loads((PERMISSION_SETS / f"{permission_set}.json").read_text(encoding="utf-8"))
    return list(document["Statement"])


def actions(statement: dict[str, Any]) -> list[str]:
    action = statement["Action"]
    return action if isinstance(action, list) else [action]


# ---- every permission set ----


@pytest.mark.parametrize("permission_set", SETS)
def test_every_action_is_one_that_iam_knows_and_none_is_a_pattern(permission_set: str) -> None:
    for statement in statements(permission_set):
        assert [a for a in actions(statement) if "*" in a or resource_kinds(a) is None] == []


@pytest.mark.parametrize("permission_set", SETS)
def test_a_permission_set_fits_into_the_policy_of_a_role_in_every_partition(permission_set: str) -> None:
    text = (PERMISSION_SETS / f"{permission_set}.json").read_text(encoding="utf-8")
    assert len("".join(text.split())) <= 10_240, "IAM's limit of the inline policies of a role"
    assert "arn:aws:" not in text


@pytest.mark.parametrize("permission_set", ["governance-officer", "ml-engineer"])
def test_people_of_the_hub_act_on_named_resources_wherever_iam_lets_them_be_named(permission_set: str) -> None:
    anywhere = [s for s in statements(permission_set) if s["Effect"] == "Allow" and s["Resource"] == "*"]
    named = {action for s in anywhere if "Condition" not in s for action in actions(s) if resource_kinds(action)}
    assert named == set()


@pytest.mark.parametrize("permission_set", SETS)
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iam:CreateRole", f"arn:aws:iam::{HUB}:role/ml-platform/project/x"),
        ("iam:PassRole", f"arn:aws:iam::{HUB}:role/{names.LAUNCH_ROLE}"),
        ("sts:AssumeRole", f"arn:aws:iam::{OTHER}:role/{names.DEPLOY_ROLE}"),
        ("sagemaker:CreateModelPackage", PACKAGE),
        ("sagemaker:DeleteModelPackage", PACKAGE),
        ("s3:DeleteObject", f"{AUDIT}/decisions/year=2026/month=05/day=01/1.json"),
        ("s3:BypassGovernanceRetention", f"{AUDIT}/decisions/year=2026/month=05/day=01/1.json"),
        ("s3:PutObject", f"{REGISTRY}/packages/model.tar.gz"),
        ("codepipeline:UpdatePipeline", PIPELINE),
        ("codepipeline:StartPipelineExecution", f"arn:aws:codepipeline:{PLACE}:ml-platform-catalog"),
        ("codebuild:StartBuild", f"arn:aws:codebuild:{PLACE}:project/mlp-p-abc-prod"),
        ("codebuild:UpdateProject", f"arn:aws:codebuild:{PLACE}:project/mlp-p-abc-prod"),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{PLACE}:function:{names.DEPLOYMENT_FUNCTION}"),
        ("servicecatalog:CreatePortfolioShare", "*"),
    ],
)
def test_nobody_may(permission_set: str, action: str, resource: str) -> None:
    assert not allows(statements(permission_set), action, resource, **OWN, **BY_S3)


# ---- ML engineer ----


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("sagemaker:ListModelPackageGroups", "*"),
        ("sagemaker:ListModelPackages", f"arn:aws:sagemaker:{PLACE}:model-package-group/churn-p-abc-{OTHER}"),
        ("sagemaker:DescribeModelPackage", PACKAGE),
        ("sagemaker:DescribeModelCard", f"arn:aws:sagemaker:{PLACE}:model-card/churn-p-abc-{OTHER}"),
        ("s3:GetObject", f"{REGISTRY}/packages/churn-p-1-{OTHER}/1-2/evaluation.json"),
        ("s3:GetObject", REPORT),
        ("sagemaker:CreateProject", f"arn:aws:sagemaker:{PLACE}:project/churn-live"),
        ("servicecatalog:SearchProducts", "*"),
        ("servicecatalog:ProvisionProduct", PRODUCT),
        ("cloudformation:DescribeEvents", f"arn:aws:cloudformation:{PLACE}:stack/SC-{HUB}-pp-1/1"),
        ("cloudformation:DescribeStackEvents", f"arn:aws:cloudformation:{PLACE}:stack/SC-{HUB}-pp-1/1"),
        ("codepipeline:GetPipelineState", PIPELINE),
        ("codepipeline:StartPipelineExecution", PIPELINE),
        ("codepipeline:StopPipelineExecution", PIPELINE),
        ("codepipeline:RetryStageExecution", f"{PIPELINE}/Prod"),
        ("logs:GetLogEvents", f"arn:aws:logs:{PLACE}:log-group:/aws/codebuild/mlp-p-abc-prod:log-stream:1"),
    ],
)
def test_an_ml_engineer_may(action: str, resource: str) -> None:
    assert allows(statements("ml-engineer"), action, resource, **OWN)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("codepipeline:PutApprovalResult", GOVERNANCE),
        ("codepipeline:PutApprovalResult", f"{PIPELINE}/Shadow/Period"),
        ("codepipeline:StartPipelineExecution", f"arn:aws:codepipeline:{PLACE}:payroll"),
        ("s3:GetObject", f"{REGISTRY}/packages/churn-p-1-{OTHER}/1-2/model.tar.gz"),
        ("s3:GetObject", f"arn:aws:s3:::mlp-p-abc-{HUB}-eu-west-1/mlp-p-abc/source.zip"),
        ("s3:GetObject", f"{AUDIT}/decisions/year=2026/month=05/day=01/1.json"),
        ("s3:PutObject", REPORT),
        ("kms:Decrypt", KEY),
    ],
)
def test_an_ml_engineer_may_not(action: str, resource: str) -> None:
    assert not allows(statements("ml-engineer"), action, resource, **OWN)


@pytest.mark.parametrize("status", ["Approved", "Rejected"])
def test_an_ml_engineer_decides_on_models_and_changes_nothing_else_of_them(status: str) -> None:
    allowed = statements("ml-engineer")
    assert allows(allowed, "sagemaker:UpdateModelPackage", PACKAGE, **{"sagemaker:ModelApprovalStatus": status})
    assert not allows(allowed, "sagemaker:UpdateModelPackage", PACKAGE), "a change of metadata names no status"
    decided = {"sagemaker:ModelApprovalStatus": status}
    decision = Decision(status=status, who="lena", when=0.0, reason="better")
    for key in (*decision.metadata, DIGEST_KEY, FOLDER_KEY, SOURCE_KEY):
        written = {f"sagemaker:CustomerMetadataProperties/{key}": "x"}
        assert not allows(allowed, "sagemaker:UpdateModelPackage", PACKAGE, **decided, **written), key
    removed: dict[str, Any] = {"sagemaker:CustomerMetadataPropertiesToRemove": [DIGEST_KEY]}
    assert not allows(allowed, "sagemaker:UpdateModelPackage", PACKAGE, **decided, **removed)


@pytest.mark.parametrize("permission_set", ["lead-data-scientist", "ml-engineer"])
def test_people_change_and_end_what_was_launched_with_their_role_and_nothing_else(permission_set: str) -> None:
    allowed = statements(permission_set)
    for action in ("servicecatalog:TerminateProvisionedProduct", "servicecatalog:UpdateProvisionedProduct"):
        assert allows(allowed, action, "*", **{"servicecatalog:roleLevel": "self"})
        assert not allows(allowed, action, "*", **{"servicecatalog:accountLevel": "self"})
        assert not allows(allowed, action, "*")


# ---- governance officer ----


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("codepipeline:ListPipelines", "*"),
        ("codepipeline:GetPipelineState", PIPELINE),
        ("codepipeline:ListActionExecutions", PIPELINE),
        ("codepipeline:PutApprovalResult", GOVERNANCE),
        ("s3:GetObject", REPORT),
        ("s3:GetObject", f"{AUDIT}/decisions/year=2026/month=05/day=01/1.json"),
        ("glue:GetTable", f"arn:aws:glue:{PLACE}:table/{names.AUDIT_DATABASE}/{names.AUDIT_TABLE}"),
        ("athena:StartQueryExecution", f"arn:aws:athena:{PLACE}:workgroup/ml-platform-audit"),
        ("athena:GetQueryResults", f"arn:aws:athena:{PLACE}:workgroup/ml-platform-audit"),
    ],
)
def test_a_governance_officer_may(action: str, resource: str) -> None:
    assert allows(statements("governance-officer"), action, resource, **OWN)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("codepipeline:PutApprovalResult", f"{PIPELINE}/Shadow/Period"),
        ("codepipeline:PutApprovalResult", f"arn:aws:codepipeline:{PLACE}:mlp-p-abc/Approve/GovernanceApproval"),
        ("codepipeline:PutApprovalResult", f"arn:aws:codepipeline:{PLACE}:payroll-deploy/Approve/GovernanceApproval"),
        ("codepipeline:StartPipelineExecution", PIPELINE),
        ("codepipeline:RetryStageExecution", f"{PIPELINE}/Prod"),
        ("sagemaker:CreateProject", f"arn:aws:sagemaker:{PLACE}:project/churn-live"),
        ("servicecatalog:ProvisionProduct", PRODUCT),
        ("s3:GetObject", f"{REGISTRY}/packages/churn-p-1-{OTHER}/1-2/evaluation.json"),
        ("s3:GetObject", f"arn:aws:s3:::mlp-p-abc-{HUB}-eu-west-1/mlp-p-abc/source.zip"),
        ("glue:GetTable", f"arn:aws:glue:{PLACE}:table/sales/orders"),
        ("athena:StartQueryExecution", f"arn:aws:athena:{PLACE}:workgroup/primary"),
        ("kms:Decrypt", KEY),
    ],
)
def test_a_governance_officer_may_not(action: str, resource: str) -> None:
    assert not allows(statements("governance-officer"), action, resource, **OWN)


def test_no_status_makes_a_governance_officer_an_approver_of_models() -> None:
    for status in ("Approved", "Rejected"):
        context = {"sagemaker:ModelApprovalStatus": status}
        assert not allows(statements("governance-officer"), "sagemaker:UpdateModelPackage", PACKAGE, **context)


def test_no_one_set_approves_a_model_and_its_way_to_production() -> None:
    approved = {"sagemaker:ModelApprovalStatus": "Approved"}
    for permission_set in SETS:
        allowed = statements(permission_set)
        approves = allows(allowed, "sagemaker:UpdateModelPackage", PACKAGE, **approved)
        assert not (approves and allows(allowed, "codepipeline:PutApprovalResult", GOVERNANCE))


# ---- both ----


@pytest.mark.parametrize("permission_set", ["governance-officer", "ml-engineer"])
def test_reports_are_opened_by_way_of_s3_and_only_those_of_the_hub(permission_set: str) -> None:
    allowed = statements(permission_set)
    assert allows(allowed, "kms:Decrypt", KEY, **OWN, **BY_S3)
    assert not allows(allowed, "kms:Decrypt", KEY, **FOREIGN, **BY_S3)
    assert not allows(allowed, "s3:GetObject", REPORT, **FOREIGN)
    bucket = f"arn:aws:s3:::mlp-p-abc-{HUB}-eu-west-1"
    assert allows(allowed, "s3:ListBucket", bucket, **OWN, **{"s3:prefix": "reports/1/"})
    assert not allows(allowed, "s3:ListBucket", bucket, **OWN, **{"s3:prefix": ""})


# ---- data steward ----

LOCATION_ROLE: Final = f"arn:aws:iam::{HUB}:role/data-lake-loans"


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("lakeformation:PutDataLakeSettings", "*"),
        ("lakeformation:RegisterResource", "*"),
        ("lakeformation:GrantPermissions", "*"),
        ("lakeformation:RevokePermissions", "*"),
        ("lakeformation:CreateDataCellsFilter", "*"),
        ("lakeformation:AddLFTagsToResource", "*"),
        ("glue:GetTable", f"arn:aws:glue:{PLACE}:table/credit_risk/loans"),
        ("ram:CreateResourceShare", "*"),
        ("iam:PassRole", LOCATION_ROLE),
    ],
)
def test_a_data_steward_may(action: str, resource: str) -> None:
    assert allows(statements("data-steward"), action, resource, **OWN)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("lakeformation:GetDataAccess", "*"),
        ("lakeformation:RegisterResourceWithPrivilegedAccess", "*"),
        ("athena:StartQueryExecution", f"arn:aws:athena:{PLACE}:workgroup/primary"),
        ("s3:GetObject", "arn:aws:s3:::data-lake/credit_risk/loans/part-0.parquet"),
        ("glue:DeleteTable", f"arn:aws:glue:{PLACE}:table/credit_risk/loans"),
        ("iam:PassRole", f"arn:aws:iam::{HUB}:role/admin"),
    ],
)
def test_a_data_steward_governs_data_and_does_not_read_them(action: str, resource: str) -> None:
    assert not allows(statements("data-steward"), action, resource, **OWN)


def test_a_data_steward_changes_shares_of_lake_formation_only() -> None:
    share = f"arn:aws:ram:{PLACE}:resource-share/1"
    allowed = statements("data-steward")
    assert allows(allowed, "ram:AssociateResourceShare", share, **{"ram:ResourceShareName": "LakeFormation-V4-1"})
    assert not allows(allowed, "ram:AssociateResourceShare", share, **{"ram:ResourceShareName": "network"})
