"""Roles of products: one purpose each, inside the permissions boundary, and no wildcard without a reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from products.shared import template

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One allow statement.

    Attributes:
        sid: What it allows, in PascalCase.
        actions: Actions, none with a wildcard.
        resources: ARNs, as text for ``Fn::Sub`` or as tokens.
        conditions: IAM conditions; strings may be text for ``Fn::Sub``, and what an operator compares may be decided by
            ``Fn::If``. Default: none.
        because: Why a resource holds a ``*``. Required when one does.
    """

    sid: str
    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Mapping[str, Mapping[str, str | Sequence[str]] | cdk.IResolvable] = field(default_factory=dict)
    because: str | None = None

    def statement(self, *, named: bool = True) -> iam.PolicyStatement:
        """Return it as a policy statement.

        Args:
            named: Whether with its id; statements without one are merged where they can be. Default: True.
        """
        return iam.PolicyStatement(
            sid=self.sid if named else None,
            actions=list(self.actions),
            resources=[template.sub(text) for text in self.resources],
            conditions={
                operator: {key: _filled(value) for key, value in keys.items()} if isinstance(keys, Mapping) else keys
                for operator, keys in self.conditions.items()
            },
        )

    def findings(self, stack: cdk.Stack) -> dict[str, str]:
        """Return the id of the cdk-nag finding that each wildcard causes, with its reason.

        Raises:
            ValueError: A resource holds a wildcard and nobody said why.
        """
        resolved = stack.resolve([template.sub(r) for r in self.resources])
        # Fn::Split instead of a list: ARNs that are known when the product is launched.
        wild = [text for text in map(_flat, resolved if isinstance(resolved, list) else []) if "*" in text]
        if wild and not self.because:
            raise ValueError(f"grant {self.sid}: the wildcard in {wild[0]} needs a reason; say it in `because`")
        return {f"AwsSolutions-IAM5[Resource::{text}]": self.because or "" for text in wild}


class ServiceRole(Construct):
    """Role that one AWS service assumes for one purpose.

    Args:
        service: Service principal without its suffix, e.g. ``sagemaker``. It may assume the role for resources of the
            launching account only (``aws:SourceAccount``), so no other account can borrow the role through the service.
        path: IAM path, e.g. `names.PROJECT_ROLE_PATH`.
        purpose: What the role is for; its description.
        grants: Everything that it may do.
        source_identity: Let the service set the name of the person as source identity, which CloudTrail then shows.
            Default: False.
        named: Whether statements have ids. False makes the policy of a role shorter that is at the limit of IAM.
            Default: True.
        may_pass_itself: Allow handing this role on to the same service, as SageMaker pipelines do for their jobs.
            Default: False.

    Attributes:
        role: The role.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        service: str,
        path: str,
        purpose: str,
        grants: Sequence[Grant],
        source_identity: bool = False,
        may_pass_itself: bool = False,
        named: bool = True,
    ) -> None:
        super().__init__(scope, id_)
        boundary = template.contract_value("boundary-arn")
        principal = iam.ServicePrincipal(
            f"{service}.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
        )
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=principal,
            path=path,
            description=purpose,
            permissions_boundary=iam.ManagedPolicy.from_managed_policy_arn(self, "Boundary", boundary),
            inline_policies={
                "Purpose": iam.PolicyDocument(statements=[grant.statement(named=named) for grant in grants])
            },
        )
        if source_identity and self.role.assume_role_policy:
            self.role.assume_role_policy.add_statements(
                iam.PolicyStatement(actions=["sts:SetSourceIdentity"], principals=[principal])
            )
        if may_pass_itself:
            # Apart from the role, because a role's own document cannot name the role.
            self.role.add_to_policy(pass_role(self.role.role_arn, service).statement())
        for grant in grants:
            template.acknowledge(self.role, grant.findings(cdk.Stack.of(self)))


def pass_role(role_arn: str, service: str) -> Grant:
    """Return the grant to hand one role to one service and to no other."""
    return Grant(
        sid="PassRole",
        actions=["iam:PassRole"],
        resources=[role_arn],
        conditions={"StringEquals": {"iam:PassedToService": f"{service}.amazonaws.com"}},
    )


def use_key(key_arn: str) -> Grant:
    """Return the grant to read and write data under a KMS key."""
    return Grant(
        sid="UseKey",
        actions=[
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:Encrypt",
            "kms:GenerateDataKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
        ],
        resources=[key_arn],
    )


def through_s3() -> dict[str, str]:
    """Return the condition key, with its value, that keeps a grant on a key to objects that S3 reads in this Region."""
    return {"kms:ViaService": "s3.${AWS::Region}.${AWS::URLSuffix}"}


def grant_key_to_services(key_arn: str) -> Grant:
    """Return the grant to let AWS services use a key for the volumes of a job."""
    return Grant(
        sid="GrantKeyToService",
        actions=["kms:CreateGrant"],
        resources=[key_arn],
        conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
    )


def _filled(value: str | Sequence[str]) -> Any:  # noqa: ANN401 (a string or a list of them)
    return template.sub(value) if isinstance(value, str) else [template.sub(item) for item in value]


def _flat(node: Any) -> str:  # noqa: ANN401 (a resolved ARN: text or intrinsic functions)
    """Spell a resolved ARN as cdk-nag does in the ids of its findings."""
    if isinstance(node, str):
        return node.replace("${", "<").replace("}", ">")
    match node:
        case {"Fn::Join": [str(delimiter), list(items)]}:
            return delimiter.join(_flat(item) for item in items)
        case {"Fn::Sub": text}:
            return _flat(text)
        case {"Fn::GetAtt": [logical_id, attribute]}:
            return f"<{logical_id}.{attribute}>"
        case {"Ref": logical_id}:
            return f"<{logical_id}>"
    return json.dumps(node, separators=(",", ":"), ensure_ascii=False)
