"""The CloudFormation types of Service Catalog, with the operations of `servicecatalog` behind them.

Which properties replace a resource and what it returns is in the types' schemas, which cfn-lint ships
(``cfnlint.schema.manager.PROVIDER_SCHEMA_MANAGER``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from ministack.services.cloudformation import provisioners

from rehearsal.cloud import servicecatalog as api
from rehearsal.cloud import servicecatalog_store as store
from rehearsal.cloud.resources import resource_type
from rehearsal.cloud.shapes import refuse_others

if TYPE_CHECKING:
    from rehearsal.cloud.core import Json, Operation
    from rehearsal.cloud.resources import Created, Delete

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


def _own_tags(properties: Json) -> list[Json]:
    """Return the tags without those of CloudFormation's own that MiniStack adds (``aws:…``)."""
    return [tag for tag in properties.get("Tags", []) if not tag["Key"].startswith("aws:")]


def _changed_tags(old: Json, new: Json) -> Json:
    removed = {tag["Key"] for tag in _own_tags(old)} - {tag["Key"] for tag in _own_tags(new)}
    return {"AddTags": _own_tags(new), "RemoveTags": sorted(removed)}


def _chosen(properties: Json, keys: tuple[str, ...]) -> Json:
    return {key: properties[key] for key in keys if key in properties}


# ---- portfolio ------------------------------------------------------------------------------------------------------


def _create_portfolio(properties: Json, logical_id: str, stack: str) -> Created:
    request = _chosen(properties, _PORTFOLIO_KEYS) | {"Tags": _own_tags(properties)}
    detail = api.create_portfolio(request)["PortfolioDetail"]
    return detail["Id"], {"PortfolioName": detail["DisplayName"], "Id": detail["Id"]}


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


def _create_product(properties: Json, logical_id: str, stack: str) -> Created:
    first, *others = properties["ProvisioningArtifactParameters"]
    request = _chosen(properties, _PRODUCT_KEYS) | {
        "Tags": _own_tags(properties),
        "ProvisioningArtifactParameters": first,
    }
    product_id = api.create_product(request)["ProductViewDetail"]["ProductViewSummary"]["ProductId"]
    for version in others:
        api.create_provisioning_artifact({"ProductId": product_id, "Parameters": version})
    return product_id, _product_attributes(product_id)


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


def _create_constraint(properties: Json, logical_id: str, stack: str) -> Created:
    request = _chosen(properties, ("PortfolioId", "ProductId", "Description"))
    detail = api.create_constraint(request | {"Type": "LAUNCH", "Parameters": _launch_role(properties)})
    constraint_id = detail["ConstraintDetail"]["ConstraintId"]
    return constraint_id, {"Id": constraint_id}


def _update_constraint(ref: str, old: Json, new: Json) -> Json:
    api.update_constraint({"Id": ref, "Parameters": _launch_role(new), "Description": new.get("Description", "")})
    return {"Id": ref}


def _create_tag_option(properties: Json, logical_id: str, stack: str) -> Created:
    option_id = api.create_tag_option(properties)["TagOptionDetail"]["Id"]
    if str(properties.get("Active", True)).lower() == "false":
        api.update_tag_option({"Id": option_id, "Active": False})
    return option_id, {"Id": option_id}


def _update_tag_option(ref: str, old: Json, new: Json) -> Json:
    api.update_tag_option({"Id": ref, "Active": str(new.get("Active", True)).lower() == "true"})
    return {"Id": ref}


# ---- associations ---------------------------------------------------------------------------------------------------


def _create_product_association(properties: Json, logical_id: str, stack: str) -> Created:
    api.associate_product_with_portfolio(properties)
    return f"{properties['PortfolioId']}|{properties['ProductId']}", {}


def _create_principal_association(properties: Json, logical_id: str, stack: str) -> Created:
    api.associate_principal_with_portfolio(properties)
    return f"{properties['PortfolioId']}|{properties['PrincipalARN']}", {}


def _create_tag_option_association(properties: Json, logical_id: str, stack: str) -> Created:
    api.associate_tag_option_with_resource(properties)
    return f"{properties['TagOptionId']}|{properties['ResourceId']}", {}


def _by_id(delete: Operation) -> Delete:
    def by_id(ref: str, properties: Json) -> None:
        delete({"Id": ref})

    return by_id


def _by_properties(delete: Operation) -> Delete:
    def by_properties(ref: str, properties: Json) -> None:
        delete(properties)

    return by_properties


def install() -> None:
    """Register the types, and refuse operations that are not emulated."""
    refuse_others("servicecatalog")
    prefix = "AWS::ServiceCatalog::"
    resource_type(
        f"{prefix}Portfolio",
        create=_create_portfolio,
        update=_update_portfolio,
        delete=_by_id(api.delete_portfolio),
    )
    resource_type(
        f"{prefix}CloudFormationProduct",
        create=_create_product,
        update=_update_product,
        delete=_by_id(api.delete_product),
    )
    resource_type(
        f"{prefix}LaunchRoleConstraint",
        create=_create_constraint,
        update=_update_constraint,
        delete=_by_id(api.delete_constraint),
        create_only=("PortfolioId", "ProductId"),
    )
    resource_type(
        f"{prefix}TagOption",
        create=_create_tag_option,
        update=_update_tag_option,
        delete=_by_id(api.delete_tag_option),
        create_only=("Key", "Value"),
    )
    resource_type(
        f"{prefix}PortfolioProductAssociation",
        create=_create_product_association,
        delete=_by_properties(api.disassociate_product_from_portfolio),
    )
    resource_type(
        f"{prefix}PortfolioPrincipalAssociation",
        create=_create_principal_association,
        delete=_by_properties(api.disassociate_principal_from_portfolio),
    )
    resource_type(
        f"{prefix}TagOptionAssociation",
        create=_create_tag_option_association,
        delete=_by_properties(api.disassociate_tag_option_from_resource),
    )
    # Tags of the stack reach these types (``tagging`` in their schemas).
    for name in ("Portfolio", "CloudFormationProduct"):
        provisioners._STACK_TAG_PROPERTY[f"{prefix}{name}"] = ("Tags", "list")
