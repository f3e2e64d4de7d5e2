import json

import numpy as np
import pyarrow as pa
import pytest

from tabular.encoders import DATE_PARTS, ColumnSummary, Encoders
from tabular.errors import DataError
from tabular.schema import Column
from tabular.values import convert


def fitted(kind: str, texts: list[str | None], max_categories: int = 100) -> Encoders:
    """Return encoders fitted on one column."""
    summary = ColumnSummary.of(Column("c", kind), convert(texts, kind))
    return Encoders.fit([summary], max_categories)


def encoded(encoders: Encoders, kind: str, texts: list[str | None]) -> list[list[float | None]]:
    """Return the features of one column, None where missing."""
    matrix = encoders.encode(pa.RecordBatch.from_pydict({"c": convert(texts, kind)}))
    return [[None if np.isnan(value) else float(value) for value in row] for row in matrix]


def test_frequent_categories_get_codes_and_rare_and_unseen_ones_share_one() -> None:
    encoders = fitted("category", ["b"] * 9 + ["a"] * 7 + ["rare", None])
    assert encoded(encoders, "category", ["b", "a", "rare", "unseen", None]) == [[0], [1], [2], [2], [None]]
    assert encoders.feature_types == ["c"]


def test_an_unseen_category_counts_as_missing_where_no_rare_ones_were_seen() -> None:
    encoders = fitted("category", ["b"] * 9 + ["a"] * 7)
    assert encoded(encoders, "category", ["unseen"]) == [[None]]


def test_only_the_most_frequent_categories_are_told_apart() -> None:
    encoders = fitted("category", ["a"] * 9 + ["b"] * 8 + ["c"] * 7, max_categories=2)
    assert encoded(encoders, "category", ["a", "b", "c"]) == [[0], [1], [2]]


def test_booleans_and_numbers_stay_what_they_are() -> None:
    assert encoded(fitted("boolean", ["yes", "no"]), "boolean", ["yes", "no", None]) == [[1], [0], [None]]
    assert encoded(fitted("number", ["1", "2"]), "number", ["1.5", None]) == [[1.5], [None]]


def test_infinity_and_numbers_beyond_32_bits_stay_the_largest() -> None:
    ((infinite,), (huge,), (large,)) = encoded(fitted("number", ["1", "2"]), "number", ["inf", "1e300", "1e20"])
    assert infinite is not None
    assert huge is not None
    assert large is not None
    assert np.isfinite(infinite)
    assert infinite == huge > large


def test_dates_become_the_parts_that_vary() -> None:
    encoders = fitted("date", ["2024-01-01", "2024-06-02", "2024-12-03"])
    assert encoders.features == ["c.days", "c.month", "c.day", "c.weekday"]
    assert encoded(encoders, "date", ["1970-01-02", None]) == [[1, 1, 2, 4], [None] * 4]


def test_the_hour_counts_where_times_occur() -> None:
    encoders = fitted("date", ["2024-01-01T08:00", "2025-06-03T20:30"])
    assert encoders.features == [f"c.{part}" for part in DATE_PARTS]
    assert encoded(encoders, "date", ["1970-01-01T12:00"]) == [[0.5, 1970, 1, 1, 3, 12]]


@pytest.mark.parametrize(
    ("kind", "texts", "reason"),
    [
        ("category", [f"id{number}" for number in range(50)], "identifier or free text: 50 different values"),
        ("category", ["same"] * 50, "the same value in all records"),
        ("number", ["4"] * 50, "the same value in all records"),
        ("date", ["2024-01-01"] * 50, "the same value in all records"),
        ("boolean", [None] * 50, "no value in the training records"),
    ],
)
def test_columns_that_teach_nothing_are_left_out_with_the_reason(
    kind: str, texts: list[str | None], reason: str
) -> None:
    useful = ColumnSummary.of(Column("useful", "number"), convert(["1", "2"], "number"))
    encoders = Encoders.fit([useful, ColumnSummary.of(Column("c", kind), convert(texts, kind))], 100)
    assert encoders.features == ["useful"]
    assert encoders.left_out["c"].startswith(reason)


def running(first: int, step: int, count: int) -> Encoders:
    texts = [str(first + step * number) for number in range(count)]
    column = Column("c", "number", whole=True)
    useful = ColumnSummary.of(Column("useful", "number"), convert(["1", "2"], "number"))
    return Encoders.fit([useful, ColumnSummary.of(column, convert(texts, "number", whole=True))], 100)


def test_running_numbers_are_left_out_though_a_third_is_in_other_splits() -> None:
    left_out = running(1, 1, 100).left_out
    assert left_out == {"c": "running number: 100 different whole numbers from 1 to 100"}
    assert "c" in running(70_000_000, 3, 500).left_out


@pytest.mark.parametrize(("step", "count"), [(1, 50), (10, 500)])
def test_whole_numbers_that_may_be_measurements_are_used(step: int, count: int) -> None:
    assert running(1, step, count).features == ["useful", "c"]


def test_repeated_whole_numbers_are_used() -> None:
    texts = [str(number) for number in [*range(200), 7]]
    summary = ColumnSummary.of(Column("c", "number", whole=True), convert(texts, "number", whole=True))
    assert Encoders.fit([summary], 100).features == ["c"]


def test_an_identifier_is_used_when_a_person_says_so() -> None:
    summary = ColumnSummary.of(Column("c", "category"), convert([f"id{number}" for number in range(50)], "category"))
    assert Encoders.fit([summary], 100, wanted={"c": "category"}).features == ["c"]


def test_data_without_any_useful_column_is_refused() -> None:
    with pytest.raises(DataError, match=r"No column.*c: the same value in all records"):
        fitted("number", ["4", "4"])


def test_encoders_survive_a_round_trip_through_json() -> None:
    encoders = fitted("category", ["b"] * 9 + ["ä"] * 7 + ["rare"])
    assert Encoders.from_dict(json.loads(json.dumps(encoders.to_dict()))) == encoders


@pytest.mark.parametrize("kind", ["category", "number", "date", "boolean"])
def test_fitting_on_two_instances_equals_fitting_on_one(kind: str) -> None:
    texts = {
        "category": ["a"] * 8 + ["b"] * 3 + ["b"] * 4 + ["c", None],
        "number": ["1"] * 10 + ["2", None],
        "date": ["2024-01-01"] * 8 + ["2025-02-01"] * 3,
        "boolean": ["no"] * 7 + ["yes"],
    }[kind]
    halves = [ColumnSummary.of(Column("c", kind), convert(part, kind)) for part in (texts[:9], texts[9:], [])]
    whole = ColumnSummary.of(Column("c", kind), convert(texts, kind))
    assert Encoders.fit([halves[0] + halves[1] + halves[2]], 100) == Encoders.fit([whole], 100)
