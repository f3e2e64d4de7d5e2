"""The boundary of deployment accounts: the most that any role of a stage may do, whatever its own policy says.

The repository of a project writes these roles, so the boundary is what keeps stages apart: wherever a service knows
resources, it names those of the role's own stage, by the tag ``ml-platform-deployment``. A session may claim any value
of that tag, because its trust policy is the repository's as well; so nothing counts unless the role's name, which a
session cannot choose, holds the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aws_cdk import aws_iam as iam
from constructs import Construct

from foundation.deploy_role import (
    OWN,
    OWN_BUCKET,
    OWN_ROLES,
    REQUEST_TAG,
    RESOURCE_TAG,
    TAG_VALUES,
    TAG_VARIABLE,
    place,
)
from foundation.policy_documents import wildcard_finding
from products.shared import names
from products.shared.findings import acknowledge
from products.shared.template import substituted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import CfnCondition

STAGE_TYPES: Final = frozenset(
    {
        "AWS::ApiGateway::Authorizer",
        "AWS::ApiGateway::Deployment",
        "AWS::ApiGateway::Method",
        "AWS::ApiGateway::Model",
        "AWS::ApiGateway::RequestValidator",
        "AWS::ApiGateway::Resource",
        "AWS::ApiGateway::RestApi",
        "AWS::ApiGateway::Stage",
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::CloudWatch::Alarm",
        "AWS::Events::Rule",
        "AWS::Logs::LogGroup",
        "AWS::SQS::Queue",
        "AWS::SQS::QueuePolicy",
        "AWS::SageMaker::Endpoint",
        "AWS::SageMaker::EndpointConfig",
        "AWS::SageMaker::Model",
        "AWS::SageMaker::Pipeline",
    }
)
"""Types of a stage's second stack, which CloudFormation makes with the stage's execution role."""


def _named(service: str, resource: str) -> str:
    """Return an ARN whose resource holds the tag: whatever account it is in, it is the same stage of the project."""
    return f"arn:${{AWS::Partition}}:{service}:*:*:{resource}"


_PRINCIPAL_TAG: Final = f"aws:PrincipalTag/{names.DEPLOYMENT_TAG}"
_OURS: Final = {"StringEquals": {RESOURCE_TAG: TAG_VARIABLE}}
_NEW: Final = {
    # The second condition keeps a role from making another stage's resource its own by tagging it.
    "StringEquals": {REQUEST_TAG: TAG_VARIABLE},
    "StringEqualsIfExists": {RESOURCE_TAG: TAG_VARIABLE},
}
_OWN_NAMES: Final = (
    # Each kind by itself: an endpoint's name begins with the project's, which could be like the name of another stage.
    *(_named("sagemaker", f"{kind}/{OWN}-*") for kind in ("endpoint-config", "model", "pipeline")),
    _named("sagemaker", f"endpoint/*-{TAG_VARIABLE}"),
    _named("cloudwatch", f"alarm:{OWN}-*"),
    # Names that Application Auto Scaling gives the alarms of a target-tracking policy.
    _named("cloudwatch", f"alarm:TargetTracking-endpoint/*-{TAG_VARIABLE}/*"),
    _named("events", f"rule/{OWN}-*"),
    _named("logs", f"log-group:/aws/apigateway/{OWN}-*"),
    # To make the group; nothing in _BY_NAME works on streams, into whose names this star would reach.
    _named("logs", f"log-group:/aws/sagemaker/Endpoints/*-{TAG_VARIABLE}"),
    _named("sqs", f"{OWN}-*"),
    OWN_BUCKET,  # the star at its end spans the objects as well
)
_BY_NAME: Final = [
    # Stars save characters; each line was held against the reference: nothing else on these resources begins or ends so
    # that would do harm. IAM does not tell cases of actions apart: *Tag* is UntagResource as well.
    "cloudwatch:De*Alarms",
    "cloudwatch:Put*Alarm",
    "cloudwatch:*Tag*",
    "events:De*",
    "events:List*",
    "events:PutRule",
    "events:*Targets",
    "events:*TagResource",
    "logs:*KmsKey",
    "logs:*LogGroup",
    "logs:*RetentionPolicy",
    "logs:GetDataP*",
    "logs:*Tag*",
    "s3:Abort*",
    "s3:DeleteObject",
    "s3:Get*",
    "s3:List*",
    "s3:PutObject*",
    "sagemaker:AddTags",
    "sagemaker:Create*",
    "sagemaker:De*",
    "sagemaker:Inv*",
    "sagemaker:List*",
    "sagemaker:Retry*",
    "sagemaker:St*",
    "sagemaker:Update*",
    "sqs:*Queue*",
    "sqs:SendMessage",
]
_SAME_ORGANIZATION: Final = {"StringEquals": {"aws:ResourceOrgID": "${!aws:PrincipalOrgID}"}}
_PLATFORM_BUCKETS: Final = [
    f"arn:${{AWS::Partition}}:s3:::{prefix}*" for prefix in (names.PROJECT_RESOURCE_PREFIX, f"{names.PREFIX}-")
]


def document(hub_account_id: str) -> dict[str, Any]:
    """Return the policy document; ARNs are text for ``Fn::Sub``.

    Args:
        hub_account_id: Account of the hub, 12 digits.
    """
    return {"Version": "2012-10-17", "Statement": [*_allowed(hub_account_id), *_denied()]}


def _allowed(hub_account_id: str) -> list[dict[str, Any]]:
    # A managed policy takes 6,144 characters, so actions of several services share a statement where each of them fits
    # only its own service's resources.
    jobs = [place("sagemaker", f"{kind}-job/*") for kind in ("processing", "transform")]
    apis = "arn:${AWS::Partition}:apigateway:*::"
    targets = place("application-autoscaling", "scalable-target/*")
    return [
        _allow(_BY_NAME, *_OWN_NAMES),
        # Services make up the names of jobs, scalable targets, APIs and keys: what is made must be tagged, and what is
        # there must have the tag. Children of an API inherit its tags for access control (API Gateway developer guide,
        # "API Gateway resources that can be tagged").
        _allow(
            [
                "apigateway:POST",
                "apigateway:PUT",
                "application-autoscaling:Reg*",
                "application-autoscaling:Tag*",
                "sagemaker:AddTags",
                "sagemaker:Create*Job",
            ],
            *jobs,
            targets,
            f"{apis}/restapis",
            f"{apis}/tags/*",
            when=_NEW,
        ),
        _allow(
            [
                "apigateway:DELETE",
                "apigateway:GET",
                "apigateway:P*",
                "apigateway:Up*",
                "application-autoscaling:*Resource",
                "application-autoscaling:*Sc*",
                "kms:*crypt*",
                "kms:CreateGrant",
                "kms:DescribeKey",
                "kms:GenerateDataKey*",
                "sagemaker:Describe*Job",
                "sagemaker:ListTags",
                "sagemaker:Stop*Job",
            ],
            *jobs,
            targets,
            f"{apis}/restapis/*",
            f"{apis}/tags/*",
            place("kms", "key/*"),
            when=_OURS,
        ),
        _allow(
            [
                "application-autoscaling:Describe*",
                "cloudwatch:GetMetric*",
                "ec2:Describe*",
                "ecr:GetAuthorizationToken",
                "logs:Describe*",
            ],
            "*",
        ),
        _allow(
            ["cloudwatch:PutMetricData"],
            "*",
            when={"StringLike": {"cloudwatch:namespace": [f"{names.PREFIX}/*", "/aws/sagemaker/*"]}},
        ),
        # Drift goes to the hub; images come from any registry that lets this account pull; SageMaker puts interfaces
        # into the VPC of a model, and keeps one log group for all jobs of a kind and one for each endpoint. Behind the
        # name of an endpoint's group the colon ends it: a star could otherwise reach into the name of a stream.
        _allow(
            [
                "ec2:*NetworkInterface",
                "ec2:*NetworkInterfacePermission",
                "ecr:BatchCheck*",
                "ecr:BatchGetImage",
                "ecr:GetDownload*",
                "events:PutEvents",
                "logs:CreateLog*",
                "logs:PutLogEvents",
            ],
            place("ec2", "*/*"),
            "arn:${AWS::Partition}:ecr:*:*:repository/*",
            f"arn:${{AWS::Partition}}:events:*:{hub_account_id}:event-bus/{names.HUB_EVENT_BUS}",
            *(place("logs", f"log-group:/aws/sagemaker/{kind}Jobs*") for kind in ("Processing", "Transform")),
            place("logs", f"log-group:/aws/sagemaker/Endpoints/*-{TAG_VARIABLE}:*"),
        ),
        # Input of batch jobs, and the bucket to which captured data is replicated: any but a platform bucket. The
        # policies of buckets in other accounts decide as well; for those of this account see _denied().
        {
            "Effect": "Allow",
            "Action": [
                "s3:GetBucketLocation",
                "s3:GetObject*",
                "s3:ListBucket",
                "s3:ObjectOwner*",
                "s3:Replicate*",
            ],
            "NotResource": _PLATFORM_BUCKETS,
            "Condition": _SAME_ORGANIZATION,
        },
        # Of keys without a tag only those of objects that the role may read or write: S3 decides about these first.
        _allow(
            ["kms:Decrypt", "kms:Encrypt"],
            "arn:${AWS::Partition}:kms:*:*:key/*",
            when={"StringLike": {"kms:ViaService": "s3.*"}, "Null": {RESOURCE_TAG: "true"}},
        ),
        _allow(
            ["iam:PassRole"],
            OWN_ROLES,
            when={
                "StringEquals": {
                    "iam:PassedToService": [f"{s}.amazonaws.com" for s in ("apigateway", "events", "sagemaker")]
                }
            },
        ),
        _allow(
            ["iam:CreateServiceLinkedRole"],
            "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/aws-service-role/*",
            when={"StringEquals": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}},
        ),
    ]


def _denied() -> list[dict[str, Any]]:
    # Explicit, because a resource policy may grant what a boundary only leaves out.
    return [
        # A session's tag replaces its role's (IAM user guide, "Pass session tags in AWS STS"), and aws:PrincipalArn is
        # the ARN of the role. The two denials of values come without a variable: one that has no value can make its
        # whole statement invalid (IAM user guide, "Variables and tags"), so they alone stop a role without the tag.
        _deny("NameTellsStage", "*", when={"ArnNotLike": {"aws:PrincipalArn": OWN_ROLES}}),
        # "p" is the beginning of every project's names ...
        _deny("TagIsStage", "*", when={"StringNotLike": {_PRINCIPAL_TAG: list(TAG_VALUES)}}),
        # ... and "p-a-test-p-b-test" could be the name that a role of p-a-test goes on with, and the end of an
        # endpoint's name of p-b.
        _deny("TagIsOneStage", "*", when={"StringLike": {_PRINCIPAL_TAG: "p-*-*-*"}}),
        # In one account the role's policy alone would open every bucket. S3 knows the tags of a bucket once its owner
        # switches that on (S3 user guide, "Enabling ABAC in general purpose buckets"); a value may name
        # several stages, with spaces between them.
        {
            "Sid": "OwnersShare",
            "Effect": "Deny",
            "Action": "s3:*",
            "NotResource": _PLATFORM_BUCKETS[0],
            "Condition": {
                "StringEquals": {"aws:ResourceAccount": "${!aws:PrincipalAccount}"},
                "StringNotLike": {f"aws:ResourceTag/{names.SHARED_WITH_TAG}": f"*{TAG_VARIABLE}*"},
            },
        },
        _deny("HubDecides", ["sagemaker:*ModelPackage*", "sts:AssumeRole"]),
        _deny(
            "OwnKeys",
            "kms:*",
            when={"StringNotEquals": {RESOURCE_TAG: TAG_VARIABLE}, "Null": {RESOURCE_TAG: "false"}},
        ),
    ]


def _deny(sid: str, actions: str | list[str], *, when: Mapping[str, Any] | None = None) -> dict[str, Any]:
    statement = {"Sid": sid, "Effect": "Deny", "Action": actions, "Resource": "*"}
    return statement | ({"Condition": when} if when else {})


def _allow(actions: list[str], *resources: str, when: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": actions,
        "Resource": list(resources) if len(resources) > 1 else resources[0],
        **({"Condition": when} if when else {}),
    }


class DeploymentBoundary(Construct):
    """Managed policy ``ml-platform-deployment-boundary``, in the home region only: IAM has no regions.

    Args:
        hub_account_id: Account of the hub, 12 digits.
        condition: Condition under which the policy exists.
    """

    def __init__(self, scope: Construct, id_: str, *, hub_account_id: str, condition: CfnCondition) -> None:
        super().__init__(scope, id_)
        content = document(hub_account_id)
        policy = iam.CfnManagedPolicy(
            self,
            "Policy",
            managed_policy_name=names.DEPLOYMENT_BOUNDARY_POLICY,
            description="The most that any role of a deployed stage may do: what carries the stage's tag.",
            policy_document=substituted(content),
        )
        policy.cfn_options.condition = condition
        reason = "A boundary grants nothing: it is the ceiling for the roles of stages, which name their resources."
        allowed = [statement for statement in content["Statement"] if statement["Effect"] == "Allow"]
        acknowledge(
            policy,
            {
                f"AwsSolutions-IAM5[Action::{action}]": reason
                for statement in allowed
                for action in statement["Action"]
                if "*" in action
            }
            | {
                wildcard_finding(arn): reason
                for statement in allowed
                for arn in _listed(statement.get("Resource", []))
                if "*" in arn
            },
        )


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
