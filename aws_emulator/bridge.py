"""Services MiniStack lacks: answered by the operations that are registered here, in the caller's account."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

import botocore.session
from ministack import app
from ministack.core import iam_actions

from aws_emulator import core, inside
from aws_emulator.clock import clock
from aws_emulator.shapes import answer_of, check_request

if TYPE_CHECKING:
    from collections.abc import Mapping

_log: Final = logging.getLogger(__name__)

SERVICES: Final = ("sagemaker", "servicecatalog", "codepipeline", "codeconnections")
"""Signing names of the bridged services; all of them speak JSON over POST / with an ``X-Amz-Target`` header."""


async def _handle(service: str, headers: Mapping[str, str], body: bytes) -> core.Reply:
    operation = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
    try:
        request = json.loads(body or b"{}")
        check_request(service, operation, request)
        response = await clock.off_loop(core.call, service, operation, request)
        return core.reply(answer_of(service, operation, response))
    except core.ServiceError as error:
        return core.fail(error)
    except ValueError as error:
        return core.fail(core.ServiceError("ValidationException", str(error)))
    except Exception as error:
        _log.exception("%s %s failed", service, operation)
        return core.fail(core.ServiceError("InternalFailure", f"{type(error).__name__}: {error}", 500))


def bridge(service: str) -> None:
    """Route a service's requests here and have its actions checked by IAM."""

    async def handler(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> core.Reply:
        return await _handle(service, headers, body)

    app.SERVICE_HANDLERS[service] = handler
    # Without this entry AUTH=true would let every action of the service through.
    iam_actions.SERVICE_TO_IAM_NAMESPACE[service] = service


def _know_service_names() -> None:
    """Tell MiniStack the names of AWS's services; it would read the models of all four hundred at the first request."""
    inside.router.KNOWN_AWS_SERVICE_NAMES = frozenset(SERVICES) | frozenset(
        botocore.session.get_session().get_available_services()
    )


def install() -> None:
    """Bridge every service."""
    _know_service_names()
    for service in SERVICES:
        bridge(service)
