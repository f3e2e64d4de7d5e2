import gzip
from pathlib import Path

import pandas as pd
import pytest
from tabular_jobs import Project, csv_text, shop_config, shop_records

from tabular.errors import DataError

ROWS = 120


def records(**columns: object) -> pd.DataFrame:
    """Return records with a number, a label and the given columns."""
    plain = {"x": range(ROWS), "y": ["a", "b"] * (ROWS // 2)}
    return pd.DataFrame(plain | columns)


def project(folder: Path, data: pd.DataFrame | str | None = None, **config: object) -> Project:
    """Return a project with one CSV file and the label y."""
    made = Project(folder, {"label": "y"} | config)
    if isinstance(data, str):
        made.add_text("data.csv", data)
    elif data is not None:
        made.add_csv("data.csv", data)
    return made


def kind_of(folder: Path, values: list[object], **config: object) -> str:
    """Return the kind that validation finds for a column of values."""
    repeated = (values * ROWS)[:ROWS]
    return project(folder, records(c=repeated), **config).validate().column("c").kind


def test_kinds_classes_and_counts_are_found(tmp_path: Path) -> None:
    made = Project(tmp_path, shop_config("binary"))
    made.add_csv("shop.csv", shop_records())
    schema = made.validate()
    kinds = {column.name: (column.kind, column.role) for column in schema.columns}
    assert kinds == {
        "customer": ("category", "key"),
        "spent": ("number", "feature"),
        "visits": ("number", "feature"),
        "region": ("category", "feature"),
        "member": ("boolean", "feature"),
        "joined": ("date", "feature"),
        "note": ("category", "feature"),
        "segment": ("category", "dropped"),
        "value": ("category", "dropped"),
        "churned": ("category", "label"),
    }
    assert (schema.problem_type, schema.classes) == ("binary", ("no", "yes"))
    assert (schema.rows, sum(schema.class_rows)) == (1500, 1500)
    assert schema.column("region").distinct == 4
    assert schema.column("spent").missing == shop_records()["spent"].isna().sum()
    assert schema.column("visits").whole
    assert not schema.column("spent").whole


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.5", "-3e2", "inf"], "number"),
        ([1, 0], "number"),
        (["Yes", "no", "n/a"], "boolean"),
        (["TRUE", "False", "1"], "boolean"),
        (["Yes", "No", "Unknown"], "category"),
        (["00123", "04567", "99999"], "category"),
        (["18446744073709551617", "5"], "category"),
        (["2024-01-02", "2024-01-03T10:00:00Z"], "date"),
        (["13/02/2024", "01/02/2024"], "date"),
        (["02/13/2024", "01/02/2024"], "date"),
        (["13/02/2024", "02/13/2024"], "category"),
        (["none", "3"], "number"),
        (["London, UK", 'say "hi"', "two\nlines"], "category"),
        (["9999-12-31", "0001-01-01"], "date"),
    ],
)
def test_the_kind_of_a_column_follows_from_all_its_values(tmp_path: Path, values: list[object], kind: str) -> None:
    assert kind_of(tmp_path, values) == kind


def test_days_come_first_where_some_day_of_the_column_says_so(tmp_path: Path) -> None:
    schema = project(tmp_path, records(c=["01/02/2024", "25/12/2024"] * (ROWS // 2))).validate()
    assert schema.column("c").formats == ("%d/%m/%Y",)


def test_a_kind_can_be_configured(tmp_path: Path) -> None:
    assert kind_of(tmp_path, ["98101", "98102"], types={"c": "category"}) == "category"


def test_a_value_against_the_configured_kind_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.csv, line 4, column 'c': 'K1A' is not a number"):
        kind_of(tmp_path, ["1", "2", "K1A"], types={"c": "number"})


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_usual_separators_are_recognised(tmp_path: Path, separator: str) -> None:
    made = project(tmp_path)
    made.add_csv("data.csv", records(c="a,b;c"), sep=separator)
    assert made.validate().column("c").distinct == 1


def test_csv_gzip_and_parquet_of_any_column_order_are_one_data_set(tmp_path: Path) -> None:
    made = project(tmp_path)
    data = records(d=pd.date_range("2024-01-01", periods=ROWS), b=[True, False] * (ROWS // 2))
    made.add_csv("a.csv", data)
    made.add_csv("deep/er/b.csv.gz", data[["b", "y", "d", "x"]])
    data[["d", "x", "b", "y"]].to_parquet(made.data / "c.parquet")
    data.to_parquet(made.data / "20240101_0001_abc")  # Athena names its files without a suffix
    made.add_text("_SUCCESS", "")
    made.add_text("query.csv.metadata", "binary")
    (made.data / "empty.csv").touch()
    schema = made.validate()
    assert [file.name for file in schema.files] == ["20240101_0001_abc", "a.csv", "c.parquet", "deep/er/b.csv.gz"]
    assert schema.rows == 4 * ROWS
    assert {column.name: column.kind for column in schema.columns} == {
        "x": "number", "y": "category", "d": "date", "b": "boolean"
    }  # fmt: skip


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    made = project(tmp_path)
    text = records().to_csv(index=False, lineterminator="\r\n")
    (made.data / "excel.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [column.name for column in made.validate().columns] == ["x", "y"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_text_of_excel_is_read(tmp_path: Path, encoding: str) -> None:
    made = project(tmp_path)
    text = records(c=["Zürich", "東京"] * (ROWS // 2)).to_csv(index=False, sep="\t", lineterminator="\r\n")
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    (made.data / "excel.txt").write_bytes(mark + text.encode(encoding))
    assert made.validate().column("c").distinct == 2


@pytest.mark.parametrize(
    ("labels", "problem_type", "classes"),
    [
        (["no", "yes"], "binary", ("no", "yes")),
        (["Yes", "No"], "binary", ("No", "Yes")),
        ([0, 1], "binary", ("0", "1")),
        ([2, 1], "binary", ("1", "2")),
        (["0.0", "1.0"], "binary", ("0", "1")),
        ([True, False], "binary", ("False", "True")),
        (["b", "a"], "binary", ("a", "b")),
        (["stays", "leaves", "stays"], "binary", ("stays", "leaves")),
        (["a", "b", "c"], "multiclass", ("a", "b", "c")),
        ([10, 9, 2], "multiclass", ("2", "9", "10")),
        ([1.5, 2.5, 3.5], "regression", ()),
        (list(range(30)), "regression", ()),
    ],
)
def test_problem_type_and_positive_class_follow_from_the_label(
    tmp_path: Path, labels: list[object], problem_type: str, classes: tuple[str, ...]
) -> None:
    schema = project(tmp_path, records(y=(labels * ROWS)[:ROWS])).validate()
    assert (schema.problem_type, schema.classes) == (problem_type, classes)


@pytest.mark.parametrize(
    ("labels", "positive", "classes"),
    [
        (["no", "yes"], "no", ("yes", "no")),
        (["No", "Yes"], False, ("Yes", "No")),
        ([0, 1], 0, ("1", "0")),
        (["True", "False"], True, ("False", "True")),
        (["A", "B"], "a", ("B", "A")),
    ],
)
def test_the_positive_class_can_be_configured(
    tmp_path: Path, labels: list[object], positive: object, classes: tuple[str, ...]
) -> None:
    schema = project(tmp_path, records(y=(labels * ROWS)[:ROWS]), positive=positive).validate()
    assert schema.classes == classes


def rows_of(count: int, *extra: tuple[object, ...]) -> list[tuple[object, ...]]:
    """Return rows of x and y with some more at the end."""
    return [(number, "ab"[number % 2]) for number in range(count)] + list(extra)


BAD_DATA = {
    "no data file": (None, {}, "There is no data file"),
    "no label column": (csv_text(["x", "z"], rows_of(9)), {}, "data.csv has no column 'y'.*Its columns are: x, z"),
    "near label name": (csv_text(["x", "yy"], rows_of(9)), {}, "Did you mean 'yy'"),
    "unknown drop": (csv_text(["x", "y"], rows_of(9)), {"drop": ["w"]}, "no column 'w'.*as drop"),
    "no header": (csv_text(["1", "b"], rows_of(9)), {}, "data.csv: the first line looks like data.*'1'"),
    "unnamed column": (csv_text(["x", "", "y"], []), {}, "data.csv: column 2 has no name"),
    "duplicate column": (csv_text(["x", "y", "x"], []), {}, "data.csv: column 'x' occurs 2 times"),
    "header only": (csv_text(["x", "y"], []), {}, "data.csv has a header but no rows"),
    "too few rows": (csv_text(["x", "y"], rows_of(40)), {}, "40 rows with a label are not enough.*100"),
    "too many fields": (csv_text(["x", "y"], rows_of(3, (1, 2, 3))), {}, "data.csv, line 5: 3 fields.*header has 2"),
    "too few fields": (csv_text(["x", "y"], rows_of(3, (1,))), {}, "data.csv, line 5: 1 fields.*header has 2"),
    "open quote": (csv_text(["x", "y"], rows_of(3, ('"oops', 1))), {}, "data.csv, line 5: not valid CSV.*quotes"),
    "text after quote": (csv_text(["x", "y"], rows_of(3, ('"a"b', 1))), {}, "data.csv, line 5: not valid CSV"),
    "missing label": (
        csv_text(["x", "y"], rows_of(120, (1, ""), (2, ""))), {},
        "data.csv, line 122, column 'y': the label is missing, as in 2 of 122 rows",
    ),
    "empty label": (csv_text(["x", "y"], [(1, "")] * 120), {}, "label column 'y' is empty in all 120 rows"),
    "one class": (csv_text(["x", "y"], [(n, "a") for n in range(120)]), {}, "'y': all rows have the same label, 'a'"),
    "rare class": (csv_text(["x", "y"], rows_of(120, (1, "c"))), {}, "label 'c' has only 1 rows"),
    "three classes": (
        csv_text(["x", "y"], [(n, "abc"[n % 3]) for n in range(120)]), {"problem_type": "binary"},
        "a binary problem has two label values, found 3: 'a'",
    ),
    "text to regress": (
        csv_text(["x", "y"], [(n, n) for n in range(5)] + rows_of(120)), {"problem_type": "regression"},
        "data.csv, line 7, column 'y': 'a' is not a finite number",
    ),
    "infinite label": (
        csv_text(["x", "y"], [(n, n / 7) for n in range(120)] + [(1, "-inf")]), {},
        "data.csv, line 122, column 'y': '-inf' is not a finite number",
    ),
    "identifier label": (csv_text(["x", "y"], [(n, f"i{n}") for n in range(150)]), {}, "more than 100 different"),
    "wrong positive": (csv_text(["x", "y"], rows_of(120)), {"positive": "yes"}, "'yes', but the label 'y' is 'a', 'b'"),
    "all missing": (csv_text(["e", "y"], [("", "ab"[n % 2]) for n in range(120)]), {}, "Column 'e' has no value"),
    "stray text": (
        csv_text(["x", "y"], [*rows_of(70), ("oops", "a"), *rows_of(70)]), {},
        "data.csv, line 72, column 'x': 'oops' is not a number, while nearly all",
    ),
    "stray day": (
        csv_text(["d", "y"], [(f"2024-0{1 + n % 9}-1{n % 7}", "ab"[n % 2]) for n in range(126)] + [("2024-13-1", "a")]),
        {},
        "data.csv, line 128, column 'd': '2024-13-1' is not a date, while nearly all",
    ),
    "header among the records": (
        csv_text(["x", "y"], [*rows_of(120), ("x", "y")]),
        {"types": {"x": "category"}},
        "Column 'y': 'y' itself is the value of 1 rows. A header seems to be among the records",
    ),
    "nothing to learn from": (csv_text(["x", "y"], rows_of(120)), {"drop": ["x"]}, "No column is left to learn from"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_refused_with_a_message_that_names_the_place(tmp_path: Path, case: str) -> None:
    text, config, message = BAD_DATA[case]
    made = project(tmp_path, text, **config)
    with pytest.raises(DataError, match=f"(?s){message}"):
        made.validate()


def test_files_with_different_columns_are_refused(tmp_path: Path) -> None:
    made = project(tmp_path)
    made.add_csv("a.csv", records())
    made.add_csv("b.csv", records().rename(columns={"x": "z"}))
    with pytest.raises(DataError, match=r"b\.csv differs from a\.csv: column 'x' is missing, column 'z' is new"):
        made.validate()


def test_a_bad_value_in_a_parquet_file_is_named_by_its_record(tmp_path: Path) -> None:
    made = project(tmp_path)
    values = [str(number) for number in range(ROWS)]
    values[41] = "n.a. (see note)"
    records(c=values).to_parquet(made.data / "part.parquet")
    with pytest.raises(DataError, match=r"part\.parquet, record 42, column 'c': 'n\.a\. \(see note\)' is not a number"):
        made.validate()


def test_nested_parquet_columns_are_refused(tmp_path: Path) -> None:
    made = project(tmp_path)
    records(c=[[1, 2]] * ROWS).to_parquet(made.data / "part.parquet")
    with pytest.raises(DataError, match=r"part\.parquet, column 'c': values of type list.*not tabular"):
        made.validate()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("latin.csv", "x,y\n1,caf\xe9\n".encode("latin1"), r"latin\.csv, line 2: not UTF-8 text \(byte 0xe9\).*iconv"),
        ("cut.parquet", b"PAR1 and nothing else", r"cut\.parquet: damaged Parquet file"),
        ("cut.csv.gz", gzip.compress(b"x,y\n" + b"1,a\n" * 99999)[:-50], r"cut\.csv\.gz: the gzip file is damaged"),
        ("bits.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\xaa" * 99, r"bits\.csv\.gz: the gzip file is damaged"),
        ("book.xlsx", b"PK\x03\x04", r"book\.xlsx: files of type '\.xlsx' cannot be read"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    made = project(tmp_path)
    (made.data / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        made.validate()


def test_rows_without_label_can_be_left_out(tmp_path: Path) -> None:
    labels = ["a", "b", None, "b"] * (ROWS // 4)
    made = project(tmp_path, records(y=labels), drop_unlabelled=True, min_rows=50)
    assert made.validate().unlabelled_rows == ROWS // 4
    splits = made.prepare()
    assert sum(len(members) for members in splits.values()) == ROWS - ROWS // 4


def test_a_long_column_of_texts_is_counted_in_bounded_memory(tmp_path: Path) -> None:
    count = 12_000
    data = pd.DataFrame({"c": [f"t{number}" for number in range(count)], "y": ["a", "b"] * (count // 2)})
    column = project(tmp_path, data).validate().column("c")
    assert (column.distinct, column.distinct_is_exact) == (10_000, False)
