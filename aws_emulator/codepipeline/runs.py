"""How executions go through the stages of a pipeline, and the events about it.

A stage is locked while an execution is in it, and an execution that waits in front of a locked stage gives way to a
newer one (mode ``SUPERSEDED``; the others are not emulated). Sources:
https://docs.aws.amazon.com/codepipeline/latest/userguide/concepts-how-it-works.html and
…/detect-state-changes-cloudwatch-events.html.
"""

from __future__ import annotations

import copy
import functools
import logging
from typing import TYPE_CHECKING, Final

from botocore import xform_name
from botocore.exceptions import ClientError
from ministack.core.responses import get_region

from aws_emulator import core
from aws_emulator.clock import clock
from aws_emulator.codepipeline.actions import ActionError, perform
from aws_emulator.codepipeline.state import (
    ENDED,
    SERVICE,
    find,
    find_execution,
    in_run_order,
    is_stopping,
    new_execution,
    new_run,
)
from aws_emulator.core import Json, ServiceError

if TYPE_CHECKING:
    from aws_emulator.codepipeline.state import Execution, Pipeline, Run

_log: Final = logging.getLogger(__name__)


def start(pipeline: Pipeline, trigger: Json) -> Execution:
    """Start an execution; it runs on a thread of its own."""
    declaration = copy.deepcopy(pipeline.declaration)
    execution = new_execution(declaration, trigger)
    pipeline.executions.append(execution)
    clock.start(_run, pipeline, declaration, execution)
    return execution


def stop(name: str, execution_id: str, *, reason: str) -> None:
    """Stop an execution without waiting for the actions that are in progress.

    Raises:
        ServiceError: It is not in progress, or is being stopped already.
    """
    pipeline, execution = find(name), find_execution(name, execution_id)
    with pipeline.turn:
        if execution["status"] in ENDED:
            raise ServiceError(
                "PipelineExecutionNotStoppableException",
                f"Unable to stop the pipeline execution {execution_id}: it is in the state {execution['status']}.",
            )
        if is_stopping(execution):
            raise ServiceError(
                "DuplicatedStopRequestException", f"The pipeline execution {execution_id} is already being stopped."
            )
        execution.update(stopped=reason, status="Stopping", statusSummary=reason or None)
    _emit(execution, "Pipeline", "STOPPING")
    with pipeline.turn:
        for run in execution["runs"]:
            if run["status"] == "InProgress":
                run.update(status="Abandoned", lastUpdateTime=clock.now())
                run["done"].set()
        pipeline.turn.notify_all()


def _run(pipeline: Pipeline, declaration: Json, execution: Execution) -> None:
    with core.as_account(pipeline.account, pipeline.region):
        _emit(execution, "Pipeline", "STARTED")
        status = "Succeeded"
        for stage in declaration["stages"]:
            status = _enter(pipeline, execution, stage["name"])
            if status == "InProgress":
                try:
                    status = _run_stage(pipeline, declaration, execution, stage)
                finally:
                    _leave(pipeline, execution, stage["name"], status)
            if status != "Succeeded":
                break
        with pipeline.turn:
            # It can have been stopped while its last action came to an end.
            status = "Stopped" if is_stopping(execution) and status == "Succeeded" else status
            execution.update(status=status, lastUpdateTime=clock.now())
        _emit(execution, "Pipeline", status.upper())


def _enter(pipeline: Pipeline, execution: Execution, name: str) -> str:
    """Wait until a stage is free. Returns ``InProgress``, or why the execution does not get there."""
    stage = pipeline.stage(name)
    with pipeline.turn:
        stage.waiting[:] = [execution]  # which supersedes the execution that waits there
        pipeline.turn.notify_all()
        pipeline.turn.wait_for(lambda: is_stopping(execution) or execution not in stage.waiting or stage.inside is None)
        if execution not in stage.waiting:
            return "Superseded"
        stage.waiting.remove(execution)
        if is_stopping(execution):
            pipeline.turn.notify_all()
            return "Stopped"
        stage.inside = stage.latest = execution
        stage.status = "InProgress"
    _emit(execution, "Stage", "STARTED", stage=name)
    return "InProgress"


def _leave(pipeline: Pipeline, execution: Execution, name: str, status: str) -> None:
    stage = pipeline.stage(name)
    with pipeline.turn:
        stage.status = status
        if stage.inside is execution:
            stage.inside = None
        pipeline.turn.notify_all()
    _emit(execution, "Stage", status.upper(), stage=name)


def _run_stage(pipeline: Pipeline, declaration: Json, execution: Execution, stage: Json) -> str:
    for together in in_run_order(stage["actions"]):
        runs = [new_run(execution, stage["name"], action) for action in together]
        with pipeline.turn:
            if is_stopping(execution):
                return "Stopped"
            execution["runs"].extend(runs)
        clock.all_at_once([functools.partial(_run_action, pipeline, declaration, execution, run) for run in runs])
        if any(run["status"] == "Failed" for run in runs):
            return "Failed"
        if is_stopping(execution):
            return "Stopped"
    return "Succeeded"


def _run_action(pipeline: Pipeline, declaration: Json, execution: Execution, run: Run) -> None:
    _emit(execution, "Action", "STARTED", stage=run["stageName"], run=run)
    error: Json | None = None
    try:
        perform(pipeline, declaration, execution, run)
    except ActionError as failure:
        error = {"code": failure.code, "message": str(failure)}
    except (ServiceError, ClientError) as failure:
        error = {"code": "PermissionError", "message": str(failure)}
    except Exception as failure:  # an error of the emulator must end the execution as well
        _log.exception("action %s of %s", run["actionName"], execution["pipelineName"])
        error = {"code": "InternalError", "message": repr(failure)}
    with pipeline.turn:
        if run["status"] != "Abandoned":
            run.update(status="Failed" if error else "Succeeded", lastUpdateTime=clock.now())
            run["output"]["executionResult"]["errorDetails"] = error
        execution["lastUpdateTime"] = clock.now()
    _emit(execution, "Action", run["status"].upper(), stage=run["stageName"], run=run)


def _emit(execution: Execution, what: str, state: str, *, stage: str = "", run: Run | None = None) -> None:
    """Put a change of state on the account's bus; `what` is ``Pipeline``, ``Stage`` or ``Action``."""
    detail: Json = {
        "pipeline": execution["pipelineName"],
        "execution-id": execution["pipelineExecutionId"],
        "start-time": clock.shown((run or execution)["startTime"]),
        "state": state,
        "version": float(execution["pipelineVersion"]),
        "pipeline-execution-attempt": 1.0,
    }
    if what == "Pipeline":
        detail["execution-trigger"] = {
            "trigger-type": execution["trigger"]["triggerType"],
            "trigger-detail": execution["trigger"].get("triggerDetail", ""),
        }
        if is_stopping(execution):
            detail["stop-execution-comments"] = execution["stopped"]
    if stage:
        detail["stage"] = stage
    if run:
        kind, result = run["action"]["actionTypeId"], run["output"]["executionResult"]
        detail |= {
            "action": run["actionName"],
            "action-execution-id": run["actionExecutionId"],
            "region": get_region(),
            "type": {key: kind[key] for key in ("owner", "category", "provider")} | {"version": str(kind["version"])},
        }
        if state != "STARTED":
            texts = {xform_name(name, "-"): value for name, value in result.items() if isinstance(value, str)}
            error = {"error-code": result["errorDetails"]["code"]} if result.get("errorDetails") else {}
            detail["execution-result"] = {**texts, "external-execution-state": state, **error}
    arn = core.arn(SERVICE, execution["pipelineName"])
    core.emit("aws.codepipeline", f"CodePipeline {what} Execution State Change", detail, arn)
