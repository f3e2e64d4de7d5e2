"""Requests of CloudFormation that a build carries out: started once, answered once when the build has ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.shared.custom_resource import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lambdas.shared.builds import BuildOutcome, Builds
    from lambdas.shared.custom_resource import Failure, Success
    from lambdas.shared.requests import P, Requests

logger = logging.getLogger(__name__)
logging.getLogger().setLevel(logging.INFO)


class NotYetError(Exception):
    """The event cannot be dealt with now; Lambda repeats it."""


def delegate(pending: P, variables: Mapping[str, str], *, requests: Requests[P], builds: Builds) -> None:
    """Start the build for a request, unless an earlier delivery of the same event has started it.

    Args:
        pending: The request, as `complete` needs it when the build has ended.
        variables: Environment of the build; ``REQUEST_ID`` is added.
        requests: Where requests are noted.
        builds: Where the build runs.
    """
    request_id = pending.address.request_id
    running = requests.open(pending)
    if running:
        logger.info("request %s was delivered again; build %s runs for it", request_id, running)
        return
    try:
        build_id = builds.start({**variables, "REQUEST_ID": request_id}, token=request_id)
    except Exception:
        # This invocation answers FAILED; without its entry nobody else will, should a build have started after all.
        _drop(request_id, requests)
        raise
    logger.info("build %s started for request %s", build_id, request_id)
    try:
        requests.note_build(request_id, build_id)
    except (BotoCoreError, ClientError):
        # The note only saves a repeated delivery the way to CodeBuild, which recognises the token of the same request.
        logger.exception("build %s could not be noted for request %s", build_id, request_id)


def ended_build(event: Mapping[str, object]) -> str:
    """Return the id of the build in a ``CodeBuild Build State Change``.

    Raises:
        TypeError: The event is none.
    """
    detail = event["detail"]
    if not isinstance(detail, dict):
        raise TypeError(f"the event's detail is {detail!r}; EventBridge sends an object for a build's change of state")
    # The event gives the ARN arn:…:build/<project>:<uuid>; CodeBuild's requests take what follows "build/".
    return str(detail["build-id"]).rpartition("build/")[2]


def complete(
    build_id: str,
    *,
    requests: Requests[P],
    builds: Builds,
    conclude: Callable[[P, BuildOutcome], Success | Failure],
) -> None:
    """Answer the request for which a build ran, once.

    The order matters: claim, conclude, answer, settle. Lambda repeats a crash before the last step a minute later, when
    the claim has run out; what is repeated has the same content.

    Args:
        build_id: The build that has ended.
        requests: Where requests are noted.
        builds: Where the build ran.
        conclude: Says what CloudFormation is told; safe to be called twice.

    Raises:
        NotYetError: The build still runs, or another invocation is answering.
        AnswerError: CloudFormation could not be told.
    """
    build = builds.outcome(build_id)
    if build is None or build.request_id is None:
        logger.warning("build %s was not started for a request of CloudFormation; nobody waits for it", build_id)
        return
    if build.status == "IN_PROGRESS":
        raise NotYetError(f"build {build_id} is still in progress although its end was reported; trying again")
    claim, pending = requests.claim(build.request_id)
    if claim == "busy":
        raise NotYetError(f"another invocation is answering request {build.request_id}; making sure that it does")
    if pending is None:
        logger.info("request %s is %s; nothing to do", build.request_id, claim)
        return
    answer(pending.address, conclude(pending, build))
    requests.settle(build.request_id)


def _drop(request_id: str, requests: Requests[P]) -> None:
    try:
        requests.drop(request_id)
    except (BotoCoreError, ClientError):
        # The person needs the reason why the build did not start; a second answer would be ignored by CloudFormation.
        logger.exception("request %s could not be dropped", request_id)
