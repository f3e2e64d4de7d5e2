"""A package on its way into the hub's registry."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.model import DenormalizedStructureBuilder

from lambdas.model_promotion import contents, packages
from tests.lambdas.model_promotion.cloud import BUCKET, DEV, HUB, KEY, PROD, REGION, Cloud, model, put_artifacts

if TYPE_CHECKING:
    from tests.lambdas.model_promotion.conftest import Function

SOURCE = f"mlp-p-1-{DEV}-{REGION}"
GROUP = f"churn-p-1-{DEV}"


@pytest.fixture
def approved(cloud: Cloud) -> dict[str, Any]:
    """Return the event of an approval of a package that has everything."""
    put_artifacts(cloud)
    return cloud.decide(cloud.register(dict(model())), "Approved", "better than before")


def uris(value: Any) -> list[str]:  # noqa: ANN401 (JSON)
    """Return all S3 URIs in a value."""
    if isinstance(value, dict):
        return [uri for member in value.values() for uri in uris(member)]
    if isinstance(value, list):
        return [uri for member in value for uri in uris(member)]
    return [value] if isinstance(value, str) and value.startswith("s3://") else []


def test_every_artifact_of_the_copy_is_in_the_hub_under_its_key(
    cloud: Cloud, function: Function, approved: dict[str, Any]
) -> None:
    assert function.invoke(approved) == []
    (package,) = cloud.copies
    found = [uri for uri in uris(package) if uri != f"s3://{SOURCE}/lake/"]
    assert len(found) == len(uris(model())) - 1
    for uri in found:
        bucket, key = uri.removeprefix("s3://").split("/", 1)
        copies = [entry for (where, name), entry in cloud.objects.items() if where == bucket and name.startswith(key)]
        assert bucket == BUCKET
        assert copies
        assert {entry.sse for entry in copies} == {KEY}


def test_training_data_named_in_the_metadata_stays_where_it_is(
    cloud: Cloud, function: Function, approved: dict[str, Any]
) -> None:
    function.invoke(approved)
    (package,) = cloud.copies
    assert package["CustomerMetadataProperties"]["data_uri"] == f"s3://{SOURCE}/lake/"
    assert not [key for bucket, key in cloud.objects if bucket == BUCKET and "training-data" in key]


def test_what_describes_the_model_arrives_unchanged(cloud: Cloud, function: Function, approved: dict[str, Any]) -> None:
    function.invoke(approved)
    (package,) = cloud.copies
    for name in ("ModelPackageDescription", "MetadataProperties", "ModelCard", "Domain", "Task"):
        assert package[name] == model()[name]
    metadata = package["CustomerMetadataProperties"]
    assert metadata["metric_value"] == "0.93"
    assert metadata["source_package"] == approved["detail"]["ModelPackageArn"]
    assert (metadata["source_decided_by"], metadata["source_reason"]) == ("lead", "better than before")


def test_a_copy_waits_for_the_engineer_and_says_who_approved_the_original(
    cloud: Cloud, function: Function, approved: dict[str, Any]
) -> None:
    function.invoke(approved)
    (package,) = cloud.copies
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ApprovalDescription"].startswith(f"Approved in account {DEV} by lead at ")
    assert package["ApprovalDescription"].endswith(": better than before")


def test_the_hub_group_has_the_tags_and_a_policy_with_which_nobody_can_approve(
    cloud: Cloud, function: Function, approved: dict[str, Any]
) -> None:
    function.invoke(approved)
    group = cloud.groups[GROUP]
    assert group["Tags"] == {"cost-centre": "4711"}
    (statement,) = json.loads(group["Policy"])["Statement"]
    assert statement["Principal"] == {"AWS": [f"arn:aws:iam::{PROD}:root"]}
    assert "sagemaker:DescribeModelPackage" in statement["Action"]
    assert not {"sagemaker:UpdateModelPackage", "sagemaker:CreateModelPackage", "sagemaker:DeleteModelPackage"} & set(
        statement["Action"]
    )
    group_arn = f"arn:aws:sagemaker:{REGION}:{HUB}:model-package-group/{GROUP}"
    assert statement["Resource"] == [group_arn, group_arn.replace("-group/", "/") + "/*"]


def test_an_image_of_the_account_is_copied_and_one_of_aws_stays(
    cloud: Cloud, function: Function, approved: dict[str, Any]
) -> None:
    (digest,) = [digest for registry, _, digest in cloud.images if registry == DEV]
    function.invoke(approved)
    first, second = cloud.copies[0]["InferenceSpecification"]["Containers"]
    assert first["Image"] == f"{HUB}.dkr.ecr.{REGION}.amazonaws.com/ml-platform/models@{digest}"
    assert second["Image"] == model()["InferenceSpecification"]["Containers"][1]["Image"]


def test_a_version_number_that_is_used_again_after_its_group_was_deleted_is_another_model(
    cloud: Cloud, function: Function, approved: dict[str, Any]
) -> None:
    function.invoke(approved)
    cloud.now += 1000
    cloud.put(SOURCE, "v1/model.tar.gz", size=2222)
    function.invoke(cloud.decide(cloud.register(dict(model())), "Approved"))
    urls = [package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] for package in cloud.copies]
    sizes = {cloud.objects[BUCKET, url.removeprefix(f"s3://{BUCKET}/")].size for url in urls}
    assert sizes == {1000, 2222}


def test_a_model_that_was_replaced_after_its_registration_is_refused(
    cloud: Cloud, function: Function, caplog: pytest.LogCaptureFixture
) -> None:
    put_artifacts(cloud)
    package = dict(model())
    container = package["InferenceSpecification"]["Containers"][0] | {"ModelDataETag": '"another"'}
    package["InferenceSpecification"] = {"Containers": [container]}
    event = cloud.decide(cloud.register(package), "Approved")
    assert function.invoke(event) == ["m0"]
    assert "was replaced since" in caplog.text
    assert cloud.copies == []


def test_a_model_whose_etag_is_that_of_the_registration_is_copied_and_the_etag_left_to_sagemaker(
    cloud: Cloud, function: Function
) -> None:
    put_artifacts(cloud)
    package = dict(model())
    etag = cloud.objects[SOURCE, "v1/model.tar.gz"].etag.strip('"')
    container = package["InferenceSpecification"]["Containers"][0] | {"ModelDataETag": etag}
    package["InferenceSpecification"] = {"Containers": [container]}
    assert function.invoke(cloud.decide(cloud.register(package), "Approved")) == []
    assert "ModelDataETag" not in cloud.copies[0]["InferenceSpecification"]["Containers"][0]


def test_a_missing_artifact_is_named_and_nothing_is_registered(
    cloud: Cloud, function: Function, approved: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    del cloud.objects[SOURCE, "v1/bias.json"]
    assert function.invoke(approved) == ["m0"]
    assert f"s3://{SOURCE}/v1/bias.json is named by the package and does not exist" in caplog.text
    assert cloud.copies == []


def test_texts_that_look_like_places_do_not_stop_a_promotion(cloud: Cloud, function: Function) -> None:
    put_artifacts(cloud)
    metadata = {"note": f"s3://{SOURCE}/gone", "elsewhere": "s3://somebody-elses/place"}
    event = cloud.decide(cloud.register(dict(model(CustomerMetadataProperties=metadata))), "Approved")
    assert function.invoke(event) == []
    kept = cloud.copies[0]["CustomerMetadataProperties"]
    assert {key: kept[key] for key in metadata} == metadata


@pytest.mark.parametrize("hidden", [True, False])
def test_a_package_with_a_key_of_its_own_is_refused_whether_or_not_its_description_can_be_read(
    cloud: Cloud, function: Function, caplog: pytest.LogCaptureFixture, *, hidden: bool
) -> None:
    put_artifacts(cloud)
    package = dict(model(SecurityConfig={"KmsKeyId": f"arn:aws:kms:{REGION}:{DEV}:key/dev"}))
    cloud.hides_encrypted_packages = hidden
    assert function.invoke(cloud.decide(cloud.register(package), "Approved")) == ["m0"]
    assert "Register the model without SecurityConfig" in caplog.text
    assert not cloud.groups


def test_fifty_entries_of_metadata_all_survive(cloud: Cloud, function: Function) -> None:
    put_artifacts(cloud)
    metadata = {f"k{number}": "v" for number in range(50)}
    function.invoke(cloud.decide(cloud.register(dict(model(CustomerMetadataProperties=metadata))), "Approved"))
    assert cloud.of("sagemaker:CreateModelPackage")[0]["CustomerMetadataProperties"] == metadata


def test_the_longest_names_fit() -> None:
    group = "a" * 32 + "-p-" + "b" * 14
    arn = packages.PackageArn.parse(f"arn:aws:sagemaker:{REGION}:{DEV}:model-package/{group}/1")
    assert arn
    assert arn.bucket == f"mlp-p-{'b' * 14}-{DEV}-{REGION}"
    assert len(packages.hub_group(group, DEV)) <= 63


def test_long_places_stay_apart_and_fit_into_metadata() -> None:
    folder = f"{'g' * 62}/12-20261120T101500Z"
    places = [contents.Location(bucket=SOURCE, key=f"{stem * 300}/model.tar.gz") for stem in ("x", "y", "z")]
    targets = {contents.target_of(place, bucket=BUCKET, folder=folder).uri for place in places}
    assert len(targets) == len(places)
    assert max(map(len, targets)) <= 256
    assert all(uri.endswith("/model.tar.gz") for uri in targets)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("s3://bucket/a/b", ("bucket", "a/b")),
        ("https://bucket.s3.eu-west-1.amazonaws.com/a%20b", ("bucket", "a b")),
        ("https://s3.eu-west-1.amazonaws.com/bucket/a/b", ("bucket", "a/b")),
        ("https://s3.cn-north-1.amazonaws.com.cn/bucket/a", ("bucket", "a")),
        ("https://example.com/bucket/a", None),
        ("s3://bucket", None),
        ("see s3://bucket/a", None),
    ],
)
def test_places_are_read_in_every_form_that_sagemaker_takes(text: str, place: tuple[str, str] | None) -> None:
    found = contents.Location.parse(text)
    assert (found and (found.bucket, found.key)) == place


def test_a_field_that_sagemaker_gets_later_is_carried_once_botocore_knows_it() -> None:
    known = DenormalizedStructureBuilder().with_members({"Task": {"type": "string"}}).build_model()
    later = (
        DenormalizedStructureBuilder()
        .with_members(
            {
                "Task": {"type": "string"},
                "Provenance": {"type": "structure", "members": {"Signature": {"type": "string"}}},
            }
        )
        .build_model()
    )
    package = {"Task": "OTHER", "Provenance": {"Signature": "x", "SignedAt": 1}, "ModelPackageArn": "arn"}
    assert contents.carried(package, known) == {"Task": "OTHER"}
    assert contents.carried(package, later) == {"Task": "OTHER", "Provenance": {"Signature": "x"}}


def test_an_account_cannot_speak_for_another_one(
    cloud: Cloud, function: Function, approved: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert function.invoke(approved | {"account": PROD}) == ["m0"]
    assert "no account speaks for another one" in caplog.text
    assert cloud.calls == [("sqs:ChangeMessageVisibility", cloud.put_off[0])]


def test_packages_without_a_group_and_packages_that_are_gone_are_left_alone(cloud: Cloud, function: Function) -> None:
    put_artifacts(cloud)
    arn = cloud.register(dict(model()))
    event = cloud.decide(arn, "Approved")
    del cloud.packages[arn]
    single = event | {"detail": event["detail"] | {"ModelPackageArn": arn.replace("churn-p-1/1", "single")}}
    assert function.invoke(event, single) == []
    assert cloud.copies == []


def test_a_package_that_nobody_approved_is_not_copied(cloud: Cloud, function: Function) -> None:
    put_artifacts(cloud)
    assert function.invoke(cloud.event(cloud.register(dict(model())))) == []
    assert cloud.copies == []
    assert cloud.verdicts == []


def test_the_numbers_of_calls_in_the_documentation_are_true(cloud: Cloud, function: Function) -> None:
    page = " ".join(Path("docs/promotion.md").read_text(encoding="utf-8").split())
    text = page.split("## Cost of a promotion in calls")[1]
    first, later, five, duplicate, decision, noted = (
        int(re.search(pattern, text, re.DOTALL)[1])  # type: ignore[index]
        for pattern in (
            r"(\d+) calls for the first package",
            r"and (\d+) for each later one",
            r"takes (\d+) calls as the first",
            r"duplicate costs (\d+)",
            r"a later decision (\d+)",
            r"officer (\d+)\.",
        )
    )

    def calls(event: dict[str, Any]) -> int:
        before = len(cloud.calls)
        assert function.invoke(event) == []
        return len(cloud.calls) - before

    def approved(version: int, files: int, group: str = "churn-p-1") -> dict[str, Any]:
        image = {"Image": f"141502667606.dkr.ecr.{REGION}.amazonaws.com/xgboost:3"}
        keys = [f"{group}/{version}/{number}" for number in range(files)]
        for key in keys:
            cloud.put(SOURCE, key)
        containers = [{**image, "ModelDataUrl": f"s3://{SOURCE}/{key}"} for key in keys] or [image]
        package = {"ModelPackageGroupName": group, "ModelPackageVersion": version}
        return cloud.decide(
            cloud.register({**package, "InferenceSpecification": {"Containers": containers}}), "Approved"
        )

    event = approved(1, 0)
    assert (calls(event), calls(approved(2, 0)), calls(approved(1, 5, "fraud-p-1"))) == (first, later, five)
    assert calls(event) == duplicate
    assert calls(cloud.decide(event["detail"]["ModelPackageArn"], "Rejected")) == decision
    copy = cloud.copies[0]["ModelPackageArn"]
    assert calls(cloud.decide(copy, "Approved", who="engineer")) == noted
    assert calls(cloud.answer(copy, "Succeeded")) == noted
