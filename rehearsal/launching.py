"""Launching a product: as a SageMaker project in Studio, or from the Service Catalog console."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from products.answers import read_answers
from products.releases import RECORD, load_catalog
from products.semver import Version
from rehearsal import report
from rehearsal.organization import PROD, ROOT, TEST, RehearsalError, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rehearsal.organization import AwsClient, Credentials
    from rehearsal.world import World

_PROVISION_TIMEOUT_S: Final = 300.0
_BY_SAGEMAKER: Final = frozenset({"SageMakerProjectName", "SageMakerProjectId"})
"""Questions that SageMaker answers when a project is created."""


def find_product(catalog: AwsClient, product_id: str) -> dict[str, Any]:
    """Return the product as the person sees it in the catalog.

    Raises:
        RehearsalError: The person does not see it once.
    """
    released = json.loads(newest_release(product_id).read_text(encoding="utf-8"))
    pages = catalog.search_products()["ProductViewSummaries"]
    found = [p for p in pages if p["Name"] == released["title"]]
    if len(found) != 1:
        raise RehearsalError(
            f"the person sees the products {[p['Name'] for p in pages]}, but should see {released['title']!r} once: "
            "look at the portfolio's principals and shares"
        )
    return dict(found[0])


def newest_release(product_id: str) -> Path:
    """Return the path of ``release.json`` of a product's newest version.

    Raises:
        RehearsalError: The product has no release.
    """
    product = load_catalog(ROOT).products.get(product_id)
    if product is None:
        raise RehearsalError(f"{product_id} has no release: run `portfolio release {product_id} 1.0.0 -m ...` first")
    return product.newest.path / RECORD


def find_version(catalog: AwsClient, product_id: str, version: str = "") -> dict[str, Any]:
    """Return a version of a product that can be launched, as the person sees it.

    Args:
        catalog: The person's client of Service Catalog.
        product_id: Id in Service Catalog.
        version: e.g. ``1.0.0``; empty for the newest that is not deprecated, the one that the console preselects.

    Raises:
        RehearsalError: There is none.
    """
    artifacts = catalog.describe_product(Id=product_id)["ProvisioningArtifacts"]
    offered = [a for a in artifacts if (a["Name"] == version if version else a.get("Guidance", "DEFAULT") == "DEFAULT")]
    if not offered:
        raise RehearsalError(f"{product_id} has no version {version} that can be launched")
    return dict(max(offered, key=lambda a: Version.parse(a["Name"])))


def answers(world: World, product_id: str, name: str) -> dict[str, str]:
    """Return what a person enters into the form of a product here: its example answers, and what only we know.

    Args:
        world: The rehearsal.
        product_id: E.g. ``train-s3``.
        name: Name of the project, domain or stack, of which ids and repositories are made.
    """
    known = world.known | {
        "project-name": name,
        "project-id": f"p-{name}",
        "model-package-group": "not-trained-yet",
        "test-account": TEST,
        "prod-account": PROD,
        "input-test": "s3://records-of-test/in/",
        "input-prod": "s3://records-of-prod/in/",
    }

    def here(what: str) -> str:
        return f"data-science/{name}" if what.startswith("repository") else known[what]

    return read_answers(_folder(product_id)).given(here)


def _folder(product_id: str) -> Path:
    return ROOT / "products" / product_id.replace("-", "_")


def launch(
    world: World,
    who: Credentials,
    product_id: str,
    name: str,
    chosen: Mapping[str, str] | None = None,
    *,
    version: str = "",
) -> report.Launched:
    """Launch a product with its example answers and wait for it: from the console, or in Studio if it makes projects.

    Args:
        world: The rehearsal.
        who: The person who launches it.
        product_id: e.g. ``train-s3``.
        name: Name of the project or provisioned product.
        chosen: Answers in place of the examples. Default: none.
        version: e.g. ``1.0.0``. Default: the one that the console preselects.

    Raises:
        RehearsalError: The launch failed; the message is the one of Service Catalog.
    """
    catalog = world.client("servicecatalog", who)
    product = find_product(catalog, product_id)
    artifact = find_version(catalog, product["ProductId"], version)
    place = {"ProductId": product["ProductId"], "ProvisioningArtifactId": artifact["Id"]}
    path = {"PathId": catalog.list_launch_paths(ProductId=product["ProductId"])["LaunchPathSummaries"][0]["Id"]}
    form = catalog.describe_provisioning_parameters(**place, **path)["ProvisioningArtifactParameters"]
    proposed = {question["ParameterKey"]: question.get("DefaultValue") or "" for question in form}
    given = answers(world, product_id, name) | dict(chosen or {})
    is_project = proposed.keys() >= _BY_SAGEMAKER
    entered = {q: a for q, a in given.items() if q in proposed and not (is_project and q in _BY_SAGEMAKER)}
    parameters = [{"Key": question, "Value": answer} for question, answer in entered.items()]
    if is_project:
        provisioned, by_sagemaker = _create_project(world, who, name, {**place, "ProvisioningParameters": parameters})
        entered = by_sagemaker | entered
    else:
        asked = catalog.provision_product(
            **place,
            **path,
            ProvisionedProductName=name,
            ProvisioningParameters=parameters,
            ProvisionToken=f"rehearsal-{name}",
        )["RecordDetail"]
        provisioned = asked["ProvisionedProductId"]
        await_record(world, catalog, asked["RecordId"])
    outputs = catalog.get_provisioned_product_outputs(ProvisionedProductId=provisioned)["Outputs"]
    return report.Launched(
        id=provisioned,
        name=name,
        product=product["Name"],
        version=artifact["Name"],
        by=read_answers(_folder(product_id)).launched_by,
        parameters=proposed | entered,
        outputs={o["OutputKey"]: o["OutputValue"] for o in outputs},
    )


def _create_project(
    world: World, who: Credentials, name: str, details: Mapping[str, Any]
) -> tuple[str, dict[str, str]]:
    """Create a project and wait for it; return the id of what was provisioned, and the answers that SageMaker gave."""
    sagemaker = world.client("sagemaker", who)
    tags = [
        dict(zip(("Key", "Value"), tag.split("="), strict=True)) for tag in (world.known.get("project-tag"),) if tag
    ]
    made = sagemaker.create_project(ProjectName=name, ServiceCatalogProvisioningDetails=details, Tags=tags)

    def look() -> str | None:
        described = sagemaker.describe_project(ProjectName=name)
        status, provisioned = described["ProjectStatus"], described.get("ServiceCatalogProvisionedProductDetails", {})
        if status == "CreateFailed":
            raise RehearsalError(f"project {name} failed: {provisioned.get('ProvisionedProductStatusMessage')}")
        world.doing(f"project {status}")
        return str(provisioned["ProvisionedProductId"]) if status == "CreateCompleted" else None

    provisioned = wait_for(look, overdue=f"project {name} was not created", timeout_s=_PROVISION_TIMEOUT_S)
    return provisioned, {"SageMakerProjectName": name, "SageMakerProjectId": made["ProjectId"]}


def await_record(world: World, catalog: AwsClient, record_id: str) -> None:
    """Wait until a Service Catalog record has succeeded, or raise with its errors."""

    def look() -> bool | None:
        record = catalog.describe_record(Id=record_id)["RecordDetail"]
        if record["Status"] in ("FAILED", "IN_PROGRESS_IN_ERROR"):
            errors = [error.get("Description", "") for error in record.get("RecordErrors", [])]
            raise RehearsalError("\n  ".join([f"Service Catalog record {record_id} is {record['Status']}:", *errors]))
        world.doing(f"record {record_id} {record['Status']}")
        return True if record["Status"] == "SUCCEEDED" else None

    wait_for(look, overdue=f"Service Catalog record {record_id} was not finished", timeout_s=_PROVISION_TIMEOUT_S)
