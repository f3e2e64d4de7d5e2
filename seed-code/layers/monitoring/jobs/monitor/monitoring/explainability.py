"""Does the model still decide by the same columns?

The mean absolute SHAP value of every column on recent records is ranked, and the ranking compared with that of the
package's ``analysis.json`` by the normalised discounted cumulative gain, as SageMaker Clarify does (developer guide,
"Feature attribution drift for models in production"): with a(f) the baseline attribution of the column at place i of
the recent ranking, DCG is the sum of a(f) / log2(i + 1), and NDCG is DCG divided by its value for the baseline's own
ranking. 1 is the same ranking; below 0.90 Clarify raises an alarm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monitoring.capture import Record
from monitoring.columns import frame
from monitoring.package import Package
from monitoring.results import EXPLAINABILITY, Result, Violation, judged, no_baseline, not_enough, paired, plural

BASELINE = "analysis.json"
MOST_EXPLAINED = 2_000  # as many as the baseline was made of


def check(records: Sequence[Record], package: Package, *, least: int, min_ndcg: float) -> Result:
    """Compare what moves the predictions now with what moved them on the test records.

    Args:
        records: Records of the window; the first `MOST_EXPLAINED` are explained.
        package: The package that predicted.
        least: Fewest records that give a verdict.
        min_ndcg: Least similarity of the rankings, from 0 to 1.
    """
    if BASELINE not in package.baselines:
        return no_baseline(EXPLAINABILITY, BASELINE, len(records))
    if len(records) < least:
        return not_enough(EXPLAINABILITY, len(records), least)
    explained = records[:MOST_EXPLAINED]
    values = package.model.contributions(frame(package.model, [record.values for record in explained]))
    names = [column.name for column in package.model.columns]
    labels = package.baselines[BASELINE]["explanations"]["kernel_shap"]
    violations, details = [], {}
    for (label, described), sizes in paired(labels.items(), np.abs(values).mean(axis=0)):
        current = {name: float(size) for name, size in zip(names, sizes)}
        value = ndcg(described["global_shap_values"], current)
        details[label] = {"ndcg": value, "baseline": described["global_shap_values"], "current": current}
        if value < min_ndcg:
            text = (
                f"The columns that move the predictions have another order than on the test records: NDCG {value:.3f}."
            )
            feature = label if len(labels) > 1 else ""
            violations.append(Violation("ndcg", feature, value, min_ndcg, min_ndcg - value, text))
    return judged(EXPLAINABILITY, len(explained), violations, {"labels": details}, plural(len(names), "column"))


def ndcg(baseline: Mapping[str, float], current: Mapping[str, float]) -> float:
    """Return how well the ranking by `current` keeps what counts in `baseline`, from 0 to 1."""
    ideal = _gain(sorted(baseline, key=lambda name: (-baseline[name], name)), baseline)
    reached = _gain(sorted(current, key=lambda name: (-current[name], name)), baseline)
    return reached / ideal if ideal else 1.0


def _gain(ranking: Sequence[str], worth: Mapping[str, Any]) -> float:
    return sum(worth.get(name, 0.0) / math.log2(place + 1) for place, name in enumerate(ranking, start=1))
