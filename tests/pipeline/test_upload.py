from __future__ import annotations

import hashlib
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from moto import mock_aws

from pipeline.cli import portfolio
from pipeline.upload import Upload, UploadError, upload_all, uploads
from products.releases import load_catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Client = Any  # boto3 makes the classes of its clients at run time

BUCKET = "ml-platform-artifacts-111122223333-eu-west-1"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """An S3 client in an account that exists in this process only, with the empty artifact bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield client


def write_release(root: Path, version: str, *, archive: bytes = b"zip", active: bool = True) -> None:
    """Write a release of the product ``tiny`` as `portfolio release` would."""
    folder = root / "products" / "tiny" / "releases" / version
    folder.mkdir(parents=True)
    digest = hashlib.sha256(archive).hexdigest()
    template = json.dumps({"Outputs": {"Seed": {"Value": f"assets/{digest}.zip"}}}).encode()
    files = {"template.json": template, "seed-code.zip": archive}
    keys = {"template.json": f"releases/tiny/{version}/template.json", "seed-code.zip": f"assets/{digest}.zip"}
    record = {
        "product": "tiny",
        "title": "Tiny",
        "summary": "Tiny.",
        "version": version,
        "description": "New.",
        "date": "2026-03-01T09:30:00Z",
        "guidance": "DEFAULT",
        "contract": 1,
        "seed_code": "tiny",
        "tools": {},
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "key": keys[name]}
            for name, content in files.items()
        },
    }
    for name, content in {**files, "release.json": json.dumps(record).encode()}.items():
        (folder / name).write_bytes(content)
    if not active:
        status = {version: {"guidance": "DEPRECATED", "active": False, "reason": "Old."}}
        (folder.parent / "status.json").write_text(json.dumps(status), encoding="utf-8")


def objects(s3: Client) -> dict[str, bytes]:
    """Return every object of the bucket."""
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def test_everything_that_accounts_need_is_uploaded_once(s3: Client, tmp_path: Path) -> None:
    write_release(tmp_path, "1.0.0", active=False)
    write_release(tmp_path, "1.0.1")  # the same seed code
    wanted = uploads(load_catalog(tmp_path), {"preflight": b"function"})
    outcomes = upload_all(s3, BUCKET, wanted)
    assert set(outcomes.values()) == {"uploaded"}
    assert objects(s3) == {
        f"assets/{hashlib.sha256(b'function').hexdigest()}.zip": b"function",
        f"assets/{hashlib.sha256(b'zip').hexdigest()}.zip": b"zip",
        "releases/tiny/1.0.0/template.json": (tmp_path / "products/tiny/releases/1.0.0/template.json").read_bytes(),
        "releases/tiny/1.0.1/template.json": (tmp_path / "products/tiny/releases/1.0.1/template.json").read_bytes(),
    }


def test_a_second_upload_writes_nothing(s3: Client, tmp_path: Path) -> None:
    write_release(tmp_path, "1.0.0")
    wanted = uploads(load_catalog(tmp_path), {})
    upload_all(s3, BUCKET, wanted)
    assert set(upload_all(s3, BUCKET, wanted).values()) == {"present"}
    assert len(s3.list_object_versions(Bucket=BUCKET)["Versions"]) == len(wanted)


def test_other_bytes_under_the_same_key_are_an_error_and_stay(s3: Client) -> None:
    s3.put_object(Bucket=BUCKET, Key="releases/tiny/1.0.0/template.json", Body=b"other", ChecksumAlgorithm="SHA256")
    wanted = [
        Upload(key="releases/tiny/1.0.0/template.json", content=b"released", what="tiny 1.0.0 template.json"),
        Upload(key="assets/a.zip", content=b"a", what="tiny 1.0.0 seed-code.zip"),
    ]
    with pytest.raises(UploadError, match=r"is not tiny 1\.0\.0 template\.json as released.*never overwritten"):
        upload_all(s3, BUCKET, wanted)
    assert objects(s3) == {"releases/tiny/1.0.0/template.json": b"other", "assets/a.zip": b"a"}


def test_a_published_release_that_the_repository_no_longer_has_is_an_error(s3: Client, tmp_path: Path) -> None:
    write_release(tmp_path, "1.0.0")
    write_release(tmp_path, "1.1.0")
    upload_all(s3, BUCKET, uploads(load_catalog(tmp_path), {}))
    shutil.rmtree(tmp_path / "products/tiny/releases/1.0.0")
    write_release(tmp_path, "1.2.0")
    with pytest.raises(UploadError, match=r"tiny/1\.0\.0/template\.json is published, but .* no such release"):
        upload_all(s3, BUCKET, uploads(load_catalog(tmp_path), {}))
    assert "releases/tiny/1.2.0/template.json" in objects(s3), "everything else was still uploaded"


class ShortPages:
    """A client whose lists have one object a page."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.head_object, self.get_object, self.put_object = client.head_object, client.get_object, client.put_object

    def list_objects_v2(self, **request: object) -> dict[str, Any]:
        page: dict[str, Any] = self._client.list_objects_v2(**request, MaxKeys=1)
        return page


def test_every_page_of_the_bucket_is_compared_with_the_repository(s3: Client) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        s3.put_object(Bucket=BUCKET, Key=f"releases/gone/{version}/template.json", Body=b"{}")
    with pytest.raises(UploadError) as raised:
        upload_all(ShortPages(s3), BUCKET, [])
    assert str(raised.value).count("no such release") == 3


@pytest.mark.parametrize(("existing", "is_right"), [(b"a", True), (b"b", False)])
def test_an_object_without_checksum_is_compared_by_its_bytes(s3: Client, existing: bytes, *, is_right: bool) -> None:
    s3.put_object(Bucket=BUCKET, Key="assets/a.zip", Body=existing)
    wanted = [Upload(key="assets/a.zip", content=b"a", what="seed code")]
    if is_right:
        assert upload_all(s3, BUCKET, wanted) == {"assets/a.zip": "present"}
    else:
        with pytest.raises(UploadError, match=hashlib.sha256(b"b").hexdigest()):
            upload_all(s3, BUCKET, wanted)


class Race:
    """A client for which somebody else writes an object between the question and the answer.

    Args:
        client: The real client.
        theirs: What the other one writes.
        status: How S3 answers our put: 412 when theirs is complete, 409 while it is being written.
    """

    def __init__(self, client: Client, theirs: bytes, status: int) -> None:
        self._client, self._theirs, self._status = client, theirs, status
        self.head_object, self.get_object = client.head_object, client.get_object
        self.list_objects_v2 = client.list_objects_v2

    def put_object(self, **request: object) -> dict[str, Any]:
        assert request["IfNoneMatch"] == "*"
        theirs = {"Bucket": request["Bucket"], "Key": request["Key"], "Body": self._theirs}
        self._client.put_object(**theirs, ChecksumAlgorithm="SHA256")
        error: Any = {"Error": {"Code": "Conflict"}, "ResponseMetadata": {"HTTPStatusCode": self._status}}
        raise ClientError(error, "PutObject")


@pytest.mark.parametrize("status", [409, 412])
def test_whoever_comes_second_accepts_the_same_bytes_and_no_others(s3: Client, status: int) -> None:
    mine = [Upload(key="assets/a.zip", content=b"a", what="seed code")]
    assert upload_all(Race(s3, b"a", status), BUCKET, mine) == {"assets/a.zip": "present"}
    s3.delete_object(Bucket=BUCKET, Key="assets/a.zip")
    with pytest.raises(UploadError, match="never overwritten"):
        upload_all(Race(s3, b"b", status), BUCKET, mine)


def test_a_missing_bucket_is_an_error_that_says_what_to_check(s3: Client) -> None:
    mine = [Upload(key="assets/a.zip", content=b"a", what="seed code")]
    with pytest.raises(UploadError, match=r"S3 refuses to list s3://another-bucket.*NoSuchBucket.*bucket exists"):
        upload_all(s3, "another-bucket", mine)


def test_a_file_that_was_altered_is_not_uploaded(tmp_path: Path) -> None:
    write_release(tmp_path, "1.0.0")
    (tmp_path / "products/tiny/releases/1.0.0/template.json").write_bytes(b"{}")
    with pytest.raises(UploadError, match=r"template\.json is not what was released.*portfolio verify"):
        uploads(load_catalog(tmp_path), {})


@pytest.mark.usefixtures("s3")
def test_the_command_says_what_it_uploaded(tmp_path: Path) -> None:
    write_release(tmp_path, "1.0.0")
    arguments = ["--root", str(tmp_path), "upload", "--bucket", BUCKET, "--region", "eu-west-1"]
    first = CliRunner().invoke(portfolio, arguments)
    assert first.exit_code == 0
    assert re.search(r"releases/tiny/1\.0\.0/template\.json  tiny 1\.0\.0 template\.json  \d+ bytes", first.stdout)
    assert f"Uploaded 2 objects to s3://{BUCKET}; 0 were there already." in first.stdout
    second = CliRunner().invoke(portfolio, [*arguments, "--json"])
    machine = json.loads(second.stdout)
    assert (machine["uploaded"], len(machine["present"])) == ([], 2)


def test_without_credentials_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_release(tmp_path, "1.0.0")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # one that another test left may hold credentials
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    arguments = ["--root", str(tmp_path), "upload", "--bucket", BUCKET, "--region", "eu-west-1"]
    result = CliRunner().invoke(portfolio, arguments)
    assert result.exit_code == 1
    assert "The request to AWS failed: Unable to locate credentials" in result.stderr
