"""Running the jobs of `src/` in this process, on small generated data sets."""

import atexit
import functools
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

# The models of the tests are small: more threads would wait for each other longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import pyarrow as pa

import evaluate
import prepare
import train
import validate
from tabular.config import Config
from tabular.model import Model
from tabular.schema import Schema


def shop_records(rows: int = 1500, seed: int = 7) -> pd.DataFrame:
    """Return customers of a shop: numbers, categories, booleans, dates, missing values, and signal in them."""
    random = np.random.default_rng(seed)
    spent = random.gamma(2.0, 40.0, rows).round(2)
    visits = random.poisson(4, rows)
    region = random.choice(["north", "south", "east", "wést"], rows, p=[0.4, 0.3, 0.2, 0.1])
    member = random.random(rows) < 0.4
    joined = pd.Timestamp("2021-01-01") + pd.to_timedelta(random.integers(0, 1400, rows), unit="D")
    pull = -1.2 + 0.02 * spent - 0.35 * visits + 1.5 * member + 1.2 * (region == "south")
    churned = random.random(rows) < 1 / (1 + np.exp(-pull))
    records = pd.DataFrame(
        {
            "customer": [f"c{number:05d}" for number in range(rows)],
            "spent": pd.Series(spent).mask(random.random(rows) < 0.05),
            "visits": visits,
            "region": pd.Series(region, dtype=object).mask(random.random(rows) < 0.03),
            "member": np.where(member, "yes", "no"),
            "joined": joined.strftime("%Y-%m-%d"),
            "note": [f'said "{number}", left' for number in range(rows)],
            "segment": np.select([pull > 1, pull > -1], ["gold", "silver"], "bronze"),
            "value": (30 + 2 * spent + 5 * visits + 40 * member + random.normal(0, 10, rows)).round(3),
            "churned": np.where(churned, "yes", "no"),
        }
    )
    return records


def arrow_columns(records: pd.DataFrame) -> dict[str, pa.Array]:
    """Return typed records of pandas as Arrow columns."""
    return {name: pa.array(records[name], from_pandas=True) for name in records.columns}


LABELS = {"binary": "churned", "multiclass": "segment", "regression": "value"}


def shop_config(problem_type: str, **changes: Any) -> dict[str, Any]:
    """Return a configuration that predicts the label of a problem type and leaves out the other two labels."""
    label = LABELS[problem_type]
    others = [name for name in LABELS.values() if name != label]
    small = {"num_round": 60, "eta": 0.2}
    return {"label": label, "record_key": ["customer"], "drop": others, "hyperparameters": small} | changes


class Project:
    """A folder in which jobs run one after the other, as the pipeline runs them.

    Args:
        folder: An empty folder.
        config: The configuration of the jobs.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.data = folder / "validate" / "input" / "data"
        self.data.mkdir(parents=True)

    def add_csv(self, name: str, records: pd.DataFrame, **options: Any) -> None:
        """Add a CSV file to the data."""
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        records.to_csv(path, index=False, **options)

    def add_text(self, name: str, text: str) -> None:
        """Add a file with the given content to the data."""
        (self.data / name).write_text(text, encoding="utf-8")

    def validate(self) -> Schema:
        """Run the validation job."""
        self._run(validate, "--base", str(self.folder / "validate"))
        return Schema.load(self.folder / "validate" / "output" / "schema")

    def prepare(self, hosts: int = 1) -> dict[str, pd.DataFrame]:
        """Run the preparation job on some instances, each with every n-th file; return the records of each split."""
        base = self.folder / "prepare"
        for host in range(hosts):
            shutil.rmtree(base / "input", ignore_errors=True)
            shutil.copytree(self.folder / "validate" / "output" / "schema", base / "input" / "schema")
            for path in sorted(path for path in self.data.rglob("*") if path.is_file())[host::hosts]:
                copy = base / "input" / "data" / path.relative_to(self.data)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
            names = [f"algo-{number + 1}" for number in range(hosts)]
            with mock.patch.dict(os.environ, SM_CURRENT_HOST=names[host], SM_HOSTS=json.dumps(names)):
                self._run(prepare, "--base", str(base))
        return {split: self.split(split) for split in ("train", "validation", "test")}

    def split(self, name: str) -> pd.DataFrame:
        """Return the records of a split as the files have them."""
        parts = sorted((self.folder / "prepare" / "output" / name).glob("*.parquet"))
        return pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)

    def train(self, *flags: str) -> Path:
        """Run the training job; return the folder that becomes the model archive."""
        output = self.folder / "train"
        channels = {
            f"SM_CHANNEL_{name.upper()}": str(self.folder / "prepare" / "output" / name)
            for name in ("train", "validation")
        }
        schema = str(self.folder / "validate" / "output" / "schema")
        places = {"SM_CHANNEL_SCHEMA": schema, "SM_MODEL_DIR": str(output / "model"), "SM_OUTPUT_DATA_DIR": str(output)}
        with mock.patch.dict(os.environ, channels | places):
            self._run(train, *flags)
        return output / "model"

    def evaluate(self, *flags: str) -> dict[str, Any]:
        """Run the evaluation job; return its report."""
        base = self.folder / "evaluate"
        shutil.copytree(self.folder / "prepare" / "output", base / "input", dirs_exist_ok=True)
        pack(self.folder / "train" / "model", base / "input" / "model" / "model.tar.gz")
        self._run(evaluate, "--base", str(base), *flags)
        return self.json("evaluation", "evaluation.json")

    def json(self, output: str, name: str) -> Any:
        """Return the content of a JSON file among the outputs of the evaluation job."""
        return json.loads((self.output(output) / name).read_text(encoding="utf-8"))

    def output(self, name: str) -> Path:
        """Return a folder of outputs of the evaluation job."""
        return self.folder / "evaluate" / "output" / name

    def model(self) -> Model:
        """Return the trained model."""
        return Model.load(self.folder / "train" / "model")

    def _run(self, job: Any, *arguments: str) -> None:
        """Run a job script with arguments and the configuration of the project."""
        config = self.folder / "config.json"
        config.write_text(json.dumps(self.config), encoding="utf-8")
        with mock.patch("tabular.config.CONFIG_PATH", config), mock.patch.object(sys, "argv", ["job", *arguments]):
            job.main()


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder as SageMaker packs a model."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=".")


@functools.cache
def evaluated(problem_type: str) -> Project:
    """Return a project that has run all jobs for a problem type; shared by tests, so do not change it."""
    folder = Path(tempfile.mkdtemp(prefix=f"tabular-{problem_type}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    project = Project(folder, shop_config(problem_type))
    project.add_csv("shop.csv", shop_records())
    project.validate()
    project.prepare()
    project.train()
    project.evaluate()
    return project


def config(**values: Any) -> Config:
    """Return a configuration with a label."""
    return Config.from_dict({"label": "y"} | values)


def csv_text(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return CSV as a person would type it."""
    return "\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n"
