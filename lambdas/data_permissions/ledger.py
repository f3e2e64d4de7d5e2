"""DynamoDB: who asked for what, one change at a time."""

from __future__ import annotations

import json
import logging
import time
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.data_permissions.core import Access, Ask, Want
from lambdas.shared.clients import CONFIG
from lambdas.shared.custom_resource import CustomResourceError
from lambdas.shared.requests import KEEP_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lambdas.shared.custom_resource import LambdaContext, Request

logger = logging.getLogger(__name__)

LEASE_S: Final = 310
"""Seconds for which a change keeps others away: longer than the function may run, so that no two overlap."""

RESERVE_S: Final = 60
"""Seconds of a run that a change needs once its turn has come."""

T = TypeVar("T", Access, Ask)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one custom resource has asked for; at most one of `access` and `ask` is there.

    Attributes:
        access: What a data-access product opens.
        leaving: What it opened before, as long as that is not closed.
        ask: What a project asks for.
        former: What the project asked for before, to which CloudFormation may go back.
        wants: What may have been granted because of it.
        settled: Whether exactly that has been granted.
    """

    access: Access | None = None
    leaving: tuple[Access, ...] = ()
    ask: Ask | None = None
    former: Ask | None = None
    wants: tuple[Want, ...] = ()
    settled: bool = True


class Ledger:
    """Items are keyed by ``Kind`` and ``Id``: ``owner`` (a `Record` as JSON), ``request`` and ``lock``.

    Args:
        table: Name of the table.
        clock: Seconds since 1970.
        sleep: Waits for some seconds.
    """

    def __init__(self, table: str, *, sleep: Callable[[float], None], clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._clock = clock
        self._sleep = sleep
        self._client = boto3.client("dynamodb", config=CONFIG)

    @contextmanager
    def alone(self, context: LambdaContext) -> Iterator[None]:
        """Keep other changes away while the block runs: they wait for their turn.

        Raises:
            CustomResourceError: The turn did not come in time.
        """
        holder = str(uuid.uuid4())
        while not self._take(holder):
            if context.get_remaining_time_in_millis() < RESERVE_S * 1000:
                raise CustomResourceError(
                    "Other changes of data permissions took all the time of this one, which was not begun: try again."
                )
            self._sleep(1)
        try:
            yield
        finally:
            self._leave(holder)

    def is_stale(self, request: Request) -> bool:
        """Note a request; return whether it was delivered before and its resource has been asked for more since."""
        owner, id_ = owner_of(request), request.address.request_id
        seen = self._get("request", id_)
        latest = self._get("latest", owner).get("Request", {}).get("S")
        if seen and latest != id_:
            return True
        expires = {"ExpiresAt": {"N": str(int(self._clock()) + KEEP_S)}}
        # In this order: a request that is noted as seen only is taken for one that came too late.
        self._put("latest", owner, {"Request": {"S": id_}, **expires})
        self._put("request", id_, expires)
        return False

    def records(self) -> dict[str, Record]:
        """Return the records of all resources by `owner_of`."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="Kind = :kind",
            ExpressionAttributeValues={":kind": {"S": "owner"}},
            ConsistentRead=True,
        )
        return {item["Id"]["S"]: _load(json.loads(item["Record"]["S"])) for page in pages for item in page["Items"]}

    def write(self, owner: str, record: Record | None) -> None:
        """Write the record of a resource; None removes it."""
        if record is None:
            self._client.delete_item(TableName=self._table, Key=_key("owner", owner))
        else:
            self._put("owner", owner, {"Record": {"S": json.dumps(asdict(record))}})

    def _take(self, holder: str) -> bool:
        now = int(self._clock())
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**_key("lock", "lock"), "Holder": {"S": holder}, "Until": {"N": str(now + LEASE_S)}},
                # The same holder again: its first answer was lost on the way.
                ConditionExpression="attribute_not_exists(Id) OR #until <= :now OR Holder = :me",
                ExpressionAttributeNames={"#until": "Until"},
                ExpressionAttributeValues={":now": {"N": str(now)}, ":me": {"S": holder}},
            )
        except ClientError as err:
            if err.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def _leave(self, holder: str) -> None:
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=_key("lock", "lock"),
                ConditionExpression="Holder = :me",
                ExpressionAttributeValues={":me": {"S": holder}},
            )
        except (BotoCoreError, ClientError):
            logger.exception("the turn could not be given back; it ends by itself after %d s", LEASE_S)

    def _get(self, kind: str, id_: str) -> dict[str, Any]:
        answer = self._client.get_item(TableName=self._table, Key=_key(kind, id_), ConsistentRead=True)
        found: dict[str, Any] = answer.get("Item", {})
        return found

    def _put(self, kind: str, id_: str, attributes: dict[str, Any]) -> None:
        self._client.put_item(TableName=self._table, Item={**_key(kind, id_), **attributes})


def owner_of(request: Request) -> str:
    """Return the id under which a custom resource owns permissions: that of its stack and its own."""
    return f"{request.address.stack_id}/{request.address.logical_resource_id}"


def _key(kind: str, id_: str) -> dict[str, Any]:
    return {"Kind": {"S": kind}, "Id": {"S": id_}}


def _load(fields: dict[str, Any]) -> Record:
    def tuples(values: dict[str, Any]) -> dict[str, Any]:
        return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

    def made(kind: type[T], name: str) -> T | None:
        return kind(**tuples(fields[name])) if fields[name] else None

    return Record(
        access=made(Access, "access"),
        leaving=tuple(Access(**tuples(access)) for access in fields["leaving"]),
        ask=made(Ask, "ask"),
        former=made(Ask, "former"),
        wants=tuple(Want(**tuples(want)) for want in fields["wants"]),
        settled=fields["settled"],
    )
