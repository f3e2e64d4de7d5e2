"""The CloudFormation types of SageMaker that are used: domain, user profile, model package group, hosting, pipeline.

Which properties replace a resource and what it returns is in the types' schemas, which cfn-lint ships
(``cfnlint.schema.manager.PROVIDER_SCHEMA_MANAGER``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from ministack.services.cloudformation import provisioners

from rehearsal.cloud import (
    sagemaker,
    sagemaker_hosting,
    sagemaker_models,
    sagemaker_pipelines,
    sagemaker_registry,
)
from rehearsal.cloud.clock import clock, random_id
from rehearsal.cloud.core import ServiceError
from rehearsal.cloud.resources import physical_name, resource_type
from rehearsal.cloud.sagemaker_store import SERVICE, change_tags
from rehearsal.cloud.shapes import check_request, typed_request

if TYPE_CHECKING:
    from collections.abc import Callable

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
    request = typed_request(SERVICE, operation, {k: v for k, v in properties.items() if k not in left_out})
    check_request(SERVICE, operation, request)
    return request


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
    return {
        "ModelPackageGroupArn": detail["ModelPackageGroupArn"],
        "ModelPackageGroupStatus": detail["ModelPackageGroupStatus"],
        "CreationTime": clock.moment(detail["CreationTime"]).isoformat(),
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


# ---- hosting --------------------------------------------------------------------------------------------------------

_NAME_LENGTH: Final = 63


def _hosting_name(properties: Json, key: str, logical_id: str, stack: str) -> Json:
    return {**properties, key: physical_name(properties, key, logical_id, stack, limit=_NAME_LENGTH)}


def _create_model(properties: Json, logical_id: str, stack: str) -> Created:
    named = _hosting_name(properties, "ModelName", logical_id, stack)
    arn = sagemaker_models.new_model(_request("CreateModel", named))["ModelArn"]
    return arn, {"ModelArn": arn, "ModelName": named["ModelName"]}


def _update_model(ref: str, old: Json, new: Json) -> Json:
    change_tags(ref, old, new)
    return {"ModelArn": ref, "ModelName": ref.rsplit("/", 1)[-1]}


def _delete_model(ref: str, properties: Json) -> None:
    _unless_gone(sagemaker_models.delete_model, {"ModelName": ref.rsplit("/", 1)[-1]})


def _unless_gone(delete: Callable[[Json], Json], request: Json) -> None:
    """Delete something; SageMaker answers with a ValidationException when it is not there."""
    try:
        delete(request)
    except ServiceError as error:
        if not error.message.startswith("Could not find"):
            raise


def _create_config(properties: Json, logical_id: str, stack: str) -> Created:
    named = _hosting_name(properties, "EndpointConfigName", logical_id, stack)
    arn = sagemaker_models.new_endpoint_config(_request("CreateEndpointConfig", named))["EndpointConfigArn"]
    return arn, {"EndpointConfigArn": arn, "EndpointConfigName": named["EndpointConfigName"]}


def _update_config(ref: str, old: Json, new: Json) -> Json:
    change_tags(ref, old, new)
    return {"EndpointConfigArn": ref, "EndpointConfigName": ref.rsplit("/", 1)[-1]}


def _delete_config(ref: str, properties: Json) -> None:
    _unless_gone(sagemaker_models.delete_endpoint_config, {"EndpointConfigName": ref.rsplit("/", 1)[-1]})


def _create_endpoint(properties: Json, logical_id: str, stack: str) -> Created:
    named = _hosting_name(properties, "EndpointName", logical_id, stack)
    # What only an update knows is no member of CreateEndpoint.
    only_update = ("RetainAllVariantProperties", "ExcludeRetainedVariantProperties", "RetainDeploymentConfig")
    arn = sagemaker_hosting.new_endpoint(_request("CreateEndpoint", named, *only_update))["EndpointArn"]
    endpoint = sagemaker_hosting.find_endpoint(named["EndpointName"])
    endpoint.settled.wait()
    if endpoint.status != "InService":
        # The rollback of the stack would delete it; MiniStack does not know yet what to delete.
        sagemaker_hosting.delete_endpoint({"EndpointName": endpoint.name})
        raise ServiceError("NotStabilized", f"Endpoint {arn} is {endpoint.status}. {endpoint.failure_reason}")
    return arn, {"EndpointArn": arn, "EndpointName": endpoint.name}


def _update_endpoint(ref: str, old: Json, new: Json) -> Json:
    endpoint = sagemaker_hosting.find_endpoint(ref.rsplit("/", 1)[-1])
    endpoint.settled.wait()
    config_name = new["EndpointConfigName"].rsplit("/", 1)[-1]
    if config_name != endpoint.config_name:  # else only tags differ, or a failed update is being rolled back
        request = _request("UpdateEndpoint", {**new, "EndpointName": endpoint.name}, "Tags")
        sagemaker_hosting.change_endpoint(request)
        endpoint.settled.wait()
        if endpoint.failure_reason:
            raise ServiceError("NotStabilized", f"Endpoint {ref} was not updated. {endpoint.failure_reason}")
    change_tags(ref, old, new)
    return {"EndpointArn": ref, "EndpointName": endpoint.name}


def _delete_endpoint(ref: str, properties: Json) -> None:
    name = ref.rsplit("/", 1)[-1]
    if sagemaker_hosting.has_endpoint(name):
        sagemaker_hosting.find_endpoint(name).settled.wait()
    _unless_gone(sagemaker_hosting.delete_endpoint, {"EndpointName": name})


# ---- pipeline -------------------------------------------------------------------------------------------------------


def _pipeline_request(operation: str, properties: Json) -> Json:
    """Return a pipeline's properties as a request: the definition has other names in CloudFormation."""
    definition = properties["PipelineDefinition"]
    location = definition.get("PipelineDefinitionS3Location")
    request: Json = {key: value for key, value in properties.items() if key != "PipelineDefinition"}
    if location:
        names = {"Bucket": "Bucket", "Key": "ObjectKey", "Version": "VersionId"}
        request["PipelineDefinitionS3Location"] = {to: location[name] for name, to in names.items() if name in location}
    else:
        request["PipelineDefinition"] = definition["PipelineDefinitionBody"]
    return _request(operation, request, *(("Tags",) if operation == "UpdatePipeline" else ()))


def _create_pipeline(properties: Json, logical_id: str, stack: str) -> Created:
    request = _pipeline_request("CreatePipeline", {**properties, "ClientRequestToken": random_id(32)})
    sagemaker_pipelines.new_pipeline(request)
    return properties["PipelineName"], {}


def _update_pipeline(ref: str, old: Json, new: Json) -> Json:
    made = sagemaker_pipelines.change_pipeline(_pipeline_request("UpdatePipeline", new))
    change_tags(made["PipelineArn"], old, new)
    return {}


def _delete_pipeline(ref: str, properties: Json) -> None:
    sagemaker_pipelines.delete_pipeline({"PipelineName": ref})


def _install_hosting() -> None:
    prefix = "AWS::SageMaker::"
    resource_type(
        f"{prefix}Model",
        create=_create_model,
        update=_update_model,
        delete=_delete_model,
        create_only=(
            "Containers",
            "EnableNetworkIsolation",
            "ExecutionRoleArn",
            "InferenceExecutionConfig",
            "ModelName",
            "PrimaryContainer",
            "VpcConfig",
        ),
    )
    resource_type(
        f"{prefix}EndpointConfig",
        create=_create_config,
        update=_update_config,
        delete=_delete_config,
        create_only=(
            "AsyncInferenceConfig",
            "DataCaptureConfig",
            "EnableNetworkIsolation",
            "EndpointConfigName",
            "ExecutionRoleArn",
            "ExplainerConfig",
            "KmsKeyId",
            "MetricsConfig",
            "ProductionVariants",
            "ShadowProductionVariants",
            "VpcConfig",
        ),
    )
    resource_type(
        f"{prefix}Endpoint",
        create=_create_endpoint,
        update=_update_endpoint,
        delete=_delete_endpoint,
        create_only=("EndpointName",),
    )
    resource_type(
        f"{prefix}Pipeline",
        create=_create_pipeline,
        update=_update_pipeline,
        delete=_delete_pipeline,
        create_only=("PipelineName",),
    )


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
    _install_hosting()
    # Tags of the stack reach these types (``tagging`` in their schemas).
    tagged = ("Domain", "UserProfile", "ModelPackageGroup", "Model", "EndpointConfig", "Endpoint", "Pipeline")
    for name in tagged:
        provisioners._STACK_TAG_PROPERTY[f"{prefix}{name}"] = ("Tags", "list")
