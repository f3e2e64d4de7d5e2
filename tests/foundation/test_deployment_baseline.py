"""The deployment baseline as it lands in an account: who gets in, and that stages of projects are kept apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from aws_cdk import App
from cdk_nag import AwsSolutionsChecks
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from cfnlint.decode import cfn_yaml

from foundation.caller_permissions import bare, needed_actions
from foundation.deploy_role import BASE_TYPES
from foundation.deployment_baseline import DeploymentBaselineStack
from foundation.deployment_boundary import STAGE_TYPES
from foundation.handler_permissions import resource_kinds
from foundation.settings import SAMPLE, HubSettings
from lambdas.bundling import asset_key
from products.shared import names
from tests.policy import Launch, allows, assumes, existing, principal, requested

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
LAYERS: Final = ROOT / "seed-code" / "layers"
HUB: Final = str(SAMPLE["account_id"])
ACCOUNT: Final = "444455556666"
HOME, AWAY = "eu-west-1", "eu-central-1"
BOUNDARY: Final = f"arn:aws:iam::{ACCOUNT}:policy/ml-platform-deployment-boundary"

Context = dict[str, str | list[str]]
Request = tuple[str, str, Context]


class Baseline:
    """The hub's stack with the StackSet, synthesised once."""

    def __init__(self, outdir: Path) -> None:
        context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
        app = App(context=context, outdir=str(outdir), tree_metadata=False, analytics_reporting=False)
        self.settings = HubSettings.parse({**SAMPLE, "regions": [HOME, AWAY]})
        stack = DeploymentBaselineStack(app, "DeploymentBaseline", settings=self.settings, region=HOME)
        self.findings = [violation.rule_name for violation in AwsSolutionsChecks().validate_scope(stack).violations]
        app.synth()
        (self.file,) = outdir.glob("*.product.template.json")
        self.template: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        hub_file = outdir / "DeploymentBaseline.template.json"
        self.hub_template: dict[str, Any] = json.loads(hub_file.read_text(encoding="utf-8"))

    def landed(self, region: str = HOME, partition: str = "aws") -> Launch:
        return Launch(self.template, {}, account=ACCOUNT, region=region, partition=partition)

    @cached_property
    def deploy(self) -> list[Any]:
        """Statements of the deploy role."""
        landed = self.landed()
        (role,) = (i for i, p in landed.resources("AWS::IAM::Role").items() if p.get("RoleName") == names.DEPLOY_ROLE)
        return list(landed.roles()[role])

    @cached_property
    def trust(self) -> dict[str, Any]:
        """Trust policy of the deploy role."""
        roles = self.landed().resources("AWS::IAM::Role").values()
        (role,) = (p for p in roles if p.get("RoleName") == names.DEPLOY_ROLE)
        return dict(role["AssumeRolePolicyDocument"])

    @cached_property
    def ceiling(self) -> list[Any]:
        """Statements of the boundary: what a role with the broadest policy there is may do."""
        return list(boundary(self.landed())["Statement"])


def boundary(landed: Launch) -> dict[str, Any]:
    policies = landed.resources("AWS::IAM::ManagedPolicy").values()
    (policy,) = (p for p in policies if p["ManagedPolicyName"] == names.DEPLOYMENT_BOUNDARY_POLICY)
    return dict(policy["PolicyDocument"])


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    return Baseline(tmp_path_factory.mktemp("baseline"))


@dataclass(frozen=True)
class Stage:
    """A stage of a project in the account, with what it has there."""

    project_id: str
    stage: str
    project_name: str = "churn"

    @property
    def tag(self) -> str:
        return f"{self.project_id}-{self.stage}"

    @property
    def tags(self) -> dict[str, str]:
        return {names.DEPLOYMENT_TAG: self.tag}

    @property
    def as_caller(self) -> Context:
        """A role of this stage, whose session has its role's tag."""
        return principal(self.tags) | {"aws:PrincipalArn": self.role("x")}

    @property
    def mark(self) -> Context:
        """What a resource of this stage looks like to policies."""
        return existing(self.tags)

    @property
    def bucket(self) -> str:
        return f"arn:aws:s3:::mlp-{self.tag}-{ACCOUNT}-{HOME}"

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{HOME}:{ACCOUNT}:{resource}"

    def role(self, purpose: str) -> str:
        return f"arn:aws:iam::{ACCOUNT}:role/ml-platform/deployment/mlp-{self.tag}-{purpose}"


ME: Final = Stage("p-abc", "prod")
OTHERS: Final = {
    "another project": Stage("p-xyz", "prod"),
    "the other stage of the same project": Stage("p-abc", "test"),
    "an id that begins alike": Stage("p-abcd", "prod"),
    "an id that is a beginning": Stage("p-ab", "prod"),
    "a name that ends like me": Stage("p-xyz", "test", "x-p-abc-prod"),
    "a name that begins like mine": Stage("p-xyz", "test", "mlp-p-abc-prod-x"),
    "a name that is my tag": Stage("p-xyz", "prod", "p-abc-prod"),
}
other = pytest.mark.parametrize("them", OTHERS.values(), ids=list(OTHERS))


# ---- the StackSet ----


def test_alarms_of_models_and_of_the_baseline_are_told_to_the_hub(baseline: Baseline) -> None:
    (rule,) = baseline.landed().resources("AWS::Events::Rule").values()
    assert rule["EventPattern"]["source"] == ["aws.cloudwatch"]
    assert rule["EventPattern"]["detail"]["alarmName"] == [{"prefix": "ml-platform-"}, {"prefix": "mlp-"}]
    (target,) = rule["Targets"]
    assert target["Arn"] == f"arn:aws:events:{HOME}:{HUB}:event-bus/ml-platform"


def test_every_account_of_the_deployment_ou_gets_the_baseline_also_later(baseline: Baseline) -> None:
    (stack_set,) = baseline.hub_template["Resources"].values()
    properties = stack_set["Properties"]
    assert stack_set["Type"] == "AWS::CloudFormation::StackSet"
    assert properties["StackSetName"] == names.DEPLOYMENT_STACK_SET
    assert (properties["PermissionModel"], properties["CallAs"]) == ("SERVICE_MANAGED", "DELEGATED_ADMIN")
    assert properties["AutoDeployment"] == {"Enabled": True, "RetainStacksOnAccountRemoval": True}
    assert properties["OperationPreferences"]["FailureToleranceCount"] >= 1, "a percentage of few accounts is none"
    (group,) = properties["StackInstancesGroup"]
    assert group["DeploymentTargets"] == {"OrganizationalUnitIds": [baseline.settings.deployment_ou_id]}
    assert group["Regions"] == [HOME]
    assert properties["Capabilities"] == ["CAPABILITY_NAMED_IAM"]


@pytest.mark.slow
def test_there_is_no_unacknowledged_finding_and_no_lint(baseline: Baseline) -> None:
    assert baseline.findings == []
    matches = lint(baseline.file.read_text(encoding="utf-8"), config=ManualArgs(regions=[HOME]))
    assert [str(match) for match in matches] == []


def test_the_role_and_the_boundary_are_made_once_and_the_function_in_every_region(baseline: Baseline) -> None:
    policies = [f"{names.DEPLOY_ROLE}-1", f"{names.DEPLOY_ROLE}-2", names.DEPLOYMENT_BOUNDARY_POLICY]
    for region, expected in ((HOME, policies), (AWAY, [])):
        landed = baseline.landed(region)
        made = landed.resources("AWS::IAM::ManagedPolicy").values()
        assert sorted(p["ManagedPolicyName"] for p in made) == sorted(expected)
        named = [p["RoleName"] for p in landed.resources("AWS::IAM::Role").values() if "RoleName" in p]
        assert named == ([names.DEPLOY_ROLE] if expected else [])
        (function,) = landed.resources("AWS::Lambda::Function").values()
        assert function["FunctionName"] == names.BUCKET_EMPTIER_FUNCTION
        assert function["Code"]["S3Bucket"] == f"ml-platform-artifacts-{HUB}-{region}"
        assert function["Code"]["S3Key"] == asset_key("bucket_emptier")
        alarms = {alarm["AlarmName"] for alarm in landed.resources("AWS::CloudWatch::Alarm").values()}
        assert "ml-platform-baseline-dead-letters" in alarms


def test_apis_can_write_logs_in_every_region(baseline: Baseline) -> None:
    for region in (HOME, AWAY):
        landed = baseline.landed(region)
        (setting,) = landed.resources("AWS::ApiGateway::Account").values()
        (role,) = (
            p
            for i, p in landed.resources("AWS::IAM::Role").items()
            if landed.attribute(i, "Arn") == setting["CloudWatchRoleArn"]
        )
        assert role["ManagedPolicyArns"] == [
            "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
        ]


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_policies_fit_into_the_limit_of_a_managed_policy(baseline: Baseline, partition: str) -> None:
    for policy in baseline.landed(partition=partition).resources("AWS::IAM::ManagedPolicy").values():
        assert len(json.dumps(policy["PolicyDocument"], separators=(",", ":"))) <= 6144, policy["ManagedPolicyName"]


# ---- who gets in ----


def build_role(stage: str = "prod", account: str = HUB, path: str = "ml-platform/project") -> str:
    return f"arn:aws:iam::{account}:role/{path}/mlp-p-abc-{stage}"


def test_a_build_of_the_hub_gets_in_for_the_stage_of_its_own_tag(baseline: Baseline) -> None:
    assert assumes(baseline.trust, caller=build_role(), caller_tags=ME.tags, session_tags=ME.tags)


@other
def test_a_build_does_not_get_in_for_another_stage(baseline: Baseline, them: Stage) -> None:
    if them.tag != ME.tag:
        assert not assumes(baseline.trust, caller=build_role(), caller_tags=ME.tags, session_tags=them.tags)
        assert not assumes(baseline.trust, caller=build_role(), caller_tags=them.tags, session_tags=ME.tags)


def test_nobody_else_gets_in(baseline: Baseline) -> None:
    tags = ME.tags
    refused: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
        "without a tag of its own": (build_role(), {}, tags),
        "without a tag for the session": (build_role(), tags, {}),
        "with a further tag": (build_role(), tags, tags | {"aws:userid": "x"}),
        "another account": (build_role(account=ACCOUNT), tags, tags),
        "a person of the hub": (build_role(path="ml-platform/persona/ml-engineer"), tags, tags),
        "a role without path": (f"arn:aws:iam::{HUB}:role/mlp-p-abc-prod", tags, tags),
        "a value that is not a stage": (build_role(), {names.DEPLOYMENT_TAG: "*"}, {names.DEPLOYMENT_TAG: "*"}),
        "another role of the hub's baseline": (build_role(path="ml-platform/baseline"), tags, tags),
    }
    entered = [
        who
        for who, (caller, own, session) in refused.items()
        if assumes(baseline.trust, caller=caller, caller_tags=own, session_tags=session)
    ]
    assert entered == []


@pytest.mark.parametrize("name", [f"ml-platform-deployment-{purpose}-{HOME}" for purpose in ("check", "teardown")])
def test_the_teardown_of_the_hub_gets_in_for_any_stage_but_not_without_one(baseline: Baseline, name: str) -> None:
    caller = f"arn:aws:iam::{HUB}:role/ml-platform/baseline/{name}"
    for stage in (ME, *OTHERS.values()):
        assert assumes(baseline.trust, caller=caller, caller_tags={}, session_tags=stage.tags)
    assert not assumes(baseline.trust, caller=caller, caller_tags={}, session_tags={})
    assert not assumes(baseline.trust, caller=caller, caller_tags={}, session_tags={names.DEPLOYMENT_TAG: "lake"})
    foreign = caller.replace(HUB, ACCOUNT)
    assert not assumes(baseline.trust, caller=foreign, caller_tags={}, session_tags=ME.tags)


# ---- what a session may do ----


def session_work(stage: Stage) -> list[Request]:
    """What deploying a stage takes besides the handlers of the first stack: action, resource, context."""
    key, tagged = stage.arn("kms", "key/1"), stage.mark
    bounded: Context = {"iam:PermissionsBoundary": BOUNDARY}
    pipeline = stage.arn("sagemaker", f"pipeline/mlp-{stage.tag}-monitor")
    endpoint = f"{stage.project_name}-{stage.tag}"
    stacks = [stage.arn("cloudformation", f"stack/{name}/1") for name in (f"mlp-{stage.tag}", f"mlp-{stage.tag}-base")]
    return [
        *(
            (f"cloudformation:{action}", stack, {})
            for stack in stacks
            for action in (
                "CancelUpdateStack",
                "CreateChangeSet",
                "DeleteChangeSet",
                "DeleteStack",
                "DescribeChangeSet",
                "DescribeEvents",
                "DescribeStackEvents",
                "DescribeStackResources",
                "DescribeStacks",
                "ExecuteChangeSet",
                "ListStackResources",
            )
        ),
        (
            "cloudformation:DescribeEvents",
            stage.arn("cloudformation", f"changeSet/mlp-{stage.tag}-{'0' * 36}/1"),
            {},
        ),
        ("iam:CreateRole", stage.role("endpoint"), bounded | requested(stage.tags)),
        ("iam:PutRolePolicy", stage.role("endpoint"), bounded),
        ("iam:DeleteRole", stage.role("endpoint"), {}),
        ("iam:PassRole", stage.role("execution"), {"iam:PassedToService": "cloudformation.amazonaws.com"}),
        ("kms:PutKeyPolicy", key, tagged),
        ("kms:ScheduleKeyDeletion", key, tagged),
        ("kms:Decrypt", key, tagged),
        ("kms:GenerateDataKey", key, tagged),
        ("kms:CreateAlias", stage.arn("kms", f"alias/mlp-{stage.tag}-data"), {}),
        ("s3:CreateBucket", stage.bucket, {}),
        ("s3:PutBucketPolicy", stage.bucket, {}),
        ("s3:DeleteBucket", stage.bucket, {}),
        ("s3:ListBucket", stage.bucket, {}),
        ("s3:PutObject", f"{stage.bucket}/packages/1/model.tar.gz", {}),
        ("s3:GetObject", f"{stage.bucket}/capture/x", {}),
        ("sagemaker:InvokeEndpoint", stage.arn("sagemaker", f"endpoint/{endpoint}"), {}),
        ("sagemaker:DescribeEndpoint", stage.arn("sagemaker", f"endpoint/{endpoint}"), {}),
        ("sagemaker:DescribeEndpointConfig", stage.arn("sagemaker", f"endpoint-config/mlp-{stage.tag}-0a1b"), {}),
        ("sagemaker:DescribeModel", stage.arn("sagemaker", f"model/mlp-{stage.tag}-0a1b"), {}),
        ("sagemaker:StartPipelineExecution", pipeline, {}),
        ("sagemaker:ListPipelineExecutions", pipeline, {}),
        ("sagemaker:DescribePipelineExecution", f"{pipeline}/execution/1", {}),
        ("sagemaker:ListPipelineExecutionSteps", f"{pipeline}/execution/1", {}),
        ("sagemaker:StopPipelineExecution", f"{pipeline}/execution/1", {}),
        ("sagemaker:DescribeProcessingJob", stage.arn("sagemaker", "processing-job/pipelines-1"), tagged),
        ("cloudwatch:DescribeAlarms", stage.arn("cloudwatch", f"alarm:mlp-{stage.tag}-5xx"), {}),
        ("logs:FilterLogEvents", stage.arn("logs", f"log-group:/aws/sagemaker/Endpoints/{endpoint}:*"), {}),
    ]


def test_a_session_may_do_what_deploying_its_stage_takes(baseline: Baseline) -> None:
    for stage in (ME, *OTHERS.values()):
        missing = [
            (action, resource)
            for action, resource, context in session_work(stage)
            if not allows(baseline.deploy, action, resource, **stage.as_caller, **context)
        ]
        assert missing == []
    shared: list[Request] = [
        ("lambda:InvokeFunction", ME.arn("lambda", f"function:{names.BUCKET_EMPTIER_FUNCTION}"), {}),
        ("lambda:GetFunctionConfiguration", ME.arn("lambda", f"function:{names.BUCKET_EMPTIER_FUNCTION}"), {}),
        ("cloudwatch:GetMetricData", "*", {}),
        (
            "kms:Decrypt",
            f"arn:aws:kms:{AWAY}:{HUB}:key/1",
            {"kms:ViaService": f"s3.{AWAY}.amazonaws.com"},
        ),
        ("kms:CreateKey", "*", requested(ME.tags)),
        ("kms:TagResource", ME.arn("kms", "key/1"), requested(ME.tags) | {"aws:CalledVia": CLOUDFORMATION}),
    ]
    assert [r for r in shared if not allows(baseline.deploy, r[0], r[1], **ME.as_caller, **r[2])] == []


CLOUDFORMATION: Final = ["cloudformation.amazonaws.com"]
GROUP: Final = "churn-p-a-222222222222"


@other
def test_a_session_cannot_touch_what_another_stage_has(baseline: Baseline, them: Stage) -> None:
    touched = [
        (action, resource)
        for action, resource, context in session_work(them)
        for request in (context, context | requested(ME.tags))
        if allows(baseline.deploy, action, resource, **ME.as_caller, **request)
    ]
    assert touched == []


@other
def test_a_session_cannot_make_what_another_stage_has_its_own_by_tagging_it(baseline: Baseline, them: Stage) -> None:
    mine = requested(ME.tags) | {"aws:CalledVia": CLOUDFORMATION, "iam:PermissionsBoundary": BOUNDARY}
    for action, resource in (("kms:TagResource", them.arn("kms", "key/1")), ("iam:TagRole", them.role("endpoint"))):
        assert not allows(baseline.deploy, action, resource, **ME.as_caller, **mine, **them.mark)
    of_baseline = existing({"ml-platform:component": "baseline"})
    assert not allows(baseline.deploy, "kms:TagResource", ME.arn("kms", "key/2"), **ME.as_caller, **mine, **of_baseline)
    by_hand = {key: value for key, value in mine.items() if key != "aws:CalledVia"}
    assert not allows(baseline.deploy, "kms:TagResource", ME.arn("kms", "key/3"), **ME.as_caller, **by_hand)


def test_a_session_makes_no_role_without_boundary_tag_name_and_path(baseline: Baseline) -> None:
    right: Context = {"iam:PermissionsBoundary": BOUNDARY, **requested(ME.tags)}
    assert allows(baseline.deploy, "iam:CreateRole", ME.role("x"), **ME.as_caller, **right)
    theirs = requested(OTHERS["another project"].tags)
    wrong: list[tuple[str, Context]] = [
        (ME.role("x"), requested(ME.tags)),
        (ME.role("x"), right | {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/other"}),
        (ME.role("x"), {"iam:PermissionsBoundary": BOUNDARY}),
        (ME.role("x"), right | theirs),
        (f"arn:aws:iam::{ACCOUNT}:role/mlp-{ME.tag}-x", right),
        (f"arn:aws:iam::{ACCOUNT}:role/ml-platform/deployment/x", right),
    ]
    for role, context in wrong:
        assert not allows(baseline.deploy, "iam:CreateRole", role, **ME.as_caller, **context), (role, context)
    for action in ("iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:CreatePolicyVersion"):
        assert not allows(baseline.deploy, action, ME.role("x"), **ME.as_caller, **right)
    for action in ("iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"):
        assert not allows(baseline.deploy, action, ME.role("x"), **ME.as_caller)
    away: Context = {"aws:TagKeys": [names.DEPLOYMENT_TAG]}
    assert not allows(baseline.deploy, "iam:UntagRole", ME.role("x"), **ME.as_caller, **away)


def test_a_session_passes_the_execution_role_to_cloudformation_only(baseline: Baseline) -> None:
    def passes(purpose: str, service: str) -> bool:
        context: Context = {"iam:PassedToService": f"{service}.amazonaws.com"}
        return allows(baseline.deploy, "iam:PassRole", ME.role(purpose), **ME.as_caller, **context)

    assert passes("execution", "cloudformation")
    assert passes("replication", "s3"), "captured data may be replicated"
    assert not passes("endpoint", "cloudformation")
    assert not passes("execution", "lambda")


def models(group: str, region: str = AWAY) -> list[Request]:
    """What copying a model of a group of the registry takes."""
    bucket = f"arn:aws:s3:::{names.registry_bucket(HUB, region)}"
    return [
        ("s3:GetObject", f"{bucket}/packages/{group}/1/model.tar.gz", {}),
        ("s3:GetObjectVersion", f"{bucket}/packages/{group}/1/model.tar.gz", {}),
        ("s3:ListBucket", bucket, {"s3:prefix": f"packages/{group}/1/samples/"}),
    ]


def of_group(group: str) -> Context:
    return principal(ME.tags | {names.GROUP_TAG: group})


def test_a_session_reads_the_models_of_its_group_in_every_region_and_no_others(baseline: Baseline) -> None:
    for region in (HOME, AWAY):
        assert all(allows(baseline.deploy, a, r, **of_group(GROUP), **c) for a, r, c in models(GROUP, region))
    inside = f"x/packages/{GROUP}"  # a key that holds the own prefix further inside
    for group in ("churn-p-b-222222222222", f"{GROUP}-2", f"{GROUP}3", inside, "", f"x-{GROUP}"):
        assert [r for a, r, c in models(group) if allows(baseline.deploy, a, r, **of_group(GROUP), **c)] == []
    for prefix in ("", "packages/", f"packages/{GROUP}", "promotions/"):
        bucket = f"arn:aws:s3:::{names.registry_bucket(HUB, HOME)}"
        assert not allows(baseline.deploy, "s3:ListBucket", bucket, **of_group(GROUP), **{"s3:prefix": prefix})
    elsewhere = models(GROUP, "us-east-1")
    assert [r for a, r, c in elsewhere if allows(baseline.deploy, a, r, **of_group(GROUP), **c)] == []


def test_a_build_gets_in_for_the_group_of_its_role_only(baseline: Baseline) -> None:
    """A role without a group is one from before there was the tag: it gets in without, and reads as it did."""

    def enters(own: str | None, claimed: str | None) -> bool:
        tags = [ME.tags | ({names.GROUP_TAG: group} if group is not None else {}) for group in (own, claimed)]
        return assumes(baseline.trust, caller=build_role(), caller_tags=tags[0], session_tags=tags[1])

    assert enters(GROUP, GROUP)
    assert enters(None, None)
    others: list[tuple[str | None, str | None]] = [
        (GROUP, None),
        (GROUP, "other"),
        (None, GROUP),
        (None, ""),
        (GROUP, "*"),
    ]
    assert [pair for pair in others if enters(*pair)] == []
    check = f"arn:aws:iam::{HUB}:role/ml-platform/baseline/ml-platform-deployment-check-{HOME}"
    tags = ME.tags | {names.GROUP_TAG: GROUP}
    assert not assumes(baseline.trust, caller=check, caller_tags={}, session_tags=tags), "it needs no models"


def test_the_trust_policy_fits_into_its_limit(baseline: Baseline) -> None:
    assert len(json.dumps(baseline.trust, separators=(",", ":"))) <= 2048, "quota of IAM, adjustable to 8,192"


def test_a_session_puts_nothing_under_its_stack_that_others_made(baseline: Baseline) -> None:
    stack = ME.arn("cloudformation", f"stack/mlp-{ME.tag}/1")
    imports: Context = {"cloudformation:ImportResourceTypes": ["AWS::KMS::Key"]}
    assert not allows(baseline.deploy, "cloudformation:CreateChangeSet", stack, **ME.as_caller, **imports)


def test_a_session_without_a_tag_may_do_nothing_of_a_stage(baseline: Baseline) -> None:
    done = [a for a, r, c in session_work(ME) if allows(baseline.deploy, a, r, **c)]
    assert done == []


# ---- what the roles of a stage may do, whatever their policies say ----


def kinds(stage: Stage) -> dict[str, list[Request]]:
    """What a stage has of each kind of resource: a name that says so, or a generated one and the tag."""
    tagged = stage.mark
    endpoint = f"{stage.project_name}-{stage.tag}"
    api = f"arn:aws:apigateway:{HOME}::"
    named = {
        "sagemaker:model": stage.arn("sagemaker", f"model/mlp-{stage.tag}-0a1b"),
        "sagemaker:endpoint-config": stage.arn("sagemaker", f"endpoint-config/mlp-{stage.tag}-0a1b"),
        "sagemaker:endpoint": stage.arn("sagemaker", f"endpoint/{endpoint}"),
        "sagemaker:pipeline": stage.arn("sagemaker", f"pipeline/mlp-{stage.tag}-monitor"),
        "cloudwatch:alarm": stage.arn("cloudwatch", f"alarm:mlp-{stage.tag}-5xx"),
        "events:rule-on-default-event-bus": stage.arn("events", f"rule/mlp-{stage.tag}-monitor"),
        "sqs:queue": stage.arn("sqs", f"mlp-{stage.tag}-monitor-failures"),
        "logs:log-group": stage.arn("logs", f"log-group:/aws/apigateway/mlp-{stage.tag}-api"),
        "s3:object": f"{stage.bucket}/code/1",
        "iam:role": stage.role("endpoint"),
    }
    generated = {
        "application-autoscaling:scalabletarget": stage.arn("application-autoscaling", "scalable-target/1"),
        "kms:key": stage.arn("kms", "key/1"),
        "apigateway:restapi": f"{api}/restapis/a1b2c3/anything",
    }
    nothing: Context = {}
    return {kind: [("", arn, nothing)] for kind, arn in named.items()} | {
        kind: [("", arn, tagged)] for kind, arn in generated.items()
    }


PASSED: Final[Context] = {
    "iam:PassedToService": "sagemaker.amazonaws.com",
    "iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com",
}


def handler_requests(stage: Stage) -> Iterator[tuple[str, list[Request]]]:
    """For each action that CloudFormation's handlers call, what it is asked for."""
    have = kinds(stage)
    for action in needed_actions([bare(STAGE_TYPES)]):
        service = action.partition(":")[0]
        if service == "apigateway":
            found = have["apigateway:restapi"]
        elif action == "iam:CreateServiceLinkedRole":
            role = "aws-service-role/sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForX"
            found = [("", f"arn:aws:iam::{ACCOUNT}:role/{role}", {})]
        else:
            possible = resource_kinds(action)
            assert possible is not None, f"IAM knows no action {action}: see SPELT of caller_exceptions.py"
            found = [r for kind in sorted(possible) for r in have.get(f"{service}:{kind}", [])]
            found = found or [("", "*", {})]
        yield action, [(action, arn, context) for _, arn, context in found]


@pytest.mark.parametrize("stage", [ME, *OTHERS.values()], ids=["me", *OTHERS])
def test_the_boundary_lets_through_what_cloudformation_does_for_the_types_of_a_stage(
    baseline: Baseline, stage: Stage
) -> None:
    missing = [
        f"{action} (needed for {needed_actions([bare(STAGE_TYPES)])[action]})"
        for action, requests in handler_requests(stage)
        if not any(
            allows(baseline.ceiling, action, arn, **stage.as_caller, **requested(stage.tags), **context, **PASSED)
            for _, arn, context in requests
        )
    ]
    assert missing == [], "extend _BY_NAME or the statements of foundation/deployment_boundary.py, or say in NOT_NEEDED"


@other
def test_the_broadest_role_of_a_stage_cannot_touch_what_another_stage_has(baseline: Baseline, them: Stage) -> None:
    touched = [
        (action, arn)
        for action, requests in handler_requests(them)
        for _, arn, context in requests
        if arn != "*" and action != "iam:CreateServiceLinkedRole"
        for tags in (ME.tags, them.tags)
        if allows(baseline.ceiling, action, arn, **ME.as_caller, **requested(tags), **context, **PASSED)
    ]
    assert touched == []


def role_work(stage: Stage) -> list[Request]:
    """What the roles of a stage do while it lives."""
    tagged, asked = stage.mark, requested(stage.tags)
    endpoint = f"{stage.project_name}-{stage.tag}"
    job = stage.arn("sagemaker", "processing-job/pipelines-1-monitor-a")
    api = f"arn:aws:apigateway:{HOME}::"
    return [
        ("sagemaker:InvokeEndpoint", stage.arn("sagemaker", f"endpoint/{endpoint}"), {}),
        ("sagemaker:StartPipelineExecution", stage.arn("sagemaker", f"pipeline/mlp-{stage.tag}-monitor"), {}),
        ("sagemaker:CreateProcessingJob", job, asked),
        ("sagemaker:AddTags", job, asked),
        ("sagemaker:DescribeProcessingJob", job, tagged),
        ("sagemaker:StopProcessingJob", job, tagged),
        ("sagemaker:CreateTransformJob", stage.arn("sagemaker", "transform-job/pipelines-1-score-a"), asked),
        ("sagemaker:StopTransformJob", stage.arn("sagemaker", "transform-job/pipelines-1-score-a"), tagged),
        ("apigateway:POST", f"{api}/restapis", asked),
        ("apigateway:PUT", f"{api}/tags/arn%3Aaws%3Aapigateway%3A{HOME}%3A%3A%2Frestapis%2Fa1", asked),
        (
            "cloudwatch:PutMetricAlarm",
            stage.arn("cloudwatch", f"alarm:TargetTracking-endpoint/{endpoint}/variant/main-AlarmHigh-1"),
            {},
        ),
        ("s3:GetObject", f"{stage.bucket}/packages/1/model.tar.gz", {}),
        ("s3:PutObject", f"{stage.bucket}/capture/x", {}),
        ("s3:ListBucket", stage.bucket, {}),
        ("kms:Decrypt", stage.arn("kms", "key/1"), tagged),
        ("kms:CreateGrant", stage.arn("kms", "key/1"), tagged),
        ("iam:PassRole", stage.role("monitor"), PASSED),
        ("sqs:SendMessage", stage.arn("sqs", f"mlp-{stage.tag}-failures"), {}),
    ]


ORGANIZATION: Final[Context] = {
    "aws:PrincipalOrgID": "o-a",
    "aws:ResourceOrgID": "o-a",
    "aws:PrincipalAccount": ACCOUNT,
    "aws:ResourceAccount": "777788889999",
}
"""A bucket of another account of the organisation."""

HERE: Final[Context] = ORGANIZATION | {"aws:ResourceAccount": ACCOUNT}
"""A bucket of the account itself."""


def test_the_boundary_lets_through_what_the_roles_of_a_stage_do(baseline: Baseline) -> None:
    for stage in (ME, *OTHERS.values()):
        missing = [
            (action, arn)
            for action, arn, context in role_work(stage)
            if not allows(baseline.ceiling, action, arn, **stage.as_caller, **context)
        ]
        assert missing == []
    metrics: Context = {"cloudwatch:namespace": "ml-platform/Models"}
    through_s3: Context = {"kms:ViaService": f"s3.{HOME}.amazonaws.com"}
    around: list[Request] = [
        ("cloudwatch:PutMetricData", "*", metrics),
        ("events:PutEvents", f"arn:aws:events:{HOME}:{HUB}:event-bus/ml-platform", {}),
        ("ecr:GetAuthorizationToken", "*", {}),
        ("ecr:BatchGetImage", f"arn:aws:ecr:{HOME}:{HUB}:repository/ml-platform-models", {}),
        ("ec2:CreateNetworkInterface", ME.arn("ec2", "subnet/subnet-1"), {}),
        ("ec2:DescribeSubnets", "*", {}),
        ("logs:PutLogEvents", ME.arn("logs", "log-group:/aws/sagemaker/ProcessingJobs:log-stream:x"), {}),
        ("logs:CreateLogStream", ME.arn("logs", "log-group:/aws/sagemaker/TransformJobs:log-stream:x"), {}),
        ("logs:PutLogEvents", ME.arn("logs", f"log-group:{ENDPOINTS}/churn-{ME.tag}:log-stream:main/i-1"), {}),
        ("s3:GetObject", "arn:aws:s3:::lake/churn/new.csv", ORGANIZATION),
        ("s3:ReplicateObject", "arn:aws:s3:::lake/capture/x", ORGANIZATION),
        *(
            ("s3:GetObject", "arn:aws:s3:::records/x", HERE | existing({names.SHARED_WITH_TAG: value}))
            for value in (ME.tag, f"p-other-test {ME.tag}", f"{ME.tag} p-other-test")
        ),
        ("kms:Decrypt", ME.arn("kms", "key/of-the-lake"), through_s3),
    ]
    assert [(a, r) for a, r, c in around if not allows(baseline.ceiling, a, r, **ME.as_caller, **c)] == []


ENDPOINTS: Final = "/aws/sagemaker/Endpoints"
STREAMS: Final = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
"""Requests for these name a stream behind the group, be its name empty."""


def pretended(them: Stage, *, pieces: int) -> set[str]:
    """Tags that a session may claim to look like another stage: joins of the pieces of which real values consist."""
    known = {"p", *ME.tag.split("-"), *them.tag.split("-")}
    joined = {"-".join(chosen) for count in range(1, pieces + 1) for chosen in product(known, repeat=count)}
    return {them.tag, f"{ME.tag}-{them.tag}", "*", ""} | joined | {f"{ME.tag}-{value}" for value in joined} - {ME.tag}


def reached(statements: list[Any], them: Stage, *, pieces: int = 1) -> set[str]:
    """Tags with which sessions of roles that my stage makes would get at what another stage has."""
    endpoint = f"{them.project_name}-{them.tag}"
    targets: list[Request] = [
        ("sagemaker:InvokeEndpoint", them.arn("sagemaker", f"endpoint/{endpoint}"), {}),
        ("sagemaker:DeleteModel", them.arn("sagemaker", f"model/mlp-{them.tag}-0a1b"), {}),
        ("s3:GetObject", f"{them.bucket}/capture/x", {}),
        ("kms:Decrypt", them.arn("kms", "key/1"), them.mark),
        ("iam:PassRole", them.role("execution"), PASSED),
        ("logs:PutLogEvents", them.arn("logs", f"log-group:{ENDPOINTS}/{endpoint}:log-stream:x"), {}),
        ("s3:GetObject", "arn:aws:s3:::records/x", HERE | existing({names.SHARED_WITH_TAG: them.tag})),
    ]
    found = set()
    for tag in pretended(them, pieces=pieces):
        # The deploy session makes roles below the names of its stage only; what follows is chosen to fit the tag.
        rest = tag.removeprefix(f"{ME.tag}-") if tag.startswith(f"{ME.tag}-") else "x"
        for name in {"x", f"{rest}-x"}:
            caller = principal({names.DEPLOYMENT_TAG: tag}) | {"aws:PrincipalArn": ME.role(name)}
            if any(allows(statements, action, arn, **caller, **context) for action, arn, context in targets):
                found.add(tag)
    return found


@other
def test_no_session_tag_makes_a_role_of_one_stage_another_stages(baseline: Baseline, them: Stage) -> None:
    """A made role trusts whom its stage likes, and whoever assumes it chooses the tags of the session."""
    assert reached(baseline.ceiling, them) == set()


@other
@pytest.mark.prove
def test_no_session_tag_of_up_to_four_pieces_does(baseline: Baseline, them: Stage) -> None:
    assert reached(baseline.ceiling, them, pieces=4) == set()


@pytest.mark.parametrize(
    ("sid", "them", "tag"),
    [
        ("NameTellsStage", OTHERS["another project"], "p-xyz-prod"),
        ("TagIsStage", OTHERS["another project"], "p"),
        ("TagIsOneStage", OTHERS["a name that ends like me"], "p-abc-prod-p-xyz-test"),
    ],
)
def test_every_denial_stops_a_tag_that_the_others_let_pass(baseline: Baseline, sid: str, them: Stage, tag: str) -> None:
    assert tag in reached([s for s in baseline.ceiling if s.get("Sid") != sid], them)


@other
def test_no_role_writes_into_the_logs_of_another_stages_endpoint(baseline: Baseline, them: Stage) -> None:
    group = f"log-group:{ENDPOINTS}/{them.project_name}-{them.tag}"
    for stream in ("x", f"-{ME.tag}", f"x-{ME.tag}"):  # no colon: names of streams have none (CreateLogStream)
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            assert not allows(baseline.ceiling, action, ME.arn("logs", f"{group}:log-stream:{stream}"), **ME.as_caller)


def test_no_role_reads_a_bucket_of_the_account_that_its_owner_did_not_share_with_the_stage(baseline: Baseline) -> None:
    """In one account the policy of the role alone would do; that a bucket has no policy must not open it."""
    for them in OTHERS.values():
        for shared in ({}, {names.SHARED_WITH_TAG: ""}, {names.SHARED_WITH_TAG: f"{them.tag} p-else-test"}):
            for action, arn in (
                ("s3:GetObject", "arn:aws:s3:::records/x"),
                ("s3:GetObjectVersion", "arn:aws:s3:::records/x"),
                ("s3:ListBucket", "arn:aws:s3:::records"),
                ("s3:ReplicateObject", "arn:aws:s3:::records/x"),
            ):
                if them.tag != ME.tag:
                    assert not allows(baseline.ceiling, action, arn, **ME.as_caller, **HERE, **existing(shared))


@other
def test_no_role_of_a_stage_reaches_into_another_stage(baseline: Baseline, them: Stage) -> None:
    shared = ("apigateway:POST",)  # making an API, which is nobody's yet; it has to get the own tag
    reached = [
        (action, arn)
        for action, arn, context in role_work(them)
        if action not in shared
        for request in (context | them.mark, context | them.mark | requested(ME.tags), context | ORGANIZATION)
        if allows(baseline.ceiling, action, arn, **ME.as_caller, **request)
    ]
    assert reached == []


def test_no_role_of_a_stage_does_what_is_nobodys_task_there(baseline: Baseline) -> None:
    group = f"arn:aws:sagemaker:{HOME}:{HUB}:model-package/churn-p-abc/1"
    approved: Context = {"sagemaker:ModelApprovalStatus": "Approved"}
    forbidden: list[Request] = [
        ("sagemaker:UpdateModelPackage", group, approved),
        ("sagemaker:UpdateModelPackage", group, {}),
        ("sagemaker:CreateModelPackage", group, {}),
        ("sagemaker:DeleteModelPackageGroup", group, {}),
        ("sagemaker:PutModelPackageGroupPolicy", group, {}),
        ("iam:CreateRole", ME.role("x"), {"iam:PermissionsBoundary": BOUNDARY, **requested(ME.tags)}),
        ("iam:PutRolePolicy", ME.role("x"), {"iam:PermissionsBoundary": BOUNDARY}),
        ("iam:PassRole", ME.role("x"), {"iam:PassedToService": "lambda.amazonaws.com"}),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Admin", PASSED),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/{names.DEPLOY_ROLE}", {}),
        ("lambda:InvokeFunction", ME.arn("lambda", f"function:{names.BUCKET_EMPTIER_FUNCTION}"), {}),
        ("cloudformation:DeleteStack", ME.arn("cloudformation", f"stack/mlp-{ME.tag}/1"), {}),
        ("kms:Decrypt", ME.arn("kms", "key/of-another-service"), {}),
        ("s3:PutObject", "arn:aws:s3:::lake/x", ORGANIZATION),
        ("s3:GetObject", "arn:aws:s3:::somebody-outside/x", ORGANIZATION | {"aws:ResourceOrgID": "o-b"}),
        ("s3:GetObject", f"arn:aws:s3:::ml-platform-audit-{HUB}-{HOME}/x", ORGANIZATION),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/SageMaker"}),
        ("events:PutEvents", ME.arn("events", "event-bus/default"), {}),
        ("sagemaker:CreateProcessingJob", ME.arn("sagemaker", "processing-job/x"), {}),
        ("ssm:GetParameter", ME.arn("ssm", "parameter/x"), {}),
        ("secretsmanager:GetSecretValue", ME.arn("secretsmanager", "secret:x"), {}),
    ]
    assert [(a, r) for a, r, c in forbidden if allows(baseline.ceiling, a, r, **ME.as_caller, **c)] == []


def test_no_session_of_a_deployment_account_decides_about_a_model(baseline: Baseline) -> None:
    package = f"arn:aws:sagemaker:{HOME}:{HUB}:model-package/churn-p-abc/1"
    for action in ("CreateModelPackage", "UpdateModelPackage", "DeleteModelPackage"):
        assert not allows(baseline.deploy, f"sagemaker:{action}", package, **ME.as_caller)


def test_a_role_that_lost_its_tag_may_do_nothing_of_a_stage(baseline: Baseline) -> None:
    lost: Context = {"aws:PrincipalArn": ME.role("x")}
    assert [a for a, r, c in role_work(ME) if allows(baseline.ceiling, a, r, **lost, **c)] == []
    assert not allows(baseline.ceiling, "ec2:DescribeSubnets", "*", **lost)


# ---- what the repositories of deployment projects ask for ----


@cache
def seeded(name: str) -> dict[str, Any]:
    """A template of the seed code by its file name, short forms resolved."""
    (path,) = LAYERS.glob(f"*/templates/{name}.yaml")
    template: dict[str, Any] = json.loads(json.dumps(cfn_yaml.load(str(path))))
    return template


def seeded_types(*, base: bool) -> set[str]:
    found = sorted(LAYERS.glob("*/templates/*.yaml"))
    assert {"base.yaml", "endpoint.yaml", "monitor.yaml"} <= {path.name for path in found}
    return {
        resource["Type"]
        for path in found
        if (path.stem == "base") == base
        for resource in seeded(path.stem)["Resources"].values()
        if not resource["Type"].startswith("Custom::")
    }


def test_the_deploy_role_covers_the_types_of_the_first_stack_and_no_others() -> None:
    found = seeded_types(base=True)
    assert found - BASE_TYPES == set(), "add the types to BASE_TYPES of foundation/deploy_role.py (SCOPES says on what)"
    assert BASE_TYPES - found == set(), "no base.yaml has these types any more: take them out of BASE_TYPES"


def test_the_boundary_covers_the_types_of_the_other_stacks_and_no_others() -> None:
    found = seeded_types(base=False)
    assert found - STAGE_TYPES == set(), "add the types to STAGE_TYPES of foundation/deployment_boundary.py"
    assert STAGE_TYPES - found == set(), "no template has these types any more: take them out of STAGE_TYPES"


def first_stack() -> Launch:
    parameters = {
        "ProjectName": ME.project_name,
        "ProjectId": ME.project_id,
        "Stage": ME.stage,
        "HubBusArn": f"arn:aws:events:{HOME}:{HUB}:event-bus/ml-platform",
        "ReplicaBucket": "lake",
        "ReplicaKeyArn": f"arn:aws:kms:{HOME}:777788889999:key/lake",
        "UseVpc": "true",
        "WithApi": "true",
    }
    return Launch(seeded("base"), parameters, account=ACCOUNT, region=HOME, stack=f"mlp-{ME.tag}-base")


def test_the_deploy_role_makes_every_role_of_the_first_stack(baseline: Baseline) -> None:
    stack = first_stack()
    roles = stack.resources("AWS::IAM::Role")
    assert len(roles) >= 5
    for logical_id, properties in roles.items():
        asked = requested({tag["Key"]: tag["Value"] for tag in properties["Tags"]})
        bounded: Context = {"iam:PermissionsBoundary": properties["PermissionsBoundary"]}
        arn = stack.attribute(logical_id, "Arn")
        for action in ("iam:CreateRole", "iam:TagRole", "iam:PutRolePolicy", "iam:DeleteRole", "iam:GetRole"):
            assert allows(baseline.deploy, action, arn, **ME.as_caller, **asked, **bounded), (action, arn)


def test_the_deploy_role_covers_the_handlers_of_the_first_stack(baseline: Baseline) -> None:
    have: dict[str, list[tuple[str, Context]]] = {
        "iam:role": [(ME.role("replication"), {"iam:PassedToService": "s3.amazonaws.com"})],
        "kms:key": [(ME.arn("kms", "key/1"), ME.mark | {"aws:CalledVia": CLOUDFORMATION})],
        "kms:alias": [(ME.arn("kms", f"alias/mlp-{ME.tag}-data"), {})],
        "s3:bucket": [(ME.bucket, {})],
    }
    extra: Context = {"iam:PermissionsBoundary": BOUNDARY, **requested(ME.tags), "aws:TagKeys": ["CostCenter"]}
    missing = []
    for action, users in needed_actions([bare(BASE_TYPES)]).items():
        service = action.partition(":")[0]
        found = [r for kind in sorted(resource_kinds(action) or ()) for r in have.get(f"{service}:{kind}", [])]
        for arn, context in found or [("*", Context())]:
            if not allows(baseline.deploy, action, arn, **ME.as_caller, **extra | context):
                missing.append((action, arn, sorted(users)))
    assert missing == []


def granted(stack: Launch, logical_id: str) -> Iterator[Request]:
    """A request for each action and resource that a role of a stack grants."""
    for statement in stack.roles()[logical_id]:
        context: Context = {
            key: value if isinstance(value, str) else value[0]
            for operator, keys in statement.get("Condition", {}).items()
            if operator.startswith("StringEquals")
            for key, value in keys.items()
        }
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                yield action, resource, context


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, list) else [value]


def test_what_the_roles_of_the_first_stack_grant_gets_through_the_boundary(baseline: Baseline) -> None:
    stack = first_stack()
    stopped = []
    for logical_id in stack.resources("AWS::IAM::Role"):
        for action, resource, context in granted(stack, logical_id):
            # Names that a role leaves open are those of this stage.
            arn = resource.replace("log-group:*mlp-", "log-group:/aws/apigateway/mlp-").replace("*", "x")
            if action in STREAMS and ":log-group:" in arn and arn.count(":") == 6:
                arn = f"{arn}:log-stream:x"
            arn = "*" if resource == "*" else arn
            foreign = resource.startswith(("arn:aws:s3:::lake", f"arn:aws:kms:{HOME}:777788889999"))
            tags: Context = {} if foreign else ME.mark | requested(ME.tags)
            around: Context = {"kms:ViaService": f"s3.{HOME}.amazonaws.com", **ORGANIZATION}
            if not allows(baseline.ceiling, action, arn, **ME.as_caller, **tags | context | around):
                stopped.append((logical_id, action, arn))
    assert stopped == []
