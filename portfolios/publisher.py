"""The function that does for portfolios and versions what CloudFormation cannot, its queue and its alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aws_cdk import (
    Aws,
    CustomResource,
    Duration,
    Stack,
    aws_cloudwatch,
    aws_cloudwatch_actions,
    aws_iam,
    aws_lambda_event_sources,
    aws_sqs,
)
from constructs import Construct

from lambdas.portfolio_share.environment import PublisherEnvironment
from products.shared import names
from products.shared.alerts import AlertTopic
from products.shared.findings import acknowledge
from products.shared.functions import PlatformFunction, add_function, platform_logs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOOK_AGAIN: Final = Duration.seconds(10)
"""How long a share that goes on waits until it is looked at again."""

_SERVICE_TIMEOUT = Duration.minutes(45)  # more than lambdas.portfolio_share.core.DEADLINE_S, after which it answers


class CatalogPublisher(Construct):
    """The function behind ``Custom::PortfolioShare`` and ``Custom::ProductVersions``, its queue and its alarms.

    Args:
        alert_emails: Who hears when an answer to CloudFormation could not be delivered.

    Attributes:
        function: The function.
    """

    def __init__(self, scope: Construct, id_: str, *, alert_emails: Sequence[str]) -> None:
        super().__init__(scope, id_)
        stack = Stack.of(self)
        lost = aws_sqs.Queue(
            self,
            "LostTasks",
            fifo=True,
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        tasks = aws_sqs.Queue(
            self,
            "Tasks",
            fifo=True,
            delivery_delay=LOOK_AGAIN,
            visibility_timeout=Duration.minutes(12),  # six times the function's timeout, as Lambda asks for
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            dead_letter_queue=aws_sqs.DeadLetterQueue(queue=lost, max_receive_count=3),
        )
        logs = platform_logs(self, "Logs", lines="portfolios and accounts")
        for queue in (lost, tasks):
            acknowledge(
                queue, {"CKV_AWS_27": "It is encrypted by SQS (SqsManagedSseEnabled), which the rule overlooks."}
            )
        role = aws_iam.Role(self, "Role", assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"))
        logs.grant_write(role)
        self.function = add_function(
            self,
            "Function",
            PlatformFunction(
                folder="portfolio_share",
                purpose="Shares portfolios with the workloads OU and sets guidance of product versions",
                timeout_s=120,
                hands_on=True,  # a long share; DEADLINE_S in lambdas/portfolio_share/core.py ends it
                environment=PublisherEnvironment(hub_account_id=stack.account, queue_url=tasks.queue_url),
            ),
            artifact_bucket=names.artifact_bucket(stack.account, stack.region),
            role=role,
            log_group=logs,
            findings={
                "CKV_AWS_116": "CloudFormation waits for its answer and fails the stack without one; its queue keeps "
                "what was lost.",
                "CKV_AWS_173": "Its environment names a queue and an account; Lambda encrypts it with its own key.",
            },
        )
        tasks.grant_send_messages(role)
        self.function.add_event_source(aws_lambda_event_sources.SqsEventSource(tasks, batch_size=1))
        self._allow_service_catalog(role)
        self.permissions = role.node.find_child("DefaultPolicy")

        alerts = AlertTopic(self, "Alerts", emails=alert_emails)
        action = aws_cloudwatch_actions.SnsAction(alerts.topic)
        for alarm_id, metric, what in (
            (
                "LostTasksAlarm",
                lost.metric_approximate_number_of_messages_visible(),
                "A task was given up after 3 tries",
            ),
            ("ErrorsAlarm", self.function.metric_errors(), "An answer to CloudFormation could not be delivered"),
        ):
            metric.create_alarm(
                self,
                alarm_id,
                alarm_description=f"{what}: a stack of the catalog waits until its ServiceTimeout.",
                threshold=1,
                evaluation_periods=1,
                treat_missing_data=aws_cloudwatch.TreatMissingData.NOT_BREACHING,
            ).add_alarm_action(action)

    def _allow_service_catalog(self, role: aws_iam.Role) -> None:
        stack = Stack.of(self)
        arn = f"arn:{Aws.PARTITION}:catalog:{stack.region}:{stack.account}"
        shares = ("CreatePortfolioShare", "UpdatePortfolioShare", "DeletePortfolioShare", "DescribePortfolioShares")
        versions = ("ListProvisioningArtifacts", "UpdateProvisioningArtifact")
        for actions, resource in (
            (shares, f"{arn}:portfolio/*"),
            (versions, f"{arn}:product/*"),
            (("DescribePortfolioShareStatus",), "*"),  # has no resource level; its token names the portfolio
        ):
            role.add_to_policy(
                aws_iam.PolicyStatement(actions=[f"servicecatalog:{a}" for a in actions], resources=[resource])
            )
        catalog = f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:catalog:{stack.region}:{stack.account}"
        acknowledge(
            role,
            {
                f"{catalog}:portfolio/*]": (
                    "CloudFormation removes a portfolio's share after the portfolio left the template, when a policy "
                    "that names portfolios no longer names it. The hub's portfolios in this region are the catalog's."
                ),
                f"{catalog}:product/*]": (
                    "As for portfolios. The two actions read versions and set their guidance and visibility, no more."
                ),
                "AwsSolutions-IAM5[Resource::*]": (
                    "Only DescribePortfolioShareStatus, which has no resource level (service authorization reference)."
                ),
            },
        )

    def custom_resource(
        self, scope: Construct, id_: str, resource_type: str, properties: Mapping[str, Any]
    ) -> CustomResource:
        """Return a custom resource of this function, created once the function may do its work."""
        resource = CustomResource(
            scope,
            id_,
            resource_type=resource_type,
            service_token=self.function.function_arn,
            service_timeout=_SERVICE_TIMEOUT,
            properties=properties,
        )
        resource.node.add_dependency(self.permissions)
        return resource
