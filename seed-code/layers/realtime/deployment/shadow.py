"""The shadow period in prod: it begins with `begin`, and some hours later a schedule starts a build with `finish`.

The pipeline waits in the approval Shadow/Period; `finish` answers it. Whatever happens, the model in place goes on
answering, and nothing of the shadow is left when its period is over.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from deployment import common_steps, monitors, packages, plots, realtime, reports, shadow_template, stacks
from deployment.calls import load_samples
from deployment.context import Context
from deployment.errors import DeploymentError
from deployment.realtime import SERVERLESS, SHADOW, TEMPLATE, VARIANT
from deployment.render import Rendered
from deployment.shadow_comparison import Comparison, Event, Measured, compare, match, parse
from deployment.shadow_template import Period

STAGE, ACTION = "Shadow", "Period"
_AT_ONCE = timedelta(minutes=1)
_APPROVAL_TRIES, _APPROVAL_PAUSE_S = 40, 15.0
"""The approval begins when the build that started the period is over; that takes a moment."""
_MOST_EVENTS = 50_000
_NOT_IN_ARCHIVE = {".git", ".venv", ".venv-uv", "build", "rendered", "__pycache__", ".pytest_cache", ".ruff_cache"}
_SUMMARY_MAX = 512  # ApprovalResult of PutApprovalResult

Pause = Callable[[float], None]


@dataclass(frozen=True)
class Deployment:
    """What is deployed now.

    Attributes:
        template: Template of the stage's stack.
        parameters: Values of its parameters.
        package: ARN of the package behind the endpoint.
    """

    template: Mapping[str, Any]
    parameters: Mapping[str, str]
    package: str


# ---- the beginning --------------------------------------------------------------------------------------------------


def begin(context: Context, *, pause: Pause = time.sleep, now: Callable[[], datetime] | None = None) -> None:
    """Deploy the new model as shadow of the one in place, and schedule the comparison.

    Raises:
        DeploymentError: The approval was withdrawn, or the stack could not be changed.
    """
    common_steps.approved_or_stop(context)
    clock = now or _now
    current = current_deployment(context)
    reason = nothing_to_compare(context, current)
    if reason or current is None:
        print(f"no shadow period: {reason}")
        _schedule(context, clock() + _AT_ONCE)
        return
    common_steps.render_package(context, context.package, TEMPLATE, realtime.parameters, [context.stage])
    common_steps.deploy_base(context, files=monitors.files(context, context.stage), pause=pause)
    rendered = Rendered.read(context.rendered / context.stage, TEMPLATE)
    period = Period(context.build.execution_id, context.package.arn, clock().isoformat(timespec="seconds"))
    _apply(context, shadow_template.with_shadow(current.template, rendered, period), current.parameters, pause)
    try:
        _schedule(context, clock() + timedelta(hours=context.settings["shadow"]["hours"]))
    except (ClientError, DeploymentError):
        drop(context, pause=pause)  # nobody would ever end the period
        raise


def nothing_to_compare(context: Context, current: Deployment | None) -> str | None:
    """Return why there is no shadow period, or None if there is one."""
    if not context.settings["shadow"]["hours"]:
        return "shadow.hours is 0"
    if current is None:
        return "nothing is deployed yet"
    if current.package == context.package.arn:
        return "the model in place is the same"
    if current.parameters.get("EndpointType") == SERVERLESS:
        return "the endpoint in place is serverless, which has no shadows"
    return None


def _schedule(context: Context, moment: datetime) -> None:
    """Have the comparison started once, at a time in UTC."""
    build = context.build
    key = f"shadow/{build.execution_id}/source.zip"  # only the build of prod may write there, and runs what is there
    context.hub("s3").put_object(
        Bucket=build.artifact_bucket,
        Key=key,
        Body=archive(context.root),
        ContentType="application/zip",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=build.kms_key_arn,
    )
    request = schedule_request(context, moment.astimezone(UTC), f"{build.artifact_bucket}/{key}")
    client = context.hub("scheduler")
    try:
        client.create_schedule(**request)
    except client.exceptions.ConflictException:
        # The action was retried: the period begins anew.
        client.delete_schedule(Name=request["Name"], GroupName=request["GroupName"])
        client.create_schedule(**request)
    print(f"the comparison starts at {moment:%Y-%m-%d %H:%M} UTC")


def schedule_request(context: Context, moment: datetime, source: str) -> dict[str, Any]:
    """Return the request CreateSchedule.

    Args:
        context: Of the step.
        moment: When the comparison starts, in UTC.
        source: Bucket and key of the archive with the repository.

    Raises:
        DeploymentError: The project has no schedules.
    """
    build = context.build
    names = ("SCHEDULE_GROUP", "SCHEDULE_ROLE_ARN", "MISSED_STARTS_ARN")
    missing = [name for name in names if not build.choices.get(name)]
    if missing:
        raise DeploymentError(
            f"The build has no {', '.join(missing)}, so nobody could end a shadow period: the project was created "
            f"without one. Write shadow.hours 0, or update the project with ShadowHours."
        )
    partition = build.partition
    variables = {
        "STEP": "compare",
        "PIPELINE_EXECUTION_ID": build.execution_id,
        "PACKAGE_ARN": context.package.arn,
    }
    # Universal target: the operation's own request (EventBridge Scheduler user guide, "Using universal targets").
    start = {
        "ProjectName": f"mlp-{build.project_id}-prod",
        "SourceTypeOverride": "S3",
        "SourceLocationOverride": source,
        "ArtifactsOverride": {"Type": "NO_ARTIFACTS"},
        "EnvironmentVariablesOverride": [
            {"Name": name, "Value": value, "Type": "PLAINTEXT"} for name, value in variables.items()
        ],
        "IdempotencyToken": build.execution_id,
    }
    return {
        "Name": f"mlp-{build.project_id}-{build.execution_id}"[:64],
        "GroupName": build.choices["SCHEDULE_GROUP"],
        "Description": f"Ends the shadow period of {context.package.arn}"[:512],
        "ScheduleExpression": f"at({moment:%Y-%m-%dT%H:%M:%S})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": f"arn:{partition}:scheduler:::aws-sdk:codebuild:startBuild",
            "RoleArn": build.choices["SCHEDULE_ROLE_ARN"],
            "Input": json.dumps(start),
            "DeadLetterConfig": {"Arn": build.choices["MISSED_STARTS_ARN"]},
            "RetryPolicy": {"MaximumRetryAttempts": 20, "MaximumEventAgeInSeconds": 3600},
        },
    }


def archive(root: Path) -> bytes:
    """Return the repository as an archive for the build that compares."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root)
            if path.is_file() and not _NOT_IN_ARCHIVE.intersection(relative.parts):
                target.write(path, relative.as_posix())
    return stream.getvalue()


# ---- the end --------------------------------------------------------------------------------------------------------


def finish(context: Context, *, pause: Pause = time.sleep, now: Callable[[], datetime] | None = None) -> None:
    """Compare the models and answer the approval; a shadow that may not take over is taken away first.

    Raises:
        DeploymentError: The comparison is not possible; the approval is answered with no all the same.
    """
    token = _approval(context, pause)
    current = current_deployment(context)
    period = shadow_template.period_of(current.template) if current else None
    own = period if period and period.execution == context.build.execution_id else None
    if token is None:
        print("nobody waits for this comparison any more")
        if own:
            drop(context, pause=pause)
        return
    if own is None:
        # Prod deploys next, which checks the approval again.
        _answer(context, token, approve=True, summary="There was nothing to compare with.")
        return
    try:
        packages.require_approved(context.hub("sagemaker"), context.package)
        comparison = _compare(context, own, (now or _now)())
        link = _publish(context, comparison, own)
    except Exception as err:
        drop(context, pause=pause)
        _answer(context, token, approve=False, summary=f"No comparison, the new model was taken away: {err}")
        raise
    summary = summarize(comparison)
    print(summary)
    if not comparison.passed:
        drop(context, pause=pause)
    _answer(context, token, approve=comparison.passed, summary=f"{summary} {link}")


def drop(context: Context, *, pause: Pause = time.sleep) -> None:
    """Take the shadow away; the model in place stays. Does nothing where there is none."""
    current = current_deployment(context)
    if current is None or shadow_template.period_of(current.template) is None:
        return
    print("taking the shadow away")
    _apply(context, shadow_template.without_shadow(current.template), current.parameters, pause)


def summarize(comparison: Comparison) -> str:
    """Return what a period showed in one sentence."""
    share = 100 * comparison.different / comparison.records if comparison.records else 0.0
    found = f"{comparison.requests} requests answered by both models, {share:.1f} percent of decisions differ"
    if comparison.passed:
        return f"The new model may take over: {found}."
    reasons = "; ".join(f"{check.name}: {check.detail}" for check in comparison.checks if not check.passed)
    return f"The new model was taken away: {reasons}."


def _approval(context: Context, pause: Pause) -> str | None:
    """Return the token of the approval that waits for this execution, or None if none waits."""
    build, client = context.build, context.hub("codepipeline")
    for attempt in range(_APPROVAL_TRIES):
        if attempt:
            pause(_APPROVAL_PAUSE_S)
        states = client.get_pipeline_state(name=build.pipeline_name)["stageStates"]
        stage: Mapping[str, Any] = next((entry for entry in states if entry["stageName"] == STAGE), {})
        latest = stage.get("latestExecution", {})
        if latest.get("pipelineExecutionId") != build.execution_id or latest.get("status") != "InProgress":
            return None
        actions = (entry for entry in stage["actionStates"] if entry["actionName"] == ACTION)
        action: Mapping[str, Any] = next(actions, {})
        execution = action.get("latestExecution", {})
        if execution.get("status") == "InProgress" and execution.get("token"):
            return str(execution["token"])
    return None


def _answer(context: Context, token: str, *, approve: bool, summary: str) -> None:
    context.hub("codepipeline").put_approval_result(
        pipelineName=context.build.pipeline_name,
        stageName=STAGE,
        actionName=ACTION,
        token=token,
        result={"status": "Approved" if approve else "Rejected", "summary": summary[:_SUMMARY_MAX]},
    )


def _compare(context: Context, period: Period, end: datetime) -> Comparison:
    begun = datetime.fromisoformat(period.begun)
    old, new = (list(_events(context, variant, begun, end)) for variant in (VARIANT, SHADOW))
    return compare(
        match(old, new),
        _measured(context, VARIANT, begun, end),
        _measured(context, SHADOW, begun, end),
        settings=context.settings["shadow"],
        max_error_percent=context.settings["alarms"]["max_error_percent"],
        like=load_samples(context).expected[0] if context.package.samples else None,
    )


def _events(context: Context, variant: str, begun: datetime, end: datetime) -> Iterator[Event]:
    """Yield what was captured of a variant in a period, the first `_MOST_EVENTS` requests."""
    build, s3 = context.build, context.target().client("s3")
    bucket = build.bucket(context.stage)
    left = _MOST_EVENTS
    hour = begun.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour <= end:
        prefix = f"capture/{build.endpoint(context.stage)}/{variant}/{hour:%Y/%m/%d/%H}/"
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                text = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read().decode(errors="replace")
                for event in parse(text.splitlines()):
                    if event.time < begun:
                        continue
                    if left == 0:
                        return
                    left -= 1
                    yield event
        hour += timedelta(hours=1)


def _measured(context: Context, variant: str, begun: datetime, end: datetime) -> Measured:
    """Return what CloudWatch knows of a variant, from hourly figures."""
    client = context.target().client("cloudwatch")

    def points(metric: str, **more: Any) -> list[dict[str, Any]]:
        answer = client.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[
                {"Name": "EndpointName", "Value": context.build.endpoint(context.stage)},
                {"Name": "VariantName", "Value": variant},
            ],
            StartTime=begun,
            EndTime=end,
            Period=3600,
            **more,
        )
        return list(answer["Datapoints"])

    requests, errors = (points(name, Statistics=["Sum"]) for name in ("Invocations", "Invocation5XXErrors"))
    latency = points("ModelLatency", Statistics=["Average", "SampleCount"])
    p99 = points("ModelLatency", ExtendedStatistics=["p99"])
    count = sum(point["SampleCount"] for point in latency)
    return Measured(
        requests=sum(point["Sum"] for point in requests) if requests else None,
        errors=sum(point["Sum"] for point in errors) if requests else None,
        # Microseconds (metrics of SageMaker in CloudWatch).
        latency_ms=sum(p["Average"] * p["SampleCount"] for p in latency) / count / 1000 if count else None,
        p99_ms=max(point["ExtendedStatistics"]["p99"] for point in p99) / 1000 if p99 else None,
    )


def _publish(context: Context, comparison: Comparison, period: Period) -> str:
    report = {
        "passed": comparison.passed,
        "summary": summarize(comparison),
        "period": asdict(period),
        **{name: value for name, value in asdict(comparison).items() if name != "pairs"},
    }
    return reports.publish(context, "shadow", report, page(context, comparison, period))


def page(context: Context, comparison: Comparison, period: Period) -> str:
    """Return the report for people."""
    package = context.package

    def shown(value: float | None, unit: str) -> str:
        return "not measured" if value is None else f"{value:,.4g} {unit}"

    rows = [
        [
            name,
            shown(figures.requests, "requests"),
            shown(figures.error_percent, "%"),
            shown(figures.latency_ms, "ms"),
            shown(figures.p99_ms, "ms"),
        ]
        for name, figures in (("in place", comparison.old), ("shadow", comparison.new))
    ]
    columns = ["model", "got", "server errors", "mean latency", "p99 of the slowest hour"]
    sections: list[dict[str, Any]] = [
        {"title": "What was compared", "checks": [asdict(check) for check in comparison.checks]},
        {"title": "Figures of both models", "table": {"columns": columns, "rows": rows}},
    ]
    if comparison.pairs:
        differences = [new - old for old, new in comparison.pairs]
        charts = [
            {
                "title": "Answers to the same records; on the line they are equal",
                "svg": plots.points(
                    {"records": comparison.pairs[:2000]}, x="model in place", y="new model", diagonal=True
                ),
            },
            {
                "title": "How far the new answers are from the old ones",
                "svg": plots.histogram(differences, x="new minus old", y="records"),
            },
        ]
        sections.append({"title": "Answers", "plots": charts})
    verdict = "may take over" if comparison.passed else "taken away"
    return reports.page(
        f"{package.group}, version {package.version}, as shadow: {verdict}",
        passed=comparison.passed,
        summary=summarize(comparison),
        facts={
            "Model package": period.package,
            "Since": period.begun,
            "Endpoint": context.build.endpoint(context.stage),
            "Records compared": f"{comparison.records:,}",
        },
        sections=sections,
    )


# ---- the stack ------------------------------------------------------------------------------------------------------


def current_deployment(context: Context) -> Deployment | None:
    """Return what is deployed to this build's stage, or None if there is nothing (that works)."""
    client = context.target().client("cloudformation")
    name = context.build.stack(context.stage)
    try:
        stack = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as err:
        if "does not exist" in str(err):
            return None
        raise
    if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"):
        return None
    body = client.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
    template = json.loads(body) if isinstance(body, str) else json.loads(json.dumps(body))
    outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs", [])}
    parameters = {entry["ParameterKey"]: entry["ParameterValue"] for entry in stack.get("Parameters", [])}
    return Deployment(template, parameters, outputs.get("PackageArn", ""))


def _apply(context: Context, template: Mapping[str, Any], parameters: Mapping[str, str], pause: Pause) -> None:
    """Change the stage's stack to a template."""
    build, stage, target = context.build, context.stage, context.target()
    base = stacks.outputs(target, build.base_stack(stage))
    stacks.apply(
        target,
        stacks.Stack(
            name=build.stack(stage),
            template=json.dumps(template, separators=(",", ":")),
            parameters=parameters,
            tags=build.tags(stage),
            role_arn=build.role_arn(stage, "execution"),
            bucket=build.bucket(stage),
            key_arn=base["KeyArn"],
        ),
        pause=pause,
    )


def prepare_update(context: Context, *, pause: Pause = time.sleep) -> None:
    """Make the stack ready for what was rendered: SageMaker refuses some updates of an endpoint as it is.

    A shadow goes first, in an update of its own: the new model takes over with guardrails, and those want the same
    variants before and after (`shadow_template`).

    Raises:
        DeploymentError: The endpoint cannot become what was rendered.
    """
    current = current_deployment(context)
    if current is None:
        return
    new = Rendered.read(context.rendered / context.stage, TEMPLATE).parameters
    if new["EndpointType"] == SERVERLESS != current.parameters.get("EndpointType", SERVERLESS):
        # https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
        raise DeploymentError(
            f"{context.build.endpoint(context.stage)} runs on instances, and SageMaker cannot make such an endpoint "
            f"serverless. Nothing was changed. Delete stack {context.build.stack(context.stage)} first, which takes "
            f"the endpoint away until the next deployment, or write endpoint_type: instance."
        )
    drop(context, pause=pause)
    template = shadow_template.without_scaling(shadow_template.without_shadow(current.template))
    if template and new["InstanceType"] != current.parameters.get("InstanceType"):
        # "Update endpoints that use auto scaling" in the developer guide: what scales keeps its instance type.
        print("another instance type: scaling pauses during the update")
        _apply(context, template, current.parameters, pause)


def _now() -> datetime:
    return datetime.now(UTC)
