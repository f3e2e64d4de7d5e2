# ruff: noqa: S608 - the texts are literals and names that were parsed and quoted
"""A SELECT of Athena (Trino's SQL) written in DuckDB's, with the names and types of its columns.

What is known to give the same answer is on lists (``functions.txt``, ``casts.py``, the methods of ``Expressions`` and
``Queries``); whatever is not is refused by name. What Trino refuses is refused with its error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp
from sqlglot.dialects.athena import Athena
from sqlglot.dialects.trino import Trino
from sqlglot.errors import SqlglotError
from sqlglot.parsers.athena import AthenaParser, AthenaTrinoParser
from sqlglot.tokens import TokenType

from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.expressions import Expressions, direction
from aws_emulator.athena.scopes import Column, Relation, Scope
from aws_emulator.athena.signatures import Typed
from aws_emulator.athena.types import BIGINT, UNKNOWN, AthenaType, common, field_name, quoted

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


class _Parser(AthenaTrinoParser):  # type: ignore[misc] # sqlglot is untyped here
    """Trino's parser that leaves calls of functions as they are written."""

    FUNCTIONS: dict[str, Any] = {}  # noqa: RUF012 - as sqlglot has it
    FUNCTION_PARSERS = {  # noqa: RUF012
        name: parse
        for name, parse in AthenaTrinoParser.FUNCTION_PARSERS.items()
        if name in ("CAST", "TRY_CAST", "EXTRACT", "POSITION", "TRIM", "LISTAGG", "SUBSTRING")
    }


class _Dialect(Trino):  # type: ignore[misc]
    INDEX_OFFSET = 0
    Parser = _Parser


class _Athena(Athena):  # type: ignore[misc]
    INDEX_OFFSET = 0

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
    columns = tuple((name or f"_col{i}", t) for i, (name, t) in enumerate(relation.columns))
    return Query(relation.sql, columns)


class Queries:
    """Turns queries into relations.

    Args:
        schema: Databases, tables and columns that can be read.
        database: The database of names without one.
    """

    def __init__(self, schema: Schema, database: str) -> None:
        self.schema = schema
        self.database = database
        self.common: dict[str, tuple[str, Relation]] = {}
        self.relations = 0

    def of(self, node: exp.Expr, outer: Scope | None) -> Relation:
        """Return a query as a relation; ``outer`` is the scope of the query around it."""
        handler = getattr(self, f"_{type(node).__name__.lower()}", None)
        if handler is None:
            raise NotEmulated(f"{node.sql('trino')[:80]} ({type(node).__name__})")
        known, prefix = self.common, ""
        if with_ := node.args.get("with_"):
            prefix = self._with(with_, outer)
        try:
            relation: Relation = handler(node, outer)
        finally:
            self.common = known
        return Relation(prefix + relation.sql, relation.columns)

    def _with(self, with_: exp.Expr, outer: Scope | None) -> str:
        if with_.args.get("recursive"):
            raise NotEmulated("WITH RECURSIVE")
        parts = []
        for cte in with_.expressions:
            relation = self.of(cte.this, outer)
            columns = self._renamed(relation.columns, cte.args.get("alias"))
            name = cte.alias.lower()
            self.relations += 1
            inner = f"{name}_{self.relations}"
            self.common = {**self.common, name: (inner, Relation("", columns))}
            parts.append(f"{quoted(inner)}({', '.join(quoted(n) for n in unique(columns))}) AS ({relation.sql})")
        return f"WITH {', '.join(parts)} "

    def _renamed(
        self, columns: tuple[tuple[str, AthenaType], ...], alias: exp.Expr
    ) -> tuple[tuple[str, AthenaType], ...]:
        names = [identifier.name for identifier in (alias.args.get("columns") or [])] if alias else []
        if names and len(names) != len(columns):
            raise QueryError(
                "MISMATCHED_COLUMN_ALIASES",
                f"Column alias list has {len(names)} entries but relation has {len(columns)} columns",
            )
        return tuple((n, t) for n, (_, t) in zip(names, columns, strict=True)) if names else columns

    # Queries

    def _subquery(self, node: exp.Expr, outer: Scope | None) -> Relation:
        relation = self.of(node.this, outer)
        return (
            self._ended(node, relation, outer)
            if any(node.args.get(k) for k in ("order", "limit", "offset"))
            else relation
        )

    def _values(self, node: exp.Expr, outer: Scope | None) -> Relation:
        at = Expressions(Scope(parent=outer), self.of)
        rows = [
            [at.of(item) for item in (row.expressions if isinstance(row, exp.Tuple) else [row])]
            for row in node.expressions
        ]
        if len({len(row) for row in rows}) != 1:
            raise QueryError("TYPE_MISMATCH", "Values rows have mismatched types: they differ in length")
        types = [UNKNOWN] * len(rows[0])
        for row in rows:
            for i, value in enumerate(row):
                types[i] = wider(types[i], value.type, "Values rows have mismatched types")
        lines = ", ".join("(" + ", ".join(v.to(t).sql for v, t in zip(row, types, strict=True)) + ")" for row in rows)
        return Relation(f"SELECT * FROM (VALUES {lines})", tuple(("", t) for t in types))

    def _union(self, node: exp.Expr, outer: Scope | None, word: str = "UNION") -> Relation:
        left, right = self.of(node.left, outer), self.of(node.right, outer)
        if len(left.columns) != len(right.columns):
            raise QueryError(
                "TYPE_MISMATCH",
                f"{word} query has different number of fields: {len(left.columns)}, {len(right.columns)}",
            )
        types = [
            wider(a, b, f"column in {word} query has incompatible types")
            for (_, a), (_, b) in zip(left.columns, right.columns, strict=True)
        ]
        sql = f" {word}{'' if node.args.get('distinct', True) else ' ALL'} ".join(
            self._as(side, types) for side in (left, right)
        )
        columns = tuple((name, t) for (name, _), t in zip(left.columns, types, strict=True))
        return self._ended(node, Relation(sql, columns), outer)

    def _intersect(self, node: exp.Expr, outer: Scope | None) -> Relation:
        return self._union(node, outer, "INTERSECT")

    def _except(self, node: exp.Expr, outer: Scope | None) -> Relation:
        return self._union(node, outer, "EXCEPT")

    def _as(self, relation: Relation, types: list[AthenaType]) -> str:
        """Return a query whose columns have these types."""
        names = [f"c{i}" for i in range(len(types))]
        items = [Typed(n, t).to(wanted).sql for n, (_, t), wanted in zip(names, relation.columns, types, strict=True)]
        return f"(SELECT {', '.join(items)} FROM ({relation.sql}) AS s({', '.join(names)}))"

    def _ended(self, node: exp.Expr, relation: Relation, outer: Scope | None) -> Relation:
        """Return a query without FROM of its own (a set operation, brackets) with ORDER BY, OFFSET and LIMIT."""
        names = unique(relation.columns)
        columns = [Column(n.lower(), Typed(quoted(q), t)) for (n, t), q in zip(relation.columns, names, strict=True)]
        at = Expressions(Scope(columns, outer), self.of)
        end = self._end(node, at, [c.value for c in columns])
        if not end:
            return relation
        shown = ", ".join(quoted(n) for n in names)
        return Relation(f"SELECT * FROM ({relation.sql}) AS s({shown}){end}", relation.columns)

    def _end(self, node: exp.Expr, at: Expressions, outputs: list[Typed]) -> str:
        sql = ""
        if order := node.args.get("order"):
            keys = []
            for key in order.expressions:
                place = key.this.this if isinstance(key.this, exp.Literal) and not key.this.is_string else None
                if place is not None and not 0 < int(place) <= len(outputs):
                    raise QueryError("INVALID_COLUMN_REFERENCE", f"ORDER BY position {place} is not in select list")
                keys.append((place if place is not None else at.of(key.this).sql) + direction(key))
            sql += " ORDER BY " + ", ".join(keys)
        for name in ("limit", "offset"):
            if found := node.args.get(name):
                count = found.args.get("expression")
                if (
                    not isinstance(found, (exp.Limit, exp.Offset))
                    or not isinstance(count, exp.Literal)
                    or count.is_string
                ):
                    if isinstance(count, exp.Column) and count.name.upper() == "ALL":
                        continue
                    raise NotEmulated(found.sql("trino"))
                sql += f" {name.upper()} {int(count.this)}"
        return sql

    def _select(self, node: exp.Expr, outer: Scope | None) -> Relation:
        self._known(
            node,
            (
                "with_",
                "kind",
                "expressions",
                "from_",
                "joins",
                "laterals",
                "where",
                "group",
                "having",
                "distinct",
                "order",
                "limit",
                "offset",
                "windows",
            ),
        )
        if node.args.get("windows"):
            raise NotEmulated("named windows")
        scope, source = self._from(node, outer)
        at = Expressions(scope, self.of)
        items = self._items(node, at)
        sql = "SELECT " + ("DISTINCT " if node.args.get("distinct") else "")
        names = unique(tuple((name, value.type) for name, value in items))
        sql += ", ".join(f"{value.sql} AS {quoted(name)}" for (_, value), name in zip(items, names, strict=True))
        sql += f" FROM {source}" if source else ""
        if where := node.args.get("where"):
            sql += f" WHERE {at.boolean(where.this)}"
        if group := node.args.get("group"):
            sql += self._group(group, at, [value for _, value in items])
        if having := node.args.get("having"):
            sql += f" HAVING {at.boolean(having.this)}"
        outputs = {name.lower(): value for name, value in reversed(items) if name}
        sql += self._end(node, Expressions(scope.inside(outputs), self.of), [value for _, value in items])
        return Relation(sql, tuple((name, value.type) for name, value in items))

    def _known(self, node: exp.Expr, names: tuple[str, ...]) -> None:
        for name, value in node.args.items():
            if value and name not in names:
                raise NotEmulated(f"{name.strip('_').upper()} in {node.sql('trino')[:80]}")

    def _items(self, node: exp.Expr, at: Expressions) -> list[tuple[str, Typed]]:
        items: list[tuple[str, Typed]] = []
        for item in node.expressions:
            if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
                table = (
                    tuple(part.name.lower() for part in reversed(item.parts[:-1]))
                    if isinstance(item, exp.Column)
                    else ()
                )
                found = [c for c in at.scope.columns if c.table[: len(table)] == table and (table or not c.hidden)]
                if not found:
                    raise QueryError(
                        "TABLE_NOT_FOUND" if table else "COLUMN_NOT_FOUND",
                        f"Nothing is selected by {item.sql('trino')}",
                    )
                items += [(c.name, c.value) for c in found]
            elif isinstance(item, exp.Alias):
                items.append((item.alias, at.of(item.this)))
            else:
                named = item.name if isinstance(item, (exp.Column, exp.Dot)) else ""
                items.append((named, at.of(item)))
        return items

    def _group(self, group: exp.Expr, at: Expressions, items: list[Typed]) -> str:
        def key(node: exp.Expr) -> str:
            if isinstance(node, exp.Literal) and not node.is_string:
                if not 0 < int(node.this) <= len(items):
                    raise QueryError("INVALID_COLUMN_REFERENCE", f"GROUP BY position {node.this} is not in select list")
                return str(node.this)
            if isinstance(node, (exp.Tuple, exp.Paren)):
                inner = node.expressions if isinstance(node, exp.Tuple) else [node.this]
                return "(" + ", ".join(key(part) for part in inner) + ")"
            return at.of(node).sql

        self._known(group, ("expressions", "grouping_sets", "cube", "rollup"))
        parts = [key(node) for node in group.expressions]
        for kind, word in (("grouping_sets", "GROUPING SETS"), ("cube", "CUBE"), ("rollup", "ROLLUP")):
            for node in group.args.get(kind) or []:
                parts.append(f"{word} ({', '.join(key(part) for part in node.expressions)})")
        return " GROUP BY " + ", ".join(parts)

    # FROM

    def _from(self, node: exp.Expr, outer: Scope | None) -> tuple[Scope, str]:
        scope = Scope(parent=outer)
        if not (first := node.args.get("from_")):
            return scope, ""
        scope.columns, sql = self._source(first.this, scope)
        for join in node.args.get("joins") or []:
            sql = self._join(join, scope, sql)
        if node.args.get("laterals"):
            raise NotEmulated("LATERAL")
        return scope, sql

    def _join(self, join: exp.Expr, scope: Scope, sql: str) -> str:
        self._known(join, ("this", "side", "kind", "on", "using"))
        side, kind = (join.args.get("side") or "").upper(), (join.args.get("kind") or "").upper()
        if kind not in ("", "INNER", "CROSS", "OUTER") or side not in ("", "LEFT", "RIGHT", "FULL"):
            raise NotEmulated(f"{side} {kind} JOIN".strip())
        columns, right = self._source(join.this, scope)
        left = scope.columns
        scope.columns = [*left, *columns]
        using = join.args.get("using")
        on = join.args.get("on")
        if using:
            tests, kept = [], []
            for identifier in using:
                name = identifier.name.lower()
                a, b = (Expressions(Scope(c), self.of).of(exp.column(name)) for c in (left, columns))
                met = wider(a.type, b.type, f"column {name} in USING")
                a, b = a.to(met), b.to(met)
                tests.append(f"{a.sql} = {b.sql}")
                both = f"coalesce({a.sql}, {b.sql})" if side == "FULL" else b.sql if side == "RIGHT" else a.sql
                kept.append(Column(name, Typed(both, met)))
            names = {column.name for column in kept}
            scope.columns = kept + [replace(c, hidden=c.hidden or c.name in names) for c in scope.columns]
            return f"{sql} {side} JOIN {right} ON {' AND '.join(tests)}"
        if on is None:
            if side:
                raise QueryError("SYNTAX_ERROR", f"{side} JOIN needs ON or USING")
            return f"{sql} CROSS JOIN {right}"
        return f"{sql} {side} JOIN {right} ON {Expressions(scope, self.of).boolean(on)}"

    def _source(self, node: exp.Expr, scope: Scope) -> tuple[list[Column], str]:
        """Return the columns of one item of FROM, and its SQL."""
        alias = node.args.get("alias")
        self.relations += 1
        if isinstance(node, exp.Table):
            self._known(node, ("this", "db", "catalog", "alias"))
            relation, table = self._table(node)
            sql = relation.sql
        elif isinstance(node, exp.Unnest):
            relation, table = self._unnest(node, scope), ("",)
            sql = f"LATERAL ({relation.sql})"
        elif isinstance(node, (exp.Subquery, exp.Values)):
            if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
                raise NotEmulated("joins in brackets")
            relation, table = self.of(node, scope.parent), ("",)
            sql = f"({relation.sql})"
        else:
            raise NotEmulated(f"{node.sql('trino')[:80]} ({type(node).__name__})")
        columns = self._renamed(relation.columns, alias)
        named = alias.name.lower() if alias and alias.name else ""
        shown = quoted(f"{named or table[0] or 'r'}_{self.relations}")
        names = unique(columns)
        sql += f" AS {shown}({', '.join(quoted(n) for n in names)})"
        known = (named,) if named else table
        return [
            Column(name.lower(), Typed(f"{shown}.{quoted(q)}", t), known)
            for (name, t), q in zip(columns, names, strict=True)
        ], sql

    def _table(self, node: exp.Expr) -> tuple[Relation, tuple[str, ...]]:
        name, database, catalog = node.name.lower(), node.db.lower(), node.catalog.lower()
        if not database and name in self.common:
            inner, relation = self.common[name]
            return Relation(quoted(inner), relation.columns), (name,)
        database = database or self.database.lower()
        if catalog not in ("", "awsdatacatalog"):
            raise QueryError("CATALOG_NOT_FOUND", f"Catalog '{catalog}' does not exist")
        columns = self.schema.get(database, {}).get(name)
        if columns is None:
            raise QueryError("TABLE_NOT_FOUND", f"Table 'awsdatacatalog.{database}.{name}' does not exist")
        return Relation(f"{quoted(database)}.{quoted(name)}", tuple(columns.items())), (
            name,
            database,
            "awsdatacatalog",
        )

    def _unnest(self, node: exp.Expr, scope: Scope) -> Relation:
        at = Expressions(Scope(scope.columns, scope.parent), self.of)
        values = [at.of(item) for item in node.expressions]
        items, columns, lengths = [], [], []
        for i, value in enumerate(values):
            if value.type.name not in ("array", "map"):
                raise QueryError("TYPE_MISMATCH", f"Cannot unnest type: {value.type}")
            source = value.sql if value.type.name == "array" else f"map_entries({value.sql})"
            items.append(f"unnest({source}) AS u{i}")
            lengths.append(f"coalesce(len({source}), 0)")
            inner = value.type.items[0]
            if value.type.name == "map":
                columns += [(f"u{i}.key", value.type.items[0]), (f"u{i}.value", value.type.items[1])]
            elif inner.name == "row":
                columns += [(f"struct_extract(u{i}, '{field_name(inner, j)}')", t) for j, t in enumerate(inner.items)]
            else:
                columns.append((f"u{i}", inner))
        if node.args.get("offset"):
            items.append(f"unnest(range(1, greatest({', '.join(lengths)}, 0) + 1)) AS n")
            columns.append(("n", BIGINT))
            if isinstance(node.args["offset"], exp.Identifier) and node.args.get("alias"):
                node.args["alias"].append("columns", node.args["offset"])
                node.set("offset", True)
        sql = f"SELECT {', '.join(name for name, _ in columns)} FROM (SELECT {', '.join(items)})"
        return Relation(sql, tuple(("", t) for _, t in columns))


def unique(columns: tuple[tuple[str, AthenaType], ...]) -> list[str]:
    """Return names for DuckDB: every column has one, and no two the same."""
    taken: set[str] = set()
    names = []
    for i, (name, _) in enumerate(columns):
        chosen = name if name and name.lower() not in taken else f"_col{i}"
        taken.add(chosen.lower())
        names.append(chosen)
    return names


def wider(a: AthenaType, b: AthenaType, what: str) -> AthenaType:
    """Return the type that two have in common."""
    met = common(a, b)
    if met is None:
        raise QueryError("TYPE_MISMATCH", f"{what}: {a}, {b}")
    return met
