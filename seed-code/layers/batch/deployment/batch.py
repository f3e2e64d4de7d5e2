"""The settings of batch predictions: what environments.yaml holds, what is refused, and what the templates get."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployment import copying, images, monitors
from deployment.context import Context
from deployment.errors import DeploymentError
from deployment.packages import ModelPackage
from deployment.settings import Setting, choice, number, section, text, whole_number

TEMPLATE = "batch"
SCHEDULE, NEW_DATA = "schedule", "new-data"
CONTENT_TYPE = "application/jsonlines"
_MONITORS = ("enabled", "min_records", "max_records", "data_quality", "bias", "explainability")
"""Settings of the monitors that have a meaning for batch runs: each run is its own window, and truth comes later."""

SCHEMA: dict[str, Setting] = {
    "input": section(
        {"uri": text(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/([^\s*?#$\"\\]+/)?", example="s3://lake/churn/")}
    ),
    "start": section(
        {
            "trigger": choice(SCHEDULE, NEW_DATA),
            "schedule": text(monitors.SCHEDULE, example="cron(0 5 * * ? *)", optional=True),
            "suffix": text(r"[A-Za-z0-9_.=-]{1,64}", example="_SUCCESS", optional=True),
        }
    ),
    "jobs": section(
        {
            "type": text(monitors.MACHINE, example="ml.m5.large"),
            "count": whole_number(1, 100),
            "max_hours": whole_number(1, 120),  # MaxRuntimeInSeconds of processing jobs: at most 5 days
        }
    ),
    "transform": section({"type": text(monitors.MACHINE, example="ml.m5.xlarge"), "count": whole_number(1, 100)}),
    "max_bad_percent": number(0, 100),
    "batch_test": section(
        {
            "records": whole_number(1, 500),
            "value_tolerance": number(0, 1),
            "max_different_percent": number(0, 100),
        }
    ),
    "monitors": section({name: monitors.SCHEMA[name] for name in _MONITORS}),
}
"""The settings of a stage in environments.yaml."""


def refuse(stage: str, settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with settings that are right one by one, as sentences.

    Args:
        stage: The stage.
        settings: Its settings.
    """
    problems = []
    start, watched = settings["start"], settings["monitors"]
    if start["trigger"] == SCHEDULE and not start["schedule"]:
        problems.append("start.trigger is schedule, but start.schedule is empty: nothing would ever run. Write one.")
    if start["trigger"] == SCHEDULE and start["suffix"]:
        problems.append(
            f"start.suffix is {start['suffix']}, which means something for trigger new-data only. Write null, or "
            f"new-data."
        )
    if copying.split(f"{settings['input']['uri']}x")[1] == "x":
        problems.append(
            f"input.uri is {settings['input']['uri']}, a whole bucket: a run would read everything in it, forever. "
            f"Name a folder, e.g. {settings['input']['uri']}daily/."
        )
    if watched["min_records"] > watched["max_records"]:
        problems.append(
            f"monitors.min_records is {watched['min_records']}, more than monitors.max_records "
            f"({watched['max_records']}): no monitor would ever come to a verdict."
        )
    return problems


def parameters(context: Context, stage: str, package: ModelPackage) -> dict[str, str]:
    """Return the values of the parameters of templates/batch.yaml, and some of base.yaml.

    Args:
        context: Of the step.
        stage: The stage.
        package: With URIs in the stage's bucket.

    Raises:
        DeploymentError: The model cannot be used in batch runs as the settings say.
    """
    settings, build = context.environments[stage], context.build
    _refuse_package(stage, settings, package)
    bucket, place = build.bucket(stage), build.places[stage]
    input_bucket, prefix = copying.split(settings["input"]["uri"])
    start, jobs, transform = settings["start"], settings["jobs"], settings["transform"]
    (code, _), (monitor_code, _) = _code(context, "batch"), _code(context, "monitor")
    return {
        "JobImage": images.in_region(package.containers[0].image, place.region, registered_in=build.hub_region),
        "InstanceType": jobs["type"],
        "InstanceCount": str(jobs["count"]),
        "TransformInstanceType": transform["type"],
        "TransformInstanceCount": str(transform["count"]),
        "MaxRuntimeSeconds": str(jobs["max_hours"] * 3600),
        "InputBucket": input_bucket,
        "InputPrefix": prefix,
        "NewDataSuffix": start["suffix"] or "",
        "ScheduleState": _state(start["trigger"] == SCHEDULE),
        "Schedule": start["schedule"] or "rate(1 day)",
        "NewDataState": _state(start["trigger"] == NEW_DATA),
        "MaxBadPercent": f"{settings['max_bad_percent']:g}",
        "JobCode": f"s3://{bucket}/{code}",
        "MonitorCode": f"s3://{bucket}/{monitor_code}",
        "JobSettings": f"s3://{bucket}/{_settings_file(context, stage, package)[0]}",
    }


def files(context: Context, stage: str) -> dict[str, Path | bytes]:
    """Return what the jobs need in the stage's bucket, by key: their code and their settings."""
    package = copying.located(context.package, context.build.bucket(stage))
    key, content = _settings_file(context, stage, package)
    return {**_code(context, "batch")[1], **_code(context, "monitor")[1], key: content}


def job_settings(context: Context, stage: str, package: ModelPackage) -> dict[str, Any]:
    """Return the settings of the jobs.

    Args:
        context: Of the step.
        stage: The stage.
        package: With URIs in the stage's bucket.
    """
    # Metrics and events name an endpoint; there is none, but its name is as unique.
    return {**monitors.origin(context, stage, package), "monitors": dict(context.environments[stage]["monitors"])}


def _refuse_package(stage: str, settings: Mapping[str, Any], package: ModelPackage) -> None:
    (*others, container) = package.containers
    if others or not container.model_data or not container.compressed:
        raise DeploymentError(
            f"{package.arn} is not one container with one model archive, which is all that batch runs can check rows "
            f"for. Register the model as one archive."
        )
    if CONTENT_TYPE not in package.content_types or CONTENT_TYPE not in package.response_types:
        raise DeploymentError(
            f"{package.arn} does not say that it takes and answers {CONTENT_TYPE}, which is what batch runs send it "
            f"(it takes {', '.join(package.content_types)}, answers {', '.join(package.response_types)}). Register a "
            f"model that does."
        )
    own, wanted = package.transform_instance_types, settings["transform"]["type"]
    if own and wanted not in own:
        raise DeploymentError(
            f"{stage}: transform.type is {wanted}, but {package.arn} was registered for {', '.join(own)}. Choose one "
            f"of these, or register the model for more."
        )


def _code(context: Context, name: str) -> tuple[str, dict[str, Path]]:
    return copying.code_files(context.root / "jobs" / name)


def _settings_file(context: Context, stage: str, package: ModelPackage) -> tuple[str, bytes]:
    return monitors.settings_file("batch", job_settings(context, stage, package))


def _state(enabled: bool) -> str:
    return "ENABLED" if enabled else "DISABLED"
