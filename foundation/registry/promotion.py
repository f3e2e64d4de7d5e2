"""The function that copies approved models into the hub's registry, and what it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda_event_sources as event_sources

from foundation.registry.events import TIMEOUT_S
from lambdas.model_promotion.environment import PromotionEnvironment
from lambdas.model_promotion.names import APPROVED, AUDIT_PREFIX, PACKAGES_PREFIX, PROGRESS_PREFIX, PROMOTED_PREFIX
from products.shared import names
from products.shared.findings import acknowledge
from products.shared.functions import PlatformFunction, add_function, platform_logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import CfnElement, Stack
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_sqs as sqs

    from foundation.registry.audit_trail import AuditTrail
    from foundation.registry.models import ModelStore

_AT_ONCE: Final = 10  # promotions at the same time; bursts wait in the queue


def add_promotion(
    stack: Stack, *, models: ModelStore, audit: AuditTrail, decisions: sqs.Queue, readers: Sequence[str]
) -> lambda_.Function:
    """Add the function that copies approved models into the registry, and its role.

    Args:
        stack: The stack, to which everything is added.
        models: Where it keeps the copies.
        audit: Where it writes down who decided what.
        decisions: The queue that feeds it.
        readers: Deployment accounts that may read the registry.
    """
    logs = platform_logs(stack, "PromotionLogs", lines="models, accounts and errors")
    role = iam.Role(
        stack,
        "PromotionRole",
        path=names.HUB_ROLE_PATH,
        description="Copies approved models from the accounts of the workloads OU into the central registry",
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
    )
    logs.grant_write(role)
    for statement in (*_reads(stack), *_writes(stack, models, audit, decisions)):
        role.add_to_policy(statement)
    decisions.grant_send_messages(role)  # with the rights on the queue's key that a producer needs
    _acknowledge_wildcards(stack, role, models, audit)
    function = add_function(
        stack,
        "Promotion",
        PlatformFunction(
            folder="model_promotion",
            purpose="Copies an approved model into the central registry and follows what is decided about it",
            name=names.MODEL_PROMOTION_FUNCTION,
            timeout_s=TIMEOUT_S,
            memory_mib=1024,  # a share of the processor for many requests at once; the bytes stay in S3
            hands_on=True,  # HANDOVERS_MAX in lambdas/model_promotion/progress.py ends it
            environment=PromotionEnvironment(
                artifact_bucket=models.bucket.bucket_name,
                artifact_key_arn=models.key.key_arn,
                audit_bucket=audit.bucket.bucket_name,
                hub_account_id=stack.account,
                queue_url=decisions.queue_url,
                reader_account_ids=",".join(readers),
                registry_repository=models.images.repository_name,
            ),
        ),
        artifact_bucket=names.artifact_bucket(stack.account, stack.region),
        role=role,
        log_group=logs,
        findings={
            "CKV_AWS_116": "Its source is a queue, and that has a dead-letter queue with an alarm.",
            "CKV_AWS_173": "Its environment names resources; Lambda encrypts it with its own key.",
        },
    )
    function.add_event_source(
        event_sources.SqsEventSource(decisions, batch_size=1, max_concurrency=_AT_ONCE, report_batch_item_failures=True)
    )
    return function


def _reads(stack: Stack) -> list[iam.PolicyStatement]:
    """Return what the function reads in other accounts; those accounts' own policies have to allow it as well."""
    place = f"{stack.region}:*"
    buckets = f"arn:{Aws.PARTITION}:s3:::{names.PROJECTS_PREFIX}*"
    return [
        # Deployment projects have such buckets too, and within an account no bucket policy has to agree.
        iam.PolicyStatement(
            sid="NeverReadProjectsOfTheHub",
            effect=iam.Effect.DENY,
            actions=["s3:*"],
            resources=[f"arn:{Aws.PARTITION}:s3:::{names.PROJECT_RESOURCE_PREFIX}*-{stack.account}-*"],
        ),
        _allow(
            "ReadPackages",
            ["sagemaker:DescribeModelPackage"],
            f"arn:{Aws.PARTITION}:sagemaker:{place}:model-package/*",
        ),
        _allow("FindArtifacts", ["s3:ListBucket"], buckets),
        _allow("ReadArtifacts", ["s3:GetObject", "s3:GetObjectAttributes"], f"{buckets}/*"),
        iam.PolicyStatement(
            sid="DecryptArtifacts",
            actions=["kms:Decrypt"],
            resources=[f"arn:{Aws.PARTITION}:kms:{place}:key/*"],
            conditions={"StringEquals": {"kms:ViaService": f"s3.{stack.region}.{stack.url_suffix}"}},
        ),
        _allow(
            "PullImages",
            ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            f"arn:{Aws.PARTITION}:ecr:{place}:repository/{names.PROJECTS_PREFIX}*",
        ),
    ]


def _writes(stack: Stack, models: ModelStore, audit: AuditTrail, decisions: sqs.Queue) -> list[iam.PolicyStatement]:
    """Return what the function keeps in the hub."""
    registry = f"arn:{Aws.PARTITION}:sagemaker:{stack.region}:{stack.account}"
    groups, packages = f"{registry}:model-package-group/*", f"{registry}:model-package/*"
    return [
        _allow("FindCopies", ["s3:ListBucket", "s3:ListBucketMultipartUploads"], models.bucket.bucket_arn),
        _allow(
            "KeepArtifacts",
            ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"],
            models.bucket.arn_for_objects(f"{PACKAGES_PREFIX}*"),
        ),
        _allow(
            "KeepRecords",
            ["s3:GetObject", "s3:PutObject"],
            *(models.bucket.arn_for_objects(f"{prefix}*") for prefix in (PROGRESS_PREFIX, PROMOTED_PREFIX)),
        ),
        _allow("AddAuditRecords", ["s3:PutObject"], audit.bucket.arn_for_objects(f"{AUDIT_PREFIX}*")),
        _allow("UseModelsKey", ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"], models.key.key_arn),
        _allow("EncryptAuditRecords", ["kms:DescribeKey", "kms:GenerateDataKey"], audit.key.key_arn),
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
            models.images.repository_arn,
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
        iam.PolicyStatement(
            sid="NeverApprove",
            effect=iam.Effect.DENY,
            actions=["sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"],
            resources=["*"],
            conditions={"StringEquals": {"sagemaker:ModelApprovalStatus": APPROVED}},
        ),
        _allow(
            "ReadAnswers",
            ["codepipeline:ListActionExecutions"],
            f"arn:{Aws.PARTITION}:codepipeline:{stack.region}:{stack.account}:{names.PROJECT_RESOURCE_PREFIX}*",
        ),
        _allow("TryAgainLater", ["sqs:ChangeMessageVisibility"], decisions.queue_arn),
    ]


def _acknowledge_wildcards(stack: Stack, role: iam.Role, models: ModelStore, audit: AuditTrail) -> None:
    foreign, own = f"{stack.region}:*", f"{stack.region}:{stack.account}"
    copies, records = (
        stack.get_logical_id(cast("CfnElement", kept.bucket.node.default_child)) for kept in (models, audit)
    )
    theirs = "Accounts of the workloads OU come and go; each decides in its own policies what the hub may read:"
    ours = "The function makes these for every model there will be; nothing else in the hub has any:"
    files = "Keys below this prefix are made of group and version of each model."
    resources = {
        f"arn:<AWS::Partition>:sagemaker:{foreign}:model-package/*": f"{theirs} descriptions of packages.",
        f"arn:<AWS::Partition>:s3:::{names.PROJECTS_PREFIX}*": f"{theirs} buckets of projects.",
        f"arn:<AWS::Partition>:s3:::{names.PROJECTS_PREFIX}*/*": f"{theirs} artifacts of models.",
        f"arn:<AWS::Partition>:kms:{foreign}:key/*": f"{theirs} keys of projects, and only through S3.",
        f"arn:<AWS::Partition>:ecr:{foreign}:repository/{names.PROJECTS_PREFIX}*": (f"{theirs} images of models."),
        f"arn:<AWS::Partition>:sagemaker:{own}:model-package-group/*": f"{ours} groups.",
        f"arn:<AWS::Partition>:sagemaker:{own}:model-package/*": f"{ours} packages.",
        f"arn:<AWS::Partition>:sagemaker:{own}:model-card/*": f"{ours} model cards.",
        f"arn:<AWS::Partition>:codepipeline:{own}:{names.PROJECT_RESOURCE_PREFIX}*": (
            f"{ours} deployment pipelines, named by the ids of their projects."
        ),
        f"<{copies}.Arn>/{PACKAGES_PREFIX}*": files,
        f"<{copies}.Arn>/{PROGRESS_PREFIX}*": files,
        f"<{copies}.Arn>/{PROMOTED_PREFIX}*": files,
        f"<{records}.Arn>/{AUDIT_PREFIX}*": files,
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


def _allow(sid: str, actions: list[str], *resources: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=actions, resources=list(resources))
