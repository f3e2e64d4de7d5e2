"""What CloudFormation asks for with the rights of whoever launches a template: its caller, or the role it was given.

Derived from the template: the handlers and tags of each resource (CloudFormation's schemas), the types of its
parameters, dynamic references, custom resources and connections. What a schema names and CloudFormation does not ask
for is in one table, `EXCEPTIONS`. The launch and deploy roles and the hub's bootstrap policies are derived from this
module, tests hold every role against it, and the rehearsal's CloudFormation asks for what it says.

It imports neither the CDK nor cfn-lint, so that the environment of the rehearsal can use it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from foundation.handler_permissions import PHASES, SchemaError, handlers, tag_permissions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from foundation.handler_permissions import Phase

Template: TypeAlias = "Mapping[str, Any]"
When: TypeAlias = "Phase | Literal['start']"
"""``start``: before anything is made, at CreateStack, UpdateStack or CreateChangeSet."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """One permission that a template takes.

    Attributes:
        action: As IAM spells it.
        because: What asks for it, for messages.
        kind: Type of the resource or parameter, or ``dynamic reference``.
        logical_id: Of the resource, or of the parameter; empty where it is the template as a whole.
        phase: When it is asked for.
        on: What it is asked on: ``*`` for a request that names no resource, a value of the template (which may hold
            intrinsic functions) for another resource than the one that is made, None for the resource that is made.
    """

    action: str
    because: str
    kind: str
    logical_id: str
    phase: When
    on: Any = field(default=None, compare=False)


# ---- what schemas spell differently, and what is not asked ---------------------------------------------------------

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


WITHOUT_RESOURCE: Final = frozenset({"cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate"})
"""Asked for about a template by its URL or text, before a stack or StackSet exists: such a request names no resource,
although the reference lists some for GetTemplateSummary."""


# ---- what a template takes -----------------------------------------------------------------------------------------

_LOOKED_UP: Final[Mapping[str, str]] = {
    "AWS::EC2::AvailabilityZone::Name": "ec2:DescribeAvailabilityZones",
    "AWS::EC2::Image::Id": "ec2:DescribeImages",
    "AWS::EC2::Instance::Id": "ec2:DescribeInstances",
    "AWS::EC2::KeyPair::KeyName": "ec2:DescribeKeyPairs",
    "AWS::EC2::SecurityGroup::GroupName": "ec2:DescribeSecurityGroups",
    "AWS::EC2::SecurityGroup::Id": "ec2:DescribeSecurityGroups",
    "AWS::EC2::Subnet::Id": "ec2:DescribeSubnets",
    "AWS::EC2::VPC::Id": "ec2:DescribeVpcs",
    "AWS::EC2::Volume::Id": "ec2:DescribeVolumes",
    "AWS::Route53::HostedZone::Id": "route53:GetHostedZone",
}
"""How CloudFormation looks a parameter up in the account by its type: it "validates the values against existing values
in the account" (CloudFormation user guide, "Specify existing resources at runtime", and CDK's ParameterValueType)."""

_TYPE: Final = re.compile(r"AWS::(?!SSM::)\w+::\w+::\w+")
_REFERENCE: Final = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^}]+)\}\}")
_REFERENCE_ACTIONS: Final = {
    "ssm": "ssm:GetParameters",
    "ssm-secure": "ssm:GetParameters",
    "secretsmanager": "secretsmanager:GetSecretValue",
}


def needs(template: Template) -> Iterator[Need]:
    """Yield everything that a template takes, over its whole life, in the order of the template.

    Conditions of resources are not looked at: whoever may make a template may make all of it.

    Args:
        template: The template; CDK's own marker is skipped.

    Raises:
        SchemaError: A type has no usable schema.
    """
    yield from start_needs(template)
    for logical_id, resource in template.get("Resources", {}).items():
        for phase in PHASES:
            yield from resource_needs(logical_id, resource["Type"], resource.get("Properties", {}), phase)


def needed_actions(templates: Iterable[Template]) -> dict[str, frozenset[str]]:
    """Return the actions that templates take over their whole life, each with the types that ask for it, sorted.

    Raises:
        SchemaError: A type has no usable schema.
    """
    needed: dict[str, set[str]] = {}
    for template in templates:
        for need in needs(template):
            needed.setdefault(need.action, set()).add(need.kind)
    return {action: frozenset(kinds) for action, kinds in sorted(needed.items())}


def start_needs(template: Template) -> Iterator[Need]:
    """Yield what is asked for before anything is made: parameters that are looked up, and dynamic references."""
    for name, parameter in template.get("Parameters", {}).items():
        kind = parameter["Type"]
        because = f"parameter {name} of type {kind}"
        if kind.startswith("AWS::SSM::Parameter"):
            yield Need(
                action="ssm:GetParameters", because=because, kind=kind, logical_id=name, phase="start", on={"Ref": name}
            )
        for inner in _TYPE.findall(kind):
            if inner not in _LOOKED_UP:
                raise SchemaError(
                    f"{because}: foundation/caller_permissions.py does not say with which action CloudFormation looks "
                    f"up {inner}: add it to _LOOKED_UP."
                )
            yield Need(action=_LOOKED_UP[inner], because=because, kind=kind, logical_id=name, phase="start", on="*")
    for service, reference in sorted(set(_REFERENCE.findall(json.dumps(template)))):
        yield Need(
            action=_REFERENCE_ACTIONS[service],
            because=f"dynamic reference {{{{resolve:{service}:{reference}}}}}",
            kind="dynamic reference",
            logical_id="",
            phase="start",
            on=reference,
        )


def resource_needs(
    logical_id: str,
    resource_type: str,
    properties: Mapping[str, Any],
    phase: Phase,
    before: Mapping[str, Any] | None = None,
) -> Iterator[Need]:
    """Yield what is asked for when one resource is made, read, changed or deleted.

    Args:
        logical_id: Its logical id.
        resource_type: Its type, custom ones included.
        properties: Its properties, with intrinsic functions or without.
        phase: What happens to it.
        before: Its properties before an update. Default: the same.

    Raises:
        SchemaError: The type has no usable schema.
    """
    if resource_type == "AWS::CDK::Metadata":
        return
    if _is_custom(resource_type):
        if phase != "read":
            yield Need(
                action="lambda:InvokeFunction",
                because=f"{logical_id} ({resource_type}): CloudFormation invokes the function of a custom resource",
                kind=resource_type,
                logical_id=logical_id,
                phase=phase,
                on=properties.get("ServiceToken"),
            )
        return
    before = properties if before is None else before
    for action in sorted(asked(resource_type, phase)):
        if not any(e.applies(properties, before) for e in exceptions_of(action, resource_type)):
            yield Need(
                action=action,
                because=f"{logical_id} ({resource_type}), {phase}",
                kind=resource_type,
                logical_id=logical_id,
                phase=phase,
                on="*" if action in WITHOUT_RESOURCE else None,
            )
    if phase in ("create", "update"):
        if resource_type == "AWS::CodePipeline::Pipeline":
            yield from _connections(logical_id, properties, phase)
        if "TemplateURL" in properties:
            yield Need(
                action="s3:GetObject",
                because=f"{logical_id} ({resource_type}): the template is read from its URL",
                kind=resource_type,
                logical_id=logical_id,
                phase=phase,
                on=properties["TemplateURL"],
            )


def _connections(logical_id: str, properties: Mapping[str, Any], phase: Phase) -> Iterator[Need]:
    """Yield passing the connections of a pipeline: the prefix is that of the ARN, and the schema has the old one only.

    Source: "the service prefix needs to match that of the resource", https://docs.aws.amazon.com/dtconsole/latest/
    userguide/rename.html
    """
    for connection in _values(properties, "ConnectionArn"):
        text = json.dumps(connection)
        known = [p for p in ("codeconnections", "codestar-connections") if f":{p}:" in text]
        for prefix in known or ("codeconnections", "codestar-connections"):
            yield Need(
                action=f"{prefix}:PassConnection",
                because=f"{logical_id} has a connection, whose ARN may have either prefix",
                kind="AWS::CodePipeline::Pipeline",
                logical_id=logical_id,
                phase=phase,
                on=connection,
            )


def exceptions_of(action: str, resource_type: str) -> list[NotAsked]:
    """Return the rows of `EXCEPTIONS` about an action of a type."""
    return [exception for exception in EXCEPTIONS if exception.covers(action, resource_type)]


@cache
def asked(resource_type: str, phase: Phase) -> frozenset[str]:
    """Return the actions of a handler, in IAM's spelling, with those for tags that are elsewhere in the schema.

    Raises:
        SchemaError: The type has no usable schema.
    """
    actions = set(handlers(resource_type)[phase])
    for action in tag_permissions(resource_type):
        is_removal = re.search(r":(Untag|DeleteTags|RemoveTags|Delete\w+Tagging)", action) is not None
        is_read = re.search(r":(List|Get)", action) is not None
        if phase == "update" or (phase == "create" and not is_removal) or (phase == "read" and is_read):
            actions.add(action)
    return frozenset(SPELT.get(action, action) for action in actions)


def _is_custom(resource_type: str) -> bool:
    return resource_type.startswith("Custom::") or resource_type == "AWS::CloudFormation::CustomResource"


def _has(properties: Mapping[str, Any], path: str) -> bool:
    found: Any = properties
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found not in (None, False, [], {})


def _values(node: Any, key: str) -> Iterator[Any]:  # noqa: ANN401 - a template is JSON of any shape
    """Yield every value under a key, at any depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from _values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _values(value, key)


def bare(types: Iterable[str]) -> dict[str, Any]:
    """Return a template with one resource without properties of each type, for what is known by its types only."""
    return {"Resources": {type_: {"Type": type_} for type_ in sorted(types)}}
