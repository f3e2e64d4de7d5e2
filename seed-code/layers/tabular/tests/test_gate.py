import pytest

from tabular.gate import decide


def test_a_good_model_passes() -> None:
    gate = decide("auc", 0.85, baseline=0.5, chance=0.0, threshold=0.8, champion_value=0.84)
    assert gate.passed == 1
    assert gate.reason == "auc is 0.8500: all requirements are met"


@pytest.mark.parametrize(
    ("metric", "value", "conditions", "flag", "reason"),
    [
        (
            "auc",
            0.5,
            {"baseline": 0.5},
            "better_than_prior",
            "not better than predicting the prior, which reaches 0.5000",
        ),
        ("auc", 0.55, {"baseline": 0.5, "chance": 0.2}, "better_than_prior", "in 20% of resamples"),
        ("auc", 0.75, {"baseline": 0.5, "threshold": 0.8}, "meets_threshold", "the threshold is at least 0.8000"),
        (
            "auc",
            0.75,
            {"baseline": 0.5, "champion_value": 0.76},
            "not_worse_than_champion",
            "approved model reaches 0.7600",
        ),
        ("rmse", 9.0, {"baseline": 8.0}, "better_than_prior", "not better than predicting the prior"),
        ("rmse", 5.0, {"baseline": 8.0, "threshold": 4.0}, "meets_threshold", "the threshold is at most 4.0000"),
        (
            "rmse",
            5.0,
            {"baseline": 8.0, "champion_value": 4.9},
            "not_worse_than_champion",
            "approved model reaches 4.9000",
        ),
    ],
)
def test_each_miss_is_flagged_and_named(
    metric: str, value: float, conditions: dict[str, float], flag: str, reason: str
) -> None:
    gate = decide(metric, value, **{"chance": 0.0} | conditions)
    flags = {name: gate.to_dict()[name] for name in ("better_than_prior", "meets_threshold", "not_worse_than_champion")}
    assert gate.passed == 0
    assert [name for name, fine in flags.items() if not fine] == [flag]
    assert reason in gate.reason


def test_every_number_that_missed_is_in_the_reason() -> None:
    gate = decide("auc", 0.5, baseline=0.5, chance=1.0, threshold=0.8, champion_value=0.9)
    for number in ("0.5000", "0.8000", "0.9000"):
        assert number in gate.reason


@pytest.mark.parametrize(("metric", "value", "champion"), [("auc", 0.75, 0.76), ("rmse", 5.0, 4.99)])
def test_a_tolerance_lets_an_almost_equal_model_pass(metric: str, value: float, champion: float) -> None:
    baseline = 0.5 if metric == "auc" else 8.0
    assert decide(metric, value, baseline=baseline, chance=0.0, champion_value=champion, tolerance=0.02).passed == 1


def test_the_champion_is_compared_on_the_records_that_are_new_to_both() -> None:
    conditions = {"baseline": 0.5, "chance": 0.0, "champion_value": 0.75}
    assert decide("auc", 0.70, **conditions, challenger_value=0.76).passed == 1
    missed = decide("auc", 0.80, **conditions, challenger_value=0.74)
    assert missed.not_worse_than_champion == 0
    assert "reaches 0.7500 on records new to both, where this one reaches 0.7400" in missed.reason


@pytest.mark.parametrize("metric", ["auc", "rmse"])
def test_equal_to_champion_and_threshold_is_enough(metric: str) -> None:
    baseline = 0.2 if metric == "auc" else 0.9
    assert decide(metric, 0.7, baseline=baseline, chance=0.0, threshold=0.7, champion_value=0.7).passed == 1
