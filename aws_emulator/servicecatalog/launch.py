"""Launching, updating and terminating provisioned products of Service Catalog, with their records.

Service Catalog assumes the launch role and calls CloudFormation with it, so the launch role has to allow those calls:
https://docs.aws.amazon.com/servicecatalog/latest/adminguide/constraints-launch.html
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botocore.exceptions import ClientError
from ministack.core.responses import get_account_id, get_region

from aws_emulator import core, inside
from aws_emulator.clock import clock, random_id
from aws_emulator.core import Json, ServiceError, overlay
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import Caller, assume_as_service, caller, forwarded_credentials
from aws_emulator.records import tag_list, tag_map
from aws_emulator.servicecatalog import store
from aws_emulator.servicecatalog.catalog import choose_path, path_id, shown
from aws_emulator.servicecatalog.templates import check_parameters, load_template

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_emulator.servicecatalog.store import Artifact, Portfolio, Product

Client: TypeAlias = Any
"""A boto3 client."""
Answer: TypeAlias = Any
"""What a function of MiniStack returns."""

_SERVICE: Final = "servicecatalog"
_CAPABILITIES: Final = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_TEMPLATE_HOST: Final = "servicecatalog.invalid"
"""Host of the URL under which CloudFormation finds Service Catalog's own copy of a template."""
_SYSTEM_TAG: Final = "aws:servicecatalog:"


@dataclass(kw_only=True)
class Record:
    """One operation on a provisioned product and what came of it; `undo` takes back what a failed update changed."""

    id: str
    type: str
    account: str
    provisioned_product: str
    name: str
    product: str
    artifact: str
    path: str
    launch_role: str | None
    who: Caller
    tags: dict[str, str]
    created_time: float
    updated_time: float
    status: str = "CREATED"
    undo: Callable[[], None] | None = None
    errors: list[Json] = field(default_factory=list)
    outputs: list[Json] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether the operation is still under way."""
        return self.status not in ("SUCCEEDED", "FAILED")


@dataclass(kw_only=True)
class ProvisionedProduct:
    """A launched product: a stack in the account that launched it."""

    id: str
    account: str
    region: str
    name: str
    product: Product
    artifact: Artifact
    portfolio: Portfolio
    launch_role: str | None
    who: Caller
    parameters: dict[str, str]
    tags: dict[str, str]
    created_time: float
    token: str
    records: list[Record]
    stack_id: str | None = None
    status: str = "UNDER_CHANGE"
    status_message: str = ""

    @property
    def arn(self) -> str:
        """ARN of the provisioned product."""
        return store.catalog_arn("stack", f"{self.name}/{self.id}", self.account, self.region)

    @property
    def stack_name(self) -> str:
        """Name of the stack."""
        return f"SC-{self.account}-{self.id}"


PROVISIONED: Final[dict[str, ProvisionedProduct]] = {}
RECORDS: Final[dict[str, Record]] = {}
_TOKENS: Final[dict[tuple[str, str], str]] = {}
_lock: Final = clock.lock()


# ---- shapes of the API ----------------------------------------------------------------------------------------------


def _record_detail(record: Record) -> Json:
    return shown(
        "RecordDetail",
        record,
        RecordId=record.id,
        RecordType=record.type,
        ProvisionedProductName=record.name,
        ProvisionedProductType="CFN_STACK",
        ProvisionedProductId=record.provisioned_product,
        ProductId=record.product,
        ProvisioningArtifactId=record.artifact,
        PathId=record.path,
        RecordErrors=record.errors,
        RecordTags=tag_list(record.tags),
        LaunchRoleArn=record.launch_role,
    )


def _provisioned_detail(provisioned: ProvisionedProduct) -> Json:
    successes = [None, *(record.id for record in provisioned.records if record.status == "SUCCEEDED")]
    return shown(
        "ProvisionedProductDetail",
        provisioned,
        Type="CFN_STACK",
        IdempotencyToken=provisioned.token,
        LastRecordId=provisioned.records[-1].id,
        LastProvisioningRecordId=provisioned.records[-1].id,
        LastSuccessfulProvisioningRecordId=successes[-1],
        ProductId=provisioned.product.id,
        ProvisioningArtifactId=provisioned.artifact.id,
        LaunchRoleArn=provisioned.launch_role,
    )


# ---- the stack behind it --------------------------------------------------------------------------------------------


def _cloudformation(provisioned: ProvisionedProduct, who: Caller) -> Client:
    """Return a CloudFormation client with the launch role, or without one with the permissions of who asked."""
    if provisioned.launch_role:
        credentials = assume_as_service(provisioned.launch_role, "servicecatalog.amazonaws.com", "servicecatalog")
        return core.client("cloudformation", credentials=credentials)
    return core.client("cloudformation", credentials=forwarded_credentials(who))


def _stack_tags(provisioned: ProvisionedProduct) -> list[Json]:
    """Return the tags of the stack, the ones Service Catalog adds by itself included.

    Source: https://docs.aws.amazon.com/servicecatalog/latest/adminguide/autotags.html
    """
    system = {
        "portfolioArn": provisioned.portfolio.arn,
        "productArn": provisioned.product.arn,
        "provisionedProductArn": provisioned.arn,
        "provisioningArtifactIdentifier": provisioned.artifact.id,
        "provisioningPrincipalArn": provisioned.who.session_arn,
    }
    tags = provisioned.tags | {f"{_SYSTEM_TAG}{key}": value for key, value in system.items()}
    return tag_list(tags)


def _operate_stack(provisioned: ProvisionedProduct, operation: str, who: Caller) -> None:
    """Create or update the stack; raises what CloudFormation answers."""
    template = load_template(provisioned.artifact.template)
    check_parameters(template, provisioned.parameters)
    cloudformation = _cloudformation(provisioned, who)
    response = getattr(cloudformation, operation)(
        StackName=provisioned.stack_name,
        TemplateURL=f"https://{_TEMPLATE_HOST}/{provisioned.product.id}/{provisioned.artifact.id}",
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in provisioned.parameters.items()],
        Capabilities=_CAPABILITIES,
        Tags=_stack_tags(provisioned),
    )
    provisioned.stack_id = response["StackId"]


def _start(provisioned: ProvisionedProduct, operation: str, who: Caller) -> None:
    """Start an operation on the stack; what CloudFormation refuses at once ends in the record, as on AWS."""
    record = provisioned.records[-1]
    record.status = "IN_PROGRESS"
    try:
        _operate_stack(provisioned, operation, who)
    except (ServiceError, ClientError) as error:
        unchanged = "No updates are to be performed" in str(error)
        if unchanged:  # Service Catalog ends such an update successfully
            _finish(provisioned, "SUCCEEDED", "AVAILABLE")
            return
        _finish(provisioned, "FAILED", "ERROR" if provisioned.stack_id is None else "TAINTED", *_reason(error))


def _reason(error: ServiceError | ClientError) -> tuple[str, str]:
    """Return code and message of an error."""
    if isinstance(error, ServiceError):
        return error.code, error.message
    return error.response["Error"]["Code"], error.response["Error"]["Message"]


def _finish(
    provisioned: ProvisionedProduct, record_status: str, status: str, code: str = "", message: str = ""
) -> None:
    record = provisioned.records[-1]
    record.status, record.updated_time = record_status, clock.now()
    provisioned.status, provisioned.status_message = status, message
    if record_status == "FAILED" and record.undo:
        record.undo()
    if message:
        record.errors = [{"Code": code, "Description": message}]


def refresh(provisioned: ProvisionedProduct) -> None:
    """Bring a provisioned product and its open record up to date with the stack.

    ``TAINTED`` is a stable stack that is not as requested, ``ERROR`` one that does not run:
    https://docs.aws.amazon.com/servicecatalog/latest/dg/API_ProvisionedProductDetail.html
    """
    record = provisioned.records[-1]
    if not record.is_open:
        return
    with core.as_account(provisioned.account, provisioned.region):
        try:
            cloudformation = _cloudformation(provisioned, record.who)
            stack = cloudformation.describe_stacks(StackName=provisioned.stack_id)["Stacks"][0]
        except (ServiceError, ClientError) as error:  # the launch role is gone, or may not look at its stack
            _finish(provisioned, "FAILED", "ERROR", *_reason(error))
            return
        state = str(stack["StackStatus"])
        if state.endswith("IN_PROGRESS"):
            record.status = "IN_PROGRESS_IN_ERROR" if "ROLLBACK" in state else "IN_PROGRESS"
            return
        outputs = stack.get("Outputs", [])
        if state in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            record.outputs = _outputs(provisioned, outputs)
            _finish(provisioned, "SUCCEEDED", "AVAILABLE")
        elif state == "DELETE_COMPLETE":
            _finish(provisioned, "SUCCEEDED", "AVAILABLE")
            PROVISIONED.pop(provisioned.id, None)
        else:
            record.outputs = _outputs(provisioned, outputs)
            stable = state == "UPDATE_ROLLBACK_COMPLETE"
            reason = _failures(cloudformation, provisioned, record) or str(stack.get("StackStatusReason", state))
            _finish(provisioned, "FAILED", "TAINTED" if stable else "ERROR", state, reason)


def _outputs(provisioned: ProvisionedProduct, outputs: list[Json]) -> list[Json]:
    own = {
        "OutputKey": "CloudformationStackARN",
        "OutputValue": provisioned.stack_id,
        "Description": "The ARN of the launched Cloudformation Stack",
    }
    return [own, *({"Description": "", **output} for output in outputs)]


def _failures(cloudformation: Client, provisioned: ProvisionedProduct, record: Record) -> str:
    """Return why resources have failed since the record began, first failure first, or else why the stack has.

    What is wrong with a stack that does not get past the validation before its deployment, only ``DescribeEvents``
    tells: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html. Whether
    Service Catalog asks it is unknown; here it does not.
    """
    reasons, of_stack = [], ""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=provisioned.stack_id)
    for event in (event for page in pages for event in page["StackEvents"]):
        if event["Timestamp"].timestamp() < record.created_time - 1:
            break
        if not event["ResourceStatus"].endswith("_FAILED"):
            continue
        if event["PhysicalResourceId"] == provisioned.stack_id:
            of_stack = event.get("ResourceStatusReason", "")
        else:
            reasons.append(f"{event['LogicalResourceId']} ({event['ResourceType']}): {event['ResourceStatusReason']}")
    return " ".join(reversed(reasons)) or of_stack


# ---- launching ------------------------------------------------------------------------------------------------------


def _launch_role(product: Product, portfolio: Portfolio, account: str) -> str | None:
    """Return the role of the launch constraint, for a local name the one in the launching account."""
    for constraint in store.CONSTRAINTS.values():
        if (constraint.portfolio, constraint.product) == (portfolio.id, product.id):
            given = json.loads(constraint.parameters)
            return str(given.get("RoleArn") or f"arn:aws:iam::{account}:role/{given['LocalRoleName']}")
    return None


def _tags(request: Json, product: Product, portfolio: Portfolio, account: str) -> dict[str, str]:
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
    tags = portfolio.tags | product.tags | given
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


def _new_record(provisioned: ProvisionedProduct, kind: str, who: Caller) -> Record:
    record = Record(
        id=f"rec-{random_id()}",
        type=kind,
        account=provisioned.account,
        provisioned_product=provisioned.id,
        name=provisioned.name,
        product=provisioned.product.id,
        artifact=provisioned.artifact.id,
        path=path_id(provisioned.portfolio),
        launch_role=provisioned.launch_role,
        who=who,
        tags=dict(provisioned.tags),
        created_time=clock.now(),
        updated_time=clock.now(),
    )
    RECORDS[record.id] = record
    return record


def _repeated(token: str) -> Json | None:
    """Return the answer to an earlier request with the same idempotency token."""
    record_id = _TOKENS.get((get_account_id(), token))
    return None if record_id is None else {"RecordDetail": _record_detail(RECORDS[record_id])}


@overlay(_SERVICE, "ProvisionProduct")
def provision_product(request: Json) -> Json:
    """Launch a version of a product that the caller has access to."""
    who, name = caller(), request["ProvisionedProductName"]
    with _lock:
        repeated = _repeated(request["ProvisionToken"])
        if repeated:
            return repeated
        if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}", name):
            raise ServiceError("InvalidParametersException", f"Invalid provisioned product name: {name}")
        if any(p.name == name for p in _own()):
            raise ServiceError("DuplicateResourceException", f"A provisioned product named {name} exists already.")
        product = store.reachable_product(request.get("ProductId"), request.get("ProductName"), who)
        artifact = store.active_artifact(
            product, request.get("ProvisioningArtifactId"), request.get("ProvisioningArtifactName")
        )
        portfolio = choose_path(product, request)
        provisioned = ProvisionedProduct(
            id=f"pp-{random_id()}",
            account=who.account,
            region=who.region,
            name=name,
            product=product,
            artifact=artifact,
            portfolio=portfolio,
            launch_role=_launch_role(product, portfolio, who.account),
            who=who,
            parameters={item["Key"]: item["Value"] for item in request.get("ProvisioningParameters", [])},
            tags=_tags(request, product, portfolio, who.account),
            created_time=clock.now(),
            token=request["ProvisionToken"],
            records=[],
        )
        record = _new_record(provisioned, "PROVISION_PRODUCT", who)
        provisioned.records.append(record)
        PROVISIONED[provisioned.id] = provisioned
        _TOKENS[who.account, request["ProvisionToken"]] = record.id
    response = {"RecordDetail": _record_detail(record)}
    _start(provisioned, "create_stack", who)
    return response


@overlay(_SERVICE, "UpdateProvisionedProduct")
def update_provisioned_product(request: Json) -> Json:
    """Update a provisioned product to another version or other parameters."""
    who = caller()
    with _lock:
        repeated = _repeated(request["UpdateToken"])
        if repeated:
            return repeated
        provisioned = _find(request)
        _require_stable(provisioned)
        if provisioned.status == "ERROR":
            raise ServiceError(
                "InvalidParametersException",
                f"Provisioned product {provisioned.id} is in status ERROR: it can only be terminated.",
            )
        product = store.reachable_product(
            request.get("ProductId") or (None if "ProductName" in request else provisioned.product.id),
            request.get("ProductName"),
            who,
        )
        wanted = request.get("ProvisioningArtifactId"), request.get("ProvisioningArtifactName")
        keeps_version = wanted == (None, None)
        artifact = store.active_artifact(product, provisioned.artifact.id if keeps_version else wanted[0], wanted[1])
        portfolio = choose_path(product, {"PathId": path_id(provisioned.portfolio), **request})
        parameters = _updated_parameters(provisioned, request.get("ProvisioningParameters", []))
        changes = {
            "product": product,
            "artifact": artifact,
            "portfolio": portfolio,
            "parameters": parameters,
            "launch_role": _launch_role(product, portfolio, who.account),
            "tags": _tags(request, product, portfolio, who.account) if "Tags" in request else provisioned.tags,
        }
        before = {name: getattr(provisioned, name) for name in changes}
        _set(provisioned, changes)
        record = _new_record(provisioned, "UPDATE_PROVISIONED_PRODUCT", who)
        record.undo = functools.partial(_set, provisioned, before)
        provisioned.records.append(record)
        provisioned.status = "UNDER_CHANGE"
        _TOKENS[who.account, request["UpdateToken"]] = record.id
    response = {"RecordDetail": _record_detail(record)}
    _start(provisioned, "update_stack", who)
    return response


def _set(provisioned: ProvisionedProduct, values: Json) -> None:
    for name, value in values.items():
        setattr(provisioned, name, value)


def _updated_parameters(provisioned: ProvisionedProduct, changes: list[Json]) -> dict[str, str]:
    """Return the parameters of an update: those named, with their new or previous values; others get their defaults."""
    parameters = {}
    for item in changes:
        name = item["Key"]
        if not item.get("UsePreviousValue"):
            parameters[name] = item["Value"]
        elif name in provisioned.parameters:
            parameters[name] = provisioned.parameters[name]
    return parameters


@overlay(_SERVICE, "TerminateProvisionedProduct")
def terminate_provisioned_product(request: Json) -> Json:
    """Terminate a provisioned product: delete its stack."""
    who = caller()
    with _lock:
        repeated = _repeated(request["TerminateToken"])
        if repeated:
            return repeated
        provisioned = _find(request)
        _require_stable(provisioned)
        record = _new_record(provisioned, "TERMINATE_PROVISIONED_PRODUCT", who)
        provisioned.records.append(record)
        provisioned.status = "UNDER_CHANGE"
        _TOKENS[who.account, request["TerminateToken"]] = record.id
    response = {"RecordDetail": _record_detail(record)}
    record.status = "IN_PROGRESS"
    if provisioned.stack_id is None:
        _finish(provisioned, "SUCCEEDED", "AVAILABLE")
        del PROVISIONED[provisioned.id]
        return response
    try:
        _cloudformation(provisioned, who).delete_stack(StackName=provisioned.stack_id)
    except (ServiceError, ClientError) as error:
        _finish(provisioned, "FAILED", "ERROR", *_reason(error))
    if request.get("IgnoreErrors"):
        del PROVISIONED[provisioned.id]
    return response


def _require_stable(provisioned: ProvisionedProduct) -> None:
    if provisioned.status == "UNDER_CHANGE":
        raise ServiceError(
            "InvalidParametersException",
            f"Provisioned product {provisioned.id} is under change; wait until the last operation has ended.",
        )


# ---- looking at them ------------------------------------------------------------------------------------------------


def _own() -> list[ProvisionedProduct]:
    """Return the provisioned products of the current account and region, up to date."""
    mine = (get_account_id(), get_region())
    own = [p for p in PROVISIONED.values() if (p.account, p.region) == mine]
    for provisioned in own:
        refresh(provisioned)
    return [p for p in own if p.id in PROVISIONED]


def _find(request: Json) -> ProvisionedProduct:
    wanted_id = request.get("ProvisionedProductId") or request.get("Id")
    wanted_name = request.get("ProvisionedProductName") or request.get("Name")
    for provisioned in _own():
        if provisioned.id == wanted_id or (wanted_id is None and provisioned.name == wanted_name):
            return provisioned
    raise ServiceError("ResourceNotFoundException", f"Provisioned product {wanted_id or wanted_name} not found.")


def _record(record_id: str) -> Record:
    record = RECORDS.get(record_id)
    if record is None or record.account != get_account_id():
        raise ServiceError("ResourceNotFoundException", f"Record {record_id} not found.")
    provisioned = PROVISIONED.get(record.provisioned_product)
    if provisioned:
        refresh(provisioned)
    return record


@overlay(_SERVICE, "DescribeRecord")
def describe_record(request: Json) -> Json:
    """Describe an operation: its status, errors and outputs."""
    record = _record(request["Id"])
    return {"RecordDetail": _record_detail(record), "RecordOutputs": record.outputs}


@overlay(_SERVICE, "DescribeProvisionedProduct")
def describe_provisioned_product(request: Json) -> Json:
    """Describe a provisioned product by id or name."""
    return {"ProvisionedProductDetail": _provisioned_detail(_find(request)), "CloudWatchDashboards": []}


@overlay(_SERVICE, "GetProvisionedProductOutputs")
def get_provisioned_product_outputs(request: Json) -> Json:
    """Return the outputs of the last operation that had any."""
    provisioned = _find(request)
    outputs = next((record.outputs for record in reversed(provisioned.records) if record.outputs), [])
    keys = request.get("OutputKeys")
    unknown = set(keys or []) - {output["OutputKey"] for output in outputs}
    if unknown:
        raise ServiceError("InvalidParametersException", f"Output keys not found: {', '.join(sorted(unknown))}")
    return {"Outputs": [output for output in outputs if keys is None or output["OutputKey"] in keys]}


@overlay(_SERVICE, "SearchProvisionedProducts")
def search_provisioned_products(request: Json) -> Json:
    """Search the account's provisioned products (``SearchQuery``: ``field:value`` or part of a name)."""
    level = request.get("AccessLevelFilter", {"Key": "Account", "Value": "self"})["Key"]
    found = [_attribute(provisioned) for provisioned in _own() if is_within(provisioned.who, level)]
    for query in request.get("Filters", {}).get("SearchQuery", []):
        found = [attribute for attribute in found if _answers(attribute, query)]
    found.sort(key=lambda attribute: attribute["CreatedTime"], reverse=request.get("SortOrder") == "DESCENDING")
    return {"ProvisionedProducts": found, "TotalResultsCount": len(found)}


def _attribute(provisioned: ProvisionedProduct) -> Json:
    return _provisioned_detail(provisioned) | {
        "Tags": tag_list(provisioned.tags),
        "PhysicalId": provisioned.stack_id or "",
        "ProductName": provisioned.product.name,
        "ProvisioningArtifactName": provisioned.artifact.name,
        "UserArn": provisioned.who.arn,
        "UserArnSession": provisioned.who.session_arn,
    }


def _answers(attribute: Json, query: str) -> bool:
    name, separator, value = query.partition(":")
    if not separator:
        return query.lower() in str(attribute["Name"]).lower()
    fields = {key.lower(): str(content) for key, content in attribute.items()}
    return fields.get(name.lower(), "").lower() == value.lower()


def is_within(who: Caller, level: str) -> bool:
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
    levels = ("User", "Role", "Account")
    if "AccessLevelFilter" in request:
        held = levels[levels.index(request["AccessLevelFilter"]["Key"]) :]
    else:
        ids = (request.get("ProvisionedProductId"), request.get("Id"))
        names = (request.get("ProvisionedProductName"), request.get("Name"))
        mine = [p for p in PROVISIONED.values() if (p.account, p.region) == (get_account_id(), get_region())]
        makers = [p.who for p in mine if p.id in ids or p.name in names]
        makers += [RECORDS[record].who for record in ids if record in RECORDS]
        held = tuple(level for level in levels if all(is_within(who, level) for who in makers))
    return {f"servicecatalog:{level.lower()}level": "self" for level in held}


# ---- MiniStack's CloudFormation -------------------------------------------------------------------------------------


def install() -> None:
    """Let CloudFormation read Service Catalog's copies of templates and accept the tags that it adds."""
    iam.REQUEST_KEYS[_SERVICE] = lambda action, request: level_keys(request)
    resolve_document = inside.helpers.resolve_document
    validate_stack_tags = inside.helpers.validate_stack_tags

    def resolve(params: Json, body_key: str, url_key: str, label: str) -> Answer:
        url = params.get(url_key)
        url = url[0] if isinstance(url, list) else url
        if not url or _TEMPLATE_HOST not in url:
            return resolve_document(params, body_key, url_key, label)
        product_id, artifact_id = url.rsplit("/", 2)[1:]
        return store.artifact_of(store.PRODUCTS[product_id], artifact_id, None).template, None

    def validate(tags: list[Json]) -> Answer:
        """Refuse ``aws:`` tags unless they are Service Catalog's own for a launch that is under way."""
        under_change = {p.arn for p in PROVISIONED.values() if p.status == "UNDER_CHANGE"}
        named = {str(tag.get("Value")) for tag in tags if tag.get("Key") == f"{_SYSTEM_TAG}provisionedProductArn"}
        if named and named <= under_change:
            tags = [tag for tag in tags if not str(tag.get("Key", "")).startswith(_SYSTEM_TAG)]
        return validate_stack_tags(tags)

    inside.helpers.resolve_document = resolve
    inside.helpers.validate_stack_tags = validate
