"""Production: the endpoint, its answers, and records unlike those it was trained with, which its monitor finds."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any, Final

from products.shared import names
from rehearsal.audit_records import audit_records
from rehearsal.code_pipelines import await_execution, build_logs, causes, pipeline_of, tag_of
from rehearsal.deployment_steps import reports_folder, reports_uri
from rehearsal.mailboxes import listen, make_queue, received
from rehearsal.organization import HUB, PROD, REGION, Credentials, RehearsalError, wait_for
from rehearsal.training_steps import await_pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rehearsal.world import World

_MAILBOX: Final = "mails-about-drift"
_EVENTS: Final = "events-about-drift"
_SHOWN: Final = 4
_BATCH: Final = 50
_TIMEOUT_S: Final = 120.0


def deploy_to_production(world: World) -> str:
    """Wait for the rest of the pipeline: production, smoke test, model card."""
    codepipeline, name = world.client("codepipeline", world.governance_officer), pipeline_of(world)
    ended = await_execution(world, codepipeline, name, world.execution)
    if ended["status"] != "Succeeded":
        raise RehearsalError(
            f"{name} is {ended['status']} after the approval:\n  "
            + "\n  ".join(causes(codepipeline, name))
            + f"\n{build_logs(world, codepipeline, name)}"
        )
    sagemaker = world.client("sagemaker", Credentials.administrator(PROD))
    endpoint = sagemaker.describe_endpoint(EndpointName=_endpoint(world))
    (variant, *_) = endpoint["ProductionVariants"]
    world.facts.deployment["prod"] = {
        "endpoint": endpoint["EndpointName"],
        "status": endpoint["EndpointStatus"],
        "configuration": endpoint["EndpointConfigName"],
        "instances": variant.get("CurrentInstanceCount"),
        "capture": endpoint.get("DataCaptureConfig", {}),
        "card": _card(world),
    }
    decisions = wait_for(
        lambda: _decisions(world), overdue="the officer's decision has no audit record", timeout_s=_TIMEOUT_S
    )
    world.facts.deployment["decisions"] = decisions
    on_record = ", ".join(record["place"] for record in decisions)
    return (
        f"{endpoint['EndpointName']} {endpoint['EndpointStatus']}, smoke test passed, model card exported; "
        f"decisions on record: {on_record}"
    )


def _decisions(world: World) -> list[dict[str, Any]] | None:
    """Return the audit records about the model as the governance officer reads them; None while one is missing."""
    records = audit_records(world, world.governance_officer)
    about = world.facts.promotion["package"]["ModelPackageArn"]
    found = sorted((r for r in records if r["hub_package"] == about), key=lambda record: str(record["at"]))
    return found if {"development", "hub", "production"} <= {record["place"] for record in found} else None


def _endpoint(world: World) -> str:
    return world.deployment.outputs["ProdEndpointName"]


def _card(world: World) -> str:
    """Keep the exported model card, and return its path beside the report."""
    place = f"{reports_uri(world)}/model-card"
    found = [uri for uri in world.uris(world.governance_officer, place) if uri.endswith(".pdf")]
    if not found:
        raise RehearsalError(f"the model card was not exported to {place}")
    path = reports_folder(world) / "model-card.pdf"
    path.write_bytes(world.read(world.governance_officer, found[0]))
    return str(path.relative_to(world.work))


# ---- answers --------------------------------------------------------------------------------------------------------


def predict(world: World) -> str:
    """Ask the production endpoint about records that the model has not seen."""
    records = _held_out(world)[:_SHOWN]
    answers = _invoke(world, records)
    world.facts.predictions = [
        {"record": record, "answer": answer} for record, answer in zip(records, answers, strict=True)
    ]
    return f"{len(records)} records answered: {'; '.join(_short(answer) for answer in answers)}"


def _held_out(world: World) -> list[dict[str, Any]]:
    """Return the raw records that the model's package brings along for tests."""
    uri = world.facts.promotion["package"]["CustomerMetadataProperties"]["samples"].rstrip("/")
    lines = world.read(Credentials.administrator(HUB), f"{uri}/records.jsonl").decode()
    return [json.loads(line) for line in lines.splitlines() if line.strip()]


def _invoke(world: World, records: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Ask the production endpoint, as an application of that account does."""
    runtime = world.client("sagemaker-runtime", Credentials.administrator(PROD))
    answer = runtime.invoke_endpoint(
        EndpointName=_endpoint(world),
        Body=json.dumps(list(records)).encode(),
        ContentType="application/json",
        Accept="application/json",
    )
    found = json.loads(answer["Body"].read())
    answers: list[Any] = found["predictions"] if isinstance(found, dict) else found
    return answers


def _short(answer: Any) -> str:  # noqa: ANN401 - an answer is a number, or has a label and scores
    if isinstance(answer, dict):
        score = answer.get("score", answer.get("value"))
        named = {"label": answer.get("label"), "score": None if score is None else _short(score)}
        return ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)
    return f"{answer:.3f}" if isinstance(answer, float) else json.dumps(answer)


# ---- drift ----------------------------------------------------------------------------------------------------------


def send_drifted_records(world: World) -> str:
    """Send records as they could come after a change elsewhere: other units, other codes."""
    records = _held_out(world)
    ranges = _ranges(records)
    drifted = [_drifted(record, ranges) for record in records]
    for start in range(0, len(drifted), _BATCH):
        _invoke(world, drifted[start : start + _BATCH])
    sample = {key: value for key, value in drifted[0].items() if value != records[0].get(key)}
    world.facts.drift["sent"] = {
        "count": len(drifted),
        "columns": sorted(sample),
        "before": records[0],
        "after": sample,
    }
    return f"{len(drifted)} records, {len(sample)} of {len(records[0])} columns changed"


def _number(value: Any) -> float | None:  # noqa: ANN401 - a field of a record
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _ranges(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the width of the values of every column of numbers."""
    columns: dict[str, list[float]] = {}
    for record in records:
        for key, value in record.items():
            number = _number(value)
            if number is not None:
                columns.setdefault(key, []).append(number)
    most = len(records) // 2
    return {key: max(found) - min(found) for key, found in columns.items() if len(found) > most}


def _drifted(record: Mapping[str, Any], ranges: Mapping[str, float]) -> dict[str, Any]:
    """Shift every number beyond what was seen, and use an unknown value for every text that is not a date."""
    changed: dict[str, Any] = {}
    for key, value in record.items():
        number = _number(value)
        if number is not None and key in ranges:
            shifted = number + ranges[key] + 1
            changed[key] = (
                int(shifted) if isinstance(value, int) else (shifted if not isinstance(value, str) else f"{shifted:g}")
            )
        elif isinstance(value, str) and value and not _is_date(value):
            changed[key] = "unheard-of"
        else:
            changed[key] = value
    return changed


def _is_date(text: str) -> bool:
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def detect_drift(world: World) -> str:
    """Start the monitor as its schedule would, and wait until the hub's topic reports drift."""
    topic = f"arn:aws:sns:{REGION}:{HUB}:{names.DRIFT_TOPIC}"
    listen(world, topic, _MAILBOX)
    _catch_events(world)
    prod = Credentials.administrator(PROD)
    sagemaker, pipeline = (
        world.client("sagemaker", prod),
        f"{names.PROJECT_RESOURCE_PREFIX}{tag_of(world, 'prod')}-monitor",
    )
    # A run analyses full hours; the records came in this one, so it gets the start of the next one as its time.
    end = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    arn = sagemaker.start_pipeline_execution(
        PipelineName=pipeline, PipelineParameters=[{"Name": "End", "Value": end.isoformat(timespec="seconds")}]
    )["PipelineExecutionArn"]
    await_pipeline(world, sagemaker, arn)
    mail = wait_for(
        lambda: next((n["Message"] for n in received(world, _MAILBOX) if _endpoint(world) in n["Message"]), None),
        overdue="the monitor ended without an event about drift in the hub",
        timeout_s=30,
    )
    event = wait_for(
        lambda: next((e for e in received(world, _EVENTS) if e["detail"]["endpoint"] == _endpoint(world)), None),
        overdue="the bus got no event about drift",
        timeout_s=30,
    )
    detail = event["detail"]
    (reports_folder(world) / "monitor.html").write_bytes(world.read(prod, detail["report"]))
    world.facts.drift |= {"mail": mail.strip('"'), "detail": detail}
    worst = detail["results"][0]
    return (
        f"{len(detail['results']) + detail['omitted']} findings, the largest: {worst['monitor']} {worst['metric']} "
        f"{worst['feature'] or ''} {worst['size']:.3g}"
    )


def _catch_events(world: World) -> None:
    """Subscribe a queue of the hub to the drift events on its bus, as an operator does who wants to act on them."""
    events, arn = world.client("events", Credentials.administrator(HUB)), make_queue(world, _EVENTS, "events")
    pattern = {"source": [names.DRIFT_SOURCE], "detail-type": [names.DRIFT_EVENT]}
    rule = {"Name": _EVENTS, "EventBusName": names.HUB_EVENT_BUS}
    events.put_rule(**rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=_EVENTS, EventBusName=names.HUB_EVENT_BUS, Targets=[{"Id": "queue", "Arn": arn}])
