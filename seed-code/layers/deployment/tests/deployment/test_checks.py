from __future__ import annotations

import copy
from typing import Any

import pytest

from deployment import checks, common_steps, copying, packages, render
from deployment.context import ROOT, Context
from deployment.render import Rendered

REPLICA = {"ReplicaBucket": "lake", "ReplicaKeyArn": "arn:aws:kms:eu-west-1:444455556666:key/1"}


@pytest.fixture
def base(context: Context, package: dict[str, Any]) -> Rendered:
    """The base template of the test stage with everything in it."""
    located = copying.located(packages.parse(package), context.build.bucket("test"))
    values = {
        **common_steps.common_parameters(context, "test", located),
        "UseVpc": "true",
        "WithApi": "true",
        **REPLICA,
    }
    return render.render("base", render.load(ROOT / "templates" / "base.yaml"), values, [])


def changed(base: Rendered, resource: str, properties: dict[str, Any]) -> Rendered:
    template = copy.deepcopy(dict(base.template))
    template["Resources"][resource]["Properties"] |= properties
    return Rendered(name="base", template=template, parameters=base.parameters)


def added(base: Rendered, entry: dict[str, Any]) -> Rendered:
    template = copy.deepcopy(dict(base.template))
    template["Resources"]["Added"] = entry
    return Rendered(name="endpoint", template=template, parameters=base.parameters)


def test_the_base_template_is_clean_with_the_longest_names(context: Context, base: Rendered) -> None:
    assert checks.problems(context, "test", base) == []
    assert len(base.text) <= 51_200


def test_cfn_lint_is_asked(context: Context, base: Rendered) -> None:
    found = checks.problems(context, "test", changed(base, "Bucket", {"NoSuchProperty": 1}))
    assert any("NoSuchProperty" in text and "cfn-lint E3002" in text for text in found)


def statement(**entries: Any) -> dict[str, Any]:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **entries}]}
    return {"Policies": [{"PolicyName": "a", "PolicyDocument": policy}]}


@pytest.mark.parametrize(
    ("resource", "properties", "message"),
    [
        ("EndpointRole", {"PermissionsBoundary": "arn:aws:iam::1:policy/other"}, "EndpointRole has no PermissionsB"),
        ("EndpointRole", {"Path": "/"}, "EndpointRole has the path /; roles of deployments are below /ml-platform/"),
        ("EndpointRole", {"Tags": []}, "EndpointRole lacks the tag ml-platform-deployment with p-"),
        ("EndpointRole", {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/A"]}, "EndpointRole has managed policies"),
        ("EndpointRole", statement(Action="s3:*", Resource="arn:aws:s3:::b"), "EndpointRole allows s3:*. Name the"),
        ("EndpointRole", statement(Action=["*"], Resource="arn:aws:s3:::b"), "EndpointRole allows *. Name the"),
        ("EndpointRole", statement(Action="s3:GetObject", Resource="*"), "EndpointRole allows s3:GetObject on all"),
        ("EndpointRole", statement(NotAction="iam:*", Resource="*"), "EndpointRole allows everything but something"),
        ("Bucket", {"BucketEncryption": {}}, "Bucket is not encrypted with a key of the stage"),
        ("Bucket", {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}, "Bucket may become public"),
        ("Bucket", {"BucketName": "mlp-other"}, "Bucket: BucketName 'mlp-other' does not hold mlp-p-"),
        ("BucketPolicy", {"Bucket": "other"}, "Bucket takes requests without TLS"),
        ("Key", {"EnableKeyRotation": False}, "Key is never rotated"),
        ("KeyAlias", {"AliasName": {"Fn::Sub": "alias/mlp-${ProjectId}-${Stage}-" + "a" * 250}}, "KeyAlias: AliasName"),
    ],
)
def test_what_breaks_a_rule_is_named(
    context: Context, base: Rendered, resource: str, properties: dict[str, Any], message: str
) -> None:
    found = checks.broken_rules(context, "test", changed(base, resource, properties))
    assert any(message in text for text in found), found


@pytest.mark.parametrize(
    ("kind", "properties", "message"),
    [
        ("AWS::SQS::Queue", {"QueueName": "mlp-a"}, "Added is not encrypted"),
        ("AWS::SQS::Queue", {}, "Added has no QueueName"),
        ("AWS::SNS::Topic", {"TopicName": "mlp-a"}, "Added is not encrypted"),
        (
            "AWS::SageMaker::EndpointConfig",
            {"ProductionVariants": [{"InstanceType": "a"}]},
            "unencrypted. Set KmsKeyId",
        ),
        ("AWS::SageMaker::Model", {"ModelName": "mlp-a"}, "Set EnableNetworkIsolation"),
        ("AWS::ApiGateway::Method", {"AuthorizationType": "NONE"}, "Added may be called by everybody"),
        ("AWS::ApiGateway::Stage", {"StageName": "live"}, "Added keeps no access log"),
        ("AWS::ApiGatewayV2::Stage", {"StageName": "live"}, "Added keeps no access log"),
        ("AWS::Logs::LogGroup", {"LogGroupName": "mlp-a"}, "Added keeps its log forever"),
    ],
)
def test_rules_look_at_every_kind_of_resource(
    context: Context, base: Rendered, kind: str, properties: dict[str, Any], message: str
) -> None:
    found = checks.broken_rules(context, "test", added(base, {"Type": kind, "Properties": properties}))
    assert any(message in text for text in found), found


@pytest.mark.parametrize(
    ("machine", "takes_key"),
    [("ml.m5.large", True), ("ml.p3.2xlarge", True), ("ml.inf2.xlarge", True), ("ml.g4dn.xlarge", False)]
    + [(f"ml.{family}.xlarge", False) for family in ("m5d", "r7gd", "g5", "g6e", "p4d", "p4de", "p5en", "trn1", "dl1")],
)
def test_machines_with_disks_of_their_own_need_no_key(
    context: Context, base: Rendered, machine: str, takes_key: bool
) -> None:
    config = {"EndpointConfigName": "mlp-a", "ProductionVariants": [{"InstanceType": machine}]}
    entry = {"Type": "AWS::SageMaker::EndpointConfig", "Properties": config}
    found = checks.broken_rules(context, "test", added(base, entry))
    assert any("unencrypted. Set KmsKeyId" in text for text in found) == takes_key


def test_a_public_policy_is_named(context: Context, base: Rendered) -> None:
    document = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}]}
    entry = {"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": ["a"], "PolicyDocument": document}}
    assert any(
        "Added is open to everybody" in text for text in checks.broken_rules(context, "test", added(base, entry))
    )


def test_a_base_template_that_fits_no_request_is_named(context: Context, base: Rendered) -> None:
    long = changed(base, "Key", {"Description": "x" * 51_200})
    assert any(
        "the template has" in text and "takes 51,200" in text for text in checks.broken_rules(context, "test", long)
    )


def test_the_other_stage_is_not_taken_for_this_one(context: Context, base: Rendered) -> None:
    found = checks.broken_rules(context, "prod", base)
    assert any("does not hold mlp-" in text for text in found)


def test_every_template_of_this_repository_has_a_name_for_each_role(base: Rendered) -> None:
    roles = [entry for entry in base.template["Resources"].values() if entry["Type"] == "AWS::IAM::Role"]
    assert len(roles) == 6
    assert len({str(role["Properties"]["RoleName"]) for role in roles}) == len(roles)
