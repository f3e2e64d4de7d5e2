"""The central model registry: what approvals in the workload accounts set off, and what deployments read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aws_cdk import (
    Aws,
    CfnResource,
    Duration,
    RemovalPolicy,
    aws_glue,
    aws_iam,
    aws_kms,
    aws_lambda,
    aws_s3,
)
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs

from foundation.buckets import access_log_bucket, decrypt_through_s3, lasting_bucket, members
from foundation.forwarding import ALARM_EVENT
from foundation.hub_stack import HubStack
from products.shared import names
from products.shared.alerts import AlertTopic
from products.shared.findings import acknowledge
from products.shared.functions import PlatformFunction, add_function, platform_logs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import CfnElement
    from constructs import Construct

    from foundation.settings import HubSettings

MODEL_EVENT: Final = "SageMaker Model Package State Change"
DECISIONS: Final = ("Approved", "Rejected")
"""Statuses of a model package that are somebody's decision."""

APPROVAL_EVENT: Final = "CodePipeline Action Execution State Change"

PACKAGES_PREFIX: Final = "packages/"
"""Where artifacts are in the bucket of promoted models, by group of the hub; deployment accounts read nothing else."""

PROGRESS_PREFIX: Final = "promotions/"
"""Where the function keeps in that bucket how far it has come."""

PROMOTED_PREFIX: Final = "promoted/"
"""Where it says, by group and version of the hub, what it made; deployments compare packages with that."""

AUDIT_PREFIX: Final = "decisions/"
"""Where the records are in the audit bucket: ``decisions/year=2026/month=05/day=01/<name>.json``, one in a file."""

AUDIT_COLUMNS: Final[Mapping[str, str]] = {
    "what": "string",
    "who": "string",
    "at": "string",
    "reason": "string",
    "place": "string",
    "account": "string",
    "package": "string",
    "hub_package": "string",
    "digest": "string",
    "deployment": "string",
    "artifacts": (
        "array<struct<source:string,target:string,size:bigint,checksum:string,etag:string,target_etag:string>>"
    ),
}
"""Fields of a record (lambdas/model_promotion/audit.py) and their types in Athena."""

_PARTITIONS: Final = {"year": "2026,2050", "month": "1,12", "day": "1,31"}
_TIMEOUT: Final = Duration.minutes(15)  # the longest that Lambda allows
_VISIBILITY: Final = Duration.minutes(90)  # six times the timeout, as Lambda's guide asks for
_TRIES: Final = 8
_AT_ONCE: Final = 10  # promotions at the same time; bursts wait in the queue
_LATE: Final = Duration.hours(1)
_AUDIT_YEARS: Final = 7


class RegistryStack(HubStack):
    """Bus, queue and function of the promotion, buckets and repository of promoted models, and the audit trail.

    What promoted models consist of, and the records of who decided what, outlive the stack.

    Args:
        settings: Settings of the hub.
        region: Region of the hub.

    Attributes:
        bus: Takes events about model packages from the accounts below the workloads OU, about drift from those below
            the deployment OU, and alarms from both.
        models: Bucket with the artifacts of promoted models.
        images: Repository of copied images.
        audit: Append-only bucket with a record per decision.
        promotion: The function that copies approved models.
    """

    def __init__(self, scope: Construct, id_: str, *, settings: HubSettings, region: str) -> None:
        super().__init__(
            scope,
            id_,
            settings=settings,
            region=region,
            name="ml-platform-registry",
            description="central model registry",
        )
        self._deployment_accounts = members(settings, list(settings.deployment_ou_paths))
        self.bus = self._event_bus()
        self.access_logs = access_log_bucket(self, "AccessLogs")
        self.models_key = self._key("ModelsKey", "Artifacts and images of promoted models")
        self.models = self._model_bucket()
        self.images = self._image_repository()
        self.audit_key = self._key("AuditKey", "Records of decisions about models")
        self.audit = self._audit_bucket()
        self._audit_table()
        self._lost, self._decisions, self._undelivered = self._queues()
        self._alerts = AlertTopic(self, "Alerts", emails=settings.notification_emails).topic
        self.promotion = self._promotion()
        self._rules()
        self._alarms()

    # ---- events -----------------------------------------------------------------------------------------------------

    def _event_bus(self) -> events.EventBus:
        bus = events.EventBus(
            self,
            "Bus",
            event_bus_name=names.HUB_EVENT_BUS,
            description="What happens to models in the accounts of the ML platform",
        )
        below_workloads = f"{self.settings.workloads_ou_path}*"
        workloads = members(self.settings, [below_workloads])
        everybody = members(self.settings, [below_workloads, *self.settings.deployment_ou_paths])
        # Only AWS services put events with a source of aws.*: a person who may call PutEvents cannot make one up
        # (PutEvents, API reference). ForAllValues is the form of the user guide
        # (eb-event-bus-example-policy-cross-account-custom-bus-source); the rule checks both once more.
        for id_, statement_id, who, source, kind in (
            ("BusPolicy", "WorkloadAccountsForwardModelEvents", workloads, "aws.sagemaker", MODEL_EVENT),
            (
                "DriftPolicy",
                "DeploymentAccountsReportDrift",
                self._deployment_accounts,
                names.DRIFT_SOURCE,
                names.DRIFT_EVENT,
            ),
            ("AlarmPolicy", "AccountsReportAlarms", everybody, "aws.cloudwatch", ALARM_EVENT),
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
                self,
                id_,
                type="AWS::Events::EventBusPolicy",
                properties={
                    "EventBusName": bus.event_bus_name,
                    "StatementId": statement_id,
                    "Statement": statement,
                },
            )
        return bus

    def _queues(self) -> tuple[sqs.Queue, sqs.Queue, sqs.Queue]:
        key = aws_kms.Key(
            self,
            "QueueKey",
            description="Events about models that wait for the promotion",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.DESTROY,  # it protects messages in transit only
        )
        lost = sqs.Queue(
            self,
            "Lost",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        undelivered = sqs.Queue(
            self,
            "UndeliveredDrift",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        acknowledge(undelivered, {"AwsSolutions-SQS3": "This is the dead-letter queue of the rule about drift."})
        decisions = sqs.Queue(
            self,
            "Decisions",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            visibility_timeout=_VISIBILITY,
            retention_period=Duration.days(14),
            dead_letter_queue=sqs.DeadLetterQueue(queue=lost, max_receive_count=_TRIES),
        )
        return lost, decisions, undelivered

    def _rules(self) -> None:
        pattern = events.EventPattern(
            source=["aws.sagemaker"], detail_type=[MODEL_EVENT], detail={"ModelApprovalStatus": list(DECISIONS)}
        )
        for id_, bus, where in (
            ("DecidedInWorkloads", self.bus, "the accounts of the workloads OU"),
            ("DecidedInHub", None, "the hub, for the audit trail"),  # None: the account's default bus
        ):
            events.Rule(
                self,
                id_,
                description=f"Approvals and rejections of models in {where}",
                event_bus=bus,
                event_pattern=pattern,
                targets=[targets.SqsQueue(self._decisions, dead_letter_queue=self._lost)],
            )
        events.Rule(
            self,
            "DecidedOnProduction",
            description="How governance officers answer deployment pipelines, for the audit trail",
            event_pattern=events.EventPattern(
                source=["aws.codepipeline"],
                detail_type=[APPROVAL_EVENT],
                detail={
                    "pipeline": [{"prefix": f"{names.PROJECT_RESOURCE_PREFIX}p-"}],
                    "stage": ["Approve"],
                    "state": ["SUCCEEDED", "FAILED"],
                    "type": {"category": ["Approval"]},
                },
            ),
            targets=[targets.SqsQueue(self._decisions, dead_letter_queue=self._lost)],
        )
        self._tell_of_drift()
        self._tell_of_alarms()

    def _tell_of_drift(self) -> None:
        """Mail what monitors report, in words; whoever wants to act on it subscribes to the topic."""
        topic = AlertTopic(self, "Drift", emails=self.settings.notification_emails, name=names.DRIFT_TOPIC).topic
        path = events.EventField.from_path
        events.Rule(
            self,
            "Drifted",
            description="Drift of models in production and test",
            event_bus=self.bus,
            event_pattern=events.EventPattern(source=[names.DRIFT_SOURCE], detail_type=[names.DRIFT_EVENT]),
            targets=[
                targets.SnsTopic(
                    topic,
                    dead_letter_queue=self._undelivered,
                    message=events.RuleTargetInput.from_text(
                        f"The data of endpoint {path('$.detail.endpoint')} ({path('$.detail.stage')}) differ from what "
                        f"its model was trained and tested with. Model: {path('$.detail.package')}. Found: "
                        f"{path('$.detail.results')}. Report: {path('$.detail.report')}. Look at the report, then "
                        "train the model again or correct the data."
                    ),
                )
            ],
        )

    def _tell_of_alarms(self) -> None:
        """Mail alarms that ring in other accounts: nobody is subscribed there."""
        path = events.EventField.from_path
        events.Rule(
            self,
            "AlarmRang",
            description="Alarms of the platform in the accounts of the organisation",
            event_bus=self.bus,
            event_pattern=events.EventPattern(source=["aws.cloudwatch"], detail_type=[ALARM_EVENT]),
            targets=[
                targets.SnsTopic(
                    self._alerts,
                    dead_letter_queue=self._undelivered,
                    message=events.RuleTargetInput.from_text(
                        f"Alarm {path('$.detail.alarmName')} rings in account {path('$.account')}, {path('$.region')}. "
                        f"{path('$.detail.configuration.description')} CloudWatch says: {path('$.detail.state.reason')}"
                    ),
                )
            ],
        )

    def _alarms(self) -> None:
        action = cloudwatch_actions.SnsAction(self._alerts)
        for id_, metric, threshold, what in (
            (
                "LostAlarm",
                self._lost.metric_approximate_number_of_messages_visible,
                1,
                f"A promotion was given up after {_TRIES} tries; its message says which model, the log says why.",
            ),
            (
                "UndeliveredDriftAlarm",
                self._undelivered.metric_approximate_number_of_messages_visible,
                1,
                "A report of drift or an alarm could not be mailed; the message holds the event and the reason.",
            ),
            (
                "LateAlarm",
                self._decisions.metric_approximate_age_of_oldest_message,
                _LATE.to_seconds(),
                f"A decision about a model waits for {_LATE.to_hours():g} hours: promotions fail or cannot keep up.",
            ),
        ):
            metric(period=Duration.minutes(1), statistic="Maximum").create_alarm(
                self,
                id_,
                alarm_description=what,
                threshold=threshold,
                evaluation_periods=1,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            ).add_alarm_action(action)

    # ---- what is kept -----------------------------------------------------------------------------------------------

    def _key(self, id_: str, description: str) -> aws_kms.Key:
        return aws_kms.Key(
            self,
            id_,
            description=description,
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )

    def _model_bucket(self) -> aws_s3.Bucket:
        bucket = lasting_bucket(
            self,
            "Models",
            name=names.registry_bucket(self.account, self.region),
            key=self.models_key,
            access_logs=self.access_logs,
            access_logs_prefix="models/",
        )
        # Only the deploy role, whose own policy opens the group of its session: all other roles of a deployment account
        # belong to a stage, which has copies in a bucket of its own, or to the account's owner.
        deploy_role = f"arn:{Aws.PARTITION}:iam::*:role/{names.DEPLOY_ROLE}"
        readers: dict[str, dict[str, str | list[str]]] = {
            **self._deployment_accounts,
            "ArnLike": {"aws:PrincipalArn": deploy_role},
        }
        bucket.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="DeploymentAccountsReadModels",
                actions=["s3:GetObject", "s3:GetObjectVersion"],
                principals=[aws_iam.AnyPrincipal()],
                resources=[bucket.arn_for_objects(f"{PACKAGES_PREFIX}*")],
                conditions=readers,
            )
        )
        bucket.add_to_resource_policy(
            aws_iam.PolicyStatement(
                # Baselines and samples are folders; and a missing file shall be known as missing, not as forbidden.
                sid="DeploymentAccountsListModels",
                actions=["s3:ListBucket"],
                principals=[aws_iam.AnyPrincipal()],
                resources=[bucket.bucket_arn],
                conditions={**readers, "StringLike": {"s3:prefix": f"{PACKAGES_PREFIX}*"}},
            )
        )
        decrypt_through_s3(self.models_key, sid="DeploymentAccountsDecryptThroughS3", condition=readers)
        return bucket

    def _image_repository(self) -> ecr.Repository:
        repository = ecr.Repository(
            self,
            "Images",
            repository_name=names.MODEL_REPOSITORY,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            encryption=ecr.RepositoryEncryption.KMS,
            encryption_key=self.models_key,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        repository.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="DeploymentAccountsPull",
                actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                principals=[aws_iam.AnyPrincipal()],
                conditions=self._deployment_accounts,
            )
        )
        acknowledge(
            repository,
            {"AwsSolutions-ECR1": "The star stands for principals of the deployment OU: a condition names it."},
        )
        return repository

    def _audit_bucket(self) -> aws_s3.Bucket:
        return lasting_bucket(
            self,
            "Audit",
            name=names.audit_bucket(self.account, self.region),
            key=self.audit_key,
            access_logs=self.access_logs,
            access_logs_prefix="audit/",
            object_lock=aws_s3.ObjectLockRetention.governance(Duration.days(_AUDIT_YEARS * 365)),
        )

    def _audit_table(self) -> None:
        """Describe the records for Athena; partitions follow from the keys, so nobody has to register them."""
        database = aws_glue.CfnDatabase(
            self,
            "AuditDatabase",
            catalog_id=self.account,
            database_input=aws_glue.CfnDatabase.DatabaseInputProperty(
                name=names.AUDIT_DATABASE, description="ML platform: decisions about models"
            ),
        )
        folder = f"s3://{self.audit.bucket_name}/{AUDIT_PREFIX}"
        table = aws_glue.CfnTable(
            self,
            "AuditTable",
            catalog_id=self.account,
            database_name=names.AUDIT_DATABASE,
            table_input=aws_glue.CfnTable.TableInputProperty(
                name=names.AUDIT_TABLE,
                description="One row per decision about a model: who decided what, when, on which bytes",
                table_type="EXTERNAL_TABLE",
                parameters={
                    "classification": "json",
                    "projection.enabled": "true",
                    **{f"projection.{name}.type": "integer" for name in _PARTITIONS},
                    **{f"projection.{name}.range": range_ for name, range_ in _PARTITIONS.items()},
                    **{f"projection.{name}.digits": "2" for name in ("month", "day")},
                    "storage.location.template": f"{folder}{'/'.join(f'{n}=${{{n}}}' for n in _PARTITIONS)}/",
                },
                partition_keys=[aws_glue.CfnTable.ColumnProperty(name=name, type="int") for name in _PARTITIONS],
                storage_descriptor=aws_glue.CfnTable.StorageDescriptorProperty(
                    location=folder,
                    input_format="org.apache.hadoop.mapred.TextInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                    serde_info=aws_glue.CfnTable.SerdeInfoProperty(
                        serialization_library="org.openx.data.jsonserde.JsonSerDe"
                    ),
                    columns=[
                        aws_glue.CfnTable.ColumnProperty(name=name, type=type_) for name, type_ in AUDIT_COLUMNS.items()
                    ],
                ),
            ),
        )
        table.add_resource_dependency(database)

    # ---- the promotion ----------------------------------------------------------------------------------------------

    def _promotion(self) -> aws_lambda.Function:
        logs = platform_logs(self, "PromotionLogs", lines="models, accounts and errors")
        role = aws_iam.Role(
            self,
            "PromotionRole",
            path=names.HUB_ROLE_PATH,
            description="Copies approved models from the accounts of the workloads OU into the central registry",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        logs.grant_write(role)
        for statement in self._read_statements() + self._write_statements():
            role.add_to_policy(statement)
        self._decisions.grant_send_messages(role)  # with the rights on the queue's key that a producer needs
        self._acknowledge_wildcards(role)
        function = add_function(
            self,
            "Promotion",
            PlatformFunction(
                folder="model_promotion",
                purpose="Copies an approved model into the central registry and follows what is decided about it",
                name=names.MODEL_PROMOTION_FUNCTION,
                timeout_s=int(_TIMEOUT.to_seconds()),
                memory_mib=1024,  # a share of the processor for many requests at once; the bytes stay in S3
                hands_on=True,  # HANDOVERS_MAX in lambdas/model_promotion/core.py ends it
                environment={
                    "ARTIFACT_BUCKET": self.models.bucket_name,
                    "ARTIFACT_KEY_ARN": self.models_key.key_arn,
                    "AUDIT_BUCKET": self.audit.bucket_name,
                    "HUB_ACCOUNT_ID": self.account,
                    "QUEUE_URL": self._decisions.queue_url,
                    "READER_ACCOUNT_IDS": ",".join(self.settings.deployment_account_ids),
                    "REGISTRY_REPOSITORY": self.images.repository_name,
                },
            ),
            artifact_bucket=names.artifact_bucket(self.account, self.region),
            role=role,
            log_group=logs,
            findings={
                "CKV_AWS_116": "Its source is a queue, and that has a dead-letter queue with an alarm.",
                "CKV_AWS_173": "Its environment names resources; Lambda encrypts it with its own key.",
            },
        )
        function.add_event_source(
            event_sources.SqsEventSource(
                self._decisions, batch_size=1, max_concurrency=_AT_ONCE, report_batch_item_failures=True
            )
        )
        return function

    def _read_statements(self) -> list[aws_iam.PolicyStatement]:
        """Return what the function reads in other accounts; those accounts' own policies have to allow it as well."""
        place = f"{self.region}:*"
        buckets = f"arn:{Aws.PARTITION}:s3:::{names.PROJECT_RESOURCE_PREFIX}p-*"
        return [
            # Deployment projects have such buckets too, and within an account no bucket policy has to agree.
            aws_iam.PolicyStatement(
                sid="NeverReadProjectsOfTheHub",
                effect=aws_iam.Effect.DENY,
                actions=["s3:*"],
                resources=[f"arn:{Aws.PARTITION}:s3:::{names.PROJECT_RESOURCE_PREFIX}*-{self.account}-*"],
            ),
            _allow(
                "ReadPackages",
                ["sagemaker:DescribeModelPackage"],
                f"arn:{Aws.PARTITION}:sagemaker:{place}:model-package/*",
            ),
            _allow("FindArtifacts", ["s3:ListBucket"], buckets),
            _allow("ReadArtifacts", ["s3:GetObject", "s3:GetObjectAttributes"], f"{buckets}/*"),
            aws_iam.PolicyStatement(
                sid="DecryptArtifacts",
                actions=["kms:Decrypt"],
                resources=[f"arn:{Aws.PARTITION}:kms:{place}:key/*"],
                conditions={"StringEquals": {"kms:ViaService": f"s3.{self.region}.{self.url_suffix}"}},
            ),
            _allow(
                "PullImages",
                ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                f"arn:{Aws.PARTITION}:ecr:{place}:repository/{names.PROJECT_RESOURCE_PREFIX}p-*",
            ),
        ]

    def _write_statements(self) -> list[aws_iam.PolicyStatement]:
        """Return what the function keeps in the hub."""
        registry = f"arn:{Aws.PARTITION}:sagemaker:{self.region}:{self.account}"
        groups, packages = f"{registry}:model-package-group/*", f"{registry}:model-package/*"
        return [
            _allow("FindCopies", ["s3:ListBucket", "s3:ListBucketMultipartUploads"], self.models.bucket_arn),
            _allow(
                "KeepArtifacts",
                ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"],
                self.models.arn_for_objects(f"{PACKAGES_PREFIX}*"),
            ),
            _allow(
                "KeepRecords",
                ["s3:GetObject", "s3:PutObject"],
                *(self.models.arn_for_objects(f"{prefix}*") for prefix in (PROGRESS_PREFIX, PROMOTED_PREFIX)),
            ),
            _allow("AddAuditRecords", ["s3:PutObject"], self.audit.arn_for_objects(f"{AUDIT_PREFIX}*")),
            _allow("UseModelsKey", ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"], self.models_key.key_arn),
            _allow("EncryptAuditRecords", ["kms:DescribeKey", "kms:GenerateDataKey"], self.audit_key.key_arn),
            _allow(
                "KeepImages",
                [
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:CompleteLayerUpload",
                    "ecr:InitiateLayerUpload",
                    "ecr:PutImage",
                    "ecr:UploadLayerPart",
                ],
                self.images.repository_arn,
            ),
            _allow(
                "KeepGroups",
                [
                    "sagemaker:AddTags",
                    "sagemaker:CreateModelPackageGroup",
                    "sagemaker:PutModelPackageGroupPolicy",
                ],
                groups,
            ),
            # IAM's reference decides these on the package; SageMaker also asks for the group of a new version.
            _allow(
                "KeepPackages",
                ["sagemaker:CreateModelPackage", "sagemaker:ListModelPackages", "sagemaker:UpdateModelPackage"],
                groups,
                packages,
            ),
            _allow(
                "KeepCards",
                ["sagemaker:CreateModelCard", "sagemaker:DescribeModelCard", "sagemaker:UpdateModelCard"],
                f"{registry}:model-card/*",
            ),
            # A rejection is passed on; an approval in the hub is somebody's own decision.
            aws_iam.PolicyStatement(
                sid="NeverApprove",
                effect=aws_iam.Effect.DENY,
                actions=["sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"],
                resources=["*"],
                conditions={"StringEquals": {"sagemaker:ModelApprovalStatus": "Approved"}},
            ),
            _allow(
                "ReadAnswers",
                ["codepipeline:ListActionExecutions"],
                f"arn:{Aws.PARTITION}:codepipeline:{self.region}:{self.account}:{names.PROJECT_RESOURCE_PREFIX}*",
            ),
            _allow("TryAgainLater", ["sqs:ChangeMessageVisibility"], self._decisions.queue_arn),
        ]

    def _acknowledge_wildcards(self, role: aws_iam.Role) -> None:
        foreign, own = f"{self.region}:*", f"{self.region}:{self.account}"
        models, audit = (
            self.get_logical_id(cast("CfnElement", b.node.default_child)) for b in (self.models, self.audit)
        )
        theirs = "Accounts of the workloads OU come and go; each decides in its own policies what the hub may read:"
        ours = "The function makes these for every model there will be; nothing else in the hub has any:"
        files = "Keys below this prefix are made of group and version of each model."
        resources = {
            f"arn:<AWS::Partition>:sagemaker:{foreign}:model-package/*": f"{theirs} descriptions of packages.",
            f"arn:<AWS::Partition>:s3:::{names.PROJECT_RESOURCE_PREFIX}p-*": f"{theirs} buckets of projects.",
            f"arn:<AWS::Partition>:s3:::{names.PROJECT_RESOURCE_PREFIX}p-*/*": f"{theirs} artifacts of models.",
            f"arn:<AWS::Partition>:kms:{foreign}:key/*": f"{theirs} keys of projects, and only through S3.",
            f"arn:<AWS::Partition>:ecr:{foreign}:repository/{names.PROJECT_RESOURCE_PREFIX}p-*": (
                f"{theirs} images of models."
            ),
            f"arn:<AWS::Partition>:sagemaker:{own}:model-package-group/*": f"{ours} groups.",
            f"arn:<AWS::Partition>:sagemaker:{own}:model-package/*": f"{ours} packages.",
            f"arn:<AWS::Partition>:sagemaker:{own}:model-card/*": f"{ours} model cards.",
            f"arn:<AWS::Partition>:codepipeline:{own}:{names.PROJECT_RESOURCE_PREFIX}*": (
                f"{ours} deployment pipelines, named by the ids of their projects."
            ),
            f"<{models}.Arn>/{PACKAGES_PREFIX}*": files,
            f"<{models}.Arn>/{PROGRESS_PREFIX}*": files,
            f"<{models}.Arn>/{PROMOTED_PREFIX}*": files,
            f"<{audit}.Arn>/{AUDIT_PREFIX}*": files,
        }
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::{arn}]": why for arn, why in resources.items()})
        acknowledge(
            role,
            {
                f"AwsSolutions-IAM5[Action::kms:{action}*]": (
                    "Granted by the CDK to producers of the queue, on the queue's own key: variants of one action."
                )
                for action in ("GenerateDataKey", "ReEncrypt")
            },
        )


def _allow(sid: str, actions: list[str], *resources: str) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(sid=sid, actions=actions, resources=list(resources))
