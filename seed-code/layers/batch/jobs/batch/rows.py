"""Reading the rows of input files, good and bad ones, without holding a file in memory.

CSV with or without header, JSON lines, both also gzipped, and Parquet. A file is known by its first bytes, not by name.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import RunError, module

from monitoring.columns import fit

MOST_RAW_CHARACTERS = 2_000
SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class Row:
    """One row of a file.

    Attributes:
        line: Where it stands: line of a text file, number of the record in a Parquet file, from 1.
        values: Raw values by column, None when the row cannot be read.
        reason: Why it cannot be read.
        raw: The row as it stands, shortened, where it cannot be read.
    """

    line: int
    values: dict[str, Any] | None
    reason: str = ""
    raw: str = ""


def read(body: Any, schema: Any, name: str) -> Iterator[Row]:
    """Yield the rows of a file.

    Args:
        body: Binary stream.
        schema: The `tabular.schema.Schema` of the model, which names columns where there is no header.
        name: How messages call the file.

    Raises:
        RunError: The first line of a CSV file is neither a known header nor a record, so nobody knows what its columns
            are.
    """
    stream = io.BufferedReader(_Raw(body), buffer_size=1 << 16)
    start = stream.peek(4)[:4]
    if start == b"PAR1":
        yield from _parquet_rows(stream)
        return
    if start[:2] == b"\x1f\x8b":
        stream = io.BufferedReader(gzip.GzipFile(fileobj=stream))
    if stream.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):  # Excel's "Unicode text"
        reader = codecs.getreader("utf-16")(stream)
    else:  # bytes that are not UTF-8 are kept as lone surrogates, so that they spoil their row only
        reader = codecs.getreader("utf-8-sig")(stream, errors="surrogateescape")
    lines = _lines(reader)
    first = next(lines, None)
    if first is None:
        return
    everything = itertools.chain([first], lines)
    if first.lstrip().startswith("{"):
        yield from _json_rows(everything)
    else:
        yield from _csv_rows(everything, first, schema, name)


class _Raw(io.RawIOBase):
    """What boto3 gives as a body, as a stream that can be buffered."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _lines(reader: Any) -> Iterator[str]:
    """Yield lines, ended by a newline alone: other characters that Python takes for the end of a line are content."""
    rest = ""
    while chunk := reader.read(1 << 16):
        rest += chunk
        *whole, rest = rest.split("\n")
        for line in whole:
            yield line + "\n"
    if rest:
        yield rest


def _json_rows(lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if _is_spoilt(line):
            yield _bad(number, "not UTF-8 text", line)
            continue
        try:
            value = json.loads(line, object_pairs_hook=_once)
        except (ValueError, RecursionError) as err:
            yield _bad(number, f"not JSON: {err}", line)
            continue
        if isinstance(value, dict):
            yield Row(number, value)
        else:
            yield _bad(number, "not an object of columns and values", line)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object whose names are there once: of two values, nobody knows which one is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _csv_rows(lines: Iterator[str], first: str, schema: Any, name: str) -> Iterator[Row]:
    separator = max(SEPARATORS, key=re.sub(r'"[^"]*"', "", first).count)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    header: list[str] | None = None
    line = 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as err:
            # The reader starts anew with the next line; what an open quote has swallowed is part of this row.
            yield _bad(line, f"not CSV: {err}; check the quotes", "")
            line = reader.line_num + 1
            continue
        number, line = line, reader.line_num + 1
        if not fields:
            continue
        if header is None:
            found, is_header = _header(fields, schema, name)
            if is_header:
                header = found
                continue
            _check_first_record(dict(zip(found, fields)) if len(fields) == len(found) else {}, fields, schema, name)
            if len(fields) != len(found):  # a title, or a row that is cut off: the next one may be the header
                yield _bad(number, f"{len(fields)} fields instead of {len(found)}", separator.join(fields))
                continue
            header = found
        if len(fields) != len(header):
            yield _bad(number, f"{len(fields)} fields instead of {len(header)}", separator.join(fields))
        elif any(map(_is_spoilt, fields)):
            yield _bad(number, "not UTF-8 text", separator.join(fields))
        else:
            yield Row(number, dict(zip(header, fields)))


def _check_first_record(values: dict[str, str], fields: list[str], schema: Any, name: str) -> None:
    """Refuse a file whose first line is a header in other words: by position, its columns may be mixed up.

    Raises:
        RunError: A text stands where the data set has another kind, or the names differ in spelling only.
    """
    reason = ""
    plain = {_plain(column.name) for column in schema.columns}
    if 2 * sum(_plain(cell) in plain for cell in fields) >= len(fields):
        reason = "its columns are spelt in another way"
    for column in schema.columns:
        for text in fit(column, [values.get(column.name)]).bad.values() if not reason else ():
            reason = f"{text!r} is not a {column.kind}, which column {column.name!r} holds"
    if reason:
        names = ", ".join(column.name for column in schema.columns if column.role != "label")
        raise RunError(
            f"{name}: its first line is neither a header nor a record ({reason}), so nobody knows which column is "
            f"which, and nothing is predicted. Write the header as the data set has it: {names}."
        )


def _plain(text: str) -> str:
    """Return a name without case, blanks and punctuation."""
    return re.sub(r"[\W_]+", "", text).casefold() or text


def _header(fields: list[str], schema: Any, name: str) -> tuple[list[str], bool]:
    """Return the columns of a CSV file, and whether its first row names them.

    Raises:
        RunError: It names one twice.
    """
    cells = [cell.strip() for cell in fields]
    names = [column.name for column in schema.columns]
    if 2 * sum(cell in names for cell in cells) >= len(cells):
        if twice := next((cell for cell in cells if cell in names and cells.count(cell) > 1), None):
            raise RunError(f"{name}: its header has the column {twice!r} twice, and only one of them can count.")
        return cells, True
    layouts = (
        names,
        [column.name for column in schema.columns if column.role != "label"],
        [column.name for column in schema.columns if column.role == "feature"],
    )
    # A first row that fits no layout may be the one bad row: what the data set has is expected then.
    return next((layout for layout in layouts if len(layout) == len(cells)), layouts[1]), False


def _parquet_rows(stream: Any) -> Iterator[Row]:
    with tempfile.NamedTemporaryFile(suffix=".parquet") as copy:
        while data := stream.read(1 << 20):
            copy.write(data)
        copy.flush()
        number = 0
        try:
            for chunk in module("tabular.files").read_chunks(Path(copy.name), "file"):
                for values in zip(*chunk.columns.values()):
                    number += 1
                    yield Row(number, dict(zip(chunk.columns, values)))
        except module("tabular.errors").DataError as err:
            yield _bad(number + 1, str(err), "")


def _is_spoilt(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text) if not text.isascii() else False


def _bad(line: int, reason: str, raw: str) -> Row:
    shown = raw.rstrip("\r\n").encode("utf-8", "backslashreplace").decode()
    return Row(line, None, reason, shown[:MOST_RAW_CHARACTERS])
