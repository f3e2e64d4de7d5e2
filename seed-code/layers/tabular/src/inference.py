"""Answer requests of the endpoint: raw records in, predictions out.

========================  =============================================================================================
request                   content
========================  =============================================================================================
``text/csv``              with a header in any column order; or without one, all columns of the data set in its order,
                          with or without the label
``application/json``      a record, a list of records, or ``{"instances": [records]}``
``application/jsonlines``  one record per line
========================  =============================================================================================

A record is what a row of the data set is: ``{"age": 54, "state": "WA"}``. Columns that the model does not know are
ignored, those left out are missing. The answer follows the Accept header: JSON (default), JSON lines, or CSV without
header.

=============  ====================================================  ============================================
problem        JSON, per record                                      CSV
=============  ====================================================  ============================================
binary         ``{"score": 0.93, "label": "yes"}``                   score, label
multiclass     ``{"label": "b", "probabilities": {"a": 0.2, ...}}``  label, probability of each class in the
                                                                     order of schema.json
regression     ``{"value": 17.5}``                                   value
=============  ====================================================  ============================================

``score`` is the probability of the positive class. A JSON answer is ``{"predictions": [...]}``.
"""

import csv
import io
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

# The image imports this module before it puts the code of the model on the path.
sys.path.insert(0, os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", str(Path(__file__).resolve().parent)))

from tabular.model import Model, Scores
from tabular.schema import FEATURE, LABEL
from tabular.values import BadValueError, text_of

try:
    from sagemaker_inference.errors import BaseInferenceToolkitError as _ToolkitError
except ImportError:  # outside the image

    class _ToolkitError(Exception):  # type: ignore[no-redef]
        """What the image's toolkit calls an error with an HTTP status."""

        def __init__(self, status_code: int, message: str, phrase: str) -> None:
            super().__init__(message)
            self.status_code, self.message, self.phrase = status_code, message, phrase


CSV, JSON = "text/csv", "application/json"
JSON_LINES = ("application/jsonlines", "application/jsonl", "application/x-ndjson")

Records = list[dict[str, Any]]


class BadRequestError(ValueError, _ToolkitError):
    """A request that cannot be answered; the endpoint returns it as status 400 with this message."""

    def __init__(self, message: str) -> None:
        _ToolkitError.__init__(self, 400, message, "Bad Request")

    def __str__(self) -> str:
        return str(self.message)


@dataclass(frozen=True)
class Rows:
    """CSV without header: its columns are known only with the model."""

    rows: list[list[str]]


@dataclass(frozen=True)
class Prediction:
    """Scores of the records of one request with the model that gave them."""

    model: Model
    scores: Scores


def model_fn(model_dir: str) -> Model:
    """Load the model, once per worker of the endpoint."""
    return Model.load(Path(model_dir))


def input_fn(request_body: str | bytes, content_type: str) -> Records | Rows:
    """Read the records of a request.

    Raises:
        BadRequestError: The content is not of its type, or has no record.
    """
    try:
        text = request_body.decode("utf-8-sig") if isinstance(request_body, bytes) else request_body
    except UnicodeDecodeError as err:
        raise BadRequestError(f"The request is not UTF-8 text ({err}).") from err
    kind = _media_type(content_type)
    if not text.strip():
        raise BadRequestError("The request is empty: send at least one record.")
    if kind == CSV:
        return _csv_rows(text)
    if kind == JSON:
        return _json_records(_parse_json(text, "The request"))
    if kind in JSON_LINES:
        lines = [line for line in text.splitlines() if line.strip()]
        return _json_records([_parse_json(line, f"Line {number}") for number, line in enumerate(lines, start=1)])
    raise BadRequestError(f"Content type {content_type!r} is not supported: use {CSV}, {JSON} or {JSON_LINES[0]}.")


def predict_fn(data: Records | Rows, model: Model) -> Prediction:
    """Score the records of a request.

    Raises:
        BadRequestError: A value does not fit its column; the message names record and column.
    """
    records = _named(data.rows, model) if isinstance(data, Rows) else data
    typed = {}
    for column in model.columns:
        texts = [_text(record.get(column.name), number, column.name) for number, record in enumerate(records, start=1)]
        try:
            # A column of whole numbers may well get its first 0.5 here.
            typed[column.name] = replace(column, whole=False).convert(texts)
        except BadValueError as err:
            raise BadRequestError(
                f"Record {err.position + 1}, column {column.name!r}: {err.text!r} is no {column.kind}."
            ) from err
    return Prediction(model, model.scores(pd.DataFrame(typed)))


def output_fn(prediction: Prediction, accept: str) -> str:
    """Write the answer in the form that the caller accepts.

    Raises:
        BadRequestError: The form is not known.
    """
    kind = _media_type(accept)
    answers = prediction.model.answers(prediction.scores)
    if kind in (JSON, "*/*", ""):
        return json.dumps({"predictions": answers}, ensure_ascii=False)
    if kind in JSON_LINES:
        return "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
    if kind == CSV:
        return _csv_text(answers)
    raise BadRequestError(f"Accept {accept!r} is not supported: use {JSON}, {JSON_LINES[0]} or {CSV}.")


def _media_type(header: str | None) -> str:
    """Return the media type of a header without its parameters."""
    return (header or "").split(";")[0].split(",")[0].strip().lower()


def _parse_json(text: str, what: str) -> object:
    """Return the value of a JSON text."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as err:
        raise BadRequestError(f"{what} is not JSON: {err}.") from err


def _json_records(content: Any) -> Records:
    """Return the records of a JSON request."""
    if isinstance(content, dict) and isinstance(content.get("instances"), list):
        content = content["instances"]
    records = content if isinstance(content, list) else [content]
    if not records:
        raise BadRequestError("The request has no record: send at least one.")
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise BadRequestError(
                f'Record {number} is no object of columns and values, e.g. {{"age": 54}}: {record!r}.'
            )
    return records


def _csv_rows(text: str) -> Rows:
    """Return the rows of a CSV request."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as err:
        raise BadRequestError(f"The request is not CSV: {err}.") from err
    return Rows(rows)


def _named(rows: list[list[str]], model: Model) -> Records:
    """Return CSV rows as records: by the header where there is one, else by the order of the columns."""
    first = [cell.strip() for cell in rows[0]]
    known = {column.name for column in model.schema.columns}
    has_header = 2 * sum(cell in known for cell in first) >= len(first)
    if has_header:
        header, rows = first, rows[1:]
        if not rows:
            raise BadRequestError("The request has a header but no record: send at least one.")
    else:
        header = _header_for(len(first), model)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise BadRequestError(f"Record {number} has {len(row)} fields instead of {len(header)}.")
    return [dict(zip(header, row, strict=True)) for row in rows]


def _header_for(fields: int, model: Model) -> list[str]:
    """Return the columns that rows of so many fields have when there is no header."""
    columns = model.schema.columns
    layouts = (
        [column.name for column in columns],
        [column.name for column in columns if column.role != LABEL],
        [column.name for column in columns if column.role == FEATURE],
    )
    for layout in layouts:
        if len(layout) == fields:
            return layout
    raise BadRequestError(
        f"Records have {fields} fields. Send a header, or the {len(layouts[1])} columns of the data set without the "
        f"label in this order: {', '.join(layouts[1])}."
    )


def _text(value: object, number: int, column: str) -> str | None:
    """Return the text of one value of a record."""
    if isinstance(value, (list, dict)):
        raise BadRequestError(f"Record {number}, column {column!r}: a list or an object is no value.")
    return text_of(value)


def _csv_text(answers: list[dict[str, Any]]) -> str:
    """Return answers as CSV without header, which is what batch transform and monitoring expect."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for answer in answers:
        probabilities = answer.pop("probabilities", {})
        writer.writerow([*answer.values(), *probabilities.values()])
    return stream.getvalue()
