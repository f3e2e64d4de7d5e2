"""The platform's own functions, builds and pipeline: each has what its work takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from products.shared import names
from tests.proofs.logic import negated
from tests.proofs.properties.vocabulary import (
    CHANGES_IAM,
    DESTROYS_KEYS,
    NOT_THROUGH_S3,
    READS_OBJECTS,
    USES_KEYS,
    WRITES_OBJECTS,
    Property,
    any_with,
    both,
    everybody,
    having,
    lacking_key,
    not_on,
    on,
    together,
)
from tests.proofs.world import DEPLOYMENT, DEV, HUB, REGION, STRANGER

if TYPE_CHECKING:
    from tests.proofs.model import Actor, World

_ARTIFACTS: Final = f"ml-platform-artifacts-{HUB}-{REGION}"
_OUR_ACCOUNTS: Final = (HUB, DEV, DEPLOYMENT)


def _functions(world: World) -> list[Actor]:
    """Return the roles of functions, builds and rules of the baselines and of the registry."""
    beside = {"LaunchRole", "DeployRole", "MlPlatformPipeline"}
    return [actor for actor in world.having("platform") if not actor.labels & beside]


_pipeline = having("MlPlatformPipeline")
_seed_build = having("SeedBuildRole")
_seed_functions = any_with("SeedCheckinRole", "SeedCheckinCompletionRole")
_emptier = having("BucketEmptierRole")
_enabling = having("EnableProjectsRole")
_preflight = having("PreflightRole")
_teardown = any_with("TeardownBuildRole", "DeploymentRole", "DeploymentCompletionRole")
_publisher = having("PublisherRole")
_forwarding = any_with("ForwardDecisionsRole", "ForwardAlarmsRole")


def _upload(world: World) -> list[Actor]:
    return [actor for actor in _pipeline(world) if any("UploadReleases" in label for label in actor.labels)]


def _check(world: World) -> list[Actor]:
    return [actor for actor in _pipeline(world) if any("CheckPublished" in label for label in actor.labels)]


def _builds_of_the_pipeline(world: World) -> list[Actor]:
    """Return the roles of the pipeline whose builds run the repository's code before it is deployed."""
    return [actor for actor in _pipeline(world) if any("CdkBuildProject" in label for label in actor.labels)]


PROPERTIES: Final = (
    # ---- all functions ----
    Property(
        says="The platform's functions touch only what is named after the platform or its products",
        who=_functions,
        may=("logs:*", "sqs:*", "dynamodb:*", "lambda:*", "codebuild:*", "s3:*", "ssm:*", "sns:*", "ecr:Put*"),
        where=lambda request: (
            negated(request.named("ml-platform-*", "*ml-platform*", "*StackSet-*", "mlp-*", "project/mlp-p-*"))
            if request.head
            else False
        ),
    ),
    Property(
        says="The platform's functions look at no stack but Service Catalog's",
        who=_functions,
        may=("cloudformation:*",),
        where=not_on("stack/SC-*"),
        kinds=("stack",),
    ),
    Property(
        says="The platform's functions use keys of the platform, others through S3 only",
        who=_functions,
        may=USES_KEYS,
        where=both(not_on("key/ml-platform-*", "key/StackSet-*"), NOT_THROUGH_S3),
        owners=_OUR_ACCOUNTS,
        kinds=("key",),
    ),
    Property(says="The platform's functions change and destroy no key", who=_functions, may=DESTROYS_KEYS),
    Property(
        says="The platform's functions change no IAM and pass no role",
        who=_functions,
        may=(*CHANGES_IAM, "iam:PassRole"),
    ),
    Property(
        says="The platform's functions enter only the deploy role",
        who=_functions,
        may=("sts:AssumeRole*", "sts:TagSession"),
        where=not_on(f"role/{names.DEPLOY_ROLE}"),
        owners=_OUR_ACCOUNTS,
    ),
    Property(
        says="The platform's functions change no function and no rule",
        who=_functions,
        may=("lambda:*", "events:*", "!lambda:Invoke*", "!events:PutEvents", "!lambda:Get*", "!lambda:List*"),
    ),
    Property(
        says="The platform's functions answer no approval and start no pipeline",
        who=_functions,
        may=("codepipeline:*", "!codepipeline:List*", "!codepipeline:Get*"),
    ),
    Property(
        says="The platform's functions run nothing of SageMaker",
        who=_functions,
        may=(
            "sagemaker:Create*Job",
            "sagemaker:Start*",
            "sagemaker:Stop*",
            "sagemaker:*Endpoint",
            "sagemaker:CreateModel",
        ),
    ),
    Property(
        says="The platform's functions open Studio for nobody",
        who=_functions,
        may=("sagemaker:CreatePresigned*",),
    ),
    Property(
        says="The platform's functions write no log but their own",
        who=_functions,
        may=("logs:Put*", "logs:Create*", "logs:Delete*", "logs:Associate*", "logs:Disassociate*"),
        where=lambda request: (
            negated(request.named("log-group:*ml-platform-*", "log-group:*StackSet-*")) if request.head else False
        ),
        kinds=("log-group", "log-stream"),
    ),
    Property(
        says="The platform's functions read no secret",
        who=_functions,
        may=("secretsmanager:*",),
    ),
    # ---- the check-in of seed code ----
    Property(
        says="The build that checks seed code in reads seed code only",
        who=_seed_build,
        may=READS_OBJECTS,
        where=not_on(f"{_ARTIFACTS}/assets/*"),
        owners=(HUB, DEV),
    ),
    Property(
        says="The build that checks seed code in writes no object, message, parameter or record",
        who=_seed_build,
        may=(*WRITES_OBJECTS, "sqs:*", "ssm:*", "dynamodb:*", "lambda:*", "events:*", "sts:AssumeRole"),
    ),
    Property(
        says="The functions that check seed code in use no connection, only their build does",
        who=_seed_functions,
        may=(
            "codeconnections:UseConnection",
            "codeconnections:GetConnectionToken",
            "codestar-connections:UseConnection",
        ),
    ),
    Property(
        says="The functions that check seed code in start their own build only",
        who=_seed_functions,
        may=("codebuild:*",),
        where=not_on("project/ml-platform-seed-checkin"),
    ),
    Property(
        says="Only the function that checks seed code in starts that build",
        who=lambda world: [a for a in everybody(world) if not a.labels & {"SeedCheckinRole", "MlPlatformPipeline"}],
        may=("codebuild:StartBuild*", "codebuild:RetryBuild*"),
        where=on("project/ml-platform-seed-checkin"),
        owners=(HUB, DEV),
    ),
    Property(
        says="No role of the platform but that of the seed build gets a token of a connection",
        who=lambda world: [a for a in everybody(world) if "platform" in a.labels and "SeedBuildRole" not in a.labels],
        may=("codeconnections:GetConnectionToken",),
    ),
    # ---- emptying buckets ----
    Property(
        says="The function that empties buckets touches only buckets of products in its own account",
        who=_emptier,
        may=("s3:*",),
        where=not_on("mlp-*"),
        owners=_OUR_ACCOUNTS,
    ),
    Property(
        says="The function that empties buckets reads and writes no object",
        who=_emptier,
        may=("s3:GetObject*", "s3:PutObject*", "s3:Replicate*"),
    ),
    Property(
        says="The function that empties buckets leaves buckets and their policies alone",
        who=_emptier,
        may=("s3:DeleteBucket*", "s3:PutBucket*", "s3:CreateBucket", "s3:Put*Configuration"),
    ),
    Property(
        says="The function that empties buckets lists no bucket that is named after another account",
        who=_emptier,
        may=("s3:List*",),
        where=on(f"mlp-p-*-{STRANGER}-{REGION}"),
        owners=(STRANGER,),
        kinds=("bucket",),
    ),
    Property(
        says="The function that empties buckets invokes itself only",
        who=_emptier,
        may=("lambda:*",),
        where=not_on(f"function:{names.BUCKET_EMPTIER_FUNCTION}", f"function:{names.BUCKET_EMPTIER_FUNCTION}:*"),
    ),
    # ---- enabling projects, preflight ----
    Property(
        says="The function that enables projects writes one parameter, the connection's",
        who=_enabling,
        may=("ssm:*",),
        where=not_on(f"parameter{names.contract_parameter('connection-arn')}"),
    ),
    Property(
        says="The function that enables projects makes no portfolio and shares none",
        who=_enabling,
        may=("servicecatalog:Create*", "servicecatalog:Update*", "servicecatalog:Delete*"),
    ),
    Property(
        says="The function that enables projects looks at personas only",
        who=_enabling,
        may=("iam:*",),
        where=not_on("role/ml-platform/persona/*"),
    ),
    Property(
        says="The function that checks before a launch changes nothing but its log and dead letters",
        who=_preflight,
        may=(
            "ec2:*",
            "!ec2:Describe*",
            "sagemaker:*",
            "!sagemaker:List*",
            "!sagemaker:DescribeDomain",
            "cloudformation:*",
            "!cloudformation:Describe*",
            "ssm:*",
            *WRITES_OBJECTS,
            "codeconnections:UseConnection",
            "codeconnections:GetConnectionToken",
        ),
    ),
    # ---- taking stages down ----
    Property(
        says="Whoever takes stages down reads and writes no object",
        who=_teardown,
        may=(*READS_OBJECTS, *WRITES_OBJECTS),
        owners=(HUB, DEPLOYMENT),
        kinds=("object",),
    ),
    Property(
        says="The function that takes stages down starts its own build only",
        who=_teardown,
        may=("codebuild:StartBuild*", "codebuild:RetryBuild*"),
        where=not_on("project/ml-platform-deployment-teardown"),
    ),
    Property(
        says="The function that takes stages down stops builds of stages only",
        who=_teardown,
        may=("codebuild:StopBuild*",),
        where=not_on("project/mlp-p-*-test", "project/mlp-p-*-prod"),
    ),
    Property(
        says="Whoever takes stages down enters no account with a tag beside the stage's",
        who=_teardown,
        may=("sts:AssumeRole", "sts:TagSession"),
        where=lacking_key(f"aws:RequestTag/{names.DEPLOYMENT_TAG}"),
        owners=(DEPLOYMENT,),
    ),
    # ---- publishing ----
    Property(
        says="The function that publishes changes shares and versions only",
        who=_publisher,
        may=(
            "servicecatalog:*",
            "!servicecatalog:*PortfolioShare*",
            "!servicecatalog:UpdateProvisioningArtifact",
            "!servicecatalog:List*",
            "!servicecatalog:Describe*",
        ),
    ),
    Property(
        says="The function that publishes reads and writes no object and no parameter",
        who=_publisher,
        may=("s3:*", "ssm:*", "dynamodb:*"),
    ),
    Property(
        says="Nobody but the publishing function shares portfolios",
        who=lambda world: [a for a in everybody(world) if not a.labels & {"PublisherRole", "EnableProjectsRole"}],
        may=(
            "servicecatalog:CreatePortfolioShare",
            "servicecatalog:UpdatePortfolioShare",
            "servicecatalog:DeletePortfolioShare",
        ),
        owners=(HUB, DEV),
    ),
    Property(
        says="Nobody but the publishing function and what deploys the platform changes versions of products",
        who=lambda world: [a for a in everybody(world) if not a.labels & {"PublisherRole", "bootstrap"}],
        may=("servicecatalog:UpdateProvisioningArtifact", "servicecatalog:DeleteProvisioningArtifact"),
        owners=(HUB,),
    ),
    # ---- forwarding ----
    Property(
        says="The roles that forward events put them on the hub's bus and do nothing else",
        who=_forwarding,
        may=("events:*", "sqs:*", "s3:*", "kms:*", "sns:*", "lambda:*", "sts:AssumeRole"),
        where=not_on(f"event-bus/{names.HUB_EVENT_BUS}"),
        owners=_OUR_ACCOUNTS,
    ),
    # ---- the pipeline ----
    Property(
        says="The step that uploads releases writes releases and assets only, and deletes nothing",
        who=_upload,
        may=WRITES_OBJECTS,
        where=not_on(f"{_ARTIFACTS}/assets/*", f"{_ARTIFACTS}/releases/*"),
        owners=(HUB,),
        kinds=("object",),
    ),
    Property(
        says="The step that uploads releases never deletes one",
        who=_upload,
        may=("s3:DeleteObject*",),
        owners=(HUB,),
    ),
    Property(
        says="The step that uploads releases enters no role and changes nothing of Service Catalog",
        who=_upload,
        may=("sts:AssumeRole", "servicecatalog:*", "cloudformation:*", "iam:*"),
    ),
    Property(
        says="The step that checks what is published changes nothing",
        who=_check,
        may=(
            "servicecatalog:*",
            "!servicecatalog:List*",
            "!servicecatalog:Describe*",
            "!servicecatalog:Search*",
            "sts:AssumeRole",
            "iam:*",
            *WRITES_OBJECTS,
        ),
        owners=(HUB,),
    ),
    Property(
        says="The build that synthesises enters no role and deploys nothing",
        who=_builds_of_the_pipeline,
        may=("sts:AssumeRole", "cloudformation:*", "iam:*", "servicecatalog:*", "lambda:*"),
    ),
    Property(
        says="The pipeline assumes its own roles and those of the CDK only",
        who=_pipeline,
        may=("sts:AssumeRole",),
        where=both(
            not_on("role/MlPlatformPipeline-*", "role/cdk-*"),
            lacking_key("iam:ResourceTag/aws-cdk:bootstrap-role"),
        ),
        owners=_OUR_ACCOUNTS,
    ),
    Property(
        says="The pipeline touches no registry, no audit trail and no bucket of a project",
        who=_pipeline,
        may=(*READS_OBJECTS, *WRITES_OBJECTS),
        where=on("ml-platform-registry-*/*", "ml-platform-audit-*/*", "mlp-*/*"),
        owners=(HUB,),
        kinds=("object",),
    ),
    Property(
        says="The pipeline decides on no model and answers no approval",
        who=_pipeline,
        may=("sagemaker:*", "codepipeline:PutApprovalResult"),
    ),
    Property(
        says="The pipeline changes no IAM and passes no role by itself",
        who=_pipeline,
        may=(*CHANGES_IAM, "iam:PassRole"),
    ),
    Property(
        says="Nobody but the pipeline reads the catalog's source on its way to the accounts",
        who=lambda world: [
            a for a in everybody(world) if not a.labels & {"MlPlatformPipeline", "bootstrap", "made-role"}
        ],
        closed=True,
        may=(*READS_OBJECTS, *WRITES_OBJECTS),
        where=both(
            on("MlPlatformPipeline-*"),
            lacking_key("s3:ExistingObjectTag/servicecatalog:provisioning", "true"),
        ),
        owners=(HUB,),
    ),
    Property(
        says="Nobody but the pipeline uses the catalog's connection",
        who=lambda world: [
            a for a in everybody(world) if not a.labels & {"MlPlatformPipeline", "bootstrap", "SeedBuildRole"}
        ],
        may=("codeconnections:UseConnection", "codeconnections:GetConnectionToken"),
        where=on("connection/MlPlatformPipeline-*"),
        owners=(HUB,),
    ),
    Property(
        says="Nobody but the pipeline and CloudFormation starts or changes the catalog's pipeline",
        who=together(lambda world: [a for a in everybody(world) if not a.labels & {"MlPlatformPipeline", "bootstrap"}]),
        may=("codepipeline:*", "!codepipeline:Get*", "!codepipeline:List*"),
        where=on("ml-platform-catalog", "ml-platform-catalog/*"),
        owners=(HUB,),
    ),
    Property(
        says="The pipeline uses its own key, and that of the releases to upload them",
        who=_pipeline,
        may=USES_KEYS,
        where=both(
            not_on("key/MlPlatformPipeline-TransitKey*"),
            lacking_key("kms:ResourceAliases", f"alias/{names.PREFIX}-artifacts"),
        ),
        kinds=("key",),
    ),
    Property(
        says="The pipeline writes logs of its own builds only",
        who=_pipeline,
        may=("logs:*", "!logs:Describe*"),
        where=not_on("log-group:/aws/codebuild/*"),
        kinds=("log-group", "log-stream"),
    ),
    Property(
        says="A build of the pipeline writes no log of another one",
        who=_builds_of_the_pipeline,
        may=("logs:*", "!logs:Describe*"),
        where=not_on("log-group:/aws/codebuild/*CdkBuildProject*"),
        kinds=("log-group", "log-stream"),
    ),
    Property(
        says="The steps that upload and check write logs of these steps only",
        who=together(_upload, _check),
        may=("logs:*", "!logs:Describe*"),
        where=not_on("log-group:/aws/codebuild/*UploadReleases*", "log-group:/aws/codebuild/*CheckPublished*"),
        kinds=("log-group", "log-stream"),
    ),
    Property(
        says="The pipeline starts its own builds only",
        who=having("PipelineCodeBuildActionRole"),
        may=("codebuild:*",),
        where=not_on("project/MlPlatformPipeline-*", "project/Pipeline*", "project/ml-platform-catalog-*"),
    ),
    Property(
        says="Builds of the pipeline report on themselves and start no build",
        who=together(_builds_of_the_pipeline, _upload, _check),
        may=("codebuild:*",),
        where=not_on("report-group/MlPlatformPipeline-*"),
    ),
    Property(
        says="The pipeline uses no connection but the catalog's",
        who=_pipeline,
        may=("codeconnections:*", "codestar-connections:*"),
        where=not_on("connection/MlPlatformPipeline-*"),
    ),
    Property(
        says="The pipeline lists no bucket but its own, that of releases and those of the CDK",
        who=lambda world: [a for a in _pipeline(world) if "PipelineUpdatePipelineSelfMutationRole" not in a.labels],
        may=("s3:ListBucket*", "s3:GetBucket*"),
        where=not_on("MlPlatformPipeline-*", f"{_ARTIFACTS}", "cdk-*"),
    ),
    Property(
        says="Roles of the platform that use connections use them for nothing else than git",
        who=_seed_build,
        may=("codeconnections:*", "!codeconnections:Get*", "!codeconnections:UseConnection"),
    ),
    Property(
        says="The platform's functions send messages to queues of the platform only",
        who=_functions,
        may=("sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue"),
        where=not_on("ml-platform-*"),
        owners=_OUR_ACCOUNTS,
    ),
    Property(
        says="The functions that check seed code in remember in their own table only",
        who=_seed_functions,
        may=("dynamodb:*",),
        where=not_on("table/*Ledger*"),
    ),
    Property(
        says="Whoever takes stages down remembers in its own table only",
        who=_teardown,
        may=("dynamodb:*",),
        where=not_on("table/*TeardownRequests*", "table/*DeploymentClaims*", "table/*Claims*"),
    ),
    Property(
        says="The platform's functions look at connections of their own account and change none",
        who=_functions,
        may=("codeconnections:*", "!codeconnections:Get*", "!codeconnections:UseConnection", "!codeconnections:List*"),
    ),
    Property(
        says="The function that enables projects gives access to nobody but personas, by portfolio",
        who=_enabling,
        may=("servicecatalog:*Principal*", "servicecatalog:AcceptPortfolioShare"),
        where=not_on("portfolio/*"),
    ),
    Property(
        says="The step that checks what is published looks at the StackSets of the baselines only",
        who=_check,
        may=("cloudformation:*",),
        where=not_on("stackset/ml-platform-baseline:*", "stackset/ml-platform-deployment-baseline:*"),
        kinds=("stackset",),
    ),
)
