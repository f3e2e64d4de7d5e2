"""Custom::EnableProjects: lets the people of a Studio domain create projects from the shared portfolio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambdas.enable_projects import core
from lambdas.enable_projects.catalog import Catalog
from lambdas.enable_projects.environment import EnableProjectsEnvironment
from lambdas.enable_projects.parameters import ConnectionParameter
from lambdas.shared.custom_resource import LambdaContext, Request, Success, respond

if TYPE_CHECKING:
    from collections.abc import Mapping


def lambda_handler(event: Mapping[str, object], context: LambdaContext) -> None:
    """Answer a request of CloudFormation."""
    respond(event, context, carry_out)


def carry_out(request: Request) -> Success:
    """Carry out one request. Projects stay enabled when a domain is deleted: other domains may need them.

    Raises:
        CustomResourceError: The portfolio is not shared with this account, or the properties are not usable.
    """
    # Kept over updates: a new id would make CloudFormation delete "the former resource", which has the same roles.
    physical_id = request.physical_id or f"enable-projects/{request.text('DomainName')}"
    environment = EnableProjectsEnvironment.read()
    name = environment.portfolio_name
    changes = core.plan_roles(request)
    catalog = Catalog()
    if request.kind != "Delete":
        catalog.enable()
    portfolio = core.choose_portfolio(catalog.shared_portfolios(), name)
    if request.kind != "Delete":
        portfolio = core.require_portfolio(portfolio, name)
    if portfolio is not None:  # a portfolio that is no longer shared has no associations to take away
        for role_arn in changes.associate:
            catalog.associate(portfolio, role_arn)
        for role_arn in changes.disassociate:
            catalog.disassociate(portfolio, role_arn)
    _set_connection(request, ConnectionParameter(environment.connection_parameter))
    return Success(physical_id=physical_id)


def _set_connection(request: Request, parameter: ConnectionParameter) -> None:
    ours = request.text("ConnectionArn")
    if request.kind == "Create":
        parameter.create(ours)
        return
    current = parameter.get()
    if request.kind == "Delete":
        if current == ours:  # another domain's or an administrator's choice stays
            parameter.remove()
    elif current is None:
        parameter.create(ours)
    elif current == request.old_properties.get("ConnectionArn") and current != ours:
        parameter.replace(ours)
