"""The hub: registry, decisions, releases, and what deployment projects do there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from products.shared import names
from tests.proofs.logic import any_of
from tests.proofs.properties.vocabulary import (
    CHANGES_IAM,
    DESTROYS_KEYS,
    NOT_THROUGH_S3,
    READS_OBJECTS,
    USES_CONNECTIONS,
    USES_KEYS,
    WRITES_OBJECTS,
    Property,
    any_with,
    both,
    but,
    everybody,
    except_,
    for_other_repository,
    for_repository,
    having,
    having_key,
    having_other,
    lacking_key,
    not_on,
    of_account,
    on,
)
from tests.proofs.reference import carried
from tests.proofs.world import ATTACKER, CATALOG, DEPLOYMENT, DEV, HUB, REGION, STRANGER, VICTIM, group_of

if TYPE_CHECKING:
    from tests.proofs.logic import Formula
    from tests.proofs.model import Actor, World
    from tests.proofs.requests import Request

_REGISTRY: Final = names.registry_bucket(HUB, REGION)
_AUDIT: Final = names.audit_bucket(HUB, REGION)
_ARTIFACTS: Final = f"ml-platform-artifacts-{HUB}-{REGION}"
_OWN_BUCKET: Final = f"mlp-{ATTACKER}-{HUB}-{REGION}"
_VICTIMS_BUCKET: Final = f"mlp-{VICTIM}-{HUB}-{REGION}"
_STATUS: Final = "sagemaker:ModelApprovalStatus"
_ELSEWHERE: Final = (DEV, DEPLOYMENT, STRANGER)

_promotion = having("PromotionRole")
_hub = of_account(HUB)
_engineer = having("permission-set", "ml-engineer")
_officer = having("permission-set", "governance-officer")
_shadow = having("product", ATTACKER, "ProjectShadowRole")


def _projects(world: World) -> list[Actor]:
    """Return what the attacker's deployment projects have in the hub."""
    return [actor for actor in world.having("product", ATTACKER) if actor.account == HUB]


def _people_and_projects(world: World) -> list[Actor]:
    """Return everybody but the platform itself and what deploys it."""
    return [actor for actor in everybody(world) if not actor.labels & {"platform", "bootstrap"}]


def _another_groups_packages(request: Request) -> Formula:
    if not request.head:
        return False
    group = group_of(VICTIM)
    places = (f"{_REGISTRY}/packages/{group}/", f"{_REGISTRY}/packages/{DEV}/{group}/")
    return any_of(request.named(f"{place}*") for place in places)


_FREE: Final = (
    "codebuild:artifacts",  # none, which a source that is an archive asks for; their place is not free
    "codebuild:artifacts.bucketowneraccess",
    "codebuild:artifacts.encryptiondisabled",
    "codebuild:autoretrylimit",
    "codebuild:environment",
    "codebuild:source",
    "codebuild:source.auth.resource",  # means something with a type only, which is not free
    "codebuild:source.buildstatusconfig.context",
    "codebuild:source.buildstatusconfig.targeturl",
    "codebuild:source.location",
)
"""What a start by the schedule may say besides variables; other statements bound it."""


def _overrides_more_than_the_step(request: Request) -> Formula:
    """Take starts of builds that override more; the key of a part comes with that of the whole."""
    keys = {key for key in carried(request.action) if key.startswith("codebuild:")} - {*_FREE}
    wholes = {key for key in keys if not any(key.startswith(f"{other}.") for other in keys)}
    variables = "codebuild:environment.environmentvariables"
    return any_of(request.has(key) for key in sorted(wholes) if not key.startswith(variables))


PROPERTIES: Final = (
    # ---- the audit trail ----
    Property(
        says="Only the promotion, and what deploys the platform, can write records of decisions",
        who=but(everybody, "PromotionRole", "bootstrap"),
        may=WRITES_OBJECTS,
        where=on(f"{_AUDIT}/*"),
        owners=(HUB,),
        kinds=("object",),
    ),
    Property(
        says="Nobody removes a record of a decision or unlocks it",
        who=everybody,
        may=(
            "s3:DeleteObject*",
            "s3:BypassGovernanceRetention",
            "s3:PutObjectRetention",
            "s3:PutObjectLegalHold",
        ),
        where=on(f"{_AUDIT}*"),
        owners=(HUB,),
        kinds=("object",),
    ),
    Property(
        says="Nobody but what deploys the platform changes how the audit trail is kept",
        who=but(everybody, "bootstrap"),
        may=("s3:DeleteBucket*", "s3:PutBucket*", "s3:Put*Configuration"),
        where=on(f"{_AUDIT}*"),
        owners=(HUB,),
        kinds=("bucket",),
    ),
    Property(
        says="Nobody tags a record of a decision or a promoted model",
        who=everybody,
        may=("s3:PutObject*Tagging", "s3:DeleteObject*Tagging", "s3:ReplicateTags"),
        where=on(f"{_AUDIT}/*", f"{_REGISTRY}/*"),
        owners=(HUB,),
    ),
    Property(
        says="Only governance officers, and what deploys the platform, can read records of decisions",
        who=but(everybody, "governance-officer", "bootstrap"),
        may=("s3:GetObject*",),
        # Service Catalog marks its own copies of templates so; nobody may tag a record.
        where=both(on(f"{_AUDIT}/*"), lacking_key("s3:ExistingObjectTag/servicecatalog:provisioning", "true")),
        owners=(HUB,),
    ),
    Property(
        says="Nobody but what deploys the platform changes the table of decisions",
        who=but(everybody, "bootstrap"),
        may=("glue:Update*", "glue:Delete*", "glue:Create*", "glue:Batch*Partition", "!glue:BatchGet*"),
        where=on("database/ml_platform", "table/ml_platform/*"),
        owners=(HUB,),
    ),
    Property(
        says="Only governance officers query the table of decisions",
        who=but(everybody, "governance-officer"),
        may=("athena:StartQueryExecution", "athena:GetQueryResults*"),
        where=on("workgroup/ml-platform-audit"),
        owners=(HUB,),
    ),
    # ---- the registry ----
    Property(
        says="Only the promotion, and what deploys the platform, can write promoted models",
        who=but(everybody, "PromotionRole", "bootstrap"),
        may=WRITES_OBJECTS,
        where=on(f"{_REGISTRY}/*"),
        owners=(HUB,),
        kinds=("object",),
    ),
    Property(
        says="Only the promotion makes and deletes model packages and groups in the hub",
        who=but(everybody, "PromotionRole"),
        may=("sagemaker:Create*ModelPackage*", "sagemaker:DeleteModelPackage*"),
        owners=(HUB,),
        kinds=("model-package", "model-package-group"),
    ),
    Property(
        says="Only the promotion says which accounts may read a group of the hub",
        who=but(everybody, "PromotionRole"),
        may=("sagemaker:PutModelPackageGroupPolicy", "sagemaker:DeleteModelPackageGroupPolicy"),
        owners=(HUB,),
        kinds=("model-package-group",),
    ),
    Property(
        says="Only ML engineers and the promotion change model packages of the hub",
        who=but(everybody, "PromotionRole", "ml-engineer"),
        may=("sagemaker:UpdateModelPackage",),
        owners=(HUB,),
        kinds=("model-package",),
    ),
    Property(
        says="Only ML engineers approve models of the hub",
        who=but(everybody, "ml-engineer"),
        may=("sagemaker:UpdateModelPackage", "sagemaker:CreateModelPackage"),
        where=having_key(_STATUS, "Approved"),
        owners=(HUB,),
        kinds=("model-package", "model-package-group"),
    ),
    Property(
        says="Only the promotion writes model cards of the hub",
        who=but(everybody, "PromotionRole"),
        may=("sagemaker:CreateModelCard", "sagemaker:UpdateModelCard", "sagemaker:DeleteModelCard"),
        owners=(HUB,),
        kinds=("model-card",),
    ),
    Property(
        says="Only the promotion pushes images into the repository of promoted models",
        who=but(everybody, "PromotionRole"),
        may=("ecr:PutImage", "ecr:*LayerUpload", "ecr:UploadLayerPart"),
        where=on("repository/ml-platform-*"),
        owners=(HUB,),
    ),
    Property(
        says="Nobody deletes images of promoted models",
        who=everybody,
        may=("ecr:BatchDeleteImage",),
        where=on("repository/ml-platform-*"),
        owners=(HUB,),
    ),
    Property(
        says="Nobody but what deploys the platform changes the repository of promoted models",
        who=but(everybody, "bootstrap"),
        may=("ecr:SetRepositoryPolicy", "ecr:DeleteRepository*", "ecr:PutLifecyclePolicy", "ecr:PutImageTagMutability"),
        where=on("repository/ml-platform-*"),
        owners=(HUB,),
    ),
    # ---- the promotion ----
    Property(
        says="The promotion never approves",
        who=_promotion,
        may=("sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"),
        where=having_key(_STATUS, "Approved"),
    ),
    Property(
        says="The promotion changes no model package outside the hub",
        who=_promotion,
        may=("sagemaker:*", "!sagemaker:Describe*", "!sagemaker:List*", "!sagemaker:BatchDescribe*"),
        owners=(DEV, DEPLOYMENT),
        kinds=("model-package", "model-package-group", "model-card"),
    ),
    Property(
        says="The promotion reads no bucket of a deployment project",
        who=_promotion,
        may=("s3:GetObject*", "s3:ListBucket*"),
        where=on(_VICTIMS_BUCKET, f"{_VICTIMS_BUCKET}/*"),
        owners=(HUB,),
    ),
    Property(
        says="The promotion reads no data but of projects and of the registry",
        who=_promotion,
        may=READS_OBJECTS,
        where=not_on("mlp-*", f"{_REGISTRY}*"),
        owners=(HUB, DEV),
    ),
    Property(
        says="The promotion reads no record of a decision and no release",
        who=_promotion,
        may=READS_OBJECTS,
        where=on(f"{_AUDIT}*", f"{_ARTIFACTS}*"),
        owners=(HUB,),
    ),
    Property(
        says="The promotion writes packages, what it vouches for, its own progress and decisions only",
        who=_promotion,
        may=WRITES_OBJECTS,
        where=not_on(*(f"{_REGISTRY}/{p}/*" for p in ("packages", "promoted", "promotions")), f"{_AUDIT}/decisions/*"),
        owners=(HUB, *_ELSEWHERE),
        kinds=("object",),
    ),
    Property(
        says="The promotion deletes nothing but messages of its queue",
        who=_promotion,
        may=("s3:Delete*", "sagemaker:Delete*", "ecr:*Delete*", "kms:ScheduleKeyDeletion", "logs:Delete*"),
    ),
    Property(
        says="The promotion pushes images into the registry's repository only",
        who=_promotion,
        may=("ecr:PutImage", "ecr:*LayerUpload", "ecr:UploadLayerPart"),
        where=not_on(f"repository/{names.MODEL_REPOSITORY}"),
        owners=(HUB, *_ELSEWHERE),
    ),
    Property(
        says="The promotion uses keys of others through S3 only, and only to read",
        who=_promotion,
        may=("kms:*",),
        where=both(not_on("key/ml-platform-registry-*"), NOT_THROUGH_S3),
        owners=(HUB, DEV, STRANGER),
        kinds=("key",),
    ),
    Property(
        says="The promotion encrypts with keys of the registry only",
        who=_promotion,
        may=("kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncryptTo", "kms:CreateGrant"),
        where=not_on("key/ml-platform-registry-*"),
        owners=(HUB, DEV, STRANGER),
        kinds=("key",),
    ),
    Property(
        says="The promotion reads decisions on deployments and answers none",
        who=_promotion,
        may=("codepipeline:*", "!codepipeline:List*", "!codepipeline:Get*"),
    ),
    Property(
        says="The promotion assumes no role, passes none and changes no IAM",
        who=_promotion,
        may=(*CHANGES_IAM, "iam:PassRole", "sts:AssumeRole*"),
        owners=(HUB, *_ELSEWHERE),
    ),
    Property(
        says="Only the promotion takes messages out of its queue",
        who=but(everybody, "PromotionRole"),
        may=("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue", "sqs:ChangeMessageVisibility"),
        where=on("ml-platform-registry-*"),
        owners=(HUB,),
    ),
    Property(
        says="Nobody but the promotion itself puts a message into its queue",
        who=but(everybody, "PromotionRole"),
        may=("sqs:SendMessage",),
        where=on("ml-platform-registry-*"),
        owners=(HUB,),
    ),
    # ---- people of the hub ----
    Property(
        says="Only governance officers answer for production",
        who=but(everybody, "governance-officer"),
        may=("codepipeline:PutApprovalResult",),
        where=on("*/Approve/*"),
        owners=(HUB,),
    ),
    Property(
        says="Governance officers answer nothing but the approval of production",
        who=_officer,
        may=("codepipeline:PutApprovalResult", "codepipeline:OverrideStageCondition"),
        where=not_on("mlp-p-*-deploy/Approve/GovernanceApproval"),
    ),
    Property(
        says="Governance officers change, start and launch nothing",
        who=_officer,
        may=(
            "sagemaker:*",
            "codebuild:*",
            "codepipeline:*",
            "!codepipeline:Get*",
            "!codepipeline:List*",
            "!codepipeline:PutApprovalResult",
            "servicecatalog:*",
            "cloudformation:*",
            "lambda:*",
            "events:*",
            "ssm:*",
            *WRITES_OBJECTS,
            *CHANGES_IAM,
            "iam:PassRole",
            "sts:AssumeRole*",
        ),
        owners=(HUB, DEPLOYMENT),
    ),
    Property(
        says="Governance officers query the platform's table and no other",
        who=_officer,
        may=("glue:*",),
        where=not_on("catalog", "database/ml_platform", "table/ml_platform/decisions"),
    ),
    Property(
        says="ML engineers say approved or rejected, and nothing else about a model's status",
        who=_engineer,
        may=("sagemaker:UpdateModelPackage",),
        where=lacking_key(_STATUS, "Approved", "Rejected"),
    ),
    Property(
        says="ML engineers change no recorded origin of a model while they approve it",
        who=_engineer,
        may=("sagemaker:UpdateModelPackage",),
        where=having_key("sagemaker:CustomerMetadataProperties/source_digest"),
    ),
    Property(
        says="ML engineers take no recorded origin away while they approve a model",
        who=_engineer,
        may=("sagemaker:UpdateModelPackage",),
        where=having_key("sagemaker:CustomerMetadataPropertiesToRemove"),
    ),
    Property(
        says="ML engineers read reports and descriptions of models, not the models",
        who=_engineer,
        may=("s3:GetObject*",),
        where=both(on(f"{_REGISTRY}/*"), not_on("*.html", "*.json")),
    ),
    Property(
        says="ML engineers start no build and change no pipeline",
        who=_engineer,
        may=(
            "codebuild:*",
            "!codebuild:BatchGet*",
            "!codebuild:List*",
            "codepipeline:Create*",
            "codepipeline:Update*",
            "codepipeline:Delete*",
            "codepipeline:Put*",
            "codepipeline:*StageTransition",
            "codepipeline:Rollback*",
            "codepipeline:Override*",
        ),
    ),
    Property(
        says="ML engineers start and stop pipelines of deployment projects only",
        who=_engineer,
        may=("codepipeline:Start*", "codepipeline:Stop*", "codepipeline:Retry*"),
        where=not_on("mlp-p-*"),
    ),
    Property(
        says="ML engineers put no event on a bus and send no message",
        who=_engineer,
        may=("events:*", "sqs:*", "sns:*", "lambda:*", "ssm:*", "dynamodb:*"),
    ),
    Property(
        says="ML engineers write no object, pass no role and enter no account",
        who=_engineer,
        may=(*WRITES_OBJECTS, *CHANGES_IAM, "iam:PassRole", "sts:AssumeRole*"),
        owners=(HUB, DEPLOYMENT),
    ),
    Property(
        says="ML engineers and governance officers use keys of the hub through S3 only, and only to read",
        who=any_with("ml-engineer", "governance-officer"),
        may=("kms:*",),
        where=NOT_THROUGH_S3,
    ),
    Property(
        says="No person of the hub reads another account's objects or keys",
        who=lambda world: [actor for actor in world.having("permission-set") if actor.account == HUB],
        may=(*READS_OBJECTS, "kms:*"),
        owners=_ELSEWHERE,
        kinds=("object", "bucket", "key"),
    ),
    Property(
        says="People of the hub end and change only what their own role launched",
        who=lambda world: [actor for actor in world.having("permission-set") if actor.account == HUB],
        may=("servicecatalog:TerminateProvisionedProduct", "servicecatalog:UpdateProvisionedProduct*"),
        where=lacking_key("servicecatalog:roleLevel", "self"),
    ),
    # ---- deployment projects in the hub ----
    Property(
        says="A deployment project touches no bucket of another one",
        who=_projects,
        may=(*READS_OBJECTS, *WRITES_OBJECTS, "s3:*Bucket*"),
        where=on(_VICTIMS_BUCKET, f"{_VICTIMS_BUCKET}/*"),
        owners=(HUB,),
    ),
    Property(
        says="A deployment project writes into its own bucket only",
        who=_projects,
        may=WRITES_OBJECTS,
        where=not_on(f"{_OWN_BUCKET}/*"),
        owners=(HUB, DEV, DEPLOYMENT),
        kinds=("object",),
    ),
    Property(
        says="A deployment project reads its own bucket and promoted models of its group only",
        who=_projects,
        may=("s3:GetObject*",),
        where=not_on(
            f"{_OWN_BUCKET}/*", *(f"{_REGISTRY}/{part}/{group_of(ATTACKER)}/*" for part in ("packages", "promoted"))
        ),
        owners=(HUB, DEV, DEPLOYMENT),
        kinds=("object",),
    ),
    Property(
        says="The builds that deploy cannot replace their own source code",
        who=lambda world: [
            a
            for a in _projects(world)
            if any(label.startswith("Project") for label in a.labels) and "ProjectDeliveryRole" not in a.labels
        ],
        may=WRITES_OBJECTS,
        where=on(f"{_OWN_BUCKET}/mlp-{ATTACKER}*"),
        owners=(HUB,),
        kinds=("object",),
    ),
    Property(
        says="A deployment project starts no build and no pipeline of another one",
        who=_projects,
        may=(
            "codebuild:StartBuild*",
            "codebuild:RetryBuild*",
            "codebuild:UpdateProject*",
            "codepipeline:StartPipelineExecution",
            "codepipeline:UpdatePipeline",
            "codepipeline:RetryStageExecution",
            "codepipeline:StopPipelineExecution",
        ),
        where=on(f"project/mlp-{VICTIM}*", f"mlp-{VICTIM}*"),
    ),
    Property(
        says="A deployment project changes no definition of a build or pipeline",
        who=_projects,
        may=(
            "codebuild:Update*",
            "codebuild:Create*",
            "codepipeline:Update*",
            "codepipeline:Create*",
            "codepipeline:Put*Webhook",
        ),
        kinds=("project", "pipeline", "webhook"),
    ),
    Property(
        says="A deployment project reads models of its own group only",
        who=_projects,
        may=("s3:GetObject*",),
        where=_another_groups_packages,
        owners=(HUB,),
    ),
    Property(
        says="A deployment project sees no model package of another group",
        who=_projects,
        may=("sagemaker:*ModelPackage*",),
        where=on(f"model-package/{group_of(VICTIM)}/*", f"model-package-group/{group_of(VICTIM)}"),
    ),
    Property(
        says="A deployment project reads the model card of its own group only",
        who=_projects,
        may=("sagemaker:*ModelCard*", "!sagemaker:ListModelCards"),
        where=both(
            on("model-card/*"), not_on(f"model-card/{group_of(ATTACKER)}", f"model-card/{group_of(ATTACKER)}/*")
        ),
    ),
    Property(
        says="A deployment project decides on no model",
        who=_projects,
        may=("sagemaker:UpdateModelPackage", "sagemaker:CreateModelPackage", "sagemaker:DeleteModelPackage*"),
        owners=(HUB, DEV),
        kinds=("model-package", "model-package-group"),
    ),
    Property(
        says="A deployment project answers no approval but the end of its shadow period",
        who=_projects,
        may=("codepipeline:PutApprovalResult",),
        where=not_on(f"mlp-{ATTACKER}-deploy/Shadow/Period"),
    ),
    Property(
        says="The schedule starts production with the project's own buildspec",
        who=_shadow,
        may=("codebuild:StartBuild",),
        where=having_key("codebuild:source.buildspec"),
    ),
    Property(
        says="The schedule starts production with an archive of the production build only",
        who=_shadow,
        may=("codebuild:StartBuild",),
        where=lacking_key("codebuild:source.location", f"{_OWN_BUCKET}/shadow/*"),
    ),
    Property(
        says="The schedule starts production with the project's own role",
        who=_shadow,
        may=("codebuild:StartBuild",),
        where=having_key("codebuild:serviceRole"),
    ),
    Property(
        says="The schedule starts the production build and does nothing else",
        who=_shadow,
        may=("codebuild:*", "codepipeline:*", "s3:*", "sts:AssumeRole", "iam:*", "sns:*"),
        where=not_on(f"project/mlp-{ATTACKER}-prod"),
    ),
    Property(
        says="A deployment project hands only its schedule's role on, and only to the scheduler",
        who=_projects,
        may=("iam:PassRole",),
        where=except_(both(on("*ShadowRole*"), having_key("iam:PassedToService", "scheduler.amazonaws.com"))),
    ),
    Property(
        says="A deployment project schedules in its own group of schedules only",
        who=_projects,
        may=("scheduler:*",),
        where=not_on(f"schedule/mlp-{ATTACKER}-*", f"schedule-group/mlp-{ATTACKER}-*"),
    ),
    Property(
        says="A deployment project sends messages and notices of its own only",
        who=_projects,
        may=("sqs:*", "sns:*"),
        where=not_on(f"mlp-{ATTACKER}-*"),
    ),
    Property(
        says="A deployment project puts no event on any bus",
        who=_projects,
        may=("events:PutEvents", "events:PutRule", "events:PutTargets", "events:DeleteRule", "events:RemoveTargets"),
    ),
    Property(
        says="A deployment project writes logs of its own builds only",
        who=_projects,
        may=("logs:*", "!logs:Describe*"),
        where=not_on(f"log-group:/aws/codebuild/mlp-{ATTACKER}-*", "log-group:/aws/codepipeline/mlp-*"),
        kinds=("log-group", "log-stream"),
    ),
    Property(
        says="A deployment project uses no key of another one but through S3",
        who=_projects,
        may=("kms:*",),
        where=both(not_on(f"key/SC-{HUB}-pp-{ATTACKER}-*"), NOT_THROUGH_S3),
        owners=(HUB, DEV, DEPLOYMENT),
        kinds=("key",),
    ),
    Property(
        says="The start rule of a project starts its own pipeline and does nothing else",
        who=having("product", ATTACKER, "ProjectStartRole"),
        may=("codepipeline:*", "codebuild:*", "s3:*", "sts:AssumeRole", "iam:*", "kms:*"),
        where=not_on(f"mlp-{ATTACKER}-deploy"),
    ),
    # ---- what nobody does in the hub ----
    Property(
        says="No person and no project writes releases or seed code",
        who=_people_and_projects,
        may=WRITES_OBJECTS,
        where=on(f"{_ARTIFACTS}/*"),
        owners=(HUB,),
        kinds=("object",),
    ),
    Property(
        says="Only the step that uploads releases, and what deploys the platform, can write releases",
        who=lambda world: [
            actor
            for actor in everybody(world)
            if "bootstrap" not in actor.labels and not any("UploadReleases" in label for label in actor.labels)
        ],
        may=WRITES_OBJECTS,
        where=on(f"{_ARTIFACTS}/*"),
        owners=(HUB,),
        kinds=("object",),
    ),
    Property(
        says="Nobody takes a role of the platform",
        who=_people_and_projects,
        may=("iam:PassRole", "sts:AssumeRole"),
        where=on("role/ml-platform-launch", "role/ml-platform/baseline/*", "role/ml-platform/hub/*", "role/cdk-*"),
        owners=(HUB, DEV, DEPLOYMENT),
    ),
    Property(
        says="No person and no project changes the platform's functions",
        who=_people_and_projects,
        may=("lambda:Update*", "lambda:Create*", "lambda:Delete*", "lambda:Add*", "lambda:Put*", "lambda:Remove*"),
        owners=(HUB, DEV, DEPLOYMENT),
    ),
    Property(
        says="No person and no project invokes the function that deploys and takes down stages",
        who=_people_and_projects,
        may=("lambda:Invoke*",),
        where=on(f"function:{names.DEPLOYMENT_FUNCTION}*"),
        owners=(HUB,),
    ),
    Property(
        says="Nobody but its own function starts the build that takes stages down",
        who=lambda world: [
            a for a in everybody(world) if "DeploymentRole" not in a.labels and "MlPlatformPipeline" not in a.labels
        ],
        may=("codebuild:StartBuild*", "codebuild:RetryBuild*"),
        where=on("project/ml-platform-deployment-teardown"),
        owners=(HUB,),
    ),
    Property(
        says="No person and no project writes parameters of the contract",
        who=_people_and_projects,
        may=("ssm:*", "!ssm:Get*", "!ssm:Describe*", "!ssm:List*"),
        where=on("parameter/ml-platform/*"),
        owners=(HUB, DEV, DEPLOYMENT),
    ),
    Property(
        says="No person and no project changes a rule, a bus or a subscription of the platform",
        who=_people_and_projects,
        may=("events:*", "!events:Describe*", "!events:List*", "!events:PutEvents", "sns:*", "!sns:Publish"),
        where=on("rule/ml-platform-*", "event-bus/ml-platform*", "ml-platform-*"),
        owners=(HUB, DEV, DEPLOYMENT),
        kinds=("rule-on-custom-event-bus", "rule-on-default-event-bus", "event-bus", "topic"),
    ),
    Property(
        says="No person and no project publishes alerts of the platform",
        who=_people_and_projects,
        may=("sns:Publish",),
        where=on("ml-platform-*", "MlPlatformPipeline-*"),
        owners=(HUB,),
    ),
    Property(
        says="No person and no project reads or changes what the platform's functions remember",
        who=_people_and_projects,
        may=("dynamodb:*",),
        owners=(HUB, DEV, DEPLOYMENT),
    ),
    Property(
        says="No person and no project uses, changes or destroys a key of the platform but through S3",
        who=_people_and_projects,
        may=(*USES_KEYS, *DESTROYS_KEYS),
        where=both(on("key/ml-platform-*", "key/MlPlatform*", "key/StackSet-*"), NOT_THROUGH_S3),
        owners=(HUB, DEV),
        kinds=("key",),
    ),
    Property(
        says="No person and no project changes who sees which product",
        who=_people_and_projects,
        may=(
            "servicecatalog:*Portfolio*",
            "servicecatalog:*Constraint*",
            "servicecatalog:CreateProduct",
            "servicecatalog:UpdateProduct",
            "servicecatalog:*ProvisioningArtifact",
            "!servicecatalog:Describe*",
            "!servicecatalog:List*",
        ),
        owners=(HUB, DEV),
    ),
    # ---- lists and metadata ----
    Property(
        says="A deployment project lists packages of the registry only",
        who=_projects,
        may=("s3:ListBucket*",),
        where=both(on(_REGISTRY), lacking_key("s3:prefix", "packages/*", "promoted/*")),
        owners=(HUB,),
    ),
    Property(
        says="People of the hub list reports and packages only",
        who=any_with("ml-engineer", "governance-officer"),
        may=("s3:ListBucket*",),
        where=both(not_on(_AUDIT), lacking_key("s3:prefix", "packages/*", "promoted/*", "reports/*")),
    ),
    Property(
        says="People of the hub read objects of reports, packages and decisions only",
        who=any_with("ml-engineer", "governance-officer"),
        may=("s3:GetObject*",),
        where=not_on("mlp-p-*/reports/*", "ml-platform-registry-*/packages/*", "ml-platform-audit-*/decisions/*"),
    ),
    Property(
        says="People of the hub look at pipelines and builds of deployment projects only",
        who=any_with("ml-engineer", "governance-officer"),
        may=("codepipeline:*", "codebuild:*", "!codepipeline:ListPipelines"),
        where=not_on("mlp-p-*", "project/mlp-p-*"),
    ),
    Property(
        says="ML engineers read logs of builds of deployment projects only",
        who=_engineer,
        may=("logs:*",),
        where=not_on("log-group:/aws/codebuild/mlp-p-*"),
    ),
    Property(
        says="ML engineers change nothing that the promotion wrote about a model",
        who=_engineer,
        may=("sagemaker:UpdateModelPackage",),
        where=lambda request: any_of(
            request.has(f"sagemaker:CustomerMetadataProperties/source_{what}")
            for what in ("package", "digest", "folder", "status", "decided_by", "decided_at", "reason")
        ),
    ),
    Property(
        says="ML engineers touch of SageMaker models, cards and projects only",
        who=_engineer,
        may=("sagemaker:*",),
        where=not_on("model-card/*", "model-package/*", "model-package-group/*", "project/*"),
    ),
    Property(
        says="ML engineers look at stacks of products only",
        who=_engineer,
        may=("cloudformation:*",),
        where=not_on("stack/SC-*"),
    ),
    Property(
        says="The promotion looks at pipelines of deployment projects only",
        who=_promotion,
        may=("codepipeline:*",),
        where=not_on("mlp-*"),
    ),
    Property(
        says="The promotion touches of SageMaker model packages, groups and cards only",
        who=_promotion,
        may=("sagemaker:*",),
        where=not_on("model-card/*", "model-package/*", "model-package-group/*"),
        owners=(HUB, DEV),
    ),
    Property(
        says="The promotion uses its own queue only",
        who=_promotion,
        may=("sqs:*", "sns:*", "events:*", "lambda:*", "dynamodb:*"),
        where=not_on("ml-platform-registry-Decisions*"),
    ),
    Property(
        says="A deployment project looks at pipelines and builds of its own only",
        who=_projects,
        may=("codepipeline:*", "codebuild:*"),
        where=not_on(f"mlp-{ATTACKER}*", f"project/mlp-{ATTACKER}-*"),
    ),
    Property(
        says="A deployment project reads settings of its own bucket only",
        who=_projects,
        may=("s3:GetBucket*", "s3:List*"),
        where=not_on(_OWN_BUCKET, _REGISTRY),
        kinds=("bucket",),
    ),
    Property(
        says="A deployment project uses only the connection that it was launched with",
        who=_projects,
        may=("codeconnections:*", "codestar-connections:*"),
        where=not_on("connection/0a1b*"),
    ),
    Property(
        says="A deployment project touches of SageMaker its own group and card only",
        who=_projects,
        may=("sagemaker:*",),
        where=not_on(
            *(
                f"{kind}/{group_of(ATTACKER)}{rest}"
                for kind in ("model-package", "model-package-group", "model-card")
                for rest in ("", "/*")
            ),
        ),
    ),
    Property(
        says="A deployment project touches buckets of its own and the registry only",
        who=_projects,
        may=("s3:*",),
        where=not_on(f"{_OWN_BUCKET}*", f"{_REGISTRY}*"),
        kinds=("bucket", "object"),
    ),
    Property(
        says="The schedule overrides nothing of the production build but its step and the source that it saved",
        who=_shadow,
        may=("codebuild:StartBuild",),
        where=_overrides_more_than_the_step,
    ),
    Property(
        says="The schedule starts the comparison of production and no other step",
        who=_shadow,
        may=("codebuild:StartBuild",),
        where=lacking_key("codebuild:environment.environmentVariables/STEP.value", "compare"),
    ),
    # ---- conditions on shared things ----
    Property(
        says="Nobody but the pipeline uses a connection for the catalog's repository",
        who=lambda world: [actor for actor in everybody(world) if "MlPlatformPipeline" not in actor.labels],
        may=USES_CONNECTIONS,
        where=for_repository(CATALOG),
    ),
    Property(
        says="A deployment project uses its connection for its own repositories only",
        who=_projects,
        may=USES_CONNECTIONS,
        where=for_other_repository(f"team/{ATTACKER}-*"),
    ),
    Property(
        says="A deployment project lists packages of its own group only",
        who=_projects,
        may=("s3:ListBucket*",),
        where=both(on(_REGISTRY), lacking_key("s3:prefix", f"packages/{group_of(ATTACKER)}/*")),
        owners=(HUB,),
    ),
    Property(
        says="The schedule sets no variable of the production build but the three of its step",
        who=_shadow,
        may=("codebuild:StartBuild",),
        where=having_other(
            "codebuild:environment.environmentVariables.name", "STEP", "PIPELINE_EXECUTION_ID", "PACKAGE_ARN"
        ),
    ),
    Property(
        says="Governance officers query in the platform's workgroup only",
        who=_officer,
        may=("athena:*",),
        where=not_on("workgroup/ml-platform-audit"),
    ),
    Property(
        says="People of the hub list buckets of projects, of the registry and of the audit trail only",
        who=any_with("ml-engineer", "governance-officer"),
        may=("s3:*",),
        where=not_on("mlp-p-*", "ml-platform-registry-*", f"{_AUDIT}*"),
        kinds=("bucket", "object"),
    ),
    Property(
        says="The promotion pulls images of projects and of the registry only",
        who=_promotion,
        may=("ecr:*",),
        where=not_on("repository/mlp-p-*", f"repository/{names.MODEL_REPOSITORY}"),
        owners=(HUB, *_ELSEWHERE),
    ),
)
