"""Register CloudFormation resource types that MiniStack lacks, with create, update and delete that really work.

What ``Ref`` is, which attributes a resource has, and which changes replace it is in the schema of its type
(`aws_emulator.schemas`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aws_emulator import bridge, inside, schemas
from aws_emulator.clock import clock, random_id
from aws_emulator.core import Json, ServiceError
from aws_emulator.inside import replaces
from aws_emulator.records import change_tags
from aws_emulator.shapes import has_operation, members, request_of

if TYPE_CHECKING:
    from aws_emulator.records import Table

Create: TypeAlias = Callable[[Json, str, str], Json]
Update: TypeAlias = Callable[[str, Json, Json], Json]
Delete: TypeAlias = Callable[[str, Json], Any]
Complete: TypeAlias = Callable[[str, Json], None]
Made: TypeAlias = tuple[str, Json]
"""``Ref`` and attributes of a resource."""
Option: TypeAlias = Any
"""An argument that is passed on to MiniStack."""

_GONE: Final = ("NotFound", "DoesNotExist")
_GONE_WORDS: Final = "Could not find"
"""How SageMaker's hosting says with a ValidationException that something is not there."""
OURS: Final[set[str]] = set()
"""The types that are registered here."""


def resource_type(
    name: str, *, create: Create, delete: Delete, update: Update | None = None, also: tuple[str, ...] = ()
) -> None:
    """Register a resource type.

    Handlers run on a worker thread (they can call the endpoint) in the stack's account and region, after
    `aws_emulator.cloudformation.stack_roles` has decided for whom CloudFormation acts. An exception fails the resource
    with its text as the reason.

    Args:
        name: e.g. ``AWS::SageMaker::Domain``.
        create: Called with properties, logical id and stack name; returns the read-only properties, and what belongs to
            ``Ref`` and can be missing in a template.
        delete: Called with ``Ref`` and properties. It is not an error when the resource is already gone.
        update: Called with ``Ref``, old and new properties; returns as `create` does. Default: every change replaces
            the resource.
        also: What `create` and `update` return besides for ``Fn::GetAtt`` (template reference, return values).
    """

    def attributes(made: Json) -> Json:
        found = {key: made[key] for key in (*schemas.paths(name, "readOnlyProperties"), *also) if key in made}
        return {key: clock.moment(v).isoformat() if isinstance(v, float) else v for key, v in found.items()}

    def created(logical_id: str, properties: Json, stack_name: str) -> tuple[str, Json]:
        made = create(properties, logical_id, stack_name)
        known = {**properties, **made}
        return "|".join(str(known[key]) for key in schemas.identifier(name)), attributes(made)

    def updated(ref: str, old: Json, new: Json, stack_name: str, logical_id: str) -> tuple[str, Json]:
        # A new Ref means for MiniStack that this is a replacement: it deletes the predecessor after the update.
        replacing = schemas.paths(name, "createOnlyProperties")
        if update is None or any(_at(old, path) != _at(new, path) for path in replacing):
            return created(logical_id, new, stack_name)
        return ref, attributes(update(ref, old, new))

    def deleted(ref: str, properties: Json) -> None:
        try:
            delete(ref, properties)
        except ServiceError as error:
            if not any(word in error.code for word in _GONE) and not error.message.startswith(_GONE_WORDS):
                raise

    inside.provisioners.RESOURCE_HANDLERS[name] = {
        "create": created,
        "update": updated,
        "update_with_logical_id": True,
        "delete": deleted,
    }
    OURS.add(name)


def _at(properties: Json, path: str) -> Any:  # noqa: ANN401 - a value of a property
    found: Any = properties
    for key in path.split("/"):
        found = found.get(key) if isinstance(found, dict) else None
    return found


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How resources of a table differ from plain records when they are in a template; by default they do not.

    Attributes:
        spelled: Returns properties with the names that the operations have for them.
        is_changed: Whether the operation that updates a record has to be called: not when only tags differ.
        idle: Waits until a record can be changed or deleted.
        settle: Called with record and properties after creation or update: does what the operation does not, waits,
            and raises `ServiceError` when that failed.
    """

    spelled: Callable[[Json], Json] = lambda properties: properties
    is_changed: Callable[[Json, Json], bool] = lambda record, new: True
    idle: Callable[[Json], None] = lambda record: None
    settle: Callable[[Json, Json], None] = lambda record, properties: None


def record_type(table: Table, namespace: str, manner: Manner | None = None) -> None:
    """Register the type of a table's resources, which the operations of its service make, change and delete.

    Args:
        table: The table; its type is called as its noun.
        namespace: What precedes the noun, e.g. ``AWS::SageMaker``.
        manner: How it differs. Default: not at all.
    """
    name, own, service = f"{namespace}::{table.noun}", table.key[-1], table.service
    does = manner or Manner()
    identifier = schemas.identifier(name)

    def record_of(ref: str) -> Json:
        found = table.find(dict(zip(identifier, ref.split("|"), strict=True)))
        does.idle(found)
        return found

    def key_of(record: Json) -> Json:
        return {member: record[member] for member in table.key}

    def create(properties: Json, logical_id: str, stack_name: str) -> Json:
        operation = f"Create{table.noun}"
        if own in members(service, operation):
            properties = {**properties, own: physical_name(properties, own, logical_id, stack_name, limit=63)}
        request = request_of(service, operation, does.spelled(properties))
        record = table.find(request | bridge.call(service, operation, request))
        does.settle(record, properties)
        return record

    def update(ref: str, old: Json, new: Json) -> Json:
        record, operation = record_of(ref), f"Update{table.noun}"
        if does.is_changed(record, new):
            if has_operation(service, operation):
                request = {**does.spelled(new), **key_of(record)}
                bridge.call(service, operation, request_of(service, operation, request))
            does.settle(record, new)
        change_tags(record[f"{table.noun}Arn"], old, new)
        return record

    def delete(ref: str, properties: Json) -> None:
        bridge.call(service, f"Delete{table.noun}", key_of(record_of(ref)))

    generated = (own,) if own not in schemas.schema(name).get("required", ()) else ()
    resource_type(name, create=create, update=update, delete=delete, also=generated)


def physical_name(properties: Json, key: str, logical_id: str, stack_name: str, *, limit: int) -> str:
    """Return the name a resource asks for, or a generated one as CloudFormation makes it, cut to `limit` characters."""
    given = properties.get(key)
    if given:
        return str(given)
    suffix = random_id(12)
    return f"{stack_name}-{logical_id}"[: limit - len(suffix) - 1] + f"-{suffix}"


def completes(type_: str) -> Callable[[Complete], Complete]:
    """Let the decorated function complete what MiniStack's own handlers of a type make or change.

    They leave properties out. The function is called with ``Ref`` and the properties.

    Args:
        type_: e.g. ``AWS::IAM::Role``.
    """
    handlers = inside.provisioners.RESOURCE_HANDLERS[type_]

    def register(complete: Complete) -> Complete:
        def completed(original: Callable[..., Made], *arguments: Option) -> Made:
            made = original(*arguments)
            # Of the logical id, properties and stack to create; of Ref, old and new properties and more to update.
            complete(made[0], arguments[1] if len(arguments) == 3 else arguments[2])
            return made

        for phase in {"create", "update"} & handlers.keys():
            replaces(handlers, phase)(completed)
        return complete

    return register


@replaces(inside.stacks, "runs_on_worker_thread")
def _runs_on_worker_thread(original: Callable[[str], bool], name: str) -> bool:
    """Keep handlers registered here off the event loop, because they call the endpoint and wait."""
    return name in OURS or original(name)
