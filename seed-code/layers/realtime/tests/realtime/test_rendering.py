"""What is rendered for which settings, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from deployment import local, packages, realtime
from deployment.errors import DeploymentError
from deployment.shadow_template import literal

from .conftest import SCHEDULES, Project

VPC = {
    "prod.network.security_group_ids": ("sg-0123456789abcdef0",),
    "prod.network.subnet_ids": ("subnet-0123456789abcdef0", "subnet-1123456789abcdef0"),
}
POOL = "arn:aws:cognito-idp:ap-southeast-1:333344445555:userpool/ap-southeast-1_AbCdEfGhI"
SERVERLESS = {"ENDPOINT_TYPE": "serverless", "TRAFFIC_POLICY": "all-at-once", "CAPTURE_PERCENT": "0"}


@pytest.mark.parametrize(
    ("changes", "variables"),
    [
        pytest.param({}, {}, id="defaults"),
        pytest.param({}, SERVERLESS, id="serverless"),
        pytest.param({}, {"TRAFFIC_POLICY": "linear"}, id="linear"),
        pytest.param({}, {"INSTANCE_TYPE": "ml.g5.xlarge"}, id="disks of the machine itself"),
        pytest.param({}, {"TRAFFIC_POLICY": "all-at-once", "INSTANCE_COUNT": "1"}, id="one instance"),
        pytest.param({}, {"INSTANCE_COUNT": "4"}, id="no scaling"),
        pytest.param({}, {"CAPTURE_PERCENT": "0"}, id="no capture"),
        pytest.param({}, {"API_AUTH": "iam"}, id="API for AWS credentials"),
        pytest.param({}, {"API_AUTH": "jwt", "API_USER_POOL_ARN": POOL}, id="API for tokens"),
        pytest.param(VPC, {}, id="VPC and isolation"),
        pytest.param({"prod.network.isolation": False}, {}, id="no isolation"),
        pytest.param({}, {"SHADOW_HOURS": "24", **SCHEDULES}, id="shadow"),
        pytest.param({}, {"PROD_ACCOUNT_ID": "222233334444"}, id="test and prod in one account"),
        pytest.param({}, {"PROD_REGION": "eu-west-1"}, id="prod in another region"),
    ],
)
def test_settings_become_templates_that_pass_every_check(
    project: Project, changes: dict[str, Any], variables: dict[str, str]
) -> None:
    prod = project.render(changes, **variables)["prod"]
    config = literal(prod.template["Resources"]["EndpointConfig"]["Properties"], prod)
    (variant,) = config["ProductionVariants"]
    is_serverless = variables.get("ENDPOINT_TYPE") == "serverless"
    assert ("ServerlessConfig" in variant) == is_serverless
    assert ("InstanceType" in variant) == (not is_serverless)
    has_disks = variables.get("INSTANCE_TYPE") == "ml.g5.xlarge"
    assert ("KmsKeyId" in config) == (not is_serverless and not has_disks)
    assert ("DataCaptureConfig" in config) == (variables.get("CAPTURE_PERCENT") != "0")


def names(rendered: Any) -> set[str]:
    """Return the names of the resources of a stage, as they are in its account."""
    keys = ("EndpointName", "EndpointConfigName", "ModelName", "AlarmName", "PipelineName", "QueueName", "LogGroupName")
    values = rendered.parameters
    found = set()
    for entry in rendered.template["Resources"].values():
        for key in keys:
            value = entry["Properties"].get(key)
            if isinstance(value, dict) and "Fn::Sub" in value:
                found.add(re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], value["Fn::Sub"]))
    return found


def test_test_and_prod_in_one_account_share_no_name(project: Project) -> None:
    rendered = project.render({}, PROD_ACCOUNT_ID="222233334444", API_AUTH="iam")
    assert names(rendered["test"]).isdisjoint(names(rendered["prod"]))


def test_two_projects_with_the_same_model_share_no_name(project: Project) -> None:
    one = project.render({}, PROJECT_ID="p-one", PROJECT_NAME="churn", API_AUTH="iam")
    other = project.render({}, PROJECT_ID="p-two", PROJECT_NAME="churn", API_AUTH="iam")
    for stage in ("test", "prod"):
        assert len(names(one[stage])) >= 6
        assert names(one[stage]).isdisjoint(names(other[stage]))


def test_the_longest_names_fit(project: Project) -> None:
    endpoint = "a-project-name-of-32-characters1-p-abcdefghijklmn-prod"
    found = names(project.render({}, SHADOW_HOURS="1", **SCHEDULES)["prod"])
    assert endpoint in found
    assert max(map(len, found)) <= 63


def test_another_instance_type_is_another_configuration_of_the_same_model(project: Project) -> None:
    small, large = (project.render({}, INSTANCE_TYPE=name)["prod"] for name in ("ml.m5.large", "ml.m5.xlarge"))
    model, config = "Model", "EndpointConfig"
    assert small.template["Resources"][model] == large.template["Resources"][model]
    assert small.template["Resources"][config] != large.template["Resources"][config]


def test_an_update_goes_back_when_errors_latency_or_quality_ring(project: Project) -> None:
    prod = project.render()["prod"]
    deployment = literal(prod.template["Resources"]["Endpoint"]["Properties"]["DeploymentConfig"], prod)
    alarms = [entry["AlarmName"]["Ref"] for entry in deployment["AutoRollbackConfiguration"]["Alarms"]]
    assert alarms == ["ErrorAlarm", "LatencyAlarm", "QualityAlarm"]
    routing = deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["CanarySize"] == {"Type": "CAPACITY_PERCENT", "Value": "25"}
    waits = int(routing["WaitIntervalInSeconds"]) * 2
    assert int(deployment["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"]) > waits


def test_models_on_instances_open_no_connections_unless_the_settings_say_so(project: Project) -> None:
    isolated = project.render({}, ENDPOINT_TYPE="instance")["prod"]
    assert literal(isolated.template["Resources"]["Model"]["Properties"]["EnableNetworkIsolation"], isolated) == "true"
    assert project.render({"prod.network.isolation": False})["prod"].parameters["NetworkIsolation"] == "false"
    assert project.render({}, **SERVERLESS)["prod"].parameters["NetworkIsolation"] == "false"


def test_an_isolated_model_that_would_fetch_its_code_is_refused(project: Project) -> None:
    (container,) = packages.parse(local.PACKAGE).containers
    remote = replace(container, environment={"SAGEMAKER_SUBMIT_DIRECTORY": "s3://bucket/code.tar.gz"})
    package = replace(packages.parse(local.PACKAGE), containers=(remote,))
    with pytest.raises(DeploymentError, match=r"prod: .* has its code at s3://bucket/code\.tar\.gz"):
        realtime.parameters(project.context(), "prod", package)
    assert realtime.parameters(project.context(), "test", package)["NetworkIsolation"] == "false"  # serverless
    assert realtime.parameters(project.context({"prod.network.isolation": False}), "prod", package)


def test_monitors_are_off_where_nothing_is_captured(project: Project) -> None:
    rendered = project.render({}, CAPTURE_PERCENT="0")["prod"]
    assert rendered.parameters["MonitorState"] == "DISABLED"
    assert rendered.parameters["ModelQualityAlarm"] == "false"
    assert project.render()["prod"].parameters["MonitorState"] == "ENABLED"


@pytest.mark.parametrize(
    ("variables", "edit", "reason"),
    [
        ({**SERVERLESS, "CAPTURE_PERCENT": "10"}, None, "SageMaker has no capture.percent above 0"),
        ({**SERVERLESS, "TRAFFIC_POLICY": "linear"}, None, "traffic.policy is linear"),
        ({**SERVERLESS, "SHADOW_HOURS": "1"}, None, "no a second variant"),
        (SERVERLESS, ("subnet_ids: []", "subnet_ids: [subnet-01234567]"), "no a VPC"),
        (SERVERLESS, ("memory_mb: 4096", "memory_mb: 4000"), "serverless.memory_mb is 4000"),
        ({"INSTANCE_COUNT": "1"}, None, "there have to be two"),
        ({"INSTANCE_COUNT": "5"}, None, "fewer than instances.least (5)"),
        ({"INSTANCE_TYPE": "ml.inf1.xlarge"}, None, "ml.inf1.xlarge SageMaker only has all-at-once"),
        ({"TRAFFIC_POLICY": "linear"}, ("step_percent: 25", "step_percent: 5"), "10 to 50 percent"),
        ({}, ("wait_seconds: 600", "wait_seconds: 180"), "every step would be over before"),
        ({"TRAFFIC_POLICY": "linear"}, ("wait_seconds: 600", "wait_seconds: 3600"), ""),
        (
            {"TRAFFIC_POLICY": "linear"},
            ("step_percent: 25\n    wait_seconds: 600", "step_percent: 10\n    wait_seconds: 3600"),
            "more than the 28800 that SageMaker allows",
        ),
        ({"API_AUTH": "jwt"}, None, "jwt needs the user pool"),
        ({"API_USER_POOL_ARN": POOL}, None, "only jwt does"),
        ({"CAPTURE_REPLICA_BUCKET": "lake"}, None, "both replica_bucket and replica_key_arn"),
        ({"SHADOW_HOURS": "1", "CAPTURE_PERCENT": "0"}, None, "without captured answers"),
        ({}, ("subnet_ids: []", "subnet_ids: [subnet-01234567]"), "both security_group_ids and subnet_ids"),
        ({"ENDPOINT_TYPE": "server"}, None, "prod.endpoint_type is 'server'; it must be instance or serverless"),
        ({"MAX_ERROR_PERCENT": "101"}, None, "prod.alarms.max_error_percent is '101'"),
    ],
)
def test_what_sagemaker_does_not_offer_is_refused_with_the_reason(
    project: Project, variables: dict[str, str], edit: tuple[str, str] | None, reason: str
) -> None:
    if edit:
        path = project.root / "environments.yaml"
        test, prod = path.read_text().split("\nprod:\n")
        assert edit[0] in prod
        path.write_text(f"{test}\nprod:\n{prod.replace(edit[0], edit[1], 1)}")
    if not reason:
        project.context(**variables)
        return
    with pytest.raises(DeploymentError) as caught:
        project.context(**variables)
    assert reason in str(caught.value)
    assert "- test:" not in str(caught.value)


def test_a_shadow_in_test_is_refused(project: Project) -> None:
    path = project.root / "environments.yaml"
    path.write_text(path.read_text().replace("hours: 0", "hours: 4", 1))
    with pytest.raises(DeploymentError, match="only prod has requests"):
        project.context()


def test_a_shadow_period_needs_a_project_with_one(project: Project) -> None:
    with pytest.raises(DeploymentError, match="created without a shadow period"):
        project.render({}, SHADOW_HOURS="12")


def test_a_model_of_several_containers_has_no_shadow_and_is_not_serverless(project: Project) -> None:
    package = packages.parse(local.PACKAGE)
    twice = replace(package, containers=package.containers * 2)
    shadow = project.context({}, SHADOW_HOURS="12", **SCHEDULES).environments["prod"]
    serverless = project.context({}, **SERVERLESS).environments["prod"]
    assert "there is no shadow" in " ".join(realtime.refuse_package("prod", shadow, twice))
    assert "serverless does not take" in " ".join(realtime.refuse_package("prod", serverless, twice))
    assert realtime.refuse_package("prod", shadow, package) == []
