"""Large objects of S3, which are kept in files, are like all others: read in parts, copied, replaced, brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aws_emulator.tests.harness import DEV, DEV2, REGION

if TYPE_CHECKING:
    from aws_emulator.tests.harness import AwsClient, Cloud

BUCKET = "large-objects"
FIRST, SECOND = b"a" * 1_500_000 + b"end", b"b" * 2_000_000


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> AwsClient:
    client = cloud.client("s3", DEV)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return client


def content(s3: AwsClient, key: str, **more: str) -> bytes:
    body: bytes = s3.get_object(Bucket=BUCKET, Key=key, **more)["Body"].read()
    return body


def test_versions_of_large_objects_stay_readable(cloud: Cloud, s3: AwsClient) -> None:
    first = s3.put_object(Bucket=BUCKET, Key="key", Body=FIRST)["VersionId"]
    assert len(list((cloud.work_dir / "objects").iterdir())) >= 1
    second = s3.put_object(Bucket=BUCKET, Key="key", Body=SECOND)["VersionId"]
    assert content(s3, "key") == SECOND
    assert content(s3, "key", VersionId=first) == FIRST
    assert content(s3, "key", Range="bytes=1999998-") == b"bb"
    s3.delete_object(Bucket=BUCKET, Key="key")
    marker = s3.list_object_versions(Bucket=BUCKET, Prefix="key")["DeleteMarkers"][0]["VersionId"]
    s3.delete_object(Bucket=BUCKET, Key="key", VersionId=marker)
    assert content(s3, "key") == SECOND
    s3.delete_object(Bucket=BUCKET, Key="key", VersionId=second)
    assert content(s3, "key") == FIRST


def test_large_objects_are_copied_also_to_another_account(cloud: Cloud, s3: AwsClient) -> None:
    s3.put_object(Bucket=BUCKET, Key="source", Body=FIRST)
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "source"})
    s3.put_object(Bucket=BUCKET, Key="source", Body=b"small")
    assert (content(s3, "copy"), content(s3, "source")) == (FIRST, b"small")
    allow = f'{{"Effect": "Allow", "Principal": {{"AWS": "{DEV2}"}}, "Action": "s3:GetObject", "Resource": "*"}}'
    policy = f'{{"Version": "2012-10-17", "Statement": [{allow.replace("*", f"arn:aws:s3:::{BUCKET}/*")}]}}'
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy)
    other = cloud.client("s3", DEV2)
    other.create_bucket(Bucket="large-copies", CreateBucketConfiguration={"LocationConstraint": REGION})
    other.copy_object(Bucket="large-copies", Key="copy", CopySource={"Bucket": BUCKET, "Key": "copy"})
    assert other.get_object(Bucket="large-copies", Key="copy")["Body"].read() == FIRST


def test_parts_become_one_large_object(s3: AwsClient) -> None:
    upload = {"Bucket": BUCKET, "Key": "parts"}
    upload |= {"UploadId": s3.create_multipart_upload(**upload)["UploadId"]}
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"]}
        for number, body in ((1, b"c" * 5 * 1024 * 1024), (2, b"end"))
    ]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert content(s3, "parts", Range="bytes=-4") == b"cend"
