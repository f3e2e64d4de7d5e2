from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

import deployment
from deployment import cli, local
from deployment.errors import DeploymentError

from .conftest import VARIABLES


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A kind of deployment with one step, in the build of a stage."""
    fake = SimpleNamespace(STEPS={"greet": lambda context: print(f"hello {context.stage}")})
    monkeypatch.setattr(deployment, "steps", fake, raising=False)
    monkeypatch.setattr(cli, "make_context", lambda variables: SimpleNamespace(stage=variables["STAGE"]))
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    return fake


def test_a_step_runs_with_the_variables_of_the_build(
    steps: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["greet"]) == 0
    assert capsys.readouterr().out == "hello test\n"


def test_an_unknown_step_is_answered_with_the_known_ones(
    steps: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["gret"])
    quoted = capsys.readouterr().err  # some Pythons from 3.12.8 on leave the quotes out
    assert "choose from check, greet" in quoted.replace("'", "")


def test_what_a_person_can_mend_comes_without_a_traceback(
    steps: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(context: Any) -> None:
        raise DeploymentError("the model is gone")

    steps.STEPS["fail"] = fail
    assert cli.main(["fail"]) == 1
    assert capsys.readouterr().err == "ERROR: the model is gone\n"


def test_a_refusal_of_aws_names_step_and_request(steps: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(context: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "DescribeStacks")

    steps.STEPS["refused"] = refused
    assert cli.main(["refused"]) == 1
    error = capsys.readouterr().err
    assert "AWS did not do what the step refused asked for (cli.py, line " in error
    assert "DescribeStacks operation: not you" in error


def test_choices_are_read_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "choices.env").write_text("# comment\n\nA=1\nB=x=y\nC=\n")
    assert local.choices(tmp_path) == {"A": "1", "B": "x=y", "C": ""}
    assert local.choices(tmp_path / "nowhere") == {}


def test_a_choice_of_another_form_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "choices.env").write_text("A=1\nB: 2\n")
    with pytest.raises(DeploymentError, match=r"choices\.env, line 2: 'B: 2' is not of the form NAME=value"):
        local.choices(tmp_path)


def test_a_package_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"nothing\.json cannot be read as JSON"):
        cli.check(tmp_path / "nothing.json")


@pytest.mark.parametrize("text", ["{}", "[]", "null"])
def test_a_file_that_holds_no_package_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "package.json").write_text(text)
    with pytest.raises(DeploymentError, match=r"package\.json is not an answer of DescribeModelPackage"):
        cli.check(tmp_path / "package.json")
