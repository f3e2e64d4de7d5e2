"""What the project installs: pinned, hashed, and enough for what it imports."""

from __future__ import annotations

import hashlib
import re
import tomllib

import pytest
import yaml

from ml_pipelines.config import ROOT

LOCK = tomllib.loads((ROOT / "uv.lock").read_text())


def test_every_locked_file_has_a_hash() -> None:
    packages = [package for package in LOCK["package"] if "registry" in package["source"]]
    assert len(packages) > 40
    for package in packages:
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, package["name"]
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files), package["name"]


def test_every_locked_wheel_of_this_repository_is_the_one_that_is_here() -> None:
    wheels = [package for package in LOCK["package"] if "path" in package["source"]]
    assert "local-pipelines" in {package["name"] for package in wheels}
    for package in wheels:
        content = (ROOT / package["source"]["path"]).read_bytes()
        (locked,) = package["wheels"]
        assert locked["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}", package["name"]


def test_the_installer_is_pinned_with_hashes() -> None:
    text = (ROOT / "requirements-build.txt").read_text()
    assert re.search(r"^uv==\d+\.\d+\.\d+ ", text, re.MULTILINE)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= 4


def test_training_here_and_in_the_image_uses_the_same_versions() -> None:
    locked = {package["name"]: package.get("version", "") for package in LOCK["package"]}
    assert locked["xgboost-cpu"] == locked["xgboost"] == "3.2.0"
    assert locked["pandas"] == "2.2.3"
    assert locked["numpy"].startswith("2.1.")
    assert locked["scikit-learn"] == "1.8.0"


def test_the_build_publishes_and_starts_but_does_not_wait() -> None:
    phases = yaml.safe_load((ROOT / "buildspec.yml").read_text())["phases"]
    assert phases["build"]["commands"] == ["uv run --no-sync python -m ml_pipelines upsert --start"]
    assert "uv sync --frozen --quiet" in phases["install"]["commands"]
    assert any("--require-hashes" in command for command in phases["install"]["commands"])


@pytest.mark.slow
def test_everything_the_pipeline_uses_can_be_imported() -> None:
    import ml_pipelines.cli
    import ml_pipelines.pipeline

    assert ml_pipelines.pipeline.XGBOOST_VERSION == "3.2-0"
