"""Looking at the data once, file by file, to find its schema and everything that is wrong with it.

Memory is bounded: of every column, only counts and at most `MOST_DISTINCT` different values are kept.
"""

import difflib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tabular import dates, notations
from tabular.config import COMPACT, Config
from tabular.errors import DataError
from tabular.files import Chunk, data_files, read_chunks, read_header, untabular_columns
from tabular.jobs import CORES
from tabular.schema import Column, DataFile
from tabular.values import (
    EXACT_IN_FLOAT,
    INT64_MAX,
    INT64_MIN,
    LEADING_ZERO,
    Mask,
    booleans,
    integers,
    is_missing,
    maybe_missing,
    numbers,
    texts,
)

FINITE = "finite number"
MOST_DISTINCT = 10_000

# So many values that look like dates tell which formats a column may have.
FEWEST_DATES_TO_JUDGE = 10_000

DATE_LIKE = r"^(?:\d{1,4}[-/. ](?:\d{1,2}|[A-Za-z]+)[-/. ]\d{1,4}.*|[A-Za-z]+ \d{1,2}, \d{4}.*|\d{8}[Tt ]\d{2}.*)$"

_BITS = pa.array(["0", "1"])


@dataclass
class ColumnProfile:
    """What has been seen of one column so far.

    Attributes:
        name: Name of the column.
        values: Values that are certainly there.
        empty: Rows without value.
        maybe_missing: Values that are words for nothing unless the column is a category.
        fits: How many values fit each kind, and each notation of `tabular.notations`, with finer distinctions:
            `FINITE` numbers are those that are not infinite, ``bit`` is 0 or 1, ``whole`` a whole number, ``huge`` one
            beyond 64 bits, ``code`` has a leading zero; a date is ``date`` when it is ISO 8601, else every one of
            `tabular.dates.FORMATS` that it fits; ``dotted`` numbers have a point, and ``grouped`` ones three digits
            behind it, like a thousand in half of the world.
        misfit: Place and text of the first value that does not fit a kind or notation.
        counts: How often each value occurs, for the first `MOST_DISTINCT` values.
        overflowed: There were more different values than that.
        units: Currencies and percent signs beside numbers, with how often.
        samples: A value of each sort that messages show: ``grouped``, ``unit <unit>``, ``pointed`` (a number of another
            notation that has a point or comma).
        separators: Separators of the files.
        dates_seen: Values that looked like dates.
    """

    name: str
    values: int = 0
    empty: int = 0
    maybe_missing: int = 0
    first_empty: str = ""
    first_maybe_missing: str = ""
    fits: Counter[str] = field(default_factory=Counter)
    misfit: dict[str, tuple[str, str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    overflowed: bool = False
    units: Counter[str] = field(default_factory=Counter)
    samples: dict[str, str] = field(default_factory=dict)
    separators: set[str] = field(default_factory=set)
    dates_seen: int = 0

    def add(self, chunk: Chunk) -> None:
        """Take the values of some more rows into account."""
        column = chunk.arrays[self.name]
        if column.null_count:
            self.empty += column.null_count
            self.first_empty = self.first_empty or chunk.place(pc.index(pc.is_null(column), True).as_py(), self.name)
        if column.null_count == len(column):
            return
        self.separators.add(chunk.separator)
        weights = None
        if self.overflowed:
            values = column.drop_null()
        else:
            values, weights = self._count(column)
        missing = np.zeros(len(values), dtype=bool)
        number = numbers(values)
        if number.null_count:
            shown = texts(values)
            missing = _mask(maybe_missing(shown))
            if missing.any():
                self.maybe_missing += _sum(missing, weights)
                text = shown.filter(pa.array(missing))[0].as_py()
                self.first_maybe_missing = self.first_maybe_missing or self._place(chunk, text)
        there = ~missing
        self.values += _sum(there, weights)
        for kind, fitting in self._kinds(values, number).items():
            self.fits[kind] += _sum(fitting & there, weights)
            if kind in ("number", FINITE, "boolean", "any date") and kind.removeprefix("any ") not in self.misfit:
                misfits = np.flatnonzero(~fitting & there)
                if len(misfits):
                    text = texts(values.slice(misfits[0], 1))[0].as_py()
                    self.misfit[kind.removeprefix("any ")] = (self._place(chunk, text), text)
        if pa.types.is_string(values.type):
            self._note_notations(chunk, values, number, there, weights)
        else:
            for name in notations.NOTATIONS:  # a number that is not text is the same in every notation
                self.fits[name] += _sum(_mask(pc.is_valid(number)), weights)

    def _note_notations(
        self, chunk: Chunk, values: pa.StringArray, number: pa.DoubleArray, there: Mask, weights: np.ndarray | None
    ) -> None:
        """Count how many values are numbers in which notation; a whole number of digits alone is one in each."""
        is_number = _mask(pc.is_valid(number))
        dotted = is_number & _mask(pc.match_substring(values, "."))
        is_grouped = dotted & notations.is_grouped(values)
        for name, mask in (("dotted", dotted), ("grouped", is_grouped)):
            self.fits[name] += _sum(mask & there, weights)
        if is_grouped.any():
            self.samples.setdefault("grouped", values[int(np.flatnonzero(is_grouped)[0])].as_py())
        every = _sum(is_number & ~dotted & there, weights)
        for name in notations.NOTATIONS:
            self.fits[name] += every
        # A point is a decimal point unless some value or the separator of the file gives reason to doubt it.
        if self.has_decimal_points and not (there & ~is_number).any():
            for name, (_, decimal) in notations.NOTATIONS.items():
                self.fits[name] += _sum(dotted & there, weights) if decimal == "." else 0
            return
        doubtful = there & (~is_number | dotted)
        if not doubtful.any():
            return
        rest = values.filter(pa.array(doubtful))
        some = None if weights is None else weights[doubtful]
        digits, units = notations.bare(rest)
        if digits.null_count and not self.misfit.keys() >= notations.NOTATIONS.keys():
            text = rest.filter(pc.is_null(digits))[0].as_py()  # not a number in any notation
            place = (self._place(chunk, text), text)
            self.misfit = dict.fromkeys(notations.NOTATIONS, place) | self.misfit
        if digits.null_count == len(digits):
            return
        for name in notations.NOTATIONS:
            fits = _mask(pc.is_valid(notations.parse_bare(digits, name)))
            self.fits[name] += _sum(fits, some)
            if name not in self.misfit and not fits.all():
                text = rest[int(np.argmin(fits))].as_py()
                self.misfit[name] = (self._place(chunk, text), text)
        pointed = _mask(pc.match_substring_regex(digits, "[.,]"))
        if pointed.any():
            self.samples.setdefault("pointed", rest.filter(pa.array(pointed))[0].as_py())
        for unit in pc.unique(units.drop_null()).to_pylist():
            mask = _mask(pc.equal(units, unit))
            self.units[unit] += _sum(mask, some)
            self.samples.setdefault(f"unit {unit}", rest.filter(pa.array(mask))[0].as_py())

    @property
    def has_decimal_points(self) -> bool:
        """Whether the files leave no doubt: where fields are separated by commas, numbers have decimal points.

        Numbers that Parquet holds as text may come from anywhere.
        """
        return self.separators <= {","}

    def _count(self, column: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """Count the different values of some rows; return them in the order in which they occur, and how often."""
        counted = pc.value_counts(column.drop_null())
        values, weights = counted.field("values"), counted.field("counts").to_numpy()
        for text, count in zip(texts(values.slice(0, MOST_DISTINCT + 1)).to_pylist(), weights.tolist(), strict=False):
            if text in self.counts or len(self.counts) < MOST_DISTINCT:
                self.counts[text] += count
            else:
                self.overflowed = True
        self.overflowed = self.overflowed or len(values) > MOST_DISTINCT
        return values, weights

    def _place(self, chunk: Chunk, text: str) -> str:
        """Name the place where a text occurs first."""
        position = pc.index(pc.equal(texts(chunk.arrays[self.name]), text), True).as_py()
        return chunk.place(position, self.name)

    def _kinds(self, values: pa.Array, number: pa.DoubleArray) -> dict[str, Mask]:
        """Return which values fit which kinds; ``any date`` is a date of any format."""
        none = np.zeros(len(values), dtype=bool)
        is_number = _mask(pc.is_valid(number))
        found: dict[str, Mask] = {"number": is_number, "boolean": none, "any date": none}
        numeric = number.to_numpy(zero_copy_only=False)
        whole = is_number & (np.floor(numeric) == numeric)
        found |= {FINITE: is_number & np.isfinite(numeric), "whole": whole & np.isfinite(numeric)}
        huge = whole & (np.abs(numeric) > EXACT_IN_FLOAT)
        if huge.any():
            inexact = pc.is_null(integers(values.filter(pa.array(huge))))
            outside = (numeric[huge] < INT64_MIN) | (numeric[huge] >= INT64_MAX)
            huge[huge] = _mask(inexact) | outside
            found["huge"] = huge & np.isfinite(numeric)
        # Words and dates are few or none in a column of numbers, and 0 and 1 are booleans, too.
        few = ~is_number | (numeric == 0) | (numeric == 1)
        if few.any():
            rest = values if few.all() else values.filter(pa.array(few))
            found["boolean"] = _spread(_mask(pc.is_valid(booleans(rest))), few)
            found["bit"] = _spread(_mask(pc.is_in(texts(rest), value_set=_BITS)), few)
        if is_number.any() and (self.values < FEWEST_DATES_TO_JUDGE or 2 * self.fits[COMPACT] > self.values):
            found[COMPACT] = is_number & dates.are_compact(np.where(is_number, numeric, 0))
            found["any date"] = found[COMPACT]
        if pa.types.is_string(values.type):
            if is_number.any():
                found["code"] = _mask(pc.match_substring_regex(values, LEADING_ZERO))
            if not is_number.all():
                for name, fitting in self._dates(values, ~is_number).items():
                    found[name] = found.get(name, none) | fitting
        elif pa.types.is_timestamp(values.type):
            found |= {"date": ~none, "any date": ~none}
        return found

    def _dates(self, values: pa.StringArray, candidates: Mask) -> dict[str, Mask]:
        """Return which texts are dates in which formats."""
        rest = values if candidates.all() else values.filter(pa.array(candidates))
        like = _mask(pc.match_substring_regex(rest, DATE_LIKE))
        if not like.any():
            return {}
        at = candidates.copy()
        at[candidates] = like
        shown = rest if like.all() else rest.filter(pa.array(like))
        iso = _mask(pc.is_valid(dates.parse(shown)))
        found = {"date": _spread(iso, at), "any date": _spread(iso, at)}
        if not iso.all():
            others = shown.filter(pa.array(~iso))
            at[at] = ~iso
            for name in dates.FORMATS:
                if self.dates_seen < FEWEST_DATES_TO_JUDGE or self.fits[name]:
                    found[name] = _spread(_mask(pc.is_valid(dates.parse_only(others, name))), at)
                    found["any date"] = found["any date"] | found[name]
        self.dates_seen += int(like.sum())
        return found

    def missing(self, kind: str) -> int:
        """Return the rows without value, given the kind of the column."""
        return self.empty if kind == "category" else self.empty + self.maybe_missing

    def first_missing(self, kind: str) -> str:
        """Return the place of a row without value, given the kind of the column."""
        return self.first_empty or ("" if kind == "category" else self.first_maybe_missing)

    def column(self, kind: str, role: str, formats: tuple[str, ...] = ()) -> Column:
        """Describe the column, given its kind and how its numbers or dates are written."""
        whole = kind == "number" and not formats and self.fits["whole"] == self.values and not self.fits["huge"]
        return Column(
            name=self.name,
            kind=kind,
            role=role,
            whole=whole,
            formats=formats,
            missing=self.missing(kind),
            distinct=sum(not is_missing(text, kind) for text in self.counts),
            distinct_is_exact=not self.overflowed,
        )


def kinds_of(text: str) -> list[str]:
    """Return the kinds that one text fits; see `ColumnProfile.fits`."""
    values = pa.array([text])
    found = ColumnProfile("")._kinds(values, numbers(values))
    return [kind for kind, fitting in found.items() if fitting[0] and kind != "any date"]


def _mask(column: pa.BooleanArray) -> Mask:
    """Return a column of booleans as an array; null counts as false."""
    filled = pc.fill_null(column, False) if column.null_count else column
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def _sum(mask: Mask, weights: np.ndarray | None) -> int:
    """Return how many rows the values of a mask stand for."""
    return int(np.count_nonzero(mask) if weights is None else weights[mask].sum())


def _spread(part: Mask, at: Mask) -> Mask:
    """Return a mask that says of the places `at` what `part` says, and no of all others."""
    whole = np.zeros(len(at), dtype=bool)
    whole[at] = part
    return whole


def profile_folder(folder: Path, config: Config) -> tuple[dict[str, ColumnProfile], list[DataFile]]:
    """Read all data files below a folder and return what was seen of every column, and the files.

    Raises:
        DataError: The data cannot be used; the message names file, column and row where that is known.
    """
    paths = data_files(folder)
    if not paths:
        raise DataError("There is no data file: the data location holds no CSV or Parquet file with any content.")
    names = [path.relative_to(folder).as_posix() for path in paths]
    known = (config.label, *config.record_key, *config.drop)
    header = read_header(paths[0], names[0], known=known)
    _check_configured_columns(header, names[0], config)
    untabular = _untabular_columns(paths, names, config)
    profiles = {column: ColumnProfile(column) for column in header if column not in untabular}
    files = []
    with ThreadPoolExecutor(CORES) as pool:
        for path, name in zip(paths, names, strict=True):
            _check_same_columns(read_header(path, name, known=known), name, header, names[0])
            rows = 0
            for chunk in read_chunks(path, name):
                for _ in pool.map(lambda profile, chunk=chunk: profile.add(chunk), profiles.values()):
                    pass
                rows += len(chunk)
            files.append(DataFile(name, rows))
    return profiles, files


def _untabular_columns(paths: list[Path], names: list[str], config: Config) -> set[str]:
    """Return columns of lists, objects or bytes that nobody wants.

    Raises:
        DataError: The configuration does not drop such a column.
    """
    found = set()
    for path, name in zip(paths, names, strict=True):
        for column, kind in untabular_columns(path, name).items():
            if column not in config.drop:
                raise DataError(
                    f"{name}, column {column!r}: values of type {kind} are not tabular. "
                    f"Spread them over plain columns, or list the column under drop in config.yaml."
                )
            found.add(column)
    return found


def _check_configured_columns(header: list[str], name: str, config: Config) -> None:
    """Refuse columns in the configuration that the data does not have."""
    keys = {"label": [config.label], "record_key": config.record_key, "drop": config.drop, "types": config.types}
    for key, columns in keys.items():
        for column in columns:
            if column not in header:
                near = difflib.get_close_matches(column, header, n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Its columns are: {', '.join(header)}."
                raise DataError(f"{name} has no column {column!r}, which the configuration names as {key}. {hint}")


def _check_same_columns(header: list[str], name: str, expected: list[str], first: str) -> None:
    """Refuse a file whose columns differ from those of the first file; their order does not matter."""
    missing, extra = sorted(set(expected) - set(header)), sorted(set(header) - set(expected))
    if missing or extra:
        differences = [f"column {column!r} is missing" for column in missing]
        differences += [f"column {column!r} is new" for column in extra]
        raise DataError(f"{name} differs from {first}: {', '.join(differences)}. All files need the same columns.")
