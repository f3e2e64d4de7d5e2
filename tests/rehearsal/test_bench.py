"""What `make bench` prints: medians, shares of a run, and the ratio to another revision."""

from __future__ import annotations

from rehearsal.bench import table


def test_a_figure_is_a_median_and_a_share_of_its_run() -> None:
    head, whole, step = table({"rehearsal": [50.0, 40.0, 90.0], "  Train": [10.0, 11.0, 9.0]}).splitlines()

    assert head.split()[:4] == ["median", "of", "3", "runs"]
    assert whole.split() == ["rehearsal", "50.00", "100%", "40.00..90.00"]
    assert step.split() == ["Train", "10.00", "20%", "9.00..11.00"]


def test_another_revision_gives_the_ratio_and_steps_that_it_lacks_have_none() -> None:
    here = {"rehearsal": [55.0], "  Train": [12.0], "  New step": [1.0]}

    _, whole, step, new = table(here, {"rehearsal": [50.0], "  Train": [10.0]}).splitlines()

    assert whole.split() == ["rehearsal", "55.00", "100%", "50.00", "1.10", "55.00..55.00"]
    assert step.split() == ["Train", "12.00", "22%", "10.00", "1.20", "12.00..12.00"]
    assert new.split() == ["New", "step", "1.00", "2%", "-", "-", "1.00..1.00"]
