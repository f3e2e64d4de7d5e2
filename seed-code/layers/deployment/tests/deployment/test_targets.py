from __future__ import annotations

import datetime
from typing import Any

import pytest

from deployment import targets
from deployment.errors import DeploymentError
from deployment.settings import Build

from .conftest import Aws, RefusedError


class Sts:
    """Gives sessions that are numbered and last for some minutes."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self.given: list[dict[str, Any]] = []

    def AssumeRole(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.given.append(given)
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=self.minutes)
        number = f"{len(self.given):020d}"
        return {
            "Credentials": {
                "AccessKeyId": number,
                "SecretAccessKey": "secret",
                "SessionToken": "token",
                "Expiration": end,
            }
        }


def test_a_stage_is_entered_with_its_tag_and_that_of_the_group_and_no_other(build: Build, aws: Aws) -> None:
    sts = Sts(60)
    aws.answers["sts", "AssumeRole"] = sts.AssumeRole
    target = targets.assume(build, "prod", hub=aws)
    (request,) = sts.given
    assert request["RoleArn"] == f"arn:aws:iam::{build.places['prod'].account}:role/ml-platform-deploy"
    assert request["Tags"] == [
        {"Key": "ml-platform-deployment", "Value": f"{build.project_id}-prod"},
        {"Key": "ml-platform-group", "Value": build.model_package_group},
    ]
    assert request["DurationSeconds"] == 3600
    assert len(request["RoleSessionName"]) <= 64
    assert target.session.get_credentials().access_key == "1".zfill(20)
    assert target.client("s3").meta.region_name == build.places["prod"].region


def test_a_session_that_is_about_to_end_is_renewed(build: Build, aws: Aws) -> None:
    sts = Sts(5)  # botocore renews at the latest ten minutes before the end
    aws.answers["sts", "AssumeRole"] = sts.AssumeRole
    target = targets.assume(build, "test", hub=aws)
    sts.minutes = 60
    credentials = target.session.get_credentials()
    assert credentials.get_frozen_credentials().access_key == "2".zfill(20)
    assert credentials.get_frozen_credentials().access_key == "2".zfill(20)
    assert sts.given[0] == sts.given[1]


def test_a_role_that_cannot_be_assumed_is_explained(build: Build, aws: Aws) -> None:
    def refuse(given: dict[str, Any]) -> dict[str, Any]:
        raise RefusedError("AccessDenied", "is not authorized to perform: sts:AssumeRole", 403)

    aws.answers["sts", "AssumeRole"] = refuse
    account = build.places["prod"].account
    with pytest.raises(DeploymentError, match=rf"Stage prod: role ml-platform-deploy of account {account} cannot be"):
        targets.assume(build, "prod", hub=aws)
