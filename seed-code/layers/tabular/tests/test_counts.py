import pyarrow as pa
import pytest

from tabular import counts
from tabular.counts import TextCounts
from tabular.encoders import ColumnSummary, Encoders
from tabular.schema import Column


def test_counts_of_parts_add_up_to_those_of_the_whole() -> None:
    values = ["a", "b", "a", None, "c", "a"]
    whole = TextCounts().with_more(pa.array(values))
    parts = [TextCounts().with_more(pa.array(part)) for part in (values[:2], values[2:])]
    assert whole.known == (parts[0] + parts[1]).known == {"a": 3, "b": 1, "c": 1}
    assert whole.distinct == (parts[0] + parts[1]).distinct == 3


def test_booleans_count_as_they_are_sent() -> None:
    assert TextCounts().with_more(pa.array([True, False, True])).known == {"true": 2, "false": 1}


@pytest.mark.parametrize("is_added", [True, False])
def test_more_texts_than_are_kept_are_estimated_and_frequent_ones_counted(
    monkeypatch: pytest.MonkeyPatch, *, is_added: bool
) -> None:
    monkeypatch.setattr(counts, "MOST_COUNTED", 5_000)
    found = TextCounts()
    for part in range(10):
        values = pa.array(["often"] * 50 + [f"text {part * 3_000 + number}" for number in range(3_000)])
        found = found + TextCounts().with_more(values) if is_added else found.with_more(values)
    assert found.known["often"] == 500
    assert len(found.known) < 10_000
    assert found.distinct == pytest.approx(30_001, rel=0.05)
    reason = ColumnSummary("note", "category", 30_500, found).identifies_because()
    assert reason.startswith("identifier or free text: about ")


def test_categories_beyond_those_that_are_kept_are_other_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "MOST_COUNTED", 10)
    column = Column("c", "category")
    values = [f"text {number}" for number in range(100)] * 6
    parts = [ColumnSummary.of(column, pa.array(values[start:][:150])) for start in range(0, 600, 150)]
    (encoder,) = Encoders.fit([parts[0] + parts[1] + parts[2] + parts[3]], 20).encoders
    assert len(encoder.categories) == 20
    assert encoder.has_other
