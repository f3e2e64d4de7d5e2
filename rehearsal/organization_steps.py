"""Before anything is deployed: the accounts, their network, the people in them, and what `cdk bootstrap` leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from foundation.organization import PERMISSION_SETS
from pipeline import execution_policy
from products.shared import names
from rehearsal import cloud_assembly
from rehearsal.organization import ACCOUNTS, DEV, GOVERNANCE, HUB, REGION, ROOT, Credentials, hub_context

if TYPE_CHECKING:
    from rehearsal.world import World

_SSO: Final = f"aws-reserved/sso.amazonaws.com/{REGION}/AWSReservedSSO"
LEAD_ROLE: Final = f"{_SSO}_LeadDataScientist_0123456789abcdef"
DATA_SCIENTIST_ROLE: Final = f"{_SSO}_DataScientist_fedcba9876543210"
ML_ENGINEER_ROLE: Final = f"{_SSO}_MLEngineer_13579bdf02468ace"
GOVERNANCE_OFFICER_ROLE: Final = f"{_SSO}_GovernanceOfficer_ace02468bdf13579"
STEWARD_ROLE: Final = f"{_SSO}_DataSteward_2468ace13579bdf0"


def start_organization(world: World) -> str:
    """Begin the synthesis, start the accounts while it runs, and vend what the platform expects of an account."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    environment |= {
        "CDK_OUTDIR": str(world.assembly),
        "CDK_CONTEXT_JSON": json.dumps({"hub": hub_context(world.regions)}),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}",
    }
    with (world.work / "synth.log").open("w", encoding="utf-8") as log:
        world.synth = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
            process_group=0,
        )
    world.organization.__enter__()
    _vend_network(world)
    _vend_people(world)
    _bootstrap_hub(world)
    return f"{len(ACCOUNTS) - 1} accounts and the management account on {world.organization.endpoint}, IAM enforced"


def _vend_network(world: World) -> None:
    """Create the VPC of the dev account and publish it where the contract says, as the owner of the network does."""
    owner = Credentials.administrator(DEV)
    ec2 = world.client("ec2", owner)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        ec2.modify_vpc_attribute(VpcId=vpc, **{attribute: {"Value": True}})
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]
    gateway = ec2.create_nat_gateway(SubnetId=subnets[0], ConnectivityType="private")["NatGateway"]["NatGatewayId"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    ec2.create_route(RouteTableId=tables[0]["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway)
    ssm = world.client("ssm", owner)
    ssm.put_parameter(Name=names.VPC_ID_PARAMETER, Type="String", Value=vpc)
    ssm.put_parameter(Name=names.SUBNET_IDS_PARAMETER, Type="StringList", Value=",".join(subnets))


def _vend_people(world: World) -> None:
    """Create the roles that Identity Center would create for the permission sets of people, and sign them in."""
    world.lead = _vend_person(world, DEV, LEAD_ROLE, "lead-data-scientist", session="lena")
    _vend_person(world, DEV, DATA_SCIENTIST_ROLE, "data-scientist", session="dan")
    world.ml_engineer = _vend_person(world, HUB, ML_ENGINEER_ROLE, "ml-engineer", session="mira")
    world.steward = _vend_person(world, GOVERNANCE, STEWARD_ROLE, "data-steward", session="stella")
    world.governance_officer = _vend_person(world, HUB, GOVERNANCE_OFFICER_ROLE, "governance-officer", session="gustav")


def _vend_person(world: World, account: str, role: str, permission_set: str, *, session: str) -> Credentials:
    owner = Credentials.administrator(account)
    iam = world.client("iam", owner)
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    path, name = role.rsplit("/", 1)
    iam.create_role(Path=f"/{path}/", RoleName=name, AssumeRolePolicyDocument=document)
    policy = (PERMISSION_SETS / f"{permission_set}.json").read_text(encoding="utf-8")
    iam.put_role_policy(RoleName=name, PolicyName="PermissionSet", PolicyDocument=policy)
    return world.organization.assume(account, role, session=session, caller=owner)


def _bootstrap_hub(world: World) -> None:
    """Leave what `cdk bootstrap` leaves in each region: bucket, version parameter, and CloudFormation's role."""
    administrator = Credentials.administrator(HUB)
    iam = world.client("iam", administrator)
    policies = [
        iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(policy, separators=(",", ":")))["Policy"]["Arn"]
        for name, policy in execution_policy.policies(HUB, "aws").items()
    ]
    trust = {"Effect": "Allow", "Principal": {"Service": "cloudformation.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    qualifier = cloud_assembly.BOOTSTRAP_QUALIFIER
    for region in world.regions:
        world.client("s3", administrator, region=region).create_bucket(
            Bucket=f"cdk-{qualifier}-assets-{HUB}-{region}",
            CreateBucketConfiguration={"LocationConstraint": region},
        )
        version = f"/cdk-bootstrap/{qualifier}/version"
        world.client("ssm", administrator, region=region).put_parameter(Name=version, Type="String", Value="30")
        name = cloud_assembly.execution_role_arn(region).rsplit("/", 1)[1]
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        for arn in policies:
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
