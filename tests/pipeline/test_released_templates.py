"""Every template that is released in this repository works in every account; nothing is synthesised here."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from pipeline.verification import foreign_literals, problems_of_catalog
from products.releases import TEMPLATE_MAX_BYTES, load_catalog
from tests.pipeline.product_repository import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATES = sorted(ROOT.glob("products/*/releases/*/template.json"))
each_template = pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parts[-4]}-{path.parts[-2]}")


@each_template
def test_a_released_template_is_small_enough_for_cloudformation(path: Path) -> None:
    assert path.stat().st_size <= TEMPLATE_MAX_BYTES


@each_template
def test_a_released_template_knows_no_account_region_organisation_or_bucket(path: Path) -> None:
    assert list(foreign_literals(json.loads(path.read_bytes()))) == []


@each_template
def test_a_released_template_holds_no_literal_that_looks_like_an_account_or_partition(path: Path) -> None:
    # A second, cruder look at the text itself, which does not depend on how the check above walks a template.
    text = re.sub(r"[0-9a-f]{64}", "", path.read_text(encoding="utf-8"))
    assert re.findall(r"(?<!\w)\d{12}(?!\w)", text) == []
    assert "arn:aws:" not in text
    assert re.findall(r"(?<!\w)(?:us|eu|ap|ca|sa|me|af|il|mx|cn)-[a-z]+-\d(?!\w)", text) == []


def test_the_releases_of_this_repository_are_as_they_were_made() -> None:
    assert list(problems_of_catalog(load_catalog(ROOT))) == []


def template(**properties: object) -> dict[str, object]:
    return {"Resources": {"R": {"Type": "T", "Properties": properties}}}


@pytest.mark.parametrize(
    ("properties", "found"),
    [
        ({"Owner": "111122223333"}, "the account id '111122223333'"),
        ({"Arn": {"Fn::Sub": "arn:${AWS::Partition}:iam::111122223333:role/x"}}, "the account id '111122223333'"),
        ({"Arn": {"Fn::Join": [":", ["arn", "aws", "s3", "x"]]}}, "the partition 'arn:aws:'"),
        ({"Arn": "arn:aws-cn:sns:x"}, "the partition 'arn:aws-cn:'"),
        ({"Region": "ap-southeast-2"}, "the region 'ap-southeast-2'"),
        ({"us-gov-west-1": "x"}, "the region 'us-gov-west-1'"),
        ({"Path": "o-exampleorgid/r-exmp/"}, "the organisation id 'o-exampleorgid'"),
        ({"Ou": ["ou-exmp-workloads1"]}, "the organisational unit 'ou-exmp-workloads1'"),
        ({"Version": "0.0.0-unreleased"}, "the placeholder version"),
        ({"BucketName": "our-models"}, "the bucket 'our-models'"),
        ({"Log": {"DestinationBucketName": "our-logs"}}, "the bucket 'our-logs'"),
        ({"Uri": "s3://our-models/x"}, "the bucket 'our-models'"),
        ({"Arn": {"Fn::Sub": "arn:${AWS::Partition}:s3:::our-models/*"}}, "the bucket 'our-models'"),
    ],
)
def test_a_literal_of_one_place_is_found_wherever_it_hides(properties: dict[str, object], found: str) -> None:
    sentences = list(foreign_literals(template(**properties)))
    assert len(sentences) == 1
    assert found in sentences[0]


@pytest.mark.parametrize(
    "properties",
    [
        {"Bucket": {"Ref": "Bucket"}},
        {"BucketName": {"Fn::Sub": "mlp-${Id}-${AWS::AccountId}-${AWS::Region}"}},
        {"AssetBucket": "{{resolve:ssm:/ml-platform/v1/artifact-bucket}}"},
        {"Resource": {"Fn::Sub": "arn:${AWS::Partition}:s3:::mlp-${Id}-${AWS::AccountId}/*"}},
        {"Resource": {"Fn::Sub": "arn:${AWS::Partition}:s3:::${Name}/*"}},
        {"AssetKey": f"assets/{'1234567890ab' * 5}1234.zip"},
        {"AllowedPattern": "^s3://[a-z0-9.-]{3,63}/", "Description": "e.g. s3://sales-lake/churn/"},
        {"Name": "auto-something-long"},
    ],
)
def test_what_is_built_from_parameters_is_no_literal_of_one_place(properties: dict[str, object]) -> None:
    assert list(foreign_literals(template(**properties))) == []
