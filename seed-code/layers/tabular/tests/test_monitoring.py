from functools import reduce

import numpy as np
import pyarrow as pa
import pytest
from tabular_jobs import LABELS, evaluated

from tabular.monitoring import SKETCH_ITEMS, Digest, merged, quantile_sketch
from tabular.schema import Column, Schema


@pytest.mark.slow
def test_statistics_describe_the_training_records_without_the_label() -> None:
    project = evaluated("binary")
    training = project.split("train")
    statistics = project.json("baseline", "statistics.json")
    features = {feature["name"]: feature for feature in statistics["features"]}
    assert statistics["dataset"]["item_count"] == len(training)
    assert list(features) == ["spent", "visits", "region", "member", "joined", "note"]
    spent = features["spent"]["numerical_statistics"]
    assert spent["common"] == {
        "num_present": int(training["spent"].notna().sum()),
        "num_missing": int(training["spent"].isna().sum()),
    }
    assert spent["mean"] == pytest.approx(training["spent"].mean())
    assert (spent["min"], spent["max"]) == (training["spent"].min(), training["spent"].max())
    buckets = spent["distribution"]["kll"]["buckets"]
    assert len(buckets) == 10
    assert sum(bucket["count"] for bucket in buckets) == spent["common"]["num_present"]
    region = features["region"]["string_statistics"]
    counted = {bucket["value"]: bucket["count"] for bucket in region["distribution"]["categorical"]["buckets"]}
    assert counted == training["region"].value_counts().to_dict()
    assert region["distinct_count"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("problem_type", LABELS)
def test_model_quality_may_fall_a_little_below_what_was_measured(problem_type: str) -> None:
    project = evaluated(problem_type)
    constraints = project.json("baseline", "model_quality_constraints.json")
    report = project.json("evaluation", "evaluation.json")
    (section,) = (name for name in constraints if name != "version")
    measured = report[section.replace("_constraints", "_metrics")]
    assert constraints[section]
    for name, limit in constraints[section].items():
        lower_is_better = name in ("mae", "mse", "rmse")
        assert limit["comparison_operator"] == ("GreaterThanThreshold" if lower_is_better else "LessThanThreshold")
        assert (limit["threshold"] > measured[name]["value"]) == lower_is_better
        assert limit["threshold"] == pytest.approx(
            measured[name]["value"], abs=2.001 * measured[name]["standard_deviation"]
        )


@pytest.mark.slow
def test_constraints_tell_types_completeness_and_domains() -> None:
    project = evaluated("binary")
    constraints = project.json("baseline", "constraints.json")
    features = {feature["name"]: feature for feature in constraints["features"]}
    types = {name: feature["inferred_type"] for name, feature in features.items()}
    assert (types["spent"], types["visits"], types["region"], types["member"]) == (
        "Fractional",
        "Integral",
        "String",
        "String",
    )
    assert features["visits"]["num_constraints"] == {"is_non_negative": True}
    assert features["spent"]["completeness"] == pytest.approx(project.split("train")["spent"].notna().mean())
    assert features["region"]["string_constraints"]["domains"] == ["east", "north", "south", "wést"]
    assert "string_constraints" not in features["note"]  # too many different values to be a domain
    assert constraints["monitoring_config"]["evaluate_constraints"] == "Enabled"


@pytest.mark.parametrize("values", [[5, 5, 5], [2**62, 2**62 + 1, 2**62 + 2000], [-1e30, 0, 1e30], [1]])
def test_extreme_ranges_still_fill_ten_buckets(values: list[float]) -> None:
    schema = Schema("y", "regression", (), (), (Column("c", "number"),), len(values), 0, ())
    records = pa.RecordBatch.from_pydict({"c": pa.array(map(float, values))})
    digest = Digest(schema)
    digest.add(records)
    digest.add_to_buckets(records)
    (feature,) = digest.statistics()["features"]
    described = feature["numerical_statistics"]
    buckets = described["distribution"]["kll"]["buckets"]
    assert [len(buckets), sum(bucket["count"] for bucket in buckets)] == [10, len(values)]
    assert (buckets[0]["lower_bound"], buckets[-1]["upper_bound"]) == (described["min"], described["max"])


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("count", [7, 2048, 2049, 5000, 100_001])
def test_the_sketch_represents_all_numbers_and_keeps_quantiles(count: int, parts: int) -> None:
    numbers = np.random.default_rng(1).normal(size=count)
    levels = reduce(merged, map(quantile_sketch, np.array_split(numbers, parts)))
    assert sum(len(items) << level for level, items in enumerate(levels)) == count
    assert max(len(items) for items in levels) <= SKETCH_ITEMS
    weighted = np.concatenate([np.repeat(items, 1 << level) for level, items in enumerate(levels)])
    ranks = np.searchsorted(np.sort(numbers), np.quantile(weighted, np.linspace(0, 1, 101)))
    assert ranks / count == pytest.approx(np.linspace(0, 1, 101), abs=0.003 + 1 / count)


def test_statistics_of_many_parts_are_those_of_the_whole() -> None:
    random = np.random.default_rng(2)
    numbers = pa.array(np.where(random.random(9000) < 0.1, None, random.normal(5, 2, 9000)), pa.float64())
    records = pa.RecordBatch.from_pydict({"n": numbers, "t": pa.array(random.choice(list("aabc"), 9000))})
    schema = Schema("y", "regression", (), (), (Column("n", "number"), Column("t", "category")), 9000, 0, ())
    found = []
    for size in (9000, 1000):
        digest = Digest(schema)
        for look in (digest.add, digest.add_to_buckets):
            for start in range(0, 9000, size):
                look(records.slice(start, size))
        found.append((digest.statistics(), digest.constraints()))
    (whole, constraints), (parts, same) = found
    assert constraints == same
    assert whole["features"][1] == parts["features"][1]
    for key, value in whole["features"][0]["numerical_statistics"].items():
        other = parts["features"][0]["numerical_statistics"][key]
        if key == "distribution":
            assert value["kll"]["buckets"] == other["kll"]["buckets"]
        else:
            assert value == pytest.approx(other)
