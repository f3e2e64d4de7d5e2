# ruff: noqa: S608 - the statements are those of the tests
"""Athena over HTTP: what queries read of S3 and Glue, and what they answer."""

from __future__ import annotations

import gzip
import json
import subprocess

import pytest

from aws_emulator.tests.athena_lake import BUCKET, JSON, LAZY, OPEN_CSV, Lake
from aws_emulator.tests.harness import DEV, PYTHON, REGION, ROOT


def test_a_query_answers_with_names_types_and_nulls(lake: Lake) -> None:
    query = lake.run("SELECT 1 AS one, 'a\"b' AS text, CAST(NULL AS varchar) AS missing, DECIMAL '1.50' AS price")
    found = lake.client("athena").get_query_results(QueryExecutionId=query["QueryExecutionId"])["ResultSet"]
    types = [(column["Name"], column["Type"]) for column in found["ResultSetMetadata"]["ColumnInfo"]]
    assert types == [("one", "integer"), ("text", "varchar"), ("missing", "varchar"), ("price", "decimal")]
    assert lake.rows(query["QueryExecutionId"]) == [["one", "text", "missing", "price"], ["1", 'a"b', None, "1.50"]]
    assert (query["StatementType"], query["SubstatementType"]) == ("DML", "SELECT")


def test_results_lie_as_csv_where_clients_look_for_them(lake: Lake) -> None:
    query = lake.run("SELECT 'a\"b' AS text, '' AS nothing, CAST(NULL AS varchar) AS missing")
    location = query["ResultConfiguration"]["OutputLocation"]
    assert location == f"s3://{BUCKET}/results/{query['QueryExecutionId']}.csv"
    assert lake.text(location) == '"text","nothing","missing"\n"a""b","",\n'


def test_results_come_in_pages(lake: Lake) -> None:
    id_ = lake.run("SELECT n FROM UNNEST(sequence(1, 5)) AS t(n) ORDER BY n")["QueryExecutionId"]
    pages = (
        lake.client("athena")
        .get_paginator("get_query_results")
        .paginate(QueryExecutionId=id_, PaginationConfig={"PageSize": 2})
    )
    found = [[row["Data"][0]["VarCharValue"] for row in page["ResultSet"]["Rows"]] for page in pages]
    assert found == [["n", "1"], ["2", "3"], ["4", "5"]]


# ---- partitions -----------------------------------------------------------------------------------------------------


def test_a_partition_filter_reads_only_its_files(lake: Lake) -> None:
    one = lake.run("SELECT sum(amount) FROM loans WHERE dt = '2026-01-01'")
    both = lake.run("SELECT sum(amount) FROM loans")
    assert lake.rows(one["QueryExecutionId"])[1:] == [["100"]]
    assert lake.rows(both["QueryExecutionId"])[1:] == [["200"]]
    scanned = [query["Statistics"]["DataScannedInBytes"] for query in (one, both)]
    assert 0 < 2 * scanned[0] == scanned[1]


@pytest.mark.parametrize(
    "condition",
    [
        "dt > '2026-01-01'",
        "dt IN ('2026-01-02', 'x')",
        "substr(dt, 9) = '02' AND id >= 0",
        "CAST(dt AS date) = DATE '2026-01-02'",
    ],
)
def test_conditions_on_partition_keys_prune(lake: Lake, condition: str) -> None:
    every = lake.run("SELECT sum(id) FROM loans")["Statistics"]["DataScannedInBytes"]
    query = lake.run(f"SELECT count(id) FROM loans WHERE {condition}")
    assert query["Statistics"]["DataScannedInBytes"] * 2 == every
    assert lake.rows(query["QueryExecutionId"])[1:] == [["5"]]


def test_an_outer_join_prunes_nothing_that_it_needs(lake: Lake) -> None:
    sql = (
        "SELECT count(*) FROM (VALUES BIGINT '1', BIGINT '9') t(id) LEFT JOIN loans ON loans.id = t.id "
        "WHERE loans.dt IS NULL"
    )
    assert lake.ask(sql) == [["1"]]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM loans a JOIN loans b USING (id) WHERE a.dt < '2026-01-02' AND b.dt > '2026-01-01'", "5"),
        ("SELECT count(*) FROM loans AS a LEFT JOIN loans AS b ON a.id = b.id + 9 WHERE a.dt = '2026-01-01'", "5"),
        ("SELECT count(*) FROM loans WHERE dt = '2026-01-01' OR id = 4", "6"),
        ("SELECT count(*) FROM loans WHERE NOT dt = '2026-01-01'", "5"),
        ("SELECT count(*) FROM loans WHERE dt = (SELECT max(dt) FROM loans)", "5"),
        ("SELECT count(*) FROM loans WHERE id = 1 AND (dt < '2026-01-02' OR dt > '2026')", "2"),
        ("WITH a AS (SELECT * FROM loans WHERE dt < '2026-01-02') SELECT count(*) FROM a JOIN loans USING (id)", "10"),
        ("SELECT count(*) FROM (SELECT 1 FROM loans WHERE dt > '' UNION ALL SELECT 2 FROM loans WHERE dt = '')", "10"),
        ("SELECT count(*) FROM loans WHERE EXISTS (SELECT 1 FROM loans AS b WHERE b.dt = loans.dt AND b.id = 3)", "10"),
    ],
)  # fmt: skip
def test_what_is_left_out_changes_no_answer(lake: Lake, sql: str, rows: str) -> None:
    assert lake.ask(sql) == [[rows]]


def test_only_the_columns_that_a_query_needs_count_as_scanned(lake: Lake) -> None:
    one, two, all_ = (
        lake.run(f"SELECT {columns} FROM loans")["Statistics"]["DataScannedInBytes"]
        for columns in ("max(id)", "max(id), max(region)", "*")
    )
    assert 0 < one < two < all_


def test_projected_partitions_need_no_registration(lake: Lake) -> None:
    counts = [["2026-01-01", "5"], ["2026-01-02", "5"]]
    assert lake.ask("SELECT dt, count(*) FROM projected GROUP BY dt ORDER BY dt") == counts


def test_an_injected_value_has_to_be_named(lake: Lake) -> None:
    assert lake.failure("SELECT count(*) FROM injected").startswith("CONSTRAINT_VIOLATION: For the injected")
    assert lake.ask("SELECT count(*) FROM injected WHERE dt = '2026-01-02'") == [["5"]]


def test_projection_knows_enums_numbers_and_templates(lake: Lake) -> None:
    for place in ("eu/07", "eu/08", "us/07", "as/07", "eu/7"):
        lake.put(f"hours/{place}/data.csv", f"{place}\n")
    projection = {
        "projection.enabled": "true",
        "projection.area.type": "enum",
        "projection.area.values": "eu, us",
        "projection.hour.type": "integer",
        "projection.hour.range": "1,7",
        "projection.hour.digits": "2",
        "storage.location.template": f"s3://{BUCKET}/hours/${{area}}/${{hour}}/",
    }
    lake.table("hours", {"place": "string"}, LAZY, {"area": "string", "hour": "int"}, projection)
    assert lake.ask("SELECT place, area, hour FROM hours ORDER BY 1") == [["eu/07", "eu", "7"], ["us/07", "us", "7"]]


def test_dates_are_projected_relative_to_now_and_by_interval(lake: Lake) -> None:
    for month in ("2025-01", "2026-01", "2026-02", "2027-01"):
        lake.put(f"months/m={month}/data.csv", f"{month}\n")
    projection = {"enabled": "true", "m.type": "date", "m.range": "2026-01,NOW", "m.format": "yyyy-MM"}
    projection |= {"m.interval": "2", "m.interval.unit": "MONTHS"}
    properties = {f"projection.{key}": value for key, value in projection.items()}
    lake.table("months", {"month": "string"}, LAZY, {"m": "string"}, properties)
    assert lake.ask("SELECT month FROM months") == [["2026-01"]]


def test_hidden_files_are_no_data(lake: Lake) -> None:
    for name in ("a.csv", "_SUCCESS", ".hidden", "_temporary/b.csv", "deeper/c.csv"):
        lake.put(f"hidden/{name}", f"{name}\n")
    lake.table("hidden", {"name": "string"}, LAZY)
    assert lake.ask("SELECT name FROM hidden ORDER BY 1") == [["a.csv"], ["deeper/c.csv"]]


# ---- formats --------------------------------------------------------------------------------------------------------


def test_text_files_are_read_as_lazy_simple_serde_does(lake: Lake) -> None:
    lines = 'id,name,price,day\n1,"x",2.5,2026-01-01\nabc,\\N,,x\n3\n4,,1e3,2026-01-02,more\n'
    lake.put("lazy/1.csv", lines)
    lake.put("lazy/2.csv.gz", gzip.compress(b"id,name,price,day\n5,z,7,2026-01-03\n"))
    columns = {"id": "int", "name": "string", "price": "double", "day": "date"}
    lake.table("lazy", columns, LAZY, None, {"skip.header.line.count": "1"}, {"field.delim": ","})
    assert lake.ask("SELECT * FROM lazy ORDER BY id NULLS LAST") == [
        ["1", '"x"', "2.5", "2026-01-01"],
        ["3", None, None, None],
        ["4", "", "1000.0", "2026-01-02"],
        ["5", "z", "7.0", "2026-01-03"],
        [None, None, None, None],
    ]


def test_forms_that_hive_and_the_engine_read_differently_are_refused(lake: Lake) -> None:
    lake.put("strange/1.csv", "1.5\n")
    lake.table("strange", {"id": "int"}, LAZY)
    assert lake.failure("SELECT id FROM strange").startswith("NOT_EMULATED: this form of a value of type integer")


def test_quoted_files_are_read_as_open_csv_serde_does(lake: Lake) -> None:
    lake.put("quoted/1.csv", '"1","a ""b"", c","0"\n"2","","86400000"\n')
    lake.table("quoted", {"id": "int", "name": "string", "at": "timestamp"}, OPEN_CSV)
    assert lake.ask("SELECT * FROM quoted ORDER BY id") == [
        ["1", 'a "b", c', "1970-01-01 00:00:00.000"],
        ["2", "", "1970-01-02 00:00:00.000"],
    ]
    lake.put("quoted/2.csv", '"","x","0"\n')
    assert lake.failure("SELECT id FROM quoted").startswith("HIVE_BAD_DATA: Error parsing field value")
    assert lake.ask("SELECT count(name) FROM quoted") == [["3"]]


def test_json_lines_are_read_by_name(lake: Lake) -> None:
    lake.put("lines/1.json", '{"id": 1, "name": "x", "tags": ["a", "b"]}\n{"id": 2}\n{"name": "y", "more": {}}\n')
    lake.table("lines", {"id": "int", "name": "string", "tags": "array<string>"}, JSON)
    rows = [["1", "x", "[a, b]"], ["2", None, None], [None, "y", None]]
    assert lake.ask("SELECT id, name, tags FROM lines ORDER BY id NULLS LAST") == rows
    lake.put("lines/2.json", '{"ID": 3}\n')
    assert "key 'ID' with capital letters" in lake.failure("SELECT id FROM lines")
    lake.put("lines/2.json", '{"id": "abc"}\n')
    assert lake.failure("SELECT id FROM lines").startswith("HIVE_BAD_DATA: Error parsing a JSON value")


def test_parquet_is_read_by_name_and_a_column_that_files_lack_is_null(lake: Lake) -> None:
    lake.parquet("evolved", "SELECT BIGINT '1' AS id, 'a' AS name")
    lake.parquet("evolved/later", "SELECT 'b' AS name, BIGINT '2' AS id, 7 AS score")
    lake.table("evolved", {"score": "int", "id": "bigint", "name": "string", "never": "double"})
    assert lake.ask("SELECT * FROM evolved ORDER BY id") == [[None, "1", "a", None], ["7", "2", "b", None]]


def test_a_column_that_is_stored_as_another_type_fails_when_it_is_read(lake: Lake) -> None:
    lake.parquet("mistyped", "SELECT 'a' AS id, 1 AS n, DECIMAL '1.50' AS price")
    lake.table("mistyped", {"id": "bigint", "n": "int", "price": "decimal(10,2)"})
    assert lake.failure("SELECT price FROM mistyped").startswith("HIVE_BAD_DATA: Field price's type ")
    reason = lake.failure("SELECT max(id) FROM mistyped")
    assert reason.startswith("HIVE_BAD_DATA: Field id's type BYTE_ARRAY in parquet file s3://")
    assert lake.ask("SELECT max(n) FROM mistyped") == [["1"]]


def test_a_format_that_is_not_emulated_is_refused_by_name(lake: Lake) -> None:
    lake.put("orc/1.orc", "x")
    lake.table("orc", {"id": "int"}, "org.apache.hadoop.hive.ql.io.orc.OrcSerde")
    assert lake.failure("SELECT * FROM orc").startswith(
        "NOT_EMULATED: SerDe 'org.apache.hadoop.hive.ql.io.orc.OrcSerde'"
    )


_ICEBERG = """
import sys
import pyarrow
from pyiceberg.catalog.glue import GlueCatalog
endpoint, account, region, bucket = sys.argv[1:]
keys = {"access-key-id": account, "secret-access-key": "test", "region": region, "endpoint": endpoint}
catalog = GlueCatalog("lake", **{f"{part}.{key}": value for part in ("s3", "glue") for key, value in keys.items()})
rows = pyarrow.table({"id": pyarrow.array([1, 2], "int64"), "name": ["a", "b"]})
table = catalog.create_table("risk.ice", rows.schema, location=f"s3://{bucket}/ice")
table.append(rows)
print(table.current_snapshot().snapshot_id)
with table.update_schema() as change:
    change.rename_column("name", "called")
table.append(pyarrow.table({"id": pyarrow.array([3], "int64"), "called": ["c"]}))
print(table.current_snapshot().snapshot_id)
table.append(pyarrow.table({"id": pyarrow.array([4], "int64"), "called": ["d"]}))
"""


def test_iceberg_tables_are_read_at_a_snapshot(lake: Lake) -> None:
    command = [str(PYTHON), "-c", _ICEBERG, lake.cloud.endpoint, DEV, REGION, BUCKET]
    made = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert made.returncode == 0, made.stderr
    first, second = made.stdout.split()
    assert lake.ask("SELECT id, called FROM ice ORDER BY id") == [["1", "a"], ["2", "b"], ["3", "c"], ["4", "d"]]
    assert lake.ask(f"SELECT count(*), max(called) FROM ice FOR VERSION AS OF {second}") == [["3", "c"]]
    assert "other columns" in lake.failure(f"SELECT count(*) FROM ice FOR VERSION AS OF {first}")
    assert lake.ask("SELECT count(*) FROM ice FOR TIMESTAMP AS OF TIMESTAMP '2100-01-01 00:00:00 UTC'") == [["4"]]
    assert "No version history" in lake.failure(
        "SELECT count(*) FROM ice FOR TIMESTAMP AS OF TIMESTAMP '2000-01-01 00:00:00 UTC'"
    )
    assert lake.failure("SELECT 1 FROM loans FOR VERSION AS OF 1").startswith("NOT_SUPPORTED")


# ---- what is written ------------------------------------------------------------------------------------------------


def test_unload_writes_partitions_and_a_manifest_and_appends_on_the_second_run(lake: Lake) -> None:
    sql = (
        f"UNLOAD (SELECT id, amount, dt FROM loans) TO 's3://{BUCKET}/out/parts/' "
        "WITH (format = 'PARQUET', partitioned_by = ARRAY['dt'])"
    )
    query = lake.run(sql)
    manifest = query["Statistics"]["DataManifestLocation"]
    assert manifest == f"s3://{BUCKET}/results/{query['QueryExecutionId']}-manifest.csv"
    written = lake.text(manifest).split()
    assert sorted(uri.split("/")[-2] for uri in written) == ["dt=2026-01-01", "dt=2026-01-02"]
    assert sorted(written) == [f"s3://{BUCKET}/{key}" for key in lake.keys("out/parts/")]
    lake.table("unloaded", {"id": "bigint", "amount": "bigint"}, keys={"dt": "string"}, location="out/parts")
    for day in ("2026-01-01", "2026-01-02"):
        lake.partition("unloaded", day, location=f"out/parts/dt={day}")
    assert lake.ask("SELECT count(*), sum(amount) FROM unloaded") == [["10", "200"]]
    lake.run(sql)
    assert lake.ask("SELECT count(*) FROM unloaded") == [["20"]]


def test_partitions_are_named_as_hive_names_them(lake: Lake) -> None:
    values = "VALUES (1, 'a b'), (2, 'c/d:e'), (3, CAST(NULL AS varchar)), (4, 'ü-1')"
    lake.run(
        f"UNLOAD (SELECT * FROM ({values}) t(id, part)) TO 's3://{BUCKET}/out/named/' "
        "WITH (format = 'parquet', compression = 'zstd', partitioned_by = ARRAY['part'])"
    )
    folders = sorted(key.split("/")[2] for key in lake.keys("out/named/"))
    assert folders == ["part=__HIVE_DEFAULT_PARTITION__", "part=a b", "part=c%2Fd%3Ae", "part=ü-1"]


def test_unload_without_partitions_needs_an_empty_place(lake: Lake) -> None:
    sql = f"UNLOAD (SELECT id FROM loans) TO 's3://{BUCKET}/out/once/' WITH (format = 'PARQUET')"
    query = lake.run(sql)
    found = lake.client("athena").get_query_results(QueryExecutionId=query["QueryExecutionId"])
    assert (found["UpdateCount"], found["ResultSet"]["Rows"]) == (10, [])
    assert lake.failure(sql).startswith("HIVE_PATH_ALREADY_EXISTS: Target directory for table")


@pytest.mark.parametrize(
    ("select", "options", "reason"),
    [
        ("SELECT 1", "", "MISSING_COLUMN_NAME: line 1:1: Column name not specified at position 1"),
        ("SELECT 1 AS a, 2 AS a", "", "DUPLICATE_COLUMN_NAME: line 1:1: Column name 'a' specified more than once"),
        ("SELECT INTERVAL '1' DAY AS a", "", "NOT_SUPPORTED: Unsupported Hive type: interval day to second"),
        ("SELECT NULL AS a", "", "COLUMN_TYPE_UNKNOWN"),
        ("SELECT 1 AS a, 2 AS b", ", partitioned_by = ARRAY['a']", "HIVE_COLUMN_ORDER_MISMATCH"),
        ("SELECT 1 AS a, n FROM UNNEST(sequence(1, 101)) t(n)", ", partitioned_by = ARRAY['n']", "HIVE_TOO_MANY"),
        ("SELECT 1 AS a", ", partitioned_by = ARRAY['a']", "INVALID_TABLE_PROPERTY: Table contains only partition"),
        ("SELECT 1 AS a", ", bucket_count = 3", "NOT_EMULATED: UNLOAD with "),
        ("SELECT 1 AS a", ", compression = 'LZO'", "NOT_EMULATED: compression 'LZO'"),
    ],
)  # fmt: skip
def test_unload_refuses_what_athena_refuses(lake: Lake, select: str, options: str, reason: str) -> None:
    sql = f"UNLOAD ({select}) TO 's3://{BUCKET}/out/refused/' WITH (format = 'PARQUET'{options})"
    assert lake.failure(sql).startswith(reason)
    assert lake.keys("out/refused/") == []


def test_unload_in_another_format_is_refused_by_name(lake: Lake) -> None:
    sql = f"UNLOAD (SELECT 1 AS a) TO 's3://{BUCKET}/out/json/' WITH (format = 'JSON')"
    assert lake.failure(sql).startswith("NOT_EMULATED: UNLOAD with ")


def test_a_view_is_read_through(lake: Lake) -> None:
    lake.view("large", "SELECT id, amount * 2 AS twice, dt AS day FROM loans WHERE amount > 20", "id", "twice", "day")
    lake.view("larger", "SELECT id, twice FROM large WHERE day = '2026-01-02'", "id", "twice")
    assert lake.ask("SELECT id, twice FROM larger ORDER BY id") == [["3", "60"], ["4", "80"]]
    assert lake.ask("SELECT count(*) FROM larger AS l JOIN risk.loans USING (id)") == [["4"]]


# ---- SQL at large ---------------------------------------------------------------------------------------------------


def test_names_with_and_without_database_and_catalog_mean_the_same(lake: Lake) -> None:
    for name in ("loans", "risk.loans", '"AwsDataCatalog"."risk"."loans"', "awsdatacatalog.risk.LOANS"):
        assert lake.ask(f"SELECT count(*) FROM {name}") == [["10"]]
    assert lake.failure("SELECT 1 FROM other.risk.loans").startswith("NOT_EMULATED: data catalog other")


def test_with_hides_a_table_outside_of_its_definition_only(lake: Lake) -> None:
    assert lake.ask("WITH loans AS (SELECT id FROM loans WHERE id > 2) SELECT count(*) FROM loans") == [["4"]]


def test_whole_numbers_are_divided_as_trino_does(lake: Lake) -> None:
    assert lake.ask("SELECT max(amount) / 3 FROM loans") == [["13"]]


def test_a_type_mismatch_ends_the_query(lake: Lake) -> None:
    assert lake.failure("SELECT 1 FROM loans WHERE amount = '10'").startswith("TYPE_MISMATCH")


def test_what_is_not_there_looks_like_what_is_hidden(lake: Lake) -> None:
    reason = "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.risk.nothing' does not exist"
    assert lake.failure("SELECT 1 FROM nothing") == reason.replace("1:15", "1:15")
    assert "cannot be resolved or requester is not authorized" in lake.failure("SELECT nothing FROM loans")
    status = lake.ended(lake.start("SELECT nothing FROM loans"))["Status"]
    assert (status["AthenaError"]["ErrorCategory"], status["AthenaError"]["ErrorType"]) == (2, 1006)


# ---- clients --------------------------------------------------------------------------------------------------------

_WRANGLER = """
import json, sys
import boto3
import awswrangler as wr
endpoint, account, region, bucket = sys.argv[1:]
wr.config.athena_endpoint_url = wr.config.s3_endpoint_url = wr.config.glue_endpoint_url = endpoint
wr.config.sts_endpoint_url = endpoint
session = boto3.Session(aws_access_key_id=account, aws_secret_access_key="test", region_name=region)
given = dict(database="risk", s3_output=f"s3://{bucket}/results/", ctas_approach=False, boto3_session=session)
sql = "SELECT id, region, DECIMAL '1.5' AS price, CAST(dt AS date) AS day, TIMESTAMP '2026-01-01 10:00:00' AS at, " \
      "id > 2 AS large, CAST(NULL AS double) AS nothing, '' AS empty FROM loans WHERE dt = '2026-01-01' ORDER BY id"
found = wr.athena.read_sql_query(sql, **given)
print(json.dumps([{name: str(kind) for name, kind in found.dtypes.items()}, json.loads(found.tail(1).to_json())]))
pieces = wr.athena.read_sql_query("SELECT id FROM loans", chunksize=4, **given)
print(sum(len(piece) for piece in pieces))
unload = {**given, "s3_output": f"s3://{bucket}/out/wrangler/"}
print(wr.athena.read_sql_query("SELECT id FROM loans", unload_approach=True, **unload)["id"].sum())
try:
    wr.athena.read_sql_query("SELECT secret FROM loans", **given)
except wr.exceptions.QueryFailed as error:
    print(error)
"""


def test_awswrangler_reads_tables(lake: Lake) -> None:
    command = [str(ROOT / ".venv-seed/bin/python"), "-c", _WRANGLER, lake.cloud.endpoint, DEV, REGION, BUCKET]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    table, pieces, unloaded, refused = done.stdout.strip().splitlines()
    types, row = json.loads(table)
    assert types == {
        "id": "Int64",
        "region": "string",
        "price": "object",
        "day": "object",
        "at": "datetime64[ns]",
        "large": "boolean",
        "nothing": "float64",
        "empty": "string",
    }
    assert (row["id"], row["region"], row["large"], row["nothing"]) == ({"4": 4}, {"4": "r0"}, {"4": True}, {"4": None})
    assert (pieces, unloaded) == ("10", "20")
    assert refused.startswith("COLUMN_NOT_FOUND")
