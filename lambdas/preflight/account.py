"""CloudFormation, EC2, SageMaker, IAM Identity Center and CodeConnections: what an account has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from lambdas.preflight.core import Domain, Endpoint, Subnet, Vpc
from lambdas.preflight.environment import PreflightEnvironment
from lambdas.shared.clients import CONFIG
from lambdas.shared.custom_resource import CustomResourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Account:
    """The account and region in which the function runs."""

    def rolls_back(self, stack_id: str) -> bool:
        """Return whether a stack is on its way back to what it was before an update."""
        stacks = boto3.client("cloudformation", config=CONFIG).describe_stacks(StackName=stack_id)["Stacks"]
        return "ROLLBACK" in stacks[0]["StackStatus"]

    def vpc(self, vpc_id: str) -> Vpc | None:
        """Describe a VPC; None when it does not exist."""
        ec2 = boto3.client("ec2", config=CONFIG)
        # A filter instead of an id: EC2 then answers with an empty list instead of an error.
        found = ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["Vpcs"]
        if not found:
            return None
        support = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsSupport")["EnableDnsSupport"]
        hostnames = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsHostnames")["EnableDnsHostnames"]
        return Vpc(
            id=vpc_id,
            tenancy=found[0].get("InstanceTenancy", "default"),
            dns_support=support["Value"],
            dns_hostnames=hostnames["Value"],
        )

    def subnets(self, subnet_ids: Sequence[str]) -> list[Subnet]:
        """Describe those subnets that exist, with their default routes."""
        ec2 = boto3.client("ec2", config=CONFIG)
        filters = [{"Name": "subnet-id", "Values": list(subnet_ids)}]
        found = ec2.describe_subnets(Filters=filters)["Subnets"]
        vpc_ids = sorted({subnet["VpcId"] for subnet in found})
        if not vpc_ids:
            return []
        pages = ec2.get_paginator("describe_route_tables").paginate(Filters=[{"Name": "vpc-id", "Values": vpc_ids}])
        tables = [table for page in pages for table in page["RouteTables"]]
        return [_subnet(subnet, tables) for subnet in found]

    def endpoints(self, vpc_id: str) -> list[Endpoint]:
        """Return the endpoints of a VPC that are in use."""
        ec2 = boto3.client("ec2", config=CONFIG)
        pages = ec2.get_paginator("describe_vpc_endpoints").paginate(
            Filters=[{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "vpc-endpoint-state", "Values": ["available"]}]
        )
        region = ec2.meta.region_name
        return [
            Endpoint(
                # com.amazonaws.<region>.<service>, with cn. in front in China
                service=endpoint["ServiceName"].partition(f".{region}.")[2],
                is_gateway=endpoint["VpcEndpointType"] == "Gateway",
                route_table_ids=frozenset(endpoint.get("RouteTableIds", [])),
            )
            for page in pages
            for endpoint in page["VpcEndpoints"]
        ]

    def identity_center_instances(self) -> int:
        """Return how many instances of IAM Identity Center the account sees in this region."""
        pages = boto3.client("sso-admin", config=CONFIG).get_paginator("list_instances").paginate()
        return sum(len(page["Instances"]) for page in pages)

    def domain_names(self) -> set[str]:
        """Return the names of the SageMaker domains."""
        pages = boto3.client("sagemaker", config=CONFIG).get_paginator("list_domains").paginate()
        return {domain["DomainName"] for page in pages for domain in page["Domains"]}

    def domains(self) -> list[Domain]:
        """Return the networks of the SageMaker domains that are not on their way out."""
        sagemaker = boto3.client("sagemaker", config=CONFIG)
        pages = sagemaker.get_paginator("list_domains").paginate()
        listed = [domain for page in pages for domain in page["Domains"]]
        found = [sagemaker.describe_domain(DomainId=domain["DomainId"]) for domain in listed]
        return [
            Domain(
                created=domain["CreationTime"].timestamp(),
                vpc_only=domain["AppNetworkAccessType"] == "VpcOnly",
                subnet_ids=domain["SubnetIds"],
                security_group_ids=domain["DefaultUserSettings"].get("SecurityGroups", []),
            )
            for domain in found
            if domain["Status"] not in ("Deleting", "Failed", "Delete_Failed")
        ]

    def owners(self, domain: Domain) -> dict[str, str]:
        """Return the account of each subnet and security group of a domain by id: a shared subnet has another one."""
        ec2 = boto3.client("ec2", config=CONFIG)
        subnets = ec2.describe_subnets(Filters=[{"Name": "subnet-id", "Values": list(domain.subnet_ids)}])["Subnets"]
        filters = [{"Name": "group-id", "Values": list(domain.security_group_ids)}]
        groups = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        return {
            **{subnet["SubnetId"]: str(subnet["OwnerId"]) for subnet in subnets},
            **{group["GroupId"]: str(group["OwnerId"]) for group in groups},
        }

    def data(self, wanted: Mapping[str, object]) -> dict[str, Any]:
        """Return what the data lake administrator of the account sees of some data: where they are, and problems.

        Raises:
            CustomResourceError: The administrator's function failed.
        """
        answer = boto3.client("lambda", config=CONFIG).invoke(
            FunctionName=PreflightEnvironment.read().data_function, Payload=json.dumps({"Look": wanted}).encode()
        )
        payload = answer["Payload"].read()
        if "FunctionError" in answer:
            raise CustomResourceError(
                f"What is shared with this account could not be seen: {payload.decode(errors='replace')[:500]}"
            )
        seen: dict[str, Any] = json.loads(payload)
        return seen

    def key_is_seen(self, arn: str) -> bool:
        """Return whether a key exists and lets this account describe it."""
        try:
            boto3.client("kms", config=CONFIG).describe_key(KeyId=arn)
        except ClientError as err:
            if err.response["Error"]["Code"] not in ("AccessDeniedException", "NotFoundException"):
                raise
            return False
        return True

    def connection_status(self, arn: str) -> str | None:
        """Return the status of a CodeConnection, or None when it does not exist."""
        try:
            connection = boto3.client("codeconnections", config=CONFIG).get_connection(ConnectionArn=arn)["Connection"]
        except ClientError as err:
            if err.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return None
        return str(connection["ConnectionStatus"])


def _subnet(subnet: dict[str, Any], tables: list[dict[str, Any]]) -> Subnet:
    own = [t for t in tables if any(a.get("SubnetId") == subnet["SubnetId"] for a in t["Associations"])]
    main = [
        t for t in tables if t["VpcId"] == subnet["VpcId"] and any(a.get("Main") is True for a in t["Associations"])
    ]
    table = (own or main)[0]  # a subnet without a table of its own uses the main one, which every VPC has
    return Subnet(
        id=subnet["SubnetId"],
        vpc_id=subnet["VpcId"],
        zone=subnet["AvailabilityZone"],
        route_table_id=table["RouteTableId"],
        default_route=_default_route(table),
    )


def _default_route(table: dict[str, Any]) -> str | None:
    targets = (
        "NatGatewayId",
        "TransitGatewayId",
        "GatewayId",
        "NetworkInterfaceId",
        "InstanceId",
        "VpcPeeringConnectionId",
        "CoreNetworkArn",
    )
    for route in table["Routes"]:
        if route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State") == "active":
            return next((str(route[target]) for target in targets if route.get(target)), None)
    return None
