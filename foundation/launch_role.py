"""The launch role: what Service Catalog may do in an account to launch the products of this catalog, and nothing else.

Its policy is not written but derived (`foundation.launch_policy`) from the released templates and from tables of
resources and conditions (`foundation.launch_scopes`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnCondition, CfnTag
from aws_cdk import aws_iam as iam
from constructs import Construct

from foundation.launch_policy import grants, statements
from foundation.launch_scopes import WORKLOADS
from foundation.policy_documents import documents, wildcard_finding
from products.shared import names
from products.shared.findings import acknowledge
from products.shared.template import substituted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foundation.caller_permissions import Template
    from foundation.launch_scopes import AccountKind


class LaunchRole(Construct):
    """Role ``ml-platform-launch`` with its policies, in the home region only: IAM has no regions.

    Args:
        templates: Templates that are launched.
        hub_account_id: Account of the artifact bucket, 12 digits.
        kind: Kind of account. Default: `WORKLOADS`.
        condition: Condition under which the role exists. Default: always.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        templates: Sequence[Template],
        hub_account_id: str,
        kind: AccountKind = WORKLOADS,
        condition: CfnCondition | None = None,
    ) -> None:
        super().__init__(scope, id_)
        policies = [
            iam.CfnManagedPolicy(
                self,
                f"Policy{number}",
                managed_policy_name=f"{names.LAUNCH_ROLE}-{number}",
                path=names.BASELINE_ROLE_PATH,
                description="What CloudFormation needs for the resource types of released products.",
                policy_document=substituted(document),
            )
            for number, document in enumerate(documents(statements(templates, hub_account_id, kind)), start=1)
        ]
        role = iam.CfnRole(
            self,
            "Role",
            role_name=names.LAUNCH_ROLE,
            description="Launches the products of the ML platform; used by Service Catalog only.",
            assume_role_policy_document={
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "servicecatalog.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            },
            managed_policy_arns=[policy.ref for policy in policies],
            tags=[CfnTag(key=names.COMPONENT_TAG, value=names.BASELINE_COMPONENT)],
        )
        for resource in (*policies, role):
            resource.cfn_options.condition = condition
        findings = {
            wildcard_finding(arn): scope.because
            for _, scopes, _ in grants(templates, hub_account_id, kind)
            for scope in scopes
            for arn in scope.arns
            if "*" in arn
        }
        for policy in policies:
            acknowledge(policy, findings)
