"""Which split a record belongs to: decided by a hash of its content, so no shuffle and no shared state is needed.

The result does not depend on the number or the layout of files, on the order of rows or columns, on the number of
instances, or on versions of libraries. Equal records, and all records with the same record key, are in the same split,
so that nothing the model was trained on comes back in its test.

A record key of texts and whole numbers is divided as SQL can divide it too (``docs/split.md``):

1. The text that is hashed is ``<seed>:<key>``: a whole number in decimal, a text without white space around it.
   Several key columns are joined with U+001F in the order of their names, and a part that is missing is U+0000.
2. The first 53 bits of its XXH64, divided by 2**53, say where the record stands between 0 and 1.
3. Below the share of ``train`` it is a training record, below the sum with that of ``validation`` a validation record.

Without record key, with a key of another kind, and for records that lack their key, typed values are hashed instead
(`hash_records`), which no other tool repeats.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tabular.config import Splits
from tabular.hashing import Words, hash_texts, hash_words
from tabular.schema import KEY, Column, Schema

NAME = "xxh64"
"""How models say by which division they were trained (`tabular.model`)."""

SPLITS = ("train", "validation", "test")
DOCUMENT = "docs/split.md"

_SEPARATOR, _MISSING_PART = "\x1f", "\x00"


def divide(records: Mapping[str, pa.Array], schema: Schema, shares: Splits, seed: int) -> npt.NDArray[np.str_]:
    """Return the split of every record.

    Args:
        records: The typed values of every column of the schema.
        schema: Says which columns are the record key, and of which kind.
        shares: Share of the records in each split.
        seed: Another one gives another, independent division.
    """
    parts = {column.name: records[column.name] for column in key_columns(schema)}
    if not parts:
        hashes = hash_records(records, seed)
    else:
        hashes = hash_keys(list(parts.values()), seed) if is_known_to_sql(schema) else hash_records(parts, seed)
        if (lacking := lacks_key(parts)).any():
            without = {name: values.filter(pa.array(lacking)) for name, values in records.items()}
            hashes[lacking] = hash_records(without, seed)
    positions = position(hashes)
    codes = (positions >= shares.train).astype(np.int8) + (positions >= shares.train + shares.validation)
    return np.array(SPLITS)[codes]


def explain(schema: Schema) -> str:
    """Return a sentence for the log: what the division follows from, and whether SQL can repeat it."""
    key = key_columns(schema)
    names = ", ".join(column.name for column in key)
    if not key:
        return "Records are divided by all their values, as there is no record key: SQL cannot repeat this division."
    if not is_known_to_sql(schema):
        other = next(column for column in key if not _is_text_or_whole(column))
        return f"Records are divided by {names}. SQL cannot repeat it: {other.name} is neither text nor whole numbers."
    exception = " except for records that lack their key" if all(column.missing for column in key) else ""
    return f"Records are divided by {names}. SQL can repeat it{exception}: {DOCUMENT} says how."


def key_columns(schema: Schema) -> list[Column]:
    """Return the columns of the record key in the order in which they are hashed."""
    return sorted((column for column in schema.columns if column.role == KEY), key=lambda column: column.name)


def is_known_to_sql(schema: Schema) -> bool:
    """Tell whether a division by the record key can be repeated in SQL."""
    return all(_is_text_or_whole(column) for column in key_columns(schema))


def lacks_key(parts: Mapping[str, pa.Array]) -> npt.NDArray[np.bool_]:
    """Tell for every record whether all parts of its key are missing."""
    return np.logical_and.reduce([_is_missing(values) for values in parts.values()])


def position(hashes: Words) -> npt.NDArray[np.float64]:
    """Return where hashes stand between 0 and 1: their first 53 bits, which a double holds exactly."""
    return (hashes >> np.uint64(11)).astype(np.float64) / 2**53


def hash_keys(parts: Sequence[pa.Array], seed: int) -> Words:
    """Return the hash of every record key.

    Args:
        parts: Texts or whole numbers, in the order of the names of their columns.
        seed: Is in the hashed text.
    """
    texts = [part.cast(pa.large_string()) for part in parts]
    keys = pc.binary_join_element_wise(
        *texts, _large(_SEPARATOR), null_handling="replace", null_replacement=_MISSING_PART
    )
    return hash_texts(pc.binary_join_element_wise(_large(str(seed)), keys, _large(":")))


def hash_records(columns: Mapping[str, pa.Array], seed: int = 0) -> Words:
    """Return a hash of the typed values of every record; equal records have equal hashes, in whatever files they were.

    Every value is one 64-bit word, and a record is the XXH64 of the seed and its words, in the order of their names:

    =========  =====================================================================================================
    value      word
    =========  =====================================================================================================
    missing    0; NaN is missing
    text       XXH64 of its UTF-8 bytes
    boolean    XXH64 of the word 0 or 1
    number     XXH64 of its double (-0.0 as 0.0); of a 64-bit whole number that no double equals, of that number
    date       XXH64 of the microseconds since 1970
    =========  =====================================================================================================

    Args:
        columns: Typed values by column.
        seed: The first word, modulo 2**64.
    """

    def words() -> Iterator[Words]:
        yield np.full(len(next(iter(columns.values()))), seed % 2**64, np.uint64)
        for name in sorted(columns):
            yield _word(columns[name])

    return hash_words(words())


def _word(values: pa.Array) -> Words:
    """Return the word of every value of a column."""
    kind = values.type
    if pa.types.is_null(kind):
        return np.zeros(len(values), np.uint64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return hash_texts(values)
    if pa.types.is_boolean(kind):
        raw = _filled(values, fill=False).astype(np.uint64)
    elif pa.types.is_integer(kind):
        raw = _integer_bits(_filled(values, fill=0).astype(np.int64))
    elif pa.types.is_floating(kind):
        raw = (_filled(values, fill=0.0).astype(np.float64) + 0.0).view(np.uint64)
    else:
        raw = _filled(values.cast(pa.timestamp("us")).cast(pa.int64()), fill=0).view(np.uint64)
    return np.where(_is_missing(values), np.uint64(0), hash_words([raw]))


def _integer_bits(numbers: npt.NDArray[np.int64]) -> Words:
    """Return whole numbers as the bits of equal doubles, and where there is none, as they are."""
    doubles = numbers.astype(np.float64)
    # 2**63, to which the greatest whole numbers are rounded, has no 64-bit whole number to go back to.
    back = np.where(doubles < 2.0**63, doubles, 0.0).astype(np.int64)
    return np.where(back == numbers, doubles.view(np.uint64), numbers.view(np.uint64))


def _is_missing(values: pa.Array) -> npt.NDArray[np.bool_]:
    """Tell for every value whether it is missing."""
    return np.asarray(values.is_null(nan_is_null=pa.types.is_floating(values.type)).to_numpy(zero_copy_only=False))


def _filled(values: pa.Array, fill: object) -> npt.NDArray:
    """Return values as NumPy has them, with something in place of the missing ones."""
    return np.asarray(values.fill_null(fill).to_numpy(zero_copy_only=False))


def _is_text_or_whole(column: Column) -> bool:
    return column.kind == "category" or (column.kind == "number" and column.whole)


def _large(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())
