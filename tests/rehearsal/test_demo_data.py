"""The generated data set: reproducible, and worth training on."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from rehearsal import demo_data

if TYPE_CHECKING:
    from pathlib import Path


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_same_arguments_give_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        demo_data.write(tmp_path / name, rows=50, seed=seed)
    first, second, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == second
    assert first != other


def test_label_depends_on_the_columns_and_classes_are_not_rare(tmp_path: Path) -> None:
    demo_data.write(tmp_path / "data.csv", rows=4000)
    rows = _read(tmp_path / "data.csv")

    def rate(chosen: list[dict[str, str]]) -> float:
        return sum(int(r[demo_data.LABEL]) for r in chosen) / len(chosen)

    many_tickets = rate([r for r in rows if int(r["support_tickets"]) >= 3])
    no_tickets = rate([r for r in rows if r["support_tickets"] == "0"])
    assert many_tickets > 2 * no_tickets
    assert 0.2 < rate(rows) < 0.4


def test_records_have_unique_keys_and_some_missing_values(tmp_path: Path) -> None:
    demo_data.write(tmp_path / "data.csv", rows=2000)
    rows = _read(tmp_path / "data.csv")
    assert len({r[demo_data.RECORD_KEY] for r in rows}) == len(rows)
    assert any(r["hours_last_month"] == "" for r in rows)
    assert all(r[demo_data.LABEL] in ("0", "1") for r in rows)
