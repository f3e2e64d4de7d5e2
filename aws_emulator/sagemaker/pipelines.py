"""SageMaker Pipelines: definitions are kept, and an execution really runs its definition in a process.

The process is a script that the configuration names, with the credentials of the pipeline's role. It creates the jobs
of the steps, does their work, and appends what happens to a file, from which the states shown here are read
(README.md).
"""

from __future__ import annotations

import datetime
import json
import subprocess
from typing import Final

from aws_emulator import core, processes
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock, random_id
from aws_emulator.core import Json, Records, ServiceError
from aws_emulator.iam.callers import assume_as_service, authorize_pass_role
from aws_emulator.sagemaker import jobs as sagemaker_jobs
from aws_emulator.sagemaker.store import PRINCIPAL, SERVICE, table, user_context

EXECUTION_EVENT: Final = "SageMaker Model Building Pipeline Execution Status Change"
STEP_EVENT: Final = "SageMaker Model Building Pipeline Execution Step Status Change"

_EVENTS: Final = "events.jsonl"
"""File to which the runner appends."""
PIPELINES: Final = table(
    noun="Pipeline",
    code="ResourceNotFound",
    missing="Pipeline '{arn}' does not exist.",
    taken_code="ValidationException",
    taken="Pipeline names must be unique within an AWS account and region. {key} exists.",
).answers("List")
_executions: Final = Records()
"""Executions by ARN, with the members that the API shows of them.

Under ``pipeline`` is the pipeline's name, under ``steps`` the steps by name, under ``work`` the folder, under
``process`` the runner, and under ``read`` how much has been read of what it has reported.
"""
_tokens: Final = Records()


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
    """Create a pipeline, for a caller who is allowed to pass its role; repeating it with the same token is fine."""
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
    return PIPELINES.update({**request, "PipelineDefinition": definition, "LastModifiedBy": user_context()})


@overlay(SERVICE, "DescribePipeline")
def describe_pipeline(request: Json) -> Json:
    """Describe a pipeline, its definition included."""
    pipeline = _find(request)
    runs = [execution["CreationTime"] for execution in _executions_of(pipeline)]
    return pipeline | ({"LastRunTime": max(runs)} if runs else {})


def _find(request: Json) -> Json:
    """Return the pipeline that a request names by its name or its ARN."""
    return PIPELINES.named(request["PipelineName"].rsplit("/", 1)[-1])


def _executions_of(pipeline: Json) -> list[Json]:
    return [execution for execution in _executions.values() if execution["pipeline"] == pipeline["PipelineName"]]


@overlay(SERVICE, "DeletePipeline")
def delete_pipeline(request: Json) -> Json:
    """Delete a pipeline of which nothing is running."""
    pipeline = PIPELINES.find(request)
    running = [e for e in _executions_of(pipeline) if e["PipelineExecutionStatus"] == "Executing"]
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
    _check_parameters(pipeline, request.get("PipelineParameters", []))
    arn, who = f"{pipeline['PipelineArn']}/execution/{random_id(12)}", user_context()
    work = core.organization().work_dir / "pipelines" / arn.rsplit("/", 1)[-1]
    work.mkdir(parents=True)
    moment = clock.now()
    execution = {
        **request,
        "PipelineArn": pipeline["PipelineArn"],
        "PipelineExecutionArn": arn,
        "PipelineExecutionStatus": "Executing",
        "CreationTime": moment,
        "StartTime": moment,
        "LastModifiedTime": moment,
        "CreatedBy": who,
        "LastModifiedBy": who,
        "pipeline": pipeline["PipelineName"],
        "work": work,
        "steps": {},
        "read": 0,
    }
    _run(execution, pipeline)
    _executions[arn] = execution
    if token[1]:
        _tokens[token] = arn
    return execution


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


def _run(execution: Json, pipeline: Json) -> None:
    """Start the runner as the pipeline's role, and a thread that watches it."""
    organization, work, role_arn = core.organization(), execution["work"], pipeline["RoleArn"]
    if organization.pipeline_runner is None:
        raise ServiceError("ValidationException", "Nothing runs pipelines here: name a pipeline_runner (README.md).")
    definition = work / "definition.json"
    definition.write_text(pipeline["PipelineDefinition"])
    credentials = assume_as_service(role_arn, PRINCIPAL, "SageMaker")
    parameters = {item["Name"]: item["Value"] for item in execution.get("PipelineParameters", [])}
    command = [organization.python, "-P", str(organization.pipeline_runner), "--aws"]  # -P: without what is beside it
    command += ["--definition", str(definition), "--events", str(work / _EVENTS)]
    command += ["--work", str(work / "jobs"), "--pipeline-name", execution["pipeline"]]
    command += ["--execution-arn", execution["PipelineExecutionArn"], "--parameters", json.dumps(parameters)]
    environment = {
        **processes.sdk_environment(),
        **credentials.environment(),
        "PYTHONPATH": organization.pythonpath,
        "PIPELINE_ROLE_ARN": role_arn,
    }
    with (work / "runner.log").open("wb") as log:
        execution["process"] = processes.start(
            command, env=environment, cwd=work, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    _announce(execution, "Starting")
    clock.start(_watch, execution)


def _watch(execution: Json) -> None:
    """Report steps as they change, and the end of the process, in the account and region of the execution."""
    process = execution["process"]
    while process.poll() is None:
        _read_events(execution)
        clock.sleep(0.1)
    exit_status = processes.finish(process)
    _read_events(execution)
    if exit_status:
        lines = (execution["work"] / "runner.log").read_text(errors="replace").strip().splitlines()
        reason = execution.get("reason") or "\n".join(lines[-5:])[-1024:]
        execution.update(FailureReason=reason, PipelineExecutionFailureReason=reason)
    status = "Failed" if exit_status else "Succeeded"
    execution.update(LastModifiedTime=clock.now(), PipelineExecutionStatus=status)
    _announce(execution, "Executing")


def _read_events(execution: Json) -> None:
    """Read what the runner has reported since the last time, and report the steps that changed."""
    events = execution["work"] / _EVENTS
    if not events.exists():
        return
    with events.open("rb") as file:
        file.seek(execution["read"])
        for line in file:
            if not line.endswith(b"\n"):  # being written
                break
            execution["read"] += len(line)
            event = json.loads(line)
            if "step" in event:
                _note_step(execution, event)
            elif event.get("failure_reason"):
                execution["reason"] = event["failure_reason"]


def _note_step(execution: Json, event: Json) -> None:
    name, moment = event["step"], datetime.datetime.fromisoformat(event["time"]).timestamp()
    new = {"StepName": name, "StepStatus": "Starting", "StartTime": moment, "Metadata": {}, "AttemptCount": 1}
    step = execution["steps"].setdefault(name, new)
    before = step["StepStatus"]
    given = {"Metadata": event.get("metadata"), "FailureReason": event.get("failure_reason")}
    step.update({member: value for member, value in given.items() if value is not None}, StepStatus=event["status"])
    execution["LastModifiedTime"] = clock.now()
    if step["StepStatus"] != "Executing":
        step["EndTime"] = moment
        # 63 characters are the limit of a job's name, and ten of them with a hyphen are its end.
        job = f"pipelines-{execution['PipelineExecutionArn'].rsplit('/', 1)[-1]}-{name}"[:52].rstrip("-")
        sagemaker_jobs.end(f"{job}-", step["StepStatus"], step.get("FailureReason"))
    detail = {
        "stepName": name,
        "previousStepStatus": before,
        "currentStepStatus": step["StepStatus"],
        "failureReason": step.get("FailureReason"),
        "metadata": step["Metadata"],
        "stepStartTime": clock.shown(step["StartTime"]),
        "stepEndTime": clock.shown(step["EndTime"]) if "EndTime" in step else None,
    }
    _emit(execution, STEP_EVENT, detail)


def _announce(execution: Json, before: str) -> None:
    """Put the change of an execution's status on the default bus.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    """
    status = execution["PipelineExecutionStatus"]
    detail = {
        "pipelineExecutionDisplayName": execution.get("PipelineExecutionDisplayName"),
        "pipelineExecutionDescription": execution.get("PipelineExecutionDescription"),
        "currentPipelineExecutionStatus": status,
        "previousPipelineExecutionStatus": before,
        "executionStartTime": clock.shown(execution["CreationTime"]),
        "executionEndTime": None if status == "Executing" else clock.shown(execution["LastModifiedTime"]),
    }
    _emit(execution, EXECUTION_EVENT, detail)


def _emit(execution: Json, detail_type: str, detail: Json) -> None:
    arns = {"pipelineArn": execution["PipelineArn"], "pipelineExecutionArn": execution["PipelineExecutionArn"]}
    given = {key: value for key, value in detail.items() if value is not None}
    core.emit("aws.sagemaker", detail_type, given | arns, *arns.values())


def _execution(request: Json) -> Json:
    found: Json | None = _executions.get(request["PipelineExecutionArn"])
    if found is None:
        raise ServiceError("ResourceNotFound", f"Pipeline execution {request['PipelineExecutionArn']} does not exist.")
    return found


overlay(SERVICE, "DescribePipelineExecution")(_execution)


@overlay(SERVICE, "ListPipelineExecutions")
def list_pipeline_executions(request: Json) -> Json:
    """List the executions of a pipeline, newest first unless the request says otherwise."""
    filters = {member: value for member, value in request.items() if member != "PipelineName"}
    return PIPELINES.list_of("ListPipelineExecutions", filters, _executions_of(_find(request)))


@overlay(SERVICE, "ListPipelineExecutionSteps")
def list_pipeline_execution_steps(request: Json) -> Json:
    """List the steps of an execution that have started, newest first unless the request says otherwise."""
    steps = list(_execution(request)["steps"].values())
    return {"PipelineExecutionSteps": steps if request.get("SortOrder") == "Ascending" else steps[::-1]}
