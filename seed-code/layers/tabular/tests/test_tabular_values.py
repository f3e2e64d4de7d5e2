import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tabular import values
from tabular.profile import kinds_of
from tabular.values import BadValueError, canonical, convert, text_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" north ", "north"),
        ("", None),
        ("NaN", None),
        ("None", "None"),
        (None, None),
        (float("nan"), None),
        (np.datetime64("NaT"), None),
        (1, "1"),
        (1.0, "1"),
        (True, "true"),
        (np.bool_(False), "false"),
        (0.1, "0.1"),
        (np.float32(0.5), "0.5"),
        (float("inf"), "inf"),
        (2**70, str(2**70)),
        (date(2024, 3, 5), "2024-03-05"),
        (datetime(2024, 3, 5, 14, 30), "2024-03-05T14:30:00"),
        (datetime(2024, 3, 5, 0, 30, tzinfo=timezone(timedelta(hours=2))), "2024-03-04T22:30:00"),
        (np.datetime64("2024-03-05T00:00"), "2024-03-05"),
        ("Zürich 東京", "Zürich 東京"),
    ],
)
def test_equal_values_have_one_text_wherever_they_come_from(value: object, text: str | None) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("-3.5", -3.5),
        ("+1e3", 1000),
        (".5", 0.5),
        ("5.", 5),
        ("-inf", -np.inf),
        ("Infinity", np.inf),
        ("true", 1),
    ],
)
def test_numbers_are_read_in_every_usual_form(text: str, number: float) -> None:
    assert convert([text], "number").to_pylist() == [number]


@pytest.mark.parametrize("text", ["1,5", "1_000", "0x10", "$5", "1.2.3", "five", "१२"])
def test_what_only_resembles_a_number_is_not_a_number(text: str) -> None:
    with pytest.raises(BadValueError):
        convert([text], "number")


def test_a_bad_value_is_found_by_its_position() -> None:
    with pytest.raises(BadValueError) as failure:
        convert(["1", None, "2", "two"], "number")
    assert (failure.value.position, failure.value.text) == (3, "two")


def test_whole_numbers_keep_every_digit() -> None:
    column = convert(["9007199254740993", None, "-9223372036854775808"], "number", whole=True)
    assert canonical(column) == ["9007199254740993", None, "-9223372036854775808"]


def test_words_for_nothing_are_missing_in_numbers_but_categories_elsewhere() -> None:
    texts = ["none", "N/A", "-", "?", None]
    assert convert(texts, "number").null_count == len(texts)
    assert convert(texts, "category").to_pylist() == texts


def test_boolean_words_of_any_case_are_read() -> None:
    column = convert(["Yes", "NO", "t", "0", "n/a"], "boolean")
    assert canonical(column) == ["true", "false", "true", "false", None]


@pytest.mark.parametrize(
    ("text", "formats", "expected"),
    [
        ("2024-03-05", (), "2024-03-05"),
        ("2024-03-05 14:30", (), "2024-03-05T14:30:00"),
        ("2024-03-05T14:30:00Z", (), "2024-03-05T14:30:00"),
        ("2024-03-05 14:30:00 UTC", (), "2024-03-05T14:30:00"),
        ("2024-03-05T14:30:00.123456789+02:00", (), "2024-03-05T12:30:00.123456"),
        ("9999-12-31", (), "9999-12-31"),
        ("0001-01-01", (), "0001-01-01"),
        ("05/03/2024", ("%d/%m/%Y",), "2024-03-05"),
        ("05/03/2024", ("%m/%d/%Y",), "2024-05-03"),
        ("5.3.2024 07:15", ("%d.%m.%Y",), "2024-03-05T07:15:00"),
        ("Mar 5, 2024", ("%b %d, %Y",), "2024-03-05"),
        ("2024-03-05", ("%d/%m/%Y",), "2024-03-05"),
    ],
)
def test_dates_are_read_in_their_format_and_in_iso(text: str, formats: tuple[str, ...], expected: str) -> None:
    assert canonical(convert([text], "date", formats=formats)) == [expected]


@pytest.mark.parametrize("text", ["2024-13-01", "2024-02-30", "yesterday", "0001-01-01T00:00:00+05:00"])
def test_days_that_do_not_exist_are_not_dates(text: str) -> None:
    with pytest.raises(BadValueError):
        convert([text], "date")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("0042", ["number", "finite number", "code", "whole"]),
        ("1", ["boolean", "bit", "number", "finite number", "whole"]),
        ("18446744073709551616", ["number", "finite number", "whole", "huge"]),
        ("-inf", ["number"]),
        ("2024-01-02", ["date"]),
        ("13/02/2024", ["%d/%m/%Y"]),
        ("01/02/2024", ["%m/%d/%Y", "%d/%m/%Y"]),
        ("north", []),
    ],
)
def test_the_kinds_of_a_text_are_told_apart(text: str, kinds: list[str]) -> None:
    assert sorted(kinds_of(text)) == sorted(kinds)


def test_what_is_written_to_text_and_read_again_is_the_same_number() -> None:
    numbers = pa.array([0.1, 1 / 3, 1e300, -5e-324, 123456789.123456789, 2.0**60])
    assert convert(canonical(numbers), "number") == numbers


def test_pandas_is_loaded_only_by_who_uses_it() -> None:
    program = """
import sys
import tabular.profile, tabular.splits, pyarrow as pa
assert "pandas" not in sys.modules
frame = pa.table({"x": [1.5, None]}).to_pandas()
assert pa.array(frame["x"]).null_count == 1
assert pa.Table.from_pandas(frame).num_rows == 2
"""
    source = Path(values.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", program], cwd=source, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
