"""Answer requests of the endpoint: raw records in, predictions out.

=========================  ============================================================================================
request                    content
=========================  ============================================================================================
``text/csv``               with a header in any column order; or without one, all columns of the data set in its order,
                           with or without the label; separated by comma, semicolon, tab or bar
``application/json``       a record, a list of records, or either as ``instances``, ``records``, ``inputs`` or
                           ``dataframe_records``; ``{"dataframe_split": {"columns": [...], "data": [...]}}``; any of
                           these as ``body`` of a request that API Gateway passed on
``application/jsonlines``  one record per line
=========================  ============================================================================================

A record is what a row of the data set is: ``{"age": 54, "state": "WA"}``. Columns that the model does not know are
ignored, those left out are missing; a record without any column that the model reads, or with one that seems to be
misspelt, is refused (`tabular.records`). The answer follows the Accept header: JSON (default), JSON lines, or CSV
without header.

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

import base64
import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

# The image imports this module before it puts the code of the model on the path.
sys.path.insert(0, os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", str(Path(__file__).resolve().parent)))

from tabular.files import separator_of
from tabular.model import Model, Scores
from tabular.records import is_header, is_misspelt_header, misfit
from tabular.schema import FEATURE, LABEL
from tabular.values import BadValueError, column_of

try:
    from sagemaker_inference.errors import BaseInferenceToolkitError as _ToolkitError
except ImportError:  # outside the image

    class _ToolkitError(Exception):  # type: ignore[no-redef]
        """What the image's toolkit calls an error with an HTTP status."""

        def __init__(self, status_code: int, message: str, phrase: str) -> None:
            super().__init__(message)
            self.status_code, self.message, self.phrase = status_code, message, phrase


CSV, JSON = "text/csv", "application/json"
WRAPPERS = ("instances", "records", "inputs", "dataframe_records")
KNOWN_FORMS = f'a record such as {{"age": 54}}, a list of records, or {{"{WRAPPERS[0]}": [records]}}'
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
        text = request_body.decode() if isinstance(request_body, bytes) else request_body
    except UnicodeDecodeError as err:
        raise BadRequestError(f"The request is not UTF-8 text ({err}).") from err
    kind, text = _media_type(content_type), text.removeprefix("\ufeff")
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
    raw = _named(data.rows, model) if isinstance(data, Rows) else None
    count = len(data) if raw is None else len(next(iter(raw.values())))
    _check_columns([list(raw)] if raw is not None else data, model)
    typed = []
    for column in model.columns:
        name = column.name
        values = [record.get(name) for record in data] if raw is None else raw.get(name, [None] * count)
        try:
            # A column of whole numbers may well get its first 0.5 here.
            typed.append(replace(column, whole=False).convert(column_of(values)))
        except BadValueError as err:
            is_nested = err.text is None
            what = "a list or an object is not a value" if is_nested else f"{err.text!r} is not a {column.kind}"
            raise BadRequestError(f"Record {err.position + 1}, column {name!r}: {what}.") from err
    records = pa.RecordBatch.from_arrays(typed, [column.name for column in model.columns])
    return Prediction(model, model.scores(records))


def output_fn(prediction: Prediction, accept: str) -> str:
    """Write the answer in the form that the caller accepts.

    Raises:
        BadRequestError: The form is not known.
    """
    kind = _accepted(accept)
    answers = prediction.model.answers(prediction.scores)
    if kind == JSON:
        return json.dumps({"predictions": answers}, ensure_ascii=False)
    if kind == CSV:
        return _csv_text(answers)
    return "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)


def _accepted(header: str | None) -> str:
    """Return the form of the answer that a caller prefers, by RFC 9110, section 12.5.1: the greatest ``q`` wins.

    Raises:
        BadRequestError: The caller takes none of the forms.
    """
    wanted = []
    for position, entry in enumerate(filter(str.strip, (header or "*/*").split(","))):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = next((part.removeprefix("q=") for part in parameters if part.startswith("q=")), "1")
        try:
            wanted.append((-float(quality), position, kind))
        except ValueError:
            continue
    for quality, _, kind in sorted(wanted):
        for form in (JSON, CSV, *JSON_LINES):
            if quality < 0 and kind in (form, f"{form.split('/')[0]}/*", "*/*"):
                return form
    raise BadRequestError(f"Accept {header!r} is not supported: use {JSON}, {JSON_LINES[0]} or {CSV}.")


def _media_type(header: str | None) -> str:
    """Return the media type of a header without its parameters."""
    return (header or "").split(";")[0].split(",")[0].strip().lower()


def _parse_json(text: str, what: str) -> object:
    """Return the value of a JSON text."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except BadRequestError:
        raise
    except (ValueError, RecursionError) as err:  # the former also for numbers of thousands of digits
        raise BadRequestError(f"{what} is not JSON: {err}.") from err


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object whose names are there once: of two values, nobody knows which one is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequestError(f"{twice!r} is there twice in one object, and only one of its values can count.")
    return found


def _json_records(content: Any) -> Records:
    """Return the records of a JSON request."""
    if isinstance(content, dict):
        content = _unwrapped(content)
    records = content if isinstance(content, list) else [content]
    if not records:
        raise BadRequestError("The request has no record: send at least one.")
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise BadRequestError(
                f'Record {number} is not an object of columns and values, e.g. {{"age": 54}}: {record!r}.'
            )
    return records


def _unwrapped(content: dict[str, Any]) -> Any:
    """Return what a request holds in one of the known wrappers; a record has no lists or objects, so it is not one."""
    if isinstance(content.get("body"), str) and {"httpMethod", "requestContext", "isBase64Encoded"} & content.keys():
        body = content["body"]
        if content.get("isBase64Encoded"):
            try:
                body = base64.b64decode(body, validate=True).decode()
            except ValueError as err:
                raise BadRequestError(f"The body of the request is not Base64 of UTF-8 text ({err}).") from err
        inner = _parse_json(body, "The body of the request")
        return _unwrapped(inner) if isinstance(inner, dict) else inner
    split = content.get("dataframe_split")
    if isinstance(split, dict) and isinstance(split.get("columns"), list) and isinstance(split.get("data"), list):
        for number, row in enumerate(split["data"], start=1):
            if not isinstance(row, list) or len(row) != len(split["columns"]):
                raise BadRequestError(f"Record {number} has not as many values as dataframe_split has columns.")
        return [dict(zip(map(str, split["columns"]), row, strict=True)) for row in split["data"]]
    for name in WRAPPERS:
        if isinstance(content.get(name), (list, dict)):
            return content[name]
    return content


def _check_columns(records: Sequence[Iterable[str]], model: Model) -> None:
    """Refuse records that the model would score as something else; records of the same columns are judged once."""
    wanted = [column.name for column in model.columns]
    known = {column.name for column in model.schema.columns}
    judged: set[tuple[str, ...]] = set()
    for number, record in enumerate(records, start=1):
        names = tuple(record)
        if names in judged:
            continue
        judged.add(names)
        for name, value in record.items() if isinstance(record, dict) else ():
            if isinstance(value, (list, dict)) and name not in known:
                raise BadRequestError(
                    f"Record {number}: {name!r} holds a list or an object, and the model knows no such column. "
                    f"Send {KNOWN_FORMS}."
                )
        if reason := misfit(names, wanted, known):
            raise BadRequestError(
                f"Record {number} has {reason} ({', '.join(wanted[:10])}). Send {KNOWN_FORMS}."
                if reason.startswith("none")
                else f"Record {number}: {reason}"
            )


def _csv_rows(text: str) -> Rows:
    """Return the rows of a CSV request."""
    try:
        rows = [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator_of(text), strict=True) if row
        ]
    except csv.Error as err:
        raise BadRequestError(f"The request is not CSV: {err}.") from err
    return Rows(rows)


def _named(rows: list[list[str]], model: Model) -> dict[str, list[str]]:
    """Return CSV rows by column: by the header where there is one, else by the order of the columns."""
    first = [cell.strip() for cell in rows[0]]
    known = [column.name for column in model.schema.columns]
    if is_header(first, known):
        header, rows = first, rows[1:]
        if twice := next((name for name in header if name in known and header.count(name) > 1), None):
            raise BadRequestError(f"The header has the column {twice!r} twice, and only one of them can count.")
        if not rows:
            raise BadRequestError("The request has a header but no record: send at least one.")
    elif is_misspelt_header(first, known):
        raise BadRequestError(
            f"The first line, {', '.join(first[:10])}, seems to be a header in another spelling: the columns are "
            f"{', '.join(known[:20])}."
        )
    else:
        header = _header_for(len(first), model)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise BadRequestError(f"Record {number} has {len(row)} fields instead of {len(header)}.")
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


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


def _csv_text(answers: list[dict[str, Any]]) -> str:
    """Return answers as CSV without header, which is what batch transform and monitoring expect."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for answer in answers:
        probabilities = answer.pop("probabilities", {})
        writer.writerow([*answer.values(), *probabilities.values()])
    return stream.getvalue()
