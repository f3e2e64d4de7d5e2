import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tabular_jobs import Project, evaluated, shop_config, shop_records

import train
from tabular.errors import ConfigError, DataError
from tabular.model import Model, targets
from tabular.splits import Split

pytestmark = pytest.mark.slow


def prepared(folder: Path, problem_type: str = "binary", files: int = 1, hosts: int = 1, **config: object) -> Project:
    """Return a project that is ready for training."""
    project = Project(folder, shop_config(problem_type, **config))
    for number in range(files):
        project.add_csv(f"{number}.csv", shop_records()[number::files])
    project.validate()
    project.prepare(hosts)
    return project


@pytest.mark.parametrize("problem_type", ["binary", "multiclass", "regression"])
def test_the_archive_holds_all_that_serving_needs(problem_type: str) -> None:
    folder = evaluated(problem_type).folder / "train" / "model"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"model.ubj", "encoders.json", "schema.json", "config.json", "training.json"} <= files
    assert {"code/inference.py", "code/tabular/__init__.py", "code/tabular/model.py"} <= files
    assert not [name for name in files if "__pycache__" in name]


def test_metrics_are_printed_for_the_metric_definitions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared(tmp_path).train()
    found = dict(re.findall(r"^validation:(\w+)=(-?[0-9.]+)$", capsys.readouterr().out, re.MULTILINE))
    assert float(found["auc"]) > 0.7
    assert {"pr_auc", "f1", "accuracy", "log_loss"} <= found.keys()


def test_flags_override_the_configuration_and_unknown_ones_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = prepared(tmp_path)
    project.train("--max_depth", "2", "--num_round", "7", "--sagemaker_job_name", "x")
    assert project.model().config.hyperparameters.max_depth == 2
    assert project.model().training["rounds"] <= 7
    assert "flags without meaning here: --sagemaker_job_name x" in capsys.readouterr().out


def test_an_impossible_hyperparameter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hyperparameters\.eta must be above 0"):
        prepared(tmp_path).train("--eta", "2")


def test_training_stops_when_validation_gets_no_better(tmp_path: Path) -> None:
    project = prepared(tmp_path, hyperparameters={"num_round": 500, "eta": 0.5, "early_stopping_rounds": 5})
    project.train()
    history = json.loads((tmp_path / "train" / "history.json").read_text())
    course = history["validation"]["logloss"]
    assert len(course) < 500
    assert project.model().training["rounds"] == int(np.argmin(course)) + 1


def test_encoders_have_seen_training_records_only(tmp_path: Path) -> None:
    project = Project(tmp_path, shop_config("binary"))
    records = shop_records()
    project.add_csv("all.csv", records)
    project.validate()
    splits = project.prepare()
    tested = set(splits["test"]["customer"])
    records.loc[records["customer"].isin(tested), "region"] = "only in test"
    project.add_csv("all.csv", records)
    project.validate()
    project.prepare()
    project.train()
    region = next(item for item in project.model().encoders.encoders if item.column == "region")
    assert set(region.categories) == {"north", "south", "east", "wést"}


@pytest.mark.parametrize("values_per_bucket", [2_000_000, 2_000])
def test_neither_files_nor_order_nor_instances_change_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values_per_bucket: int
) -> None:
    monkeypatch.setattr("tabular.splits.VALUES_PER_BUCKET", values_per_bucket)
    one, many = prepared(tmp_path / "one"), prepared(tmp_path / "many", files=3, hosts=2)
    assert (one.train() / "model.ubj").read_bytes() == (many.train() / "model.ubj").read_bytes()


@pytest.mark.parametrize("problem_type", ["binary", "multiclass", "regression"])
def test_learning_from_disk_makes_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], problem_type: str
) -> None:
    monkeypatch.setattr("tabular.splits.VALUES_PER_BUCKET", 2_000)
    project = prepared(tmp_path, problem_type)
    assert len(list((tmp_path / "prepare" / "output" / "train").iterdir())) > 3
    in_memory = (project.train() / "model.ubj").read_bytes()
    assert "are learned from disk" not in capsys.readouterr().out
    monkeypatch.setattr("tabular.features.MOST_PLAIN_VALUES", 0)
    assert (project.train() / "model.ubj").read_bytes() == in_memory
    project.config["in_memory_mib"] = 0
    assert (project.train() / "model.ubj").read_bytes() == in_memory
    assert "training records are learned from disk: they take more than in_memory_mib" in capsys.readouterr().out
    assert not list((tmp_path / "train").glob("tmp*")), "encoded records stay behind"


def test_two_thousand_columns_are_learned_from(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=(300, 1999)).round(3)
    records = pd.DataFrame(values, columns=[f"n{number}" for number in range(1999)])
    records["y"] = np.where(records["n7"] > 0, "yes", "no")
    project = Project(tmp_path, {"label": "y", "hyperparameters": {"num_round": 3}})
    project.add_csv("wide.csv", records)
    project.validate()
    project.prepare()
    project.train()
    assert project.model().training["validation"]["auc"] > 0.9


def test_balanced_classes_find_more_of_the_rare_class(tmp_path: Path) -> None:
    means = []
    for balance in (False, True):
        project = Project(tmp_path / str(balance), shop_config("binary", balance_classes=balance))
        records = shop_records()
        rare = records["churned"].eq("yes") & (records.index % 10 != 0)
        project.add_csv("all.csv", records[~rare])
        project.validate()
        test = project.prepare()["test"]
        project.train()
        means.append(project.model().scores(test).mean())
    assert means[1] > 2 * means[0]


def test_an_empty_split_is_explained(tmp_path: Path) -> None:
    project = prepared(tmp_path)
    for part in (tmp_path / "prepare" / "output" / "validation").iterdir():
        part.unlink()
    with pytest.raises(DataError, match=r"The validation split has no record.*record key \(customer\)"):
        project.train()


def test_a_class_without_training_records_is_named(tmp_path: Path) -> None:
    project = prepared(tmp_path, "multiclass")
    schema_file = tmp_path / "validate" / "output" / "schema" / "schema.json"
    schema = json.loads(schema_file.read_text(encoding="utf-8"))
    schema_file.write_text(
        json.dumps(schema | {"classes": [*schema["classes"], "platinum"], "class_rows": [1, 1, 1, 1]})
    )
    with pytest.raises(DataError, match="training split has no record with the label 'platinum'"):
        project.train()


def test_two_instances_build_one_model_together(tmp_path: Path) -> None:
    project = prepared(tmp_path, files=2, hosts=2, hyperparameters={"num_round": 4, "eta": 0.3})
    project.train()  # one instance with all records: the model to compare with
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    hosts = ["127.0.0.1", "localhost"]
    parts = sorted((tmp_path / "prepare" / "output" / "train").iterdir())
    jobs = [start_instance(tmp_path, host, hosts, part, port) for host, part in zip(hosts, parts, strict=True)]
    try:
        printed = [job.communicate(timeout=120)[0] for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    assert [job.returncode for job in jobs] == [0, 0]
    assert all("validation:auc=" in text for text in printed)
    assert not (tmp_path / "localhost" / "model").exists()
    together, alone = Model.load(tmp_path / "127.0.0.1" / "model"), project.model()
    assert together.encoders == alone.encoders
    (test,) = Split(tmp_path / "prepare" / "output" / "test", alone.schema, alone.config)
    truth = targets(test, alone.schema)
    losses = [float(np.mean((model.scores(test) - truth) ** 2)) for model in (together, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def start_instance(folder: Path, host: str, hosts: list[str], part: Path, port: int) -> "subprocess.Popen[str]":
    """Start the training job of one of several instances; it gets one file of the training records."""
    share = folder / host / "train"
    share.mkdir(parents=True)
    (share / part.name).symlink_to(part)
    environment = os.environ | {
        "SM_HOSTS": json.dumps(hosts),
        "SM_CURRENT_HOST": host,
        "SM_CHANNEL_TRAIN": str(share),
        "SM_CHANNEL_VALIDATION": str(folder / "prepare" / "output" / "validation"),
        "SM_CHANNEL_SCHEMA": str(folder / "validate" / "output" / "schema"),
        "SM_MODEL_DIR": str(folder / host / "model"),
        "SM_OUTPUT_DATA_DIR": str(folder / host / "data"),
        "PYTHONPATH": str(Path(train.__file__).parent),
        "OMP_NUM_THREADS": "1",
    }
    program = (
        "import sys; from pathlib import Path; import tabular.cluster, tabular.config, train; "
        f"tabular.cluster.TRACKER_PORT = {port}; tabular.config.CONFIG_PATH = Path({str(folder / 'config.json')!r}); "
        "sys.argv = ['train.py']; train.main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
