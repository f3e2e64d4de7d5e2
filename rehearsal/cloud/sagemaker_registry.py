"""SageMaker's model registry: groups with policies, package versions with all fields, approval events, model cards.

moto keeps packages too, but drops fields (model card, life cycle, source), knows neither group policies nor deletion,
and resets the approval on unrelated updates; a registry is little more than a record, so this one keeps its own.
"""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region

from rehearsal.cloud import core
from rehearsal.cloud.callers import authorize, caller
from rehearsal.cloud.clock import clock
from rehearsal.cloud.core import Json, Records, ServiceError, overlay
from rehearsal.cloud.sagemaker_store import SERVICE, drop_tags, not_found, page, set_tags, sort, user_context

Group: TypeAlias = dict[str, Any]
"""A model package group: the description under ``detail``, its ``policy`` text, its ``packages`` by version, and the
``next`` version number, which is never given twice."""

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

_groups: Final = Records()
_tokens: Final = Records()


# ---- finding and permitting -----------------------------------------------------------------------------------------


def _place(reference: str) -> tuple[str, str, str]:
    """Return account, region and name of a group or package given by name or ARN."""
    if not reference.startswith("arn:"):
        return get_account_id(), get_region(), reference
    _, _, _, region, account, resource = reference.split(":", 5)
    return account, region, resource.split("/", 1)[1]


def _group(account: str, region: str, name: str) -> Group:
    found: Group | None = _groups.get_scoped(account, region, name)
    if found is None:
        raise not_found("ModelPackageGroup", f"arn:aws:sagemaker:{region}:{account}:model-package-group/{name}")
    return found


def _permit(action: str, group: Group, account: str, resource_arn: str) -> None:
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


def _find_group(reference: str, action: str) -> Group:
    account, region, name = _place(reference)
    group = _group(account, region, name)
    _permit(action, group, account, group["detail"]["ModelPackageGroupArn"])
    return group


def _find_package(reference: str, action: str) -> tuple[Group, Json]:
    account, region, name = _place(reference)
    arn = f"arn:aws:sagemaker:{region}:{account}:model-package/{name}"
    group_name, _, version = name.partition("/")
    group: Group | None = _groups.get_scoped(account, region, group_name)
    package: Json | None = group and group["packages"].get(version)
    if group is None or package is None:
        raise not_found("ModelPackage", arn)
    _permit(action, group, account, arn)
    return group, package


# ---- groups ---------------------------------------------------------------------------------------------------------


@overlay(SERVICE, "CreateModelPackageGroup")
def create_model_package_group(request: Json) -> Json:
    """Create a group."""
    name = request["ModelPackageGroupName"]
    arn = core.arn(SERVICE, f"model-package-group/{name}")
    if name in _groups:
        raise ServiceError("ValidationException", f"Model Package Group already exists: {arn}")
    detail: Json = {
        "ModelPackageGroupName": name,
        "ModelPackageGroupArn": arn,
        "CreationTime": clock.now(),
        "CreatedBy": user_context(),
        "ModelPackageGroupStatus": "Completed",
    }
    if "ModelPackageGroupDescription" in request:
        detail["ModelPackageGroupDescription"] = request["ModelPackageGroupDescription"]
    _groups[name] = {"detail": detail, "policy": None, "packages": {}, "next": 1}
    set_tags(arn, request.get("Tags"))
    return {"ModelPackageGroupArn": arn}


@overlay(SERVICE, "DescribeModelPackageGroup")
def describe_model_package_group(request: Json) -> Json:
    """Describe a group, by name or ARN."""
    detail: Json = _find_group(request["ModelPackageGroupName"], "DescribeModelPackageGroup")["detail"]
    return detail


@overlay(SERVICE, "ListModelPackageGroups")
def list_model_package_groups(request: Json) -> Json:
    """List the account's groups."""
    part = request.get("NameContains", "")
    found = [group["detail"] for name, group in _groups.items() if part in name]
    fields = {"CreationTime": "CreationTime", "Name": "ModelPackageGroupName"}
    summaries = [{k: v for k, v in detail.items() if k != "CreatedBy"} for detail in sort(request, found, fields)]
    return page(request, "ModelPackageGroupSummaryList", summaries)


@overlay(SERVICE, "DeleteModelPackageGroup")
def delete_model_package_group(request: Json) -> Json:
    """Delete an empty group."""
    name = request["ModelPackageGroupName"]
    group = _group(get_account_id(), get_region(), name)
    arn = group["detail"]["ModelPackageGroupArn"]
    if group["packages"]:
        raise ServiceError(
            "ConflictException",
            f"Model Package Group {arn} cannot be deleted because it still contains Model Packages.",
        )
    del _groups[name]
    drop_tags(arn)
    return {}


@overlay(SERVICE, "PutModelPackageGroupPolicy")
def put_model_package_group_policy(request: Json) -> Json:
    """Set the resource policy of a group."""
    group = _group(get_account_id(), get_region(), request["ModelPackageGroupName"])
    try:
        statements = json.loads(request["ResourcePolicy"])["Statement"]
        complete = all({"Effect", "Principal", "Action", "Resource"} <= set(statement) for statement in statements)
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceError("ValidationException", f"ResourcePolicy is no policy document: {error!r}") from error
    if not complete:
        raise ServiceError(
            "ValidationException", "Each statement of ResourcePolicy needs Effect, Principal, Action and Resource."
        )
    group["policy"] = request["ResourcePolicy"]
    return {"ModelPackageGroupArn": group["detail"]["ModelPackageGroupArn"]}


@overlay(SERVICE, "GetModelPackageGroupPolicy")
def get_model_package_group_policy(request: Json) -> Json:
    """Return the resource policy of a group."""
    group = _group(get_account_id(), get_region(), request["ModelPackageGroupName"])
    if group["policy"] is None:
        raise not_found("Resource policy of", group["detail"]["ModelPackageGroupArn"])
    return {"ResourcePolicy": group["policy"]}


@overlay(SERVICE, "DeleteModelPackageGroupPolicy")
def delete_model_package_group_policy(request: Json) -> Json:
    """Remove the resource policy of a group."""
    _group(get_account_id(), get_region(), request["ModelPackageGroupName"])["policy"] = None
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
    group = _find_group(request["ModelPackageGroupName"], "CreateModelPackage")
    token = (group["detail"]["ModelPackageGroupArn"], request.get("ClientToken"))
    if token[1] and token in _tokens:
        return {"ModelPackageArn": _tokens[token]}
    version = group["next"]
    group["next"] += 1
    group_arn = group["detail"]["ModelPackageGroupArn"]
    arn = f"{group_arn.replace(':model-package-group/', ':model-package/')}/{version}"
    package: Json = {
        "ModelApprovalStatus": "PendingManualApproval",
        "CertifyForMarketplace": False,
        **{key: value for key, value in request.items() if key not in ("ClientToken", "Tags")},
        "ModelPackageGroupName": group["detail"]["ModelPackageGroupName"],
        "ModelPackageVersion": version,
        "ModelPackageArn": arn,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CreationTime": clock.now(),
        "CreatedBy": user_context(),
    }
    group["packages"][str(version)] = package
    if token[1]:
        _tokens[token] = arn
    set_tags(arn, request.get("Tags"))
    _announce(package)
    return {"ModelPackageArn": arn}


@overlay(SERVICE, "UpdateModelPackage")
def update_model_package(request: Json) -> Json:
    """Change the fields that the request names, and no others; metadata properties are merged.

    Whatever botocore's model of UpdateModelPackage has goes in one call with the approval, an inference specification
    and a model card included: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateModelPackage.html
    """
    _, package = _find_package(request["ModelPackageArn"], "UpdateModelPackage")
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
    return {"ModelPackageArn": package["ModelPackageArn"]}


@overlay(SERVICE, "DescribeModelPackage")
def describe_model_package(request: Json) -> Json:
    """Describe a version by ARN; one of another account needs that account's permission (group policy).

    One that is encrypted with a key of its own is decrypted with the rights of whoever asks: ModelPackageSecurityConfig
    is "the KMS Key ID used for encryption of model package information", and AmazonSageMakerModelRegistryFullAccess
    gives its users ``kms:Decrypt`` through SageMaker
    (https://docs.aws.amazon.com/sagemaker/latest/dg/security-iam-awsmanpol-model-registry.html).
    """
    _, package = _find_package(request["ModelPackageName"], "DescribeModelPackage")
    key = package.get("SecurityConfig", {}).get("KmsKeyId")
    if key:
        through = {"kms:ViaService": f"{SERVICE}.{get_region()}.amazonaws.com", "kms:CallerAccount": get_account_id()}
        authorize("kms:Decrypt", key, context=through)
    return package


@overlay(SERVICE, "DeleteModelPackage")
def delete_model_package(request: Json) -> Json:
    """Delete a version; its number is not used again."""
    group, package = _find_package(request["ModelPackageName"], "DeleteModelPackage")
    del group["packages"][str(package["ModelPackageVersion"])]
    drop_tags(package["ModelPackageArn"])
    return {}


@overlay(SERVICE, "ListModelPackages")
def list_model_packages(request: Json) -> Json:
    """List the versions of a group (by name or ARN), or of all groups for the types that include versions."""
    if "ModelPackageGroupName" in request:
        groups = [_find_group(request["ModelPackageGroupName"], "ListModelPackages")]
    else:  # without a group the default is the unversioned packages, of which there are none here
        groups = [] if request.get("ModelPackageType", "Unversioned") == "Unversioned" else list(_groups.values())
    keys = (
        "ModelPackageGroupName",
        "ModelPackageVersion",
        "ModelPackageArn",
        "ModelPackageDescription",
        "CreationTime",
        "ModelPackageStatus",
        "ModelApprovalStatus",
        "ModelLifeCycle",
    )
    found = [
        {key: package[key] for key in keys if key in package}
        for group in groups
        for package in group["packages"].values()
        if request.get("ModelApprovalStatus") in (None, package["ModelApprovalStatus"])
        and request.get("NameContains", "") in package["ModelPackageArn"].split("/", 1)[1]
        and request.get("CreationTimeAfter", 0) <= package["CreationTime"]
        and package["CreationTime"] <= request.get("CreationTimeBefore", package["CreationTime"])
    ]
    ordered = sort(request, found, {"CreationTime": "CreationTime", "Name": "ModelPackageArn"})
    return page(request, "ModelPackageSummaryList", ordered)


def _announce(package: Json) -> None:
    """Put the state change on the default bus of the account that owns the package."""
    arn = package["ModelPackageArn"]
    _, _, _, region, account, _ = arn.split(":", 5)
    detail: Json = {key: package[key] for key in _EVENT_FIELDS if key in package}
    for key in ("CreationTime", "LastModifiedTime"):
        if key in detail:
            detail[key] = clock.shown(detail[key])
    core.emit(account, region, "aws.sagemaker", EVENT, detail, [arn])


# ---- model cards ----------------------------------------------------------------------------------------------------
# moto keeps cards, but an update that names no status leaves the new version without one.

_cards: Final = Records()
"""Versions of each card, oldest first, by name."""


def _versions(name: str) -> list[Json]:
    found: list[Json] | None = _cards.get(name)
    if found is None:
        raise ServiceError("ResourceNotFound", f"Model card {core.arn(SERVICE, f'model-card/{name}')} does not exist.")
    return found


@overlay(SERVICE, "CreateModelCard")
def create_model_card(request: Json) -> Json:
    """Create the first version of a card."""
    name = request["ModelCardName"]
    if name in _cards:
        raise ServiceError("ConflictException", f"Model card {name} already exists.")
    arn = core.arn(SERVICE, f"model-card/{name}")
    fields = ("ModelCardName", "Content", "ModelCardStatus", "SecurityConfig")
    made = {"ModelCardArn": arn, "ModelCardVersion": 1, "CreationTime": clock.now(), "CreatedBy": user_context()}
    card: Json = {key: request[key] for key in fields if key in request}
    _cards[name] = [card | made]
    set_tags(arn, request.get("Tags"))
    return {"ModelCardArn": arn}


@overlay(SERVICE, "UpdateModelCard")
def update_model_card(request: Json) -> Json:
    """Add a version with new content, or change the status of the newest version; both at once is refused.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateModelCard.html
    """
    versions = _versions(request["ModelCardName"])
    if "Content" in request and "ModelCardStatus" in request:
        raise ServiceError("ValidationException", "Content and ModelCardStatus cannot be updated in a single call.")
    newest: Json = {**versions[-1], **{key: request[key] for key in ("Content", "ModelCardStatus") if key in request}}
    newest |= {"LastModifiedTime": clock.now(), "LastModifiedBy": user_context()}
    if "Content" in request:
        versions.append({**newest, "ModelCardVersion": newest["ModelCardVersion"] + 1})
    else:
        versions[-1] = newest
    return {"ModelCardArn": newest["ModelCardArn"]}


@overlay(SERVICE, "DescribeModelCard")
def describe_model_card(request: Json) -> Json:
    """Describe a version of a card, the newest unless the request names one."""
    versions = _versions(request["ModelCardName"])
    number = request.get("ModelCardVersion", len(versions))
    if not 1 <= number <= len(versions):
        raise ServiceError("ResourceNotFound", f"Model card {request['ModelCardName']} has no version {number}.")
    found: Json = versions[number - 1]
    return found


@overlay(SERVICE, "ListModelCards")
def list_model_cards(request: Json) -> Json:
    """List the cards of the account, each by its newest version."""
    newest = [versions[-1] for name, versions in _cards.items() if request.get("NameContains", "") in name]
    return page(request, "ModelCardSummaries", _summaries(request, newest, ("CreationTime", "Name")))


@overlay(SERVICE, "ListModelCardVersions")
def list_model_card_versions(request: Json) -> Json:
    """List the versions of a card."""
    versions = _versions(request["ModelCardName"])
    return page(request, "ModelCardVersionSummaryList", _summaries(request, versions, ("Version",)))


@overlay(SERVICE, "DeleteModelCard")
def delete_model_card(request: Json) -> Json:
    """Delete a card with all its versions."""
    drop_tags(_versions(request["ModelCardName"])[-1]["ModelCardArn"])
    del _cards[request["ModelCardName"]]
    return {}


def _summaries(request: Json, cards: list[Json], orders: tuple[str, ...]) -> list[Json]:
    fields = {"CreationTime": "CreationTime", "Name": "ModelCardName", "Version": "ModelCardVersion"}
    wanted = [c for c in cards if request.get("ModelCardStatus") in (None, c["ModelCardStatus"])]
    ordered = sort(request, wanted, {order: fields[order] for order in orders})
    hidden = ("Content", "SecurityConfig", "CreatedBy", "LastModifiedBy")
    return [{key: value for key, value in card.items() if key not in hidden} for card in ordered]
