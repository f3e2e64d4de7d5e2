"""What each persona may do in Studio, as grants; ``product.py`` makes the roles.

Who registers a model does not approve it: data scientists (and the pipelines that they start) register, leads approve,
ML engineers read. Everything that belongs to projects is matched by the project id in its name (``p-…``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from products.shared import names, template
from products.shared.roles import Grant, grant_key_to_services, through_s3, use_key
from products.shared.training.jobs import PENDING, job_arn, run_jobs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_GROUPS = template.arn("sagemaker", "model-package-group/*-p-*")
_PACKAGES = template.arn("sagemaker", "model-package/*-p-*/*")
_PIPELINES = template.arn("sagemaker", "pipeline/*-p-*")
_CODEPIPELINES = template.arn("codepipeline", f"{names.PROJECTS_PREFIX}*")
_PROJECTS = template.arn("sagemaker", "project/*")
BUCKETS = names.PROJECTS_PREFIX + "*-${AWS::AccountId}-${AWS::Region}"
BY_PROJECT_ID = "Persons work on every project of their account; the pattern is the form of project names and ids."
_NO_RESOURCES = "These actions have no resources; they list or find, and what is found is read under other grants."
KEYS_OF_PROJECTS = {
    "StringLike": {f"aws:ResourceTag/{names.PROJECT_ID_TAG}": "p-*"},
    "StringEquals": through_s3(),
}
_OWN_LEVEL = {"StringEquals": {"servicecatalog:roleLevel": "self"}}
_LEVEL_REASON = "These actions have no resources; the condition keeps it to products launched with the same role."
# ${!…} stays a policy variable: Fn::Sub leaves it to IAM, which fills in the domain and profile of the session.
_OWN = "${!sagemaker:DomainId}/${!sagemaker:UserProfileName}"
_OWNER = {"ArnLike": {"sagemaker:OwnerUserProfileArn": template.arn("sagemaker", f"user-profile/{_OWN}")}}


@dataclass(frozen=True, kw_only=True)
class DomainParts:
    """What the grants of a domain's roles refer to.

    Attributes:
        bucket_arn: Bucket of the domain.
        bucket_objects_arn: All objects in it.
        key_arn: Key of the domain.
        connection_arn: CodeConnection of the domain.
        repositories: Patterns of the repositories that people reach through it, ``owner/name``.
        job_network: Conditions on the network of jobs that people start by hand.
    """

    bucket_arn: str
    bucket_objects_arn: str
    key_arn: str
    connection_arn: str
    repositories: Sequence[str]
    job_network: Mapping[str, Any]


def studio(parts: DomainParts) -> list[Grant]:
    """Return what anybody needs to work in Studio: their own spaces and apps, and the bucket of the domain.

    The statements on spaces and apps follow
    https://docs.aws.amazon.com/sagemaker/latest/dg/studio-updated-jl-admin-guide-permissions.html.
    """
    return [
        Grant(
            sid="FindStudio",
            actions=[f"sagemaker:List{what}" for what in ("Apps", "Domains", "Spaces", "UserProfiles")],
            resources=["*"],
            because=_NO_RESOURCES,
        ),
        Grant(
            sid="LookAtStudio",
            actions=[f"sagemaker:Describe{what}" for what in ("App", "Domain", "Space", "UserProfile")],
            resources=[template.arn("sagemaker", f"{what}/*") for what in ("app", "domain", "space", "user-profile")],
            because="Studio shows the spaces of colleagues; looking at them changes nothing.",
        ),
        Grant(
            sid="OpenOwnApps",
            actions=["sagemaker:CreatePresignedDomainUrl"],
            resources=[template.arn("sagemaker", f"user-profile/{_OWN}")],
        ),
        Grant(
            sid="OwnSpacesAndApps",
            actions=[
                "sagemaker:CreateApp",
                "sagemaker:CreateSpace",
                "sagemaker:DeleteApp",
                "sagemaker:DeleteSpace",
                "sagemaker:UpdateSpace",
            ],
            resources=[template.arn("sagemaker", f"{what}/${{!sagemaker:DomainId}}/*") for what in ("app", "space")],
            conditions={**_OWNER, "StringEquals": {"sagemaker:SpaceSharingType": ["Private", "Shared"]}},
            because="People name their spaces, and Studio apps; the condition keeps it to what they own.",
        ),
        Grant(
            sid="SharedApps",
            actions=["sagemaker:CreateApp", "sagemaker:DeleteApp"],
            resources=[template.arn("sagemaker", "app/${!sagemaker:DomainId}/*")],
            conditions={"StringEquals": {"sagemaker:SpaceSharingType": ["Shared"]}},
            because="Studio names apps; the condition keeps it to spaces that their owners share.",
        ),
        Grant(
            sid="TagSpacesAndApps",
            actions=["sagemaker:AddTags"],
            resources=[template.arn("sagemaker", "space/*"), template.arn("sagemaker", "app/*")],
            conditions={"StringEquals": {"sagemaker:TaggingAction": ["CreateApp", "CreateSpace"]}},
            because="Tags are set while a space or app is created, before its name is known.",
        ),
        Grant(
            sid="UseDomainBucket",
            actions=["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
            resources=[parts.bucket_objects_arn],
            because="The people of this domain share the bucket.",
        ),
        Grant(sid="ListDomainBucket", actions=["s3:GetBucketLocation", "s3:ListBucket"], resources=[parts.bucket_arn]),
        use_key(parts.key_arn),
        grant_key_to_services(parts.key_arn),
        Grant(
            sid="WriteStudioLogs",
            actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[template.arn("logs", "log-group:/aws/sagemaker/studio*")],
            because="Studio makes one stream per app in this group.",
        ),
    ]


def reading() -> list[Grant]:
    """Return what lets a persona see projects, pipelines, models, results and logs, and change nothing."""
    return [
        Grant(
            sid="FindWork",
            actions=[
                "codebuild:ListProjects",
                "codepipeline:ListPipelines",
                "sagemaker:ListModelPackageGroups",
                "sagemaker:ListPipelines",
                "sagemaker:ListProcessingJobs",
                "sagemaker:ListProjects",
                "sagemaker:ListTrainingJobs",
                "sagemaker:QueryLineage",
                "sagemaker:Search",
            ],
            resources=["*"],
            because=_NO_RESOURCES,
        ),
        Grant(
            sid="ReadRegistry",
            actions=[
                "sagemaker:BatchDescribeModelPackage",
                "sagemaker:DescribeModelPackage",
                "sagemaker:DescribeModelPackageGroup",
                "sagemaker:ListModelPackages",
            ],
            resources=[_GROUPS, _PACKAGES],
            because=BY_PROJECT_ID,
        ),
        Grant(
            sid="ReadPipelines",
            actions=[
                "sagemaker:DescribePipeline",
                "sagemaker:DescribePipelineDefinitionForExecution",
                "sagemaker:DescribePipelineExecution",
                "sagemaker:ListPipelineExecutionSteps",
                "sagemaker:ListPipelineExecutions",
                "sagemaker:ListPipelineParametersForExecution",
            ],
            resources=[_PIPELINES],
            because=BY_PROJECT_ID,
        ),
        Grant(
            sid="ReadProjectsAndJobs",
            actions=[f"sagemaker:Describe{what}" for what in ("ProcessingJob", "Project", "TrainingJob")],
            resources=[_PROJECTS, job_arn("*")],
            because="The projects and jobs of an account are its team's common work; describing them shows no data.",
        ),
        Grant(
            sid="ReadBuilds",
            actions=[
                "codepipeline:GetPipeline",
                "codepipeline:GetPipelineExecution",
                "codepipeline:GetPipelineState",
                "codepipeline:ListActionExecutions",
                "codepipeline:ListPipelineExecutions",
                "codebuild:BatchGetBuilds",
                "codebuild:BatchGetProjects",
                "codebuild:ListBuildsForProject",
            ],
            resources=[_CODEPIPELINES, template.arn("codebuild", f"project/{names.PROJECTS_PREFIX}*")],
            because=BY_PROJECT_ID,
        ),
        Grant(
            sid="ReadLogs",
            actions=["logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents"],
            resources=[
                template.arn("logs", f"log-group:/aws/{group}*")
                for group in ("sagemaker/", f"codebuild/{names.PROJECTS_PREFIX}")
            ],
            because=BY_PROJECT_ID,
        ),
        Grant(
            sid="ReadResults",
            actions=["s3:GetObject"],
            resources=[template.bucket_arn(BUCKETS, "*")],
            because=BY_PROJECT_ID,
        ),
        Grant(
            sid="ListResults",
            actions=["s3:GetBucketLocation", "s3:ListBucket"],
            resources=[template.bucket_arn(BUCKETS)],
            because=BY_PROJECT_ID,
        ),
        Grant(
            sid="DecryptResults",
            actions=["kms:Decrypt"],
            resources=[template.arn("kms", "key/*")],
            conditions=KEYS_OF_PROJECTS,
            because="Key ids are made by KMS; the condition keeps it to keys of projects, used by S3.",
        ),
    ]


def connecting(parts: DomainParts) -> list[Grant]:
    """Return what lets a persona work with the team's repositories through the connection of the domain.

    One installation of the Git provider's app serves every connection to an organisation there, the catalog's own
    included. So a repository must be named in the request, and be one of the team's. GetConnectionToken is left out:
    no condition key says for which repository a token is (Service Authorization Reference, codeconnections).
    """
    services = {"codeconnections": "", "codestar-connections": "Old"}
    return [
        Grant(
            sid="ReadConnection",
            actions=[f"{service}:GetConnection" for service in services],
            resources=[parts.connection_arn],
        ),
        *(
            Grant(
                sid=f"Use{prefix}Repositories",
                actions=[f"{service}:UseConnection"],
                resources=[parts.connection_arn],
                conditions={"StringLike": {f"{service}:FullRepositoryId": parts.repositories}},
            )
            for service, prefix in services.items()
        ),
    ]


def launching() -> list[Grant]:
    """Return what lets a persona launch products; the portfolio decides which ones.

    The actions are those of an end user in AWSServiceCatalogEndUserFullAccess. The launch role makes the resources.
    """
    return [
        Grant(
            sid="FindProducts",
            actions=[
                "servicecatalog:DescribeProductView",
                "servicecatalog:DescribeProvisionedProduct",
                "servicecatalog:DescribeRecord",
                "servicecatalog:GetProvisionedProductOutputs",
                "servicecatalog:ListRecordHistory",
                "servicecatalog:ScanProvisionedProducts",
                "servicecatalog:SearchProducts",
                "servicecatalog:SearchProvisionedProducts",
            ],
            resources=["*"],
            because=_NO_RESOURCES,
        ),
        Grant(
            sid="LaunchProducts",
            actions=[
                "servicecatalog:DescribeProduct",
                "servicecatalog:DescribeProvisioningArtifact",
                "servicecatalog:DescribeProvisioningParameters",
                "servicecatalog:ListLaunchPaths",
                "servicecatalog:ListProvisioningArtifacts",
                "servicecatalog:ProvisionProduct",
            ],
            resources=["arn:${AWS::Partition}:catalog:${AWS::Region}:*:product/*"],
            because="Products belong to the hub, which numbers them; the portfolio's principals decide who sees which.",
        ),
        Grant(
            sid="UpdateWhatTheRoleLaunched",
            actions=["servicecatalog:UpdateProvisionedProduct"],
            resources=["*"],
            conditions=_OWN_LEVEL,
            because=_LEVEL_REASON,
        ),
    ]


def terminating(conditions: Mapping[str, Mapping[str, str]] = _OWN_LEVEL) -> Grant:
    """Return what lets a persona end products that its role launched.

    Args:
        conditions: Conditions of the grant. Default: that the product was launched with the same role.
    """
    return Grant(
        sid="EndWhatTheRoleLaunched",
        actions=["servicecatalog:TerminateProvisionedProduct"],
        resources=["*"],
        conditions=conditions,
        because=_LEVEL_REASON,
    )


def running() -> list[Grant]:
    """Return what lets a persona start and stop the pipelines of projects."""
    return [
        Grant(
            sid="RunPipelines",
            actions=[
                "sagemaker:RetryPipelineExecution",
                "sagemaker:StartPipelineExecution",
                "sagemaker:StopPipelineExecution",
            ],
            resources=[_PIPELINES],
            because=BY_PROJECT_ID,
        ),
        Grant(
            sid="BuildAgain",
            actions=["codepipeline:RetryStageExecution", "codepipeline:StartPipelineExecution"],
            resources=[_CODEPIPELINES],
            because=BY_PROJECT_ID,
        ),
    ]


def building(parts: DomainParts) -> list[Grant]:
    """Return what makes a data scientist: creating projects, running jobs with a project's role, registering models.

    Everybody's sessions of a persona look the same to Service Catalog, so whoever may delete their own project may
    delete everybody's. Only the lead deletes projects, in a session of this role that carries
    `names.ACTS_AS_TAG` (`leading`).
    """
    as_lead = {f"aws:PrincipalTag/{names.ACTS_AS_TAG}": names.LEAD}
    return [
        Grant(
            sid="ManageProjects",
            actions=["sagemaker:AddTags", "sagemaker:CreateProject", "sagemaker:UpdateProject"],
            resources=[_PROJECTS],
            because="Data scientists name their projects.",
        ),
        Grant(
            sid="DeleteProjectsAsLead",
            actions=["sagemaker:DeleteProject"],
            resources=[_PROJECTS],
            conditions={"StringEquals": as_lead},
            because="Data scientists name their projects; Service Catalog keeps it to those launched with this role.",
        ),
        terminating({"StringEquals": {**_OWN_LEVEL["StringEquals"], **as_lead}}),
        *run_jobs(
            "p-*",
            jobs="*",
            network=parts.job_network,
            because="Data scientists name the jobs that they start by hand; their tag says for which project.",
        ),
        Grant(
            sid="PassProjectRoles",
            actions=["iam:PassRole"],
            resources=[template.arn("iam", f"role{names.PROJECT_ROLE_PATH}*")],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            because="Only roles of projects have this path, and of these only the roles of pipelines trust SageMaker.",
        ),
        Grant(
            sid="Register",
            actions=["sagemaker:CreateModelPackage"],
            resources=[_GROUPS, _PACKAGES],
            conditions=PENDING,
            because=BY_PROJECT_ID,
        ),
    ]


def leading(data_scientist_role_arn: str) -> list[Grant]:
    """Return what lets the lead act as the data scientists of the domain, with the tag that says so.

    Studio's sessions have the person as source identity, which stays in every session after them:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_monitor.html.
    """
    return [
        Grant(
            sid="ActAsDataScientist",
            actions=["sts:AssumeRole", "sts:TagSession"],
            resources=[data_scientist_role_arn],
            conditions={"StringEquals": {f"aws:RequestTag/{names.ACTS_AS_TAG}": names.LEAD}},
        ),
        Grant(sid="StayKnown", actions=["sts:SetSourceIdentity"], resources=[data_scientist_role_arn]),
    ]


def approving() -> list[Grant]:
    """Return what makes a lead: deciding on registered models."""
    return [
        Grant(
            sid="DecideOnModels",
            actions=["sagemaker:UpdateModelPackage"],
            resources=[_PACKAGES],
            because=BY_PROJECT_ID,
        )
    ]


def grants(persona: str, parts: DomainParts) -> Sequence[Grant]:
    """Return everything that a persona may do.

    Raises:
        KeyError: The persona is unknown.
    """
    own = {
        names.LEAD: [*connecting(parts), *launching(), terminating(), *running(), *approving()],
        names.DATA_SCIENTIST: [*connecting(parts), *launching(), *running(), *building(parts)],
        names.ML_ENGINEER: [],
    }
    return [*studio(parts), *reading(), *own[persona]]
