"""Baselines for SageMaker Model Monitor: what inputs and predictions of the endpoint should look like.

The documents on data follow the schemas in the SageMaker developer guide, "Schema for Statistics (statistics.json
file)" and "Schema for Constraints (constraints.json file)". They describe the training records without the label. The
constraints of model quality have the form of the developer guide's page "Create a model quality baseline"; the
statistics that belong to them are ``evaluation.json``.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tabular.config import LOWER_IS_BETTER
from tabular.encoders import LARGEST
from tabular.metrics import SECTIONS, Numbers
from tabular.schema import Column, Schema
from tabular.values import FLOAT, texts

BUCKETS = 10  # fixed by Model Monitor
SKETCH_ITEMS = 2048
SKETCH_SHRINKING = 0.64
MOST_DOMAIN_VALUES = 50
MOST_CATEGORY_BUCKETS = 100

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


def statistics(training: pa.RecordBatch, schema: Schema) -> dict[str, Any]:
    """Return the content of ``statistics.json``."""
    features = [_column_statistics(column, training.column(column.name)) for column in schema.features]
    return {"version": 0, "dataset": {"item_count": training.num_rows}, "features": features}


def constraints(training: pa.RecordBatch, schema: Schema) -> dict[str, Any]:
    """Return the content of ``constraints.json``."""
    features = [_column_constraints(column, training.column(column.name)) for column in schema.features]
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


def _column_statistics(column: Column, values: pa.Array) -> dict[str, Any]:
    """Describe how the values of a column are distributed."""
    present = len(values) - values.null_count
    common = {"num_present": present, "num_missing": len(values) - present}
    described: dict[str, Any] = {"name": column.name, "inferred_type": _inferred_type(column, present)}
    if column.kind == "number":
        described["numerical_statistics"] = {"common": common} | _number_statistics(_finite(values))
    else:
        counts = _text_counts(values)
        buckets = [{"value": text, "count": count} for text, count in counts.most_common(MOST_CATEGORY_BUCKETS)]
        described["string_statistics"] = {
            "common": common,
            "distinct_count": float(len(counts)),
            "distribution": {"categorical": {"buckets": buckets}},
        }
    return described


def _column_constraints(column: Column, values: pa.Array) -> dict[str, Any]:
    """Describe what the values of a column must look like."""
    present = len(values) - values.null_count
    described: dict[str, Any] = {
        "name": column.name,
        "inferred_type": _inferred_type(column, present),
        "completeness": present / len(values),
    }
    if column.kind == "number":
        numbers = _finite(values)
        described["num_constraints"] = {"is_non_negative": bool(numbers.size and numbers.min() >= 0)}
    elif present and len(domain := _text_counts(values)) <= MOST_DOMAIN_VALUES:
        described["string_constraints"] = {"domains": sorted(domain)}
    return described


def _number_statistics(numbers: Numbers) -> dict[str, Any]:
    """Describe the distribution of numbers."""
    if not numbers.size:
        return {}
    edges = np.linspace(numbers.min(), numbers.max(), BUCKETS + 1)
    # Each number belongs to the last bucket that starts at or below it; equal bounds leave the others empty.
    counts = np.bincount(np.searchsorted(edges[1:-1], numbers, side="right"), minlength=BUCKETS)
    buckets = [
        {"lower_bound": float(low), "upper_bound": float(high), "count": float(count)}
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    sketch = {"parameters": {"c": SKETCH_SHRINKING, "k": float(SKETCH_ITEMS)}, "data": quantile_sketch(numbers)}
    return {
        "mean": float(numbers.mean()),
        "sum": float(numbers.sum()),
        "std_dev": float(numbers.std()),
        "min": float(numbers.min()),
        "max": float(numbers.max()),
        "distribution": {"kll": {"buckets": buckets, "sketch": sketch}},
    }


def quantile_sketch(numbers: Numbers) -> list[list[float]]:
    """Return numbers in the form of a KLL sketch: an item in list *i* stands for ``2**i`` numbers of about its size.

    The values are sorted and every ``2**i``-th is kept, so that at most `SKETCH_ITEMS` are left in the longest list;
    the rest, too few for another item there, goes to the lists before.
    """
    ordered = np.sort(numbers)
    top = 0
    while len(ordered) >> top > SKETCH_ITEMS:
        top += 1
    levels: list[list[float]] = [[] for _ in range(top + 1)]
    start = 0
    for level in range(top, -1, -1):
        weight = 1 << level
        items = (len(ordered) - start) // weight
        levels[level] = [float(value) for value in ordered[start + weight // 2 : start + items * weight : weight]]
        start += items * weight
    return levels


def _finite(values: pa.Array) -> Numbers:
    """Return the finite numbers among values, those that the model cannot tell from infinity as it takes them."""
    numbers = values.drop_null().cast(FLOAT, safe=False).to_numpy(zero_copy_only=False)
    return np.clip(numbers[np.isfinite(numbers)], -LARGEST, LARGEST)


def _text_counts(values: pa.Array) -> Counter[str]:
    """Return how often each text occurs; booleans and dates in the form in which they are sent."""
    counted = pc.value_counts(values.drop_null())
    shown = texts(counted.field("values")).to_pylist()
    return Counter(dict(zip(shown, counted.field("counts").to_pylist(), strict=True)))


def _inferred_type(column: Column, present: int) -> str:
    """Return the kind of a column in Model Monitor's words."""
    if not present:
        return "Unknown"
    if column.kind == "number":
        return "Integral" if column.whole else "Fractional"
    return "String"
