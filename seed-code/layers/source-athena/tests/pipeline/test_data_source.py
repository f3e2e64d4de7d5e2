"""A table that Athena reads: which is meant, which state of it, and what the definition asks of the step Query."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lake_stubs import Catalog

from ml_pipelines.config import ConfigError, ProjectConfig, for_aws
from ml_pipelines.data_source import DataSource

# An example of this kind of source, with which the other tests of the pipeline run.
BUILD = {
    "DATA_DATABASE": "credit_risk_0a1b2c3d",
    "DATA_TABLE": "loans",
    "DATA_COLUMNS": "",
    "DATA_WHERE": "amount > 1000",
    "DATA_SNAPSHOT": "",
    "DATA_PARTITIONS": "",
    "DATA_WORK_GROUP": "mlp-p-abc123-athena",
}
"""Variables of the build that say which data."""

PARAMETERS: dict[str, str] = {}
"""Parameters of the pipeline that say the same, with their defaults."""

STEPS = ["Query"]
"""Names of the steps that run before Validate."""

RESULTS = {
    "table": "777788889999/credit_risk.loans",
    "query_id": "11111111-2222-3333-4444-555555555555",
    "scanned_bytes": "10485760",
    "table_version": "3",
    "snapshot": "newest",
    "time": "2026-11-30T12:00:00Z",
    "sql_digest": "0123456789abcdef",
    "manifest": "s3://artifacts/data/0123456789abcdef/0123456789abcdef/manifest.json",
    "instances": 1,
}
"""What these steps report to the pipeline."""


def reported(path: str) -> dict[str, Any]:
    """Return the expression for a value that the step Query reports."""
    return {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Query.PropertyFiles.Query"}, "Path": path}}


INSTANCES = reported("instances")
"""On how many instances the data are divided."""

LINEAGE = {
    "data_table": reported("table"),
    "data_query_id": reported("query_id"),
    "data_scanned_bytes": reported("scanned_bytes"),
    "data_table_version": reported("table_version"),
    "data_snapshot": reported("snapshot"),
    "data_query_time": reported("time"),
    "data_sql": reported("sql_digest"),
    "data_manifest": reported("manifest"),
}
"""What the definition keeps about the data in the registry."""


class Session:
    """A session whose Glue is a stub."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def client(self, service: str) -> Catalog:
        assert service == "glue"
        return self._catalog


SOURCE = DataSource("link", "loans")


def version(catalog: Catalog, source: DataSource = SOURCE) -> str:
    return source.version(Session(catalog), {})


# ---- which state of the table ---------------------------------------------------------------------------------------


def test_the_version_of_a_partitioned_table_changes_with_definition_and_partitions_and_with_nothing_else() -> None:
    base = version(Catalog(partitions=["2026-01-01", "2026-01-02"]))
    assert version(Catalog(partitions=["2026-01-02", "2026-01-01"])) == base
    assert version(Catalog(partitions=["2026-01-01", "2026-01-02", "2026-01-03"])) != base
    assert version(Catalog(partitions=["2026-01-01", "2026-01-02"], version="4")) != base
    assert version(Catalog(partitions=["2026-01-01", "2026-01-02"], hidden=["income"])) != base


def test_the_version_of_an_iceberg_table_is_its_snapshot() -> None:
    def of(name: str, version_id: str = "1") -> str:
        parameters = {"table_type": "ICEBERG", "metadata_location": f"s3://lake/loans/metadata/{name}.json"}
        return version(Catalog(parameters=parameters, version=version_id))

    assert of("00001") == of("00001", version_id="2")
    assert of("00001") != of("00002")


def test_a_table_read_as_of_a_snapshot_never_changes() -> None:
    pinned = replace(SOURCE, snapshot="4711")
    assert version(Catalog(version="1"), pinned) == version(Catalog(version="2"), pinned)
    assert version(Catalog(), pinned) != version(Catalog(), replace(SOURCE, snapshot="4712"))


@pytest.mark.parametrize(
    "catalog",
    [
        Catalog(),
        Catalog(partitions=["2026-01-01"], parameters={"projection.enabled": "true"}),
        Catalog(kind="VIRTUAL_VIEW"),
    ],
    ids=["files without partitions", "projected partitions", "view"],
)
def test_where_the_catalog_does_not_know_of_changes_the_version_is_the_time(
    catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert version(catalog).startswith("20")
    assert "every run queries anew" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("catalog", "message"),
    [
        (Catalog(fails={"get_database": "EntityNotFoundException"}), r"There is no database link in this account"),
        (
            Catalog(fails={"get_table": "EntityNotFoundException"}),
            r"may not see table loans of database link.*link to database credit_risk of account 777788889999",
        ),
        (Catalog(fails={"get_table": "AccessDeniedException"}), r"the grant is missing or was revoked.*name this proj"),
    ],
    ids=["no database", "link without target", "no grant"],
)
def test_the_build_says_why_the_table_cannot_be_seen(catalog: Catalog, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        version(catalog)


def test_what_is_wrong_with_glue_itself_is_not_taken_for_a_missing_grant() -> None:
    with pytest.raises(Exception, match="ThrottlingException"):
        version(Catalog(fails={"get_table": "ThrottlingException"}))


# ---- settings -------------------------------------------------------------------------------------------------------


def read(**values: Any) -> tuple[DataSource, list[str]]:
    every = dict.fromkeys(("database", "table", "columns", "where", "snapshot", "partitions", "work_group"))
    problems: list[str] = []
    return DataSource.read({**every, **values}, problems), problems


def test_the_file_decides_before_the_platform(tmp_path: Path, build: dict[str, str], undecided: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    (tmp_path / "data.yaml").write_text("table: customers\ncolumns: [income, region]\nwhere: ''\n")
    build["DATA_COLUMNS"] = "age"
    source = for_aws(tmp_path / "config.yaml", build).source
    assert (source.table, source.columns, source.where) == ("customers", ("income", "region"), "")
    source = for_aws(undecided, build).source
    assert (source.table, source.columns, source.where) == ("loans", ("age",), "amount > 1000")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"table": "Loans; DROP"}, "table must be a name"),
        ({"database": 7}, "database must be text"),
        ({"snapshot": 4711}, "snapshot must be text"),
        ({"columns": ["Income"]}, "columns must be a list of names in lower case"),
        ({"where": "a = 1) OR (1 = 1"}, "a parenthesis is closed that was not opened"),
        ({"where": "a = 1)) UNION SELECT ((1"}, "a parenthesis is closed that was not opened"),
        ({"where": "a = 1; DROP TABLE x"}, "; begins a second statement"),
        ({"where": "a = 1 -- rest"}, "-- begins a comment"),
        ({"where": "name = 'O''Hara; -- (' AND \"a)b\" = 1"}, None),
        ({"where": "name = 'x"}, "a quote is not closed"),
        ({"where": "(a = 1"}, "a parenthesis is not closed"),
    ],
)
def test_settings_that_cannot_be_used_are_named(values: dict[str, Any], message: str | None) -> None:
    _, problems = read(**values)
    assert (problems == []) if message is None else (len(problems) == 1 and message in problems[0])


def test_without_a_table_nothing_is_published(build: dict[str, str], undecided: Path) -> None:
    del build["DATA_TABLE"]
    with pytest.raises(ConfigError, match=r"table not set: enter it in data\.yaml, or set DATA_TABLE"):
        for_aws(undecided, build)


def test_the_record_key_of_the_form_holds_where_the_file_has_none(
    tmp_path: Path, build: dict[str, str], undecided: Path
) -> None:
    build["RECORD_KEY"] = "customer_id,branch"
    assert for_aws(undecided, build).job.record_key == ("customer_id", "branch")
    (tmp_path / "config.yaml").write_text("record_key: [loan_id]\n")
    assert for_aws(tmp_path / "config.yaml", build).job.record_key == ("loan_id",)


# ---- the definition -------------------------------------------------------------------------------------------------


def step(definition: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [item for item in definition["Steps"] if item["Name"] == name]
    return found


@pytest.mark.slow
def test_validate_and_prepare_read_what_the_manifest_lists_and_nothing_else(definition: dict[str, Any]) -> None:
    for name, distribution in (("Validate", "FullyReplicated"), ("Prepare", "ShardedByS3Key")):
        data = step(definition, name)["Arguments"]["ProcessingInputs"][0]["S3Input"]
        assert data["S3DataType"] == "ManifestFile"
        assert data["S3DataDistributionType"] == distribution
        folder, file = data["S3Uri"]["Std:Join"]["Values"]
        assert file == "manifest.json"
        assert folder == {"Get": "Steps.Query.ProcessingOutputConfig.Outputs['manifest'].S3Output.S3Uri"}


@pytest.mark.slow
def test_nothing_in_the_cache_key_of_the_query_tells_one_execution_from_another(definition: dict[str, Any]) -> None:
    query = step(definition, "Query")["Arguments"]
    keys = {name: query.get(name) for name in ("AppSpecification", "Environment", "ProcessingInputs")}
    assert "Execution." not in json.dumps(keys)
    assert "PipelineExecutionId" in json.dumps(query["ProcessingOutputConfig"])


@pytest.mark.slow
def test_a_change_of_the_code_of_jobs_goes_on_from_the_cached_query_and_one_of_the_query_does_not(
    config: ProjectConfig, definition: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from conftest import define
    from test_definition import changed, use_source

    source = use_source(tmp_path / "src", monkeypatch)
    (source / "validate.py").write_text((source / "validate.py").read_text() + "\n# changed\n")
    after = define(config, tmp_path)
    assert "Validate" in changed(definition, after)
    assert "Query" not in changed(definition, after)
    elsewhere = replace(config, source=replace(config.source, where="amount > 2000"))
    assert "Query" in changed(after, define(elsewhere, tmp_path))


@pytest.mark.slow
def test_only_the_settings_of_the_query_reach_it(
    config: ProjectConfig, definition: dict[str, Any], tmp_path: Path
) -> None:
    from conftest import define
    from test_definition import changed

    of_jobs = define(replace(config, job=replace(config.job, seed=1, metric="f1")), tmp_path)
    assert "Query" not in changed(definition, of_jobs)  # without a record key no split is asked of Athena
    keyed = replace(config, job=replace(config.job, record_key=("customer_id",)))
    before = define(keyed, tmp_path)
    assert "Query" in changed(before, define(replace(keyed, job=replace(keyed.job, seed=1)), tmp_path))
