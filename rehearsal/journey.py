"""The way of a model, step by step: what each person does, through the same API calls that they make on AWS."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from pipeline import execution_policy
from products.shared import names
from rehearsal import (
    demo_data,
    deployment,
    deployment_steps,
    fault_steps,
    launching,
    pipeline_builds,
    production_steps,
    promotion_steps,
    report,
)
from rehearsal.console import Line
from rehearsal.organization import (
    ACCOUNTS,
    DEV,
    HUB,
    PROD,
    REGION,
    ROOT,
    TEST,
    WORKLOADS_OU,
    Credentials,
    Organization,
    RehearsalError,
    hub_context,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rehearsal.console import Terminal
    from rehearsal.organization import AwsClient

_SSO: Final = f"aws-reserved/sso.amazonaws.com/{REGION}/AWSReservedSSO"
LEAD_ROLE: Final = f"{_SSO}_LeadDataScientist_0123456789abcdef"
DATA_SCIENTIST_ROLE: Final = f"{_SSO}_DataScientist_fedcba9876543210"
ML_ENGINEER_ROLE: Final = f"{_SSO}_MLEngineer_13579bdf02468ace"
GOVERNANCE_OFFICER_ROLE: Final = f"{_SSO}_GovernanceOfficer_ace02468bdf13579"
DOMAIN_NAME: Final = "claims-lab"
PROJECT_NAME: Final = "first-model"
DATA_BUCKET: Final = f"data-lake-{DEV}-{REGION}"
REPOSITORY: Final = f"data-science/{PROJECT_NAME}"
_PROVISION_TIMEOUT_S: Final = 300.0
_PIPELINE_TIMEOUT_S: Final = 900.0


@dataclass
class World:
    """What the rehearsal knows so far; every step reads what earlier steps wrote.

    Attributes:
        work: Folder of this rehearsal.
        data: File or folder with the data set.
        label: Column to predict.
        doing: Tells the terminal what the current step waits for.
        ask: Asks the person at the terminal a question with yes or no; None when nobody is there to be asked.
        deployment: The deployment project in the hub.
        execution: Id of the execution of its pipeline that brings the model to production.
        over: Nothing is left to do, although not every step ran.
    """

    work: Path
    organization: Organization
    data: Path | None
    label: str | None
    doing: Callable[[str], None] = field(default=lambda _what: None)
    ask: Callable[[str, Sequence[str]], bool] | None = None
    synth: subprocess.Popen[str] | None = None
    lead: Credentials | None = None
    data_scientist: Credentials | None = None
    ml_engineer: Credentials | None = None
    governance_officer: Credentials | None = None
    data_uri: str = ""
    domain: report.Launched | None = None
    project: report.Launched | None = None
    deployment: report.Launched | None = None
    execution: str = ""
    over: bool = False
    facts: report.Facts = field(default_factory=report.Facts)

    def close(self) -> None:
        """Stop everything that was started."""
        if self.synth and self.synth.poll() is None:
            os.killpg(self.synth.pid, signal.SIGKILL)  # with the node process that the CDK starts
            self.synth.wait()
        self.organization.__exit__(None, None, None)

    @property
    def assembly(self) -> Path:
        """Cloud assembly of the hub."""
        return self.work / "cdk.out"

    def client(self, service: str, credentials: Credentials | None) -> AwsClient:
        """Return a boto3 client of this organisation."""
        if credentials is None:
            raise RehearsalError(f"nobody is signed in to call {service}: an earlier step did not run")
        return self.organization.client(service, credentials)


@dataclass(frozen=True)
class Step:
    """One line of the rehearsal.

    Attributes:
        title: What happens, in a few words.
        account: Account name in which it happens.
        run: Does it and returns one line about the outcome.
        emulated: How this differs from AWS; empty when only the service endpoints are emulated.
    """

    title: str
    account: str
    run: Callable[[World], str]
    emulated: str = ""


# ---- before anything is deployed --------------------------------------------------------------------------------


def start_organization(world: World) -> str:
    """Begin the synthesis, start the accounts while it runs, and vend what the platform expects of an account."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    environment |= {
        "CDK_OUTDIR": str(world.assembly),
        "CDK_CONTEXT_JSON": json.dumps({"hub": hub_context()}),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}",
    }
    with (world.work / "synth.log").open("w", encoding="utf-8") as log:
        world.synth = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
            process_group=0,
        )
    world.organization.__enter__()
    _vend_network(world)
    _vend_people(world)
    _bootstrap_hub(world)
    return f"{len(ACCOUNTS) - 1} accounts and their management on {world.organization.endpoint}, IAM enforced"


def _vend_network(world: World) -> None:
    """Create the VPC of the dev account and publish it where the contract says, as the owner of the network does."""
    owner = Credentials.administrator(DEV)
    ec2 = world.client("ec2", owner)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        ec2.modify_vpc_attribute(VpcId=vpc, **{attribute: {"Value": True}})
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]
    gateway = ec2.create_nat_gateway(SubnetId=subnets[0], ConnectivityType="private")["NatGateway"]["NatGatewayId"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    ec2.create_route(RouteTableId=tables[0]["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway)
    ssm = world.client("ssm", owner)
    ssm.put_parameter(Name=names.VPC_ID_PARAMETER, Type="String", Value=vpc)
    ssm.put_parameter(Name=names.SUBNET_IDS_PARAMETER, Type="StringList", Value=",".join(subnets))


def _vend_people(world: World) -> None:
    """Create the roles that Identity Center would create for the permission sets of people, and sign them in."""
    world.lead = _vend_person(world, DEV, LEAD_ROLE, "lead-data-scientist", session="lena")
    _vend_person(world, DEV, DATA_SCIENTIST_ROLE, "data-scientist", session="dan")
    world.ml_engineer = _vend_person(world, HUB, ML_ENGINEER_ROLE, "ml-engineer", session="mira")
    world.governance_officer = _vend_person(world, HUB, GOVERNANCE_OFFICER_ROLE, "governance-officer", session="gustav")


def _vend_person(world: World, account: str, role: str, permission_set: str, *, session: str) -> Credentials:
    owner = Credentials.administrator(account)
    iam = world.client("iam", owner)
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    path, name = role.rsplit("/", 1)
    iam.create_role(Path=f"/{path}/", RoleName=name, AssumeRolePolicyDocument=document)
    policy = (ROOT / f"docs/policies/{permission_set}.json").read_text(encoding="utf-8")
    iam.put_role_policy(RoleName=name, PolicyName="PermissionSet", PolicyDocument=policy)
    return world.organization.assume(account, role, session=session, caller=owner)


def _bootstrap_hub(world: World) -> None:
    """Leave what `cdk bootstrap` leaves: bucket for file assets, version parameter, and the role for CloudFormation."""
    administrator = Credentials.administrator(HUB)
    world.client("s3", administrator).create_bucket(
        Bucket=_bootstrap_bucket(), CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    version = f"/cdk-bootstrap/{deployment.BOOTSTRAP_QUALIFIER}/version"
    world.client("ssm", administrator).put_parameter(Name=version, Type="String", Value="30")
    iam = world.client("iam", administrator)
    name = deployment.EXECUTION_ROLE_ARN.rsplit("/", 1)[1]
    trust = {"Effect": "Allow", "Principal": {"Service": "cloudformation.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    for number, policy in enumerate(execution_policy.documents(HUB, "aws"), start=1):
        made = iam.create_policy(
            PolicyName=f"ml-platform-hub-execution-{number}", PolicyDocument=json.dumps(policy, separators=(",", ":"))
        )
        iam.attach_role_policy(RoleName=name, PolicyArn=made["Policy"]["Arn"])


def _bootstrap_bucket() -> str:
    return f"cdk-{deployment.BOOTSTRAP_QUALIFIER}-assets-{HUB}-{REGION}"


def synthesise(world: World) -> str:
    """Wait for the cloud assembly of the hub."""
    if world.synth is None:
        raise RehearsalError("the synthesis was not started")
    world.doing("python app.py")
    if world.synth.wait(timeout=300):
        raise RehearsalError(
            f"python app.py ended with exit code {world.synth.returncode}; nothing was deployed. Its output:\n"
            + (world.work / "synth.log").read_text(encoding="utf-8")[-3000:]
        )
    found = [s.name for folder in _stage_folders(world) for s in deployment.stacks(folder)]
    return f"stacks {', '.join(found)}"


def _stage_folders(world: World) -> list[Path]:
    """Return the nested assemblies of the home region: Foundation, then Portfolios."""
    folders = []
    for stage in ("Foundation", "Portfolios"):
        matches = sorted(p for p in world.assembly.glob("assembly-*") if stage in p.name)
        if not matches:
            raise RehearsalError(
                f"{world.assembly} has no assembly for the stage {stage}; it holds "
                f"{sorted(p.name for p in world.assembly.iterdir())}"
            )
        folders.append(matches[0])
    return folders


# ---- the hub --------------------------------------------------------------------------------------------------------


def _deploy(world: World, stack: deployment.StackArtifact) -> dict[str, str]:
    administrator = Credentials.administrator(HUB)
    substitutions = {"AWS::AccountId": HUB, "AWS::Region": REGION, "AWS::Partition": "aws"}
    deployment.publish(stack, world.client("s3", administrator), substitutions)
    return deployment.deploy(
        stack,
        world.client("cloudformation", administrator),
        substitutions,
        endpoint=world.organization.endpoint,
        doing=world.doing,
    )


def publish_releases(world: World) -> str:
    """Create the artifact bucket and upload every released file."""
    first, *_ = deployment.stacks(_stage_folders(world)[0])
    _deploy(world, first)
    pipeline_builds.deploy(world.organization, world.assembly, doing=world.doing)
    world.doing("portfolio upload")
    pipeline_builds.run(world.organization, "upload")
    bucket = names.artifact_bucket(HUB, REGION)
    objects = world.client("s3", Credentials.administrator(HUB)).list_objects_v2(Bucket=bucket)["KeyCount"]
    return f"{objects} files in {bucket}"


def roll_out_baselines(world: World) -> str:
    """Deploy registry, StackSets and the hub's baseline, and with them what every kind of account needs."""
    _, *rest = deployment.stacks(_stage_folders(world)[0])
    for stack in rest:
        _deploy(world, stack)
    found = []
    for account, role in ((DEV, names.LAUNCH_ROLE), (HUB, names.LAUNCH_ROLE), (TEST, names.DEPLOY_ROLE)):
        made = world.client("iam", Credentials.administrator(account)).get_role(RoleName=role)["Role"]["RoleName"]
        found.append(f"{made} in {ACCOUNTS[account]}")
    world.client("iam", Credentials.administrator(PROD)).get_role(RoleName=names.DEPLOY_ROLE)
    return f"roles {', '.join(found)} and {ACCOUNTS[PROD]}"


def publish_portfolios(world: World) -> str:
    """Create the portfolios from the released files and share them with the workloads OU."""
    for stack in deployment.stacks(_stage_folders(world)[1]):
        _deploy(world, stack)
    world.doing("portfolio check-published")
    pipeline_builds.run(world.organization, "check-published")
    world.facts.catalog = report.read_catalog(world.client("servicecatalog", Credentials.administrator(HUB)))
    versions = sum(len(product.versions) for product in world.facts.catalog)
    return f"{len(world.facts.catalog)} products, {versions} versions, shared with {WORKLOADS_OU}"


# ---- the lead data scientist ------------------------------------------------------------------------------------


def launch_domain(world: World) -> str:
    """Launch the Studio domain from the Service Catalog console."""
    catalog = world.client("servicecatalog", world.lead)
    product = launching.find_product(catalog, "sagemaker-domain")
    version = launching.default_version(catalog, product["ProductId"])
    path = catalog.list_launch_paths(ProductId=product["ProductId"])["LaunchPathSummaries"][0]["Id"]
    parameters = {"DomainName": DOMAIN_NAME, "AuthMode": "IAM", "CostCenter": "ml-1000", "Owner": "claims-analytics"}
    offered = {
        p["ParameterKey"]: p.get("DefaultValue")
        for p in catalog.describe_provisioning_parameters(
            ProductId=product["ProductId"], ProvisioningArtifactId=version["Id"], PathId=path
        )["ProvisioningArtifactParameters"]
    }
    chosen = {k: v for k, v in parameters.items() if k in offered}
    record = catalog.provision_product(
        ProductId=product["ProductId"],
        ProvisioningArtifactId=version["Id"],
        PathId=path,
        ProvisionedProductName=DOMAIN_NAME,
        ProvisioningParameters=[{"Key": k, "Value": v} for k, v in chosen.items()],
        ProvisionToken=f"rehearsal-{DOMAIN_NAME}",
    )["RecordDetail"]["RecordId"]
    outputs = _await_record(world, catalog, record)
    world.domain = report.Launched(
        name=DOMAIN_NAME,
        product=product["Name"],
        version=version["Name"],
        by="lead data scientist",
        parameters={k: chosen.get(k, v) or "" for k, v in offered.items()},
        outputs=outputs,
    )
    world.facts.launched.append(world.domain)
    return f"{product['Name']} {version['Name']}: {outputs.get('DomainId', 'no domain id')}"


def _await_record(world: World, catalog: AwsClient, record_id: str) -> dict[str, str]:
    """Wait for a Service Catalog record; return its outputs or raise with its errors."""

    def look() -> dict[str, str] | None:
        answer = catalog.describe_record(Id=record_id)
        status = answer["RecordDetail"]["Status"]
        if status == "SUCCEEDED":
            return {o["OutputKey"]: o["OutputValue"] for o in answer.get("RecordOutputs", [])}
        if status in ("FAILED", "IN_PROGRESS_IN_ERROR"):
            errors = [e.get("Description", "") for e in answer["RecordDetail"].get("RecordErrors", [])]
            raise RehearsalError(f"Service Catalog record {record_id} ended as {status}:\n  " + "\n  ".join(errors))
        world.doing(f"record {record_id} {status}")
        return None

    return wait_for(
        look, overdue=f"Service Catalog record {record_id} was not finished", timeout_s=_PROVISION_TIMEOUT_S
    )


def connect_git(world: World) -> str:
    """Finish the handshake of the domain's connection, as a person does once in the console."""
    connections = world.client("codeconnections", Credentials.administrator(DEV))
    (connection,) = connections.list_connections()["Connections"]
    if world.lead is None:
        raise RehearsalError("the lead data scientist, who finishes the handshake, is not signed in")
    world.organization.connect(connection["ConnectionArn"], caller=world.lead)
    status = connections.get_connection(ConnectionArn=connection["ConnectionArn"])["Connection"]["ConnectionStatus"]
    world.organization.make_repository(REPOSITORY)
    if status != "AVAILABLE":
        raise RehearsalError(f"connection {connection['ConnectionName']} is {status} after its handshake")
    return f"{connection['ConnectionName']} {status}, empty repository {REPOSITORY}"


# ---- the data scientist -----------------------------------------------------------------------------------------


def land_data(world: World) -> str:
    """Put the data set where the data platform of the account keeps it."""
    owner = Credentials.administrator(DEV)
    s3 = world.client("s3", owner)
    s3.create_bucket(Bucket=DATA_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    if world.data is None:
        world.data, world.label = world.work / "data" / "subscribers.csv", demo_data.LABEL
        demo_data.write(world.data)
    files = sorted(p for p in world.data.rglob("*") if p.is_file()) if world.data.is_dir() else [world.data]
    prefix = f"{world.data.stem}/"
    for path in files:
        s3.upload_file(str(path), DATA_BUCKET, prefix + path.name)
    world.data_uri = f"s3://{DATA_BUCKET}/{prefix}"
    rows = sum(_rows(p) for p in files if p.suffix == ".csv")
    size_kb = sum(p.stat().st_size for p in files) / 1024
    return f"{world.data_uri}: {f'{rows:,} rows, ' if rows else ''}{size_kb:,.0f} KB, label {world.label}"


def _rows(path: Path) -> int:
    with path.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def create_project(world: World) -> str:
    """Create a SageMaker project in Studio: Service Catalog launches the product and seeds the repository."""
    open_studio(world)
    world.project = launch_project(world, PROJECT_NAME, REPOSITORY)
    world.facts.launched.append(world.project)
    project_id = world.project.parameters["SageMakerProjectId"]
    return f"{world.project.product} {world.project.version}: project {project_id}"


def open_studio(world: World) -> None:
    """Sign the data scientist in and open Studio, whose applications act as the persona's role."""
    if world.domain is None:
        raise RehearsalError("there is no domain to open")
    administrator = Credentials.administrator(DEV)
    signed_in = world.organization.assume(DEV, DATA_SCIENTIST_ROLE, session="dan", caller=administrator)
    domain_id = world.domain.outputs["DomainId"]
    world.data_scientist = world.organization.open_studio(domain_id, "data-scientist", caller=signed_in)


def act_as_data_scientist(world: World) -> Credentials:
    """Return a session of the data scientists' role that the lead opens in Studio: it alone deletes projects."""
    if world.domain is None or world.lead is None:
        raise RehearsalError("there is no domain to open, or nobody to open it")
    domain = world.domain.outputs
    lead = world.organization.open_studio(domain["DomainId"], "lead-data-scientist", caller=world.lead)
    session = world.client("sts", lead).assume_role(
        RoleArn=domain["DataScientistRoleArn"],
        RoleSessionName="lead",
        Tags=[{"Key": "ml-platform-acts-as", "Value": "lead-data-scientist"}],
    )["Credentials"]
    return Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"], DEV)


def launch_project(world: World, name: str, repository: str) -> report.Launched:
    """Create a project of train-s3 as the data scientist and wait for it.

    Raises:
        RehearsalError: The launch failed; the message is what Service Catalog tells the person.
    """
    chosen = {
        "DataUri": world.data_uri,
        "Label": world.label or "",
        "Repository": repository,
        "CostCenter": "ml-1000",
    }
    return launching.launch(world, world.data_scientist, "data scientist", "train-s3", name, chosen)


def inspect_seed(world: World) -> str:
    """Read what was checked in, as the data scientist who clones the repository."""
    bare = str(world.organization.repository(REPOSITORY))
    listed = subprocess.run(
        ["git", "--git-dir", bare, "ls-tree", "-r", "--name-only", "main"], capture_output=True, text=True, check=True
    ).stdout.split()
    subject = subprocess.run(
        ["git", "--git-dir", bare, "log", "--format=%h %s", "main"], capture_output=True, text=True, check=True
    ).stdout.strip()
    world.facts.seed_files = listed
    return f"{len(listed)} files, commit {subject}"


def start_training(world: World) -> str:
    """Wait for the project's CodePipeline: source, then the build that upserts and starts the SageMaker pipeline."""
    if world.project is None:
        raise RehearsalError("there is no project")
    codepipeline = world.client("codepipeline", Credentials.administrator(DEV))
    (pipeline,) = codepipeline.list_pipelines()["pipelines"]

    def look() -> str | None:
        executions = codepipeline.list_pipeline_executions(pipelineName=pipeline["name"])["pipelineExecutionSummaries"]
        finished = next((e for e in executions if e["status"] == "Succeeded"), None)
        if finished:
            return f"CodePipeline {pipeline['name']}: {finished['status']}"
        if executions and all(e["status"] in ("Failed", "Stopped") for e in executions):
            states = codepipeline.get_pipeline_state(name=pipeline["name"])["stageStates"]
            actions = [a for s in states for a in s.get("actionStates", [])]
            causes = [
                f"{a['actionName']}: {a.get('latestExecution', {}).get('errorDetails', {}).get('message')}"
                for a in actions
                if a.get("latestExecution", {}).get("status") == "Failed"
            ]
            raise RehearsalError(f"CodePipeline {pipeline['name']} failed:\n  " + "\n  ".join(causes))
        world.doing("build: install, upsert, start")
        return None

    return wait_for(look, overdue=f"CodePipeline {pipeline['name']} was not finished", timeout_s=_PIPELINE_TIMEOUT_S)


def train(world: World) -> str:
    """Watch the SageMaker pipeline: validate, prepare, train, evaluate, gate, register."""
    sagemaker = world.client("sagemaker", world.data_scientist)
    name = _pipeline_name(world)
    (summary, *_) = sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
    arn = summary["PipelineExecutionArn"]

    def look() -> str | None:
        execution = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, SortOrder="Ascending")
        done = [s["StepName"] for s in steps["PipelineExecutionSteps"] if s["StepStatus"] == "Succeeded"]
        status = execution["PipelineExecutionStatus"]
        if status == "Succeeded":
            definition = json.loads(sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"])
            world.facts.pipeline = report.Pipeline.of(name, definition, steps["PipelineExecutionSteps"])
            return f"{name}: {' → '.join(done)}"
        if status in ("Failed", "Stopped"):
            failed = [
                f"{s['StepName']}: {s.get('FailureReason')}"
                for s in steps["PipelineExecutionSteps"]
                if s["StepStatus"] == "Failed"
            ]
            raise RehearsalError(
                f"pipeline {name} {status}: {execution.get('FailureReason', '')}\n  " + "\n  ".join(failed)
            )
        world.doing(" → ".join(done) or "starting")
        return None

    return wait_for(look, overdue=f"pipeline {name} was not finished", timeout_s=_PIPELINE_TIMEOUT_S)


def _pipeline_name(world: World) -> str:
    if world.project is None:
        raise RehearsalError("there is no project")
    return f"{PROJECT_NAME}-{world.project.parameters['SageMakerProjectId']}"


def inspect_registry(world: World) -> str:
    """Find the registered version in the dev account's registry and read its metrics and curves."""
    sagemaker = world.client("sagemaker", world.data_scientist)
    packages = sagemaker.list_model_packages(
        ModelPackageGroupName=_pipeline_name(world), SortBy="CreationTime", SortOrder="Descending"
    )["ModelPackageSummaryList"]
    if not packages:
        raise RehearsalError(
            f"the group {_pipeline_name(world)} holds no model package although the pipeline succeeded"
        )
    package = sagemaker.describe_model_package(ModelPackageName=packages[0]["ModelPackageArn"])
    statistics = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    bucket, key = statistics.removeprefix("s3://").split("/", 1)
    s3 = world.client("s3", world.data_scientist)
    world.facts.evaluation = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    prefix = key.rsplit("/", 1)[0] + "/"
    for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        if item["Key"].endswith(".png"):
            image = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
            world.facts.curves[item["Key"].rsplit("/", 1)[1]] = image
    world.facts.model_package = {k: v for k, v in package.items() if k != "ResponseMetadata"}
    gate = world.facts.evaluation["gate"]
    return (
        f"version {package['ModelPackageVersion']} {package['ModelApprovalStatus']}, "
        f"{gate['metric']} {gate['value']:.3f} (prior {gate['baseline']:.3f})"
    )


def try_to_approve(world: World) -> str:
    """Show that who registers cannot approve: the data scientist asks, and IAM refuses."""
    sagemaker = world.client("sagemaker", world.data_scientist)
    try:
        sagemaker.update_model_package(
            ModelPackageArn=world.facts.model_package["ModelPackageArn"], ModelApprovalStatus="Approved"
        )
    except ClientError as err:
        code = err.response["Error"]["Code"]
        if "AccessDenied" in code:
            return f"UpdateModelPackage as data scientist: {code}"
        raise
    raise RehearsalError(
        "the data scientist could approve the model that the project registered: the persona's policy is too wide"
    )


STEPS: Final = (
    Step(
        "Start the organisation",
        "all",
        start_organization,
        "The accounts, their network and the lead's Identity Center role are made by the rehearsal, not by AWS.",
    ),
    Step("Synthesise the hub", "hub", synthesise, "The pipeline's own CodeBuild runs are left out; app.py runs here."),
    Step(
        "Publish the releases",
        "hub",
        publish_releases,
        "The pipeline's builds run here, each as its own role.",
    ),
    Step("Roll out the baselines", "all", roll_out_baselines, "The StackSets are applied at once, in one process."),
    Step("Publish and share the portfolios", "hub", publish_portfolios),
    Step("Launch the domain", "dev", launch_domain, "The domain is a record: no Studio application starts."),
    Step("Connect the Git provider", "dev", connect_git, "The provider is a folder of bare Git repositories."),
    Step("Land the data", "dev", land_data),
    Step("Create the project", "dev", create_project, "Builds run with bash on this machine instead of in containers."),
    Step("Look at the seeded repository", "dev", inspect_seed),
    Step(
        "Build: upsert and start", "dev", start_training, "Actions of CodePipeline are performed one after the other."
    ),
    Step(
        "Train, evaluate, gate, register",
        "dev",
        train,
        "Jobs run as processes here; XGBoost, data and metrics are real.",
    ),
    Step("Look at the registered model", "dev", inspect_registry),
    Step("Approve as data scientist: refused", "dev", try_to_approve),
    Step("Approve as lead data scientist", "dev", promotion_steps.approve_as_lead),
    Step(
        "Promote to the hub's registry",
        "hub",
        promotion_steps.promote_to_hub,
        "EventBridge does not try again; model cards and the registry are records.",
    ),
    Step(
        "Create the deployment project",
        "hub",
        deployment_steps.create_project,
        "The Git connection's handshake is done as in the console; its provider is a folder of bare repositories.",
    ),
    Step("Approve as ML engineer", "hub", deployment_steps.approve_as_ml_engineer),
    Step(
        "Deploy to test and try the endpoint",
        "test",
        deployment_steps.deploy_to_test,
        "The endpoint is a process on this machine that serves the model archive.",
    ),
    Step("Approve production as ML engineer: no", "hub", deployment_steps.try_to_approve),
    Step(
        "Approve production as officer",
        "hub",
        deployment_steps.approve_as_governance_officer,
        "Mails are not sent; the question is what the topic of the project got.",
    ),
    Step(
        "Deploy to production",
        "prod",
        production_steps.deploy_to_production,
        "Instances are processes here, time of traffic shifts is shortened, and alarms do not ring by themselves.",
    ),
    Step("Ask the production endpoint", "prod", production_steps.predict, "Data capture writes at once."),
    Step(
        "Send drifted records", "prod", production_steps.send_drifted_records, "Numbers shifted, categories unheard of."
    ),
    Step(
        "Watch: drift is told to the hub",
        "hub",
        production_steps.detect_drift,
        "The monitor is started by hand, as its schedule would; its job is a process here.",
    ),
)


FAULTS: Final = Step(
    "Compare the registry after the faults",
    "hub",
    fault_steps.compare_registry,
    "What a message would have waited is left out; the clock of the functions is put forward by it.",
)


def rehearse(
    work: Path,
    *,
    data: Path | None,
    label: str | None,
    faults: bool = False,
    interactive: bool = False,
    terminal: Terminal,
) -> int:
    """Run every step, write the report, stop what was started.

    Args:
        work: Folder to write to; what an earlier rehearsal left there is replaced.
        data: CSV or Parquet file, or a folder of them; None generates the demo data.
        label: Column to predict; needed with `data`.
        faults: Disturb the promotion on purpose and compare the registry at the end. Default: False.
        interactive: Ask the person at the terminal what the governance officer decides. Default: the officer approves.
        terminal: Where progress is shown.

    Returns:
        0 when every step succeeded, 1 otherwise.
    """
    _replace(work)
    world = World(work, Organization(work / "cloud", faults=faults), data, label)
    world.ask = terminal.ask if interactive else None
    steps = (*STEPS, FAULTS) if faults else STEPS
    start = time.monotonic()
    ok = True
    try:
        for number, step in enumerate(steps, 1):
            ok = _run(step, number, len(steps), world, terminal)
            if not ok or world.over:
                break
    finally:
        world.close()
    seconds = time.monotonic() - start
    page = report.write(work, world.facts, ok=ok, seconds=seconds)
    outcome = "The rehearsal succeeded" if ok else "The rehearsal stopped"
    terminal.say(f"{outcome} after {seconds:.1f} s. Report: {_relative(page)}")
    if not ok:
        terminal.say(f"Everything is left for inspection in {_relative(work)} (cloud/ has the logs of the emulator).")
    return 0 if ok else 1


def _replace(work: Path) -> None:
    """Make `work` an empty folder, whatever an earlier rehearsal left there.

    The old one is moved away first: a process of a rehearsal that was just killed cannot write into the new one.
    """
    work.parent.mkdir(parents=True, exist_ok=True)
    aside = work.with_name(f".{work.name}-{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        work.rename(aside)
    for old in work.parent.glob(f".{work.name}-*"):
        shutil.rmtree(old, ignore_errors=True)
    work.mkdir()


def _run(step: Step, number: int, of: int, world: World, terminal: Terminal) -> bool:
    begin = time.monotonic()
    line = Line(number, of, step.account, step.title)
    detail, ok = "", True
    try:
        with terminal.running(line) as doing:
            world.doing = doing
            detail = step.run(world)
    except (RehearsalError, ClientError) as err:
        ok, detail = False, str(err)
    except Exception:  # a fault of ours: the trace is the cause
        ok, detail = False, traceback.format_exc()
    seconds = time.monotonic() - begin
    terminal.finished(line, seconds, detail, ok=ok)
    world.facts.steps.append(report.StepResult(step.title, step.account, seconds, detail, step.emulated, ok))
    return ok


def _relative(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
