"""EventBridge Scheduler: schedules that call an operation of a service as their role (universal targets).

MiniStack keeps the schedules and finds those that are due; it knows no universal targets and looks every ten seconds.
Sources: https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html and
…/cross-service-confused-deputy-prevention.html (the source ARN of a schedule is that of its group).
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import ListShape, Shape, StructureShape

from aws_emulator import core, inside, messaging
from aws_emulator.clock import clock
from aws_emulator.core import ServiceError
from aws_emulator.eventbridge import rules as events
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import assume_as_service, authorize_pass_role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_emulator.core import Json, Reply

Value: TypeAlias = Any
"""A value in a request."""

_log: Final = logging.getLogger(__name__)
_SERVICE: Final = "scheduler.amazonaws.com"
_LOOK_S: Final = 0.5
_UNIVERSAL: Final = re.compile(r"arn:aws:scheduler:::aws-sdk:(?P<service>[a-z0-9]+):(?P<operation>\w+)")
_READ_ONLY: Final = ("get", "describe", "list", "search", "scan", "query", "batchGet", "poll", "receive", "select")


def _check(name: str, body: Json) -> Reply | None:
    """Refuse a schedule whose target cannot work; return None when there is nothing wrong."""
    target = body.get("Target") or {}
    role, arn = target.get("RoleArn", ""), target.get("Arn", "")
    universal = _UNIVERSAL.fullmatch(arn)
    if ":aws-sdk:" in arn and (not universal or universal["operation"].startswith(_READ_ONLY)):
        return _refuse(400, "ValidationException", f"{arn} is not a supported service ARN.")
    try:
        if role:
            authorize_pass_role(role, _SERVICE)
    except ServiceError as error:
        if error.code == "AccessDeniedException":
            return _refuse(403, error.code, error.message)
        reason = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
        return _refuse(400, "ValidationException", reason)
    return None


def _refuse(status: int, code: str, message: str) -> Reply:
    reply: Reply = inside.scheduler.error(status, code, message)
    return reply


def _call(target: Json, event: Json) -> None:
    """Call the operation of a universal target."""
    universal = _UNIVERSAL.fullmatch(target["Arn"])
    if universal is None:
        return
    group = event["Resources"][0].rsplit(":", 1)[1].split("/")[1]
    try:
        credentials = assume_as_service(
            target["RoleArn"], _SERVICE, "schedule", source_arn=core.arn("scheduler", f"schedule-group/{group}")
        )
        client = core.client(universal["service"], credentials=credentials)
        name = universal["operation"][0].upper() + universal["operation"][1:]
        shape = client.meta.service_model.operation_model(name).input_shape
        getattr(client, xform_name(name))(**_spelled(json.loads(target.get("Input") or "{}"), shape))
    except (ServiceError, ClientError, BotoCoreError) as error:
        _log.warning("the schedule %s did not reach %s: %s", event["Resources"][0], target["Arn"], error)
        queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html (sent with the role)
        refused = messaging.role_refused(queue, target["RoleArn"]) if queue else None
        if refused:
            _log.warning("the call is lost: %s", refused)
        else:
            events.keep_undelivered(target, event, str(error))


def _spelled(value: Value, shape: Shape | None) -> Value:
    """Return a request with the names of its members as the API spells them: either case of a letter works."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        members: dict[str, str] = {str(name).lower(): str(name) for name in shape.members}
        names = {str(key): members.get(str(key).lower()) or str(key) for key in value}
        return {names[key]: _spelled(entry, shape.members.get(names[key])) for key, entry in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_spelled(entry, shape.member) for entry in value]
    return value


def _install_targets() -> None:
    invoke = inside.eventbridge.invoke_target

    def invoked(target: Json, event: Json, rule: Json, view: Value = None) -> None:
        if _UNIVERSAL.fullmatch(target.get("Arn", "")):
            clock.start(_call, target, event)
            return
        invoke(target, event, rule, view)

    inside.eventbridge.invoke_target = invoked


def _install_checks() -> None:
    for operation in ("create_schedule", "update_schedule"):
        setattr(inside.scheduler, operation, _checked(getattr(inside.scheduler, operation)))
    iam.RESOURCES_BY_PATH["scheduler"] = _schedule_arn


def _schedule_arn(path: str, body: bytes, query: Mapping[str, Any]) -> str | None:
    """Return the ARN of the schedule that a request is about; its group is not in the path."""
    if not path.startswith("/schedules/"):
        return None
    said = json.loads(body) if body else {}
    group = said.get("GroupName") or (query.get("groupName") or ["default"])[0]
    return core.arn("scheduler", f"schedule/{group}/{path.rsplit('/', 1)[1]}")


def _checked(operation: Value) -> Value:
    def checked(name: str, body: Json) -> Reply:
        refused = _check(name, body)
        if refused:
            return refused
        answer: Reply = operation(name, body)
        return answer

    return checked


def install() -> None:
    """Look twice a second, and call universal targets."""
    inside.scheduler.SCHEDULE_TICK_INTERVAL = _LOOK_S
    _install_targets()
    _install_checks()
