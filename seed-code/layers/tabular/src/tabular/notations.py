"""Numbers as people and programs of several countries write them, e.g. ``1.234,56``, ``$1,200.50`` or ``(12.5)``.

A notation is named by its way of writing 1234.56 (1234567.8 where groups differ). In every one of them a number may
have a sign, also a Unicode minus or one behind the number, be in parentheses when it is negative (as in accounting),
and carry a currency or a percent sign, which is dropped: 45% is 45. Groups of digits may always be left out.
"""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tabular.config import NUMBER_NOTATIONS

INDIAN = "12,34,567.8"
# What stands between groups, as a pattern, and what comes before decimals.
NOTATIONS = {name: (r"\." if name[-7] == "." else name[-7], name[-3]) for name in NUMBER_NOTATIONS if name != INDIAN}
NOTATIONS[INDIAN] = (",", ".")

_CODES = "AED|AUD|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|ISK|JPY|KRW|MXN|MYR|NOK|NZD|PHP|PLN|RON"
_CODES += "|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR|Fr\\.|Kč|kr|zł|Rs\\.?|Rp\\.?|RM|Ft|[Ee]uros?|[A-Z]{1,2}\\$"
CURRENCY = rf"(?:\p{{Sc}}|{_CODES})"
_SIGN = r"[+-]"
_DIGITS = r"\d(?:[\d.,' ]*\d)?[.,]?|[.,]\d+"
_AROUND = rf"^({_SIGN}?) ?({CURRENCY}?) ?({_SIGN}?)({_DIGITS}) ?({CURRENCY}|[%‰]|)(-?)$"
_IN_PARENTHESES = r"^\((.*)\)$"


def tidy(column: pa.StringArray) -> pa.StringArray:
    """Return texts with one kind of blank, minus and apostrophe, and a minus instead of parentheses."""
    found = pc.replace_substring_regex(column, pattern="[\u00a0\u2007\u2009\u202f]", replacement=" ")
    found = pc.replace_substring_regex(found, pattern="[\u2212\u2013]", replacement="-")
    found = pc.replace_substring_regex(found, pattern="[\u2019\u02bc\u00b4]", replacement="'")
    return pc.replace_substring_regex(found, pattern=_IN_PARENTHESES, replacement=r"-\1")


def bare(column: pa.StringArray) -> tuple[pa.StringArray, pa.StringArray]:
    """Return the sign and digits of each number and its unit, null for what is not a number.

    Returns:
        ``-1.234,5``, and a currency, ``%``, ``‰`` or nothing.
    """
    tidied = tidy(column)
    fits = pc.match_substring_regex(tidied, _AROUND)
    kept = pc.if_else(fits, tidied, None)
    digits = pc.replace_substring_regex(kept, pattern=_AROUND, replacement=r"\1\3\6\4")
    once = pc.match_substring_regex(digits, r"^[+-]?[^+-]*$")  # two signs are not a number
    unit = pc.replace_substring_regex(kept, pattern=_AROUND, replacement=r"\2\5")
    return pc.if_else(once, digits, None), pc.if_else(once, unit, None)


def parse(column: pa.StringArray, notation: str) -> pa.DoubleArray:
    """Return the numbers that texts are in a notation, null where a text is not one."""
    return parse_bare(bare(column)[0], notation)


def parse_bare(digits: pa.StringArray, notation: str) -> pa.DoubleArray:
    """Return the numbers that signs and digits from `bare` are in a notation, null where they are not one."""
    fits = pc.match_substring_regex(digits, _pattern(notation))
    kept = pc.if_else(fits, digits, None)
    group, decimal = NOTATIONS[notation]
    plain = pc.replace_substring_regex(kept, pattern=group, replacement="")
    if decimal == ",":
        plain = pc.replace_substring(plain, pattern=",", replacement=".")
    return plain.cast(pa.float64())


def written(number: str, notation: str) -> str:
    """Return a plain number, e.g. ``-0.5`` or ``1.5e-07``, as a notation writes it, without groups."""
    if "." not in number:
        return number  # the same in every notation
    return format(Decimal(number), "f").replace(".", NOTATIONS[notation][1])


def is_grouped(column: pa.StringArray) -> np.ndarray:
    """Tell which texts are plain numbers with three digits behind a point or comma, as a group of thousands has."""
    found = pc.match_substring_regex(column, r"^[+-]?[1-9]\d{0,2}(?:[.,]\d{3})+$")
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)


def _pattern(notation: str) -> str:
    group, decimal = NOTATIONS[notation]
    middle = rf"(?:{group}\d{{2}})*{group}\d{{3}}" if notation == INDIAN else rf"(?:{group}\d{{3}})+"
    first = r"\d{1,2}" if notation == INDIAN else r"\d{1,3}"
    point = decimal if decimal == "," else r"\."
    return rf"^[+-]?(?:(?:{first}{middle}|\d+)(?:{point}\d*)?|{point}\d+)$"
