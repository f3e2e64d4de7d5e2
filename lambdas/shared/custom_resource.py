"""Requests from CloudFormation to a custom resource, and the one answer that each of them needs.

CloudFormation invokes the function asynchronously and waits until somebody puts a JSON document at ``ResponseURL``:
without it the stack hangs until the resource's ``ServiceTimeout``. The shapes and limits are those of
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html (answers: at most 4,096 bytes).
"""

from __future__ import annotations

import http.client
import json
import logging
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

logger = logging.getLogger(__name__)
logging.getLogger().setLevel(logging.INFO)  # Lambda installs the handler of the root logger and leaves it at WARNING

NOT_CREATED: Final = "not-created"
"""Physical id of a resource whose creation failed: CloudFormation asks to delete it, and there is nothing to delete."""

_ANSWER_MAX_BYTES: Final = 4096
_PUT_ATTEMPTS: Final = 4
_PUT_TIMEOUT_S: Final = 10
_RESERVED_S: Final = 5
"""Seconds kept back of a function's time for the answer that says that the time was not enough."""

RequestKind = Literal["Create", "Update", "Delete"]


class LambdaContext(Protocol):
    """What this project uses of the context object that Lambda passes to a handler."""

    function_name: str
    invoked_function_arn: str
    log_stream_name: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left before Lambda ends the invocation."""


class CustomResourceError(Exception):
    """A failure that a person can act on: the text is shown in the stack's events as it stands."""


class AnswerError(Exception):
    """CloudFormation's answer URL refused the answer or could not be reached."""


class _OutOfTimeError(BaseException):
    """The function's time is nearly up. No `Exception`: a library that retries on exceptions must not swallow it."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where and under which ids CloudFormation expects an answer; enough to give it later and from elsewhere."""

    response_url: str = field(repr=False)  # a signed URL: whoever reads it in a log may answer
    stack_id: str
    request_id: str
    logical_resource_id: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request of CloudFormation.

    Attributes:
        kind: ``Create``, ``Update`` or ``Delete``.
        address: Where the answer goes.
        resource_type: E.g. ``Custom::SeedCode``.
        physical_id: Id that the answer to Create gave; None for Create.
        properties: Properties in the template, without ``ServiceToken``. CloudFormation sends every scalar as a string.
        old_properties: Properties before an Update; empty otherwise.
    """

    kind: RequestKind
    address: Address
    resource_type: str
    physical_id: str | None
    properties: Mapping[str, object]
    old_properties: Mapping[str, object]

    @classmethod
    def parse(cls, event: Mapping[str, object]) -> Self:
        """Read an event as CloudFormation sends it.

        Raises:
            ValueError: The event is not a custom-resource request, so there is nobody to answer.
        """
        kind = event.get("RequestType")
        missing = [k for k in ("ResponseURL", "StackId", "RequestId", "LogicalResourceId") if not event.get(k)]
        if kind not in ("Create", "Update", "Delete") or missing:
            raise ValueError(
                f"the event is not a request of CloudFormation (RequestType {kind!r}, missing {missing}): "
                f"this function answers custom resources only and was invoked by something else"
            )
        physical_id = event.get("PhysicalResourceId")
        return cls(
            kind=kind,
            address=Address(
                response_url=str(event["ResponseURL"]),
                stack_id=str(event["StackId"]),
                request_id=str(event["RequestId"]),
                logical_resource_id=str(event["LogicalResourceId"]),
            ),
            resource_type=str(event.get("ResourceType", "")),
            physical_id=None if physical_id is None else str(physical_id),
            properties=_properties(event.get("ResourceProperties")),
            old_properties=_properties(event.get("OldResourceProperties")),
        )

    def text(self, name: str) -> str:
        """Return a property that must be a text with at least one character.

        Raises:
            CustomResourceError: It is missing, empty, or not a text.
        """
        value = self.properties.get(name)
        if not isinstance(value, str) or not value:
            raise CustomResourceError(f"{self.resource_type} needs the property {name} (a text); found {value!r}.")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a property that must be a list of texts; a missing one is an empty list.

        Raises:
            CustomResourceError: It is not a list of texts.
        """
        value = self.properties.get(name, [])
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise CustomResourceError(f"{self.resource_type} needs {name} to be a list of texts; found {value!r}.")
        return list(value)


@dataclass(frozen=True, kw_only=True)
class Success:
    """What CloudFormation is told when the request has been carried out.

    Attributes:
        physical_id: ``Ref`` of the resource. Another value than before makes an Update a replacement: CloudFormation
            will ask to delete the former one.
        data: Attributes for ``Fn::GetAtt``.
    """

    physical_id: str
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What CloudFormation is told when the request could not be carried out.

    Attributes:
        physical_id: Id of the resource as it was; `NOT_CREATED` when a creation failed.
        reason: Cause, consequence and remedy; shown in the stack's events.
    """

    physical_id: str
    reason: str


def answer(address: Address, outcome: Success | Failure) -> None:
    """Tell CloudFormation the outcome of a request.

    Raises:
        AnswerError: The answer could not be delivered after several attempts, or is refused (e.g. the URL has expired).
        ValueError: The attributes alone are more than the 4,096 bytes of an answer.
    """
    body = encode_answer(address, outcome)
    for attempt in range(1, _PUT_ATTEMPTS + 1):
        try:
            status = _put(address.response_url, body)
        except (OSError, http.client.HTTPException) as err:
            problem = f"{type(err).__name__}: {err}"
        else:
            if status < 300:
                logger.info("answered %s for request %s", type(outcome).__name__, address.request_id)
                return
            problem = f"HTTP status {status}"
            if status < 500 and status not in (408, 429):
                break  # e.g. 403: the URL has expired, and asking again does not change that
        if attempt < _PUT_ATTEMPTS:
            time.sleep(2 ** (attempt - 1))
    raise AnswerError(
        f"CloudFormation did not take the answer to request {address.request_id} of {address.logical_resource_id} "
        f"({problem}): the stack {address.stack_id} waits until the resource's ServiceTimeout."
    )


def encode_answer(address: Address, outcome: Success | Failure) -> bytes:
    """Return the JSON document of an answer; a reason that is too long for it is cut.

    Raises:
        ValueError: The attributes alone are more than the 4,096 bytes of an answer.
    """
    document: dict[str, object] = {
        "Status": "SUCCESS" if isinstance(outcome, Success) else "FAILED",
        "PhysicalResourceId": outcome.physical_id,
        "StackId": address.stack_id,
        "RequestId": address.request_id,
        "LogicalResourceId": address.logical_resource_id,
    }
    if isinstance(outcome, Success):
        body = json.dumps(document | {"Data": dict(outcome.data)}).encode()
        if len(body) > _ANSWER_MAX_BYTES:
            raise ValueError(
                f"the attributes {sorted(outcome.data)} make an answer of {len(body)} bytes; "
                f"CloudFormation takes {_ANSWER_MAX_BYTES}"
            )
        return body
    reason = outcome.reason or "No reason was given."
    while len(body := json.dumps(document | {"Reason": reason}).encode()) > _ANSWER_MAX_BYTES:
        surplus = len(body) - _ANSWER_MAX_BYTES
        # A character takes up to 12 bytes in JSON (an escaped surrogate pair): surplus / 12 never cuts too much.
        reason = reason[: len(reason) - max(surplus // 12, 1) - 1].rstrip("…") + "…"
    return body


def respond(
    event: Mapping[str, object],
    context: LambdaContext,
    decide: Callable[[Request], Success | None],
    *,
    failed_id: str = NOT_CREATED,
) -> None:
    """Carry out a request of CloudFormation and answer it exactly once.

    Every exception of `decide` becomes a FAILED answer, and so does running out of time: nothing is raised after an
    answer, because Lambda would repeat the invocation and CloudFormation would be answered twice. A Delete of something
    that was never created succeeds without `decide`.

    Args:
        event: The event as Lambda received it.
        context: Lambda's context object.
        decide: Carries out the request. None means that the answer is given later by someone else, who has been
            started and knows the `Address`.
        failed_id: Physical id of a resource whose creation failed. Default: `NOT_CREATED`; any other id has
            CloudFormation's request to delete it reach `decide`, which then clears away what was made.

    Raises:
        AnswerError: The answer could not be delivered; Lambda's retries repeat the whole request, so `decide` must be
            idempotent.
        ValueError: The event is not a request of CloudFormation.
    """
    request = Request.parse(event)
    if request.kind == "Delete" and request.physical_id in (None, NOT_CREATED):
        answer(request.address, Success(physical_id=NOT_CREATED))
        return
    outcome: Success | Failure | None
    try:
        with _deadline(context):
            outcome = decide(request)
        if isinstance(outcome, Success):
            encode_answer(
                request.address, outcome
            )  # attributes that are too long are a failure of this request as well
    except CustomResourceError as err:
        outcome = Failure(physical_id=request.physical_id or failed_id, reason=str(err))
    except (Exception, _OutOfTimeError) as err:
        logger.exception("request %s failed", request.address.request_id)
        outcome = Failure(
            physical_id=request.physical_id or failed_id,
            reason=f"{type(err).__name__.strip('_')}: {err} "
            f"Details: log stream {context.log_stream_name} of the function {context.function_name}.",
        )
    if outcome is not None:
        answer(request.address, outcome)


@contextmanager
def _deadline(context: LambdaContext) -> Iterator[None]:
    """Raise `_OutOfTimeError` inside the block a few seconds before Lambda would end the function without an answer."""
    seconds = context.get_remaining_time_in_millis() / 1000 - _RESERVED_S
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # signals reach the main thread only; Lambda runs handlers there
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise _OutOfTimeError(
            f"the function's time is up after {max(seconds, 0):.0f} s; the request was not completed."
        )

    former = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def _put(url: str, body: bytes) -> int:
    parts = urlsplit(url)
    connect = {"https": http.client.HTTPSConnection, "http": http.client.HTTPConnection}.get(parts.scheme)
    if connect is None or parts.hostname is None:
        raise AnswerError(f"the answer URL has the scheme {parts.scheme!r}; CloudFormation gives an https URL")
    connection = connect(parts.hostname, parts.port, timeout=_PUT_TIMEOUT_S)
    try:
        # The URL is signed for an empty content type; any other makes S3 refuse the signature.
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request("PUT", target, body, {"Content-Type": ""})
        return int(connection.getresponse().status)
    finally:
        connection.close()


def _properties(value: object) -> dict[str, object]:
    return {str(k): v for k, v in value.items() if k != "ServiceToken"} if isinstance(value, dict) else {}
