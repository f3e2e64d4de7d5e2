"""Acknowledges findings of cdk-nag, checkov and cfn-lint where they arise, each with a reason a reviewer can check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from products.shared.template import acknowledge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import CfnResource

__all__ = ["FUNCTION_FINDINGS", "acknowledge", "acknowledge_lint"]

FUNCTION_FINDINGS: Final[Mapping[str, str]] = {
    "AwsSolutions-L1": "All functions of the platform run on the runtime that was tested, 3.13.",
    "CKV_AWS_115": "A limit would be taken from the account's; what it answers bounds how often it runs.",
    "CKV_AWS_117": "It calls AWS's APIs only, over TLS, and nothing in a VPC; its role is what bounds it.",
}
"""What every function of the platform is found, and why that is accepted."""


def acknowledge_lint(resource: CfnResource, findings: Mapping[str, str]) -> None:
    """Accept findings of cfn-lint on one resource; they are written into its metadata, where cfn-lint looks for them.

    Args:
        resource: The resource.
        findings: Id of each rule, e.g. ``W3005``, and the reason to accept it.
    """
    resource.add_metadata("cfn-lint", {"config": {"ignore_checks": sorted(findings)}})
