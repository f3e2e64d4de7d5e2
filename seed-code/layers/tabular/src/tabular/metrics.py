"""Metrics of the three problem types, computed on one split.

Names are those of SageMaker model quality reports where it has one. `scores` are probabilities (or values), `truth` the
numbers of the classes (or values), see `tabular.model`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from tabular.config import LOWER_IS_BETTER
from tabular.errors import DataError

Numbers = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]

SECTIONS = {
    "binary": "binary_classification_metrics",
    "multiclass": "multiclass_classification_metrics",
    "regression": "regression_metrics",
}
BOOTSTRAP_ROUNDS = 200
BOOTSTRAP_ROWS = 20_000  # drawing more takes longer and only makes the spread look a little smaller


@dataclass(frozen=True)
class Prior:
    """What is known of a record that nothing is known of: how the targets of the training records are distributed.

    Attributes:
        rows: Training records.
        mean: Mean of the values, share of the positive class.
        median: Median of the values; 0 where there are classes.
        shares: Share of each class; empty where there are values.
    """

    rows: int
    mean: float
    median: float
    shares: Numbers

    @classmethod
    def of(cls, problem_type: str, targets: Iterable[Numbers]) -> Self:
        """Take the targets of the training records, part by part; values, but no classes, are kept for the median."""
        if problem_type == "regression":
            values = np.concatenate(list(targets))
            return cls(len(values), float(values.mean()), float(np.median(values)), np.empty(0))
        counts = np.zeros(0, np.int64)
        for part in targets:
            found = np.bincount(part.astype(int), minlength=len(counts))
            found[: len(counts)] += counts
            counts = found
        shares = counts / counts.sum()
        return cls(int(counts.sum()), float(shares @ np.arange(len(shares))), 0.0, shares)


@dataclass(frozen=True)
class Ranking:
    """What is called positive when the line is drawn below each score in turn, from the highest to the lowest.

    Attributes:
        thresholds: The different scores, in descending order.
        hits: Positive records with at least that score.
        false_alarms: Negative records with at least that score.
    """

    thresholds: Numbers
    hits: Numbers
    false_alarms: Numbers

    @classmethod
    def of(cls, truth: Numbers, scores: Numbers) -> Self:
        """Rank the records of a binary problem by their scores."""
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        last_of_equals = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        hits = np.cumsum(truth[order])[last_of_equals]
        return cls(ordered[last_of_equals], hits, last_of_equals + 1 - hits)

    @property
    def true_positive_rates(self) -> Numbers:
        """Share of the positive records found, from 0 to 1; nothing can be found without any."""
        return np.concatenate([[0.0], self.hits / max(self.hits[-1], 1)])

    @property
    def false_positive_rates(self) -> Numbers:
        """Share of the negative records called positive, from 0 to 1."""
        return np.concatenate([[0.0], self.false_alarms / max(self.false_alarms[-1], 1)])

    @property
    def recalls(self) -> Numbers:
        """The same as the true positive rates."""
        return self.true_positive_rates

    @property
    def precisions(self) -> Numbers:
        """Share of positive records among those called positive; 1 before the first."""
        return np.concatenate([[1.0], self.hits / (self.hits + self.false_alarms)])

    @property
    def auc(self) -> float:
        """Area under the ROC curve."""
        return float(np.trapezoid(self.true_positive_rates, self.false_positive_rates))

    @property
    def average_precision(self) -> float:
        """Precision averaged over the recall gained."""
        return float(np.sum(np.diff(self.recalls) * self.precisions[1:]))


def compute(problem_type: str, truth: Numbers, scores: Numbers, threshold: float = 0.5) -> dict[str, float]:
    """Return all metrics of a problem type.

    The monitor of a deployment repository calls it, in the code of whichever version trained the model: it stays.

    Args:
        problem_type: ``binary``, ``multiclass`` or ``regression``.
        truth: What was observed.
        scores: What was predicted.
        threshold: Least score that is labelled positive, binary only.
    """
    return measure(problem_type, truth, condensed(problem_type, truth, scores), threshold)


def condensed(problem_type: str, truth: Numbers, scores: Numbers) -> Numbers:
    """Return what metrics need of scores, at most two numbers per record however many classes there are.

    Returns:
        The scores; of a multiclass problem the predicted class and the probability of the true one.
    """
    if problem_type != "multiclass":
        return scores
    return np.column_stack([scores.argmax(axis=1), scores[np.arange(len(scores)), truth.astype(int)]])


def measure(problem_type: str, truth: Numbers, scores: Numbers, threshold: float = 0.5) -> dict[str, float]:
    """Return all metrics of a problem type, given scores that are `condensed`; see `compute`."""
    if problem_type == "binary":
        return _binary(truth, scores, threshold)
    if problem_type == "regression":
        return _regression(truth, scores)
    return _multiclass(truth.astype(int), scores[:, 0].astype(int), scores[:, 1])


def baseline(problem_type: str, prior: Prior, truth: Numbers) -> dict[str, float]:
    """Return for every metric what the best constant prediction reaches that the training records suggest.

    Args:
        problem_type: ``binary``, ``multiclass`` or ``regression``.
        prior: The targets of the training records.
        truth: Targets of the test records.
    """
    rows = len(truth)
    if problem_type == "regression":
        reached = _regression(truth, np.full(rows, prior.mean))
        return reached | {"mae": _regression(truth, np.full(rows, prior.median))["mae"]}
    if problem_type == "binary":
        always_yes = _binary(truth, np.full(rows, prior.mean), threshold=0.0)
        return _binary(truth, np.full(rows, prior.mean), threshold=0.5) | {"f1": always_yes["f1"]}
    known = truth.astype(int)
    shares = np.zeros(max(len(prior.shares), known.max() + 1))
    shares[: len(prior.shares)] = prior.shares
    return _multiclass(known, np.full(rows, shares.argmax()), shares[known])


def decision_threshold(truth: Numbers, scores: Numbers) -> float:
    """Return the least score to call positive that gives the best F1; 0.5 where nothing can be told."""
    ranking = Ranking.of(truth, scores)
    f1 = 2 * ranking.hits / (ranking.hits + ranking.false_alarms + ranking.hits[-1])
    return float(ranking.thresholds[f1.argmax()]) if f1.max() > 0 else 0.5


def resamples(truth: Numbers, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield positions of records drawn with replacement (bootstrap), without draws on which nothing can be measured."""
    random = np.random.default_rng(seed)
    for _ in range(BOOTSTRAP_ROUNDS):
        sample = random.integers(len(truth), size=min(len(truth), BOOTSTRAP_ROWS))
        if len(np.unique(truth[sample])) > 1:
            yield sample


def thinned(points: Numbers, most: int) -> Numbers:
    """Return at most so many points of a curve, first and last included."""
    return points[np.unique(np.linspace(0, len(points) - 1, most).astype(int))]


def is_better(metric: str, value: float, other: float) -> bool:
    """Tell whether a value of a metric is better than another one, and not only equal."""
    return value < other if metric in LOWER_IS_BETTER else value > other


def check_variety(problem_type: str, truth: Numbers, split: str) -> None:
    """Refuse a split on which metrics mean nothing.

    Raises:
        DataError: All records of the split have the same target.
    """
    if len(np.unique(truth)) < 2:
        what = "value" if problem_type == "regression" else "class"
        raise DataError(
            f"All {len(truth)} records of the {split} split have the same {what}, so nothing can be measured on it. "
            f"Provide more data, or a greater share for {split} under splits in config.yaml."
        )


def _binary(truth: Numbers, scores: Numbers, threshold: float) -> dict[str, float]:
    """Return the metrics of a binary problem."""
    ranking = Ranking.of(truth, scores)
    positive = scores >= threshold
    hits, false_alarms = float(np.sum(positive & (truth == 1))), float(np.sum(positive & (truth == 0)))
    missed, rejected = float(np.sum(~positive & (truth == 1))), float(np.sum(~positive & (truth == 0)))
    precision = hits / (hits + false_alarms) if hits else 0.0
    recall = hits / (hits + missed) if hits else 0.0
    specificity = rejected / (rejected + false_alarms) if rejected else 0.0
    certain = np.clip(scores, 1e-15, 1 - 1e-15)
    return {
        "auc": ranking.auc,
        "pr_auc": ranking.average_precision,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
        "accuracy": (hits + rejected) / len(truth),
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": precision,
        "recall": recall,
        "log_loss": float(-np.mean(np.where(truth == 1, np.log(certain), np.log(1 - certain)))),
        "brier": float(np.mean((scores - truth) ** 2)),
    }


def _multiclass(known: Classes, predicted: Classes, likelihood: Numbers) -> dict[str, float]:
    """Return the metrics of a multiclass problem; classes that no test record has do not count.

    Args:
        known: Number of the true class.
        predicted: Number of the predicted class.
        likelihood: Predicted probability of the true class.
    """
    classes = int(max(known.max(), predicted.max())) + 1
    counts = np.bincount(known, minlength=classes)
    present = np.flatnonzero(counts)
    counts = counts[present]
    hits = np.bincount(known[known == predicted], minlength=classes)[present].astype(float)
    called = np.bincount(predicted, minlength=classes)[present].astype(float)
    recall = hits / counts
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    f1 = 2 * hits / (counts + called)
    share = counts / counts.sum()
    certain = np.clip(likelihood, 1e-15, 1)
    return {
        "macro_f1": float(f1.mean()),
        "weighted_f1": float(f1 @ share),
        "weighted_precision": float(precision @ share),
        "weighted_recall": float(recall @ share),
        "accuracy": float(hits.sum() / len(known)),
        "balanced_accuracy": float(recall.mean()),
        "log_loss": float(-np.mean(np.log(certain))),
    }


def _regression(truth: Numbers, scores: Numbers) -> dict[str, float]:
    """Return the metrics of a regression problem."""
    errors = truth - scores
    mse = float(np.mean(errors**2))
    return {
        "mae": float(np.mean(np.abs(errors))),
        "mse": mse,
        "rmse": float(np.sqrt(mse)),
        "r2": 1 - mse / float(np.var(truth)),
    }
