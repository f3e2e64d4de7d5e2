"""The comparison at the end of a shadow period: what both models answered to the same requests, and how fast.

Both variants are captured, each in its own folder. An answer of one belongs to an answer of the other if the caller's
inference id is the same, or the event id; else they are matched by what was asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deployment import answers
from deployment.answers import Answer
from deployment.endpoint_check import Check

_TYPES = {"CSV": answers.CSV, "JSON": answers.JSON}


@dataclass(frozen=True)
class Event:
    """A captured request with its answers.

    Attributes:
        ids: Names of the request: the caller's inference id, the event id.
        asked: Digest of the request.
        text: The answer.
        content_type: Its type.
        time: When.
    """

    ids: tuple[str, ...]
    asked: str
    text: str
    content_type: str
    time: datetime


@dataclass(frozen=True)
class Measured:
    """What CloudWatch knows of a variant in the period.

    Attributes:
        requests: How many it got; None where nothing is known.
        errors: How many of them ended in server errors.
        latency_ms: Mean time that the model took.
        p99_ms: The slowest hour's p99.
    """

    requests: float | None = None
    errors: float | None = None
    latency_ms: float | None = None
    p99_ms: float | None = None

    @property
    def error_percent(self) -> float | None:
        """Share of requests that ended in server errors."""
        return 100 * (self.errors or 0.0) / self.requests if self.requests else None


@dataclass(frozen=True)
class Comparison:
    """What a shadow period showed.

    Attributes:
        checks: What was looked at.
        pairs: Numbers of the old and the new answer to the same record.
        requests: Comparable requests.
        records: Records in them.
        different: Records that the two models decide differently.
        old: Figures of the model in place.
        new: Figures of the shadow.
    """

    checks: tuple[Check, ...]
    pairs: tuple[tuple[float, float], ...]
    requests: int
    records: int
    different: int
    old: Measured
    new: Measured

    @property
    def passed(self) -> bool:
        """Whether the new model may take over."""
        return all(check.passed for check in self.checks)


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of a file that data capture wrote; lines that are none are left out."""
    for line in lines:
        try:
            entry = json.loads(line)
            metadata, data = entry["eventMetadata"], entry["captureData"]
            asked, output = _content(data["endpointInput"]), data["endpointOutput"]
            kind = output.get("observedContentType") or _TYPES.get(str(output.get("encoding")), answers.JSON)
            yield Event(
                ids=tuple(str(metadata[name]) for name in ("inferenceId", "eventId") if metadata.get(name)),
                asked=hashlib.sha256(asked.encode()).hexdigest(),
                text=_content(output),
                content_type=kind,
                time=datetime.fromisoformat(metadata["inferenceTime"]).astimezone(UTC),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue


def _content(part: Mapping[str, Any]) -> str:
    data = part["data"]
    if str(part.get("encoding")).upper() == "BASE64":
        return base64.b64decode(data).decode(errors="replace")
    return data if isinstance(data, str) else json.dumps(data, sort_keys=True)


def match(old: Iterable[Event], new: Iterable[Event]) -> list[tuple[Event, Event]]:
    """Return the events of two variants that answer the same request, in the order of time."""
    by_id: dict[str, Event] = {}
    by_content: dict[str, deque[Event]] = defaultdict(deque)
    for event in sorted(new, key=lambda event: (event.time, event.ids)):
        by_id |= {name: event for name in event.ids if name not in by_id}
        by_content[event.asked].append(event)
    used: set[int] = set()
    found = []
    for event in sorted(old, key=lambda event: (event.time, event.ids)):
        named = (by_id[name] for name in event.ids if name in by_id)
        alike = (by_content[event.asked].popleft() for _ in range(len(by_content[event.asked])))
        partner = next((other for source in (named, alike) for other in source if id(other) not in used), None)
        if partner is not None:
            used.add(id(partner))
            found.append((event, partner))
    return found


def compare(
    matched: Sequence[tuple[Event, Event]],
    old: Measured,
    new: Measured,
    *,
    settings: Mapping[str, Any],
    max_error_percent: float,
    like: Answer | None = None,
) -> Comparison:
    """Compare two models.

    Args:
        matched: What `match` returned.
        old: Figures of the model in place.
        new: Figures of the shadow.
        settings: Settings ``shadow`` of the stage.
        max_error_percent: Share of server errors that the stage's alarm allows.
        like: An answer of the model, which says what the fields of CSV answers are.
    """
    pairs, different, records, unreadable, example = [], 0, 0, 0, ""
    for before, after in matched:
        try:
            was = answers.parse(before.text, before.content_type, like)
            now = answers.parse(after.text, after.content_type, like)
            if len(was) != len(now):
                raise ValueError(f"{len(now)} answers instead of {len(was)}")
            alike = [answers.decides_alike(b, a, settings["value_tolerance"]) for a, b in zip(was, now, strict=True)]
            pairs += [(answers.main_number(a), answers.main_number(b)) for a, b in zip(was, now, strict=True)]
        except (ValueError, TypeError, KeyError) as err:
            unreadable += 1
            example = f"; e.g. {err}"
            continue
        records += len(alike)
        different += alike.count(False)
    least, share = settings["min_requests"], 100 * different / records if records else 0.0
    checks = [
        Check(
            "Requests",
            len(matched) >= least,
            f"{len(matched)} requests were answered by both models, at least {least} are wanted",
        ),
        Check(
            "Readable answers",
            not unreadable,
            f"{unreadable} of {len(matched)} pairs of answers do not fit together{example}",
        ),
        Check(
            "Same decisions",
            share <= settings["max_different_percent"],
            f"{share:.1f} percent of {records} records differ, at most {settings['max_different_percent']:g} allowed",
        ),
        _errors(old, new, max_error_percent),
        _latency(old, new, settings["max_slower_percent"]),
    ]
    return Comparison(tuple(checks), tuple(pairs), len(matched), records, different, old, new)


def _errors(old: Measured, new: Measured, most: float) -> Check:
    if new.error_percent is None:
        return Check("Errors", True, "CloudWatch has no figures; the answers above were given without error")
    allowed = max(most, old.error_percent or 0.0)
    detail = f"{new.error_percent:.2f} percent server errors, at most {allowed:.2f} allowed"
    return Check("Errors", new.error_percent <= allowed, detail)


def _latency(old: Measured, new: Measured, slower: float) -> Check:
    if new.latency_ms is None or old.latency_ms is None:
        return Check("Latency", True, "CloudWatch has no figures for both models")
    allowed = old.latency_ms * (1 + slower / 100)
    detail = f"{new.latency_ms:.1f} ms on average, {old.latency_ms:.1f} ms now; at most {allowed:.1f} ms allowed"
    return Check("Latency", new.latency_ms <= allowed, detail)
