"""Measure the model on the test records and decide whether it may be registered.

Reads ``input/model/model.tar.gz`` and the splits ``input/train``, ``input/validation`` and ``input/test``; writes

* ``output/evaluation``: ``evaluation.json`` (metrics as in SageMaker model quality reports, ``baseline``, ``champion``
  and ``gate``), curves as PNG, ``feature_importance.json`` and ``predictions.csv``;
* ``output/baseline``: ``statistics.json`` and ``constraints.json`` of the inputs, ``model_quality_constraints.json`` of
  the predictions, and ``analysis.json``, which columns moved them, for Model Monitor;
* ``output/samples``: held-out raw records (``records.jsonl``, ``records.csv``) and, in the same order, what the
  endpoint has to answer and what was observed (``expected.jsonl``); ``payload.tar.gz`` holds the CSV for load tests.
"""

import csv
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from tabular import curves, gate, metrics, monitoring
from tabular.champion import download_champion
from tabular.comparison import Champion, compare
from tabular.config import Config
from tabular.jobs import Folders, processing_arguments, run, write_json
from tabular.model import Model, Scores, targets, unpack
from tabular.schema import KEY, LABEL, Schema
from tabular.splits import Split, whole
from tabular.values import canonical, texts

MOST_CURVE_POINTS = 200
MOST_SAMPLES = 500
MOST_EXPLAINED = 2_000


def main() -> None:
    """Evaluate the model that the job was given."""
    parser = processing_arguments(__doc__)
    parser.add_argument("--model-package-group", default="", help="group whose latest approved model is the champion")
    arguments = parser.parse_args()
    folders = Folders(arguments.base)
    with tempfile.TemporaryDirectory() as scratch:
        model = Model.load(unpack(folders.input("model") / "model.tar.gz", Path(scratch) / "model"))
        # What counts is the configuration of this run: a threshold may change without a new training.
        config = Config.load()
        training, test = (Split(folders.input(split), model.schema, config) for split in ("train", "test"))
        digest = monitoring.Digest(model.schema)
        prior = metrics.Prior.of(model.schema.problem_type, surveyed(training, digest, model.schema))
        for records in training:
            digest.add_to_buckets(records)
        outcome = score(model, test, folders.output("evaluation") / "predictions.csv")
        metrics.check_variety(model.schema.problem_type, outcome.truth, "test")
        champion = find_champion(arguments.model_package_group, Path(scratch), model, test, outcome)
    report = evaluate(model, config, prior, outcome, champion)
    write_evaluation(folders.output("evaluation"), report, model, outcome)
    write_json(folders.output("baseline") / "statistics.json", digest.statistics(), for_people=False)
    write_json(folders.output("baseline") / "constraints.json", digest.constraints())
    quality = monitoring.quality_constraints(model.schema.problem_type, report)
    write_json(folders.output("baseline") / "model_quality_constraints.json", quality)
    write_json(folders.output("baseline") / "analysis.json", explanation(model, outcome.first))
    write_samples(folders.output("samples"), model, outcome.first.slice(0, MOST_SAMPLES))
    print(f"approved model: {champion.note}")
    print(("PASSED: " if report["gate"]["passed"] else "NOT GOOD ENOUGH: ") + report["gate"]["reason"])


def surveyed(training: Split, digest: monitoring.Digest, schema: Schema) -> Iterator[Scores]:
    """Yield the targets of the training records, and show the records to the baselines as well."""
    for records in training:
        digest.add(records)
        yield targets(records, schema)


@dataclass(frozen=True)
class Outcome:
    """What is kept of the test records: two or three numbers of each, and the first ones.

    Attributes:
        truth: What was observed.
        scores: What the model predicts, `tabular.metrics.condensed`.
        first: At most `MOST_EXPLAINED` records. As all are in the order of their hashes, these are a sample.
    """

    truth: Scores
    scores: Scores
    first: pa.RecordBatch


def score(model: Model, test: Split, path: Path) -> Outcome:
    """Score the test records and write the predictions into a CSV file."""
    truth, scores, first = [], [], []
    problem_type = model.schema.problem_type
    wanted = MOST_EXPLAINED
    with path.open("wb") as stream:
        for records in test:
            found = model.scores(records)
            write_predictions(stream, model, records, found, with_header=not truth)
            truth.append(targets(records, model.schema))
            scores.append(metrics.condensed(problem_type, truth[-1], found))
            if wanted:
                first.append(records.slice(0, wanted))
                wanted -= len(first[-1])
    return Outcome(np.concatenate(truth), np.concatenate(scores), whole(pa.Table.from_batches(first)))


def find_champion(group: str, scratch: Path, model: Model, test: Split, outcome: Outcome) -> Champion:
    """Score the last approved model of a group on the test records."""
    found = download_champion(group, scratch / "champion") if group else None
    if found is None:
        return Champion(note="no approved model to compare with")
    arn, archive = found
    return compare(arn, archive, scratch / "champion" / "model", model, test, outcome.truth, outcome.scores)


def evaluate(
    model: Model, config: Config, prior: metrics.Prior, outcome: Outcome, champion: Champion
) -> dict[str, Any]:
    """Return the content of ``evaluation.json``.

    Args:
        model: The new model.
        config: The configuration of this run.
        prior: The targets of the training records.
        outcome: What the model predicts for the test records.
        champion: The approved model, where there is one.
    """
    problem_type, truth, scores = model.schema.problem_type, outcome.truth, outcome.scores
    metric = config.metric_for(problem_type)
    reached = metrics.measure(problem_type, truth, scores, model.decision_threshold)
    baseline = metrics.baseline(problem_type, prior, truth)
    samples = list(metrics.resamples(truth, config.seed))
    drawn = [metrics.measure(problem_type, truth[at], scores[at], model.decision_threshold) for at in samples]
    missed = [
        not metrics.is_better(metric, values[metric], metrics.baseline(problem_type, prior, truth[at])[metric])
        for values, at in zip(drawn, samples, strict=True)
    ]
    decision = gate.decide(
        metric,
        reached[metric],
        baseline=baseline[metric],
        chance=float(np.mean(missed)) if missed else 1.0,
        threshold=config.threshold,
        champion_value=champion.metrics.get(metric),
        challenger_value=champion.challenger_metrics.get(metric),
        tolerance=config.champion_tolerance,
    )
    section: dict[str, Any] = {
        name: {
            "value": value,
            "standard_deviation": float(np.std([values[name] for values in drawn])) if drawn else 0.0,
        }
        for name, value in reached.items()
    }
    if problem_type != "regression":
        section["confusion_matrix"] = confusion_matrix(model, truth, scores)
    if problem_type == "binary":
        section |= curve_points(truth, scores)
    return {
        metrics.SECTIONS[problem_type]: section,
        "dataset": {"item_count": len(truth), "training_item_count": prior.rows},
        "problem_type": problem_type,
        "classes": list(model.schema.classes),
        "columns_left_out": dict(model.encoders.left_out),
        "decision_threshold": model.decision_threshold if problem_type == "binary" else None,
        "baseline": baseline,
        "champion": champion.to_dict(),
        "gate": decision.to_dict(),
    }


def confusion_matrix(model: Model, truth: Scores, scores: Scores) -> dict[str, dict[str, int]]:
    """Return how many records of each actual class (outer) got which label (inner)."""
    classes = model.schema.classes
    predicted = model.predicted(scores) if model.schema.problem_type == "binary" else scores[:, 0].astype(int)
    pairs = truth.astype(int) * len(classes) + predicted
    counts = np.bincount(pairs, minlength=len(classes) ** 2).reshape(len(classes), -1).tolist()
    return {actual: dict(zip(classes, row, strict=True)) for actual, row in zip(classes, counts, strict=True)}


def curve_points(truth: Scores, scores: Scores) -> dict[str, Any]:
    """Return the points of both curves, as many as a picture needs."""
    ranking = metrics.Ranking.of(truth, scores)
    found = {
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": ranking.false_positive_rates,
            "true_positive_rates": ranking.true_positive_rates,
        },
        "precision_recall_curve": {"precisions": ranking.precisions, "recalls": ranking.recalls},
    }
    return {
        name: {axis: metrics.thinned(points, MOST_CURVE_POINTS).tolist() for axis, points in axes.items()}
        for name, axes in found.items()
    }


def importance(model: Model) -> dict[str, float]:
    """Return the share of each column in the gain of all splits, greatest first; the parts of a date are added."""
    gains = model.booster.get_score(importance_type="total_gain")
    columns: dict[str, float] = {}
    position = 0
    for encoder in model.encoders.encoders:
        names = [f"f{position + part}" for part in range(len(encoder.features))]  # XGBoost's names for positions
        columns[encoder.column] = float(sum(np.sum(gains.get(name, 0.0)) for name in names))
        position += len(names)
    total = sum(columns.values()) or 1.0
    return {name: columns[name] / total for name in sorted(columns, key=lambda name: (-columns[name], name))}


def explanation(model: Model, records: pa.RecordBatch) -> dict[str, Any]:
    """Return the mean absolute SHAP value of every column, in the form of a report of SageMaker Clarify.

    Studio and Model Monitor look for the values under the name of Clarify's own method, ``kernel_shap``; these are the
    exact ones of trees. Labels are numbered in the order of the schema.
    """
    values = model.contributions(records)
    size, expected = np.abs(values).mean(axis=0), values.mean(axis=0)[:, -1]
    names = [column.name for column in model.columns]
    labels = {
        f"label{number}": {
            "global_shap_values": dict(zip(names, row.tolist(), strict=False)),
            "expected_value": float(expected[number]),
        }
        for number, row in enumerate(size)
    }
    return {"version": "1.0", "explanations": {"kernel_shap": labels}}


def write_evaluation(folder: Path, report: dict[str, Any], model: Model, outcome: Outcome) -> None:
    """Write the report and the pictures."""
    write_json(folder / "evaluation.json", report)
    shares = importance(model)
    write_json(folder / "feature_importance.json", shares)
    curves.draw_importance(folder, shares)
    if model.schema.problem_type == "regression":
        curves.draw_regression(folder, outcome.truth, outcome.scores)
    else:
        counts = report[metrics.SECTIONS[model.schema.problem_type]]["confusion_matrix"]
        curves.draw_confusion(folder, [list(row.values()) for row in counts.values()], model.schema.classes)
    if model.schema.problem_type == "binary":
        curves.draw_binary(folder, outcome.truth, outcome.scores)


def write_predictions(
    stream: BinaryIO, model: Model, records: pa.RecordBatch, scores: Scores, *, with_header: bool
) -> None:
    """Write predictions with key and truth as CSV."""
    predicted = model.answer_columns(scores)
    key = [column.name for column in model.schema.columns if column.role == KEY]
    observed = {name: texts(records.column(name)) for name in key}
    observed["actual"] = texts(records.column(model.schema.label))
    table = pa.table([*observed.values(), *predicted.values()], names=[*observed, *predicted])
    # Arrow quotes either every text or none.
    quoted = any(
        pc.any(pc.match_substring_regex(column, '[",\r\n]')).as_py()
        for column in table.columns
        if pa.types.is_string(column.type)
    )
    options = pc_csv.WriteOptions(include_header=False, quoting_style="needed" if quoted else "none")
    if with_header:
        stream.write(_csv_line(table.column_names).encode())
    pc_csv.write_csv(table, stream, options)


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def write_samples(folder: Path, model: Model, chosen: pa.RecordBatch) -> None:
    """Write some test records as raw as a client sends them, with the answers that the endpoint must give."""
    asked = [column for column in model.schema.columns if column.role != LABEL]
    columns = [column.name for column in asked]
    with (folder / "records.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.written(chosen.column(column.name)) for column in asked), strict=True))
    _write_lines(folder / "records.jsonl", raw_records(chosen.select(columns)))
    actual = canonical(chosen.column(model.schema.label))
    answers = model.answers(model.scores(chosen))
    expected = ({"expected": answer, "actual": label} for answer, label in zip(answers, actual, strict=True))
    _write_lines(folder / "expected.jsonl", expected)
    with tarfile.open(folder / "payload.tar.gz", "w:gz") as archive:
        archive.add(folder / "records.csv", arcname="records.csv")


def raw_records(records: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield typed records as JSON objects: numbers and booleans as such, dates and infinite numbers as text."""
    columns = {}
    for name, column in zip(records.schema.names, records.columns, strict=True):
        plain = (
            pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)
        )
        columns[name] = [
            value if plain and value is not None and np.isfinite(value) else text
            for value, text in zip(column.to_pylist(), canonical(column), strict=True)
        ]
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def _write_lines(path: Path, records: Iterator[dict[str, Any]]) -> None:
    """Write one JSON object per line."""
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    run(main)
