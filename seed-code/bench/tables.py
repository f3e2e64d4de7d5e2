"""How fast a table becomes records that can be trained on: Validate and Prepare against two scripts that do less.

    make bench                                      one million rows, three runs, ratios of medians
    .venv-seed/bin/python seed-code/bench/tables.py --rows 10000000 --runs 1

Run with the Python of the generated repository. Every contestant is a process of its own, started in turn, so that a
machine that becomes slower slows them alike; figures are wall seconds, and the most memory that a process held.

pandas    what the reference workshops do: read, one-hot encode, shuffle, divide, write CSV; nothing is checked
arrow     the least that a preparation with Arrow costs: two passes, kinds of columns, three splits; nothing is checked
ours      the jobs validate.py and prepare.py, one after the other
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LAYER = Path(__file__).resolve().parents[1] / "layers" / "tabular" / "src"
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
    sys.path.insert(0, str(LAYER))
    import tabular.config

    config = out / "config.json"
    config.write_text(json.dumps({"label": LABEL, "record_key": [KEY]}))
    tabular.config.CONFIG_PATH = config
    (out / "input").mkdir(exist_ok=True)
    for link, target in (("data", source.parent), ("schema", out / "output" / "schema")):
        place = out / "input" / link
        if not place.is_symlink():
            place.symlink_to(target)
    sys.argv = [name, "--base", str(out)]
    __import__(name).main()


CONTESTANTS: dict[str, list[Callable[[Path, Path], None]]] = {
    "pandas": [pandas_way],
    "arrow": [arrow_way],
    "ours": [lambda source, out: job("validate", source, out), lambda source, out: job("prepare", source, out)],
}


def measured(action: Callable[[Path, Path], None], source: Path, out: Path) -> tuple[float, float]:
    """Run an action in a process of its own; return its wall seconds, imports included, and its peak memory in MiB."""
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
    return time.perf_counter() - started, usage.ru_maxrss / MIB


def main() -> None:
    """Run all contestants in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table; default: %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="runs of each contestant; default: %(default)s")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    memory = dict.fromkeys(CONTESTANTS, 0.0)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "data" / "table.csv"
        source.parent.mkdir()
        print(f"writing {options.rows} rows", flush=True)
        measured(lambda path, _: make_table(path, options.rows), source, Path(scratch))
        for run in range(options.runs):
            for name, actions in CONTESTANTS.items():
                out = Path(scratch) / f"{name}-{run}"
                out.mkdir()
                found = [measured(action, source, out) for action in actions]
                seconds[name].append(sum(wall for wall, _ in found))
                memory[name] = max(memory[name], *(peak for _, peak in found))
    ours = statistics.median(seconds["ours"])
    print(f"{options.rows} rows, median of {options.runs} runs")
    for name, walls in seconds.items():
        middle = statistics.median(walls)
        print(f"  {name:<7} {middle:6.2f} s  {memory[name]:6.0f} MiB  {middle / ours:5.2f} x ours")


if __name__ == "__main__":
    main()
