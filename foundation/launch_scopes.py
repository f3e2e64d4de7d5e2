"""On which resources a launch role acts and under which conditions, as data: by kind of resource, action and account.

What the released templates take is derived (`foundation.launch_policy`); these tables say where.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from foundation.boundary import BOUNDARY_ARN
from lambdas.shared.artifact_bucket import RELEASES_PREFIX
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Resources of one kind on which the role may act.

    Attributes:
        arns: ARNs as text for ``Fn::Sub``.
        because: Why they hold a ``*``.
    """

    arns: tuple[str, ...]
    because: str


_MADE: Final = f"{names.PROJECT_RESOURCE_PREFIX}*"
_NAMED: Final = "Names of what products make begin with mlp- (products/shared/names.py)."
_GENERATED: Final = "The service generates the ids of what products make."
_ROLE_PATHS: Final = "Products put their roles below these paths; each carries the boundary."
_READ_ONLY: Final = "Read only: a product may name any of them."


def _own(service: str, resource: str, because: str) -> Scope:
    return Scope(arns=(f"arn:${{AWS::Partition}}:{service}:*:${{AWS::AccountId}}:{resource}",), because=because)


ANYTHING: Final = Scope(arns=("*",), because="These actions have no resource level.")


def _iam(*resources: str) -> tuple[str, ...]:
    return tuple(f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:{resource}" for resource in resources)


SCOPES: Final[Mapping[str, Scope]] = {
    "athena:workgroup": _own("athena", f"workgroup/{_MADE}", _NAMED),
    "cloudwatch:alarm": _own("cloudwatch", f"alarm:{_MADE}", _NAMED),
    "codebuild:project": _own("codebuild", f"project/{_MADE}", _NAMED),
    "codeconnections:connection": _own("codeconnections", "connection/*", _GENERATED),
    "codepipeline:pipeline": _own("codepipeline", f"{_MADE}", _NAMED),
    "codepipeline:stage": _own("codepipeline", f"{_MADE}/*", _NAMED),
    "codestar-connections:connection": _own("codestar-connections", "connection/*", _GENERATED),
    "ec2:security-group": _own("ec2", "security-group/*", _GENERATED),
    "ec2:security-group-rule": _own("ec2", "security-group-rule/*", _GENERATED),
    "ec2:vpc": _own("ec2", "vpc/*", "A person chooses the VPC; CreateSecurityGroup is the only action on it."),
    "elasticfilesystem:file-system": _own("elasticfilesystem", "file-system/*", _GENERATED),
    "events:rule-on-default-event-bus": _own("events", f"rule/{_MADE}", _NAMED),
    "iam:role": Scope(
        arns=_iam(f"role{names.PROJECT_ROLE_PATH}*", f"role/{names.PREFIX}/persona/*"), because=_ROLE_PATHS
    ),
    "iam:policy": Scope(
        arns=_iam(f"policy{names.DATA_POLICY_PATH}*"),
        because="data-access products put the policies of their files below this path.",
    ),
    "identitystore:identitystore": Scope(
        arns=("arn:${AWS::Partition}:identitystore::*:identitystore/*",),
        because="Read only: the directory lives in the organisation's management account, whose id is not known here.",
    ),
    "identitystore:allusers": Scope(arns=("arn:${AWS::Partition}:identitystore:::user/*",), because=_READ_ONLY),
    "identitystore:user": Scope(arns=("arn:${AWS::Partition}:identitystore:::user/*",), because=_READ_ONLY),
    "kms:alias": _own("kms", f"alias/{_MADE}", _NAMED),
    "kms:key": _own("kms", "key/*", _GENERATED),
    "logs:log-group": _own("logs", f"log-group:/aws/codebuild/{_MADE}", _NAMED),
    "s3:bucket": Scope(arns=(f"arn:${{AWS::Partition}}:s3:::{_MADE}",), because=_NAMED),
    "sagemaker:app": _own("sagemaker", "app/*", _GENERATED),
    "sagemaker:domain": _own("sagemaker", "domain/*", _GENERATED),
    "sagemaker:image": _own("sagemaker", "image/*", _READ_ONLY),
    "sagemaker:image-version": _own("sagemaker", "image-version/*", _READ_ONLY),
    "sagemaker:model-package-group": _own(
        "sagemaker", "model-package-group/*-p-*", "Groups are named <project name>-<project id>; ids begin with p-."
    ),
    "sagemaker:studio-lifecycle-config": _own("sagemaker", f"studio-lifecycle-config/{_MADE}", _NAMED),
    "sagemaker:user-profile": _own("sagemaker", "user-profile/*", _GENERATED),
    "scheduler:schedule": _own("scheduler", f"schedule/default/{_MADE}", _NAMED),
    "scheduler:schedule-group": _own("scheduler", f"schedule-group/{_MADE}", _NAMED),
    # Actions on a subscription name its topic; a subscription's ARN is that of the topic and an id.
    "sns:topic": _own("sns", f"{_MADE}", _NAMED),
    "sqs:queue": _own("sqs", f"{_MADE}", _NAMED),
    "sso:instance": Scope(arns=("arn:${AWS::Partition}:sso:::instance/*",), because=_READ_ONLY),
    # Needed by the extras below only.
    "cloudformation:changeset": _own("cloudformation", "changeSet/*", _GENERATED),
    "cloudformation:stack": _own("cloudformation", "stack/SC-*", "Service Catalog names its stacks SC-<account>-pp-…."),
    "ssm:parameter": _own("ssm", f"parameter/{names.PREFIX}/*", "Values of the contract and of the network."),
}
"""On which resources the role may act, by IAM's kind of resource (service:kind)."""

ACTION_SCOPES: Final[Mapping[str, Scope]] = {
    # Tags are set on what products make, although the action works on every kind of resource in EC2.
    "ec2:CreateTags": SCOPES["ec2:security-group"],
    "ec2:DeleteTags": SCOPES["ec2:security-group"],
    "iam:CreateServiceLinkedRole": Scope(
        arns=_iam("role/aws-service-role/sagemaker.amazonaws.com/*"),
        because="The first domain of an account needs AWSServiceRoleForAmazonSageMakerNotebooks.",
    ),
}
"""Single actions that act on other resources than the rest of their kind."""

_WITH_BOUNDARY: Final = {"StringEquals": {"iam:PermissionsBoundary": BOUNDARY_ARN}}
_TO_SERVICES: Final = {
    "StringEquals": {
        "iam:PassedToService": [
            "codebuild.amazonaws.com",
            "codepipeline.amazonaws.com",
            "events.amazonaws.com",
            "sagemaker.amazonaws.com",
            "scheduler.amazonaws.com",
        ]
    }
}
_NOT_OF_THE_PLATFORM: Final = {
    "StringNotEquals": {f"aws:ResourceTag/{names.COMPONENT_TAG}": [names.BASELINE_COMPONENT, names.HUB_COMPONENT]}
}
_OF_SAGEMAKER: Final = {"StringLike": {"aws:ResourceTag/ManagedByAmazonSageMakerResource": "*:domain/*"}}
"""Tag by which SageMaker marks the file system of a domain (SageMaker developer guide, studio-tasks-manage-storage)."""

CONDITIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    # A role without the boundary can neither be made nor given any permission: the way to more rights is closed.
    "iam:AttachRolePolicy": {
        "StringEquals": {"iam:PermissionsBoundary": BOUNDARY_ARN},
        "ArnLike": {"iam:PolicyARN": f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:policy/{names.PREFIX}/*"},
    },
    "iam:CreateRole": _WITH_BOUNDARY,
    "iam:DeleteRolePolicy": _WITH_BOUNDARY,
    "iam:DetachRolePolicy": _WITH_BOUNDARY,
    "iam:PutRolePermissionsBoundary": _WITH_BOUNDARY,
    "iam:PutRolePolicy": _WITH_BOUNDARY,
    "iam:PassRole": _TO_SERVICES,
    "iam:CreateServiceLinkedRole": {"StringEquals": {"iam:AWSServiceName": "sagemaker.amazonaws.com"}},
    # Ids of keys are generated, so names cannot tell products' keys from the platform's: their tag does.
    **dict.fromkeys(
        (
            "kms:Decrypt",
            "kms:DisableKey",
            "kms:DisableKeyRotation",
            "kms:PutKeyPolicy",
            "kms:ScheduleKeyDeletion",
            "kms:TagResource",
            "kms:UntagResource",
        ),
        _NOT_OF_THE_PLATFORM,
    ),
    "kms:CreateGrant": {"Bool": {"kms:GrantIsForAWSResource": "true"}, **_NOT_OF_THE_PLATFORM},
    "elasticfilesystem:DeleteFileSystem": _OF_SAGEMAKER,
    "elasticfilesystem:DeleteMountTarget": _OF_SAGEMAKER,
}
"""Conditions of single actions."""


@dataclass(frozen=True, kw_only=True)
class Extra:
    """Something the role needs besides what the templates take.

    Attributes:
        actions: Actions.
        reason: Why, with the source.
        scope: On what, when `SCOPES` does not say it.
        conditions: IAM conditions. Default: none.
    """

    actions: tuple[str, ...]
    reason: str
    scope: Scope | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AccountKind:
    """What differs between the launch roles of different accounts.

    Attributes:
        functions: Names of the functions behind the custom resources of products that are launched there.
        scopes: On which resources the role may act, like `SCOPES`.
    """

    functions: tuple[str, ...]
    scopes: Mapping[str, Scope] = field(default_factory=lambda: SCOPES)

    @property
    def custom_resources(self) -> Scope:
        """Functions that CloudFormation may invoke in the name of whoever launches."""
        return Scope(
            arns=tuple(f"arn:${{AWS::Partition}}:lambda:*:${{AWS::AccountId}}:function:{f}" for f in self.functions),
            because="The same function in every region of the account.",
        )


WORKLOADS: Final = AccountKind(
    functions=(
        names.SEED_CHECKIN_FUNCTION,
        names.BUCKET_EMPTIER_FUNCTION,
        names.ENABLE_PROJECTS_FUNCTION,
        names.PREFLIGHT_FUNCTION,
        names.DATA_PERMISSIONS_FUNCTION,
    )
)
"""Accounts of the workloads OU."""

HUB: Final = AccountKind(
    functions=(
        names.SEED_CHECKIN_FUNCTION,
        names.BUCKET_EMPTIER_FUNCTION,
        names.PREFLIGHT_FUNCTION,
        names.DEPLOYMENT_FUNCTION,
    ),
    # No personas: a role of an ML engineer in the hub could approve what is in the central registry.
    scopes={**SCOPES, "iam:role": Scope(arns=_iam(f"role{names.PROJECT_ROLE_PATH}*"), because=_ROLE_PATHS)},
)
"""The hub, in which deployment products are launched."""


def extras(hub_account_id: str) -> tuple[Extra, ...]:
    """Return what Service Catalog needs besides what CloudFormation asks for.

    Args:
        hub_account_id: Account of the artifact bucket from which templates are read, 12 digits.
    """
    return (
        Extra(
            reason="Service Catalog makes and changes its stacks with it (administrator guide, constraints-launch).",
            actions=(
                "cloudformation:CreateChangeSet",
                "cloudformation:CreateStack",
                "cloudformation:DeleteChangeSet",
                "cloudformation:DeleteStack",
                "cloudformation:DescribeChangeSet",
                "cloudformation:DescribeStackEvents",
                "cloudformation:DescribeStackResources",
                "cloudformation:DescribeStacks",
                "cloudformation:ExecuteChangeSet",
                "cloudformation:ListChangeSets",
                "cloudformation:ListStackResources",
                "cloudformation:SetStackPolicy",
                "cloudformation:TagResource",
                "cloudformation:UntagResource",
                "cloudformation:UpdateStack",
            ),
        ),
        Extra(
            reason="A template is read before there is a stack, so that neither action has a resource then.",
            actions=("cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate"),
            scope=ANYTHING,
        ),
        Extra(
            reason="Service Catalog's own copy of a template carries this tag (guide, getstarted-launchconstraint).",
            actions=("s3:GetObject",),
            scope=Scope(
                arns=("arn:${AWS::Partition}:s3:::*",),
                because="The bucket belongs to Service Catalog; the condition admits templates marked by it only.",
            ),
            conditions={"StringEquals": {"s3:ExistingObjectTag/servicecatalog:provisioning": "true"}},
        ),
        Extra(
            reason="The released template in the hub's artifact bucket.",
            actions=("s3:GetObject",),
            scope=Scope(
                arns=(f"arn:${{AWS::Partition}}:s3:::{names.artifact_bucket(hub_account_id, '*')}/{RELEASES_PREFIX}*",),
                because="One bucket per region, one folder per release.",
            ),
        ),
        Extra(
            reason="The key of the hub's artifact bucket.",
            actions=("kms:Decrypt",),
            scope=Scope(
                arns=(f"arn:${{AWS::Partition}}:kms:*:{hub_account_id}:key/*",),
                because="The key's id is not known in this account; the condition admits its use through S3 only.",
            ),
            conditions={"StringLike": {"kms:ViaService": "s3.*.${AWS::URLSuffix}"}},
        ),
    )
