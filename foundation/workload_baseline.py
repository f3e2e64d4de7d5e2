"""The workload baseline: what every account of the workloads OU has before a product is launched in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Aws, CfnCondition, Duration, Fn, RemovalPolicy, Stack, Tags
from aws_cdk import aws_cloudformation as cfn
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_servicecatalog as sc
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm

from foundation.boundary import Boundary
from foundation.findings import acknowledge, acknowledge_lint
from foundation.handler_permissions import resource_types
from foundation.launch_role import (
    BASELINE_TAG,
    BASELINE_TAG_VALUE,
    BOUNDARY_ARN,
    LaunchRole,
    released_templates,
)
from foundation.registry import DECISIONS, MODEL_EVENT
from pipeline.bundling import asset_key
from portfolios.catalog import PORTFOLIOS
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aws_cdk import Environment
    from constructs import Construct

    from pipeline.settings import HubSettings

STACK_SET: Final = "ml-platform-baseline"
"""Name of the StackSet in every region of the hub."""

_BUILDSPEC: Final = Path(__file__).with_name("seed_checkin_buildspec.yml")
_BUILD_IMAGE: Final = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
_BUILD_MINUTES: Final = 10  # with as long in the queue this stays below the 30 minutes that Custom::SeedCode waits
_LOG_DAYS: Final = logs.RetentionDays.ONE_YEAR
_ENDED: Final = ["SUCCEEDED", "FAILED", "FAULT", "STOPPED", "TIMED_OUT"]

FIRST_TYPES: Final = frozenset(
    {
        "AWS::CodeBuild::Project",
        "AWS::CodeConnections::Connection",
        "AWS::CodePipeline::Pipeline",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::Events::Rule",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::KMS::Key",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
        "AWS::SQS::Queue",
        "AWS::SQS::QueuePolicy",
        "AWS::SageMaker::Domain",
        "AWS::SageMaker::ModelPackageGroup",
        "AWS::SageMaker::UserProfile",
    }
)
"""Resource types for which a catalog without any release gets a launch role, so that a first one can be tried out."""


@dataclass(frozen=True, kw_only=True)
class _Function:
    """One Lambda function of the baseline.

    Attributes:
        name: Fixed name in the account.
        folder: Folder below ``lambdas/``.
        purpose: Its description.
        allowed: What it may do besides writing its log.
        findings: Accepted cdk-nag findings of its role.
        module: Module with the handler.
        timeout_s: Longest run, in seconds.
        environment: Environment variables.
    """

    name: str
    folder: str
    purpose: str
    allowed: Sequence[iam.PolicyStatement]
    findings: Mapping[str, str] = field(default_factory=dict)
    module: str = "handler"
    timeout_s: int = 60
    environment: Mapping[str, str] = field(default_factory=dict)


def launchable_types(root: Path | None = None) -> frozenset[str]:
    """Return the resource types of all releases; `FIRST_TYPES` when there is no release yet.

    Args:
        root: Folder of the products. Default: that of this repository.
    """
    templates = released_templates(root) if root else released_templates()
    return resource_types(templates) if templates else FIRST_TYPES


class BaselineTemplate(sc.ProductStack):
    """Template of the StackSet.

    A ProductStack is a stack whose template becomes a file asset of the stack around it instead of a deployment of its
    own, which is just what a StackSet needs; nothing of Service Catalog gets into the template.

    Args:
        hub_account_id: Account of the hub, 12 digits.
        home_region: Region in which the resources of IAM are made, which has no regions itself.
        types: Resource types that the launch role must be able to make. Default: those of the released templates.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        hub_account_id: str,
        home_region: str,
        types: Iterable[str] | None = None,
    ) -> None:
        super().__init__(
            scope, id_, description="ML platform: what an account needs before products are launched in it"
        )
        self._artifact_bucket = names.artifact_bucket(hub_account_id, Aws.REGION)
        self._hub_account_id = hub_account_id
        at_home = CfnCondition(self, "AtHome", expression=Fn.condition_equals(Aws.REGION, home_region))
        Boundary(self, "Boundary", condition=at_home)
        LaunchRole(
            self,
            "Launch",
            types=launchable_types() if types is None else types,
            hub_account_id=hub_account_id,
            condition=at_home,
        )
        for name, value in (
            ("hub-account-id", hub_account_id),
            ("artifact-bucket", self._artifact_bucket),
            ("boundary-arn", Fn.sub(BOUNDARY_ARN)),
        ):
            self._contract_value(name, value)
        self._key = self._baseline_key()
        self._dead_letters = self._dead_letter_queue()
        self._add_seed_checkin()
        self._add_bucket_emptier()
        self._add_enable_projects()
        self._add_preflight()
        self._forward_decisions()
        Tags.of(self).add(BASELINE_TAG, BASELINE_TAG_VALUE)

    # ---- shared ----

    def _contract_value(self, name: str, value: str) -> None:
        id_ = "".join(part.capitalize() for part in name.split("-"))
        ssm.CfnParameter(
            self,
            id_,
            name=names.contract_parameter(name),
            type="String",
            value=value,
            description="Contract of the ML platform's baseline with released products; written by the baseline.",
        )

    def _baseline_key(self) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            description="Logs, pending requests and dead letters of the ML platform's baseline",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.DESTROY,
            pending_window=Duration.days(7),
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LogsOfTheBaseline",
                principals=[iam.ServicePrincipal(f"logs.{Aws.REGION}.amazonaws.com")],
                actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
                resources=["*"],  # in a key policy: this key
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": self._arn("logs", f"log-group:/aws/*/{names.PREFIX}-*")
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

    def _dead_letter_queue(self) -> sqs.Queue:
        queue = sqs.Queue(
            self,
            "DeadLetters",
            queue_name=f"{names.PREFIX}-baseline-dead-letters",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=self._key,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        acknowledge(queue, {"AwsSolutions-SQS3": "This is the dead-letter queue of the baseline's functions."})
        cloudwatch.Alarm(
            self,
            "DeadLettersAlarm",
            alarm_name=f"{names.PREFIX}-baseline-dead-letters",
            alarm_description="A request of CloudFormation could not be answered after several attempts: a stack may "
            "be waiting. The message holds the event, the function's log the cause.",
            metric=queue.metric_approximate_number_of_messages_visible(period=Duration.minutes(1), statistic="Maximum"),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        return queue

    def _arn(self, service: str, resource: str, *, region: str = Aws.REGION) -> str:
        return f"arn:{Aws.PARTITION}:{service}:{region}:{Aws.ACCOUNT_ID}:{resource}"

    def _log_group(self, id_: str, name: str) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            id_,
            log_group_name=name,
            retention=_LOG_DAYS,
            encryption_key=self._key,
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _use_key(self) -> iam.PolicyStatement:
        # What DynamoDB, SQS and Lambda do with table, queue and environment variables in the name of a role.
        actions = ("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo")
        return iam.PolicyStatement(
            sid="UseKey", actions=[f"kms:{action}" for action in actions], resources=[self._key.key_arn]
        )

    def _function(self, id_: str, function: _Function) -> lambda_.Function:
        log_group = self._log_group(f"{id_}Log", f"/aws/lambda/{function.name}")
        role = iam.Role(
            self,
            f"{id_}Role",
            path=names.BASELINE_ROLE_PATH,
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
                            resources=[self._dead_letters.queue_arn],
                        ),
                        self._use_key(),
                        *function.allowed,
                    ]
                )
            },
        )
        log_arn = f"<{self.get_logical_id(_cfn(log_group))}.Arn>"
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::{log_arn}]": "Streams of the function's own log group."})
        acknowledge(role, function.findings)
        result = lambda_.Function(
            self,
            id_,
            function_name=function.name,
            description=function.purpose,
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler=f"lambdas.{function.folder}.{function.module}.lambda_handler",
            code=lambda_.Code.from_bucket(
                s3.Bucket.from_bucket_name(self, f"{id_}Code", self._artifact_bucket), asset_key(function.folder)
            ),
            role=role.without_policy_updates(),
            timeout=Duration.seconds(function.timeout_s),
            memory_size=256,
            environment=dict(function.environment),
            environment_encryption=self._key,
            log_group=log_group,
            dead_letter_queue=self._dead_letters,
            # CloudFormation and EventBridge invoke asynchronously; both attempts and age are bounded.
            retry_attempts=2,
            max_event_age=Duration.hours(1),
        )
        acknowledge(
            result,
            {"AwsSolutions-L1": "All functions of the platform run on the runtime that was tested, 3.13."},
        )
        resource = result.node.default_child
        if isinstance(resource, lambda_.CfnFunction):
            acknowledge_lint(resource, {"W3005": "CDK states the dependency on the role a second time."})
        acknowledge(
            self,
            {
                "Annotation::@aws-cdk/aws-lambda:codeFromBucketObjectVersionNotSpecified": (
                    "The key is the digest of the code, so a change of the code is a change of the key."
                )
            },
        )
        return result

    # ---- Custom::SeedCode ----

    def _add_seed_checkin(self) -> None:
        ledger = dynamodb.Table(
            self,
            "Ledger",
            partition_key=dynamodb.Attribute(name="Id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self._key,
            time_to_live_attribute="ExpiresAt",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        build = self._seed_build()
        build_arn = self._arn("codebuild", f"project/{names.SEED_CHECKIN_BUILD}")
        self._function(
            "SeedCheckin",
            _Function(
                name=names.SEED_CHECKIN_FUNCTION,
                folder="seed_checkin",
                purpose="Custom::SeedCode: starts the check-in of seed code into a repository.",
                environment={
                    "ARTIFACT_BUCKET": self._artifact_bucket,
                    "BUILD_PROJECT": names.SEED_CHECKIN_BUILD,
                    "LEDGER_TABLE": ledger.table_name,
                    "URL_SUFFIX": Aws.URL_SUFFIX,
                },
                allowed=[
                    iam.PolicyStatement(
                        sid="ReadConnections",
                        actions=[
                            "codeconnections:GetConnection",
                            "codeconnections:GetHost",
                            "codestar-connections:GetConnection",
                            "codestar-connections:GetHost",
                        ],
                        resources=[*self._connections("connection"), *self._connections("host")],
                    ),
                    iam.PolicyStatement(sid="StartCheckin", actions=["codebuild:StartBuild"], resources=[build_arn]),
                    iam.PolicyStatement(
                        sid="KeepLedger",
                        actions=[
                            "dynamodb:DeleteItem",
                            "dynamodb:GetItem",
                            "dynamodb:PutItem",
                            "dynamodb:UpdateItem",
                        ],
                        resources=[ledger.table_arn],
                    ),
                ],
                findings=self._wild(
                    "A product names the connection, whose id is generated; reading its status tells no secret.",
                    *self._connections("connection"),
                    *self._connections("host"),
                ),
            ),
        )
        completion = self._function(
            "SeedCheckinCompletion",
            _Function(
                name=names.SEED_CHECKIN_COMPLETION_FUNCTION,
                folder="seed_checkin",
                module="completion",
                purpose="Answers CloudFormation when the check-in of seed code has ended.",
                environment={"BUILD_PROJECT": names.SEED_CHECKIN_BUILD, "LEDGER_TABLE": ledger.table_name},
                allowed=[
                    iam.PolicyStatement(sid="ReadBuilds", actions=["codebuild:BatchGetBuilds"], resources=[build_arn]),
                    iam.PolicyStatement(
                        sid="KeepLedger",
                        actions=["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
                        resources=[ledger.table_arn],
                    ),
                ],
            ),
        )
        rule = events.Rule(
            self,
            "SeedCheckinEnded",
            description="The end of every check-in of seed code, however it ended",
            event_pattern=events.EventPattern(
                source=["aws.codebuild"],
                detail_type=["CodeBuild Build State Change"],
                detail={"project-name": [names.SEED_CHECKIN_BUILD], "build-status": _ENDED},
            ),
        )
        rule.add_target(targets.LambdaFunction(completion))
        rule.node.add_dependency(build)

    def _connections(self, kind: str) -> list[str]:
        # Connections made before the service was renamed keep codestar-connections in their ARNs; one may live in
        # another region than the project.
        return [self._arn(s, f"{kind}/*", region="*") for s in ("codeconnections", "codestar-connections")]

    def _wild(self, reason: str, *resources: str) -> dict[str, str]:
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

    def _seed_build(self) -> codebuild.CfnProject:
        log_group = self._log_group("SeedBuildLog", f"/aws/codebuild/{names.SEED_CHECKIN_BUILD}")
        assets = f"arn:{Aws.PARTITION}:s3:::{self._artifact_bucket}/assets/*"
        hub_keys = f"arn:{Aws.PARTITION}:kms:{Aws.REGION}:{self._hub_account_id}:key/*"
        role = iam.Role(
            self,
            "SeedBuildRole",
            path=names.BASELINE_ROLE_PATH,
            description="Checks seed code into a repository through a CodeConnection.",
            assumed_by=iam.ServicePrincipal(
                "codebuild.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            inline_policies={
                "Purpose": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="WriteLog",
                            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                            resources=[log_group.log_group_arn],
                        ),
                        iam.PolicyStatement(sid="ReadSeedCode", actions=["s3:GetObject"], resources=[assets]),
                        iam.PolicyStatement(
                            sid="DecryptSeedCode",
                            actions=["kms:Decrypt"],
                            resources=[hub_keys],
                            conditions={"StringEquals": {"kms:ViaService": f"s3.{Aws.REGION}.{Aws.URL_SUFFIX}"}},
                        ),
                        iam.PolicyStatement(
                            sid="UseGit",
                            actions=[
                                f"{service}:{action}"
                                for service in ("codeconnections", "codestar-connections")
                                for action in ("GetConnection", "GetConnectionToken", "UseConnection")
                            ],
                            resources=self._connections("connection"),
                        ),
                    ]
                )
            },
        )
        log_arn = f"<{self.get_logical_id(_cfn(log_group))}.Arn>"
        acknowledge(
            role,
            {
                f"AwsSolutions-IAM5[Resource::{log_arn}]": "Streams of the build's own log group.",
                **self._wild("Seed archives are named by their digests.", assets),
                **self._wild("Reached through S3 only, for objects of the hub's artifact bucket.", hub_keys),
                **self._wild(
                    "A product names the connection, whose id is generated.", *self._connections("connection")
                ),
            },
        )
        return codebuild.CfnProject(
            self,
            "SeedBuild",
            name=names.SEED_CHECKIN_BUILD,
            description="Checks seed code into a repository; started by Custom::SeedCode.",
            service_role=role.role_arn,
            encryption_key=self._key.key_arn,
            artifacts=codebuild.CfnProject.ArtifactsProperty(type="NO_ARTIFACTS"),
            source=codebuild.CfnProject.SourceProperty(
                type="NO_SOURCE", build_spec=_BUILDSPEC.read_text(encoding="utf-8")
            ),
            environment=codebuild.CfnProject.EnvironmentProperty(
                type="LINUX_CONTAINER", compute_type="BUILD_GENERAL1_SMALL", image=_BUILD_IMAGE
            ),
            logs_config=codebuild.CfnProject.LogsConfigProperty(
                cloud_watch_logs=codebuild.CfnProject.CloudWatchLogsConfigProperty(
                    status="ENABLED", group_name=log_group.log_group_name
                )
            ),
            timeout_in_minutes=_BUILD_MINUTES,
            queued_timeout_in_minutes=_BUILD_MINUTES,
        )

    # ---- the other custom resources ----

    def _add_bucket_emptier(self) -> None:
        itself = self._arn("lambda", f"function:{names.BUCKET_EMPTIER_FUNCTION}")
        buckets = f"arn:{Aws.PARTITION}:s3:::mlp-*-{Aws.ACCOUNT_ID}-{Aws.REGION}"
        self._function(
            "BucketEmptier",
            _Function(
                name=names.BUCKET_EMPTIER_FUNCTION,
                folder="bucket_emptier",
                purpose="Custom::BucketContents: empties a product's bucket when the product is terminated.",
                timeout_s=900,
                environment={"ACCOUNT_ID": Aws.ACCOUNT_ID},
                allowed=[
                    iam.PolicyStatement(
                        sid="ListProductBuckets",
                        actions=["s3:ListBucketMultipartUploads", "s3:ListBucketVersions"],
                        resources=[buckets],
                    ),
                    iam.PolicyStatement(
                        sid="EmptyProductBuckets",
                        actions=["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion"],
                        resources=[f"{buckets}/*"],
                    ),
                    iam.PolicyStatement(sid="HandOver", actions=["lambda:InvokeFunction"], resources=[itself]),
                ],
                findings=self._wild(
                    "Every product bucket of this account and region is named like this, and no other bucket.",
                    buckets,
                    f"{buckets}/*",
                ),
            ),
        )

    def _add_enable_projects(self) -> None:
        parameter = names.contract_parameter("connection-arn")
        # A portfolio that is shared keeps the account of its owner in its ARN.
        portfolios = f"arn:{Aws.PARTITION}:catalog:{Aws.REGION}:*:portfolio/*"
        (portfolio,) = (spec for spec in PORTFOLIOS if spec.id == "sagemaker-projects")
        self._function(
            "EnableProjects",
            _Function(
                name=names.ENABLE_PROJECTS_FUNCTION,
                folder="enable_projects",
                purpose="Custom::EnableProjects: lets the people of a Studio domain create projects.",
                timeout_s=300,
                environment={"CONNECTION_PARAMETER": parameter, "PORTFOLIO_NAME": portfolio.title},
                allowed=[
                    iam.PolicyStatement(
                        sid="EnableProjects",
                        actions=[
                            "sagemaker:EnableSagemakerServicecatalogPortfolio",
                            "servicecatalog:ListAcceptedPortfolioShares",
                        ],
                        resources=["*"],
                    ),
                    iam.PolicyStatement(
                        sid="AcceptSageMakerPortfolio",
                        # Enabling imports SageMaker's own portfolio in the name of the caller; AWS's samples of such a
                        # function (aws-samples/amazon-sagemaker-secure-mlops) have this permission for it.
                        actions=["servicecatalog:AcceptPortfolioShare"],
                        resources=[portfolios],
                    ),
                    iam.PolicyStatement(
                        sid="AssociatePersonas",
                        actions=[
                            "servicecatalog:AssociatePrincipalWithPortfolio",
                            "servicecatalog:DisassociatePrincipalFromPortfolio",
                        ],
                        resources=[portfolios],
                    ),
                    # Service Catalog looks the role up before it associates it.
                    iam.PolicyStatement(
                        sid="ReadPersonas",
                        actions=["iam:GetRole"],
                        resources=[f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/{names.PREFIX}/persona/*"],
                    ),
                    iam.PolicyStatement(
                        sid="DefaultConnection",
                        actions=["ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"],
                        resources=[self._arn("ssm", f"parameter{parameter}")],
                    ),
                ],
                findings=self._wild("These actions have no resource level.", "*")
                | self._wild("The id of the shared portfolio is known at run time only.", portfolios)
                | self._wild(
                    "Roles of personas are made by domains and named by CloudFormation.",
                    f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/{names.PREFIX}/persona/*",
                ),
            ),
        )

    def _add_preflight(self) -> None:
        stacks = self._arn("cloudformation", "stack/SC-*")
        self._function(
            "Preflight",
            _Function(
                name=names.PREFLIGHT_FUNCTION,
                folder="preflight",
                purpose="Custom::Preflight: says what would make a launch fail before anything is created.",
                timeout_s=120,
                allowed=[
                    iam.PolicyStatement(
                        sid="LookAround",
                        actions=[
                            "ec2:DescribeRouteTables",
                            "ec2:DescribeSubnets",
                            "ec2:DescribeVpcEndpoints",
                            "ec2:DescribeVpcs",
                            "sagemaker:ListDomains",
                            "sso:ListInstances",
                        ],
                        resources=["*"],
                    ),
                    iam.PolicyStatement(
                        sid="SeeRollback", actions=["cloudformation:DescribeStacks"], resources=[stacks]
                    ),
                    iam.PolicyStatement(
                        sid="ReadVpcs", actions=["ec2:DescribeVpcAttribute"], resources=[self._arn("ec2", "vpc/*")]
                    ),
                    iam.PolicyStatement(
                        sid="ReadConnections",
                        actions=["codeconnections:GetConnection", "codestar-connections:GetConnection"],
                        resources=self._connections("connection"),
                    ),
                ],
                findings=self._wild("These actions have no resource level.", "*")
                | self._wild("Service Catalog names its stacks SC-<account>-pp-....", stacks)
                | self._wild(
                    "A person may choose any VPC and connection of the account; they are only read.",
                    self._arn("ec2", "vpc/*"),
                    *self._connections("connection"),
                ),
            ),
        )

    # ---- the central registry ----

    def _forward_decisions(self) -> None:
        """Tell the hub what people decide about the models of this account; the hub copies what was approved."""
        bus_arn = f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{self._hub_account_id}:event-bus/{names.HUB_EVENT_BUS}"
        undelivered = sqs.Queue(
            self,
            "UndeliveredDecisions",
            queue_name=f"{names.PREFIX}-undelivered-decisions",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=self._key,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        acknowledge(undelivered, {"AwsSolutions-SQS3": "This is the dead-letter queue of the rule."})
        role = iam.Role(
            self,
            "ForwardDecisionsRole",
            path=names.BASELINE_ROLE_PATH,
            description="Puts decisions about models on the bus of the hub.",
            assumed_by=iam.ServicePrincipal(
                "events.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            inline_policies={
                "Purpose": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(sid="TellTheHub", actions=["events:PutEvents"], resources=[bus_arn])
                    ]
                )
            },
        )
        events.Rule(
            self,
            "DecisionAboutModel",
            description="Approvals and rejections of this account's models, for the central registry",
            event_pattern=events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=[MODEL_EVENT],
                detail={"ModelApprovalStatus": list(DECISIONS)},
            ),
            targets=[
                targets.EventBus(
                    events.EventBus.from_event_bus_arn(self, "HubBus", bus_arn),
                    role=role.without_policy_updates(),
                    dead_letter_queue=undelivered,
                )
            ],
        )
        cloudwatch.Alarm(
            self,
            "UndeliveredDecisionsAlarm",
            alarm_name=f"{names.PREFIX}-undelivered-decisions",
            alarm_description="A decision about a model did not reach the hub, so the central registry does not know "
            "it. The message holds the event and the reason; deciding again sends it again.",
            metric=undelivered.metric_approximate_number_of_messages_visible(
                period=Duration.minutes(1), statistic="Maximum"
            ),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )


class WorkloadBaselineStack(Stack):
    """Rolls the baseline out to every account of the workloads OU, those that join later included.

    One StackSet per region of the hub, because code and templates come from that region's artifact bucket.

    Args:
        settings: Settings of the hub.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        settings: HubSettings,
        env: Environment,
        stack_name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            scope,
            id_,
            env=env,
            stack_name=stack_name,
            tags=tags,
            description="ML platform: rolls the workload baseline out to the accounts of the workloads OU",
        )
        self.template = BaselineTemplate(
            self, "Template", hub_account_id=settings.account_id, home_region=settings.home_region
        )
        template_url = sc.CloudFormationTemplate.from_product_stack(self.template).bind(self).http_url
        cfn.CfnStackSet(
            self,
            "StackSet",
            stack_set_name=STACK_SET,
            description="What every account of the workloads OU has before an ML product is launched in it.",
            permission_model="SERVICE_MANAGED",
            call_as="DELEGATED_ADMIN",
            template_url=template_url,
            capabilities=["CAPABILITY_NAMED_IAM"],
            auto_deployment=cfn.CfnStackSet.AutoDeploymentProperty(
                enabled=True,
                # An account that leaves the OU keeps its products running; they need the boundary and the functions.
                retain_stacks_on_account_removal=True,
            ),
            managed_execution={"Active": True},
            operation_preferences=cfn.CfnStackSet.OperationPreferencesProperty(
                region_concurrency_type="SEQUENTIAL",
                region_order=[self.region],
                max_concurrent_percentage=25,
                failure_tolerance_percentage=10,
            ),
            stack_instances_group=[
                cfn.CfnStackSet.StackInstancesProperty(
                    deployment_targets=cfn.CfnStackSet.DeploymentTargetsProperty(
                        organizational_unit_ids=[settings.workloads_ou_id]
                    ),
                    regions=[self.region],
                )
            ],
        )


def _cfn(log_group: logs.LogGroup) -> logs.CfnLogGroup:
    resource = log_group.node.default_child
    if not isinstance(resource, logs.CfnLogGroup):
        raise TypeError(f"the child of a log group is {resource!r}, not its CloudFormation resource")
    return resource
