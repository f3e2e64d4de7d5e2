"""The features of a split as XGBoost reads them in training: block by block from disk, as often as it wants.

Records are encoded once. From the blocks XGBoost makes quantile bins, one or two bytes per value; above a size that the
configuration states, it keeps these on disk too (external memory) and reads them again for every level of every tree.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tabular.boosting import xgb
from tabular.encoders import Encoders, Matrix
from tabular.model import Scores, feature_matrix, targets
from tabular.schema import Schema

BYTES_PER_VALUE = 4
MOST_PLAIN_VALUES = 4_000_000  # predicted from as they are, which takes less time than from bins, but more memory
MIB = 2**20


@dataclass(frozen=True)
class Block:
    """Some consecutive records of a split.

    Attributes:
        features: One row per record.
        target: What is to be predicted.
        weight: Weight of each record, None where all weigh the same.
    """

    features: Matrix
    target: Scores
    weight: Scores | None


class Features:
    """The encoded records of a split.

    Args:
        records: Typed records in the order in which they are learned.
        encoders: Make features of them.
        schema: The data.
        weigh: Returns the weight of each record for its target, or None where all weigh the same.
        folder: Where the blocks are kept; made by this class.
    """

    def __init__(
        self,
        records: Iterable[pa.RecordBatch],
        encoders: Encoders,
        schema: Schema,
        folder: Path,
        weigh: Callable[[Scores], Scores | None] = lambda _: None,
    ) -> None:
        self._encoders, self._weigh, self._folder = encoders, weigh, folder
        self._blocks: list[Path] = []
        self._values = 0
        folder.mkdir()
        for batch in records:
            path = folder / f"{len(self._blocks)}.npy"
            features = encoders.encode(batch)
            self._values += features.size
            with path.open("wb") as stream:
                np.save(stream, features)
                np.save(stream, targets(batch, schema))
            self._blocks.append(path)

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[Block]:
        return map(self.block, range(len(self)))

    def block(self, number: int) -> Block:
        """Return one block."""
        with self._blocks[number].open("rb") as stream:
            features, target = np.load(stream), np.load(stream)
        return Block(features, target, self._weigh(target))

    def sample(self, most: int) -> xgb.DMatrix:
        """Return at most so many records, the first ones: records are in the order of their hashes."""
        block = self.block(0)
        weight = None if block.weight is None else block.weight[:most]
        return feature_matrix(self._encoders, block.features[:most], label=block.target[:most], weight=weight)

    def matrix(self, *, on_disk: bool, like: xgb.DMatrix | None = None) -> xgb.DMatrix:
        """Return all records for training.

        Args:
            on_disk: Keep bins on disk.
            like: The training records, whose bins are taken for others, which are only predicted.
        """
        if like is not None and self._values <= MOST_PLAIN_VALUES:
            features, target = (
                np.concatenate(parts) for parts in zip(*((block.features, block.target) for block in self), strict=True)
            )
            return feature_matrix(self._encoders, features, label=target)
        if on_disk:
            return xgb.ExtMemQuantileDMatrix(
                _Feed(self, str(self._folder / "cache")), ref=like, enable_categorical=True
            )
        return xgb.QuantileDMatrix(_Feed(self), ref=like, enable_categorical=True)


class _Feed(xgb.DataIter):
    """Hands XGBoost block after block."""

    def __init__(self, features: Features, cache_prefix: str | None = None) -> None:
        super().__init__(cache_prefix=cache_prefix)
        self._features = features
        self._next = 0

    def next(self, input_data: Callable[..., None]) -> bool:
        """Hand over the next block; False when there is none."""
        if self._next == len(self._features):
            return False
        block = self._features.block(self._next)
        types = self._features._encoders.feature_types
        input_data(data=block.features, label=block.target, weight=block.weight, feature_types=types)
        self._next += 1
        return True

    def reset(self) -> None:
        """Start anew."""
        self._next = 0
