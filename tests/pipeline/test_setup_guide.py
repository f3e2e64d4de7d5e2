"""docs/setup.md: its policies of the organisation deny what they should and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from foundation.organization import RESOURCE_CONTROL_POLICIES
from tests.pipeline.product_repository import ROOT
from tests.policy import allows

GUIDE = (ROOT / "docs/setup.md").read_text(encoding="utf-8")
RESOURCE_CONTROL_POLICY_MAX = 5120
"""Characters of a resource control policy (AWS Organizations quotas)."""


def test_every_policy_of_the_organisation_is_one_that_it_takes_and_the_guide_names() -> None:
    files = sorted(RESOURCE_CONTROL_POLICIES.glob("*.json"))
    assert files
    for path in files:
        assert path.relative_to(ROOT).as_posix() in GUIDE
        text = path.read_text(encoding="utf-8")
        assert len(text) <= RESOURCE_CONTROL_POLICY_MAX
        for statement in json.loads(text)["Statement"]:
            assert statement["Effect"] == "Deny"
            assert statement["Principal"] == "*"


def denied(action: str, role: str, **context: str) -> bool:
    """Return whether some policy of the organisation denies an action on a role."""
    statements: list[dict[str, Any]] = [
        statement
        for path in RESOURCE_CONTROL_POLICIES.glob("*.json")
        for statement in json.loads(path.read_text(encoding="utf-8"))["Statement"]
    ]
    arn = f"arn:aws:iam::333333333333:role/{role}"
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    return not allows([everything, *statements], action, arn, **{"aws:ResourceOrgID": "o-1"}, **context)


INSIDE = {"aws:PrincipalOrgID": "o-1", "aws:PrincipalIsAWSService": "false"}
OUTSIDE = {"aws:PrincipalOrgID": "o-2", "aws:PrincipalIsAWSService": "false"}
SERVICE = {"aws:PrincipalIsAWSService": "true"}
MADE = "ml-platform/deployment/mlp-p-a-test-x"


@pytest.mark.parametrize(
    ("action", "role", "context", "is_denied"),
    [
        ("sts:AssumeRole", MADE, OUTSIDE, True),
        ("sts:AssumeRole", MADE, INSIDE, False),
        ("sts:AssumeRole", MADE, SERVICE, False),
        ("sts:AssumeRoleWithWebIdentity", MADE, OUTSIDE, True),
        ("sts:AssumeRoleWithSAML", "aws-reserved/sso.amazonaws.com/AWSReservedSSO_Lead_1", {}, False),
        ("sts:TagSession", MADE, INSIDE, True),
        ("sts:TagSession", "ml-platform-deploy", INSIDE, False),
        ("sts:TagSession", "aws-reserved/sso.amazonaws.com/AWSReservedSSO_Lead_1", {}, False),
    ],
)
def test_the_organisation_denies_roles_to_outsiders_and_session_tags_to_all_but_the_deploy_role(
    action: str, role: str, context: dict[str, str], *, is_denied: bool
) -> None:
    assert denied(action, role, **context) is is_denied
