"""Models that released versions have trained, met by today's code."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from rehearsal import demo_data

from .generated import ROOT, Repository

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.seed

FORMER = ROOT / "products/train_s3/releases/1.1.0/seed-code.zip"

TRAIN = """
import shutil, sys
from pathlib import Path
sys.path[:0] = ["src", "tests"]
import tabular_jobs
data, out = map(Path, sys.argv[1:])
settings = {"label": "churned", "record_key": ["subscriber_id"], "hyperparameters": {"num_round": 20, "eta": 0.2}}
project = tabular_jobs.Project(out, settings | {"splits": {"train": 0.4, "validation": 0.2, "test": 0.4}})
shutil.copy(data, project.data)
project.validate(); project.prepare(); project.train()
tabular_jobs.pack(out / "train/model", out / "model.tar.gz")
(out / "test.txt").write_text("\\n".join(project.split("test")["subscriber_id"]))
"""

COMPARE = """
import json, sys
from pathlib import Path
sys.path[:0] = ["src"]
from tabular.comparison import compare
from tabular.model import Model, targets
from tabular.splits import Split
former, out = map(Path, sys.argv[1:])
model = Model.load(out / "train/model")
(test,) = Split(out / "prepare/output/test", model.schema, model.config)
truth, scores = targets(test, model.schema), model.scores(test)
found = compare("arn", former / "model.tar.gz", out / "champion", model, [test], truth, scores)
print(json.dumps(found.to_dict()))
"""


def test_a_model_of_1_1_0_is_compared_on_the_records_that_are_test_records_of_both(
    repository: Repository, tmp_path: Path
) -> None:
    former = Repository(tmp_path / "former", archive=FORMER)
    data = tmp_path / "subscribers.csv"
    demo_data.write(data, rows=3000)
    with ThreadPoolExecutor() as pool:
        trainings = [
            pool.submit(checkout.run, "-c", TRAIN, str(data), str(tmp_path / name), OMP_NUM_THREADS="1")
            for checkout, name in ((former, "old"), (repository, "new"))
        ]
    for training in trainings:
        assert training.result().returncode == 0, training.result().stderr[-3000:]
    run = repository.run("-c", COMPARE, str(tmp_path / "old"), str(tmp_path / "new"))
    assert run.returncode == 0, run.stderr[-3000:]
    old, new = (set((tmp_path / name / "test.txt").read_text().split()) for name in ("old", "new"))
    comparison = json.loads(run.stdout)
    assert comparison["rows"] == len(old & new) < len(new)
    assert comparison["note"] == f"scored on the {len(old & new)} test records it has not learned from"
