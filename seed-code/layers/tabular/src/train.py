"""Train the model: script mode of the SageMaker XGBoost image.

Reads the channels ``train``, ``validation`` and ``schema``; writes the model archive's content (see `tabular.model`) to
``SM_MODEL_DIR`` and the course of training to ``SM_OUTPUT_DATA_DIR``. Hyperparameters come from ``config.json``; each
can be overridden by a flag, e.g. ``--max_depth 6``, which is how SageMaker passes hyperparameters.

Validation metrics are printed as ``validation:<metric>=<value>`` for SageMaker's metric definitions.

With several instances, distribute the train channel by S3 key and replicate the others: every instance then learns from
its share of the records, and all build the same trees.

Records are read bucket by bucket, twice: for the encoders, and to be encoded (`tabular.features`).
"""

import argparse
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from tabular import division, metrics
from tabular.boosting import xgb
from tabular.cluster import Cluster, join_cluster
from tabular.config import Config
from tabular.encoders import ColumnSummary, Encoders, summarise
from tabular.errors import DataError
from tabular.features import BYTES_PER_VALUE, MIB, Features
from tabular.jobs import run, write_json
from tabular.model import Model, Scores, targets
from tabular.schema import Schema
from tabular.splits import Split

OBJECTIVES = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}

# What early stopping watches. The log loss uses every record of the validation split, so with few records of the rare
# class it is far steadier than the AUC or a metric of labels.
WATCHED = {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}
LOG_EVERY_ROUNDS = 25
MOST_WATCHED = 50_000  # training records whose metric is reported; with all, rounds take a quarter longer


def main() -> None:
    """Train on the channels of the job."""
    config = configured(Config.load())
    schema = Schema.load(Path(os.environ["SM_CHANNEL_SCHEMA"]))
    training = Split(Path(os.environ["SM_CHANNEL_TRAIN"]), schema, config)
    validation = Split(Path(os.environ["SM_CHANNEL_VALIDATION"]), schema, config)
    folder = Path(os.environ["SM_MODEL_DIR"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the model, on the volume whose size config.yaml sets.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, join_cluster() as cluster:
        model, history = fit(training, validation, schema, config, cluster, Path(scratch))
    if cluster.rank == 0:
        save(model, folder)
        output = Path(os.environ["SM_OUTPUT_DATA_DIR"])
        output.mkdir(parents=True, exist_ok=True)
        write_json(output / "history.json", history)
    for column, reason in model.encoders.left_out.items():
        print(f"column {column} is not used: {reason}")
    print(f"{model.training['rounds']} rounds with {len(model.encoders.features)} features")
    for name, value in model.training["validation"].items():
        print(f"validation:{name}={value:.6f}")


def configured(config: Config) -> Config:
    """Return the configuration with the hyperparameters that were given as flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(config.hyperparameters).items():
        parser.add_argument(f"--{name}", type=int if isinstance(value, int) else float, default=value)
    given, unknown = parser.parse_known_args()  # the image adds flags of its own
    if unknown:
        print(f"flags without meaning here: {' '.join(unknown)}")
    return Config.from_dict(config.to_dict() | {"hyperparameters": vars(given)})


def fit(
    training: Split, validation: Split, schema: Schema, config: Config, cluster: Cluster, scratch: Path
) -> tuple[Model, dict[str, Any]]:
    """Train a model and measure it on the validation records.

    Args:
        training: The training records of this instance.
        validation: All validation records.
        schema: The data.
        config: How to train.
        cluster: The instances that train together.
        scratch: Empty folder for the encoded records.

    Returns:
        The model, and its metrics of every round as XGBoost reports them.

    Raises:
        DataError: The training records lack a class, or no column can be used.
    """
    summaries, weights = survey(training, schema, config, cluster)
    encoders = Encoders.fit(summaries, config.hyperparameters.max_categories, wanted=config.types)
    learned = Features(training, encoders, schema, scratch / "train", weights)
    watched = Features(validation, encoders, schema, scratch / "validation")
    truth = np.concatenate([block.target for block in watched])
    metrics.check_variety(schema.problem_type, truth, "validation")
    rows = max(cluster.gather(training.rows))
    on_disk = rows * len(encoders.features) * BYTES_PER_VALUE > config.in_memory_mib * MIB
    if on_disk:
        print(f"{rows} training records are learned from disk: they take more than in_memory_mib of config.yaml")
    train_matrix = learned.matrix(on_disk=on_disk)
    history: dict[str, Any] = {}
    booster = xgb.train(
        parameters(schema, config),
        train_matrix,
        num_boost_round=config.hyperparameters.num_round,
        evals=[
            (learned.sample(MOST_WATCHED), "train"),
            (watched.matrix(on_disk=on_disk, like=train_matrix), "validation"),
        ],
        early_stopping_rounds=config.hyperparameters.early_stopping_rounds,
        evals_result=history,
        verbose_eval=LOG_EVERY_ROUNDS,
    )
    booster = booster[: booster.best_iteration + 1]  # saves what prediction uses, and no more
    found = {"rounds": booster.num_boosted_rounds(), "decision_threshold": 0.5, "division": division.NAME}
    model = Model(booster, encoders, schema, config, found)
    scores = np.concatenate(
        [metrics.condensed(schema.problem_type, block.target, model.scores_of(block.features)) for block in watched]
    )
    if schema.problem_type == "binary":
        threshold = metrics.decision_threshold(truth, scores)
        model = replace(model, training={**model.training, "decision_threshold": threshold})
    reached = metrics.measure(schema.problem_type, truth, scores, model.decision_threshold)
    return replace(model, training={**model.training, "validation": reached}), history


def survey(
    training: Split, schema: Schema, config: Config, cluster: Cluster
) -> tuple[list[ColumnSummary], Callable[[Scores], Scores | None]]:
    """Return what encoders need to know of the training records of all instances, and what weighs them.

    Raises:
        DataError: A class has no training record.
    """
    counts: Counter[int] = Counter()
    summaries: list[ColumnSummary] = []
    for batch in training:
        found = summarise(batch, schema)
        summaries = [whole + part for whole, part in zip(summaries, found, strict=True)] if summaries else found
        if schema.problem_type != "regression":
            counts.update(dict(enumerate(np.bincount(targets(batch, schema).astype(int)).tolist())))
    everywhere = cluster.gather(summaries)
    counts = sum(cluster.gather(counts), Counter[int]())
    return [reduce(add, parts) for parts in zip(*everywhere, strict=True)], class_weights(counts, schema, config)


def parameters(schema: Schema, config: Config) -> dict[str, Any]:
    """Return the parameters of XGBoost."""
    tuned = asdict(config.hyperparameters)
    for name in ("num_round", "early_stopping_rounds", "max_categories"):
        del tuned[name]
    problem = {"num_class": len(schema.classes)} if schema.problem_type == "multiclass" else {}
    return (
        tuned
        | problem
        | {
            "objective": OBJECTIVES[schema.problem_type],
            "eval_metric": WATCHED[schema.problem_type],
            "tree_method": "hist",
            "seed": config.seed,
        }
    )


def class_weights(counts: Counter[int], schema: Schema, config: Config) -> Callable[[Scores], Scores | None]:
    """Return what gives every record its weight, or None where all weigh the same.

    Args:
        counts: Training records of every class, by its number.
        schema: The data.
        config: Whether classes are balanced.

    Raises:
        DataError: A class has no training record.
    """
    for number, name in enumerate(schema.classes):
        if not counts[number]:
            raise DataError(
                f"The training split has no record with the label {name!r}. "
                f"Provide more of them, or a greater share for train under splits in config.yaml."
            )
    if not config.balance_classes or schema.problem_type == "regression":
        return lambda _: None
    weight = np.array(
        [counts.total() / (len(schema.classes) * counts[number]) for number in range(len(schema.classes))]
    )
    return lambda target: np.asarray(weight[target.astype(int)])


def save(model: Model, folder: Path) -> None:
    """Write everything that belongs into the model archive, with the code of the endpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder)
    source = Path(__file__).resolve().parent
    shutil.copytree(
        source / "tabular",
        folder / "code" / "tabular",
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(source / "inference.py", folder / "code" / "inference.py")


if __name__ == "__main__":
    run(main)
