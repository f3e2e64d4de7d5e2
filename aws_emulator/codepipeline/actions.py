"""CodePipeline's actions: taking a source, running a build, asking for approval.

Every action acts as the pipeline's role, or as its own. Sources:
https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodestarConnectionSource.html,
…/action-reference-CodeBuild.html, …/approvals.html, …/approvals-json-format.html and …/reference-variables.html.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ministack.core.responses import get_region

from aws_emulator import core
from aws_emulator.clock import clock
from aws_emulator.codebuild import builds as codebuild
from aws_emulator.codeconnections import connections as codeconnections
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import assume_as_service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_emulator.codepipeline.state import Execution, Pipeline, Run
    from aws_emulator.core import Credentials, Json

_VARIABLE: Final = re.compile(r"#\{([\w@-]+)\.([\w@-]+)\}")
_CONFIGURATION_MAX: Final = 1000
"""Longest value of an action's configuration (``ActionConfigurationValue`` in botocore's model)."""
_APPROVAL_MINUTES: Final = 7 * 24 * 60
"""How long an approval waits unless its action says otherwise.

https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html
"""


class ActionError(Exception):
    """An action that failed, with CodePipeline's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def perform(pipeline: Pipeline, declaration: Json, execution: Execution, run: Run) -> None:
    """Do what an action does, and put its artifacts and variables into the execution.

    Raises:
        ActionError: It failed.
    """
    action, output = run["action"], run["output"]
    credentials = assume_as_service(
        declaration["roleArn"], "codepipeline.amazonaws.com", execution["pipelineExecutionId"]
    )
    if action.get("roleArn"):
        assumed = core.client("sts", credentials=credentials).assume_role(
            RoleArn=action["roleArn"], RoleSessionName=execution["pipelineExecutionId"]
        )["Credentials"]
        credentials = core.Credentials(
            access_key=assumed["AccessKeyId"], secret_key=assumed["SecretAccessKey"], token=assumed["SessionToken"]
        )
    configuration = {key: _resolved(value, execution) for key, value in action.get("configuration", {}).items()}
    inputs = [_input(artifact["name"], execution) for artifact in action.get("inputArtifacts", [])]
    run["input"] |= {"resolvedConfiguration": configuration, "inputArtifacts": inputs}
    provider = action["actionTypeId"]["provider"]
    if provider == "CodeStarSourceConnection":
        _take_source(pipeline, execution, run, configuration, credentials)
    elif provider == "CodeBuild":
        _build(declaration, execution, run, configuration, credentials)
    elif provider == "Manual":
        _ask(execution, run, configuration, credentials)
    else:
        raise ActionError("ConfigurationError", f"actions of the provider {provider} are not emulated")
    execution["artifacts"] |= {artifact["name"]: artifact for artifact in output["outputArtifacts"]}
    if action.get("namespace"):
        execution["namespaces"][action["namespace"]] = output["outputVariables"]


def _resolved(value: str, execution: Execution) -> str:
    """Return a value of a configuration with the values of the variables that it names."""
    known = {"codepipeline": {"PipelineExecutionId": execution["pipelineExecutionId"]}, **execution["namespaces"]}

    def value_of(match: re.Match[str]) -> str:
        namespace, name = match.groups()
        if name not in known.get(namespace, {}):
            raise ActionError(
                "ConfigurationError",
                f"The action configuration names the variable {match[0]}, which no action before it has: "
                f"namespace {namespace} has {', '.join(sorted(known.get(namespace, {}))) or 'none'}",
            )
        return str(known[namespace][name])

    return _VARIABLE.sub(value_of, value)


def _input(name: str, execution: Execution) -> Json:
    if name not in execution["artifacts"]:
        raise ActionError("ConfigurationError", f"no action before this one has the output artifact {name}")
    found: Json = execution["artifacts"][name]
    return found


# ---- source ---------------------------------------------------------------------------------------------------------


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "--git-dir", str(repository), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if result.returncode:
        raise ActionError("ConfigurationError", f"git {arguments[0]} in {repository.name}: {result.stderr.strip()}")
    return result.stdout


def _head(repository: Path, branch: str) -> str | None:
    command = ["git", "--git-dir", str(repository), "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return result.stdout.strip() or None


def _take_source(
    pipeline: Pipeline,
    execution: Execution,
    run: Run,
    configuration: Mapping[str, str],
    credentials: Credentials,
) -> None:
    """Put the head of a branch into the artifact bucket."""
    arn, name, branch = (configuration[key] for key in ("ConnectionArn", "FullRepositoryId", "BranchName"))
    context = {"codeconnections:FullRepositoryId": name, "codeconnections:BranchName": branch}
    if not iam.is_allowed(credentials, "codeconnections:UseConnection", arn, context):
        refusal = "The provided role does not have sufficient permissions."
        raise ActionError("PermissionError", f"Unable to use Connection: {arn}. {refusal}")
    if codeconnections.status(arn) != "AVAILABLE":
        raise ActionError("ConfigurationError", f"Connection {arn} is not available")
    repository = codeconnections.repository(name)
    if not repository.exists():
        raise ActionError("ConfigurationError", f"No repository {name} found")
    commit = _head(repository, branch)
    if commit is None:
        raise ActionError("ConfigurationError", f"No Branch [{branch}] found for FullRepositoryName [{name}]")
    pipeline.heads[run["actionName"]] = commit
    artifact_name, store = run["action"]["outputArtifacts"][0]["name"], pipeline.declaration["artifactStore"]
    # CodePipeline cuts the names of pipeline and artifact to 20 and 10 characters in the keys of artifacts.
    key = f"{pipeline.declaration['name'][:20]}/{artifact_name[:10]}/{clock.random_id(7)}"
    artifact = {"name": artifact_name, "s3location": {"bucket": store["location"], "key": key}}
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "source.zip"
        _git(repository, "archive", "--format=zip", f"--output={archive}", commit)
        encryption = store.get("encryptionKey")
        options = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": encryption["id"]} if encryption else {}
        with archive.open("rb") as body:
            core.client("s3", credentials=credentials).put_object(
                Bucket=store["location"], Key=key, Body=body, **options
            )
    message = _git(repository, "log", "-1", "--format=%s", commit).strip()
    date = _git(repository, "log", "-1", "--format=%aI", commit).strip()
    revision = {"name": artifact["name"], "revisionId": commit, "revisionSummary": message}
    execution["artifactRevisions"] = [revision]
    summary = json.dumps({"ProviderType": "GitHub", "CommitMessage": message})
    run["output"]["executionResult"] |= {"externalExecutionId": commit, "externalExecutionSummary": summary}
    run["output"]["outputArtifacts"] = [artifact]
    run["output"]["outputVariables"] = {
        "AuthorDate": date,
        "BranchName": branch,
        "CommitId": commit,
        "CommitMessage": message,
        "ConnectionArn": arn,
        "FullRepositoryName": name,
    }


# ---- build ----------------------------------------------------------------------------------------------------------


def _build(
    declaration: Json,
    execution: Execution,
    run: Run,
    configuration: Mapping[str, str],
    credentials: Credentials,
) -> None:
    """Run a build with the input artifact as its source; its variables are the ones that the build exports."""
    project = configuration["ProjectName"]
    arn = core.arn("codebuild", f"project/{project}")
    for action in ("codebuild:StartBuild", "codebuild:BatchGetBuilds"):
        if not iam.is_allowed(credentials, action, arn):
            raise ActionError(
                "PermissionError",
                f"Error calling {action.split(':')[1]}: User is not authorized to perform: {action} on resource: {arn}",
            )
    inputs = run["input"]["inputArtifacts"]
    if len(inputs) != 1 or run["action"].get("outputArtifacts"):
        raise ActionError("ConfigurationError", "builds with several inputs or with output artifacts are not emulated")
    try:
        environment = json.loads(configuration.get("EnvironmentVariables", "[]"))
    except ValueError as error:
        raise ActionError("ConfigurationError", f"EnvironmentVariables is not JSON: {error}") from error
    ended: list[Json] = []

    def on_end(build: Json) -> None:
        ended.append(build)
        run["done"].set()

    encryption = declaration["artifactStore"].get("encryptionKey")
    started = codebuild.start(
        project,
        environment=environment,
        source=(inputs[0]["s3location"]["bucket"], inputs[0]["s3location"]["key"]),
        source_version="".join(revision["revisionId"] for revision in execution["artifactRevisions"]),
        overrides={"encryptionKeyOverride": encryption["id"]} if encryption else None,
        initiator=f"codepipeline/{declaration['name']}",
        on_end=on_end,
    )
    result = {"externalExecutionId": started["id"], "externalExecutionUrl": started["logs"]["deepLink"]}
    run["output"]["executionResult"] |= result
    run["done"].wait()
    if not ended:
        return  # abandoned: the rest of the build does not matter
    build = ended[0]
    if build["buildStatus"] != "SUCCEEDED":
        failed = [phase for phase in build["phases"] if phase.get("phaseStatus") in {"FAILED", "FAULT", "TIMED_OUT"}]
        said = [context["message"] for phase in failed for context in phase["contexts"]]
        status = build["buildStatus"]
        raise ActionError("JobFailed", f"Build terminated with state: {status}. Phase: {' '.join(said)}")
    variables = {entry["name"]: entry["value"] for entry in build["exportedEnvironmentVariables"]}
    run["output"]["outputVariables"] = variables


# ---- approval -------------------------------------------------------------------------------------------------------


def _ask(execution: Execution, run: Run, configuration: Mapping[str, str], credentials: Credentials) -> None:
    """Publish that an approval is needed, and wait for the answer."""
    for key, value in configuration.items():
        if len(value) > _CONFIGURATION_MAX:
            raise ActionError(
                "ConfigurationError",
                f"{key} has {len(value)} characters with the values of its variables, the limit is "
                f"{_CONFIGURATION_MAX}: {value[:80]}…",
            )
    minutes = int(run["action"].get("timeoutInMinutes", _APPROVAL_MINUTES))
    run["token"] = clock.uuid()
    topic = configuration.get("NotificationArn")
    if topic:
        core.client("sns", credentials=credentials, region=topic.split(":")[3]).publish(
            TopicArn=topic,
            Subject=f"APPROVAL NEEDED: AWS CodePipeline {execution['pipelineName']} for action {run['actionName']}"[
                :100
            ],
            Message=json.dumps(_request(run, execution["pipelineName"], configuration, minutes)),
        )
    if not run["done"].wait(minutes * core.organization().approval_minute_seconds):
        raise ActionError("JobFailed", f"The approval was not answered within {minutes} minutes.")
    if run["verdict"] == "Rejected":
        summary = run["output"]["executionResult"]["externalExecutionSummary"]
        raise ActionError("JobFailed", f"Rejected by {run['updatedBy']}: {summary}")


def _request(run: Run, pipeline: str, configuration: Mapping[str, str], minutes: int) -> Json:
    """Return what is published.

    Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/approvals-json-format.html
    """
    region = get_region()
    view = f"https://console.aws.amazon.com/codepipeline/home?region={region}#/view/{pipeline}"
    approval = {
        "pipelineName": pipeline,
        **{key: run[key] for key in ("stageName", "actionName", "token")},
        "expires": clock.shown(clock.now() + minutes * 60, "%Y-%m-%dT%H:%MZ"),
        "externalEntityLink": configuration.get("ExternalEntityLink"),
        "approvalReviewLink": f"{view}/{run['stageName']}/{run['actionName']}/approve/{run['token']}",
        "customData": configuration.get("CustomData"),
    }
    return {"region": region, "consoleLink": view, "approval": approval}
