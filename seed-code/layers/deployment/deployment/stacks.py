"""CloudFormation stacks: created and updated through change sets, watched until they are done, failures explained."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from deployment import copying
from deployment.errors import DeploymentError
from deployment.targets import Target

INLINE_MAX = 51_200
"""Longest template, in bytes, that a request may hold (CloudFormation quotas); longer ones come from S3, up to 1 MB."""

_POLL_S = 5.0
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_CANCELLED = "cancelled"
_UNUSABLE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
_TRIES = 12
"""Times that a role which CloudFormation cannot assume yet is tried: IAM needs a while to make a new role known."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The wanted state of a stack.

    Attributes:
        name: Its name.
        template: Its template, as JSON.
        parameters: Values of its parameters.
        tags: Tags of the stack and of everything in it.
        role_arn: Role with which CloudFormation works; None: the permissions of the session.
        bucket: Bucket for a template that is too long for a request; None where there is none yet.
        key_arn: Key of that bucket.
    """

    name: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    role_arn: str | None = None
    bucket: str | None = None
    key_arn: str = ""


def apply(target: Target, stack: Stack, *, pause: Callable[[float], None] = time.sleep) -> dict[str, str]:
    """Create or update a stack, wait until it is done, and return its outputs.

    Args:
        target: Where.
        stack: What.
        pause: Waits for some seconds.

    Raises:
        DeploymentError: It failed; the text says why, and what CloudFormation has done about it.
    """
    client = target.client("cloudformation")
    present = _settled(client, stack.name, pause)
    if present is not None and present["StackStatus"] in _UNUSABLE:
        print(f"{stack.name}: {present['StackStatus']}; deleting what the failed creation left")
        client.delete_stack(StackName=present["StackId"], **({"RoleARN": stack.role_arn} if stack.role_arn else {}))
        left, _ = _watch(client, present["StackId"], None, pause)
        if left["StackStatus"] != "DELETE_COMPLETE":
            raise DeploymentError(
                f"Stack {stack.name} could not be deleted after its creation had failed: it is {left['StackStatus']} "
                f"({left.get('StackStatusReason', 'no reason given')}). Delete it in account {target.account}, region "
                f"{target.region}, and start the pipeline again."
            )
        present = None
    if present is not None and present["StackStatus"] == "UPDATE_ROLLBACK_FAILED":
        raise DeploymentError(
            f"Stack {stack.name} is UPDATE_ROLLBACK_FAILED: an earlier update failed and CloudFormation could not "
            f"restore what was there ({present.get('StackStatusReason', 'no reason given')}). Until that is fixed it "
            f"takes no changes. Fix what its events name, then choose 'Continue update rollback' in account "
            f"{target.account}, region {target.region}."
        )
    is_new = present is None or present["StackStatus"] == "REVIEW_IN_PROGRESS"
    change_set = _change_set(client, target, stack, is_new=is_new, pause=pause)
    if change_set is None:
        print(f"{stack.name}: nothing to change")
        return _outputs(_describe(client, stack.name))
    token = f"deployment-{uuid.uuid4()}"
    client.execute_change_set(ChangeSetName=change_set["ChangeSetId"], StackName=stack.name, ClientRequestToken=token)
    stack_id = change_set["StackId"]
    final, events = _watch(client, stack_id, token, pause)
    if final["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeploymentError(_explain(stack.name, target, final, events))
    return _outputs(final)


def outputs(target: Target, name: str) -> dict[str, str]:
    """Return the outputs of a stack.

    Raises:
        DeploymentError: There is no such stack.
    """
    present = _find(target.client("cloudformation"), name)
    if present is None:
        raise DeploymentError(
            f"Stack {name} does not exist in account {target.account}, region {target.region}: nothing has been "
            f"deployed there. Run the step `deploy` first."
        )
    return _outputs(present)


def _change_set(
    client: Any, target: Target, stack: Stack, *, is_new: bool, pause: Callable[[float], None]
) -> dict[str, Any] | None:
    """Return a change set that can be executed, or None if nothing would change."""
    request = {
        "StackName": stack.name,
        "ChangeSetName": f"{stack.name}-{uuid.uuid4()}",  # the deploy role asks about its own ones only
        "ChangeSetType": "CREATE" if is_new else "UPDATE",
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()],
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        **_template(target, stack),
        **({"RoleARN": stack.role_arn} if stack.role_arn else {}),
    }
    for attempt in range(_TRIES):
        try:
            created = client.create_change_set(**request)
            break
        except ClientError as err:
            text = str(err)
            unknown_role = "role" in text.lower() and ("assume" in text or "invalid" in text.lower())
            if not stack.role_arn or not unknown_role or attempt == _TRIES - 1:
                raise
            pause(_POLL_S)
    while True:
        found = client.describe_change_set(ChangeSetName=created["Id"], StackName=stack.name)
        if found["Status"] in ("CREATE_COMPLETE", "FAILED"):
            break
        pause(_POLL_S / 5)
    if found["Status"] == "CREATE_COMPLETE":
        return dict(found)
    reason = found.get("StatusReason", "no reason given")
    unchanged = any(text in reason for text in _NO_CHANGES)
    if not unchanged:
        reason = "".join(f"\n- {finding}" for finding in _findings(client, created["Id"])) or reason
    client.delete_change_set(ChangeSetName=created["Id"], StackName=stack.name)
    if unchanged:
        return None
    raise DeploymentError(
        f"CloudFormation refuses the template or the parameters of stack {stack.name}, so nothing was changed: {reason}"
    )


def _findings(client: Any, change_set: str) -> list[str]:
    """Return what CloudFormation found wrong before anything was made, e.g. a name that is taken.

    The reason of the change set names only the failed check. A deploy role from before this question existed
    may not ask it, and leaves it at that. Source:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
    """
    try:
        pages = client.get_paginator("describe_events").paginate(ChangeSetName=change_set)
        events = [event for page in pages for event in page.get("OperationEvents", [])]
    except ClientError:
        return []
    return [
        f"{event.get('LogicalResourceId')} ({event.get('ResourceType')}): {event['ValidationStatusReason']}"
        for event in events
        if event.get("ValidationStatus") == "FAILED" and event.get("ValidationFailureMode") != "WARN"
    ]


def _template(target: Target, stack: Stack) -> dict[str, str]:
    content = stack.template.encode()
    if len(content) <= INLINE_MAX:
        return {"TemplateBody": stack.template}
    if stack.bucket is None:
        raise DeploymentError(
            f"The template of stack {stack.name} has {len(content):,} bytes; without a bucket CloudFormation takes "
            f"{INLINE_MAX:,}. Shorten it, or move resources into the other template."
        )
    key = f"cloudformation/{hashlib.sha256(content).hexdigest()}.template.json"
    copying.put(target, stack.bucket, {key: content}, key_arn=stack.key_arn)
    suffix = "amazonaws.com.cn" if target.region.startswith("cn-") else "amazonaws.com"
    return {"TemplateURL": f"https://{stack.bucket}.s3.{target.region}.{suffix}/{key}"}


def _settled(client: Any, name: str, pause: Callable[[float], None]) -> dict[str, Any] | None:
    """Return a stack once nothing is going on in it, or None if there is none."""
    told = False
    while True:
        present = _find(client, name)
        if present is None or not present["StackStatus"].endswith("_IN_PROGRESS"):
            return present
        if present["StackStatus"] == "REVIEW_IN_PROGRESS":
            return present
        if not told:
            print(f"{name}: {present['StackStatus']}; waiting until that is done")
            told = True
        pause(_POLL_S)


def _watch(
    client: Any, stack_id: str, token: str | None, pause: Callable[[float], None]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Print what happens in a stack until it is done; return the stack then, and the events that belong to a token."""
    seen: list[dict[str, Any]] = []
    known: set[str] = set()
    while True:
        stack = _describe(client, stack_id)  # first, so that the events below are complete when it has ended
        for event in _events(client, stack_id, known, token):
            known.add(event["EventId"])
            seen.append(event)
            reason = f"  {event['ResourceStatusReason']}" if event.get("ResourceStatusReason") else ""
            print(f"  {event['ResourceStatus']:<32} {event['LogicalResourceId']}{reason}", flush=True)
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack, seen
        pause(_POLL_S)


def _events(client: Any, stack_id: str, known: set[str], token: str | None) -> list[dict[str, Any]]:
    """Return the events of a token that are not known yet, oldest first."""
    found: list[dict[str, Any]] = []
    if token is None:
        return found
    for page in client.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for event in page["StackEvents"]:
            if event["EventId"] in known or event.get("ClientRequestToken") != token:
                return found[::-1]  # newest come first: everything further is older
            found.append(event)
    return found[::-1]


def _explain(name: str, target: Target, final: Mapping[str, Any], events: list[dict[str, Any]]) -> str:
    failed = [
        event
        for event in events
        if event["ResourceStatus"].endswith("_FAILED")
        and _CANCELLED not in event.get("ResourceStatusReason", "")
        and event["PhysicalResourceId"] != final["StackId"]
    ]
    reasons = [
        f"- {event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', 'no reason')}"
        for event in failed[:3]
    ] or [f"- {final.get('StackStatusReason', 'CloudFormation gives no reason')}"]
    left = {
        "UPDATE_ROLLBACK_COMPLETE": "What was there before has been restored.\n",
        "ROLLBACK_COMPLETE": "Nothing of it is left; the next attempt begins anew.\n",
    }.get(final["StackStatus"], "")
    return (
        f"Stack {name} in account {target.account}, region {target.region} ended {final['StackStatus']}:\n"
        + "\n".join(reasons)
        + f"\n{left}All events: CloudFormation, stack {name}, in that account."
    )


def _find(client: Any, name: str) -> dict[str, Any] | None:
    try:
        return _describe(client, name)
    except ClientError as err:
        if "does not exist" in str(err):
            return None
        raise


def _describe(client: Any, name: str) -> dict[str, Any]:
    stack: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    return stack


def _outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs", [])}
