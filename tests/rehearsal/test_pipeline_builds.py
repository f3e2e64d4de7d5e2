"""The pipeline's builds act as their own roles in the rehearsal: what these lack fails it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from products.shared import names
from rehearsal import pipeline_builds
from rehearsal.organization import HUB, Credentials, RehearsalError
from tests.hub import hub_assembly

if TYPE_CHECKING:
    from rehearsal.world import World


def test_only_the_builds_and_what_they_refer_to_are_deployed() -> None:
    part = pipeline_builds.builds_of(hub_assembly().templates[names.PIPELINE_STACK])["Resources"]
    types = [resource["Type"] for resource in part.values()]
    assert {type_: types.count(type_) for type_ in types} == {
        "AWS::CodeBuild::Project": 2,
        "AWS::CodeConnections::Connection": 1,
        "AWS::IAM::Policy": 2,
        "AWS::IAM::Role": 2,
        "AWS::KMS::Key": 1,
        "AWS::S3::Bucket": 1,
    }


@pytest.mark.rehearsal
@pytest.mark.parametrize(
    ("command", "action", "refused"),
    [
        ("upload", "s3:ListBucket", "ListObjectsV2"),
        ("upload", "s3:GetObject", "HeadObject"),
        ("upload", "logs:CreateLogStream", "CreateLogStream"),
        ("check-published", "servicecatalog:ListPortfolios", "ListPortfolios"),
        ("check-published", "servicecatalog:DescribePortfolioShares", "DescribePortfolioShares"),
        ("check-published", "servicecatalog:ListProvisioningArtifacts", "ListProvisioningArtifacts"),
    ],
)
def test_a_build_without_one_of_its_permissions_fails_and_says_which(
    platform: World, command: str, action: str, refused: str
) -> None:
    hub = Credentials.administrator(HUB)
    iam = platform.client("iam", hub)
    project, _ = pipeline_builds.project_of(platform.client("codebuild", hub), command)
    (found,) = platform.client("codebuild", hub).batch_get_projects(names=[project])["projects"]
    role = found["serviceRole"].rsplit("/", 1)[-1]
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    denied = {"Effect": "Deny", "Action": action, "Resource": "*"}
    narrower = {**document, "Statement": [*document["Statement"], denied]}
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(narrower))
    try:
        with pytest.raises(RehearsalError, match=rf"the build ended as FAILED[\s\S]*{refused}"):
            pipeline_builds.run(platform.organization, command)
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


@pytest.mark.rehearsal
def test_a_second_run_of_the_pipeline_uploads_nothing_and_finds_everything_published(platform: World) -> None:
    assert "Uploaded 0 objects" in pipeline_builds.run(platform.organization, "upload")
    assert "NOT as wanted" not in pipeline_builds.run(platform.organization, "check-published")
