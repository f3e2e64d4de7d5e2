"""Raw values as the model's own code understands them."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitoring import former_models

Numbers = npt.NDArray[np.float64]


@dataclass
class Values:
    """The values of one column in some records.

    Attributes:
        given: Records that have the column at all, be it empty.
        missing: Records without value.
        bad: Values that are not of the column's kind, with how often they occur.
        numbers: The values of a column of numbers.
        texts: The values of other columns in their canonical form, with how often they occur.
    """

    given: int = 0
    missing: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    numbers: Numbers = field(default_factory=lambda: np.empty(0))
    texts: dict[str, int] = field(default_factory=dict)

    @property
    def present(self) -> int:
        """Values that fit their column."""
        return len(self.numbers) + sum(self.texts.values())

    @property
    def fractional(self) -> int:
        """Finite numbers that are not whole."""
        finite = self.numbers[np.isfinite(self.numbers)]
        return int(np.sum(finite != np.floor(finite)))


def understand(column: Any, raw: Sequence[Any], given: int) -> Values:
    """Return the values of a column.

    Args:
        column: Its `tabular.schema.Column`.
        raw: One raw value per record, None where the record has none.
        given: Records that name the column.
    """
    fitted = fit(column, raw)
    bad = dict(Counter(fitted.bad.values()))
    found = Values(given=given, missing=fitted.values.null_count - len(fitted.bad), bad=bad)
    known = fitted.values.drop_null()
    if column.kind == "number":
        found.numbers = known.to_numpy(zero_copy_only=False).astype(np.float64)
    else:
        text_of = importlib.import_module("tabular.values").text_of
        counts = pc.value_counts(known)
        pairs = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist())
        found.texts = {text_of(value): count for value, count in pairs}
    return found


@dataclass(frozen=True)
class Fitted:
    """The values of one column in some records, in its kind.

    Attributes:
        values: One for each record, null where it has none that fits.
        bad: What does not fit, by its position.
    """

    values: pa.Array
    bad: dict[int, str]


def fit(column: Any, raw: Sequence[Any]) -> Fitted:
    """Return raw values in the kind of a column.

    Args:
        column: A `tabular.schema.Column`.
        raw: Raw values, as JSON or CSV have them.
    """
    if former_models.are_served():
        return Fitted(*former_models.fit(column, raw))
    meaning = importlib.import_module("tabular.values")
    nested = {position: str(value) for position, value in enumerate(raw) if isinstance(value, (list, dict))}
    plain = [None if position in nested else value for position, value in enumerate(raw)] if nested else raw
    cleaned = meaning.column_of(plain)
    values = meaning.fitting(cleaned, column.kind, formats=column.formats)
    lost = np.flatnonzero(pc.and_(pc.is_valid(cleaned), pc.is_null(values)).to_numpy(zero_copy_only=False))
    shown = meaning.texts(cleaned.take(pa.array(lost)))
    if column.kind != "category":
        wrong = ~meaning.maybe_missing(shown).to_numpy(zero_copy_only=False)
        lost, shown = lost[wrong], shown.filter(pa.array(wrong))
    return Fitted(values, nested | dict(zip(lost.tolist(), shown.to_pylist())))


def frame(model: Any, records: Sequence[dict[str, Any]]) -> Any:
    """Return records as the model takes them; a value that does not fit its column counts as missing."""
    values = {
        column.name: fit(column, [record.get(column.name) for record in records]).values for column in model.columns
    }
    return former_models.frame(values) if former_models.are_served() else pa.RecordBatch.from_pydict(values)
