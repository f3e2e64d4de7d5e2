"""Proves what differs from the committed verdicts, and writes them.

Run as ``.venv/bin/python -m tests.proofs [--all] [TEXT …]``.

Says of every property that does not have the wanted verdict which request refutes it, or what is undecided. With
``--all`` everything is proven again; with texts only the properties whose statement contains one of them are proven,
and nothing is written.
"""

from __future__ import annotations

import sys
import time

from tests.proofs import verdicts
from tests.proofs.properties import PROPERTIES
from tests.proofs.world import world


def main(arguments: list[str]) -> int:
    """Prove, report and write; the status is 1 if a property has another verdict than it should."""
    everything = "--all" in arguments
    texts = [text.lower() for text in arguments if not text.startswith("--")]
    chosen = [p for p in PROPERTIES.values() if not texts or any(text in p.says.lower() for text in texts)]
    here = world()
    known, kept, wrong = verdicts.committed(), dict[str, dict[str, str]](), 0
    start = time.perf_counter()
    for prop in chosen:
        if not everything and not texts and verdicts.is_known(prop, here):
            kept[prop.says] = known[prop.says]
            continue
        outcome = prop.decide(here)
        kept[prop.says] = {"digest": verdicts.digest(prop, here), "verdict": outcome.verdict}
        if outcome.verdict != verdicts.wanted(prop):
            wrong += 1
            sys.stdout.write(f"{outcome.verdict}: {prop.says}\n")
            sys.stdout.writelines(f"    {line}\n" for line in (outcome.witness or "", *outcome.open[:5]) if line)
    if not texts:
        verdicts.write(kept)
    sys.stdout.write(f"{len(chosen) - wrong} of {len(chosen)} properties hold, {time.perf_counter() - start:.0f} s\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
