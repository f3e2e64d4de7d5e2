"""``Custom::Deployment``: checks the account of a stage at launch and takes the stage down when its project is deleted.

Taking down waits for CloudFormation in another account for minutes, so a build does it; the end of the build is an
event, whose function answers. Only the stage's two stacks are deleted, through the deploy role of that account.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from foundation.baseline import BaselineFunction
from foundation.deploy_role import REQUEST_TAG, TAG_VALUES
from lambdas.deployment.environment import CompletionEnvironment, DeploymentEnvironment
from products.shared import names
from products.shared.findings import acknowledge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_cdk import aws_codebuild as codebuild

    from foundation.baseline import Baseline

COMPLETION_FUNCTION: Final = f"{names.DEPLOYMENT_FUNCTION}-completion"
TEARDOWN_BUILD: Final = f"{names.DEPLOYMENT_FUNCTION}-teardown"

BUILD_MINUTES: Final = 50
QUEUE_MINUTES: Final = 5
"""Together below the hour that CloudFormation waits for a custom resource at most (ServiceTimeout)."""

_BUILDSPEC: Final = Path(__file__).with_name("deployment_teardown_buildspec.yml")


def add_deployment_teardown(baseline: Baseline, *, regions: Iterable[str]) -> None:
    """Add ``Custom::Deployment``: function, build, memory of requests and the completion that answers.

    Args:
        baseline: Baseline of the hub in one of its regions.
        regions: Regions of the hub: the only ones in which a stage can live.
    """
    requests = baseline.ledger("TeardownRequests", key=("Id",))
    build = _teardown_build(baseline)
    build_arn = baseline.arn("codebuild", f"project/{TEARDOWN_BUILD}")
    regions = sorted(regions)
    stages = [baseline.arn("codebuild", f"project/{names.PROJECT_RESOURCE_PREFIX}{value}") for value in TAG_VALUES]
    everywhere = [
        baseline.arn("codebuild", f"project/{names.PROJECT_RESOURCE_PREFIX}{value}", region=region)
        for value in TAG_VALUES
        for region in regions
    ]
    baseline.function(
        "Deployment",
        BaselineFunction(
            name=names.DEPLOYMENT_FUNCTION,
            folder="deployment",
            purpose="Custom::Deployment: checks a stage's account; takes the stage down when its project is deleted.",
            timeout_s=120,
            environment=DeploymentEnvironment(
                build_project=TEARDOWN_BUILD,
                requests_table=requests.table_name,
                partition=Aws.PARTITION,
                regions=",".join(regions),
            ),
            role_name=f"{names.DEPLOYMENT_FUNCTION}-check-{Aws.REGION}",
            allowed=[
                _enter_accounts(),
                iam.PolicyStatement(sid="StartTeardown", actions=["codebuild:StartBuild"], resources=[build_arn]),
                iam.PolicyStatement(
                    sid="StopDeploying",
                    actions=["codebuild:BatchGetBuilds", "codebuild:ListBuildsForProject", "codebuild:StopBuild"],
                    resources=stages,
                ),
                iam.PolicyStatement(sid="FindOwner", actions=["codebuild:BatchGetProjects"], resources=everywhere),
                iam.PolicyStatement(
                    sid="KeepRequests",
                    actions=["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
                    resources=[requests.table_arn],
                ),
            ],
            findings=baseline.wild(
                "The builds that deploy stages are named like this, and no others.", *stages, *everywhere
            )
            | _any_account(),
        ),
    )
    completion = baseline.function(
        "DeploymentCompletion",
        BaselineFunction(
            name=COMPLETION_FUNCTION,
            folder="deployment",
            module="completion",
            purpose="Answers CloudFormation when the teardown of a stage has ended.",
            environment=CompletionEnvironment(build_project=TEARDOWN_BUILD, requests_table=requests.table_name),
            allowed=[
                iam.PolicyStatement(sid="ReadBuilds", actions=["codebuild:BatchGetBuilds"], resources=[build_arn]),
                iam.PolicyStatement(
                    sid="KeepRequests",
                    actions=["dynamodb:GetItem", "dynamodb:UpdateItem"],
                    resources=[requests.table_arn],
                ),
            ],
        ),
    )
    baseline.call_when_ended(
        "TeardownEnded",
        description="The end of every teardown of a stage, however it ended",
        build=build,
        name=TEARDOWN_BUILD,
        function=completion,
    )


def _enter_accounts() -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="EnterDeploymentAccounts",
        actions=["sts:AssumeRole", "sts:TagSession"],
        resources=[f"arn:{Aws.PARTITION}:iam::*:role/{names.DEPLOY_ROLE}"],
        conditions={"StringLike": {REQUEST_TAG: list(TAG_VALUES)}},
    )


def _any_account() -> dict[str, str]:
    finding = f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:iam::*:role/{names.DEPLOY_ROLE}]"
    return {finding: "A project names its accounts; each of them decides by the trust of this role who gets in."}


def _teardown_build(baseline: Baseline) -> codebuild.CfnProject:
    log_group = baseline.log_group("TeardownBuildLog", f"/aws/codebuild/{TEARDOWN_BUILD}")
    role = iam.Role(
        baseline.scope,
        "TeardownBuildRole",
        path=names.BASELINE_ROLE_PATH,
        role_name=f"{TEARDOWN_BUILD}-{Aws.REGION}",
        description="Takes the stacks of a stage down in its account.",
        assumed_by=iam.ServicePrincipal(
            "codebuild.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        ),
        inline_policies={
            "Purpose": iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        sid="WriteLog",
                        actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                        resources=[log_group.log_group_arn],
                    ),
                    _enter_accounts(),
                ]
            )
        },
    )
    acknowledge(role, baseline.log_streams(log_group, "Streams of the build's own log group.") | _any_account())
    return baseline.build(
        "TeardownBuild",
        name=TEARDOWN_BUILD,
        description="Takes the stacks of a stage down; started by Custom::Deployment.",
        buildspec=_BUILDSPEC,
        role=role,
        log_group=log_group,
        minutes=BUILD_MINUTES,
        queued_minutes=QUEUE_MINUTES,
    )
