"""The deploy role: what a stage of a deployment project may do in a deployment account, and nothing else.

One role serves every project and stage, because whoever assumes it must carry a tag that says for which stage of which
project (``p-abc123-prod``), and every permission names resources by that tag. What CloudFormation does in the name of
the session for the types of a stage's first stack is derived from its schemas, as for the launch role.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from aws_cdk import CfnTag
from aws_cdk import aws_iam as iam
from constructs import Construct

from foundation.caller_permissions import bare, needed_actions
from foundation.handler_permissions import resource_kinds
from foundation.policy_documents import documents, wildcard_finding
from lambdas.model_promotion.names import PACKAGES_PREFIX
from products.shared import names
from products.shared.findings import acknowledge
from products.shared.template import substituted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aws_cdk import CfnCondition

TAG_VARIABLE: Final = f"${{!aws:PrincipalTag/{names.DEPLOYMENT_TAG}}}"
"""Policy variable with the tag of whoever asks, as text for ``Fn::Sub``, which only takes the exclamation mark away."""

GROUP_VARIABLE: Final = f"${{!aws:PrincipalTag/{names.GROUP_TAG}}}"
"""Policy variable with the group of the registry whose models the session deploys."""

OWN: Final = f"{names.PROJECT_RESOURCE_PREFIX}{TAG_VARIABLE}"
"""Name, or beginning of the names, of what one stage has. An id of a project holds no hyphen after ``p-``, so that no
stage's value of the tag begins with another's and a hyphen."""

REQUEST_TAG: Final = f"aws:RequestTag/{names.DEPLOYMENT_TAG}"
RESOURCE_TAG: Final = f"aws:ResourceTag/{names.DEPLOYMENT_TAG}"

TAG_VALUES: Final = tuple(f"p-*-{stage}" for stage in names.STAGES)
"""Patterns of values of the tag."""

BOUNDARY_ARN: Final = f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:policy/{names.DEPLOYMENT_BOUNDARY_POLICY}"
TEARDOWN_ROLES: Final = f"{names.DEPLOYMENT_FUNCTION}-*"
"""Names of the hub's roles that look into accounts and take stages down, below `names.BASELINE_ROLE_PATH`."""

BASE_TYPES: Final = frozenset(
    {
        "AWS::IAM::Role",
        "AWS::KMS::Alias",
        "AWS::KMS::Key",
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
    }
)
"""Types of a stage's first stack, which CloudFormation makes with the permissions of the session itself."""


def place(service: str, resource: str) -> str:
    """Return an ARN of this account in any region, as text for ``Fn::Sub``."""
    return f"arn:${{AWS::Partition}}:{service}:*:${{AWS::AccountId}}:{resource}"


OWN_ROLES: Final = f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role{names.DEPLOYMENT_ROLE_PATH}{OWN}-*"
OWN_BUCKET: Final = f"arn:${{AWS::Partition}}:s3:::{OWN}-${{AWS::AccountId}}-*"
"""Bucket of a stage: holds the account, so that nobody gets data by owning a bucket of that name elsewhere."""

SCOPES: Final[Mapping[str, str]] = {
    "iam:role": OWN_ROLES,
    "kms:alias": place("kms", f"alias/{OWN}-*"),
    "kms:key": place("kms", "key/*"),
    "s3:bucket": OWN_BUCKET,
}
"""On which resources the session may act for `BASE_TYPES`, by IAM's kind of resource."""

_IS_OWN: Final = {"StringEquals": {RESOURCE_TAG: TAG_VARIABLE}}
_NEW_AND_OWN: Final = {"StringEquals": {REQUEST_TAG: TAG_VARIABLE}}
_BOUNDED: Final = {"StringEquals": {"iam:PermissionsBoundary": BOUNDARY_ARN}}
_VIA_CLOUDFORMATION: Final = {"ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}}
_KEEPS_TAG: Final = {"ForAllValues:StringNotEquals": {"aws:TagKeys": names.DEPLOYMENT_TAG}}

CONDITIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "iam:CreateRole": {"StringEquals": {"iam:PermissionsBoundary": BOUNDARY_ARN, REQUEST_TAG: TAG_VARIABLE}},
    "iam:DeleteRolePolicy": _BOUNDED,
    "iam:PutRolePermissionsBoundary": _BOUNDED,
    "iam:PutRolePolicy": _BOUNDED,
    "iam:TagRole": {"StringEqualsIfExists": {REQUEST_TAG: TAG_VARIABLE}},
    "iam:UntagRole": _KEEPS_TAG,
    "iam:PassRole": {"StringEquals": {"iam:PassedToService": "s3.amazonaws.com"}},
    "kms:CreateKey": _NEW_AND_OWN,
    # To tag a key while it is made takes a permission that names no key (KMS developer guide, "Controlling access to
    # tags"). Used alone it would let a session take over a foreign key by tagging it: hence the key must have no other
    # stage's tag and not be the baseline's, and only CloudFormation may ask, which tags what its own stack made
    # (extras() keeps stacks from importing).
    "kms:TagResource": {
        "StringEqualsIfExists": {REQUEST_TAG: TAG_VARIABLE, RESOURCE_TAG: TAG_VARIABLE},
        "StringNotEquals": {f"aws:ResourceTag/{names.COMPONENT_TAG}": names.BASELINE_COMPONENT},
        **_VIA_CLOUDFORMATION,
    },
    "kms:UntagResource": _IS_OWN | _KEEPS_TAG,
}
"""Conditions of single actions; all others on keys work on keys with the own tag only."""


class DeployRoleError(Exception):
    """The deploy role cannot be derived from the resource types of a stage's first stack."""


def statements(
    hub_account_id: str, *, regions: Iterable[str], types: Iterable[str] = BASE_TYPES
) -> list[dict[str, Any]]:
    """Return the statements of the role; ARNs are text for ``Fn::Sub``.

    Args:
        hub_account_id: Account of the hub, 12 digits.
        regions: Regions of the hub, in which models are registered.
        types: Types that CloudFormation makes with the session's permissions. Default: `BASE_TYPES`.

    Raises:
        DeployRoleError: An action has no entry in `SCOPES`.
    """
    grouped: dict[tuple[str, str], list[str]] = {}
    for action, users in needed_actions([bare(types)]).items():
        for resource in _resources(action, sorted(users)):
            condition = CONDITIONS.get(action, _IS_OWN if resource == SCOPES["kms:key"] else {})
            grouped.setdefault((resource, json.dumps(condition, sort_keys=True)), []).append(action)
    derived = [
        _allow(actions, resource, condition=json.loads(condition)) for (resource, condition), actions in grouped.items()
    ]
    return [*derived, *extras(hub_account_id, regions)]


def extras(hub_account_id: str, regions: Iterable[str]) -> list[dict[str, Any]]:
    """Return what a session needs besides the handlers of `BASE_TYPES`.

    Args:
        hub_account_id: Account of the hub, 12 digits.
        regions: Regions of the hub.
    """
    stacks = [place("cloudformation", f"stack/{name}/*") for name in (OWN, f"{OWN}{names.BASE_STACK_SUFFIX}")]
    # A star in place of the region would reach over slashes into the keys of other groups.
    registry = [f"arn:${{AWS::Partition}}:s3:::{names.registry_bucket(hub_account_id, region)}" for region in regions]
    # trust() lets roles of builds without the tag in without it: those of projects from before there was one, which
    # read every group in the hub as well until they are updated.
    untagged = {"Null": {f"aws:PrincipalTag/{names.GROUP_TAG}": "true"}}
    through_s3 = {"StringLike": {"kms:ViaService": "s3.*.${AWS::URLSuffix}"}}
    return [
        _allow(
            [
                f"cloudformation:{action}"
                for action in (
                    "CancelUpdateStack",
                    "ContinueUpdateRollback",
                    "DeleteChangeSet",
                    "DeleteStack",
                    "DescribeChangeSet",
                    "DescribeEvents",
                    "DescribeStackEvents",
                    "DescribeStackResource",
                    "DescribeStackResources",
                    "DescribeStacks",
                    "ExecuteChangeSet",
                    "GetTemplate",
                    "ListChangeSets",
                    "ListStackResources",
                    "TagResource",
                    "UntagResource",
                )
            ],
            *stacks,
        ),
        # Why a change set is not valid. The reference lists stacks and change sets for this action.
        _allow(["cloudformation:DescribeEvents"], place("cloudformation", f"changeSet/{OWN}-*/*")),
        # An import would put what others made under the stack's control.
        _allow(
            ["cloudformation:CreateChangeSet", "cloudformation:CreateStack", "cloudformation:UpdateStack"],
            *stacks,
            condition={"Null": {"cloudformation:ImportResourceTypes": "true"}},
        ),
        _allow(["cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate"], "*"),
        _allow(
            ["iam:PassRole"],
            f"{OWN_ROLES.removesuffix('*')}execution",
            condition={"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
        ),
        # CloudFormation invokes the function of Custom::BucketContents in the name of the session; Custom::Deployment
        # looks whether it is there.
        _allow(
            ["lambda:GetFunctionConfiguration", "lambda:InvokeFunction"],
            place("lambda", f"function:{names.BUCKET_EMPTIER_FUNCTION}"),
        ),
        # What is deployed: copied from the hub's registry into the stage's bucket, where the stage reads it.
        *(
            statement
            for models, condition in ((f"{PACKAGES_PREFIX}{GROUP_VARIABLE}/*", {}), (f"{PACKAGES_PREFIX}*", untagged))
            for statement in (
                _allow(
                    ["s3:GetObject", "s3:GetObjectVersion"],
                    *(f"{bucket}/{models}" for bucket in registry),
                    condition=condition,
                ),
                _allow(["s3:ListBucket"], *registry, condition={"StringLike": {"s3:prefix": models}, **condition}),
            )
        ),
        _allow(
            ["kms:Decrypt"],
            f"arn:${{AWS::Partition}}:kms:*:{hub_account_id}:key/*",
            condition=through_s3,
        ),
        _allow(["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"], OWN_BUCKET),
        _allow(
            [
                "s3:AbortMultipartUpload",
                "s3:DeleteObject",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
                "s3:PutObjectTagging",
            ],
            f"{OWN_BUCKET}/*",
        ),
        _allow(["kms:Decrypt", "kms:GenerateDataKey"], SCOPES["kms:key"], condition=_IS_OWN),
        # Tests of the stage, and what its approver is shown.
        _allow(
            ["sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointAsync"],
            place("sagemaker", f"endpoint/*-{TAG_VARIABLE}"),
        ),
        _allow(
            [
                "sagemaker:DescribeEndpointConfig",
                "sagemaker:DescribeModel",
                "sagemaker:DescribePipeline",
                "sagemaker:DescribePipelineExecution",
                "sagemaker:ListPipelineExecutionSteps",
                "sagemaker:ListPipelineExecutions",
                "sagemaker:StartPipelineExecution",
                "sagemaker:StopPipelineExecution",
            ],
            # Each kind by itself: an endpoint's name begins with the project's, which could look like another stage's.
            *(place("sagemaker", f"{kind}/{OWN}-*") for kind in ("endpoint-config", "model", "pipeline")),
        ),
        # Jobs are named by the pipeline that starts them; their tag says whose they are.
        _allow(
            ["sagemaker:DescribeProcessingJob", "sagemaker:DescribeTransformJob"],
            place("sagemaker", "processing-job/*"),
            place("sagemaker", "transform-job/*"),
            condition=_IS_OWN,
        ),
        _allow(["cloudwatch:DescribeAlarms"], place("cloudwatch", f"alarm:{OWN}-*")),
        _allow(["cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics", "cloudwatch:ListMetrics"], "*"),
        _allow(
            ["logs:FilterLogEvents", "logs:GetLogEvents"],
            place("logs", f"log-group:/aws/sagemaker/Endpoints/*-{TAG_VARIABLE}:*"),
        ),
    ]


def _allow(actions: Iterable[str], *resources: str, condition: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": sorted(resources),
        **({"Condition": condition} if condition else {}),
    }


def _resources(action: str, users: list[str]) -> tuple[str, ...]:
    service = action.partition(":")[0]
    kinds = resource_kinds(action)
    if kinds is not None and not kinds:
        return ("*",)
    found = tuple(SCOPES[f"{service}:{kind}"] for kind in sorted(kinds or ()) if f"{service}:{kind}" in SCOPES)
    if not found:
        raise DeployRoleError(
            f"{action} is needed for {', '.join(users)} in a stage's first stack and works on "
            f"{', '.join(sorted(kinds or ())) or 'nothing that IAM knows'}: say in SCOPES of foundation/deploy_role.py "
            f"on which resources (named by the tag), or in EXCEPTIONS of foundation/caller_exceptions.py why nobody "
            f"asks for it."
        )
    return found


def trust(hub_account_id: str) -> dict[str, Any]:
    """Return who may assume the role, and with which tag; ARNs are text for ``Fn::Sub``.

    A build of the hub gets in for the one stage that its role's tag names, and for the group of models that a second
    tag names; the build that takes stages down gets in for any stage, and for no models. A role without the second tag
    gets in without it: those of projects from before there was one.

    Args:
        hub_account_id: Account of the hub, 12 digits.
    """
    hub = f"arn:${{AWS::Partition}}:iam::{hub_account_id}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": sid,
                "Effect": "Allow",
                "Principal": {"AWS": f"{hub}:root"},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
                "Condition": {
                    "ArnLike": {"aws:PrincipalArn": f"{hub}:role{role}"},
                    "StringLike": {REQUEST_TAG: list(TAG_VALUES)},
                    **own,
                    "ForAllValues:StringEquals": {"aws:TagKeys": tags},
                },
            }
            # A principal without a tag leaves its variable without a value, and then nothing matches: hence a statement
            # of its own for those without a group, in place of an operator with IfExists on an unresolved variable.
            for sid, role, tags, own in (
                (
                    "StagesOfProjects",
                    f"{names.PROJECT_ROLE_PATH}*",
                    [names.DEPLOYMENT_TAG, names.GROUP_TAG],
                    {"StringEquals": {REQUEST_TAG: TAG_VARIABLE, f"aws:RequestTag/{names.GROUP_TAG}": GROUP_VARIABLE}},
                ),
                (
                    "StagesWithoutGroup",
                    f"{names.PROJECT_ROLE_PATH}*",
                    [names.DEPLOYMENT_TAG],
                    {
                        "StringEquals": {REQUEST_TAG: TAG_VARIABLE},
                        "Null": {f"aws:PrincipalTag/{names.GROUP_TAG}": "true"},
                    },
                ),
                ("Teardown", f"{names.BASELINE_ROLE_PATH}{TEARDOWN_ROLES}", [names.DEPLOYMENT_TAG], {}),
            )
        ],
    }


class DeployRole(Construct):
    """Role ``ml-platform-deploy`` with its policies, in the home region only: IAM has no regions.

    Args:
        hub_account_id: Account of the hub, 12 digits.
        regions: Regions of the hub, in which models are registered.
        condition: Condition under which the role exists.
    """

    def __init__(
        self, scope: Construct, id_: str, *, hub_account_id: str, regions: Iterable[str], condition: CfnCondition
    ) -> None:
        super().__init__(scope, id_)
        allowed = statements(hub_account_id, regions=regions)
        policies = [
            iam.CfnManagedPolicy(
                self,
                f"Policy{number}",
                managed_policy_name=f"{names.DEPLOY_ROLE}-{number}",
                path=names.BASELINE_ROLE_PATH,
                description="What a stage of a deployment project may do; every resource is named by the stage's tag.",
                policy_document=substituted(document),
            )
            for number, document in enumerate(documents(allowed), start=1)
        ]
        role = iam.CfnRole(
            self,
            "Role",
            role_name=names.DEPLOY_ROLE,
            description="Deploys the stage of a project that the session's tag names.",
            max_session_duration=3600,  # the longest for a role assumed by a role; stacks go on with their own role
            assume_role_policy_document=substituted(trust(hub_account_id)),
            managed_policy_arns=[policy.ref for policy in policies],
            tags=[CfnTag(key=names.COMPONENT_TAG, value=names.BASELINE_COMPONENT)],
        )
        for resource in (*policies, role):
            resource.cfn_options.condition = condition
        reason = "Resources are named by the stage's tag; where a service generates ids, a condition demands the tag."
        findings = {
            wildcard_finding(arn): "These actions have no resource level." if arn == "*" else reason
            for statement in allowed
            for arn in statement["Resource"]
            if "*" in arn
        }
        for policy in policies:
            acknowledge(policy, findings)
