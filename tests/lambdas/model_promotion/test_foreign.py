"""Attacks on the promotion: packages of one project that name what belongs to somebody else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from lambdas.model_promotion import contents, packages
from products.shared import names
from tests.lambdas.model_promotion.cloud import BUCKET, DEV, HUB, IMAGES, PROD, REGION, Cloud, model, put_artifacts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.model import Shape

    from tests.lambdas.model_promotion.conftest import Function

OWN = f"mlp-p-1-{DEV}-{REGION}"
FOREIGN = {
    "another project": f"s3://mlp-p-2-{DEV}-{REGION}/model.tar.gz",
    "a project whose id begins alike": f"s3://mlp-p-11-{DEV}-{REGION}/model.tar.gz",
    "the same id in another account": f"s3://mlp-p-1-{PROD}-{REGION}/model.tar.gz",
    "the same id in the hub": f"s3://mlp-p-1-{HUB}-{REGION}/model.tar.gz",
    "the same id in another region": f"s3://mlp-p-1-{DEV}-us-east-1/model.tar.gz",
    "a domain": f"s3://mlp-d-team-0123abcd-{DEV}-{REGION}/model.tar.gz",
    "the registry": f"s3://{BUCKET}/packages/churn-p-2-{DEV}/1-20260101T000000Z/model.tar.gz",
    "the records of the promotion": f"s3://{BUCKET}/promotions/churn-p-1-{DEV}/1-20260101T000000Z.json",
    "the releases": f"s3://{names.artifact_bucket(HUB, REGION)}/products/train-s3/1.0.0/template.json",
    "the audit trail": f"s3://{names.audit_bucket(HUB, REGION)}/decisions/year=2026/month=01/day=01/1.json",
    "another style": f"https://s3.{REGION}.amazonaws.com/mlp-p-2-{DEV}-{REGION}/model.tar.gz",
}
UNREADABLE = {
    "a style that is not read": f"https://{OWN}.s3.dualstack.{REGION}.amazonaws.com/model.tar.gz",
    "an access point": f"arn:aws:s3:{REGION}:{DEV}:accesspoint/mlp-p-1/object/model.tar.gz",
    "no key": f"s3://{OWN}",
}
DESCRIBES = {"MetadataProperties", "ModelCard", "ModelPackageDescription", "Domain", "Task"}
"""Fields from which nothing is copied or read."""


def fields(shape: Shape, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Shape]]:
    """Yield every text of a request with the names that lead to it; of a map, one entry with the key ``samples``."""
    if shape.type_name == "structure":
        for name, member in shape.members.items():  # type: ignore[attr-defined]
            yield from fields(member, (*path, name))
    elif shape.type_name == "list":
        yield from fields(shape.member, (*path, "[]"))  # type: ignore[attr-defined]
    elif shape.type_name == "map":
        yield from fields(shape.value, (*path, "samples"))  # type: ignore[attr-defined]
    elif shape.type_name == "string" and not getattr(shape, "enum", None):
        yield path, shape


def nested(path: tuple[str, ...], text: str) -> Any:  # noqa: ANN401 (JSON)
    """Return the value that has one text, below these names."""
    if not path:
        return text
    return [nested(path[1:], text)] if path[0] == "[]" else {path[0]: nested(path[1:], text)}


CREATE: Any = (
    botocore.session.get_session().get_service_model("sagemaker").operation_model("CreateModelPackage").input_shape
)
TEXTS = {
    ".".join(path): path
    for path, _ in fields(CREATE)
    if path[0] not in DESCRIBES and OWN in json.dumps(contents.carried(nested(path, f"s3://{OWN}/x"), CREATE))
}
"""Everything in which a request may name a place."""

PLACES = {name: path for name, path in TEXTS.items() if path[-1].endswith(("Uri", "Url", "samples"))}


def refusal(cloud: Cloud, function: Function, package: dict[str, Any], log: pytest.LogCaptureFixture) -> str:
    """Approve a package whose promotion must be refused with nothing read, copied or made; return what was logged."""
    event = cloud.decide(
        cloud.register({"ModelPackageGroupName": "churn-p-1", "ModelPackageVersion": 1, **package}), "Approved"
    )
    cloud.calls.clear()
    log.clear()
    assert function.invoke(event) == ["m0"]
    assert [name for name, _ in cloud.calls] == [
        "sagemaker:DescribeModelPackage",
        "s3:GetObject",  # the record of this package, which does not exist
        "sqs:ChangeMessageVisibility",
    ]
    return log.text


def test_the_fields_that_name_places_are_known() -> None:
    assert {
        "InferenceSpecification.Containers.[].ModelDataUrl",
        "InferenceSpecification.Containers.[].ModelDataSource.S3DataSource.S3Uri",
        "InferenceSpecification.Containers.[].ModelDataSource.S3DataSource.ManifestS3Uri",
        "AdditionalInferenceSpecifications.[].Containers.[].ModelDataUrl",
        "SourceAlgorithmSpecification.SourceAlgorithms.[].ModelDataUrl",
        "ModelMetrics.Bias.Report.S3Uri",
        "DriftCheckBaselines.ModelDataQuality.Constraints.S3Uri",
        "SamplePayloadUrl",
        "CustomerMetadataProperties.samples",
    } <= set(PLACES)
    assert len(PLACES) > 25


@pytest.mark.parametrize("place", FOREIGN)
def test_nothing_is_copied_for_a_package_that_names_what_is_not_its_projects(
    cloud: Cloud, function: Function, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    for name, path in TEXTS.items():
        if path[-1] == "Image":
            continue
        text = refusal(cloud, function, nested(path, FOREIGN[place]), caplog)
        assert f"{name.replace('.[]', '')} {FOREIGN[place]}" in text


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_place_that_cannot_be_read_counts_as_foreign(
    cloud: Cloud, function: Function, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    for name, path in PLACES.items():
        if name != "SourceUri":  # the ARN of a model to clone is left out
            assert UNREADABLE[text] in refusal(cloud, function, nested(path, UNREADABLE[text]), caplog)


@pytest.mark.parametrize(
    "image",
    [
        f"{DEV}.dkr.ecr.{REGION}.amazonaws.com/mlp-p-2-scoring:1",
        f"{DEV}.dkr.ecr.{REGION}.amazonaws.com/mlp-p-11:1",
        f"{DEV}.dkr.ecr.{REGION}.amazonaws.com/scoring@sha256:{'a' * 64}",
        f"{DEV}.dkr-ecr.{REGION}.on.aws/scoring:1",
        f"{HUB}.dkr.ecr.{REGION}.amazonaws.com/ml-platform-models@sha256:{'a' * 64}",
        f"{HUB}.dkr.ecr.{REGION}.amazonaws.com/mlp-p-1:1",
    ],
)
def test_images_of_other_projects_and_of_the_hub_are_refused(
    cloud: Cloud, function: Function, caplog: pytest.LogCaptureFixture, image: str
) -> None:
    for path in (path for path in TEXTS.values() if path[-1] == "Image"):
        assert f"Image {image}" in refusal(cloud, function, nested(path, image), caplog)


@pytest.mark.parametrize("repository", ["mlp-p-1", IMAGES, "mlp-p-1/team/scoring"])
def test_an_image_in_a_repository_of_the_project_is_copied(cloud: Cloud, function: Function, repository: str) -> None:
    cloud.push(repository, "1", [b"configuration", b"layer"])
    image = {"Image": f"{DEV}.dkr.ecr.{REGION}.amazonaws.com/{repository}:1"}
    package = {"ModelPackageGroupName": "churn-p-1", "ModelPackageVersion": 1}
    event = cloud.decide(cloud.register({**package, "InferenceSpecification": {"Containers": [image]}}), "Approved")
    assert function.invoke(event) == []
    assert len(cloud.copies) == 1


@pytest.mark.parametrize("group", ["churn", "p-1", "churn-p", "churn-p-1-2", "churn-p-" + "a" * 15])
def test_a_package_of_a_group_that_is_no_projects_is_not_promoted(
    cloud: Cloud, function: Function, caplog: pytest.LogCaptureFixture, group: str
) -> None:
    text = refusal(cloud, function, {**model(), "ModelPackageGroupName": group}, caplog)
    assert f"{group!r}, which is not the group of a project" in text


def test_the_project_follows_from_the_group_as_the_products_name_it() -> None:
    for name, id_ in (("churn", "p-1"), ("churn-p-2", "p-1"), ("p-2-x", "p-abc123"), ("a", "p-" + "z" * 14)):
        values = {"SageMakerProjectName": name, "SageMakerProjectId": id_, "AWS::AccountId": DEV, "AWS::Region": REGION}
        group, bucket = names.PROJECT_PIPELINE, names.PROJECT_BUCKET
        for key, value in values.items():
            group, bucket = (text.replace(f"${{{key}}}", value) for text in (group, bucket))
        arn = packages.PackageArn.parse(f"arn:aws:sagemaker:{REGION}:{DEV}:model-package/{group}/1")
        assert arn
        assert arn.bucket == bucket


def test_what_development_wrote_under_the_names_of_the_hub_is_replaced(cloud: Cloud, function: Function) -> None:
    put_artifacts(cloud)
    forged = {"source_digest": "sha256:0", "source_package": "arn:of:another", "source_decided_by": "the officer"}
    arn = cloud.register(dict(model(CustomerMetadataProperties={**forged, "metric": "auc"})))
    assert function.invoke(cloud.decide(arn, "Approved")) == []
    kept = cloud.copies[0]["CustomerMetadataProperties"]
    assert not {key for key in forged if kept[key] == forged[key]}
    assert (kept["source_package"], kept["metric"]) == (arn, "auc")
