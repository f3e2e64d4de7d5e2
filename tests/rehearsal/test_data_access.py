"""Data access in the emulated organisation: what two equal products open, and what is left when one of them goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import WaiterError

from pipeline.synthesis import synthesise
from products.data_access.product import DataAccessProduct
from products.shared import names
from rehearsal.organization import (
    GOVERNANCE,
    MANAGEMENT,
    ORGANIZATION_ID,
    REGION,
    ROOT,
    WORKLOADS_OU,
)
from rehearsal.organization_steps import STEWARD_ROLE
from tests.rehearsal.test_contract import administrator, let_in

if TYPE_CHECKING:
    from rehearsal.world import World

pytestmark = [pytest.mark.rehearsal, pytest.mark.prove]

BUCKET = f"pond-{GOVERNANCE}"
LINK = names.link_database(GOVERNANCE, REGION, "pond")
LOCATION = ROOT / "foundation/organization/data-lake-location.json"


def launch(cloudformation: Any, name: str, template: str, **answers: str) -> str:  # noqa: ANN401 (boto3 client)
    """Launch a template and return why it failed; empty when it did not."""
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in answers.items()]
    named = ["CAPABILITY_NAMED_IAM"]
    cloudformation.create_stack(StackName=name, TemplateBody=template, Parameters=parameters, Capabilities=named)
    try:
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    except WaiterError:
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return " ".join(e.get("ResourceStatusReason", "") for e in events if e["ResourceStatus"] == "CREATE_FAILED")
    return ""


def delete(cloudformation: Any, name: str) -> None:  # noqa: ANN401 (boto3 client)
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def granted(platform: World, role: str) -> dict[str, set[str]]:
    """Return what a role has on the pond in the governance account, as the data lake administrator sees it."""
    function = administrator(platform, "lambda").get_function(FunctionName=names.DATA_PERMISSIONS_FUNCTION)
    formation = platform.client("lakeformation", let_in(platform, function["Configuration"]["Role"]))
    found = formation.list_permissions(Principal={"DataLakePrincipalIdentifier": role})
    permissions: dict[str, set[str]] = {}
    for entry in found["PrincipalResourcePermissions"]:
        ((kind, about),) = entry["Resource"].items()
        if about.get("DatabaseName") == "pond" and GOVERNANCE in json.dumps(about):
            permissions.setdefault(about.get("Name", kind), set()).update(entry["Permissions"])
    return permissions


@pytest.fixture
def pond(platform: World) -> None:
    """A database of the governance account with one table, in a location that is not registered yet."""
    formation = platform.client("lakeformation", platform.steward)
    settings = formation.get_data_lake_settings()["DataLakeSettings"]
    me = {"DataLakePrincipalIdentifier": f"arn:aws:iam::{GOVERNANCE}:role/{STEWARD_ROLE}"}
    settings |= {
        "DataLakeAdmins": [admin for admin in settings["DataLakeAdmins"] if admin != me] + [me],
        "CreateDatabaseDefaultPermissions": [],
        "CreateTableDefaultPermissions": [],
        "Parameters": {"CROSS_ACCOUNT_VERSION": "4"},
    }
    formation.put_data_lake_settings(DataLakeSettings=settings)
    s3, glue = administrator(platform, "s3", GOVERNANCE), administrator(platform, "glue", GOVERNANCE)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    glue.create_database(DatabaseInput={"Name": "pond"})
    columns = [{"Name": name, "Type": "string"} for name in ("species", "weight")]
    storage = {"Columns": columns, "Location": f"s3://{BUCKET}/fish/"}
    glue.create_table(DatabaseName="pond", TableInput={"Name": "fish", "StorageDescriptor": storage})


@pytest.mark.usefixtures("pond")
def test_one_of_two_equal_products_can_go(platform: World) -> None:
    """From what is missing, in words, to the last one that takes link and permissions with it."""
    cloudformation = administrator(platform, "cloudformation")
    roles = administrator(platform, "iam").list_roles(PathPrefix=names.persona_role_path(names.DATA_SCIENTIST))["Roles"]
    (role,) = (role["Arn"] for role in roles)
    template = json.dumps(synthesise(DataAccessProduct))
    form = {"LakeAccountId": GOVERNANCE, "LakeDatabase": "pond", "Tables": "fish", "DataScientistRoleArn": role}

    reason = launch(cloudformation, "fish-unshared", template, **form)
    assert f"in account {GOVERNANCE} the data steward runs aws lakeformation grant-permissions" in reason
    unit = f"arn:aws:organizations::{MANAGEMENT}:ou/{ORGANIZATION_ID}/{WORKLOADS_OU}"
    platform.client("lakeformation", platform.steward).grant_permissions(
        Principal={"DataLakePrincipalIdentifier": unit},
        Resource={"Table": {"DatabaseName": "pond", "Name": "fish"}},
        Permissions=["SELECT", "DESCRIBE"],
        PermissionsWithGrantOption=["SELECT", "DESCRIBE"],
    )
    reason = launch(cloudformation, "fish-unregistered", template, **form)
    assert f"s3://{BUCKET}/fish/ of table pond.fish is not registered with Lake Formation" in reason
    location = {"Name": "pond", "BucketName": BUCKET, "Prefix": "fish"}
    owner = administrator(platform, "cloudformation", GOVERNANCE)
    assert launch(owner, "pond", LOCATION.read_text(encoding="utf-8"), **location) == ""
    reason = launch(cloudformation, "fish-columns", template, **form, Columns="species,price")
    assert "shows this account no columns price; it shows species, weight" in reason

    assert launch(cloudformation, "fish-one", template, **form) == ""
    assert launch(cloudformation, "fish-two", template, **form) == ""
    assert granted(platform, role) == {"fish": {"SELECT", "DESCRIBE"}}
    delete(cloudformation, "fish-one")
    assert granted(platform, role) == {"fish": {"SELECT", "DESCRIBE"}}
    assert (
        administrator(platform, "glue").get_database(Name=LINK)["Database"]["TargetDatabase"]["DatabaseName"] == "pond"
    )
    assert launch(cloudformation, "fish-some", template, **form, Columns="species") == ""
    delete(cloudformation, "fish-two")
    assert granted(platform, role) == {"fish": {"SELECT"}}
    delete(cloudformation, "fish-some")
    assert granted(platform, role) == {}
    assert LINK not in [d["Name"] for d in administrator(platform, "glue").get_databases()["DatabaseList"]]
