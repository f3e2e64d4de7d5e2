from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployment import copying, packages
from deployment.errors import DeploymentError
from deployment.packages import ModelPackage
from deployment.targets import Target

from .conftest import Aws, Bucket

KEY = "arn:aws:kms:eu-west-1:222233334444:key/1"
STAGE = "mlp-p-1-test-222233334444-eu-west-1"


@pytest.fixture
def store(aws: Aws, package: dict[str, Any]) -> Bucket:
    """The registry's bucket with the files of the package."""
    store = Bucket()
    found = packages.parse(package)
    store.add(str(found.containers[0].model_data), size=1000)
    for uri in found.baselines.values():
        store.add(uri)
    for name in ("records.jsonl", "expected.jsonl", "payload.tar.gz"):
        store.add(f"{found.samples}/{name}")
    aws.answers = store.answers
    return store


def promoted(package: dict[str, Any], store: Bucket) -> ModelPackage:
    """Return a package that was promoted with the files which are there now."""
    objects = {
        f"s3://{bucket}/{key}": (entry["ContentLength"], entry["ETag"].strip('"'))
        for (bucket, key), entry in store.objects.items()
    }
    return replace(packages.parse(package), objects=objects)


def copy(found: ModelPackage, target: Target) -> ModelPackage:
    return copying.copy_package(found, target, STAGE, key_arn=KEY, source_region="ap-southeast-1")


def test_everything_that_a_stage_needs_is_copied(
    store: Bucket, package: dict[str, Any], target: Target, aws: Aws
) -> None:
    before = set(store.objects)
    found = promoted(package, store)
    located = copy(found, target)
    root = f"packages/{packages.parse(package).key}"
    copied = {key for bucket, key in set(store.objects) - before if bucket == STAGE}
    assert copied == {
        f"{root}/model-0/model.tar.gz",
        f"{root}/baseline/ModelQuality/Statistics/evaluation.json",
        f"{root}/baseline/ModelQuality/Constraints/model_quality_constraints.json",
        f"{root}/baseline/ModelDataQuality/Statistics/statistics.json",
        f"{root}/baseline/ModelDataQuality/Constraints/constraints.json",
        f"{root}/baseline/Explainability/Constraints/analysis.json",
        f"{root}/samples/records.jsonl",
        f"{root}/samples/expected.jsonl",
        f"{root}/samples/payload.tar.gz",
        f"{root}/payload/payload.tar.gz",
    }
    assert all(store.objects[STAGE, key]["SSEKMSKeyId"] == KEY for key in copied)
    assert located.containers[0].model_data == f"s3://{STAGE}/{root}/model-0/model.tar.gz"
    assert located.samples == f"s3://{STAGE}/{root}/samples"
    assert located == copying.located(found, STAGE)
    assert aws.regions["s3"] == [target.region, "ap-southeast-1"]


def test_what_is_there_already_is_not_copied_again(
    store: Bucket, package: dict[str, Any], target: Target, aws: Aws
) -> None:
    copy(promoted(package, store), target)
    aws.calls.clear()
    copy(promoted(package, store), target)
    assert aws.called("CopyObject") == []


def test_what_changed_is_copied_again(store: Bucket, package: dict[str, Any], target: Target, aws: Aws) -> None:
    copy(promoted(package, store), target)
    aws.calls.clear()
    store.add(str(packages.parse(package).containers[0].model_data), size=1000, etag='"other"')
    copy(promoted(package, store), target)
    assert [call["Key"].rsplit("/", 1)[-1] for call in aws.called("CopyObject")] == ["model.tar.gz"]


def test_an_archive_of_any_size_is_copied_in_parts(
    store: Bucket, package: dict[str, Any], target: Target, aws: Aws
) -> None:
    size = 50 * 10**9 + 7
    store.add(str(packages.parse(package).containers[0].model_data), size=size)
    located = copy(promoted(package, store), target)
    bucket, key = copying.split(str(located.containers[0].model_data))
    assert store.objects[bucket, key]["ContentLength"] == size
    assert store.objects[bucket, key]["SSEKMSKeyId"] == KEY
    assert len(aws.called("UploadPartCopy")) == -(-size // (256 * 2**20))


def test_a_model_of_single_files_is_copied_with_all_of_them(
    store: Bucket, package: dict[str, Any], target: Target
) -> None:
    (container,) = package["InferenceSpecification"]["Containers"]
    del container["ModelDataUrl"]
    source = {"S3Uri": "s3://registry/files/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container["ModelDataSource"] = {"S3DataSource": source}
    for name in ("config.json", "weights/1.bin"):
        store.add(f"s3://registry/files/{name}")
    located = copy(promoted(package, store), target)
    _, prefix = copying.split(str(located.containers[0].model_data))
    assert prefix.endswith("/model-0/")
    assert {key for _, key in store.objects if key.startswith(prefix)} == {
        f"{prefix}config.json",
        f"{prefix}weights/1.bin",
    }


def test_containers_with_archives_of_one_name_do_not_overwrite_each_other(package: dict[str, Any]) -> None:
    found = packages.parse(package)
    second = replace(found.containers[0], model_data="s3://registry/other/model.tar.gz")
    located = copying.located(replace(found, containers=(*found.containers, second)), STAGE)
    assert len({container.model_data for container in located.containers}) == 2


def test_two_packages_do_not_share_a_place(package: dict[str, Any]) -> None:
    first = packages.parse(package)
    package["ModelPackageArn"] = package["ModelPackageArn"].replace("/7", "/8")
    assert packages.parse(package).key != first.key


def test_a_file_that_is_gone_is_named(store: Bucket, package: dict[str, Any], target: Target) -> None:
    gone = str(packages.parse(package).containers[0].model_data)
    found = promoted(package, store)
    del store.objects[copying.split(gone)]
    with pytest.raises(DeploymentError, match=rf"{gone} of .* is not there any more"):
        copy(found, target)


def replaced_model(store: Bucket, found: ModelPackage) -> ModelPackage:
    store.add(str(found.containers[0].model_data), size=1000, etag='"other"')
    return found


def longer_model(store: Bucket, found: ModelPackage) -> ModelPackage:
    store.add(str(found.containers[0].model_data), size=1001)
    return found


def added_sample(store: Bucket, found: ModelPackage) -> ModelPackage:
    store.add(f"{found.samples}/more.jsonl")
    return found


def missing_sample(store: Bucket, found: ModelPackage) -> ModelPackage:
    del store.objects[copying.split(f"{found.samples}/expected.jsonl")]
    return found


def files_of_another_group(store: Bucket, found: ModelPackage) -> ModelPackage:
    registry = str(found.containers[0].model_data).split("/packages/")[0]
    store.add(f"{registry}/packages/fraud-p-2-222222222222/1-20260101T000000Z/model.tar.gz")
    return replace(found, samples=f"{registry}/packages/fraud-p-2-222222222222/")


def another_bucket(store: Bucket, found: ModelPackage) -> ModelPackage:
    store.add("s3://mlp-p-2-prod-333344445555-eu-west-1/captured/records.jsonl")
    return replace(found, samples="s3://mlp-p-2-prod-333344445555-eu-west-1/captured")


@pytest.mark.parametrize(
    "attack",
    [replaced_model, longer_model, added_sample, missing_sample, files_of_another_group, another_bucket],
    ids=lambda attack: attack.__name__,
)
def test_what_was_not_promoted_is_neither_rendered_nor_copied(
    store: Bucket,
    package: dict[str, Any],
    target: Target,
    aws: Aws,
    attack: Callable[[Bucket, ModelPackage], ModelPackage],
) -> None:
    found = attack(store, promoted(package, store))
    with pytest.raises(DeploymentError, match="is not what was promoted"):
        copying.require_files(aws.client("s3"), found)
    with pytest.raises(DeploymentError, match="is not what was promoted"):
        copy(found, target)


def test_nothing_of_a_package_that_was_not_compared_with_its_promotion_is_copied(
    store: Bucket, package: dict[str, Any], target: Target, aws: Aws
) -> None:
    with pytest.raises(DeploymentError, match="is not what was promoted"):
        copy(packages.parse(package), target)
    assert aws.called("CopyObject") == []


def test_code_keeps_its_place_until_it_changes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "__pycache__").mkdir(parents=True)
        (tmp_path / folder / "__pycache__" / "a.pyc").write_text(folder)
        (tmp_path / folder / "monitor.py").write_text("print()")
    first, files = copying.code_files(tmp_path / "one")
    second, _ = copying.code_files(tmp_path / "two")
    assert first == second
    assert list(files) == [f"{first}monitor.py"]
    (tmp_path / "two" / "monitor.py").write_text("print(1)")
    assert copying.code_files(tmp_path / "two")[0] != first


def test_files_are_put_once(store: Bucket, target: Target, aws: Aws, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    files = {"code/1/a.py": tmp_path / "a.py", "code/1/b.json": b"{}"}
    copying.put(target, STAGE, files, key_arn=KEY)
    copying.put(target, STAGE, files, key_arn=KEY)
    assert [call["Key"] for call in aws.called("PutObject")] == list(files)


@pytest.mark.parametrize("uri", ["https://example.com/a", "s3://bucket", "s3://bucket/"])
def test_what_is_no_place_in_s3_is_refused(uri: str) -> None:
    with pytest.raises(DeploymentError, match="is not a place in S3"):
        copying.split(uri)
