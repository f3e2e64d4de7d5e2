"""Files of generated tables that went wrong on their way, and what an error has to say of each."""

from __future__ import annotations

import base64
import csv
import gzip
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from .tables import KEY, LABEL, NOTHING, Brief, Layout, Table, csv_bytes, written

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "\u241f"  # stands for a byte that no text has
PLAIN = Layout(
    form="csv",
    separator=",",
    line_end="\n",
    quoting=csv.QUOTE_MINIMAL,
    encoding="utf-8",
    packed=False,
    padded=False,
    blank_lines=False,
    last_line_end=True,
    names=("part-0.csv", "part-1.csv"),
    seed=0,
)


@dataclass(frozen=True)
class Damage(Brief):
    """Files, one of which is damaged.

    Attributes:
        how: What happened to it.
        named: What the message has to say, each as it stands there.
        may_be_read: Whether the table may also be read as if nothing had happened.
        requests: All files for the program that runs the jobs.
    """

    how: str
    named: tuple[str, ...]
    may_be_read: bool
    requests: list[dict[str, Any]] = field(repr=False)


@dataclass
class Victim:
    """A CSV file that is about to be damaged.

    Attributes:
        name: Of the file.
        header: Its columns.
        records: Its fields.
        at: Which record is hit, from 0.
        line: ``line <number>``, where that record begins.
        numeric: Columns in which a word is wrong.
        layout: Of the file.
        draw: Chooses.
    """

    name: str
    header: list[str]
    records: list[list[str]]
    at: int
    line: str
    numeric: list[str]
    layout: Layout
    draw: st.DrawFn

    @property
    def content(self) -> bytes:
        """The file."""
        return csv_bytes(self.header, self.records, self.layout)

    def put(self, column: str, text: str) -> None:
        """Change a field of the record."""
        self.records[self.at][self.header.index(column)] = text

    def with_bytes(self, before: str, data: bytes, after: str = "") -> bytes:
        """Return the file with bytes in the first field of the record, in the second one if that is the label."""
        self.records[self.at][self.header[0] == LABEL] = before + MARK + after
        return self.content.replace(MARK.encode(), data)

    def other_column(self) -> int:
        """Return the position of a column that is not the label."""
        return self.draw(st.sampled_from([at for at, column in enumerate(self.header) if column != LABEL]))


Named = tuple[str, ...]


def _field_missing(victim: Victim) -> tuple[bytes, Named]:
    del victim.records[victim.at][victim.draw(st.integers(0, len(victim.header) - 1))]
    return victim.content, (victim.name, victim.line)


def _field_too_many(victim: Victim) -> tuple[bytes, Named]:
    victim.records[victim.at].append("x")
    return victim.content, (victim.name, victim.line)


def _quote_opened(victim: Victim) -> tuple[bytes, Named]:
    return victim.with_bytes("", b'"', "x"), (victim.name,)  # the field may end at the next quote


def _quote_within(victim: Victim) -> tuple[bytes, Named]:
    return victim.with_bytes("x", b'"', "y"), (victim.name, victim.line)


def _not_utf8(victim: Victim) -> tuple[bytes, Named]:
    return victim.with_bytes("x", b"\xe9"), (victim.name, victim.line)


def _nul(victim: Victim) -> tuple[bytes, Named]:
    return victim.with_bytes("x", b"\0"), (victim.name,)


def _cut_off(victim: Victim) -> tuple[bytes, Named]:
    whole = victim.with_bytes("x", MARK.encode())
    return whole[: whole.index(MARK.encode())], (victim.name, victim.line)


def _gzip_cut_off(victim: Victim) -> tuple[bytes, Named]:
    packed = gzip.compress(victim.content)
    return packed[: len(packed) // 2], (victim.name,)


def _gzip_with_other_bits(victim: Victim) -> tuple[bytes, Named]:
    packed = bytearray(gzip.compress(victim.content))
    packed[victim.draw(st.integers(len(packed) // 4, len(packed) - 5))] ^= 0xFF
    return bytes(packed), (victim.name,)


def _no_header(victim: Victim) -> tuple[bytes, Named]:
    victim.header = victim.records.pop(0)
    return victim.content, (victim.name,)


def _header_twice(victim: Victim) -> tuple[bytes, Named]:
    victim.records.insert(victim.at, list(victim.header))
    return victim.content, (victim.name, victim.line) if victim.numeric else (LABEL,)


def _column_twice(victim: Victim) -> tuple[bytes, Named]:
    victim.header[victim.other_column()] = LABEL
    return victim.content, (victim.name, repr(LABEL))


def _name_missing(victim: Victim) -> tuple[bytes, Named]:
    at = victim.other_column()
    victim.header[at] = ""
    return victim.content, (victim.name, f"column {at + 1}")


def _column_missing(victim: Victim) -> tuple[bytes, Named]:
    at = victim.other_column()
    column = victim.header.pop(at)
    for record in victim.records:
        del record[at]
    return victim.content, (repr(column),)


def _label_missing(victim: Victim) -> tuple[bytes, Named]:
    victim.put(LABEL, victim.draw(st.sampled_from(NOTHING)))
    return victim.content, (victim.name, victim.line, repr(LABEL))


def _another_value(victim: Victim) -> tuple[bytes, Named]:
    text = victim.draw(st.sampled_from(("unheard-of", "2024-02-30", "1;5", "12:30")))
    column = victim.draw(st.sampled_from(victim.numeric or [LABEL]))
    victim.put(column, text)
    place = (victim.name, victim.line) if victim.numeric else ()
    return victim.content, (*place, repr(column), repr(text))


WAYS: dict[str, Callable[[Victim], tuple[bytes, Named]]] = {
    "a field is missing": _field_missing,
    "a field is too many": _field_too_many,
    "a quote is opened": _quote_opened,
    "a quote stands within a field": _quote_within,
    "a byte is not UTF-8": _not_utf8,
    "a byte is 0": _nul,
    "the file is cut off": _cut_off,
    "the gzip file is cut off": _gzip_cut_off,
    "bits of the gzip file changed": _gzip_with_other_bits,
    "the header is missing": _no_header,
    "the header stands there twice": _header_twice,
    "a column stands there twice": _column_twice,
    "the name of a column is missing": _name_missing,
    "a column is missing": _column_missing,
    "a label is missing": _label_missing,
    "a value is of another kind": _another_value,
}
MAY_BE_READ = {"a quote stands within a field", "a byte is 0"}


@st.composite
def damages(draw: st.DrawFn, table: Table, layout: Layout) -> Damage:
    """Return the files of a table as CSV, one of them damaged."""
    files = written(table, layout)
    request = draw(st.sampled_from(files.requests))
    name = request["path"]
    header = files.orders[name]
    rows = sorted((at, row) for row, (file, at) in files.places.items() if file == name)
    records = [[table.column(column).texts[row] for column in header] for _, row in rows]
    at = draw(st.integers(0, len(records) - 1))
    line = csv_bytes(header, records[:at], layout).count(layout.line_end.encode()) + 1
    judged = {KEY: KEY in table.config["types"], LABEL: table.config.get("problem_type") == "regression"}
    numeric = [
        column.name for column in table.columns if column.kind in {"number", "date"} and judged.get(column.name, True)
    ]
    how = draw(st.sampled_from(list(WAYS)))
    content, named = WAYS[how](Victim(name, list(header), records, at, f"line {line}", numeric, layout, draw))
    damaged = request | {"content": base64.b64encode(content).decode()}
    requests = [damaged if file is request else file for file in files.requests]
    return Damage(how, named, how in MAY_BE_READ, requests)
