"""Answers CloudFormation when the build of a seed-code check-in has ended, however it ended."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from lambdas.seed_checkin import core
from lambdas.seed_checkin.builds import Builds
from lambdas.seed_checkin.ledger import Ledger
from lambdas.shared.custom_resource import LambdaContext, Success, answer

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)
logging.getLogger().setLevel(logging.INFO)


class NotYetError(Exception):
    """The event cannot be dealt with now; Lambda repeats it."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the function uses, from the environment that the baseline gives it."""

    builds: Builds
    ledger: Ledger


@cache
def services() -> Services:
    """Return the function's services, made once per execution environment."""
    return Services(builds=Builds(os.environ["BUILD_PROJECT"]), ledger=Ledger(os.environ["LEDGER_TABLE"]))


def lambda_handler(event: Mapping[str, object], _context: LambdaContext) -> None:
    """Handle a ``CodeBuild Build State Change``; errors propagate to Lambda's retries and the dead-letter queue.

    Raises:
        NotYetError: The build still runs, or another invocation is answering.
        AnswerError: CloudFormation could not be told.
    """
    detail = event["detail"]
    if not isinstance(detail, dict):
        raise TypeError(f"the event's detail is {detail!r}; EventBridge sends an object for a build's change of state")
    # The event gives the ARN arn:…:build/<project>:<uuid>; CodeBuild's requests take what follows "build/".
    complete(str(detail["build-id"]).rpartition("build/")[2], services())


def complete(build_id: str, use: Services) -> None:
    """Answer the request for which a build ran, once.

    The order matters: claim, remember, answer, settle. Lambda repeats a crash before the last step a minute later, when
    the claim has run out; what is repeated has the same content.

    Raises:
        NotYetError: As `lambda_handler`.
        AnswerError: As `lambda_handler`.
    """
    build = use.builds.outcome(build_id)
    if build is None or build.request_id is None:
        logger.warning("build %s was not started for a request of CloudFormation; nobody waits for it", build_id)
        return
    if build.status == "IN_PROGRESS":
        raise NotYetError(f"build {build_id} is still in progress although its end was reported; trying again")
    claim, pending = use.ledger.claim(build.request_id)
    if claim == "busy":
        raise NotYetError(f"another invocation is answering request {build.request_id}; making sure that it does")
    if pending is None:
        logger.info("request %s is %s; nothing to do", build.request_id, claim)
        return
    outcome = core.judge(pending, build)
    if isinstance(outcome, Success):
        use.ledger.remember(pending, outcome.data["CommitId"])
    answer(pending.address, outcome)
    use.ledger.settle(build.request_id)
