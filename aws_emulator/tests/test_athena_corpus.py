"""The corpus of statements with Athena's answers has the form that its README describes."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

BLIND = Path(__file__).with_name("athena") / "blind.jsonl"
FIELDS = ({"topic", "sql", "answer", "source"}, {"topic", "sql", "error", "source"})
SOURCE = re.compile(
    r"(core|testing|plugin)/[\w/-]+/src/(test|main)/java/[\w/]+\.java#\w+"
    r"|docs/src/main/sphinx/[\w/-]+\.md#[\w-]+"
    r"|https://docs\.aws\.amazon\.com/athena/latest/ug/[\w-]+\.html"
)


def cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in BLIND.read_text(encoding="utf-8").splitlines()]


def is_value(answer: object) -> bool:
    return answer is None or isinstance(answer, str)


def is_table(answer: object) -> bool:
    if not isinstance(answer, list) or not all(isinstance(row, list) for row in answer):
        return False
    return len({len(row) for row in answer}) <= 1 and all(is_value(value) for row in answer for value in row)


def test_at_least_a_hundred_cases_were_written_before_the_engine() -> None:
    assert len(cases()) >= 100


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
