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

from aws_emulator import core, inside, messaging
from aws_emulator.clock import clock
from aws_emulator.core import ServiceError
from aws_emulator.eventbridge import rules as events
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import assume_as_service, authorize_pass_role
from aws_emulator.inside import replaces
from aws_emulator.shapes import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from botocore.model import StructureShape

    from aws_emulator.core import Json, Reply

Value: TypeAlias = Any
"""A value in a request."""

_log: Final = logging.getLogger(__name__)
_SERVICE: Final = "scheduler.amazonaws.com"
_UNIVERSAL: Final = re.compile(r"arn:aws:scheduler:::aws-sdk:(?P<service>[a-z0-9]+):(?P<operation>\w+)")
_READ_ONLY: Final = ("get", "describe", "list", "search", "scan", "query", "batchGet", "poll", "receive", "select")


@replaces(inside.scheduler, "update_schedule")
@replaces(inside.scheduler, "create_schedule")
def _keep(keep: Callable[[str, Json], Reply], name: str, body: Json) -> Reply:
    """Refuse a schedule whose target cannot work."""
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
    return keep(name, body)


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
        getattr(client, xform_name(name))(**walk(shape, json.loads(target.get("Input") or "{}"), members=_spelled))
    except (ServiceError, ClientError, BotoCoreError) as error:
        _log.warning("the schedule %s did not reach %s: %s", event["Resources"][0], target["Arn"], error)
        queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html (sent with the role)
        refused = messaging.role_refused(queue, target["RoleArn"]) if queue else None
        if refused:
            _log.warning("the call is lost: %s", refused)
        elif queue:
            events.keep_undelivered(queue, target, event, str(error))


def _spelled(shape: StructureShape, value: Json) -> Json:
    """Return the members of a structure with the names that the API has for them: either case of a letter works."""
    names = {str(name).lower(): str(name) for name in shape.members}
    return {names.get(str(key).lower(), str(key)): entry for key, entry in value.items()}


@replaces(inside.eventbridge, "invoke_target")
def _invoke(invoke: Callable[..., None], target: Json, *event: Value) -> None:
    if _UNIVERSAL.fullmatch(target.get("Arn", "")):
        clock.start(_call, target, event[0])
    else:
        invoke(target, *event)


def _schedule_arn(path: str, body: bytes, query: Mapping[str, Any]) -> str | None:
    """Return the ARN of the schedule that a request is about; its group is not in the path."""
    if not path.startswith("/schedules/"):
        return None
    said = json.loads(body) if body else {}
    group = said.get("GroupName") or (query.get("groupName") or ["default"])[0]
    return core.arn("scheduler", f"schedule/{group}/{path.rsplit('/', 1)[1]}")


iam.RESOURCES_BY_PATH["scheduler"] = _schedule_arn
inside.scheduler.SCHEDULE_TICK_INTERVAL = 0.5  # seconds
