"""CloudFormation's types of SageMaker's hosting and pipelines: created, updated, replaced, rolled back and deleted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError
from cfnlint.decode import cfn_yaml

from aws_emulator.tests.harness import DEV, REGION, ROOT, AwsClient
from aws_emulator.tests.serving_model import container, put_archives
from tests.policy import Launch

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

BUCKET: Final = "stack-models"


@pytest.fixture(scope="module")
def role(cloud: Cloud) -> str:
    """Execution role of the models."""
    put_archives(cloud, DEV, BUCKET)
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    return cloud.role(DEV, "stack-endpoint-role", [statement])


def template(role: str, model: str, *, endpoint: str = "stacked", memory: str | None = None) -> dict[str, Any]:
    """Return a template of an endpoint that serves an archive; model and configuration are named after it."""
    capacity: dict[str, Any] = {"InitialInstanceCount": "1", "InstanceType": "ml.m5.large"}
    if memory:
        capacity = {"ServerlessConfig": {"MaxConcurrency": "2", "MemorySizeInMB": memory}}
    variants = [{"VariantName": "AllTraffic", "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]}, **capacity}]
    resources = {
        "Model": {
            "Type": "AWS::SageMaker::Model",
            "Properties": {
                "ModelName": f"{endpoint}-{model}",
                "PrimaryContainer": container(f"s3://{BUCKET}/models/{model}.tar.gz"),
                "ExecutionRoleArn": role,
            },
        },
        "Config": {
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {"EndpointConfigName": f"{endpoint}-{model}", "ProductionVariants": variants},
        },
        "Endpoint": {
            "Type": "AWS::SageMaker::Endpoint",
            "Properties": {
                "EndpointName": endpoint,
                "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
            },
        },
    }
    outputs = {
        "Arn": {"Value": {"Ref": "Endpoint"}},
        "Name": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}},
    }
    return {"Resources": resources, "Outputs": outputs}


def answer(cloud: Cloud, endpoint: str) -> str:
    runtime = cloud.client("sagemaker-runtime", DEV)
    reply = runtime.invoke_endpoint(EndpointName=endpoint, Body=b"1,2", ContentType="text/csv", Accept="text/csv")
    text: str = reply["Body"].read().decode()
    return text


def names(sagemaker: AwsClient, part: str) -> tuple[list[str], list[str]]:
    """Return the names of the models and of the configurations with a part in them."""
    models = sagemaker.list_models(NameContains=part)["Models"]
    configs = sagemaker.list_endpoint_configs(NameContains=part)["EndpointConfigs"]
    return [m["ModelName"] for m in models], [c["EndpointConfigName"] for c in configs]


def test_a_new_model_replaces_model_and_configuration_and_keeps_the_endpoint(cloud: Cloud, role: str) -> None:
    """All properties of Model and EndpointConfig but tags are create-only, of Endpoint only its name (schemas)."""
    sagemaker = cloud.client("sagemaker", DEV)
    tags = [{"Key": "ml-platform-deployment", "Value": "p-1-test"}]

    stack = cloud.deploy(DEV, "stacked", template(role, "double"), Tags=tags)
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "stacked")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert outputs["Name"] == "stacked"
    assert outputs["Arn"].endswith(f"{DEV}:endpoint/stacked")
    assert answer(cloud, "stacked") == "6\n"
    given = sagemaker.list_tags(ResourceArn=outputs["Arn"])["Tags"]
    assert tags[0] in given

    stack = cloud.deploy(DEV, "stacked", template(role, "triple"), Tags=tags)
    assert stack["StackStatus"] == "UPDATE_COMPLETE", cloud.failures(DEV, "stacked")
    assert answer(cloud, "stacked") == "9\n"
    assert names(sagemaker, "stacked") == (["stacked-triple"], ["stacked-triple"])

    cloud.client("cloudformation", DEV).delete_stack(StackName="stacked")
    with pytest.raises(ClientError):
        cloud.settled(DEV, "stacked")
    assert names(sagemaker, "stacked") == ([], [])
    assert sagemaker.list_endpoints(NameContains="stacked")["Endpoints"] == []


def test_a_failed_update_rolls_back_with_sagemakers_reason_while_the_old_model_serves(cloud: Cloud, role: str) -> None:
    sagemaker = cloud.client("sagemaker", DEV)
    cloud.deploy(DEV, "unlucky", template(role, "double", endpoint="unlucky"))

    stack = cloud.deploy(DEV, "unlucky", template(role, "broken", endpoint="unlucky"))

    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert any("did not pass the ping health check" in reason for reason in cloud.failures(DEV, "unlucky"))
    assert sagemaker.describe_endpoint(EndpointName="unlucky")["EndpointConfigName"] == "unlucky-double"
    assert answer(cloud, "unlucky") == "6\n"
    assert names(sagemaker, "unlucky") == (["unlucky-double"], ["unlucky-double"])


def test_a_first_endpoint_that_fails_leaves_nothing(cloud: Cloud, role: str) -> None:
    stack = cloud.deploy(DEV, "stillborn", template(role, "broken", endpoint="stillborn"))

    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any("did not pass the ping health check" in reason for reason in cloud.failures(DEV, "stillborn"))
    sagemaker = cloud.client("sagemaker", DEV)
    assert names(sagemaker, "stillborn") == ([], [])
    assert sagemaker.list_endpoints(NameContains="stillborn")["Endpoints"] == []


def test_numbers_may_be_text_and_memory_is_checked(cloud: Cloud, role: str) -> None:
    stack = cloud.deploy(DEV, "less", template(role, "double", endpoint="less", memory="2048"))
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "less")
    described = cloud.client("sagemaker", DEV).describe_endpoint_config(EndpointConfigName="less-double")
    assert described["ProductionVariants"][0]["ServerlessConfig"] == {"MaxConcurrency": 2, "MemorySizeInMB": 2048}

    cloud.deploy(DEV, "odd", template(role, "double", endpoint="odd", memory="2000"))
    assert any("MemorySizeInMB" in reason for reason in cloud.failures(DEV, "odd"))


def test_an_endpoint_scales_by_a_target_and_a_policy(cloud: Cloud, role: str) -> None:
    """Order of deletion: a policy goes before its target, a target before its endpoint."""
    content = template(role, "double", endpoint="scaled")
    resource_id = {"Fn::Sub": "endpoint/${Endpoint.EndpointName}/variant/AllTraffic"}
    identity = {
        "ResourceId": resource_id,
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ServiceNamespace": "sagemaker",
    }
    content["Resources"]["Target"] = {
        "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
        "Properties": {**identity, "MinCapacity": "1", "MaxCapacity": "2"},
    }
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    content["Resources"]["Policy"] = {
        "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
        "Properties": {
            "PolicyName": "load",
            "PolicyType": "TargetTrackingScaling",
            "ScalingTargetId": {"Ref": "Target"},
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": "100",
                "PredefinedMetricSpecification": metric,
            },
        },
    }
    scaling = cloud.client("application-autoscaling", DEV)

    stack = cloud.deploy(DEV, "scaled", content)
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "scaled")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["ResourceId"], target["MaxCapacity"]) == ("endpoint/scaled/variant/AllTraffic", 2)
    resources = cloud.client("cloudformation", DEV).describe_stack_resources(StackName="scaled")["StackResources"]
    (arn,) = (found["PhysicalResourceId"] for found in resources if found["LogicalResourceId"] == "Policy")
    assert arn.endswith(":resource/sagemaker/endpoint/scaled/variant/AllTraffic:policyName/load")

    content["Resources"]["Target"]["Properties"]["MaxCapacity"] = "4"
    stack = cloud.deploy(DEV, "scaled", content)
    assert stack["StackStatus"] == "UPDATE_COMPLETE", cloud.failures(DEV, "scaled")
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"][0]["MaxCapacity"] == 4

    cloud.client("cloudformation", DEV).delete_stack(StackName="scaled")
    with pytest.raises(ClientError):
        cloud.settled(DEV, "scaled")
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []


def test_the_execution_role_of_a_stage_registers_a_target_with_the_tag_of_the_stage(cloud: Cloud, role: str) -> None:
    """CloudFormation registers a target with the tags of the stack, lists them, and takes them off when they change."""
    cloud.deploy(DEV, "registered", template(role, "double", endpoint="registered"))
    place = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/registered/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    own, foreign = ({"ml-platform-deployment": f"p-1-{stage}"} for stage in ("test", "prod"))
    path = ROOT / "seed-code/layers/deployment/templates/base.yaml"
    values = {
        "ProjectName": "churn",
        "ProjectId": "p-1",
        "Stage": "test",
        "HubBusArn": "arn:aws:events:eu:1:event-bus/x",
    }
    base = Launch(json.loads(json.dumps(cfn_yaml.load(str(path)))), values, account=DEV, region=REGION)
    statements = [dict(statement) for statement in base.roles()["ExecutionRole"]]
    credentials = cloud.assume(cloud.role(DEV, "p-1-execution", statements))
    scaling = cloud.client("application-autoscaling", DEV, credentials)
    try:
        with pytest.raises(ClientError, match="TagResource"):
            scaling.register_scalable_target(**place, MinCapacity=1, MaxCapacity=2, Tags=foreign)
        arn = scaling.register_scalable_target(**place, MinCapacity=1, MaxCapacity=2, Tags=own)["ScalableTargetARN"]
        assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == own
        scaling.register_scalable_target(**place, MaxCapacity=3)
        with pytest.raises(ClientError, match="TagResource"):
            scaling.tag_resource(ResourceARN=arn, Tags=foreign)
        scaling.tag_resource(ResourceARN=arn, Tags={"CostCenter": "1"})
        scaling.untag_resource(ResourceARN=arn, TagKeys=["CostCenter"])
        assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == own
    finally:
        cloud.client("application-autoscaling", DEV).deregister_scalable_target(**place)
        cloud.client("cloudformation", DEV).delete_stack(StackName="registered")


@pytest.mark.parametrize(
    ("resource_id", "reason"),
    [("endpoint/nobody/variant/AllTraffic", "Could not find endpoint"), ("table/x", "Unsupported resource ID")],
)
def test_only_variants_of_endpoints_scale(cloud: Cloud, resource_id: str, reason: str) -> None:
    scaling = cloud.client("application-autoscaling", DEV)
    with pytest.raises(ClientError, match=reason):
        scaling.register_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=resource_id,
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            MinCapacity=1,
            MaxCapacity=2,
        )


def test_a_pipeline_comes_from_its_body_or_from_s3(cloud: Cloud, role: str) -> None:
    """PipelineDefinition of AWS::SageMaker::Pipeline: PipelineDefinitionBody or PipelineDefinitionS3Location."""
    sagemaker, s3 = cloud.client("sagemaker", DEV), cloud.client("s3", DEV)

    def definition(message: str) -> str:
        step = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": message}}
        return json.dumps({"Version": "2020-12-01", "Steps": [step]})

    def stack(content: dict[str, Any]) -> dict[str, Any]:
        properties = {"PipelineName": "from-a-stack", "RoleArn": role, "PipelineDefinition": content}
        pipeline = {"Type": "AWS::SageMaker::Pipeline", "Properties": properties}
        return {"Resources": {"Pipeline": pipeline}, "Outputs": {"Name": {"Value": {"Ref": "Pipeline"}}}}

    made = cloud.deploy(DEV, "pipes", stack({"PipelineDefinitionBody": definition("body")}))
    assert made["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, "pipes")
    assert made["Outputs"][0]["OutputValue"] == "from-a-stack"
    assert "body" in sagemaker.describe_pipeline(PipelineName="from-a-stack")["PipelineDefinition"]

    s3.put_object(Bucket=BUCKET, Key="pipeline.json", Body=definition("object").encode())
    location = {"Bucket": BUCKET, "Key": "pipeline.json"}
    made = cloud.deploy(DEV, "pipes", stack({"PipelineDefinitionS3Location": location}))
    assert made["StackStatus"] == "UPDATE_COMPLETE", cloud.failures(DEV, "pipes")
    assert "object" in sagemaker.describe_pipeline(PipelineName="from-a-stack")["PipelineDefinition"]

    cloud.client("cloudformation", DEV).delete_stack(StackName="pipes")
    with pytest.raises(ClientError):
        cloud.settled(DEV, "pipes")
    assert sagemaker.list_pipelines(PipelineNamePrefix="from-a-stack")["PipelineSummaries"] == []
