"""What happens to deployments over their lives: two on one model, a refused one, and one that is deleted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from products.shared import names
from rehearsal import code_pipelines, deployment_steps, journey, launching, organization_steps, production_steps
from rehearsal.organization import DEV, HUB, PROD, REGION, TEST, Credentials, wait_for
from rehearsal.organization import Organization as Emulated
from rehearsal.world import World
from tests.e2e.organization.__main__ import walk_and_clean
from tests.e2e.organization.settings import Organization, Settings
from tests.e2e.organization.stages import STAGES
from tests.e2e.organization.walk import Ledger, Walk
from tests.rehearsal.test_lifecycle import git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rehearsal.report import Launched

pytestmark = [pytest.mark.rehearsal, pytest.mark.prove]
TIMEOUT_S = 180.0
ACCOUNTS = (TEST, PROD)
AWAY = "eu-central-1"
"""The hub's second region; everything else happens in its home region."""

ADMINISTRATORS = {"hub": HUB, "dev": DEV, "test": TEST, "prod": PROD}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything up to the decision of the governance officer, who says no."""
    work = tmp_path_factory.mktemp("deployments")
    made = World(work, Emulated(work / "cloud"), None, None, regions=(REGION, AWAY))
    made.ask = lambda _question, _facts: False
    try:
        for run in journey.steps_before(production_steps.deploy_to_production):
            run(made)
        yield made
    finally:
        made.close()


def test_a_rejection_by_the_governance_officer_keeps_a_model_out_of_production_and_ends_the_rehearsal(
    refused: World,
) -> None:
    assert refused.over
    assert refused.facts.deployment["decision"] == {"approved": False, "summary": "Not convinced.", "asked": True}
    assert not [name for listed in left(refused, "-prod").values() for name in listed if f"{PROD}/" in name]
    assert [name for listed in left(refused, "-test").values() for name in listed]


@pytest.fixture(scope="module")
def world(refused: World) -> World:
    """An endpoint in production: the pipeline was started again after the rejection, and then the officer approved."""
    codepipeline = refused.client("codepipeline", refused.ml_engineer)
    name = code_pipelines.pipeline_of(refused)
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


def belongings(world: World) -> dict[str, Any]:
    """Return what the first project has: in the hub, in the accounts of its stages, and in its repository."""
    project, hub = project_id(world.deployment), Credentials.administrator(HUB)
    builds = [f"mlp-{project}-{purpose}" for purpose in ("render", *names.STAGES)]
    bucket = f"mlp-{project}-{HUB}-{REGION}"
    pipeline = world.client("codepipeline", hub).get_pipeline(name=code_pipelines.pipeline_of(world))
    found: dict[str, Any] = {
        "stages": left(world, project),
        "builds": world.client("codebuild", hub).batch_get_projects(names=builds)["projects"],
        "pipeline": pipeline["pipeline"],
        "files": {
            item["Key"]: item["ETag"]
            for item in world.client("s3", hub).list_objects_v2(Bucket=bucket)["Contents"]
            if item["Key"].startswith(("reports/", "packages/"))
        },
        "commit": git(world, world.deployment.parameters["Repository"], "rev-parse", "main"),
    }
    assert all(found.values())
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
        failed = code_pipelines.causes(codepipeline, pipeline)
        assert not failed, f"{failed}\n{code_pipelines.build_logs(world, codepipeline, pipeline)}"
        (stage,) = (s for s in stages if s["stageName"] == "Approve")
        token = stage["actionStates"][0].get("latestExecution", {}).get("token")
        return {"token": token, "execution": stage["latestExecution"]["pipelineExecutionId"]} if token else None

    return wait_for(look, overdue=f"{pipeline} did not ask", timeout_s=TIMEOUT_S)


def test_the_walk_through_a_real_organisation_walks_through_this_one(world: World, tmp_path: Path) -> None:
    """The dry run of `make e2e`: the same code, with the model and the deployment that are there already."""
    settings = Settings(
        region=REGION,
        profiles={},
        repository="data-science/walked",
        deployment_repository="ml-engineering/walked",
        data=world.work / "data/subscribers.csv",
        label=world.known["label"],
        approver_email="model-governance@example.com",
        model=world.facts.model_package["ModelPackageGroupName"],
        deployment=world.deployment.name,
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


def finished(catalog: Any, record: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 (boto3 client)
    """Wait until an operation on a provisioned product has ended, and return its record."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = catalog.describe_record(Id=record["RecordId"])["RecordDetail"]
        return found if found["Status"] in {"SUCCEEDED", "FAILED"} else None

    return wait_for(look, overdue=f"record {record['RecordId']} was not finished", timeout_s=TIMEOUT_S)


def connect_away(world: World) -> None:
    """Give the hub's second region what docs/setup.md asks for: the connection of its deployment projects."""
    administrator = Credentials.administrator(HUB)
    connections = world.client("codeconnections", administrator, region=AWAY)
    arn = connections.create_connection(ConnectionName="away", ProviderType="GitHub")["ConnectionArn"]
    world.organization.connect(arn, caller=administrator)
    name = names.contract_parameter("connection-arn")
    world.client("ssm", administrator, region=AWAY).put_parameter(Name=name, Type="String", Value=arn)


@pytest.mark.parametrize("region", [REGION, AWAY])
def test_a_product_launched_with_the_id_of_another_project_fails_and_takes_nothing_from_it(
    world: World, region: str
) -> None:
    """Another ML engineer fills in the form by hand, names the id of the project in production, and ends it again."""
    project, before = project_id(world.deployment), belongings(world)
    administrator, repository = Credentials.administrator(HUB), f"ml-engineering/again-{region}"
    other = world.organization.assume(HUB, organization_steps.ML_ENGINEER_ROLE, session="otto", caller=administrator)
    world.organization.make_repository(repository)
    if region == AWAY:
        connect_away(world)
    catalog = world.client("servicecatalog", other, region=region)
    product = launching.find_product(catalog, "deploy-realtime")["ProductId"]
    answers = deployment_steps.CHOICES | {
        "SageMakerProjectName": "again",
        "SageMakerProjectId": project,
        "ModelPackageGroup": world.facts.promotion["package"]["ModelPackageGroupName"],
        "Repository": repository,
        "TestAccountId": PROD,
    }
    launched = catalog.provision_product(
        ProductId=product,
        ProvisioningArtifactId=launching.find_version(catalog, product)["Id"],
        PathId=catalog.list_launch_paths(ProductId=product)["LaunchPathSummaries"][0]["Id"],
        ProvisionedProductName="again",
        ProvisioningParameters=[{"Key": key, "Value": value} for key, value in answers.items()],
        ProvisionToken=f"again-{region}",
    )["RecordDetail"]
    ended = finished(catalog, launched)

    assert ended["Status"] == "FAILED"
    (message,) = (error["Description"] for error in ended["RecordErrors"])
    if region == AWAY:
        assert f"belongs to a deployment project that was launched in region {REGION} of the hub" in message
        assert f"mlp-{project}-" in message
        assert "Launch from Studio, which fills in the id of the new project" in message
    else:  # CloudFormation does not even begin, and says why to who asks it (README of the product, Troubleshooting)
        assert "Validation failed with 1 error(s). Call DescribeEvents" in message
        stacks = world.client("cloudformation", other, region=region)
        events = stacks.describe_events(StackName=f"SC-{HUB}-{launched['ProvisionedProductId']}")["OperationEvents"]
        reasons = [event["ValidationStatusReason"] for event in events if "ValidationStatusReason" in event]
        assert any(f"mlp-{project}-{HUB}-{REGION}" in r and "already exists" in r for r in reasons)

    end = catalog.terminate_provisioned_product(
        ProvisionedProductId=launched["ProvisionedProductId"], TerminateToken=f"end-again-{region}"
    )["RecordDetail"]
    assert finished(catalog, end)["Status"] == "SUCCEEDED"
    assert belongings(world) == before
    assert not git(world, repository, "for-each-ref")
    assert not world.client("codebuild", administrator, region=AWAY).batch_get_projects(
        names=[build["name"] for build in before["builds"]]
    )["projects"]
    stage, account = ("test", TEST) if region == REGION else ("prod", PROD)
    session = stage_credentials(world, project, f"{project}-{stage}", account=account)
    (stack,) = world.client("cloudformation", session).describe_stacks(StackName=f"mlp-{project}-{stage}")["Stacks"]
    assert stack["StackStatus"].endswith("_COMPLETE")
    assert answered(world, PROD, production_steps._endpoint(world))


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
    ended = code_pipelines.await_execution(world, codepipeline, pipeline, question["execution"])
    assert ended["status"] == "Succeeded", code_pipelines.build_logs(world, codepipeline, pipeline)
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


def stage_credentials(world: World, project: str, tag: str, *, account: str = TEST) -> Credentials:
    """Return credentials of the deploy role in an account, as the build of a project's stage there gets them."""
    build_project = f"mlp-{project}-{'prod' if account == PROD else 'test'}"
    # The role of the build trusts CodeBuild only, so a build hands its credentials out.
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
        projectName=build_project,
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
    (made,) = builds.batch_get_projects(names=[build_project])["projects"]
    iam = world.client("iam", Credentials.administrator(HUB))
    tags = iam.list_role_tags(RoleName=made["serviceRole"].rsplit("/", 1)[-1])["Tags"]
    group = [{"Key": t["Key"], "Value": t["Value"]} for t in tags if t["Key"] == names.GROUP_TAG]  # none in 1.0.0
    answer = world.client("sts", own).assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/{names.DEPLOY_ROLE}",
        RoleSessionName="attempt",
        Tags=[{"Key": names.DEPLOYMENT_TAG, "Value": tag}, *group],
    )["Credentials"]
    return Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"], account)


def test_deleting_a_project_takes_its_deployments_down_and_nothing_else(world: World, second: Launched) -> None:
    deleted, kept = project_id(world.deployment), project_id(second)
    assert all(left(world, deleted).values())
    remaining = left(world, kept)
    sagemaker = world.client("sagemaker", world.ml_engineer)

    sagemaker.delete_project(ProjectName=world.deployment.name)

    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end and _status(sagemaker, world.deployment.name) == "DeleteInProgress":
        time.sleep(0.2)
    assert _status(sagemaker, world.deployment.name) in {"DeleteCompleted", "gone"}
    assert left(world, deleted) == {kind: [] for kind in remaining}
    assert left(world, kept) == remaining
    hub = Credentials.administrator(HUB)
    pipelines = [p["name"] for p in world.client("codepipeline", hub).list_pipelines()["pipelines"]]
    assert pipelines == [second.outputs["PipelineName"]]
    assert not [b for b in world.client("s3", hub).list_buckets()["Buckets"] if deleted in b["Name"]]
    assert answered(world, TEST, second.outputs["ProdEndpointName"])
    package = world.facts.promotion["package"]["ModelPackageArn"]
    assert sagemaker.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"] == "Approved"


def _status(sagemaker: Any, project: str) -> str:  # noqa: ANN401 (boto3 client)
    try:
        return str(sagemaker.describe_project(ProjectName=project)["ProjectStatus"])
    except ClientError:
        return "gone"
