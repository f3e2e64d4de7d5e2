"""Launching, updating and terminating provisioned products of Service Catalog, with their records.

Service Catalog assumes the launch role and calls CloudFormation with it, so the launch role has to allow those calls:
https://docs.aws.amazon.com/servicecatalog/latest/adminguide/constraints-launch.html
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botocore.exceptions import ClientError
from ministack.core.responses import get_account_id

from aws_emulator import core, inside
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.cloudformation.stacks import stage_template
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import assume_as_service, caller, forwarded_credentials
from aws_emulator.inside import replaces
from aws_emulator.records import tag_list, tag_map
from aws_emulator.servicecatalog import store
from aws_emulator.servicecatalog.catalog import choose_path, path_to
from aws_emulator.servicecatalog.store import SERVICE, Kind
from aws_emulator.servicecatalog.templates import check_parameters, load_template

if TYPE_CHECKING:
    from aws_emulator.bridge import Operation
    from aws_emulator.iam.callers import Caller

Client: TypeAlias = Any
"""A boto3 client."""
Begun: TypeAlias = tuple[Json, Callable[[], None]]
"""The record of an operation that has begun, and what is still to be done."""

_CAPABILITIES: Final = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_SYSTEM_TAG: Final = "aws:servicecatalog:"

PROVISIONED: Final = Kind(noun="Provisioned product", prefix="pp")
"""Launched products: stacks in the account that launched them; ``records`` are its operations, ``who`` launched it."""
RECORDS: Final = Kind(noun="Record", prefix="rec")
"""Operations and what came of them; ``undo`` takes back what a failed update changed."""
_tokens: Final[dict[tuple[str, str], Json]] = {}
_lock: Final = clock.lock()


# ---- shapes of the API ----------------------------------------------------------------------------------------------


def _set(provisioned: Json, product: Json, version: Json, portfolio: Json, **members: Any) -> None:  # noqa: ANN401
    """Set what a launch or an update makes of a provisioned product."""
    provisioned.update(
        members,
        product=product,
        version=version,
        portfolio=portfolio,
        ProductId=product["Id"],
        ProvisioningArtifactId=version["Id"],
        LaunchRoleArn=_launch_role(product, portfolio, provisioned["account"]),
    )


def _detail(provisioned: Json) -> Json:
    records = [record["Id"] for record in provisioned["records"]]
    succeeded = [record["Id"] for record in provisioned["records"] if record["Status"] == "SUCCEEDED"]
    return {
        **provisioned,
        "LastRecordId": records[-1],
        "LastProvisioningRecordId": records[-1],
        "LastSuccessfulProvisioningRecordId": succeeded[-1] if succeeded else None,
    }


# ---- the stack behind it --------------------------------------------------------------------------------------------


def _cloudformation(provisioned: Json, who: Caller) -> Client:
    """Return a CloudFormation client with the launch role, or without one with the permissions of the caller."""
    role = provisioned["LaunchRoleArn"]
    if not role:
        return core.client("cloudformation", credentials=forwarded_credentials(who))
    credentials = assume_as_service(role, "servicecatalog.amazonaws.com", SERVICE)
    return core.client("cloudformation", credentials=credentials)


def _stack_tags(provisioned: Json) -> list[Json]:
    """Return the tags of the stack, the ones Service Catalog adds by itself included.

    Source: https://docs.aws.amazon.com/servicecatalog/latest/adminguide/autotags.html
    """
    system = {
        "portfolioArn": provisioned["portfolio"]["ARN"],
        "productArn": provisioned["product"]["ProductARN"],
        "provisionedProductArn": provisioned["Arn"],
        "provisioningArtifactIdentifier": provisioned["ProvisioningArtifactId"],
        "provisioningPrincipalArn": provisioned["who"].session_arn,
    }
    return tag_list(provisioned["tags"] | {f"{_SYSTEM_TAG}{key}": value for key, value in system.items()})


def _operate_stack(provisioned: Json, operation: str, who: Caller) -> None:
    """Create or update the stack; raises what CloudFormation answers."""
    template, parameters = provisioned["version"]["template"], provisioned["parameters"]
    check_parameters(load_template(template), parameters)
    response = getattr(_cloudformation(provisioned, who), operation)(
        StackName=f"SC-{provisioned['account']}-{provisioned['Id']}",
        TemplateURL=stage_template(template),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=_CAPABILITIES,
        Tags=_stack_tags(provisioned),
    )
    provisioned["PhysicalId"] = response["StackId"]


def _start(provisioned: Json, operation: str, who: Caller) -> None:
    """Start an operation on the stack; what CloudFormation refuses at once ends in the record, as on AWS."""
    provisioned["records"][-1]["Status"] = "IN_PROGRESS"
    try:
        _operate_stack(provisioned, operation, who)
    except (ServiceError, ClientError) as error:
        if "No updates are to be performed" in str(error):  # Service Catalog ends such an update successfully
            _finish(provisioned, "SUCCEEDED", "AVAILABLE")
        else:
            _finish(provisioned, "FAILED", "TAINTED" if provisioned["PhysicalId"] else "ERROR", *_reason(error))


def _reason(error: ServiceError | ClientError) -> tuple[str, str]:
    """Return code and message of an error."""
    if isinstance(error, ServiceError):
        return error.code, error.message
    return error.response["Error"]["Code"], error.response["Error"]["Message"]


def _finish(provisioned: Json, record_status: str, status: str, code: str = "", message: str = "") -> None:
    record = provisioned["records"][-1]
    record.update(Status=record_status, UpdatedTime=clock.now())
    provisioned.update(Status=status, StatusMessage=message)
    if record_status == "FAILED" and record["undo"]:
        record["undo"]()
    if message:
        record["RecordErrors"] = [{"Code": code, "Description": message}]


def _refresh(provisioned: Json) -> None:
    """Bring a provisioned product and its open record up to date with the stack.

    ``TAINTED`` is a stable stack that is not as requested, ``ERROR`` one that does not run:
    https://docs.aws.amazon.com/servicecatalog/latest/dg/API_ProvisionedProductDetail.html
    """
    record = provisioned["records"][-1]
    if record["Status"] in ("SUCCEEDED", "FAILED"):
        return
    with core.as_account(provisioned["account"], provisioned["region"]):
        try:
            cloudformation = _cloudformation(provisioned, record["who"])
            stack = cloudformation.describe_stacks(StackName=provisioned["PhysicalId"])["Stacks"][0]
        except (ServiceError, ClientError) as error:  # the launch role is gone, or is not allowed to describe its stack
            _finish(provisioned, "FAILED", "ERROR", *_reason(error))
            return
        state = str(stack["StackStatus"])
        if state.endswith("IN_PROGRESS"):
            record["Status"] = "IN_PROGRESS_IN_ERROR" if "ROLLBACK" in state else "IN_PROGRESS"
        elif state == "DELETE_COMPLETE":
            _finish(provisioned, "SUCCEEDED", "AVAILABLE")
            PROVISIONED.records.pop(provisioned["Id"], None)
        else:
            record["outputs"] = _outputs(provisioned, stack.get("Outputs", []))
            if state in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
                _finish(provisioned, "SUCCEEDED", "AVAILABLE")
                return
            status = "TAINTED" if state == "UPDATE_ROLLBACK_COMPLETE" else "ERROR"
            reason = _failures(cloudformation, provisioned, record) or str(stack.get("StackStatusReason", state))
            _finish(provisioned, "FAILED", status, state, reason)


def _outputs(provisioned: Json, outputs: list[Json]) -> list[Json]:
    own = {
        "OutputKey": "CloudformationStackARN",
        "OutputValue": provisioned["PhysicalId"],
        "Description": "The ARN of the launched Cloudformation Stack",
    }
    return [own, *({"Description": "", **output} for output in outputs)]


def _failures(cloudformation: Client, provisioned: Json, record: Json) -> str:
    """Return why resources have failed since the record began, first failure first, or else why the stack has.

    What is wrong with a stack that does not get past the validation before its deployment is shown by
    ``DescribeEvents`` only: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/
    validate-stack-deployments.html. Whether Service Catalog asks it is unknown; here it does not.
    """
    reasons, of_stack = [], ""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=provisioned["PhysicalId"])
    for event in (event for page in pages for event in page["StackEvents"]):
        if event["Timestamp"].timestamp() < record["CreatedTime"] - 1:
            break
        if not event["ResourceStatus"].endswith("_FAILED"):
            continue
        if event["PhysicalResourceId"] == provisioned["PhysicalId"]:
            of_stack = event.get("ResourceStatusReason", "")
        else:
            reasons.append(f"{event['LogicalResourceId']} ({event['ResourceType']}): {event['ResourceStatusReason']}")
    return " ".join(reversed(reasons)) or of_stack


# ---- launching ------------------------------------------------------------------------------------------------------


def _launch_role(product: Json, portfolio: Json, account: str) -> str | None:
    """Return the role of the launch constraint, for a local name the one in the launching account."""
    for constraint in store.constraints_of(portfolio, product["Id"]):
        given = json.loads(constraint["Parameters"])
        return str(given.get("RoleArn") or f"arn:aws:iam::{account}:role/{given['LocalRoleName']}")
    return None


def _tags(request: Json, product: Json, portfolio: Json, account: str) -> dict[str, str]:
    """Return the tags of a launch: those of portfolio and product, the caller's, and what TagOptions require.

    A key with one TagOption gets its value; with several the caller has to choose one.
    Source: https://docs.aws.amazon.com/servicecatalog/latest/adminguide/tagoptions.html

    Raises:
        ServiceError: A value is not among the TagOptions, or was not chosen.
    """
    given = tag_map(request.get("Tags"))
    for key in given:
        if key.lower().startswith("aws:"):
            raise ServiceError("InvalidParametersException", f"Tag key {key} is reserved: it begins with aws:.")
    tags: dict[str, str] = portfolio["tags"] | product["tags"] | given
    for key, values in store.tag_options(product, portfolio, account).items():
        if not values:  # the sets of product and portfolio have nothing in common: the key is left out
            continue
        chosen = given.get(key, values[0] if len(values) == 1 else None)
        if chosen not in values:
            raise ServiceError(
                "InvalidParametersException",
                f"Tag {key} must have one of the values of its TagOptions ({', '.join(values)}), but has {chosen}.",
            )
        tags[key] = chosen
    return tags


def _record(provisioned: Json, kind: str, who: Caller, *, undo: Callable[[], None] | None = None) -> Json:
    """Begin an operation on a provisioned product and return its record."""
    record = RECORDS.make(
        {key: provisioned[key] for key in ("ProductId", "ProvisioningArtifactId", "LaunchRoleArn")},
        RecordType=kind,
        Status="CREATED",
        UpdatedTime=clock.now(),
        ProvisionedProductId=provisioned["Id"],
        ProvisionedProductName=provisioned["Name"],
        ProvisionedProductType="CFN_STACK",
        PathId=path_to(provisioned["product"], provisioned["portfolio"])["Id"],
        RecordErrors=[],
        RecordTags=tag_list(provisioned["tags"]),
        who=who,
        undo=undo,
        outputs=[],
    )
    record["RecordId"] = record["Id"]
    provisioned["records"].append(record)
    provisioned["Status"] = "UNDER_CHANGE"
    return record


def _once(operation: str, token: str) -> Callable[[Callable[[Json], Begun]], Operation]:
    """Answer an operation that the decorated function begins; the same idempotency token begins it once.

    Args:
        operation: e.g. ``ProvisionProduct``.
        token: Member of its requests with the token.
    """

    def register(begin: Callable[[Json], Begun]) -> Operation:
        @functools.wraps(begin)
        def answer(request: Json) -> Json:
            key = (get_account_id(), request[token])
            with _lock:
                if key in _tokens:
                    return {"RecordDetail": _tokens[key]}
                record, finish = begin(request)
                _tokens[key] = record
            response = {"RecordDetail": dict(record)}
            finish()
            return response

        return overlay(SERVICE, operation)(answer)

    return register


@_once("ProvisionProduct", "ProvisionToken")
def provision_product(request: Json) -> Begun:
    """Launch a version of a product that the caller has access to."""
    who, name = caller(), request["ProvisionedProductName"]
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}", name):
        raise ServiceError("InvalidParametersException", f"Invalid provisioned product name: {name}")
    if any(provisioned["Name"] == name for provisioned in _own()):
        raise ServiceError("DuplicateResourceException", f"A provisioned product named {name} exists already.")
    product = store.reachable_product(request.get("ProductId"), request.get("ProductName"), who)
    wanted = request.get("ProvisioningArtifactId"), request.get("ProvisioningArtifactName")
    version = store.version_of(product, *wanted, active=True)
    portfolio = choose_path(product, request)
    tags = _tags(request, product, portfolio, who.account)
    provisioned = PROVISIONED.make(
        {}, Name=name, Type="CFN_STACK", StatusMessage="", PhysicalId="", who=who, records=[]
    )
    provisioned["Arn"] = store.arn_of("stack", provisioned, f"{name}/{provisioned['Id']}", service=SERVICE)
    parameters = {item["Key"]: item["Value"] for item in request.get("ProvisioningParameters", [])}
    token = request["ProvisionToken"]
    _set(provisioned, product, version, portfolio, tags=tags, parameters=parameters, IdempotencyToken=token)
    record = _record(provisioned, "PROVISION_PRODUCT", who)
    return record, functools.partial(_start, provisioned, "create_stack", who)


@_once("UpdateProvisionedProduct", "UpdateToken")
def update_provisioned_product(request: Json) -> Begun:
    """Update a provisioned product to another version or other parameters."""
    who, provisioned = caller(), _find(request)
    _require_stable(provisioned)
    if provisioned["Status"] == "ERROR":
        raise ServiceError(
            "InvalidParametersException",
            f"Provisioned product {provisioned['Id']} is in status ERROR: it can only be terminated.",
        )
    same = None if "ProductName" in request else provisioned["ProductId"]
    product = store.reachable_product(request.get("ProductId") or same, request.get("ProductName"), who)
    wanted = request.get("ProvisioningArtifactId"), request.get("ProvisioningArtifactName")
    if wanted == (None, None):
        wanted = provisioned["ProvisioningArtifactId"], None
    version = store.version_of(product, *wanted, active=True)
    path = path_to(provisioned["product"], provisioned["portfolio"])["Id"]
    portfolio = choose_path(product, {"PathId": path, **request})
    parameters = _updated_parameters(provisioned, request.get("ProvisioningParameters", []))
    tags = _tags(request, product, portfolio, who.account) if "Tags" in request else provisioned["tags"]
    before = {key: value for key, value in provisioned.items() if key not in ("Status", "StatusMessage")}
    _set(provisioned, product, version, portfolio, parameters=parameters, tags=tags)
    undo = functools.partial(provisioned.update, before)
    record = _record(provisioned, "UPDATE_PROVISIONED_PRODUCT", who, undo=undo)
    return record, functools.partial(_start, provisioned, "update_stack", who)


def _updated_parameters(provisioned: Json, changes: list[Json]) -> dict[str, str]:
    """Return the parameters of an update: those named, with their new or previous values; others get their defaults."""
    before = provisioned["parameters"]
    return {
        item["Key"]: before[item["Key"]] if item.get("UsePreviousValue") else item["Value"]
        for item in changes
        if item["Key"] in before or not item.get("UsePreviousValue")
    }


@_once("TerminateProvisionedProduct", "TerminateToken")
def terminate_provisioned_product(request: Json) -> Begun:
    """Terminate a provisioned product: delete its stack."""
    who, provisioned = caller(), _find(request)
    _require_stable(provisioned)
    record = _record(provisioned, "TERMINATE_PROVISIONED_PRODUCT", who)

    def delete() -> None:
        record["Status"] = "IN_PROGRESS"
        try:
            if provisioned["PhysicalId"]:
                _cloudformation(provisioned, who).delete_stack(StackName=provisioned["PhysicalId"])
            else:
                _finish(provisioned, "SUCCEEDED", "AVAILABLE")
        except (ServiceError, ClientError) as error:
            _finish(provisioned, "FAILED", "ERROR", *_reason(error))
        if request.get("IgnoreErrors") or not provisioned["PhysicalId"]:
            del PROVISIONED.records[provisioned["Id"]]

    return record, delete


def _require_stable(provisioned: Json) -> None:
    if provisioned["Status"] == "UNDER_CHANGE":
        raise ServiceError(
            "InvalidParametersException",
            f"Provisioned product {provisioned['Id']} is under change; wait until the last operation has ended.",
        )


# ---- looking at them ------------------------------------------------------------------------------------------------


def _own() -> list[Json]:
    """Return the provisioned products of the current account and region, up to date."""
    for provisioned in PROVISIONED.mine():
        _refresh(provisioned)
    return PROVISIONED.mine()


def _find(request: Json) -> Json:
    wanted_id = request.get("ProvisionedProductId") or request.get("Id")
    wanted_name = request.get("ProvisionedProductName") or request.get("Name")
    found = store.pick(_own(), wanted_id, wanted_name)
    if found is None:
        raise store.missing(f"Provisioned product {wanted_id or wanted_name}")
    return found


@overlay(SERVICE, "DescribeRecord")
def describe_record(request: Json) -> Json:
    """Describe an operation: its status, errors and outputs."""
    record = RECORDS.own(request["Id"])
    provisioned = PROVISIONED.records.get(record["ProvisionedProductId"])
    if provisioned:
        _refresh(provisioned)
    return {"RecordDetail": record, "RecordOutputs": record["outputs"]}


@overlay(SERVICE, "DescribeProvisionedProduct")
def describe_provisioned_product(request: Json) -> Json:
    """Describe a provisioned product by id or name."""
    return {"ProvisionedProductDetail": _detail(_find(request)), "CloudWatchDashboards": []}


@overlay(SERVICE, "GetProvisionedProductOutputs")
def get_provisioned_product_outputs(request: Json) -> Json:
    """Return the outputs of the last operation that had any."""
    found = [record["outputs"] for record in _find(request)["records"] if record["outputs"]]
    outputs = {output["OutputKey"]: output for output in (found[-1] if found else [])}
    keys = request.get("OutputKeys", list(outputs))
    unknown = set(keys) - outputs.keys()
    if unknown:
        raise ServiceError("InvalidParametersException", f"Output keys not found: {', '.join(sorted(unknown))}")
    return {"Outputs": [output for key, output in outputs.items() if key in keys]}


@overlay(SERVICE, "SearchProvisionedProducts")
def search_provisioned_products(request: Json) -> Json:
    """Search the account's provisioned products by their name: queries of another form are not emulated."""
    queries = request.get("Filters", {}).get("SearchQuery", [])
    if "AccessLevelFilter" in request or not all(query.startswith("name:") for query in queries):
        raise ServiceError("InvalidParametersException", "Only searches for name:… are emulated here.")
    names = {query.removeprefix("name:").lower() for query in queries}
    found = [_detail(provisioned) for provisioned in _own() if names <= {provisioned["Name"].lower()}]
    return {"ProvisionedProducts": found, "TotalResultsCount": len(found)}


def _is_within(who: Caller, level: str) -> bool:
    """Whether what a principal did is visible to the caller at an access level: ``User``, ``Role`` or ``Account``."""
    me = caller()
    if level == "User":
        return who.session_arn == me.session_arn
    return who.arn == me.arn if level == "Role" else who.account == me.account


# ---- condition keys -------------------------------------------------------------------------------------------------


def level_keys(request: Json) -> dict[str, str]:
    """Return the condition keys that say whose provisioned products a request is about.

    ``servicecatalog:userLevel``, ``roleLevel`` and ``accountLevel`` are ``self`` when what it is about was made by
    the caller, by its role or in its account. Source:
    https://docs.aws.amazon.com/servicecatalog/latest/adminguide/permissions-examples.html
    """
    ids = (request.get("ProvisionedProductId"), request.get("Id"))
    names = (request.get("ProvisionedProductName"), request.get("Name"))
    makers = [p["who"] for p in PROVISIONED.mine() if p["Id"] in ids or p["Name"] in names]
    makers += [RECORDS.records[record]["who"] for record in ids if record in RECORDS.records]
    held = [level for level in ("User", "Role", "Account") if all(_is_within(who, level) for who in makers)]
    return {f"servicecatalog:{level.lower()}level": "self" for level in held}


iam.REQUEST_KEYS[SERVICE] = lambda action, request: level_keys(request)


@replaces(inside.helpers, "validate_stack_tags")
def _validate_stack_tags(validate: Callable[[list[Json]], object], tags: list[Json]) -> object:
    """Refuse ``aws:`` tags unless they are Service Catalog's own for a launch that is under way."""
    under_change = {p["Arn"] for p in PROVISIONED.records.values() if p["Status"] == "UNDER_CHANGE"}
    named = {str(tag.get("Value")) for tag in tags if tag.get("Key") == f"{_SYSTEM_TAG}provisionedProductArn"}
    if named and named <= under_change:
        tags = [tag for tag in tags if not str(tag.get("Key", "")).startswith(_SYSTEM_TAG)]
    return validate(tags)
