"""Products of the first version, updated to this tree: what people work in stays, and what was open is closed."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.releases import load_catalog
from pipeline.synthesis import synthesise
from products.sagemaker_domain.product import SageMakerDomainProduct
from products.shared import names, seed_code
from products.train_s3.product import TrainS3Product
from rehearsal import journey
from rehearsal.organization import DEV, HUB, REGION, ROOT, Credentials
from tests.rehearsal.test_contract import refused, stop_builds, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.journey import World

pytestmark = [pytest.mark.rehearsal, pytest.mark.prove]
PRODUCTS = {product.SPEC.id: product for product in (SageMakerDomainProduct, TrainS3Product)}
FIRST, CODE = "0.0.1-first", names.UNRELEASED


@pytest.fixture(scope="module")
def versions(platform: World) -> Iterator[dict[tuple[str, str], dict[str, str]]]:
    """The first version of each product and that of this tree, offered beside the released ones."""
    administrator = Credentials.administrator(HUB)
    s3, catalog = (platform.client(service, administrator) for service in ("s3", "servicecatalog"))
    bucket = names.artifact_bucket(HUB, REGION)
    archive = seed_code.archive("train-s3")
    made = {}
    offered = {p["ProductViewSummary"]["Name"]: p for p in catalog.search_products_as_admin()["ProductViewDetails"]}
    for id_, product in PRODUCTS.items():
        first = load_catalog(ROOT).products[id_].versions[0].template()
        product_id = offered[product.SPEC.title]["ProductViewSummary"]["ProductId"]
        for name, template in ((FIRST, first), (CODE, synthesise(product))):
            key = f"not-in-the-repository/{id_}/{name}.json"
            s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(template).encode())
            version = catalog.create_provisioning_artifact(
                ProductId=product_id,
                Parameters={
                    "Name": name,
                    "Type": "CLOUD_FORMATION_TEMPLATE",
                    "Info": {"LoadTemplateFromURL": f"https://{bucket}.s3.{REGION}.amazonaws.com/{key}"},
                },
                IdempotencyToken=f"{id_}-{name}".replace(".", "-"),
            )["ProvisioningArtifactDetail"]["Id"]
            made[id_, name] = {"ProductId": product_id, "ProvisioningArtifactId": version}
    train = synthesise(TrainS3Product)
    (seed,) = (r for r in train["Resources"].values() if r["Type"] == "Custom::SeedCode")
    s3.put_object(Bucket=bucket, Key=seed["Properties"]["AssetKey"], Body=archive)
    yield made
    for version in made.values():
        catalog.delete_provisioning_artifact(**version)


def provision(catalog: Any, version: dict[str, str], name: str, chosen: dict[str, str]) -> str:  # noqa: ANN401
    """Launch a version and return the id of the provisioned product."""
    path = catalog.list_launch_paths(ProductId=version["ProductId"])["LaunchPathSummaries"][0]["Id"]
    record = catalog.provision_product(
        **version,
        PathId=path,
        ProvisionedProductName=name,
        ProvisioningParameters=[{"Key": k, "Value": v} for k, v in chosen.items()],
        ProvisionToken=name,
    )["RecordDetail"]
    succeeded(catalog, record["RecordId"])
    return str(record["ProvisionedProductId"])


def update(catalog: Any, version: dict[str, str], id_: str, kept: dict[str, str]) -> dict[str, str]:  # noqa: ANN401
    """Update to a version with the values in use, as the console offers it, and return the outputs."""
    record = catalog.update_provisioned_product(
        **version,
        ProvisionedProductId=id_,
        ProvisioningParameters=[{"Key": key, "UsePreviousValue": True} for key in kept],
        UpdateToken=f"update-{id_}",
    )["RecordDetail"]
    return succeeded(catalog, record["RecordId"])


def outputs_of(catalog: Any, id_: str) -> dict[str, str]:  # noqa: ANN401 (boto3 client)
    found = catalog.get_provisioned_product_outputs(ProvisionedProductId=id_)["Outputs"]
    return {output["OutputKey"]: output["OutputValue"] for output in found}


def test_a_domain_keeps_itself_its_bucket_and_its_key_and_its_people_lose_what_was_open(
    platform: World, versions: dict[tuple[str, str], dict[str, str]]
) -> None:
    assert platform.lead is not None
    catalog = platform.client("servicecatalog", platform.lead)
    chosen = {"DomainName": "first-lab", "CostCenter": "ml-1000", "Owner": "claims-analytics"}
    id_ = provision(catalog, versions["sagemaker-domain", FIRST], "first-lab", chosen)
    before = outputs_of(catalog, id_)
    s3 = platform.client("s3", Credentials.administrator(DEV))
    s3.put_object(Bucket=before["BucketName"], Key="notes.txt", Body=b"mine")

    after = update(catalog, versions["sagemaker-domain", CODE], id_, chosen)

    stays = ("DomainId", "BucketName", "KeyArn", "ConnectionArn", "DataScientistRoleArn", "LeadDataScientistRoleArn")
    assert {name: after[name] for name in stays} == {name: before[name] for name in stays}
    assert after["ExecutionRoleArn"] != before["ExecutionRoleArn"]
    assert s3.get_object(Bucket=before["BucketName"], Key="notes.txt")["Body"].read() == b"mine"
    domain = platform.client("sagemaker", Credentials.administrator(DEV)).describe_domain(DomainId=after["DomainId"])
    assert domain["DefaultUserSettings"]["ExecutionRole"] == after["ExecutionRoleArn"]
    administrator = Credentials.administrator(DEV)
    signed_in = platform.organization.assume(DEV, journey.DATA_SCIENTIST_ROLE, session="dora", caller=administrator)
    dora = platform.organization.open_studio(after["DomainId"], "data-scientist", caller=signed_in)
    assert refused(partial(platform.client("sagemaker", dora).delete_project, ProjectName="of-somebody"))


def test_a_project_keeps_its_bucket_key_and_group_and_its_jobs_stay_in_the_network(
    platform: World, versions: dict[tuple[str, str], dict[str, str]]
) -> None:
    catalog = platform.client("servicecatalog", platform.data_scientist)
    chosen = {
        "SageMakerProjectName": "first-churn",
        "SageMakerProjectId": "p-firstchurn",
        "DataUri": platform.data_uri,
        "Label": platform.label or "",
        "Repository": "data-science/first-churn",
        "CostCenter": "ml-1000",
    }
    platform.organization.make_repository(chosen["Repository"])
    id_ = provision(catalog, versions["train-s3", FIRST], "first-churn", chosen)
    stop_builds(platform)
    before = outputs_of(catalog, id_)
    s3 = platform.client("s3", Credentials.administrator(DEV))
    s3.put_object(Bucket=before["ArtifactBucketName"], Key="models/model.tar.gz", Body=b"a model")

    after = update(catalog, versions["train-s3", CODE], id_, chosen)
    stop_builds(platform)

    stays = ("ArtifactBucketName", "KeyArn", "ModelPackageGroupName", "RepositoryUrl", "BuildPipelineName")
    assert {name: after[name] for name in stays} == {name: before[name] for name in stays}
    assert s3.get_object(Bucket=after["ArtifactBucketName"], Key="models/model.tar.gz")["Body"].read() == b"a model"
    build = platform.client("codebuild", Credentials.administrator(DEV)).batch_get_projects(
        names=[after["BuildPipelineName"]]
    )["projects"][0]
    variables = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
    domains = platform.client("sagemaker", Credentials.administrator(DEV))
    oldest = min(domains.list_domains()["Domains"], key=lambda domain: domain["CreationTime"])
    described = domains.describe_domain(DomainId=oldest["DomainId"])
    assert variables["JOB_SUBNET_IDS"] == ",".join(described["SubnetIds"])
    assert variables["JOB_SECURITY_GROUP_IDS"] == ",".join(described["DefaultUserSettings"]["SecurityGroups"])
