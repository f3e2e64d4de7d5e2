"""`portfolio preflight`: what an account lacks, asked through real clients whose requests botocore checks."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from foundation.settings import SAMPLE, HubSettings
from pipeline import cli
from pipeline.execution_policy import documents
from pipeline.preflight import CHECKS, Account, Finding, Problem, examine, kind_of
from portfolios.catalog import PORTFOLIOS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.preflight.checking import Kind

Client = Any  # boto3 makes the classes of its clients and models at run time

HUB, DEV, TEST = "210987654321", "222222222222", "333333333333"
REGION = "eu-west-1"
WORKLOADS, DEPLOYMENT = "ou-abcd-workloads1", "ou-abcd-deployment1"
CONNECTION = f"arn:aws:codeconnections:{REGION}:{HUB}:connection/1"
SETTINGS = HubSettings.parse(
    {
        **SAMPLE,
        "account_id": HUB,
        "organization_id": "o-1234567890",
        "root_id": "r-abcd",
        "workloads_ou_id": WORKLOADS,
        "workloads_ou_path": f"o-1234567890/r-abcd/{WORKLOADS}/",
        "deployment_ou_id": DEPLOYMENT,
        "deployment_account_ids": [TEST],
        "source": {"provider": "GitHub", "repository": "acme/catalog", "branch": "main"},
        "connection_arn": CONNECTION,
        "principals": {"ml-deployment": ["aws-reserved/sso.amazonaws.com/*AWSReservedSSO_MLEngineer_*"]},
        "notification_emails": ["platform@acme.test"],
        "support": {"email": "platform@acme.test", "url": "https://acme.test/ml"},
    }
)
BOOTSTRAP = "cdk-hnb659fds-cfn-exec-role"
POLICIES = {f"ml-platform-hub-execution-{n}": d for n, d in enumerate(documents(HUB, "aws"), start=1)}


def _parameters(account: str) -> dict[str, str]:
    return {
        "/cdk-bootstrap/hnb659fds/version": "30",
        "/ml-platform/v1/hub-account-id": HUB,
        "/ml-platform/v1/artifact-bucket": f"ml-platform-artifacts-{HUB}-{REGION}",
        "/ml-platform/v1/boundary-arn": f"arn:aws:iam::{account}:policy/ml-platform-boundary",
        "/ml-platform/v1/connection-arn": CONNECTION,
        "/ml-platform/network/vpc-id": "vpc-1",
        "/ml-platform/network/subnet-ids": "subnet-1,subnet-2",
    }


@cache
def _client(service: str, region: str) -> Client:
    client = boto3.client(service, region_name=region, aws_access_key_id="a", aws_secret_access_key="b")

    def remember(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        context["asked"] = params

    client.meta.events.register("provide-client-params", remember)
    return client


@dataclass
class World:
    """Answers of AWS by operation, those of accounts in which all is right unless a test changes one.

    Attributes:
        account: The account that is asked.
        parameters: Parameters of Systems Manager.
        answers: Answers to all other operations; an error is raised, a function is given the request.
    """

    account: str
    parameters: dict[str, str] = field(init=False)
    answers: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = _parameters(self.account)
        parents = {WORKLOADS: "r-abcd", DEPLOYMENT: "r-abcd", HUB: "r-abcd"}
        self.answers = {
            "DescribeOrganization": {"Organization": {"Id": "o-1234567890", "FeatureSet": "ALL"}},
            "ListParents": lambda request: {"Parents": [{"Id": parents[request["ChildId"]]}]},
            "ListAccountsForParent": {
                "Accounts": [{"Id": TEST, "State": "ACTIVE"}, {"Id": "9" * 12, "State": "SUSPENDED"}]
            },
            "ListDelegatedAdministrators": {"DelegatedAdministrators": [{"Id": HUB}]},
            "GetAWSOrganizationsAccessStatus": {"AccessStatus": "ENABLED"},
            "DescribeOrganizationsAccess": {"Status": "ENABLED"},
            "GetParameters": lambda request: {
                "Parameters": [
                    {"Name": name, "Value": self.parameters[name]}
                    for name in request["Names"]
                    if name in self.parameters
                ]
            },
            "ListAttachedRolePolicies": {
                "AttachedPolicies": [{"PolicyName": p, "PolicyArn": _policy_arn(p)} for p in POLICIES]
            },
            "GetPolicy": {"Policy": {"DefaultVersionId": "v3"}},
            "GetPolicyVersion": lambda request: {
                "PolicyVersion": {"Document": quote(json.dumps(POLICIES[request["PolicyArn"].rsplit("/", 1)[-1]]))}
            },
            "DescribeStacks": {"Stacks": [{"StackName": "ml-platform-artifacts", "StackStatus": "UPDATE_COMPLETE"}]},
            "ListStackSets": {"Summaries": [{"StackSetName": "ml-platform-baseline"}, {"StackSetName": "other"}]},
            "ListStackInstances": {"Summaries": [{"Account": DEV, "Region": REGION, "Status": "CURRENT"}]},
            "ListConnections": {
                "Connections": [{"ConnectionArn": CONNECTION, "ConnectionName": "x", "ConnectionStatus": "AVAILABLE"}]
            },
            "GetSagemakerServicecatalogPortfolioStatus": {"Status": "Enabled"},
            "ListWorkGroups": {"WorkGroups": [{"Name": "ml-platform-audit"}]},
            "GetWorkGroup": {"WorkGroup": {"Configuration": {"ManagedQueryResultsConfiguration": {"Enabled": True}}}},
            "ListSubscriptions": {"Subscriptions": [_subscription("arn:aws:sns:eu-west-1:1:t:1")]},
            "ListRoles": {
                "Roles": [
                    {"Path": "/", "RoleName": "ml-platform-deploy"},
                    {
                        "Path": "/aws-reserved/sso.amazonaws.com/eu-west-1/",
                        "RoleName": "AWSReservedSSO_MLEngineer_0123456789abcdef",
                    },
                ]
            },
            "ListAcceptedPortfolioShares": {
                "PortfolioDetails": [{"DisplayName": p.title} for p in PORTFOLIOS if p.shared]
            },
            "DescribeSubnets": {"Subnets": [{"SubnetId": f"subnet-{n}", "VpcId": "vpc-1"} for n in (1, 2)]},
            "ListFunctions": {"Functions": [{"FunctionName": "ml-platform-bucket-emptier"}]},
        }

    def client(self, service: str, region: str) -> Client:
        client = _client(service, region)
        client.meta.events.unregister("before-call", unique_id="answer")
        client.meta.events.register("before-call", self._answer, unique_id="answer")
        return client

    def _answer(self, model: Client, context: dict[str, Any], **_: object) -> tuple[Any, Any]:
        answer = copy.deepcopy(self.answers[model.name])  # botocore decodes policies in place
        if isinstance(answer, Exception):
            raise answer
        response = type("Response", (), {"status_code": 200})()
        return response, answer(context["asked"]) if callable(answer) else answer

    def findings(self) -> list[Finding]:
        account = Account(
            kind=kind_of(self.account, SETTINGS),
            id=self.account,
            settings=SETTINGS,
            portfolios=PORTFOLIOS,
            client=self.client,
        )
        return list(examine(account))

    def problems(self) -> list[Problem]:
        return [problem for finding in self.findings() if finding.state == "missing" for problem in finding.problems]


def _policy_arn(name: str) -> str:
    return f"arn:aws:iam::{HUB}:policy/{name}"


def _subscription(arn: str) -> dict[str, str]:
    topic = f"arn:aws:sns:{REGION}:{HUB}:registry-alerts"
    return {"Endpoint": "platform@acme.test", "SubscriptionArn": arn, "TopicArn": topic}


@pytest.mark.parametrize(("account", "kind"), [(HUB, "hub"), (DEV, "workload"), (TEST, "deployment")])
def test_nothing_is_missing_where_all_is_as_it_should_be(account: str, kind: Kind) -> None:
    found = World(account).findings()
    assert {finding.state for finding in found} == {"ok"}
    assert {finding.title for finding in found} == {check.title for check in CHECKS if kind in check.kinds}


def _denied(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}, operation)


def _set(operation: str, answer: object) -> Callable[[World], None]:
    return lambda world: world.answers.update({operation: answer})


def _stack(name: str, state: str) -> Callable[[World], None]:
    return _set("DescribeStacks", {"Stacks": [{"StackName": name, "StackStatus": state}]})


def _connection(arn: str, name: str, status: str) -> Callable[[World], None]:
    return _set(
        "ListConnections",
        {"Connections": [{"ConnectionArn": arn, "ConnectionName": name, "ConnectionStatus": status}]},
    )


def _without(*names: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        for name in names:
            del world.parameters[name]

    return change


def _inside(unit: str) -> Callable[[World], None]:
    def parents(request: dict[str, Any]) -> dict[str, Any]:
        return {"Parents": [{"Id": unit if request["ChildId"] == HUB else "r-abcd"}]}

    return _set("ListParents", parents)


BROKEN: dict[str, tuple[str, Callable[[World], None], str, str]] = {
    "another organisation": (
        HUB,
        _set("DescribeOrganization", {"Organization": {"Id": "o-other", "FeatureSet": "ALL"}}),
        "belongs to o-other",
        '"organization_id": "o-other"',
    ),
    "consolidated billing only": (
        HUB,
        _set("DescribeOrganization", {"Organization": {"Id": "o-1234567890", "FeatureSet": "CONSOLIDATED_BILLING"}}),
        "CONSOLIDATED_BILLING",
        "aws organizations enable-all-features",
    ),
    "no organisation access of the catalog": (
        HUB,
        _set("GetAWSOrganizationsAccessStatus", {"AccessStatus": "DISABLED"}),
        "is DISABLED",
        "aws servicecatalog enable-aws-organizations-access",
    ),
    "no organisation access of StackSets": (
        HUB,
        _set("DescribeOrganizationsAccess", {"Status": "DISABLED"}),
        "is DISABLED",
        "aws cloudformation activate-organizations-access",
    ),
    "no delegation": (
        HUB,
        _set("ListDelegatedAdministrators", {"DelegatedAdministrators": []}),
        "not a delegated administrator of servicecatalog",
        "--service-principal servicecatalog.amazonaws.com",
    ),
    "a unit elsewhere": (
        HUB,
        _set(
            "ListParents",
            lambda request: {"Parents": [{"Id": {WORKLOADS: "ou-abcd-above0000"}.get(request["ChildId"], "r-abcd")}]},
        ),
        f"path is o-1234567890/r-abcd/ou-abcd-above0000/{WORKLOADS}/",
        "workloads_ou_path",
    ),
    "the hub in a unit": (
        HUB,
        _inside(DEPLOYMENT),
        "is in the unit of deployment_ou_id",
        f"--source-parent-id {DEPLOYMENT}",
    ),
    "an account that may not read models": (
        HUB,
        _set("ListAccountsForParent", {"Accounts": [{"Id": "4" * 12, "State": "ACTIVE"}]}),
        "444444444444 is in the deployment OU",
        'add "444444444444"',
    ),
    "not bootstrapped": (
        HUB,
        _without("/cdk-bootstrap/hnb659fds/version"),
        "has version none",
        "pipeline.execution_policy",
    ),
    "bootstrapped by an administrator": (
        HUB,
        _set(
            "ListAttachedRolePolicies",
            {
                "AttachedPolicies": [
                    {"PolicyName": "AdministratorAccess", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}
                ]
            },
        ),
        "also has the policy AdministratorAccess",
        "pipeline.execution_policy",
    ),
    "policies of an older catalog": (
        HUB,
        _set("GetPolicyVersion", {"PolicyVersion": {"Document": quote(json.dumps({"Statement": []}))}}),
        "ml-platform-hub-execution-1 is not what this version",
        "aws iam create-policy-version",
    ),
    "a first deployment that failed": (
        HUB,
        _stack("ml-platform-registry", "ROLLBACK_COMPLETE"),
        "is ROLLBACK_COMPLETE",
        "aws cloudformation delete-stack",
    ),
    "a change that failed": (
        HUB,
        _stack("ml-platform-registry", "UPDATE_ROLLBACK_COMPLETE"),
        "is UPDATE_ROLLBACK_COMPLETE",
        "release the change again",
    ),
    "an account without baseline": (
        HUB,
        _set(
            "ListStackInstances",
            {
                "Summaries": [
                    {"Account": DEV, "Region": REGION, "Status": "OUTDATED", "StatusReason": "denied by an SCP"}
                ]
            },
        ),
        "OUTDATED: denied by an SCP",
        "in that account",
    ),
    "an unknown connection": (
        HUB,
        _connection(f"{CONNECTION}2", "x", "AVAILABLE"),
        "is not a connection of",
        "aws codeconnections list-connections",
    ),
    "a pending connection": (
        HUB,
        _connection(CONNECTION, "catalog", "PENDING"),
        "connection catalog is PENDING",
        "Update pending connection",
    ),
    "no connection for projects": (
        HUB,
        _without("/ml-platform/v1/connection-arn"),
        "no deployment project can be launched",
        "aws ssm put-parameter",
    ),
    "projects off": (
        HUB,
        _set("GetSagemakerServicecatalogPortfolioStatus", {}),
        "create-project finds no product",
        "aws sagemaker enable-sagemaker-servicecatalog-portfolio",
    ),
    "no work group": (
        HUB,
        _set("ListWorkGroups", {"WorkGroups": [{"Name": "primary"}]}),
        "ml-platform-audit does not exist",
        "aws athena create-work-group",
    ),
    "a work group that needs a bucket": (
        HUB,
        _set("GetWorkGroup", {"WorkGroup": {}}),
        "does not manage its results",
        "aws athena delete-work-group",
    ),
    "mails that nobody confirmed": (
        HUB,
        _set("ListSubscriptions", {"Subscriptions": [_subscription("PendingConfirmation")]}),
        "has not confirmed the mails of topic registry-alerts",
        "aws sns subscribe",
    ),
    "a pattern without role": (HUB, _set("ListRoles", {"Roles": []}), "no role of the hub matches", '"principals"'),
    "no baseline": (DEV, _without("/ml-platform/v1/boundary-arn"), "no product can be launched", WORKLOADS),
    "another catalog": (
        DEV,
        lambda world: world.parameters.update({"/ml-platform/v1/hub-account-id": "9" * 12}),
        "is 999999999999, not 210987654321",
        "one catalog",
    ),
    "nothing shared": (
        DEV,
        _set("ListAcceptedPortfolioShares", {"PortfolioDetails": []}),
        "portfolio 'ML Admin' is not shared",
        "portfolio check-published",
    ),
    "no network": (DEV, _without("/ml-platform/network/subnet-ids"), "choose a network by hand", "--type StringList"),
    "a subnet of another VPC": (
        DEV,
        _set(
            "DescribeSubnets",
            {"Subnets": [{"SubnetId": "subnet-1", "VpcId": "vpc-2"}, {"SubnetId": "subnet-2", "VpcId": "vpc-1"}]},
        ),
        "subnet-1 of /ml-platform/network/subnet-ids is in vpc-2, not in vpc-1",
        "--overwrite",
    ),
    "no subnet": (DEV, _set("DescribeSubnets", {"Subnets": []}), "is not there", "--overwrite"),
    "no deploy role": (TEST, _set("ListRoles", {"Roles": []}), "no stage can be deployed here", DEPLOYMENT),
    "no emptier": (
        TEST,
        _set("ListFunctions", {"Functions": []}),
        "ml-platform-bucket-emptier does not exist",
        "its StackSet",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_missing_is_named_with_its_remedy(name: str) -> None:
    account, change, what, remedy = BROKEN[name]
    world = World(account)
    change(world)
    problems = world.problems()
    assert any(what in problem.what and remedy in problem.remedy for problem in problems), problems


def test_every_check_is_seen_failing() -> None:
    failing = set()
    for account, change, _, _ in BROKEN.values():
        world = World(account)
        change(world)
        failing |= {finding.title for finding in world.findings() if finding.state == "missing"}
    sample_only = "cdk.json no longer holds values of the sample"
    assert {check.title for check in CHECKS} - failing == {sample_only}


def test_values_of_the_sample_are_named() -> None:
    world = World("111122223333")
    sample = Account(
        kind="hub", id=world.account, settings=HubSettings.parse(SAMPLE), portfolios=(), client=world.client
    )
    first = next(iter(examine(sample)))
    assert first.state == "missing"
    assert 'account_id: "111122223333" is the sample\'s value' in first.problems[0].what


def test_what_may_not_be_looked_at_is_unknown_and_not_right() -> None:
    world = World(DEV)
    world.answers["DescribeSubnets"] = _denied("DescribeSubnets")
    (finding,) = [finding for finding in world.findings() if finding.state != "ok"]
    assert finding.state == "unknown"
    assert "DescribeSubnets was denied, so nothing is known" in finding.problems[0].what
    assert "ReadOnlyAccess" in finding.problems[0].remedy


def test_commands_that_are_recommended_exist() -> None:
    """Services, operations and options are those of botocore's models, from which the command line is made."""
    session = botocore.session.get_session()
    commands = set()
    for account, change, _, _ in BROKEN.values():
        world = World(account)
        change(world)
        for problem in world.problems():
            commands |= set(
                re.findall(r"aws ([a-z-]+) ([a-z-]+)((?: --[a-z-]+(?: (?!--)(?:'[^']*'|\S+))?)*)", problem.remedy)
            )
    assert len(commands) > 10
    for service, operation, options in commands:
        model = session.get_service_model(service)
        operations = {botocore.xform_name(name, "-"): name for name in model.operation_names}
        assert operation in operations, (service, operation)
        shape = model.operation_model(operations[operation]).input_shape
        members = {botocore.xform_name(name, "-") for name in shape.members} if shape else set()
        # The command line renames this one: --endpoint is its own option for the service's URL.
        members |= {"region", "notification-endpoint" if (service, operation) == ("sns", "subscribe") else "region"}
        assert set(re.findall(r"--([a-z-]+)", options)) <= members, (service, operation)


def test_the_command_prints_what_is_missing_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(DEV)
    del world.parameters["/ml-platform/network/vpc-id"]
    monkeypatch.setattr(cli, "_settings", lambda _root, _advice="": SETTINGS)
    monkeypatch.setattr(boto3.session, "Session", lambda: _Session(world))
    result = CliRunner().invoke(cli.portfolio, ["preflight"])
    assert result.exit_code == 1
    assert f"Account {DEV} as workload account of the hub {HUB}" in result.stdout
    assert "MISSING  eu-west-1" in result.stdout
    assert "→ aws ssm put-parameter --region eu-west-1 --name /ml-platform/network/vpc-id" in result.stdout
    printed = json.loads(CliRunner().invoke(cli.portfolio, ["preflight", "--json"]).stdout)
    assert printed["kind"] == "workload"
    assert not printed["ok"]


@dataclass
class _Session:
    world: World

    def client(self, service: str, region_name: str) -> Client:
        self.world.answers["GetCallerIdentity"] = {"Account": self.world.account}
        return self.world.client(service, region_name)
