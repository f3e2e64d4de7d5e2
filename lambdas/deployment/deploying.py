"""The hub's builds that deploy a stage: those that still run must not make again what is being taken down."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)


class DeployingBuilds:
    """CodeBuild projects of the hub that deploy stages."""

    def __init__(self) -> None:
        self._client = boto3.client("codebuild", config=CONFIG)

    def elsewhere(self, project: str, regions: Iterable[str]) -> list[str]:
        """Return the other regions of the hub that have a project of this name.

        In one region the name is taken once. So the project is the claim of its stage, also of stages that were
        launched before anybody asked: it is made before ``Custom::Deployment`` and deleted after it, and of two
        launches at the same time at least one sees the other.

        Args:
            project: Name of the CodeBuild project.
            regions: Regions of the hub.
        """
        here = self._client.meta.region_name
        clients = {r: boto3.client("codebuild", region_name=r, config=CONFIG) for r in sorted(regions) if r != here}
        return [r for r, client in clients.items() if client.batch_get_projects(names=[project])["projects"]]

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
