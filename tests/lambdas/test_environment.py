"""The environment of a function: written by its stack, read by itself, under the same names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lambdas.shared.environment import Environment, MissingVariablesError


@dataclass(frozen=True, kw_only=True)
class _Example(Environment):
    queue_url: str
    table: str


def test_a_function_reads_what_its_stack_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    written = _Example(queue_url="https://queue", table="a-table")
    assert written.variables == {"QUEUE_URL": "https://queue", "TABLE": "a-table"}
    for name, value in written.variables.items():
        monkeypatch.setenv(name, value)
    assert _Example.read() == written


def test_all_missing_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUEUE_URL", "TABLE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingVariablesError, match="QUEUE_URL, TABLE not set"):
        _Example.read()
