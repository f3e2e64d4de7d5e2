from __future__ import annotations

from typing import Any

import pytest

from pipeline.diff import Change, compare_templates
from products.semver import Step
from products.shared.form.patterns import NARROWINGS, RULES, whole

BUCKET: dict[str, Any] = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "a"}, "DeletionPolicy": "Retain"}
BUILD: dict[str, Any] = {"Type": "AWS::CodeBuild::Project", "Properties": {"Name": "a", "Description": "x"}}
COUNT: dict[str, Any] = {"Type": "Number", "Default": 2, "MinValue": 1, "MaxValue": 100}


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str, Step]]:
    return [(change.area, change.kind, change.name, change.step) for change in compare_templates(before, after)]


def parameter(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[Change]:
    """Return the changes between two definitions of a parameter; None where it does not exist."""
    old, new = ({"Parameters": {"P": p} if p is not None else {}} for p in (before, after))
    return list(compare_templates(old, new))


def resource(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[Change]:
    """Return the changes between two definitions of a resource; None where it does not exist."""
    old, new = ({"Resources": {"R": r} if r is not None else {}} for r in (before, after))
    return list(compare_templates(old, new))


def with_(resource_: dict[str, Any], **properties: object) -> dict[str, Any]:
    return {**resource_, "Properties": {**resource_["Properties"], **properties}}


def test_equal_templates_do_not_differ() -> None:
    template = {"Parameters": {"P": {"Type": "String"}}, "Resources": {"R": BUCKET}}
    assert changes(template, template) == []


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        ({"Type": "String"}, None, Step.MAJOR),
        (None, {"Type": "String"}, Step.MAJOR),
        (None, {"Type": "String", "Default": ""}, Step.MINOR),
        ({"Type": "String"}, {"Type": "Number"}, Step.MAJOR),
        ({"Type": "String", "Default": "a"}, {"Type": "String"}, Step.MAJOR),
        ({"Type": "String"}, {"Type": "String", "Default": "a"}, Step.MINOR),
        ({"Type": "String", "Default": "a"}, {"Type": "String", "Default": "b"}, Step.MINOR),
        ({"AllowedValues": ["a", "b"]}, {"AllowedValues": ["a"]}, Step.MAJOR),
        ({}, {"AllowedValues": ["a"]}, Step.MAJOR),
        ({"AllowedValues": ["a"]}, {"AllowedValues": ["a", "b"]}, Step.MINOR),
        ({"AllowedValues": ["a"]}, {}, Step.MINOR),
        ({"AllowedValues": ["a", "b"]}, {"AllowedValues": ["b", "a"]}, Step.PATCH),
        ({"AllowedPattern": "a*"}, {"AllowedPattern": "a+"}, Step.MAJOR),
        ({"AllowedPattern": NARROWINGS[0].released}, {"AllowedPattern": NARROWINGS[0].now}, Step.MINOR),
        ({"AllowedPattern": NARROWINGS[0].now}, {"AllowedPattern": NARROWINGS[0].released}, Step.MAJOR),
        ({}, {"AllowedPattern": "a+"}, Step.MAJOR),
        (COUNT, {"Type": "String", "AllowedPattern": whole(1, 100), "Default": "2"}, Step.MINOR),
        ({"AllowedPattern": "a+"}, {}, Step.MINOR),
        ({"MinLength": 1}, {"MinLength": 2}, Step.MAJOR),
        ({"MinLength": 2}, {"MinLength": "1"}, Step.MINOR),
        ({}, {"MaxLength": 9}, Step.MAJOR),
        ({"MaxLength": 9}, {"MaxLength": "10"}, Step.MINOR),
        ({"MaxValue": 10}, {"MaxValue": "9"}, Step.MAJOR),
        ({"MinValue": 1}, {}, Step.MINOR),
        ({"NoEcho": True}, {}, Step.PATCH),
        ({"Description": "a"}, {"Description": "b"}, Step.PATCH),
    ],
)
def test_a_parameter_that_may_refuse_what_was_entered_needs_a_major_step(
    before: dict[str, Any] | None, after: dict[str, Any] | None, step: Step
) -> None:
    (change,) = parameter(before, after)
    assert (change.area, change.name, change.step) == ("parameters", "P", step)


def test_a_change_says_the_values_and_what_they_mean() -> None:
    (change,) = parameter({"AllowedValues": ["none", "daily"]}, {"AllowedValues": ["none"]})
    assert str(change) == "parameter P changed: 'daily' no longer accepted: an update with it is refused"


@pytest.mark.parametrize(
    ("before", "after", "kind", "step"),
    [
        (None, BUCKET, "added", Step.MINOR),
        (BUCKET, None, "removed", Step.MAJOR),
        (BUILD, None, "removed", Step.MINOR),
        (BUCKET, with_(BUCKET, BucketName="b"), "replaced", Step.MAJOR),
        (BUILD, with_(BUILD, Name="b"), "replaced", Step.MINOR),
        (BUILD, with_(BUILD, Description="y"), "changed", Step.PATCH),
        (BUCKET, with_(BUCKET, VersioningConfiguration={"Status": "Enabled"}), "changed", Step.PATCH),
        (BUCKET, {**BUCKET, "Type": "AWS::S3::AccessPoint"}, "replaced", Step.MAJOR),
        (BUCKET, {**BUCKET, "DeletionPolicy": "Delete"}, "changed", Step.MAJOR),
        ({**BUCKET, "DeletionPolicy": "Delete"}, BUCKET, "changed", Step.PATCH),
        (BUCKET, {**BUCKET, "Condition": "C"}, "changed", Step.MAJOR),
        ({**BUCKET, "Condition": "C"}, BUCKET, "changed", Step.MINOR),
        (BUILD, {**BUILD, "Condition": "C"}, "changed", Step.MINOR),
        (BUILD, {**BUILD, "DependsOn": ["X"]}, "changed", Step.PATCH),
    ],
)
def test_a_resource_whose_data_may_get_lost_needs_a_major_step(
    before: dict[str, Any] | None, after: dict[str, Any] | None, kind: str, step: Step
) -> None:
    (change,) = resource(before, after)
    assert (change.area, change.kind, change.name, change.step) == ("resources", kind, "R", step)


def test_a_replacement_names_the_property_that_causes_it() -> None:
    (change,) = resource(BUCKET, with_(BUCKET, BucketName="b"))
    assert "BucketName cannot change in place" in change.detail


def test_a_nested_create_only_property_counts() -> None:
    def domain(instance: str) -> dict[str, Any]:
        settings = {"RStudioServerProDomainSettings": {"DefaultResourceSpec": {"InstanceType": instance}}}
        return {"Type": "AWS::SageMaker::Domain", "Properties": {"DomainName": "d", "DomainSettings": settings}}

    (change,) = resource(domain("ml.t3.medium"), domain("ml.t3.large"))
    assert (change.kind, change.step) == ("replaced", Step.MAJOR)


def test_what_refers_to_a_replaced_resource_in_a_create_only_property_is_replaced_too() -> None:
    def template(bucket_name: str) -> dict[str, Any]:
        domain = {"Type": "AWS::SageMaker::Domain", "Properties": {"KmsKeyId": {"Fn::GetAtt": ["Key", "Arn"]}}}
        return {
            "Resources": {
                "Key": {"Type": bucket_name, "Properties": {}},
                "Domain": domain,
                "Group": {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": {"ModelPackageGroupName": "Key"}},
            }
        }

    found = changes(template("AWS::KMS::Key"), template("AWS::KMS::ReplicaKey"))
    assert found == [
        ("resources", "replaced", "Domain", Step.MAJOR),
        ("resources", "replaced", "Key", Step.MAJOR),
    ]


def test_a_custom_resource_is_replaced_only_with_its_provider() -> None:
    custom = {"Type": "Custom::SeedCode", "Properties": {"ServiceToken": "a", "Version": "1"}}
    assert [change.kind for change in resource(custom, with_(custom, Version="2"))] == ["changed"]
    assert [change.kind for change in resource(custom, with_(custom, ServiceToken="b"))] == ["replaced"]


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        ({"Value": "a"}, None, Step.MAJOR),
        (None, {"Value": "a"}, Step.MINOR),
        ({"Value": "a"}, {"Value": "b"}, Step.PATCH),
        ({"Value": "a"}, {"Value": "a", "Condition": "C"}, Step.MAJOR),
        ({"Value": "a", "Export": {"Name": "e"}}, {"Value": "a"}, Step.MAJOR),
        ({"Value": "a", "Description": "x"}, {"Value": "a", "Description": "y"}, Step.PATCH),
    ],
)
def test_an_output_that_somebody_may_miss_needs_a_major_step(
    before: dict[str, Any] | None, after: dict[str, Any] | None, step: Step
) -> None:
    old, new = ({"Outputs": {"O": output} if output else {}} for output in (before, after))
    assert [(area, name, s) for area, _, name, s in changes(old, new)] == [("outputs", "O", step)]


def test_a_new_assertion_about_parameters_needs_a_major_step() -> None:
    rules: dict[str, Any] = {"Rules": {"OneTrigger": {"Assertions": []}}}
    assert changes({}, rules) == [("rules", "added", "OneTrigger", Step.MAJOR)]
    assert changes(rules, {}) == [("rules", "removed", "OneTrigger", Step.MINOR)]


def test_other_words_of_an_assertion_are_a_patch() -> None:
    def rule(words: str, allowed: str) -> dict[str, Any]:
        assertion = {"Assert": {"Fn::Equals": [{"Ref": "P"}, allowed]}, "AssertDescription": words}
        return {"Rules": {"R": {"Assertions": [assertion]}}}

    assert changes(rule("a", "1"), rule("b", "1")) == [("rules", "changed", "R", Step.PATCH)]
    assert changes(rule("a", "1"), rule("a", "2")) == [("rules", "changed", "R", Step.MAJOR)]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_refuses_what_every_build_refused_needs_a_minor_step(rule: str) -> None:
    assert changes({}, {"Rules": {rule: {"Assertions": []}}}) == [("rules", "added", rule, Step.MINOR)]


def test_other_bounds_of_a_whole_number_need_a_major_step() -> None:
    narrower = {"Type": "String", "AllowedPattern": whole(1, 99), "Default": "2"}
    assert max(change.step for change in parameter(COUNT, narrower)) == Step.MAJOR


def test_a_wider_permission_needs_a_minor_step() -> None:
    def role(*actions: str) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = {"PolicyName": "p", "PolicyDocument": {"Statement": [statement]}}
        return {"Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": {"Policies": [policy]}}}}

    found = changes(role("s3:GetObject"), role("s3:GetObject", "s3:PutObject"))
    assert found == [
        ("resources", "changed", "Role", Step.PATCH),
        ("iam", "wider", "Role may now s3:PutObject on *", Step.MINOR),
    ]
    assert [step for *_, step in changes(role("s3:GetObject", "s3:PutObject"), role("s3:GetObject"))] == [Step.PATCH]


@pytest.mark.parametrize(
    ("section", "step"),
    [("Description", Step.PATCH), ("Metadata", Step.PATCH), ("Mappings", Step.PATCH), ("Conditions", Step.MINOR)],
)
def test_a_change_of_the_form_or_of_conditions_is_a_change(section: str, step: Step) -> None:
    assert [s for *_, s in changes({section: {"a": 1}}, {section: {"a": 2}})] == [step]


def test_the_weightiest_change_of_an_area_comes_first() -> None:
    before = {"Parameters": {"A": {"Description": "x"}, "B": {}, "C": {}}}
    after = {"Parameters": {"A": {"Description": "y"}, "C": {}, "D": {"Default": ""}}}
    assert [name for _, _, name, _ in changes(before, after)] == ["B", "D", "A"]
