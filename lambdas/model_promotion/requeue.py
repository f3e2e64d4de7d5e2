"""SQS: messages that have to come again, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import boto3

from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIRST_S: Final = 30
_LAST_S: Final = 900


class Queue:
    """The queue that feeds the function.

    Args:
        url: Its URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = boto3.client("sqs", config=CONFIG)

    def again(self, message: Mapping[str, Any], *, delay_s: int) -> None:
        """Send a message anew: that is not a failure, so it does not count towards the dead-letter queue.

        Args:
            message: Message as Lambda hands it over.
            delay_s: Seconds until it is delivered, at most 900.
        """
        self._client.send_message(QueueUrl=self._url, MessageBody=message["body"], DelaySeconds=delay_s)

    def later(self, message: Mapping[str, Any]) -> None:
        """Have a failed message delivered again after a pause that grows with every failure."""
        received = int(message["attributes"]["ApproximateReceiveCount"])
        self._client.change_message_visibility(
            QueueUrl=self._url,
            ReceiptHandle=message["receiptHandle"],
            VisibilityTimeout=min(_FIRST_S * 2 ** (received - 1), _LAST_S),
        )
