"""Where what CloudFormation asks for differs from what its schemas say: other spellings, and permissions not asked for.

It imports neither the CDK nor cfn-lint, so that the environment of the rehearsal can use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SPELT: Final[Mapping[str, str]] = {
    # The schema of AWS::SageMaker::Domain uses the name of the CLI; IAM's prefix of EFS is elasticfilesystem.
    "efs:CreateFileSystem": "elasticfilesystem:CreateFileSystem",
    "efs:DeleteFileSystem": "elasticfilesystem:DeleteFileSystem",
    "efs:DeleteMountTarget": "elasticfilesystem:DeleteMountTarget",
    "efs:DescribeMountTargets": "elasticfilesystem:DescribeMountTargets",
    # S3 asks for the Put… action of a configuration when it is deleted, and some are named otherwise than their
    # operation (S3 user guide, "Required permissions for Amazon S3 API operations").
    "s3:DeleteBucketAnalyticsConfiguration": "s3:PutAnalyticsConfiguration",
    "s3:DeleteBucketCors": "s3:PutBucketCORS",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketMetricsConfiguration": "s3:PutMetricsConfiguration",
    "s3:DeleteBucketReplication": "s3:PutReplicationConfiguration",
    "s3:DeleteBucketTagging": "s3:PutBucketTagging",
    "s3:PutBucketReplication": "s3:PutReplicationConfiguration",
    "s3:PutObjectLockConfiguration": "s3:PutBucketObjectLockConfiguration",
    "iam:ListManagedPolicyTags": "iam:ListPolicyTags",
}
"""Actions that a schema spells differently from IAM."""


@dataclass(frozen=True, kw_only=True)
class NotAsked:
    """Permissions that a schema names and CloudFormation does not ask for.

    Attributes:
        actions: As IAM spells them; ``*`` stands for any characters.
        because: Why, with the source.
        types: Resource types. Default: all.
        unless: Properties with which it is asked for after all, e.g. ``VpcConfig`` or ``TableInput.Parameters``.
        unless_removed: Properties with which it is asked for when an update takes them away.
    """

    actions: tuple[str, ...]
    because: str
    types: frozenset[str] = frozenset()
    unless: tuple[str, ...] = ()
    unless_removed: tuple[str, ...] = ()

    def covers(self, action: str, resource_type: str) -> bool:
        """Return whether it is about an action of a type."""
        return (not self.types or resource_type in self.types) and any(fnmatchcase(action, a) for a in self.actions)

    def applies(self, properties: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
        """Return whether it holds for a resource, whose properties were others before an update."""
        return not any(_has(found, path) for found in (properties, before) for path in self.unless) and not any(
            _has(before, path) and not _has(properties, path) for path in self.unless_removed
        )


def _not_asked(  # a row of the table below
    type_: str, *actions: str, because: str, unless: tuple[str, ...] = (), unless_removed: tuple[str, ...] = ()
) -> NotAsked:
    types = frozenset({f"AWS::{type_}"} if type_ else ())
    return NotAsked(actions=actions, because=because, types=types, unless=unless, unless_removed=unless_removed)


_HANDLERS_LIST: Final = "the schema lists it under `tagging`, and no handler of the type (CloudFormation's schema)"
_NO_ACTION: Final = "the service authorization reference knows no such action"
_OPTION: Final = "an option of the type, asked for with the property only"

EXCEPTIONS: Final[tuple[NotAsked, ...]] = (
    _not_asked("IAM::Role", "iam:ListRoleTags", because=_HANDLERS_LIST),
    _not_asked("Logs::LogGroup", "s3:REST.PUT.OBJECT", because=_NO_ACTION),
    _not_asked("Lambda::Function", "lambda:AssociateRuntimeAlias", because=_NO_ACTION),
    _not_asked("Glue::Table", "lakeformation:CreateTable", because=_NO_ACTION),
    _not_asked("Events::EventBus", "kms:ReEncrypt", because=f"{_NO_ACTION} (kms:ReEncryptFrom and …To are listed too)"),
    # Roles and policies.
    _not_asked(
        "IAM::Role",
        "iam:AttachRolePolicy",
        "iam:DetachRolePolicy",
        because=_OPTION,
        unless=("ManagedPolicyArns",),
    ),
    _not_asked(
        "IAM::Role",
        "iam:DeleteRolePermissionsBoundary",
        because="asked for when an update takes the boundary off",
        unless_removed=("PermissionsBoundary",),
    ),
    _not_asked("IAM::Policy", "iam:*GroupPolicy", because=_OPTION, unless=("Groups",)),
    _not_asked("IAM::Policy", "iam:*UserPolicy", because=_OPTION, unless=("Users",)),
    _not_asked("IAM::ManagedPolicy", "iam:*GroupPolicy", because=_OPTION, unless=("Groups",)),
    _not_asked("IAM::ManagedPolicy", "iam:*UserPolicy", because=_OPTION, unless=("Users",)),
    _not_asked(
        "ServiceCatalog::PortfolioPrincipalAssociation",
        "iam:GetGroup",
        "iam:GetUser",
        because="portfolios are granted to roles; the handler looks up what the ARN names",
    ),
    # Buckets.
    _not_asked(
        "S3::Bucket",
        "s3:CreateBucketMetadataTableConfiguration",
        "s3:DeleteBucketMetadataTableConfiguration",
        "s3:UpdateBucketMetadata*",
        "s3tables:*",
        because=_OPTION,
        unless=("MetadataTableConfiguration", "MetadataConfiguration"),
    ),
    _not_asked(
        "S3::Bucket", "s3:DeleteBucketWebsite", "s3:PutBucketWebsite", because=_OPTION, unless=("WebsiteConfiguration",)
    ),
    _not_asked("S3::Bucket", "s3:PutBucketAcl", "s3:PutObjectAcl", because=_OPTION, unless=("AccessControl",)),
    _not_asked(
        "S3::Bucket",
        "s3:DeleteObject",
        because="listed for create, which has no object to delete; a bucket with objects is not deleted either "
        "(CloudFormation template reference, AWS::S3::Bucket)",
    ),
    # Log groups.
    _not_asked(
        "Logs::LogGroup",
        "logs:CreateLogDelivery",
        "firehose:TagDeliveryStream",
        because="a log group of class DELIVERY, or one whose data protection policy names a delivery stream",
        unless=("LogGroupClass", "DataProtectionPolicy"),
    ),
    _not_asked(
        "Logs::LogGroup",
        "logs:DeleteDataProtectionPolicy",
        "logs:PutDataProtectionPolicy",
        because=_OPTION,
        unless=("DataProtectionPolicy",),
    ),
    _not_asked(
        "Logs::LogGroup",
        "logs:PutIndexPolicy",
        "logs:DeleteIndexPolicy",
        because=_OPTION,
        unless=("FieldIndexPolicies",),
    ),
    _not_asked(
        "Logs::LogGroup",
        "logs:PutResourcePolicy",
        "logs:DeleteResourcePolicy",
        because=_OPTION,
        unless=("ResourcePolicyDocument",),
    ),
    _not_asked(
        "Logs::LogGroup",
        "logs:PutBearerTokenAuthentication",
        because=_OPTION,
        unless=("BearerTokenAuthenticationEnabled",),
    ),
    _not_asked(
        "Logs::LogGroup",
        "logs:PutLogGroupDeletionProtection",
        because=_OPTION,
        unless=("DeletionProtectionEnabled",),
    ),
    # Functions and pipelines.
    _not_asked(
        "Lambda::Function",
        "s3:GetObjectVersion",
        because="asked for a version of the archive (Lambda API reference, CreateFunction: S3ObjectVersion)",
        unless=("Code.S3ObjectVersion",),
    ),
    _not_asked("Lambda::Function", "ec2:*", because=_OPTION, unless=("VpcConfig",)),
    _not_asked("Lambda::Function", "lambda:GetLayerVersion", because=_OPTION, unless=("Layers",)),
    _not_asked("Lambda::Function", "lambda:PassCapacityProvider", because=_OPTION, unless=("CapacityProviderConfig",)),
    _not_asked(
        "Lambda::Function",
        "lambda:DeleteFunctionCodeSigningConfig",
        "lambda:GetCodeSigningConfig",
        "lambda:PutFunctionCodeSigningConfig",
        because=_OPTION,
        unless=("CodeSigningConfigArn",),
    ),
    _not_asked("Lambda::Function", "elasticfilesystem:*", "s3files:*", because=_OPTION, unless=("FileSystemConfigs",)),
    _not_asked(
        "CodePipeline::Pipeline",
        "codepipeline:StartPipelineExecution",
        because=_OPTION,
        unless=("RestartExecutionOnUpdate",),
    ),
    # Work groups.
    _not_asked(
        "Athena::WorkGroup",
        "s3:*",
        "kms:*",
        because="a work group stores where results go and how they are encrypted; they are written and read with the "
        "rights of whoever starts a query (Athena user guide, example-policies-workgroup: managing takes athena alone)",
        unless=("WorkGroupConfiguration.ManagedQueryResultsConfiguration", "WorkGroupConfiguration.ExecutionRole"),
    ),
    _not_asked(
        "Athena::WorkGroup",
        "iam:PassRole",
        "iam:CreateServiceLinkedRole",
        because=_OPTION,
        unless=("WorkGroupConfiguration.ExecutionRole",),
    ),
    # Scaling.
    _not_asked(
        "ApplicationAutoScaling::ScalableTarget",
        "lambda:*ProvisionedConcurrencyConfig",
        because="for targets that are functions; ours are variants of endpoints (ServiceNamespace sagemaker)",
    ),
    _not_asked(
        "ApplicationAutoScaling::ScalingPolicy",
        "cloudwatch:GetMetricData",
        because=f"{_OPTION}: predictive scaling",
        unless=("PredictiveScalingPolicyConfiguration",),
    ),
    # Products.
    _not_asked(
        "ServiceCatalog::CloudFormationProduct",
        "codestar-connections:*",
        because=f"{_OPTION}: a product that is synchronised with a repository",
        unless=("SourceConnection",),
    ),
    _not_asked(
        "ServiceCatalog::CloudFormationProduct",
        "cloudformation:GetTemplate",
        because="for a product made of an existing stack (ImportFromPhysicalId); ours are made of templates by URL "
        "(Service Catalog API, ProvisioningArtifactProperties)",
    ),
    # Tables.
    _not_asked(
        "DynamoDB::Table",
        "dynamodb:AssociateTableReplica",
        "dynamodb:CreateTableReplica",
        "dynamodb:BatchWriteItem",
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
        because="the data of replicas: a type of its own makes them (AWS::DynamoDB::GlobalTable)",
    ),
    _not_asked(
        "DynamoDB::Table",
        "dynamodb:DescribeImport",
        "dynamodb:ImportTable",
        "s3:GetObject",
        "s3:GetObjectMetadata",
        because=_OPTION,
        unless=("ImportSourceSpecification",),
    ),
    _not_asked(
        "DynamoDB::Table",
        "dynamodb:DisableKinesisStreamingDestination",
        "dynamodb:EnableKinesisStreamingDestination",
        "dynamodb:UpdateKinesisStreamingDestination",
        "iam:CreateServiceLinkedRole",
        "kinesis:*",
        because=_OPTION,
        unless=("KinesisStreamSpecification",),
    ),
    _not_asked(
        "Glue::Database",
        "glue:*Connection",
        because=_OPTION,
        unless=("DatabaseInput.FederatedDatabase",),
    ),
    _not_asked(
        "Glue::Table",
        "glue:PassConnection",
        because="tables of federated databases have a connection; ours are files in S3",
    ),
    _not_asked(
        "Glue::Table",
        "s3:GetObject",
        "s3:PutObject",
        because=f"{_OPTION}: the metadata of an Iceberg table, which Glue writes to its location",
        unless=("OpenTableFormatInput",),
    ),
    _not_asked(
        "Glue::Table",
        "glue:GetSchemaVersion",
        because=_OPTION,
        unless=("TableInput.StorageDescriptor.SchemaReference",),
    ),
)
"""What schemas name and CloudFormation does not ask for."""


def exceptions_of(action: str, resource_type: str) -> list[NotAsked]:
    """Return the rows of `EXCEPTIONS` about an action of a type."""
    return [exception for exception in EXCEPTIONS if exception.covers(action, resource_type)]


def _has(properties: Mapping[str, Any], path: str) -> bool:
    found: Any = properties
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found not in (None, False, [], {})
