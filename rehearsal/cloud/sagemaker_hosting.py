"""SageMaker's endpoints: created, moved to another configuration, described and deleted.

An endpoint in service has a container for each variant. An update starts the containers of the new configuration, and
moves the traffic only when all of them are healthy:
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html
Refusals are worded as SageMaker words them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ministack.core.responses import get_account_id, get_region

from rehearsal.cloud import core, iam
from rehearsal.cloud.callers import assume_as_service, authorize
from rehearsal.cloud.clock import Event, clock
from rehearsal.cloud.core import Json, Records, ServiceError, overlay
from rehearsal.cloud.sagemaker_fleets import Fleet, Variant, log_group, start_fleet
from rehearsal.cloud.sagemaker_models import find_endpoint_config, find_model, refusal
from rehearsal.cloud.sagemaker_servers import PRINCIPAL, ContainerError, container_of
from rehearsal.cloud.sagemaker_store import SERVICE, drop_tags, page, set_tags, sort, tags_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_log: Final = logging.getLogger(__name__)
EVENT: Final = "SageMaker Endpoint State Change"

_endpoints: Final = Records()


@dataclass(kw_only=True)
class Endpoint:
    """An endpoint and the fleet that serves it."""

    name: str
    arn: str
    config_name: str
    created: float
    changed: float
    status: str = "Creating"
    failure_reason: str | None = None
    fleet: Fleet | None = None
    pending: Json | None = None
    deployment: Json | None = None
    settled: Event = field(default_factory=clock.event)

    @property
    def log_group(self) -> str:
        """Log group of its containers."""
        return log_group(self.name)


def serving_endpoint(name: str) -> tuple[Endpoint, Fleet] | None:
    """Return an endpoint of the current account and what serves it; None when nothing does (yet)."""
    found: Endpoint | None = _endpoints.get(name)
    return (found, found.fleet) if found and found.fleet else None


def has_endpoint(name: str) -> bool:
    """Whether the current account has an endpoint with this name, in whatever state."""
    return name in _endpoints


def find_endpoint(name: str) -> Endpoint:
    """Return an endpoint of the current account.

    Raises:
        ServiceError: There is none with this name.
    """
    found: Endpoint | None = _endpoints.get(name)
    if found is None:
        raise refusal(f'Could not find endpoint "{core.arn(SERVICE, f"endpoint/{name}")}".')
    return found


def _authorize_config(operation: str, request: Json) -> None:
    """Check the action against the configuration too: it is authorised for both resources of the request.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html
    """
    arn = core.arn(SERVICE, f"endpoint-config/{request['EndpointConfigName']}")
    authorize(f"sagemaker:{operation}", arn)


@overlay(SERVICE, "CreateEndpoint")
def create_endpoint(request: Json) -> Json:
    """Create an endpoint, which is in service some time later."""
    _authorize_config("CreateEndpoint", request)
    return new_endpoint(request)


def new_endpoint(request: Json) -> Json:
    """Create an endpoint.

    Raises:
        ServiceError: The name is taken, or the configuration does not exist.
    """
    name = request["EndpointName"]
    arn = core.arn(SERVICE, f"endpoint/{name}")
    if name in _endpoints:
        raise refusal(f'Cannot create already existing endpoint "{arn}".')
    config = find_endpoint_config(request["EndpointConfigName"])
    moment = clock.now()
    endpoint = Endpoint(name=name, arn=arn, config_name=config["EndpointConfigName"], created=moment, changed=moment)
    _endpoints[name] = endpoint
    set_tags(arn, request.get("Tags"))
    _announce(endpoint)
    clock.start(_create, endpoint, config)
    return {"EndpointArn": arn}


def _settle(endpoint: Endpoint, status: str, reason: str | None = None) -> None:
    endpoint.status, endpoint.failure_reason = status, reason[:1024] if reason else None
    endpoint.changed, endpoint.pending = clock.now(), None
    endpoint.settled.set()
    _announce(endpoint)


_EVENT_STATUSES: Final = {
    "Creating": "CREATING",
    "Updating": "UPDATING",
    "InService": "IN_SERVICE",
    "Failed": "FAILED",
    "Deleting": "DELETING",
}


def _announce(endpoint: Endpoint) -> None:
    """Put the state change on the default bus.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html (endpoint state change)
    """
    detail = {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.config_name,
        "EndpointStatus": _EVENT_STATUSES[endpoint.status],
        "CreationTime": int(endpoint.created * 1000),
        "LastModifiedTime": int(endpoint.changed * 1000),
        "Tags": tags_of(endpoint.arn),
    }
    core.emit(get_account_id(), get_region(), "aws.sagemaker", EVENT, detail, [endpoint.arn])


def _create(endpoint: Endpoint, config: Json) -> None:
    try:
        endpoint.fleet = start_fleet(endpoint.name, config)
    except Exception as error:  # whatever it is, somebody waits for the endpoint
        _log.warning("endpoint %s was not created: %s", endpoint.name, error)
        _settle(endpoint, "Failed", _reason(error))
    else:
        _settle(endpoint, "InService")


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, ServiceError) else str(error)


@overlay(SERVICE, "UpdateEndpoint")
def update_endpoint(request: Json) -> Json:
    """Move an endpoint to another configuration, which it has some time later."""
    _authorize_config("UpdateEndpoint", request)
    for name in _alarms(request.get("DeploymentConfig") or {}):
        authorize("cloudwatch:DescribeAlarms", core.arn("cloudwatch", f"alarm:{name}"))
    return change_endpoint(request)


def change_endpoint(request: Json) -> Json:
    """Move an endpoint to another configuration.

    Raises:
        ServiceError: It is not there, not in service, of another kind than the configuration, or shall have other
            variants under deployment guardrails.
    """
    endpoint = find_endpoint(request["EndpointName"])
    config = find_endpoint_config(request["EndpointConfigName"])
    if endpoint.status != "InService" or endpoint.fleet is None:
        word = "in-progress" if endpoint.status in {"Creating", "Updating"} else endpoint.status.lower()
        raise refusal(f'Cannot update {word} endpoint "{endpoint.arn}".')
    before, after = (c["ProductionVariants"][0].get("ServerlessConfig") for c in (endpoint.fleet.config, config))
    if after and not before:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html (exclusions)
        raise refusal("An instance-based endpoint cannot be updated to a serverless endpoint.")
    deployment = request.get("DeploymentConfig") or (
        endpoint.deployment if request.get("RetainDeploymentConfig") else None
    )
    if deployment:
        _check_variants(endpoint.fleet.config, config)
    endpoint.status, endpoint.failure_reason = "Updating", None
    endpoint.changed, endpoint.deployment = clock.now(), deployment
    endpoint.pending = {"EndpointConfigName": config["EndpointConfigName"], "StartTime": clock.now()}
    endpoint.settled.clear()
    _announce(endpoint)
    excluded = {item["VariantPropertyType"] for item in request.get("ExcludeRetainedVariantProperties", [])}
    retained = (
        {"DesiredInstanceCount", "DesiredWeight"} - excluded if request.get("RetainAllVariantProperties") else set()
    )
    clock.start(_update, endpoint, config, retained)
    return {"EndpointArn": endpoint.arn}


def _check_variants(old: Json, new: Json) -> None:
    """Check that an update with guardrails keeps the variants; nobody says that shadows do not count.

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


def _update(endpoint: Endpoint, config: Json, retained: set[str]) -> None:
    """Start the new fleet, check the alarms, move the traffic, end the old fleet; or leave everything as it was."""
    old, new = endpoint.fleet, None
    try:
        new = start_fleet(endpoint.name, config)
        _check_alarms(endpoint.deployment or {}, config)
    except Exception as error:  # whatever it is, somebody waits for the endpoint
        _log.warning("endpoint %s stays at %s: %s", endpoint.name, endpoint.config_name, error)
        if new:
            new.stop()
        _settle(endpoint, "InService", _reason(error))
        return
    for name, variant in new.variants.items():
        before = old.variants.get(name) if old else None
        if before and "DesiredInstanceCount" in retained:
            variant.instances = before.instances
        if before and "DesiredWeight" in retained:
            variant.weight = before.weight
    endpoint.fleet, endpoint.config_name = new, config["EndpointConfigName"]
    _settle(endpoint, "InService")
    if old:
        old.stop()


def _alarms(deployment: Json) -> list[str]:
    return [item["AlarmName"] for item in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]


def _check_alarms(deployment: Json, config: Json) -> None:
    """Check the alarms of an automatic rollback once the new fleet runs; shifting and baking take no time here.

    "Ensure that your IAM execution role has permission to perform the cloudwatch:DescribeAlarms action on the
    auto-rollback alarms", without saying whose role that is: here the models', and whoever asks for the update needs it
    too.
    https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html (AutoRollbackConfiguration)

    Raises:
        ContainerError: One of them rings or does not exist.
        ServiceError: The role of a model may not see them.
    """
    alarms = _alarms(deployment)
    if not alarms:
        return
    for role in {find_model(item["ModelName"])["ExecutionRoleArn"] for item in config["ProductionVariants"]}:
        credentials = assume_as_service(role, PRINCIPAL, "SageMaker")
        for arn in (core.arn("cloudwatch", f"alarm:{name}") for name in alarms):
            if not iam.may(credentials, "cloudwatch:DescribeAlarms", arn):
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
    endpoint = find_endpoint(request["EndpointName"])
    described: Json = {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.config_name,
        "EndpointStatus": endpoint.status,
        "CreationTime": endpoint.created,
        "LastModifiedTime": endpoint.changed,
    }
    optional: Json = {
        "FailureReason": endpoint.failure_reason,
        "LastDeploymentConfig": endpoint.deployment,
        "PendingDeploymentSummary": endpoint.pending,
    }
    if endpoint.fleet:
        fleet = endpoint.fleet
        capture = fleet.config.get("DataCaptureConfig")
        optional |= {
            "ProductionVariants": _described(fleet.variants.values()),
            "ShadowProductionVariants": _described(fleet.shadows.values()) or None,
            "DataCaptureConfig": capture and _capture_summary(capture),
        }
    return described | {key: value for key, value in optional.items() if value is not None}


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
    endpoint = find_endpoint(request["EndpointName"])
    if not endpoint.settled.is_set():
        raise refusal(f'Cannot delete in-progress endpoint "{endpoint.arn}".')
    del _endpoints[endpoint.name]
    endpoint.status = "Deleting"
    _announce(endpoint)
    drop_tags(endpoint.arn)
    if endpoint.fleet:
        clock.start(endpoint.fleet.stop)
    return {}


@overlay(SERVICE, "ListEndpoints")
def list_endpoints(request: Json) -> Json:
    """List the endpoints of the account, newest first unless the request says otherwise."""
    found: list[Json] = [
        {
            "EndpointName": endpoint.name,
            "EndpointArn": endpoint.arn,
            "EndpointStatus": endpoint.status,
            "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.changed,
        }
        for endpoint in _endpoints.values()
        if request.get("NameContains", "") in endpoint.name and request.get("StatusEquals") in (None, endpoint.status)
    ]
    fields = {"CreationTime": "CreationTime", "Name": "EndpointName", "Status": "EndpointStatus"}
    return page(request, "Endpoints", sort(request, found, fields, order="Descending"))


@overlay(SERVICE, "UpdateEndpointWeightsAndCapacities")
def update_endpoint_weights(request: Json) -> Json:
    """Change weights and instance counts of variants."""
    endpoint = find_endpoint(request["EndpointName"])
    if endpoint.status != "InService" or endpoint.fleet is None:
        raise refusal(f'Cannot update in-progress endpoint "{endpoint.arn}".')
    for change in request["DesiredWeightsAndCapacities"]:
        variant = endpoint.fleet.variants.get(change["VariantName"])
        if variant is None:
            raise refusal(f'Could not find variant "{change["VariantName"]}" of endpoint "{endpoint.arn}".')
        variant.weight = float(change.get("DesiredWeight", variant.weight))
        variant.instances = int(change.get("DesiredInstanceCount", variant.instances))
    endpoint.changed = clock.now()
    return {"EndpointArn": endpoint.arn}
