"""Custom::Preflight: every problem of a launch in one answer, in words that say what to do."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from lambdas.preflight import handler
from lambdas.preflight.account import Account
from lambdas.preflight.core import (
    CHECKS,
    NO_JOB,
    VPC_ONLY_SERVICES,
    Endpoint,
    Subnet,
    Vpc,
    subnet_problems,
    vpc_problems,
)
from tests.lambdas.aws import answering, client_error
from tests.lambdas.cloudformation import AnswerBox, Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lambdas.aws import Answers

TYPE = "Custom::Preflight"
CONNECTION = "arn:aws:codeconnections:eu-west-1:111122223333:connection/0a1b2c3d-0000-4000-8000-000000000001"
PROPERTIES = {
    "Checks": [name for name in CHECKS if name not in ("job-network", "data", "data-key")],
    "VpcId": "vpc-1",
    "SubnetIds": ["subnet-a", "subnet-b"],
    "AuthMode": "SSO",
    "DomainName": "team-a",
    "ConnectionArn": CONNECTION,
    "Repository": "data-science/churn",
    "ProjectName": "churn",
    "ProjectId": "p-abc",
}


@pytest.mark.parametrize(
    ("has", "needed", "refused"),
    [("1.1.0", "", False), ("1.1.0", "1.1.0", False), ("1.10.0", "1.9.1", False), ("1.1.0", "1.2.0", True)],
)
def test_a_baseline_that_is_too_old_is_named_with_the_pipeline_that_renews_it(
    box: AnswerBox, has: str, needed: str, *, refused: bool
) -> None:
    properties = {"Checks": [], "BaselineVersion": has, "BaselineNeeded": needed}
    handler.lambda_handler(box.event("Create", TYPE, properties), Context())
    assert (box.only["Status"] == "FAILED") is refused
    if refused:
        assert f"needs baseline {needed} or later, and this account has {has}: ask the platform" in box.only["Reason"]
        assert "ml-platform-catalog" in box.only["Reason"]


def stack(status: str) -> dict[str, Any]:
    return {"cloudformation:DescribeStacks": {"Stacks": [{"StackStatus": status}]}}


def good_account() -> dict[str, Any]:
    """Answers of an account in which everything is right; network traffic goes through a NAT gateway."""
    subnet = {"VpcId": "vpc-1"}
    return {
        "ec2:DescribeVpcs": {"Vpcs": [{"VpcId": "vpc-1", "InstanceTenancy": "default"}]},
        "ec2:DescribeVpcAttribute": {"EnableDnsSupport": {"Value": True}, "EnableDnsHostnames": {"Value": True}},
        "ec2:DescribeSubnets": {
            "Subnets": [
                {"SubnetId": "subnet-a", "AvailabilityZone": "eu-west-1a", **subnet},
                {"SubnetId": "subnet-b", "AvailabilityZone": "eu-west-1b", **subnet},
            ]
        },
        "ec2:DescribeRouteTables": {
            "RouteTables": [
                {
                    "RouteTableId": "rtb-1",
                    "VpcId": "vpc-1",
                    "Associations": [{"Main": True}],
                    "Routes": [
                        {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"},
                        {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"},
                    ],
                }
            ]
        },
        "ec2:DescribeVpcEndpoints": {"VpcEndpoints": []},
        "sso-admin:ListInstances": {"Instances": [{"InstanceArn": "arn:aws:sso:::instance/ssoins-1"}]},
        "sagemaker:ListDomains": {"Domains": [{"DomainName": "team-b"}]},
        "codeconnections:GetConnection": {"Connection": {"ConnectionStatus": "AVAILABLE"}},
    }


def check(box: AnswerBox, answers: Answers, kind: str = "Create", **properties: Any) -> str:  # noqa: ANN401
    with answering({**stack("UPDATE_IN_PROGRESS"), **answers}):
        event = box.event(kind, TYPE, PROPERTIES | properties, old_properties=PROPERTIES)
        handler.lambda_handler(event, Context())
    return str(box.only.get("Reason", box.only["Status"]))


def test_an_account_in_which_all_is_right_passes(box: AnswerBox) -> None:
    assert check(box, good_account()) == "SUCCESS"


def test_all_problems_are_told_in_one_answer(box: AnswerBox) -> None:
    wrong = good_account() | {
        "ec2:DescribeVpcs": {"Vpcs": []},
        "ec2:DescribeSubnets": {"Subnets": []},
        "sso-admin:ListInstances": {"Instances": []},
        "sagemaker:ListDomains": {"Domains": [{"DomainName": "Team-A"}]},
        "codeconnections:GetConnection": {"Connection": {"ConnectionStatus": "PENDING"}},
    }
    reason = check(box, wrong, Repository="churn")
    assert box.only["Status"] == "FAILED"
    assert reason.startswith("7 problems to solve before the launch.")
    for part in (
        "VPC vpc-1 does not exist",
        "Subnet subnet-a does not exist",
        "Subnet subnet-b does not exist",
        "AuthMode is SSO",
        "domain named 'team-a' exists",
        "is PENDING",
        "Repository is 'churn'",
    ):
        assert part in reason


def test_only_the_checks_that_are_asked_for_are_made(box: AnswerBox) -> None:
    assert check(box, {}, Checks=["repository"]) == "SUCCESS"


def test_an_unknown_check_is_refused_rather_than_skipped(box: AnswerBox) -> None:
    assert "does not know the checks quota; it knows vpc, subnets" in check(box, {}, Checks=["quota"])


# ---- the network of jobs --------------------------------------------------------------------------------------------


def domains(*found: dict[str, Any]) -> dict[str, Any]:
    """Answers of an account with domains, of which each call describes one."""
    described = {f"d-{number}": domain for number, domain in enumerate(found)}
    owners = {"subnet-1": "111122223333", "subnet-shared": "999988887777"}
    return {
        "sagemaker:ListDomains": {"Domains": [{"DomainId": domain} for domain in described]},
        "sagemaker:DescribeDomain": lambda request: described[request["DomainId"]],
        "ec2:DescribeSubnets": lambda request: {
            "Subnets": [{"SubnetId": s, "OwnerId": owners[s]} for s in request["Filters"][0]["Values"]]
        },
        "ec2:DescribeSecurityGroups": {"SecurityGroups": [{"GroupId": "sg-1", "OwnerId": "111122223333"}]},
    }


def domain(created: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "CreationTime": datetime.datetime.fromtimestamp(created, datetime.UTC),
        "AppNetworkAccessType": "VpcOnly",
        "SubnetIds": ["subnet-1", "subnet-shared"],
        "DefaultUserSettings": {"SecurityGroups": ["sg-1"]},
        "Status": "InService",
        **changes,
    }


OPEN = {
    "JobSubnetIds": "none",
    "JobSecurityGroupIds": "none",
    "JobSubnetArns": "arn:aws:ec2:eu-west-1:111122223333:subnet/none",
    "JobSecurityGroupArns": "arn:aws:ec2:eu-west-1:111122223333:security-group/none",
    "JobsOutsideVpc": "pipelines-*",
}


@pytest.mark.parametrize("kind", ["Create", "Update"])
@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"])
def test_a_project_is_told_the_network_of_the_oldest_vpc_only_domain(box: AnswerBox, kind: str, status: str) -> None:
    others = (domain(3, SubnetIds=["subnet-1"]), domain(1, AppNetworkAccessType="PublicInternetOnly"))
    answers = domains(*others, domain(2), domain(0, Status="Deleting")) | stack(status)
    assert check(box, answers, kind, Checks=["job-network"]) == "SUCCESS"
    assert box.only["Data"] == {
        "JobSubnetIds": "subnet-1,subnet-shared",
        "JobSecurityGroupIds": "sg-1",
        "JobSubnetArns": "arn:aws:ec2:eu-west-1:111122223333:subnet/subnet-1,"
        "arn:aws:ec2:eu-west-1:999988887777:subnet/subnet-shared",
        "JobSecurityGroupArns": "arn:aws:ec2:eu-west-1:111122223333:security-group/sg-1",
        "JobsOutsideVpc": NO_JOB,
    }


@pytest.mark.parametrize("found", [[], [domain(1, AppNetworkAccessType="PublicInternetOnly")]])
def test_without_a_vpc_only_domain_jobs_need_no_network(box: AnswerBox, found: list[dict[str, Any]]) -> None:
    assert check(box, domains(*found), Checks=["job-network"]) == "SUCCESS"
    assert box.only["Data"] == OPEN


def test_the_largest_network_fits_into_an_answer(box: AnswerBox) -> None:
    subnets, groups = (
        [f"{kind}-{number:017}" for number in range(count)] for kind, count in (("subnet", 16), ("sg", 5))
    )
    answers = domains(domain(1, SubnetIds=subnets, DefaultUserSettings={"SecurityGroups": groups})) | {
        "ec2:DescribeSubnets": {"Subnets": []},
        "ec2:DescribeSecurityGroups": {"SecurityGroups": []},
    }
    assert check(box, answers, Checks=["job-network"]) == "SUCCESS"


# ---- single checks --------------------------------------------------------------------------------------------------


def test_iam_sign_in_needs_no_identity_center(box: AnswerBox) -> None:
    assert check(box, {}, Checks=["identity-center"], AuthMode="IAM") == "SUCCESS"


def test_a_domain_may_keep_its_own_name_when_it_is_updated(box: AnswerBox) -> None:
    assert check(box, {}, "Update", Checks=["domain-name"]) == "SUCCESS"


def test_the_names_of_all_domains_are_looked_at(box: AnswerBox) -> None:
    pages: Iterator[dict[str, Any]] = iter([{"Domains": [], "NextToken": "1"}, {"Domains": [{"DomainName": "team-a"}]}])
    answers: Answers = {"sagemaker:ListDomains": lambda _: next(pages)}
    assert "'team-a' exists" in check(box, answers, Checks=["domain-name"])


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("DomainName", "DomainName", "team-b"),
        ("AuthMode", "AuthMode", "IAM"),
        ("ProjectName", "SageMakerProjectName", "fraud"),
        ("ProjectId", "SageMakerProjectId", "p-def"),
    ],
)
def test_an_update_that_would_replace_what_people_work_in_is_refused(
    box: AnswerBox, name: str, parameter: str, value: str
) -> None:
    reason = check(box, {}, "Update", Checks=["repository"], **{name: value})
    assert f"{parameter} is {PROPERTIES[name]!r} and cannot become {value!r}" in reason


def test_an_update_from_a_version_that_did_not_tell_its_names_is_not_held_up(box: AnswerBox) -> None:
    former = {"Checks": ["repository"], "Repository": "data-science/churn"}
    with answering(stack("UPDATE_IN_PROGRESS")):
        event = box.event("Update", TYPE, PROPERTIES | {"Checks": ["repository"]}, old_properties=former)
        handler.lambda_handler(event, Context())
    assert box.only["Status"] == "SUCCESS"


def test_the_way_back_after_a_failed_update_is_not_checked_so_that_the_stack_is_not_stuck(box: AnswerBox) -> None:
    assert check(box, stack("UPDATE_ROLLBACK_IN_PROGRESS"), "Update", DomainName="team-b") == "SUCCESS"


def test_without_the_status_of_the_stack_an_update_is_checked(box: AnswerBox) -> None:
    answers: Answers = {"cloudformation:DescribeStacks": client_error("Throttling")}
    assert "cannot become 'p-def'" in check(box, answers, "Update", Checks=["repository"], ProjectId="p-def")
    box.answers.clear()
    assert check(box, answers, "Update", Checks=["repository"]) == "SUCCESS"


@pytest.mark.parametrize(
    ("arn", "answer", "told"),
    [
        ("arn:aws:s3:::x", {}, "is not the ARN of a CodeConnection"),
        (CONNECTION, client_error("ResourceNotFoundException"), "does not exist"),
        (CONNECTION, {"Connection": {"ConnectionStatus": "ERROR"}}, "is ERROR"),
    ],
)
def test_a_connection_that_cannot_be_used_is_told(
    box: AnswerBox, arn: str, answer: dict[str, Any] | Exception, told: str
) -> None:
    answers: Answers = {"codeconnections:GetConnection": answer}
    assert told in check(box, answers, Checks=["connection"], ConnectionArn=arn)


def test_deletion_asks_nothing(box: AnswerBox) -> None:
    assert check(box, {}, "Delete") == "SUCCESS"


@pytest.mark.parametrize("index", range(9))
def test_whichever_call_fails_the_answer_names_the_check_and_all_others_are_made(box: AnswerBox, index: int) -> None:
    with answering(good_account(), failing=index) as calls:
        handler.lambda_handler(box.event("Create", TYPE, PROPERTIES), Context())
    assert box.only["Status"] == "FAILED"
    assert box.only["Reason"].startswith("1 problem to solve before the launch. The check '")
    assert calls.operations[-1] == "codeconnections:GetConnection", "the last check is made as well"


# ---- what is right about a network ----


def vpc(**changes: Any) -> Vpc:  # noqa: ANN401 - fields of Vpc
    values: dict[str, Any] = {"id": "vpc-1", "tenancy": "default", "dns_support": True, "dns_hostnames": True}
    return Vpc(**values | changes)


def subnet(**changes: Any) -> Subnet:  # noqa: ANN401 - fields of Subnet
    values: dict[str, Any] = {
        "id": "subnet-a",
        "vpc_id": "vpc-1",
        "zone": "eu-west-1a",
        "route_table_id": "rtb-1",
        "default_route": None,
    }
    return Subnet(**values | changes)


def problems_of(one: Subnet, *endpoints: Endpoint, vpc_only: bool = True) -> list[str]:
    return subnet_problems("vpc-1", [one.id], [one], endpoints, vpc_only=vpc_only)


ALL_ENDPOINTS = [
    Endpoint(service=s, is_gateway=s == "s3", route_table_ids={"rtb-1"} if s == "s3" else set())
    for s in VPC_ONLY_SERVICES
]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dns_support": False}, "switch on enableDnsSupport"),
        ({"dns_hostnames": False}, "switch on enableDnsHostnames"),
        ({"tenancy": "dedicated"}, "dedicated tenancy"),
    ],
)
def test_a_vpc_that_studio_cannot_use_is_told(changes: dict[str, Any], told: str) -> None:
    (problem,) = vpc_problems("vpc-1", vpc(**changes))
    assert told in problem


def test_a_subnet_with_all_endpoints_or_a_nat_route_is_fine() -> None:
    assert problems_of(subnet(), *ALL_ENDPOINTS) == []
    assert problems_of(subnet(default_route="nat-1")) == []
    assert problems_of(subnet(default_route="tgw-1")) == []


def test_the_missing_endpoints_are_listed() -> None:
    without = [endpoint for endpoint in ALL_ENDPOINTS if endpoint.service not in ("sagemaker.api", "sts")]
    (problem,) = problems_of(subnet(), *without)
    assert "no way to sagemaker.api, sts:" in problem


def test_a_gateway_endpoint_of_another_route_table_does_not_count() -> None:
    (problem,) = problems_of(subnet(route_table_id="rtb-2"), *ALL_ENDPOINTS)
    assert "no way to s3:" in problem


def test_a_public_subnet_is_refused_in_vpc_only_mode_and_only_there() -> None:
    (problem,) = problems_of(subnet(default_route="igw-1"), *ALL_ENDPOINTS)
    assert "is public" in problem
    assert problems_of(subnet(default_route="igw-1"), vpc_only=False) == []


def test_a_subnet_of_another_vpc_is_told() -> None:
    (problem,) = problems_of(subnet(vpc_id="vpc-2", default_route="nat-1"))
    assert "belongs to VPC vpc-2, not to vpc-1" in problem


def test_no_subnet_at_all_is_told() -> None:
    (problem,) = subnet_problems("vpc-1", [], [], [], vpc_only=True)
    assert "No subnet is given" in problem


def test_one_zone_only_is_a_warning_in_the_log(box: AnswerBox, caplog: pytest.LogCaptureFixture) -> None:
    answers = good_account()
    answers["ec2:DescribeSubnets"]["Subnets"].pop()
    assert check(box, answers, Checks=["subnets"], SubnetIds=["subnet-a"], NetworkAccess="VpcOnly") == "SUCCESS"
    assert "all subnets are in eu-west-1a" in caplog.text


# ---- what the account says, against an emulated EC2 ----


@pytest.fixture
def ec2() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("ec2")


def test_a_vpc_is_read_with_its_dns_settings(ec2: Any) -> None:  # noqa: ANN401 - a client of boto3
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    assert Account().vpc(vpc_id) == vpc(id=vpc_id)
    assert Account().vpc("vpc-0123") is None


def test_subnets_are_read_with_the_route_that_applies_to_them(ec2: Any) -> None:  # noqa: ANN401
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    plain = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    public = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=public)
    found = {s.id: s for s in Account().subnets([plain, public, "subnet-0123"])}
    assert set(found) == {plain, public}
    assert found[plain].default_route is None, "the main table, which has no default route"
    assert (found[public].default_route, found[public].route_table_id) == (gateway, table)
    assert Account().subnets(["subnet-0123"]) == []


def test_endpoints_are_read_by_the_name_of_their_service(ec2: Any) -> None:  # noqa: ANN401
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.create_vpc_endpoint(
        VpcId=vpc_id,
        ServiceName="com.amazonaws.eu-west-1.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[table],
    )
    ec2.create_vpc_endpoint(
        VpcId=vpc_id, ServiceName="com.amazonaws.eu-west-1.sagemaker.api", VpcEndpointType="Interface"
    )
    found = {endpoint.service: endpoint for endpoint in Account().endpoints(vpc_id)}
    assert set(found) == {"s3", "sagemaker.api"}
    assert found["s3"].is_gateway
    assert table in found["s3"].route_table_ids
    assert not found["sagemaker.api"].is_gateway
