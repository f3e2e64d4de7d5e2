"""The CloudFormation types of Service Catalog, with its operations behind them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aws_emulator import bridge
from aws_emulator.cloudformation.resources import resource_type
from aws_emulator.servicecatalog.store import PRODUCTS, SERVICE
from aws_emulator.shapes import members, request_of

if TYPE_CHECKING:
    from aws_emulator.cloudformation.resources import Create, Delete
    from aws_emulator.core import Json


def _call(operation: str, properties: Json, **more: object) -> Json:
    """Perform an operation with the properties that its requests have."""
    return bridge.call(SERVICE, operation, request_of(SERVICE, operation, {**properties, **more}))


def _changes(operation: str, old: Json, new: Json) -> Json:
    """Return what an update changes: texts that are not there any more become empty, and tags come and go."""
    added = new.get("Tags", [])
    removed = {tag["Key"] for tag in old.get("Tags", [])} - {tag["Key"] for tag in added}
    texts = {member: "" for member in members(SERVICE, operation) if member in old}
    return {**texts, **new, "AddTags": added, "RemoveTags": sorted(removed)}


# ---- portfolio ------------------------------------------------------------------------------------------------------


def _create_portfolio(properties: Json, logical_id: str, stack: str) -> Json:
    detail: Json = _call("CreatePortfolio", properties, IdempotencyToken=logical_id)["PortfolioDetail"]
    return {**detail, "PortfolioName": detail["DisplayName"]}


def _update_portfolio(ref: str, old: Json, new: Json) -> Json:
    detail: Json = _call("UpdatePortfolio", _changes("UpdatePortfolio", old, new), Id=ref)["PortfolioDetail"]
    return {**detail, "PortfolioName": detail["DisplayName"]}


# ---- product --------------------------------------------------------------------------------------------------------


def _version_key(version: Json) -> tuple[str, str]:
    return version.get("Name", ""), version["Info"]["LoadTemplateFromURL"]


def _product(product_id: str) -> Json:
    """Return the attributes of a product."""
    product = PRODUCTS.records[product_id]
    versions = product["versions"]
    return {
        "Id": product_id,
        "ProductName": product["Name"],
        "ProvisioningArtifactIds": ",".join(version["Id"] for version in versions),
        "ProvisioningArtifactNames": ",".join(version["Name"] for version in versions),
    }


def _add_version(product_id: str, version: Json, token: str) -> str:
    request = {"ProductId": product_id, "Parameters": version, "IdempotencyToken": token}
    return str(_call("CreateProvisioningArtifact", request)["ProvisioningArtifactDetail"]["Id"])


def _create_product(properties: Json, logical_id: str, stack: str) -> Json:
    first, *others = properties["ProvisioningArtifactParameters"]
    more = {"ProductType": "CLOUD_FORMATION_TEMPLATE", "IdempotencyToken": logical_id}
    made = _call("CreateProduct", {**properties, **more, "ProvisioningArtifactParameters": first})
    product_id: str = made["ProductViewDetail"]["ProductViewSummary"]["ProductId"]
    for version in others:
        _add_version(product_id, version, logical_id)
    return _product(product_id)


def _update_product(ref: str, old: Json, new: Json) -> Json:
    """Update a product; versions are matched by template URL and name, and those that match keep their ids.

    With ``ReplaceProvisioningArtifacts`` every version is made anew. Source:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-servicecatalog-cloudformationproduct.html
    """
    _call("UpdateProduct", _changes("UpdateProduct", old, new), Id=ref)
    product = PRODUCTS.records[ref]
    replaced = str(new.get("ReplaceProvisioningArtifacts", False)).lower() == "true"
    known = {} if replaced else {(version["Name"], version["url"]): version for version in product["versions"]}
    keep = set()
    for declared in new["ProvisioningArtifactParameters"]:
        version = known.get(_version_key(declared))
        if version is None:
            keep.add(_add_version(ref, declared, ref))
        else:
            version["Description"] = declared.get("Description", "")
            keep.add(version["Id"])
    before = {_version_key(version) for version in old["ProvisioningArtifactParameters"]}
    for version in list(product["versions"]):
        # A version that was added by hand is not CloudFormation's to delete.
        if version["Id"] not in keep and (version["Name"], version["url"]) in before:
            _call("DeleteProvisioningArtifact", {"ProductId": ref, "ProvisioningArtifactId": version["Id"]})
    return _product(ref)


# ---- constraint and TagOption ---------------------------------------------------------------------------------------


def _launch_role(properties: Json) -> str:
    return json.dumps({key: properties[key] for key in ("RoleArn", "LocalRoleName") if key in properties})


def _create_constraint(properties: Json, logical_id: str, stack: str) -> Json:
    more = {"Type": "LAUNCH", "Parameters": _launch_role(properties), "IdempotencyToken": logical_id}
    return {"Id": _call("CreateConstraint", properties, **more)["ConstraintDetail"]["ConstraintId"]}


def _update_constraint(ref: str, old: Json, new: Json) -> Json:
    changes = _changes("UpdateConstraint", old, new)
    _call("UpdateConstraint", changes, Id=ref, Parameters=_launch_role(new))
    return {"Id": ref}


def _create_tag_option(properties: Json, logical_id: str, stack: str) -> Json:
    option_id: str = _call("CreateTagOption", properties)["TagOptionDetail"]["Id"]
    return _update_tag_option(option_id, {}, properties)


def _update_tag_option(ref: str, old: Json, new: Json) -> Json:
    _call("UpdateTagOption", {"Active": new.get("Active", True)}, Id=ref)
    return {"Id": ref}


def _by_id(operation: str) -> Delete:
    return lambda ref, properties: _call(operation, {"Id": ref})


def _associating(operation: str) -> Create:
    return lambda properties, logical_id, stack: _call(operation, properties)


def _dissociating(operation: str) -> Delete:
    return lambda ref, properties: _call(operation, properties)


for _name, _create, _update, _delete in (
    ("Portfolio", _create_portfolio, _update_portfolio, "DeletePortfolio"),
    ("CloudFormationProduct", _create_product, _update_product, "DeleteProduct"),
    ("LaunchRoleConstraint", _create_constraint, _update_constraint, "DeleteConstraint"),
    ("TagOption", _create_tag_option, _update_tag_option, "DeleteTagOption"),
):
    resource_type(f"AWS::ServiceCatalog::{_name}", create=_create, update=_update, delete=_by_id(_delete))
for _name, _associate, _disassociate in (
    ("PortfolioProductAssociation", "AssociateProductWithPortfolio", "DisassociateProductFromPortfolio"),
    ("PortfolioPrincipalAssociation", "AssociatePrincipalWithPortfolio", "DisassociatePrincipalFromPortfolio"),
    ("TagOptionAssociation", "AssociateTagOptionWithResource", "DisassociateTagOptionFromResource"),
):
    resource_type(f"AWS::ServiceCatalog::{_name}", create=_associating(_associate), delete=_dissociating(_disassociate))
