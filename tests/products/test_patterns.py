"""Patterns that got narrower: what they lost is nothing that a service takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from products.shared.form.patterns import NARROWINGS, SCHEDULE, Narrowing, whole

ROOT = Path(__file__).resolve().parents[2]
MONITORS = ROOT / "seed-code/layers/monitoring/deployment/monitors.py"


@pytest.mark.parametrize("narrowing", NARROWINGS, ids=lambda n: n.because[:20])
def test_a_narrower_pattern_loses_its_examples_and_keeps_the_others(narrowing: Narrowing) -> None:
    for value in (*narrowing.lost, *narrowing.kept):
        assert re.fullmatch(narrowing.released, value), value
    assert [value for value in narrowing.lost if re.fullmatch(narrowing.now, value)] == []
    assert [value for value in narrowing.kept if not re.fullmatch(narrowing.now, value)] == []


def test_the_released_pattern_is_one_that_was_released() -> None:
    released = [path.read_text(encoding="utf-8") for path in ROOT.glob("products/*/releases/*/template.json")]
    for narrowing in NARROWINGS:
        escaped = narrowing.released.replace("\\", "\\\\")
        assert any(escaped in template for template in released), narrowing.released


def test_what_the_form_accepts_as_a_schedule_the_deployment_repository_accepts_too() -> None:
    source = MONITORS.read_text(encoding="utf-8")
    found = re.search(r"^SCHEDULE = \(\n(.*?)\n\)$", source, re.MULTILINE | re.DOTALL)
    assert found
    theirs = "".join(re.findall(r'r"(.*)"', found[1]))
    (narrowing,) = (n for n in NARROWINGS if n.now == SCHEDULE)
    assert [value for value in narrowing.kept if not re.fullmatch(theirs, value)] == []


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_a_whole_number_is_one_between_its_bounds(one: int, other: int) -> None:
    least, most = sorted((one, other))
    accepted = re.compile(whole(least, most))
    near = {least - 1, least, (least + most) // 2, most, most + 1, 10 * least, 10 * most, most // 10}
    assert {number for number in near if accepted.fullmatch(str(number))} == {n for n in near if least <= n <= most}
    assert not any(accepted.fullmatch(text) for text in (f"{least}.5", f"{most}.0", f"0{most}", f"+{most}", ""))
