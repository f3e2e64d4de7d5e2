"""What the stack around the functions tells them."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.shared.environment import Environment


@dataclass(frozen=True, kw_only=True)
class DataPermissionsEnvironment(Environment):
    """Environment of the function that grants and revokes.

    Attributes:
        account_id: Account to whose roles it grants.
        ledger_table: DynamoDB table that says who asked for what.
    """

    account_id: str
    ledger_table: str
