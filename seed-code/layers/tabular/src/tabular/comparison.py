"""The new model against the approved one (the champion), on the same test records."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tabular import division, former_split, metrics
from tabular.boosting import XGBoostError
from tabular.errors import ConfigError
from tabular.model import Model, Scores, unpack
from tabular.schema import Schema
from tabular.values import BadValueError, texts

FEWEST_RECORDS = 200
"""Records new to both models that a comparison needs; what fewer say is chance."""

MOST_NOTE_CHARACTERS = 1_000

DIVISIONS = {division.NAME: division.divide, former_split.NAME: former_split.divide}


@dataclass(frozen=True)
class Champion:
    """The approved model as far as it could be compared.

    Attributes:
        note: What was compared, or why nothing could be.
        model_package_arn: The approved package; empty where there is none.
        metrics: Its metrics on the compared records; empty where it cannot be compared.
        challenger_metrics: Those of the new model on the same records.
        rows: Test records on which both were compared.
    """

    note: str
    model_package_arn: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    challenger_metrics: Mapping[str, float] = field(default_factory=dict)
    rows: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values, with ``compared`` as 1 or 0.

        The pipeline puts the note into the JSON of the model card as it is, so it has nothing that JSON would escape.
        """
        note = re.sub(r'["\\\x00-\x1f]', "'", self.note)[:MOST_NOTE_CHARACTERS]
        return asdict(self) | {"note": note, "compared": int(bool(self.metrics))}


def compare(
    arn: str,
    archive: Path,
    folder: Path,
    challenger: Model,
    test: Iterable[pa.RecordBatch],
    truth: Scores,
    scores: Scores,
) -> Champion:
    """Score a champion on the test records of the new model.

    Only records count that the champion has not learned from: with another seed, other splits, another record key or
    the division of version 1 it was trained on what are test records today, and would look better on them than it is.

    A champion that solves another problem, cannot read today's records, or shares too few test records, does not stop
    the new model: it is reported as not comparable, and the person who approves sees why.

    Args:
        arn: The approved package.
        archive: Its ``model.tar.gz``.
        folder: Where to unpack it.
        challenger: The new model.
        test: The test records, some at a time.
        truth: Their targets.
        scores: What the new model predicts for them (`tabular.metrics.condensed`).
    """
    schema = challenger.schema
    try:
        model = Model.load(unpack(archive, folder))
    except (OSError, KeyError, TypeError, json.JSONDecodeError, ConfigError, XGBoostError) as err:
        cause = str(err).partition("\n")[0]  # XGBoost adds the stack of its C++ code
        return _not_comparable(arn, f"the approved model was not made by this version of the project ({cause})")
    theirs = model.schema
    if (theirs.problem_type, theirs.label, set(theirs.classes)) != (
        schema.problem_type,
        schema.label,
        set(schema.classes),
    ):
        return _not_comparable(
            arn, f"the approved model solves another problem: {theirs.problem_type} on {theirs.label!r}"
        )
    if model.division not in DIVISIONS:
        return _not_comparable(
            arn, f"the approved model was trained by the division {model.division!r}, which this version does not know"
        )
    unseen, their_scores = np.zeros(len(truth), np.bool_), []
    start = 0
    for records in test:
        converted = {}
        for column in model.columns:
            if column.name not in records.schema.names:
                return _not_comparable(
                    arn, f"the approved model needs column {column.name!r}, which the data no longer has"
                )
            try:
                converted[column.name] = column.convert(texts(records.column(column.name)))
            except BadValueError as err:
                return _not_comparable(
                    arn, f"the approved model takes column {column.name!r} as {column.kind}: {err.text!r} is not one"
                )
        part = slice(start, start + records.num_rows)
        start = part.stop
        unseen[part] = _unseen(records, model)
        found = _in_order(model.scores(pa.RecordBatch.from_pydict(converted)), theirs, schema)
        their_scores.append(metrics.condensed(schema.problem_type, truth[part], found))
    rows = int(unseen.sum())
    which = "the same test records" if rows == len(truth) else f"the {rows} test records it has not learned from"
    if rows < min(FEWEST_RECORDS, len(truth)) or len(np.unique(truth[unseen])) < 2:
        return _not_comparable(
            arn,
            f"of the {len(truth)} test records, the approved model, whose splits were others, has not learned from "
            f"{rows}, and at least {FEWEST_RECORDS} with different labels are needed to tell which model is better",
        )
    reached, ours = (
        metrics.measure(schema.problem_type, truth[unseen], found[unseen], threshold)
        for found, threshold in (
            (np.concatenate(their_scores), model.decision_threshold),
            (scores, challenger.decision_threshold),
        )
    )
    return Champion(f"scored on {which}", arn, reached, ours, rows)


def _not_comparable(arn: str, why: str) -> Champion:
    return Champion(f"not comparable: {why}", arn)


def _unseen(test: pa.RecordBatch, champion: Model) -> npt.NDArray[np.bool_]:
    """Finds the test records that a champion has not learned, by dividing them as it was done for its training."""
    columns = {}
    for column in champion.schema.columns:
        # A column that is gone counts as empty. It matters only without record key, where the whole record is hashed.
        known = column.name in test.schema.names
        values = texts(test.column(column.name)) if known else pa.nulls(test.num_rows, pa.string())
        try:
            columns[column.name] = column.convert(values)
        except BadValueError:
            columns[column.name] = values
    divide = DIVISIONS[champion.division]
    splits = divide(columns, champion.schema, champion.config.splits, champion.config.seed)
    return np.asarray(splits) == "test"


def _in_order(scores: Scores, theirs: Schema, ours: Schema) -> Scores:
    """Return scores of one model with the classes in the order of another."""
    if theirs.classes == ours.classes:
        return scores
    if ours.problem_type == "binary":
        return 1 - scores
    return scores[:, [theirs.classes.index(name) for name in ours.classes]]
