"""DynamoDB: requests of CloudFormation that wait for a build, so that each is carried out and answered once."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, Protocol, TypeVar

import boto3
from botocore.exceptions import ClientError

from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable

    from lambdas.shared.custom_resource import Address

KEEP_S: Final = 24 * 3600
"""Seconds a request is remembered: CloudFormation has stopped waiting after one hour, the longest ServiceTimeout."""

LEASE_S: Final = 60
"""Seconds for which a claim keeps others away: not less than the time-out of the function that answers."""

Claim = Literal["claimed", "answered", "busy", "unknown"]


class Pending(Protocol):
    """A request whose answer waits for a build: a dataclass that JSON can hold."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def address(self) -> Address:
        """Where the answer goes."""


P = TypeVar("P", bound=Pending)


class Requests(Generic[P]):
    """Requests in a table keyed by ``Id``.

    Args:
        table: Name of the table.
        load: Returns a request from the object that JSON made of its dataclass.
        clock: Seconds since 1970.
    """

    def __init__(
        self, table: str, *, load: Callable[[dict[str, Any]], P], clock: Callable[[], float] = time.time
    ) -> None:
        self._table = table
        self._load = load
        self._clock = clock
        self._client = boto3.client("dynamodb", config=CONFIG)

    def open(self, pending: P) -> str | None:
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
                    "Pending": {"S": json.dumps(asdict(pending))},
                    "ExpiresAt": {"N": str(int(self._clock()) + KEEP_S)},
                },
                ConditionExpression="attribute_not_exists(Id)",
            )
        except ClientError as err:
            if not _is_condition(err):
                raise
            item = self._get(key)
            return item["BuildId"]["S"] if "BuildId" in item else None
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

    def claim(self, request_id: str) -> tuple[Claim, P | None]:
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
        return "claimed", self._load(json.loads(item["Pending"]["S"]))

    def settle(self, request_id: str) -> None:
        """Note that a request has been answered."""
        self._client.update_item(
            TableName=self._table,
            Key={"Id": {"S": _request_key(request_id)}},
            UpdateExpression="SET Answered = :yes",
            ExpressionAttributeValues={":yes": {"BOOL": True}},
        )

    def _get(self, key: str) -> dict[str, Any]:
        answer = self._client.get_item(TableName=self._table, Key={"Id": {"S": key}}, ConsistentRead=True)
        found: dict[str, Any] = answer.get("Item", {})
        return found


def _request_key(request_id: str) -> str:
    return f"request/{request_id}"


def _is_condition(err: ClientError) -> bool:
    return bool(err.response["Error"]["Code"] == "ConditionalCheckFailedException")
