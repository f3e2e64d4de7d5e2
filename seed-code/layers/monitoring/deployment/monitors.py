"""The monitors of a stage: their settings in environments.yaml, and what the templates and the job get of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployment import copying, images
from deployment.context import Context
from deployment.errors import DeploymentError
from deployment.packages import ModelPackage
from deployment.settings import Setting, flag, number, section, text, whole_number

TEMPLATE = "monitor"
"""Template with pipeline, schedule, queue and alarm; the main template of a stage includes it."""

# EventBridge takes "1 hour" but "2 hours", and a "?" for exactly one of day of month and day of week (EventBridge user
# guide, "Rate expressions" and "Cron expressions").
SCHEDULE = (
    r"rate\((1 (hour|day)|([2-9]|[1-9]\d+) (hours|days))\)|cron\(\S+ \S+ (\? \S+ [^\s?]\S*|[^\s?]\S* \S+ \?) \S+\)"
)
MACHINE = r"ml\.[a-z0-9-]+\.[a-z0-9-]+"

BASELINES = {
    "ModelDataQuality/Statistics": "statistics.json",
    "ModelDataQuality/Constraints": "constraints.json",
    "ModelQuality/Constraints": "model_quality_constraints.json",
    "Explainability/Constraints": "analysis.json",
}
"""Baselines of a package that monitors compare with, and the names under which the job knows them."""


def _facets() -> Setting:
    """Return a setting that is a list of facets: a column, and which of its values make the group to protect."""

    def read(value: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not all(_is_facet(entry) for entry in value):
            raise ValueError(
                "must be a list of columns, each with the values, or the number above which, a record belongs to the "
                "group to protect, e.g. [{name: country, values: [PT, ES]}, {name: age, above: 60}]"
            )
        return [dict(entry) for entry in value]

    return Setting(read)


def _is_facet(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
        return False
    if set(entry) == {"name", "values"}:
        return isinstance(entry["values"], list) and bool(entry["values"])
    above = entry.get("above")
    return set(entry) == {"name", "above"} and isinstance(above, (int, float)) and not isinstance(above, bool)


def _outcome() -> Setting:
    """Return a setting that says which predictions are a positive outcome; null leaves it to the model."""

    def read(value: Any) -> Any:
        found = value if isinstance(value, list) else [value]
        if not found or not all(isinstance(entry, (str, int, float)) for entry in found):
            raise ValueError("must be a label, a list of labels, or for regression a number, e.g. [gold, silver]")
        return value

    return Setting(read, optional=True)


SCHEMA: dict[str, Setting] = {
    "enabled": flag(),
    "schedule": text(SCHEDULE, example="cron(20 6 * * ? *)"),
    "window_hours": whole_number(1, 24 * 31),
    "min_records": whole_number(2, 1_000_000),
    "max_records": whole_number(100, 200_000),
    "instance_type": text(MACHINE, example="ml.m5.large"),
    "data_quality": section({"enabled": flag()}),
    "model_quality": section({"enabled": flag(), "lookback_hours": whole_number(0, 24 * 90)}),
    "bias": section(
        {
            "enabled": flag(),
            "facets": _facets(),
            "positive": _outcome(),
            "max_dppl": number(0, 1),
            "min_di": number(0.01, 1),
            "max_dar": number(0, 1),
            "max_rd": number(0, 1),
        }
    ),
    "explainability": section({"enabled": flag(), "min_ndcg": number(0, 1)}),
}
"""Settings below ``monitors`` of a stage in environments.yaml."""


def refuse(settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with settings below ``monitors`` that are right one by one."""
    problems = []
    if settings["min_records"] > settings["max_records"]:
        problems.append(
            f"monitors.min_records is {settings['min_records']}, more than monitors.max_records "
            f"({settings['max_records']}): no monitor would ever come to a verdict."
        )
    rate = re.fullmatch(r"rate\((\d+) (hour|day)s?\)", settings["schedule"])
    if rate and int(rate[1]) * (24 if rate[2] == "day" else 1) > settings["window_hours"]:
        problems.append(
            f"monitors.schedule is {settings['schedule']}, but monitors.window_hours is {settings['window_hours']}: "
            f"nobody would look at the hours in between. Make the window at least as long as the pause."
        )
    return problems


def parameters(context: Context, stage: str, package: ModelPackage) -> dict[str, str]:
    """Return the values of the parameters of templates/monitor.yaml.

    Args:
        context: Of the step.
        stage: The stage.
        package: With URIs in the stage's bucket (`copying.located`).

    Raises:
        DeploymentError: Monitors cannot look into the model.
    """
    build, settings = context.build, context.environments[stage]["monitors"]
    bucket = build.bucket(stage)
    code, _ = _code(context)
    enabled = settings["enabled"]
    if enabled:
        _require_one_archive(package)
    image = images.in_region(package.containers[0].image, build.places[stage].region, registered_in=build.hub_region)
    return {
        "MonitorState": "ENABLED" if enabled else "DISABLED",
        "MonitorSchedule": settings["schedule"],
        "MonitorImage": image,
        "MonitorInstanceType": settings["instance_type"],
        "MonitorCode": f"s3://{bucket}/{code}",
        "MonitorSettings": f"s3://{bucket}/{_settings_file(context, stage, package)[0]}",
    }


def files(context: Context, stage: str) -> dict[str, Path | bytes]:
    """Return what the job needs in the stage's bucket, by key: its code and its settings."""
    package = copying.located(context.package, context.build.bucket(stage))
    key, content = _settings_file(context, stage, package)
    return {**_code(context)[1], key: content}


def job_settings(context: Context, stage: str, package: ModelPackage) -> dict[str, Any]:
    """Return the settings of the job: those of environments.yaml, and where it finds the model and its baselines.

    Args:
        context: Of the step.
        stage: The stage.
        package: With URIs in the stage's bucket.
    """
    return {**context.environments[stage]["monitors"], **origin(context, stage, package)}


def origin(context: Context, stage: str, package: ModelPackage) -> dict[str, Any]:
    """Return what every job has to know: whose model it is, where model and baselines are, and who hears of drift.

    Args:
        context: Of the step.
        stage: The stage.
        package: With URIs in the stage's bucket.
    """
    build = context.build
    model = package.containers[0].model_data
    return {
        "project": build.project_name,
        "stage": stage,
        "endpoint": build.endpoint(stage),
        "package": package.arn,
        "bucket": build.bucket(stage),
        "bus_arn": build.hub_bus_arn,
        "model": copying.split(model)[1] if model else "",
        "baselines": {
            name: copying.split(package.baselines[kind])[1]
            for kind, name in BASELINES.items()
            if kind in package.baselines
        },
    }


def _require_one_archive(package: ModelPackage) -> None:
    """Refuse models of several containers and models that are not an archive.

    Raises:
        DeploymentError: The package has such a model.
    """
    (*others, container) = package.containers
    if others or not container.model_data or not container.compressed:
        raise DeploymentError(
            f"{package.arn} is not one container with one model archive, which is all that the monitors can look into. "
            f"Write `enabled: false` below monitors of both stages in environments.yaml to deploy it without them."
        )


def _code(context: Context) -> tuple[str, dict[str, Path]]:
    return copying.code_files(context.root / "jobs" / "monitor")


def _settings_file(context: Context, stage: str, package: ModelPackage) -> tuple[str, bytes]:
    return settings_file("monitor", job_settings(context, stage, package))


def settings_file(name: str, settings: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return key and content of a job's settings in the stage's bucket; other settings have another key."""
    content = json.dumps(settings, indent=2, sort_keys=True).encode() + b"\n"
    return f"code/{name}-settings/{hashlib.sha256(content).hexdigest()[:12]}.json", content
