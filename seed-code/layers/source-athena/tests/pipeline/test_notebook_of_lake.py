"""The notebook about the table in the lake: valid, clean, and its cells run on stand-ins for Glue and Athena."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from lake_stubs import COLUMNS, Catalog

from ml_pipelines.config import ROOT

NOTEBOOK = ROOT / "notebooks" / "explore_lake.ipynb"
SETTINGS = {
    "DATA_DATABASE": "credit_risk_0a1b2c3d",
    "DATA_TABLE": "loans",
    "DATA_WORK_GROUP": "mlp-p-abc123-athena",
    "LABEL": "defaulted",
}


@pytest.fixture(scope="module")
def cells() -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    found: list[dict[str, Any]] = notebook["cells"]
    return found


def test_cells_are_named_and_carry_no_output(cells: list[dict[str, Any]]) -> None:
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


class Session:
    """A session of boto3 for somebody who sees the table but for one column."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def client(self, service: str) -> Any:
        return self if service == "sts" else self._catalog

    def get_caller_identity(self) -> dict[str, str]:
        return {"Arn": "arn:aws:sts::111111111111:assumed-role/data-scientist/ann"}


class Athena:
    """Answers queries as Athena would, and keeps how it was asked."""

    def __init__(self, *hidden: str) -> None:
        self._hidden = hidden
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def read_sql_query(self, sql: str, **options: Any) -> pd.DataFrame:
        self.asked.append((sql, options))
        if any(f'"{name}"' in sql for name in (*self._hidden, "a_column_that_nobody_granted")):
            raise RuntimeError(
                "COLUMN_NOT_FOUND: line 1:8: Column 'income' cannot be resolved or requester is not auth"
            )
        if "count(*)" in sql:
            return pd.DataFrame({"label": [True, False], "n": [20, 80]})
        return pd.DataFrame({"region": ["north", None], "amount": [1.5, 2.5]})


@pytest.mark.parametrize("hidden", [(), ("income",)], ids=["everything granted", "a column missing"])
def test_the_cells_show_what_was_granted_and_what_is_missing(
    cells: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    hidden: tuple[str, ...],
    tmp_path: Any,
) -> None:
    import awswrangler as wr
    import boto3
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    for name in ("config.yaml", "data.yaml"):
        (tmp_path / name).write_text("columns: [income]\n" if name == "data.yaml" else "")
    for name in (*SETTINGS, "PIPELINE_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    athena = Athena(*hidden)
    monkeypatch.setattr(wr.athena, "read_sql_query", athena.read_sql_query)
    monkeypatch.setattr(boto3, "Session", lambda: Session(Catalog(hidden=hidden)))
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    said = capsys.readouterr().out
    assert f"sees {len(COLUMNS) - len(hidden)} columns of credit_risk.loans of account 777788889999" in said
    granted = "none of those that the settings name"
    assert f"Not granted to you, or misspelt: {', '.join(hidden) or granted}" in said
    assert "100 rows" in said
    assert "COLUMN_NOT_FOUND" in names["refusal"]
    assert "push, or copy the variables" in said
    for _, options in athena.asked:
        assert options["ctas_approach"] is False
        assert options["workgroup"] == "mlp-p-abc123-athena"
        assert options["database"] == "credit_risk_0a1b2c3d"
