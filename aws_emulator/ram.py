"""RAM: the shares that Lake Formation makes for grants to other accounts.

A share exists while there is a grant. Within an organisation it is in force at once, elsewhere when somebody accepts
the invitation. Sources: https://docs.aws.amazon.com/lake-formation/latest/dg/accepting-ram-invite.html and
https://docs.aws.amazon.com/lake-formation/latest/dg/optimize-ram.html
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from ministack.core.responses import get_account_id, get_region

from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.core import Json, ServiceError, organization
from aws_emulator.lakeformation.decision import account_of, is_outside
from aws_emulator.lakeformation.store import lake

if TYPE_CHECKING:
    from collections.abc import Iterator

_shares: Final[dict[tuple[str, str], float]] = {}
"""When a share was made, by owner and by whom it is for."""


def share_arn(owner: str, principal: str, kind: str = "resource-share") -> str:
    """Return the ARN of the share of an account for a principal, or of the invitation to it."""
    digest = hashlib.sha256(f"{owner} {principal} {_shares.get((owner, principal))}".encode()).hexdigest()
    id_ = "-".join(digest[start:end] for start, end in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
    return f"arn:aws:ram:{get_region()}:{owner}:{kind}/{id_}"


def share(owner: str, principal: str) -> None:
    """Make, keep or end the share of an account for a principal, as there are grants."""
    key, members = (owner, principal), organization().accounts
    exists = is_outside(owner, principal) and any(grant[:2] == key for grant in lake().grants)
    if exists and key not in _shares:
        _shares[key] = clock.now()
        if owner in members and (":organizations:" in principal or account_of(principal) in members):
            lake().accepted.add(key)
    elif not exists:
        _shares.pop(key, None)
        lake().accepted.discard(key)


def _invited() -> Iterator[tuple[str, str]]:
    """Yield the shares to which the account is invited: those across the border of the organisation."""
    account, members = get_account_id(), organization().accounts
    for owner, principal in list(_shares):
        if account_of(principal) == account and not (owner in members and account in members):
            yield owner, principal


def _invitation(owner: str, principal: str) -> Json:
    return {
        "resourceShareInvitationArn": share_arn(owner, principal, "resource-share-invitation"),
        "resourceShareArn": share_arn(owner, principal),
        "resourceShareName": f"LakeFormation-{owner}",
        "senderAccountId": owner,
        "receiverAccountId": get_account_id(),
        "invitationTimestamp": _shares[owner, principal],
        "status": "ACCEPTED" if (owner, principal) in lake().accepted else "PENDING",
    }


@overlay("ram", "GetResourceShareInvitations")
def _invitations(_request: Json) -> Json:
    return {"resourceShareInvitations": [_invitation(*key) for key in _invited()]}


@overlay("ram", "AcceptResourceShareInvitation")
def _accept(request: Json) -> Json:
    asked = request["resourceShareInvitationArn"]
    for key in _invited():
        if _invitation(*key)["resourceShareInvitationArn"] == asked:
            if key in lake().accepted:
                raise ServiceError("ResourceShareInvitationAlreadyAcceptedException", f"{asked} is accepted already.")
            lake().accepted.add(key)
            return {"resourceShareInvitation": _invitation(*key)}
    raise ServiceError("ResourceShareInvitationArnNotFoundException", f"There is no invitation {asked}.")
