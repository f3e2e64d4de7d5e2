"""What a raw value means: the one place where text becomes a number, a boolean, a date or a category.

Validation, preparation, training, evaluation and the endpoint all convert raw values here, so a record means the same
everywhere, whether it came from CSV (all text), Parquet (typed) or JSON (mixed).

==========  ======================================================  =========================================
kind        accepted                                                converted column (pandas)
==========  ======================================================  =========================================
number      3, 3.5, 1e3, -inf, "  7 "; booleans count as 0 and 1    ``float64`` or exact ``Int64``
boolean     true/false, yes/no, y/n, t/f (any case), 1/0            ``boolean``
date        ISO 8601 and the formats in `DATE_FORMATS`              ``datetime64[us]``, UTC where zoned
category    anything                                                ``object`` of text, None where missing
==========  ======================================================  =========================================

An empty cell and the words that programs write for nothing (`NEVER_A_VALUE`) are always missing. Words that people
write for nothing (`MAYBE_MISSING`: NA, none, ? ...) are missing in numbers, booleans and dates; in a category they are
categories, because "None" may well be an answer.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd

NEVER_A_VALUE = frozenset({"", "nan", "NaN", "NAN", "null", "NULL", "Null", "NaT", "<NA>", r"\N"})
MAYBE_MISSING = frozenset({"na", "n/a", "#n/a", "nan", "none", "null", "nil", "missing", "?", "-", "--"})

TRUE_WORDS = frozenset({"true", "yes", "y", "t", "1"})
FALSE_WORDS = frozenset({"false", "no", "n", "f", "0"})

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
EXACT_IN_FLOAT = 2**53

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE | re.ASCII)
INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
LEADING_ZERO = re.compile(r"0\d+", re.ASCII)
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?( ?(Z|UTC|[+-]\d{2}:?\d{2}))?)?", re.ASCII)

# In the order of preference where a column fits several: 03/04/2024 is March 4 unless some day of the column says no.
DATE_FORMATS = (
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
)
TIME_SUFFIXES = ("", " %H:%M", " %H:%M:%S")


class BadValueError(ValueError):
    """A text that does not fit its column.

    Attributes:
        position: Index of the text, from 0.
        text: The text.
    """

    def __init__(self, position: int, text: str | None) -> None:
        super().__init__(f"value {text!r} at position {position}")
        self.position = position
        self.text = text


def text_of(value: object) -> str | None:
    """Return the one text that stands for a raw value, or None when it is missing.

    Equal values have equal texts wherever they come from: 1, 1.0 and True as a category are "1", "1" and "true".
    """
    if isinstance(value, str):
        text = value.strip()
        return None if text in NEVER_A_VALUE else text
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        return number_text(float(value))
    if isinstance(value, (date, np.datetime64)):
        return _moment_text(value)
    return str(value)


def number_text(number: float) -> str | None:
    """Return the shortest exact text of a number, without ``.0`` where it is whole; None for NaN."""
    if math.isnan(number):
        return None
    if number.is_integer() and abs(number) <= EXACT_IN_FLOAT:
        return str(int(number))
    return repr(number)


def texts_of(values: Iterable[Any]) -> list[str | None]:
    """Return the text of every raw value, see `text_of`."""
    return [text_of(value) for value in values]


def is_missing(text: str | None, kind: str) -> bool:
    """Tell whether a text stands for a missing value in a column of a kind."""
    return text is None or (kind != "category" and text.lower() in MAYBE_MISSING)


def to_number(text: str) -> float:
    """Return the number that a text is.

    Raises:
        ValueError: The text is no number.
    """
    lowered = text.lower()
    if lowered in ("true", "false"):
        return float(lowered == "true")
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)


def to_integer(text: str) -> int:
    """Return the whole number that a text is, exactly, where `float` would round it.

    Raises:
        ValueError: The text is no whole number, or does not fit into 64 bits.
    """
    number = int(text) if INTEGER.fullmatch(text) else _whole(to_number(text))
    if not INT64_MIN <= number <= INT64_MAX:
        raise ValueError(text)
    return number


def to_boolean(text: str) -> bool:
    """Return the boolean that a text is.

    Raises:
        ValueError: The text is none of the words for true and false.
    """
    lowered = text.lower()
    if lowered in TRUE_WORDS:
        return True
    if lowered in FALSE_WORDS:
        return False
    raise ValueError(text)


def to_date(text: str, formats: Sequence[str] = ()) -> datetime:
    """Return the moment that a text is, in UTC and without zone.

    Args:
        text: A date, with or without time of day.
        formats: Formats besides ISO 8601 to try, in this order; see `DATE_FORMATS`.

    Raises:
        ValueError: The text is no date in any of the formats.
    """
    if ISO_DATE.fullmatch(text):
        try:
            return _naive_utc(datetime.fromisoformat(re.sub(r" ?(Z|UTC)$", "Z", text)))
        except OverflowError as err:  # year 1 or 9999, pushed out of the calendar by its zone
            raise ValueError(text) from err
    suffix = TIME_SUFFIXES[min(text.count(":"), 2)]
    for layout in formats:
        try:
            return datetime.strptime(text, layout + suffix)
        except ValueError:
            continue
    raise ValueError(text)


def convert(texts: Sequence[str | None], kind: str, *, whole: bool = False, formats: Sequence[str] = ()) -> pd.Series:
    """Return texts as a column of a kind.

    Args:
        texts: Texts from `texts_of`.
        kind: ``number``, ``boolean``, ``date`` or ``category``.
        whole: The numbers are whole and kept exactly (``Int64``).
        formats: Formats of the dates besides ISO 8601.

    Raises:
        BadValueError: A text does not fit; it says which one and where.
    """
    if kind == "category":
        return pd.Series(texts, dtype=object)
    parse: Callable[[str], Any]
    if kind == "boolean":
        parse, dtype = to_boolean, "boolean"
    elif kind == "date":
        parse, dtype = lambda text: np.datetime64(to_date(text, formats), "us"), "datetime64[us]"
    elif whole:
        parse, dtype = to_integer, "Int64"
    else:
        parse, dtype = to_number, "float64"
    known: dict[str | None, Any] = {None: None}
    parsed = []
    for position, text in enumerate(texts):
        if text is not None and text not in known:
            try:
                known[text] = None if is_missing(text, kind) else parse(text)
            except ValueError as err:
                raise BadValueError(position, text) from err
        parsed.append(known[text])
    return pd.Series(parsed, dtype=dtype)


def canonical(column: pd.Series) -> list[str | None]:
    """Return a converted column as texts that are equal exactly where the values are equal."""
    if column.dtype == "Int64":
        return [None if value is pd.NA else str(value) for value in column.astype(object)]
    if column.dtype == "float64":
        return [number_text(value) for value in column.tolist()]
    return texts_of(column.to_numpy() if column.dtype.kind == "M" else column.astype(object))


def _whole(number: float) -> int:
    """Return a float as int where that loses nothing."""
    if not number.is_integer() or abs(number) > EXACT_IN_FLOAT:
        raise ValueError(number)
    return int(number)


def _moment_text(moment: date | np.datetime64) -> str | None:
    """Return a date or a moment as ISO text in UTC, without the time of day at midnight."""
    plain: date | None = moment.astype("datetime64[us]").item() if isinstance(moment, np.datetime64) else moment
    if not isinstance(plain, datetime):
        return plain.isoformat() if plain else None
    plain = _naive_utc(plain)
    midnight = (plain.hour, plain.minute, plain.second, plain.microsecond) == (0, 0, 0, 0)
    return plain.date().isoformat() if midnight else plain.isoformat()


def _naive_utc(moment: datetime) -> datetime:
    """Return a moment in UTC without zone; a moment without zone is taken as it is."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
