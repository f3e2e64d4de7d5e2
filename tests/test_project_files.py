"""What strangers and GitHub read: licence, owners, workflow and forms; and that links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.machines.environments import PYTHONS

ROOT: Final = Path(__file__).resolve().parent.parent
GITHUB: Final = ROOT / ".github"
WORKFLOW: Final = GITHUB / "workflows/ci.yml"
PAGES: Final = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "products/*/*.md", "tests/**/*.md", ".github/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("github-workflows", WORKFLOW),
        ("github-issue-config", GITHUB / "ISSUE_TEMPLATE/config.yml"),
        ("github-issue-forms", GITHUB / "ISSUE_TEMPLATE/bug.yml"),
        ("github-issue-forms", GITHUB / "ISSUE_TEMPLATE/request.yml"),
    ],
)
def test_github_takes_the_file(schema: str, path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("check-jsonschema")),
        "--builtin-schema",
        f"vendor.{schema}",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_workflow_runs_what_ci_runs_on_every_python() -> None:
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    ci = [line for line in (ROOT / ".ci/run").read_text().splitlines() if re.match("[a-z]", line)]
    assert ci[:2] == ["set -euo pipefail", 'cd "$(dirname "$0")/.."']
    assert [step["run"] for step in job["steps"] if "run" in step] == ci[2:]
    assert job["strategy"]["matrix"]["python"] == sorted(PYTHONS)
    assert job["env"] == {"UV_PYTHON": "${{ matrix.python }}"}


def test_the_workflow_trusts_no_tag_and_may_only_read() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert "permissions" not in job
    used = [step for step in job["steps"] if "uses" in step]
    assert [step["uses"] for step in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])] == []
    assert all(step["with"]["persist-credentials"] is False for step in used if "/checkout@" in step["uses"])


def test_everything_has_owners_from_the_organisation_that_has_the_repository() -> None:
    lines = [line.split() for line in (GITHUB / "CODEOWNERS").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0][0] == "*"
    organization = json.loads((ROOT / "cdk.json").read_text())["context"]["hub"]["source"]["repository"].split("/")[0]
    for pattern, *owners in lines:
        assert owners
        assert [owner for owner in owners if not owner.startswith(f"@{organization}/")] == [], (
            f"{pattern}: owners are teams of {organization!r} (context.hub.source in cdk.json)"
        )
        assert pattern == "*" or (ROOT / pattern.strip("/")).exists(), f"{pattern} matches nothing"


def test_the_licence_is_there_as_a_whole_and_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    text = (ROOT / "LICENSE").read_text()
    assert re.findall(r"(?m)^   (\d)\. ", text) == [str(number) for number in range(1, 10)]
    assert text.rstrip().endswith("limitations under the License.")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", h)).strip().lower().replace(" ", "-")
        for h in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", link):
            place, _, anchor = link.partition("#")
            target = page.parent / place if place else page
            assert target.exists(), f"{link} leads nowhere"
            assert not anchor or anchor in anchors(target), f"{link}: {target.name} has no such heading"


def tree() -> set[str]:
    """Return the folders in the tree of README.md, from the root."""
    (block,) = re.findall(r"(?ms)^```text\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"))
    found, above = set(), ""
    for indent, name in re.findall(r"(?m)^( *)(\S+/) ", block):
        above = above if indent else name
        found.add(f"{above}{name}" if indent else name)
    return found


def test_the_tree_in_the_readme_is_that_of_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {f"{parent}/" for path in listed.split("\0") for parent in Path(path).parents if parent.name}
    assert tree() <= folders, f"README.md shows folders that are not there: {tree() - folders}"
    missing = {folder for folder in folders if folder.count("/") == 1} - tree()
    assert not missing, f"the tree in README.md lacks {missing}: say in one line what is in there"
