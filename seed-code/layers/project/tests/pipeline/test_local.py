"""The whole pipeline on this machine, on the made-up sample."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_pipelines import sample
from ml_pipelines.cli import main
from ml_pipelines.config import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up sample as two files."""
    folder = tmp_path_factory.mktemp("data")
    sample.write(folder / "first.csv", 700, seed=1)
    sample.write(folder / "second.csv", 700, seed=2)
    return folder


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """The configuration of the project, for a training that takes no time."""
    return configured(tmp_path, "num_round: 500", "num_round: 60")


def configured(folder: Path, before: str, after: str) -> Path:
    """Write a variant of the configuration and return its path."""
    text = (ROOT / "config.yaml").read_text()
    assert before in text
    (folder / "config.yaml").write_text(text.replace(before, after))
    return folder / "config.yaml"


def run(folder: Path, config: Path, data: Path, *options: str) -> int:
    arguments = ["--data", str(data), "--config", str(config), "--output", str(folder / "out")]
    return main(["local", *arguments, *options])


def read(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "out" / name).read_text())
    return content


@pytest.mark.parametrize(
    ("problem_type", "metric", "least"),
    [("binary", "auc", 0.7), ("multiclass", "macro_f1", 0.7), ("regression", "r2", 0.6)],
)
def test_every_kind_of_problem_ends_in_a_registration(
    tmp_path: Path, quick: Path, data: Path, problem_type: str, metric: str, least: float
) -> None:
    label = sample.LABELS[problem_type]
    assert run(tmp_path, quick, data, "--label", label, "--set", "ProcessingInstanceCount=2") == 0
    report = read(tmp_path, "evaluation/evaluation.json")
    section = next(content for name, content in report.items() if name.endswith("_metrics"))
    assert report["problem_type"] == problem_type
    assert section[metric]["value"] > least
    package = read(tmp_path, "model-package.json")
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    metadata = package["CustomerMetadataProperties"]
    assert metadata["problem_type"] == problem_type
    assert float(metadata["metric_value"]) == report["gate"]["value"]
    card = json.loads(package["ModelCard"]["ModelCardContent"])
    (measured,) = card["evaluation_details"][0]["metric_groups"][0]["metric_data"]
    assert measured == {"name": report["gate"]["metric"], "type": "number", "value": report["gate"]["value"]}
    assert list((tmp_path / "out" / "evaluation").glob("*.png"))
    assert package["ModelPackageDescription"] == f"Predicts {label}; on test records {report['gate']['reason']}"
    sources = (*package["ModelMetrics"].values(), *package["DriftCheckBaselines"].values())
    documents = [document["S3Uri"] for source in sources for document in source.values()]
    assert len(documents) == 8  # statistics and constraints, of the model and of its data, twice
    for uri in (*documents, package["SamplePayloadUrl"]):
        assert (tmp_path / "out" / "store" / uri.removeprefix("s3://")).is_file()


def test_a_gate_that_is_missed_names_the_number(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, "threshold: null", "threshold: 0.99")
    assert run(tmp_path, config, data, "--label", sample.LABEL) == 1
    value = read(tmp_path, "evaluation/evaluation.json")["gate"]["value"]
    message = capsys.readouterr().err
    assert f"Step GateFailed failed: The model is not registered: auc is {value:.4f}" in message
    assert "0.99" in message
    assert not (tmp_path / "out" / "model-package.json").exists()


def test_without_namespaces_the_result_is_the_same(tmp_path: Path, quick: Path, data: Path) -> None:
    results = []
    for options in ([], ["--no-namespaces"]):
        assert run(tmp_path, quick, data, "--label", sample.LABEL, *options) == 0
        results.append(read(tmp_path, "evaluation/evaluation.json")["gate"])
    assert results[0] == results[1]


def test_bad_data_is_reported_with_file_and_row(
    tmp_path: Path, quick: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (data / "first.csv").read_text().splitlines()
    lines[100] += ",one too many"
    (tmp_path / "bad.csv").write_text("\n".join(lines) + "\n")
    assert run(tmp_path, quick, tmp_path / "bad.csv", "--label", sample.LABEL) == 1
    message = capsys.readouterr().err
    assert "Step Validate failed: " in message
    assert "bad.csv" in message
    assert "101" in message


def test_a_label_that_is_not_there_is_reported(
    tmp_path: Path, quick: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, quick, data, "--label", "chrned") == 1
    message = capsys.readouterr().err
    assert "Step Validate failed: " in message
    assert "chrned" in message


def test_a_wrong_setting_stops_before_anything_runs(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path, "metric: auto", "metric: auk")
    assert run(tmp_path, config, data, "--label", sample.LABEL) == 1
    assert "metric must be one of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_line_explains_itself() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "ml_pipelines", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for command in ("upsert", "start", "definition", "local"):
        assert command in help_text
