from __future__ import annotations

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


def copy(package: dict[str, Any], target: Target) -> ModelPackage:
    return copying.copy_package(packages.parse(package), target, STAGE, key_arn=KEY, source_region="ap-southeast-1")


def test_everything_that_a_stage_needs_is_copied(
    store: Bucket, package: dict[str, Any], target: Target, aws: Aws
) -> None:
    before = set(store.objects)
    located = copy(package, target)
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
    assert located == copying.located(packages.parse(package), STAGE)
    assert aws.regions["s3"] == [target.region, "ap-southeast-1"]


def test_what_is_there_already_is_not_copied_again(
    store: Bucket, package: dict[str, Any], target: Target, aws: Aws
) -> None:
    copy(package, target)
    aws.calls.clear()
    copy(package, target)
    assert aws.called("CopyObject") == []


def test_what_changed_is_copied_again(store: Bucket, package: dict[str, Any], target: Target, aws: Aws) -> None:
    copy(package, target)
    aws.calls.clear()
    store.add(str(packages.parse(package).containers[0].model_data), size=1000, etag='"other"')
    copy(package, target)
    assert [call["Key"].rsplit("/", 1)[-1] for call in aws.called("CopyObject")] == ["model.tar.gz"]


def test_an_archive_of_any_size_is_copied_in_parts(
    store: Bucket, package: dict[str, Any], target: Target, aws: Aws
) -> None:
    size = 50 * 10**9 + 7
    store.add(str(packages.parse(package).containers[0].model_data), size=size)
    located = copy(package, target)
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
    located = copy(package, target)
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
    del store.objects[copying.split(gone)]
    with pytest.raises(DeploymentError, match=rf"{gone} of .* is not there any more"):
        copy(package, target)


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
    with pytest.raises(DeploymentError, match="is no place in S3"):
        copying.split(uri)
