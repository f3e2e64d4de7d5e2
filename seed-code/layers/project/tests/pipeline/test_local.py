"""The whole pipeline on this machine, on the made-up sample."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
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


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of the project, for a training that takes no time."""
    return configured(tmp_path_factory.mktemp("quick"))


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, quick: Path, data: Path) -> Callable[[str], Path]:
    """Returns the folder of a run that ended in a registration, given the problem type; there is one run of each."""

    @functools.cache
    def run_once(problem_type: str) -> Path:
        folder = tmp_path_factory.mktemp(problem_type)
        label = sample.LABELS[problem_type]
        assert run(folder, quick, data, "--label", label, "--set", "ProcessingInstanceCount=2") == 0
        return folder

    return run_once


def configured(folder: Path, **changes: str) -> Path:
    """Write a configuration that changes nothing else, whatever the project's own says, and return its path."""
    lines = ["hyperparameters: {num_round: 60}", *(f"{name}: {value}" for name, value in changes.items())]
    (folder / "config.yaml").write_text("\n".join(lines) + "\n")
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
    registered: Callable[[str], Path], problem_type: str, metric: str, least: float
) -> None:
    folder = registered(problem_type)
    report = read(folder, "evaluation/evaluation.json")
    section = next(content for name, content in report.items() if name.endswith("_metrics"))
    assert report["problem_type"] == problem_type
    assert section[metric]["value"] > least
    package = read(folder, "model-package.json")
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    metadata = package["CustomerMetadataProperties"]
    assert metadata["problem_type"] == problem_type
    assert float(metadata["metric_value"]) == report["gate"]["value"]
    card = json.loads(package["ModelCard"]["ModelCardContent"])
    (measured,) = card["evaluation_details"][0]["metric_groups"][0]["metric_data"]
    assert card["evaluation_details"][0]["evaluation_observation"].endswith(" no approved model to compare with.")
    assert measured == {"name": report["gate"]["metric"], "type": "number", "value": report["gate"]["value"]}
    assert list((folder / "out" / "evaluation").glob("*.png"))
    assert (
        package["ModelPackageDescription"]
        == f"Predicts {sample.LABELS[problem_type]}; on test records {report['gate']['reason']}"
    )
    sources = (*package["ModelMetrics"].values(), *package["DriftCheckBaselines"].values())
    documents = [document["S3Uri"] for source in sources for document in source.values()]
    assert len(documents) == 10  # statistics and constraints, of the model and its data, and the explanation: twice
    for uri in (*documents, package["SamplePayloadUrl"]):
        assert (folder / "out" / "store" / uri.removeprefix("s3://")).is_file()


def test_without_namespaces_and_on_one_instance_the_model_is_the_same_and_a_missed_gate_names_the_number(
    tmp_path: Path, data: Path, registered: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path, threshold="0.99")
    assert run(tmp_path, config, data, "--label", sample.LABEL, "--no-namespaces") == 1
    message = capsys.readouterr().err
    report = read(tmp_path, "evaluation/evaluation.json")
    value = report.pop("gate")["value"]
    assert f"Step GateFailed failed: The model is not registered: auc is {value:.4f}" in message
    assert "0.99" in message
    assert not (tmp_path / "out" / "model-package.json").exists()
    before = read(registered("binary"), "evaluation/evaluation.json")
    assert report == {name: content for name, content in before.items() if name != "gate"}


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
    config = configured(tmp_path, metric="auk")
    assert run(tmp_path, config, data, "--label", sample.LABEL) == 1
    assert "metric must be one of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_data_in_the_output_folder_is_not_deleted(
    tmp_path: Path, quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "deep").mkdir(parents=True)
    data = tmp_path / "out" / "deep" / "customers.csv"
    sample.write(data)
    for given in (data, data.parent, tmp_path):
        assert run(tmp_path, quick, given) == 1
        assert "would be deleted" in capsys.readouterr().err
        assert data.is_file()


def test_a_folder_that_the_tool_did_not_make_is_not_emptied(
    tmp_path: Path, quick: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "out" / "thesis.txt"
    precious.parent.mkdir()
    precious.touch()
    assert run(tmp_path, quick, data) == 1
    assert "is not empty, and this command did not make it" in capsys.readouterr().err
    assert precious.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("s3://lake/churn/", "DATA is s3://lake/churn, and nothing is read from S3"),
        ("no.csv", "There is no data at no.csv"),
    ],
)
def test_data_that_is_not_on_this_machine_is_asked_for_before_anything_is_deleted(
    tmp_path: Path, quick: Path, data: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, quick, Path(data)) == 1
    assert message in capsys.readouterr().err


def test_jobs_on_no_instance_are_refused(
    tmp_path: Path, quick: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, quick, data, "--label", sample.LABEL, "--set", "ProcessingInstanceCount=0") == 1
    assert "Step Prepare failed: the job is to run on 0 instances" in capsys.readouterr().err


def test_the_command_line_explains_itself() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "ml_pipelines", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for command in ("upsert", "start", "definition", "local"):
        assert command in help_text
