"""The words in which properties are written: who, what, and which requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.proofs.logic import Formula, all_of, any_of, negated
from tests.proofs.reference import expand
from tests.proofs.solver import Question, Where, search
from tests.proofs.world import REGION

if TYPE_CHECKING:
    from tests.proofs.model import Actor, World
    from tests.proofs.requests import Request
    from tests.proofs.solver import Outcome

Who = Callable[["World"], Iterable["Actor"]]


def anywhere(_: Request) -> Formula:
    """Take every request."""
    return True


@dataclass(frozen=True, kw_only=True)
class Property:
    """A statement of the form *no request of these principals, whatever names and tags they choose, does that*.

    Attributes:
        says: The statement; its name, too.
        who: The principals.
        may: Patterns of the actions; one with ``!`` in front takes away from those before it.
        where: Which requests. Default: all of these actions.
        owners: Accounts of the resources. Default: that of whoever asks.
        kinds: Kinds of resources, as in the Service Authorization Reference. Default: all.
        closed: Whether what has no policy in the world admits nobody of another account: right for names that only the
            platform gives. Default: others may have made it, and admit anybody.
    """

    says: str
    who: Who
    may: tuple[str, ...]
    where: Where = anywhere
    owners: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    closed: bool = False

    def actions(self) -> tuple[str, ...]:
        """Return the actions."""
        return expand(*self.may)

    def question(self, world: World) -> Question:
        """Return what to search for."""
        return Question(
            actors=list(self.who(world)),
            actions=self.actions(),
            where=self.where,
            owners=self.owners,
            kinds=self.kinds,
            region=REGION,
            closed=self.closed,
        )

    def decide(self, world: World) -> Outcome:
        """Return whether the property holds."""
        return search(world, self.question(world))


# ---- who -----------------------------------------------------------------------------------------------------------


def having(*labels: str) -> Who:
    """Return the principals with all of some labels."""
    return lambda world: world.having(*labels)


def any_with(*labels: str) -> Who:
    """Return the principals with any of some labels."""
    return lambda world: [actor for actor in world.actors.values() if actor.labels & set(labels)]


def but(who: Who, *labels: str) -> Who:
    """Return some principals except those with any of some labels."""
    return lambda world: [actor for actor in who(world) if not actor.labels & set(labels)]


def everybody(world: World) -> list[Actor]:
    """Return every principal that exists: not administrators, who may do what they like in their own account."""
    return world.without("administrator", "bounded")


def of_account(account: str) -> Who:
    """Return the principals of an account, its administrators apart."""
    return lambda world: [actor for actor in everybody(world) if actor.account == account]


def together(*parts: Who) -> Who:
    """Return the principals of several groups."""
    return lambda world: list({actor.name: actor for part in parts for actor in part(world)}.values())


# ---- which requests ------------------------------------------------------------------------------------------------


def on(*globs: str) -> Where:
    """Take requests on resources the last part of whose ARN is like one of some globs."""
    return lambda request: request.named(*globs) if request.head else False


def not_on(*globs: str) -> Where:
    """Take requests on resources like none of some globs."""
    return lambda request: negated(request.named(*globs)) if request.head else False


def having_key(key: str, *globs: str) -> Where:
    """Take requests that carry a condition key, with a value like one of some globs if there are any."""
    return lambda request: request.is_like(key, *globs) if globs else request.has(key)


def having_other(key: str, *globs: str) -> Where:
    """Take requests that carry a condition key with a value like none of some globs."""
    return lambda request: request.is_other(key, *globs)


def lacking_key(key: str, *globs: str) -> Where:
    """Take requests without a condition key, or with a value like none of some globs."""
    return lambda request: negated(request.is_like(key, *globs) if globs else request.has(key))


def for_repository(*globs: str) -> Where:
    """Take requests for a connection that name a repository like one of some globs."""
    return lambda request: request.is_like(f"{request.action.partition(':')[0]}:FullRepositoryId", *globs)


def for_other_repository(*globs: str) -> Where:
    """Take requests for a connection that name a repository like none of some globs."""
    return lambda request: request.is_other(f"{request.action.partition(':')[0]}:FullRepositoryId", *globs)


def both(*parts: Where) -> Where:
    """Take requests that all parts take."""
    return lambda request: all_of(part(request) for part in parts)


def either(*parts: Where) -> Where:
    """Take requests that some part takes."""
    return lambda request: any_of(part(request) for part in parts)


def except_(part: Where) -> Where:
    """Take the requests that a part does not take."""
    return lambda request: negated(part(request))


# ---- often used ----------------------------------------------------------------------------------------------------

READS_OBJECTS: Final = ("s3:GetObject*", "s3:ListBucket*")
WRITES_OBJECTS: Final = ("s3:PutObject*", "s3:DeleteObject*", "s3:Replicate*", "s3:RestoreObject")
CHANGES_IAM: Final = (
    "iam:*",
    "!iam:Get*",
    "!iam:List*",
    "!iam:PassRole",
    "!iam:Simulate*",
    "!iam:Generate*",
    "!iam:CreateServiceLinkedRole",
)
USES_CONNECTIONS: Final = ("codeconnections:UseConnection", "codestar-connections:UseConnection")
ENTERS: Final = ("sts:AssumeRole*", "sts:TagSession", "sts:SetSourceIdentity")
"""Becoming a role, and what a trust policy has to allow besides."""
USES_KEYS: Final = ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:CreateGrant")
DESTROYS_KEYS: Final = (
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:DisableKey",
    "kms:DeleteImportedKeyMaterial",
)
NOT_THROUGH_S3: Final = lacking_key("kms:ViaService", "s3.*")
