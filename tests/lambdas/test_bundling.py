"""Zips of the Lambda functions: the same bytes everywhere, complete, and importable."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from lambdas.bundling import ROOT, BundlingError, asset_key, bundles

if TYPE_CHECKING:
    from pathlib import Path

BASELINE = ("bucket_emptier", "enable_projects", "preflight", "seed_checkin")


def names_in(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_every_function_has_a_bundle() -> None:
    assert set(BASELINE) <= set(bundles())
    assert "shared" not in bundles()


@pytest.mark.parametrize("name", BASELINE)
def test_a_bundle_holds_the_function_and_what_it_shares_and_nothing_else(name: str) -> None:
    content = names_in(bundles()[name])
    assert f"lambdas/{name}/handler.py" in content
    assert "lambdas/__init__.py" in content
    assert "lambdas/shared/custom_resource.py" in content
    assert {entry.split("/")[1] for entry in content} == {"__init__.py", "shared", name}
    assert all(entry.endswith(".py") for entry in content)


def test_the_key_is_the_digest_of_the_bytes() -> None:
    digest = hashlib.sha256(bundles()["preflight"]).hexdigest()
    assert asset_key("preflight") == f"assets/{digest}.zip"


def test_bytes_depend_on_names_and_contents_only(tmp_path: Path) -> None:
    copy = tmp_path / "somewhere" / "else"
    shutil.copytree(ROOT / "lambdas", copy / "lambdas", ignore=shutil.ignore_patterns("__pycache__"))
    for path in copy.rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (1, 1))
    assert bundles(root=copy) == bundles()


def test_a_changed_source_changes_the_key(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "lambdas", tmp_path / "lambdas", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "lambdas" / "shared" / "custom_resource.py").open("a") as source:
        source.write("# a comment\n")
    assert asset_key("preflight", root=tmp_path) != asset_key("preflight")


def test_an_unknown_function_is_named_with_the_known_ones() -> None:
    with pytest.raises(BundlingError, match=r"no Lambda function 'nonesuch'.*preflight"):
        asset_key("nonesuch")


def test_the_synthesis_does_not_need_the_code_of_the_functions() -> None:
    # What runs in Lambda imports boto3; loading it would slow every synthesis down.
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import lambdas.bundling, sys; sys.exit('boto3' in sys.modules or 'aws_cdk' in sys.modules)",
        ],
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0


@pytest.mark.parametrize("name", BASELINE)
def test_a_bundle_can_be_imported_from_the_zip_alone(name: str, tmp_path: Path) -> None:
    archive = tmp_path / "function.zip"
    archive.write_bytes(bundles()[name])
    modules = ["handler", "completion"] if name == "seed_checkin" else ["handler"]
    code = "; ".join(f"import lambdas.{name}.{m}; lambdas.{name}.{m}.lambda_handler" for m in modules)
    environment = {**os.environ, "PYTHONPATH": str(archive), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
