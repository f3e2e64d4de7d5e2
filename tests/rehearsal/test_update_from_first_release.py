"""What was launched from 1.0.0 is updated to the newest version, and keeps its data, models, repository and endpoint.

Version 1.0.0 can be hidden by now. The hub's administrator then opens it for the moment of a launch.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from products.releases import load_catalog
from products.shared import names
from rehearsal import code_pipelines, launching, organization_steps
from rehearsal.organization import DEV, HUB, PROD, REGION, ROOT, TEST, Credentials, wait_for
from tests.rehearsal.cloud.test_realtime_steps import archive, package, samples
from tests.rehearsal.test_contract import administrator, lead_in_studio, provision, stop_builds, succeeded
from tests.rehearsal.test_lifecycle import git

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.world import World

pytestmark = [pytest.mark.rehearsal, pytest.mark.prove]
FIRST: Final = "1.0.0"
TIMEOUT_S: Final = 240.0
REGISTRY: Final = names.registry_bucket(HUB, REGION)
IMAGE: Final = f"141502667606.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:3.2-0"
OF_A_VERSION: Final = {"CommitId", "NextStep"}
"""Outputs that say something about the version, not about what was made."""


@contextlib.contextmanager
def first_release(world: World, product_id: str) -> Iterator[tuple[str, str]]:
    """Let people launch 1.0.0 of a product, and hide it again if it was hidden; yields ids of product and version."""
    catalog = administrator(world, "servicecatalog", HUB)
    title = load_catalog(ROOT).products[product_id].newest.title
    views = [found["ProductViewSummary"] for found in catalog.search_products_as_admin()["ProductViewDetails"]]
    (product,) = (view["ProductId"] for view in views if view["Name"] == title)
    found = catalog.list_provisioning_artifacts(ProductId=product)["ProvisioningArtifactDetails"]
    (version,) = (artifact for artifact in found if artifact["Name"] == FIRST)
    place = {"ProductId": product, "ProvisioningArtifactId": version["Id"]}
    catalog.update_provisioning_artifact(**place, Active=True)
    try:
        yield product, version["Id"]
    finally:
        catalog.update_provisioning_artifact(**place, Active=version["Active"])


@dataclass(frozen=True)
class Project:
    """A SageMaker project that was created with 1.0.0.

    Attributes:
        world: The organisation.
        who: The person who created it.
        name: Its name.
        id: Its id.
        product: Id of its product.
        chosen: The answers to the product's questions.
    """

    world: World
    who: Credentials
    name: str
    id: str
    product: str
    chosen: dict[str, str]

    @property
    def outputs(self) -> dict[str, str]:
        """What the provisioned product puts out now."""
        described = self.world.client("sagemaker", self.who).describe_project(ProjectName=self.name)
        provisioned = described["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductId"]
        catalog = self.world.client("servicecatalog", self.who)
        found = catalog.get_provisioned_product_outputs(ProvisionedProductId=provisioned)["Outputs"]
        return {output["OutputKey"]: output["OutputValue"] for output in found}

    def update(self, expected: str = "UpdateCompleted", **anew: str) -> str:
        """Update it to the recommended version as its person does; return the version.

        Args:
            expected: Status in which the project must be then.
            anew: Answers that the person changes; all others stay as they are.
        """
        version = launching.find_version(self.world.client("servicecatalog", self.who), self.product)
        assert version["Name"] != FIRST
        self.world.client("sagemaker", self.who).update_project(
            ProjectName=self.name,
            ServiceCatalogProvisioningUpdateDetails={
                "ProvisioningArtifactId": version["Id"],
                "ProvisioningParameters": [{"Key": k, "Value": v} for k, v in (self.chosen | anew).items()],
            },
        )
        self.settle(expected)
        return str(version["Name"])

    def settle(self, expected: str) -> None:
        """Wait until nothing is in progress; the project must be in a status then."""
        sagemaker = self.world.client("sagemaker", self.who)

        def look() -> dict[str, Any] | None:
            described: dict[str, Any] = sagemaker.describe_project(ProjectName=self.name)
            return None if described["ProjectStatus"].endswith("InProgress") else described

        described = wait_for(look, overdue=f"project {self.name} was not done", timeout_s=TIMEOUT_S)
        assert described["ProjectStatus"] == expected, described["ServiceCatalogProvisionedProductDetails"]

    def git(self, *arguments: str) -> str:
        """Ask its repository."""
        return git(self.world, self.chosen["Repository"], *arguments)


def create(world: World, who: Credentials, product_id: str, name: str, **more: str) -> Project:
    """Create a project with 1.0.0 of a product."""
    own = {"SageMakerProjectName", "SageMakerProjectId"}
    offered = load_catalog(ROOT).products[product_id].release(FIRST).template()["Parameters"].keys() - own
    chosen = {k: v for k, v in (launching.answers(world, product_id, name) | more).items() if k in offered}
    world.organization.make_repository(chosen["Repository"])
    with first_release(world, product_id) as (product, version):
        made = world.client("sagemaker", who).create_project(
            ProjectName=name,
            ServiceCatalogProvisioningDetails={
                "ProductId": product,
                "ProvisioningArtifactId": version,
                "ProvisioningParameters": [{"Key": k, "Value": v} for k, v in chosen.items()],
            },
        )
        project = Project(world, who, name, made["ProjectId"], product, chosen)
        project.settle("CreateCompleted")
    return project


def kept(outputs: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in outputs.items() if name not in OF_A_VERSION}


def objects(world: World, account: str, bucket: str) -> dict[str, str]:
    """Return the ETags of a bucket's objects by key."""
    listed = administrator(world, "s3", account).list_objects_v2(Bucket=bucket)
    return {entry["Key"]: entry["ETag"] for entry in listed.get("Contents", [])}


# ---- the domain -----------------------------------------------------------------------------------------------------


def test_a_domain_keeps_its_id_people_bucket_and_connection(platform: World) -> None:
    product_id = "sagemaker-domain"
    first = load_catalog(ROOT).products[product_id].release(FIRST)
    with first_release(platform, product_id) as (product, _):
        launched = provision(platform, first, "first-lab")
    before, domain = dict(launched.outputs), launched.outputs["DomainId"]
    platform.organization.connect(before["ConnectionArn"], caller=platform.lead)
    administrator(platform, "s3").put_object(Bucket=before["BucketName"], Key="notebooks/churn.ipynb", Body=b"{}")
    sagemaker = administrator(platform, "sagemaker")

    def people() -> dict[str, str]:
        listed = sagemaker.list_user_profiles(DomainIdEquals=domain)["UserProfiles"]
        return {
            name: sagemaker.describe_user_profile(DomainId=domain, UserProfileName=name)["UserSettings"][
                "ExecutionRole"
            ]
            for name in (profile["UserProfileName"] for profile in listed)
        }

    roles = people()
    catalog = platform.client("servicecatalog", platform.lead)
    version = launching.find_version(catalog, product)
    chosen = launching.answers(platform, product_id, "first-lab").keys() & first.template()["Parameters"].keys()
    record = catalog.update_provisioned_product(
        ProvisionedProductId=launched.id,
        ProvisioningArtifactId=version["Id"],
        ProvisioningParameters=[{"Key": key, "UsePreviousValue": True} for key in sorted(chosen)],
        UpdateToken="update-first-lab",
    )["RecordDetail"]
    after = succeeded(catalog, record["RecordId"])

    # Profiles of people who are no persona get another role (README of the product).
    assert {k: v for k, v in kept(before).items() if k != "ExecutionRoleArn"}.items() <= after.items()
    assert people() == roles
    connection = administrator(platform, "codeconnections").get_connection(ConnectionArn=after["ConnectionArn"])
    assert connection["Connection"]["ConnectionStatus"] == "AVAILABLE"
    assert objects(platform, DEV, after["BucketName"]).keys() == {"notebooks/churn.ipynb"}
    signed_in = platform.organization.assume(
        DEV, organization_steps.DATA_SCIENTIST_ROLE, session="dan", caller=Credentials.administrator(DEV)
    )
    studio = platform.organization.open_studio(domain, "data-scientist", caller=signed_in)
    assert "ProjectSummaryList" in platform.client("sagemaker", studio).list_projects()


# ---- training -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """A project of train-s3 with a registered model.

    Attributes:
        project: The project.
        package: ARN of the model's package.
    """

    project: Project
    package: str


@pytest.fixture(scope="module")
def trained(platform: World) -> Trained:
    """A project from 1.0.0 whose bucket holds a model that is registered."""
    project = create(platform, platform.data_scientist, "train-s3", "first-training", Trigger="Schedule")
    stop_builds(platform)
    bucket = project.outputs["ArtifactBucketName"]
    files = {f"samples/{name}": text.encode() for name, text in samples(100).items()}
    for name, content in (files | {"model.tar.gz": archive(100)}).items():
        administrator(platform, "s3").put_object(Bucket=bucket, Key=f"models/1/{name}", Body=content)
    made = platform.client("sagemaker", platform.data_scientist).create_model_package(
        ModelPackageGroupName=project.outputs["ModelPackageGroupName"],
        ModelApprovalStatus="PendingManualApproval",
        **package(f"s3://{bucket}/models/1", image=IMAGE),
    )
    return Trained(project, made["ModelPackageArn"])


def test_a_training_project_keeps_data_models_and_repository_and_is_offered_the_new_seed_code(
    platform: World, trained: Trained
) -> None:
    project = trained.project
    before, commit = project.outputs, project.git("rev-parse", "main")
    files = objects(platform, DEV, before["ArtifactBucketName"])
    project.update(expected="UpdateFailed")  # with a word that the question no longer knows
    assert project.outputs == before
    version = project.update(Trigger="schedule")

    assert kept(before).items() <= project.outputs.items()
    assert files
    assert files.items() <= objects(platform, DEV, before["ArtifactBucketName"]).items()
    described = platform.client("sagemaker", platform.data_scientist).describe_model_package(
        ModelPackageName=trained.package
    )
    assert described["ModelPackageGroupName"] == before["ModelPackageGroupName"]
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert project.git("rev-parse", "main") == commit
    branch = f"ml-platform/{version}"
    assert project.git("merge-base", "main", branch) == commit
    assert project.git("diff", "--name-only", "main", branch)


# ---- deployment -----------------------------------------------------------------------------------------------------


def approve(world: World, package_arn: str, *statuses: str) -> None:
    """Decide as the lead on a model in development."""
    sagemaker = world.client("sagemaker", lead_in_studio(world))
    for status in statuses:
        sagemaker.update_model_package(
            ModelPackageArn=package_arn, ModelApprovalStatus=status, ApprovalDescription="As agreed."
        )


def promoted(world: World, group: str) -> str:
    """Wait until the one package of a group of the hub waits for its approval, and can be deployed; return its ARN."""
    sagemaker, s3 = administrator(world, "sagemaker", HUB), administrator(world, "s3", HUB)

    def look() -> str | None:
        records = s3.list_objects_v2(Bucket=REGISTRY, Prefix=f"promoted/{group}/").get("KeyCount")
        if not records:
            return None
        (found,) = sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
        return str(found["ModelPackageArn"]) if found["ModelApprovalStatus"] == "PendingManualApproval" else None

    return wait_for(look, overdue=f"nothing was promoted to {group}", timeout_s=60)


def forget_what_was_promoted(world: World, group: str) -> None:
    """Leave of a promotion what the hub of 1.0.0 left: no record to compare with, and no ETags of the copies."""
    s3 = administrator(world, "s3", HUB)

    def keys(kind: str) -> list[str]:
        listed = s3.list_objects_v2(Bucket=REGISTRY, Prefix=f"{kind}/{group}/").get("Contents", [])
        return [entry["Key"] for entry in listed]

    def finished() -> dict[str, Any] | None:
        (key,) = keys("promotions")
        record: dict[str, Any] = json.loads(s3.get_object(Bucket=REGISTRY, Key=key)["Body"].read())
        return record if record["complete"] else None

    record = wait_for(finished, overdue="the promotion was not complete", timeout_s=60)
    (key,) = keys("promotions")
    for entry in record["artifacts"]:
        del entry["target_etag"]
    s3.put_object(Bucket=REGISTRY, Key=key, Body=json.dumps(record).encode())
    (key,) = keys("promoted")
    s3.delete_object(Bucket=REGISTRY, Key=key)


def approve_in_hub(world: World, package_arn: str) -> None:
    """Approve a model as the ML engineer."""
    world.client("sagemaker", world.ml_engineer).update_model_package(
        ModelPackageArn=package_arn, ModelApprovalStatus="Approved", ApprovalDescription="As agreed."
    )


@dataclass
class Endpoint:
    """The endpoint of the test stage of a deployment project, and how often it was asked.

    Attributes:
        project: The project.
        asked: Requests so far, all of which were answered.
    """

    project: Project
    asked: int = 0

    def ask(self) -> None:
        """Ask for one prediction, which must come."""
        answer = self.project.world.client("sagemaker-runtime", Credentials.administrator(TEST)).invoke_endpoint(
            EndpointName=self.project.outputs["TestEndpointName"],
            Body=json.dumps({"age": 50}),
            ContentType="application/json",
            Accept="application/json",
        )
        assert json.loads(answer["Body"].read()) == {"predictions": [{"score": 0.5, "label": "yes"}]}
        self.asked += 1

    def wait_for_question(self, *, meanwhile: bool) -> dict[str, str]:
        """Wait until the newest execution asks the governance officer; return the token and the execution.

        Args:
            meanwhile: Whether the endpoint answers all the time.
        """
        world, name = self.project.world, self.project.outputs["PipelineName"]
        codepipeline = world.client("codepipeline", world.ml_engineer)

        def look() -> dict[str, str] | None:
            if meanwhile:
                self.ask()
            failed = code_pipelines.causes(codepipeline, name)
            assert not failed, f"{failed}\n{code_pipelines.build_logs(world, codepipeline, name)}"
            newest = code_pipelines.newest_execution(codepipeline, name)
            stages = codepipeline.get_pipeline_state(name=name)["stageStates"]
            (stage,) = (found for found in stages if found["stageName"] == "Approve")
            token = stage["actionStates"][0].get("latestExecution", {}).get("token")
            current = stage.get("latestExecution", {}).get("pipelineExecutionId") == newest
            return {"token": token, "execution": newest} if token and current else None

        return wait_for(look, overdue=f"{name} did not ask", timeout_s=TIMEOUT_S)

    def answer(self, token: str) -> None:
        """Answer the governance officer's question with yes."""
        world = self.project.world
        world.client("codepipeline", world.governance_officer).put_approval_result(
            pipelineName=self.project.outputs["PipelineName"],
            stageName="Approve",
            actionName="GovernanceApproval",
            token=token,
            result={"status": "Approved", "summary": "As agreed."},
        )

    def end_of(self, execution: str) -> str:
        """Wait until an execution has ended, and return the ends of the logs of its builds that failed."""
        world, name = self.project.world, self.project.outputs["PipelineName"]
        codepipeline = world.client("codepipeline", world.ml_engineer)
        code_pipelines.await_execution(world, codepipeline, name, execution)
        return code_pipelines.build_logs(world, codepipeline, name)

    def execution_after(self, execution: str) -> str:
        """Wait until another execution than the newest so far has begun, and return its id."""
        world, name = self.project.world, self.project.outputs["PipelineName"]
        codepipeline = world.client("codepipeline", world.ml_engineer)

        def started() -> str | None:
            newest = code_pipelines.newest_execution(codepipeline, name)
            return newest if newest != execution else None

        return wait_for(started, overdue=f"nothing started {name}", timeout_s=60)


def test_an_endpoint_is_deployed_over_keeps_its_name_and_files_and_answers_throughout(
    platform: World, trained: Trained
) -> None:
    group = f"{trained.project.outputs['ModelPackageGroupName']}-{DEV}"
    approve(platform, trained.package, "Approved")
    model = promoted(platform, group)
    forget_what_was_promoted(platform, group)
    approve_in_hub(platform, model)
    project = create(platform, platform.ml_engineer, "deploy-realtime", "first-serving", ModelPackageGroup=group)
    endpoint = Endpoint(project)
    question = endpoint.wait_for_question(meanwhile=False)
    endpoint.ask()
    before, stack = project.outputs, f"mlp-{project.id}-test-base"
    cloudformation = administrator(platform, "cloudformation", TEST)
    template = cloudformation.get_template(StackName=stack)["TemplateBody"]
    bucket = f"mlp-{project.id}-test-{TEST}-{REGION}"
    files, reports = objects(platform, TEST, bucket), objects(platform, HUB, before["ArtifactBucketName"])

    version = project.update()
    assert kept(before).items() <= project.outputs.items()
    endpoint.ask()

    # The old steps name no group of models: they change nothing any more.
    endpoint.answer(question["token"])
    assert "role ml-platform-deploy of account" in endpoint.end_of(question["execution"])
    assert not administrator(platform, "sagemaker", PROD).list_endpoints(NameContains=project.id)["Endpoints"]
    # The new steps deploy what was promoted, which is unknown of a model from before.
    project.git("update-ref", "refs/heads/main", f"ml-platform/{version}")
    log = endpoint.end_of(endpoint.execution_after(question["execution"]))
    assert "Have its lead approve the original in development once more" in log
    endpoint.ask()
    approve(platform, trained.package, "Rejected", "Approved")
    assert promoted(platform, group) == model
    approve_in_hub(platform, model)
    asked = endpoint.asked
    endpoint.wait_for_question(meanwhile=True)
    endpoint.ask()

    assert endpoint.asked > asked + 2
    assert cloudformation.get_template(StackName=stack)["TemplateBody"] != template
    assert files
    assert files.items() <= objects(platform, TEST, bucket).items()
    assert reports.items() <= objects(platform, HUB, before["ArtifactBucketName"]).items()
    found = administrator(platform, "sagemaker", TEST).list_endpoints(NameContains=project.id)["Endpoints"]
    assert [(e["EndpointName"], e["EndpointStatus"]) for e in found] == [(before["TestEndpointName"], "InService")]


def test_a_batch_project_keeps_its_pipeline_and_repository(platform: World) -> None:
    project = create(platform, platform.ml_engineer, "deploy-batch", "first-batches")
    before, commit = project.outputs, project.git("rev-parse", "main")
    version = project.update()
    assert kept(before).items() <= project.outputs.items()
    assert project.git("rev-parse", "main") == commit
    assert project.git("merge-base", "main", f"ml-platform/{version}") == commit
