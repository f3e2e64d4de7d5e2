"""CodeBuild: builds really run, with bash, in a folder of their own, as the project's service role.

MiniStack keeps the projects. What it lacks is here: running a build (its own needs Docker), everything that a running
build shows (`BatchGetBuilds`, logs, state-change events), and stopping it. A build finds what buildspecs use of
CodeBuild's standard image: bash, git, aws, and python3 of an environment that is installed already.
"""

from __future__ import annotations

import copy
import io
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botocore import xform_name
from botocore.exceptions import ClientError
from ministack.core.responses import get_account_id, get_region

from aws_emulator import core, inside
from aws_emulator.bridge import answers
from aws_emulator.clock import clock
from aws_emulator.cloudformation.resources import completes
from aws_emulator.codebuild import environments
from aws_emulator.codebuild.buildspec import Buildspec, PhaseResult, Shell, run
from aws_emulator.codeconnections import connections as codeconnections
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam.callers import assume_as_service, caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_emulator.core import Credentials

DEFAULT_TIMEOUT_MINUTES: Final = 60
IDEMPOTENCY_S: Final = 300
_programs_lock: Final = clock.lock()
_tokens: Final[dict[tuple[str, str, str, str | None], tuple[str, float]]] = {}
_tokens_lock: Final = clock.lock()
_running: Final[dict[str, Shell]] = {}
_stopping: Final[set[str]] = set()


# ---- starting and stopping ------------------------------------------------------------------------------------------


def start(
    project_name: str,
    *,
    environment: list[Json] | None = None,
    overrides: Json | None = None,
    source: tuple[str, str] | None = None,
    source_version: str = "",
    initiator: str = "",
    on_end: Callable[[Json], None] | None = None,
) -> Json:
    """Start a build in the current account and return its record (``Build`` of the API).

    Args:
        project_name: The project.
        environment: Variables that replace the project's or are added: name, value, type.
        overrides: Further members of StartBuild: ``buildspecOverride``, ``timeoutInMinutesOverride``,
            ``encryptionKeyOverride``.
        source: Bucket and key of a zip file with the source. Default: no source.
        source_version: Commit that the source is.
        initiator: Who started it.
        on_end: Called with the build's record when it has ended.

    Raises:
        ServiceError: There is no such project, or CodeBuild is not allowed to assume its role.
    """
    project = inside.codebuild.projects.get(project_name)
    if project is None:
        raise ServiceError("ResourceNotFoundException", f"Project cannot be found: {project_name}")
    overrides = overrides or {}
    build_id = f"{project_name}:{clock.uuid()}"
    role = project["serviceRole"]
    try:
        credentials = assume_as_service(role, "codebuild.amazonaws.com", f"AWSCodeBuild-{build_id.split(':')[1]}")
    except ServiceError as error:
        message = f"CodeBuild is not authorized to perform: sts:AssumeRole on service role {role}. {error.message}"
        raise ServiceError("InvalidInputException", message) from error
    definition = copy.deepcopy(project["environment"])
    variables = {variable["name"]: variable for variable in definition.get("environmentVariables") or []}
    variables |= {variable["name"]: {"type": "PLAINTEXT", **variable} for variable in environment or []}
    definition["environmentVariables"] = list(variables.values())
    build = {
        "id": build_id,
        "arn": core.arn("codebuild", f"build/{build_id}"),
        "buildNumber": 1 + sum(other["projectName"] == project_name for other in inside.codebuild.builds.values()),
        "projectName": project_name,
        "startTime": clock.now(),
        "currentPhase": "SUBMITTED",
        "buildStatus": "IN_PROGRESS",
        "buildComplete": False,
        "initiator": initiator or "root",
        "serviceRole": role,
        "source": copy.deepcopy(project["source"]),
        "sourceVersion": source_version,
        "resolvedSourceVersion": source_version,
        "artifacts": {"location": ""},
        "environment": definition,
        "timeoutInMinutes": int(
            overrides.get("timeoutInMinutesOverride") or project.get("timeoutInMinutes") or DEFAULT_TIMEOUT_MINUTES
        ),
        "queuedTimeoutInMinutes": 480,
        "encryptionKey": overrides.get("encryptionKeyOverride") or project.get("encryptionKey", ""),
        "phases": [
            {"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED", "startTime": clock.now(), "endTime": clock.now()}
        ],
        "exportedEnvironmentVariables": [],
        "logs": _logs_of(project, build_id),
    }
    if "buildspecOverride" in overrides:
        build["source"]["buildspec"] = overrides["buildspecOverride"]
    inside.codebuild.builds[build_id] = build
    _emit(build)
    clock.start(_perform, build, credentials, source, on_end)
    return copy.deepcopy(build)


def _logs_of(project: Json, build_id: str) -> Json:
    settings = (project.get("logsConfig") or {}).get("cloudWatchLogs") or {}
    group = settings.get("groupName") or f"/aws/codebuild/{project['name']}"
    stream = build_id.split(":")[1]
    stream = f"{settings['streamName']}/{stream}" if settings.get("streamName") else stream
    region = get_region()
    link = f"https://console.aws.amazon.com/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}"
    return {"groupName": group, "streamName": stream, "deepLink": f"{link}/log-events/{stream}"}


@answers(inside.codebuild, "start_build")
def _start_build(request: Json) -> Json:
    key = get_account_id(), get_region(), request["projectName"], request.get("idempotencyToken")
    with _tokens_lock:  # the same token within five minutes answers with the build that it started
        known, started = _tokens.get(key, ("", 0.0))
        if key[3] and clock.now() - started < IDEMPOTENCY_S:
            return {"build": copy.deepcopy(inside.codebuild.builds[known])}
        build = start(
            request["projectName"],
            environment=request.get("environmentVariablesOverride"),
            overrides=request,
            source=_source(request),
            source_version=request.get("sourceVersion", ""),
            # as CodeBuild shows who starts a build: the name of a user, or role and session
            initiator=caller().session_arn.rsplit(":", 1)[-1].removeprefix("assumed-role/").removeprefix("user/"),
        )
        _tokens[key] = build["id"], clock.now()
    return {"build": build}


def _source(request: Json) -> tuple[str, str] | None:
    """Return the bucket and key of the zip file that a build started by hand builds.

    Source: https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html (sourceTypeOverride,
    sourceLocationOverride) and …/API_ProjectSource.html (location of a source of the type S3).

    Raises:
        ServiceError: The build would have a source or artifacts that only a pipeline can give it.
    """
    project = inside.codebuild.projects.get(request["projectName"]) or {}
    kinds = {
        "source": request.get("sourceTypeOverride") or project.get("source", {}).get("type", "NO_SOURCE"),
        "artifacts": request.get("artifactsOverride", {}).get("type") or project.get("artifacts", {}).get("type"),
    }
    for what, kind in kinds.items():
        if kind == "CODEPIPELINE":
            raise ServiceError(
                "InvalidInputException",
                f"Invalid {what}: the type CODEPIPELINE is for builds that a pipeline starts; override it",
            )
    if kinds["source"] == "NO_SOURCE":
        return None
    location = request.get("sourceLocationOverride") or project.get("source", {}).get("location", "")
    bucket, _, key = location.removeprefix("arn:aws:s3:::").partition("/")
    if kinds["source"] != "S3" or not key or key.endswith("/"):
        raise ServiceError(
            "InvalidInputException",
            f"Invalid source: only a zip file in S3 (bucket/key) is emulated, not {kinds['source']} {location!r}",
        )
    return bucket, key


@answers(inside.codebuild, "stop_build")
def _stop_build(request: Json) -> Json:
    """Stop a build; one that has ended already stays as it is."""
    build: Json | None = inside.codebuild.builds.get(request["id"].rsplit("/", 1)[-1])
    if build is None:
        raise ServiceError("ResourceNotFoundException", f"Build not found: {request['id']}")
    if not build["buildComplete"]:
        _stopping.add(build["id"])
        shell = _running.get(build["id"])
        if shell:
            shell.stop()
    return {"build": copy.deepcopy(build)}


@answers(inside.codebuild, "batch_get_builds")
def _batch_get_builds(request: Json) -> Json:
    names = {given: given.rsplit("/", 1)[-1] for given in request["ids"]}
    found = {given: inside.codebuild.builds[name] for given, name in names.items() if name in inside.codebuild.builds}
    return {"builds": list(found.values()), "buildsNotFound": [name for name in names if name not in found]}


# ---- performing -----------------------------------------------------------------------------------------------------


def _perform(
    build: Json,
    credentials: Credentials,
    source: tuple[str, str] | None,
    on_end: Callable[[Json], None] | None,
) -> None:
    folder = core.organization().work_dir / "builds" / build["id"].replace(":", "-")
    log = folder / "build.log"
    try:
        (folder / "src").mkdir(parents=True)
        log.touch()
        status = _run_phases(build, credentials, source, folder, log)
    except _BuildError as error:
        _phase(build, error.phase, "FAILED", str(error))
        status = "FAILED"
    except Exception as error:  # an error of the emulator must end the build as well
        _phase(build, build["currentPhase"], "FAULT", f"INTERNAL_SERVICE_ERROR: {error!r}")
        status = "FAULT"
    finally:
        _running.pop(build["id"], None)
        _stopping.discard(build["id"])
        for name in ("src", "environment"):
            shutil.rmtree(folder / name, ignore_errors=True)
    try:
        _write_logs(build, credentials, log)
    except (ClientError, OSError) as error:
        _phase(build, "FINALIZING", "FAILED", f"CLOUDWATCH_LOGS_ERROR: {error}")
        status = "FAILED" if status == "SUCCEEDED" else status
    else:
        _phase(build, "FINALIZING", "SUCCEEDED")
    build["phases"].append({"phaseType": "COMPLETED", "startTime": clock.now()})
    build.update(buildStatus=status, currentPhase="COMPLETED", buildComplete=True, endTime=clock.now())
    _emit(build)
    if on_end:
        on_end(copy.deepcopy(build))


class _BuildError(Exception):
    """A build that fails outside its own commands; the text begins with CodeBuild's status code."""

    def __init__(self, phase: str, message: str) -> None:
        super().__init__(message)
        self.phase = phase


def _run_phases(build: Json, credentials: Credentials, source: tuple[str, str] | None, folder: Path, log: Path) -> str:
    _phase(build, "QUEUED", "SUCCEEDED")
    _create_log_stream(build, credentials)
    _phase(build, "PROVISIONING", "SUCCEEDED")
    sources = folder / "src"
    if source:
        _download(source, sources, credentials)
    buildspec = _read_buildspec(build, sources)
    environment = _environment(build, buildspec, credentials, folder)
    _phase(build, "DOWNLOAD_SOURCE", "SUCCEEDED")
    shell = Shell(
        folder=sources,
        scratch=folder,
        environment=environment,
        log=log,
        deadline=clock.monotonic() + build["timeoutInMinutes"] * 60,
    )
    _running[build["id"]] = shell
    if build["id"] in _stopping:
        shell.stop()

    def record(result: PhaseResult) -> None:
        times = result.started, result.ended
        _phase(build, result.name.upper(), result.status, result.reason, times=times)

    status = run(buildspec, shell, record)
    if status != "STOPPED":
        exported = shell.variables(buildspec.exported)
        build["exportedEnvironmentVariables"] = [{"name": name, "value": value} for name, value in exported.items()]
        _phase(build, "UPLOAD_ARTIFACTS", "SUCCEEDED")
    return status


def _download(source: tuple[str, str], folder: Path, credentials: Credentials) -> None:
    """Read the source, with the role of the project, and unpack it."""
    bucket, key = source
    try:
        content = core.client("s3", credentials=credentials).get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        raise _BuildError("DOWNLOAD_SOURCE", f"CLIENT_ERROR: {error} for primary source {bucket}/{key}") from error
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, folder))
            if not entry.is_dir() and entry.external_attr >> 16:
                path.chmod(entry.external_attr >> 16 & 0o777)


def _read_buildspec(build: Json, sources: Path) -> Buildspec:
    given = build["source"].get("buildspec") or "buildspec.yml"
    try:
        text = given if "\n" in given or given.lstrip().startswith("{") else (sources / given).read_text()
        return Buildspec.parse(text)
    except OSError as error:
        raise _BuildError("DOWNLOAD_SOURCE", f"YAML_FILE_ERROR: {given}: {error.strerror}") from error
    except ValueError as error:
        raise _BuildError("DOWNLOAD_SOURCE", str(error)) from error


def _environment(build: Json, buildspec: Buildspec, credentials: Credentials, folder: Path) -> dict[str, str]:
    """Return the variables of a build; later ones win, as CodeBuild documents: buildspec, project, StartBuild."""
    variables = dict(buildspec.variables)
    for variable in build["environment"]["environmentVariables"]:
        kind = variable.get("type", "PLAINTEXT")
        if kind != "PLAINTEXT":
            raise _BuildError("DOWNLOAD_SOURCE", f"variable {variable['name']} has the type {kind}, not emulated")
        variables[variable["name"]] = variable["value"]
    home = folder / "home"
    home.mkdir()
    return (
        variables
        | _machine(home, folder / "src")
        | credentials.environment()
        | codeconnections.git_environment(credentials)
        | {
            "AWS_ENDPOINT_URL": core.organization().endpoint,
            "AWS_REGION": get_region(),
            "AWS_DEFAULT_REGION": get_region(),
            "CODEBUILD_BUILD_ARN": build["arn"],
            "CODEBUILD_BUILD_ID": build["id"],
            "CODEBUILD_BUILD_IMAGE": build["environment"].get("image", ""),
            "CODEBUILD_BUILD_NUMBER": str(build["buildNumber"]),
            "CODEBUILD_INITIATOR": build["initiator"],
            "CODEBUILD_LOG_PATH": build["logs"]["streamName"],
            "CODEBUILD_RESOLVED_SOURCE_VERSION": build["resolvedSourceVersion"],
            "CODEBUILD_SOURCE_VERSION": build["sourceVersion"],
            "CODEBUILD_SRC_DIR": str(folder / "src"),
            "CODEBUILD_START_TIME": str(int(build["startTime"] * 1000)),
        }
    )


def _machine(home: Path, sources: Path) -> dict[str, str]:
    """Return the variables that stand for the standard image: where programs are, a home, no terminal."""
    programs = core.organization().work_dir / "programs"
    with _programs_lock:
        if not programs.exists():
            programs.mkdir()
            (programs / "aws").symlink_to(Path(sys.executable).with_name("aws"))
            for name, path in core.organization().programs.items():
                (programs / name).symlink_to(path)
    environment = sources.parent / "environment"
    lent = environments.lend(sources / "uv.lock", core.organization().interpreters, environment)
    python = lent or Path(core.organization().python)
    return {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join([str(programs), str(python.parent), os.environ["PATH"]]),
        "TMPDIR": os.environ["TMPDIR"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(Path(__file__).with_name("pauses")),
        "UV_CACHE_DIR": os.environ["UV_CACHE_DIR"],
        "UV_PROJECT_ENVIRONMENT": str(environment),
        **({"UV_OFFLINE": "1"} if lent else {}),
    }


# ---- what a build shows ---------------------------------------------------------------------------------------------


def _phase(build: Json, name: str, status: str, reason: str = "", *, times: tuple[float, float] | None = None) -> None:
    started, ended = times or (clock.now(), clock.now())
    contexts = [{"statusCode": reason.partition(": ")[0] if reason else "", "message": reason.partition(": ")[2]}]
    build["phases"].append(
        {
            "phaseType": name,
            "phaseStatus": status,
            "startTime": started,
            "endTime": ended,
            "durationInSeconds": round(ended - started),
            "contexts": contexts,
        }
    )
    build["currentPhase"] = name


def _create_log_stream(build: Json, credentials: Credentials) -> None:
    logs, names = core.client("logs", credentials=credentials), build["logs"]
    try:
        try:
            logs.create_log_stream(logGroupName=names["groupName"], logStreamName=names["streamName"])
        except logs.exceptions.ResourceNotFoundException:
            logs.create_log_group(logGroupName=names["groupName"])
            logs.create_log_stream(logGroupName=names["groupName"], logStreamName=names["streamName"])
    except ClientError as error:
        message = (
            f"ACCESS_DENIED: Service role {build['serviceRole']} does not allow AWS CodeBuild to create Amazon "
            f"CloudWatch Logs log streams for build {build['arn']}. Error message: {error}"
        )
        raise _BuildError("PROVISIONING", message) from error


def _write_logs(build: Json, credentials: Credentials, log: Path) -> None:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    if not lines:
        return
    events = [{"timestamp": int(clock.now() * 1000), "message": line or " "} for line in lines[-5000:]]
    names = build["logs"]
    core.client("logs", credentials=credentials).put_log_events(
        logGroupName=names["groupName"], logStreamName=names["streamName"], logEvents=events
    )


def _emit(build: Json) -> None:
    """Put the state change on the account's bus.

    Source of the shape: https://docs.aws.amazon.com/codebuild/latest/userguide/sample-build-notifications.html
    """
    shown = ("timeoutInMinutes", "buildComplete", "buildNumber", "initiator", "sourceVersion", "logs")
    environment: Json = {"privilegedMode": False, "computeType": "", "type": "", **build["environment"]}
    information = {
        "artifact": {"location": ""},
        "environment": _event_names({key: environment[key] for key in _ENVIRONMENT if key in environment}),
        **_event_names({key: build[key] for key in shown}),
        "build-start-time": _date(build["startTime"]),
        "source": {"type": build["source"].get("type", "NO_SOURCE")},
        "exported-environment-variables": build["exportedEnvironmentVariables"],
        "phases": [_event_phase(phase) for phase in build["phases"]],
    }
    detail = {
        "build-status": build["buildStatus"],
        "project-name": build["projectName"],
        "build-id": build["arn"],
        "additional-information": information,
        "current-phase": build["currentPhase"],
        "current-phase-context": "[]",
        "version": "1",
    }
    core.emit("aws.codebuild", "CodeBuild Build State Change", detail, build["arn"])


_ENVIRONMENT: Final = ("image", "privilegedMode", "computeType", "type", "environmentVariables")


def _event_names(members: Json) -> Json:
    """Return members as events spell them: ``groupName`` is ``group-name`` there, and numbers are not whole."""
    return {
        xform_name(name, "-"): _event_names(value)
        if isinstance(value, dict)
        else float(value)
        if isinstance(value, int) and not isinstance(value, bool)
        else value
        for name, value in members.items()
    }


def _event_phase(phase: Json) -> Json:
    shown = {name: value for name, value in phase.items() if name != "contexts"}
    shown |= {name: _date(phase[name]) for name in ("startTime", "endTime") if name in phase}
    contexts = [f"{context['statusCode']}: {context['message']}" for context in phase.get("contexts", [])]
    return _event_names(shown) | ({"phase-context": contexts} if "endTime" in phase else {})


def _date(timestamp: float) -> str:
    return clock.shown(timestamp, "%b %-d, %Y %-I:%M:%S %p")


@completes("AWS::CodeBuild::Project")
def _keep_logs_settings(project: str, properties: Json) -> None:
    """Keep where the logs of a project go."""
    settings: Json = properties.get("LogsConfig") or {}
    inside.codebuild.projects[project]["logsConfig"] = inside.provisioners.pascal_to_camel(settings)
