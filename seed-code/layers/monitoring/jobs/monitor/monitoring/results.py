"""What a monitor finds, in one form for reports, metrics and events."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

OK, VIOLATIONS, NOT_ENOUGH_DATA, NO_BASELINE = "ok", "violations", "not enough data", "baseline missing"
"""Verdicts. Only the first says that all is well; the last two say that nothing can be said."""

DATA_QUALITY, MODEL_QUALITY, BIAS, EXPLAINABILITY = "data-quality", "model-quality", "bias", "explainability"


class MonitorError(Exception):
    """The monitors cannot run; the message says what is wrong and what to do."""


def paired(names: Collection[Any], values: Collection[Any]) -> list[tuple[Any, Any]]:
    """Return names with their values; ``zip(strict=True)`` is not in every Python that images have.

    Raises:
        ValueError: There are more of one than of the other.
    """
    if len(names) != len(values):
        raise ValueError(f"{len(values)} values for {len(names)} names")
    return list(zip(names, values))


@dataclass(frozen=True)
class Violation:
    """One value beyond its threshold.

    Attributes:
        metric: What was measured, e.g. ``baseline_drift_check`` or ``auc``.
        feature: Column, facet or label it was measured on; empty where it is the whole model.
        value: The value.
        threshold: The value it had to keep.
        size: How far the value lies beyond the threshold: in the unit of the metric where that runs from 0 to 1, else
            as a share of the threshold.
        description: One sentence for people.
    """

    metric: str
    feature: str
    value: float
    threshold: float
    size: float
    description: str


@dataclass(frozen=True)
class Result:
    """The answer of one monitor for one window.

    Attributes:
        monitor: ``data-quality``, ``model-quality``, ``bias`` or ``explainability``.
        verdict: One of the verdicts of this module.
        reason: One sentence that explains the verdict.
        records: Records that the verdict is based on.
        violations: Largest first.
        details: Everything measured, for the report.
    """

    monitor: str
    verdict: str
    reason: str
    records: int
    violations: tuple[Violation, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return asdict(self) | {"violations": [asdict(violation) for violation in self.violations]}


def plural(count: int, noun: str) -> str:
    """Return a number with its noun, e.g. ``1 column`` or ``2 columns``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def judged(monitor: str, records: int, violations: list[Violation], details: dict[str, Any], what: str) -> Result:
    """Return the result of a monitor that had enough to say something.

    Args:
        monitor: Its name.
        records: Records that it is based on.
        violations: What was found, in any order.
        details: Everything measured.
        what: What was checked, e.g. ``9 columns``.
    """
    ordered = tuple(sorted(violations, key=lambda found: (-found.size, found.metric, found.feature)))
    reason = f"{what} checked on {plural(records, 'record')}: "
    reason += f"{plural(len(ordered), 'violation')}." if ordered else "nothing stands out."
    return Result(monitor, VIOLATIONS if ordered else OK, reason, records, ordered, details)


def not_enough(monitor: str, records: int, least: int, what: str = "records in the window") -> Result:
    """Return the result of a monitor that has too little to say anything."""
    return Result(monitor, NOT_ENOUGH_DATA, f"{records} {what}, at least {least} are needed: no verdict.", records)


def no_baseline(monitor: str, missing: str, records: int = 0) -> Result:
    """Return the result of a monitor whose baseline did not come with the package."""
    return Result(monitor, NO_BASELINE, f"The model package has no {missing}: nothing to compare with.", records)
