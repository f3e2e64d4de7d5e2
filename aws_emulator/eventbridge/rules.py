"""EventBridge: rule targets that MiniStack accepts and then drops, among them buses of other accounts."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ministack.core.responses import get_account_id, get_region

from aws_emulator import bridge, core, inside, messaging
from aws_emulator.clock import clock
from aws_emulator.cloudformation.resources import resource_type
from aws_emulator.codepipeline import runs as codepipeline_runs
from aws_emulator.codepipeline.state import find
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import assume_as_service, authorize
from aws_emulator.inside import replaces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_emulator.core import Reply

Deliver: TypeAlias = Callable[[Json, Json, str], Any]
"""Hands an event, the second argument, to a target for the rule with an ARN, the third."""
_log: Final = logging.getLogger(__name__)
_SERVICE: Final = "events.amazonaws.com"


def _start_codepipeline(target: Json, _event: Json, rule_arn: str) -> None:
    trigger = {"triggerType": "CloudWatchEvent", "triggerDetail": rule_arn}
    codepipeline_runs.start(find(target["Arn"].rsplit(":", 1)[1]), trigger)


def _start_sagemaker_pipeline(target: Json, event: Json, _rule_arn: str) -> None:
    settings = target.get("SageMakerPipelineParameters") or {}
    content = inside.eventbridge.pattern_event_view(event).event_with_detail()
    request = {
        "PipelineName": target["Arn"].rsplit("/", 1)[1],
        "PipelineParameters": [
            {**entry, "Value": _at_path(content, entry["Value"])} for entry in settings.get("PipelineParameterList", [])
        ],
        "ClientRequestToken": clock.random_id(32),
    }
    bridge.call("sagemaker", "StartPipelineExecution", request)


def _at_path(event: Json, value: str) -> str:
    """Return what an event has at a JSON path such as ``$.detail.object.key``; other values are returned as they are.

    Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html (target parameters)
    """
    if not value.startswith("$."):
        return value
    found: Any = event
    for name in value[2:].split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, str):
        raise ServiceError("ValidationException", f"The event has no text at {value}.")
    return found


def _forward(target: Json, event: Json, _rule_arn: str) -> None:
    """Put an event on a bus of another account or region; it keeps the account and region in which it happened.

    Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html
    """
    _, _, _, region, account, resource = target["Arn"].split(":", 5)
    bus = resource.removeprefix("event-bus/")
    with core.as_account(account, region):
        if bus not in inside.eventbridge.event_buses:
            raise ServiceError("ResourceNotFoundException", f"Event bus {bus} does not exist.")
        inside.eventbridge.dispatch_event({**event, "EventBusName": bus})


_TARGETS: Final[Mapping[str, tuple[str, Deliver]]] = {
    ":codepipeline:": ("codepipeline:StartPipelineExecution", _start_codepipeline),
    ":sagemaker:": ("sagemaker:StartPipelineExecution", _start_sagemaker_pipeline),
    ":event-bus/": ("events:PutEvents", _forward),
}
"""Part of a target's ARN -> what EventBridge needs permission for there, and what it does.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-identity-based.html#eb-target-permissions
"""


def _is_here(arn: str) -> bool:
    """Whether a target is a bus of the current account and region, which MiniStack delivers to itself."""
    return ":event-bus/" in arn and arn.split(":")[3:5] == [get_region(), get_account_id()]


def _deliver(target: Json, event: Json, rule: Json, action: str, deliver: Deliver) -> None:
    """Call a target with the role that the rule has for it; a bus of another account decides by its own policy too.

    Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus-perms.html
    """
    arn, role = target["Arn"], target.get("RoleArn", "")
    keys = {  # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html
        "events:source": event.get("Source"),
        "events:detail-type": event.get("DetailType"),
        "events:eventBusInvocation": "true",
    }
    try:
        credentials = assume_as_service(role, _SERVICE, "events", source_arn=rule.get("Arn"))
        if not iam.is_allowed(credentials, action, arn, keys if action == "events:PutEvents" else None):
            raise ServiceError("AccessDeniedException", f"{role} is not authorized to perform {action} on {arn}")
        deliver(target, event, rule.get("Arn", ""))
    except ServiceError as error:
        _fail(target, event, rule, error)


def _fail(target: Json, event: Json, rule: Json, error: ServiceError) -> None:
    """Keep an event that a target did not take, where the dead-letter queue lets EventBridge in."""
    _log.warning("rule %s did not reach %s: %s", rule.get("Name", ""), target["Arn"], error)
    try:
        queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        if queue:
            messaging.require_policies(queue, _SERVICE, rule.get("Arn"))
            keep_undelivered(queue, target, event, str(error))
    except ServiceError as lost:
        _log.warning("the event is lost: %s", lost)


def keep_undelivered(queue: str, target: Json, event: Json, reason: str) -> None:
    """Put an event that cannot be delivered to a target into a dead-letter queue.

    Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    client = core.client("sqs")
    attributes = {"ERROR_MESSAGE": reason, "TARGET_ARN": target["Arn"]}
    client.send_message(
        QueueUrl=client.get_queue_url(QueueName=queue.rsplit(":", 1)[1])["QueueUrl"],
        MessageBody=json.dumps(inside.eventbridge.pattern_event_view(event).event_with_detail()),
        MessageAttributes={k: {"StringValue": v, "DataType": "String"} for k, v in attributes.items()},
    )


# ---- events for buses of other accounts -----------------------------------------------------------------------------


@replaces(inside.eventbridge, "put_events")
def _put_events(put: Callable[..., Reply], data: Json, *, allow_aws_source: bool = False) -> Reply:
    """Put entries also on buses of other accounts, which are named by their ARN; MiniStack knows its own buses only.

    Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html (EventBusName)
    """
    entries = data.get("Entries", [])
    if not any(_is_elsewhere(entry) for entry in entries):
        return put(data, allow_aws_source=allow_aws_source)
    results: list[Json] = []
    try:
        for entry in entries:
            if _is_elsewhere(entry):
                results.append({"EventId": _put_elsewhere(entry)})
            else:
                _, _, body = put({"Entries": [entry]}, allow_aws_source=allow_aws_source)
                results.extend(json.loads(body)["Entries"])
    except ServiceError as error:
        return core.fail(error)
    failed = sum("ErrorCode" in result for result in results)
    return core.reply({"FailedEntryCount": failed, "Entries": results})


def _is_elsewhere(entry: Json) -> bool:
    name = str(entry.get("EventBusName", ""))
    return name.startswith("arn:") and name.split(":")[3:5] != [get_region(), get_account_id()]


def _put_elsewhere(entry: Json) -> str:
    """Put one event on a bus of another account, whose policy has to let the caller in, and return its id."""
    arn, event_id = entry["EventBusName"], clock.uuid()
    keys = {"events:source": entry.get("Source"), "events:detail-type": entry.get("DetailType")}
    authorize("events:PutEvents", arn, context=keys)
    event = {
        "EventId": event_id,
        "Source": entry.get("Source", ""),
        "DetailType": entry.get("DetailType", ""),
        "Detail": entry.get("Detail", "{}"),
        "Time": int(clock.now()),
        "Resources": entry.get("Resources", []),
        "Account": get_account_id(),
        "Region": get_region(),
    }
    _forward({"Arn": arn}, event, "")
    return event_id


def _policy(bus_arn: str) -> tuple[str, str] | None:
    """Return the policy of a bus and its owner."""
    _, _, _, region, account, resource = bus_arn.split(":", 5)
    with core.as_account(account, region):
        name = resource.removeprefix("event-bus/")
        if name not in inside.eventbridge.event_buses:
            return None
        return json.dumps(inside.eventbridge.event_bus_policies.get(name, {"Statement": []})), account


def _statement(properties: Json) -> Json:
    if "Statement" not in properties:
        raise ServiceError("ValidationException", "EventBusPolicy without Statement (the older form) is not emulated.")
    return {**properties["Statement"], "Sid": properties["StatementId"]}


def _create_policy(properties: Json, _logical_id: str, _stack_name: str) -> Json:
    bus, sid = properties.get("EventBusName", "default"), properties["StatementId"]
    statement = _statement(properties)
    inside.eventbridge.ensure_default_bus()
    if bus not in inside.eventbridge.event_buses:
        raise ServiceError("ResourceNotFoundException", f"Event bus {bus} does not exist.")
    policy = inside.eventbridge.event_bus_policies.get(bus, {"Version": "2012-10-17", "Statement": []})
    others = [s for s in policy["Statement"] if s["Sid"] != sid]
    inside.eventbridge.event_bus_policies[bus] = {**policy, "Statement": [*others, statement]}
    return {"EventBusName": bus}


def _update_policy(_ref: str, _old: Json, new: Json) -> Json:
    return _create_policy(new, "", "")


def _delete_policy(_ref: str, properties: Json) -> None:
    request = {"EventBusName": properties.get("EventBusName", "default"), "StatementId": properties["StatementId"]}
    inside.eventbridge.remove_permission(request)


@replaces(inside.eventbridge, "invoke_target")
def _invoke(invoke: Callable[..., None], target: Json, event: Json, rule: Json, view: object = None) -> None:
    """Deliver to the targets above; others need the policy of what they name."""
    arn = target.get("Arn", "")
    for part, (action, deliver) in _TARGETS.items():
        if part in arn and not _is_here(arn):
            clock.start(_deliver, target, event, rule, action, deliver)
            return
    if f"{arn}:::".split(":")[2] in messaging.CALLS:
        try:
            messaging.require_policies(arn, _SERVICE, rule.get("Arn"))
        except ServiceError as error:
            clock.start(_fail, target, event, rule, error)
            return
    invoke(target, event, rule, view)


iam.POLICIES["events"] = _policy
resource_type("AWS::Events::EventBusPolicy", create=_create_policy, update=_update_policy, delete=_delete_policy)
