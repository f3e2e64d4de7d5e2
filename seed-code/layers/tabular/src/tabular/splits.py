"""The records of a split as the jobs see them: typed, stored as Parquet, loaded in an order of their own."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tabular.config import Config
from tabular.division import SPLITS, divide, hash_records
from tabular.errors import DataError
from tabular.files import Chunk
from tabular.schema import Column, Schema
from tabular.values import BOOL, FLOAT, INT, MOMENT, TEXT, BadValueError, maybe_missing

ROWS_PER_GROUP = 131_072

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
                f"{chunk.place(err.position, column.name)}: {err.text!r} is no {column.kind}, "
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


def divided(records: pa.RecordBatch, schema: Schema, config: Config) -> dict[str, pa.RecordBatch]:
    """Return the records of each split."""
    where = divide(_columns(records), schema, config.splits, config.seed)
    return {split: records.filter(pa.array(where == split)) for split in SPLITS}


class SplitWriter:
    """Writes the records of each split into one Parquet file.

    Args:
        folders: Folder of each split.
        part: Name of the files; a split without record gets none.
        schema: The data.
    """

    def __init__(self, folders: dict[str, Path], part: str, schema: Schema) -> None:
        self._folders, self._part, self._schema = folders, part, schema
        self._waiting: dict[str, list[pa.RecordBatch]] = {split: [] for split in SPLITS}
        self._writers: dict[str, pq.ParquetWriter] = {}
        self.rows = dict.fromkeys(SPLITS, 0)

    def add(self, splits: dict[str, pa.RecordBatch]) -> None:
        """Take some more records of every split."""
        for split, members in splits.items():
            self.rows[split] += members.num_rows
            self._waiting[split].append(members)
            if sum(batch.num_rows for batch in self._waiting[split]) >= ROWS_PER_GROUP:
                self._write(split)

    def close(self) -> None:
        """Write what is left and finish the files."""
        for split in SPLITS:
            self._write(split)
        for writer in self._writers.values():
            writer.close()

    def _write(self, split: str) -> None:
        table = pa.Table.from_batches(self._waiting[split], schema=arrow_schema(self._schema))
        self._waiting[split] = []
        if not table.num_rows:
            return
        if split not in self._writers:
            repeated = [column.name for column in self._schema.columns if column.distinct_is_exact]
            path = self._folders[split] / self._part
            self._writers[split] = pq.ParquetWriter(path, table.schema, use_dictionary=repeated)
        self._writers[split].write_table(table, row_group_size=ROWS_PER_GROUP)


def load_split(folder: Path, schema: Schema, config: Config) -> pa.RecordBatch:
    """Return all records of a split in an order that depends on their content only.

    Raises:
        DataError: The split has no record.
    """
    paths = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
    repeated = [column.name for column in schema.columns if column.kind == "category" and column.distinct_is_exact]
    tables = [pq.read_table(path, schema=arrow_schema(schema), read_dictionary=repeated) for path in paths]
    if not sum(table.num_rows for table in tables):
        raise DataError(
            f"The {folder.name} split has no record. The data has too few records, or too few different values of the "
            f"record key ({', '.join(config.record_key) or 'none'}), for splits of {config.splits.train:g}, "
            f"{config.splits.validation:g} and {config.splits.test:g}."
        )
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    (records,) = table.to_batches()
    return records.take(pa.array(np.argsort(hash_records(_columns(records)), kind="stable")))


def _columns(records: pa.RecordBatch) -> dict[str, pa.Array]:
    return dict(zip(records.schema.names, records.columns, strict=True))
