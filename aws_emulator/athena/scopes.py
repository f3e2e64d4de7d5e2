"""Which columns a place in a query sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aws_emulator.athena.errors import QueryError

if TYPE_CHECKING:
    from aws_emulator.athena.signatures import Typed
    from aws_emulator.athena.types import AthenaType


@dataclass(frozen=True)
class Column:
    """A column that a relation offers.

    Args:
        name: Its name in lower case; empty if it has none.
        value: How it is read.
        table: Names by which its relation is known, from the innermost: alias or table, database, catalog.
        written: Its name as results show it.
        hidden: Not part of ``*``; reached by its table's name only.
    """

    name: str
    value: Typed
    table: tuple[str, ...] = ()
    hidden: bool = False


@dataclass
class Relation:
    """A query in DuckDB's SQL with names and types of its columns."""

    sql: str
    columns: tuple[tuple[str, AthenaType], ...]


@dataclass
class Scope:
    """The columns of a FROM clause, and of the queries around it.

    Args:
        columns: What FROM offers.
        parent: The scope of the query around this one.
        local: Parameters of lambdas and, in ORDER BY, columns of the result: first of all names.
    """

    columns: list[Column] = field(default_factory=list)
    parent: Scope | None = None
    local: dict[str, Typed] = field(default_factory=dict)

    def inside(self, local: dict[str, Typed]) -> Scope:
        """Return this scope with further names before all others."""
        return Scope(self.columns, self.parent, self.local | local)

    def find(self, names: list[str]) -> tuple[Typed, list[str]]:
        """Return what a dotted name means, and the parts of it that are fields of its value.

        Raises:
            QueryError: There is no such column (COLUMN_NOT_FOUND), or several (AMBIGUOUS_NAME).
        """
        lower = [name.lower() for name in names]
        if lower[0] in self.local:
            return self.local[lower[0]], names[1:]
        for used in range(len(lower), 0, -1):
            name, table = lower[used - 1], tuple(reversed(lower[: used - 1]))
            met = [
                c for c in self.columns if c.name == name and c.table[: len(table)] == table and (table or not c.hidden)
            ]
            if len(met) > 1:
                raise QueryError("AMBIGUOUS_NAME", f"Column '{'.'.join(names)}' is ambiguous")
            if met:
                return met[0].value, names[used:]
        if self.parent:
            return self.parent.find(names)
        raise QueryError(
            "COLUMN_NOT_FOUND",
            f"Column '{'.'.join(names)}' cannot be resolved "
            "or requester is not authorized to access requested resources",
        )
