"""DynamoDB: the requests that wait for a build, and what each resource last checked in."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Literal

import boto3
from botocore.exceptions import ClientError

from lambdas.seed_checkin.core import CheckedIn, Checkin, Pending
from lambdas.shared.clients import CONFIG
from lambdas.shared.custom_resource import Address

if TYPE_CHECKING:
    from collections.abc import Callable

_KEEP_S: Final = 24 * 3600
"""Seconds a request is remembered: CloudFormation has stopped waiting after one hour, the longest ServiceTimeout."""

LEASE_S: Final = 60
"""Seconds for which a claim keeps others away: not less than the time-out of the completion function."""

Claim = Literal["claimed", "answered", "busy", "unknown"]


class Ledger:
    """One table for both kinds of items, keyed by ``Id``.

    Args:
        table: Name of the table.
        clock: Seconds since 1970.
    """

    def __init__(self, table: str, *, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._clock = clock
        self._client = boto3.client("dynamodb", config=CONFIG)

    def open(self, pending: Pending) -> str | None:
        """Note a request, or find it noted by an earlier delivery of the same event.

        Returns:
            Id of the build that runs for it already, else None.
        """
        key = _request_key(pending.address.request_id)
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    "Id": {"S": key},
                    "Pending": {"S": _dump(pending)},
                    "ExpiresAt": {"N": str(int(self._clock()) + _KEEP_S)},
                },
                ConditionExpression="attribute_not_exists(Id)",
            )
        except ClientError as err:
            if not _is_condition(err):
                raise
            item = self._get(key)
            return _text(item, "BuildId")
        return None

    def note_build(self, request_id: str, build_id: str) -> None:
        """Remember which build runs for a request."""
        self._client.update_item(
            TableName=self._table,
            Key={"Id": {"S": _request_key(request_id)}},
            UpdateExpression="SET BuildId = :build",
            ConditionExpression="attribute_exists(Id)",
            ExpressionAttributeValues={":build": {"S": build_id}},
        )

    def drop(self, request_id: str) -> None:
        """Forget a request that is answered without a build."""
        self._client.delete_item(TableName=self._table, Key={"Id": {"S": _request_key(request_id)}})

    def claim(self, request_id: str) -> tuple[Claim, Pending | None]:
        """Take the right to answer a request, for `LEASE_S` seconds.

        Returns:
            ``claimed`` and the request; or ``answered``, ``busy`` (another invocation holds the claim), ``unknown``.
        """
        now = int(self._clock())
        try:
            item = self._client.update_item(
                TableName=self._table,
                Key={"Id": {"S": _request_key(request_id)}},
                UpdateExpression="SET ClaimedUntil = :until",
                ConditionExpression="attribute_exists(Id) AND attribute_not_exists(Answered) AND "
                "(attribute_not_exists(ClaimedUntil) OR ClaimedUntil <= :now)",
                ExpressionAttributeValues={":until": {"N": str(now + LEASE_S)}, ":now": {"N": str(now)}},
                ReturnValues="ALL_NEW",
            )["Attributes"]
        except ClientError as err:
            if not _is_condition(err):
                raise
            found = self._get(_request_key(request_id))
            return ("unknown" if not found else "answered" if "Answered" in found else "busy"), None
        return "claimed", _load(item["Pending"]["S"])

    def settle(self, request_id: str) -> None:
        """Note that a request has been answered."""
        self._client.update_item(
            TableName=self._table,
            Key={"Id": {"S": _request_key(request_id)}},
            UpdateExpression="SET Answered = :yes",
            ExpressionAttributeValues={":yes": {"BOOL": True}},
        )

    def last(self, address: Address) -> CheckedIn | None:
        """Return what the resource last checked in, or None when that is not known."""
        found = _text(self._get(_resource_key(address)), "CheckedIn")
        return CheckedIn(**json.loads(found)) if found else None

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

    def _get(self, key: str) -> dict[str, Any]:
        answer = self._client.get_item(TableName=self._table, Key={"Id": {"S": key}}, ConsistentRead=True)
        found: dict[str, Any] = answer.get("Item", {})
        return found


def _request_key(request_id: str) -> str:
    return f"request/{request_id}"


def _resource_key(address: Address) -> str:
    return f"resource/{address.stack_id}/{address.logical_resource_id}"


def _dump(pending: Pending) -> str:
    return json.dumps(asdict(pending))


def _load(text: str) -> Pending:
    fields = json.loads(text)
    return Pending(**fields | {"address": Address(**fields["address"]), "checkin": Checkin(**fields["checkin"])})


def _text(item: dict[str, Any], name: str) -> str | None:
    return item[name]["S"] if name in item else None


def _is_condition(err: ClientError) -> bool:
    return bool(err.response["Error"]["Code"] == "ConditionalCheckFailedException")
