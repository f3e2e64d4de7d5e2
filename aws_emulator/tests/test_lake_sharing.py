"""Lake Formation across accounts: shares, what is passed on of them, links, and what Athena answers."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests import governed_lake
from aws_emulator.tests.governed_lake import LOANS, UNIT, Lake, principal, refusal, some_columns, table
from aws_emulator.tests.harness import DEV, HUB, MANAGEMENT, OUTSIDER, PYTHON, REGION, ROOT

pytestmark = pytest.mark.rehearsal
started, lake = governed_lake.started, governed_lake.lake

# ---- across accounts ------------------------------------------------------------------------------------------------


def test_a_shared_table_is_read_through_a_link_and_not_after_it_is_revoked(lake: Lake) -> None:
    lake.grant("steward", UNIT, some_columns("id", "risk"), "SELECT", option=True)
    lake.grant("admin", "reader", LOANS, "SELECT")
    assert lake.sees("reader", "link") == []
    lake.grant("admin", "reader", {"Database": {"Name": "link"}}, "DESCRIBE")
    assert lake.sees("reader", "link") == ["id", "risk"]
    assert lake.sees("other", "link") == []
    listed = lake.client("lakeformation", "admin").list_permissions(Resource=LOANS)["PrincipalResourcePermissions"]
    shared = [entry for entry in listed if entry["Principal"] == principal(UNIT)]
    assert shared[0]["AdditionalDetails"]["ResourceShare"][0].startswith(f"arn:aws:ram:{REGION}:{HUB}:resource-share/")
    lake.revoke("steward", UNIT, some_columns("id", "risk"), "SELECT")
    assert lake.sees("reader", "link") == []


def test_an_account_passes_on_what_it_got_with_the_grant_option_to_its_own_roles_only(lake: Lake) -> None:
    with pytest.raises(ClientError, match="does not exist or requester is not authorized"):
        lake.grant("admin", "reader", LOANS, "SELECT")
    lake.grant("steward", DEV, LOANS, "SELECT")
    with pytest.raises(ClientError, match="does not exist or requester is not authorized"):
        lake.grant("admin", "reader", LOANS, "SELECT")
    lake.grant("steward", DEV, LOANS, "SELECT", option=True)
    for foreign in (lake.roles["stranger"], OUTSIDER, "IAM_ALLOWED_PRINCIPALS"):
        with pytest.raises(ClientError) as error:
            lake.grant("admin", foreign, LOANS, "SELECT")
        assert refusal(error) == "InvalidInputException"
    with pytest.raises(ClientError, match="not authorized"):
        lake.grant("reader", "other", LOANS, "SELECT")


def test_a_direct_grant_to_a_role_needs_no_administrator_and_is_not_passed_on(lake: Lake) -> None:
    lake.grant("steward", "reader", LOANS, "SELECT", option=True)
    lake.grant("admin", "reader", {"Database": {"Name": "link"}}, "DESCRIBE")
    assert lake.sees("reader", "link") == ["id", "risk", "score"]
    assert lake.sees("admin", "link") == []
    with pytest.raises(ClientError, match="not authorized"):
        lake.grant("reader", "other", LOANS, "SELECT")


@pytest.mark.parametrize(
    ("resource", "permissions", "reason"),
    [
        ({"TableWithColumns": {**LOANS["Table"], "ColumnWildcard": {"ExcludedColumnNames": ["id"]}}}, ["SELECT"],
         "excluded within an account only"),
        ({"Database": {"Name": "lake"}}, ["DROP"], "cannot be granted to other accounts"),
        ({"Catalog": {}}, ["CREATE_DATABASE"], "cannot be granted to other accounts"),
    ],
)  # fmt: skip
def test_what_cannot_be_shared_is_refused(
    started: Lake, resource: dict[str, Any], permissions: list[str], reason: str
) -> None:
    with pytest.raises(ClientError, match=reason):
        started.grant("steward", DEV, resource, *permissions)


def test_sharing_takes_the_version_that_knows_it_and_the_right_to_share(started: Lake) -> None:
    far = {"Table": {"DatabaseName": "own", "Name": "t"}}
    glue = started.cloud.client("glue", MANAGEMENT)
    glue.create_database(DatabaseInput={"Name": "own"})
    glue.create_table(DatabaseName="own", TableInput=table("t"))
    actions = ["lakeformation:*", "glue:*"]
    role = started.cloud.role(MANAGEMENT, "sharer", [{"Effect": "Allow", "Action": actions, "Resource": "*"}])
    client = started.cloud.client("lakeformation", MANAGEMENT, started.cloud.assume(role))

    def settings(version: str) -> None:
        parameters = {"CROSS_ACCOUNT_VERSION": version}
        administrators = {"DataLakeAdmins": [principal(role)], "Parameters": parameters}
        client.put_data_lake_settings(DataLakeSettings=administrators)

    for version, reason in (("2", "takes version 4"), ("3", "takes version 4"), ("4", "ram:CreateResourceShare")):
        settings(version)
        with pytest.raises(ClientError, match=reason):
            client.grant_permissions(Principal=principal(UNIT), Resource=far, Permissions=["SELECT"])


def test_an_account_outside_of_the_organisation_accepts_an_invitation_first(lake: Lake) -> None:
    lake.grant("steward", OUTSIDER, LOANS, "SELECT", option=True)
    ram = lake.client("ram", "far")
    with pytest.raises(ClientError, match="not authorized"):
        lake.grant("far", "stranger", LOANS, "SELECT")
    (invitation,) = ram.get_resource_share_invitations()["resourceShareInvitations"]
    assert invitation["status"] == "PENDING"
    ram.accept_resource_share_invitation(resourceShareInvitationArn=invitation["resourceShareInvitationArn"])
    lake.grant("far", "stranger", LOANS, "SELECT")
    lake.grant("far", "stranger", {"Database": {"Name": "link"}}, "DESCRIBE")
    assert lake.sees("stranger", "link") == ["id", "risk", "score"]


def test_a_role_elsewhere_sees_nothing_of_a_lake_in_transition_until_it_is_opted_in(lake: Lake) -> None:
    lake.grant("steward", "IAM_ALLOWED_PRINCIPALS", LOANS, "ALL")
    lake.grant("steward", DEV, LOANS, "SELECT", option=True)
    lake.grant("admin", "reader", some_columns("id"), "SELECT")
    lake.grant("admin", "reader", {"Database": {"Name": "link"}}, "DESCRIBE")
    assert lake.sees("reader", "link") == []
    opted = {"Principal": principal(lake.roles["reader"]), "Resource": LOANS}
    lake.client("lakeformation", "admin").create_lake_formation_opt_in(**opted)
    assert lake.sees("reader", "link") == ["id"]
    lake.client("lakeformation", "admin").delete_lake_formation_opt_in(**opted)


def test_links_take_describe_and_drop_only_and_show_their_target_to_whom_may_see_it(lake: Lake) -> None:
    link = {"Database": {"Name": "link"}}
    with pytest.raises(ClientError, match="Permissions modification is invalid"):
        lake.grant("admin", "reader", link, "CREATE_TABLE")
    lake.grant("admin", "reader", link, "DESCRIBE")
    shown = lake.client("glue", "reader").get_database(Name="link")["Database"]
    assert shown["TargetDatabase"] == {"CatalogId": HUB, "DatabaseName": "lake"}
    lake.grant("steward", DEV, {"Database": {"Name": "lake"}}, "DESCRIBE")
    databases = lake.client("glue", "admin").get_databases(ResourceShareType="ALL")["DatabaseList"]
    assert [(found["CatalogId"], found["Name"]) for found in databases] == [(HUB, "lake"), (DEV, "link")]


# ---- what Athena answers --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asking(started: Lake) -> Lake:
    """The lake with rows, which the role of its location reads, and a role in DEV that may do nothing but ask."""
    s3 = started.client("s3", "steward")
    s3.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="lake", Key="loans/day=1/a.csv", Body="1,low,0.5\n2,high,0.9\n3,low,0.1\n4,high,0.3\n")
    results = started.client("s3", "admin")
    results.create_bucket(Bucket="asked", CreateBucketConfiguration={"LocationConstraint": REGION})
    started.roles["place"] = started.location_role("place")
    started.client("lakeformation", "steward").register_resource(
        ResourceArn="arn:aws:s3:::lake", RoleArn=started.roles["place"]
    )
    glue = ["glue:GetDatabase", "glue:GetTable", "glue:GetPartitions", "lakeformation:GetDataAccess"]
    own = ["arn:aws:s3:::asked", "arn:aws:s3:::asked/*"]
    statements = [
        {"Effect": "Allow", "Action": [*glue, "athena:*"], "Resource": "*"},
        {"Effect": "Allow", "Action": ["s3:*"], "Resource": own},
    ]
    started.roles["asker"] = started.cloud.role(DEV, "asker", statements, Path="/lake/")
    return started


def shared_with_asker(lake: Lake, *granted: dict[str, Any]) -> None:
    for resource in granted:
        lake.grant("steward", UNIT, resource, "SELECT", option=True)
        lake.grant("admin", "asker", resource, "SELECT")
    lake.grant("admin", "asker", {"Database": {"Name": "link"}}, "DESCRIBE")


def test_a_query_shows_the_rows_and_columns_of_a_filter_and_reads_as_the_role_of_the_location(
    asking: Lake, lake: Lake
) -> None:
    filter_ = {"TableCatalogId": HUB, "DatabaseName": "lake", "TableName": "loans", "Name": "low"}
    rows = {"RowFilter": {"FilterExpression": "risk = 'low'"}, "ColumnNames": ["id", "risk"]}
    steward = lake.client("lakeformation", "steward")
    steward.create_data_cells_filter(TableData={**filter_, **rows})
    shared_with_asker(lake, {"DataCellsFilter": filter_})
    assert lake.ask("asker", "SELECT * FROM link.loans ORDER BY id") == [["1", "low", "1"], ["3", "low", "1"]]
    assert lake.ask("asker", "SELECT count(*) FROM link.loans") == [["2"]]
    hidden = "Column 'score' cannot be resolved or requester is not authorized to access requested resources"
    for sql in ("SELECT score FROM link.loans", "SELECT id FROM link.loans WHERE score > 0"):
        assert hidden in lake.failure("asker", sql)
    with pytest.raises(ClientError, match="403"):
        lake.client("s3", "asker").head_object(Bucket="lake", Key="loans/day=1/a.csv")
    steward.delete_data_cells_filter(**filter_)
    assert "TABLE_NOT_FOUND" in lake.failure("asker", "SELECT id FROM link.loans")


def test_two_grants_show_their_cells_and_nothing_where_only_one_has_the_row(asking: Lake, lake: Lake) -> None:
    place = {"TableCatalogId": HUB, "DatabaseName": "lake", "TableName": "loans"}
    steward = lake.client("lakeformation", "steward")
    for name, rows, columns in (("a", "id <= 2", ["id", "risk"]), ("b", "id >= 2", ["id", "score"])):
        data = {**place, "Name": name, "RowFilter": {"FilterExpression": rows}, "ColumnNames": columns}
        steward.create_data_cells_filter(TableData=data)
    shared_with_asker(lake, *({"DataCellsFilter": {**place, "Name": name}} for name in "ab"))
    assert lake.ask("asker", "SELECT id, risk, score FROM link.loans ORDER BY id") == [
        ["1", "low", None],
        ["2", "high", "0.9"],
        ["3", None, "0.1"],
        ["4", None, "0.3"],
    ]
    assert lake.ask("asker", "SELECT id FROM link.loans WHERE risk = 'low'") == [["1"]]
    for name in "ab":
        steward.delete_data_cells_filter(**place, Name=name)


ROUNDABOUT = (
    'SELECT "$path" FROM link.loans',
    'SELECT * FROM "link"."loans$all"',
    "SELECT * FROM lake.loans",
    "WITH loans AS (SELECT * FROM link.loans) SELECT * FROM loans, link.loans other",
    "SELECT * FROM link.loans FULL JOIN link.loans b USING (id) WHERE b.id IS NULL OR b.risk <> 'x'",
    "SELECT id, (SELECT max(risk) FROM link.loans) FROM link.loans WHERE day = '1' OR risk = 'high'",
    "SELECT id FROM link.loans ORDER BY score",
    "SELECT id FROM link.loans WHERE 1 / (id - 2) > 0",
    "SELECT rowid, loans FROM link.loans",
    "SELECT * FROM read_csv('s3://lake/loans/day=1/a.csv')",
)
"""Statements by which somebody might look for the cells that a filter hides."""


def test_no_statement_shows_a_hidden_cell(asking: Lake, lake: Lake) -> None:
    filter_ = {"TableCatalogId": HUB, "DatabaseName": "lake", "TableName": "loans", "Name": "low"}
    rows = {"RowFilter": {"FilterExpression": "risk = 'low'"}, "ColumnNames": ["id", "risk"]}
    lake.client("lakeformation", "steward").create_data_cells_filter(TableData={**filter_, **rows})
    shared_with_asker(lake, {"DataCellsFilter": filter_})
    answered = 0
    for sql in ROUNDABOUT:
        query = lake.query("asker", sql)
        shown = query["Status"].get("StateChangeReason", "")
        if query["Status"]["State"] == "SUCCEEDED":
            shown, answered = str(lake.rows("asker", query)), answered + 1
        assert not {"high", "0.9", "0.5"} & {*re.findall(r"[a-z0-9.]+", shown)}, (sql, shown)
    assert answered == 3
    lake.client("lakeformation", "steward").delete_data_cells_filter(**filter_)


def test_a_revocation_holds_in_the_next_query(asking: Lake, lake: Lake) -> None:
    shared_with_asker(lake, some_columns("id"))
    assert lake.ask("asker", "SELECT max(id) FROM link.loans") == [["4"]]
    lake.revoke("admin", "asker", some_columns("id"), "SELECT")
    assert "TABLE_NOT_FOUND" in lake.failure("asker", "SELECT max(id) FROM link.loans")


def test_without_the_right_to_get_data_access_nothing_is_read(asking: Lake, lake: Lake) -> None:
    glue = {"Effect": "Allow", "Action": ["glue:Get*", "athena:*", "s3:*"], "Resource": "*"}
    lake.roles["plain"] = lake.cloud.role(DEV, "plain", [glue], Path="/lake/")
    lake.grant("steward", "plain", LOANS, "SELECT")
    lake.grant("admin", "plain", {"Database": {"Name": "link"}}, "DESCRIBE")
    assert "lakeformation:GetDataAccess" in lake.failure("plain", "SELECT id FROM link.loans")


# ---- random histories -----------------------------------------------------------------------------------------------


def histories(*arguments: str) -> dict[str, Any]:
    command = [str(PYTHON), "-m", "aws_emulator.tests.lake_histories", *arguments]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def test_decisions_and_queries_after_random_events_are_those_of_the_naive_evaluator() -> None:
    found = histories("200")
    assert found["disagreements"] == 0, found["examples"]
    assert found["shown"] > 400
    assert found["queries"] > 100
    assert found["revocations"] > 300
    assert found["adapted"], "MUTANTS of lake_histories.py replace texts that decision.py no longer has"


@pytest.mark.prove
def test_thousands_of_histories_agree_with_the_naive_evaluator() -> None:
    found = histories("5000")
    assert found["disagreements"] == 0, found["examples"]


@pytest.mark.prove
def test_histories_find_every_fault_that_is_put_into_the_decision() -> None:
    assert histories("1000", "--mutants")["survivors"] == []
