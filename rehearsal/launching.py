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


def default_version(catalog: AwsClient, product_id: str) -> dict[str, Any]:
    """Return the newest version that is not deprecated, the one that the console preselects.

    Raises:
        RehearsalError: There is none.
    """
    artifacts = catalog.describe_product(Id=product_id)["ProvisioningArtifacts"]
    offered = [a for a in artifacts if a.get("Guidance", "DEFAULT") == "DEFAULT"]
    if not offered:
        raise RehearsalError(f"{product_id} has no version that can be launched")
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

    return read_answers(ROOT / "products" / product_id.replace("-", "_")).given(here)


def launch(  # noqa: PLR0917 - who launches what under which name with which answers
    world: World, who: Credentials, by: str, product_id: str, name: str, chosen: Mapping[str, str]
) -> report.Launched:
    """Create a project in Studio and wait for it.

    Args:
        world: The rehearsal.
        who: The person who creates it.
        by: What they are called in the report.
        product_id: e.g. ``train-s3``.
        name: Name of the project.
        chosen: Answers to the product's questions.

    Raises:
        RehearsalError: The launch failed; the message is the one of Service Catalog.
    """
    catalog, sagemaker = world.client("servicecatalog", who), world.client("sagemaker", who)
    product = find_product(catalog, product_id)
    version = default_version(catalog, product["ProductId"])
    made = sagemaker.create_project(
        ProjectName=name,
        ServiceCatalogProvisioningDetails={
            "ProductId": product["ProductId"],
            "ProvisioningArtifactId": version["Id"],
            "ProvisioningParameters": [{"Key": k, "Value": v} for k, v in chosen.items()],
        },
    )

    def look() -> dict[str, Any] | None:
        described = sagemaker.describe_project(ProjectName=name)
        status = described["ProjectStatus"]
        if status == "CreateCompleted":
            return dict(described)
        if status == "CreateFailed":
            provisioned = described.get("ServiceCatalogProvisionedProductDetails", {})
            raise RehearsalError(f"project {name} failed: {provisioned.get('ProvisionedProductStatusMessage')}")
        world.doing(f"project {status}")
        return None

    described = wait_for(look, overdue=f"project {name} was not created", timeout_s=_PROVISION_TIMEOUT_S)
    provisioned = described["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductId"]
    outputs = catalog.get_provisioned_product_outputs(ProvisionedProductId=provisioned)["Outputs"]
    return report.Launched(
        name=name,
        product=product["Name"],
        version=version["Name"],
        by=by,
        parameters={"SageMakerProjectName": name, "SageMakerProjectId": made["ProjectId"], **chosen},
        outputs={o["OutputKey"]: o["OutputValue"] for o in outputs},
    )


def provision(world: World, who: Credentials, by: str, product_id: str, name: str) -> report.Launched:
    """Launch a product from the Service Catalog console with its example answers, and wait for it.

    Args:
        world: The rehearsal.
        who: The person who launches it.
        by: What they are called in the report.
        product_id: e.g. ``sagemaker-domain``.
        name: Name of the provisioned product.

    Raises:
        RehearsalError: The launch failed; the message is the one of Service Catalog.
    """
    catalog = world.client("servicecatalog", who)
    product = find_product(catalog, product_id)
    version = default_version(catalog, product["ProductId"])
    path = catalog.list_launch_paths(ProductId=product["ProductId"])["LaunchPathSummaries"][0]["Id"]
    form = catalog.describe_provisioning_parameters(
        ProductId=product["ProductId"], ProvisioningArtifactId=version["Id"], PathId=path
    )["ProvisioningArtifactParameters"]
    proposed = {question["ParameterKey"]: question.get("DefaultValue") or "" for question in form}
    chosen = {key: answer for key, answer in answers(world, product_id, name).items() if key in proposed}
    record = catalog.provision_product(
        ProductId=product["ProductId"],
        ProvisioningArtifactId=version["Id"],
        PathId=path,
        ProvisionedProductName=name,
        ProvisioningParameters=[{"Key": key, "Value": answer} for key, answer in chosen.items()],
        ProvisionToken=f"rehearsal-{name}",
    )["RecordDetail"]["RecordId"]
    return report.Launched(
        name=name,
        product=product["Name"],
        version=version["Name"],
        by=by,
        parameters=proposed | chosen,
        outputs=await_record(world, catalog, record),
    )


def await_record(world: World, catalog: AwsClient, record_id: str) -> dict[str, str]:
    """Wait for a Service Catalog record; return its outputs or raise with its errors."""

    def look() -> dict[str, str] | None:
        answer = catalog.describe_record(Id=record_id)
        status = answer["RecordDetail"]["Status"]
        if status == "SUCCEEDED":
            return {o["OutputKey"]: o["OutputValue"] for o in answer.get("RecordOutputs", [])}
        if status in ("FAILED", "IN_PROGRESS_IN_ERROR"):
            errors = [e.get("Description", "") for e in answer["RecordDetail"].get("RecordErrors", [])]
            raise RehearsalError(f"Service Catalog record {record_id} ended as {status}:\n  " + "\n  ".join(errors))
        world.doing(f"record {record_id} {status}")
        return None

    return wait_for(
        look, overdue=f"Service Catalog record {record_id} was not finished", timeout_s=_PROVISION_TIMEOUT_S
    )
