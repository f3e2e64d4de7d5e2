"""Checks a pipeline definition as the service would: every request against the API's own shapes.

The JSON schema that AWS publishes for definitions rejects what the SDK writes; botocore's model is the service's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

OPERATIONS = {
    "Processing": "CreateProcessingJob",
    "RegisterModel": "CreateModelPackage",
    "Training": "CreateTrainingJob",
}
NAMED_BY_SERVICE = {"ProcessingJobName": "job", "TrainingJobName": "job"}
EXPRESSIONS = ({"Get"}, {"Std:Join"}, {"Std:JsonGet"})
OF_TYPE = {"integer": 1, "long": 1, "float": 0.5, "double": 0.5, "boolean": True}


def steps(definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all steps, those within conditions included."""
    waiting = list(definition["Steps"])
    while waiting:
        step = waiting.pop(0)
        yield step
        if step["Type"] == "Condition":
            waiting += step["Arguments"]["IfSteps"] + step["Arguments"]["ElseSteps"]


def problems(definition: dict[str, Any]) -> list[str]:
    """Return one sentence for everything in a definition that the API would refuse."""
    model = botocore.session.get_session().get_service_model("sagemaker")
    found = []
    for step in steps(definition):
        if step["Type"] not in OPERATIONS:
            continue
        shape = model.operation_model(OPERATIONS[step["Type"]]).input_shape
        request = _filled(step["Arguments"], shape)
        request |= {name: value for name, value in NAMED_BY_SERVICE.items() if name in shape.members}
        report = ParamValidator().validate(request, shape)
        if report.has_errors():
            found.append(f"{step['Name']}: {report.generate_report()}")
        # botocore does not know that an input has exactly one source.
        found += [
            f"{step['Name']}: input {item['InputName']} needs either S3Input or DatasetDefinition"
            for item in request.get("ProcessingInputs", [])
            if ("S3Input" in item) == ("DatasetDefinition" in item)
        ]
    return found


def _filled(value: Any, shape: Any) -> Any:
    """Return a request with a value of the right type in place of each pipeline expression."""
    if isinstance(value, dict) and set(value) in EXPRESSIONS:
        return OF_TYPE.get(shape.type_name if shape is not None else "", "x" * 20)
    if isinstance(value, dict):
        members = {} if shape is None else getattr(shape, "members", {})
        inner = getattr(shape, "value", None)
        return {key: _filled(item, members.get(key, inner)) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, getattr(shape, "member", None)) for item in value]
    return value
