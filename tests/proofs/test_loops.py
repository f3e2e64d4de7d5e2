"""Functions that feed themselves say so and end by themselves, and who sends to encrypted queues and topics may do so.

Lambda stops a function after some 16 rounds through SQS, SNS, S3 or itself, unless it declares the loop:
https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html. Who sends to a queue or topic under a customer
key needs ``kms:GenerateDataKey`` and ``kms:Decrypt`` on it, services included:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html,
https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest

from lambdas.bucket_emptier.core import MAX_ROUNDS
from lambdas.model_promotion.progress import HANDOVERS_MAX
from lambdas.portfolio_share.core import DEADLINE_S
from portfolios.publisher import LOOK_AGAIN
from tests.hub import REGION
from tests.policy import allows
from tests.proofs.stacks import Stack, everything

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.policy import Statement

STOPPED_AFTER: Final = 16
"""Rounds that Lambda lets a function that does not declare its loop make."""

LIMITS: Final = {
    "lambdas.bucket_emptier.handler.lambda_handler": MAX_ROUNDS,
    "lambdas.model_promotion.handler.lambda_handler": HANDOVERS_MAX,
    "lambdas.portfolio_share.handler.lambda_handler": DEADLINE_S // int(LOOK_AGAIN.to_seconds()),
}
"""How many rounds the code of a function that feeds itself makes at most, by its handler."""

WRITES: Final = {
    "AWS::SQS::Queue": "sqs:SendMessage",
    "AWS::SNS::Topic": "sns:Publish",
    "AWS::Lambda::Function": "lambda:InvokeFunction",
    "AWS::S3::Bucket": "s3:PutObject",
    "AWS::Events::EventBus": "events:PutEvents",
}
"""What a function does to a resource through which it may come to be invoked again."""


@cache
def stacks() -> tuple[Stack, ...]:
    return tuple(everything(REGION))


def listed(value: Any) -> list[Any]:  # noqa: ANN401 (JSON)
    return value if isinstance(value, list) else [value]


# ---- functions that feed themselves ----


@dataclass
class Wiring:
    """What leads to what in a stack, by ARN, and its functions by ARN."""

    leads_to: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    functions: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def feeds_itself(self, function: str) -> bool:
        seen: set[str] = set()
        waiting = {*self.leads_to[function]}
        while waiting:
            arn = waiting.pop()
            seen.add(arn)
            waiting |= self.leads_to[arn] - seen
        return function in seen


def wiring(stack: Stack) -> Wiring:
    """Return what leads to what: event sources, subscriptions, notifications, rules, and what functions may write."""
    found = Wiring()
    functions = stack.resources("AWS::Lambda::Function")
    by_name = {stack.ref(id_): stack.attribute(id_, "Arn") for id_ in functions}
    statements = {stack.attribute(id_, "Arn"): of_role for id_, of_role in stack.roles().items()}
    for mapping in stack.resources("AWS::Lambda::EventSourceMapping").values():
        name = mapping["FunctionName"]
        found.leads_to[mapping["EventSourceArn"]].add(by_name.get(name, name))
    for subscription in stack.resources("AWS::SNS::Subscription").values():
        found.leads_to[subscription["TopicArn"]].add(subscription["Endpoint"])
    for id_, bucket in stack.resources("AWS::S3::Bucket").items():
        for kind, key in (("Lambda", "Function"), ("Queue", "Queue"), ("Topic", "Topic")):
            for entry in bucket.get("NotificationConfiguration", {}).get(f"{kind}Configurations", []):
                found.leads_to[stack.attribute(id_, "Arn")].add(entry[key])
    for rule in stack.resources("AWS::Events::Rule").values():
        bus = rule.get("EventBusName", "default").rsplit("/", 1)[-1]
        arn = f"arn:{stack.partition}:events:{stack.region}:{stack.account}:event-bus/{bus}"
        found.leads_to[arn] |= {target["Arn"] for target in rule.get("Targets", [])}
    for id_, function in functions.items():
        own = stack.attribute(id_, "Arn")
        found.functions[own] = function
        for other, resource in stack.template["Resources"].items():
            action = WRITES.get(resource["Type"])
            if action:
                arn = stack.attribute(other, "Arn")
                on = f"{arn}/any" if action == "s3:PutObject" else arn
                if allows(statements.get(function["Role"], []), action, on):
                    found.leads_to[own].add(arn)
    return found


def test_functions_that_feed_themselves_declare_it_and_bound_themselves() -> None:
    feeding = {}
    for stack in stacks():
        found = wiring(stack)
        for arn, function in found.functions.items():
            if found.feeds_itself(arn):
                feeding[function["Handler"]] = function.get("RecursiveLoop", "Terminate")
    assert set(feeding) == set(LIMITS), "give each its limit here, and none that no longer feeds itself"
    assert feeding == {h: "Allow" if rounds >= STOPPED_AFTER else "Terminate" for h, rounds in LIMITS.items()}


def test_a_function_feeds_itself_through_topics_and_queues() -> None:
    role = {"Fn::GetAtt": ["Role", "Arn"]}
    queue = {"Fn::GetAtt": ["Queue", "Arn"]}
    publish = {"Effect": "Allow", "Action": "sns:Publish", "Resource": {"Ref": "Topic"}}
    template = {
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {"Policies": [{"PolicyDocument": {"Statement": [publish]}}]},
            },
            "Function": {"Type": "AWS::Lambda::Function", "Properties": {"Role": role, "Handler": "a"}},
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Subscription": {
                "Type": "AWS::SNS::Subscription",
                "Properties": {"TopicArn": {"Ref": "Topic"}, "Endpoint": queue},
            },
            "Source": {
                "Type": "AWS::Lambda::EventSourceMapping",
                "Properties": {
                    "EventSourceArn": queue,
                    "FunctionName": {"Ref": "Function"},
                },
            },
        }
    }
    found = wiring(Stack(template, {}))
    assert [found.feeds_itself(arn) for arn in found.functions] == [True]
    del template["Resources"]["Subscription"]
    found = wiring(Stack(template, {}))
    assert [found.feeds_itself(arn) for arn in found.functions] == [False]


# ---- who sends to what is encrypted ----


@dataclass(frozen=True)
class Sender:
    """Somebody who sends to an encrypted queue or topic.

    Attributes:
        what: The queue or topic, by ARN.
        who: Role, by logical id, or service principal.
        context: Condition keys of the request for the key.
    """

    what: str
    who: str
    context: tuple[tuple[str, str], ...] = ()


def encrypted(stack: Stack) -> dict[str, str]:
    """Return the keys of queues and topics under customer keys, by ARN."""
    return {
        stack.attribute(id_, "Arn"): str(properties["KmsMasterKeyId"])
        for id_, properties in stack.resources("AWS::SQS::Queue", "AWS::SNS::Topic").items()
        if properties.get("KmsMasterKeyId")
    }


def services(stack: Stack) -> Iterator[Sender]:
    """Yield the services that send to queues and topics, as rules, alarms, subscriptions and buckets tell them to."""
    about = (("aws:SourceAccount", stack.account),)
    for id_, rule in stack.resources("AWS::Events::Rule").items():
        named = (*about, ("aws:SourceArn", stack.attribute(id_, "Arn")))
        for target in rule.get("Targets", []):
            for arn in (target["Arn"], target.get("DeadLetterConfig", {}).get("Arn", "")):
                # EventBridge gives a topic nothing to check ("Amazon SNS permissions" in
                # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html).
                yield Sender(arn, "events.amazonaws.com", () if ":sns:" in arn else named)
    for alarm in stack.resources("AWS::CloudWatch::Alarm").values():
        for kind in ("AlarmActions", "OKActions", "InsufficientDataActions"):
            yield from (Sender(arn, "cloudwatch.amazonaws.com", about) for arn in alarm.get(kind, []))
    for subscription in stack.resources("AWS::SNS::Subscription").values():
        for arn in (subscription["Endpoint"], subscription.get("RedrivePolicy", {}).get("deadLetterTargetArn", "")):
            yield Sender(arn, "sns.amazonaws.com", about)
    for bucket in stack.resources("AWS::S3::Bucket").values():
        for kind in ("Queue", "Topic"):
            for entry in bucket.get("NotificationConfiguration", {}).get(f"{kind}Configurations", []):
                yield Sender(entry[kind], "s3.amazonaws.com", about)


def without_key(stack: Stack) -> list[str]:
    """Return who sends to an encrypted queue or topic of a stack and lacks rights on its key."""
    keys, roles = encrypted(stack), stack.roles()
    policies = {
        stack.attribute(id_, "Arn"): properties["KeyPolicy"]["Statement"]
        for id_, properties in stack.resources("AWS::KMS::Key").items()
    }
    found = []
    for what, key in keys.items():
        for role, statements in roles.items():
            sends = any(allows(statements, action, what) for action in ("sqs:SendMessage", "sns:Publish"))
            if sends and not _has_key(statements, key, {}):
                found.append(f"{stack.stack}: role {role} sends to {what}")
    for sender in services(stack):
        if sender.what in keys:
            key = keys[sender.what]
            own = [{**s, "Resource": key} for s in policies.get(key, []) if sender.who in _services_of(s)]
            if not _has_key(own, key, dict(sender.context)):
                found.append(f"{stack.stack}: {sender.who} sends to {sender.what}")
    return found


def _has_key(statements: Sequence[Statement], key: str, context: dict[str, str]) -> bool:
    return all(allows(statements, f"kms:{action}", key, **context) for action in ("GenerateDataKey", "Decrypt"))


def _services_of(statement: Statement) -> list[str]:
    principal = statement.get("Principal")
    return listed(principal.get("Service", [])) if isinstance(principal, dict) else []


def test_who_sends_to_an_encrypted_queue_or_topic_may_use_its_key() -> None:
    assert [row for stack in stacks() for row in without_key(stack)] == []
    seen = {sender.who for stack in stacks() for sender in services(stack) if sender.what in encrypted(stack)}
    assert {"events.amazonaws.com", "cloudwatch.amazonaws.com"} <= seen


@pytest.mark.parametrize("missing", ["kms:GenerateDataKey*", "kms:Decrypt"])
def test_a_sender_without_rights_on_the_key_is_found(missing: str) -> None:
    (stack,) = (s for s in stacks() if s.stack == "ml-platform-registry")
    template = {**stack.template, "Resources": {**stack.template["Resources"]}}
    for id_, resource in template["Resources"].items():
        if resource["Type"] in ("AWS::IAM::Policy", "AWS::KMS::Key"):
            text = json.dumps(resource).replace(f'"{missing}"', '"kms:DescribeKey"')
            template["Resources"][id_] = json.loads(text)
    found = without_key(Stack(template, {}, account=stack.account, region=stack.region, stack=stack.stack))
    assert any("role PromotionRole" in row for row in found)
    assert any("events.amazonaws.com" in row for row in found)
    assert any("cloudwatch.amazonaws.com" in row for row in found)
