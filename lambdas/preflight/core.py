"""What must hold before a product is launched, told as one sentence per problem."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lambdas.shared.patterns import CONNECTION_ARN, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

CHECKS: Final = (
    "vpc",
    "subnets",
    "identity-center",
    "domain-name",
    "connection",
    "repository",
    "job-network",
    "data",
    "data-key",
)

FIXED: Final = {
    "DomainName": "DomainName",
    "AuthMode": "AuthMode",
    "ProjectName": "SageMakerProjectName",
    "ProjectId": "SageMakerProjectId",
}
"""Properties that an update must leave alone, each with the parameter of the form that fills it."""

VPC_ONLY_SERVICES: Final = (
    "sagemaker.api",
    "sagemaker.runtime",
    "servicecatalog",
    "s3",
    "sts",
    "logs",
)
"""Services that Studio without internet access reaches through endpoints only.

The first four are named in "Connect Amazon SageMaker Studio in a VPC to External Resources" (SageMaker developer guide,
studio-updated-and-internet-access); the last two are what notebooks of a project call besides: who am I (sts), and the
logs of jobs (logs).
"""


NO_NETWORK: Final = "none"
"""Stands for ids and ARNs of a network that an account does not have."""

NO_JOB: Final = "_"
"""Stands for a job's name where no job is meant, as in products/shared/training/jobs.py."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A SageMaker domain, as far as its network goes.

    Attributes:
        created: When it was made, in seconds since 1970.
        vpc_only: Whether all its traffic goes through the VPC.
        subnet_ids: Its subnets.
        security_group_ids: Security groups of its apps.
    """

    created: float
    vpc_only: bool
    subnet_ids: Sequence[str]
    security_group_ids: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Vpc:
    """A VPC as EC2 describes it."""

    id: str
    tenancy: str
    dns_support: bool
    dns_hostnames: bool


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet as EC2 describes it, with the target of its default route.

    Attributes:
        id: E.g. ``subnet-0a1b``.
        vpc_id: VPC that it belongs to.
        zone: Availability zone.
        route_table_id: Route table that applies to it.
        default_route: Target of 0.0.0.0/0, e.g. ``nat-0a1b``; None when there is no such route.
    """

    id: str
    vpc_id: str
    zone: str
    route_table_id: str
    default_route: str | None


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A VPC endpoint.

    Attributes:
        service: Name of the service without prefix and region, e.g. ``sagemaker.api``.
        route_table_ids: Route tables of a gateway endpoint; empty for an interface endpoint.
        is_gateway: Whether it works through route tables.
    """

    service: str
    is_gateway: bool
    route_table_ids: Collection[str] = field(default_factory=frozenset)


def baseline_problems(has: str, needed: str) -> list[str]:
    """Return whether the account's baseline is older than the one that a product needs.

    Args:
        has: Its version, e.g. ``1.1.0``.
        needed: The least version; empty for any.
    """
    if not needed or _numbers(has) >= _numbers(needed):
        return []
    cause = f"This version needs baseline {needed} or later, and this account has {has}"
    remedy = "ask the platform team to run the pipeline ml-platform-catalog, which rolls baselines out"
    return [f"{cause}: {remedy} (`portfolio preflight` lists accounts that it has not reached), then try again."]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split("-", maxsplit=1)[0].split(".")]


def fixed_problems(former: Mapping[str, object], wanted: Mapping[str, object]) -> list[str]:
    """Return which values an update would change although everything that they name would be replaced.

    Args:
        former: Properties before the update.
        wanted: Properties after it.
    """
    return [
        f"{parameter} is {former[name]!r} and cannot become {wanted.get(name)!r}, because what it names would be "
        f"replaced and its contents lost: keep {former[name]!r}, or launch the product once more."
        for name, parameter in FIXED.items()
        if name in former and former[name] != wanted.get(name)
    ]


def job_domain(domains: Collection[Domain]) -> Domain | None:
    """Return the domain in whose network the jobs of projects have to run: the oldest with `vpc_only`, if any."""
    return min((domain for domain in domains if domain.vpc_only), key=lambda domain: domain.created, default=None)


def job_network(domain: Domain | None, owners: Mapping[str, str], stack_id: str) -> dict[str, str]:
    """Return the attributes that tell a project about the network of its jobs.

    Args:
        domain: The domain whose network it is; None lets jobs run outside of any.
        owners: Account of each subnet and security group of the domain by id.
        stack_id: ARN of the project's stack, which has partition, Region and account.
    """
    _, partition, _, region, account, _ = stack_id.split(":", 5)
    subnets = domain.subnet_ids if domain else [NO_NETWORK]
    groups = domain.security_group_ids if domain else [NO_NETWORK]

    def arns(kind: str, ids: Sequence[str]) -> str:
        return ",".join(f"arn:{partition}:ec2:{region}:{owners.get(id_, account)}:{kind}/{id_}" for id_ in ids)

    return {
        "JobSubnetIds": ",".join(subnets),
        "JobSecurityGroupIds": ",".join(groups),
        "JobSubnetArns": arns("subnet", subnets),
        "JobSecurityGroupArns": arns("security-group", groups),
        "JobsOutsideVpc": NO_JOB if domain else "pipelines-*",
    }


def vpc_problems(vpc_id: str, vpc: Vpc | None) -> list[str]:
    """Return what is wrong with the VPC."""
    if vpc is None:
        return [f"VPC {vpc_id} does not exist in this account and region: choose one that does."]
    problems = []
    if not vpc.dns_support:
        problems.append(f"VPC {vpc_id} has DNS resolution switched off: switch on enableDnsSupport.")
    if not vpc.dns_hostnames:
        problems.append(f"VPC {vpc_id} has DNS hostnames switched off: switch on enableDnsHostnames.")
    if vpc.tenancy == "dedicated":
        problems.append(f"VPC {vpc_id} has dedicated tenancy, which SageMaker does not support: choose another VPC.")
    return problems


def subnet_problems(
    vpc_id: str, subnet_ids: Sequence[str], subnets: Sequence[Subnet], endpoints: Sequence[Endpoint], *, vpc_only: bool
) -> list[str]:
    """Return what is wrong with the subnets.

    Args:
        vpc_id: VPC that they must belong to.
        subnet_ids: Ids asked for.
        subnets: Those that exist.
        endpoints: Endpoints of the VPC.
        vpc_only: Whether all traffic of Studio goes through these subnets.
    """
    if not subnet_ids:
        return ["No subnet is given: choose at least one private subnet, better two in different availability zones."]
    found = {subnet.id for subnet in subnets}
    problems = [
        f"Subnet {subnet_id} does not exist in this account and region: choose one that does."
        for subnet_id in subnet_ids
        if subnet_id not in found
    ]
    problems += [
        f"Subnet {subnet.id} belongs to VPC {subnet.vpc_id}, not to {vpc_id}: choose subnets of one VPC."
        for subnet in subnets
        if subnet.vpc_id != vpc_id
    ]
    if vpc_only:
        for subnet in subnets:
            problems += _reachability_problems(subnet, endpoints)
    return problems


def subnet_warnings(subnets: Sequence[Subnet]) -> list[str]:
    """Return what is allowed but unwise about the subnets; CloudFormation shows no warnings, so they go to the log."""
    zones = {subnet.zone for subnet in subnets}
    return [f"all subnets are in {zones.pop()}: Studio is unavailable when that zone is"] if len(zones) == 1 else []


def _reachability_problems(subnet: Subnet, endpoints: Sequence[Endpoint]) -> list[str]:
    target = subnet.default_route
    if target is not None and target.startswith("igw-"):
        return [
            (
                f"Subnet {subnet.id} is public (its default route goes to {target}), which SageMaker does not "
                f"allow in VPC-only "
                f"mode: choose private subnets."
            )
        ]
    if target is not None:
        return []  # a NAT gateway, transit gateway or firewall: the network's owner decides what it lets through
    reached = {
        endpoint.service
        for endpoint in endpoints
        if not endpoint.is_gateway or subnet.route_table_id in endpoint.route_table_ids
    }
    missing = [service for service in VPC_ONLY_SERVICES if service not in reached]
    if not missing:
        return []
    return [
        (
            f"Subnet {subnet.id} has no way to {', '.join(missing)}: add VPC endpoints for these services, or a "
            f"default route to "
            f"a NAT gateway."
        )
    ]


def identity_center_problems(auth_mode: str, instances: int) -> list[str]:
    """Return what stands against the sign-in mode."""
    if auth_mode == "SSO" and instances == 0:
        return [
            (
                "AuthMode is SSO, but IAM Identity Center has no instance in this region that this account can "
                "see: choose IAM, "
                "or launch in the region of the organization's Identity Center."
            )
        ]
    return []


def domain_name_problems(name: str, taken: Collection[str]) -> list[str]:
    """Return whether the name of a new domain is taken."""
    if name.lower() in {other.lower() for other in taken}:
        return [f"A SageMaker domain named {name!r} exists in this account and region: choose another name."]
    return []


def connection_problems(arn: str, status: str | None) -> list[str]:
    """Return what is wrong with a connection; a status of None means that it does not exist."""
    if not CONNECTION_ARN.fullmatch(arn):
        return [
            (
                f"{arn!r} is not the ARN of a CodeConnection: copy it from Developer Tools > Settings > "
                f"Connections of this "
                f"account."
            )
        ]
    if status is None:
        return [f"Connection {arn} does not exist: choose one of Developer Tools > Settings > Connections."]
    if status != "AVAILABLE":
        return [
            (
                f"Connection {arn} is {status}: open Developer Tools > Settings > Connections, choose it, and "
                f"finish the "
                f"handshake with the repository host ('Update pending connection')."
            )
        ]
    return []


def repository_problems(repository: str) -> list[str]:
    """Return whether a repository is not named as ``owner/name``."""
    if not REPOSITORY.fullmatch(repository):
        return [
            (
                f"Repository is {repository!r}: give owner/name as the repository host shows it, without .git, e.g. "
                f"data-science/churn."
            )
        ]
    return []


def data_key_problems(arn: str, *, is_seen: bool) -> list[str]:
    """Return whether the key of a data set cannot be used in this account."""
    if is_seen:
        return []
    owner, cause = arn.split(":")[4], f"Key {arn} does not exist, or its policy does not let this account use it"
    remedy = "allow this account kms:Decrypt and kms:DescribeKey in the policy of the key (docs/governed-data.md)"
    return [f"{cause}: in account {owner} {remedy}."]
