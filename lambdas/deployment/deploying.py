"""The hub's builds that deploy a stage: those that still run must not make again what is being taken down."""

from __future__ import annotations

import logging

import boto3
from botocore.exceptions import ClientError

from lambdas.shared.clients import CONFIG

logger = logging.getLogger(__name__)


class DeployingBuilds:
    """CodeBuild projects of the hub that deploy stages."""

    def __init__(self) -> None:
        self._client = boto3.client("codebuild", config=CONFIG)

    def stop(self, project: str) -> None:
        """Stop what runs of a project's last builds; a project that is gone already has no build that matters."""
        try:
            # Newest first; one page holds 100 builds, and a stage runs one at a time.
            ids = self._client.list_builds_for_project(projectName=project, sortOrder="DESCENDING").get("ids", [])
        except ClientError as err:
            if err.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return
        builds = self._client.batch_get_builds(ids=ids)["builds"] if ids else []
        for build in builds:
            if build["buildStatus"] == "IN_PROGRESS":
                logger.info("stopping build %s, which deploys what is being deleted", build["id"])
                self._client.stop_build(id=build["id"])
