"""Custom::SeedCode: starts the build that checks seed code into a repository; its completion answers CloudFormation."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.seed_checkin import core
from lambdas.seed_checkin.connections import Connections
from lambdas.seed_checkin.environment import SeedCheckinEnvironment
from lambdas.seed_checkin.ledger import Ledger
from lambdas.shared.builds import Builds
from lambdas.shared.custom_resource import NOT_CREATED, LambdaContext, Request, Success, respond
from lambdas.shared.delegation import delegate

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the function uses, from the environment that the baseline gives it."""

    artifact_bucket: str
    url_suffix: str
    builds: Builds
    connections: Connections
    ledger: Ledger


@cache
def services() -> Services:
    """Return the function's services, made once per execution environment."""
    environment = SeedCheckinEnvironment.read()
    return Services(
        artifact_bucket=environment.artifact_bucket,
        url_suffix=environment.url_suffix,
        builds=Builds(environment.build_project),
        connections=Connections(),
        ledger=Ledger(environment.ledger_table),
    )


def lambda_handler(event: Mapping[str, object], context: LambdaContext) -> None:
    """Answer a request of CloudFormation, or leave the answer to the completion of the build that was started."""
    respond(event, context, lambda request: check_in(request, services()))


def check_in(request: Request, use: Services) -> Success | None:
    """Carry out one request; None means that a build runs, whose completion answers.

    Raises:
        CustomResourceError: The request cannot be carried out.
    """
    if request.kind == "Delete":
        return _forget(request, use)
    checkin = core.parse_checkin(request, use.artifact_bucket)
    if request.kind == "Update":
        unchanged = core.answer_without_build(checkin, use.ledger.last(request.address))
        if unchanged:
            return unchanged
    connection = use.connections.get(checkin.connection_arn)
    core.require_available(connection)
    pending = core.Pending(
        address=request.address,
        checkin=checkin,
        mode=core.mode_of(request, checkin),
        repository_url=core.repository_url(connection, checkin, use.url_suffix),
        former_physical_id=request.physical_id or NOT_CREATED,
    )
    variables = core.build_variables(
        pending.checkin,
        mode=pending.mode,
        former_asset_key=str(request.old_properties.get("AssetKey", "")),
        url_suffix=use.url_suffix,
    )
    delegate(pending, variables, requests=use.ledger, builds=use.builds)
    return None


def _forget(request: Request, use: Services) -> Success:
    try:
        use.ledger.forget(request.address)
    except (BotoCoreError, ClientError):
        # Nothing looks for the memory of a deleted resource again; a stack must not fail to delete because of it.
        logger.exception("the memory of %s was not removed", request.address.logical_resource_id)
    return Success(physical_id=request.physical_id or NOT_CREATED)
