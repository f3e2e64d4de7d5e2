"""The function, as Lambda calls it, over accounts in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lambdas.model_promotion import handler, promotion
from lambdas.model_promotion.artifacts import Artifacts
from lambdas.model_promotion.audit import Audit
from lambdas.model_promotion.cards import Cards
from lambdas.model_promotion.deployments import Pipelines
from lambdas.model_promotion.images import Images
from lambdas.model_promotion.ledger import Ledger
from lambdas.model_promotion.registry import Registry
from lambdas.model_promotion.requeue import Queue
from tests.lambdas.model_promotion.cloud import AUDIT, BUCKET, HUB, KEY, PROD, QUEUE, REPOSITORY, Cloud, Killed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIMIT_S = 900


class Function:
    """The function with a queue before it that delivers until a message is done."""

    def __init__(self, cloud: Cloud, *, workers: int = 1) -> None:
        self.cloud = cloud
        self.invocations = 0
        self._end = 0.0
        self.use = promotion.Services(
            hub_account=HUB,
            bucket=BUCKET,
            registry=Registry([PROD]),
            artifacts=Artifacts(BUCKET, HUB, KEY, self._remaining_s, workers=workers),
            images=Images(HUB, REPOSITORY, self._remaining_s, opener=cloud.download),
            cards=Cards(),
            audit=Audit(AUDIT, HUB),
            ledger=Ledger(BUCKET, HUB, KEY),
            pipelines=Pipelines(),
            remaining_s=self._remaining_s,
            clock=lambda: cloud.now,
        )

    def _remaining_s(self) -> float:
        return self._end - self.cloud.now

    def invoke(self, *events: dict[str, Any]) -> list[str]:
        """Invoke it once with a batch of events and return the ids of the messages that failed."""
        self.invocations += 1
        self._end = self.cloud.now + LIMIT_S
        messages: list[Mapping[str, Any]] = [
            {
                "messageId": f"m{number}",
                "receiptHandle": f"r{number}",
                "body": json.dumps(event),
                "attributes": {"ApproximateReceiveCount": "1"},
            }
            for number, event in enumerate(events)
        ]
        failures = handler.handle_batch(messages, self.use, Queue(QUEUE))["batchItemFailures"]
        return [failure["itemIdentifier"] for failure in failures]

    def deliver(self, event: dict[str, Any], *, at_most: int = 10) -> None:
        """Deliver an event, and what it leads to, until it is done."""
        waiting = [event]
        for _ in range(at_most):
            if not waiting:
                return
            message, already = waiting.pop(0), len(self.cloud.sent)
            try:
                failed = bool(self.invoke(message))
            except Killed:
                failed = True
            if failed:
                self.cloud.now += 960
                waiting.append(message)
            for again in self.cloud.sent[already:]:
                self.cloud.now += again["DelaySeconds"]
                waiting.append(json.loads(again["MessageBody"]))
        raise AssertionError(f"not done after {at_most} deliveries")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Accounts in memory."""
    world = Cloud()
    with world.running():
        yield world


@pytest.fixture
def function(cloud: Cloud) -> Function:
    """The function."""
    return Function(cloud)
