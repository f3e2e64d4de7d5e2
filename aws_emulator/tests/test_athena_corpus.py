"""The corpus of statements with Athena's answers has the form that its README describes, and the engine answers it."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aws_emulator.tests.harness import PYTHON, ROOT

BLIND = Path(__file__).with_name("athena") / "blind.jsonl"
SEEN = BLIND.with_name("seen.jsonl")
REFUSED = BLIND.with_name("refused.jsonl")
FIELDS = ({"topic", "sql", "answer", "source"}, {"topic", "sql", "error", "source"})
SOURCE = re.compile(
    r"(core|testing|plugin)/[\w/-]+/src/(test|main)/java/[\w/]+\.java#\w+"
    r"|docs/src/main/sphinx/[\w/-]+\.md#[\w-]+"
    r"|https://docs\.aws\.amazon\.com/athena/latest/ug/[\w-]+\.html"
)


def cases(path: Path | None = None) -> list[dict[str, Any]]:
    files = [path] if path else [BLIND, SEEN]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def answers() -> dict[str, list[list[str]]]:
    """What the engine answers: part, statement, verdict and answer of each case, by part."""
    command = [str(PYTHON), "-m", "aws_emulator.tests.athena.answer", *map(str, (BLIND, SEEN, REFUSED))]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {part: [answer for answer in found if answer[0] == part] for part in ("blind", "seen", "refused")}


def is_value(answer: object) -> bool:
    return answer is None or isinstance(answer, str)


def is_table(answer: object) -> bool:
    if not isinstance(answer, list) or not all(isinstance(row, list) for row in answer):
        return False
    return len({len(row) for row in answer}) <= 1 and all(is_value(value) for row in answer for value in row)


def test_at_least_a_hundred_cases_were_written_before_the_engine() -> None:
    assert len(cases(BLIND)) >= 100


def test_a_case_has_either_an_answer_or_an_error() -> None:
    assert [case for case in cases() if set(case) not in FIELDS] == []


def test_a_case_names_the_place_of_its_answer() -> None:
    assert [case["source"] for case in cases() if not SOURCE.fullmatch(case["source"])] == []


def test_no_statement_is_asked_twice() -> None:
    asked = Counter(re.sub(r"\s", "", case["sql"]) for case in cases())
    assert [sql for sql, times in asked.items() if times > 1] == []


def test_an_answer_is_a_text_or_null_or_rows_of_equal_length() -> None:
    answers = [case["answer"] for case in cases() if "answer" in case]
    assert [answer for answer in answers if not is_value(answer) and not is_table(answer)] == []


def test_an_error_says_in_words_what_is_wrong() -> None:
    assert [case for case in cases() if "error" in case and " " not in case["error"].strip()] == []


def test_no_answer_differs_from_athenas_without_saying_so(answers: dict[str, list[list[str]]]) -> None:
    told = answers["blind"] + answers["seen"]
    assert [answer for answer in told if answer[2] in ("different", "failed")] == []


def test_what_is_not_known_to_be_alike_is_refused_by_name(answers: dict[str, list[list[str]]]) -> None:
    assert [answer for answer in answers["refused"] if answer[2] != "refused"] == []


@pytest.mark.parametrize("part", ["blind", "seen"])
def test_at_least_95_of_100_answers_are_equal(part: str, answers: dict[str, list[list[str]]]) -> None:
    counts = Counter(verdict for _, _, verdict, _ in answers[part])
    refused = [answer for answer in answers[part] if answer[2] == "refused"]
    assert counts["equal"] >= 0.95 * counts.total(), (part, counts, refused)
