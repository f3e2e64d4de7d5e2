"""Baselines for SageMaker Model Monitor: what inputs and predictions of the endpoint should look like.

The documents on data follow the schemas in the SageMaker developer guide, "Schema for Statistics (statistics.json
file)" and "Schema for Constraints (constraints.json file)". They describe the training records without the label. The
constraints of model quality have the form of the developer guide's page "Create a model quality baseline"; the
statistics that belong to them are ``evaluation.json``.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tabular.config import LOWER_IS_BETTER
from tabular.counts import TextCounts
from tabular.encoders import LARGEST
from tabular.metrics import SECTIONS, Numbers
from tabular.schema import Column, Schema
from tabular.values import FLOAT

BUCKETS = 10  # fixed by Model Monitor
SKETCH_ITEMS = 2048
SKETCH_SHRINKING = 0.64
MOST_DOMAIN_VALUES = 50
MOST_CATEGORY_BUCKETS = 100
UNKNOWN = "Unknown"  # type of a column without value, in Model Monitor's words

# Metrics that Model Monitor computes, too, when the truth has become known.
MONITORED = {
    "binary": ("auc", "accuracy", "precision", "recall", "f1"),
    "multiclass": ("accuracy", "weighted_precision", "weighted_recall", "weighted_f1"),
    "regression": ("mae", "mse", "rmse", "r2"),
}
TOLERATED_DEVIATIONS = 2.0  # worse by chance alone in about one of forty comparisons

MONITORING_CONFIG = {
    "evaluate_constraints": "Enabled",
    "emit_metrics": "Enabled",
    "datatype_check_threshold": 1.0,
    "domain_content_threshold": 1.0,
    "distribution_constraints": {
        "perform_comparison": "Enabled",
        "comparison_threshold": 0.1,
        "comparison_method": "Robust",
        "categorical_comparison_threshold": 0.1,
        "categorical_drift_method": "LInfinity",
    },
}


class Digest:
    """What the baselines say of the training records, which are looked at twice, some at a time.

    Args:
        schema: The data.
    """

    def __init__(self, schema: Schema) -> None:
        self._rows = 0
        self._columns = [_Numbers(column) if column.kind == "number" else _Texts(column) for column in schema.features]

    def add(self, records: pa.RecordBatch) -> None:
        """Look at some more records."""
        self._rows += records.num_rows
        for column in self._columns:
            column.add(records.column(column.name))

    def add_to_buckets(self, records: pa.RecordBatch) -> None:
        """Look at them again when all have been seen: only then is it known where buckets begin and end."""
        for column in self._columns:
            if isinstance(column, _Numbers):
                column.add_to_buckets(records.column(column.name))

    def statistics(self) -> dict[str, Any]:
        """Return the content of ``statistics.json``."""
        features = []
        for column in self._columns:
            common = {"common": {"num_present": column.present, "num_missing": self._rows - column.present}}
            features.append(column.described() | {column.STATISTICS: common | column.statistics()})
        return {"version": 0, "dataset": {"item_count": self._rows}, "features": features}

    def constraints(self) -> dict[str, Any]:
        """Return the content of ``constraints.json``."""
        features = [
            column.described() | {"completeness": column.present / self._rows} | column.constraints()
            for column in self._columns
        ]
        return {"version": 0, "features": features, "monitoring_config": MONITORING_CONFIG}


def quality_constraints(problem_type: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return how bad metrics may become: worse than on the test records by some standard deviations.

    Args:
        problem_type: ``binary``, ``multiclass`` or ``regression``.
        report: The content of ``evaluation.json``.
    """
    section = SECTIONS[problem_type]
    limits = {}
    for name in MONITORED[problem_type]:
        measured = report[section][name]
        slack = TOLERATED_DEVIATIONS * measured["standard_deviation"]
        limits[name] = (
            {"threshold": measured["value"] + slack, "comparison_operator": "GreaterThanThreshold"}
            if name in LOWER_IS_BETTER
            else {"threshold": measured["value"] - slack, "comparison_operator": "LessThanThreshold"}
        )
    return {"version": 0.0, section.replace("_metrics", "_constraints"): limits}


class _Numbers:
    """A column of numbers. Means and deviations are merged as Chan, Golub and LeVeque do (1983)."""

    STATISTICS = "numerical_statistics"

    def __init__(self, column: Column) -> None:
        self.name, self._is_whole = column.name, column.whole
        self.present = self._count = 0
        self._sum = self._mean = self._squares = 0.0
        self._low, self._high = math.inf, -math.inf
        self._sketch: list[Numbers] = []
        self._buckets = np.zeros(BUCKETS, np.int64)

    def add(self, values: pa.Array) -> None:
        self.present += len(values) - values.null_count
        numbers = _finite(values)
        if not numbers.size:
            return
        mean, count = float(numbers.mean()), self._count + numbers.size
        apart = mean - self._mean
        self._squares += float(numbers.var()) * numbers.size + apart**2 * self._count * numbers.size / count
        self._mean += apart * numbers.size / count
        self._sum += float(numbers.sum())
        self._count = count
        self._low, self._high = min(self._low, float(numbers.min())), max(self._high, float(numbers.max()))
        self._sketch = merged(self._sketch, quantile_sketch(numbers))

    @property
    def _edges(self) -> Numbers:
        return np.linspace(self._low, self._high, BUCKETS + 1)

    def add_to_buckets(self, values: pa.Array) -> None:
        if self._count:
            # Each number belongs to the last bucket that starts at or below it; equal bounds leave the others empty.
            places = np.searchsorted(self._edges[1:-1], _finite(values), side="right")
            self._buckets += np.bincount(places, minlength=BUCKETS)

    def described(self) -> dict[str, Any]:
        kind = "Integral" if self._is_whole else "Fractional"
        return {"name": self.name, "inferred_type": kind if self.present else UNKNOWN}

    def statistics(self) -> dict[str, Any]:
        if not self._count:
            return {}
        edges = self._edges.tolist()
        buckets = [
            {"lower_bound": low, "upper_bound": high, "count": float(count)}
            for (low, high), count in zip(itertools.pairwise(edges), self._buckets.tolist(), strict=True)
        ]
        items = [level.tolist() for level in self._sketch]
        sketch = {"parameters": {"c": SKETCH_SHRINKING, "k": float(SKETCH_ITEMS)}, "data": items}
        return {
            "mean": self._mean,
            "sum": self._sum,
            "std_dev": math.sqrt(self._squares / self._count),
            "min": self._low,
            "max": self._high,
            "distribution": {"kll": {"buckets": buckets, "sketch": sketch}},
        }

    def constraints(self) -> dict[str, Any]:
        return {"num_constraints": {"is_non_negative": bool(self._count and self._low >= 0)}}


class _Texts:
    """A column of anything else; booleans and dates in the form in which they are sent."""

    STATISTICS = "string_statistics"

    def __init__(self, column: Column) -> None:
        self.name = column.name
        self.present = 0
        self._counts = TextCounts()

    def add(self, values: pa.Array) -> None:
        self.present += len(values) - values.null_count
        self._counts = self._counts.with_more(values)

    def described(self) -> dict[str, Any]:
        return {"name": self.name, "inferred_type": "String" if self.present else UNKNOWN}

    def statistics(self) -> dict[str, Any]:
        frequent = self._counts.known.most_common(MOST_CATEGORY_BUCKETS)
        buckets = [{"value": text, "count": count} for text, count in frequent]
        return {"distinct_count": float(self._counts.distinct), "distribution": {"categorical": {"buckets": buckets}}}

    def constraints(self) -> dict[str, Any]:
        if not self.present or self._counts.distinct > MOST_DOMAIN_VALUES:
            return {}
        return {"string_constraints": {"domains": sorted(self._counts.known)}}


def quantile_sketch(numbers: Numbers) -> list[Numbers]:
    """Return numbers in the form of a KLL sketch: an item in list *i* stands for ``2**i`` numbers of about its size.

    The values are sorted and every ``2**i``-th is kept, so that at most `SKETCH_ITEMS` are left in the longest list;
    the rest, too few for another item there, goes to the lists before.
    """
    ordered = np.sort(numbers)
    top = 0
    while len(ordered) >> top > SKETCH_ITEMS:
        top += 1
    levels = [np.empty(0)] * (top + 1)
    start = 0
    for level in range(top, -1, -1):
        weight = 1 << level
        items = (len(ordered) - start) // weight
        levels[level] = ordered[start + weight // 2 : start + items * weight : weight]
        start += items * weight
    return levels


def merged(some: list[Numbers], more: list[Numbers]) -> list[Numbers]:
    """Return one sketch for two: where a list has become too long, every second item goes to the next one."""
    levels = [np.concatenate(pair) for pair in itertools.zip_longest(some, more, fillvalue=np.empty(0))]
    for level in itertools.count():
        if level == len(levels):
            return levels
        if len(levels[level]) > SKETCH_ITEMS:
            if level + 1 == len(levels):
                levels.append(np.empty(0))
            ordered = np.sort(levels[level])
            pairs = len(ordered) // 2 * 2
            offset = len(levels[level + 1]) % 2  # now the first, now the second of a pair, so that nothing drifts
            levels[level + 1] = np.concatenate([levels[level + 1], ordered[offset:pairs:2]])
            levels[level] = ordered[pairs:]


def _finite(values: pa.Array) -> Numbers:
    """Return the finite numbers among values, those that the model cannot tell from infinity as it takes them."""
    numbers = values.drop_null().cast(FLOAT, safe=False).to_numpy(zero_copy_only=False)
    return np.clip(numbers[np.isfinite(numbers)], -LARGEST, LARGEST)
