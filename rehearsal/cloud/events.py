"""EventBridge: rule targets that MiniStack accepts and then drops."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ministack.services import eventbridge

from rehearsal.cloud import core, iam
from rehearsal.cloud.callers import assume_as_service
from rehearsal.cloud.core import Json, ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

Deliver: TypeAlias = Callable[[Json], Any]
_log: Final = logging.getLogger(__name__)


def _start_codepipeline(target: Json) -> None:
    core.call("codepipeline", "StartPipelineExecution", {"name": target["Arn"].rsplit(":", 1)[1]})


def _start_sagemaker_pipeline(target: Json) -> None:
    settings = target.get("SageMakerPipelineParameters") or {}
    request = {
        "PipelineName": target["Arn"].rsplit("/", 1)[1],
        "PipelineParameters": settings.get("PipelineParameterList", []),
        "ClientRequestToken": core.random_id(32),
    }
    core.call("sagemaker", "StartPipelineExecution", request)


_TARGETS: Final[Mapping[str, tuple[str, Deliver]]] = {
    ":codepipeline:": ("codepipeline:StartPipelineExecution", _start_codepipeline),
    ":sagemaker:": ("sagemaker:StartPipelineExecution", _start_sagemaker_pipeline),
}
"""Part of a target's ARN -> what EventBridge needs permission for there, and what it does.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-identity-based.html#eb-target-permissions
"""


def _deliver(target: Json, rule: str, action: str, deliver: Deliver) -> None:
    """Call a target with the role that the rule has for it."""
    arn, role = target["Arn"], target.get("RoleArn", "")
    try:
        credentials = assume_as_service(role, "events.amazonaws.com", "events")
        if not iam.may(credentials, action, arn):
            raise ServiceError("AccessDeniedException", f"{role} is not authorized to perform {action} on {arn}")
        deliver(target)
    except ServiceError as error:
        _log.warning("rule %s did not reach %s: %s", rule, arn, error)
        _keep(target, str(error))


def _keep(target: Json, reason: str) -> None:
    """Put an event that cannot be delivered into the target's dead-letter queue.

    Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if queue:
        sqs = core.client("sqs")
        url = sqs.get_queue_url(QueueName=queue.rsplit(":", 1)[1])["QueueUrl"]
        attribute = {"StringValue": reason, "DataType": "String"}
        sqs.send_message(QueueUrl=url, MessageBody=target["Arn"], MessageAttributes={"ERROR_MESSAGE": attribute})


def install() -> None:
    """Deliver to the targets above."""
    original = eventbridge._invoke_target

    def invoke(target: Json, event: Json, rule: Json, view: Any = None) -> None:  # noqa: ANN401 - MiniStack's own type
        for part, (action, deliver) in _TARGETS.items():
            if part in target.get("Arn", ""):
                context = contextvars.copy_context()
                arguments = (_deliver, target, rule.get("Name", ""), action, deliver)
                threading.Thread(target=context.run, args=arguments, daemon=True, name="rule-target").start()
                return
        original(target, event, rule, view)

    eventbridge._invoke_target = invoke
