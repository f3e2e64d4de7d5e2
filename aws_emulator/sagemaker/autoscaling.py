"""Application Auto Scaling of endpoint variants: targets and policies are kept and checked; nothing ever scales.

Only the namespace ``sagemaker`` with instance counts of variants is known:
https://docs.aws.amazon.com/autoscaling/application/userguide/services-that-can-integrate-sagemaker.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from ministack.core.responses import get_account_id

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock, random_id
from aws_emulator.cloudformation.resources import resource_type
from aws_emulator.core import Json, Records, ServiceError
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import authorize
from aws_emulator.records import answer_tags, change_tags, drop_tags, set_tags, tag_map
from aws_emulator.sagemaker import hosting as sagemaker_hosting
from aws_emulator.sagemaker.models import refusal
from aws_emulator.shapes import request_of

if TYPE_CHECKING:
    from collections.abc import Mapping


SERVICE: Final = "application-autoscaling"
_NAMESPACE: Final = "sagemaker"
_DIMENSION: Final = "sagemaker:variant:DesiredInstanceCount"
_IDENTITY: Final = ("ResourceId", "ScalableDimension", "ServiceNamespace")
_RESOURCE: Final = re.compile(r"endpoint/(?P<endpoint>[^/]+)/variant/(?P<variant>[^/]+)")

_targets: Final = Records()
"""Targets by resource and dimension; under ``policies`` are theirs by name."""


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


def _target(request: Json) -> Json:
    """Return the registered target that a request names."""
    found: Json | None = _targets.get(_key(request))
    if found is None:
        raise _missing("scalable target", request)
    return found


def _check_variant(request: Json) -> None:
    """Check that the target is a variant with instances of an endpoint in service.

    Raises:
        ServiceError: It is not.
    """
    if request["ServiceNamespace"] != _NAMESPACE or request["ScalableDimension"] != _DIMENSION:
        raise refusal(f"Only {_DIMENSION} is emulated here, not {request['ScalableDimension']}.")
    found = _RESOURCE.fullmatch(request["ResourceId"])
    if found is None:
        raise refusal(f"Unsupported resource ID: {request['ResourceId']}")
    try:
        described = sagemaker_hosting.describe_endpoint({"EndpointName": found["endpoint"]})
    except ServiceError as error:
        raise refusal(error.message) from error
    variants = {item["VariantName"]: item for item in described.get("ProductionVariants", [])}
    if "CurrentInstanceCount" not in variants.get(found["variant"], {}):
        raise refusal(f"Endpoint {found['endpoint']} has no variant {found['variant']} with instances.")


@overlay(SERVICE, "RegisterScalableTarget")
def register_scalable_target(request: Json) -> Json:
    """Register a target, or change what the request names of one."""
    _check_variant(request)
    before: Json = _targets.get(_key(request)) or {}
    made = {
        "policies": {},
        "CreationTime": clock.now(),
        "ScalableTargetARN": core.arn(SERVICE, f"scalable-target/{random_id(32)}"),
    }
    target = {**made, **before, **{key: value for key, value in request.items() if key != "Tags"}}
    if not before and not {"MinCapacity", "MaxCapacity"} <= target.keys():
        raise refusal("A new scalable target needs MinCapacity and MaxCapacity.")
    if target["MinCapacity"] > target["MaxCapacity"]:
        raise refusal("Maximum capacity cannot be less than minimum capacity")
    if request.get("Tags"):
        if before:
            raise refusal("Tags are for new scalable targets only: use TagResource.")
        # A dependent action of RegisterScalableTarget (Service Authorization Reference), with the tags of the request.
        asked = {f"aws:RequestTag/{key}": value for key, value in request["Tags"].items()}
        keys = {**asked, "aws:TagKeys": list(request["Tags"])}
        authorize(f"{SERVICE}:TagResource", target["ScalableTargetARN"], context=keys)
    # The service-linked role that registering creates where no role is named (user guide, "Service-linked roles").
    linked = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    path = "aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
    target["RoleARN"] = f"arn:aws:iam::{get_account_id()}:role/{path}/{linked}"
    _targets[_key(request)] = target
    if not before:
        set_tags(target["ScalableTargetARN"], request.get("Tags"))
    return {"ScalableTargetARN": target["ScalableTargetARN"]}


@overlay(SERVICE, "DescribeScalableTargets")
def describe_scalable_targets(request: Json) -> Json:
    """List targets."""
    wanted = request.get("ResourceIds")
    found: list[Json] = [
        target
        for target in _targets.values()
        if (not wanted or target["ResourceId"] in wanted)
        and request.get("ScalableDimension") in {None, target["ScalableDimension"]}
    ]
    return {"ScalableTargets": found}


@overlay(SERVICE, "DeregisterScalableTarget")
def deregister_scalable_target(request: Json) -> Json:
    """Forget a target and its policies."""
    drop_tags(_target(request)["ScalableTargetARN"])
    del _targets[_key(request)]
    return {}


@overlay(SERVICE, "PutScalingPolicy")
def put_scaling_policy(request: Json) -> Json:
    """Create or replace a policy of a registered target."""
    policies, name = _target(request)["policies"], request["PolicyName"]
    resource = f"{request['ServiceNamespace']}/{request['ResourceId']}:policyName/{name}"
    arn = f"{core.arn('autoscaling', 'scalingPolicy')}:{random_id(32)}:resource/{resource}"
    new = {"PolicyARN": arn, "CreationTime": clock.now(), "Alarms": []}
    policies[name] = {**policies.get(name, new), **request}
    return {"PolicyARN": policies[name]["PolicyARN"], "Alarms": []}


@overlay(SERVICE, "DeleteScalingPolicy")
def delete_scaling_policy(request: Json) -> Json:
    """Delete a policy."""
    if _target(request)["policies"].pop(request["PolicyName"], None) is None:
        raise _missing("scaling policy", request)
    return {}


# ---- tags and permissions -------------------------------------------------------------------------------------------


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


def _keys(_action: str, request: Json) -> Mapping[str, Any]:
    """Return what a request has of the condition keys that the reference lists for some of the service's actions."""
    return {f"{SERVICE}:{key}": request[name] for name, key in _NAMED_IN_CONDITIONS.items() if name in request}


# ---- CloudFormation -------------------------------------------------------------------------------------------------


def _tagged(properties: Json) -> Json:
    """Return properties with their tags as the API has them."""
    return {**properties, "Tags": tag_map(properties.get("Tags"))}


def _create_target(properties: Json, logical_id: str, stack: str) -> Json:
    register_scalable_target(request_of(SERVICE, "RegisterScalableTarget", _tagged(properties)))
    return {"Id": "|".join(properties[key] for key in _IDENTITY)}


def _update_target(ref: str, old: Json, new: Json) -> Json:
    made = _create_target({key: value for key, value in new.items() if key != "Tags"}, "", "")
    change_tags(_targets[_key(_identity(ref))]["ScalableTargetARN"], old, new)
    return made


def _identity(ref: str) -> Json:
    return dict(zip(_IDENTITY, ref.split("|"), strict=True))


def _policy_request(properties: Json) -> Json:
    """Return a policy's properties as a request; it names its target by itself or by the target's reference."""
    target = properties.get("ScalingTargetId")
    return request_of(SERVICE, "PutScalingPolicy", {**properties, **(_identity(target) if target else {})})


def _put_policy(properties: Json, *_place: str) -> Json:
    return {"Arn": put_scaling_policy(_policy_request(properties))["PolicyARN"]}


answer_tags(SERVICE)
iam.RESOURCES_BY_PATH[SERVICE] = _resource
iam.REQUEST_KEYS[SERVICE] = _keys
resource_type(
    "AWS::ApplicationAutoScaling::ScalableTarget",
    create=_create_target,
    update=_update_target,
    delete=lambda ref, properties: deregister_scalable_target(_identity(ref)),
)
resource_type(
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    create=_put_policy,
    update=lambda ref, old, new: _put_policy(new),
    delete=lambda ref, properties: delete_scaling_policy(_policy_request(properties)),
)
