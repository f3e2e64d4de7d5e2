"""A SELECT of Athena (Trino's SQL) written in DuckDB's, with the names and types of its columns.

What is known to give the same answer is on lists (``functions.txt``, ``casts.py``, the methods of ``Expressions`` and
``Queries``); whatever is not is refused by name. What Trino refuses is refused with its error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlglot import exp
from sqlglot.dialects.athena import Athena
from sqlglot.dialects.trino import Trino
from sqlglot.errors import SqlglotError
from sqlglot.parsers.athena import AthenaParser, AthenaTrinoParser
from sqlglot.tokens import TokenType

from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.queries import Queries
from aws_emulator.athena.types import AthenaType, unsure

Schema = Mapping[str, Mapping[str, Mapping[str, AthenaType]]]
"""Types of columns by database, table and column, names in lower case."""


@dataclass(frozen=True)
class Query:
    """A query to execute in DuckDB.

    Args:
        sql: DuckDB's SQL.
        columns: Names and types of the result's columns, in order.
    """

    sql: str
    columns: tuple[tuple[str, AthenaType], ...]


RESERVED = frozenset(Path(__file__).with_name("reserved.txt").read_text(encoding="utf-8").split())
"""https://docs.aws.amazon.com/athena/latest/ug/reserved-words.html, for SELECT."""
JSON = ("JSON_OBJECT", "JSON_QUERY", "JSON_TABLE", "JSON_VALUE")


class _Parser(AthenaTrinoParser):  # type: ignore[misc] # sqlglot has no types here
    """Trino's parser that leaves calls of functions as they are written."""

    FUNCTIONS: dict[str, Any] = {}  # noqa: RUF012 - as sqlglot has it
    FUNCTION_PARSERS = {  # noqa: RUF012
        name: AthenaTrinoParser.FUNCTION_PARSERS[name]
        for name in (
            "CAST",
            "TRY_CAST",
            "EXTRACT",
            "POSITION",
            "TRIM",
            "LISTAGG",
            "SUBSTRING",
            "JSON_QUERY",
            "JSON_VALUE",
            "JSON_OBJECT",
            "JSON_TABLE",
        )
    }


class _Dialect(Trino):  # type: ignore[misc]
    INDEX_OFFSET = 0
    Parser = _Parser


class _Athena(Athena):  # type: ignore[misc]
    class Parser(AthenaParser):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as sqlglot calls it
            super().__init__(*args, **kwargs)
            self._trino_parser = _Parser(error_level=self.error_level, dialect=_Dialect())


def parse(text: str) -> exp.Expr:
    """Return the tree of one statement: Trino's SQL, or Hive's for DDL, as Athena tells them apart.

    Raises:
        QueryError: It is not a statement (SYNTAX_ERROR).
    """
    dialect = _Athena()
    try:
        tokens = dialect.tokenize(text)
        if any(token.token_type == TokenType.DCOLON for token in tokens):
            raise QueryError("SYNTAX_ERROR", "mismatched input ':'. Expecting: CAST(value AS type)")
        trees = [tree for tree in dialect.parser().parse(tokens, text) if tree is not None]
    except SqlglotError as err:
        raise QueryError("SYNTAX_ERROR", str(err).splitlines()[0]) from err
    for name in trees[0].find_all(exp.Identifier) if trees else ():
        if not name.this or (not name.quoted and name.this.upper() in RESERVED):
            raise QueryError("SYNTAX_ERROR", f"mismatched input {name.this!r}, which is reserved or empty")
    if len(trees) != 1:
        raise QueryError("SYNTAX_ERROR", f"Only one sql statement is allowed. Got: {len(trees)}")
    return trees[0]


def translate(tree: exp.Expr, schema: Schema, database: str = "default") -> Query:
    """Return a SELECT that :func:`parse` read, for DuckDB.

    Args:
        tree: The query, or the query inside another statement.
        schema: Databases, tables and columns that the caller may see.
        database: The database of names without one.

    Raises:
        QueryError: Trino refuses it, under Trino's name of the error.
        NotEmulated: It is not on the list of what is answered.
    """
    relation = Queries(schema, database).of(tree, None)
    if any(unsure(t) for _, t in relation.columns):
        raise NotEmulated("a literal like 1.50, which may be a decimal or a double: write 1.5e0 or DECIMAL '1.50'")
    return Query(relation.sql, tuple((name or f"_col{i}", t) for i, (name, t) in enumerate(relation.columns)))
