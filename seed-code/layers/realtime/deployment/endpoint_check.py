"""The test of an endpoint before anybody is asked to approve: held-out records, latency, malformed requests."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from deployment import answers, deployed, plots, reports
from deployment.answers import CSV, JSON, Answer
from deployment.calls import Endpoint, Reply, Samples, load_samples, usual_type
from deployment.context import Context
from deployment.errors import DeploymentError
from deployment.packages import ModelPackage

_BATCH = 25
"""Records of one request: far below the 4 MB that serverless endpoints take (SageMaker quotas)."""
_WARM_UPS = 5
_QUALITY_TOLERANCE = 0.001
_MOST_EXAMPLES = 3
SUMMARY_MAX = 200  # CodePipeline shows it in the text of the approval


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        passed: Whether it is as it should be.
        detail: What was found.
    """

    name: str
    passed: bool
    detail: str


@dataclass
class Findings:
    """What a test found.

    Attributes:
        checks: Everything that was looked at.
        pairs: Expected and answered number of each record.
        latencies_ms: Of single records, in the order of the requests.
        compared: Records whose answers were compared, and how many agreed.
        refused: Malformed requests that were sent, and how many were refused.
        quality: Name of a measure, its value with the answers of training and with those of the endpoint.
    """

    checks: list[Check] = field(default_factory=list)
    pairs: list[tuple[float, float]] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    compared: tuple[int, int] = (0, 0)
    refused: tuple[int, int] = (0, 0)
    quality: tuple[str, float, float] | None = None

    @property
    def passed(self) -> bool:
        """Whether everything is as it should be."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        """What is not as it should be, one sentence each."""
        return [f"{check.name}: {check.detail}" for check in self.checks if not check.passed]

    def note(self, name: str, passed: bool, detail: str) -> None:
        """Add a check."""
        self.checks.append(Check(name, passed, detail))


def run(context: Context) -> None:
    """Test the endpoint of this build's stage, write the report, and tell the pipeline.

    Raises:
        DeploymentError: The endpoint is not as it should be; the report is written all the same.
    """
    samples, package = load_samples(context), context.package
    findings = examine(Endpoint.of(context), samples, context.settings["endpoint_test"], package.content_types)
    before = deployed.read(context)
    title, summary = headline(package, findings, before)
    link = reports.publish(
        context,
        "endpoint-test",
        report(context, package, findings, before, summary),
        page(context, package, findings, before, title, summary),
    )
    context.export(SUMMARY=summary, REPORT_URL=link)
    print(summary)
    if not findings.passed:
        raise DeploymentError(
            f"{title}:\n" + "\n".join(f"- {reason}" for reason in findings.reasons) + f"\nReport: {link}"
        )


def examine(
    endpoint: Endpoint, samples: Samples, limits: Mapping[str, Any], content_types: Sequence[str] = ()
) -> Findings:
    """Test an endpoint.

    Args:
        endpoint: The endpoint.
        samples: Held-out records.
        limits: Settings ``endpoint_test`` of the stage.
        content_types: What the package says it understands; nothing means everything.
    """
    findings = Findings()
    chosen = samples.first(limits["records"])
    usual = usual_type(content_types)
    if not _wake(endpoint, chosen, findings, usual):
        return findings
    for name, content_type in (("JSON", JSON), ("CSV", CSV)):
        if not content_types or content_type in content_types:
            _compare(endpoint, chosen, limits, findings, name, content_type)
    _measure(endpoint, samples, limits, findings, usual)
    _provoke(endpoint, samples, limits, findings, usual)
    return findings


def _wake(endpoint: Endpoint, samples: Samples, findings: Findings, usual: str) -> bool:
    """Send requests until one is answered: the first ones of a serverless endpoint wait for a machine."""
    reply = Reply(0, "", "", 0.0)
    for _ in range(_WARM_UPS):
        reply = endpoint.ask(samples.body(0, 1, usual), usual, usual)
        if reply.status == 200:
            break
    findings.note(
        "Answers",
        reply.status == 200,
        "the endpoint answers" if reply.status == 200 else f"{_WARM_UPS} requests, no answer: {_said(reply)}",
    )
    return reply.status == 200


def _compare(
    endpoint: Endpoint,
    samples: Samples,
    limits: Mapping[str, Any],
    findings: Findings,
    name: str,
    content_type: str,
) -> None:
    """Compare the answers with those of training."""
    bad_replies: list[str] = []
    wrong_form: list[str] = []
    different: list[str] = []
    found: dict[int, Answer] = {}
    total = len(samples.records)
    for start in range(0, total, _BATCH):
        end = min(start + _BATCH, total)
        reply = endpoint.ask(samples.body(start, end, content_type), content_type, content_type)
        try:
            if reply.status != 200:
                raise ValueError(_said(reply))
            batch = answers.parse(reply.text, content_type, samples.expected[start])
            if len(batch) != end - start:
                raise ValueError(f"{len(batch)} answers to {end - start} records")
        except ValueError as err:
            bad_replies.append(f"records {start + 1} to {end}: {err}")
            continue
        for number, answer in enumerate(batch, start=start):
            faults = list(answers.faults(answer, samples.expected[number]))
            if faults:
                wrong_form.append(f"the answer to record {number + 1} {faults[0]}")
                continue
            found[number] = answer
            if not answers.agrees(answer, samples.expected[number], limits["value_tolerance"]):
                different.append(f"record {number + 1}: {_short(answer)} instead of {_short(samples.expected[number])}")
    findings.note(f"{name} is answered", not bad_replies, _examples(bad_replies) or f"{total} records")
    findings.note(
        f"{name} answers have the right form, and finite numbers",
        not wrong_form and bool(found),
        _examples(wrong_form) or f"{len(found)} answers",
    )
    share = 100 * (total - len(found) + len(different)) / total
    findings.note(
        f"{name} answers are those of training",
        share <= limits["max_different_percent"],
        f"{len(found) - len(different)} of {total} agree within {limits['value_tolerance']:g}"
        + (f"; {_examples(different)}" if different else ""),
    )
    findings.compared = (findings.compared[0] + total, findings.compared[1] + len(found) - len(different))
    if not findings.pairs and found:
        _score(samples, found, findings)


def _score(samples: Samples, found: Mapping[int, Answer], findings: Findings) -> None:
    """Measure the answers against what was observed, as the evaluation did."""
    numbers = sorted(found)
    findings.pairs = [
        (answers.main_number(samples.expected[number]), answers.main_number(found[number])) for number in numbers
    ]
    actual = [samples.actual[number] for number in numbers]
    try:
        name, trained = answers.quality([samples.expected[number] for number in numbers], actual)
        _, reached = answers.quality([found[number] for number in numbers], actual)
    except ValueError:
        return  # an observation that is missing or no number: there is nothing to measure against
    findings.quality = (name, trained, reached)
    findings.note(
        "The metric is that of the evaluation",
        abs(trained - reached) <= _QUALITY_TOLERANCE * max(1.0, abs(trained)),
        f"{name} of these records {reached:.4g}, with the answers of training {trained:.4g}",
    )


def _measure(endpoint: Endpoint, samples: Samples, limits: Mapping[str, Any], findings: Findings, usual: str) -> None:
    """Measure the latency of single records."""
    failed: list[str] = []
    for number in range(limits["requests"]):
        at = number % len(samples.records)
        reply = endpoint.ask(samples.body(at, at + 1, usual), usual, usual)
        if reply.status == 200:
            findings.latencies_ms.append(1000 * reply.seconds)
        else:
            failed.append(_said(reply))
    findings.note(
        "Single records are answered", not failed, _examples(failed) or f"{limits['requests']} requests, no error"
    )
    for percent in (50, 90, 99):
        limit = limits[f"p{percent}_ms"]
        reached = percentile(findings.latencies_ms, percent)
        findings.note(f"Latency p{percent}", reached <= limit, f"{reached:.0f} ms, at most {limit:g} ms allowed")


def _provoke(endpoint: Endpoint, samples: Samples, limits: Mapping[str, Any], findings: Findings, usual: str) -> None:
    """Send what no client should send: it has to be refused, and must break nothing."""
    sent = refused = 0
    for name, body, content_type in malformed(samples):
        reply = endpoint.ask(body, content_type, JSON)
        passed = 400 <= reply.status < 500
        sent, refused = sent + 1, refused + passed
        verdict = f"refused with {reply.status}" if passed else f"not refused: {_said(reply)}"
        findings.note(f"Malformed: {name}", passed, verdict)
    findings.refused = (sent, refused)
    reply = endpoint.ask(samples.body(0, 1, usual), usual, usual)
    try:
        well = reply.status == 200 and answers.agrees(
            answers.parse(reply.text, usual, samples.expected[0])[0],
            samples.expected[0],
            max(limits["value_tolerance"], 1e-6),
        )
    except (ValueError, KeyError, IndexError, TypeError):
        well = False
    findings.note(
        "Answers after malformed requests as before",
        well or (limits["max_different_percent"] > 0 and reply.status == 200),
        "the same answer as before" if well else _said(reply),
    )


def malformed(samples: Samples) -> Iterator[tuple[str, str, str]]:
    """Yield malformed requests made of good records: what is wrong, body and content type."""
    yield "JSON that ends too early", samples.json(0, 1)[:-2], JSON
    yield "an unknown content type", samples.json(0, 1), "application/x-unknown"
    yield "CSV with a field too many", samples.csv(0, 1).rstrip("\n") + ",1,2,3\n", CSV
    yield "a list in place of a value", json.dumps([{name: [1, 2] for name in samples.records[0]}]), JSON
    yield "a header without a record", samples.csv(0, 0), CSV
    # In all columns of numbers: a model need not look at each, e.g. not at an identifier.
    numeric = [name for name in samples.columns if _is_numeric(samples, name)]
    if numeric:
        texts = dict.fromkeys(numeric, "not a number")
        yield "texts in place of numbers", json.dumps([{**samples.records[0], **texts}]), JSON


def _is_numeric(samples: Samples, column: str) -> bool:
    values = [record.get(column) for record in samples.records if record.get(column) is not None]
    return bool(values) and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of the values do not exceed; infinite without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.inf


# ---- the report -----------------------------------------------------------------------------------------------------


def headline(package: ModelPackage, findings: Findings, before: deployed.Deployed | None) -> tuple[str, str]:
    """Return title and summary of a test; the summary has at most `SUMMARY_MAX` characters."""
    verdict = "passed" if findings.passed else "failed"
    title = f"{package.group}, version {package.version}: {verdict}"
    parts = [f"Version {package.version} {verdict}", f"{_metric(package.metadata)} ({_against(before)})"]
    if findings.passed:
        parts += [
            f"{findings.compared[1]} of {findings.compared[0]} answers as in training",
            f"p99 {percentile(findings.latencies_ms, 99):.0f} ms",
            f"{findings.refused[1]} of {findings.refused[0]} malformed requests refused",
        ]
    else:
        names = dict.fromkeys(check.name.partition(":")[0] for check in findings.checks if not check.passed)
        more = f" and {len(names) - _MOST_EXAMPLES} more" if len(names) > _MOST_EXAMPLES else ""
        parts.append(f"not as it should be: {', '.join(list(names)[:_MOST_EXAMPLES])}{more}")
    summary = "; ".join(parts)
    return title, summary if len(summary) <= SUMMARY_MAX else f"{summary[: SUMMARY_MAX - 1]}…"


def _metric(metadata: Mapping[str, str]) -> str:
    name, value = metadata.get("metric"), metadata.get("metric_value")
    return f"{name} {_number(value)}" if name and value else "metric unknown"


def _number(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def _against(before: deployed.Deployed | None) -> str:
    if before is None:
        return "nothing is in prod yet"
    return f"prod now: version {before.version}, {_metric(before.metadata)}"


def report(
    context: Context, package: ModelPackage, findings: Findings, before: deployed.Deployed | None, summary: str
) -> dict[str, Any]:
    """Return the report for programs."""
    return {
        "passed": findings.passed,
        "summary": summary,
        "stage": context.stage,
        "endpoint": context.build.endpoint(context.stage),
        "package": {"arn": package.arn, "version": package.version, "metadata": dict(package.metadata)},
        "production": asdict(before) if before else None,
        "checks": [asdict(check) for check in findings.checks],
        "latency_ms": {
            f"p{percent}": percentile(findings.latencies_ms, percent)
            for percent in (50, 90, 99)
            if findings.latencies_ms
        },
        "quality": dict(zip(("metric", "training", "endpoint"), findings.quality, strict=True))
        if findings.quality
        else None,
    }


def page(
    context: Context,
    package: ModelPackage,
    findings: Findings,
    before: deployed.Deployed | None,
    title: str,
    summary: str,
) -> str:
    """Return the report for people."""
    settings, place = context.settings, context.build.places[context.stage]
    kind = settings["endpoint_type"]
    machine = f"{settings['instances']['least']} of {settings['instances']['type']}" if kind == "instance" else kind
    facts = {
        "Model package": package.arn,
        "Approved by": package.approved_by,
        "Evaluated": _metric(package.metadata),
        "In prod now": _against(before).removeprefix("prod now: "),
        "Endpoint": f"{context.build.endpoint(context.stage)} ({machine})",
        "Place": f"{context.stage}: account {place.account}, {place.region}",
    }
    sections: list[dict[str, Any]] = []
    if not findings.passed:
        sections.append(
            {
                "title": "Why it failed",
                "checks": [asdict(check) for check in findings.checks if not check.passed],
            }
        )
    if before:
        sections.append(_comparison(package, before))
    charts = _charts(findings, settings["endpoint_test"])
    if charts:
        sections.append({"title": "What it answered", "plots": charts})
    sections.append({"title": "Everything that was checked", "checks": [asdict(check) for check in findings.checks]})
    return reports.page(title, passed=findings.passed, summary=summary, facts=facts, sections=sections)


def _comparison(package: ModelPackage, before: deployed.Deployed) -> dict[str, Any]:
    rows = [
        ["Version", before.version, package.version],
        ["Evaluated", _metric(before.metadata), _metric(package.metadata)],
        ["Deployed to prod", before.at, "not yet"],
        ["Package", before.arn, package.arn],
    ]
    return {
        "title": "Against what runs in prod now",
        "table": {"columns": ["", "in prod now", "this one"], "rows": rows},
    }


def _charts(findings: Findings, limits: Mapping[str, Any]) -> list[dict[str, str]]:
    charts = []
    if findings.pairs:
        charts.append(
            {
                "title": "Every record: on the line, the endpoint answers as in training",
                "svg": plots.points(
                    {"records": findings.pairs}, x="answer in training", y="answer of the endpoint", diagonal=True
                ),
            }
        )
        charts.append(
            {
                "title": "Answers of the endpoint",
                "svg": plots.histogram([got for _, got in findings.pairs], x="answer", y="records"),
            }
        )
    if findings.latencies_ms:
        charts.append(
            {
                "title": f"Latency of {len(findings.latencies_ms)} single records",
                "svg": plots.histogram(findings.latencies_ms, x="milliseconds, network included", y="requests"),
            }
        )
        charts.append(
            {
                "title": "Latency and its limits",
                "svg": plots.bars(
                    {
                        f"p{percent}{name}": value
                        for percent in (50, 90, 99)
                        for name, value in (
                            ("", percentile(findings.latencies_ms, percent)),
                            (" limit", float(limits[f"p{percent}_ms"])),
                        )
                    },
                    x="percentile",
                    y="milliseconds",
                ),
            }
        )
    return charts


def _said(reply: Reply) -> str:
    text = " ".join(reply.text.split())
    return f"{reply.status or 'no connection'}: {text[:200]}{'…' if len(text) > 200 else ''}"


def _short(answer: Answer) -> str:
    text = json.dumps(answer, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _examples(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _MOST_EXAMPLES} more" if len(texts) > _MOST_EXAMPLES else ""
    return "; ".join(texts[:_MOST_EXAMPLES]) + more
