"""The policies with which CloudFormation deploys to the hub, in place of AdministratorAccess."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from foundation.caller_permissions import bare, needed_actions
from foundation.handler_permissions import resource_kinds, resource_types
from pipeline import execution_policy
from pipeline.execution_policy import HUB, HUB_RESOURCES, RESOURCES, ExecutionPolicyError, documents
from tests.hub import ACCOUNT, OU, REGION, hub_assembly, resources, two_region_assembly
from tests.policy import Launch, allows

if TYPE_CHECKING:
    from pathlib import Path

OF_RELEASES: Final = {
    "AWS::ServiceCatalog::CloudFormationProduct",
    "AWS::ServiceCatalog::LaunchRoleConstraint",
    "AWS::ServiceCatalog::PortfolioProductAssociation",
}
"""Types that the hub has as soon as there is a release."""


STACK_SETS: Final = f"arn:aws:cloudformation:{REGION}:109876543210"
"""Beginning of the ARN of a StackSet in the organisation's management account."""


@pytest.fixture(scope="module")
def statements() -> list[dict[str, Any]]:
    return [s for document in documents(ACCOUNT, "aws") for s in document["Statement"]]


def test_the_policies_cover_the_types_of_the_hubs_stacks_and_no_others() -> None:
    folder = two_region_assembly().folder
    # The template of the StackSet is deployed to other accounts, by another role.
    templates = [p for p in folder.rglob("*.template.json") if not p.name.endswith(".product.template.json")]
    assert resource_types(templates) | OF_RELEASES == set(HUB_RESOURCES) - {"Custom::Any"}
    taken = set(needed_actions(json.loads(path.read_text(encoding="utf-8")) for path in templates))
    of_releases = set(needed_actions([bare(OF_RELEASES)]))
    assert taken - set(needed_actions([HUB])) == set()
    assert set(needed_actions([HUB])) - taken - of_releases == set(), "nothing idle"


def test_every_action_that_the_stacks_take_is_granted_and_no_other(statements: list[dict[str, Any]]) -> None:
    granted = {action for s in statements for action in s["Action"]}
    assert granted - set(needed_actions([HUB])) == {"organizations:ListDelegatedAdministrators"}
    assert set(needed_actions([HUB])) - granted == set()
    assert {owner.split(":")[0] for owner in RESOURCES} == {a.split(":")[0] for a in granted if resource_kinds(a)}


def test_an_action_without_a_resource_stops_the_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution_policy, "RESOURCES", {})
    with pytest.raises(ExecutionPolicyError, match=r"is needed for AWS::.* say in RESOURCES"):
        documents(ACCOUNT, "aws")


def test_only_actions_without_a_resource_level_are_granted_on_everything(statements: list[dict[str, Any]]) -> None:
    everywhere = {a for s in statements if s["Resource"] == ["*"] for a in s["Action"]}
    assert {a for a in everywhere if resource_kinds(a)} == {"cloudformation:GetTemplateSummary"}, "by URL, of no stack"


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:CreateBucket", f"arn:aws:s3:::ml-platform-artifacts-{ACCOUNT}-{REGION}", True),
        ("s3:PutBucketPolicy", "arn:aws:s3:::somebody-elses", False),
        # What the hub keeps is no template and no code: models, cards and audit records are out of reach.
        ("s3:GetObject", f"arn:aws:s3:::cdk-hnb659fds-assets-{ACCOUNT}-{REGION}/code.zip", True),
        ("s3:GetObject", f"arn:aws:s3:::ml-platform-artifacts-{ACCOUNT}-{REGION}/releases/t/1.1.0/x.json", True),
        ("s3:GetObject", f"arn:aws:s3:::ml-platform-artifacts-{ACCOUNT}-{REGION}/assets/0123.zip", True),
        ("s3:GetObject", f"arn:aws:s3:::ml-platform-registry-{ACCOUNT}-{REGION}/packages/g/model.tar.gz", False),
        ("s3:GetObject", f"arn:aws:s3:::ml-platform-audit-{ACCOUNT}-{REGION}/promotions/1.json", False),
        ("s3:PutObject", f"arn:aws:s3:::ml-platform-registry-{ACCOUNT}-{REGION}/packages/g/model.tar.gz", False),
        (
            "s3:PutObject",
            f"arn:aws:s3:::ml-platform-artifacts-{ACCOUNT}-{REGION}/releases/t/1.1.0/x.json",
            False,
        ),
        ("s3:DeleteObject", f"arn:aws:s3:::ml-platform-audit-{ACCOUNT}-{REGION}/promotions/1.json", False),
        ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform-launch", True),
        ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/Administrator", False),
        ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/cdk-hnb659fds-cfn-exec-role-{ACCOUNT}-{REGION}", False),
        ("iam:PutUserPolicy", f"arn:aws:iam::{ACCOUNT}:user/somebody", False),
        ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform/hub/ml-platform-registry-PromotionRole", True),
        ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform/baseline/ml-platform-hub-baseline-Role", True),
        ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/ml-platform/project/anything", False),
        ("iam:CreatePolicy", f"arn:aws:iam::{ACCOUNT}:policy/ml-platform-boundary", True),
        ("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/ml-platform/baseline/ml-platform-launch-1", True),
        ("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/ml-platform-hub-execution-1", False),
        ("ssm:PutParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/ml-platform/v1/boundary-arn", True),
        ("ssm:PutParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/payroll", False),
        ("dynamodb:CreateTable", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/ml-platform-hub-baseline-Ledger", True),
        ("dynamodb:DeleteTable", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders", False),
        ("logs:CreateLogGroup", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/ml-platform-preflight", True),
        ("events:DeleteEventBus", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/payments", False),
        ("glue:DeleteTable", f"arn:aws:glue:{REGION}:{ACCOUNT}:table/sales/orders", False),
        ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:other", False),
        ("servicecatalog:CreatePortfolio", f"arn:aws:catalog:{REGION}:{ACCOUNT}:portfolio/new", True),
        # StackSets of a delegated administrator are the management account's; AWS's types have no account.
        ("cloudformation:UpdateStackSet", f"{STACK_SETS}:stackset/ml-platform-baseline:1", True),
        ("cloudformation:CreateStackInstances", f"{STACK_SETS}:stackset-target/{OU}", True),
        ("cloudformation:CreateStackInstances", f"arn:aws:cloudformation:{REGION}::type/resource/AWS-IAM-Role", True),
        ("cloudformation:DeleteStackSet", f"{STACK_SETS}:stackset/landing-zone:1", False),
        ("cloudformation:GetTemplateSummary", "*", True),
        ("codeconnections:PassConnection", f"arn:aws:codeconnections:{REGION}:{ACCOUNT}:connection/1", True),
        ("codestar-connections:PassConnection", f"arn:aws:codestar-connections:{REGION}:{ACCOUNT}:connection/1", True),
        ("ssm:GetParameters", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/cdk-bootstrap/hnb659fds/version", True),
        ("ec2:RunInstances", "*", False),
        ("organizations:RegisterDelegatedAdministrator", "*", False),
    ],
)
def test_cloudformation_may_touch_the_catalogs_resources_and_no_others(
    statements: list[dict[str, Any]], action: str, resource: str, allowed: bool
) -> None:
    assert allows(statements, action, resource) is allowed


def test_cloudformation_may_make_every_build_under_the_name_that_it_gets(statements: list[dict[str, Any]]) -> None:
    template = hub_assembly().templates["MlPlatformPipeline"]
    builds = resources(template, "AWS::CodeBuild::Project")
    assert len(builds) == 5
    for logical_id, build in builds.items():
        name = build.get("Name", f"{logical_id}-AbCdEfGhIjKl")
        assert allows(statements, "codebuild:CreateProject", f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/{name}")


@pytest.mark.parametrize(
    ("type_", "action", "resource"),
    [
        ("AWS::Lambda::Function", "lambda:CreateFunction", "lambda:{place}:function:{FunctionName}"),
        ("AWS::CodeBuild::Project", "codebuild:CreateProject", "codebuild:{place}:project/{Name}"),
        ("AWS::Logs::LogGroup", "logs:CreateLogGroup", "logs:{place}:log-group:{LogGroupName}"),
        ("AWS::SSM::Parameter", "ssm:PutParameter", "ssm:{place}:parameter{Name}"),
        ("AWS::IAM::ManagedPolicy", "iam:CreatePolicy", "iam::{account}:policy{Path}{ManagedPolicyName}"),
        ("AWS::IAM::Role", "iam:CreateRole", "iam::{account}:role{Path}{RoleName}"),
    ],
)
def test_cloudformation_may_make_what_the_hubs_baseline_names(
    statements: list[dict[str, Any]], type_: str, action: str, resource: str
) -> None:
    name = "ml-platform-hub-baseline"
    template = hub_assembly().templates[name]
    hub = Launch(template, {"BootstrapVersion": "30"}, account=ACCOUNT, region=REGION, stack=name)
    made = [
        f"arn:aws:{resource}".format_map(
            {"Path": "/", "RoleName": f"{name}-Generated", "place": f"{REGION}:{ACCOUNT}", "account": ACCOUNT} | found
        )
        for found in hub.resources(type_).values()
    ]
    assert made
    assert [arn for arn in made if not allows(statements, action, arn)] == []


def test_every_policy_fits_a_managed_policy_and_there_are_few(statements: list[dict[str, Any]]) -> None:
    found = documents(ACCOUNT, "aws")
    assert len(found) <= 10, "IAM attaches ten managed policies to a role"
    assert all(len(json.dumps(document, separators=(",", ":"))) <= 6144 for document in found)
    assert not any(action.endswith("*") for s in statements for action in s["Action"])


def test_the_command_writes_the_policies_and_prints_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execution_policy.main([str(tmp_path)])
    *creations, bootstrap = capsys.readouterr().out.splitlines()
    written = sorted(tmp_path.iterdir())
    assert [f"file://{path}" in line for path, line in zip(written, creations, strict=True)] == [True] * len(written)
    assert all(f"policy/{path.stem}" in bootstrap for path in written)
    assert bootstrap.startswith("npx cdk bootstrap aws://111122223333/eu-west-1 --cloudformation-execution-policies")


def test_the_command_explains_itself_without_a_folder() -> None:
    with pytest.raises(SystemExit, match="Usage"):
        execution_policy.main([])
