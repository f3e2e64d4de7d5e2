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
from aws_emulator.codepipeline.state import ENDED, PIPELINES, SERVICE, Pipeline, actions_of, find, find_execution
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam.callers import caller
from aws_emulator.records import answer_tags, change_tags, drop_tags, set_tags

if TYPE_CHECKING:
    from pathlib import Path

    from aws_emulator.codepipeline.state import ActionExecution, Execution, Node

_NAME_MAX: Final = 100
_WATCH_S: Final = 0.2


# ---- operations -----------------------------------------------------------------------------------------------------


@overlay(SERVICE, "StartPipelineExecution")
def start_pipeline_execution(request: Json) -> Json:
    """Start a pipeline by hand."""
    trigger = {"triggerType": "StartPipelineExecution", "triggerDetail": caller().session_arn}
    return {"pipelineExecutionId": codepipeline_runs.start(find(request["name"]), trigger).id}


@overlay(SERVICE, "StopPipelineExecution")
def stop_pipeline_execution(request: Json) -> Json:
    """Stop an execution."""
    codepipeline_runs.stop(
        request["pipelineName"],
        request["pipelineExecutionId"],
        abandon=bool(request.get("abandon")),
        reason=request.get("reason", ""),
    )
    return {"pipelineExecutionId": request["pipelineExecutionId"]}


@overlay(SERVICE, "PutApprovalResult")
def put_approval_result(request: Json) -> Json:
    """Answer an approval, whose token `GetPipelineState` and the notification tell."""
    pipeline = find(request["pipelineName"])
    stages = {stage["name"]: stage for stage in pipeline.declaration["stages"]}
    stage, name = request["stageName"], request["actionName"]
    if stage not in stages:
        raise ServiceError("StageNotFoundException", f"Pipeline {request['pipelineName']} has no stage {stage}")
    if name not in {action["name"] for action in stages[stage]["actions"]}:
        raise ServiceError("ActionNotFoundException", f"Stage {stage} has no action {name}")
    asked = [
        ran
        for execution in pipeline.executions
        for ran in execution.actions
        if (ran.stage, ran.name, ran.token) == (stage, name, request["token"])
    ]
    with pipeline.turn:
        if asked and asked[0].verdict:
            raise ServiceError(
                "ApprovalAlreadyCompletedException", "The approval action has already been approved or rejected."
            )
        if not asked or asked[0].status != "InProgress":
            raise ServiceError(
                "InvalidApprovalTokenException", "The approval request already received a response or has expired."
            )
        (ran,) = asked
        ran.verdict, ran.summary = request["result"]["status"], request["result"]["summary"]
        ran.updated_by, ran.updated = caller().session_arn, clock.now()
    ran.done.set()
    return {"approvedAt": ran.updated}


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
    execution = find_execution(request["pipelineName"], request["pipelineExecutionId"])
    return {
        "pipelineExecution": {
            "pipelineName": execution.pipeline,
            "pipelineVersion": execution.version,
            "pipelineExecutionId": execution.id,
            "status": execution.status,
            "trigger": execution.trigger,
            "executionMode": find(execution.pipeline).declaration["executionMode"],
            "artifactRevisions": [execution.revision] if execution.revision else [],
            **({"statusSummary": execution.stop_reason} if execution.stop_reason else {}),
        }
    }


@overlay(SERVICE, "ListPipelineExecutions")
def list_pipeline_executions(request: Json) -> Json:
    """List executions, newest first."""
    return {
        "pipelineExecutionSummaries": [
            {
                "pipelineExecutionId": execution.id,
                "status": execution.status,
                "startTime": execution.started,
                "lastUpdateTime": execution.updated,
                "trigger": execution.trigger,
                "sourceRevisions": [
                    {
                        "actionName": ran.name,
                        "revisionId": ran.external_id,
                        "revisionSummary": ran.summary,
                    }
                    for ran in execution.actions
                    if ran.action["actionTypeId"]["category"] == "Source" and ran.external_id
                ],
                **({"stopTrigger": {"reason": execution.stop_reason}} if execution.is_stopping() else {}),
            }
            for execution in reversed(find(request["pipelineName"]).executions)
        ]
    }


@overlay(SERVICE, "ListActionExecutions")
def list_action_executions(request: Json) -> Json:
    """List what the actions did, newest first."""
    wanted = (request.get("filter") or {}).get("pipelineExecutionId")
    pipeline = find(request["pipelineName"])
    return {
        "actionExecutionDetails": [
            _action_detail(execution, action)
            for execution in reversed(pipeline.executions)
            if wanted in (None, execution.id)
            for action in reversed(execution.actions)
        ]
    }


def _action_detail(execution: Execution, ran: ActionExecution) -> Json:
    declared = ran.action
    result: Json = {"externalExecutionId": ran.external_id, "externalExecutionUrl": ran.external_url}
    if ran.summary:
        result["externalExecutionSummary"] = ran.summary
    if ran.error:
        result["errorDetails"] = ran.error
    return {
        "pipelineExecutionId": execution.id,
        "actionExecutionId": ran.id,
        "pipelineVersion": execution.version,
        "stageName": ran.stage,
        "actionName": ran.name,
        "startTime": ran.started,
        "lastUpdateTime": ran.updated or ran.started,
        "status": ran.status,
        **({"updatedBy": ran.updated_by} if ran.updated_by else {}),
        "input": {
            "actionTypeId": declared["actionTypeId"],
            "configuration": declared.get("configuration", {}),
            "resolvedConfiguration": ran.resolved,
            "inputArtifacts": [artifact.described() for artifact in ran.inputs],
            **({"namespace": declared["namespace"]} if "namespace" in declared else {}),
        },
        "output": {
            "executionResult": result,
            "outputVariables": ran.outputs,
            "outputArtifacts": [artifact.described() for artifact in ran.produced],
        },
    }


@overlay(SERVICE, "GetPipelineState")
def get_pipeline_state(request: Json) -> Json:
    """Return what every stage did last, which need not be in the same execution."""
    pipeline = find(request["name"])
    stages = []
    for declared in pipeline.declaration["stages"]:
        stage = pipeline.stage(declared["name"])
        ran = {run.name: run for run in stage.latest.actions if run.stage == declared["name"]} if stage.latest else {}
        state: Json = {
            "stageName": declared["name"],
            "inboundTransitionState": {"enabled": True},
            "actionStates": [_action_state(action, ran.get(action["name"])) for action in declared["actions"]],
        }
        if stage.waiting:
            state["inboundExecutions"] = [
                {"pipelineExecutionId": execution.id, "status": "InProgress"} for execution in stage.waiting
            ]
        if stage.latest:
            state["latestExecution"] = {"pipelineExecutionId": stage.latest.id, "status": stage.status}
        stages.append(state)
    return {
        "pipelineName": request["name"],
        "pipelineVersion": pipeline.declaration["version"],
        "stageStates": stages,
    }


def _action_state(declared: Json, ran: ActionExecution | None) -> Json:
    state: Json = {"actionName": declared["name"]}
    if ran:
        latest = {
            "actionExecutionId": ran.id,
            "status": ran.status,
            "lastStatusChange": ran.updated or ran.started,
            "lastUpdatedBy": ran.updated_by,
            "externalExecutionId": ran.external_id,
            "externalExecutionUrl": ran.external_url,
            "summary": ran.summary,
            "token": ran.token if ran.status == "InProgress" and not ran.verdict else "",
            "errorDetails": ran.error,
        }
        state["latestExecution"] = {key: value for key, value in latest.items() if value}
    return state


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
    for stage in declared["stages"]:
        for action in stage["actions"]:
            action.setdefault("runOrder", 1)
    return {"name": name, "version": version, "pipelineType": "V1", "executionMode": "SUPERSEDED", **declared}


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
    for execution in find(name).executions:  # nobody waits for an approval that cannot be given any more
        if execution.status not in ENDED and not execution.abandoned:
            codepipeline_runs.stop(name, execution.id, abandon=True, reason="The pipeline was deleted.")
    drop_tags(core.arn(SERVICE, name))
    del PIPELINES[name]


def install() -> None:
    """Watch for pushes."""
    clock.start(_watch)


resource_type("AWS::CodePipeline::Pipeline", create=_create, update=_update, delete=_delete)
answer_tags(SERVICE)
