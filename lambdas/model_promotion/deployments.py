"""What the governance officer decides in a deployment pipeline, as CodePipeline knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import boto3

from lambdas.model_promotion.core import APPROVED, REJECTED, BusyError, Decision, PackageArn, PromotionError
from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT_SOURCE: Final = "aws.codepipeline"
EVENT_TYPE: Final = "CodePipeline Action Execution State Change"

_PACKAGE: Final = "PACKAGE_ARN"
"""Variable with which the first build of a deployment pipeline says which model it deploys."""

_VERDICTS: Final = {"Succeeded": APPROVED, "Failed": REJECTED}


@dataclass(frozen=True, kw_only=True)
class Approval:
    """An answered approval of a deployment pipeline: an event says that there is one, CodePipeline says which.

    Attributes:
        pipeline: Name of the CodePipeline.
        execution: Id of its execution.
        stage: Stage of the approval.
        action: Name of the approval.
    """

    pipeline: str
    execution: str
    stage: str
    action: str

    @classmethod
    def parse(cls, event: Mapping[str, Any]) -> Self:
        """Read an event.

        Raises:
            PromotionError: It is no event about an action of a pipeline.
        """
        detail = event.get("detail")
        keys = ("pipeline", "execution-id", "stage", "action")
        if (
            event.get("detail-type") != EVENT_TYPE
            or not isinstance(detail, dict)
            or not all(detail.get(k) for k in keys)
        ):
            raise PromotionError(
                f"the message from {EVENT_SOURCE} (type {event.get('detail-type')!r}) is no {EVENT_TYPE!r} with "
                f"{', '.join(keys)}: nothing is recorded. Correct the rule that feeds the queue."
            )
        pipeline, execution, stage, action = (str(detail[key]) for key in keys)
        return cls(pipeline=pipeline, execution=execution, stage=stage, action=action)

    @property
    def text(self) -> str:
        """The approval in one text, e.g. ``mlp-p-1-deploy/Approve/GovernanceApproval of execution 12ab``."""
        return f"{self.pipeline}/{self.stage}/{self.action} of execution {self.execution}"


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An approval with its answer.

    Attributes:
        package: The model that the pipeline deploys.
        decision: What was decided, who did it, when and why.
    """

    package: PackageArn
    decision: Decision


class Pipelines:
    """The deployment pipelines of the hub."""

    def __init__(self) -> None:
        self._client: Any = boto3.client("codepipeline", config=CONFIG)

    def answer(self, approval: Approval) -> Answered | None:
        """Return how an approval was answered; None when nobody answered it, because it was given up.

        One request: an execution has fewer actions than the 100 of a page.

        Raises:
            BusyError: CodePipeline does not show yet what its event told.
            PromotionError: The execution does not say which model it deploys.
        """
        actions = self._client.list_action_executions(
            pipelineName=approval.pipeline, filter={"pipelineExecutionId": approval.execution}
        )["actionExecutionDetails"]
        found = [a for a in actions if (a["stageName"], a["actionName"]) == (approval.stage, approval.action)]
        action: dict[str, Any] = max(found, key=lambda a: a["startTime"], default={"status": "InProgress"})
        if action["status"] == "InProgress":
            raise BusyError(f"{approval.text} is told to be answered, but CodePipeline does not show it yet")
        if action["status"] not in _VERDICTS or not action.get("updatedBy"):
            return None
        variables = [a.get("output", {}).get("outputVariables", {}) for a in actions]
        named = {v[_PACKAGE] for v in variables if v.get(_PACKAGE)}
        package = PackageArn.parse(named.pop()) if len(named) == 1 else None
        if package is None:
            raise PromotionError(
                f"{approval.text} was answered, but its actions name {len(named)} packages in the variable {_PACKAGE} "
                f"instead of one: the decision is not recorded. Let the pipeline's first build export {_PACKAGE}."
            )
        result = action.get("output", {}).get("executionResult", {})
        return Answered(
            package=package,
            decision=Decision(
                status=_VERDICTS[action["status"]],
                who=str(action["updatedBy"]),
                when=action["lastUpdateTime"].timestamp(),
                reason=str(result.get("externalExecutionSummary") or ""),
            ),
        )
