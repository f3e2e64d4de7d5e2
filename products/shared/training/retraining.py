"""What trains again besides a commit: a schedule, new data, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
from aws_cdk import aws_events as events
from constructs import Construct

from products.shared import names, template
from products.shared.form.questions import NEW_DATA, SCHEDULE
from products.shared.missed_starts import missed_starts
from products.shared.roles import Grant, ServiceRole

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE = "none"
_PIPELINE_ARN = template.arn("codepipeline", names.project_resource("build"))


class Retraining(Construct):
    """EventBridge rules that start the CodePipeline of a project, each made only when it was asked for.

    They start the CodePipeline, not the SageMaker pipeline behind it, for two reasons. The build looks at the data and
    names its version, so that a training on unchanged data is answered from the step cache and one on changed data
    never is. And of many starts at once, as when a thousand objects arrive, CodePipeline runs the first and the last.

    A start that fails for a day (EventBridge tries again until then) is kept in a dead-letter queue for two weeks.

    Args:
        trigger: `NONE`, or `SCHEDULE` or `NEW_DATA` of `products.shared.form.questions`; usually a parameter.
        schedule: EventBridge schedule expression, e.g. ``rate(7 days)``.
        new_data: Pattern of the events that mean new data. None: the source has none, and nobody can choose it.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        trigger: str,
        schedule: str,
        new_data: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(scope, id_)
        stack = cdk.Stack.of(self)
        on_schedule = cdk.CfnCondition(stack, "OnSchedule", expression=cdk.Fn.condition_equals(trigger, SCHEDULE))
        asked_for = cdk.CfnCondition(
            stack, "HasTrigger", expression=cdk.Fn.condition_not(cdk.Fn.condition_equals(trigger, NONE))
        )
        role = ServiceRole(
            self,
            "Role",
            service="events",
            path=names.PROJECT_ROLE_PATH,
            purpose="Starts the training of one project",
            grants=[
                Grant(sid="Start", actions=["codepipeline:StartPipelineExecution"], resources=[_PIPELINE_ARN]),
            ],
        ).role
        dead_letters = missed_starts(self, "DeadLetters")
        for child in (role, dead_letters):
            for node in child.node.find_all():
                if isinstance(node, cdk.CfnResource):
                    node.cfn_options.condition = asked_for
        target = events.CfnRule.TargetProperty(
            id="CodePipeline",
            arn=template.sub(_PIPELINE_ARN),
            role_arn=role.role_arn,
            dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=dead_letters.queue_arn),
        )
        self._rule(
            "Schedule",
            name="schedule",
            description="Trains ${SageMakerProjectName} on a schedule",
            target=target,
            chosen=on_schedule,
            schedule_expression=schedule,
        )
        if new_data:
            on_new_data = cdk.CfnCondition(stack, "OnNewData", expression=cdk.Fn.condition_equals(trigger, NEW_DATA))
            self._rule(
                "NewData",
                name="new-data",
                description="Trains ${SageMakerProjectName} when data arrives",
                target=target,
                chosen=on_new_data,
                event_pattern=new_data,
            )

    def _rule(
        self,
        id_: str,
        *,
        name: str,
        description: str,
        target: events.CfnRule.TargetProperty,
        chosen: cdk.CfnCondition,
        schedule_expression: str | None = None,
        event_pattern: Mapping[str, Any] | None = None,
    ) -> None:
        rule = events.CfnRule(
            self,
            id_,
            name=template.sub(names.project_resource(name)),
            description=template.sub(description),
            schedule_expression=schedule_expression,
            event_pattern=event_pattern,
            targets=[target],
        )
        rule.cfn_options.condition = chosen
