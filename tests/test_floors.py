"""The floors of the house: imports lead down, never up and never in circles (docs/architecture.md).

A few lines instead of import-linter, because of what its contracts do not say: that no *file* is in a circle (its
acyclic siblings are about the children of one package), that Lambda functions import nothing but the standard library
and boto3 (its forbidden contract lists what is not allowed, not what is), and that a new folder has to get a floor.
"""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).resolve().parent.parent

FLOORS: Final = (
    "aws_emulator",
    "lambdas",
    "products",
    "portfolios",
    "foundation",
    "pipeline",
    "app",
    "rehearsal",
    "tests",
)
"""From the ground to the roof. A module imports from its own floor and from those before it, and from no others."""

NO_FLOORS: Final = frozenset({"build", "node_modules", "seed-code"})
"""Folders whose Python nobody here can import: results, tools, and what generated repositories are made of."""

IN_LAMBDA: Final = sys.stdlib_module_names | {"boto3", "botocore"}
"""What a function's zip does not have to carry (lambdas/bundling.py)."""


def _sources(root: Path) -> Iterator[Path]:
    yield from root.glob("*.py")
    for folder in root.iterdir():
        if folder.is_dir() and not folder.name.startswith((".", "cdk.out")) and folder.name not in NO_FLOORS:
            yield from folder.rglob("*.py")


def imports(root: Path) -> dict[str, set[str]]:
    """Return what each module of a repository imports, those under TYPE_CHECKING and inside functions included.

    Modules of the repository are named in full, e.g. ``foundation.buckets``; of others only the package is, ``boto3``.
    """
    paths = {".".join(p.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): p for p in _sources(root)}
    found: dict[str, set[str]] = {module: set() for module in paths}
    for module, path in paths.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                # ``from package import name``: the name is a module of the package, or something in the package.
                named = [full if (full := f"{base}.{alias.name}") in paths else base for alias in node.names]
            else:
                continue
            found[module] |= {name if name in paths else name.partition(".")[0] for name in named} - {module}
    return found


def faults(modules: Mapping[str, set[str]]) -> list[str]:
    """Return every import that is not allowed, and one circle if there are any: what is wrong, and what to do."""
    order = {floor: number for number, floor in enumerate(FLOORS)}
    found = []
    for module, imported in sorted(modules.items()):
        here = module.partition(".")[0]
        if here not in order:
            found.append(
                f"{module}: the folder {here} has no floor, so nobody knows what it may import: put it into FLOORS of "
                "tests/test_floors.py and into the order in docs/architecture.md."
            )
            continue
        found += [
            f"{module} imports {name}, which is on a higher floor ({' < '.join(FLOORS)}): the lower floor cannot be "
            f"used or tested without the higher one any more. Move what both need down to {here} or below, or have "
            f"{name.partition('.')[0]} pass it in as a plain value."
            for name in sorted(imported)
            if order.get(name.partition(".")[0], -1) > order[here]
        ]
        if here == "lambdas":
            found += [
                f"{module} imports {name}, which is not there when the function runs: its zip holds lambdas/ only, and "
                "Lambda adds boto3. Write it with the standard library, or move it out of lambdas/."
                for name in sorted(imported)
                if name.partition(".")[0] not in {"lambdas", *IN_LAMBDA}
            ]
    try:
        TopologicalSorter({module: imported & modules.keys() for module, imported in modules.items()}).prepare()
    except CycleError as err:
        steps = ", ".join(f"{importer} imports {imported}" for imported, importer in pairwise(err.args[1]))
        found.append(
            f"circle of files: {steps}. None of them can be understood or imported without the others. Move what they "
            "share into a module of its own that imports none of them."
        )
    return found


def test_imports_lead_down_and_never_in_circles() -> None:
    modules = imports(ROOT)
    assert set(FLOORS) == {module.partition(".")[0] for module in modules}, "FLOORS names what is not there"
    found = faults(modules)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "line", "fault"),
    [
        ("portfolios/stack.py", "from foundation.settings import HubSettings", "imports foundation.settings, which"),
        ("portfolios/stack.py", "if TYPE_CHECKING:\n    import foundation.settings", "which is on a higher floor"),
        ("foundation/settings.py", "def late():\n    from rehearsal import world", "foundation.settings imports rehea"),
        ("foundation/settings.py", "from .baseline import Baseline", "circle of files: foundation"),
        ("lambdas/shared/clients.py", "import pydantic", "imports pydantic, which is not there when the function"),
        ("lambdas/shared/clients.py", "from products.shared import names", "imports products.shared, which is not"),
        ("extras/tool.py", "import os", "extras.tool: the folder extras has no floor"),
    ],
)
def test_every_kind_of_wrong_import_is_found(path: str, line: str, fault: str, tmp_path: Path) -> None:
    sources = {
        "portfolios/stack.py": "",
        "foundation/settings.py": "",
        "foundation/baseline.py": "from foundation import settings",
        "lambdas/shared/clients.py": "import boto3",
        "products/shared/__init__.py": "",
        "rehearsal/world.py": "from foundation.settings import SAMPLE",
    }
    for name, text in (sources | {path: line}).items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert any(fault in found for found in faults(imports(tmp_path)))
