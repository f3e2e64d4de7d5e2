"""The jobs of a batch run, run as SageMaker runs them, on a trained model."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from .generated import ROOT
from .trained import REGION, subscribers
from .warm import warm_python

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .trained import AwsServer, TrainedModel

pytestmark = pytest.mark.seed

JOBS = ROOT / "seed-code/layers"
RUN = "abc123def456"
LABEL = "churned"
STARTED = datetime.now(UTC).isoformat()
HOSTS = ("algo-1", "algo-2", "algo-3")


@dataclass
class Stage:
    """A stage with a model for batch runs, and the bucket with its input."""

    aws: AwsServer
    model: TrainedModel
    bucket: str
    lake: str
    folder: Path
    queue: str
    settings: dict[str, Any]
    options: dict[str, str] = field(default_factory=dict)

    def put(self, key: str, content: str | bytes) -> None:
        """Put a file into the input."""
        body = content.encode() if isinstance(content, str) else content
        self.aws.s3.put_object(Bucket=self.lake, Key=key, Body=body)

    def keys(self, prefix: str) -> list[str]:
        pages = self.aws.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def text(self, key: str) -> str:
        return str(self.aws.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode())

    def lines(self, prefix: str) -> list[dict[str, Any]]:
        return [json.loads(line) for key in self.keys(prefix) for line in self.text(key).splitlines()]

    def start(
        self, script: str, host: str = "algo-1", hosts: Sequence[str] = ("algo-1",)
    ) -> subprocess.CompletedProcess[str]:
        """Run a job on one of its instances."""
        settings, resources = self.folder / "settings", self.folder / f"{host}.json"
        settings.mkdir(exist_ok=True)
        (settings / "0123456789ab.json").write_text(json.dumps(self.settings))
        resources.write_text(json.dumps({"current_host": host, "hosts": list(hosts)}))
        options = {
            "run": RUN,
            "started": STARTED,
            "input": f"s3://{self.lake}/daily/",
            "object": "all",
            "max-bad-percent": "1",
            **self.options,
        }
        return warm_python().run(
            self.folder / f"jobs/batch/{script}.py",
            *("--settings", str(settings)),
            *(f"--{name}={value}" for name, value in options.items()),
            environment={**self.aws.environment, "SM_RESOURCE_CONFIG": str(resources)},
        )

    def run(self, script: str, hosts: Sequence[str] = ("algo-1",)) -> None:
        """Run a job on all of its instances."""
        for host in hosts:
            run = self.start(script, host, hosts)
            assert run.returncode == 0, run.stdout + run.stderr

    def transform(self) -> None:
        """Do what batch transform does with parts of JSON lines: answers in their order, beside each part."""
        parts = {
            key: [json.loads(line) for line in self.text(key).splitlines()] for key in self.keys(f"batch/{RUN}/input/")
        }
        # Loading the model takes longer than all answers, so it is asked once.
        answers = iter(self.model.answers([record for part in parts.values() for record in part]))
        for key, part in parts.items():
            text = "".join(json.dumps(answer) + "\n" for answer in itertools.islice(answers, len(part)))
            out = key.replace("/input/", "/output/") + ".out"
            self.aws.s3.put_object(Bucket=self.bucket, Key=out, Body=(text + "\n").encode())

    def all(self, hosts: Sequence[str] = ("algo-1",)) -> dict[str, Any]:
        """Run everything and return the manifest."""
        self.run("check", hosts)
        self.transform()
        self.run("join", hosts)
        self.run("verify")
        manifest: dict[str, Any] = json.loads(self.text(f"batch/run={RUN}/_manifest.json"))
        return manifest

    def predictions(self) -> list[dict[str, Any]]:
        return self.lines(f"batch/run={RUN}/part-")


@pytest.fixture
def stage(aws: AwsServer, model: TrainedModel, tmp_path: Path) -> Stage:
    bucket, bus, queue = aws.deployed(model)
    lake = f"lake-{bucket}"
    aws.bucket(lake)
    (tmp_path / "jobs").mkdir()
    for layer, name in (("batch", "batch"), ("monitoring", "monitor")):
        shutil.copytree(JOBS / layer / "jobs" / name, tmp_path / "jobs" / name)
    settings = {
        "project": "churn",
        "stage": "prod",
        "endpoint": "churn-p-abc123-prod",
        "package": f"arn:aws:sagemaker:{REGION}:111122223333:model-package/churn-222233334444/3",
        "bucket": bucket,
        "bus_arn": bus,
        "model": "packages/0123456789ab/model-0/model.tar.gz",
        "baselines": {
            path.name: f"packages/0123456789ab/baseline/{path.name}" for path in (model.folder / "baseline").iterdir()
        },
        "monitors": {
            "enabled": True,
            "min_records": 100,
            "max_records": 5000,
            "data_quality": {"enabled": True},
            "bias": {
                "enabled": True,
                "facets": [{"name": "country", "values": ["PT", "ES"]}],
                "positive": None,
                "max_dppl": 0.2,
                "min_di": 0.5,
                "max_dar": 0.1,
                "max_rd": 0.1,
            },
            "explainability": {"enabled": True, "min_ndcg": 0.9},
        },
    }
    return Stage(aws, model, bucket, lake, tmp_path, queue, settings)


def csv_text(records: list[dict[str, str]], *, header: bool = True, delimiter: str = ",") -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(records[0]), delimiter=delimiter, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()


def without_label(records: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: value for name, value in record.items() if name != LABEL} for record in records]


def test_every_record_gets_the_prediction_of_the_model_on_any_number_of_instances(stage: Stage) -> None:
    records = without_label(subscribers(900, seed=21))
    stage.put("daily/a.csv", csv_text(records[:200]))
    stage.put("daily/b.csv.gz", gzip.compress(csv_text(records[200:400], delimiter=";").encode()))
    stage.put("daily/2026/c.jsonl", "".join(json.dumps(record) + "\n" for record in records[400:600]))
    stage.put("daily/2026/d", csv_text(records[600:], header=False))
    stage.put("daily/_SUCCESS", "")
    stage.put("other/e.csv", "not,looked\nat,all\n")
    manifest = stage.all(HOSTS)
    assert {name: manifest[name] for name in ("files", "rows", "predictions", "rejected")} == {
        "files": 4,
        "rows": 900,
        "predictions": 900,
        "rejected": 0,
    }
    found = {entry["subscriber_id"]: entry for entry in stage.predictions()}
    for record, answer in zip(records, stage.model.answers(records), strict=True):
        assert found[record["subscriber_id"]].items() >= answer.items()
    third = found[records[2]["subscriber_id"]]
    assert (third["file"], third["line"]) == ("daily/a.csv", 4)
    assert f"batch/run={RUN}/_SUCCESS" in stage.keys(f"batch/run={RUN}/")
    assert stage.aws.received(stage.queue) == []


def test_what_training_reads_a_run_reads_too(stage: Stage) -> None:
    """Columns that the names of folders tell, text as Excel writes it, and a header below a title.

    Reading on by position below a title would give other predictions, with one row set aside.
    """
    records = without_label(subscribers(320, seed=26))
    for country in {record["country"] for record in records[:120]}:
        there = [record for record in records[:120] if record["country"] == country]
        rows = [{name: value for name, value in record.items() if name != "country"} for record in there]
        folder = country or "__HIVE_DEFAULT_PARTITION__"
        stage.put(f"daily/country={folder}/part-0.csv", csv_text(rows, delimiter="\t").encode("utf-16"))
    turned = [dict(reversed(record.items())) for record in records[120:]]
    stage.put("daily/b.csv", "Subscribers of today\n" + csv_text(turned))
    manifest = stage.all()
    assert (manifest["predictions"], manifest["rejected"]) == (320, 1)
    found = {entry["subscriber_id"]: entry for entry in stage.predictions()}
    for record, answer in zip(records, stage.model.answers(records), strict=True):
        assert found[record["subscriber_id"]].items() >= answer.items()


def test_rows_that_cannot_be_scored_are_set_aside_with_the_reason(stage: Stage) -> None:
    records = without_label(subscribers(500, seed=22))
    records[7]["monthly_fee_eur"] = "twelve"
    lines = csv_text(records).encode().splitlines(keepends=True)
    lines[20] = b"cut,off\n"
    lines[30] = lines[30].replace(b",", b",\xff", 1)
    lines[40] = b'"quote" inside,' + lines[40]
    stage.put("daily/a.csv", b"".join(lines))
    stage.put("daily/b.jsonl", '{"plan": "basic"}\n{broken\n[1, 2]\n{"nothing": 1}\n{"plan": ["a"]}\n')
    stage.options = {"max-bad-percent": "2"}
    manifest = stage.all()
    assert (manifest["rows"], manifest["predictions"], manifest["rejected"]) == (505, 497, 8)
    rejected = {(entry["file"], entry["line"]): entry for entry in stage.lines(f"batch/{RUN}/rejected/")}
    reasons = {place: entry["reason"] for place, entry in rejected.items()}
    assert reasons.pop(("daily/a.csv", 41)).startswith("not CSV: ")
    assert reasons.pop(("daily/b.jsonl", 2)).startswith("not JSON: ")
    assert reasons == {
        ("daily/a.csv", 9): "column 'monthly_fee_eur': not a number",
        ("daily/a.csv", 21): "2 fields instead of 9",
        ("daily/a.csv", 31): "not UTF-8 text",
        ("daily/b.jsonl", 3): "not an object of columns and values",
        ("daily/b.jsonl", 4): "none of the columns that the model reads",
        ("daily/b.jsonl", 5): "column 'plan': a list or an object is not a value",
    }
    assert rejected["daily/a.csv", 9]["row"]["monthly_fee_eur"] == "twelve"
    assert rejected["daily/a.csv", 21]["row"] == "cut,off"


@pytest.mark.parametrize(
    ("rename", "reason"),
    [
        (str.upper, "its columns are spelt in another way"),
        (lambda name: f"c{len(name)}-{name[::-1]}", "which column"),
    ],
)
def test_a_header_in_other_words_ends_the_run_whatever_is_allowed(
    stage: Stage, rename: Callable[[str], str], reason: str
) -> None:
    records = without_label(subscribers(300, seed=24))
    mixed_up = [{rename(name): record[name] for name in reversed(record)} for record in records]
    stage.put("daily/a.csv", csv_text(mixed_up))
    stage.options = {"max-bad-percent": "100"}
    run = stage.start("check")
    assert run.returncode != 0
    assert "daily/a.csv: its first line is neither a header nor a record (" in run.stderr
    assert reason in run.stderr
    assert not stage.keys(f"batch/{RUN}/input/")


def test_a_column_that_is_there_twice_ends_the_run(stage: Stage) -> None:
    text = csv_text(without_label(subscribers(100, seed=28)))
    stage.put("daily/a.csv", text.replace("country", "plan", 1))
    run = stage.start("check")
    assert run.returncode != 0
    assert "daily/a.csv: its header has the column 'plan' twice" in run.stderr


def test_rows_with_misspelt_columns_are_set_aside(stage: Stage) -> None:
    records = without_label(subscribers(200, seed=25))
    misspelt = records[0] | {"monthly_fee_eurr": records[0].pop("monthly_fee_eur")}
    misspelt.pop("monthly_fee_eur", None)
    stage.put("daily/a.jsonl", "".join(json.dumps(record) + "\n" for record in [*records[1:], misspelt]))
    manifest = stage.all()
    assert (manifest["predictions"], manifest["rejected"]) == (199, 1)
    assert manifest["reasons"] == {"unknown column 'monthly_fee_eurr': is 'monthly_fee_eur' meant?": 1}


def test_too_many_bad_rows_end_the_run_before_anything_is_scored(stage: Stage) -> None:
    records = without_label(subscribers(100, seed=23))
    for record in records[:3]:
        record["support_tickets"] = "many"
    stage.put("daily/a.csv", csv_text(records[:50]))
    stage.put("daily/b.csv", csv_text(records[50:]))
    runs = [stage.start("check", host, HOSTS) for host in HOSTS]
    assert [run.returncode for run in runs[:2]] == [0, 0]
    assert runs[2].returncode != 0
    assert "3 of 100 rows cannot be scored (3 %, at most 1 % allowed)" in runs[2].stderr
    assert "Most often: column 'support_tickets': not a number (3)" in runs[2].stderr


def test_an_empty_input_ends_the_run_with_a_plain_reason(stage: Stage) -> None:
    run = stage.start("check")
    assert run.returncode != 0
    assert f"There are no rows in 0 files at s3://{stage.lake}/daily/ (all)" in run.stderr


def test_a_new_object_is_read_alone_and_a_marker_stands_for_its_folder(stage: Stage) -> None:
    records = without_label(subscribers(30, seed=24))
    stage.put("daily/1/a.csv", csv_text(records[:10]))
    stage.put("daily/1/b.csv", csv_text(records[10:15]))
    stage.put("daily/1/_SUCCESS", "")
    stage.put("daily/2/c.csv", csv_text(records[15:]))
    for new, rows in (("daily/1/b.csv", 5), ("daily/1/_SUCCESS", 15)):
        stage.options = {"object": new, "run": f"run{rows}"}
        stage.run("check")
        assert json.loads(stage.text(f"batch/run{rows}/check/algo-1.json"))["rows"] == rows


def test_a_missing_answer_is_never_papered_over(stage: Stage) -> None:
    stage.put("daily/a.csv", csv_text(without_label(subscribers(20, seed=25))))
    stage.run("check")
    stage.transform()
    (key,) = stage.keys(f"batch/{RUN}/output/")
    shorter = stage.text(key).splitlines(keepends=True)[1:]
    stage.aws.s3.put_object(Bucket=stage.bucket, Key=key, Body="".join(shorter).encode())
    run = stage.start("join")
    assert run.returncode != 0
    assert "has fewer answers than others after 19 of them" in run.stderr
    assert stage.keys(f"batch/run={RUN}/") == []


def test_a_run_whose_counts_do_not_add_up_is_not_declared_complete(stage: Stage) -> None:
    stage.put("daily/a.csv", csv_text(without_label(subscribers(20, seed=26))))
    stage.run("check")
    stage.transform()
    stage.run("join")
    (part,) = stage.keys(f"batch/run={RUN}/part-")
    stage.aws.s3.delete_object(Bucket=stage.bucket, Key=part)
    run = stage.start("verify")
    assert run.returncode != 0
    assert "20 rows were read, 0 set aside and 20 predicted in 0 of 1 parts: that does not add up" in run.stderr
    assert stage.keys(f"batch/run={RUN}/") == []


def test_a_step_that_is_repeated_changes_nothing(stage: Stage) -> None:
    records = without_label(subscribers(300, seed=27))
    for record in records:
        record["plan"] = "platinum"
    stage.put("daily/a.csv", csv_text(records))
    first = stage.all()
    parts = stage.predictions()
    assert stage.all() == first
    assert stage.predictions() == parts
    (detail,) = stage.aws.received(stage.queue)
    assert detail["id"] == f"churn-p-abc123-prod/run={RUN}"
    assert detail["report"] == f"s3://{stage.bucket}/monitoring/churn-p-abc123-prod/run={RUN}/report.html"
    assert ("data-quality", "categorical_values_check", "plan") in [
        (result["monitor"], result["metric"], result["feature"]) for result in detail["results"]
    ]


def test_large_inputs_are_spread_over_parts(stage: Stage) -> None:
    stage.put("daily/a.csv", "plan\n" + 45_000 * "basic\n")
    stage.run("check")
    counts = [len(stage.text(key).splitlines()) for key in stage.keys(f"batch/{RUN}/input/")]
    assert counts == [20_000, 20_000, 5_000]
