"""Answers CloudFormation when the build of a seed-code check-in has ended, however it ended."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from lambdas.seed_checkin import core
from lambdas.seed_checkin.environment import CompletionEnvironment
from lambdas.seed_checkin.ledger import Ledger
from lambdas.shared.builds import BuildOutcome, Builds
from lambdas.shared.custom_resource import Failure, LambdaContext, Success
from lambdas.shared.delegation import complete, ended_build

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the function uses, from the environment that the baseline gives it."""

    builds: Builds
    ledger: Ledger

    def conclude(self, pending: core.Pending, build: BuildOutcome) -> Success | Failure:
        """Return what CloudFormation is told, and remember what was checked in."""
        outcome = core.judge(pending, build)
        if isinstance(outcome, Success):
            self.ledger.remember(pending, outcome.data["CommitId"])
        return outcome


@cache
def services() -> Services:
    """Return the function's services, made once per execution environment."""
    environment = CompletionEnvironment.read()
    return Services(builds=Builds(environment.build_project), ledger=Ledger(environment.ledger_table))


def lambda_handler(event: Mapping[str, object], _context: LambdaContext) -> None:
    """Handle a ``CodeBuild Build State Change``; errors propagate to Lambda's retries and the dead-letter queue.

    Raises:
        NotYetError: The build still runs, or another invocation is answering.
        AnswerError: CloudFormation could not be told.
    """
    use = services()
    complete(ended_build(event), requests=use.ledger, builds=use.builds, conclude=use.conclude)
