"""IAM: condition keys of the organisation, and the resources that actions of the bridged services are checked against.

Which resource an action is checked against is in the Service Authorization Reference
(https://docs.aws.amazon.com/service-authorization/latest/reference/), of which cfn-lint ships a machine-readable copy
(``data/AdditionalSpecs/Policies.json``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import codebuild, iam, tagging

from rehearsal.cloud import core

if TYPE_CHECKING:
    from rehearsal.cloud.core import Credentials, Json

Value: TypeAlias = Any
"""The value of a condition key: a text, a list of texts, or None where the request has none."""
Tags: TypeAlias = Mapping[str, str]

TAGS: Final[dict[str, Callable[[str], Tags]]] = {}
"""Tags of the resource with an ARN, for ``aws:ResourceTag/…``: service of the ARN -> function of the ARN."""

POLICIES: Final[dict[str, Callable[[str], tuple[str, str] | None]]] = {}
"""Policy and owner of the resource with an ARN, where `may` must know more than MiniStack: service -> function."""

_SESSION: Final = re.compile(r"arn:aws:sts::(?P<account>\d{12}):assumed-role/(?P<role>[^/]+)/.+")

_SAGEMAKER_MEMBERS: Final = {
    "ModelPackageName": "model-package",
    "PipelineName": "pipeline",
    "TrainingJobName": "training-job",
    "ProcessingJobName": "processing-job",
    "TransformJobName": "transform-job",
    "ProjectName": "project",
    "ModelCardName": "model-card",
    "ModelName": "model",
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "StudioLifecycleConfigName": "studio-lifecycle-config",
    "ExperimentName": "experiment",
    "TrialName": "experiment-trial",
    "TrialComponentName": "experiment-trial-component",
    "DomainId": "domain",
}
_SAGEMAKER_LISTS_WITH_RESOURCE: Final = (
    "ListModelCardExportJobs",
    "ListModelPackages",
    "ListPipelineExecutions",
    "ListPipelineExecutionSteps",
    "ListPipelineParametersForExecution",
    "ListPipelineVersions",
    "ListTags",
)
"""Lists that are checked against a resource; all others only against ``*``."""


def _sagemaker(operation: str, request: Json) -> str:
    if operation == "Search" or (operation.startswith("List") and operation not in _SAGEMAKER_LISTS_WITH_RESOURCE):
        return "*"
    for member in ("ResourceArn", "PipelineExecutionArn", "ModelPackageArn", "ModelCardExportJobArn"):
        if request.get(member):
            return str(request[member])
    if "UserProfileName" in request and "DomainId" in request:
        return core.arn("sagemaker", f"user-profile/{request['DomainId']}/{request['UserProfileName']}")
    group = request.get("ModelPackageGroupName")
    if group:
        group = group.rsplit("/", 1)[-1]
        versions = operation in {"CreateModelPackage", "ListModelPackages"}
        return core.arn("sagemaker", f"model-package/{group}/*" if versions else f"model-package-group/{group}")
    for member, kind in _SAGEMAKER_MEMBERS.items():
        name = request.get(member)
        if name:
            return str(name) if str(name).startswith("arn:") else core.arn("sagemaker", f"{kind}/{name}")
    return "*"


def _servicecatalog(operation: str, request: Json) -> str:
    if "ProvisionedProduct" in operation or "Record" in operation or operation.startswith("Search"):
        return "*"
    product = request.get("ProductId") or (request.get("Id") if "Product" in operation else None)
    if product:
        return core.arn("catalog", f"product/{product}")
    portfolio = request.get("PortfolioId") or (request.get("Id") if "Portfolio" in operation else None)
    return core.arn("catalog", f"portfolio/{portfolio}") if portfolio else "*"


def _codeconnections(operation: str, request: Json) -> str:
    return str(request.get("ConnectionArn") or request.get("ResourceArn") or "*")


def _codepipeline(operation: str, request: Json) -> str:
    name = request.get("name") or request.get("pipelineName") or request.get("pipeline", {}).get("name")
    return str(request.get("resourceArn") or (core.arn("codepipeline", name) if name else "*"))


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


_RESOURCES: Final[Mapping[str, Callable[[str, Json], str | None]]] = {
    "sagemaker": _sagemaker,
    "servicecatalog": _servicecatalog,
    "codeconnections": _codeconnections,
    "codepipeline": _codepipeline,
    "codebuild": _codebuild,
    "logs": _logs,
}


def _role_arn(query: Mapping[str, Any], account: str) -> str | None:
    """ARN of the role a request to IAM names, with its path: MiniStack's own answer leaves the path out."""
    name = (query.get("RoleName") or [None])[0]
    if not name:
        return None
    role = iam._roles.get_scoped(account, None, name)
    if role:
        return str(role["Arn"])
    path = (query.get("Path") or ["/"])[0]
    return f"arn:aws:iam::{account}:role{path}{name}"


def _install_resources() -> None:
    original = iam_actions.extract_resource_arn

    def resource_arn(  # noqa: PLR0917 - MiniStack's signature
        service: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: Mapping[str, Any],
        region: str,
        account: str,
    ) -> str:
        found: str | None = None
        if service in _RESOURCES and body[:1] == b"{":
            operation = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
            found = _RESOURCES[service](operation, json.loads(body))
        elif service == "iam":
            found = _role_arn(query, account)
        return found or str(original(service, method, path, headers, body, query, region, account))

    iam_actions.extract_resource_arn = resource_arn


def _principal_arn(principal_arn: str) -> str:
    """Value of ``aws:PrincipalArn``: of a session, the ARN of its role with the path.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
    MiniStack asks policies of buckets in other accounts in the name of the account; the caller of the request stands
    for it here when it is a session of that account.
    """
    session = _SESSION.fullmatch(principal_arn)
    if session is None and principal_arn.endswith(":root"):
        session = _SESSION.fullmatch(iam_evaluator.caller_arn())
        if session and f"::{session['account']}:" not in principal_arn:
            return principal_arn
    role = iam._roles.get_scoped(session["account"], None, session["role"]) if session else None
    return str(role["Arn"]) if role else principal_arn


def _install_condition_keys() -> None:
    original = iam_evaluator._resolve_condition_key
    organization = core.organization()
    # Loopback without TLS stands for TLS: what never leaves the machine cannot be overheard.
    transport = {"aws:securetransport": "true", "s3:tlsversion": "1.3"}

    def resolve(key: str, context: iam_evaluator.EvalContext) -> Value:
        lower = key.lower()
        if lower == "aws:principalarn":
            return _principal_arn(context.principal_arn)
        if lower == "aws:principalorgid":
            return organization.organization_id if context.principal_account in organization.accounts else None
        if lower == "aws:principalorgpaths":
            return organization.org_paths(context.principal_account) or None
        if lower == "aws:resourceorgid":
            owner = original("aws:ResourceAccount", context)
            return organization.organization_id if owner in organization.accounts else None
        return transport.get(lower) or original(key, context)

    iam_evaluator._resolve_condition_key = resolve


def _install_request_keys() -> None:
    """Add the condition keys that SageMaker takes from a request: ``sagemaker:ModelApprovalStatus``."""
    original = iam_actions.request_tag_context

    def context(service: str, action: str, body: bytes, query: Mapping[str, Any]) -> dict[str, Value]:
        keys: dict[str, Value] = original(service, action, body, query)
        if service == "sagemaker" and body[:1] == b"{":
            status = json.loads(body).get("ModelApprovalStatus")
            if status:
                keys["sagemaker:modelapprovalstatus"] = status
        return keys

    iam_actions.request_tag_context = context


def _codebuild_tags(arn: str) -> Tags:
    _, _, _, region, account, resource = arn.split(":", 5)
    project = codebuild._projects.get_scoped(account, region, resource.split("/", 1)[-1]) or {}
    return {tag["key"]: tag["value"] for tag in project.get("tags", [])}


def _sagemaker_tags(arn: str) -> Tags:
    if arn.endswith("*"):
        return {}
    try:
        tags = core.call("sagemaker", "ListTags", {"ResourceArn": arn}).get("Tags", [])
    except core.ServiceError:
        return {}
    return {tag["Key"]: tag["Value"] for tag in tags}


def _install_tags() -> None:
    original = tagging.resource_tags

    def resource_tags(arn: str) -> Tags | None:
        service = arn.split(":")[2] if arn.count(":") >= 5 else ""
        found: Tags | None = TAGS[service](arn) if service in TAGS else original(arn)
        return found

    tagging.resource_tags = resource_tags
    TAGS.setdefault("codebuild", _codebuild_tags)
    TAGS.setdefault("sagemaker", _sagemaker_tags)


def may(
    credentials: Credentials | str, action: str, resource_arn: str, context: Mapping[str, Value] | None = None
) -> bool:
    """Whether somebody may do something, for what a service does on their behalf.

    Args:
        credentials: A role session, or an access key.
        action: e.g. ``codeconnections:UseConnection``.
        resource_arn: What it is done to.
        context: Condition keys, e.g. ``{"codeconnections:FullRepositoryId": "team/churn"}``.
    """
    service = action.split(":", 1)[0]
    access_key = credentials if isinstance(credentials, str) else credentials.access_key
    principal = iam_evaluator.resolve_principal(access_key, get_account_id())
    if isinstance(principal, iam_evaluator.AuthError):
        return False
    keys: dict[str, Value] = {key.lower(): value for key, value in (context or {}).items()}
    for name, value in (tagging.resource_tags(resource_arn) or {}).items():
        keys.setdefault(f"aws:resourcetag/{name}".lower(), value)
    evaluated = iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=action,
        resource_arn=resource_arn,
        region=get_region(),
        service_context=keys,
        principal_keys=principal.keys,
    )
    # An account's root has every permission there, and elsewhere what a resource policy gives it.
    everything = [
        iam_evaluator.parse_policy_document({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
    ]
    result = iam_evaluator.evaluate(
        evaluated, everything if principal.policies is None else principal.policies, *principal.limits
    )
    look_up = POLICIES.get(service)
    found = look_up(resource_arn) if look_up else iam_evaluator._resource_policy(service, resource_arn)
    if found is not None:
        required = service in iam_evaluator._POLICY_REQUIRED
        result = iam_evaluator.combine_resource_policy(
            result, evaluated, *found, required=required, limits=principal.limits
        )
    return str(result.decision) == "Allow"


def install() -> None:
    """Teach MiniStack's evaluator the organisation and the bridged services."""
    if not app.AUTH:
        raise RuntimeError("the emulated organisation must run with AUTH=true: start it as python -m rehearsal.cloud")
    _install_resources()
    _install_condition_keys()
    _install_request_keys()
    _install_tags()
