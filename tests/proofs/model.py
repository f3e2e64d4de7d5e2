"""What a proof is about: principals with their policies, and the policies of what they reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.policy import Launch

Statement = Mapping[str, Any]
Statements = tuple[Statement, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Actor:
    """Somebody who makes requests.

    Attributes:
        name: Unique name, ``<launch>:<role>``.
        account: Account.
        arn: ARN of the role; only its beginning when the role is `made`.
        identity: Statements of its own policies.
        boundary: Statements of its permissions boundary, or None.
        tags: Tags of the role and its session, or None when whoever asks may have chosen any.
        trust: Statements of its trust policy.
        session: Condition keys that the service that holds the session sets, e.g. ``sagemaker:DomainId``.
        made: A role that somebody makes, who chooses the rest of its name, its policies and its trust policy.
        session_tags: Values of the deployment tag to try for a made role, because its maker chooses that too.
        labels: What properties find it by.
    """

    name: str
    account: str
    arn: str
    identity: Statements
    boundary: Statements | None = None
    tags: Mapping[str, str] | None = field(default_factory=dict)
    trust: Statements = ()
    session: Mapping[str, str] = field(default_factory=dict)
    made: bool = False
    session_tags: tuple[str, ...] = ()
    labels: frozenset[str] = frozenset()

    def policies(self) -> tuple[Statements, ...]:
        """Return its policies; a request needs an allow from each."""
        return (self.identity,) if self.boundary is None else (self.identity, self.boundary)


@dataclass(frozen=True, kw_only=True, eq=False)
class ResourcePolicy:
    """A policy that hangs on a resource.

    Attributes:
        account: Account of the resource.
        service: Service, as in its ARN.
        protects: ARN of the resource, for policies whose statements do not name it (keys, trust policies), or None.
        statements: Its statements.
    """

    account: str
    service: str
    protects: str | None
    statements: Statements


@dataclass(frozen=True, kw_only=True)
class Organisation:
    """Which accounts belong together.

    Attributes:
        id: ``o-…``.
        paths: Path of each account's unit.
    """

    id: str
    paths: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """Every principal and resource policy of one organisation.

    Attributes:
        organisation: Its accounts.
        actors: By name.
        resource_policies: All of them.
        launches: The stacks from which they come, by name.
    """

    organisation: Organisation
    actors: Mapping[str, Actor]
    resource_policies: tuple[ResourcePolicy, ...]
    launches: Mapping[str, Launch]

    def having(self, *labels: str) -> list[Actor]:
        """Return the principals that have all of some labels."""
        return [actor for actor in self.actors.values() if actor.labels.issuperset(labels)]

    def without(self, *labels: str) -> list[Actor]:
        """Return the principals that have none of some labels."""
        return [actor for actor in self.actors.values() if actor.labels.isdisjoint(labels)]

    def changed(self, actors: Iterable[Actor]) -> World:
        """Return the same world with other policies of some principals, which are found by name."""
        return replace(self, actors={**self.actors, **{actor.name: actor for actor in actors}})

    def without_resource_policies(self) -> World:
        """Return the same world with identity policies and boundaries alone."""
        return replace(self, resource_policies=())

    @cached_property
    def _by_place(self) -> Mapping[tuple[str, str], tuple[ResourcePolicy, ...]]:
        found: dict[tuple[str, str], list[ResourcePolicy]] = {}
        for policy in self.resource_policies:
            found.setdefault((policy.account, policy.service), []).append(policy)
        return {place: tuple(policies) for place, policies in found.items()}

    def policies_of(self, account: str, service: str) -> tuple[ResourcePolicy, ...]:
        """Return the resource policies of a service in an account."""
        return self._by_place.get((account, service), ())


def statements(document: Mapping[str, Any] | None) -> Statements:
    """Return the statements of a policy document."""
    return tuple(listed((document or {}).get("Statement", [])))


def listed(value: Any) -> list[Any]:  # noqa: ANN401 (JSON)
    """Return a value of JSON as the list that it stands for."""
    return value if isinstance(value, list) else [value]
