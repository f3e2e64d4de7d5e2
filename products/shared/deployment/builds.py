"""The three builds of a deployment project: one renders, one works in test, one in production.

Engineers of the project decide what runs in a build, so its role decides what it can do. Nothing that runs before the
approval of the governance officer has a way to production: only the role of the third build carries the tag that the
deploy role of the production stage asks for, and only the pipeline and the schedules of that build start it. Nor can a
build change what an execution that waits for its approval will deploy: no build writes into the pipeline's folder, so
each works with the source as CodePipeline itself stored it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from constructs import Construct

from lambdas.model_promotion.names import PACKAGES_PREFIX, PROMOTED_PREFIX
from products.shared import names, template
from products.shared.builds import pipeline_build
from products.shared.logs import encrypted_log_group
from products.shared.roles import Grant, ServiceRole, through_s3, use_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from products.shared.storage import ProjectStorage

PIPELINE: Final = names.project_resource("deploy")
"""Name of the CodePipeline; at most 4 + 16 + 7 = 27 characters."""

RENDER: Final = "render"
ARTIFACTS: Final = names.PROJECT_RESOURCE_PREFIX + "${SageMakerProjectId}*"
"""Folder of the pipeline's archives: CodePipeline cuts its name to 20 characters, of which this is the beginning."""

REPORTS: Final = f"{names.REPORTS_PREFIX}*"

_STAGE_MINUTES: Final = 480  # a deployment waits for shifted traffic; CodePipeline's build actions end after 8 hours
_RENDER_MINUTES: Final = 30
_REGISTRY: Final = names.registry_bucket("${AWS::AccountId}", "${AWS::Region}")
_MODELS: Final = f"{PACKAGES_PREFIX}${{ModelPackageGroup}}/*"
_PROMOTED: Final = f"{PROMOTED_PREFIX}${{ModelPackageGroup}}/*"
"""Keys of the models of the project's group, and of what their packages were promoted as."""

_GROUP_ARNS: Final = (
    template.arn("sagemaker", "model-package-group/${ModelPackageGroup}"),
    template.arn("sagemaker", "model-package/${ModelPackageGroup}/*"),
)
CARD_ARNS: Final = (
    template.arn("sagemaker", "model-card/${ModelPackageGroup}"),
    template.arn("sagemaker", "model-card/${ModelPackageGroup}/*"),
)
"""The group's model card, which promotion names like the group, and what is exported from it."""


def build_name(purpose: str) -> str:
    """Return the name of a build as text for ``Fn::Sub``: purpose is `RENDER` or a stage."""
    return names.project_resource(purpose)


class DeploymentBuild(Construct):
    """CodeBuild project with a role of its own.

    Args:
        purpose: `RENDER` or a stage of `names.STAGES`.
        storage: Bucket and key of the project.
        variables: What the seed code is told.
        writes: Keys in the project's bucket that it may write, e.g. ``reports/*``. Default: none.
        account_id: Account of the stage, whose deploy role it may assume for this stage. Default: none, for `RENDER`.
        grants: What it may do besides reading the registry and its artifacts.

    Attributes:
        project: The CodeBuild project.
        role: Its role.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        purpose: str,
        storage: ProjectStorage,
        variables: Mapping[str, str],
        writes: Sequence[str] = (),
        account_id: str | None = None,
        grants: Sequence[Grant] = (),
    ) -> None:
        super().__init__(scope, id_)
        name = build_name(purpose)
        log_group_name = f"/aws/codebuild/{name}"
        log_group = encrypted_log_group(self, "Log", name=log_group_name, key=storage.key, sid=f"{id_}Log")
        reaches = [_deploy_role(purpose, account_id)] if account_id else []
        self.role = ServiceRole(
            self,
            "Role",
            service="codebuild",
            path=names.PROJECT_ROLE_PATH,
            purpose=(
                f"Deploys the models of one project to {purpose}"
                if account_id
                else "Renders the deployments of one project"
            ),
            grants=[
                Grant(
                    sid="WriteLog",
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[template.arn("logs", f"log-group:{log_group_name}:*")],
                    because="CodeBuild makes one stream per build in the log group of this build.",
                ),
                Grant(
                    sid="ReadArtifacts",
                    actions=["s3:GetObject", "s3:GetObjectVersion"],
                    resources=[template.bucket_arn(names.PROJECT_BUCKET, "*")],
                    because="CodePipeline names the archives; reports of earlier steps are beside them.",
                ),
                *_write(writes),
                Grant(
                    sid="ListArtifacts",
                    actions=["s3:GetBucketLocation", "s3:ListBucket"],
                    resources=[template.bucket_arn(names.PROJECT_BUCKET)],
                ),
                use_key(storage.key.key_arn),
                *_read_registry(),
                *reaches,
                *grants,
            ],
        ).role
        if account_id:
            cdk.Tags.of(self.role).add(names.DEPLOYMENT_TAG, template.sub(f"${{SageMakerProjectId}}-{purpose}"))
            cdk.Tags.of(self.role).add(names.GROUP_TAG, cdk.Fn.ref("ModelPackageGroup"))
        self.project = pipeline_build(
            self,
            name=name,
            description=(
                f"Deploys project ${{SageMakerProjectName}} to {purpose}"
                if account_id
                else "Renders the deployments of project ${SageMakerProjectName}"
            ),
            role=self.role,
            key=storage.key,
            log_group=log_group,
            variables=dict(variables) | ({"STAGE": purpose} if account_id else {}),
            minutes=_STAGE_MINUTES if account_id else _RENDER_MINUTES,
        )


def _write(keys: Sequence[str]) -> list[Grant]:
    if not keys:
        return []
    return [
        Grant(
            sid="WriteReports",
            actions=["s3:PutObject"],
            resources=[template.bucket_arn(names.PROJECT_BUCKET, key) for key in keys],
            because="Keys hold the id of the execution.",
        )
    ]


def _deploy_role(stage: str, account_id: str) -> Grant:
    # Without the tags of exactly this stage and group the deploy role is of no use: its policy names what it may touch,
    # and which models it reads, by them.
    return Grant(
        sid="DeployToStage",
        actions=["sts:AssumeRole", "sts:TagSession"],
        resources=[cdk.Fn.join("", ["arn:", cdk.Aws.PARTITION, ":iam::", account_id, f":role/{names.DEPLOY_ROLE}"])],
        conditions={
            "StringEquals": {
                f"aws:RequestTag/{names.DEPLOYMENT_TAG}": f"${{SageMakerProjectId}}-{stage}",
                f"aws:RequestTag/{names.GROUP_TAG}": "${ModelPackageGroup}",
            },
            "ForAllValues:StringEquals": {"aws:TagKeys": [names.DEPLOYMENT_TAG, names.GROUP_TAG]},
        },
    )


def _read_registry() -> list[Grant]:
    """Return what finds the newest approved package of the group and reads its artifacts, and changes nothing."""
    return [
        Grant(
            sid="ReadGroup",
            actions=[
                "sagemaker:DescribeModelPackage",
                "sagemaker:DescribeModelPackageGroup",
                "sagemaker:ListModelPackages",
            ],
            resources=_GROUP_ARNS,
            because="The versions in the group are numbered by SageMaker.",
        ),
        Grant(
            sid="ReadModels",
            actions=["s3:GetObject"],
            resources=[template.bucket_arn(_REGISTRY, keys) for keys in (_MODELS, _PROMOTED)],
            because="The keys hold version and name of every file of the group's models.",
        ),
        Grant(
            sid="ListModels",
            actions=["s3:ListBucket"],
            resources=[template.bucket_arn(_REGISTRY)],
            conditions={"StringLike": {"s3:prefix": _MODELS}},
        ),
        Grant(
            sid="DecryptModels",
            actions=["kms:Decrypt"],
            resources=[template.arn("kms", "key/*")],
            conditions={"StringEquals": through_s3()},
            because="Only S3 may ask, for an object that this role may read: the registry's and the project's own.",
        ),
    ]
