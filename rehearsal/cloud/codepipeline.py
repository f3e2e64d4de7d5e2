"""CodePipeline: pipelines of a repository source and CodeBuild actions, started by creation, by a push or by hand.

Source actions take the head of a branch from the bare repository behind the connection and put it as a zip file in the
artifact bucket, build actions hand it to CodeBuild; both act as the pipeline's role (or the action's own).
Sources: https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodestarConnectionSource.html,
…/action-reference-CodeBuild.html, …/reference-variables.html and …/detect-state-changes-cloudwatch-events.html.
"""

from __future__ import annotations

import contextvars
import copy
import json
import re
import subprocess
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botocore.exceptions import ClientError
from ministack.core.responses import get_account_id, get_region

from rehearsal.cloud import codebuild, codeconnections, core, iam
from rehearsal.cloud.callers import assume_as_service
from rehearsal.cloud.core import Json, Records, ServiceError, overlay
from rehearsal.cloud.resources import Created, physical_name, resource_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rehearsal.cloud.core import Credentials

Node: TypeAlias = Any
"""A part of a declaration."""

_SERVICE: Final = "codepipeline"
_NAME_MAX: Final = 100
_WATCH_S: Final = 0.2
_VARIABLE: Final = re.compile(r"#\{([\w@-]+)\.([\w@-]+)\}")
_pipelines: Final = Records()


@dataclass(kw_only=True)
class ActionExecution:
    """One action of an execution."""

    stage: str
    action: Json
    started: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "InProgress"
    updated: float = 0.0
    summary: str = ""
    external_id: str = ""
    external_url: str = ""
    error: Json | None = None
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Execution:
    """One run of a pipeline: actions in the order in which they ran, artifacts by name, variables by namespace."""

    pipeline: str
    version: int
    trigger: Json
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "InProgress"
    started: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    actions: list[ActionExecution] = field(default_factory=list)
    artifacts: dict[str, str] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    revision: Json = field(default_factory=dict)


@dataclass(kw_only=True)
class Pipeline:
    """A pipeline: its declaration as the API has it, and its executions, newest last."""

    declaration: Json
    account: str
    region: str
    tags: Mapping[str, str]
    executions: list[Execution] = field(default_factory=list)
    heads: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class _ActionError(Exception):
    """An action that failed, with CodePipeline's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _find(name: str) -> Pipeline:
    found: Pipeline | None = _pipelines.get(name)
    if found is None:
        account = get_account_id()
        raise ServiceError(
            "PipelineNotFoundException", f"Account '{account}' does not have a pipeline with name '{name}'"
        )
    return found


def _execution(request: Json) -> Execution:
    for execution in _find(request["pipelineName"]).executions:
        if execution.id == request["pipelineExecutionId"]:
            return execution
    raise ServiceError("PipelineExecutionNotFoundException", f"no execution {request['pipelineExecutionId']}")


# ---- operations -----------------------------------------------------------------------------------------------------


@overlay(_SERVICE, "StartPipelineExecution")
def start_pipeline_execution(request: Json) -> Json:
    """Start a pipeline by hand."""
    trigger = {"triggerType": "StartPipelineExecution", "triggerDetail": ""}
    return {"pipelineExecutionId": _start(_find(request["name"]), trigger).id}


@overlay(_SERVICE, "GetPipeline")
def get_pipeline(request: Json) -> Json:
    """Return the declaration of a pipeline."""
    return {
        "pipeline": copy.deepcopy(_find(request["name"]).declaration),
        "metadata": {"pipelineArn": core.arn(_SERVICE, request["name"])},
    }


@overlay(_SERVICE, "ListPipelines")
def list_pipelines(request: Json) -> Json:
    """List the pipelines of the account."""
    found = [(name, pipeline.declaration["version"]) for name, pipeline in _pipelines.items()]
    return {"pipelines": [{"name": name, "version": version} for name, version in found]}


@overlay(_SERVICE, "GetPipelineExecution")
def get_pipeline_execution(request: Json) -> Json:
    """Describe one execution."""
    execution = _execution(request)
    return {
        "pipelineExecution": {
            "pipelineName": execution.pipeline,
            "pipelineVersion": execution.version,
            "pipelineExecutionId": execution.id,
            "status": execution.status,
            "trigger": execution.trigger,
            "artifactRevisions": [execution.revision] if execution.revision else [],
        }
    }


@overlay(_SERVICE, "ListPipelineExecutions")
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
            }
            for execution in reversed(_find(request["pipelineName"]).executions)
        ]
    }


@overlay(_SERVICE, "ListActionExecutions")
def list_action_executions(request: Json) -> Json:
    """List what the actions did, newest first."""
    wanted = (request.get("filter") or {}).get("pipelineExecutionId")
    pipeline = _find(request["pipelineName"])
    return {
        "actionExecutionDetails": [
            _action_detail(execution, action)
            for execution in reversed(pipeline.executions)
            if wanted in (None, execution.id)
            for action in reversed(execution.actions)
        ]
    }


def _action_detail(execution: Execution, action: ActionExecution) -> Json:
    declared = action.action
    result: Json = {"externalExecutionId": action.external_id, "externalExecutionUrl": action.external_url}
    if action.summary:
        result["externalExecutionSummary"] = action.summary
    if action.error:
        result["errorDetails"] = action.error
    return {
        "pipelineExecutionId": execution.id,
        "actionExecutionId": action.id,
        "pipelineVersion": execution.version,
        "stageName": action.stage,
        "actionName": declared["name"],
        "startTime": action.started,
        "lastUpdateTime": action.updated or action.started,
        "status": action.status,
        "input": {"actionTypeId": declared["actionTypeId"], "configuration": declared.get("configuration", {})},
        "output": {"executionResult": result, "outputVariables": action.outputs},
    }


@overlay(_SERVICE, "GetPipelineState")
def get_pipeline_state(request: Json) -> Json:
    """Return what every stage did last."""
    pipeline = _find(request["name"])
    latest = pipeline.executions[-1] if pipeline.executions else None
    stages = []
    for stage in pipeline.declaration["stages"]:
        actions = latest.actions if latest else []
        ran = {action.action["name"]: action for action in actions if action.stage == stage["name"]}
        state: Json = {
            "stageName": stage["name"],
            "actionStates": [_action_state(declared, ran.get(declared["name"])) for declared in stage["actions"]],
        }
        if latest and ran:
            statuses = {action.status for action in ran.values()}
            status = next((s for s in ("Failed", "InProgress") if s in statuses), "Succeeded")
            state["latestExecution"] = {"pipelineExecutionId": latest.id, "status": status}
        stages.append(state)
    return {
        "pipelineName": request["name"],
        "pipelineVersion": pipeline.declaration["version"],
        "stageStates": stages,
    }


def _action_state(declared: Json, ran: ActionExecution | None) -> Json:
    state: Json = {"actionName": declared["name"]}
    if ran:
        state["latestExecution"] = {
            "actionExecutionId": ran.id,
            "status": ran.status,
            "lastStatusChange": ran.updated or ran.started,
            "externalExecutionId": ran.external_id,
            "summary": ran.summary,
            **({"errorDetails": ran.error} if ran.error else {}),
        }
    return state


@overlay(_SERVICE, "ListTagsForResource")
def list_tags_for_resource(request: Json) -> Json:
    """List the tags of a pipeline."""
    tags = _find(request["resourceArn"].rsplit(":", 1)[-1]).tags
    return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}


# ---- running --------------------------------------------------------------------------------------------------------


def _start(pipeline: Pipeline, trigger: Json) -> Execution:
    declaration = copy.deepcopy(pipeline.declaration)
    execution = Execution(pipeline=declaration["name"], version=declaration["version"], trigger=trigger)
    pipeline.executions.append(execution)
    context = contextvars.copy_context()
    threading.Thread(
        target=context.run, args=(_run, pipeline, declaration, execution), daemon=True, name=f"pipeline-{execution.id}"
    ).start()
    return execution


def _run(pipeline: Pipeline, declaration: Json, execution: Execution) -> None:
    with core.as_account(pipeline.account, pipeline.region), pipeline.lock:
        _emit(execution, "STARTED")
        status = "Succeeded"
        for stage, action in _actions(declaration):
            ran = ActionExecution(stage=stage, action=action, started=time.time())
            execution.actions.append(ran)
            try:
                _perform(pipeline, declaration, execution, ran)
                ran.status = "Succeeded"
            except _ActionError as error:
                ran.status, ran.error = "Failed", {"code": error.code, "message": str(error)}
            except (ServiceError, ClientError) as error:
                ran.status, ran.error = "Failed", {"code": "PermissionError", "message": str(error)}
            except Exception as error:  # an error of the emulator must end the execution as well
                ran.status, ran.error = "Failed", {"code": "InternalError", "message": repr(error)}
            ran.updated = time.time()
            if ran.status == "Failed":
                status = "Failed"
                break
        execution.status, execution.updated = status, time.time()
        _emit(execution, status.upper())


def _actions(declaration: Json) -> Iterator[tuple[str, Json]]:
    for stage in declaration["stages"]:
        for action in sorted(stage["actions"], key=lambda entry: int(entry.get("runOrder", 1))):
            yield stage["name"], action


def _perform(pipeline: Pipeline, declaration: Json, execution: Execution, ran: ActionExecution) -> None:
    action = ran.action
    credentials = assume_as_service(declaration["roleArn"], "codepipeline.amazonaws.com", execution.id)
    if action.get("roleArn"):
        assumed = core.client("sts", credentials=credentials).assume_role(
            RoleArn=action["roleArn"], RoleSessionName=execution.id
        )["Credentials"]
        credentials = core.Credentials(
            access_key=assumed["AccessKeyId"], secret_key=assumed["SecretAccessKey"], token=assumed["SessionToken"]
        )
    provider = action["actionTypeId"]["provider"]
    configuration = {key: _substitute(value, execution) for key, value in action.get("configuration", {}).items()}
    if provider == "CodeStarSourceConnection":
        outputs = _take_source(pipeline, execution, ran, configuration, credentials)
    elif provider == "CodeBuild":
        outputs = _build(declaration, execution, ran, configuration, credentials)
    else:
        raise _ActionError("ConfigurationError", f"actions of the provider {provider} are not emulated")
    ran.outputs = outputs
    if action.get("namespace"):
        execution.variables[action["namespace"]] = outputs


def _substitute(value: str, execution: Execution) -> str:
    built_in = {"PipelineExecutionId": execution.id}
    known = {"codepipeline": built_in, **execution.variables}
    return _VARIABLE.sub(lambda match: known.get(match[1], {}).get(match[2], match[0]), value)


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "--git-dir", str(repository), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if result.returncode:
        raise _ActionError("ConfigurationError", f"git {arguments[0]} in {repository.name}: {result.stderr.strip()}")
    return result.stdout


def _take_source(
    pipeline: Pipeline,
    execution: Execution,
    ran: ActionExecution,
    configuration: Mapping[str, str],
    credentials: Credentials,
) -> dict[str, str]:
    """Put the head of a branch into the artifact bucket and return the source's variables."""
    arn, name, branch = (configuration[key] for key in ("ConnectionArn", "FullRepositoryId", "BranchName"))
    context = {"codeconnections:FullRepositoryId": name, "codeconnections:BranchName": branch}
    if not iam.may(credentials, "codeconnections:UseConnection", arn, context):
        refusal = "The provided role does not have sufficient permissions."
        raise _ActionError("PermissionError", f"Unable to use Connection: {arn}. {refusal}")
    if codeconnections.status(arn) != "AVAILABLE":
        raise _ActionError("ConfigurationError", f"Connection {arn} is not available")
    repository = codeconnections.repository(name)
    if not repository.exists():
        raise _ActionError("ConfigurationError", f"No repository {name} found")
    commit = _head(repository, branch)
    if commit is None:
        raise _ActionError("ConfigurationError", f"No Branch [{branch}] found for FullRepositoryName [{name}]")
    pipeline.heads[ran.action["name"]] = commit
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "source.zip"
        _git(repository, "archive", "--format=zip", f"--output={archive}", commit)
        store, artifact = pipeline.declaration["artifactStore"], ran.action["outputArtifacts"][0]["name"]
        # CodePipeline cuts the names of pipeline and artifact to 20 and 10 characters in the keys of artifacts.
        key = f"{execution.pipeline[:20]}/{artifact[:10]}/{core.random_id(7)}"
        encryption = store.get("encryptionKey")
        options = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": encryption["id"]} if encryption else {}
        with archive.open("rb") as body:
            core.client("s3", credentials=credentials).put_object(
                Bucket=store["location"], Key=key, Body=body, **options
            )
    execution.artifacts[artifact] = key
    message = _git(repository, "log", "-1", "--format=%s", commit).strip()
    date = _git(repository, "log", "-1", "--format=%aI", commit).strip()
    execution.revision = {"name": artifact, "revisionId": commit, "revisionSummary": message}
    ran.external_id, ran.summary = commit, json.dumps({"ProviderType": "GitHub", "CommitMessage": message})
    return {
        "AuthorDate": date,
        "BranchName": branch,
        "CommitId": commit,
        "CommitMessage": message,
        "ConnectionArn": arn,
        "FullRepositoryName": name,
    }


def _head(repository: Path, branch: str) -> str | None:
    command = ["git", "--git-dir", str(repository), "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return result.stdout.strip() or None


def _build(
    declaration: Json,
    execution: Execution,
    ran: ActionExecution,
    configuration: Mapping[str, str],
    credentials: Credentials,
) -> dict[str, str]:
    """Run a build with the input artifact as its source and return its exported variables."""
    project = configuration["ProjectName"]
    arn = core.arn("codebuild", f"project/{project}")
    for action in ("codebuild:StartBuild", "codebuild:BatchGetBuilds"):
        if not iam.may(credentials, action, arn):
            raise _ActionError(
                "PermissionError",
                f"Error calling {action.split(':')[1]}: User is not authorized to perform: {action} on resource: {arn}",
            )
    artifact = ran.action["inputArtifacts"][0]["name"]
    ended = threading.Event()
    builds: list[Json] = []

    def on_end(build: Json) -> None:
        builds.append(build)
        ended.set()

    started = codebuild.start(
        project,
        environment=json.loads(configuration.get("EnvironmentVariables", "[]")),
        source=(declaration["artifactStore"]["location"], execution.artifacts[artifact]),
        source_version=execution.revision.get("revisionId", ""),
        initiator=f"codepipeline/{declaration['name']}",
        on_end=on_end,
    )
    ran.external_id, ran.external_url = started["id"], started["logs"]["deepLink"]
    ended.wait()
    build = builds[0]
    if build["buildStatus"] != "SUCCEEDED":
        failed = [phase for phase in build["phases"] if phase.get("phaseStatus") in {"FAILED", "FAULT", "TIMED_OUT"}]
        said = [context["message"] for phase in failed for context in phase["contexts"]]
        status = build["buildStatus"]
        raise _ActionError("JobFailed", f"Build terminated with state: {status}. Phase: {' '.join(said)}")
    return {entry["name"]: entry["value"] for entry in build["exportedEnvironmentVariables"]}


def _emit(execution: Execution, state: str) -> None:
    detail = {
        "pipeline": execution.pipeline,
        "execution-id": execution.id,
        "start-time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(execution.started)),
        "state": state,
        "version": float(execution.version),
        "execution-trigger": {
            "trigger-type": execution.trigger["triggerType"],
            "trigger-detail": execution.trigger.get("triggerDetail", ""),
        },
        "pipeline-execution-attempt": 1.0,
    }
    core.emit(
        get_account_id(),
        get_region(),
        "aws.codepipeline",
        "CodePipeline Pipeline Execution State Change",
        detail,
        [core.arn(_SERVICE, execution.pipeline)],
    )


# ---- a push starts the pipeline -------------------------------------------------------------------------------------


def _watch() -> None:
    """Start pipelines whose branch has a new head; stands for the webhook of the Git provider."""
    while True:
        time.sleep(_WATCH_S)
        for pipeline in list(_pipelines._data.values()):
            for _, action in _actions(pipeline.declaration):
                repository = _pushed(pipeline, action)
                if repository:
                    with core.as_account(pipeline.account, pipeline.region):
                        _start(pipeline, {"triggerType": "WebhookV2", "triggerDetail": repository})


def _pushed(pipeline: Pipeline, action: Json) -> str | None:
    """Return the repository of a source action when its branch has another head than the last execution took."""
    known = pipeline.heads.get(action["name"])
    configuration = action.get("configuration", {})
    # Before the first execution has taken a head, and while one is running, there is nothing to compare with.
    if known is None or configuration.get("DetectChanges", "true") != "true" or pipeline.lock.locked():
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


def _tags_of(properties: Json) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}


def _create(properties: Json, logical_id: str, stack_name: str) -> Created:
    name = physical_name(properties, "Name", logical_id, stack_name, limit=_NAME_MAX)
    if name in _pipelines:
        raise ServiceError("PipelineNameInUseException", f"A pipeline with the name '{name}' already exists")
    pipeline = Pipeline(
        declaration=_declaration(properties, name, 1),
        account=get_account_id(),
        region=get_region(),
        tags=_tags_of(properties),
    )
    _pipelines[name] = pipeline
    _start(pipeline, {"triggerType": "CreatePipeline", "triggerDetail": ""})
    return name, {"Version": "1", "Arn": core.arn(_SERVICE, name)}


def _update(name: str, old: Json, new: Json) -> Json:
    pipeline = _find(name)
    pipeline.declaration = _declaration(new, name, pipeline.declaration["version"] + 1)
    pipeline.tags = _tags_of(new)
    if new.get("RestartExecutionOnUpdate"):
        _start(pipeline, {"triggerType": "StartPipelineExecution", "triggerDetail": ""})
    return {"Version": str(pipeline.declaration["version"]), "Arn": core.arn(_SERVICE, name)}


def _delete(name: str, properties: Json) -> None:
    _find(name)
    del _pipelines[name]


def _tags(arn: str) -> Mapping[str, str]:
    _, _, _, region, account, name = arn.split(":", 5)
    pipeline: Pipeline | None = _pipelines.get_scoped(account, region, name)
    return pipeline.tags if pipeline else {}


def install() -> None:
    """Register the resource type and tags, and watch for pushes."""
    resource_type("AWS::CodePipeline::Pipeline", create=_create, update=_update, delete=_delete, create_only=("Name",))
    iam.TAGS[_SERVICE] = _tags
    threading.Thread(target=_watch, daemon=True, name="pushes").start()
