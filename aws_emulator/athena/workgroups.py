"""Athena's work groups: settings of queries, where results go, and the type AWS::Athena::WorkGroup.

https://docs.aws.amazon.com/athena/latest/APIReference/API_WorkGroupConfiguration.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_emulator.bridge import call, overlay
from aws_emulator.clock import clock
from aws_emulator.cloudformation.resources import resource_type
from aws_emulator.core import Json, Records, ServiceError
from aws_emulator.iam.callers import authorize
from aws_emulator.records import Table, answer_tags, change_tags, tag_map
from aws_emulator.shapes import request_of

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE: Final = "athena"
PRIMARY: Final = "primary"
ENGINE: Final = {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"}
_LEAST_CUTOFF: Final = 10_000_000
_EMULATED: Final = frozenset(
    {"BytesScannedCutoffPerQuery", "EnforceWorkGroupConfiguration", "EngineVersion", "PublishCloudWatchMetricsEnabled"}
    | {"RequesterPaysEnabled", "ResultConfiguration"}
)
_GROUPS: Final = Table(
    service=SERVICE,
    noun="WorkGroup",
    kind="workgroup",
    key=("Name",),
    code="InvalidRequestException",
    missing="WorkGroup is not found.",
    taken="WorkGroup already exists",
)
EXECUTIONS: Final = Records()
"""Queries by id (`aws_emulator.athena.executions`)."""


def refused(message: str) -> ServiceError:
    """Return how Athena refuses a request."""
    return ServiceError("InvalidRequestException", message)


def work_group(name: str) -> Json:
    """Return a work group; every account has the one called primary.

    Raises:
        ServiceError: There is none with this name.
    """
    if name == PRIMARY and name not in _GROUPS.records:
        _GROUPS.add(
            {"Name": name}, State="ENABLED", Configuration=_configured({"EnforceWorkGroupConfiguration": False})
        )
    return _GROUPS.named(name)


def arn_of(name: str) -> str:
    """Return the ARN of a work group of the current account."""
    return _GROUPS.arn(name)


def _configured(given: Mapping[str, object]) -> Json:
    """Return a checked configuration with its defaults; what is not emulated is refused by name.

    That settings are enforced unless a request says otherwise is the stricter reading: the API reference is silent.
    """
    found: Json = {"EnforceWorkGroupConfiguration": True, "PublishCloudWatchMetricsEnabled": True, **given}
    if unknown := sorted(name for name in found.keys() - _EMULATED if found[name] not in (False, {"Enabled": False})):
        raise refused(f"Not emulated here in the configuration of a work group: {', '.join(unknown)}.")
    cutoff = found.get("BytesScannedCutoffPerQuery")
    if cutoff is not None and cutoff < _LEAST_CUTOFF:
        raise refused(
            f"Value '{cutoff}' at 'configuration.bytesScannedCutoffPerQuery' failed to satisfy constraint: "
            f"Member must have value greater than or equal to {_LEAST_CUTOFF}"
        )
    check_results(found.get("ResultConfiguration", {}))
    return {**found, "EngineVersion": ENGINE}


def check_results(results: Json) -> None:
    """Check where and how results are written, of a work group or of a request.

    Raises:
        ServiceError: It is no location in S3, or an encryption or access control list that is not emulated.
    """
    location = results.get("OutputLocation")
    if location is not None and not (location.startswith("s3://") and location[5:].split("/")[0]):
        raise refused("outputLocation is not a valid S3 path.")
    encryption = results.get("EncryptionConfiguration", {})
    if encryption.get("EncryptionOption") == "CSE_KMS" or "AclConfiguration" in results:
        raise refused("Results with CSE_KMS or an AclConfiguration are not emulated here.")
    if encryption.get("EncryptionOption") == "SSE_KMS" and not encryption.get("KmsKey"):
        raise refused("KmsKey is required for EncryptionOption SSE_KMS.")


@overlay(SERVICE, "CreateWorkGroup")
def create_work_group(request: Json) -> Json:
    """Create a work group, with tags for a caller who can tag it."""
    if tags := tag_map(request.get("Tags")):
        keys = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        authorize("athena:TagResource", arn_of(request["Name"]), context={**keys, "aws:TagKeys": list(tags)})
    return _GROUPS.add(request, State="ENABLED", Configuration=_configured(request.get("Configuration", {})))


@overlay(SERVICE, "GetWorkGroup")
def get_work_group(request: Json) -> Json:
    """Return a work group."""
    return {"WorkGroup": work_group(request["WorkGroup"])}


@overlay(SERVICE, "DeleteWorkGroup")
def delete_work_group(request: Json) -> Json:
    """Delete a work group, and its queries if the request says so."""
    group = work_group(request["WorkGroup"])
    if group["Name"] == PRIMARY:
        raise refused("The primary workgroup cannot be deleted.")
    queries = [key for key, query in EXECUTIONS.items() if query["WorkGroup"] == group["Name"]]
    if queries and not request.get("RecursiveDeleteOption"):
        raise refused(f"WorkGroup {group['Name']} is not empty")
    for key in queries:
        del EXECUTIONS[key]
    return _GROUPS.delete(group)


def cancel(query: Json, reason: str) -> None:
    """End a query as CANCELLED, if it has not ended."""
    if query["Status"]["State"] in {"QUEUED", "RUNNING"}:
        query["Status"] |= {"State": "CANCELLED", "StateChangeReason": reason, "CompletionDateTime": clock.now()}
        if connection := query.get("connection"):
            connection.interrupt()  # what it executes; what is not executed yet does not write


# ---- CloudFormation -------------------------------------------------------------------------------------------------


def _create(properties: Json, logical_id: str, stack_name: str) -> Json:
    request = {**properties, "Configuration": properties.get("WorkGroupConfiguration", {})}
    group = create_work_group(request_of(SERVICE, "CreateWorkGroup", request))
    group["State"] = properties.get("State", "ENABLED")
    return group


def _update(ref: str, old: Json, new: Json) -> Json:
    """Replace the settings by those of the template, as the resource handler does."""
    request = {**new, "Configuration": new.get("WorkGroupConfiguration", {})}
    typed = request_of(SERVICE, "CreateWorkGroup", request)
    group = work_group(ref)
    group["Configuration"] = _configured(typed["Configuration"])
    group |= {"State": new.get("State", "ENABLED"), "Description": new.get("Description")}
    change_tags(arn_of(ref), old, new)
    return group


def _delete(ref: str, properties: Json) -> None:
    recursive = str(properties.get("RecursiveDeleteOption", "")).lower() == "true"
    call(SERVICE, "DeleteWorkGroup", {"WorkGroup": ref, "RecursiveDeleteOption": recursive})


answer_tags(SERVICE)
resource_type("AWS::Athena::WorkGroup", create=_create, update=_update, delete=_delete)
