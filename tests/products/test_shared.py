"""The parts that products are built from refuse what would go wrong later."""

from __future__ import annotations

import aws_cdk as cdk
import pytest

from products.shared import names, template
from products.shared.form import patterns, s3_uri
from products.shared.roles import Grant, ServiceRole
from tests.policy import Launch


def test_a_wildcard_needs_a_reason() -> None:
    stack = cdk.Stack(cdk.App(analytics_reporting=False), "Test")
    grant = Grant(sid="ReadAll", actions=["s3:GetObject"], resources=[template.bucket_arn("lake", "*")])
    with pytest.raises(ValueError, match=r"grant ReadAll: the wildcard in arn:<AWS::Partition>:s3:::lake/\* needs"):
        ServiceRole(stack, "Role", service="sagemaker", path=names.PROJECT_ROLE_PATH, purpose="Reads", grants=[grant])


def test_a_wildcard_hidden_in_a_function_needs_a_reason_too() -> None:
    stack = cdk.Stack(cdk.App(analytics_reporting=False), "Test")
    bucket = cdk.CfnParameter(stack, "Bucket").value_as_string
    objects = cdk.Fn.join("", ["arn:", cdk.Aws.PARTITION, ":s3:::", bucket, "/*"])
    grant = Grant(sid="ReadAll", actions=["s3:GetObject"], resources=[objects])
    with pytest.raises(ValueError, match=r"s3:::<Bucket>/\* needs a reason"):
        grant.findings(stack)


def test_text_without_references_and_tokens_stay_as_they_are() -> None:
    stack = cdk.Stack(cdk.App(analytics_reporting=False), "Test")
    assert stack.resolve(template.sub("plain")) == "plain"
    assert stack.resolve(template.sub(cdk.Aws.REGION)) == {"Ref": "AWS::Region"}
    assert stack.resolve(template.sub("a-${AWS::Region}")) == {"Fn::Sub": "a-${AWS::Region}"}


@pytest.mark.parametrize("depth", range(1, patterns.S3_DEPTH + 1))
def test_an_s3_address_is_taken_apart_at_every_depth(depth: int) -> None:
    stack = cdk.Stack(cdk.App(analytics_reporting=False), "Test")
    folders = "/".join(f"f{n}" for n in range(depth)) + "/"
    launch = Launch({"Parameters": {"Uri": {"Type": "String"}}, "Resources": {}}, {"Uri": f"s3://lake/{folders}"})
    uri = cdk.Fn.ref("Uri")
    assert launch.value(stack.resolve(s3_uri.bucket(uri))) == "lake"
    assert launch.value(stack.resolve(s3_uri.prefix(uri))) == folders
    assert launch.value(stack.resolve(s3_uri.bucket_and_prefix(uri))) == f"lake/{folders}"


def test_bucket_names_over_63_characters_are_refused_with_the_name() -> None:
    with pytest.raises(ValueError, match="'bbbb"):
        names.checked_bucket_name("b" * 64)


def test_an_unknown_persona_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="'boss' is unknown: use one of lead-data-scientist"):
        names.persona_role_path("boss")
