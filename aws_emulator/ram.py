"""RAM: the shares that Lake Formation makes for grants to other accounts.

A share exists while there is a grant. Within an organisation it is in force at once, elsewhere when somebody accepts
the invitation. Sources: https://docs.aws.amazon.com/lake-formation/latest/dg/accepting-ram-invite.html and
https://docs.aws.amazon.com/lake-formation/latest/dg/optimize-ram.html
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from ministack.core.responses import get_account_id, get_region

from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.core import Json, ServiceError, organization
from aws_emulator.glue.catalog import arns
from aws_emulator.lakeformation.decision import account_of, is_outside
from aws_emulator.lakeformation.store import lake

if TYPE_CHECKING:
    from collections.abc import Iterator

_shares: Final[dict[tuple[str, str], float]] = {}
"""When a share was made, by owner and by whom it is for."""


def share_arn(owner: str, principal: str, kind: str = "resource-share") -> str:
    """Return the ARN of the share of an account for a principal, or of the invitation to it."""
    id_ = uuid.uuid5(uuid.NAMESPACE_OID, f"{owner} {principal} {_shares.get((owner, principal))}")
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


def _seen(request: Json, *, with_pending: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the shares that the account gives (SELF) or gets, of which some may be named."""
    account, gives = get_account_id(), request.get("resourceOwner") == "SELF"
    for owner, principal in list(_shares):
        is_mine = (
            account in {owner} if gives else principal in lake().names(account) or account_of(principal) == account
        )
        in_force = gives or with_pending or (owner, principal) in lake().accepted
        named = request.get("resourceShareArns") or [share_arn(owner, principal)]
        if is_mine and in_force and share_arn(owner, principal) in named:
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
def _invitations(request: Json) -> Json:
    members, account = organization().accounts, get_account_id()
    found = (key for key in _seen(request, with_pending=True) if key[0] not in members or account not in members)
    return {"resourceShareInvitations": [_invitation(*key) for key in found]}


@overlay("ram", "AcceptResourceShareInvitation")
def _accept(request: Json) -> Json:
    asked = request["resourceShareInvitationArn"]
    for key in _seen({}, with_pending=True):
        if _invitation(*key)["resourceShareInvitationArn"] == asked:
            if key in lake().accepted:
                raise ServiceError("ResourceShareInvitationAlreadyAcceptedException", f"{asked} is accepted already.")
            lake().accepted.add(key)
            return {"resourceShareInvitation": _invitation(*key)}
    raise ServiceError("ResourceShareInvitationArnNotFoundException", f"There is no invitation {asked}.")


@overlay("ram", "GetResourceShares")
def _get_shares(request: Json) -> Json:
    shares = [
        {
            "resourceShareArn": share_arn(*key),
            "name": f"LakeFormation-{key[0]}",
            "owningAccountId": key[0],
            "allowExternalPrincipals": True,
            "status": "ACTIVE",
            "creationTime": _shares[key],
        }
        for key in _seen(request)
    ]
    return {"resourceShares": shares}


@overlay("ram", "ListResources")
def _resources(request: Json) -> Json:
    found, keys = {}, set(_seen(request))
    for by, principal, resource in lake().grants:
        if (by, principal) in keys:
            arn, kind = arns(resource.path)[-1], ("Catalog", "Database", "Table")[len(resource.path) - 1]
            share_ = {"resourceShareArn": share_arn(by, principal), "status": "AVAILABLE"}
            found[arn, principal] = {"arn": arn, "type": f"glue:{kind}", **share_}
    return {"resources": list(found.values())}
