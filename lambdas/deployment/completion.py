"""Answers CloudFormation when the build that takes a stage down has ended, however it ended."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from lambdas.deployment import core
from lambdas.deployment.environment import CompletionEnvironment
from lambdas.shared.builds import Builds
from lambdas.shared.delegation import complete, ended_build
from lambdas.shared.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambdas.shared.custom_resource import LambdaContext


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the function uses, from the environment that the baseline gives it."""

    builds: Builds
    requests: Requests[core.Pending]


@cache
def services() -> Services:
    """Return the function's services, made once per execution environment."""
    environment = CompletionEnvironment.read()
    return Services(
        builds=Builds(environment.build_project),
        requests=Requests(environment.requests_table, load=core.load_pending),
    )


def lambda_handler(event: Mapping[str, object], _context: LambdaContext) -> None:
    """Handle a ``CodeBuild Build State Change``; errors propagate to Lambda's retries and the dead-letter queue.

    Raises:
        NotYetError: The build still runs, or another invocation is answering.
        AnswerError: CloudFormation could not be told.
    """
    use = services()
    complete(ended_build(event), requests=use.requests, builds=use.builds, conclude=core.judge)
