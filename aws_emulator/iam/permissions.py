"""IAM: policy variables, tags, condition keys of the organisation, and the resources of the bridged services.

Which resource an action is checked against, and which condition keys a request of it carries, is in the Service
Authorization Reference (`aws_emulator.reference`). A key that it does not list for an action is in no request, even
if the emulator or a service passes it, and an action that it does not know is allowed only to an account's root.
"""

from __future__ import annotations

import contextvars
import dataclasses
import importlib
import json
import re
import string
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import sts, tagging

from aws_emulator import core, inside, reference
from aws_emulator.bridge import is_bridged
from aws_emulator.inside import replaces
from aws_emulator.records import tags_anywhere

if TYPE_CHECKING:
    from aws_emulator.core import Credentials, Json, Reply

Value: TypeAlias = Any
"""The value of a condition key: a text, a list of texts, or None where the request has none."""
Tags: TypeAlias = Mapping[str, str]

POLICIES: Final[dict[str, Callable[[str], tuple[str, str] | None]]] = {}
"""Policy and owner of the resource with an ARN, where `refusal` needs more than MiniStack has: service -> function."""

_PART: Final = re.compile(r"\$\{(\w+)\}")


def _named(action: str, request: Json) -> str:
    """Return the ARN of the resource that a request names; the reference says on which kinds an action works.

    Requests name a resource by its ARN or by the parts that the form of its ARN has, or these by ``id`` and ``name``.
    """
    given = {member.lower(): value for member, value in request.items() if isinstance(value, str)}
    kinds = reference.kinds(action) if reference.canonical(action) else {}
    for kind in ("resource", *kinds):
        if arn := given.get(f"{kind.replace('-', '').lower()}arn"):
            return arn
    group = given.get("modelpackagegroupname")
    if group and "model-package" in kinds:  # in which versions are made or listed
        return core.arn("sagemaker", f"model-package/{group.rsplit('/', 1)[-1]}/*")
    for form in kinds.values():
        _, _, service, _, _, resource = form.split(":", 5)
        parts = _PART.findall(resource)
        values = {part: given.get(part.lower()) or given.get("id" if part.endswith("Id") else "name") for part in parts}
        if parts and all(values.values()):
            arns = (value for value in values.values() if value and value.startswith("arn:"))
            return next(arns, core.arn(service, string.Template(resource).substitute(values)))
    return "*"


def _codebuild(operation: str, request: Json) -> str:
    name = request.get("projectName") or request.get("name")
    builds = [request["id"]] if "id" in request else request.get("ids", [])
    if not name and builds:  # a build is authorised as its project: <project>:<uuid>, or the ARN of the build
        name = builds[0].rsplit("/", 1)[-1].split(":")[0]
    name = name or (request.get("names") or [None])[0]
    if not name:
        return "*"
    return str(name) if str(name).startswith("arn:") else core.arn("codebuild", f"project/{name}")


def _logs(operation: str, request: Json) -> str | None:
    group = request.get("logGroupName")
    if not group or operation in {"TagResource", "UntagResource", "ListTagsForResource"}:
        return None
    # The ARN of a log group ends in ":*" in policies, because requests are checked with the stream behind the name.
    return core.arn("logs", f"log-group:{group}:log-stream:{request.get('logStreamName', '')}")


_RESOURCES: Final[dict[str, Callable[[str, Json], str | None]]] = {
    "codebuild": _codebuild,
    "logs": _logs,
}


def _role_arn(query: Mapping[str, Any], account: str) -> str | None:
    """ARN of the role a request to IAM names, with its path: MiniStack's own answer leaves the path out."""
    name = (query.get("RoleName") or [None])[0]
    if not name:
        return None
    role = inside.iam.roles.get_scoped(account, None, name)
    if role:
        return str(role["Arn"])
    path = (query.get("Path") or ["/"])[0]
    return f"arn:aws:iam::{account}:role{path}{name}"


RESOURCES_BY_PATH: Final[dict[str, Callable[[str, bytes, Mapping[str, Any]], str | None]]] = {}
"""Service -> ARN of the resource that a request names by path, body and query; None leaves it to MiniStack.

Services whose requests MiniStack cannot distinguish add themselves.
"""


@replaces(iam_actions, "extract_resource_arn")
def _resource_arn(  # noqa: PLR0917 - MiniStack's signature
    original: Callable[..., str],
    service: str,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    query: Mapping[str, Any],
    region: str,
    account: str,
) -> str:
    found = RESOURCES_BY_PATH[service](path, body, query) if service in RESOURCES_BY_PATH else None
    if not found and body[:1] == b"{" and (service in _RESOURCES or is_bridged(service)):
        operation = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
        request = json.loads(body)
        found = (
            _RESOURCES[service](operation, request)
            if service in _RESOURCES
            else _named(f"{service}:{operation}", request)
        )
    elif not found and service == "iam":
        found = _role_arn(query, account)
    return found or original(service, method, path, headers, body, query, region, account)


def principal_arn(session_arn: str) -> str:
    """Return the IAM ARN behind an ARN of STS: the role's ARN for a role session, anything else unchanged."""
    if ":assumed-role/" not in session_arn:
        return session_arn
    account, name = session_arn.split(":")[4], session_arn.split("/")[1]
    role = inside.iam.roles.get_scoped(account, None, name)
    return str(role["Arn"]) if role else f"arn:aws:iam::{account}:role/{name}"


def _principal_in_conditions(arn: str) -> str:
    """Return the value of ``aws:PrincipalArn``: of a session, the ARN of its role with the path.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
    MiniStack evaluates policies of buckets in other accounts for the account as the principal; here the caller of the
    request takes its place when it is a session of that account.
    """
    caller = iam_evaluator.caller_arn()
    is_of_account = arn.endswith(":root") and ":assumed-role/" in caller and arn.split(":")[4] == caller.split(":")[4]
    return principal_arn(caller if is_of_account else arn)


def _resource_tag(key: str, context: iam_evaluator.EvalContext) -> str | None:
    """Value of ``aws:ResourceTag/…``: MiniStack looks for it only when a policy of the caller, not a boundary, asks."""
    if key in context.service_context:
        return str(context.service_context[key])
    wanted = key.split("/", 1)[1]
    tags = tagging.resource_tags(context.resource_arn) or {}
    return next((value for name, value in tags.items() if name.lower() == wanted), None)


def _owner(context: iam_evaluator.EvalContext) -> str | None:
    """Return the owner of a bucket, whose ARN names no account; MiniStack takes the caller's account."""
    found = POLICIES["s3"](context.resource_arn) if context.resource_arn.startswith("arn:aws:s3:::") else None
    return found[1] if found else None


_TRANSPORT: Final = {"aws:securetransport": "true", "s3:tlsversion": "1.3"}
"""Loopback without TLS stands for TLS: what never leaves the machine cannot be overheard."""


@replaces(inside.iam_evaluator, "resolve_condition_key")
def _condition_key(original: Callable[..., Value], key: str, context: iam_evaluator.EvalContext) -> Value:
    """Return the value of a condition key; a request has only those that the reference lists for its action."""
    if not reference.carries(context.action, key):
        return None
    lower, organization = key.lower(), core.organization()
    if lower == "aws:principalarn":
        return _principal_in_conditions(context.principal_arn)
    if lower.startswith("aws:principalorg"):
        belongs = context.principal_account in organization.accounts
        found = organization.organization_id if belongs else None
        return found if lower.endswith("id") else organization.org_paths(context.principal_account) or None
    if lower.startswith(("aws:resourcetag/", "iam:resourcetag/")):
        return _resource_tag(lower, context)
    if lower in {"aws:resourceaccount", "aws:resourceorgid", "s3:resourceaccount"}:
        owner = _owner(context) or original("aws:ResourceAccount", context)
        in_organization = organization.organization_id if owner in organization.accounts else None
        return in_organization if lower == "aws:resourceorgid" else owner
    return _TRANSPORT.get(lower) or original(key, context)


# ---- policy variables -----------------------------------------------------------------------------------------------

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")


class _UnresolvedError(Exception):
    """A variable without a value: the statement that names it says nothing."""


def _substituted(text: str, context: iam_evaluator.EvalContext) -> str:
    """Return a text of a policy with the values of its variables.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html. A key with several
    values is not a variable; ``${*}`` and ``${?}`` are not emulated and match nothing.
    """

    def value_of(match: re.Match[str]) -> str:
        key, _, default = (part.strip() for part in match[1].partition(","))
        if key == "$":
            return "$"
        value = inside.iam_evaluator.resolve_condition_key(key, context)
        if isinstance(value, str):
            return value
        if default:
            return str(default.strip("'"))
        raise _UnresolvedError(key)

    return _VARIABLE.sub(value_of, text)


@replaces(inside.iam_evaluator, "first_match")
def _first_match(
    first_match: Callable[..., object],
    context: iam_evaluator.EvalContext,
    statements: list[iam_evaluator.ParsedStatement],
    effect: str,
) -> iam_evaluator.ParsedStatement | None:
    if effect == "Allow" and reference.canonical(context.action) is None:
        return None  # no policy can allow an action that does not exist
    for statement in statements:
        found = statement
        if any("${" in resource for resource in (*statement.resources, *statement.not_resources)):
            try:
                found = dataclasses.replace(
                    statement,
                    resources=[_substituted(resource, context) for resource in statement.resources],
                    not_resources=[_substituted(resource, context) for resource in statement.not_resources],
                )
            except _UnresolvedError:
                continue
        if first_match(context, [found], effect):
            return statement
    return None


@replaces(inside.iam_evaluator, "conditions_met")
def _conditions_met(conditions_met: Callable[..., bool], conditions: Json, context: iam_evaluator.EvalContext) -> bool:
    if "${" in json.dumps(conditions):
        try:
            conditions = {
                operator: {key: _values(expected, context) for key, expected in keys.items()}
                for operator, keys in conditions.items()
            }
        except _UnresolvedError:
            return False
    return conditions_met(conditions, context)


def _values(expected: Value, context: iam_evaluator.EvalContext) -> list[str]:
    return [_substituted(str(value), context) for value in (expected if isinstance(expected, list) else [expected])]


# ---- session tags ---------------------------------------------------------------------------------------------------

_refused: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("refused_action", default="")
_transitive: Final[contextvars.ContextVar[tuple[str, ...]]] = contextvars.ContextVar("transitive_tags", default=())


@replaces(iam_evaluator, "enforce")
def _enforce(  # noqa: PLR0917 - MiniStack's signature
    enforce: Callable[..., Value],
    access_key: str,
    action: str,
    service: str,
    region: str,
    resource_arn: str = "*",
    service_context: Mapping[str, Value] | None = None,
) -> Value:
    """Ask for ``sts:TagSession`` when tags are passed to a session: MiniStack asks the role's trust policy only.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
    """
    _refused.set("")
    result = enforce(access_key, action, service, region, resource_arn, service_context)
    if result is None and action == "sts:AssumeRole" and (service_context or {}).get("aws:TagKeys"):
        result = enforce(access_key, "sts:TagSession", service, region, resource_arn, service_context)
        _refused.set("sts:TagSession" if result else "")
    return result


@replaces(iam_actions, "access_denied_response")
def _denied(denied: Callable[..., Reply], service: str, action: str, *arguments: object, **options: object) -> Reply:
    return denied(service, _refused.get() or action, *arguments, **options)


@replaces(sts, "register_session")
def _register_session(register: Callable[[str, Json], None], access_key: str, session: Json) -> None:
    """Hand transitive tags of a session on to the sessions after it.

    AWS refuses another value for a tag that a session inherits; here the inherited one stays.
    """
    source = inside.sts.sessions.get(session.get("SourceAccessKeyId") or "") or {}
    keys = set(source.get("TransitiveTagKeys") or ())
    inherited = [tag for tag in source.get("SessionTags") or [] if tag["Key"] in keys]
    if session.get("PrincipalType") == "AssumedRole":
        session["TransitiveTagKeys"] = [*keys, *_transitive.get()]
        session["SessionTags"] = [*(session.get("SessionTags") or []), *inherited]
    register(access_key, session)


def _namespace(body: bytes, query: Mapping[str, Value]) -> str | None:
    """Return the namespace of metrics in a request to CloudWatch: as a form, as JSON or, from newer SDKs, as CBOR."""
    if "Namespace" in query:
        return str(query["Namespace"][0])
    try:
        decoded = json.loads(body) if body[:1] == b"{" else importlib.import_module("cbor2").loads(body)
    except (ValueError, EOFError):
        return None
    return decoded.get("Namespace") if isinstance(decoded, dict) else None


def _boundary(query: Mapping[str, Any]) -> str | None:
    """Return the boundary that a request to IAM sets, or else that of the role it names."""
    asked, name = query.get("PermissionsBoundary"), (query.get("RoleName") or [None])[0]
    role = inside.iam.roles.get_scoped(get_account_id(), None, name) if name and not asked else None
    found = asked[0] if asked else (role or {}).get("PermissionsBoundary")
    return str(found) if found else None


_BUILD_OVERRIDES: Final = {
    "sourceLocationOverride": "source.location",
    "sourceAuthOverride": "source.auth.type",
    "buildspecOverride": "source.buildspec",
    "insecureSslOverride": "source.insecureSsl",
    "environmentTypeOverride": "environment.type",
    "imageOverride": "environment.image",
    "computeTypeOverride": "environment.computeType",
    "fleetOverride": "environment.fleet.fleetArn",
    "certificateOverride": "environment.certificate",
    "privilegedModeOverride": "environment.privilegedMode",
    "imagePullCredentialsTypeOverride": "environment.imagePullCredentialsType",
    "registryCredentialOverride": "environment.registryCredential",
    "cacheOverride": "cache",
    "serviceRoleOverride": "serviceRole",
    "encryptionKeyOverride": "encryptionKey",
    "logsConfigOverride": "logsConfig",
    "secondarySourcesOverride": "secondarySources",
    "secondaryArtifactsOverride": "secondaryArtifacts",
    "autoRetryLimitOverride": "autoRetryLimit",
}


def _build_overrides(request: Json) -> dict[str, Value]:
    """Return the condition keys that StartBuild takes from what a request overrides.

    The reference lists them for StartBuild ("Actions, resources, and condition keys for AWS CodeBuild"); a request has
    those of its own members only ("AWS CodeBuild condition keys" in the CodeBuild user guide). Nothing stands for
    ``sourceVersion`` and ``sourceTypeOverride``.
    """
    keys: dict[str, Value] = {
        f"codebuild:{key}": value if isinstance(value := request[member], str) else json.dumps(value)
        for member, key in _BUILD_OVERRIDES.items()
        if member in request
    }
    artifacts = request.get("artifactsOverride", {})
    keys |= {f"codebuild:artifacts.{key}": artifacts[key] for key in ("location",) if key in artifacts}
    variables = {v["name"]: v["value"] for v in request.get("environmentVariablesOverride", [])}
    if variables:
        keys["codebuild:environment.environmentVariables.name"] = list(variables)
        keys |= {f"codebuild:environment.environmentVariables/{n}.value": v for n, v in variables.items()}
    return keys


def _sagemaker_keys(_action: str, request: Json) -> dict[str, Value]:
    """Return the condition keys of a request to SageMaker; what it does not name has no key."""
    keys: dict[str, Value] = {}
    if request.get("ModelApprovalStatus"):
        keys["sagemaker:modelapprovalstatus"] = request["ModelApprovalStatus"]
    for name, value in request.get("CustomerMetadataProperties", {}).items():
        keys[f"sagemaker:customermetadataproperties/{name.lower()}"] = value
    if request.get("CustomerMetadataPropertiesToRemove"):
        keys["sagemaker:customermetadatapropertiestoremove"] = request["CustomerMetadataPropertiesToRemove"]
    network = request.get("VpcConfig") or request.get("NetworkConfig", {}).get("VpcConfig")
    if network:
        keys["sagemaker:vpcsubnets"] = network["Subnets"]
        keys["sagemaker:vpcsecuritygroupids"] = network["SecurityGroupIds"]
    return keys


REQUEST_KEYS: Final[dict[str, Callable[[str, Json], Mapping[str, Value]]]] = {
    "codebuild": lambda action, request: _build_overrides(request) if action == "codebuild:StartBuild" else {},
    "sagemaker": _sagemaker_keys,
}
"""Service -> condition keys that it takes from a request in JSON; called with the action and the request."""


@replaces(iam_actions, "request_tag_context")
def _request_keys(
    original: Callable[..., dict[str, Value]], service: str, action: str, body: bytes, query: Mapping[str, Any]
) -> dict[str, Value]:
    """Add the condition keys that services take from a request, in JSON or not."""
    is_json = body[:1] == b"{" and action != "sagemaker:InvokeEndpoint"  # whose body is the caller's business
    keys = original(service, action, body if is_json or service != "sagemaker" else b"", query)
    if is_json and service in REQUEST_KEYS:
        keys |= {key.lower(): value for key, value in REQUEST_KEYS[service](action, json.loads(body)).items()}
    if service == "iam" and (boundary := _boundary(query)):
        keys["iam:permissionsboundary"] = boundary
    if action == "cloudwatch:PutMetricData":
        keys["cloudwatch:namespace"] = _namespace(body, query)
    if service == "sts":
        passed = tuple(value[0] for name, value in query.items() if name.startswith("TransitiveTagKeys.member."))
        _transitive.set(passed)
        if passed:
            keys["sts:transitivetagkeys"] = list(passed)
    return keys


# ---- tags of resources ----------------------------------------------------------------------------------------------


def _codebuild_tags(arn: str) -> Tags:
    _, _, _, region, account, resource = arn.split(":", 5)
    project = inside.codebuild.projects.get_scoped(account, region, resource.split("/", 1)[-1]) or {}
    return {tag["key"]: tag["value"] for tag in project.get("tags", [])}


def _iam_tags(arn: str) -> Tags:
    account, name = arn.split(":")[4], arn.rsplit("/", 1)[-1]
    role = inside.iam.roles.get_scoped(account, None, name) if ":role/" in arn else None
    return {tag["Key"]: tag["Value"] for tag in (role or {}).get("Tags") or []}


def _cloudformation_tags(arn: str) -> Tags:
    _, _, _, region, account, resource = arn.split(":", 5)
    name = resource.split("/")[1] if resource.startswith("stack/") else ""
    stack = inside.cloudformation.stacks.get_scoped(account, region, name) or {}
    gone = stack.get("StackStatus") == "DELETE_COMPLETE"
    return {} if gone else {tag["Key"]: tag["Value"] for tag in stack.get("Tags") or []}


TAGS: Final[dict[str, Callable[[str], Tags]]] = {
    "cloudformation": _cloudformation_tags,
    "codebuild": _codebuild_tags,
    "iam": _iam_tags,
}
"""Tags of the resource with an ARN, for ``aws:ResourceTag/…``: service of the ARN -> function of the ARN.

Bridged services need not be here whose resources have their tags from `aws_emulator.records`.
"""


@replaces(tagging, "resource_tags")
def _resource_tags(original: Callable[[str], Tags | None], arn: str) -> Tags | None:
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    return TAGS.get(service, tags_anywhere if is_bridged(service) else original)(arn)


# ---- deciding -------------------------------------------------------------------------------------------------------


def is_allowed(
    credentials: Credentials | str, action: str, resource_arn: str, context: Mapping[str, Value] | None = None
) -> bool:
    """Return whether a principal is allowed an action, for what a service does on its behalf.

    Args:
        credentials: A role session, or an access key.
        action: e.g. ``codeconnections:UseConnection``.
        resource_arn: What it is done to.
        context: Condition keys, e.g. ``{"codeconnections:FullRepositoryId": "team/churn"}``.
    """
    return refusal(credentials, action, resource_arn, context) is None


def refusal(
    credentials: Credentials | str,
    action: str,
    resource_arn: str | None,
    context: Mapping[str, Value] | None = None,
    *,
    policy: Json | None = None,
) -> str | None:
    """Return why a principal is not allowed an action, in the wording of AWS; None if it is allowed.

    Args:
        credentials: A role session, or an access key.
        action: e.g. ``codeconnections:UseConnection``.
        resource_arn: What it is done to; None asks whether it is allowed on anything at all.
        context: Condition keys, e.g. ``{"codeconnections:FullRepositoryId": "team/churn"}``.
        policy: Policy of the resource, where it is not there yet. Default: the one that it has.
    """
    service = action.split(":", 1)[0]
    access_key = credentials if isinstance(credentials, str) else credentials.access_key
    principal = iam_evaluator.resolve_principal(access_key, get_account_id())
    if isinstance(principal, iam_evaluator.AuthError):
        return str(principal.message)
    keys: dict[str, Value] = {key.lower(): value for key, value in (context or {}).items()}
    evaluated = iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=action,
        resource_arn=resource_arn or "*",
        region=get_region(),
        service_context=keys,
        principal_keys=principal.keys,
    )
    # An account's root has every permission there, and elsewhere what a resource policy gives it.
    policies = principal.policies if principal.policies is not None else [_EVERYTHING]
    if resource_arn is None:
        layers = (policies, *principal.limits)
        if all(_allows_anywhere(action, layer) for layer in layers):
            return None
        result = iam_evaluator.EvalResult("ImplicitDeny")
    else:
        result = iam_evaluator.evaluate(evaluated, policies, *principal.limits)
        look_up = POLICIES.get(service) if resource_arn.startswith("arn:") else None
        found = look_up(resource_arn) if look_up else inside.iam_evaluator.resource_policy(service, resource_arn)
        if policy is not None:
            found = policy, get_account_id()
        if found is not None:
            required = service in inside.iam_evaluator.POLICY_REQUIRED
            result = iam_evaluator.combine_resource_policy(
                result, evaluated, *found, required=required, limits=principal.limits
            )
    if str(result.decision) == "Allow":
        return None
    denied = str(result.decision) == "Deny"
    why = (
        "with an explicit deny in a policy"
        if denied
        else f"because no identity-based policy allows the {action} action"
    )
    return f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource_arn or 'any'} {why}"


def is_administrator(access_key: str) -> bool:
    """Return whether a principal is allowed everything, whatever else its policies say."""
    principal = iam_evaluator.resolve_principal(access_key, get_account_id())
    if isinstance(principal, iam_evaluator.AuthError) or principal.policies is None or principal.limits:
        return False
    statements = [statement for policy in principal.policies for statement in policy]
    everything = any(s.actions == ["*"] and s.resources == ["*"] and not s.conditions for s in statements)
    return everything and all(s.effect == "Allow" for s in statements)


_EVERYTHING: Final = iam_evaluator.parse_policy_document(
    {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
)


def _allows_anywhere(action: str, layer: list[list[iam_evaluator.ParsedStatement]]) -> bool:
    """Whether a statement allows an action on something, under whatever condition."""
    return any(
        statement.effect == "Allow"
        and inside.iam_evaluator.action_matches(action, statement.actions, statement.not_actions)
        for statements in layer
        for statement in statements
    )


inside.iam_evaluator.names_condition_key = lambda _policies, _prefix: False  # `_resource_tag` looks when it is asked
