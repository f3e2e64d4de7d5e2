import json
import subprocess
import sys
from pathlib import Path

import pytest
from tabular_jobs import config

from tabular import config as config_module
from tabular.config import Config
from tabular.errors import ConfigError


def test_a_label_is_all_that_has_to_be_configured() -> None:
    assert Config.from_dict({"label": "churned"}).metric_for("binary") == "auc"


def test_values_survive_a_round_trip_through_json(tmp_path: Path) -> None:
    written = config(record_key=["id"], types={"zip": "category"}, positive="yes", hyperparameters={"eta": 0.3})
    written.save(tmp_path / "config.json")
    assert Config.load(tmp_path / "config.json") == written


def test_every_mistake_is_named_at_once_with_the_value_found() -> None:
    with pytest.raises(ConfigError) as failure:
        Config.from_dict(
            {
                "lable": "churned",
                "problem_type": "ranking",
                "splits": {"train": 0.9},
                "hyperparameters": {"eta": 0, "depth": 3},
                "types": {"zip": "text"},
                "threshold": "high",
                "min_rows": 0,
            }
        )
    message = str(failure.value)
    for expected in (
        "lable is not a known key; did you mean label?",
        "label must name a column, e.g. \"churned\"; found ''",
        "found 'ranking'",
        "splits must add up to 1, e.g. 0.7, 0.15 and 0.15; found 1.2",
        "hyperparameters.eta must be above 0 and at most 1, found 0",
        "hyperparameters.depth is not a known key; did you mean max_depth?",
        "types.zip must be one of number, category, boolean, date, or how its numbers or dates are written, ",
        "threshold must be a number or null, found 'high'",
        "min_rows must be a whole number of at least 1, found 0",
    ):
        assert expected in message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"metric": "rmse", "problem_type": "binary"}, "metric 'rmse' does not fit problem_type 'binary'"),
        ({"drop": ["y"]}, "label 'y' must not also be listed under record_key or drop"),
        ({"record_key": 3}, "record_key must be a list of column names, found 3"),
        ({"splits": {"train": 1.0, "validation": 0.0, "test": 0.0}}, "splits.train must be between 0 and 1"),
        ({"splits": "all"}, "splits must be a mapping"),
        ({"hyperparameters": {"max_depth": True}}, "hyperparameters.max_depth must be a whole number"),
        ({"in_memory_mib": "4 GiB"}, "in_memory_mib must be a whole number of at least 0, found '4 GiB'"),
        ({"seed": -1}, "seed must be a whole number of at least 0, found -1"),
        ({"types": ["zip"]}, "types must map columns to kinds"),
        ({"positive": ["a"]}, "positive must be a label value or null"),
        ({"threshold": float("nan")}, "threshold must be a number or null"),
        ({"champion_tolerance": -0.1}, "champion_tolerance must be a number of at least 0"),
        ({"problem_type": ["binary"]}, "problem_type must be one of"),
        ({"types": {"zip": ["category"]}}, "types.zip must be one of"),
    ],
)
def test_a_value_that_cannot_work_is_refused(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected.replace("(", r"\(")):
        config(**values)


def test_one_column_needs_no_list() -> None:
    assert config(record_key="id").record_key == ("id",)


def test_a_metric_of_another_problem_type_is_refused_when_the_type_is_found_later() -> None:
    with pytest.raises(ConfigError, match="metric 'auc' does not exist for a regression problem"):
        config(metric="auc").metric_for("regression")


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "is missing"), ("{", "is not JSON"), ("[]", "one JSON object")]
)
def test_an_unusable_file_is_named(tmp_path: Path, content: str | None, expected: str) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=expected):
        Config.load(path)


def test_the_configuration_can_be_read_without_any_installed_library() -> None:
    source = Path(config_module.__file__).parents[1]
    program = "import sys, json; from tabular.config import Config; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True
    )
    assert not {"numpy", "pandas", "xgboost", "pyarrow"} & set(json.loads(done.stdout))
