"""Processing and training jobs of pipelines: permissions are checked here, the runner does their work.

A pipeline's role creates the jobs of its steps, so it needs permission for each (tags included) and for passing the
job's role: https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-access.html. The job's role attaches it to
a network: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html (CreateTrainingJob, private VPC).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import assume_as_service, authorize_pass_role
from aws_emulator.sagemaker.store import PRINCIPAL, SERVICE, authorize_tags, table

if TYPE_CHECKING:
    from aws_emulator.records import Table

_TAKEN: Final = "Job name must be unique within an AWS account and region: {arn} exists."
_MISSING: Final = "Could not find requested job with name: {key}"


def job_table(kind: str) -> Table:
    """Return the table of a kind of job."""
    return table(noun=f"{kind}Job", missing=_MISSING, taken=_TAKEN, taken_code="ResourceInUse")


_TABLES: Final = {kind: job_table(kind).answers("Describe", "List") for kind in ("Processing", "Training")}


def _create(kind: str, request: Json) -> Json:
    """Keep the record of a job, for a caller who can pass its role; only the runner of a pipeline gives it work.

    Raises:
        ServiceError: Passing the role or tagging is not allowed, the role cannot join the network, the name is taken.
    """
    jobs = _TABLES[kind]
    authorize_pass_role(request["RoleArn"], PRINCIPAL)
    authorize_tags(f"Create{kind}Job", jobs.arn(request[f"{kind}JobName"]), request.get("Tags"))
    network = request.get("VpcConfig") or request.get("NetworkConfig", {}).get("VpcConfig")
    if network:
        _join(request["RoleArn"], network)
    status = {f"{kind}JobStatus": "InProgress", **({"SecondaryStatus": "Training"} if kind == "Training" else {})}
    return jobs.add(request, **status, **{f"{kind}StartTime": clock.now()})


def _stop(kind: str, request: Json) -> Json:
    """Stop a job; one that has ended stays as it is."""
    job = _TABLES[kind].find(request)
    if job[f"{kind}JobStatus"] == "InProgress":
        job |= {f"{kind}JobStatus": "Stopped", f"{kind}EndTime": clock.now(), "LastModifiedTime": clock.now()}
    return {}


for _kind in _TABLES:
    overlay(SERVICE, f"Create{_kind}Job")(functools.partial(_create, _kind))
    overlay(SERVICE, f"Stop{_kind}Job")(functools.partial(_stop, _kind))


_LOOK_AT_NETWORK: Final = tuple(
    f"ec2:Describe{what}" for what in ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
)
_INTERFACE: Final = tuple(
    f"ec2:{verb}NetworkInterface{what}" for what in ("", "Permission") for verb in ("Create", "Delete")
)


def _join(role_arn: str, network: Json) -> None:
    """Check that a network exists and that a job's role is allowed to attach the job to it.

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
    refused = [f"{action} on {arn}" for action, arn, keys in needed if not iam.is_allowed(role, action, arn, keys)]
    if refused:
        raise ServiceError("ValidationException", f"{role_arn} is not authorized to perform: {', '.join(refused)}")


def end(prefix: str, status: str, reason: str | None) -> None:
    """Record that the job whose name begins so has ended.

    Args:
        prefix: Begin of the job's name, which SageMaker Pipelines makes of the execution and the step.
        status: Status of the step: ``Succeeded``, ``Failed`` or ``Stopped``.
        reason: Why it failed.
    """
    ended = "Completed" if status == "Succeeded" else status
    for kind, jobs in _TABLES.items():
        for name, job in jobs.records.items():
            if name.startswith(prefix) and job[f"{kind}JobStatus"] == "InProgress":
                job |= {f"{kind}JobStatus": ended, f"{kind}EndTime": clock.now(), "LastModifiedTime": clock.now()}
                job |= {"FailureReason": reason and reason[:1024]}
                if kind == "Training":
                    job["SecondaryStatus"] = ended
