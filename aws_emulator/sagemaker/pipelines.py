"""SageMaker Pipelines: definitions are kept, and an execution really runs its definition in a process.

The process is a script that the configuration names, with the credentials of the pipeline's role. It creates the jobs
of the steps, does their work, and appends what happens to a file, from which the states shown here are read
(README.md).
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ministack.core.responses import get_region

from aws_emulator import core, processes
from aws_emulator.bridge import overlay
from aws_emulator.clock import Lock, clock, random_id
from aws_emulator.core import Json, Records, ServiceError
from aws_emulator.iam.callers import assume_as_service, authorize_pass_role
from aws_emulator.sagemaker import jobs as sagemaker_jobs
from aws_emulator.sagemaker.store import PRINCIPAL, SERVICE, table, user_context

if TYPE_CHECKING:
    from pathlib import Path

EXECUTION_EVENT: Final = "SageMaker Model Building Pipeline Execution Status Change"
STEP_EVENT: Final = "SageMaker Model Building Pipeline Execution Step Status Change"

_STEP_METADATA: Final = "metadata"
PIPELINES: Final = table(
    noun="Pipeline",
    code="ResourceNotFound",
    missing="Pipeline '{arn}' does not exist.",
    taken_code="ValidationException",
    taken="Pipeline names must be unique within an AWS account and region. {key} exists.",
).answers("List")
_executions: Final = Records()
_tokens: Final = Records()


@dataclass(kw_only=True)
class Step:
    """One step of an execution."""

    name: str
    status: str
    started: float
    ended: float | None = None
    failure_reason: str | None = None
    metadata: Json = field(default_factory=dict)


@dataclass(kw_only=True)
class Execution:
    """One execution of a pipeline: a process, and what it has reported so far."""

    arn: str
    pipeline: str
    definition: str
    parameters: list[Json]
    details: Json
    work: Path
    started: float
    changed: float
    created_by: Json
    status: str = "Executing"
    failure_reason: str | None = None
    process: subprocess.Popen[Any] | None = None
    steps: dict[str, Step] = field(default_factory=dict)
    lock: Lock = field(default_factory=clock.lock)
    read: int = 0

    @property
    def events(self) -> Path:
        """File to which the runner appends."""
        return self.work / "events.jsonl"

    def update(self) -> list[tuple[str, Step]]:
        """Read what the runner has reported since the last call, and return the steps that changed, in order."""
        changed = []
        with self.lock:
            if not self.events.exists():
                return []
            with self.events.open("rb") as file:
                file.seek(self.read)
                for line in file:
                    if not line.endswith(b"\n"):  # being written
                        break
                    self.read += len(line)
                    event = json.loads(line)
                    if "step" in event:
                        changed.append(self._note(event))
                    elif event.get("failure_reason"):
                        self.failure_reason = event["failure_reason"]
        return changed

    def _note(self, event: Json) -> tuple[str, Step]:
        moment = datetime.datetime.fromisoformat(event["time"]).timestamp()
        step = self.steps.get(event["step"])
        before = step.status if step else "Starting"
        if step is None:
            step = self.steps[event["step"]] = Step(name=event["step"], status="Starting", started=moment)
        step.status = event["status"]
        step.metadata = event.get(_STEP_METADATA, step.metadata)
        step.failure_reason = event.get("failure_reason", step.failure_reason)
        if step.status != "Executing":
            step.ended = moment
        self.changed = clock.now()
        return before, step

    def stop(self) -> None:
        """End the process, if it still runs."""
        if self.process and self.process.poll() is None:
            self.status = "Stopping"
            processes.kill(self.process)


# ---- pipelines ------------------------------------------------------------------------------------------------------


def _definition(request: Json) -> str | None:
    """Return the definition a request brings, by value or from S3, after a look at its form."""
    text: str | None = request.get("PipelineDefinition")
    location = request.get("PipelineDefinitionS3Location")
    if location:
        version = {"VersionId": location["VersionId"]} if "VersionId" in location else {}
        found = core.client("s3").get_object(Bucket=location["Bucket"], Key=location["ObjectKey"], **version)
        text = found["Body"].read().decode()
    if text is None:
        return None
    try:
        content = json.loads(text)
        names = [step["Name"] for step in content["Steps"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceError("ValidationException", f"Unable to parse pipeline definition. {error!r}") from error
    if not names or len(set(names)) < len(names):
        raise ServiceError("ValidationException", "A pipeline definition needs steps with names of their own.")
    return text


@overlay(SERVICE, "CreatePipeline")
def create_pipeline(request: Json) -> Json:
    """Create a pipeline, for a caller who may pass its role; the same request with the same token is no error."""
    authorize_pass_role(request["RoleArn"], PRINCIPAL)
    name, token = request["PipelineName"], request.get("ClientRequestToken")
    known: Json | None = PIPELINES.records.get(name)
    if known and token and known.get("ClientRequestToken") == token:
        return known
    PIPELINES.require_free(request)
    definition = _definition(request)
    if definition is None:
        raise ServiceError("ValidationException", "PipelineDefinition or PipelineDefinitionS3Location is required.")
    who = user_context()
    given = {"PipelineDisplayName": name, **request, "PipelineDefinition": definition}
    return PIPELINES.add(given, PipelineStatus="Active", CreatedBy=who, LastModifiedBy=who)


@overlay(SERVICE, "UpdatePipeline")
def update_pipeline(request: Json) -> Json:
    """Change what the request names of a pipeline; a role has to be passed by the caller."""
    if "RoleArn" in request:
        authorize_pass_role(request["RoleArn"], PRINCIPAL)
    pipeline = PIPELINES.find(request)
    definition = _definition(request) or pipeline["PipelineDefinition"]
    pipeline.update(request, PipelineDefinition=definition, LastModifiedTime=clock.now(), LastModifiedBy=user_context())
    return pipeline


@overlay(SERVICE, "DescribePipeline")
def describe_pipeline(request: Json) -> Json:
    """Describe a pipeline, its definition included."""
    pipeline = _find(request)
    runs = [execution.started for execution in _executions_of(pipeline)]
    return pipeline | ({"LastRunTime": max(runs)} if runs else {})


def _find(request: Json) -> Json:
    """Return the pipeline that a request names by its name or its ARN."""
    return PIPELINES.named(request["PipelineName"].rsplit("/", 1)[-1])


def _executions_of(pipeline: Json) -> list[Execution]:
    return [execution for execution in _executions.values() if execution.pipeline == pipeline["PipelineName"]]


@overlay(SERVICE, "DeletePipeline")
def delete_pipeline(request: Json) -> Json:
    """Delete a pipeline of which nothing is running."""
    pipeline = PIPELINES.find(request)
    running = [execution for execution in _executions_of(pipeline) if execution.status == "Executing"]
    if running:
        raise ServiceError(
            "ConflictException", f"Pipeline {pipeline['PipelineArn']} has {len(running)} running executions."
        )
    return PIPELINES.delete(request)


# ---- executions -----------------------------------------------------------------------------------------------------


@overlay(SERVICE, "StartPipelineExecution")
def start_pipeline_execution(request: Json) -> Json:
    """Start an execution; the same token starts it once."""
    pipeline = _find(request)
    token = (pipeline["PipelineArn"], request.get("ClientRequestToken"))
    if token[1] and token in _tokens:
        return {"PipelineExecutionArn": _tokens[token]}
    parameters = request.get("PipelineParameters", [])
    _check_parameters(pipeline, parameters)
    arn = f"{pipeline['PipelineArn']}/execution/{random_id(12)}"
    work = core.organization().work_dir / "pipelines" / arn.rsplit("/", 1)[-1]
    work.mkdir(parents=True)
    keys = ("PipelineExecutionDisplayName", "PipelineExecutionDescription", "ParallelismConfiguration")
    execution = Execution(
        arn=arn,
        pipeline=pipeline["PipelineName"],
        definition=pipeline["PipelineDefinition"],
        parameters=parameters,
        details={key: request[key] for key in keys if key in request},
        work=work,
        started=clock.now(),
        changed=clock.now(),
        created_by=user_context(),
    )
    _run(execution, pipeline["RoleArn"])
    _executions[arn] = execution
    if token[1]:
        _tokens[token] = arn
    return {"PipelineExecutionArn": arn}


def _check_parameters(pipeline: Json, parameters: list[Json]) -> None:
    """Check that every parameter is declared once, and that those without default have a value."""
    declared = {item["Name"]: item for item in json.loads(pipeline["PipelineDefinition"]).get("Parameters", [])}
    given = {item["Name"] for item in parameters}
    unknown = sorted(given - declared.keys())
    missing = sorted(name for name, item in declared.items() if "DefaultValue" not in item and name not in given)
    if unknown or missing:
        raise ServiceError(
            "ValidationException",
            f"Pipeline {pipeline['PipelineName']} declares the parameters {sorted(declared)}: "
            f"unknown are {unknown}, without value are {missing}.",
        )


def _run(execution: Execution, role_arn: str) -> None:
    """Start the runner as the pipeline's role, and a thread that watches it."""
    organization = core.organization()
    if organization.pipeline_runner is None:
        raise ServiceError("ValidationException", "Nothing runs pipelines here: name a pipeline_runner (README.md).")
    definition = execution.work / "definition.json"
    definition.write_text(execution.definition)
    credentials = assume_as_service(role_arn, PRINCIPAL, "SageMaker")
    command = [organization.python, "-P", str(organization.pipeline_runner), "--aws"]  # -P: without what is beside it
    command += ["--definition", str(definition), "--events", str(execution.events)]
    command += ["--work", str(execution.work / "jobs"), "--pipeline-name", execution.pipeline]
    command += ["--execution-arn", execution.arn]
    command += ["--parameters", json.dumps({item["Name"]: item["Value"] for item in execution.parameters})]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    environment = {
        **kept,
        "PYTHONPATH": organization.pythonpath,
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_ENDPOINT_URL": organization.endpoint,
        "AWS_DEFAULT_REGION": get_region(),
        "AWS_REGION": get_region(),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PIPELINE_ROLE_ARN": role_arn,
        **credentials.environment(),
    }
    with (execution.work / "runner.log").open("wb") as log:
        execution.process = processes.start(
            command, env=environment, cwd=execution.work, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    _announce(execution, "Starting", "Executing")
    clock.start(_watch, execution, execution.process)


def _watch(execution: Execution, process: subprocess.Popen[Any]) -> None:
    """Report steps as they change, and the end of the process, in the account and region of the execution."""
    while process.poll() is None:
        _announce_steps(execution)
        clock.sleep(0.1)
    status = processes.finish(process)
    _announce_steps(execution)
    before = execution.status
    if before == "Stopping":
        ended = "Stopped"
    elif status == 0:
        ended = "Succeeded"
    else:
        ended = "Failed"
        execution.failure_reason = execution.failure_reason or _log_tail(execution)
    execution.changed = clock.now()
    execution.status = ended
    _announce(execution, before, ended)


def _log_tail(execution: Execution) -> str:
    lines = (execution.work / "runner.log").read_text(errors="replace").strip().splitlines()
    return "\n".join(lines[-5:])[-1024:]


def _announce(execution: Execution, before: str, status: str) -> None:
    """Put the change of an execution's status on the default bus.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    """
    detail = {
        "pipelineExecutionDisplayName": execution.details.get("PipelineExecutionDisplayName"),
        "pipelineExecutionDescription": execution.details.get("PipelineExecutionDescription"),
        "currentPipelineExecutionStatus": status,
        "previousPipelineExecutionStatus": before,
        "executionStartTime": clock.shown(execution.started),
        "executionEndTime": None if status == "Executing" else clock.shown(execution.changed),
    }
    _emit(execution, EXECUTION_EVENT, detail)


def _announce_steps(execution: Execution) -> None:
    for before, step in execution.update():
        if step.ended:
            # 63 characters are the limit of a job's name, and ten of them with a hyphen are its end.
            name = f"pipelines-{execution.arn.rsplit('/', 1)[-1]}-{step.name}"[:52].rstrip("-")
            sagemaker_jobs.end(f"{name}-", step.status, step.failure_reason)
        detail = {
            "stepName": step.name,
            "previousStepStatus": before,
            "currentStepStatus": step.status,
            "failureReason": step.failure_reason,
            "metadata": step.metadata,
            "stepStartTime": clock.shown(step.started),
            "stepEndTime": clock.shown(step.ended) if step.ended else None,
        }
        _emit(execution, STEP_EVENT, detail)


def _emit(execution: Execution, detail_type: str, detail: Json) -> None:
    pipeline_arn = execution.arn.split("/execution/")[0]
    given = {key: value for key, value in detail.items() if value is not None}
    arns = {"pipelineArn": pipeline_arn, "pipelineExecutionArn": execution.arn}
    core.emit("aws.sagemaker", detail_type, given | arns, pipeline_arn, execution.arn)


def _execution(arn: str) -> Execution:
    execution: Execution | None = _executions.get(arn)
    if execution is None:
        raise ServiceError("ResourceNotFound", f"Pipeline execution {arn} does not exist.")
    return execution


def _shown(execution: Execution) -> Json:
    """Return an execution as the API has it, in descriptions and in lists."""
    failed = execution.failure_reason if execution.status == "Failed" else None
    return {
        **execution.details,
        "PipelineArn": execution.arn.split("/execution/")[0],
        "PipelineExecutionArn": execution.arn,
        "PipelineExecutionStatus": execution.status,
        "CreationTime": execution.started,
        "StartTime": execution.started,
        "LastModifiedTime": execution.changed,
        "CreatedBy": execution.created_by,
        "LastModifiedBy": execution.created_by,
        "FailureReason": failed,
        "PipelineExecutionFailureReason": failed,
    }


@overlay(SERVICE, "DescribePipelineExecution")
def describe_pipeline_execution(request: Json) -> Json:
    """Describe an execution."""
    return _shown(_execution(request["PipelineExecutionArn"]))


@overlay(SERVICE, "ListPipelineExecutions")
def list_pipeline_executions(request: Json) -> Json:
    """List the executions of a pipeline, newest first unless the request says otherwise."""
    found = [_shown(execution) for execution in _executions_of(_find(request))]
    filters = {member: value for member, value in request.items() if member != "PipelineName"}
    return PIPELINES.list_of("ListPipelineExecutions", filters, found)


@overlay(SERVICE, "ListPipelineExecutionSteps")
def list_pipeline_execution_steps(request: Json) -> Json:
    """List the steps of an execution that have started, newest first unless the request says otherwise."""
    steps: list[Json] = [
        {
            "StepName": step.name,
            "StepStatus": step.status,
            "StartTime": step.started,
            "EndTime": step.ended,
            "FailureReason": step.failure_reason,
            "Metadata": step.metadata,
            "AttemptCount": 1,
        }
        for step in list(_execution(request["PipelineExecutionArn"]).steps.values())
    ]
    if request.get("SortOrder", "Descending") == "Descending":
        steps.reverse()
    return {"PipelineExecutionSteps": steps}


@overlay(SERVICE, "StopPipelineExecution")
def stop_pipeline_execution(request: Json) -> Json:
    """Stop an execution."""
    execution = _execution(request["PipelineExecutionArn"])
    execution.stop()
    return {"PipelineExecutionArn": execution.arn}
