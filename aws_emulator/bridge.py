"""Services MiniStack lacks: answered by the operations that are registered here, in the caller's account.

Requests are checked against botocore's model before an operation gets them. Answers show what the model has, and lists
come in the pages that the request asks for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import botocore.session
from ministack import app
from ministack.core import iam_actions

from aws_emulator import core, inside
from aws_emulator.clock import clock
from aws_emulator.core import Json, ServiceError
from aws_emulator.inside import replaces
from aws_emulator.shapes import answer_of, check_request, operation_at, page_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Operation: TypeAlias = Callable[[Json], Json]

_log: Final = logging.getLogger(__name__)
_operations: Final[dict[str, dict[str, Operation]]] = {}
"""Operations by service; there are no others."""


def overlay(service: str, operation: str) -> Callable[[Operation], Operation]:
    """Answer an operation with the decorated function: it takes the request and returns the response.

    The function runs on a worker thread in the caller's account and region, raises `ServiceError` to fail, and can be
    called by CloudFormation as well.

    Args:
        service: Signing name of the service, which speaks JSON over POST: with an ``X-Amz-Target`` header, or to a path
            of its own for each operation.
        operation: e.g. ``CreatePipeline``.
    """

    def register(function: Operation) -> Operation:
        if service not in _operations:
            _operations[service] = {}
            _bridge(service)
        _operations[service][operation] = function
        return function

    return register


def is_bridged(service: str) -> bool:
    """Return whether a service is answered here."""
    return service in _operations


def call(service: str, operation: str, request: Json) -> Json:
    """Perform an operation of a bridged service as the current account, without HTTP and without permission checks.

    Raises:
        ServiceError: The operation failed, or is not emulated.
    """
    function = _operations[service].get(operation)
    if function is None:
        raise ServiceError("UnknownOperationException", f"{service}:{operation} is not emulated here.")
    return function(request)


def answers(owner: object, name: str) -> Callable[[Operation], Operation]:
    """Answer an operation of a service that MiniStack has with the decorated function, as `overlay` does.

    Args:
        owner: As of `aws_emulator.inside.replaces`.
        name: Name of MiniStack's function.
    """

    def register(function: Operation) -> Operation:
        @replaces(owner, name)
        def answer(_original: object, request: Json) -> core.Reply:
            try:
                return core.reply(function(request))
            except ServiceError as error:
                return core.fail(error)

        return function

    return register


async def _answer(service: str, headers: Mapping[str, str], path: str, body: bytes) -> core.Reply:
    target = headers.get("x-amz-target", "")
    operation = target.rsplit(".", 1)[-1] if target else operation_at(service, path)
    try:
        request = json.loads(body or b"{}")
        check_request(service, operation, request)
        response = await clock.off_loop(call, service, operation, request)
        return core.reply(answer_of(service, operation, page_of(service, operation, request, response)))
    except ServiceError as error:
        return core.fail(error)
    except ValueError as error:
        return core.fail(ServiceError("ValidationException", str(error)))
    except Exception as error:
        _log.exception("%s %s failed", service, operation)
        return core.fail(ServiceError("InternalFailure", f"{type(error).__name__}: {error}", 500))


def _bridge(service: str) -> None:
    """Route a service's requests here and have its actions checked by IAM."""

    async def handler(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> core.Reply:
        return await _answer(service, headers, path, body)

    app.SERVICE_HANDLERS[service] = handler
    # Without this entry AUTH=true would let every action of the service through.
    iam_actions.SERVICE_TO_IAM_NAMESPACE[service] = service
    inside.iam_actions.BOTOCORE_SERVICE_MAP[service] = [service]  # finds the action of a request by its path
    inside.router.KNOWN_AWS_SERVICE_NAMES |= {service}


# MiniStack would read the models of all four hundred services at the first request to learn their names.
inside.router.KNOWN_AWS_SERVICE_NAMES = frozenset(botocore.session.get_session().get_available_services())
