from __future__ import annotations

from typing import Any

import pytest

from deployment import packages
from deployment.errors import DeploymentError

from .conftest import NOW, Aws, Bucket, RefusedError

GROUP = "churn-p-abc123-111122223333"
ARN = f"arn:aws:sagemaker:eu-west-1:111122223333:model-package/{GROUP}"


class Registry:
    """A group with many versions, of which SageMaker shows at most 100 at a time, in the order that is asked for."""

    def __init__(self, package: dict[str, Any], approved: list[int], versions: int = 1000) -> None:
        self._package = package
        self._approved = approved
        self._versions = range(1, versions + 1)

    def ListModelPackages(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert given["ModelPackageGroupName"] == GROUP
        assert given["SortBy"] == "CreationTime"
        shown = sorted(self._versions, reverse=given["SortOrder"] == "Descending")
        at, most = int(given.get("NextToken", 0)), given["MaxResults"]
        found = [
            {
                "ModelPackageArn": f"{ARN}/{number}",
                "CreationTime": NOW,
                "ModelPackageStatus": "Completed",
                "ModelApprovalStatus": given["ModelApprovalStatus"],
            }
            for number in shown[at : at + most]
            if number in self._approved  # a page may be empty though others follow
        ]
        more = {"NextToken": str(at + most)} if at + most < len(shown) else {}
        return {"ModelPackageSummaryList": found, **more}

    def DescribeModelPackage(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        number = int(given["ModelPackageName"].rsplit("/", 1)[-1])
        return {**self._package, "ModelPackageArn": f"{ARN}/{number}", "ModelPackageVersion": number}

    @property
    def answers(self) -> dict[Any, Any]:
        return {
            ("sagemaker", "ListModelPackages"): self.ListModelPackages,
            ("sagemaker", "DescribeModelPackage"): self.DescribeModelPackage,
        }


def test_the_newest_approved_package_is_found_among_a_thousand(aws: Aws, package: dict[str, Any]) -> None:
    aws.answers = Registry(package, approved=[3, 12, 700]).answers
    found = packages.newest_approved(aws.client("sagemaker"), GROUP)
    assert found is not None
    assert found.version == 700
    assert len(aws.called("ListModelPackages")) == 4
    assert len(aws.called("DescribeModelPackage")) == 1


def test_an_approval_at_the_very_end_of_a_thousand_is_found(aws: Aws, package: dict[str, Any]) -> None:
    aws.answers = Registry(package, approved=[1]).answers
    found = packages.newest_approved(aws.client("sagemaker"), GROUP)
    assert found is not None
    assert found.version == 1
    assert len(aws.called("ListModelPackages")) == 10


def test_nothing_approved_is_no_error(aws: Aws, package: dict[str, Any]) -> None:
    aws.answers = Registry(package, approved=[]).answers
    assert packages.newest_approved(aws.client("sagemaker"), GROUP) is None


def test_a_group_that_does_not_exist_is_named(aws: Aws) -> None:
    def missing(given: dict[str, Any]) -> dict[str, Any]:
        raise RefusedError("ValidationException", f"Model Package Group {GROUP} does not exist.")

    aws.answers["sagemaker", "ListModelPackages"] = missing
    with pytest.raises(DeploymentError, match=rf"no model package group '{GROUP}'.*approved in development"):
        packages.newest_approved(aws.client("sagemaker"), GROUP)


def test_throttling_is_not_taken_for_a_missing_group(aws: Aws) -> None:
    def throttled(given: dict[str, Any]) -> dict[str, Any]:
        raise RefusedError("AccessDeniedException", "no")

    aws.answers["sagemaker", "ListModelPackages"] = throttled
    client = aws.client("sagemaker")
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        packages.newest_approved(client, GROUP)


def test_a_package_says_what_is_served_and_watched(package: dict[str, Any]) -> None:
    found = packages.parse(package)
    (container,) = found.containers
    assert container.compressed
    assert container.model_data is not None
    assert container.model_data.endswith("/model.tar.gz")
    assert set(found.baselines) == {
        "ModelQuality/Statistics",
        "ModelQuality/Constraints",
        "ModelDataQuality/Statistics",
        "ModelDataQuality/Constraints",
        "Explainability/Constraints",
    }
    assert found.samples is not None
    assert found.samples.endswith("/samples")
    assert found.card == package["ModelPackageGroupName"]
    assert found.digest.startswith("sha256:")
    assert found.digest != package["CustomerMetadataProperties"]["source_digest"], "which anyone may have written"


def test_a_package_without_metadata_baselines_and_samples_can_be_read(package: dict[str, Any]) -> None:
    for name in ("CustomerMetadataProperties", "DriftCheckBaselines", "SamplePayloadUrl"):
        del package[name]
    found = packages.parse(package)
    assert found.samples is None
    assert found.baselines == {}
    assert found.digest.startswith("sha256:")


def test_files_that_are_no_archive_and_https_addresses_are_understood(package: dict[str, Any]) -> None:
    (container,) = package["InferenceSpecification"]["Containers"]
    container["ModelDataUrl"] = "https://registry.s3.eu-west-1.amazonaws.com/a/model.tar.gz"
    assert packages.parse(package).containers[0].model_data == "s3://registry/a/model.tar.gz"
    source = {"S3Uri": "s3://registry/files/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container["ModelDataSource"] = {"S3DataSource": source}
    found = packages.parse(package).containers[0]
    assert (found.model_data, found.compressed) == ("s3://registry/files/", False)


def test_a_package_that_cannot_be_served_is_refused(package: dict[str, Any]) -> None:
    del package["InferenceSpecification"]
    with pytest.raises(DeploymentError, match="has no inference specification"):
        packages.parse(package)


@pytest.mark.parametrize("status", ["Rejected", "PendingManualApproval"])
def test_a_withdrawn_approval_stops_the_deployment(aws: Aws, package: dict[str, Any], status: str) -> None:
    changed = {**package, "ModelApprovalStatus": status, "ApprovalDescription": "wrong data"}
    changed["LastModifiedBy"] = {"UserProfileName": "ada"}
    aws.answers["sagemaker", "DescribeModelPackage"] = lambda given: changed
    with pytest.raises(DeploymentError, match=rf"no longer approved: it is {status} since .* by ada \(wrong data\)"):
        packages.require_approved(aws.client("sagemaker"), packages.parse(package))


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (
            "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_MLEngineer_13579bdf/ada",
            "ada (AWSReservedSSO_MLEngineer_13579bdf)",
        ),
        ("arn:aws:iam::111122223333:user/people/ada", "ada"),
        ("arn:aws:iam::111122223333:root", "root"),
    ],
)
def test_who_approved_is_named_for_people(package: dict[str, Any], arn: str, name: str) -> None:
    package["LastModifiedBy"] = {"IamIdentity": {"Arn": arn}}
    assert packages.parse(package).approved_by == name


def test_a_deleted_package_stops_the_deployment(aws: Aws, package: dict[str, Any]) -> None:
    def missing(given: dict[str, Any]) -> dict[str, Any]:
        raise RefusedError("ValidationException", f"ModelPackage {given['ModelPackageName']} does not exist.")

    aws.answers["sagemaker", "DescribeModelPackage"] = missing
    with pytest.raises(DeploymentError, match="has been deleted since this execution began"):
        packages.require_approved(aws.client("sagemaker"), packages.parse(package))


def test_a_standing_approval_lets_it_pass(aws: Aws, package: dict[str, Any]) -> None:
    aws.answers["sagemaker", "DescribeModelPackage"] = lambda given: package
    packages.require_approved(aws.client("sagemaker"), packages.parse(package))


REGISTRY = "ml-platform-registry-111122223333-ap-southeast-1"
OTHER_MODEL = f"s3://{REGISTRY}/packages/{GROUP}/6-20261101T000000Z/model.tar.gz"

CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "another archive": ("containers", {"ModelDataUrl": OTHER_MODEL}),
    "another image": ("containers", {"Image": "999999999999.dkr.ecr.eu-west-1.amazonaws.com/x:1"}),
    "another program": ("containers", {"Environment": {"SAGEMAKER_PROGRAM": "other.py"}}),
    "files instead of an archive": (
        "containers",
        {
            "ModelDataSource": {
                "S3DataSource": {"S3Uri": OTHER_MODEL, "S3DataType": "S3Prefix", "CompressionType": "None"}
            }
        },
    ),
}
"""What UpdateModelPackage takes together with an approval, and what differs then."""


@pytest.fixture
def promoted(aws: Aws, package: dict[str, Any]) -> Bucket:
    """The registry's bucket with the record of the package."""
    store = Bucket()
    store.add(package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"], size=1000, etag='"abc"')
    store.promote(package)
    aws.answers = store.answers
    return store


def compared(aws: Aws, package: dict[str, Any]) -> packages.ModelPackage:
    return packages.as_promoted(aws.client("s3"), packages.parse(package), bucket=REGISTRY, account="111122223333")


@pytest.mark.usefixtures("promoted")
def test_a_package_as_promoted_has_the_digest_and_the_files_of_the_record(aws: Aws, package: dict[str, Any]) -> None:
    package["CustomerMetadataProperties"]["source_digest"] = "sha256:forged"
    found = compared(aws, package)
    assert found.digest == "sha256:" + "0" * 64
    assert found.objects == {str(found.containers[0].model_data): (1000, "abc")}


@pytest.mark.usefixtures("promoted")
@pytest.mark.parametrize("change", CHANGES)
def test_a_package_that_an_approval_changed_is_refused(aws: Aws, package: dict[str, Any], change: str) -> None:
    named, changes = CHANGES[change]
    package["InferenceSpecification"]["Containers"][0] |= changes
    with pytest.raises(DeploymentError, match=f"no longer what was promoted: {named} differ from s3://{REGISTRY}/"):
        compared(aws, package)


@pytest.mark.usefixtures("promoted")
@pytest.mark.parametrize(
    ("named", "changes"),
    [
        ("containers", {"InferenceSpecification": {"Containers": [{"Image": "1"}] * 2}}),
        ("baselines", {"DriftCheckBaselines": {}}),
        ("metrics", {"ModelMetrics": {"Bias": {"Report": {"ContentType": "a/b", "S3Uri": OTHER_MODEL}}}}),
        ("payload", {"SamplePayloadUrl": OTHER_MODEL}),
        ("samples, metadata", {"CustomerMetadataProperties": {"samples": f"s3://{REGISTRY}/packages/other/"}}),
    ],
)
def test_whatever_a_deployment_uses_has_to_be_as_promoted(
    aws: Aws, package: dict[str, Any], named: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(DeploymentError, match=f"no longer what was promoted: .*{named}"):
        compared(aws, package | changes)


def test_the_record_of_another_package_does_not_count(aws: Aws, package: dict[str, Any], promoted: Bucket) -> None:
    (record,) = promoted.records.values()
    promoted.records[REGISTRY, f"promoted/{GROUP}/8.json"] = record
    with pytest.raises(DeploymentError, match="no longer what was promoted: arn differ"):
        compared(
            aws, package | {"ModelPackageArn": package["ModelPackageArn"].replace("/7", "/8"), "ModelPackageVersion": 8}
        )


def test_a_package_without_a_record_is_refused(aws: Aws, package: dict[str, Any], promoted: Bucket) -> None:
    promoted.records.clear()
    with pytest.raises(DeploymentError, match=rf"s3://{REGISTRY}/promoted/{GROUP}/7.json cannot be read .*NoSuchKey"):
        compared(aws, package)
