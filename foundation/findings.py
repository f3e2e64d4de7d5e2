"""Acknowledges findings of cdk-nag and cfn-lint where they arise, each with a reason that a reviewer can check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Acknowledgment, Validations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import CfnResource
    from constructs import IConstruct


def acknowledge(scope: IConstruct, findings: Mapping[str, str]) -> None:
    """Accept findings on a construct and everything below it.

    Args:
        scope: The construct that causes them.
        findings: Id of each finding, as the report of the synthesis spells it, and the reason to accept it.
    """
    Validations.of(scope).acknowledge(*[Acknowledgment(id=id_, reason=reason) for id_, reason in findings.items()])


def acknowledge_lint(resource: CfnResource, findings: Mapping[str, str]) -> None:
    """Accept findings of cfn-lint on one resource; they are written into its metadata, where cfn-lint looks for them.

    Args:
        resource: The resource.
        findings: Id of each rule, e.g. ``W3005``, and the reason to accept it.
    """
    resource.add_metadata("cfn-lint", {"config": {"ignore_checks": sorted(findings)}})
