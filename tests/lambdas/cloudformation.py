"""CloudFormation's side of a custom resource: events to send, and the place where answers arrive."""

from __future__ import annotations

import http.server
import json
import threading
import uuid
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

STACK_ID = "arn:aws:cloudformation:eu-west-1:111122223333:stack/SC-111122223333-pp-abc/0a1b2c3d"


class AnswerBox:
    """A server on loopback that takes answers, as S3 behind CloudFormation's signed URL does.

    Args:
        statuses: HTTP statuses of the first requests; 200 for all that follow. Default: none.

    Attributes:
        answers: Answers that were accepted, in order.
        requests: How many requests arrived.
        content_types: Content type of each request.
    """

    def __init__(self, *statuses: int) -> None:
        self.answers: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.content_types: list[str | None] = []
        self.requests = 0
        self.statuses = list(statuses)
        box = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = box.statuses.pop(0) if box.statuses else 200
                box.requests += 1
                box.content_types.append(self.headers.get("Content-Type"))
                if status == 200:
                    box.sizes.append(len(body))
                    box.answers.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep the tests' output clean."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Address for answers, signed as CloudFormation's are."""
        return f"http://127.0.0.1:{self._server.server_port}/answers/one?X-Amz-Signature=abc"

    @property
    def only(self) -> dict[str, Any]:
        """The one answer; there must be exactly one."""
        (answer,) = self.answers
        return answer

    def event(
        self,
        kind: str,
        resource_type: str,
        properties: dict[str, Any],
        *,
        physical_id: str | None = None,
        old_properties: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return an event as CloudFormation sends it to a function."""
        event: dict[str, Any] = {
            "RequestType": kind,
            "ServiceToken": "arn:aws:lambda:eu-west-1:111122223333:function:ml-platform-some-function",
            "ResponseURL": self.url,
            "StackId": STACK_ID,
            "RequestId": str(uuid.uuid4()),
            "LogicalResourceId": "Resource",
            "ResourceType": resource_type,
            "ResourceProperties": {"ServiceToken": "arn:…", **properties},
        }
        if kind != "Create":
            event["PhysicalResourceId"] = physical_id or "the-resource"
        if kind == "Update":
            event["OldResourceProperties"] = {"ServiceToken": "arn:…", **(old_properties or properties)}
        return event


class Context:
    """Lambda's context object.

    Args:
        remaining_s: Seconds left at each question; the last one repeats. Default: 60.
    """

    function_name = "ml-platform-some-function"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:111122223333:function:ml-platform-some-function"
    log_stream_name = "2026/11/20/[$LATEST]abc"

    def __init__(self, *remaining_s: float) -> None:
        self._remaining = list(remaining_s) or [60.0]

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left."""
        seconds = self._remaining.pop(0) if len(self._remaining) > 1 else self._remaining[0]
        return int(seconds * 1000)
