"""What data capture keeps of an endpoint: requests and answers, one event per line of JSON.

An event is ``{"captureData": {"endpointInput": {...}, "endpointOutput": {...}}, "eventMetadata": {...}}``; input and
output have ``data``, ``encoding`` (CSV, JSON or BASE64) and ``observedContentType`` (SageMaker developer guide, "View
captured data"). Ground truth has the form of the page "Ingest Ground Truth labels and merge them with predictions"; an
event of several records takes one label per line (CSV) or a list (JSON).
"""

from __future__ import annotations

import base64
import csv
import importlib
import io
import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitoring import events
from monitoring.package import Package
from monitoring.results import paired
from monitoring.storage import Storage
from monitoring.window import Window

MOST_BAD_EXAMPLES = 5
THREADS = 2  # more would only hold more memory
SHADOW = "shadow"  # variant whose answers nobody gets: they are another model's, to copies of the same requests
CONTENT_TYPES = {"CSV": "text/csv", "JSON": "application/json"}


@dataclass(frozen=True)
class Record:
    """One record that was scored.

    Attributes:
        event: Id by which ground truth names its request: the caller's inference id where there is one.
        position: Its place in the request, from 0.
        values: Raw values by column.
        answer: What the endpoint answered for it, None where that was not captured.
    """

    event: str
    position: int
    values: dict[str, Any]
    answer: dict[str, Any] | None


class Sample:
    """So many records of any number, chosen by a hash of what identifies them: always the same ones.

    Args:
        size: Most records kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._ranks = np.empty(0, np.uint64)
        self._items: list[Any] = []
        self._most = np.uint64(2**64 - 1)
        self.seen = 0

    def add(self, names: pa.StringArray, positions: Sequence[int], item: Callable[[int], Any]) -> None:
        """Look at more records.

        Args:
            names: Name of the event of each.
            positions: Place of each in its event.
            item: Returns the n-th of them, to be kept.
        """
        self.seen += len(names)
        ranks = events.ranks(names, np.asarray(positions, np.int64))
        chosen = np.flatnonzero(ranks <= self._most)
        self._ranks = np.concatenate([self._ranks, ranks[chosen]])
        self._items += [item(number) for number in chosen.tolist()]
        if len(self._items) > 2 * self._size:
            self._shrink()

    def add_records(self, records: Sequence[Record]) -> None:
        """Look at more records."""
        names = pa.array([record.event for record in records], pa.string())
        self.add(names, [record.position for record in records], records.__getitem__)

    def _shrink(self) -> None:
        order = np.argsort(self._ranks, kind="stable")[: self._size]
        self._ranks, self._items = self._ranks[order], [self._items[number] for number in order.tolist()]
        if len(order) == self._size:
            self._most = self._ranks[-1]

    @property
    def items(self) -> list[Any]:
        """What is kept, in the order of the hashes."""
        self._shrink()
        return self._items


@dataclass
class Captured:
    """What was captured in a window.

    Attributes:
        records: A sample of the records of the window.
        seen: Records of the window.
        unreadable: Requests that are not records, with an example of why.
        labelled: Records, of the window or of the hours before, whose truth has become known, with their labels.
        labels: Labels that arrived in the window.
    """

    records: list[Record] = field(default_factory=list)
    seen: int = 0
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)
    labelled: list[tuple[Record, str]] = field(default_factory=list)
    labels: int = 0


def read(
    storage: Storage,
    endpoint: str,
    window: Window,
    package: Package,
    *,
    most_records: int,
    lookback_hours: int,
    with_truth: bool,
) -> Captured:
    """Read the events of a window, and those before it whose truth arrived in it.

    Args:
        storage: Bucket with ``capture/<endpoint>/<variant>/yyyy/mm/dd/hh/`` and ``ground-truth/yyyy/mm/dd/hh/``.
        endpoint: Name of the endpoint.
        window: The hours to look at.
        package: The package that the endpoint serves.
        most_records: Most records of the window, and most labels, that are kept.
        lookback_hours: How long before the window an event may lie whose label arrived in it.
        with_truth: Whether labels are wanted.
    """
    captured, sample = Captured(), Sample(most_records)
    truth = read_truth(storage, window, most_records) if with_truth else {}
    captured.labels = sum(len(labels) for labels in truth.values())
    awaited = pa.array(list(truth), pa.string())
    for lines, sure, names in _recognised(_blocks(storage, endpoint, window), package):
        single = np.flatnonzero(sure)
        sample.add(names, [0] * len(names), lambda number: lines[single[number]])  # noqa: B023 (called at once)
        known = pc.is_in(names, value_set=awaited).to_numpy(zero_copy_only=False)
        for number in single[known].tolist():
            _join(_event_records(lines[number], package, Captured()), truth, captured)
        for number in np.flatnonzero(~sure).tolist():
            records = _event_records(lines[number], package, captured)
            sample.add_records(records)
            _join(records, truth, captured)
    captured.seen = sample.seen
    for item in sample.items:
        records = [item] if isinstance(item, Record) else _event_records(item, package, captured)
        captured.records += records
        captured.seen -= 1 - len(records)  # what turned out not to be a record
    if truth and lookback_hours:
        for lines, sure, names in _recognised(_blocks(storage, endpoint, window.before(lookback_hours)), None):
            candidates = ~sure
            candidates[sure] = pc.is_in(names, value_set=awaited).to_numpy(zero_copy_only=False)
            for number in np.flatnonzero(candidates).tolist():
                _join(_event_records(lines[number], package, Captured(), truth), truth, captured)
    captured.labelled.sort(key=lambda pair: (pair[0].event, pair[0].position))
    return captured


def read_truth(storage: Storage, window: Window, most: int) -> dict[str, list[str]]:
    """Return the labels that were uploaded in a window, by event; the first `most` events in the order of the keys."""
    found: dict[str, list[str]] = {}
    for hour in window.hours():
        for key in storage.keys(f"ground-truth/{hour}/"):
            for line in storage.lines(key):
                try:
                    entry = json.loads(line)
                    event = str(entry["eventMetadata"]["eventId"])
                    labels = _labels(entry["groundTruthData"])
                except (ValueError, KeyError, TypeError):
                    continue  # a line that is not a label joins with nothing; the number of joined records shows it
                if len(found) < most or event in found:
                    found[event] = labels  # a corrected label replaces an earlier one
    return found


def _labels(data: dict[str, Any]) -> list[str]:
    """Return the labels of one entry of ground truth."""
    text = data["data"]
    if data.get("encoding", "CSV").upper() == "BASE64":
        text = base64.b64decode(text).decode()
    if data.get("encoding", "CSV").upper() == "JSON" or not isinstance(text, str):
        value = json.loads(text) if isinstance(text, str) else text
        values = value if isinstance(value, list) else [value]
        return [item if isinstance(item, str) else json.dumps(item) for item in values]
    return [row[0].strip() for row in csv.reader(io.StringIO(text)) if row]


def _recognised(
    blocks: Iterator[list[bytes]], package: Package | None
) -> Iterator[tuple[list[bytes], events.Mask, pa.StringArray]]:
    """Yield lines with what `events.single_records` says of them, while threads look at the next ones."""
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[tuple[list[bytes], Future[tuple[events.Mask, pa.StringArray]]]] = deque()
        for lines in blocks:
            waiting.append((lines, pool.submit(events.single_records, lines, package)))
            if len(waiting) > THREADS:
                lines, found = waiting.popleft()
                yield (lines, *found.result())
        for lines, found in waiting:
            yield (lines, *found.result())


def _join(records: Sequence[Record], truth: dict[str, list[str]], captured: Captured) -> None:
    for record in records:
        labels = truth.get(record.event, ())
        if record.position < len(labels):
            captured.labelled.append((record, labels[record.position]))


def _blocks(storage: Storage, endpoint: str, window: Window) -> Iterator[list[bytes]]:
    """Yield the lines of a window, of all variants that answer, some at a time."""
    root = f"capture/{endpoint}/"
    variants = [folder for folder in storage.folders(root) if folder != f"{root}{SHADOW}/"]
    for hour in window.hours():
        for variant in variants:
            for key in storage.keys(f"{variant}{hour}/"):
                yield from storage.blocks(key)


def _event_records(
    line: bytes, package: Package, captured: Captured, only: Collection[str] | None = None
) -> list[Record]:
    """Return the records of one line, with `only` if it is one of these events; one that cannot be read is counted."""
    try:
        event = json.loads(line)
        metadata = event["eventMetadata"]
        name = str(metadata.get("inferenceId") or metadata["eventId"])
        if only is not None and name not in only:
            return []
        values = request_records(*_content(event["captureData"]["endpointInput"]), package)
        output = event["captureData"].get("endpointOutput")
        answers = answer_records(*_content(output), package) if output else []
    except (ValueError, KeyError, TypeError) as err:  # the model's BadRequestError is a ValueError, too
        captured.unreadable += 1
        if len(captured.examples) < MOST_BAD_EXAMPLES:
            captured.examples.append(f"{type(err).__name__}: {err}"[:200])
        return []
    if len(answers) != len(values):
        answers = [None] * len(values)
    return [Record(name, position, row, answer) for position, (row, answer) in enumerate(zip(values, answers))]


def _content(part: dict[str, Any]) -> tuple[str, str]:
    """Return text and content type of the input or output of an event."""
    encoding = str(part.get("encoding", "CSV")).upper()
    data = part["data"]
    if encoding == "BASE64":
        data = base64.b64decode(data).decode("utf-8-sig")
    elif not isinstance(data, str):
        data = json.dumps(data)
    return data, part.get("observedContentType") or CONTENT_TYPES.get(encoding, CONTENT_TYPES["JSON"])


def request_records(text: str, content_type: str, package: Package) -> list[dict[str, Any]]:
    """Return the records of a request, as the model's own ``inference.py`` reads them.

    Raises:
        ValueError: The endpoint does not take such a request either.
    """
    parsed = importlib.import_module("inference").input_fn(text, content_type)
    rows = getattr(parsed, "rows", None)
    return list(parsed) if rows is None else name_columns(rows, package.schema)


def name_columns(rows: list[list[str]], schema: Any) -> list[dict[str, Any]]:
    """Return CSV rows as records: by the header where there is one, else by the order of the columns.

    Raises:
        ValueError: The rows have another number of fields than any layout that the endpoint knows.
    """
    first = [cell.strip() for cell in rows[0]]
    names = [column.name for column in schema.columns]
    if 2 * sum(cell in names for cell in first) >= len(first):
        header, rows = first, rows[1:]
    else:
        layouts = (
            names,
            [column.name for column in schema.columns if column.role != "label"],
            [column.name for column in schema.columns if column.role == "feature"],
        )
        fitting = [layout for layout in layouts if len(layout) == len(first)]
        if not fitting:
            raise ValueError(f"rows of {len(first)} fields without header fit no layout of the data set")
        header = fitting[0]
    return [dict(paired(header, row)) for row in rows]


def answer_records(text: str, content_type: str, package: Package) -> list[dict[str, Any] | None]:
    """Return the answer for each record of a request: ``score`` and ``label``, ``probabilities``, or ``value``.

    Raises:
        ValueError: The text is not what the endpoint answers.
    """
    kind = content_type.split(";")[0].strip().lower()
    if kind == "text/csv":
        return [_csv_answer(row, package) for row in csv.reader(io.StringIO(text)) if row]
    if kind == "application/json":
        content = json.loads(text)
        found = content["predictions"] if isinstance(content, dict) and "predictions" in content else content
        return list(found) if isinstance(found, list) else [found]
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _csv_answer(row: list[str], package: Package) -> dict[str, Any]:
    """Return a row of a CSV answer in the form of a JSON answer."""
    problem = package.schema.problem_type
    if problem == "binary":
        return {"score": float(row[0]), "label": row[1]}
    if problem == "multiclass":
        return {"label": row[0], "probabilities": dict(paired(package.classes, [float(cell) for cell in row[1:]]))}
    return {"value": float(row[0])}
