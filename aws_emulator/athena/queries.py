# ruff: noqa: S608 - the texts are literals and names that were parsed and quoted
"""Queries of Trino's SQL written in DuckDB's: what is selected from what, and which columns come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aws_emulator.athena import types
from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.expressions import Expressions, direction
from aws_emulator.athena.scopes import Column, Relation, Scope
from aws_emulator.athena.signatures import Typed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_emulator.athena.types import AthenaType

    Columns = tuple[tuple[str, AthenaType], ...]

SELECT = ("with_", "expressions", "from_", "joins", "where", "group", "having", "distinct", "order", "limit", "offset")
"""The parts of a SELECT that are answered, as sqlglot names them."""
CATALOG = "awsdatacatalog"


class Queries:
    """Turns queries into relations.

    Args:
        schema: Types of columns by database, table and column.
        database: The database of names without one.
    """

    def __init__(self, schema: Mapping[str, Mapping[str, Mapping[str, AthenaType]]], database: str) -> None:
        self.schema = schema
        self.database = database.lower()
        self.common: dict[str, Relation] = {}
        self.relations = 0

    def of(self, node: exp.Expr, outer: Scope | None) -> Relation:
        """Return a query as a relation; ``outer`` is the scope of the query around it."""
        handler = getattr(self, f"_{type(node).__name__.lower()}", None)
        if handler is None or not isinstance(node, (exp.Query, exp.Values)) or isinstance(node, exp.Table):
            raise NotEmulated(f"{node.sql('trino')[:80]} ({type(node).__name__})")
        known, prefix = self.common, ""
        if with_ := node.args.get("with_"):
            prefix = self._with(with_, outer)
        relation: Relation = handler(node, outer)
        self.common = known
        return Relation(prefix + relation.sql, relation.columns)

    def _with(self, with_: exp.Expr, outer: Scope | None) -> str:
        if with_.args.get("recursive"):
            raise NotEmulated("WITH RECURSIVE")
        parts = []
        for cte in with_.expressions:
            relation = self.of(cte.this, outer)
            columns = renamed(relation.columns, cte.args.get("alias"))
            inner = self._fresh(cte.alias)
            self.common = {**self.common, cte.alias.lower(): Relation(inner, columns)}
            parts.append(f"{inner}({listed(unique(columns))}) AS ({relation.sql})")
        return f"WITH {', '.join(parts)} "

    def _fresh(self, name: str) -> str:
        """Return a name that no other relation of the query has."""
        self.relations += 1
        return types.quoted(f"{name.lower() or 'r'}_{self.relations}")

    def _subquery(self, node: exp.Expr, outer: Scope | None) -> Relation:
        return self._ended(node, self.of(node.this, outer), outer)

    def _values(self, node: exp.Expr, outer: Scope | None) -> Relation:
        at = Expressions(Scope(parent=outer), self.of)
        rows = [[at.of(n) for n in (line.expressions or [line])] for line in node.expressions]
        if len({len(line) for line in rows}) != 1:
            raise QueryError("TYPE_MISMATCH", "Values rows have mismatched sizes")
        met = [wider([value.type for value in column]) for column in zip(*rows, strict=True)]
        lines = (", ".join(v.to(t).sql for v, t in zip(line, met, strict=True)) for line in rows)
        return Relation(f"SELECT * FROM (VALUES ({'), ('.join(lines)}))", tuple(("", t) for t in met))

    def _union(self, node: exp.Expr, outer: Scope | None) -> Relation:
        sides, word = [self.of(side, outer) for side in (node.left, node.right)], type(node).__name__.upper()
        if len({len(side.columns) for side in sides}) != 1:
            raise QueryError("TYPE_MISMATCH", f"{word} query has different number of fields")
        met = [wider([t for _, t in column]) for column in zip(*(side.columns for side in sides), strict=True)]
        word += "" if node.args.get("distinct", True) else " ALL"
        columns = tuple((name, t) for (name, _), t in zip(sides[0].columns, met, strict=True))
        return self._ended(node, Relation(f" {word} ".join(typed(side, met) for side in sides), columns), outer)

    _intersect = _except = _union

    def _ended(self, node: exp.Expr, relation: Relation, outer: Scope | None) -> Relation:
        """Return a query without FROM of its own (a set operation, brackets) with ORDER BY, OFFSET and LIMIT."""
        columns = relation.columns
        end = self._end(node, Expressions(Scope(read(columns, "s", ()), outer), self.of), len(columns))
        sql = f"SELECT * FROM ({relation.sql}) AS s({listed(unique(columns))}){end}"
        return Relation(sql, columns) if end else relation

    def _end(self, node: exp.Expr, at: Expressions, outputs: int) -> str:
        """Return ORDER BY, LIMIT and OFFSET."""
        sql = ""
        if order := node.args.get("order"):
            keys = ((ordinal(key.this, outputs) or at.of(key.this).sql) + direction(key) for key in order.expressions)
            sql += f" ORDER BY {', '.join(keys)}"
        for name in ("limit", "offset"):
            if found := node.args.get(name):
                count = found.args.get("expression")
                if isinstance(count, exp.Literal) and count.this.isdecimal():
                    sql += f" {name.upper()} {count.this}"
                elif getattr(count, "name", "").upper() != "ALL":
                    raise NotEmulated(found.sql("trino"))
        return sql

    def _select(self, node: exp.Expr, outer: Scope | None) -> Relation:
        known(node, SELECT)
        if not node.expressions:
            raise QueryError("SYNTAX_ERROR", "mismatched input '<EOF>': nothing is selected")
        scope, source = Scope(parent=outer), ""
        if first := node.args.get("from_"):
            scope.columns, source = self._source(first.this, scope)
            for join in node.args.get("joins") or []:
                source = self._join(join, scope, source)
        at = Expressions(scope, self.of)
        items = self._items(node, at)
        columns = tuple((name, value.type) for name, value in items)
        named = zip(items, unique(columns), strict=True)
        shown = (f"{value.sql} AS {types.quoted(name)}" for (_, value), name in named)
        sql = f"SELECT {'DISTINCT ' if node.args.get('distinct') else ''}{', '.join(shown)}"
        sql += f" FROM {source}" if source else ""
        if where := node.args.get("where"):
            sql += f" WHERE {at.boolean(where.this)}"
        if group := node.args.get("group"):
            if group.args.get("all") is not None:
                raise NotEmulated("GROUP BY ALL or DISTINCT")
            known(group, ("expressions",))
            sql += f" GROUP BY {', '.join(grouped(key, at, len(items)) for key in group.expressions)}"
        if having := node.args.get("having"):
            sql += f" HAVING {at.boolean(having.this)}"
        outputs: dict[str, Typed | None] = {}
        for name, value in items:
            if name:
                outputs[name.lower()] = value if outputs.get(name.lower(), value) == value else None
        end = self._end(node, Expressions(scope.inside(outputs), self.of), len(items))
        if node.args.get("distinct") and (order := node.args.get("order")):
            shown_sql = {value.sql for _, value in items}
            inside = Expressions(scope.inside(outputs), self.of)
            for key in order.expressions:
                if not ordinal(key.this, len(items)) and inside.of(key.this).sql not in shown_sql:
                    raise QueryError("EXPRESSION_NOT_IN_DISTINCT", "ORDER BY names what SELECT DISTINCT does not")
        return Relation(sql + end, columns)

    def _items(self, node: exp.Expr, at: Expressions) -> list[tuple[str, Typed]]:
        items: list[tuple[str, Typed]] = []
        for item in node.expressions:
            if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
                known(item, ("this", "table", "db", "catalog"))
                table = tuple(part.name.lower() for part in reversed(getattr(item, "parts", [item])[:-1]))
                found = [column for column in at.scope.columns if column.of(table)]
                if not found:
                    raise QueryError("COLUMN_NOT_FOUND", f"There are no columns {item.sql('trino')}")
                items += [(column.name, column.value) for column in found]
            else:
                name = item.alias or (item.name if isinstance(item, (exp.Column, exp.Dot)) else "")
                items.append((name, at.of(item.this if isinstance(item, exp.Alias) else item)))
        return items

    # FROM

    def _join(self, join: exp.Expr, scope: Scope, sql: str) -> str:
        known(join, ("this", "side", "kind", "on", "using"))
        side, kind = join.text("side").upper(), join.text("kind").upper()
        if kind not in ("", "INNER", "CROSS", "OUTER"):
            raise NotEmulated(f"{kind} JOIN")
        if side and isinstance(join.this, exp.Unnest):
            raise NotEmulated(f"{side} JOIN UNNEST")
        left = scope.columns
        right, source = self._source(join.this, scope)
        scope.columns = [*left, *right]
        if on := join.args.get("on"):
            return f"{sql} {side} JOIN {source} ON {Expressions(scope, self.of).boolean(on)}"
        if not (using := join.args.get("using")):
            if side:
                raise QueryError("SYNTAX_ERROR", f"{side} JOIN needs ON or USING")
            return f"{sql} CROSS JOIN {source}"
        tests, merged = [], []
        for name in (identifier.name.lower() for identifier in using):
            a, b = (Scope(columns).find([name])[0] for columns in (left, right))
            met = wider([a.type, b.type])
            a, b = a.to(met), b.to(met)
            tests.append(f"{a.sql} = {b.sql}")
            both = f"coalesce({a.sql}, {b.sql})" if side == "FULL" else (b if side == "RIGHT" else a).sql
            merged.append(Column(name, Typed(both, met)))
        names = {column.name for column in merged}
        scope.columns = merged + [column for column in scope.columns if column.name not in names]
        return f"{sql} {side} JOIN {source} ON {' AND '.join(tests)}"

    def _source(self, node: exp.Expr, scope: Scope) -> tuple[list[Column], str]:
        """Return the columns of one item of FROM, and its SQL."""
        alias = node.args.get("alias")
        table: tuple[str, ...] = ()
        if isinstance(node, exp.Table):
            relation, table = self._table(node)
            sql = relation.sql
        elif isinstance(node, exp.Unnest):
            relation = self._unnest(node, scope)
            sql = f"LATERAL ({relation.sql})"
        elif isinstance(node, (exp.Subquery, exp.Values)) and not isinstance(node.this, exp.Table):
            relation = self.of(node, scope.parent)
            sql = f"({relation.sql})"
        else:
            raise NotEmulated(f"{node.sql('trino')[:80]} ({type(node).__name__})")
        named = (alias.name.lower(),) if alias and alias.name else table
        shown = self._fresh(named[0] if named else "")
        columns = renamed(relation.columns, alias, node.args.get("offset"))
        return read(columns, shown, named), f"{sql} AS {shown}({listed(unique(columns))})"

    def _table(self, node: exp.Expr) -> tuple[Relation, tuple[str, ...]]:
        known(node, ("this", "db", "catalog", "alias"))
        name, database, catalog = node.name.lower(), node.db.lower() or self.database, node.catalog.lower()
        if not node.db and name in self.common:
            return self.common[name], (name,)
        if catalog not in ("", CATALOG):
            raise QueryError("CATALOG_NOT_FOUND", f"Catalog '{catalog}' does not exist")
        columns = self.schema.get(database, {}).get(name)
        if columns is None:
            raise QueryError("TABLE_NOT_FOUND", f"Table '{CATALOG}.{database}.{name}' does not exist")
        relation = Relation(f"{types.quoted(database)}.{types.quoted(name)}", tuple(columns.items()))
        return relation, (name, database, CATALOG)

    def _unnest(self, node: exp.Expr, scope: Scope) -> Relation:
        at = Expressions(scope, self.of)
        made, lengths = [], ["0"]
        found: list[tuple[str, Typed]] = []
        for i, value in enumerate(map(at.of, node.expressions)):
            if value.type.name not in ("array", "map"):
                raise QueryError("TYPE_MISMATCH", f"Cannot unnest type: {value.type}")
            pair = types.AthenaType("row", (), value.type.items, ("", "")) if value.type.name == "map" else None
            item = pair or value.type.items[0]
            sql = f"map_entries({value.sql})" if value.type.name == "map" else value.sql
            made.append(f"unnest({sql}) AS u{i}")
            lengths.append(f"coalesce(len({sql}), 0)")
            read_parts = (Typed(f"struct_extract_at(u{i}, {j + 1})", t) for j, t in enumerate(item.items))
            parts = list(zip(item.fields, read_parts, strict=False))
            found += parts or [("", Typed(f"u{i}", item))]
            if len(parts) > 1 == len(node.args["alias"].columns if node.args.get("alias") else ()) and not pair:
                raise NotEmulated("UNNEST of rows under one name, which Athena's guide and Trino read in two ways")
        if node.args.get("offset"):
            made.append(f"unnest(range(1, greatest({', '.join(lengths)}) + 1)) AS n")
            found.append(("", Typed("n", types.BIGINT)))
        sql = f"SELECT {', '.join(value.sql for _, value in found)} FROM (SELECT {', '.join(made)})"
        return Relation(sql, tuple((name, value.type) for name, value in found))


def known(node: exp.Expr, names: tuple[str, ...]) -> None:
    """Refuse parts of a statement that are not answered."""
    for name, value in node.args.items():
        if value and name not in names:
            raise NotEmulated(f"{name.strip('_').upper()} in {node.sql('trino')[:80]}")


def ordinal(node: exp.Expr, outputs: int) -> str:
    """Return the number of a column of the result, if a key of ORDER BY or GROUP BY is one."""
    if not isinstance(node, exp.Literal) or node.is_string:
        return ""
    if not node.this.isdecimal() or not 0 < int(node.this) <= outputs:
        raise QueryError("INVALID_COLUMN_REFERENCE", f"Position {node.this} is not in select list")
    return str(node.this)


def grouped(node: exp.Expr, at: Expressions, outputs: int) -> str:
    """Return a key of GROUP BY, or several."""
    if isinstance(node, (exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)):
        word = {exp.Rollup: "ROLLUP ", exp.Cube: "CUBE ", exp.GroupingSets: "GROUPING SETS "}.get(type(node), "")
        return f"{word}({', '.join(grouped(part, at, outputs) for part in node.expressions)})"
    return ordinal(node, outputs) or at.of(node).sql


def renamed(columns: Columns, alias: exp.Expr | None, ordinality: exp.Expr | None = None) -> Columns:
    """Return columns under the names that an alias gives them."""
    names = [identifier.name for identifier in (alias.args.get("columns") or [])] if alias else []
    names += [ordinality.name] if isinstance(ordinality, exp.Identifier) else []
    if names and len(names) != len(columns):
        raise QueryError("MISMATCHED_COLUMN_ALIASES", f"{len(names)} aliases of columns for {len(columns)} columns")
    return tuple((n, t) for n, (_, t) in zip(names, columns, strict=True)) if names else columns


def read(columns: Columns, shown: str, table: tuple[str, ...]) -> list[Column]:
    """Return the columns that a relation offers under a name in DuckDB's SQL."""
    named = zip(columns, unique(columns), strict=True)
    return [Column(name.lower(), Typed(f"{shown}.{types.quoted(inner)}", t), table) for (name, t), inner in named]


def typed(relation: Relation, wanted: Sequence[AthenaType]) -> str:
    """Return a query whose columns have these types."""
    items = [Typed(f"c{i}", t).to(w).sql for i, ((_, t), w) in enumerate(zip(relation.columns, wanted, strict=True))]
    return f"(SELECT {', '.join(items)} FROM ({relation.sql}) AS s({', '.join(f'c{i}' for i in range(len(items)))}))"


def unique(columns: Columns) -> list[str]:
    """Return names for DuckDB: every column has one, and no two the same."""
    names: dict[str, str] = {}
    for i, (name, _) in enumerate(columns):
        chosen = name if name and name.lower() not in names else f"_col{i}"
        names[chosen.lower()] = chosen
    return list(names.values())


def listed(names: Sequence[str]) -> str:
    """Return names as a list in DuckDB's SQL."""
    return ", ".join(map(types.quoted, names))


def wider(given: Sequence[AthenaType]) -> AthenaType:
    """Return the type that all have in common."""
    met = types.UNKNOWN
    for t in given:
        found = types.common(met, t)
        if found is None:
            raise QueryError("TYPE_MISMATCH", f"Types do not fit: {', '.join(map(str, given))}")
        met = found
    return met
