"""What is unproven, and the walk through a real organisation that asks AWS, agree; nothing here touches an account."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.organization import __main__ as command
from tests.e2e.organization import cleaning
from tests.e2e.organization.report import BELIEF, beliefs
from tests.e2e.organization.settings import PEOPLE, Organization, Settings, SettingsError
from tests.e2e.organization.stages import STAGES
from tests.e2e.organization.walk import Ledger, Stage, Walk, WalkError
from tests.pipeline.product_repository import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / "tests" / "e2e"


def settings(tmp_path: Path, **changes: str) -> Path:
    """Write settings like the example, with a file of data beside them."""
    text = (FOLDER / "organization.toml.example").read_text(encoding="utf-8")
    for name, value in changes.items():
        text = re.sub(rf"(?m)^{name} = .*$", value, text)
    (tmp_path / "claims.csv").write_text("a,fraud\n1,0\n", encoding="utf-8")
    path = tmp_path / "organization.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_line_of_the_page_has_its_parts_and_every_belief_an_id_of_its_own() -> None:
    lines = (ROOT / "docs/unproven.md").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line.startswith("- ")]
    assert [line for line in listed if not BELIEF.match(line)] == []
    assert len(beliefs()) == len(listed) > 30


def test_the_walk_asks_about_beliefs_of_the_page_and_the_page_names_the_stages_that_ask() -> None:
    source = (FOLDER / "organization/stages.py").read_text(encoding="utf-8")
    asked = set(re.findall(r'walk\.check\(\s*"([a-z-]+)"', source))
    assert asked <= beliefs().keys()
    stages = {stage.name for stage in STAGES}
    told = {id_: re.findall(r"e2e, stage (\w+)", belief["told"]) for id_, belief in beliefs().items()}
    assert {stage for named in told.values() for stage in named} == stages
    assert {id_ for id_ in asked if not told[id_]} == set()


def test_settings_with_mistakes_are_refused_with_all_of_them(tmp_path: Path) -> None:
    path = settings(tmp_path, label='lable = "fraud"', data='data = "other.csv"', lead="")
    with pytest.raises(SettingsError) as caught:
        Settings.read(path)
    for problem in ("label is missing", "lable is not a setting", "profiles.lead is missing", "there is no file"):
        assert problem in str(caught.value)


def test_the_plan_says_for_every_stage_what_it_creates_costs_and_deletes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([str(settings(tmp_path)), "--plan"]) == 0
    printed = capsys.readouterr().out
    for stage in STAGES:
        assert all(text in printed for text in (stage.name, stage.creates, stage.costs, stage.deletes))
    assert all(profile in printed for profile in Settings.read(settings(tmp_path)).profiles.values())


class _Refusing:
    """An account in which nothing may be created."""

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "111111111111"}

    def __getattr__(self, operation: str) -> Any:  # noqa: ANN401 - an operation
        raise AssertionError(f"{operation} was called")


def test_nothing_starts_without_the_hubs_account_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "BUILD", tmp_path)
    monkeypatch.setattr(command, "of_aws", lambda given: Organization(given, lambda _service, _who: _Refusing()))
    assert command.main([str(settings(tmp_path))], ask=lambda _question: "yes") == 2
    assert "Nothing was started" in capsys.readouterr().err
    Ledger(tmp_path / "ledger.json").add("bucket", name="left", who="dev")
    assert command.main([str(settings(tmp_path))], ask=lambda _question: "111111111111") == 2
    assert "--clean" in capsys.readouterr().err


def walk(tmp_path: Path, client: object) -> Walk:
    organization = Organization(Settings.read(settings(tmp_path)), lambda _service, _who: client, poll_s=0)
    return Walk(organization, Ledger(tmp_path / "ledger.json"), name="e2e-1", say=lambda _line: None)


def test_a_stage_that_cannot_go_on_ends_the_walk_and_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(given: Walk) -> None:
        given.check("git-through-the-connection", lambda: "commit 1 in 111111111111")
        given.check("endpoint-answers", lambda: given.wait(lambda: None, until="an answer", timeout_s=0))
        raise WalkError("no model")

    stages = [Stage(name=n, creates="", costs="", deletes="", run=run) for n, run in (("a", stop), ("b", _never))]
    monkeypatch.setattr(command, "STAGES", stages)
    text, good = command.walk_and_clean(walk(tmp_path, _Refusing()))
    assert not good
    assert "**The walk stopped.** a: no model" in text
    assert "**holds**: The build of the check-in" in text
    assert "commit 1 in <hub>" in text
    assert "**does not hold**: The image serves the archive" in text
    assert "an answer: not within 0 minutes" in text
    assert "What follows: the endpoint fails its health check" in text


def _never(_walk: Walk) -> None:
    raise AssertionError("a stage ran after one that could not go on")


class _Buckets:
    def __init__(self, code: str) -> None:
        self.code = code

    def get_paginator(self, operation: str) -> Any:  # noqa: ANN401 - a paginator
        raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, operation)


@pytest.mark.parametrize(("code", "stays"), [("AccessDenied", True), ("NoSuchBucket", False)])
def test_what_cannot_be_deleted_stays_in_the_ledger(tmp_path: Path, code: str, *, stays: bool) -> None:
    given = walk(tmp_path, _Buckets(code))
    given.ledger.add("bucket", name="data", who="dev")
    left = cleaning.clean(given)
    assert bool(left) is stays
    assert [entry["name"] for entry in given.ledger.entries()] == (["data"] if stays else [])
    if stays:
        assert json.loads((tmp_path / "ledger.json").read_text(encoding="utf-8"))
        assert "AccessDenied" in left[0]


def test_everything_that_a_stage_notes_can_be_deleted() -> None:
    source = (FOLDER / "organization/stages.py").read_text(encoding="utf-8")
    noted = set(re.findall(r'ledger\.add\("([a-z ]+)"', source))
    assert noted == set(cleaning._DELETE)


def test_the_readme_explains_every_person_and_setting() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [who for who in PEOPLE if f"`{who}`" not in readme] == []
