"""The CloudFormation types of SageMaker that are used: domain, user profile, model package group, hosting, pipeline."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aws_emulator import bridge
from aws_emulator.clock import random_id
from aws_emulator.cloudformation.resources import Manner, record_type
from aws_emulator.core import ServiceError
from aws_emulator.sagemaker.hosting import ENDPOINTS
from aws_emulator.sagemaker.models import CONFIGS, MODELS
from aws_emulator.sagemaker.pipelines import PIPELINES
from aws_emulator.sagemaker.registry import GROUPS
from aws_emulator.sagemaker.store import SERVICE
from aws_emulator.sagemaker.studio import DOMAINS, PROFILES
from aws_emulator.shapes import request_of

if TYPE_CHECKING:
    from aws_emulator.core import Json


def _domain(properties: Json) -> Json:
    """Return the properties of a domain with the other name that an update has for one of them."""
    return {**properties, "DomainSettingsForUpdate": properties.get("DomainSettings", {})}


def _pipeline(properties: Json) -> Json:
    """Return the properties of a pipeline as requests have them: the definition has other names in CloudFormation."""
    definition = properties["PipelineDefinition"]
    location = definition.get("PipelineDefinitionS3Location")
    token = {"ClientRequestToken": random_id(32)}
    if not location:
        return {**properties, **token, "PipelineDefinition": definition["PipelineDefinitionBody"]}
    names = {"Bucket": "Bucket", "Key": "ObjectKey", "Version": "VersionId"}
    place = {to: location[name] for name, to in names.items() if name in location}
    others = {key: value for key, value in properties.items() if key != "PipelineDefinition"}
    return {**others, **token, "PipelineDefinitionS3Location": place}


def _has_other_configuration(endpoint: Json, new: Json) -> bool:
    """Whether an endpoint gets another configuration: else only tags differ, or a failed update is rolled back."""
    return bool(new["EndpointConfigName"].rsplit("/", 1)[-1] != endpoint["EndpointConfigName"])


def _settle_endpoint(endpoint: Json, properties: Json) -> None:
    """Wait for an endpoint.

    Raises:
        ServiceError: It was not created or not updated.
    """
    endpoint["settled"].wait()
    arn, reason = endpoint["EndpointArn"], endpoint["FailureReason"]
    if endpoint["EndpointStatus"] != "InService":
        # The rollback of the stack would delete it; MiniStack does not know yet what to delete.
        bridge.call(SERVICE, "DeleteEndpoint", {"EndpointName": endpoint["EndpointName"]})
        raise ServiceError("NotStabilized", f"Endpoint {arn} is {endpoint['EndpointStatus']}. {reason}")
    if reason:
        raise ServiceError("NotStabilized", f"Endpoint {arn} was not updated. {reason}")


def _put_policy(group: Json, properties: Json) -> None:
    """Give a group the resource policy of its template, or none."""
    policy, name = properties.get("ModelPackageGroupPolicy"), {"ModelPackageGroupName": group["ModelPackageGroupName"]}
    if policy is None:
        bridge.call(SERVICE, "DeleteModelPackageGroupPolicy", name)
        return
    text = policy if isinstance(policy, str) else json.dumps(policy)
    request = request_of(SERVICE, "PutModelPackageGroupPolicy", {**name, "ResourcePolicy": text})
    bridge.call(SERVICE, "PutModelPackageGroupPolicy", request)


_MANNERS: Final = {
    "Domain": Manner(spelled=_domain),
    "Endpoint": Manner(
        is_changed=_has_other_configuration, idle=lambda endpoint: endpoint["settled"].wait(), settle=_settle_endpoint
    ),
    "ModelPackageGroup": Manner(settle=_put_policy),
    "Pipeline": Manner(spelled=_pipeline),
}
for _table in (DOMAINS, PROFILES, GROUPS, MODELS, CONFIGS, ENDPOINTS, PIPELINES):
    record_type(_table, "AWS::SageMaker", _MANNERS.get(_table.noun))
