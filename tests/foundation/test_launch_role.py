"""The launch role can do what released products need, in both directions, and never more than the boundary allows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from foundation import boundary, launch_policy, launch_scopes, policy_documents
from foundation.caller_permissions import bare, needed_actions
from foundation.handler_permissions import SchemaError, resource_kinds, resource_types
from foundation.launch_policy import LaunchRoleError, launched_templates
from foundation.launch_scopes import WORKLOADS, AccountKind
from foundation.policy_documents import PolicyError
from tests.policy import allows
from tests.products.launches import CATALOG

if TYPE_CHECKING:
    from pathlib import Path

HUB = "999988887777"
ACCOUNT = "111122223333"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/ml-platform-boundary"
PROJECT_ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml-platform/project/mlp-p-abc-pipeline"
LEAD_ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml-platform/persona/lead-data-scientist/lead"
SCIENTIST_ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml-platform/persona/data-scientist/scientist"
REGIONAL = f"eu-west-1:{ACCOUNT}"
PIPELINE = f"arn:aws:codepipeline:{REGIONAL}:mlp-p-abc-deploy"
OTHER = "444455556666"


def filled(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Fill in what CloudFormation would."""
    text = json.dumps(value)
    for name, text_value in (("Partition", "aws"), ("AccountId", ACCOUNT), ("URLSuffix", "amazonaws.com")):
        text = text.replace(f"${{AWS::{name}}}", text_value)
    return json.loads(text)


@dataclass
class Kind:
    """A kind of account with a launch role.

    Attributes:
        in_hub: Which releases are launched there.
        account: What its role differs in.
    """

    in_hub: bool
    account: AccountKind

    @cached_property
    def templates(self) -> list[dict[str, Any]]:
        return launched_templates(in_hub=self.in_hub)

    @cached_property
    def statements(self) -> list[dict[str, Any]]:
        statements: list[dict[str, Any]] = filled(launch_policy.statements(self.templates, HUB, self.account))
        return statements


KINDS = {"workloads": Kind(in_hub=False, account=WORKLOADS), "hub": Kind(in_hub=True, account=launch_scopes.HUB)}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture(scope="module")
def hub() -> list[dict[str, Any]]:
    """Statements of the hub's role for deployment products."""
    return KINDS["hub"].statements


@pytest.fixture(scope="module")
def launch() -> list[dict[str, Any]]:
    """Statements of the role for the products in this repository."""
    return KINDS["workloads"].statements


@pytest.fixture(scope="module")
def ceiling() -> list[dict[str, Any]]:
    """Statements of the boundary."""
    statements: list[dict[str, Any]] = filled(boundary.document(catalog=CATALOG))["Statement"]
    return statements


# ---- derived, both ways ----


@every_kind
def test_what_templates_take_is_granted_and_nothing_else(kind: Kind) -> None:
    granted = {action for statement in kind.statements for action in statement["Action"]}
    extra = {action for entry in launch_scopes.extras(HUB) for action in entry.actions}
    assert granted - extra == set(needed_actions(kind.templates)) - extra


@every_kind
def test_every_action_is_one_that_iam_knows(kind: Kind) -> None:
    assert [a for statement in kind.statements for a in statement["Action"] if resource_kinds(a) is None] == []


@every_kind
def test_every_resource_is_named_where_iam_lets_it_be(kind: Kind) -> None:
    anything = [statement for statement in kind.statements if statement["Resource"] == ["*"]]
    without_resource_level = {a for statement in anything for a in statement["Action"] if not resource_kinds(a)}
    others = {a for statement in anything for a in statement["Action"]} - without_resource_level
    assert others == {"cloudformation:GetTemplateSummary"}, "asked before a stack exists"


def test_no_statement_allows_a_whole_service(launch: list[dict[str, Any]], ceiling: list[dict[str, Any]]) -> None:
    actions = [a for s in [*launch, *ceiling] if s["Effect"] == "Allow" for a in launch_actions(s)]
    assert [a for a in actions if a == "*" or a.endswith(":*")] == []
    assert [a for s in launch for a in s["Action"] if "*" in a] == []


def launch_actions(statement: dict[str, Any]) -> list[str]:
    action = statement["Action"]
    return action if isinstance(action, list) else [action]


@every_kind
def test_the_documents_fit_into_iams_limits(kind: Kind) -> None:
    documents = policy_documents.documents(launch_policy.statements(kind.templates, HUB, kind.account))
    assert len(documents) <= policy_documents.ATTACHED_POLICIES_MAX
    for document in [*documents, boundary.document(catalog=CATALOG)]:
        assert len(json.dumps(document, separators=(",", ":"))) <= policy_documents.MANAGED_POLICY_MAX


def test_what_a_release_takes_is_covered_as_soon_as_there_is_one(tmp_path: Path) -> None:
    resources = {"Queue": {"Type": "AWS::SQS::Queue"}, "Meta": {"Type": "AWS::CDK::Metadata"}}
    parameters = {"Vpc": {"Type": "AWS::EC2::VPC::Id"}}
    _release(tmp_path, "train_s3", {"Parameters": parameters, "Resources": resources})
    assert "ec2:DescribeVpcs" in needed_actions(launched_templates(tmp_path, in_hub=False))
    assert "sqs:CreateQueue" in needed_actions(launched_templates(tmp_path, in_hub=False))
    assert launched_templates(tmp_path / "none", in_hub=False) == []
    assert resource_types(launch_policy.released_templates(tmp_path)) == {"AWS::SQS::Queue"}


def test_each_kind_of_account_gets_a_role_for_the_products_that_are_launched_there(tmp_path: Path) -> None:
    queue, topic = bare(["AWS::SQS::Queue"]), bare(["AWS::SNS::Topic"])
    _release(tmp_path, "train_s3", queue)
    _release(tmp_path, "deploy_batch", topic)
    assert launched_templates(tmp_path, in_hub=False) == [queue]
    assert launched_templates(tmp_path, in_hub=True) == [topic]


def _release(products: Path, product: str, template: dict[str, Any]) -> None:
    release = products / product / "releases" / "1.0.0"
    release.mkdir(parents=True)
    (release / "template.json").write_text(json.dumps(template), encoding="utf-8")


def test_a_type_that_nobody_scoped_stops_the_synthesis_with_what_to_do() -> None:
    with pytest.raises(LaunchRoleError, match=r"is needed for AWS::EC2::Instance.*SCOPES"):
        launch_policy.statements([bare(["AWS::EC2::Instance"])], HUB)
    with pytest.raises(SchemaError, match="no schema for 'AWS::No::Such'"):
        launch_policy.statements([bare(["AWS::No::Such"])], HUB)


def test_an_action_that_iam_does_not_know_must_be_respelt_or_excepted() -> None:
    with pytest.raises(LaunchRoleError, match="SPELT"):
        launch_policy.scopes_of("s3:REST.PUT.OBJECT", ["AWS::Logs::LogGroup"])


def test_too_many_statements_for_one_role_are_refused() -> None:
    big = [{"Effect": "Allow", "Action": ["x" * 5000], "Resource": ["*"]}] * 11
    with pytest.raises(PolicyError, match="need 11 managed policies"):
        policy_documents.documents(big)
    with pytest.raises(PolicyError, match="takes 6144: split it"):
        policy_documents.documents([{"Effect": "Allow", "Action": ["x" * 7000], "Resource": ["*"]}])


# ---- what a launch does ----


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:CreateBucket", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-eu-west-1"),
        ("s3:PutBucketPolicy", f"arn:aws:s3:::mlp-d-team-a-1a2b3c4d-{ACCOUNT}-eu-west-1"),
        ("codebuild:CreateProject", f"arn:aws:codebuild:{REGIONAL}:project/mlp-p-abc-build"),
        ("codepipeline:CreatePipeline", f"arn:aws:codepipeline:{REGIONAL}:mlp-p-abc"),
        ("events:PutRule", f"arn:aws:events:{REGIONAL}:rule/mlp-p-abc-source"),
        ("sqs:CreateQueue", f"arn:aws:sqs:{REGIONAL}:mlp-p-abc-dead-letters"),
        ("logs:CreateLogGroup", f"arn:aws:logs:{REGIONAL}:log-group:/aws/codebuild/mlp-p-abc-build"),
        ("sagemaker:CreateModelPackageGroup", f"arn:aws:sagemaker:{REGIONAL}:model-package-group/churn-p-abc"),
        ("sagemaker:CreateDomain", f"arn:aws:sagemaker:{REGIONAL}:domain/d-abc"),
        ("kms:CreateKey", "*"),
        ("cloudformation:CreateStack", f"arn:aws:cloudformation:{REGIONAL}:stack/SC-{ACCOUNT}-pp-abc/1"),
        ("ssm:GetParameters", f"arn:aws:ssm:{REGIONAL}:parameter/ml-platform/v1/boundary-arn"),
        ("ec2:DescribeVpcs", "*"),  # parameters of the domain: CloudFormation looks them up
        ("ec2:DescribeSubnets", "*"),
        ("codeconnections:PassConnection", f"arn:aws:codeconnections:{REGIONAL}:connection/1"),
        ("s3:GetObject", f"arn:aws:s3:::ml-platform-artifacts-{HUB}-eu-west-1/releases/train-s3/1.0.0/template.json"),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{REGIONAL}:function:ml-platform-seed-checkin"),
    ],
)
def test_a_launch_may(launch: list[dict[str, Any]], action: str, resource: str) -> None:
    assert allows(launch, action, resource)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:CreateBucket", "arn:aws:s3:::payroll"),
        ("s3:PutBucketPolicy", f"arn:aws:s3:::ml-platform-artifacts-{HUB}-eu-west-1"),
        ("s3:GetObject", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-eu-west-1/model.tar.gz"),
        ("s3:GetObject", "arn:aws:s3:::payroll/salaries.csv"),
        ("s3:PutAccountPublicAccessBlock", "*"),
        ("codebuild:UpdateProject", f"arn:aws:codebuild:{REGIONAL}:project/ml-platform-seed-checkin"),
        ("codebuild:StartBuild", f"arn:aws:codebuild:{REGIONAL}:project/mlp-p-abc-build"),
        ("events:PutRule", f"arn:aws:events:{REGIONAL}:rule/payroll"),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{REGIONAL}:function:payroll"),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{REGIONAL}:function:ml-platform-seed-checkin-completion"),
        ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{REGIONAL}:function:ml-platform-seed-checkin"),
        ("ssm:PutParameter", f"arn:aws:ssm:{REGIONAL}:parameter/ml-platform/v1/boundary-arn"),
        ("ssm:GetParameters", f"arn:aws:ssm:{REGIONAL}:parameter/payroll/password"),
        ("cloudformation:DeleteStack", f"arn:aws:cloudformation:{REGIONAL}:stack/StackSet-ml-platform-baseline-1/1"),
        ("ec2:CreateTags", f"arn:aws:ec2:{REGIONAL}:vpc/vpc-1"),
        ("ec2:RunInstances", f"arn:aws:ec2:{REGIONAL}:instance/*"),
        ("organizations:LeaveOrganization", "*"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/Admin"),
    ],
)
def test_a_launch_may_not(launch: list[dict[str, Any]], action: str, resource: str) -> None:
    assert not allows(launch, action, resource)


DEPLOYMENT = f"arn:aws:lambda:{REGIONAL}:function:ml-platform-deployment"


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("sns:CreateTopic", f"arn:aws:sns:{REGIONAL}:mlp-p-abc-notices", {}),
        ("sns:Subscribe", f"arn:aws:sns:{REGIONAL}:mlp-p-abc-notices", {}),
        ("scheduler:CreateScheduleGroup", f"arn:aws:scheduler:{REGIONAL}:schedule-group/mlp-p-abc", {}),
        ("cloudwatch:PutMetricAlarm", f"arn:aws:cloudwatch:{REGIONAL}:alarm:mlp-p-abc-lost", {}),
        ("codepipeline:CreatePipeline", f"arn:aws:codepipeline:{REGIONAL}:mlp-p-abc-deploy", {}),
        ("lambda:InvokeFunction", DEPLOYMENT, {}),
        ("iam:TagRole", PROJECT_ROLE, {"aws:RequestTag/ml-platform-deployment": "p-abc-prod"}),
        ("iam:CreateRole", PROJECT_ROLE, {"iam:PermissionsBoundary": BOUNDARY}),
    ],
)
def test_a_launch_in_the_hub_may(
    hub: list[dict[str, Any]], action: str, resource: str, context: dict[str, str]
) -> None:
    assert allows(hub, action, resource, **context)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("sns:SetTopicAttributes", f"arn:aws:sns:{REGIONAL}:ml-platform-hub-baseline-Alerts"),
        ("scheduler:DeleteScheduleGroup", f"arn:aws:scheduler:{REGIONAL}:schedule-group/payroll"),
        ("cloudwatch:DeleteAlarms", f"arn:aws:cloudwatch:{REGIONAL}:alarm:ml-platform-baseline-dead-letters"),
        ("codepipeline:UpdatePipeline", f"arn:aws:codepipeline:{REGIONAL}:ml-platform-catalog"),
        ("s3:PutBucketPolicy", f"arn:aws:s3:::ml-platform-registry-{ACCOUNT}-eu-west-1"),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{REGIONAL}:function:ml-platform-model-promotion"),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{REGIONAL}:function:ml-platform-enable-projects"),
        ("sagemaker:CreateDomain", f"arn:aws:sagemaker:{REGIONAL}:domain/d-1"),
        ("sagemaker:UpdateModelPackage", f"arn:aws:sagemaker:{REGIONAL}:model-package/churn/1"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform-deploy"),
        ("iam:TagRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform/hub/promotion"),
        ("iam:TagRole", f"arn:aws:iam::{ACCOUNT}:role/Admin"),
        ("iam:TagRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform/persona/ml-engineer/made-up"),
    ],
)
def test_a_launch_in_the_hub_may_not(hub: list[dict[str, Any]], action: str, resource: str) -> None:
    assert not allows(hub, action, resource)


def test_no_launch_in_the_hub_makes_somebody_who_may_approve_models(hub: list[dict[str, Any]]) -> None:
    engineer = f"arn:aws:iam::{ACCOUNT}:role/ml-platform/persona/ml-engineer/made-up"
    assert not allows(hub, "iam:CreateRole", engineer, **{"iam:PermissionsBoundary": BOUNDARY})


def test_a_launch_in_a_workload_account_reaches_no_deployment(launch: list[dict[str, Any]]) -> None:
    assert not allows(launch, "lambda:InvokeFunction", DEPLOYMENT)


# ---- ways to more rights ----


def test_a_role_is_made_with_the_boundary_or_not_at_all(launch: list[dict[str, Any]]) -> None:
    assert allows(launch, "iam:CreateRole", PROJECT_ROLE, **{"iam:PermissionsBoundary": BOUNDARY})
    assert not allows(launch, "iam:CreateRole", PROJECT_ROLE)
    other = f"arn:aws:iam::{ACCOUNT}:policy/something-wider"
    assert not allows(launch, "iam:CreateRole", PROJECT_ROLE, **{"iam:PermissionsBoundary": other})


@pytest.mark.parametrize("action", ["iam:PutRolePolicy", "iam:DeleteRolePolicy"])
def test_policies_go_only_into_roles_that_have_the_boundary(launch: list[dict[str, Any]], action: str) -> None:
    assert allows(launch, action, PROJECT_ROLE, **{"iam:PermissionsBoundary": BOUNDARY})
    assert not allows(launch, action, PROJECT_ROLE)


def test_a_boundary_is_never_taken_off_or_changed(launch: list[dict[str, Any]]) -> None:
    context = {"iam:PermissionsBoundary": BOUNDARY}
    assert not allows(launch, "iam:DeleteRolePermissionsBoundary", PROJECT_ROLE, **context)
    other = {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/something-wider"}
    assert not allows(launch, "iam:PutRolePermissionsBoundary", PROJECT_ROLE, **other)
    for action in (
        "iam:CreatePolicyVersion",
        "iam:SetDefaultPolicyVersion",
        "iam:DeletePolicy",
        "iam:DeletePolicyVersion",
    ):
        assert not allows(launch, action, BOUNDARY, **context)


@pytest.mark.parametrize(
    "role",
    [
        f"arn:aws:iam::{ACCOUNT}:role/Admin",
        f"arn:aws:iam::{ACCOUNT}:role/ml-platform-launch",
        f"arn:aws:iam::{ACCOUNT}:role/ml-platform/baseline/SeedCheckinRole",
    ],
)
@pytest.mark.parametrize(
    "action", ["iam:CreateRole", "iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:DeleteRole", "iam:PassRole"]
)
def test_roles_that_are_no_products_are_out_of_reach(launch: list[dict[str, Any]], role: str, action: str) -> None:
    context = {"iam:PermissionsBoundary": BOUNDARY, "iam:PassedToService": "sagemaker.amazonaws.com"}
    assert not allows(launch, action, role, **context)


def test_no_managed_policy_of_aws_can_be_attached(launch: list[dict[str, Any]]) -> None:
    context = {
        "iam:PermissionsBoundary": BOUNDARY,
        "iam:PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess",
    }
    assert not allows(launch, "iam:AttachRolePolicy", PROJECT_ROLE, **context)


def test_roles_are_passed_to_the_services_of_products_only(launch: list[dict[str, Any]]) -> None:
    assert allows(launch, "iam:PassRole", PROJECT_ROLE, **{"iam:PassedToService": "sagemaker.amazonaws.com"})
    assert not allows(launch, "iam:PassRole", PROJECT_ROLE, **{"iam:PassedToService": "ec2.amazonaws.com"})
    assert not allows(launch, "iam:PassRole", PROJECT_ROLE)


def test_users_groups_and_policies_are_out_of_reach(launch: list[dict[str, Any]]) -> None:
    for action in (
        "iam:CreateUser",
        "iam:PutUserPolicy",
        "iam:PutGroupPolicy",
        "iam:CreateAccessKey",
        "iam:CreatePolicy",
    ):
        assert not allows(launch, action, f"arn:aws:iam::{ACCOUNT}:user/x", **{"iam:PermissionsBoundary": BOUNDARY})


@every_kind
@pytest.mark.parametrize("component", ["baseline", "hub"])
def test_no_key_of_the_platform_can_be_deleted_or_opened(kind: Kind, component: str) -> None:
    key, allowed = f"arn:aws:kms:{REGIONAL}:key/1", kind.statements
    for action in ("kms:ScheduleKeyDeletion", "kms:PutKeyPolicy", "kms:DisableKey", "kms:UntagResource"):
        assert not allows(allowed, action, key, **{"aws:ResourceTag/ml-platform:component": component})
        assert allows(allowed, action, key)


@every_kind
@pytest.mark.parametrize("component", ["baseline", "hub"])
def test_a_key_of_the_platform_decrypts_released_templates_and_nothing_else(kind: Kind, component: str) -> None:
    key, tag = f"arn:aws:kms:{REGIONAL}:key/1", {"aws:ResourceTag/ml-platform:component": component}
    through = f"secretsmanager.{REGIONAL.partition(':')[0]}.amazonaws.com"
    assert not allows(kind.statements, "kms:Decrypt", key, **tag)
    assert not allows(kind.statements, "kms:Decrypt", key, **tag, **{"kms:ViaService": through})


def test_file_systems_are_deleted_only_when_sagemaker_made_them(launch: list[dict[str, Any]]) -> None:
    system = f"arn:aws:elasticfilesystem:{REGIONAL}:file-system/fs-1"
    made_by = {"aws:ResourceTag/ManagedByAmazonSageMakerResource": f"arn:aws:sagemaker:{REGIONAL}:domain/d-1"}
    assert allows(launch, "elasticfilesystem:DeleteFileSystem", system, **made_by)
    assert not allows(launch, "elasticfilesystem:DeleteFileSystem", system)


# ---- the boundary ----


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iam:CreateRole", PROJECT_ROLE),
        ("iam:PutRolePolicy", PROJECT_ROLE),
        ("iam:DeleteRolePermissionsBoundary", PROJECT_ROLE),
        ("iam:CreatePolicyVersion", BOUNDARY),
        ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x"),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform-launch"),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Admin"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform-launch"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform/baseline/SeedCheckinRole"),
        ("sts:AssumeRole", f"arn:aws:iam::{HUB}:role/ml-platform/hub/promotion"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/Admin"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform/deployment/mlp-p-abc-prod-execution"),
        ("codepipeline:PutApprovalResult", f"{PIPELINE}/Approve/GovernanceApproval"),
        ("codepipeline:StartPipelineExecution", f"arn:aws:codepipeline:{REGIONAL}:ml-platform-catalog"),
        ("s3:PutObject", f"arn:aws:s3:::ml-platform-artifacts-{HUB}-eu-west-1/releases/train-s3/1.0.0/template.json"),
        ("s3:DeleteObjectVersion", f"arn:aws:s3:::ml-platform-registry-{HUB}-eu-west-1/packages/model.tar.gz"),
        ("s3:PutObjectLegalHold", f"arn:aws:s3:::ml-platform-audit-{HUB}-eu-west-1/decisions/1.json"),
        ("organizations:LeaveOrganization", "*"),
        ("ssm:PutParameter", f"arn:aws:ssm:{REGIONAL}:parameter/ml-platform/v1/boundary-arn"),
        ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{REGIONAL}:function:ml-platform-seed-checkin"),
        ("lambda:InvokeFunction", f"arn:aws:lambda:{REGIONAL}:function:ml-platform-bucket-emptier"),
        ("codebuild:StartBuild", f"arn:aws:codebuild:{REGIONAL}:project/ml-platform-seed-checkin"),
        ("dynamodb:PutItem", f"arn:aws:dynamodb:{REGIONAL}:table/ledger"),
        ("s3:PutBucketPolicy", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-eu-west-1"),
        ("s3:PutAccountPublicAccessBlock", "*"),
        ("kms:ScheduleKeyDeletion", f"arn:aws:kms:{REGIONAL}:key/1"),
        ("ec2:RunInstances", f"arn:aws:ec2:{REGIONAL}:instance/*"),
        ("servicecatalog:CreatePortfolioShare", "*"),
        ("cloudformation:UpdateStack", f"arn:aws:cloudformation:{REGIONAL}:stack/StackSet-ml-platform-baseline-1/1"),
    ],
)
def test_no_role_of_a_product_can_ever(ceiling: list[dict[str, Any]], action: str, resource: str) -> None:
    assert not allows(ceiling, action, resource)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("sagemaker:CreateTrainingJob", f"arn:aws:sagemaker:{REGIONAL}:training-job/pipelines-1"),
        ("sagemaker:StartPipelineExecution", f"arn:aws:sagemaker:{REGIONAL}:pipeline/churn-p-abc"),
        ("s3:GetObject", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-eu-west-1/model.tar.gz"),
        ("s3:PutObject", f"arn:aws:s3:::mlp-p-abc-{ACCOUNT}-eu-west-1/model.tar.gz"),
        ("iam:PassRole", PROJECT_ROLE),
        ("codebuild:StartBuild", f"arn:aws:codebuild:{REGIONAL}:project/mlp-p-abc-build"),
        ("servicecatalog:ProvisionProduct", "*"),
        ("sts:AssumeRole", f"arn:aws:iam::{OTHER}:role/ml-platform-deploy"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform-deploy"),
        ("sts:TagSession", f"arn:aws:iam::{OTHER}:role/ml-platform-deploy"),
        ("codepipeline:PutApprovalResult", f"{PIPELINE}/Shadow/Period"),
        ("codepipeline:StopPipelineExecution", PIPELINE),
        ("scheduler:CreateSchedule", f"arn:aws:scheduler:{REGIONAL}:schedule/mlp-p-abc/compare"),
        ("scheduler:DeleteSchedule", f"arn:aws:scheduler:{REGIONAL}:schedule/mlp-p-abc/compare"),
        ("sns:Publish", f"arn:aws:sns:{REGIONAL}:mlp-p-abc-notices"),
        ("sagemaker:CreateModelCardExportJob", f"arn:aws:sagemaker:{REGIONAL}:model-card/churn/export-job/1"),
        ("sagemaker:DescribeModelPackage", f"arn:aws:sagemaker:{REGIONAL}:model-package/churn/1"),
        ("s3:GetObject", f"arn:aws:s3:::ml-platform-registry-{HUB}-eu-west-1/packages/model.tar.gz"),
        ("kms:Decrypt", f"arn:aws:kms:{REGIONAL}:key/1"),
        ("codeconnections:UseConnection", f"arn:aws:codeconnections:{REGIONAL}:connection/1"),
    ],
)
def test_the_boundary_leaves_room_for_ml_work(ceiling: list[dict[str, Any]], action: str, resource: str) -> None:
    assert allows(ceiling, action, resource)


@pytest.mark.parametrize("action", ["sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"])
def test_only_people_who_decide_may_approve(ceiling: list[dict[str, Any]], action: str) -> None:
    package = f"arn:aws:sagemaker:{REGIONAL}:model-package/churn-p-abc/1"
    approved = {"sagemaker:ModelApprovalStatus": "Approved"}
    pending = {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}
    assert allows(ceiling, action, package, **{"aws:PrincipalArn": LEAD_ROLE}, **approved)
    for role in (PROJECT_ROLE, SCIENTIST_ROLE):
        assert not allows(ceiling, action, package, **{"aws:PrincipalArn": role}, **approved)
        assert allows(ceiling, action, package, **{"aws:PrincipalArn": role}, **pending)


def test_the_key_of_the_baseline_opens_nothing_for_products(ceiling: list[dict[str, Any]]) -> None:
    tag = {"aws:ResourceTag/ml-platform:component": "baseline"}
    assert not allows(ceiling, "kms:Decrypt", f"arn:aws:kms:{REGIONAL}:key/1", **tag)
