"""Service Catalog's portfolios, products, versions and TagOptions, for administrators and for end users.

Sharing is in `aws_emulator.servicecatalog.sharing`, launching in `aws_emulator.servicecatalog.launch`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError
from ministack.core.responses import get_account_id

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock, random_id
from aws_emulator.cloudformation.stacks import read_template
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam.callers import caller
from aws_emulator.records import tag_list
from aws_emulator.servicecatalog import store
from aws_emulator.servicecatalog.store import CONSTRAINTS, PORTFOLIOS, PRODUCTS, SERVICE, TAG_OPTIONS
from aws_emulator.servicecatalog.templates import load_template, template_outputs, template_parameters

if TYPE_CHECKING:
    from collections.abc import Iterable

PATTERNS_PER_PORTFOLIO: Final = 10
"""Documented limit of IAM_PATTERN associations of one portfolio (AssociatePrincipalWithPortfolio)."""
_TYPE: Final = "CLOUD_FORMATION_TEMPLATE"


def _in_use(message: str) -> ServiceError:
    return ServiceError("ResourceInUseException", message)


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParametersException", message)


# ---- portfolios -----------------------------------------------------------------------------------------------------


def _portfolio(portfolio: Json) -> Json:
    return {"PortfolioDetail": portfolio, "Tags": tag_list(portfolio["tags"])}


@overlay(SERVICE, "CreatePortfolio")
def create_portfolio(request: Json) -> Json:
    """Create a portfolio."""
    portfolio = PORTFOLIOS.make({"Description": "", **request}, products=[], principals=[], shares=[])
    portfolio["ARN"] = store.arn_of("portfolio", portfolio)
    return _portfolio(portfolio)


@overlay(SERVICE, "UpdatePortfolio")
def update_portfolio(request: Json) -> Json:
    """Change the texts and tags of a portfolio."""
    portfolio = PORTFOLIOS.own(request["Id"])
    store.change(portfolio, request)
    return _portfolio(portfolio)


@overlay(SERVICE, "DeletePortfolio")
def delete_portfolio(request: Json) -> Json:
    """Delete a portfolio without products, constraints, principals or shares (as documented for DeletePortfolio)."""
    portfolio = PORTFOLIOS.own(request["Id"])
    store.share_operations()
    held = {name: portfolio[name] for name in ("products", "principals", "shares")}
    held["constraints"] = [c for c in CONSTRAINTS.records.values() if c["PortfolioId"] == portfolio["Id"]]
    if any(held.values()):
        counts = ", ".join(f"{name} ({len(found)})" for name, found in held.items())
        raise _in_use(f"Portfolio {portfolio['Id']} cannot be deleted while it has {counts}.")
    del PORTFOLIOS.records[portfolio["Id"]]
    return {}


@overlay(SERVICE, "ListPortfolios")
def list_portfolios(request: Json) -> Json:
    """List the portfolios that the account owns."""
    return {"PortfolioDetails": PORTFOLIOS.mine()}


# ---- products and versions ------------------------------------------------------------------------------------------


def _view(product: Json) -> Json:
    """Return a product as end users see it."""
    return {
        **product,
        "Id": f"prodview-{product['Id'].removeprefix('prod-')}",
        "ProductId": product["Id"],
        "ShortDescription": product.get("Description", ""),
        "Type": _TYPE,
        "HasDefaultPath": False,
    }


def _detail(product: Json) -> Json:
    """Return a product as administrators see it."""
    return {**product, "ProductViewSummary": _view(product), "Status": "AVAILABLE"}


def _version(version: Json) -> Json:
    info = {"LoadTemplateFromURL": version["url"], "TemplateUrl": version["url"]}
    return {"ProvisioningArtifactDetail": version, "Info": info, "Status": "AVAILABLE"}


def _new_version(parameters: Json) -> Json:
    url = parameters.get("Info", {}).get("LoadTemplateFromURL")
    if not url:
        raise _invalid("Info must contain LoadTemplateFromURL.")
    try:
        template = read_template(url)
    except ServiceError as error:
        raise _invalid(f"Invalid templateBody. {error.message}") from error
    load_template(template)
    made = {"Id": f"pa-{random_id()}", "CreatedTime": clock.now(), "url": url, "template": template}
    defaults = {"Name": "", "Description": "", "Active": True, "Guidance": "DEFAULT"}
    return defaults | parameters | made | {"Type": _TYPE}


@overlay(SERVICE, "CreateProduct")
def create_product(request: Json) -> Json:
    """Create a product with its first version."""
    version = _new_version(request.get("ProvisioningArtifactParameters", {}))
    product = PRODUCTS.make(request, versions=[version])
    product["ProductARN"] = store.arn_of("product", product)
    return {"ProductViewDetail": _detail(product), "Tags": tag_list(product["tags"]), **_version(version)}


@overlay(SERVICE, "UpdateProduct")
def update_product(request: Json) -> Json:
    """Change the texts and tags of a product."""
    product = PRODUCTS.own(request["Id"])
    store.change(product, request)
    return {"ProductViewDetail": _detail(product), "Tags": tag_list(product["tags"])}


@overlay(SERVICE, "DeleteProduct")
def delete_product(request: Json) -> Json:
    """Delete a product that is in no portfolio (as documented for DeleteProduct)."""
    product = PRODUCTS.own(request["Id"])
    if any(product["Id"] in portfolio["products"] for portfolio in PORTFOLIOS.records.values()):
        raise _in_use(f"Product {product['Id']} cannot be deleted while it is in a portfolio.")
    del PRODUCTS.records[product["Id"]]
    return {}


@overlay(SERVICE, "CreateProvisioningArtifact")
def create_provisioning_artifact(request: Json) -> Json:
    """Add a version to a product."""
    product, version = PRODUCTS.own(request["ProductId"]), _new_version(request["Parameters"])
    product["versions"].append(version)
    return _version(version)


@overlay(SERVICE, "UpdateProvisioningArtifact")
def update_provisioning_artifact(request: Json) -> Json:
    """Change name, description, active flag or guidance of a version."""
    version = store.version_of(PRODUCTS.own(request["ProductId"]), request["ProvisioningArtifactId"], None)
    version.update(request)
    return _version(version)


@overlay(SERVICE, "DeleteProvisioningArtifact")
def delete_provisioning_artifact(request: Json) -> Json:
    """Delete a version; the last one stays (as documented for DeleteProvisioningArtifact)."""
    product = PRODUCTS.own(request["ProductId"])
    version = store.version_of(product, request["ProvisioningArtifactId"], None)
    if len(product["versions"]) == 1:
        raise _in_use(f"Product {product['Id']} cannot lose its last version, {version['Id']}.")
    product["versions"].remove(version)
    return {}


@overlay(SERVICE, "ListProvisioningArtifacts")
def list_provisioning_artifacts(request: Json) -> Json:
    """List every version of a product, inactive ones included: the administrator's view."""
    return {"ProvisioningArtifactDetails": store.visible_product(request["ProductId"])["versions"]}


@overlay(SERVICE, "SearchProductsAsAdmin")
def search_products_as_admin(request: Json) -> Json:
    """List the products of the account, or those of one portfolio that it owns or imported."""
    found: Iterable[Json] = PRODUCTS.mine()
    if request.get("PortfolioId"):
        found = (PRODUCTS.records[product] for product in store.visible_portfolio(request["PortfolioId"])["products"])
    return {"ProductViewDetails": [_detail(product) for product in _matching(found, request)]}


def _matching(products: Iterable[Json], request: Json) -> list[Json]:
    """Return the products that pass the filters of a search (``FullTextSearch`` and ``Owner``)."""
    filters = request.get("Filters", {})
    words, owners = filters.get("FullTextSearch", []), filters.get("Owner", [])
    texts = ("Name", "Owner", "Description", "Distributor", "SupportDescription", "SupportEmail", "SupportUrl")

    def matches(product: Json) -> bool:
        text = " ".join(product.get(member, "") for member in texts).lower()
        return all(word.lower() in text for word in words) and (not owners or product["Owner"] in owners)

    return [product for product in products if matches(product)]


@overlay(SERVICE, "AssociateProductWithPortfolio")
def associate_product_with_portfolio(request: Json) -> Json:
    """Put a product in a portfolio."""
    portfolio, product = PORTFOLIOS.own(request["PortfolioId"]), PRODUCTS.own(request["ProductId"])
    if product["Id"] not in portfolio["products"]:
        portfolio["products"].append(product["Id"])
    return {}


@overlay(SERVICE, "DisassociateProductFromPortfolio")
def disassociate_product_from_portfolio(request: Json) -> Json:
    """Take a product out of a portfolio that has no constraint on it."""
    portfolio, product = PORTFOLIOS.own(request["PortfolioId"]), PRODUCTS.own(request["ProductId"])["Id"]
    if store.constraints_of(portfolio, product):
        raise _in_use(f"Product {product} cannot leave portfolio {portfolio['Id']} while a constraint applies to it.")
    if product in portfolio["products"]:
        portfolio["products"].remove(product)
    return {}


@overlay(SERVICE, "ListPortfoliosForProduct")
def list_portfolios_for_product(request: Json) -> Json:
    """List the portfolios, own and imported, that contain a product."""
    product = store.visible_product(request["ProductId"])
    return {"PortfolioDetails": [p for p in store.visible_portfolios() if product["Id"] in p["products"]]}


# ---- principals -----------------------------------------------------------------------------------------------------


def _principal(request: Json) -> Json:
    arn, kind = request["PrincipalARN"], request.get("PrincipalType", "IAM")
    pattern = {
        "IAM": r"arn:[^:]+:iam::\d{12}:(role|user|group)/.+",
        "IAM_PATTERN": r"arn:[^:]+:iam:::(role|user|group)/.+",
    }[kind]
    if not re.fullmatch(pattern, arn):
        raise _invalid(f"Invalid principal ARN {arn} for principal type {kind}.")
    return {"account": get_account_id(), "PrincipalARN": arn, "PrincipalType": kind}


@overlay(SERVICE, "AssociatePrincipalWithPortfolio")
def associate_principal_with_portfolio(request: Json) -> Json:
    """Associate a principal with an own portfolio, or locally with an imported one."""
    portfolio, principal = store.visible_portfolio(request["PortfolioId"]), _principal(request)
    principals = portfolio["principals"]
    if principal in principals:
        return {}
    if principal["PrincipalType"] == "IAM":
        _require_principal(principal["PrincipalARN"])
    patterns = [p for p in principals if (p["account"], p["PrincipalType"]) == (get_account_id(), "IAM_PATTERN")]
    if principal["PrincipalType"] == "IAM_PATTERN" and len(patterns) >= PATTERNS_PER_PORTFOLIO:
        raise ServiceError(
            "LimitExceededException",
            f"Portfolio {portfolio['Id']} has {len(patterns)} IAM_PATTERN principals, the most that is allowed.",
        )
    principals.append(principal)
    return {}


def _require_principal(arn: str) -> None:
    """Check that a fully defined principal exists in the current account (documented for PrincipalType ``IAM``)."""
    kind, name = arn.split(":", 5)[5].split("/", 1)
    name = name.rsplit("/", 1)[-1]
    try:
        getattr(core.client("iam"), f"get_{kind}")(**{f"{kind.capitalize()}Name": name})
    except ClientError as error:
        raise store.missing(f"Principal {arn}") from error


@overlay(SERVICE, "DisassociatePrincipalFromPortfolio")
def disassociate_principal_from_portfolio(request: Json) -> Json:
    """Undo an association that the current account made."""
    portfolio, principal = store.visible_portfolio(request["PortfolioId"]), _principal(request)
    if principal in portfolio["principals"]:
        portfolio["principals"].remove(principal)
    return {}


@overlay(SERVICE, "ListPrincipalsForPortfolio")
def list_principals_for_portfolio(request: Json) -> Json:
    """List the principals that count in the current account, shared name patterns included."""
    return {"Principals": store.principals_in(store.visible_portfolio(request["PortfolioId"]), get_account_id())}


# ---- constraints ----------------------------------------------------------------------------------------------------


def _constraint(constraint: Json) -> Json:
    detail = {**constraint, "ConstraintId": constraint["Id"], "Owner": constraint["account"]}
    return {"ConstraintDetail": detail, "ConstraintParameters": constraint["Parameters"], "Status": "AVAILABLE"}


@overlay(SERVICE, "CreateConstraint")
def create_constraint(request: Json) -> Json:
    """Create a launch constraint (the only type here).

    A local role name "must exist in the account used to create the launch constraint and the account of the user who
    launches": https://docs.aws.amazon.com/servicecatalog/latest/dg/API_CreateConstraint.html
    """
    portfolio, product = PORTFOLIOS.own(request["PortfolioId"]), PRODUCTS.own(request["ProductId"])["Id"]
    if product not in portfolio["products"]:
        raise ServiceError(
            "ResourceNotFoundException", f"Product {product} is not associated with portfolio {portfolio['Id']}."
        )
    if request["Type"] != "LAUNCH":
        raise _invalid(f"Constraint type {request['Type']} is not supported here.")
    if store.constraints_of(portfolio, product):
        raise ServiceError(
            "DuplicateResourceException",
            f"Product {product} has a launch constraint in portfolio {portfolio['Id']} already.",
        )
    _check_launch_role(request["Parameters"])
    return _constraint(CONSTRAINTS.make({"Description": "", **request}))


def _check_launch_role(parameters: str) -> None:
    try:
        given = json.loads(parameters)
    except ValueError as error:
        raise _invalid(f"Constraint parameters are not JSON: {error}") from error
    if set(given) not in ({"RoleArn"}, {"LocalRoleName"}):
        raise _invalid("A launch constraint has exactly one of RoleArn and LocalRoleName.")
    name = given["LocalRoleName"] if "LocalRoleName" in given else given["RoleArn"].rsplit("/", 1)[-1]
    try:
        core.client("iam").get_role(RoleName=name)
    except ClientError as error:
        raise _invalid(
            f"Launch role {name} does not exist in account {get_account_id()}, which creates the launch constraint."
        ) from error


@overlay(SERVICE, "UpdateConstraint")
def update_constraint(request: Json) -> Json:
    """Change description or parameters of a constraint."""
    constraint = CONSTRAINTS.own(request["Id"])
    if "Parameters" in request:
        _check_launch_role(request["Parameters"])
    store.change(constraint, request)
    return _constraint(constraint)


@overlay(SERVICE, "DeleteConstraint")
def delete_constraint(request: Json) -> Json:
    """Delete a constraint."""
    del CONSTRAINTS.records[CONSTRAINTS.own(request["Id"])["Id"]]
    return {}


@overlay(SERVICE, "ListConstraintsForPortfolio")
def list_constraints_for_portfolio(request: Json) -> Json:
    """List the constraints of a portfolio, own or imported, or of one product in it."""
    portfolio = store.visible_portfolio(request["PortfolioId"])
    products = [request["ProductId"]] if "ProductId" in request else portfolio["products"]
    found = [constraint for product in products for constraint in store.constraints_of(portfolio, product)]
    return {"ConstraintDetails": [_constraint(constraint)["ConstraintDetail"] for constraint in found]}


# ---- TagOptions -----------------------------------------------------------------------------------------------------


@overlay(SERVICE, "CreateTagOption")
def create_tag_option(request: Json) -> Json:
    """Create a TagOption."""
    if any((option["Key"], option["Value"]) == (request["Key"], request["Value"]) for option in TAG_OPTIONS.mine()):
        raise ServiceError(
            "DuplicateResourceException", f"TagOption {request['Key']}={request['Value']} exists already."
        )
    return {"TagOptionDetail": TAG_OPTIONS.make(request, Active=True, Owner=get_account_id())}


@overlay(SERVICE, "UpdateTagOption")
def update_tag_option(request: Json) -> Json:
    """Change value or active flag of a TagOption."""
    option = TAG_OPTIONS.own(request["Id"])
    store.change(option, request)
    return {"TagOptionDetail": option}


@overlay(SERVICE, "DeleteTagOption")
def delete_tag_option(request: Json) -> Json:
    """Delete a TagOption that is associated with nothing (as documented for DeleteTagOption)."""
    option = TAG_OPTIONS.own(request["Id"])["Id"]
    if any(linked == option for _, linked in store.TAG_OPTION_LINKS):
        raise _in_use(f"TagOption {option} is associated with a portfolio or product.")
    del TAG_OPTIONS.records[option]
    return {}


@overlay(SERVICE, "AssociateTagOptionWithResource")
def associate_tag_option_with_resource(request: Json) -> Json:
    """Associate a TagOption with an own portfolio or product."""
    option, resource = TAG_OPTIONS.own(request["TagOptionId"])["Id"], request["ResourceId"]
    (PORTFOLIOS if resource.startswith("port-") else PRODUCTS).own(resource)
    if (resource, option) in store.TAG_OPTION_LINKS:
        raise ServiceError("DuplicateResourceException", f"TagOption {option} is associated with {resource}.")
    store.TAG_OPTION_LINKS.append((resource, option))
    return {}


@overlay(SERVICE, "DisassociateTagOptionFromResource")
def disassociate_tag_option_from_resource(request: Json) -> Json:
    """Undo the association of a TagOption."""
    link = (request["ResourceId"], TAG_OPTIONS.own(request["TagOptionId"])["Id"])
    if link not in store.TAG_OPTION_LINKS:
        raise ServiceError("ResourceNotFoundException", f"TagOption {link[1]} is not associated with {link[0]}.")
    store.TAG_OPTION_LINKS.remove(link)
    return {}


# ---- the end user's view --------------------------------------------------------------------------------------------


@overlay(SERVICE, "SearchProducts")
def search_products(request: Json) -> Json:
    """List the products to which the caller has access."""
    who = caller()
    found = _matching((p for p in PRODUCTS.records.values() if store.launch_paths(p["Id"], who)), request)
    if request.get("SortBy") == "Title":
        found.sort(key=lambda product: product["Name"], reverse=request.get("SortOrder") == "DESCENDING")
    return {"ProductViewSummaries": [_view(product) for product in found], "ProductViewAggregations": {}}


def path_to(product: Json, portfolio: Json) -> Json:
    """Return the launch path of a product through a portfolio."""
    return {
        "Id": f"lpv3-{portfolio['Id'].removeprefix('port-')}",
        "Name": portfolio["DisplayName"],
        "ConstraintSummaries": store.constraints_of(portfolio, product["Id"]),
        "Tags": tag_list(portfolio["tags"] | product["tags"]),
    }


@overlay(SERVICE, "DescribeProduct")
def describe_product(request: Json) -> Json:
    """Describe a product the caller has access to, with its active versions and launch paths."""
    product = store.reachable_product(request.get("Id"), request.get("Name"), caller())
    return {
        "ProductViewSummary": _view(product),
        "ProvisioningArtifacts": [version for version in product["versions"] if version["Active"]],
        "LaunchPaths": [path_to(product, portfolio) for portfolio in store.launch_paths(product["Id"], caller())],
    }


@overlay(SERVICE, "ListLaunchPaths")
def list_launch_paths(request: Json) -> Json:
    """List the paths through which the caller is allowed to launch a product."""
    product = store.reachable_product(request["ProductId"], None, caller())
    return {"LaunchPathSummaries": [path_to(product, p) for p in store.launch_paths(product["Id"], caller())]}


def choose_path(product: Json, request: Json) -> Json:
    """Return the portfolio through which a request launches a product.

    Raises:
        ServiceError: The caller has no path, not the one asked for, or several without saying which.
    """
    paths = store.launch_paths(product["Id"], caller())
    wanted = {request.get("PathId"), request.get("PathName")} - {None}
    if wanted:
        paths = [p for p in paths if wanted & {path_to(product, p)["Id"], p["DisplayName"]}]
    if not paths:
        raise ServiceError("ResourceNotFoundException", f"No launch paths found for resource: {product['Id']}")
    if len(paths) > 1:
        names = ", ".join(sorted(portfolio["DisplayName"] for portfolio in paths))
        raise _invalid(f"PathId is required: product {product['Id']} has several launch paths: {names}.")
    return paths[0]


@overlay(SERVICE, "DescribeProvisioningParameters")
def describe_provisioning_parameters(request: Json) -> Json:
    """Describe what is needed to launch a version: the template's parameters, TagOptions and constraints."""
    who = caller()
    product = store.reachable_product(request.get("ProductId"), request.get("ProductName"), who)
    wanted = request.get("ProvisioningArtifactId"), request.get("ProvisioningArtifactName")
    version = store.version_of(product, *wanted, active=True)
    portfolio = choose_path(product, request)
    template = load_template(version["template"])
    outputs = template_outputs(template)
    options = store.tag_options(product, portfolio, who.account)
    return {
        "ProvisioningArtifactParameters": template_parameters(template),
        "ConstraintSummaries": store.constraints_of(portfolio, product["Id"]),
        "UsageInstructions": [{"Type": "guidance", "Value": version["Guidance"]}],
        "TagOptions": [{"Key": key, "Values": values} for key, values in options.items()],
        "ProvisioningArtifactOutputs": outputs,
        "ProvisioningArtifactOutputKeys": outputs,
    }
