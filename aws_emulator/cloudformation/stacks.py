"""CloudFormation: what MiniStack evaluates differently from AWS, and the answer URL of custom resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ministack.core.responses import get_region

from aws_emulator import inside
from aws_emulator.clock import random_id
from aws_emulator.cloudformation.parameters import in_the_name_of
from aws_emulator.cloudformation.resources import complete, physical_name
from aws_emulator.core import Records, ServiceError
from aws_emulator.iam.callers import authorize, require_trust

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_emulator.core import Json, Reply

_SERVICE: Final = "cloudformation.amazonaws.com"

Node: TypeAlias = Any
"""A part of a template."""

_CONDITION_FUNCTIONS: Final = ("Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals", "Condition")


def _evaluated(
    original: Callable[[Json, Json], dict[str, bool]],
) -> Callable[[Json, Json], dict[str, bool]]:
    """Evaluate conditions with every intrinsic function that AWS allows in them.

    MiniStack takes pseudo-parameters and ``Fn::Sub``, ``Fn::Join``, ``Fn::FindInMap`` inside ``Conditions`` for false,
    so that resources vanish without a word. Source:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-conditions.html
    """

    def evaluate(template: Json, parameters: Json) -> dict[str, bool]:
        mappings = template.get("Mappings") or {}

        def resolve(node: Node) -> Node:
            if isinstance(node, list):
                return [resolve(entry) for entry in node]
            if not isinstance(node, dict) or len(node) != 1:
                return node
            (name,) = node
            if name in _CONDITION_FUNCTIONS:
                return {name: resolve(node[name])}
            value = inside.engine.resolve_refs(node, {}, parameters or {}, {}, mappings, "", "")
            return ",".join(value) if isinstance(value, list) else value

        conditions = {name: resolve(node) for name, node in (template.get("Conditions") or {}).items()}
        return original({**template, "Conditions": conditions}, parameters)

    return evaluate


def _install_conditions() -> None:
    inside.engine.replace_everywhere("evaluate_conditions", _evaluated(inside.engine.evaluate_conditions))


def stack_failure(events: list[Mapping[str, Any]]) -> str:
    """Return why a stack failed: the first reason of a resource in its events (newest first, as the API has them)."""
    reasons = [
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason")
    ]
    return reasons[0] if reasons else "no reason was given"


# ---- templates that do not fit into a request ------------------------------------------------------------------------

_STAGED_HOST: Final = "staged-template.invalid"
_staged: Final[dict[str, str]] = {}


def stage_template(text: str) -> str:
    """Return a TemplateURL for a template that a service read by itself; it is good for one use."""
    name = random_id(32)
    _staged[name] = text
    return f"https://{_STAGED_HOST}/{name}"


def _install_staged_templates() -> None:
    original = inside.helpers.resolve_document

    def resolve(parameters: Json, body_key: str, url_key: str, label: str) -> tuple[str | None, Node]:
        url = (parameters.get(url_key) or [""])[0]
        if isinstance(url, str) and _STAGED_HOST in url:
            return _staged.pop(url.rsplit("/", 1)[1]), None
        found: tuple[str | None, Node] = original(parameters, body_key, url_key, label)
        return found

    inside.helpers.resolve_document = resolve


# ---- service roles --------------------------------------------------------------------------------------------------

_service_roles: Final = Records()
"""Roles with which stacks were made: CloudFormation keeps using them until it is told another."""


def service_role(stack_name: str) -> str | None:
    """Return the ARN of the role with which CloudFormation works on a stack; None for the permissions of its caller."""
    role: str | None = _service_roles.get(stack_name)
    return role


def _checks_role(operation: Callable[[Json], Reply], *, creates: bool) -> Callable[[Json], Reply]:
    """Let an operation on a stack fail when the caller may not pass its service role, or the role is not to be had.

    What the role may do is looked at for every resource (`aws_emulator.cloudformation.stack_roles`). Source:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
    """

    def checked(parameters: Json) -> Reply:
        stack = (parameters.get("StackName") or [""])[0]
        name = stack.split("/")[1] if stack.startswith("arn:") else stack
        given = (parameters.get("RoleARN") or [""])[0]
        if creates:
            _service_roles.pop(name, None)
        role = given or _service_roles.get(name)
        try:
            if given:
                authorize("iam:PassRole", given, context={"iam:PassedToService": _SERVICE})
        except ServiceError as error:
            refused: Reply = inside.helpers.error("AccessDenied", error.message, 403)
            return refused
        try:
            if role:
                require_trust(role, _SERVICE)
        except ServiceError:
            invalid: Reply = inside.helpers.error("ValidationError", f"Role {role} is invalid or cannot be assumed")
            return invalid
        with in_the_name_of(role):
            answer = operation(parameters)
        if given and answer[0] == 200:
            _service_roles[name] = given
        return answer

    return checked


def _install_service_roles() -> None:
    actions = inside.cloudformation.ACTION_HANDLERS
    for name in ("CreateStack", "UpdateStack", "DeleteStack", "CreateChangeSet"):
        actions[name] = _checks_role(actions[name], creates=name == "CreateStack")


# ---- first deployments that failed ---------------------------------------------------------------------------------


def _install_failed_stacks() -> None:
    """Keep the name of a stack whose creation was rolled back taken until somebody deletes it.

    MiniStack creates another one in its place. Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/
    view-stack-events.html (ROLLBACK_COMPLETE: only a delete operation can be performed).
    """
    create = inside.cloudformation.ACTION_HANDLERS["CreateStack"]

    def created(parameters: Json) -> Reply:
        name = (parameters.get("StackName") or [""])[0]
        answer: Reply
        if (inside.cloudformation.stacks.get(name) or {}).get("StackStatus") == "ROLLBACK_COMPLETE":
            answer = inside.helpers.error("AlreadyExistsException", f"Stack [{name}] already exists")
        else:
            answer = create(parameters)
        return answer

    inside.cloudformation.ACTION_HANDLERS["CreateStack"] = created


def _keep_boundary(role: str, properties: Json) -> None:
    """Give a role the permissions boundary of its template."""
    inside.iam.roles[role]["PermissionsBoundary"] = properties.get("PermissionsBoundary")


def _install_generated_names() -> None:
    """Let names that are generated differ between regions: roles of one stack in two regions are not the same role.

    MiniStack makes them of stack and logical id alone. Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/
    TemplateReference/aws-properties-name.html (the id is unique, so that stacks can be reused in several regions).
    """
    generate, seed = inside.provisioners.physical_name, inside.provisioners.NAME_SEED

    def generated(stack: str, logical_id: str, **options: Any) -> str:  # noqa: ANN401 - as MiniStack has it
        token = seed.set(f"{get_region()}/{seed.get()}")
        try:
            return str(generate(stack, logical_id, **options))
        finally:
            seed.reset(token)

    inside.provisioners.physical_name = generated


def _install_names_of_log_groups() -> None:
    """Name log groups without a name after stack and logical id, so that policies for the stack's names reach them.

    MiniStack puts them below ``/aws/cloudformation/``. Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/
    TemplateReference/aws-properties-name.html (an id that CloudFormation makes of both).
    """
    handlers = inside.provisioners.RESOURCE_HANDLERS["AWS::Logs::LogGroup"]
    create, update = handlers["create"], handlers["update"]

    def named(properties: Json, name: str) -> Json:
        return {**properties, "LogGroupName": properties.get("LogGroupName") or name}

    def created(logical_id: str, properties: Json, stack: str) -> tuple[str, Json]:
        name = physical_name(properties, "LogGroupName", logical_id, stack, limit=512)
        made: tuple[str, Json] = create(logical_id, named(properties, name), stack)
        return made

    def updated(physical_id: str, old: Json, new: Json, *place: str) -> tuple[str, Json]:
        made: tuple[str, Json] = update(physical_id, named(old, physical_id), named(new, physical_id), *place)
        return made

    handlers["create"], handlers["update"] = created, updated


def install() -> None:
    """Change what differs."""
    _install_conditions()
    _install_service_roles()
    _install_failed_stacks()
    complete("AWS::IAM::Role", _keep_boundary)
    _install_generated_names()
    _install_names_of_log_groups()
    _install_staged_templates()
    # The name localhost may resolve to an address on which nothing listens.
    inside.custom_resource.HOST = "127.0.0.1"
