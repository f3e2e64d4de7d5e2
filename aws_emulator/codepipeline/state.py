"""What CodePipeline remembers: pipelines, their executions, and the actions of these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ministack.core.responses import get_account_id

from aws_emulator.clock import Condition, Event, clock
from aws_emulator.core import Json, Records, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Node: TypeAlias = Any
"""A part of a declaration."""

SERVICE: Final = "codepipeline"
PIPELINES: Final = Records()

ENDED: Final = ("Succeeded", "Failed", "Stopped", "Superseded")
"""States of an execution that does nothing more."""


@dataclass(kw_only=True)
class Artifact:
    """A zip file in the artifact bucket, and the action that made it."""

    name: str
    bucket: str
    key: str
    by: Json

    def described(self) -> Json:
        """Return it as ``ArtifactDetail`` of the API."""
        return {"name": self.name, "s3location": {"bucket": self.bucket, "key": self.key}}


@dataclass(kw_only=True)
class ActionExecution:
    """One action of an execution.

    Attributes:
        resolved: Its configuration with the values of variables.
        token: Who answers an approval has to know it; stays after the answer.
        verdict: ``Approved`` or ``Rejected`` once an approval is answered.
        done: Set when there is nothing more to wait for: its work is done, or the execution was stopped.
    """

    stage: str
    action: Json
    started: float
    id: str = field(default_factory=clock.uuid)
    status: str = "InProgress"
    updated: float = 0.0
    updated_by: str = ""
    summary: str = ""
    external_id: str = ""
    external_url: str = ""
    error: Json | None = None
    token: str = ""
    verdict: str = ""
    resolved: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    inputs: list[Artifact] = field(default_factory=list)
    produced: list[Artifact] = field(default_factory=list)
    done: Event = field(default_factory=clock.event)

    @property
    def name(self) -> str:
        """Name of the action."""
        return str(self.action["name"])


@dataclass(kw_only=True)
class Execution:
    """One run of a pipeline: actions in the order in which they ran, artifacts by name, variables by namespace.

    Attributes:
        stop_reason: Why somebody stopped it; None while nobody did.
        abandoned: It was stopped without waiting for its actions.
    """

    pipeline: str
    version: int
    trigger: Json
    id: str = field(default_factory=clock.uuid)
    status: str = "InProgress"
    started: float = field(default_factory=clock.now)
    updated: float = field(default_factory=clock.now)
    actions: list[ActionExecution] = field(default_factory=list)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    revision: Json = field(default_factory=dict)
    stop_reason: str | None = None
    abandoned: bool = False

    def is_stopping(self) -> bool:
        """Whether somebody stopped it."""
        return self.stop_reason is not None


@dataclass(kw_only=True)
class Stage:
    """Who is in a stage, who waits in front of it, and what the last execution in it came to."""

    inside: Execution | None = None
    waiting: list[Execution] = field(default_factory=list)
    latest: Execution | None = None
    status: str = ""


@dataclass(kw_only=True)
class Pipeline:
    """A pipeline: its declaration as the API has it, and its executions, newest last.

    Attributes:
        turn: Guards everything here; notified when an execution may go on.
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
        if execution.id == execution_id:
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
