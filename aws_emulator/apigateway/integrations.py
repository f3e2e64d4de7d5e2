"""API Gateway: REST APIs that hand requests to endpoints of SageMaker, which MiniStack mistakes for Lambda functions.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-integration-types.html (AWS)
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ministack.services import apigateway_v1

from aws_emulator import core, inside
from aws_emulator.apigateway.mapping_templates import Template, TemplateError
from aws_emulator.clock import clock
from aws_emulator.core import Reply, ServiceError
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import assume_as_service
from aws_emulator.inside import replaces
from aws_emulator.sagemaker.runtime import invoke

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aws_emulator.core import Json

Argument: TypeAlias = Any
"""What MiniStack hands to an integration."""

_log: Final = logging.getLogger(__name__)
_ENDPOINT: Final = re.compile(
    r"arn:aws:apigateway:(?P<region>[^:]+):runtime\.sagemaker:path/+endpoints/(?P<name>[^/]+)/invocations"
)
_TO: Final = "integration.request.header."
_FROM: Final = "method.request.header."
_JSON: Final = "application/json"
_FAILED: Final = (500, {"Content-Type": _JSON}, b'{"message": "Internal server error"}')


def _mapped_headers(integration: Json, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that the integration passes on, names in lower case."""
    given = {name.lower(): value for name, value in headers.items()}
    passed = {"content-type": given.get("content-type", _JSON)}
    for target, source in (integration.get("requestParameters") or {}).items():
        if target.startswith(_TO) and source.startswith(_FROM):
            value = given.get(source.removeprefix(_FROM).lower())
            if value is not None:
                passed[target.removeprefix(_TO).lower()] = value
        elif target.startswith(_TO) and source.startswith("'"):
            passed[target.removeprefix(_TO).lower()] = source.strip("'")
    return passed


def _ask(integration: Json, place: re.Match[str], owner: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """Send a request to the endpoint as the integration's role, and return what the caller gets.

    A role that API Gateway cannot assume is a "configuration error", which no response of the integration covers:
    https://github.com/aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws/pull/479
    """
    arn = f"arn:aws:sagemaker:{place['region']}:{owner}:endpoint/{place['name']}"
    role = integration.get("credentials") or ""
    with core.as_account(owner, place["region"]):
        try:
            credentials = assume_as_service(role, "apigateway.amazonaws.com", "BackplaneAssumeRoleSession")
        except ServiceError as error:
            _log.warning("API Gateway does not have permission to assume the provided role %s: %s", role, error)
            return _FAILED
        try:
            if not iam.is_allowed(credentials, "sagemaker:InvokeEndpoint", arn):
                message = f"{role} is not authorized to perform: sagemaker:InvokeEndpoint on resource: {arn}"
                raise ServiceError("AccessDeniedException", message, 403)
            reply = invoke(place["name"], body, _mapped_headers(integration, headers))
        except ServiceError as error:
            reply = core.fail(error)
    return _answer(integration, reply)


def _answer(integration: Json, reply: Reply) -> Reply:
    """Return what the caller gets: the response whose pattern fits the status, else the one without a pattern."""
    status, headers, body = reply
    chosen = inside.apigateway_v1.select_service_integration_response(integration, status)
    if chosen is None:
        return _FAILED
    answered = int(chosen.get("statusCode") or 200)
    templates = chosen.get("responseTemplates") or {}
    kind = headers.get("Content-Type", _JSON)
    template = templates.get(kind.split(";", maxsplit=1)[0], templates.get(_JSON))
    if not template:
        return answered, {"Content-Type": kind}, body
    try:
        text, status_override = Template(body.decode(errors="replace")).render(template)
    except TemplateError:
        _log.exception("a response template cannot be rendered")
        return _FAILED
    return status_override or answered, {"Content-Type": _JSON}, text.encode()


@replaces(apigateway_v1, "find_api_scope")
def _find_scope(_original: object, api_id: str) -> tuple[str, str] | None:
    """Return account and region of an API: its host names it, so a caller without credentials of AWS reaches it too.

    MiniStack looks only among the APIs of the caller's account, which for such a caller is none.
    """
    for account, region, found in [key for key, _ in inside.apigateway_v1.rest_apis.all_items()]:
        if found == api_id:
            return str(account), str(region)
    return None


@replaces(inside.apigateway_v1, "invoke_lambda_custom_v1")
async def _invoke(
    original: Callable[..., Awaitable[Reply]], integration: Json, *arguments: Argument, **options: Argument
) -> Reply:
    """Answer requests whose integration is an endpoint of SageMaker."""
    place = _ENDPOINT.fullmatch(integration.get("uri") or "")
    if place is None:
        return await original(integration, *arguments, **options)
    headers, body = arguments[6], arguments[7]
    content = body if isinstance(body, bytes) else str(body or "").encode()
    owner = options["owner_account_id"]
    return await clock.off_loop(_ask, integration, place, owner, headers or {}, content)
