"""What the hub mails: drift of models, alarms of all accounts, and decisions that the promotion cannot deal with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets

from foundation.forwarding import ALARM_EVENT, ALARM_SOURCE
from foundation.queues import oldest, ring_when, waiting
from foundation.registry.events import TRIES
from products.shared import names

if TYPE_CHECKING:
    from aws_cdk import Stack
    from aws_cdk import aws_sns as sns
    from aws_cdk import aws_sqs as sqs

    from foundation.registry.events import Queues

_LATE: Final = Duration.hours(1)


def notify_drift(stack: Stack, bus: events.IEventBus, topic: sns.ITopic, *, dead_letters: sqs.IQueue) -> None:
    """Mail what monitors report, in words; whoever wants to act on it subscribes to the topic."""
    path = events.EventField.from_path
    events.Rule(
        stack,
        "Drifted",
        description="Drift of models in production and test",
        event_bus=bus,
        event_pattern=events.EventPattern(source=[names.DRIFT_SOURCE], detail_type=[names.DRIFT_EVENT]),
        targets=[
            targets.SnsTopic(
                topic,
                dead_letter_queue=dead_letters,
                message=events.RuleTargetInput.from_text(
                    f"The data of endpoint {path('$.detail.endpoint')} ({path('$.detail.stage')}) differ from what "
                    f"its model was trained and tested with. Model: {path('$.detail.package')}. Found: "
                    f"{path('$.detail.results')}. Report: {path('$.detail.report')}. Look at the report, then "
                    "train the model again or correct the data."
                ),
            )
        ],
    )


def notify_alarms(stack: Stack, bus: events.IEventBus, topic: sns.ITopic, *, dead_letters: sqs.IQueue) -> None:
    """Mail alarms that ring in other accounts: nobody is subscribed there."""
    path = events.EventField.from_path
    events.Rule(
        stack,
        "AlarmRang",
        description="Alarms of the platform in the accounts of the organisation",
        event_bus=bus,
        event_pattern=events.EventPattern(source=[ALARM_SOURCE], detail_type=[ALARM_EVENT]),
        targets=[
            targets.SnsTopic(
                topic,
                dead_letter_queue=dead_letters,
                message=events.RuleTargetInput.from_text(
                    f"Alarm {path('$.detail.alarmName')} went off in account {path('$.account')}, {path('$.region')}. "
                    f"{path('$.detail.configuration.description')} CloudWatch says: {path('$.detail.state.reason')}"
                ),
            )
        ],
    )


def watch_queues(stack: Stack, queues: Queues, topic: sns.ITopic) -> None:
    """Ring when an event was given up, or waits for too long."""
    action = cloudwatch_actions.SnsAction(topic)
    for id_, metric, reaches, what in (
        (
            "LostAlarm",
            waiting(queues.lost),
            1,
            f"A promotion was given up after {TRIES} tries; its message says which model, the log says why.",
        ),
        (
            "UndeliveredDriftAlarm",
            waiting(queues.undelivered),
            1,
            "A report of drift or an alarm could not be mailed; the message holds the event and the reason.",
        ),
        (
            "LateAlarm",
            oldest(queues.decisions),
            _LATE.to_seconds(),
            f"A decision about a model waits for {_LATE.to_hours():g} hours: promotions fail or cannot keep up.",
        ),
    ):
        ring_when(stack, id_, metric, description=what, reaches=reaches).add_alarm_action(action)
