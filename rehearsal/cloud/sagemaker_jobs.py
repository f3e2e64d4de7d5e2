"""Processing and training jobs of pipelines: who may create them is checked here, their work is done by the runner.

A pipeline's role creates the jobs of its steps, so it needs permission for each (tags included) and for passing the
job's role: https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-access.html. The job's role attaches it to
a network: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html (CreateTrainingJob, private VPC).
"""

from __future__ import annotations

from typing import Final

from botocore.exceptions import ClientError

from rehearsal.cloud import core, iam
from rehearsal.cloud.callers import assume_as_service, authorize_pass_role
from rehearsal.cloud.clock import clock
from rehearsal.cloud.core import Json, Records, ServiceError, overlay
from rehearsal.cloud.sagemaker_store import SERVICE, authorize_tags, page, set_tags, sort

PRINCIPAL: Final = "sagemaker.amazonaws.com"
_KINDS: Final = {"Processing": "processing-job", "Training": "training-job"}

_jobs: Final = Records()


def _create(kind: str, request: Json) -> Json:
    """Keep the record of a job, for a caller who may pass its role.

    Raises:
        ServiceError: The role may not be passed or cannot join the network, tags may not be set, or the name is taken.
    """
    authorize_pass_role(request["RoleArn"], PRINCIPAL)
    name = request[f"{kind}JobName"]
    arn = core.arn(SERVICE, f"{_KINDS[kind]}/{name}")
    authorize_tags(f"Create{kind}Job", arn, request.get("Tags"))
    network = request.get("VpcConfig") or request.get("NetworkConfig", {}).get("VpcConfig")
    if network:
        _join(request["RoleArn"], network)
    if arn in _jobs:
        raise ServiceError("ResourceInUse", f"Job name must be unique within an AWS account and region: {arn} exists.")
    _jobs[arn] = {
        **{key: value for key, value in request.items() if key != "Tags"},
        f"{kind}JobArn": arn,
        f"{kind}JobStatus": "InProgress",
        **({"SecondaryStatus": "Training"} if kind == "Training" else {}),
        "CreationTime": clock.now(),
        f"{kind}StartTime": clock.now(),
        "LastModifiedTime": clock.now(),
    }
    set_tags(arn, request.get("Tags"))
    return {f"{kind}JobArn": arn}


_LOOK_AT_NETWORK: Final = tuple(
    f"ec2:Describe{what}" for what in ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
)
_INTERFACE: Final = tuple(
    f"ec2:{verb}NetworkInterface{what}" for what in ("", "Permission") for verb in ("Create", "Delete")
)


def _join(role_arn: str, network: Json) -> None:
    """Check that a network exists and that a job's role may attach the job to it.

    The keys are those that the Service Authorization Reference lists for the resources of CreateNetworkInterface.
    """
    ec2 = core.client("ec2")
    try:
        subnets = ec2.describe_subnets(SubnetIds=network["Subnets"])["Subnets"]
        groups = ec2.describe_security_groups(GroupIds=network["SecurityGroupIds"])["SecurityGroups"]
    except ClientError as error:
        raise ServiceError("ValidationException", error.response["Error"]["Message"]) from error
    role = assume_as_service(role_arn, PRINCIPAL, "SageMaker")
    needed: list[tuple[str, str, Json]] = [(action, "*", {}) for action in _LOOK_AT_NETWORK]
    for subnet in subnets:
        arn, vpc = core.arn("ec2", f"subnet/{subnet['SubnetId']}"), core.arn("ec2", f"vpc/{subnet['VpcId']}")
        needed.append(("ec2:CreateNetworkInterface", arn, {"ec2:SubnetID": subnet["SubnetId"], "ec2:Vpc": vpc}))
        interface = core.arn("ec2", "network-interface/eni-0")
        needed += [(action, interface, {"ec2:Subnet": arn, "ec2:Vpc": vpc}) for action in _INTERFACE]
    for group in groups:
        arn, vpc = core.arn("ec2", f"security-group/{group['GroupId']}"), core.arn("ec2", f"vpc/{group['VpcId']}")
        needed.append(("ec2:CreateNetworkInterface", arn, {"ec2:SecurityGroupID": group["GroupId"], "ec2:Vpc": vpc}))
    refused = [f"{action} on {arn}" for action, arn, keys in needed if not iam.may(role, action, arn, keys)]
    if refused:
        raise ServiceError("ValidationException", f"{role_arn} is not authorized to perform: {', '.join(refused)}")


def _stop(kind: str, request: Json) -> Json:
    """Stop a job; one that has ended stays as it is."""
    job = _describe(kind, request)
    if job[f"{kind}JobStatus"] == "InProgress":
        job |= {f"{kind}JobStatus": "Stopped", f"{kind}EndTime": clock.now(), "LastModifiedTime": clock.now()}
    return {}


def _describe(kind: str, request: Json) -> Json:
    name = request[f"{kind}JobName"]
    found: Json | None = _jobs.get(core.arn(SERVICE, f"{_KINDS[kind]}/{name}"))
    if found is None:
        raise ServiceError("ValidationException", f"Could not find requested job with name: {name}")
    return found


def _list(kind: str, request: Json) -> Json:
    keys = ("Name", "Arn", "Status")
    found: list[Json] = [
        {f"{kind}Job{key}": job[f"{kind}Job{key}"] for key in keys}
        | {key: job[key] for key in ("CreationTime", "LastModifiedTime")}
        | ({f"{kind}EndTime": job[f"{kind}EndTime"]} if f"{kind}EndTime" in job else {})
        for job in _jobs.values()
        if f"{kind}JobName" in job
        and request.get("NameContains", "") in job[f"{kind}JobName"]
        and request.get("StatusEquals") in {None, job[f"{kind}JobStatus"]}
    ]
    fields = {"CreationTime": "CreationTime", "Name": f"{kind}JobName", "Status": f"{kind}JobStatus"}
    return page(request, f"{kind}JobSummaries", sort(request, found, fields, order="Descending"))


@overlay(SERVICE, "CreateProcessingJob")
def create_processing_job(request: Json) -> Json:
    """Create a processing job; only the runner of a pipeline gives it something to do."""
    return _create("Processing", request)


@overlay(SERVICE, "DescribeProcessingJob")
def describe_processing_job(request: Json) -> Json:
    """Describe a processing job."""
    return _describe("Processing", request)


@overlay(SERVICE, "StopProcessingJob")
def stop_processing_job(request: Json) -> Json:
    """Stop a processing job."""
    return _stop("Processing", request)


@overlay(SERVICE, "ListProcessingJobs")
def list_processing_jobs(request: Json) -> Json:
    """List the processing jobs of the account, newest first unless the request says otherwise."""
    return _list("Processing", request)


@overlay(SERVICE, "CreateTrainingJob")
def create_training_job(request: Json) -> Json:
    """Create a training job; only the runner of a pipeline gives it something to do."""
    return _create("Training", request)


@overlay(SERVICE, "DescribeTrainingJob")
def describe_training_job(request: Json) -> Json:
    """Describe a training job."""
    return _describe("Training", request)


@overlay(SERVICE, "StopTrainingJob")
def stop_training_job(request: Json) -> Json:
    """Stop a training job."""
    return _stop("Training", request)


@overlay(SERVICE, "ListTrainingJobs")
def list_training_jobs(request: Json) -> Json:
    """List the training jobs of the account, newest first unless the request says otherwise."""
    return _list("Training", request)


def end(prefix: str, status: str, reason: str | None) -> None:
    """Note that the job whose name begins so has ended.

    Args:
        prefix: Begin of the job's name, which SageMaker Pipelines makes of the execution and the step.
        status: Status of the step: ``Succeeded``, ``Failed`` or ``Stopped``.
        reason: Why it failed.
    """
    for job in _jobs.values():
        kind = "Processing" if "ProcessingJobName" in job else "Training"
        if not job[f"{kind}JobName"].startswith(prefix) or job[f"{kind}JobStatus"] != "InProgress":
            continue
        ended = "Completed" if status == "Succeeded" else status
        job |= {f"{kind}JobStatus": ended, f"{kind}EndTime": clock.now(), "LastModifiedTime": clock.now()}
        if kind == "Training":
            job["SecondaryStatus"] = ended
        if reason:
            job["FailureReason"] = reason[:1024]


def install() -> None:
    """Nothing to patch: the operations above are registered when this module is imported."""
