"""Models that released versions have trained, met by today's code."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from rehearsal import demo_data

from .generated import ROOT, Repository
from .warm import warm_python

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

UNDERSTAND = """
import json, sys
from pathlib import Path
jobs = Path(sys.argv[1])
sys.path[:0] = [str(jobs / "monitor"), str(jobs / "batch")]
from check import judge
from monitoring import package
from monitoring.columns import frame, understand
from rows import Row
out = Path(sys.argv[2])
model = package.load_model(out / "model.tar.gz", out / "unpacked")
records = json.loads(sys.stdin.read())
found = {}
for column in model.columns:
    values = understand(column, [record.get(column.name) for record in records], len(records))
    found[column.name] = vars(values) | {"numbers": values.numbers.tolist(), "present": values.present}
reasons = judge([Row(1, row) for row in records], model)
moved = model.contributions(frame(model, records))
print(json.dumps([found, reasons, list(moved.shape)], sort_keys=True))
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


def test_monitors_and_batch_jobs_understand_records_by_the_code_of_1_0_0_as_by_todays(
    repository: Repository, tmp_path: Path
) -> None:
    former = Repository(tmp_path / "former", archive=FORMER.parents[1] / "1.0.0/seed-code.zip")
    data = tmp_path / "subscribers.csv"
    demo_data.write(data, rows=1500)
    records: list[dict[str, Any]] = [
        {"plan": "basic", "country": "PT", "monthly_fee_eur": "7.99", "support_tickets": 3, "autopay": "yes"},
        {"plan": "gold", "country": None, "monthly_fee_eur": 12, "support_tickets": "many", "autopay": True},
        {"plan": 5, "monthly_fee_eur": "NA", "support_tickets": 1.5, "signup_date": "2024-03-05", "autopay": "f"},
        {"plan": ["a"], "monthly_fee_eur": "twelve", "hours_last_month": "", "signup_date": "yesterday"},
        {"plan": " family ", "monthly_fee_eur": True, "hours_last_month": "1e2", "signup_date": "2024-03-05T10:00Z"},
        {
            "plan": "none",
            "country": "NaN",
            "hours_last_month": {"a": 1},
            "discount_percent": "-inf",
            "autopay": "maybe",
        },
    ]
    jobs = Repository(tmp_path / "deploying", "deploy-batch").folder / "jobs"
    found = []
    for checkout, name in ((former, "old"), (repository, "new")):
        out = tmp_path / name
        assert checkout.run("-c", TRAIN, str(data), str(out), OMP_NUM_THREADS="1").returncode == 0
        run = warm_python().run(UNDERSTAND, str(jobs), str(out), text=json.dumps(records))
        assert run.returncode == 0, run.stderr[-3000:]
        found.append(json.loads(run.stdout))
    assert found[0] == found[1]
    columns, reasons, shape = found[0]
    assert columns["monthly_fee_eur"]["bad"] == {"twelve": 1}
    assert columns["monthly_fee_eur"]["numbers"] == [7.99, 12, 1]
    assert columns["signup_date"]["texts"] == {"2024-03-05": 1, "2024-03-05T10:00:00": 1}
    assert (columns["plan"]["missing"], columns["hours_last_month"]["missing"]) == (0, 4)
    assert reasons[:2] == ["", "column 'support_tickets': not a number"]
    assert reasons[5] == "column 'hours_last_month': a list or an object is not a value"
    assert shape[0] == len(records)
