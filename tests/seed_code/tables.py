"""Tables that hypothesis generates: what they mean, and files in which programs and people may have written them.

The truth of a table is Python values. `written` writes them in one of the notations and layouts that docs/tables.md of
a generated repository lists, so whatever comes out of its jobs can be compared with what went in.
"""

from __future__ import annotations

import base64
import csv
import datetime
import gzip
import io
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.vendor.pretty import RepresentationPrinter

Value = str | float | int | bool | datetime.datetime | None

KEY = "id"
LABEL = "outcome"
ROWS = 60  # a column of fewer than 50 different values is judged more cautiously

# Name of a notation in config.yaml: between groups, before decimals.
NOTATIONS = {
    "": ("", "."),
    "1,234.56": (",", "."),
    "1.234,56": (".", ","),
    "1 234,56": (" ", ","),
    "1 234.56": (" ", "."),
    "1'234.56": ("'", "."),
    "1'234,56": ("'", ","),
    "12,34,567.8": (",", "."),
}
DRESSES: dict[str, Callable[[str], str]] = {
    "plain": "{}".format,
    "sign": "€{}".format,
    "sign behind": "{} $".format,
    "code": "CHF {}".format,
    "percent": "{}%".format,
    "percent apart": "{} %".format,
    "accounting": lambda text: f"({text[1:]})" if text.startswith("-") else text,
    "typographic minus": lambda text: text.replace("-", "\u2212"),
    "minus behind": lambda text: f"{text[1:]}-" if text.startswith("-") else text,
    "narrow blank": lambda text: text.replace(" ", "\u202f"),
    "no-break blank": lambda text: text.replace(" ", "\u00a0"),
    "typographic apostrophe": lambda text: text.replace("'", "\u2019"),
}
DAYS = (
    *(f"%Y{mark}%m{mark}%d" for mark in "-/."),
    *(f"%m{mark}%d{mark}%Y" for mark in "/-"),
    *(f"%d{mark}%m{mark}%Y" for mark in "/.-"),
    *("%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%b-%y"),
)
TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p")
ZONES = {"": 0, "Z": 0, "+00": 0, "+02:00": 2, "-0330": -3.5, " UTC": 0}
NOTHING = ("", "NaN", "null", "NULL", r"\N", "NaT")  # in every column
NOTHING_HERE = ("NA", "n/a", "#N/A", "None", "?", "-", "(blank)", "#DIV/0!", "missing")  # but in a category a category
BOOLEANS = (
    ("true", "false"),
    ("TRUE", "FALSE"),
    ("True", "False"),
    ("yes", "no"),
    ("Y", "N"),
    ("t", "f"),
    ("Yes", "No"),
)
WORDS = (
    *(
        "north",
        "south",
        "wést",
        "日本",
        "O'Hara",
        "a,b",
        "c;d",
        "e\tf",
        "g|h",
        'so "called"',
        "two\nlines",
        "=1+1",
        "#1",
    ),
    *("None", "NA", "back\\slash", "x" * 300, "😀", "A", "a", "Ünï cødé", "-", "-x", "3 kg", "5th", "1e", "true story"),
)
CLASSES = {
    "binary": ("yes", "no"),
    "named": ("fraud", "honest"),
    "coded": ("0", "1"),
    "multiclass": ("bronze", "silver", "gold,plated"),
}


class Brief:
    """Shown by hypothesis in one line."""

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class Column(Brief):
    """One column.

    Attributes:
        name: Its name.
        kind: What the jobs must find: ``number``, ``boolean``, ``date`` or ``category``.
        truth: The values.
        texts: The values as a CSV file has them.
        parquet: Arrow's name of the type that it has in a Parquet file.
        types: What config.yaml has to say of it, where nobody could know. Default: nothing.
    """

    name: str
    kind: str
    truth: list[Value]
    texts: list[str]
    parquet: str
    types: str = ""

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r} {self.texts[:4]} {self.truth[:4]} {self.parquet} types={self.types!r}>"


@dataclass(frozen=True)
class Layout:
    """How a table becomes files.

    Attributes:
        form: ``csv`` or ``parquet``.
        separator: Between fields.
        line_end: After records.
        quoting: Of `csv`.
        encoding: Of the text; a codec of Python.
        packed: Whether files are gzipped.
        padded: Whether blanks stand around fields.
        blank_lines: Whether there are empty lines.
        last_line_end: Whether the last record has one.
        names: Of the files.
        seed: Of the order of rows and columns.
        same_columns: Whether the columns stand in their order in every file.
    """

    form: str
    separator: str
    line_end: str
    quoting: int
    encoding: str
    packed: bool
    padded: bool
    blank_lines: bool
    last_line_end: bool
    names: tuple[str, ...]
    seed: int
    same_columns: bool = False


@dataclass(frozen=True)
class Table:
    """Columns of the same length, with the configuration of a project that learns from them."""

    columns: tuple[Column, ...]
    config: dict[str, Any]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0].truth)

    def column(self, name: str) -> Column:
        """Return a column."""
        return next(column for column in self.columns if column.name == name)


@dataclass
class Files(Brief):
    """Files as the jobs get them, and where each row is.

    Attributes:
        requests: For the program that runs the jobs: path, and either content (Base64) or Parquet columns.
        places: File and number of the record in it, from 0, of every row of the table.
        orders: Columns of every file in their order.
    """

    requests: list[dict[str, Any]] = field(default_factory=list, repr=False)
    places: dict[int, tuple[str, int]] = field(default_factory=dict, repr=False)
    orders: dict[str, list[str]] = field(default_factory=dict)


# ---- columns --------------------------------------------------------------------------------------------------------

CHANCE = st.integers(0, 2**32).map(random.Random)
SHARES = st.sampled_from((0.0, 0.3))
GAPS = st.tuples(st.sampled_from((*NOTHING, *NOTHING_HERE)), SHARES)
"""How a missing value is written, and which share of the values is missing."""


def filled(
    rows: int, gaps: tuple[str, float], chance: random.Random, make: Callable[[int], tuple[Value, str]]
) -> tuple[list[Value], list[str]]:
    """Return values and texts of a column, some of them missing, the others made for their row."""
    nothing, share = gaps
    pairs = [(None, nothing) if chance.random() < share else make(row) for row in range(rows)]
    return [value for value, _ in pairs], [text for _, text in pairs]


@st.composite
def numbers(draw: st.DrawFn, name: str, rows: int, separator: str) -> Column:
    """Numbers in one notation, which can be recognised or is named in the configuration."""
    notation = draw(st.sampled_from(list(NOTATIONS)))
    dress = draw(st.sampled_from(list(DRESSES)))
    decimals = draw(st.sampled_from((0, 1, 2, 3, 4)))
    size = draw(st.sampled_from((10, 1_000, 10_000_000)))
    least = draw(st.sampled_from((0, -1)))
    with_groups = bool(notation) and draw(st.booleans())
    gaps, chance = draw(GAPS), draw(CHANCE)

    def number(_: int) -> tuple[Value, str]:
        value = float(round(chance.uniform(least * size, size), decimals))
        return value, DRESSES[dress](number_text(value, decimals, notation, with_groups=with_groups))

    truth, texts = filled(rows, gaps, chance, number)
    # Three decimals, or none beside points or commas, may be thousands: the configuration has to say which.
    group = NOTATIONS[notation][0] if with_groups else ""
    doubtful = decimals == 3 or (decimals == 0 and group in {".", ","})
    types = (notation or "1,234.56") if doubtful and (separator != "," or notation or dress != "plain") else ""
    parquet = draw(
        st.sampled_from(("double", "string", "large_string", "decimal", *(("int64", "int32") * (not decimals))))
    )
    return Column(name, "number", truth, texts, parquet, types)


def number_text(number: float, decimals: int, notation: str, *, with_groups: bool) -> str:
    """Return a number as a notation writes it."""
    group, decimal = NOTATIONS[notation]
    whole, _, fraction = f"{abs(number):.{decimals}f}".partition(".")
    if with_groups:
        size = 2 if notation == "12,34,567.8" else 3
        head, parts = whole[:-3], [whole[-3:]]
        while head:
            head, part = head[:-size], head[-size:]
            parts.insert(0, part)
        whole = group.join(parts)
    sign = "-" if number < 0 else ""
    return f"{sign}{whole}{decimal if decimals else ''}{fraction}"


@st.composite
def dates(draw: st.DrawFn, name: str, rows: int, separator: str) -> Column:
    """Moments in one form."""
    day, time = draw(st.sampled_from(DAYS)), draw(st.sampled_from(TIMES))
    zone = draw(st.sampled_from(list(ZONES))) if time else ""
    gaps, chance, form = draw(GAPS), draw(CHANCE), day + time

    def moment(row: int) -> tuple[Value, str]:
        passed = datetime.timedelta(microseconds=chance.randrange(40 * 365 * 86_400 * 10**6))
        value = datetime.datetime(1990, 1, 1) + passed
        text = (value if row % 5 else value.replace(day=25)).strftime(form)  # 25 is not a month
        return datetime.datetime.strptime(text, form) - datetime.timedelta(hours=ZONES[zone]), text + zone

    truth, texts = filled(rows, gaps, chance, moment)
    typed = ("string", "timestamp[us]", "timestamp[ns, UTC]") if time else ("string", "timestamp[ms]", "date32")
    return Column(name, "date", truth, texts, draw(st.sampled_from(typed)))


@st.composite
def booleans(draw: st.DrawFn, name: str, rows: int, separator: str) -> Column:
    """Words for true and false."""
    yes, no = draw(st.sampled_from(BOOLEANS))
    gaps, chance = draw(GAPS), draw(CHANCE)
    truth, texts = filled(rows, gaps, chance, lambda _: chance.choice(((True, yes), (False, no))))
    return Column(name, "boolean", truth, texts, draw(st.sampled_from(("bool", "string"))))


@st.composite
def categories(draw: st.DrawFn, name: str, rows: int, separator: str) -> Column:
    """Words of every kind, or codes with leading zeros."""
    gaps, chance = (draw(st.sampled_from(NOTHING)), draw(SHARES)), draw(CHANCE)
    if draw(st.booleans()):
        words = ["plain", "word", *chance.sample(WORDS, draw(st.integers(1, 8)))]
    else:
        words = [f"{number:05d}" for number in chance.sample(range(10_000), draw(st.sampled_from((5, 20))))]
    truth, texts = filled(rows, gaps, chance, lambda _: (chance.choice(words),) * 2)
    return Column(name, "category", truth, texts, draw(st.sampled_from(("string", "large_string", "dictionary"))))


@st.composite
def keys(draw: st.DrawFn, rows: int) -> Column:
    """A value for every row that no other row has: whole numbers, some beyond doubles, or text."""
    chance = draw(CHANCE)
    start = draw(st.sampled_from((0, 10**6, 2**60, -(2**40))))
    if draw(st.booleans()):
        whole = chance.sample(range(start, start + 10 * rows), rows)
        return Column(KEY, "number", list(whole), [str(number) for number in whole], "int64")
    words = [
        f"{draw(st.sampled_from(('c', 'ß-', '0')))}{number:07d}" for number in chance.sample(range(10 * rows), rows)
    ]
    return Column(KEY, "category", list(words), words, "string")


@st.composite
def labels(draw: st.DrawFn, rows: int, separator: str) -> tuple[Column, dict[str, Any]]:
    """What to predict, and the settings that it needs."""
    problem = draw(st.sampled_from((*CLASSES, "regression")))
    chance = draw(CHANCE)
    if problem == "regression":
        notation = draw(st.sampled_from(("", "1.234,56", "1,234.56")))
        truth = [round(chance.uniform(-5_000, 5_000), 2) for _ in range(rows)]
        texts = [number_text(number, 2, notation, with_groups=bool(notation)) for number in truth]
        return Column(LABEL, "number", list(truth), texts, "double"), {"problem_type": "regression"}
    names = [CLASSES[problem][row % len(CLASSES[problem])] for row in range(rows)]
    chance.shuffle(names)
    numeric = problem == "coded"
    values: list[Value] = [float(name) for name in names] if numeric else list(names)
    return Column(LABEL, "number" if numeric else "category", values, names, "int64" if numeric else "string"), {}


# ---- tables ---------------------------------------------------------------------------------------------------------


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Ways of writing files."""
    form = draw(st.sampled_from(("csv", "csv", "csv", "parquet")))
    folder = draw(st.sampled_from(("", "2024/", "a b (1)/ü/")))
    ending = ".parquet" if form == "parquet" else draw(st.sampled_from((".csv", "", ".txt", ".tsv")))
    names = tuple(
        f"{folder}{'' if number % 2 else 'more/'}part-{number}{ending}"
        for number in range(draw(st.sampled_from((1, 1, 1, 1, 2, 3))))
    )
    return Layout(
        form=form,
        separator=draw(st.sampled_from((",", ";", "\t", "|"))),
        line_end=draw(st.sampled_from(("\n", "\r\n", "\r"))),
        quoting=draw(st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))),
        encoding=draw(st.sampled_from(("utf-8", "utf-8", "utf-8-sig", "utf-16"))),
        packed=draw(st.sampled_from((False, False, True))),
        padded=draw(st.booleans()),
        blank_lines=draw(st.booleans()),
        last_line_end=draw(st.booleans()),
        names=names,
        seed=draw(st.integers(0, 2**32)),
    )


@st.composite
def tables(draw: st.DrawFn, separator: str, rows: int = ROWS) -> Table:
    """Tables with an identifier, a label and some features of every kind."""
    makers = draw(st.lists(st.sampled_from((numbers, numbers, dates, booleans, categories)), min_size=1, max_size=2))
    features = [draw(maker(f"{'Ä b' if at else 'c'}{at}", rows, separator)) for at, maker in enumerate(makers)]
    label, settings = draw(labels(rows, separator))
    key = draw(keys(rows))
    second = [column.name for column in features[1:] if column.kind == "category"][:1]
    record_key = draw(st.sampled_from(([], [KEY], [KEY], [KEY, *second])))
    columns = (key, *features, label)
    types = {column.name: column.types for column in columns if column.types}
    types |= {} if record_key else {KEY: key.kind}  # else it would be left out as an identifier
    config = {
        "label": LABEL,
        "record_key": record_key,
        "types": types,
        "seed": draw(st.sampled_from((0, 7))),
        "min_rows": 50,
    }
    config["hyperparameters"] = {"num_round": 5}
    return Table(columns, config | settings)


def written(table: Table, layout: Layout) -> Files:
    """Write a table as a layout says."""
    rng = random.Random(layout.seed)  # noqa: S311 - test data
    rows = list(range(table.rows))
    rng.shuffle(rows)
    files = Files()
    for number, name in enumerate(layout.names):
        own = rows[number :: len(layout.names)]
        columns = list(table.columns)
        if not layout.same_columns:
            rng.shuffle(columns)
        files.places |= {row: (name, at) for at, row in enumerate(own)}
        files.orders[name] = [column.name for column in columns]
        if layout.form == "parquet":
            content = {column.name: parquet_column(column, own) for column in columns}
            files.requests.append({"path": name, "parquet": content, "rows_per_group": rng.choice((7, 1000))})
        else:
            records = [[column.texts[row] for column in columns] for row in own]
            data = csv_bytes([column.name for column in columns], records, layout)
            files.requests.append({"path": name, "content": base64.b64encode(data).decode()})
    return files


def parquet_column(column: Column, rows: list[int]) -> dict[str, Any]:
    """Return the type and values of a column of a Parquet file, as JSON has them."""
    if column.parquet in {"string", "large_string", "dictionary"}:
        return {"type": column.parquet, "values": [column.texts[row] for row in rows]}
    values = [column.truth[row] for row in rows]
    shown = [value.isoformat() if isinstance(value, datetime.datetime) else value for value in values]
    return {"type": column.parquet, "values": shown}


def csv_bytes(header: list[str], records: list[list[str]], layout: Layout) -> bytes:
    """Return the content of a CSV file."""
    stream = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if layout.line_end == "\r" else layout.quoting  # the writer takes only its own end for one
    writer = csv.writer(stream, delimiter=layout.separator, lineterminator=layout.line_end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(header)
    for number, record in enumerate(records):
        padded = [f" {text}  " if layout.padded and "\n" not in text else text for text in record]
        writer.writerow(padded)
        if layout.blank_lines and number % 9 == 0:
            stream.write(layout.line_end)
    text = stream.getvalue()
    if not layout.last_line_end:
        text = text.rstrip("\r\n")
    data = text.encode(layout.encoding)
    return gzip.compress(data) if layout.packed else data
