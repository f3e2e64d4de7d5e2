"""The role with which a project's SageMaker pipeline and its jobs run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
from constructs import Construct

from lambdas.model_promotion import names as model_promotion
from products.shared import names, template
from products.shared.roles import Grant, ServiceRole, grant_key_to_services, use_key
from products.shared.training import model_group as registry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import aws_iam as iam

    from products.shared.storage import ProjectStorage

PENDING = {"StringEqualsIfExists": {"sagemaker:ModelApprovalStatus": model_promotion.PENDING}}
"""Registering is allowed only as pending, which is also what SageMaker takes when the request names no status."""

KINDS = ("Processing", "Training")
"""Kinds of jobs that data scientists and the pipelines of projects run."""

NO_JOB = "_"
"""Stands for a job's name where no job is meant; names of jobs begin with a letter or digit."""

CREATE = [f"sagemaker:Create{kind}Job" for kind in KINDS]
_JOB_REASON = "SageMaker Pipelines names its jobs pipelines-<execution>-<step>-<random>; their tag says whose they are."
_GROUPS_REASON = "The versions in the project's own group are numbered by SageMaker."


def job_arn(name: str) -> str:
    """Return the ARN of jobs by name, as text for ``Fn::Sub``; of any kind, because actions say which they are for."""
    return template.arn("sagemaker", f"*-job/{name}")


def in_vpc(subnets: Sequence[str], groups: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return the conditions under which a job names a network: these subnets and security groups, and no others.

    As in "Control creation of training jobs with VPC" (SageMaker developer guide,
    security_iam_id-based-policy-examples).
    """
    return {
        "ForAllValues:StringEquals": {"sagemaker:VpcSubnets": subnets, "sagemaker:VpcSecurityGroupIds": groups},
        # ForAllValues holds for a request without any value, too.
        "Null": {"sagemaker:VpcSubnets": "false", "sagemaker:VpcSecurityGroupIds": "false"},
    }


def of_project(kind: str, project: str) -> dict[str, str]:
    """Return the condition key, with its value, by which a job is a project's.

    Args:
        kind: ``Request`` for the tag that a request sets, ``Resource`` for the one that a job has.
        project: Id of the project as text for ``Fn::Sub``; may hold ``*``.
    """
    return {f"aws:{kind}Tag/{names.PROJECT_ID_TAG}": project}


def run_jobs(project: str, *, jobs: str, network: Mapping[str, Any], because: str) -> list[Grant]:
    """Return the grants to start, tag and stop the jobs of projects.

    A job carries the id of its project as a tag: who starts one must set it, and nobody tags or stops the job of
    another project.

    Args:
        project: Id of the project as text for ``Fn::Sub``; may hold ``*``.
        jobs: Pattern of the names of jobs.
        network: Conditions on the network of the jobs, as `in_vpc` returns them.
        because: Why a pattern holds a ``*``.
    """
    return [
        Grant(
            sid="RunJobs",
            actions=CREATE,
            resources=[job_arn(jobs)],
            conditions={"StringLike": of_project("Request", project), **network},
            because=because,
        ),
        Grant(
            sid="TagJobs",
            actions=["sagemaker:AddTags"],
            resources=[job_arn(jobs)],
            conditions={
                "StringLike": of_project("Request", project),
                # A new job has no tags yet, and nobody makes the job of another project theirs by tagging it.
                "StringLikeIfExists": of_project("Resource", project),
            },
            because=because,
        ),
        Grant(
            sid="StopJobs",
            actions=[f"sagemaker:Stop{kind}Job" for kind in KINDS],
            resources=[job_arn(jobs)],
            conditions={"StringLike": of_project("Resource", project)},
            because=because,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class JobNetwork:
    """Network of the account's VpcOnly domain, as ``Custom::Preflight`` finds it.

    A template cannot decide by what a custom resource returns, so the values decide: in an account without such a
    domain they let jobs run outside of a network, and name one that cannot exist.

    Attributes:
        subnet_ids: Subnets of the domain, with commas between; ``none`` without such a domain.
        security_group_ids: Its security groups, likewise.
        subnet_arns: ARNs of the subnets, likewise.
        security_group_arns: ARNs of the security groups, likewise.
        jobs_outside: Pattern of the names of jobs that may run outside of it; `NO_JOB` when none may.
    """

    subnet_ids: str
    security_group_ids: str
    subnet_arns: str
    security_group_arns: str
    jobs_outside: str

    @classmethod
    def found_by(cls, preflight: cdk.CustomResource) -> JobNetwork:
        """Return the network that a check named ``job-network`` found."""
        return cls(
            subnet_ids=preflight.get_att_string("JobSubnetIds"),
            security_group_ids=preflight.get_att_string("JobSecurityGroupIds"),
            subnet_arns=preflight.get_att_string("JobSubnetArns"),
            security_group_arns=preflight.get_att_string("JobSecurityGroupArns"),
            jobs_outside=preflight.get_att_string("JobsOutsideVpc"),
        )

    def variables(self) -> Mapping[str, str]:
        """Return what a project's build tells the seed code about it."""
        return {"JOB_SUBNET_IDS": self.subnet_ids, "JOB_SECURITY_GROUP_IDS": self.security_group_ids}

    def outside_arns(self) -> list[str]:
        """Return the ARNs of jobs that may run outside of it."""
        arns = [template.arn("sagemaker", f"{kind.lower()}-job/${{Jobs}}") for kind in KINDS]
        return [cdk.Fn.sub(arn, {"Jobs": self.jobs_outside}) for arn in arns]

    def attach(self) -> list[Grant]:
        """Return the grants with which SageMaker attaches jobs to the network, in the name of their role.

        The actions are those of "Amazon SageMaker AI execution roles: CreateTrainingJob" in the developer guide
        (sagemaker-roles), for a private VPC.
        """
        return [
            Grant(
                sid="LookAtNetwork",
                actions=[
                    f"ec2:Describe{what}"
                    for what in ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
                ],
                resources=["*"],
                because="These actions have no resources.",
            ),
            *(
                Grant(sid=sid, actions=["ec2:CreateNetworkInterface"], resources=cdk.Fn.split(",", arns))
                for sid, arns in (("UseSubnets", self.subnet_arns), ("UseSecurityGroups", self.security_group_arns))
            ),
            Grant(
                sid="UseNetworkInterfaces",
                actions=[
                    f"ec2:{verb}NetworkInterface{what}" for what in ("", "Permission") for verb in ("Create", "Delete")
                ],
                resources=[template.arn("ec2", "network-interface/*")],
                conditions={"ArnEquals": {"ec2:Subnet": cdk.Fn.split(",", self.subnet_arns)}},
                because="EC2 numbers network interfaces; the condition keeps it to the subnets of the domain.",
            ),
        ]


class PipelineRole(Construct):
    """Role of a project's SageMaker pipeline: runs jobs, reads the project's data, registers models, approves none.

    Args:
        storage: Bucket and key of the project.
        data: What lets it read the data of the project and nothing else.
        network: Network in which its jobs run.

    Attributes:
        role: The role.
    """

    def __init__(
        self, scope: Construct, id_: str, *, storage: ProjectStorage, data: Sequence[Grant], network: JobNetwork
    ) -> None:
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
                *run_jobs(
                    "${SageMakerProjectId}",
                    jobs="pipelines-*",
                    network=in_vpc(
                        cdk.Fn.split(",", network.subnet_ids), cdk.Fn.split(",", network.security_group_ids)
                    ),
                    because=_JOB_REASON,
                ),
                Grant(
                    sid="RunJobsOutsideVpc",
                    actions=CREATE,
                    resources=network.outside_arns(),
                    conditions={"StringEquals": of_project("Request", "${SageMakerProjectId}")},
                ),
                Grant(
                    sid="WatchJobs",
                    actions=[f"sagemaker:Describe{kind}Job" for kind in KINDS],
                    resources=[job_arn("pipelines-*")],
                    conditions={"StringEquals": of_project("Resource", "${SageMakerProjectId}")},
                    because=_JOB_REASON,
                ),
                *network.attach(),
                Grant(
                    sid="Register",
                    actions=["sagemaker:CreateModelPackage"],
                    resources=registry.ARNS,
                    conditions=PENDING,
                    because=_GROUPS_REASON,
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
                    because=_GROUPS_REASON,
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
