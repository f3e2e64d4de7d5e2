"""Whose permissions CloudFormation uses: its caller's, or those of the role that a stack was given.

Before a resource is made, changed or deleted, every permission that its type asks for is decided for that principal, on
the resource's own ARN and with the keys of such a request. What types ask for is data that the process which starts the
emulator hands over (`Organization.permissions`): the same table from which the roles are derived. Sources:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html and, for stacks without such a
role, https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html
"""

from __future__ import annotations

import contextvars
import json
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region

from aws_emulator import core, inside, reference
from aws_emulator.cloudformation.asked import table
from aws_emulator.cloudformation.resources import OURS
from aws_emulator.cloudformation.stack_arns import (
    Resource,
    kinds_of,
    named_arns,
    own_arns,
    rest_arn,
    scaling_target,
)
from aws_emulator.cloudformation.stacks import service_role
from aws_emulator.iam.permissions import is_administrator, refusal
from aws_emulator.inside import replaces
from aws_emulator.schemas import tag_property

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from aws_emulator.cloudformation.resources import Made
    from aws_emulator.core import Json

Value: TypeAlias = Any

_SERVICE: Final = "cloudformation.amazonaws.com"
_SESSION: Final = "AWSCloudFormation"
_log: Final = logging.getLogger(__name__)


# ---- what is asked for ----------------------------------------------------------------------------------------------


def _asked(actor: Actor, resource: Resource, phases: Sequence[str], before: Json) -> list[str]:
    """Return the actions that are asked for.

    Raises:
        core.ServiceError: The table has no such type.
    """
    known = table()
    if (known is None or resource.type not in known.asked) and is_administrator(actor.access_key):
        return []
    if resource.type.startswith("Custom::") or resource.type == "AWS::CloudFormation::CustomResource":
        return ["lambda:InvokeFunction"]
    if known is None or resource.type not in known.asked:
        raise core.ServiceError(
            "InternalFailure",
            f"no permissions are known for {resource.type}: add them to the file `permissions` of the configuration",
        )
    asked = dict.fromkeys(action for phase in phases for action in known.asked[resource.type][phase])
    if "TemplateURL" in resource.properties and "delete" not in phases:
        asked["s3:GetObject"] = None  # the template is read from there
    return [action for action in asked if not any(row.applies(action, resource, before) for row in known.exceptions)]


# ---- requests -------------------------------------------------------------------------------------------------------


class Request(NamedTuple):
    """A permission to decide: an action, on what (None: on anything), with which condition keys.

    `policy` is that of the resource, where it is only made with it.
    """

    action: str
    arn: str | None
    keys: dict[str, Value]
    policy: Json | None = None


_SERVICES: Final[Mapping[str, str]] = {"ApplicationAutoScaling": "application-autoscaling"}
"""Services whose principal is not the name that types have, in lower case."""
_LINKED_ROLES: Final[Mapping[str, str]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": "{ServiceNamespace}.application-autoscaling.amazonaws.com",
    "AWS::SageMaker::Domain": "sagemaker.amazonaws.com",
}
"""Service that gets a service-linked role with the first resource of a type."""
_MAKES: Final = re.compile(
    r".*:(Create|Register|TagResource|TagRole|TagQueue|AddTags|PutRule$|PutMetricAlarm$|PutParameter$)"
)
"""Actions that make a resource, or tag it while it is made: at that time it has no tags."""
_TAGS: Final = re.compile(r".*:(Tag|AddTags|CreateTags|PutBucketTagging)")
_CONNECTION: Final = re.compile(r"arn:aws:code(star-)?connections:")
_UNTAGS: Final = re.compile(r".*:(Untag|RemoveTags|DeleteTags)")


def _requests(resource: Resource, phase: str, actions: Iterable[str], before: Resource | None) -> Iterator[Request]:
    own = own_arns(resource)
    named = named_arns(resource)
    known = table()
    for action in actions:
        found = ["*"] if known and action in known.without_resource else _arns(action, resource, own, named)
        for arn in found:
            keys = _keys(action, resource, phase, before, arn, is_own=arn in own)
            policy = resource.properties.get("KeyPolicy") if arn in own and phase == "create" else None
            if action in {"iam:AttachRolePolicy", "iam:DetachRolePolicy"}:
                for attached in _attached(resource, before):
                    yield Request(action, arn, {**keys, "iam:PolicyARN": attached})
            else:
                yield Request(_in_name_of(action, arn), arn, keys, policy)


def _arns(action: str, resource: Resource, own: Sequence[str], named: Sequence[str]) -> list[str | None]:
    """Return on what an action is asked for; None stands for a resource that nothing here names."""
    found = _special(action, resource)
    if found is not None:
        return found
    found = []
    for kind in kinds_of(action) or ():
        # Tags are those of the resource itself, whatever else it names.
        among = own if own and "Tag" in action else (*own, *named)
        matches: list[str | None] = [arn for arn in dict.fromkeys(among) if kind.arns.fullmatch(arn)]
        if matches or kind.is_required:
            found += matches or [None]
    if action.endswith("Connection") and not any(found):  # asked with the prefix that the ARN has, see _in_name_of
        found = [arn for arn in named if _CONNECTION.match(arn)]
    if action == "iam:PassRole":  # no request: a role that is passed is looked at, and without one there is nothing
        return [arn for arn in found if arn]
    if action.startswith("logs:") and "Tag" not in action:
        # The ARN of a log group ends in ":*" in policies, because requests are checked with the stream behind the name.
        found = [f"{arn}:log-stream:" if arn else None for arn in found]
    return list(dict.fromkeys(found)) or [None]


def _special(action: str, resource: Resource) -> list[str | None] | None:
    """Return on what an action is asked for whose ARN does not follow from the reference; None if it does."""
    service, _, operation = action.partition(":")
    if service == "apigateway":
        return [rest_arn(operation, resource)]
    if action == "lambda:InvokeFunction":
        return [str(resource.properties["ServiceToken"])]
    if action == "iam:CreateServiceLinkedRole" and resource.type in _LINKED_ROLES:
        return [f"arn:aws:iam::{get_account_id()}:role/aws-service-role/{_linked(resource)}/AWSServiceRole"]
    if action == "logs:DescribeLogGroups":  # decided on the account's log groups, although the reference lists no kind
        return [core.arn("logs", "log-group::log-stream:")]
    kinds = kinds_of(action)
    if kinds is None:  # not an action of IAM, so nothing is checked
        return []
    return None if kinds else ["*"]


def _in_name_of(action: str, arn: str | None) -> str:
    """Return an action on a connection with the prefix of its ARN.

    "The service prefix needs to match that of the resource":
    https://docs.aws.amazon.com/dtconsole/latest/userguide/rename.html
    """
    if arn and _CONNECTION.match(arn):
        return f"{arn.split(':')[2]}:{action.partition(':')[2]}"
    return action


def _linked(resource: Resource) -> str:
    return _LINKED_ROLES[resource.type].format_map(resource.properties)


def _attached(resource: Resource, before: Resource | None) -> list[str]:
    """Return the managed policies that a role gets or loses."""
    if resource.type == "AWS::IAM::ManagedPolicy":
        return own_arns(resource)
    old = before.properties if before else {}
    return list(dict.fromkeys((*resource.properties.get("ManagedPolicyArns", []), *old.get("ManagedPolicyArns", []))))


def _keys(
    action: str, resource: Resource, phase: str, before: Resource | None, arn: str | None, *, is_own: bool
) -> dict[str, Value]:
    """Return the condition keys of a request, as far as the reference lists them for its action."""
    service = resource.type.split("::")[1]
    name = _SERVICES.get(service, service.lower())
    _, dimension, namespace = scaling_target(resource.properties)
    keys: dict[str, Value] = {
        "iam:PermissionsBoundary": _boundary(action, resource, arn),
        "iam:PassedToService": f"{name}.amazonaws.com",
        "iam:AWSServiceName": _linked(resource) if resource.type in _LINKED_ROLES else None,
        "kms:GrantIsForAWSResource": "true",
        "kms:ViaService": None if service == "KMS" else f"{name}.{get_region()}.amazonaws.com",
        "application-autoscaling:service-namespace": namespace or None,
        "application-autoscaling:scalable-dimension": dimension or None,
        "sagemaker:VpcSubnets": resource.properties.get("SubnetIds"),
    }
    old = dict(before.tags) if before else {}
    if _UNTAGS.match(action):
        keys["aws:TagKeys"] = [key for key in old if key not in resource.tags] or None
    elif phase == "create" or _TAGS.match(action):
        keys |= {f"aws:RequestTag/{key}": value for key, value in resource.tags.items()}
        keys["aws:TagKeys"] = list(resource.tags) or None
    if is_own and (phase != "create" or not _MAKES.match(action)):
        present = old if before else resource.tags
        keys |= {f"{prefix}:ResourceTag/{key}": value for prefix in ("aws", "iam") for key, value in present.items()}
    return {key: value for key, value in keys.items() if value is not None and reference.carries(action, key)}


def _boundary(action: str, resource: Resource, arn: str | None) -> str | None:
    """Return the permissions boundary that a role has, or gets where that is what is asked for."""
    role = (
        inside.iam.roles.get_scoped(get_account_id(), None, arn.rsplit("/", 1)[-1]) if arn and ":role/" in arn else None
    )
    if resource.type == "AWS::IAM::Role" and (role is None or action == "iam:PutRolePermissionsBoundary"):
        role = resource.properties
    found = (role or {}).get("PermissionsBoundary")
    return str(found) if found else None


# ---- deciding -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Actor:
    """The principal as which CloudFormation works on a stack.

    Attributes:
        access_key: Key of a session.
        arn: Its ARN, as STS shows it.
        is_forwarded: Whether it is the caller's own session: only then do requests say that they came through
            CloudFormation (``aws:CalledVia`` is not there for a service role:
            https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html).
    """

    access_key: str
    arn: str
    is_forwarded: bool


_actor: Final[contextvars.ContextVar[Actor | None]] = contextvars.ContextVar("cloudformation_actor", default=None)


def _actor_of(stack_name: str) -> Actor | None:
    """Return the principal as which a stack is worked on; None for the account's root, which is allowed everything."""
    role = service_role(stack_name)
    if role:
        session = core.role_session(role, _SESSION)
        arn = f"arn:aws:sts::{get_account_id()}:assumed-role/{role.rsplit('/', 1)[-1]}/{_SESSION}"
        return Actor(access_key=session.access_key, arn=arn, is_forwarded=False)
    key = inside.iam_evaluator.verified_key.get()
    if not key or iam_evaluator.is_root_access_key(key):
        return None
    return Actor(access_key=key, arn=iam_evaluator.caller_arn(), is_forwarded=True)


def _decide(actor: Actor, requests: Iterable[Request]) -> None:
    """Let CloudFormation's work on a resource fail if its principal lacks permissions; all of them are named.

    Raises:
        core.ServiceError: One is lacking.
    """
    via = {"aws:CalledVia": [_SERVICE], "aws:ViaAWSService": "true"} if actor.is_forwarded else {}
    lacking = [
        text
        for request in requests
        if (
            text := refusal(
                actor.access_key, request.action, request.arn, {**request.keys, **via}, policy=request.policy
            )
        )
    ]
    if lacking:
        raise core.ServiceError("AccessDenied", "; ".join(dict.fromkeys(lacking)), 403)


def _check(resource: Resource, phase: str, before: Resource | None = None) -> None:
    actor = _actor.get()
    if actor is None:
        return
    phases = {"create": ("create", "read"), "update": ("update", "read")}.get(phase, (phase,))
    actions = _asked(actor, resource, phases, before.properties if before else resource.properties)
    try:
        _decide(actor, _requests(resource, phase, actions, before))
    except core.ServiceError as error:
        raise RuntimeError(
            f'Resource handler returned message: "{error.message}" (HandlerErrorCode: AccessDenied)'
        ) from error


def _resource(type_: str, logical_id: str, properties: Json, stack: str, physical_id: str = "") -> Resource:
    """Return a resource; its properties hold the tags of the stack already, unless it is deleted."""
    known = table()
    key = tag_property(type_) if known and type_ in known.asked else None
    tags = inside.provisioners.tag_map(properties.get(key)) if key else {}
    return Resource(
        type=type_,
        logical_id=logical_id,
        stack=stack,
        properties=properties,
        tags={name: value for name, value in tags.items() if not name.startswith("aws:")},
        physical_id=physical_id,
    )


@replaces(inside.stacks, "provision_resource")
def _provision(provision: Callable[..., Made], type_: str, logical_id: str, properties: Json, stack: str) -> Made:
    _check(_resource(type_, logical_id, properties, stack), "create")
    return provision(type_, logical_id, properties, stack)


@replaces(inside.stacks, "update_resource")
def _update(  # noqa: PLR0917 - MiniStack's signature
    update: Callable[..., Made],
    type_: str,
    physical_id: str,
    old: Json,
    new: Json,
    stack: str,
    logical_id: str | None = None,
    attributes: Json | None = None,
) -> Made:
    if old != new:
        before = _resource(type_, logical_id or "", old, stack, physical_id)
        if inside.provisioners.replacing_change(type_, old, new):
            _check(_resource(type_, logical_id or "", new, stack), "create")
        else:
            _check(_resource(type_, logical_id or "", new, stack, physical_id), "update", before)
    return update(type_, physical_id, old, new, stack, logical_id, attributes)


@replaces(inside.stacks, "delete_resource")
def _delete(  # noqa: PLR0917 - MiniStack's signature
    delete: Callable[..., None],
    type_: str,
    physical_id: str,
    properties: Json,
    stack: str | None = None,
    logical_id: str | None = None,
) -> None:
    found = inside.cloudformation.stacks.get(stack) or {}
    place = found.get("Tags") or [], stack or "", found.get("StackId", ""), logical_id or ""
    tagged = inside.stacks.with_stack_tags(type_, properties, *place)
    _check(_resource(type_, logical_id or "", tagged, stack or "", physical_id), "delete")
    delete(type_, physical_id, properties, stack, logical_id)


@replaces(inside.stacks, "resolve_dynamic_references")
def _resolve(resolve: Callable[..., Json], properties: Json, *arguments: object, **options: object) -> Json:
    actor = _actor.get()
    names = set(re.findall(r"\{\{resolve:ssm(?:-secure)?:([^}:]+)", json.dumps(properties, default=str)))
    if actor and names:
        arns = (core.arn("ssm", f"parameter/{name.removeprefix('/')}") for name in sorted(names))
        try:
            _decide(actor, (Request("ssm:GetParameters", arn, {}) for arn in arns))
        except core.ServiceError as error:
            raise RuntimeError(error.message) from error
    return resolve(properties, *arguments, **options)


@replaces(inside.stacks, "deploy_stack_async", everywhere=True)
@replaces(inside.stacks, "delete_stack_async", everywhere=True)
@replaces(inside.stacks, "roll_back_operation", everywhere=True)
@replaces(inside.stacks, "continue_update_rollback_async", everywhere=True)
async def _work(work: Callable[..., Awaitable[None]], stack_name: str, *arguments: object, **options: object) -> None:
    """Remember the principal of a stack while MiniStack works on it."""
    actor = _actor_of(stack_name)
    _actor.set(actor)
    if actor and not actor.is_forwarded:  # so that further checks of services are made for the role
        inside.iam_evaluator.verified_key.set(actor.access_key)
        inside.iam_evaluator.request_caller_arn.set(actor.arn)
    await work(stack_name, *arguments, **options)


def install() -> None:
    """Let the tags of a stack reach all types that take tags: MiniStack's own list of them has gaps.

    Called when all types are registered. Source: `tagging` of CloudFormation's schemas, and
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-resource-tags.html
    """
    known = table()
    candidates = {*OURS, *(known.asked if known else ())} - inside.provisioners.STACK_TAG_PROPERTY.keys()
    missing = {type_: tags for type_ in candidates if (tags := tag_property(type_))}
    inside.provisioners.STACK_TAG_PROPERTY.update({type_: (tags, "list") for type_, tags in missing.items()})

    @replaces(inside.stacks, "with_stack_tags")
    def tagged(original: Callable[..., Json], type_: str, properties: Json, *place: object) -> Json:
        found = original(type_, properties, *place)
        if type_ in missing:  # without the tags that CloudFormation adds by itself, which not every service takes
            key = missing[type_]
            found[key] = [tag for tag in found[key] if not tag["Key"].startswith("aws:")]
            found = found if found[key] else properties
        return found
