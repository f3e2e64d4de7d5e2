"""How far a promotion has come, and what a decision asks for: copying, following it in the hub, or writing it down."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from lambdas.model_promotion.decisions import Decision
from lambdas.model_promotion.errors import BusyError
from lambdas.model_promotion.names import APPROVED, PENDING, REJECTED
from lambdas.model_promotion.packages import Copied

if TYPE_CHECKING:
    from collections.abc import Mapping

HANDOVERS_MAX: Final = 40
"""Invocations that may pass a promotion on: 10 hours of copying. More means that it does not advance."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """How far the promotion of one package has come.

    Attributes:
        source: ARN of the package in development.
        started: Unix time at which the first attempt to copy began; None as long as there was none.
        lease_until: Unix time until which one invocation works on it; 0 when none does.
        handovers: Times that an invocation ran out of time.
        package: ARN of the copy, once there is one.
        complete: Whether copy, model card and audit record are all there.
        seen: The decision in development that the hub reflects.
        withdrawn: Whether the hub's package was rejected because of development.
        artifacts: What was copied.
        digest: SHA-256 over images and artifacts.
    """

    source: str
    started: float | None = None
    lease_until: float = 0
    handovers: int = 0
    package: str | None = None
    complete: bool = False
    seen: Decision | None = None
    withdrawn: bool = False
    artifacts: tuple[Copied, ...] = ()
    digest: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the record that `text` holds, as written by `text`."""
        fields = json.loads(text)
        fields["seen"] = Decision(**fields["seen"]) if fields["seen"] else None
        fields["artifacts"] = tuple(Copied(**entry) for entry in fields["artifacts"])
        return cls(**fields)

    @property
    def text(self) -> str:
        """The record as JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @property
    def is_comparable(self) -> bool:
        """Whether deployments can compare the copy with what was promoted; no record had these ETags at first."""
        return all(entry.target_etag for entry in self.artifacts)

    def claimed(self, *, now: float, until: float) -> Self:
        """Return the record with the right to work on it.

        Raises:
            BusyError: Another invocation has it.
        """
        if self.lease_until > now:
            raise BusyError(f"{self.source} is being worked on for at most {self.lease_until - now:.0f} s more")
        return replace(self, lease_until=until)


Task = Literal["nothing", "promote", "reflect", "note"]


def task_for(decision: Decision, record: Record | None) -> Task:
    """Return what a package in development needs.

    ``promote``: copy it, finish copying it, or verify a copy again that deployments cannot compare with what was
    promoted. ``reflect``: bring the decision to the existing copy. ``note``: only record the decision, since there is
    no copy that it could concern.
    """
    seen = record.seen if record else None
    if seen is not None and decision.when < seen.when:
        return "nothing"  # read before a change that has been dealt with already
    if record is not None and record.package is not None and record.complete:
        if decision == seen:
            return "nothing"
        return "reflect" if record.is_comparable or decision.status != APPROVED else "promote"
    if decision.status == APPROVED:
        return "promote"
    if record is not None and record.started is not None:
        return "reflect"  # the copying was interrupted and the approval withdrawn meanwhile: there may be a copy
    return "note" if decision.status == REJECTED and decision != seen else "nothing"


@dataclass(frozen=True, kw_only=True)
class Reflection:
    """How the hub's package changes after a decision in development.

    Attributes:
        changes: Parameters for UpdateModelPackage beside the ARN.
        withdrawn: Whether the package now is rejected because of development.
    """

    changes: Mapping[str, Any]
    withdrawn: bool


def reflect(decision: Decision, account: str, hub: Mapping[str, Any], record: Record) -> Reflection:
    """Return how the hub's package follows a decision in development.

    A rejection there rejects here. Taking an approval back makes the hub's package wait again. An approval after a
    rejection makes it wait again too, unless the ML engineer rejected it for reasons of their own. Where the hub's
    status stays, so does the text with which the ML engineer explained it.

    Args:
        decision: The decision in development.
        account: Account in which it was made.
        hub: The hub's package (DescribeModelPackage).
        record: What was reflected before.
    """
    status = hub.get("ModelApprovalStatus", PENDING)
    text = decision.sentence(account)
    ours = hub.get("ApprovalDescription") == text  # changed by an attempt that could not finish
    withdrawn = record.withdrawn or (ours and status == REJECTED)
    wanted = status
    if decision.status == REJECTED:
        wanted, withdrawn = REJECTED, withdrawn or status != REJECTED
    elif decision.status == PENDING and status == APPROVED:
        wanted = PENDING
    elif decision.status == APPROVED and withdrawn:
        wanted, withdrawn = PENDING, False
    changes: dict[str, Any] = {"CustomerMetadataProperties": decision.metadata}
    if wanted != status or (wanted == PENDING and not ours) or (withdrawn and wanted == REJECTED):
        changes |= {"ModelApprovalStatus": wanted, "ApprovalDescription": text}
    return Reflection(changes=changes, withdrawn=withdrawn)
