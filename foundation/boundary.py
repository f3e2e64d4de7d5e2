"""The permissions boundary: the most that any role of a product may ever do, whatever its own policies say.

A boundary grants nothing. It names what ML work needs, so that a mistake in a product's role, or in a policy that a
person writes into one, cannot reach further: no IAM, no organisation, no change of the baseline, and approval of models
for the people who decide on them only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aws_cdk import aws_iam as iam
from constructs import Construct

from foundation.policy_documents import wildcard_finding
from lambdas.model_promotion.names import APPROVAL_STAGE, APPROVED
from products.shared import names
from products.shared.findings import acknowledge
from products.shared.template import substituted

if TYPE_CHECKING:
    from aws_cdk import CfnCondition

BOUNDARY_ARN: Final = f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:policy/{names.BOUNDARY_POLICY}"
"""ARN of the boundary, as text for ``Fn::Sub``."""

_ACCOUNT: Final = "arn:${AWS::Partition}:%s:*:${AWS::AccountId}:%s"
_PRODUCT_ROLES: Final = (
    f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role{names.PROJECT_ROLE_PATH}*",
    f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{names.PREFIX}/persona/*",
)
_DATA_SCIENTISTS: Final = (
    f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role{names.persona_role_path(names.DATA_SCIENTIST)}*"
)
_DEPLOY_ROLES: Final = f"arn:${{AWS::Partition}}:iam::*:role/{names.DEPLOY_ROLE}"
"""Of any account, the hub included; their trust policies decide who gets in, by `names.DEPLOYMENT_TAG`."""

APPROVERS: Final = (names.LEAD, names.ML_ENGINEER)
"""Personas that may approve a model."""

WORK: Final = (
    "athena:BatchGet*",
    "athena:Get*",
    "athena:List*",
    "athena:StartQueryExecution",
    "athena:StopQueryExecution",
    "cloudformation:Describe*",
    "cloudformation:Get*",
    "cloudformation:List*",
    "cloudwatch:Describe*",
    "cloudwatch:Get*",
    "cloudwatch:List*",
    "cloudwatch:PutMetricData",
    "codebuild:BatchGet*",
    "codebuild:List*",
    "codebuild:StartBuild",
    "codebuild:StopBuild",
    "codeconnections:GetConnection",
    "codeconnections:List*",
    "codeconnections:PassConnection",
    "codeconnections:UseConnection",
    "codepipeline:Get*",
    "codepipeline:List*",
    "codepipeline:PutApprovalResult",
    "codepipeline:RetryStageExecution",
    "codepipeline:StartPipelineExecution",
    "codepipeline:StopPipelineExecution",
    "codestar-connections:GetConnection",
    "codestar-connections:List*",
    "codestar-connections:PassConnection",
    "codestar-connections:UseConnection",
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:Describe*",
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGet*",
    "ecr:CompleteLayerUpload",
    "ecr:CreateRepository",
    "ecr:Describe*",
    "ecr:Get*",
    "ecr:InitiateLayerUpload",
    "ecr:List*",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
    "events:Describe*",
    "events:List*",
    "events:PutEvents",
    "glue:BatchCreatePartition",
    "glue:BatchGet*",
    "glue:CreatePartition",
    "glue:CreateTable",
    "glue:Get*",
    "glue:Search*",
    "glue:UpdatePartition",
    "glue:UpdateTable",
    "iam:Get*",
    "iam:List*",
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey*",
    "kms:Get*",
    "kms:List*",
    "kms:ReEncrypt*",
    "lakeformation:GetDataAccess",
    "logs:Create*",
    "logs:Describe*",
    "logs:Filter*",
    "logs:Get*",
    "logs:PutLogEvents",
    "logs:StartQuery",
    "logs:StopQuery",
    "s3:AbortMultipartUpload",
    "s3:DeleteObject*",
    "s3:Get*",
    "s3:List*",
    "s3:PutObject",
    "s3:PutObjectAcl",
    "s3:PutObjectTagging",
    "sagemaker:Add*",
    "sagemaker:Batch*",
    "sagemaker:Create*",
    "sagemaker:Delete*",
    "sagemaker:Describe*",
    "sagemaker:Get*",
    "sagemaker:Invoke*",
    "sagemaker:List*",
    "sagemaker:Put*",
    "sagemaker:Query*",
    "sagemaker:Render*",
    "sagemaker:Retry*",
    "sagemaker:Search",
    "sagemaker:Send*",
    "sagemaker:Start*",
    "sagemaker:Stop*",
    "sagemaker:Update*",
    "scheduler:CreateSchedule",
    "scheduler:DeleteSchedule",
    "scheduler:GetSchedule",
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "servicecatalog:Describe*",
    "servicecatalog:Get*",
    "servicecatalog:List*",
    "servicecatalog:ProvisionProduct",
    "servicecatalog:Scan*",
    "servicecatalog:Search*",
    "servicecatalog:TerminateProvisionedProduct",
    "servicecatalog:UpdateProvisionedProduct*",
    "sns:Publish",
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:Get*",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
    "ssm:Describe*",
    "ssm:GetParameter*",
    "sts:GetCallerIdentity",
    "sts:SetSourceIdentity",
    "sts:TagSession",
    "tag:Get*",
)
"""What products and the people who use them do, by prefix of action. A role's own policy says on what."""


def document(*, catalog: str) -> dict[str, Any]:
    """Return the policy document; ARNs are text for ``Fn::Sub``.

    Args:
        catalog: Repository of this catalog, ``owner/name``. Who writes to it, writes what the hub's pipeline deploys.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "MlWork", "Effect": "Allow", "Action": list(WORK), "Resource": "*"},
            {
                "Sid": "RolesOfProducts",
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": list(_PRODUCT_ROLES),
            },
            {
                "Sid": "RolesOfDeployments",
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Resource": _DEPLOY_ROLES,
            },
            # Their trust policies let the leads in, and nobody else.
            {
                "Sid": "LeadsAsDataScientists",
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Resource": _DATA_SCIENTISTS,
            },
            # Explicit, because a resource policy (of a key, a queue) may grant what a boundary only leaves out.
            {
                "Sid": "NoChangeOfIam",
                "Effect": "Deny",
                "Action": [
                    "iam:Add*",
                    "iam:Attach*",
                    "iam:Create*",
                    "iam:Delete*",
                    "iam:Detach*",
                    "iam:Put*",
                    "iam:Remove*",
                    "iam:Set*",
                    "iam:Tag*",
                    "iam:Untag*",
                    "iam:Update*",
                    "iam:Upload*",
                ],
                "Resource": "*",
            },
            {
                "Sid": "NoRoleOfThePlatform",
                "Effect": "Deny",
                "Action": ["iam:PassRole", "sts:AssumeRole"],
                "Resource": [
                    f"arn:${{AWS::Partition}}:iam::*:role/{names.LAUNCH_ROLE}",
                    f"arn:${{AWS::Partition}}:iam::*:role{names.BASELINE_ROLE_PATH}*",
                    # They read what every project registers.
                    f"arn:${{AWS::Partition}}:iam::*:role{names.HUB_ROLE_PATH}*",
                ],
            },
            {
                "Sid": "NoChangeOfTheBaseline",
                "Effect": "Deny",
                "Action": [
                    "codebuild:StartBuild",
                    "codepipeline:PutApprovalResult",
                    "codepipeline:RetryStageExecution",
                    "codepipeline:StartPipelineExecution",
                    "codepipeline:StopPipelineExecution",
                    "lambda:InvokeFunction",
                    "lambda:UpdateFunctionCode",
                    "s3:DeleteObject*",
                    "s3:PutObject*",
                    "sqs:ReceiveMessage",
                    "ssm:DeleteParameter",
                    "ssm:PutParameter",
                ],
                "Resource": [
                    _ACCOUNT % ("codebuild", f"project/{names.PREFIX}-*"),
                    # In the hub: the catalog's own pipeline and the buckets of releases, registry and audit.
                    _ACCOUNT % ("codepipeline", f"{names.PREFIX}-*"),
                    f"arn:${{AWS::Partition}}:s3:::{names.PREFIX}-*",
                    _ACCOUNT % ("lambda", f"function:{names.PREFIX}-*"),
                    _ACCOUNT % ("sqs", f"{names.PREFIX}-*"),
                    _ACCOUNT % ("ssm", f"parameter/{names.PREFIX}/*"),
                ],
            },
            {
                "Sid": "NoKeyOfTheBaseline",
                "Effect": "Deny",
                "Action": ["kms:CreateGrant", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
                "Resource": "*",
                "Condition": {"StringEquals": {f"aws:ResourceTag/{names.COMPONENT_TAG}": names.BASELINE_COMPONENT}},
            },
            # What goes to production is decided by governance officers, who have no role of a product.
            {
                "Sid": "GovernanceDecidesOnProduction",
                "Effect": "Deny",
                "Action": "codepipeline:PutApprovalResult",
                "Resource": _ACCOUNT % ("codepipeline", f"{names.PROJECT_RESOURCE_PREFIX}*/{APPROVAL_STAGE}/*"),
            },
            *keep_off(catalog),
            # The role that registers a model cannot approve it: only the people who decide may.
            {
                "Sid": "ApprovalByApproversOnly",
                "Effect": "Deny",
                "Action": ["sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"],
                "Resource": "*",
                "Condition": {
                    "StringEquals": {"sagemaker:ModelApprovalStatus": APPROVED},
                    "ArnNotLike": {
                        "aws:PrincipalArn": [
                            f"arn:${{AWS::Partition}}:iam::*:role{names.persona_role_path(persona)}*"
                            for persona in APPROVERS
                        ]
                    },
                },
            },
        ],
    }


def keep_off(catalog: str) -> list[dict[str, Any]]:
    """Return the statements that deny this catalog's repository to whoever may use connections.

    One installation of the Git provider's app may serve the hub's connection and those of the teams. Git providers do
    not tell upper from lower case in names. There is a statement per service, because a condition on a key that a
    request does not carry is never met. A token of a connection has no such key at all (Service Authorization
    Reference: GetConnectionToken), so roles of products get none: it is not in `WORK`.

    Args:
        catalog: ``owner/name``.
    """
    return [
        {
            "Sid": f"NotTheCatalog{sid}",
            "Effect": "Deny",
            "Action": f"{service}:UseConnection",
            "Resource": "*",
            "Condition": {"StringEqualsIgnoreCase": {f"{service}:FullRepositoryId": [catalog, f"{catalog}.git"]}},
        }
        for sid, service in (("", "codeconnections"), ("ByOldConnections", "codestar-connections"))
    ]


class Boundary(Construct):
    """Managed policy ``ml-platform-boundary``, in the home region only: IAM has no regions.

    Args:
        catalog: Repository of this catalog, ``owner/name``.
        condition: Condition under which the policy exists. Default: always.
    """

    def __init__(self, scope: Construct, id_: str, *, catalog: str, condition: CfnCondition | None = None) -> None:
        super().__init__(scope, id_)
        policy = iam.CfnManagedPolicy(
            self,
            "Policy",
            managed_policy_name=names.BOUNDARY_POLICY,
            description="The most that any role of a product of the ML platform may do.",
            policy_document=substituted(document(catalog=catalog)),
        )
        policy.cfn_options.condition = condition
        reason = "A boundary grants nothing: it is the ceiling for the roles of products, which name their resources."
        acknowledge(
            policy,
            {
                **{f"AwsSolutions-IAM5[Action::{action}]": reason for action in WORK if "*" in action},
                **{wildcard_finding(arn): reason for arn in ("*", *_PRODUCT_ROLES, _DATA_SCIENTISTS, _DEPLOY_ROLES)},
                **dict.fromkeys(("CKV_AWS_108", "CKV_AWS_109", "CKV_AWS_111"), reason),
            },
        )
