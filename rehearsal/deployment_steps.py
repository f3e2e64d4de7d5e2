"""From the copy in the hub's registry to the approval for production: what the ML engineer and the officer do."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from lambdas.model_promotion.names import APPROVAL_ACTION, APPROVAL_STAGE, APPROVED
from products.shared import names
from rehearsal import launching
from rehearsal.code_pipelines import (
    await_execution,
    build_logs,
    causes,
    newest_execution,
    now_at,
    pipeline_of,
    tag_of,
)
from rehearsal.mailboxes import listen, received
from rehearsal.organization import PROD, TEST, Credentials, RehearsalError, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from rehearsal import report
    from rehearsal.organization import AwsClient
    from rehearsal.world import World

CHOICES: Final = {
    "TestAccountId": TEST,
    "ProdAccountId": PROD,
    "ApproverEmail": "model-governance@example.com",
    "CostCenter": "ml-1000",
    "EndpointType": "instance",
    "InstanceType": "ml.m5.large",
    "InstanceCount": "2",
    "TrafficPolicy": "canary",
    "CapturePercent": "100",
}
_REQUESTS: Final = "approval-requests"
_REASON: Final = "Metrics and card are as agreed."
_TIMEOUT_S: Final = 300.0


# ---- the project ----------------------------------------------------------------------------------------------------


def create_project(world: World) -> str:
    """Create a deployment project for the promoted model; its first run finds nothing that is approved, and stops."""
    name = world.named("endpoint")
    world.deployment = launch_project(world, name, f"ml-engineering/{name}")
    world.facts.launched.append(world.deployment)
    listen(world, world.deployment.outputs["TopicArn"], _REQUESTS)
    codepipeline = world.client("codepipeline", world.ml_engineer)
    name = world.deployment.outputs["PipelineName"]
    ended = await_execution(world, codepipeline, name, newest_execution(codepipeline, name))
    reason = ended.get("statusSummary", "")
    if ended["status"] != "Stopped":
        raise RehearsalError(
            f"the first run of {name} is {ended['status']} instead of Stopped, although nothing is approved yet:\n  "
            + "\n  ".join(causes(codepipeline, name))
        )
    world.facts.deployment["stopped"] = reason
    project_id = world.deployment.parameters["SageMakerProjectId"]
    return f"{world.deployment.product} {world.deployment.version}: project {project_id}; first run stopped: {reason}"


def launch_project(world: World, name: str, repository: str, **chosen: str) -> report.Launched:
    """Create a project of deploy-realtime for the promoted model as the ML engineer, and wait for it.

    Args:
        world: The rehearsal.
        name: Name of the project.
        repository: Its repository; made when there is none.
        chosen: Answers in place of those in `CHOICES`.

    Raises:
        RehearsalError: The launch failed; the message is the one of Service Catalog.
    """
    if not world.organization.repository(repository).exists():
        world.organization.make_repository(repository)
    group = world.facts.promotion["package"]["ModelPackageGroupName"]
    answers = CHOICES | {"ModelPackageGroup": group, "Repository": repository} | chosen
    return launching.launch(world, world.ml_engineer, "deploy-realtime", name, answers)


# ---- approval in the hub, test --------------------------------------------------------------------------------------


def approve_as_ml_engineer(world: World) -> str:
    """Approve the copy in the hub; the event starts the pipeline of the deployment project."""
    codepipeline, name = world.client("codepipeline", world.ml_engineer), pipeline_of(world)
    before = newest_execution(codepipeline, name)
    sagemaker = world.client("sagemaker", world.ml_engineer)
    arn = world.facts.promotion["package"]["ModelPackageArn"]
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=APPROVED, ApprovalDescription=_REASON)
    world.facts.promotion["package"]["ModelApprovalStatus"] = APPROVED

    def started() -> str | None:
        found = newest_execution(codepipeline, name)
        return found if found != before else None

    world.execution = wait_for(started, overdue=f"{name} was not started by the approval", timeout_s=30)
    trigger = codepipeline.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"][0]["trigger"]
    return f"{arn.rsplit(':', 1)[1]}: Approved; rule {trigger['triggerDetail'].rsplit('/', 1)[1]} started {name}"


def deploy_to_test(world: World) -> str:
    """Wait until the pipeline has rendered, deployed to test, tried the endpoint, and asks for approval."""
    codepipeline, name = world.client("codepipeline", world.ml_engineer), pipeline_of(world)

    def asked() -> dict[str, Any] | None:
        world.doing(now_at(codepipeline, name))
        found = codepipeline.get_pipeline_execution(pipelineName=name, pipelineExecutionId=world.execution)
        if found["pipelineExecution"]["status"] != "InProgress":
            raise RehearsalError(
                f"{name} is {found['pipelineExecution']['status']} before approval was requested:\n  "
                + "\n  ".join(causes(codepipeline, name))
                + f"\n{build_logs(world, codepipeline, name)}"
            )
        return _question(world, codepipeline, name)

    question = wait_for(asked, overdue=f"{name} did not ask for approval", timeout_s=_TIMEOUT_S)
    found = read_report(world, "endpoint-test")
    world.facts.deployment |= {"question": question, "test": found}
    sagemaker = world.client("sagemaker", Credentials.administrator(TEST))
    (endpoint,) = sagemaker.list_endpoints(NameContains=tag_of(world, "test"))["Endpoints"]
    return f"{endpoint['EndpointName']} {endpoint['EndpointStatus']}: {found['summary']}"


def _question(world: World, codepipeline: AwsClient, name: str) -> dict[str, Any] | None:
    """Return the state of the approval while it waits for an answer."""
    stages = codepipeline.get_pipeline_state(name=name)["stageStates"]
    (stage,) = (s for s in stages if s["stageName"] == APPROVAL_STAGE)
    state = stage["actionStates"][0].get("latestExecution", {})
    current = stage.get("latestExecution", {}).get("pipelineExecutionId") == world.execution
    return dict(state) if current and state.get("token") else None


def read_report(world: World, name: str) -> dict[str, Any]:
    """Return a report of the pipeline as the governance officer reads it; its page is kept for the person."""
    place = f"{reports_uri(world)}/{name}"
    (reports_folder(world) / f"{name}.html").write_bytes(world.read(world.governance_officer, f"{place}.html"))
    found: dict[str, Any] = json.loads(world.read(world.governance_officer, f"{place}.json"))
    return found


def reports_uri(world: World) -> str:
    """Return where the pipeline of the deployment project leaves reports."""
    return f"s3://{world.deployment.outputs['ArtifactBucketName']}/{names.REPORTS_PREFIX}{world.execution}"


def reports_folder(world: World) -> Path:
    """Return the folder in which reports are kept for the person, beside the report of the rehearsal."""
    folder = world.work / "reports" / world.training_product
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# ---- the approval for production -------------------------------------------------------------------------------------


def try_to_approve(world: World) -> str:
    """Show that who approves models cannot approve production: the ML engineer tries, and IAM refuses."""
    what = "PutApprovalResult as ML engineer"
    request = partial(_answer, world, world.ml_engineer, approved=True, summary="Looks good to me.")
    return f"{what}: {world.refused(what, request)}"


def _answer(world: World, who: Credentials, *, approved: bool, summary: str) -> None:
    world.client("codepipeline", who).put_approval_result(
        pipelineName=pipeline_of(world),
        stageName=APPROVAL_STAGE,
        actionName=APPROVAL_ACTION,
        token=world.facts.deployment["question"]["token"],
        result={"status": "Approved" if approved else "Rejected", "summary": summary},
    )


def approve_as_governance_officer(world: World) -> str:
    """Let the governance officer decide from mail and report: at an interactive terminal, else by approving."""
    mail = wait_for(lambda: _mail(world), overdue="the approver got no request", timeout_s=30)
    request = mail["approval"]
    page = reports_folder(world) / "endpoint-test.html"
    approved = True
    if world.ask:
        facts = [*re.split(r"(?<=[.?!]) (?=[A-Z])", request["customData"]), f"Report of the test: {page}"]
        approved = world.ask("You are the governance officer. Deploy to production?", facts)
    summary = "Report read." if approved else "Not convinced."
    _answer(world, world.governance_officer, approved=approved, summary=summary)
    world.facts.deployment |= {
        "mail": {"subject": mail["subject"], **request},
        "decision": {"approved": approved, "summary": summary, "asked": world.ask is not None},
    }
    if approved:
        return f"Approved by the governance officer{' at the terminal' if world.ask else ''}: {summary}"
    codepipeline, name = world.client("codepipeline", world.governance_officer), pipeline_of(world)
    ended = await_execution(world, codepipeline, name, world.execution)
    production = world.client("sagemaker", Credentials.administrator(PROD))
    endpoints = production.list_endpoints(NameContains=tag_of(world, "prod"))["Endpoints"]
    if ended["status"] != "Failed" or endpoints:
        raise RehearsalError(
            f"the officer rejected the deployment, but {name} is {ended['status']}, and production has {endpoints}"
        )
    world.over = True
    return f"Rejected: {name} is {ended['status']}, nothing is in production. Say yes to see the rest"


def _mail(world: World) -> dict[str, Any] | None:
    for notification in received(world, _REQUESTS):
        if "APPROVAL NEEDED" in notification.get("Subject", ""):
            return {"subject": notification["Subject"], **json.loads(notification["Message"])}
    return None
