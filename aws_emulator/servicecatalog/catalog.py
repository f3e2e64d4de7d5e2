"""Service Catalog's portfolios, products, versions, sharing and browsing; launching is in `servicecatalog_launch`."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import urlparse

from botocore import xform_name
from botocore.exceptions import ClientError
from ministack.core.responses import get_account_id, get_region

from aws_emulator import core
from aws_emulator.clock import clock, random_id
from aws_emulator.core import Json, ServiceError, overlay
from aws_emulator.iam.callers import caller
from aws_emulator.records import page, tag_list, tag_map
from aws_emulator.servicecatalog import store
from aws_emulator.servicecatalog.store import Artifact, Constraint, Portfolio, Principal, Product, Share, TagOption
from aws_emulator.servicecatalog.templates import load_template, template_outputs, template_parameters
from aws_emulator.shapes import structure

PATTERNS_PER_PORTFOLIO: Final = 10
"""Documented limit of IAM_PATTERN associations of one portfolio (AssociatePrincipalWithPortfolio)."""

_PRODUCT_TEXTS: Final = ("Description", "Distributor", "SupportDescription", "SupportEmail", "SupportUrl")
SERVICE: Final = "servicecatalog"
_TYPE: Final = "CLOUD_FORMATION_TEMPLATE"


# ---- shapes of the API ----------------------------------------------------------------------------------------------


def shown(shape: str, thing: object, **others: Any) -> Json:  # noqa: ANN401
    """Return a structure of the API: attributes by the names of its members, and other members."""
    names = structure(SERVICE, shape)
    return {name: getattr(thing, xform_name(name)) for name in names if hasattr(thing, xform_name(name))} | others


def paged(request: Json, key: str, items: list[Json], *, token: str = "NextPageToken") -> Json:  # noqa: S107
    """Return one page of a list."""
    return page(request, key, items, size=20, members=("PageSize", "PageToken", token))


def _portfolio_detail(portfolio: Portfolio) -> Json:
    return shown("PortfolioDetail", portfolio, DisplayName=portfolio.name, ProviderName=portfolio.provider)


def _artifact_detail(artifact: Artifact) -> Json:
    return shown("ProvisioningArtifactDetail", artifact, Type=_TYPE)


def _product_view(product: Product) -> Json:
    return shown(
        "ProductViewSummary",
        product,
        Id=f"prodview-{product.id.removeprefix('prod-')}",
        ProductId=product.id,
        ShortDescription=product.details.get("Description", ""),
        Type=_TYPE,
        HasDefaultPath=False,
        **product.details,
    )


def _product_detail(product: Product) -> Json:
    view, status = _product_view(product), "AVAILABLE"
    return shown("ProductViewDetail", product, ProductViewSummary=view, Status=status, ProductARN=product.arn)


def _tag_option_detail(option: TagOption) -> Json:
    return shown("TagOptionDetail", option, Owner=option.account)


# ---- portfolios -----------------------------------------------------------------------------------------------------


@overlay(SERVICE, "CreatePortfolio")
def create_portfolio(request: Json) -> Json:
    """Create a portfolio."""
    portfolio = Portfolio(
        id=f"port-{random_id()}",
        account=get_account_id(),
        region=get_region(),
        name=request["DisplayName"],
        provider=request["ProviderName"],
        description=request.get("Description", ""),
        tags=tag_map(request.get("Tags")),
        created_time=clock.now(),
    )
    store.PORTFOLIOS[portfolio.id] = portfolio
    return {"PortfolioDetail": _portfolio_detail(portfolio), "Tags": tag_list(portfolio.tags)}


@overlay(SERVICE, "UpdatePortfolio")
def update_portfolio(request: Json) -> Json:
    """Change the texts and tags of a portfolio."""
    portfolio = store.own_portfolio(request["Id"])
    portfolio.name = request.get("DisplayName", portfolio.name)
    portfolio.description = request.get("Description", portfolio.description)
    portfolio.provider = request.get("ProviderName", portfolio.provider)
    for key in request.get("RemoveTags", []):
        portfolio.tags.pop(key, None)
    portfolio.tags.update(tag_map(request.get("AddTags")))
    return {"PortfolioDetail": _portfolio_detail(portfolio), "Tags": tag_list(portfolio.tags)}


@overlay(SERVICE, "DeletePortfolio")
def delete_portfolio(request: Json) -> Json:
    """Delete a portfolio without products, constraints, principals or shares (as documented for DeletePortfolio)."""
    portfolio = store.own_portfolio(request["Id"])
    store.settle_shares()
    constraints = [c for c in store.CONSTRAINTS.values() if c.portfolio == portfolio.id]
    if portfolio.products or portfolio.principals or portfolio.shares or constraints:
        raise ServiceError(
            "ResourceInUseException",
            f"Portfolio {portfolio.id} cannot be deleted while it has products ({len(portfolio.products)}), principals "
            f"({len(portfolio.principals)}), constraints ({len(constraints)}) or shares ({len(portfolio.shares)}).",
        )
    del store.PORTFOLIOS[portfolio.id]
    return {}


@overlay(SERVICE, "ListPortfolios")
def list_portfolios(request: Json) -> Json:
    """List the portfolios that the account owns."""
    own = [p for p in store.visible_portfolios() if p.account == get_account_id()]
    return paged(request, "PortfolioDetails", [_portfolio_detail(p) for p in own])


# ---- products and versions ------------------------------------------------------------------------------------------


def _new_artifact(parameters: Json) -> Artifact:
    url = parameters.get("Info", {}).get("LoadTemplateFromURL")
    if not url:
        raise ServiceError("InvalidParametersException", "Info must contain LoadTemplateFromURL.")
    template = _read_template(url)
    load_template(template)
    return Artifact(
        id=f"pa-{random_id()}",
        name=parameters.get("Name", ""),
        description=parameters.get("Description", ""),
        template_url=url,
        template=template,
        created_time=clock.now(),
    )


def _read_template(url: str) -> str:
    """Read a template from S3: virtual-hosted-style or path-style URL, as Service Catalog accepts them."""
    parts = urlparse(url)
    hosted = re.fullmatch(r"(?P<bucket>.+)\.s3[.-][a-z0-9.-]*amazonaws\.com(\.cn)?", parts.netloc)
    path = parts.path.lstrip("/")
    bucket, key = (hosted["bucket"], path) if hosted else path.split("/", 1)
    try:
        body: bytes = core.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        reason = error.response["Error"]["Message"]
        raise ServiceError(
            "InvalidParametersException", f"Invalid templateBody. Template at {url} cannot be read: {reason}"
        ) from error
    return body.decode()


@overlay(SERVICE, "CreateProduct")
def create_product(request: Json) -> Json:
    """Create a product with its first version."""
    product = Product(
        id=f"prod-{random_id()}",
        account=get_account_id(),
        region=get_region(),
        name=request["Name"],
        owner=request["Owner"],
        details={key: request[key] for key in _PRODUCT_TEXTS if key in request},
        tags=tag_map(request.get("Tags")),
        created_time=clock.now(),
        artifacts=[_new_artifact(request.get("ProvisioningArtifactParameters", {}))],
    )
    store.PRODUCTS[product.id] = product
    return {
        "ProductViewDetail": _product_detail(product),
        "ProvisioningArtifactDetail": _artifact_detail(product.artifacts[0]),
        "Tags": tag_list(product.tags),
    }


@overlay(SERVICE, "UpdateProduct")
def update_product(request: Json) -> Json:
    """Change the texts and tags of a product."""
    product = store.own_product(request["Id"])
    product.name = request.get("Name", product.name)
    product.owner = request.get("Owner", product.owner)
    product.details.update({key: request[key] for key in _PRODUCT_TEXTS if key in request})
    for key in request.get("RemoveTags", []):
        product.tags.pop(key, None)
    product.tags.update(tag_map(request.get("AddTags")))
    return {"ProductViewDetail": _product_detail(product), "Tags": tag_list(product.tags)}


@overlay(SERVICE, "DeleteProduct")
def delete_product(request: Json) -> Json:
    """Delete a product that is in no portfolio (as documented for DeleteProduct)."""
    product = store.own_product(request["Id"])
    if any(product.id in portfolio.products for portfolio in store.PORTFOLIOS.values()):
        raise ServiceError(
            "ResourceInUseException", f"Product {product.id} cannot be deleted while it is in a portfolio."
        )
    del store.PRODUCTS[product.id]
    return {}


@overlay(SERVICE, "CreateProvisioningArtifact")
def create_provisioning_artifact(request: Json) -> Json:
    """Add a version to a product."""
    product = store.own_product(request["ProductId"])
    artifact = _new_artifact(request["Parameters"])
    product.artifacts.append(artifact)
    info = {"LoadTemplateFromURL": artifact.template_url}
    return {"ProvisioningArtifactDetail": _artifact_detail(artifact), "Info": info, "Status": "AVAILABLE"}


@overlay(SERVICE, "UpdateProvisioningArtifact")
def update_provisioning_artifact(request: Json) -> Json:
    """Change name, description, active flag or guidance of a version."""
    product = store.own_product(request["ProductId"])
    artifact = store.artifact_of(product, request["ProvisioningArtifactId"], None)
    artifact.name = request.get("Name", artifact.name)
    artifact.description = request.get("Description", artifact.description)
    artifact.active = request.get("Active", artifact.active)
    artifact.guidance = request.get("Guidance", artifact.guidance)
    info = {"TemplateUrl": artifact.template_url}
    return {"ProvisioningArtifactDetail": _artifact_detail(artifact), "Info": info, "Status": "AVAILABLE"}


@overlay(SERVICE, "DeleteProvisioningArtifact")
def delete_provisioning_artifact(request: Json) -> Json:
    """Delete a version; the last one stays (as documented for DeleteProvisioningArtifact)."""
    product = store.own_product(request["ProductId"])
    artifact = store.artifact_of(product, request["ProvisioningArtifactId"], None)
    if len(product.artifacts) == 1:
        raise ServiceError(
            "ResourceInUseException", f"Product {product.id} cannot lose its last version, {artifact.id}."
        )
    product.artifacts.remove(artifact)
    return {}


@overlay(SERVICE, "ListProvisioningArtifacts")
def list_provisioning_artifacts(request: Json) -> Json:
    """List every version of a product, inactive ones included: the administrator's view."""
    product = store.admin_product(request["ProductId"], None)
    return {"ProvisioningArtifactDetails": [_artifact_detail(artifact) for artifact in product.artifacts]}


@overlay(SERVICE, "SearchProductsAsAdmin")
def search_products_as_admin(request: Json) -> Json:
    """List the products of the account, or those of one portfolio that it owns or imported."""
    if request.get("PortfolioId"):
        ids = store.visible_portfolio(request["PortfolioId"]).products
        found = [store.PRODUCTS[product_id] for product_id in ids]
    else:
        mine = (get_account_id(), get_region())
        found = [product for product in store.PRODUCTS.values() if (product.account, product.region) == mine]
    found = [product for product in found if _matches(product, request.get("Filters", {}))]
    return paged(request, "ProductViewDetails", [_product_detail(product) for product in found])


def _matches(product: Product, filters: dict[str, list[str]]) -> bool:
    """Whether a product passes search filters (``FullTextSearch`` and ``Owner``)."""
    text = f"{product.name} {product.owner} {' '.join(product.details.values())}".lower()
    words = filters.get("FullTextSearch", [])
    owners = filters.get("Owner", [])
    return all(word.lower() in text for word in words) and (not owners or product.owner in owners)


@overlay(SERVICE, "AssociateProductWithPortfolio")
def associate_product_with_portfolio(request: Json) -> Json:
    """Put a product in a portfolio."""
    portfolio, product = store.own_portfolio(request["PortfolioId"]), store.own_product(request["ProductId"])
    if product.id not in portfolio.products:
        portfolio.products.append(product.id)
    return {}


@overlay(SERVICE, "DisassociateProductFromPortfolio")
def disassociate_product_from_portfolio(request: Json) -> Json:
    """Take a product out of a portfolio that has no constraint on it."""
    portfolio, product = store.own_portfolio(request["PortfolioId"]), store.own_product(request["ProductId"])
    if any((c.portfolio, c.product) == (portfolio.id, product.id) for c in store.CONSTRAINTS.values()):
        raise ServiceError(
            "ResourceInUseException",
            f"Product {product.id} cannot leave portfolio {portfolio.id} while a constraint applies to it.",
        )
    if product.id in portfolio.products:
        portfolio.products.remove(product.id)
    return {}


@overlay(SERVICE, "ListPortfoliosForProduct")
def list_portfolios_for_product(request: Json) -> Json:
    """List the portfolios, own and imported, that contain a product."""
    product = store.admin_product(request["ProductId"], None)
    found = [portfolio for portfolio in store.visible_portfolios() if product.id in portfolio.products]
    return paged(request, "PortfolioDetails", [_portfolio_detail(portfolio) for portfolio in found])


# ---- principals -----------------------------------------------------------------------------------------------------


def _principal(request: Json) -> Principal:
    arn, kind = request["PrincipalARN"], request.get("PrincipalType", "IAM")
    pattern = {
        "IAM": r"arn:[^:]+:iam::\d{12}:(role|user|group)/.+",
        "IAM_PATTERN": r"arn:[^:]+:iam:::(role|user|group)/.+",
    }[kind]
    if not re.fullmatch(pattern, arn):
        raise ServiceError("InvalidParametersException", f"Invalid principal ARN {arn} for principal type {kind}.")
    return Principal(account=get_account_id(), arn=arn, type=kind)


@overlay(SERVICE, "AssociatePrincipalWithPortfolio")
def associate_principal_with_portfolio(request: Json) -> Json:
    """Associate a principal with an own portfolio, or locally with an imported one."""
    portfolio, principal = store.visible_portfolio(request["PortfolioId"]), _principal(request)
    if principal in portfolio.principals:
        return {}
    if principal.type == "IAM":
        _require_principal(principal.arn)
    patterns = [p for p in portfolio.principals if (p.account, p.type) == (principal.account, "IAM_PATTERN")]
    if principal.type == "IAM_PATTERN" and len(patterns) >= PATTERNS_PER_PORTFOLIO:
        raise ServiceError(
            "LimitExceededException",
            f"Portfolio {portfolio.id} has {len(patterns)} IAM_PATTERN principals, the most that is allowed.",
        )
    portfolio.principals.append(principal)
    return {}


def _require_principal(arn: str) -> None:
    """Check that a fully defined principal exists in the current account (documented for PrincipalType ``IAM``)."""
    kind, name = arn.split(":", 5)[5].split("/", 1)
    name = name.rsplit("/", 1)[-1]
    try:
        getattr(core.client("iam"), f"get_{kind}")(**{f"{kind.capitalize()}Name": name})
    except ClientError as error:
        raise ServiceError("ResourceNotFoundException", f"Principal {arn} not found.") from error


@overlay(SERVICE, "DisassociatePrincipalFromPortfolio")
def disassociate_principal_from_portfolio(request: Json) -> Json:
    """Undo an association that the current account made."""
    portfolio, principal = store.visible_portfolio(request["PortfolioId"]), _principal(request)
    if principal in portfolio.principals:
        portfolio.principals.remove(principal)
    return {}


@overlay(SERVICE, "ListPrincipalsForPortfolio")
def list_principals_for_portfolio(request: Json) -> Json:
    """List the principals that count in the current account, shared name patterns included."""
    principals = store.visible_portfolio(request["PortfolioId"]).principals_in(get_account_id())
    return paged(request, "Principals", [{"PrincipalARN": p.arn, "PrincipalType": p.type} for p in principals])


# ---- constraints ----------------------------------------------------------------------------------------------------


@overlay(SERVICE, "CreateConstraint")
def create_constraint(request: Json) -> Json:
    """Create a launch constraint (the only type here).

    A local role name "must exist in the account used to create the launch constraint and the account of the user who
    launches": https://docs.aws.amazon.com/servicecatalog/latest/dg/API_CreateConstraint.html
    """
    portfolio, product = store.own_portfolio(request["PortfolioId"]), store.own_product(request["ProductId"])
    if product.id not in portfolio.products:
        raise ServiceError(
            "ResourceNotFoundException", f"Product {product.id} is not associated with portfolio {portfolio.id}."
        )
    if request["Type"] != "LAUNCH":
        raise ServiceError("InvalidParametersException", f"Constraint type {request['Type']} is not supported here.")
    if any((c.portfolio, c.product) == (portfolio.id, product.id) for c in store.CONSTRAINTS.values()):
        raise ServiceError(
            "DuplicateResourceException",
            f"Product {product.id} has a launch constraint in portfolio {portfolio.id} already.",
        )
    _check_launch_role(request["Parameters"])
    constraint = Constraint(
        id=f"cons-{random_id()}",
        account=get_account_id(),
        type=request["Type"],
        portfolio=portfolio.id,
        product=product.id,
        description=request.get("Description", ""),
        parameters=request["Parameters"],
    )
    store.CONSTRAINTS[constraint.id] = constraint
    return _constraint_response(constraint)


def _check_launch_role(parameters: str) -> None:
    try:
        given = json.loads(parameters)
    except ValueError as error:
        raise ServiceError("InvalidParametersException", f"Constraint parameters are not JSON: {error}") from error
    if set(given) not in ({"RoleArn"}, {"LocalRoleName"}):
        raise ServiceError(
            "InvalidParametersException", "A launch constraint has exactly one of RoleArn and LocalRoleName."
        )
    name = given["LocalRoleName"] if "LocalRoleName" in given else given["RoleArn"].rsplit("/", 1)[-1]
    try:
        core.client("iam").get_role(RoleName=name)
    except ClientError as error:
        raise ServiceError(
            "InvalidParametersException",
            f"Launch role {name} does not exist in account {get_account_id()}, which creates the launch constraint.",
        ) from error


def _constraint_response(constraint: Constraint) -> Json:
    ids = {"ConstraintId": constraint.id, "ProductId": constraint.product, "PortfolioId": constraint.portfolio}
    detail = shown("ConstraintDetail", constraint, Owner=constraint.account, **ids)
    return {"ConstraintDetail": detail, "ConstraintParameters": constraint.parameters, "Status": "AVAILABLE"}


def _constraint(constraint_id: str) -> Constraint:
    constraint = store.CONSTRAINTS.get(constraint_id)
    if constraint is None or constraint.account != get_account_id():
        raise ServiceError("ResourceNotFoundException", f"Constraint {constraint_id} not found.")
    return constraint


@overlay(SERVICE, "UpdateConstraint")
def update_constraint(request: Json) -> Json:
    """Change description or parameters of a constraint."""
    constraint = _constraint(request["Id"])
    if "Parameters" in request:
        _check_launch_role(request["Parameters"])
        constraint.parameters = request["Parameters"]
    constraint.description = request.get("Description", constraint.description)
    return _constraint_response(constraint)


@overlay(SERVICE, "DeleteConstraint")
def delete_constraint(request: Json) -> Json:
    """Delete a constraint."""
    del store.CONSTRAINTS[_constraint(request["Id"]).id]
    return {}


@overlay(SERVICE, "ListConstraintsForPortfolio")
def list_constraints_for_portfolio(request: Json) -> Json:
    """List the constraints of a portfolio, own or imported, or of one product in it."""
    portfolio = store.visible_portfolio(request["PortfolioId"])
    found = [
        _constraint_response(constraint)["ConstraintDetail"]
        for constraint in store.CONSTRAINTS.values()
        if constraint.portfolio == portfolio.id and request.get("ProductId") in (None, constraint.product)
    ]
    return paged(request, "ConstraintDetails", found)


# ---- TagOptions -----------------------------------------------------------------------------------------------------


def _tag_option(option_id: str) -> TagOption:
    option = store.TAG_OPTIONS.get(option_id)
    if option is None or (option.account, option.region) != (get_account_id(), get_region()):
        raise ServiceError("ResourceNotFoundException", f"TagOption {option_id} not found.")
    return option


@overlay(SERVICE, "CreateTagOption")
def create_tag_option(request: Json) -> Json:
    """Create a TagOption."""
    option = TagOption(
        id=f"tag-{random_id()}",
        account=get_account_id(),
        region=get_region(),
        key=request["Key"],
        value=request["Value"],
    )
    if any((o.key, o.value) == (option.key, option.value) for o in _own_tag_options()):
        raise ServiceError("DuplicateResourceException", f"TagOption {option.key}={option.value} exists already.")
    store.TAG_OPTIONS[option.id] = option
    return {"TagOptionDetail": _tag_option_detail(option)}


def _own_tag_options() -> list[TagOption]:
    mine = (get_account_id(), get_region())
    return [option for option in store.TAG_OPTIONS.values() if (option.account, option.region) == mine]


@overlay(SERVICE, "UpdateTagOption")
def update_tag_option(request: Json) -> Json:
    """Change value or active flag of a TagOption."""
    option = _tag_option(request["Id"])
    option.value = request.get("Value", option.value)
    option.active = request.get("Active", option.active)
    return {"TagOptionDetail": _tag_option_detail(option)}


@overlay(SERVICE, "DeleteTagOption")
def delete_tag_option(request: Json) -> Json:
    """Delete a TagOption that is associated with nothing (as documented for DeleteTagOption)."""
    option = _tag_option(request["Id"])
    if any(linked == option.id for _, linked in store.TAG_OPTION_LINKS):
        raise ServiceError(
            "ResourceInUseException", f"TagOption {option.id} is associated with a portfolio or product."
        )
    del store.TAG_OPTIONS[option.id]
    return {}


@overlay(SERVICE, "AssociateTagOptionWithResource")
def associate_tag_option_with_resource(request: Json) -> Json:
    """Associate a TagOption with an own portfolio or product."""
    option = _tag_option(request["TagOptionId"])
    resource = request["ResourceId"]
    found: Portfolio | Product = (
        store.own_portfolio(resource) if resource.startswith("port-") else store.own_product(resource)
    )
    if (found.id, option.id) in store.TAG_OPTION_LINKS:
        raise ServiceError("DuplicateResourceException", f"TagOption {option.id} is associated with {found.id}.")
    store.TAG_OPTION_LINKS.append((found.id, option.id))
    return {}


@overlay(SERVICE, "DisassociateTagOptionFromResource")
def disassociate_tag_option_from_resource(request: Json) -> Json:
    """Undo the association of a TagOption."""
    link = (request["ResourceId"], _tag_option(request["TagOptionId"]).id)
    if link not in store.TAG_OPTION_LINKS:
        raise ServiceError("ResourceNotFoundException", f"TagOption {link[1]} is not associated with {link[0]}.")
    store.TAG_OPTION_LINKS.remove(link)
    return {}


# ---- sharing --------------------------------------------------------------------------------------------------------


def _require_organization_admin() -> None:
    """Check that the current account may share with organization nodes.

    Sharing with them is for the management account and delegated administrators; the error is the one that the API
    reference lists: https://docs.aws.amazon.com/servicecatalog/latest/dg/API_CreatePortfolioShare.html
    """
    organization, account = core.organization(), get_account_id()
    if account != organization.management_account and account not in organization.delegated_administrators:
        raise ServiceError(
            "OperationNotSupportedException",
            f"Account {account} is neither the management account of the organization nor a delegated administrator "
            "of AWS Service Catalog.",
        )


def _node(request: Json) -> tuple[str, str]:
    """Return type and value of the node a request names."""
    given = request.get("OrganizationNode")
    if bool(given) == bool(request.get("AccountId")):
        raise ServiceError("InvalidParametersException", "Give either AccountId or OrganizationNode.")
    if not given:
        raise ServiceError(
            "InvalidParametersException", "Sharing with an account that has to accept is not emulated here."
        )
    _require_organization_admin()
    return given["Type"], given["Value"]


def _find_share(portfolio: Portfolio, node: tuple[str, str]) -> Share | None:
    return next((share for share in portfolio.shares if (share.node_type, share.node) == node), None)


def _under_way(portfolio: Portfolio, node: str) -> bool:
    store.settle_shares()
    return any(
        (operation.portfolio, operation.node) == (portfolio.id, node) and not operation.applied
        for operation in store.SHARE_OPERATIONS.values()
    )


def _changing_share(portfolio: Portfolio, node: tuple[str, str]) -> Share:
    """Return a share that can be changed; not while an operation on it is under way (API reference)."""
    if _under_way(portfolio, node[1]):
        raise ServiceError("InvalidStateException", f"An operation on the share with {node[1]} is in progress.")
    share = _find_share(portfolio, node)
    if share is None:
        raise ServiceError("ResourceNotFoundException", f"Portfolio {portfolio.id} is not shared with {node[1]}.")
    return share


@overlay(SERVICE, "CreatePortfolioShare")
def create_portfolio_share(request: Json) -> Json:
    """Share a portfolio with an organization node, asynchronously: the answer is a token.

    A share that exists already is left as it is and is no error (API reference).
    """
    portfolio, node = store.own_portfolio(request["PortfolioId"]), _node(request)
    if request.get("SharePrincipals") and node[0] not in ("ORGANIZATION", "ORGANIZATIONAL_UNIT"):
        raise ServiceError(
            "InvalidParametersException", "SharePrincipals needs a node of type ORGANIZATION or ORGANIZATIONAL_UNIT."
        )
    share = Share(
        node_type=node[0],
        node=node[1],
        share_principals=request.get("SharePrincipals", False),
        share_tag_options=request.get("ShareTagOptions", False),
    )
    store.node_accounts(*node)

    def apply() -> None:
        if _find_share(portfolio, node) is None:
            portfolio.shares.append(share)

    return {"PortfolioShareToken": store.begin_share_operation(portfolio, node[1], apply).token}


@overlay(SERVICE, "UpdatePortfolioShare")
def update_portfolio_share(request: Json) -> Json:
    """Change the options of a share."""
    portfolio, node = store.own_portfolio(request["PortfolioId"]), _node(request)
    share = _changing_share(portfolio, node)

    def apply() -> None:
        share.share_principals = request.get("SharePrincipals", share.share_principals)
        share.share_tag_options = request.get("ShareTagOptions", share.share_tag_options)

    operation = store.begin_share_operation(portfolio, node[1], apply)
    return {"PortfolioShareToken": operation.token, "Status": "IN_PROGRESS"}


@overlay(SERVICE, "DeletePortfolioShare")
def delete_portfolio_share(request: Json) -> Json:
    """Stop sharing a portfolio."""
    portfolio, node = store.own_portfolio(request["PortfolioId"]), _node(request)
    share = _changing_share(portfolio, node)
    operation = store.begin_share_operation(portfolio, node[1], lambda: portfolio.shares.remove(share))
    return {"PortfolioShareToken": operation.token}


@overlay(SERVICE, "DescribePortfolioShareStatus")
def describe_portfolio_share_status(request: Json) -> Json:
    """Tell how far a share operation is."""
    _require_organization_admin()
    store.settle_shares()
    operation = store.SHARE_OPERATIONS.get(request["PortfolioShareToken"])
    if operation is None:
        raise ServiceError("ResourceNotFoundException", f"Share token {request['PortfolioShareToken']} not found.")
    portfolio = store.own_portfolio(operation.portfolio)
    accounts = [account for account in core.organization().accounts if portfolio.shares_with(account)]
    return {
        "PortfolioShareToken": operation.token,
        "PortfolioId": portfolio.id,
        "OrganizationNodeValue": operation.node,
        "Status": "COMPLETED" if operation.applied else "IN_PROGRESS",
        "ShareDetails": {"SuccessfulShares": accounts if operation.applied else [], "ShareErrors": []},
    }


@overlay(SERVICE, "DescribePortfolioShares")
def describe_portfolio_shares(request: Json) -> Json:
    """List the shares of one type."""
    portfolio = store.own_portfolio(request["PortfolioId"])
    store.settle_shares()
    wanted = {"ORGANIZATION_MEMBER_ACCOUNT": "ACCOUNT"}.get(request["Type"], request["Type"])
    details = [
        shown("PortfolioShareDetail", share, PrincipalId=share.node, Type=request["Type"], Accepted=True)
        for share in portfolio.shares
        if share.node_type == wanted
    ]
    return paged(request, "PortfolioShareDetails", details)


@overlay(SERVICE, "ListAcceptedPortfolioShares")
def list_accepted_portfolio_shares(request: Json) -> Json:
    """List imported portfolios: those shared through the organization; nobody accepts others here."""
    imported = request.get("PortfolioShareType", "IMPORTED") == "AWS_ORGANIZATIONS"
    found = [p for p in store.visible_portfolios() if imported and p.account != get_account_id()]
    return paged(request, "PortfolioDetails", [_portfolio_detail(portfolio) for portfolio in found])


# ---- the end user's view --------------------------------------------------------------------------------------------


@overlay(SERVICE, "SearchProducts")
def search_products(request: Json) -> Json:
    """List the products to which the caller has access."""
    who = caller()
    found = [
        _product_view(product)
        for product in store.PRODUCTS.values()
        if _matches(product, request.get("Filters", {})) and store.launch_paths(product.id, who)
    ]
    if request.get("SortBy") == "Title":
        found.sort(key=lambda view: view["Name"], reverse=request.get("SortOrder") == "DESCENDING")
    return {**paged(request, "ProductViewSummaries", found), "ProductViewAggregations": {}}


@overlay(SERVICE, "DescribeProduct")
def describe_product(request: Json) -> Json:
    """Describe a product the caller has access to, with its active versions and launch paths."""
    who = caller()
    product = store.reachable_product(request.get("Id"), request.get("Name"), who)
    versions = [shown("ProvisioningArtifact", artifact) for artifact in product.artifacts if artifact.active]
    paths = [{"Id": path_id(portfolio), "Name": portfolio.name} for portfolio in store.launch_paths(product.id, who)]
    return {"ProductViewSummary": _product_view(product), "ProvisioningArtifacts": versions, "LaunchPaths": paths}


def path_id(portfolio: Portfolio) -> str:
    """Return the id of the launch path through a portfolio."""
    return f"lpv3-{portfolio.id.removeprefix('port-')}"


def constraint_summaries(product_id: str, portfolio: Portfolio) -> list[Json]:
    """Return the constraints of a product in a portfolio as the API summarises them."""
    return [
        {"Type": constraint.type, "Description": constraint.description}
        for constraint in store.CONSTRAINTS.values()
        if (constraint.portfolio, constraint.product) == (portfolio.id, product_id)
    ]


@overlay(SERVICE, "ListLaunchPaths")
def list_launch_paths(request: Json) -> Json:
    """List the ways in which the caller may launch a product."""
    who = caller()
    product = store.reachable_product(request["ProductId"], None, who)
    summaries: list[Json] = [
        {
            "Id": path_id(portfolio),
            "Name": portfolio.name,
            "ConstraintSummaries": constraint_summaries(product.id, portfolio),
            "Tags": tag_list(portfolio.tags | product.tags),
        }
        for portfolio in store.launch_paths(product.id, who)
    ]
    return paged(request, "LaunchPathSummaries", summaries)


def choose_path(product: Product, request: Json) -> Portfolio:
    """Return the portfolio through which a request launches a product.

    Raises:
        ServiceError: The caller has no path, not the one asked for, or several without saying which.
    """
    paths = store.launch_paths(product.id, caller())
    wanted: tuple[Any, Any] = request.get("PathId"), request.get("PathName")
    if any(wanted):
        paths = [portfolio for portfolio in paths if path_id(portfolio) == wanted[0] or portfolio.name == wanted[1]]
    if not paths:
        raise ServiceError("ResourceNotFoundException", f"No launch paths found for resource: {product.id}")
    if len(paths) > 1:
        names = ", ".join(sorted(portfolio.name for portfolio in paths))
        raise ServiceError(
            "InvalidParametersException", f"PathId is required: product {product.id} has several launch paths: {names}."
        )
    return paths[0]


@overlay(SERVICE, "DescribeProvisioningParameters")
def describe_provisioning_parameters(request: Json) -> Json:
    """Tell what has to be given to launch a version: the template's parameters, TagOptions and constraints."""
    who = caller()
    product = store.reachable_product(request.get("ProductId"), request.get("ProductName"), who)
    artifact = store.active_artifact(
        product, request.get("ProvisioningArtifactId"), request.get("ProvisioningArtifactName")
    )
    portfolio = choose_path(product, request)
    template = load_template(artifact.template)
    outputs = template_outputs(template)
    options = store.tag_options(product, portfolio, who.account)
    return {
        "ProvisioningArtifactParameters": template_parameters(template),
        "ConstraintSummaries": constraint_summaries(product.id, portfolio),
        "UsageInstructions": [{"Type": "guidance", "Value": artifact.guidance}],
        "TagOptions": [{"Key": key, "Values": values} for key, values in options.items()],
        "ProvisioningArtifactOutputs": outputs,
        "ProvisioningArtifactOutputKeys": outputs,
    }
