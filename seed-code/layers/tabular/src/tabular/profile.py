"""Looking at the data once, file by file, to find its schema and everything that is wrong with it.

Memory is bounded: of every column, only counts and at most `MOST_DISTINCT` different values are kept.
"""

import difflib
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tabular.config import Config
from tabular.errors import DataError
from tabular.files import Chunk, data_files, read_chunks, read_header
from tabular.schema import DROPPED, FEATURE, KEY, LABEL, Column, DataFile, Schema
from tabular.values import (
    DATE_FORMATS,
    FALSE_WORDS,
    INT64_MAX,
    INT64_MIN,
    LEADING_ZERO,
    TRUE_WORDS,
    is_missing,
    number_text,
    text_of,
    to_boolean,
    to_date,
    to_integer,
    to_number,
)

FINITE = "finite number"
MOST_DISTINCT = 10_000
MOST_CLASSES = 100
MOST_NUMERIC_CLASSES = 20
FEWEST_ROWS_PER_CLASS = 10

# A column is "nearly" of a kind when so many of its values are; the others are then errors rather than categories.
NEARLY = 0.95
FEWEST_VALUES_TO_JUDGE = 50

DATE_LIKE = re.compile(r"\d{1,4}[-/. ](\d{1,2}|[A-Za-z]+)[-/. ]\d{1,4}.*|[A-Z][a-z]+ \d{1,2}, \d{4}.*")


@dataclass
class ColumnProfile:
    """What has been seen of one column so far.

    Attributes:
        name: Name of the column.
        values: Values that are certainly there.
        fits: How many of them fit each kind; dates by format, with ``date`` for ISO 8601.
        misfit: Place and text of the first value that does not fit a kind.
        counts: How often each value occurs, for the first `MOST_DISTINCT` values.
        overflowed: There were more different values than that.
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

    def add(self, chunk: Chunk) -> None:
        """Take the values of some more rows into account."""
        texts = chunk.columns[self.name]
        for text, count in Counter(texts).items():
            if text is None:
                self.empty += count
                self.first_empty = self.first_empty or chunk.place(texts.index(None), self.name)
                continue
            if text in self.counts or len(self.counts) < MOST_DISTINCT:
                self.counts[text] += count
            else:
                self.overflowed = True
            if is_missing(text, "number"):
                self.maybe_missing += count
                self.first_maybe_missing = self.first_maybe_missing or chunk.place(texts.index(text), self.name)
                continue
            self.values += count
            fitting = kinds_of(text)
            self.fits.update(dict.fromkeys(fitting, count))
            kinds = {"date" if fit in DATE_FORMATS else fit for fit in fitting}
            for kind in {"number", FINITE, "boolean", "date"} - kinds - self.misfit.keys():
                self.misfit[kind] = (chunk.place(texts.index(text), self.name), text)

    def missing(self, kind: str) -> int:
        """Return the rows without value, given the kind of the column."""
        return self.empty if kind == "category" else self.empty + self.maybe_missing

    def first_missing(self, kind: str) -> str:
        """Return the place of a row without value, given the kind of the column."""
        return self.first_empty or ("" if kind == "category" else self.first_maybe_missing)

    @property
    def date_format(self) -> str:
        """The format that fits most values; ``date`` for ISO 8601, which every format includes."""
        return max(("date", *DATE_FORMATS), key=lambda name: self.fits[name] + (self.fits["date"] * (name != "date")))

    def dates(self) -> int:
        """Return how many values are dates in the format of the column."""
        name = self.date_format
        return self.fits[name] + (self.fits["date"] if name != "date" else 0)

    def guess(self) -> str:
        """Return the kind of the column.

        Raises:
            DataError: The column has no values, or nearly all are of a kind and some are not.
        """
        if not self.values:
            raise DataError(
                f"Column {self.name!r} has no value in any row. "
                f"Remove it from the data, or list it under drop in config.yaml."
            )
        fits = {"boolean": self.fits["boolean"], "number": self.fits["number"], "date": self.dates()}
        if fits["boolean"] == self.values and self.fits["bit"] < self.values:
            return "boolean"
        if self.fits["code"] or (self.fits["huge"] and self.fits["whole"] == self.values):
            return "category"  # 00123 and numbers beyond 64 bits are identifiers: as numbers they would be cut
        for kind in ("number", "date"):
            if fits[kind] == self.values:
                return kind
            if fits[kind] >= NEARLY * self.values and len(self.counts) >= FEWEST_VALUES_TO_JUDGE:
                place, text = self.misfit.get(kind, ("", ""))
                raise DataError(
                    f"{place}: {text!r} is no {kind}, while nearly all other values of the column are. "
                    f"Correct it, or write under types in config.yaml that {self.name} is a category."
                )
        return "category"

    def check(self, kind: str) -> None:
        """Refuse values that do not fit the kind a person has named for this column.

        Raises:
            DataError: Names the first such value.
        """
        fitting = self.dates() if kind == "date" else self.fits[kind]
        if kind != "category" and fitting < self.values:
            place, text = self.misfit.get(kind, (f"column {self.name!r}", "a value in another format"))
            raise DataError(f"{place}: {text!r} is no {kind}, but the column should be. Correct it or the type.")

    def column(self, kind: str, role: str) -> Column:
        """Describe the column, given its kind."""
        whole = kind == "number" and self.fits["whole"] == self.values and not self.fits["huge"]
        formats = (self.date_format,) if kind == "date" and self.date_format != "date" else ()
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
    """Return the kinds that one text fits, with finer distinctions.

    `FINITE` numbers are those that are not infinite, ``bit`` is 0 or 1, ``whole`` a whole number, ``huge`` one beyond
    64 bits, ``code`` has a leading zero; a date is ``date`` when it is ISO 8601, else every one of `DATE_FORMATS` that
    it fits.
    """
    kinds = []
    lowered = text.lower()
    if lowered in TRUE_WORDS or lowered in FALSE_WORDS:
        kinds += ["boolean", "bit"] if lowered in "01" else ["boolean"]
    try:
        number = to_number(text)
    except ValueError:
        pass
    else:
        kinds += ["number", FINITE] if math.isfinite(number) else ["number"]
        if LEADING_ZERO.fullmatch(text):
            kinds.append("code")
        if number.is_integer():
            kinds.append("whole")
            if not INT64_MIN <= number < INT64_MAX or not _is_exact(text):
                kinds.append("huge")
        return kinds
    if DATE_LIKE.fullmatch(text):
        kinds += _date_kinds(text)
    return kinds


def _is_exact(text: str) -> bool:
    """Tell whether a whole number survives 64 bits without loss."""
    try:
        to_integer(text)
    except ValueError:
        return False
    return True


def _date_kinds(text: str) -> list[str]:
    """Return the date formats that a text fits."""
    found = []
    for name in ("date", *DATE_FORMATS):
        try:
            to_date(text, () if name == "date" else (name,))
        except ValueError:
            continue
        found.append(name)
        if name == "date":
            break
    return found


def profile_folder(folder: Path, config: Config) -> Schema:
    """Read all data files below a folder and return their schema.

    Raises:
        DataError: The data cannot be used; the message names file, column and row where that is known.
    """
    paths = data_files(folder)
    if not paths:
        raise DataError("There is no data file: the data location holds no CSV or Parquet file with any content.")
    names = [path.relative_to(folder).as_posix() for path in paths]
    header = read_header(paths[0], names[0])
    _check_configured_columns(header, names[0], config)
    profiles = {column: ColumnProfile(column) for column in header}
    files = []
    for path, name in zip(paths, names, strict=True):
        _check_same_columns(read_header(path, name), name, header, names[0])
        rows = 0
        for chunk in read_chunks(path, name):
            for profile in profiles.values():
                profile.add(chunk)
            rows += len(chunk)
        files.append(DataFile(name, rows))
    return _resolve(profiles, files, config)


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


def _resolve(profiles: dict[str, ColumnProfile], files: list[DataFile], config: Config) -> Schema:
    """Decide kinds, problem type and classes from what was seen."""
    rows = sum(file.rows for file in files)
    if not rows:
        raise DataError(f"{files[0].name} has a header but no rows, and so has every other file.")
    label = profiles[config.label]
    if not label.values and not label.counts:
        raise DataError(
            f"The label column {config.label!r} is empty in all {rows} rows: there is nothing to learn from."
        )
    label_kind = _label_kind(label, config)
    problem_type = _problem_type(label, label_kind, config)
    unlabelled = _check_labelled_rows(label, label_kind, rows, config)
    counts = _class_rows(label, label_kind, problem_type) if problem_type != "regression" else Counter[str]()
    columns = [_describe(profile, label_kind, config) for profile in profiles.values()]
    if not any(column.role == FEATURE for column in columns):
        raise DataError("No column is left to learn from besides label, record_key and drop.")
    classes = _order(counts, problem_type, label_kind, config)
    return Schema(
        label=config.label,
        problem_type=problem_type,
        classes=classes,
        class_rows=tuple(counts[name] for name in classes),
        columns=tuple(columns),
        rows=rows,
        unlabelled_rows=unlabelled,
        files=tuple(files),
    )


def _describe(profile: ColumnProfile, label_kind: str, config: Config) -> Column:
    """Decide kind and role of one column."""
    name = profile.name
    if name == config.label:
        return profile.column(label_kind, LABEL)
    if name in config.drop:
        return profile.column("category", DROPPED)
    if name in config.types:
        profile.check(config.types[name])
        return profile.column(config.types[name], KEY if name in config.record_key else FEATURE)
    if name in config.record_key:
        exact = profile.fits["whole"] == profile.values and not profile.fits["code"] and not profile.fits["huge"]
        return profile.column("number" if exact and profile.values else "category", KEY)
    return profile.column(profile.guess(), FEATURE)


def _label_kind(label: ColumnProfile, config: Config) -> str:
    """Return ``number`` or ``category``; a label is never a date, and Yes and No stay the classes they are."""
    if config.problem_type == "regression":
        label.check(FINITE)
        return "number"
    guess = config.types.get(label.name)
    if guess is None:
        numeric = label.values > 0 and label.fits["number"] == label.values and not label.fits["code"]
        guess = "number" if numeric and label.fits["boolean"] in (0, label.fits["bit"]) else "category"
        if guess == "category" and config.problem_type == "auto" and len(label.counts) > MOST_CLASSES:
            label.guess()  # names the value that keeps a column of numbers from being one
    label.check(FINITE if guess == "number" else guess)
    return "number" if guess == "number" else "category"


def _problem_type(label: ColumnProfile, kind: str, config: Config) -> str:
    """Return the problem to solve."""
    if config.problem_type != "auto":
        return config.problem_type
    distinct = _class_texts(label, kind)
    if kind == "number" and (len(distinct) > MOST_NUMERIC_CLASSES or label.fits["whole"] < label.values):
        return "regression" if len(distinct) > 2 else "binary"
    return "binary" if len(distinct) <= 2 else "multiclass"


def _check_labelled_rows(label: ColumnProfile, kind: str, rows: int, config: Config) -> int:
    """Return the number of rows without label, or refuse them, or refuse too few rows."""
    unlabelled = label.missing(kind)
    if unlabelled and not config.drop_unlabelled:
        raise DataError(
            f"{label.first_missing(kind)}: the label is missing, as in {unlabelled} of {rows} rows. "
            f"Fill it in, remove the rows, or set drop_unlabelled: true in config.yaml to leave them out."
        )
    if rows - unlabelled < config.min_rows:
        raise DataError(
            f"{rows - unlabelled} rows with a label are not enough: min_rows in config.yaml asks for "
            f"{config.min_rows}. Provide more, or lower min_rows if you know that so few will do."
        )
    return unlabelled


def _class_texts(label: ColumnProfile, kind: str) -> Counter[str]:
    """Return how often each label value occurs; 1 and 1.0 are one value."""
    if kind == "category":
        return label.counts
    counts: Counter[str] = Counter()
    for text, count in label.counts.items():
        if not is_missing(text, kind):
            counts[number_text(to_number(text)) or text] += count
    return counts


def _class_rows(label: ColumnProfile, kind: str, problem_type: str) -> Counter[str]:
    """Return the rows of each class, or refuse classes that cannot be learned."""
    counts = _class_texts(label, kind)
    shown = ", ".join(f"{name!r} ({count} rows)" for name, count in counts.most_common(10))
    if len(counts) == 1:
        raise DataError(
            f"Column {label.name!r}: all rows have the same label, {shown}. There is nothing to tell apart."
        )
    if problem_type == "binary" and len(counts) > 2:
        more = f" and {len(counts) - 10} more" if len(counts) > 10 else ""
        raise DataError(
            f"Column {label.name!r}: a binary problem has two label values, found {len(counts)}: {shown}{more}. "
            f"Set problem_type to multiclass or regression, or correct the labels."
        )
    if len(counts) > MOST_CLASSES or label.overflowed:
        raise DataError(
            f"Column {label.name!r} has more than {MOST_CLASSES} different values, e.g. {next(iter(counts))!r}: "
            f"too many for classes. Is it the label? For numbers, set problem_type: regression."
        )
    rare = [name for name, count in counts.items() if count < FEWEST_ROWS_PER_CLASS]
    if rare:
        raise DataError(
            f"Column {label.name!r}: label {rare[0]!r} has only {counts[rare[0]]} rows; every class needs "
            f"at least {FEWEST_ROWS_PER_CLASS}. Collect more, merge it with another class, or remove the rows."
        )
    return counts


def _order(counts: Counter[str], problem_type: str, kind: str, config: Config) -> tuple[str, ...]:
    """Return the classes in order; the positive class of a binary problem comes last."""
    classes = sorted(counts, key=(lambda text: (to_number(text), text)) if kind == "number" else None)
    if problem_type != "binary":
        return tuple(classes)
    positive = _positive(classes, counts, kind, config)
    return tuple(sorted(classes, key=lambda name: name == positive))


def _positive(classes: list[str], counts: Counter[str], kind: str, config: Config) -> str:
    """Return the positive class, see `Config.positive`."""
    if config.positive is not None:
        return _configured_positive(classes, config)
    if kind == "number":
        return classes[-1]
    meaning_yes = [name for name in classes if name.lower() in TRUE_WORDS]
    if len(meaning_yes) == 1:
        return meaning_yes[0]
    return min(reversed(classes), key=lambda name: counts[name])


def _configured_positive(classes: Iterable[str], config: Config) -> str:
    """Return the class that the configuration calls positive; ``true`` also finds Yes, as YAML reads Yes as true."""
    wanted = text_of(config.positive) or ""
    for name in classes:
        if name == wanted or name.lower() == wanted.lower():
            return name
        try:
            if isinstance(config.positive, bool) and to_boolean(name) is config.positive:
                return name
        except ValueError:
            continue
    found = ", ".join(repr(name) for name in classes)
    raise DataError(f"positive in config.yaml is {config.positive!r}, but the label {config.label!r} is {found}.")
