"""No two resources of the platform claim one name, and nothing that stays behind blocks a second try.

What names a resource, and where the name is unique, follows from CloudFormation's schemas
(`aws_emulator.cloudformation.resource_names`); the emulated CloudFormation refuses by the same rule. Which project may
have a stage is decided by the function behind ``Custom::Deployment``, not by names.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING

import pytest

from aws_emulator.cloudformation.resource_names import claimed_name, naming_properties, scope_of_names
from tests.hub import OTHER_REGION, REGION
from tests.proofs.stacks import Stack, everything

if TYPE_CHECKING:
    from collections.abc import Iterator

    Name = tuple[str, ...]

one_and_two_regions = pytest.mark.parametrize(
    "regions", [(REGION,), pytest.param((REGION, OTHER_REGION), marks=pytest.mark.prove)], ids=["one", "two"]
)


@cache
def stacks(regions: tuple[str, ...]) -> tuple[Stack, ...]:
    return tuple(everything(*regions))


def claims(stack: Stack) -> Iterator[tuple[Name, str]]:
    """Yield the names that a stack claims, with all that makes them unique, and what claims them."""
    within = {"region": (stack.account, stack.region), "account": (stack.account,), "world": ()}
    yield ("AWS::CloudFormation::Stack", *within["region"], stack.stack), f"stack {stack.stack}"
    for logical_id, resource in stack.template["Resources"].items():
        kind = resource["Type"]
        exists = "Condition" not in resource or stack.condition(resource["Condition"])
        if not exists or not kind.startswith("AWS::") or kind == "AWS::CDK::Metadata":
            continue
        given = resource.get("Properties", {})
        name = claimed_name(kind, {key: stack.value(given[key]) for key in naming_properties(kind) if key in given})
        if name:
            yield (kind, *within[scope_of_names(kind)], *name), f"{stack.stack} in {stack.region}: {logical_id}"


@one_and_two_regions
def test_no_two_resources_of_the_organisation_claim_one_name(regions: tuple[str, ...]) -> None:
    claimants: dict[Name, list[str]] = defaultdict(list)
    for stack in stacks(regions):
        for name, claimant in claims(stack):
            claimants[name].append(claimant)
    assert {name: found for name, found in claimants.items() if len(found) > 1} == {}
    kinds = {name[0] for name in claimants}
    assert {"AWS::IAM::Role", "AWS::S3::Bucket", "AWS::Lambda::Function", "AWS::CloudFormation::StackSet"} <= kinds


@one_and_two_regions
def test_nothing_outlives_the_rollback_of_a_first_deployment(regions: tuple[str, ...]) -> None:
    kept = {
        f"{stack.stack} in {stack.region}: {logical_id} ({resource['Type']})"
        for stack in stacks(regions)
        for logical_id, resource in stack.template["Resources"].items()
        if resource.get("DeletionPolicy") == "Retain"
    }
    assert kept == set(), "with RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE the deployment can be repeated"


def test_two_resources_that_claim_one_name_are_found() -> None:
    template = {
        "Resources": {
            "First": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "same"}},
            "Second": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": {"Fn::Sub": "${AWS::StackName}"}}},
        }
    }
    found = [
        name
        for stack in (Stack(template, {}, stack="same", region=r) for r in (REGION, OTHER_REGION))
        for name, _ in claims(stack)
        if name[0] == "AWS::IAM::Role"
    ]
    assert len(found) == 4
    assert len(set(found)) == 1, "roles are named once per account, whatever the region"


@pytest.mark.parametrize(
    ("kind", "naming"),
    [
        ("AWS::IAM::Role", ("RoleName",)),  # identified by its name
        ("AWS::SQS::Queue", ("QueueName",)),  # identified by a generated URL
        ("AWS::CodeBuild::Project", ("Name",)),
        ("AWS::Events::EventBusPolicy", ("EventBusName", "StatementId")),
        ("AWS::KMS::Key", ()),  # has an id only
        ("AWS::SNS::Subscription", ()),
    ],
)
def test_what_names_a_resource_follows_from_its_schema(kind: str, naming: tuple[str, ...]) -> None:
    assert naming_properties(kind) == naming
