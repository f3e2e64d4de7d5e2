"""Decisions about portfolio shares and product versions: no AWS call, clock or environment here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, Self

from lambdas.shared.custom_resource import NOT_CREATED, Address, CustomResourceError, Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEADLINE_S: Final = 40 * 60
"""Longest time a share may take before CloudFormation is told that it failed; below the resource's ServiceTimeout."""

NOT_ADMINISTRATOR: Final = frozenset({"OperationNotSupportedException", "AccessDeniedException"})
"""Errors with which Service Catalog refuses an organisation share to an account that may not create one."""

Operation = Literal["share", "update", "unshare"]


class RefusedError(CustomResourceError):
    """Service Catalog did not take up the operation: nothing was started."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """One portfolio shared with one organisational unit.

    Attributes:
        portfolio_id: E.g. ``port-abc123``.
        ou_id: E.g. ``ou-ab12-workload1``.
        principals: Whether the portfolio's principal name patterns apply in the accounts it is shared with.
        tag_options: Whether its TagOptions do.
    """

    portfolio_id: str
    ou_id: str
    principals: bool
    tag_options: bool

    @classmethod
    def wanted(cls, request: Request) -> Self:
        """Read the share that a request of CloudFormation describes.

        Raises:
            CustomResourceError: A property is missing or wrong.
        """
        return cls(
            portfolio_id=request.text("PortfolioId"),
            ou_id=request.text("OrganizationalUnitId"),
            principals=flag(request.text("SharePrincipals"), "SharePrincipals"),
            tag_options=flag(request.text("ShareTagOptions"), "ShareTagOptions"),
        )

    @classmethod
    def existing(cls, physical_id: str) -> Self | None:
        """Read the share that a physical id names; None when the id names none.

        A Delete goes by the id and not by the properties: after a move both resources have been the same one.
        """
        portfolio_id, slash, ou_id = physical_id.partition("/")
        return cls(portfolio_id=portfolio_id, ou_id=ou_id, principals=False, tag_options=False) if slash else None

    @property
    def physical_id(self) -> str:
        """``Ref`` of the resource. Another unit is another id: CloudFormation removes the former share afterwards."""
        return f"{self.portfolio_id}/{self.ou_id}"


@dataclass(frozen=True, kw_only=True)
class Task:
    """An operation on a share, as far as it has come. It travels as a message until CloudFormation is answered.

    Attributes:
        operation: What is being done.
        share: To which share.
        address: Where the answer goes.
        former_id: Physical id to answer with as long as nothing was started.
        deadline: Unix time at which to give up.
        token: Service Catalog's token of the running operation; None when it has yet to be started.
        looks: How often the operation's status was looked at.
    """

    operation: Operation
    share: Share
    address: Address
    former_id: str
    deadline: float
    token: str | None = None
    looks: int = 0

    @classmethod
    def read(cls, message: str) -> Self:
        """Return the task that `message` holds, as written by `message`."""
        fields = json.loads(message)
        return cls(**fields | {"share": Share(**fields["share"]), "address": Address(**fields["address"])})

    @property
    def message(self) -> str:
        """The task as JSON."""
        return json.dumps(asdict(self))

    @property
    def deduplication_id(self) -> str:
        """The same for the same point of the same request: a repeated invocation adds no second chain of messages."""
        return f"{self.address.request_id}-{self.operation}-{self.looks}"

    @property
    def physical_id(self) -> str:
        """Id to answer with: the share as soon as Service Catalog works on it, so that CloudFormation removes it."""
        return self.share.physical_id if self.token else self.former_id

    def started(self, token: str) -> Self:
        """Return the task with a running operation."""
        return replace(self, token=token)

    def looked(self) -> Self:
        """Return the task after one more look."""
        return replace(self, looks=self.looks + 1)

    def then(self, operation: Operation) -> Self:
        """Return the task that follows for the same request. What was done before stays: the share exists."""
        return replace(self, operation=operation, token=None, former_id=self.share.physical_id)


@dataclass(frozen=True, kw_only=True)
class ShareError:
    """Accounts that a share did not reach, and why."""

    accounts: tuple[str, ...]
    error: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where an operation on a share stands (DescribePortfolioShareStatus)."""

    status: str
    successes: tuple[str, ...] = ()
    errors: tuple[ShareError, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShareOptions:
    """Options with which a portfolio is shared with a unit now (DescribePortfolioShares)."""

    principals: bool
    tag_options: bool


def first_task(request: Request, *, exists: bool, now: float) -> Task | None:
    """Return what a request asks for; None when nothing has to be done.

    It goes by the request and not by the share's present options: a repeated invocation of the same request would find
    them as it wants them while Service Catalog is still at work, and answer too early.

    Args:
        request: Request for a ``Custom::PortfolioShare``.
        exists: Whether the wanted share is there (for an Update in place; otherwise it does not matter).
        now: Unix time.
    """
    former = request.physical_id or NOT_CREATED
    operation: Operation = "share"
    share: Share | None
    if request.kind == "Delete":
        operation, share = "unshare", Share.existing(former)
        if share is None:
            return None
    else:
        share = Share.wanted(request)
        if exists and former == share.physical_id:
            operation = "update"
            names = ("SharePrincipals", "ShareTagOptions")
            if all(request.properties.get(name) == request.old_properties.get(name) for name in names):
                return None
    return Task(operation=operation, share=share, address=request.address, former_id=former, deadline=now + DEADLINE_S)


def options_agree(share: Share, current: ShareOptions) -> bool:
    """Return whether a share has the wanted options."""
    return (share.principals, share.tag_options) == (current.principals, current.tag_options)


def is_complete(task: Task, progress: Progress, *, now: float) -> bool:
    """Return whether an operation is complete; False means: look again later.

    Raises:
        CustomResourceError: It failed, wholly or for some accounts, or takes too long.
    """
    where = f"portfolio {task.share.portfolio_id} and unit {task.share.ou_id}"
    if progress.status == "COMPLETED":
        return True
    if progress.status in ("COMPLETED_WITH_ERRORS", "ERROR"):
        reasons = "; ".join(
            f"{', '.join(e.accounts) or 'no account named'}: {e.error} {e.message}".strip() for e in progress.errors
        )
        raise CustomResourceError(
            f"{task.operation} of {where} ended as {progress.status}. {len(progress.successes)} account(s) were "
            f"reached. Not reached: {reasons or 'Service Catalog gave no reason'}. Correct these accounts, or move "
            f"them out of the unit, and deploy again."
        )
    if progress.status not in ("NOT_STARTED", "IN_PROGRESS"):
        raise CustomResourceError(
            f"{task.operation} of {where}: Service Catalog reports the unknown {progress.status!r}."
        )
    if now >= task.deadline:
        raise CustomResourceError(
            f"{task.operation} of {where} is still {progress.status} after {DEADLINE_S // 60} minutes; "
            f"{len(progress.successes)} account(s) were reached. Service Catalog goes on by itself: deploy again later."
        )
    return False


def refusal(task: Task, code: str, message: str, hub_account_id: str) -> str:
    """Return the reason to give when Service Catalog refuses an operation, with the remedy where one is known."""
    reason = (
        f"Service Catalog refused to {task.operation} portfolio {task.share.portfolio_id} and unit "
        f"{task.share.ou_id}: {code}: {message}"
    )
    if code not in NOT_ADMINISTRATOR and "organization" not in message.lower():
        return reason
    return (
        f"{reason} Only the management account or a delegated administrator may share with a unit, and account "
        f"{hub_account_id} is neither. Run in the organisation's management account: "
        f"aws servicecatalog enable-aws-organizations-access && aws organizations register-delegated-administrator "
        f"--account-id {hub_account_id} --service-principal servicecatalog.amazonaws.com - then deploy again."
    )


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a product as users are to see it.

    Attributes:
        name: Name of the provisioning artifact, e.g. ``1.4.0``.
        guidance: ``DEFAULT`` or ``DEPRECATED``.
        active: Whether users see it and can launch it.
    """

    name: str
    guidance: str
    active: bool


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A provisioning artifact as it is in Service Catalog."""

    id: str
    version: Version


def wanted_versions(request: Request) -> list[Version]:
    """Read the versions of a ``Custom::ProductVersions``.

    Raises:
        CustomResourceError: The property Versions is not as it must be.
    """
    entries = request.properties.get("Versions")
    if not isinstance(entries, list) or not entries:
        raise CustomResourceError(f"Custom::ProductVersions needs Versions, a list; found {entries!r}.")
    return [_version(entry) for entry in entries]


def changes(wanted: Sequence[Version], found: Sequence[Artifact], product_id: str) -> list[tuple[str, Version]]:
    """Return the artifacts to update, by id, with what they have to become; visible ones first.

    The order matters: hiding the last visible version before the next one shows would leave a product without any.

    Raises:
        CustomResourceError: A wanted version is not there, or is there twice.
    """
    by_name: dict[str, list[Artifact]] = {}
    for artifact in found:
        by_name.setdefault(artifact.version.name, []).append(artifact)
    wrong = {v.name: len(by_name.get(v.name, [])) for v in wanted if len(by_name.get(v.name, [])) != 1}
    if wrong:
        raise CustomResourceError(
            f"product {product_id} must have each of its versions once; found "
            f"{', '.join(f'{name}: {count} times' for name, count in wrong.items())} among "
            f"{', '.join(sorted(by_name)) or 'none'}. Delete versions that were added by hand, and deploy again."
        )
    differing = [(by_name[v.name][0].id, v) for v in wanted if by_name[v.name][0].version != v]
    return sorted(differing, key=lambda change: not change[1].active)


def flag(value: object, name: str) -> bool:
    """Return a boolean property; CloudFormation sends it as ``true`` or ``false``.

    Raises:
        CustomResourceError: It is neither.
    """
    if value not in ("true", "false"):
        raise CustomResourceError(f"property {name} must be true or false; found {value!r}.")
    return value == "true"


def _version(entry: object) -> Version:
    if not isinstance(entry, dict) or set(entry) != {"Name", "Guidance", "Active"}:
        raise CustomResourceError(f"an entry of Versions must have Name, Guidance and Active; found {entry!r}.")
    fields: Mapping[str, object] = entry
    if fields["Guidance"] not in ("DEFAULT", "DEPRECATED"):
        raise CustomResourceError(f"Guidance must be DEFAULT or DEPRECATED; found {fields['Guidance']!r}.")
    return Version(name=str(fields["Name"]), guidance=str(fields["Guidance"]), active=flag(fields["Active"], "Active"))
