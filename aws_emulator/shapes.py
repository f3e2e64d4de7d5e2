"""What botocore's model of a service says: whether a request is valid, what an answer shows, how a list is paged.

boto3 leaves lengths, patterns and allowed values unchecked. A name that is one character too long fails here as it
would on AWS, and in the same words.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import botocore.session
from botocore.model import ListShape, MapShape, StringShape, StructureShape

from aws_emulator.core import Json, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.model import ServiceModel, Shape

Value: TypeAlias = Any
"""A value in a request: a structure, a list, a text, a number."""

_PAGE_MEMBERS: Final = (("maxresults", "pagesize"), ("nexttoken", "pagetoken"))
_FOLLOWING: Final = ("nexttoken", "nextpagetoken")
_PAGE_SIZE: Final = {"sagemaker": 10, "servicecatalog": 20}
"""Items of a page unless the request says otherwise."""
_LARGE_PAGE: Final = 50
_SHOWN: Final = 10
"""So many violations are shown at most."""


@functools.cache
def model(service: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return botocore.session.get_session().get_service_model(service)


def check_request(service: str, operation: str, request: Json) -> None:
    """Check a request as the service's front end does before it looks at anything else.

    Args:
        service: Name of the service in botocore.
        operation: e.g. ``CreatePipeline``; one that botocore does not know is not checked.
        request: The request.

    Raises:
        ServiceError: ``ValidationException`` with every violated constraint, in AWS's words.
    """
    if not has_operation(service, operation):
        return
    shape = model(service).operation_model(operation).input_shape
    problems = [] if shape is None else list(_problems(shape, request, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise ServiceError("ValidationException", count + "; ".join(problems[:_SHOWN]))


def typed_request(service: str, operation: str, request: Json) -> Json:
    """Return a request with numbers and booleans where its model has them: templates may give them as text.

    Args:
        service: Name of the service in botocore.
        operation: e.g. ``CreateEndpointConfig``.
        request: The request. A text that is not a number stays as it is.
    """
    found: Json = walk(model(service).operation_model(operation).input_shape, request, scalar=_typed_scalar)
    return found


def request_of(service: str, operation: str, properties: Json) -> Json:
    """Return properties of a template as the request of an operation: its members only, typed and checked.

    Raises:
        ServiceError: A member violates its model.
    """
    known = members(service, operation)
    request = typed_request(service, operation, {key: properties[key] for key in known if key in properties})
    check_request(service, operation, request)
    return request


def members(service: str, operation: str) -> tuple[str, ...]:
    """Return the members of an operation's request."""
    shape = model(service).operation_model(operation).input_shape
    return tuple(shape.members) if shape else ()


def structure(service: str, shape: str) -> tuple[str, ...]:
    """Return the members of a structure, e.g. of ``PortfolioDetail``."""
    found = model(service).shape_for(shape)
    return tuple(found.members) if isinstance(found, StructureShape) else ()


def has_operation(service: str, operation: str) -> bool:
    """Return whether a service has an operation."""
    return operation in model(service).operation_names


def operation_at(service: str, path: str) -> str:
    """Return the operation that requests to a path ask for; its last part when the model has none there."""
    operations = (model(service).operation_model(name) for name in model(service).operation_names)
    return next((o.name for o in operations if o.http["requestUri"] == path), path.rsplit("/", 1)[-1])


def member_type(service: str, operation: str, member: str) -> str | None:
    """Return what a member of an answer is, e.g. ``map``; None if answers have none with that name."""
    shape = model(service).operation_model(operation).output_shape
    found = shape.members.get(member) if shape else None
    return str(found.type_name) if found else None


def list_member(service: str, operation: str) -> str:
    """Return the member of an answer that is a list."""
    shape = model(service).operation_model(operation).output_shape
    return next(str(name) for name, member in (shape.members if shape else {}).items() if isinstance(member, ListShape))


class _Paging(NamedTuple):
    """Members of a list's request and answer that say which page it is."""

    size: str
    token: str
    following: str
    default: int


@functools.cache
def _paging(service: str, operation: str) -> _Paging | None:
    """Return how a list comes in pages; None for what is not a list, or comes whole."""
    found = model(service).operation_model(operation)
    given, answered = (dict(shape.members) if shape else {} for shape in (found.input_shape, found.output_shape))
    size, token = (next((name for name in given if name.lower() in names), None) for names in _PAGE_MEMBERS)
    following = next((name for name in answered if name.lower() in _FOLLOWING), None)
    listed = any(isinstance(shape, ListShape) for shape in answered.values())
    if size is None or token is None or following is None or not listed:
        return None
    default = max(_PAGE_SIZE.get(service, _LARGE_PAGE), given[size].metadata.get("min", 0))
    return _Paging(size, token, following, default)


def page_of(service: str, operation: str, request: Json, response: Json) -> Json:
    """Return the part of a list that a request asks for; the token is the position of the next item.

    Args:
        service: Name of the service in botocore.
        operation: e.g. ``ListPipelines``; the answer of one that has no pages stays as it is.
        request: The request.
        response: The answer with all items.
    """
    paging = _paging(service, operation) if has_operation(service, operation) else None
    if paging is None:
        return response
    key = list_member(service, operation)
    size, start = int(request.get(paging.size) or paging.default), int(request.get(paging.token) or 0)
    items = response.get(key, [])
    more = {paging.following: str(start + size)} if start + size < len(items) else {}
    return {**response, key: items[start : start + size], **more}


def answer_of(service: str, operation: str, response: Json) -> Json:
    """Return what an answer shows of a response: the members that its model has, and of these what there is."""
    if not has_operation(service, operation):
        return response
    shape = model(service).operation_model(operation).output_shape
    shown: Json = walk(shape, response, members=_present) if shape else {}
    return shown


def walk(
    shape: Shape | None,
    value: Value,
    *,
    members: Callable[[StructureShape, Json], Json] = lambda shape, value: value,
    scalar: Callable[[str, Value], Value] = lambda kind, value: value,
) -> Value:
    """Return a value of a shape with other members and scalars, in every structure, list and map of it.

    Args:
        shape: The shape; None for a member that the model does not know.
        value: The value.
        members: Returns the members of a structure. Default: as they are.
        scalar: Returns a scalar, whose kind is e.g. ``integer``. Default: as it is.
    """

    def inner(part: Shape | None, item: Value) -> Value:
        return walk(part, item, members=members, scalar=scalar)

    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {name: inner(shape.members.get(name), item) for name, item in members(shape, value).items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [inner(shape.member, item) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: inner(shape.value, item) for key, item in value.items()}
    return scalar(shape.type_name, value) if shape and isinstance(value, str | int | float) else value


def _present(shape: StructureShape, value: Json) -> Json:
    return {name: value[name] for name in shape.members if value.get(name) is not None}


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
