"""Copies of artifacts: their parts, their resumption, their verification."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest

from lambdas.model_promotion.artifacts import COPY_MAX, MIB, PART_MAX, PART_MIN, PARTS_MAX, uniform_parts
from tests.lambdas.aws import client_error
from tests.lambdas.model_promotion.cloud import BUCKET, DEV, KEY, REGION, Cloud, Killed, Object
from tests.lambdas.model_promotion.conftest import Function

SOURCE = f"mlp-p-1-{DEV}-{REGION}"
GIB = 1024 * MIB


def event_for(cloud: Cloud, size: int, **properties: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the approval of a package with one artifact of this size."""
    cloud.put(SOURCE, "model.tar.gz", size=size, **properties)
    container = {
        "Image": f"141502667606.dkr.ecr.{REGION}.amazonaws.com/xgboost:3",
        "ModelDataUrl": f"s3://{SOURCE}/model.tar.gz",
    }
    package = {
        "ModelPackageGroupName": "churn-p-1",
        "ModelPackageVersion": 1,
        "InferenceSpecification": {"Containers": [container]},
    }
    return cloud.decide(cloud.register(package), "Approved")


def the_copy(cloud: Cloud) -> Object:
    """Return the one copy in the hub."""
    (found,) = [
        entry for (bucket, key), entry in cloud.objects.items() if bucket == BUCKET and key.startswith("packages/")
    ]
    return found


@pytest.mark.parametrize("size", [256 * MIB + 1, 5 * GIB + 1, 50 * 10**9, 2500 * GIB, 5 * 1024 * GIB])
def test_parts_cover_an_object_once_and_keep_the_limits_of_s3(size: int) -> None:
    parts = uniform_parts(size)
    assert parts[0].first == 0
    assert parts[-1].last == size - 1
    assert all(a.last + 1 == b.first and a.number + 1 == b.number for a, b in itertools.pairwise(parts))
    assert len(parts) <= PARTS_MAX
    assert all(PART_MIN <= part.size <= PART_MAX for part in parts[:-1])


@pytest.mark.parametrize("workers", [1, 32])
def test_an_object_over_five_gigabytes_is_copied_in_parts_with_the_same_checksum(cloud: Cloud, workers: int) -> None:
    event = event_for(cloud, 50 * 10**9)
    assert Function(cloud, workers=workers).invoke(event) == []
    assert len(cloud.of("s3:UploadPartCopy")) == math.ceil(50 * 10**9 / (256 * MIB))
    assert not cloud.of("s3:CopyObject")
    copy, original = the_copy(cloud), cloud.objects[SOURCE, "model.tar.gz"]
    assert (copy.size, copy.checksum, copy.sse) == (original.size, original.checksum, KEY)
    (record,) = [json.loads(entry.body) for (_, key), entry in cloud.objects.items() if key.startswith("promotions/")]
    assert [artifact["checksum"] for artifact in record["artifacts"]] == [f"CRC64NVME:{original.checksum}"]


def test_a_small_object_is_copied_in_one_call(cloud: Cloud, function: Function) -> None:
    assert function.invoke(event_for(cloud, 1000)) == []
    assert len(cloud.of("s3:CopyObject")) == 1
    assert not cloud.of("s3:CreateMultipartUpload")


def test_a_copy_that_was_killed_goes_on_with_the_parts_that_are_missing(cloud: Cloud, function: Function) -> None:
    event = event_for(cloud, 12 * GIB)
    cloud.failure, cloud.fail_after = Killed, True
    cloud.fail_at = len(cloud.calls) + 30
    function.deliver(event)
    numbers = [call["PartNumber"] for call in cloud.of("s3:UploadPartCopy")]
    assert sorted(numbers) == list(range(1, 49))
    assert len(cloud.of("s3:CreateMultipartUpload")) == 1
    assert function.invocations == 2
    assert the_copy(cloud).size == 12 * GIB


def test_fifty_gigabytes_at_a_crawl_take_several_invocations_and_no_part_twice(
    cloud: Cloud, function: Function
) -> None:
    event = event_for(cloud, 50 * 10**9)
    cloud.wait_s = {"s3:UploadPartCopy": 27}  # one part after the other, at 10 MB/s: 84 minutes
    function.deliver(event, at_most=20)
    numbers = [call["PartNumber"] for call in cloud.of("s3:UploadPartCopy")]
    assert sorted(numbers) == list(range(1, 188))
    assert function.invocations == 7
    assert [call["DelaySeconds"] for call in cloud.sent] == [0] * 6
    assert not cloud.put_off
    assert len(cloud.copies) == 1


def test_a_promotion_that_never_advances_ends_in_the_dead_letter_queue(
    cloud: Cloud, function: Function, caplog: pytest.LogCaptureFixture
) -> None:
    event = event_for(cloud, 50 * 10**9)
    cloud.wait_s = {"s3:HeadObject": 2000}
    failed: list[str] = []
    for _ in range(60):
        failed = function.invoke(event)
        if failed:
            break
    assert failed == ["m0"]
    assert "does not advance" in caplog.text


def test_parts_of_an_original_that_was_replaced_meanwhile_are_thrown_away(cloud: Cloud, function: Function) -> None:
    event = event_for(cloud, 12 * GIB)
    cloud.failure, cloud.fail_after = Killed, True
    cloud.fail_at = len(cloud.calls) + 30
    with pytest.raises(Killed):
        function.invoke(event)
    cloud.now += 2000
    cloud.put(SOURCE, "model.tar.gz", size=11 * GIB).modified = cloud.now
    cloud.objects[SOURCE, "model.tar.gz"].content = "new contents"
    function.deliver(event)
    assert len(cloud.of("s3:AbortMultipartUpload")) == 1
    assert the_copy(cloud).checksum == cloud.objects[SOURCE, "model.tar.gz"].checksum


def test_a_checksum_over_parts_comes_out_the_same_because_the_parts_are(cloud: Cloud, function: Function) -> None:
    sizes = (8 * MIB,) * 1300 + (5,)
    event = event_for(cloud, sum(sizes), algorithm="CRC32", kind="COMPOSITE", parts=sizes)
    assert function.invoke(event) == []
    assert len(cloud.of("s3:GetObjectAttributes")) == 2
    copy, original = the_copy(cloud), cloud.objects[SOURCE, "model.tar.gz"]
    assert (copy.kind, copy.checksum) == ("COMPOSITE", original.checksum)


def test_a_sha_checksum_of_a_whole_object_is_kept_by_copying_it_whole(cloud: Cloud, function: Function) -> None:
    event = event_for(cloud, COPY_MAX, algorithm="SHA256")
    assert function.invoke(event) == []
    assert the_copy(cloud).algorithm == "SHA256"
    assert the_copy(cloud).checksum == cloud.objects[SOURCE, "model.tar.gz"].checksum


def test_an_object_without_a_checksum_is_compared_by_size_and_that_is_on_record(
    cloud: Cloud, function: Function
) -> None:
    assert function.invoke(event_for(cloud, 12 * GIB, algorithm="")) == []
    assert [artifact["checksum"] for artifact in cloud.verdicts[0]["artifacts"]] == [""]


def test_a_garbled_copy_is_not_used_and_made_again(
    cloud: Cloud, function: Function, caplog: pytest.LogCaptureFixture
) -> None:
    event = event_for(cloud, 1000)
    original = cloud.objects[SOURCE, "model.tar.gz"]
    heads: list[int] = []

    def garble(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "s3:HeadObject" and parameters["Bucket"] == BUCKET:
            heads.append(1)
            if len(heads) == 2:
                cloud.objects[BUCKET, parameters["Key"]].content = "garbled"

    cloud.fail = garble
    assert function.invoke(event) == ["m0"]
    assert "differs from it in size or checksum" in caplog.text
    assert cloud.copies == []
    function.deliver(event)
    assert the_copy(cloud).checksum == original.checksum


def test_an_unreadable_artifact_fails_instead_of_counting_as_missing(cloud: Cloud, function: Function) -> None:
    event = event_for(cloud, 1000)
    cloud.fail = lambda name, parameters: (
        client_error("403", name) if name == "s3:HeadObject" and parameters["Bucket"] == SOURCE else None
    )
    assert function.invoke(event) == ["m0"]
    assert cloud.copies == []
