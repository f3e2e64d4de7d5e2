"""The committed verdicts: what was proven of which policies, so that only what differs is proven again.

A property depends on the policies of its principals, on the resource policies of the accounts whose resources it is
about, on its own words and on the prover. The digest of all that stands beside its verdict in ``verdicts.json``.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.proofs.properties import PARTS
from tests.proofs.properties.accepted import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.proofs.model import Actor, World
    from tests.proofs.properties.vocabulary import Property

FILE: Final = Path(__file__).with_name("verdicts.json")
REFRESH: Final = ".venv/bin/python -m tests.proofs"
"""Command that proves what differs and writes the file."""

_PROVER: Final = ("logic", "model", "reference", "requests", "solver", "variables", "words", "properties/vocabulary")
_PACKAGES: Final = ("policy-sentry", "z3-solver")


@cache
def _prover() -> str:
    here = Path(__file__).parent
    parts = [(here / f"{name}.py").read_text(encoding="utf-8") for name in _PROVER]
    return _digest([*parts, *(version(package) for package in _PACKAGES)])


@cache
def _words() -> dict[str, str]:
    """Return the digest of the module that states each property."""
    return {
        prop.says: _digest([Path(str(part.__file__)).read_text(encoding="utf-8")])
        for part in PARTS
        for prop in part.PROPERTIES
    }


def digest(prop: Property, world: World) -> str:
    """Return the digest of everything on which the verdict of a property depends."""
    actors = sorted(prop.who(world), key=lambda actor: actor.name)
    owners = sorted({*prop.owners, *(actor.account for actor in actors)})
    places = [_resource_policies(world, owner) for owner in owners]
    return _digest([_prover(), _words()[prop.says], prop.says, [_described(actor) for actor in actors], places])


@lru_cache(512)
def _described(actor: Actor) -> str:
    return _digest([{key: value for key, value in vars(actor).items() if key != "labels"}])


@lru_cache(32)
def _resource_policies(world: World, account: str) -> str:
    found = [(p.service, p.protects, p.statements) for p in world.resource_policies if p.account == account]
    return _digest([found, world.organisation.id, world.organisation.paths.get(account)])


def _digest(parts: Iterable[Any]) -> str:
    return hashlib.sha256(json.dumps(list(parts), sort_keys=True, default=_plain).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:  # noqa: ANN401 (JSON)
    return dict(value) if hasattr(value, "items") else sorted(value)


@cache
def committed() -> dict[str, dict[str, str]]:
    """Return the verdicts in the file: by property its digest and verdict."""
    found: dict[str, dict[str, str]] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    return found


def is_known(prop: Property, world: World) -> bool:
    """Return whether the file holds the wanted verdict for the policies as they are."""
    return committed().get(prop.says) == {"digest": digest(prop, world), "verdict": wanted(prop)}


def wanted(prop: Property) -> str:
    """Return the verdict that a property should have."""
    return "refuted" if prop.says in ACCEPTED else "proven"


def write(verdicts: Mapping[str, Mapping[str, str]]) -> None:
    """Write the file."""
    FILE.write_text(json.dumps(verdicts, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
