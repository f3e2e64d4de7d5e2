"""The stages of the walk, in order: hub, sharing, domain, project, promotion, deployment."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from pipeline.preflight import Account, examine
from portfolios.catalog import PORTFOLIOS
from products.releases import load_catalog
from products.shared import names
from tests.e2e.organization.walk import Stage, WalkError
from tests.pipeline.product_repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foundation.settings import HubSettings
    from tests.e2e.organization.settings import AwsClient
    from tests.e2e.organization.walk import Walk

MINUTE: Final = 60.0
PRODUCT_TIMEOUT_S: Final = 60 * MINUTE
PIPELINE_TIMEOUT_S: Final = 120 * MINUTE
EVENT_TIMEOUT_S: Final = 20 * MINUTE


# ---- the hub --------------------------------------------------------------------------------------------------------


def hub_settings() -> HubSettings:
    """Return the settings of cdk.json."""
    from foundation.settings import HubSettings  # noqa: PLC0415 - loads pydantic, which the plan does without

    return HubSettings.parse(json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]["hub"])


def look_at_hub(walk: Walk) -> None:
    """Check that the commands of docs/setup.md have led to a hub that deploys itself."""
    organization = walk.organization

    def nothing_is_missing() -> str:
        account = Account(
            kind="hub",
            id=organization.account("hub"),
            settings=hub_settings(),
            portfolios=PORTFOLIOS,
            client=lambda service, _region: organization.client(service, "hub"),
        )
        findings = list(examine(account))
        wrong = [f"{f.title}: {f.problems[0].what}" for f in findings if f.state != "ok"]
        if wrong:
            raise WalkError("; ".join(wrong))
        return f"{len(findings)} checks of `portfolio preflight` found nothing"

    def pipeline_has_run() -> str:
        client = organization.client("codepipeline", "hub")
        runs = client.list_pipeline_executions(pipelineName="ml-platform-catalog")["pipelineExecutionSummaries"]
        if not runs or runs[0]["status"] != "Succeeded":
            raise WalkError(f"the newest run of ml-platform-catalog is {runs[0]['status'] if runs else 'not there'}")
        return f"execution {runs[0]['pipelineExecutionId']} succeeded"

    walk.check("hub-is-complete", nothing_is_missing, only_on_aws=True)
    walk.check("hub-deploys-itself", pipeline_has_run, only_on_aws=True)


def look_at_sharing(walk: Walk) -> None:
    """Check that the share was finished in time, and that people see what is shared."""
    organization = walk.organization

    def share_was_short() -> str:
        client = organization.client("cloudformation", "hub")
        events = _pages(client, "describe_stack_events", "StackEvents", StackName=f"{names.PREFIX}-portfolios")
        shares = [event for event in events if event["ResourceType"] == "Custom::PortfolioShare"]
        begun = [e["Timestamp"] for e in shares if e["ResourceStatus"] == "CREATE_IN_PROGRESS"]
        done = [e["Timestamp"] for e in shares if e["ResourceStatus"] == "CREATE_COMPLETE"]
        if not begun or not done:
            raise WalkError("the events of the stack no longer show the first share (they are kept for 90 days)")
        return f"the slowest took {(max(done) - min(begun)).total_seconds():.0f} s"

    def lead_sees_products() -> str:
        client = organization.client("servicecatalog", "lead")
        found = {p["Name"]: p["ProductId"] for p in _pages(client, "search_products", "ProductViewSummaries")}
        title = load_catalog(ROOT).products["sagemaker-domain"].title
        if title not in found:
            raise WalkError(f"the lead sees {sorted(found) or 'no products'}, not {title!r}")
        paths = client.list_launch_paths(ProductId=found[title])["LaunchPathSummaries"]
        return f"{title} with {len(paths)} launch path"

    walk.check("share-ends-in-time", share_was_short)
    walk.check("principals-are-shared", lead_sees_products)


# ---- products -------------------------------------------------------------------------------------------------------


def launch_domain(walk: Walk) -> None:
    """Launch a Studio domain as the lead."""
    walk.facts["domain"] = _provision(
        walk,
        "lead",
        "sagemaker-domain",
        {"DomainName": walk.name, "CostCenter": walk.organization.settings.cost_center, "Owner": "e2e"}
        | {"BucketOnDeletion": "Empty"},
    )
    client = walk.organization.client("servicecatalog", "lead")

    def launched() -> str:
        outputs = client.get_provisioned_product_outputs(ProvisionedProductId=walk.facts["domain"])["Outputs"]
        (domain_id,) = [o["OutputValue"] for o in outputs if o["OutputKey"] == "DomainId"]
        domain = walk.organization.client("sagemaker", "dev").describe_domain(DomainId=domain_id)
        if domain["Status"] != "InService":
            raise WalkError(f"domain {domain_id} is {domain['Status']}: {domain.get('FailureReason', '')}")
        return f"domain {domain_id} is in service; its VPC and subnets were looked up with the launch role"

    walk.check("launch-role-suffices-for-a-domain", launched)


def _provision(walk: Walk, who: str, product_id: str, answers: Mapping[str, str]) -> str:
    """Launch a product from the catalog and wait; return the id of the provisioned product (``pp-…``)."""
    client = walk.organization.client("servicecatalog", who)
    product, version = _product(client, product_id)
    (path, *_) = client.list_launch_paths(ProductId=product)["LaunchPathSummaries"]
    walk.ledger.add("provisioned product", name=walk.name, who=who)
    record = client.provision_product(
        ProductId=product,
        ProvisioningArtifactId=version,
        PathId=path["Id"],
        ProvisionedProductName=walk.name,
        ProvisioningParameters=[{"Key": key, "Value": value} for key, value in answers.items()],
        ProvisionToken=f"{walk.name}-{int(time.time())}",
    )["RecordDetail"]

    def look() -> str | None:
        found = client.describe_record(Id=record["RecordId"])["RecordDetail"]
        if found["Status"] in ("FAILED", "IN_PROGRESS_IN_ERROR"):
            raise WalkError("; ".join(error.get("Description", "") for error in found.get("RecordErrors", [])))
        return str(found["ProvisionedProductId"]) if found["Status"] == "SUCCEEDED" else None

    return walk.wait(look, until=f"{product_id} is launched", timeout_s=PRODUCT_TIMEOUT_S)


def _product(client: AwsClient, product_id: str) -> tuple[str, str]:
    """Return the ids of a product and of its newest version, as the person sees them."""
    released = load_catalog(ROOT).products[product_id]
    found = [p for p in _pages(client, "search_products", "ProductViewSummaries") if p["Name"] == released.title]
    if len(found) != 1:
        raise WalkError(f"the person sees {len(found)} products {released.title!r}: see `principals` in cdk.json")
    artifacts = client.describe_product(Id=found[0]["ProductId"])["ProvisioningArtifacts"]
    (version,) = [a["Id"] for a in artifacts if a["Name"] == str(released.newest.version)]
    return found[0]["ProductId"], version


def _create_project(walk: Walk, who: str, product_id: str, name: str, answers: Mapping[str, str]) -> dict[str, Any]:
    """Create a SageMaker project and wait; return its outputs and its id (``ProjectId``)."""
    catalog, sagemaker = (walk.organization.client(service, who) for service in ("servicecatalog", "sagemaker"))
    product, version = _product(catalog, product_id)
    walk.ledger.add("project", name=name, who=who)
    made = sagemaker.create_project(
        ProjectName=name,
        ServiceCatalogProvisioningDetails={
            "ProductId": product,
            "ProvisioningArtifactId": version,
            "ProvisioningParameters": [{"Key": key, "Value": value} for key, value in answers.items()],
        },
    )

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_project(ProjectName=name)
        if found["ProjectStatus"] == "CreateFailed":
            details = found.get("ServiceCatalogProvisionedProductDetails", {})
            raise WalkError(f"project {name} failed: {details.get('ProvisionedProductStatusMessage')}")
        return found if found["ProjectStatus"] == "CreateCompleted" else None

    found = walk.wait(look, until=f"project {name} is created", timeout_s=PRODUCT_TIMEOUT_S)
    provisioned = found["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductId"]
    outputs = catalog.get_provisioned_product_outputs(ProvisionedProductId=provisioned)["Outputs"]
    return {"ProjectId": made["ProjectId"], **{o["OutputKey"]: o["OutputValue"] for o in outputs}}


# ---- a model --------------------------------------------------------------------------------------------------------


def train(walk: Walk) -> None:
    """Create a training project, and let its pipeline train and register a model."""
    settings, organization = walk.organization.settings, walk.organization
    bucket = f"{names.PREFIX}-e2e-{organization.account('dev')}-{settings.region}"
    walk.ledger.add("bucket", name=bucket, who="dev")
    s3 = organization.client("s3", "dev")
    location = {"LocationConstraint": settings.region}
    s3.create_bucket(
        Bucket=bucket, **({} if settings.region == "us-east-1" else {"CreateBucketConfiguration": location})
    )
    s3.upload_file(str(settings.data), bucket, f"data/{settings.data.name}")
    outputs = _create_project(
        walk,
        "data_scientist",
        "train-s3",
        walk.name,
        {
            "DataUri": f"s3://{bucket}/data/",
            "Label": settings.label,
            "Repository": settings.repository,
            "CostCenter": settings.cost_center,
        },
    )
    walk.check("git-through-the-connection", lambda: f"commit {outputs['CommitId']} in {settings.repository}")
    walk.facts["group"] = settings.model or outputs["ModelPackageGroupName"]
    if not settings.model:
        walk.ledger.add("model package group", name=walk.facts["group"], who="dev")
        codepipeline = organization.client("codepipeline", "dev")
        walk.wait(
            lambda: _ended(codepipeline, outputs["BuildPipelineName"]),
            until="the project's build has started the training",
            timeout_s=PIPELINE_TIMEOUT_S,
        )
    sagemaker = organization.client("sagemaker", "dev")

    def registered() -> str | None:
        if not settings.model:
            runs = sagemaker.list_pipeline_executions(PipelineName=walk.facts["group"])["PipelineExecutionSummaries"]
            if runs and runs[0]["PipelineExecutionStatus"] in ("Failed", "Stopped"):
                reason = sagemaker.describe_pipeline_execution(PipelineExecutionArn=runs[0]["PipelineExecutionArn"])
                raise WalkError(f"pipeline {walk.facts['group']}: {reason.get('FailureReason')}")
        found = sagemaker.list_model_packages(
            ModelPackageGroupName=walk.facts["group"], SortBy="CreationTime", SortOrder="Descending"
        )["ModelPackageSummaryList"]
        return str(found[0]["ModelPackageArn"]) if found else None

    def model_is_there() -> str:
        arn = walk.wait(registered, until="a model is registered", timeout_s=PIPELINE_TIMEOUT_S)
        walk.facts["package"] = arn
        return f"{arn.rsplit('/', 2)[-2]} version {arn.rsplit('/', 1)[-1]}"

    walk.check("pipeline-trains-and-registers", model_is_there)
    if "package" not in walk.facts:
        raise WalkError("no model was registered, so nothing can be promoted")


def _ended(codepipeline: AwsClient, name: str, execution: str = "") -> dict[str, Any] | None:
    """Return an execution (default: the newest) of a pipeline when it succeeded or stopped, None while it runs.

    Raises:
        WalkError: It failed.
    """
    runs = codepipeline.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
    found = next((run for run in runs if not execution or run["pipelineExecutionId"] == execution), None)
    if found and found["status"] == "Failed":
        actions = codepipeline.list_action_executions(
            pipelineName=name, filter={"pipelineExecutionId": found["pipelineExecutionId"]}
        )["actionExecutionDetails"]
        causes = [
            f"{a['actionName']}: {a['output']['executionResult'].get('errorDetails', {}).get('message')}"
            for a in actions
            if a["status"] == "Failed"
        ]
        raise WalkError(f"{name} failed: {'; '.join(causes)}")
    return dict(found) if found and found["status"] in ("Succeeded", "Stopped", "Superseded") else None


def promote(walk: Walk) -> None:
    """Approve the model in the workload account, and wait for its copy in the hub."""
    dev = walk.organization.client("sagemaker", "dev")
    begin = time.monotonic()
    package = walk.facts["package"]
    if not walk.organization.settings.model:
        group = f"{walk.facts['group']}-{walk.organization.account('dev')}"
        walk.ledger.add("model card", name=group, who="hub")
        walk.ledger.add("model package group", name=group, who="hub")
    if dev.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"] != "Approved":
        dev.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved", ApprovalDescription="e2e")

    def promoted() -> str:
        record = walk.wait(
            lambda: _decision(walk, "package", package, "development"),
            until="the approval is recorded in the hub",
            timeout_s=EVENT_TIMEOUT_S,
        )
        walk.facts["hub_package"] = record["hub_package"]
        objects = len(record["artifacts"])
        return f"{objects} artifacts, {time.monotonic() - begin:.0f} s after the approval, by {record['who']}"

    walk.check("approval-crosses-accounts", promoted)
    if "hub_package" not in walk.facts:
        raise WalkError("the model did not arrive in the hub, so nothing can be deployed")


def _decision(walk: Walk, key: str, package: str, place: str) -> dict[str, Any] | None:
    """Return the newest audit record about a package in a place (``development``, ``hub``, ``production``)."""
    s3 = walk.organization.client("s3", "hub")
    bucket = names.audit_bucket(walk.organization.account("hub"), walk.organization.settings.region)
    listed = _pages(s3, "list_objects_v2", "Contents", Bucket=bucket, Prefix="decisions/")
    for entry in sorted(listed, key=lambda item: item["LastModified"], reverse=True):
        record: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
        if record[key] == package and record["place"] == place:
            return record
    return None


# ---- a deployment ---------------------------------------------------------------------------------------------------


def deploy(walk: Walk) -> None:
    """Deploy the model to test and production with a new project, and look at what came of it."""
    organization, settings = walk.organization, walk.organization.settings
    name = f"{walk.name}-serve"
    outputs = _create_project(
        walk,
        "ml_engineer",
        "deploy-realtime",
        name,
        {
            "ModelPackageGroup": walk.facts["hub_package"].rsplit("/", 2)[-2],
            "TestAccountId": organization.account("test"),
            "ProdAccountId": organization.account("prod"),
            "Repository": settings.deployment_repository,
            "ApproverEmail": settings.approver_email,
            "CostCenter": settings.cost_center,
        },
    )
    if settings.deployment:
        outputs = _outputs_of(walk, settings.deployment)
    pipeline, codepipeline = outputs["PipelineName"], organization.client("codepipeline", "ml_engineer")
    if not settings.deployment:
        walk.wait(
            lambda: _ended(codepipeline, pipeline), until="the first run has stopped", timeout_s=PIPELINE_TIMEOUT_S
        )
        organization.client("sagemaker", "ml_engineer").update_model_package(
            ModelPackageArn=walk.facts["hub_package"], ModelApprovalStatus="Approved", ApprovalDescription="e2e"
        )
        _answer_for_production(walk, pipeline)
    walk.wait(lambda: _succeeded(codepipeline, pipeline), until="production is reached", timeout_s=PIPELINE_TIMEOUT_S)
    walk.check("deploy-role-suffices", lambda: f"{pipeline} deployed both stages with the permissions of the baseline")
    walk.facts |= {"bucket": outputs["ArtifactBucketName"], "endpoint": outputs["ProdEndpointName"]}
    walk.check("officer-is-on-record", lambda: _officer(walk))
    walk.check("model-card-is-exported", lambda: _card(walk))
    walk.check("endpoint-answers", lambda: _ask(walk))
    walk.check("capture-arrives", lambda: _captured(walk))
    walk.check("scalable-target-is-tagged", lambda: _scalable_target(walk))


def _outputs_of(walk: Walk, project: str) -> dict[str, str]:
    described = walk.organization.client("sagemaker", "ml_engineer").describe_project(ProjectName=project)
    provisioned = described["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductId"]
    catalog = walk.organization.client("servicecatalog", "ml_engineer")
    outputs = catalog.get_provisioned_product_outputs(ProvisionedProductId=provisioned)["Outputs"]
    return {o["OutputKey"]: o["OutputValue"] for o in outputs}


def _answer_for_production(walk: Walk, pipeline: str) -> None:
    """Wait for the question about production and answer yes as the governance officer."""
    client = walk.organization.client("codepipeline", "governance_officer")

    def question() -> str | None:
        _ended(client, pipeline)  # raises when the run has failed
        stages = client.get_pipeline_state(name=pipeline)["stageStates"]
        (stage,) = (stage for stage in stages if stage["stageName"] == "Approve")
        token = stage["actionStates"][0].get("latestExecution", {}).get("token")
        return str(token) if token else None

    token = walk.wait(question, until="the officer is asked", timeout_s=PIPELINE_TIMEOUT_S)
    client.put_approval_result(
        pipelineName=pipeline,
        stageName="Approve",
        actionName="GovernanceApproval",
        token=token,
        result={"status": "Approved", "summary": "e2e"},
    )


def _succeeded(codepipeline: AwsClient, pipeline: str) -> str | None:
    found = _ended(codepipeline, pipeline)
    return str(found["pipelineExecutionId"]) if found and found["status"] == "Succeeded" else None


def _officer(walk: Walk) -> str:
    record = walk.wait(
        lambda: _decision(walk, "hub_package", walk.facts["hub_package"], "production"),
        until="the decision is recorded",
        timeout_s=EVENT_TIMEOUT_S,
    )
    if record["who"].startswith("unknown"):
        raise WalkError(f"the record says who {record['who']!r}: CodePipeline did not name the approver")
    return f"approved by {record['who']}"


def _card(walk: Walk) -> str:
    client = walk.organization.client("s3", "governance_officer")
    found = _pages(client, "list_objects_v2", "Contents", Bucket=walk.facts["bucket"], Prefix="reports/")
    cards = [entry["Key"] for entry in found if entry["Key"].endswith(".pdf")]
    if not cards:
        raise WalkError(f"no PDF below reports/ of {walk.facts['bucket']}")
    return str(cards[-1])


def _ask(walk: Walk) -> str:
    package = walk.organization.client("sagemaker", "hub").describe_model_package(
        ModelPackageName=walk.facts["hub_package"]
    )
    bucket, prefix = package["CustomerMetadataProperties"]["samples"].removeprefix("s3://").split("/", 1)
    s3 = walk.organization.client("s3", "hub")
    lines = s3.get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/records.jsonl")["Body"].read().decode()
    records = [json.loads(line) for line in lines.splitlines()[:4]]
    answer = walk.organization.client("sagemaker-runtime", "prod").invoke_endpoint(
        EndpointName=walk.facts["endpoint"], Body=json.dumps(records).encode(), ContentType="application/json"
    )
    return f"{len(records)} records: {answer['Body'].read().decode()[:120]}"


def _captured(walk: Walk) -> str:
    description = walk.organization.client("sagemaker", "prod").describe_endpoint(EndpointName=walk.facts["endpoint"])
    uri = description.get("DataCaptureConfig", {}).get("DestinationS3Uri")
    if not uri:
        raise WalkError(f"endpoint {walk.facts['endpoint']} captures nothing")
    bucket, prefix = uri.removeprefix("s3://").split("/", 1)
    client = walk.organization.client("s3", "prod")
    key = walk.wait(
        lambda: next(
            (e["Key"] for e in _pages(client, "list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix)), None
        ),
        until=f"something is captured below {uri}",
        timeout_s=EVENT_TIMEOUT_S,
    )
    return f"s3://{bucket}/{key}"


def _scalable_target(walk: Walk) -> str:
    client = walk.organization.client("application-autoscaling", "prod")
    found = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    targets = [t for t in found if t["ResourceId"].startswith(f"endpoint/{walk.facts['endpoint']}/")]
    if not targets:
        raise WalkError(f"endpoint {walk.facts['endpoint']} has no scalable target")
    tags = client.list_tags_for_resource(ResourceARN=targets[0]["ScalableTargetARN"])["Tags"]
    if names.DEPLOYMENT_TAG not in tags:
        raise WalkError(f"{targets[0]['ScalableTargetARN']} has the tags {tags}")
    return f"{names.DEPLOYMENT_TAG}={tags[names.DEPLOYMENT_TAG]}"


def _pages(client: AwsClient, operation: str, result: str, **request: object) -> list[dict[str, Any]]:
    """Return the results of all pages."""
    if client.can_paginate(operation):
        pages = client.get_paginator(operation).paginate(**request)
        return [entry for page in pages for entry in page.get(result, [])]
    return list(getattr(client, operation)(**request)[result])


STAGES: Final = (
    Stage(
        name="hub",
        creates="nothing; looks at the hub with `portfolio preflight` and at the catalog's pipeline",
        costs="nothing",
        deletes="nothing",
        run=look_at_hub,
    ),
    Stage(
        name="sharing",
        creates="nothing; looks at the share and the catalog as the lead sees it",
        costs="nothing",
        deletes="nothing",
        run=look_at_sharing,
    ),
    Stage(
        name="domain",
        creates="a Studio domain: roles, a bucket, a KMS key, an empty file system, a Git connection",
        costs="1 $ a month for the key, by the hour; nothing runs in it",
        deletes="the domain with its bucket; its key is deleted by KMS after its waiting period",
        run=launch_domain,
    ),
    Stage(
        name="project",
        creates="a bucket with your data, a training project, a commit in `repository`, a trained model",
        costs="about 30 minutes of the instances in config.yaml (ml.m5.large), well below 1 $",
        deletes="project and buckets; the model package group; the commit in `repository` stays: empty it before the "
        "next walk",
        run=train,
    ),
    Stage(
        name="promotion",
        creates="a copy of the model in the hub's registry, a model card, an audit record",
        costs="cents for storage",
        deletes="the package, its group and its card in the hub; the copied files and the audit record, which is "
        "locked, stay",
        run=promote,
    ),
    Stage(
        name="deployment",
        creates="a deployment project, a commit in `deployment_repository`, endpoints in test and production",
        costs="about 2 hours of two or three ml.m5.large and a build that waits, below 3 $",
        deletes="the project and both stages; the commit stays: empty the repository before the next walk",
        run=deploy,
    ),
)
"""All stages, in order; each needs the ones before it."""
