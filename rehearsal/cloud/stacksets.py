"""StackSets with service-managed permissions: one stack per account of the targeted organisational units.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-stackset.html
"""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from ministack.core.responses import get_account_id
from ministack.services.cloudformation import helpers

from rehearsal.cloud import core
from rehearsal.cloud.cloudformation import stack_failure, stage_template
from rehearsal.cloud.core import Json, ServiceError
from rehearsal.cloud.resources import Created, resource_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STACK_TIMEOUT_S: Final = 300
_POLL_S: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A stack of the stack set in one account and region."""

    account: str
    region: str


@dataclass(kw_only=True)
class StackSet:
    """A stack set and its instances: stack names by where they are."""

    name: str
    stacks: dict[Instance, str] = field(default_factory=dict)


_stack_sets: Final[dict[str, StackSet]] = {}


def _check(properties: Json) -> None:
    """Refuse what AWS refuses, and what is not emulated."""
    organization, account = core.organization(), get_account_id()
    if properties.get("PermissionModel") != "SERVICE_MANAGED":
        raise ServiceError("ValidationError", "only stack sets with PermissionModel SERVICE_MANAGED are emulated")
    delegated = properties.get("CallAs", "SELF") == "DELEGATED_ADMIN"
    if delegated and account not in organization.delegated_administrators:
        raise ServiceError("ValidationError", "Account used is not a delegated administrator")
    if not delegated and account != organization.management_account:
        raise ServiceError("ValidationError", "You must be the management account or delegated admin account of an org")
    template = properties.get("TemplateBody", "")
    if len(template.encode()) > helpers.TEMPLATE_BODY_MAX_BYTES:
        raise ServiceError("ValidationError", f"templateBody has more than {helpers.TEMPLATE_BODY_MAX_BYTES} bytes")


def _targets(properties: Json) -> list[Instance]:
    """Return where instances belong. The management account is never a target of a service-managed stack set."""
    organization = core.organization()
    found: dict[Instance, None] = {}
    for group in properties.get("StackInstancesGroup", []):
        targets = group["DeploymentTargets"]
        below = [account for ou in targets.get("OrganizationalUnitIds", []) for account in organization.accounts_in(ou)]
        listed = targets.get("Accounts", [])
        match targets.get("AccountFilterType", "NONE"):
            case "INTERSECTION":
                below = [account for account in below if account in listed]
            case "DIFFERENCE":
                below = [account for account in below if account not in listed]
            case "UNION":
                below = [*below, *listed]
        for account in below:
            if account != organization.management_account:
                found |= {Instance(account=account, region=region): None for region in group["Regions"]}
    return list(found)


def _template(properties: Json) -> str:
    """Return the template, read with the permissions of the administrator's account when it is in S3."""
    url = properties.get("TemplateURL")
    if not url:
        return str(properties["TemplateBody"])
    parts = urlsplit(url)
    host, path = parts.hostname or "", parts.path.lstrip("/")
    path_style = host.startswith(("s3.", "s3-", "127.", "localhost"))
    bucket, key = path.split("/", 1) if path_style else (host.split(".")[0], path)
    try:
        return str(core.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())
    except ClientError as error:
        raise ServiceError("ValidationError", f"S3 error: {url}: {error}") from error


def _deploy(stack_set: StackSet, instance: Instance, template: str, properties: Json) -> str | None:
    """Create or update one instance and return why it failed, or None."""
    with core.as_account(instance.account, instance.region):
        cloudformation = core.client("cloudformation")
        stack = stack_set.stacks.get(instance) or f"StackSet-{stack_set.name}-{uuid.uuid4()}"
        operation = cloudformation.update_stack if instance in stack_set.stacks else cloudformation.create_stack
        stack_set.stacks[instance] = stack
        request: dict[str, Any] = {
            "StackName": stack,
            "TemplateURL": stage_template(template),
            "Parameters": [
                {key: str(parameter[key]) for key in ("ParameterKey", "ParameterValue")}
                for parameter in properties.get("Parameters", [])
            ],
            "Capabilities": properties.get("Capabilities", []),
            "Tags": properties.get("Tags", []),
        }
        try:
            operation(**request)
        except ClientError as error:
            if "No updates are to be performed" in str(error):
                return None
            return str(error)
        return _settle(cloudformation, stack, {"CREATE_COMPLETE", "UPDATE_COMPLETE"})


def _settle(cloudformation: core.AwsClient, stack: str, good: set[str]) -> str | None:
    deadline = time.monotonic() + STACK_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            status = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        except ClientError:  # a deleted stack is found by its id only
            status = "DELETE_COMPLETE"
        if status in good:
            return None
        if not status.endswith("IN_PROGRESS"):
            events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
            return f"{status}: {stack_failure(events)}"
        time.sleep(_POLL_S)
    return f"still in progress after {STACK_TIMEOUT_S} s"


def _delete_instance(stack_set: StackSet, instance: Instance) -> str | None:
    with core.as_account(instance.account, instance.region):
        cloudformation = core.client("cloudformation")
        stack = stack_set.stacks.pop(instance)
        cloudformation.delete_stack(StackName=stack)
        return _settle(cloudformation, stack, {"DELETE_COMPLETE"})


def _everywhere(name: str, work: Mapping[Instance, Callable[[], str | None]]) -> None:
    """Do something to several instances at once; no failure is tolerated (FailureToleranceCount is 0 by default)."""
    with ThreadPoolExecutor() as pool:
        results = dict(zip(work, pool.map(lambda function: function(), work.values()), strict=True))
    failed = {instance: reason for instance, reason in results.items() if reason}
    if failed:
        reasons = "; ".join(f"{instance.account}/{instance.region}: {reason}" for instance, reason in failed.items())
        raise ServiceError("StackSetOperationFailed", f"stack set {name} failed in {reasons}")


def _roll_out(stack_set: StackSet, properties: Json) -> None:
    """Bring the instances in line with the properties: remove former targets, create or update the present ones."""
    template, targets = _template(properties), _targets(properties)
    gone = [instance for instance in stack_set.stacks if instance not in targets]
    _everywhere(stack_set.name, {instance: partial(_delete_instance, stack_set, instance) for instance in gone})
    _everywhere(
        stack_set.name,
        {instance: partial(_deploy, stack_set, instance, template, properties) for instance in targets},
    )


def _create(properties: Json, logical_id: str, stack_name: str) -> Created:
    _check(properties)
    stack_set = StackSet(name=properties["StackSetName"])
    stack_set_id = f"{stack_set.name}:{uuid.uuid4()}"
    _stack_sets[stack_set_id] = stack_set
    try:
        _roll_out(stack_set, properties)
    except ServiceError:
        _delete(stack_set_id, properties)  # nobody would clean up after a resource that was not created
        raise
    return stack_set_id, {"StackSetId": stack_set_id}


def _update(stack_set_id: str, old: Json, new: Json) -> Json:
    _check(new)
    _roll_out(_stack_sets[stack_set_id], new)
    return {"StackSetId": stack_set_id}


def _delete(stack_set_id: str, properties: Json) -> None:
    stack_set = _stack_sets.pop(stack_set_id)
    _everywhere(
        stack_set.name, {instance: partial(_delete_instance, stack_set, instance) for instance in [*stack_set.stacks]}
    )


def install() -> None:
    """Register the resource type."""
    resource_type(
        "AWS::CloudFormation::StackSet",
        create=_create,
        update=_update,
        delete=_delete,
        create_only=("PermissionModel", "StackSetName"),
    )
