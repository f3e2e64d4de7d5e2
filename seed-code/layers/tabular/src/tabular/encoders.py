"""Turning raw records into the numbers that XGBoost learns from.

Encoders are fitted on the training split only and travel with the model, so that evaluation and the endpoint encode
exactly as training did. A missing value stays missing (NaN): XGBoost learns where such records belong.

========  =============================================================================================
kind      features
========  =============================================================================================
number    the number
boolean   0 or 1
category  its code; rare and unseen categories share one code (XGBoost splits on sets of categories)
date      days since 1970, year, month, day, weekday (Monday is 0), and the hour where times occur
========  =============================================================================================
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tabular.counts import TextCounts
from tabular.errors import DataError
from tabular.schema import Column, Schema

Matrix = npt.NDArray[np.float32]
Records = Any
"""Typed records: an Arrow record batch, or anything else whose columns are found by name, such as a pandas frame."""

RARE_BELOW = 5
IDENTIFIER_SHARE = 0.5
# So many whole numbers, all different and this close together, are not measurements: those would repeat by chance.
FEWEST_RUNNING_NUMBERS = 100
MOST_GAPS = 4  # as many times more numbers as there are records may be between the smallest and the largest
LARGEST = 1e30  # infinity and what XGBoost cannot hold in 32 bits become this: still the largest value of all
MICROSECONDS_PER_DAY = 86_400_000_000
DATE_PARTS = ("days", "year", "month", "day", "weekday", "hour")


@dataclass(frozen=True)
class Encoder:
    """How one column becomes features.

    Attributes:
        column: Name of the column.
        kind: Its kind.
        categories: Categories with a code of their own, most frequent first.
        has_other: There was a rare category in training; it and unseen ones have the code after the last.
        parts: Parts of a date that vary in training.
    """

    column: str
    kind: str
    categories: tuple[str, ...] = ()
    has_other: bool = False
    parts: tuple[str, ...] = ()

    @property
    def features(self) -> list[str]:
        """Names of the features of this column."""
        return [f"{self.column}.{part}" for part in self.parts] if self.kind == "date" else [self.column]

    @property
    def feature_types(self) -> list[str]:
        """Their types as XGBoost calls them: ``c`` for categories, ``q`` for quantities."""
        return ["c" if self.kind == "category" else "q"] * len(self.features)

    def encode(self, values: pa.Array) -> list[Matrix]:
        """Return the features of some values, already converted to the kind of the column."""
        if self.kind == "category":
            return [self._codes(values)]
        if self.kind == "date":
            return [date_part(values, part) for part in self.parts]
        return [np.clip(_numbers(values), -LARGEST, LARGEST).astype(np.float32)]

    def _codes(self, values: pa.Array) -> Matrix:
        """Return the code of each category, NaN where there is none."""
        if pa.types.is_dictionary(values.type):  # each text is looked up once
            codes = np.append(self._codes(values.dictionary), np.float32(np.nan))
            return codes[pc.fill_null(values.indices, len(values.dictionary)).to_numpy(zero_copy_only=False)]
        found = pc.index_in(values, value_set=pa.array(self.categories, pa.string()))
        if self.has_other:
            # Without rare categories in training nothing was learned for "other": unseen ones count as missing.
            other = pc.if_else(pc.is_valid(values), len(self.categories), None)
            found = pc.coalesce(found, other.cast(pa.int32()))
        return np.asarray(found.cast(pa.float32()).to_numpy(zero_copy_only=False))


def date_part(moments: pa.Array, name: str) -> Matrix:
    """Return a part of moments, see `DATE_PARTS`; NaN where there is no moment."""
    if name == "days":
        return (_numbers(moments.cast(pa.int64())) / MICROSECONDS_PER_DAY).astype(np.float32)
    return _numbers(_DATE_PARTS[name](moments)).astype(np.float32)


_DATE_PARTS = {"year": pc.year, "month": pc.month, "day": pc.day, "weekday": pc.day_of_week, "hour": pc.hour}


def _numbers(values: pa.Array) -> npt.NDArray[np.float64]:
    """Return numbers, or booleans as 0 and 1, with NaN where they are missing."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


@dataclass(frozen=True)
class Encoders:
    """The encoders of all columns that the model uses.

    Attributes:
        encoders: One per column, in the order of the schema.
        left_out: Columns that are not used, each with the reason.
    """

    encoders: tuple[Encoder, ...]
    left_out: Mapping[str, str]

    @classmethod
    def fit(cls, summaries: Iterable["ColumnSummary"], max_categories: int, *, wanted: Collection[str] = ()) -> Self:
        """Return encoders for training records, given a summary of each column.

        Args:
            summaries: What is known of the columns.
            max_categories: Categories of a column that are told apart.
            wanted: Columns that are used even if they look like identifiers.

        Raises:
            DataError: No column can be used.
        """
        encoders, left_out = [], {}
        for summary in summaries:
            reason = summary.useless_because() or ("" if summary.column in wanted else summary.identifies_because())
            if reason:
                left_out[summary.column] = reason
            else:
                encoders.append(summary.encoder(max_categories))
        if not encoders:
            reasons = "; ".join(f"{column}: {reason}" for column, reason in left_out.items())
            raise DataError(f"No column of the training records can be used to learn from ({reasons}).")
        return cls(tuple(encoders), left_out)

    @property
    def features(self) -> list[str]:
        """Names of all features."""
        return [name for encoder in self.encoders for name in encoder.features]

    @property
    def feature_types(self) -> list[str]:
        """Types of all features."""
        return [name for encoder in self.encoders for name in encoder.feature_types]

    def encode(self, records: Records) -> Matrix:
        """Return the features of typed records, one row each."""
        matrix = np.empty((len(records), len(self.features)), dtype=np.float32)
        position = 0
        for encoder in self.encoders:
            for feature in encoder.encode(arrow(records[encoder.column])):
                matrix[:, position] = feature
                position += 1
        return matrix

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the encoders that `to_dict` wrote."""
        encoders = [
            Encoder(**item | {"categories": tuple(item["categories"]), "parts": tuple(item["parts"])})
            for item in values["encoders"]
        ]
        return cls(tuple(encoders), values["left_out"])

    def to_dict(self) -> dict[str, Any]:
        """Return the encoders as JSON values."""
        return {"encoders": [asdict(encoder) for encoder in self.encoders], "left_out": dict(self.left_out)}


@dataclass
class ColumnSummary:
    """What fitting needs to know of one column; summaries of several parts of the records can be added.

    Attributes:
        column: Name of the column.
        kind: Its kind.
        present: Records with a value.
        counts: How often each category occurs.
        ranges: Smallest and largest value of the number or of each part of the date.
        distinct: Different whole numbers; 0 in other columns.
    """

    column: str
    kind: str
    present: int = 0
    counts: TextCounts = field(default_factory=TextCounts)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    distinct: int = 0

    @classmethod
    def of(cls, column: Column, values: pa.Array) -> Self:
        """Summarise the values of a column."""
        known = values.drop_null()
        counts = TextCounts()
        parts: dict[str, npt.NDArray[Any]] = {}
        if column.kind == "category":
            counts = counts.with_more(known)
        elif len(known):
            names = DATE_PARTS if column.kind == "date" else ()
            parts = {name: date_part(known, name) for name in names} or {"value": _numbers(known)}
        ranges = {name: (float(part.min()), float(part.max())) for name, part in parts.items()}
        distinct = pc.count_distinct(known).as_py() if column.whole else 0
        return cls(column.name, column.kind, len(known), counts, ranges, distinct)

    def __add__(self, other: "ColumnSummary") -> "ColumnSummary":
        names = sorted(self.ranges.keys() | other.ranges.keys())
        both = {name: [side.ranges[name] for side in (self, other) if name in side.ranges] for name in names}
        ranges = {name: (min(low for low, _ in found), max(high for _, high in found)) for name, found in both.items()}
        return ColumnSummary(
            self.column,
            self.kind,
            self.present + other.present,
            self.counts + other.counts,
            ranges,
            self.distinct + other.distinct,  # no record is in two parts, and identifiers do not repeat
        )

    def useless_because(self) -> str:
        """Return why nothing can be learned from the column, or an empty text."""
        if not self.present:
            return "no value in the training records"
        if self.kind != "category":
            return "" if any(low < high for low, high in self.ranges.values()) else "the same value in all records"
        return "the same value in all records" if self.counts.distinct == 1 else ""

    def identifies_because(self) -> str:
        """Return why the column seems to name records instead of describing them, or an empty text."""
        different = self.counts.distinct
        if self.kind == "category" and different > max(IDENTIFIER_SHARE * self.present, RARE_BELOW):
            about = "" if self.counts.is_complete else "about "
            return f"identifier or free text: {about}{different} different values in {self.present} records"
        if self.distinct == self.present >= FEWEST_RUNNING_NUMBERS:
            low, high = self.ranges["value"]
            if high - low < MOST_GAPS * self.present:
                return f"running number: {self.present} different whole numbers from {low:.0f} to {high:.0f}"
        return ""

    def encoder(self, max_categories: int) -> Encoder:
        """Return the encoder of the column."""
        known = self.counts.known
        ranked = sorted(known, key=lambda text: (-known[text], text))
        kept = [text for text in ranked if known[text] >= RARE_BELOW][:max_categories]
        parts = tuple(
            part for part in DATE_PARTS if part in self.ranges and self.ranges[part][0] < self.ranges[part][1]
        )
        return Encoder(
            self.column,
            self.kind,
            categories=tuple(kept),
            has_other=len(kept) < self.counts.distinct,
            parts=parts if self.kind == "date" else (),
        )


def arrow(values: Any) -> pa.Array:
    """Return a column of records as one Arrow array; a column of pandas, as older deployments send it, too."""
    if isinstance(values, pa.Array):
        return values
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else pa.array(values, from_pandas=True)


def summarise(records: pa.RecordBatch, schema: Schema) -> list[ColumnSummary]:
    """Summarise the feature columns of training records."""
    return [ColumnSummary.of(column, records.column(column.name)) for column in schema.features]
