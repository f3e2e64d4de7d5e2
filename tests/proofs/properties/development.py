"""Accounts of data science: what projects, domains and the people in them cannot do."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from products.shared import names
from tests.proofs.logic import negated
from tests.proofs.properties.vocabulary import (
    CHANGES_IAM,
    DESTROYS_KEYS,
    ENTERS,
    NOT_THROUGH_S3,
    READS_OBJECTS,
    USES_CONNECTIONS,
    USES_KEYS,
    WRITES_OBJECTS,
    Property,
    both,
    either,
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
    together,
)
from tests.proofs.solver import Question, search
from tests.proofs.world import (
    ATTACKER,
    CATALOG,
    DEPLOYMENT,
    DEV,
    DOMAINS,
    HUB,
    PROFILE,
    REGION,
    STRANGER,
    VICTIM,
    domain_id,
    project_name,
)

if TYPE_CHECKING:
    from tests.proofs.logic import Formula
    from tests.proofs.model import Actor, World
    from tests.proofs.requests import Request

_STATUS: Final = "sagemaker:ModelApprovalStatus"
_OWN_BUCKET: Final = f"mlp-{ATTACKER}-{DEV}-{REGION}"
_VICTIMS_BUCKET: Final = f"mlp-{VICTIM}-{DEV}-{REGION}"
_GROUP: Final = f"{project_name(ATTACKER)}-{ATTACKER}"
_OWN_DOMAIN: Final = domain_id(ATTACKER)
_PROJECT_TAG: Final = "aws:ResourceTag/sagemaker:project-id"

_training = having("product", "train-s3", ATTACKER)
_pipeline = having("train-s3", ATTACKER, "PipelineRole")
_build = having("train-s3", ATTACKER, "DeliveryBuildRole")
_source = having("train-s3", ATTACKER, "DeliverySourceRole")
_scientist = having("DataScientistRole", ATTACKER)
_lead = having("LeadDataScientistRole", ATTACKER)
_execution = having("sagemaker-domain", ATTACKER, "ExecutionRole")
_engineer = having("MlEngineerRole", ATTACKER)
_studio = together(_scientist, _lead, _engineer, _execution)
_people = together(
    _scientist,
    _lead,
    _engineer,
    having("data-scientist", "permission-set"),
    having("lead-data-scientist", "permission-set"),
)
_development = of_account(DEV)


def _not_platform(world: World) -> list[Actor]:
    return [actor for actor in _development(world) if "platform" not in actor.labels]


@lru_cache(8)
def _within_reach_of_data_scientists(world: World) -> tuple[Actor, ...]:
    """Return the roles of a data scientist, and those that they may pass to a service that runs their code."""
    own = [*_scientist(world), *having("data-scientist", "permission-set")(world)]
    trusting = [
        actor
        for actor in _development(world)
        if actor not in own and any("sagemaker" in json.dumps(s.get("Principal")) for s in actor.trust)
    ]
    passed = [actor for actor in trusting if _may_pass(world, own, actor)]
    return (*own, *passed, *_training(world))


def _may_pass(world: World, who: list[Actor], role: Actor) -> bool:
    question = Question(actors=who, actions=("iam:PassRole",), where=on(role.arn.split(":", 5)[5]), region=REGION)
    return search(world, question).verdict != "proven"


def _lacks_the_network(request: Request) -> Formula:
    """Take requests that do not name both subnets and security groups."""
    return negated(request.has("sagemaker:VpcSubnets")) if request.head else False


def _lacks_security_groups(request: Request) -> Formula:
    return negated(request.has("sagemaker:VpcSecurityGroupIds")) if request.head else False


def _catalogs_repository(request: Request) -> Formula:
    """Take requests for the catalog's repository; a token may be used for any."""
    service, _, verb = request.action.partition(":")
    return verb.lower() == "getconnectiontoken" or request.is_like(f"{service}:FullRepositoryId", CATALOG)


_STARTS_JOBS: Final = ("sagemaker:CreateTrainingJob", "sagemaker:CreateProcessingJob")
_NO_JOB: Final = "*-job/_"
"""A name that no job can have; templates put it where there is no network to name."""

PROPERTIES: Final = (
    # ---- who approves ----
    Property(
        says="No role that a data scientist can use or pass approves a model",
        who=_within_reach_of_data_scientists,
        may=("sagemaker:UpdateModelPackage", "sagemaker:CreateModelPackage"),
        where=having_key(_STATUS, "Approved"),
    ),
    Property(
        says="No role that a data scientist can use or pass decides on a model at all",
        who=_within_reach_of_data_scientists,
        may=("sagemaker:UpdateModelPackage",),
    ),
    Property(
        says="No role that a data scientist can use or pass changes IAM",
        who=_within_reach_of_data_scientists,
        may=CHANGES_IAM,
    ),
    Property(
        says="No role that a data scientist can use or pass deletes a model package or a group",
        who=_within_reach_of_data_scientists,
        may=("sagemaker:DeleteModelPackage*", "sagemaker:PutModelPackageGroupPolicy"),
    ),
    Property(
        says="Leads, who approve models, register none",
        who=_lead,
        may=("sagemaker:CreateModelPackage*", "sagemaker:DeleteModelPackage*"),
    ),
    Property(
        says="Leads decide on models of projects only",
        who=_lead,
        may=("sagemaker:UpdateModelPackage",),
        where=not_on("model-package/*-p-*/*"),
    ),
    Property(
        says="Nobody in development decides on models of the hub",
        who=_development,
        may=("sagemaker:*ModelPackage*", "!sagemaker:Describe*", "!sagemaker:List*", "!sagemaker:BatchDescribe*"),
        owners=(HUB,),
        kinds=("model-package", "model-package-group"),
    ),
    # ---- a training project ----
    Property(
        says="A training project touches no bucket of another one",
        who=_training,
        may=(*READS_OBJECTS, *WRITES_OBJECTS, "s3:*Bucket*"),
        where=on(_VICTIMS_BUCKET, f"{_VICTIMS_BUCKET}/*"),
    ),
    Property(
        says="A training project writes into its own bucket only",
        who=_training,
        may=WRITES_OBJECTS,
        where=not_on(f"{_OWN_BUCKET}/*"),
        owners=(DEV, HUB, STRANGER),
        kinds=("object",),
    ),
    Property(
        says="A training project reads its own bucket and its own data only",
        who=_training,
        may=("s3:GetObject*",),
        where=not_on(f"{_OWN_BUCKET}/*", f"lake/{ATTACKER}/*"),
        owners=(DEV, HUB),
        kinds=("object",),
    ),
    Property(
        says="A training project lists only its part of the bucket that it shares with others",
        who=_training,
        may=("s3:ListBucket*",),
        where=both(on("lake"), lacking_key("s3:prefix", f"{ATTACKER}*")),
    ),
    Property(
        says="A training project registers models in its own group only",
        who=_training,
        may=("sagemaker:CreateModelPackage*",),
        where=not_on(f"model-package-group/{_GROUP}", f"model-package/{_GROUP}/*"),
    ),
    Property(
        says="A training project registers models as pending only",
        who=_training,
        may=("sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"),
        where=having_key(_STATUS, "Approved", "Rejected"),
    ),
    Property(
        says="A training project stops no job of another one",
        who=_training,
        may=("sagemaker:Stop*Job", "sagemaker:DeleteTags", "sagemaker:Delete*Job", "sagemaker:Update*Job"),
        where=having_key(_PROJECT_TAG, VICTIM),
    ),
    Property(
        says="A training project gives its jobs no tag of another one",
        who=_training,
        may=("sagemaker:Create*Job", "sagemaker:AddTags"),
        where=having_key("aws:RequestTag/sagemaker:project-id", VICTIM),
        kinds=("training-job", "processing-job", "transform-job"),
    ),
    Property(
        says="A training project touches no pipeline of another one",
        who=_training,
        may=("sagemaker:*Pipeline*", "!sagemaker:ListPipelines"),
        where=not_on(f"pipeline/{_GROUP}", f"pipeline/{_GROUP}/*"),
        kinds=("pipeline", "pipeline-execution"),
    ),
    Property(
        says="A training project passes its own pipeline role only, and only to SageMaker",
        who=_training,
        may=("iam:PassRole",),
        where=except_(
            both(on("*train-s3-PipelineRole*"), having_key("iam:PassedToService", "sagemaker.amazonaws.com"))
        ),
    ),
    Property(
        says="A training project passes no role of another one",
        who=_training,
        may=("iam:PassRole",),
        where=on(f"role{names.PROJECT_ROLE_PATH}*{VICTIM}*"),
    ),
    Property(
        says="A training project assumes no role of any account",
        who=_training,
        may=("sts:AssumeRole*",),
        owners=(DEV, HUB, DEPLOYMENT, STRANGER),
    ),
    Property(
        says="A training project deploys nothing",
        who=_training,
        may=("sagemaker:*Endpoint*", "sagemaker:CreateModel", "sagemaker:*InferenceComponent*", "!sagemaker:List*"),
    ),
    Property(
        says="A training project opens no Studio and makes no notebook",
        who=_training,
        may=(
            "sagemaker:*Presigned*",
            "sagemaker:*Domain*",
            "sagemaker:*UserProfile*",
            "sagemaker:*Space*",
            "sagemaker:*App*",
            "sagemaker:*NotebookInstance*",
        ),
    ),
    Property(
        says="A training project starts no build but its own",
        who=_training,
        may=("codebuild:*", "codepipeline:*"),
        where=not_on(f"project/mlp-{ATTACKER}-*", f"mlp-{ATTACKER}*"),
    ),
    Property(
        says="The source of a training project reads no repository of the catalog",
        who=_training,
        may=("codeconnections:UseConnection",),
        where=_catalogs_repository,
    ),
    Property(
        says="The source of a training project runs nothing of SageMaker and passes no role",
        who=_source,
        may=("sagemaker:*", "iam:PassRole", "lambda:*"),
    ),
    Property(
        says="The build of a training project cannot start jobs itself, only its pipeline",
        who=_build,
        may=("sagemaker:Create*Job", "sagemaker:CreateModel*", "sagemaker:CreateEndpoint*"),
    ),
    Property(
        says="The build of a training project reads no data, it only lists what is there",
        who=_build,
        may=("s3:GetObject*",),
        where=on("lake/*"),
    ),
    Property(
        says="A training project uses no key of another one but through S3",
        who=_training,
        may=("kms:*",),
        where=both(not_on(f"key/SC-{DEV}-pp-{ATTACKER}-*"), NOT_THROUGH_S3),
        owners=(DEV, HUB),
        kinds=("key",),
    ),
    Property(
        says="A training project encrypts with no key of others",
        who=_training,
        may=("kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncryptTo", "kms:CreateGrant"),
        where=not_on(f"key/SC-{DEV}-pp-{ATTACKER}-*"),
        owners=(DEV, HUB),
        kinds=("key",),
    ),
    Property(
        says="A training project writes no log but of its build, its jobs and its pipeline",
        who=_training,
        may=("logs:*", "!logs:Describe*", "!logs:Get*"),
        where=not_on(f"log-group:/aws/codebuild/mlp-{ATTACKER}-*", "log-group:/aws/sagemaker/*"),
        kinds=("log-group", "log-stream"),
    ),
    Property(
        says="A training project puts no event on any bus",
        who=_training,
        may=("events:*", "!events:List*", "!events:Describe*"),
    ),
    Property(
        says="A training project changes nothing of the network but interfaces",
        who=_training,
        may=("ec2:*", "!ec2:Describe*", "!ec2:*NetworkInterface*"),
    ),
    # ---- people in Studio ----
    Property(
        says="People in Studio pass only roles of projects",
        who=_studio,
        may=("iam:PassRole",),
        where=not_on(f"role{names.PROJECT_ROLE_PATH}*"),
    ),
    Property(
        says="People in Studio pass roles to SageMaker only",
        who=_studio,
        may=("iam:PassRole",),
        where=lacking_key("iam:PassedToService", "sagemaker.amazonaws.com"),
    ),
    Property(
        says="Only data scientists pass roles, neither leads nor ML engineers nor Studio itself",
        who=together(_lead, _engineer, _execution),
        may=("iam:PassRole",),
    ),
    Property(says="People in Studio change no IAM", who=_studio, may=CHANGES_IAM),
    Property(
        says="Nobody in Studio but a lead assumes a role of any account",
        who=together(_scientist, _engineer, _execution),
        may=("sts:AssumeRole*",),
        owners=(DEV, HUB, DEPLOYMENT, STRANGER),
    ),
    Property(
        says="A lead assumes no role but that of the data scientists of the domain",
        who=_lead,
        may=("sts:AssumeRole*",),
        where=not_on(f"role/ml-platform/persona/data-scientist/SC-{DEV}-pp-{ATTACKER}-sagemaker-domain-*"),
        owners=(DEV, HUB, DEPLOYMENT, STRANGER),
    ),
    Property(
        says="A lead acts as a data scientist only with the tag that says so",
        who=_lead,
        may=("sts:AssumeRole*",),
        where=lacking_key("aws:RequestTag/ml-platform-acts-as", "lead-data-scientist"),
        owners=(DEV, HUB, DEPLOYMENT, STRANGER),
    ),
    Property(
        says="People in Studio open no profile but their own",
        who=_studio,
        may=("sagemaker:CreatePresigned*",),
        where=not_on(f"user-profile/{_OWN_DOMAIN}/{PROFILE}"),
    ),
    Property(
        says="People in Studio change no space that somebody else owns",
        who=_studio,
        may=("sagemaker:CreateSpace", "sagemaker:UpdateSpace", "sagemaker:DeleteSpace"),
        where=lacking_key(
            "sagemaker:OwnerUserProfileArn", f"arn:aws:sagemaker:*:*:user-profile/{_OWN_DOMAIN}/{PROFILE}"
        ),
    ),
    Property(
        says="People in Studio run no app in a private space that somebody else owns",
        who=_studio,
        may=("sagemaker:CreateApp", "sagemaker:DeleteApp"),
        where=both(
            having_key("sagemaker:SpaceSharingType", "Private"),
            lacking_key("sagemaker:OwnerUserProfileArn", f"arn:aws:sagemaker:*:*:user-profile/{_OWN_DOMAIN}/{PROFILE}"),
        ),
    ),
    Property(
        says="People in Studio make and delete no space or app of another domain",
        who=_studio,
        may=("sagemaker:*Space", "sagemaker:*App", "!sagemaker:Describe*"),
        where=not_on(f"space/{_OWN_DOMAIN}/*", f"app/{_OWN_DOMAIN}/*"),
    ),
    Property(
        says="People in Studio run apps in private and shared spaces only",
        who=_studio,
        may=("sagemaker:CreateApp", "sagemaker:CreateSpace"),
        where=lacking_key("sagemaker:SpaceSharingType", "Private", "Shared"),
    ),
    Property(
        says="People in Studio tag spaces and apps only while they make them",
        who=together(_lead, _engineer, _execution),
        may=("sagemaker:AddTags",),
        where=lacking_key("sagemaker:TaggingAction", "CreateApp", "CreateSpace"),
    ),
    Property(
        says="People in Studio change neither the domain nor profiles",
        who=_studio,
        may=("sagemaker:*Domain", "sagemaker:*UserProfile", "sagemaker:*StudioLifecycleConfig", "!sagemaker:Describe*"),
        where=lambda request: bool(request.head),
    ),
    Property(
        says="People in Studio touch no bucket of another domain",
        who=_studio,
        may=(*READS_OBJECTS, *WRITES_OBJECTS),
        where=on(f"mlp-d-{DOMAINS[VICTIM]}-*"),
    ),
    Property(
        says="People in Studio write into the bucket of their domain, and results of queries into those of projects",
        who=_studio,
        may=WRITES_OBJECTS,
        where=not_on(f"mlp-d-{DOMAINS[ATTACKER]}-*", "mlp-p-*/athena/*"),
        owners=(DEV, HUB),
        kinds=("object",),
    ),
    Property(
        says="People in Studio read the bucket of their domain, results of projects and files opened to them only",
        who=_studio,
        may=READS_OBJECTS,
        where=not_on(f"mlp-d-{DOMAINS[ATTACKER]}-*", "mlp-p-*", "lake", f"lake/{ATTACKER}/*"),
        owners=(DEV, HUB),
    ),
    Property(
        says="The execution role of a domain reads no results of projects",
        who=_execution,
        may=READS_OBJECTS,
        where=on("mlp-p-*"),
    ),
    Property(
        says="People in Studio use no key of others but through S3",
        who=_studio,
        may=("kms:*",),
        where=both(not_on(f"key/SC-{DEV}-pp-{ATTACKER}-sagemaker-domain-*"), NOT_THROUGH_S3),
        kinds=("key",),
    ),
    Property(
        says="People in Studio read through S3 only with keys of projects, of their domain and of files opened to them",
        who=_studio,
        may=("kms:*",),
        where=both(
            # data-access names the key "none" when the files that it opens have none of their own.
            not_on(f"key/SC-{DEV}-pp-{ATTACKER}-sagemaker-domain-*", "key/none"),
            lacking_key(_PROJECT_TAG, "p-*"),
        ),
        kinds=("key",),
    ),
    Property(
        says="People in Studio encrypt with the key of their domain, and through S3 with those of projects, only",
        who=_studio,
        may=("kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncryptTo", "kms:CreateGrant"),
        where=both(
            not_on(f"key/SC-{DEV}-pp-{ATTACKER}-sagemaker-domain-*"),
            either(NOT_THROUGH_S3, lacking_key(f"aws:ResourceTag/{names.PROJECT_ID_TAG}", "p-*")),
        ),
        kinds=("key",),
    ),
    Property(
        says="People in Studio give keys to AWS services only, to nobody else",
        who=_studio,
        may=("kms:CreateGrant",),
        where=lacking_key("kms:GrantIsForAWSResource", "true"),
    ),
    Property(
        says="People in Studio start no build, function or parameter of the platform",
        who=_people,
        may=("codebuild:StartBuild*", "lambda:*", "ssm:*", "!ssm:Describe*"),
        where=on("project/ml-platform-*", "function:*", "parameter/*"),
    ),
    Property(
        says="People in Studio start no build by itself, only pipelines",
        who=_studio,
        may=("codebuild:Start*", "codebuild:Retry*", "codebuild:Update*", "codebuild:Create*"),
    ),
    Property(
        says="People in Studio start and retry pipelines of projects only",
        who=_studio,
        may=("codepipeline:*", "!codepipeline:Get*", "!codepipeline:List*"),
        where=not_on("mlp-p-*"),
    ),
    Property(
        says="People in Studio answer no approval and stop no delivery",
        who=_studio,
        may=("codepipeline:PutApprovalResult", "codepipeline:StopPipelineExecution", "codepipeline:*Transition"),
    ),
    Property(
        says="People in Studio put no event on any bus and send no message",
        who=_people,
        may=("events:*", "sqs:*", "sns:*", "dynamodb:*"),
    ),
    Property(
        says="People in Studio read no secret",
        who=_people,
        may=("secretsmanager:*", "ssm:Get*"),
    ),
    Property(
        says="People in Studio change no log but those of Studio",
        who=_people,
        may=("logs:*", "!logs:Describe*", "!logs:Get*", "!logs:Filter*"),
        where=not_on("log-group:/aws/sagemaker/studio*"),
        kinds=("log-group", "log-stream"),
    ),
    Property(
        says="People in Studio read logs of projects and of SageMaker only",
        who=_people,
        may=("logs:GetLogEvents", "logs:FilterLogEvents", "logs:StartQuery"),
        where=not_on("log-group:/aws/sagemaker/*", "log-group:/aws/codebuild/mlp-p-*"),
    ),
    Property(
        says="People in Studio register and change models of projects only",
        who=_studio,
        may=("sagemaker:*ModelPackage*", "!sagemaker:ListModelPackageGroups"),
        where=not_on("model-package/*-p-*", "model-package-group/*-p-*"),
    ),
    Property(
        says="People in Studio run pipelines of projects only, and change none",
        who=_studio,
        may=("sagemaker:*Pipeline*", "!sagemaker:ListPipelines"),
        where=either(
            not_on("pipeline/*-p-*"),
            lambda r: r.action in ("sagemaker:CreatePipeline", "sagemaker:UpdatePipeline", "sagemaker:DeletePipeline"),
        ),
    ),
    Property(
        says="ML engineers of a domain change nothing but their own spaces and the domain's bucket",
        who=_engineer,
        may=(
            "sagemaker:Create*",
            "sagemaker:Update*",
            "sagemaker:Delete*",
            "sagemaker:Start*",
            "sagemaker:Stop*",
            "sagemaker:Put*",
            "!sagemaker:*App",
            "!sagemaker:*Space",
            "!sagemaker:CreatePresignedDomainUrl",
            "codepipeline:Start*",
            "codepipeline:Retry*",
            "servicecatalog:ProvisionProduct",
            "servicecatalog:Terminate*",
        ),
    ),
    Property(
        says="No person reaches the catalog's own repository",
        who=together(_studio, _people),
        may=(
            "codeconnections:UseConnection",
            "codeconnections:GetConnectionToken",
            "codestar-connections:UseConnection",
            "codestar-connections:GetConnectionToken",
        ),
        where=_catalogs_repository,
    ),
    Property(
        says="No person uses a connection other than that of their domain",
        who=together(_studio, _people),
        may=("codeconnections:UseConnection", "codeconnections:GetConnectionToken", "codeconnections:PassConnection"),
        where=not_on(f"connection/SC-{DEV}-pp-{ATTACKER}-sagemaker-domain-*"),
    ),
    Property(
        says="No person makes, deletes or redirects a connection",
        who=together(_studio, _people),
        may=(
            "codeconnections:Create*",
            "codeconnections:Delete*",
            "codeconnections:PassConnection",
            "codeconnections:UpdateHost",
        ),
    ),
    Property(
        says="A data scientist starts no job without subnets",
        who=_scientist,
        may=("sagemaker:CreateTrainingJob", "sagemaker:CreateProcessingJob"),
        where=_lacks_the_network,
    ),
    Property(
        says="A data scientist starts no job without security groups",
        who=_scientist,
        may=("sagemaker:CreateTrainingJob", "sagemaker:CreateProcessingJob"),
        where=_lacks_security_groups,
    ),
    Property(
        says="A data scientist starts no kind of job but training and processing",
        who=_scientist,
        may=("sagemaker:Create*Job*", "!sagemaker:CreateTrainingJob", "!sagemaker:CreateProcessingJob"),
    ),
    Property(
        says="A data scientist makes no endpoint, model or notebook",
        who=_scientist,
        may=("sagemaker:*Endpoint*", "sagemaker:CreateModel", "sagemaker:*NotebookInstance*", "!sagemaker:List*"),
    ),
    Property(
        says="A data scientist deletes no project",
        who=_scientist,
        may=("sagemaker:DeleteProject",),
    ),
    Property(
        says="People end and change only what their own role launched",
        who=together(_studio, _people),
        may=("servicecatalog:TerminateProvisionedProduct", "servicecatalog:UpdateProvisionedProduct*"),
        where=lacking_key("servicecatalog:roleLevel", "self"),
    ),
    Property(
        says="Data scientists from outside Studio open it as data scientists only",
        who=having("permission-set", "data-scientist"),
        may=("sagemaker:CreatePresigned*",),
        where=both(on("user-profile/*"), not_on("user-profile/*/data-scientist")),
    ),
    Property(
        says="Leads from outside Studio open it as leads only",
        who=having("permission-set", "lead-data-scientist"),
        may=("sagemaker:CreatePresigned*",),
        where=both(on("user-profile/*"), not_on("user-profile/*/lead-data-scientist")),
    ),
    Property(
        says="People from outside Studio touch no data",
        who=lambda world: [actor for actor in world.having("permission-set") if actor.account == DEV],
        may=("s3:*", "kms:*", "logs:*", "athena:*", "glue:*", "dynamodb:*"),
    ),
    Property(
        says="Leads from outside Studio look at the stacks of products only",
        who=having("permission-set", "lead-data-scientist"),
        may=("cloudformation:*",),
        where=not_on("stack/SC-*"),
    ),
    Property(
        says="Nobody in development but the platform touches a stack of products",
        who=_not_platform,
        may=("cloudformation:*", "!cloudformation:Describe*", "!cloudformation:Get*", "!cloudformation:List*"),
    ),
    # ---- the hub, seen from development ----
    Property(
        says="Nobody in development reads the registry or the audit trail",
        who=_development,
        may=("s3:GetObject*", "s3:ListBucket*"),
        where=on(
            *(
                f"{bucket}{rest}"
                for bucket in (names.registry_bucket(HUB, REGION), names.audit_bucket(HUB, REGION))
                for rest in ("", "/*")
            )
        ),
        owners=(HUB,),
    ),
    Property(
        says="Nobody in development writes into a bucket of the hub",
        who=_development,
        may=WRITES_OBJECTS,
        where=on(
            *(
                f"{bucket}-{HUB}-{REGION}/*"
                for bucket in ("ml-platform-registry", "ml-platform-audit", "ml-platform-artifacts")
            )
        ),
        owners=(HUB,),
    ),
    Property(
        says="Nobody in development but the platform reads releases or seed code",
        who=_not_platform,
        may=("s3:GetObject*",),
        where=on(f"ml-platform-artifacts-{HUB}-{REGION}/*"),
        owners=(HUB,),
    ),
    Property(
        says="Nobody in development but the platform's forwarding puts events on the hub's bus",
        who=lambda world: [
            a for a in _development(world) if not a.labels & {"ForwardDecisionsRole", "ForwardAlarmsRole"}
        ],
        may=("events:PutEvents",),
        where=on(f"event-bus/{names.HUB_EVENT_BUS}"),
        owners=(HUB,),
    ),
    Property(
        says="Nobody in development assumes a role of another account",
        who=_development,
        may=("sts:AssumeRole*",),
        owners=(HUB, DEPLOYMENT),
    ),
    Property(
        says="Nobody in development reads a bucket of a deployment account",
        who=_development,
        may=READS_OBJECTS,
        where=on(
            *(f"mlp-{VICTIM}-{stage}-{DEPLOYMENT}-{REGION}{rest}" for stage in names.STAGES for rest in ("", "/*"))
        ),
        owners=(DEPLOYMENT,),
    ),
    # ---- the baseline of an account ----
    Property(
        says="No project and no person changes the baseline's functions, queues, rules, parameters or builds",
        who=_not_platform,
        may=(
            "lambda:*",
            "sqs:*",
            "events:*",
            "ssm:*",
            "codebuild:*",
            "dynamodb:*",
            "!codebuild:BatchGet*",
            "!codebuild:List*",
            "!events:Describe*",
            "!ssm:Describe*",
        ),
        where=on("*ml-platform-*", "parameter/ml-platform/*"),
    ),
    Property(
        says="No project and no person uses, changes or destroys a key of the baseline",
        who=_not_platform,
        may=(*USES_KEYS, *DESTROYS_KEYS),
        where=both(
            having_key("aws:ResourceTag/ml-platform:component", "baseline"),
            not_on(f"key/SC-{DEV}-pp-*"),  # keys of products, whose tags the product sets
        ),
        kinds=("key",),
    ),
    Property(
        says="No project and no person passes or takes a role of the platform",
        who=_not_platform,
        may=("iam:PassRole", "sts:AssumeRole"),
        where=on(
            "role/ml-platform-*",
            "role/ml-platform/baseline/*",
            *(f"role/ml-platform/persona/{persona}/*" for persona in ("lead-data-scientist", "ml-engineer", "none")),
        ),
    ),
    Property(
        says="No project and no person passes the role of data scientists",
        who=_not_platform,
        may=("iam:PassRole",),
        where=on("role/ml-platform/persona/data-scientist/*"),
    ),
    # ---- each role its own ----
    Property(
        says="Data scientists tag spaces and apps only while they make them",
        who=_scientist,
        may=("sagemaker:AddTags",),
        where=both(
            on("space/*", "app/*"),
            not_on("*-job/*"),
            lacking_key("sagemaker:TaggingAction", "CreateApp", "CreateSpace"),
        ),
    ),
    Property(
        says="People in Studio tag nothing but spaces and apps, data scientists also projects and jobs",
        who=_studio,
        may=("sagemaker:AddTags", "sagemaker:DeleteTags"),
        where=not_on("space/*", "app/*", "project/*", "*-job/*"),
    ),
    Property(
        says="Leads, ML engineers and Studio itself tag spaces and apps only",
        who=together(_lead, _engineer, _execution),
        may=("sagemaker:AddTags", "sagemaker:DeleteTags"),
        where=not_on("space/*", "app/*"),
    ),
    Property(
        says="People in Studio look at builds and deliveries of projects only",
        who=_studio,
        may=("codebuild:*", "codepipeline:*", "!codebuild:ListProjects", "!codepipeline:ListPipelines"),
        where=not_on("project/mlp-p-*", "mlp-p-*"),
    ),
    Property(
        says="The execution role of a domain writes logs of Studio only",
        who=_execution,
        may=("logs:*", "!logs:Describe*"),
        where=not_on("log-group:/aws/sagemaker/studio*"),
    ),
    Property(
        says="People in Studio look at models, pipelines and projects of their account only by their names",
        who=_studio,
        may=("sagemaker:Describe*", "sagemaker:BatchDescribe*"),
        where=not_on(
            "app/*",
            "domain/*",
            "space/*",
            "user-profile/*",
            "model-package/*-p-*",
            "model-package-group/*-p-*",
            "pipeline/*-p-*",
            "project/*",
            "training-job/*",
            "processing-job/*",
        ),
    ),
    Property(
        says="People in Studio act on kinds of SageMaker resources of their work only",
        who=_studio,
        may=("sagemaker:Create*", "sagemaker:Update*", "sagemaker:Delete*", "sagemaker:Start*", "sagemaker:Stop*"),
        where=lambda request: (
            bool(request.head)
            and request.kind
            not in (
                "app",
                "space",
                "user-profile",
                "project",
                "training-job",
                "processing-job",
                "pipeline",
                "pipeline-execution",
                "model-package",
                "model-package-group",
            )
        ),
    ),
    Property(
        says="People in Studio use products of the catalog only",
        who=_studio,
        may=("servicecatalog:*",),
        where=not_on("product/*"),
        owners=(DEV, HUB),
    ),
    Property(
        says="A training project runs jobs with its own tag only",
        who=_training,
        may=("sagemaker:Create*Job",),
        where=lacking_key("aws:RequestTag/sagemaker:project-id", ATTACKER),
    ),
    Property(
        says="A training project tags jobs, its group, its models and its pipeline only",
        who=_training,
        may=("sagemaker:AddTags", "sagemaker:DeleteTags"),
        where=not_on(
            "*-job/*",
            f"model-package-group/{_GROUP}",
            f"model-package/{_GROUP}/*",
            f"pipeline/{_GROUP}",
        ),
    ),
    Property(
        says="A training project gives its key to AWS services only, to nobody else",
        who=_training,
        may=("kms:CreateGrant",),
        where=lacking_key("kms:GrantIsForAWSResource", "true"),
    ),
    Property(
        says="A training project pulls images of SageMaker only",
        who=_training,
        may=("ecr:*",),
        where=not_on("repository/sagemaker-*"),
        owners=(DEV, STRANGER),
    ),
    Property(
        says="A training project reads settings of its own bucket and the place of its data only",
        who=_training,
        may=("s3:GetBucket*", "s3:List*"),
        where=not_on(_OWN_BUCKET, "lake"),
        kinds=("bucket",),
    ),
    Property(
        says="A training project looks at its own models only",
        who=_training,
        may=("sagemaker:*ModelPackage*",),
        where=not_on(f"model-package-group/{_GROUP}", f"model-package/{_GROUP}/*"),
    ),
    Property(
        says="A training project uses only the connection that it was launched with",
        who=_training,
        may=("codeconnections:*", "codestar-connections:*"),
        where=not_on("connection/0a1b*"),
    ),
    Property(
        says="The build of a training project writes logs of that build only",
        who=_build,
        may=("logs:*",),
        where=not_on(f"log-group:/aws/codebuild/mlp-{ATTACKER}-*"),
    ),
    Property(
        says="Jobs of a training project write logs of jobs only",
        who=_pipeline,
        may=("logs:*", "!logs:Describe*"),
        where=not_on(*(f"log-group:/aws/sagemaker/{kind}Jobs*" for kind in ("Processing", "Training"))),
        kinds=("log-group", "log-stream"),
    ),
    Property(
        says="A training project touches buckets of its own and its data only",
        who=_training,
        may=("s3:*",),
        where=not_on(f"{_OWN_BUCKET}*", "lake", f"lake/{ATTACKER}/*"),
        kinds=("bucket", "object"),
    ),
    Property(
        says="A training project touches of SageMaker jobs, its group and its pipeline only",
        who=_training,
        may=("sagemaker:*",),
        where=not_on(
            "*-job/*",
            f"model-package-group/{_GROUP}",
            f"model-package/{_GROUP}/*",
            f"pipeline/{_GROUP}",
            f"pipeline/{_GROUP}/*",
        ),
    ),
    # ---- jobs ----
    Property(
        says="A training project starts no job without subnets or without security groups",
        who=_training,
        may=_STARTS_JOBS,
        where=both(either(_lacks_the_network, _lacks_security_groups), not_on(_NO_JOB)),
    ),
    Property(
        says="Jobs of data scientists and projects run in the subnets of the account only",
        who=together(_scientist, _training),
        may=_STARTS_JOBS,
        where=both(having_other("sagemaker:VpcSubnets", "subnet-1", "subnet-2"), not_on(_NO_JOB)),
    ),
    Property(
        says="Jobs of data scientists and projects have the security group that is meant for them only",
        who=together(_scientist, _training),
        may=_STARTS_JOBS,
        where=both(
            having_other("sagemaker:VpcSecurityGroupIds", "sg-1", "SC-*-sagemaker-domain-SecurityGroup-*"),
            not_on(_NO_JOB),
        ),
    ),
    Property(
        says="A data scientist starts and tags jobs for projects only",
        who=_scientist,
        may=("sagemaker:Create*Job", "sagemaker:AddTags"),
        where=both(
            on("*-job/*"), not_on("app/*", "space/*"), lacking_key("aws:RequestTag/sagemaker:project-id", "p-*")
        ),
    ),
    Property(
        says="A data scientist tags no job of anything else than a project",
        who=_scientist,
        may=("sagemaker:AddTags", "sagemaker:DeleteTags"),
        where=both(on("*-job/*"), not_on("app/*", "space/*"), having_other(_PROJECT_TAG, "p-*")),
    ),
    Property(
        says="A data scientist stops jobs of projects only",
        who=_scientist,
        may=("sagemaker:Stop*Job",),
        where=lacking_key(_PROJECT_TAG, "p-*"),
    ),
    Property(
        says="A training project stops and looks at its own jobs only",
        who=_training,
        may=("sagemaker:Stop*Job", "sagemaker:Describe*Job", "sagemaker:Update*Job", "sagemaker:Delete*Job"),
        where=lacking_key(_PROJECT_TAG, ATTACKER),
    ),
    Property(
        says="A training project tags no job that another project or nobody's tag owns, and only for itself",
        who=_training,
        may=("sagemaker:AddTags",),
        where=both(
            on("*-job/*"),
            either(having_other(_PROJECT_TAG, ATTACKER), lacking_key("aws:RequestTag/sagemaker:project-id", ATTACKER)),
        ),
    ),
    Property(
        says="A training project touches jobs that pipelines run only",
        who=_training,
        may=("sagemaker:*",),
        where=both(on("*-job/*"), not_on("*-job/pipelines-*", _NO_JOB)),
    ),
    Property(
        says="A training project makes and removes network interfaces in its own subnets only",
        who=_training,
        may=("ec2:*NetworkInterface*", "!ec2:Describe*"),
        where=both(
            lacking_key("ec2:Subnet", *(f"arn:aws:ec2:{REGION}:{DEV}:subnet/subnet-{number}" for number in (1, 2))),
            not_on("subnet/subnet-1", "subnet/subnet-2", "security-group/sg-1"),
        ),
    ),
    Property(
        says="A training project reports metrics of SageMaker only",
        who=_training,
        may=("cloudwatch:*",),
        where=lacking_key("cloudwatch:namespace", "/aws/sagemaker/*"),
    ),
    # ---- repositories, models and products ----
    Property(
        says="A training project uses its connection for its own repository only",
        who=_training,
        may=USES_CONNECTIONS,
        where=for_other_repository(f"team/{ATTACKER}-train-s3"),
    ),
    Property(
        says="People in Studio use the connection of their domain for repositories of their team only",
        who=_studio,
        may=USES_CONNECTIONS,
        where=except_(for_repository(f"{CATALOG.partition('/')[0]}/*")),
    ),
    Property(
        says="People in Studio look at no connection but that of their domain",
        who=_studio,
        may=("codeconnections:*", "codestar-connections:*"),
        where=not_on(f"connection/SC-{DEV}-pp-{ATTACKER}-sagemaker-domain-*"),
    ),
    Property(
        says="A data scientist registers models as pending only",
        who=_scientist,
        may=("sagemaker:CreateModelPackage",),
        where=having_other(_STATUS, "PendingManualApproval"),
    ),
    Property(
        says="A data scientist ends no product",
        who=_scientist,
        may=("servicecatalog:TerminateProvisionedProduct",),
    ),
    Property(
        says="A lead sets tags and a source identity only on becoming a data scientist of the domain",
        who=_lead,
        may=ENTERS,
        where=not_on(f"role/ml-platform/persona/data-scientist/SC-{DEV}-pp-{ATTACKER}-sagemaker-domain-*"),
        owners=(DEV, HUB, DEPLOYMENT, STRANGER),
    ),
    Property(
        says="A training project puts network interfaces into no subnet and no security group but its own",
        who=_training,
        may=("ec2:*NetworkInterface*", "!ec2:Describe*"),
        where=not_on("subnet/subnet-1", "subnet/subnet-2", "security-group/sg-1"),
        kinds=("subnet", "security-group"),
    ),
)
