"""What the emulated CloudFormation asks for, from the table of which the platform's roles are derived, as data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from foundation import caller_permissions
from foundation.caller_exceptions import EXCEPTIONS
from foundation.handler_permissions import PHASES, resource_types
from pipeline.execution_policy import HUB_RESOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ROOT: Final = Path(__file__).resolve().parent.parent


def write(path: Path) -> None:
    """Write what every type of the platform asks for: of releases, the hub's stacks and the seed code's templates."""
    path.write_text(json.dumps(table(types()), indent=1), encoding="utf-8")


def types() -> frozenset[str]:
    """Return the resource types of everything that is made with a role."""
    templates = (_ROOT / "seed-code/layers").glob("*/templates/*.yaml")
    seeded = {type_ for path in templates for type_ in re.findall(r"Type: *(AWS::\w+::\w+)\b(?!::)", path.read_text())}
    released = resource_types((_ROOT / "products").glob("*/releases/*/template.json"))
    of_the_hub = {type_ for type_ in HUB_RESOURCES if type_.startswith("AWS::")}
    return frozenset(released | of_the_hub | seeded)


def table(types_: Iterable[str]) -> Mapping[str, Any]:
    """Return what `aws_emulator.cloudformation.asked` reads."""
    return {
        "asked": {t: {phase: sorted(caller_permissions.asked(t, phase)) for phase in PHASES} for t in sorted(types_)},
        "exceptions": [
            {
                "actions": row.actions,
                "types": sorted(row.types),
                "unless": row.unless,
                "unless_removed": row.unless_removed,
                "because": row.because,
            }
            for row in EXCEPTIONS
        ],
        "without_resource": sorted(caller_permissions.WITHOUT_RESOURCE),
        "looked_up": caller_permissions.LOOKED_UP,
    }
