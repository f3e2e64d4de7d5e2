"""A star in the name of a bucket reaches over slashes, so a key can imitate the rest of the pattern.

``arn:aws:s3:::registry-*/packages/churn/*`` is meant for the folder of one group, whatever the region; it also matches
``registry-eu-west-1/packages/fraud/x/packages/churn/y``: in a resource, ``*`` stands for any characters of the segment
between two colons (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html).
Regions and accounts are spelt out, or are the variables ``aws:PrincipalAccount`` and ``aws:RequestedRegion``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.policy import allows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.proofs.gathered import Gathered, Policy

ACCEPTED: Final = {
    r"mlp-p-\*-<value>-<value>/reports/\*": (
        "Whoever approves reads the reports of all projects, and nobody can list their ids in a policy. Builds write "
        "below reports/ only and CodePipeline below its pipeline's name, so that a key which imitates the end of a "
        "bucket's name can only be made below reports/."
    ),
    r"ml-platform-artifacts-\d+-\*/(releases|assets)/\*": (
        "Products are launched, and functions of the hub made, in any region of the hub, also in one that it gets "
        "after the role was rolled out. Nobody but the hub's pipeline writes to the bucket, and nothing in it is "
        "secret."
    ),
}
"""Patterns whose star cannot be spelt out, with ``<value>`` for variables, and why no key does harm."""


def patterns(policy: Policy) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each pattern of an allow statement with a wildcard in the bucket and more than a star as the key."""
    for statement in policy.statements:
        resources = statement.get("Resource", [])
        for resource in [resources] if isinstance(resources, str) else resources:
            if statement["Effect"] != "Allow" or not isinstance(resource, str) or ":s3:::" not in resource:
                continue
            bucket, slash, keys = re.sub(r"\$\{[^}]*\}", "<value>", resource.split(":s3:::")[1]).partition("/")
            if slash and re.search(r"[*?]", bucket) and keys.strip("*"):
                yield dict(statement), f"{bucket}/{keys}"


def is_of_fixed_length(statement: dict[str, Any], pattern: str) -> bool:
    """Return whether a pattern fits buckets of one length, in one account.

    What imitates it is in a bucket with a shorter name, which is none of the buckets that are meant.
    """
    account = statement.get("Condition", {}).get("StringEquals", {}).get("aws:ResourceAccount", "")
    return "*" not in pattern.partition("/")[0] and re.fullmatch(r"\d{12}", account) is not None


def imitation(pattern: str) -> str:
    """Return an object that a pattern matches though it is not below the prefix that the pattern is meant for."""
    return pattern.replace("*", "x/elsewhere/x", 1).replace("*", "y")


def test_no_key_imitates_the_rest_of_a_pattern(gathered: Gathered) -> None:
    found = {
        f"{policy.where}: {pattern}, e.g. {imitation(pattern)}"
        for policy in gathered.policies
        if policy.origin != "retired"
        for statement, pattern in patterns(policy)
        if not is_of_fixed_length(statement, pattern)
        and not any(re.fullmatch(accepted, pattern) for accepted in ACCEPTED)
    }
    assert not found, "\n".join(sorted(found))


def test_every_accepted_pattern_is_needed(gathered: Gathered) -> None:
    there = {pattern for policy in gathered.policies for _, pattern in patterns(policy)}
    assert [a for a in ACCEPTED if not any(re.fullmatch(a, pattern) for pattern in there)] == []


@pytest.mark.parametrize(
    "pattern", ["registry-1-*/packages/churn/*", "audit-*/decisions/*.json", "mlp-*-1-eu-west-1/reports/*"]
)
def test_what_the_rule_refuses_is_allowed_by_iam(pattern: str) -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{pattern}"}
    assert allows([statement], "s3:GetObject", f"arn:aws:s3:::{imitation(pattern)}")
