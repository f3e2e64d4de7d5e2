"""The records of a split as the jobs see them: typed, stored as Parquet, read in an order of their own.

Prepare divides each split into buckets by a hash of the whole record and sorts every bucket by that hash. Read one
after the other, they have all records in an order that depends on their content only: not on the layout and the order
of files, nor on the number of instances. No job ever holds more than a few buckets.
"""

import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tabular.config import Config
from tabular.division import DOCUMENT, SPLITS, divide, hash_records, position
from tabular.errors import DataError
from tabular.files import SPLIT_FOLDER, Chunk
from tabular.hashing import Words
from tabular.jobs import CORES, mapped
from tabular.schema import Column, Schema
from tabular.values import BOOL, FLOAT, INT, MOMENT, TEXT, BadValueError, maybe_missing

VALUES_PER_BUCKET = 2_000_000
"""Rows times columns; about 20 MB in memory."""

MOST_BUCKETS = 256  # as many files are open at once

RECORDS_LOOKED_AT = 1_000
"""Of records that the engine has divided, so many of each batch are divided here as well, and must be alike."""

ORDER_SEED = 2**64 - 1  # not one that divides: records of one split have only some of the hashes of that seed
ORDER = "\x1forder"  # column of the hash while records are not yet sorted

_ARROW_TYPES = {"category": TEXT, "boolean": BOOL, "date": MOMENT}


def typed_records(chunk: Chunk, schema: Schema) -> pa.RecordBatch:
    """Return the rows of a chunk with every column in its kind, columns in the order of the schema.

    Raises:
        DataError: A value does not fit the schema, so the data has changed since validation.
    """

    def convert(column: Column) -> pa.Array:
        try:
            return column.convert(chunk.arrays[column.name])
        except BadValueError as err:
            raise DataError(
                f"{chunk.place(err.position, column.name)}: {err.text!r} is not a {column.kind}, "
                f"which the column was at validation. The data changed in between: start the pipeline again."
            ) from err

    return pa.RecordBatch.from_arrays([convert(column) for column in schema.columns], schema=arrow_schema(schema))


def labelled(records: pa.RecordBatch, schema: Schema) -> pa.RecordBatch:
    """Return the records that have a label; a word for nothing is one only where it is among the classes."""
    label = records.column(schema.label)
    has_one = pc.is_valid(label)
    if pa.types.is_string(label.type):
        nothing = pc.and_(maybe_missing(label), pc.invert(pc.is_in(label, value_set=pa.array(schema.classes, TEXT))))
        has_one = pc.and_(has_one, pc.invert(nothing))
    return records if pc.all(has_one).as_py() else records.filter(has_one)


def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the column types of the Parquet files of a split."""
    return pa.schema(
        [(column.name, _ARROW_TYPES.get(column.kind, INT if column.whole else FLOAT)) for column in schema.columns]
    )


def bucket_counts(schema: Schema, config: Config) -> dict[str, int]:
    """Return into how many buckets the records of each split are divided; it follows from what Validate counted."""
    values = schema.rows * len(schema.columns)
    shares = (config.splits.train, config.splits.validation, config.splits.test)
    counts = (math.ceil(share * values / VALUES_PER_BUCKET) for share in shares)
    return {split: min(max(count, 1), MOST_BUCKETS) for split, count in zip(SPLITS, counts, strict=True)}


def divided(
    records: pa.RecordBatch, schema: Schema, config: Config, *, given: str | None = None
) -> dict[str, list[pa.RecordBatch]]:
    """Return the records of every bucket of each split, with their hash as the last column, `ORDER`.

    Args:
        records: Records with a label.
        schema: The data.
        config: Shares and seed of the division.
        given: Split that the engine found for all of them. Default: none, so they are divided here.

    Raises:
        DataError: The engine divided otherwise than `tabular.division` does.
    """
    looked_at = records if given is None else records.slice(0, RECORDS_LOOKED_AT)
    where = divide(_columns(looked_at), schema, config.splits, config.seed)
    if given is not None:
        if (where != given).any():
            raise DataError(
                f"The files in {SPLIT_FOLDER}={given} hold records that belong to the {where[where != given][0]} split "
                f"by {DOCUMENT}: the engine that wrote them divided otherwise. Start the pipeline again with another "
                f"DataVersion, so that they are written anew."
            )
        where = np.full(records.num_rows, given)
    records = _compact(records, schema)
    order = order_of(records)
    records = records.append_column(ORDER, pa.array(order))
    # Small numbers are sorted in one go; within a bucket, the writer sorts.
    place = np.empty(len(where), np.uint16)
    counts, first = bucket_counts(schema, config), 0
    for split, count in counts.items():
        members = np.flatnonzero(where == split)
        place[members] = first + np.minimum(position(order[members]) * count, count - 1).astype(np.uint16)
        first += count
    records = records.take(pa.array(np.argsort(place, kind="stable")))
    ends = np.cumsum([0, *np.bincount(place, minlength=first)]).tolist()
    slices = iter([records.slice(start, end - start) for start, end in itertools.pairwise(ends)])
    return {split: list(itertools.islice(slices, count)) for split, count in counts.items()}


def order_of(records: pa.RecordBatch) -> Words:
    """Return the hashes by which records are ordered."""
    return hash_records(_columns(records), ORDER_SEED)


class SplitWriter:
    """Writes the records of each split into one sorted Parquet file per bucket: collects first, then sorts.

    Args:
        folders: Folder of each split.
        host: Name of this instance, part of the names of the files; a bucket without record gets none.
        schema: The data.
        scratch: Empty folder for what is not yet sorted.
    """

    def __init__(self, folders: dict[str, Path], host: str, schema: Schema, scratch: Path) -> None:
        self._folders, self._host, self._schema, self._scratch = folders, host, schema, scratch
        self._open: dict[Path, pa.RecordBatchStreamWriter] = {}
        self.rows = dict.fromkeys(SPLITS, 0)

    def add(self, splits: dict[str, list[pa.RecordBatch]]) -> None:
        """Take some more records of every bucket."""
        for split, buckets in splits.items():
            for number, batch in enumerate(buckets):
                if batch.num_rows:
                    path = self._scratch / f"{split}-{number}"
                    if path not in self._open:
                        self._open[path] = pa.ipc.new_stream(path, batch.schema)
                    self._open[path].write_batch(batch)
                    self.rows[split] += batch.num_rows

    def close(self) -> None:
        """Sort every bucket and write its file."""
        for writer in self._open.values():
            writer.close()
        with ThreadPoolExecutor(CORES) as pool:
            for _ in pool.map(self._sort, self._open):
                pass

    def _sort(self, path: Path) -> None:
        with pa.OSFile(str(path)) as stream:
            records = whole(pa.ipc.open_stream(stream).read_all())
        path.unlink()
        order = np.argsort(records.column(ORDER).to_numpy(), kind="stable")
        records = records.drop_columns([ORDER]).take(pa.array(order))
        split, _, number = path.name.partition("-")
        target = self._folders[split] / f"bucket-{int(number):05d}-{self._host}.parquet"
        repeated = [column.name for column in self._schema.columns if column.distinct_is_exact]
        # Categories are dictionaries here only, so Arrow's own schema stays out.
        with pq.ParquetWriter(
            target, records.schema, use_dictionary=repeated, store_schema=False, write_statistics=False
        ) as writer:
            writer.write_batch(records)


class Split:
    """The records of a split, bucket after bucket, in an order that depends on their content only.

    Args:
        folder: Files that `SplitWriter` wrote, on one or several instances.
        schema: The data.
        config: Its record key and shares are named when the split is empty.

    Raises:
        DataError: The split has no record.
    """

    def __init__(self, folder: Path, schema: Schema, config: Config) -> None:
        self._schema = schema
        self._buckets: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob("bucket-*.parquet")) if folder.is_dir() else []:
            self._buckets.setdefault(path.name.split("-")[1], []).append(path)
        self.rows = sum(pq.read_metadata(path).num_rows for paths in self._buckets.values() for path in paths)
        if not self.rows:
            raise DataError(
                f"The {folder.name} split has no record. The data has too few records, or too few different values of "
                f"the record key ({', '.join(config.record_key) or 'none'}), for splits of {config.splits.train:g}, "
                f"{config.splits.validation:g} and {config.splits.test:g}."
            )

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Read the buckets, some ahead."""
        return mapped(self._read, iter(self._buckets.values()))

    def __len__(self) -> int:
        return self.rows

    def _read(self, paths: list[Path]) -> pa.RecordBatch:
        repeated = _repeated(self._schema)
        tables = [pq.ParquetFile(path, read_dictionary=repeated).read() for path in paths]
        records = whole(pa.concat_tables(tables))
        if len(paths) == 1:
            return records
        return records.take(pa.array(np.argsort(order_of(records), kind="stable")))


def _compact(records: pa.RecordBatch, schema: Schema) -> pa.RecordBatch:
    """Return records whose categories are dictionaries where they repeat: each text is hashed and written once."""
    repeated = set(_repeated(schema))
    columns = [
        column.dictionary_encode() if name in repeated else column
        for name, column in zip(records.schema.names, records.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, records.schema.names)


def _repeated(schema: Schema) -> list[str]:
    return [column.name for column in schema.columns if column.kind == "category" and column.distinct_is_exact]


def whole(table: pa.Table) -> pa.RecordBatch:
    """Return the records of a table, of which there are some, as one batch."""
    (records,) = table.unify_dictionaries().combine_chunks().to_batches()
    return records


def _columns(records: pa.RecordBatch) -> dict[str, pa.Array]:
    return dict(zip(records.schema.names, records.columns, strict=True))
