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

from botocore import xform_name

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.core import Json, Records, ServiceError
from aws_emulator.shapes import list_member, member_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Value: TypeAlias = Any
"""A value of a member."""
Tags: TypeAlias = "Sequence[Json] | dict[str, str] | None"

_ORDER: Final = ("MaxResults", "NextToken", "SortBy", "SortOrder")
_FILTERS: Final[dict[str, Callable[[Value, Value], bool]]] = {
    "Contains": operator.contains,
    "Prefix": lambda value, wanted: str(value).startswith(wanted),
    "Equals": operator.eq,
    "Filter": operator.eq,
    "After": operator.ge,
    "Before": operator.le,
}
"""What the end of a filter's name says."""
_ALSO_CALLED: Final = {"CreationTime": ("CreatedAt", "StartTime")}


# ---- tags -----------------------------------------------------------------------------------------------------------

_tags: Final = Records()
"""Tags of resources, by ARN."""


def tag_map(tags: Tags) -> dict[str, str]:
    """Return tags as a dictionary, in whatever form an API has them."""
    if isinstance(tags, dict):
        return dict(tags)
    key, value = ("key", "value") if tags and "key" in tags[0] else ("Key", "Value")
    return {tag[key]: tag[value] for tag in tags or []}


def tag_list(tags: dict[str, str]) -> list[Json]:
    """Return a dictionary of tags as a list."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def set_tags(arn: str, tags: Tags) -> None:
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
        code = "ValidationException" if ":sagemaker:" in arn else "ResourceNotFoundException"
        raise ServiceError(code, f"Resource {arn} does not exist.")
    found: dict[str, str] = _tags[arn]
    return found


def tags_anywhere(arn: str) -> dict[str, str]:
    """Return the tags of a resource of any account, for conditions of policies; none of what is not there."""
    _, _, _, region, account, _ = arn.split(":", 5)
    found: dict[str, str] = _tags.get_scoped(account, region, arn) or {}
    return found


def answer_tags(service: str) -> None:
    """Answer the operations on tags that most services have: TagResource, UntagResource, ListTagsForResource."""

    def given(request: Json, member: str) -> Value:
        return next(value for name, value in request.items() if name.lower() == member)

    def add(request: Json) -> Json:
        tags_of(given(request, "resourcearn")).update(tag_map(given(request, "tags")))
        return {}

    def remove(request: Json) -> Json:
        tags = tags_of(given(request, "resourcearn"))
        for key in given(request, "tagkeys"):
            tags.pop(key, None)
        return {}

    def listed(request: Json) -> Json:
        tags = tags_of(given(request, "resourcearn"))
        either = [{"Key": key, "key": key, "Value": value, "value": value} for key, value in tags.items()]
        shown = tags if member_type(service, "ListTagsForResource", "Tags") == "map" else either
        return {"Tags": shown, "tags": shown}

    for operation, answer in (("TagResource", add), ("UntagResource", remove), ("ListTagsForResource", listed)):
        overlay(service, operation)(answer)


def change_tags(arn: str, old: Json, new: Json) -> None:
    """Change the tags that a template gives a resource; tags from elsewhere stay."""
    tags = tags_of(arn)
    for key in tag_map(old.get("Tags")):
        tags.pop(key, None)
    tags.update(tag_map(new.get("Tags")))


# ---- tables ---------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Table:
    """A kind of resource, and its resources.

    Attributes:
        service: Name of the service in botocore and in ARNs.
        noun: What its operations call it, e.g. ``EndpointConfig`` in ``CreateEndpointConfig``.
        kind: What ARNs call it. Default: the noun with hyphens, e.g. ``endpoint-config``.
        key: Members that identify a resource; with slashes between them they are the end of its ARN. Default: its
            name, e.g. ``EndpointConfigName``.
        missing: How the service refuses a resource that is not there; ``{key}`` and ``{arn}`` are the resource's.
        code: Code of that error.
        taken: How it refuses a second one with the same key.
        taken_code: Code of that error. Default: `code`.
        newest_first: Order of lists that do not ask for another.
        records: The resources by key, in every account and region.
    """

    service: str
    noun: str
    kind: str = ""
    key: tuple[str, ...] = ()
    missing: str
    code: str = "ValidationException"
    taken: str = "{arn} already exists."
    taken_code: str = ""
    newest_first: bool = True
    records: Records = field(default_factory=Records)

    def __post_init__(self) -> None:
        """Derive kind and key."""
        self.kind = self.kind or xform_name(self.noun, "-")
        self.key = self.key or (f"{self.noun}Name",)

    def answers(self, *verbs: str) -> Table:
        """Answer operations: ``Describe``, ``Get``, ``List``, ``Update`` and ``Delete``."""
        known = {
            "Describe": self.find,
            "Get": self.get,
            "List": self.listed,
            "Update": self.update,
            "Delete": self.delete,
        }
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

    def find(self, request: Json) -> Json:
        """Return the record that a request names.

        Raises:
            ServiceError: There is none.
        """
        key = self.key_of(request)
        found: Json | None = self.records.get(key)
        if found is None:
            raise ServiceError(self.code, self.missing.format(key=key, arn=self.arn(key)))
        return found

    def get(self, request: Json) -> Json:
        """Return the record that a request names, as the member of the answer that is called like its kind."""
        return {self.noun: self.find(request)}

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
        key = self.key_of(request)
        if key in self.records:
            raise ServiceError(self.taken_code or self.code, self.taken.format(key=key, arn=self.arn(key)))

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

    def update(self, request: Json) -> Json:
        """Change what a request names of a resource; structures keep the members that it does not name."""
        record = self.find(request)
        for member, value in request.items():
            both = isinstance(value, dict) and isinstance(record.get(member), dict)
            record[member] = {**record[member], **value} if both else value
        record["LastModifiedTime"] = clock.now()
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
