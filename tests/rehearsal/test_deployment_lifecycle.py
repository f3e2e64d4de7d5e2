"""What happens to deployments over their lives: two on one model, a refused one, and one that is deleted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from products.shared import names
from rehearsal import deployment_steps, journey, production_steps
from rehearsal.organization import DEV, HUB, PROD, REGION, TEST, Credentials, wait_for
from rehearsal.organization import Organization as Emulated
from rehearsal.world import World
from tests.e2e.organization.__main__ import walk_and_clean
from tests.e2e.organization.settings import Organization, Settings
from tests.e2e.organization.stages import STAGES
from tests.e2e.organization.walk import Ledger, Walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rehearsal.report import Launched

pytestmark = [pytest.mark.rehearsal, pytest.mark.prove]
TIMEOUT_S = 180.0
ACCOUNTS = (TEST, PROD)
ADMINISTRATORS = {"hub": HUB, "dev": DEV, "test": TEST, "prod": PROD}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything up to the decision of the governance officer, who says no."""
    work = tmp_path_factory.mktemp("deployments")
    made = World(work, Emulated(work / "cloud"), None, None)
    made.ask = lambda _question, _facts: False
    try:
        for run in journey.steps_before(production_steps.deploy_to_production):
            run(made)
        yield made
    finally:
        made.close()


def test_a_no_of_the_governance_officer_keeps_a_model_out_of_production_and_ends_the_rehearsal(refused: World) -> None:
    assert refused.over
    assert refused.facts.deployment["decision"] == {"approved": False, "summary": "Not convinced.", "asked": True}
    assert not [name for listed in left(refused, "-prod").values() for name in listed if f"{PROD}/" in name]
    assert [name for listed in left(refused, "-test").values() for name in listed]


@pytest.fixture(scope="module")
def world(refused: World) -> World:
    """An endpoint in production: the pipeline was started again after the no, and then the officer said yes."""
    codepipeline = refused.client("codepipeline", refused.ml_engineer)
    name = deployment_steps.pipeline_of(refused)
    refused.execution = codepipeline.start_pipeline_execution(name=name)["pipelineExecutionId"]
    refused.ask = None
    for run in (
        deployment_steps.deploy_to_test,
        deployment_steps.approve_as_governance_officer,
        production_steps.deploy_to_production,
        production_steps.predict,
    ):
        run(refused)
    return refused


def project_id(launched: Launched | None) -> str:
    assert launched
    return launched.parameters["SageMakerProjectId"]


def left(world: World, project: str) -> dict[str, list[str]]:
    """Return what carries a project's id in the accounts of test and production."""
    found: dict[str, list[str]] = {}
    for account in ACCOUNTS:
        owner = Credentials.administrator(account)
        stacks = world.client("cloudformation", owner).describe_stacks()["Stacks"]
        roles = world.client("iam", owner).list_roles(PathPrefix=names.DEPLOYMENT_ROLE_PATH)["Roles"]
        sagemaker = world.client("sagemaker", owner)
        every = {
            "stacks": [stack["StackName"] for stack in stacks],
            "roles": [role["RoleName"] for role in roles],
            "endpoints": [endpoint["EndpointName"] for endpoint in sagemaker.list_endpoints()["Endpoints"]],
            "models": [model["ModelName"] for model in sagemaker.list_models()["Models"]],
            "pipelines": [p["PipelineName"] for p in sagemaker.list_pipelines()["PipelineSummaries"]],
            "buckets": [bucket["Name"] for bucket in world.client("s3", owner).list_buckets()["Buckets"]],
        }
        for kind, listed in every.items():
            found.setdefault(kind, []).extend(f"{account}/{name}" for name in sorted(listed) if project in name)
    return found


def answered(world: World, account: str, endpoint: str) -> Any:  # noqa: ANN401 - JSON
    runtime = world.client("sagemaker-runtime", Credentials.administrator(account))
    body = json.dumps([entry["record"] for entry in world.facts.predictions])
    answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=body.encode(), ContentType="application/json")
    return json.loads(answer["Body"].read())


def asked(world: World, pipeline: str) -> dict[str, str]:
    """Wait until a pipeline asks for approval; return the token and the id of the execution."""
    codepipeline = world.client("codepipeline", world.governance_officer)

    def look() -> dict[str, str] | None:
        stages = codepipeline.get_pipeline_state(name=pipeline)["stageStates"]
        failed = deployment_steps.causes(codepipeline, pipeline)
        assert not failed, f"{failed}\n{deployment_steps.build_logs(world, codepipeline, pipeline)}"
        (stage,) = (s for s in stages if s["stageName"] == "Approve")
        token = stage["actionStates"][0].get("latestExecution", {}).get("token")
        return {"token": token, "execution": stage["latestExecution"]["pipelineExecutionId"]} if token else None

    return wait_for(look, overdue=f"{pipeline} did not ask", timeout_s=TIMEOUT_S)


def test_the_walk_through_a_real_organisation_walks_through_this_one(world: World, tmp_path: Path) -> None:
    """The dry run of `make e2e`: the same code, with the model and the deployment that are there already."""
    assert world.data
    settings = Settings(
        region=REGION,
        profiles={},
        repository="data-science/walked",
        deployment_repository="ml-engineering/walked",
        data=world.data,
        label=world.label or "",
        approver_email="model-governance@example.com",
        model=world.facts.model_package["ModelPackageGroupName"],
        deployment=deployment_steps.PROJECT_NAME,
    )
    people = {
        **{who: Credentials.administrator(account) for who, account in ADMINISTRATORS.items()},
        "lead": world.lead,
        "data_scientist": world.data_scientist,
        "ml_engineer": world.ml_engineer,
        "governance_officer": world.governance_officer,
    }
    for repository in (settings.repository, settings.deployment_repository):
        world.organization.make_repository(repository)
    organization = Organization(settings, lambda service, who: world.client(service, people[who]), 0.1, is_aws=False)
    said: list[str] = []
    walk = Walk(organization, Ledger(tmp_path / "ledger.json"), name="walked", say=said.append)
    text, good = walk_and_clean(walk)
    assert good, "\n".join([*said, text])
    assert list(walk.seconds) == [stage.name for stage in STAGES]
    assert {result.belief for result in walk.results if result.state == "not asked"} == {
        "hub-is-complete",
        "hub-deploys-itself",
    }
    assert not any(account in text for account in ADMINISTRATORS.values())
    assert "nothing that was noted" in text


@pytest.fixture(scope="module")
def second(world: World) -> Launched:
    """Another deployment project on the same model package group, with test and production in one account."""
    launched: Launched = deployment_steps.launch_project(
        world, "second-endpoint", "ml-engineering/second-endpoint", TestAccountId=TEST, ProdAccountId=TEST
    )
    return launched


def test_two_projects_deploy_one_model_next_to_each_other_even_with_both_stages_in_one_account(
    world: World, second: Launched
) -> None:
    before = left(world, project_id(world.deployment))
    pipeline = second.outputs["PipelineName"]
    question = asked(world, pipeline)

    world.client("codepipeline", world.governance_officer).put_approval_result(
        pipelineName=pipeline,
        stageName="Approve",
        actionName="GovernanceApproval",
        token=question["token"],
        result={"status": "Approved", "summary": "As the first one."},
    )

    codepipeline = world.client("codepipeline", world.governance_officer)
    ended = deployment_steps.await_execution(world, codepipeline, pipeline, question["execution"])
    assert ended["status"] == "Succeeded", deployment_steps.build_logs(world, codepipeline, pipeline)
    assert left(world, project_id(world.deployment)) == before
    endpoints = [second.outputs[f"{stage}EndpointName"] for stage in ("Test", "Prod")]
    answers = [answered(world, TEST, endpoint) for endpoint in endpoints]
    assert answers[0] == answers[1] == answered(world, PROD, production_steps._endpoint(world))


def test_the_deploy_role_of_one_project_touches_nothing_of_another(world: World, second: Launched) -> None:
    """The build of a stage cannot take the other's tag, and with its own tag it reaches its own names only."""
    ours, theirs = project_id(world.deployment), project_id(second)
    credentials = stage_credentials(world, ours, f"{ours}-test")
    (bucket,) = (b for b in left(world, theirs)["buckets"] if f"{theirs}-test" in b)
    stacks = world.client("cloudformation", credentials)

    with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole"):
        stage_credentials(world, ours, f"{theirs}-test")
    with pytest.raises(ClientError, match="AccessDenied"):
        world.client("s3", credentials).list_objects_v2(Bucket=bucket.partition("/")[2])
    for operation in (stacks.delete_stack, stacks.describe_stack_events):
        with pytest.raises(ClientError, match="not authorized"):
            operation(StackName=f"mlp-{theirs}-test")
    assert stacks.describe_stack_events(StackName=f"mlp-{ours}-test")["StackEvents"]


def stage_credentials(world: World, project: str, tag: str) -> Credentials:
    """Return credentials of the deploy role in the test account, as the build of a project's test stage gets them."""
    # The role of the build trusts CodeBuild and nobody else, so a build hands its credentials out.
    builds = world.client("codebuild", Credentials.administrator(HUB))
    buildspec = {
        "version": "0.2",
        "env": {"exported-variables": ["KEY", "SECRET", "TOKEN"]},
        "phases": {
            "build": {
                "commands": [
                    "export KEY=$AWS_ACCESS_KEY_ID SECRET=$AWS_SECRET_ACCESS_KEY TOKEN=$AWS_SESSION_TOKEN",
                ]
            }
        },
    }
    started = builds.start_build(
        projectName=f"mlp-{project}-test",
        sourceTypeOverride="NO_SOURCE",
        artifactsOverride={"type": "NO_ARTIFACTS"},
        buildspecOverride=json.dumps(buildspec),
    )["build"]

    def done() -> dict[str, Any] | None:
        (build,) = builds.batch_get_builds(ids=[started["id"]])["builds"]
        return build if build["buildComplete"] else None

    build = wait_for(done, overdue="the build was not over", timeout_s=30)
    found = {variable["name"]: variable["value"] for variable in build["exportedEnvironmentVariables"]}
    own = Credentials(found["KEY"], found["SECRET"], found["TOKEN"], HUB)
    (made,) = builds.batch_get_projects(names=[f"mlp-{project}-test"])["projects"]
    iam = world.client("iam", Credentials.administrator(HUB))
    tags = iam.list_role_tags(RoleName=made["serviceRole"].rsplit("/", 1)[-1])["Tags"]
    group = [{"Key": t["Key"], "Value": t["Value"]} for t in tags if t["Key"] == names.GROUP_TAG]  # none in 1.0.0
    answer = world.client("sts", own).assume_role(
        RoleArn=f"arn:aws:iam::{TEST}:role/{names.DEPLOY_ROLE}",
        RoleSessionName="attempt",
        Tags=[{"Key": names.DEPLOYMENT_TAG, "Value": tag}, *group],
    )["Credentials"]
    return Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"], TEST)


def test_deleting_a_project_takes_its_deployments_down_and_nothing_else(world: World, second: Launched) -> None:
    deleted, kept = project_id(world.deployment), project_id(second)
    assert all(left(world, deleted).values())
    remaining = left(world, kept)
    sagemaker = world.client("sagemaker", world.ml_engineer)

    sagemaker.delete_project(ProjectName=deployment_steps.PROJECT_NAME)

    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end and _status(sagemaker) == "DeleteInProgress":
        time.sleep(0.2)
    assert _status(sagemaker) in {"DeleteCompleted", "gone"}
    assert left(world, deleted) == {kind: [] for kind in remaining}
    assert left(world, kept) == remaining
    hub = Credentials.administrator(HUB)
    pipelines = [p["name"] for p in world.client("codepipeline", hub).list_pipelines()["pipelines"]]
    assert pipelines == [second.outputs["PipelineName"]]
    assert not [b for b in world.client("s3", hub).list_buckets()["Buckets"] if deleted in b["Name"]]
    assert answered(world, TEST, second.outputs["ProdEndpointName"])
    package = world.facts.promotion["package"]["ModelPackageArn"]
    assert sagemaker.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"] == "Approved"


def _status(sagemaker: Any) -> str:  # noqa: ANN401 (boto3 client)
    try:
        return str(sagemaker.describe_project(ProjectName=deployment_steps.PROJECT_NAME)["ProjectStatus"])
    except ClientError:
        return "gone"
