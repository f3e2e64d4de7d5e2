"""How often each text occurs, in memory that does not grow with the number of records."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tabular.hashing import Words, hash_texts
from tabular.values import TEXT, texts

MOST_COUNTED = 100_000
SMALLEST_HASHES = 4_096  # tell the number of different texts to about 1.5 percent


@dataclass(frozen=True)
class TextCounts:
    """Texts with how often they occur; counts of several parts can be added.

    Of a column with more different texts than `MOST_COUNTED`, those are counted that came first. As records are in the
    order of their hashes, a frequent text is among them. How many there are in all is then estimated from the smallest
    hashes of texts, which is the same whatever the order.

    Attributes:
        known: How often each text occurs.
        hashes: The smallest hashes of different texts, sorted, at most `SMALLEST_HASHES`.
        is_complete: Every text is among the known ones.
    """

    known: Counter[str] = field(default_factory=Counter)
    hashes: Words = field(default_factory=lambda: np.empty(0, np.uint64))
    is_complete: bool = True

    def with_more(self, values: pa.Array) -> Self:
        """Return the counts with those of more values, which are texts or stand for some; missing ones do not count."""
        counted = pc.value_counts(values.drop_null())
        shown, numbers = texts(counted.field("values")), counted.field("counts")
        hashes = _smallest(self.hashes, hash_texts(shown))
        if not self.is_complete:
            known = pc.is_in(shown, value_set=self._known_texts)
            shown, numbers = shown.filter(known), numbers.filter(known)
        counts = self.known.copy()
        for text, number in zip(shown.to_pylist(), numbers.to_pylist(), strict=True):
            counts[text] += number
        return type(self)(counts, hashes, self.is_complete and len(counts) <= MOST_COUNTED)

    def __add__(self, other: "TextCounts") -> "TextCounts":
        more = {text: count for text, count in other.known.items() if self.is_complete or text in self.known}
        both = self.known + Counter(more)
        complete = self.is_complete and other.is_complete and len(both) <= MOST_COUNTED
        return TextCounts(both, _smallest(self.hashes, other.hashes), complete)

    @property
    def distinct(self) -> int:
        """Different texts; an estimate where not all are known."""
        if self.is_complete or len(self.hashes) < SMALLEST_HASHES:
            return len(self.known)
        return max(len(self.known), int((SMALLEST_HASHES - 1) / (float(self.hashes[-1]) / 2**64)))

    @cached_property
    def _known_texts(self) -> pa.StringArray:
        return pa.array(list(self.known), TEXT)


def _smallest(some: Words, more: Words) -> Words:
    return np.unique(np.concatenate([some, more]))[:SMALLEST_HASHES]
