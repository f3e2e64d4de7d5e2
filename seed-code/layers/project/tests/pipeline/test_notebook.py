"""The notebook: valid, clean, and its cells run on the sample."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from ml_pipelines.config import ROOT

NOTEBOOK = ROOT / "notebooks" / "explore.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    found: list[dict[str, Any]] = notebook["cells"]
    return found


def code(cells: list[dict[str, Any]]) -> list[str]:
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_cells_are_named_and_carry_no_output(cells: list[dict[str, Any]]) -> None:
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_every_code_cell_compiles(cells: list[dict[str, Any]]) -> None:
    for number, source in enumerate(code(cells)):
        ast.parse(source, filename=f"cell {number}")


@pytest.mark.slow
def test_the_exploring_cells_run(cells: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.chdir(ROOT / "notebooks")
    names: dict[str, Any] = {}
    for source in code(cells):
        if "subprocess" in source:  # from here on the pipeline runs: test_local.py
            break
        exec(compile(source, "cell", "exec"), names)
    assert names["columns"].loc["gigabytes", "missing"] != "0.0%"
    assert names["strengths"]["contract"] > names["strengths"]["region"]
