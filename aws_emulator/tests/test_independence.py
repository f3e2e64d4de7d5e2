"""The emulator knows nothing of whoever uses it: configuration goes in, AWS comes out over HTTP."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
DEPENDENCIES = {"aws_emulator", "boto3", "botocore", "duckdb", "ministack", "sqlglot", "yaml"}
"""What its modules import besides the standard library; data of other packages are read as files."""
FOREIGN = ("ml-platform", "mlp-", "rehears", "seed code", "ml_pipelines")
"""Words of the platform in whose repository it lives."""


def sources() -> dict[str, str]:
    paths = (path for path in PACKAGE.rglob("*.py") if "tests" not in path.parts)
    return {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in paths}


def imported(text: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found - sys.stdlib_module_names


def test_it_imports_nothing_but_what_it_declares() -> None:
    foreign = {name: found for name, text in sources().items() if (found := imported(text) - DEPENDENCIES)}
    assert foreign == {}


def test_it_has_no_word_of_the_platform() -> None:
    said = [(name, word) for name, text in sources().items() for word in FOREIGN if word in text.lower()]
    assert said == []
