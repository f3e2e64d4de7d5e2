"""What the stack around the function tells it."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.shared.environment import Environment


@dataclass(frozen=True, kw_only=True)
class PreflightEnvironment(Environment):
    """Environment of the function.

    Attributes:
        data_function: Name of the function that looks at data of a lake.
    """

    data_function: str
