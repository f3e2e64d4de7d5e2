"""The training product for governed tables: what its roles may do under Lake Formation and without it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from products.shared import names
from products.train_athena.product import RETIRED_TAG, TrainAthenaProduct
from tests.policy import allows
from tests.products.launches import ACCOUNT, HUB, LAKE, ORDINARY, REGION, launch
from tests.products.test_every_product import waits_for
from tests.products.test_train_s3 import one, only_id, role_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.policy import Launch

    Template = dict[str, Any]

ATHENA = ORDINARY["train-athena"]
BUCKET = f"arn:aws:s3:::mlp-p-aaaaaaaaaaaa-{ACCOUNT}-{REGION}"
WORK_GROUP = f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup/mlp-p-aaaaaaaaaaaa-athena"
LINK = "credit_risk_0a1b2c3d"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/data"
THROUGH_S3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}


@pytest.fixture(scope="module")
def template(synth_product: Callable[[type[Any]], Template]) -> Template:
    return synth_product(TrainAthenaProduct)


@pytest.fixture(scope="module")
def project(template: Template) -> Launch:
    return launch(template, ATHENA, stack="SC-1")


@pytest.fixture(scope="module")
def ungoverned(template: Template) -> Launch:
    return launch(template, {**ATHENA, "Location": "s3://sales-lake/loans/", "DataKeyArn": KEY}, stack="SC-2")


def glue(account: str, *names: str) -> list[str]:
    return [f"arn:aws:glue:{REGION}:{account}:{name}" for name in names]


def jobs(project: Launch) -> list[Any]:
    """Return the statements of the role of the jobs."""
    return list(project.roles()[role_of(project, "sagemaker")])


def build(project: Launch) -> list[Any]:
    """Return the statements of the role of the build."""
    return list(project.roles()[role_of(project, "codebuild")])


# ---- statements -----------------------------------------------------------------------------------------------------


def test_jobs_query_in_the_work_group_of_the_project_and_in_no_other(project: Launch) -> None:
    for verb in ("GetQueryExecution", "GetQueryResults", "GetWorkGroup", "StartQueryExecution", "StopQueryExecution"):
        assert allows(jobs(project), f"athena:{verb}", WORK_GROUP)
        assert not allows(jobs(project), f"athena:{verb}", WORK_GROUP.replace("aaaa-athena", "bbbb-athena"))
        assert not allows(build(project), f"athena:{verb}", WORK_GROUP)
    for verb in ("CreateNamedQuery", "UpdateWorkGroup", "DeleteWorkGroup"):
        assert not allows(jobs(project), f"athena:{verb}", WORK_GROUP)


def test_both_roles_see_the_definition_of_the_table_and_of_no_other_of_the_owner(project: Launch) -> None:
    seen = [
        *glue(ACCOUNT, "catalog", "database/default", f"database/{LINK}", f"table/{LINK}/loans"),
        *glue(LAKE, "catalog", "database/credit_risk", "table/credit_risk/loans"),
    ]
    hidden = [
        *glue(LAKE, "table/credit_risk/salaries", "database/hr", "table/hr/loans"),
        *glue(ACCOUNT, "database/other", "table/other/loans"),
    ]
    for role in (jobs(project), build(project)):
        for what in ("Database", "Databases", "Partition", "Partitions", "Table", "Tables"):
            assert all(allows(role, f"glue:Get{what}", arn) for arn in seen), what
            assert not any(allows(role, f"glue:Get{what}", arn) for arn in hidden), what
        assert allows(role, "glue:BatchGetPartition", seen[-1])
        for verb in ("CreateTable", "CreateDatabase", "UpdateTable", "DeleteTable", "CreatePartition"):
            assert not any(allows(role, f"glue:{verb}", arn) for arn in seen), verb


def test_jobs_get_at_governed_data_and_the_build_does_not(project: Launch) -> None:
    assert allows(jobs(project), "lakeformation:GetDataAccess", "*")
    assert not allows(build(project), "lakeformation:GetDataAccess", "*")
    for role in (jobs(project), build(project)):
        assert not allows(role, "lakeformation:GrantPermissions", "*")
        assert not allows(role, "lakeformation:PutDataLakeSettings", "*")


def test_results_are_read_written_and_removed_and_data_is_retired_but_not_deleted(project: Launch) -> None:
    result, data = f"{BUCKET}/athena/1.csv", f"{BUCKET}/data/d/t/part-0"
    for arn in (result, data):
        for action in ("GetObject", "PutObject", "AbortMultipartUpload", "ListMultipartUploadParts"):
            assert allows(jobs(project), f"s3:{action}", arn)
    for action in ("GetBucketLocation", "ListBucket", "ListBucketMultipartUploads"):
        assert allows(jobs(project), f"s3:{action}", BUCKET)
    assert allows(jobs(project), "s3:DeleteObject", result)
    assert not allows(jobs(project), "s3:DeleteObject", data)
    assert allows(jobs(project), "s3:PutObjectTagging", data)
    assert not allows(jobs(project), "s3:PutObjectTagging", f"{BUCKET}/credit-p-aaaaaaaaaaaa/models/model.tar.gz")
    for arn in (result, data):
        assert not allows(build(project), "s3:GetObject", arn)
        assert not allows(build(project), "s3:DeleteObject", arn)


def test_where_lake_formation_decides_no_role_reads_files_of_the_owner_itself(project: Launch) -> None:
    for role in project.roles().values():
        assert not allows(role, "s3:GetObject", "arn:aws:s3:::sales-lake/loans/part-0")
        assert not allows(role, "s3:ListBucket", "arn:aws:s3:::sales-lake", **{"s3:prefix": "loans/"})
        assert not allows(role, "kms:Decrypt", KEY, **THROUGH_S3)


def test_without_lake_formation_jobs_read_the_files_of_the_table_and_none_beside_them(ungoverned: Launch) -> None:
    role = jobs(ungoverned)
    assert allows(role, "s3:GetObject", "arn:aws:s3:::sales-lake/loans/part-0")
    assert not allows(role, "s3:GetObject", "arn:aws:s3:::sales-lake/loans-secret/part-0")
    assert not allows(role, "s3:PutObject", "arn:aws:s3:::sales-lake/loans/part-0")
    assert allows(role, "s3:ListBucket", "arn:aws:s3:::sales-lake", **{"s3:prefix": "loans/day=1/"})
    assert not allows(role, "s3:ListBucket", "arn:aws:s3:::sales-lake", **{"s3:prefix": ""})
    assert allows(role, "kms:Decrypt", KEY, **THROUGH_S3)
    assert not allows(role, "kms:Decrypt", KEY)
    assert not allows(build(ungoverned), "s3:GetObject", "arn:aws:s3:::sales-lake/loans/part-0")


# ---- what it makes --------------------------------------------------------------------------------------------------


def test_the_work_group_enforces_encryption_place_and_limit(project: Launch, template: Template) -> None:
    group = one(project, "AWS::Athena::WorkGroup")
    settings = group["WorkGroupConfiguration"]
    assert group["Name"] == "mlp-p-aaaaaaaaaaaa-athena"
    assert group["RecursiveDeleteOption"] is True
    assert settings["EnforceWorkGroupConfiguration"] is True
    assert settings["PublishCloudWatchMetricsEnabled"] is True
    assert int(settings["BytesScannedCutoffPerQuery"]) == 100 * 10**9
    assert settings["ResultConfiguration"] == {
        "OutputLocation": f"s3://mlp-p-aaaaaaaaaaaa-{ACCOUNT}-{REGION}/athena/",
        "EncryptionConfiguration": {
            "EncryptionOption": "SSE_KMS",
            "KmsKey": project.attribute(only_id(template, "AWS::KMS::Key"), "Arn"),
        },
        "ExpectedBucketOwner": ACCOUNT,
    }
    low = one(launch(template, {**ATHENA, "ScanLimitGb": "1"}), "AWS::Athena::WorkGroup")
    # Athena API reference, WorkGroupConfiguration: at least 10,000,000 bytes.
    assert int(low["WorkGroupConfiguration"]["BytesScannedCutoffPerQuery"]) >= 10**7


def test_results_go_after_a_day_and_unloaded_data_only_when_retired(project: Launch) -> None:
    rules = {rule["Id"]: rule for rule in one(project, "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]}
    assert (rules["AthenaResults"]["Prefix"], rules["AthenaResults"]["ExpirationInDays"]) == ("athena/", 1)
    assert rules["RetiredData"]["TagFilters"] == [{"Key": RETIRED_TAG, "Value": "true"}]
    assert rules["RetiredData"]["Prefix"] == "data/"
    expiring = [rule for rule in rules.values() if rule.get("Prefix") == "data/" and "ExpirationInDays" in rule]
    assert expiring == [rules["RetiredData"]]
    for name in ("AthenaResults", "UnloadedData"):
        assert rules[name]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
        assert rules[name]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


@pytest.mark.parametrize(
    ("key", "denied"),
    [
        ("data/d/t/part-0", {"person", "hub"}),
        ("credit-p-aaaaaaaaaaaa/runs/abc/prepare/test/b.parquet", {"person", "hub"}),
        ("credit-p-aaaaaaaaaaaa/runs/abc/evaluate/samples/payload.tar.gz", {"person"}),
        ("credit-p-aaaaaaaaaaaa/runs/abc/evaluate/evaluation/evaluation.json", set()),
        ("credit-p-aaaaaaaaaaaa/models/model.tar.gz", set()),
        ("athena/1.csv", set()),
    ],
)
def test_rows_that_the_project_was_granted_are_for_its_jobs_and_not_for_people_or_the_hub(
    project: Launch, key: str, denied: set[str]
) -> None:
    statements = one(project, "AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    # Whatever an allow of the same words would reach, a deny reaches.
    turned = [{**s, "Effect": "Allow"} for s in statements if s.get("Sid") in ("NoRows", "NoSamples")]
    roles = {
        "person": f"arn:aws:iam::{ACCOUNT}:role/ml-platform/persona/data-scientist/SC-1-Role",
        "hub": f"arn:aws:iam::{HUB}:role{names.HUB_ROLE_PATH}copy",
        "jobs": project.attribute(role_of(project, "sagemaker"), "Arn"),
        "administrator": f"arn:aws:iam::{ACCOUNT}:role/Admin",
    }
    for action in ("s3:GetObject", "s3:GetObjectVersion"):
        reached = {
            who for who, arn in roles.items() if allows(turned, action, f"{BUCKET}/{key}", **{"aws:PrincipalArn": arn})
        }
        assert reached == denied


@pytest.mark.parametrize(
    ("answers", "columns"),
    [
        ({}, []),
        ({"Columns": "income,amount"}, ["income", "amount", "defaulted", "customer_id"]),
        ({"Columns": "income", "RecordKey": ""}, ["income", "defaulted"]),
    ],
)
def test_access_is_asked_for_exactly_the_columns_of_the_form_and_the_roles_of_this_project(
    template: Template, answers: dict[str, str], columns: list[str]
) -> None:
    run = launch(template, {**ATHENA, **answers})
    access = one(run, "Custom::ProjectDataAccess")
    assert access["ProjectId"] == "p-aaaaaaaaaaaa"
    assert (access["Database"], access["Table"], access["Columns"]) == (LINK, "loans", columns)
    assert access["Location"] == ""
    assert access["Roles"] == [run.attribute(role_of(run, service), "Arn") for service in ("sagemaker", "codebuild")]
    assert one(run, "Custom::Preflight")["Columns"] == columns
    assert "data" in one(run, "Custom::Preflight")["Checks"]


def test_the_first_training_finds_work_group_and_grants_and_termination_begins_with_the_writers(
    template: Template,
) -> None:
    before = waits_for(template, only_id(template, "AWS::CodePipeline::Pipeline"))
    types = {template["Resources"][k]["Type"] for k in before}
    assert {"Custom::ProjectDataAccess", "AWS::Athena::WorkGroup"} <= types
    contents = only_id(template, "Custom::BucketContents")
    assert contents in waits_for(template, only_id(template, "AWS::Athena::WorkGroup"))


# ---- the form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "accepted", "refused"),
    [
        ("Database", ["credit_risk_0a1b2c3d"], ["", "Credit", "a-b", "a*"]),
        ("Table", ["loans", "2026_loans"], ["", "hr.loans", "loans/*"]),
        ("Columns", ["", "income", "income,region_2"], ["income, region", "Income", "a,", "a;b"]),
        (
            "Where",
            ["", "a = 1", "name = 'O''Hara' AND (b IN ('DE') OR ((c > 1)))", "größe > 3"],
            ["(a = 1", "a = 1) OR (1 = 1", "name = 'x", "a = 1; DROP", "a -- b", "a /* b", " a = 1", "a = `b`", "$a"],
        ),
        ("RecordKey", ["", "customer_id", "a,b"], ["a b", "A"]),
        ("Snapshot", ["", "4711", "2026-11-01T00:00:00Z"], ["yesterday", "2026-11-01", "-1"]),
        ("Partitions", ["", "day=2026-01-01..2026-06-30", "month=1..12"], ["day=2026", "day=a..b'", "..", "=a..b"]),
        ("ScanLimitGb", ["1", "100", "100000"], ["0", "1.5", "100001", ""]),
        ("Location", ["", "s3://lake/loans/"], ["s3://lake/", "s3://mlp-p-bbbbbbbbbbbb-1-eu-west-1/a/", "lake/a/"]),
    ],
)
def test_the_form_accepts_what_is_right_and_refuses_what_is_not(
    template: Template, parameter: str, accepted: list[str], refused: list[str]
) -> None:
    pattern = template["Parameters"][parameter]["AllowedPattern"]
    assert [v for v in accepted if not re.fullmatch(pattern, v)] == []
    assert [v for v in refused if re.fullmatch(pattern, v)] == []


def test_the_form_tells_when_a_key_is_given_without_the_folder_that_it_encrypts(template: Template) -> None:
    rule = template["Rules"]["KeyNeedsLocation"]
    for location, key, fine in (
        ("", "", True),
        ("s3://lake/a/", KEY, True),
        ("s3://lake/a/", "", True),
        ("", KEY, False),
    ):
        run = launch(template, {**ATHENA, "Location": location, "DataKeyArn": key})
        asserted = all(run.value(a["Assert"]) for a in rule["Assertions"])
        assert (not run.value(rule["RuleCondition"]) or asserted) is fine
