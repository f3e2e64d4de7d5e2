"""Every policy against AWS's Service Authorization Reference: the oracle that nobody here wrote.

What is refused here would look right to our own emulator and be refused, or let through, by AWS: an action that does
not exist, a condition on a key that the action's requests do not carry, a resource of a kind that the action does not
work on, an action without one that it depends on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import pytest

from aws_emulator import reference
from tests.proofs.contradictions import Contradiction, contradictions, fits
from tests.proofs.gathered import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.proofs.gathered import Gathered, Origin


@dataclass(frozen=True)
class Accepted:
    """Contradictions that are no fault.

    Attributes:
        action: Pattern of the actions.
        what: Part of what does not hold.
        because: Why it is no fault, with the source.
        where: Beginning of the place. Default: everywhere.
    """

    action: str
    what: str
    because: str
    where: str = ""

    def covers(self, found: Contradiction) -> bool:
        return fnmatchcase(found.action, self.action) and self.what in found.what and found.where.startswith(self.where)


ACCEPTED: Final = (
    Accepted(
        "codestar-connections:*",
        "Connection",
        "granted beside the service's new name, because a connection that is given may have either prefix; on an ARN "
        "with the new one the old name does nothing (developer tools console guide, rename)",
    ),
    Accepted(
        "cloudformation:DescribeStacks",
        "depends on cloudformation:ListStacks",
        "for a request without the name of a stack, which lists all of them (CloudFormation API, DescribeStacks)",
    ),
    Accepted(
        "ec2:CreateNetworkInterface",
        "depends on ec2:CreateTags",
        "for an interface that is tagged in the same call; SageMaker's guide gives the role of a job in a VPC no "
        "permission to tag (SageMaker developer guide, sagemaker-roles)",
    ),
    Accepted(
        "elasticfilesystem:CreateFileSystem",
        "depends on elasticfilesystem:TagResource",
        "the service-linked role makes and tags the file system of a domain "
        "(AWS managed policy AmazonSageMakerNotebooksServiceRolePolicy)",
    ),
    Accepted(
        "kms:CreateKey",
        "depends on iam:CreateServiceLinkedRole",
        "for multi-Region keys only (KMS developer guide, multi-region-keys-auth)",
    ),
    Accepted(
        "kms:DescribeKey",
        "kms:EncryptionContext:aws:logs:arn is never met",
        "the statement is that of the CloudWatch Logs user guide (encrypt-log-data-kms), which lists Describe* with "
        "this condition; what needs it is encrypting and decrypting",
    ),
    Accepted(
        "lambda:CreateFunction",
        "depends on lambda:PassCapacityProvider",
        "for a function with a capacity provider (Lambda API, CreateFunction, CapacityProviderConfig)",
    ),
    Accepted(
        "logs:DescribeLogGroups",
        "log-group:*",
        "IAM asks for it on log-group::log-stream:, as its refusals show, which log-group:* matches; the reference "
        "lists no kind of resource",
    ),
)
"""Every row is needed: one that covers nothing any more fails the test."""

_SCALING: Final = "application-autoscaling"
_NAMESPACE: Final = f"condition StringEquals {_SCALING}:service-namespace is never met: no request carries the key"
_SCALING_TAGS: Final = frozenset(
    {
        (f"{_SCALING}:ListTagsForResource", _NAMESPACE),
        (f"{_SCALING}:RegisterScalableTarget", f"depends on {_SCALING}:TagResource, which can never be used"),
        (f"{_SCALING}:TagResource", _NAMESPACE),
        (f"{_SCALING}:UntagResource", _NAMESPACE),
    }
)
FROZEN: Final = {"deploy-batch 1.0.0": _SCALING_TAGS, "deploy-realtime 1.0.0": _SCALING_TAGS}
"""Contradictions of released versions, which cannot change any more: version -> actions and what does not hold."""


@pytest.fixture(scope="module")
def found(gathered: Gathered) -> list[tuple[Origin, Contradiction]]:
    """Every contradiction with the origin of its policy."""
    return [(p.origin, c) for p in gathered.policies for c in sorted(contradictions(p))]


def test_the_reference_contradicts_nothing_that_is_deployed_or_launched(
    found: list[tuple[Origin, Contradiction]],
) -> None:
    faults = [
        f"{c.where}: {c.action}: {c.what}"
        for origin, c in found
        if origin not in ("release", "retired") and not any(row.covers(c) for row in ACCEPTED)
    ]
    assert faults == []


def test_released_versions_have_the_contradictions_that_are_known(found: list[tuple[Origin, Contradiction]]) -> None:
    faults: dict[str, set[tuple[str, str]]] = {}
    for origin, c in found:
        if origin in ("release", "retired") and not any(row.covers(c) for row in ACCEPTED):
            faults.setdefault(c.where.split(":")[0], set()).add((c.action, c.what))
    assert faults == {version: set(rows) for version, rows in FROZEN.items()}


def test_what_the_reference_contradicts_is_retired_as_soon_as_there_is_a_better_version(gathered: Gathered) -> None:
    launchable = [d.name for d in gathered.templates if d.origin == "release" and not d.stage]
    for version in FROZEN:
        product = version.split()[0]
        assert version not in launchable or [name for name in launchable if name.split()[0] == product] == [version]


def test_every_accepted_contradiction_is_there(found: list[tuple[Origin, Contradiction]]) -> None:
    assert [row for row in ACCEPTED if not any(row.covers(c) for _, c in found)] == []
    assert all(len(row.because) > 40 for row in ACCEPTED)


def test_everything_is_read(gathered: Gathered) -> None:
    """Nobody is left out: roles, people, bootstrap policies, trusts, resource policies, boundaries of all origins."""
    kinds = Counter((p.kind, p.origin) for p in gathered.policies)
    for origin in ("hub", "baseline", "code", "release"):
        assert kinds["identity", origin]
        # data-access attaches policies to roles that another product made.
        assert kinds["identity", origin] >= kinds["trust", origin]
        assert kinds["resource", origin]
    assert kinds["boundary", "hub"] == 1
    assert kinds["boundary", "baseline"] == 2
    assert kinds["identity", "people"] == 5
    assert kinds["identity", "bootstrap"] == 1
    patterns = [
        pattern
        for p in gathered.policies
        for s in p.statements
        for key in ("Resource", "NotResource")
        for pattern in (s.get(key, []) if isinstance(s.get(key), list) else [s[key]] if key in s else [])
    ]
    assert [p for p in patterns if p != "*" and not p.startswith(("arn:aws:", "arn:*:"))] == [], (
        "resolved, or nothing is compared"
    )
    assert sum(len(p.statements) for p in gathered.policies) > 1000


# ---- the oracle itself ----


def faults(statement: Mapping[str, object], kind: str = "identity") -> set[tuple[str, str]]:
    policy = Policy(
        "here", "identity" if kind == "identity" else "trust", ({"Effect": "Allow", **statement},), "code", ""
    )
    return {(c.action, c.what) for c in contradictions(policy)}


def test_an_unknown_action_is_found() -> None:
    assert faults({"Action": ["s3:GetObjects"], "Resource": "*"}) == {("s3:GetObjects", "there is no such action")}
    assert faults({"Action": ["s3:Fetch*"], "Resource": "*"}) == {("s3:Fetch*", "there is no such action")}


@pytest.mark.parametrize(
    ("effect", "operator", "value", "what"),
    [
        ("Allow", "StringEquals", "x", "is never met"),
        ("Allow", "Null", "false", "is never met"),
        ("Allow", "StringNotEquals", "x", "protects nothing"),
        ("Allow", "StringEqualsIfExists", "x", "protects nothing"),
        ("Allow", "ForAllValues:StringEquals", "x", "protects nothing"),
        ("Deny", "StringEquals", "x", "never denies"),
        ("Deny", "StringNotEquals", "x", "always denies"),
        ("Deny", "Null", "true", "always denies"),
    ],
)
def test_a_key_that_no_request_carries_is_found(effect: str, operator: str, value: str, what: str) -> None:
    condition = {operator: {"codeconnections:FullRepositoryId": value}}
    token = {"Effect": effect, "Action": "codeconnections:GetConnectionToken", "Resource": "*", "Condition": condition}
    assert [w.split(": ")[0] for _, w in faults(token)] == [
        f"condition {operator} codeconnections:FullRepositoryId {what}".split(": ")[0]
    ]
    assert faults(token | {"Action": "codeconnections:UseConnection"}) == set()


def test_global_keys_are_always_there_but_tags_are_not() -> None:
    def about(action: str, key: str) -> set[tuple[str, str]]:
        return faults({"Action": action, "Resource": "*", "Condition": {"StringEquals": {key: "x"}}})

    assert about("application-autoscaling:ListTagsForResource", "aws:PrincipalTag/team") == set()
    assert about("application-autoscaling:ListTagsForResource", "aws:RequestTag/team") != set()
    assert about("application-autoscaling:TagResource", "aws:RequestTag/team") == set()
    assert about("kms:Decrypt", "kms:EncryptionContext:aws:s3:arn") == set()
    assert about("s3:GetObject", "s3:ExistingObjectTag/team") == set()


def test_a_resource_of_another_kind_is_found() -> None:
    bucket = "arn:aws:s3:::data"
    ((action, what),) = faults({"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": [bucket]})
    assert (action, what.split(":")[0]) == ("s3:GetObject", "resource arn")
    both = {"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": [bucket, f"{bucket}/*"]}
    assert faults(both) == set()
    ((action, what),) = faults({"Action": "s3:ListBucket", "Resource": [bucket, "arn:aws:sqs:*:111122223333:queue"]})
    assert what == "resource arn:aws:sqs:*:111122223333:queue: none of the statement's actions works on it"


def test_a_resource_for_an_action_without_resource_level_is_found() -> None:
    ((_, what),) = faults(
        {"Action": "ecr:GetAuthorizationToken", "Resource": "arn:aws:ecr:*:111122223333:repository/x"}
    )
    assert what.endswith("the action has no resource level")


def test_a_kind_that_every_request_is_checked_against_is_missed() -> None:
    on_endpoints = {"Action": "sagemaker:UpdateEndpoint", "Resource": "arn:aws:sagemaker:*:111122223333:endpoint/x"}
    assert any("checked against a endpoint-config" in what for _, what in faults(on_endpoints))
    sets = {"Action": "cloudformation:CreateStackInstances", "Resource": "arn:aws:cloudformation:*:*:stackset/x"}
    assert any("checked against a stackset-target" in what for _, what in faults(sets))


def test_a_dependent_action_is_missed_even_if_it_is_granted_in_vain() -> None:
    target = "arn:aws:application-autoscaling:*:111122223333:scalable-target/*"
    register = {"Effect": "Allow", "Action": "application-autoscaling:RegisterScalableTarget", "Resource": target}
    in_vain = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
    tag = {"Effect": "Allow", "Action": "application-autoscaling:TagResource", "Resource": target}

    def lacks(*statements: Mapping[str, object]) -> list[str]:
        return [
            c.what for c in contradictions(Policy("here", "identity", statements, "code", "")) if "depends" in c.what
        ]

    assert lacks(register) == ["depends on application-autoscaling:TagResource, which is not granted"]
    assert lacks(register, tag | {"Condition": in_vain}) == [
        "depends on application-autoscaling:TagResource, which can never be used"
    ]
    assert lacks(register, tag) == []


@pytest.mark.parametrize(
    ("pattern", "kind", "does"),
    [
        ("*", "role", True),
        ("arn:aws:iam::111122223333:role/ml-platform/*", "role", True),
        ("arn:aws:iam::*:role/x-*", "role", True),
        ("arn:aws:iam::111122223333:policy/x", "role", False),
        ("arn:aws:sns:*:111122223333:x", "role", False),
    ],
)
def test_patterns_are_compared_with_the_form_of_an_arn(pattern: str, kind: str, does: bool) -> None:
    assert fits(pattern, reference.kinds("iam:CreateRole")[kind]) is does
