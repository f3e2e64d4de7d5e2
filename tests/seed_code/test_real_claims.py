"""Real claims through version 1.0.0 and through today's jobs: the same values, models as good."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from .generated import ROOT, Repository

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.seed, pytest.mark.prove]

CLAIMS = ROOT.parent / "shared/data/claims.csv"
FORMER = ROOT / "products/train_s3/releases/1.0.0/seed-code.zip"

WALK = """
import json, shutil, sys
from pathlib import Path
sys.path[:0] = ["src", "tests"]
import tabular_jobs

def walk(folder, **settings):
    project = tabular_jobs.Project(folder, {"label": "fraud", "record_key": ["policy_id"]} | settings)
    shutil.copy(sys.argv[1], project.data)
    project.validate()
    splits = project.prepare()
    project.train()
    report = project.evaluate()
    auc = report["binary_classification_metrics"]["auc"]["value"]
    return {"auc": auc, "splits": {name: json.loads(rows.to_json(orient="records")) for name, rows in splits.items()}}
"""

# As version 1 did: BLAKE2b of the key divides, and the texts of records say in which order they are learned from.
WITH_THE_FORMER_HASH = """
import numpy as np
import tabular.splits
from tabular import former_split

def order_of(records):
    columns = dict(zip(records.schema.names, records.columns))
    texts = former_split._identities(columns, list(columns))
    return (np.argsort(np.argsort(np.array(texts, object), kind="stable"), kind="stable") * 2**40).astype(np.uint64)

tabular.splits.divide = lambda *arguments: np.array(former_split.divide(*arguments))
tabular.splits.order_of = order_of
"""

FOLDS = """
import tabular.division
position = tabular.division.position
found = []
for fold in range(5):
    tabular.division.position = lambda hashes: (position(hashes) + fold / 5) % 1  # every record is tested once
    found.append(walk(Path(f"fold-{fold}"), splits={"train": 0.65, "validation": 0.15, "test": 0.2}))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def claims() -> Path:
    if not CLAIMS.is_file():
        pytest.skip("the claims are not on this machine")
    return CLAIMS


def walked(repository: Repository, data: Path, program: str) -> Any:  # noqa: ANN401 - JSON
    run = repository.run("-c", WALK + program, str(data), OMP_NUM_THREADS="1")
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_with_the_former_hash_values_and_model_are_those_of_1_0_0(claims: Path, tmp_path: Path) -> None:
    once = "print(json.dumps(walk(Path('walk'))))"
    former = walked(Repository(tmp_path / "former", archive=FORMER), claims, once)
    today = walked(Repository(tmp_path / "today"), claims, WITH_THE_FORMER_HASH + once)
    for split, records in former["splits"].items():
        key = "policy_id"
        assert sorted(today["splits"][split], key=lambda row: row[key]) == sorted(records, key=lambda row: row[key])
    assert today["auc"] == pytest.approx(former["auc"], abs=0.001)


def test_models_over_five_folds_are_as_good_as_before(claims: Path, tmp_path: Path) -> None:
    folds = walked(Repository(tmp_path / "folds"), claims, FOLDS)
    tested = [row["policy_id"] for fold in folds for row in fold["splits"]["test"]]
    assert len(tested) == len(set(tested)) == 5000
    assert sum(fold["auc"] for fold in folds) / 5 >= 0.645
