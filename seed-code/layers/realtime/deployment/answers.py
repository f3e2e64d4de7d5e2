"""What an endpoint answers: read, checked and compared. The form of the answers is that of the model's inference.py."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CSV, JSON = "text/csv", "application/json"

Answer = Mapping[str, Any]
"""E.g. ``{"score": 0.93, "label": "yes"}``, ``{"label": "b", "probabilities": {"a": 0.2}}`` or ``{"value": 17.5}``."""


def parse(text: str, content_type: str, like: Answer | None) -> list[Answer]:
    """Return the answers in the body of a response, one for each record.

    Args:
        text: The body.
        content_type: Its type; CSV, JSON or JSON lines.
        like: An answer of the same model, which says what the fields of CSV are; None where there is none.

    Raises:
        ValueError: It is not what its type says, or has another form.
    """
    kind = content_type.split(";")[0].strip().lower()
    if kind == CSV:
        return [_of_row(row, like) for row in csv.reader(io.StringIO(text)) if row]
    if kind == JSON:
        content = json.loads(text)
        found = content.get("predictions", content) if isinstance(content, dict) else content
        return [_answer(entry) for entry in (found if isinstance(found, list) else [found])]
    return [_answer(json.loads(line)) for line in text.splitlines() if line.strip()]


def _answer(entry: Any) -> Answer:
    if not isinstance(entry, dict):
        raise ValueError(f"{entry!r} is not an answer: an object was expected")
    return entry


def _of_row(row: list[str], like: Answer | None) -> Answer:
    """Return a CSV row as an answer: its fields in the order of the JSON answer, probabilities last."""
    if like is None:
        like = {"value": 0.0} if len(row) == 1 else {"score": 0.0, "label": ""}
    plain = [name for name in like if name != "probabilities"]
    classes = list(like.get("probabilities", {}))
    if len(row) != len(plain) + len(classes):
        raise ValueError(f"{','.join(row)!r} has {len(row)} fields instead of {len(plain) + len(classes)}")
    fields = dict(zip([*plain, *classes], row, strict=True))
    answer: dict[str, Any] = {
        name: fields[name] if isinstance(like[name], str) else float(fields[name]) for name in plain
    }
    if classes:
        answer["probabilities"] = {name: float(fields[name]) for name in classes}
    return answer


def numbers(answer: Answer) -> dict[str, float]:
    """Return the numbers of an answer by name, those of ``probabilities`` as ``probability of <class>``."""
    found = {f"probability of {name}": value for name, value in dict(answer.get("probabilities", {})).items()}
    plain = {name: value for name, value in answer.items() if name not in ("label", "probabilities")}
    return {name: float(value) for name, value in (plain | found).items()}


def main_number(answer: Answer) -> float:
    """Return what stands for an answer in a picture: score, value, or the probability of the label."""
    values = numbers(answer)
    for name in ("score", "value", f"probability of {answer.get('label')}"):
        if name in values:
            return values[name]
    return next(iter(values.values()), math.nan)


def faults(answer: Answer, expected: Answer) -> Iterator[str]:
    """Yield what is wrong with the form of an answer: other fields than expected, or numbers that cannot be."""
    if set(answer) != set(expected):
        yield f"has the fields {_listed(answer)} instead of {_listed(expected)}"
        return
    if set(answer.get("probabilities", {})) != set(expected.get("probabilities", {})):
        yield f"has probabilities of {_listed(answer['probabilities'])} instead of {_listed(expected['probabilities'])}"
        return
    try:
        values = numbers(answer)
    except (TypeError, ValueError) as err:
        yield f"has a text or nothing where a number was expected ({err})"
        return
    for name, value in values.items():
        if not math.isfinite(value):
            yield f"has {value} as {name}"
        elif name != "value" and not -1e-9 <= value <= 1 + 1e-9:
            yield f"has {value:g} as {name}, which is not a probability"


def distance(answer: Answer, expected: Answer) -> float:
    """Return how far the numbers of two answers of the same form are apart: the largest difference.

    Differences of probabilities count as they are, those of a value in relation to it where it is larger than 1.
    """
    values, wanted = numbers(answer), numbers(expected)
    apart = [
        abs(values[name] - wanted[name]) / (max(1.0, abs(wanted[name])) if name == "value" else 1.0) for name in wanted
    ]
    return max(apart, default=0.0)


def agrees(answer: Answer, expected: Answer, tolerance: float) -> bool:
    """Return whether two answers of the same form are the same, numbers within a tolerance."""
    return answer.get("label") == expected.get("label") and distance(answer, expected) <= tolerance


def decides_alike(answer: Answer, other: Answer, value_tolerance: float) -> bool:
    """Return whether two models decide alike: the same label, or values that differ by no more than a share."""
    if "label" in other or "label" in answer:
        return answer.get("label") == other.get("label")
    value, old = main_number(answer), main_number(other)
    return abs(value - old) <= value_tolerance * abs(old)


def quality(answers: Sequence[Answer], actual: Sequence[str]) -> tuple[str, float]:
    """Return name and value of a measure of answers: accuracy, or the root mean squared error of values."""
    if "label" in answers[0]:
        right = sum(str(answer["label"]) == str(truth) for answer, truth in zip(answers, actual, strict=True))
        return "accuracy", right / len(answers)
    errors = [(main_number(answer) - float(truth)) ** 2 for answer, truth in zip(answers, actual, strict=True)]
    return "rmse", math.sqrt(sum(errors) / len(errors))


def _listed(names: Any) -> str:
    return ", ".join(sorted(map(str, names))) or "nothing"
