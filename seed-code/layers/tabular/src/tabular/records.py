"""Whether a record that is to be scored can be one: endpoint and batch jobs judge by the same rules."""

import difflib
import re
from collections.abc import Collection, Iterable

CLOSE = 0.85
SHORTEST_NAME = 4  # shorter names are close to too many others


def misfit(given: Iterable[str], wanted: Collection[str], known: Collection[str]) -> str:
    """Return why a record with these columns cannot be scored, empty if it can.

    Columns may be left out and added; but a record without any column that the model reads, or with one that seems to
    be misspelt, would get the score of something that was not asked.

    Args:
        given: Columns of the record.
        wanted: Columns that the model reads.
        known: Columns of the data set, which a record may have.
    """
    columns = set(given)
    absent = [name for name in wanted if name not in columns]
    for name in sorted(columns.difference(known)):
        for other in absent:
            if is_close(name, other):
                return f"unknown column {name!r}: is {other!r} meant?"
    return "" if columns.intersection(wanted) else "none of the columns that the model reads"


def is_close(name: str, other: str) -> bool:
    """Tell whether two names are so alike that one may be a misspelling of the other; other digits are another name."""
    plain, other_plain = _plain(name), _plain(other)
    if plain == other_plain:
        return True
    if re.sub(r"\D", "", plain) != re.sub(r"\D", "", other_plain):
        return False
    if sorted(plain) == sorted(other_plain) and sum(a != b for a, b in zip(plain, other_plain, strict=True)) == 2:
        return len(plain) > 2  # two letters in each other's place
    if min(len(plain), len(other_plain)) < SHORTEST_NAME:
        return False
    return difflib.SequenceMatcher(None, plain, other_plain).ratio() >= CLOSE


def is_header(cells: Collection[str], known: Collection[str]) -> bool:
    """Tell whether the first row of CSV names its columns: at least half of its cells are columns of the data set."""
    return 2 * sum(cell in known for cell in cells) >= len(cells)


def is_misspelt_header(cells: Collection[str], known: Collection[str]) -> bool:
    """Tell whether the first row of CSV seems to name columns in another spelling, e.g. in upper case."""
    plain = {_plain(name) for name in known}
    return 2 * sum(_plain(cell) in plain for cell in cells) >= len(cells)


def _plain(name: str) -> str:
    """Return a name without case, blanks and punctuation."""
    return re.sub(r"[\W_]+", "", name).casefold() or name
