"""Policy documents: how statements are spread over managed policies, and the findings of ARNs with a star.

It does not import the CDK, so that commands which only ask AWS start quickly.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MANAGED_POLICY_MAX: Final = 6144
"""Characters of a managed policy without white space (IAM quotas)."""

ATTACHED_POLICIES_MAX: Final = 10
"""Managed policies per role (IAM quotas, default)."""


class PolicyError(Exception):
    """Statements do not fit into what IAM lets one role have."""


def documents(allow: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Distribute statements over as few policy documents as fit into IAM's limit of a managed policy.

    Raises:
        PolicyError: More documents are needed than a role can have, or one statement alone is too long.
    """
    # Account ids and partitions are longer or shorter than their placeholders; 200 characters are kept back.
    room = MANAGED_POLICY_MAX - 200
    packed: list[list[Mapping[str, Any]]] = []
    for statement in sorted(allow, key=_length, reverse=True):
        if _length(statement) > room:
            raise PolicyError(
                f"the statement of {statement['Action'][0]} has {_length(statement)} characters; a managed policy "
                f"takes {MANAGED_POLICY_MAX}: split it."
            )
        home = next((page for page in packed if sum(map(_length, page)) + _length(statement) <= room), None)
        if home is None:
            packed.append([statement])
        else:
            home.append(statement)
    if len(packed) > ATTACHED_POLICIES_MAX:
        raise PolicyError(
            f"the statements need {len(packed)} managed policies; a role takes {ATTACHED_POLICIES_MAX}: use fewer "
            f"resource types, e.g. in the products that a launch role is for, or spread them over several roles."
        )
    return [{"Version": "2012-10-17", "Statement": page} for page in packed]


def _length(statement: Mapping[str, Any]) -> int:
    return len(json.dumps(statement, separators=(",", ":"))) + 1


def wildcard_finding(arn: str) -> str:
    """Return the id of cdk-nag's finding for an ARN with a star; the ARN is text for ``Fn::Sub``."""
    return f"AwsSolutions-IAM5[Resource::{arn.replace('${', '<').replace('}', '>')}]"
