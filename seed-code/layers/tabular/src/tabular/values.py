"""What a raw value means: the one place where text becomes a number, a boolean, a date or a category.

Validation, preparation, training, evaluation and the endpoint all convert raw values here, so a record means the same
everywhere, whether it came from CSV (all text), Parquet (typed) or JSON (mixed). Everything works on Arrow arrays; the
functions of a single text at the end are the same rules for one value.

==========  ======================================================  =========================================
kind        accepted                                                converted column (Arrow)
==========  ======================================================  =========================================
number      3, 3.5, 1e3, -inf, "  7 "; booleans count as 0 and 1;   ``double``, or exact ``int64``
            one of `tabular.notations` where the column says so
boolean     true/false, yes/no, y/n, t/f (any case), 1/0            ``bool``
date        ISO 8601, and one of `tabular.dates`                    ``timestamp[us]``, UTC where zoned
category    anything                                                ``string``
==========  ======================================================  =========================================

An empty cell and the words that programs write for nothing (`NEVER_A_VALUE`) are always missing. Words that people
write for nothing (`MAYBE_MISSING`: NA, none, ? ...) are missing in numbers, booleans and dates; in a category they are
categories, because "None" may well be an answer.
"""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tabular import dates, notations
from tabular.imports import without

NEVER_A_VALUE = frozenset({"", "nan", "NaN", "NAN", "null", "NULL", "Null", "NaT", "<NA>", r"\N"})
MAYBE_MISSING = frozenset(
    {"na", "n/a", "n.a.", "nan", "none", "null", "nil", "missing", "?", "-", "--", "(null)", "(blank)", "(empty)"}
    # What spreadsheets show where they cannot calculate.
    | {"#n/a", "#n/a n/a", "#na", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!"}
)

TRUE_WORDS = frozenset({"true", "yes", "y", "t", "1"})
FALSE_WORDS = frozenset({"false", "no", "n", "f", "0"})

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
EXACT_IN_FLOAT = 2**53

NUMBER = r"^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:[+-]?inf(?:inity)?))$"
INTEGER = r"^[+-]?\d+$"
SAFE_INTEGER = r"^[+-]?\d{1,18}$"  # fits into 64 bits whatever its digits
LEADING_ZERO = r"^0\d+$"

TEXT, FLOAT, INT, BOOL, MOMENT = pa.string(), pa.float64(), pa.int64(), pa.bool_(), pa.timestamp("us")

# Arrow imports pandas for its first array: 0.2 s of every job, none of which needs it. Whoever converts to or from
# pandas gets it as always, as Arrow tries again then.
with without("pandas"):
    pa.array([])

_NEVER = pa.array(sorted(NEVER_A_VALUE))
_MAYBE = pa.array(sorted(MAYBE_MISSING))
_TRUE, _FALSE = pa.array(sorted(TRUE_WORDS)), pa.array(sorted(FALSE_WORDS))
_MIDNIGHT = r"[T ]00:00:00(?:\.0+)?$"

Mask = npt.NDArray[np.bool_]


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


# ---- raw columns ----------------------------------------------------------------------------------------------------


def clean(column: pa.Array) -> pa.Array:
    """Return a column as it came, in one of five types, null where a value is missing whatever the kind of the column.

    Text is trimmed and stays text; whole numbers become ``int64``, other numbers ``double`` (durations in seconds,
    times of day in seconds since midnight), dates and moments ``timestamp[us]`` in UTC.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return clean(column.dictionary_decode())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return clean(column.cast(TEXT))
    if pa.types.is_string(kind):
        return _clean_text(column)
    if pa.types.is_boolean(kind):
        return column
    if pa.types.is_uint64(kind):
        return clean(column.cast(TEXT)) if _exceeds(column, INT64_MAX) else column.cast(INT)
    if pa.types.is_integer(kind):
        return column.cast(INT)
    if pa.types.is_temporal(kind):
        return _clean_time(column)
    if pa.types.is_decimal(kind):
        return _clean_decimal(column)
    numbers = column.cast(FLOAT)
    return pc.if_else(pc.is_nan(numbers), None, numbers)


def _clean_decimal(column: pa.Array) -> pa.Array:
    """Return decimals as the numbers that their texts are; those without fraction, such as keys, keep every digit."""
    shown = column.cast(TEXT)
    if column.type.scale > 0:
        return shown.cast(FLOAT)
    try:
        return column.cast(INT)
    except pa.ArrowInvalid:
        return clean(shown)


def _exceeds(column: pa.Array, most: int) -> bool:
    largest = pc.max(column).as_py()
    return largest is not None and largest > most


def _clean_text(column: pa.StringArray) -> pa.StringArray:
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.is_in(trimmed, value_set=_NEVER), None, trimmed)


def _clean_time(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_duration(kind):
        return pc.divide(column.cast(pa.duration("ns"), safe=False).cast(INT).cast(FLOAT), 1e9)
    if pa.types.is_time(kind):
        return pc.divide(column.cast(pa.time64("ns")).cast(INT).cast(FLOAT), 1e9)
    if pa.types.is_timestamp(kind):
        # Arrow keeps a zoned moment in UTC; dropping the zone leaves that moment.
        return column.cast(pa.timestamp("us", tz=kind.tz), safe=False).cast(MOMENT)
    return column.cast(MOMENT)


def column_of(values: Sequence[Any]) -> pa.Array:
    """Return Python values, e.g. of JSON records, as a raw column (see `clean`); a mix of types becomes text.

    Raises:
        BadValueError: A value is a list or an object; it says where, without text.
    """
    try:
        made = pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        made = None
    if made is None or pa.types.is_nested(made.type) or pa.types.is_binary(made.type):
        for position, value in enumerate(values):
            if isinstance(value, (list, dict)):
                raise BadValueError(position, None)
        made = pa.array([text_of(value) for value in values], TEXT)
    return clean(made)


def texts(column: pa.Array) -> pa.StringArray:
    """Return the one text that stands for each value of a raw or converted column, null where it is missing.

    Equal values have equal texts wherever they come from: 1, 1.0 and True as a category are "1", "1" and "true".
    """
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_dictionary(kind):
        return column.dictionary_decode()
    if pa.types.is_floating(kind):
        return _number_texts(column)
    if pa.types.is_timestamp(kind):
        shown = pc.replace_substring_regex(column.cast(TEXT), pattern=_MIDNIGHT, replacement="")
        shown = pc.replace_substring_regex(shown, pattern=r"\.000000$", replacement="")
        return pc.replace_substring(shown, pattern=" ", replacement="T")
    return column.cast(TEXT)


def _number_texts(numbers: pa.DoubleArray) -> pa.StringArray:
    """Return the shortest exact text of each number, without ``.0`` where it is whole; null for NaN."""
    numbers = pc.if_else(pc.is_nan(numbers), None, numbers)
    whole = pc.and_(pc.equal(pc.floor(numbers), numbers), pc.less_equal(pc.abs(numbers), EXACT_IN_FLOAT))
    if pc.all(whole).as_py() is not False:
        return numbers.cast(INT).cast(TEXT)
    plain = pc.if_else(whole, pc.if_else(whole, numbers, 0.0).cast(INT).cast(TEXT), numbers.cast(TEXT))
    scientific = pc.match_substring(plain, "e").to_numpy(zero_copy_only=False) == True  # noqa: E712 (null is not a match)
    if not scientific.any():
        return plain
    # Arrow writes 1e-7 where Python writes 1e-07; the model may know the latter as a category.
    shown = [number_text(number) for number in numbers.filter(pa.array(scientific)).to_pylist()]
    return pc.replace_with_mask(plain, pa.array(scientific), pa.array(shown, TEXT))


# ---- conversion -----------------------------------------------------------------------------------------------------


def convert(
    column: pa.Array | Sequence[str | None], kind: str, *, whole: bool = False, formats: Sequence[str] = ()
) -> pa.Array:
    """Return a raw column as a column of a kind, null where a value is missing.

    Args:
        column: A raw column (`clean`), or its texts.
        kind: ``number``, ``boolean``, ``date`` or ``category``.
        whole: The numbers are whole and kept exactly (``int64``).
        formats: How the numbers or dates of the column are written, see `tabular.notations` and `tabular.dates`.

    Raises:
        BadValueError: A value does not fit; it says which one and where.
    """
    if not isinstance(column, pa.Array):
        column = pa.array(column, TEXT)
    converted = fitting(column, kind, whole=whole, formats=formats)
    if converted.null_count == column.null_count:
        return converted
    lost = pc.and_(pc.is_valid(column), pc.is_null(converted))
    shown = texts(column.filter(lost))
    bad = shown if kind == "category" else shown.filter(pc.invert(maybe_missing(shown)))
    if len(bad):
        text = bad[0].as_py()
        raise BadValueError(pc.index(pc.and_(lost, pc.equal(texts(column), text)), True).as_py(), text)
    return converted


def fitting(column: pa.Array, kind: str, *, whole: bool = False, formats: Sequence[str] = ()) -> pa.Array:
    """Return a raw column as a column of a kind, null where a value is missing or does not fit; see `convert`."""
    if kind == "category":
        return texts(column)
    if kind == "number" and formats and pa.types.is_string(column.type):
        # A number without point and comma, 1e5 or inf, is the same in every notation.
        same = pc.if_else(pc.match_substring_regex(column, "[.,]"), None, column)
        return pc.coalesce(notations.parse(column, formats[0]), numbers(same))
    if kind == "number":
        return integers(column) if whole else numbers(column)
    if kind == "boolean":
        return booleans(column)
    if pa.types.is_timestamp(column.type):
        return column
    return dates.parse(texts(column), formats)


def numbers(column: pa.Array) -> pa.DoubleArray:
    """Return the values that are numbers, booleans as 0 and 1."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.cast(FLOAT, safe=False)
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int8()).cast(FLOAT)
    if not pa.types.is_string(column.type):
        return pa.nulls(len(column), FLOAT)
    try:
        found = column.cast(FLOAT)
        if not pc.any(pc.is_nan(found)).as_py():  # a text is never NaN: nan is a word for nothing, or no number
            return found
    except pa.ArrowInvalid:
        pass  # some text is no number
    plain = pc.match_substring_regex(column, NUMBER)
    found = pc.if_else(plain, column, None).cast(FLOAT)
    lowered = pc.utf8_lower(column)
    word = pc.if_else(pc.equal(lowered, "true"), 1.0, pc.if_else(pc.equal(lowered, "false"), 0.0, None))
    return pc.coalesce(found, word.cast(FLOAT))


def integers(column: pa.Array) -> pa.Int64Array:
    """Return the values that are whole numbers of 64 bits, exactly, where `double` would round them."""
    if pa.types.is_integer(column.type):
        return column
    found = numbers(column)
    whole = pc.and_(pc.equal(pc.floor(found), found), pc.less_equal(pc.abs(found), EXACT_IN_FLOAT))
    plain = pc.if_else(whole, found, None).cast(INT)
    if not pa.types.is_string(column.type):
        return plain
    large = pc.and_kleene(pc.is_valid(found), pc.greater_equal(pc.abs(found), EXACT_IN_FLOAT))
    if pc.any(large).as_py() is not True:
        return plain
    digits = pc.and_kleene(large, pc.match_substring_regex(column, INTEGER))
    safe = pc.and_kleene(digits, pc.match_substring_regex(column, SAFE_INTEGER))
    exact = pc.if_else(safe, column, None).cast(INT)
    rest = pc.and_kleene(digits, pc.invert(safe)).to_numpy(zero_copy_only=False) == True  # noqa: E712
    if rest.any():
        mask = pa.array(rest)
        known = [int(text) for text in column.filter(mask).to_pylist()]
        known = [number if INT64_MIN <= number <= INT64_MAX else None for number in known]
        exact = pc.replace_with_mask(exact, mask, pa.array(known, INT))
    return pc.if_else(pc.fill_null(digits, False), exact, plain)


def booleans(column: pa.Array) -> pa.BooleanArray:
    """Return the values that are words for true or false."""
    if pa.types.is_boolean(column.type):
        return column
    lowered = pc.utf8_lower(texts(column))
    return pc.if_else(
        pc.is_in(lowered, value_set=_TRUE), True, pc.if_else(pc.is_in(lowered, value_set=_FALSE), False, None)
    )


def maybe_missing(column: pa.StringArray) -> pa.BooleanArray:
    """Return which texts are words for nothing; see `MAYBE_MISSING`."""
    return pc.is_in(pc.utf8_lower(column), value_set=_MAYBE)


def canonical(column: pa.Array) -> list[str | None]:
    """Return a converted column as texts that are equal exactly where the values are equal."""
    return list(texts(column).to_pylist())


# ---- single values --------------------------------------------------------------------------------------------------


def text_of(value: object) -> str | None:
    """Return the one text that stands for a raw value, or None when it is missing; see `texts`."""
    if isinstance(value, str):
        text = value.strip()
        return None if text in NEVER_A_VALUE else text
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        return number_text(float(value))
    if isinstance(value, (date, np.datetime64)):
        return _moment_text(value)
    text = str(value)
    return None if text in NEVER_A_VALUE else text


def number_text(number: float) -> str | None:
    """Return the shortest exact text of a number, without ``.0`` where it is whole; None for NaN."""
    if math.isnan(number):
        return None
    if number.is_integer() and abs(number) <= EXACT_IN_FLOAT:
        return str(int(number))
    return repr(number)


def is_missing(text: str | None, kind: str) -> bool:
    """Tell whether a text stands for a missing value in a column of a kind."""
    return text is None or (kind != "category" and text.lower() in MAYBE_MISSING)


def to_number(text: str, formats: Sequence[str] = ()) -> float:
    """Return the number that a text is.

    Args:
        text: A number.
        formats: How the numbers of the column are written, see `tabular.notations`.

    Raises:
        ValueError: The text is not a number.
    """
    return float(_single(text, "number", formats))


def to_boolean(text: str) -> bool:
    """Return the boolean that a text is.

    Raises:
        ValueError: The text is not a word for true or false.
    """
    return bool(_single(text, "boolean"))


def to_date(text: str, formats: Sequence[str] = ()) -> datetime:
    """Return the moment that a text is, in UTC and without zone.

    Args:
        text: A date, with or without time of day.
        formats: Formats besides ISO 8601, see `tabular.dates.FORMATS`.

    Raises:
        ValueError: The text is not a date in any of the formats.
    """
    moment: datetime = _single(text, "date", formats)
    return moment


def _single(text: str, kind: str, formats: Sequence[str] = ()) -> Any:
    value = fitting(pa.array([text], TEXT), kind, formats=formats)[0].as_py()
    if value is None:
        raise ValueError(text)
    return value


def _moment_text(moment: date | np.datetime64) -> str | None:
    """Return a date or a moment as ISO text in UTC, without the time of day at midnight."""
    plain: date | None = moment.astype("datetime64[us]").item() if isinstance(moment, np.datetime64) else moment
    if not isinstance(plain, datetime):
        return plain.isoformat() if plain else None
    if plain.tzinfo:
        plain = plain.astimezone(UTC).replace(tzinfo=None)
    midnight = (plain.hour, plain.minute, plain.second, plain.microsecond) == (0, 0, 0, 0)
    return plain.date().isoformat() if midnight else plain.isoformat()
