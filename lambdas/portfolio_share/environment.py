"""What the stack around the function tells it."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.shared.environment import Environment


@dataclass(frozen=True, kw_only=True)
class PublisherEnvironment(Environment):
    """Environment of the function.

    Attributes:
        hub_account_id: Account whose portfolios it shares.
        queue_url: Queue that brings tasks back.
    """

    hub_account_id: str
    queue_url: str
