"""Dates as text: which formats are known, and reading them by columns.

A format is named by its pattern for `datetime.strptime`, as far as that says it; each may be followed by a time of day.
Every column may hold ISO 8601 besides its own format.
"""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tabular.config import COMPACT, DATE_FORMATS

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("jan", "january"),
            ("feb", "february"),
            ("mar", "march"),
            ("apr", "april"),
            ("may",),
            ("jun", "june"),
            ("jul", "july"),
            ("aug", "august"),
            ("sep", "sept", "september"),
            ("oct", "october"),
            ("nov", "november"),
            ("dec", "december"),
        ),
        start=1,
    )
    for name in names
}
_YEAR, _MONTH, _DAY = r"(?P<year>\d{4})", r"(?P<month>\d{1,2})", r"(?P<day>\d{1,2})"
_NAME = f"(?P<month>{'|'.join(sorted(_MONTHS, key=lambda name: (-len(name), name)))})"
_ZONE = r"(?: ?(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?"
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?(?: ?(?P<half>AM|PM))?"
_TIME = rf"(?:[T ] ?{_CLOCK}{_ZONE})?"

ISO = rf"^(?P<year>\d{{4}})-(?P<month>\d{{2}})-(?P<day>\d{{2}}){_TIME}$"

_FIELDS = {"%Y": _YEAR, "%y": r"(?P<short>\d{2})", "%m": _MONTH, "%d": _DAY, "%b": _NAME, "%B": _NAME, ".": r"\."}
FORMATS = {name: re.sub("%[YymdbB]|[.]", lambda found: _FIELDS[found.group()], name) + _TIME for name in DATE_FORMATS}
# The basic form of ISO 8601, with or without time: 20240805, 20240805T200606Z, 20240805200606. In years of our time, or
# at the end of all times: other numbers are numbers.
FORMATS[COMPACT] = (
    r"(?P<year>(?:19|20|21)\d{2}|9999)(?P<month>\d{2})(?P<day>\d{2})"
    r"(?:[T ]?(?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
    rf"{_ZONE})?(?:\.0*)?"
)
TWINS = {"%m/%d/%Y": "%d/%m/%Y", "%m-%d-%Y": "%d-%m-%Y", "%m/%d/%y": "%d/%m/%y"}
"""Formats that differ in the order of day and month."""
_FIRST_SHORT_YEAR = 69  # years of two digits from here on are of the last century, as for `datetime.strptime`
_PARTS = ("year", "short", "month", "day", "hour", "minute", "second", "fraction", "half", "zone")
_FIRST, _LAST = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59.999999", "us")


def pattern(name: str) -> str:
    """Return the regular expression of a format; ``date`` is ISO 8601."""
    return f"(?i){ISO if name == 'date' else f'^{FORMATS[name]}$'}"


def parse(column: pa.StringArray, formats: Sequence[str] = ()) -> pa.TimestampArray:
    """Return the moments that texts are, in UTC and without zone; null where a text is not one.

    Args:
        column: Texts; few of them are repeated for nothing, see `tabular.values`.
        formats: Formats besides ISO 8601, see `FORMATS`.
    """
    found = parse_only(column, "date")
    for name in formats:
        if found.null_count == column.null_count:
            break
        found = pc.coalesce(found, parse_only(column, name))
    return found


def parse_only(column: pa.StringArray, name: str) -> pa.TimestampArray:
    """Return the moments that are written in one format, null elsewhere; ``date`` is ISO 8601."""
    struct = pc.extract_regex(column, pattern(name))
    if struct.null_count == len(column):
        return pa.nulls(len(column), pa.timestamp("us"))
    fits = pc.is_valid(struct).to_numpy(zero_copy_only=False)
    names = {field.name for field in struct.type}
    absent = pa.nulls(len(column), pa.string())
    part = {key: struct.field(key) if key in names else absent for key in _PARTS}
    year, day, short = (_number(part[key]) for key in ("year", "day", "short"))
    if "short" in names:
        year = short + np.where(short < _FIRST_SHORT_YEAR, 2000, 1900)
    month = _month(part["month"])
    hour, minute, second = (_number(part[key]) for key in ("hour", "minute", "second"))
    half = pc.utf8_lower(part["half"])
    afternoon, morning = _equals(half, "pm"), _equals(half, "am")
    fits &= (year >= 1) & (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60)
    fits &= ~(afternoon | morning) | ((hour >= 1) & (hour <= 12))
    hour = np.where(afternoon & (hour < 12), hour + 12, np.where(morning & (hour == 12), 0, hour))
    first = (np.where(fits, (year - 1970) * 12 + month - 1, 0)).astype("datetime64[M]")
    days = first.astype("datetime64[D]") + (np.where(fits, day, 1) - 1)
    fits &= (day >= 1) & (days.astype("datetime64[M]") == first)
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(part["fraction"], 6, "0"), 0, 6)
    micros = ((hour * 60 + minute) * 60 + second) * 1_000_000 + _number(fraction)
    moments = days.astype("datetime64[us]") + micros.astype("timedelta64[us]")
    moments = moments - _offset(part["zone"]).astype("timedelta64[us]")
    fits &= (moments >= _FIRST) & (moments <= _LAST)
    return pa.array(moments, pa.timestamp("us"), mask=~fits)


def are_compact(numbers: np.ndarray) -> np.ndarray:
    """Tell which whole numbers are dates of the format `COMPACT`, with or without time."""
    found = np.zeros(len(numbers), dtype=bool)
    numbers = np.where(np.isfinite(numbers), numbers, 0)
    days = numbers
    for digits in (12, 14):  # with hours and minutes, and with seconds
        days = np.where((numbers >= 10 ** (digits - 1)) & (numbers < 10**digits), numbers // 10 ** (digits - 8), days)
    between = (days >= 19_000_101) & (days <= 99_991_231) & (np.floor(numbers) == numbers)
    if between.any():
        shown = pa.array(numbers[between].astype(np.int64)).cast(pa.string())
        found[between] = pc.is_valid(parse_only(shown, COMPACT)).to_numpy(zero_copy_only=False)
    return found


def _number(part: pa.StringArray) -> np.ndarray:
    """Return a part as whole numbers, 0 where it is absent."""
    return pc.fill_null(pc.if_else(pc.equal(part, ""), "0", part), "0").cast(pa.int64()).to_numpy()


def _month(part: pa.StringArray) -> np.ndarray:
    """Return months as numbers, whether they are written as numbers or names; 0 where there is none."""
    named = pc.index_in(pc.utf8_lower(part), value_set=pa.array(list(_MONTHS)))
    if named.null_count == len(named):
        return _number(part)
    return np.array([0, *_MONTHS.values()])[pc.add(pc.fill_null(named, -1), 1).to_numpy()]


def _equals(part: pa.StringArray, word: str) -> np.ndarray:
    return pc.fill_null(pc.equal(part, word), False).to_numpy(zero_copy_only=False)


def _offset(zone: pa.StringArray) -> np.ndarray:
    """Return how far a zone is ahead of UTC, in microseconds."""
    digits = pc.replace_substring(pc.fill_null(zone, ""), pattern=":", replacement="")
    given = pc.if_else(pc.match_substring_regex(digits, r"^[+-]\d{2}"), digits, "+0000")
    hours, minutes = _number(pc.utf8_slice_codeunits(given, 1, 3)), _number(pc.utf8_slice_codeunits(given, 3, 5))
    behind = _equals(pc.utf8_slice_codeunits(given, 0, 1), "-")
    return np.where(behind, -1, 1) * (hours * 60 + minutes) * 60_000_000
