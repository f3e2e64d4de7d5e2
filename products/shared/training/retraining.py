"""What trains again besides a commit: a schedule, new data, or nothing."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_events as events
from constructs import Construct

from products.shared import names, template
from products.shared.missed_starts import missed_starts
from products.shared.roles import Grant, ServiceRole

NONE, SCHEDULE, NEW_DATA = "None", "Schedule", "NewData"
CHOICES = (SCHEDULE, NEW_DATA)
_PIPELINE_ARN = template.arn("codepipeline", names.project_resource("build"))


class Retraining(Construct):
    """EventBridge rules that start the CodePipeline of a project, each made only when it was asked for.

    They start the CodePipeline, not the SageMaker pipeline behind it, for two reasons. The build looks at the data and
    names its version, so that a training on unchanged data is answered from the step cache and one on changed data
    never is. And of many starts at once, as when a thousand objects arrive, CodePipeline runs the first and the last.

    A start that fails for a day (EventBridge tries again until then) is kept in a dead-letter queue for two weeks.

    Args:
        trigger: `NONE`, `SCHEDULE` or `NEW_DATA`; usually a parameter.
        schedule: EventBridge schedule expression, e.g. ``rate(7 days)``.
        data_bucket: Bucket with the data. Its owner must have EventBridge notifications switched on.
        data_keys: Wildcard that the key of a new object must match, e.g. ``churn/*_SUCCESS``.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        trigger: str,
        schedule: str,
        data_bucket: str,
        data_keys: str,
    ) -> None:
        super().__init__(scope, id_)
        stack = cdk.Stack.of(self)
        chosen = {
            name: cdk.CfnCondition(stack, f"On{name}", expression=cdk.Fn.condition_equals(trigger, name))
            for name in CHOICES
        }
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
        scheduled = events.CfnRule(
            self,
            "Schedule",
            name=template.sub(names.project_resource("schedule")),
            description=template.sub("Trains ${SageMakerProjectName} on a schedule"),
            schedule_expression=schedule,
            targets=[target],
        )
        scheduled.cfn_options.condition = chosen[SCHEDULE]
        new_data = events.CfnRule(
            self,
            "NewData",
            name=template.sub(names.project_resource("new-data")),
            description=template.sub("Trains ${SageMakerProjectName} when data arrives"),
            event_pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {"bucket": {"name": [data_bucket]}, "object": {"key": [{"wildcard": data_keys}]}},
            },
            targets=[target],
        )
        new_data.cfn_options.condition = chosen[NEW_DATA]
