"""The boundary of products: what no role that carries it does, whatever its own policy says."""

from __future__ import annotations

from typing import Final

from products.shared import names
from tests.proofs.properties.vocabulary import (
    CHANGES_IAM,
    DESTROYS_KEYS,
    WRITES_OBJECTS,
    Property,
    having,
    having_key,
    not_on,
    on,
)
from tests.proofs.world import DEPLOYMENT, DEV, HUB, STRANGER

_bounded = having("bounded")
_ACCOUNTS: Final = (HUB, DEV, DEPLOYMENT)

PROPERTIES: Final = (
    Property(says="No role under the boundary changes IAM", who=_bounded, may=CHANGES_IAM),
    Property(
        says="No role under the boundary passes a role but those of products",
        who=_bounded,
        may=("iam:PassRole",),
        where=not_on(f"role{names.PROJECT_ROLE_PATH}*", "role/ml-platform/persona/*"),
    ),
    Property(
        says="No role under the boundary takes or passes a role of the platform",
        who=_bounded,
        may=("iam:PassRole", "sts:AssumeRole"),
        where=on(
            f"role/{names.LAUNCH_ROLE}", f"role{names.BASELINE_ROLE_PATH}*", f"role{names.HUB_ROLE_PATH}*", "role/cdk-*"
        ),
        owners=_ACCOUNTS,
    ),
    Property(
        says="No role under the boundary assumes a role but the deploy role and that of data scientists",
        who=_bounded,
        may=("sts:AssumeRole",),
        where=not_on(f"role/{names.DEPLOY_ROLE}", "role/ml-platform/persona/data-scientist/*"),
        owners=(*_ACCOUNTS, STRANGER),
    ),
    Property(
        says="No role of a project under the boundary approves a model",
        who=_bounded,
        may=("sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"),
        where=having_key("sagemaker:ModelApprovalStatus", "Approved"),
    ),
    Property(
        says="No role under the boundary answers for production",
        who=_bounded,
        may=("codepipeline:PutApprovalResult",),
        where=on("mlp-*/Approve/*"),
    ),
    Property(
        says="No role under the boundary starts, stops or answers the catalog's own pipeline",
        who=_bounded,
        may=(
            "codepipeline:PutApprovalResult",
            "codepipeline:RetryStageExecution",
            "codepipeline:StartPipelineExecution",
            "codepipeline:StopPipelineExecution",
        ),
        where=on("ml-platform-*"),
    ),
    Property(
        says="No role under the boundary starts a build of the baseline",
        who=_bounded,
        may=("codebuild:StartBuild",),
        where=on("project/ml-platform-*"),
    ),
    Property(
        says="No role under the boundary writes or deletes an object of the platform",
        who=_bounded,
        may=WRITES_OBJECTS,
        where=on("ml-platform-*"),
        kinds=("object",),
    ),
    Property(
        says="No role under the boundary invokes or changes a function",
        who=_bounded,
        may=("lambda:*",),
        where=on("function:ml-platform-*"),
    ),
    Property(
        says="No role under the boundary takes a message from a queue of the platform",
        who=_bounded,
        may=("sqs:ReceiveMessage",),
        where=on("ml-platform-*"),
    ),
    Property(
        says="No role under the boundary writes a parameter",
        who=_bounded,
        may=("ssm:Put*", "ssm:Delete*"),
    ),
    Property(
        says="No role under the boundary decrypts with a key of the baseline or grants it",
        who=_bounded,
        may=("kms:Decrypt", "kms:CreateGrant"),
        where=having_key("aws:ResourceTag/ml-platform:component", "baseline"),
        kinds=("key",),
    ),
    Property(says="No role under the boundary changes or destroys a key", who=_bounded, may=DESTROYS_KEYS),
    Property(
        says="No role under the boundary changes buckets, stacks, rules, builds or pipelines themselves",
        who=_bounded,
        may=(
            "s3:*Bucket*",
            "!s3:GetBucket*",
            "!s3:ListBucket*",
            "cloudformation:Create*",
            "cloudformation:Update*",
            "cloudformation:Delete*",
            "events:Put*",
            "!events:PutEvents",
            "events:Delete*",
            "codebuild:Update*",
            "codebuild:Create*",
            "codepipeline:Update*",
            "codepipeline:Create*",
        ),
        kinds=("bucket", "stack", "rule-on-default-event-bus", "project", "pipeline"),
    ),
)
