"""Whether a release may be made, and that it is made whole or not at all; candidates are made by hand, without CDK."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import freezing
from pipeline.diff import SPLIT_VECTORS
from pipeline.freezing import ReleasePlan, plan_release, retire
from pipeline.synthesis import Candidate, SynthesisError, template_bytes
from pipeline.verification import problems_of_catalog, problems_since
from products.releases import ReleaseError, load_catalog
from products.semver import Step
from products.shared import seed_code as archives
from products.shared.names import BASELINE_NEEDED, UNRELEASED
from tests.pipeline.product_repository import ROOT, ProductRepository

if TYPE_CHECKING:
    from collections.abc import Mapping

TEMPLATE: dict[str, Any] = {
    "Parameters": {"Name": {"Type": "String"}},
    "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": UNRELEASED}}},
}


def candidate(
    *,
    template: Mapping[str, Any] = TEMPLATE,
    title: str = "Tiny project",
    seed_code: str | None = None,
    seed_code_inputs: tuple[str, ...] = (),
    archive: bytes | None = None,
) -> Candidate:
    """Return a candidate of the product ``tiny``. Default: without seed code."""
    return Candidate(
        product="tiny",
        title=title,
        summary="Tiny.",
        contract=1,
        tools={"aws-cdk-lib": "2.0.0"},
        seed_code=seed_code,
        seed_code_inputs=seed_code_inputs,
        template=template,
        archive=archive,
    )


def needing(baseline: str) -> Candidate:
    """Return a candidate whose template needs a version of the baseline."""
    check = {"Type": "Custom::Preflight", "Properties": {BASELINE_NEEDED: baseline}}
    return candidate(template={**TEMPLATE, "Resources": {**TEMPLATE["Resources"], "Check": check}})


def with_parameter(**parameter: object) -> dict[str, Any]:
    return {**TEMPLATE, "Parameters": {**TEMPLATE["Parameters"], "More": {"Type": "String", **parameter}}}


def seeded(**files: str) -> Candidate:
    """Return a candidate whose template names its archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    template = {**TEMPLATE, "Outputs": {"Seed": {"Value": f"assets/{digest}.zip"}}}
    return candidate(template=template, seed_code="tiny", archive=buffer.getvalue())


class Releases:
    """A repository in which candidates made by hand are released.

    Args:
        root: Folder of the repository.
        monkeypatch: Puts the next candidate in place of synthesis.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.repository = ProductRepository(root)
        self.next = candidate()
        monkeypatch.setattr(freezing, "candidate_of_head", lambda _root, _product_id: self.next)

    def plan(self, version: str, text: str = "What is new.") -> ReleasePlan:
        return plan_release(load_catalog(self.repository.root), "tiny", version, text)

    def release(self, version: str, next_: Candidate, text: str = "What is new.") -> None:
        self.next = next_
        self.plan(version, text).write(self.repository.root)
        self.repository.commit()


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releases:
    return Releases(tmp_path / "repository", monkeypatch)


def test_a_release_names_the_least_baseline_and_one_for_any_names_none(releases: Releases) -> None:
    releases.release("1.0.0", candidate())
    releases.release("1.1.0", needing("1.1.0"))
    versions = load_catalog(releases.repository.root).products["tiny"].versions
    assert [release.baseline for release in versions] == [None, "1.1.0"]


def test_a_release_that_no_baseline_serves_is_refused(releases: Releases) -> None:
    releases.next = needing("99.0.0")
    with pytest.raises(ReleaseError, match=r"needs baseline 99\.0\.0, and this repository rolls out"):
        releases.plan("1.0.0")


def test_a_release_says_all_that_publishing_needs(releases: Releases) -> None:
    releases.release("1.0.0", seeded(readme="hello"), "First.")
    product = load_catalog(releases.repository.root).products["tiny"]
    release = product.release("1.0.0")
    assert (product.title, product.summary) == ("Tiny project", "Tiny.")
    assert (release.description, release.date, release.guidance, release.active, release.contract) == (
        "First.",
        "2026-03-01T09:30:00Z",
        "DEFAULT",
        True,
        1,
    )
    assert release.template_key == "releases/tiny/1.0.0/template.json"
    archive = (release.path / "seed-code.zip").read_bytes()
    assert release.archive_key == f"assets/{hashlib.sha256(archive).hexdigest()}.zip"
    assert release.archive_key in (release.path / "template.json").read_text(encoding="utf-8")


def test_a_template_is_told_its_version_when_it_is_released(releases: Releases) -> None:
    releases.release("1.0.0", candidate())
    template = load_catalog(releases.repository.root).products["tiny"].newest.template()
    assert template["Resources"]["Topic"]["Properties"]["DisplayName"] == "1.0.0"


def test_versions_are_ordered_by_number_not_by_name(releases: Releases) -> None:
    for number, version in enumerate(("1.2.0", "1.10.0", "2.0.0-rc.1", "2.0.0")):
        releases.release(version, candidate(template=with_parameter(Default=str(number))))
    versions = load_catalog(releases.repository.root).products["tiny"].versions
    assert [str(release.version) for release in versions] == ["1.2.0", "1.10.0", "2.0.0-rc.1", "2.0.0"]


def test_a_later_release_leaves_the_earlier_ones_as_they_are(releases: Releases) -> None:
    releases.release("1.0.0", seeded(readme="one"))
    files = releases.repository.contents("1.0.0")
    before = load_catalog(releases.repository.root).products["tiny"].versions
    releases.release("1.0.1", seeded(readme="two"))
    after = load_catalog(releases.repository.root).products["tiny"].versions
    assert len(after) == 2
    assert after[:1] == before
    assert releases.repository.contents("1.0.0") == files


@pytest.mark.parametrize(
    ("changed", "too_small", "smallest"),
    [
        (candidate(template=with_parameter()), "1.1.0", "2.0.0"),
        (candidate(template=with_parameter(Default="")), "1.0.1", "1.1.0"),
        (candidate(template=with_parameter(Default="")), "1.0.1-rc.1", "1.1.0-rc.1"),
        (candidate(title="Other"), None, "1.0.1"),
        (seeded(readme="hello"), "1.0.9", "1.1.0"),
    ],
)
def test_a_step_smaller_than_the_change_demands_is_refused(
    releases: Releases, changed: Candidate, too_small: str | None, smallest: str
) -> None:
    releases.release("1.0.0", candidate())
    releases.next = changed
    if too_small:
        with pytest.raises(ReleaseError, match="too small a step"):
            releases.plan(too_small)
    assert str(releases.plan(smallest).version) == smallest


def test_seed_code_is_compared_file_by_file(releases: Releases) -> None:
    releases.release("1.0.0", seeded(a="1", b="1", c="1"))
    releases.next = seeded(a="1", b="2", d="1")
    diff = releases.plan("1.1.0").diff
    assert diff is not None
    assert [(change.area, change.kind, change.name) for change in diff.changes] == [
        ("seed code", "added", "d"),
        ("seed code", "removed", "c"),
        ("seed code", "changed", "b"),
    ]


def vectors(*keys: str, test: str = "") -> Candidate:
    """Return a candidate that divides records: vectors of some keys, one of which is a test record."""
    found = [{"key": [key], "split": "test" if key == test else "train"} for key in keys]
    return seeded(readme="hello", **{SPLIT_VECTORS: json.dumps({"vectors": found})})


@pytest.mark.parametrize(
    ("before", "after", "detail"),
    [
        (seeded(readme="hello"), vectors("a"), "records were divided in another way before"),
        (vectors("a"), seeded(readme="hello"), "nothing holds records to their split any longer"),
        (vectors("a", "b"), vectors("a", "b", test="b"), "1 of 2 known keys are no longer divided as before"),
        (vectors("a", "b"), vectors("b", "c"), "1 of 2 known keys are no longer divided as before"),
    ],
)
def test_records_that_move_between_training_and_test_need_a_major_step(
    releases: Releases, before: Candidate, after: Candidate, detail: str
) -> None:
    releases.release("1.0.0", before)
    releases.next = after
    with pytest.raises(ReleaseError, match=f"{SPLIT_VECTORS} .*: {detail}; once a project takes the new seed code, "):
        releases.plan("1.1.0")
    diff = releases.plan("2.0.0").diff
    assert diff is not None
    (reason,) = diff.reasons
    assert (reason.name, reason.step) == (SPLIT_VECTORS, Step.MAJOR)
    assert "compared only on records that are test records of both" in reason.detail


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (vectors("a"), vectors("b", "a")),
        (candidate(), vectors("a")),  # nothing was divided before
    ],
)
def test_more_known_keys_are_not_another_division(releases: Releases, before: Candidate, after: Candidate) -> None:
    releases.release("1.0.0", before)
    releases.next = after
    diff = releases.plan("2.0.0").diff
    assert diff is not None
    assert diff.step < Step.MAJOR


def test_a_training_project_brings_the_vectors_of_its_division() -> None:
    assert SPLIT_VECTORS in archives.assemble("train-s3")


def test_an_unchanged_product_is_refused(releases: Releases) -> None:
    releases.release("1.0.0", seeded(readme="hello"))
    with pytest.raises(ReleaseError, match=r"has not changed since 1\.0\.0"):
        releases.plan("1.0.1")


def test_a_pre_release_may_become_the_version_it_led_to(releases: Releases) -> None:
    releases.release("1.0.0-rc.1", candidate())
    releases.release("1.0.0", candidate())
    changed = candidate(template=with_parameter(Default=""))
    releases.release("1.1.0-rc.1", changed)
    with pytest.raises(ReleaseError, match=r"has not changed since 1\.1\.0-rc\.1"):
        releases.plan("1.1.0-rc.2")
    releases.release("1.1.0", changed)
    assert str(load_catalog(releases.repository.root).products["tiny"].newest.version) == "1.1.0"


def test_a_pre_release_is_never_the_newest_nor_offered_for_launches(releases: Releases) -> None:
    for number, version in enumerate(("1.0.0", "1.1.0-rc.9", "1.1.0-rc.10", "2.0.0-alpha")):
        releases.release(version, candidate(title=f"Title {number}", template=with_parameter(Default=str(number))))
    product = load_catalog(releases.repository.root).products["tiny"]
    assert [str(release.version) for release in product.launchable] == ["1.0.0"]
    assert (str(product.newest.version), product.title) == ("1.0.0", "Title 0")
    assert {release.guidance for release in product.versions[1:]} == {"DEPRECATED"}
    assert [str(release.version) for release in product.supported] == [str(r.version) for r in product.versions]


def test_a_pre_release_is_the_newest_while_there_is_no_full_version(releases: Releases) -> None:
    releases.release("1.0.0-rc.1", candidate())
    product = load_catalog(releases.repository.root).products["tiny"]
    assert (str(product.newest.version), product.launchable) == ("1.0.0-rc.1", ())


def test_a_pre_release_does_not_count_as_a_version_that_can_be_launched(releases: Releases) -> None:
    releases.release("1.0.0", candidate())
    releases.release("1.0.1-rc.1", candidate(title="Other"))
    catalog = load_catalog(releases.repository.root)
    for hide in (False, True):
        with pytest.raises(ReleaseError, match="is the only version that can be launched"):
            retire(catalog, "tiny", "1.0.0", hide=hide, reason="Old.")
    with pytest.raises(ReleaseError, match=r"1\.0\.1-rc\.1 is a pre-release.*--hide"):
        retire(catalog, "tiny", "1.0.1-rc.1", hide=False, reason="Bad.")
    retire(catalog, "tiny", "1.0.1-rc.1", hide=True, reason="Bad.")
    hidden = load_catalog(releases.repository.root).products["tiny"].release("1.0.1-rc.1")
    assert (hidden.active, hidden.reason) == (False, "Bad.")


def test_a_correction_may_come_while_a_pre_release_of_a_later_version_is_tried(releases: Releases) -> None:
    releases.release("1.0.0", candidate())
    releases.release("1.1.0-rc.2", candidate(template=with_parameter(Default="")))
    releases.next = candidate(title="Other")
    assert str(releases.plan("1.0.1").version) == "1.0.1"
    with pytest.raises(ReleaseError, match=r"comes before 1\.1\.0-rc\.2"):
        releases.plan("1.1.0-rc.1")


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("1.1.0", "is released already"),
        ("1.0.9", r"comes before 1\.1\.0"),
        ("1.1.0-rc.1", r"comes before 1\.1\.0"),
        ("1.2", "is not a semantic version"),
        ("v1.2.0", "is not a semantic version"),
    ],
)
def test_a_version_that_exists_comes_too_late_or_is_none_is_refused(
    releases: Releases, version: str, problem: str
) -> None:
    releases.release("1.1.0", candidate())
    releases.next = candidate(title="Other")
    with pytest.raises(ReleaseError, match=problem):
        releases.plan(version)


def test_a_release_needs_a_text_for_its_users(releases: Releases) -> None:
    with pytest.raises(ReleaseError, match="-m"):
        releases.plan("1.0.0", "  ")


def test_an_unknown_product_is_refused_with_the_ones_there_are(releases: Releases) -> None:
    with pytest.raises(ReleaseError, match=r"no product 'huge'.*Products are: tiny"):
        plan_release(load_catalog(releases.repository.root), "huge", "1.0.0", "Text.")


@pytest.mark.parametrize(
    "path", ["products/tiny/product.py", "products/tiny/new.py", "products/shared/names.py", "uv.lock"]
)
def test_files_that_are_not_committed_are_refused_by_name(releases: Releases, path: str) -> None:
    releases.repository.write(path, "changed = True\n")
    with pytest.raises(ReleaseError, match=path):
        releases.plan("1.0.0")


def test_uncommitted_seed_code_of_the_product_is_refused_and_of_others_is_not(releases: Releases) -> None:
    releases.next = candidate(seed_code_inputs=("seed-code/templates/tiny.toml", "seed-code/layers/base"))
    releases.repository.write("seed-code/layers/other/new.txt", "x")
    assert releases.plan("1.0.0")
    releases.repository.write("seed-code/layers/base/new.txt", "x")
    with pytest.raises(ReleaseError, match=r"seed-code/layers/base/new\.txt"):
        releases.plan("1.0.0")


@pytest.mark.parametrize(
    "literal",
    [
        "111122223333",
        "arn:aws:s3:::x",
        "eu-west-1",
        "o-exampleorgid",
        "ou-exmp-workloads1",
        "s3://some-bucket/data",
        f"assets/{'0' * 64}.zip",
    ],
)
def test_a_template_that_knows_an_account_is_refused(releases: Releases, literal: str) -> None:
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": literal}}
    releases.next = candidate(template={"Resources": {"Topic": topic}})
    with pytest.raises(ReleaseError, match="would not work in every account"):
        releases.plan("1.0.0")


def test_seed_code_that_the_template_never_names_is_refused(releases: Releases) -> None:
    releases.next = candidate(seed_code="tiny", archive=b"zip")
    with pytest.raises(ReleaseError, match="never names its seed code"):
        releases.plan("1.0.0")


def test_a_template_that_cloudformation_would_not_take_is_refused() -> None:
    with pytest.raises(SynthesisError, match="1,000,000"):
        template_bytes({"Description": "x" * 1_000_001})


def test_the_changelog_tells_users_what_concerns_them_newest_first(releases: Releases) -> None:
    releases.release("1.0.0", candidate(), "First version.")
    releases.release("1.1.0", candidate(template=with_parameter(Default="daily")), "Adds a schedule.")
    changelog = (releases.repository.root / "products/tiny/CHANGELOG.md").read_text(encoding="utf-8")
    assert changelog == (
        "# Changes of Tiny project\n\n"
        "## 1.1.0 (2026-03-01)\n\nAdds a schedule.\n\n- Parameter `More` added: default 'daily'\n\n"
        "## 1.0.0 (2026-03-01)\n\nFirst version.\n"
    )


KILLED_AT_FSYNC = """
import json, os, signal, sys
from pathlib import Path
from pipeline.freezing import ReleasePlan
from products.semver import Version

root, number = Path(sys.argv[1]), int(sys.argv[2])
calls = 0
really = os.fsync

def fsync(handle):
    global calls
    calls += 1
    if calls == number:
        os.kill(os.getpid(), signal.SIGKILL)
    really(handle)

os.fsync = fsync
files = {"template.json": b"{}", "seed-code.zip": b"zip", "release.json": b"{}"}
folder = root / "products" / "tiny" / "releases" / "1.0.0"
ReleasePlan(
    product="tiny", version=Version(1, 0, 0), base=None, diff=None, folder=folder, files=files,
    changelog_path=root / "products" / "tiny" / "CHANGELOG.md", changelog="# Changes\\n",
).write(root)
"""


@pytest.mark.parametrize("number", range(1, 8))
def test_a_release_that_is_killed_leaves_no_folder_and_can_be_made_again(tmp_path: Path, number: int) -> None:
    folder = tmp_path / "products" / "tiny" / "releases" / "1.0.0"
    (tmp_path / "products" / "tiny").mkdir(parents=True)

    def write(at: int) -> int:
        command = [sys.executable, "-c", KILLED_AT_FSYNC, str(tmp_path), str(at)]
        return subprocess.run(command, cwd=ROOT, check=False).returncode

    killed = write(number) != 0
    # Three files, their folder and the changelog come before the rename; what is synced after it cannot undo it.
    assert killed == (number <= 6)
    assert folder.exists() == (number >= 6)
    if not folder.exists():
        assert write(0) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["release.json", "seed-code.zip", "template.json"]
    assert list((tmp_path / "products" / "tiny" / "releases").iterdir()) == [folder]


def test_a_release_that_is_interrupted_half_way_leaves_the_changelog_as_it_was(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases.release("1.0.0", candidate(), "First version.")
    changelog = releases.repository.root / "products/tiny/CHANGELOG.md"
    before = changelog.read_text(encoding="utf-8")
    releases.next = candidate(title="Other")
    plan = releases.plan("1.0.1")

    def interrupt(*_: object) -> None:
        assert changelog.read_text(encoding="utf-8") != before
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        plan.write(releases.repository.root)
    assert changelog.read_text(encoding="utf-8") == before
    assert not plan.folder.exists()


def test_an_entry_of_a_killed_attempt_is_replaced(releases: Releases) -> None:
    releases.repository.write("products/tiny/CHANGELOG.md", "# Changes\n\n## 1.0.0 (2026-01-01)\n\nKilled.\n")
    assert releases.plan("1.0.0", "Made.").changelog == "# Changes\n\n## 1.0.0 (2026-03-01)\n\nMade.\n"


# --- retire ---------------------------------------------------------------------------------------------------------


def test_a_retired_version_keeps_its_folder_and_changes_its_state(releases: Releases) -> None:
    releases.release("1.0.0", candidate())
    releases.release("1.0.1", candidate(title="Other"))
    files = releases.repository.contents("1.0.0")
    root = releases.repository.root
    retire(load_catalog(root), "tiny", "1.0.0", hide=False, reason="Use 1.0.1.")
    product = load_catalog(root).products["tiny"]
    first, second = product.versions
    assert (product.supported, product.launchable) == ((first, second), (second,))
    assert (first.guidance, first.active, first.reason) == ("DEPRECATED", True, "Use 1.0.1.")
    assert (second.guidance, second.active, second.reason) == ("DEFAULT", True, "")
    retire(load_catalog(root), "tiny", "1.0.0", hide=True, reason="Broken.")
    product = load_catalog(root).products["tiny"]
    assert [str(release.version) for release in product.supported] == ["1.0.1"]
    assert product.launchable == product.supported
    assert releases.repository.contents("1.0.0") == files
    assert list(problems_since(load_catalog(root), "HEAD")) == []


@pytest.mark.parametrize("hide", [False, True])
def test_the_last_version_that_can_be_launched_cannot_be_retired(releases: Releases, *, hide: bool) -> None:
    releases.release("1.0.0", candidate())
    releases.release("1.0.1", candidate(title="Other"))
    root = releases.repository.root
    retire(load_catalog(root), "tiny", "1.0.0", hide=False, reason="Old.")
    with pytest.raises(ReleaseError, match="the only version that can be launched"):
        retire(load_catalog(root), "tiny", "1.0.1", hide=hide, reason="Broken.")


@pytest.mark.parametrize(
    ("version", "reason", "problem"), [("9.9.9", "Old.", r"no version 9\.9\.9.*1\.0\.0"), ("1.0.0", " ", "--reason")]
)
def test_an_unknown_version_or_an_empty_reason_is_refused(
    releases: Releases, version: str, reason: str, problem: str
) -> None:
    releases.release("1.0.0", candidate())
    with pytest.raises(ReleaseError, match=problem):
        retire(load_catalog(releases.repository.root), "tiny", version, hide=False, reason=reason)


# --- verify ---------------------------------------------------------------------------------------------------------


def problems(releases: Releases) -> list[str]:
    return list(problems_of_catalog(load_catalog(releases.repository.root)))


def test_a_release_as_it_was_made_has_no_problem(releases: Releases) -> None:
    releases.release("1.0.0", seeded(readme="hello"))
    assert problems(releases) == []


@pytest.mark.parametrize("name", ["template.json", "seed-code.zip"])
def test_an_altered_file_is_found_by_its_digest(releases: Releases, name: str) -> None:
    releases.release("1.0.0", seeded(readme="hello"))
    path = releases.repository.releases / "1.0.0" / name
    content = path.read_bytes()
    path.write_bytes(content[:-2] + b"!\n")
    assert any(f"{path} was altered" in problem for problem in problems(releases))
    path.unlink()
    assert any(f"{path} is missing" in problem for problem in problems(releases))


@pytest.mark.parametrize("path", ["1.0.0/notes.txt", "1.0.0/more/notes.txt", "notes.txt"])
def test_a_stray_file_is_found(releases: Releases, path: str) -> None:
    releases.release("1.0.0", candidate())
    releases.repository.write(f"products/tiny/releases/{path}", "x")
    assert any(path.removesuffix("/notes.txt") in problem and "Remove it" in problem for problem in problems(releases))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"guidance": "DEFAULT"', '"guidance": "OLD"', "guidance is 'OLD'"),
        ('"seed_code": "tiny"', '"seed_code": null', "seed_code is None"),
        ('"key": "assets/', '"key": "other/', "it must be 'assets/"),
        ("releases/tiny/1.0.0/", "releases/tiny/", "it must be 'releases/tiny/1.0.0/template.json'"),
    ],
)
def test_a_record_that_contradicts_itself_is_found(releases: Releases, old: str, new: str, problem: str) -> None:
    releases.release("1.0.0", seeded(readme="hello"))
    releases.repository.edit("products/tiny/releases/1.0.0/release.json", old, new)
    assert any(problem in found for found in problems(releases))


@pytest.mark.parametrize(
    ("path", "content", "problem"),
    [
        ("1.0.0/release.json", "{", "is not valid JSON"),
        ("1.0.0/release.json", "[]", "list where a JSON object belongs"),
        ("1.0.0/release.json", "{}", "'version' is missing"),
        ("2.0.0/template.json", "{}", "is not a release"),
        ("status.json", '{"1.0.0": {"active": "no"}}', "it must look like"),
        ("status.json", '{"3.0.0": {"guidance": "DEFAULT", "active": true, "reason": ""}}', "is not a release of tiny"),
    ],
)
def test_records_that_cannot_be_read_are_refused_by_name(
    releases: Releases, path: str, content: str, problem: str
) -> None:
    releases.release("1.0.0", candidate())
    releases.repository.write(f"products/tiny/releases/{path}", content)
    with pytest.raises(ReleaseError, match=problem):
        load_catalog(releases.repository.root)


def test_a_renamed_release_is_refused(releases: Releases) -> None:
    releases.release("1.0.0", candidate())
    (releases.repository.releases / "1.0.0").rename(releases.repository.releases / "1.0.5")
    with pytest.raises(ReleaseError, match=r"says it is tiny 1\.0\.0, but its folder is that of tiny 1\.0\.5"):
        load_catalog(releases.repository.root)


def test_nothing_released_in_a_revision_may_have_changed_since(releases: Releases) -> None:
    releases.release("1.0.0", seeded(readme="one"))
    releases.repository.git("tag", "published")
    releases.release("1.0.1", seeded(readme="two"))
    root = releases.repository.root
    assert list(problems_since(load_catalog(root), "published")) == []
    # A file that was altered together with its digest passes every other check.
    record_path = releases.repository.releases / "1.0.0" / "release.json"
    record = json.loads(record_path.read_bytes())
    record_path.write_text(json.dumps({**record, "description": "Rewritten."}), encoding="utf-8")
    (releases.repository.releases / "1.0.0" / "extra.txt").write_text("x", encoding="utf-8")
    releases.repository.commit()
    found = list(problems_since(load_catalog(root), "published"))
    assert ["has changed since" in found[0], "was added to a release" in found[1]] == [True, True]
    assert len(found) == 2


def test_a_release_that_vanished_since_a_revision_is_found(releases: Releases) -> None:
    releases.release("1.0.0", candidate())
    releases.release("1.0.1", candidate(title="Other"))
    releases.repository.git("rm", "-rq", "products/tiny/releases/1.0.0")
    found = list(problems_since(load_catalog(releases.repository.root), "HEAD"))
    assert len(found) == 2
    assert all("1.0.0" in problem and "is gone" in problem for problem in found)


def test_an_unknown_revision_is_refused_with_a_remedy(releases: Releases) -> None:
    with pytest.raises(ReleaseError, match=r"no revision 'nowhere'.*origin/main"):
        list(problems_since(load_catalog(releases.repository.root), "nowhere"))
