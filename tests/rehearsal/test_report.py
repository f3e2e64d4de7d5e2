"""The report: complete for machines, readable without a network, honest about what stopped."""

from __future__ import annotations

import datetime as dt
import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from rehearsal import report

if TYPE_CHECKING:
    from pathlib import Path

_STEPS = [
    {"Name": "Prepare", "Type": "Processing", "Arguments": {}},
    {"Name": "Train", "Type": "Training", "Arguments": {"Data": {"Get": "Steps.Prepare.Output"}}},
    {
        "Name": "Evaluate",
        "Type": "Processing",
        "Arguments": {"A": {"Get": "Steps.Train.Model"}, "B": {"Get": "Steps.Prepare.Output"}},
    },
    {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [
                {"LeftValue": {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}}}}
            ],
            "IfSteps": [
                {"Name": "Register", "Type": "RegisterModel", "Arguments": {"M": {"Get": "Steps.Train.Model"}}}
            ],
            "ElseSteps": [{"Name": "Missed", "Type": "Fail", "Arguments": {}}],
        },
    },
]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def facts() -> report.Facts:
    facts = report.Facts("train-s3")
    facts.steps = [
        report.StepResult("Publish", "hub", 1.5, "two products", "emulated thus", ok=True),
        report.StepResult("Launch", "dev", 0.5, "cause <b>& effect</b>", "", ok=False),
    ]
    facts.evaluation = {
        "binary_classification_metrics": {"auc": {"value": 0.9}, "confusion_matrix": {"0": {"0": 1}}},
        "gate": {"metric": "auc", "value": 0.9, "baseline": 0.5, "reason": "good enough"},
    }
    facts.curves = {"roc.png": b"\x89PNG"}
    return facts


def test_json_has_the_steps_and_the_metrics(facts: report.Facts, tmp_path: Path) -> None:
    report.write(tmp_path, [facts], ok=True, seconds=2.0)
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["ok"] is True
    assert [(s["name"], s["account"], s["seconds"]) for s in content["steps"]] == [
        ("Publish", "hub", 1.5),
        ("Launch", "dev", 0.5),
    ]
    assert content["walks"]["train-s3"]["metrics"] == {"auc": 0.9}


def test_page_needs_no_network_and_shows_the_cause_as_text(facts: report.Facts, tmp_path: Path) -> None:
    page = _Tags()
    page.feed(report.write(tmp_path, [facts], ok=False, seconds=2.0).read_text())
    assert all(link.startswith("data:") for link in page.links)
    assert any("cause <b>& effect</b>" in text for text in page.text)
    assert any("emulated thus" in text for text in page.text)


def test_queries_show_their_answer_and_what_they_scanned_or_why_they_were_refused(
    facts: report.Facts, tmp_path: Path
) -> None:
    query = {"by": "data scientist", "question": "How many?", "sql": "SELECT count(*)", "reason": "", "scanned": 1131}
    facts.governance["queries"] = [
        query | {"succeeded": True, "answer": [["east", "1017"]]},
        query | {"succeeded": False, "answer": [], "scanned": 0, "reason": "COLUMN_NOT_FOUND: <national_id>"},
    ]
    page = _Tags()
    page.feed(report.write(tmp_path, [report.Facts(), facts], ok=True, seconds=2.0).read_text())
    shown = " ".join(" ".join(page.text).split())
    assert "east: 1017 1,131" in shown
    assert "COLUMN_NOT_FOUND: <national_id> refused" in shown


def test_page_of_a_rehearsal_that_stopped_at_once_can_be_written(tmp_path: Path) -> None:
    facts = report.Facts(steps=[report.StepResult("Start", "all", 0.1, "no port", "", ok=False)])
    assert "no port" in report.write(tmp_path, [facts], ok=False, seconds=0.1).read_text()


def test_graph_follows_data_and_conditions_from_left_to_right() -> None:
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    ran = [
        {"StepName": "Train", "StepStatus": "Succeeded", "StartTime": begin, "EndTime": begin + dt.timedelta(seconds=2)}
    ]
    graph = report.Pipeline.of("p", {"Steps": _STEPS}, ran)
    nodes = {node.name: node for node in graph.nodes}
    order = ["Prepare", "Train", "Evaluate", "Gate", "Register"]
    assert [nodes[name].x for name in order] == sorted({nodes[name].x for name in order})
    assert nodes["Register"].x == nodes["Missed"].x
    assert nodes["Register"].y != nodes["Missed"].y
    assert ("Gate", "Register", "yes") in {(a.name, b.name, label) for a, b, label in graph.edges}
    assert nodes["Train"].seconds == pytest.approx(2.0)
    assert nodes["Missed"].status == "not run"
