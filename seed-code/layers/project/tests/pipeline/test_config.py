"""What config.yaml and the platform decide together."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_pipelines.config import ConfigError, for_aws, for_this_machine, read_settings
from ml_pipelines.data_source import VARIABLES


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_what_is_null_comes_from_the_platform(build: dict[str, str], undecided: Path) -> None:
    config = for_aws(undecided, build)
    assert (config.job.label, config.job.problem_type) == ("churned", "auto")
    assert config.source.undecided is None
    assert config.commit == build["CODEBUILD_RESOLVED_SOURCE_VERSION"]
    assert config.tags == {"sagemaker:project-name": "churn", "sagemaker:project-id": "p-abc123"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"JOB_SUBNET_IDS": "subnet-1,subnet-2", "JOB_SECURITY_GROUP_IDS": "sg-1"},
            (("subnet-1", "subnet-2"), ("sg-1",)),
        ),
        ({"JOB_SUBNET_IDS": "none", "JOB_SECURITY_GROUP_IDS": "none"}, ((), ())),
        ({}, ((), ())),
    ],
)
def test_the_network_of_the_jobs_comes_from_the_platform(
    build: dict[str, str], undecided: Path, given: dict[str, str], expected: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    config = for_aws(undecided, build | given)
    assert (config.subnet_ids, config.security_group_ids) == expected


def test_the_file_wins_over_the_platform(tmp_path: Path, build: dict[str, str]) -> None:
    path = write(tmp_path, "label: left\nproblem_type: binary\n")
    config = for_aws(path, build)
    assert (config.job.label, config.job.problem_type) == ("left", "binary")


def test_every_wrong_value_is_reported_at_once(tmp_path: Path, build: dict[str, str]) -> None:
    text = """
        splits: {train: 0.9, validation: 0.2, test: 0.1}
        treshold: 0.8
        pipeline:
          processing_instance_count: 0
          training_instance_type: m5.large
          volume_gb: 30
          subnets: [subnet-1]
          tags: {cost-center: 4711}
    """
    with pytest.raises(ConfigError) as caught:
        for_aws(write(tmp_path, text), build)
    message = str(caught.value)
    for part in (
        "splits must add up to 1",
        "treshold is not a known key; did you mean threshold?",
        "pipeline.processing_instance_count must be a whole number of at least 1, found 0",
        "pipeline.training_instance_type: 'm5.large' is not a SageMaker instance type such as ml.m5.xlarge",
        "pipeline.volume_gb is not a known key; did you mean volume_gib?",
        "pipeline.subnets is not a known key; remove it: the account decides in which network jobs run",
        "put numbers in quotes",
    ):
        assert part in message
    assert message.startswith("config.yaml cannot be used:\n- ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label: [", "not valid YAML"),
        ("- label", "must hold keys and values"),
        ("label: a\npipeline: fast", "pipeline must be a mapping"),
        (
            "label: a\npipeline: {transform_instance_types: ml.m5.large}",
            "pipeline.transform_instance_types must be a list, e.g. [a, b]; found 'ml.m5.large'",
        ),
        ("label: a\npipeline: {inference_instance_types: []}", "inference_instance_types must not be empty"),
        ("", "label is not set: enter the column to predict in config.yaml, or give it as LABEL=column."),
        ("label: 7", "label must name a column"),
    ],
)
def test_a_malformed_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(write(tmp_path, text), {})
    assert message in str(caught.value)


def test_what_says_where_the_data_is_belongs_in_the_file_of_the_source(tmp_path: Path, build: dict[str, str]) -> None:
    key = next(iter(VARIABLES))
    with pytest.raises(ConfigError, match=rf"config.yaml cannot be used:\n- {key} belongs in data.yaml: move the line"):
        for_aws(write(tmp_path, f"{key}: anything\n"), build)
    (tmp_path / "data.yaml").write_text("place: there\n")
    with pytest.raises(ConfigError, match=rf"data.yaml cannot be used:\n- place is not a known key; known keys: {key}"):
        for_aws(write(tmp_path, ""), build)


def test_publishing_without_the_variables_of_the_build_names_them_and_the_way_out(
    build: dict[str, str], undecided: Path
) -> None:
    del build["PIPELINE_NAME"], build["ARTIFACT_BUCKET"]
    with pytest.raises(ConfigError, match=r"PIPELINE_NAME, ARTIFACT_BUCKET are not set.*make local"):
        for_aws(undecided, build)


def test_on_this_machine_the_label_can_be_given(monkeypatch: pytest.MonkeyPatch, undecided: Path) -> None:
    monkeypatch.delenv("LABEL", raising=False)
    assert for_this_machine(undecided, label="churned").job.label == "churned"
    with pytest.raises(ConfigError, match="label is not set"):
        for_this_machine(undecided)


def test_on_this_machine_what_is_asked_for_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "label: churned\nproblem_type: binary\n")
    job = for_this_machine(path, label="fraud", problem_type="regression").job
    assert (job.label, job.problem_type) == ("fraud", "regression")
    assert for_this_machine(path).job.label == "churned"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label: a\nlabel: b\n", "config.yaml: label is there twice, in lines 1 and 2"),
        ("metric: auc\nthreshold: 80\n", "threshold 80 can never decide anything: auc is between 0 and 1"),
        ("metric: f1\nthreshold: -0.1\n", "f1 is between 0 and 1"),
        ("metric: r2\nthreshold: 1.5\n", "r2 is at most 1"),
        ("metric: rmse\nthreshold: -3\n", "rmse is at least 0"),
        ("problem_type: binary\nthreshold: 80\n", "auc is between 0 and 1"),
        ("hyperparameters: {eta: fast}\n", "eta must be above 0"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_settings(write(tmp_path, text if text.startswith("label") else "label: a\n" + text), {})


def test_settings_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("label: größe\n".encode("latin1"))
    with pytest.raises(ConfigError, match=r"config\.yaml is not UTF-8 text \(byte 0xf6 in line 1\)"):
        read_settings(path, {})


def test_numbers_are_what_people_mean(tmp_path: Path) -> None:
    _, job, _ = read_settings(write(tmp_path, "label: a\nhyperparameters: {eta: 1e-3}\nthreshold: 5e-1\n"), {})
    assert (job.hyperparameters.eta, job.threshold) == (0.001, 0.5)
