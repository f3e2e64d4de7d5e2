"""Inputs over which real people stumbled, through a generated repository: the right answer, or one clear question."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .generated import ROOT, Repository

TRIALS = ROOT.parent / "shared/trials"

pytestmark = pytest.mark.seed

REFUSED = {
    "number-european-thousands-dot-silently-1000x.csv": r"'amount': '.*' may be .* or .*types in config\.yaml",
    "label-true-TRUE-True-mixed.csv": "Column 'churn': 'T.*one class in several spellings",
    "label-NA-becomes-class.csv": "line 4, column 'churn': the label is missing, as in 22 of 160 rows.*drop_unlabelled",
    "label-count-refused-with-wrong-advice.csv": "problem_type: regression",
    "payload-empty-object.json": "none of the columns that the model reads",
    "payload-one-key-misspelt.json": "unknown column 'ammount': is 'amount' meant",
    "config-duplicate-key.yaml": r"config\.yaml: threshold is there twice, in lines 2 and 3",
    "config-threshold-80.yaml": "threshold 80 can never decide anything: auc is between 0 and 1",
    "config-latin1-stack-trace.yaml": r"config\.yaml is not UTF-8 text",
}
READ = {
    "number-european-decimal.csv": {"amount": "number"},
    "number-placeholder-div0-10percent.csv": {"amount": "number"},
    "date-postgres-timestamptz-plus00.csv": {"opened": "date"},
    "hive-partition-column-lost": {"region": "category"},
    "parquet-list-column-not-droppable.parquet": {"amount": "number"},
    "header-year-columns.csv": {"2023": "number", "2024": "number"},
    "encoding-utf16-excel-unicode-text.csv": {"amount": "number", "opened": "date"},
}
SCORED = ("payload-instances-object.json", "payload-records-wrapper.json", "payload-semicolon.csv")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def found(repository: Repository) -> dict[str, Any]:
    """What became of every trial, by its name."""
    if not TRIALS.is_dir():
        pytest.skip("the trial inputs are not on this machine")
    program = Path(__file__).with_name("try_trials.py.txt")
    run = repository.run(str(program), str(TRIALS), PYTHONPATH="src:tests:.")
    assert run.returncode == 0, run.stderr
    outcomes: dict[str, Any] = json.loads(run.stdout)
    return outcomes


@pytest.mark.parametrize(("name", "message"), REFUSED.items())
def test_what_cannot_be_right_is_refused_with_the_way_out(found: dict[str, Any], name: str, message: str) -> None:
    assert isinstance(found[name], str)
    assert re.search(message, found[name])


@pytest.mark.parametrize(("name", "kinds"), READ.items())
def test_tables_are_read_as_they_are_meant(found: dict[str, Any], name: str, kinds: dict[str, str]) -> None:
    columns = found[name]["columns"]
    assert {column: columns[column][0] for column in kinds} == kinds
    assert found[name]["rows"] >= 60
    assert len(found[name]["classes"]) == 2


@pytest.mark.parametrize("name", SCORED)
def test_requests_in_known_forms_are_scored(found: dict[str, Any], name: str) -> None:
    assert [0 <= answer["score"] <= 1 for answer in found[name]["predictions"]] == [True]


def test_cells_in_which_a_spreadsheet_could_not_calculate_are_missing(found: dict[str, Any]) -> None:
    assert found["number-placeholder-div0-10percent.csv"]["columns"]["amount"][1] > 10


def test_numbers_in_settings_are_what_people_mean(found: dict[str, Any]) -> None:
    assert found["config-eta-1e-3.yaml"]["hyperparameters"]["eta"] == 0.001


def test_every_trial_of_this_repository_is_tried(found: dict[str, Any]) -> None:
    known = {*REFUSED, *READ, *SCORED, "config-eta-1e-3.yaml", "config-label-set-build-fails.yaml"}
    assert set(found) == known


def test_the_first_edit_that_the_readme_asks_for_leaves_the_builds_tests_green(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    text = (tmp_path / "config.yaml").read_text(encoding="utf-8")
    for key, value in {
        "label": "fraud",
        "problem_type": "multiclass",
        "metric": "macro_f1",
        "threshold": "0.2",
        "record_key": "[customer]",
        "num_round": "7",
        "processing_instance_count": "3",
        "cache_days": "0",
    }.items():
        text, count = re.subn(rf"^( *{key}:) .*$", rf"\1 {value}", text, flags=re.MULTILINE)
        assert count == 1
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "data.yaml").write_text("data_uri: s3://own/place/\n", encoding="utf-8")
    run = repository.run("-m", "pytest", "-q", "-m", "not slow", "tests/pipeline", "tests/test_settings_file.py")
    assert run.returncode == 0, run.stdout
