"""Raw values as the model's own code understands them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Numbers = npt.NDArray[np.float64]


@dataclass
class Values:
    """The values of one column in some records.

    Attributes:
        given: Records that have the column at all, be it empty.
        missing: Records without value.
        bad: Values that are none of the column's kind, with how often they occur.
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
    meaning = importlib.import_module("tabular.values")
    parse = parser(column)
    found = Values(given=given)
    numbers = []
    for value in raw:
        text = str(value) if isinstance(value, (list, dict)) else meaning.text_of(value)
        if meaning.is_missing(text, column.kind):
            found.missing += 1
            continue
        try:
            if isinstance(value, (list, dict)):
                raise ValueError(text)
            parsed = parse(text)
        except ValueError:
            found.bad[text] = found.bad.get(text, 0) + 1
            continue
        if column.kind == "number":
            numbers.append(parsed)
        else:
            plain = meaning.text_of(parsed)
            found.texts[plain] = found.texts.get(plain, 0) + 1
    found.numbers = np.array(numbers, dtype=np.float64)
    return found


def parser(column: Any) -> Callable[[str], Any]:
    """Return what turns a text into a value of a column, or raises ValueError."""
    meaning = importlib.import_module("tabular.values")
    if column.kind == "number" and column.formats:
        return lambda text: meaning.to_number(text, column.formats)
    if column.kind == "number":
        return meaning.to_number
    if column.kind == "boolean":
        return meaning.to_boolean
    if column.kind == "date":
        return lambda text: meaning.to_date(text, column.formats)
    return lambda text: text


def frame(model: Any, records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return records as the model takes them; a value that does not fit its column counts as missing."""
    meaning = importlib.import_module("tabular.values")
    typed = {}
    for column in model.columns:
        parse = parser(column)

        def fits(text: str | None, parse: Callable[[str], Any] = parse, kind: str = column.kind) -> bool:
            if meaning.is_missing(text, kind):
                return False
            try:
                parse(text)
            except ValueError:
                return False
            return True

        texts = [
            None if isinstance(record.get(column.name), (list, dict)) else meaning.text_of(record.get(column.name))
            for record in records
        ]
        kept = [text if fits(text) else None for text in texts]
        typed[column.name] = meaning.convert(kept, column.kind, formats=column.formats)
    return pd.DataFrame(typed)
