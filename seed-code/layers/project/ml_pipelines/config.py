"""The configuration of the project: ``config.yaml``, ``data.yaml``, and what was decided when it was created."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ml_pipelines import data_source
from ml_pipelines.data_source import DataSource
from settings_file import SettingsFileError, load
from tabular.config import Config as JobConfig
from tabular.errors import ConfigError

__all__ = ["ROOT", "SOURCE", "ConfigError", "JobConfig", "Machines", "ProjectConfig", "for_aws", "for_this_machine"]

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"  # what the jobs run

# Keys of config.yaml that are null until someone decides, and the variables of the build with the platform's values.
_FROM_PLATFORM = {"label": "LABEL", "problem_type": "PROBLEM_TYPE"}
_DATA_FILE = "data.yaml"
# Keys of config.yaml that there were once; the account decides on the network of the jobs.
_GONE = ("subnets", "security_group_ids")
_INSTANCE_TYPE = re.compile(r"ml(\.[a-z0-9-]+){2,3}")


@dataclass(frozen=True)
class Machines:
    """The ``pipeline`` section of config.yaml; see the comments there."""

    processing_instance_type: str = "ml.m5.xlarge"
    processing_instance_count: int = 1
    training_instance_type: str = "ml.m5.xlarge"
    volume_gib: int = 30
    max_runtime_minutes: int = 120
    cache_days: int = 30
    inference_instance_types: tuple[str, ...] = ("ml.m5.large", "ml.m5.xlarge")
    transform_instance_types: tuple[str, ...] = ("ml.m5.xlarge",)
    tags: Mapping[str, str] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Return one sentence for every value that cannot be used."""
        found = []
        for name, least in (
            ("processing_instance_count", 1),
            ("volume_gib", 1),
            ("max_runtime_minutes", 1),
            ("cache_days", 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                found.append(f"pipeline.{name} must be a whole number of at least {least}, found {value!r}.")
        for name in ("processing_instance_type", "training_instance_type"):
            found += _instance_types(name, (getattr(self, name),))
        for name in ("inference_instance_types", "transform_instance_types"):
            types = getattr(self, name)
            found += _instance_types(name, types) or ([] if types else [f"pipeline.{name} must not be empty."])
        if not all(isinstance(part, str) for pair in self.tags.items() for part in pair):
            found.append(
                f'pipeline.tags must map text to text; put numbers in quotes, e.g. "4711". Found {self.tags!r}.'
            )
        return found


@dataclass(frozen=True)
class ProjectConfig:
    """Everything that decides what the pipeline is.

    Attributes:
        source: Where the data comes from.
        job: What the jobs read.
        machines: Where they run.
        pipeline_name: Name of the pipeline.
        model_package_group: Where models are registered.
        bucket: Bucket for everything the pipeline writes.
        role_arn: Role of the pipeline and its jobs.
        kms_key_arn: Key that encrypts volumes and outputs. None: the keys that AWS manages.
        project_name: Name of the project, for tags.
        project_id: Id that SageMaker gave the project, for tags and lineage.
        commit: Git commit of this code.
        repository: URL of the repository, None where it is not known.
        has_registry: There is a model registry, whose last approved model a new one has to match.
        subnet_ids: Subnets of the jobs, in an account whose jobs have to stay in its network. Empty: no such network.
        security_group_ids: Their security groups.
    """

    source: DataSource
    job: JobConfig
    machines: Machines
    pipeline_name: str
    model_package_group: str
    bucket: str
    role_arn: str
    kms_key_arn: str | None = None
    project_name: str | None = None
    project_id: str | None = None
    commit: str = "unknown"
    repository: str | None = None
    has_registry: bool = True
    subnet_ids: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the pipeline and its jobs; the project's own let costs and permissions be told apart."""
        project = {"sagemaker:project-name": self.project_name, "sagemaker:project-id": self.project_id}
        return dict(self.machines.tags) | {key: value for key, value in project.items() if value}


def read_settings(
    path: Path, environment: Mapping[str, str], asked: Mapping[str, str] = MappingProxyType({})
) -> tuple[DataSource, JobConfig, Machines]:
    """Return the data source, the configuration of the jobs and the machines that files and platform decide.

    Args:
        path: ``config.yaml``; ``data.yaml`` is beside it, and may be missing.
        environment: Variables of the build; they fill in what is null in the files.
        asked: Values of keys of config.yaml that a command was given, which win over the file.

    Raises:
        ConfigError: Lists every value that cannot be used.
    """
    values = _read(path, _FROM_PLATFORM, environment) | asked
    for key, variable in data_source.COLUMN_VARIABLES.items():
        if not values.get(key) and environment.get(variable):
            values[key] = environment[variable].split(",")
    data_path = path.with_name(_DATA_FILE)
    data = _read(data_path, data_source.VARIABLES, environment)
    of_data = [
        f"{key} is not a known key; known keys: {', '.join(data_source.VARIABLES)}."
        for key in data
        if key not in data_source.VARIABLES
    ]
    source = DataSource.read(data, of_data)
    problems = [
        f"{key} belongs in {_DATA_FILE}: move the line there." for key in data_source.VARIABLES if values.pop(key, None)
    ]
    machines = _machines(values.pop("pipeline", None) or {}, problems)
    if values["label"] is None:
        problems.append("label is not set: enter the column to predict in config.yaml, or give it as LABEL=column.")
        values["label"] = "unknown"
    if values["problem_type"] is None:
        values["problem_type"] = "auto"
    job: JobConfig | None = None
    lines = [f"- {text}" for text in problems]
    try:
        job = JobConfig.from_dict(values)
    except ConfigError as err:
        lines = [str(err).removeprefix("The configuration cannot be used:\n"), *lines]
    wrong = {path.name: lines, _DATA_FILE: [f"- {text}" for text in of_data]}
    if any(wrong.values()) or job is None:
        raise ConfigError(
            "\n".join(f"{name} cannot be used:\n" + "\n".join(found) for name, found in wrong.items() if found)
        )
    return source, job, machines


def _read(path: Path, variables: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of a file; what is null, or the whole file where it is missing, comes from the variables."""
    try:
        values = load(path) if path.name != _DATA_FILE or path.exists() else {}
    except SettingsFileError as err:
        raise ConfigError(str(err)) from err
    values = values or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path.name} must hold keys and values, e.g. label: churned; found {values!r}.")
    for key, variable in variables.items():
        if values.get(key) is None:
            values[key] = environment.get(variable) or None
    return values


def for_aws(path: Path = ROOT / "config.yaml", environment: Mapping[str, str] = os.environ) -> ProjectConfig:
    """Return the configuration of the project in its account.

    Raises:
        ConfigError: A value cannot be used, or a variable of the project's build is missing.
    """
    needed = ("PIPELINE_NAME", "MODEL_PACKAGE_GROUP", "ARTIFACT_BUCKET", "PIPELINE_ROLE_ARN")
    missing = [name for name in needed if not environment.get(name)]
    if missing:
        raise ConfigError(
            f"The variables {', '.join(missing)} are not set, so it is unknown where the pipeline belongs. "
            f"The project's build sets them; to publish from elsewhere, copy them from its CodeBuild project. "
            f"To try the pipeline without AWS, use `make local`."
        )
    source, job, machines = read_settings(path, environment)
    if source.undecided:
        raise ConfigError(source.undecided)
    return ProjectConfig(
        source=source,
        job=job,
        machines=machines,
        pipeline_name=environment["PIPELINE_NAME"],
        model_package_group=environment["MODEL_PACKAGE_GROUP"],
        bucket=environment["ARTIFACT_BUCKET"],
        role_arn=environment["PIPELINE_ROLE_ARN"],
        kms_key_arn=environment.get("KMS_KEY_ARN") or None,
        project_name=environment.get("PROJECT_NAME") or None,
        project_id=environment.get("PROJECT_ID") or None,
        commit=environment.get("CODEBUILD_RESOLVED_SOURCE_VERSION") or "unknown",
        repository=environment.get("REPOSITORY_URL") or None,
        subnet_ids=_network("JOB_SUBNET_IDS", environment),
        security_group_ids=_network("JOB_SECURITY_GROUP_IDS", environment),
    )


def for_this_machine(
    path: Path = ROOT / "config.yaml", *, label: str | None = None, problem_type: str | None = None
) -> ProjectConfig:
    """Return the configuration of a pipeline that runs here and keeps everything in a folder.

    Args:
        path: The YAML file.
        label: Column to predict; wins over the file.
        problem_type: Problem type; wins over the file.

    Raises:
        ConfigError: A value cannot be used.
    """
    asked = {"label": label, "problem_type": problem_type}
    source, job, machines = read_settings(path, os.environ, {key: value for key, value in asked.items() if value})
    return ProjectConfig(
        source=source.on_this_machine(),
        job=job,
        machines=machines,
        pipeline_name="local",
        model_package_group="local",
        bucket="local",
        role_arn="arn:aws:iam::000000000000:role/local",
        has_registry=False,
    )


def _network(variable: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ids in a variable; the platform says ``none`` where jobs run in SageMaker's own network."""
    value = environment.get(variable) or "none"
    return () if value == "none" else tuple(value.split(","))


def _machines(values: Any, problems: list[str]) -> Machines:
    names = [item.name for item in fields(Machines)]
    if not isinstance(values, dict):
        problems.append(f"pipeline must be a mapping of names to values, found {values!r}.")
        return Machines()
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(names)}."
            hint = "remove it: the account decides in which network jobs run." if key in _GONE else hint
            problems.append(f"pipeline.{key} is not a known key; {hint}")
    known = {key: value for key, value in values.items() if key in names and value is not None}
    for item in fields(Machines):
        value = known.get(item.name)
        if item.name == "tags":
            if not isinstance(known.get("tags", {}), dict):
                problems.append(f"pipeline.tags must map names to values, found {known.pop('tags')!r}.")
        elif item.type.startswith("tuple") and value is not None:
            if isinstance(value, list) and all(isinstance(part, str) for part in value):
                known[item.name] = tuple(value)
            else:
                problems.append(f"pipeline.{item.name} must be a list, e.g. [a, b]; found {known.pop(item.name)!r}.")
    machines = Machines(**known)
    problems.extend(machines.problems())
    return machines


def _instance_types(name: str, types: tuple[Any, ...]) -> list[str]:
    return [
        f"pipeline.{name}: {value!r} is not a SageMaker instance type such as ml.m5.xlarge."
        for value in types
        if not isinstance(value, str) or not _INSTANCE_TYPE.fullmatch(value)
    ]
