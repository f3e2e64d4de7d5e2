"""The expression language of SageMaker pipeline definitions: values that are known only while a pipeline runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_PATH_ITEM = re.compile(r"\.?([A-Za-z_][\w-]*)|\[\s*'([^']*)'\s*\]|\[\s*\"([^\"]*)\"\s*\]|\[\s*(\d+)\s*\]")


class DefinitionError(Exception):
    """The pipeline definition asks for something that does not exist; the message says where."""


@dataclass
class Scope:
    """What expressions may refer to.

    Attributes:
        parameters: Pipeline parameters by name, defaults included.
        execution: Execution variables by name, e.g. ``PipelineExecutionId``.
        steps: Properties of the steps that are done, by step name.
        read_property_file: Content of a property file, given the names of its step and of the file.
    """

    parameters: Mapping[str, Any]
    execution: Mapping[str, str]
    read_property_file: Callable[[str, str], Any]
    steps: dict[str, Any] = field(default_factory=dict)


def resolve(value: Any, scope: Scope) -> Any:
    """Return a value with every ``Get``, ``Std:Join`` and ``Std:JsonGet`` in it replaced by what it stands for.

    Raises:
        DefinitionError: An expression refers to something that is not there (yet).
    """
    if isinstance(value, list):
        return [resolve(item, scope) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Get"}:
        return _reference(value["Get"], scope)
    if set(value) == {"Std:Join"}:
        join = value["Std:Join"]
        return join["On"].join(as_text(resolve(item, scope)) for item in join["Values"])
    if set(value) == {"Std:JsonGet"}:
        get = value["Std:JsonGet"]
        step, name = _property_file(get["PropertyFile"])
        return walk(scope.read_property_file(step, name), str(resolve(get["Path"], scope)), f"property file {name}")
    return {key: resolve(item, scope) for key, item in value.items()}


def holds(condition: Mapping[str, Any], scope: Scope) -> bool:
    """Return whether a condition of a Condition step is true.

    Raises:
        DefinitionError: Unknown kind of condition, or values that cannot be compared.
    """
    kind = condition["Type"]
    if kind == "Not":
        return not holds(condition["Expression"], scope)
    if kind == "Or":
        return any(holds(item, scope) for item in condition["Conditions"])
    if kind == "In":
        return resolve(condition["QueryValue"], scope) in [resolve(item, scope) for item in condition["Values"]]
    left, right = resolve(condition["LeftValue"], scope), resolve(condition["RightValue"], scope)
    if kind == "Equals":
        return bool(left == right)
    try:
        if kind == "GreaterThan":
            return bool(left > right)
        if kind == "GreaterThanOrEqualTo":
            return bool(left >= right)
        if kind == "LessThan":
            return bool(left < right)
        if kind == "LessThanOrEqualTo":
            return bool(left <= right)
    except TypeError as err:
        raise DefinitionError(
            f"condition {kind} cannot compare {left!r} with {right!r}: give both the same type"
        ) from err
    raise DefinitionError(
        f"condition of type {kind!r} is unknown; the service has Equals, GreaterThan, In, Not, Or ..."
    )


def referenced_steps(value: Any) -> set[str]:
    """Return the names of all steps whose properties or property files a value refers to."""
    if isinstance(value, list):
        return set().union(*(referenced_steps(item) for item in value))
    if not isinstance(value, dict):
        return set()
    get = value.get("Get")
    found = {get.split(".")[1]} if isinstance(get, str) and get.startswith("Steps.") else set()
    return found.union(*(referenced_steps(item) for item in value.values()))


def walk(value: Any, path: str, what: str) -> Any:
    """Return the part of a JSON value at a path such as ``metrics.auc.value``, ``a['b c']`` or ``rows[0]``.

    Raises:
        DefinitionError: The path does not lead anywhere.
    """
    position, current = 0, value
    while position < len(path):
        match = _PATH_ITEM.match(path, position)
        if not match:
            raise DefinitionError(f"{what}: path {path!r} cannot be read at {path[position:]!r}")
        name, quoted, double_quoted, index = match.groups()
        key: Any = int(index) if index is not None else next(x for x in (name, quoted, double_quoted) if x is not None)
        try:
            current = current[key]
        except (KeyError, IndexError, TypeError) as err:
            there = ", ".join(current) if isinstance(current, dict) else type(current).__name__
            raise DefinitionError(f"{what}: {path!r} asks for {key!r}, but there is only: {there}") from err
        position = match.end()
    return current


def as_text(value: Any) -> str:
    """Return a value as the service writes it into a string."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reference(path: str, scope: Scope) -> Any:
    root, _, rest = path.partition(".")
    if root == "Parameters":
        return walk(dict(scope.parameters), rest, "parameters")
    if root == "Execution":
        return walk(dict(scope.execution), rest, "execution variables")
    step, _, rest = rest.partition(".")
    if root != "Steps" or step not in scope.steps:
        raise DefinitionError(
            f"{path!r} refers to a step that has not run. Steps done: {', '.join(scope.steps) or 'none'}"
        )
    return walk(scope.steps[step], rest, f"properties of step {step}")


def _property_file(reference: Mapping[str, str]) -> tuple[str, str]:
    try:
        _, step, _, name = reference["Get"].split(".")
    except (KeyError, ValueError) as err:
        raise DefinitionError(f"Std:JsonGet: {reference!r} is not Steps.<step>.PropertyFiles.<name>") from err
    return step, name
