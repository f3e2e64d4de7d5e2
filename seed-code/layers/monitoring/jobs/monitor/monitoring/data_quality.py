"""Are the inputs still like the training records? The checks have the names of Model Monitor's violations.

=========================  ==========================================================================================
check                      value and threshold
=========================  ==========================================================================================
missing_column_check       share of records that name the column; above 0
completeness_check         share of records with a value; the training records' share, less what chance explains
data_type_check            share of values that fit the column's type; ``datatype_check_threshold``
categorical_values_check   share of values that occurred in training; ``domain_content_threshold``
non_negative_check         share of numbers below 0, where training had none; 0 (not among Model Monitor's names)
baseline_drift_check       distance between the distributions; ``comparison_threshold`` for numbers,
                           ``categorical_comparison_threshold`` for everything else
=========================  ==========================================================================================

Names and thresholds: SageMaker developer guide, "Schema for Violations" and "Schema for Constraints". A column that the
training data did not have is not a violation here (the endpoint ignores it); the report lists it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monitoring.capture import Record
from monitoring.columns import Numbers, Values, understand
from monitoring.package import Package
from monitoring.results import DATA_QUALITY, Result, Violation, judged, no_baseline, not_enough, plural

# One-sided, one false alarm in a thousand: the share of missing values differs from sample to sample by chance.
CHANCE_DEVIATIONS = 3.1
# What deequ, the library behind Model Monitor, takes off in its "robust" distances (analyzers/Distance.scala).
ROBUST_FACTOR = 1.8
MOST_EXAMPLES = 5
MOST_BARS = 12


def check(records: Sequence[Record], package: Package, *, least: int) -> Result:
    """Compare records with the baselines of the inputs.

    Args:
        records: What the endpoint was asked.
        package: The package that answered.
        least: Fewest records that give a verdict.
    """
    for name in ("statistics.json", "constraints.json"):
        if name not in package.baselines:
            return no_baseline(DATA_QUALITY, name, len(records))
    if len(records) < least:
        return not_enough(DATA_QUALITY, len(records), least)
    constraints, statistics = package.baselines["constraints.json"], package.baselines["statistics.json"]
    config = constraints["monitoring_config"]
    described = {feature["name"]: feature for feature in statistics["features"]}
    total = statistics["dataset"]["item_count"]
    violations: list[Violation] = []
    features: dict[str, Any] = {}
    names = Counter(name for record in records for name in record.values)
    for constraint in constraints["features"]:
        name = constraint["name"]
        values = understand(
            package.schema.column(name), [record.values.get(name) for record in records], names.get(name, 0)
        )
        found, measured = check_column(constraint, described.get(name, {}), values, len(records), total, config)
        violations += found
        features[name] = measured
    known = {column.name for column in package.schema.columns}
    unknown = {name: count / len(records) for name, count in sorted(names.items()) if name not in known}
    details = {"features": features, "unknown_columns": unknown}
    return judged(DATA_QUALITY, len(records), violations, details, plural(len(features), "column"))


def check_column(
    constraint: Mapping[str, Any],
    statistics: Mapping[str, Any],
    values: Values,
    records: int,
    baseline_records: int,
    config: Mapping[str, Any],
) -> tuple[list[Violation], dict[str, Any]]:
    """Return the violations of one column, and what was measured."""
    name = constraint["name"]
    found: list[Violation] = []

    def violate(metric: str, value: float, threshold: float, description: str) -> None:
        found.append(Violation(metric, name, value, threshold, abs(value - threshold), description))

    if not values.given:
        violate("missing_column_check", 0.0, 1.0, f"Column {name} is in none of the {records} records.")
        return found, {"given": 0.0}
    completeness = 1 - values.missing / records
    measured: dict[str, Any] = {"given": values.given / records, "completeness": completeness}
    expected = constraint["completeness"]
    slack = CHANCE_DEVIATIONS * math.sqrt(expected * (1 - expected) * (1 / records + 1 / max(baseline_records, 1)))
    if completeness < expected - slack:
        violate(
            "completeness_check",
            completeness,
            expected - slack,
            f"{completeness:.1%} of the records have a value, {expected:.1%} had one in training.",
        )
    filled = values.present + sum(values.bad.values())
    if filled:
        _check_types(constraint, values, filled, config, measured, violate)
        _check_values(constraint, values, config, measured, violate)
        _check_distribution(statistics, values, config["distribution_constraints"], measured, violate)
    return found, measured


def _check_types(
    constraint: Mapping[str, Any], values: Values, filled: int, config: Mapping[str, Any], measured: Any, violate: Any
) -> None:
    kind = constraint["inferred_type"]
    unfit = sum(values.bad.values()) + (values.fractional if kind == "Integral" else 0)
    share = 1 - unfit / filled
    measured["type_fits"] = share
    threshold = config.get("datatype_check_threshold", 1.0)
    if kind != "Unknown" and share < threshold:
        examples = ", ".join(repr(text) for text in sorted(values.bad)[:MOST_EXAMPLES])
        violate(
            "data_type_check",
            share,
            threshold,
            f"{share:.1%} of the values are of type {kind}" + (f"; not so {examples}." if examples else "."),
        )


def _check_values(
    constraint: Mapping[str, Any], values: Values, config: Mapping[str, Any], measured: Any, violate: Any
) -> None:
    if constraint.get("num_constraints", {}).get("is_non_negative") and len(values.numbers):
        share = float(np.mean(values.numbers < 0))
        measured["negative"] = share
        if share > 0:
            violate("non_negative_check", share, 0.0, f"{share:.1%} of the numbers are negative, none was in training.")
    domains = constraint.get("string_constraints", {}).get("domains")
    if domains and values.texts:
        total = sum(values.texts.values())
        unknown = {text: count for text, count in values.texts.items() if text not in set(domains)}
        share = 1 - sum(unknown.values()) / total
        measured["known_values"] = share
        threshold = config.get("domain_content_threshold", 1.0)
        if share < threshold:
            examples = ", ".join(
                repr(text) for text in sorted(unknown, key=lambda text: -unknown[text])[:MOST_EXAMPLES]
            )
            violate(
                "categorical_values_check",
                share,
                threshold,
                f"{share:.1%} of the values occurred in training; new ones: {examples}.",
            )


def _check_distribution(
    statistics: Mapping[str, Any], values: Values, config: Mapping[str, Any], measured: Any, violate: Any
) -> None:
    if config.get("perform_comparison", "Enabled") != "Enabled":
        return
    robust = config.get("comparison_method", "Robust") == "Robust"
    numerical = statistics.get("numerical_statistics", {}).get("distribution", {}).get("kll")
    categorical = statistics.get("string_statistics", {}).get("distribution", {}).get("categorical")
    if numerical and len(values.numbers):
        distance = number_distance(numerical["sketch"]["data"], values.numbers, robust=robust)
        threshold = config["comparison_threshold"]
        measured["histogram"] = histogram(numerical["buckets"], values.numbers)
    elif categorical and values.texts:
        baseline = {bucket["value"]: bucket["count"] for bucket in categorical["buckets"]}
        common = statistics["string_statistics"]
        complete = common["distinct_count"] <= len(baseline)
        distance = category_distance(
            baseline, values.texts, common["common"]["num_present"], complete=complete, robust=robust
        )
        threshold = config.get("categorical_comparison_threshold", config["comparison_threshold"])
        measured["histogram"] = bars(baseline, values.texts)
    else:
        return
    measured["distance"] = distance
    measured["distance_threshold"] = threshold
    if distance > threshold:
        violate(
            "baseline_drift_check",
            distance,
            threshold,
            f"The values are distributed differently than in training: distance {distance:.3f}.",
        )


def number_distance(sketch: Sequence[Sequence[float]], numbers: Numbers, *, robust: bool) -> float:
    """Return the largest difference between two cumulative distributions (Kolmogorov and Smirnov), from 0 to 1.

    Args:
        sketch: Of the training numbers: an item of list *i* stands for ``2**i`` numbers of about its size.
        numbers: The numbers to compare.
        robust: Take off what chance explains in samples of this size.
    """
    items = np.array([item for level in sketch for item in level], dtype=np.float64)
    weights = np.repeat([2.0**level for level in range(len(sketch))], [len(level) for level in sketch])
    order = np.argsort(items, kind="stable")
    items, cumulated = items[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    current = np.sort(np.clip(numbers, -1e30, 1e30))  # as the baseline was made: tabular.encoders.LARGEST
    places = np.union1d(items, current)
    baseline_share = cumulated[np.searchsorted(items, places, side="right")] / cumulated[-1]
    current_share = np.searchsorted(current, places, side="right") / len(current)
    distance = float(np.max(np.abs(baseline_share - current_share)))
    return _robust(distance, float(cumulated[-1]), len(current)) if robust else distance


def category_distance(
    baseline: Mapping[str, float], current: Mapping[str, int], baseline_total: float, *, complete: bool, robust: bool
) -> float:
    """Return the largest difference between the shares of a value (LInfinity), from 0 to 1.

    Args:
        baseline: How often values occurred in training, the most frequent ones at least.
        current: How often values occur now.
        baseline_total: Values in training.
        complete: Whether `baseline` names all values; if not, nothing is known of those that it does not name.
        robust: Take off what chance explains in samples of this size.
    """
    total = sum(current.values())
    names = set(baseline) | (set(current) if complete else set())
    distance = max(
        (abs(baseline.get(name, 0) / baseline_total - current.get(name, 0) / total) for name in names), default=0.0
    )
    return _robust(distance, baseline_total, total) if robust else distance


def _robust(distance: float, baseline_total: float, total: float) -> float:
    correction = ROBUST_FACTOR * math.sqrt((baseline_total + total) / (baseline_total * total))
    return max(0.0, distance - correction)


def histogram(buckets: Sequence[Mapping[str, float]], numbers: Numbers) -> list[dict[str, Any]]:
    """Return the share of numbers in each bucket of the baseline, then and now; the outer ones take what is beyond."""
    edges = [bucket["lower_bound"] for bucket in buckets[1:]]
    counts = np.bincount(np.searchsorted(edges, numbers, side="right"), minlength=len(buckets))
    total = sum(bucket["count"] for bucket in buckets) or 1.0
    labels = [f"{bucket['lower_bound']:.4g} to {bucket['upper_bound']:.4g}" for bucket in buckets]
    if len(labels) > 1:
        labels[0], labels[-1] = f"below {edges[0]:.4g}", f"{edges[-1]:.4g} or more"
    return [
        {"label": label, "baseline": bucket["count"] / total, "current": float(count / len(numbers))}
        for label, bucket, count in zip(labels, buckets, counts)
    ]


def bars(baseline: Mapping[str, float], current: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the share of the values that are most frequent, then or now."""
    before, now = sum(baseline.values()) or 1.0, sum(current.values())
    shares = {name: (baseline.get(name, 0) / before, current.get(name, 0) / now) for name in {*baseline, *current}}
    chosen = sorted(shares, key=lambda name: (-max(shares[name]), name))[:MOST_BARS]
    return [{"label": name, "baseline": shares[name][0], "current": shares[name][1]} for name in chosen]
