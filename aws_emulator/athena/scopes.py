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
        table: Names by which its relation is known: alias; or table, database and catalog.
    """

    name: str
    value: Typed
    table: tuple[str, ...] = ()

    def of(self, table: tuple[str, ...]) -> bool:
        """Return whether the column is found under a name of a table, innermost part first."""
        return self.table[: len(table)] == table


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
        local: Parameters of lambdas and, in ORDER BY, columns of the result; first of all names. None: means several.
    """

    columns: list[Column] = field(default_factory=list)
    parent: Scope | None = None
    local: dict[str, Typed | None] = field(default_factory=dict)

    def inside(self, local: dict[str, Typed | None]) -> Scope:
        """Return this scope with further names before all others."""
        return Scope(self.columns, self.parent, self.local | local)

    def find(self, names: list[str]) -> tuple[Typed, list[str]]:
        """Return what a dotted name means, and the parts of it that are fields of its value.

        Raises:
            QueryError: There is no such column (COLUMN_NOT_FOUND), or several (AMBIGUOUS_NAME).
        """
        lower, shown = [name.lower() for name in names], ".".join(names)
        ambiguous = QueryError("AMBIGUOUS_NAME", f"Column '{shown}' is ambiguous")
        if lower[0] in self.local:
            if (value := self.local[lower[0]]) is None:
                raise ambiguous
            return value, names[1:]
        for used in range(len(lower), 0, -1):
            table = tuple(reversed(lower[: used - 1]))
            met = [column for column in self.columns if column.name == lower[used - 1] and column.of(table)]
            if len(met) > 1:
                raise ambiguous
            if met:
                return met[0].value, names[used:]
        if self.parent:
            return self.parent.find(names)
        denied = "cannot be resolved or requester is not authorized to access requested resources"
        raise QueryError("COLUMN_NOT_FOUND", f"Column '{shown}' {denied}")
