"""The CloudFormation types of Service Catalog, with the operations of `servicecatalog` behind them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aws_emulator.cloudformation.resources import resource_type
from aws_emulator.servicecatalog import catalog as api
from aws_emulator.servicecatalog import store

if TYPE_CHECKING:
    from aws_emulator.cloudformation.resources import Create, Delete
    from aws_emulator.core import Json, Operation

_PORTFOLIO_KEYS: Final = ("DisplayName", "ProviderName", "Description")
_PRODUCT_KEYS: Final = (
    "Name",
    "Owner",
    "Description",
    "Distributor",
    "SupportDescription",
    "SupportEmail",
    "SupportUrl",
)


def _changed_tags(old: Json, new: Json) -> Json:
    added = new.get("Tags", [])
    removed = {tag["Key"] for tag in old.get("Tags", [])} - {tag["Key"] for tag in added}
    return {"AddTags": added, "RemoveTags": sorted(removed)}


def _chosen(properties: Json, keys: tuple[str, ...]) -> Json:
    return {key: properties[key] for key in keys if key in properties}


# ---- portfolio ------------------------------------------------------------------------------------------------------


def _create_portfolio(properties: Json, logical_id: str, stack: str) -> Json:
    request = _chosen(properties, _PORTFOLIO_KEYS) | {"Tags": properties.get("Tags", [])}
    detail = api.create_portfolio(request)["PortfolioDetail"]
    return {"PortfolioName": detail["DisplayName"], "Id": detail["Id"]}


def _update_portfolio(ref: str, old: Json, new: Json) -> Json:
    request = {"Id": ref, "Description": ""} | _chosen(new, _PORTFOLIO_KEYS) | _changed_tags(old, new)
    detail = api.update_portfolio(request)["PortfolioDetail"]
    return {"PortfolioName": detail["DisplayName"], "Id": ref}


# ---- product --------------------------------------------------------------------------------------------------------


def _version_key(version: Json) -> tuple[str, str]:
    return version.get("Name", ""), version["Info"]["LoadTemplateFromURL"]


def _product_attributes(product_id: str) -> Json:
    product = store.PRODUCTS[product_id]
    return {
        "Id": product.id,
        "ProductName": product.name,
        "ProvisioningArtifactIds": ",".join(artifact.id for artifact in product.artifacts),
        "ProvisioningArtifactNames": ",".join(artifact.name for artifact in product.artifacts),
    }


def _create_product(properties: Json, logical_id: str, stack: str) -> Json:
    first, *others = properties["ProvisioningArtifactParameters"]
    request = _chosen(properties, _PRODUCT_KEYS) | {
        "Tags": properties.get("Tags", []),
        "ProvisioningArtifactParameters": first,
    }
    product_id = api.create_product(request)["ProductViewDetail"]["ProductViewSummary"]["ProductId"]
    for version in others:
        api.create_provisioning_artifact({"ProductId": product_id, "Parameters": version})
    return _product_attributes(product_id)


def _update_product(ref: str, old: Json, new: Json) -> Json:
    """Update a product; versions are matched by template URL and name, and those that match keep their ids.

    With ``ReplaceProvisioningArtifacts`` every version is made anew. Source:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-servicecatalog-cloudformationproduct.html
    """
    absent: Json = dict.fromkeys(_PRODUCT_KEYS[2:], "")
    api.update_product({"Id": ref} | absent | _chosen(new, _PRODUCT_KEYS) | _changed_tags(old, new))
    product = store.PRODUCTS[ref]
    replaced = str(new.get("ReplaceProvisioningArtifacts", False)).lower() == "true"
    known = {} if replaced else {(artifact.name, artifact.template_url): artifact for artifact in product.artifacts}
    keep = set()
    for version in new["ProvisioningArtifactParameters"]:
        artifact = known.get(_version_key(version))
        if artifact is None:
            made = api.create_provisioning_artifact({"ProductId": ref, "Parameters": version})
            keep.add(made["ProvisioningArtifactDetail"]["Id"])
        else:
            artifact.description = version.get("Description", "")
            keep.add(artifact.id)
    declared = {_version_key(version) for version in old["ProvisioningArtifactParameters"]}
    for artifact in list(product.artifacts):
        # A version that was added by hand is not CloudFormation's to delete.
        if artifact.id not in keep and (artifact.name, artifact.template_url) in declared:
            api.delete_provisioning_artifact({"ProductId": ref, "ProvisioningArtifactId": artifact.id})
    return _product_attributes(ref)


# ---- constraint and TagOption ---------------------------------------------------------------------------------------


def _launch_role(properties: Json) -> str:
    return json.dumps(_chosen(properties, ("RoleArn", "LocalRoleName")))


def _create_constraint(properties: Json, logical_id: str, stack: str) -> Json:
    request = _chosen(properties, ("PortfolioId", "ProductId", "Description"))
    detail = api.create_constraint(request | {"Type": "LAUNCH", "Parameters": _launch_role(properties)})
    constraint_id = detail["ConstraintDetail"]["ConstraintId"]
    return {"Id": constraint_id}


def _update_constraint(ref: str, old: Json, new: Json) -> Json:
    api.update_constraint({"Id": ref, "Parameters": _launch_role(new), "Description": new.get("Description", "")})
    return {"Id": ref}


def _create_tag_option(properties: Json, logical_id: str, stack: str) -> Json:
    option_id = api.create_tag_option(properties)["TagOptionDetail"]["Id"]
    if str(properties.get("Active", True)).lower() == "false":
        api.update_tag_option({"Id": option_id, "Active": False})
    return {"Id": option_id}


def _update_tag_option(ref: str, old: Json, new: Json) -> Json:
    api.update_tag_option({"Id": ref, "Active": str(new.get("Active", True)).lower() == "true"})
    return {"Id": ref}


def _associated(associate: Operation) -> Create:
    def create(properties: Json, logical_id: str, stack: str) -> Json:
        associate(properties)
        return {}

    return create


def _by_id(delete: Operation) -> Delete:
    return lambda ref, properties: delete({"Id": ref})


def _by_properties(delete: Operation) -> Delete:
    return lambda ref, properties: delete(properties)


def install() -> None:
    """Register the types."""
    made = {
        "Portfolio": (_create_portfolio, _update_portfolio, api.delete_portfolio),
        "CloudFormationProduct": (_create_product, _update_product, api.delete_product),
        "LaunchRoleConstraint": (_create_constraint, _update_constraint, api.delete_constraint),
        "TagOption": (_create_tag_option, _update_tag_option, api.delete_tag_option),
    }
    for name, (create, update, delete) in made.items():
        resource_type(f"AWS::ServiceCatalog::{name}", create=create, update=update, delete=_by_id(delete))
    associated = {
        "PortfolioProductAssociation": (
            api.associate_product_with_portfolio,
            api.disassociate_product_from_portfolio,
        ),
        "PortfolioPrincipalAssociation": (
            api.associate_principal_with_portfolio,
            api.disassociate_principal_from_portfolio,
        ),
        "TagOptionAssociation": (
            api.associate_tag_option_with_resource,
            api.disassociate_tag_option_from_resource,
        ),
    }
    for name, (associate, disassociate) in associated.items():
        resource_type(
            f"AWS::ServiceCatalog::{name}", create=_associated(associate), delete=_by_properties(disassociate)
        )
