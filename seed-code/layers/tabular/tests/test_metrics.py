import numpy as np
import pytest

from tabular import metrics
from tabular.errors import DataError
from tabular.metrics import Ranking

TRUTH = np.array([0.0, 0.0, 1.0, 1.0])
SCORES = np.array([0.1, 0.4, 0.35, 0.8])


def test_binary_metrics_of_a_worked_example() -> None:
    reached = metrics.compute("binary", TRUTH, SCORES, threshold=0.4)
    assert reached["auc"] == pytest.approx(3 / 4)  # three of the four pairs are in the right order
    assert reached["pr_auc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert (reached["precision"], reached["recall"], reached["f1"], reached["accuracy"]) == (0.5, 0.5, 0.5, 0.5)
    assert reached["brier"] == pytest.approx((0.01 + 0.16 + 0.4225 + 0.04) / 4)
    assert reached["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.6, 0.35, 0.8])))


def test_equal_scores_are_half_right() -> None:
    ranking = Ranking.of(TRUTH, np.full(4, 0.3))
    assert (ranking.auc, ranking.average_precision) == (0.5, 0.5)


def test_the_order_of_records_does_not_matter() -> None:
    random = np.random.default_rng(3)
    truth, scores = random.integers(0, 2, 200).astype(float), random.integers(0, 20, 200) / 20
    order = random.permutation(200)
    assert metrics.compute("binary", truth, scores) == pytest.approx(
        metrics.compute("binary", truth[order], scores[order])
    )


def test_multiclass_metrics_of_a_worked_example() -> None:
    truth = np.array([0.0, 0.0, 1.0, 2.0])
    scores = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    reached = metrics.compute("multiclass", truth, scores)
    assert reached["accuracy"] == 0.75
    assert reached["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert reached["weighted_f1"] == pytest.approx((2 * 2 / 3 + 2 / 3 + 1) / 4)
    assert reached["balanced_accuracy"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert reached["log_loss"] == pytest.approx(-np.mean(np.log([0.7, 0.2, 0.8, 0.6])))


def test_regression_metrics_of_a_worked_example() -> None:
    reached = metrics.compute("regression", np.array([1.0, 2.0, 6.0]), np.array([1.0, 4.0, 5.0]))
    assert reached == pytest.approx({"mae": 1.0, "mse": 5 / 3, "rmse": (5 / 3) ** 0.5, "r2": 1 - 5 / 14})


def test_predicting_the_prior_reaches_what_chance_reaches() -> None:
    prior = np.array([0.0] * 90 + [1.0] * 10)
    reached = metrics.baseline("binary", metrics.Prior.of("binary", [prior[:95], prior[95:]]), prior)
    assert (reached["auc"], reached["pr_auc"], reached["accuracy"]) == (0.5, 0.1, 0.9)
    assert reached["brier"] == pytest.approx(0.09)
    assert reached["f1"] == pytest.approx(2 * 0.1 / 1.1)  # always answering yes


def test_the_prior_of_numbers_is_their_mean_and_for_absolute_errors_their_median() -> None:
    reached = metrics.baseline(
        "regression", metrics.Prior.of("regression", [np.array([0.0, 9.0]), np.zeros(1)]), np.array([0.0, 3.0])
    )
    assert reached["mae"] == pytest.approx(1.5)
    assert reached["mse"] == pytest.approx(4.5)


def test_the_prior_of_classes_is_the_most_frequent_one() -> None:
    reached = metrics.baseline(
        "multiclass", metrics.Prior.of("multiclass", [np.array([0.0, 1.0, 1.0, 2.0])]), np.array([1.0, 2.0])
    )
    assert reached["accuracy"] == 0.5
    assert reached["log_loss"] == pytest.approx(-np.mean(np.log([0.5, 0.25])))


def test_the_decision_threshold_gives_the_best_f1() -> None:
    threshold = metrics.decision_threshold(TRUTH, SCORES)
    best = metrics.compute("binary", TRUTH, SCORES, threshold)["f1"]
    assert best == max(metrics.compute("binary", TRUTH, SCORES, candidate)["f1"] for candidate in (0.0, *SCORES, 1.0))


def test_resamples_repeat_and_always_hold_two_classes() -> None:
    truth = np.array([0.0] * 30 + [1.0])
    first, second = (list(metrics.resamples(truth, seed=5)) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    assert 0 < len(first) < metrics.BOOTSTRAP_ROUNDS
    assert all(len(np.unique(truth[sample])) == 2 for sample in first)


def test_a_split_with_one_class_cannot_be_measured() -> None:
    with pytest.raises(DataError, match="All 3 records of the test split have the same class"):
        metrics.check_variety("binary", np.zeros(3), "test")


@pytest.mark.parametrize(("metric", "better", "worse"), [("auc", 0.8, 0.7), ("rmse", 3.0, 4.0), ("log_loss", 0.1, 0.2)])
def test_better_depends_on_the_metric(metric: str, better: float, worse: float) -> None:
    assert metrics.is_better(metric, better, worse)
    assert not metrics.is_better(metric, worse, better)
    assert not metrics.is_better(metric, better, better)
