"""The step Query: one statement, the files of its manifest and no others, and errors in words."""

from __future__ import annotations

import contextlib
import datetime
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from lake_stubs import COLUMNS, NOW, Buckets, Catalog, Engine, Registry, error

from ml_pipelines.data_source import QUERY, DataSource  # also makes the code of the step importable
from tabular.config import Splits
from tabular.division import divide, lacks_key
from tabular.hashing import hash_texts
from tabular.schema import KEY, Column, Schema

# isort: split
import query as step
from lake import catalog, engine, retention, statement
from lake.errors import LakeError

assert Path(step.__file__).parent == QUERY
assert DataSource
assert pd  # once pyarrow has made an array without pandas, it takes pandas' columns for any sequence, by their index

EXECUTION = "s3://artifacts/credit-p-abc123/runs/abc123/query/manifest"
SETTINGS: dict[str, Any] = {
    "database": "link",
    "table": "loans",
    "label": "defaulted",
    "bucket": "artifacts",
    "work_group": "mlp-p-abc123-athena",
    "model_package_group": "credit-p-abc123",
    "cache_days": 30,
}
FAILED = {"State": "FAILED"}


class Step:
    """The step with stand-ins for the services, as often as a test runs it."""

    def __init__(self, folder: Path, *, catalog: Catalog | None = None, **of_engine: Any) -> None:
        self.output = folder / "out"
        self.s3 = Buckets()
        self.athena = Engine(self.s3, **of_engine)
        self.glue = catalog or Catalog()
        self.sagemaker = Registry()

    def run(
        self, *, execution: str = EXECUTION, instances: int = 1, version: str = "1", **settings: Any
    ) -> dict[str, Any]:
        environment = {"DATA_VERSION": version, "INSTANCES": str(instances)}
        step.main(self, {**SETTINGS, **settings}, environment, execution, self.output)
        report: dict[str, Any] = json.loads((self.output / "query.json").read_text())
        return report

    @property
    def statements(self) -> list[str]:
        return [request["QueryString"] for request in self.athena.started.values()]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits take no time; the list gets them."""
    waits: list[float] = []
    run = engine.run
    monkeypatch.setattr(engine, "run", lambda *given, **named: run(*given, **named, sleep=waits.append))
    return waits


pytestmark = pytest.mark.usefixtures("at_once")


# ---- what it leaves -------------------------------------------------------------------------------------------------


def test_the_manifest_names_what_the_query_wrote_and_the_report_says_which_query(tmp_path: Path) -> None:
    run = Step(tmp_path)
    report = run.run()
    prefix, *names = json.loads((run.output / "manifest.json").read_text())
    folder = prefix["prefix"].removeprefix("s3://artifacts/")
    assert names == ["a", "b"]
    assert folder.startswith("data/")
    assert report["manifest"] == f"s3://artifacts/{folder}manifest.json"
    assert run.s3.objects[f"{folder}manifest.json"] == (run.output / "manifest.json").read_bytes()
    assert report["table"] == "777788889999/credit_risk.loans"
    assert report["table_version"] == "3"
    assert report["scanned_bytes"] == "10485760"
    assert report["query_id"] in run.athena.started
    (request,) = run.athena.started.values()
    assert request["WorkGroup"] == "mlp-p-abc123-athena"
    assert request["QueryExecutionContext"]["Database"] == "link"


def test_athenas_own_results_are_gone_once_they_were_read(tmp_path: Path) -> None:
    run = Step(tmp_path)
    run.s3.put_object(Bucket="artifacts", Key="athena/of-somebody-else.csv", Body=b"")
    run.run()
    assert [key for key in run.s3.objects if key.startswith("athena/")] == ["athena/of-somebody-else.csv"]


def test_a_second_try_of_an_execution_asks_athena_nothing_and_another_execution_does(tmp_path: Path) -> None:
    run = Step(tmp_path)
    first = run.run()
    assert run.run() == first
    assert len(run.athena.started) == 1
    other = run.run(execution=EXECUTION.replace("abc123/query", "def456/query"))
    assert len(run.athena.started) == 2
    assert other["manifest"] != first["manifest"]
    assert other["manifest"].split("/")[4] == first["manifest"].split("/")[4]  # the same SQL on the same state


def test_a_try_that_ended_before_its_commit_finds_the_same_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Step(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(engine, "remove_results", lambda *_: pytest.fail("the machine is gone"))
        broken.setattr(run.s3, "put_object", lambda **_: (_ for _ in ()).throw(error("SlowDown")), raising=True)
        broken.setattr(run.athena, "_carry_out", lambda *_: None)
        with pytest.raises(Exception):  # noqa: B017 (the machine was lost in the middle)
            run.run()
    (query_id,) = run.athena.started
    run.athena._carry_out(query_id, run.statements[0])
    assert run.run()["query_id"] == query_id
    assert len(run.athena.started) == 1


def test_another_state_of_the_table_goes_to_another_place(tmp_path: Path) -> None:
    run = Step(tmp_path)
    places = {run.run(version=version)["manifest"].split("/")[4] for version in ("1", "2")}
    assert len(places) == 2


def test_athena_is_tried_again_elsewhere_when_it_failed_for_reasons_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = {**FAILED, "AthenaError": {"ErrorMessage": "INTERNAL_ERROR", "Retryable": True}}
    run = Step(tmp_path, ends=[again])
    report = run.run()
    assert len(run.athena.started) == 2
    prefix, *names = json.loads((run.output / "manifest.json").read_text())
    assert names == ["a", "b"]  # the file that the failed try left is not among them
    assert prefix["prefix"] in run.statements[1]
    assert prefix["prefix"] not in run.statements[0]
    assert report["query_id"] == list(run.athena.started)[1]
    assert "Trying again" in capsys.readouterr().out
    lost = Step(tmp_path, ends=[again] * 3)
    with pytest.raises(LakeError, match=r"INTERNAL_ERROR.*That was try 3"):
        lost.run()


def test_it_waits_longer_and_longer(tmp_path: Path, at_once: list[float]) -> None:
    run = Step(tmp_path)
    run.athena.get_query_execution = _busy(run.athena.get_query_execution, times=20)  # type: ignore[method-assign]
    run.run()
    assert at_once == sorted(at_once)
    assert at_once[0] < 1
    assert at_once[-1] == engine.MOST_PAUSE_S


def test_a_query_is_stopped_with_its_job(tmp_path: Path) -> None:
    run = Step(tmp_path)
    stopped: list[str] = []
    run.athena.stop_query_execution = lambda **request: stopped.append(request["QueryExecutionId"])
    run.athena.get_query_execution = lambda **_: sys.exit("stopped")  # as a signal ends the wait
    with pytest.raises(SystemExit):
        run.run()
    assert stopped == list(run.athena.started)


def _busy(answer: Any, *, times: int) -> Any:
    asked = iter(range(times))

    def busy(**request: Any) -> Any:
        if next(asked, None) is not None:
            return {"QueryExecution": {"Status": {"State": "RUNNING"}}}
        return answer(**request)

    return busy


@pytest.mark.parametrize(("asked", "used"), [(1, 1), (2, 2), (5, 2)])
def test_no_more_instances_are_used_than_there_are_files(
    tmp_path: Path, asked: int, used: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Step(tmp_path).run(instances=asked)["instances"] == used
    said = f"Prepare runs on {used} instance(s) and not on {asked}: there are 2 file(s)"
    assert (said in capsys.readouterr().out) is (used < asked)


# ---- the statement --------------------------------------------------------------------------------------------------


def test_the_statement_names_columns_casts_and_filters(tmp_path: Path) -> None:
    run = Step(tmp_path, catalog=Catalog(partitions=["2026-01-01"]))
    run.run(
        columns=["income", "grade", "seen", "region"],
        where="region <> 'islands'",
        partitions="day=2026-01-01..2026-06-30",
        snapshot="4711",
    )
    (text,) = run.statements
    folder = json.loads((run.output / "manifest.json").read_text())[0]["prefix"]
    assert text == (
        'UNLOAD (SELECT "income", CAST("grade" AS varchar) AS "grade", '
        'CAST("seen" AT TIME ZONE \'UTC\' AS timestamp) AS "seen", "region", "defaulted" '
        'FROM "link"."loans" FOR VERSION AS OF 4711 '
        "WHERE (region <> 'islands') AND (\"day\" BETWEEN DATE '2026-01-01' AND DATE '2026-06-30')) "
        f"TO '{folder}' WITH (format = 'PARQUET', compression = 'SNAPPY')"
    )


def test_without_columns_all_that_may_be_seen_are_read_but_what_is_dropped(tmp_path: Path) -> None:
    run = Step(tmp_path, catalog=Catalog(hidden=["income"]))
    run.run(drop=["loan_id", "seen"], snapshot="2026-11-01T00:00:00Z")
    (text,) = run.statements
    assert '"loan_id"' not in text
    assert '"seen"' not in text
    assert '"income"' not in text
    assert '"region", "defaulted" FROM "link"."loans" FOR TIMESTAMP AS OF TIMESTAMP \'2026-11-01 00:00:00 UTC\'' in text


def test_whole_numbers_as_record_key_have_athena_divide_and_other_keys_do_not(tmp_path: Path) -> None:
    run = Step(tmp_path)
    assert run.run(record_key=["customer_id"], columns=["income"], seed=7)["divided"] is True
    (text,) = run.statements
    assert "partitioned_by = ARRAY['ml_split']" in text
    assert "xxhash64(to_utf8('7:' || CAST(\"customer_id\" AS varchar)))" in text
    assert "ml_share < 0.7e0 + 0.15e0 THEN 'validation'" in text
    other = Step(tmp_path)
    assert other.run(record_key=["region", "customer_id"])["divided"] is False
    assert "ml_split" not in other.statements[0]


@pytest.mark.parametrize("keys", [["customer_id"], ["loan_id", "customer_id"]])
def test_athena_divides_as_prepare_does(keys: list[str]) -> None:
    rows = [(number * 7919, None if number % 5 == 0 else -number) for number in range(300)]
    rows += [(None, None), (2**62, -(2**31))]
    wanted = statement.Wanted(
        database="link", table="loans", label="defaulted", columns=keys, record_key=keys, seed=7, shares=(0.5, 0.2)
    )
    table = catalog.find(Catalog(), "link", "loans")
    text, divided = statement.select(wanted, table)
    assert divided
    with contextlib.closing(trino()) as database:
        database.executemany("INSERT INTO link.loans VALUES (?, ?, NULL)", rows)
        found = database.execute(text).fetchall()
    columns = [Column(name, "number", KEY, whole=True) for name in keys]
    parts = {name: pa.array([row[("loan_id", "customer_id").index(name)] for row in rows], pa.int64()) for name in keys}
    schema = Schema("defaulted", "binary", ("0", "1"), (1, 1), tuple(columns), len(rows), 0, ())
    lacking = lacks_key(parts)
    expected = divide(parts, schema, Splits(0.5, 0.2, 0.3), 7)
    assert [row[-1] for row in found] == [
        None if no_key else str(s) for no_key, s in zip(lacking, expected, strict=True)
    ]
    assert lacking.any()
    assert set(expected) == {"train", "validation", "test"}


def trino() -> sqlite3.Connection:
    """Return a database with the functions that the split calls, as Trino's documentation describes them.

    https://trino.io/docs/current/functions/binary.html, bitwise.html (the shift is a logical one) and string.html.
    """
    database = sqlite3.connect(":memory:")
    functions = {
        "to_utf8": (1, lambda text: None if text is None else text.encode()),
        "xxhash64": (1, lambda data: data and hash_texts(pa.array([data], pa.binary())).astype(">u8").tobytes()),
        "from_big_endian_64": (1, lambda data: data and int.from_bytes(data, "big", signed=True)),
        "bitwise_right_shift": (2, lambda value, by: None if value is None else value % 2**64 >> by),
        "chr": (1, chr),
    }
    for name, (arguments, function) in functions.items():
        database.create_function(name, arguments, function, deterministic=True)
    database.execute("ATTACH ':memory:' AS link")
    database.execute("CREATE TABLE link.loans (loan_id INTEGER, customer_id INTEGER, defaulted INTEGER)")
    return database


# ---- errors in words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catalog", "settings", "message"),
    [
        (
            {"fails": {"get_table": "AccessDeniedException"}},
            {},
            "may not see table loans .* the grant is missing or was revoked",
        ),
        (
            {"fails": {"get_table": "EntityNotFoundException"}},
            {},
            "link is a link to database credit_risk of account 777788889999",
        ),
        (
            {"hidden": ["income"]},
            {"columns": ["income", "region"]},
            r"no column income that this project may see\. Either the name is misspelt, or the column was not granted",
        ),
        ({}, {"label": "Defaulted"}, "Defaulted is spelt defaulted in the catalog"),
        (
            {"columns": {"notes": "array<string>", "photo": "binary"}},
            {},
            r"cannot unload columns of these types.*notes \(array<string>\), photo \(binary\)\. List them under drop",
        ),
        ({}, {"partitions": "region=a..b"}, "region is not a partition key of credit_risk.loans .* its keys: none"),
        ({}, {"snapshot": "yesterday"}, "give the id of a snapshot"),
    ],
)
def test_before_a_query_is_paid_for_the_catalog_is_asked(
    tmp_path: Path, catalog: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    run = Step(tmp_path, catalog=Catalog(**catalog))
    with pytest.raises(LakeError, match=message):
        run.run(**settings)
    assert run.athena.started == {}


def test_a_query_without_rows_is_an_error(tmp_path: Path) -> None:
    run = Step(tmp_path, files=())
    with pytest.raises(LakeError, match=r"found no row in credit_risk.loans of account 777788889999.*not granted"):
        run.run()
    assert [key for key in run.s3.objects if key.startswith("athena/")] == []


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (
            {"State": "CANCELLED", "StateChangeReason": "Bytes scanned limit was exceeded"},
            r"scanned more than the work group mlp-p-abc123-athena allows \(10,485,760 bytes",
        ),
        ({"State": "CANCELLED", "StateChangeReason": "Query cancelled by user"}, "was cancelled: Query cancelled by"),
        ({**FAILED, "AthenaError": {"ErrorMessage": "TYPE_MISMATCH: line 1"}}, "failed: TYPE_MISMATCH: line 1"),
    ],
)
def test_how_a_query_ended_is_said_in_words(tmp_path: Path, end: dict[str, Any], message: str) -> None:
    with pytest.raises(LakeError, match=message):
        Step(tmp_path, ends=[end]).run()


NOT_FOUND = {**FAILED, "AthenaError": {"ErrorMessage": "COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved"}}


def test_a_column_that_athena_does_not_find_is_looked_up_in_the_catalog_before_anybody_is_blamed(
    tmp_path: Path,
) -> None:
    with pytest.raises(LakeError, match="the project may see them: either where names another column"):
        Step(tmp_path, ends=[NOT_FOUND]).run(where="x > 1")
    revoked = Step(tmp_path, ends=[NOT_FOUND])
    carry_out = revoked.athena._carry_out

    def revoke(*given: str) -> None:
        carry_out(*given)
        revoked.glue.hidden.append("income")

    revoked.athena._carry_out = revoke  # type: ignore[method-assign]
    with pytest.raises(LakeError, match="no column income that this project may see"):
        revoked.run(columns=["income"])


def test_a_statement_that_athena_does_not_take_is_its_own_error(tmp_path: Path) -> None:
    run = Step(tmp_path)
    run.athena.start_query_execution = lambda **_: (_ for _ in ()).throw(  # type: ignore[method-assign]
        error("InvalidRequestException")
    )
    with pytest.raises(LakeError, match=r"does not take the statement: as the service says\. Check where"):
        run.run()


# ---- how long unloaded files live -----------------------------------------------------------------------------------


def test_unloaded_files_live_as_long_as_the_cache_and_as_a_model_names_them() -> None:
    s3 = Buckets()
    for name, age in (("new", 10), ("old", 40), ("named", 400), ("current", 40), ("failed", 40)):
        for key in ("part-0", "manifest.json") if name != "failed" else ("part-0",):
            s3.objects[f"data/d/{name}/{key}"] = b""
            s3.written[f"data/d/{name}/{key}"] = NOW - datetime.timedelta(days=age)
    gone = retention.retire(
        s3,
        Registry("s3://artifacts/data/d/named/manifest.json", "s3://elsewhere/data/d/old/manifest.json", ""),
        bucket="artifacts",
        prefix="data/",
        group="credit-p-abc123",
        keep_days=30,
        current="data/d/current/",
        now=NOW,
    )
    assert gone == ["data/d/failed/", "data/d/old/"]
    assert sorted(s3.tags) == ["data/d/failed/part-0", "data/d/old/manifest.json", "data/d/old/part-0"]
    assert set(s3.objects) >= set(s3.tags)  # a rule of the bucket deletes, nobody here does


def test_a_training_goes_on_when_earlier_files_cannot_be_looked_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Step(tmp_path)
    monkeypatch.setattr(retention, "retire", lambda *_, **__: (_ for _ in ()).throw(error("AccessDenied")))
    assert run.run()["files"] == 2
    assert "was not looked through" in capsys.readouterr().out


def test_every_type_is_read_or_refused_by_name() -> None:
    assert all(statement._is_readable(kind) for kind in COLUMNS.values())
    assert statement._is_readable("timestamp(6) with time zone")
    for kind in ("map<string,int>", "struct<a:int>", "uniontype<int>", "binary", "interval day to second", "time"):
        assert not statement._is_readable(kind)
