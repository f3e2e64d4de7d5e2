from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployment import copying, packages, render
from deployment.errors import DeploymentError
from deployment.render import Rendered

TEMPLATE = """
Parameters:
  Stage: {Type: String}
  InstanceType: {Type: String, Default: ml.m5.large}
  CostCenter: {Type: String, Default: ""}
Conditions:
  Isolated: !Equals [!Ref Stage, prod]
Resources:
  Model:
    Type: AWS::SageMaker::Model
    Properties:
      ModelName: !Sub "mlp-p-1-${Stage}-${Content}"
      ExecutionRoleArn: !Sub "arn:aws:iam::${AWS::AccountId}:role/x"
      EnableNetworkIsolation: !If [Isolated, true, false]
      Tags: [{Key: CostCenter, Value: !Ref CostCenter}]
  Config:
    Type: AWS::SageMaker::EndpointConfig
    Properties:
      EndpointConfigName: !Sub "mlp-p-1-${Stage}-${Content}"
      ProductionVariants:
        - {VariantName: main, ModelName: !GetAtt Model.ModelName, InstanceType: !Ref InstanceType}
"""
ONE = [{"Image": "image", "ModelDataUrl": "s3://b/1"}]
OTHER = [{"Image": "image", "ModelDataUrl": "s3://b/2"}]


def make(folder: Path, values: dict[str, str], containers: list[dict[str, Any]], text: str = TEMPLATE) -> Rendered:
    path = folder / "endpoint.yaml"
    path.write_text(text)
    return render.render("endpoint", render.load(path), values, containers)


def names(rendered: Rendered) -> tuple[str, str]:
    properties = [rendered.template["Resources"][key]["Properties"] for key in ("Model", "Config")]
    return properties[0]["ModelName"]["Fn::Sub"], properties[1]["EndpointConfigName"]["Fn::Sub"]


def test_the_same_content_keeps_its_name(tmp_path: Path) -> None:
    first, second = (make(tmp_path, {"Stage": "test"}, ONE) for _ in range(2))
    assert names(first) == names(second)
    assert all(name.startswith("mlp-p-1-${Stage}-") and len(name.rsplit("-", 1)[1]) == 12 for name in names(first))


def test_another_model_renames_model_and_configuration(tmp_path: Path) -> None:
    first, second = (make(tmp_path, {"Stage": "test"}, containers) for containers in (ONE, OTHER))
    assert all(a != b for a, b in zip(names(first), names(second), strict=True))


def test_another_instance_type_renames_the_configuration_only(tmp_path: Path) -> None:
    first = names(make(tmp_path, {"Stage": "test"}, ONE))
    second = names(make(tmp_path, {"Stage": "test", "InstanceType": "ml.m5.xlarge"}, ONE))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_a_parameter_in_a_condition_counts(tmp_path: Path) -> None:
    first, second = (names(make(tmp_path, {"Stage": stage}, ONE)) for stage in ("test", "prod"))
    assert first[0].rsplit("-", 1)[1] != second[0].rsplit("-", 1)[1]


def test_another_tag_renames_nothing(tmp_path: Path) -> None:
    first, second = (make(tmp_path, {"Stage": "test", "CostCenter": cost}, ONE) for cost in ("1", "2"))
    assert names(first) == names(second)


def test_one_container_is_primary_and_several_are_a_chain(tmp_path: Path) -> None:
    one = make(tmp_path, {"Stage": "test"}, ONE).template["Resources"]["Model"]["Properties"]
    two = make(tmp_path, {"Stage": "test"}, [*ONE, *OTHER]).template["Resources"]["Model"]["Properties"]
    assert one["PrimaryContainer"] == ONE[0]
    assert "Containers" not in one
    assert two["Containers"] == [*ONE, *OTHER]
    assert "PrimaryContainer" not in two


def test_only_declared_parameters_get_values(tmp_path: Path) -> None:
    assert make(tmp_path, {"Stage": "test", "Other": "1"}, ONE).parameters == {"Stage": "test"}


def test_a_parameter_without_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"templates/endpoint\.yaml declares the parameters Stage, for which"):
        make(tmp_path, {}, ONE)


def test_a_value_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"Parameter Stage .* has more than 4,096 bytes"):
        make(tmp_path, {"Stage": "x" * 4097}, ONE)


def test_resources_that_name_each_other_are_refused(tmp_path: Path) -> None:
    text = """
Resources:
  A: {Type: AWS::SageMaker::Model, Properties: {ModelName: !Sub "${B}-${Content}"}}
  B: {Type: AWS::SageMaker::Model, Properties: {ModelName: !Sub "${A}-${Content}"}}
"""
    with pytest.raises(DeploymentError, match="A -> B -> A name each other"):
        make(tmp_path, {}, ONE, text)


def test_short_forms_become_long_ones_and_dates_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("Version: 2012-10-17\nResources: {A: [!Ref B, !GetAtt C.Arn.D, !Join ['-', [a, !Sub b]]]}\n")
    assert render.load(path) == {
        "Version": "2012-10-17",
        "Resources": {
            "A": [{"Ref": "B"}, {"Fn::GetAtt": ["C", "Arn.D"]}, {"Fn::Join": ["-", ["a", {"Fn::Sub": "b"}]]}]
        },
    }


@pytest.mark.parametrize(("text", "message"), [("a: [", "is not valid YAML"), ("a: 1", "it has no Resources")])
def test_what_is_no_template_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(DeploymentError, match=message):
        render.load(tmp_path / "a.yaml")


def test_what_was_rendered_can_be_read_again(tmp_path: Path) -> None:
    rendered = make(tmp_path, {"Stage": "test"}, ONE)
    rendered.write(tmp_path / "rendered" / "test")
    assert Rendered.read(tmp_path / "rendered" / "test", "endpoint") == rendered
    with pytest.raises(DeploymentError, match="nothing has been rendered"):
        Rendered.read(tmp_path / "rendered" / "prod", "endpoint")


def test_containers_take_archive_environment_and_the_image_of_the_region(package: dict[str, Any]) -> None:
    located = copying.located(packages.parse(package), "bucket")
    (container,) = render.containers_of(located, "eu-west-1", registered_in="ap-southeast-1")
    assert container == {
        "Image": "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.2-0",
        "ModelDataUrl": f"s3://bucket/packages/{located_key(package)}/model-0/model.tar.gz",
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
    }


def located_key(package: dict[str, Any]) -> str:
    return packages.parse(package).key


def test_a_template_includes_another_one(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("Parameters: {Stage: {Type: String}}\nResources: {Queue: {Type: A}}\n")
    (tmp_path / "whole.yaml").write_text(
        "Metadata: {Include: [part]}\nParameters: {Stage: {Type: String}}\nResources: {Rule: {Type: B}}\n"
    )
    template = render.load(tmp_path / "whole.yaml")
    assert template["Resources"] == {"Rule": {"Type": "B"}, "Queue": {"Type": "A"}}
    assert template["Parameters"] == {"Stage": {"Type": "String"}}


def test_an_included_template_may_not_replace_anything(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("Resources: {Queue: {Type: A}}\n")
    (tmp_path / "whole.yaml").write_text("Metadata: {Include: [part]}\nResources: {Queue: {Type: B}}\n")
    with pytest.raises(DeploymentError, match=r"whole\.yaml includes part\.yaml, and both have Queue below Resources"):
        render.load(tmp_path / "whole.yaml")
