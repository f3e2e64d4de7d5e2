"""The records of a split as the jobs see them: typed, divided (`tabular.division`), stored as Parquet, loaded."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tabular.config import Config, Splits
from tabular.division import divide, hash_records
from tabular.errors import DataError
from tabular.files import Chunk
from tabular.schema import Schema
from tabular.values import BadValueError

_ARROW_TYPES = {"category": pa.string(), "boolean": pa.bool_(), "date": pa.timestamp("us")}


def typed_records(chunk: Chunk, schema: Schema) -> pd.DataFrame:
    """Return the rows of a chunk with every column in its kind, columns in the order of the schema.

    Raises:
        DataError: A value does not fit the schema, so the data has changed since validation.
    """
    converted = {}
    for column in schema.columns:
        try:
            converted[column.name] = column.convert(chunk.columns[column.name])
        except BadValueError as err:
            raise DataError(
                f"{chunk.place(err.position, column.name)}: {err.text!r} is no {column.kind}, "
                f"which the column was at validation. The data changed in between: start the pipeline again."
            ) from err
    return pd.DataFrame(converted)


def assign(records: pd.DataFrame, schema: Schema, shares: Splits, seed: int) -> npt.NDArray[np.object_]:
    """Return the split of every record, see `tabular.division.divide`."""
    return divide(arrow_columns(records), schema, shares, seed)


def arrow_columns(records: pd.DataFrame) -> dict[str, pa.Array]:
    """Return typed records as Arrow columns."""
    return {name: pa.array(records[name], from_pandas=True) for name in records.columns}


def labelled(records: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the records that have a label."""
    return records[records[schema.label].notna()]


def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the column types of the Parquet files of a split."""
    whole_or_not = {True: pa.int64(), False: pa.float64()}
    return pa.schema(
        [(column.name, _ARROW_TYPES.get(column.kind, whole_or_not[column.whole])) for column in schema.columns]
    )


def load_split(folder: Path, schema: Schema, config: Config) -> pd.DataFrame:
    """Return all records of a split in an order that depends on their content only.

    Raises:
        DataError: The split has no record.
    """
    paths = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
    tables = [pq.read_table(path, schema=arrow_schema(schema)) for path in paths]
    if not tables or not sum(table.num_rows for table in tables):
        raise DataError(
            f"The {folder.name} split has no record. The data has too few records, or too few different values of the "
            f"record key ({', '.join(config.record_key) or 'none'}), for splits of {config.splits.train:g}, "
            f"{config.splits.validation:g} and {config.splits.test:g}."
        )
    exact = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    records = pa.concat_tables(tables).to_pandas(types_mapper=exact.get)
    order = np.argsort(hash_records(arrow_columns(records)), kind="stable")
    return records.iloc[order].reset_index(drop=True)
