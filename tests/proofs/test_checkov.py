"""checkov over everything that accounts deploy: each failed check is fixed, or accepted where the resource is made."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.synthesis import synthesise
from products.catalog import PRODUCTS
from tests.hub import hub_assembly
from tests.pipeline.product_repository import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.prove


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("templates")
    for path in (*hub_assembly().folder.rglob("*.template.json"), *(ROOT / "seed-code/layers").glob("*/templates/*")):
        shutil.copy(path, folder / path.name)
    for product in PRODUCTS:
        name = f"{product.SPEC.id}.template.json"
        (folder / name).write_text(json.dumps(synthesise(product)), encoding="utf-8")
    command = [str(ROOT / ".venv-checkov/bin/checkov"), "--directory", str(folder), "--framework", "cloudformation"]
    run = subprocess.run(
        [*command, "--output", "json", "--quiet", "--compact", "--skip-download"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LOG_LEVEL": "ERROR"},
    )
    report = json.loads(run.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["resource_count"] > 300, "checkov read less than is deployed"
    failed: list[dict[str, Any]] = report["results"]["failed_checks"]
    return failed


def test_every_failed_check_is_fixed_or_accepted(findings: list[dict[str, Any]]) -> None:
    assert [(f["file_path"], f["check_id"], f["resource"], f["check_name"]) for f in findings] == []
