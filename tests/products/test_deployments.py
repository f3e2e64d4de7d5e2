"""The deployment products: what runs in which order, who may reach which stage, and what goes when the project goes."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from policy_sentry.querying.actions import get_action_data

from foundation import boundary
from foundation.deploy_role import trust
from lambdas.model_promotion.names import PACKAGE_VARIABLE, RENDER_STAGE
from products.deploy_batch.product import DeployBatchProduct
from products.deploy_realtime.product import DeployRealtimeProduct
from products.shared import names, seed_code
from tests.policy import allows, assumes, requested
from tests.products.launches import (
    BATCH,
    CATALOG,
    CONNECTION,
    DEPLOY,
    GROUP,
    LONGEST,
    PROD_ACCOUNT,
    TEST_ACCOUNT,
    launch,
)
from tests.products.test_every_product import waits_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.policy import Launch, Statement

    Template = dict[str, Any]
    SynthProduct = Callable[[type[Any]], Template]

ACCOUNT, REGION = "111122223333", "eu-west-1"
MINE, OTHER = "p-aaaaaaaaaaaa", "p-bbbbbbbbbbbb"
BUCKET = f"arn:aws:s3:::mlp-{MINE}-{ACCOUNT}-{REGION}"
PIPELINE = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:mlp-{MINE}-deploy"
BUILDS = ("render", "test", "prod")
SERVERLESS = {"EndpointType": "serverless", "CapturePercent": "0", "TrafficPolicy": "all-at-once"}
COPIES = {"CaptureReplicaBucket": "acme-captured", "CaptureReplicaKeyArn": "arn:key"}
SHADOW = DEPLOY | {"ShadowHours": "24"}

both = pytest.mark.parametrize("project", ["deploy-realtime", "deploy-batch"], indirect=True)


def template_of(synth_product: SynthProduct, id_: str) -> Template:
    return synth_product({"deploy-realtime": DeployRealtimeProduct, "deploy-batch": DeployBatchProduct}[id_])


@pytest.fixture
def project(request: pytest.FixtureRequest, synth_product: SynthProduct) -> Launch:
    """A launch of the product; of deploy-realtime with a shadow period, unless a test asks for deploy-batch."""
    id_ = getattr(request, "param", "deploy-realtime")
    values = {"deploy-realtime": SHADOW, "deploy-batch": BATCH}[id_]
    return launch(template_of(synth_product, id_), values, stack="SC-1")


@pytest.fixture
def realtime(synth_product: SynthProduct) -> Template:
    return synth_product(DeployRealtimeProduct)


def one(project: Launch, type_: str) -> dict[str, Any]:
    (found,) = project.resources(type_).values()
    return found


def only_id(template: Template, type_: str) -> str:
    (found,) = [str(k) for k, v in template["Resources"].items() if v["Type"] == type_]
    return found


def ids(template: Template, type_: str) -> list[str]:
    return [k for k, v in template["Resources"].items() if v["Type"] == type_]


def build(project: Launch, purpose: str) -> dict[str, Any]:
    """Return a CodeBuild project by the last part of its name: render, test or prod."""
    (found,) = [b for b in project.resources("AWS::CodeBuild::Project").values() if b["Name"].endswith(f"-{purpose}")]
    return found


def role_id(project: Launch, arn: str) -> str:
    (found,) = [k for k in project.resources("AWS::IAM::Role") if project.attribute(k, "Arn") == arn]
    return found


def may(project: Launch, purpose: str) -> list[Statement]:
    """Return the statements of a build's role."""
    return project.roles()[role_id(project, build(project, purpose)["ServiceRole"])]


def stages(project: Launch) -> dict[str, list[dict[str, Any]]]:
    return {stage["Name"]: stage["Actions"] for stage in one(project, "AWS::CodePipeline::Pipeline")["Stages"]}


def deploy_role(account: str) -> str:
    return f"arn:aws:iam::{account}:role/ml-platform-deploy"


def tagged(tag: str, group: str = GROUP) -> dict[str, str | list[str]]:
    """Return the context of a session that is asked for with the tags of a stage and a group."""
    return requested({names.DEPLOYMENT_TAG: tag, names.GROUP_TAG: group})


def variables(project: Launch, purpose: str) -> dict[str, str]:
    """Return what a build is told, as text."""
    return {v["Name"]: str(v["Value"]) for v in build(project, purpose)["Environment"]["EnvironmentVariables"]}


# ---- the pipeline ---------------------------------------------------------------------------------------------------


def in_order(project: Launch) -> list[str]:
    return [
        f"{stage}/{action['Name']}"
        for stage, actions in stages(project).items()
        for action in sorted(actions, key=lambda a: a["RunOrder"])
    ]


def test_a_model_is_tested_then_approved_then_deployed(realtime: Template) -> None:
    assert in_order(launch(realtime, DEPLOY)) == [
        "Source/Source",
        "Render/Render",
        "Test/Deploy",
        "Test/EndpointTest",
        "Approve/GovernanceApproval",
        "Prod/Deploy",
        "Prod/SmokeTest",
    ]


def test_a_shadow_period_comes_after_the_approval_and_before_production(realtime: Template) -> None:
    shadowed, plain = (in_order(launch(realtime, DEPLOY | {"ShadowHours": hours})) for hours in ("24", "0"))
    at = shadowed.index("Approve/GovernanceApproval") + 1
    assert shadowed[at : at + 3] == ["Shadow/Deploy", "Shadow/Period", "Prod/Deploy"]
    assert [name for name in shadowed if not name.startswith("Shadow/")] == plain


def test_the_period_waits_longer_than_the_longest_shadow(realtime: Template) -> None:
    _, period = stages(launch(realtime, SHADOW))["Shadow"]
    accepted = re.compile(realtime["Parameters"]["ShadowHours"]["AllowedPattern"])
    longest_hours = max(hours for hours in range(10_000) if accepted.fullmatch(str(hours)))
    assert longest_hours * 60 < period["TimeoutInMinutes"] <= 60 * 24 * 60  # 60 days: quotas of CodePipeline


@pytest.mark.parametrize("project", ["deploy-batch"], indirect=True)
def test_a_batch_deployment_is_tried_by_a_run_and_has_no_shadow(project: Launch) -> None:
    assert in_order(project)[2:6] == [
        "Test/Deploy",
        "Test/BatchTest",
        "Approve/GovernanceApproval",
        "Prod/Deploy",
    ]
    assert project.resources("AWS::Scheduler::ScheduleGroup") == {}


@both
def test_every_step_runs_in_the_build_of_its_stage_on_the_source_and_the_package_of_its_execution(
    project: Launch,
) -> None:
    test = "endpoint-test" if "EndpointTest" in str(stages(project)["Test"]) else "batch-test"
    package = f"#{{{RENDER_STAGE}.{PACKAGE_VARIABLE}}}"  # what promotion writes into the record of an approval
    (render,) = stages(project)[RENDER_STAGE]
    assert render["Namespace"] == RENDER_STAGE
    expected = {
        "Render/Render": ("render", "render", None),
        "Test/Deploy": ("test", "deploy", package),
        f"Test/{stages(project)['Test'][1]['Name']}": ("test", test, package),
        "Shadow/Deploy": ("prod", "shadow", package),
        "Prod/Deploy": ("prod", "deploy", package),
        "Prod/SmokeTest": ("prod", "smoke-test", package),
    }
    found = {}
    for stage, actions in stages(project).items():
        for action in (a for a in actions if a["ActionTypeId"]["Category"] == "Build"):
            told = {v["name"]: v["value"] for v in json.loads(action["Configuration"]["EnvironmentVariables"])}
            assert told["PIPELINE_EXECUTION_ID"] == "#{codepipeline.PipelineExecutionId}"
            purpose = action["Configuration"]["ProjectName"].removeprefix(f"mlp-{MINE}-")
            assert action["InputArtifacts"] == [{"Name": "Source"}]
            assert "OutputArtifacts" not in action
            found[f"{stage}/{action['Name']}"] = (purpose, told["STEP"], told.get("PACKAGE_ARN"))
    assert found == {k: v for k, v in expected.items() if k.split("/")[0] in stages(project)}


@both
def test_the_approver_reads_which_model_goes_where_and_how_the_test_went(project: Launch) -> None:
    (approval,) = stages(project)["Approve"]
    asked = approval["Configuration"]
    for part in ("#{Render.PACKAGE_VERSION}", GROUP, PROD_ACCOUNT, "#{Test.SUMMARY}", "#{Render.PACKAGE_ARN}"):
        assert part in asked["CustomData"]
    assert asked["ExternalEntityLink"] == "#{Test.REPORT_URL}"
    topic = only_id(dict(project.template), "AWS::SNS::Topic")
    assert asked["NotificationArn"] == project.ref(topic)
    namespaces = {a.get("Namespace"): a["Name"] for actions in stages(project).values() for a in actions}
    assert namespaces["Render"] == "Render"
    assert namespaces["Test"] in ("EndpointTest", "BatchTest")


@pytest.mark.parametrize("product", [DeployRealtimeProduct, DeployBatchProduct], ids=lambda p: p.SPEC.id)
def test_the_question_leaves_room_for_the_summary(product: type[Any], synth_product: SynthProduct) -> None:
    longest = launch(synth_product(product), LONGEST[product.SPEC.id])
    (approval,) = stages(longest)["Approve"]
    arn = f"arn:aws-us-gov:sagemaker:ap-southeast-1:{ACCOUNT}:model-package/{'g' * 63}/1000"
    asked = approval["Configuration"]["CustomData"].replace("#{Render.PACKAGE_ARN}", arn)
    summary = 600  # LONGEST_VARIABLE of the seed code
    # 1,000 characters: the longest value of an action's configuration (quotas of CodePipeline).
    assert len(asked.replace("#{Test.SUMMARY}", "")) + summary <= 1000


@both
def test_of_waiting_executions_only_the_newest_goes_on(project: Launch) -> None:
    pipeline = one(project, "AWS::CodePipeline::Pipeline")
    assert (pipeline["PipelineType"], pipeline["ExecutionMode"]) == ("V2", "SUPERSEDED")


@both
def test_deployments_have_eight_hours_and_rendering_half_an_hour(project: Launch) -> None:
    assert [build(project, purpose)["TimeoutInMinutes"] for purpose in BUILDS] == [30, 480, 480]


# ---- what the builds are told ---------------------------------------------------------------------------------------


def test_the_builds_of_a_realtime_project_know_places_and_choices(project: Launch) -> None:
    told = variables(project, "prod")
    key = project.attribute(only_id(dict(project.template), "AWS::KMS::Key"), "Arn")
    (schedule_role,) = [r for r in project.resources("AWS::IAM::Role") if "Shadow" in r]
    assert told == {
        "PROJECT_NAME": "churn",
        "PROJECT_ID": MINE,
        "MODEL_PACKAGE_GROUP": GROUP,
        "PIPELINE_NAME": f"mlp-{MINE}-deploy",
        "ARTIFACT_BUCKET": f"mlp-{MINE}-{ACCOUNT}-{REGION}",
        "KMS_KEY_ARN": key,
        "HUB_ACCOUNT_ID": ACCOUNT,
        "HUB_REGION": REGION,
        "HUB_BUS_ARN": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/ml-platform",
        "CONSOLE_HOST": "console.aws.amazon.com",
        "COST_CENTER": "ml-1000",
        "TEST_ACCOUNT_ID": TEST_ACCOUNT,
        "TEST_REGION": REGION,
        "PROD_ACCOUNT_ID": PROD_ACCOUNT,
        "PROD_REGION": "eu-central-1",
        "STAGE": "prod",
        "ENDPOINT_TYPE": "instance",
        "INSTANCE_TYPE": "ml.m5.large",
        "INSTANCE_COUNT": "2",
        "MAX_INSTANCE_COUNT": "4",
        "TRAFFIC_POLICY": "canary",
        "MAX_LATENCY_MS": "500",
        "MAX_ERROR_PERCENT": "1",
        "SHADOW_HOURS": "24",
        "CAPTURE_PERCENT": "100",
        "CAPTURE_REPLICA_BUCKET": "",
        "CAPTURE_REPLICA_KEY_ARN": "",
        "API_AUTH": "none",
        "API_USER_POOL_ARN": "",
        "SCHEDULE_GROUP": f"mlp-{MINE}-shadow",
        "SCHEDULE_ROLE_ARN": project.attribute(schedule_role, "Arn"),
        "MISSED_STARTS_ARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:mlp-{MINE}-missed-starts",
    }


@pytest.mark.parametrize("project", ["deploy-batch"], indirect=True)
def test_the_builds_of_a_batch_project_know_inputs_and_trigger(project: Launch) -> None:
    told = variables(project, "test")
    assert told["STAGE"] == "test"
    assert {k: told[k] for k in ("INPUT_URI_TEST", "INPUT_URI_PROD", "TRIGGER", "SCHEDULE", "NEW_DATA_SUFFIX")} == {
        "INPUT_URI_TEST": "s3://sales-lake/churn/test/",
        "INPUT_URI_PROD": "s3://sales-lake/churn/prod/",
        "TRIGGER": "schedule",
        "SCHEDULE": "rate(1 day)",
        "NEW_DATA_SUFFIX": "",
    }
    assert [told[k] for k in ("INSTANCE_TYPE", "INSTANCE_COUNT", "MAX_BAD_PERCENT")] == ["ml.m5.large", "1", "1"]


@both
def test_all_builds_are_told_the_same_but_their_stage(project: Launch) -> None:
    render, test, prod = (variables(project, purpose) for purpose in BUILDS)
    assert "STAGE" not in render
    assert test == {**render, "STAGE": "test"}
    assert prod == {**render, "STAGE": "prod"}


# ---- who reaches which stage ----------------------------------------------------------------------------------------


@both
def test_each_stage_has_a_role_that_carries_its_tag_and_no_other_role_carries_one(project: Launch) -> None:
    tags = {
        role: tag["Value"]
        for role, properties in project.resources("AWS::IAM::Role").items()
        for tag in properties["Tags"]
        if tag["Key"] == names.DEPLOYMENT_TAG
    }
    assert tags == {role_id(project, build(project, stage)["ServiceRole"]): f"{MINE}-{stage}" for stage in names.STAGES}
    groups = {
        role: tag["Value"]
        for role, properties in project.resources("AWS::IAM::Role").items()
        for tag in properties["Tags"]
        if tag["Key"] == names.GROUP_TAG
    }
    assert groups == dict.fromkeys(tags, GROUP)


@both
def test_a_build_assumes_the_deploy_role_of_its_own_stage_and_with_its_own_tag_only(project: Launch) -> None:
    places = {"test": TEST_ACCOUNT, "prod": PROD_ACCOUNT}
    granted = {
        (purpose, account, tag)
        for purpose in BUILDS
        for account in (TEST_ACCOUNT, PROD_ACCOUNT, ACCOUNT)
        for tag in (f"{MINE}-test", f"{MINE}-prod", f"{OTHER}-test", f"{OTHER}-prod")
        for action in ("sts:AssumeRole", "sts:TagSession")
        if allows(may(project, purpose), action, deploy_role(account), **tagged(tag))
    }
    assert granted == {(stage, account, f"{MINE}-{stage}") for stage, account in places.items()}
    for purpose in BUILDS:
        assert not allows(may(project, purpose), "sts:AssumeRole", deploy_role(PROD_ACCOUNT))
        assert not allows(may(project, purpose), "sts:AssumeRole", f"arn:aws:iam::{PROD_ACCOUNT}:role/admin")


@both
def test_the_deploy_role_lets_each_stage_in_under_its_own_name_only(project: Launch) -> None:
    text = json.dumps(trust(ACCOUNT)).replace("${AWS::Partition}", "aws").replace("${!", "${")
    entered = set()
    for purpose in BUILDS:
        role = build(project, purpose)["ServiceRole"]
        tags = {t["Key"]: t["Value"] for t in project.resources("AWS::IAM::Role")[role_id(project, role)]["Tags"]}
        for tag, group in (
            (f"{MINE}-test", GROUP),
            (f"{MINE}-prod", GROUP),
            (f"{OTHER}-prod", GROUP),
            (f"{MINE}-test", "x"),
        ):
            session = {names.DEPLOYMENT_TAG: tag, names.GROUP_TAG: group}
            account = PROD_ACCOUNT if purpose == "prod" else TEST_ACCOUNT
            asks = allows(may(project, purpose), "sts:AssumeRole", deploy_role(account), **requested(session))
            let_in = assumes(json.loads(text), caller=role, caller_tags=tags, session_tags=session)
            assert asks is let_in, (purpose, tag)  # either lock alone would do
            if asks:
                entered.add((purpose, tag, group))
    assert entered == {("test", f"{MINE}-test", GROUP), ("prod", f"{MINE}-prod", GROUP)}


def test_the_test_build_does_not_reach_production_even_in_the_same_account(realtime: Template) -> None:
    project = launch(realtime, SHADOW | {"ProdAccountId": TEST_ACCOUNT, "ProdRegion": ""})
    role = deploy_role(TEST_ACCOUNT)
    assert allows(may(project, "test"), "sts:AssumeRole", role, **tagged(f"{MINE}-test"))
    assert not allows(may(project, "test"), "sts:AssumeRole", role, **tagged(f"{MINE}-prod"))
    for keys in ([names.DEPLOYMENT_TAG, names.GROUP_TAG, "admin"], [names.DEPLOYMENT_TAG, "admin"]):
        more_tags = {**tagged(f"{MINE}-test"), "aws:TagKeys": keys}
        assert not allows(may(project, "test"), "sts:AssumeRole", role, **more_tags)
    assert not allows(may(project, "test"), "sts:AssumeRole", role, **tagged(f"{MINE}-test", "another-group"))
    assert variables(project, "prod")["PROD_REGION"] == variables(project, "prod")["TEST_REGION"] == REGION


@both
def test_nothing_before_the_approval_starts_or_steers_what_comes_after_it(project: Launch) -> None:
    schedule = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/mlp-{MINE}-shadow/compare"
    requests = [
        ("codebuild:StartBuild", f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/mlp-{MINE}-prod"),
        ("codepipeline:StartPipelineExecution", PIPELINE),
        *(
            ("codepipeline:PutApprovalResult", f"{PIPELINE}/{a}")
            for a in ("Approve/GovernanceApproval", "Shadow/Period")
        ),
        ("codepipeline:RetryStageExecution", f"{PIPELINE}/Prod"),
        ("scheduler:CreateSchedule", schedule),
        *(("iam:PassRole", project.attribute(role, "Arn")) for role in project.roles()),
        ("sns:Publish", project.ref(only_id(dict(project.template), "AWS::SNS::Topic"))),
    ]
    for purpose in ("render", "test"):
        for action, resource in requests:
            assert not allows(
                may(project, purpose), action, resource, **{"iam:PassedToService": "scheduler.amazonaws.com"}
            ), (purpose, action, resource)


@both
def test_what_an_execution_deploys_is_written_by_its_pipeline_only_whatever_runs_in_builds(project: Launch) -> None:
    pipeline = one(project, "AWS::CodePipeline::Pipeline")
    folder = f"{BUCKET}/{pipeline['Name'][:20]}"
    source, any_other, report = f"{folder}/Source/a1b2c3d", f"{folder}/Render/a1b2c3d", f"{BUCKET}/reports/1/test.html"
    roles = project.roles()
    owner = role_id(project, pipeline["RoleArn"])
    for key in (source, any_other):
        assert [role for role, granted in roles.items() if allows(granted, "s3:PutObject", key)] == [owner]
        for action in ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:RestoreObject", "s3:ReplicateObject"):
            assert not any(allows(granted, action, key) for granted in roles.values())
    assert [p for p in BUILDS if allows(may(project, p), "s3:PutObject", report)] == ["test", "prod"]
    for purpose in BUILDS:
        assert allows(may(project, purpose), "s3:GetObject", source)


def test_what_the_comparison_runs_from_is_written_by_the_production_build_only(project: Launch) -> None:
    source = f"{BUCKET}/shadow/0a1b2c3d/source.zip"
    assert [p for p in BUILDS if allows(may(project, p), "s3:PutObject", source)] == ["prod"]
    pipeline = project.roles()[role_id(project, one(project, "AWS::CodePipeline::Pipeline")["RoleArn"])]
    assert not allows(pipeline, "s3:PutObject", source)


@both
def test_no_role_of_the_project_approves_a_model_or_the_move_to_production(project: Launch) -> None:
    package = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package/{GROUP}/1"
    for role, granted in project.roles().items():
        for action in ("UpdateModelPackage", "CreateModelPackage", "DeleteModelPackage", "PutModelPackageGroupPolicy"):
            assert not allows(granted, f"sagemaker:{action}", package), role
        assert not allows(granted, "codepipeline:PutApprovalResult", f"{PIPELINE}/Approve/GovernanceApproval"), role


def test_the_production_build_answers_the_period_of_its_own_pipeline_and_nothing_else(project: Launch) -> None:
    prod = may(project, "prod")
    assert allows(prod, "codepipeline:PutApprovalResult", f"{PIPELINE}/Shadow/Period")
    assert allows(prod, "codepipeline:GetPipelineState", PIPELINE)
    for name in ("Approve/GovernanceApproval", "Shadow/Deploy", "Prod/Period"):
        assert not allows(prod, "codepipeline:PutApprovalResult", f"{PIPELINE}/{name}")
    other = PIPELINE.replace(MINE, OTHER)
    assert not allows(prod, "codepipeline:PutApprovalResult", f"{other}/Shadow/Period")


def test_the_end_of_a_shadow_period_is_a_schedule_that_starts_the_production_build(project: Launch) -> None:
    prod, role = may(project, "prod"), variables(project, "prod")["SCHEDULE_ROLE_ARN"]
    schedules = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/mlp-{MINE}-shadow"
    for verb in ("Create", "Get", "Delete"):
        assert allows(prod, f"scheduler:{verb}Schedule", f"{schedules}/0a1b2c3d")
        assert not allows(prod, f"scheduler:{verb}Schedule", f"{schedules.replace(MINE, OTHER)}/0a1b2c3d")
    assert allows(prod, "iam:PassRole", role, **{"iam:PassedToService": "scheduler.amazonaws.com"})
    assert not allows(prod, "iam:PassRole", role, **{"iam:PassedToService": "lambda.amazonaws.com"})
    scheduled = project.roles()[role_id(project, role)]
    builds = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/mlp-{MINE}"
    assert [p for p in BUILDS if allows(scheduled, "codebuild:StartBuild", f"{builds}-{p}", **COMPARISON)] == ["prod"]
    assert allows(scheduled, "sqs:SendMessage", variables(project, "prod")["MISSED_STARTS_ARN"])


ENVIRONMENT = "codebuild:environment.environmentVariables"
COMPARISON: dict[str, str | list[str]] = {
    "codebuild:source.location": f"{BUCKET.removeprefix('arn:aws:s3:::')}/shadow/0a1b2c3d/source.zip",
    f"{ENVIRONMENT}.name": ["STEP", "PIPELINE_EXECUTION_ID", "PACKAGE_ARN"],
    f"{ENVIRONMENT}/STEP.value": "compare",
}
"""What the seed code's schedule overrides, as CodeBuild tells IAM."""

HARMLESS = {
    "artifacts": "NO_ARTIFACTS; another place needs artifacts.location",
    "artifacts.bucketOwnerAccess": "without artifacts.location nothing is written",
    "artifacts.encryptionDisabled": "without artifacts.location nothing is written",
    "autoRetryLimit": "repeats the same build",
    "environment": "stands for its members",
    "environment.environmentVariables": "names and STEP are checked",
    "environment.environmentVariables.name": "is checked",
    "environment.environmentVariables.value": "STEP is checked; the others name the package, which has to be approved",
    "source": "stands for its members",
    "source.auth.resource": "comes with source.auth.type",
    "source.buildStatusConfig.context": "reports to repositories only",
    "source.buildStatusConfig.targetUrl": "reports to repositories only",
    "source.location": "is checked",
}
"""Keys of StartBuild that a schedule may set, and why."""


def test_a_schedule_starts_nothing_but_the_comparison_whatever_it_overrides(project: Launch) -> None:
    """Approved code writes schedules; one that it leaves behind must not run what nobody approved."""
    scheduled = project.roles()[role_id(project, variables(project, "prod")["SCHEDULE_ROLE_ARN"])]

    def starts(**changed: str | list[str]) -> bool:
        build = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/mlp-{MINE}-prod"
        given = {key: value for key, value in (COMPARISON | changed).items() if value}
        return allows(scheduled, "codebuild:StartBuild", build, **given)

    assert starts()
    place = BUCKET.removeprefix("arn:aws:s3:::")
    for source in ("", "attacker/shadow/x.zip", f"{place}/mlp-{MINE}-deploy/Source/x", f"{place}/reports/x.zip"):
        assert not starts(**{"codebuild:source.location": source})
    assert not starts(**{f"{ENVIRONMENT}/STEP.value": "deploy"})
    assert not starts(**{f"{ENVIRONMENT}/STEP.value": ""})
    assert not starts(**{f"{ENVIRONMENT}.name": ["STEP", "PROD_ACCOUNT_ID"]})
    keys = get_action_data("codebuild", "StartBuild")["codebuild"][0]["condition_keys"]
    known = {key.removeprefix("codebuild:") for key in keys if key.startswith("codebuild:") and "$" not in key}
    parents = {key: [p for p in known if key == p or key.startswith(f"{p}.")] for key in known - set(HARMLESS)}
    passed = [
        key for key, sent in parents.items() if starts(**{f"codebuild:{k}": "x" for k in sent if k not in HARMLESS})
    ]
    assert passed == []
    assert set(HARMLESS) <= known, "the reference no longer lists these"


def test_without_a_shadow_period_nothing_of_it_is_there(realtime: Template) -> None:
    project = launch(realtime, DEPLOY)
    assert project.resources("AWS::Scheduler::ScheduleGroup", "AWS::IAM::Policy") == {}
    told = variables(project, "prod")
    assert [told[name] for name in ("SCHEDULE_GROUP", "SCHEDULE_ROLE_ARN", "MISSED_STARTS_ARN")] == ["", "", ""]
    services = {
        r["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
        for r in project.resources("AWS::IAM::Role").values()
    }
    assert "scheduler.amazonaws.com" not in services
    assert not allows(may(project, "prod"), "codepipeline:PutApprovalResult", f"{PIPELINE}/Shadow/Period")


@both
def test_only_the_production_build_exports_the_card_of_its_group(project: Launch) -> None:
    card = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-card/{GROUP}"
    assert [p for p in BUILDS if allows(may(project, p), "sagemaker:CreateModelCardExportJob", card)] == ["prod"]
    assert allows(may(project, "prod"), "sagemaker:DescribeModelCardExportJob", f"{card}/export-job/1")
    assert not allows(may(project, "prod"), "sagemaker:CreateModelCardExportJob", f"{card}-other")
    assert not allows(may(project, "prod"), "sagemaker:UpdateModelCard", card)


@both
def test_only_the_render_build_stops_an_execution_and_only_of_its_own_pipeline(project: Launch) -> None:
    other = PIPELINE.replace(MINE, OTHER)
    stoppable = [p for p in BUILDS if allows(may(project, p), "codepipeline:StopPipelineExecution", PIPELINE)]
    assert stoppable == ["render"]
    assert not allows(may(project, "render"), "codepipeline:StopPipelineExecution", other)


@both
def test_builds_read_the_models_of_their_group_and_what_was_promoted(project: Launch) -> None:
    registry = f"arn:aws:s3:::ml-platform-registry-{ACCOUNT}-{REGION}"
    sagemaker = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/registry"
    for purpose in BUILDS:
        granted = may(project, purpose)
        assert allows(granted, "sagemaker:ListModelPackages", f"{sagemaker}:model-package-group/{GROUP}")
        assert allows(granted, "sagemaker:DescribeModelPackage", f"{sagemaker}:model-package/{GROUP}/7")
        assert not allows(granted, "sagemaker:DescribeModelPackage", f"{sagemaker}:model-package/{GROUP}-2/7")
        assert allows(granted, "s3:GetObject", f"{registry}/packages/{GROUP}/1/model.tar.gz")
        assert allows(granted, "s3:GetObject", f"{registry}/promoted/{GROUP}/7.json")
        assert not allows(granted, "s3:PutObject", f"{registry}/promoted/{GROUP}/7.json")
        assert not allows(granted, "s3:GetObject", f"{registry}/promotions/{GROUP}/1.json")
        assert not allows(granted, "s3:PutObject", f"{registry}/packages/{GROUP}/1/model.tar.gz")
        assert allows(granted, "s3:ListBucket", registry, **{"s3:prefix": f"packages/{GROUP}/1/baseline/"})
        assert not allows(granted, "s3:ListBucket", registry)
        for group in (f"{GROUP}-2", f"2{GROUP}", "fraud-p-2-222222222222"):
            assert not allows(granted, "s3:GetObject", f"{registry}/packages/{group}/1/model.tar.gz")
            assert not allows(granted, "s3:GetObject", f"{registry}/promoted/{group}/7.json")
            assert not allows(granted, "s3:ListBucket", registry, **{"s3:prefix": f"packages/{group}/"})
        assert allows(granted, "kms:Decrypt", key, **{"kms:ViaService": f"s3.{REGION}.amazonaws.com"})
        assert not allows(granted, "kms:Decrypt", key)
        assert not allows(granted, "kms:GenerateDataKey", key, **{"kms:ViaService": f"s3.{REGION}.amazonaws.com"})


@both
def test_no_role_of_a_project_reaches_into_another_on_the_same_group(project: Launch) -> None:
    values = dict(project.parameters) | {"SageMakerProjectName": "fraud", "SageMakerProjectId": OTHER}
    other = launch(project.template, {k: v for k, v in values.items() if v is not None}, stack="SC-2")
    bucket, pipeline = BUCKET.replace(MINE, OTHER), PIPELINE.replace(MINE, OTHER)
    key = other.attribute(only_id(dict(other.template), "AWS::KMS::Key"), "Arn")
    requests: list[tuple[str, str, Mapping[str, Any]]] = [
        *((f"s3:{verb}", f"{bucket}/reports/1/test.html", {}) for verb in ("GetObject", "PutObject")),
        ("s3:PutObject", f"{bucket}/mlp-{OTHER}-d/Source/a1b2c3d", {}),
        ("s3:ListBucket", bucket, {}),
        *((f"kms:{verb}", key, {}) for verb in ("Decrypt", "GenerateDataKey")),
        *(
            ("codebuild:StartBuild", f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/mlp-{OTHER}-{p}", {})
            for p in BUILDS
        ),
        ("codepipeline:StartPipelineExecution", pipeline, {}),
        ("codepipeline:StopPipelineExecution", pipeline, {}),
        ("logs:PutLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/codebuild/mlp-{OTHER}-prod:x", {}),
        ("sns:Publish", other.ref(only_id(dict(other.template), "AWS::SNS::Topic")), {}),
        *(("sts:AssumeRole", deploy_role(TEST_ACCOUNT), tagged(f"{OTHER}-{stage}")) for stage in ("test",)),
        *(("sts:AssumeRole", deploy_role(PROD_ACCOUNT), tagged(f"{OTHER}-{stage}")) for stage in ("prod",)),
    ]
    reached = [
        (role, action, resource)
        for role, granted in project.roles().items()
        for action, resource, context in requests
        if allows(granted, action, resource, **context)
    ]
    assert reached == []
    # Each of them is possible for some role of the other project.
    for action, resource, context in requests:
        assert any(allows(granted, action, resource, **context) for granted in other.roles().values()), action


@both
def test_the_boundary_leaves_the_builds_the_deploy_role_and_nothing_else_of_other_accounts(project: Launch) -> None:
    ceiling = [
        {**statement, "Resource": json.loads(json.dumps(statement["Resource"]).replace("${AWS::Partition}", "aws"))}
        for statement in boundary.document(catalog=CATALOG)["Statement"]
    ]
    assert allows(ceiling, "sts:AssumeRole", deploy_role(PROD_ACCOUNT))
    assert not allows(ceiling, "sts:AssumeRole", f"arn:aws:iam::{PROD_ACCOUNT}:role/ml-platform-launch")
    assert build(project, "prod")["ServiceRole"].split(":role")[1].startswith(names.PROJECT_ROLE_PATH)


# ---- encryption and reach of the ground -----------------------------------------------------------------------------


@both
def test_bucket_logs_topic_builds_and_artifacts_are_encrypted_with_the_projects_key(project: Launch) -> None:
    key = project.attribute(only_id(dict(project.template), "AWS::KMS::Key"), "Arn")
    rule = one(project, "AWS::S3::Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == key
    assert one(project, "AWS::CodePipeline::Pipeline")["ArtifactStore"]["EncryptionKey"]["Id"] == key
    assert one(project, "AWS::SNS::Topic")["KmsMasterKeyId"] == key
    for properties in project.resources("AWS::CodeBuild::Project").values():
        assert properties["EncryptionKey"] == key
    for properties in project.resources("AWS::Logs::LogGroup").values():
        assert (properties["KmsKeyId"], properties["RetentionInDays"]) == (key, 90)


@both
def test_each_build_writes_into_a_log_group_that_cloudwatch_may_encrypt(project: Launch) -> None:
    policy = one(project, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    encrypted = {
        s["Condition"]["ArnEquals"]["kms:EncryptionContext:aws:logs:arn"].split(":log-group:")[1]
        for s in policy
        if str(s["Principal"].get("Service")).startswith("logs.")
    }
    written = {build(project, p)["LogsConfig"]["CloudWatchLogs"]["GroupName"] for p in BUILDS}
    existing = {g["LogGroupName"] for g in project.resources("AWS::Logs::LogGroup").values()}
    assert encrypted == existing == {f"/aws/codebuild/mlp-{MINE}-{p}" for p in BUILDS}
    assert len(written) == len(BUILDS)


@both
def test_nobody_outside_the_project_is_let_into_its_bucket(project: Launch) -> None:
    statements = one(project, "AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    assert [s["Effect"] for s in statements] == ["Deny"]
    principals = {json.dumps(s["Principal"]) for s in one(project, "AWS::KMS::Key")["KeyPolicy"]["Statement"]}
    assert {p for p in principals if "AWS" in p} == {json.dumps({"AWS": f"arn:aws:iam::{ACCOUNT}:root"})}


# ---- what starts it, and who hears of it ----------------------------------------------------------------------------


@both
def test_an_approval_of_the_group_starts_the_pipeline_and_a_start_that_fails_is_kept(project: Launch) -> None:
    (rule,) = [r for r in project.resources("AWS::Events::Rule").values() if r["Name"] == f"mlp-{MINE}-approved"]
    assert rule["EventPattern"] == {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [GROUP], "ModelApprovalStatus": ["Approved"]},
    }
    (target,) = rule["Targets"]
    assert target["Arn"] == PIPELINE
    (statement,) = project.roles()[role_id(project, target["RoleArn"])]
    assert (statement["Action"], statement["Resource"]) == ("codepipeline:StartPipelineExecution", PIPELINE)
    assert target["DeadLetterConfig"]["Arn"].endswith(f":mlp-{MINE}-missed-starts")
    alarm = one(project, "AWS::CloudWatch::Alarm")
    assert alarm["AlarmActions"] == [project.ref(only_id(dict(project.template), "AWS::SNS::Topic"))]
    assert alarm["Dimensions"] == [
        {
            "Name": "QueueName",
            "Value": project.attribute(only_id(dict(project.template), "AWS::SQS::Queue"), "QueueName"),
        }
    ]


@both
def test_the_approver_is_told_in_one_sentence_when_a_deployment_does_not_succeed(project: Launch) -> None:
    (rule,) = [r for r in project.resources("AWS::Events::Rule").values() if r["Name"] == f"mlp-{MINE}-not-succeeded"]
    assert rule["EventPattern"]["detail"] == {"pipeline": [f"mlp-{MINE}-deploy"], "state": ["FAILED", "STOPPED"]}
    (target,) = rule["Targets"]
    transformer = target["InputTransformer"]
    event = {"detail": {"state": "FAILED", "execution-id": "0a1b2c3d"}}
    text = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        value: Any = event
        for part in path.removeprefix("$.").split("."):
            value = value[part]
        text = text.replace(f"<{name}>", value)
    message = json.loads(text)  # EventBridge takes a JSON string
    assert message.startswith(f"The deployment of project churn (models of {GROUP}) ended as FAILED")
    assert f"pipelines/mlp-{MINE}-deploy/view" in message
    assert "0a1b2c3d" in message
    assert not re.search(r"[<>]", message)


@both
def test_the_topic_takes_messages_of_the_pipeline_of_events_and_of_alarms_and_mails_the_approver(
    project: Launch,
) -> None:
    topic = project.ref(only_id(dict(project.template), "AWS::SNS::Topic"))
    subscription = one(project, "AWS::SNS::Subscription")
    assert (subscription["TopicArn"], subscription["Protocol"]) == (topic, "email")
    assert subscription["Endpoint"] == "governance@example.com"
    pipeline = project.roles()[role_id(project, one(project, "AWS::CodePipeline::Pipeline")["RoleArn"])]
    assert allows(pipeline, "sns:Publish", topic)
    key = one(project, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    policy = one(project, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    for service in ("events.amazonaws.com", "cloudwatch.amazonaws.com"):
        (publishes,) = [s for s in policy if s["Principal"] == {"Service": service}]
        assert publishes["Action"] == "sns:Publish"
        (encrypts,) = [s for s in key if s["Principal"] == {"Service": service}]
        assert set(encrypts["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey*"}


@both
def test_the_source_is_the_branch_of_the_repository_over_the_connection(project: Launch) -> None:
    (source,) = stages(project)["Source"]
    assert source["Configuration"] == {
        "ConnectionArn": CONNECTION,
        "FullRepositoryId": "acme-ml/churn-deployment",
        "BranchName": "main",
        "OutputArtifactFormat": "CODE_ZIP",
        "DetectChanges": "true",
    }
    role = project.roles()[role_id(project, one(project, "AWS::CodePipeline::Pipeline")["RoleArn"])]
    mine, foreign = (
        {"codeconnections:FullRepositoryId": name} for name in ("acme-ml/churn-deployment", "acme-hr/salaries")
    )
    assert allows(role, "codeconnections:UseConnection", CONNECTION, **mine)
    assert not allows(role, "codeconnections:UseConnection", CONNECTION, **foreign)


@pytest.mark.parametrize("product", [DeployRealtimeProduct, DeployBatchProduct], ids=lambda p: p.SPEC.id)
def test_the_seed_code_is_the_archive_of_this_tree(product: type[Any], synth_product: SynthProduct) -> None:
    values = {"deploy-realtime": DEPLOY, "deploy-batch": BATCH}[product.SPEC.id]
    seed = one(launch(synth_product(product), values), "Custom::SeedCode")
    assert seed["AssetKey"] == f"assets/{hashlib.sha256(seed_code.archive(product.SPEC.seed_code)).hexdigest()}.zip"


# ---- order ----------------------------------------------------------------------------------------------------------


@both
def test_a_repository_gets_its_seed_code_when_both_accounts_were_reached(project: Launch) -> None:
    template = dict(project.template)
    before = waits_for(template, only_id(template, "Custom::SeedCode"))
    assert set(ids(template, "Custom::Deployment")) <= before
    reached = {(p["Stage"], p["AccountId"], p["Region"]) for p in project.resources("Custom::Deployment").values()}
    assert reached == {("test", TEST_ACCOUNT, REGION), ("prod", PROD_ACCOUNT, "eu-central-1")}
    assert {p["ProjectId"] for p in project.resources("Custom::Deployment").values()} == {MINE}


@both
def test_the_first_run_finds_the_seed_code_and_working_builds(project: Launch) -> None:
    template = dict(project.template)
    before = waits_for(template, only_id(template, "AWS::CodePipeline::Pipeline"))
    assert {only_id(template, "Custom::SeedCode"), *ids(template, "AWS::CodeBuild::Project")} <= before


@both
def test_on_termination_goes_the_pipeline_then_what_it_deployed_then_the_builds_then_the_bucket(
    project: Launch,
) -> None:
    # CloudFormation deletes in the reverse order of creation.
    template = dict(project.template)
    (contents,), (bucket,) = ids(template, "Custom::BucketContents"), ids(template, "AWS::S3::Bucket")
    deployments, builds = (set(ids(template, t)) for t in ("Custom::Deployment", "AWS::CodeBuild::Project"))
    assert deployments <= waits_for(template, only_id(template, "AWS::CodePipeline::Pipeline"))
    for deployment in deployments:  # it stops builds that run, so they must still be there
        assert builds <= waits_for(template, deployment)
    for build_id in builds:
        assert contents in waits_for(template, build_id)
    assert bucket in waits_for(template, contents)
    assert template["Resources"][bucket]["DeletionPolicy"] == "Delete"


@both
def test_tagged_roles_are_made_only_when_the_bucket_was_free(project: Launch) -> None:
    # The id of a project is typed when a product is launched by hand: somebody else's id fails on the bucket first.
    template = dict(project.template)
    for purpose in names.STAGES:
        role = role_id(project, build(project, purpose)["ServiceRole"])
        assert only_id(template, "AWS::S3::Bucket") in waits_for(template, role)


# ---- the form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, set()),
        (SERVERLESS, set()),
        (SERVERLESS | {"CapturePercent": "1"}, {"ServerlessCapturesNothing"}),
        (SERVERLESS | {"ShadowHours": "1"}, {"ServerlessHasNoShadow", "ShadowNeedsCapture"}),
        (SERVERLESS | {"TrafficPolicy": "linear"}, {"ServerlessShiftsAllAtOnce"}),
        ({"InstanceCount": "1"}, {"StepsNeedTwoMachines"}),
        ({"InstanceCount": "1", "TrafficPolicy": "all-at-once"}, set()),
        ({"ShadowHours": "24", "CapturePercent": "0"}, {"ShadowNeedsCapture"}),
        (COPIES, set()),
        (COPIES | {"CapturePercent": "0"}, {"CopiesNeedCapture"}),
        (COPIES | {"CaptureReplicaKeyArn": ""}, {"CopiesNeedAKey"}),
        (COPIES | {"CaptureReplicaBucket": ""}, {"AKeyNeedsCopies"}),
        ({"ApiAuth": "jwt"}, {"TokensNeedAUserPool"}),
        ({"ApiUserPoolArn": "arn:pool"}, {"AUserPoolNeedsTokens"}),
        ({"ApiAuth": "iam", "ApiUserPoolArn": "arn:pool"}, {"AUserPoolNeedsTokens"}),
        ({"ApiAuth": "jwt", "ApiUserPoolArn": "arn:pool"}, set()),
        ({"ApiAuth": "iam"}, set()),
    ],
)
def test_the_form_refuses_what_sagemaker_does_not_offer(
    realtime: Template, changed: dict[str, str], broken: set[str]
) -> None:
    run = launch(realtime, DEPLOY | changed)
    found = {
        name
        for name, rule in realtime["Rules"].items()
        if run.value(rule["RuleCondition"]) and not all(run.value(a["Assert"]) for a in rule["Assertions"])
    }
    assert found == broken


@pytest.mark.parametrize(
    ("parameter", "accepted", "refused"),
    [
        ("ModelPackageGroup", [GROUP, "a", "g" * 63], ["", "Churn", "-a", "a-", "a_b", "g" * 64]),
        ("TestAccountId", ["111122223333"], ["", "1111-2222-3333", "11112222333", "1111222233334"]),
        ("ProdRegion", ["", "eu-central-1", "us-gov-west-1", "ap-southeast-2"], ["EU", "eu-central", "frankfurt"]),
        ("ApproverEmail", ["a@b.example", "x+y@sub.example.com"], ["", "a", "a@b", "a b@c.de", "a@b.de,c@d.de x"]),
        ("InstanceType", ["ml.m5.large", "ml.g5.2xlarge", "ml.p4d.24xlarge"], ["m5.large", "ml.m5", "ml.m5.large "]),
        ("CaptureReplicaBucket", ["", "acme-captured"], ["a", "Acme", f"mlp-{OTHER}-prod-{ACCOUNT}-eu-west-1"]),
        (
            "CaptureReplicaKeyArn",
            ["", f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd"],
            ["1234abcd", f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/x"],
        ),
        (
            "ApiUserPoolArn",
            ["", "arn:aws:cognito-idp:eu-west-1:111122223333:userpool/eu-west-1_AbC123"],
            ["eu-west-1_AbC123", "arn:aws:cognito-idp:eu-west-1:111122223333:userpool/"],
        ),
    ],
)
def test_the_form_accepts_what_is_right_and_refuses_what_is_not(
    realtime: Template, parameter: str, accepted: list[str], refused: list[str]
) -> None:
    declared = realtime["Parameters"][parameter]
    assert [v for v in accepted if not re.fullmatch(declared["AllowedPattern"], v)] == []
    assert [v for v in refused if re.fullmatch(declared["AllowedPattern"], v)] == []


def test_the_batch_form_takes_folders_and_no_bucket_of_a_project(synth_product: SynthProduct) -> None:
    declared = synth_product(DeployBatchProduct)["Parameters"]
    for name in ("InputUriTest", "InputUriProd"):
        pattern = declared[name]["AllowedPattern"]
        assert re.fullmatch(pattern, "s3://sales-lake/churn/daily/")
        for wrong in ("s3://sales-lake/", "s3://sales-lake/churn", f"s3://mlp-{OTHER}-prod-{ACCOUNT}-eu-west-1/x/"):
            assert not re.fullmatch(pattern, wrong), wrong


def test_a_suffix_without_new_data_is_refused(synth_product: SynthProduct) -> None:
    template = synth_product(DeployBatchProduct)
    rule = template["Rules"]["SuffixNeedsNewData"]
    for trigger, suffix, fine in (("schedule", "", True), ("new-data", ".csv", True), ("schedule", ".csv", False)):
        run = launch(template, BATCH | {"Trigger": trigger, "NewDataSuffix": suffix})
        assert (not run.value(rule["RuleCondition"]) or run.value(rule["Assertions"][0]["Assert"])) is fine


# ---- the outputs ----------------------------------------------------------------------------------------------------


def test_a_person_finds_pipeline_repository_and_endpoints_in_the_outputs(project: Launch) -> None:
    outputs = project.outputs()
    assert outputs["PipelineUrl"] == (
        f"https://{REGION}.console.aws.amazon.com/codesuite/codepipeline/pipelines/mlp-{MINE}-deploy/view?region={REGION}"
    )
    assert outputs["TestEndpointName"] == f"churn-{MINE}-test"
    assert outputs["ProdEndpointName"] == f"churn-{MINE}-prod"
    assert outputs["ArtifactBucketName"] == f"mlp-{MINE}-{ACCOUNT}-{REGION}"
    assert GROUP in outputs["NextStep"]


def test_the_longest_endpoint_name_fits_into_sagemaker(realtime: Template) -> None:
    outputs = launch(realtime, LONGEST["deploy-realtime"]).outputs()
    assert max(len(outputs[f"{stage}EndpointName"]) for stage in ("Test", "Prod")) <= 63


@pytest.mark.parametrize("project", ["deploy-batch"], indirect=True)
def test_a_person_finds_the_predictions_in_the_outputs(project: Launch) -> None:
    outputs = project.outputs()
    assert outputs["TestOutputUri"] == f"s3://mlp-{MINE}-test-{TEST_ACCOUNT}-{REGION}/batch/"
    assert outputs["ProdOutputUri"] == f"s3://mlp-{MINE}-prod-{PROD_ACCOUNT}-eu-central-1/batch/"
