"""What the stack around the function tells it."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.shared.environment import Environment


@dataclass(frozen=True, kw_only=True)
class EnableProjectsEnvironment(Environment):
    """Environment of the function.

    Attributes:
        connection_parameter: SSM parameter with the connection that projects use unless told otherwise.
        portfolio_name: Title of the portfolio with the project templates.
    """

    connection_parameter: str
    portfolio_name: str
