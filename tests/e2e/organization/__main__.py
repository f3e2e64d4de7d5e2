"""``make e2e ORGANIZATION=FILE``: walk through a real test organisation and report what only AWS can tell."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.e2e.organization import cleaning, report
from tests.e2e.organization.settings import PEOPLE, Settings, SettingsError, of_aws
from tests.e2e.organization.stages import STAGES
from tests.e2e.organization.walk import Ledger, Walk
from tests.pipeline.product_repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BUILD: Final = ROOT / "build" / "e2e"


def plan(settings: Settings) -> str:
    """Return what a walk creates, costs and deletes."""
    lines = ["This walk uses real accounts. It acts as:"]
    lines += [f"  {who:18} profile {settings.profiles[who]} ({what})" for who, what in PEOPLE.items()]
    for number, stage in enumerate(STAGES, 1):
        lines += [
            f"{number}. {stage.name}",
            f"   creates  {stage.creates}",
            f"   costs    {stage.costs}",
            f"   deletes  {stage.deletes}",
        ]
    return "\n".join(lines)


def walk_and_clean(walk: Walk, *, keep: bool = False) -> tuple[str, bool]:
    """Walk through all stages, delete what was created, and return the report and whether all went well.

    Args:
        walk: The walk, not yet begun.
        keep: Delete nothing. Default: delete.
    """
    try:
        walk.through(iter(STAGES))
    finally:
        left = [f"{e['kind']} {e['name']}" for e in walk.ledger.entries()] if keep else cleaning.clean(walk)
    good = not walk.stopped and not left and all(result.state != "does not hold" for result in walk.results)
    return report.write(walk, left), good


def main(arguments: Sequence[str], *, ask: Callable[[str], str] = input) -> int:
    """Read the command line; return 0 when every belief holds and nothing is left, else 1 (2: nothing was started)."""
    parser = argparse.ArgumentParser(prog="make e2e ORGANIZATION=FILE", description=__doc__)
    parser.add_argument("organization", type=Path, help="settings, like tests/e2e/organization.toml.example")
    parser.add_argument("--plan", action="store_true", help="say what a walk creates, costs and deletes, and stop")
    parser.add_argument("--clean", action="store_true", help="delete what an earlier walk left, and stop")
    parser.add_argument("--keep", action="store_true", help="delete nothing at the end; --clean does it later")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.read(options.organization)
    except SettingsError as err:
        print(err, file=sys.stderr)
        return 2
    print(plan(settings))
    if options.plan:
        return 0
    ledger = Ledger(BUILD / "ledger.json")
    organization = of_aws(settings)
    walk = Walk(organization, ledger, name=f"e2e-{secrets.token_hex(3)}")
    if options.clean:
        left = cleaning.clean(walk)
        print("\n".join(left) or "Nothing is left.")
        return 1 if left else 0
    if ledger.entries():
        print(
            f"An earlier walk left {len(ledger.entries())} things: run again with E2E=--clean first.", file=sys.stderr
        )
        return 2
    hub = organization.account("hub")
    if ask(f"\nType the hub's account id ({hub}) to begin: ").strip() != hub:
        print("That is not the hub's account id. Nothing was started.", file=sys.stderr)
        return 2
    text, good = walk_and_clean(walk, keep=options.keep)
    path = BUILD / "report.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"\n{text}\nReport: {path.relative_to(ROOT)}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
