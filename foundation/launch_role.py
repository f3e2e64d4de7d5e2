"""The launch role: what Service Catalog may do in an account to launch the products of this catalog, and nothing else.

Its policy is not written but derived: CloudFormation's schemas say which actions the resource types in the released
templates need, and the tables below say on which resources and under which conditions. A type or action that the tables
do not cover stops the synthesis with the name of the table to extend.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aws_cdk import CfnCondition, CfnTag, Fn
from aws_cdk import aws_iam as iam
from constructs import Construct

from foundation.handler_permissions import handler_permissions, resource_kinds
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PRODUCTS: Final = Path(__file__).resolve().parent.parent / "products"

MANAGED_POLICY_MAX: Final = 6144
"""Characters of a managed policy without white space (IAM quotas)."""

ATTACHED_POLICIES_MAX: Final = 10
"""Managed policies per role (IAM quotas, default)."""

BASELINE_TAG: Final = "ml-platform:component"
BASELINE_TAG_VALUE: Final = "baseline"
"""Tag on every resource of the baseline."""

_OWN: Final = "arn:${AWS::Partition}:%s:*:${AWS::AccountId}:%s"

BOUNDARY_ARN: Final = f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:policy/{names.BOUNDARY_POLICY}"

_ROLES: Final = (
    f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role{names.PROJECT_ROLE_PATH}*",
    f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{names.PREFIX}/persona/*",
)

SCOPES: Final[Mapping[str, tuple[str, ...]]] = {
    # Names begin with mlp- wherever the service lets a template choose them (products/shared/names.py).
    "codebuild:project": (_OWN % ("codebuild", "project/mlp-*"),),
    "codeconnections:connection": (_OWN % ("codeconnections", "connection/*"),),  # ids are generated
    "codepipeline:pipeline": (_OWN % ("codepipeline", "mlp-*"),),
    "codepipeline:stage": (_OWN % ("codepipeline", "mlp-*/*"),),
    "codestar-connections:connection": (_OWN % ("codestar-connections", "connection/*"),),
    "ec2:security-group": (_OWN % ("ec2", "security-group/*"),),
    "ec2:security-group-rule": (_OWN % ("ec2", "security-group-rule/*"),),
    "ec2:vpc": (_OWN % ("ec2", "vpc/*"),),
    "elasticfilesystem:file-system": (_OWN % ("elasticfilesystem", "file-system/*"),),
    "events:rule-on-default-event-bus": (_OWN % ("events", "rule/mlp-*"),),
    "iam:role": _ROLES,
    # Directories live in the organisation's management account.
    "identitystore:identitystore": ("arn:${AWS::Partition}:identitystore::*:identitystore/*",),
    "identitystore:user": ("arn:${AWS::Partition}:identitystore:::user/*",),
    "kms:alias": (_OWN % ("kms", "alias/mlp-*"),),
    "kms:key": (_OWN % ("kms", "key/*"),),
    "logs:log-group": (_OWN % ("logs", "log-group:/aws/codebuild/mlp-*"),),
    "s3:bucket": ("arn:${AWS::Partition}:s3:::mlp-*",),
    "sagemaker:app": (_OWN % ("sagemaker", "app/*"),),
    "sagemaker:domain": (_OWN % ("sagemaker", "domain/*"),),
    "sagemaker:image": (_OWN % ("sagemaker", "image/*"),),
    "sagemaker:image-version": (_OWN % ("sagemaker", "image-version/*"),),
    "sagemaker:model-package-group": (_OWN % ("sagemaker", "model-package-group/*-p-*"),),
    "sagemaker:studio-lifecycle-config": (_OWN % ("sagemaker", "studio-lifecycle-config/mlp-*"),),
    "sagemaker:user-profile": (_OWN % ("sagemaker", "user-profile/*"),),
    "scheduler:schedule": (_OWN % ("scheduler", "schedule/default/mlp-*"),),
    "sqs:queue": (_OWN % ("sqs", "mlp-*"),),
    "sso:instance": ("arn:${AWS::Partition}:sso:::instance/*",),
    # Not needed by handlers but by the extras below.
    "cloudformation:stack": (_OWN % ("cloudformation", "stack/SC-*"),),  # how Service Catalog names its stacks
    "cloudformation:changeset": (_OWN % ("cloudformation", "changeSet/*"),),
    "lambda:function": tuple(
        _OWN % ("lambda", f"function:{name}")
        for name in (
            names.SEED_CHECKIN_FUNCTION,
            names.BUCKET_EMPTIER_FUNCTION,
            names.ENABLE_PROJECTS_FUNCTION,
            names.PREFLIGHT_FUNCTION,
        )
    ),
    "ssm:parameter": (_OWN % ("ssm", f"parameter/{names.PREFIX}/*"),),
}
"""On which resources the role may act: IAM's kind of resource (service:kind) and the ARNs of that kind."""

ACTION_SCOPES: Final[Mapping[str, tuple[str, ...]]] = {
    # Tags are set on what products make, although the action works on every kind of resource in EC2.
    "ec2:CreateTags": SCOPES["ec2:security-group"],
    "ec2:DeleteTags": SCOPES["ec2:security-group"],
    # The first domain of an account needs AWSServiceRoleForAmazonSageMakerNotebooks.
    "iam:CreateServiceLinkedRole": (
        "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/aws-service-role/sagemaker.amazonaws.com/*",
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
    # Ids of keys are generated, so names cannot tell products' keys from the baseline's: its tag does.
    **{key: {"StringNotEquals": {f"aws:ResourceTag/{BASELINE_TAG}": BASELINE_TAG_VALUE}} for key in ("kms:DisableKey", "kms:DisableKeyRotation", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource")},
    "kms:CreateGrant": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
    "elasticfilesystem:DeleteFileSystem": _OF_SAGEMAKER,
    "elasticfilesystem:DeleteMountTarget": _OF_SAGEMAKER,
}
"""Conditions of single actions."""

RENAMED: Final[Mapping[str, str]] = {
    # The schema of AWS::SageMaker::Domain uses the name of the CLI; IAM's prefix of EFS is elasticfilesystem.
    "efs:CreateFileSystem": "elasticfilesystem:CreateFileSystem",
    "efs:DeleteFileSystem": "elasticfilesystem:DeleteFileSystem",
    "efs:DeleteMountTarget": "elasticfilesystem:DeleteMountTarget",
    "efs:DescribeMountTargets": "elasticfilesystem:DescribeMountTargets",
}
"""Actions that a schema spells differently from IAM."""

_S3_NO_ACTION = "no such IAM action: S3 checks the Put… or s3:… action of the same configuration for a deletion"
_NOT_ROLES = "the handler serves users and groups too; products attach policies to roles only"
_NO_TABLES = "metadata tables in S3 Tables are not used by any product"
_NO_DELIVERY = "log deliveries to S3 and Firehose are not used by any product"
_LOG_EXTRAS = "index, resource, data-protection and token settings of log groups are not used by any product"

EXCEPTIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "s3:DeleteBucketAnalyticsConfiguration",
            "s3:DeleteBucketCors",
            "s3:DeleteBucketEncryption",
            "s3:DeleteBucketLifecycle",
            "s3:DeleteBucketMetricsConfiguration",
            "s3:DeleteBucketReplication",
            "s3:PutBucketReplication",
            "s3:PutObjectLockConfiguration",
            "s3:REST.PUT.OBJECT",
        ),
        _S3_NO_ACTION,
    ),
    **dict.fromkeys(
        (
            "iam:AttachGroupPolicy",
            "iam:AttachUserPolicy",
            "iam:DeleteGroupPolicy",
            "iam:DeleteUserPolicy",
            "iam:DetachGroupPolicy",
            "iam:DetachUserPolicy",
            "iam:GetGroupPolicy",
            "iam:GetUserPolicy",
            "iam:PutGroupPolicy",
            "iam:PutUserPolicy",
        ),
        _NOT_ROLES,
    ),
    "iam:DeleteRolePermissionsBoundary": "a role of a product never loses its boundary",
    **dict.fromkeys(
        (
            "s3:CreateBucketMetadataTableConfiguration",
            "s3:DeleteBucketMetadataTableConfiguration",
            "s3:UpdateBucketMetadataAnnotationTableConfiguration",
            "s3:UpdateBucketMetadataInventoryTableConfiguration",
            "s3:UpdateBucketMetadataJournalTableConfiguration",
            "s3tables:CreateNamespace",
            "s3tables:CreateTable",
            "s3tables:CreateTableBucket",
            "s3tables:GetTable",
            "s3tables:GetTableMetadataLocation",
            "s3tables:PutTableBucketPolicy",
            "s3tables:PutTableEncryption",
            "s3tables:PutTablePolicy",
            "s3tables:UpdateTableMetadataLocation",
        ),
        _NO_TABLES,
    ),
    "s3:DeleteObject": "objects are removed by the bucket emptier, which is limited to product buckets",
    "s3:PutObjectAcl": "object ownership is enforced on every bucket, so there are no ACLs",
    "s3:PutBucketAcl": "object ownership is enforced on every bucket, so there are no ACLs",
    "s3:PutBucketWebsite": "no product serves a web site from a bucket",
    "s3:DeleteBucketWebsite": "no product serves a web site from a bucket",
    **dict.fromkeys(
        ("logs:CreateLogDelivery", "firehose:TagDeliveryStream"),
        _NO_DELIVERY,
    ),
    **dict.fromkeys(
        (
            "logs:DeleteDataProtectionPolicy",
            "logs:DeleteIndexPolicy",
            "logs:DeleteResourcePolicy",
            "logs:PutBearerTokenAuthentication",
            "logs:PutDataProtectionPolicy",
            "logs:PutIndexPolicy",
            "logs:PutLogGroupDeletionProtection",
            "logs:PutResourcePolicy",
        ),
        _LOG_EXTRAS,
    ),
    "codepipeline:StartPipelineExecution": "only called when RestartExecutionOnUpdate is set, which no product does",
}
"""Permissions in the schemas that the role does not get, and why."""


@dataclass(frozen=True, kw_only=True)
class Extra:
    """Something the role needs besides the handlers.

    Attributes:
        actions: Actions.
        resources: ARNs as text for ``Fn::Sub``; empty: those of SCOPES.
        conditions: IAM conditions.
        reason: Why, with the source.
    """

    actions: tuple[str, ...]
    reason: str
    resources: tuple[str, ...] = ()
    conditions: Mapping[str, Any] | None = None


def extras(hub_account_id: str) -> tuple[Extra, ...]:
    """Return what Service Catalog and CloudFormation need besides the handlers of the resource types.

    Args:
        hub_account_id: Account of the artifact bucket from which templates are read, 12 digits.
    """
    return (
        Extra(
            reason="Service Catalog makes and changes its stacks with the launch role (administrator guide, "
            "constraints-launch)",
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
            reason="reads a template before there is a stack; both actions then have no resource",
            actions=("cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate"),
            resources=("*",),
        ),
        Extra(
            reason="Service Catalog's own copy of a template, marked by this tag (administrator guide, "
            "getstarted-launchrole)",
            actions=("s3:GetObject",),
            resources=("arn:${AWS::Partition}:s3:::*",),
            conditions={"StringEquals": {"s3:ExistingObjectTag/servicecatalog:provisioning": "true"}},
        ),
        Extra(
            reason="the released template in the hub's artifact bucket",
            actions=("s3:GetObject",),
            resources=(f"arn:${{AWS::Partition}}:s3:::{names.PREFIX}-artifacts-{hub_account_id}-*/releases/*",),
        ),
        Extra(
            reason="the key of the hub's artifact bucket, through S3 only",
            actions=("kms:Decrypt",),
            resources=(f"arn:${{AWS::Partition}}:kms:*:{hub_account_id}:key/*",),
            conditions={"StringLike": {"kms:ViaService": "s3.*.${AWS::URLSuffix}"}},
        ),
        Extra(
            reason="values of the contract: dynamic references and parameters of type AWS::SSM::Parameter::Value",
            actions=("ssm:GetParameters",),
        ),
        Extra(
            reason="custom resources: CloudFormation invokes their functions in the name of whoever launches",
            actions=("lambda:InvokeFunction",),
        ),
        Extra(
            reason="CodePipeline with a connection whose ARN has the service's new name; the schema names the "
            "old one only",
            actions=("codeconnections:PassConnection",),
        ),
    )


class LaunchRoleError(Exception):
    """The launch role cannot be derived from the resource types of the products."""


def released_templates(products: Path = PRODUCTS) -> list[Path]:
    """Return the template of every release in the repository."""
    return sorted(products.glob("*/releases/*/template.json"))


def needed_actions(types: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the IAM actions that the handlers of resource types call, each with the types that need it.

    Spelling is IAM's (`RENAMED`) and `EXCEPTIONS` are left out.
    """
    needed: dict[str, set[str]] = {}
    for resource_type in types:
        for action in handler_permissions(resource_type):
            if action not in EXCEPTIONS:
                needed.setdefault(RENAMED.get(action, action), set()).add(resource_type)
    return {action: frozenset(users) for action, users in sorted(needed.items())}


def statements(types: Iterable[str], hub_account_id: str) -> list[dict[str, Any]]:
    """Return the allow statements of the role; ARNs are text for ``Fn::Sub``.

    Args:
        types: Resource types of the products.
        hub_account_id: Account of the artifact bucket, 12 digits.

    Raises:
        LaunchRoleError: An action has no entry in `SCOPES`.
        SchemaError: A type has no usable schema.
    """
    grouped: dict[tuple[tuple[str, ...], str], set[str]] = {}

    def allow(action: str, resources: tuple[str, ...], conditions: Mapping[str, Any] | None) -> None:
        grouped.setdefault((resources, json.dumps(conditions or {}, sort_keys=True)), set()).add(action)

    for action, users in needed_actions(types).items():
        allow(action, resources_of(action, sorted(users)), CONDITIONS.get(action))
    for extra in extras(hub_account_id):
        for action in extra.actions:
            allow(action, extra.resources or resources_of(action, ["Service Catalog"]), extra.conditions)
    return [
        {
            "Effect": "Allow",
            "Action": sorted(actions),
            "Resource": list(resources),
            **({"Condition": json.loads(conditions)} if conditions != "{}" else {}),
        }
        for (resources, conditions), actions in sorted(grouped.items(), key=lambda item: (sorted(item[1]), item[0]))
    ]


def resources_of(action: str, users: Sequence[str]) -> tuple[str, ...]:
    """Return the ARNs on which the role may use an action; ``*`` only for actions without resource level.

    Args:
        action: E.g. ``iam:CreateRole``.
        users: Who needs it; named in the error.

    Raises:
        LaunchRoleError: IAM knows no such action, or no kind of its resources is in `SCOPES`.
    """
    if action in ACTION_SCOPES:
        return ACTION_SCOPES[action]
    service = action.partition(":")[0]
    kinds = resource_kinds(action)
    if kinds is None:
        raise LaunchRoleError(
            f"{action} is needed for {', '.join(users)}, but IAM knows no such action: add it to RENAMED (other "
            f"spelling) or "
            f"EXCEPTIONS (with the reason) in foundation/launch_role.py."
        )
    if not kinds:
        return ("*",)
    arns = sorted({arn for kind in kinds for arn in SCOPES.get(f"{service}:{kind}", ())})
    if not arns:
        raise LaunchRoleError(
            f"{action} is needed for {', '.join(users)} and works on {', '.join(sorted(kinds))} of {service}: say "
            f"in SCOPES of "
            f"foundation/launch_role.py on which, or in EXCEPTIONS why the role does not get it."
        )
    return tuple(arns)


def documents(allow: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Distribute statements over as few policy documents as fit into IAM's limit of a managed policy.

    Raises:
        LaunchRoleError: More documents are needed than a role can have, or one statement alone is too long.
    """
    # Account ids and partitions are longer or shorter than their placeholders; 200 characters are kept back.
    room = MANAGED_POLICY_MAX - 200
    packed: list[list[Mapping[str, Any]]] = []
    for statement in sorted(allow, key=_length, reverse=True):
        if _length(statement) > room:
            raise LaunchRoleError(
                f"a statement of the launch role has {_length(statement)} characters; a managed policy takes "
                f"{MANAGED_POLICY_MAX}: split its entry in SCOPES."
            )
        home = next((page for page in packed if sum(map(_length, page)) + _length(statement) <= room), None)
        if home is None:
            packed.append([statement])
        else:
            home.append(statement)
    if len(packed) > ATTACHED_POLICIES_MAX:
        raise LaunchRoleError(
            f"the launch role needs {len(packed)} managed policies; a role takes {ATTACHED_POLICIES_MAX}: make "
            f"the products "
            f"use fewer resource types, or give some products a launch role of their own."
        )
    return [{"Version": "2012-10-17", "Statement": page} for page in packed]


def _length(statement: Mapping[str, Any]) -> int:
    return len(json.dumps(statement, separators=(",", ":"))) + 1


class LaunchRole(Construct):
    """Role ``ml-platform-launch`` with its policies, in the home region only: IAM has no regions.

    Args:
        types: Resource types of the products.
        hub_account_id: Account of the artifact bucket, 12 digits.
        condition: Condition under which the role exists.
    """

    def __init__(
        self, scope: Construct, id_: str, *, types: Iterable[str], hub_account_id: str, condition: CfnCondition
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
            for number, document in enumerate(documents(statements(types, hub_account_id)), start=1)
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
            tags=[CfnTag(key=BASELINE_TAG, value=BASELINE_TAG_VALUE)],
        )
        for resource in (*policies, role):
            resource.cfn_options.condition = condition


def substituted(value: Any) -> Any:  # noqa: ANN401 - a policy document is JSON of any shape
    """Return JSON in which every text with a placeholder ``${AWS::…}`` is an ``Fn::Sub``."""
    if isinstance(value, str):
        return Fn.sub(value) if "${" in value else value
    if isinstance(value, dict):
        return {key: substituted(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [substituted(entry) for entry in value]
    return value
