"""Who makes the current request, further permissions that it needs, and roles that a service assumes for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region

from aws_emulator import inside
from aws_emulator.core import Credentials, ServiceError, role_session
from aws_emulator.iam.permissions import principal_arn, refusal
from aws_emulator.iam.service_principals import ASSUMING, CALLING

if TYPE_CHECKING:
    from collections.abc import Mapping

PolicyValue: TypeAlias = Any
"""A value in a policy document: one thing or a list of things."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The principal of the current request.

    Attributes:
        account: 12-digit id.
        region: Region of the request.
        arn: IAM ARN: the role's (with its path) for a role session, else the user's or the root's.
        session_arn: ARN as STS shows it; equal to `arn` except for role sessions.
        access_key: With which the request was signed; for the root of an account, the account's id.
    """

    account: str
    region: str
    arn: str
    session_arn: str
    access_key: str


def caller() -> Caller:
    """Return who makes the current request."""
    account, session_arn = get_account_id(), iam_evaluator.caller_arn()
    return Caller(
        account=account,
        region=get_region(),
        arn=principal_arn(session_arn),
        session_arn=session_arn,
        access_key=inside.iam_evaluator.verified_key.get() or account,
    )


def authorize(action: str, resource_arn: str, *, context: Mapping[str, Any] | None = None) -> None:
    """Check that the caller is allowed an action beyond the request itself, such as passing a role.

    Args:
        action: e.g. ``iam:PassRole``.
        resource_arn: What it is done to.
        context: Condition keys of this check, e.g. ``{"iam:PassedToService": "sagemaker.amazonaws.com"}``.

    Raises:
        ServiceError: The caller's policies deny it or do not allow it.
    """
    access_key = inside.iam_evaluator.verified_key.get()
    refused = refusal(access_key, action, resource_arn, context) if access_key else None  # no key to verify: root
    if refused:
        raise ServiceError("AccessDeniedException", refused)


def authorize_pass_role(role_arn: str, service: str) -> None:
    """Check that the caller is allowed to pass a role to a service and that the role exists and trusts the service.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html

    Args:
        role_arn: The role.
        service: Service principal, e.g. ``sagemaker.amazonaws.com``.

    Raises:
        ServiceError: The caller is not allowed to pass it, or the service could not assume it.
    """
    authorize("iam:PassRole", role_arn, context={"iam:PassedToService": service})
    try:
        require_trust(role_arn, service)
    except ServiceError as error:
        raise ServiceError("ValidationException", f"Could not assume role {role_arn}. {error.message}") from error


def require_trust(role_arn: str, service: str, *, source_arn: str | None = None) -> None:
    """Check that a role exists and that its trust policy lets a service assume it.

    Args:
        role_arn: The role.
        service: Service principal, e.g. ``servicecatalog.amazonaws.com``.
        source_arn: For what the service does it, for ``aws:SourceArn``. Default: not known here, so it is not sent.

    Raises:
        ServiceError: The role does not exist or does not trust the service, or what the service sends is not
            known.
    """
    account, name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
    role = inside.iam.roles.get_scoped(account, None, name)
    if role is None or role["Arn"] != role_arn:
        raise ServiceError("ValidationException", f"Role {role_arn} does not exist in account {account}.")
    if service not in ASSUMING:
        raise ServiceError(
            "AccessDeniedException",
            f"{service} is not in ASSUMING of aws_emulator/iam/service_principals.py, so the keys "
            f"that it sends when it assumes {role_arn} are unknown: add a row with its source.",
        )
    text = role["AssumeRolePolicyDocument"]
    document = json.loads(text) if isinstance(text, str) else text
    # Where no source says whether a key is sent, the policy has to let the service in with it and without it.
    requests = ASSUMING[service].requests(get_account_id(), source_arn)
    if not all(_lets_in(document, service, "sts:AssumeRole", keys) for keys in requests):
        raise ServiceError("AccessDeniedException", f"The trust policy of {role_arn} does not allow {service}.")


def require_grant(resource_arn: str, service: str, *actions: str, kind: str, source_arn: str | None = None) -> None:
    """Check that the policy of a resource lets a service call it.

    Args:
        resource_arn: E.g. a queue, or the key of a queue.
        service: Service principal, e.g. ``events.amazonaws.com``.
        actions: What it does, e.g. ``sqs:SendMessage``.
        kind: What it calls, as in `aws_emulator.iam.service_principals.CALLING`.
        source_arn: As of `require_trust`.

    Raises:
        ServiceError: The policy does not, or what the service sends is not known.
    """
    row = CALLING.get((service, kind))
    if row is None:
        raise ServiceError(
            "AccessDeniedException",
            f"{(service, kind)} is not in CALLING of aws_emulator/iam/service_principals.py, so the keys "
            f"that it sends to {resource_arn} are unknown: add a row with its source.",
        )
    found = inside.iam_evaluator.resource_policy(resource_arn.split(":")[2], resource_arn)
    policy = (found[0] if found else None) or {}
    document = json.loads(policy) if isinstance(policy, str) else policy
    for action in actions:
        if not all(_lets_in(document, service, action, keys) for keys in row.requests(get_account_id(), source_arn)):
            raise ServiceError(
                "AccessDeniedException", f"The policy of {resource_arn} does not allow {service} {action}."
            )


def _lets_in(document: Mapping[str, Any], service: str, action: str, keys: Mapping[str, str]) -> bool:
    """Whether a policy of a role or of another resource lets a service in with a request that has these keys."""
    context = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=get_account_id(),
        action=action,
        resource_arn="*",
        region=get_region(),
        service_context=dict(keys),
    )
    allowed = False
    for statement in _as_list(document.get("Statement", [])):
        principal = statement.get("Principal", {})
        services = _as_list(principal.get("Service", [])) if isinstance(principal, dict) else []
        patterns = [str(pattern).lower() for pattern in _as_list(statement.get("Action", []))]
        if (service not in services and principal != "*") or not any(fnmatchcase(action.lower(), p) for p in patterns):
            continue
        if not inside.iam_evaluator.conditions_met(statement.get("Condition", {}), context):
            continue
        if statement["Effect"] == "Deny":
            return False
        allowed = True
    return allowed


def assume_as_service(role_arn: str, service: str, session_name: str, *, source_arn: str | None = None) -> Credentials:
    """Return credentials of a role that a service assumes.

    Args:
        role_arn: The role.
        service: Service principal, e.g. ``events.amazonaws.com``.
        session_name: Shown in the session's ARN.
        source_arn: For what the service does it, for ``aws:SourceArn``. Default: not known here, so it is not sent.

    Raises:
        ServiceError: The role does not exist or does not trust the service.
    """
    require_trust(role_arn, service, source_arn=source_arn)
    return role_session(role_arn, session_name)


def forwarded_credentials(who: Caller) -> Credentials | None:
    """Return credentials with which a service acts as the caller; None stands for the account's root.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html
    """
    if ":role/" not in who.arn:
        return None
    return role_session(who.arn, who.session_arn.rsplit("/", 1)[-1])


def _as_list(value: PolicyValue) -> list[PolicyValue]:
    return value if isinstance(value, list) else [value]
