"""Which events the hub takes from other accounts, and how decisions about models come to the promotion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_cdk import CfnResource, Duration, RemovalPolicy, aws_kms
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs

from foundation.buckets import members
from foundation.forwarding import ALARM_EVENT, ALARM_SOURCE
from foundation.queues import dead_letter_queue, encrypted_queue
from lambdas.model_promotion.names import (
    APPROVAL_EVENT,
    APPROVAL_SOURCE,
    APPROVAL_STAGE,
    DECISIONS,
    MODEL_EVENT,
    MODEL_SOURCE,
)
from products.shared import names

if TYPE_CHECKING:
    from aws_cdk import Stack

    from foundation.settings import HubSettings

TRIES: Final = 8
"""How often a decision is dealt with before it is given up."""

TIMEOUT_S: Final = 900
"""Longest run of the promotion, in seconds: the longest that Lambda allows."""

_VISIBILITY: Final = Duration.seconds(6 * TIMEOUT_S)  # as Lambda's guide asks for


@dataclass(frozen=True, kw_only=True)
class Queues:
    """Where events wait.

    Attributes:
        decisions: Decisions about models, for the promotion.
        lost: Those that were given up after `TRIES`.
        undelivered: Reports of drift and alarms that could not be mailed.
    """

    decisions: sqs.Queue
    lost: sqs.Queue
    undelivered: sqs.Queue


def add_bus(stack: Stack, *, settings: HubSettings) -> events.EventBus:
    """Add the bus of the hub, and say which accounts may put which events on it."""
    bus = events.EventBus(
        stack,
        "Bus",
        event_bus_name=names.HUB_EVENT_BUS,
        description="What happens to models in the accounts of the ML platform",
    )
    below_workloads = f"{settings.workloads_ou_path}*"
    workloads = members(settings, [below_workloads])
    everybody = members(settings, [below_workloads, *settings.deployment_ou_paths])
    # Only AWS services put events with a source of aws.*: a person who may call PutEvents cannot make one up
    # (PutEvents, API reference). ForAllValues is the form of the user guide
    # (eb-event-bus-example-policy-cross-account-custom-bus-source); the rule checks both once more.
    for id_, statement_id, who, source, kind in (
        ("BusPolicy", "WorkloadAccountsForwardModelEvents", workloads, MODEL_SOURCE, MODEL_EVENT),
        (
            "DriftPolicy",
            "DeploymentAccountsReportDrift",
            members(settings, list(settings.deployment_ou_paths)),
            names.DRIFT_SOURCE,
            names.DRIFT_EVENT,
        ),
        ("AlarmPolicy", "AccountsReportAlarms", everybody, ALARM_SOURCE, ALARM_EVENT),
    ):
        statement = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "events:PutEvents",
            "Resource": bus.event_bus_arn,
            "Condition": {
                **who,
                "ForAllValues:StringEquals": {"events:source": source, "events:detail-type": kind},
            },
        }
        CfnResource(  # the generated class warns of a deprecated property even where it is not set
            stack,
            id_,
            type="AWS::Events::EventBusPolicy",
            properties={
                "EventBusName": bus.event_bus_name,
                "StatementId": statement_id,
                "Statement": statement,
            },
        )
    return bus


def add_queues(stack: Stack) -> Queues:
    """Add the queues, under one key."""
    key = aws_kms.Key(
        stack,
        "QueueKey",
        description="Events about models that wait for the promotion",
        enable_key_rotation=True,
        removal_policy=RemovalPolicy.DESTROY,  # it protects messages in transit only
    )
    lost = encrypted_queue(stack, "Lost", key=key)
    undelivered = dead_letter_queue(stack, "UndeliveredDrift", key=key, of="the rule about drift")
    decisions = encrypted_queue(
        stack,
        "Decisions",
        key=key,
        visibility=_VISIBILITY,
        dead_letters=sqs.DeadLetterQueue(queue=lost, max_receive_count=TRIES),
    )
    return Queues(decisions=decisions, lost=lost, undelivered=undelivered)


def route_decisions(stack: Stack, bus: events.IEventBus, queues: Queues) -> None:
    """Bring every decision about a model to the queue: of workload accounts, of the hub, and about production."""
    pattern = events.EventPattern(
        source=[MODEL_SOURCE], detail_type=[MODEL_EVENT], detail={"ModelApprovalStatus": list(DECISIONS)}
    )
    for id_, source, where in (
        ("DecidedInWorkloads", bus, "the accounts of the workloads OU"),
        ("DecidedInHub", None, "the hub, for the audit trail"),  # None: the account's default bus
    ):
        events.Rule(
            stack,
            id_,
            description=f"Approvals and rejections of models in {where}",
            event_bus=source,
            event_pattern=pattern,
            targets=[targets.SqsQueue(queues.decisions, dead_letter_queue=queues.lost)],
        )
    events.Rule(
        stack,
        "DecidedOnProduction",
        description="How governance officers answer deployment pipelines, for the audit trail",
        event_pattern=events.EventPattern(
            source=[APPROVAL_SOURCE],
            detail_type=[APPROVAL_EVENT],
            detail={
                "pipeline": [{"prefix": names.PROJECTS_PREFIX}],
                "stage": [APPROVAL_STAGE],
                "state": ["SUCCEEDED", "FAILED"],
                "type": {"category": ["Approval"]},
            },
        ),
        targets=[targets.SqsQueue(queues.decisions, dead_letter_queue=queues.lost)],
    )
