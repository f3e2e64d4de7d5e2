"""Do the predictions treat groups of people differently?

Formulas: SageMaker developer guide, "Post-training Data and Model Bias Metrics". A facet divides the records into a
disadvantaged group *d* (the values named in environments.yaml, or numbers above a threshold) and the others, *a*.

======  =========================================  =================================================================
metric  name                                       formula
======  =========================================  =================================================================
DPPL    difference in positive proportions in      share of *a* predicted positive, less that of *d*
        predicted labels
DI      disparate impact                           share of *d* predicted positive, divided by that of *a*
DAR     difference in acceptance rates             precision of *a*, less that of *d* (needs the truth)
RD      recall difference                          recall of *a*, less that of *d* (needs the truth)
======  =========================================  =================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitoring.capture import Record
from monitoring.columns import parser
from monitoring.model_quality import target_of
from monitoring.package import Package
from monitoring.results import BIAS, NOT_ENOUGH_DATA, Result, Violation, judged, no_baseline, not_enough, plural


@dataclass
class Group:
    """What was counted in one group.

    Attributes:
        records: Records with a prediction.
        positive: Those predicted positive.
        hits: Predicted positive and truly so.
        called: Predicted positive, truth known.
        actual: Truly positive.
        labelled: Truth known.
    """

    records: int = 0
    positive: int = 0
    hits: int = 0
    called: int = 0
    actual: int = 0
    labelled: int = 0


def check(
    records: Sequence[Record],
    labelled: Sequence[tuple[Record, str]],
    package: Package,
    settings: Mapping[str, Any],
    *,
    least: int,
) -> Result:
    """Compare the predictions for the groups of every facet.

    Args:
        records: Records of the window.
        labelled: Records whose truth has become known.
        package: The package that predicted.
        settings: ``facets``, ``positive``, ``max_dppl``, ``min_di``, ``max_dar``, ``max_rd`` of environments.yaml.
        least: Fewest records of each group that give a verdict.
    """
    facets = settings["facets"]
    if not facets:
        return Result(BIAS, NOT_ENOUGH_DATA, "environments.yaml names no facets: no verdict.", 0)
    known = {column.name for column in package.schema.columns}
    if unknown := [facet["name"] for facet in facets if facet["name"] not in known]:
        return no_baseline(BIAS, f"column {', '.join(unknown)}, which environments.yaml names as a facet", len(records))
    violations: list[Violation] = []
    details: dict[str, Any] = {}
    judged_facets, fewest = 0, 0
    for facet in facets:
        others, disadvantaged = _groups(facet, records, labelled, package, settings)
        measured = {"d": vars(disadvantaged).copy(), "a": vars(others).copy()}
        details[facet["name"]] = measured
        smaller = min(others.records, disadvantaged.records)
        if smaller < least:
            measured["note"] = f"the smaller group has {smaller} records, at least {least} are needed"
            fewest = max(fewest, smaller)
            continue
        judged_facets += 1
        violations += _compare(facet["name"], others, disadvantaged, measured, settings, least)
    if not judged_facets:
        return not_enough(BIAS, fewest, least, "records with prediction in the smaller group")
    return judged(BIAS, len(records), violations, {"facets": details}, plural(judged_facets, "facet"))


def _compare(
    facet: str, others: Group, disadvantaged: Group, measured: dict[str, Any], settings: Mapping[str, Any], least: int
) -> list[Violation]:
    """Return the violations of one facet; what was measured is added to `measured`."""
    found = []
    share_a, share_d = others.positive / others.records, disadvantaged.positive / disadvantaged.records
    differences = {"DPPL": (share_a - share_d, settings["max_dppl"])}
    if min(others.labelled, disadvantaged.labelled) >= least:
        if others.called and disadvantaged.called:
            rates = others.hits / others.called - disadvantaged.hits / disadvantaged.called
            differences["DAR"] = (rates, settings["max_dar"])
        if others.actual and disadvantaged.actual:
            recalls = others.hits / others.actual - disadvantaged.hits / disadvantaged.actual
            differences["RD"] = (recalls, settings["max_rd"])
    for metric, (value, limit) in differences.items():
        measured[metric] = value
        if abs(value) > limit:
            text = f"{metric} of {facet} is {value:.3f}, beyond {limit:g} in one direction or the other."
            found.append(Violation(metric, facet, value, limit, abs(value) - limit, text))
    if share_a:
        impact, least_impact = share_d / share_a, settings["min_di"]
        measured["DI"] = impact
        if not least_impact <= impact <= 1 / least_impact:
            limit = least_impact if impact < 1 else 1 / least_impact
            text = f"DI of {facet} is {impact:.3f}, outside {least_impact:g} to {1 / least_impact:g}."
            found.append(Violation("DI", facet, impact, limit, abs(impact - limit), text))
    return found


def _groups(
    facet: Mapping[str, Any],
    records: Sequence[Record],
    labelled: Sequence[tuple[Record, str]],
    package: Package,
    settings: Mapping[str, Any],
) -> tuple[Group, Group]:
    """Return the counts of the others and of the disadvantaged group."""
    groups = {False: Group(), True: Group()}
    for record in records:
        belongs, positive = _belongs(record, facet, package), _positive(record.answer, package, settings)
        if belongs is not None and positive is not None:
            groups[belongs].records += 1
            groups[belongs].positive += positive
    for record, label in labelled:
        belongs, positive = _belongs(record, facet, package), _positive(record.answer, package, settings)
        target = target_of(label, package)
        if belongs is None or positive is None or target is None:
            continue
        actual = _is_positive(package.classes[int(target)] if package.classes else target, package, settings)
        group = groups[belongs]
        group.labelled += 1
        group.called += positive
        group.actual += actual
        group.hits += positive and actual
    return groups[False], groups[True]


def _belongs(record: Record, facet: Mapping[str, Any], package: Package) -> bool | None:
    """Tell whether a record is of the disadvantaged group; None where its value says nothing."""
    value = record.values.get(facet["name"])
    if value is None or value == "":
        return None
    column = package.schema.column(facet["name"])
    try:
        if "above" in facet:
            return bool(parser(column)(str(value).strip()) > facet["above"])
        named = [parser(column)(str(item).strip()) for item in facet["values"]]
        return parser(column)(str(value).strip()) in named
    except (ValueError, TypeError):
        return None


def _positive(answer: Mapping[str, Any] | None, package: Package, settings: Mapping[str, Any]) -> bool | None:
    """Tell whether an answer is a positive outcome."""
    if answer is None:
        return None
    outcome = answer.get("label", answer.get("value"))
    return None if outcome is None else _is_positive(outcome, package, settings)


def _is_positive(outcome: Any, package: Package, settings: Mapping[str, Any]) -> bool:
    """Tell whether an outcome is the one that people want, as environments.yaml names it under ``positive``."""
    positive = settings.get("positive")
    if package.schema.problem_type == "regression":
        return float(outcome) > float(positive if positive is not None else 0)
    wanted = positive if positive is not None else package.classes[-1]
    return str(outcome) in ([str(item) for item in wanted] if isinstance(wanted, list) else [str(wanted)])
