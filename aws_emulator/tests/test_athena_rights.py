"""Athena over HTTP: work groups, tokens, and whose permissions a query has."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.athena_lake import ATHENA, BUCKET, CATALOG, DATA, LAZY, RESULTS, Lake, allowed
from aws_emulator.tests.harness import DEV, REGION, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = "SELECT count(*) FROM loans"


def refusal(call: Callable[..., object], *arguments: Any, **request: Any) -> str:  # noqa: ANN401 - of the call
    """Return the words with which a call is refused."""
    with pytest.raises(ClientError) as refused:
        call(*arguments, **request)
    return str(refused.value.response["Error"]["Message"])


def group(lake: Lake, **configuration: Any) -> str:  # noqa: ANN401 - settings
    """Create a work group and return its name."""
    name = f"group-{uuid.uuid4().hex[:8]}"
    lake.client("athena").create_work_group(Name=name, Configuration=configuration)
    return name


def without(statement: dict[str, Any], action: str) -> dict[str, Any]:
    """Return a statement that allows everything but one action."""
    return {**statement, "Action": [given for given in statement["Action"] if given != action]}


# ---- work groups ----------------------------------------------------------------------------------------------------


def test_a_work_group_is_made_shown_and_deleted(lake: Lake) -> None:
    athena = lake.client("athena")
    location = {"OutputLocation": f"s3://{BUCKET}/group/"}
    name = group(lake, ResultConfiguration=location, BytesScannedCutoffPerQuery=20_000_000)
    found = athena.get_work_group(WorkGroup=name)["WorkGroup"]
    assert found["State"] == "ENABLED"
    assert found["Configuration"] == {
        "EnforceWorkGroupConfiguration": True,
        "PublishCloudWatchMetricsEnabled": True,
        "BytesScannedCutoffPerQuery": 20_000_000,
        "ResultConfiguration": location,
        "EngineVersion": {
            "SelectedEngineVersion": "AUTO",
            "EffectiveEngineVersion": "Athena engine version 3",
        },
    }
    athena.delete_work_group(WorkGroup=name)
    assert refusal(athena.get_work_group, WorkGroup=name) == "WorkGroup is not found."


def test_a_work_group_with_queries_is_deleted_with_them_or_not_at_all(lake: Lake) -> None:
    athena, name = lake.client("athena"), group(lake, EnforceWorkGroupConfiguration=False)
    id_ = lake.run("SELECT 1 AS one", WorkGroup=name)["QueryExecutionId"]
    assert refusal(athena.delete_work_group, WorkGroup=name) == f"WorkGroup {name} is not empty"
    athena.delete_work_group(WorkGroup=name, RecursiveDeleteOption=True)
    assert "was not found" in refusal(athena.get_query_execution, QueryExecutionId=id_)


def test_settings_of_a_work_group_that_are_not_emulated_are_refused_by_name(lake: Lake) -> None:
    create = lake.client("athena").create_work_group
    managed = {"ManagedQueryResultsConfiguration": {"Enabled": True}}
    assert "ManagedQueryResultsConfiguration" in refusal(create, Name="managed", Configuration=managed)
    wrong = {"ResultConfiguration": {"OutputLocation": "elsewhere"}}
    assert "not a valid S3 path" in refusal(create, Name="wrong", Configuration=wrong)


def test_a_template_makes_and_changes_a_work_group(lake: Lake) -> None:
    def template(cutoff: int, state: str) -> dict[str, Any]:
        configuration = {
            "BytesScannedCutoffPerQuery": str(cutoff),
            "EnforceWorkGroupConfiguration": "true",
            "ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/stack/"},
        }
        properties: dict[str, Any] = {"Name": "of-a-stack", "WorkGroupConfiguration": configuration, "State": state}
        properties |= {"RecursiveDeleteOption": True, "Tags": [{"Key": "team", "Value": state}]}
        return {"Resources": {"Group": {"Type": "AWS::Athena::WorkGroup", "Properties": properties}}}

    athena = lake.client("athena")
    for cutoff, state in ((10_000_000, "ENABLED"), (30_000_000, "DISABLED")):
        assert lake.cloud.deploy(DEV, "work-group", template(cutoff, state))["StackStatus"].endswith("_COMPLETE")
        found = athena.get_work_group(WorkGroup="of-a-stack")["WorkGroup"]
        assert (found["State"], found["Configuration"]["BytesScannedCutoffPerQuery"]) == (state, cutoff)
        arn = f"arn:aws:athena:{REGION}:{DEV}:workgroup/of-a-stack"
        assert athena.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": state}]
    assert refusal(lake.start, COUNT, WorkGroup="of-a-stack") == "WorkGroup is disabled."
    low = lake.cloud.deploy(DEV, "work-group", template(9_999_999, "ENABLED"))
    assert low["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    lake.client("cloudformation").delete_stack(StackName="work-group")

    def gone() -> bool:
        try:
            athena.get_work_group(WorkGroup="of-a-stack")
        except athena.exceptions.InvalidRequestException:
            return True
        return False

    assert eventually(gone)


def test_enforced_settings_win_over_the_request(lake: Lake) -> None:
    name = group(lake, ResultConfiguration={"OutputLocation": f"s3://{BUCKET}/enforced/"})
    found = lake.run("SELECT 1 AS one", WorkGroup=name)["ResultConfiguration"]["OutputLocation"]
    assert found.startswith(f"s3://{BUCKET}/enforced/")


def test_a_query_needs_a_place_for_its_results(lake: Lake) -> None:
    words = "No output location provided. An output location is required either through the Workgroup result"
    assert refusal(lake.start, COUNT, ResultConfiguration={}).startswith(words)
    assert refusal(lake.start, COUNT, WorkGroup=group(lake)).startswith(words)


def test_a_query_over_the_limit_of_its_work_group_is_cancelled(lake: Lake) -> None:
    lake.put("enormous/1.csv", "x" * 10_500_000)
    lake.table("enormous", {"text": "string"}, LAZY)
    name = group(lake, EnforceWorkGroupConfiguration=False, BytesScannedCutoffPerQuery=10_000_000)
    query = lake.ended(lake.start("SELECT count(text) FROM enormous", WorkGroup=name))
    assert query["Status"]["State"] == "CANCELLED"
    assert query["Status"]["StateChangeReason"] == "Bytes scanned limit was exceeded"
    assert query["Statistics"]["DataScannedInBytes"] == 10_000_000
    results = lake.client("athena").get_query_results
    assert refusal(results, QueryExecutionId=query["QueryExecutionId"]) == "Could not find results"
    assert lake.ask(COUNT, WorkGroup=name) == [["10"]]


# ---- executions -----------------------------------------------------------------------------------------------------


def test_a_token_starts_a_query_once(lake: Lake) -> None:
    token = uuid.uuid4().hex
    first = lake.start(COUNT, ClientRequestToken=token)
    assert lake.start(COUNT, ClientRequestToken=token) == first
    other = refusal(lake.start, "SELECT 2 AS two", ClientRequestToken=token)
    assert other == "Idempotent parameters do not match"


def test_a_query_is_stopped(lake: Lake) -> None:
    endless = (
        "SELECT count(*) FROM UNNEST(sequence(1, 9999)) a(x) CROSS JOIN UNNEST(sequence(1, 9999)) b(y) "
        "CROSS JOIN UNNEST(sequence(1, 9999)) c(z) WHERE x * y % 7 = z % 5"
    )
    id_ = lake.start(endless)
    athena = lake.client("athena")
    assert "Query has not yet finished" in refusal(athena.get_query_results, QueryExecutionId=id_)
    athena.stop_query_execution(QueryExecutionId=id_)
    status = lake.ended(id_)["Status"]
    assert (status["State"], status["StateChangeReason"]) == ("CANCELLED", "Query cancelled by user")
    done = lake.run("SELECT 1 AS one")["QueryExecutionId"]
    athena.stop_query_execution(QueryExecutionId=done)
    assert lake.ended(done)["Status"]["State"] == "SUCCEEDED"


def test_a_mistake_in_the_grammar_is_told_at_once(lake: Lake) -> None:
    assert "SYNTAX" not in refusal(lake.start, "SELECT FROM WHERE")
    assert "'CREATE TABLE made'" in refusal(lake.start, "CREATE TABLE made AS SELECT 1 AS one")
    assert "ExecutionParameters" in refusal(lake.start, "SELECT ?", ExecutionParameters=["1"])


def test_results_of_a_failed_query_are_refused_in_words(lake: Lake) -> None:
    query = lake.ended(lake.start("SELECT 1 / 0 AS x"))
    assert query["Status"]["AthenaError"]["ErrorType"] == 1001
    words = refusal(lake.client("athena").get_query_results, QueryExecutionId=query["QueryExecutionId"])
    assert words == "Query did not finish successfully. Final query state: FAILED"


# ---- whose permissions ----------------------------------------------------------------------------------------------


def test_a_role_reads_with_exactly_the_permissions_that_a_query_takes(lake: Lake) -> None:
    role = lake.as_role(ATHENA, CATALOG, RESULTS, DATA)
    assert role.ask(COUNT) == [["10"]]


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ((ATHENA, RESULTS, DATA), "Insufficient permissions to execute the query. User: "),
        ((ATHENA, CATALOG, RESULTS, without(DATA, "s3:ListBucket")), f"Permission denied on S3 path: s3://{BUCKET}/loans/"),
        ((ATHENA, CATALOG, RESULTS, without(DATA, "s3:GetObject")), f"Permission denied on S3 path: s3://{BUCKET}/loans/"),
        ((ATHENA, CATALOG, without(RESULTS, "s3:PutObject"), DATA), "Access denied when writing output to url: s3://"),
    ],
    ids=["no catalog", "no list", "no read", "no write"],
)  # fmt: skip
def test_a_query_fails_with_what_its_caller_lacks(
    lake: Lake, statements: tuple[dict[str, Any], ...], reason: str
) -> None:
    assert lake.as_role(*statements).failure(COUNT).startswith(f"PERMISSION_DENIED: {reason}")


def test_a_role_starts_and_sees_queries_of_its_work_group_only(lake: Lake) -> None:
    mine = group(lake, EnforceWorkGroupConfiguration=False)
    arn = f"arn:aws:athena:{REGION}:{DEV}:workgroup/{mine}"
    role = lake.as_role({**ATHENA, "Resource": arn}, CATALOG, RESULTS, DATA)
    id_ = role.run(COUNT, WorkGroup=mine)["QueryExecutionId"]
    assert role.rows(id_)[1:] == [["10"]]
    assert "athena:StartQueryExecution" in refusal(role.start, COUNT)
    others = lake.run(COUNT)["QueryExecutionId"]
    for operation in ("get_query_execution", "get_query_results", "stop_query_execution"):
        assert "not authorized" in refusal(getattr(role.client("athena"), operation), QueryExecutionId=others)


def test_results_need_the_bucket_and_are_read_with_permission_for_their_file(lake: Lake) -> None:
    nowhere = lake.as_role(ATHENA, CATALOG, without(RESULTS, "s3:GetBucketLocation"), DATA)
    assert refusal(nowhere.start, COUNT).startswith(f"Unable to verify/create output bucket {BUCKET}.")
    blind = lake.as_role(ATHENA, CATALOG, allowed(["s3:GetBucketLocation", "s3:PutObject"], "arn:aws:s3:::*"))
    id_ = blind.run("SELECT 1 AS one")["QueryExecutionId"]
    assert "s3:GetObject" in refusal(blind.client("athena").get_query_results, QueryExecutionId=id_)
    lake.client("s3").delete_object(Bucket=BUCKET, Key=f"results/{id_}.csv")
    assert refusal(lake.rows, id_) == "Could not find results"


def test_unload_writes_only_where_its_caller_may(lake: Lake) -> None:
    role = lake.as_role(ATHENA, CATALOG, RESULTS, DATA)
    unload = "UNLOAD (SELECT id FROM loans) TO 's3://{}/{}/' WITH (format = 'PARQUET')"
    role.run(unload.format(BUCKET, "out/of-role"))
    assert role.failure(unload.format(BUCKET, "elsewhere")).startswith("PERMISSION_DENIED: Access denied when writing")


def test_encrypted_data_and_results_take_permission_for_the_key(lake: Lake) -> None:
    key = lake.client("kms").create_key()["KeyMetadata"]["Arn"]
    lake.client("s3").put_object(
        Bucket=BUCKET, Key="secret/1.csv", Body=b"1\n", ServerSideEncryption="aws:kms", SSEKMSKeyId=key
    )
    lake.table("secret", {"id": "int"}, LAZY)
    results = {
        "OutputLocation": f"s3://{BUCKET}/results/",
        "EncryptionConfiguration": {"EncryptionOption": "SSE_KMS", "KmsKey": key},
    }
    reads, writes = (allowed([f"kms:{action}"], key) for action in ("Decrypt", "GenerateDataKey"))
    none, reader, both = (
        lake.as_role(ATHENA, CATALOG, RESULTS, DATA, *keys) for keys in ((), (reads,), (reads, writes))
    )
    sql = "SELECT id FROM secret"
    assert none.failure(sql) == f"PERMISSION_DENIED: Permission denied on S3 path: s3://{BUCKET}/secret/1.csv"
    assert reader.ask(sql) == [["1"]]
    assert "kms:GenerateDataKey" in reader.failure(sql, ResultConfiguration=results)
    assert both.ask(sql, ResultConfiguration=results) == [["1"]]
