"""Pictures of an evaluation, as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tabular import metrics
from tabular.metrics import Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREY, RED = "#2a6fbb", "#9aa0a6", "#c0392b"
MOST_BARS = 20
MOST_NUMBERED_CLASSES = 20
MOST_POINTS = 5_000
LONGEST_NAME = 32
SHORT_NAME = 6
CALIBRATION_BINS = 10


def draw_binary(folder: Path, truth: Numbers, scores: Numbers) -> None:
    """Draw ROC, precision-recall and calibration curves."""
    ranking = metrics.Ranking.of(truth, scores)
    axes = _axes("ROC curve", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="chance")
    curve = (
        metrics.thinned(rates, MOST_POINTS) for rates in (ranking.false_positive_rates, ranking.true_positive_rates)
    )
    axes.plot(*curve, color=BLUE, label=f"AUC {ranking.auc:.3f}")
    _save(axes, folder / "roc.png")

    axes = _axes("Precision and recall", "recall", "precision")
    axes.axhline(truth.mean(), color=GREY, linestyle="--", label="always positive")
    label = f"average precision {ranking.average_precision:.3f}"
    curve = (metrics.thinned(shares, MOST_POINTS) for shares in (ranking.recalls, ranking.precisions))
    axes.step(*curve, where="pre", color=BLUE, label=label)
    _save(axes, folder / "precision_recall.png")

    predicted, observed = _calibration(truth, scores)
    axes = _axes("Calibration", "predicted probability", "observed share")
    limit = max(*predicted, *observed)
    axes.plot([0, limit], [0, limit], color=GREY, linestyle="--", label="perfect")
    axes.plot(predicted, observed, color=BLUE, marker="o", label="deciles of the records")
    _save(axes, folder / "calibration.png")


def draw_confusion(folder: Path, counts: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """Draw how often each class was taken for which."""
    matrix = np.asarray(counts)
    axes = _axes("Confusion matrix", "predicted", "actual")
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_plain(name) for name in classes]
    long = any(len(name) > SHORT_NAME for name in names)
    axes.set_xticks(range(len(classes)), names, rotation=45 if long else 0, ha="right" if long else "center")
    axes.set_yticks(range(len(classes)), names)
    for (row, column), count in np.ndenumerate(matrix) if len(classes) <= MOST_NUMBERED_CLASSES else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(
            column, row, str(count), ha="center", va="center", color=colour, fontsize=14 if len(classes) <= 4 else 9
        )
    _save(axes, folder / "confusion_matrix.png", legend=False)


def draw_regression(folder: Path, truth: Numbers, scores: Numbers) -> None:
    """Draw predictions against observations, and the residuals."""
    shown = slice(None, None, max(1, len(truth) // MOST_POINTS))
    truth, scores = truth[shown], scores[shown]
    axes = _axes("Predicted and observed", "observed", "predicted")
    span = [min(truth.min(), scores.min()), max(truth.max(), scores.max())]
    axes.plot(span, span, color=GREY, linestyle="--", label="perfect")
    axes.scatter(truth, scores, s=8, alpha=0.5, color=BLUE, label="test records")
    _save(axes, folder / "predicted.png")

    axes = _axes("Residuals", "predicted", "observed minus predicted")
    axes.axhline(0, color=GREY, linestyle="--")
    axes.scatter(scores, truth - scores, s=8, alpha=0.5, color=BLUE)
    _save(axes, folder / "residuals.png", legend=False)


def draw_importance(folder: Path, importance: Mapping[str, float]) -> None:
    """Draw what the most important columns contribute."""
    names = list(importance)[:MOST_BARS][::-1]
    axes = _axes("Importance of the columns", "share of the gain", "")
    axes.barh(range(len(names)), [importance[name] for name in names], color=BLUE)
    axes.set_yticks(range(len(names)), [_plain(name) for name in names])
    _save(axes, folder / "feature_importance.png", legend=False)


def _plain(text: str) -> str:
    """Return text that fits beside the axes, and in which dollar signs are not the marks of a formula."""
    half = LONGEST_NAME // 2
    short = text if len(text) <= LONGEST_NAME else f"{text[: half - 1]}…{text[-half:]}"  # long names differ at the end
    return short.replace("$", r"\$")


def _calibration(truth: Numbers, scores: Numbers) -> tuple[list[float], list[float]]:
    """Return mean score and share of positives in deciles of the records, from the lowest scores to the highest."""
    parts = [part for part in np.array_split(np.argsort(scores, kind="stable"), CALIBRATION_BINS) if len(part)]
    return [float(scores[part].mean()) for part in parts], [float(truth[part].mean()) for part in parts]


def _axes(title: str, x_label: str, y_label: str) -> "Axes":
    """Return the axes of a new picture."""
    from matplotlib.figure import Figure  # takes long to import, and most jobs draw nothing

    axes = Figure(figsize=(6, 4.5), dpi=110, layout="constrained").add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return axes


def _save(axes: "Axes", path: Path, *, legend: bool = True) -> None:
    """Write the picture."""
    if legend:
        axes.legend(frameon=False)
    axes.figure.savefig(path)
