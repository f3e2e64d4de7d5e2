"""How version 1 of this project divided records: by BLAKE2b of their texts.

Kept only to know which records a model of version 1 has not learned from, see `tabular.comparison`. Nothing is divided
like this any more.
"""

import hashlib
from collections.abc import Mapping, Sequence

import pyarrow as pa

from tabular.config import Splits
from tabular.division import SPLITS, key_columns
from tabular.schema import Schema
from tabular.values import canonical

NAME = "blake2b"

_SEPARATOR = "\x1f"
_MISSING = "\x00"


def divide(records: Mapping[str, pa.Array], schema: Schema, shares: Splits, seed: int) -> list[str]:
    """Return the split of every record, by its record key, or by all its values where it has none."""
    texts = _identities(records, [column.name for column in schema.columns])
    if key := [column.name for column in key_columns(schema)]:
        nothing = _SEPARATOR.join([_MISSING] * len(key))
        keys = _identities(records, key)
        texts = [whole if own == nothing else own for whole, own in zip(texts, keys, strict=True)]
    salt = seed.to_bytes(16, "big")
    ends = [int(share * 2**64) for share in (shares.train, shares.train + shares.validation)]
    return [SPLITS[sum(_digest(text, salt) >= end for end in ends)] for text in texts]


def _identities(records: Mapping[str, pa.Array], columns: Sequence[str]) -> list[str]:
    ordered = [canonical(records[name]) for name in sorted(columns)]
    return [_SEPARATOR.join(_MISSING if text is None else text for text in row) for row in zip(*ordered, strict=True)]


def _digest(text: str, salt: bytes) -> int:
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, salt=salt).digest(), "big"
    )
