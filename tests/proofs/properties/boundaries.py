"""The boundary of products: what no role that carries it does, whatever its own policy says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from products.shared import names
from tests.proofs.properties.vocabulary import (
    CHANGES_IAM,
    DESTROYS_KEYS,
    ENTERS,
    USES_CONNECTIONS,
    WRITES_OBJECTS,
    Property,
    both,
    for_repository,
    having,
    having_key,
    having_other,
    lacking_key,
    not_on,
    on,
    together,
)
from tests.proofs.world import (
    ATTACKER,
    CATALOG,
    DEPLOYMENT,
    DEV,
    HUB,
    OWN_STAGE,
    REGION,
    STRANGER,
    VICTIM,
    group_of,
)

if TYPE_CHECKING:
    from tests.proofs.model import Actor, World
    from tests.proofs.properties.vocabulary import Who

_bounded = having("bounded")
_ACCOUNTS: Final = (HUB, DEV, DEPLOYMENT)


def _of_the_hub(world: World) -> list[Actor]:
    return [actor for actor in _bounded(world) if actor.account == HUB]


def _carrying(**tags: str) -> Who:
    """Return a role of a project in the hub that carries these tags, ``stage`` and ``group`` under their real names."""
    real = {"stage": names.DEPLOYMENT_TAG, "group": names.GROUP_TAG}
    carried = {real.get(key, key): value for key, value in tags.items()}
    return lambda world: [replace(actor, tags=carried) for actor in _of_the_hub(world)]


_a_stages = _carrying(stage=OWN_STAGE)
_a_stages_with_group = _carrying(stage=OWN_STAGE, group=group_of(ATTACKER))

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
    Property(
        says="No role under the boundary uses a connection for the catalog's repository",
        who=_bounded,
        may=USES_CONNECTIONS,
        where=for_repository(CATALOG),
    ),
    # ---- the doors that are open to roles of projects ----
    Property(
        says="A role of a project enters a deployment account as the stage that its tag names, and as no other",
        who=together(_a_stages, _a_stages_with_group),
        may=ENTERS,
        where=both(on(f"role/{names.DEPLOY_ROLE}"), lacking_key(f"aws:RequestTag/{names.DEPLOYMENT_TAG}", OWN_STAGE)),
        owners=(DEPLOYMENT,),
        closed=True,
    ),
    Property(
        says="A role of a project that carries a group enters a deployment account with that group only",
        who=_a_stages_with_group,
        may=ENTERS,
        where=both(
            on(f"role/{names.DEPLOY_ROLE}"), lacking_key(f"aws:RequestTag/{names.GROUP_TAG}", group_of(ATTACKER))
        ),
        owners=(DEPLOYMENT,),
        closed=True,
    ),
    Property(
        says="A role of a project that carries no group enters a deployment account with none",
        who=_a_stages,
        may=ENTERS,
        where=both(on(f"role/{names.DEPLOY_ROLE}"), having_key(f"aws:RequestTag/{names.GROUP_TAG}")),
        owners=(DEPLOYMENT,),
        closed=True,
    ),
    Property(
        says="A role of a project brings no tag into a deployment account but stage and group",
        who=together(_a_stages, _a_stages_with_group),
        may=ENTERS,
        where=both(on(f"role/{names.DEPLOY_ROLE}"), having_other("aws:TagKeys", names.DEPLOYMENT_TAG, names.GROUP_TAG)),
        owners=(DEPLOYMENT,),
        closed=True,
    ),
    Property(
        says="A role of a project without the tag of a stage, or with one that names none, enters no stage",
        who=together(_carrying(), _carrying(strange="strange"), _carrying(stage="strange")),
        may=ENTERS,
        where=on(f"role/{names.DEPLOY_ROLE}"),
        owners=(DEPLOYMENT,),
        closed=True,
    ),
    Property(
        says="No role of a project enters a persona",
        who=lambda world: [actor for actor in _bounded(world) if actor.account == DEV],
        may=ENTERS,
        where=on("role/ml-platform/persona/*"),
        closed=True,
    ),
    Property(
        says="No role of a project in the hub reads the buckets of projects in development",
        who=_of_the_hub,
        may=("s3:*",),
        where=on(*(f"mlp-{VICTIM}-{DEV}-{REGION}{rest}" for rest in ("", "/*"))),
        owners=(DEV,),
        closed=True,
    ),
    Property(
        says="No role of a project in the hub uses the key of a project in development",
        who=_of_the_hub,
        may=("kms:*",),
        where=on(f"key/SC-{DEV}-pp-{VICTIM}-*"),
        owners=(DEV,),
        kinds=("key",),
        closed=True,
    ),
)
