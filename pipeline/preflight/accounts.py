"""What accounts must have in which products are launched, or to which models are deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.paging import pages
from pipeline.preflight.checking import Problem, check, parameter_value
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.preflight.checking import Account, Check

CHECKS: Final[list[Check]] = []


@check(CHECKS, "the baseline has arrived", "hub", "workload")
def _contract(account: Account, region: str) -> Iterator[Problem]:
    settings = account.settings
    wanted: Mapping[names.ContractValue, str] = {
        "hub-account-id": settings.account_id,
        "artifact-bucket": names.artifact_bucket(settings.account_id, region),
        "boundary-arn": f"arn:{settings.partition}:iam::{account.id}:policy/{names.BOUNDARY_POLICY}",
    }
    where = "deploy the pipeline" if account.kind == "hub" else f"move {account.id} below {settings.workloads_ou_id}"
    for name, value in wanted.items():
        parameter = names.contract_parameter(name)
        found = parameter_value(account, region, parameter)
        if found is None:
            yield Problem(
                what=f"parameter {parameter} does not exist, so no product can be launched",
                remedy=f"{where}; what failed: `portfolio preflight` in the hub",
            )
        elif found != value:
            yield Problem(
                what=f"parameter {parameter} is {found}, not {value}: the account belongs to another catalog",
                remedy="find out which pipeline wrote it; an account belongs to one catalog",
            )


@check(CHECKS, "the shared portfolios are visible", "workload")
def _shared(account: Account, region: str) -> Iterator[Problem]:
    client = account.client("servicecatalog", region)
    found = {
        entry["DisplayName"]
        for entry in pages(
            client, "list_accepted_portfolio_shares", "PortfolioDetails", PortfolioShareType="AWS_ORGANIZATIONS"
        )
    }
    for portfolio in account.portfolios:
        if portfolio.shared and portfolio.title not in found:
            yield Problem(
                what=f"portfolio {portfolio.title!r} is not shared with this account",
                remedy=f"move {account.id} below {account.settings.workloads_ou_id}; then, in the hub: "
                f"portfolio check-published --region {region}",
            )


@check(CHECKS, "the network for ML is published", "workload")
def _network(account: Account, region: str) -> Iterator[Problem]:
    vpc = parameter_value(account, region, names.VPC_ID_PARAMETER)
    subnets = parameter_value(account, region, names.SUBNET_IDS_PARAMETER)
    for name, value, form in (
        (names.VPC_ID_PARAMETER, vpc, "--type String --value vpc-…"),
        (names.SUBNET_IDS_PARAMETER, subnets, "--type StringList --value subnet-…,subnet-…"),
    ):
        if value is None:
            yield Problem(
                what=f"parameter {name} does not exist, so people have to choose a network by hand",
                remedy=f"aws ssm put-parameter --region {region} --name {name} {form}",
            )
    if vpc is None or subnets is None:
        return
    wanted = subnets.split(",")
    found = account.client("ec2", region).describe_subnets(Filters=[{"Name": "subnet-id", "Values": wanted}])["Subnets"]
    places = {subnet["SubnetId"]: subnet["VpcId"] for subnet in found}
    for subnet in wanted:
        if places.get(subnet) != vpc:
            yield Problem(
                what=f"subnet {subnet} of {names.SUBNET_IDS_PARAMETER} is "
                + (f"in {places[subnet]}, not in {vpc}" if subnet in places else "not there"),
                remedy=f"aws ssm put-parameter --overwrite --region {region} --name {names.SUBNET_IDS_PARAMETER} "
                f"--type StringList --value subnet-…,subnet-…",
            )


@check(CHECKS, "the hub can deploy to this account", "deployment", per_region=False)
def _deploy_role(account: Account, region: str) -> Iterator[Problem]:
    roles = pages(account.client("iam", region), "list_roles", "Roles")
    if names.DEPLOY_ROLE not in {role["RoleName"] for role in roles}:
        yield Problem(
            what=f"role {names.DEPLOY_ROLE} does not exist, so no stage can be deployed here",
            remedy=f"move {account.id} below {account.settings.deployment_ou_id}; see `portfolio preflight` in the hub",
        )


@check(CHECKS, "buckets of stages can be emptied", "deployment")
def _emptier(account: Account, region: str) -> Iterator[Problem]:
    functions = pages(account.client("lambda", region), "list_functions", "Functions")
    if names.BUCKET_EMPTIER_FUNCTION not in {function["FunctionName"] for function in functions}:
        yield Problem(
            what=f"function {names.BUCKET_EMPTIER_FUNCTION} does not exist in {region}",
            remedy="release any change, so that the baseline is rolled out again; see its StackSet in the hub",
        )
