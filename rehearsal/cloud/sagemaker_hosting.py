"""SageMaker's hosting: models, endpoint configurations, and endpoints that really answer.

An endpoint in service has a container for each variant (``sagemaker_servers.py``). An update starts the containers of
the new configuration, and moves the traffic only when all of them are healthy:
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html
Refusals are worded as SageMaker words them.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ministack.core.responses import get_region

from rehearsal.cloud import core
from rehearsal.cloud.callers import authorize, authorize_pass_role
from rehearsal.cloud.core import Json, Records, ServiceError, overlay, random_id
from rehearsal.cloud.sagemaker_capture import Capture, chosen
from rehearsal.cloud.sagemaker_servers import (
    PRINCIPAL,
    S3_ERRORS,
    ContainerError,
    Server,
    container_of,
    model_data,
    s3_as,
    split_s3,
    start,
)
from rehearsal.cloud.sagemaker_store import SERVICE, drop_tags, page, set_tags, sort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_log: Final = logging.getLogger(__name__)
_models: Final = Records()
_configs: Final = Records()
_endpoints: Final = Records()


def _refusal(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


# ---- models ---------------------------------------------------------------------------------------------------------


@overlay(SERVICE, "CreateModel")
def create_model(request: Json) -> Json:
    """Create a model, for a caller who may pass its execution role."""
    if "ExecutionRoleArn" in request:
        authorize_pass_role(request["ExecutionRoleArn"], PRINCIPAL)
    return new_model(request)


def new_model(request: Json) -> Json:
    """Create a model.

    Raises:
        ServiceError: The name is taken, or the role cannot read the model data.
    """
    name = request["ModelName"]
    arn = core.arn(SERVICE, f"model/{name}")
    if name in _models:
        raise _refusal(f'Cannot create already existing model "{arn}".')
    if ("PrimaryContainer" in request) == ("Containers" in request):
        raise _refusal("Exactly one of PrimaryContainer and Containers has to be provided.")
    if "ExecutionRoleArn" not in request:
        raise _refusal("ExecutionRoleArn is required when creating models.")
    if len(request.get("Containers", [1])) > 1 or "ModelPackageName" in container_of(request):
        raise _refusal("Inference pipelines and models made of a model package are not emulated here.")
    _check_model_data(request)
    _models[name] = {**request, "ModelArn": arn, "CreationTime": time.time()}
    _models[name].pop("Tags", None)
    set_tags(arn, request.get("Tags"))
    return {"ModelArn": arn}


def _check_model_data(request: Json) -> None:
    """Check that the model's role may read the object; CreateModel looks, and creates nothing it could not deploy."""
    uri, role = model_data(container_of(request)), request["ExecutionRoleArn"]
    if uri is None or uri.endswith("/"):
        return
    bucket, key = split_s3(uri)
    try:
        s3_as(role).head_object(Bucket=bucket, Key=key)
    except (*S3_ERRORS, ServiceError) as error:
        raise _refusal(
            f'Could not access model data at {uri}. Please ensure that the role "{role}" exists and that its trust '
            f'relationship policy allows the action "sts:AssumeRole" for the service principal "{PRINCIPAL}". Also '
            f'ensure that the role has "s3:GetObject" permissions and that the object is located in {get_region()}. '
            f"({error})"
        ) from error


def find_model(name: str) -> Json:
    """Return a model of the current account.

    Raises:
        ServiceError: There is none with this name.
    """
    found: Json | None = _models.get(name)
    if found is None:
        raise _refusal(f'Could not find model "{core.arn(SERVICE, f"model/{name}")}".')
    return found


@overlay(SERVICE, "DescribeModel")
def describe_model(request: Json) -> Json:
    """Describe a model."""
    return find_model(request["ModelName"])


@overlay(SERVICE, "DeleteModel")
def delete_model(request: Json) -> Json:
    """Delete a model; endpoints that serve it go on."""
    drop_tags(find_model(request["ModelName"])["ModelArn"])
    del _models[request["ModelName"]]
    return {}


def _listed(request: Json, records: Records, keys: tuple[str, ...], name: str) -> list[Json]:
    part = request.get("NameContains", "")
    found = [{key: record[key] for key in keys if key in record} for record in records.values() if part in record[name]]
    fields = {"CreationTime": "CreationTime", "Name": name, "Status": "EndpointStatus"}
    return sort(request, found, fields, order="Descending")


@overlay(SERVICE, "ListModels")
def list_models(request: Json) -> Json:
    """List the models of the account, newest first unless the request says otherwise."""
    return page(request, "Models", _listed(request, _models, ("ModelName", "ModelArn", "CreationTime"), "ModelName"))


# ---- endpoint configurations ----------------------------------------------------------------------------------------

_NOT_SERVERLESS: Final = (
    ("DataCaptureConfig", "data capture"),
    ("VpcConfig", "a VPC configuration"),
    ("EnableNetworkIsolation", "network isolation"),
    ("ShadowProductionVariants", "shadow variants"),
    ("AsyncInferenceConfig", "asynchronous inference"),
)
"""What serverless variants exclude, as the list of the documentation has it:
https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-exclusions"""


@overlay(SERVICE, "CreateEndpointConfig")
def create_endpoint_config(request: Json) -> Json:
    """Create an endpoint configuration."""
    if "ExecutionRoleArn" in request:
        authorize_pass_role(request["ExecutionRoleArn"], PRINCIPAL)
    return new_endpoint_config(request)


def new_endpoint_config(request: Json) -> Json:
    """Create an endpoint configuration.

    Raises:
        ServiceError: The name is taken, a model does not exist, or the settings exclude each other.
    """
    name = request["EndpointConfigName"]
    arn = core.arn(SERVICE, f"endpoint-config/{name}")
    if name in _configs:
        raise _refusal(f'Cannot create already existing endpoint configuration "{arn}".')
    production, shadow = request["ProductionVariants"], request.get("ShadowProductionVariants", [])
    names = [variant["VariantName"] for variant in (*production, *shadow)]
    if len(set(names)) < len(names):
        raise _refusal(f"Variant names must be unique within an endpoint configuration, got {names}.")
    for variant in (*production, *shadow):
        _check_variant(variant)
    if shadow and (len(shadow) > 1 or len(production) > 1):
        # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html (this member)
        raise _refusal("With ShadowProductionVariants there can be only one production and one shadow variant.")
    if any("ServerlessConfig" in variant for variant in (*production, *shadow)):
        _check_serverless(request)
    _configs[name] = {**request, "EndpointConfigArn": arn, "CreationTime": time.time()}
    _configs[name].pop("Tags", None)
    set_tags(arn, request.get("Tags"))
    return {"EndpointConfigArn": arn}


def _check_variant(variant: Json) -> None:
    name = variant["VariantName"]
    if "ModelName" not in variant:
        raise _refusal(f"Variant {name} has no ModelName: inference components are not emulated here.")
    find_model(variant["ModelName"])
    serverless, instance = "ServerlessConfig" in variant, "InstanceType" in variant
    if serverless == instance:
        raise _refusal(f"Variant {name} needs either InstanceType with InitialInstanceCount, or ServerlessConfig.")
    if instance and "InitialInstanceCount" not in variant:
        raise _refusal(f"Variant {name} has an InstanceType but no InitialInstanceCount.")


def _check_serverless(request: Json) -> None:
    if len(request["ProductionVariants"]) > 1:
        raise _refusal("Serverless endpoints do not support multiple production variants.")
    excluded = [what for key, what in _NOT_SERVERLESS if request.get(key)]
    model = find_model(request["ProductionVariants"][0]["ModelName"])
    excluded += [f"{what} of the model" for key, what in _NOT_SERVERLESS[1:3] if model.get(key)]
    if excluded:
        raise _refusal(f"Serverless endpoints do not support {', '.join(excluded)}.")
    config = request["ProductionVariants"][0]["ServerlessConfig"]
    if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
        raise _refusal("ProvisionedConcurrency should be less than or equal to MaxConcurrency.")
    if config["MemorySizeInMB"] not in range(1024, 6145, 1024):
        raise _refusal(f"MemorySizeInMB {config['MemorySizeInMB']} is not a multiple of 1024 from 1024 to 6144.")


def find_endpoint_config(name: str) -> Json:
    """Return an endpoint configuration of the current account.

    Raises:
        ServiceError: There is none with this name.
    """
    found: Json | None = _configs.get(name)
    if found is None:
        raise _refusal(f'Could not find endpoint configuration "{core.arn(SERVICE, f"endpoint-config/{name}")}".')
    return found


@overlay(SERVICE, "DescribeEndpointConfig")
def describe_endpoint_config(request: Json) -> Json:
    """Describe an endpoint configuration."""
    return find_endpoint_config(request["EndpointConfigName"])


@overlay(SERVICE, "DeleteEndpointConfig")
def delete_endpoint_config(request: Json) -> Json:
    """Delete an endpoint configuration; endpoints that use it go on."""
    drop_tags(find_endpoint_config(request["EndpointConfigName"])["EndpointConfigArn"])
    del _configs[request["EndpointConfigName"]]
    return {}


@overlay(SERVICE, "ListEndpointConfigs")
def list_endpoint_configs(request: Json) -> Json:
    """List the endpoint configurations of the account, newest first unless the request says otherwise."""
    keys = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
    return page(request, "EndpointConfigs", _listed(request, _configs, keys, "EndpointConfigName"))


# ---- fleets ---------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Variant:
    """A variant of a fleet: its settings, its container, and its share of the traffic."""

    settings: Json
    server: Server
    weight: float
    instances: int
    credit: float = 0


@dataclass(kw_only=True)
class Fleet:
    """What serves one endpoint configuration.

    Attributes:
        config: The configuration, as it was when the fleet was started.
        variants: Production variants by name.
        shadows: Shadow variants by name.
        capture: Where requests and answers are written, if they are.
    """

    config: Json
    variants: dict[str, Variant]
    shadows: dict[str, Variant]
    capture: Capture | None
    _asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def choose(self) -> Variant:
        """Return the variant for the next request: by weight, evenly spread, and the same in every run."""
        with self._lock:
            self._asked += 1
            for variant in self.variants.values():
                variant.credit += variant.weight
            chosen_one = max(self.variants.values(), key=lambda variant: variant.credit)
            chosen_one.credit -= sum(variant.weight for variant in self.variants.values())
            return chosen_one

    def mirrored(self) -> list[Variant]:
        """Return the shadow variants that get a copy of the request that was chosen for last.

        Their share is their weight in relation to the production variant's:
        https://docs.aws.amazon.com/sagemaker/latest/dg/shadow-tests.html
        """
        (production,) = self.variants.values()
        share = {name: 100 * min(1, shadow.weight / (production.weight or 1)) for name, shadow in self.shadows.items()}
        return [shadow for name, shadow in self.shadows.items() if chosen(self._asked, share[name])]

    def stop(self) -> None:
        """End all containers, after the requests that they are answering."""
        for variant in (*self.variants.values(), *self.shadows.values()):
            variant.server.stop()
        if self.capture:
            self.capture.flush()


def _start_fleet(endpoint: Endpoint, config: Json) -> Fleet:
    """Start the containers of a configuration, all at the same time.

    Raises:
        ContainerError: One of them is not healthy; the others are stopped again.
        ServiceError: A model does not exist any more.
    """
    production, shadow = config["ProductionVariants"], config.get("ShadowProductionVariants", [])
    started: list[Variant] = []

    def start_variant(settings: Json) -> Variant:
        folder = core.organization().work_dir / "endpoints" / f"{endpoint.name}-{random_id(8)}"
        name = settings["VariantName"]
        try:
            server = start(find_model(settings["ModelName"]), folder / name, variant=name)
        except ContainerError:
            _write_log(endpoint, name, folder / name)
            raise
        variant = Variant(
            settings=settings,
            server=server,
            weight=float(settings.get("InitialVariantWeight", 1.0)),
            instances=int(settings.get("InitialInstanceCount", 0)),
        )
        started.append(variant)
        return variant

    with ThreadPoolExecutor(len(production) + len(shadow)) as pool:
        waiting = [pool.submit(contextvars.copy_context().run, start_variant, item) for item in (*production, *shadow)]
    try:
        variants = [future.result() for future in waiting]
    except (ContainerError, ServiceError):
        for variant in started:
            variant.server.stop()
        raise
    by_name = {variant.settings["VariantName"]: variant for variant in variants}
    capture = config.get("DataCaptureConfig", {})
    return Fleet(
        config=config,
        variants={item["VariantName"]: by_name[item["VariantName"]] for item in production},
        shadows={item["VariantName"]: by_name[item["VariantName"]] for item in shadow},
        capture=Capture(endpoint.name, capture) if capture and capture.get("EnableCapture", True) else None,
    )


def _write_log(endpoint: Endpoint, variant: str, folder: Any) -> None:  # noqa: ANN401 - a Path, imported for types only
    """Put what a container wrote into the endpoint's log group, as SageMaker does.

    https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html
    """
    file = folder / "container.log"
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    group, stream = endpoint.log_group, f"{variant}/i-{random_id(17)}"
    logs = core.client("logs")
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines if line.strip()]
    if events:
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


# ---- endpoints ------------------------------------------------------------------------------------------------------


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
    settled: threading.Event = field(default_factory=threading.Event)

    @property
    def log_group(self) -> str:
        """Log group of its containers."""
        return f"/aws/sagemaker/Endpoints/{self.name}"


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
        raise _refusal(f'Could not find endpoint "{core.arn(SERVICE, f"endpoint/{name}")}".')
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
        raise _refusal(f'Cannot create already existing endpoint "{arn}".')
    config = find_endpoint_config(request["EndpointConfigName"])
    moment = time.time()
    endpoint = Endpoint(name=name, arn=arn, config_name=config["EndpointConfigName"], created=moment, changed=moment)
    _endpoints[name] = endpoint
    set_tags(arn, request.get("Tags"))
    _in_background(_create, endpoint, config)
    return {"EndpointArn": arn}


def _in_background(function: Callable[..., None], *arguments: object) -> None:
    """Run a function in a thread, in the account and region of the request."""
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(function, *arguments), daemon=True, name="endpoint").start()


def _settle(endpoint: Endpoint, status: str, reason: str | None = None) -> None:
    endpoint.status, endpoint.failure_reason = status, reason[:1024] if reason else None
    endpoint.changed, endpoint.pending = time.time(), None
    endpoint.settled.set()


def _create(endpoint: Endpoint, config: Json) -> None:
    try:
        endpoint.fleet = _start_fleet(endpoint, config)
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
    return change_endpoint(request)


def change_endpoint(request: Json) -> Json:
    """Move an endpoint to another configuration.

    Raises:
        ServiceError: It is not there, not in service, or of another kind than the configuration.
    """
    endpoint = find_endpoint(request["EndpointName"])
    config = find_endpoint_config(request["EndpointConfigName"])
    if endpoint.status != "InService" or endpoint.fleet is None:
        word = "in-progress" if endpoint.status in {"Creating", "Updating"} else endpoint.status.lower()
        raise _refusal(f'Cannot update {word} endpoint "{endpoint.arn}".')
    before, after = (c["ProductionVariants"][0].get("ServerlessConfig") for c in (endpoint.fleet.config, config))
    if after and not before:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html (exclusions)
        raise _refusal("An instance-based endpoint cannot be updated to a serverless endpoint.")
    deployment = request.get("DeploymentConfig") or (
        endpoint.deployment if request.get("RetainDeploymentConfig") else None
    )
    endpoint.status, endpoint.failure_reason = "Updating", None
    endpoint.changed, endpoint.deployment = time.time(), deployment
    endpoint.pending = {"EndpointConfigName": config["EndpointConfigName"], "StartTime": time.time()}
    endpoint.settled.clear()
    excluded = {item["VariantPropertyType"] for item in request.get("ExcludeRetainedVariantProperties", [])}
    retained = (
        {"DesiredInstanceCount", "DesiredWeight"} - excluded if request.get("RetainAllVariantProperties") else set()
    )
    _in_background(_update, endpoint, config, retained)
    return {"EndpointArn": endpoint.arn}


def _update(endpoint: Endpoint, config: Json, retained: set[str]) -> None:
    """Start the new fleet, check the alarms, move the traffic, end the old fleet; or leave everything as it was."""
    old, new = endpoint.fleet, None
    try:
        new = _start_fleet(endpoint, config)
        _check_alarms(endpoint.deployment or {})
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


def _check_alarms(deployment: Json) -> None:
    """Check the alarms of an automatic rollback once the new fleet runs; shifting and baking take no time here.

    https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html (AutoRollbackConfiguration)

    Raises:
        ContainerError: One of them rings.
    """
    alarms = [item["AlarmName"] for item in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
    if not alarms:
        return
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
        raise _refusal(f'Cannot delete in-progress endpoint "{endpoint.arn}".')
    del _endpoints[endpoint.name]
    drop_tags(endpoint.arn)
    if endpoint.fleet:
        _in_background(endpoint.fleet.stop)
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
        raise _refusal(f'Cannot update in-progress endpoint "{endpoint.arn}".')
    for change in request["DesiredWeightsAndCapacities"]:
        variant = endpoint.fleet.variants.get(change["VariantName"])
        if variant is None:
            raise _refusal(f'Could not find variant "{change["VariantName"]}" of endpoint "{endpoint.arn}".')
        variant.weight = float(change.get("DesiredWeight", variant.weight))
        variant.instances = int(change.get("DesiredInstanceCount", variant.instances))
    endpoint.changed = time.time()
    return {"EndpointArn": endpoint.arn}
