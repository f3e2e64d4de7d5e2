"""The boundary of deployment accounts: the most that any role of a stage may do, whatever its own policy says.

The repository of a project writes these roles, so the boundary is what keeps stages apart: wherever a service knows
resources, it names those of the role's own stage, by the tag that the role was created with.
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
    TAG_VARIABLE,
    place,
)
from foundation.findings import acknowledge
from foundation.launch_role import substituted, wildcard_finding
from products.shared import names

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

_OURS: Final = {"StringEquals": {RESOURCE_TAG: TAG_VARIABLE}}
_NEW: Final = {
    # The second condition keeps a role from making another stage's resource its own by tagging it.
    "StringEquals": {REQUEST_TAG: TAG_VARIABLE},
    "StringEqualsIfExists": {RESOURCE_TAG: TAG_VARIABLE},
}
_OWN_NAMES: Final = (
    # Each kind by itself: an endpoint's name begins with the project's, which could be like the name of another stage.
    *(place("sagemaker", f"{kind}/{OWN}-*") for kind in ("endpoint-config", "model", "pipeline")),
    place("sagemaker", f"endpoint/*-{TAG_VARIABLE}"),
    place("cloudwatch", f"alarm:{OWN}-*"),
    # Names that Application Auto Scaling gives the alarms of a target-tracking policy.
    place("cloudwatch", f"alarm:TargetTracking-endpoint/*-{TAG_VARIABLE}/*"),
    place("events", f"rule/{OWN}-*"),
    place("logs", f"log-group:/aws/apigateway/{OWN}-*"),
    place("logs", f"log-group:/aws/sagemaker/Endpoints/*-{TAG_VARIABLE}"),
    place("logs", f"log-group:/aws/sagemaker/Endpoints/*-{TAG_VARIABLE}:*"),
    place("sqs", f"{OWN}-*"),
    OWN_BUCKET,
    f"{OWN_BUCKET}/*",
)
_BY_NAME: Final = [
    # IAM does not tell cases of actions apart: *TagResource is UntagResource as well.
    "cloudwatch:DeleteAlarms",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:ListTagsForResource",
    "cloudwatch:Put*Alarm",
    "cloudwatch:*TagResource",
    "events:DeleteRule",
    "events:Describe*",
    "events:List*",
    "events:PutRule",
    "events:*Targets",
    "events:*TagResource",
    "logs:*KmsKey",
    "logs:*LogGroup",
    "logs:*RetentionPolicy",
    "logs:GetDataProtectionPolicy",
    "logs:ListTagsForResource",
    "logs:*TagResource",
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:Get*",
    "s3:List*",
    "s3:PutObject",
    "s3:PutObjectTagging",
    "sagemaker:AddTags",
    "sagemaker:Create*",
    "sagemaker:Delete*",
    "sagemaker:Describe*",
    "sagemaker:InvokeEndpoint*",
    "sagemaker:List*",
    "sagemaker:RetryPipelineExecution",
    "sagemaker:Start*",
    "sagemaker:Stop*",
    "sagemaker:Update*",
    "sqs:*Queue",
    "sqs:GetQueue*",
    "sqs:ListQueueTags",
    "sqs:SendMessage",
    "sqs:SetQueueAttributes",
]
_SAME_ORGANIZATION: Final = {"StringEquals": {"aws:ResourceOrgID": "${!aws:PrincipalOrgID}"}}


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
                "application-autoscaling:RegisterScalableTarget",
                "application-autoscaling:TagResource",
                "sagemaker:AddTags",
                "sagemaker:CreateProcessingJob",
                "sagemaker:CreateTransformJob",
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
                "apigateway:PATCH",
                "apigateway:POST",
                "apigateway:PUT",
                "apigateway:UpdateRestApiPolicy",
                "application-autoscaling:De*",
                "application-autoscaling:ListTagsForResource",
                "application-autoscaling:Put*",
                "application-autoscaling:RegisterScalableTarget",
                "application-autoscaling:UntagResource",
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:Encrypt",
                "kms:GenerateDataKey*",
                "kms:ReEncrypt*",
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
        # into the VPC of a model, and keeps one log group for all jobs of a kind.
        _allow(
            [
                "ec2:*NetworkInterface",
                "ec2:*NetworkInterfacePermission",
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
                "events:PutEvents",
                "logs:CreateLog*",
                "logs:PutLogEvents",
            ],
            place("ec2", "*/*"),
            "arn:${AWS::Partition}:ecr:*:*:repository/*",
            f"arn:${{AWS::Partition}}:events:*:{hub_account_id}:event-bus/{names.HUB_EVENT_BUS}",
            place("logs", "log-group:/aws/sagemaker/*"),
        ),
        # Input of batch jobs, and the bucket to which captured data is replicated: any but a platform bucket.
        {
            "Effect": "Allow",
            "Action": [
                "s3:GetBucketLocation",
                "s3:GetObject*",
                "s3:ListBucket",
                "s3:ObjectOwnerOverrideToBucketOwner",
                "s3:Replicate*",
            ],
            "NotResource": [f"arn:${{AWS::Partition}}:s3:::{prefix}*" for prefix in ("mlp-", f"{names.PREFIX}-")],
            "Condition": _SAME_ORGANIZATION,
        },
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
        {
            "Sid": "ModelsAreDecidedInTheHub",
            "Effect": "Deny",
            "Action": ["sagemaker:*ModelPackage*", "sts:AssumeRole"],
            "Resource": "*",
        },
        {
            "Sid": "NoKeyOfAnotherStage",
            "Effect": "Deny",
            "Action": "kms:*",
            "Resource": "*",
            "Condition": {"StringNotEquals": {RESOURCE_TAG: TAG_VARIABLE}, "Null": {RESOURCE_TAG: "false"}},
        },
    ]


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
