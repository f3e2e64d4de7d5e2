"""The CloudFormation types of SageMaker that the products use: domain, user profile, model package group.

Which properties replace a resource and what it returns is in the types' schemas, which cfn-lint ships
(``cfnlint.schema.manager.PROVIDER_SCHEMA_MANAGER``).
"""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Final

from ministack.services.cloudformation import provisioners

from rehearsal.cloud import sagemaker, sagemaker_registry
from rehearsal.cloud.resources import resource_type
from rehearsal.cloud.sagemaker_store import SERVICE, change_tags
from rehearsal.cloud.shapes import check_request

if TYPE_CHECKING:
    from rehearsal.cloud.core import Json
    from rehearsal.cloud.resources import Created

_DOMAIN_UPDATES: Final = (
    "DefaultUserSettings",
    "DefaultSpaceSettings",
    "SubnetIds",
    "VpcId",
    "AppNetworkAccessType",
    "AppSecurityGroupManagement",
    "TagPropagation",
)


def _request(operation: str, properties: Json, *left_out: str) -> Json:
    """Return properties as the request of an operation, numbers and booleans as such, checked against its model."""
    request: Json = {key: _typed(value) for key, value in properties.items() if key not in left_out}
    check_request(SERVICE, operation, request)
    return request


def _typed(value: object) -> object:
    """Return a property's value; templates with parameters give numbers and booleans as text in these fields."""
    if isinstance(value, dict):
        return {key: _number(key, _typed(item)) for key, item in value.items()}
    return [_typed(item) for item in value] if isinstance(value, list) else value


def _number(key: str, value: object) -> object:
    return int(value) if key.endswith("InMinutes") and isinstance(value, str) else value


# ---- domain ---------------------------------------------------------------------------------------------------------


def _create_domain(properties: Json, logical_id: str, stack: str) -> Created:
    made = sagemaker.new_domain(_request("CreateDomain", properties))
    return made["DomainId"], _domain_attributes(made["DomainId"])


def _domain_attributes(domain_id: str) -> Json:
    domain = sagemaker.find_domain(domain_id)
    keys = ("DomainArn", "DomainId", "Url", "HomeEfsFileSystemId", "SecurityGroupIdForDomainBoundary")
    return {key: domain[key] for key in keys}


def _update_domain(ref: str, old: Json, new: Json) -> Json:
    changes: Json = {key: new[key] for key in _DOMAIN_UPDATES if key in new}
    if "DomainSettings" in new:
        changes["DomainSettingsForUpdate"] = new["DomainSettings"]
    sagemaker.update_domain(_request("UpdateDomain", {"DomainId": ref, **changes}))
    change_tags(sagemaker.find_domain(ref)["DomainArn"], old, new)
    return _domain_attributes(ref)


def _delete_domain(ref: str, properties: Json) -> None:
    sagemaker.delete_domain({"DomainId": ref})


# ---- user profile ---------------------------------------------------------------------------------------------------


def _create_profile(properties: Json, logical_id: str, stack: str) -> Created:
    made = sagemaker.new_user_profile(_request("CreateUserProfile", properties))
    return f"{properties['UserProfileName']}|{properties['DomainId']}", made


def _update_profile(ref: str, old: Json, new: Json) -> Json:
    name, domain_id = ref.split("|")
    request = {"DomainId": domain_id, "UserProfileName": name, "UserSettings": new.get("UserSettings", {})}
    made = sagemaker.update_user_profile(_request("UpdateUserProfile", request))
    change_tags(made["UserProfileArn"], old, new)
    return made


def _delete_profile(ref: str, properties: Json) -> None:
    name, domain_id = ref.split("|")
    sagemaker.delete_user_profile({"DomainId": domain_id, "UserProfileName": name})


# ---- model package group --------------------------------------------------------------------------------------------


def _group_attributes(name: str) -> Json:
    detail = sagemaker_registry.describe_model_package_group({"ModelPackageGroupName": name})
    created = datetime.datetime.fromtimestamp(detail["CreationTime"], datetime.UTC)
    return {
        "ModelPackageGroupArn": detail["ModelPackageGroupArn"],
        "ModelPackageGroupStatus": detail["ModelPackageGroupStatus"],
        "CreationTime": created.isoformat(),
    }


def _put_policy(name: str, policy: Json | str | None) -> None:
    if policy is None:
        sagemaker_registry.delete_model_package_group_policy({"ModelPackageGroupName": name})
        return
    text = policy if isinstance(policy, str) else json.dumps(policy)
    request = {"ModelPackageGroupName": name, "ResourcePolicy": text}
    sagemaker_registry.put_model_package_group_policy(_request("PutModelPackageGroupPolicy", request))


def _create_group(properties: Json, logical_id: str, stack: str) -> Created:
    request = _request("CreateModelPackageGroup", properties, "ModelPackageGroupPolicy")
    arn: str = sagemaker_registry.create_model_package_group(request)["ModelPackageGroupArn"]
    name = properties["ModelPackageGroupName"]
    _put_policy(name, properties.get("ModelPackageGroupPolicy"))
    return arn, _group_attributes(name)


def _update_group(ref: str, old: Json, new: Json) -> Json:
    name = ref.rsplit("/", 1)[-1]
    _put_policy(name, new.get("ModelPackageGroupPolicy"))
    change_tags(ref, old, new)
    return _group_attributes(name)


def _delete_group(ref: str, properties: Json) -> None:
    sagemaker_registry.delete_model_package_group({"ModelPackageGroupName": ref.rsplit("/", 1)[-1]})


def install() -> None:
    """Register the types."""
    prefix = "AWS::SageMaker::"
    resource_type(
        f"{prefix}Domain",
        create=_create_domain,
        update=_update_domain,
        delete=_delete_domain,
        create_only=("AuthMode", "DomainName", "KmsKeyId"),
    )
    resource_type(
        f"{prefix}UserProfile",
        create=_create_profile,
        update=_update_profile,
        delete=_delete_profile,
        create_only=("DomainId", "UserProfileName", "SingleSignOnUserIdentifier", "SingleSignOnUserValue"),
    )
    resource_type(
        f"{prefix}ModelPackageGroup",
        create=_create_group,
        update=_update_group,
        delete=_delete_group,
        create_only=("ModelPackageGroupName", "ModelPackageGroupDescription"),
    )
    # Tags of the stack reach these types (``tagging`` in their schemas).
    for name in ("Domain", "UserProfile", "ModelPackageGroup"):
        provisioners._STACK_TAG_PROPERTY[f"{prefix}{name}"] = ("Tags", "list")
