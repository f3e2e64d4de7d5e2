"""Jobs of training projects under the policies of the product: whose they are, and in which network they run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, REGION, AwsClient
from products.shared import names
from products.train_s3.product import TrainS3Product
from tests.products.launches import TRAIN, launch
from tests.products.launches import network as found_network

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

KINDS: Final = ("processing", "training")


@dataclass(frozen=True)
class Project:
    """A training project as its jobs see it.

    Attributes:
        id: Its id.
        role: ARN of the role of its pipeline.
        sagemaker: Client of SageMaker with that role.
    """

    id: str
    role: str
    sagemaker: AwsClient

    def start(self, kind: str, name: str, network: Mapping[str, list[str]] | None, *, tag: str | None = None) -> None:
        """Start a job as SageMaker Pipelines does; the tag is the project's id unless another is given."""
        tags = [{"Key": "sagemaker:project-id", "Value": self.id if tag is None else tag}]
        if kind == "processing":
            self.sagemaker.create_processing_job(
                ProcessingJobName=name,
                ProcessingResources={
                    "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}
                },
                AppSpecification={"ImageUri": "xgboost"},
                RoleArn=self.role,
                Tags=tags,
                **({"NetworkConfig": {"VpcConfig": network}} if network else {}),
            )
            return
        self.sagemaker.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingInputMode": "File", "TrainingImage": "xgboost"},
            RoleArn=self.role,
            OutputDataConfig={"S3OutputPath": "s3://bucket/models"},
            ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            Tags=tags,
            **({"VpcConfig": network} if network else {}),
        )


def refused(request: Callable[[], object]) -> bool:
    """Whether IAM refuses a request."""
    try:
        request()
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        return True
    return False


@pytest.fixture(scope="module")
def network(cloud: Cloud) -> dict[str, list[str]]:
    """The network of the domain, as a job names it."""
    ec2 = cloud.client("ec2", DEV)
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{n}.0/24")["Subnet"]["SubnetId"] for n in range(3)]
    group = ec2.create_security_group(GroupName="jobs", Description="Jobs", VpcId=vpc)["GroupId"]
    return {"Subnets": subnets, "SecurityGroupIds": [group]}


def project(cloud: Cloud, synth_product: Callable[..., Any], id_: str, found: Mapping[str, str]) -> Project:
    """Make the pipeline's role of a project with the policies of the product."""
    run = launch(
        synth_product(TrainS3Product),
        {**TRAIN, "SageMakerProjectId": id_},
        found=found,
        account=DEV,
        region=REGION,
        stack=f"SC-{id_}",
    )
    (logical_id,) = [
        role
        for role, properties in run.resources("AWS::IAM::Role").items()
        if "pipeline" in properties["Description"] and "jobs" in properties["Description"]
    ]
    statements = [dict(statement) for statement in run.roles()[logical_id]]
    arn = cloud.role(DEV, run.physical_id(logical_id), statements, Path=names.PROJECT_ROLE_PATH)
    return Project(id_, arn, cloud.client("sagemaker", DEV, cloud.assume(arn)))


@pytest.fixture(scope="module")
def projects(
    cloud: Cloud, synth_product: Callable[..., Any], network: Mapping[str, list[str]]
) -> tuple[Project, Project]:
    """Two projects of an account whose VpcOnly domain has two subnets."""
    subnets, groups = network["Subnets"][:2], network["SecurityGroupIds"]
    ec2 = f"arn:aws:ec2:{REGION}:{DEV}"
    found = {
        "JobSubnetIds": ",".join(subnets),
        "JobSecurityGroupIds": ",".join(groups),
        "JobSubnetArns": ",".join(f"{ec2}:subnet/{subnet}" for subnet in subnets),
        "JobSecurityGroupArns": ",".join(f"{ec2}:security-group/{group}" for group in groups),
        "JobsOutsideVpc": "_",
    }
    return project(cloud, synth_product, "p-jobsone", found), project(cloud, synth_product, "p-jobstwo", found)


@pytest.mark.parametrize("kind", KINDS)
def test_jobs_run_in_the_network_of_the_domain_and_nowhere_else(
    projects: tuple[Project, Project], network: dict[str, list[str]], kind: str
) -> None:
    mine, _ = projects
    inside = network | {"Subnets": network["Subnets"][:2]}
    mine.start(kind, "pipelines-inside", inside)
    attempts: dict[str, Mapping[str, list[str]] | None] = {
        "pipelines-none": None,
        "pipelines-elsewhere": network | {"Subnets": network["Subnets"][2:]},
        "pipelines-partly": network,
        "pipelines-group": inside | {"SecurityGroupIds": [*network["SecurityGroupIds"], "sg-open"]},
    }
    started = [name for name, where in attempts.items() if not refused(partial(mine.start, kind, name, where))]
    assert started == []


@pytest.mark.parametrize("kind", KINDS)
def test_jobs_of_another_project_are_neither_stopped_nor_taken_over(
    projects: tuple[Project, Project], network: dict[str, list[str]], kind: str
) -> None:
    mine, other = projects
    inside = network | {"Subnets": network["Subnets"][:2]}
    name = "pipelines-of-the-other"
    other.start(kind, name, inside)
    arn = f"arn:aws:sagemaker:{REGION}:{DEV}:{kind}-job/{name}"
    member = {f"{kind.title()}JobName": name}
    stop, describe = (getattr(mine.sagemaker, f"{verb}_{kind}_job") for verb in ("stop", "describe"))
    tag = {"ResourceArn": arn, "Tags": [{"Key": "sagemaker:project-id", "Value": mine.id}]}
    assert refused(lambda: stop(**member))
    assert refused(lambda: describe(**member))
    assert refused(lambda: mine.sagemaker.add_tags(**tag))
    assert refused(partial(mine.start, kind, "pipelines-in-its-name", inside, tag=other.id))
    described = getattr(other.sagemaker, f"describe_{kind}_job")
    assert described(**member)[f"{kind.title()}JobStatus"] == "InProgress"
    getattr(other.sagemaker, f"stop_{kind}_job")(**member)
    assert described(**member)[f"{kind.title()}JobStatus"] == "Stopped"


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_vpc_only_domain_jobs_run_in_sagemakers_own_network(
    cloud: Cloud, synth_product: Callable[..., Any], network: dict[str, list[str]], kind: str
) -> None:
    mine = project(cloud, synth_product, f"p-open{kind[:4]}", found_network(DEV, REGION, vpc_only=False))
    mine.start(kind, "pipelines-open", None)
    # SageMaker attaches jobs to a network as their role, which is not allowed to.
    with pytest.raises(ClientError, match="not authorized to perform: ec2:CreateNetworkInterface"):
        mine.start(kind, "pipelines-attached", network)
