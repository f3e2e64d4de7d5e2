"""Where results go: the report, CloudWatch metrics, and one event per window on the hub's bus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from monitoring import page
from monitoring.results import DATA_QUALITY, MonitorError, Result
from monitoring.storage import Storage
from monitoring.window import Window

NAMESPACE = "ml-platform/Models"
SOURCE, DETAIL_TYPE = "ml-platform", "Model drift detected"
MOST_FEATURE_METRICS = 20
MOST_METRICS_PER_CALL = 1_000  # PutMetricData
OLDEST_METRIC = timedelta(days=14)  # PutMetricData refuses older ones
MOST_DETAIL_BYTES = 240_000  # an entry of PutEvents has at most 256 KB, with source, detail type and bus
PAUSES_S = (1, 2, 4, 8, 16)
CLAIM_LASTS = timedelta(minutes=5)
CONFLICTS = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


@dataclass(frozen=True)
class Origin:
    """Which model was looked at.

    Attributes:
        project: Name of the deployment project.
        stage: ``test`` or ``prod``.
        endpoint: Name of the endpoint, or of the batch pipeline.
        package: ARN of the model package.
    """

    project: str
    stage: str
    endpoint: str
    package: str


def publish(
    session: Any,
    storage: Storage,
    bus_arn: str,
    origin: Origin,
    window: Window,
    results: Sequence[Result],
    report: Mapping[str, Any],
    folder: str,
) -> None:
    """Write the report, send the metrics, and raise the event if there is anything to raise one for.

    Args:
        session: Makes clients of AWS.
        storage: Bucket of the stage.
        bus_arn: Event bus of the hub.
        origin: Which model was looked at.
        window: When.
        results: What the monitors said.
        report: Content of ``report.json``.
        folder: Prefix of the report in the bucket, without slash at the end.

    Raises:
        MonitorError: The event could not be delivered; the report is written all the same.
    """
    storage.put(f"{folder}/report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n", "application/json")
    storage.put(f"{folder}/report.html", page.render(report), "text/html; charset=utf-8")
    report_uri = f"s3://{storage.bucket}/{folder}/report.html"
    print(f"Report: {report_uri}")
    config = Config(retries={"mode": "standard", "max_attempts": 8})
    if not put_metrics(
        session.client("cloudwatch", config=config), origin, window, results, datetime.now(timezone.utc)
    ):
        print("The window is older than two weeks, which CloudWatch does not take: no metrics.")
    if any(result.violations for result in results):
        detail = drift_detail(folder.removeprefix("monitoring/"), origin, window, results, report_uri)
        # The bus is the hub's: its region is that of its ARN, which need not be the one of this job.
        client = session.client("events", region_name=bus_arn.split(":")[3], config=config)
        sent = raise_event(client, storage, bus_arn, f"{folder}/event.json", detail)
        print("Drift event sent." if sent else "The drift event of this window was sent before.")


def put_metrics(client: Any, origin: Origin, window: Window, results: Sequence[Result], now: datetime) -> bool:
    """Send the metrics of a run; False when the window is too old for CloudWatch.

    ``Violations`` and ``Records`` per monitor; ``Distance`` of the columns that differ most, `MOST_FEATURE_METRICS` at
    most, because every column is a metric that costs money.
    """
    if now - window.end > OLDEST_METRIC:
        return False
    data = list(_metrics(origin, window, results))
    for start in range(0, len(data), MOST_METRICS_PER_CALL):
        client.put_metric_data(Namespace=NAMESPACE, MetricData=data[start : start + MOST_METRICS_PER_CALL])
    return True


def _metrics(origin: Origin, window: Window, results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    for result in results:
        dimensions = {"Endpoint": origin.endpoint, "Monitor": result.monitor}
        for name, value in (("Violations", len(result.violations)), ("Records", result.records)):
            yield _datum(name, value, dimensions, window, "Count")
        if result.monitor == DATA_QUALITY:
            distances = {
                name: measured["distance"]
                for name, measured in result.details.get("features", {}).items()
                if "distance" in measured
            }
            largest = sorted(distances, key=lambda name: (-distances[name], name))[:MOST_FEATURE_METRICS]
            for name in largest:
                # A dimension's value has at most 255 characters, of ASCII, and is not empty.
                feature = name.encode("ascii", "backslashreplace").decode()[:255].strip() or "?"
                yield _datum("Distance", distances[name], dimensions | {"Feature": feature}, window, "None")


def _datum(name: str, value: float, dimensions: dict[str, str], window: Window, unit: str) -> dict[str, Any]:
    return {
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": text} for key, text in dimensions.items()],
        "Timestamp": window.end,
        "Value": value,
        "Unit": unit,
    }


def drift_detail(
    id_: str, origin: Origin, window: Window, results: Sequence[Result], report_uri: str
) -> dict[str, Any]:
    """Return the detail of the event: the violations, largest first, as many as fit, and how many more there are."""
    found = [
        {"monitor": result.monitor} | {key: value for key, value in asdict(violation).items() if key != "description"}
        for result in results
        for violation in result.violations
    ]
    found.sort(key=lambda entry: (-entry["size"], entry["monitor"], entry["metric"], entry["feature"]))
    detail: dict[str, Any] = {
        "id": id_,
        **asdict(origin),
        "window": {"start": window.start.isoformat(), "end": window.end.isoformat()},
        "results": [],
        "omitted": len(found),
        "report": report_uri,
    }
    size = len(json.dumps(detail).encode())
    for entry in found:
        size += len(json.dumps(entry).encode()) + 2
        if size > MOST_DETAIL_BYTES:
            break
        detail["results"].append(entry)
    detail["omitted"] = len(found) - len(detail["results"])
    return detail


def raise_event(client: Any, storage: Storage, bus_arn: str, marker_key: str, detail: dict[str, Any]) -> bool:
    """Put the event unless that was done for this window before; False when it was.

    A marker object says so. It is claimed before the event and confirmed after it, both with S3's conditional writes,
    so two runs at once send one event. Only a run that dies between event and confirmation leaves a second one
    possible, with the same ``id`` in its detail.

    Raises:
        MonitorError: The bus did not take the event, or another run is about to send it.
    """
    claim = _claim(storage, marker_key)
    if claim is None:
        return False
    entry = {
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Detail": json.dumps(detail),
        "EventBusName": bus_arn,
        "Resources": [detail["package"]],
    }
    try:
        event_id = _put(client, entry, detail["window"]["end"])
    except Exception:
        storage.put_if(marker_key, json.dumps({"state": "failed"}), claim)  # so that the next run sends it
        raise
    storage.put_if(marker_key, json.dumps({"state": "sent", "event": event_id}), claim)
    return True


def _put(client: Any, entry: dict[str, Any], window_end: str) -> str:
    """Put an event and return its id; one that the bus does not take is tried again for half a minute."""
    for pause_s in PAUSES_S:
        answer = client.put_events(Entries=[entry])
        if not answer["FailedEntryCount"]:
            return str(answer["Entries"][0]["EventId"])
        time.sleep(pause_s)
    failed = answer["Entries"][0]
    raise MonitorError(
        f"The bus {entry['EventBusName']} did not take the drift event: {failed.get('ErrorCode')}: "
        f"{failed.get('ErrorMessage')} Nobody was notified of the violations in the report. "
        f"Start the pipeline again with the parameter End set to the end of the window, {window_end}."
    )


def _claim(storage: Storage, key: str) -> str | None:
    """Return the ETag of the marker once it is claimed by this run, None when the event was sent already."""
    claimed = json.dumps({"state": "sending"})
    try:
        return storage.put_if(key, claimed, None)
    except ClientError as err:
        if err.response["Error"]["Code"] not in CONFLICTS:
            raise
    content, etag, changed = storage.versioned(key)
    if content.get("state") == "sent":
        return None
    if content.get("state") == "sending" and datetime.now(timezone.utc) - changed < CLAIM_LASTS:
        raise MonitorError(
            "Another run for the same window is sending the drift event right now, or has died doing so. Look at its "
            "log; if it failed, start the pipeline again in five minutes with the same End."
        )
    return storage.put_if(key, claimed, etag)
