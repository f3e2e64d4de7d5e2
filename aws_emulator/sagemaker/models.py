"""What SageMaker's hosting deploys: models and endpoint configurations. Refusals are worded as SageMaker words them."""

from __future__ import annotations

from typing import Final

from ministack.core.responses import get_region

from aws_emulator.bridge import overlay
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam.callers import authorize_pass_role
from aws_emulator.sagemaker.servers import S3_ERRORS, container_of, model_data, s3_as, split_s3
from aws_emulator.sagemaker.store import PRINCIPAL, SERVICE, table

MODELS: Final = table(
    noun="Model",
    missing='Could not find model "{arn}".',
    taken='Cannot create already existing model "{arn}".',
).answers("Describe", "List", "Delete")
CONFIGS: Final = table(
    noun="EndpointConfig",
    missing='Could not find endpoint configuration "{arn}".',
    taken='Cannot create already existing endpoint configuration "{arn}".',
).answers("Describe", "List", "Delete")


def refusal(message: str) -> ServiceError:
    """Return the error with which hosting refuses a request."""
    return ServiceError("ValidationException", message)


# ---- models ---------------------------------------------------------------------------------------------------------


@overlay(SERVICE, "CreateModel")
def create_model(request: Json) -> Json:
    """Create a model of one container, for a caller who can pass its execution role, which can read the data."""
    if "ExecutionRoleArn" in request:
        authorize_pass_role(request["ExecutionRoleArn"], PRINCIPAL)
    MODELS.require_free(request)
    if ("PrimaryContainer" in request) == ("Containers" in request):
        raise refusal("Exactly one of PrimaryContainer and Containers has to be provided.")
    if "ExecutionRoleArn" not in request:
        raise refusal("ExecutionRoleArn is required when creating models.")
    if len(request.get("Containers", [1])) > 1 or "ModelPackageName" in container_of(request):
        raise refusal("Inference pipelines and models made of a model package are not emulated here.")
    _check_model_data(request)
    return MODELS.add(request)


def _check_model_data(request: Json) -> None:
    """Check that the model's role can read the object: CreateModel creates nothing that it could not deploy."""
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
    """Create an endpoint configuration of models that exist, with settings that go together."""
    if "ExecutionRoleArn" in request:
        authorize_pass_role(request["ExecutionRoleArn"], PRINCIPAL)
    CONFIGS.require_free(request)
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
    return CONFIGS.add(request)


def _check_variant(variant: Json) -> None:
    name = variant["VariantName"]
    if "ModelName" not in variant:
        raise refusal(f"Variant {name} has no ModelName: inference components are not emulated here.")
    MODELS.find(variant)
    serverless, instance = "ServerlessConfig" in variant, "InstanceType" in variant
    if serverless == instance:
        raise refusal(f"Variant {name} needs either InstanceType with InitialInstanceCount, or ServerlessConfig.")
    if instance and "InitialInstanceCount" not in variant:
        raise refusal(f"Variant {name} has an InstanceType but no InitialInstanceCount.")


def _check_serverless(request: Json) -> None:
    if len(request["ProductionVariants"]) > 1:
        raise refusal("Serverless endpoints do not support multiple production variants.")
    excluded = [what for key, what in _NOT_SERVERLESS if request.get(key)]
    model = MODELS.find(request["ProductionVariants"][0])
    excluded += [f"{what} of the model" for key, what in _NOT_SERVERLESS[1:3] if model.get(key)]
    if excluded:
        raise refusal(f"Serverless endpoints do not support {', '.join(excluded)}.")
    config = request["ProductionVariants"][0]["ServerlessConfig"]
    if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
        raise refusal("ProvisionedConcurrency should be less than or equal to MaxConcurrency.")
    if config["MemorySizeInMB"] not in range(1024, 6145, 1024):
        raise refusal(f"MemorySizeInMB {config['MemorySizeInMB']} is not a multiple of 1024 from 1024 to 6144.")
