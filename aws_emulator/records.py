"""Resources that are little more than records: what their kinds have in common.

A table says what identifies a resource of a kind and how a service words its refusals. Operations that describe, list
and delete follow from it; which members an answer or an item of a list has is in botocore's model of the service
(`aws_emulator.shapes`), and so is what a list can be filtered and ordered by. What is special about a service is
code of its own, such as the checks before something is created.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.core import Json, Records, ServiceError
from aws_emulator.shapes import list_member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Value: TypeAlias = Any
"""A value of a member."""
Error: TypeAlias = tuple[str, str]
"""Code and text of an error; ``{key}`` and ``{arn}`` of the text are those of the resource."""

_ORDER: Final = ("MaxResults", "NextToken", "SortBy", "SortOrder")
_FILTERS: Final[dict[str, Callable[[Value, Value], bool]]] = {
    "Contains": operator.contains,
    "Prefix": lambda value, wanted: str(value).startswith(wanted),
    "Equals": operator.eq,
    "After": operator.ge,
    "Before": operator.le,
}
"""What the end of a filter's name says."""
_ALSO_CALLED: Final = {"CreationTime": ("CreatedAt", "StartTime")}


# ---- tags -----------------------------------------------------------------------------------------------------------

_tags: Final = Records()
"""Tags of resources, by ARN."""


def tag_map(tags: Sequence[Json] | None) -> dict[str, str]:
    """Return a list of tags as a dictionary."""
    return {tag["Key"]: tag["Value"] for tag in tags or []}


def tag_list(tags: dict[str, str]) -> list[Json]:
    """Return a dictionary of tags as a list."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def set_tags(arn: str, tags: Sequence[Json] | None) -> None:
    """Give a new resource its tags."""
    _tags[arn] = tag_map(tags)


def drop_tags(arn: str) -> None:
    """Forget the tags of a deleted resource."""
    _tags.pop(arn, None)


def tags_of(arn: str) -> dict[str, str]:
    """Return the tags of a resource, to look at and to change.

    Raises:
        ServiceError: There is no such resource.
    """
    if arn not in _tags:
        raise ServiceError("ValidationException", f"Resource {arn} does not exist.")
    found: dict[str, str] = _tags[arn]
    return found


def tags_anywhere(arn: str) -> dict[str, str]:
    """Return the tags of a resource of any account, for conditions of policies; none of what is not there."""
    _, _, _, region, account, _ = arn.split(":", 5)
    found: dict[str, str] = _tags.get_scoped(account, region, arn) or {}
    return found


def change_tags(arn: str, old: Json, new: Json) -> None:
    """Change the tags that a template gives a resource; tags from elsewhere stay."""
    tags = tags_of(arn)
    for key in tag_map(old.get("Tags")):
        tags.pop(key, None)
    tags.update(tag_map(new.get("Tags")))


# ---- tables ---------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Table:
    """A kind of resource and the resources of it.

    Attributes:
        service: Name of the service in botocore and in ARNs.
        noun: What its operations call it, e.g. ``EndpointConfig`` in ``CreateEndpointConfig``.
        kind: What ARNs call it, e.g. ``endpoint-config``.
        key: Members that identify a resource; with slashes between them they are the end of its ARN. Default: its
            name, e.g. ``EndpointConfigName``.
        missing: How the service refuses a resource that is not there.
        taken: How it refuses a second one with the same key.
        newest_first: Order of lists that do not ask for another.
        records: The resources by key, in every account and region.
    """

    service: str
    noun: str
    kind: str
    key: tuple[str, ...] = ()
    missing: Error
    taken: Error
    newest_first: bool = True
    records: Records = field(default_factory=Records)

    def __post_init__(self) -> None:
        """Derive the key."""
        self.key = self.key or (f"{self.noun}Name",)

    def answers(self, *verbs: str) -> Table:
        """Answer operations: ``Describe``, ``List`` and ``Delete``."""
        known = {"Describe": self.find, "List": self.listed, "Delete": self.delete}
        for verb in verbs:
            overlay(self.service, f"{verb}{self.noun}{'s' if verb == 'List' else ''}")(known[verb])
        return self

    def key_of(self, request: Json) -> str:
        """Return the key of the resource that a request names by its members, or by its ARN."""
        if all(member in request for member in self.key):
            return "/".join(str(request[member]) for member in self.key)
        return str(request[f"{self.noun}Arn"]).split("/", 1)[1]

    def arn(self, key: str) -> str:
        """Return the ARN of a resource of the current account."""
        return core.arn(self.service, f"{self.kind}/{key}")

    def error(self, error: Error, key: str) -> ServiceError:
        """Return an error about a resource."""
        return ServiceError(error[0], error[1].format(key=key, arn=self.arn(key)))

    def find(self, request: Json) -> Json:
        """Return the record that a request names.

        Raises:
            ServiceError: There is none.
        """
        key = self.key_of(request)
        found: Json | None = self.records.get(key)
        if found is None:
            raise self.error(self.missing, key)
        return found

    def named(self, name: str) -> Json:
        """Return the record with a name, for kinds that a name identifies.

        Raises:
            ServiceError: There is none.
        """
        return self.find({self.key[0]: name})

    def require_free(self, request: Json) -> None:
        """Check that no resource has the key of a request.

        Raises:
            ServiceError: One has.
        """
        if self.key_of(request) in self.records:
            raise self.error(self.taken, self.key_of(request))

    def add(self, request: Json, **members: Value) -> Json:
        """Keep a new resource: the members of its request and others, its tags apart. Returns its record.

        Raises:
            ServiceError: There is one with its key already.
        """
        self.require_free({**request, **members})
        key, moment = self.key_of({**request, **members}), clock.now()
        record: Json = {"CreationTime": moment, "LastModifiedTime": moment, f"{self.noun}Arn": self.arn(key)}
        record |= {member: value for member, value in request.items() if member != "Tags"} | members
        self.records[key] = record
        set_tags(record[f"{self.noun}Arn"], request.get("Tags"))
        return record

    def delete(self, request: Json) -> Json:
        """Forget the resource that a request names, with its tags."""
        record = self.find(request)
        del self.records[self.key_of(record)]
        drop_tags(record[f"{self.noun}Arn"])
        return record

    def listed(self, request: Json) -> Json:
        """Answer a request for a list."""
        return self.list_of(f"List{self.noun}s", request, self.records.values())

    def list_of(self, operation: str, request: Json, records: Iterable[Json]) -> Json:
        """Return records, filtered and ordered as a request says.

        Args:
            operation: e.g. ``ListModelCardVersions``.
            request: The request, without members that say of what the list is.
            records: What is listed.

        Raises:
            ServiceError: It asks for a filter that is not emulated.
        """
        wanted = {member: value for member, value in request.items() if member not in _ORDER}
        found = [record for record in records if all(self._fits(record, *filter_) for filter_ in wanted.items())]
        by = request.get("SortBy") or "CreationTime"
        descending = request.get("SortOrder", "Descending" if self.newest_first else "Ascending") == "Descending"
        found.sort(key=lambda record: self._value(record, by), reverse=descending)
        return {list_member(self.service, operation): found}

    def _fits(self, record: Json, member: str, wanted: Value) -> bool:
        for end, fits in _FILTERS.items():
            if member.endswith(end):
                return bool(fits(self._value(record, member.removesuffix(end)), wanted))
        return bool(self._value(record, member) == wanted)

    def _value(self, record: Json, word: str) -> Value:
        """Return what a word of a filter or an order stands for: ``Name`` or ``Status``."""
        for name in (word, f"{self.noun}{word}", *_ALSO_CALLED.get(word, ())):
            if name in record:
                return record[name]
        if word == "Name":
            return self.key_of(record)
        raise ServiceError("ValidationException", f"{word} is not emulated in lists of {self.noun}.")
