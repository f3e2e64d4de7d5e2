from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import unquote

import pytest

from deployment import plots, reports
from deployment.context import Context

from .conftest import Aws


@pytest.fixture
def page() -> str:
    return reports.page(
        "Endpoint test",
        passed=False,
        summary="1 of 2 checks failed <script>",
        facts={"Model": "churn/7"},
        sections=[
            {"title": "Checks", "checks": [{"name": "schema", "passed": True, "detail": "as expected"}]},
            {"title": "Latency", "plots": [{"title": "by request", "svg": plots.histogram([1.0, 2.0], x="ms")}]},
            {"title": "Rows", "text": "the first", "table": {"columns": ["a"], "rows": [[1], ["<b>"]]}},
        ],
    )


def test_a_page_shows_everything_and_needs_nothing_else(page: str) -> None:
    for text in ("Endpoint test", "failed", "churn/7", "as expected", "the first", "<svg"):
        assert text in page
    for text in ("<script", "<b>", "<link", "src=", "@import"):
        assert text not in page


def test_a_report_goes_to_the_bucket_of_the_project(context: Context, aws: Aws, page: str) -> None:
    aws.answers["s3", "PutObject"] = lambda given: {}
    link = reports.publish(context, "endpoint-test", {"passed": False}, page)
    first, second = aws.called("PutObject")
    prefix = f"reports/{context.build.execution_id}"
    assert first["Key"] == f"{prefix}/endpoint-test.json"
    assert second["Key"] == f"{prefix}/endpoint-test.html"
    assert second["ContentType"] == "text/html; charset=utf-8"
    for request in (first, second):
        assert request["Bucket"] == context.build.artifact_bucket
        assert request["SSEKMSKeyId"] == context.build.kms_key_arn
    assert link.startswith(f"https://{context.build.console_host}/s3/object/{context.build.artifact_bucket}?region=")
    assert unquote(link).endswith(f"prefix={prefix}/endpoint-test.html")
    written = context.root / "build" / "reports" / "endpoint-test.json"
    assert json.loads(written.read_text()) == {"passed": False}


@pytest.mark.parametrize(
    "svg",
    [
        plots.bars({"a": 1.0, "b <": 2.0}, x="name", y="ms", limit=1.5),
        plots.bars({}, x="name", y="ms"),
        plots.bars({"none": 0.0}, x="name", y="ms"),
        plots.lines({"a": [(0, 1), (1, 2)], "b": [(0, 2), (1, 1)]}, x="t", y="ms", limit=3),
        plots.lines({"a": []}, x="t", y="ms"),
        plots.lines({"one point": [(5, 5)]}, x="t", y="ms"),
        plots.points({"a": [(0, 0), (1, 1)]}, x="expected", y="answered", diagonal=True),
        plots.histogram([1.0, 1.0, 1.0], x="ms"),
        plots.histogram([float("nan")], x="ms"),
        plots.histogram([1e-9, 1e9], x="ms"),
    ],
)
def test_a_plot_is_well_formed_and_stays_on_its_canvas(svg: str) -> None:
    root = ET.fromstring(svg)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for element in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert -1 <= float(element.get(name, 0)) <= width + 1
        for name in ("y", "y1", "y2", "cy"):
            assert -1 <= float(element.get(name, 0)) <= height + 1


def test_a_histogram_counts_every_finite_value() -> None:
    root = ET.fromstring(plots.histogram([1.0, 2.0, 3.0, float("inf")], x="ms", buckets=2))
    titles = [str(title.text) for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert [title.rsplit(": ", 1)[1] for title in titles] == ["1", "2"]


def test_the_axis_of_a_histogram_has_round_numbers() -> None:
    root = ET.fromstring(plots.histogram([0.00987, 0.31, 0.977], x="score", y=""))
    texts = [str(text.text) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"0.2", "0.4", "0.6", "0.8"} <= set(texts)


def test_variables_survive_the_shell(context: Context, tmp_path: Any) -> None:
    import subprocess

    summary = 'it\'s $HOME, `id`; "all" well\nsecond line'
    context.export(SUMMARY=summary)
    context.export(REPORT_URL="https://x/?a=1&b=2")
    script = f'set -a && . {context.root}/variables.env && set +a && printf \'%s|%s\' "$SUMMARY" "$REPORT_URL"'
    shell = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=True)
    assert shell.stdout == 'it\'s $HOME, `id`; "all" well second line|https://x/?a=1&b=2'


def test_a_long_variable_is_cut(context: Context) -> None:
    context.export(SUMMARY="x" * 5000)
    assert len((context.root / "variables.env").read_text()) < 700
