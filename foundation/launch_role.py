"""The launch role: what Service Catalog may do in an account to launch the products of this catalog, and nothing else.

Its policy is not written but derived: `foundation.caller_permissions` says which actions the released templates take,
and the tables below say on which resources and under which conditions. An action that the tables do not cover stops the
synthesis with the name of the table to extend.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aws_cdk import CfnCondition, CfnTag, Fn
from aws_cdk import aws_iam as iam
from constructs import Construct

from foundation.caller_permissions import needed_actions
from foundation.handler_permissions import resource_kinds
from portfolios.catalog import products_of_the_hub
from products.shared import names
from products.shared.findings import acknowledge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from foundation.caller_permissions import Template

PRODUCTS: Final = Path(__file__).resolve().parent.parent / "products"

MANAGED_POLICY_MAX: Final = 6144
"""Characters of a managed policy without white space (IAM quotas)."""

ATTACHED_POLICIES_MAX: Final = 10
"""Managed policies per role (IAM quotas, default)."""

BASELINE_TAG: Final = "ml-platform:component"
BASELINE_TAG_VALUE: Final = "baseline"
"""Tag on every resource of the baseline."""

HUB_TAG_VALUE: Final = "hub"
"""Value of the same tag on the other keys of the hub: of releases, registry, audit records and messages."""

BOUNDARY_ARN: Final = f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:policy/{names.BOUNDARY_POLICY}"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Resources of one kind on which the role may act.

    Attributes:
        arns: ARNs as text for ``Fn::Sub``.
        because: Why they hold a ``*``.
    """

    arns: tuple[str, ...]
    because: str


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
    "cloudwatch:alarm": _own("cloudwatch", "alarm:mlp-*", _NAMED),
    "codebuild:project": _own("codebuild", "project/mlp-*", _NAMED),
    "codeconnections:connection": _own("codeconnections", "connection/*", _GENERATED),
    "codepipeline:pipeline": _own("codepipeline", "mlp-*", _NAMED),
    "codepipeline:stage": _own("codepipeline", "mlp-*/*", _NAMED),
    "codestar-connections:connection": _own("codestar-connections", "connection/*", _GENERATED),
    "ec2:security-group": _own("ec2", "security-group/*", _GENERATED),
    "ec2:security-group-rule": _own("ec2", "security-group-rule/*", _GENERATED),
    "ec2:vpc": _own("ec2", "vpc/*", "A person chooses the VPC; CreateSecurityGroup is the only action on it."),
    "elasticfilesystem:file-system": _own("elasticfilesystem", "file-system/*", _GENERATED),
    "events:rule-on-default-event-bus": _own("events", "rule/mlp-*", _NAMED),
    "iam:role": Scope(
        arns=_iam(f"role{names.PROJECT_ROLE_PATH}*", f"role/{names.PREFIX}/persona/*"), because=_ROLE_PATHS
    ),
    "identitystore:identitystore": Scope(
        arns=("arn:${AWS::Partition}:identitystore::*:identitystore/*",),
        because="Read only: the directory lives in the organisation's management account, whose id is not known here.",
    ),
    "identitystore:allusers": Scope(arns=("arn:${AWS::Partition}:identitystore:::user/*",), because=_READ_ONLY),
    "identitystore:user": Scope(arns=("arn:${AWS::Partition}:identitystore:::user/*",), because=_READ_ONLY),
    "kms:alias": _own("kms", "alias/mlp-*", _NAMED),
    "kms:key": _own("kms", "key/*", _GENERATED),
    "logs:log-group": _own("logs", "log-group:/aws/codebuild/mlp-*", _NAMED),
    "s3:bucket": Scope(arns=("arn:${AWS::Partition}:s3:::mlp-*",), because=_NAMED),
    "sagemaker:app": _own("sagemaker", "app/*", _GENERATED),
    "sagemaker:domain": _own("sagemaker", "domain/*", _GENERATED),
    "sagemaker:image": _own("sagemaker", "image/*", _READ_ONLY),
    "sagemaker:image-version": _own("sagemaker", "image-version/*", _READ_ONLY),
    "sagemaker:model-package-group": _own(
        "sagemaker", "model-package-group/*-p-*", "Groups are named <project name>-<project id>; ids begin with p-."
    ),
    "sagemaker:studio-lifecycle-config": _own("sagemaker", "studio-lifecycle-config/mlp-*", _NAMED),
    "sagemaker:user-profile": _own("sagemaker", "user-profile/*", _GENERATED),
    "scheduler:schedule": _own("scheduler", "schedule/default/mlp-*", _NAMED),
    "scheduler:schedule-group": _own("scheduler", "schedule-group/mlp-*", _NAMED),
    # Actions on a subscription name its topic; a subscription's ARN is that of the topic and an id.
    "sns:topic": _own("sns", "mlp-*", _NAMED),
    "sqs:queue": _own("sqs", "mlp-*", _NAMED),
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
    "StringNotEquals": {f"aws:ResourceTag/{BASELINE_TAG}": [BASELINE_TAG_VALUE, HUB_TAG_VALUE]}
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
                arns=(f"arn:${{AWS::Partition}}:s3:::{names.PREFIX}-artifacts-{hub_account_id}-*/releases/*",),
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


class LaunchRoleError(Exception):
    """The launch role cannot be derived from the resource types of the products."""


def released_templates(products: Path = PRODUCTS) -> list[Path]:
    """Return the template of every release in the repository."""
    return sorted(products.glob("*/releases/*/template.json"))


def launched_templates(products: Path = PRODUCTS, *, in_hub: bool) -> list[dict[str, Any]]:
    """Return the templates of all releases that are launched in the hub, or of those that are launched elsewhere.

    Args:
        products: Folder of the products. Default: that of this repository.
        in_hub: Whether those products are meant whose portfolios are not shared.
    """
    return [
        json.loads(path.read_text(encoding="utf-8"))
        for path in released_templates(products)
        if (path.parents[2].name.replace("_", "-") in products_of_the_hub()) is in_hub
    ]


def statements(
    templates: Iterable[Template], hub_account_id: str, kind: AccountKind = WORKLOADS
) -> list[dict[str, Any]]:
    """Return the allow statements of the role; ARNs are text for ``Fn::Sub``.

    Args:
        templates: Templates that are launched.
        hub_account_id: Account of the artifact bucket, 12 digits.
        kind: Kind of account. Default: `WORKLOADS`.

    Raises:
        LaunchRoleError: An action has no entry in `SCOPES`.
        SchemaError: A type has no usable schema.
    """
    grouped: dict[tuple[tuple[str, ...], str], set[str]] = {}
    for action, scopes, conditions in _grants(templates, hub_account_id, kind):
        arns = tuple(sorted({arn for scope in scopes for arn in scope.arns}))
        grouped.setdefault((arns, json.dumps(conditions, sort_keys=True)), set()).add(action)
    return [
        {
            "Effect": "Allow",
            "Action": sorted(actions),
            "Resource": list(resources),
            **({"Condition": json.loads(conditions)} if conditions != "{}" else {}),
        }
        for (resources, conditions), actions in sorted(grouped.items(), key=lambda item: (sorted(item[1]), item[0]))
    ]


def _grants(
    templates: Iterable[Template], hub_account_id: str, kind: AccountKind
) -> Iterator[tuple[str, tuple[Scope, ...], Mapping[str, Any]]]:
    for action, users in needed_actions(templates).items():
        yield action, scopes_of(action, sorted(users), kind), CONDITIONS.get(action, {})
    for extra in extras(hub_account_id):
        for action in extra.actions:
            scopes = (extra.scope,) if extra.scope else scopes_of(action, ["Service Catalog"], kind)
            yield action, scopes, extra.conditions


def scopes_of(action: str, users: Sequence[str], kind: AccountKind = WORKLOADS) -> tuple[Scope, ...]:
    """Return on what the role may use an action; `ANYTHING` only for actions without resource level.

    Args:
        action: E.g. ``iam:CreateRole``.
        users: Who needs it; named in the error.
        kind: Kind of account. Default: `WORKLOADS`.

    Raises:
        LaunchRoleError: IAM knows no such action, or no kind of its resources is in `SCOPES`.
    """
    if action in ACTION_SCOPES:
        return (ACTION_SCOPES[action],)
    if action == "lambda:InvokeFunction":
        return (kind.custom_resources,)
    service = action.partition(":")[0]
    kinds = resource_kinds(action)
    if kinds is None:
        raise LaunchRoleError(
            f"{action} is needed for {', '.join(users)}, but IAM knows no such action: add it to SPELT (other "
            f"spelling) or EXCEPTIONS (with the reason) in foundation/caller_permissions.py."
        )
    if not kinds:
        return (ANYTHING,)
    scopes = tuple(kind.scopes[f"{service}:{on}"] for on in sorted(kinds) if f"{service}:{on}" in kind.scopes)
    if not scopes:
        raise LaunchRoleError(
            f"{action} is needed for {', '.join(users)} and works on {', '.join(sorted(kinds))} of {service}: say in "
            f"SCOPES of foundation/launch_role.py on which, or in EXCEPTIONS of foundation/caller_permissions.py why "
            f"nobody asks for it."
        )
    return scopes


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
            tags=[CfnTag(key=BASELINE_TAG, value=BASELINE_TAG_VALUE)],
        )
        for resource in (*policies, role):
            resource.cfn_options.condition = condition
        findings = {
            wildcard_finding(arn): scope.because
            for _, scopes, _ in _grants(templates, hub_account_id, kind)
            for scope in scopes
            for arn in scope.arns
            if "*" in arn
        }
        for policy in policies:
            acknowledge(policy, findings)


def wildcard_finding(arn: str) -> str:
    """Return the id of cdk-nag's finding for an ARN with a star; the ARN is text for ``Fn::Sub``."""
    return f"AwsSolutions-IAM5[Resource::{arn.replace('${', '<').replace('}', '>')}]"


def substituted(value: Any) -> Any:  # noqa: ANN401 - a policy document is JSON of any shape
    """Return JSON in which every text with a placeholder ``${AWS::…}`` is an ``Fn::Sub``.

    Policy variables are written ``${!aws:…}``; a text with these alone needs no ``Fn::Sub``.
    """
    if isinstance(value, str):
        return Fn.sub(value) if "${" in value.replace("${!", "") else value.replace("${!", "${")
    if isinstance(value, dict):
        return {key: substituted(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [substituted(entry) for entry in value]
    return value
