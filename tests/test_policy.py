"""The evaluator that other tests rely on decides like IAM."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy import Launch, allows, assumes, existing, principal, requested

BUCKET = "arn:aws:s3:::lake"
PENDING = {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}
APPROVED = {"sagemaker:ModelApprovalStatus": "Approved"}


def statement(effect: str = "Allow", **parts: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    return {"Effect": effect, "Action": "s3:GetObject", "Resource": f"{BUCKET}/*", **parts}


def test_nothing_is_allowed_without_a_statement() -> None:
    assert not allows([], "s3:GetObject", f"{BUCKET}/key")


def test_actions_match_in_any_case_and_with_wildcards_but_resources_in_their_case() -> None:
    assert allows([statement(Action="S3:get*")], "s3:GetObject", f"{BUCKET}/a/b")
    assert not allows([statement()], "s3:GetObject", "arn:aws:s3:::LAKE/a")


def test_a_deny_wins_over_an_allow() -> None:
    both = [statement(), statement("Deny", Resource=f"{BUCKET}/secret/*")]
    assert allows(both, "s3:GetObject", f"{BUCKET}/open/a")
    assert not allows(both, "s3:GetObject", f"{BUCKET}/secret/a")


def test_not_action_and_not_resource_are_everything_else() -> None:
    assert allows(
        [{"Effect": "Allow", "NotAction": "s3:Put*", "NotResource": f"{BUCKET}/x"}], "s3:GetObject", f"{BUCKET}/y"
    )
    assert not allows([{"Effect": "Allow", "NotAction": "s3:Put*", "Resource": "*"}], "s3:PutObject", f"{BUCKET}/y")
    assert not allows([{"Effect": "Allow", "Action": "*", "NotResource": f"{BUCKET}/x"}], "s3:GetObject", f"{BUCKET}/x")


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"StringEquals": PENDING}, PENDING, True),
        ({"StringEquals": PENDING}, APPROVED, False),
        ({"StringEquals": PENDING}, {}, False),
        ({"StringEqualsIfExists": PENDING}, {}, True),
        ({"StringEqualsIfExists": PENDING}, APPROVED, False),
        ({"StringNotEquals": PENDING}, APPROVED, True),
        ({"StringNotEquals": PENDING}, {}, True),
        ({"StringLike": {"s3:prefix": ["", "churn/*"]}}, {"s3:prefix": "churn/2024"}, True),
        ({"StringLike": {"s3:prefix": ["", "churn/*"]}}, {"s3:prefix": "sales/"}, False),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:x:*:1:y"}}, {"aws:SourceArn": "arn:aws:x:eu:1:y"}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "true"}, False),
        ({"Null": {"aws:RequestTag/a": "true"}}, {}, True),
        ({"Null": {"aws:RequestTag/a": "true"}}, {"aws:RequestTag/a": "b"}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ["a"]}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ["a", "c"]}, False),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}, {"aws:TagKeys": ["c", "a"]}, True),
    ],
)
def test_conditions_hold_as_documented(condition: dict[str, Any], context: dict[str, Any], expected: bool) -> None:
    # Each of the two carries the keys that the other has not.
    action = "s3:ListBucket" if "s3:prefix" in str(condition) else "sagemaker:CreateModelPackage"
    assert allows([statement(Action=action, Resource="*", Condition=condition)], action, "*", **context) is expected


def test_a_decision_that_hangs_on_a_key_which_no_request_carries_is_no_decision() -> None:
    only_scaling = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
    statements = [statement(Action="application-autoscaling:*", Resource="*", Condition=only_scaling)]
    context: Any = {"application-autoscaling:service-namespace": "sagemaker"}
    assert allows(statements, "application-autoscaling:RegisterScalableTarget", "*", **context)
    with pytest.raises(ValueError, match="TagResource would be allowed, but no request of it carries that"):
        allows(statements, "application-autoscaling:TagResource", "*", **context)
    with pytest.raises(ValueError, match="TagResource would be refused, but"):
        allows(
            [statement(Action="*", Resource="*"), *denied(statements)],
            "application-autoscaling:TagResource",
            "*",
            **context,
        )
    assert not allows(statements, "application-autoscaling:TagResource", "*")


def test_what_nobody_can_ask_for_is_no_question() -> None:
    with pytest.raises(ValueError, match="there is no action s3:GetObjects"):
        allows([statement(Action="*", Resource="*")], "s3:GetObjects", f"{BUCKET}/a")


def denied(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [s | {"Effect": "Deny"} for s in statements]


def test_a_policy_variable_is_filled_from_the_request_and_matches_nothing_without_it() -> None:
    own = [statement(Resource="arn:aws:s3:::lake/${aws:username}/*")]
    assert allows(own, "s3:GetObject", f"{BUCKET}/ann/a", **{"aws:username": "ann"})
    assert not allows(own, "s3:GetObject", f"{BUCKET}/bob/a", **{"aws:username": "ann"})
    assert not allows(own, "s3:GetObject", f"{BUCKET}/ann/a")


def test_a_launch_resolves_references_conditions_and_attached_policies() -> None:
    document = {"Statement": [statement(Resource={"Fn::Sub": "arn:${AWS::Partition}:s3:::${Name}/${!aws:username}"})]}
    template = {
        "Parameters": {"Name": {"Type": "String"}, "Optional": {"Type": "String", "Default": ""}},
        "Conditions": {"Given": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Optional"}, ""]}]}},
        "Resources": {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"Path": "/p/"}},
            "Policy": {
                "Type": "AWS::IAM::Policy",
                "Properties": {"Roles": [{"Ref": "Role"}], "PolicyDocument": document},
            },
            "Never": {"Type": "AWS::S3::Bucket", "Condition": "Given"},
        },
    }
    launch = Launch(template, {"Name": "lake"}, stack="one")
    assert launch.roles()["Role"][0]["Resource"] == "arn:aws:s3:::lake/${aws:username}"
    assert launch.attribute("Role", "Arn") == "arn:aws:iam::111122223333:role/p/one-Role"
    assert launch.resources("AWS::S3::Bucket") == {}
    assert launch.value({"A": {"Fn::If": ["Given", 1, {"Ref": "AWS::NoValue"}]}, "B": "x"}) == {"B": "x"}


def test_managed_policies_and_names_of_roles_are_part_of_a_launch() -> None:
    template = {
        "Resources": {
            "Policy": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": {"Statement": statement()}}},
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {"RoleName": "deploy", "ManagedPolicyArns": [{"Ref": "Policy"}]},
            },
        },
    }
    launch = Launch(template, {})
    assert launch.roles() == {"Role": [statement()]}
    assert launch.attribute("Role", "Arn") == "arn:aws:iam::111122223333:role/deploy"


ME, THEM = {"stage-of": "p-abc-prod"}, {"stage-of": "p-abcd-prod"}
OWN: dict[str, Any] = {"StringEquals": {"aws:ResourceTag/stage-of": "${aws:PrincipalTag/stage-of}"}}
NEW: dict[str, Any] = {"StringEquals": {"aws:RequestTag/stage-of": "${aws:PrincipalTag/stage-of}"}}


def test_tags_of_caller_request_and_resource_are_told_apart() -> None:
    own, new = [statement(Condition=OWN)], [statement(Action="s3:TagResource", Condition=NEW)]
    key = f"{BUCKET}/a"
    assert allows(own, "s3:GetObject", key, **principal(ME), **existing(ME))
    assert not allows(own, "s3:GetObject", key, **principal(ME), **existing(THEM))
    assert not allows(own, "s3:GetObject", key, **principal(ME), **requested(ME))
    assert not allows(own, "s3:GetObject", key, **existing(ME)), "a caller without the tag"
    assert allows(new, "s3:TagResource", key, **principal(ME), **requested(ME))
    assert not allows(new, "s3:TagResource", key, **principal(ME), **requested(THEM))


def trust(**condition: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    return {
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": condition,
        }
    }


def test_a_trust_policy_decides_about_caller_and_session_tags() -> None:
    caller = "arn:aws:iam::111122223333:role/team/build"
    assert assumes(trust(**NEW), caller=caller, caller_tags=ME, session_tags=ME)
    assert not assumes(trust(**NEW), caller=caller, caller_tags=ME, session_tags=THEM)
    assert not assumes(trust(**NEW), caller=caller, caller_tags={}, session_tags=ME)
    assert not assumes(trust(**NEW), caller=caller, caller_tags=ME, session_tags={})
    assert not assumes(trust(**NEW), caller=caller.replace("1111", "9999"), caller_tags=ME, session_tags=ME), (
        "another account"
    )
    only_here = {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/team/*"}}
    assert assumes(trust(**only_here), caller=caller, caller_tags={}, session_tags={})
    assert not assumes(trust(**only_here), caller=caller.replace("team/", ""), caller_tags={}, session_tags={})
    without_tagging = trust()
    without_tagging["Statement"]["Action"] = "sts:AssumeRole"
    assert not assumes(without_tagging, caller=caller, caller_tags=ME, session_tags=ME)
    assert assumes(without_tagging, caller=caller, caller_tags=ME, session_tags={})
