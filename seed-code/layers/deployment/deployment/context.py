"""What a step works with."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3

from deployment import copying, packages, targets
from deployment.errors import DeploymentError
from deployment.packages import ModelPackage
from deployment.settings import Build

ROOT = Path(__file__).resolve().parents[1]
LONGEST_VARIABLE = 600
"""Characters of a variable that a step gives to the pipeline."""


class Context:
    """Build, settings and clients of one step.

    Args:
        build: What the project's build knows.
        environments: Settings by stage (environments.yaml).
        root: Folder of the repository.
        session: Session of the build's own role; None makes one when it is first needed.
        assume: Returns the target of a stage.

    Attributes:
        build: As given.
        environments: As given.
        root: As given.
    """

    def __init__(
        self,
        build: Build,
        environments: Mapping[str, Mapping[str, Any]],
        *,
        root: Path = ROOT,
        session: Any = None,
        assume: Callable[..., targets.Target] = targets.assume,
    ) -> None:
        self.build = build
        self.environments = environments
        self.root = root
        self._session = session
        self._assume = assume
        self._targets: dict[str, targets.Target] = {}
        self._variables: dict[str, str] = {}

    @property
    def stage(self) -> str:
        """The stage that this build works for.

        Raises:
            DeploymentError: It works for none.
        """
        if self.build.stage is None:
            raise DeploymentError(
                "The variable STAGE is not set: this build works for no stage and may change nothing in one. "
                "Run the step in the build of a stage, or set STAGE=test."
            )
        return self.build.stage

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of this build's stage."""
        return self.environments[self.stage]

    @functools.cached_property
    def package(self) -> ModelPackage:
        """The package that the step `render` chose (PACKAGE_ARN); its URIs name the registry of the hub.

        Raises:
            DeploymentError: None was chosen, or one that is no longer there, belongs to another project, or is no
                longer what was promoted.
        """
        arn, build = self.build.package_arn, self.build
        if arn is None:
            raise DeploymentError(
                "The variable PACKAGE_ARN is not set, so it is unknown which model this step is about. The pipeline "
                "passes on what its step render chose; to run a step yourself, set it to the ARN of a package."
            )
        packages.require_member(arn, build.group_arn)
        return self._as_promoted(packages.describe(self.hub("sagemaker"), arn))

    def newest_approved(self) -> ModelPackage | None:
        """Return the newest approved package of the group, or None if nothing is approved.

        Raises:
            DeploymentError: There is no such group, or the package or a file of it is not what was promoted.
        """
        found = packages.newest_approved(self.hub("sagemaker"), self.build.model_package_group)
        if found is None:
            return None
        package = self._as_promoted(found)
        copying.require_files(self.hub("s3"), package)
        return package

    def _as_promoted(self, package: ModelPackage) -> ModelPackage:
        hub = self.build.hub_account
        registry = f"ml-platform-registry-{hub}-{self.build.hub_region}"
        return packages.as_promoted(self.hub("s3"), package, bucket=registry, account=hub)

    @property
    def rendered(self) -> Path:
        """Folder for what this step renders; what an earlier step made is not taken over."""
        return self.root / "rendered"

    def hub(self, service: str) -> Any:
        """Return a client of a service in the hub."""
        if self._session is None:
            self._session = boto3.Session()
        return self._session.client(service, region_name=self.build.hub_region, config=targets.CONFIG)

    def target(self, stage: str | None = None) -> targets.Target:
        """Return the target of a stage. Default: this build's stage."""
        name = stage or self.stage
        if name not in self._targets:
            if self._session is None:
                self._session = boto3.Session()
            self._targets[name] = self._assume(self.build, name, hub=self._session)
        return self._targets[name]

    def export(self, **variables: str) -> None:
        """Give variables to the pipeline, e.g. ``export(SUMMARY="all well")``.

        They go to variables.env, which the build reads; a text of several lines becomes one line. A manual approval
        takes 1,000 characters of text in all, so longer ones are cut.
        """
        for name, value in variables.items():
            line = re.sub(r"\s+", " ", value).strip()
            self._variables[name] = line if len(line) <= LONGEST_VARIABLE else f"{line[: LONGEST_VARIABLE - 1]}…"
        lines = [f"{name}={shlex.quote(value)}" for name, value in self._variables.items()]
        (self.root / "variables.env").write_text("\n".join(lines) + "\n", encoding="utf-8")
