"""On which resources CloudFormation asks for a permission: ARNs of what a template makes, and of what it names.

Which kinds of resources an action works on, and the form of their ARNs, is in the Service Authorization Reference
(`aws_emulator.reference`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from ministack.core.responses import get_account_id, get_region

from aws_emulator import core, inside, reference
from aws_emulator.clock import clock
from aws_emulator.sagemaker.autoscaling import target_arn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aws_emulator.core import Json

Value: TypeAlias = Any
"""A value of a property."""

# ---- kinds of resources ---------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A kind of resource that an action works on: its ARNs, and whether every request of the action names one."""

    arns: re.Pattern[str]
    is_required: bool


@cache
def kinds_of(action: str) -> tuple[Kind, ...] | None:
    """Return the kinds of resources of an action: none without resource level, None if IAM knows no such action."""
    known = reference.canonical(action)
    if known is None:
        return None
    required = reference.required_kinds(known)
    return tuple(Kind(_pattern(form), kind in required) for kind, form in reference.kinds(known).items())


@cache
def _pattern(form: str) -> re.Pattern[str]:
    """Return what matches the ARNs of a form such as ``arn:${Partition}:iam::${Account}:role/${RoleNameWithPath}``."""
    # A bucket's name holds no slash, and with one the ARN is that of an object.
    name = "[^/]+" if form.endswith(":s3:::${BucketName}") else ".+"
    *head, resource = form.split(":", 5)
    parts = [re.sub(r"\\\$\\\{\w+\\\}|\\\*", "[^:]*", re.escape(part)) for part in head]
    return re.compile(":".join([*parts, re.sub(r"\\\$\\\{\w+\\\}|\\\*", name, re.escape(resource))]))


# ---- what a resource is called --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Name:
    """How the ARN of a resource is made.

    Attributes:
        form: ARN without ``arn:aws:``; ``{name}`` stands for the name, other fields for properties.
        given: Property with the name (or a list of them) of what the resource is, or of what it belongs to.
        limit: Longest name that CloudFormation generates if none is given; 0 where the service generates an id.
        lower: Whether ARNs have the name in lower case.
    """

    form: str
    given: str = ""
    limit: int = 0
    lower: bool = False


def _regional(service: str, resource: str, given: str = "", limit: int = 0, *, lower: bool = False) -> Name:
    return Name(form=f"{service}:{{region}}:{{account}}:{resource}", given=given, limit=limit, lower=lower)


_DEFAULTS: Final = {"Path": "/", "EventBusName": "default"}
_BUCKET_POLICY: Final = Name(form="s3:::{name}", given="Bucket")
_FUNCTION: Final = "function:{name}"

NAMES: Final[Mapping[str, Name]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": _regional("application-autoscaling", "scalable-target/{name}"),
    "AWS::ApplicationAutoScaling::ScalingPolicy": _regional("application-autoscaling", "scalable-target/{name}"),
    "AWS::CloudFormation::StackSet": Name(
        # Stack sets with service-managed permissions belong to the management account, whoever administers them:
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStackSet.html (CallAs)
        form="cloudformation:{region}:{management}:stackset/{name}:{id}",
        given="StackSetName",
    ),
    "AWS::CloudWatch::Alarm": _regional("cloudwatch", "alarm:{name}", "AlarmName", 128),
    "AWS::CodeBuild::Project": _regional("codebuild", "project/{name}", "Name", 255),
    "AWS::CodeConnections::Connection": _regional("codeconnections", "connection/{name}"),
    "AWS::CodePipeline::Pipeline": _regional("codepipeline", "{name}", "Name", 100),
    "AWS::DynamoDB::Table": _regional("dynamodb", "table/{name}", "TableName", 255),
    "AWS::EC2::SecurityGroup": _regional("ec2", "security-group/{name}"),
    "AWS::EC2::SecurityGroupEgress": _regional("ec2", "security-group/{name}", "GroupId"),
    "AWS::EC2::SecurityGroupIngress": _regional("ec2", "security-group/{name}", "GroupId"),
    "AWS::ECR::Repository": _regional("ecr", "repository/{name}", "RepositoryName", 256, lower=True),
    "AWS::Events::EventBus": _regional("events", "event-bus/{name}", "Name", 256),
    "AWS::Events::EventBusPolicy": _regional("events", "event-bus/{EventBusName}"),
    "AWS::Events::Rule": _regional("events", "rule/{name}", "Name", 64),
    "AWS::Glue::Database": _regional("glue", "database/{name}", "DatabaseInput.Name", 255, lower=True),
    "AWS::Glue::Table": _regional("glue", "table/{DatabaseName}/{name}", "TableInput.Name", 255),
    "AWS::IAM::ManagedPolicy": Name(form="iam::{account}:policy{Path}{name}", given="ManagedPolicyName", limit=128),
    "AWS::IAM::Role": Name(form="iam::{account}:role{Path}{name}", given="RoleName", limit=64),
    "AWS::KMS::Alias": _regional("kms", "{name}", "AliasName"),
    "AWS::KMS::Key": _regional("kms", "key/{name}"),
    "AWS::Lambda::EventInvokeConfig": _regional("lambda", _FUNCTION, "FunctionName"),
    "AWS::Lambda::EventSourceMapping": _regional("lambda", "event-source-mapping:{name}"),
    "AWS::Lambda::Function": _regional("lambda", _FUNCTION, "FunctionName", 64),
    "AWS::Lambda::Permission": _regional("lambda", _FUNCTION, "FunctionName"),
    "AWS::Logs::LogGroup": _regional("logs", "log-group:{name}", "LogGroupName", 512),
    "AWS::S3::Bucket": Name(form="s3:::{name}", given="BucketName", limit=63, lower=True),
    "AWS::S3::BucketPolicy": _BUCKET_POLICY,
    "AWS::SNS::Subscription": _regional("sns", "{name}", "TopicArn"),
    "AWS::SNS::Topic": _regional("sns", "{name}", "TopicName", 256),
    "AWS::SNS::TopicPolicy": _regional("sns", "{name}", "Topics"),
    "AWS::SQS::Queue": _regional("sqs", "{name}", "QueueName", 80),
    "AWS::SQS::QueuePolicy": _regional("sqs", "{name}", "Queues"),
    "AWS::SSM::Parameter": _regional("ssm", "parameter/{name}", "Name", 1011),
    "AWS::SageMaker::Domain": _regional("sagemaker", "domain/{name}"),
    "AWS::SageMaker::Endpoint": _regional("sagemaker", "endpoint/{name}", "EndpointName", 63, lower=True),
    "AWS::SageMaker::EndpointConfig": _regional(
        "sagemaker", "endpoint-config/{name}", "EndpointConfigName", 63, lower=True
    ),
    "AWS::SageMaker::Model": _regional("sagemaker", "model/{name}", "ModelName", 63, lower=True),
    "AWS::SageMaker::ModelPackageGroup": _regional(
        "sagemaker", "model-package-group/{name}", "ModelPackageGroupName", lower=True
    ),
    "AWS::SageMaker::Pipeline": _regional("sagemaker", "pipeline/{name}", "PipelineName", lower=True),
    "AWS::SageMaker::UserProfile": _regional(
        "sagemaker", "user-profile/{DomainId}/{name}", "UserProfileName", lower=True
    ),
    "AWS::Scheduler::ScheduleGroup": _regional("scheduler", "schedule-group/{name}", "Name", 64),
    "AWS::ServiceCatalog::CloudFormationProduct": _regional("catalog", "product/{name}"),
    "AWS::ServiceCatalog::LaunchRoleConstraint": _regional("catalog", "product/{name}", "ProductId"),
    "AWS::ServiceCatalog::Portfolio": _regional("catalog", "portfolio/{name}"),
    "AWS::ServiceCatalog::PortfolioPrincipalAssociation": _regional("catalog", "portfolio/{name}", "PortfolioId"),
    "AWS::ServiceCatalog::PortfolioProductAssociation": _regional("catalog", "product/{name}", "ProductId"),
    "AWS::ServiceCatalog::TagOptionAssociation": _regional("catalog", "portfolio/{name}", "ResourceId"),
}
"""Of every type that is made with a role: how its ARN is made, from CloudFormation's schemas and the reference."""

_REST: Final[Mapping[str, tuple[str, str]]] = {
    "AWS::ApiGateway::RestApi": ("", "restapis"),
    "AWS::ApiGateway::Authorizer": ("restapis/{RestApiId}/", "authorizers"),
    "AWS::ApiGateway::Deployment": ("restapis/{RestApiId}/", "deployments"),
    "AWS::ApiGateway::Model": ("restapis/{RestApiId}/", "models"),
    "AWS::ApiGateway::RequestValidator": ("restapis/{RestApiId}/", "requestvalidators"),
    "AWS::ApiGateway::Resource": ("restapis/{RestApiId}/", "resources"),
    "AWS::ApiGateway::Stage": ("restapis/{RestApiId}/", "stages"),
    "AWS::ApiGateway::Method": ("restapis/{RestApiId}/resources/{ResourceId}/", "methods"),
}
"""REST APIs are authorised by the path of the request and its verb, of which POST is for the collection:
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-iam-policy-examples.html"""

_NAMED: Final[Mapping[str, str]] = {
    "DomainId": "sagemaker:{region}:{account}:domain/{name}",
    "EndpointConfigName": "sagemaker:{region}:{account}:endpoint-config/{name}",
    "FunctionName": "lambda:{region}:{account}:function:{name}",
    "KMSMasterKeyID": "kms:{region}:{account}:key/{name}",
    "KmsKeyId": "kms:{region}:{account}:key/{name}",
    "KmsMasterKeyId": "kms:{region}:{account}:key/{name}",
    "TargetKeyId": "kms:{region}:{account}:key/{name}",
    "VpcId": "ec2:{region}:{account}:vpc/{name}",
}
"""Properties that name another resource by something else than its ARN."""

_NOT_LOOKED_INTO: Final = re.compile(
    r"(\w*)Polic(y|ies)|\w*PolicyDocument|Environment|EnvironmentVariables|Tags|BuildSpec|Parameters"
)
"""Properties whose ARNs are content: CloudFormation checks no permissions for the resources in them."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of a stack, as CloudFormation makes, changes or deletes it.

    Attributes:
        type: Its type.
        logical_id: Its logical id.
        stack: Name of its stack.
        properties: Its properties, without intrinsic functions.
        tags: Its own tags and those of the stack.
        physical_id: Value of ``Ref``; empty while it is not made.
    """

    type: str
    logical_id: str
    stack: str
    properties: Json
    tags: Mapping[str, str] = field(default_factory=dict)
    physical_id: str = ""


def own_arns(resource: Resource) -> list[str]:
    """Return the ARN of a resource: of several for what belongs to several, of none for a type that has none."""
    if resource.physical_id.startswith("arn:") and resource.type not in {
        "AWS::ServiceCatalog::Portfolio",
        "AWS::SNS::Subscription",
    }:
        return [resource.physical_id]
    if resource.type == "AWS::IAM::Policy":
        return [role_arn(name) for name in resource.properties.get("Roles", [])]
    if resource.type.startswith("AWS::ApplicationAutoScaling::"):
        target = target_arn(*scaling_target(resource.properties)[:2])
        if target:
            return [target]
    name = NAMES.get(resource.type)
    if name is None:
        return []
    return [_arn(name.form, value, resource.properties, lower=name.lower) for value in _names(name, resource)]


def scaling_target(properties: Json) -> tuple[str, str, str]:
    """Return id, dimension and namespace of a scalable target, which a policy can name by its reference."""
    keys = ("ResourceId", "ScalableDimension", "ServiceNamespace")
    named = str(properties.get("ScalingTargetId", "||")).split("|")
    resource, dimension, namespace = (str(properties.get(key, named[at])) for at, key in enumerate(keys))
    return resource, dimension, namespace


def _names(name: Name, resource: Resource) -> list[str]:
    given: Value = resource.properties
    for part in name.given.split(".") if name.given else ():
        given = given.get(part) if isinstance(given, dict) else None
    if given and name.given:
        return [str(value) for value in (given if isinstance(given, list) else [given])]
    if resource.physical_id:
        return [resource.physical_id.rsplit("|", 1)[-1]]
    if not name.limit:
        return [clock.random_id(17)]
    suffix = clock.random_id(12).upper()
    # CloudFormation names projects of CodeBuild by their logical id alone.
    begin = (
        resource.logical_id if resource.type == "AWS::CodeBuild::Project" else f"{resource.stack}-{resource.logical_id}"
    )
    return [begin[: name.limit - len(suffix) - 1] + f"-{suffix}"]


def _arn(form: str, value: str, properties: Mapping[str, Value], *, lower: bool = False) -> str:
    if value.startswith("arn:"):
        return value
    value = urlsplit(value).path.rsplit("/", 1)[-1] if value.startswith("http") else value
    bus = str(properties.get("EventBusName", "default")).rsplit("/", 1)[-1]
    if form.endswith(":rule/{name}") and bus != "default":  # a rule on a bus of its own has the bus in its ARN
        value = f"{bus}/{value}"
    fields = _DEFAULTS | {key: text for key, text in properties.items() if isinstance(text, str)}
    fields |= {
        "name": (value.lower() if lower else value).removeprefix("/" if "parameter/" in form else "\0"),
        "region": get_region(),
        "account": get_account_id(),
        "management": core.organization().management_account,
        "id": clock.random_id(32),
    }
    return f"arn:aws:{form.format_map(fields)}"


def rest_arn(verb: str, resource: Resource) -> str:
    """Return the path on which API Gateway asks for a verb."""
    parent, collection = _REST[resource.type]
    prefix = f"arn:aws:apigateway:{get_region()}::/"
    parent = parent.format_map(resource.properties)
    if verb == "POST":
        return f"{prefix}{parent}{collection}"
    own = str(resource.properties.get("HttpMethod") or resource.physical_id or clock.random_id(10))
    own = own.rsplit("|", 1)[-1]
    return f"{prefix}{parent}{collection}/{own}"


def role_arn(name: str) -> str:
    """Return the ARN of a role of this account, with its path if the role exists."""
    if name.startswith("arn:"):
        return name
    role = inside.iam.roles.get_scoped(get_account_id(), None, name)
    return str(role["Arn"]) if role else f"arn:aws:iam::{get_account_id()}:role/{name}"


def named_arns(resource: Resource) -> list[str]:
    """Return the ARNs of the resources that the properties of a resource name."""
    found = list(_named("", resource.properties))
    if resource.type == "AWS::CloudFormation::StackSet":
        found += _targets(resource.properties)
    return list(dict.fromkeys(found))


def _targets(properties: Json) -> Iterator[str]:
    """Yield the other ARNs on which instances of a stack set are decided: targets, and AWS's own types."""
    prefix = f"arn:aws:cloudformation:{get_region()}:"
    account, stack_set = core.organization().management_account, f"{properties['StackSetName']}:{clock.random_id(32)}"
    for group in properties.get("StackInstancesGroup", []):
        for unit in group["DeploymentTargets"].get("OrganizationalUnitIds", []):
            yield f"{prefix}{account}:stackset-target/{stack_set}/{unit}"
    yield f"{prefix}:type/resource/AWS-IAM-Role"


def _named(key: str, node: Value) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if not _NOT_LOOKED_INTO.fullmatch(name):
                yield from _named(name, value)
        for bucket, found in (("S3Bucket", "S3Key"), ("Bucket", "Key")):
            if isinstance(node.get(bucket), str) and isinstance(node.get(found), str):
                yield f"arn:aws:s3:::{node[bucket]}/{node[found]}"
    elif isinstance(node, list):
        for value in node:
            yield from _named(key, value)
    elif isinstance(node, str) and (arn := _named_by(key, node)):
        yield arn


def _named_by(key: str, text: str) -> str | None:
    """Return the ARN of the resource that a property with a text names; None if it names none."""
    if text.startswith("arn:"):
        # A role is passed by a property that says so; elsewhere its ARN is only text, such as a variable of a build.
        return text if ":role/" not in text or "Role" in key or key == "Credentials" else None
    if text.startswith("s3://"):
        return f"arn:aws:s3:::{text.removeprefix('s3://')}"
    if url := re.match(r"https://(?:s3\.[^/]+/|([a-z0-9-]+)\.s3\.[^/]+)(.+)", text):  # of a template
        return f"arn:aws:s3:::{url[1] or ''}{url[2]}"
    return _arn(_NAMED[key], text, {}) if key in _NAMED and text and not text.startswith("alias/") else None
