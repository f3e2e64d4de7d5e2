"""CloudFormation: parameters whose type names something of the account are looked up as the deployer.

A parameter of type ``AWS::EC2::VPC::Id`` is validated "against existing values in the account" (CDK's
ParameterValueType), with the permissions of the stack's service role or, without one, of the caller
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html): the same refusal for
``AWS::EC2::Image::Id`` is in https://github.com/yugabyte/yugabyte-db/issues/4336. MiniStack resolves names of SSM
parameters with all permissions and takes any id.
"""

from __future__ import annotations

import contextlib
import contextvars
import re
from typing import TYPE_CHECKING, Final

from aws_emulator import inside
from aws_emulator.cloudformation.asked import table
from aws_emulator.core import ServiceError, arn, role_session
from aws_emulator.iam.callers import authorize
from aws_emulator.iam.permissions import is_allowed
from aws_emulator.inside import replaces

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from aws_emulator.core import Json


_EXISTING: Final[Mapping[str, Container[str]]] = {
    "AWS::EC2::SecurityGroup::Id": inside.ec2.security_groups,
    "AWS::EC2::Subnet::Id": inside.ec2.subnets,
    "AWS::EC2::VPC::Id": inside.ec2.vpcs,
}
"""What there is in the account and region of the request, by id, for each type that a parameter can name.

With which permission it is looked up is configuration (`Table.looked_up`); no such action has a resource level.
"""
_TYPE: Final = re.compile(r"AWS::(?!SSM::)\w+::\w+::\w+")
_SSM_VALUE: Final = "AWS::SSM::Parameter::Value<"

_role: Final[contextvars.ContextVar[str | None]] = contextvars.ContextVar("service_role_of_the_request", default=None)


@contextlib.contextmanager
def with_permissions_of(role_arn: str | None) -> Iterator[None]:
    """Look parameters up with the permissions of a stack's service role; None for those of the caller."""
    token = _role.set(role_arn)
    try:
        yield
    finally:
        _role.reset(token)


def _ask(action: str, resource: str) -> None:
    role = _role.get()
    if role is None:
        authorize(action, resource)
    elif not is_allowed(role_session(role, "AWSCloudFormation"), action, resource):
        raise ServiceError(
            "AccessDenied",
            f"User: {role.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/AWSCloudFormation is not "
            f"authorized to perform: {action} on resource: {resource} because no identity-based policy allows it",
        )


def _look_up(name: str, type_: str, value: Json) -> None:
    """Ask for a parameter, and whether what it names exists.

    Raises:
        ServiceError: Looking it up is not allowed, it does not exist, or is of a type that is not emulated.
    """
    if type_.startswith(_SSM_VALUE) and value.get("SsmName"):
        _ask("ssm:GetParameters", arn("ssm", f"parameter/{str(value['SsmName']).removeprefix('/')}"))
    for inner in _TYPE.findall(type_):
        if inner not in _EXISTING:
            raise ServiceError("ValidationError", f"Parameter {name}: the type {inner} is not emulated.")
        known = table()
        if known:  # without it only administrators make stacks
            _ask(known.looked_up[inner], "*")
        for id_ in str(value["Value"]).split(","):
            if id_.strip() not in _EXISTING[inner]:
                raise ServiceError(
                    "ValidationError",
                    f"Parameter validation failed: parameter value {id_.strip()} for parameter name {name} does not "
                    f"exist",
                )


def _resolve(original: Callable[..., Json], template: Json, *arguments: object) -> Json:
    """Look parameters up wherever an operation on a stack resolves them."""
    values = original(template, *arguments)
    for name, parameter in template.get("Parameters", {}).items():
        try:
            _look_up(name, parameter.get("Type", "String"), values[name])
        except ServiceError as error:
            raise ValueError(error.message) from error  # the operation answers ValidationError
    return values


replaces(inside.handlers, "resolve_parameters")(_resolve)
replaces(inside.changesets, "resolve_parameters")(_resolve)
