"""StackSets with service-managed permissions: one stack per account of the targeted organisational units.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-stackset.html
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from botocore.exceptions import ClientError
from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation import helpers

from aws_emulator import core, inside
from aws_emulator.clock import clock
from aws_emulator.cloudformation.resources import resource_type
from aws_emulator.cloudformation.stacks import read_template, stack_failure, stage_template
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam import permissions as iam

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_emulator.core import Reply

STACK_TIMEOUT_S: Final = 300
_POLL_S: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A stack of the stack set in one account and region."""

    account: str
    region: str


@dataclass(kw_only=True)
class StackSet:
    """A stack set of an account in a region, its instances (stack names by where they are) and why some failed."""

    name: str
    account: str
    region: str
    stacks: dict[Instance, str] = field(default_factory=dict)
    failed: dict[Instance, str] = field(default_factory=dict)


_stack_sets: Final[dict[str, StackSet]] = {}
_execution_roles: Final = clock.lock()


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


def _execution_role(account: str) -> core.Credentials:
    """Return a session of the role with which StackSets works in a target account; the first stack set makes the role.

    Its name begins with ``stacksets-exec-``, and it is allowed everything there: https://docs.aws.amazon.com/
    AWSCloudFormation/latest/UserGuide/stacksets-orgs-activate-trusted-access.html
    """
    name = f"stacksets-exec-{hashlib.sha256(account.encode()).hexdigest()[:32]}"
    with _execution_roles:
        iam = core.client("iam")
        try:
            iam.get_role(RoleName=name)
        except iam.exceptions.NoSuchEntityException:
            trusted = f"arn:aws:iam::{core.organization().management_account}:root"
            trust = {"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": "sts:AssumeRole"}
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
            iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    return core.role_session(f"arn:aws:iam::{account}:role/{name}", "StackSets")


def _deploy(stack_set: StackSet, instance: Instance, template: str, properties: Json) -> str | None:
    """Create or update one instance and return why it failed, or None."""
    with core.as_account(instance.account, instance.region):
        client = core.client("cloudformation", credentials=_execution_role(instance.account))
        _forget_failed_creation(client, stack_set, instance)
        stack = stack_set.stacks.get(instance) or f"StackSet-{stack_set.name}-{clock.uuid()}"
        operation = client.update_stack if instance in stack_set.stacks else client.create_stack
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
        return _settle(client, stack, {"CREATE_COMPLETE", "UPDATE_COMPLETE"})


def _forget_failed_creation(client: core.AwsClient, stack_set: StackSet, instance: Instance) -> None:
    """Delete an instance whose creation was rolled back, so that the next operation makes it anew."""
    stack = stack_set.stacks.get(instance)
    if stack and client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE":
        client.delete_stack(StackName=stack)
        _settle(client, stack, {"DELETE_COMPLETE"})
        del stack_set.stacks[instance]


def _settle(cloudformation: core.AwsClient, stack: str, good: set[str]) -> str | None:
    deadline = clock.monotonic() + STACK_TIMEOUT_S
    while clock.monotonic() < deadline:
        try:
            status = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        except ClientError:  # a deleted stack is found by its id only
            status = "DELETE_COMPLETE"
        if status in good:
            return None
        if not status.endswith("IN_PROGRESS"):
            events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
            return f"{status}: {stack_failure(events)}"
        clock.sleep(_POLL_S)
    return f"still in progress after {STACK_TIMEOUT_S} s"


def _delete_instance(stack_set: StackSet, instance: Instance) -> str | None:
    with core.as_account(instance.account, instance.region):
        client = core.client("cloudformation", credentials=_execution_role(instance.account))
        stack = stack_set.stacks.pop(instance)
        client.delete_stack(StackName=stack)
        return _settle(client, stack, {"DELETE_COMPLETE"})


def _tolerated(properties: Json, accounts: int) -> int:
    """Return how many accounts are allowed to fail: a number, or a percentage that is rounded down; none by default.

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackSetOperationPreferences.html
    """
    preferences = properties.get("OperationPreferences", {})
    if "FailureToleranceCount" in preferences:
        return int(preferences["FailureToleranceCount"])
    return accounts * int(preferences.get("FailureTolerancePercentage", 0)) // 100


def _everywhere(stack_set: StackSet, work: Mapping[Instance, Callable[[], str | None]], *, tolerated: int = 0) -> None:
    """Do something to several instances at once, and fail when more of them failed in a region than tolerated."""
    results = dict(zip(work, clock.all_at_once(list(work.values())), strict=True))
    stack_set.failed = {instance: reason for instance, reason in results.items() if reason}
    regions = Counter(instance.region for instance in stack_set.failed)
    if any(failed > tolerated for failed in regions.values()):
        reasons = "; ".join(f"{at.account}/{at.region}: {reason}" for at, reason in stack_set.failed.items())
        raise ServiceError("StackSetOperationFailed", f"stack set {stack_set.name} failed in {reasons}")


def _roll_out(stack_set: StackSet, properties: Json) -> None:
    """Bring the instances in line with the properties: remove former targets, create or update the present ones."""
    template = properties.get("TemplateBody") or read_template(properties["TemplateURL"])
    targets = _targets(properties)
    gone = [instance for instance in stack_set.stacks if instance not in targets]
    _everywhere(stack_set, {instance: partial(_delete_instance, stack_set, instance) for instance in gone})
    _everywhere(
        stack_set,
        {instance: partial(_deploy, stack_set, instance, template, properties) for instance in targets},
        tolerated=_tolerated(properties, len({instance.account for instance in targets})),
    )


def _create(properties: Json, logical_id: str, stack_name: str) -> Json:
    _check(properties)
    stack_set = StackSet(name=properties["StackSetName"], account=get_account_id(), region=get_region())
    stack_set_id = f"{stack_set.name}:{clock.uuid()}"
    _stack_sets[stack_set_id] = stack_set
    try:
        _roll_out(stack_set, properties)
    except ServiceError:
        _delete(stack_set_id, properties)  # otherwise its instances would stay, since the resource was not created
        raise
    return {"StackSetId": stack_set_id}


def _update(stack_set_id: str, old: Json, new: Json) -> Json:
    _check(new)
    _roll_out(_stack_sets[stack_set_id], new)
    return {"StackSetId": stack_set_id}


def _delete(stack_set_id: str, properties: Json) -> None:
    stack_set = _stack_sets.pop(stack_set_id)
    _everywhere(
        stack_set, {instance: partial(_delete_instance, stack_set, instance) for instance in [*stack_set.stacks]}
    )


def _list_instances(parameters: Json) -> Reply:
    """Answer ListStackInstances of a delegated administrator.

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStackInstances.html
    """
    name, region = inside.helpers.p(parameters, "StackSetName"), inside.helpers.p(parameters, "StackInstanceRegion")
    here = (get_account_id(), get_region())
    found = next((s for s in _stack_sets.values() if s.name == name and (s.account, s.region) == here), None)
    if inside.helpers.p(parameters, "CallAs") != "DELEGATED_ADMIN" or found is None:
        refused: Reply = inside.helpers.error("StackSetNotFoundException", f"StackSet {name} not found", 404)
        return refused
    members = "".join(
        _summary(instance, found.failed.get(instance)) for instance in found.stacks if region in {"", instance.region}
    )
    inner = f"<ListStackInstancesResult><Summaries>{members}</Summaries></ListStackInstancesResult>"
    answer: Reply = inside.helpers.xml(200, "ListStackInstancesResponse", inner)
    return answer


def _summary(instance: Instance, failed: str | None) -> str:
    status, detailed = ("OUTDATED", "FAILED") if failed else ("CURRENT", "SUCCEEDED")
    return (
        f"<member><Account>{instance.account}</Account><Region>{instance.region}</Region><Status>{status}</Status>"
        f"<StackInstanceStatus><DetailedStatus>{detailed}</DetailedStatus></StackInstanceStatus>"
        f"<StatusReason>{escape(failed or '')}</StatusReason></member>"
    )


def _arn(_path: str, _body: bytes, query: Mapping[str, Any]) -> str | None:
    """Return the ARN on which a request about a stack set is decided: they all are in the management account.

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStackSet.html (CallAs)
    """
    name = (query.get("StackSetName") or [None])[0]
    account = core.organization().management_account
    return f"arn:aws:cloudformation:{get_region()}:{account}:stackset/{name}:{'0' * 36}" if name else None


inside.cloudformation.ACTION_HANDLERS["ListStackInstances"] = _list_instances
iam.RESOURCES_BY_PATH["cloudformation"] = _arn
resource_type("AWS::CloudFormation::StackSet", create=_create, update=_update, delete=_delete)
