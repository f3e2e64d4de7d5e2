"""Register CloudFormation resource types that MiniStack lacks, with create, update and delete that really work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from ministack.services.cloudformation import provisioners, stacks

from rehearsal.cloud.clock import random_id
from rehearsal.cloud.core import Json, ServiceError

Created: TypeAlias = tuple[str, Json]
"""What a resource is after its creation: the value of ``Ref`` and the attributes of ``Fn::GetAtt``."""
Create: TypeAlias = Callable[[Json, str, str], Created]
Update: TypeAlias = Callable[[str, Json, Json], Json]
Delete: TypeAlias = Callable[[str, Json], None]

_GONE: Final = ("NotFound", "DoesNotExist")
_ours: Final[set[str]] = set()


def resource_type(
    name: str, *, create: Create, delete: Delete, update: Update | None = None, create_only: Sequence[str] = ()
) -> None:
    """Register a resource type.

    Handlers run on a worker thread (they may call the endpoint) in the stack's account and region, after
    `rehearsal.cloud.stack_roles` has decided for whom CloudFormation acts. An exception fails the resource with its
    text as the reason.

    Args:
        name: e.g. ``AWS::SageMaker::Domain``.
        create: Called with properties, logical id and stack name; returns ``Ref`` and attributes.
        delete: Called with ``Ref`` and properties. That the resource is gone already is no error.
        update: Called with ``Ref``, old and new properties; returns the attributes. Default: every change
            replaces the resource.
        create_only: Properties whose change replaces the resource (``createOnlyProperties`` of the type's schema).
    """

    def created(logical_id: str, properties: Json, stack_name: str) -> Created:
        return create(properties, logical_id, stack_name)

    def updated(ref: str, old: Json, new: Json, stack_name: str, logical_id: str) -> Created:
        # A new Ref tells MiniStack that this is a replacement: it deletes the predecessor after the update.
        if update is None or any(old.get(key) != new.get(key) for key in create_only):
            return create(new, logical_id, stack_name)
        return ref, update(ref, old, new)

    def deleted(ref: str, properties: Json) -> None:
        try:
            delete(ref, properties)
        except ServiceError as error:
            if not any(word in error.code for word in _GONE):
                raise

    provisioners._RESOURCE_HANDLERS[name] = {
        "create": created,
        "update": updated,
        "update_with_logical_id": True,
        "delete": deleted,
    }
    _ours.add(name)


def physical_name(properties: Json, key: str, logical_id: str, stack_name: str, *, limit: int) -> str:
    """Return the name a resource asks for, or a generated one as CloudFormation makes it, cut to `limit` characters."""
    given = properties.get(key)
    if given:
        return str(given)
    suffix = random_id(12)
    return f"{stack_name}-{logical_id}"[: limit - len(suffix) - 1] + f"-{suffix}"


def install() -> None:
    """Keep handlers registered here off the event loop, because they call the endpoint and wait."""
    runs_on_worker_thread = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda name: name in _ours or runs_on_worker_thread(name)
