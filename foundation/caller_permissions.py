"""What CloudFormation asks for with the rights of whoever launches a template: its caller, or the role it was given.

Derived from the template: the handlers and tags of each resource (CloudFormation's schemas), the types of its
parameters, dynamic references, custom resources and connections. What a schema names and CloudFormation does not ask
for is in one table, `foundation.caller_exceptions`. The launch and deploy roles and the hub's bootstrap policies are
derived from this module, tests hold every role against it, and the rehearsal's CloudFormation asks for what it says.

It imports neither the CDK nor cfn-lint, so that the environment of the rehearsal can use it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from foundation.caller_exceptions import SPELT, exceptions_of
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


WITHOUT_RESOURCE: Final = frozenset({"cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate"})
"""Asked for about a template by its URL or text, before a stack or StackSet exists: such a request names no resource,
although the reference lists some for GetTemplateSummary."""


LOOKED_UP: Final[Mapping[str, str]] = {
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
            if inner not in LOOKED_UP:
                raise SchemaError(
                    f"{because}: foundation/caller_permissions.py does not say with which action CloudFormation looks "
                    f"up {inner}: add it to LOOKED_UP."
                )
            yield Need(action=LOOKED_UP[inner], because=because, kind=kind, logical_id=name, phase="start", on="*")
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
