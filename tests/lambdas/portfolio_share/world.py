"""CloudFormation, Service Catalog and SQS as the function under test sees them, on this machine."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

from lambdas.portfolio_share import handler
from lambdas.portfolio_share.catalog import Later, ServiceCatalog

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

PORTFOLIO = "port-abcdefgh12345"
OU = "ou-ab12-workload1"
OTHER_OU = "ou-ab12-workload2"
Json: TypeAlias = Any
HUB = "123456789012"
PRODUCT = "prod-abcdefgh12345"
ACCOUNTS = ("222222222222", "333333333333")
STEP_S = 10.0
"""Seconds between two deliveries of a task."""

_MODEL = botocore.session.get_session().get_service_model("servicecatalog")


class ModelledClient:
    """Checks requests and answers against botocore's model, counts calls, and fails where told to.

    Attributes:
        calls: Operations in the order of the calls.
        failures: Operations that always fail, with their errors.
        fail_at: Number of the one call, from 0, that fails with an error of the service. Default: none.
        fail_after: Whether that call takes effect before it fails, as when an answer is lost on its way.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failures: dict[str, Exception] = {}
        self.fail_at: int | None = None
        self.fail_after = False
        self._begun = 0

    def _call(self, operation: str, request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(operation)
        model = _MODEL.operation_model(operation)
        for value, shape in ((request, model.input_shape), (answer, model.output_shape)):
            if shape:
                validate_parameters(value, shape)
        if self.fail_after and self._begun - 1 == self.fail_at:
            raise client_error("InternalServerException", "lost on its way")
        return answer

    def _fail(self, operation: str) -> None:
        self._begun += 1
        if not self.fail_after and self._begun - 1 == self.fail_at:
            self.calls.append(operation)
            raise client_error("InternalServerException", "not carried out")
        if operation in self.failures:
            self.calls.append(operation)
            raise self.failures[operation]


class FakeServiceCatalog(ModelledClient):
    """Shares and versions of one portfolio.

    Attributes:
        shares: Options by unit.
        statuses: Status of an operation at once, after `STEP_S` seconds, and so on; the last one stays.
        now: Unix time.
        versions: Provisioning artifacts: id, name, guidance, active.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shares: dict[str, dict[str, bool]] = {}
        self.statuses = ["COMPLETED"]
        self.now = 1_800_000_000.0
        self._started = 0.0
        self.versions: list[dict[str, Any]] = []

    @property
    def status(self) -> str:
        """Status of the operation that was started last."""
        return self.statuses[min(int((self.now - self._started) / STEP_S), len(self.statuses) - 1)]

    def _start(self, operation: str) -> None:
        self._fail(operation)
        if self._started and self.status in ("NOT_STARTED", "IN_PROGRESS"):
            if operation != "CreatePortfolioShare":  # which has no effect on a share that is there
                raise client_error("InvalidStateException", "another operation is in progress")
        else:
            self._started = self.now

    def create_portfolio_share(self, **request: Json) -> dict[str, Any]:
        self._start("CreatePortfolioShare")
        options = {k: request[k] for k in ("SharePrincipals", "ShareTagOptions")}
        self.shares.setdefault(request["OrganizationNode"]["Value"], options)  # an existing share stays as it is
        return self._call("CreatePortfolioShare", request, {"PortfolioShareToken": "share-1"})

    def update_portfolio_share(self, **request: Json) -> dict[str, Any]:
        self._start("UpdatePortfolioShare")
        options = {k: request[k] for k in ("SharePrincipals", "ShareTagOptions")}
        self.shares[request["OrganizationNode"]["Value"]] = options
        answer = {"PortfolioShareToken": "share-2", "Status": "IN_PROGRESS"}
        return self._call("UpdatePortfolioShare", request, answer)

    def delete_portfolio_share(self, **request: Json) -> dict[str, Any]:
        self._start("DeletePortfolioShare")
        if self.shares.pop(request["OrganizationNode"]["Value"], None) is None:
            raise client_error("ResourceNotFoundException", "there is no such share")
        return self._call("DeletePortfolioShare", request, {"PortfolioShareToken": "share-3"})

    def describe_portfolio_share_status(self, **request: Json) -> dict[str, Any]:
        self._fail("DescribePortfolioShareStatus")
        status = self.status
        details: dict[str, Any] = {"SuccessfulShares": [ACCOUNTS[0]]}
        if status == "COMPLETED_WITH_ERRORS":
            error = {"Accounts": [ACCOUNTS[1]], "Error": "InvalidState", "Message": "The account is suspended."}
            details["ShareErrors"] = [error]
        answer = {"PortfolioShareToken": request["PortfolioShareToken"], "Status": status, "ShareDetails": details}
        return self._call("DescribePortfolioShareStatus", request, answer)

    def describe_portfolio_shares(self, **request: Json) -> dict[str, Any]:
        self._fail("DescribePortfolioShares")
        found = [
            {"PrincipalId": ou, "Type": "ORGANIZATIONAL_UNIT", "Accepted": True, **options}
            for ou, options in self.shares.items()
        ]
        start = int(request.get("PageToken", 0))  # a page holds one share, so that paging is always exercised
        answer: dict[str, Any] = {"PortfolioShareDetails": found[start : start + 1]}
        if start + 1 < len(found):
            answer["NextPageToken"] = str(start + 1)
        return self._call("DescribePortfolioShares", request, answer)

    def list_provisioning_artifacts(self, **request: Json) -> dict[str, Any]:
        self._fail("ListProvisioningArtifacts")
        return self._call("ListProvisioningArtifacts", request, {"ProvisioningArtifactDetails": self.versions})

    def update_provisioning_artifact(self, **request: Json) -> dict[str, Any]:
        self._fail("UpdateProvisioningArtifact")
        (version,) = [v for v in self.versions if v["Id"] == request["ProvisioningArtifactId"]]
        version |= {"Guidance": request["Guidance"], "Active": request["Active"]}
        return self._call("UpdateProvisioningArtifact", request, {"Status": "AVAILABLE"})


class FakeFifoQueue:
    """An SQS FIFO queue: a deduplication id counts once."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.failure: Exception | None = None
        self._seen: set[str] = set()

    def send_message(self, **request: Json) -> None:
        if self.failure:
            raise self.failure
        assert len(request["MessageDeduplicationId"]) <= 128
        assert request["MessageGroupId"]
        if request["MessageDeduplicationId"] not in self._seen:
            self._seen.add(request["MessageDeduplicationId"])
            self.waiting.append(request["MessageBody"])


@dataclass
class Context:
    """What Lambda passes to a handler."""

    function_name: str = "publisher"
    invoked_function_arn: str = f"arn:aws:lambda:eu-west-1:{HUB}:function:publisher"
    log_stream_name: str = "2026/01/01/[$LATEST]0"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@dataclass
class World:
    """Everything around the function.

    Attributes:
        answers: What CloudFormation was told.
        deliveries: How often each message is delivered; 2 tests repeated deliveries.
    """

    catalog: FakeServiceCatalog = field(default_factory=FakeServiceCatalog)
    queue: FakeFifoQueue = field(default_factory=FakeFifoQueue)
    answers: list[dict[str, Any]] = field(default_factory=list)
    deliveries: int = 1
    _url: str = ""
    _stop: Callable[[], None] = lambda: None

    @classmethod
    def start(cls, monkeypatch: pytest.MonkeyPatch) -> Self:
        """Serve CloudFormation's answer URL and put the world in the function's place."""
        world = cls()
        answers = world.answers

        class AnswerUrl(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), AnswerUrl)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        world._stop = stop
        world._url = f"http://127.0.0.1:{server.server_port}/answer?signature=abc"
        services = handler.Services(
            catalog=ServiceCatalog(HUB, world.catalog), later=Later("https://queue", world.queue)
        )
        monkeypatch.setattr(handler, "services", lambda: services)
        monkeypatch.setattr(time, "time", lambda: world.catalog.now)
        return world

    def stop(self) -> None:
        """Stop serving."""
        self._stop()

    def request(self, kind: str, *, invocations: int = 1, **event: Json) -> list[dict[str, Any]]:
        """Send a request of CloudFormation, deliver every message that follows, and return the answers to it."""
        before = len(self.answers)
        request = {
            "RequestType": kind,
            "ResponseURL": self._url,
            "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/portfolios/1",
            "RequestId": f"request-{before}",
            "LogicalResourceId": "Share",
            "ResourceType": "Custom::PortfolioShare",
            "ResourceProperties": share_properties(),
            **event,
        }
        for _ in range(invocations):
            handler.lambda_handler(request, Context())
        while self.queue.waiting:
            body = self.queue.waiting.pop(0)
            self.catalog.now += STEP_S
            for _ in range(self.deliveries):
                handler.lambda_handler({"Records": [{"body": body}]}, Context())
        return self.answers[before:]


def share_properties(ou: str = OU, *, principals: bool = True, tag_options: bool = True) -> dict[str, str]:
    """Return the properties of a share as CloudFormation sends them."""
    return {
        "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:publisher",
        "PortfolioId": PORTFOLIO,
        "OrganizationalUnitId": ou,
        "SharePrincipals": str(principals).lower(),
        "ShareTagOptions": str(tag_options).lower(),
    }


def client_error(code: str, message: str) -> ClientError:
    """Return an error of an AWS call."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")
