"""The endpoint test against endpoints that are good, wrong, slow, careless and broken."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from deployment import endpoint_check, packages, smoke_check
from deployment import local as made_up
from deployment.calls import parse_samples
from deployment.deployed import Deployed
from deployment.endpoint_check import Findings, examine, headline
from deployment.errors import DeploymentError

from .conftest import Project, Runtime, make_samples, score

LIMITS = {
    "records": 40,
    "value_tolerance": 1e-6,
    "max_different_percent": 0.0,
    "requests": 100,
    "p50_ms": 50.0,
    "p90_ms": 100.0,
    "p99_ms": 500.0,
}


def failed(findings: Findings) -> set[str]:
    return {check.name for check in findings.checks if not check.passed}


def test_a_good_endpoint_passes() -> None:
    findings = examine(Runtime().endpoint, make_samples(), LIMITS)
    assert findings.reasons == []
    assert findings.compared == (80, 80)
    assert findings.refused == (6, 6)
    assert len(findings.latencies_ms) == 100
    assert findings.quality == ("accuracy", 1.0, 1.0)


def test_scores_of_another_model_fail_in_every_format_and_say_which_record() -> None:
    findings = examine(Runtime(lambda age: {**score(age), "score": age / 90}).endpoint, make_samples(), LIMITS)
    assert {"JSON answers are those of training", "CSV answers are those of training"} <= failed(findings)
    assert "record 1: " in " ".join(findings.reasons)
    assert "0 of 40 agree" in " ".join(findings.reasons)


def test_a_small_difference_within_the_tolerance_is_no_difference() -> None:
    runtime = Runtime(lambda age: {**score(age), "score": age / 100 + 1e-8})
    assert examine(runtime.endpoint, make_samples(), LIMITS).passed


def test_another_label_changes_the_metric() -> None:
    findings = examine(Runtime(lambda age: {**score(age), "label": "yes"}).endpoint, make_samples(), LIMITS)
    assert "The metric is that of the evaluation" in failed(findings)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1.5])
def test_numbers_that_cannot_be_scores_fail(value: float) -> None:
    findings = examine(Runtime(lambda age: {**score(age), "score": value}).endpoint, make_samples(), LIMITS)
    assert "JSON answers have the right form, and finite numbers" in failed(findings)


def test_answers_with_other_fields_fail() -> None:
    findings = examine(Runtime(lambda age: {"value": age}).endpoint, make_samples(), LIMITS)
    assert "has the fields value instead of label, score" in " ".join(findings.reasons)


def test_garbage_fails_with_what_came_back() -> None:
    findings = examine(Runtime(text="<html>").endpoint, make_samples(), LIMITS)
    assert {"JSON is answered", "CSV is answered"} <= failed(findings)


def test_a_slow_endpoint_fails_at_the_percentile_that_is_too_slow() -> None:
    runtime = Runtime(seconds=lambda number: 0.3 if number % 5 == 0 else 0.010)
    assert failed(examine(runtime.endpoint, make_samples(), LIMITS)) == {"Latency p90"}


def test_the_first_requests_of_a_serverless_endpoint_do_not_count() -> None:
    runtime = Runtime(seconds=lambda number: 20.0 if number < 4 else 0.010)
    runtime.unavailable = 3
    findings = examine(runtime.endpoint, make_samples(), LIMITS)
    assert findings.passed
    assert max(findings.latencies_ms) < 11


def test_an_endpoint_that_never_answers_fails_at_once() -> None:
    runtime = Runtime()
    runtime.unavailable = 10**6
    findings = examine(runtime.endpoint, make_samples(), LIMITS)
    assert failed(findings) == {"Answers"}
    assert "503" in findings.reasons[0]
    assert runtime.requests < 10


def test_malformed_requests_that_are_answered_fail() -> None:
    findings = examine(Runtime(strict=False).endpoint, make_samples(), LIMITS)
    assert {name for name in failed(findings) if name.startswith("Malformed")} == {
        f"Malformed: {name}" for name, _, _ in endpoint_check.malformed(make_samples())
    }


def test_an_endpoint_that_a_malformed_request_breaks_fails() -> None:
    runtime = Runtime()

    def breaks(body: str, content_type: str) -> list[int]:
        try:
            return Runtime._ages(runtime, body, content_type)
        except (ValueError, KeyError, TypeError):
            runtime.unavailable = 10**6
            raise

    runtime._ages = breaks  # type: ignore[method-assign]
    findings = examine(runtime.endpoint, make_samples(), LIMITS)
    assert "Answers after malformed requests as before" in failed(findings)


def test_a_model_that_understands_json_only_is_not_asked_in_csv() -> None:
    findings = examine(Runtime().endpoint, make_samples(), LIMITS, content_types=("application/json",))
    assert not any(check.name.startswith("CSV") for check in findings.checks)


def test_a_model_that_understands_csv_only_is_never_asked_for_an_answer_in_json() -> None:
    findings = examine(Runtime(only_csv=True).endpoint, make_samples(), LIMITS, content_types=("text/csv",))
    assert findings.passed
    assert not any(check.name.startswith("JSON") for check in findings.checks)


def test_the_summary_says_version_verdict_and_what_runs_in_prod_in_200_characters() -> None:
    package = packages.parse(made_up.PACKAGE)
    before = Deployed("arn", 5, {"metric": "auc", "metric_value": "0.85"}, "2026-11-01T00:00:00+00:00")
    good = examine(Runtime().endpoint, make_samples(), LIMITS)
    title, summary = headline(package, good, before)
    assert title.endswith("version 7: passed")
    assert summary.startswith("Version 7 passed; auc 0.87 (prod now: version 5, auc 0.85); ")
    bad = examine(Runtime(strict=False, text="garbage").endpoint, make_samples(), LIMITS)
    title, summary = headline(package, bad, None)
    assert title.endswith("version 7: failed")
    assert "nothing is in prod yet" in summary
    assert len(summary) <= 200


class Reports:
    """S3 of the hub, with what was written."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}

    def put_object(self, **given: Any) -> None:
        self.objects[given["Key"]] = given["Body"]


def run(project: Project, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> tuple[Reports, Path]:
    """Run the step with a model behind the endpoint."""
    project.render()
    context = project.context({}, STAGE="test")
    hub = Reports()
    monkeypatch.setattr(context, "hub", lambda service: hub)
    context.package = packages.parse(made_up.PACKAGE)
    monkeypatch.setattr(endpoint_check, "load_samples", lambda context: make_samples())
    monkeypatch.setattr(endpoint_check.deployed, "read", lambda context: None)
    monkeypatch.setattr(endpoint_check.Endpoint, "of", lambda context: runtime.endpoint)
    try:
        endpoint_check.run(context)
    finally:
        variables = project.root / "variables.env"
        assert "SUMMARY=" in variables.read_text()
        assert "REPORT_URL=" in variables.read_text()
    return hub, variables


def test_the_report_says_first_which_model_and_whether_it_passed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, _ = run(project, Runtime(), monkeypatch)
    (folder,) = {key.rsplit("/", 1)[0] for key in hub.objects}
    content = json.loads(hub.objects[f"{folder}/endpoint-test.json"])
    assert content["passed"] is True
    assert content["latency_ms"]["p99"] == pytest.approx(10)
    html = hub.objects[f"{folder}/endpoint-test.html"].decode()
    assert "<h1>churn-p-abc123-111122223333, version 7: passed</h1>" in html
    assert html.count("<svg") == 4


def test_a_failed_test_fails_the_build_with_reasons_and_leaves_the_report(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime(lambda age: {**score(age), "score": 0.5})
    with pytest.raises(DeploymentError, match="JSON answers are those of training"):
        run(project, runtime, monkeypatch)
    report = project.root / "build" / "reports" / "endpoint-test.html"
    assert "Why it failed" in report.read_text()


def test_samples_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DeploymentError, match="1 CSV records, 2 JSON records, 1 answers"):
        parse_samples("a\n1\n", '{"a": 1}\n{"a": 2}\n', '{"expected": {"value": 1.0}, "actual": "1"}\n', "package")


def test_the_smoke_test_takes_a_few_good_answers_and_names_bad_ones() -> None:
    samples = make_samples()
    assert smoke_check.examine(Runtime().endpoint, samples, 5) == []
    bad = smoke_check.examine(Runtime(lambda age: {"score": math.nan, "label": "no"}).endpoint, samples, 2)
    assert bad == [f"the answer to record {number} has nan as score" for number in (1, 2)]


def test_the_smoke_test_forgives_one_lost_request_but_not_a_dead_endpoint() -> None:
    runtime = Runtime()
    runtime.unavailable = 2
    assert smoke_check.examine(runtime.endpoint, make_samples(), 3) == []
    runtime.unavailable = 100
    assert len(smoke_check.examine(runtime.endpoint, make_samples(), 3)) == 3
