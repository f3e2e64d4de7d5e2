"""The training project: data, project, seeded repository, SageMaker pipeline, and the model that it registers."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from lambdas.model_promotion.names import APPROVED
from rehearsal import data_set, demo_data, launching, report
from rehearsal.code_pipelines import await_execution, build_logs, causes, newest_execution
from rehearsal.domain_steps import open_studio
from rehearsal.organization import DEV, REGION, Credentials, RehearsalError, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rehearsal.organization import AwsClient
    from rehearsal.world import World

DATA_BUCKET: Final = f"data-lake-{DEV}-{REGION}"
_PIPELINE_TIMEOUT_S: Final = 900.0


def land_data(world: World) -> str:
    """Put the data set where the data platform of the account keeps it."""
    owner = Credentials.administrator(DEV)
    s3 = world.client("s3", owner)
    s3.create_bucket(Bucket=DATA_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    data, label = world.data, world.label or demo_data.LABEL
    if data is None:
        data = world.work / "data" / "subscribers.csv"
        demo_data.write(data, rows=world.rows)
    landed = data_set.read(data, label)
    prefix = f"{data_set.folder_of(data)}/"
    for name, path in landed.files.items():
        s3.upload_file(str(path), DATA_BUCKET, prefix + name)
    world.known |= {"data-uri": f"s3://{DATA_BUCKET}/{prefix}", "label": label}
    size_kb = sum(path.stat().st_size for path in landed.files.values()) / 1024
    return f"{world.known['data-uri']}: {landed.rows:,} rows, {size_kb:,.0f} KB, label {label}"


def create_project(world: World) -> str:
    """Create a SageMaker project in Studio: Service Catalog launches the product and seeds the repository."""
    open_studio(world)
    name = world.named("model")
    world.organization.make_repository(f"data-science/{name}")
    world.project = launch_project(world, name)
    world.facts.launched.append(world.project)
    project_id = world.project.parameters["SageMakerProjectId"]
    return f"{world.project.product} {world.project.version}: project {project_id}"


def launch_project(world: World, name: str) -> report.Launched:
    """Create a training project as the data scientist, for the repository of its name, and wait for it.

    Raises:
        RehearsalError: The launch failed; the message is the one of Service Catalog.
    """
    return launching.launch(world, world.data_scientist, world.training_product, name)


def inspect_seed(world: World) -> str:
    """Read what was checked in, as the data scientist who clones the repository."""
    bare = str(world.organization.repository(world.project.parameters["Repository"]))
    listed = subprocess.run(
        ["git", "--git-dir", bare, "ls-tree", "-r", "--name-only", "main"], capture_output=True, text=True, check=True
    ).stdout.split()
    subject = subprocess.run(
        ["git", "--git-dir", bare, "log", "--format=%h %s", "main"], capture_output=True, text=True, check=True
    ).stdout.strip()
    world.facts.seed_files = listed
    return f"{len(listed)} files, commit {subject}"


def start_training(world: World) -> str:
    """Wait for the project's CodePipeline: source, then the build that upserts and starts the SageMaker pipeline."""
    codepipeline = world.client("codepipeline", Credentials.administrator(DEV))
    pipeline = world.project.outputs["BuildPipelineName"]
    ended = await_execution(world, codepipeline, pipeline, newest_execution(codepipeline, pipeline))
    if ended["status"] != "Succeeded":
        reasons = "\n  ".join([*causes(codepipeline, pipeline), build_logs(world, codepipeline, pipeline)])
        raise RehearsalError(f"CodePipeline {pipeline} is {ended['status']}:\n  {reasons}")
    return f"CodePipeline {pipeline}: {ended['status']}"


def train(world: World) -> str:
    """Watch the SageMaker pipeline: validate, prepare, train, evaluate, gate, register."""
    sagemaker = world.client("sagemaker", world.data_scientist)
    name = _pipeline_name(world)
    (summary, *_) = sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
    steps = await_pipeline(world, sagemaker, summary["PipelineExecutionArn"])
    definition = json.loads(sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"])
    world.facts.pipeline = report.Pipeline.of(name, definition, steps)
    return f"{name}: {_done(steps)}"


def await_pipeline(world: World, sagemaker: AwsClient, arn: str) -> list[dict[str, Any]]:
    """Wait until an execution of a SageMaker pipeline has succeeded, and return its steps."""

    def look() -> list[dict[str, Any]] | None:
        execution = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        listed = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, SortOrder="Ascending")
        steps: list[dict[str, Any]] = listed["PipelineExecutionSteps"]
        status = execution["PipelineExecutionStatus"]
        if status in ("Failed", "Stopped"):
            reasons = [f"{s['StepName']}: {s['FailureReason']}" for s in steps if s.get("FailureReason")]
            raise RehearsalError("\n  ".join([f"{arn} {status}: {execution.get('FailureReason', '')}", *reasons]))
        world.doing(_done(steps) or "starting")
        return steps if status == "Succeeded" else None

    return wait_for(look, overdue=f"{arn} was not finished", timeout_s=_PIPELINE_TIMEOUT_S)


def _done(steps: Sequence[Mapping[str, Any]]) -> str:
    return " → ".join(step["StepName"] for step in steps if step["StepStatus"] == "Succeeded")


def _pipeline_name(world: World) -> str:
    return f"{world.project.name}-{world.project.parameters['SageMakerProjectId']}"


def inspect_registry(world: World) -> str:
    """Find the registered version in the dev account's registry and read its metrics and curves."""
    sagemaker = world.client("sagemaker", world.data_scientist)
    packages = sagemaker.list_model_packages(
        ModelPackageGroupName=_pipeline_name(world), SortBy="CreationTime", SortOrder="Descending"
    )["ModelPackageSummaryList"]
    if not packages:
        raise RehearsalError(
            f"the group {_pipeline_name(world)} holds no model package although the pipeline succeeded"
        )
    package = sagemaker.describe_model_package(ModelPackageName=packages[0]["ModelPackageArn"])
    statistics = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    world.facts.evaluation = json.loads(world.read(world.data_scientist, statistics))
    for uri in world.uris(world.data_scientist, f"{statistics.rsplit('/', 1)[0]}/"):
        if uri.endswith(".png"):
            world.facts.curves[uri.rsplit("/", 1)[1]] = world.read(world.data_scientist, uri)
    world.facts.model_package = {k: v for k, v in package.items() if k != "ResponseMetadata"}
    gate = world.facts.evaluation["gate"]
    return (
        f"version {package['ModelPackageVersion']} {package['ModelApprovalStatus']}, "
        f"{gate['metric']} {gate['value']:.3f} (prior {gate['baseline']:.3f})"
    )


def try_to_approve(world: World) -> str:
    """Show that who registers cannot approve: the data scientist asks, and IAM refuses."""
    sagemaker = world.client("sagemaker", world.data_scientist)
    answer = {"ModelPackageArn": world.facts.model_package["ModelPackageArn"], "ModelApprovalStatus": APPROVED}
    what = "UpdateModelPackage as data scientist"
    return f"{what}: {world.refused(what, partial(sagemaker.update_model_package, **answer))}"
