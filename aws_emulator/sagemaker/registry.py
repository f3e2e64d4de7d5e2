"""SageMaker's model registry: groups with policies, package versions with all fields, approval events, model cards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.core import Json, Records, ServiceError
from aws_emulator.iam.callers import authorize, caller
from aws_emulator.sagemaker.store import SERVICE, table, user_context

if TYPE_CHECKING:
    from aws_emulator.records import Table

EVENT: Final = "SageMaker Model Package State Change"
_EVENT_FIELDS: Final = (
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "CreationTime",
    "InferenceSpecification",
    "ModelPackageStatus",
    "ModelPackageStatusDetails",
    "CertifyForMarketplace",
    "ModelApprovalStatus",
    "MetadataProperties",
    "ModelMetrics",
    "LastModifiedTime",
)
"""Detail of the event: https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html"""

GROUPS: Final = table(
    noun="ModelPackageGroup",
    missing="ModelPackageGroup {arn} does not exist.",
    taken="Model Package Group already exists: {arn}",
    newest_first=False,
).answers("List")
"""Groups; under ``policy`` is the text of the resource policy, under ``next`` a version number that was never given."""
_PACKAGES: Final = table(
    noun="ModelPackage",
    key=("ModelPackageGroupName", "ModelPackageVersion"),
    missing="ModelPackage {arn} does not exist.",
    taken="Model Package already exists: {arn}",
    newest_first=False,
)
_tokens: Final = Records()


# ---- finding and permitting -----------------------------------------------------------------------------------------


def _place(reference: str) -> tuple[str, str, str]:
    """Return account, region and name of a group or package given by name or ARN."""
    if not reference.startswith("arn:"):
        return get_account_id(), get_region(), reference
    _, _, _, region, account, resource = reference.split(":", 5)
    return account, region, resource.split("/", 1)[1]


def _find(kind: Table, reference: str, action: str) -> Json:
    """Return a group or package by name or ARN, for a caller whom its owner lets do something.

    Raises:
        ServiceError: There is none, or the caller is not allowed the action.
    """
    account, region, name = _place(reference)
    with core.as_account(account, region):
        record = kind.named(name) if kind is GROUPS else kind.find({"ModelPackageArn": kind.arn(name)})
        group = GROUPS.find(record)
        arn = kind.arn(name)
    _permit(action, group, account, arn)
    return record


def _permit(action: str, group: Json, account: str, resource_arn: str) -> None:
    """Check that the group's resource policy lets a caller of another account do something.

    That the caller's own policies allow it has been checked before the request got here; across accounts both must.
    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-version-group.html

    Raises:
        ServiceError: It does not.
    """
    who = caller()
    if account == who.account:
        return
    context = iam_evaluator.EvalContext(
        principal_arn=who.session_arn,
        principal_type="AssumedRole",
        principal_account=who.account,
        action=f"sagemaker:{action}",
        resource_arn=resource_arn,
        region=who.region,
    )
    if iam_evaluator.evaluate_resource_policy(group["policy"], context).decision != "Allow":
        raise ServiceError(
            "AccessDeniedException",
            f"User: {who.session_arn} is not authorized to perform: sagemaker:{action} on resource: {resource_arn} "
            "because no resource-based policy allows the action",
        )


# ---- groups ---------------------------------------------------------------------------------------------------------


@overlay(SERVICE, "CreateModelPackageGroup")
def create_model_package_group(request: Json) -> Json:
    """Create a group."""
    return GROUPS.add(request, CreatedBy=user_context(), ModelPackageGroupStatus="Completed", policy=None, next=1)


@overlay(SERVICE, "DescribeModelPackageGroup")
def describe_model_package_group(request: Json) -> Json:
    """Describe a group, by name or ARN."""
    return _find(GROUPS, request["ModelPackageGroupName"], "DescribeModelPackageGroup")


@overlay(SERVICE, "DeleteModelPackageGroup")
def delete_model_package_group(request: Json) -> Json:
    """Delete an empty group."""
    group = GROUPS.find(request)
    if request["ModelPackageGroupName"] in {p["ModelPackageGroupName"] for p in _PACKAGES.records.values()}:
        raise ServiceError(
            "ConflictException",
            f"Model Package Group {group['ModelPackageGroupArn']} cannot be deleted because it still contains Model "
            "Packages.",
        )
    return GROUPS.delete(request)


@overlay(SERVICE, "PutModelPackageGroupPolicy")
def put_model_package_group_policy(request: Json) -> Json:
    """Set the resource policy of a group."""
    group = GROUPS.find(request)
    try:
        statements = json.loads(request["ResourcePolicy"])["Statement"]
        complete = all({"Effect", "Principal", "Action", "Resource"} <= set(statement) for statement in statements)
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceError("ValidationException", f"ResourcePolicy is not a policy document: {error!r}") from error
    if not complete:
        raise ServiceError(
            "ValidationException", "Each statement of ResourcePolicy needs Effect, Principal, Action and Resource."
        )
    group["policy"] = request["ResourcePolicy"]
    return group


@overlay(SERVICE, "DeleteModelPackageGroupPolicy")
def delete_model_package_group_policy(request: Json) -> Json:
    """Remove the resource policy of a group."""
    GROUPS.find(request)["policy"] = None
    return {}


# ---- packages -------------------------------------------------------------------------------------------------------


@overlay(SERVICE, "CreateModelPackage")
def create_model_package(request: Json) -> Json:
    """Register a version in a group; every field of the request comes back in DescribeModelPackage.

    Its approval is pending unless the request says otherwise:
    https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-approve.html
    """
    if "ModelPackageGroupName" not in request:
        raise ServiceError(
            "ValidationException", "ModelPackageGroupName is required: unversioned packages are not emulated here."
        )
    group = _find(GROUPS, request["ModelPackageGroupName"], "CreateModelPackage")
    token = (group["ModelPackageGroupArn"], request.get("ClientToken"))
    if token[1] and token in _tokens:
        return {"ModelPackageArn": _tokens[token]}
    name, version = group["ModelPackageGroupName"], group["next"]
    group["next"] += 1
    _, _, _, region, account, _ = group["ModelPackageGroupArn"].split(":", 5)
    with core.as_account(account, region):
        package = _PACKAGES.add(
            {"ModelApprovalStatus": "PendingManualApproval", "CertifyForMarketplace": False, **request},
            ModelPackageGroupName=name,
            ModelPackageVersion=version,
            ModelPackageStatus="Completed",
            ModelPackageStatusDetails={"ValidationStatuses": [], "ImageScanStatuses": []},
            CreatedBy=user_context(),
        )
    del package["LastModifiedTime"]
    if token[1]:
        _tokens[token] = package["ModelPackageArn"]
    _announce(package)
    return package


@overlay(SERVICE, "UpdateModelPackage")
def update_model_package(request: Json) -> Json:
    """Change the fields that the request names, and no others; metadata properties are merged.

    Whatever botocore's model of UpdateModelPackage has goes in one call with the approval, an inference specification
    and a model card included: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateModelPackage.html
    """
    package = _find(_PACKAGES, request["ModelPackageArn"], "UpdateModelPackage")
    changes = {key: value for key, value in request.items() if key not in ("ModelPackageArn", "ClientToken")}
    metadata = package.get("CustomerMetadataProperties", {}) | changes.pop("CustomerMetadataProperties", {})
    for key in changes.pop("CustomerMetadataPropertiesToRemove", []):
        metadata.pop(key, None)
    if metadata or "CustomerMetadataProperties" in package:
        package["CustomerMetadataProperties"] = metadata
    added = changes.pop("AdditionalInferenceSpecificationsToAdd", [])
    if added:
        package["AdditionalInferenceSpecifications"] = package.get("AdditionalInferenceSpecifications", []) + added
    package.update(changes)
    package.update({"LastModifiedTime": clock.now(), "LastModifiedBy": user_context()})
    _announce(package)
    return package


@overlay(SERVICE, "DescribeModelPackage")
def describe_model_package(request: Json) -> Json:
    """Describe a version by ARN; one of another account needs that account's permission (group policy).

    One that has a key of its own is decrypted with the permissions of the caller: ModelPackageSecurityConfig
    is "the KMS Key ID used for encryption of model package information", and AmazonSageMakerModelRegistryFullAccess
    gives its users ``kms:Decrypt`` through SageMaker
    (https://docs.aws.amazon.com/sagemaker/latest/dg/security-iam-awsmanpol-model-registry.html).
    """
    package = _find(_PACKAGES, request["ModelPackageName"], "DescribeModelPackage")
    key = package.get("SecurityConfig", {}).get("KmsKeyId")
    if key:
        through = {"kms:ViaService": f"{SERVICE}.{get_region()}.amazonaws.com", "kms:CallerAccount": get_account_id()}
        authorize("kms:Decrypt", key, context=through)
    return package


@overlay(SERVICE, "DeleteModelPackage")
def delete_model_package(request: Json) -> Json:
    """Delete a version; its number is not used again."""
    package = _find(_PACKAGES, request["ModelPackageName"], "DeleteModelPackage")
    _, _, _, region, account, _ = package["ModelPackageArn"].split(":", 5)
    with core.as_account(account, region):
        return _PACKAGES.delete(package)


@overlay(SERVICE, "ListModelPackages")
def list_model_packages(request: Json) -> Json:
    """List the versions of a group (by name or ARN), or of all groups for the types that include versions."""
    filters = dict(request)
    group, kind = filters.pop("ModelPackageGroupName", None), filters.pop("ModelPackageType", "Unversioned")
    found = list(_PACKAGES.records.values()) if kind != "Unversioned" else []  # of which there are none here
    if group:
        name = _find(GROUPS, group, "ListModelPackages")["ModelPackageGroupName"]
        account, region, _ = _place(group)
        with core.as_account(account, region):
            found = [package for package in _PACKAGES.records.values() if package["ModelPackageGroupName"] == name]
    return _PACKAGES.list_of("ListModelPackages", filters, found)


def _announce(package: Json) -> None:
    """Put the state change on the default bus of the account that owns the package."""
    arn = package["ModelPackageArn"]
    _, _, _, region, account, _ = arn.split(":", 5)
    detail: Json = {key: package[key] for key in _EVENT_FIELDS if key in package}
    for key in ("CreationTime", "LastModifiedTime"):
        if key in detail:
            detail[key] = clock.shown(detail[key])
    core.emit("aws.sagemaker", EVENT, detail, arn, place=(account, region))


# ---- model cards ----------------------------------------------------------------------------------------------------

_CARDS: Final = table(
    noun="ModelCard",
    code="ResourceNotFound",
    missing="Model card {arn} does not exist.",
    taken_code="ConflictException",
    taken="Model card {key} already exists.",
    newest_first=False,
).answers("Delete")
"""Cards; under ``versions`` are all of them, oldest first."""


@overlay(SERVICE, "CreateModelCard")
def create_model_card(request: Json) -> Json:
    """Create the first version of a card."""
    card = _CARDS.add(request, ModelCardVersion=1, CreatedBy=user_context())
    card["versions"] = [{key: value for key, value in card.items() if key != "LastModifiedTime"}]
    return card


@overlay(SERVICE, "UpdateModelCard")
def update_model_card(request: Json) -> Json:
    """Add a version with new content, or change the status of the newest version; both at once is refused.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateModelCard.html
    """
    versions: list[Json] = _CARDS.find(request)["versions"]
    if "Content" in request and "ModelCardStatus" in request:
        raise ServiceError("ValidationException", "Content and ModelCardStatus cannot be updated in a single call.")
    newest: Json = {**versions[-1], **{key: request[key] for key in ("Content", "ModelCardStatus") if key in request}}
    newest |= {"LastModifiedTime": clock.now(), "LastModifiedBy": user_context()}
    if "Content" in request:
        versions.append({**newest, "ModelCardVersion": newest["ModelCardVersion"] + 1})
    else:
        versions[-1] = newest
    return newest


@overlay(SERVICE, "DescribeModelCard")
def describe_model_card(request: Json) -> Json:
    """Describe a version of a card, the newest unless the request names one."""
    versions = _CARDS.find(request)["versions"]
    number = request.get("ModelCardVersion", len(versions))
    if not 1 <= number <= len(versions):
        raise ServiceError("ResourceNotFound", f"Model card {request['ModelCardName']} has no version {number}.")
    found: Json = versions[number - 1]
    return found
