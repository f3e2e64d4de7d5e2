"""The test of what was deployed: a real run on held-out records, whose predictions are known from training."""

from __future__ import annotations

import csv
import io
import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deployment import copying, reports
from deployment.context import Context
from deployment.errors import DeploymentError

_POLL_S = 10.0
_WAIT_S = 7 * 3600.0  # a build may take eight hours
_MOST_SHOWN = 20


@dataclass(frozen=True)
class Check:
    """One statement about the run, and whether it is true."""

    name: str
    passed: bool
    detail: str


def run(context: Context, *, name: str, bad_rows: bool, pause: Callable[[float], None] = time.sleep) -> None:
    """Run the pipeline of this build's stage on held-out records and report.

    Args:
        context: Of the step.
        name: Name of the report, ``batch-test`` or ``smoke-test``.
        bad_rows: Whether rows that cannot be scored are put among them, which the run has to set aside.
        pause: Waits for some seconds.

    Raises:
        DeploymentError: The run failed, or its predictions are not what they have to be.
    """
    build, settings = context.build, context.settings["batch_test"]
    s3, bucket = context.target().client("s3"), build.bucket(context.stage)
    records, expected = _samples(context, s3, bucket, settings["records"])
    token = uuid.uuid4().hex[:12]
    prefix = f"batch/tests/{build.execution_id}-{token}/"
    text, bad_lines = _csv(records, bad_rows=bad_rows)
    s3.put_object(Bucket=bucket, Key=f"{prefix}records.csv", Body=text.encode(), ContentType="text/csv")
    started = time.monotonic()
    execution = _execute(context, f"s3://{bucket}/{prefix}", pause)
    seconds = time.monotonic() - started
    manifest = _json(s3, bucket, f"batch/run={execution}/_manifest.json")
    predictions = {entry["line"]: entry for entry in _lines(s3, bucket, f"batch/run={execution}/part-")}
    rejected = {entry["line"]: entry["reason"] for entry in _lines(s3, bucket, f"batch/{execution}/rejected/")}
    different = _different(expected, predictions, settings["value_tolerance"])
    checks = [
        Check(
            "Every row is accounted for",
            manifest["rows"] == len(records) + len(bad_lines)
            and manifest["predictions"] + manifest["rejected"] == manifest["rows"],
            f"{manifest['rows']} rows, {manifest['predictions']} predictions, {manifest['rejected']} set aside",
        ),
        Check(
            "Bad rows, and no others, are set aside with a reason",
            set(rejected) == set(bad_lines) and all(rejected.values()),
            "; ".join(f"line {line}: {rejected.get(line, 'not set aside')}" for line in bad_lines) or "none sent",
        ),
        Check(
            "Predictions equal those of training",
            100 * len(different) <= settings["max_different_percent"] * len(expected),
            f"{len(expected) - len(different)} of {len(expected)} within {settings['value_tolerance']:g}",
        ),
    ]
    passed = all(check.passed for check in checks)
    summary = (
        f"{'Passed' if passed else 'FAILED'}: {manifest['predictions']} predictions of {manifest['rows']} rows in "
        f"{seconds:.0f} s, {len(different)} different from training, {manifest['rejected']} bad rows set aside"
    )
    report = {
        "passed": passed,
        "summary": summary,
        "stage": context.stage,
        "package": context.package.arn,
        "run": execution,
        "seconds": seconds,
        "manifest": manifest,
        "checks": [vars(check) for check in checks],
        "different": different[:_MOST_SHOWN],
    }
    link = reports.publish(context, f"{name}-{context.stage}", report, _page(context, name, report))
    context.export(SUMMARY=summary, REPORT_URL=link)
    print(summary)
    if not passed:
        failed = "; ".join(f"{check.name}: {check.detail}" for check in checks if not check.passed)
        raise DeploymentError(
            f"The batch run in {context.stage} did not do what it has to: {failed}. The report says more: {link}"
        )


def _samples(context: Context, s3: Any, bucket: str, most: int) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """Return held-out records and what is expected for them, from the copy of the package in the stage's bucket.

    Raises:
        DeploymentError: The package brought none.
    """
    samples = copying.located(context.package, bucket).samples
    if not samples:
        raise DeploymentError(
            f"{context.package.arn} has no held-out records (customer metadata `samples`), so nothing can be tested. "
            f"Register the model with them, as the training project does."
        )
    folder = copying.split(samples)[1].rstrip("/")
    # Their CSV, unlike their JSON, has the numbers as the columns of the data set are written.
    text = s3.get_object(Bucket=bucket, Key=f"{folder}/records.csv")["Body"].read().decode()
    records = list(itertools.islice(csv.DictReader(io.StringIO(text, newline="")), most))
    expected = [entry["expected"] for entry in _object_lines(s3, bucket, f"{folder}/expected.jsonl")][:most]
    if not records or len(records) != len(expected):
        raise DeploymentError(
            f"{samples} of {context.package.arn} holds {len(records)} records and {len(expected)} expected answers, "
            f"so nothing can be compared. Register the model again."
        )
    return records, expected


def _csv(records: list[dict[str, str]], *, bad_rows: bool) -> tuple[str, list[int]]:
    """Return records as CSV, and the lines of rows that were put behind them and cannot be scored."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    for record in records:
        # A line break within a value would move all lines after it.
        cells = (value if value.isprintable() else " ".join(value.split()) for value in record.values())
        writer.writerow(dict(zip(record, cells, strict=True)))
    if not bad_rows:
        return stream.getvalue(), []
    stream.write("cut off\n")  # fewer fields than the header has
    stream.write(",".join(["one"] * (len(records[0]) + 1)) + "\n")
    return stream.getvalue(), [len(records) + 2, len(records) + 3]


def _execute(context: Context, uri: str, pause: Callable[[float], None]) -> str:
    """Run the pipeline and return the id of the execution.

    Raises:
        DeploymentError: The run failed, or takes too long.
    """
    client = context.target().client("sagemaker")
    pipeline = f"mlp-{context.build.tag(context.stage)}-batch"
    arn = client.start_pipeline_execution(
        PipelineName=pipeline,
        # Nobody is to be told that test records differ from real ones, and the bad rows are ours.
        PipelineParameters=[
            {"Name": "Input", "Value": uri},
            {"Name": "MaxBadPercent", "Value": "100"},
            {"Name": "Monitors", "Value": "off"},
        ],
        ClientRequestToken=uuid.uuid4().hex,
    )["PipelineExecutionArn"]
    print(f"{arn} reads {uri}", flush=True)
    waited = 0.0
    while True:
        found = client.describe_pipeline_execution(PipelineExecutionArn=arn)
        if found["PipelineExecutionStatus"] == "Succeeded":
            return str(arn).rsplit("/", 1)[-1]
        if found["PipelineExecutionStatus"] in ("Failed", "Stopped") or waited >= _WAIT_S:
            steps = client.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
            reasons = [f"{step['StepName']}: {step['FailureReason']}" for step in steps if step.get("FailureReason")]
            raise DeploymentError(
                f"The batch run {arn} is {found['PipelineExecutionStatus']} after {waited:.0f} s. "
                f"{' '.join(reasons) or found.get('FailureReason', 'SageMaker gives no reason.')}"
            )
        pause(_POLL_S)
        waited += _POLL_S


def _different(
    expected: list[dict[str, Any]], predictions: Mapping[int, Mapping[str, Any]], tolerance: float
) -> list[dict[str, Any]]:
    """Return where predictions are not what is expected; record *i* stands in line *i* + 2, below the header."""
    found = []
    for number, wanted in enumerate(expected):
        predicted = predictions.get(number + 2, {})
        if not _agree(wanted, {key: predicted.get(key) for key in wanted}, tolerance):
            found.append({"line": number + 2, "expected": wanted, "predicted": dict(predicted)})
    return found


def _agree(wanted: Any, found: Any, tolerance: float) -> bool:
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_agree(wanted[key], found.get(key), tolerance) for key in wanted)
    if isinstance(wanted, (int, float)) and isinstance(found, (int, float)):
        return abs(wanted - found) <= tolerance * max(1.0, abs(wanted))
    return bool(wanted == found)


def _lines(s3: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            yield from _object_lines(s3, bucket, entry["Key"])


def _object_lines(s3: Any, bucket: str, key: str) -> Iterator[dict[str, Any]]:
    for line in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_lines():
        if line.strip():
            yield json.loads(line)


def _json(s3: Any, bucket: str, key: str) -> dict[str, Any]:
    content: dict[str, Any] = json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
    return content


def _page(context: Context, name: str, report: Mapping[str, Any]) -> str:
    manifest = report["manifest"]
    sections: list[dict[str, Any]] = [{"title": "Checks", "checks": report["checks"]}]
    if report["different"]:
        rows = [
            [entry["line"], json.dumps(entry["expected"]), json.dumps(entry["predicted"])]
            for entry in report["different"]
        ]
        table = {"columns": ["line", "expected", "predicted"], "rows": rows}
        sections.append({"title": "Other predictions than in training", "table": table})
    if manifest["reasons"]:
        rows = [[reason, count] for reason, count in manifest["reasons"].items()]
        sections.append({"title": "Rows set aside", "table": {"columns": ["reason", "rows"], "rows": rows}})
    return reports.page(
        f"{name.replace('-', ' ').capitalize()} of {context.build.project_name} in {context.stage}",
        passed=report["passed"],
        summary=report["summary"],
        facts={
            "Model": context.package.arn,
            "Run": report["run"],
            "Duration": f"{report['seconds']:.0f} s",
            "Rows": manifest["rows"],
            "Predictions": manifest["predictions"],
            "Set aside": manifest["rejected"],
        },
        sections=sections,
    )
