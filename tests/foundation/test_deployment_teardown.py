"""Custom::Deployment in the hub baseline: its functions, its build, and what they may do."""

from __future__ import annotations

from typing import Any, Final

import pytest

from foundation.deployment_teardown import BUILD_MINUTES, QUEUE_MINUTES, TEARDOWN_BUILD
from lambdas.bundling import asset_key
from products.shared import names
from tests.hub import ACCOUNT, OTHER_REGION, REGION, hub_assembly, two_region_assembly
from tests.policy import Launch, allows, requested

STACK: Final = "ml-platform-hub-baseline"
DEPLOY_ROLE: Final = f"arn:aws:iam::444455556666:role/{names.DEPLOY_ROLE}"
STAGE: Final = requested({names.DEPLOYMENT_TAG: "p-abc-prod"})


@pytest.fixture(scope="module")
def hub() -> Launch:
    return Launch(hub_assembly().templates[STACK], {"BootstrapVersion": "30"}, account=ACCOUNT, region=REGION)


def function(hub: Launch, name: str) -> dict[str, Any]:
    (found,) = (p for p in hub.resources("AWS::Lambda::Function").values() if p["FunctionName"] == name)
    return found


def role_of(hub: Launch, arn: str) -> str:
    (role,) = (i for i in hub.resources("AWS::IAM::Role") if hub.attribute(i, "Arn") == arn)
    return role


def statements(hub: Launch, name: str) -> list[Any]:
    return list(hub.roles()[role_of(hub, function(hub, name)["Role"])])


def build(hub: Launch) -> dict[str, Any]:
    (found,) = (p for p in hub.resources("AWS::CodeBuild::Project").values() if p["Name"] == TEARDOWN_BUILD)
    return found


def test_the_functions_run_the_bundled_code_and_know_the_hubs_regions(hub: Launch) -> None:
    starts, answers = (
        function(hub, name) for name in (names.DEPLOYMENT_FUNCTION, f"{names.DEPLOYMENT_FUNCTION}-completion")
    )
    assert starts["Handler"] == "lambdas.deployment.handler.lambda_handler"
    assert answers["Handler"] == "lambdas.deployment.completion.lambda_handler"
    assert {starts["Code"]["S3Key"], answers["Code"]["S3Key"]} == {asset_key("deployment")}
    assert starts["Environment"]["Variables"]["REGIONS"] == REGION
    assert starts["Environment"]["Variables"]["PARTITION"] == "aws"
    for one in (starts, answers):
        assert one["DeadLetterConfig"]["TargetArn"]
        assert one["Environment"]["Variables"]["BUILD_PROJECT"] == TEARDOWN_BUILD


def test_a_hub_of_two_regions_has_it_in_both_with_roles_of_different_names() -> None:
    assembly = two_region_assembly()
    names_of_roles = []
    for region, stack in ((REGION, STACK), (OTHER_REGION, f"{STACK} in {OTHER_REGION}")):
        landed = Launch(assembly.templates[stack], {"BootstrapVersion": "30"}, account=ACCOUNT, region=region)
        known = function(landed, names.DEPLOYMENT_FUNCTION)["Environment"]["Variables"]["REGIONS"]
        for other in (REGION, OTHER_REGION):
            project = f"arn:aws:codebuild:{other}:{ACCOUNT}:project/mlp-p-abc-prod"
            allowed = statements(landed, names.DEPLOYMENT_FUNCTION)
            assert allows(allowed, "codebuild:BatchGetProjects", project), "an id belongs to one project in all regions"
        assert known == ",".join(sorted([REGION, OTHER_REGION]))
        named = [p.get("RoleName", "") for p in landed.resources("AWS::IAM::Role").values()]
        names_of_roles += [name for name in named if name.startswith(f"{names.DEPLOYMENT_FUNCTION}-")]
    assert len(names_of_roles) == len(set(names_of_roles)) == 4


def test_the_teardown_ends_before_cloudformation_stops_waiting(hub: Launch) -> None:
    assert build(hub)["TimeoutInMinutes"] == BUILD_MINUTES
    assert build(hub)["QueuedTimeoutInMinutes"] == QUEUE_MINUTES
    assert BUILD_MINUTES + QUEUE_MINUTES < 60, "ServiceTimeout is 3,600 s at most; a session lasts an hour too"


def test_however_a_teardown_ends_the_completion_hears_of_it(hub: Launch) -> None:
    (rule,) = (
        r
        for r in hub.resources("AWS::Events::Rule").values()
        if r.get("EventPattern", {}).get("detail", {}).get("project-name") == [TEARDOWN_BUILD]
    )
    ends = {"SUCCEEDED", "FAILED", "FAULT", "STOPPED", "TIMED_OUT"}
    assert set(rule["EventPattern"]["detail"]["build-status"]) == ends
    (target,) = rule["Targets"]
    (completion,) = (
        i
        for i, p in hub.resources("AWS::Lambda::Function").items()
        if p["FunctionName"] == f"{names.DEPLOYMENT_FUNCTION}-completion"
    )
    assert target["Arn"] == hub.attribute(completion, "Arn")


def test_the_function_may_do_what_it_calls_and_no_more(hub: Launch) -> None:
    allowed = statements(hub, names.DEPLOYMENT_FUNCTION)
    deploying = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/mlp-p-abc-prod"
    teardown = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/{TEARDOWN_BUILD}"
    for action in ("sts:AssumeRole", "sts:TagSession"):
        assert allows(allowed, action, DEPLOY_ROLE, **STAGE)
        assert not allows(allowed, action, DEPLOY_ROLE), "without a stage"
        assert not allows(allowed, action, "arn:aws:iam::444455556666:role/Admin", **STAGE)
    for action in ("codebuild:ListBuildsForProject", "codebuild:BatchGetBuilds", "codebuild:StopBuild"):
        assert allows(allowed, action, deploying)
        assert not allows(allowed, action, deploying.replace("-prod", "-render"))
    for region in (REGION, OTHER_REGION):
        look = deploying.replace(REGION, region)
        assert allows(allowed, "codebuild:BatchGetProjects", look) == (region == REGION), "in the hub's regions only"
        assert not allows(allowed, "codebuild:BatchGetProjects", look.replace("-prod", "-render"))
    assert allows(allowed, "codebuild:StartBuild", teardown)
    assert not allows(allowed, "codebuild:StartBuild", deploying)


def test_the_build_enters_accounts_for_a_stage_and_does_nothing_in_the_hub(hub: Launch) -> None:
    allowed = hub.roles()[role_of(hub, build(hub)["ServiceRole"])]
    assert allows(allowed, "sts:AssumeRole", DEPLOY_ROLE, **STAGE)
    assert allows(allowed, "sts:TagSession", DEPLOY_ROLE, **STAGE)
    actions = {a for s in allowed for a in (s["Action"] if isinstance(s["Action"], list) else [s["Action"]])}
    assert actions == {"logs:CreateLogStream", "logs:PutLogEvents", "sts:AssumeRole", "sts:TagSession"}


def test_the_completion_reads_the_build_and_nothing_else_of_it(hub: Launch) -> None:
    allowed = statements(hub, f"{names.DEPLOYMENT_FUNCTION}-completion")
    project = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/{TEARDOWN_BUILD}"
    assert allows(allowed, "codebuild:BatchGetBuilds", project)
    assert not allows(allowed, "codebuild:StartBuild", project)
    assert not allows(allowed, "sts:AssumeRole", DEPLOY_ROLE, **STAGE)
