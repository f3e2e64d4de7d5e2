"""Reading data files of any supported form in bounded memory: CSV, gzipped CSV and Parquet.

Files are recognised by their content, so the extensionless files that Athena and Spark write work too.
"""

import csv
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from tabular.errors import DataError
from tabular.values import NUMBER, text_of

ROWS_PER_CHUNK = 50_000
SEPARATORS = ",;\t|"
TABLE_SUFFIXES = frozenset({"", ".csv", ".tsv", ".txt", ".gz", ".parquet", ".pq", ".snappy"})
MARKER_FILES = re.compile(r"^[._]|\.(metadata|crc|manifest)$")  # _SUCCESS, .part.crc, Athena's query.csv.metadata ...


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows of one file, column by column.

    Attributes:
        file: Name of the file relative to the data folder.
        columns: Texts of every column (`tabular.values.text_of`), None where missing.
        rows: Where each row stands: the line of a CSV file, the number of the record in a Parquet file, both from 1.
        row_word: ``line`` or ``record``.
    """

    file: str
    columns: dict[str, list[str | None]]
    rows: list[int]
    row_word: str

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, position: int, column: str) -> str:
        """Name file, row and column of one value, e.g. ``claims.csv, line 17, column 'age'``."""
        return f"{self.file}, {self.row_word} {self.rows[position]}, column {column!r}"


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
                f"Only CSV, gzipped CSV and Parquet files may lie below the data location."
            )
        found.append(path)
    return found


def read_header(path: Path, name: str) -> list[str]:
    """Return the column names of a file.

    Raises:
        DataError: The file cannot be read, or its header is missing, incomplete or has duplicates.
    """
    if _is_parquet(path):
        header = [str(column) for column in _open_parquet(path, name).schema_arrow.names]
    else:
        with _open_text(path) as stream:
            header = _csv_header(stream, name)[0]
    _check_header(header, name)
    return header


def read_chunks(path: Path, name: str, rows_per_chunk: int = ROWS_PER_CHUNK) -> Iterator[Chunk]:
    """Yield the rows of a file, some at a time.

    Args:
        path: The file.
        name: How messages call it.
        rows_per_chunk: Most rows in memory at once.

    Raises:
        DataError: The file cannot be read; the message names the line where possible.
    """
    chunks = _parquet_chunks if _is_parquet(path) else _csv_chunks
    yield from chunks(path, name, rows_per_chunk)


def _csv_chunks(path: Path, name: str, rows_per_chunk: int) -> Iterator[Chunk]:
    """Yield the rows of a CSV file; every row must have as many fields as the header."""
    with _open_text(path) as stream:
        header, separator = _csv_header(stream, name)
        _check_header(header, name)
        reader = csv.reader(stream, delimiter=separator, strict=True)
        lines: list[int] = []
        records: list[list[str]] = []
        try:
            next(reader)
            line = reader.line_num + 1
            for record in reader:
                if len(record) == len(header):
                    records.append(record)
                    lines.append(line)
                elif record:  # an empty line is no record
                    advice = (
                        f"A field that contains {separator!r} must stand in double quotes."
                        if len(record) > len(header)
                        else f"Is the line cut off? Empty fields need their {separator!r}, too."
                    )
                    raise DataError(
                        f"{name}, line {line}: {len(record)} fields, but the header has {len(header)}. {advice}"
                    )
                elif len(header) == 1:
                    records.append([""])
                    lines.append(line)
                line = reader.line_num + 1
                if len(records) == rows_per_chunk:
                    yield _csv_chunk(name, header, records, lines)
                    records, lines = [], []
        except csv.Error as err:
            raise DataError(f"{name}, line {line}: not valid CSV ({err}). Check the quotes of this line.") from err
        except UnicodeDecodeError as err:
            raise _not_utf8(name, err) from err
        except (EOFError, gzip.BadGzipFile, OSError) as err:
            raise DataError(f"{name}: the gzip file is damaged after line {line} ({err}). Upload it again.") from err
        if records:
            yield _csv_chunk(name, header, records, lines)


def _csv_chunk(name: str, header: list[str], records: list[list[str]], lines: list[int]) -> Chunk:
    """Turn records into columns."""
    columns = {column: [text_of(record[position]) for record in records] for position, column in enumerate(header)}
    return Chunk(name, columns, lines, "line")


def _csv_header(stream: TextIO, name: str) -> tuple[list[str], str]:
    """Return the column names and the separator of a CSV file, and go back to its start."""
    try:
        first = stream.readline()
        separator = max(SEPARATORS, key=re.sub(r'"[^"]*"', "", first).count)
        stream.seek(0)
        header = next(csv.reader(stream, delimiter=separator, strict=True), [])
        stream.seek(0)
    except UnicodeDecodeError as err:
        raise _not_utf8(name, err) from err
    except (csv.Error, EOFError, OSError) as err:
        raise DataError(f"{name}: the header cannot be read ({err}). The first line must name the columns.") from err
    return [column.strip() for column in header], separator


def _check_header(header: list[str], name: str) -> None:
    """Refuse a header that does not name every column once."""
    advice = "The first line must name every column, each with a name of its own."
    if not header or not any(header):
        raise DataError(f"{name}: no header. {advice}")
    if numbers := [cell for cell in header if NUMBER.fullmatch(cell)]:
        raise DataError(
            f"{name}: the first line looks like data, not like a header (it holds {numbers[0]!r}). {advice}"
        )
    for position, cell in enumerate(header, start=1):
        if not cell:
            raise DataError(f"{name}: column {position} has no name. {advice}")
    duplicates = sorted({cell for cell in header if header.count(cell) > 1})
    if duplicates:
        raise DataError(f"{name}: column {duplicates[0]!r} occurs {header.count(duplicates[0])} times. {advice}")


def _parquet_chunks(path: Path, name: str, rows_per_chunk: int) -> Iterator[Chunk]:
    """Yield the rows of a Parquet file."""
    file = _open_parquet(path, name)
    for field in file.schema_arrow:
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
            raise DataError(
                f"{name}, column {field.name!r}: values of type {field.type} are not tabular. "
                f"Spread them over plain columns, or leave the column out."
            )
    first = 1
    try:
        for batch in file.iter_batches(batch_size=rows_per_chunk):
            columns = {
                column: [text_of(value) for value in _plain(batch.column(column))] for column in batch.schema.names
            }
            yield Chunk(name, columns, list(range(first, first + batch.num_rows)), "record")
            first += batch.num_rows
    except (pa.ArrowException, OSError) as err:
        raise DataError(f"{name}: damaged Parquet file after record {first - 1} ({err}). Upload it again.") from err


def _plain(values: pa.Array) -> list[Any]:
    """Return Arrow values as Python values; timestamps with microseconds, because finer ones need pandas."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", tz=values.type.tz), safe=False)
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    return list(values.to_pylist())


def _open_parquet(path: Path, name: str) -> pq.ParquetFile:
    """Open a Parquet file, or say that it is damaged."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as err:
        raise DataError(f"{name}: damaged Parquet file ({err}). Upload it again.") from err


def _open_text(path: Path) -> TextIO:
    """Open plain or gzipped text; a byte order mark, as Excel writes it, is skipped."""
    if _is_gzip(path):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _not_utf8(name: str, err: UnicodeDecodeError) -> DataError:
    """Describe text in another encoding."""
    return DataError(
        f"{name}: not UTF-8 text (byte {err.object[err.start]:#04x}). "
        f"Convert it, e.g. with: iconv -f latin1 -t utf-8 {Path(name).name} > converted.csv"
    )


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
