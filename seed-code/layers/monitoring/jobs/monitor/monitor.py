"""Watch a deployed model: compare what its endpoint got and answered in a window with the baselines of its package.

Runs as a SageMaker processing job in the model's own image. Reads captured data, ground truth and the package from the
stage's bucket; writes ``monitoring/<endpoint>/yyyy/mm/dd/hh/report.json`` and ``report.html``, named by the last hour
of the window, CloudWatch metrics, and one event on the hub's bus when there are violations. A second run for the same
window writes the same report and raises no second event.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from monitoring import bias, capture, data_quality, explainability, model_quality, package, publish
from monitoring.package import Package
from monitoring.results import MonitorError, Result
from monitoring.storage import Storage
from monitoring.window import Window

SCHEDULED = "scheduled"
OUTPUT = Path("/opt/ml/output")
RETRIES = Config(retries={"mode": "standard", "max_attempts": 8})
MOST_MESSAGE_CHARACTERS = 1024  # ExitMessage of DescribeProcessingJob


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the monitors once."""
    options = parse(arguments)
    settings = json.loads(options.settings.read_text(encoding="utf-8"))
    window = Window.ending(options.started if options.end == SCHEDULED else options.end, settings["window_hours"])
    session = boto3.Session(region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"))
    storage = Storage(session.client("s3", config=RETRIES), settings["bucket"])
    origin = publish.Origin(settings["project"], settings["stage"], settings["endpoint"], settings["package"])
    with tempfile.TemporaryDirectory() as scratch:
        served = package.load(storage, settings["model"], settings["baselines"], Path(scratch))
        captured = capture.read(
            storage,
            origin.endpoint,
            window,
            served,
            most_records=settings["max_records"],
            lookback_hours=settings["model_quality"]["lookback_hours"],
            with_truth=settings["model_quality"]["enabled"] or settings["bias"]["enabled"],
        )
        results = run_monitors(captured, served, settings)
    report = make_report(origin, window, captured, results)
    for result in results:
        print(f"{result.monitor}: {result.verdict}. {result.reason}")
    folder = f"monitoring/{origin.endpoint}/{window.name}"
    publish.publish(session, storage, settings["bus_arn"], origin, window, results, report, folder)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the pipeline tells the job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="file, or folder of the one file, with settings")
    parser.add_argument(
        "--started", default=datetime.now(timezone.utc).isoformat(), help="start of the pipeline's execution"
    )
    parser.add_argument("--end", default=SCHEDULED, help="end of the window, default: the last full hour at the start")
    options = parser.parse_args(arguments)
    if options.settings.is_dir():
        (options.settings,) = options.settings.glob("*.json")
    return options


def run_monitors(captured: capture.Captured, served: Package, settings: dict[str, Any]) -> list[Result]:
    """Run the monitors that are switched on, on the same sample of records."""
    least, records = settings["min_records"], captured.records
    results = []
    if settings["data_quality"]["enabled"]:
        results.append(data_quality.check(records, served, least=least))
    if settings["model_quality"]["enabled"]:
        results.append(model_quality.check(captured.labelled, served, least=least, labels=captured.labels))
    if settings["bias"]["enabled"] and settings["bias"]["facets"]:
        results.append(bias.check(records, captured.labelled, served, settings["bias"], least=least))
    if settings["explainability"]["enabled"]:
        min_ndcg = settings["explainability"]["min_ndcg"]
        results.append(explainability.check(records, served, least=least, min_ndcg=min_ndcg))
    return results


def make_report(
    origin: publish.Origin, window: Window, captured: capture.Captured, results: Sequence[Result]
) -> dict[str, Any]:
    """Return the content of ``report.json``: nothing in it depends on when or how often the job runs."""
    return {
        **vars(origin),
        "window": {"start": window.start.isoformat(), "end": window.end.isoformat()},
        "records": {
            "captured": captured.seen,
            "sampled": len(captured.records),
            "unreadable": captured.unreadable,
            "examples": captured.examples,
        },
        "labels": {"arrived": captured.labels, "joined": len(captured.labelled)},
        "monitors": [result.to_dict() for result in results],
    }


if __name__ == "__main__":
    try:
        main()
    except MonitorError as err:
        if OUTPUT.is_dir() and os.access(OUTPUT, os.W_OK):
            (OUTPUT / "message").write_text(str(err)[:MOST_MESSAGE_CHARACTERS], encoding="utf-8")
        sys.exit(f"ERROR: {err}")
