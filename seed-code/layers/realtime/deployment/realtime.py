"""The settings of a real-time endpoint: what environments.yaml holds, what is refused, and what the templates get."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from deployment import machines, monitors
from deployment.context import Context
from deployment.errors import DeploymentError
from deployment.packages import ModelPackage
from deployment.settings import Setting, choice, flag, number, section, text, texts, whole_number

TEMPLATE = "endpoint"
VARIANT, SHADOW = "main", "shadow"
INSTANCE, SERVERLESS = "instance", "serverless"

_POLICIES = {"all-at-once": "ALL_AT_ONCE", "canary": "CANARY", "linear": "LINEAR"}
_START_SECONDS = 3600
"""Time for new instances to start, on top of the waiting that the settings ask for."""
_LONGEST_UPDATE_SECONDS = 28_800  # MaximumExecutionTimeoutInSeconds of BlueGreenUpdatePolicy
_SHORTEST_UPDATE_SECONDS = 600
_SERVERLESS = "https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html (feature exclusions)"
_GUARDRAILS = (
    "https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html (asynchronous and real-time only)"
)
_SHADOWS = "https://docs.aws.amazon.com/sagemaker/latest/dg/shadow-tests-exclusions.html"
_NO_GUARDRAILS = "https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-exclusions.html"

SCHEMA: dict[str, Setting] = {
    "endpoint_type": choice(INSTANCE, SERVERLESS),
    "instances": section(
        {
            "type": text(monitors.MACHINE, example="ml.m5.large"),
            "least": whole_number(1, 1000),
            "most": whole_number(1, 1000),
            "requests_per_minute": whole_number(1, 1_000_000),
        }
    ),
    "serverless": section({"memory_mb": whole_number(1024, 6144), "max_concurrency": whole_number(1, 200)}),
    "traffic": section(
        {
            "policy": choice(*_POLICIES),
            "step_percent": whole_number(1, 50),
            "wait_seconds": whole_number(0, 3600),
            "keep_old_seconds": whole_number(0, 3600),
        }
    ),
    "alarms": section(
        {
            "max_error_percent": number(0, 100),
            "max_latency_ms": number(1, 60_000),
            "latency_percentile": text(r"p\d{1,2}(\.\d{1,2})?", example="p99"),
            "minutes": whole_number(1, 60),
            "model_quality": flag(),
        }
    ),
    "capture": section(
        {
            "percent": whole_number(0, 100),
            "replica_bucket": text(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", example="acme-data-captured", optional=True),
            "replica_key_arn": text(
                r"arn:[a-z0-9-]+:kms:[a-z0-9-]+:\d{12}:key/[\w-]+",
                example="arn:aws:kms:eu-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab",
                optional=True,
            ),
        }
    ),
    "network": section(
        {
            "isolation": flag(),
            "security_group_ids": texts(r"sg-[0-9a-f]{8,32}", example="sg-0123456789abcdef0", most=5),
            "subnet_ids": texts(r"subnet-[0-9a-f]{8,32}", example="subnet-0123456789abcdef0", most=16),
        }
    ),
    "shadow": section(
        {
            "hours": whole_number(0, 336),
            "min_requests": whole_number(0, 1_000_000),
            "max_different_percent": number(0, 100),
            "value_tolerance": number(0, 10),
            "max_slower_percent": number(0, 10_000),
        }
    ),
    "api": section(
        {
            "auth": choice("none", "iam", "jwt"),
            "user_pool_arn": text(
                r"arn:[a-z0-9-]+:cognito-idp:[a-z0-9-]+:\d{12}:userpool/[a-z0-9-]+_[A-Za-z0-9]+",
                example="arn:aws:cognito-idp:eu-west-1:333344445555:userpool/eu-west-1_AbCdEfGhI",
                optional=True,
            ),
            "requests_per_second": whole_number(1, 10_000),
            "burst": whole_number(1, 5_000),
            "tracing": flag(),
        }
    ),
    "endpoint_test": section(
        {
            "records": whole_number(1, 500),
            "value_tolerance": number(0, 1),
            "max_different_percent": number(0, 100),
            "requests": whole_number(1, 1000),
            "p50_ms": number(1, 60_000),
            "p90_ms": number(1, 60_000),
            "p99_ms": number(1, 60_000),
        }
    ),
    "monitors": section(monitors.SCHEMA),
}
"""The settings of a stage in environments.yaml."""


def refuse(stage: str, settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with settings that are right one by one, as sentences.

    Args:
        stage: The stage.
        settings: Its settings.
    """
    of_type = {SERVERLESS: _refuse_serverless, INSTANCE: _refuse_instances}
    problems = of_type[settings["endpoint_type"]](settings)
    network, api, capture, shadow = (settings[key] for key in ("network", "api", "capture", "shadow"))
    if bool(network["security_group_ids"]) != bool(network["subnet_ids"]):
        problems.append("network needs both security_group_ids and subnet_ids for a VPC, or neither. Fill in both.")
    if (api["auth"] == "jwt") != bool(api["user_pool_arn"]):
        problems.append(
            f"api.auth is {api['auth']} and api.user_pool_arn {api['user_pool_arn'] or 'empty'}: jwt needs the user "
            f"pool whose tokens are accepted, and only jwt does. Set both, or neither."
        )
    if bool(capture["replica_bucket"]) != bool(capture["replica_key_arn"]):
        problems.append(
            "capture needs both replica_bucket and replica_key_arn, or neither: captured data is encrypted, and its "
            "copy with the key of the account that gets it. Write the key's ARN."
        )
    if capture["replica_bucket"] and not capture["percent"]:
        problems.append("capture.replica_bucket gets nothing, because capture.percent is 0. Raise it, or write null.")
    if shadow["hours"] and stage != "prod":
        problems.append(f"shadow.hours is {shadow['hours']}: only prod has requests to copy to a shadow. Write 0.")
    if shadow["hours"] and not capture["percent"]:
        problems.append(
            f"shadow.hours is {shadow['hours']} and capture.percent 0: without captured answers nobody can compare "
            f"the models. Capture, or write 0 hours."
        )
    return problems + monitors.refuse(settings["monitors"])


def _refuse_serverless(settings: Mapping[str, Any]) -> list[str]:
    memory, network = settings["serverless"]["memory_mb"], settings["network"]
    excluded = {
        "capture.percent above 0": settings["capture"]["percent"] > 0,
        "a VPC (network.subnet_ids)": bool(network["security_group_ids"] or network["subnet_ids"]),
        "a second variant (shadow.hours above 0)": settings["shadow"]["hours"] > 0,
    }
    problems = [
        f"endpoint_type is serverless, for which SageMaker has no {what}. Leave that out, or write instance. "
        f"{_SERVERLESS}"
        for what, wanted in excluded.items()
        if wanted
    ]
    if settings["traffic"]["policy"] != "all-at-once":
        problems.append(
            f"traffic.policy is {settings['traffic']['policy']}, which SageMaker does not offer for serverless. Write "
            f"all-at-once, or endpoint_type instance. {_GUARDRAILS}"
        )
    if memory % 1024:
        problems.append(f"serverless.memory_mb is {memory}; SageMaker offers 1024, 2048, 3072, 4096, 5120 and 6144.")
    return problems


def _refuse_instances(settings: Mapping[str, Any]) -> list[str]:
    instances, traffic = settings["instances"], settings["traffic"]
    problems = []
    if instances["most"] < instances["least"]:
        problems.append(f"instances.most is {instances['most']}, fewer than instances.least ({instances['least']}).")
    shifted = traffic["policy"] != "all-at-once"
    if shifted and instances["least"] < 2:
        problems.append(
            f"traffic.policy is {traffic['policy']} with instances.least {instances['least']}: a step is at most half "
            f"of the instances, so there have to be two. Write 2, or all-at-once."
        )
    if shifted and instances["type"].startswith("ml.inf1."):
        problems.append(
            f"traffic.policy is {traffic['policy']}; for {instances['type']} SageMaker only has all-at-once. "
            f"{_NO_GUARDRAILS}"
        )
    if settings["shadow"]["hours"] and instances["type"].startswith("ml.inf1."):
        problems.append(f"shadow.hours: SageMaker has no shadow on {instances['type']}. Write 0. {_SHADOWS}")
    if traffic["policy"] == "linear" and traffic["step_percent"] < 10:
        problems.append(f"traffic.step_percent is {traffic['step_percent']}; a linear step has 10 to 50 percent.")
    if shifted and traffic["wait_seconds"] <= 60 * settings["alarms"]["minutes"]:
        problems.append(
            f"traffic.wait_seconds is {traffic['wait_seconds']}, but an alarm takes alarms.minutes "
            f"({settings['alarms']['minutes']}) to ring: every step would be over before. Wait longer."
        )
    if update_seconds(traffic) > _LONGEST_UPDATE_SECONDS:
        problems.append(
            f"traffic waits {waiting_seconds(traffic)} seconds in all; with an hour for the start of instances that is "
            f"more than the {_LONGEST_UPDATE_SECONDS} that SageMaker allows. Take larger steps, or wait less."
        )
    return problems


def waiting_seconds(traffic: Mapping[str, Any]) -> int:
    """Return how long an update waits in all, in seconds."""
    steps = {"all-at-once": 1, "canary": 2, "linear": math.ceil(100 / traffic["step_percent"])}[traffic["policy"]]
    return int(steps * traffic["wait_seconds"] + traffic["keep_old_seconds"])


def update_seconds(traffic: Mapping[str, Any]) -> int:
    """Return after how many seconds an update that is not done is given up."""
    return max(_SHORTEST_UPDATE_SECONDS, waiting_seconds(traffic) + _START_SECONDS)


def refuse_package(stage: str, settings: Mapping[str, Any], package: ModelPackage) -> list[str]:
    """Return what SageMaker does not offer for a model in a stage, as sentences."""
    problems = []
    if settings["network"]["isolation"] and settings["endpoint_type"] != SERVERLESS:
        problems += [
            f"{stage}: {package.arn} has its code at {place} (SAGEMAKER_SUBMIT_DIRECTORY), which an isolated model "
            f"cannot fetch. Register it with the code in its archive (/opt/ml/model/code), or write false for "
            f"network.isolation."
            for place in (entry.environment.get("SAGEMAKER_SUBMIT_DIRECTORY", "") for entry in package.containers)
            if place.startswith("s3://")
        ]
    if len(package.containers) > 1:
        what = f"{package.arn} has {len(package.containers)} containers"
        if settings["endpoint_type"] == SERVERLESS:
            problems.append(f"{stage}: {what}, which serverless does not take. Write instance. {_SERVERLESS}")
        if settings["shadow"]["hours"]:
            problems.append(f"{stage}: {what}, for which there is no shadow. Write shadow.hours 0. {_SHADOWS}")
    return problems


def parameters(context: Context, stage: str, package: ModelPackage) -> dict[str, str]:
    """Return the values of the parameters of templates/endpoint.yaml and monitor.yaml, and some of base.yaml.

    Args:
        context: Of the step.
        stage: The stage.
        package: With URIs in the stage's bucket.

    Raises:
        DeploymentError: SageMaker does not offer what the settings ask for with this model.
    """
    settings = context.environments[stage]
    problems = refuse_package(stage, settings, package)
    if settings["shadow"]["hours"] and not context.build.choices.get("SCHEDULE_ROLE_ARN"):
        problems.append(
            f"{stage}: shadow.hours is {settings['shadow']['hours']}, but this project was created without a shadow "
            f"period, so its pipeline has no stage for one. Write 0, or update the project with ShadowHours."
        )
    if problems:
        raise DeploymentError("\n".join(problems))
    instances, traffic, alarms, network, capture, api = (
        settings[key] for key in ("instances", "traffic", "alarms", "network", "capture", "api")
    )
    is_serverless = settings["endpoint_type"] == SERVERLESS
    watched = capture["percent"] > 0 and settings["monitors"]["enabled"]
    build, place = context.build, context.build.places[stage]
    return {
        **monitors.parameters(context, stage, package),
        "MonitorState": "ENABLED" if watched else "DISABLED",
        "ReplicaBucket": capture["replica_bucket"] or "",
        "ReplicaKeyArn": capture["replica_key_arn"] or "",
        # Deployed with what the first stack puts out, because logs want the key itself.
        "KeyArn": f"arn:{build.partition}:kms:{place.region}:{place.account}:alias/mlp-{build.tag(stage)}-data",
        "WithApi": _flag(api["auth"] != "none"),
        "EndpointType": settings["endpoint_type"],
        "InstanceType": instances["type"],
        "EncryptVolumes": _flag(not machines.has_local_storage(instances["type"])),
        "InstanceCount": str(instances["least"]),
        "MaxInstanceCount": str(instances["most"]),
        "InvocationsPerInstance": str(instances["requests_per_minute"]),
        "MemoryMb": str(settings["serverless"]["memory_mb"]),
        "MaxConcurrency": str(settings["serverless"]["max_concurrency"]),
        # Isolation concerns what runs in the container. SageMaker itself fetches the archive, captures data and writes
        # logs (https://repost.aws/knowledge-center/sagemaker-access-network-isolation); neither guardrails nor shadows
        # exclude it (_NO_GUARDRAILS, _SHADOWS). Of SageMaker's own images only Chainer and reinforcement learning need
        # a network (https://docs.aws.amazon.com/sagemaker/latest/dg/mkt-algo-model-internet-free.html).
        "NetworkIsolation": _flag(network["isolation"] and not is_serverless),
        "UseVpc": _flag(bool(network["subnet_ids"])),
        "SecurityGroupIds": ",".join(network["security_group_ids"]),
        "SubnetIds": ",".join(network["subnet_ids"]),
        "CapturePercent": str(capture["percent"]),
        "TrafficPolicy": _POLICIES[traffic["policy"]],
        "TrafficStepPercent": str(traffic["step_percent"]),
        "TrafficWaitSeconds": str(traffic["wait_seconds"]),
        "TerminationWaitSeconds": str(traffic["keep_old_seconds"]),
        "UpdateTimeoutSeconds": str(_SHORTEST_UPDATE_SECONDS if is_serverless else update_seconds(traffic)),
        "MaxErrorShare": f"{alarms['max_error_percent'] / 100:g}",
        "MaxLatencyMicroseconds": f"{alarms['max_latency_ms'] * 1000:.0f}",
        "LatencyPercentile": alarms["latency_percentile"],
        "AlarmMinutes": str(alarms["minutes"]),
        "ModelQualityAlarm": _flag(alarms["model_quality"] and watched),
        "ApiAuth": api["auth"],
        "ApiUserPoolArn": api["user_pool_arn"] or "",
        "ApiRequestsPerSecond": str(api["requests_per_second"]),
        "ApiBurst": str(api["burst"]),
        "ApiTracing": _flag(api["tracing"]),
    }


def _flag(value: bool) -> str:
    return "true" if value else "false"
