"""What an account tells the hub: a rule of its default bus, and a queue for what could not be delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Aws
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam

from foundation.queues import dead_letter_queue, ring_when, waiting
from products.shared import names

if TYPE_CHECKING:
    from foundation.baseline import Baseline

ALARM_SOURCE: Final = "aws.cloudwatch"
ALARM_EVENT: Final = "CloudWatch Alarm State Change"


def forward_to_hub(
    baseline: Baseline,
    *,
    subject: str,
    purpose: str,
    rule_id: str,
    rule: str,
    pattern: events.EventPattern,
    lost: str,
) -> None:
    """Forward events of the account's default bus to the hub's bus.

    What EventBridge cannot deliver for a day is in the queue ``ml-platform-undelivered-<subject>`` for two weeks.

    Args:
        baseline: Baseline of the account.
        subject: What the events are about, in the plural, e.g. ``Decisions``; part of ids and names.
        purpose: Description of the role.
        rule_id: Construct id of the rule.
        rule: Description of the rule.
        pattern: Which events.
        lost: What an event in the queue means, and what to do; description of the queue's alarm.
    """
    scope = baseline.scope
    bus_arn = f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{baseline.hub_account_id}:event-bus/{names.HUB_EVENT_BUS}"
    name = f"{names.PREFIX}-undelivered-{subject.lower()}"
    undelivered = dead_letter_queue(scope, f"Undelivered{subject}", key=baseline.key, of="the rule", name=name)
    role = iam.Role(
        scope,
        f"Forward{subject}Role",
        path=names.BASELINE_ROLE_PATH,
        description=purpose,
        assumed_by=iam.ServicePrincipal(
            "events.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        ),
        inline_policies={
            "Purpose": iam.PolicyDocument(
                statements=[iam.PolicyStatement(sid="TellTheHub", actions=["events:PutEvents"], resources=[bus_arn])]
            )
        },
    )
    bus_id = "HubBus" if subject == "Decisions" else f"HubBusOf{subject}"
    events.Rule(
        scope,
        rule_id,
        description=rule,
        event_pattern=pattern,
        targets=[
            targets.EventBus(
                events.EventBus.from_event_bus_arn(scope, bus_id, bus_arn),
                role=role.without_policy_updates(),
                dead_letter_queue=undelivered,
            )
        ],
    )
    ring_when(scope, f"Undelivered{subject}Alarm", waiting(undelivered), name=name, description=lost)


def forward_alarms(baseline: Baseline) -> None:
    """Tell the hub of every alarm of the platform that rings in the account, those of products and models included.

    The shape of the event: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    """
    forward_to_hub(
        baseline,
        subject="Alarms",
        purpose="Puts alarms of the platform on the bus of the hub.",
        rule_id="AlarmRings",
        rule="Alarms of the ML platform in this account, for the people who look after it",
        pattern=events.EventPattern(
            source=[ALARM_SOURCE],
            detail_type=[ALARM_EVENT],
            detail={
                "alarmName": [{"prefix": f"{names.PREFIX}-"}, {"prefix": names.PROJECT_RESOURCE_PREFIX}],
                "state": {"value": ["ALARM"]},
            },
        ),
        lost="An alarm went off and the hub was not notified. The message holds the event and the reason; look at "
        "the alarm.",
    )
