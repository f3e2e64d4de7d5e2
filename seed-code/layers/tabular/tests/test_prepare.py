from pathlib import Path

import pandas as pd
import pytest
from tabular_jobs import Project, shop_config, shop_records

import prepare
from tabular.errors import DataError

SPLITS = ("train", "validation", "test")


def prepared(folder: Path, files: dict[str, pd.DataFrame], hosts: int = 1, **config: object) -> dict[str, set[str]]:
    """Return the customers in each split after preparing files on some instances."""
    folder.mkdir(parents=True, exist_ok=True)
    project = Project(folder, shop_config("binary", **config))
    for name, records in files.items():
        if name.endswith(".parquet"):
            records.to_parquet(project.data / name, index=False)
        else:
            project.add_csv(name, records)
    project.validate()
    return {split: set(members["customer"]) for split, members in project.prepare(hosts).items()}


@pytest.mark.parametrize("record_key", [["customer"], []])
def test_splits_do_not_depend_on_files_formats_column_order_or_instances(tmp_path: Path, record_key: list[str]) -> None:
    records = shop_records()
    shuffled = records.sample(frac=1, random_state=1)[sorted(records.columns)]
    one = prepared(tmp_path / "one", {"all.csv": records}, record_key=record_key)
    many = prepared(
        tmp_path / "many",
        {"a.csv.gz": shuffled[:100], "b.parquet": shuffled[100:700], "c.csv": shuffled[700:]},
        hosts=2,
        record_key=record_key,
    )
    assert one == many
    assert sum(len(members) for members in one.values()) == len(records)


def test_shares_are_as_configured(tmp_path: Path) -> None:
    splits = prepared(tmp_path, {"all.csv": shop_records()}, splits={"train": 0.5, "validation": 0.3, "test": 0.2})
    for split, share in (("train", 0.5), ("validation", 0.3), ("test", 0.2)):
        assert len(splits[split]) == pytest.approx(1500 * share, rel=0.15)


def test_another_seed_gives_other_splits_of_the_same_size(tmp_path: Path) -> None:
    first = prepared(tmp_path / "a", {"all.csv": shop_records()})
    second = prepared(tmp_path / "b", {"all.csv": shop_records()}, seed=1)
    assert first["test"] != second["test"]


def test_a_record_stays_in_its_split_when_others_come_and_go(tmp_path: Path) -> None:
    records = shop_records()
    less = prepared(tmp_path / "less", {"all.csv": records[:1000]})
    more = prepared(tmp_path / "more", {"all.csv": records})
    for split in SPLITS:
        assert less[split] <= more[split]


def test_records_of_one_key_and_equal_records_never_part(tmp_path: Path) -> None:
    records = shop_records()
    repeated = pd.concat([records, records.assign(visits=records["visits"] + 1)])
    by_key = prepared(tmp_path / "key", {"all.csv": repeated})
    by_row = prepared(tmp_path / "row", {"a.csv": records, "b.csv": records}, record_key=[])
    for splits in (by_key, by_row):
        assert sum(len(members) for members in splits.values()) == len(records)


def test_a_key_of_whole_numbers_is_the_same_in_csv_and_parquet(tmp_path: Path) -> None:
    records = shop_records().assign(customer=range(7_000_000_000, 7_000_001_500))
    text = prepared(tmp_path / "csv", {"all.csv": records})
    typed = prepared(tmp_path / "parquet", {"all.parquet": records})
    mixed = prepared(tmp_path / "mixed", {"a.csv": records[:700], "b.parquet": records[700:]}, hosts=2)
    assert text == typed == mixed


def test_the_log_says_what_the_division_follows_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared(tmp_path / "key", {"all.csv": shop_records()})
    assert "Records are divided by customer. SQL can repeat it: docs/split.md says how.\n" in capsys.readouterr().out
    prepared(tmp_path / "none", {"all.csv": shop_records()}, record_key=[])
    assert "as there is no record key: SQL cannot repeat this division.\n" in capsys.readouterr().out


def test_rows_without_key_are_spread_over_the_splits(tmp_path: Path) -> None:
    project = Project(tmp_path, shop_config("binary"))
    project.add_csv("all.csv", shop_records().assign(customer=[None] * 1490 + ["c1"] * 10))
    project.validate()
    assert all(len(members) > 100 for members in project.prepare().values())


def test_records_keep_their_columns_and_exact_values(tmp_path: Path) -> None:
    project = Project(tmp_path, shop_config("regression", record_key=["big"]))
    records = shop_records().assign(big=[2**60 + number for number in range(1500)], late="9999-12-31", code="007")
    records.loc[0, "late"] = "1969-07-20T20:17:40Z"
    project.add_csv("all.csv", records)
    project.validate()
    written = pd.concat(project.prepare().values()).sort_values("big").reset_index(drop=True)
    assert list(written.columns) == list(records.columns)
    assert written["big"].tolist() == records["big"].tolist()
    assert written["spent"].equals(records["spent"])
    assert written["code"].unique().tolist() == ["007"]
    assert written["note"].tolist() == records["note"].tolist()
    assert written["region"].isna().sum() == records["region"].isna().sum()
    assert str(written["late"][0]) == "1969-07-20 20:17:40"


def test_an_instance_without_files_writes_nothing(tmp_path: Path) -> None:
    splits = prepared(tmp_path, {"all.csv": shop_records()}, hosts=3)
    assert sum(len(members) for members in splits.values()) == 1500


def test_files_of_one_name_in_several_folders_do_not_overwrite_each_other(tmp_path: Path) -> None:
    records = shop_records()
    project = Project(tmp_path, shop_config("binary"))
    project.add_csv("day=1/part.csv", records[:700])
    project.add_csv("day=2/part.csv", records[700:])
    project.validate()
    assert sum(len(members) for members in project.prepare().values()) == 1500


def test_a_large_file_that_several_instances_cannot_share_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare, "LARGE_FILE_BYTES", 50_000)
    project = Project(tmp_path, shop_config("binary"))
    records = shop_records()
    project.add_csv("day=1/large.csv", records)
    project.add_csv("small.csv", records[:5].assign(day=1))
    project.validate()
    project.prepare()
    assert "large.csv" not in capsys.readouterr().out
    project.prepare(hosts=3)
    advice = [line for line in capsys.readouterr().out.splitlines() if "large.csv" in line]
    assert len(advice) == 1
    assert "is read by one of 3 instances alone" in advice[0]
    assert advice[0].endswith("or as Parquet, which takes a fraction of the space and the time.")


def test_data_that_changed_after_validation_is_refused_with_the_place(tmp_path: Path) -> None:
    project = Project(tmp_path, shop_config("binary"))
    project.add_csv("all.csv", shop_records())
    project.validate()
    changed = shop_records().astype({"visits": object})
    changed.loc[3, "visits"] = "many"
    project.add_csv("all.csv", changed)
    with pytest.raises(
        DataError, match=r"all\.csv, line 5, column 'visits': 'many' is not a number.*start the pipeline again"
    ):
        project.prepare()


def written_by_an_engine(project: Project, records: pd.DataFrame, splits: pd.Series) -> None:
    """Leave records as an engine unloads them that divides: a folder per split, and one for those without."""
    for split, members in records.groupby(splits.fillna("__HIVE_DEFAULT_PARTITION__")):
        (project.data / f"ml_split={split}").mkdir()
        members.to_parquet(project.data / f"ml_split={split}" / "part-0", index=False)


def test_records_that_an_engine_has_divided_stay_in_their_split_and_the_others_are_divided_here(tmp_path: Path) -> None:
    records = shop_records().assign(customer=range(1500)).convert_dtypes()
    expected = prepared(tmp_path / "all", {"all.parquet": records})
    splits = pd.Series({member: split for split, members in expected.items() for member in members}).sort_index()
    splits[1400:] = None
    project = Project(tmp_path / "divided", shop_config("binary"))
    written_by_an_engine(project, records, splits)
    schema = project.validate()
    assert "ml_split" not in [column.name for column in schema.columns]
    assert {split: set(members["customer"]) for split, members in project.prepare().items()} == expected


def test_an_engine_that_divided_otherwise_is_not_believed(tmp_path: Path) -> None:
    project = Project(tmp_path, shop_config("binary"))
    records = shop_records().assign(customer=range(1500))
    written_by_an_engine(project, records, pd.Series(["train", "test", "validation"] * 500))
    project.validate()
    with pytest.raises(DataError, match=r"files in ml_split=\w+ hold records that belong to the \w+ split by docs/spl"):
        project.prepare()


def test_without_a_key_that_sql_knows_the_folders_of_an_engine_say_nothing(tmp_path: Path) -> None:
    records = shop_records()
    project = Project(tmp_path, shop_config("binary", record_key=[]))
    written_by_an_engine(project, records, pd.Series(["test"] * 1500))
    project.validate()
    assert len(project.prepare()["train"]) > 900
