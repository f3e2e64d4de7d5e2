"""SageMaker's endpoints: created, moved to another configuration, described and deleted.

An endpoint in service has a container for each variant. An update starts the containers of the new configuration, and
moves the traffic only when all of them are healthy:
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html
Refusals are worded as SageMaker words them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from botocore import xform_name

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import assume_as_service, authorize
from aws_emulator.records import tags_of
from aws_emulator.sagemaker.fleets import Fleet, Variant, start_fleet
from aws_emulator.sagemaker.models import CONFIGS, MODELS, refusal
from aws_emulator.sagemaker.servers import ContainerError, container_of
from aws_emulator.sagemaker.store import PRINCIPAL, SERVICE, table

if TYPE_CHECKING:
    from collections.abc import Iterable

_log: Final = logging.getLogger(__name__)
EVENT: Final = "SageMaker Endpoint State Change"
ENDPOINTS: Final = table(
    noun="Endpoint",
    missing='Could not find endpoint "{arn}".',
    taken='Cannot create already existing endpoint "{arn}".',
).answers("List")
"""Endpoints; under ``fleet`` is what serves one, under ``settled`` an event that is set while it is not changing."""


def serving_fleet(name: str) -> Fleet | None:
    """Return what serves an endpoint of the current account; None when nothing does (yet)."""
    found: Json = ENDPOINTS.records.get(name) or {}
    return found.get("fleet")


def _authorize_config(operation: str, request: Json) -> None:
    """Check the action against the configuration too: it is authorised for both resources of the request.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html
    """
    authorize(f"sagemaker:{operation}", CONFIGS.arn(request["EndpointConfigName"]))


@overlay(SERVICE, "CreateEndpoint")
def create_endpoint(request: Json) -> Json:
    """Create an endpoint, which is in service some time later."""
    _authorize_config("CreateEndpoint", request)
    ENDPOINTS.require_free(request)
    config = CONFIGS.find(request)
    endpoint = ENDPOINTS.add(request, EndpointStatus="Creating", fleet=None, settled=clock.event())
    _announce(endpoint)
    clock.start(_create, endpoint, config)
    return endpoint


def _settle(endpoint: Json, status: str, reason: str | None = None) -> None:
    _change(endpoint, status, FailureReason=reason[:1024] if reason else None, PendingDeploymentSummary=None)
    endpoint["settled"].set()


def _change(endpoint: Json, status: str, **members: Any) -> None:  # noqa: ANN401
    endpoint.update(members, EndpointStatus=status, LastModifiedTime=clock.now())
    _announce(endpoint)


def _announce(endpoint: Json) -> None:
    """Put the state change on the default bus.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html (endpoint state change)
    """
    arn = endpoint["EndpointArn"]
    detail = {
        **{key: endpoint[key] for key in ("EndpointName", "EndpointArn", "EndpointConfigName")},
        "EndpointStatus": xform_name(endpoint["EndpointStatus"]).upper(),
        **{key: int(endpoint[key] * 1000) for key in ("CreationTime", "LastModifiedTime")},
        "Tags": dict(tags_of(arn)),
    }
    core.emit("aws.sagemaker", EVENT, detail, arn)


def _create(endpoint: Json, config: Json) -> None:
    try:
        endpoint["fleet"] = start_fleet(endpoint["EndpointName"], config)
    except Exception as error:  # of any kind: the endpoint must not stay in progress
        _log.warning("endpoint %s was not created: %s", endpoint["EndpointName"], error)
        _settle(endpoint, "Failed", _reason(error))
    else:
        _settle(endpoint, "InService")


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, ServiceError) else str(error)


@overlay(SERVICE, "UpdateEndpoint")
def update_endpoint(request: Json) -> Json:
    """Move an endpoint to another configuration, which it has some time later.

    Raises:
        ServiceError: It is not there, not in service, of another kind than the configuration, or shall have other
            variants under deployment guardrails.
    """
    _authorize_config("UpdateEndpoint", request)
    for name in _alarms(request.get("DeploymentConfig") or {}):
        authorize("cloudwatch:DescribeAlarms", core.arn("cloudwatch", f"alarm:{name}"))
    endpoint, config = ENDPOINTS.find(request), CONFIGS.find(request)
    fleet: Fleet | None = endpoint["fleet"]
    if endpoint["EndpointStatus"] != "InService" or fleet is None:
        status = endpoint["EndpointStatus"]
        word = "in-progress" if status in {"Creating", "Updating"} else status.lower()
        raise refusal(f'Cannot update {word} endpoint "{endpoint["EndpointArn"]}".')
    before, after = (c["ProductionVariants"][0].get("ServerlessConfig") for c in (fleet.config, config))
    if after and not before:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html (exclusions)
        raise refusal("An instance-based endpoint cannot be updated to a serverless endpoint.")
    deployment = request.get("DeploymentConfig") or (
        endpoint.get("LastDeploymentConfig") if request.get("RetainDeploymentConfig") else None
    )
    if deployment:
        _check_variants(fleet.config, config)
    pending = {"EndpointConfigName": config["EndpointConfigName"], "StartTime": clock.now()}
    endpoint["settled"].clear()
    _change(endpoint, "Updating", FailureReason=None, LastDeploymentConfig=deployment, PendingDeploymentSummary=pending)
    excluded = {item["VariantPropertyType"] for item in request.get("ExcludeRetainedVariantProperties", [])}
    retained = (
        {"DesiredInstanceCount", "DesiredWeight"} - excluded if request.get("RetainAllVariantProperties") else set()
    )
    clock.start(_update, endpoint, config, retained)
    return endpoint


def _check_variants(old: Json, new: Json) -> None:
    """Check that an update with guardrails keeps the variants; no source exempts shadow variants.

    https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-exclusions.html

    Raises:
        ServiceError: It adds or drops one.
    """
    before, after = (
        {
            item["VariantName"]
            for key in ("ProductionVariants", "ShadowProductionVariants")
            for item in config.get(key, [])
        }
        for config in (old, new)
    )
    if before != after:
        raise refusal(
            "With a DeploymentConfig, the new endpoint configuration must have the same variant names as the old one: "
            f"{', '.join(sorted(before))}, not {', '.join(sorted(after))}."
        )


def _update(endpoint: Json, config: Json, retained: set[str]) -> None:
    """Start the new fleet, check the alarms, move the traffic, end the old fleet; or leave everything as it was."""
    old, new = endpoint["fleet"], None
    try:
        new = start_fleet(endpoint["EndpointName"], config)
        _check_alarms(endpoint["LastDeploymentConfig"] or {}, config)
    except Exception as error:  # of any kind: the endpoint must not stay in progress
        _log.warning("endpoint %s stays at %s: %s", endpoint["EndpointName"], endpoint["EndpointConfigName"], error)
        if new:
            new.stop()
        _settle(endpoint, "InService", _reason(error))
        return
    for name, variant in new.variants.items():
        before = old.variants.get(name)
        if before and "DesiredInstanceCount" in retained:
            variant.instances = before.instances
        if before and "DesiredWeight" in retained:
            variant.weight = before.weight
    endpoint.update(fleet=new, EndpointConfigName=config["EndpointConfigName"])
    _settle(endpoint, "InService")
    old.stop()


def _alarms(deployment: Json) -> list[str]:
    return [item["AlarmName"] for item in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]


def _check_alarms(deployment: Json, config: Json) -> None:
    """Check the alarms of an automatic rollback once the new fleet runs; shifting and baking take no time here.

    "Ensure that your IAM execution role has permission to perform the cloudwatch:DescribeAlarms action on the
    auto-rollback alarms", without saying whose role that is: here the models'; the caller who updates needs it
    too.
    https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html (AutoRollbackConfiguration)

    Raises:
        ContainerError: One of them is in ALARM or does not exist.
        ServiceError: The role of a model is not allowed to see them.
    """
    alarms = _alarms(deployment)
    if not alarms:
        return
    for role in {MODELS.find(item)["ExecutionRoleArn"] for item in config["ProductionVariants"]}:
        credentials = assume_as_service(role, PRINCIPAL, "SageMaker")
        for arn in (core.arn("cloudwatch", f"alarm:{name}") for name in alarms):
            if not iam.is_allowed(credentials, "cloudwatch:DescribeAlarms", arn):
                message = f"{role} is not authorized to perform: cloudwatch:DescribeAlarms on resource: {arn}"
                raise ServiceError("AccessDeniedException", message)
    found = core.client("cloudwatch").describe_alarms(AlarmNames=alarms, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    states = {
        alarm["AlarmName"]: alarm["StateValue"] for key in ("MetricAlarms", "CompositeAlarms") for alarm in found[key]
    }
    missing = [name for name in alarms if name not in states]
    ringing = [name for name in alarms if states.get(name) == "ALARM"]
    if missing:
        raise ContainerError(f"The alarms {', '.join(missing)} of AutoRollbackConfiguration do not exist.")
    if ringing:
        raise ContainerError(
            f"The deployment was rolled back because of the alarms {', '.join(ringing)} in ALARM state."
        )


def _described(variants: Iterable[Variant]) -> list[Json]:
    return [
        {
            "VariantName": variant.settings["VariantName"],
            "DeployedImages": [
                {"SpecifiedImage": image, "ResolvedImage": image}
                for image in [container_of(variant.server.model).get("Image")]
                if image
            ],
            "CurrentWeight": variant.weight,
            "DesiredWeight": variant.weight,
            **(
                {"CurrentServerlessConfig": variant.settings["ServerlessConfig"]}
                if "ServerlessConfig" in variant.settings
                else {"CurrentInstanceCount": variant.instances, "DesiredInstanceCount": variant.instances}
            ),
        }
        for variant in variants
    ]


@overlay(SERVICE, "DescribeEndpoint")
def describe_endpoint(request: Json) -> Json:
    """Describe an endpoint; the variants are those that serve at the moment."""
    endpoint = ENDPOINTS.find(request)
    fleet: Fleet | None = endpoint["fleet"]
    if fleet is None:
        return endpoint
    capture = fleet.config.get("DataCaptureConfig")
    return {
        **endpoint,
        "ProductionVariants": _described(fleet.variants.values()),
        "ShadowProductionVariants": _described(fleet.shadows.values()) or None,
        "DataCaptureConfig": capture and _capture_summary(capture),
    }


def _capture_summary(capture: Json) -> Json:
    enabled = capture.get("EnableCapture", True)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }


@overlay(SERVICE, "DeleteEndpoint")
def delete_endpoint(request: Json) -> Json:
    """Delete an endpoint, after the requests that it is answering; one that is changing stays."""
    endpoint = ENDPOINTS.find(request)
    if not endpoint["settled"].is_set():
        raise refusal(f'Cannot delete in-progress endpoint "{endpoint["EndpointArn"]}".')
    _change(endpoint, "Deleting")
    ENDPOINTS.delete(request)
    if endpoint["fleet"]:
        clock.start(endpoint["fleet"].stop)
    return {}
