"""Numbers, dates, labels and files in the notations of several programs and countries: read, or asked about."""

import bz2
import datetime
import decimal
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tabular_jobs import Project

import inference
from tabular.config import NUMBER_NOTATIONS
from tabular.errors import DataError
from tabular.schema import Schema

ROWS = 120
AMOUNTS = [round(float(number), 2) for number in np.random.default_rng(3).lognormal(7, 2, ROWS)]


def written(notation: str, number: float) -> str:
    """Return a number as a notation writes it, with groups."""
    group, decimal = {"1 234.56": (" ", "."), "1 234,56": (" ", ",")}.get(notation, (notation[1], notation[-3]))
    if notation == "12,34,567.8":
        whole, fraction = f"{number:.2f}".split(".")
        head, tail = whole[:-3], whole[-3:]
        pairs = [head[max(end - 2, 0) : end] for end in range(len(head), 0, -2)][::-1]
        return f"{','.join([*pairs, tail])}.{fraction}"
    return f"{number:,.2f}".replace(",", "_").replace(".", decimal).replace("_", group)


def validated(folder: Path, column: list[Any], separator: str = ";", **config: object) -> Schema:
    return project(folder, column, separator, **config).validate()


def project(folder: Path, column: list[Any], separator: str = ";", **config: object) -> Project:
    made = Project(folder, {"label": "y"} | config)
    rows = len(column)
    data = pd.DataFrame({"c": column, "x": range(rows), "y": (["a", "b"] * rows)[:rows]})
    made.add_csv("data.csv", data, sep=separator)
    return made


DRESSES: dict[str, Callable[[str], str]] = {
    "plain": "{}".format,
    "symbol": "€{}".format,
    "code": "{} EUR".format,
    "percent": "{}%".format,
    "narrow blank": lambda text: text.replace(" ", "\u202f"),
    "accounting": lambda text: f"({text[1:]})" if text.startswith("-") else text,
    "minus": lambda text: text.replace("-", "\u2212"),
    "minus behind": lambda text: f"{text[1:]}-" if text.startswith("-") else text,
    "word": "{} Euro".format,
    "rupees": "Rs. {}".format,
    "other dollars": "NZ$ {}".format,
}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("notation", NUMBER_NOTATIONS)
def test_numbers_of_every_notation_are_read(tmp_path: Path, separator: str, notation: str) -> None:
    numbers = [-number if position % 7 == 0 else number for position, number in enumerate(AMOUNTS)]
    texts = [f"{'-' * (number < 0)}{written(notation, abs(number))}" for number in numbers]
    made = Project(tmp_path, {"label": "y"})
    columns = {name: [dress(text) for text in texts] for name, dress in DRESSES.items()}
    made.add_csv("data.csv", pd.DataFrame(columns | {"x": range(ROWS), "y": ["a", "b"] * (ROWS // 2)}), sep=separator)
    schema = made.validate()
    read = pd.concat(made.prepare().values()).set_index("x").sort_index()
    for name in DRESSES:
        assert (name, schema.column(name).kind) == (name, "number")
        assert (name, read[name].tolist()) == (name, numbers)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize(("texts", "readings"), [(["5.340", "164"], "5.34 or 5340"), (["1,250", "7"], "1.25 or 1250")])
def test_numbers_that_may_be_thousands_are_asked_about(
    tmp_path: Path, separator: str, texts: list[str], readings: str
) -> None:
    with pytest.raises(DataError, match=rf"Column 'c': .* may be {readings}.*under types in config\.yaml"):
        validated(tmp_path, texts * (ROWS // 2), separator)


@pytest.mark.parametrize(("notation", "values"), [("1,234.56", {5.34, 164.0}), ("1.234,56", {5340.0, 164.0})])
def test_the_configuration_says_which_reading_is_meant(tmp_path: Path, notation: str, values: set[float]) -> None:
    made = project(tmp_path, ["5.340", "164"] * (ROWS // 2), types={"c": notation})
    assert made.validate().column("c").formats == (notation,)
    assert set(pd.concat(made.prepare().values())["c"]) == values


@pytest.mark.parametrize(
    ("separator", "texts"),
    [
        (",", ["5.340", "1.250"]),  # a file of a country with a decimal point
        (";", ["5.340", "1.25"]),  # one fraction is not a group
        (";", ["0.340", "0.125"]),  # no group begins with 0
        (";", ["1e3", "7"]),
    ],
)
def test_ordinary_numbers_stay_what_they_are(tmp_path: Path, separator: str, texts: list[str]) -> None:
    column = validated(tmp_path, texts * (ROWS // 2), separator).column("c")
    assert (column.kind, column.formats) == ("number", ())


@pytest.mark.parametrize("separator", [",", ";"])
def test_amounts_without_point_and_comma_leave_no_doubt(tmp_path: Path, separator: str) -> None:
    made = project(tmp_path, [f"€{number}" for number in range(ROWS)], separator)
    assert made.validate().column("c").kind == "number"
    assert sorted(pd.concat(made.prepare().values())["c"]) == list(range(ROWS))


@pytest.mark.parametrize("kind", [pa.float64(), pa.decimal128(12, 2)])
def test_numbers_of_parquet_are_numbers_whatever_notation_is_named(tmp_path: Path, kind: pa.DataType) -> None:
    made = Project(tmp_path, {"label": "y", "types": {"c": "1.234,56"}})
    exact = [decimal.Decimal(f"{amount:.2f}") for amount in AMOUNTS]
    column = pa.array(exact if pa.types.is_decimal(kind) else AMOUNTS, kind)
    pq.write_table(pa.table({"c": column, "x": range(ROWS), "y": ["a", "b"] * (ROWS // 2)}), made.data / "part.parquet")
    assert made.validate().column("c").kind == "number"
    assert sorted(pd.concat(made.prepare().values())["c"]) == sorted(AMOUNTS)


@pytest.mark.parametrize("config", [{}, {"label": "c", "problem_type": "regression"}, {"types": {"c": "1.234,56"}}])
def test_a_word_among_numbers_of_another_notation_is_the_one_that_is_named(tmp_path: Path, config: dict) -> None:
    texts = [written("1.234,56", amount) for amount in AMOUNTS]
    texts[7] = "unheard-of"
    with pytest.raises(DataError, match=r"data\.csv, line 9, column 'c': 'unheard-of' is not a"):
        validated(tmp_path, texts, **config)


def test_a_word_among_a_few_whole_numbers_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2, column 'c': 'many' is not a number"):
        validated(tmp_path, ["many", *(number % 6 for number in range(ROWS - 1))])


def test_numbers_of_several_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'c' has numbers of several units, e\.g\. .*€.*\$"):
        validated(tmp_path, [f"{'€$'[n % 2]}{n},5" for n in range(ROWS)])
    with pytest.raises(DataError, match="several units"):
        validated(tmp_path / "percent", [f"{n},5{'%' * (n % 2)}" for n in range(ROWS)])


def test_numbers_in_two_notations_are_named(tmp_path: Path) -> None:
    texts = [written(["1,234.56", "1.234,56"][number % 2], amount) for number, amount in enumerate(AMOUNTS)]
    with pytest.raises(DataError, match=r"'c' has numbers in two notations, '[\d,]+\.\d\d' and '[\d.]+,\d\d': write"):
        validated(tmp_path, texts)


def test_words_among_numbers_of_another_notation_are_named_rather_than_the_notation(tmp_path: Path) -> None:
    texts = [*(written("1.234,56", amount) for amount in AMOUNTS[20:]), *["k. A."] * 20]
    with pytest.raises(DataError, match=r"column 'c': 'k\. A\.' is not a number, .*'k\. A\.' occurs 20 times"):
        validated(tmp_path, texts)


@pytest.mark.parametrize("texts", [["5.340", "164"], ["1,250", "7"]])
def test_texts_of_parquet_that_may_be_thousands_are_asked_about(tmp_path: Path, texts: list[str]) -> None:
    made = Project(tmp_path, {"label": "y"})
    pd.DataFrame({"c": texts * 60, "y": ["a", "b"] * 60}).to_parquet(made.data / "part.parquet")
    with pytest.raises(DataError, match=rf"Column 'c': '{texts[0]}' may be .* or .*under types in config\.yaml"):
        made.validate()


def test_decimals_of_parquet_are_what_they_would_be_as_text(tmp_path: Path) -> None:
    made = Project(tmp_path, {"label": "y", "record_key": ["k"]})
    texts = [f"{amount:.10f}" for amount in AMOUNTS]
    wide = pa.array(map(decimal.Decimal, texts), pa.decimal256(60, 10))
    keys = pa.array([10**18 + number for number in range(ROWS)], pa.decimal128(38, 0))
    table = pa.table({"k": keys, "c": wide, "y": ["a", "b"] * (ROWS // 2)})
    pq.write_table(table, made.data / "part.parquet")
    assert made.validate().column("k").distinct == ROWS
    assert sorted(pd.concat(made.prepare().values())["c"]) == sorted(map(float, texts))


@pytest.mark.parametrize("word", ["unknown", "tbd", "k.A."])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.45])
def test_a_few_words_among_many_numbers_are_asked_about(tmp_path: Path, word: str, share: float) -> None:
    count = int(ROWS * share)
    with pytest.raises(DataError, match=rf"column 'c': {word!r} is not a number, while .*leave the cell empty"):
        validated(tmp_path, [*AMOUNTS[count:], *[word] * count])


@pytest.mark.parametrize("word", ["#DIV/0!", "#N/A", "(blank)", "n.a.", "#VALUE!"])
def test_what_spreadsheets_show_for_nothing_is_missing(tmp_path: Path, word: str) -> None:
    column = validated(tmp_path, [*AMOUNTS[40:], *[word] * 40]).column("c")
    assert (column.kind, column.missing) == ("number", 40)


def test_words_of_a_category_with_some_numbers_stay_categories(tmp_path: Path) -> None:
    assert validated(tmp_path, ["1", "2", "many"] * 40).column("c").kind == "category"


DAYS = [datetime.datetime(2023, 1, 1) + datetime.timedelta(hours=31 * number) for number in range(ROWS)]


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d %H:%M:%S+00",
        "%Y-%m-%dT%H:%M:%S.000Z",
        "%m/%d/%Y %I:%M %p",
        "%d.%m.%Y %H:%M",
        "%d.%m.%y %H:%M",
        "%b %d, %Y %I:%M:%S %p",
        "%d %B %Y %H:%M",
        "%d-%b-%y %H:%M",
        "%Y/%m/%d %H:%M",
    ],
)
def test_dates_of_many_programs_are_read(tmp_path: Path, form: str) -> None:
    made = project(tmp_path, [day.strftime(form) for day in DAYS])
    assert made.validate().column("c").kind == "date"
    read = pd.concat(made.prepare().values()).set_index("x")["c"].sort_index()
    seconds = "%S" in form
    assert read.tolist() == [day if seconds else day.replace(second=0) for day in DAYS]


@pytest.mark.parametrize("form", ["%m/%d/%Y", "%d/%m/%y %H:%M", "%m-%d-%Y"])
def test_dates_whose_day_may_be_the_month_are_asked_about(tmp_path: Path, form: str) -> None:
    early = [day.replace(day=day.day % 12 + 1) for day in DAYS]
    column = [day.strftime(form) for day in early]
    day = form.split()[0]
    with pytest.raises(DataError, match=rf"Column 'c': '.*' may be \d{{4}}-\d\d-\d\d or .*under types .*{day}"):
        validated(tmp_path, column)
    made = project(tmp_path / "decided", column, types={"c": day})
    assert made.validate().column("c").formats == (day,)
    read = pd.concat(made.prepare().values()).set_index("x")["c"].sort_index()
    assert [moment.date() for moment in read] == [moment.date() for moment in early]


COMPACT = ("%Y%m%d", "%Y%m%dT%H%M%S", "%Y%m%d%H%M%S", "%Y%m%d %H:%M:%S", "%Y%m%dT%H%M%SZ")


@pytest.mark.parametrize("form", COMPACT)
@pytest.mark.parametrize("as_number", [False, True])
def test_dates_without_separators_are_dates(tmp_path: Path, form: str, as_number: bool) -> None:
    texts = [day.strftime(form) for day in DAYS]
    column = list(map(int, texts)) if as_number and texts[0].isdecimal() else texts
    made = Project(tmp_path, {"label": "y"})
    data = pd.DataFrame({"c": column, "x": range(ROWS), "y": ["a", "b"] * (ROWS // 2)})
    data.to_parquet(made.data / "part.parquet")
    assert made.validate().column("c").kind == "date"
    read = pd.concat(made.prepare().values()).set_index("x")["c"].sort_index()
    assert read.tolist() == [day if "%H" in form else datetime.datetime.combine(day, datetime.time()) for day in DAYS]


@pytest.mark.parametrize("first", [20_240_000, 19_990_101, 20_241_200])
def test_numbers_some_of_which_might_be_dates_are_numbers(tmp_path: Path, first: int) -> None:
    assert validated(tmp_path, [first + 7 * number for number in range(ROWS)]).column("c").kind == "number"


@pytest.mark.parametrize("nothing", ["00000000", "00.00.0000", "0000-00-00"])
def test_days_that_stand_for_nothing_are_asked_about(tmp_path: Path, nothing: str) -> None:
    form = {"00000000": "%Y%m%d", "00.00.0000": "%d.%m.%Y", "0000-00-00": "%Y-%m-%d"}[nothing]
    column = [*(day.strftime(form) for day in DAYS[20:]), *[nothing] * 20]
    with pytest.raises(DataError, match=rf"line 102, column 'c': '{nothing}' is not a date.* occurs 20 times"):
        validated(tmp_path, column)


OTHER_DATES = {
    "SAS": lambda day: day.strftime("%d%b%Y:%H:%M:%S").upper(),
    "Stata": lambda day: day.strftime("%d%b%Y %H:%M:%S").lower(),
    "German": lambda day: (
        f"{day.day}. {['Januar', 'Februar', 'März', 'April', 'Mai', 'Juni'][day.month % 6]} {day.year}"
    ),
    "French": lambda day: (
        f"{day.day} {['janvier', 'février', 'mars', 'avril', 'mai', 'juin'][day.month % 6]} {day.year}"
    ),
    "Chinese": lambda day: f"{day.year}年{day.month}月{day.day}日",
    "Hungarian": lambda day: day.strftime("%Y. %m. %d."),
    "week": lambda day: day.strftime("%G-W%V-%u"),
    "JSON of .NET": lambda day: f"/Date({int(day.timestamp() * 1000)})/",
    "mail": lambda day: day.strftime("%a, %d %b %Y %H:%M:%S +0000"),
    "Java": lambda day: day.strftime("%Y-%m-%dT%H:%M:%SZ[UTC]"),
}


@pytest.mark.parametrize("program", OTHER_DATES)
def test_dates_of_other_programs_and_languages_are_not_left_out_in_silence(tmp_path: Path, program: str) -> None:
    with pytest.raises(DataError, match="Column 'c': its values look like dates"):
        validated(tmp_path, [OTHER_DATES[program](day) for day in DAYS])


@pytest.mark.parametrize("form", ["%H:%M:%S", "%H:%M", "%I:%M %p", "%Hh %Mm"])
def test_times_are_not_left_out_in_silence(tmp_path: Path, form: str) -> None:
    texts = [(DAYS[0] + datetime.timedelta(minutes=137 * number)).strftime(form) for number in range(ROWS)]
    with pytest.raises(DataError, match="Column 'c': its values look like times"):
        validated(tmp_path, texts)


@pytest.mark.parametrize("form", ["%Y %m %d %H", "%d de %b de %Y", "%A %d/%m/%Y", "%Y-%m-%d at %H"])
def test_dates_in_a_form_that_is_not_read_are_not_left_out_in_silence(tmp_path: Path, form: str) -> None:
    with pytest.raises(DataError, match="Column 'c': its values look like dates"):
        validated(tmp_path, [day.strftime(form) for day in DAYS])


@pytest.mark.parametrize("form", ["{} kg", "~{}", "{}°C", "{}M", "{} Stück", "{} DR", "Nr. {}", "<{}"])
def test_numbers_in_a_form_that_is_not_read_are_not_left_out_in_silence(tmp_path: Path, form: str) -> None:
    with pytest.raises(DataError, match="Column 'c': its values look like numbers"):
        validated(tmp_path, [form.format(amount) for amount in AMOUNTS])


def test_digits_of_other_scripts_are_not_left_out_in_silence(tmp_path: Path) -> None:
    arabic = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    with pytest.raises(DataError, match="Column 'c': its values look like numbers"):
        validated(tmp_path, [str(amount).translate(arabic) for amount in AMOUNTS])


IDENTIFIERS = (
    *("A{}", "{}-12-{}", "+49 170 {}", "{:06.0f}", "note {} here", "v{}.2.1", "0x{:x}", "{}/2024", "K{}.5"),
    *("10.{}.0.{}", "{}.1.2"),
)


@pytest.mark.parametrize("form", IDENTIFIERS)
def test_identifiers_and_text_are_still_text(tmp_path: Path, form: str) -> None:
    texts = [form.format(*[number * 977] * form.count("{")) for number in range(1, ROWS + 1)]
    assert validated(tmp_path, texts).column("c").kind == "category"


@pytest.mark.slow
@pytest.mark.parametrize("notation", ["1.234,56", "1 234,56", "12,34,567.8"])
def test_sample_records_are_answered_as_csv_and_as_json(tmp_path: Path, notation: str) -> None:
    """A deployment compares the answers to both with those of training."""
    random = np.random.default_rng(4)
    amounts = [*random.lognormal(7, 2, 398).round(2), 0.00000015, 12345678901234567890.5]
    made = Project(tmp_path, {"label": "y", "hyperparameters": {"num_round": 5}})
    texts = [written(notation, amount) for amount in amounts[:398]] + [
        format(decimal.Decimal(repr(float(amount))), "f").replace(".", "," if notation.endswith(",56") else ".")
        for amount in amounts[398:]
    ]
    labels = ["a" if amount > 1000 else "b" for amount in amounts]
    made.add_csv("data.csv", pd.DataFrame({"c": texts, "x": range(400), "y": labels}), sep=";")
    assert made.validate().column("c").formats == (notation,)
    made.prepare()
    made.train()
    made.evaluate()
    model, samples = made.model(), made.output("samples")
    expected = [json.loads(line)["expected"] for line in (samples / "expected.jsonl").read_text().splitlines()]
    for name, kind in (("records.csv", "text/csv"), ("records.jsonl", "application/jsonlines")):
        records = inference.input_fn((samples / name).read_bytes(), kind)
        answers = json.loads(inference.output_fn(inference.predict_fn(records, model), "application/json"))
        assert answers["predictions"] == expected


# ---- labels ---------------------------------------------------------------------------------------------------------


def label_of(folder: Path, labels: list[str], **config: object) -> Schema:
    made = Project(folder, {"label": "y"} | config)
    made.add_csv("data.csv", pd.DataFrame({"x": range(ROWS), "y": (labels * ROWS)[:ROWS]}))
    return made.validate()


@pytest.mark.parametrize(
    "labels",
    [
        ["True", "TRUE", "false"],
        ["gold", "Gold", "silver"],
        ["yes", "true", "no"],
        ["new  car", "new car", "b"],
        ["yes", "yes\u200b", "no"],
        ["yes", "\uff59\uff45\uff53", "no"],
        ["café", "cafe\u0301", "tea"],
        ["'yes'", "yes", "no"],
    ],
)
def test_one_class_in_several_spellings_is_refused(tmp_path: Path, labels: list[str]) -> None:
    with pytest.raises(DataError, match=r"Column 'y': .*one class in several spellings"):
        label_of(tmp_path, labels)


def test_spellings_are_classes_when_a_person_says_so(tmp_path: Path) -> None:
    assert label_of(tmp_path, ["gold", "Gold"], types={"y": "category"}).classes == ("Gold", "gold")


@pytest.mark.parametrize("word", ["NA", "None", "n/a", "?", "missing"])
def test_words_for_nothing_are_not_classes(tmp_path: Path, word: str) -> None:
    with pytest.raises(DataError, match="line 4, column 'y': the label is missing, as in 40 of 120 rows"):
        label_of(tmp_path, ["a", "b", word])
    made = Project(tmp_path / "left out", {"label": "y", "drop_unlabelled": True, "min_rows": 50})
    made.add_csv("data.csv", pd.DataFrame({"x": range(ROWS), "y": ["a", "b", word] * (ROWS // 3)}))
    schema = made.validate()
    assert (schema.classes, schema.unlabelled_rows) == (("a", "b"), 40)
    assert sum(map(len, made.prepare().values())) == 80


def test_words_for_nothing_are_classes_when_a_person_says_so(tmp_path: Path) -> None:
    schema = label_of(tmp_path, ["None", "fire", "water"], types={"y": "category"})
    assert schema.classes == ("None", "fire", "water")


def test_a_label_of_counts_is_told_how_to_be_predicted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"only \d rows.*problem_type: regression"):
        label_of(tmp_path, [*["0", "1", "2"] * 38, "9", "8", "7", "6", "5", "4"])


def test_a_label_in_another_notation_is_predicted(tmp_path: Path) -> None:
    made = Project(tmp_path, {"label": "y"})
    texts = [written("1.234,56", amount) for amount in AMOUNTS]
    made.add_csv("data.csv", pd.DataFrame({"x": range(ROWS), "y": texts}), sep=";")
    assert made.validate().problem_type == "regression"
    assert sorted(pd.concat(made.prepare().values())["y"]) == sorted(AMOUNTS)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_names_of_folders_are_columns(tmp_path: Path) -> None:
    made = Project(tmp_path, {"label": "y"})
    for region in ("north", "S%C3%BCd", "__HIVE_DEFAULT_PARTITION__"):
        made.add_csv(f"region={region}/part-0.csv", pd.DataFrame({"x": range(60), "y": ["a", "b"] * 30}))
    column = made.validate().column("region")
    assert (column.kind, column.distinct, column.missing) == ("category", 2, 60)
    splits = pd.concat(made.prepare(hosts=2).values())
    assert splits["region"].value_counts(dropna=False).to_dict() == {"north": 60, "Süd": 60, None: 60}


def test_numbers_in_names_of_folders_are_numbers(tmp_path: Path) -> None:
    made = Project(tmp_path, {"label": "y"})
    for month in ("01", "02", "11"):
        made.add_csv(f"year=2024/month={month}/part-0.csv", pd.DataFrame({"x": range(40), "y": ["a", "b"] * 20}))
    assert made.validate().column("month").kind == "number"
    assert set(pd.concat(made.prepare().values())["month"]) == {1, 2, 11}


def test_a_folder_that_some_files_lack_is_named(tmp_path: Path) -> None:
    made = Project(tmp_path, {"label": "y"})
    made.add_csv("part-0.csv", pd.DataFrame({"x": range(60), "y": ["a", "b"] * 30}))
    made.add_csv("region=north/part-0.csv", pd.DataFrame({"x": range(60), "y": ["a", "b"] * 30}))
    with pytest.raises(DataError, match=r"region=north/part-0\.csv differs from part-0\.csv: column 'region' is new"):
        made.validate()


def test_a_dropped_column_of_lists_does_not_matter(tmp_path: Path) -> None:
    made = Project(tmp_path, {"label": "y", "drop": ["tags"]})
    data = pd.DataFrame({"x": range(ROWS), "tags": [["a"]] * ROWS, "y": ["a", "b"] * (ROWS // 2)})
    data.to_parquet(made.data / "part.parquet")
    assert [column.name for column in made.validate().columns] == ["x", "y"]
    assert sum(map(len, made.prepare().values())) == ROWS


def test_columns_called_like_years_are_columns(tmp_path: Path) -> None:
    made = Project(tmp_path, {"label": "y"})
    made.add_csv("data.csv", pd.DataFrame({"2023": range(ROWS), "2024": AMOUNTS, "y": ["a", "b"] * (ROWS // 2)}))
    assert [column.name for column in made.validate().columns] == ["2023", "2024", "y"]


def test_times_and_durations_of_parquet_are_numbers(tmp_path: Path) -> None:
    made = Project(tmp_path, {"label": "y"})
    times = [datetime.time(number % 24, 30) for number in range(ROWS)]
    spans = pd.to_timedelta([f"{number} min" for number in range(ROWS)])
    data = pd.DataFrame({"at": times, "took": spans, "y": ["a", "b"] * (ROWS // 2)})
    data.to_parquet(made.data / "part.parquet")
    schema = made.validate()
    assert {schema.column(name).kind for name in ("at", "took")} == {"number"}
    read = pd.concat(made.prepare().values())
    assert (read["at"].max(), read["took"].max()) == (23 * 3600 + 1800, (ROWS - 1) * 60)


def test_everything_that_is_wrong_with_columns_is_said_at_once(tmp_path: Path) -> None:
    made = Project(tmp_path, {"label": "y"})
    data = pd.DataFrame({"e": [None] * ROWS, "f": [None] * ROWS, "n": [*range(ROWS - 1), "x"], "y": ["a", "b"] * 60})
    made.add_csv("data.csv", data)
    with pytest.raises(DataError, match=r"(?s)3 columns.*- Column 'e' has no value.*- Column 'f'.*'x' is not a number"):
        made.validate()


FOREIGN = {
    "workbook": (b"PK\x03\x04\x14\x00\x06\x00" + bytes(90), "a ZIP archive or an Excel workbook"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(90), "an Excel workbook"),
    "bzip2": (bz2.compress(b"x,y\n1,a\n"), "packed with another program than gzip"),
    "packed twice": (gzip.compress(gzip.compress(b"x,y\n1,a\n")), "packed with gzip twice"),
    "UTF-16 without a mark": ("x,y\n1,a\n".encode("utf-16-le"), r"iconv -f utf-16le -t utf-8"),
    "UTF-32": ("x,y\n1,a\n".encode("utf-32"), "iconv -f utf-32 -t utf-8"),
    "JSON lines": (b'{"x": 1, "y": "a"}\n', "JSON"),
    "page": (b"<?xml version='1.0'?><Error/>", "a page of HTML or XML"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "separator for Excel": (b"\xef\xbb\xbfsep=;\r\nx;y\r\n1;a\r\n", "remove that line"),
    "quotes of Windows": ("x,y\n1,“a”\n".encode("cp1252"), "iconv -f windows-1252 -t utf-8"),
    "row names": (b"x,y\n1,1,a\n", r"row\.names = FALSE"),
    "index": (b",x,y\n1,1,a\n", r"index=False"),
    "separators at the ends": (b"x,y,\n1,a,\n", "Do lines end with a separator"),
    "separators at the ends of rows": (b"x,y\n1,a,\n", "Lines end with ','"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_cannot_be_read_is_called_by_its_name(tmp_path: Path, name: str) -> None:
    content, said = FOREIGN[name]
    made = Project(tmp_path, {"label": "y"})
    (made.data / "data.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"data\.csv.*{said}"):
        made.validate()


@pytest.mark.parametrize("header", ["ORCHID", "BZhang", "sepal", "PK", "obj"])
def test_names_of_columns_are_not_taken_for_another_kind_of_file(tmp_path: Path, header: str) -> None:
    made = Project(tmp_path, {"label": "y"})
    made.add_csv("data.csv", pd.DataFrame({header: range(ROWS), "y": ["a", "b"] * (ROWS // 2)}))
    assert made.validate().column(header).kind == "number"
