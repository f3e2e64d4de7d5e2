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


def _uuid(owner: str, principal: str) -> str:
    digest = hashlib.sha256(f"{owner} {principal} {_shares.get((owner, principal))}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def share_arn(owner: str, principal: str) -> str:
    """Return the ARN of the share of an account for a principal."""
    return f"arn:aws:ram:{get_region()}:{owner}:resource-share/{_uuid(owner, principal)}"


def share(owner: str, principal: str) -> None:
    """Make, keep or end the share of an account for a principal, as there are grants."""
    key = (owner, principal)
    exists = is_outside(owner, principal) and any(grant[:2] == key for grant in lake().grants)
    if exists and key not in _shares:
        _shares[key] = clock.now()
        members = organization().accounts
        if owner in members and (":organizations:" in principal or account_of(principal) in members):
            lake().accepted.add(key)
    elif not exists:
        _shares.pop(key, None)
        lake().accepted.discard(key)


def _seen(side: str) -> Iterator[tuple[str, str]]:
    """Yield the shares that the account gives (SELF) or gets."""
    account = get_account_id()
    for owner, principal in list(_shares):
        gets = principal in lake().names(account) or account_of(principal) == account
        if owner == account if side == "SELF" else gets and owner != account:
            yield owner, principal


def _invitation(owner: str, principal: str) -> Json:
    arn = share_arn(owner, principal)
    return {
        "resourceShareInvitationArn": arn.replace("resource-share/", "resource-share-invitation/"),
        "resourceShareArn": arn,
        "resourceShareName": f"LakeFormation-{_uuid(owner, principal)}",
        "senderAccountId": owner,
        "receiverAccountId": get_account_id(),
        "invitationTimestamp": _shares[owner, principal],
        "status": "ACCEPTED" if (owner, principal) in lake().accepted else "PENDING",
    }


@overlay("ram", "GetResourceShareInvitations")
def _invitations(request: Json) -> Json:
    members = organization().accounts
    found = [
        _invitation(*key) for key in _seen("OTHER-ACCOUNTS") if key[0] not in members or get_account_id() not in members
    ]
    for member, key in (("resourceShareInvitationArns", "resourceShareInvitationArn"), ("resourceShareArns",) * 2):
        found = [i for i in found if not request.get(member) or i[key.removesuffix("s")] in request[member]]
    return {"resourceShareInvitations": found}


@overlay("ram", "AcceptResourceShareInvitation")
def _accept(request: Json) -> Json:
    asked = request["resourceShareInvitationArn"]
    for key in _seen("OTHER-ACCOUNTS"):
        if _invitation(*key)["resourceShareInvitationArn"] == asked:
            if key in lake().accepted:
                raise ServiceError("ResourceShareInvitationAlreadyAcceptedException", f"{asked} is accepted already.")
            lake().accepted.add(key)
            return {"resourceShareInvitation": _invitation(*key)}
    raise ServiceError("ResourceShareInvitationArnNotFoundException", f"There is no invitation {asked}.")


@overlay("ram", "GetResourceShares")
def _get_shares(request: Json) -> Json:
    side = request["resourceOwner"]
    keys = [key for key in _seen(side) if side == "SELF" or key in lake().accepted]
    shares = [
        {
            "resourceShareArn": share_arn(*key),
            "name": f"LakeFormation-{_uuid(*key)}",
            "owningAccountId": key[0],
            "allowExternalPrincipals": True,
            "status": "ACTIVE",
            "creationTime": _shares[key],
            "featureSet": "STANDARD",
        }
        for key in keys
    ]
    wanted = request.get("resourceShareArns")
    return {"resourceShares": [share for share in shares if not wanted or share["resourceShareArn"] in wanted]}


@overlay("ram", "ListResources")
def _resources(request: Json) -> Json:
    found, kinds, side = {}, {1: "Catalog", 2: "Database", 3: "Table"}, request["resourceOwner"]
    for key in _seen(side):
        for by, principal, resource in lake().grants:
            if (by, principal) != key or (side != "SELF" and key not in lake().accepted):
                continue
            path, start = resource.path, f"arn:aws:glue:{get_region()}:{by}:"
            names = ("catalog", f"database/{path[-1]}", f"table/{'/'.join(path[1:])}")
            found[path, key] = {
                "arn": start + names[len(path) - 1],
                "type": f"glue:{kinds[len(path)]}",
                "resourceShareArn": share_arn(*key),
                "status": "AVAILABLE",
                "creationTime": _shares[key],
            }
    wanted = request.get("resourceShareArns")
    return {"resources": [r for r in found.values() if not wanted or r["resourceShareArn"] in wanted]}
