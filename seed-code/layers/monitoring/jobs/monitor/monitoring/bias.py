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

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitoring.capture import Record
from monitoring.columns import fit
from monitoring.model_quality import targets_of
from monitoring.package import Package
from monitoring.results import BIAS, NOT_ENOUGH_DATA, Result, Violation, judged, no_baseline, not_enough, plural

Flags = npt.NDArray[np.int8]


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
    belong, positive = _belong(records, facet, package), _outcomes(records, package, settings)
    joined = [record for record, _ in labelled]
    belong_too, positive_too = _belong(joined, facet, package), _outcomes(joined, package, settings)
    targets = targets_of([label for _, label in labelled], package)
    good = {
        target: _is_positive(_outcome(target, package), package, settings)
        for target in set(targets[~np.isnan(targets)])
    }
    actual = np.array([good.get(target, False) for target in targets], dtype=bool)
    found = []
    for group in (0, 1):
        there = (belong == group) & (positive >= 0)
        known = (belong_too == group) & (positive_too >= 0) & ~np.isnan(targets)
        called = known & (positive_too == 1)
        counts = (there, there & (positive == 1), called & actual, called, known & actual, known)
        found.append(Group(*(int(np.count_nonzero(mask)) for mask in counts)))
    return found[0], found[1]


def _outcome(target: float, package: Package) -> Any:
    """Return the class of a number, or the value."""
    return package.classes[int(target)] if package.classes else target


def _belong(records: Sequence[Record], facet: Mapping[str, Any], package: Package) -> Flags:
    """Tell for every record whether it is of the disadvantaged group: 1 or 0; -1 where its value says nothing."""
    column = package.schema.column(facet["name"])
    values = fit(column, [record.values.get(facet["name"]) for record in records]).values
    if "above" not in facet:
        named = fit(column, list(facet["values"])).values.drop_null()
        inside = pc.is_in(values, value_set=named)
    elif column.kind in ("number", "boolean"):
        inside = pc.greater(values.cast(pa.float64()), float(facet["above"]))
    else:
        return np.full(len(records), -1, np.int8)
    return np.where(values.is_valid().to_numpy(zero_copy_only=False), _ones(inside), np.int8(-1))


def _ones(flags: pa.BooleanArray) -> Flags:
    return np.asarray(pc.fill_null(flags, False).cast(pa.int8()).to_numpy(zero_copy_only=False))


def _outcomes(records: Sequence[Record], package: Package, settings: Mapping[str, Any]) -> Flags:
    """Tell for every record whether its answer is a positive outcome: 1 or 0; -1 where there is none."""
    found = (_positive(record.answer, package, settings) for record in records)
    return np.array([-1 if outcome is None else outcome for outcome in found], dtype=np.int8)


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
