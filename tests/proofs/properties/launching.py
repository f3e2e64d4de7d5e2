"""Launch roles, and CloudFormation in the hub: what makes the platform's resources, and nothing besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from products.shared import names
from tests.proofs.logic import negated
from tests.proofs.properties.vocabulary import (
    DESTROYS_KEYS,
    NOT_THROUGH_S3,
    WRITES_OBJECTS,
    Property,
    both,
    having,
    having_key,
    lacking_key,
    not_on,
    on,
)
from tests.proofs.world import DEPLOYMENT, DEV, HUB, STRANGER

if TYPE_CHECKING:
    from tests.proofs.logic import Formula
    from tests.proofs.model import Actor, World
    from tests.proofs.requests import Request

_COMPONENT: Final = "aws:ResourceTag/ml-platform:component"
_FUNCTIONS: Final = (
    names.SEED_CHECKIN_FUNCTION,
    names.BUCKET_EMPTIER_FUNCTION,
    names.ENABLE_PROJECTS_FUNCTION,
    names.PREFLIGHT_FUNCTION,
    names.DATA_PERMISSIONS_FUNCTION,
    names.DEPLOYMENT_FUNCTION,
)
_PRODUCT_ROLES: Final = (f"role{names.PROJECT_ROLE_PATH}*", "role/ml-platform/persona/*")
_HUB_ROLES: Final = (
    f"role{names.HUB_ROLE_PATH}ml-platform-*",
    f"role{names.BASELINE_ROLE_PATH}ml-platform-*",
    "role/ml-platform-*",
    "role/MlPlatformPipeline-*",
)


def _launchers(world: World) -> list[Actor]:
    return [actor for actor in world.having("LaunchRole") if actor.identity]


def _launcher_of_the_hub(world: World) -> list[Actor]:
    return [actor for actor in _launchers(world) if actor.account == HUB]


def _launcher_of_development(world: World) -> list[Actor]:
    return [actor for actor in _launchers(world) if actor.account == DEV]


_cloudformation = having("bootstrap")


def _without_the_boundary(request: Request) -> Formula:
    boundary = f"arn:aws:iam::{request.actor.account}:policy/{names.BOUNDARY_POLICY}"
    return negated(request.is_like("iam:PermissionsBoundary", boundary))


def _policy_of_others(request: Request) -> Formula:
    own = f"arn:aws:iam::{request.actor.account}:policy/ml-platform/*"
    return negated(request.is_like("iam:PolicyARN", own))


PROPERTIES: Final = (
    # ---- launch roles and IAM ----
    Property(
        says="Launch roles give nothing to a role without the boundary",
        who=_launchers,
        may=("iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"),
        where=_without_the_boundary,
    ),
    Property(
        says="Launch roles take no boundary off and change no managed policy but those that open data to bounded roles",
        who=_launchers,
        may=(
            "iam:DeleteRolePermissionsBoundary",
            "iam:CreatePolicy*",
            "iam:SetDefaultPolicyVersion",
            "iam:DeletePolicy*",
        ),
        where=not_on(f"policy{names.DATA_POLICY_PATH}*"),
    ),
    Property(
        says="Launch roles make no user, group, access key, provider or instance profile",
        who=_launchers,
        may=("iam:*User*", "iam:*Group*", "iam:*AccessKey*", "iam:*Provider*", "iam:*InstanceProfile*"),
    ),
    Property(
        says="Launch roles write and pass only roles of products",
        who=_launchers,
        may=("iam:*Role*", "!iam:Get*", "!iam:List*", "!iam:CreateServiceLinkedRole"),
        where=not_on(*_PRODUCT_ROLES),
    ),
    Property(
        says="Launch roles pass roles to the services of products only",
        who=_launchers,
        may=("iam:PassRole",),
        where=lacking_key(
            "iam:PassedToService",
            *(f"{s}.amazonaws.com" for s in ("codebuild", "codepipeline", "events", "sagemaker", "scheduler")),
        ),
    ),
    Property(
        says="The hub's launch role makes and passes no persona, who could approve models there",
        who=_launcher_of_the_hub,
        may=("iam:*Role*", "!iam:Get*", "!iam:List*"),
        where=on("role/ml-platform/persona/*"),
    ),
    Property(
        says="Launch roles attach only policies of the platform",
        who=_launchers,
        may=("iam:AttachRolePolicy",),
        where=_policy_of_others,
    ),
    Property(
        says="Launch roles make the service-linked role of SageMaker only",
        who=_launchers,
        may=("iam:CreateServiceLinkedRole",),
        where=not_on("role/aws-service-role/sagemaker.amazonaws.com/*"),
    ),
    Property(
        says="Launch roles assume no role of any account",
        who=_launchers,
        may=("sts:*", "!sts:Get*", "!sts:Decode*"),
        owners=(HUB, DEV, DEPLOYMENT, STRANGER),
    ),
    Property(
        says="Nobody assumes a launch role, only Service Catalog does",
        who=lambda world: list(world.actors.values()),
        may=("sts:AssumeRole",),
        where=on(f"role/{names.LAUNCH_ROLE}"),
        owners=(HUB, DEV),
    ),
    # ---- launch roles and data ----
    Property(
        says="Launch roles write no object",
        who=_launchers,
        may=WRITES_OBJECTS,
        kinds=("object",),
    ),
    Property(
        says="Launch roles read no object but released templates and Service Catalog's copies of them",
        who=_launchers,
        may=("s3:GetObject*",),
        where=both(
            not_on(f"ml-platform-artifacts-{HUB}-*/releases/*"),
            lacking_key("s3:ExistingObjectTag/servicecatalog:provisioning", "true"),
        ),
        owners=(HUB, DEV),
    ),
    Property(
        says="Launch roles change no bucket of the platform",
        who=_launchers,
        may=("s3:*Bucket*", "s3:Put*Configuration", "!s3:GetBucket*", "!s3:ListBucket*"),
        where=on("ml-platform-*", "mlplatformpipeline-*", "cdk-*"),
        kinds=("bucket",),
    ),
    Property(
        says="Launch roles change no key of the platform",
        who=_launchers,
        may=(*DESTROYS_KEYS, "kms:CreateGrant", "kms:TagResource", "kms:UntagResource"),
        where=having_key(_COMPONENT, "baseline", "hub"),
        kinds=("key",),
    ),
    Property(
        says="Launch roles give keys to AWS services only, to nobody else",
        who=_launchers,
        may=("kms:CreateGrant",),
        where=lacking_key("kms:GrantIsForAWSResource", "true"),
    ),
    Property(
        says="Launch roles encrypt nothing",
        who=_launchers,
        may=("kms:Encrypt", "kms:ReEncrypt*", "kms:GenerateDataKey", "kms:GenerateDataKeyPair", "kms:Sign"),
        kinds=("key",),
    ),
    Property(
        says="Launch roles use keys of the hub from elsewhere through S3 only, and only to read",
        who=_launcher_of_development,
        may=("kms:*",),
        where=NOT_THROUGH_S3,
        owners=(HUB,),
        kinds=("key",),
    ),
    # ---- launch roles and everything else ----
    Property(
        says="Launch roles invoke only functions of the contract",
        who=_launchers,
        may=("lambda:*",),
        where=not_on(*(f"function:{function}" for function in _FUNCTIONS), *(f"function:{f}:*" for f in _FUNCTIONS)),
    ),
    Property(
        says="Launch roles write no parameter and read those of the platform only",
        who=_launchers,
        may=("ssm:*",),
        where=not_on("parameter/ml-platform/*"),
    ),
    Property(
        says="Launch roles change no parameter of the contract",
        who=_launchers,
        may=("ssm:Put*", "ssm:Delete*", "ssm:AddTags*", "ssm:Label*"),
    ),
    Property(
        says="Launch roles make only what is named like products",
        who=_launchers,
        may=(
            "s3:CreateBucket",
            "s3:PutBucketPolicy",
            "s3:DeleteBucket",
            "sqs:*",
            "sns:*",
            "codebuild:*",
            "codepipeline:*",
            "events:*",
            "cloudwatch:*",
            "scheduler:*",
        ),
        where=lambda request: negated(request.named("mlp-*", "*/mlp-*", "alarm:mlp-*")) if request.head else False,
    ),
    Property(
        says="Launch roles touch no log group but those of products' builds",
        who=_launchers,
        may=("logs:*", "!logs:Describe*"),
        where=not_on("log-group:/aws/codebuild/mlp-*"),
        kinds=("log-group",),
    ),
    Property(
        says="Launch roles touch no stack but Service Catalog's",
        who=_launchers,
        may=("cloudformation:*", "!cloudformation:GetTemplateSummary", "!cloudformation:ValidateTemplate"),
        where=not_on("stack/SC-*", "changeSet/*"),
    ),
    Property(
        says="Launch roles start no build and no pipeline",
        who=_launchers,
        may=("codebuild:Start*", "codepipeline:Start*", "codepipeline:Retry*", "sagemaker:Start*", "states:Start*"),
    ),
    Property(
        says="Launch roles answer no approval and put no event",
        who=_launchers,
        may=(
            "codepipeline:PutApprovalResult",
            "events:PutEvents",
            "sns:Publish",
            "sqs:SendMessage",
            "sqs:ReceiveMessage",
        ),
    ),
    Property(
        says="Launch roles decide on no model and register none",
        who=_launchers,
        may=("sagemaker:*ModelPackage", "!sagemaker:DescribeModelPackage"),
    ),
    Property(
        says="Launch roles run no job, endpoint or notebook",
        who=_launchers,
        may=("sagemaker:Create*Job", "sagemaker:*Endpoint*", "sagemaker:CreateModel", "sagemaker:*NotebookInstance*"),
    ),
    Property(
        says="Launch roles change groups of models of projects only",
        who=_launchers,
        may=("sagemaker:*ModelPackageGroup*", "!sagemaker:List*"),
        where=not_on("model-package-group/*-p-*"),
    ),
    Property(
        says="Launch roles open Studio for nobody",
        who=_launchers,
        may=("sagemaker:CreatePresigned*",),
    ),
    Property(
        says="Launch roles use no connection and get no token of one",
        who=_launchers,
        may=(
            "codeconnections:UseConnection",
            "codeconnections:GetConnectionToken",
            "codestar-connections:UseConnection",
        ),
    ),
    Property(
        says="Launch roles change no portfolio, product or share",
        who=_launchers,
        may=("servicecatalog:*", "organizations:*"),
    ),
    Property(
        says="Launch roles remove no file system but SageMaker's own",
        who=_launchers,
        may=("elasticfilesystem:Delete*",),
        where=lacking_key("aws:ResourceTag/ManagedByAmazonSageMakerResource", "*"),
    ),
    # ---- CloudFormation in the hub ----
    Property(
        says="CloudFormation writes and passes only roles of the platform in the hub",
        who=_cloudformation,
        may=("iam:*Role*", "!iam:Get*", "!iam:List*"),
        where=not_on(*_HUB_ROLES),
    ),
    Property(
        says="CloudFormation makes no user, group, access key or provider in the hub",
        who=_cloudformation,
        may=("iam:*User*", "iam:*Group*", "iam:*AccessKey*", "iam:*Provider*"),
    ),
    Property(
        says="CloudFormation changes only managed policies of the platform in the hub",
        who=_cloudformation,
        may=("iam:CreatePolicy*", "iam:DeletePolicy*", "iam:SetDefaultPolicyVersion"),
        where=not_on("policy/ml-platform-*", "policy/ml-platform/*"),
    ),
    Property(
        says="CloudFormation assumes no role in any account",
        who=_cloudformation,
        may=("sts:AssumeRole*",),
        owners=(HUB, DEV, DEPLOYMENT, STRANGER),
    ),
    Property(
        says="CloudFormation touches no bucket in the hub but the platform's and its own assets",
        who=_cloudformation,
        may=("s3:*",),
        where=not_on("ml-platform-*", "mlplatformpipeline-*", "cdk-*-assets-*"),
        kinds=("bucket", "object"),
    ),
    Property(
        says="CloudFormation touches no bucket, build or pipeline of projects in the hub",
        who=_cloudformation,
        may=("s3:*", "codebuild:*", "codepipeline:*", "sqs:*", "sns:*", "events:*"),
        where=on("mlp-*", "project/mlp-*", "rule/mlp-*"),
    ),
    Property(
        says="CloudFormation decides on no model and answers no approval in the hub",
        who=_cloudformation,
        may=("sagemaker:*", "codepipeline:PutApprovalResult"),
    ),
    Property(
        says="CloudFormation changes only functions of the platform in the hub",
        who=_cloudformation,
        may=("lambda:*", "!lambda:*EventSourceMapping*"),
        where=not_on("function:ml-platform-*", "event-source-mapping:*"),
    ),
    Property(
        says="CloudFormation writes only parameters of the platform in the hub",
        who=_cloudformation,
        may=("ssm:*",),
        where=not_on("parameter/ml-platform/*", "parameter/cdk-bootstrap/*"),
    ),
    Property(
        says="CloudFormation rolls out only StackSets of the platform",
        who=_cloudformation,
        may=("cloudformation:*StackSet", "cloudformation:*StackInstances"),
        where=both(on("stackset/*"), not_on("stackset/ml-platform-*")),
        owners=(HUB, STRANGER),
        kinds=("stackset",),
    ),
    Property(
        says="CloudFormation touches no queue, topic, table or repository in the hub but the platform's",
        who=_cloudformation,
        may=("sqs:*", "sns:*", "dynamodb:*", "ecr:*"),
        where=lambda request: (
            negated(request.named("*ml-platform-*", "MlPlatformPipeline-*")) if request.head else False
        ),
    ),
    Property(
        says="CloudFormation does not lift the lock of a record in the hub",
        who=_cloudformation,
        may=("s3:BypassGovernanceRetention", "s3:PutObjectRetention", "s3:PutObjectLegalHold"),
    ),
    Property(
        says="CloudFormation cannot share portfolios, which only the publishing function does",
        who=_cloudformation,
        may=("servicecatalog:*PortfolioShare", "!servicecatalog:List*", "!servicecatalog:Describe*"),
    ),
    Property(
        says="Launch roles make a service-linked role for SageMaker only, whatever its name",
        who=_launchers,
        may=("iam:CreateServiceLinkedRole",),
        where=lacking_key("iam:AWSServiceName", "sagemaker.amazonaws.com"),
    ),
    Property(
        says="Launch roles touch only file systems of EFS, no access points",
        who=_launchers,
        may=("elasticfilesystem:*",),
        where=not_on("file-system/*"),
    ),
    Property(
        says="Launch roles touch only what products make of SageMaker",
        who=_launchers,
        may=("sagemaker:*",),
        where=not_on(
            "app/*",
            "domain/*",
            "image/*",
            "image-version/*",
            "model-package-group/*-p-*",
            "space/*",
            "studio-lifecycle-config/mlp-*",
            "user-profile/*",
        ),
    ),
    Property(
        says="Launch roles decrypt across accounts with keys of the hub only",
        who=_launcher_of_development,
        may=("kms:*",),
        where=lambda request: bool(request.head),
        owners=(DEPLOYMENT, STRANGER),
        kinds=("key",),
    ),
    Property(
        says="Launch roles tag and untag only stacks, keys, roles, builds and what else products are made of",
        who=_launchers,
        may=("iam:TagRole", "iam:UntagRole"),
        where=not_on(*_PRODUCT_ROLES),
    ),
    Property(
        says="Launch roles change security groups and no other part of the network",
        who=_launchers,
        may=("ec2:*", "!ec2:Describe*"),
        where=not_on("security-group/*", "security-group-rule/*", "vpc/*"),
    ),
    Property(
        says="Launch roles look people up and change none",
        who=_launchers,
        may=(
            "identitystore:*",
            "sso:*",
            "!identitystore:Describe*",
            "!identitystore:List*",
            "!sso:List*",
            "!sso:Describe*",
        ),
    ),
    Property(
        says="CloudFormation changes the data catalog of decisions only",
        who=_cloudformation,
        may=("glue:*",),
        where=not_on("catalog", "database/ml_platform", "table/ml_platform/*", "userDefinedFunction/ml_platform/*"),
    ),
    Property(
        says="CloudFormation gives aliases of the platform only",
        who=_cloudformation,
        may=("kms:*Alias",),
        where=both(on("alias/*"), not_on("alias/ml-platform-*", "alias/MlPlatformPipeline-*")),
        kinds=("alias",),
    ),
    Property(
        says="CloudFormation touches log groups of the platform only",
        who=_cloudformation,
        may=("logs:*", "!logs:Describe*"),
        where=not_on(
            *(
                f"log-group:{at}{name}-*"
                for at in ("", "/aws/lambda/", "/aws/codebuild/")
                for name in ("ml-platform", "MlPlatformPipeline")
            ),
        ),
        kinds=("log-group",),
    ),
    Property(
        says="CloudFormation touches rules, buses, alarms, builds and the pipeline of the platform only",
        who=_cloudformation,
        may=("events:*", "cloudwatch:*", "codebuild:*", "codepipeline:*"),
        where=lambda request: (
            negated(
                request.named(
                    "*ml-platform-*",
                    "event-bus/ml-platform",
                    "rule/MlPlatformPipeline-*",
                    "project/Pipeline*",
                    "alarm:MlPlatformPipeline-*",
                )
            )
            if request.head
            else False
        ),
    ),
    Property(
        says="CloudFormation touches nothing in another account but StackSets",
        who=_cloudformation,
        may=("s3:*", "kms:*", "iam:*", "lambda:*", "sqs:*", "sns:*", "events:*", "ssm:*"),
        where=lambda request: bool(request.head),
        owners=(DEV, DEPLOYMENT),
        kinds=("key", "role", "function", "queue", "topic", "event-bus", "parameter"),
    ),
    Property(
        says="Launch roles look at roles of products and at policies that open data only",
        who=_launchers,
        may=("iam:Get*", "iam:List*"),
        where=not_on(*_PRODUCT_ROLES, f"policy{names.DATA_POLICY_PATH}*"),
    ),
    Property(
        says="Launch roles touch connections of their own account only, and no host",
        who=_launchers,
        may=("codeconnections:*", "codestar-connections:*"),
        where=not_on("connection/*"),
    ),
    Property(
        says="The hub's launch role decrypts through S3 only",
        who=_launcher_of_the_hub,
        may=("kms:Decrypt", "kms:ReEncryptFrom"),
        where=NOT_THROUGH_S3,
        kinds=("key",),
    ),
    Property(
        says="CloudFormation touches connections in the hub only, and no host",
        who=_cloudformation,
        may=("codeconnections:*", "codestar-connections:*"),
        where=not_on("connection/*"),
    ),
)
