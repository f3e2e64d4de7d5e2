"""Every policy for a service demands only keys that this service is known to send.

Read are all trust and resource policies of `tests.proofs.gathered`, whatever the conditions of the template say. They
are held against the rows of `aws_emulator.iam.service_principals`, which the emulator obeys too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from aws_emulator.iam.service_principals import ACCOUNT, ARN, ASSUMING, CALLING, Sends

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.proofs.gathered import Deployed, Gathered

_ASSUMES: Final = "sts:AssumeRole"
_KEYS: Final = {key.lower() for key in (ACCOUNT, ARN, "aws:SourceOrgID", "aws:SourceOrgPaths")}


@dataclass(frozen=True)
class Grant:
    """A statement for a service, of the policy of a role or of another resource.

    Attributes:
        where: Template and logical id.
        service: Service principal.
        called: What the service calls, as in the rows; empty when it assumes a role.
        demanded: Condition keys about the source that the statement insists on.
    """

    where: str
    service: str
    called: str
    demanded: tuple[str, ...]

    @property
    def row(self) -> Sends | None:
        """What is known about the service."""
        return CALLING.get((self.service, self.called)) if self.called else ASSUMING.get(self.service)


def grants(name: str, template: Mapping[str, Any]) -> Iterator[Grant]:
    """Yield the statements for services in a template."""
    for logical_id, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        called = _called(template, logical_id, resource["Type"])
        for statement in _statements(properties):
            yield from _of_statement(f"{name} {logical_id}", statement, called)
        if resource["Type"] == "AWS::Lambda::Permission":
            demanded = tuple(f"aws:{key}" for key in ("SourceAccount", "SourceArn") if key in properties)
            yield Grant(f"{name} {logical_id}", properties["Principal"], "lambda", demanded)


def _called(template: Mapping[str, Any], logical_id: str, kind: str) -> str:
    """Return what a service calls when a policy of this resource lets it."""
    service = kind.split("::")[1].lower()
    if service != "kms":
        return service
    encrypted = {
        other["Type"].split("::")[1].lower()
        for other in template["Resources"].values()
        if other["Type"] in ("AWS::SNS::Topic", "AWS::SQS::Queue")
        and f'"{logical_id}' in json.dumps(other["Properties"].get("KmsMasterKeyId"))
    }
    # What nothing of a topic is said about fails for it, so a key that serves both is held against the topic's row.
    return next((f"kms of {found}" for found in ("sns", "sqs") if found in encrypted), "kms")


def _statements(node: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 (a template is plain JSON)
    if isinstance(node, dict):
        if "Effect" in node and "Principal" in node:
            yield node
        for value in node.values():
            yield from _statements(value)
    elif isinstance(node, list):
        for value in node:
            yield from _statements(value)


def _of_statement(where: str, statement: Mapping[str, Any], called: str) -> Iterator[Grant]:
    principal = statement["Principal"]
    services = principal.get("Service", []) if isinstance(principal, dict) else []
    demanded = tuple(
        key
        for operator, keys in statement.get("Condition", {}).items()
        for key in keys
        if key.lower() in _KEYS and not operator.endswith("IfExists")
    )
    assumes = _ASSUMES in json.dumps(statement["Action"])
    for service in services if isinstance(services, list) else [services]:
        text = service if isinstance(service, str) else json.dumps(service)
        if re.search(r"\blogs\.", text):
            yield Grant(where, "logs", called.partition(" ")[0], demanded)
        else:
            yield Grant(where, text, "" if assumes else called, demanded)


def faults(grant: Grant) -> list[str]:
    """Return what a service does not send of what a statement demands, or that nobody has looked it up."""
    if grant.row is None:
        return [f"{grant.service} {grant.called}: no row in aws_emulator/iam/service_principals.py"]
    return [
        f"{grant.service} {grant.called}: {key}, but see {grant.row.source}"
        for key in grant.demanded
        if key.lower() not in (ACCOUNT.lower(), ARN.lower()) or not grant.row.says(key)
    ]


@pytest.fixture(scope="module")
def found(gathered: Gathered) -> list[tuple[Deployed, Grant]]:
    """Every statement for a service, with the template that it is in."""
    return [(deployed, grant) for deployed in gathered.templates for grant in grants(deployed.name, deployed.template)]


_API: Final = ("ApiRole", "apigateway.amazonaws.com", "aws:SourceAccount")
_COPIES: Final = ("ReplicationRole", "s3.amazonaws.com", "aws:SourceAccount")
_KEY: Final = ("Key", "events.amazonaws.com", "aws:SourceAccount")
FROZEN: Final = {f"{product} 1.0.0: base": {_API, _COPIES, _KEY} for product in ("deploy-batch", "deploy-realtime")}
"""What released templates demand in vain, and cannot change any more: resource, service and key."""


def test_no_policy_demands_a_key_that_the_service_may_not_send(found: list[tuple[Deployed, Grant]]) -> None:
    current = [grant for deployed, grant in found if deployed.origin not in ("release", "retired")]
    assert len(current) > 100
    wrong = [f"{grant.where}: {text}" for grant in current for text in faults(grant)]
    assert not wrong, "\n".join(wrong)


def test_released_versions_demand_in_vain_what_is_known(found: list[tuple[Deployed, Grant]]) -> None:
    wrong: dict[str, set[tuple[str, str, str]]] = {}
    for deployed, grant in found:
        if deployed.origin in ("release", "retired") and faults(grant):
            row = (grant.where.rsplit(" ", 1)[1], grant.service, ", ".join(grant.demanded))
            wrong.setdefault(deployed.name, set()).add(row)
    assert wrong == FROZEN


NOT_OURS: Final = {("lakeformation.amazonaws.com", "")}
"""Services that assume roles which no template here has: that of a lake's location belongs to the lake's owner."""


def test_no_row_is_idle(found: list[tuple[Deployed, Grant]]) -> None:
    used = {(grant.service, grant.called) for deployed, grant in found if deployed.origin != "retired"}
    assert {*((service, "") for service in ASSUMING), *CALLING} - used == NOT_OURS


@pytest.mark.parametrize(
    ("kind", "service", "condition", "wrong"),
    [
        ("AWS::IAM::Role", "apigateway", {"StringEquals": {"aws:SourceAccount": "1"}}, True),
        ("AWS::IAM::Role", "apigateway", {"StringEqualsIfExists": {"AWS:SourceAccount": "1"}}, False),
        ("AWS::IAM::Role", "s3", {"StringEquals": {"aws:sourceaccount": "1"}}, True),
        ("AWS::IAM::Role", "sagemaker", {"StringEquals": {"aws:SourceAccount": "1"}}, False),
        ("AWS::IAM::Role", "codepipeline", {"ArnLike": {"aws:SourceArn": "arn"}}, True),
        ("AWS::IAM::Role", "polly", {}, True),
        ("AWS::SNS::TopicPolicy", "events", {"ArnEquals": {"aws:SourceArn": "arn"}}, True),
        ("AWS::SQS::QueuePolicy", "events", {"ArnEquals": {"aws:SourceArn": "arn"}}, False),
    ],
)
def test_what_is_not_sent_is_found(kind: str, service: str, condition: dict[str, Any], wrong: bool) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole" if kind == "AWS::IAM::Role" else "x:y",
        "Condition": condition,
    }
    template = {"Resources": {"Made": {"Type": kind, "Properties": {"Policy": {"Statement": [statement]}}}}}
    assert any(faults(grant) for grant in grants("made", template)) == wrong


@pytest.mark.parametrize("encrypted", ["AWS::SNS::Topic", "AWS::SQS::Queue"])
def test_the_key_of_a_topic_lets_events_in_without_a_condition(encrypted: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "kms:Decrypt",
        "Condition": {"StringEquals": {"aws:SourceAccount": "1"}},
    }
    resources = {
        "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Statement": [statement]}}},
        "Sent": {"Type": encrypted, "Properties": {"KmsMasterKeyId": {"Fn::GetAtt": ["Key", "Arn"]}}},
    }
    assert any(faults(grant) for grant in grants("made", {"Resources": resources})) == (encrypted == "AWS::SNS::Topic")
