"""What an account still lacks before the platform works in it, found with calls that only read.

Each check is a function that yields a `Problem` for everything that is wrong, and nothing where all is right. What AWS
does not let the caller see is reported as unknown, never as right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from pipeline.preflight import accounts, hub, organization
from pipeline.preflight.checking import Account, Finding, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foundation.settings import HubSettings
    from pipeline.preflight.checking import Check, Kind, State

__all__ = ["CHECKS", "Account", "Finding", "Problem", "examine", "kind_of"]

CHECKS: Final[tuple[Check, ...]] = (*organization.CHECKS, *hub.CHECKS, *accounts.CHECKS)
"""All checks, in the order in which their problems should be solved."""

_DENIED: Final = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")


def kind_of(account_id: str, settings: HubSettings) -> Kind:
    """Return what an account is for, by the settings; one that they do not name is a workload account."""
    if account_id == settings.account_id:
        return "hub"
    return "deployment" if account_id in settings.deployment_account_ids else "workload"


def examine(account: Account) -> Iterator[Finding]:
    """Run every check that concerns the account, in the order in which its problems should be solved."""
    for check in CHECKS:
        if account.kind not in check.kinds:
            continue
        for region in account.settings.regions if check.per_region else account.settings.regions[:1]:
            place = region if check.per_region else "organisation"
            try:
                problems = tuple(check.run(account, region))
            except ClientError as err:
                yield Finding(place=place, title=check.title, state="unknown", problems=(_unknown(err, account),))
                continue
            state: State = "missing" if problems else "ok"
            yield Finding(place=place, title=check.title, state=state, problems=problems)


def _unknown(err: ClientError, account: Account) -> Problem:
    code, operation = err.response["Error"]["Code"], err.operation_name
    if code in _DENIED:
        return Problem(
            what=f"{operation} was denied, so nothing is known: {err.response['Error'].get('Message', code)}",
            remedy=f"sign in to {account.id} with AWS's managed policy ReadOnlyAccess, or ask somebody who can",
        )
    return Problem(what=f"{operation} failed: {err}", remedy="see the error; run the check again when it is solved")
