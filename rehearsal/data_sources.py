"""Where a training product has its data from: what a walk with it has that walks with others do not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rehearsal import lake_access_steps, lake_steps, training_steps
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

LAKE: Final = DataSource(
    before=(
        Step("Build the data lake", "governance", lake_steps.build_lake, "Its tables are generated."),
        Step(
            "Share some rows and columns",
            "governance",
            lake_steps.share,
            "Lake Formation is records and decisions; a share is there at once, without an invitation.",
        ),
        Step("Open the data to a project", "dev", lake_access_steps.open_data),
    ),
    in_project=(
        Step(
            "Explore the table",
            "dev",
            lake_access_steps.explore,
            "Athena is DuckDB here; scanned bytes are an estimate from the columns that were read.",
        ),
        Step("Ask for what is withheld: refused", "dev", lake_access_steps.try_withheld),
    ),
    of_model=(Step("Compare its data with the grant", "dev", lake_access_steps.compare_with_grant),),
    afterwards=(Step("Revoke the share and train again", "governance", lake_access_steps.revoke_and_train_again),),
)

SOURCES: Final[Mapping[str, DataSource]] = defaultdict(lambda: FILES, {"train-athena": LAKE})
"""The source of every training product that does not read files in a bucket of its account, by product id."""
