# ruff: noqa: S608 - names are quoted, texts are literals, conditions are translated
"""From a SELECT to what DuckDB executes: tables become views that show what the caller may see, views their query.

Views are stored as Presto does, and read with the rights of who asks: permissions on the view and on what is below it
(https://docs.aws.amazon.com/athena/latest/ug/views.html, considerations).
"""

from __future__ import annotations

import base64
import datetime
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ministack.core.responses import get_region
from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope

from aws_emulator import inside
from aws_emulator.athena import iceberg, scan, translation
from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.partitions import is_projected, projected, registered
from aws_emulator.athena.types import BIGINT, athena_type, duckdb_type, quoted
from aws_emulator.core import ServiceError, role_session
from aws_emulator.glue.catalog import ask
from aws_emulator.lakeformation import access as governance

if TYPE_CHECKING:
    from aws_emulator.athena.partitions import Partition
    from aws_emulator.athena.scan import Connection, Reader
    from aws_emulator.iam.callers import Caller
    from aws_emulator.lakeformation.access import Access

Tree: TypeAlias = Any
"""A statement, or a part of it, as sqlglot has it."""
VIEW: Final = re.compile(r"/\* Presto View: (\S+) \*/")
_PRUNING: Final = "partitions$"


@dataclass(frozen=True)
class _Use:
    """A table where a query uses it."""

    scope: Any
    alias: str
    node: Tree


def bind(con: Connection, tree: Tree, who: Caller, database: str) -> tuple[translation.Query, int]:
    """Make what a SELECT reads known to a connection; return it for DuckDB, and an estimate of the bytes that it reads.

    Args:
        con: A connection of `aws_emulator.athena.engine`.
        tree: The parsed query; it is changed.
        who: Whose permissions count.
        database: Where names without database are looked for.

    Raises:
        QueryError: The query fails as it does on Athena, or is not emulated.
    """
    tree = _with_views(tree, who, database)
    tables: dict[tuple[str, str, str], list[_Use]] = {}
    for use in _uses(tree):
        version = use.node.args.get("version")
        place = (_database(use.node, database), use.node.name.lower(), version.sql("athena") if version else "")
        tables.setdefault(place, []).append(use)
    schema: dict[str, dict[str, Any]] = {}
    read = 0
    for number, ((db, name, version), uses) in enumerate(tables.items()):
        found = _access(who, uses[0].node, db)
        relation, size = _scanned(con, found, who, uses)
        read += size
        shown = f"{name}$at{number}" if version else name
        everything, view = (f"{quoted(db)}.{quoted(text)}" for text in (f"{shown}$all", shown))
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(db)}")
        con.execute(f"CREATE VIEW {everything} AS {relation}")
        con.execute(f"CREATE VIEW {view} AS {found.select(everything)}")
        columns = [*found.glue["StorageDescriptor"]["Columns"], *found.glue.get("PartitionKeys", [])]
        types = {column["Name"]: athena_type(column["Type"]) for column in columns if column["Name"] in found.columns}
        schema.setdefault(db, {})[shown] = {column: types[column] for column in found.columns}
        for use in uses:
            alias = use.node.args.get("alias") or (exp.TableAlias(this=exp.to_identifier(name)) if version else None)
            names = {"this": _name(shown), "db": _name(db), "catalog": None, "version": None, "alias": alias}
            for part, value in names.items():
                use.node.set(part, value)
    return translation.translate(tree, schema), read


def _name(text: str) -> Tree:
    return exp.to_identifier(text, quoted=True)


def _uses(tree: Tree) -> list[_Use]:
    """Return the tables that a query uses; what WITH defines is none, except inside of its own definition."""
    found = [
        _Use(scope, alias, source)
        for scope in traverse_scope(tree)
        for alias, (_, source) in scope.selected_sources.items()
        if isinstance(source, exp.Table)
    ]
    return list({id(use.node): use for use in found}.values())


def _database(node: Tree, database: str) -> str:
    if node.catalog and node.catalog.lower() != "awsdatacatalog":
        raise NotEmulated(f"data catalog {node.catalog}")
    if not node.name or (node.db or database).lower() == "information_schema":
        raise NotEmulated(f"table {node.sql('athena')}")
    return str(node.db or database).lower()


def _access(who: Caller, node: Tree, database: str) -> Access:
    """Return what the caller may read of a table; what is hidden looks like what is not there."""
    try:
        ask(who, "GetDatabase", (who.account, database))
        found = governance.read(who, who.account, database, node.name)
        if not found.through_iam:  # https://docs.aws.amazon.com/athena/latest/ug/lf-athena-limitations.html
            ask(who, "GetDatabase", (who.account, "default"))
        return iceberg.current(found) if iceberg.is_iceberg(found.glue) else found
    except ServiceError as error:
        if error.code == "AccessDeniedException":
            text = f"Insufficient permissions to execute the query. {error.message}"
            raise QueryError("PERMISSION_DENIED", text) from error
        meta = node.this.meta
        at = f"line {meta.get('line', 1)}:{max(1, meta.get('col', 1) - len(node.name) + 1)}"
        text = f"{at}: Table 'awsdatacatalog.{database}.{node.name.lower()}' does not exist"
        raise QueryError("TABLE_NOT_FOUND", text) from error


# ---- views ----------------------------------------------------------------------------------------------------------


def _with_views(tree: Tree, who: Caller, database: str, depth: int = 0) -> Tree:
    """Return a query with the queries of views in their places."""
    if depth > 10:
        raise QueryError("VIEW_IS_RECURSIVE", "a view contains itself")
    for use in _uses(tree):
        db = _database(use.node, database)
        found = _access(who, use.node, db)
        if found.glue.get("TableType") != "VIRTUAL_VIEW":
            continue
        text = VIEW.search(found.glue.get("ViewOriginalText") or "")
        if text is None or found.catalog != who.account:
            raise NotEmulated(f"view {db}.{use.node.name} of another engine or account")
        view = json.loads(base64.b64decode(text[1]))
        query = _with_views(translation.parse(view["originalSql"]), who, view["schema"], depth + 1)
        for inner in _uses(query):
            inner.node.set("db", _name(_database(inner.node, view["schema"])))
        shown = exp.select(*(exp.column(_name(name)) for name in found.columns))
        alias = use.node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(use.node.name))
        use.node.replace(exp.Subquery(this=shown.from_(query.subquery("view$")), alias=alias))
    return tree


# ---- what is read ---------------------------------------------------------------------------------------------------


def _scanned(con: Connection, found: Access, who: Caller, uses: list[_Use]) -> tuple[str, int]:
    """Return the relation of a table and an estimate of the bytes that are read of it."""
    table = found.glue
    reader = scan.Reader(who=who)
    if not found.through_iam:
        arn = str(found.role)
        keys = {"account": arn.split(":")[4], "access_key": role_session(arn, "AWSLF-00-AT").access_key}
        reader = scan.Reader(who=replace(who, arn=arn, session_arn=arn, **keys))
    if iceberg.is_iceberg(table):
        version = uses[0].node.args.get("version")
        relation, files = iceberg.relation(reader, table, _version(version) if version else None)
        return relation, scan.scanned(con, files, _used(uses))
    if any(use.node.args.get("version") for use in uses):
        raise QueryError("NOT_SUPPORTED", "This connector does not support versioned tables")
    partitions, place = _partitions(con, found, who, reader, uses), table["StorageDescriptor"]["Location"].rstrip("/")
    if not found.through_iam and not all(location.startswith(place) for _, location in partitions):
        # https://docs.aws.amazon.com/athena/latest/ug/lf-athena-limitations.html
        raise QueryError("PERMISSION_DENIED", f"a partition of {found.table} is not below the table's location {place}")
    files = reader.files(partitions)
    whole = sum(file.size for file in files)
    scanned = scan.scanned(con, files, _used(uses)) if scan.is_parquet(table) else whole
    return scan.relation(con, table, files), scanned


def _version(version: Tree) -> tuple[str, int]:
    value = version.expression
    if version.this == "VERSION" and isinstance(value, exp.Literal) and not value.is_string:
        return "VERSION", int(value.this)
    text = value.this.this if isinstance(value, exp.Cast) and isinstance(value.this, exp.Literal) else ""
    if version.this != "TIMESTAMP" or not text.upper().endswith(("UTC", "Z")):
        raise NotEmulated(f"FOR {version.sql('athena')}: use a snapshot id, or a TIMESTAMP literal that ends with UTC")
    moment = datetime.datetime.fromisoformat(re.sub(r"\s*(UTC|Z)$", "+00:00", text, flags=re.IGNORECASE))
    return "TIMESTAMP", int(moment.timestamp() * 1000)


def _used(uses: list[_Use]) -> set[str] | None:
    """Return the names that queries mention which use a table; None where they mean all columns."""
    for use in uses:
        for shown in use.scope.expression.expressions:
            if isinstance(shown, exp.Star) or (isinstance(shown, exp.Column) and isinstance(shown.this, exp.Star)):
                return None
    return {name.name.lower() for name in uses[0].node.root().find_all(exp.Identifier)}


def _partitions(con: Connection, found: Access, who: Caller, reader: Reader, uses: list[_Use]) -> list[Partition]:
    """Return the partitions that a query can need."""
    table = found.glue
    keys = [key["Name"] for key in table.get("PartitionKeys", [])]
    if not keys:
        return [((), table["StorageDescriptor"]["Location"])]
    conditions = [_conditions(use, keys) for use in uses]
    if is_projected(table):
        equal = [_equal(condition) for condition in conditions]
        both = {key: set().union(*(e[key] for e in equal)) for key in keys if all(key in e for e in equal)}
        every = projected(table, reader.folders, both)
    else:
        ask(who, "GetPartitions", (found.catalog, found.database, found.table))
        name = f"{found.database}/{found.table}"
        every = registered(inside.glue.partitions.get_scoped(found.catalog, get_region(), name) or [])
    if not every or not all(conditions):
        return every
    types = {"number$": BIGINT, **{key["Name"]: athena_type(key["Type"]) for key in table["PartitionKeys"]}}
    rows = ", ".join(f"({', '.join([str(i), *map(scan.literal, values)])})" for i, (values, _) in enumerate(every))
    typed = ", ".join(f"CAST({quoted(key)} AS {duckdb_type(type_)}) AS {quoted(key)}" for key, type_ in types.items())
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(_PRUNING)}")
    view = f"CREATE OR REPLACE VIEW {quoted(_PRUNING)}.{quoted(_PRUNING)} AS SELECT {typed} FROM (VALUES {rows})"
    con.execute(f"{view} v({', '.join(map(quoted, types))})")
    wanted: set[int] = set()
    for use, condition in zip(uses, conditions, strict=True):
        alias = exp.TableAlias(this=exp.to_identifier(use.alias))
        source = exp.Table(this=_name(_PRUNING), db=_name(_PRUNING), alias=alias)
        query = exp.select(exp.column(_name("number$"))).from_(source).where(*condition)
        try:
            translated = translation.translate(query, {_PRUNING: {_PRUNING: types}})
            wanted |= {number for (number,) in con.execute(translated.sql).fetchall()}
        except Exception:  # of any kind: then the query itself fails with it, or does not need it
            return every
    return [every[number] for number in sorted(wanted)]


def _conditions(use: _Use, keys: list[str]) -> list[Tree]:
    """Return the parts of WHERE that decide about partitions of a table: all must hold, and they name its keys only.

    Where a join can add rows without a counterpart in the table, WHERE decides about those too and nothing is left out.
    """
    query = use.scope.expression
    where, joins = query.args.get("where"), query.args.get("joins") or []
    outer = [join for join in joins if join.side]
    if where is None or any(join.side != "LEFT" or join.this is use.node for join in outer):
        return []
    found = []
    for condition in where.this.flatten() if isinstance(where.this, exp.And) else [where.this]:
        columns = list(condition.find_all(exp.Column))
        alone = len(use.scope.sources) == 1
        own = [c.name.lower() in keys and (c.table == use.alias or (alone and not c.table)) for c in columns]
        if columns and all(own) and not condition.find(exp.Query):
            found.append(condition.copy())
    return found


def _equal(conditions: list[Tree]) -> dict[str, set[str]]:
    """Return the texts that conditions allow for a column, by ``=`` or ``IN`` with literals."""
    found: dict[str, set[str]] = {}
    for condition in conditions:
        tree = condition.unnest()
        values = tree.expressions if isinstance(tree, exp.In) else [tree.expression] if isinstance(tree, exp.EQ) else []
        if values and isinstance(tree.this, exp.Column) and all(isinstance(value, exp.Literal) for value in values):
            texts = {str(value.this) for value in values}
            found[tree.this.name.lower()] = found.get(tree.this.name.lower(), texts) & texts
    return found
