"""Files below one S3 prefix: which are meant, and which state of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ml_pipelines.config import ConfigError, for_aws
from ml_pipelines.data_source import DataSource

# An example of this kind of source, with which the other tests of the pipeline run.
BUILD = {"DATA_URI": "s3://lake/churn/"}
"""Variables of the build that say which data."""

PARAMETERS = {"DataUri": "s3://lake/churn/"}
"""Parameters of the pipeline that say the same, with their defaults."""

LINEAGE = {"data_uri": {"Get": "Parameters.DataUri"}}
"""What the definition keeps about the data in the registry."""

STEPS: list[str] = []
"""Names of the steps that run before Validate."""

RESULTS: dict[str, object] = {}
"""What these steps report to the pipeline."""

INSTANCES = {"Get": "Parameters.ProcessingInstanceCount"}
"""On how many instances the data are divided."""


class Listing:
    """A session whose S3 knows how to list, or is not allowed to."""

    def __init__(self, *pages: list[tuple[str, int, str]], error: str = "") -> None:
        self._pages = pages
        self._error = error

    def client(self, service: str) -> Listing:
        assert service == "s3"
        return self

    def get_paginator(self, operation: str) -> Listing:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        if self._error:
            raise ClientError({"Error": {"Code": self._error, "Message": "no"}}, "ListObjectsV2")
        return [
            {"Contents": [{"Key": key, "Size": size, "ETag": tag} for key, size, tag in page]} for page in self._pages
        ]


def version(*pages: list[tuple[str, int, str]], error: str = "", **given: str) -> str:
    return DataSource("s3://lake/churn/").version(Listing(*pages, error=error), given)


def test_the_version_changes_with_every_file_and_with_nothing_else() -> None:
    base = version([("churn/a.csv", 10, "x"), ("churn/b.csv", 20, "y")])
    assert version([("churn/a.csv", 10, "x")], [("churn/b.csv", 20, "y"), ("churn/folder/", 0, "z")]) == base
    assert version([("churn/a.csv", 10, "x")]) != base
    assert version([("churn/a.csv", 10, "x"), ("churn/b.csv", 20, "z")]) != base


def test_an_empty_prefix_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"no files at s3://lake/churn/.*correct\s+data_uri"):
        version([("churn/", 0, "x")])


def test_local_data_is_a_file_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.csv").write_text("a")
    (tmp_path / "in" / "deep" / "b.csv").write_text("b")
    DataSource(None).copy_local(tmp_path / "in", tmp_path / "folder")
    DataSource(None).copy_local(tmp_path / "in" / "a.csv", tmp_path / "file")
    assert (tmp_path / "folder" / "deep" / "b.csv").read_text() == "b"
    assert [path.name for path in (tmp_path / "file").iterdir()] == ["a.csv"]
    with pytest.raises(ConfigError, match="There is no data at"):
        DataSource(None).copy_local(tmp_path / "missing", tmp_path / "none")


def test_who_may_not_list_gets_a_version_that_is_never_in_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    assert version(error="AccessDenied").startswith("20")
    assert "all steps run" in capsys.readouterr().out


def test_a_bucket_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"s3://lake/churn/ cannot be listed: .*NoSuchBucket.* Correct data_uri"):
        version(error="NoSuchBucket")


def test_another_place_for_one_execution_is_what_counts() -> None:
    with pytest.raises(ConfigError, match="no files at s3://other/place/"):
        version(DataUri="s3://other/place/")
    with pytest.raises(ConfigError, match="DataUri=lake/churn is not an S3 prefix"):
        version(DataUri="lake/churn")


def test_the_file_decides_before_the_platform(tmp_path: Path, build: dict[str, str], undecided: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    (tmp_path / "data.yaml").write_text("data_uri: s3://other/place\n")
    assert for_aws(tmp_path / "config.yaml", build).source.uri == "s3://other/place"
    assert for_aws(undecided, build).source.uri == "s3://lake/churn/"


@pytest.mark.parametrize("key", ["a/b/", "it's (new), really!/", "größe/", "p" * 1024, ""])
def test_every_place_that_s3_has_can_be_named(key: str) -> None:
    problems: list[str] = []
    DataSource.read({"data_uri": f"s3://lake/{key}"}, problems)
    assert problems == []


@pytest.mark.parametrize(
    "uri", ["lake/churn/", "s3://lake/a*/", "s3://lake/$a/", "s3://lake/\n", f"s3://lake/{'p' * 1025}"]
)
def test_what_is_not_a_place_is_refused(uri: str) -> None:
    problems: list[str] = []
    DataSource.read({"data_uri": uri}, problems)
    assert problems == [
        f"data_uri must be an S3 prefix, e.g. s3://my-bucket/churn/, without * ? $, with a key of at most 1024 bytes; "
        f"found {uri!r}."
    ]


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["s3://lake/it's (new)/", f"s3://lake/{'p' * 300}/"])
def test_a_place_that_the_registry_would_refuse_is_kept_in_a_form_that_it_takes(uri: str) -> None:
    source = DataSource(uri)
    kept = source.lineage(source.parameters())["data_uri"]
    assert kept == uri.replace("'", "_").replace("(", "_").replace(")", "_")[:256]
    with pytest.raises(ConfigError, match=r"cannot be given for one execution: the registry would refuse the model"):
        version(DataUri=uri)


def test_without_a_place_nothing_is_published(build: dict[str, str], undecided: Path) -> None:
    del build["DATA_URI"]
    with pytest.raises(ConfigError, match=r"data_uri is not set: enter it in data\.yaml"):
        for_aws(undecided, build)
