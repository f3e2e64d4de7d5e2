"""Who hears of a deployment: a topic with the approver's address, and mails that read like a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from products.shared import names, template
from products.shared.deployment_builds import PIPELINE

if TYPE_CHECKING:
    from products.shared.storage import ProjectStorage


class Notices(Construct):
    """Encrypted topic of one project, and the rule that tells it of deployments that did not succeed.

    Args:
        storage: Key of the project.
        email: Address of the approver, who confirms the subscription once.
        pipeline_url: Address of the pipeline in the console.

    Attributes:
        topic: The topic.
    """

    def __init__(self, scope: Construct, id_: str, *, storage: ProjectStorage, email: str, pipeline_url: str) -> None:
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
        service = iam.ServicePrincipal("events.amazonaws.com")
        # No condition on either: EventBridge gives SNS none to check ("Amazon SNS permissions" in
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html).
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="TellOfDeployments",
                principals=[service],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
            )
        )
        storage.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="TellOfDeployments",
                principals=[service],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],  # in a key policy: this key
            )
        )
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


def _message(pipeline_url: str) -> str:
    text = (
        '"The deployment of project ${SageMakerProjectName} (models of ${ModelPackageGroup}) ended as <state> and goes '
        "no further. Execution <execution>. Which step ended it, and why, is here: "
    )
    return cdk.Fn.join("", [template.sub(text), pipeline_url, '"'])
