"""The role with which a project's SageMaker pipeline and its jobs run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from constructs import Construct

from products.shared import names, registry, template
from products.shared.roles import Grant, ServiceRole, grant_key_to_services, use_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_iam as iam

    from products.shared.storage import ProjectStorage

PENDING = {"StringEqualsIfExists": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}}
"""Registering is allowed only as pending, which is also what SageMaker takes when the request names no status."""

_JOB_REASON = "SageMaker Pipelines names its jobs pipelines-<execution>-<step>-<random>."
_JOBS = [template.arn("sagemaker", f"{kind}-job/pipelines-*") for kind in ("processing", "training")]


class PipelineRole(Construct):
    """Role of a project's SageMaker pipeline: runs jobs, reads the project's data, registers models, approves none.

    Args:
        storage: Bucket and key of the project.
        data: What lets it read the data of the project and nothing else.

    Attributes:
        role: The role.
    """

    def __init__(self, scope: Construct, id_: str, *, storage: ProjectStorage, data: Sequence[Grant]) -> None:
        super().__init__(scope, id_)
        self.role: iam.Role = ServiceRole(
            self,
            "Role",
            service="sagemaker",
            path=names.PROJECT_ROLE_PATH,
            purpose="Runs the SageMaker pipeline and the jobs of one project",
            may_pass_itself=True,
            grants=[
                *data,
                Grant(
                    sid="UseArtifacts",
                    actions=["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
                    resources=[template.bucket_arn(names.PROJECT_BUCKET, "*")],
                    because="Jobs read and write what they like in the bucket of their own project.",
                ),
                Grant(
                    sid="ListArtifacts",
                    actions=["s3:GetBucketLocation", "s3:ListBucket"],
                    resources=[template.bucket_arn(names.PROJECT_BUCKET)],
                ),
                use_key(storage.key.key_arn),
                grant_key_to_services(storage.key.key_arn),
                Grant(
                    sid="RunJobs",
                    actions=[
                        "sagemaker:AddTags",
                        "sagemaker:CreateProcessingJob",
                        "sagemaker:CreateTrainingJob",
                        "sagemaker:DescribeProcessingJob",
                        "sagemaker:DescribeTrainingJob",
                        "sagemaker:StopProcessingJob",
                        "sagemaker:StopTrainingJob",
                    ],
                    resources=_JOBS,
                    because=_JOB_REASON,
                ),
                Grant(
                    sid="Register",
                    actions=["sagemaker:CreateModelPackage"],
                    resources=registry.ARNS,
                    conditions=PENDING,
                    because="The versions in the project's own group are numbered by SageMaker.",
                ),
                Grant(
                    sid="CompareWithRegistered",
                    actions=[
                        "sagemaker:AddTags",
                        "sagemaker:DescribeModelPackage",
                        "sagemaker:DescribeModelPackageGroup",
                        "sagemaker:ListModelPackages",
                    ],
                    resources=registry.ARNS,
                    because="The versions in the project's own group are numbered by SageMaker.",
                ),
                Grant(
                    sid="WriteLogs",
                    actions=[
                        "logs:CreateLogGroup",
                        "logs:CreateLogStream",
                        "logs:DescribeLogStreams",
                        "logs:PutLogEvents",
                    ],
                    resources=[
                        template.arn("logs", f"log-group:/aws/sagemaker/{kind}Jobs*")
                        for kind in ("Processing", "Training")
                    ],
                    because="SageMaker makes one stream per job in these groups, which all jobs of an account share.",
                ),
                Grant(
                    sid="WriteMetrics",
                    actions=["cloudwatch:PutMetricData"],
                    resources=["*"],
                    conditions={"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
                    because="Metrics have no ARNs; the condition keeps it to SageMaker's namespaces.",
                ),
                Grant(
                    sid="PullImages",
                    actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                    resources=["arn:${AWS::Partition}:ecr:${AWS::Region}:*:repository/sagemaker-*"],
                    because="AWS keeps its images in one account per Region; the names start with sagemaker-.",
                ),
                Grant(
                    sid="SignInToRegistry",
                    actions=["ecr:GetAuthorizationToken"],
                    resources=["*"],
                    because="GetAuthorizationToken has no resources.",
                ),
            ],
        ).role
