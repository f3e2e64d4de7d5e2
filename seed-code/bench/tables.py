"""How fast a table becomes a model, and a busy endpoint is watched, against two scripts that do less.

    make bench                                      one million rows, three runs, medians and ratios
    .venv-seed/bin/python seed-code/bench/tables.py --rows 10000000 --runs 1 --only pandas prepare train

Run with the Python of the generated repository. Every contestant is a process of its own, started in turn, so that a
machine that becomes slower slows them alike; figures are wall seconds, imports included, the least CPU seconds, and the
most memory that a process held. All are compared with what pandas takes in the same run.

pandas    what the reference workshops do: read, one-hot encode, shuffle, divide, write CSV; nothing is checked
arrow     the least that a preparation with Arrow costs: two passes, kinds of columns, three splits; nothing is checked
prepare   the jobs validate.py and prepare.py, one after the other
train     the job train.py
evaluate  the job evaluate.py
local     `make local` of a generated repository: all of these, and what defines and runs the pipeline
monitor   the monitors of deploy-realtime on as many captured events of one record each
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ROOT / "seed-code" / "layers"
LABEL, KEY = "y", "customer_id"
SHARES = (0.7, 0.85)
MIB = 1024


def make_table(path: Path, rows: int) -> None:
    """Write a table of 17 columns with signal in it; a million rows are 91 MB."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    for start in range(0, rows, 1_000_000):
        count = min(1_000_000, rows - start)
        table = pd.DataFrame(
            {
                KEY: np.arange(start, start + count),
                "age": random.integers(18, 90, count),
                "job": random.choice(["admin", "tech", "services", "mgmt", "retired", "student"], count),
                "marital": random.choice(["single", "married", "divorced"], count),
                "education": random.choice(["primary", "secondary", "tertiary", "unknown"], count),
                "default": random.choice(["no", "yes"], count, p=[0.98, 0.02]),
                "balance": random.normal(1500, 3000, count).round(2),
                "housing": random.choice(["no", "yes"], count),
                "loan": random.choice(["no", "yes"], count),
                "contact": random.choice(["cellular", "telephone", "unknown"], count),
                "day": random.integers(1, 31, count),
                "month": random.choice(["jan", "feb", "mar", "apr", "may", "jun"], count),
                "duration": random.integers(0, 3000, count),
                "campaign": random.integers(1, 40, count),
                "pdays": random.integers(-1, 800, count),
                "rate": random.normal(3, 1, count).round(6),
            }
        )
        pull = table["duration"] / 1000 + (table["job"] == "student") - 2 + random.normal(0, 1, count)
        table[LABEL] = np.where(pull > 0, "yes", "no")
        table.to_csv(path, index=False, mode="a", header=start == 0)


def pandas_way(source: Path, out: Path) -> None:
    """Prepare with pandas."""
    import pandas as pd

    table = pd.read_csv(source).drop(columns=[KEY])
    table[LABEL] = (table[LABEL] == "yes").astype(int)
    encoded = pd.get_dummies(table, dtype=int)
    shuffled = encoded[[LABEL, *encoded.columns.drop(LABEL)]].sample(frac=1, random_state=1729)
    ends = [0, *(int(share * len(shuffled)) for share in SHARES), len(shuffled)]
    for number, (start, end) in enumerate(itertools.pairwise(ends)):
        shuffled[start:end].to_csv(out / f"{number}.csv", index=False, header=False)


def arrow_way(source: Path, out: Path) -> None:
    """Prepare with Arrow, without a check."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    with source.open(encoding="utf-8") as stream:
        header = stream.readline().strip().split(",")
    options = {
        "read_options": csv.ReadOptions(block_size=8 << 20),
        "parse_options": csv.ParseOptions(newlines_in_values=True),
    }
    text = csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True)
    numeric, distinct = dict.fromkeys(header, True), {name: set[str]() for name in header}
    for batch in csv.open_csv(source, convert_options=text, **options):
        for name, column in zip(header, batch.columns, strict=True):
            fits = pc.match_substring_regex(column, r"^\s*[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+)\s*$")
            numeric[name] = numeric[name] and pc.all(fits, skip_nulls=True).as_py()
            if len(distinct[name]) < 10_000:
                distinct[name].update(column.unique().to_pylist()[:10_001])
    types = {name: pa.float64() if numeric[name] else pa.string() for name in header}
    writers: dict[str, pq.ParquetWriter] = {}
    for batch in csv.open_csv(source, convert_options=csv.ConvertOptions(column_types=types), **options):
        share = pd.util.hash_array(batch.column(0).to_numpy(zero_copy_only=False)) / 2**64
        first, second = SHARES
        for split, members in (
            ("train", share < first),
            ("validation", (share >= first) & (share < second)),
            ("test", share >= second),
        ):
            if split not in writers:
                writers[split] = pq.ParquetWriter(out / f"{split}.parquet", batch.schema)
            writers[split].write_batch(batch.filter(pa.array(members)))
    for writer in writers.values():
        writer.close()


def job(name: str, source: Path, out: Path) -> None:
    """Run one of our jobs as SageMaker starts it."""
    sys.path.insert(0, str(LAYERS / "tabular" / "src"))
    import tabular.config

    config = out / "config.json"
    config.write_text(json.dumps({"label": LABEL, "record_key": [KEY]}))
    tabular.config.CONFIG_PATH = config
    (out / "input").mkdir(exist_ok=True)
    for link, target in (
        ("data", source.parent),
        *((part, out / "output" / part) for part in ("schema", "train", "validation", "test")),
        ("model", out / "model"),
    ):
        place = out / "input" / link
        if not place.is_symlink():
            place.symlink_to(target)
    channels = {f"SM_CHANNEL_{part.upper()}": str(out / "output" / part) for part in ("schema", "train", "validation")}
    os.environ.update(channels, SM_MODEL_DIR=str(out / "trained"), SM_OUTPUT_DATA_DIR=str(out))
    os.environ.update(MPLBACKEND="agg", OMP_WAIT_POLICY="PASSIVE")  # as local_pipelines.sandbox sets them
    sys.argv = [name] if name == "train" else [name, "--base", str(out)]
    __import__(name).main()
    if name == "train":
        (out / "model").mkdir()
        with tarfile.open(out / "model" / "model.tar.gz", "w:gz") as archive:
            archive.add(out / "trained", arcname=".")


def local(source: Path, out: Path) -> None:
    """Run `make local` in a new repository."""
    repository = out / "repository"
    write = "import sys; from pathlib import Path; from products.shared import seed_code; "
    write += "seed_code.write('train-s3', Path(sys.argv[1]))"
    subprocess.run([ROOT / ".venv" / "bin" / "python", "-c", write, repository], cwd=ROOT, check=True)
    config = repository / "config.yaml"
    config.write_text(config.read_text().replace("record_key: []", f"record_key: [{KEY}]"))
    command = ["-m", "ml_pipelines", "local", "--data", str(source), "--label", LABEL, "--output", str(out / "local")]
    os.chdir(repository)
    subprocess.run([sys.executable, *command], check=True)


def capture(source: Path, folder: Path) -> None:
    """Write every row as an event that data capture keeps of an endpoint."""
    import pyarrow.csv as csv

    folder.mkdir()
    for number, batch in enumerate(csv.open_csv(source, csv.ReadOptions(block_size=8 << 20))):
        names = [name for name in batch.schema.names if name != LABEL]
        rows = batch.select(names).to_pylist()
        with (folder / f"{number:05d}.jsonl").open("w") as stream:
            for place, row in enumerate(rows):
                answer = {"predictions": [{"score": 0.5, "label": "yes"}]}
                parts = {
                    name: {"observedContentType": "application/json", "data": json.dumps(data), "encoding": "JSON"}
                    for name, data in (("endpointInput", row), ("endpointOutput", answer))
                }
                event = {"captureData": parts, "eventMetadata": {"eventId": f"{number:08d}-{place:024d}"}}
                stream.write(json.dumps(event) + "\n")


def monitor(source: Path, out: Path) -> None:
    """Watch an endpoint that was asked about every row."""
    sys.path.insert(0, str(LAYERS / "monitoring" / "jobs" / "monitor"))
    from monitoring import capture, data_quality, explainability, package, storage
    from monitoring.window import Window

    class Folder(storage.Storage):
        """A folder in place of the bucket."""

        def keys(self, prefix: str) -> Iterator[str]:
            return iter(sorted(map(str, (source.parents[1] / "captured").iterdir())))

        def folders(self, prefix: str) -> list[str]:
            return [prefix]

        def body(self, key: str) -> Any:
            return Path(key).open("rb")

    trained = out.parent / out.name.replace("monitor", "prepare")
    baselines = {path.name: json.loads(path.read_text()) for path in (trained / "output" / "baseline").glob("*.json")}
    model = package.load_model(trained / "model" / "model.tar.gz", out / "model")
    served = package.Package(model, baselines)
    window = Window.ending("2026-05-04T06:20:00Z", 1)
    captured = capture.read(
        Folder(None, ""), "e", window, served, most_records=50_000, lookback_hours=0, with_truth=False
    )
    data_quality.check(captured.records, served, least=100)
    explainability.check(captured.records, served, least=100, min_ndcg=0.9)


CONTESTANTS: dict[str, list[Callable[[Path, Path], None]]] = {
    "pandas": [pandas_way],
    "arrow": [arrow_way],
    "prepare": [lambda source, out: job("validate", source, out), lambda source, out: job("prepare", source, out)],
    "train": [lambda source, out: job("train", source, out)],
    "evaluate": [lambda source, out: job("evaluate", source, out)],
    "local": [local],
    "monitor": [monitor],
}
SHARED = {"train": "prepare", "evaluate": "prepare"}
"""Contestants that go on in the folder of another one."""


def measured(action: Callable[[Path, Path], None], source: Path, out: Path) -> tuple[float, float, float]:
    """Run an action in a process of its own; return wall seconds, imports included, CPU seconds and peak memory."""
    started = time.perf_counter()
    process = os.fork()
    if not process:
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            action(source, out)
        except BaseException as err:
            print(f"{type(err).__name__}: {err}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit("a contestant failed; its message is above")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / MIB


def main() -> None:
    """Run all contestants in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table; default: %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="runs of each contestant; default: %(default)s")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), help="default: all")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in options.only}
    memory, work = dict.fromkeys(options.only, 0.0), dict.fromkeys(options.only, float("inf"))
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "data" / "table.csv"
        source.parent.mkdir()
        print(f"writing {options.rows} rows", flush=True)
        measured(lambda path, _: make_table(path, options.rows), source, Path(scratch))
        if "monitor" in options.only:
            measured(lambda path, out: capture(path, out / "captured"), source, Path(scratch))
        for run in range(options.runs):
            for name in options.only:
                out = Path(scratch) / f"{SHARED.get(name, name)}-{run}"
                out.mkdir(exist_ok=True)
                found = [measured(action, source, out) for action in CONTESTANTS[name]]
                seconds[name].append(sum(wall for wall, _, _ in found))
                work[name] = min(work[name], sum(cpu for _, cpu, _ in found))
                memory[name] = max(memory[name], *(peak for _, _, peak in found))
    yardstick = statistics.median(seconds[options.only[0]])
    print(f"{options.rows} rows, median of {options.runs} runs")
    for name, walls in seconds.items():
        middle = statistics.median(walls)
        figures = f"{middle:7.2f} s  {work[name]:7.2f} s of CPU  {memory[name]:6.0f} MiB"
        print(f"  {name:<8} {figures}  {middle / yardstick:5.2f} x {options.only[0]}")


if __name__ == "__main__":
    main()
