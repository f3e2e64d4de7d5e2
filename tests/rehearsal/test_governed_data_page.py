"""The commands of ``docs/governed-data.md``, in its order, as the people run them for whom it is written."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from rehearsal import organization_steps
from rehearsal.organization import (
    GOVERNANCE,
    MANAGEMENT,
    ORGANIZATION_ID,
    REGION,
    ROOT,
    WORKLOADS_OU,
    Credentials,
    Organization,
)
from rehearsal.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.rehearsal, pytest.mark.prove]
PAGE: Final = (ROOT / "docs/governed-data.md").read_text(encoding="utf-8")
UNIT: Final = f"arn:aws:organizations::{MANAGEMENT}:ou/{ORGANIZATION_ID}/{WORKLOADS_OU}"
HERE: Final = {
    "arn:aws:organizations::999999999999:ou/o-a1b2c3d4e5/ou-ab12-workloads": UNIT,
    "AWSReservedSSO_DataSteward_0123456789abcdef": organization_steps.STEWARD_ROLE.rpartition("/")[2],
}
"""What the page makes up, and what it is here; the account's number is the same."""


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A governance account with the table of which the page tells, open to everybody whom IAM lets."""
    work = tmp_path_factory.mktemp("governance")
    made = World(work, Organization(work / "cloud"), None, None)
    try:
        made.organization.__enter__()
        organization_steps._vend_people(made)
        owner = Credentials.administrator(GOVERNANCE)
        made.client("s3", owner).create_bucket(
            Bucket="data-lake", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        glue = made.client("glue", owner)
        glue.create_database(DatabaseInput={"Name": "credit_risk"})
        columns = [{"Name": name, "Type": "int"} for name in ("age", "income", "defaulted")]
        table = {
            "Name": "loans",
            "PartitionKeys": [{"Name": "region", "Type": "string"}],
            "StorageDescriptor": {"Columns": columns, "Location": "s3://data-lake/credit_risk/loans/"},
        }
        glue.create_table(DatabaseName="credit_risk", TableInput=table)
        yield made
    finally:
        made.close()


def shared(world: World) -> list[dict[str, Any]]:
    """Return what the steward has granted to the workloads OU."""
    listed = world.client("lakeformation", world.steward).list_permissions()["PrincipalResourcePermissions"]
    return [entry["Resource"] for entry in listed if entry["Principal"]["DataLakePrincipalIdentifier"] == UNIT]


def run(world: World, commands: str) -> None:
    for theirs, ours in HERE.items():
        commands = commands.replace(theirs, ours)
    who = Credentials.administrator(GOVERNANCE) if "cloudformation" in commands else world.steward
    environment = {
        "PATH": f"{ROOT / '.venv-rehearsal/bin'}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": world.organization.endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": who.key_id,
        "AWS_SECRET_ACCESS_KEY": who.secret,
        **({"AWS_SESSION_TOKEN": who.token} if who.token else {}),
    }
    done = subprocess.run(
        ["bash", "-ec", commands], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    if "cloudformation" in commands:
        cloudformation = world.client("cloudformation", who)
        cloudformation.get_waiter("stack_create_complete").wait(WaiterConfig={"Delay": 1})


def test_every_command_does_what_it_is_there_for(world: World) -> None:
    *before, take_back = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for commands in before:
        run(world, commands)
    kinds = {kind for resource in shared(world) for kind in resource}
    assert kinds == {"Table", "TableWithColumns", "DataCellsFilter", "LFTagPolicy"}
    run(world, take_back)
    assert not [resource for resource in shared(world) if "Table" in resource]
