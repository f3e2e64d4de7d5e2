"""What the hub's stacks have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Environment, Stack

if TYPE_CHECKING:
    from constructs import Construct

    from foundation.settings import HubSettings


class HubStack(Stack):
    """A stack in one region of the hub.

    Args:
        settings: Settings of the hub.
        region: The region.
        name: Name of the stack in the account, fixed for ever.
        description: What it is there for, in a few words; shown after "ML platform:".

    Attributes:
        settings: Settings of the hub.
    """

    def __init__(
        self, scope: Construct, id_: str, *, settings: HubSettings, region: str, name: str, description: str
    ) -> None:
        super().__init__(
            scope,
            id_,
            env=Environment(account=settings.account_id, region=region),
            stack_name=name,
            tags=settings.tags,
            description=f"ML platform: {description}",
        )
        self.settings = settings
