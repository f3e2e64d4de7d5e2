"""Custom::BucketContents: buckets of products are empty before they are deleted, and no others are touched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from lambdas.bucket_emptier import core, handler
from lambdas.bucket_emptier.bucket import Bucket
from tests.lambdas.aws import answering, client_error
from tests.lambdas.cloudformation import AnswerBox, Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lambdas.aws import Answers

TYPE = "Custom::BucketContents"
ACCOUNT = "123456789012"  # the account of moto
NAME = f"mlp-p-abc123-{ACCOUNT}-eu-west-1"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNT_ID", ACCOUNT)


@pytest.fixture
def bucket() -> Iterator[Any]:
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=NAME, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": "Enabled"})
        yield s3


def versions(s3: Any) -> int:  # noqa: ANN401 - a client of boto3
    page = s3.list_object_versions(Bucket=NAME)
    return len(page.get("Versions", [])) + len(page.get("DeleteMarkers", []))


def delete(box: AnswerBox, context: Context | None = None, **event: object) -> None:
    handler.lambda_handler(
        {**box.event("Delete", TYPE, {"BucketName": NAME}, physical_id=NAME), **event}, context or Context(900)
    )


def test_deletion_removes_every_version_marker_and_upload(bucket: Any, box: AnswerBox) -> None:  # noqa: ANN401
    for number in range(3):
        bucket.put_object(Bucket=NAME, Key="model.tar.gz", Body=str(number).encode())
    bucket.delete_object(Bucket=NAME, Key="model.tar.gz")
    bucket.create_multipart_upload(Bucket=NAME, Key="big")
    assert versions(bucket) == 4
    delete(box)
    assert box.only["Status"] == "SUCCESS"
    assert versions(bucket) == 0
    assert bucket.list_multipart_uploads(Bucket=NAME).get("Uploads", []) == []
    bucket.delete_bucket(Bucket=NAME)


def test_a_bucket_that_is_gone_is_empty(box: AnswerBox) -> None:
    with mock_aws():
        delete(box)
    assert box.only["Status"] == "SUCCESS"


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_nothing_is_touched_while_the_product_lives(bucket: Any, box: AnswerBox, kind: str) -> None:  # noqa: ANN401
    bucket.put_object(Bucket=NAME, Key="model.tar.gz", Body=b"1")
    handler.lambda_handler(box.event(kind, TYPE, {"BucketName": NAME}), Context())
    assert box.only["Status"] == "SUCCESS"
    assert box.only["PhysicalResourceId"] == NAME
    assert versions(bucket) == 1


@pytest.mark.parametrize(
    "name",
    [
        "ml-platform-artifacts-123456789012-eu-west-1",
        "mlp-p-abc-999999999999-eu-west-1",
        "mlp-p-abc-123456789012-us-east-1",
        "mlp-p-abc-123456789012-eu-west-1-copy",
        "payroll",
    ],
)
@pytest.mark.parametrize("kind", ["Create", "Delete"])
def test_a_bucket_that_is_no_products_is_refused(box: AnswerBox, name: str, kind: str) -> None:
    with answering({}) as calls:
        handler.lambda_handler(box.event(kind, TYPE, {"BucketName": name}), Context())
    assert list(calls) == []
    assert box.only["Status"] == "FAILED"
    assert f"{name!r} is not a bucket of a product" in box.only["Reason"]


def endless(_: dict[str, Any]) -> dict[str, Any]:
    return {"Versions": [{"Key": f"k{n}", "VersionId": "v"} for n in range(1000)]}


def test_a_bucket_too_big_for_one_run_is_handed_over_with_the_same_request(box: AnswerBox) -> None:
    answers: Answers = {
        "s3:ListMultipartUploads": {},
        "s3:ListObjectVersions": endless,
        "s3:DeleteObjects": {},
        "lambda:Invoke": {},
    }
    with answering(answers) as calls:
        delete(box, Context(900, 500, 30))
    assert box.requests == 0, "the next run answers"
    (handed_over,) = calls.of("lambda:Invoke")
    assert handed_over["InvocationType"] == "Event"
    assert handed_over["FunctionName"] == Context.invoked_function_arn
    event = json.loads(handed_over["Payload"])
    assert event["RoundsBefore"] == 1
    assert event["ResponseURL"] == box.url


def test_the_run_that_finishes_answers(bucket: Any, box: AnswerBox) -> None:  # noqa: ANN401
    bucket.put_object(Bucket=NAME, Key="model.tar.gz", Body=b"1")
    delete(box, RoundsBefore=2)
    assert box.only["Status"] == "SUCCESS"


def test_runs_are_bounded_and_the_last_one_says_how_to_go_on(box: AnswerBox) -> None:
    answers: Answers = {"s3:ListMultipartUploads": {}, "s3:ListObjectVersions": endless, "s3:DeleteObjects": {}}
    with answering(answers) as calls:
        delete(box, Context(900, 30), RoundsBefore=core.MAX_ROUNDS - 1)
    assert "lambda:Invoke" not in calls.operations
    assert box.only["Status"] == "FAILED"
    assert "again to go on" in box.only["Reason"]


def test_a_protected_object_is_named(box: AnswerBox) -> None:
    refused = {"Errors": [{"Key": "locked", "Code": "AccessDenied", "Message": "object lock"}]}
    answers: Answers = {"s3:ListMultipartUploads": {}, "s3:ListObjectVersions": endless, "s3:DeleteObjects": refused}
    with answering(answers):
        delete(box)
    assert box.only["Status"] == "FAILED"
    assert "1 of 1000 object versions" in box.only["Reason"]
    assert "'locked'" in box.only["Reason"]


def test_an_upload_that_ended_meanwhile_does_not_matter() -> None:
    pages = iter([{"Uploads": [{"Key": "big", "UploadId": "u"}]}, {}])
    answers: Answers = {
        "s3:ListMultipartUploads": lambda _: next(pages),
        "s3:AbortMultipartUpload": client_error("NoSuchUpload"),
        "s3:ListObjectVersions": {},
    }
    with answering(answers):
        bucket = Bucket(NAME, ACCOUNT)
        assert bucket.remove_some()
        assert not bucket.remove_some()


@pytest.mark.parametrize("index", range(6))
def test_whichever_call_fails_there_is_exactly_one_answer(box: AnswerBox, index: int) -> None:
    uploads = iter([{"Uploads": [{"Key": "big", "UploadId": "u"}]}, {}, {}])
    answers: Answers = {
        "s3:ListMultipartUploads": lambda _: next(uploads),
        "s3:AbortMultipartUpload": {},
        "s3:ListObjectVersions": endless,
        "s3:DeleteObjects": {},
        "lambda:Invoke": {},
    }
    with answering(answers, failing=index) as calls:
        delete(box, Context(900, 900, 30))
    handed_over = len(calls) > 5 and calls.operations[5] == "lambda:Invoke" and index != 5
    assert len(box.answers) == (0 if handed_over else 1)
    assert index < len(calls), "there is such a call"
