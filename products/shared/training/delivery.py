"""From a commit to a started SageMaker pipeline: CodePipeline takes the source, CodeBuild upserts and starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_codepipeline as codepipeline
from constructs import Construct

from products.shared import names, template
from products.shared.builds import pipeline_build, use_repository
from products.shared.logs import encrypted_log_group
from products.shared.roles import Grant, ServiceRole, pass_role, use_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import aws_codebuild as codebuild
    from aws_cdk import aws_iam as iam

    from products.shared.storage import ProjectStorage

_NAME = names.project_resource("build")
_BUILD_MINUTES = 30
_LOG_GROUP = f"/aws/codebuild/{_NAME}"
_SOURCE_FOLDER = names.PROJECT_RESOURCE_PREFIX + "${SageMakerProjectId}*"
_PIPELINE_ARN = template.arn("sagemaker", f"pipeline/{names.PROJECT_PIPELINE}")
_SOURCE_REASON = "CodePipeline names the archives in its folder of the project's bucket itself."


class Delivery(Construct):
    """CodePipeline of one project: branch of the repository → CodeBuild → SageMaker pipeline upserted and started.

    The build ends when the SageMaker pipeline has started; nobody pays for a build machine that waits for a training.

    Args:
        storage: Bucket and key of the project.
        connection_arn: CodeConnection that reaches the repository.
        repository: ``owner/name``.
        branch: Branch whose commits start the pipeline.
        pipeline_role: Role with which the SageMaker pipeline runs.
        look_at_data: What lets the build find out whether the data changed, without reading it.
        environment: What the build tells the seed code, besides bucket, key and role.

    Attributes:
        pipeline: The CodePipeline.
        build_role: Role of its build.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        storage: ProjectStorage,
        connection_arn: str,
        repository: str,
        branch: str,
        pipeline_role: iam.IRole,
        look_at_data: Sequence[Grant],
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(scope, id_)
        self._storage = storage
        log_group = encrypted_log_group(self, "Log", name=_LOG_GROUP, key=storage.key, sid="BuildLog")
        self.build_role: iam.Role = ServiceRole(
            self,
            "BuildRole",
            service="codebuild",
            path=names.PROJECT_ROLE_PATH,
            purpose="Upserts and starts the SageMaker pipeline of one project",
            grants=[
                Grant(
                    sid="WriteLog",
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[template.arn("logs", f"log-group:{_LOG_GROUP}:*")],
                    because="CodeBuild makes one stream per build in the project's own log group.",
                ),
                # A build is not in the network of the account: it must not read what jobs make of the data.
                Grant(
                    sid="ReadSourceAndCode",
                    actions=["s3:GetObject", "s3:GetObjectVersion"],
                    resources=[
                        template.bucket_arn(names.PROJECT_BUCKET, keys)
                        # The last one: where the SDK leaves a definition of more than 100 KB.
                        for keys in (_SOURCE_FOLDER, f"{names.PROJECT_PIPELINE}/code/*", names.PROJECT_PIPELINE)
                    ],
                    because=f"{_SOURCE_REASON} The code of jobs is named by its digest.",
                ),
                Grant(
                    sid="LeaveCode",
                    actions=["s3:PutObject"],
                    resources=[template.bucket_arn(names.PROJECT_BUCKET, "*")],
                    because="The build leaves the code of jobs in the project's own bucket.",
                ),
                Grant(
                    sid="ListArtifacts",
                    actions=["s3:GetBucketLocation", "s3:ListBucket"],
                    resources=[template.bucket_arn(names.PROJECT_BUCKET)],
                ),
                use_key(storage.key.key_arn),
                Grant(
                    sid="UpsertAndStart",
                    actions=[
                        "sagemaker:AddTags",
                        "sagemaker:CreatePipeline",
                        "sagemaker:DescribePipeline",
                        "sagemaker:ListTags",
                        "sagemaker:StartPipelineExecution",
                        "sagemaker:UpdatePipeline",
                    ],
                    resources=[_PIPELINE_ARN],
                ),
                pass_role(pipeline_role.role_arn, "sagemaker"),
                *look_at_data,
            ],
        ).role
        variables = {
            "PROJECT_NAME": template.sub("${SageMakerProjectName}"),
            "PROJECT_ID": template.sub("${SageMakerProjectId}"),
            "PIPELINE_NAME": template.sub(names.PROJECT_PIPELINE),
            "MODEL_PACKAGE_GROUP": template.sub(names.PROJECT_PIPELINE),
            "ARTIFACT_BUCKET": storage.bucket.bucket_name,
            "KMS_KEY_ARN": storage.key.key_arn,
            "PIPELINE_ROLE_ARN": pipeline_role.role_arn,
            **environment,
        }
        project = pipeline_build(
            self,
            name=_NAME,
            description="Upserts and starts the SageMaker pipeline of project ${SageMakerProjectName}",
            role=self.build_role,
            key=storage.key,
            log_group=log_group,
            variables=variables,
            minutes=_BUILD_MINUTES,
        )
        self.pipeline = self._codepipeline(project, connection_arn, repository, branch)
        # On termination: first the writers, then the emptying of the bucket, then the bucket.
        self.pipeline.node.add_dependency(storage.contents)
        project.node.add_dependency(storage.contents)

    def _codepipeline(
        self, project: codebuild.CfnProject, connection_arn: str, repository: str, branch: str
    ) -> codepipeline.CfnPipeline:
        role = ServiceRole(
            self,
            "SourceRole",
            service="codepipeline",
            path=names.PROJECT_ROLE_PATH,
            purpose="Takes the source of one project and starts its build",
            grants=[
                *use_repository(connection_arn, repository),
                # Bucket and object actions as in the minimum policy of
                # https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html.
                Grant(
                    sid="StoreSource",
                    actions=["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectAcl"],
                    resources=[template.bucket_arn(names.PROJECT_BUCKET, _SOURCE_FOLDER)],
                    because=_SOURCE_REASON,
                ),
                Grant(
                    sid="LookAtBucket",
                    actions=["s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning"],
                    resources=[template.bucket_arn(names.PROJECT_BUCKET)],
                ),
                use_key(self._storage.key.key_arn),
                Grant(
                    sid="StartBuild",
                    actions=["codebuild:BatchGetBuilds", "codebuild:StartBuild"],
                    resources=[template.arn("codebuild", f"project/{_NAME}")],
                ),
            ],
        ).role
        pipeline = codepipeline.CfnPipeline
        source = pipeline.ActionDeclarationProperty(
            name="Source",
            action_type_id=pipeline.ActionTypeIdProperty(
                category="Source", owner="AWS", provider="CodeStarSourceConnection", version="1"
            ),
            configuration={
                "ConnectionArn": connection_arn,
                "FullRepositoryId": repository,
                "BranchName": branch,
                "OutputArtifactFormat": "CODE_ZIP",
                "DetectChanges": "true",
            },
            output_artifacts=[pipeline.OutputArtifactProperty(name="Source")],
        )
        build = pipeline.ActionDeclarationProperty(
            name="UpsertAndStart",
            action_type_id=pipeline.ActionTypeIdProperty(
                category="Build", owner="AWS", provider="CodeBuild", version="1"
            ),
            configuration={"ProjectName": project.ref},
            input_artifacts=[pipeline.InputArtifactProperty(name="Source")],
        )
        return codepipeline.CfnPipeline(
            self,
            "Pipeline",
            name=template.sub(_NAME),
            pipeline_type="V2",
            # Of commits and triggers that pile up behind a running build, only the newest is built.
            execution_mode="SUPERSEDED",
            role_arn=role.role_arn,
            artifact_store=pipeline.ArtifactStoreProperty(
                type="S3",
                location=self._storage.bucket.bucket_name,
                encryption_key=pipeline.EncryptionKeyProperty(type="KMS", id=self._storage.key.key_arn),
            ),
            stages=[
                pipeline.StageDeclarationProperty(name="Source", actions=[source]),
                pipeline.StageDeclarationProperty(name="Train", actions=[build]),
            ],
        )
