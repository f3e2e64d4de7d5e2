"""Whether a model is good enough to be registered."""

from dataclasses import asdict, dataclass
from typing import Any

from tabular.config import LOWER_IS_BETTER
from tabular.metrics import is_better

HIGHEST_CHANCE = 0.05


@dataclass(frozen=True)
class Gate:
    """The decision with everything it rests on. Flags are 1 or 0, which is what pipeline conditions compare.

    Attributes:
        metric: Metric that decides.
        value: What the model reaches on the test split.
        threshold: What the configuration asks for, if anything.
        baseline: What predicting the prior reaches.
        champion_value: What the last approved model reaches, where there is one to compare with.
        challenger_value: What this model reaches on the records on which the two were compared.
        passed: 1 when all that follow are 1.
        better_than_prior: The model beats the prior, and hardly by chance.
        not_worse_than_champion: It is at least as good as the champion, within the configured tolerance.
        meets_threshold: It reaches the threshold.
        reason: Every number that missed, or that all is well.
    """

    metric: str
    value: float
    threshold: float | None
    baseline: float
    champion_value: float | None
    challenger_value: float | None
    passed: int
    better_than_prior: int
    not_worse_than_champion: int
    meets_threshold: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as JSON values."""
        return asdict(self)


def decide(
    metric: str,
    value: float,
    *,
    baseline: float,
    chance: float,
    threshold: float | None = None,
    champion_value: float | None = None,
    challenger_value: float | None = None,
    tolerance: float = 0.0,
) -> Gate:
    """Decide whether a model may be registered.

    Args:
        metric: Metric that decides.
        value: What the model reaches.
        baseline: What predicting the prior reaches.
        chance: Share of bootstrap resamples of the test records in which the model does not beat the prior.
        threshold: What the configuration asks for. Default: nothing.
        champion_value: What the last approved model reaches. Default: there is none.
        challenger_value: What this model reaches on the same records as the champion. Default: `value`.
        tolerance: How much worse than the champion the model may be.
    """
    side = "at most" if metric in LOWER_IS_BETTER else "at least"
    slack = tolerance if metric in LOWER_IS_BETTER else -tolerance
    misses = []
    better_than_prior = is_better(metric, value, baseline) and chance <= HIGHEST_CHANCE
    if not is_better(metric, value, baseline):
        misses.append(f"not better than predicting the prior, which reaches {baseline:.4f}")
    elif not better_than_prior:
        misses.append(
            f"better than predicting the prior ({baseline:.4f}), but in {chance:.0%} of resamples of the test records "
            f"it is not, more than {HIGHEST_CHANCE:.0%}: more test records are needed to tell"
        )
    meets_threshold = threshold is None or not is_better(metric, threshold, value)
    if not meets_threshold:
        misses.append(f"the threshold is {side} {threshold:.4f}")
    rival = value if challenger_value is None else challenger_value
    not_worse = champion_value is None or not is_better(metric, champion_value + slack, rival)
    if not not_worse:
        same = "the same records" if rival == value else f"records new to both, where this one reaches {rival:.4f}"
        misses.append(f"the approved model reaches {champion_value:.4f} on {same}")
    return Gate(
        metric=metric,
        value=value,
        threshold=threshold,
        baseline=baseline,
        champion_value=champion_value,
        challenger_value=None if champion_value is None else rival,
        passed=int(not misses),
        better_than_prior=int(better_than_prior),
        not_worse_than_champion=int(not_worse),
        meets_threshold=int(meets_threshold),
        reason=f"{metric} is {value:.4f}: " + ("; ".join(misses) or "all requirements are met"),
    )
