"""Lists of resources that are little more than records: filters, orders and pages are those of botocore's models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import NINE

if TYPE_CHECKING:
    from aws_emulator.tests.harness import AwsClient, Cloud

pytestmark = pytest.mark.rehearsal

GROUPS = ("listed-b", "listed-a", "other-c")


@pytest.fixture(scope="module")
def sagemaker(cloud: Cloud) -> AwsClient:
    """A client of an account with three groups, in the order of their creation."""
    client = cloud.client("sagemaker", NINE[0])
    for name in GROUPS:
        client.create_model_package_group(ModelPackageGroupName=name, Tags=[{"Key": "team", "Value": name}])
    return client


def names(sagemaker: AwsClient, **request: object) -> list[str]:
    found = sagemaker.list_model_package_groups(**request)["ModelPackageGroupSummaryList"]
    return [group["ModelPackageGroupName"] for group in found]


def test_a_list_has_the_order_that_is_asked_for(sagemaker: AwsClient) -> None:
    assert names(sagemaker) == list(GROUPS)
    assert names(sagemaker, SortBy="Name") == sorted(GROUPS)
    assert names(sagemaker, SortBy="CreationTime", SortOrder="Descending") == list(reversed(GROUPS))


def test_a_list_has_what_passes_its_filters(sagemaker: AwsClient) -> None:
    created = sagemaker.describe_model_package_group(ModelPackageGroupName="listed-a")["CreationTime"]
    assert names(sagemaker, NameContains="listed") == ["listed-b", "listed-a"]
    assert names(sagemaker, CreationTimeBefore=created, NameContains="other") == []


def test_a_list_comes_in_pages(sagemaker: AwsClient) -> None:
    first = sagemaker.list_model_package_groups(MaxResults=2)
    assert len(first["ModelPackageGroupSummaryList"]) == 2
    assert names(sagemaker, NextToken=first["NextToken"]) == ["other-c"]


def test_a_filter_that_nothing_here_knows_is_refused_and_not_ignored(sagemaker: AwsClient) -> None:
    with pytest.raises(ClientError, match="CrossAccountFilterOption is not emulated"):
        names(sagemaker, CrossAccountFilterOption="CrossAccount")


def test_an_answer_has_the_members_of_its_model_and_no_others(sagemaker: AwsClient) -> None:
    described = sagemaker.describe_model_package_group(ModelPackageGroupName="listed-a")
    expected = {"ModelPackageGroupName", "ModelPackageGroupArn", "CreationTime", "CreatedBy", "ModelPackageGroupStatus"}
    assert described.keys() - {"ResponseMetadata"} == expected


def test_tags_go_with_their_resource(sagemaker: AwsClient) -> None:
    arn = sagemaker.describe_model_package_group(ModelPackageGroupName="other-c")["ModelPackageGroupArn"]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "other-c"}]
    sagemaker.delete_model_package_group(ModelPackageGroupName="other-c")
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.list_tags(ResourceArn=arn)
