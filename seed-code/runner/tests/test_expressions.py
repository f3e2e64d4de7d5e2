"""The expression language of pipeline definitions."""

from __future__ import annotations

from typing import Any

import pytest

from local_pipelines.expressions import DefinitionError, Scope, holds, referenced_steps, resolve

REPORT = {"gate": {"passed": 1, "auc": 0.75}, "rows": [{"n": 3}], "a b": {"c.d": True}}


@pytest.fixture
def scope() -> Scope:
    return Scope(
        parameters={"Uri": "s3://b/k", "Count": 2},
        execution={"PipelineExecutionId": "x1"},
        read_property_file=lambda step, name: {("Evaluate", "Report"): REPORT}[step, name],
        steps={"Prepare": {"Outputs": {"train": {"Uri": "s3://b/train"}}, "List": [{"Name": "first"}]}},
    )


def get(path: str) -> dict[str, Any]:
    return {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}, "Path": path}}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Get": "Parameters.Uri"}, "s3://b/k"),
        ({"Get": "Execution.PipelineExecutionId"}, "x1"),
        ({"Get": "Steps.Prepare.Outputs['train'].Uri"}, "s3://b/train"),
        ({"Get": "Steps.Prepare.List[0].Name"}, "first"),
        ({"Std:Join": {"On": "/", "Values": ["s3:/", {"Get": "Execution.PipelineExecutionId"}, 7]}}, "s3://x1/7"),
        ({"Std:Join": {"On": "", "Values": [True]}}, "true"),
        (get("gate.auc"), 0.75),
        (get("rows[0].n"), 3),
        (get("['a b']['c.d']"), True),
        ([{"deep": {"Get": "Parameters.Count"}}, "text"], [{"deep": 2}, "text"]),
    ],
)
def test_an_expression_stands_for_its_value(scope: Scope, expression: Any, value: Any) -> None:
    assert resolve(expression, scope) == value


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ({"Get": "Parameters.Url"}, "asks for 'Url', but there is only: Uri, Count"),
        ({"Get": "Steps.Train.ModelArtifacts"}, "a step that has not run. Steps done: Prepare"),
        (get("gate.f1"), "asks for 'f1', but there is only: passed, auc"),
        (get("rows[1]"), r"asks for 1"),
        (get("gate..auc"), "cannot be read at"),
        ({"Std:JsonGet": {"PropertyFile": {"Get": "Report"}, "Path": "a"}}, "is not Steps.<step>.PropertyFiles.<name>"),
    ],
)
def test_an_expression_that_leads_nowhere_says_what_there_is(scope: Scope, expression: Any, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        resolve(expression, scope)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Type": "Equals", "LeftValue": get("gate.passed"), "RightValue": 1}, True),
        ({"Type": "GreaterThan", "LeftValue": get("gate.auc"), "RightValue": 0.75}, False),
        ({"Type": "GreaterThanOrEqualTo", "LeftValue": get("gate.auc"), "RightValue": 0.75}, True),
        ({"Type": "LessThan", "LeftValue": get("gate.auc"), "RightValue": 0.8}, True),
        ({"Type": "LessThanOrEqualTo", "LeftValue": get("gate.auc"), "RightValue": 0.7}, False),
        ({"Type": "In", "QueryValue": {"Get": "Parameters.Count"}, "Values": [1, 2]}, True),
        ({"Type": "Not", "Expression": {"Type": "Equals", "LeftValue": 1, "RightValue": 1}}, False),
        (
            {
                "Type": "Or",
                "Conditions": [
                    {"Type": "Equals", "LeftValue": 1, "RightValue": 2},
                    {"Type": "Equals", "LeftValue": 2, "RightValue": 2},
                ],
            },
            True,
        ),
    ],
)
def test_conditions_compare_values(scope: Scope, condition: dict[str, Any], expected: bool) -> None:
    assert holds(condition, scope) is expected


def test_values_that_cannot_be_compared_are_named(scope: Scope) -> None:
    with pytest.raises(DefinitionError, match=r"cannot compare 's3://b/k' with 1"):
        holds({"Type": "LessThan", "LeftValue": {"Get": "Parameters.Uri"}, "RightValue": 1}, scope)
    with pytest.raises(DefinitionError, match="'Almost' is unknown"):
        holds({"Type": "Almost", "LeftValue": 1, "RightValue": 1}, scope)


def test_references_to_steps_are_found_at_any_depth() -> None:
    arguments = {
        "a": [{"Get": "Steps.One.X"}],
        "b": {"Std:Join": {"Values": [get("gate.passed"), {"Get": "Parameters.P"}]}},
    }
    assert referenced_steps(arguments) == {"One", "Evaluate"}
