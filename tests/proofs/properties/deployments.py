"""Stages of deployments: what one stage, the session that deploys it and the roles that it makes cannot do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from products.shared import names
from tests.proofs.logic import all_of, any_of, negated
from tests.proofs.properties.vocabulary import (
    CHANGES_IAM,
    DESTROYS_KEYS,
    ENTERS,
    NOT_THROUGH_S3,
    READS_OBJECTS,
    USES_KEYS,
    WRITES_OBJECTS,
    Property,
    any_with,
    both,
    but,
    either,
    everybody,
    having,
    having_key,
    having_other,
    lacking_key,
    not_on,
    of_account,
    on,
    together,
)
from tests.proofs.world import (
    ATTACKER,
    DEPLOYMENT,
    DEV,
    HUB,
    OTHER_STAGES,
    OWN_STAGE,
    REGION,
    STRANGER,
    VICTIM,
    group_of,
    project_name,
)

if TYPE_CHECKING:
    from tests.proofs.logic import Formula
    from tests.proofs.model import Actor, World
    from tests.proofs.requests import Request

_TAG: Final = names.DEPLOYMENT_TAG
_RESOURCE_TAG: Final = f"aws:ResourceTag/{_TAG}"
_SHARED: Final = f"aws:ResourceTag/{names.SHARED_WITH_TAG}"
_REQUEST_TAG: Final = f"aws:RequestTag/{_TAG}"
_ROLES: Final = f"role{names.DEPLOYMENT_ROLE_PATH}mlp-"
_BUCKET: Final = f"mlp-{OWN_STAGE}-{DEPLOYMENT}-"
_BOUNDARY: Final = f"arn:aws:iam::{DEPLOYMENT}:policy/{names.DEPLOYMENT_BOUNDARY_POLICY}"
_REGISTRY: Final = names.registry_bucket(HUB, REGION)

_shipped = having("stage-role", OWN_STAGE)
_session = having("deploy-session", OWN_STAGE)
_made = having("made-role", OWN_STAGE)
_stage = together(_shipped, _session, _made)
_execution = having("stage-role", OWN_STAGE, "ExecutionRole")
_monitor = having("stage-role", OWN_STAGE, "MonitorRole")


def _builds(world: World) -> list[Actor]:
    """Return what the attacker's deployment projects have in the hub."""
    return [actor for actor in world.having("product", ATTACKER) if actor.account == HUB]


def _as_another_stage(actor: Actor) -> Actor:
    """Return a made role that only ever takes tags of other stages."""
    return replace(actor, session_tags=OTHER_STAGES)


# Metadata of all resources of an account, which has no resource level or is open on purpose.
_REACHES: Final = (
    "sagemaker:*",
    "s3:*",
    "kms:*",
    "iam:PassRole",
    "apigateway:*",
    "application-autoscaling:*",
    "!application-autoscaling:Describe*",
    "cloudwatch:*",
    "!cloudwatch:GetMetric*",
    "events:*",
    "sqs:*",
    "logs:*",
    "!logs:Describe*",
)


def _names_of(stage: str, service: str) -> list[str]:
    """Return globs of the names that a stage has (docs/deployment-baseline.md)."""
    return {
        "s3": [f"mlp-{stage}-{DEPLOYMENT}-*"],
        "sagemaker": [
            *(f"{kind}/mlp-{stage}-*" for kind in ("endpoint-config", "model", "pipeline")),
            f"endpoint/{project_name(stage)}-{stage}",
        ],
        "cloudwatch": [f"alarm:mlp-{stage}-*"],
        "events": [f"rule/mlp-{stage}-*"],
        "sqs": [f"mlp-{stage}-*"],
        "iam": [f"{_ROLES}{stage}-*"],
        "kms": [f"alias/mlp-{stage}-*"],
        "logs": [f"log-group:/aws/apigateway/mlp-{stage}-*"],
    }.get(service, [])


def _named_after_another_stage(request: Request) -> Formula:
    return any_of(request.named(*_names_of(stage, request.service)) for stage in OTHER_STAGES)


def _tagged_for_another_stage(request: Request) -> Formula:
    by_service = {"kms": ("key",), "apigateway": ("restapi",), "application-autoscaling": ("ScalableTarget",)}
    jobs = ("processing-job", "transform-job")
    if request.kind not in by_service.get(request.service, jobs):
        return False
    return request.is_like(_RESOURCE_TAG, *OTHER_STAGES)


def _another_role_for_its_service(request: Request) -> Formula:
    """Take requests that hand a role of the stage to a service that is not its own."""
    services = {
        "endpoint": "sagemaker",
        "monitor": "sagemaker",
        "events": "events",
        "api": "apigateway",
        "replication": "none",
        "execution": "none",
    }
    return any_of(
        all_of(
            (
                request.named(f"{_ROLES}{OWN_STAGE}-{role}"),
                negated(request.is_like("iam:PassedToService", f"{service}.amazonaws.com")),
            )
        )
        for role, service in services.items()
    )


def _other_kinds_of_sagemaker(request: Request) -> Formula:
    """Take requests on kinds of SageMaker resources of which a stage has none."""
    own = ("endpoint", "endpoint-config", "model", "pipeline", "processing-job", "transform-job", "pipeline-execution")
    return bool(request.head) and request.kind not in own


_KINDS_BESIDE: Final = (
    "processing-job/*",
    "transform-job/*",
    f"endpoint/*-{OWN_STAGE}",
    f"alarm:TargetTracking-endpoint/*-{OWN_STAGE}/*",
)
"""What roles of a stage touch of shared kinds, by tag, and names that hold the project's title."""

_LOGS_OF_OTHERS: Final = f"log-group:/aws/sagemaker/Endpoints/{project_name(VICTIM)}-{VICTIM}-prod"

PROPERTIES: Final = (
    # ---- names and tags ----
    Property(
        says="Roles that the repository ships for a stage reach no name of another stage",
        who=_shipped,
        may=_REACHES,
        where=_named_after_another_stage,
    ),
    Property(
        says="Roles that the repository ships for a stage reach nothing tagged for another stage",
        who=_shipped,
        may=_REACHES,
        where=_tagged_for_another_stage,
    ),
    Property(
        says="The session that deploys a stage reaches no name of another stage",
        who=_session,
        may=_REACHES,
        where=_named_after_another_stage,
    ),
    Property(
        says="The session that deploys a stage reaches nothing tagged for another stage",
        who=_session,
        may=_REACHES,
        where=_tagged_for_another_stage,
    ),
    Property(
        says="A role that a stage makes reaches no name of another stage, whatever its session tag",
        who=_made,
        may=_REACHES,
        where=_named_after_another_stage,
    ),
    Property(
        says="A role that a stage makes reaches nothing tagged for another stage, whatever its session tag",
        who=_made,
        may=_REACHES,
        where=_tagged_for_another_stage,
    ),
    # ---- what no role of a stage does ----
    Property(says="A role that a stage makes changes no IAM", who=_made, may=CHANGES_IAM),
    Property(
        says="A role that a stage makes assumes no role of any account",
        who=_made,
        may=("sts:AssumeRole*",),
        owners=(HUB, DEV, DEPLOYMENT, STRANGER),
    ),
    Property(
        says="A role that a stage makes touches no model package of any registry",
        who=_made,
        may=("sagemaker:*ModelPackage*",),
        owners=(DEPLOYMENT, HUB),
    ),
    Property(
        says="A role that a stage makes uses no untagged key but through S3",
        who=_made,
        may=USES_KEYS,
        where=both(lacking_key(_RESOURCE_TAG), NOT_THROUGH_S3),
    ),
    Property(
        says="A role that a stage makes changes and destroys no key",
        who=_made,
        may=(*DESTROYS_KEYS, "kms:Update*", "kms:EnableKey", "kms:TagResource", "kms:UntagResource", "kms:CreateKey"),
    ),
    Property(
        says="A role that a stage makes invokes, makes and changes no function",
        who=_made,
        may=("lambda:*", "!lambda:Get*", "!lambda:List*"),
    ),
    Property(
        says="A role that a stage makes touches no stack",
        who=_made,
        may=("cloudformation:*",),
    ),
    Property(
        says="A role that a stage makes reads no parameter and no secret",
        who=_made,
        may=("ssm:*", "secretsmanager:*"),
    ),
    Property(
        says="A role that a stage makes starts no build and no pipeline of CodePipeline",
        who=_made,
        may=("codebuild:*", "codepipeline:*", "codeconnections:*", "servicecatalog:*"),
    ),
    Property(
        says="A role that a stage makes pushes and deletes no image",
        who=_made,
        may=("ecr:*", "!ecr:BatchGetImage", "!ecr:BatchCheckLayerAvailability", "!ecr:Get*", "!ecr:List*"),
        owners=(DEPLOYMENT, HUB),
    ),
    Property(
        says="A role that a stage makes changes nothing of the network but interfaces",
        who=_made,
        may=("ec2:*", "!ec2:Describe*", "!ec2:*NetworkInterface*"),
    ),
    Property(
        says="A role that a stage makes makes and opens no kind of SageMaker resource that stages do not have",
        who=_made,
        may=("sagemaker:Create*", "sagemaker:Update*", "sagemaker:Delete*", "sagemaker:Start*"),
        where=_other_kinds_of_sagemaker,
    ),
    Property(
        says="A role that a stage makes puts events on the hub's bus only",
        who=_made,
        may=("events:PutEvents",),
        where=not_on(f"event-bus/{names.HUB_EVENT_BUS}"),
        owners=(DEPLOYMENT, HUB, DEV, STRANGER),
    ),
    Property(
        says="A role that a stage makes puts events on no bus of a deployment account",
        who=_made,
        may=("events:PutEvents",),
    ),
    Property(
        says="A role that a stage makes reports metrics only in namespaces of the platform and of SageMaker",
        who=_made,
        may=("cloudwatch:PutMetricData",),
        where=lacking_key("cloudwatch:namespace", "ml-platform/*", "/aws/sagemaker/*"),
    ),
    Property(
        says="A role that a stage makes starts jobs with the tag of its own stage only",
        who=_made,
        may=("sagemaker:CreateProcessingJob", "sagemaker:CreateTransformJob"),
        where=lacking_key(_REQUEST_TAG, OWN_STAGE),
    ),
    Property(
        says="A role that a stage makes gives the tag of another stage to nothing that is not its own",
        who=_made,
        may=("sagemaker:AddTags", "apigateway:*", "application-autoscaling:*", "kms:TagResource", "iam:TagRole"),
        where=both(having_key(_REQUEST_TAG, *OTHER_STAGES), lacking_key(_RESOURCE_TAG, OWN_STAGE)),
        kinds=("processing-job", "transform-job", "ScalableTarget", "restapi", "restapis", "key", "role"),
    ),
    Property(
        says="A role that a stage makes does nothing at all under the tag of another stage",
        who=lambda world: [_as_another_stage(actor) for actor in _made(world)],
        may=("s3:*", "sagemaker:*", "kms:*", "logs:*", "cloudwatch:*", "events:*", "sqs:*", "ec2:*", "ecr:*", "iam:*"),
    ),
    # ---- data ----
    Property(
        says="No role of a stage reads a bucket of its account that its owner did not share with the stage",
        who=_stage,
        may=READS_OBJECTS,
        where=both(
            not_on(f"{_BUCKET}*", f"lake-test/{ATTACKER}/*", "lake-test", f"ml-platform-registry-{HUB}-*"),
            lacking_key(_SHARED, f"*{OWN_STAGE}*"),
        ),
    ),
    Property(
        says="No role of a stage writes into a bucket of its account that its owner did not share with the stage",
        who=_stage,
        may=WRITES_OBJECTS,
        where=both(not_on(f"{_BUCKET}*", "replica/capture/*"), lacking_key(_SHARED, f"*{OWN_STAGE}*")),
    ),
    Property(
        says="No role of a stage changes the settings of a bucket that is not the stage's",
        who=_stage,
        may=("s3:PutBucket*", "s3:DeleteBucket*", "s3:Put*Configuration", "s3:PutBucketPolicy", "s3:CreateBucket"),
        where=not_on(f"{_BUCKET}*"),
    ),
    Property(
        says="No role of a stage reads or writes the hub's audit trail, releases or projects",
        who=_stage,
        may=(*READS_OBJECTS, *WRITES_OBJECTS),
        where=on(
            f"{names.audit_bucket(HUB, REGION)}*",
            f"ml-platform-artifacts-{HUB}-{REGION}*",
            *(f"mlp-{project}-{HUB}-{REGION}*" for project in (ATTACKER, VICTIM)),
        ),
        owners=(HUB,),
    ),
    Property(
        says="No role of a stage writes what the hub has promoted",
        who=_stage,
        may=WRITES_OBJECTS,
        where=on(f"{_REGISTRY}/*"),
        owners=(HUB,),
    ),
    Property(
        says="No role of a stage reads the buckets of projects in development",
        who=_stage,
        may=READS_OBJECTS,
        where=on(*(f"mlp-{project}-{DEV}-{REGION}*" for project in (ATTACKER, VICTIM))),
        owners=(DEV,),
    ),
    Property(
        says="Only the session that deploys reads promoted models, not the roles of a stage",
        who=together(_shipped, _made),
        may=("s3:GetObject*",),
        where=on(f"{_REGISTRY}/*"),
        owners=(HUB,),
    ),
    Property(
        says="The session that deploys a stage reads models of its own group only",
        who=_session,
        may=("s3:GetObject*",),
        where=on(f"{_REGISTRY}/packages/{group_of(VICTIM)}/*", f"{_REGISTRY}/packages/{DEV}/{group_of(VICTIM)}/*"),
        owners=(HUB,),
    ),
    Property(
        says="The session that deploys a stage reads nothing else of the registry than packages",
        who=_session,
        may=("s3:GetObject*",),
        where=both(on(f"{_REGISTRY}/*"), not_on(f"{_REGISTRY}/packages/*")),
        owners=(HUB,),
    ),
    Property(
        says="A stage writes no log of another endpoint",
        who=together(_shipped, _made),
        may=("logs:PutLogEvents", "logs:CreateLogStream", "logs:DeleteLogGroup", "logs:DeleteLogStream"),
        where=on(_LOGS_OF_OTHERS, f"{_LOGS_OF_OTHERS}:*"),
    ),
    Property(
        says="A stage reads no log events but those of its own endpoint and API",
        who=_stage,
        may=("logs:GetLogEvents", "logs:FilterLogEvents", "logs:StartQuery", "logs:Unmask"),
        where=not_on(
            f"log-group:/aws/sagemaker/Endpoints/*-{OWN_STAGE}*",
            f"log-group:/aws/apigateway/mlp-{OWN_STAGE}-*",
            "log-group:/aws/sagemaker/ProcessingJobs*",
            "log-group:/aws/sagemaker/TransformJobs*",
        ),
    ),
    Property(
        says="A stage writes no log group outside SageMaker's and its API's",
        who=together(_shipped, _made),
        may=("logs:*", "!logs:Describe*", "!logs:Get*", "!logs:List*", "!logs:Filter*"),
        where=not_on("log-group:/aws/sagemaker/*", f"log-group:*mlp-{OWN_STAGE}-*", "log-group::log-stream:"),
        kinds=("log-group", "log-stream"),
    ),
    # ---- the session that deploys ----
    Property(
        says="The session that deploys a stage makes no role without the boundary",
        who=_session,
        may=("iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"),
        where=lacking_key("iam:PermissionsBoundary", _BOUNDARY),
    ),
    Property(
        says="The session that deploys a stage writes only roles of the stage's name",
        who=_session,
        may=("iam:*Role*", "!iam:Get*", "!iam:List*"),
        where=not_on(f"{_ROLES}{OWN_STAGE}-*"),
    ),
    Property(
        says="The session that deploys a stage takes no boundary off and attaches no managed policy",
        who=_session,
        may=("iam:DeleteRolePermissionsBoundary", "iam:AttachRolePolicy", "iam:CreatePolicy*", "iam:SetDefault*"),
    ),
    Property(
        says="The session that deploys a stage makes no user, group, key, provider or instance profile",
        who=_session,
        may=(
            "iam:*User*",
            "iam:*Group*",
            "iam:*AccessKey*",
            "iam:*Provider*",
            "iam:*InstanceProfile*",
            "!iam:Get*",
            "!iam:List*",
        ),
    ),
    Property(
        says="The session that deploys a stage gives roles the tag of its own stage only",
        who=_session,
        may=("iam:CreateRole", "iam:TagRole"),
        where=both(having_key(_REQUEST_TAG), lacking_key(_REQUEST_TAG, OWN_STAGE)),
    ),
    Property(
        says="The session that deploys a stage makes no role and no key without the stage's tag",
        who=_session,
        may=("iam:CreateRole", "kms:CreateKey"),
        where=lacking_key(_REQUEST_TAG, OWN_STAGE),
    ),
    Property(
        says="The session that deploys a stage passes roles to S3 and CloudFormation only",
        who=_session,
        may=("iam:PassRole",),
        where=lacking_key("iam:PassedToService", "s3.amazonaws.com", "cloudformation.amazonaws.com"),
    ),
    Property(
        says="The session that deploys a stage passes only its execution role to CloudFormation",
        who=_session,
        may=("iam:PassRole",),
        where=both(
            having_key("iam:PassedToService", "cloudformation.amazonaws.com"), not_on(f"{_ROLES}{OWN_STAGE}-execution")
        ),
    ),
    Property(
        says="The session that deploys a stage leaves its tag on keys and roles",
        who=_session,
        may=("kms:UntagResource", "iam:UntagRole"),
        where=having_key("aws:TagKeys", _TAG),
    ),
    Property(
        says="The session that deploys a stage touches no stack but its own two, and no change set but theirs",
        who=_session,
        may=("cloudformation:*", "!cloudformation:GetTemplateSummary", "!cloudformation:ValidateTemplate"),
        where=not_on(f"stack/mlp-{OWN_STAGE}/*", f"stack/mlp-{OWN_STAGE}-base/*", f"changeSet/mlp-{OWN_STAGE}-*"),
    ),
    Property(
        says="The session that deploys a stage imports nothing into its stacks",
        who=_session,
        may=("cloudformation:CreateChangeSet", "cloudformation:CreateStack", "cloudformation:UpdateStack"),
        where=having_key("cloudformation:ImportResourceTypes"),
    ),
    Property(
        says="The session that deploys a stage invokes no function but the one that empties buckets",
        who=_session,
        may=("lambda:*",),
        where=not_on(f"function:{names.BUCKET_EMPTIER_FUNCTION}", f"function:{names.BUCKET_EMPTIER_FUNCTION}:*"),
    ),
    Property(
        says="The session that deploys a stage changes no function and no event rule of the account",
        who=_session,
        may=("lambda:Update*", "lambda:Put*", "lambda:Add*", "lambda:Delete*", "events:*"),
    ),
    Property(
        says="The session that deploys a stage uses keys of the hub through S3 only",
        who=_session,
        may=("kms:*",),
        where=NOT_THROUGH_S3,
        owners=(HUB,),
        kinds=("key",),
    ),
    Property(
        says="The session that deploys a stage encrypts with no key of the hub",
        who=_session,
        may=("kms:*", "!kms:Decrypt"),
        owners=(HUB,),
        kinds=("key",),
    ),
    Property(
        says="The session that deploys a stage uses and changes no key without its tag",
        who=_session,
        may=("kms:*", "!kms:TagResource"),
        where=lacking_key(_RESOURCE_TAG, OWN_STAGE),
        kinds=("key",),
    ),
    Property(
        says="The session that deploys a stage takes no key over by tagging it",
        who=_session,
        may=("kms:TagResource",),
        where=either(
            lacking_key("aws:CalledVia", "cloudformation.amazonaws.com"),
            having_key(_RESOURCE_TAG, *OTHER_STAGES),
            having_key("aws:ResourceTag/ml-platform:component", "baseline"),
        ),
    ),
    Property(
        says="The session that deploys a stage invokes and looks at no endpoint of another stage",
        who=_session,
        may=("sagemaker:InvokeEndpoint*", "sagemaker:DescribeEndpoint"),
        where=both(on("endpoint/*"), not_on(f"endpoint/*-{OWN_STAGE}")),
    ),
    Property(
        says="The session that deploys a stage makes, changes and deletes nothing of SageMaker itself",
        who=_session,
        may=("sagemaker:Create*", "sagemaker:Update*", "sagemaker:Delete*", "sagemaker:AddTags"),
    ),
    Property(
        says="The session that deploys a stage assumes no further role and takes no other tag",
        who=_session,
        may=("sts:AssumeRole*", "sts:TagSession"),
        owners=(HUB, DEV, DEPLOYMENT, STRANGER),
    ),
    # ---- passing roles ----
    Property(
        says="Roles of a stage pass roles to API Gateway, EventBridge and SageMaker only",
        who=together(_shipped, _made),
        may=("iam:PassRole",),
        where=lacking_key(
            "iam:PassedToService", *(f"{s}.amazonaws.com" for s in ("apigateway", "events", "sagemaker"))
        ),
    ),
    Property(
        says="Roles of a stage pass no role of the account's that is not the stage's",
        who=together(_shipped, _made),
        may=("iam:PassRole",),
        where=not_on(f"{_ROLES}{OWN_STAGE}-*"),
    ),
    Property(
        says="Roles that the repository ships hand each role to its own service only",
        who=_shipped,
        may=("iam:PassRole",),
        where=_another_role_for_its_service,
    ),
    Property(
        says="The role that answers an API only invokes its endpoint",
        who=having("stage-role", OWN_STAGE, "ApiRole"),
        may=("sagemaker:*", "s3:*", "kms:*", "logs:*", "iam:PassRole", "events:*", "!sagemaker:InvokeEndpoint"),
    ),
    Property(
        says="The role that answers an API invokes no endpoint but its own",
        who=having("stage-role", OWN_STAGE, "ApiRole"),
        may=("sagemaker:InvokeEndpoint*",),
        where=not_on(f"endpoint/{project_name(ATTACKER)}-{OWN_STAGE}"),
    ),
    Property(
        says="The role with which rules start jobs starts pipelines of its own stage and does nothing else",
        who=having("stage-role", OWN_STAGE, "EventsRole"),
        may=("sagemaker:*", "s3:*", "kms:*", "iam:PassRole", "events:*", "sqs:*", "lambda:*"),
        where=not_on(f"pipeline/mlp-{OWN_STAGE}-*"),
    ),
    Property(
        says="The role that replicates captured data reads nothing but captured data",
        who=having("stage-role", OWN_STAGE, "ReplicationRole"),
        may=("s3:GetObject*",),
        where=not_on(f"{_BUCKET}*/capture/*"),
    ),
    Property(
        says="The role that replicates captured data writes to the replica only",
        who=having("stage-role", OWN_STAGE, "ReplicationRole"),
        may=(*WRITES_OBJECTS, "s3:ObjectOwnerOverrideToBucketOwner"),
        where=not_on("replica/*"),
        owners=(DEPLOYMENT, HUB, DEV, STRANGER),
    ),
    Property(
        says="The role of an endpoint writes captured data and results only, never the model that it serves",
        who=having("stage-role", OWN_STAGE, "EndpointRole"),
        may=WRITES_OBJECTS,
        where=not_on(f"{_BUCKET}*/capture/*", f"{_BUCKET}*/batch/*"),
    ),
    Property(
        says="The role of an endpoint tells the hub nothing and starts nothing",
        who=having("stage-role", OWN_STAGE, "EndpointRole"),
        may=("events:*", "sagemaker:*", "iam:*", "sqs:SendMessage", "lambda:InvokeFunction"),
        owners=(DEPLOYMENT, HUB),
    ),
    Property(
        says="The role of monitors and batch jobs changes no endpoint and no model",
        who=having("stage-role", OWN_STAGE, "MonitorRole"),
        may=("sagemaker:*Endpoint*", "sagemaker:*Model", "sagemaker:*Pipeline"),
    ),
    # ---- the doors of a deployment account ----
    Property(
        says="No build of a project enters a deployment account as a stage of another project",
        who=_builds,
        may=("sts:AssumeRole", "sts:TagSession"),
        where=both(on(f"role/{names.DEPLOY_ROLE}"), lacking_key(_REQUEST_TAG, f"{ATTACKER}-test", f"{ATTACKER}-prod")),
        owners=(DEPLOYMENT,),
    ),
    Property(
        says="The build of the test stage does not enter as production",
        who=having("product", ATTACKER, "ProjectTestRole"),
        may=("sts:AssumeRole", "sts:TagSession"),
        where=both(on(f"role/{names.DEPLOY_ROLE}"), lacking_key(_REQUEST_TAG, OWN_STAGE)),
        owners=(DEPLOYMENT,),
    ),
    Property(
        says="The build that renders enters no deployment account",
        who=having("product", ATTACKER, "ProjectRenderRole"),
        may=("sts:AssumeRole", "sts:TagSession"),
        owners=(DEPLOYMENT, HUB, DEV, STRANGER),
    ),
    Property(
        says="Whoever takes stages down enters under the name of a stage only",
        who=any_with("TeardownBuildRole", "DeploymentRole"),
        may=("sts:AssumeRole", "sts:TagSession"),
        where=lacking_key(_REQUEST_TAG, "p-*-test", "p-*-prod"),
        owners=(DEPLOYMENT,),
    ),
    Property(
        says="Nobody brings another tag into a deployment account than those of a stage",
        who=but(everybody, "deploy-session", "made-role", "stage-role"),
        may=("sts:TagSession",),
        where=both(on(f"role/{names.DEPLOY_ROLE}"), having_key("aws:TagKeys", "ml-platform:component")),
        owners=(DEPLOYMENT,),
    ),
    Property(
        says="Nobody else enters a deployment account",
        who=but(everybody, "deploy-batch", "deploy-realtime", "TeardownBuildRole", "DeploymentRole"),
        may=("sts:AssumeRole",),
        where=on(f"role/{names.DEPLOY_ROLE}"),
        owners=(DEPLOYMENT,),
    ),
    Property(
        says="Nobody assumes a role of a stage or of the baseline in a deployment account",
        who=everybody,
        may=("sts:AssumeRole",),
        where=on("role/ml-platform/*"),
        owners=(DEPLOYMENT,),
    ),
    # ---- the baseline of a deployment account ----
    Property(
        says="No stage touches rules, queues, functions and parameters of the deployment baseline",
        who=_stage,
        may=("events:*", "sqs:*", "ssm:*", "sns:*", "lambda:Update*", "lambda:Add*", "lambda:Put*", "lambda:Delete*"),
        where=on("ml-platform-*", "rule/ml-platform-*", "function:ml-platform-*", "parameter/ml-platform/*"),
    ),
    Property(
        says="No stage changes API Gateway's settings of the account or domain names",
        who=_stage,
        may=("apigateway:*",),
        where=not_on("/restapis", "/restapis/*", "/tags/*"),
    ),
    Property(
        says="The role that forwards alarms puts events on the hub's bus and does nothing else",
        who=lambda world: [a for a in having("ForwardAlarmsRole")(world) if a.account == DEPLOYMENT],
        may=("events:*", "sqs:*", "s3:*", "kms:*", "sts:AssumeRole", "iam:*"),
        where=not_on(f"event-bus/{names.HUB_EVENT_BUS}"),
        owners=(HUB, DEPLOYMENT),
    ),
    Property(
        says="Nobody in a deployment account but stages themselves reads the data of stages",
        who=lambda world: [a for a in of_account(DEPLOYMENT)(world) if "platform" in a.labels],
        may=("s3:GetObject*",),
        where=on(f"mlp-*-{DEPLOYMENT}-*"),
    ),
    # ---- each role its own ----
    Property(
        says="Whoever takes stages down enters no account at all without the name of a stage",
        who=any_with("TeardownBuildRole", "DeploymentRole"),
        may=("sts:AssumeRole", "sts:TagSession"),
        where=lacking_key(_REQUEST_TAG, "p-*-test", "p-*-prod"),
        owners=(HUB, DEV, STRANGER),
    ),
    Property(
        says="The session that deploys a stage gives keys the tag of its own stage only",
        who=_session,
        may=("kms:TagResource", "kms:CreateKey"),
        where=both(having_key(_REQUEST_TAG), lacking_key(_REQUEST_TAG, OWN_STAGE)),
    ),
    Property(
        says="Roles of a stage let AWS make the role of autoscaling and no other",
        who=_stage,
        may=("iam:CreateServiceLinkedRole",),
        where=either(
            lacking_key("iam:AWSServiceName", "sagemaker.application-autoscaling.amazonaws.com"),
            not_on("role/aws-service-role/*"),
        ),
    ),
    Property(
        says="The role that makes a stage makes only its own endpoint, configurations, models and pipelines",
        who=_execution,
        may=("sagemaker:*",),
        where=not_on(
            f"endpoint/{project_name(ATTACKER)}-{OWN_STAGE}",
            *(f"{kind}/mlp-{OWN_STAGE}-*" for kind in ("endpoint-config", "model", "pipeline")),
        ),
    ),
    Property(
        says="The role that makes a stage makes only its own alarms, and autoscaling those of its endpoint",
        who=_execution,
        may=("cloudwatch:*",),
        where=not_on(
            f"alarm:mlp-{OWN_STAGE}-*", f"alarm:TargetTracking-endpoint/{project_name(ATTACKER)}-{OWN_STAGE}/*"
        ),
    ),
    Property(
        says="The role that makes a stage makes only its own rules, queues and log groups",
        who=_execution,
        may=("events:*", "sqs:*", "logs:*", "!logs:Describe*"),
        where=not_on(f"rule/mlp-{OWN_STAGE}-*", f"mlp-{OWN_STAGE}-*", f"log-group:*mlp-{OWN_STAGE}-*"),
    ),
    Property(
        says="The role that makes a stage scales nothing but SageMaker",
        who=_execution,
        may=(
            "application-autoscaling:Put*",
            "application-autoscaling:Delete*",
            "application-autoscaling:*ScalableTarget",
        ),
        where=lacking_key("application-autoscaling:service-namespace", "sagemaker"),
        kinds=("ScalableTarget",),
    ),
    Property(
        says="Roles of a stage give scalable targets and APIs that are not theirs no tag of another stage",
        who=_shipped,
        may=("application-autoscaling:TagResource", "application-autoscaling:RegisterScalableTarget", "apigateway:*"),
        where=both(having_key(_REQUEST_TAG, *OTHER_STAGES), lacking_key(_RESOURCE_TAG, OWN_STAGE)),
    ),
    Property(
        says="The role that makes a stage reads nothing but the stage's bucket",
        who=_execution,
        may=("s3:*",),
        where=not_on(f"{_BUCKET}*/*"),
    ),
    Property(
        says="Roles that the repository ships use the key of their stage, others through S3 only",
        who=_shipped,
        may=USES_KEYS,
        where=both(not_on(f"key/mlp-{OWN_STAGE}-base-*"), NOT_THROUGH_S3),
        kinds=("key",),
    ),
    Property(
        says="The role of monitors and batch jobs lists only its part of the bucket with input",
        who=_monitor,
        may=("s3:ListBucket*",),
        where=both(on("lake-test"), lacking_key("s3:prefix", f"{ATTACKER}*")),
    ),
    Property(
        says="The role of monitors and batch jobs reads the stage's bucket and its input only",
        who=_monitor,
        may=("s3:GetObject*",),
        where=not_on(f"mlp-{OWN_STAGE}-{DEPLOYMENT}-{REGION}/*", f"lake-test/{ATTACKER}/*"),
    ),
    Property(
        says="The role of monitors and batch jobs lists no other bucket",
        who=_monitor,
        may=("s3:ListBucket*", "s3:GetBucket*"),
        where=not_on(f"mlp-{OWN_STAGE}-{DEPLOYMENT}-{REGION}", "lake-test"),
    ),
    Property(
        says="The role of an endpoint reads the packages of its stage and batches, and no other object",
        who=having("stage-role", OWN_STAGE, "EndpointRole"),
        may=("s3:GetObject*",),
        where=not_on(f"{_BUCKET}{REGION}/packages/*", f"{_BUCKET}{REGION}/batch/*"),
    ),
    Property(
        says="The role of monitors and batch jobs writes logs of jobs only",
        who=_monitor,
        may=("logs:*", "!logs:Describe*"),
        where=not_on("log-group:/aws/sagemaker/ProcessingJobs*", "log-group:/aws/sagemaker/TransformJobs*"),
        kinds=("log-group", "log-stream"),
    ),
    Property(
        says="The role of an endpoint writes logs of its endpoint and of transform jobs only",
        who=having("stage-role", OWN_STAGE, "EndpointRole"),
        may=("logs:*", "!logs:Describe*"),
        where=not_on(
            f"log-group:/aws/sagemaker/Endpoints/{project_name(ATTACKER)}-{OWN_STAGE}*",
            "log-group:/aws/sagemaker/TransformJobs*",
        ),
        kinds=("log-group", "log-stream"),
    ),
    Property(
        says="The role of monitors and batch jobs runs jobs named like those of pipelines only",
        who=_monitor,
        may=("sagemaker:*Job",),
        where=not_on("processing-job/pipelines-*", "transform-job/pipelines-*"),
    ),
    Property(
        says="The role of monitors and batch jobs reports drift to the hub and puts no other event",
        who=_monitor,
        may=("events:*",),
        where=not_on(f"event-bus/{names.HUB_EVENT_BUS}"),
        owners=(DEPLOYMENT, HUB, DEV),
    ),
    Property(
        says="The session that deploys a stage touches no bucket but its own and the registry's",
        who=_session,
        may=("s3:*",),
        where=not_on(f"{_BUCKET}*", f"ml-platform-registry-{HUB}-*"),
        kinds=("bucket", "object"),
    ),
    Property(
        says="The session that deploys a stage lists only packages of the registry",
        who=_session,
        may=("s3:ListBucket*",),
        where=both(on(_REGISTRY), lacking_key("s3:prefix", "packages/*", "promoted/*")),
        owners=(HUB,),
    ),
    Property(
        says="The session that deploys a stage changes no alarm, queue, log group or API itself",
        who=_session,
        may=(
            "cloudwatch:Put*",
            "cloudwatch:Delete*",
            "sqs:*",
            "logs:Put*",
            "logs:Create*",
            "logs:Delete*",
            "apigateway:*",
        ),
    ),
    Property(
        says="The role that replicates captured data touches its bucket, the replica and their keys only",
        who=having("stage-role", OWN_STAGE, "ReplicationRole"),
        may=("s3:*", "kms:*"),
        where=not_on(f"{_BUCKET}*", "replica/*", f"key/mlp-{OWN_STAGE}-base-*", "key/replica"),
        owners=(DEPLOYMENT, STRANGER),
    ),
    Property(
        says="The session that deploys a stage looks at its own models, pipelines, jobs, alarms and logs only",
        who=_session,
        may=("sagemaker:*", "cloudwatch:*", "logs:*"),
        where=both(
            not_on(
                f"endpoint/*-{OWN_STAGE}",
                *(f"{kind}/mlp-{OWN_STAGE}-*" for kind in ("endpoint-config", "model", "pipeline")),
                f"alarm:mlp-{OWN_STAGE}-*",
                f"log-group:/aws/sagemaker/Endpoints/*-{OWN_STAGE}:*",
            ),
            lacking_key(_RESOURCE_TAG, OWN_STAGE),
        ),
    ),
    Property(
        says="Roles that the repository ships touch buckets of their stage, input and replica only",
        who=_shipped,
        may=("s3:*",),
        where=not_on(f"{_BUCKET}*", "lake-test*", "replica/*"),
        kinds=("bucket", "object"),
    ),
    Property(
        says="Roles that the repository ships touch queues, rules, alarms and APIs of their stage only",
        who=_shipped,
        may=("sqs:*", "events:*", "cloudwatch:*"),
        where=not_on(
            f"mlp-{OWN_STAGE}-*",
            f"rule/mlp-{OWN_STAGE}-*",
            f"alarm:*{OWN_STAGE}*",
            f"event-bus/{names.HUB_EVENT_BUS}",
        ),
    ),
    # ---- kinds, tags and places that are left ----
    Property(
        says="A role that a stage makes touches of SageMaker, alarms, rules, queues and buckets its own names and jobs",
        who=_made,
        may=(
            "sagemaker:*",
            "cloudwatch:*",
            "!cloudwatch:GetMetric*",
            "!cloudwatch:PutMetricData",
            "events:*",
            "!events:PutEvents",
            "sqs:*",
        ),
        where=lambda request: (
            negated(request.named(*_names_of(OWN_STAGE, request.service), *_KINDS_BESIDE)) if request.head else False
        ),
    ),
    Property(
        says="A role that a stage makes touches jobs, scalable targets and APIs with the tag of its stage only",
        who=_made,
        may=("sagemaker:*", "application-autoscaling:*", "apigateway:*"),
        where=both(lacking_key(_RESOURCE_TAG, OWN_STAGE), lacking_key(_REQUEST_TAG, OWN_STAGE)),
        kinds=("processing-job", "transform-job", "ScalableTarget", "restapi", "restapis", "restapi-tags"),
    ),
    Property(
        says="Roles that the repository ships touch jobs and APIs with the tag of their stage only",
        who=_shipped,
        may=("sagemaker:*", "apigateway:*"),
        where=both(lacking_key(_RESOURCE_TAG, OWN_STAGE), lacking_key(_REQUEST_TAG, OWN_STAGE)),
        kinds=("processing-job", "transform-job", "restapi", "restapis"),
    ),
    Property(
        says="Roles that the repository ships read and change tags of the stage's scalable targets only",
        who=_shipped,
        may=("application-autoscaling:*Tag*",),
        where=both(lacking_key(_RESOURCE_TAG, OWN_STAGE), lacking_key(_REQUEST_TAG, OWN_STAGE)),
    ),
    Property(
        says="Roles that the repository ships set no other value for the tag of the stage on targets and jobs",
        who=_shipped,
        may=("application-autoscaling:TagResource", "sagemaker:AddTags", "sagemaker:Create*Job"),
        where=having_other(_REQUEST_TAG, OWN_STAGE),
        kinds=("ScalableTarget", "processing-job", "transform-job"),
    ),
    Property(
        says="Roles that the repository ships start no job without the tag of the stage, and make no API without it",
        who=_shipped,
        may=("sagemaker:Create*Job", "apigateway:POST"),
        where=lacking_key(_REQUEST_TAG, OWN_STAGE),
        kinds=("processing-job", "transform-job", "restapis"),
    ),
    Property(
        says="No role of a stage touches a bucket outside the organisation that is not named like the stage's",
        who=together(_shipped, _made),
        may=("s3:*",),
        where=not_on(f"{_BUCKET}*"),
        owners=(STRANGER,),
        kinds=("bucket", "object"),
    ),
    Property(
        says="A role that a stage makes uses no key of another account that carries the tag of a stage",
        who=_made,
        may=USES_KEYS,
        where=having_key(_RESOURCE_TAG),
        owners=(HUB, DEV, STRANGER),
        kinds=("key",),
    ),
    Property(
        says="A role that a stage makes uses keys of other accounts through S3 only",
        who=_made,
        may=("kms:*",),
        where=NOT_THROUGH_S3,
        owners=(HUB, DEV, STRANGER),
        kinds=("key",),
    ),
    Property(
        says="The session that deploys a stage lists packages of its own group only",
        who=_session,
        may=("s3:ListBucket*",),
        where=both(on(_REGISTRY), lacking_key("s3:prefix", f"packages/{group_of(ATTACKER)}/*")),
        owners=(HUB,),
    ),
    Property(
        says="The role that makes a stage lets AWS make the role of autoscaling in its own place only",
        who=_execution,
        may=("iam:CreateServiceLinkedRole",),
        where=not_on("role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/*"),
    ),
    Property(
        says="The role of an endpoint reports metrics of endpoints and transform jobs only",
        who=having("stage-role", OWN_STAGE, "EndpointRole"),
        may=("cloudwatch:PutMetricData",),
        where=lacking_key("cloudwatch:namespace", "/aws/sagemaker/Endpoints", "/aws/sagemaker/TransformJobs"),
    ),
    Property(
        says="The role of monitors and batch jobs reports metrics of models and jobs only",
        who=_monitor,
        may=("cloudwatch:PutMetricData",),
        where=lacking_key(
            "cloudwatch:namespace",
            "ml-platform/Models",
            "/aws/sagemaker/ProcessingJobs",
            "/aws/sagemaker/TransformJobs",
        ),
    ),
    Property(
        says="The role that replicates captured data uses no key of another account but the replica's",
        who=having("stage-role", OWN_STAGE, "ReplicationRole"),
        may=("kms:*",),
        where=not_on("key/replica"),
        owners=(DEV, HUB),
        kinds=("key",),
    ),
    Property(
        says="Whoever takes stages down brings only the tag of the stage into a deployment account",
        who=any_with("TeardownBuildRole", "DeploymentRole"),
        may=ENTERS,
        where=having_other("aws:TagKeys", _TAG),
        owners=(DEPLOYMENT,),
        closed=True,
    ),
    Property(
        says="The builds of a project enter no role in any account but the deploy role",
        who=_builds,
        may=ENTERS,
        where=not_on(f"role/{names.DEPLOY_ROLE}"),
        owners=(HUB, DEV, DEPLOYMENT, STRANGER),
    ),
    Property(
        says="The role of monitors and batch jobs touches of SageMaker jobs of pipelines only",
        who=_monitor,
        may=("sagemaker:*",),
        where=not_on("processing-job/pipelines-*", "transform-job/pipelines-*"),
    ),
    Property(
        says="The role of monitors and batch jobs passes itself only",
        who=_monitor,
        may=("iam:PassRole",),
        where=not_on(f"{_ROLES}{OWN_STAGE}-monitor"),
    ),
)
