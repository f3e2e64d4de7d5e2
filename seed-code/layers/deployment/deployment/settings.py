"""What is deployed where: the variables of the project's build, and environments.yaml."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deployment.errors import DeploymentError
from settings_file import SettingsFileError, load

STAGES = ("test", "prod")
_PROJECT_NAME = r"[a-z0-9](-*[a-z0-9]){0,31}"
_PROJECT_ID = r"p-[a-z0-9]{1,14}"
_ACCOUNT = r"\d{12}"
_REGION = r"[a-z]{2}(-[a-z]+)+-\d"
_KEY = r"arn:[a-z0-9-]+:kms:[a-z0-9-]+:\d{12}:key/[\w-]+"
_PACKAGE = r"arn:[a-z0-9-]+:sagemaker:[a-z0-9-]+:\d{12}:model-package/[a-zA-Z0-9-]+/\d+"
_BUS = r"arn:[a-z0-9-]+:events:[a-z0-9-]+:\d{12}:event-bus/[\w./-]+"

_VARIABLES = {
    "PROJECT_NAME": (_PROJECT_NAME, "churn"),
    "PROJECT_ID": (_PROJECT_ID, "p-abc123"),
    "MODEL_PACKAGE_GROUP": (r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "churn-p-abc123-111122223333"),
    "PIPELINE_NAME": (r"[\w.@-]{1,100}", "mlp-p-abc123-deploy"),
    "ARTIFACT_BUCKET": (r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "mlp-p-abc123-111122223333-eu-west-1"),
    "KMS_KEY_ARN": (_KEY, "arn:aws:kms:eu-west-1:111122223333:key/1111-2222"),
    "HUB_ACCOUNT_ID": (_ACCOUNT, "111122223333"),
    "HUB_REGION": (_REGION, "eu-west-1"),
    "HUB_BUS_ARN": (_BUS, "arn:aws:events:eu-west-1:111122223333:event-bus/ml-platform"),
    "CONSOLE_HOST": (r"[a-z0-9.-]+", "console.aws.amazon.com"),
    "COST_CENTER": (r"[\w .:/=+@-]{1,256}", "4711"),
    "TEST_ACCOUNT_ID": (_ACCOUNT, "222233334444"),
    "TEST_REGION": (_REGION, "eu-west-1"),
    "PROD_ACCOUNT_ID": (_ACCOUNT, "333344445555"),
    "PROD_REGION": (_REGION, "eu-west-1"),
}
_OPTIONAL = {
    "STAGE": ("test|prod", "test"),
    "PIPELINE_EXECUTION_ID": (r"[\w-]{1,64}", "12345678-1234-1234-1234-123456789012"),
    "PACKAGE_ARN": (_PACKAGE, "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn-p-abc123-111122223333/7"),
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Account and region of a stage."""

    account: str
    region: str


@dataclass(frozen=True, kw_only=True)
class Build:
    """What the project's build knows: the variables that it gives to every step.

    Attributes:
        project_name: Name of the project, at most 32 characters.
        project_id: Its id, e.g. ``p-abc123``, at most 16 characters.
        model_package_group: Group of the registry whose newest approved package is deployed.
        pipeline_name: The pipeline (CodePipeline) of the project.
        execution_id: Execution of that pipeline; ``local`` outside of one.
        artifact_bucket: Bucket of the project in this account; reports go there.
        kms_key_arn: Key of that bucket.
        hub_account: Account in which the builds run.
        hub_region: Region in which they run.
        hub_bus_arn: Event bus that hears of drift.
        console_host: Host of the AWS console, for links.
        cost_center: Value of the tag ``CostCenter``.
        places: Account and region by stage.
        stage: Stage that this build may change; None for the build that only renders.
        package_arn: Package that the step ``render`` of this execution chose; None in that step.
        choices: All variables of the build, among them the choices made when the project was created.
    """

    project_name: str
    project_id: str
    model_package_group: str
    pipeline_name: str
    execution_id: str
    artifact_bucket: str
    kms_key_arn: str
    hub_account: str
    hub_region: str
    hub_bus_arn: str
    console_host: str
    cost_center: str
    places: Mapping[str, Place]
    stage: str | None = None
    package_arn: str | None = None
    choices: Mapping[str, str] = field(default_factory=dict)

    @property
    def partition(self) -> str:
        """Partition of the hub, e.g. ``aws``; stages are in the same one."""
        return self.kms_key_arn.split(":")[1]

    @property
    def group_arn(self) -> str:
        """ARN of the model package group."""
        place = f"{self.hub_region}:{self.hub_account}"
        return f"arn:{self.partition}:sagemaker:{place}:model-package-group/{self.model_package_group}"

    def tag(self, stage: str) -> str:
        """Return what names everything of a stage, e.g. ``p-abc123-prod``; also the value of the stage's tag."""
        return f"{self.project_id}-{stage}"

    def bucket(self, stage: str) -> str:
        """Return the stage's bucket; at most 4 + 21 + 1 + 12 + 1 + 14 = 53 characters."""
        place = self.places[stage]
        return f"mlp-{self.tag(stage)}-{place.account}-{place.region}"

    def stack(self, stage: str) -> str:
        """Return the name of the stack with the endpoint or the batch job of a stage."""
        return f"mlp-{self.tag(stage)}"

    def base_stack(self, stage: str) -> str:
        """Return the name of the stack with bucket, key and roles of a stage."""
        return f"mlp-{self.tag(stage)}-base"

    def endpoint(self, stage: str) -> str:
        """Return the name of a stage's endpoint; at most 32 + 1 + 16 + 5 = 54 of the 63 characters allowed."""
        return f"{self.project_name}-{self.tag(stage)}"

    def role_arn(self, stage: str, purpose: str) -> str:
        """Return the ARN of a role of the stage's base stack, e.g. for purpose ``execution``."""
        account = self.places[stage].account
        return f"arn:{self.partition}:iam::{account}:role/ml-platform/deployment/mlp-{self.tag(stage)}-{purpose}"

    def tags(self, stage: str) -> dict[str, str]:
        """Return the tags of every resource of a stage."""
        return {
            "ml-platform-deployment": self.tag(stage),
            "CostCenter": self.cost_center,
            "sagemaker:project-name": self.project_name,
            "sagemaker:project-id": self.project_id,
        }


def read_build(variables: Mapping[str, str]) -> Build:
    """Return what the build knows.

    Args:
        variables: Environment variables.

    Raises:
        DeploymentError: Names every variable that is missing or cannot be used.
    """
    problems = []
    for name, (pattern, example) in {**_VARIABLES, **_OPTIONAL}.items():
        value = variables.get(name, "")
        if not value:
            if name in _VARIABLES:
                problems.append(f"{name} is not set; it looks like {example}.")
        elif not re.fullmatch(pattern, value):
            problems.append(f"{name} is {value!r}, which cannot be right; it looks like {example}.")
    if problems:
        raise DeploymentError(
            "The variables of the build cannot be used, so it is unknown what to deploy where:\n"
            + "\n".join(f"- {text}" for text in problems)
            + "\nThe project's builds set them. To check a change without AWS: make check"
        )
    return Build(
        project_name=variables["PROJECT_NAME"],
        project_id=variables["PROJECT_ID"],
        model_package_group=variables["MODEL_PACKAGE_GROUP"],
        pipeline_name=variables["PIPELINE_NAME"],
        execution_id=variables.get("PIPELINE_EXECUTION_ID") or "local",
        artifact_bucket=variables["ARTIFACT_BUCKET"],
        kms_key_arn=variables["KMS_KEY_ARN"],
        hub_account=variables["HUB_ACCOUNT_ID"],
        hub_region=variables["HUB_REGION"],
        hub_bus_arn=variables["HUB_BUS_ARN"],
        console_host=variables["CONSOLE_HOST"],
        cost_center=variables["COST_CENTER"],
        places=MappingProxyType(
            {
                stage: Place(
                    account=variables[f"{stage.upper()}_ACCOUNT_ID"], region=variables[f"{stage.upper()}_REGION"]
                )
                for stage in STAGES
            }
        ),
        stage=variables.get("STAGE") or None,
        package_arn=variables.get("PACKAGE_ARN") or None,
        choices=MappingProxyType(dict(variables)),
    )


# ---- environments.yaml ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One setting of a stage: how its value is read.

    Attributes:
        read: Makes the value out of what YAML and ``${NAME}`` give; raises ValueError with a text that follows the
            name of the setting, e.g. ``must be a whole number, e.g. 2``.
        optional: Whether ``null`` and an empty choice are allowed; the value then is None.
    """

    read: Callable[[Any], Any]
    optional: bool = False


def text(pattern: str = r".+", *, example: str, optional: bool = False) -> Setting:
    """Return a setting that is a text of a form."""

    def read(value: Any) -> str:
        if isinstance(value, (dict, list, bool)) or not re.fullmatch(pattern, str(value)):
            raise ValueError(f"must look like {example}")
        return str(value)

    return Setting(read, optional)


def choice(*values: str, optional: bool = False) -> Setting:
    """Return a setting that is one of some texts."""

    def read(value: Any) -> str:
        if value not in values:
            raise ValueError(f"must be {' or '.join(values)}")
        return str(value)

    return Setting(read, optional)


def whole_number(least: int, most: int, *, optional: bool = False) -> Setting:
    """Return a setting that is a whole number between two others."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"[+-]?\d+", str(value)) or not least <= int(value) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(value)

    return Setting(read, optional)


def number(least: float, most: float, *, optional: bool = False) -> Setting:
    """Return a setting that is a number between two others."""

    def read(value: Any) -> float:
        try:
            found = float("nan" if isinstance(value, (bool, dict, list)) else value)
        except (TypeError, ValueError):  # the former for what YAML makes of a date
            found = float("nan")
        if not least <= found <= most:
            raise ValueError(f"must be a number from {least:g} to {most:g}")
        return found

    return Setting(read, optional)


def flag() -> Setting:
    """Return a setting that is true or false."""

    def read(value: Any) -> bool:
        if str(value).lower() not in ("true", "false"):
            raise ValueError("must be true or false")
        return str(value).lower() == "true"

    return Setting(read)


def texts(pattern: str, *, example: str, most: int = 100) -> Setting:
    """Return a setting that is a list of texts of a form; it may be empty."""

    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > most or not all(re.fullmatch(pattern, str(v)) for v in value):
            raise ValueError(f"must be a list of at most {most}, e.g. [{example}]")
        return tuple(str(entry) for entry in value)

    return Setting(read)


def section(settings: Mapping[str, Setting]) -> Setting:
    """Return a setting that is a group of settings, each of which has to be there."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"must be a group of settings ({', '.join(settings)})")
        problems: list[str] = []
        found = _read_section(value, settings, "", problems)
        if problems:
            raise _ProblemsError(problems)
        return found

    return Setting(read)


class _ProblemsError(ValueError):
    """Several problems, each with the rest of the key in front."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_environments(
    path: Path,
    choices: Mapping[str, str],
    schema: Mapping[str, Setting],
    refuse: Callable[[str, Mapping[str, Any]], list[str]] = lambda stage, settings: [],
) -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of each stage.

    Args:
        path: environments.yaml.
        choices: What ``${NAME}`` stands for.
        schema: The settings that each stage has to have; there are no others.
        refuse: Returns what is wrong with settings that are right one by one, for a stage.

    Raises:
        DeploymentError: Names every key whose value cannot be used, and why.
    """
    try:
        content = load(path)
    except SettingsFileError as err:
        raise DeploymentError(f"Nothing is deployed, because {err}") from err
    if not isinstance(content, dict):
        raise DeploymentError(f"{path.name} must have the sections test and prod; found {content!r}.")
    problems: list[str] = []
    for key in content:
        if key not in STAGES:
            problems.append(f"{key} is not a stage; there are test and prod.{_hint(key, STAGES)}")
    result: dict[str, Mapping[str, Any]] = {}
    for stage in STAGES:
        if stage not in content:
            problems.append(f"the section {stage} is missing. No other section stands in for it: write it.")
            continue
        before = len(problems)
        values = _read_section(_filled(content[stage], choices, stage, problems), schema, stage, problems)
        if len(problems) == before:
            problems += [f"{stage}: {text}" for text in refuse(stage, values)]
        result[stage] = MappingProxyType(values)
    if problems:
        raise DeploymentError(f"{path.name} cannot be used:\n" + "\n".join(f"- {text}" for text in problems))
    return MappingProxyType(result)


class _Missing:
    """Stands for a value whose ``${NAME}`` is unknown and has been reported."""


def _filled(value: Any, choices: Mapping[str, str], key: str, problems: list[str]) -> Any:
    """Return a value with every ``${NAME}`` replaced."""
    if isinstance(value, dict):
        return {name: _filled(member, choices, f"{key}.{name}", problems) for name, member in value.items()}
    if isinstance(value, list):
        return [_filled(member, choices, key, problems) for member in value]
    if not isinstance(value, str):
        return value
    unknown = [name for name in re.findall(r"\$\{(\w+)\}", value) if name not in choices]
    if unknown:
        known = [name for name in choices if name.isupper()]
        for name in unknown:
            problems.append(
                f"{key}: ${{{name}}} is not a choice made for this project, so {value!r} has no meaning."
                f"{_hint(name, known)} Write the value itself, or the name of a variable of the build."
            )
        return _Missing
    return re.sub(r"\$\{(\w+)\}", lambda found: choices[found[1]], value)


def _read_section(value: Any, schema: Mapping[str, Setting], where: str, problems: list[str]) -> dict[str, Any]:
    prefix = f"{where}." if where else ""
    if not isinstance(value, dict):
        problems.append(f"{where} must be a group of settings ({', '.join(schema)}); found {value!r}.".lstrip())
        return {}
    for key in value:
        if key not in schema:
            hint = _hint(key, schema) or f" Known: {', '.join(schema)}."
            problems.append(f"{prefix}{key} is not a setting.{hint}")
    result: dict[str, Any] = {}
    for key, setting in schema.items():
        if key not in value:
            problems.append(f"{prefix}{key} is missing{'; write null if there is none' if setting.optional else ''}.")
            continue
        found = value[key]
        if found is _Missing:
            continue
        if found in (None, ""):
            if setting.optional:
                result[key] = None
                continue
            problems.append(f"{prefix}{key} has no value, and needs one: it {_demand(setting)}.")
            continue
        try:
            result[key] = setting.read(found)
        except _ProblemsError as err:
            problems += [f"{prefix}{key}.{text}" for text in err.problems]
        except ValueError as err:
            problems.append(f"{prefix}{key} is {found!r}; it {err}.")
    return result


def _demand(setting: Setting) -> str:
    """Return what a setting asks of its value."""
    try:
        setting.read(_Missing)
    except ValueError as err:
        return str(err)
    return "must have a value"


def _hint(name: Any, known: Any) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""
