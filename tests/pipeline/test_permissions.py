from __future__ import annotations

from typing import Any

import pytest

from pipeline.permissions import wider


def template(*statements: dict[str, Any], trust: str = "sagemaker.amazonaws.com", **role: object) -> dict[str, Any]:
    """Return a template with one role that has these statements."""
    trusted = {"Effect": "Allow", "Principal": {"Service": trust}, "Action": "sts:AssumeRole"}
    properties = {"AssumeRolePolicyDocument": {"Statement": [trusted]}, **role}
    policy = {"Roles": [{"Ref": "Role"}], "PolicyDocument": {"Statement": list(statements)}}
    return {
        "Resources": {
            "Role": {"Type": "AWS::IAM::Role", "Properties": properties},
            "Policy": {"Type": "AWS::IAM::Policy", "Properties": policy},
        }
    }


def allow(action: str | list[str], resource: object = "*", **more: object) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def bucket_policy(*statements: dict[str, Any]) -> dict[str, Any]:
    properties = {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": {"Statement": list(statements)}}
    return {
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "BucketPolicy": {"Type": "AWS::S3::BucketPolicy", "Properties": properties},
        }
    }


OBJECTS = {"Fn::Join": ["", [{"Fn::GetAtt": ["Bucket", "Arn"]}, "/*"]]}
MODELS = {"Fn::Sub": "${Bucket.Arn}/models/*"}


def test_a_new_action_is_wider_and_named() -> None:
    before = template(allow("s3:GetObject", OBJECTS))
    after = template(allow(["s3:GetObject", "s3:PutObject"], OBJECTS))
    assert wider(before, after) == ("Role may now s3:PutObject on ${Bucket.Arn}/*",)


def test_a_removed_action_is_not_wider() -> None:
    before = template(allow(["s3:GetObject", "s3:PutObject"], OBJECTS))
    assert wider(before, template(allow("s3:GetObject", OBJECTS))) == ()


def test_a_part_of_what_was_allowed_is_not_wider() -> None:
    before = template(allow("s3:Get*", OBJECTS))
    assert wider(before, template(allow("S3:getObject", MODELS))) == ()


def test_the_whole_of_what_was_allowed_in_part_is_wider() -> None:
    before = template(allow("s3:GetObject", MODELS))
    assert wider(before, template(allow("s3:GetObject", OBJECTS))) == ("Role may now s3:GetObject on ${Bucket.Arn}/*",)


def test_a_question_mark_does_not_cover_a_star() -> None:
    assert wider(template(allow("a:B", "x/?")), template(allow("a:B", "x/*"))) == ("Role may now a:B on x/*",)


def test_order_and_grouping_of_statements_do_not_matter() -> None:
    before = template(allow(["s3:GetObject", "s3:PutObject"], [OBJECTS, MODELS]))
    after = template(allow("s3:PutObject", OBJECTS), allow("s3:GetObject", [MODELS, OBJECTS]))
    assert wider(before, after) == ()
    assert wider(after, before) == ()


def test_a_statement_may_move_from_a_policy_into_its_role() -> None:
    before = template(allow("s3:GetObject", OBJECTS))
    inline = {"PolicyName": "p", "PolicyDocument": {"Statement": [allow("s3:GetObject", OBJECTS)]}}
    assert wider(before, template(Policies=[inline])) == ()


def test_a_dropped_condition_is_wider_and_an_added_one_is_not() -> None:
    condition = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    bound, free = template(allow("s3:GetObject", Condition=condition)), template(allow("s3:GetObject"))
    assert wider(bound, free) == ("Role may now s3:GetObject on *",)
    assert wider(free, bound) == ()


def test_a_dropped_denial_is_wider_and_an_added_one_is_not() -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": OBJECTS}
    free, denied = bucket_policy(), bucket_policy(deny)
    assert wider(denied, free) == ("Bucket (resource policy): s3:* on ${Bucket.Arn}/* is no longer denied to *",)
    assert wider(free, denied) == ()


def test_a_denial_that_goes_with_its_resource_is_not_wider() -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": OBJECTS}
    assert wider(bucket_policy(deny), {"Resources": {}}) == ()


def test_a_new_principal_of_a_bucket_is_wider() -> None:
    grant = allow("s3:GetObject", OBJECTS, Principal={"AWS": {"Ref": "Reader"}})
    assert wider(bucket_policy(), bucket_policy(grant)) == (
        "Bucket (resource policy): AWS ${Reader} may now s3:GetObject on ${Bucket.Arn}/*",
    )


def test_everybody_covers_a_named_principal_and_not_the_other_way() -> None:
    everybody = bucket_policy(allow("s3:GetObject", OBJECTS, Principal={"AWS": "*"}))
    reader = bucket_policy(allow("s3:GetObject", OBJECTS, Principal={"AWS": {"Ref": "Reader"}}))
    assert wider(everybody, reader) == ()
    assert len(wider(reader, everybody)) == 1


@pytest.mark.parametrize(
    ("type_", "property_"),
    [("AWS::KMS::Key", "KeyPolicy"), ("AWS::SageMaker::ModelPackageGroup", "ModelPackageGroupPolicy")],
)
def test_a_policy_that_a_resource_holds_itself_is_looked_at(type_: str, property_: str) -> None:
    def holder(*statements: dict[str, Any]) -> dict[str, Any]:
        return {"Resources": {"It": {"Type": type_, "Properties": {property_: {"Statement": list(statements)}}}}}

    grant = allow("x:Read", Principal={"AWS": {"Ref": "Hub"}})
    assert wider(holder(), holder(grant)) == ("It (resource policy): AWS ${Hub} may now x:Read on *",)


def test_a_statement_under_a_condition_counts_as_if_it_held() -> None:
    conditional = {"Fn::If": ["HasKey", allow("kms:Decrypt"), {"Ref": "AWS::NoValue"}]}
    assert wider(template(), template(conditional)) == ("Role may now kms:Decrypt on *",)


def test_another_trusted_service_is_wider() -> None:
    assert wider(template(), template(trust="lambda.amazonaws.com")) == (
        "Role (trust policy): Service lambda.amazonaws.com may now sts:AssumeRole",
    )


def test_not_action_is_never_taken_for_the_same() -> None:
    before = template({"Effect": "Allow", "NotAction": ["iam:*", "s3:*"], "Resource": "*"})
    after = template({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"})
    assert wider(before, before) == ()
    assert wider(before, after) == ("Role may now not iam:* on *",)


def test_an_attached_managed_policy_and_a_lost_boundary_are_wider() -> None:
    before = template(PermissionsBoundary={"Ref": "Boundary"})
    after = template(ManagedPolicyArns=[{"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/ReadOnlyAccess"}])
    assert wider(before, after) == (
        "Role now has the managed policy arn:${AWS::Partition}:iam::aws:policy/ReadOnlyAccess",
        "the permissions boundary of Role was removed",
    )
