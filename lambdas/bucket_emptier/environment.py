"""What the stack around the function tells it."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.shared.environment import Environment


@dataclass(frozen=True, kw_only=True)
class EmptierEnvironment(Environment):
    """Environment of the function.

    Attributes:
        account_id: Account whose buckets it empties.
    """

    account_id: str
