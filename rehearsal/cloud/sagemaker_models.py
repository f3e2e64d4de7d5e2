"""What SageMaker's hosting deploys: models and endpoint configurations. Refusals are worded as SageMaker words them."""

from __future__ import annotations

from typing import Final

from ministack.core.responses import get_region

from rehearsal.cloud import core
from rehearsal.cloud.callers import authorize_pass_role
from rehearsal.cloud.clock import clock
from rehearsal.cloud.core import Json, Records, ServiceError, overlay
from rehearsal.cloud.sagemaker_servers import (
    PRINCIPAL,
    S3_ERRORS,
    container_of,
    model_data,
    s3_as,
    split_s3,
)
from rehearsal.cloud.sagemaker_store import SERVICE, drop_tags, page, set_tags, sort

_models: Final = Records()
_configs: Final = Records()


def refusal(message: str) -> ServiceError:
    """Return the error with which hosting refuses a request."""
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
        raise refusal(f'Cannot create already existing model "{arn}".')
    if ("PrimaryContainer" in request) == ("Containers" in request):
        raise refusal("Exactly one of PrimaryContainer and Containers has to be provided.")
    if "ExecutionRoleArn" not in request:
        raise refusal("ExecutionRoleArn is required when creating models.")
    if len(request.get("Containers", [1])) > 1 or "ModelPackageName" in container_of(request):
        raise refusal("Inference pipelines and models made of a model package are not emulated here.")
    _check_model_data(request)
    _models[name] = {**request, "ModelArn": arn, "CreationTime": clock.now()}
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
        raise refusal(
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
        raise refusal(f'Could not find model "{core.arn(SERVICE, f"model/{name}")}".')
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
        raise refusal(f'Cannot create already existing endpoint configuration "{arn}".')
    production, shadow = request["ProductionVariants"], request.get("ShadowProductionVariants", [])
    names = [variant["VariantName"] for variant in (*production, *shadow)]
    if len(set(names)) < len(names):
        raise refusal(f"Variant names must be unique within an endpoint configuration, got {names}.")
    for variant in (*production, *shadow):
        _check_variant(variant)
    if shadow and (len(shadow) > 1 or len(production) > 1):
        # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html (this member)
        raise refusal("With ShadowProductionVariants there can be only one production and one shadow variant.")
    if any("ServerlessConfig" in variant for variant in (*production, *shadow)):
        _check_serverless(request)
    _configs[name] = {**request, "EndpointConfigArn": arn, "CreationTime": clock.now()}
    _configs[name].pop("Tags", None)
    set_tags(arn, request.get("Tags"))
    return {"EndpointConfigArn": arn}


def _check_variant(variant: Json) -> None:
    name = variant["VariantName"]
    if "ModelName" not in variant:
        raise refusal(f"Variant {name} has no ModelName: inference components are not emulated here.")
    find_model(variant["ModelName"])
    serverless, instance = "ServerlessConfig" in variant, "InstanceType" in variant
    if serverless == instance:
        raise refusal(f"Variant {name} needs either InstanceType with InitialInstanceCount, or ServerlessConfig.")
    if instance and "InitialInstanceCount" not in variant:
        raise refusal(f"Variant {name} has an InstanceType but no InitialInstanceCount.")


def _check_serverless(request: Json) -> None:
    if len(request["ProductionVariants"]) > 1:
        raise refusal("Serverless endpoints do not support multiple production variants.")
    excluded = [what for key, what in _NOT_SERVERLESS if request.get(key)]
    model = find_model(request["ProductionVariants"][0]["ModelName"])
    excluded += [f"{what} of the model" for key, what in _NOT_SERVERLESS[1:3] if model.get(key)]
    if excluded:
        raise refusal(f"Serverless endpoints do not support {', '.join(excluded)}.")
    config = request["ProductionVariants"][0]["ServerlessConfig"]
    if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
        raise refusal("ProvisionedConcurrency should be less than or equal to MaxConcurrency.")
    if config["MemorySizeInMB"] not in range(1024, 6145, 1024):
        raise refusal(f"MemorySizeInMB {config['MemorySizeInMB']} is not a multiple of 1024 from 1024 to 6144.")


def find_endpoint_config(name: str) -> Json:
    """Return an endpoint configuration of the current account.

    Raises:
        ServiceError: There is none with this name.
    """
    found: Json | None = _configs.get(name)
    if found is None:
        raise refusal(f'Could not find endpoint configuration "{core.arn(SERVICE, f"endpoint-config/{name}")}".')
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
