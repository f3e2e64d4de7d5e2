"""What CodePipeline remembers: pipelines, their executions, and the actions of these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ministack.core.responses import get_account_id

from aws_emulator.clock import Condition, clock
from aws_emulator.core import Json, Records, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Node: TypeAlias = Any
"""A part of a declaration."""

SERVICE: Final = "codepipeline"
PIPELINES: Final = Records()

ENDED: Final = ("Succeeded", "Failed", "Stopped", "Superseded")
"""States of an execution that does nothing more."""


Execution: TypeAlias = Json
"""One run of a pipeline, as the API shows it.

Under ``runs`` are the runs of its actions in the order in which they began, under ``artifacts`` the artifacts by name,
under ``namespaces`` the variables by namespace; ``stopped`` is the reason why it was stopped.
"""
Run: TypeAlias = Json
"""One run of an action, as the API shows it.

Under ``action`` is its declaration. Who answers an approval has to know its ``token``; ``verdict`` is ``Approved`` or
``Rejected`` once it is answered. The event ``done`` is set when there is nothing more to wait for.
"""


def new_execution(declaration: Json, trigger: Json) -> Execution:
    """Return an execution that begins now."""
    moment = clock.now()
    return {
        "pipelineName": declaration["name"],
        "pipelineVersion": declaration["version"],
        "pipelineExecutionId": clock.uuid(),
        "executionMode": declaration["executionMode"],
        "status": "InProgress",
        "startTime": moment,
        "lastUpdateTime": moment,
        "trigger": trigger,
        "artifactRevisions": [],
        "runs": [],
        "artifacts": {},
        "namespaces": {},
        "stopped": None,
    }


def new_run(execution: Execution, stage: str, action: Json) -> Run:
    """Return a run of an action that begins now."""
    moment = clock.now()
    return {
        "pipelineExecutionId": execution["pipelineExecutionId"],
        "pipelineVersion": execution["pipelineVersion"],
        "actionExecutionId": clock.uuid(),
        "stageName": stage,
        "actionName": action["name"],
        "status": "InProgress",
        "startTime": moment,
        "lastUpdateTime": moment,
        "input": {**action, "inputArtifacts": []},
        "output": {"executionResult": {}, "outputVariables": {}, "outputArtifacts": []},
        "action": action,
        "token": None,
        "verdict": None,
        "done": clock.event(),
    }


def is_stopping(execution: Execution) -> bool:
    """Return whether an execution was stopped."""
    return execution["stopped"] is not None


@dataclass(kw_only=True)
class Stage:
    """The execution in a stage, those that wait for it, and the result of the last one."""

    inside: Execution | None = None
    waiting: list[Execution] = field(default_factory=list)
    latest: Execution | None = None
    status: str = ""


@dataclass(kw_only=True)
class Pipeline:
    """A pipeline: its declaration as the API has it, and its executions, newest last.

    Attributes:
        turn: Guards everything here; notified when an execution can go on.
    """

    declaration: Json
    account: str
    region: str
    executions: list[Execution] = field(default_factory=list)
    heads: dict[str, str] = field(default_factory=dict)
    stages: dict[str, Stage] = field(default_factory=dict)
    turn: Condition = field(default_factory=clock.condition)

    def stage(self, name: str) -> Stage:
        """Return what is known about a stage."""
        return self.stages.setdefault(name, Stage())


def find(name: str) -> Pipeline:
    """Return a pipeline of the current account.

    Raises:
        ServiceError: There is none of that name.
    """
    found: Pipeline | None = PIPELINES.get(name)
    if found is None:
        raise ServiceError(
            "PipelineNotFoundException", f"Account '{get_account_id()}' does not have a pipeline with name '{name}'"
        )
    return found


def find_execution(pipeline: str, execution_id: str) -> Execution:
    """Return an execution of a pipeline.

    Raises:
        ServiceError: There is none with that id.
    """
    for execution in find(pipeline).executions:
        if execution["pipelineExecutionId"] == execution_id:
            return execution
    raise ServiceError("PipelineExecutionNotFoundException", f"no execution {execution_id}")


def actions_of(declaration: Json) -> Iterator[tuple[str, Json]]:
    """Yield every action with its stage, in the order of the declaration."""
    for stage in declaration["stages"]:
        for action in stage["actions"]:
            yield stage["name"], action


def in_run_order(actions: Sequence[Json]) -> list[list[Json]]:
    """Return the actions of a stage in groups: those of one ``runOrder`` run at the same time."""
    orders = sorted({int(action.get("runOrder", 1)) for action in actions})
    return [[a for a in actions if int(a.get("runOrder", 1)) == order] for order in orders]
