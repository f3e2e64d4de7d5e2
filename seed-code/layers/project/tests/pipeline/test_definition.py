"""The definition that SageMaker gets: valid, complete, and the same whenever nothing changed."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import test_data_source
from conftest import define
from definition_rules import problems, steps
from local_pipelines.expressions import Scope, resolve

from ml_pipelines.config import SOURCE, Machines, ProjectConfig

pytestmark = pytest.mark.slow

CACHE_KEYS = {
    # https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": ("AlgorithmSpecification", "Environment", "HyperParameters", "InputDataConfig"),
}


OF_SOURCE = test_data_source.STEPS

DURING_EXECUTION = Scope(
    parameters={**test_data_source.PARAMETERS, "DataVersion": "1"},
    execution={"PipelineExecutionArn": "arn"},
    read_property_file=lambda *_: {
        "gate": {"metric": "auc", "value": 0.5, "reason": "auc is 0.5000: good enough"},
        "champion": {"note": "not comparable: it solves another problem"},
        **test_data_source.RESULTS,
    },
)


def step(definition: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [item for item in steps(definition) if item["Name"] == name]
    return found


def cache_keys(definition: dict[str, Any]) -> dict[str, str]:
    """Return what the step cache compares, by the name of the step."""
    return {
        item["Name"]: json.dumps({key: item["Arguments"].get(key) for key in CACHE_KEYS[item["Type"]]}, sort_keys=True)
        for item in steps(definition)
        if item["Type"] in CACHE_KEYS
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the steps that the cache would not recognise."""
    old, new = cache_keys(before), cache_keys(after)
    return [name for name in old if old[name] != new[name]]


def test_the_service_would_accept_every_request(definition: dict[str, Any]) -> None:
    assert problems(definition) == []


def plant_unknown_key(definition: dict[str, Any]) -> None:
    step(definition, "Train")["Arguments"]["ResourceConfig"]["InstanceTyp"] = "ml.m5.large"


def plant_wrong_type(definition: dict[str, Any]) -> None:
    step(definition, "Validate")["Arguments"]["StoppingCondition"]["MaxRuntimeInSeconds"] = "long"


def plant_missing_key(definition: dict[str, Any]) -> None:
    del step(definition, "Prepare")["Arguments"]["RoleArn"]


def plant_input_without_source(definition: dict[str, Any]) -> None:
    del step(definition, "Evaluate")["Arguments"]["ProcessingInputs"][0]["S3Input"]


@pytest.mark.parametrize(
    "plant",
    [plant_unknown_key, plant_wrong_type, plant_missing_key, plant_input_without_source],
    ids=lambda f: f.__name__,
)
def test_the_check_finds_planted_errors(definition: dict[str, Any], plant: Callable[[dict[str, Any]], None]) -> None:
    broken = copy.deepcopy(definition)
    plant(broken)
    assert len(problems(broken)) == 1


def test_steps_and_parameters(definition: dict[str, Any]) -> None:
    assert [item["Name"] for item in definition["Steps"]] == [
        *OF_SOURCE,
        "Validate",
        "Prepare",
        "Train",
        "Evaluate",
        "Gate",
    ]
    assert [item["Name"] for item in steps(definition)][-2:] == ["Register", "GateFailed"]
    defaults = {item["Name"]: item.get("DefaultValue") for item in definition["Parameters"]}
    assert defaults == {
        **test_data_source.PARAMETERS,
        "DataVersion": None,  # who starts an execution has to say which state of the data is meant
        "ProcessingInstanceType": "ml.m5.xlarge",
        "ProcessingInstanceCount": 1,
        "TrainingInstanceType": "ml.m5.xlarge",
    }


def test_everything_written_is_encrypted_with_the_key_of_the_project(
    definition: dict[str, Any], config: ProjectConfig
) -> None:
    jobs = [item["Arguments"] for item in steps(definition) if item["Type"] in CACHE_KEYS]
    assert len(jobs) == len(OF_SOURCE) + 4
    for job in jobs:
        if "ProcessingResources" in job:
            assert job["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == config.kms_key_arn
            assert job["ProcessingOutputConfig"]["KmsKeyId"] == config.kms_key_arn
        else:
            assert job["ResourceConfig"]["VolumeKmsKeyId"] == config.kms_key_arn
            assert job["OutputDataConfig"]["KmsKeyId"] == config.kms_key_arn


def test_everything_written_is_in_the_bucket_of_the_project(definition: dict[str, Any], config: ProjectConfig) -> None:
    written = []
    for item in steps(definition):
        outputs = item["Arguments"].get("ProcessingOutputConfig", {}).get("Outputs", [])
        written += [output["S3Output"]["S3Uri"]["Std:Join"]["Values"][0] for output in outputs]
    written.append(step(definition, "Train")["Arguments"]["OutputDataConfig"]["S3OutputPath"])
    assert len(written) == len(OF_SOURCE) + 8
    assert all(uri.startswith(f"s3://{config.bucket}/{config.pipeline_name}/") for uri in written)


def test_jobs_carry_the_tags_of_the_project(definition: dict[str, Any]) -> None:
    expected = [
        {"Key": "sagemaker:project-name", "Value": "churn"},
        {"Key": "sagemaker:project-id", "Value": "p-abc123"},
    ]
    for name in (*OF_SOURCE, "Validate", "Prepare", "Train", "Evaluate"):
        assert step(definition, name)["Arguments"]["Tags"] == expected


def test_every_job_runs_in_the_network_of_the_account_when_it_has_one(config: ProjectConfig, tmp_path: Path) -> None:
    network = {"subnet_ids": ("subnet-1", "subnet-2"), "security_group_ids": ("sg-1",)}
    definition = define(replace(config, machines=Machines(cache_days=0), kms_key_arn=None, **network), tmp_path)
    assert problems(definition) == []
    jobs = [item["Arguments"] for item in steps(definition) if item["Type"] in ("Processing", "Training")]
    found = [job.get("VpcConfig") or job["NetworkConfig"]["VpcConfig"] for job in jobs]
    assert found == [{"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}] * (len(OF_SOURCE) + 4)
    assert not any("CacheConfig" in item for item in steps(definition))


def test_only_the_preparation_shares_the_files_among_instances(definition: dict[str, Any]) -> None:
    distribution = {
        item["Name"]: item["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3DataDistributionType"]
        for item in steps(definition)
        if item["Name"] in ("Validate", "Prepare")
    }
    assert distribution == {"Validate": "FullyReplicated", "Prepare": "ShardedByS3Key"}
    resources = step(definition, "Prepare")["Arguments"]["ProcessingResources"]["ClusterConfig"]
    assert resources["InstanceCount"] == test_data_source.INSTANCES


def test_steps_are_retried_when_throttled_or_without_capacity(definition: dict[str, Any]) -> None:
    for name in (*OF_SOURCE, "Validate", "Prepare", "Train", "Evaluate"):
        retried = {error for policy in step(definition, name)["RetryPolicies"] for error in policy["ExceptionType"]}
        assert {"Step.THROTTLING", "SageMaker.CAPACITY_ERROR"} <= retried
    assert step(definition, "Register")["RetryPolicies"][0]["ExceptionType"][0] == "Step.THROTTLING"


def test_a_model_is_registered_as_pending_with_what_is_known_of_it(
    definition: dict[str, Any], config: ProjectConfig
) -> None:
    request = step(definition, "Register")["Arguments"]
    assert request["ModelApprovalStatus"] == "PendingManualApproval"
    assert request["ModelPackageGroupName"] == config.model_package_group
    assert request["MetadataProperties"]["CommitId"] == config.commit
    assert request["MetadataProperties"]["ProjectId"] == "p-abc123"
    found = request["CustomerMetadataProperties"].items()
    lineage = {key: value for key, value in found if key.startswith("data_")}
    assert lineage == {**test_data_source.LINEAGE, "data_version": {"Get": "Parameters.DataVersion"}}
    assert request["CustomerMetadataProperties"]["pipeline_execution"] == {"Get": "Execution.PipelineExecutionArn"}
    baselines = request["DriftCheckBaselines"]["ModelDataQuality"]
    assert baselines["Constraints"]["S3Uri"]["Std:Join"]["Values"][1] == "constraints.json"
    assert request["SamplePayloadUrl"]["Std:Join"]["Values"][1] == "payload.tar.gz"
    (container,) = request["InferenceSpecification"]["Containers"]
    assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
    assert not [item for item in steps(definition) if "Repack" in item["Name"]]


def test_any_name_of_a_label_can_be_registered(config: ProjectConfig, tmp_path: Path) -> None:
    label = 'left\t"us"? (yes/no)'
    request = step(define(replace(config, job=replace(config.job, label=label)), tmp_path), "Register")["Arguments"]
    # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html: CustomerMetadataProperties
    assert request["CustomerMetadataProperties"]["label"] == "left__us__ _yes/no_"
    assert resolve(request["ModelPackageDescription"], DURING_EXECUTION) == (
        'Predicts left "us"? (yes/no); on test records auc is 0.5000: good enough'
    )
    card = resolve(request["ModelCard"]["ModelCardContent"], DURING_EXECUTION)
    assert label in json.loads(card)["intended_uses"]["purpose_of_model"]


def test_names_stay_within_what_the_service_allows(config: ProjectConfig, tmp_path: Path) -> None:
    longest = f"{'n' * 32}-{'i' * 16}"  # the longest names of a project and of its id
    definition = define(replace(config, pipeline_name=longest, model_package_group=longest), tmp_path)
    assert problems(definition) == []
    for item in steps(definition):
        assert len(item["Name"]) <= 64  # StepName of the service
        for value in item["Arguments"].get("ProcessingInputs", []):
            uri = value["S3Input"]["S3Uri"]
            assert not isinstance(uri, str) or len(uri) <= 1024


def test_the_same_code_gives_the_same_definition_wherever_and_whenever_it_is_built(
    config: ProjectConfig, definition: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_source(tmp_path / "another checkout" / "src", monkeypatch)
    assert define(config, tmp_path) == definition


def test_a_change_of_code_reaches_every_job(
    config: ProjectConfig, definition: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = use_source(tmp_path / "src", monkeypatch)
    script = source / "tabular" / "encoders.py"
    script.write_text(script.read_text() + "\n# changed\n")
    assert changed(definition, define(config, tmp_path)) == ["Validate", "Prepare", "Train", "Evaluate"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"threshold": 0.7}, ["Evaluate"]),
        ({"metric": "f1"}, ["Train", "Evaluate"]),
        ({"seed": 1}, ["Validate", "Prepare", "Train", "Evaluate"]),
    ],
)
def test_a_change_of_settings_reaches_the_jobs_that_use_them(
    config: ProjectConfig, definition: dict[str, Any], tmp_path: Path, settings: dict[str, Any], expected: list[str]
) -> None:
    after = define(replace(config, job=replace(config.job, **settings)), tmp_path)
    assert changed(definition, after) == expected


def test_a_change_of_how_is_trained_leaves_the_prepared_data_in_the_cache(
    config: ProjectConfig, definition: dict[str, Any], tmp_path: Path
) -> None:
    hyperparameters = replace(config.job.hyperparameters, max_depth=7)
    deeper = replace(config.job, hyperparameters=hyperparameters, balance_classes=True, in_memory_mib=100)
    after = define(replace(config, job=deeper), tmp_path)
    assert changed(definition, after) == ["Train", "Evaluate"]
    assert step(after, "Train")["Arguments"]["HyperParameters"]["max_depth"] == "7"


def test_new_data_reaches_the_cache_key_of_the_first_step(definition: dict[str, Any]) -> None:
    for name in (*OF_SOURCE, "Validate"):
        variables = step(definition, name)["Arguments"]["Environment"]
        assert variables["DATA_VERSION"] == {"Get": "Parameters.DataVersion"}


def test_the_evaluation_is_never_taken_from_the_cache(definition: dict[str, Any]) -> None:
    cached = [item["Name"] for item in steps(definition) if item.get("CacheConfig", {}).get("Enabled")]
    assert cached == [*OF_SOURCE, "Validate", "Prepare", "Train"]


def use_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the pipeline take the code of the jobs from a copy."""
    from ml_pipelines import pipeline

    shutil.copytree(SOURCE, folder)
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "left_over.pyc").write_text("x")
    monkeypatch.setattr(pipeline, "SOURCE", folder)
    return folder
