"""SageMaker's runtime: InvokeEndpoint on the one endpoint, with IAM, traffic by weight, shadows and data capture."""

from __future__ import annotations

import functools
import logging
import re
from typing import TYPE_CHECKING, Any, Final

import botocore.session
from ministack import app
from ministack.core.responses import get_account_id, get_region

from aws_emulator import core, inside
from aws_emulator.clock import clock
from aws_emulator.core import Reply, ServiceError
from aws_emulator.iam import permissions as iam
from aws_emulator.inside import replaces
from aws_emulator.sagemaker.capture import Exchange
from aws_emulator.sagemaker.fleets import log_group
from aws_emulator.sagemaker.hosting import serving_fleet
from aws_emulator.sagemaker.store import SERVICE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aws_emulator.sagemaker.capture import Capture
    from aws_emulator.sagemaker.fleets import Variant

_log: Final = logging.getLogger(__name__)
_PATH: Final = re.compile(r"/endpoints/(?P<name>[^/]+)/invocations")
_REQUESTS: Final = clock.pool(16)

_SERVERLESS_BYTES: Final = 4 * 1024 * 1024
"""https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-containers"""
_ATTRIBUTES: Final = "X-Amzn-SageMaker-Custom-Attributes"
_SHADOWS: Final = clock.pool(4)


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def invoke(name: str, body: bytes, headers: Mapping[str, str]) -> Reply:
    """Answer a request to an endpoint.

    Args:
        name: Name of the endpoint.
        body: The request's body.
        headers: Its headers, names in lower case.

    Raises:
        ServiceError: There is no such endpoint or variant in service, or the body is too long.
    """
    fleet = serving_fleet(name)
    if fleet is None:
        raise _invalid(f"Endpoint {name} of account {get_account_id()} not found.")
    serverless = any("ServerlessConfig" in variant.settings for variant in fleet.variants.values())
    most = _SERVERLESS_BYTES if serverless else _longest_body()
    if len(body) > most:
        raise _invalid(
            "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less "
            f"than or equal to {most}"
        )
    target = headers.get("x-amzn-sagemaker-target-variant")
    if target and target not in fleet.variants:
        raise _invalid(f"Variant {target} not found for Request")
    variant = fleet.variants[target] if target else fleet.choose()
    passed = {
        "Content-Type": headers.get("content-type", ""),
        "Accept": headers.get("accept", "*/*"),
        **({_ATTRIBUTES: headers[_ATTRIBUTES.lower()]} if _ATTRIBUTES.lower() in headers else {}),
    }
    inference_id = headers.get("x-amzn-sagemaker-inference-id")
    capture = fleet.capture if fleet.capture and fleet.capture.takes_next() else None
    if fleet.shadows and not target:
        for shadow in fleet.mirrored():
            clock.submit(_SHADOWS, _ask_shadow, capture, shadow, body, passed, inference_id)
    try:
        status, answered, content = variant.server.invoke(body, passed)
    except OSError as error:
        return _model_error(name, 500, str(error))
    if status >= 400:
        return _model_error(name, status, content.decode(errors="replace"))
    sent = (passed["Content-Type"], body)
    _note(capture, variant, sent, (answered.get("Content-Type", ""), content), inference_id)
    replied = {
        "Content-Type": answered.get("Content-Type", ""),
        "x-Amzn-Invoked-Production-Variant": variant.settings["VariantName"],
        **({_ATTRIBUTES: answered[_ATTRIBUTES]} if _ATTRIBUTES in answered else {}),
    }
    return 200, replied, content


def _ask_shadow(
    capture: Capture | None, shadow: Variant, body: bytes, headers: dict[str, str], inference_id: str | None
) -> None:
    """Send a copy of a request to a shadow variant; its answer is captured but not returned."""
    try:
        status, answered, content = shadow.server.invoke(body, headers)
    except OSError as error:
        _log.warning("shadow variant %s did not answer: %s", shadow.settings["VariantName"], error)
        return
    if status < 400:
        sent = (headers["Content-Type"], body)
        _note(capture, shadow, sent, (answered.get("Content-Type", ""), content), inference_id)


def _note(
    capture: Capture | None,
    variant: Variant,
    sent: tuple[str, bytes],
    answered: tuple[str, bytes],
    inference_id: str | None,
) -> None:
    if capture:
        exchange = Exchange(
            variant=variant.settings["VariantName"],
            role=variant.server.model["ExecutionRoleArn"],
            sent=sent,
            answered=answered,
            inference_id=inference_id,
        )
        capture.note(exchange)


def _model_error(endpoint: str, status: int, message: str) -> Reply:
    """Return what a caller gets when the container answers with an error.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html (ModelError)
    """
    region, account, group = get_region(), get_account_id(), log_group(endpoint)
    side = "client" if status < 500 else "server"
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group="
    text = (
        f'Received {side} error ({status}) from primary with message "{message}". See {console}{group} '
        f"in account {account} for more information."
    )
    content = {
        "ErrorCode": "CLIENT_ERROR_FROM_MODEL" if status < 500 else "SERVER_ERROR_FROM_MODEL",
        "LogStreamArn": f"arn:aws:logs:{region}:{account}:log-group:{group}",
        "Message": text,
        "OriginalMessage": message,
        "OriginalStatusCode": status,
    }
    code, headers, body = core.reply(content, 424)
    return code, {**headers, "x-amzn-ErrorType": "ModelError"}, body


@functools.cache
def _longest_body() -> int:
    """Longest body of a request in bytes, as botocore's model of the service has it."""
    shape = botocore.session.get_session().get_service_model("sagemaker-runtime").shape_for("BodyBlob")
    return int(shape.metadata["max"])


async def _handle(name: str, headers: Mapping[str, str], body: bytes) -> Reply:
    try:
        return await clock.off_loop(invoke, name, body, headers, pool=_REQUESTS)
    except ServiceError as error:
        return core.fail(error)
    except Exception as error:
        _log.exception("invocation of %s failed", name)
        return core.fail(ServiceError("InternalFailure", f"{type(error).__name__}: {error}", 500))


@replaces(app.SERVICE_HANDLERS, SERVICE)
async def _route(  # noqa: PLR0917 - MiniStack's signature
    control_plane: Callable[..., Awaitable[Reply]],
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    query: Mapping[str, Any],
) -> Reply:
    found = _PATH.fullmatch(path)
    if found and method == "POST":
        return await _handle(found["name"], headers, body)
    return await control_plane(method, path, headers, body, query)


def _endpoint_arn(path: str, _body: bytes, _query: Mapping[str, Any]) -> str | None:
    """Check ``sagemaker:InvokeEndpoint`` against the endpoint; the body of such a request names no resource."""
    found = _PATH.fullmatch(path)
    return core.arn("sagemaker", f"endpoint/{found['name']}") if found else None


# Both services sign their requests as sagemaker, so MiniStack has one name for them.
inside.iam_actions.BOTOCORE_SERVICE_MAP[SERVICE] = [SERVICE, "sagemaker-runtime"]
iam.RESOURCES_BY_PATH[SERVICE] = _endpoint_arn
