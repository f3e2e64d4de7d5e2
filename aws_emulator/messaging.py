"""SQS and SNS: permissions for keys of encrypted queues and topics, and functions that invoke themselves through them.

Who sends to a queue or publishes to a topic under a customer key needs ``kms:GenerateDataKey`` and ``kms:Decrypt`` on
it, services included; MiniStack stores the key and never asks KMS. Sources:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html,
https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html

Lambda counts how often it was invoked in a chain of requests through SQS, SNS or itself, and stops the chain after 16
rounds unless the function says ``RecursiveLoop: Allow``. MiniStack counts direct invocations only. Source:
https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html. Any function counts here, not only the same one
again, which is stricter.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
from typing import TYPE_CHECKING, Final

from ministack import app
from ministack.core.responses import get_account_id, get_region

from aws_emulator import core, inside
from aws_emulator.cloudformation.resources import completes
from aws_emulator.core import ServiceError
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import caller, require_grant
from aws_emulator.inside import replaces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from aws_emulator.core import Json, Reply

_log: Final = logging.getLogger(__name__)
CALLS: Final = {"lambda": "lambda:InvokeFunction", "sns": "sns:Publish", "sqs": "sqs:SendMessage"}
"""Services whose resources decide by themselves whether a service gets in, and what it does there."""
_USES: Final = ("kms:GenerateDataKey", "kms:Decrypt")


# ---- keys -----------------------------------------------------------------------------------------------------------


def _key(arn: str) -> Json | None:
    """Return the customer key of a queue or topic, None without one; a key that AWS manages has no policy here."""
    _, _, service, region, account, _ = arn.split(":", 5)
    found = {"sqs": inside.sqs.queue_by_arn, "sns": inside.sns.topic_by_arn_any_scope}.get(service, lambda _arn: None)(
        arn
    )
    key_id = ((found or {}).get("attributes") or {}).get("KmsMasterKeyId")
    if not key_id:
        return None
    with core.as_account(account, region):
        return inside.kms.resolve_key(key_id) or {"Arn": key_id, "Policy": ""}


def _key_refused(arn: str, access_key: str) -> str | None:
    """Return why a principal is not allowed to send to a queue or topic because of its key, or None."""
    key, service = _key(arn), arn.split(":")[2]
    if key is None or not key["Policy"]:
        return None
    via = {"kms:ViaService": f"{service}.{get_region()}.amazonaws.com", "kms:CallerAccount": get_account_id()}
    for action in _USES:
        if refused := iam.refusal(access_key, action, key["Arn"], via):
            return f"{refused}; it is the key of {arn}"
    return None


def role_refused(arn: str, role_arn: str) -> str | None:
    """Return why a service with a role is not allowed to send to a queue or topic, or None.

    Args:
        arn: Of the queue or topic.
        role_arn: The role that the service uses to send.
    """
    action, keys = CALLS[arn.split(":")[2]], core.role_session(role_arn, "send").access_key
    return iam.refusal(keys, action, arn) or _key_refused(arn, keys)


def require_policies(arn: str, service: str, source_arn: str | None) -> None:
    """Check that the policies of a queue, topic or function, and of the key of the former two, let a service in.

    No service is allowed to use a key that AWS manages, whose policy cannot be changed. Source:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html

    Args:
        arn: Of the queue, topic or function.
        service: Service principal, e.g. ``events.amazonaws.com``.
        source_arn: For what it calls, e.g. the ARN of a rule.

    Raises:
        ServiceError: One of them does not.
    """
    called = arn.split(":")[2]
    require_grant(arn, service, CALLS[called], kind=called, source_arn=source_arn)
    key = _key(arn)
    if key:
        if not key["Policy"]:
            raise ServiceError("AccessDeniedException", f"{arn} is under {key['Arn']}, whose policy cannot be changed.")
        require_grant(key["Arn"], service, *_USES, kind=f"kms of {called}", source_arn=source_arn)


def _reaches(arn: str, service: str, source_arn: str | None, what: str) -> bool:
    """Whether a service reaches a queue or topic; why not is in the log."""
    try:
        require_policies(arn, service, source_arn)
    except ServiceError as error:
        _log.warning("%s did not reach %s: %s", what, arn, error)
        return False
    return True


# ---- loops ----------------------------------------------------------------------------------------------------------

_rounds: Final[contextvars.ContextVar[int]] = contextvars.ContextVar("rounds", default=0)
"""How many functions were invoked one after the other before the current request."""
_ROUNDS: Final = "Rounds"


@replaces(inside.sqs, "build_send_sys_attrs")
def _note_sender(original: Callable[..., Json], *arguments: object) -> Json:
    """Mark every message with the round in which it was sent, in what the queue notes about its sender."""
    return {**original(*arguments), _ROUNDS: _rounds.get()}


@replaces(inside.sqs, "ensure_msg_fields")
def _complete(original: Callable[[Json], None], message: Json) -> None:
    """Mark messages of topics too."""
    original(message)
    message["sys"].setdefault(_ROUNDS, _rounds.get())


@contextlib.contextmanager
def _next_round(name: str, function: Json, rounds: int) -> Iterator[bool]:
    """Yield whether Lambda lets a function have one more round, and count it."""
    runs = inside.lambda_svc.recursive_loop_drop(name, function, rounds + 1) is None
    token = inside.lambda_svc.invoke_depth.set(rounds + 1)
    try:
        yield runs
    finally:
        inside.lambda_svc.invoke_depth.reset(token)


@completes("AWS::Lambda::Function")
def _keep_declaration(function: str, properties: Json) -> None:
    """Keep ``RecursiveLoop`` of a function."""
    inside.lambda_svc.functions[function]["recursive_loop"] = properties.get("RecursiveLoop", "Terminate")


@replaces(inside.lambda_svc, "run_sqs_batch")
def _run_batch(
    run: Callable[..., None], mapping: Json, function: Json, event: Json, batch: list[Json], *queue: str
) -> None:
    name = mapping["FunctionName"]
    with _next_round(name, function, max(message["sys"].get(_ROUNDS, 0) for message in batch)) as runs:
        if runs:
            run(mapping, function, event, batch, *queue)
        else:  # the messages stay invisible and are received again, until they reach the maximum of receives
            _log.warning("Lambda stopped %s: it invokes itself through %s", name, queue[-1])


@replaces(inside.sns, "deliver_to_lambda")
def _deliver_to_function(deliver: Callable[..., None], endpoint: str, *message: object) -> None:
    function, _, name = inside.lambda_svc.get_func_record_for_ref(endpoint)
    with _next_round(name, function or {}, _rounds.get()) as runs:
        if runs:
            deliver(endpoint, *message)


@replaces(app.SERVICE_HANDLERS, "sns")
@replaces(app.SERVICE_HANDLERS, "sqs")
async def _count(
    handler: Callable[..., Awaitable[Reply]], method: str, path: str, headers: Mapping[str, str], *rest: object
) -> Reply:
    """Answer a request that a function may have made, and remember in which round it was made."""
    _rounds.set(inside.lambda_svc.inbound_invoke_depth(headers))
    return await handler(method, path, headers, *rest)


# ---- sending --------------------------------------------------------------------------------------------------------


@replaces(inside.sqs.HANDLERS, "SendMessage")
@replaces(inside.sqs, "act_send_message")
def _send(send: Callable[[Json, str], Json], data: Json, url: str) -> Json:
    queue = inside.sqs.get_q(data.get("QueueUrl", url))
    refused = _key_refused(queue["attributes"]["QueueArn"], caller().access_key)
    if refused:
        raise inside.sqs.Err("KmsAccessDenied", refused)
    return send(data, url)


@replaces(inside.sns, "publish_batch")
@replaces(inside.sns, "publish")
def _publish(publish: Callable[[Json], Reply], parameters: Json) -> Reply:
    arn = (parameters.get("TopicArn") or parameters.get("TargetArn") or [""])[0]
    refused = _key_refused(arn, caller().access_key) if arn.startswith("arn:") else None
    answer: Reply = inside.sns.error("KMSAccessDenied", refused, 400) if refused else publish(parameters)
    return answer


@replaces(inside.sns, "deliver_to_sqs")
def _deliver_to_queue(
    deliver: Callable[..., None], endpoint: str, *message: object, topic_arn: str = "", **options: object
) -> None:
    # MiniStack looks at the policy of the queue itself.
    if _key(endpoint) is None or _reaches(endpoint, "sns.amazonaws.com", topic_arn, "a message of a topic"):
        deliver(endpoint, *message, topic_arn=topic_arn, **options)


@replaces(inside.cloudwatch, "dispatch_alarm_actions")
def _act(act: Callable[..., None], alarm: Json, *change: str) -> None:
    allowed = dict(alarm)
    for kind in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        allowed[kind] = [
            arn
            for arn in alarm.get(kind) or []
            if ":sns:" not in arn or _reaches(arn, "cloudwatch.amazonaws.com", alarm.get("AlarmArn"), "an alarm")
        ]
    act(allowed, *change)


@replaces(inside.lambda_svc, "route_async_failure")
def _route(route: Callable[..., None], arn: str, name: str, event: Json, result: Json) -> None:
    """Send what a function could not process with the permissions of its role.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq
    """
    role = ((inside.lambda_svc.functions.get(name) or {}).get("config") or {}).get("Role", "")
    refused = role_refused(arn, role) if arn.split(":")[2] in ("sns", "sqs") else None
    if refused:
        _log.warning("%s: what it could not process did not reach %s: %s", name, arn, refused)
    else:
        route(arn, name, event, result)
