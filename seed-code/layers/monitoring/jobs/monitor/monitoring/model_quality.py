"""Are the predictions still as good? Judged on the records whose truth has become known.

Metrics and their limits: ``model_quality_constraints.json`` of the package, computed by the model's own code. The
limits allow for chance in the test records of training, not for chance in the records of a window, which may be few: a
metric is a violation where it is worse than its limit by more than its own standard deviation (bootstrap) explains.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from monitoring.capture import Record
from monitoring.columns import Numbers, fit
from monitoring.package import Package
from monitoring.results import MODEL_QUALITY, Result, Violation, judged, no_baseline, not_enough, plural

BASELINE = "model_quality_constraints.json"
# One-sided, one false alarm in twenty for a metric that lies exactly at its limit.
CHANCE_DEVIATIONS = 1.64
ERRORS = frozenset({"mae", "mse", "rmse"})  # without upper bound: how much worse is told as a share


def check(labelled: Sequence[tuple[Record, str]], package: Package, *, least: int, labels: int) -> Result:
    """Compare predictions with the truth.

    Args:
        labelled: Records with their labels as they were uploaded.
        package: The package that predicted.
        least: Fewest labelled records that give a verdict.
        labels: Labels that arrived, joined or not.
    """
    if BASELINE not in package.baselines:
        return no_baseline(MODEL_QUALITY, BASELINE, len(labelled))
    truth, scores = arrays(labelled, package)
    if len(truth) < least:
        what = f"records with prediction and label ({labels} labels arrived)"
        return not_enough(MODEL_QUALITY, len(truth), least, what)
    metrics = importlib.import_module("tabular.metrics")
    problem = package.schema.problem_type
    if len(np.unique(truth)) < 2:
        return not_enough(MODEL_QUALITY, 1, 2, "different labels among those that arrived")
    threshold = package.model.decision_threshold if problem == "binary" else 0.5
    reached = metrics.compute(problem, truth, scores, threshold)
    limits = package.baselines[BASELINE][metrics.SECTIONS[problem].replace("_metrics", "_constraints")]
    samples = [metrics.compute(problem, truth[at], scores[at], threshold) for at in metrics.resamples(truth, seed=0)]
    spread = {name: float(np.std([sample[name] for sample in samples])) if samples else 0.0 for name in limits}
    violations = []
    for name, limit in limits.items():
        worst, value = limit["threshold"], reached[name]
        above = limit["comparison_operator"] == "GreaterThanThreshold"
        beyond = value - worst if above else worst - value
        if beyond > CHANCE_DEVIATIONS * spread[name]:
            size = abs(value - worst) / (abs(worst) or 1.0) if name in ERRORS else abs(value - worst)
            word = "above" if above else "below"
            text = f"{name} is {value:.4g} on records with known truth, {word} its limit of {worst:.4g}."
            violations.append(Violation(name, "", value, worst, size, text))
    details = {
        "metrics": {
            name: {"value": reached[name], "limit": limit["threshold"], "standard_deviation": spread[name]}
            for name, limit in limits.items()
        }
    }
    return judged(MODEL_QUALITY, len(truth), violations, details, plural(len(limits), "metric"))


def arrays(labelled: Sequence[tuple[Record, str]], package: Package) -> tuple[Numbers, Numbers]:
    """Return truth and scores as the model's metrics take them; what cannot be understood is left out."""
    targets = targets_of([label for _, label in labelled], package)
    scores = [score_of(record.answer, package) for record, _ in labelled]
    known = [number for number, score in enumerate(scores) if score is not None and not np.isnan(targets[number])]
    return targets[known], np.array([scores[number] for number in known], dtype=np.float64)


def targets_of(labels: Sequence[str], package: Package) -> Numbers:
    """Return the number of the class, or the value, that each label says; NaN where it says neither."""
    values = fit(package.schema.column(package.schema.label), labels).values
    if package.schema.problem_type == "regression":
        found = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return np.where(np.isfinite(found), found, np.nan)
    text_of = importlib.import_module("tabular.values").text_of
    numbers = {name: float(number) for number, name in enumerate(package.classes)}
    coded = values.dictionary_encode(null_encoding="encode")
    classes = np.array([numbers.get(text_of(value), np.nan) for value in coded.dictionary.to_pylist()], dtype=float)
    return classes[coded.indices.to_numpy(zero_copy_only=False)]


def score_of(answer: dict[str, Any] | None, package: Package) -> Any:
    """Return the score, the probabilities in the order of the classes, or the value that was predicted."""
    try:
        if answer is None:
            return None
        if package.schema.problem_type == "binary":
            return float(answer["score"])
        if package.schema.problem_type == "multiclass":
            return [float(answer["probabilities"][name]) for name in package.classes]
        return float(answer["value"])
    except (KeyError, TypeError, ValueError):
        return None
