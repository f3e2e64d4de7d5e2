"""Which split a record belongs to: decided by a hash of its content, so no shuffle and no shared state is needed.

The result does not depend on the number or the layout of files, on the order of rows or columns, or on the number of
instances. Equal records, and all records with the same record key, are in the same split, so that nothing the model was
trained on comes back in its test.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tabular.config import Config, Splits
from tabular.errors import DataError
from tabular.files import Chunk
from tabular.schema import KEY, Schema
from tabular.values import BadValueError, canonical

SPLITS = ("train", "validation", "test")

_SEPARATOR = "\x1f"
_MISSING = "\x00"
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


def identities(records: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Return one text per record that is equal where the records agree in these columns; their order is no matter."""
    ordered = [canonical(records[name]) for name in sorted(columns)]
    return [_SEPARATOR.join(_MISSING if text is None else text for text in row) for row in zip(*ordered, strict=True)]


def digests(texts: Sequence[str], seed: int) -> list[int]:
    """Return a number from 0 to 2**64 - 1 per text, evenly spread and the same on every machine."""
    salt = seed.to_bytes(16, "big")
    return [
        int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, salt=salt).digest(), "big")
        for text in texts
    ]


def assign(records: pd.DataFrame, schema: Schema, shares: Splits, seed: int) -> list[str]:
    """Return the split of every record.

    A record is recognised by its record key, or by all its values where the schema has none or its key is missing.
    """
    everything = [column.name for column in schema.columns]
    key = [column.name for column in schema.columns if column.role == KEY]
    texts = identities(records, everything)
    if key:
        nothing = _SEPARATOR.join([_MISSING] * len(key))
        keys = identities(records, key)
        texts = [whole if own == nothing else own for whole, own in zip(texts, keys, strict=True)]
    train_end = int(shares.train * 2**64)
    validation_end = int((shares.train + shares.validation) * 2**64)
    return [
        "train" if digest < train_end else "validation" if digest < validation_end else "test"
        for digest in digests(texts, seed)
    ]


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
    order = pd.Series(identities(records, list(records.columns))).argsort(kind="stable")
    return records.iloc[order.to_numpy()].reset_index(drop=True)
