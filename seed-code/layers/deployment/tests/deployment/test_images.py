from __future__ import annotations

import pytest

from deployment import images
from deployment.errors import DeploymentError

XGBOOST = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.2-0"


def test_an_image_of_aws_is_taken_from_the_registry_of_the_stage() -> None:
    moved = images.in_region(XGBOOST, "us-east-1", registered_in="eu-west-1")
    assert moved == "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"


def test_china_has_another_domain() -> None:
    moved = images.in_region(XGBOOST, "cn-north-1", registered_in="eu-west-1")
    assert moved == "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost:3.2-0"


def test_in_its_own_region_an_image_stays_what_it_is() -> None:
    own = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/ml-platform-models@sha256:" + "a" * 64
    assert images.in_region(own, "eu-west-1", registered_in="eu-west-1") == own


def test_an_image_of_the_hub_cannot_be_served_elsewhere() -> None:
    own = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/ml-platform-models@sha256:" + "a" * 64
    with pytest.raises(DeploymentError, match=r"is in region eu-west-1.*served in us-east-1.*Deploy to eu-west-1"):
        images.in_region(own, "us-east-1", registered_in="eu-west-1")


def test_an_image_with_the_name_of_one_of_aws_is_not_taken_for_it() -> None:
    foreign = XGBOOST.replace("141502667606", "111122223333")
    with pytest.raises(DeploymentError, match="none of AWS's own images"):
        images.in_region(foreign, "us-east-1", registered_in="eu-west-1")


def test_a_region_without_the_image_is_refused() -> None:
    with pytest.raises(DeploymentError, match="served in xx-nowhere-1"):
        images.in_region(XGBOOST, "xx-nowhere-1", registered_in="eu-west-1")


def test_what_is_no_image_of_ecr_is_refused() -> None:
    with pytest.raises(DeploymentError, match="'python:3' is not in a registry of Amazon ECR"):
        images.in_region("python:3", "eu-west-1", registered_in="eu-west-1")
