"""The question at the terminal: asked until it is answered."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from rehearsal.console import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(("typed", "expected"), [("maybe\n\nno\n", False), ("YES\n", True), ("n\n", False)])
def test_a_question_is_asked_until_it_is_answered_with_yes_or_no(
    typed: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    ask: Callable[..., bool] = Terminal(Console(file=shown)).ask
    assert ask("Deploy?", ["Version 3 passed.", "Report: report.html"]) is expected
    assert shown.getvalue().count("Deploy? [yes/no]") == typed.count("\n")
    assert shown.getvalue().index("Report: report.html") < shown.getvalue().index("Deploy?")
