"""DynamoDB: the requests that wait for a build, and what each resource last checked in."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lambdas.seed_checkin.core import CheckedIn, Checkin, Pending
from lambdas.shared.custom_resource import Address
from lambdas.shared.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Callable


class Ledger(Requests[Pending]):
    """One table for both kinds of items, keyed by ``Id``.

    Args:
        table: Name of the table.
        clock: Seconds since 1970.
    """

    def __init__(self, table: str, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(table, load=_load, clock=clock)

    def last(self, address: Address) -> CheckedIn | None:
        """Return what the resource last checked in, or None when that is not known."""
        item = self._get(_resource_key(address))
        return CheckedIn(**json.loads(item["CheckedIn"]["S"])) if "CheckedIn" in item else None

    def remember(self, pending: Pending, commit_id: str) -> None:
        """Note what a resource has checked in."""
        checked_in = CheckedIn(
            asset_key=pending.checkin.asset_key,
            version=pending.checkin.version,
            repository=pending.checkin.repository,
            repository_url=pending.repository_url,
            commit_id=commit_id,
        )
        self._client.put_item(
            TableName=self._table,
            Item={
                "Id": {"S": _resource_key(pending.address)},
                "CheckedIn": {"S": json.dumps(asdict(checked_in))},
            },
        )

    def forget(self, address: Address) -> None:
        """Remove the memory of a resource that is deleted."""
        self._client.delete_item(TableName=self._table, Key={"Id": {"S": _resource_key(address)}})


def _resource_key(address: Address) -> str:
    return f"resource/{address.stack_id}/{address.logical_resource_id}"


def _load(fields: dict[str, Any]) -> Pending:
    return Pending(**fields | {"address": Address(**fields["address"]), "checkin": Checkin(**fields["checkin"])})
