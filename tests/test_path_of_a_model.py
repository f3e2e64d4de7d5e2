"""``docs/path-of-a-model.md`` follows the code: its files hold its names, and it has every step of the rehearsal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from rehearsal.data_sources import SOURCES
from rehearsal.journey import FAULTS, PRELUDE, walk

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs/path-of-a-model.md"


@dataclass(frozen=True)
class Hop:
    """A hop of the page.

    Attributes:
        title: Its heading.
        names: What it sets in code.
        files: Text of the files that it links to, by path.
        steps: What it sets in italics: steps of the rehearsal.
    """

    title: str
    names: frozenset[str]
    files: dict[str, str]
    steps: list[str]


def hops() -> list[Hop]:
    sections = re.split(r"(?m)^### (.+)$", PAGE.read_text(encoding="utf-8"))[1:]
    found = []
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        flat = " ".join(text.partition("\n## ")[0].split())
        paths = [(PAGE.parent / link).resolve() for link in re.findall(r"\]\((\.\./[^)]+)\)", flat)]
        found.append(
            Hop(
                title,
                frozenset(re.findall(r"`([^`]+)`", flat)),
                {p.relative_to(ROOT).as_posix(): p.read_text(encoding="utf-8") if p.is_file() else "" for p in paths},
                re.findall(r"\*([^*]+)\*", re.sub(r"`[^`]+`", "", flat)),
            )
        )
    return found


HOPS: Final = hops()


def holds(text: str, name: str) -> bool:
    """Return whether a text holds a name, and not only as a part of a longer word."""
    return re.search(rf"(?<!\w){re.escape(name)}" + (r"(?!\w)" if name[-1].isalnum() else ""), text) is not None


@pytest.mark.parametrize("hop", HOPS, ids=lambda hop: hop.title)
def test_every_name_of_a_hop_is_in_one_of_its_files_and_every_file_has_one(hop: Hop) -> None:
    assert hop.names, "a hop says what passes from one process to the next"
    lost = {name for name in hop.names if not any(holds(text, name) for text in hop.files.values())}
    assert not lost, f"no linked file contains {lost}: correct the name, or link to the file that has it"
    idle = {path for path, text in hop.files.items() if not any(holds(text, name) for name in hop.names)}
    assert not idle, f"{idle} contain none of {sorted(hop.names)}: link to the file that does, or name what it does"


@pytest.mark.parametrize("hop", HOPS, ids=lambda hop: hop.title)
def test_every_hop_links_to_code_and_to_a_test(hop: Hop) -> None:
    tests = {path for path in hop.files if "tests" in Path(path).parts}
    assert tests
    assert hop.files.keys() - tests


def test_hops_are_numbered_in_order() -> None:
    assert [hop.title.partition(".")[0] for hop in HOPS] == [str(number + 1) for number in range(len(HOPS))]


def test_every_step_of_the_rehearsal_is_in_exactly_one_hop_and_in_its_order() -> None:
    told = [step for hop in HOPS for step in hop.steps]
    walks = [[step.title for step in (*PRELUDE, *walk(product))] for product in ("train-s3", *SOURCES)]
    assert sorted(told) == sorted({FAULTS.title}.union(*walks))
    for walked in walks:
        assert [step for step in told if step in walked] == walked
