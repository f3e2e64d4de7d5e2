"""CodePipeline: its operations, its resource type, and the pushes that start pipelines.

What an execution does is in `codepipeline_runs`, what its actions do in `codepipeline_actions`.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Final

from ministack.core.responses import get_account_id, get_region

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.cloudformation.resources import physical_name, resource_type
from aws_emulator.codeconnections import connections as codeconnections
from aws_emulator.codepipeline import runs as codepipeline_runs
from aws_emulator.codepipeline.state import (
    ENDED,
    PIPELINES,
    SERVICE,
    Pipeline,
    actions_of,
    find,
    find_execution,
    is_stopping,
)
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam.callers import caller
from aws_emulator.records import answer_tags, change_tags, drop_tags, set_tags

if TYPE_CHECKING:
    from pathlib import Path

    from aws_emulator.codepipeline.state import Execution, Node, Run

_NAME_MAX: Final = 100
_MODE: Final = "SUPERSEDED"
_WATCH_S: Final = 0.2


# ---- operations -----------------------------------------------------------------------------------------------------


@overlay(SERVICE, "StartPipelineExecution")
def start_pipeline_execution(request: Json) -> Json:
    """Start a pipeline by hand."""
    trigger = {"triggerType": "StartPipelineExecution", "triggerDetail": caller().session_arn}
    return {"pipelineExecutionId": codepipeline_runs.start(find(request["name"]), trigger)["pipelineExecutionId"]}


@overlay(SERVICE, "StopPipelineExecution")
def stop_pipeline_execution(request: Json) -> Json:
    """Stop an execution."""
    if not request.get("abandon"):
        raise ServiceError("ValidationException", "Stopping without abandon is not emulated.")
    codepipeline_runs.stop(request["pipelineName"], request["pipelineExecutionId"], reason=request.get("reason", ""))
    return request


@overlay(SERVICE, "PutApprovalResult")
def put_approval_result(request: Json) -> Json:
    """Answer an approval, whose token is in `GetPipelineState` and the notification."""
    pipeline = find(request["pipelineName"])
    stages = {stage["name"]: stage for stage in pipeline.declaration["stages"]}
    stage, name = request["stageName"], request["actionName"]
    if stage not in stages:
        raise ServiceError("StageNotFoundException", f"Pipeline {request['pipelineName']} has no stage {stage}")
    if name not in {action["name"] for action in stages[stage]["actions"]}:
        raise ServiceError("ActionNotFoundException", f"Stage {stage} has no action {name}")
    wanted = (stage, name, request["token"])
    runs = (run for execution in pipeline.executions for run in execution["runs"])
    asked = [run for run in runs if (run["stageName"], run["actionName"], run["token"]) == wanted]
    with pipeline.turn:
        if asked and asked[0]["verdict"]:
            raise ServiceError(
                "ApprovalAlreadyCompletedException", "The approval action has already been approved or rejected."
            )
        if not asked or asked[0]["status"] != "InProgress":
            raise ServiceError(
                "InvalidApprovalTokenException", "The approval request already received a response or has expired."
            )
        (run,) = asked
        run["output"]["executionResult"]["externalExecutionSummary"] = request["result"]["summary"]
        run |= {
            "verdict": request["result"]["status"],
            "updatedBy": caller().session_arn,
            "lastUpdateTime": clock.now(),
        }
    run["done"].set()
    return {"approvedAt": run["lastUpdateTime"]}


@overlay(SERVICE, "GetPipeline")
def get_pipeline(request: Json) -> Json:
    """Return the declaration of a pipeline."""
    arn = core.arn(SERVICE, request["name"])
    return {"pipeline": copy.deepcopy(find(request["name"]).declaration), "metadata": {"pipelineArn": arn}}


@overlay(SERVICE, "ListPipelines")
def list_pipelines(request: Json) -> Json:
    """List the pipelines of the account."""
    found = [(name, pipeline.declaration["version"]) for name, pipeline in PIPELINES.items()]
    return {"pipelines": [{"name": name, "version": version} for name, version in found]}


@overlay(SERVICE, "GetPipelineExecution")
def get_pipeline_execution(request: Json) -> Json:
    """Describe one execution."""
    return {"pipelineExecution": find_execution(request["pipelineName"], request["pipelineExecutionId"])}


@overlay(SERVICE, "ListPipelineExecutions")
def list_pipeline_executions(request: Json) -> Json:
    """List executions, newest first."""
    executions = [_summary(execution) for execution in reversed(find(request["pipelineName"]).executions)]
    return {"pipelineExecutionSummaries": executions}


def _summary(execution: Execution) -> Json:
    sources = [
        {
            "actionName": run["actionName"],
            "revisionId": result["externalExecutionId"],
            "revisionSummary": result["externalExecutionSummary"],
        }
        for run in execution["runs"]
        if run["action"]["actionTypeId"]["category"] == "Source"
        and "externalExecutionId" in (result := run["output"]["executionResult"])
    ]
    stopped = {"reason": execution["stopped"]} if is_stopping(execution) else None
    return {**execution, "sourceRevisions": sources, "stopTrigger": stopped}


@overlay(SERVICE, "ListActionExecutions")
def list_action_executions(request: Json) -> Json:
    """List what the actions did, newest first."""
    wanted = (request.get("filter") or {}).get("pipelineExecutionId")
    executions = reversed(find(request["pipelineName"]).executions)
    chosen = [execution for execution in executions if wanted in (None, execution["pipelineExecutionId"])]
    return {"actionExecutionDetails": [run for execution in chosen for run in reversed(execution["runs"])]}


@overlay(SERVICE, "GetPipelineState")
def get_pipeline_state(request: Json) -> Json:
    """Return what every stage did last, which need not be in the same execution."""
    pipeline = find(request["name"])
    stages = []
    for declared in pipeline.declaration["stages"]:
        stage = pipeline.stage(declared["name"])
        runs = stage.latest["runs"] if stage.latest else []
        ran = {run["actionName"]: run for run in runs if run["stageName"] == declared["name"]}
        state: Json = {
            "stageName": declared["name"],
            "inboundTransitionState": {"enabled": True},
            "actionStates": [_action_state(action["name"], ran.get(action["name"])) for action in declared["actions"]],
            "inboundExecutions": [{**execution, "status": "InProgress"} for execution in stage.waiting] or None,
        }
        if stage.latest:
            state["latestExecution"] = {**stage.latest, "status": stage.status}
        stages.append(state)
    return {
        "pipelineName": request["name"],
        "pipelineVersion": pipeline.declaration["version"],
        "stageStates": stages,
    }


def _action_state(name: str, run: Run | None) -> Json:
    if run is None:
        return {"actionName": name}
    result, asks = run["output"]["executionResult"], run["status"] == "InProgress" and not run["verdict"]
    latest = {
        **run,
        **result,
        "lastStatusChange": run["lastUpdateTime"],
        "lastUpdatedBy": run.get("updatedBy"),
        "summary": result.get("externalExecutionSummary"),
        "token": run["token"] if asks else None,
    }
    return {"actionName": name, "latestExecution": latest}


# ---- a push starts the pipeline -------------------------------------------------------------------------------------


def _watch() -> None:
    """Start pipelines whose branch has a new head; stands for the webhook of the Git provider."""
    while True:
        clock.sleep(_WATCH_S)
        for _, pipeline in PIPELINES.all_items():
            for stage, action in actions_of(pipeline.declaration):
                repository = _pushed(pipeline, stage, action)
                if repository:
                    with core.as_account(pipeline.account, pipeline.region):
                        codepipeline_runs.start(pipeline, {"triggerType": "WebhookV2", "triggerDetail": repository})


def _pushed(pipeline: Pipeline, stage: str, action: Json) -> str | None:
    """Return the repository of a source action when its branch has another head than the last execution took."""
    known = pipeline.heads.get(action["name"])
    configuration = action.get("configuration", {})
    # Before the first execution has taken a head, and while one takes it, there is nothing to compare with.
    taking = pipeline.stage(stage).inside is not None
    if known is None or configuration.get("DetectChanges", "true") != "true" or taking:
        return None
    name: str = configuration["FullRepositoryId"]
    head = _loose_head(codeconnections.repository(name), configuration["BranchName"])
    if head is None or head == known:
        return None
    pipeline.heads[action["name"]] = head
    return name


def _loose_head(repository: Path, branch: str) -> str | None:
    """Return the head of a branch as a push leaves it, without starting git five times a second."""
    try:
        return (repository / "refs/heads" / branch).read_text().strip()
    except OSError:
        return None


# ---- AWS::CodePipeline::Pipeline ------------------------------------------------------------------------------------


def _api_names(node: Node) -> Node:
    """Spell a declaration as the API does (camelCase); the keys of a configuration are the action's own."""
    if isinstance(node, list):
        return [_api_names(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    return {
        key[0].lower() + key[1:]: _texts(value) if key == "Configuration" else _api_names(value)
        for key, value in node.items()
    }


def _texts(configuration: Json) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in configuration.items()}


def _declaration(properties: Json, name: str, version: int) -> Json:
    kept = ("RoleArn", "ArtifactStore", "Stages", "PipelineType", "ExecutionMode", "Triggers", "Variables")
    declared: Json = _api_names({key: properties[key] for key in kept if key in properties})
    if declared.get("executionMode", _MODE) != _MODE:
        raise ServiceError("ValidationException", f"ExecutionMode {declared['executionMode']} is not emulated.")
    for _, action in actions_of(declared):
        action.setdefault("runOrder", 1)
    return {"name": name, "version": version, "pipelineType": "V1", "executionMode": _MODE, **declared}


def _create(properties: Json, logical_id: str, stack_name: str) -> Json:
    name = physical_name(properties, "Name", logical_id, stack_name, limit=_NAME_MAX)
    if name in PIPELINES:
        raise ServiceError("PipelineNameInUseException", f"A pipeline with the name '{name}' already exists")
    pipeline = Pipeline(
        declaration=_declaration(properties, name, 1),
        account=get_account_id(),
        region=get_region(),
    )
    PIPELINES[name] = pipeline
    set_tags(core.arn(SERVICE, name), properties.get("Tags"))
    codepipeline_runs.start(pipeline, {"triggerType": "CreatePipeline", "triggerDetail": ""})
    return {"Name": name, "Version": "1", "Arn": core.arn(SERVICE, name)}


def _update(name: str, old: Json, new: Json) -> Json:
    pipeline = find(name)
    pipeline.declaration = _declaration(new, name, pipeline.declaration["version"] + 1)
    change_tags(core.arn(SERVICE, name), old, new)
    if new.get("RestartExecutionOnUpdate"):
        codepipeline_runs.start(pipeline, {"triggerType": "StartPipelineExecution", "triggerDetail": ""})
    return {"Version": str(pipeline.declaration["version"]), "Arn": core.arn(SERVICE, name)}


def _delete(name: str, properties: Json) -> None:
    for execution in find(name).executions:  # so that none waits for an approval that cannot be given any more
        if execution["status"] not in ENDED and not is_stopping(execution):
            codepipeline_runs.stop(name, execution["pipelineExecutionId"], reason="The pipeline was deleted.")
    drop_tags(core.arn(SERVICE, name))
    del PIPELINES[name]


def install() -> None:
    """Watch for pushes."""
    clock.start(_watch)


resource_type("AWS::CodePipeline::Pipeline", create=_create, update=_update, delete=_delete)
answer_tags(SERVICE)
