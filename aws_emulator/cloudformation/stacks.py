"""CloudFormation: what MiniStack evaluates differently from AWS, and the answer URL of custom resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from ministack.core.responses import get_region

from aws_emulator import inside
from aws_emulator.clock import random_id
from aws_emulator.cloudformation.parameters import with_permissions_of
from aws_emulator.cloudformation.resources import Made, Option, completes, physical_name
from aws_emulator.core import Records, ServiceError, client
from aws_emulator.iam.callers import authorize, require_trust
from aws_emulator.inside import replaces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_emulator.core import Json, Reply

_SERVICE: Final = "cloudformation.amazonaws.com"

Node: TypeAlias = Any
"""A part of a template."""

_CONDITION_FUNCTIONS: Final = ("Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals", "Condition")
_ACTIONS: Final = inside.cloudformation.ACTION_HANDLERS


@replaces(inside.engine, "evaluate_conditions", everywhere=True)
def _evaluate_conditions(
    original: Callable[[Json, Json], dict[str, bool]], template: Json, parameters: Json
) -> dict[str, bool]:
    """Evaluate conditions with every intrinsic function that AWS allows in them.

    MiniStack takes pseudo-parameters and ``Fn::Sub``, ``Fn::Join``, ``Fn::FindInMap`` inside ``Conditions`` for false,
    so that resources vanish without a word. Source:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-conditions.html
    """
    mappings = template.get("Mappings") or {}

    def resolve(node: Node) -> Node:
        if isinstance(node, list):
            return [resolve(entry) for entry in node]
        if not isinstance(node, dict) or len(node) != 1:
            return node
        (name,) = node
        if name in _CONDITION_FUNCTIONS:
            return {name: resolve(node[name])}
        value = inside.engine.resolve_refs(node, {}, parameters or {}, {}, mappings, "", "")
        return ",".join(value) if isinstance(value, list) else value

    conditions = {name: resolve(node) for name, node in (template.get("Conditions") or {}).items()}
    return original({**template, "Conditions": conditions}, parameters)


def stack_failure(events: list[Mapping[str, Any]]) -> str:
    """Return why a stack failed: the first reason of a resource in its events (newest first, as the API has them)."""
    reasons = [
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason")
    ]
    return reasons[0] if reasons else "no reason was given"


# ---- templates that do not fit into a request ------------------------------------------------------------------------

_STAGED_HOST: Final = "staged-template.invalid"
_staged: Final[dict[str, str]] = {}


def read_template(url: str) -> str:
    """Return a template from its URL in S3, read with the permissions of the current account.

    Args:
        url: Virtual-hosted-style or path-style.

    Raises:
        ServiceError: It cannot be read.
    """
    parts = urlsplit(url)
    hosted = re.fullmatch(r"(?P<bucket>.+)\.s3[.-][a-z0-9.-]*amazonaws\.com(\.cn)?", parts.netloc)
    path = parts.path.lstrip("/")
    bucket, key = (hosted["bucket"], path) if hosted else path.split("/", 1)
    try:
        return str(client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())
    except ClientError as error:
        reason = error.response["Error"]["Message"]
        raise ServiceError("ValidationError", f"Template at {url} cannot be read: {reason}") from error


def stage_template(text: str) -> str:
    """Return a TemplateURL for a template that a service has read itself; it can be used once."""
    name = random_id(32)
    _staged[name] = text
    return f"https://{_STAGED_HOST}/{name}"


@replaces(inside.helpers, "resolve_document")
def _resolve_document(
    original: Callable[..., tuple[str | None, Node]], parameters: Json, body_key: str, url_key: str, label: str
) -> tuple[str | None, Node]:
    url = (parameters.get(url_key) or [""])[0]
    if isinstance(url, str) and _STAGED_HOST in url:
        return _staged.pop(url.rsplit("/", 1)[1]), None
    return original(parameters, body_key, url_key, label)


# ---- service roles --------------------------------------------------------------------------------------------------

_service_roles: Final = Records()
"""Roles with which stacks were made: CloudFormation keeps using them until it is given another."""


def service_role(stack_name: str) -> str | None:
    """Return the ARN of the role with which CloudFormation works on a stack; None for the permissions of its caller."""
    role: str | None = _service_roles.get(stack_name)
    return role


def _stack_of(parameters: Json) -> str:
    """Return the name of the stack that a request names by its name or its ARN."""
    stack: str = (parameters.get("StackName") or [""])[0]
    return stack.split("/")[1] if stack.startswith("arn:") else stack


def _operate_with_role(operation: Callable[[Json], Reply], parameters: Json) -> Reply:
    """Let an operation on a stack fail when the caller cannot pass its service role, or it cannot be assumed.

    What the role is allowed is checked for every resource (`aws_emulator.cloudformation.stack_roles`). Source:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
    """
    name, given = _stack_of(parameters), (parameters.get("RoleARN") or [""])[0]
    role = given or _service_roles.get(name)
    try:
        if given:
            authorize("iam:PassRole", given, context={"iam:PassedToService": _SERVICE})
    except ServiceError as error:
        return _refusal("AccessDenied", error.message, 403)
    try:
        if role:
            require_trust(role, _SERVICE)
    except ServiceError:
        return _refusal("ValidationError", f"Role {role} is invalid or cannot be assumed")
    with with_permissions_of(role):
        answer = operation(parameters)
    if given and answer[0] == 200:
        _service_roles[name] = given
    return answer


for _name in ("CreateStack", "UpdateStack", "DeleteStack", "CreateChangeSet"):
    replaces(_ACTIONS, _name)(_operate_with_role)


def _refusal(code: str, message: str, status: int = 400) -> Reply:
    refused: Reply = inside.helpers.error(code, message, status)
    return refused


@replaces(_ACTIONS, "CreateStack")
def _create_stack(create: Callable[[Json], Reply], parameters: Json) -> Reply:
    """Keep the name of a stack whose creation was rolled back taken until the stack is deleted.

    MiniStack creates another one in its place. Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/
    view-stack-events.html (ROLLBACK_COMPLETE: only a delete operation can be performed).
    """
    name = _stack_of(parameters)
    if (inside.cloudformation.stacks.get(name) or {}).get("StackStatus") == "ROLLBACK_COMPLETE":
        return _refusal("AlreadyExistsException", f"Stack [{name}] already exists")
    _service_roles.pop(name, None)
    return create(parameters)


# ---- what resources are called ---------------------------------------------------------------------------------------


@completes("AWS::IAM::Role")
def _keep_boundary(role: str, properties: Json) -> None:
    """Give a role the permissions boundary of its template."""
    inside.iam.roles[role]["PermissionsBoundary"] = properties.get("PermissionsBoundary")


@replaces(inside.provisioners, "physical_name")
def _physical_name(generate: Callable[..., str], stack: str, logical_id: str, **options: Option) -> str:
    """Let names that are generated differ between regions: roles of one stack in two regions are not the same role.

    MiniStack makes them of stack and logical id alone. Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/
    TemplateReference/aws-properties-name.html (the id is unique, so that stacks can be reused in several regions).
    """
    seed = inside.provisioners.NAME_SEED
    token = seed.set(f"{get_region()}/{seed.get()}")
    try:
        return generate(stack, logical_id, **options)
    finally:
        seed.reset(token)


_LOG_GROUPS: Final = inside.provisioners.RESOURCE_HANDLERS["AWS::Logs::LogGroup"]


@replaces(_LOG_GROUPS, "create")
def _create_log_group(create: Callable[..., tuple[str, Json]], logical_id: str, properties: Json, stack: str) -> Made:
    """Name log groups without a name after stack and logical id, so that policies for the stack's names reach them.

    MiniStack puts them below ``/aws/cloudformation/``. Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/
    TemplateReference/aws-properties-name.html (an id that CloudFormation makes of both).
    """
    name = physical_name(properties, "LogGroupName", logical_id, stack, limit=512)
    return create(logical_id, {**properties, "LogGroupName": name}, stack)


@replaces(_LOG_GROUPS, "update")
def _update_log_group(update: Callable[..., tuple[str, Json]], name: str, old: Json, new: Json, *place: str) -> Made:
    return update(name, *({"LogGroupName": name, **properties} for properties in (old, new)), *place)


# The name localhost may resolve to an address on which nothing listens.
inside.custom_resource.HOST = "127.0.0.1"
