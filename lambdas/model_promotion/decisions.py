"""What an event says about a package, and who decided what about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from lambdas.model_promotion.errors import PromotionError
from lambdas.model_promotion.names import MODEL_EVENT, MODEL_SOURCE, PENDING
from lambdas.model_promotion.packages import PackageArn

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT_MAX: Final = 1024
_METADATA_VALUE_MAX: Final = 256


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What an event says: that a package changed. How, is read from the package.

    Attributes:
        package: The package.
        status: ``ModelApprovalStatus`` in the event; only the audit needs it, when the package has moved on since.
        when: Unix time of the event, in seconds.
        tags: Its tags as the event has them; nothing else tells them across accounts.
    """

    package: PackageArn
    status: str
    when: float
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, event: Mapping[str, Any]) -> Self | None:
        """Read an event; None if it is about a package without a group.

        Raises:
            PromotionError: It is not such an event, or is about a package of another account or region than its own.
        """
        detail = event.get("detail")
        if (event.get("source"), event.get("detail-type")) != (MODEL_SOURCE, MODEL_EVENT) or not isinstance(
            detail, dict
        ):
            raise PromotionError(
                f"the message is not an event {MODEL_EVENT!r} of {MODEL_SOURCE} (source {event.get('source')!r}, type "
                f"{event.get('detail-type')!r}): nothing is promoted. Correct the rule that feeds the queue."
            )
        arn = PackageArn.parse(str(detail.get("ModelPackageArn")))
        if arn is None:
            return None
        # EventBridge writes both: the account of whoever puts an event cannot be made up.
        if (arn.account, arn.region) != (event.get("account"), event.get("region")):
            raise PromotionError(
                f"the event comes from account {event.get('account')!r}, region {event.get('region')!r}, and is about "
                f"{arn.text}: no account speaks for another one, so it is refused."
            )
        tags = detail.get("Tags")
        return cls(
            package=arn,
            status=str(detail.get("ModelApprovalStatus", PENDING)),
            when=datetime.fromisoformat(str(event["time"])).timestamp(),
            tags=_own_tags(tags) if isinstance(tags, dict) else {},
        )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An approval, a rejection, or what took it back.

    Attributes:
        status: ``ModelApprovalStatus``.
        who: Who changed the package last: user profile, else the ARN of the identity, else ``unknown``.
        when: Unix time of the change, in seconds.
        reason: ``ApprovalDescription``; may be empty.
    """

    status: str
    who: str
    when: float
    reason: str

    @classmethod
    def of(cls, package: Mapping[str, Any]) -> Self:
        """Read the decision from the answer of DescribeModelPackage."""
        changed = package.get("LastModifiedTime") or package["CreationTime"]
        user = package.get("LastModifiedBy") or package.get("CreatedBy") or {}
        identity = user.get("IamIdentity") or {}
        return cls(
            status=str(package.get("ModelApprovalStatus", PENDING)),
            who=str(user.get("UserProfileName") or identity.get("Arn") or "unknown"),
            when=changed.timestamp(),
            reason=str(package.get("ApprovalDescription", "")),
        )

    def superseded(self, notice: Notice) -> Self | None:
        """Return the decision that an event reports if it no longer stands: who made it is no longer known."""
        if notice.status in (self.status, PENDING) or notice.when >= self.when:
            return None
        return replace(self, status=notice.status, who="unknown: changed again since", when=notice.when, reason="")

    @property
    def moment(self) -> str:
        """Time of the change as text, to the second, in UTC."""
        return datetime.fromtimestamp(self.when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def sentence(self, account: str) -> str:
        """Say the decision in one text, as the hub's approval description."""
        text = f"{self.status} in account {account} by {self.who} at {self.moment}"
        return (f"{text}: {self.reason}" if self.reason else text)[:_TEXT_MAX]

    @property
    def metadata(self) -> dict[str, str]:
        """The decision as customer metadata of the hub's package."""
        entries = {
            "source_status": self.status,
            "source_decided_by": self.who,
            "source_decided_at": self.moment,
            "source_reason": self.reason or "none",
        }
        return {key: metadata_text(value) for key, value in entries.items()}


def metadata_text(text: str) -> str:
    """Return a text as customer metadata may hold it: other characters replaced, at most 256 of them."""
    return re.sub(r"[^\w .:/=+\-@]", "-", text)[:_METADATA_VALUE_MAX]


def _own_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Return tags without those that AWS sets and nobody else may."""
    return {str(key): str(value) for key, value in tags.items() if not str(key).lower().startswith("aws:")}
