"""Fault injection: everything that can happen to a function behind a queue on AWS happens.

=============  ======================================================================================================
fault          what is done
=============  ======================================================================================================
throttling     the first call of every operation is refused, of every function
crash          the process of one function is killed after every call that it makes, once for each: the call took
               effect, its answer is lost
duplicates     every event reaches its queue twice, as EventBridge can deliver more than once
wrong order    each new event is followed by all earlier ones
=============  ======================================================================================================

Waiting is left out: where a message would stay invisible, it comes at once, and the clock of the functions (``later/``)
is put forward by what it would have waited, so that leases end as they would. SQS gives a message up after eight
receives. One that was interrupted six times is therefore held back, a duplicate of its event goes on, it comes last.
"""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qsl, unquote

from ministack import app
from ministack.core import lambda_runtime

from aws_emulator import core, inside
from aws_emulator.clock import clock
from aws_emulator.inside import replaces

if TYPE_CHECKING:
    from aws_emulator.core import Json

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

CLOCK_VARIABLE: Final = "EMULATOR_CLOCK"
COUNTS_FILE: Final = "faults.json"
_INTERRUPTIONS: Final = 6  # of the eight receives that the queue allows
_NEVER: Final = float("inf")


class Faults:
    """What has been done so far.

    Args:
        folder: Where the counts and the clock are kept.
        prefix: How the names of the functions begin that are throttled.
        crashing: The function that is killed again and again; its events come from a queue, one at a time.

    Attributes:
        crashing: The same.
    """

    def __init__(self, folder: Path, prefix: str, crashing: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self.crashing = crashing
        self._lock = clock.lock_again()
        self._counts = {"throttled": 0, "crashes": 0, "duplicates": 0, "out_of_order": 0, "seconds_left_out": 0.0}
        self._function_of: dict[str, str] = {}
        self._throttled: set[tuple[str, str]] = set()
        self._crashed: set[str] = set()
        self._calls: Counter[str] = Counter()  # of the present invocation
        self._may_crash = False
        self._has_crashed = False
        self._worker: Any = None
        self._payloads: list[str] = []
        self._save()

    # ---- requests of the functions ----

    def know_key(self, access_key: str, function: str) -> None:
        """Note with which access key a function signs."""
        self._function_of[access_key] = function

    def know_worker(self, worker: object) -> None:
        """Note the process that runs the function."""
        self._worker = worker

    def around(self, application: Application) -> Application:
        """Return the application with faults in the answers to functions."""

        async def answer(scope: Message, receive: Receive, send: Send) -> None:
            function = self._function_of.get(_access_key(scope)) if scope["type"] == "http" else None
            if function is None or not function.startswith(self._prefix):
                await application(scope, receive, send)
            elif self._throttles(function, _operation(scope)):
                await _refuse(scope, receive, send)
            elif function != self.crashing:
                await application(scope, receive, send)
            else:
                held: list[Message] = []

                async def hold(message: Message) -> None:
                    held.append(message)

                await application(scope, receive, hold)
                if self._crashes(f"{_operation(scope)} {_resource(scope)}".removesuffix("?").strip()):
                    return  # the caller is gone
                for message in held:
                    await send(message)

        return answer

    def _throttles(self, function: str, operation: str) -> bool:
        with self._lock:
            if (function, operation) in self._throttled:
                return False
            self._throttled.add((function, operation))
            self._count("throttled")
            return True

    def _crashes(self, call: str) -> bool:
        with self._lock:
            self._calls[call] += 1
            call += f" (number {self._calls[call]})" if self._calls[call] > 1 else ""
            if not self._may_crash or call in self._crashed:
                return False
            self._crashed.add(call)
            self._has_crashed, self._may_crash = True, False
            self._count("crashes")
            self._worker._proc.kill()
            return True

    # ---- messages of the queue ----

    def dispatched(self, queue: Json, payload: str, again: Callable[[str], None]) -> None:
        """Deliver an event once more, and after it all that came before."""
        with self._lock:
            again(payload)
            self._count("duplicates")
            for former in self._payloads:
                again(former)
                self._count("out_of_order")
            self._payloads.append(payload)

    def run(self, batch: list[Json], queue: Json, deliver: Callable[[], None]) -> None:
        """Let the function work on a message, and leave out what would have to be waited for afterwards."""
        (message,) = batch
        with self._lock:
            self._calls.clear()
            self._may_crash, self._has_crashed = message["receive_count"] <= _INTERRUPTIONS, False
        deliver()
        with self._lock, inside.sqs.queues_lock:
            here = any(m is message for m in queue["messages"])
            if here and self._has_crashed and message["receive_count"] >= _INTERRUPTIONS:
                queue["messages"].append({**message, **_FRESH, "id": clock.random_id(32), "sent_at": clock.now()})
                message["visible_at"] = _NEVER
                self._count("duplicates")
            if not [m for m in queue["messages"] if m["visible_at"] < _NEVER]:
                for held in queue["messages"]:
                    held["visible_at"] = 0.0
            longest = max((m["visible_at"] for m in queue["messages"] if m["visible_at"] < _NEVER), default=0.0)
            if longest > clock.now():
                self._counts["seconds_left_out"] += longest - clock.now()
                for waiting in queue["messages"]:
                    if waiting["visible_at"] < _NEVER:
                        waiting["visible_at"] = 0.0
            self._save()
        inside.lambda_svc.esm_backoff_until.clear()

    # ---- what is reported ----

    def _count(self, fault: str) -> None:
        self._counts[fault] += 1
        self._save()

    def _save(self) -> None:
        self._write(COUNTS_FILE, json.dumps({**self._counts, "calls_interrupted": sorted(self._crashed)}, indent=1))
        self._write("clock", str(self._counts["seconds_left_out"]))

    def _write(self, name: str, text: str) -> None:
        draft = self._folder / f".{name}"
        draft.write_text(text, encoding="utf-8")
        draft.replace(self._folder / name)  # readers see the former or the new, never half of it


_FRESH: Final = {"receipt_handle": None, "visible_at": 0.0, "receive_count": 0, "first_receive_at": None}


def _header(scope: Message, name: bytes) -> str:
    return next((value.decode() for key, value in scope["headers"] if key.lower() == name), "")


def _access_key(scope: Message) -> str:
    _, _, credential = _header(scope, b"authorization").partition("Credential=")
    return credential.partition("/")[0]


def _service(scope: Message) -> str:
    parts = _header(scope, b"authorization").partition("Credential=")[2].split("/")
    return parts[3] if len(parts) > 3 else ""


def _operation(scope: Message) -> str:
    """Name the operation of a request: as its target header does, for S3 by method and the names in its query."""
    target = _header(scope, b"x-amz-target")
    if target:
        return target
    query = sorted(key for key, _ in parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
    copy = " (copy)" if _header(scope, b"x-amz-copy-source") else ""
    return f"{_service(scope)} {scope['method']} {'&'.join(query)}{copy}"


def _resource(scope: Message) -> str:
    return unquote(f"{scope['path']}?{scope['query_string'].decode()}")


_JSON: Final = (400, core.JSON_11.encode(), b'{"__type": "ThrottlingException", "message": "Rate exceeded"}')
_QUERY: Final = (
    400,
    b"text/xml",
    b"<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>",
)
_REFUSALS: Final = {
    "s3": (
        503,
        b"application/xml",
        b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>",
    ),
    "ec2": (
        503,
        b"text/xml",
        b"<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>",
    ),
    "lakeformation": (400, b"application/json", _JSON[2]),
    "lambda": (429, b"application/json", b'{"Type": "User", "message": "Rate Exceeded."}'),
}
"""How services say that they have too much to do: status, media type, body. By default the protocol decides.

Sources: "Common Errors" of each service's API reference; for EC2 "Request throttling for the Amazon EC2 API".
"""


async def _refuse(scope: Message, receive: Receive, send: Send) -> None:
    """Answer as a service does that has too much to do."""
    while (await receive()).get("more_body"):
        pass
    status, kind, body = _REFUSALS.get(_service(scope), _JSON if _header(scope, b"x-amz-target") else _QUERY)
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def install() -> None:
    """Begin to disturb the functions that the configuration names: all with a ``prefix``, and one that crashes."""
    organization = core.organization()
    if not organization.faults:
        return
    faults = Faults(organization.work_dir, organization.faults["prefix"], organization.faults["crashing"])
    os.environ[CLOCK_VARIABLE] = str(organization.work_dir / "clock")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path(__file__).with_name("later")), os.environ.get("PYTHONPATH")])
    )
    app.app = faults.around(app.app)
    _watch_functions(faults)
    _disturb_queue(faults)


def _watch_functions(faults: Faults) -> None:
    @replaces(lambda_runtime, "execution_credentials")
    def issue(credentials: Callable[[Json], dict[str, str]], config: Json) -> dict[str, str]:
        keys = credentials(config)
        faults.know_key(keys["AWS_ACCESS_KEY_ID"], config["FunctionName"])
        return keys

    invoke = lambda_runtime.Worker.invoke

    def run(worker: Any, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 - MiniStack's own types
        if worker.func_name == faults.crashing:
            faults.know_worker(worker)
        return invoke(worker, *arguments, **keywords)

    lambda_runtime.Worker.invoke = run


def _disturb_queue(faults: Faults) -> None:
    def is_crashing(esm: Json) -> bool:
        return str(esm["FunctionName"]) == faults.crashing

    @replaces(inside.eventbridge, "dispatch_to_sqs")
    def deliver(dispatch: Callable[..., None], spec: object, payload: str, parameters: Json | None = None) -> None:
        dispatch(spec, payload, parameters)
        queue = inside.sqs.queue_by_arn(str(spec))
        fed = [esm for _, _, esm in inside.lambda_svc.iter_all_esms() if esm["EventSourceArn"] == str(spec)]
        if queue and any(is_crashing(esm) for esm in fed):
            faults.dispatched(queue, payload, lambda text: dispatch(spec, text, parameters))

    @replaces(inside.lambda_svc, "run_sqs_batch")
    def run(run_batch: Callable[..., None], esm: Json, *arguments: Any) -> None:  # noqa: ANN401 - as above
        work = functools.partial(run_batch, esm, *arguments)
        if is_crashing(esm):
            _function, _event, batch, url, _name = arguments
            faults.run(batch, inside.sqs.queues[url], work)
        else:
            work()

    @replaces(inside.lambda_svc, "sqs_esm_concurrency")
    def one_at_a_time(concurrency: Callable[..., int], esm: Json, *arguments: object) -> int:
        return 1 if is_crashing(esm) else concurrency(esm, *arguments)
