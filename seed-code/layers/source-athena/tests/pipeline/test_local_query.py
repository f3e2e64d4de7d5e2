"""`make local` with the query of data.yaml: what only Athena answers is refused, the rest is as Athena answers it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ml_pipelines.config import ConfigError
from ml_pipelines.data_source import DataSource
from ml_pipelines.local_query import condition

ROWS = """VALUES
    (1, 'DE', 10.5e0, true, DATE '2026-01-31', TIMESTAMP '2026-01-31 10:00:00', CAST(1.50 AS DECIMAL(5,2))),
    (2, 'FR', 'NaN'::DOUBLE, false, DATE '2026-02-28', TIMESTAMP '2026-02-28 00:00:00', CAST(2 AS DECIMAL(5,2))),
    (3, NULL, NULL, NULL, NULL, NULL, NULL),
    (4, '', -1e0, true, DATE '1999-12-31', TIMESTAMP '1999-12-31 23:59:59', CAST(-7.25 AS DECIMAL(5,2))),
    (5, 'de', 0e0, false, DATE '2026-01-31', TIMESTAMP '2026-01-31 10:00:00.5', CAST(0 AS DECIMAL(5,2)))"""
NAMES = "id, country, amount, open, day, seen, price"
TYPES = {
    "id": "INTEGER",
    "country": "VARCHAR",
    "amount": "DOUBLE",
    "open": "BOOLEAN",
    "day": "DATE",
    "seen": "TIMESTAMP",
    "price": "DECIMAL(5,2)",
}


def met(text: str) -> list[int]:
    """Return the ids of the rows that meet a condition."""
    found = duckdb.sql(f"SELECT id FROM ({ROWS}) t({NAMES}) WHERE {condition(text, TYPES)} ORDER BY id").fetchall()
    return [row[0] for row in found]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id >= 2 AND id < 4", [2, 3]),
        ("3 > id", [1, 2]),
        ("country = 'DE'", [1]),
        ("country <> 'DE'", [2, 4, 5]),
        ("country IN ('DE', 'FR') OR id = 5", [1, 2, 5]),
        ("country NOT IN ('DE')", [2, 4, 5]),
        ("country IS NULL", [3]),
        ("country IS NOT NULL AND NOT (country = '')", [1, 2, 5]),
        ("country LIKE 'D%'", [1]),
        ("country LIKE '_E'", [1]),
        ("country > 'a'", [5]),
        # Trino documentation, "Comparison functions and operators": NaN is never less, greater or equal.
        ("amount > 0", [1]),
        ("amount <= 0", [4, 5]),
        ("amount <> 0", [1, 2, 4]),
        ("amount = 10.5", [1]),
        ("amount BETWEEN -1 AND 100", [1, 4, 5]),
        ("amount NOT BETWEEN -1 AND 5", [1, 2]),
        ("NOT amount > 0", [2, 4, 5]),
        ("open", [1, 4]),
        ("NOT open", [2, 5]),
        ("open = false", [2, 5]),
        ("day = DATE '2026-01-31'", [1, 5]),
        ("seen > TIMESTAMP '2026-01-31 10:00:00'", [2, 5]),
        ("price = 1.5", [1]),
        ("price < DECIMAL '0.00'", [4]),
        ("Price IN (-7.25, 2)", [2, 4]),
        ("true", [1, 2, 3, 4, 5]),
        ('"id" = 1', [1]),
    ],
)
def test_conditions_hold_for_the_rows_for_which_they_hold_in_athena(text: str, ids: list[int]) -> None:
    assert met(text) == ids


@pytest.mark.parametrize(
    "text",
    [
        "upper(country) = 'DE'",
        "id + 1 = 2",
        "id = amount",
        "1 = 1",
        "id IN (SELECT 1)",
        "EXISTS (SELECT 1)",
        "country LIKE 'a%' ESCAPE '\\\\'",
        "regexp_like(country, 'D')",
        "day = current_date",
        "day > DATE '2026-1-31'",
        "country IS DISTINCT FROM 'DE'",
        "t.id = 1",
        "id",
        "id IS NULL IS NULL",
        "country LIKE country",
        "CASE WHEN open THEN true END",
        "id IN (1, NULL)",
        "seen > TIMESTAMP '2026-01-31 10:00:00 UTC'",
        "id = ?",
    ],
)
def test_what_is_not_on_the_list_is_left_to_athena(text: str) -> None:
    with pytest.raises(ConfigError, match=r"Only Athena answers|cannot be read as a condition"):
        condition(text, TYPES)


@pytest.mark.parametrize(
    "text", ["id = '1'", "country = 1", "day = '2026-01-31'", "open = 'true'", "seen = DATE '2026-01-31'"]
)
def test_what_athena_refuses_to_compare_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="Athena refuses to compare these"):
        condition(text, TYPES)


def test_a_column_that_is_not_there_and_a_condition_that_is_none_are_named() -> None:
    with pytest.raises(ConfigError, match="where names the column x, which local data have not: id, country"):
        condition("x = 1", TYPES)
    with pytest.raises(ConfigError, match="cannot be read as a condition"):
        condition("id = = 1", TYPES)


# ---- files ----------------------------------------------------------------------------------------------------------


def copied(path: Path, folder: Path, **values: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each file that the manifest of the copy lists."""
    DataSource("link", "loans", **values).copy_local(path, folder)
    prefix, *names = json.loads((folder / "manifest.json").read_text())
    assert prefix == {"prefix": "s3://local/data/"}
    found = {}
    for name in names:
        if name.endswith(".csv"):
            with (folder / name).open(newline="", encoding="utf-8") as file:
                found[name] = list(csv.DictReader(file, delimiter=";"))
        else:
            read = duckdb.sql(f"SELECT * FROM read_parquet('{folder / name}', hive_partitioning = false)")
            found[name] = [dict(zip(read.columns, row, strict=True)) for row in read.fetchall()]
    return found


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A table with partitions, as a lake has it."""
    for day in ("2026-01-01", "2026-01-02"):
        (tmp_path / "lake" / f"day={day}").mkdir(parents=True)
        duckdb.sql(f"SELECT id, country, amount FROM ({ROWS}) t({NAMES})").write_parquet(
            str(tmp_path / "lake" / f"day={day}" / "part-0.parquet")
        )
    (tmp_path / "lake" / "_SUCCESS").touch()
    return tmp_path / "lake"


def test_without_a_query_the_files_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("id;price\n007;1,5\n")
    copied(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "a.csv").read_text() == "id;price\n007;1,5\n"
    assert copied(tmp_path / "in" / "a.csv", tmp_path / "file") == {"a.csv": [{"id": "007", "price": "1,5"}]}


def test_columns_rows_and_partitions_of_a_lake_are_selected(tmp_path: Path, lake: Path) -> None:
    found = copied(
        lake, tmp_path / "out", columns=("id",), where="country = 'DE'", partitions="day=2026-01-02..2026-01-09"
    )
    assert found == {"day=2026-01-02/part-0.parquet": [{"id": 1}]}
    with pytest.raises(ConfigError, match=r"the keys: day\. Give key=first..last"):
        copied(lake, tmp_path / "other", partitions="month=1..2")
    with pytest.raises(ConfigError, match="No row of the local data meets"):
        copied(lake, tmp_path / "none", where="country = 'XX'")


def test_the_values_of_a_csv_file_leave_as_they_came(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id;zip;amount;note\n1;00701;10;\n2;01234;5;x\n3;98765;20;'y'\n")
    found = copied(
        tmp_path / "a.csv", tmp_path / "out", where="amount > 5 AND note <> 'x'", columns=("id", "zip", "note")
    )
    assert found == {"a.csv": [{"id": "1", "zip": "00701", "note": ""}, {"id": "3", "zip": "98765", "note": "'y'"}]}


def test_a_column_that_local_data_have_not_is_named(tmp_path: Path, lake: Path) -> None:
    with pytest.raises(ConfigError, match=r"part-0.parquet has no column income, which data.yaml lists; it has: id"):
        copied(lake, tmp_path / "out", columns=("id", "income"))
    with pytest.raises(ConfigError, match="There is no data at"):
        copied(tmp_path / "missing", tmp_path / "none")
