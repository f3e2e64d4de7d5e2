"""What CloudFormation asks for with the rights of its caller follows from the template."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.caller_exceptions import SPELT
from foundation.caller_permissions import bare, needs, resource_needs
from foundation.handler_permissions import SchemaError, resource_kinds


def asked(template: dict[str, Any], *, phase: str | None = None) -> set[str]:
    return {need.action for need in needs(template) if phase in (None, need.phase)}


@pytest.mark.parametrize(
    ("type_", "actions"),
    [
        ("String", set()),
        ("AWS::EC2::VPC::Id", {"ec2:DescribeVpcs"}),
        ("List<AWS::EC2::Subnet::Id>", {"ec2:DescribeSubnets"}),
        ("AWS::SSM::Parameter::Value<String>", {"ssm:GetParameters"}),
        ("AWS::SSM::Parameter::Value<List<AWS::EC2::Subnet::Id>>", {"ssm:GetParameters", "ec2:DescribeSubnets"}),
        ("AWS::SSM::Parameter::Name", {"ssm:GetParameters"}),
    ],
)
def test_typed_parameters_are_looked_up(type_: str, actions: set[str]) -> None:
    assert asked({"Parameters": {"Chosen": {"Type": type_}}, "Resources": {}}, phase="start") == actions


def test_a_parameter_type_that_nobody_knows_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"parameter Chosen.*LOOKED_UP"):
        asked({"Parameters": {"Chosen": {"Type": "AWS::EC2::Moon::Id"}}})


def test_dynamic_references_are_read() -> None:
    template = {"Outputs": {"Value": {"Value": "{{resolve:ssm:/a}}{{resolve:secretsmanager:b:SecretString:c}}"}}}
    assert asked(template) == {"ssm:GetParameters", "secretsmanager:GetSecretValue"}


def test_a_custom_resource_takes_its_function_whenever_it_is_called() -> None:
    token = {"Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:preflight"}
    template = {"Resources": {"Check": {"Type": "Custom::Preflight", "Properties": {"ServiceToken": token}}}}
    assert [(n.action, n.phase, n.on) for n in needs(template)] == [
        ("lambda:InvokeFunction", phase, token) for phase in ("create", "update", "delete")
    ]


@pytest.mark.parametrize(
    ("connection", "prefixes"),
    [
        ({"Ref": "ConnectionArn"}, {"codeconnections", "codestar-connections"}),
        ("arn:aws:codeconnections:eu-west-1:111122223333:connection/c", {"codeconnections"}),
        ("arn:aws:codestar-connections:eu-west-1:111122223333:connection/c", {"codestar-connections"}),
    ],
)
def test_a_connection_is_passed_under_the_prefix_of_its_arn(connection: object, prefixes: set[str]) -> None:
    properties = {"Stages": [{"Actions": [{"Configuration": {"ConnectionArn": connection}}]}]}
    found = resource_needs("Pipeline", "AWS::CodePipeline::Pipeline", properties, "create")
    assert {n.action for n in found if n.on == connection} == {f"{prefix}:PassConnection" for prefix in prefixes}


def test_a_template_by_url_is_summarised_on_no_resource_and_read() -> None:
    properties = {"TemplateURL": "https://bucket.s3.amazonaws.com/template.json"}
    found = {n.action: n.on for n in resource_needs("Baseline", "AWS::CloudFormation::StackSet", properties, "create")}
    assert found["cloudformation:GetTemplateSummary"] == "*"
    assert found["s3:GetObject"] == properties["TemplateURL"]
    assert found["cloudformation:CreateStackSet"] is None


def test_tags_are_part_of_making_a_resource() -> None:
    target = "AWS::ApplicationAutoScaling::ScalableTarget"
    assert "application-autoscaling:TagResource" in asked(bare([target]), phase="create")
    assert "application-autoscaling:UntagResource" not in asked(bare([target]), phase="create")
    assert "application-autoscaling:UntagResource" in asked(bare([target]), phase="update")


def test_an_option_is_asked_for_with_its_property_only() -> None:
    def vpc(properties: dict[str, Any]) -> set[str]:
        found = resource_needs("Function", "AWS::Lambda::Function", properties, "create")
        return {n.action for n in found if n.action.startswith("ec2:")}

    assert vpc({}) == set()
    assert vpc({"VpcConfig": {"SubnetIds": ["subnet-1"]}}) == {
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    }


def test_taking_a_boundary_off_is_asked_for() -> None:
    def update(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
        return {n.action for n in resource_needs("Role", "AWS::IAM::Role", after, "update", before)}

    bounded = {"PermissionsBoundary": "arn:aws:iam::111122223333:policy/boundary"}
    removal = "iam:DeleteRolePermissionsBoundary"
    assert removal in update(bounded, {})
    assert removal not in update(bounded, bounded)
    assert removal not in update({}, bounded)


def test_spellings_of_schemas_become_actions_of_iam() -> None:
    assert [a for a in SPELT if resource_kinds(a) is not None] == []
    assert [a for a in SPELT.values() if resource_kinds(a) is None] == []
