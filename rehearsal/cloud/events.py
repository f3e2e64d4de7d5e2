"""EventBridge: rule targets that MiniStack accepts and drops: SageMaker pipelines."""

from __future__ import annotations

import contextvars
import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from ministack.services import eventbridge

from rehearsal.cloud import core, iam
from rehearsal.cloud.callers import assume_as_service
from rehearsal.cloud.core import ServiceError

if TYPE_CHECKING:
    from rehearsal.cloud.core import Json

_log: Final = logging.getLogger(__name__)


def _start_sagemaker_pipeline(target: Json, rule: str) -> None:
    """Start a pipeline with the target's role.

    Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html
    """
    arn, role = target["Arn"], target.get("RoleArn", "")
    action = "sagemaker:StartPipelineExecution"
    try:
        credentials = assume_as_service(role, "events.amazonaws.com", "events")
        if not iam.may(credentials, action, arn):
            raise ServiceError("AccessDeniedException", f"{role} is not authorized to perform {action} on {arn}")
        settings = target.get("SageMakerPipelineParameters") or {}
        request = {
            "PipelineName": arn.rsplit("/", 1)[1],
            "PipelineParameters": settings.get("PipelineParameterList", []),
            "ClientRequestToken": core.random_id(32),
        }
        core.call("sagemaker", "StartPipelineExecution", request)
    except ServiceError as error:
        _log.warning("rule %s did not start %s: %s", rule, arn, error)


def install() -> None:
    """Deliver to SageMaker pipelines."""
    original = eventbridge._invoke_target

    def invoke(target: Json, event: Json, rule: Json, view: Any = None) -> None:  # noqa: ANN401 - MiniStack's own type
        if ":sagemaker:" not in target.get("Arn", ""):
            original(target, event, rule, view)
            return
        context = contextvars.copy_context()
        arguments = (_start_sagemaker_pipeline, target, rule.get("Name", ""))
        threading.Thread(target=context.run, args=arguments, daemon=True, name="rule-target").start()

    eventbridge._invoke_target = invoke
