"""Where a training product has its data from: what a walk with it has that walks with others do not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rehearsal import training_steps
from rehearsal.world import Step

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Steps that a walk gets from the source of its data.

    Attributes:
        before: Bring the data to where the product reads them, once for all its projects; what its form asks for is
            `World.known` afterwards.
        in_project: Follow the creation of the project. Default: none.
        of_model: Follow the registration of a model. Default: none.
        afterwards: Follow production. Default: none.
    """

    before: tuple[Step, ...]
    in_project: tuple[Step, ...] = ()
    of_model: tuple[Step, ...] = ()
    afterwards: tuple[Step, ...] = ()


FILES: Final = DataSource(before=(Step("Land the data", "dev", training_steps.land_data),))

SOURCES: Final[Mapping[str, DataSource]] = defaultdict(lambda: FILES)
"""The source of every training product that does not read files in a bucket of its account, by product id."""
