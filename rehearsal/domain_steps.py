"""The Studio domain: the lead data scientist launches it and connects Git, and people open Studio in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from products.shared import names
from rehearsal import launching, report
from rehearsal.organization import DEV, Credentials, RehearsalError, wait_for
from rehearsal.organization_steps import DATA_SCIENTIST_ROLE

if TYPE_CHECKING:
    from rehearsal.organization import AwsClient
    from rehearsal.world import World

DOMAIN_NAME: Final = "claims-lab"
LEAD_PROFILE: Final = "lead-data-scientist"
"""User profile of the lead in the domain."""

_PROVISION_TIMEOUT_S: Final = 300.0


def launch_domain(world: World) -> str:
    """Launch the Studio domain from the Service Catalog console."""
    catalog = world.client("servicecatalog", world.lead)
    product = launching.find_product(catalog, "sagemaker-domain")
    version = launching.default_version(catalog, product["ProductId"])
    path = catalog.list_launch_paths(ProductId=product["ProductId"])["LaunchPathSummaries"][0]["Id"]
    parameters = {"DomainName": DOMAIN_NAME, "AuthMode": "IAM", "CostCenter": "ml-1000", "Owner": "claims-analytics"}
    offered = {
        p["ParameterKey"]: p.get("DefaultValue")
        for p in catalog.describe_provisioning_parameters(
            ProductId=product["ProductId"], ProvisioningArtifactId=version["Id"], PathId=path
        )["ProvisioningArtifactParameters"]
    }
    chosen = {k: v for k, v in parameters.items() if k in offered}
    record = catalog.provision_product(
        ProductId=product["ProductId"],
        ProvisioningArtifactId=version["Id"],
        PathId=path,
        ProvisionedProductName=DOMAIN_NAME,
        ProvisioningParameters=[{"Key": k, "Value": v} for k, v in chosen.items()],
        ProvisionToken=f"rehearsal-{DOMAIN_NAME}",
    )["RecordDetail"]["RecordId"]
    outputs = _await_record(world, catalog, record)
    world.domain = report.Launched(
        name=DOMAIN_NAME,
        product=product["Name"],
        version=version["Name"],
        by="lead data scientist",
        parameters={k: chosen.get(k, v) or "" for k, v in offered.items()},
        outputs=outputs,
    )
    world.facts.launched.append(world.domain)
    return f"{product['Name']} {version['Name']}: {outputs.get('DomainId', 'no domain id')}"


def _await_record(world: World, catalog: AwsClient, record_id: str) -> dict[str, str]:
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


def connect_git(world: World) -> str:
    """Finish the handshake of the domain's connection, as a person does once in the console."""
    connections = world.client("codeconnections", Credentials.administrator(DEV))
    (connection,) = connections.list_connections()["Connections"]
    if world.lead is None:
        raise RehearsalError("the lead data scientist, who finishes the handshake, is not signed in")
    world.organization.connect(connection["ConnectionArn"], caller=world.lead)
    status = connections.get_connection(ConnectionArn=connection["ConnectionArn"])["Connection"]["ConnectionStatus"]
    if status != "AVAILABLE":
        raise RehearsalError(f"connection {connection['ConnectionName']} is {status} after its handshake")
    return f"{connection['ConnectionName']} {status}"


def open_studio(world: World) -> None:
    """Sign the data scientist in and open Studio, whose applications act as the persona's role."""
    if world.domain is None:
        raise RehearsalError("there is no domain to open")
    administrator = Credentials.administrator(DEV)
    signed_in = world.organization.assume(DEV, DATA_SCIENTIST_ROLE, session="dan", caller=administrator)
    domain_id = world.domain.outputs["DomainId"]
    world.data_scientist = world.organization.open_studio(domain_id, "data-scientist", caller=signed_in)


def act_as_data_scientist(world: World) -> Credentials:
    """Return a session of the data scientists' role that the lead opens in Studio: it alone deletes projects."""
    if world.domain is None or world.lead is None:
        raise RehearsalError("there is no domain, or no lead data scientist is signed in to open it")
    domain = world.domain.outputs
    lead = world.organization.open_studio(domain["DomainId"], LEAD_PROFILE, caller=world.lead)
    session = world.client("sts", lead).assume_role(
        RoleArn=domain["DataScientistRoleArn"],
        RoleSessionName="lead",
        Tags=[{"Key": names.ACTS_AS_TAG, "Value": names.LEAD}],
    )["Credentials"]
    return Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"], DEV)
