"""What the baselines of all kinds of accounts are made of: functions with their roles, logs, dead letters and key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aws_cdk import Aws, Duration, Fn, RemovalPolicy, Stack
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm

from foundation.baseline_version import BASELINE_VERSION
from foundation.boundary import BOUNDARY_ARN
from foundation.queues import dead_letter_queue, ring_when, waiting
from products.shared import names
from products.shared.builds import BUILD_IMAGE
from products.shared.findings import acknowledge
from products.shared.functions import PlatformFunction, add_function, platform_logs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aws_cdk import aws_sns as sns
    from constructs import Construct

_ENDED: Final = ["SUCCEEDED", "FAILED", "FAULT", "STOPPED", "TIMED_OUT"]


@dataclass(frozen=True, kw_only=True)
class BaselineFunction(PlatformFunction):
    """One Lambda function of a baseline.

    Attributes:
        name: Fixed name in the account.
        allowed: What it may do besides writing its log.
        findings: Accepted cdk-nag findings of its role. Default: none.
        role_name: Name of its role, when another account must know it. Default: CloudFormation makes one up.
    """

    name: str
    allowed: Sequence[iam.PolicyStatement]
    findings: Mapping[str, str] = field(default_factory=dict)
    role_name: str | None = None


class Baseline:
    """What the parts of one account's baseline share; makes the key and the dead-letter queue with its alarm.

    Everything is added to `scope` itself, so that logical ids are the same in every baseline.

    Args:
        scope: The stack of the baseline.
        hub_account_id: Account of the hub, 12 digits.
        alerts: Topic that hears of dead letters, in the same account. Default: only the alarm shows them.

    Attributes:
        scope: The stack of the baseline.
        hub_account_id: Account of the hub.
        artifact_bucket: Name of the hub's artifact bucket in this region; it holds the code of the functions.
        key: Encrypts logs, pending requests, environment variables and dead letters.
        dead_letters: What a function could not deal with after three attempts.
    """

    def __init__(self, scope: Construct, *, hub_account_id: str, alerts: sns.ITopic | None = None) -> None:
        self.scope = scope
        self.hub_account_id = hub_account_id
        self.artifact_bucket = names.artifact_bucket(hub_account_id, Aws.REGION)
        self.key = self._baseline_key()
        self.dead_letters = self._dead_letter_queue(alerts)

    def write_contract(self) -> None:
        """Write what released templates read into SSM parameters of this account and region."""
        self.contract_value("hub-account-id", self.hub_account_id)
        self.contract_value("artifact-bucket", self.artifact_bucket)
        self.contract_value("boundary-arn", Fn.sub(BOUNDARY_ARN))
        self.contract_value("baseline-version", BASELINE_VERSION)

    def contract_value(self, name: names.ContractValue, value: str) -> None:
        """Write a value of the contract into an SSM parameter, e.g. ``hub-account-id``."""
        id_ = "".join(part.capitalize() for part in name.split("-"))
        ssm.CfnParameter(
            self.scope,
            id_,
            name=names.contract_parameter(name),
            type="String",
            value=value,
            description="Contract of the ML platform's baseline with released products; written by the baseline.",
        )

    def _baseline_key(self) -> kms.Key:
        key = kms.Key(
            self.scope,
            "Key",
            description="Logs, pending requests and dead letters of the ML platform's baseline",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.DESTROY,
            pending_window=Duration.days(7),
            # The CDK's own policy would name the account of the stack, which is the hub: nobody could make the key
            # anywhere else, because a key's policy must let whoever makes it change the policy (KMS, CreateKey).
            policy=iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        sid="AccountDecides",
                        principals=[iam.ArnPrincipal(f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:root")],
                        actions=["kms:*"],
                        resources=["*"],  # in a key policy: this key
                    )
                ]
            ),
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LogsOfTheBaseline",
                principals=[iam.ServicePrincipal(f"logs.{Aws.REGION}.amazonaws.com")],
                actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
                resources=["*"],  # in a key policy: this key
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": self.arn("logs", f"log-group:/aws/*/{names.PREFIX}-*")
                    }
                },
            )
        )
        key.add_to_resource_policy(
            # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
            iam.PolicyStatement(
                sid="EventsIntoQueues",
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],  # in a key policy: this key
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        return key

    def _dead_letter_queue(self, alerts: sns.ITopic | None) -> sqs.Queue:
        name = f"{names.PREFIX}-baseline-dead-letters"
        queue = dead_letter_queue(self.scope, "DeadLetters", key=self.key, of="the baseline's functions", name=name)
        alarm = ring_when(
            self.scope,
            "DeadLettersAlarm",
            waiting(queue),
            name=name,
            description="A request of CloudFormation could not be answered after several attempts: a stack may "
            "be waiting. The message holds the event, the function's log the cause.",
        )
        if alerts is not None:
            alarm.add_alarm_action(cloudwatch_actions.SnsAction(alerts))
        return queue

    def arn(self, service: str, resource: str, *, region: str = Aws.REGION) -> str:
        """Return the ARN of a resource of this account. Default: in this region."""
        return f"arn:{Aws.PARTITION}:{service}:{region}:{Aws.ACCOUNT_ID}:{resource}"

    def log_group(self, id_: str, name: str) -> logs.LogGroup:
        """Return a log group under the key."""
        return platform_logs(self.scope, id_, name=name, key=self.key)

    def ledger(self, id_: str, *, key: Sequence[str]) -> dynamodb.Table:
        """Return a table in which functions note what they have to remember, until ``ExpiresAt`` where an item has it.

        Args:
            id_: Its id.
            key: Names of the text attributes of its key: partition, and sort where there is one.
        """
        partition, *sort = (dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING) for name in key)
        return dynamodb.Table(
            self.scope,
            id_,
            partition_key=partition,
            sort_key=sort[0] if sort else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            time_to_live_attribute="ExpiresAt",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )

    def use_key(self) -> iam.PolicyStatement:
        """Return the statement that a role needs which uses what is encrypted under the key."""
        # What DynamoDB, SQS and Lambda do with table, queue and environment variables in the name of a role.
        actions = ("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo")
        return iam.PolicyStatement(
            sid="UseKey", actions=[f"kms:{action}" for action in actions], resources=[self.key.key_arn]
        )

    def function(self, id_: str, function: BaselineFunction) -> lambda_.Function:
        """Return a function with a role, a log group, two retries and the dead-letter queue."""
        log_group = self.log_group(f"{id_}Log", f"/aws/lambda/{function.name}")
        role = iam.Role(
            self.scope,
            f"{id_}Role",
            path=names.BASELINE_ROLE_PATH,
            role_name=function.role_name,
            description=function.purpose,
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={
                "Purpose": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="WriteLog",
                            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                            resources=[log_group.log_group_arn],
                        ),
                        iam.PolicyStatement(
                            sid="KeepDeadLetters",
                            actions=["sqs:SendMessage"],
                            resources=[self.dead_letters.queue_arn],
                        ),
                        self.use_key(),
                        *function.allowed,
                    ]
                )
            },
        )
        acknowledge(role, self.log_streams(log_group, "Streams of the function's own log group."))
        acknowledge(role, function.findings)
        return add_function(
            self.scope,
            id_,
            function,
            artifact_bucket=self.artifact_bucket,
            role=role.without_policy_updates(),
            log_group=log_group,
            key=self.key,
            # CloudFormation and EventBridge invoke asynchronously.
            dead_letters=self.dead_letters,
        )

    def build(
        self,
        id_: str,
        *,
        name: str,
        description: str,
        buildspec: Path,
        role: iam.Role,
        log_group: logs.LogGroup,
        minutes: int,
        queued_minutes: int,
    ) -> codebuild.CfnProject:
        """Add a CodeBuild project for work of a custom resource that takes longer than a function should.

        Args:
            id_: Construct id.
            name: Fixed name in the account.
            description: What it does, and what starts it.
            buildspec: File with the commands.
            role: What it may do.
            log_group: Where it writes.
            minutes: Longest run.
            queued_minutes: Longest wait for a machine.
        """
        project = codebuild.CfnProject(
            self.scope,
            id_,
            name=name,
            description=description,
            service_role=role.role_arn,
            encryption_key=self.key.key_arn,
            artifacts=codebuild.CfnProject.ArtifactsProperty(type="NO_ARTIFACTS"),
            source=codebuild.CfnProject.SourceProperty(
                type="NO_SOURCE", build_spec=buildspec.read_text(encoding="utf-8")
            ),
            environment=codebuild.CfnProject.EnvironmentProperty(
                type="LINUX_CONTAINER", compute_type="BUILD_GENERAL1_SMALL", image=BUILD_IMAGE
            ),
            logs_config=codebuild.CfnProject.LogsConfigProperty(
                cloud_watch_logs=codebuild.CfnProject.CloudWatchLogsConfigProperty(
                    status="ENABLED", group_name=log_group.log_group_name
                )
            ),
            timeout_in_minutes=minutes,
            queued_timeout_in_minutes=queued_minutes,
        )
        acknowledge(
            project,
            {
                "CloudFormation-Validate::E3050": (
                    "The template has what the rule asks for, the role's Arn by GetAtt; the rule takes it for a Ref."
                )
            },
        )
        return project

    def call_when_ended(
        self, id_: str, *, description: str, build: codebuild.CfnProject, name: str, function: lambda_.Function
    ) -> None:
        """Have a function called at the end of every build of a project, however it ended.

        Args:
            id_: Construct id of the rule.
            description: Of the rule.
            build: The project.
            name: Its name.
            function: What is called.
        """
        rule = events.Rule(
            self.scope,
            id_,
            description=description,
            event_pattern=events.EventPattern(
                source=["aws.codebuild"],
                detail_type=["CodeBuild Build State Change"],
                detail={"project-name": [name], "build-status": _ENDED},
            ),
        )
        rule.add_target(targets.LambdaFunction(function))
        rule.node.add_dependency(build)

    def connections(self, kind: str) -> list[str]:
        """Return the ARN patterns of CodeConnections: ``connection`` or ``host``."""
        # Connections made before the service was renamed keep codestar-connections in their ARNs; one may live in
        # another region than the project.
        return [self.arn(s, f"{kind}/*", region="*") for s in ("codeconnections", "codestar-connections")]

    def wild(self, reason: str, *resources: str) -> dict[str, str]:
        """Return the cdk-nag findings of resources with a star, all accepted for one reason."""
        shown = {
            Aws.PARTITION: "<AWS::Partition>",
            Aws.ACCOUNT_ID: "<AWS::AccountId>",
            Aws.REGION: "<AWS::Region>",
        }
        findings = {}
        for resource in resources:
            text = resource
            for token, name in shown.items():
                text = text.replace(token, name)
            findings[f"AwsSolutions-IAM5[Resource::{text}]"] = reason
        return findings

    def log_streams(self, log_group: logs.LogGroup, reason: str) -> dict[str, str]:
        """Return the cdk-nag finding of a role that writes streams of a log group, accepted for a reason."""
        resource = log_group.node.default_child
        if not isinstance(resource, logs.CfnLogGroup):
            raise TypeError(f"the child of a log group is {resource!r}, not its CloudFormation resource")
        return {f"AwsSolutions-IAM5[Resource::<{Stack.of(self.scope).get_logical_id(resource)}.Arn>]": reason}
