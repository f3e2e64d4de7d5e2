"""Custom::Deployment: checks a stage's account, and takes the stage down when its project is deleted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from lambdas.deployment import core
from lambdas.deployment.deploying import DeployingBuilds
from lambdas.deployment.environment import DeploymentEnvironment
from lambdas.deployment.targets import Targets
from lambdas.shared.builds import Builds
from lambdas.shared.custom_resource import CustomResourceError, LambdaContext, Request, Success, respond
from lambdas.shared.delegation import delegate
from lambdas.shared.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the function uses, from the environment that the baseline gives it."""

    partition: str
    regions: frozenset[str]
    builds: Builds
    deploying: DeployingBuilds
    requests: Requests[core.Pending]
    targets: Targets


@cache
def services() -> Services:
    """Return the function's services, made once per execution environment."""
    environment = DeploymentEnvironment.read()
    return Services(
        partition=environment.partition,
        regions=frozenset(environment.regions.split(",")),
        builds=Builds(environment.build_project),
        deploying=DeployingBuilds(),
        requests=Requests(environment.requests_table, load=core.load_pending),
        targets=Targets(environment.partition),
    )


def lambda_handler(event: Mapping[str, object], context: LambdaContext) -> None:
    """Answer a request of CloudFormation, or leave the answer to the completion of the build that was started."""
    respond(event, context, lambda request: carry_out(request, services()))


def carry_out(request: Request, use: Services) -> Success | None:
    """Carry out one request; None means that a teardown runs, whose completion answers.

    Raises:
        CustomResourceError: The request cannot be carried out.
    """
    if request.kind == "Delete":
        # Not the properties: after a failed update they may be others than those of what was deployed.
        stage = core.stage_of(request.physical_id or "")
        _require_own(stage, use, leaving=True)
        use.deploying.stop(stage.builds)
        use.targets.require_reachable(stage, leaving=True)
        delegate(
            core.Pending(address=request.address, stage=stage),
            core.build_variables(stage, use.partition),
            requests=use.requests,
            builds=use.builds,
        )
        return None
    stage = core.parse_stage(request, use.regions)
    new = request.kind == "Create"
    if new:
        _require_own(stage, use, leaving=False)
    else:
        core.require_same(stage, request.physical_id or "")
    use.targets.require_ready(stage, new=new)
    return Success(physical_id=stage.physical_id)


def _require_own(stage: core.Stage, use: Services, *, leaving: bool) -> None:
    others = use.deploying.elsewhere(stage.builds, use.regions)
    if others:
        raise CustomResourceError(core.claimed(stage, others, leaving=leaving))
