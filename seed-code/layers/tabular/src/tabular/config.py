"""The configuration that every job reads: ``config.json`` beside the job scripts.

The pipeline writes that file from ``config.yaml``; `Config` is the one definition of what it may contain. The module
needs the standard library only, so that the pipeline can use it on a laptop and a job inside its container.
"""

import difflib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from tabular.errors import ConfigError

CONFIG_PATH = Path(__file__).resolve().parents[1] / "config.json"

PROBLEM_TYPES = ("auto", "binary", "multiclass", "regression")
COLUMN_KINDS = ("number", "category", "boolean", "date")
# How numbers may be written besides 1234.56, see `tabular.notations`; the preferred reading first.
NUMBER_NOTATIONS = ("1,234.56", "1.234,56", "1 234,56", "1 234.56", "1'234.56", "1'234,56", "12,34,567.8")
COMPACT = "%Y%m%d"
# How dates may be written besides ISO 8601, see `tabular.dates`.
DATE_FORMATS = (
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%d-%b-%y",
    COMPACT,
)

# Precision and recall are missing on purpose: alone, each is perfect for a constant prediction.
METRICS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "binary": ("auc", "pr_auc", "f1", "accuracy", "balanced_accuracy", "log_loss", "brier"),
        "multiclass": ("macro_f1", "weighted_f1", "accuracy", "balanced_accuracy", "log_loss"),
        "regression": ("rmse", "mae", "r2"),
    }
)
DEFAULT_METRIC: Mapping[str, str] = MappingProxyType({"binary": "auc", "multiclass": "macro_f1", "regression": "rmse"})
UNBOUNDED = frozenset({"log_loss", "rmse", "mae", "r2"})  # the other metrics are shares
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "rmse", "mse", "mae"})


@dataclass(frozen=True)
class Hyperparameters:
    """How XGBoost is trained. `train.py` takes each of these as a flag of the same name, e.g. ``--max_depth 6``.

    Attributes:
        num_round: Most trees per class; early stopping usually ends sooner.
        early_stopping_rounds: Rounds without a better validation metric before training stops.
        eta: Learning rate, above 0 and at most 1.
        max_depth: Deepest tree.
        min_child_weight: Least sum of instance weight in a leaf; higher is more cautious.
        subsample: Share of the rows that each tree sees, above 0 and at most 1.
        colsample_bytree: Share of the columns that each tree sees, above 0 and at most 1.
        reg_lambda: L2 regularisation of leaf weights.
        reg_alpha: L1 regularisation of leaf weights.
        gamma: Least loss reduction that justifies a split.
        max_categories: Categories of a column that are told apart; rarer ones share one code.
    """

    num_round: int = 500
    early_stopping_rounds: int = 40
    eta: float = 0.05
    max_depth: int = 3
    min_child_weight: float = 3.0
    subsample: float = 0.8
    colsample_bytree: float = 0.8
    reg_lambda: float = 1.0
    reg_alpha: float = 0.0
    gamma: float = 0.0
    max_categories: int = 100

    def problems(self) -> list[str]:
        """Return one sentence for every value that cannot be used."""
        found = []
        for name in ("num_round", "early_stopping_rounds", "max_depth", "max_categories"):
            value = getattr(self, name)
            if not _is_int(value) or value < 1:
                found.append(f"hyperparameters.{name} must be a whole number of at least 1, found {value!r}.")
        for name in ("eta", "subsample", "colsample_bytree"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 < value <= 1:
                found.append(f"hyperparameters.{name} must be above 0 and at most 1, found {value!r}.")
        for name in ("min_child_weight", "reg_lambda", "reg_alpha", "gamma"):
            value = getattr(self, name)
            if not _is_number(value) or value < 0:
                found.append(f"hyperparameters.{name} must be a number of at least 0, found {value!r}.")
        return found


@dataclass(frozen=True)
class Splits:
    """Share of the records in each split; the three add up to 1."""

    train: float = 0.7
    validation: float = 0.15
    test: float = 0.15

    def problems(self) -> list[str]:
        """Return one sentence for every value that cannot be used."""
        shares = asdict(self)
        wrong = [name for name, share in shares.items() if not _is_number(share) or not 0 < share < 1]
        if wrong:
            return [f"splits.{name} must be between 0 and 1, found {shares[name]!r}." for name in wrong]
        total = sum(shares.values())
        if not math.isclose(total, 1, abs_tol=1e-9):
            return [f"splits must add up to 1, e.g. 0.7, 0.15 and 0.15; found {total:g}."]
        return []


@dataclass(frozen=True)
class Config:
    """What to learn, from which columns, and when the result is good enough.

    Attributes:
        label: Column to predict.
        problem_type: ``binary``, ``multiclass``, ``regression``, or ``auto``: two label values are binary; text, or
            whole numbers with at most 20 values, are multiclass; other numbers are regression.
        positive: Label value that counts as the positive class of a binary problem. Default: the one that means yes
            (true, yes, 1 ...), the greater of two numbers, else the rarer of the two.
        record_key: Columns that say which records belong together (a customer, a policy): such records are always in
            the same split, and the columns are not used for learning. Default: every row stands for itself.
        drop: Columns that are not used for learning.
        types: Kind of single columns where the guess is wrong, e.g. ``{"zip": "category"}``, or how their numbers or
            dates are written (`NUMBER_NOTATIONS`, `DATE_FORMATS`). A column named here is used even if it looks like an
            identifier.
        splits: Shares of training, validation and test records.
        metric: Metric of the gate, see `METRICS`; ``auto`` is ``auc``, ``macro_f1`` or ``rmse``.
        threshold: Value the metric has to reach (for errors: at most). Default: none.
        champion_tolerance: How much worse than the approved model the metric may be, in units of the metric.
        min_rows: Fewest labelled rows that validation accepts.
        drop_unlabelled: Leave out rows without label instead of refusing the data.
        balance_classes: Give every class the same weight in training. It finds more of a rare class, but scores are
            then no longer probabilities; the decision threshold, chosen on the validation split, usually suffices.
        in_memory_mib: Training records whose features take more MiB than this, at 4 bytes per value, are learned from
            disk.
        hyperparameters: See `Hyperparameters`.
        seed: Changes splits and sampling; the same seed gives the same result.
    """

    label: str
    problem_type: str = "auto"
    positive: str | float | bool | None = None
    record_key: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    splits: Splits = field(default_factory=Splits)
    metric: str = "auto"
    threshold: float | None = None
    champion_tolerance: float = 0.0
    min_rows: int = 100
    drop_unlabelled: bool = False
    balance_classes: bool = False
    in_memory_mib: int = 1024
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    seed: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration that JSON or YAML values describe; keys left out take their defaults.

        Raises:
            ConfigError: Lists every unknown key and every value that cannot be used.
        """
        problems = _unknown_keys(values, cls, "")
        known = {key: value for key, value in values.items() if key in _names(cls)}
        for name, part in (("hyperparameters", Hyperparameters), ("splits", Splits)):
            given = known.pop(name, None) or {}
            if isinstance(given, Mapping):
                problems += _unknown_keys(given, part, f"{name}.")
                known[name] = part(**{key: value for key, value in given.items() if key in _names(part)})
            else:
                problems.append(f"{name} must be a mapping of names to values, found {given!r}.")
        for name in ("record_key", "drop"):
            known[name] = _texts(known.get(name), name, problems)
        known["types"] = known.get("types") or {}
        known.setdefault("label", "")
        config = cls(**known)
        problems += config._problems()
        if problems:
            raise ConfigError("The configuration cannot be used:\n" + "\n".join(f"- {text}" for text in problems))
        return config

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the configuration from a JSON file. Default: ``config.json`` beside the job scripts.

        Raises:
            ConfigError: The file is missing, is not JSON, or holds values that cannot be used.
        """
        path = path or CONFIG_PATH
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as err:
            raise ConfigError(f"{path} is missing: the pipeline writes it from config.yaml when it starts.") from err
        except json.JSONDecodeError as err:
            raise ConfigError(f"{path} is not JSON: {err}.") from err
        if not isinstance(values, Mapping):
            raise ConfigError(f'{path} must hold one JSON object, e.g. {{"label": "churned"}}.')
        return cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Return the values that `from_dict` reads, ready for JSON."""
        values = asdict(self)
        return values | {"record_key": list(self.record_key), "drop": list(self.drop), "types": dict(self.types)}

    def save(self, path: Path) -> None:
        """Write the configuration as JSON, always with the same bytes for the same configuration."""
        path.write_text(json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def metric_for(self, problem_type: str) -> str:
        """Return the metric of the gate for a resolved problem type.

        Raises:
            ConfigError: The configured metric does not exist for this problem type, or can never reach the threshold.
        """
        if self.metric == "auto":
            metric = DEFAULT_METRIC[problem_type]
            if self.threshold is not None and not _can_be_reached(metric, self.threshold):
                raise ConfigError(
                    f"threshold {self.threshold!r} can never decide anything: {metric}, the metric of a {problem_type} "
                    f"problem, is {_range(metric)}."
                )
            return metric
        if self.metric not in METRICS[problem_type]:
            raise ConfigError(
                f"metric {self.metric!r} does not exist for a {problem_type} problem. "
                f"Choose one of {', '.join(METRICS[problem_type])}, or auto."
            )
        return self.metric

    def _problems(self) -> list[str]:
        """Return one sentence for every value that cannot be used."""
        found = [sentence for value, accepts, sentence in self._rules() if not accepts(value)]
        found += self.splits.problems() + self.hyperparameters.problems()
        if self.label and self.label in (*self.record_key, *self.drop):
            found.append(f"label {self.label!r} must not also be listed under record_key or drop.")
        if isinstance(self.types, Mapping):
            found += [
                f"types.{column} must be one of {', '.join(COLUMN_KINDS)}, or how its numbers or dates are written, "
                f'e.g. "1.234,56" or "%d/%m/%Y"; found {kind!r}.'
                for column, kind in self.types.items()
                if kind not in (*COLUMN_KINDS, *NUMBER_NOTATIONS, *DATE_FORMATS)
            ]
        if self.metric != "auto" and self.problem_type in METRICS and self.metric not in METRICS[self.problem_type]:
            choices = ", ".join(METRICS[self.problem_type])
            found.append(f"metric {self.metric!r} does not fit problem_type {self.problem_type!r}: {choices}, or auto.")
        return found

    def _rules(self) -> list[tuple[Any, Callable[[Any], bool], str]]:
        """Return each single value with its check and the sentence to say when the check fails."""
        metrics = sorted({"auto"}.union(*METRICS.values()))
        metric = DEFAULT_METRIC.get(str(self.problem_type), "auto") if self.metric == "auto" else str(self.metric)
        return [
            (self.label, _is_name, f'label must name a column, e.g. "churned"; found {self.label!r}.'),
            (
                self.problem_type,
                lambda value: value in PROBLEM_TYPES,
                f"problem_type must be one of {', '.join(PROBLEM_TYPES)}; found {self.problem_type!r}.",
            ),
            (
                self.metric,
                lambda value: value in metrics,
                f"metric must be one of {', '.join(metrics)}; found {self.metric!r}.",
            ),
            (
                self.positive,
                lambda value: value is None or isinstance(value, (str, bool)) or _is_number(value),
                f"positive must be a label value or null, found {self.positive!r}.",
            ),
            (
                self.types,
                lambda value: isinstance(value, Mapping),
                f"types must map columns to kinds, e.g. zip: category; found {self.types!r}.",
            ),
            (
                self.threshold,
                lambda value: value is None or _is_number(value),
                f"threshold must be a number or null, found {self.threshold!r}.",
            ),
            (
                self.threshold,
                lambda value: not _is_number(value) or _can_be_reached(metric, value),
                f"threshold {self.threshold!r} can never decide anything: {metric} is {_range(metric)}.",
            ),
            (
                self.champion_tolerance,
                lambda value: _is_number(value) and value >= 0,
                f"champion_tolerance must be a number of at least 0, found {self.champion_tolerance!r}.",
            ),
            (
                self.min_rows,
                lambda value: _is_int(value) and value >= 1,
                f"min_rows must be a whole number of at least 1, found {self.min_rows!r}.",
            ),
            (
                self.drop_unlabelled,
                lambda value: isinstance(value, bool),
                f"drop_unlabelled must be true or false, found {self.drop_unlabelled!r}.",
            ),
            (
                self.balance_classes,
                lambda value: isinstance(value, bool),
                f"balance_classes must be true or false, found {self.balance_classes!r}.",
            ),
            (
                self.in_memory_mib,
                lambda value: _is_int(value) and value >= 0,
                f"in_memory_mib must be a whole number of at least 0, found {self.in_memory_mib!r}.",
            ),
            (
                self.seed,
                lambda value: _is_int(value) and value >= 0,
                f"seed must be a whole number of at least 0, found {self.seed!r}.",
            ),
        ]


def _range(metric: object) -> str:
    """Say between which values a metric can be."""
    if metric in UNBOUNDED:
        return "at most 1" if metric == "r2" else "at least 0"
    return "between 0 and 1"


def _can_be_reached(metric: object, threshold: float) -> bool:
    """Tell whether a metric can have a value; of ``auto`` nobody knows yet which one it is."""
    return (threshold <= 1 or metric in UNBOUNDED - {"r2"} or metric == "auto") and (threshold >= 0 or metric == "r2")


def _is_int(value: object) -> bool:
    """Return whether a value is a whole number; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    """Return whether a value is a finite number; True and False are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_name(value: object) -> bool:
    """Tell a non-empty text from everything else."""
    return isinstance(value, str) and bool(value.strip())


def _names(part: type) -> list[str]:
    """Return the keys that a part of the configuration may have."""
    return [item.name for item in fields(part)]


def _unknown_keys(values: Mapping[str, Any], part: type, prefix: str) -> list[str]:
    """Return one sentence for every key that does not exist, with the nearest one that does."""
    names, found = _names(part), []
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(names)}."
            found.append(f"{prefix}{key} is not a known key; {hint}")
    return found


def _texts(value: object, name: str, problems: list[str]) -> tuple[str, ...]:
    """Return a list of column names as a tuple; one name alone is accepted too."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, (list, tuple)) and all(_is_name(item) for item in value):
        return tuple(value)
    problems.append(f"{name} must be a list of column names, found {value!r}.")
    return ()
