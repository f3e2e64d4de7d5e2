"""Lambda: starts the next run of this function."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3

from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping


def start(function_arn: str, event: Mapping[str, object]) -> None:
    """Invoke a function asynchronously with an event."""
    boto3.client("lambda", config=CONFIG).invoke(
        FunctionName=function_arn, InvocationType="Event", Payload=json.dumps(event).encode()
    )
