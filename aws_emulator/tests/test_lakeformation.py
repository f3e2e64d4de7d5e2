"""Lake Formation and the Data Catalog over HTTP: what a role of the same account is granted, and sees of it in Glue."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests import governed_lake
from aws_emulator.tests.governed_lake import LOANS, principal, refusal, some_columns, table
from aws_emulator.tests.harness import DEV, HUB, REGION

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_emulator.tests.governed_lake import Lake
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal
started, lake = governed_lake.started, governed_lake.lake


# ---- within an account ----------------------------------------------------------------------------------------------


def test_a_table_that_nobody_hardened_is_open_to_whom_iam_allows_it(cloud: Cloud) -> None:
    glue = cloud.client("glue", DEV)
    glue.create_database(DatabaseInput={"Name": "open"})
    glue.create_table(DatabaseName="open", TableInput=table("t"))
    arns = [f"arn:aws:glue:{REGION}:{DEV}:{end}" for end in ("catalog", "database/open", "table/open/t")]
    for count, allowed in ((2, False), (3, True)):
        statement = {"Effect": "Allow", "Action": "glue:GetTable", "Resource": arns[:count]}
        client = cloud.client("glue", DEV, cloud.assume(cloud.role(DEV, f"open-{count}", [statement])))
        if allowed:
            assert client.get_table(DatabaseName="OPEN", Name="T")["Table"]["Name"] == "t"
        else:
            with pytest.raises(ClientError, match="table/open/t because no identity-based policy"):
                client.get_table(DatabaseName="open", Name="t")


def test_a_role_sees_the_columns_that_it_was_granted_and_partition_keys(lake: Lake) -> None:
    assert lake.sees("analyst") == []
    lake.grant("steward", "analyst", some_columns("id"), "SELECT")
    lake.grant("steward", "analyst", some_columns("score"), "SELECT")
    assert lake.sees("analyst") == ["id", "score"]
    found = lake.client("glue", "analyst").get_partitions(DatabaseName="lake", TableName="loans")["Partitions"]
    assert [column["Name"] for column in found[0]["StorageDescriptor"]["Columns"]] == ["id", "score"]
    listed = lake.client("lakeformation", "analyst").list_permissions(Resource=LOANS)["PrincipalResourcePermissions"]
    assert [entry["Resource"] for entry in listed] == [some_columns("id", "score")]
    lake.revoke("steward", "analyst", some_columns("id"), "SELECT")
    assert lake.sees("analyst") == ["score"]


def test_an_administrator_sees_definitions_and_may_not_change_what_others_made(lake: Lake) -> None:
    maker = lake.client("glue", "maker")
    lake.grant("steward", "maker", {"Database": {"Name": "lake"}}, "CREATE_TABLE")
    maker.create_table(DatabaseName="lake", TableInput=table("made"))
    assert lake.sees("steward", name="made") == ["id", "risk", "score"]
    with pytest.raises(ClientError, match="Required Drop on made"):
        lake.client("glue", "steward").delete_table(DatabaseName="lake", Name="made")
    maker.update_table(DatabaseName="lake", TableInput=table("made", Parameters={"a": "b"}))
    assert maker.get_table(DatabaseName="lake", Name="made")["Table"]["VersionId"] == "2"
    lake.grant("maker", "analyst", {"Table": {"DatabaseName": "lake", "Name": "made"}}, "SELECT")
    assert lake.sees("analyst", name="made") == ["id", "risk", "score"]
    maker.delete_table(DatabaseName="lake", Name="made")


def test_a_role_creates_changes_and_drops_only_what_it_may(started: Lake) -> None:
    analyst = started.client("glue", "analyst")
    attempts: tuple[Callable[[], object], ...] = (
        lambda: analyst.create_table(DatabaseName="lake", TableInput=table("new")),
        lambda: analyst.update_table(DatabaseName="lake", TableInput=table("loans")),
        lambda: analyst.delete_table(DatabaseName="lake", Name="loans"),
        lambda: analyst.delete_database(Name="lake"),
        lambda: analyst.delete_partition(DatabaseName="lake", TableName="loans", PartitionValues=["1"]),
    )
    for attempt in attempts:
        with pytest.raises(ClientError) as error:
            attempt()
        assert refusal(error) == "AccessDeniedException"
    assert analyst.get_tables(DatabaseName="lake")["TableList"] == []


def test_only_administrators_and_holders_of_the_grant_option_grant(lake: Lake) -> None:
    with pytest.raises(ClientError, match="not authorized to access requested permissions"):
        lake.grant("analyst", "maker", LOANS, "SELECT")
    lake.grant("steward", "analyst", some_columns("id", "risk"), "SELECT", option=True)
    lake.grant("analyst", "maker", some_columns("id"), "SELECT")
    assert lake.sees("maker") == ["id"]
    for too_much in (LOANS, some_columns("id", "score")):
        with pytest.raises(ClientError, match="not authorized"):
            lake.grant("analyst", "maker", too_much, "SELECT")


@pytest.mark.parametrize(
    ("resource", "permissions", "reason"),
    [
        (some_columns("id"), ["SELECT", "DESCRIBE"], "Permissions modification is invalid"),
        (LOANS, ["CREATE_TABLE"], "Permissions modification is invalid"),
        (some_columns("none"), ["SELECT"], "no column none"),
        ({"Table": {"DatabaseName": "lake", "Name": "none"}}, ["SELECT"], "Table not found"),
        ({"Database": {"Name": "none"}}, ["DESCRIBE"], "Database not found"),
        ({"LFTagPolicy": {"ResourceType": "TABLE", "Expression": [{"TagKey": "x", "TagValues": ["y"]}]}}, ["SELECT"],
         "Tag key or value does not exist"),
    ],
)  # fmt: skip
def test_a_grant_that_makes_no_sense_is_refused(
    started: Lake, resource: dict[str, Any], permissions: list[str], reason: str
) -> None:
    with pytest.raises(ClientError, match=reason):
        started.grant("steward", "analyst", resource, *permissions)


def test_a_grant_names_a_role_that_exists_with_its_path(started: Lake) -> None:
    with pytest.raises(ClientError, match="Invalid principal"):
        started.grant("steward", f"arn:aws:iam::{HUB}:role/analyst", LOANS, "SELECT")


def test_revoking_what_is_not_granted_is_an_error(started: Lake) -> None:
    with pytest.raises(ClientError, match="No permissions revoked") as error:
        started.revoke("steward", "analyst", LOANS, "SELECT")
    assert refusal(error) == "InvalidInputException"


def test_grants_on_one_database_at_the_same_time_collide(lake: Lake) -> None:
    codes: list[str] = []
    steward = lake.client("lakeformation", "steward")
    request = {"Principal": principal(lake.roles["analyst"]), "Resource": LOANS, "Permissions": ["SELECT"]}

    def grant(together: threading.Barrier) -> None:
        together.wait()
        try:
            steward.grant_permissions(**request)
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])

    for _ in range(20):  # on a busy machine four requests may come one after the other
        barrier = threading.Barrier(4)
        threads = [threading.Thread(target=grant, args=(barrier,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if codes:
            break
    assert set(codes) == {"ConcurrentModificationException"}
    assert lake.sees("analyst") == ["id", "risk", "score"]


# ---- filters, tags, locations ---------------------------------------------------------------------------------------


def filter_(rows: str, **more: object) -> dict[str, Any]:
    place = {"TableCatalogId": HUB, "DatabaseName": "lake", "TableName": "loans", "Name": "f"}
    return {**place, "ColumnNames": ["id", "risk"], "RowFilter": {"FilterExpression": rows}, **more}


@pytest.mark.parametrize(
    "rows",
    [
        "score > 0.5",
        "(risk = 'low' OR risk LIKE 'h%') AND id BETWEEN 1 AND 5",
        "risk IN ('low', 'high') AND score IS NOT NULL AND NOT id = 3",
        "day <> '1' AND id >= -2",
    ],
)
def test_a_row_filter_compares_columns_with_constants(lake: Lake, rows: str) -> None:
    steward = lake.client("lakeformation", "steward")
    steward.create_data_cells_filter(TableData=filter_(rows))
    lake.grant("steward", "analyst", {"DataCellsFilter": {k: filter_("")[k] for k in FILTER_NAME}}, "SELECT")
    assert lake.sees("analyst") == ["id", "risk"]
    steward.delete_data_cells_filter(**{k: filter_("")[k] for k in FILTER_NAME})
    assert lake.sees("analyst") == []


FILTER_NAME = ("TableCatalogId", "DatabaseName", "TableName", "Name")


@pytest.mark.parametrize(
    "rows",
    ["upper(risk) = 'LOW'", "id = score", "risk = 1", "id = '1'", "1 = 1", "day IS NULL", "none = 1", "id = ",
     "id IN (SELECT 1)", "id = 1; DROP TABLE x", "id = (SELECT 1)", "loans.id = 1", "score"],
)  # fmt: skip
def test_a_row_filter_of_another_kind_is_refused(started: Lake, rows: str) -> None:
    with pytest.raises(ClientError) as error:
        started.client("lakeformation", "steward").create_data_cells_filter(TableData=filter_(rows))
    assert refusal(error) == "InvalidInputException"


def test_only_the_account_of_a_table_makes_filters(started: Lake) -> None:
    for who in ("analyst", "admin"):
        with pytest.raises(ClientError) as error:
            started.client("lakeformation", who).create_data_cells_filter(TableData=filter_("id = 1"))
        assert refusal(error) == "AccessDeniedException"


def test_a_tag_opens_what_has_it_and_the_innermost_one_counts(lake: Lake) -> None:
    steward = lake.client("lakeformation", "steward")
    steward.create_lf_tag(TagKey="Level", TagValues=["open", "closed"])
    with pytest.raises(ClientError) as error:
        lake.client("lakeformation", "analyst").create_lf_tag(TagKey="own", TagValues=["a"])
    assert refusal(error) == "AccessDeniedException"
    tag = {"TagKey": "level", "TagValues": ["open"]}
    steward.add_lf_tags_to_resource(Resource={"Database": {"Name": "lake"}}, LFTags=[tag])
    policy = {"LFTagPolicy": {"CatalogId": HUB, "ResourceType": "TABLE", "Expression": [tag]}}
    lake.grant("steward", "analyst", policy, "SELECT", "DESCRIBE")
    assert lake.sees("analyst") == ["id", "risk", "score"]
    closed = [{"TagKey": "level", "TagValues": ["closed"]}]
    steward.add_lf_tags_to_resource(Resource=some_columns("score"), LFTags=closed)
    assert lake.sees("analyst") == ["id", "risk"]
    failed = steward.add_lf_tags_to_resource(Resource=LOANS, LFTags=[{"TagKey": "level", "TagValues": ["other"]}])
    assert failed["Failures"][0]["Error"]["ErrorCode"] == "EntityNotFoundException"
    steward.remove_lf_tags_from_resource(Resource=some_columns("score"), LFTags=closed)
    steward.remove_lf_tags_from_resource(Resource={"Database": {"Name": "lake"}}, LFTags=[tag])
    assert lake.sees("analyst") == []


def test_a_table_at_a_registered_place_takes_permission_for_the_place(lake: Lake) -> None:
    steward, maker = lake.client("lakeformation", "steward"), lake.client("glue", "maker")
    arn = "arn:aws:s3:::lake/placed"
    with pytest.raises(ClientError, match="does not allow lakeformation"):
        steward.register_resource(ResourceArn=arn, RoleArn=lake.roles["analyst"])
    place = lake.location_role("placed")
    steward.register_resource(ResourceArn=arn, RoleArn=place)
    assert steward.describe_resource(ResourceArn=arn)["ResourceInfo"]["RoleArn"] == place
    lake.grant("steward", "maker", {"Database": {"Name": "lake"}}, "CREATE_TABLE")
    with pytest.raises(ClientError, match="s3://lake/placed"):
        maker.create_table(DatabaseName="lake", TableInput=table("placed"))
    lake.grant("steward", "maker", {"DataLocation": {"ResourceArn": arn}}, "DATA_LOCATION_ACCESS")
    maker.create_table(DatabaseName="lake", TableInput=table("placed"))
    assert maker.get_table(DatabaseName="lake", Name="placed")["Table"]["IsRegisteredWithLakeFormation"]
    maker.delete_table(DatabaseName="lake", Name="placed")
    steward.deregister_resource(ResourceArn=arn)


def test_in_a_lake_in_transition_lake_formation_decides_for_those_who_are_opted_in(lake: Lake) -> None:
    steward = lake.client("lakeformation", "steward")
    lake.grant("steward", "IAM_ALLOWED_PRINCIPALS", LOANS, "ALL")
    lake.grant("steward", "analyst", some_columns("id"), "SELECT")
    assert lake.sees("analyst") == lake.sees("maker") == ["id", "risk", "score"]
    opted = {"Principal": principal(lake.roles["analyst"]), "Resource": LOANS}
    steward.create_lake_formation_opt_in(**opted)
    assert (lake.sees("analyst"), lake.sees("maker")) == (["id"], ["id", "risk", "score"])
    assert steward.list_lake_formation_opt_ins(**opted)["LakeFormationOptInsInfoList"][0]["Resource"] == LOANS
    steward.delete_lake_formation_opt_in(**opted)
    with pytest.raises(ClientError) as error:
        steward.delete_lake_formation_opt_in(**opted)
    assert refusal(error) == "EntityNotFoundException"


def test_settings_are_those_of_the_own_account_and_the_newest_version_of_sharing_cannot_be_left(started: Lake) -> None:
    far = started.client("lakeformation", "far")
    with pytest.raises(ClientError, match="another account"):
        far.get_data_lake_settings(CatalogId=HUB)
    settings = far.get_data_lake_settings()["DataLakeSettings"]
    far.put_data_lake_settings(DataLakeSettings={**settings, "Parameters": {"CROSS_ACCOUNT_VERSION": "5"}})
    with pytest.raises(ClientError, match="5 cannot be changed"):
        far.put_data_lake_settings(DataLakeSettings={**settings, "Parameters": {"CROSS_ACCOUNT_VERSION": "4"}})


def test_a_template_registers_a_location_and_changes_it(lake: Lake) -> None:
    properties = {"ResourceArn": "arn:aws:s3:::lake/stack", "RoleArn": lake.location_role("stack")}

    def registered(hybrid: str) -> bool:
        resource = {
            "Type": "AWS::LakeFormation::Resource",
            "Properties": {**properties, "UseServiceLinkedRole": False, "HybridAccessEnabled": hybrid},
        }
        lake.cloud.deploy(HUB, "location", {"Resources": {"Location": resource}})
        found = lake.client("lakeformation", "steward").describe_resource(ResourceArn="arn:aws:s3:::lake/stack")
        return bool(found["ResourceInfo"]["HybridAccessEnabled"])

    assert (registered("true"), registered("false")) == (True, False)
