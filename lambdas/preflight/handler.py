"""Custom::Preflight: says in plain words what would make a launch fail, before anything else is created."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.preflight import core
from lambdas.preflight.account import Account
from lambdas.shared.custom_resource import CustomResourceError, LambdaContext, Request, Success, respond

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)


def lambda_handler(event: Mapping[str, object], context: LambdaContext) -> None:
    """Answer a request of CloudFormation."""
    respond(event, context, carry_out)


def carry_out(request: Request) -> Success:
    """Make every check that is asked for and report all problems at once.

    Raises:
        CustomResourceError: There are problems; one sentence each.
    """
    physical_id = request.physical_id or f"preflight-{request.address.logical_resource_id}"
    if request.kind == "Delete":
        return Success(physical_id=physical_id)
    wanted = request.texts("Checks")
    unknown = [name for name in wanted if name not in core.CHECKS]
    if unknown:
        raise CustomResourceError(
            f"{request.resource_type} does not know the checks {', '.join(unknown)}; it knows {', '.join(core.CHECKS)}."
        )
    account = Account()
    data = _job_network(request, account) if "job-network" in wanted else {}
    seen = _data(request, account) if "data" in wanted else {}
    data |= {name: str(value) for name, value in seen.items() if name != "Problems"}
    if request.kind == "Update" and _rolls_back(request, account):
        return Success(physical_id=physical_id, data=data)
    checks: dict[str, Callable[[Request, Account], list[str]]] = {
        "vpc": _vpc,
        "subnets": _subnets,
        "identity-center": _identity_center,
        "domain-name": _domain_name,
        "connection": _connection,
        "repository": _repository,
        "job-network": lambda _request, _account: [],  # nothing to find fault with: it answers with attributes
        "data": lambda _request, _account: [str(problem) for problem in seen["Problems"]],
        "data-key": _data_key,
    }
    problems = core.fixed_problems(request.old_properties, request.properties)
    has, needed = request.properties.get("BaselineVersion", ""), request.properties.get("BaselineNeeded", "")
    problems += core.baseline_problems(str(has), str(needed))
    for name in dict.fromkeys(wanted):
        try:
            problems += checks[name](request, account)
        except CustomResourceError as err:
            problems.append(str(err))
        except (BotoCoreError, ClientError) as err:
            logger.exception("check %s failed", name)
            problems.append(f"The check {name!r} could not be made: {err}.")
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise CustomResourceError(f"{count} to solve before the launch. {' '.join(problems)}")
    return Success(physical_id=physical_id, data=data)


def _rolls_back(request: Request, account: Account) -> bool:
    # CloudFormation asks for an update back to the former values when an update failed. They held once, and refusing
    # them (e.g. because the connection that made the update fail is still pending) would leave the stack stuck.
    try:
        return account.rolls_back(request.address.stack_id)
    except (BotoCoreError, ClientError):
        logger.exception("the status of the stack is not known; making the checks")
        return False


def _job_network(request: Request, account: Account) -> dict[str, str]:
    domain = core.job_domain(account.domains())
    return core.job_network(domain, account.owners(domain) if domain else {}, request.address.stack_id)


def _data(request: Request, account: Account) -> dict[str, Any]:
    try:
        return account.data(request.properties)
    except (BotoCoreError, ClientError, CustomResourceError) as err:
        logger.exception("the data could not be looked at")
        # The attributes are there all the same: without them CloudFormation could not go back after a failed update.
        database = request.properties.get("TargetDatabase") or request.properties.get("Database", "")
        owner = request.properties.get("CatalogId") or request.address.stack_id.split(":")[4]
        return {
            "CatalogId": owner,
            "TargetDatabase": database,
            "Problems": [f"The data could not be looked at: {err}."],
        }


def _vpc(request: Request, account: Account) -> list[str]:
    vpc_id = request.text("VpcId")
    return core.vpc_problems(vpc_id, account.vpc(vpc_id))


def _subnets(request: Request, account: Account) -> list[str]:
    vpc_id, subnet_ids = request.text("VpcId"), request.texts("SubnetIds")
    vpc_only = request.properties.get("NetworkAccess", "VpcOnly") == "VpcOnly"
    subnets = account.subnets(subnet_ids) if subnet_ids else []
    for warning in core.subnet_warnings(subnets):
        logger.warning(warning)
    endpoints = account.endpoints(vpc_id) if vpc_only else []
    return core.subnet_problems(vpc_id, subnet_ids, subnets, endpoints, vpc_only=vpc_only)


def _identity_center(request: Request, account: Account) -> list[str]:
    auth_mode = request.text("AuthMode")
    instances = account.identity_center_instances() if auth_mode == "SSO" else 0
    return core.identity_center_problems(auth_mode, instances)


def _domain_name(request: Request, account: Account) -> list[str]:
    name = request.text("DomainName")
    if request.kind == "Update":
        return []  # taken by the very domain that is being updated; another name is refused anyway
    return core.domain_name_problems(name, account.domain_names())


def _connection(request: Request, account: Account) -> list[str]:
    arn = request.text("ConnectionArn")
    is_connection = not core.connection_problems(arn, "AVAILABLE")
    return core.connection_problems(arn, account.connection_status(arn) if is_connection else None)


def _data_key(request: Request, account: Account) -> list[str]:
    arn = str(request.properties.get("DataKeyArn", ""))
    return core.data_key_problems(arn, is_seen=not arn or account.key_is_seen(arn))


def _repository(request: Request, _account: Account) -> list[str]:
    return core.repository_problems(request.text("Repository"))
