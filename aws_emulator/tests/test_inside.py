"""What the emulator uses of MiniStack that is not public: all in one place, and as it was when it was written.

MiniStack lives in an environment of its own, whose Python is asked. After an upgrade the names that moved are in the
failure; once the code fits them, ``python -m aws_emulator.tests.test_inside`` writes the record anew.
"""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "aws_emulator"
RECORD = Path(__file__).with_name("ministack.json")
PYTHON = ROOT / ".venv-rehearsal/bin/python"

_LOOK = """
import inspect, json, sys
from aws_emulator import inside
found = {}
for part, names in json.load(sys.stdin).items():
    module = getattr(inside, part)
    found[part] = {}
    for name in names:
        value = getattr(module, name) if hasattr(module, name) else inspect
        function = inspect.isfunction(value)
        parameters = f"({', '.join(inspect.signature(value).parameters)})" if function else "value"
        found[part][name] = "missing" if value is inspect else parameters
print(json.dumps(found))
"""


def sources() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if "tests" not in path.parts]


def used() -> dict[str, list[str]]:
    """Return the private names that the emulator uses, by part."""
    found: dict[str, set[str]] = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
                part = node.value
                if isinstance(part.value, ast.Name) and part.value.id == "inside" and node.attr != "replace_everywhere":
                    found.setdefault(part.attr, set()).add(node.attr)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"replaces", "answers"}:
                owner, name = (ast.unparse(argument) for argument in node.args[:2])
                if owner.startswith("inside.") and owner.count(".") == 1:
                    found.setdefault(owner.partition(".")[2], set()).add(name.strip("'"))
    return {part: sorted(names) for part, names in sorted(found.items())}


def present() -> dict[str, dict[str, str]]:
    """Return what the installed MiniStack has under these names: parameters, a value, or nothing."""
    asked = json.dumps(used())
    command = [str(PYTHON), "-c", _LOOK]
    output = subprocess.run(command, cwd=ROOT, input=asked, capture_output=True, text=True, check=True).stdout
    found: dict[str, dict[str, str]] = json.loads(output.splitlines()[-1])
    return found


def private(text: str) -> set[str]:
    """Return the private names of MiniStack that a module touches by itself."""
    tree, names, found = ast.parse(text), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ministack"):
            names |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            found |= {f"{node.value.id}.{node.attr}"} if node.attr.startswith("_") else set()
    return found | {name for name in names if name.startswith("_")}


@pytest.mark.rehearsal
def test_ministack_has_every_private_name_with_the_parameters_that_it_had() -> None:
    recorded, found = json.loads(RECORD.read_text(encoding="utf-8")), present()
    assert sorted(recorded) == sorted(found), "run python -m aws_emulator.tests.test_inside"
    for part, names in found.items():
        assert names == recorded[part], f"MiniStack changed {part}, or other names of it are used"
        assert "missing" not in names.values()


def test_only_one_module_touches_private_names_of_ministack() -> None:
    touching = {path.name: private(path.read_text(encoding="utf-8")) for path in sources()}
    assert {name: found for name, found in touching.items() if found} == {}


@pytest.mark.parametrize(
    "line", ["from ministack.services import iam\niam._roles", "from ministack.services.sqs import _queues"]
)
def test_a_private_name_outside_of_it_is_found(line: str) -> None:
    assert private(line)


if __name__ == "__main__":
    RECORD.write_text(json.dumps(present(), indent=1) + "\n", encoding="utf-8")
