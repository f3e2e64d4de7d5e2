"""The session without AWS: S3 is a folder, and nothing reaches the network."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_pipelines.offline import ACCOUNT, OfflineError, offline_session


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the variables that a session sets taken back after each test."""
    for name in ("EC2_METADATA_DISABLED", "REQUEST_CHECKSUM_CALCULATION", "RESPONSE_CHECKSUM_VALIDATION"):
        monkeypatch.setenv(f"AWS_{name}", "")


def test_s3_is_a_folder(tmp_path: Path) -> None:
    client = offline_session(tmp_path, region="eu-west-1").client("s3")
    client.put_object(Bucket="bucket", Key="deep/a b.txt", Body=b"hello")
    assert (tmp_path / "bucket" / "deep" / "a b.txt").read_bytes() == b"hello"
    assert client.get_object(Bucket="bucket", Key="deep/a b.txt")["Body"].read() == b"hello"
    with pytest.raises(client.exceptions.ClientError, match="404"):
        client.head_object(Bucket="bucket", Key="missing")


def test_sts_says_who_is_asking_and_every_other_service_is_refused(tmp_path: Path) -> None:
    session = offline_session(tmp_path, region="eu-west-1")
    assert session.client("sts").get_caller_identity()["Account"] == ACCOUNT
    with pytest.raises(OfflineError, match="no AWS here to answer"):
        session.client("sagemaker").list_pipelines()
