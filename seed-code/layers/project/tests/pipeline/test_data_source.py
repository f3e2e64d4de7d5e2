"""Where the data comes from, and which state of it is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ml_pipelines.config import ConfigError

pytestmark = pytest.mark.slow


class Listing:
    """An S3 client that knows how to list, or is not allowed to."""

    def __init__(self, *pages: list[tuple[str, int, str]], error: str = "") -> None:
        self._pages = pages
        self._error = error

    def get_paginator(self, operation: str) -> Listing:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        if self._error:
            raise ClientError({"Error": {"Code": self._error, "Message": "no"}}, "ListObjectsV2")
        return [
            {"Contents": [{"Key": key, "Size": size, "ETag": tag} for key, size, tag in page]} for page in self._pages
        ]


def version(*pages: list[tuple[str, int, str]]) -> str:
    from ml_pipelines.data_source import version as version_of

    return version_of("s3://lake/churn/", Listing(*pages))


def test_the_version_changes_with_every_file_and_with_nothing_else() -> None:
    base = version([("churn/a.csv", 10, "x"), ("churn/b.csv", 20, "y")])
    assert version([("churn/a.csv", 10, "x")], [("churn/b.csv", 20, "y"), ("churn/folder/", 0, "z")]) == base
    assert version([("churn/a.csv", 10, "x")]) != base
    assert version([("churn/a.csv", 10, "x"), ("churn/b.csv", 20, "z")]) != base


def test_an_empty_prefix_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"no files at s3://lake/churn/.*correct\s+data_uri"):
        version([("churn/", 0, "x")])


def test_local_data_is_a_file_or_a_folder(tmp_path: Path) -> None:
    from ml_pipelines.data_source import copy_local

    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.csv").write_text("a")
    (tmp_path / "in" / "deep" / "b.csv").write_text("b")
    copy_local(tmp_path / "in", tmp_path / "folder")
    copy_local(tmp_path / "in" / "a.csv", tmp_path / "file")
    assert (tmp_path / "folder" / "deep" / "b.csv").read_text() == "b"
    assert [path.name for path in (tmp_path / "file").iterdir()] == ["a.csv"]
    with pytest.raises(ConfigError, match="There is no data at"):
        copy_local(tmp_path / "missing", tmp_path / "none")


def test_who_may_not_list_gets_a_version_that_is_never_in_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    from ml_pipelines.data_source import version as version_of

    assert version_of("s3://lake/churn/", Listing(error="AccessDenied")).startswith("20")
    assert "all steps run" in capsys.readouterr().out


def test_a_bucket_that_does_not_exist_is_named() -> None:
    from ml_pipelines.data_source import version as version_of

    with pytest.raises(ConfigError, match=r"s3://lake/churn/ cannot be listed: .*NoSuchBucket.* Correct data_uri"):
        version_of("s3://lake/churn/", Listing(error="NoSuchBucket"))
