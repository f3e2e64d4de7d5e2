"""The report of a walk, in Markdown that can be pasted into an issue: account ids are replaced by what they are."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Final, get_args

from products.releases import load_catalog
from tests.e2e.organization.walk import State
from tests.pipeline.product_repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.e2e.organization.walk import Walk

BELIEF: Final = re.compile(
    r"^- `(?P<id>[a-z0-9-]+)` (?P<belief>.+?) \*If false:\* (?P<false>.+?) \*Told by:\* (?P<told>.+)$"
)
"""A line of docs/unproven.md."""


def beliefs() -> dict[str, Mapping[str, str]]:
    """Return the beliefs of docs/unproven.md by id, each with ``belief``, ``false`` and ``told``."""
    lines = (ROOT / "docs" / "unproven.md").read_text(encoding="utf-8").splitlines()
    found = [match for line in lines if (match := BELIEF.match(line))]
    return {match["id"]: match.groupdict() for match in found}


def write(walk: Walk, left: Iterable[str]) -> str:
    """Return the report.

    Args:
        walk: The walk.
        left: What could not be deleted.
    """
    known = beliefs()
    versions = ", ".join(f"{id_} {product.newest.version}" for id_, product in load_catalog(ROOT).products.items())
    counts = {state: sum(result.state == state for result in walk.results) for state in get_args(State)}
    lines = [
        "# What AWS said about the catalog",
        "",
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC, region {walk.organization.settings.region}; {versions}.",
        f"{', '.join(f'{count} {state}' for state, count in counts.items())}.",
        *(["", f"**The walk stopped.** {walk.stopped}"] if walk.stopped else []),
        "",
        "## Checks",
        "",
    ]
    for result in walk.results:
        lines.append(f"- **{result.state}**: {known[result.belief]['belief']} (`{result.belief}`)")
        lines.append(f"  {result.evidence}")
        if result.state == "does not hold":
            lines.append(f"  What follows: {known[result.belief]['false']}")
    lines += ["", "## Stages", ""]
    lines += [f"- {name}: {seconds:.0f} s" for name, seconds in walk.seconds.items()]
    remaining = list(left)
    lines += ["", "## Left behind", "", *(f"- {entry}" for entry in remaining or ["nothing that was noted"]), ""]
    return _anonymous("\n".join(lines), walk)


def _anonymous(text: str, walk: Walk) -> str:
    for who in ("hub", "dev", "test", "prod"):
        text = text.replace(walk.organization.account(who), f"<{who}>")
    return text
