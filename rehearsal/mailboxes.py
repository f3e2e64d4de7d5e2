"""Queues of the hub in place of mailboxes and subscribers: they receive what topics and buses send."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rehearsal.organization import HUB, REGION, Credentials

if TYPE_CHECKING:
    from rehearsal.world import World


def listen(world: World, topic_arn: str, queue: str) -> None:
    """Subscribe a queue to a topic of the hub, as a mailbox is."""
    arn = make_queue(world, queue, "sns")
    world.client("sns", Credentials.administrator(HUB)).subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=arn)


def make_queue(world: World, name: str, sender: str) -> str:
    """Create a queue of the hub that takes messages of a service, e.g. ``sns``, and return its ARN."""
    arn = f"arn:aws:sqs:{REGION}:{HUB}:{name}"
    principal = {"Service": f"{sender}.amazonaws.com"}
    allow_send = {"Effect": "Allow", "Principal": principal, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow_send]})
    sqs = world.client("sqs", Credentials.administrator(HUB))
    sqs.create_queue(QueueName=name, Attributes={"Policy": policy})
    return arn


def received(world: World, queue: str) -> list[dict[str, Any]]:
    """Receive what is in a queue of the hub: events, or notifications with ``Subject`` and ``Message``."""
    sqs = world.client("sqs", Credentials.administrator(HUB))
    url, found = sqs.get_queue_url(QueueName=queue)["QueueUrl"], []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(json.loads(message["Body"]))
    return found
