"""The tables of the lake: generated or one's own, with something withheld; and whether a comparison finds that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rehearsal import demo_lake
from rehearsal.lake_steps import lake_files
from rehearsal.organization import RehearsalError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.seed


def compare(folder: Path, lake: dict[str, Any], files: list[Path], columns: list[str]) -> dict[str, Any]:
    """Compare files with the table as if the columns had been granted."""
    return lake_files(
        "compare",
        trained=[str(path) for path in files],
        lake=str(folder / lake["table"]),
        granted=columns,
        withheld=lake["withheld"],
    )


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("lake")
    return folder, lake_files("write", folder=str(folder), rows=300, data=None, label=None)


def test_equal_arguments_give_equal_records_and_late_payers_default_more_often() -> None:
    loans = demo_lake.tables(3000)["loans"]
    assert demo_lake.tables(3000)["loans"] == loans

    def rate(late: bool) -> float:
        chosen = [int(str(record[demo_lake.LABEL])) for record in loans if (record["late_payments"] != 0) is late]
        return sum(chosen) / len(chosen)

    assert rate(late=True) > 2 * rate(late=False)
    assert 0.15 < sum(int(str(record[demo_lake.LABEL])) for record in loans) / len(loans) < 0.4


def test_the_generated_table_has_the_types_that_matter_and_withholds_a_column_and_a_partition(
    generated: tuple[Path, dict[str, Any]],
) -> None:
    folder, lake = generated
    types = lake["tables"]["loans"]["columns"].values()
    assert {"bigint", "int", "date", "timestamp", "boolean", "string"} <= set(types)
    assert any(type_.startswith("decimal(") for type_ in types)
    assert lake["withheld"]["column"] in lake["tables"]["loans"]["columns"]
    assert lake["withheld"]["column"] not in lake["columns"]
    assert list((folder / "loans").glob("region=islands/*.parquet"))
    assert list((folder / "applicants").glob("*.parquet"))


def test_a_comparison_counts_rows_and_names_columns_that_were_not_granted(
    generated: tuple[Path, dict[str, Any]],
) -> None:
    folder, lake = generated
    files = sorted((folder / "loans").rglob("*.parquet"))
    granted = [path for path in files if "islands" not in path.parent.name]
    everything = compare(folder, lake, files, lake["columns"])
    permitted = compare(folder, lake, granted, lake["columns"])
    twice = compare(folder, lake, [*granted, granted[0]], lake["columns"])
    assert permitted["foreign_rows"] == 0
    assert everything["foreign_rows"] == everything["rows"] - permitted["rows"] > 0
    assert twice["foreign_rows"] == twice["rows"] - permitted["rows"] > 0
    assert permitted["foreign_columns"] == [lake["withheld"]["column"]]


def test_a_table_of_ones_own_gets_types_and_a_second_batch_that_is_withheld(tmp_path: Path) -> None:
    data = tmp_path / "Claims 2026.csv"
    data.write_text("Policy;premium;code;Fraud\n1;2.5;007;0\n2;3;008;1\n", encoding="utf-8")
    lake = lake_files("write", folder=str(tmp_path / "lake"), rows=0, data=str(data), label="Fraud")
    assert (lake["table"], lake["label"], lake["key"]) == ("claims_2026", "fraud", "")
    described = lake["tables"]["claims_2026"]
    assert described["columns"] == {
        "policy": "bigint", "premium": "double", "code": "string", "fraud": "bigint", "loaded_by": "string"
    }  # fmt: skip
    assert (described["keys"], described["rows"]) == ({"batch": "int"}, 3)
    assert lake["columns"] == ["policy", "premium", "code", "fraud"]
    files = sorted((tmp_path / "lake/claims_2026").rglob("*.parquet"))
    assert compare(tmp_path / "lake", lake, files, lake["columns"])["foreign_rows"] == 1


def test_columns_that_athena_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("age,Age,left\n1,2,0\n", encoding="utf-8")
    with pytest.raises(RehearsalError, match="these columns would be one: age"):
        lake_files("write", folder=str(tmp_path / "lake"), rows=0, data=str(data), label="left")
