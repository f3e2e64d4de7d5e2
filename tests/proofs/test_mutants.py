"""The properties notice when policies get worse: figures of ``.venv/bin/python -m tests.proofs.mutants``."""

from __future__ import annotations

import pytest

from tests.proofs.mutants import GAP, WANTED, share, tally


@pytest.mark.prove
def test_most_harmful_mutants_are_caught_and_nearly_as_many_in_the_half_that_nobody_looked_at() -> None:
    counts, open_ = tally("A")
    unseen, _ = tally("B")
    assert share(counts) >= WANTED, "\n".join(open_)
    assert share(unseen) >= share(counts) - GAP, f"write more general statements: {share(counts):.1%}, {unseen}"
