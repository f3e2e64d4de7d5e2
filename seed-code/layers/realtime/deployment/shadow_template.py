"""The template of a stage while a new model is the shadow of the one in place, and without it again.

The stack keeps the template that is deployed; only a second model and another endpoint configuration come on top. What
the configuration was before stands in the template's metadata, so that the shadow can be taken away at any time.

Neither template has deployment guardrails: with them "your new endpoint configuration must have the same variant name
as the old endpoint configuration", and whether shadows count is not said
(https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-exclusions.html). The model in place stays the
same in either update, so there is nothing to shift step by step; the next deployment brings them back.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployment.errors import DeploymentError
from deployment.realtime import SHADOW
from deployment.render import Rendered

_NOTE = "Shadow"
_MODEL, _CONFIG, _ENDPOINT, _SHADOW_MODEL = "Model", "EndpointConfig", "Endpoint", "ShadowModel"
_SCALING = ("ScalingPolicy", "ScalableTarget")


@dataclass(frozen=True)
class Period:
    """A shadow period.

    Attributes:
        execution: Execution of the pipeline that began it.
        package: ARN of the package in the shadow.
        begun: When, as ISO 8601 in UTC.
    """

    execution: str
    package: str
    begun: str


def period_of(template: Mapping[str, Any]) -> Period | None:
    """Return the shadow period that a template is for, or None."""
    note = template.get("Metadata", {}).get(_NOTE)
    return Period(note["Execution"], note["Package"], note["Begun"]) if note else None


def with_shadow(current: Mapping[str, Any], new: Rendered, period: Period) -> dict[str, Any]:
    """Return the deployed template with the new model as shadow.

    Args:
        current: The deployed template, with or without a shadow.
        new: What was rendered for the new model.
        period: The period that begins.

    Raises:
        DeploymentError: The deployed template has no model and configuration of the names that templates have here.
    """
    result = without_shadow(current)
    resources = result["Resources"]
    missing = [name for name in (_MODEL, _CONFIG, _ENDPOINT) if name not in resources]
    if missing:
        raise DeploymentError(
            f"The stack that is deployed has no {' and no '.join(missing)}, so nothing can be added to it. It was made "
            f"by another template: deploy once without a shadow period (shadow.hours: 0)."
        )
    model = copy.deepcopy(new.template["Resources"][_MODEL])
    model["Properties"] = properties = literal(model["Properties"], new)
    # The name of the model when it is in place must stay free: both are there for a moment when it takes over.
    properties["ModelName"] = {"Fn::Sub": re.sub(r"-([0-9a-f]{12})$", rf"-{SHADOW}-\1", _text(properties["ModelName"]))}
    resources[_SHADOW_MODEL] = model
    wanted = literal(new.template["Resources"][_CONFIG]["Properties"], new)
    variant = {
        **wanted["ProductionVariants"][0],
        "VariantName": SHADOW,
        "ModelName": {"Fn::GetAtt": [_SHADOW_MODEL, "ModelName"]},
        # In relation to the weight of the other variant, which is 1: a copy of every request.
        "InitialVariantWeight": 1,
    }
    before = resources[_CONFIG]
    config = copy.deepcopy(before)
    config["Properties"]["ShadowProductionVariants"] = [variant]
    config["Properties"]["DataCaptureConfig"] = wanted["DataCaptureConfig"]
    if "KmsKeyId" not in wanted:
        config["Properties"].pop("KmsKeyId", None)  # one key for both variants, which not every machine takes
    digest = hashlib.sha256(json.dumps([config, model, period.execution], sort_keys=True).encode()).hexdigest()[:12]
    name = _text(config["Properties"]["EndpointConfigName"])
    config["Properties"]["EndpointConfigName"] = {"Fn::Sub": re.sub(r"-[0-9a-f]{12}$", f"-{SHADOW}-{digest}", name)}
    resources[_CONFIG] = config
    resources[_ENDPOINT]["Properties"].pop("DeploymentConfig", None)
    note = {"Execution": period.execution, "Package": period.package, "Begun": period.begun, _CONFIG: before}
    result["Metadata"] = {**result.get("Metadata", {}), _NOTE: note}
    return result


def without_shadow(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deployed template without its shadow, and without guardrails as long as there is one.

    A template that has no shadow comes back as it is.
    """
    result: dict[str, Any] = copy.deepcopy(dict(template))
    note = result.get("Metadata", {}).pop(_NOTE, None)
    if note:
        result["Resources"][_CONFIG] = note[_CONFIG]
        del result["Resources"][_SHADOW_MODEL]
    return result


def without_scaling(template: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a deployed template without scaling, or None if it has none."""
    if not any(name in template["Resources"] for name in _SCALING):
        return None
    kept = {name: entry for name, entry in template["Resources"].items() if name not in _SCALING}
    return {**template, "Resources": kept}


def literal(value: Any, rendered: Rendered) -> Any:
    """Return a part of a rendered template with the values of its parameters in place of references and conditions."""
    parameters, conditions = rendered.template["Parameters"], rendered.template.get("Conditions", {})

    def of_parameter(name: str) -> Any:
        given = rendered.parameters.get(name, parameters[name].get("Default", ""))
        is_list = parameters[name]["Type"] == "CommaDelimitedList"
        return [entry for entry in str(given).split(",") if entry] if is_list else given

    def holds(condition: Any) -> bool:
        ((kind, arguments),) = condition.items()
        if kind == "Condition":
            return holds(conditions[arguments])
        if kind == "Fn::Equals":
            left, right = (resolve(argument) for argument in arguments)
            return str(left) == str(right)
        found = [holds(argument) for argument in arguments]
        return not found[0] if kind == "Fn::Not" else all(found) if kind == "Fn::And" else any(found)

    def resolve(part: Any) -> Any:
        if isinstance(part, list):
            resolved = [resolve(entry) for entry in part]
            return [entry for entry in resolved if entry != {"Ref": "AWS::NoValue"}]
        if not isinstance(part, dict):
            return part
        if set(part) == {"Ref"} and part["Ref"] in parameters:
            return of_parameter(part["Ref"])
        if set(part) == {"Fn::If"}:
            condition, yes, no = part["Fn::If"]
            return resolve(yes if holds(conditions[condition]) else no)
        members = {name: resolve(member) for name, member in part.items()}
        return {name: member for name, member in members.items() if member != {"Ref": "AWS::NoValue"}}

    return resolve(value)


def _text(name: Any) -> str:
    """Return the text of a resource's name."""
    return str(name["Fn::Sub"] if isinstance(name, dict) else name)
