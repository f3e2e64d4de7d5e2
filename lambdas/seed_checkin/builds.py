"""CodeBuild: starts the build that checks seed code in, and reads what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3

from lambdas.seed_checkin.core import BuildOutcome
from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping


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
