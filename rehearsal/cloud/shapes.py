"""Checks requests against botocore's model of a service: lengths, patterns and allowed values, which boto3 leaves out.

So a name that is one character too long fails here as it would on AWS, and in the same words.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import botocore.session
from botocore.model import ListShape, MapShape, StringShape, StructureShape

from rehearsal.cloud.core import OPERATIONS, Json, Operation, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.model import ServiceModel, Shape

Value: TypeAlias = Any
"""A value in a request: a structure, a list, a text, a number."""

_SHOWN: Final = 10
"""So many violations are shown at most."""


@functools.cache
def _model(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(service)


def refuse_others(service: str, *words: str) -> None:
    """Refuse the operations of a service that nobody registered, so that moto does not answer from records of its own.

    Args:
        service: Name of the service in botocore.
        *words: Only operations with one of these words in their name. Default: all.
    """

    def refusal(operation: str) -> Operation:
        def refuse(request: Json) -> Json:
            raise ServiceError("UnknownOperationException", f"{service}:{operation} is not emulated here.")

        return refuse

    for operation in _model(service).operation_names:
        if (service, operation) not in OPERATIONS and (not words or any(word in operation for word in words)):
            OPERATIONS[service, operation] = refusal(operation)


def check_request(service: str, operation: str, request: Json) -> None:
    """Check a request as the service's front end does before it looks at anything else.

    Args:
        service: Name of the service in botocore.
        operation: e.g. ``CreatePipeline``; one that botocore does not know is not checked.
        request: The request.

    Raises:
        ServiceError: ``ValidationException`` with every violated constraint, in AWS's words.
    """
    model = _model(service)
    if operation not in model.operation_names:
        return
    shape = model.operation_model(operation).input_shape
    problems = [] if shape is None else list(_problems(shape, request, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise ServiceError("ValidationException", count + "; ".join(problems[:_SHOWN]))


def typed_request(service: str, operation: str, request: Json) -> Json:
    """Return a request with numbers and booleans where its model has them: templates may give them as text.

    Args:
        service: Name of the service in botocore.
        operation: e.g. ``CreateEndpointConfig``.
        request: The request. A text that is no number stays as it is.
    """
    found: Json = _typed(_model(service).operation_model(operation).input_shape, request)
    return found


def _typed(shape: Shape | None, value: Value) -> Value:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {name: _typed(shape.members.get(name), item) for name, item in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_typed(shape.member, item) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _typed(shape.value, item) for key, item in value.items()}
    return _typed_scalar(shape.type_name, value) if shape and isinstance(value, str | int | float) else value


def _typed_scalar(kind: str, value: str | float) -> Value:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "string":
        return text
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), value)
    number = {"integer": int, "long": int, "float": float, "double": float}.get(kind)
    try:
        return number(text) if number else value
    except ValueError:
        return value


def _problems(shape: Shape, value: Value, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name in shape.required_members:
            if value.get(name) is None:
                yield _problem("null", _join(path, name), "Member must not be null")
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _problems(member, value[name], _join(path, name))
    elif isinstance(shape, ListShape) and isinstance(value, list):
        yield from _size_problems(shape, len(value), value, path)
        for position, item in enumerate(value, start=1):
            yield from _problems(shape.member, item, f"{path}.{position}.member")
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        yield from _size_problems(shape, len(value), value, path)
        for key, item in value.items():
            yield from _problems(shape.key, key, path)
            yield from _problems(shape.value, item, f"{path}.{key}.member")
    elif isinstance(shape, StringShape) and isinstance(value, str):
        yield from _text_problems(shape, value, path)


def _size_problems(shape: Shape, size: int, value: Value, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if most is not None and size > most:
        yield _problem(value, path, f"Member must have length less than or equal to {most}")
    if least is not None and size < least:
        yield _problem(value, path, f"Member must have length greater than or equal to {least}")


def _text_problems(shape: Shape, value: str, path: str) -> Iterator[str]:
    yield from _size_problems(shape, len(value), value, path)
    pattern = _compiled(shape.metadata.get("pattern"))
    if pattern and not pattern.fullmatch(value):
        yield _problem(value, path, f"Member must satisfy regular expression pattern: {shape.metadata['pattern']}")
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _problem(value, path, f"Member must satisfy enum value set: [{', '.join(allowed)}]")


@functools.cache
def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    """Return a compiled pattern; None for one that is not there or uses what only Java's regular expressions know."""
    try:
        return re.compile(pattern, re.DOTALL) if pattern else None
    except re.error:
        return None


def _problem(value: Value, path: str, constraint: str) -> str:
    shown = value if isinstance(value, str) else str(value)
    quoted = shown if value == "null" else f"'{shown[:256]}'"
    return f"Value {quoted} at '{path}' failed to satisfy constraint: {constraint}"


def _join(path: str, name: str) -> str:
    member = name[0].lower() + name[1:]
    return f"{path}.{member}" if path else member
