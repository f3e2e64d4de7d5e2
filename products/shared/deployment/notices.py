"""Who hears of a deployment: a topic with the approver's address, and mails that read like a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from products.shared import names, template
from products.shared.deployment.builds import PIPELINE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import aws_sqs as sqs

    from products.shared.storage import ProjectStorage


class Notices(Construct):
    """Encrypted topic of one project, and what tells it of deployments that did not succeed or did not start.

    Args:
        storage: Key of the project.
        email: Address of the approver, who confirms the subscription once.
        missed_starts: Queue with starts that could not be delivered.
        pipeline_url: Address of the pipeline in the console.

    Attributes:
        topic: The topic.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        storage: ProjectStorage,
        email: str,
        missed_starts: sqs.IQueue,
        pipeline_url: str,
    ) -> None:
        super().__init__(scope, id_)
        self.topic = sns.Topic(
            self,
            "Topic",
            topic_name=template.sub(names.project_resource("notices")),
            display_name=template.sub("Deployment of ${SageMakerProjectName}"),
            master_key=storage.key,
            enforce_ssl=True,
        )
        sns.CfnSubscription(self, "Approver", topic_arn=self.topic.topic_arn, protocol="email", endpoint=email)
        # A topic can check the account of an alarm, but EventBridge gives it nothing to check ("Amazon SNS permissions"
        # in https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html).
        self._let_in("events", storage, sid="TellOfDeployments")
        self._let_in(
            "cloudwatch",
            storage,
            sid="TellOfMissedStarts",
            conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
        )
        self._alarm(missed_starts)
        events.CfnRule(
            self,
            "NotSucceeded",
            name=template.sub(names.project_resource("not-succeeded")),
            description=template.sub("Tells when a deployment of ${SageMakerProjectName} failed or was stopped"),
            # https://docs.aws.amazon.com/codepipeline/latest/userguide/detect-state-changes-cloudwatch-events.html
            event_pattern={
                "source": ["aws.codepipeline"],
                "detail-type": ["CodePipeline Pipeline Execution State Change"],
                "detail": {"pipeline": [template.sub(PIPELINE)], "state": ["FAILED", "STOPPED"]},
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="Topic",
                    arn=self.topic.topic_arn,
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map={"state": "$.detail.state", "execution": "$.detail.execution-id"},
                        input_template=_message(pipeline_url),
                    ),
                )
            ],
        )

    def _let_in(
        self, service: str, storage: ProjectStorage, *, sid: str, conditions: Mapping[str, Any] | None = None
    ) -> None:
        # Both encrypt as themselves, so the key must know them
        # (https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html).
        principals: list[iam.IPrincipal] = [iam.ServicePrincipal(f"{service}.amazonaws.com")]
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                principals=principals,
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions=conditions,
            )
        )
        storage.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                principals=principals,
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],  # in a key policy: this key
            )
        )

    def _alarm(self, missed_starts: sqs.IQueue) -> None:
        cloudwatch.CfnAlarm(
            self,
            "MissedStarts",
            alarm_name=template.sub(names.project_resource("missed-starts")),
            alarm_description=template.sub(
                "Project ${SageMakerProjectName}: an approved model did not start its deployment, or a shadow period "
                "did not end. The message in the queue says which start it was and why; start the pipeline by hand."
            ),
            namespace="AWS/SQS",
            metric_name="ApproximateNumberOfMessagesVisible",
            dimensions=[
                cloudwatch.CfnAlarm.DimensionProperty(name="QueueName", value=missed_starts.queue_name),
            ],
            statistic="Maximum",
            period=300,
            evaluation_periods=1,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="notBreaching",
            alarm_actions=[self.topic.topic_arn],
        )


def _message(pipeline_url: str) -> str:
    text = (
        '"The deployment of project ${SageMakerProjectName} (models of ${ModelPackageGroup}) ended as <state> and goes '
        "no further. FAILED: a step failed, or the approval was refused or not answered. STOPPED: somebody stopped it, "
        "or no model of the group is approved yet. Which step it was, and why: "
    )
    return cdk.Fn.join("", [template.sub(text), pipeline_url, ' (execution <execution>)."'])
