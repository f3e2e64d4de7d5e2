"""The trained model with everything it needs to score raw records: the content of ``model.tar.gz``.

=================  ==========================================================
``model.ubj``      the XGBoost model
``encoders.json``  how raw columns become features (`tabular.encoders`)
``schema.json``    columns, kinds and classes (`tabular.schema`)
``config.json``    the configuration it was trained with
``training.json``  rounds, validation metrics, decision threshold, division
``code/``          ``inference.py`` and this package, for the endpoint
=================  ==========================================================
"""

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tabular import former_split
from tabular.boosting import xgb
from tabular.config import Config
from tabular.encoders import Encoders, Matrix, Records, arrow
from tabular.schema import Column, Schema
from tabular.values import numbers

BOOSTER, ENCODERS, CONFIG, TRAINING = "model.ubj", "encoders.json", "config.json", "training.json"

FEWEST_FOR_THREADS = 1_000  # for fewer records, starting threads takes longer than their work

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        booster: The XGBoost model.
        encoders: Fitted on its training records.
        schema: The data it was trained on.
        config: How it was trained.
        training: What training found: ``rounds``, ``decision_threshold`` (binary only), ``validation`` (metrics); and
            ``division``, the name of what divided its records (`tabular.division.NAME`).
    """

    booster: xgb.Booster
    encoders: Encoders
    schema: Schema
    config: Config
    training: Mapping[str, Any]

    @property
    def decision_threshold(self) -> float:
        """Least score that is labelled positive."""
        return float(self.training["decision_threshold"])

    @property
    def division(self) -> str:
        """Name of what divided its records into training, validation and test; models of version 1 do not say."""
        return str(self.training.get("division", former_split.NAME))

    @property
    def columns(self) -> list[Column]:
        """The columns that the model reads."""
        return [self.schema.column(encoder.column) for encoder in self.encoders.encoders]

    def scores(self, records: Records) -> Scores:
        """Score typed records.

        Returns:
            Binary: probability of the positive class, one number per record. Multiclass: one row per record with the
            probability of each class in the order of the schema. Regression: the predicted value.
        """
        if not len(records):
            return np.empty((0, len(self.schema.classes)) if self.schema.problem_type == "multiclass" else 0)
        return self.scores_of(self.encoders.encode(records))

    def scores_of(self, features: Matrix) -> Scores:
        """Score records that are encoded already."""
        return np.asarray(self.booster.predict(feature_matrix(self.encoders, features)), dtype=np.float64)

    def contributions(self, records: Records) -> Scores:
        """Return how much each column moved the prediction of each record (SHAP values, in units of the margin).

        Returns:
            One row per record, one matrix per class (a single one where the problem is not multiclass), one number per
            column in the order of `columns`, and the expected value at the end.
        """
        values = self.booster.predict(feature_matrix(self.encoders, self.encoders.encode(records)), pred_contribs=True)
        classes = values.reshape(len(records), -1, len(self.encoders.features) + 1)
        starts = np.cumsum([0, *(len(encoder.features) for encoder in self.encoders.encoders)])
        return np.asarray(np.add.reduceat(classes, starts, axis=2), dtype=np.float64)  # the parts of a date are added

    def predicted(self, scores: Scores) -> npt.NDArray[np.int64]:
        """Return the number of the predicted class of every score, in the order of the schema."""
        if self.schema.problem_type == "binary":
            return (scores >= self.decision_threshold).astype(np.int64)
        return np.asarray(scores.argmax(axis=1))

    def labels(self, scores: Scores) -> list[str]:
        """Return the predicted class of every score."""
        return [self.schema.classes[number] for number in self.predicted(scores).tolist()]

    def answers(self, scores: Scores) -> list[dict[str, Any]]:
        """Return what the endpoint answers for every score, see `inference`."""
        if self.schema.problem_type == "regression":
            return [{"value": value} for value in scores.tolist()]
        labels = self.labels(scores)
        if self.schema.problem_type == "binary":
            return [{"score": score, "label": label} for score, label in zip(scores.tolist(), labels, strict=True)]
        return [
            {"label": label, "probabilities": dict(zip(self.schema.classes, row, strict=True))}
            for row, label in zip(scores.tolist(), labels, strict=True)
        ]

    def answer_columns(self, scores: Scores) -> dict[str, pa.Array]:
        """Return the answers column by column, probabilities as ``p_<class>``."""
        if self.schema.problem_type == "regression":
            return {"value": pa.array(scores)}
        classes = pa.array(self.schema.classes, pa.string())
        labels = classes.take(pa.array(self.predicted(scores)))
        if self.schema.problem_type == "binary":
            return {"score": pa.array(scores), "label": labels}
        shares = {f"p_{name}": pa.array(scores[:, number]) for number, name in enumerate(self.schema.classes)}
        return {"label": labels} | shares

    def save(self, folder: Path) -> None:
        """Write the model without its code into a folder."""
        self.booster.save_model(folder / BOOSTER)
        self.schema.save(folder)
        self.config.save(folder / CONFIG)
        for name, content in ((ENCODERS, self.encoders.to_dict()), (TRAINING, dict(self.training))):
            (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the model from a folder."""
        booster = xgb.Booster()
        booster.load_model(folder / BOOSTER)
        return cls(
            booster=booster,
            encoders=Encoders.from_dict(json.loads((folder / ENCODERS).read_text(encoding="utf-8"))),
            schema=Schema.load(folder),
            config=Config.load(folder / CONFIG),
            training=json.loads((folder / TRAINING).read_text(encoding="utf-8")),
        )


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack ``model.tar.gz`` into a folder and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        # Python has the filter since 3.11.4; Debian 12 brings 3.11.2.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder)
    return folder


def feature_matrix(encoders: Encoders, features: Matrix, **more: Any) -> xgb.DMatrix:
    """Return features as XGBoost takes them, with more that it knows of them, such as ``label`` and ``weight``.

    Features are known by their position, because XGBoost does not accept every name a column may have.
    """
    return xgb.DMatrix(
        features,
        feature_types=encoders.feature_types,
        enable_categorical=True,
        nthread=1 if len(features) < FEWEST_FOR_THREADS else None,
        **more,
    )


def targets(records: Records, schema: Schema) -> Scores:
    """Return what is to be predicted: the number of the class in the order of the schema, or the value itself."""
    label = arrow(records[schema.label])
    if schema.problem_type == "regression":
        return np.asarray(label.cast(pa.float64()).to_numpy(zero_copy_only=False))
    classes = pa.array(schema.classes, pa.string())
    if pa.types.is_dictionary(label.type):
        known = pc.index_in(label.dictionary, value_set=classes)
        found = known.take(label.indices)
    elif pa.types.is_string(label.type):
        found = pc.index_in(label, value_set=classes)
    else:
        found = pc.index_in(label.cast(pa.float64()), value_set=numbers(classes))
    return np.asarray(found.cast(pa.float64()).to_numpy(zero_copy_only=False))
