"""The CodePipelines of projects: their executions, where they are, and why they failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rehearsal.organization import wait_for

if TYPE_CHECKING:
    from rehearsal.organization import AwsClient
    from rehearsal.world import World

_TIMEOUT_S: Final = 900.0


def newest_execution(codepipeline: AwsClient, name: str) -> str:
    """Return the id of the newest execution of a pipeline."""
    (newest, *_) = codepipeline.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
    return str(newest["pipelineExecutionId"])


def await_execution(world: World, codepipeline: AwsClient, name: str, execution: str) -> dict[str, Any]:
    """Wait for the end of an execution and describe it."""

    def look() -> dict[str, Any] | None:
        found = codepipeline.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution)
        world.doing(now_at(codepipeline, name))
        ended: dict[str, Any] = found["pipelineExecution"]
        return ended if ended["status"] not in {"InProgress", "Stopping"} else None

    return wait_for(look, overdue=f"execution {execution} of {name} was not over", timeout_s=_TIMEOUT_S)


def now_at(codepipeline: AwsClient, name: str) -> str:
    """Return the actions of a pipeline that are in progress."""
    stages = codepipeline.get_pipeline_state(name=name)["stageStates"]
    running = [
        f"{stage['stageName']}/{action['actionName']}"
        for stage in stages
        for action in stage["actionStates"]
        if action.get("latestExecution", {}).get("status") == "InProgress"
    ]
    return ", ".join(running) or "starting"


def causes(codepipeline: AwsClient, name: str) -> list[str]:
    """Return why actions of the newest execution failed, with the end of the log of a failed build."""
    execution = newest_execution(codepipeline, name)
    found = codepipeline.list_action_executions(pipelineName=name, filter={"pipelineExecutionId": execution})
    return [
        f"{action['stageName']}/{action['actionName']}: "
        f"{action['output']['executionResult'].get('errorDetails', {}).get('message')}"
        for action in found["actionExecutionDetails"]
        if action["status"] == "Failed"
    ]


def build_logs(world: World, codepipeline: AwsClient, name: str) -> str:
    """Return the end of the log of every failed build of the newest execution."""
    execution = newest_execution(codepipeline, name)
    actions = codepipeline.list_action_executions(pipelineName=name, filter={"pipelineExecutionId": execution})
    lines = []
    for action in actions["actionExecutionDetails"]:
        build = action["output"]["executionResult"].get("externalExecutionId", "")
        log = world.organization.work / "builds" / build.replace(":", "-") / "build.log"
        if action["status"] == "Failed" and log.is_file():
            lines.append(log.read_text(encoding="utf-8", errors="replace")[-1500:])
    return "\n".join(lines)


def pipeline_of(world: World) -> str:
    """Return the name of the deployment project's pipeline."""
    return world.deployment.outputs["PipelineName"]


def tag_of(world: World, stage: str) -> str:
    """Return the tag of a stage of the deployment project, e.g. ``p-abc123-prod``."""
    return f"{world.deployment.parameters['SageMakerProjectId']}-{stage}"
