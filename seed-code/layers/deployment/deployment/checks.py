"""Checks of rendered templates: cfn-lint, and the rules of the platform in plain functions.

A rule takes a `Subject` and yields sentences; RULES lists them. They are the rules of cdk-nag (AwsSolutions) that
bear on what is deployed here, and those of the accounts: what they refuse anyway is better known before.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from deployment import machines
from deployment.context import Context
from deployment.render import Rendered
from deployment.settings import Build

# Longest names, in characters (service quotas and API references of the services).
_NAMES = {
    "AWS::ApplicationAutoScaling::ScalingPolicy": ("PolicyName", 256),
    "AWS::CloudWatch::Alarm": ("AlarmName", 255),
    "AWS::CloudWatch::CompositeAlarm": ("AlarmName", 255),
    "AWS::Events::Rule": ("Name", 64),
    "AWS::IAM::Role": ("RoleName", 64),
    "AWS::KMS::Alias": ("AliasName", 256),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
    "AWS::S3::Bucket": ("BucketName", 63),
    "AWS::SNS::Topic": ("TopicName", 256),
    "AWS::SQS::Queue": ("QueueName", 80),
    "AWS::SageMaker::Endpoint": ("EndpointName", 63),
    "AWS::SageMaker::EndpointConfig": ("EndpointConfigName", 63),
    "AWS::SageMaker::Model": ("ModelName", 63),
    "AWS::SageMaker::Pipeline": ("PipelineName", 256),
    "AWS::Scheduler::Schedule": ("Name", 64),
}
_ROLE_PATH = "/ml-platform/deployment/"
_BOUNDARY = ":policy/ml-platform-deployment-boundary"


@dataclass(frozen=True)
class Subject:
    """What a rule looks at.

    Attributes:
        build: What the build knows.
        stage: Stage of the template.
        rendered: Template and parameters.
    """

    build: Build
    stage: str
    rendered: Rendered

    @property
    def resources(self) -> Mapping[str, Any]:
        """Resources by logical id."""
        found: Mapping[str, Any] = self.rendered.template["Resources"]
        return found

    def of_type(self, *types: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the logical id and the properties of every resource of some types."""
        for key, entry in self.resources.items():
            if entry["Type"] in types:
                yield key, entry.get("Properties", {})

    def text(self, value: Any) -> str:
        """Return a value as text, with references filled in as far as they are known before deployment."""
        if isinstance(value, (str, int, float)):
            return str(value)
        place = self.build.places[self.stage]
        known = {
            "AWS::AccountId": place.account,
            "AWS::Region": place.region,
            "AWS::Partition": self.build.partition,
            "AWS::StackName": self.build.stack(self.stage),
            "AWS::URLSuffix": "amazonaws.com",
            **{
                key: str(entry.get("Default", ""))
                for key, entry in self.rendered.template.get("Parameters", {}).items()
            },
            **self.rendered.parameters,
        }
        if isinstance(value, dict) and "Ref" in value:
            return known.get(value["Ref"], json.dumps(value))
        if isinstance(value, dict) and "Fn::Sub" in value:
            pattern, more = value["Fn::Sub"], {}
            if isinstance(pattern, list):
                pattern, given = pattern
                more = {key: self.text(entry) for key, entry in given.items()}
            return re.sub(r"\$\{([\w:.]+)\}", lambda found: {**known, **more}.get(found[1], found[0]), str(pattern))
        if isinstance(value, dict) and "Fn::Join" in value:
            separator, parts = value["Fn::Join"]
            return (
                str(separator).join(self.text(part) for part in parts) if isinstance(parts, list) else json.dumps(value)
            )
        return json.dumps(value)


Rule = Callable[[Subject], Iterator[str]]


def problems(context: Context, stage: str, rendered: Rendered, *, lint: bool = True) -> list[str]:
    """Return what is wrong with a rendered template, one sentence each; empty if nothing is.

    Args:
        context: Of the step.
        stage: Stage for which it was rendered.
        rendered: Template and parameters.
        lint: Whether cfn-lint looks at it, besides the rules of the platform. Default: yes.
    """
    found = _lint(rendered.text, context.build.places[stage].region) if lint else ()
    found = (*found, *broken_rules(context, stage, rendered))
    return [f"{rendered.name}: {text}" for text in found]


def broken_rules(context: Context, stage: str, rendered: Rendered) -> list[str]:
    """Return what is wrong with a rendered template by RULES alone, one sentence each."""
    subject = Subject(context.build, stage, rendered)
    return [text for rule in RULES for text in rule(subject)]


def size(subject: Subject) -> Iterator[str]:
    """Yield whether the template is too long for CloudFormation."""
    length = len(subject.rendered.text.encode())
    # The base template makes the bucket from which others come: it has to fit into a request (CloudFormation quotas).
    most = 51_200 if subject.rendered.name == "base" else 1_048_576
    if length > most:
        yield f"the template has {length:,} bytes, CloudFormation takes {most:,}. Make it shorter, or split it."


def names(subject: Subject) -> Iterator[str]:
    """Yield names that are too long, or that the stage may not use."""
    tag = subject.build.tag(subject.stage)
    for key, entry in subject.resources.items():
        attribute, most = _NAMES.get(entry["Type"], ("", 0))
        if not attribute:
            continue
        given = entry.get("Properties", {}).get(attribute)
        if given is None:
            yield f"{key} has no {attribute}. Give it one: the stage may only use what is called mlp-{tag}-…"
            continue
        name = subject.text(given)
        if len(name) > most:
            yield f"{key}: {attribute} {name!r} has {len(name)} characters; {entry['Type']} takes {most}. Shorten it."
        own = (f"mlp-{tag}-", f"{subject.build.endpoint(subject.stage)}")
        if not any(part in name for part in own):
            yield f"{key}: {attribute} {name!r} does not hold mlp-{tag}-, so the stage cannot make it. Rename it."


def roles(subject: Subject) -> Iterator[str]:
    """Yield roles that the account would refuse: without boundary, path or tag, or with somebody else's policies."""
    for key, role in subject.of_type("AWS::IAM::Role"):
        if not subject.text(role.get("PermissionsBoundary")).endswith(_BOUNDARY):
            yield f"{key} has no PermissionsBoundary …{_BOUNDARY}; without it the account refuses the role."
        if role.get("Path") != _ROLE_PATH:
            yield f"{key} has the path {role.get('Path', '/')}; roles of deployments are below {_ROLE_PATH}."
        tags = {entry["Key"]: subject.text(entry["Value"]) for entry in role.get("Tags", [])}
        if tags.get("ml-platform-deployment") != subject.build.tag(subject.stage):
            yield f"{key} lacks the tag ml-platform-deployment with {subject.build.tag(subject.stage)}."
        if role.get("ManagedPolicyArns"):
            yield f"{key} has managed policies; a stage may give its roles inline policies only."


def permissions(subject: Subject) -> Iterator[str]:
    """Yield permissions that reach further than a stage."""
    for key, statement in _statements(subject):
        if statement.get("Effect") != "Allow":
            continue
        whole_account = any(subject.text(principal).endswith(":root") for principal in _principals(statement))
        actions = _list(statement.get("Action"))
        for action in actions:
            if not whole_account and (action == "*" or action.endswith(":*")):
                yield f"{key} allows {action}. Name the actions that are needed."
        if "NotAction" in statement or "NotResource" in statement or "NotPrincipal" in statement:
            yield f"{key} allows everything but something. Name what is allowed."
        if "*" in _list(statement.get("Resource")) and "Principal" not in statement:
            for action in actions:
                if _has_resources(action) and not _limited(statement):
                    yield f"{key} allows {action} on all resources, though it can be limited to some. Name them."
        for principal in _principals(statement):
            if principal == "*" and not statement.get("Condition"):
                yield f"{key} is open to everybody. Name who may use it."


def encryption(subject: Subject) -> Iterator[str]:
    """Yield what would be stored or sent in the clear."""
    for key, bucket in subject.of_type("AWS::S3::Bucket"):
        if "aws:kms" not in json.dumps(bucket.get("BucketEncryption", {})):
            yield f"{key} is not encrypted with a key of the stage. Set BucketEncryption with aws:kms."
        if not _denies_plain_http(subject, key):
            yield f"{key} takes requests without TLS. Add a bucket policy that denies aws:SecureTransport false."
    for key, queue in subject.of_type("AWS::SQS::Queue"):
        if not queue.get("KmsMasterKeyId") and str(queue.get("SqsManagedSseEnabled")).lower() != "true":
            yield f"{key} is not encrypted. Set KmsMasterKeyId, or SqsManagedSseEnabled."
    for key, topic in subject.of_type("AWS::SNS::Topic"):
        if not topic.get("KmsMasterKeyId"):
            yield f"{key} is not encrypted. Set KmsMasterKeyId."
    for key, config in subject.of_type("AWS::SageMaker::EndpointConfig"):
        types = [str(variant.get("InstanceType", "")) for variant in config.get("ProductionVariants", [])]
        if not config.get("KmsKeyId") and any(name and not machines.has_local_storage(name) for name in types):
            yield f"{key} leaves the disks of its instances unencrypted. Set KmsKeyId."
    for key, _ in subject.of_type("AWS::KMS::Key"):
        if subject.resources[key]["Properties"].get("EnableKeyRotation") is not True:
            yield f"{key} is never rotated. Set EnableKeyRotation."


def isolation(subject: Subject) -> Iterator[str]:
    """Yield models that could talk to the internet."""
    for key, model in subject.of_type("AWS::SageMaker::Model"):
        if not model.get("EnableNetworkIsolation"):
            yield f"{key} may open connections while it serves. Set EnableNetworkIsolation."


def public_access(subject: Subject) -> Iterator[str]:
    """Yield what the internet could read or call."""
    wanted = {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    for key, bucket in subject.of_type("AWS::S3::Bucket"):
        block = bucket.get("PublicAccessBlockConfiguration", {})
        if {name for name, value in block.items() if value is True} != wanted:
            yield f"{key} may become public. Set all four parts of PublicAccessBlockConfiguration."
    for key, method in subject.of_type("AWS::ApiGateway::Method"):
        if method.get("AuthorizationType") in (None, "NONE"):
            yield f"{key} may be called by everybody. Set AuthorizationType."


def logging(subject: Subject) -> Iterator[str]:
    """Yield APIs that keep no record of who called them."""
    for key, stage in subject.of_type("AWS::ApiGateway::Stage"):
        if not stage.get("AccessLogSetting"):
            yield f"{key} keeps no access log. Set AccessLogSetting."
    for key, stage in subject.of_type("AWS::ApiGatewayV2::Stage"):
        if not stage.get("AccessLogSettings"):
            yield f"{key} keeps no access log. Set AccessLogSettings."
    for key, group in subject.of_type("AWS::Logs::LogGroup"):
        if not group.get("RetentionInDays"):
            yield f"{key} keeps its log forever. Set RetentionInDays."


RULES: tuple[Rule, ...] = (size, names, roles, permissions, encryption, isolation, public_access, logging)


@functools.cache  # the base template is mostly the same for both stages
def _lint(template: str, region: str) -> tuple[str, ...]:
    """Return the findings of cfn-lint, errors and warnings."""
    import cfnlint.api  # half a second, which only rendering has to spend
    import cfnlint.helpers

    regions = [region] if region in cfnlint.helpers.REGIONS else None
    matches = cfnlint.api.lint(template, regions=regions)
    return tuple(
        f"{'/'.join(map(str, match.path)) or 'template'}: {match.message} (cfn-lint {match.rule.id})"
        for match in matches
        if not match.rule.id.startswith("I")
    )


def _statements(subject: Subject) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every statement of every policy, with the logical id of its resource."""
    for key, entry in subject.resources.items():
        for document in _documents(entry.get("Properties", {})):
            for statement in _branches(document["Statement"]):
                yield key, statement


def _documents(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        if "Statement" in value:
            yield value
        else:
            for member in value.values():
                yield from _documents(member)
    elif isinstance(value, list):
        for member in value:
            yield from _documents(member)


def _branches(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield statements, also those that are there under a condition only."""
    if isinstance(value, list):
        for member in value:
            yield from _branches(member)
    elif isinstance(value, dict) and "Fn::If" in value:
        yield from _branches(value["Fn::If"][1:])
    elif isinstance(value, dict) and "Effect" in value:
        yield value


def _principals(statement: Mapping[str, Any]) -> list[Any]:
    """Return who an Allow statement of a resource is for; services are told apart by their conditions."""
    principal = statement.get("Principal")
    return _list(principal.get("AWS")) if isinstance(principal, dict) else _list(principal)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _limited(statement: Mapping[str, Any]) -> bool:
    """Return whether a condition on tags or names takes the place of resources."""
    keys = json.dumps(statement.get("Condition", {}))
    return any(part in keys for part in ("aws:ResourceTag/", "aws:RequestTag/", "cloudwatch:namespace"))


def _denies_plain_http(subject: Subject, bucket: str) -> bool:
    policies = (policy for _, policy in subject.of_type("AWS::S3::BucketPolicy") if policy["Bucket"] == {"Ref": bucket})
    return any(
        statement["Effect"] == "Deny" and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for policy in policies
        for statement in _branches(policy["PolicyDocument"]["Statement"])
    )


def _has_resources(action: str) -> bool:
    """Return whether IAM can limit an action to resources; one that it does not know is taken to be such."""
    service, _, name = action.partition(":")
    known: Mapping[str, Any] = _actions().get(service, {}).get("Actions", {})
    entries = [entry for key, entry in known.items() if fnmatch.fnmatchcase(key, name.lower())]
    return not entries or any(entry.get("Resources") for entry in entries)


@functools.cache
def _actions() -> Mapping[str, Any]:
    """Return what cfn-lint knows of IAM's actions (AWS service authorization reference)."""
    path = resources.files("cfnlint") / "data" / "AdditionalSpecs" / "Policies.json"
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
