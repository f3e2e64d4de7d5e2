"""What the governance officer decides in a deployment pipeline, as CodePipeline knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import boto3

from lambdas.model_promotion.decisions import Decision
from lambdas.model_promotion.errors import PromotionError
from lambdas.model_promotion.names import (
    APPROVAL_EVENT,
    APPROVAL_SOURCE,
    APPROVED,
    PACKAGE_VARIABLE,
    REJECTED,
    RENDER_STAGE,
)
from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERDICTS: Final = {"Succeeded": APPROVED, "Failed": REJECTED}


@dataclass(frozen=True, kw_only=True)
class Approval:
    """An answered approval of a deployment pipeline: an event says that there is one, CodePipeline says which.

    Attributes:
        pipeline: Name of the CodePipeline.
        execution: Id of its execution.
        stage: Stage of the approval.
        action: Name of the approval.
        answer: Id of the action's execution, or empty where the event does not have it. A stage that is tried again
            has another.
    """

    pipeline: str
    execution: str
    stage: str
    action: str
    answer: str = ""

    @classmethod
    def parse(cls, event: Mapping[str, Any]) -> Self:
        """Read an event.

        Raises:
            PromotionError: It is not an event about an action of a pipeline.
        """
        detail = event.get("detail")
        keys = ("pipeline", "execution-id", "stage", "action")
        if (
            event.get("detail-type") != APPROVAL_EVENT
            or not isinstance(detail, dict)
            or not all(detail.get(k) for k in keys)
        ):
            raise PromotionError(
                f"the message from {APPROVAL_SOURCE} (type {event.get('detail-type')!r}) is not a {APPROVAL_EVENT!r} "
                f"with {', '.join(keys)}: nothing is recorded. Correct the rule that feeds the queue."
            )
        pipeline, execution, stage, action = (str(detail[key]) for key in keys)
        answer = str(detail.get("action-execution-id") or "")
        return cls(pipeline=pipeline, execution=execution, stage=stage, action=action, answer=answer)

    @property
    def text(self) -> str:
        """The approval in one text, e.g. ``mlp-p-1-deploy/Approve/GovernanceApproval of execution 12ab``."""
        return f"{self.pipeline}/{self.stage}/{self.action} of execution {self.execution}"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """How an approval was answered, each time that its stage was tried.

    Attributes:
        package: ARN of the model that the execution deploys, as its step render said it; empty if it said nothing.
        decisions: What was decided, who did it, when and why; empty when nobody answered, because it was given up.
        are_complete: Whether the answer that the event is about is among them, or was given up.
    """

    package: str
    decisions: tuple[Decision, ...]
    are_complete: bool


class Pipelines:
    """The deployment pipelines of the hub."""

    def __init__(self) -> None:
        self._client: Any = boto3.client("codepipeline", config=CONFIG)

    def answers(self, approval: Approval) -> Answers:
        """Return how an approval was answered.

        The engineers of a project decide what their builds export. So only the stage counts from which the pipeline
        takes the package that it deploys, and whatever that says, or does not say, is no reason not to record.
        """
        pages = self._client.get_paginator("list_action_executions").paginate(
            pipelineName=approval.pipeline, filter={"pipelineExecutionId": approval.execution}
        )
        actions = sorted((a for page in pages for a in page["actionExecutionDetails"]), key=lambda a: a["startTime"])
        rendered = [
            str(a.get("output", {}).get("outputVariables", {}).get(PACKAGE_VARIABLE) or "")
            for a in actions
            if a["stageName"] == RENDER_STAGE
        ]
        tries = [a for a in actions if (a["stageName"], a["actionName"]) == (approval.stage, approval.action)]
        told = [a for a in tries if approval.answer in ("", a["actionExecutionId"])][-1:]
        return Answers(
            package=rendered[-1] if rendered else "",
            decisions=tuple(_decision(a) for a in tries if a["status"] in _VERDICTS and a.get("updatedBy")),
            are_complete=bool(told) and told[0]["status"] != "InProgress",
        )


def _decision(action: Mapping[str, Any]) -> Decision:
    result = action.get("output", {}).get("executionResult", {})
    return Decision(
        status=_VERDICTS[action["status"]],
        who=str(action["updatedBy"]),
        when=action["lastUpdateTime"].timestamp(),
        reason=str(result.get("externalExecutionSummary") or ""),
    )
