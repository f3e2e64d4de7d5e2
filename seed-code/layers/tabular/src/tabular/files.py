"""Reading data files of any supported form in bounded memory: CSV, gzipped CSV and Parquet.

Files are recognised by their content, so the extensionless files that Athena and Spark write work too. Columns are read
by Arrow. What Arrow cannot read, or might read otherwise than it was written, goes through Python's own CSV reader,
which knows the line of every record and what is wrong with it.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from tabular.errors import DataError
from tabular.jobs import mapped
from tabular.values import NEVER_A_VALUE, TEXT, canonical, clean

ROWS_PER_CHUNK = 50_000
VALUES_PER_CHUNK = 4_000_000
BLOCK_BYTES = 4 << 20
MOST_BLOCK_BYTES = 32 << 20
# Files with more fields get larger blocks: a column of a few hundred values takes as long as one of thousands.
FIELDS_PER_BLOCK = 64
MOST_FIELD_BYTES = 64 << 20  # a quote that is still open after so much was never meant as one
SEPARATORS = ",;\t|"
TABLE_SUFFIXES = frozenset({"", ".csv", ".tsv", ".txt", ".gz", ".parquet", ".pq", ".snappy"})
MARKER_FILES = re.compile(r"^[._]|\.(metadata|crc|manifest)$")  # _SUCCESS, .part.crc, Athena's query.csv.metadata ...
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
SPLIT_FOLDER = "ml_split"
"""Key of folders into which the engine that wrote the files has divided them already: ``ml_split=test/part-0``."""
GZIP_ERRORS = (EOFError, OSError, zlib.error)

csv.field_size_limit(MOST_FIELD_BYTES)


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows of one file, column by column.

    Attributes:
        file: Name of the file relative to the data folder.
        arrays: Raw columns (`tabular.values.clean`), all of the same length.
        rows: Rows of the chunk.
        row_word: ``line`` or ``record``.
        row_at: Returns the line of a row, or the number of its record, both from 1, for its position.
        separator: Between the fields of a CSV file; empty for Parquet.
    """

    file: str
    arrays: dict[str, pa.Array]
    rows: int
    row_word: str
    row_at: Callable[[int], int] = field(repr=False)
    separator: str = ""

    def __len__(self) -> int:
        return self.rows

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The values of all columns as JSON has them, which is what batch jobs of projects made before read."""
        return {
            name: canonical(column) if pa.types.is_timestamp(column.type) else column.to_pylist()
            for name, column in self.arrays.items()
        }

    def place(self, position: int, column: str) -> str:
        """Name file, row and column of one value, e.g. ``claims.csv, line 17, column 'age'``."""
        return f"{self.file}, {self.row_word} {self.row_at(position)}, column {column!r}"


class _CsvError(Exception):
    """A record is not valid CSV.

    Attributes:
        line: Where it begins.
        reason: What Python's reader says.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.line, self.reason = line, reason


@dataclass(frozen=True)
class _Block:
    """Whole lines of a CSV file.

    Attributes:
        text: The lines.
        first: Number of the first one.
        separator: Between fields.
        fields: Fields of a record.
    """

    text: bytes
    first: int
    separator: str
    fields: int

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield every record with its line; empty lines do not count unless there is one column only.

        Raises:
            _CsvError: A record is not valid CSV.
            UnicodeDecodeError: The text is not UTF-8.
        """
        stream = io.TextIOWrapper(io.BytesIO(self.text), encoding="utf-8", newline="")
        reader = csv.reader(stream, delimiter=self.separator, strict=True)
        line = self.first
        try:
            for record in reader:
                if record or self.fields == 1:
                    yield line, record or [""]
                line = self.first + reader.line_num
        except csv.Error as err:
            raise _CsvError(line, str(err)) from err

    def line_of(self, position: int) -> int:
        """Return the line of a record, counted from 0."""
        return next(line for number, (line, _) in enumerate(self.records()) if number == position)


def data_files(folder: Path) -> list[Path]:
    """Return the data files below a folder in a stable order; marker files, hidden and empty files are left out.

    Raises:
        DataError: There is a file that is neither CSV nor Parquet.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_file() or any(MARKER_FILES.search(part) for part in relative.parts) or not path.stat().st_size:
            continue
        if path.suffix.lower() not in TABLE_SUFFIXES and not _is_parquet(path) and not _is_gzip(path):
            raise DataError(
                f"{relative}: files of type {path.suffix!r} cannot be read. "
                f"Only CSV, gzipped CSV and Parquet files are allowed below the data location."
            )
        found.append(path)
    return found


def read_header(path: Path, name: str, *, known: Sequence[str] = ()) -> list[str]:
    """Return the column names of a file, and after them those that only the names of its folders tell.

    Args:
        path: The file.
        name: How messages call it.
        known: Columns that the configuration names: a first line with one of them is a header even if it holds numbers.

    Raises:
        DataError: The file cannot be read, or its header is missing, incomplete or has duplicates.
    """
    if _is_parquet(path):
        header = [str(column) for column in _open_parquet(path, name).schema_arrow.names]
        looks_like_data = False
    else:
        with _open_binary(path) as stream:
            header = _csv_header(stream, name)[0]
        looks_like_data = not set(known).intersection(header)
    _check_header(header, name, looks_like_data=looks_like_data)
    return [*header, *(column for column in partition(name) if column not in header)]


def partition(name: str) -> dict[str, str | None]:
    """Return the columns and values in the names of a file's folders, as in ``year=2024/region=south/part-0.csv``.

    Hive, Spark and Athena write a column like this instead of into the file, with special characters as in a URL.
    Whole numbers are read as Spark and Arrow read them: ``month=01`` is 1.
    """
    return {
        key: None if value == HIVE_NULL else _of_folder(unquote(value))
        for key, value in _pairs(name)
        if key and key != SPLIT_FOLDER
    }


def split_of(name: str) -> str | None:
    """Return the split that the engine found for the records of a file; None where it found none."""
    return next((value for key, value in _pairs(name) if key == SPLIT_FOLDER and value != HIVE_NULL), None)


def _pairs(name: str) -> list[tuple[str, str]]:
    """Return the keys, and the values as they are in a URL, in the names of a file's folders."""
    found = (part.split("=", 1) for part in name.split("/")[:-1] if "=" in part)
    return [(unquote(key), value) for key, value in found]


def _of_folder(value: str) -> str:
    """Return a value in the name of a folder without zeros in front of a whole number."""
    return value.lstrip("0") or "0" if value.isascii() and value.isdecimal() else value


def untabular_columns(path: Path, name: str) -> dict[str, str]:
    """Return the columns of a Parquet file that hold lists, objects or bytes, with their types; chunks leave them out.

    Raises:
        DataError: The file cannot be read.
    """
    if not _is_parquet(path):
        return {}
    return {entry.name: str(entry.type) for entry in _open_parquet(path, name).schema_arrow if _is_untabular(entry)}


def read_chunks(path: Path, name: str, rows_per_chunk: int = ROWS_PER_CHUNK) -> Iterator[Chunk]:
    """Yield the rows of a file, some at a time; a few chunks are read ahead.

    Args:
        path: The file.
        name: How messages call it.
        rows_per_chunk: Most rows of a chunk of a Parquet file; a CSV file is read by blocks of bytes.

    Raises:
        DataError: The file cannot be read; the message names the line where possible.
    """
    chunks = _parquet_chunks(path, name, rows_per_chunk) if _is_parquet(path) else _csv_chunks(path, name)
    folders = partition(name)
    for chunk in chunks:
        for column, value in folders.items():
            if column not in chunk.arrays:
                chunk.arrays[column] = clean(pa.repeat(pa.scalar(value, TEXT), len(chunk)))
        yield chunk


# ---- CSV ------------------------------------------------------------------------------------------------------------


def _csv_chunks(path: Path, name: str) -> Iterator[Chunk]:
    """Yield the rows of a CSV file; every row must have as many fields as the header."""
    with _open_binary(path) as stream:
        header, separator, data = _csv_header(stream, name)
        blocks = _blocks(stream, data, separator, len(header), name)
        for chunks in mapped(lambda block: _block_chunks(block, header, name), blocks):
            yield from chunks


def _blocks(stream: BinaryIO, data: bytes, separator: str, fields: int, name: str) -> Iterator[_Block]:
    """Cut a file into blocks of whole records; the first one starts with the header, which is left out."""
    line, is_first = 1, True
    size = min(BLOCK_BYTES * max(1, fields // FIELDS_PER_BLOCK), MOST_BLOCK_BYTES)
    end = b"\n" if b"\n" in data or b"\r" not in data else b"\r"
    while data:
        try:
            more = stream.read(size)
        except GZIP_ERRORS as err:
            raise _damaged_gzip(name, line, err) from err
        cut = _end_of_records(data, end) if more else len(data)
        if cut or not more or len(data) > MOST_FIELD_BYTES:
            cut = cut or len(data)
            block = _Block(data[:cut], line, separator, fields)
            if is_first:
                block, is_first = _without_header(block), False
            if block.text:
                yield block
            line += data.count(end, 0, cut)
            data = data[cut:]
        data += more


def _end_of_records(data: bytes, end: bytes) -> int:
    """Return where the last whole record of some data ends; 0 where no record is whole."""
    cut = data.rfind(end) + 1
    if b'"' in data:
        # An odd number of quotes before a line end means that it is within a field.
        while cut and data.count(b'"', 0, cut) % 2:
            cut = data.rfind(end, 0, cut - 1) + 1
    return cut


def _without_header(block: _Block) -> _Block:
    """Return a block without its first record."""
    stream = io.TextIOWrapper(io.BytesIO(block.text), encoding="utf-8", errors="surrogateescape", newline="")
    lines: list[str] = []

    def read() -> Iterator[str]:
        for text in stream:
            lines.append(text)
            yield text

    next(csv.reader(read(), delimiter=block.separator, strict=True), None)
    length = len("".join(lines).encode("utf-8", "surrogateescape"))
    return _Block(block.text[length:], block.first + len(lines), block.separator, block.fields)


def _block_chunks(block: _Block, header: list[str], name: str) -> list[Chunk]:
    """Return the rows of a block, read by Arrow where Arrow and Python read the same."""
    if len(header) > 1 and _is_plain(block):
        try:
            columns = _arrow_columns(block, header)
        except pa.ArrowException:
            pass  # Python's reader says in which line, and what to do about it
        else:
            return [Chunk(name, columns, len(columns[header[0]]), "line", block.line_of, block.separator)]
    return _python_chunks(block, header, name)


def _is_plain(block: _Block) -> bool:
    """Tell whether every quote of a block opens or closes a whole field, or is doubled within one.

    Arrow takes anything else for granted, where Python's reader asks.
    """
    if b'"' not in block.text:
        return True
    text = np.frombuffer(block.text, np.uint8)
    quotes = np.flatnonzero(text == ord('"'))
    if len(quotes) % 2:
        return False
    around = np.frombuffer(b'\n\r"' + block.separator.encode(), np.uint8)
    opening, closing = quotes[::2], quotes[1::2]
    before = text[np.maximum(opening - 1, 0)]
    after = text[np.minimum(closing + 1, len(text) - 1)]
    return bool(
        (np.isin(before, around) | (opening == 0)).all() and (np.isin(after, around) | (closing == len(text) - 1)).all()
    )


def _arrow_columns(block: _Block, header: list[str]) -> dict[str, pa.Array]:
    """Return the columns of a block."""
    table = pc_csv.read_csv(
        pa.BufferReader(block.text),
        read_options=pc_csv.ReadOptions(
            column_names=[str(number) for number in range(len(header))],
            block_size=len(block.text) + 1,
            use_threads=False,
        ),
        parse_options=pc_csv.ParseOptions(delimiter=block.separator, newlines_in_values=b'"' in block.text),
        convert_options=pc_csv.ConvertOptions(
            column_types={str(number): TEXT for number in range(len(header))},
            null_values=sorted(NEVER_A_VALUE),
            strings_can_be_null=True,
        ),
    )
    columns = [_whole(table.column(position)) for position in range(len(header))]
    if _has_blanks_around(block):
        columns = [clean(column) for column in columns]
    return dict(zip(header, columns, strict=True))


def _has_blanks_around(block: _Block) -> bool:
    """Tell whether some field may begin or end with a blank; most files have none, and trimming takes long."""
    if not block.text.isascii():
        return True
    text = np.frombuffer(block.text, np.uint8)
    blanks = np.flatnonzero((text <= ord(" ")) & (text != ord("\n")) & (text != ord("\r")))
    if block.separator == "\t":
        blanks = blanks[text[blanks] != ord("\t")]
    around = np.frombuffer(b'\n\r"' + block.separator.encode(), np.uint8)
    before, after = text[np.maximum(blanks - 1, 0)], text[np.minimum(blanks + 1, len(text) - 1)]
    inside = ~np.isin(before, around) & ~np.isin(after, around)
    return not inside.all()


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _python_chunks(block: _Block, header: list[str], name: str) -> list[Chunk]:
    """Return the rows of a block as Python's reader understands them.

    Raises:
        DataError: Names the line that cannot be read.
    """
    lines: list[int] = []
    records: list[list[str]] = []
    try:
        for line, record in block.records():
            if len(record) != len(header):
                raise DataError(
                    f"{name}, line {line}: {len(record)} fields, but the header has {len(header)}. "
                    f"{_advice(record, header, block.separator)}"
                )
            records.append(record)
            lines.append(line)
    except _CsvError as err:
        raise DataError(
            f"{name}, line {err.line}: not valid CSV ({err.reason}). Check the quotes of this line."
        ) from err
    except UnicodeDecodeError as err:
        raise _not_utf8(name, block.text, block.first) from err
    columns = list(zip(*records, strict=True)) if records else [()] * len(header)
    arrays = {column: clean(pa.array(values, TEXT)) for column, values in zip(header, columns, strict=True)}
    return [Chunk(name, arrays, len(records), "line", lines.__getitem__, block.separator)] if records else []


def _advice(record: list[str], header: list[str], separator: str) -> str:
    """Say what may be wrong with a line that has another number of fields than the header."""
    if len(record) < len(header):
        return f"Is the line cut off? Empty fields need their {separator!r}, too."
    if len(record) == len(header) + 1 and not record[-1]:
        return f"Lines end with {separator!r}: remove it, or end the header with it and a name."
    quotes = f"A field that contains {separator!r} must be in double quotes."
    if len(record) == len(header) + 1:
        return f"{quotes} If every line has one more, name it: {_ROW_NAMES}."
    return quotes


_ROW_NAMES = "R and pandas leave out row names with row.names = FALSE and index=False"


def separator_of(text: str) -> str:
    """Return the separator of CSV: the most frequent one in the first line, outside of quotes."""
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    return max(SEPARATORS, key=re.sub(r'"[^"]*"', "", first).count)


def _csv_header(stream: BinaryIO, name: str) -> tuple[list[str], str, bytes]:
    """Return the column names and the separator of a CSV file, and what was read to find them."""
    try:
        data = stream.read(BLOCK_BYTES)
        text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="strict", newline="")
        first = text.readline()
        separator = separator_of(first)
        text.seek(0)
        header = next(csv.reader(text, delimiter=separator, strict=True), [])
    except UnicodeDecodeError as err:
        _refuse_foreign(data, name)
        raise _not_utf8(name, data, 1) from err
    except GZIP_ERRORS as err:
        raise _damaged_gzip(name, 0, err) from err
    except csv.Error as err:
        raise DataError(f"{name}: the header cannot be read ({err}). The first line must name the columns.") from err
    _refuse_foreign(data, name)
    return [column.strip() for column in header], separator, data


_FOREIGN = (
    (rb"PK\x03\x04", "a ZIP archive or an Excel workbook", "unpack it, or save the sheet as CSV"),
    (rb"\xd0\xcf\x11\xe0", "an Excel workbook", "save the sheet as CSV"),
    (
        rb"BZh\d1AY|\xfd7zXZ|\x28\xb5\x2f\xfd|\xff\x06\x00\x00sNaPpY",
        "packed with another program than gzip",
        "use gzip",
    ),
    (rb"\x1f\x8b", "packed with gzip twice", "unpack it once"),
    (rb"ORC[\x00-\x1f]|Obj\x01", "an ORC or Avro file", "write Parquet or CSV"),
    (rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff|\x00{3}.", "UTF-32 text", "iconv -f utf-32 -t utf-8"),
    (rb"[^\x00]\x00[^\x00]\x00", "UTF-16 text without byte order mark", "iconv -f utf-16le -t utf-8"),
    (rb"\x00[^\x00]\x00[^\x00]", "UTF-16 text without byte order mark", "iconv -f utf-16be -t utf-8"),
    (rb"\s*[\[{]\s*[\[{\"]", "JSON", "write its records as CSV or Parquet"),
    (rb"\s*<[!?a-zA-Z]", "a page of HTML or XML, such as an error", "look into it, and fetch the data again"),
    (rb"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself with git lfs pull"),
    (rb'"?sep=.', "a file whose first line tells Excel the separator", "remove that line"),
)


def _refuse_foreign(start: bytes, name: str) -> None:
    """Refuse by name what begins like another kind of file.

    Raises:
        DataError: Says what it is and what to do.
    """
    for pattern, what, advice in _FOREIGN:
        if re.match(pattern, start, re.DOTALL):
            raise DataError(f"{name} is {what}, which is not read: {advice}.")


def _check_header(header: list[str], name: str, *, looks_like_data: bool) -> None:
    """Refuse a header that does not name every column once."""
    advice = "The first line must name every column, each with a name of its own."
    if not header or not any(header):
        raise DataError(f"{name}: no header. {advice}")
    if looks_like_data and (numbers := [cell for cell in header if _NUMBER.fullmatch(cell)]):
        raise DataError(
            f"{name}: the first line looks like data, not like a header (it holds {numbers[0]!r}). {advice}"
        )
    for position, cell in enumerate(header, start=1):
        if not cell:
            why = {1: f" {_ROW_NAMES}.", len(header): " Do lines end with a separator? Remove it."}.get(position, "")
            raise DataError(f"{name}: column {position} has no name. {advice}{why}")
    duplicates = sorted({cell for cell in header if header.count(cell) > 1})
    if duplicates:
        raise DataError(f"{name}: column {duplicates[0]!r} occurs {header.count(duplicates[0])} times. {advice}")


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE | re.ASCII)


def _open_binary(path: Path) -> BinaryIO:
    """Open plain or gzipped text as UTF-8 without a byte order mark, which Excel writes."""
    buffered: Any = gzip.open(path, "rb") if _is_gzip(path) else path.open("rb")  # noqa: SIM115 (the caller closes it)
    try:
        start = buffered.peek(4)[:4]
    except GZIP_ERRORS:
        return buffered  # the first read says what is wrong
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) and start != b"\xff\xfe\x00\x00":
        return io.BufferedReader(_Utf8(buffered), BLOCK_BYTES)
    if start.startswith(b"\xef\xbb\xbf"):
        buffered.read(3)
    return buffered


class _Utf8(io.RawIOBase):
    """UTF-16 text, as Excel's "Unicode text" is, as UTF-8."""

    def __init__(self, stream: BinaryIO) -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-16", newline="")
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = self._text.read(len(buffer)).encode("utf-8", "surrogatepass")
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._text.close()
        super().close()


def _damaged_gzip(name: str, line: int, err: Exception) -> DataError:
    """Describe a gzip file that ends too early, or was changed."""
    return DataError(f"{name}: the gzip file is damaged after line {line} ({err}). Upload it again.")


def _not_utf8(name: str, data: bytes, first: int) -> DataError:
    """Describe text in another encoding: some lines, the first of which has a number."""
    before = data.decode("utf-8", "surrogateescape")
    at = next(position for position, character in enumerate(before) if "\udc80" <= character <= "\udcff")
    line = first + len(re.findall(r"\r\n|\r|\n", before[:at]))
    return DataError(
        f"{name}, line {line}: not UTF-8 text (byte {ord(before[at]) - 0xDC00:#04x}). "
        f"Convert it, e.g. with: iconv -f windows-1252 -t utf-8 {Path(name).name} > converted.csv"
    )


# ---- Parquet --------------------------------------------------------------------------------------------------------


def _parquet_chunks(path: Path, name: str, rows_per_chunk: int) -> Iterator[Chunk]:
    """Yield the rows of a Parquet file."""
    file = _open_parquet(path, name)
    plain = [entry.name for entry in file.schema_arrow if not _is_untabular(entry)]
    rows_per_chunk = min(rows_per_chunk, max(1_000, VALUES_PER_CHUNK // max(len(plain), 1)))
    first = 1
    try:
        for batch in file.iter_batches(batch_size=rows_per_chunk, columns=plain):
            columns = {column: clean(batch.column(column)) for column in batch.schema.names}
            yield Chunk(name, columns, batch.num_rows, "record", range(first, first + batch.num_rows).__getitem__)
            first += batch.num_rows
    except (pa.ArrowException, OSError) as err:
        raise DataError(f"{name}: damaged Parquet file after record {first - 1} ({err}). Upload it again.") from err


def _is_untabular(entry: pa.Field) -> bool:
    kind = entry.type
    return bool(
        pa.types.is_nested(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _open_parquet(path: Path, name: str) -> pq.ParquetFile:
    """Open a Parquet file, or say that it is damaged."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as err:
        raise DataError(f"{name}: damaged Parquet file ({err}). Upload it again.") from err


def _is_parquet(path: Path) -> bool:
    """Tell a Parquet file by its first bytes."""
    return _magic(path) == b"PAR1"


def _is_gzip(path: Path) -> bool:
    """Tell a gzip file by its first bytes."""
    return _magic(path)[:2] == b"\x1f\x8b"


def _magic(path: Path) -> bytes:
    """Return the first four bytes of a file."""
    with path.open("rb") as stream:
        return stream.read(4)
