"""What is repaired in the SDK. Once a newer SDK passes without a repair, the repair can go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import define

from ml_pipelines.config import ROOT, ProjectConfig

pytestmark = pytest.mark.slow


def test_importing_works_without_a_region() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    run = subprocess.run(
        [sys.executable, "-c", "import ml_pipelines.pipeline"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


def test_an_athena_input_reaches_the_request() -> None:
    from ml_pipelines import sdk  # noqa: F401 (it repairs when imported)

    # isort: split
    from sagemaker.core import processing
    from sagemaker.core.shapes import AthenaDatasetDefinition, DatasetDefinition, ProcessingInput

    athena = AthenaDatasetDefinition(
        catalog="AwsDataCatalog",
        database="db",
        query_string="SELECT 1",
        output_s3_uri="s3://b/o",
        output_format="PARQUET",
    )
    definition = DatasetDefinition(local_path="/opt/ml/processing/input/data", athena_dataset_definition=athena)
    request = processing._processing_input_to_request_dict(
        ProcessingInput(input_name="data", dataset_definition=definition)
    )
    assert request["DatasetDefinition"]["AthenaDatasetDefinition"]["QueryString"] == "SELECT 1"


def test_the_code_hash_of_the_sdk_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    from ml_pipelines import sdk  # noqa: F401 (it repairs when imported)

    # isort: split
    from sagemaker.core.workflow import utilities

    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("same")
    first, second = (utilities.hash_files_or_dirs([str(tmp_path / folder)]) for folder in ("one", "two"))
    assert first == second
    (tmp_path / "two" / "a.py").write_text("other")
    assert utilities.hash_files_or_dirs([str(tmp_path / "two")]) != first


def test_the_names_of_a_trainer_are_pinned_only_within_the_context() -> None:
    from ml_pipelines import sdk

    # isort: split
    from sagemaker.train import model_trainer

    with sdk.pinned_names("train-123"):
        assert model_trainer._get_unique_name("base") == "train-123"
    assert model_trainer._get_unique_name("base") != "train-123"


def test_a_digest_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    from ml_pipelines.sdk import digest

    def tree(name: str, files: dict[str, str]) -> Path:
        for path, content in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(content)
        return tmp_path / name

    base = digest(tree("a", {"x.py": "1", "deep/y.py": "2"}))
    assert digest(tree("b", {"deep/y.py": "2", "x.py": "1", "__pycache__/x.pyc": "z", ".cache/f": "z"})) == base
    assert digest(tree("c", {"x.py": "1", "deep/z.py": "2"})) != base
    assert digest(tree("d", {"x.py": "12", "deep/y.py": ""})) != base
    assert digest(tree("a", {}), extra="more") != base


def test_a_processing_step_makes_no_session_of_its_own(
    config: ProjectConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_pipelines import sdk  # noqa: F401 (it repairs when imported)

    # isort: split
    from sagemaker.core.local.local_session import LocalSession

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a local session is not needed to define a pipeline")

    monkeypatch.setattr(LocalSession, "__init__", refuse)
    assert define(config, tmp_path)["Steps"]


def test_a_wrong_configuration_of_the_sdk_is_still_refused() -> None:
    from ml_pipelines import sdk  # noqa: F401 (it repairs when imported)

    # isort: split
    from jsonschema import ValidationError
    from sagemaker.core.config.config_manager import SageMakerConfig

    for _ in range(2):
        with pytest.raises(ValidationError):
            SageMakerConfig.validate_sagemaker_config({"SchemaVersion": "1.0", "SageMaker": {"Nonsense": 1}})
    SageMakerConfig.validate_sagemaker_config({"SchemaVersion": "1.0"})
