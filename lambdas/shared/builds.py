"""CodeBuild: starts a build that carries out a request of CloudFormation, and reads what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class BuildOutcome:
    """What CodeBuild says about a finished build.

    Attributes:
        build_id: ``<project>:<uuid>``.
        request_id: Request of CloudFormation for which it ran; None when somebody started the build by hand.
        status: ``SUCCEEDED``, ``FAILED``, ``FAULT``, ``STOPPED``, ``TIMED_OUT`` or ``IN_PROGRESS``.
        exported: Variables that the buildspec exported.
        failed_phase: Phase that failed, with its message; empty when none did.
        log_link: Address of the build's log in the console; empty when there is none.
    """

    build_id: str
    request_id: str | None
    status: str
    exported: Mapping[str, str]
    failed_phase: str = ""
    log_link: str = ""


class Builds:
    """Builds of one CodeBuild project.

    Args:
        project: Name of the project.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._client = boto3.client("codebuild", config=CONFIG)

    def start(self, variables: Mapping[str, str], *, token: str) -> str:
        """Start a build and return its id; repeating it with the same token within five minutes starts no other."""
        build = self._client.start_build(
            projectName=self._project,
            idempotencyToken=token,
            environmentVariablesOverride=[
                {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables.items()
            ],
        )["build"]
        return str(build["id"])

    def outcome(self, build_id: str) -> BuildOutcome | None:
        """Return what became of a build, or None when CodeBuild does not know it."""
        builds = self._client.batch_get_builds(ids=[build_id])["builds"]
        if not builds:
            return None
        build = builds[0]
        variables = {v["name"]: v["value"] for v in build.get("environment", {}).get("environmentVariables", [])}
        return BuildOutcome(
            build_id=build_id,
            request_id=variables.get("REQUEST_ID"),
            status=build["buildStatus"],
            exported={v["name"]: v["value"] for v in build.get("exportedEnvironmentVariables", [])},
            failed_phase=_failed_phase(build.get("phases", [])),
            log_link=build.get("logs", {}).get("deepLink", ""),
        )


def _failed_phase(phases: list[dict[str, object]]) -> str:
    for phase in phases:
        if phase.get("phaseStatus") in ("FAILED", "FAULT", "TIMED_OUT", "CLIENT_ERROR"):
            contexts = phase.get("contexts")
            messages = [str(c.get("message", "")) for c in contexts] if isinstance(contexts, list) else []
            said = " ".join(message for message in messages if message)
            return f"{phase.get('phaseType')} ({said})" if said else str(phase.get("phaseType"))
    return ""
