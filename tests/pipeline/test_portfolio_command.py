"""The `portfolio` command on a repository of its own, CDK included: what a platform engineer sees."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.pipeline.product_repository import ROOT, ProductRepository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click.testing import Result

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Story:
    """A repository with two releases of a changed product, and what the command said on the way.

    Attributes:
        repository: The repository; both releases are committed.
        first: Files of 1.0.0 right after it was made.
        said: Results by name of the moment.
    """

    repository: ProductRepository
    first: Mapping[str, bytes]
    said: Mapping[str, Result]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    repository = ProductRepository(tmp_path_factory.mktemp("first") / "repository")
    repository.write("seed-code/layers/base/ignored.local", "ignored by git\n")
    said = {"diff of a new product": repository.portfolio("diff", "tiny")}
    said["release"] = repository.portfolio("release", "tiny", "1.0.0", "-m", "First version.")
    first = repository.contents("1.0.0")
    repository.commit()
    repository.edit("products/tiny/product.py", "^[a-z]{1,10}$", "^[a-z]{1,9}$")
    repository.write("seed-code/layers/base/more.txt", "more\n")
    said["diff"] = repository.portfolio("diff", "tiny")
    said["diff --json"] = repository.portfolio("diff", "tiny", "--json")
    repository.commit()
    said["too small"] = repository.portfolio("release", "tiny", "1.1.0", "-m", "Shorter names.")
    said["dry run"] = repository.portfolio("release", "tiny", "2.0.0", "-m", "Shorter names.", "--dry-run")
    assert not (repository.releases / "2.0.0").exists()
    said["second release"] = repository.portfolio("release", "tiny", "2.0.0", "-m", "Shorter names.")
    repository.commit()
    return Story(repository=repository, first=first, said=said)


def test_a_product_without_release_may_get_any_first_version(story: Story) -> None:
    result = story.said["diff of a new product"]
    assert result.exit_code == 0
    assert "no release yet, so everything is new: 1 parameter, 2 resources, 1 output." in result.stdout


def test_a_release_lists_what_it_wrote_and_what_to_do_next(story: Story) -> None:
    result = story.said["release"]
    assert result.exit_code == 0
    for name in story.first:
        assert f"products/tiny/releases/1.0.0/{name}" in result.stdout
    assert "products/tiny/CHANGELOG.md" in result.stdout
    assert 'git commit -m "Release tiny 1.0.0"' in result.stdout


def test_a_release_holds_template_record_and_seed_code(story: Story) -> None:
    assert sorted(story.first) == ["release.json", "seed-code.zip", "template.json"]
    template = json.loads(story.first["template.json"])
    record = json.loads(story.first["release.json"])
    assert list(template) == ["Description", "Parameters", "Resources", "Outputs"]
    seed = template["Resources"]["Seed"]["Properties"]
    assert (seed["Version"], seed["AssetKey"]) == ("1.0.0", record["files"]["seed-code.zip"]["key"])
    assert set(record["tools"]) == {"aws-cdk-lib", "constructs"}


def test_a_second_release_leaves_the_first_byte_for_byte(story: Story) -> None:
    assert story.said["second release"].exit_code == 0
    assert story.repository.contents("1.0.0") == story.first
    assert story.repository.contents("2.0.0") != story.first


def test_the_same_commit_gives_the_same_bytes_in_another_folder(
    story: Story, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clone = ProductRepository(tmp_path_factory.mktemp("elsewhere") / "deeper" / "clone", origin=story.repository)
    clone.git("checkout", "-q", "HEAD~3")
    clone.git("config", "core.autocrlf", "true")
    assert not clone.releases.exists()
    assert clone.portfolio("release", "tiny", "1.0.0", "-m", "First version.").exit_code == 0
    assert clone.contents("1.0.0") == story.first


def test_a_diff_shows_each_change_and_the_smallest_step(story: Story) -> None:
    lines = story.said["diff"].stdout.splitlines()
    assert lines[0] == "tiny: changes since 1.0.0"
    assert "  major  ~ Name: pattern ^[a-z]{1,10}$ becomes ^[a-z]{1,9}$: values in use may be refused" in lines
    assert "  minor  + more.txt added" in lines
    assert "Smallest step: major, so at least 2.0.0." in lines
    assert lines[-2].startswith("Reason: parameter Name changed")
    assert lines[-1] == 'Next: commit the change, then `portfolio release tiny 2.0.0 -m "What is new"`.'


def test_a_diff_can_be_read_by_a_machine(story: Story) -> None:
    diff = json.loads(story.said["diff --json"].stdout)
    assert (diff["base"], diff["step"], diff["next"]) == ("1.0.0", "major", "2.0.0")
    assert [(change["area"], change["name"], change["step"]) for change in diff["changes"]] == [
        ("parameters", "Name", "major"),
        ("seed code", "more.txt", "minor"),
    ]


def test_too_small_a_step_is_refused_with_the_reason(story: Story) -> None:
    result = story.said["too small"]
    assert result.exit_code == 1
    assert "2.0.0 or later" in result.stderr
    assert "parameter Name changed" in result.stderr


def test_a_dry_run_says_what_it_would_write(story: Story) -> None:
    result = story.said["dry run"]
    assert result.exit_code == 0
    assert "Would write tiny 2.0.0:" in result.stdout


def test_a_code_that_fails_is_reported_with_the_end_of_its_traceback(
    story: Story, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clone = ProductRepository(tmp_path_factory.mktemp("broken") / "clone", origin=story.repository)
    clone.write("products/catalog.py", "raise RuntimeError('no such construct')\n")
    result = clone.portfolio("diff", "tiny")
    assert result.exit_code == 1
    assert "tiny cannot be synthesised" in result.stderr
    assert result.stderr.strip().endswith("RuntimeError: no such construct")
    clone.write("products/catalog.py", "PRODUCTS = ()\n")
    assert "products/catalog.py does not list 'tiny'" in clone.portfolio("diff", "tiny").stderr


def test_the_list_shows_versions_newest_first_with_state_and_portfolio(story: Story) -> None:
    portfolios = (
        "from types import SimpleNamespace\nPORTFOLIOS = (SimpleNamespace(title='Projects', products=('tiny',)),)\n"
    )
    story.repository.write("portfolios/catalog.py", portfolios)
    story.repository.write("products/later/product.py", "")
    retired = story.repository.portfolio("retire", "tiny", "1.0.0", "--reason", "Use 2.0.0.")
    assert "tiny 1.0.0 will be deprecated: no new launches" in retired.stdout
    lines = story.repository.portfolio("list").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["PRODUCT", "VERSION", "RELEASED", "PORTFOLIO", "STATE"],
        ["tiny", "2.0.0", "2026-03-01", "Projects", "supported"],
        ["tiny", "1.0.0", "2026-03-01", "Projects", "deprecated:", "Use", "2.0.0."],
        ["later", "none", "no", "release", "yet"],
    ]
    listed = json.loads(story.repository.portfolio("list", "--json").stdout)["products"]
    assert [(product["id"], product["portfolios"], len(product["versions"])) for product in listed] == [
        ("tiny", ["Projects"], 2),
        ("later", [], 0),
    ]
    assert listed[0]["versions"][0]["guidance"] == "DEPRECATED"


def test_verify_passes_on_what_was_released_and_names_what_was_not(story: Story) -> None:
    result = story.repository.portfolio("verify", "--against", "HEAD")
    assert result.exit_code == 0
    assert result.stdout == "2 releases with 4 files: all as released, nothing rewritten since HEAD.\n"
    path = story.repository.releases / "2.0.0" / "template.json"
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    try:
        result = story.repository.portfolio("verify", "--against", "HEAD")
        assert result.exit_code == 1
        assert f"{path} was altered" in result.stderr
        assert "products/tiny/releases/2.0.0/template.json was released in HEAD and has changed since" in result.stderr
        machine = story.repository.portfolio("verify", "--json")
        assert (machine.exit_code, json.loads(machine.stdout)["ok"]) == (1, False)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("command", ["list", "diff", "release", "verify", "retire", "upload", "check-published"])
def test_every_command_explains_itself_with_an_example(command: str, story: Story) -> None:
    result = story.repository.portfolio(command, "--help")
    assert result.exit_code == 0
    assert f"  portfolio {command}" in result.stdout.split("Example")[1]


def test_a_release_without_text_is_refused(story: Story) -> None:
    result = story.repository.portfolio("release", "tiny", "3.0.0")
    assert result.exit_code == 2
    assert "--message" in result.stderr


def test_outside_a_repository_the_command_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from pipeline.cli import portfolio; portfolio()", "list"],
        cwd=tmp_path_factory.mktemp("nowhere"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "is not inside a product repository" in done.stderr


def test_commands_that_do_not_synthesise_load_neither_cdk_nor_boto3() -> None:
    code = (
        "import sys; from pipeline.cli import portfolio; portfolio(['list'], standalone_mode=False); "
        "portfolio(['verify'], standalone_mode=False); "
        "assert not {'aws_cdk', 'boto3', 'botocore', 'cfnlint'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_commands_that_only_ask_aws_do_not_load_the_cdk() -> None:
    code = (
        "import sys, pipeline.baselines, pipeline.preflight, pipeline.published, pipeline.upload; "
        "assert not {'aws_cdk', 'jsii', 'cfnlint'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
