"""The properties notice when policies get worse: figures of ``.venv/bin/python -m tests.proofs.mutants``."""

from __future__ import annotations

import pytest

from tests.proofs.mutants import WANTED, share, tally


@pytest.mark.prove
class TestTheHalfThatPropertiesWereWrittenAgainst:
    def test_most_harmful_mutants_are_caught(self) -> None:
        counts, open_ = tally("A")
        assert share(counts) >= WANTED["A"], "\n".join(open_)


@pytest.mark.prove
class TestTheHalfThatNobodyLookedAt:
    def test_most_harmful_mutants_are_caught(self) -> None:
        counts, _ = tally("B")
        assert share(counts) >= WANTED["B"], counts
