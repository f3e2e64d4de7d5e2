"""The Studio domain: the lead launches it, administrators connect Git, and people open Studio in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from products.shared import names
from rehearsal import launching
from rehearsal.organization import DEV, HUB, Credentials, RehearsalError
from rehearsal.organization_steps import DATA_SCIENTIST_ROLE

if TYPE_CHECKING:
    from rehearsal.world import World

DOMAIN_NAME: Final = "claims-lab"
LEAD_PROFILE: Final = "lead-data-scientist"
"""User profile of the lead in the domain."""


def launch_domain(world: World) -> str:
    """Launch the Studio domain from the Service Catalog console."""
    world.domain = launching.launch(world, world.lead, "sagemaker-domain", DOMAIN_NAME)
    world.facts.launched.append(world.domain)
    world.known["data-scientist-role"] = world.domain.outputs["DataScientistRoleArn"]
    return f"{world.domain.product} {world.domain.version}: {world.domain.outputs.get('DomainId', 'no domain id')}"


def connect_git(world: World) -> str:
    """Finish the handshake of the domain's connection, as a person does once in the console; prepare the hub too."""
    connections = world.client("codeconnections", Credentials.administrator(DEV))
    (connection,) = connections.list_connections()["Connections"]
    world.organization.connect(connection["ConnectionArn"], caller=world.lead)
    status = connections.get_connection(ConnectionArn=connection["ConnectionArn"])["Connection"]["ConnectionStatus"]
    if status != "AVAILABLE":
        raise RehearsalError(f"connection {connection['ConnectionName']} is {status} after its handshake")
    return f"{connection['ConnectionName']} {status}; in the hub {prepare_hub(world)}"


def prepare_hub(world: World) -> str:
    """Do what docs/setup.md asks for before the first deployment project: projects, and a Git connection."""
    administrator, name = Credentials.administrator(HUB), "deployments"
    world.client("sagemaker", administrator).enable_sagemaker_servicecatalog_portfolio()
    connections = world.client("codeconnections", administrator)
    arn = connections.create_connection(ConnectionName=name, ProviderType="GitHub")["ConnectionArn"]
    world.organization.connect(arn, caller=administrator)
    world.client("ssm", administrator).put_parameter(
        Name=names.contract_parameter("connection-arn"), Type="String", Value=arn
    )
    return name


def open_studio(world: World) -> None:
    """Sign the data scientist in and open Studio, whose applications act as the persona's role."""
    administrator = Credentials.administrator(DEV)
    signed_in = world.organization.assume(DEV, DATA_SCIENTIST_ROLE, session="dan", caller=administrator)
    domain_id = world.domain.outputs["DomainId"]
    world.data_scientist = world.organization.open_studio(domain_id, "data-scientist", caller=signed_in)


def act_as_data_scientist(world: World) -> Credentials:
    """Return a session of the data scientists' role that the lead opens in Studio: it alone deletes projects."""
    domain = world.domain.outputs
    lead = world.organization.open_studio(domain["DomainId"], LEAD_PROFILE, caller=world.lead)
    session = world.client("sts", lead).assume_role(
        RoleArn=domain["DataScientistRoleArn"],
        RoleSessionName="lead",
        Tags=[{"Key": names.ACTS_AS_TAG, "Value": names.LEAD}],
    )["Credentials"]
    return Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"], DEV)
