"""What Service Catalog reads out of a CloudFormation template, and CloudFormation's checks of parameter values."""

from __future__ import annotations

from typing import Final

from aws_emulator import inside
from aws_emulator.core import Json, ServiceError

TEMPLATE_BYTES: Final = 1_000_000
"""Largest template in an S3 object:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""

_CONSTRAINTS: Final = (
    "AllowedValues",
    "AllowedPattern",
    "ConstraintDescription",
    "MaxLength",
    "MinLength",
    "MaxValue",
    "MinValue",
)


def load_template(text: str) -> Json:
    """Parse a template, JSON or YAML.

    Raises:
        ServiceError: It is too large or not a template.
    """
    if len(text.encode()) > TEMPLATE_BYTES:
        raise ServiceError("InvalidParametersException", f"Template may not exceed {TEMPLATE_BYTES} bytes in size.")
    try:
        template = inside.engine.parse_template(text)
    except Exception as error:
        raise ServiceError("InvalidParametersException", f"Invalid templateBody. {error}") from error
    if not isinstance(template, dict) or not template.get("Resources"):
        raise ServiceError(
            "InvalidParametersException",
            "Invalid templateBody. Template format error: At least one Resources member must be defined.",
        )
    return template


def template_parameters(template: Json) -> list[Json]:
    """Return the template's parameters as the API's ``ProvisioningArtifactParameters``."""
    return [_parameter(name, spec) for name, spec in template.get("Parameters", {}).items()]


def _parameter(name: str, spec: Json) -> Json:
    constraints = {key: spec[key] if key == "AllowedValues" else str(spec[key]) for key in _CONSTRAINTS if key in spec}
    constraints["AllowedValues"] = [str(value) for value in spec.get("AllowedValues", [])]
    parameter: Json = {
        "ParameterKey": name,
        "ParameterType": spec["Type"],
        "IsNoEcho": str(spec.get("NoEcho", False)).lower() == "true",
        "Description": spec.get("Description", ""),
        "ParameterConstraints": constraints,
    }
    if "Default" in spec:
        parameter["DefaultValue"] = str(spec["Default"])
    return parameter


def template_outputs(template: Json) -> list[Json]:
    """Return keys and descriptions of the template's outputs."""
    return [
        {"Key": key, "Description": str(output.get("Description", ""))}
        for key, output in template.get("Outputs", {}).items()
    ]


def check_parameters(template: Json, values: dict[str, str]) -> None:
    """Check that every parameter is known, has a value and that the value is allowed, in CloudFormation's words.

    MiniStack checks patterns, lengths and bounds in the same words, but these three in words of its own, and
    people read the message in the provisioned product.
    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html

    Args:
        template: The parsed template.
        values: Values by parameter name; those with a default can be missing.

    Raises:
        ServiceError: A value is missing, unknown or not allowed.
    """
    specs: dict[str, Json] = template.get("Parameters", {})
    unknown = [name for name in values if name not in specs]
    if unknown:
        raise ServiceError("ValidationError", f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    missing = [name for name, spec in specs.items() if name not in values and "Default" not in spec]
    if missing:
        raise ServiceError("ValidationError", f"Parameters: [{', '.join(missing)}] must have values")
    for name, value in values.items():
        allowed = [str(option) for option in specs[name].get("AllowedValues", [])]
        if allowed and value not in allowed:
            reason = specs[name].get("ConstraintDescription", "must be one of AllowedValues")
            raise ServiceError("ValidationError", f"Parameter '{name}' {reason}")
