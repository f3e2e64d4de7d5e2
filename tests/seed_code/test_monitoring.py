"""The monitors of deployed models, run as the processing job runs them, on a trained model."""

from __future__ import annotations

import base64
import csv
import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from .generated import ROOT
from .trained import REGION, subscribers
from .warm import warm_python

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from .generated import Repository
    from .trained import AwsServer, TrainedModel

pytestmark = pytest.mark.seed

JOB = ROOT / "seed-code/layers/monitoring/jobs/monitor/monitor.py"
ENDPOINT = "churn-p-abc123-prod"
PACKAGE = f"arn:aws:sagemaker:{REGION}:111122223333:model-package/churn-222233334444/3"
NOW = datetime.now(UTC)  # CloudWatch takes metrics of the last two weeks only
END = NOW.isoformat()
HOUR = f"{NOW - timedelta(hours=1):%Y/%m/%d/%H}"
LABEL = "churned"
FACETS: list[dict[str, Any]] = [{"name": "country", "values": ["PT", "ES"]}]


@dataclass
class Stage:
    """A stage with a deployed model: its bucket, the hub's bus, and a folder for the settings of the job."""

    aws: AwsServer
    model: TrainedModel
    bucket: str
    folder: Path
    bus: str
    queue: str
    changes: dict[str, Any] = field(default_factory=dict)

    def capture(self, lines: list[dict[str, Any]], hour: str = HOUR, variant: str = "AllTraffic") -> None:
        """Put captured events where data capture puts them."""
        self.put(f"capture/{ENDPOINT}/{variant}/{hour}/{len(lines)}-0a1b.jsonl", lines)

    def truth(self, labels: dict[str, str], hour: str = HOUR) -> None:
        """Upload ground truth."""
        lines = [
            {
                "groundTruthData": {"data": label, "encoding": "CSV"},
                "eventMetadata": {"eventId": event},
                "eventVersion": "0",
            }
            for event, label in labels.items()
        ]
        self.put(f"ground-truth/{hour}/labels.jsonl", lines)

    def put(self, key: str, lines: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        self.aws.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def settings(self) -> dict[str, Any]:
        baselines = sorted(path.name for path in (self.model.folder / "baseline").iterdir())
        return {
            "window_hours": 24,
            "min_records": 100,
            "max_records": 5000,
            "data_quality": {"enabled": True},
            "model_quality": {"enabled": True, "lookback_hours": 168},
            "bias": {
                "enabled": True,
                "facets": [],
                "positive": None,
                "max_dppl": 0.1,
                "min_di": 0.8,
                "max_dar": 0.1,
                "max_rd": 0.1,
            },
            "explainability": {"enabled": True, "min_ndcg": 0.9},
            "project": "churn",
            "stage": "prod",
            "endpoint": ENDPOINT,
            "package": PACKAGE,
            "bucket": self.bucket,
            "bus_arn": self.bus,
            "model": "packages/0123456789ab/model-0/model.tar.gz",
            "baselines": {name: f"packages/0123456789ab/baseline/{name}" for name in baselines},
        } | self.changes

    def start(self, end: str = END) -> subprocess.CompletedProcess[str]:
        """Run the job."""
        (self.folder / "0123456789ab.json").write_text(json.dumps(self.settings()))
        return warm_python().run(
            JOB, "--settings", str(self.folder), "--started", end, environment=self.aws.environment
        )

    def run(self, end: str = END) -> dict[str, Any]:
        """Run the job and return its report."""
        run = self.start(end)
        assert run.returncode == 0, run.stdout + run.stderr
        return self.report()

    def report(self, hour: str = HOUR) -> dict[str, Any]:
        key = f"monitoring/{ENDPOINT}/{hour}/report.json"
        content: dict[str, Any] = json.load(self.aws.s3.get_object(Bucket=self.bucket, Key=key)["Body"])
        return content

    def events(self) -> list[dict[str, Any]]:
        return self.aws.received(self.queue)


@pytest.fixture
def stage(aws: AwsServer, model: TrainedModel, tmp_path: Path) -> Stage:
    bucket, bus, queue = aws.deployed(model)
    folder = tmp_path / "settings"
    folder.mkdir()
    return Stage(aws, model, bucket, folder, bus, queue)


def events_of(model: TrainedModel, records: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return captured events with one record each."""
    unlabelled = [{name: value for name, value in record.items() if name != LABEL} for record in records]
    return [
        event(f"e{number}", json.dumps(record), "application/json", "JSON", [answer])
        for number, (record, answer) in enumerate(zip(unlabelled, model.answers(unlabelled), strict=True))
    ]


def event(
    name: str, data: str, content_type: str, encoding: str, answers: list[dict[str, Any]], **metadata: str
) -> dict[str, Any]:
    """Return a captured event in the documented form."""
    body = base64.b64encode(data.encode()).decode() if encoding == "BASE64" else data
    return {
        "captureData": {
            "endpointInput": {
                "observedContentType": content_type,
                "mode": "INPUT",
                "data": body,
                "encoding": encoding,
            },
            "endpointOutput": {
                "observedContentType": "application/json",
                "mode": "OUTPUT",
                "data": json.dumps({"predictions": answers}),
                "encoding": "JSON",
            },
        },
        "eventMetadata": {"eventId": name, "inferenceTime": "2026-05-04T05:10:00Z", **metadata},
        "eventVersion": "0",
    }


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {result["monitor"]: result["verdict"] for result in report["monitors"]}


def violations(report: dict[str, Any], monitor: str) -> dict[tuple[str, str], dict[str, Any]]:
    (result,) = [result for result in report["monitors"] if result["monitor"] == monitor]
    return {(found["metric"], found["feature"]): found for found in result["violations"]}


def test_records_like_those_of_training_raise_nothing(stage: Stage) -> None:
    records = subscribers(1500, seed=1)
    stage.changes = {"bias": {**stage.settings()["bias"], "facets": FACETS}}
    stage.capture(events_of(stage.model, records))
    stage.truth({f"e{number}": record[LABEL] for number, record in enumerate(records)})
    report = stage.run()
    assert verdicts(report) == {
        "data-quality": "ok",
        "model-quality": "ok",
        "bias": "ok",
        "explainability": "ok",
    }, json.dumps([result["violations"] for result in report["monitors"]], indent=1)
    assert report["records"] == {"captured": 1500, "sampled": 1500, "unreadable": 0, "examples": []}
    assert report["labels"] == {"arrived": 1500, "joined": 1500}
    assert stage.events() == []
    metrics = stage.aws.cloudwatch.list_metrics(Namespace="ml-platform/Models")["Metrics"]
    dimensions = [{item["Name"]: item["Value"] for item in metric["Dimensions"]} for metric in metrics]
    assert {"Endpoint": ENDPOINT, "Monitor": "model-quality"} in dimensions
    assert {"Endpoint": ENDPOINT, "Monitor": "data-quality", "Feature": "plan"} in dimensions


def test_drifted_records_raise_one_event_with_sizes(stage: Stage) -> None:
    records = subscribers(1000, seed=2)
    for record in records:
        record["hours_last_month"] = f"{3 * float(record['hours_last_month'] or 1):.1f}"
        del record["discount_percent"]
    for record in records[:100]:
        record["country"] = "XX"
    for record in records[100:150]:
        record["support_tickets"] = "-1"
    for record in records[160:400]:
        record["plan"] = ""
    captured = events_of(stage.model, records)
    for line in captured[150:160]:  # the endpoint would refuse these
        part = line["captureData"]["endpointInput"]
        part["data"] = json.dumps({**json.loads(part["data"]), "monthly_fee_eur": "twelve"})
    stage.capture(captured)
    report = stage.run()
    found = violations(report, "data-quality")
    assert set(found) == {
        ("baseline_drift_check", "hours_last_month"),
        ("missing_column_check", "discount_percent"),
        ("categorical_values_check", "country"),
        ("non_negative_check", "support_tickets"),
        ("data_type_check", "monthly_fee_eur"),
        ("completeness_check", "plan"),
    }
    assert found["missing_column_check", "discount_percent"]["size"] == 1
    assert found["non_negative_check", "support_tickets"]["size"] == pytest.approx(0.05)
    assert found["data_type_check", "monthly_fee_eur"]["value"] == pytest.approx(0.99)
    assert found["completeness_check", "plan"]["value"] == pytest.approx(0.76)
    known = [record["country"] for record in records if record["country"]]
    assert found["categorical_values_check", "country"]["size"] == pytest.approx(known.count("XX") / len(known))
    # Hours are lognormal with sigma 0.9: tripled, the largest distance of the distributions is 2 Φ(ln 3 / 1.8) - 1.
    assert found["baseline_drift_check", "hours_last_month"]["value"] == pytest.approx(0.458 - 0.068, abs=0.05)
    (detail,) = stage.events()
    assert {name: detail[name] for name in ("project", "stage", "endpoint", "package")} == {
        "project": "churn",
        "stage": "prod",
        "endpoint": ENDPOINT,
        "package": PACKAGE,
    }
    assert detail["report"] == f"s3://{stage.bucket}/monitoring/{ENDPOINT}/{HOUR}/report.html"
    assert detail["omitted"] == 0
    sizes = [result["size"] for result in detail["results"]]
    assert sizes == sorted(sizes, reverse=True)
    assert detail["results"][0] == {
        "monitor": "data-quality",
        "metric": "missing_column_check",
        "feature": "discount_percent",
        "value": 0.0,
        "threshold": 1.0,
        "size": 1.0,
    }


def test_a_second_run_for_a_window_writes_the_same_report_and_raises_no_second_event(stage: Stage) -> None:
    records = subscribers(400, seed=3)
    for record in records:
        record["plan"] = "platinum"
    stage.changes = {"max_records": 150}
    stage.capture(events_of(stage.model, records))
    first = stage.run()
    assert first["records"]["captured"] == 400
    assert first["records"]["sampled"] == 150
    assert stage.run() == first
    assert len(stage.events()) == 1


def test_an_event_that_the_bus_does_not_take_fails_the_job_and_is_sent_by_the_next(stage: Stage) -> None:
    records = [{**record, "plan": "platinum"} for record in subscribers(200, seed=4)]
    stage.capture(events_of(stage.model, records))
    good, stage.bus = stage.bus, stage.bus.replace("bus-", "no-bus-")
    run = stage.start()
    assert run.returncode != 0
    assert stage.report()["monitors"][0]["verdict"] == "violations"
    assert stage.events() == []
    stage.bus = good
    stage.run()
    assert len(stage.events()) == 1


def test_too_few_records_give_no_verdict(stage: Stage) -> None:
    stage.capture(events_of(stage.model, [{**record, "plan": "x"} for record in subscribers(99, seed=5)]))
    report = stage.run()
    assert set(verdicts(report).values()) == {"not enough data"}
    assert report["monitors"][0]["reason"] == "99 records in the window, at least 100 are needed: no verdict."
    assert stage.events() == []


def test_answers_of_a_shadow_are_not_counted(stage: Stage) -> None:
    events = events_of(stage.model, subscribers(150, seed=13))
    stage.capture(events)
    stage.capture([{**event, "eventMetadata": {"eventId": "s"}} for event in events], variant="shadow")
    stage.capture(events_of(stage.model, subscribers(20, seed=14)), variant="other")
    assert stage.run()["records"]["captured"] == 170


def test_an_empty_window_gives_a_report(stage: Stage) -> None:
    report = stage.run()
    assert set(verdicts(report).values()) == {"not enough data"}
    assert report["records"]["captured"] == 0


def test_only_whole_hours_of_the_window_count(stage: Stage) -> None:
    events = events_of(stage.model, subscribers(120, seed=6))
    stage.capture(events[:50], hour="2026/05/03/06")
    stage.capture(events[50:110], hour="2026/05/04/05")
    stage.capture(events[110:115], hour="2026/05/03/05")
    stage.capture(events[115:], hour="2026/05/04/06")
    run = stage.start("2026-05-04T06:20:00Z")
    assert run.returncode == 0, run.stderr
    assert "older than two weeks" in run.stdout
    report = stage.report("2026/05/04/05")
    assert report["records"]["captured"] == 110
    assert report["window"] == {"start": "2026-05-03T06:00:00+00:00", "end": "2026-05-04T06:00:00+00:00"}


def csv_text(records: list[dict[str, str]], *, header: bool) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(records[0]))
    if header:
        writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()


def test_every_form_of_request_is_read(stage: Stage) -> None:
    records = subscribers(700, seed=7)
    unlabelled = [{name: value for name, value in record.items() if name != LABEL} for record in records]
    answers = stage.model.answers(unlabelled)
    forms = [
        (csv_text(unlabelled[:100], header=True), "text/csv", "CSV"),
        (csv_text(unlabelled[100:200], header=False), "text/csv; charset=utf-8", "CSV"),
        (csv_text(records[200:300], header=False), "text/csv", "BASE64"),
        (json.dumps(unlabelled[300:400]), "application/json", "JSON"),
        (json.dumps({"instances": unlabelled[400:500]}), "application/json", "BASE64"),
        ("".join(json.dumps(record) + "\n" for record in unlabelled[500:600]), "application/jsonlines", "BASE64"),
    ]
    lines = [
        event(f"b{number}", data, kind, encoding, answers[number * 100 : number * 100 + 100])
        for number, (data, kind, encoding) in enumerate(forms)
    ]
    lines += [
        event(f"o{number}", json.dumps(record), "application/json", "JSON", [answers[600 + number]])
        for number, record in enumerate(unlabelled[600:])
    ]
    broken = event("x1", "{not json", "application/json", "JSON", [])
    half = {"captureData": {}, "eventMetadata": {"eventId": "x2"}}
    stage.capture([*lines, broken, half])
    truth = {
        f"b{number}": "\n".join(r[LABEL] for r in records[number * 100 : number * 100 + 100]) for number in range(6)
    }
    stage.truth(truth | {f"o{number}": record[LABEL] for number, record in enumerate(records[600:])})
    report = stage.run()
    assert report["records"]["captured"] == 700
    assert report["records"]["unreadable"] == 2
    assert report["labels"] == {"arrived": 700, "joined": 700}
    assert verdicts(report)["data-quality"] == "ok"
    assert verdicts(report)["model-quality"] == "ok"


def test_a_block_of_events_is_counted_as_they_would_be_one_by_one(stage: Stage) -> None:
    records = [{name: value for name, value in record.items() if name != LABEL} for record in subscribers(400, seed=16)]
    answers = stage.model.answers(records)
    answers_csv = [f"{answer['score']},{answer['label']}\n" for answer in answers]
    lines = []
    for number, (record, answer) in enumerate(zip(records, answers, strict=True)):
        row, text = csv_text([record], header=False), json.dumps(record)
        wrapped = json.dumps({"body": text, "httpMethod": "POST"})
        forms = [
            (text, "application/json", "JSON"),
            (text, "application/json; charset=utf-8", "BASE64"),
            (text, "application/jsonlines", "BASE64"),
            (json.dumps(record, indent=1), "application/json", "JSON"),
            (row, "text/csv", "CSV"),
            (row.strip(), "", "CSV"),
            (csv_text([record], header=True), "text/csv", "BASE64"),
            (row.replace(",", ";"), "text/csv", "CSV"),
            (wrapped, "application/json", "JSON"),
            (json.dumps([record, record]), "application/json", "JSON"),
            (row + row, "text/csv", "CSV"),
            (text[:-1], "application/json", "JSON"),
            ("1,2", "text/csv", "CSV"),
            (text, "application/json", "XML"),
            (text, "image/png", "JSON"),
        ]
        data, kind, encoding = forms[number % len(forms)]
        lines.append(event(f"e{number}", data, kind, encoding, [answer]))
        output = lines[-1]["captureData"]["endpointOutput"]
        if number % 7 == 1:
            output.update(data=answers_csv[number], observedContentType="text/csv", encoding="CSV")
        elif number % 50 == 2:
            output["data"] = "{broken"
        elif number % 50 == 3:
            del lines[-1]["captureData"]["endpointOutput"]
        elif number % 50 == 4:
            lines[-1]["eventMetadata"]["inferenceId"] = f"order {number}"
        elif number % 50 == 5:
            lines[-1] = {"captureData": 5}
    text = "\n\n".join(json.dumps(line) for line in lines)
    script = f"""
import json, sys
from pathlib import Path
from monitoring import capture, events, package
from monitoring.window import Window
folder = Path({str(stage.model.folder)!r})
served = package.Package(package.load_model(folder / "model.tar.gz", Path({str(stage.folder / "model")!r})), {{}})
text = sys.stdin.buffer.read()

class Captured:
    def folders(self, prefix): return [prefix + "AllTraffic/"]
    def keys(self, prefix): return ["key"] if prefix.endswith("AllTraffic/2026/05/04/05/") else []
    def blocks(self, key): return iter([[line for line in text.splitlines() if line]])

def read(fewest):
    events.FEWEST_LINES = fewest
    found = capture.read(Captured(), "e", Window.ending("2026-05-04T06:20:00Z", 1), served, most_records=60,
        lookback_hours=0, with_truth=False)
    return [found.seen, found.unreadable, [vars(record) for record in found.records]]

lines = [line for line in text.splitlines() if line]
together, recognised = read(2), int(events.single_records(lines, served)[0].sum())
print(json.dumps([together, read(10**9), recognised]))
"""
    run = warm_python().run(script, modules=JOB.parent, text=text)
    assert run.returncode == 0, run.stderr
    together, alone, recognised = json.loads(run.stdout)
    assert together == alone
    assert len(together[2]) == 60
    assert recognised > 100


def test_wrong_predictions_are_noticed_when_their_truth_arrives_later(stage: Stage) -> None:
    records = subscribers(600, seed=8)
    events = events_of(stage.model, records)
    for number, captured in enumerate(events):
        captured["eventMetadata"]["inferenceId"] = f"order-{number}"
    stage.capture(events, hour=f"{NOW - timedelta(hours=80):%Y/%m/%d/%H}")
    flipped = {f"order-{number}": str(1 - int(record[LABEL])) for number, record in enumerate(records)}
    stage.truth({**flipped, "never-seen": "1"})
    report = stage.run()
    assert report["records"]["captured"] == 0
    assert report["labels"] == {"arrived": 601, "joined": 600}
    found = violations(report, "model-quality")
    auc = found["auc", ""]
    assert auc["value"] < 0.35
    assert auc["size"] == pytest.approx(auc["threshold"] - auc["value"])
    (detail,) = stage.events()
    assert {result["monitor"] for result in detail["results"]} == {"model-quality"}


def test_predictions_that_favour_a_group_are_a_bias(stage: Stage) -> None:
    records = subscribers(800, seed=9)
    events = events_of(stage.model, records)
    for number, record in enumerate(records):
        unlucky = record["country"] in ("PT", "ES")
        answer = {"score": 0.1, "label": "0"} if unlucky else {"score": 0.9, "label": "1"}
        if number % 4 == 0:
            answer = {"score": 0.9, "label": "1"}
        events[number]["captureData"]["endpointOutput"]["data"] = json.dumps({"predictions": [answer]})
    stage.capture(events)
    stage.changes = {"bias": {**stage.settings()["bias"], "facets": FACETS}}
    found = violations(stage.run(), "bias")
    in_group = [number for number, record in enumerate(records) if record["country"] in ("PT", "ES")]
    share = sum(number % 4 == 0 for number in in_group) / len(in_group)
    assert found["DPPL", "country"]["value"] == pytest.approx(1 - share)
    assert found["DPPL", "country"]["size"] == pytest.approx(0.9 - share)
    assert found["DI", "country"]["value"] == pytest.approx(share)


def test_other_columns_moving_the_predictions_are_noticed(stage: Stage) -> None:
    records = subscribers(300, seed=10)
    for record in records:  # what usually decides is the same for everybody
        record |= {"support_tickets": "0", "hours_last_month": "13", "autopay": "yes", "signup_date": "2024-06-01"}
    stage.capture(events_of(stage.model, records))
    report = stage.run()
    (result,) = [result for result in report["monitors"] if result["monitor"] == "explainability"]
    (label,) = result["details"]["labels"].values()
    assert set(label["current"]) == set(label["baseline"])
    assert 0 < label["ndcg"] <= 1
    assert result["verdict"] == ("violations" if label["ndcg"] < 0.9 else "ok")


def test_a_missing_baseline_is_named(stage: Stage) -> None:
    stage.capture(events_of(stage.model, subscribers(120, seed=11)))
    stage.changes = {"baselines": {"statistics.json": "packages/0123456789ab/baseline/statistics.json"}}
    report = stage.run()
    reasons = {result["monitor"]: (result["verdict"], result["reason"]) for result in report["monitors"]}
    assert {verdict for verdict, _ in reasons.values()} == {"baseline missing"}
    assert "constraints.json" in reasons["data-quality"][1]
    assert "model_quality_constraints.json" in reasons["model-quality"][1]
    assert "analysis.json" in reasons["explainability"][1]


def test_a_missing_model_is_named(stage: Stage) -> None:
    stage.changes = {"model": "packages/ffffffffffff/model-0/model.tar.gz"}
    run = stage.start()
    assert run.returncode != 0
    assert "packages/ffffffffffff/model-0/model.tar.gz is missing" in run.stderr
    assert "Deploy the stage again" in run.stderr


def test_a_moment_that_is_none_is_refused(stage: Stage) -> None:
    run = stage.start(end="tomorrow")
    assert run.returncode != 0
    assert "The end of the window is 'tomorrow', which is not a time" in run.stderr


def test_two_runs_at_once_raise_one_event(stage: Stage) -> None:
    records = [{**record, "plan": "platinum"} for record in subscribers(200, seed=12)]
    stage.capture(events_of(stage.model, records))
    marker = f"monitoring/{ENDPOINT}/{HOUR}/event.json"
    stage.aws.s3.put_object(Bucket=stage.bucket, Key=marker, Body=b'{"state": "sending"}')
    run = stage.start()
    assert run.returncode != 0
    assert "Another run for the same window is sending the drift event right now" in run.stderr
    assert stage.events() == []
    stage.aws.s3.put_object(Bucket=stage.bucket, Key=marker, Body=b'{"state": "failed"}')
    stage.run()
    assert len(stage.events()) == 1


def test_an_event_keeps_the_largest_violations_that_fit() -> None:
    script = """
import json
from datetime import UTC, datetime
from monitoring import publish
from monitoring.results import Violation, judged
from monitoring.window import Window
found = [Violation("baseline_drift_check", "é" * 100 + str(n), n / 9000, 0.1, n / 9000, "text") for n in range(3000)]
result = judged("data-quality", 10, found, {}, "3000 columns")
window = Window.ending("2026-05-04T06:20:00Z", 24)
detail = publish.drift_detail("id", publish.Origin("p", "prod", "e", "arn"), window, [result], "s3://b/r.html")
kept = detail["results"]
print(json.dumps([len(json.dumps(detail).encode()), kept[0]["size"], len(kept), detail["omitted"]]))
"""
    run = warm_python().run(script, modules=JOB.parent)
    assert run.returncode == 0, run.stderr
    size, largest, kept, omitted = json.loads(run.stdout)
    assert size < 256 * 1024
    assert largest == pytest.approx(2999 / 9000)
    assert kept + omitted == 3000
    assert kept > 200


@pytest.mark.parametrize("problem", ["multiclass", "regression"])
def test_other_kinds_of_problems_are_watched_too(repository: Repository, problem: str) -> None:
    script = f"""
import json, sys
from pathlib import Path
sys.path[:0] = ["src", "tests"]
import tabular_jobs
project = tabular_jobs.evaluated({problem!r})
for name in [name for name in sys.modules if name == "inference" or name.split(".")[0] == "tabular"]:
    del sys.modules[name]  # from here on the code of the model's own archive counts
sys.path.remove("src")
sys.path.insert(0, {str(JOB.parent)!r})
from monitoring import bias, data_quality, explainability, model_quality, package
from monitoring.capture import Record, answer_records, request_records
archive = project.folder / "evaluate/input/model/model.tar.gz"
model = package.load_model(archive, project.folder / "unpacked")
baseline = {{path.name: json.loads(path.read_text()) for path in project.output("baseline").glob("*.json")}}
served = package.Package(model, baseline)
samples = project.output("samples")
expected = [json.loads(line) for line in (samples / "expected.jsonl").read_text().splitlines()]
rows = request_records((samples / "records.csv").read_text(), "text/csv", served)
answers = answer_records(json.dumps({{"predictions": [e["expected"] for e in expected]}}), "application/json", served)
records = [Record(str(n), 0, row, answer) for n, (row, answer) in enumerate(zip(rows, answers, strict=True))]
good = [(record, str(e["actual"])) for record, e in zip(records, expected, strict=True)]
bad = [(record, str(other["actual"])) for record, other in zip(records, expected[7:] + expected[:7], strict=True)]
positive = {{"multiclass": ["gold"], "regression": 130}}[{problem!r}]
settings = {{"max_dppl": 0.9, "min_di": 0.1, "max_dar": 0.9, "max_rd": 0.9, "positive": positive}}
settings["facets"] = [{{"name": "region", "values": ["south"]}}]
results = [
    data_quality.check(records, served, least=50),
    model_quality.check(good, served, least=50, labels=len(good)),
    bias.check(records, good, served, settings, least=20),
    explainability.check(records, served, least=50, min_ndcg=0.9),
    model_quality.check(bad, served, least=50, labels=len(bad)),
]
print(json.dumps([result.to_dict() for result in results]))
"""
    run = repository.run("-c", script, OMP_NUM_THREADS="1")
    assert run.returncode == 0, run.stderr[-3000:]
    quality, performance, bias, attributions, wrong = json.loads(run.stdout.splitlines()[-1])
    for result in (quality, performance, bias, attributions):
        assert result["verdict"] == "ok", result["violations"]
    assert wrong["verdict"] == "violations"
    assert set(bias["details"]["facets"]["region"]) >= {"DPPL", "DI", "DAR", "RD"}
    assert len(attributions["details"]["labels"]) == (3 if problem == "multiclass" else 1)


def test_small_windows_without_drift_raise_no_false_alarm(model: TrainedModel, tmp_path: Path) -> None:
    records = subscribers(3000, seed=15)
    unlabelled = [{name: value for name, value in record.items() if name != LABEL} for record in records]
    rows = [
        [values, answer, record[LABEL]]
        for values, answer, record in zip(unlabelled, model.answers(unlabelled), records, strict=True)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    script = f"""
import json
from pathlib import Path
from monitoring import data_quality, explainability, model_quality, package
from monitoring.capture import Record
folder = Path({str(model.folder)!r})
model = package.load_model(folder / "model.tar.gz", Path({str(tmp_path / "model")!r}))
baselines = {{path.name: json.loads(path.read_text()) for path in (folder / "baseline").iterdir()}}
served = package.Package(model, baselines)
rows = json.loads(Path({str(tmp_path / "rows.json")!r}).read_text())
alarms = 0
for start in range(0, len(rows), 100):
    window = [(Record(str(n), 0, values, answer), label) for n, (values, answer, label) in
        enumerate(rows[start : start + 100])]
    records = [record for record, _ in window]
    results = [
        data_quality.check(records, served, least=100),
        model_quality.check(window, served, least=100, labels=100),
        explainability.check(records, served, least=100, min_ndcg=0.9),
    ]
    alarms += any(result.verdict != "ok" for result in results)
print(alarms)
"""
    run = warm_python().run(script, modules=JOB.parent)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) <= 1, "of 30 windows"
