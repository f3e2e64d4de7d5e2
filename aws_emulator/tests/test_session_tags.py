"""Permissions by tag: session tags, tags of roles, policy variables in policies, boundaries and trust.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html, …/reference_policies_variables.html and
…/reference_policies_condition-keys.html.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, DEV2, REGION, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

TAG = "deployment"
OWN = "${aws:PrincipalTag/deployment}"
SAME_TAG = {"StringEquals": {f"aws:RequestTag/{TAG}": OWN}}


def allow(action: str | list[str], resource: str, **condition: dict[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [*statements]})


def build_role(cloud: Cloud, name: str, value: str, *statements: dict[str, Any]) -> str:
    """Create a role of a build in one account that may act in the other one with its own tag."""
    tags = [{"Key": TAG, "Value": value}]
    may = [*statements] or [allow(["sts:AssumeRole", "sts:TagSession"], f"arn:aws:iam::{DEV2}:role/*")]
    return cloud.role(DEV, name, may, Tags=tags)


def target_role(cloud: Cloud, name: str, *statements: dict[str, Any], **options: Any) -> str:  # noqa: ANN401 (boto3)
    """Create a role of the other account that is assumed with the tag that its caller has."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{DEV}:root"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": SAME_TAG,
    }
    iam = cloud.client("iam", DEV2)
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust), **options)["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(*statements))
    return arn


def assumed(cloud: Cloud, source: str, target: str, value: str | None, **more: Any) -> dict[str, str]:  # noqa: ANN401
    """Return credentials of a role that another one assumes with a session tag."""
    tags = [{"Key": TAG, "Value": value}] if value else []
    sts = cloud.client("sts", source.split(":")[4], cloud.assume(source))
    credentials: dict[str, str] = sts.assume_role(RoleArn=target, RoleSessionName="session", Tags=tags, **more)[
        "Credentials"
    ]
    return credentials


def test_a_session_has_the_tag_of_the_role_that_asks_for_it_and_no_other(cloud: Cloud) -> None:
    source = build_role(cloud, "build-a", "a-test")
    target = target_role(cloud, "deploy-1", allow("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{DEV2}:parameter/{OWN}/*"))
    for name in ("/a-test/x", "/b-test/x"):
        cloud.client("ssm", DEV2).put_parameter(Name=name, Value="1", Type="String")

    ssm = cloud.client("ssm", DEV2, assumed(cloud, source, target, "a-test"))

    assert ssm.get_parameter(Name="/a-test/x")["Parameter"]["Value"] == "1"
    with pytest.raises(ClientError, match="not authorized to perform: ssm:GetParameter"):
        ssm.get_parameter(Name="/b-test/x")
    for value in ("b-test", None):
        with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole"):
            assumed(cloud, source, target, value)


def test_passing_tags_needs_a_permission_of_its_own(cloud: Cloud) -> None:
    only_assume = allow("sts:AssumeRole", f"arn:aws:iam::{DEV2}:role/*")
    source = build_role(cloud, "build-untagging", "a-test", only_assume)
    target = target_role(cloud, "deploy-2", allow("ssm:GetParameter", "*"))

    with pytest.raises(ClientError, match="not authorized to perform: sts:TagSession"):
        assumed(cloud, source, target, "a-test")


def test_a_variable_without_a_value_makes_a_statement_say_nothing(cloud: Cloud) -> None:
    cloud.client("ssm", DEV).put_parameter(Name="/plain", Value="1", Type="String")
    everywhere = f"arn:aws:ssm:{REGION}:{DEV}:parameter/*"
    unless = {"StringNotEquals": {"aws:RequestedRegion": OWN}}
    untagged = cloud.role(
        DEV, "untagged", [allow("ssm:GetParameter", everywhere), {**allow("ssm:*", "*", **unless), "Effect": "Deny"}]
    )
    by_variable = cloud.role(DEV, "by-variable", [allow("ssm:GetParameter", everywhere.replace("*", f"{OWN}*"))])
    default = cloud.role(
        DEV, "by-default", [allow("ssm:GetParameter", everywhere.replace("*", OWN[:-1] + ", 'plain'}"))]
    )

    for role, may in ((untagged, True), (by_variable, False), (default, True)):
        ssm = cloud.client("ssm", DEV, cloud.assume(role))
        if may:
            assert ssm.get_parameter(Name="/plain")["Parameter"]["Value"] == "1"
        else:
            with pytest.raises(ClientError, match="not authorized"):
                ssm.get_parameter(Name="/plain")


def test_a_boundary_knows_the_tags_of_principal_and_resource(cloud: Cloud) -> None:
    """Roles are made, tagged and changed within one deployment only, as its boundary says."""
    same = {"StringEquals": {f"aws:ResourceTag/{TAG}": OWN}}
    limit = [
        allow("iam:CreateRole", "*", StringEquals={f"aws:RequestTag/{TAG}": OWN}),
        allow("iam:TagRole", "*", StringEquals={f"aws:RequestTag/{TAG}": OWN}),
        allow(["iam:PutRolePolicy", "iam:DeleteRole"], "*", **same),
    ]
    boundary = cloud.client("iam", DEV).create_policy(PolicyName="by-tag", PolicyDocument=document(*limit))["Policy"][
        "Arn"
    ]
    tags = [{"Key": TAG, "Value": "a"}]
    maker = cloud.role(DEV, "maker", [allow("iam:*", "*")], PermissionsBoundary=boundary, Tags=tags)
    iam = cloud.client("iam", DEV, cloud.assume(maker))
    cloud.role(DEV, "role-of-b", [], Tags=[{"Key": TAG, "Value": "b"}])
    trust = document({**allow("sts:AssumeRole", "x"), "Principal": {"Service": "sagemaker.amazonaws.com"}})
    policy = {"PolicyName": "p", "PolicyDocument": document(allow("s3:GetObject", "*"))}

    iam.create_role(RoleName="role-of-a", AssumeRolePolicyDocument=trust, Tags=tags)
    iam.put_role_policy(RoleName="role-of-a", **policy)
    attempts: list[Callable[[], object]] = [
        lambda: iam.create_role(RoleName="untagged-role", AssumeRolePolicyDocument=trust),
        lambda: iam.create_role(RoleName="of-b", AssumeRolePolicyDocument=trust, Tags=[{"Key": TAG, "Value": "b"}]),
        lambda: iam.put_role_policy(RoleName="role-of-b", **policy),
        lambda: iam.delete_role(RoleName="role-of-b"),
    ]
    for refused in attempts:
        with pytest.raises(ClientError, match="not authorized to perform: iam:"):
            refused()


def test_transitive_tags_go_on_to_the_next_session_and_others_do_not(cloud: Cloud) -> None:
    source = build_role(cloud, "build-chain", "a-test")
    may_assume = allow(["sts:AssumeRole", "sts:TagSession"], "*")
    first = target_role(cloud, "deploy-3", may_assume)
    last = cloud.role(
        DEV2, "after-deploy", [allow("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{DEV2}:parameter/{OWN}/y")]
    )
    cloud.client("ssm", DEV2).put_parameter(Name="/a-test/y", Value="1", Type="String")

    def reads(**more: Any) -> bool:  # noqa: ANN401 (boto3)
        between = assumed(cloud, source, first, "a-test", **more)
        sts = cloud.client("sts", DEV2, between)
        credentials = sts.assume_role(RoleArn=last, RoleSessionName="next")["Credentials"]
        try:
            cloud.client("ssm", DEV2, credentials).get_parameter(Name="/a-test/y")
        except ClientError as error:
            assert "not authorized" in str(error)
            return False
        return True

    assert not reads()
    assert reads(TransitiveTagKeys=[TAG])


TEMPLATE = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})


def test_a_stack_is_found_by_the_tags_that_it_was_made_with(cloud: Cloud) -> None:
    same = {"StringEquals": {f"aws:ResourceTag/{TAG}": OWN}}
    create = allow("cloudformation:CreateStack", "*", StringEquals={f"aws:RequestTag/{TAG}": OWN})
    deployer = cloud.role(
        DEV, "deployer", [create, allow("cloudformation:DeleteStack", "*", **same)], Tags=[{"Key": TAG, "Value": "a"}]
    )
    client = cloud.client("cloudformation", DEV, cloud.assume(deployer))
    for name, value in (("stack-of-a", "a"), ("stack-of-b", "b")):
        made_by = client if value == "a" else cloud.client("cloudformation", DEV)
        made_by.create_stack(StackName=name, TemplateBody=TEMPLATE, Tags=[{"Key": TAG, "Value": value}])
        cloud.settled(DEV, name)

    with pytest.raises(ClientError, match="not authorized"):
        client.create_stack(StackName="untagged", TemplateBody=TEMPLATE)
    with pytest.raises(ClientError, match="not authorized"):
        client.delete_stack(StackName="stack-of-b")
    client.delete_stack(StackName="stack-of-a")


def test_a_stack_has_a_service_role_that_its_maker_may_pass_and_that_outlives_it(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html."""
    iam = cloud.client("iam", DEV)
    trust = document({**allow("sts:AssumeRole", "x"), "Principal": {"Service": "cloudformation.amazonaws.com"}})
    service: str = iam.create_role(RoleName="execution", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    stranger = cloud.role(DEV, "not-for-cloudformation", [])
    stacks = allow("cloudformation:*", "*")
    to_cloudformation = {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}
    passing = allow("iam:PassRole", f"arn:aws:iam::{DEV}:role/*", **to_cloudformation)
    allowed = cloud.client("cloudformation", DEV, cloud.assume(cloud.role(DEV, "passes", [stacks, passing])))
    refused = cloud.client("cloudformation", DEV, cloud.assume(cloud.role(DEV, "passes-not", [stacks])))

    with pytest.raises(ClientError, match="not authorized to perform: iam:PassRole"):
        refused.create_stack(StackName="with-role", TemplateBody=TEMPLATE, RoleARN=service)
    with pytest.raises(ClientError, match="is invalid or cannot be assumed"):
        allowed.create_stack(StackName="with-role", TemplateBody=TEMPLATE, RoleARN=stranger)
    allowed.create_stack(StackName="with-role", TemplateBody=TEMPLATE, RoleARN=service)
    cloud.settled(DEV, "with-role")
    iam.delete_role(RoleName="execution")
    with pytest.raises(ClientError, match="is invalid or cannot be assumed"):
        allowed.delete_stack(StackName="with-role")


def test_the_tags_of_a_build_role_are_those_of_its_session(cloud: Cloud) -> None:
    logs = allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], "*")
    arn = build_role(
        cloud, "tagged-build", "c-test", logs, allow("ssm:GetParameter", f"arn:aws:ssm:*:*:parameter/{OWN}/*")
    )
    for name in ("/c-test/x", "/d-test/x"):
        cloud.client("ssm", DEV).put_parameter(Name=name, Value="found", Type="String")
    codebuild = cloud.client("codebuild", DEV)

    def status(parameter: str) -> str:
        name = f"reads{parameter.replace('/', '-')}"
        text = f"version: 0.2\nphases: {{build: {{commands: ['aws ssm get-parameter --name {parameter}']}}}}"
        codebuild.create_project(
            name=name,
            serviceRole=arn,
            source={"type": "NO_SOURCE", "buildspec": text},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
        )
        build = codebuild.start_build(projectName=name)["build"]["id"]

        def look() -> str | None:
            (found,) = codebuild.batch_get_builds(ids=[build])["builds"]
            return str(found["buildStatus"]) if found["buildComplete"] else None

        return eventually(look)

    assert status("/c-test/x") == "SUCCEEDED"
    assert status("/d-test/x") == "FAILED"
