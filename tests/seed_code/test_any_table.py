"""Whatever the notation and layout of a table: the same values and the same split of every record, or an error."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from . import tables
from .damaged_tables import PLAIN, Damage, damages
from .generated import SEED_PYTHON, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.seed]

VALUES, DAMAGED, MODELS = 500, 1_450, 50
MORE = 5  # times as many in `make prove`

SHARES = (("train", 0.7), ("validation", 0.85), ("test", 1.0))


class Jobs:
    """The jobs of a generated repository, running in one process of its environment."""

    def __init__(self, folder: Path) -> None:
        Repository(folder)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
        self._process = subprocess.Popen(
            [str(SEED_PYTHON), "-W", "error", str(Path(__file__).with_name("run_tables.py.txt"))],
            cwd=folder,
            env=clean | {"PYTHONPATH": "src:tests:.", "OMP_NUM_THREADS": "1"},  # more would wait for each other
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, table: tables.Table, files: list[dict[str, Any]], **options: object) -> dict[str, Any]:
        """Return the kinds, values and splits of a table that is in some files, or the error."""
        request = {
            "files": files,
            "config": table.config,
            "block_bytes": 1 << 22,
            "hosts": 1,
            "train": False,
            "questions": [],
        }
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request | options) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "crash" not in answer, answer["crash"]
        return answer

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    process = Jobs(tmp_path_factory.mktemp("repository"))
    yield process
    process.stop()


def quick(examples: int) -> settings:
    """Return settings with which cases are the same in every run."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


Case = tuple[tables.Table, tables.Layout, dict[str, Any]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    layout = draw(tables.layouts())
    table = draw(tables.tables("" if layout.form == "parquet" else layout.separator))
    return (
        table,
        layout,
        {"block_bytes": draw(st.sampled_from((1_000, *(1 << 22,) * 15))), "hosts": draw(st.sampled_from((1, 1, 1, 2)))},
    )


@quick(VALUES)
@given(case=cases())
def test_a_table_gives_its_values_and_splits(jobs: Jobs, case: Case) -> None:
    compare_with_the_truth(jobs, *case)


@pytest.mark.prove
@quick(MORE * VALUES)
@given(case=cases())
def test_many_more_tables_give_their_values_and_splits(jobs: Jobs, case: Case) -> None:
    compare_with_the_truth(jobs, *case)


def compare_with_the_truth(jobs: Jobs, table: tables.Table, layout: tables.Layout, options: dict[str, Any]) -> None:
    found = jobs.run(table, tables.written(table, layout).requests, **options)
    assert "error" not in found, found["error"]
    assert found["kinds"] == {column.name: column.kind for column in table.columns}
    expected = split_of_rows(table)
    key = table.column(tables.KEY).truth
    row_of = {value: row for row, value in enumerate(key)}
    seen = {}
    for split, columns in found["splits"].items():
        for at, value in enumerate(columns.get(tables.KEY, ())):
            row = row_of[value]
            seen[row] = split
            got = {name: values[at] for name, values in columns.items()}
            assert got == {column.name: shown(column.truth[row]) for column in table.columns}
    assert seen == expected


@st.composite
def damaged(draw: st.DrawFn) -> tuple[tables.Table, Damage]:
    layout = dataclasses.replace(PLAIN, separator=draw(st.sampled_from((",", ";", "\t", "|"))))
    table = draw(tables.tables(layout.separator, rows=90))
    return table, draw(damages(table, layout))


@quick(DAMAGED)
@given(case=damaged())
def test_a_damaged_table_gives_an_error_that_names_the_place(jobs: Jobs, case: tuple[tables.Table, Damage]) -> None:
    refuse_or_read(jobs, *case)


@pytest.mark.prove
@quick(MORE * DAMAGED)
@given(case=damaged())
def test_many_more_damaged_tables_give_errors(jobs: Jobs, case: tuple[tables.Table, Damage]) -> None:
    refuse_or_read(jobs, *case)


def refuse_or_read(jobs: Jobs, table: tables.Table, damage: Damage) -> None:
    found = jobs.run(table, damage.requests)
    if "error" not in found:
        assert damage.may_be_read, damage.how
        assert sum(len(columns.get(tables.KEY, ())) for columns in found["splits"].values()) == table.rows
        return
    for name in damage.named:
        assert name in found["error"], (damage.how, name, found["error"])


@quick(MODELS)
@given(
    table=tables.tables(",", rows=2 * tables.ROWS),
    layouts=st.tuples(tables.layouts().filter(lambda layout: layout.form == "csv"), tables.layouts()),
)
def test_a_table_gives_the_same_model_and_answers_however_it_is_written(
    jobs: Jobs, table: tables.Table, layouts: tuple[tables.Layout, tables.Layout]
) -> None:
    # Which order the columns have is part of a model: a request without header relies on it.
    one, other = (dataclasses.replace(layout, separator=",", same_columns=True) for layout in layouts)
    first = jobs.run(table, tables.written(table, one).requests, train=True, questions=questions(table))
    second = jobs.run(table, tables.written(table, other).requests, train=True, hosts=2)
    assert "error" not in first, first["error"]
    assert "error" not in second, second["error"]
    assert first["model"]["model.ubj"] == second["model"]["model.ubj"]
    assert len(set(first["answers"])) == 1


def questions(table: tables.Table, rows: int = 20) -> list[tuple[str, str]]:
    """Return the same records in several requests to an endpoint: as they were written, and as they are meant."""
    names = [column.name for column in table.columns if column.name != tables.LABEL]
    columns = [table.column(name) for name in names]
    texts = [[column.texts[row] for column in columns] for row in range(rows)]
    meant = [[shown(column.truth[row]) for column in columns] for row in range(rows)]
    csv = tables.csv_bytes(names, texts, PLAIN).decode()
    lines = "\n".join(json.dumps(dict(zip(names, values, strict=True))) for values in texts)
    records = json.dumps({"instances": [dict(zip(names, values, strict=True)) for values in meant]})
    return [(csv, "text/csv"), (lines, "application/jsonlines"), (records, "application/json")]


def shown(value: tables.Value) -> object:
    return value.isoformat() if isinstance(value, datetime.datetime) else value


# ---- the split, from its description in docs/split.md and tabular/division.py ---------------------------------------


def split_of_rows(table: tables.Table) -> dict[int, str]:
    """Return the split of every row."""
    seed, names = table.config["seed"], sorted(table.config["record_key"]) or sorted(c.name for c in table.columns)
    key = [table.column(name) for name in names]
    in_sql = bool(table.config["record_key"]) and all(
        column.kind == "category" or (column.kind == "number" and is_whole(column)) for column in key
    )
    found = {}
    for row in range(table.rows):
        values = [(column.kind, column.truth[row]) for column in key]
        if in_sql:
            text = "\x1f".join("\0" if value is None else key_text(value) for _, value in values)
            hashed = xxh64(f"{seed}:{text}".encode())
        else:
            hashed = xxh64(struct.pack(f"<{len(values) + 1}Q", seed, *(word(value) for _, value in values)))
        share = (hashed >> 11) / 2**53
        found[row] = next(split for split, end in SHARES if share < end)
    return found


def is_whole(column: tables.Column) -> bool:
    return all(isinstance(value, int) or value is None or float(value).is_integer() for value in column.truth)  # type: ignore[arg-type]


def key_text(value: tables.Value) -> str:
    return str(int(value)) if isinstance(value, int | float) else str(value)


def word(value: tables.Value) -> int:
    """Return the 64-bit word that stands for a value of a record."""
    if value is None:
        return 0
    if isinstance(value, str):
        return xxh64(value.encode())
    if isinstance(value, bool):
        return xxh64(struct.pack("<Q", value))
    if isinstance(value, datetime.datetime):
        micros = (value - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
        return xxh64(struct.pack("<q", micros))
    if isinstance(value, int) and int(float(value)) != value:
        return xxh64(struct.pack("<q", value))
    return xxh64(struct.pack("<d", float(value) + 0.0))


P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
MASK = 2**64 - 1


def rotated(number: int, by: int) -> int:
    return (number << by | number >> 64 - by) & MASK


def round_(lane: int, number: int) -> int:
    return rotated(lane + number * P2 & MASK, 31) * P1 & MASK


def xxh64(data: bytes) -> int:
    """Return the XXH64 with seed 0 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md)."""
    size, at = len(data), 0
    if size >= 32:
        lanes = [P1 + P2 & MASK, P2, 0, -P1 & MASK]
        for at in range(0, size - 31, 32):
            lanes = [
                round_(lane, number) for lane, number in zip(lanes, struct.unpack_from("<4Q", data, at), strict=True)
            ]
        at += 32
        state = sum(rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for lane in lanes:
            state = ((state ^ round_(0, lane)) * P1 + P4) & MASK
    else:
        state = P5
    state = state + size & MASK
    while size - at >= 8:
        state = rotated(state ^ round_(0, struct.unpack_from("<Q", data, at)[0]), 27) * P1 + P4 & MASK
        at += 8
    if size - at >= 4:
        state = rotated(state ^ struct.unpack_from("<I", data, at)[0] * P1 & MASK, 23) * P2 + P3 & MASK
        at += 4
    for byte in data[at:]:
        state = rotated(state ^ byte * P5 & MASK, 11) * P1 & MASK
    state = (state ^ state >> 33) * P2 & MASK
    state = (state ^ state >> 29) * P3 & MASK
    return state ^ state >> 32
