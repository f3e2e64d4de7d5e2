"""The new model against the approved one (the champion), on the same test records."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from xgboost.core import XGBoostError

from tabular import metrics
from tabular.errors import ConfigError
from tabular.model import Model, Scores, unpack
from tabular.schema import Schema
from tabular.values import BadValueError, canonical


@dataclass(frozen=True)
class Champion:
    """The approved model as far as it could be compared.

    Attributes:
        note: What was compared, or why nothing could be.
        model_package_arn: The approved package; empty where there is none.
        metrics: Its metrics on the test records; empty where it cannot be compared.
    """

    note: str
    model_package_arn: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values, with ``compared`` as 1 or 0."""
        return asdict(self) | {"compared": int(bool(self.metrics))}


def compare(arn: str, archive: Path, folder: Path, schema: Schema, test: pd.DataFrame, truth: Scores) -> Champion:
    """Score a champion on the test records of the new model.

    A champion that solves another problem, or cannot read today's records, does not stop the new model: it is reported
    as not comparable, and the person who approves sees why.

    Args:
        arn: The approved package.
        archive: Its ``model.tar.gz``.
        folder: Where to unpack it.
        schema: The data of the new model.
        test: The test records.
        truth: Their targets.
    """
    try:
        model = Model.load(unpack(archive, folder))
    except (OSError, KeyError, TypeError, json.JSONDecodeError, ConfigError, XGBoostError) as err:
        return Champion(f"the approved model was not made by this version of the project ({err})", arn)
    theirs = model.schema
    if (theirs.problem_type, theirs.label, set(theirs.classes)) != (
        schema.problem_type,
        schema.label,
        set(schema.classes),
    ):
        return Champion(f"the approved model solves another problem: {theirs.problem_type} on {theirs.label!r}", arn)
    converted = {}
    for column in model.columns:
        if column.name not in test:
            return Champion(f"the approved model needs column {column.name!r}, which the data no longer has", arn)
        try:
            converted[column.name] = column.convert(canonical(test[column.name]))
        except BadValueError as err:
            return Champion(
                f"the approved model takes column {column.name!r} as {column.kind}: {err.text!r} is none", arn
            )
    scores = _in_order(model.scores(pd.DataFrame(converted)), theirs, schema)
    reached = metrics.compute(schema.problem_type, truth, scores, model.decision_threshold)
    return Champion("scored on the same test records", arn, reached)


def _in_order(scores: Scores, theirs: Schema, ours: Schema) -> Scores:
    """Return scores of one model with the classes in the order of another."""
    if theirs.classes == ours.classes:
        return scores
    if ours.problem_type == "binary":
        return 1 - scores
    return scores[:, [theirs.classes.index(name) for name in ours.classes]]
