"""Train the model: script mode of the SageMaker XGBoost image.

Reads the channels ``train``, ``validation`` and ``schema``; writes the model archive's content (see `tabular.model`) to
``SM_MODEL_DIR`` and the course of training to ``SM_OUTPUT_DATA_DIR``. Hyperparameters come from ``config.json``; each
can be overridden by a flag, e.g. ``--max_depth 6``, which is how SageMaker passes hyperparameters.

Validation metrics are printed as ``validation:<metric>=<value>`` for SageMaker's metric definitions.

With several instances, distribute the train channel by S3 key and replicate the others: every instance then learns from
its share of the records, and all build the same trees.
"""

import argparse
import os
import shutil
from collections import Counter
from dataclasses import asdict, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb

from tabular import division, metrics
from tabular.cluster import Cluster, join_cluster
from tabular.config import Config
from tabular.encoders import Encoders, summarise
from tabular.errors import DataError
from tabular.jobs import run, write_json
from tabular.model import Model, Scores, feature_matrix, targets
from tabular.schema import Schema
from tabular.splits import load_split

OBJECTIVES = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}

# What early stopping watches. The log loss uses every record of the validation split, so with few records of the rare
# class it is far steadier than the AUC or a metric of labels.
WATCHED = {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}
LOG_EVERY_ROUNDS = 25


def main() -> None:
    """Train on the channels of the job."""
    config = configured(Config.load())
    schema = Schema.load(Path(os.environ["SM_CHANNEL_SCHEMA"]))
    training = load_split(Path(os.environ["SM_CHANNEL_TRAIN"]), schema, config)
    validation = load_split(Path(os.environ["SM_CHANNEL_VALIDATION"]), schema, config)
    with join_cluster() as cluster:
        model, history = fit(training, validation, schema, config, cluster)
    if cluster.rank == 0:
        save(model, Path(os.environ["SM_MODEL_DIR"]))
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
    training: pa.RecordBatch, validation: pa.RecordBatch, schema: Schema, config: Config, cluster: Cluster
) -> tuple[Model, dict[str, Any]]:
    """Train a model and measure it on the validation records.

    Returns:
        The model, and its metrics of every round as XGBoost reports them.

    Raises:
        DataError: The training records lack a class, or no column can be used.
    """
    everywhere = cluster.gather(summarise(training, schema))
    encoders = Encoders.fit(
        [reduce(add, parts) for parts in zip(*everywhere, strict=True)],
        config.hyperparameters.max_categories,
        wanted=config.types,
    )
    target = targets(training, schema)
    weights = class_weights(target, schema, config, cluster)
    history: dict[str, Any] = {}
    train_matrix = feature_matrix(encoders, training, label=target, weight=weights)
    validation_target = targets(validation, schema)
    metrics.check_variety(schema.problem_type, validation_target, "validation")
    booster = xgb.train(
        parameters(schema, config),
        train_matrix,
        num_boost_round=config.hyperparameters.num_round,
        evals=[(train_matrix, "train"), (feature_matrix(encoders, validation, label=validation_target), "validation")],
        early_stopping_rounds=config.hyperparameters.early_stopping_rounds,
        evals_result=history,
        verbose_eval=LOG_EVERY_ROUNDS,
    )
    booster = booster[: booster.best_iteration + 1]  # saves what prediction uses, and no more
    found = {"rounds": booster.num_boosted_rounds(), "decision_threshold": 0.5, "division": division.NAME}
    model = Model(booster, encoders, schema, config, found)
    scores = model.scores(validation)
    if schema.problem_type == "binary":
        threshold = metrics.decision_threshold(validation_target, scores)
        model = replace(model, training={**model.training, "decision_threshold": threshold})
    return replace(
        model, training={**model.training, "validation": measured(model, validation_target, scores)}
    ), history


def measured(model: Model, target: Scores, scores: Scores) -> dict[str, float]:
    """Return the metrics of a model on the validation records."""
    return metrics.compute(model.schema.problem_type, target, scores, model.decision_threshold)


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


def class_weights(target: Scores, schema: Schema, config: Config, cluster: Cluster) -> Scores | None:
    """Return the weight of every record, or None where all weigh the same.

    Raises:
        DataError: A class has no training record.
    """
    if schema.problem_type == "regression":
        return None
    counts = sum(cluster.gather(Counter(target.astype(int).tolist())), Counter[int]())
    for number, name in enumerate(schema.classes):
        if not counts[number]:
            raise DataError(
                f"The training split has no record with the label {name!r}. "
                f"Provide more of them, or a greater share for train under splits in config.yaml."
            )
    if not config.balance_classes:
        return None
    weight = np.array(
        [counts.total() / (len(schema.classes) * counts[number]) for number in range(len(schema.classes))]
    )
    return np.asarray(weight[target.astype(int)])


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
