"""Application Auto Scaling of endpoint variants: targets and policies are kept and checked; nothing ever scales.

Only the namespace ``sagemaker`` with instance counts of variants is known:
https://docs.aws.amazon.com/autoscaling/application/userguide/services-that-can-integrate-sagemaker.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from ministack.core import iam_actions
from ministack.core.responses import get_account_id

from rehearsal.cloud import core, iam, sagemaker_hosting
from rehearsal.cloud.bridge import bridge
from rehearsal.cloud.callers import authorize
from rehearsal.cloud.clock import clock, random_id
from rehearsal.cloud.core import Json, Records, ServiceError, overlay
from rehearsal.cloud.resources import resource_type
from rehearsal.cloud.sagemaker_store import page
from rehearsal.cloud.shapes import check_request, refuse_others, typed_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rehearsal.cloud.resources import Created

SERVICE: Final = "application-autoscaling"
_NAMESPACE: Final = "sagemaker"
_DIMENSION: Final = "sagemaker:variant:DesiredInstanceCount"
_RESOURCE: Final = re.compile(r"endpoint/(?P<endpoint>[^/]+)/variant/(?P<variant>[^/]+)")

_targets: Final = Records()
_policies: Final = Records()


def _key(request: Json) -> tuple[str, str]:
    """Return what identifies a target: resource and dimension."""
    return request["ResourceId"], request["ScalableDimension"]


def target_arn(resource_id: str, dimension: str) -> str | None:
    """Return the ARN of a target; None while it is not registered."""
    target: Json | None = _targets.get((resource_id, dimension))
    return str(target["ScalableTargetARN"]) if target else None


def _missing(kind: str, request: Json) -> ServiceError:
    return ServiceError(
        "ObjectNotFoundException",
        f"No {kind} found for service namespace: {request['ServiceNamespace']}, resource ID: {request['ResourceId']}, "
        f"scalable dimension: {request['ScalableDimension']}",
    )


def _check_variant(request: Json) -> None:
    """Check that the target is a variant with instances of an endpoint in service.

    Raises:
        ServiceError: It is not.
    """
    if request["ServiceNamespace"] != _NAMESPACE or request["ScalableDimension"] != _DIMENSION:
        raise ServiceError(
            "ValidationException", f"Only {_DIMENSION} is emulated here, not {request['ScalableDimension']}."
        )
    found = _RESOURCE.fullmatch(request["ResourceId"])
    if found is None:
        raise ServiceError("ValidationException", f"Unsupported resource ID: {request['ResourceId']}")
    try:
        described = sagemaker_hosting.describe_endpoint({"EndpointName": found["endpoint"]})
    except ServiceError as error:
        raise ServiceError("ValidationException", error.message) from error
    variants = {item["VariantName"]: item for item in described.get("ProductionVariants", [])}
    if "CurrentInstanceCount" not in variants.get(found["variant"], {}):
        raise ServiceError(
            "ValidationException", f"Endpoint {found['endpoint']} has no variant {found['variant']} with instances."
        )


@overlay(SERVICE, "RegisterScalableTarget")
def register_scalable_target(request: Json) -> Json:
    """Register a target, or change what the request names of one."""
    _check_variant(request)
    before: Json = _targets.get(_key(request)) or {}
    made = {"CreationTime": clock.now(), "ScalableTargetARN": core.arn(SERVICE, f"scalable-target/{random_id(32)}")}
    target = {"Tags": {}, **made, **before, **{key: value for key, value in request.items() if key != "Tags"}}
    if not before and not {"MinCapacity", "MaxCapacity"} <= target.keys():
        raise ServiceError("ValidationException", "A new scalable target needs MinCapacity and MaxCapacity.")
    if target["MinCapacity"] > target["MaxCapacity"]:
        raise ServiceError("ValidationException", "Maximum capacity cannot be less than minimum capacity")
    if request.get("Tags"):
        if before:
            raise ServiceError("ValidationException", "Tags are for new scalable targets only: use TagResource.")
        # A dependent action of RegisterScalableTarget (Service Authorization Reference), with the tags of the request.
        asked = {f"aws:RequestTag/{key}": value for key, value in request["Tags"].items()}
        keys = {**asked, "aws:TagKeys": list(request["Tags"])}
        authorize(f"{SERVICE}:TagResource", target["ScalableTargetARN"], context=keys)
        target["Tags"] = dict(request["Tags"])
    # The service-linked role that registering creates where no role is named (user guide, "Service-linked roles").
    linked = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    path = "aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
    target["RoleARN"] = f"arn:aws:iam::{get_account_id()}:role/{path}/{linked}"
    _targets[_key(request)] = target
    return {"ScalableTargetARN": target["ScalableTargetARN"]}


@overlay(SERVICE, "DescribeScalableTargets")
def describe_scalable_targets(request: Json) -> Json:
    """List targets."""
    wanted = request.get("ResourceIds")
    hidden = ("Tags",)
    found: list[Json] = [
        {key: value for key, value in target.items() if key not in hidden}
        for target in _targets.values()
        if (not wanted or target["ResourceId"] in wanted)
        and request.get("ScalableDimension") in {None, target["ScalableDimension"]}
    ]
    return page(request, "ScalableTargets", found, size=50)


@overlay(SERVICE, "DeregisterScalableTarget")
def deregister_scalable_target(request: Json) -> Json:
    """Forget a target and its policies."""
    if _key(request) not in _targets:
        raise _missing("scalable target", request)
    del _targets[_key(request)]
    for place in [place for place in _policies if place[:2] == _key(request)]:
        del _policies[place]
    return {}


@overlay(SERVICE, "PutScalingPolicy")
def put_scaling_policy(request: Json) -> Json:
    """Create or replace a policy of a registered target."""
    if _key(request) not in _targets:
        raise _missing("scalable target", request)
    place = (*_key(request), request["PolicyName"])
    name = f"{request['ServiceNamespace']}/{request['ResourceId']}:policyName/{request['PolicyName']}"
    arn = f"{core.arn('autoscaling', 'scalingPolicy')}:{random_id(32)}:resource/{name}"
    before: Json = _policies.get(place) or {"PolicyARN": arn, "CreationTime": clock.now(), "Alarms": []}
    _policies[place] = {**before, **request}
    return {"PolicyARN": before["PolicyARN"], "Alarms": []}


@overlay(SERVICE, "DescribeScalingPolicies")
def describe_scaling_policies(request: Json) -> Json:
    """List policies."""
    found: list[Json] = [
        policy
        for policy in _policies.values()
        if request.get("ResourceId") in {None, policy["ResourceId"]}
        and request.get("ScalableDimension") in {None, policy["ScalableDimension"]}
        and policy["PolicyName"] in request.get("PolicyNames", [policy["PolicyName"]])
    ]
    return page(request, "ScalingPolicies", found, size=50)


@overlay(SERVICE, "DeleteScalingPolicy")
def delete_scaling_policy(request: Json) -> Json:
    """Delete a policy."""
    place = (*_key(request), request["PolicyName"])
    if place not in _policies:
        raise _missing("scaling policy", request)
    del _policies[place]
    return {}


# ---- tags and permissions -------------------------------------------------------------------------------------------


def _target_of(arn: str) -> Json:
    found: Json | None = next((item for item in _targets.values() if item["ScalableTargetARN"] == arn), None)
    if found is None:
        raise ServiceError("ResourceNotFoundException", f"The specified resource doesn't exist: {arn}.")
    return found


@overlay(SERVICE, "TagResource")
def tag_resource(request: Json) -> Json:
    """Add tags to a target."""
    _target_of(request["ResourceARN"])["Tags"].update(request["Tags"])
    return {}


@overlay(SERVICE, "UntagResource")
def untag_resource(request: Json) -> Json:
    """Take tags off a target."""
    tags = _target_of(request["ResourceARN"])["Tags"]
    for key in request["TagKeys"]:
        tags.pop(key, None)
    return {}


@overlay(SERVICE, "ListTagsForResource")
def list_tags_for_resource(request: Json) -> Json:
    """List the tags of a target."""
    return {"Tags": dict(_target_of(request["ResourceARN"])["Tags"])}


def _tags(arn: str) -> Mapping[str, str]:
    try:
        tags: Mapping[str, str] = _target_of(arn)["Tags"]
    except ServiceError:
        return {}
    return tags


def _resource(_path: str, body: bytes, _query: Mapping[str, Any]) -> str | None:
    """Return the ARN of the target that a request is about; that of one that is not there yet has no id."""
    request = json.loads(body or b"{}")
    if "ResourceARN" in request:
        return str(request["ResourceARN"])
    if "ScalableDimension" not in request or "ResourceId" not in request:
        return None
    target: Json = _targets.get(_key(request)) or {}
    return str(target.get("ScalableTargetARN") or core.arn(SERVICE, "scalable-target/*"))


_NAMED_IN_CONDITIONS: Final = {"ServiceNamespace": "service-namespace", "ScalableDimension": "scalable-dimension"}


def _install_permissions() -> None:
    """Give requests the resource and the keys that the Service Authorization Reference lists.

    The namespace is a key of the actions on a target and its policies, not of those on its tags or of those that list.
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsapplicationautoscaling.html
    """
    iam.TAGS[SERVICE] = _tags
    iam.RESOURCES_BY_PATH[SERVICE] = _resource
    original = iam_actions.request_tag_context

    def context(service: str, action: str, body: bytes, query: Mapping[str, Any]) -> dict[str, Any]:
        keys: dict[str, Any] = original(service, action, body, query)
        if action.startswith(f"{SERVICE}:") and not action.startswith(f"{SERVICE}:Describe"):
            request = json.loads(body or b"{}")
            keys |= {f"{SERVICE}:{key}": request[name] for name, key in _NAMED_IN_CONDITIONS.items() if name in request}
        return keys

    iam_actions.request_tag_context = context


# ---- CloudFormation -------------------------------------------------------------------------------------------------


def _request(operation: str, properties: Json, *left_out: str) -> Json:
    given = {key: value for key, value in properties.items() if key not in left_out}
    request = typed_request(SERVICE, operation, given)
    check_request(SERVICE, operation, request)
    return request


def _tags_as_map(properties: Json) -> Json:
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    return {**properties, **({"Tags": tags} if tags else {})}


def _create_target(properties: Json, logical_id: str, stack: str) -> Created:
    register_scalable_target(_request("RegisterScalableTarget", _tags_as_map(properties), "ScheduledActions"))
    ref = "|".join(properties[key] for key in ("ResourceId", "ScalableDimension", "ServiceNamespace"))
    return ref, {"Id": ref}


def _update_target(ref: str, old: Json, new: Json) -> Json:
    made = _create_target({key: value for key, value in new.items() if key != "Tags"}, "", "")[1]
    _targets[_key(_identity(ref))]["Tags"] = _tags_as_map(new).get("Tags", {})
    return made


def _identity(ref: str) -> Json:
    return dict(zip(("ResourceId", "ScalableDimension", "ServiceNamespace"), ref.split("|"), strict=True))


def _delete_target(ref: str, properties: Json) -> None:
    deregister_scalable_target(_identity(ref))


def _policy_request(properties: Json) -> Json:
    """Return a policy's properties as a request; it names its target by itself or by the target's reference."""
    target = properties.get("ScalingTargetId")
    named = {**properties, **(_identity(target) if target else {})}
    return _request("PutScalingPolicy", named, "ScalingTargetId")


def _create_policy(properties: Json, logical_id: str, stack: str) -> Created:
    arn: str = put_scaling_policy(_policy_request(properties))["PolicyARN"]
    return arn, {"Arn": arn}


def _update_policy(ref: str, old: Json, new: Json) -> Json:
    put_scaling_policy(_policy_request(new))
    return {"Arn": ref}


def _delete_policy(ref: str, properties: Json) -> None:
    request = _policy_request(properties)
    delete_scaling_policy(request)


def install() -> None:
    """Answer the service's requests, refuse what is not emulated, and register the types."""
    bridge(SERVICE)
    _install_permissions()
    refuse_others(SERVICE)
    prefix = "AWS::ApplicationAutoScaling::"
    identity = ("ResourceId", "ScalableDimension", "ServiceNamespace")
    resource_type(
        f"{prefix}ScalableTarget",
        create=_create_target,
        update=_update_target,
        delete=_delete_target,
        create_only=identity,
    )
    resource_type(
        f"{prefix}ScalingPolicy",
        create=_create_policy,
        update=_update_policy,
        delete=_delete_policy,
        create_only=("PolicyName", "ScalingTargetId", *identity),
    )
