"""A project that predicts in batches: from the catalog to predictions of new data in production."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from products.shared import names
from rehearsal import code_pipelines, domain_steps, journey, launching
from rehearsal.organization import HUB, PROD, REGION, TEST, Credentials, Organization, wait_for
from rehearsal.world import World
from tests.promoted import write_record
from tests.seed_code.generated import Repository
from tests.seed_code.trained import subscribers, train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.report import Launched
    from tests.seed_code.trained import TrainedModel

pytestmark = [pytest.mark.rehearsal, pytest.mark.seed, pytest.mark.prove]
PROJECT: Final = "churn-batch"
REPOSITORY: Final = f"ml-engineering/{PROJECT}"
GROUP: Final = "churn-p-train-222222222222"
LAKES: Final = {TEST: "lake-of-test", PROD: "lake-of-production"}
TIMEOUT_S: Final = 300.0


@dataclass(frozen=True)
class Deployed:
    """A project whose pipeline has been to production.

    Attributes:
        world: The organisation.
        launched: The project.
        execution: Id of the pipeline's execution.
        question: What the governance officer was asked.
    """

    world: World
    launched: Launched
    execution: str
    question: str

    def objects(self, account: str, bucket: str, prefix: str) -> dict[str, str]:
        """Return the text of the objects below a prefix by key."""
        s3 = self.world.client("s3", Credentials.administrator(account))
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        keys = [item["Key"] for item in listed if not item["Key"].endswith(".pdf")]
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys}

    def tag(self, stage: str) -> str:
        return f"{self.launched.parameters['SageMakerProjectId']}-{stage}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Catalog, baselines, and a trained model that is approved in the hub; nothing has been launched."""
    model = train(Repository(tmp_path_factory.mktemp("training") / "project"), tmp_path_factory.mktemp("model"))
    work = tmp_path_factory.mktemp("batch")
    made = World(work, Organization(work / "cloud"), None, None)
    try:
        for run in journey.steps_before(domain_steps.launch_domain):
            run(made)
        register(made, model)
        for account, bucket in LAKES.items():
            s3 = made.client("s3", Credentials.administrator(account))
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
            configuration: dict[str, Any] = {"EventBridgeConfiguration": {}}
            s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
        domain_steps.prepare_hub(made)
        yield made
    finally:
        made.close()


def register(world: World, model: TrainedModel) -> None:
    """Put a model into the hub's registry as a promotion leaves it there, and approve it as the ML engineer."""
    hub = Credentials.administrator(HUB)
    s3, sagemaker, bucket = world.client("s3", hub), world.client("sagemaker", hub), names.registry_bucket(HUB, REGION)
    place = f"packages/{GROUP}/1"
    uri = f"s3://{bucket}/{place}"
    for folder in ("", "baseline", "samples"):
        for path in (model.folder / folder).iterdir():
            if path.is_file():
                key = "/".join(part for part in (place, folder, path.name) if part)
                s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())

    def baseline(name: str) -> dict[str, str]:
        return {"ContentType": "application/json", "S3Uri": f"{uri}/baseline/{name}.json"}

    types = ["text/csv", "application/json", "application/jsonlines"]
    image = f"141502667606.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:3.2-0"
    sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    request = {
        "InferenceSpecification": {
            "Containers": [{"Image": image, "ModelDataUrl": f"{uri}/model.tar.gz"}],
            "SupportedContentTypes": types,
            "SupportedResponseMIMETypes": types,
        },
        "DriftCheckBaselines": {
            "ModelDataQuality": {"Statistics": baseline("statistics"), "Constraints": baseline("constraints")},
            "Explainability": {"Constraints": baseline("analysis")},
        },
        "CustomerMetadataProperties": {"samples": f"{uri}/samples"},
    }
    arn = sagemaker.create_model_package(
        ModelPackageGroupName=GROUP, ModelApprovalStatus="PendingManualApproval", **request
    )["ModelPackageArn"]
    write_record(s3, bucket, arn, request)
    card = {"model_overview": {"model_id": arn, "model_name": GROUP}}
    sagemaker.create_model_card(ModelCardName=GROUP, Content=json.dumps(card), ModelCardStatus="PendingReview")
    engineer = world.client("sagemaker", world.ml_engineer)
    engineer.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="As agreed.")


def share(world: World, account: str, tag: str) -> None:
    """Open the records of an account to one stage, as their owner does."""
    s3, bucket = world.client("s3", Credentials.administrator(account)), LAKES[account]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": names.SHARED_WITH_TAG, "Value": tag}]})
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": "Enabled"})


@pytest.fixture(scope="module")
def deployed(world: World) -> Deployed:
    """The ML engineer launches the product, its pipeline tests the approved model, and the officer agrees."""
    world.organization.make_repository(REPOSITORY)
    choices = {
        "ModelPackageGroup": GROUP,
        "TestAccountId": TEST,
        "ProdAccountId": PROD,
        "Repository": REPOSITORY,
        "InputUriTest": f"s3://{LAKES[TEST]}/churn/",
        "InputUriProd": f"s3://{LAKES[PROD]}/churn/",
        "Trigger": "new-data",
        "InstanceCount": "2",
        "MaxBadPercent": "2",
        "ApproverEmail": "model-governance@example.com",
        "CostCenter": "ml-1000",
    }
    launched = launching.launch(world, world.ml_engineer, "deploy-batch", PROJECT, choices)
    for stage, account in (("test", TEST), ("prod", PROD)):
        share(world, account, f"{launched.parameters['SageMakerProjectId']}-{stage}")
    pipeline = launched.outputs["PipelineName"]
    officer = world.client("codepipeline", world.governance_officer)
    execution = code_pipelines.newest_execution(officer, pipeline)

    def explained() -> str:
        causes = code_pipelines.causes(officer, pipeline)
        return "\n".join([*causes, code_pipelines.build_logs(world, officer, pipeline)])

    def asked() -> dict[str, Any] | None:
        found = officer.get_pipeline_execution(pipelineName=pipeline, pipelineExecutionId=execution)
        assert found["pipelineExecution"]["status"] == "InProgress", explained()
        stages = officer.get_pipeline_state(name=pipeline)["stageStates"]
        (stage,) = (stage for stage in stages if stage["stageName"] == "Approve")
        state: dict[str, Any] = stage["actionStates"][0].get("latestExecution", {})
        return state if state.get("token") else None

    question = wait_for(asked, overdue=f"{pipeline} did not ask for approval", timeout_s=TIMEOUT_S)
    officer.put_approval_result(
        pipelineName=pipeline,
        stageName="Approve",
        actionName="GovernanceApproval",
        token=question["token"],
        result={"status": "Approved", "summary": "Report read."},
    )
    ended = code_pipelines.await_execution(world, officer, pipeline, execution)
    assert ended["status"] == "Succeeded", explained()
    return Deployed(world, launched, execution, question.get("summary", ""))


def test_runs_on_held_out_records_passed_in_test_and_in_production(deployed: Deployed) -> None:
    bucket = deployed.launched.outputs["ArtifactBucketName"]
    found = deployed.objects(HUB, bucket, f"reports/{deployed.execution}/")
    reports = {name.rsplit("/", 1)[1]: json.loads(text) for name, text in found.items() if name.endswith(".json")}
    assert {name: (report["passed"], report["manifest"]["rejected"]) for name, report in reports.items()} == {
        "batch-test-test.json": (True, 2),
        "smoke-test-prod.json": (True, 0),
    }
    s3 = deployed.world.client("s3", deployed.world.governance_officer)
    cards = s3.list_objects_v2(Bucket=bucket, Prefix=f"reports/{deployed.execution}/model-card")["Contents"]
    assert [card["Key"].rsplit(".", 1)[1] for card in cards] == ["pdf"]


def test_new_data_in_production_becomes_a_partition_of_predictions_beside_the_rows_that_were_rejected(
    deployed: Deployed,
) -> None:
    world, owner = deployed.world, Credentials.administrator(PROD)
    records = subscribers(148, seed=31)
    fields = [name for name in records[0] if name != "churned"]
    rows = [",".join(record[name] for name in fields) for record in records]
    lines = [",".join(fields), "cut off", *rows, f"{rows[0]},one too many"]
    world.client("s3", owner).put_object(Bucket=LAKES[PROD], Key="churn/2026-05-04.csv", Body="\n".join(lines).encode())
    sagemaker, pipeline = world.client("sagemaker", owner), f"mlp-{deployed.tag('prod')}-batch"
    bucket = f"mlp-{deployed.tag('prod')}-{PROD}-{REGION}"
    assert deployed.launched.outputs["ProdOutputUri"] == f"s3://{bucket}/batch/"

    def ended() -> dict[str, Any] | None:
        runs = sagemaker.list_pipeline_executions(PipelineName=pipeline)["PipelineExecutionSummaries"]
        if len(runs) < 2:  # the first one is that of the smoke test
            return None
        newest: dict[str, Any] = max(runs, key=lambda run: run["StartTime"])
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=newest["PipelineExecutionArn"])
        assert not any("FailureReason" in step for step in steps["PipelineExecutionSteps"]), steps
        return newest if newest["PipelineExecutionStatus"] == "Succeeded" else None

    run = wait_for(ended, overdue=f"{pipeline} did not predict the new object", timeout_s=TIMEOUT_S)
    name = run["PipelineExecutionArn"].rsplit("/", 1)[1]
    written = deployed.objects(PROD, bucket, f"batch/run={name}/")
    manifest = json.loads(written[f"batch/run={name}/_manifest.json"])
    assert manifest["object"] == "churn/2026-05-04.csv"
    assert (manifest["rows"], manifest["predictions"], manifest["rejected"]) == (150, 148, 2)
    assert f"batch/run={name}/_SUCCESS" in written
    parts = [json.loads(line) for key, text in written.items() if "/part-" in key for line in text.splitlines()]
    assert len({part["line"] for part in parts}) == len(parts) == 148
    refused = deployed.objects(PROD, bucket, f"batch/{name}/rejected/")
    reasons = [json.loads(line)["reason"] for text in refused.values() for line in text.splitlines()]
    assert sorted(reasons) == ["1 fields instead of 9", "10 fields instead of 9"]
    assert deployed.objects(PROD, bucket, f"monitoring/{PROJECT}-{deployed.tag('prod')}/run={name}/")
