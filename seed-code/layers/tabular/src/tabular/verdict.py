"""What follows from all that was seen of the data: the kind of every column, the problem to solve, or what is wrong."""

import unicodedata
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tabular import dates, notations
from tabular.config import COMPACT, DATE_FORMATS, NUMBER_NOTATIONS, Config
from tabular.errors import DataError
from tabular.profile import FINITE, ColumnProfile
from tabular.schema import DROPPED, FEATURE, KEY, LABEL, Column, DataFile, Schema
from tabular.values import (
    FALSE_WORDS,
    TEXT,
    TRUE_WORDS,
    fitting,
    is_missing,
    maybe_missing,
    number_text,
    text_of,
    to_boolean,
    to_number,
)

MOST_CLASSES = 100
MOST_NUMERIC_CLASSES = 20
FEWEST_ROWS_PER_CLASS = 10

# A column is "nearly" of a kind when so many of its values are; the others are then errors rather than categories.
NEARLY = 0.95
FEWEST_VALUES_TO_JUDGE = 50
FEWEST_NUMBERS = 5  # fewer different ones may be the codes of categories
# A few words among many different numbers or dates mean that nothing is known, however often they are repeated.
MOSTLY = 0.5
MOST_PLACEHOLDERS = 5
FEWEST_DIFFERENT_VALUES = 20
# So many different values are not categories, but identifiers or free text; see `tabular.encoders.IDENTIFIER_SHARE`.
TEXT_SHARE = 0.5
# More different values than this that seem to be measured are not told apart as categories.
MOST_UNREAD_CATEGORIES = 50

_SHOWN_PROBLEMS = 20
_UNIT = rf"{notations.CURRENCY}|°[CF]|[a-zµ%‰²³/]{{1,4}}"
_AMOUNT = r"\d[\d.,' ]*"
_NUMBER_LIKE = (
    rf"^[^\pL\d+]{{0,3}}{_AMOUNT}[^\pL\d]{{0,3}}$|^{notations.CURRENCY} ?{_AMOUNT}$|^{_AMOUNT} ?(?:{_UNIT})$"
    r"|^[+-]?\d+(?:[.,]\d*)?[DdEe][+-]?\d+$|^\d{1,3}(?:_\d{3})+$"
    r"|^[+-]?[^\P{Nd}0-9][\p{Nd}.,' \x{66b}\x{66c}]*$"  # digits of other scripts
)
_DOTTED = r"^\d+(?:\.\d+){2,}$"  # versions and addresses; grouped numbers are read before anybody asks
_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DAY = r"\d{1,2}[-/. ]{1,2}\d{1,2}[-/. ]{1,2}(?:\d{2}|\d{4})|\d{4}[-/. ]{1,2}\d{1,2}[-/. ]{1,2}\d{1,2}|\d{8}T?"
_DATE_LIKE = (
    rf"^(?:\pL{{2,10}}[.,]? )?(?:{_DAY})(?:\D.*)?$|(?i)^.{{0,12}}\b(?:{_MONTH})[a-z]*\b.{{0,4}}\d{{1,4}}.*$"
    rf"|^\d{{1,2}}(?:{_MONTH})\d{{2,4}}\b.*$|^\d{{1,2}}\.? (?:de )?\pL{{3,12}}\.? (?:de )?\d{{4}}\b.*$"
    r"|^\d{4} ?\pL ?\d{1,2} ?\pL ?\d{1,2} ?\pL.*$|^/Date\(-?\d+.*$|^(?:19|20)\d{2}-?W\d{2}(?:-?\d)?$"
)
_TIME_LIKE = (
    r"(?i)^\d{1,3}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[ap]\.?m\.?)?$|^(?:\d+ ?(?:d|h|m|s|hr|min|sec)s?\.? ?){2,4}$"
)
# A number with something around it: how it begins, its digits, and how it ends.
_AFFIXES = r"^(?P<before>\D{0,8}?)(?P<core>\d(?:[\d.,' ]*\d)?)(?P<after>(?:\D{1,12})?)$"
_BEFORE = r"^(?:[^\pL\d+]*|\pL{1,4}[. $]{1,2})$"  # signs, or an abbreviation: Nr. 5; but not the A of A5
_AFTER = r"^ ?\pL[\pL.%/²³]*$"
_FEW_AFFIXES = 6


def resolve(profiles: dict[str, ColumnProfile], files: list[DataFile], config: Config) -> Schema:
    """Decide kinds, problem type and classes from what was seen.

    Raises:
        DataError: The data cannot be used; all columns that are wrong are named.
        ConfigError: The metric of the gate does not fit the problem.
    """
    rows = sum(file.rows for file in files)
    if not rows:
        raise DataError(f"{files[0].name} has a header but no rows, and so has every other file.")
    label = profiles[config.label]
    if not label.values and not label.counts:
        raise DataError(
            f"The label column {config.label!r} is empty in all {rows} rows: there is nothing to learn from."
        )
    columns, problems = [], []
    for profile in profiles.values():
        try:
            columns.append(_describe(profile, config))
        except DataError as err:
            problems.append(str(err))
    if problems:
        raise DataError(_all(problems))
    label_column = next(column for column in columns if column.role == LABEL)
    label_kind = label_column.kind
    problem_type = _problem_type(label, label_column, config)
    config.metric_for(problem_type)  # before anything is trained
    unlabelled = _check_labelled_rows(label, _label_missing(label, label_column, config), rows, config)
    counts = _class_rows(label, label_column, problem_type, config) if problem_type != "regression" else Counter[str]()
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


def _all(problems: list[str]) -> str:
    """Return several problems as one message."""
    if len(problems) == 1:
        return problems[0]
    lines = [f"- {problem}" for problem in problems[:_SHOWN_PROBLEMS]]
    more = [f"- and {len(problems) - _SHOWN_PROBLEMS} more"] if len(problems) > _SHOWN_PROBLEMS else []
    return "\n".join([f"{len(problems)} columns cannot be used as they are:", *lines, *more])


def _describe(profile: ColumnProfile, config: Config) -> Column:
    """Decide kind and role of one column."""
    name = profile.name
    if name == config.label:
        return _label(profile, config)
    if name in config.drop:
        return profile.column("category", DROPPED)
    if name in config.types:
        return _configured(profile, config.types[name], KEY if name in config.record_key else FEATURE)
    if name in config.record_key:
        exact = profile.fits["whole"] == profile.values and not profile.fits["code"] and not profile.fits["huge"]
        return profile.column("number" if exact and profile.values else "category", KEY)
    return guess(profile)


def guess(profile: ColumnProfile, role: str = FEATURE) -> Column:
    """Return the column as its values have it.

    Raises:
        DataError: It has no values, nearly all are of a kind and some are not, or they can be read in two ways.
    """
    if not profile.values:
        raise DataError(
            f"Column {profile.name!r} has no value in any row. "
            f"Remove it from the data, or list it under drop in config.yaml."
        )
    fits, values = profile.fits, profile.values
    if fits["boolean"] == values and fits["bit"] < values:
        return profile.column("boolean", role)
    day = date_format(profile)
    if day == COMPACT and len(profile.counts) >= FEWEST_NUMBERS:
        if _dates(profile, COMPACT) == values:
            return profile.column("date", role, (COMPACT,))
        _refuse_exceptions(profile, ("date",))
    if fits["code"] or (fits["huge"] and fits["whole"] == values):
        return profile.column("category", role)  # 00123 and numbers beyond 64 bits are identifiers: 123 is another one
    if fits["number"] == values:
        _refuse_doubtful_points(profile)
        return profile.column("number", role)
    if _dates(profile, day) == values:
        _refuse_doubtful_days(profile, day)
        return profile.column("date", role, () if day == "date" else (day,))
    if (notation := _notation(profile, values)) is not None:
        return profile.column("number", role, (notation,))
    _refuse_exceptions(profile)
    _refuse_look_alikes(profile)
    return profile.column("category", role)


def date_format(profile: ColumnProfile) -> str:
    """Return the format that fits most values; ``date`` for ISO 8601, which every format includes."""
    return max(("date", *DATE_FORMATS), key=lambda name: _dates(profile, name))


def _dates(profile: ColumnProfile, name: str) -> int:
    """Return how many values are dates in a format."""
    return profile.fits[name] + (profile.fits["date"] if name != "date" else 0)


def _notation(profile: ColumnProfile, least: int) -> str | None:
    """Return how the numbers of a column are written, None where fewer values than `least` are numbers in one notation.

    Raises:
        DataError: They can be read in two ways, or have several currencies.
    """
    found = [name for name in NUMBER_NOTATIONS if profile.fits[name] >= least]
    if not found or not profile.units:
        return None
    readings = {notations.NOTATIONS[name][1]: name for name in reversed(found)}
    if len(readings) > 1 and not profile.has_decimal_points and "pointed" in profile.samples:
        raise DataError(_two_readings(profile, profile.samples["pointed"], readings["."], readings[","]))
    units = {unit for unit in profile.units if unit}
    if len(units) > 1 or (units & set("%‰") and profile.units[""]):
        shown = ", ".join(repr(profile.samples[f"unit {unit}"]) for unit in profile.units)
        raise DataError(
            f"Column {profile.name!r} has numbers of several units, e.g. {shown}: their sizes cannot be compared. "
            f"Bring them to one unit, or write under types in config.yaml that {profile.name} is a category."
        )
    return found[0]


def _most_common_notation(profile: ColumnProfile) -> str:
    """Return the notation in which most values are numbers; ``number`` is the plain one."""
    best = max(NUMBER_NOTATIONS, key=lambda name: profile.fits[name])
    return best if profile.units and profile.fits[best] > profile.fits["number"] else "number"


def _two_readings(profile: ColumnProfile, text: str, point: str, comma: str) -> str:
    """Describe numbers of which it is unclear whether they are thousands."""
    values = pa.array([text])
    small, large = sorted(notations.parse(values, name)[0].as_py() for name in (point, comma))
    return (
        f"Column {profile.name!r}: {text!r} may be {small:.12g} or {large:.12g}, and so may every other value. "
        f'Write under types in config.yaml which it is, {profile.name}: "{point}" or {profile.name}: "{comma}" '
        f"(how 1234.56 would be written)."
    )


def _refuse_doubtful_points(profile: ColumnProfile) -> None:
    """Refuse numbers like 5.340 in files of countries where that may be five thousand.

    Raises:
        DataError: Every point stands before three digits, and the files are not separated by commas.
    """
    if profile.has_decimal_points or not profile.fits["grouped"]:
        return
    if profile.fits["grouped"] == profile.fits["dotted"]:
        raise DataError(_two_readings(profile, profile.samples["grouped"], "1,234.56", "1.234,56"))


def _refuse_doubtful_days(profile: ColumnProfile, day: str) -> None:
    """Refuse dates like 03/04/2024 that may be of March or of April.

    Raises:
        DataError: Day and month may change places in every value.
    """
    twin = dates.TWINS.get(day, "")
    if not twin or profile.fits[twin] < profile.fits[day]:
        return
    column = pa.array(list(profile.counts), TEXT)
    first, second = (dates.parse_only(column, name) for name in (day, twin))
    differing = pc.not_equal(first, second)
    if pc.any(differing).as_py():
        text = column.filter(differing)[0].as_py()
        readings = " or ".join(str(found.filter(differing)[0].as_py().date()) for found in (first, second))
        raise DataError(
            f"Column {profile.name!r}: {text!r} may be {readings}, and so may every other value. "
            f'Write under types in config.yaml which it is, {profile.name}: "{day}" or {profile.name}: "{twin}".'
        )


def _refuse_exceptions(profile: ColumnProfile, kinds: tuple[str, ...] = ("number", "date")) -> None:
    """Refuse a column that is of a kind but for a few values, which would make it text.

    Raises:
        DataError: Names the first one.
    """
    notation = _most_common_notation(profile)
    for kind, name, count in (
        ("number", notation, profile.fits[notation]),
        ("date", "date", _dates(profile, date_format(profile))),
    ):
        if kind not in kinds or count < MOSTLY * profile.values or name not in profile.misfit:
            continue
        place, text = profile.misfit[name]
        words = _exceptions(profile, kind, name)
        different = len(profile.counts) - len(words)
        is_nearly = count >= NEARLY * profile.values and profile.values >= FEWEST_VALUES_TO_JUDGE
        if is_nearly and different >= FEWEST_NUMBERS:
            often = "nearly all other values of the column are"
        elif len(words) <= MOST_PLACEHOLDERS and different >= max(FEWEST_DIFFERENT_VALUES, 4 * len(words)):
            often = f"{count} other values of the column are ({', '.join(f'{w!r} occurs {n} times' for w, n in words)})"
        else:
            continue
        raise DataError(
            f"{place}: {text!r} is not a {kind}, while {often}. "
            f"Correct it, or write under types in config.yaml that {profile.name} is a category. "
            f"Where nothing is known, leave the cell empty."
        )


def _exceptions(profile: ColumnProfile, kind: str, name: str) -> list[tuple[str, int]]:
    """Return the words that stand among numbers (in a notation, by its name) or dates, with how often each does."""
    seen = list(profile.counts)
    column = pa.array(seen, TEXT)
    formats = (name,) if name in NUMBER_NOTATIONS else ()
    if kind == "date" and (day := date_format(profile)) != "date":
        formats = (day,)
    fits = fitting(column, kind, formats=formats)
    missing = maybe_missing(column)
    words = [
        word
        for word, is_one, is_nothing in zip(seen, fits.is_valid().to_pylist(), missing.to_pylist(), strict=True)
        if not is_one and not is_nothing
    ]
    return sorted(((word, profile.counts[word]) for word in words), key=lambda pair: -pair[1])


def _refuse_look_alikes(profile: ColumnProfile) -> None:
    """Refuse to leave out as text what looks like numbers, dates or times in a form that is not known.

    Raises:
        DataError: Nearly all of many different values look like one.
    """
    is_text = profile.overflowed or len(profile.counts) > TEXT_SHARE * profile.values
    if not is_text and len(profile.counts) <= MOST_UNREAD_CATEGORIES:
        return
    column = pa.array(list(profile.counts), TEXT)
    masks = {
        "dates": pc.match_substring_regex(column, _DATE_LIKE),
        "times": pc.match_substring_regex(column, _TIME_LIKE),
        "numbers": pc.and_(
            pc.or_(pc.match_substring_regex(column, _NUMBER_LIKE), _with_affixes(column)),
            pc.invert(pc.match_substring_regex(column, _DOTTED)),
        ),
    }
    for kind, like in masks.items():
        if pc.sum(like).as_py() < NEARLY * len(column):
            continue
        if kind == "numbers" and (both := _in_two_notations(column)):
            raise DataError(
                f"Column {profile.name!r} has numbers in two notations, {both[0]!r} and {both[1]!r}: write them in "
                f"one, or list the column under drop in config.yaml."
            )
        text = column.filter(like)[0].as_py()
        raise DataError(
            f"Column {profile.name!r}: its values look like {kind}, e.g. {text!r}, in a form that is not read. "
            f"Write them in another one (docs/tables.md lists them), or write under types in config.yaml that "
            f"{profile.name} is a category, or list it under drop."
        )


def _with_affixes(column: pa.StringArray) -> pa.BooleanArray:
    """Return which values are numbers with one of a few things around them: ``5 Stück``, ``Nr. 1.234,50``."""
    parts = pc.extract_regex(notations.tidy(column), _AFFIXES)
    before, core, after = (parts.field(name) for name in ("before", "core", "after"))
    found = pc.fill_null(pc.and_(pc.is_valid(parts), pc.match_substring_regex(before, _BEFORE)), False)
    around = pc.unique(pc.binary_join_element_wise(before.filter(found), after.filter(found), "#"))
    if len(around) > _FEW_AFFIXES:
        return pa.array(np.zeros(len(column), dtype=bool))
    is_amount = pc.match_substring_regex(core, r"\d[.,' ]\d")
    has_unit = pc.and_(pc.match_substring_regex(after, _AFTER), pc.invert(pc.match_substring_regex(before, r"\pL")))
    amounts = pc.sum(pc.and_(found, pc.fill_null(is_amount, False))).as_py() or 0
    if 2 * amounts >= len(column):
        number = pc.fill_null(pc.is_in(core, value_set=core.filter(_is_number(core))), False)
        return pc.and_(found, number)
    return pc.and_(found, pc.fill_null(has_unit, False))


def _is_number(core: pa.StringArray) -> pa.BooleanArray:
    """Return which texts are numbers in any notation."""
    found = pa.array(np.zeros(len(core), dtype=bool))
    for name in NUMBER_NOTATIONS:
        found = pc.or_(found, pc.is_valid(notations.parse(core, name)))
    return found


def _in_two_notations(column: pa.StringArray) -> tuple[str, str] | None:
    """Return a value with a decimal point and one with a decimal comma that can only be read so, if there are both."""
    point, comma = (pc.is_valid(notations.parse(column, name)) for name in ("1,234.56", "1.234,56"))
    only_point = column.filter(pc.and_(point, pc.invert(comma)))
    only_comma = column.filter(pc.and_(comma, pc.invert(point)))
    return (only_point[0].as_py(), only_comma[0].as_py()) if len(only_point) and len(only_comma) else None


def _configured(profile: ColumnProfile, wanted: str, role: str) -> Column:
    """Return the column of the kind, or in the notation, that a person has named for it.

    Raises:
        DataError: Names the first value that does not fit.
    """
    kind, formats = wanted, ()
    if wanted in NUMBER_NOTATIONS:
        kind, formats, count = "number", (wanted,), profile.fits[wanted]
    elif wanted in DATE_FORMATS:
        kind, formats, count = "date", (wanted,), _dates(profile, wanted)
    elif wanted == "date":
        day = date_format(profile)
        _refuse_doubtful_days(profile, day)
        formats, count = () if day == "date" else (day,), _dates(profile, day)
    elif (
        wanted == "number" and profile.fits["number"] < profile.values and (found := _notation(profile, profile.values))
    ):
        formats, count = (found,), profile.values
    else:
        count = profile.values if wanted == "category" else profile.fits[wanted]
    if count < profile.values:
        unknown = (f"column {profile.name!r}", "a value in another format")
        place, text = profile.misfit.get(wanted, profile.misfit.get(kind, unknown))
        raise DataError(f"{place}: {text!r} is not a {kind}, but the column should be. Correct it or the type.")
    return profile.column(kind, role, formats)


def _label(label: ColumnProfile, config: Config) -> Column:
    """Return the label as a number or a category; it is never a date, and Yes and No stay the classes they are."""
    if config.problem_type == "regression":
        return _finite(label, config.types.get(label.name, "number"))
    wanted = config.types.get(label.name)
    if wanted in ("number", *NUMBER_NOTATIONS):
        return _finite(label, wanted)
    if wanted is not None:
        return _configured(label, wanted, LABEL) if wanted == "category" else label.column("category", LABEL)
    numeric = label.values > 0 and label.fits["number"] == label.values and not label.fits["code"]
    if numeric and label.fits["boolean"] in (0, label.fits["bit"]):
        _refuse_doubtful_points(label)
        return _finite(label, "number")
    if config.problem_type == "auto" and len(label.counts) > MOST_CLASSES:
        found = guess(label, LABEL)  # names the value that keeps a column of numbers from being one
        if found.kind == "number":
            return found
    return label.column("category", LABEL)


def _finite(label: ColumnProfile, wanted: str) -> Column:
    """Return the label as a number.

    Raises:
        DataError: Names the first value that is not a finite number.
    """
    if wanted not in NUMBER_NOTATIONS and label.fits[FINITE] < label.values:
        if label.fits["number"] < label.values and (notation := _notation(label, label.values)):
            return label.column("number", LABEL, (notation,))
        notation = _most_common_notation(label)
        place, text = label.misfit[FINITE if notation == "number" else notation]
        raise DataError(f"{place}: {text!r} is not a {FINITE}, but the column should be. Correct it or the type.")
    return _configured(label, wanted, LABEL)


def _problem_type(label: ColumnProfile, column: Column, config: Config) -> str:
    """Return the problem to solve."""
    if config.problem_type != "auto":
        return config.problem_type
    distinct = _class_texts(label, column, config)
    if column.kind == "number" and (len(distinct) > MOST_NUMERIC_CLASSES or not column.whole):
        return "regression" if len(distinct) > 2 else "binary"
    return "binary" if len(distinct) <= 2 else "multiclass"


def _label_missing(label: ColumnProfile, column: Column, config: Config) -> int:
    """Return the rows without label; words for nothing are classes only where types says that it is a category."""
    return label.missing("category" if _takes_all_words(column, config) else "number")


def _takes_all_words(column: Column, config: Config) -> bool:
    return column.kind == "category" and config.types.get(column.name) == "category"


def _check_labelled_rows(label: ColumnProfile, unlabelled: int, rows: int, config: Config) -> int:
    """Return the number of rows without label, or refuse them, or refuse too few rows."""
    if unlabelled and not config.drop_unlabelled:
        raise DataError(
            f"{label.first_missing('number')}: the label is missing, as in {unlabelled} of {rows} rows. "
            f"Fill it in, remove the rows, or set drop_unlabelled: true in config.yaml to leave them out."
        )
    if rows - unlabelled < config.min_rows:
        raise DataError(
            f"{rows - unlabelled} rows with a label are not enough: min_rows in config.yaml asks for "
            f"{config.min_rows}. Provide more, or lower min_rows if you know that so few will do."
        )
    return unlabelled


def _class_texts(label: ColumnProfile, column: Column, config: Config) -> Counter[str]:
    """Return how often each label value occurs; 1 and 1.0 are one value, and a word for nothing does not count."""
    counts: Counter[str] = Counter()
    everything = _takes_all_words(column, config)
    known = {text: count for text, count in label.counts.items() if everything or not is_missing(text, "number")}
    values = column.convert(list(known)).to_pylist()
    for (text, count), value in zip(known.items(), values, strict=True):
        counts[text if column.kind == "category" else number_text(float(value)) or text] += count
    return counts


def _refuse_spellings(label: ColumnProfile, counts: Counter[str]) -> None:
    """Refuse classes that are one class in several spellings.

    Raises:
        DataError: Two of them differ in case only, or are two words for true or for false.
    """
    spellings: dict[str, list[str]] = {}
    words = set(FALSE_WORDS | TRUE_WORDS)
    all_boolean = all(_plain(name) in words for name in counts)
    for name in counts:
        lowered = _plain(name)
        meaning = ("true" if lowered in TRUE_WORDS else "false") if all_boolean and len(counts) > 2 else lowered
        spellings.setdefault(meaning, []).append(name)
    several = [names for names in spellings.values() if len(names) > 1]
    if several:
        shown = "; ".join(", ".join(f"{name!r} ({counts[name]} rows)" for name in names) for names in several)
        raise DataError(
            f"Column {label.name!r}: {shown} seem to be one class in several spellings. Write them alike, or write "
            f"under types in config.yaml that {label.name} is a category to keep them apart."
        )


def _plain(name: str) -> str:
    """Return a name without what makes no other class: case, blanks around, other forms of a letter, quotes."""
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return " ".join(seen.strip(" .'\"").casefold().split()) or name


def _class_rows(label: ColumnProfile, column: Column, problem_type: str, config: Config) -> Counter[str]:
    """Return the rows of each class, or refuse classes that cannot be learned."""
    counts = _class_texts(label, column, config)
    if column.kind == "category" and not _takes_all_words(column, config):
        _refuse_spellings(label, counts)
        if label.name in counts:
            raise DataError(
                f"Column {label.name!r}: {label.name!r} itself is the value of {counts[label.name]} rows. A header "
                f"seems to be among the records, as after joining files: remove it."
            )
    for_numbers = " For a number to predict, such as a count, set problem_type: regression." * (column.kind == "number")
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
            f"{for_numbers}"
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
