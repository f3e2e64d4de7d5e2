"""Values as models of train-s3 1.0 and 1.1 understand them: their code reads one text at a time, and pandas frames."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

_TYPES = {"number": pa.float64(), "boolean": pa.bool_(), "date": pa.timestamp("us"), "category": pa.string()}


def are_served() -> bool:
    """Tell whether the model that is loaded is one of these."""
    return not hasattr(importlib.import_module("tabular.values"), "fitting")


def fit(column: Any, raw: Sequence[Any]) -> tuple[pa.Array, dict[int, str]]:
    """Return raw values in the kind of a column, null where one is missing or does not fit; and those, by position."""
    meaning = importlib.import_module("tabular.values")
    known: dict[str | None, Any] = {None: None}
    bad: dict[int, str] = {}
    values = []
    for position, value in enumerate(raw):
        nested = isinstance(value, (list, dict))
        text = str(value) if nested else meaning.text_of(value)
        if text not in known and not nested:
            try:
                known[text] = None if meaning.is_missing(text, column.kind) else _parse(meaning, column, text)
            except ValueError:
                known[text] = ValueError
        parsed = ValueError if nested else known[text]
        if parsed is ValueError:
            bad[position] = text
        values.append(None if parsed is ValueError else parsed)
    return pa.array(values, _TYPES[column.kind]), bad


def _parse(meaning: Any, column: Any, text: str) -> Any:
    if column.kind == "date":
        return meaning.to_date(text, column.formats)
    return {"number": meaning.to_number, "boolean": meaning.to_boolean, "category": str}[column.kind](text)


def frame(columns: Mapping[str, pa.Array]) -> pd.DataFrame:
    """Return columns as these models take them."""
    found = {name: values.to_pandas() for name, values in columns.items()}
    booleans = [name for name, values in columns.items() if pa.types.is_boolean(values.type)]
    return pd.DataFrame(found).astype(dict.fromkeys(booleans, "boolean"))
